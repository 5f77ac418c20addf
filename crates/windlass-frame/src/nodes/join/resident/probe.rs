//! The probe side of a join on the device: what is looked up, and what is gathered of it.

use std::{
    sync::{Arc, atomic::Ordering::AcqRel},
    time::Instant,
};

use datafusion::{
    common::JoinType,
    error::{DataFusionError, Result},
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use windlass_device::{DeviceBuffer, Queue, Reservation};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, KernelError, PhysType, Storage, Validity, gather,
    join::{JoinPairs, JoinRows, Matches, NO_ROW, Probe},
};

use super::{
    super::{OPERATOR, pair_test::Pairs, shape::Shape},
    build::{Built, empty},
    rows::{From, Residual, RowsPlan},
};
use crate::{
    batch::DictionarySet,
    lower::OutputColumn,
    nodes::{
        Placed,
        failure::failed,
        metrics::{DeviceMetrics, batch_bytes},
    },
};

/// The build side, where there is something for each side.
const BUILD: usize = 0;

/// The probe side.
const PROBE: usize = 1;

/// What the next step of a probe does.
enum Step {
    /// Takes the next batch of the probe side.
    Ask,
    /// Goes on with what it has.
    GoOn,
    /// There is no more.
    Done,
}

/// What is left to give, a piece at a time.
enum Work {
    Pairs(Box<Found>),
    Rows(Side),
}

/// Pairs of a probe batch that are to come.
struct Found {
    pairs: Probe,
    /// The payload of the probe batch.
    batch: DeviceBatch,
    /// Which of its rows have a pair that passed the join's filter; only where those decide.
    matches: Option<Matches>,
}

/// Rows of one side; the columns of the other are null there.
struct Side {
    /// Which: [`BUILD`] or [`PROBE`].
    of: usize,
    /// The payload that they are rows of.
    batch: DeviceBatch,
    numbers: JoinRows,
    done: usize,
}

/// Work to come, and rows that come at once.
type Made = (Option<Work>, Option<DeviceBatch>);

/// What a prober needs.
pub(super) struct Parts {
    pub(super) placed: Placed,
    pub(super) shape: Arc<Shape>,
    pub(super) rows: Arc<RowsPlan>,
    /// The outputs of the probe side's pipeline: keys, then payload.
    pub(super) outputs: Arc<[OutputColumn]>,
    pub(super) built: Arc<Built>,
    /// The dictionaries of the filter on the pairs.
    pub(super) residual_texts: Option<Arc<DictionarySet>>,
    pub(super) metrics: DeviceMetrics,
}

/// Probes for one partition, on a queue of its own.
struct Prober {
    parts: Parts,
    queue: Option<Box<dyn Queue>>,
    work: Option<Work>,
    /// Whether the probe side has.
    ended: bool,
}

/// The result of one partition, piece by piece as the reader asks.
pub(super) fn probe(
    input: BoxStream<'static, Result<DeviceBatch>>,
    parts: Parts,
) -> BoxStream<'static, Result<DeviceBatch>> {
    let prober = Prober { parts, queue: None, work: None, ended: false };
    let state = (input, prober, Step::Ask);
    let pieces = stream::try_unfold(state, |(mut input, mut prober, step)| async move {
        let next = match step {
            Step::Done => return Ok(None),
            Step::GoOn => None,
            Step::Ask => Some(input.try_next().await?),
        };
        let placed = prober.parts.placed.clone();
        let (prober, made) = placed
            .run(move || {
                let made = prober.step(next);
                (prober, made)
            })
            .await?;
        let failed = |e| failed(&prober.parts.placed, &prober.parts.metrics, OPERATOR, e);
        let (step, batch) = made.map_err(failed)?;
        let piece = stream::iter(batch.map(Ok));
        Ok::<_, DataFusionError>(Some((piece, (input, prober, step))))
    });
    pieces.try_flatten().boxed()
}

impl Prober {
    /// One step: with the next batch of the probe side, at its end with `None`, or on with what
    /// was looked up.
    fn step(
        &mut self,
        input: Option<Option<DeviceBatch>>,
    ) -> Result<(Step, Option<DeviceBatch>), KernelError> {
        let (began, work) = (Instant::now(), self.work.take());
        self.ended |= matches!(input, Some(None));
        let (name, taken) = match &input {
            Some(batch) => ("join probe", batch.as_ref().map_or(0, |b| b.rows)),
            None => ("join gather", 0),
        };
        let device = Arc::clone(&self.parts.placed.device);
        let mut queue = match self.queue.take() {
            Some(queue) => queue,
            None => device.queue()?,
        };
        let mut reservation = device.pool().reserve(0)?;
        let (on, memory) = (&mut *queue, &mut reservation);
        let (work, made) = match (input, work) {
            (Some(Some(batch)), _) => self.parts.look_up(on, memory, batch)?,
            (Some(None), _) => self.parts.end(on, memory)?,
            (None, Some(Work::Pairs(found))) => self.parts.pairs(on, memory, found)?,
            (None, Some(Work::Rows(rows))) => self.parts.rows(on, memory, rows)?,
            (None, None) => (None, None),
        };
        // Others read the piece.
        queue.synchronize()?;
        (self.queue, self.work) = (Some(queue), work);
        let Parts { placed, metrics, .. } = &self.parts;
        let rows = taken.max(made.as_ref().map_or(0, |b| b.rows));
        metrics.kernel(placed, name, began, rows);
        if let Some(batch) = &made {
            metrics.output(batch.rows, batch_bytes(batch));
        }
        let step = match (&self.work, self.ended) {
            (Some(_), _) => Step::GoOn,
            (None, true) => Step::Done,
            (None, false) => Step::Ask,
        };
        Ok((step, made))
    }
}

impl Parts {
    /// Looks a batch of the probe side up.
    fn look_up(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        mut batch: DeviceBatch,
    ) -> Result<Made, KernelError> {
        let (device, table, shape) = (&*self.placed.device, &self.built.table, &self.shape);
        let numbers: Vec<usize> = (0..self.rows.keys).collect();
        let residual = self.rows.residual.is_some();
        if residual || shape.gives_pairs() {
            let outer = !residual && shape.keeps_probe_rows();
            let pairs = table.probe(queue, reservation, &batch, &numbers, outer)?;
            batch.columns.drain(..self.rows.keys);
            let matches = match residual && shape.decides_by_probe_rows() {
                true => Some(Matches::none(device, queue, reservation, batch.rows)?),
                false => None,
            };
            return Ok((Some(Work::Pairs(Box::new(Found { pairs, batch, matches }))), None));
        }
        // Whether there is a match is all that counts; the table marks the build rows.
        let found = table.exists(queue, reservation, &batch, &numbers)?;
        if shape.ends_with_build_rows() {
            return Ok((None, None));
        }
        batch.columns.drain(..self.rows.keys);
        self.by_match(queue, reservation, &found, batch)
    }

    /// The rows of a probe batch that come out by whether they have a match: in a mark join all
    /// of them, with the mark.
    fn by_match(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        found: &Matches,
        batch: DeviceBatch,
    ) -> Result<Made, KernelError> {
        let device = &*self.placed.device;
        if self.shape.join_type == JoinType::RightMark {
            let mark = found.column(device, queue, reservation)?;
            return Ok((None, Some(self.result(batch.rows, None, Some(batch), Some(mark)))));
        }
        let matched = self.shape.join_type == JoinType::RightSemi;
        let numbers = found.rows(device, queue, reservation, matched)?;
        let rows = Side { of: PROBE, batch, numbers, done: 0 };
        Ok(((rows.numbers.n > 0).then_some(Work::Rows(rows)), None))
    }

    /// The next pairs of what was found, without those that the filter drops.
    fn pairs(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        mut found: Box<Found>,
    ) -> Result<Made, KernelError> {
        let (device, shape) = (&*self.placed.device, &self.shape);
        let Some(mut piece) = found.pairs.next(queue, reservation)? else {
            let Found { batch, matches, .. } = *found;
            return match matches {
                Some(matches) => self.by_match(queue, reservation, &matches, batch),
                None => Ok((None, None)),
            };
        };
        if let Some(residual) = &self.rows.residual {
            piece = self.passing(queue, reservation, residual, &piece, &found.batch)?;
            if let Some(matches) = &found.matches {
                matches.add(device, queue, reservation, &piece.probe, piece.n)?;
            }
            if shape.ends_with_build_rows() {
                self.built.table.mark_matched(queue, reservation, &piece)?;
            }
        }
        let JoinPairs { probe, build, n } = piece;
        if n == 0 || !shape.gives_pairs() {
            return Ok((Some(Work::Pairs(found)), None));
        }
        let outer = self.rows.residual.is_none() && shape.keeps_probe_rows();
        let of_build = self.taken(&self.built.payload, BUILD);
        let of_probe = self.taken(&found.batch, PROBE);
        let build = gather::gather(device, queue, reservation, &of_build, &build, n, outer)?;
        let probe = gather::gather(device, queue, reservation, &of_probe, &probe, n, false)?;
        debug_assert_eq!((build.rows, probe.rows), (n, n));
        let made = self.result(n, Some(build), Some(probe), None);
        Ok((Some(Work::Pairs(found)), Some(made)))
    }

    /// The pairs of a piece in which the join's filter is true.
    fn passing(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        Residual { test, places }: &Residual,
        piece: &JoinPairs,
        batch: &DeviceBatch,
    ) -> Result<JoinPairs, KernelError> {
        let (device, n) = (&*self.placed.device, piece.n);
        let read = |batch: &DeviceBatch, places: &[usize]| {
            let columns = places.iter().map(|at| batch.columns[*at].clone()).collect();
            DeviceBatch { rows: batch.rows, columns }
        };
        let (build, probe) =
            (read(&self.built.payload, &places[BUILD]), read(batch, &places[PROBE]));
        let left = gather::gather(device, queue, reservation, &build, &piece.build, n, false)?;
        let right = gather::gather(device, queue, reservation, &probe, &piece.probe, n, false)?;
        let (of_build, of_probe) = (row_numbers(&piece.build), row_numbers(&piece.probe));
        let numbers = [&of_build, &of_probe];
        let pairs = Pairs { n, left: &left.columns, right: &right.columns, numbers };
        let texts = self.residual_texts.as_ref().expect("a filter has its dictionaries");
        let kept = test.passing(device, queue, reservation, pairs, texts)?;
        let words = |at: usize| kept.columns[at].values.clone();
        Ok(JoinPairs { build: words(BUILD), probe: words(PROBE), n: kept.rows })
    }

    /// What comes when the probe side has ended: the build rows, when all partitions have
    /// probed; nothing but for the last of them.
    fn end(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
    ) -> Result<Made, KernelError> {
        if !self.shape.ends_with_build_rows() {
            return Ok((None, None));
        }
        // The marks of this partition are there before it says that it is done.
        queue.synchronize()?;
        if self.built.probing.fetch_sub(1, AcqRel) > 1 || self.built.is_empty() {
            return Ok((None, None));
        }
        let (device, table) = (&*self.placed.device, &self.built.table);
        let batch = self.built.payload.clone();
        let numbers = match self.shape.join_type {
            JoinType::LeftMark => {
                let marks = table.build_marks(queue, reservation)?;
                let mark = marks.column(device, queue, reservation)?;
                return Ok((None, Some(self.result(batch.rows, Some(batch), None, Some(mark)))));
            }
            JoinType::LeftSemi => table.matched_build(queue, reservation)?,
            _ => table.unmatched_build(queue, reservation)?,
        };
        let rows = Side { of: BUILD, batch, numbers, done: 0 };
        Ok(((rows.numbers.n > 0).then_some(Work::Rows(rows)), None))
    }

    /// The next rows of one side; the columns of the other are null there.
    fn rows(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        mut side: Side,
    ) -> Result<Made, KernelError> {
        let device = &*self.placed.device;
        let n = (side.numbers.n - side.done).min(self.built.max_pairs);
        let columns = vec![row_numbers(&side.numbers.rows)];
        let all = DeviceBatch { rows: side.numbers.n, columns };
        let part = gather::slice(device, queue, reservation, &all, side.done, n)?;
        side.done += n;
        let (own, numbers) = (self.taken(&side.batch, side.of), &part.columns[0].values);
        let own = Some(gather::gather(device, queue, reservation, &own, numbers, n, false)?);
        let made = match side.of {
            BUILD => {
                let nulls = self.nulls(queue, reservation, PROBE, n)?;
                self.result(n, own, Some(nulls), None)
            }
            _ => {
                let nulls = self.nulls(queue, reservation, BUILD, n)?;
                self.result(n, Some(nulls), own, None)
            }
        };
        let more = side.done < side.numbers.n;
        Ok((more.then_some(Work::Rows(side)), Some(made)))
    }

    /// The columns of a side's payload that the result takes.
    fn taken(&self, payload: &DeviceBatch, side: usize) -> DeviceBatch {
        let columns = payload.columns[..self.rows.taken[side]].to_vec();
        DeviceBatch { rows: payload.rows, columns }
    }

    /// Rows of nulls in the place of a side's columns.
    fn nulls(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        side: usize,
        n: usize,
    ) -> Result<DeviceBatch, KernelError> {
        let (device, taken) = (&*self.placed.device, self.rows.taken[side]);
        if taken == 0 {
            return Ok(DeviceBatch { rows: n, columns: Vec::new() });
        }
        let none = match side {
            BUILD => self.taken(&self.built.payload, BUILD),
            _ => {
                let types = self.outputs.iter().skip(self.rows.keys).take(taken).map(|o| o.ty);
                empty(device, reservation, types)?
            }
        };
        let missing = device.alloc(reservation, n * 4)?;
        queue.fill(&missing, NO_ROW)?;
        gather::gather(device, queue, reservation, &none, &missing, n, true)
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
}

/// Row numbers as a column.
fn row_numbers(words: &DeviceBuffer) -> DeviceColumn {
    let (ty, storage, values) = (PhysType::U32, Storage::Wide, words.clone());
    DeviceColumn { ty, storage, values, bit_offset: 0, validity: Validity::All }
}
