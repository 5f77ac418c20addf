//! The twin of `kernels/gather/gather.cu`.

use std::sync::atomic::{AtomicBool, Ordering};

use bytemuck::Pod;
use windlass_device::{Device, Reservation};

use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    cpu::{
        memory::adopt,
        pieces,
        view::{Bits, bit, host},
    },
    error::{KernelError, Result},
};

/// Row `indices[i]` of a checked batch for each index; with `missing`, `u32::MAX` gives nulls.
///
/// # Errors
/// `Invalid` for a row that the batch does not have; `OutOfMemory`.
pub(crate) fn gather(
    device: &dyn Device,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    indices: &[u32],
    missing: bool,
) -> Result<DeviceBatch> {
    let (n, rows) = (indices.len(), batch.rows);
    let bits = n.div_ceil(64) * 8;
    let bytes = |c: &DeviceColumn| {
        let valid = if missing || c.nullable() { bits } else { 0 };
        valid + c.ty.packed_bytes().map_or(bits, |b| b * n)
    };
    // All at once, so that a batch that does not fit fails early.
    let most: usize = batch.columns.iter().map(bytes).sum();
    reservation.grow(most.saturating_sub(reservation.left()))?;
    let rows = Rows { indices, rows, missing, outside: AtomicBool::new(false) };
    let columns = batch.columns.iter().map(|c| rows.column(device, reservation, c));
    let columns = columns.collect::<Result<_>>()?;
    if batch.columns.is_empty() {
        indices.iter().filter(|i| **i as usize >= batch.rows).for_each(|i| rows.not_there(*i));
    }
    if rows.outside.into_inner() {
        let outside = |i: &&u32| **i as usize >= batch.rows && !(missing && **i == u32::MAX);
        let got = indices.iter().find(outside).copied().unwrap_or(u32::MAX);
        let expected = format!("row numbers less than {}", batch.rows);
        return Err(KernelError::Invalid { operation: "gather", expected, got: got.to_string() });
    }
    Ok(DeviceBatch { rows: n, columns })
}

/// Which rows are taken.
struct Rows<'a> {
    indices: &'a [u32],
    /// Rows that there are.
    rows: usize,
    missing: bool,
    /// Whether an index named none of them and did not mean a missing row.
    outside: AtomicBool,
}

impl Rows<'_> {
    #[cold]
    fn not_there(&self, index: u32) {
        if !(self.missing && index == u32::MAX) {
            self.outside.store(true, Ordering::Relaxed);
        }
    }

    fn column(
        &self,
        device: &dyn Device,
        reservation: &mut Reservation,
        c: &DeviceColumn,
    ) -> Result<DeviceColumn> {
        let bytes = host(&c.values)?;
        let wide = c.storage == Storage::Wide;
        let values = match (c.ty.packed_bytes(), wide) {
            (None, _) => adopt(device, reservation, self.bits(Bits::values(c)?)),
            (Some(1), false) => adopt(device, reservation, self.values(bytes, |[b]: [u8; 1]| b)),
            (Some(2), false) => adopt(device, reservation, self.values(bytes, u16::from_ne_bytes)),
            (Some(1), true) => {
                adopt(device, reservation, self.values(bytes, |b| u32::from_ne_bytes(b) as u8))
            }
            (Some(2), true) => {
                adopt(device, reservation, self.values(bytes, |b| u32::from_ne_bytes(b) as u16))
            }
            (Some(4), _) => adopt(device, reservation, self.values(bytes, u32::from_ne_bytes)),
            (Some(8), _) => adopt(device, reservation, self.values(bytes, u64::from_ne_bytes)),
            (Some(_), _) => adopt(device, reservation, self.values(bytes, u128::from_ne_bytes)),
        }?;
        let validity = match Bits::validity(c)? {
            Bits::Ones if !self.missing => Validity::All,
            valid => {
                let bits = adopt(device, reservation, self.bits(valid))?;
                Validity::Bits { bits, bit_offset: 0 }
            }
        };
        Ok(DeviceColumn { ty: c.ty, storage: Storage::Packed, values, bit_offset: 0, validity })
    }

    /// Values of `W` bytes, made what the output holds.
    fn values<const W: usize, T: Pod + Send + Sync>(
        &self,
        bytes: &[u8],
        value: impl Fn([u8; W]) -> T + Sync,
    ) -> Vec<T> {
        let all = &bytes.as_chunks::<W>().0[..self.rows];
        pieces::map(self.indices, |i| match all.get(*i as usize) {
            Some(v) => value(*v),
            None => {
                self.not_there(*i);
                T::zeroed()
            }
        })
    }

    /// Bits, 64 a word; 0 for a missing row.
    fn bits(&self, bits: Bits<'_>) -> Vec<u64> {
        match bits {
            Bits::Ones => self.pack(|_| true),
            Bits::Packed { bytes, offset } => {
                self.pack(|row| bit(bytes, row + offset).unwrap_or(false))
            }
            Bits::Words(words) => self.pack(|row| words.get(row).is_some_and(|w| *w != [0; 4])),
        }
    }

    fn pack(&self, bit: impl Fn(usize) -> bool + Sync) -> Vec<u64> {
        pieces::map_chunks(self.indices, 64, |group| {
            let mut word = 0u64;
            for (k, i) in group.iter().enumerate() {
                if (*i as usize) < self.rows {
                    word |= u64::from(bit(*i as usize)) << k;
                } else {
                    self.not_there(*i);
                }
            }
            word.to_le()
        })
    }
}
