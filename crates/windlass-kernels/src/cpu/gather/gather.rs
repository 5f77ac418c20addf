//! The twin of `kernels/gather/gather.cu`.

use std::sync::atomic::{AtomicBool, Ordering};

use bytemuck::Pod;
use windlass_device::{Device, Reservation};

use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    cpu::{
        memory::{adopt, prefetch},
        pieces::{PIECE, groups},
        view::{Bits, host},
    },
    error::{KernelError, Result},
};

/// Rows that the memory of a row is asked for ahead: what a core reads while one line comes from
/// memory. Twice and half as many were as fast.
pub(super) const AHEAD: usize = 64;
/// Bytes that are taken to stay in a second-level cache, so that nothing of them is asked for
/// ahead: half of one of 1 MiB (a stated guess), since the row numbers and the result pass through it.
const CACHED: usize = 1 << 19;

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
        let far = size_of_val(all) > CACHED;
        groups(self.indices.len(), PIECE, |start, out| {
            let value = |i: &u32| match all.get(*i as usize) {
                Some(v) => value(*v),
                None => {
                    self.not_there(*i);
                    T::zeroed()
                }
            };
            let (here, ahead) = self.piece(start, out.len(), far);
            let (first, last) = here.split_at(ahead.len());
            out.extend(first.iter().zip(ahead).map(|(i, next)| {
                prefetch(all, *next as usize);
                value(i)
            }));
            out.extend(last.iter().map(value));
        })
    }

    /// `n` row numbers from one on, and those that are read [`AHEAD`] of as many of them as there
    /// are; of none where the rows are not far.
    fn piece(&self, start: usize, n: usize, far: bool) -> (&[u32], &[u32]) {
        let ahead = self.indices.get(start + AHEAD..).filter(|_| far).unwrap_or_default();
        (&self.indices[start..start + n], &ahead[..n.min(ahead.len())])
    }

    /// Bits, 64 a word; 0 for a missing row.
    fn bits(&self, bits: Bits<'_>) -> Vec<u64> {
        match bits {
            Bits::Ones => self.pack(false, |_| {}, |_| 1),
            Bits::Packed { bytes, offset } => {
                let byte = |row: usize| (row + offset) / 8;
                self.pack(
                    bytes.len() > CACHED,
                    |row| prefetch(bytes, byte(row)),
                    |row| bytes.get(byte(row)).map_or(0, |b| b >> ((row + offset) % 8)),
                )
            }
            Bits::Words(words) => self.pack(
                size_of_val(words) > CACHED,
                |row| prefetch(words, row),
                |row| words.get(row).map_or(0, |w| u8::from(*w != [0; 4])),
            ),
        }
    }

    /// Words of the lowest bits that `bit` gives of rows; `ask` asks for what it reads, where
    /// the rows are `far`.
    fn pack(
        &self,
        far: bool,
        ask: impl Fn(usize) + Sync,
        bit: impl Fn(usize) -> u8 + Sync,
    ) -> Vec<u64> {
        groups(self.indices.len().div_ceil(64), PIECE / 64, |start, out| {
            let n = (out.len() * 64).min(self.indices.len() - start * 64);
            let (here, ahead) = self.piece(start * 64, n, far);
            let mut ahead = ahead.chunks(64);
            out.extend(here.chunks(64).map(|group| {
                ahead.next().unwrap_or_default().iter().for_each(|i| ask(*i as usize));
                let word = match group.first_chunk::<64>() {
                    Some(whole) if self.all_there(whole) => {
                        let bytes = whole.map(|i| bit(i as usize));
                        // Apart from the look-ups, so that it is vector code.
                        bytes.iter().enumerate().fold(0, |w, (k, b)| w | u64::from(b & 1) << k)
                    }
                    _ => group.iter().enumerate().fold(0, |word, (k, i)| {
                        if (*i as usize) < self.rows {
                            return word | u64::from(bit(*i as usize) & 1) << k;
                        }
                        self.not_there(*i);
                        word
                    }),
                };
                word.to_le()
            }));
        })
    }

    /// Whether there are rows of all these numbers; without a way out, so that it is vector code.
    fn all_there(&self, indices: &[u32; 64]) -> bool {
        (indices.iter().fold(0, |most, i| most.max(*i)) as usize) < self.rows
    }
}

#[cfg(test)]
mod tests {
    use windlass_device::{DeviceOptions, cpu::CpuDevice};

    use super::*;
    use crate::PhysType;

    fn bit(bytes: &[u8], at: usize) -> bool {
        bytes[at / 8] >> (at % 8) & 1 == 1
    }

    /// Row numbers below `rows`, in no order.
    fn numbers(n: usize, rows: usize) -> Vec<u32> {
        (0..n as u64)
            .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % rows as u64) as u32)
            .collect()
    }

    #[test]
    fn rows_are_taken_near_and_far() {
        let device = CpuDevice::new(&DeviceOptions::default());
        let mut r = device.pool().reserve(0).unwrap();
        let most = CACHED * 8 + 100;
        let bytes: Vec<u8> =
            (0..most / 8 + 2).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let bits = adopt(&device, &mut r, bytes.clone()).unwrap();
        // Values and bits that stay in the cache, values that do not, and neither.
        for rows in [1, 1000, CACHED / 8 + 1000, most] {
            let validity = Validity::Bits { bits: bits.clone(), bit_offset: 3 };
            let words: Vec<u32> = (0..rows as u32).map(|v| v * 3 % 5).collect();
            let words_validity = adopt(&device, &mut r, words.clone()).unwrap();
            let column = |ty, values, validity| DeviceColumn {
                ty,
                storage: Storage::Packed,
                values,
                bit_offset: if ty == PhysType::Bool { 5 } else { 0 },
                validity,
            };
            let small = (0..rows).map(|v| v as u8).collect::<Vec<_>>();
            let longs = (0..rows as u64).map(|v| v << 33 | v).collect::<Vec<_>>();
            let batch = DeviceBatch {
                rows,
                columns: vec![
                    column(PhysType::U8, adopt(&device, &mut r, small).unwrap(), Validity::All),
                    column(PhysType::U64, adopt(&device, &mut r, longs).unwrap(), validity),
                    column(PhysType::Bool, bits.clone(), Validity::Words(words_validity)),
                ],
            };
            for n in [0, 1, 63, 64, 65, 130, PIECE - 1, PIECE + 200] {
                for missing in [false, true] {
                    let mut indices = numbers(n, rows);
                    if missing {
                        indices.iter_mut().step_by(77).for_each(|i| *i = u32::MAX);
                    }
                    let got = gather(&device, &mut r, &batch, &indices, missing).unwrap();
                    let [small, longs, bools] = &got.columns[..] else { panic!("three columns") };
                    let valid = [small, longs, bools].map(|c| Bits::validity(c).unwrap());
                    let (small, longs) =
                        (host(&small.values).unwrap(), host(&longs.values).unwrap());
                    let bools = Bits::values(bools).unwrap();
                    assert_eq!((got.rows, small.len(), longs.len()), (n, n, 8 * n));
                    for (k, i) in indices.iter().enumerate() {
                        let row = *i as usize;
                        let there = *i != u32::MAX;
                        let long = u64::from_ne_bytes(longs.as_chunks().0[k]);
                        let want = if there { *i as u64 } else { 0 };
                        assert_eq!((small[k], long), (want as u8, want << 33 | want), "{rows} {n}");
                        assert_eq!(bools.get(k), Some(there && bit(&bytes, row + 5)), "{k}");
                        let live = valid.map(|v| v.get(k) == Some(true));
                        let word = there && words[row] != 0;
                        let want = [there, there && bit(&bytes, row + 3), word];
                        assert_eq!(live, want, "{rows} {n} {k}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_that_is_not_there_is_named() {
        let device = CpuDevice::new(&DeviceOptions::default());
        let mut r = device.pool().reserve(0).unwrap();
        for rows in [10, CACHED / 8 + 10] {
            for ty in [PhysType::U64, PhysType::Bool] {
                let values = adopt(&device, &mut r, vec![0u64; rows]).unwrap();
                let (storage, validity) = (Storage::Packed, Validity::All);
                let c = DeviceColumn { ty, storage, values, bit_offset: 0, validity };
                let batch = DeviceBatch { rows, columns: vec![c] };
                for (at, wrong) in [(0, rows as u32), (70, u32::MAX - 1), (299, u32::MAX)] {
                    let mut indices = numbers(300, rows);
                    indices[at] = wrong;
                    let e = gather(&device, &mut r, &batch, &indices, false).unwrap_err();
                    let named =
                        matches!(&e, KernelError::Invalid { got, .. } if *got == wrong.to_string());
                    assert!(named, "{e}");
                    let e = gather(&device, &mut r, &batch, &indices, true);
                    assert_eq!(e.is_ok(), wrong == u32::MAX);
                }
            }
        }
    }
}
