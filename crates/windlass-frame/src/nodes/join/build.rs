//! The build side of a join: its rows on the host, its table on the device.

use std::sync::{Arc, atomic::AtomicUsize};

use arrow::array::RecordBatch;
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
    shared::{Visited, all_rows},
};
use crate::nodes::{failure::failed, keys::KeyEvaluator, metrics::DeviceMetrics};

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

/// Builds from the streams of the build side's partitions, for `probing` partitions.
pub(super) async fn build(
    parts: Parts,
    streams: Vec<SendableRecordBatchStream>,
    memory: MemoryReservation,
    metrics: DeviceMetrics,
    probing: usize,
) -> Result<Built> {
    let batch = all_rows(streams, &parts.join.left().schema(), &memory).await?;
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
            let visited = by_filter.then(|| Visited::none(host.num_rows()));
            Ok::<_, KernelError>((table, keys, visited))
        })
        .await?;
    let (table, keys, visited) = made.map_err(|e| failed(&placed, &metrics, OPERATOR, e))?;
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
