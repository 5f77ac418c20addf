//! The left side of a join on a condition: its rows on the host, the columns of the condition
//! on the device, repeated for the right rows of a piece.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::{
    error::Result,
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
};
use windlass_kernels::{DeviceBatch, DeviceColumn, KernelError, gather};

use super::{
    super::{
        pair_test::PairTest,
        shared::{Visited, all_rows},
    },
    OPERATOR, Parts,
};
use crate::{
    batch::{DictionaryLimits, DictionarySet, upload_array},
    nodes::{
        Placed,
        failure::failed,
        metrics::DeviceMetrics,
        upload::{target_rows, upload_one},
    },
};

/// Most pairs that are tested at once on the host, a few batches; a guess.
const HOST_PAIRS: usize = 1 << 15;

/// The left side, made once and shared by the partitions of the right side.
#[derive(Debug)]
pub(super) struct Built {
    /// All its rows.
    pub(super) batch: RecordBatch,
    pub(super) blocks: Vec<Block>,
    /// Right rows of a piece.
    pub(super) repeat: usize,
    pub(super) dictionaries: Arc<DictionarySet>,
    /// Rows with a pair; only where those decide.
    pub(super) visited: Option<Visited>,
    /// Partitions that still probe.
    pub(super) probing: AtomicUsize,
    _memory: MemoryReservation,
}

/// Some rows of the left side on the device, each repeated once for each right row of a piece:
/// pair `i` is of left row `i % rows` and right row `i / rows`.
#[derive(Debug)]
pub(super) struct Block {
    /// The number of its first row.
    pub(super) first: usize,
    pub(super) rows: usize,
    /// Its columns, pair by pair.
    pub(super) columns: DeviceBatch,
    /// The numbers of both rows of a pair.
    pub(super) numbers: [DeviceColumn; 2],
}

/// Rows of the left side in a block of at most `pairs` pairs, and right rows of a piece.
fn cut(left: usize, pairs: usize) -> (usize, usize) {
    let rows = left.min(pairs).max(1);
    (rows, (pairs / rows).max(1))
}

/// Builds from the one partition of the left side, for `probing` partitions of the right side.
pub(super) async fn build(
    parts: Parts,
    left: SendableRecordBatchStream,
    memory: MemoryReservation,
    metrics: DeviceMetrics,
    probing: usize,
) -> Result<Built> {
    let batch = all_rows(vec![left], &parts.join.left().schema(), &memory).await?;
    let tables = Arc::clone(&parts.test.plan().tables);
    let dictionaries = Arc::new(DictionarySet::new(tables, DictionaryLimits::default()));
    let (placed, host) = (parts.placed.clone(), batch.clone());
    let ends = parts.shape.ends_with_build_rows();
    let (texts, metrics_of) = (Arc::clone(&dictionaries), metrics.clone());
    let test = Arc::clone(&parts.test);
    let made = placed
        .run(move || {
            let began = Instant::now();
            let device = &*parts.placed.device;
            let mut queue = device.queue()?;
            let mut reservation = device.pool().reserve(0)?;
            let [left, _] = test.sides();
            let all = upload_one(&parts.placed, &mut *queue, &host, left, &texts)?;
            let (rows, repeat) = cut(all.rows, piece_pairs(&parts.placed, &test));
            let mut blocks = Vec::new();
            for first in (0..all.rows).step_by(rows) {
                let rows = rows.min(all.rows - first);
                let (queue, memory) = (&mut *queue, &mut reservation);
                let part = gather::slice(device, queue, memory, &all, first, rows)?;
                let pairs = 0..(rows * repeat) as u32;
                let left: UInt32Array = pairs.clone().map(|i| i % rows as u32).collect();
                let right: UInt32Array = pairs.map(|i| i / rows as u32).collect();
                let mut number = |array: UInt32Array| {
                    upload_array(device, queue, memory, &(Arc::new(array) as ArrayRef))
                };
                let numbers = [number(left)?, number(right)?];
                let (n, of_left) = (rows * repeat, &numbers[0].values);
                let columns = gather::gather(device, queue, memory, &part, of_left, n, false)?;
                blocks.push(Block { first, rows, columns, numbers });
            }
            // Other queues read the blocks.
            queue.synchronize()?;
            metrics_of.kernel(&parts.placed, "pairs build", began, host.num_rows());
            Ok::<_, KernelError>((blocks, repeat))
        })
        .await?;
    let (blocks, repeat) = made.map_err(|e| failed(&placed, &metrics, OPERATOR, e))?;
    let visited = ends.then(|| Visited::none(batch.num_rows()));
    let probing = AtomicUsize::new(probing);
    Ok(Built { batch, blocks, repeat, dictionaries, visited, probing, _memory: memory })
}

/// Pairs of a piece.
fn piece_pairs(placed: &Placed, test: &PairTest) -> usize {
    match placed.is_host() {
        true => HOST_PAIRS,
        false => target_rows(placed, &test.widths()),
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn pieces_have_no_more_pairs_than_asked_for() {
        assert_eq!(cut(0, 100), (1, 100));
        assert_eq!(cut(1, 100), (1, 100));
        assert_eq!(cut(30, 100), (30, 3));
        assert_eq!(cut(100, 100), (100, 1));
        assert_eq!(cut(1000, 100), (100, 1));
    }
}
