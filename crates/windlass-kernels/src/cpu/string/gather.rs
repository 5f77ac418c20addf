//! Texts of rows by number, conversion to offsets and bytes, and concatenation.

use std::sync::atomic::{AtomicBool, Ordering};

use windlass_device::{Device, Reservation};

use super::{
    read::{HostTexts, Rows, with_rows},
    write::{bits, texts, valid_bits, validity, values},
};
use crate::{
    column::{DeviceColumn, Validity},
    cpu::view::{Bits, aligned_words},
    error::{KernelError, Result},
    string::{ConcatNulls, StringColumn},
};

/// Row `indices[i]` for each index; with `missing`, `u32::MAX` gives a null.
///
/// # Errors
/// `Invalid` for a row that the column does not have, for texts that do not lie in its buffers,
/// and for a result of 4 GiB or more; `OutOfMemory`.
pub(crate) fn gather(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &StringColumn,
    indices: &[u32],
    missing: bool,
) -> Result<StringColumn> {
    let valid = Bits::of(&c.validity)?;
    let row_of = |i: usize| match indices[i] {
        u32::MAX if missing => None,
        row => Some(row as usize),
    };
    let nullable = missing || c.nullable();
    pick(operation, device, reservation, c, (&row_of, indices.len(), nullable), &valid)
}

/// The texts of codes.
///
/// # Errors
/// As [`gather`].
pub(crate) fn from_codes(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    (codes, n): (&DeviceColumn, usize),
    values: &StringColumn,
) -> Result<StringColumn> {
    let numbers = aligned_words(&codes.values, n)?;
    let (live, valid) = (Bits::of(&codes.validity)?, Bits::of(&values.validity)?);
    let row_of = |i: usize| (live.get(i) == Some(true)).then(|| numbers[i] as usize);
    let nullable = codes.nullable() || values.nullable();
    pick(operation, device, reservation, values, (&row_of, n, nullable), &valid)
}

/// The same texts as offsets and bytes.
///
/// # Errors
/// As [`gather`].
pub(crate) fn to_offsets(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &StringColumn,
) -> Result<StringColumn> {
    if let HostTexts::Offsets(rows) = HostTexts::new(operation, c)?
        && c.rows > 0
        && rows.start(0) == 0
        && rows.start(c.rows) == rows.bytes.len()
        && !c.nullable()
    {
        return Ok(c.clone());
    }
    let valid = Bits::of(&c.validity)?;
    pick(operation, device, reservation, c, (&Some, c.rows, c.nullable()), &valid)
}

/// The texts of rows: of none where `row_of` gives none.
fn pick(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &StringColumn,
    (row_of, n, nullable): (&(impl Fn(usize) -> Option<usize> + Sync + Send), usize, bool),
    valid: &Bits<'_>,
) -> Result<StringColumn> {
    let host = HostTexts::new(operation, c)?;
    let outside = AtomicBool::new(false);
    let live = |row: &usize| valid.get(*row) == Some(true);
    let found: Vec<&[u8]> = with_rows!(&host, rows => values(n, |i| match row_of(i) {
        Some(row) if row >= c.rows => {
            outside.store(true, Ordering::Relaxed);
            &[]
        }
        Some(row) if live(&row) => rows.get(row),
        _ => &[],
    }));
    if outside.into_inner() {
        let got = (0..n).filter_map(row_of).find(|r| *r >= c.rows).unwrap_or(c.rows);
        let expected = format!("row numbers less than {}", c.rows);
        return Err(KernelError::Invalid { operation, expected, got: got.to_string() });
    }
    let validity = if nullable {
        let bits = bits(n, |i| row_of(i).is_some_and(|row| live(&row)));
        valid_bits(device, reservation, bits)?
    } else {
        Validity::All
    };
    let copy = |row: usize, place: &mut [u8]| place.copy_from_slice(found[row]);
    let rows = (|row: usize| found[row].len(), copy);
    texts(operation, device, reservation, n, validity, rows)
}

/// The texts of several columns, one behind the other.
///
/// # Errors
/// As [`gather`].
pub(crate) fn concat(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    columns: &[&StringColumn],
    n: usize,
    nulls: ConcatNulls,
) -> Result<StringColumn> {
    let mut parts = Vec::with_capacity(columns.len());
    for c in columns {
        parts.push((HostTexts::new(operation, c)?, Bits::of(&c.validity)?, c.rows));
    }
    let at = |rows: usize, row: usize| if rows == 1 { 0 } else { row };
    let whole =
        |row: usize| parts.iter().all(|(_, valid, rows)| valid.get(at(*rows, row)) == Some(true));
    let nullable = nulls == ConcatNulls::Propagate && columns.iter().any(|c| c.nullable());
    let texts_of = |row: usize| {
        let live = !nullable || whole(row);
        parts.iter().filter(move |_| live).filter_map(move |(texts, valid, rows)| {
            let row = at(*rows, row);
            (valid.get(row) == Some(true)).then(|| texts.get(row))
        })
    };
    let validity = match columns {
        _ if !nullable => Validity::All,
        [one] => validity(device, reservation, &one.validity, n)?,
        _ => valid_bits(device, reservation, bits(n, whole))?,
    };
    let copy = |row: usize, mut place: &mut [u8]| {
        for text in texts_of(row) {
            let (to, after) = place.split_at_mut(text.len());
            to.copy_from_slice(text);
            place = after;
        }
    };
    // A sum of lengths past 32 bits is as wrong as the largest word.
    let len = |row: usize| texts_of(row).map(<[u8]>::len).sum::<usize>().min(u32::MAX as usize);
    texts(operation, device, reservation, n, validity, (len, copy))
}
