//! The least and the greatest value of a column, and where it is.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::{Wide, blocks, check, scalar, sources::EXTREME};
use crate::{
    column::DeviceColumn,
    cpu,
    error::Result,
    launcher::Launcher,
    types::{PhysType, Scalar},
};

/// An extreme value and the first row that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extreme {
    /// The value, of the column's type.
    pub value: Scalar,
    /// The row.
    pub row: u32,
}

/// The least value: floats in the order of IEEE 754 totalOrder (-NaN, -inf, …, inf, NaN), false
/// before true. `None` where there are no values.
///
/// # Errors
/// `Invalid` where an argument is too short or on another device; the device's errors.
pub fn min(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<Option<Extreme>> {
    extreme("min", device, queue, reservation, column, rows, selected)
}

/// The greatest value, in the order of [`min`].
///
/// # Errors
/// As [`min`].
pub fn max(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<Option<Extreme>> {
    extreme("max", device, queue, reservation, column, rows, selected)
}

/// The first row with the least value, in the order of [`min`].
///
/// # Errors
/// As [`min`].
pub fn arg_min(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<Option<u32>> {
    let found = extreme("arg_min", device, queue, reservation, column, rows, selected)?;
    Ok(found.map(|e| e.row))
}

/// The first row with the greatest value, in the order of [`min`].
///
/// # Errors
/// As [`min`].
pub fn arg_max(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<Option<u32>> {
    let found = extreme("arg_max", device, queue, reservation, column, rows, selected)?;
    Ok(found.map(|e| e.row))
}

/// 0 unsigned, 1 signed, 2 float.
fn order(ty: PhysType) -> u32 {
    if ty.is_float() { 2 } else { u32::from(ty.is_signed()) }
}

fn extreme(
    operation: &'static str,
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<Option<Extreme>> {
    check(operation, device, column, rows, selected)?;
    let is_min = operation.ends_with("min");
    if rows == 0 {
        return Ok(None);
    }
    if Launcher::new(device, queue, reservation).is_none() {
        return cpu::reduce::extreme(column, rows, selected, is_min);
    }
    let wide = Wide::new(device, queue, reservation, column, rows)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else { return Ok(None) };
    let blocks = blocks(&l, rows);
    let best = l.alloc_words(blocks as usize, 5)?;
    let params = [
        rows as u32,
        order(column.ty),
        u32::from(is_min),
        u32::from(wide.valid.is_some()),
        u32::from(selected.is_some()),
        blocks,
    ];
    let valid = wide.valid.as_ref().unwrap_or(&wide.values);
    let buffers = [&wide.values, valid, selected.unwrap_or(&wide.values), &best];
    let words = [("WORDS", column.ty.words() as u32)];
    l.launch(&EXTREME, &words, blocks, &buffers, &params)?;
    let found = l.read_words(&best, 0, blocks as usize * 5)?;
    let found = found.chunks_exact(5).filter(|b| b[4] != u32::MAX).map(|b| {
        let code = b[..4].iter().rev().fold(0u128, |bits, w| bits << 32 | u128::from(*w));
        (code, std::cmp::Reverse(b[4]))
    });
    Ok(found.max().map(|(code, row)| {
        let value = scalar(column.ty, decode(column.ty, code, is_min));
        Extreme { value, row: row.0 }
    }))
}

/// The bits of a value in wide storage from its code; see `extreme.cu`.
fn decode(ty: PhysType, code: u128, is_min: bool) -> u128 {
    let bits = ty.words() as u32 * 32;
    let (all, sign) = (u128::MAX >> (128 - bits), 1u128 << (bits - 1));
    let code = if is_min { !code & all } else { code };
    match order(ty) {
        2 if code & sign == 0 => !code & all,
        0 => code,
        _ => code ^ sign,
    }
}
