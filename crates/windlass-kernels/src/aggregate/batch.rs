//! A batch as the kernels see it: evaluated columns, and the rows of a chunk with their
//! groups.

use windlass_device::{DeviceBuffer, Queue};

use super::{memory::Gpu, plan::Lowered};
use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    error::{KernelError, Result},
};

/// A key or argument for each row of a batch, in wide storage.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub values: DeviceBuffer,
    /// A word for each row, 0 where null; `None` where no row is.
    pub valid: Option<DeviceBuffer>,
}

/// The keys and arguments of a batch, and which of its rows are aggregated.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    pub columns: Vec<Column>,
    /// A word for each row, 0 where it is not selected; `None` where all are.
    pub selected: Option<DeviceBuffer>,
}

/// How kernels read [`Rows::groups`]; the values are those of `rows.cuh` and `rows.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Mode {
    /// A group number for each row.
    Groups = 0,
    /// A flag for each row; selected rows are of group 0.
    Selected = 1,
    /// Not read: every row is of group 0.
    All = 2,
}

/// The rows of a chunk and their groups.
#[derive(Debug)]
pub(super) struct Rows {
    pub rows: u32,
    /// First row of the chunk within its batch.
    pub row_base: u32,
    pub mode: Mode,
    pub groups: DeviceBuffer,
    /// Number of groups so far.
    pub group_count: u32,
}

/// Evaluates the plan's pipeline over a batch.
pub(super) fn evaluate(
    gpu: &mut Gpu,
    queue: &mut dyn Queue,
    lowered: &Lowered,
    batch: &DeviceBatch,
    tables: &[DeviceColumn],
) -> Result<Columns> {
    if !lowered.has_pipeline() {
        return Ok(Columns::default());
    }
    let device = std::sync::Arc::clone(&gpu.device);
    let evaluated =
        lowered.pipeline.evaluate(&*device, queue, &mut gpu.reservation, batch, tables)?;
    let columns = evaluated.columns.columns.into_iter().map(column).collect::<Result<Vec<_>>>()?;
    if columns.len() != lowered.pipeline.outputs.len() {
        return Err(KernelError::Invalid {
            operation: "group-by",
            expected: format!("{} evaluated columns", lowered.pipeline.outputs.len()),
            got: columns.len().to_string(),
        });
    }
    Ok(Columns { columns, selected: evaluated.selected })
}

fn column(c: DeviceColumn) -> Result<Column> {
    let valid = match (c.storage, c.validity) {
        (Storage::Wide, Validity::All) => None,
        (Storage::Wide, Validity::Words(words)) => Some(words),
        (storage, validity) => {
            return Err(KernelError::Invalid {
                operation: "group-by",
                expected: "wide values with a validity of words".into(),
                got: format!("{storage:?} values with {validity:?}"),
            });
        }
    };
    Ok(Column { values: c.values, valid })
}
