//! The twins of `kernels/partition`: the partition of each row, and a parallel counting sort by
//! it.

use windlass_device::DeviceBuffer;

use super::{hash::read::HostColumn, pieces, tasks};
use crate::{
    column::DeviceBatch,
    error::{KernelError, Result},
    partition::{Number, OrderKey, OrderLayout},
};

/// Rows of a task: a thread's start, and the counts of some hundred partitions, are small beside
/// it (a guess).
const TASK: usize = 1 << 17;

/// Rows whose keys are ordered at a time: they stay in the first-level cache.
const CHUNK: usize = 512;

/// The partitions of rows by their hashes, which are two words a row.
///
/// # Errors
/// `Invalid` when the hashes are not in host memory.
pub(crate) fn hash_ids(hashes: &DeviceBuffer, rows: usize, parts: usize) -> Result<Vec<u16>> {
    let bytes = hashes.host_bytes().ok_or_else(|| KernelError::Invalid {
        operation: "partition by hash",
        expected: "hashes in host memory".into(),
        got: hashes.device().to_string(),
    })?;
    let parts = parts as u32;
    let words = &bytes[..rows * 8].as_chunks::<8>().0;
    let id = |w: &[u8; 8]| (u32::from_le_bytes([w[0], w[1], w[2], w[3]]) % parts) as u16;
    Ok(pieces::map(words, id))
}

/// 64-bit words of a key.
fn words(key: &OrderKey) -> usize {
    key.ty.words().div_ceil(2) + usize::from(key.null_rank.is_some())
}

/// Writes the ordered words of one key of up to [`CHUNK`] rows, every `stride`-th from `at` on.
fn order_words(
    key: &OrderKey,
    column: &HostColumn<'_>,
    range: &std::ops::Range<usize>,
    out: &mut [u64],
    (mut at, stride): (usize, usize),
) {
    let n = range.len();
    let mut valid = [true; CHUNK];
    if column.nullable() {
        column.clear_nulls(range, &mut valid[..n]);
    }
    if let Some(null_rank) = key.null_rank {
        for (row, ok) in out.chunks_exact_mut(stride).zip(&valid) {
            row[at] = if *ok { 1 } else { u64::from(null_rank) };
        }
        at += 1;
    }
    let bits = if key.ty.words() == 1 { 32 } else { 64 };
    let top = 1u64 << (bits - 1);
    let all = if bits == 32 { u64::from(u32::MAX) } else { u64::MAX };
    let (mut low, mut high) = ([0u64; CHUNK], [0u64; CHUNK]);
    column.words(range, &mut low[..n]);
    let wide = key.ty.words() == 4;
    if wide {
        column.high_words(range, &mut high[..n]);
    }
    for (i, row) in out.chunks_exact_mut(stride).enumerate() {
        // The word with the sign, and the one below it.
        let (first, second) = if wide { (high[i], low[i]) } else { (low[i], 0) };
        let negative = first & top != 0;
        let mut turn_all = match key.number {
            Number::Float if negative => all,
            _ => 0,
        };
        let turn_top = match key.number {
            Number::Signed => top,
            Number::Float if !negative => top,
            _ => 0,
        };
        if key.descending {
            turn_all = !turn_all & all;
        }
        row[at] = if valid[i] { first ^ turn_all ^ turn_top } else { 0 };
        if wide {
            row[at + 1] = if valid[i] { second ^ turn_all } else { 0 };
        }
    }
}

/// The ordered keys of a range of rows, `stride` words each.
fn ordered(
    order: &OrderLayout,
    columns: &[HostColumn<'_>],
    range: std::ops::Range<usize>,
    out: &mut [u64],
    stride: usize,
) {
    let mut at = 0;
    for (key, column) in order.keys.iter().zip(columns) {
        order_words(key, column, &range, out, (at, stride));
        at += words(key);
    }
}

/// The partitions of rows by splitters.
///
/// # Errors
/// `Invalid` when a buffer is not in host memory.
pub(crate) fn range_ids(
    order: &OrderLayout,
    batch: &DeviceBatch,
    columns: &[usize],
    splitters: &DeviceBatch,
) -> Result<Vec<u16>> {
    let stride: usize = order.keys.iter().map(words).sum();
    let rows: Vec<_> =
        columns.iter().map(|c| HostColumn::raw(&batch.columns[*c])).collect::<Result<_>>()?;
    let split: Vec<_> =
        splitters.columns[..columns.len()].iter().map(HostColumn::raw).collect::<Result<_>>()?;
    let mut bounds = vec![0u64; splitters.rows * stride];
    for (at, out) in bounds.chunks_mut(CHUNK * stride).enumerate() {
        let first = at * CHUNK;
        ordered(order, &split, first..first + out.len() / stride, out, stride);
    }
    let mut ids = vec![0u16; batch.rows];
    tasks::each_of(ids.chunks_mut(TASK), |task, ids| {
        let mut keys = vec![0u64; CHUNK * stride];
        for (at, ids) in ids.chunks_mut(CHUNK).enumerate() {
            let first = task * TASK + at * CHUNK;
            let keys = &mut keys[..ids.len() * stride];
            ordered(order, &rows, first..first + ids.len(), keys, stride);
            if stride == 1 {
                for (id, key) in ids.iter_mut().zip(&*keys) {
                    *id = bounds.partition_point(|b| b <= key) as u16;
                }
            } else {
                for (id, key) in ids.iter_mut().zip(keys.chunks_exact(stride)) {
                    *id = search(&bounds, key) as u16;
                }
            }
        }
    });
    Ok(ids)
}

/// How many of the bounds, of as many words as the key, are at most the key.
fn search(bounds: &[u64], key: &[u64]) -> usize {
    let (mut low, mut high) = (0, bounds.len() / key.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if &bounds[middle * key.len()..][..key.len()] <= key {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Row numbers grouped by partition, ascending within it, and where each partition begins.
pub(crate) fn group(ids: &[u16], parts: usize) -> (Vec<u32>, Vec<u32>) {
    let task = TASK.max(parts * 4);
    let counts = tasks::map_of(ids.chunks(task), |_, ids| {
        let mut counts = vec![0u32; parts];
        ids.iter().for_each(|id| counts[*id as usize] += 1);
        counts
    });
    let mut offsets = vec![0u32; parts + 1];
    for p in 0..parts {
        offsets[p + 1] = offsets[p] + counts.iter().map(|c| c[p]).sum::<u32>();
    }
    // The places of task t's rows of partition p, by partition and then by task: each task gets
    // its own parts of the result.
    let mut indices = vec![0u32; ids.len()];
    let mut rest = &mut indices[..];
    let mut places: Vec<Vec<&mut [u32]>> =
        counts.iter().map(|_| Vec::with_capacity(parts)).collect();
    for p in 0..parts {
        for (places, counts) in places.iter_mut().zip(&counts) {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(counts[p] as usize);
            places.push(part);
            rest = after;
        }
    }
    tasks::each_of(places.into_iter().zip(ids.chunks(task)), |t, (places, ids)| {
        let mut places: Vec<_> = places.into_iter().map(|p| p.iter_mut()).collect();
        for (id, row) in ids.iter().zip((t * task) as u32..) {
            if let Some(place) = places[*id as usize].next() {
                *place = row;
            }
        }
    });
    (indices, offsets)
}
