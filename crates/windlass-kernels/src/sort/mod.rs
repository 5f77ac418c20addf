//! Sorting: the order of rows by several keys, the first rows of it, merges of sorted runs,
//! and the bounds of equal rows.
//!
//! Rows are ordered, not moved: the operations give row numbers, and
//! `gather` applies them. A key of any type is normalised to bits whose unsigned order is the
//! sort order: signed integers and floats by their sign, descending keys by the complement,
//! nulls by a bit above the value. Floats are in IEEE 754 totalOrder: negative NaN first, -0.0
//! before 0.0, positive NaN last, as Arrow's and DataFusion's sorts have it. Bits that are the
//! same in every row decide nothing and are left out; what remains of all keys is packed side
//! by side, so that two narrow keys cost no more than one.
//!
//! On `cpu` the twin in `crate::cpu::sort` runs. On GPUs one host function drives the kernels
//! of `kernels/sort` (CUDA) and `shaders/sort` (WGSL), which need 32-bit integers only:
//!
//! | module | holds |
//! |---|---|
//! | `keys` | the checked key columns, their normalised form, the layout of packed keys |
//! | `gpu` | the memory and launches that the operations share; the radix sort |
//! | `top` | the first rows of all, and of each group |
//! | `runs` | merges, and the bounds of equal rows |
//! | `sources` | the kernels' texts |
//!
//! # Determinism
//! All results are determined: rows with equal keys keep the order of their numbers.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use crate::{
    column::DeviceBatch,
    cpu,
    error::{KernelError, Result},
    launcher::Launcher,
    types::PhysType,
};

mod gpu;
pub(crate) mod keys;
mod runs;
mod sources;
mod top;

pub use sources::sources;

use gpu::{Place, Sorter};
use keys::{Keys, Layout, Varying};

/// One key of a sort order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// The column of the batch.
    pub column: usize,
    /// Largest value first.
    pub descending: bool,
    /// Nulls before all values, whatever the direction; else after them.
    pub nulls_first: bool,
}

/// The numbers of the batch's rows in the order of `keys`, the first key deciding first; rows
/// that are equal in all keys keep their order. `batch.rows` `u32` words; no keys give the
/// rows' own order.
///
/// LSD radix sort on GPUs (Merrill and Grimshaw, 2010; the scatter as in Onesweep, Adinets and
/// Merrill, arXiv 2206.01784); a parallel MSD then LSD radix sort on `cpu`.
///
/// # Errors
/// `Invalid` for a column that is not there, is too short or lies on another device, and for
/// 2^31 rows or more; the device's errors.
pub fn sort_indices(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    keys: &[SortKey],
) -> Result<DeviceBuffer> {
    let keys = Keys::new("sort", device, batch, keys)?;
    match Launcher::new(device, queue, reservation) {
        Some(launcher) => Sorter::new(launcher, keys).sort(),
        None => cpu::sort::sort_indices(device, reservation, &keys),
    }
}

/// The first `k` rows in the order of `keys`, and how many they are: `k`, or all rows where
/// the batch has fewer. The buffer has at least so many words. Equal rows as in
/// [`sort_indices`].
///
/// The k-th smallest key is found first (by radix selection on GPUs, by a falling threshold on
/// `cpu`), and only rows up to it are sorted; with `k` of a fourth of the rows or more, all.
///
/// # Errors
/// As for [`sort_indices`].
pub fn top_k(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    keys: &[SortKey],
    k: usize,
) -> Result<(DeviceBuffer, usize)> {
    let keys = Keys::new("top-k", device, batch, keys)?;
    match Launcher::new(device, queue, reservation) {
        Some(launcher) => Sorter::new(launcher, keys).top_k(k),
        None => cpu::sort::top_k(device, reservation, &keys, k),
    }
}

/// The first `k` rows of each group in the order of `keys`, and how many they are in all. A
/// group is the rows whose `group_keys` columns are equal, null being equal to null. The rows
/// are in the order of the groups' keys, and in the order of `keys` within a group: SQL's
/// `row_number() OVER (PARTITION BY … ORDER BY …) <= k`.
///
/// On `cpu`, small `k` and few groups beside the rows need no sort of all rows: one pass holds
/// the best of each group so far.
///
/// # Errors
/// As for [`sort_indices`].
pub fn top_k_per_group(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    group_keys: &[SortKey],
    keys: &[SortKey],
    k: usize,
) -> Result<(DeviceBuffer, usize)> {
    let all = [group_keys, keys].concat();
    let keys = Keys::new("top-k of groups", device, batch, &all)?;
    match Launcher::new(device, queue, reservation) {
        Some(launcher) => Sorter::new(launcher, keys).top_k_per_group(group_keys.len(), k),
        None => cpu::sort::top_k_per_group(device, reservation, &keys, group_keys.len(), k),
    }
}

/// The order that merges sorted runs: as [`sort_indices`], for a batch whose rows are runs of
/// `runs` rows each, one after the other, and each sorted by `keys` already. Equal rows of an
/// earlier run come first.
///
/// Where a run is not sorted, the row numbers are valid but neither sorted nor each there
/// once.
///
/// Merge path (Green, McColl and Bader, ICS 2012) in rounds of pairs; a sort where that takes
/// fewer passes over the rows.
///
/// # Errors
/// As for [`sort_indices`], and `Invalid` when the runs are not as long as the batch.
pub fn merge(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    runs: &[usize],
    keys: &[SortKey],
) -> Result<DeviceBuffer> {
    let keys = Keys::new("merge", device, batch, keys)?;
    let sum = runs.iter().try_fold(0usize, |a, r| a.checked_add(*r));
    if sum != Some(batch.rows) {
        return Err(KernelError::Invalid {
            operation: "merge",
            expected: format!("runs of {} rows in all, as the batch has", batch.rows),
            got: sum.map_or("more than can be counted".into(), |s| s.to_string()),
        });
    }
    match Launcher::new(device, queue, reservation) {
        Some(launcher) => Sorter::new(launcher, keys).merge(runs),
        None => cpu::sort::merge(device, reservation, &keys, runs),
    }
}

/// A `u32` word for each row of a sorted batch: 1 where a key differs from the row before, and
/// for the first row; else 0. Null equals null. Values are equal where they tie in a sort, as
/// in Arrow's `partition`: -0.0 differs from 0.0, and NaNs of other bits from each other.
/// Direction and place of nulls do not matter. No keys make all rows equal.
///
/// # Errors
/// As for [`sort_indices`].
pub fn boundaries(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    keys: &[SortKey],
) -> Result<DeviceBuffer> {
    let keys = Keys::new("boundaries", device, batch, keys)?;
    match Launcher::new(device, queue, reservation) {
        Some(launcher) => Sorter::new(launcher, keys).boundaries(),
        None => cpu::sort::boundaries(device, reservation, &keys),
    }
}

/// All bits of a type, and whether nulls are told.
fn all_bits((ty, nullable): (PhysType, bool)) -> Varying {
    Varying { value: u128::MAX >> (128 - keys::bits(ty)), null: nullable }
}

/// Words of the packed keys of columns of these types, which may be null where it is said,
/// whatever their values are.
pub(crate) fn packed_words(columns: &[(PhysType, bool)]) -> usize {
    Layout::new(&columns.iter().copied().map(all_bits).collect::<Vec<_>>()).words()
}

/// The packed keys of the rows of a batch on a GPU, least significant word first: as unsigned
/// numbers they are in the order of `keys`. The layout depends on the columns' types and on
/// whether each key is `nullable`, so keys of several batches compare.
pub(crate) fn pack_keys(
    launcher: Launcher<'_>,
    batch: &DeviceBatch,
    keys: &[SortKey],
    nullable: &[bool],
) -> Result<DeviceBuffer> {
    let keys = Keys::new("order of a group's rows", launcher.device, batch, keys)?;
    let types = keys.keys.iter().map(|k| k.column.ty).zip(nullable.iter().copied());
    let layout = Layout::new(&types.map(all_bits).collect::<Vec<_>>());
    let (rows, stride) = (batch.rows, layout.words());
    let mut sorter = Sorter::new(launcher, keys);
    let out = sorter.gpu.alloc_words(rows, stride)?;
    for at in 0..stride {
        sorter.pack(&layout, at, None, rows, Place { out: &out, stride, at })?;
    }
    Ok(out)
}
