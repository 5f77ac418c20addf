//! What joins with their rows on the host have in common: a side that is made once, and the
//! batches of the other side, one after the other.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::concat_batches,
    datatypes::SchemaRef,
};
use datafusion::{
    common::runtime::SpawnedTask,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
};
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, Shared},
    stream,
    stream::BoxStream,
};
use windlass_device::Queue;
use windlass_kernels::KernelError;

use crate::{
    error::{find_source, out_of_device_memory},
    nodes::{DeviceFailure, Placed, download::slices, metrics::DeviceMetrics, several::Sharing},
};

/// A side in the making, for all that ask for it.
pub(super) type Making<T> = Shared<BoxFuture<'static, Result<Arc<T>, Arc<DataFusionError>>>>;

/// A side that is made when the first one asks.
pub(super) fn making<T: Send + Sync + 'static>(
    task: impl Future<Output = Result<T>> + Send + 'static,
) -> Making<T> {
    let task = async move { task.await.map(Arc::new).map_err(Arc::new) };
    task.boxed().shared()
}

/// All rows of the partitions of a side, whose memory `memory` then holds.
pub(super) async fn all_rows(
    streams: Vec<SendableRecordBatchStream>,
    schema: &SchemaRef,
    memory: &MemoryReservation,
) -> Result<RecordBatch> {
    let mut tasks = Vec::with_capacity(streams.len());
    for stream in streams {
        let mine = memory.new_empty();
        tasks.push(SpawnedTask::spawn(collect(stream, mine)));
    }
    let (mut batches, mut kept) = (Vec::new(), Vec::new());
    for task in tasks {
        let part = task.join_unwind().await.map_err(|e| DataFusionError::External(Box::new(e)))?;
        let (part, mine) = part?;
        batches.extend(part);
        kept.push(mine);
    }
    let batch = concat_batches(schema, &batches)?;
    // The rows are held once: the pieces go.
    let held = kept.iter().map(MemoryReservation::size).sum();
    drop((batches, kept));
    memory.try_grow(held)?;
    Ok(batch)
}

/// The rows of one partition, with the memory that they take.
async fn collect(
    mut stream: SendableRecordBatchStream,
    memory: MemoryReservation,
) -> Result<(Vec<RecordBatch>, MemoryReservation)> {
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        if batch.num_rows() > 0 {
            memory.try_grow(batch.get_array_memory_size())?;
            batches.push(batch);
        }
    }
    Ok((batches, memory))
}

/// Which rows of the side that was made have a pair; all partitions of the other side mark them.
#[derive(Debug)]
pub(super) struct Visited(Vec<AtomicBool>);

impl Visited {
    /// Of `rows` rows none has a pair yet.
    pub(super) fn none(rows: usize) -> Self {
        Self((0..rows).map(|_| AtomicBool::new(false)).collect())
    }

    /// The rows of these numbers have one; a null is no row.
    pub(super) fn add(&self, rows: &UInt32Array) {
        rows.iter().flatten().for_each(|row| self.0[row as usize].store(true, Relaxed));
    }

    /// The numbers of the rows that have one, or with `wanted` false of those that have none.
    pub(super) fn rows(&self, wanted: bool) -> UInt32Array {
        let flag = |row: &u32| self.0[*row as usize].load(Relaxed) == wanted;
        (0..self.0.len() as u32).filter(flag).collect::<Vec<_>>().into()
    }
}

/// What takes the rows of one partition works with: a device with a queue of its own, and the
/// figures.
pub(super) struct Worker {
    pub(super) placed: Placed,
    pub(super) metrics: DeviceMetrics,
    operator: &'static str,
    queue: Option<Box<dyn Queue>>,
    /// Most rows of a batch of the result.
    pub(super) batch_rows: usize,
}

impl Worker {
    pub(super) fn new(
        placed: Placed,
        metrics: DeviceMetrics,
        operator: &'static str,
        batch_rows: usize,
    ) -> Self {
        Self { placed, metrics, operator, queue: None, batch_rows }
    }

    /// What the device gave.
    pub(super) fn on_device<T>(&self, result: Result<T, KernelError>) -> Result<T> {
        result.map_err(|source| {
            let (device, operator) = (self.placed.name(), self.operator);
            DeviceFailure { device, operator, source }.into()
        })
    }

    /// Takes note of what came of a batch, or of the end.
    fn noted(&self, out: Result<Vec<RecordBatch>>) -> Result<Vec<RecordBatch>> {
        match &out {
            Ok(batches) => {
                let rows = batches.iter().map(RecordBatch::num_rows).sum();
                self.metrics.baseline.output_rows().add(rows);
            }
            Err(e) => {
                if let Some(e) = find_source::<DeviceFailure>(e) {
                    self.metrics.fallback(&self.placed, self.operator, &e.source);
                }
            }
        }
        out
    }

    /// The queue, which [`Worker::keep`] takes back.
    pub(super) fn queue(&mut self) -> Result<Box<dyn Queue>> {
        match self.queue.take() {
            Some(queue) => Ok(queue),
            None => self.on_device(self.placed.device.queue().map_err(KernelError::from)),
        }
    }

    /// For the next batch.
    pub(super) fn keep(&mut self, queue: Box<dyn Queue>) {
        self.queue = Some(queue);
    }

    /// Waits for what was launched for the batches so far.
    pub(super) fn synchronize(&mut self) -> Result<()> {
        let done = self.queue.as_mut().map_or(Ok(()), |queue| queue.synchronize());
        self.on_device(done.map_err(KernelError::from))
    }

    /// A part of the result, in batches.
    pub(super) fn push(&self, batch: RecordBatch, out: &mut Vec<RecordBatch>) {
        out.extend(slices(batch, self.batch_rows));
    }
}

/// Takes the rows of one partition of the side that is not made.
pub(super) trait TakesRows: Send + 'static {
    /// What it works with.
    fn worker(&self) -> &Worker;

    /// The rows that a batch gives.
    fn take(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>>;

    /// The rows that come after the last batch.
    fn end(&mut self) -> Result<Vec<RecordBatch>>;
}

/// Rows under which a batch that the device has no memory for is not split further. A stated
/// guess: the pairs of so few rows, of which a piece at a time is on the device, are no smaller.
const LEAST_ROWS: usize = 1024;

/// What a batch gives, in halves where the device has no memory for it.
fn halved<T: TakesRows>(taker: &mut T, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
    let rows = batch.num_rows();
    match taker.take(batch) {
        Err(e) if rows > LEAST_ROWS && out_of_device_memory(&e) => {
            let worker = taker.worker();
            if let Some(e) = find_source::<DeviceFailure>(&e) {
                worker.metrics.in_parts(&worker.placed, worker.operator, &e.source);
            }
            let half = rows / 2;
            let mut out = halved(taker, &batch.slice(0, half))?;
            out.extend(halved(taker, &batch.slice(half, rows - half))?);
            Ok(out)
        }
        out => out,
    }
}

/// The result of one partition, batch by batch; nothing without somebody to take its rows.
pub(super) fn results<T: TakesRows>(
    rows: BoxStream<'static, Result<RecordBatch>>,
    taker: Option<T>,
) -> impl futures::Stream<Item = Result<RecordBatch>> + Send {
    let state = taker.map(|taker| (rows, taker));
    let batches = stream::try_unfold(state, |state| async move {
        let Some((mut rows, mut taker)) = state else { return Ok(None) };
        let batch = rows.try_next().await?;
        let placed = taker.worker().placed.clone();
        let (taker, ended, out) = placed
            .run(move || {
                let out = match &batch {
                    Some(batch) => halved(&mut taker, batch),
                    None => taker.end(),
                };
                let out = taker.worker().noted(out);
                (taker, batch.is_none(), out)
            })
            .await?;
        let out = stream::iter(out?.into_iter().map(Ok));
        Ok::<_, DataFusionError>(Some((out, (!ended).then_some((rows, taker)))))
    });
    batches.try_flatten()
}

/// The result of one of so many partitions, batch by batch, each by one of the devices that share them.
/// Whoever takes a batch takes it whole; what comes after the last one is for one that is nowhere
/// but at `placed`, the node's place.
pub(super) fn shared_results<T: TakesRows>(
    rows: BoxStream<'static, Result<RecordBatch>>,
    (sharing, streams): (Sharing, usize),
    placed: Placed,
    taker: impl Fn(&Placed) -> T + Send + Sync + 'static,
) -> BoxStream<'static, Result<RecordBatch>> {
    let (width, taker) = (sharing.width(streams), Arc::new(taker));
    let last = Arc::clone(&taker);
    let batches = rows.map(move |batch| {
        let (sharing, taker) = (sharing.clone(), Arc::clone(&taker));
        async move {
            let batch = batch?;
            let rows = batch.num_rows();
            let take = move |placed: &Placed| {
                let mut taker = taker(placed);
                let out = halved(&mut taker, &batch);
                taker.worker().noted(out)
            };
            let out = sharing.anywhere(rows, take).await?;
            Ok::<_, DataFusionError>(stream::iter(out.into_iter().map(Ok)))
        }
    });
    let end = stream::once(async move {
        let mut taker = last(&placed);
        let end = move || {
            let out = taker.end();
            taker.worker().noted(out)
        };
        let out = placed.run(end).await??;
        Ok(stream::iter(out.into_iter().map(Ok)))
    });
    batches.buffered(width).chain(end).try_flatten().boxed()
}
