//! A column as the kernels of hash, join and partition read it: in either storage, with any
//! validity, as words. `kernels/hash/value.cuh` states the same numbers.

use windlass_device::{Device, DeviceBuffer};

use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    error::{KernelError, Result},
    types::PhysType,
};

/// Most rows of a batch: row numbers are 31 bits, and the last one stands for none.
pub(crate) const MAX_ROWS: usize = (1 << 31) - 1;

/// The five parameter words that say how a column lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColumnLayout {
    kind: u32,
    /// 32-bit words of a value.
    pub(crate) words: u32,
    bit_offset: u32,
    valid_mode: u32,
    valid_offset: u32,
}

impl ColumnLayout {
    pub(crate) fn of(column: &DeviceColumn) -> Self {
        let kind = match (column.ty, column.storage) {
            (PhysType::F32, _) => 6,
            (PhysType::F64, _) => 7,
            (_, Storage::Wide) => 0,
            (PhysType::Bool, _) => 1,
            (PhysType::I8, _) => 2,
            (PhysType::U8, _) => 3,
            (PhysType::I16, _) => 4,
            (PhysType::U16, _) => 5,
            _ => 0,
        };
        let (valid_mode, valid_offset) = match &column.validity {
            Validity::All => (0, 0),
            Validity::Bits { bit_offset, .. } => (1, *bit_offset),
            Validity::Words(_) => (2, 0),
        };
        let words = column.ty.words() as u32;
        Self { kind, words, bit_offset: column.bit_offset, valid_mode, valid_offset }
    }

    /// As [`ColumnLayout::of`], with floats as plain words, whose bits are not made canonical.
    pub(crate) fn raw(column: &DeviceColumn) -> Self {
        let kind = if column.ty.is_float() { 0 } else { Self::of(column).kind };
        Self { kind, ..Self::of(column) }
    }

    /// The validity's buffer; where there is none, one that is not read.
    pub(crate) fn valid<'a>(&self, column: &'a DeviceColumn) -> &'a DeviceBuffer {
        match &column.validity {
            Validity::All => &column.values,
            Validity::Bits { bits, .. } => bits,
            Validity::Words(words) => words,
        }
    }

    /// Whether the values are whole words, equal where the values are.
    pub(crate) fn is_canonical(&self) -> bool {
        self.kind == 0
    }

    /// Parameter words, after those that come first.
    pub(crate) fn after<const N: usize>(&self, first: [u32; N]) -> Vec<u32> {
        let mut params = first.to_vec();
        params.extend([self.kind, self.words, self.bit_offset, self.valid_mode, self.valid_offset]);
        params
    }
}

/// Bytes that the values of `rows` rows take, from the buffer's start.
fn value_bytes(column: &DeviceColumn, rows: usize) -> usize {
    match (column.storage, column.ty.packed_bytes()) {
        (Storage::Wide, _) => rows * column.ty.wide_bytes(),
        (Storage::Packed, Some(bytes)) => rows * bytes,
        (Storage::Packed, None) => (rows + column.bit_offset as usize).div_ceil(8),
    }
}

/// Checks that a batch has these columns, and that their buffers lie on the device and hold the
/// batch's rows.
///
/// # Errors
/// `Invalid` naming the operation, the column, what it should hold and what it holds.
pub(crate) fn check(
    operation: &'static str,
    device: &dyn Device,
    batch: &DeviceBatch,
    columns: &[usize],
) -> Result<()> {
    let wrong =
        |expected: String, got: String| Err(KernelError::Invalid { operation, expected, got });
    let rows = batch.rows;
    if rows > MAX_ROWS {
        return wrong(format!("a batch of at most {MAX_ROWS} rows"), rows.to_string());
    }
    for index in columns {
        let Some(column) = batch.columns.get(*index) else {
            return wrong(
                format!("a column below {}", batch.columns.len()),
                format!("column {index}"),
            );
        };
        let mut buffers = vec![("values", &column.values, value_bytes(column, rows))];
        let bit_offset = match &column.validity {
            Validity::All => 0,
            Validity::Bits { bits, bit_offset } => {
                buffers.push(("validity", bits, (rows + *bit_offset as usize).div_ceil(8)));
                *bit_offset
            }
            Validity::Words(words) => {
                buffers.push(("validity", words, rows * 4));
                0
            }
        };
        if column.bit_offset.max(bit_offset) > 7 {
            let got = column.bit_offset.max(bit_offset);
            return wrong(format!("column {index} to begin at a bit below 8"), got.to_string());
        }
        for (what, buffer, bytes) in buffers {
            if buffer.device() != &device.info().name {
                return wrong(
                    format!("the {what} of column {index} on {}", device.info().name),
                    buffer.device().to_string(),
                );
            }
            if buffer.len() < bytes {
                return wrong(
                    format!("{bytes} bytes in the {what} of column {index}"),
                    buffer.len().to_string(),
                );
            }
        }
    }
    Ok(())
}
