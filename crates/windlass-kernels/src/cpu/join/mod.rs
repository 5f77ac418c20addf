//! The twins of `kernels/join`: the table of the build rows, probed by any number of threads.
//!
//! | module | holds |
//! |---|---|
//! | `codes` | keys of all types packed into words |
//! | `build` | the partitioned, parallel build |
//! | `table` | the table and the lookup |
//! | `pages` | large arrays |
//! | `probe` | bounded pieces of pairs |
//! | `select` | row numbers from flags |

mod build;
mod codes;
mod pages;
mod probe;
mod select;
mod table;

pub(crate) use probe::Pairs;
pub(crate) use select::{bitmap, selected};
pub(crate) use table::Table;

use crate::{
    column::{DeviceBatch, DeviceColumn},
    cpu::hash::read::HostColumn,
    error::Result,
    types::PhysType,
};

/// Key columns in host memory.
pub(crate) fn host<'a>(columns: &[&'a DeviceColumn]) -> Result<Vec<HostColumn<'a>>> {
    columns.iter().map(|c| HostColumn::new(c)).collect()
}

/// Bytes that a build holds beside the table.
pub(crate) fn transient_bytes(types: &[PhysType], nulls: bool, rows: usize) -> usize {
    build::transient_bytes(types, nulls, rows)
}

/// Builds the table over a batch. With `nulls` a null key is a value like others, else a row
/// with one matches nothing.
///
/// # Errors
/// `Invalid` when a buffer is not in host memory.
pub(crate) fn build(batch: &DeviceBatch, keys: &[usize], nulls: bool) -> Result<Table> {
    let columns: Vec<&DeviceColumn> = keys.iter().map(|k| &batch.columns[*k]).collect();
    let types: Vec<PhysType> = columns.iter().map(|c| c.ty).collect();
    Ok(build::build(&types, &host(&columns)?, batch.rows, nulls))
}
