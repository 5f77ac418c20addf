//! Device batches to record batches.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use windlass_device::Queue;
use windlass_kernels::{DeviceBatch, KernelError, Result};

use super::DictionarySet;
use crate::lower::OutputColumn;

/// Reads a device batch back as a record batch of `schema`. `columns` are the outputs of
/// the plan that made the batch.
///
/// # Errors
/// `Invalid` when batch, columns and schema do not fit together; the device's errors.
pub fn download(
    queue: &mut dyn Queue,
    batch: &DeviceBatch,
    columns: &[OutputColumn],
    schema: &SchemaRef,
    dictionaries: &DictionarySet,
) -> Result<RecordBatch> {
    let _ = (queue, batch, columns, schema, dictionaries);
    Err(KernelError::Unsupported { device: "cpu".into(), reason: "not built".into() })
}
