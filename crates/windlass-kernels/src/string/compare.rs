//! Equality and order of texts.

use windlass_device::{Device, Queue, Reservation};

use super::{
    StringColumn,
    bound::{Bound, rows_of_both, wide, words_validity},
    sources::KernelId,
};
use crate::{column::DeviceColumn, cpu, error::Result, launcher::Launcher, types::PhysType};

/// A comparison of two texts by their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
    ];

    /// For which orders it holds: bit 0 less, bit 1 equal, bit 2 greater.
    pub(crate) fn wanted(self) -> u32 {
        match self {
            Self::Equal => 0b010,
            Self::NotEqual => 0b101,
            Self::Less => 0b001,
            Self::LessOrEqual => 0b011,
            Self::Greater => 0b100,
            Self::GreaterOrEqual => 0b110,
        }
    }
}

/// What the kernel takes for the order itself.
const ORDER: u32 = 8;

/// Whether the comparison holds between the columns' rows, as `Bool`; null where either is null,
/// as in SQL. A column of one row (see [`StringColumn::constant`]) is compared with every row of
/// the other.
///
/// # Errors
/// `Invalid` when the columns differ in rows and neither has one row, and when one is too short
/// or on another device; the device's errors.
pub fn compare(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    left: &StringColumn,
    comparison: Comparison,
    right: &StringColumn,
) -> Result<DeviceColumn> {
    run(device, queue, reservation, left, Some(comparison), right)
}

/// The order of the columns' rows, as `I8`: -1 where the left text comes first, 0 where they are
/// equal, 1 where the right one does; null where either is null. Rows as in [`compare`].
///
/// # Errors
/// As [`compare`].
pub fn order(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    left: &StringColumn,
    right: &StringColumn,
) -> Result<DeviceColumn> {
    run(device, queue, reservation, left, None, right)
}

fn run(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    left: &StringColumn,
    comparison: Option<Comparison>,
    right: &StringColumn,
) -> Result<DeviceColumn> {
    const OPERATION: &str = "comparison of texts";
    left.check(OPERATION, device)?;
    right.check(OPERATION, device)?;
    let rows = rows_of_both(OPERATION, left, right)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        let columns = (left, right);
        return cpu::string::compare(OPERATION, device, reservation, columns, rows, comparison);
    };
    let (a, b) = (Bound::beside(&mut l, left)?, Bound::beside(&mut l, right)?);
    let out = l.alloc_words(rows, 1)?;
    let nullable = left.nullable() || right.nullable();
    let valid = l.alloc_words(if nullable { rows } else { 1 }, 1)?;
    let wanted = comparison.map_or(ORDER, Comparison::wanted);
    let mut params = vec![rows as u32];
    params.extend(a.params());
    params.extend(b.params());
    params.extend([wanted, u32::from(nullable)]);
    let buffers = [&a.heads, &a.bytes, a.valid(), &b.heads, &b.bytes, b.valid(), &out, &valid];
    KernelId::Compare.each(&mut l, rows, &buffers, &params)?;
    let ty = if comparison.is_some() { PhysType::Bool } else { PhysType::I8 };
    Ok(wide(ty, out, words_validity(nullable.then_some(valid))))
}
