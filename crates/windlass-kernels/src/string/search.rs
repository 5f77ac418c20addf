//! Constants in texts: prefixes, suffixes, parts, and LIKE.

use windlass_device::{Device, Queue, Reservation};

use super::{
    Pattern, StringColumn,
    bound::{Bound, wide, words_validity},
    invalid,
    sources::KernelId,
};
use crate::{column::DeviceColumn, cpu, error::Result, launcher::Launcher, types::PhysType};

/// Whether each row's text starts with `needle`, as `Bool`; null where it is null.
///
/// # Errors
/// `Invalid` for an empty needle, or when the column is too short or on another device; the
/// device's errors.
pub fn starts_with(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    needle: &str,
) -> Result<DeviceColumn> {
    let pattern = needle_pattern("starts with", needle, true, false)?;
    run("starts with", device, queue, reservation, column, (&pattern, false))
}

/// Whether each row's text ends with `needle`, as `Bool`; null where it is null.
///
/// # Errors
/// As [`starts_with`].
pub fn ends_with(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    needle: &str,
) -> Result<DeviceColumn> {
    let pattern = needle_pattern("ends with", needle, false, true)?;
    run("ends with", device, queue, reservation, column, (&pattern, false))
}

/// Whether `needle` is in each row's text, as `Bool`; null where that is null.
///
/// # Errors
/// As [`starts_with`].
pub fn contains(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    needle: &str,
) -> Result<DeviceColumn> {
    let pattern = needle_pattern("contains", needle, false, false)?;
    run("contains", device, queue, reservation, column, (&pattern, false))
}

/// Whether each row's text is like the pattern, or `negated` is not, as `Bool`; null where it is
/// null.
///
/// # Errors
/// `Invalid` when the column is too short or on another device; the device's errors.
pub fn like(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    pattern: &Pattern,
    negated: bool,
) -> Result<DeviceColumn> {
    run("LIKE", device, queue, reservation, column, (pattern, negated))
}

fn needle_pattern(
    operation: &'static str,
    needle: &str,
    at_start: bool,
    at_end: bool,
) -> Result<Pattern> {
    if needle.is_empty() {
        return invalid(operation, "a text to look for", "an empty one");
    }
    Ok(Pattern::of_text(needle, at_start, at_end))
}

fn run(
    operation: &'static str,
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    (pattern, negated): (&Pattern, bool),
) -> Result<DeviceColumn> {
    column.check(operation, device)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::string::like(operation, device, reservation, column, pattern, negated);
    };
    let bound = Bound::new(&mut l, column)?;
    let program = l.upload_words(&pattern.program())?;
    let out = l.alloc_words(column.rows, 1)?;
    let mut params = vec![column.rows as u32];
    params.extend(bound.params());
    params.push(u32::from(negated));
    let buffers = [&bound.heads, &bound.bytes, &program, &out];
    KernelId::Like.each(&mut l, column.rows, &buffers, &params)?;
    Ok(wide(PhysType::Bool, out, words_validity(bound.valid)))
}
