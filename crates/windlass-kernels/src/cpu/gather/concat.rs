//! Batches one after the other, in Arrow's layout.

use std::mem::MaybeUninit;

use bytemuck::Pod;
use windlass_device::{Device, Reservation};

use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    cpu::{
        memory::adopt,
        pieces::PIECE,
        tasks,
        view::{Bits, host, stride},
    },
    error::Result,
};

/// The rows of all batches, which are checked and have columns of the same types.
///
/// # Errors
/// `OutOfMemory`.
pub(crate) fn concat(
    device: &dyn Device,
    reservation: &mut Reservation,
    batches: &[DeviceBatch],
) -> Result<DeviceBatch> {
    let rows = batches.iter().map(|b| b.rows).sum();
    let first = batches.first().map_or(&[][..], |b| &b.columns);
    let columns = first.iter().enumerate().map(|(at, c)| {
        let parts: Vec<(&DeviceColumn, usize)> =
            batches.iter().filter_map(|b| Some((b.columns.get(at)?, b.rows))).collect();
        let values = match c.ty.packed_bytes() {
            None => adopt(device, reservation, join_bits(&parts, rows, Bits::values)?),
            Some(1) => adopt(device, reservation, join(&parts, rows, |w| w as u8)?),
            Some(2) => adopt(device, reservation, join(&parts, rows, |w| w as u16)?),
            Some(4) => adopt(device, reservation, join(&parts, rows, |w| w)?),
            Some(8) => adopt(device, reservation, join(&parts, rows, u64::from)?),
            Some(_) => adopt(device, reservation, join(&parts, rows, u128::from)?),
        }?;
        let validity = if parts.iter().any(|(c, _)| c.nullable()) {
            let bits = join_bits(&parts, rows, Bits::validity)?;
            Validity::Bits { bits: adopt(device, reservation, bits)?, bit_offset: 0 }
        } else {
            Validity::All
        };
        Ok(DeviceColumn { ty: c.ty, storage: Storage::Packed, values, bit_offset: 0, validity })
    });
    let columns = columns.collect::<Result<_>>()?;
    Ok(DeviceBatch { rows, columns })
}

/// The values of all parts; `narrow` makes one of the word that a wide part has for it.
fn join<T: Pod + Send + Sync>(
    parts: &[(&DeviceColumn, usize)],
    rows: usize,
    narrow: impl Fn(u32) -> T + Sync,
) -> Result<Vec<T>> {
    let mut out = Vec::with_capacity(rows);
    let mut rest = &mut out.spare_capacity_mut()[..rows];
    let mut copies = Vec::new();
    for (c, rows) in parts {
        let stride = stride(c.ty, c.storage).unwrap_or(size_of::<T>());
        let mut bytes = &host(&c.values)?[..rows * stride];
        let mut left = *rows;
        while left > 0 {
            let n = left.min(PIECE);
            let (to, after) = std::mem::take(&mut rest).split_at_mut(n);
            let (from, further) = bytes.split_at(n * stride);
            copies.push((to, from));
            (rest, bytes, left) = (after, further, left - n);
        }
    }
    let copy = |(to, from): (&mut [MaybeUninit<T>], &[u8])| {
        if from.len() == size_of_val(to) {
            // SAFETY: both are as many bytes, of different memory, and values of `T` are any
            // bytes.
            unsafe {
                to.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(from.as_ptr(), from.len())
            };
            return to.len();
        }
        let words = from.as_chunks::<4>().0;
        for (to, word) in to.iter_mut().zip(words) {
            to.write(narrow(u32::from_ne_bytes(*word)));
        }
        to.len().min(words.len())
    };
    let written: usize = match rows <= PIECE {
        true => copies.into_iter().map(copy).sum(),
        false => tasks::map_of(copies, |_, c| copy(c)).into_iter().sum(),
    };
    assert_eq!(written, rows, "every part was copied");
    // SAFETY: the parts are places of their own, and as many as there are have been written.
    unsafe { out.set_len(rows) };
    Ok(out)
}

/// The bits of all parts.
fn join_bits<'a>(
    parts: &[(&'a DeviceColumn, usize)],
    rows: usize,
    bits: impl Fn(&'a DeviceColumn) -> Result<Bits<'a>>,
) -> Result<Vec<u64>> {
    let mut out = vec![0u64; rows.div_ceil(64)];
    let mut at = 0;
    for (c, rows) in parts {
        let bits = bits(c)?;
        for row in (0..*rows).step_by(64) {
            let word = bits.word(row, *rows);
            let (to, shift) = ((at + row) / 64, (at + row) % 64);
            out[to] |= word << shift;
            // Bits past the word; the next one exists where any of them is 1.
            let over = (word >> 1) >> (63 - shift);
            if over != 0 {
                out[to + 1] |= over;
            }
        }
        at += rows;
    }
    Ok(out.into_iter().map(u64::to_le).collect())
}
