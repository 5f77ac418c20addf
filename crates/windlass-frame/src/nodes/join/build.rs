//! The build side of a join: its rows on the host, its table on the device.

use std::sync::{Arc, atomic::AtomicUsize};

use arrow::{array::RecordBatch, compute::concat_batches};
use datafusion::{
    error::Result,
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
};
use windlass_kernels::{
    KernelError,
    join::{JoinOptions, JoinTable, Marks},
};

use super::{
    OPERATOR, Parts,
    shape::Shape,
    shared::Visited,
    spilled::{Spilled, ToDisk},
};
use crate::nodes::{
    download::slices,
    failure::{failed, is_out_of_memory},
    keys::KeyEvaluator,
    metrics::DeviceMetrics,
};

/// The build side, made once and shared by the partitions that probe it.
#[derive(Debug)]
pub(super) struct Built {
    /// All its rows.
    pub(super) batch: RecordBatch,
    pub(super) table: JoinTable,
    pub(super) keys: KeyEvaluator,
    /// Rows with a pair that passed the join's filter; only where those decide.
    pub(super) visited: Option<Visited>,
    /// Partitions that still probe.
    pub(super) probing: AtomicUsize,
    _memory: MemoryReservation,
}

/// What is made of a build side.
#[derive(Debug)]
pub(super) enum BuildSide {
    Held(Arc<Built>),
    Spilled(Arc<Spilled>),
}

/// Rows of a batch on their way to disk that were one batch already. DataFusion's batch size.
const PIECE_ROWS: usize = 8192;

/// Reads the streams of the build side's partitions, for `probing` partitions: into a table, or
/// into files where memory has no room for it.
pub(super) async fn build(
    parts: Parts,
    streams: Vec<SendableRecordBatchStream>,
    memory: MemoryReservation,
    metrics: DeviceMetrics,
    probing: usize,
    to_disk: ToDisk,
) -> Result<BuildSide> {
    let batch = match to_disk.collect_all(streams, &memory).await? {
        Ok((batches, kept)) => {
            let batch = concat_batches(&parts.join.left().schema(), &batches)?;
            // The rows are held once: the pieces go.
            drop((batches, kept));
            match memory.try_grow(batch.get_array_memory_size()) {
                Ok(()) => batch,
                Err(_) if to_disk.can() => return through_files(&to_disk, &batch),
                Err(e) => return Err(e),
            }
        }
        Err(files) => return Ok(BuildSide::Spilled(Arc::new(Spilled::new(files)))),
    };
    let (join, tells) = (Arc::clone(&parts.join), parts.tells);
    match table(parts, &batch, &metrics).await? {
        Ok((table, keys, visited)) => {
            tells.publish_of(&join, &batch)?;
            let probing = AtomicUsize::new(probing);
            let rows = batch.num_rows();
            tracing::debug!(rows, "{OPERATOR}: built");
            let built = Built { batch, table, keys, visited, probing, _memory: memory };
            Ok(BuildSide::Held(Arc::new(built)))
        }
        Err(e) if is_out_of_memory(&e) && to_disk.can() => {
            metrics.in_parts(&to_disk.parts().placed, OPERATOR, &e);
            through_files(&to_disk, &batch)
        }
        Err(e) => Err(failed(&to_disk.parts().placed, &metrics, OPERATOR, e)),
    }
}

/// Rows that were in one batch already.
fn through_files(to_disk: &ToDisk, batch: &RecordBatch) -> Result<BuildSide> {
    let files = to_disk.all(slices(batch.clone(), PIECE_ROWS))?;
    Ok(BuildSide::Spilled(Arc::new(Spilled::new(files))))
}

/// A table, the keys of the probe side, and which rows have a pair.
type Table = (JoinTable, KeyEvaluator, Option<Visited>);

/// The table of a build side. The outer error is not the device's.
async fn table(
    parts: Parts,
    batch: &RecordBatch,
    metrics: &DeviceMetrics,
) -> Result<Result<Table, KernelError>> {
    let shape = Arc::clone(&parts.shape);
    let placed = parts.placed.clone();
    let host = batch.clone();
    let metrics_of = metrics.clone();
    placed
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
            let visited = by_filter.then(|| Visited::none(host.num_rows()));
            Ok::<_, KernelError>((table, keys, visited))
        })
        .await
}

/// Which build rows the table marks: where the join's filter decides, the host does.
fn options(shape: &Shape, parts: &Parts) -> JoinOptions {
    let marks = match shape.ends_with_build_rows() && shape.filter.is_none() {
        true => Marks::Keys,
        false => Marks::None,
    };
    JoinOptions { null_equals_null: shape.null_equals_null, max_pairs: parts.max_pairs, marks }
}
