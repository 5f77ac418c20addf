//! Lengths of texts.

use windlass_device::{Device, Queue, Reservation};

use super::{
    StringColumn,
    bound::{Bound, Lengths, wide, words_validity},
};
use crate::{column::DeviceColumn, cpu, error::Result, launcher::Launcher, types::PhysType};

/// The bytes of each row's text, as `u32`; null where it is null.
///
/// # Errors
/// `Invalid` when the column is too short or on another device; the device's errors.
pub fn byte_length(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
) -> Result<DeviceColumn> {
    lengths("byte length", device, queue, reservation, column, false)
}

/// The characters of each row's text, as `u32`; null where it is null.
///
/// # Errors
/// As [`byte_length`].
pub fn character_length(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
) -> Result<DeviceColumn> {
    lengths("character length", device, queue, reservation, column, true)
}

fn lengths(
    operation: &'static str,
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    characters: bool,
) -> Result<DeviceColumn> {
    column.check(operation, device)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::string::lengths(operation, device, reservation, column, characters);
    };
    let bound = Bound::new(&mut l, column)?;
    let out = l.alloc_words(column.rows, 1)?;
    let how = Lengths { characters, clears: true, ..Lengths::default() };
    how.write(&mut l, &bound, column.rows, &out)?;
    Ok(wide(PhysType::U32, out, words_validity(bound.valid)))
}
