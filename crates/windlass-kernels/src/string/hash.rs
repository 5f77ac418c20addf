//! Row hashes of texts.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::{
    StringColumn,
    bound::{Bound, valid_words},
    invalid,
    sources::KernelId,
};
use crate::{
    column::{DeviceColumn, check_words},
    cpu,
    error::Result,
    hash::SEED,
    launcher::Launcher,
    types::PhysType,
};

/// One 64-bit hash for each row, as two 32-bit words, the low one first: MurmurHash64B of the
/// text's bytes, the same for every form and on every backend. With `before`, the hashes of other
/// columns ([`crate::hash::hash_rows`] or this function), the column is folded into them, as
/// `hash_rows` does with its columns. A null hashes as no bytes.
///
/// # Errors
/// `Invalid` when the column or `before` is too short or on another device; the device's errors.
pub fn hash_texts(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    before: Option<&DeviceBuffer>,
) -> Result<DeviceBuffer> {
    run(device, queue, reservation, column, None, before)
}

/// As [`hash_texts`], of the texts that `codes` number in `values`: the hash of a
/// dictionary-coded column that agrees with the hash of its texts. ([`crate::hash::hash_rows`]
/// over the codes hashes the numbers, which only columns of one dictionary share.) A null code,
/// one of a null value, and one past the values hash as null.
///
/// # Errors
/// As [`hash_texts`], and `Invalid` for codes that are not `u32`.
pub fn hash_codes(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    (codes, rows): (&DeviceColumn, usize),
    values: &StringColumn,
    before: Option<&DeviceBuffer>,
) -> Result<DeviceBuffer> {
    run(device, queue, reservation, values, Some((codes, rows)), before)
}

fn run(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    codes: Option<(&DeviceColumn, usize)>,
    before: Option<&DeviceBuffer>,
) -> Result<DeviceBuffer> {
    const OPERATION: &str = "hash of texts";
    column.check(OPERATION, device)?;
    let rows = codes.map_or(column.rows, |(_, rows)| rows);
    if let Some((codes, rows)) = codes {
        check_codes(OPERATION, device, codes, rows)?;
    }
    if let Some(before) = before {
        check_words(OPERATION, device, "row hashes", before, rows * 2)?;
    }
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        let codes = codes.map(|(c, _)| c);
        return cpu::string::hash(OPERATION, device, reservation, column, (codes, rows), before);
    };
    let bound = Bound::new(&mut l, column)?;
    let live = match codes {
        Some((codes, rows)) => valid_words(&mut l, &codes.validity, rows)?,
        None => None,
    };
    let hashes = l.alloc_words(rows, 2)?;
    if let Some(before) = before.filter(|_| rows > 0) {
        l.queue.copy(before, 0, &hashes, 0, rows * 8)?;
    }
    let coded = match (codes, &live) {
        (None, _) => 0,
        (Some(_), None) => 1,
        (Some(_), Some(_)) => 2,
    };
    let mut params = vec![rows as u32];
    params.extend(bound.params());
    params.extend([coded, u32::from(before.is_none()), SEED]);
    let unread = &bound.heads;
    let buffers = [
        &bound.heads,
        &bound.bytes,
        bound.valid(),
        codes.map_or(unread, |(c, _)| &c.values),
        live.as_ref().unwrap_or(unread),
        &hashes,
    ];
    KernelId::HashText.each(&mut l, rows, &buffers, &params)?;
    Ok(hashes)
}

/// Checks a column of dictionary codes.
pub(super) fn check_codes(
    operation: &'static str,
    device: &dyn Device,
    codes: &DeviceColumn,
    rows: usize,
) -> Result<()> {
    crate::column::check_rows(operation, rows)?;
    if codes.ty != PhysType::U32 {
        return invalid(operation, "codes of type u32", codes.ty.to_string());
    }
    codes.check(operation, device, rows)
}
