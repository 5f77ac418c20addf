//! What the twins write: words and bits for each row, and texts, in pieces that cores share.

use std::ops::Range;

use windlass_device::{Device, Reservation};

use crate::{
    column::{DeviceColumn, Storage, Validity},
    cpu::{memory::adopt, pieces::tabulate, tasks, view::Bits},
    error::Result,
    string::{StringColumn, Texts, fits},
    types::PhysType,
};

/// Rows of a piece, a multiple of 64: at some tens of bytes a text they fit a second-level cache
/// of 1 MiB (a stated guess). Fewer stay on the calling thread.
pub(super) const PIECE: usize = 1 << 14;

/// `f` of each row.
pub(super) fn values<T: Copy + Send>(rows: usize, f: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    tabulate(rows, f)
}

/// A bit for each row.
pub(super) fn bits(rows: usize, f: impl Fn(usize) -> bool + Sync + Send) -> Vec<u64> {
    bits_of(rows, |_| (), f)
}

/// As [`bits`], where `before` is called with the rows of each piece before `f` is.
pub(super) fn bits_of(
    rows: usize,
    before: impl Fn(Range<usize>) + Sync,
    f: impl Fn(usize) -> bool + Sync,
) -> Vec<u64> {
    words_of(rows, before, |first, n| (0..n).fold(0, |w, i| w | u64::from(f(first + i)) << i))
}

/// As [`bits_of`], of which `f` makes a word: the bits of so many rows from one on.
pub(super) fn words_of(
    rows: usize,
    before: impl Fn(Range<usize>) + Sync,
    f: impl Fn(usize, usize) -> u64 + Sync,
) -> Vec<u64> {
    bit_pieces(rows, |from, out| {
        before(from..(from + out.len() * 64).min(rows));
        for (k, out) in out.iter_mut().enumerate() {
            let first = from + k * 64;
            // Of a number that is known the compiler makes better code.
            let word = if rows - first >= 64 { f(first, 64) } else { f(first, rows - first) };
            *out = word.to_le();
        }
    })
}

/// Bits that `f` sets, for the rows of a piece from the given one on.
pub(super) fn bit_pieces(rows: usize, f: impl Fn(usize, &mut [u64]) + Sync) -> Vec<u64> {
    let mut out = vec![0u64; rows.div_ceil(64)];
    pieces(&mut out, PIECE / 64, |(piece, out)| f(piece * PIECE, out));
    out
}

fn pieces<T: Send>(out: &mut [T], size: usize, f: impl Fn((usize, &mut [T])) + Sync) {
    if out.len() <= size {
        f((0, out));
    } else {
        tasks::each_of(out.chunks_mut(size), |i, out| f((i, out)));
    }
}

/// A column of packed values.
pub(super) fn column(
    ty: PhysType,
    values: windlass_device::DeviceBuffer,
    validity: Validity,
) -> DeviceColumn {
    DeviceColumn { ty, storage: Storage::Packed, values, bit_offset: 0, validity }
}

/// A validity in Arrow's layout.
pub(super) fn validity(
    device: &dyn Device,
    reservation: &mut Reservation,
    validity: &Validity,
    rows: usize,
) -> Result<Validity> {
    if !matches!(validity, Validity::Words(_)) {
        return Ok(validity.clone());
    }
    let words = Bits::of(validity)?;
    valid_bits(device, reservation, bits(rows, |row| words.get(row).unwrap_or(false)))
}

/// A validity of these bits.
pub(super) fn valid_bits(
    device: &dyn Device,
    reservation: &mut Reservation,
    bits: Vec<u64>,
) -> Result<Validity> {
    Ok(Validity::Bits { bits: adopt(device, reservation, bits)?, bit_offset: 0 })
}

/// Texts of rows as offsets and bytes: row `r` has `len(r)` bytes, which `write` puts at the start
/// of a place, given the row and the length. The place goes on to the end of the piece: what is
/// written behind the text is overwritten by the rows that follow.
///
/// # Errors
/// `Invalid` when they come to 4 GiB or more; `OutOfMemory`.
pub(super) fn texts(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    rows: usize,
    validity: Validity,
    (len, write): (
        impl Fn(usize) -> usize + Sync + Send,
        impl Fn(usize, usize, &mut [u8]) + Sync + Send,
    ),
) -> Result<StringColumn> {
    // Lengths at first; those of texts that fit a column fit a word.
    let mut offsets = values(rows + 1, |row| if row < rows { len(row) as u32 } else { 0 });
    let mut total = 0usize;
    for offset in &mut offsets {
        let length = *offset as usize;
        *offset = total as u32;
        total += length;
    }
    fits(operation, total)?;
    reservation.grow((total + offsets.len() * 4).saturating_sub(reservation.left()))?;
    let mut bytes = vec![0u8; total];
    let mut rest = bytes.as_mut_slice();
    let mut parts = Vec::with_capacity(rows.div_ceil(PIECE));
    for from in (0..rows).step_by(PIECE) {
        let to = (from + PIECE).min(rows);
        let (part, after) = rest.split_at_mut((offsets[to] - offsets[from]) as usize);
        parts.push((from, to, part));
        rest = after;
    }
    let fill = |(from, to, mut part): (usize, usize, &mut [u8])| {
        for row in from..to {
            let length = (offsets[row + 1] - offsets[row]) as usize;
            write(row, length, part);
            part = &mut part[length..];
        }
    };
    if parts.len() <= 1 {
        parts.into_iter().for_each(fill);
    } else {
        tasks::each_of(parts, |_, part| fill(part));
    }
    let offsets = adopt(device, reservation, offsets)?;
    let bytes = adopt(device, reservation, bytes)?;
    Ok(StringColumn { rows, texts: Texts::Offsets { offsets, bytes }, validity })
}
