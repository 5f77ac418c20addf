//! Rows in another order, place or layout: what sorts, joins, limits and windows end with.
//!
//! Every function takes columns of all types in both storages and with every validity. On GPUs
//! results are wide with a validity of words (unless a column passes unchanged), on `cpu` they
//! have Arrow's layout.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | [`gather`] and [`scatter`]: rows by number |
//! | `ranges` | [`concat()`], [`slice()`], [`widen()`]: rows by range |
//! | `rows` | the launches |
//! | `sources` | the kernels' texts |
//!
//! # Determinism
//! Nothing is computed: results are the same bits on every device and in every run.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity, check_rows, check_words},
    cpu,
    error::{KernelError, Result},
    launcher::Launcher,
};

mod ranges;
mod rows;
mod sources;

pub use ranges::{concat, slice, widen};
pub(crate) use rows::move_validity;
pub use sources::sources;

/// The batch whose row `i` is row `indices[i]` of `batch`, for `n` rows. `indices` are 32-bit
/// words; with `missing`, `u32::MAX` gives a row of nulls (an outer join's row without a
/// partner), and every column of the result can be null.
///
/// # Errors
/// `Invalid` when a column or `indices` is too short or on another device, a row number is not
/// less than `batch.rows` (found on `cpu`; a GPU gives a null row, or one of zeros where the
/// result's column is not nullable), or there are rows to gather from an empty batch and not
/// `missing`; the device's errors.
pub fn gather(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    indices: &DeviceBuffer,
    n: usize,
    missing: bool,
) -> Result<DeviceBatch> {
    const OPERATION: &str = "gather";
    batch.check(OPERATION, device)?;
    check_rows(OPERATION, n)?;
    check_words(OPERATION, device, "row numbers", indices, n)?;
    if batch.rows == 0 && n > 0 && !missing {
        return Err(KernelError::Invalid {
            operation: OPERATION,
            expected: "a batch with rows".into(),
            got: format!("{n} row numbers of an empty batch"),
        });
    }
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        let indices = cpu::view::aligned_words(indices, n)?;
        return cpu::gather::gather(device, reservation, batch, &indices, missing);
    };
    let mut columns = Vec::with_capacity(batch.columns.len());
    for c in &batch.columns {
        let values = l.alloc_words(n, c.ty.words())?;
        let nullable = missing || c.nullable();
        let valid = if nullable { Some(l.alloc_words(n, 1)?) } else { None };
        let target = rows::Target { values: &values, valid: valid.as_ref(), at: 0 };
        rows::move_rows(&mut l, c, batch.rows, rows::Which::Indexed(indices), n, target)?;
        columns.push(wide(c, values, valid));
    }
    Ok(DeviceBatch { rows: n, columns })
}

/// The batch of `rows` rows whose row `indices[i]` is row `i` of `batch`. The index `u32::MAX`
/// drops a row. Rows of the result that no index names are null; `complete` promises that there
/// are none, as with a permutation, and so keeps columns without nulls so.
///
/// Where two rows are sent to one place, one of them is there whole; which one is not defined.
///
/// # Errors
/// `Invalid` when a column or `indices` is too short or on another device, or an index is past
/// `rows` (found on `cpu`; a GPU drops the row); the device's errors.
#[allow(clippy::too_many_arguments, reason = "device, queue and memory are explicit everywhere")]
pub fn scatter(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    indices: &DeviceBuffer,
    rows: usize,
    complete: bool,
) -> Result<DeviceBatch> {
    const OPERATION: &str = "scatter";
    batch.check(OPERATION, device)?;
    check_rows(OPERATION, rows)?;
    check_words(OPERATION, device, "row numbers", indices, batch.rows)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        let indices = cpu::view::aligned_words(indices, batch.rows)?;
        let sources = cpu::gather::sources(&indices, rows)?;
        return cpu::gather::gather(device, reservation, batch, &sources, !complete);
    };
    let sources = l.alloc_words(rows, 1)?;
    l.queue.fill(&sources, u32::MAX)?;
    let params = [batch.rows as u32, rows as u32];
    l.launch_each(&sources::SCATTER, &[], batch.rows, &[indices, &sources], &params)?;
    gather(device, queue, reservation, batch, &sources, rows, !complete)
}

/// A column that kernels wrote in place of `c`.
fn wide(c: &DeviceColumn, values: DeviceBuffer, valid: Option<DeviceBuffer>) -> DeviceColumn {
    let validity = valid.map_or(Validity::All, Validity::Words);
    DeviceColumn { ty: c.ty, storage: Storage::Wide, values, bit_offset: 0, validity }
}
