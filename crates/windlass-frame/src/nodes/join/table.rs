//! Joins on a device from end to end: the build side's table and columns, the probe, and the
//! gathering of what it finds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::AcqRel},
    },
    time::Instant,
};

use arrow::array::ArrayRef;
use datafusion::{
    common::JoinType,
    error::{DataFusionError, Result},
};
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, Shared},
    stream,
    stream::BoxStream,
};
use windlass_device::{Device, Queue, Reservation};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, KernelError, PhysType, Storage, Validity, gather,
    join::{JoinOptions, JoinRows, JoinTable, Marks, NO_ROW, Probe},
};

use super::{
    OPERATOR, Parts,
    rows::{From, RowsPlan},
    shape::Shape,
    tell::Tells,
};
use crate::{
    batch::{DictionarySet, logical, read_column},
    lower::OutputColumn,
    nodes::{
        Placed,
        failure::failed,
        metrics::{DeviceMetrics, batch_bytes, column_bytes},
    },
};

/// The build side on the device, shared by the partitions that probe it.
#[derive(Debug)]
pub(super) struct Built {
    /// The columns that the result takes from it.
    payload: DeviceBatch,
    table: JoinTable,
    /// Partitions that still probe.
    probing: AtomicUsize,
    max_pairs: usize,
}

impl Built {
    /// Whether it has no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.payload.rows == 0
    }
}

/// A build side in the making.
pub(super) type Building = Shared<BoxFuture<'static, Result<Arc<Built>, Arc<DataFusionError>>>>;

/// What a build needs.
pub(super) struct Build {
    pub(super) parts: Parts,
    pub(super) rows: Arc<RowsPlan>,
    /// The outputs of the build side's pipeline: keys, then payload.
    pub(super) outputs: Arc<[OutputColumn]>,
    /// The dictionaries of these.
    pub(super) texts: Arc<DictionarySet>,
    /// Most pairs of a piece.
    pub(super) max_pairs: usize,
    /// Partitions that will probe.
    pub(super) probing: usize,
    pub(super) metrics: DeviceMetrics,
}

/// Batches of a side, one stream for each partition.
type Streams = Vec<BoxStream<'static, Result<DeviceBatch>>>;

/// Builds from all partitions of the build side, whose streams are made when somebody asks.
pub(super) fn start(
    build: Build,
    streams: impl FnOnce() -> Result<Streams> + Send + 'static,
) -> Building {
    let task = async move {
        let built = async { build.run(stream::select_all(streams()?).boxed()).await };
        built.await.map(Arc::new).map_err(Arc::new)
    };
    task.boxed().shared()
}

impl Build {
    async fn run(self, mut input: BoxStream<'static, Result<DeviceBatch>>) -> Result<Built> {
        let mut batches = Vec::new();
        while let Some(batch) = input.try_next().await? {
            batches.push(batch);
        }
        drop(input);
        let (placed, metrics) = (self.parts.placed.clone(), self.metrics.clone());
        let (join, tells) = (Arc::clone(&self.parts.join), self.parts.tells);
        let made = placed.run(move || self.build(batches)).await?;
        let (built, keys) = made.map_err(|e| failed(&placed, &metrics, OPERATOR, e))?;
        tells.publish(&join, &keys)?;
        Ok(built)
    }

    /// The table and the columns; the keys on the host where a scan takes them.
    fn build(self, batches: Vec<DeviceBatch>) -> Result<(Built, Vec<ArrayRef>), KernelError> {
        let began = Instant::now();
        let device = &self.parts.placed.device;
        let mut queue = device.queue()?;
        let mut reservation = device.pool().reserve(0)?;
        let mut batch = match <[DeviceBatch; 1]>::try_from(batches) {
            Ok([one]) => one,
            Err(none) if none.is_empty() => {
                empty(&**device, &mut reservation, self.outputs.iter().map(|o| o.ty))?
            }
            Err(several) => gather::concat(&**device, &mut *queue, &mut reservation, &several)?,
        };
        let numbers: Vec<usize> = (0..self.rows.keys).collect();
        let shape = &self.parts.shape;
        let marks = match shape.ends_with_build_rows() {
            true => Marks::Keys,
            false => Marks::None,
        };
        let (null_equals_null, max_pairs) = (shape.null_equals_null, self.max_pairs);
        let options = JoinOptions { null_equals_null, max_pairs, marks };
        let table =
            JoinTable::build(device, &mut *queue, &mut reservation, &batch, &numbers, options)?;
        let mut keys = Vec::new();
        if self.parts.tells != Tells::Nothing {
            for (column, output) in batch.columns.iter().zip(&*self.outputs).take(self.rows.keys) {
                let array = read_column(&mut *queue, column, batch.rows)?;
                self.metrics.downloaded(column_bytes(column));
                keys.push(logical(array, output, &self.texts)?);
            }
        }
        // Other queues read the table and the columns.
        queue.synchronize()?;
        self.metrics.kernel(&self.parts.placed, "join build", began, batch.rows);
        batch.columns.drain(..self.rows.keys);
        let probing = AtomicUsize::new(self.probing);
        Ok((Built { payload: batch, table, probing, max_pairs: self.max_pairs }, keys))
    }
}

/// A batch without rows.
fn empty(
    device: &dyn Device,
    reservation: &mut Reservation,
    types: impl Iterator<Item = PhysType>,
) -> Result<DeviceBatch, KernelError> {
    let column = |ty| {
        let values = device.alloc(reservation, 0)?;
        let (storage, validity) = (Storage::Wide, Validity::All);
        Ok(DeviceColumn { ty, storage, values, bit_offset: 0, validity })
    };
    Ok(DeviceBatch { rows: 0, columns: types.map(column).collect::<Result<_, KernelError>>()? })
}

/// What the next step of a probe does.
enum Step {
    /// Takes the next batch of the probe side.
    Ask,
    /// Goes on with what it has.
    GoOn,
    /// There is no more.
    Done,
}

/// Probes for one partition, on a queue of its own.
pub(super) struct Prober {
    placed: Placed,
    shape: Arc<Shape>,
    rows: Arc<RowsPlan>,
    /// The outputs of the probe side's pipeline: keys, then payload.
    outputs: Arc<[OutputColumn]>,
    built: Arc<Built>,
    metrics: DeviceMetrics,
    queue: Option<Box<dyn Queue>>,
    /// The pairs of a probe batch that are to come, and its payload.
    pairs: Option<(Probe, DeviceBatch)>,
    /// The build rows that come at the end, and how many came.
    rest: Option<(JoinRows, usize)>,
}

impl Prober {
    pub(super) fn new(
        placed: Placed,
        shape: Arc<Shape>,
        rows: Arc<RowsPlan>,
        outputs: Arc<[OutputColumn]>,
        built: Arc<Built>,
        metrics: DeviceMetrics,
    ) -> Self {
        let (queue, pairs, rest) = (None, None, None);
        Self { placed, shape, rows, outputs, built, metrics, queue, pairs, rest }
    }

    /// What `work` gives on this prober's queue, complete for others.
    fn with_queue<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut dyn Queue, &mut Reservation) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        let device = Arc::clone(&self.placed.device);
        let mut queue = match self.queue.take() {
            Some(queue) => queue,
            None => device.queue()?,
        };
        let mut reservation = device.pool().reserve(0)?;
        let made = work(self, &mut *queue, &mut reservation)?;
        queue.synchronize()?;
        self.queue = Some(queue);
        Ok(made)
    }

    /// Looks a batch of the probe side up; `None` for its end. What it gives at once.
    fn take(&mut self, batch: Option<DeviceBatch>) -> Result<Option<DeviceBatch>, KernelError> {
        let began = Instant::now();
        let rows = batch.as_ref().map_or(0, |b| b.rows);
        let made = self.with_queue(|this, queue, reservation| match batch {
            Some(batch) => this.look_up(queue, reservation, batch),
            None => this.end(queue, reservation),
        })?;
        self.metrics.kernel(&self.placed, "join probe", began, rows);
        Ok(made)
    }

    fn look_up(
        &mut self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        mut batch: DeviceBatch,
    ) -> Result<Option<DeviceBatch>, KernelError> {
        let (device, table) = (&*self.placed.device, &self.built.table);
        let numbers: Vec<usize> = (0..self.rows.keys).collect();
        if self.shape.gives_pairs() {
            let outer = self.shape.keeps_probe_rows();
            let pairs = table.probe(queue, reservation, &batch, &numbers, outer)?;
            batch.columns.drain(..self.rows.keys);
            self.pairs = Some((pairs, batch));
            return Ok(None);
        }
        // Whether there is a match is all that counts; the table marks the build rows.
        let found = table.exists(queue, reservation, &batch, &numbers)?;
        if self.shape.ends_with_build_rows() {
            return Ok(None);
        }
        batch.columns.drain(..self.rows.keys);
        if self.shape.join_type == JoinType::RightMark {
            let mark = found.column(device, queue, reservation)?;
            return Ok(Some(self.result(batch.rows, None, Some(batch), Some(mark))));
        }
        let matched = self.shape.join_type != JoinType::RightAnti;
        let JoinRows { rows, n } = found.rows(device, queue, reservation, matched)?;
        if n == 0 {
            return Ok(None);
        }
        let rows = gather::gather(device, queue, reservation, &batch, &rows, n, false)?;
        Ok(Some(self.result(n, None, Some(rows), None)))
    }

    /// The next piece of what was looked up; `None` when there is no more.
    fn next(&mut self) -> Result<Option<DeviceBatch>, KernelError> {
        let began = Instant::now();
        let made = self.with_queue(|this, queue, reservation| {
            if this.rest.is_some() {
                return this.rest_piece(queue, reservation);
            }
            let Some((pairs, batch)) = &mut this.pairs else { return Ok(None) };
            let device = &*this.placed.device;
            let Some(piece) = pairs.next(queue, reservation)? else {
                this.pairs = None;
                return Ok(None);
            };
            let outer = this.shape.keeps_probe_rows();
            let build = &this.built.payload;
            let build =
                gather::gather(device, queue, reservation, build, &piece.build, piece.n, outer)?;
            let probe =
                gather::gather(device, queue, reservation, batch, &piece.probe, piece.n, false)?;
            debug_assert_eq!((build.rows, probe.rows), (piece.n, piece.n));
            Ok(Some(this.result(piece.n, Some(build), Some(probe), None)))
        })?;
        if let Some(batch) = &made {
            self.metrics.kernel(&self.placed, "join gather", began, batch.rows);
        }
        Ok(made)
    }

    /// Prepares the build rows that come out when all partitions have probed; nothing but for
    /// the last of them.
    fn end(
        &mut self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
    ) -> Result<Option<DeviceBatch>, KernelError> {
        if !self.shape.ends_with_build_rows() {
            return Ok(None);
        }
        // The marks of this partition are there before it says that it is done.
        queue.synchronize()?;
        if self.built.probing.fetch_sub(1, AcqRel) > 1 || self.built.is_empty() {
            return Ok(None);
        }
        let (device, table) = (&*self.placed.device, &self.built.table);
        match self.shape.join_type {
            JoinType::LeftMark => {
                let marks = table.build_marks(queue, reservation)?;
                let mark = marks.column(device, queue, reservation)?;
                let build = self.built.payload.clone();
                return Ok(Some(self.result(build.rows, Some(build), None, Some(mark))));
            }
            JoinType::LeftSemi => {
                self.rest = Some((table.matched_build(queue, reservation)?, 0));
            }
            _ => self.rest = Some((table.unmatched_build(queue, reservation)?, 0)),
        }
        Ok(None)
    }

    /// The next of the build rows at the end; the columns of the probe side are null there.
    fn rest_piece(
        &mut self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
    ) -> Result<Option<DeviceBatch>, KernelError> {
        let Some((numbers, done)) = &mut self.rest else { return Ok(None) };
        let device = &*self.placed.device;
        let n = (numbers.n - *done).min(self.built.max_pairs);
        if n == 0 {
            self.rest = None;
            return Ok(None);
        }
        let (ty, storage, values) = (PhysType::U32, Storage::Wide, numbers.rows.clone());
        let column = DeviceColumn { ty, storage, values, bit_offset: 0, validity: Validity::All };
        let numbers = DeviceBatch { rows: numbers.n, columns: vec![column] };
        let numbers = gather::slice(device, queue, reservation, &numbers, *done, n)?;
        *done += n;
        let build = &self.built.payload;
        let numbers = &numbers.columns[0].values;
        let build = gather::gather(device, queue, reservation, build, numbers, n, false)?;
        let probes = self.rows.columns.iter().any(|c| matches!(c, From::Probe(_)));
        let probe = match probes {
            true => {
                let types = self.outputs.iter().skip(self.rows.keys).map(|o| o.ty);
                let none = empty(device, reservation, types)?;
                let missing = device.alloc(reservation, n * 4)?;
                queue.fill(&missing, NO_ROW)?;
                Some(gather::gather(device, queue, reservation, &none, &missing, n, true)?)
            }
            false => None,
        };
        Ok(Some(self.result(n, Some(build), probe, None)))
    }

    /// The result's columns from those of both sides.
    fn result(
        &self,
        rows: usize,
        build: Option<DeviceBatch>,
        probe: Option<DeviceBatch>,
        mark: Option<DeviceColumn>,
    ) -> DeviceBatch {
        let of = |side: &Option<DeviceBatch>, at: usize| {
            let side = side.as_ref().expect("a side whose columns the result has");
            side.columns[at].clone()
        };
        let column = |from: &From| match from {
            From::Build(at) => of(&build, *at),
            From::Probe(at) => of(&probe, *at),
            From::Mark => mark.clone().expect("the mark of a mark join"),
        };
        DeviceBatch { rows, columns: self.rows.columns.iter().map(column).collect() }
    }

    /// One step: with the next batch of the probe side, at its end with `None`, or on with what
    /// was looked up.
    fn step(
        &mut self,
        input: Option<Option<DeviceBatch>>,
    ) -> Result<(Step, Option<DeviceBatch>), KernelError> {
        let made = match input {
            Some(input) => {
                let ended = input.is_none();
                let made = self.take(input)?;
                let on = self.pairs.is_some() || self.rest.is_some();
                let step = match (on, ended) {
                    (true, _) => Step::GoOn,
                    (false, true) => Step::Done,
                    (false, false) => Step::Ask,
                };
                (step, made)
            }
            None => {
                let last = self.rest.is_some();
                match self.next()? {
                    Some(batch) => (Step::GoOn, Some(batch)),
                    None if last => (Step::Done, None),
                    None => (Step::Ask, None),
                }
            }
        };
        if let Some(batch) = &made.1 {
            self.metrics.output(batch.rows, batch_bytes(batch));
        }
        Ok(made)
    }
}

/// The result of one partition, piece by piece as the reader asks.
pub(super) fn probe(
    input: BoxStream<'static, Result<DeviceBatch>>,
    prober: Prober,
) -> BoxStream<'static, Result<DeviceBatch>> {
    let state = (input, prober, Step::Ask);
    let pieces = stream::try_unfold(state, |(mut input, mut prober, step)| async move {
        let next = match step {
            Step::Done => return Ok(None),
            Step::GoOn => None,
            Step::Ask => Some(input.try_next().await?),
        };
        let placed = prober.placed.clone();
        let (prober, made) = placed
            .run(move || {
                let made = prober.step(next);
                (prober, made)
            })
            .await?;
        let failed = |e| failed(&prober.placed, &prober.metrics, OPERATOR, e);
        let (step, batch) = made.map_err(failed)?;
        let piece = stream::iter(batch.map(Ok));
        Ok::<_, DataFusionError>(Some((piece, (input, prober, step))))
    });
    pieces.try_flatten().boxed()
}
