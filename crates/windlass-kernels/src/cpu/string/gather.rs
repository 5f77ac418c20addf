//! Texts of rows by number, conversion to offsets and bytes, and concatenation.

use std::sync::atomic::{AtomicBool, Ordering};

use windlass_device::{Device, Reservation};

use super::{
    head::HEAD,
    read::{HostTexts, Rows, with_rows},
    write::{bits, texts, valid_bits, validity, values},
};
use crate::{
    column::{DeviceColumn, Validity},
    cpu::{
        memory::prefetch,
        view::{Bits, aligned_words},
    },
    error::{KernelError, Result},
    string::{ConcatNulls, StringColumn, Texts},
};

/// Rows whose memory is asked for ahead: see `cpu::gather`.
const AHEAD: usize = 64;
/// Up to so many rows nothing is asked for: their views, or offsets and short texts, take half a
/// second-level cache of 1 MiB (a stated guess).
const NEAR: usize = 1 << 15;

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
    pick(operation, device, reservation, c, (&row_of, indices.len(), nullable), (&valid, false))
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
    pick(operation, device, reservation, values, (&row_of, n, nullable), (&valid, false))
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
    if matches!(c.texts, Texts::Offsets { .. })
        && let HostTexts::Offsets(rows) = HostTexts::new(operation, c)?
        && c.rows > 0
        && rows.start(0) == 0
        && rows.start(c.rows) == rows.bytes.len()
        && !c.nullable()
    {
        return Ok(c.clone());
    }
    let valid = Bits::of(&c.validity)?;
    pick(operation, device, reservation, c, (&Some, c.rows, c.nullable()), (&valid, true))
}

/// The texts of rows: of none where `row_of` gives none. `in_order`: rows follow each other.
fn pick(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &StringColumn,
    (row_of, n, nullable): (&(impl Fn(usize) -> Option<usize> + Sync + Send), usize, bool),
    (valid, in_order): (&Bits<'_>, bool),
) -> Result<StringColumn> {
    let host = HostTexts::new(operation, c)?;
    let outside = AtomicBool::new(false);
    let live = |row: usize| valid.get(row) == Some(true);
    let there = |row: usize| {
        if row >= c.rows {
            outside.store(true, Ordering::Relaxed);
        }
        row < c.rows && live(row)
    };
    let validity = if nullable {
        let bits = bits(n, |i| row_of(i).is_some_and(live));
        valid_bits(device, reservation, bits)?
    } else {
        Validity::All
    };
    let out = if in_order || c.rows <= NEAR {
        // They are looked up twice, in the cache or one after the other.
        with_rows!(&host, rows => {
            let text = |i: usize| row_of(i).filter(|row| there(*row));
            let len = |i: usize| text(i).map_or(0, |row| rows.get(row).len());
            let copy = |i: usize, len: usize, place: &mut [u8]| {
                text(i).into_iter().for_each(|row| put(rows, row, len, place));
            };
            texts(operation, device, reservation, n, validity, (len, copy))
        })
    } else {
        let found: Vec<&[u8]> = with_rows!(&host, rows => values(n, |i| {
            if let Some(next) = Some(i + AHEAD).filter(|i| *i < n).and_then(row_of) {
                rows.ask(next);
            }
            row_of(i).filter(|row| there(*row)).map_or(&[][..], |row| rows.get(row))
        }));
        let copy = |i: usize, len: usize, place: &mut [u8]| {
            if let Some(next) = found.get(i + AHEAD) {
                prefetch(next, 0);
            }
            place[..len].copy_from_slice(found[i]);
        };
        texts(operation, device, reservation, n, validity, (|i: usize| found[i].len(), copy))
    };
    if outside.into_inner() {
        let got = (0..n).filter_map(row_of).find(|r| *r >= c.rows).unwrap_or(c.rows);
        let expected = format!("row numbers less than {}", c.rows);
        return Err(KernelError::Invalid { operation, expected, got: got.to_string() });
    }
    out
}

/// Writes the text of a row, of `len` bytes, to the start of a place. A short one with all of its
/// head, so that its length is no branch, where there is room for that.
#[inline(always)]
fn put(rows: &impl Rows, row: usize, len: usize, place: &mut [u8]) {
    match place.first_chunk_mut::<HEAD>() {
        Some(place) if len <= HEAD => *place = rows.head(row).bytes.to_le_bytes(),
        _ => place[..len].copy_from_slice(rows.get(row)),
    }
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
    let copy = |row: usize, _: usize, mut place: &mut [u8]| {
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

#[cfg(test)]
mod tests {
    use windlass_device::{DeviceBuffer, DeviceOptions, cpu::CpuDevice};

    use super::*;
    use crate::cpu::memory::adopt;

    /// Texts of up to 20 bytes, of which the first four are their row's number.
    fn text(row: usize) -> Vec<u8> {
        let number = (row as u32).to_le_bytes();
        number.into_iter().cycle().take(row % 21).collect()
    }

    fn bytes_of(buffer: &DeviceBuffer) -> &[u8] {
        buffer.host_bytes().unwrap()
    }

    #[test]
    fn texts_of_few_rows_and_of_many_are_taken() {
        let device = CpuDevice::new(&DeviceOptions::default());
        let mut r = device.pool().reserve(0).unwrap();
        for rows in [1, 500, NEAR + 1000] {
            let all: Vec<Vec<u8>> = (0..rows).map(text).collect();
            let mut offsets = vec![0u32];
            offsets.extend(all.iter().scan(0, |at, t| {
                *at += t.len() as u32;
                Some(*at)
            }));
            let views: Vec<u128> = all
                .iter()
                .zip(&offsets)
                .map(|(t, start)| {
                    let mut view = [0; 16];
                    view[..4].copy_from_slice(&(t.len() as u32).to_le_bytes());
                    let inside = if t.len() <= 12 { &t[..] } else { &t[..4] };
                    view[4..4 + inside.len()].copy_from_slice(inside);
                    if t.len() > 12 {
                        view[12..].copy_from_slice(&start.to_le_bytes());
                    }
                    u128::from_le_bytes(view)
                })
                .collect();
            let mut buffer = |bytes: Vec<u8>| adopt(&device, &mut r, bytes).unwrap();
            let bytes = buffer(all.concat());
            let offsets = buffer(offsets.iter().flat_map(|o| o.to_le_bytes()).collect());
            let views = buffer(views.iter().flat_map(|v| v.to_le_bytes()).collect());
            let forms = [
                Texts::Offsets { offsets, bytes: bytes.clone() },
                Texts::Views { views, data: vec![bytes] },
            ];
            for texts in forms {
                let c = StringColumn { rows, texts, validity: Validity::All };
                for n in [0, 1, AHEAD, 300] {
                    let mut indices: Vec<u32> = (0..n as u32)
                        .map(|i| i.wrapping_mul(2_654_435_761) % rows as u32)
                        .collect();
                    if let Some(last) = indices.last_mut() {
                        *last = u32::MAX;
                    }
                    let got = gather("test", &device, &mut r, &c, &indices, true).unwrap();
                    let Texts::Offsets { offsets, bytes } = &got.texts else { panic!("offsets") };
                    let offsets = bytes_of(offsets).as_chunks::<4>().0;
                    for (i, [start, end]) in indices.iter().zip(offsets.array_windows()) {
                        let range =
                            u32::from_le_bytes(*start) as usize..u32::from_le_bytes(*end) as usize;
                        let want = if *i == u32::MAX { Vec::new() } else { text(*i as usize) };
                        assert_eq!(bytes_of(bytes)[range], want, "{rows} {n} {i}");
                    }
                    assert_eq!((got.rows, offsets.len()), (n, n + 1));
                    let strict = gather("test", &device, &mut r, &c, &indices, false);
                    assert_eq!(strict.is_err(), n > 0, "a row that is not there");
                }
                let same = to_offsets("test", &device, &mut r, &c).unwrap();
                let Texts::Offsets { bytes, .. } = &same.texts else { panic!("offsets") };
                assert!(bytes_of(bytes) == all.concat(), "{rows}");
            }
        }
    }
}
