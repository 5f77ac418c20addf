//! Device batches to record batches.

use std::{panic::AssertUnwindSafe, ptr::NonNull, sync::Arc};

use arrow::{
    array::{
        Array, ArrayData, ArrayRef, AsArray, BooleanArray, Decimal128Array, RecordBatch,
        RecordBatchOptions, make_array,
    },
    buffer::{BooleanBuffer, Buffer, NullBuffer},
    datatypes::{DataType, Int64Type, SchemaRef, UInt32Type},
};
use windlass_device::{DeviceBuffer, Queue};
use windlass_kernels::{DeviceBatch, DeviceColumn, KernelError, Result, Storage, Validity};

use super::{DictionarySet, set::natural_type};
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
    if batch.columns.len() != columns.len() || columns.len() != schema.fields().len() {
        return Err(invalid(
            format!("{} columns", schema.fields().len()),
            format!("{} outputs and {} columns", columns.len(), batch.columns.len()),
        ));
    }
    let mut arrays = Vec::with_capacity(columns.len());
    for (column, output) in batch.columns.iter().zip(columns) {
        let array = read_column(queue, column, batch.rows)?;
        arrays.push(logical(array, output, dictionaries)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
        .map_err(|e| invalid("columns of the schema".into(), e.to_string()))
}

/// An array of a natural type as the logical type that it stands for.
pub(crate) fn logical(
    array: ArrayRef,
    output: &OutputColumn,
    dictionaries: &DictionarySet,
) -> Result<ArrayRef> {
    let fit = |e: &dyn std::fmt::Display| invalid(output.data_type.to_string(), e.to_string());
    if let Some(id) = output.dictionary {
        let codes = array.as_primitive_opt::<UInt32Type>().ok_or_else(|| fit(array.data_type()))?;
        return dictionaries.decode(id, codes.values(), codes.nulls().cloned(), &output.data_type);
    }
    match (&output.data_type, array.data_type()) {
        (want, got) if want == got => Ok(array),
        (DataType::Decimal128(p, s), DataType::Int64) => {
            let values = array.as_primitive::<Int64Type>();
            let wide: Decimal128Array = values.unary(i128::from);
            Ok(Arc::new(wide.with_precision_and_scale(*p, *s).map_err(|e| fit(&e))?))
        }
        (want, got) if want.primitive_width() == got.primitive_width() => {
            let data = array.to_data().into_builder().data_type(want.clone());
            Ok(make_array(data.build().map_err(|e| fit(&e))?))
        }
        (_, got) => Err(fit(got)),
    }
}

/// A column as an array of its natural Arrow type.
///
/// # Errors
/// The device's, and `Invalid` when a buffer is too short.
pub(crate) fn read_column(
    queue: &mut dyn Queue,
    column: &DeviceColumn,
    rows: usize,
) -> Result<ArrayRef> {
    let nulls = match &column.validity {
        Validity::All => None,
        Validity::Bits { bits, bit_offset } => {
            let offset = *bit_offset as usize;
            let bytes = fetch(queue, bits, (offset + rows).div_ceil(8))?;
            Some(NullBuffer::new(BooleanBuffer::new(bytes, offset, rows)))
        }
        Validity::Words(words) => Some(NullBuffer::new(word_bits(queue, words, rows)?)),
    };
    let nulls = nulls.filter(|n| n.null_count() > 0);
    let ty = column.ty;
    let bytes = match (column.storage, ty.packed_bytes()) {
        (Storage::Packed, None) => {
            let offset = column.bit_offset as usize;
            let bytes = fetch(queue, &column.values, (offset + rows).div_ceil(8))?;
            return Ok(Arc::new(BooleanArray::new(BooleanBuffer::new(bytes, offset, rows), nulls)));
        }
        (Storage::Wide, None) => {
            let bits = word_bits(queue, &column.values, rows)?;
            return Ok(Arc::new(BooleanArray::new(bits, nulls)));
        }
        (Storage::Wide, Some(1)) => {
            let words = fetch(queue, &column.values, rows * 4)?;
            Buffer::from_vec(words.chunks_exact(4).map(|w| w[0]).collect::<Vec<u8>>())
        }
        (Storage::Wide, Some(2)) => {
            let words = fetch(queue, &column.values, rows * 4)?;
            let narrow = words.chunks_exact(4).map(|w| u16::from_le_bytes([w[0], w[1]]));
            Buffer::from_vec(narrow.collect::<Vec<u16>>())
        }
        (_, Some(width)) => fetch(queue, &column.values, rows * width)?,
    };
    let data = ArrayData::builder(natural_type(ty)).len(rows).add_buffer(bytes).nulls(nulls);
    let data = data.align_buffers(true).build();
    Ok(make_array(data.map_err(|e| invalid(format!("values of {ty}"), e.to_string()))?))
}

/// One bit for each word that is not zero.
fn word_bits(queue: &mut dyn Queue, words: &DeviceBuffer, rows: usize) -> Result<BooleanBuffer> {
    let words = fetch(queue, words, rows * 4)?;
    Ok(BooleanBuffer::collect_bool(rows, |i| words[4 * i..4 * i + 4] != [0; 4]))
}

/// The first `n` words of a buffer.
///
/// # Errors
/// The device's.
pub(crate) fn read_words(queue: &mut dyn Queue, words: &DeviceBuffer, n: usize) -> Result<Buffer> {
    if words.host_bytes().is_some() {
        return fetch(queue, words, n * 4);
    }
    words.check_range(0, n * 4)?;
    // Allocated as words, which readers take them for.
    let mut out = vec![0u32; n];
    if n > 0 {
        queue.download(words, 0, bytemuck::cast_slice_mut(&mut out))?;
    }
    Ok(Buffer::from_vec(out))
}

/// The first `len` bytes of a buffer: shared where they lie in host memory, else copied.
fn fetch(queue: &mut dyn Queue, buffer: &DeviceBuffer, len: usize) -> Result<Buffer> {
    buffer.check_range(0, len)?;
    if let Some(bytes) = buffer.host_bytes() {
        let start = NonNull::from(&bytes[..len]).cast::<u8>();
        let owner = Arc::new(AssertUnwindSafe(buffer.clone()));
        // SAFETY: `start` is valid for `len` bytes while `buffer` lives, which the owner
        // keeps; a kernel's output is not written again.
        return Ok(unsafe { Buffer::from_custom_allocation(start, len, owner) });
    }
    let mut bytes = vec![0; len];
    if len > 0 {
        queue.download(buffer, 0, &mut bytes)?;
    }
    Ok(Buffer::from_vec(bytes))
}

fn invalid(expected: String, got: String) -> KernelError {
    KernelError::Invalid { operation: "download", expected, got }
}
