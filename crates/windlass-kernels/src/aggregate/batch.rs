//! A batch as the kernels see it: evaluated columns, and the rows of a chunk with their
//! groups.

use std::{ops::Range, sync::Arc};

use windlass_device::{Device, DeviceBuffer, Queue};

use super::memory::Gpu;
use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    error::{KernelError, Result},
    ir::{Op, ValueId},
    pipeline::FilterProject,
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
    /// Rows of the batch.
    pub batch_rows: u32,
    pub mode: Mode,
    pub groups: DeviceBuffer,
    /// Number of groups so far.
    pub group_count: u32,
    /// [`Columns::selected`] of the batch.
    pub selected: Option<DeviceBuffer>,
}

/// The pipeline in parts that a device can run: one, or where its columns are more buffers
/// than a kernel can bind, several that share out the outputs in order. Every part has the
/// filter, so that rows which it drops raise no error.
///
/// # Errors
/// `Unsupported` when a single output is too much for the device.
pub(super) fn parts(pipeline: &FilterProject, device: &dyn Device) -> Result<Vec<FilterProject>> {
    let outputs = &pipeline.outputs;
    if pipeline.filter.is_none() && outputs.is_empty() {
        return Ok(Vec::new());
    }
    let whole = pipeline.supported(device);
    if whole.is_ok() || outputs.is_empty() {
        return whole.map(|()| vec![pipeline.clone()]);
    }
    let part = |range: Range<usize>| FilterProject {
        program: pipeline.program.clone(),
        filter: pipeline.filter,
        outputs: outputs[range].to_vec(),
    };
    let (mut parts, mut from) = (Vec::new(), 0);
    while from < outputs.len() {
        let mut longest = part(from..from + 1);
        longest.supported(device)?;
        let mut to = from + 1;
        while to < outputs.len() {
            let longer = part(from..to + 1);
            if longer.supported(device).is_err() {
                break;
            }
            (longest, to) = (longer, to + 1);
        }
        parts.push(longest);
        from = to;
    }
    Ok(parts)
}

/// Evaluates the parts of a pipeline over a batch. Outputs that are input columns in the
/// layout that the kernels read are taken as they are, so that nothing is computed for a
/// plain group-by.
pub(super) fn evaluate(
    gpu: &mut Gpu,
    queue: &mut dyn Queue,
    parts: &[FilterProject],
    batch: &DeviceBatch,
    tables: &[DeviceColumn],
) -> Result<Columns> {
    let device = Arc::clone(&gpu.device);
    let mut all = Columns::default();
    for part in parts {
        let passed = part.outputs.iter().map(|id| as_it_is(&*device, part, *id, batch));
        let passed: Vec<_> = passed.collect();
        let outputs = part.outputs.iter().zip(&passed);
        let outputs: Vec<_> = outputs.filter(|(_, p)| p.is_none()).map(|(id, _)| *id).collect();
        let selects = part.filter.is_some() && all.selected.is_none();
        let mut computed = Vec::new().into_iter();
        if selects || !outputs.is_empty() {
            let count = outputs.len();
            let (program, filter) = (part.program.clone(), part.filter);
            let rest = FilterProject { program, filter, outputs };
            let done = rest.evaluate(&*device, queue, &mut gpu.reservation, batch, tables)?;
            if done.columns.columns.len() != count {
                return Err(KernelError::Invalid {
                    operation: "group-by",
                    expected: format!("{count} evaluated columns"),
                    got: done.columns.columns.len().to_string(),
                });
            }
            computed = done.columns.columns.into_iter();
            all.selected = all.selected.or(done.selected);
        }
        for passed in passed {
            match passed {
                Some(c) => all.columns.push(c),
                None => all.columns.extend(computed.next().map(column).transpose()?),
            }
        }
    }
    Ok(all)
}

/// The column of an output that is an input in wide layout, as packed values of 32 bits and
/// more are, without nulls or with a validity of words. `None` too for a column that does not
/// fit, of which the pipeline says why.
fn as_it_is(
    device: &dyn Device,
    plan: &FilterProject,
    id: ValueId,
    batch: &DeviceBatch,
) -> Option<Column> {
    let value = plan.program.value(id);
    let Op::Input(at) = value.op else { return None };
    let column = batch.columns.get(at as usize).filter(|c| c.ty == value.ty)?;
    let wide = column.storage == Storage::Wide || value.ty.packed_bytes().is_some_and(|b| b >= 4);
    let valid = match &column.validity {
        _ if !value.nullable => None,
        Validity::All => None,
        Validity::Words(words) => Some(words.clone()),
        Validity::Bits { .. } => return None,
    };
    let fits = column.check("group-by", device, batch.rows).is_ok();
    (wide && fits).then(|| Column { values: column.values.clone(), valid })
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
