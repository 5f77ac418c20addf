//! Columns and batches on a device.

use windlass_device::{Device, DeviceBuffer};

use crate::{
    error::{KernelError, Result},
    types::PhysType,
};

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

    /// Checks that the column lies on `device` and holds `rows` rows, so that no kernel reads
    /// outside its buffers. `operation` is for the error.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn check(&self, operation: &'static str, device: &dyn Device, rows: usize) -> Result<()> {
        let invalid = |expected, got| Err(KernelError::Invalid { operation, expected, got });
        if let Some(bit) = self.first_bits().into_iter().find(|bit| *bit > 7) {
            return invalid(
                "values and a validity from a bit below 8".into(),
                format!("bit {bit}"),
            );
        }
        let held = self.rows_of_values();
        let valid = self.rows_of_validity();
        let mask = match &self.validity {
            Validity::All => None,
            Validity::Bits { bits: mask, .. } | Validity::Words(mask) => Some(mask),
        };
        if held < rows {
            return invalid(format!("{rows} {} values", self.ty), format!("{held} values"));
        }
        if valid < rows {
            return invalid(format!("the validity of {rows} rows"), format!("of {valid} rows"));
        }
        for buffer in [Some(&self.values), mask].into_iter().flatten() {
            on_device(operation, device, buffer)?;
        }
        Ok(())
    }

    /// The bits that the values and the validity begin at, as far as they are bits.
    pub(crate) fn first_bits(&self) -> [u32; 2] {
        let values = match (self.storage, self.ty.packed_bytes()) {
            (Storage::Packed, None) => self.bit_offset,
            _ => 0,
        };
        let valid = match &self.validity {
            Validity::Bits { bit_offset, .. } => *bit_offset,
            _ => 0,
        };
        [values, valid]
    }

    /// Rows that the values' buffer has room for.
    pub(crate) fn rows_of_values(&self) -> usize {
        match (self.storage, self.ty.packed_bytes()) {
            (Storage::Packed, Some(bytes)) => self.values.len() / bytes,
            (Storage::Packed, None) => bits(&self.values, self.bit_offset),
            (Storage::Wide, _) => self.values.len() / self.ty.wide_bytes(),
        }
    }

    /// Rows that the validity's buffer has room for; any number where there is none.
    pub(crate) fn rows_of_validity(&self) -> usize {
        match &self.validity {
            Validity::All => usize::MAX,
            Validity::Bits { bits: mask, bit_offset } => bits(mask, *bit_offset),
            Validity::Words(words) => words.len() / 4,
        }
    }
}

/// Bits of a bitmap from bit `offset` on.
fn bits(buffer: &DeviceBuffer, offset: u32) -> usize {
    (buffer.len() * 8).saturating_sub(offset as usize)
}

/// Checks that a buffer lies on `device`.
///
/// # Errors
/// `Invalid`.
pub(crate) fn on_device(
    operation: &'static str,
    device: &dyn Device,
    buffer: &DeviceBuffer,
) -> Result<()> {
    let name = &device.info().name;
    if buffer.device() == name {
        return Ok(());
    }
    let (expected, got) = (format!("a buffer of {name}"), format!("one of {}", buffer.device()));
    Err(KernelError::Invalid { operation, expected, got })
}

/// Checks that a buffer lies on `device` and holds `n` 32-bit words, for an argument `what`.
///
/// # Errors
/// `Invalid`.
pub(crate) fn check_words(
    operation: &'static str,
    device: &dyn Device,
    what: &str,
    buffer: &DeviceBuffer,
    n: usize,
) -> Result<()> {
    if buffer.len() / 4 < n {
        return Err(KernelError::Invalid {
            operation,
            expected: format!("{n} 32-bit words of {what}"),
            got: format!("{} words", buffer.len() / 4),
        });
    }
    on_device(operation, device, buffer)
}

/// Most rows of a batch: row numbers have 31 bits, so that the rest can mark what is no row.
pub(crate) const MAX_ROWS: usize = (1 << 31) - 1;

/// Checks that a batch may have so many rows.
///
/// # Errors
/// `Invalid`.
pub(crate) fn check_rows(operation: &'static str, rows: usize) -> Result<()> {
    if rows <= MAX_ROWS {
        return Ok(());
    }
    let (expected, got) = (format!("at most {MAX_ROWS} rows"), rows.to_string());
    Err(KernelError::Invalid { operation, expected, got })
}

impl DeviceBatch {
    /// Checks every column as [`DeviceColumn::check`] does, and the number of rows.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn check(&self, operation: &'static str, device: &dyn Device) -> Result<()> {
        check_rows(operation, self.rows)?;
        self.columns.iter().try_for_each(|c| c.check(operation, device, self.rows))
    }
}
