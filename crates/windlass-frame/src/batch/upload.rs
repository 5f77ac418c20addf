//! Record batches to device batches.

use arrow::array::RecordBatch;
use windlass_device::{Device, Queue, Reservation};
use windlass_kernels::{DeviceBatch, KernelError, Result};

use super::DictionarySet;
use crate::lower::InputPlan;

/// Bytes that [`upload`] allocates on a device other than `cpu`: values and bitmaps of the
/// columns that the plan reads.
pub fn upload_bytes(batch: &RecordBatch, plan: &InputPlan) -> usize {
    let _ = (batch, plan);
    0
}

/// Puts the columns that `plan` reads on `device`, in Arrow's layout; strings as codes.
/// Where the device's memory is the host's, the values are not copied.
///
/// # Errors
/// `Invalid` when the batch does not have the plan's schema; `Unsupported` when a
/// dictionary passes its limits; the device's errors.
pub fn upload(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &RecordBatch,
    plan: &InputPlan,
    dictionaries: &DictionarySet,
) -> Result<DeviceBatch> {
    let _ = (queue, reservation, batch, plan, dictionaries);
    Err(KernelError::Unsupported {
        device: device.info().name.to_string(),
        reason: "not built".into(),
    })
}
