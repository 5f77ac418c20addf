//! Record batches to device batches.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    buffer::Buffer,
    datatypes::DataType,
};
use windlass_device::{Device, DeviceBuffer, HostBytes, Queue, Reservation};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, KernelError, PhysType, Result, Storage, Validity,
};

use super::{DictionarySet, KeptColumns};
use crate::lower::{
    DictionaryId, InputPlan,
    types::{is_string, narrow, stored_type},
};

/// Bytes that [`upload`] allocates on a device other than `cpu`: values and bitmaps of the
/// columns that the plan reads.
pub fn upload_bytes(batch: &RecordBatch, plan: &InputPlan) -> usize {
    let columns = plan.columns.iter().filter_map(|c| batch.columns().get(c.source));
    columns.map(|c| array_bytes(c.as_ref())).sum()
}

/// Bytes of one column on a device, its buffers rounded to words.
pub(crate) fn array_bytes(array: &dyn Array) -> usize {
    let rows = array.len();
    let values = match stored_type(array.data_type()).map(PhysType::packed_bytes) {
        Ok(Some(bytes)) => bytes * rows,
        // The bits start in the middle of a byte in the worst case.
        Ok(None) => rows.div_ceil(8) + 1,
        Err(_) => 0,
    };
    let bits = if array.null_count() > 0 { rows.div_ceil(8) + 1 } else { 0 };
    values.next_multiple_of(4) + bits.next_multiple_of(4)
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
    let arrays = arrays(batch, plan)?;
    let mut columns = Vec::with_capacity(arrays.len());
    for (column, array) in plan.columns.iter().zip(arrays) {
        columns.push(match column.dictionary {
            Some(id) => {
                let codes = Arc::new(dictionaries.encode(id, array.as_ref())?) as ArrayRef;
                upload_array(device, queue, reservation, &codes)?
            }
            None => upload_array(device, queue, reservation, array)?,
        });
    }
    Ok(DeviceBatch { rows: batch.num_rows(), columns })
}

/// As [`upload`] for a batch of a table in memory, whose columns stay on the device for other
/// queries; which of them were uploaded now. It waits for the upload.
///
/// # Errors
/// As [`upload`].
pub(crate) fn upload_kept(
    device: &dyn Device,
    queue: &mut dyn Queue,
    batch: &RecordBatch,
    plan: &InputPlan,
    dictionaries: &DictionarySet,
    kept: &KeptColumns,
) -> Result<(DeviceBatch, Vec<bool>)> {
    let arrays = arrays(batch, plan)?;
    let name = &device.info().name;
    let coded = |id: Option<DictionaryId>| id.map(|id| dictionaries.shared(id));
    let found: Vec<Option<DeviceColumn>> = plan
        .columns
        .iter()
        .zip(&arrays)
        .map(|(column, array)| kept.get(array, coded(column.dictionary), name))
        .collect();
    let missing = arrays.iter().zip(&found).filter(|(_, found)| found.is_none());
    let mut reservation = device.pool().reserve(missing.map(|(a, _)| array_bytes(a)).sum())?;
    let mut columns = Vec::with_capacity(arrays.len());
    let mut uploaded = Vec::with_capacity(arrays.len());
    for ((column, array), found) in plan.columns.iter().zip(arrays).zip(found) {
        uploaded.push(found.is_none());
        columns.push(match (found, column.dictionary) {
            (Some(found), _) => found,
            (None, Some(id)) => {
                let codes = Arc::new(dictionaries.encode(id, array.as_ref())?) as ArrayRef;
                upload_array(device, queue, &mut reservation, &codes)?
            }
            (None, None) => upload_array(device, queue, &mut reservation, array)?,
        });
    }
    // Whoever finds a column reads it on a queue of its own.
    queue.synchronize()?;
    let all =
        plan.columns.iter().zip(self::arrays(batch, plan)?).zip(columns.iter().zip(&uploaded));
    for ((column, array), (copy, _)) in all.filter(|(_, (_, uploaded))| **uploaded) {
        kept.put(array, coded(column.dictionary), name, copy);
    }
    Ok((DeviceBatch { rows: batch.num_rows(), columns }, uploaded))
}

/// The arrays of the columns that a plan reads.
fn arrays<'a>(batch: &'a RecordBatch, plan: &InputPlan) -> Result<Vec<&'a ArrayRef>> {
    let wrong =
        |expected: String, got: String| KernelError::Invalid { operation: "upload", expected, got };
    if u32::try_from(batch.num_rows()).is_err() {
        return Err(wrong("rows that fit 32 bits".into(), batch.num_rows().to_string()));
    }
    let mut arrays = Vec::with_capacity(plan.columns.len());
    for column in &plan.columns {
        let array = match batch.columns().get(column.source) {
            Some(a) if *a.data_type() == column.data_type => a,
            // Texts that the scan gives as codes.
            Some(a) if column.dictionary.is_some() && is_string(a.data_type()) => a,
            // Decimals that the scan gives as 64-bit integers.
            Some(a) if narrow(&column.data_type).as_ref() == Some(a.data_type()) => a,
            other => {
                let got = other.map_or("no column".into(), |a| a.data_type().to_string());
                return Err(wrong(format!("{} of type {}", column.name, column.data_type), got));
            }
        };
        if !plan.schema.field(column.source).is_nullable() && array.logical_null_count() > 0 {
            return Err(wrong(format!("{} without nulls", column.name), "a null".into()));
        }
        arrays.push(array);
    }
    Ok(arrays)
}

/// Arrow memory as memory of the `cpu` device.
struct ArrowBytes(Buffer);

impl HostBytes for ArrowBytes {
    fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Puts one array of a fixed-width type on a device, in Arrow's layout.
pub(crate) fn upload_array(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    array: &ArrayRef,
) -> Result<DeviceColumn> {
    let unsupported = |ty: &DataType| KernelError::Unsupported {
        device: device.info().name.to_string(),
        reason: format!("type {ty} has no device form"),
    };
    let ty = match array.data_type() {
        t if is_string(t) => return Err(unsupported(t)),
        t => stored_type(t).map_err(|_| unsupported(t))?,
    };
    let rows = array.len();
    let (values, bit_offset) = match ty.packed_bytes() {
        Some(width) => {
            let data = array.to_data();
            let bytes = data.buffers()[0].slice_with_length(data.offset() * width, rows * width);
            (put(device, queue, reservation, bytes)?, 0)
        }
        None => {
            let bits = array.as_boolean().values();
            let (bytes, bit) = bitmap(bits.inner(), bits.offset(), rows);
            (put(device, queue, reservation, bytes)?, bit)
        }
    };
    let validity = match array.nulls().filter(|n| n.null_count() > 0) {
        None => Validity::All,
        Some(nulls) => {
            let (bytes, bit_offset) = bitmap(nulls.inner().inner(), nulls.offset(), rows);
            Validity::Bits { bits: put(device, queue, reservation, bytes)?, bit_offset }
        }
    };
    Ok(DeviceColumn { ty, storage: Storage::Packed, values, bit_offset, validity })
}

/// The bytes that hold bits `offset..offset + len`, and the bit of the first one.
fn bitmap(buffer: &Buffer, offset: usize, len: usize) -> (Buffer, u32) {
    let bit = offset % 8;
    (buffer.slice_with_length(offset / 8, (bit + len).div_ceil(8)), bit as u32)
}

/// Host bytes as a device buffer: borrowed where the memory is shared, else copied.
fn put(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    bytes: Buffer,
) -> Result<DeviceBuffer> {
    let len = bytes.len();
    if let Some(buffer) = device.adopt(Arc::new(ArrowBytes(bytes.clone()))) {
        return Ok(buffer);
    }
    // Kernels read 32-bit words.
    let buffer = device.alloc(reservation, len.next_multiple_of(4))?;
    if len > 0 {
        queue.upload(&buffer, 0, bytes.as_slice())?;
    }
    Ok(buffer)
}
