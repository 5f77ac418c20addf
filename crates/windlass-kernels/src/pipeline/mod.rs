//! Filter and projection as one generated kernel, with compaction.
//!
//! Every input column is read once: a block evaluates the program for its rows, compacts
//! the selected ones within the block and writes them at the block's own place; the counts
//! of all blocks are scanned, and a copy closes the gaps. Rows keep their order. On `cpu`
//! the interpreter ([`crate::cpu::pipeline`]) does the same.
//!
//! | module | holds |
//! |---|---|
//! | `shape` | a kernel before it is printed: buffers, layouts, what may be null |
//! | `cuda`, `wgsl` | the printers |
//! | `gpu` | compiling, buffers and launches; printed texts are kept |
//! | `supported` | whether a device has the types, operations and buffers |
//! | `fail` | the error flags, the same on every backend |

use windlass_device::{Backend, Device, DeviceBuffer, Queue, Reservation};

use crate::{
    column::{DeviceBatch, DeviceColumn},
    cpu,
    error::{KernelError, Result},
    ir::{Op, Program, ValueId},
    types::PhysType,
};

mod cuda;
pub(crate) mod fail;
mod gpu;
mod shape;
mod supported;
mod wgsl;

/// What errors name the operation.
pub(crate) const OPERATION: &str = "filter and projection";

/// A filter and projection over the columns of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FilterProject {
    /// The expressions. Input `i` of the program is column `i` of the batch.
    pub program: Program,
    /// Rows to keep: a `Bool`; false and null drop the row. `None` keeps all.
    pub filter: Option<ValueId>,
    /// The output columns.
    pub outputs: Vec<ValueId>,
}

impl FilterProject {
    /// Checks that filter and outputs are values of the program, and the filter a `Bool`.
    ///
    /// # Errors
    /// `Invalid`.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |expected: String, got: String| {
            Err(KernelError::Invalid { operation: OPERATION, expected, got })
        };
        let count = self.program.values().len();
        let mut ids = self.outputs.iter().chain(&self.filter);
        if let Some(id) = ids.find(|id| id.0 as usize >= count) {
            return wrong(format!("a value of {count}"), format!("value {}", id.0));
        }
        match self.filter.map(|f| self.program.ty(f)) {
            None | Some(PhysType::Bool) => Ok(()),
            Some(ty) => wrong("a bool filter".into(), ty.to_string()),
        }
    }

    /// Whether `device` can run it, from its features and limits alone.
    ///
    /// # Errors
    /// [`KernelError::Unsupported`] with the reason for the user; `Invalid` for a filter or an
    /// output that is not the program's.
    pub fn supported(&self, device: &dyn Device) -> Result<()> {
        supported::check(self, device)
    }

    /// Runs it over one batch. On `cpu` the outputs have Arrow's layout, on GPUs they are
    /// `Wide`; without a filter an output that is an input is the input's column itself.
    /// An input declared `I64` may be a packed `I128` column, of which the low 64 bits are
    /// taken (decimals of up to 18 digits as Arrow lays them out). Nulls of an input that
    /// is declared not nullable are not looked for. `tables[i]` is table `i` of the program, on the same device;
    /// its length in rows is at least the largest code + 1.
    ///
    /// # Errors
    /// `Unsupported`, `Invalid` (the batch does not fit the program), `DivideByZero`,
    /// `Overflow`, and the device's errors. On an error nothing is kept.
    pub fn run(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        batch: &DeviceBatch,
        tables: &[DeviceColumn],
    ) -> Result<DeviceBatch> {
        self.supported(device)?;
        if device.info().backend == Backend::Cpu {
            return cpu::pipeline::run(self, device, reservation, batch, tables);
        }
        gpu::run(self, device, queue, reservation, batch, tables)
    }
}

/// The values of a program for every row of a batch, nothing compacted.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// One column for each requested value. On GPUs the storage is `Wide` and the validity
    /// `All` or `Words`.
    pub columns: DeviceBatch,
    /// A 32-bit word for each row: 1 where the filter is true, else 0. `None` without a
    /// filter. Values of rows that are not selected are undefined.
    pub selected: Option<DeviceBuffer>,
}

/// Evaluates `self.outputs` for every row, with the filter as a column of its own: what the
/// library kernels (aggregation) read. Same arguments and errors as [`FilterProject::run`].
impl FilterProject {
    /// See the type's documentation.
    ///
    /// # Errors
    /// As [`FilterProject::run`].
    pub fn evaluate(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        batch: &DeviceBatch,
        tables: &[DeviceColumn],
    ) -> Result<Evaluated> {
        self.supported(device)?;
        if device.info().backend == Backend::Cpu {
            return cpu::pipeline::evaluate(self, device, reservation, batch, tables);
        }
        gpu::evaluate(self, device, queue, reservation, batch, tables)
    }
}

/// The column of output `i` where it is an input as it stands.
pub(crate) fn passed_through(
    plan: &FilterProject,
    batch: &DeviceBatch,
    i: usize,
) -> Option<DeviceColumn> {
    let value = plan.program.value(plan.outputs[i]);
    let Op::Input(at) = value.op else { return None };
    batch.columns.get(at as usize).filter(|c| c.ty == value.ty).cloned()
}
