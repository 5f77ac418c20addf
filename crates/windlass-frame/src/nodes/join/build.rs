//! The build side of a join: its rows on the host, its table on the device.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize},
};

use arrow::{array::RecordBatch, compute::concat_batches};
use datafusion::{
    common::runtime::SpawnedTask,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
};
use futures::{
    FutureExt, TryStreamExt,
    future::{BoxFuture, Shared},
};
use windlass_kernels::{
    KernelError,
    join::{JoinOptions, JoinTable, Marks},
};

use super::{OPERATOR, Parts, shape::Shape};
use crate::nodes::{keys::KeyEvaluator, metrics::DeviceMetrics};

/// The build side, made once and shared by the partitions that probe it.
#[derive(Debug)]
pub(super) struct Built {
    /// All its rows.
    pub(super) batch: RecordBatch,
    pub(super) table: JoinTable,
    pub(super) keys: KeyEvaluator,
    /// Rows with a pair that passed the join's filter; only where those decide.
    pub(super) visited: Option<Vec<AtomicBool>>,
    /// Partitions that still probe.
    pub(super) probing: AtomicUsize,
    _memory: MemoryReservation,
}

/// A build side in the making.
pub(super) type Building = Shared<BoxFuture<'static, Result<Arc<Built>, Arc<DataFusionError>>>>;

/// Starts to build from the streams of the build side's partitions, for `probing` partitions.
pub(super) fn start(
    parts: Parts,
    streams: Vec<SendableRecordBatchStream>,
    memory: MemoryReservation,
    metrics: DeviceMetrics,
    probing: usize,
) -> Building {
    let task = async move {
        let built = build(parts, streams, memory, metrics, probing).await;
        built.map(Arc::new).map_err(Arc::new)
    };
    task.boxed().shared()
}

async fn build(
    parts: Parts,
    streams: Vec<SendableRecordBatchStream>,
    memory: MemoryReservation,
    metrics: DeviceMetrics,
    probing: usize,
) -> Result<Built> {
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
    let schema = parts.join.left().schema();
    let batch = concat_batches(&schema, &batches)?;
    // The rows are held once: the pieces go.
    let held = kept.iter().map(MemoryReservation::size).sum();
    drop((batches, kept));
    memory.try_grow(held)?;
    let shape = Arc::clone(&parts.shape);
    let placed = parts.placed.clone();
    let host = batch.clone();
    let (join, metrics_of) = (Arc::clone(&parts.join), metrics.clone());
    let tells = parts.tells;
    let made = placed
        .run(move || {
            let began = std::time::Instant::now();
            let keys = KeyEvaluator::new(&parts.placed, &parts.left_keys);
            let device = &parts.placed.device;
            let mut queue = device.queue()?;
            let mut reservation = device.pool().reserve(0)?;
            let columns = keys.evaluate(&mut *queue, &mut reservation, &host)?;
            let numbers: Vec<usize> = (0..columns.columns.len()).collect();
            let options = options(&shape, &parts);
            let table = JoinTable::build(
                device,
                &mut *queue,
                &mut reservation,
                &columns,
                &numbers,
                options,
            )?;
            // Other queues read the table.
            queue.synchronize()?;
            metrics_of.kernel(&parts.placed, "join build", began, host.num_rows());
            let keys =
                KeyEvaluator::sharing(&parts.placed, &parts.right_keys, &keys.dictionaries());
            let by_filter = shape.filter.is_some() && shape.ends_with_build_rows();
            let visited =
                by_filter.then(|| (0..host.num_rows()).map(|_| AtomicBool::new(false)).collect());
            Ok::<_, KernelError>((table, keys, visited))
        })
        .await?;
    let (table, keys, visited) = made.map_err(|e| super::failed(&placed, &metrics, e))?;
    tells.publish_of(&join, &batch)?;
    let probing = AtomicUsize::new(probing);
    tracing::debug!(rows = batch.num_rows(), device = %placed.name(), "{OPERATOR}: built");
    Ok(Built { batch, table, keys, visited, probing, _memory: memory })
}

/// Which build rows the table marks: where the join's filter decides, the host does.
fn options(shape: &Shape, parts: &Parts) -> JoinOptions {
    let marks = match shape.ends_with_build_rows() && shape.filter.is_none() {
        true => Marks::Keys,
        false => Marks::None,
    };
    JoinOptions { null_equals_null: shape.null_equals_null, max_pairs: parts.max_pairs, marks }
}

/// The rows of one partition, with the memory that they take.
pub(super) async fn collect(
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
