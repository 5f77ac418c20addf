//! Partitions of a batch's rows: by hash, by range, or into even contiguous pieces. The result is
//! row numbers, those of one partition side by side, and where each partition begins; `gather`
//! then moves the rows. The sizes are known before any row moves, so that an exchange can state
//! them first.
//!
//! Rows of a partition keep the order of their numbers, and the partition of a row depends on
//! its keys alone: the same on every backend.
//!
//! | module | holds |
//! |---|---|
//! | `order` | ordered keys for partitions by range |
//! | `sources` | the kernels' texts |

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    cpu,
    error::{KernelError, Result},
    hash::{self, layout},
    launcher::Launcher,
    sort::{self, SortKey},
    types::PhysType,
};

mod order;
mod sources;

pub use sources::sources;

pub(crate) use order::{Number, OrderKey, OrderLayout};
use sources::KernelId;

/// Most partitions: the twin counts each for every task's rows. A guess, far above the number of
/// devices or spill files that a partition is for.
pub const MAX_PARTS: usize = 1 << 16;

/// Rows in partitions.
#[derive(Debug, Clone)]
pub struct Partitions {
    /// Row numbers as 32-bit words: those of partition 0, ascending, then those of 1, ….
    pub indices: DeviceBuffer,
    /// Rows before each partition as 32-bit words, and the number of all rows: `parts + 1`.
    pub offsets: DeviceBuffer,
    /// Number of partitions.
    pub parts: usize,
    /// Number of rows.
    pub rows: usize,
}

impl Partitions {
    /// Waits, and reads the number of rows of each partition.
    ///
    /// # Errors
    /// `Invalid` for offsets that are too short or do not ascend to the number of rows; the
    /// device's errors.
    pub fn sizes(&self, queue: &mut dyn Queue) -> Result<Vec<usize>> {
        let wrong = |expected: String, got: String| {
            Err(KernelError::Invalid { operation: "sizes of partitions", expected, got })
        };
        check_parts("sizes of partitions", self.parts)?;
        if self.offsets.len() / 4 < self.parts + 1 {
            let expected = format!("{} words of offsets", self.parts + 1);
            return wrong(expected, format!("{} words", self.offsets.len() / 4));
        }
        let mut offsets = vec![0u32; self.parts + 1];
        queue.download(&self.offsets, 0, bytemuck::cast_slice_mut(&mut offsets))?;
        if !offsets.is_sorted() || offsets.last().is_none_or(|end| *end as usize != self.rows) {
            let expected = format!("offsets that ascend to {} rows", self.rows);
            return wrong(expected, format!("ones that end at {:?}", offsets.last()));
        }
        Ok(offsets.windows(2).map(|p| (p[1] - p[0]) as usize).collect())
    }
}

fn check_parts(operation: &'static str, parts: usize) -> Result<()> {
    if (1..=MAX_PARTS).contains(&parts) {
        return Ok(());
    }
    Err(KernelError::Invalid {
        operation,
        expected: format!("1 to {MAX_PARTS} partitions"),
        got: parts.to_string(),
    })
}

/// Partitions rows by the hash of `columns` ([`hash::hash_rows`]): a row's partition is the low
/// word of its hash modulo `parts`. Equal keys, nulls among them, share a partition.
///
/// # Errors
/// `Invalid` for no partition or more than [`MAX_PARTS`], and as [`hash::hash_rows`]; the
/// device's errors.
pub fn by_hash(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    columns: &[usize],
    parts: usize,
) -> Result<Partitions> {
    check_parts("partition by hash", parts)?;
    let rows = batch.rows;
    let hashes = hash::hash_rows(device, queue, reservation, batch, columns)?;
    let Some(mut gpu) = Launcher::new(device, queue, reservation) else {
        let ids = cpu::partition::hash_ids(&hashes, rows, parts)?;
        return finish_host(device, reservation, &ids, parts);
    };
    let ids = gpu.alloc_words(rows, 1)?;
    let params = [rows as u32, parts as u32];
    KernelId::HashIds.each(&mut gpu, rows, &[&hashes, &ids], &params)?;
    drop(hashes);
    finish(&mut gpu, ids, rows, parts)
}

/// Partitions rows by ranges of their keys. `splitters` has one column for each key, of the
/// key's type, and its rows in the order of `keys`; row `i` of it is the first of partition
/// `i + 1`. There is one partition more than splitters. With splitters in another order each row
/// still has one partition, which one is not defined. [`SortKey::column`] is a column of
/// `batch`; floats are in IEEE 754 totalOrder, as in [`mod@sort`].
///
/// # Errors
/// `Invalid` without a key, for columns that are not there, of other types or too short, and for
/// [`MAX_PARTS`] splitters or more; the device's errors.
pub fn by_range(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    keys: &[SortKey],
    splitters: &DeviceBatch,
) -> Result<Partitions> {
    let operation = "partition by range";
    let columns: Vec<usize> = keys.iter().map(|k| k.column).collect();
    let split_columns: Vec<usize> = (0..keys.len()).collect();
    layout::check(operation, device, batch, &columns)?;
    layout::check(operation, device, splitters, &split_columns)?;
    let parts = splitters.rows + 1;
    check_parts(operation, parts)?;
    let types = |b: &DeviceBatch, c: &[usize]| -> Vec<PhysType> {
        c.iter().map(|c| b.columns[*c].ty).collect()
    };
    let (want, got) = (types(batch, &columns), types(splitters, &split_columns));
    if keys.is_empty() || want != got {
        return Err(KernelError::Invalid {
            operation,
            expected: format!("at least one key, and splitters of types {want:?}"),
            got: format!("{got:?}"),
        });
    }
    let order = OrderLayout::new(batch, keys, splitters);
    let rows = batch.rows;
    let Some(mut gpu) = Launcher::new(device, queue, reservation) else {
        let ids = cpu::partition::range_ids(&order, batch, &columns, splitters)?;
        return finish_host(device, reservation, &ids, parts);
    };
    let row_keys = order.pack(&mut gpu, batch, &columns)?;
    let split_keys = order.pack(&mut gpu, splitters, &split_columns)?;
    let ids = gpu.alloc_words(rows, 1)?;
    let params = [rows as u32, splitters.rows as u32, order.words()];
    KernelId::RangeIds.each(&mut gpu, rows, &[&row_keys, &split_keys, &ids], &params)?;
    drop((row_keys, split_keys));
    finish(&mut gpu, ids, rows, parts)
}

/// Cuts `rows` rows into `parts` contiguous pieces whose sizes differ by one at most, the larger
/// ones first.
///
/// # Errors
/// `Invalid` for no partition or more than [`MAX_PARTS`], and for 2^31 rows or more; the
/// device's errors.
pub fn round_robin(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    rows: usize,
    parts: usize,
) -> Result<Partitions> {
    let operation = "round-robin partition";
    check_parts(operation, parts)?;
    let batch = DeviceBatch { rows, columns: Vec::new() };
    layout::check(operation, device, &batch, &[])?;
    let (size, larger) = (rows / parts, rows % parts);
    let offsets: Vec<u32> = (0..=parts).map(|p| (p * size + p.min(larger)) as u32).collect();
    let indices = sort::sort_indices(device, queue, reservation, &batch, &[])?;
    let offsets = match Launcher::new(device, queue, reservation) {
        Some(mut gpu) => gpu.upload_words(&offsets)?,
        None => cpu::memory::adopt(device, reservation, offsets)?,
    };
    Ok(Partitions { indices, offsets, parts, rows })
}

/// Brings the rows of each partition together on a GPU: a stable sort by partition, which looks
/// only at the bits in which partitions differ.
fn finish(
    gpu: &mut Launcher<'_>,
    ids: DeviceBuffer,
    rows: usize,
    parts: usize,
) -> Result<Partitions> {
    let column = DeviceColumn {
        ty: PhysType::U32,
        storage: Storage::Wide,
        values: ids.clone(),
        bit_offset: 0,
        validity: Validity::All,
    };
    let batch = DeviceBatch { rows, columns: vec![column] };
    let key = SortKey { column: 0, descending: false, nulls_first: false };
    let indices = sort::sort_indices(gpu.device, gpu.queue, gpu.reservation, &batch, &[key])?;
    let offsets = gpu.alloc_words(parts + 1, 1)?;
    let params = [rows as u32, parts as u32];
    KernelId::Offsets.each(gpu, parts + 1, &[&ids, &indices, &offsets], &params)?;
    Ok(Partitions { indices, offsets, parts, rows })
}

/// As [`finish`], on `cpu`.
fn finish_host(
    device: &dyn Device,
    reservation: &mut Reservation,
    ids: &[u16],
    parts: usize,
) -> Result<Partitions> {
    let (indices, offsets) = cpu::partition::group(ids, parts);
    let indices = cpu::memory::adopt(device, reservation, indices)?;
    let offsets = cpu::memory::adopt(device, reservation, offsets)?;
    Ok(Partitions { indices, offsets, parts, rows: ids.len() })
}
