//! Columns and batches on a device.

use windlass_device::DeviceBuffer;

use crate::types::PhysType;

/// How a column's values lie in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Storage {
    /// Arrow's layout: booleans are bits (least significant first), every other type its
    /// natural width, little-endian. What an upload of an Arrow array has.
    Packed,
    /// What GPU kernels write: booleans and 8- and 16-bit integers take a 32-bit word each
    /// (sign- or zero-extended), wider types their natural width.
    Wide,
}

/// Which rows of a column are not null.
#[derive(Debug, Clone)]
pub enum Validity {
    /// All of them.
    All,
    /// A bitmap in Arrow's layout; row 0 is bit `bit_offset`.
    Bits {
        /// The bitmap.
        bits: DeviceBuffer,
        /// Bit of row 0; less than 8.
        bit_offset: u32,
    },
    /// A 32-bit word for each row, 1 where valid, 0 where null. What GPU kernels write.
    Words(DeviceBuffer),
}

/// One column on a device. The row count is its batch's.
#[derive(Debug, Clone)]
pub struct DeviceColumn {
    /// Type of the values.
    pub ty: PhysType,
    /// How they lie in `values`.
    pub storage: Storage,
    /// The values; undefined where null.
    pub values: DeviceBuffer,
    /// For packed booleans the bit of row 0, less than 8; 0 for all else.
    pub bit_offset: u32,
    /// Which rows are not null.
    pub validity: Validity,
}

/// Columns of equal length on one device.
#[derive(Debug, Clone)]
pub struct DeviceBatch {
    /// Number of rows; fits 32 bits.
    pub rows: usize,
    /// The columns.
    pub columns: Vec<DeviceColumn>,
}

impl DeviceColumn {
    /// Whether a row may be null.
    pub fn nullable(&self) -> bool {
        !matches!(self.validity, Validity::All)
    }
}
