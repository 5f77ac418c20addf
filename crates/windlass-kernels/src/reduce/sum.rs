//! Sums in a wider type, and counts.

use windlass_device::{Backend, Device, DeviceBuffer, Queue, Reservation};

use super::{
    Wide, blocks, check,
    sources::{Kind, SUM},
};
use crate::{
    column::{DeviceColumn, Storage, Validity},
    cpu,
    error::{KernelError, Result},
    launcher::Launcher,
    types::{PhysType, Scalar},
};

/// A sum in the wider type of its column's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Total {
    /// Of integers: exact for columns of up to 64 bits, modulo 2^128 for `i128`.
    Int(i128),
    /// Of floats, added as 64-bit floats.
    Float(f64),
}

/// A sum and how many values it is of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sum {
    /// The sum; 0 where there are no values.
    pub total: Total,
    /// Values added.
    pub count: u64,
}

impl Sum {
    /// The sum of both.
    ///
    /// # Errors
    /// `Invalid` for a sum of integers with one of floats.
    pub fn merge(self, other: Self) -> Result<Self> {
        let total = match (self.total, other.total) {
            (Total::Int(a), Total::Int(b)) => Total::Int(a.wrapping_add(b)),
            (Total::Float(a), Total::Float(b)) => Total::Float(a + b),
            (a, b) => {
                return Err(KernelError::Invalid {
                    operation: "merge of sums",
                    expected: format!("a sum of the kind of {a:?}"),
                    got: format!("{b:?}"),
                });
            }
        };
        Ok(Self { total, count: self.count + other.count })
    }

    /// The sum as an `i128` or `f64`; `None` (SQL's null) where there are no values.
    pub fn scalar(&self) -> Option<Scalar> {
        (self.count > 0).then_some(match self.total {
            Total::Int(v) => Scalar::Int(PhysType::I128, v),
            Total::Float(v) => Scalar::F64(v),
        })
    }

    /// The mean; `None` where there are no values.
    pub fn mean(&self) -> Option<f64> {
        let total = match self.total {
            Total::Int(v) => v as f64,
            Total::Float(v) => v,
        };
        (self.count > 0).then(|| total / self.count as f64)
    }
}

/// The sum of a column's values.
///
/// # Errors
/// `Invalid` for a `Bool` column, or where an argument is too short or on another device;
/// `Unsupported` for floats on an adapter without 64-bit floats; the device's errors.
pub fn sum(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<Sum> {
    const OPERATION: &str = "sum";
    check(OPERATION, device, column, rows, selected)?;
    if column.ty == PhysType::Bool {
        return Err(KernelError::Invalid {
            operation: OPERATION,
            expected: "a column of numbers".into(),
            got: "bool".into(),
        });
    }
    let info = device.info();
    if column.ty.is_float() && info.backend == Backend::Wgpu && !info.features.float64 {
        return Err(KernelError::Unsupported {
            device: info.name.to_string(),
            reason: "sums of floats need 64-bit floats".into(),
        });
    }
    add(device, queue, reservation, column, rows, selected)
}

/// How many of a column's rows are not null (and selected).
///
/// # Errors
/// `Invalid` where an argument is too short or on another device; the device's errors.
pub fn count(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<u64> {
    check("count", device, column, rows, selected)?;
    if Launcher::new(device, queue, reservation).is_none() {
        return cpu::reduce::count(column, rows, selected);
    }
    // The validity is all that counts, so it takes the place of the values too.
    let (values, bit_offset, storage) = match (&column.validity, selected) {
        (Validity::All, None) => return Ok(rows as u64),
        (Validity::All, Some(selected)) => (selected.clone(), 0, Storage::Wide),
        (Validity::Bits { bits, bit_offset }, _) => (bits.clone(), *bit_offset, Storage::Packed),
        (Validity::Words(words), _) => (words.clone(), 0, Storage::Wide),
    };
    let validity = column.validity.clone();
    let validity = DeviceColumn { ty: PhysType::Bool, storage, values, bit_offset, validity };
    Ok(add(device, queue, reservation, &validity, rows, selected)?.count)
}

/// Whether any value of a `Bool` column is true; `None` where there are no values.
///
/// # Errors
/// `Invalid` for another type, or where an argument is too short or on another device; the
/// device's errors.
pub fn any(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<Option<bool>> {
    let (ones, count) = truths("any", device, queue, reservation, column, rows, selected)?;
    Ok((count > 0).then_some(ones > 0))
}

/// Whether all values of a `Bool` column are true; `None` where there are no values.
///
/// # Errors
/// As [`any`].
pub fn all(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<Option<bool>> {
    let (ones, count) = truths("all", device, queue, reservation, column, rows, selected)?;
    Ok((count > 0).then_some(ones == count))
}

/// True values, and values.
fn truths(
    operation: &'static str,
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<(u64, u64)> {
    check(operation, device, column, rows, selected)?;
    if column.ty != PhysType::Bool {
        let (expected, got) = ("a bool column".into(), column.ty.to_string());
        return Err(KernelError::Invalid { operation, expected, got });
    }
    let sum = add(device, queue, reservation, column, rows, selected)?;
    match sum.total {
        Total::Int(ones) => Ok((ones as u64, sum.count)),
        Total::Float(ones) => Ok((ones as u64, sum.count)),
    }
}

/// The sum of a checked column, of booleans as 0 and 1.
fn add(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<Sum> {
    if Launcher::new(device, queue, reservation).is_none() {
        return cpu::reduce::sum(column, rows, selected);
    }
    let (kind, words) = match column.ty {
        PhysType::F32 => (Kind::F32, 1),
        PhysType::F64 => (Kind::F64, 2),
        ty => (Kind::Int, ty.words() as u32),
    };
    let none = match kind {
        Kind::Int => Total::Int(0),
        _ => Total::Float(0.0),
    };
    let mut sum = Sum { total: none, count: 0 };
    if rows == 0 {
        return Ok(sum);
    }
    let wide = Wide::new(device, queue, reservation, column, rows)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else { return Ok(sum) };
    let blocks = blocks(&l, rows);
    let sums = l.alloc_words(blocks as usize, if kind == Kind::Int { 4 } else { 2 })?;
    let counts = l.alloc_words(blocks as usize, 1)?;
    let params = [
        rows as u32,
        words,
        u32::from(column.ty.is_signed()),
        u32::from(wide.valid.is_some()),
        u32::from(selected.is_some()),
        blocks,
    ];
    let valid = wide.valid.as_ref().unwrap_or(&wide.values);
    let buffers = [&wide.values, valid, selected.unwrap_or(&wide.values), &sums, &counts];
    l.launch(&SUM, &[("KIND", kind as u32)], blocks, &buffers, &params)?;
    let counts = l.read_words(&counts, 0, blocks as usize)?;
    let per_block = if kind == Kind::Int { 4 } else { 2 };
    let words = l.read_words(&sums, 0, blocks as usize * per_block)?;
    for (words, count) in words.chunks_exact(per_block).zip(counts) {
        let bits = words.iter().rev().fold(0u128, |bits, w| bits << 32 | u128::from(*w));
        let total = match kind {
            Kind::Int => Total::Int(bits as i128),
            _ => Total::Float(f64::from_bits(bits as u64)),
        };
        sum = sum.merge(Sum { total, count: u64::from(count) })?;
    }
    Ok(sum)
}
