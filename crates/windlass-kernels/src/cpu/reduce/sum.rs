//! The twin of `kernels/reduce/sum.cu`.

use windlass_device::DeviceBuffer;

use super::rows::Taken;
use crate::{
    column::{DeviceColumn, Storage},
    cpu::view::{Bits, host},
    error::Result,
    reduce::{Sum, Total},
    types::PhysType,
};

/// The sum of a checked column, of booleans as 0 and 1.
///
/// # Errors
/// `Invalid` for a buffer that is not in host memory.
pub(crate) fn sum(c: &DeviceColumn, rows: usize, selected: Option<&DeviceBuffer>) -> Result<Sum> {
    use PhysType as T;
    let taken = Taken::new(&[c], rows, selected)?;
    let adder = Adder { taken, bytes: host(&c.values)?, rows };
    let wide = c.storage == Storage::Wide;
    let pieces = match c.ty {
        T::Bool if !wide => adder.bits(Bits::values(c)?),
        T::F32 => adder.floats(|v| f64::from(f32::from_ne_bytes(v))),
        T::F64 => adder.floats(f64::from_ne_bytes),
        T::I8 if !wide => adder.narrow(|v: [u8; 1]| i64::from(v[0] as i8)),
        T::U8 if !wide => adder.narrow(|v: [u8; 1]| i64::from(v[0])),
        T::I16 if !wide => adder.narrow(|v| i64::from(i16::from_ne_bytes(v))),
        T::U16 if !wide => adder.narrow(|v| i64::from(u16::from_ne_bytes(v))),
        T::I64 => adder.halves(|v| i64::from_ne_bytes(v) >> 32),
        T::U64 => adder.halves(|v| (u64::from_ne_bytes(v) >> 32) as i64),
        T::I128 => adder.wide(),
        ty if ty.is_signed() => adder.narrow(|v| i64::from(i32::from_ne_bytes(v))),
        _ => adder.narrow(|v| i64::from(u32::from_ne_bytes(v))),
    };
    let none = if c.ty.is_float() { Total::Float(0.0) } else { Total::Int(0) };
    pieces.into_iter().try_fold(Sum { total: none, count: 0 }, Sum::merge)
}

/// How many rows of a checked column are not null and selected.
///
/// # Errors
/// `Invalid` for a buffer that is not in host memory.
pub(crate) fn count(c: &DeviceColumn, rows: usize, selected: Option<&DeviceBuffer>) -> Result<u64> {
    let taken = Taken::new(&[c], rows, selected)?;
    Ok(taken.pieces(|rows| taken.ones(Bits::Ones, rows).0 as u64).into_iter().sum())
}

/// All bits where bit `k` of a word is 1, else none.
#[inline(always)]
fn mask(word: u64, k: usize) -> u64 {
    (word >> k & 1).wrapping_neg()
}

struct Adder<'a> {
    taken: Taken<'a>,
    bytes: &'a [u8],
    rows: usize,
}

impl Adder<'_> {
    fn values<const W: usize>(&self) -> &[[u8; W]] {
        &self.bytes.as_chunks::<W>().0[..self.rows]
    }

    /// Integers of up to 32 bits: a piece's sum fits 64.
    fn narrow<const W: usize>(&self, load: impl Fn([u8; W]) -> i64 + Sync) -> Vec<Sum> {
        let all = self.values::<W>();
        self.taken.pieces(|rows| {
            let mut state = (0i64, 0u64);
            self.taken.blocks(
                rows,
                &mut state,
                |(sum, count), rows| {
                    *count += rows.len() as u64;
                    *sum += all[rows].iter().map(|v| load(*v)).sum::<i64>();
                },
                |(sum, count), start, word| {
                    *count += u64::from(word.count_ones());
                    let values = all[start..start + 64].iter().enumerate();
                    *sum += values.map(|(k, v)| load(*v) & mask(word, k) as i64).sum::<i64>();
                },
                |(sum, count), row| {
                    *count += 1;
                    *sum += load(all[row]);
                },
            );
            Sum { total: Total::Int(i128::from(state.0)), count: state.1 }
        })
    }

    /// Integers of 64 bits: the sums of a piece's halves fit 64 each, and the processor adds
    /// several side by side.
    fn halves(&self, high: impl Fn([u8; 8]) -> i64 + Sync) -> Vec<Sum> {
        let low = |v: [u8; 8]| u64::from_ne_bytes(v) & 0xffff_ffff;
        let all = self.values::<8>();
        self.taken.pieces(|rows| {
            let mut state = (0i64, 0u64, 0u64);
            self.taken.blocks(
                rows,
                &mut state,
                |(highs, lows, count), rows| {
                    *count += rows.len() as u64;
                    for v in &all[rows] {
                        *highs += high(*v);
                        *lows += low(*v);
                    }
                },
                |(highs, lows, count), start, word| {
                    *count += u64::from(word.count_ones());
                    for (k, v) in all[start..start + 64].iter().enumerate() {
                        *highs += high(*v) & mask(word, k) as i64;
                        *lows += low(*v) & mask(word, k);
                    }
                },
                |(highs, lows, count), row| {
                    *count += 1;
                    *highs += high(all[row]);
                    *lows += low(all[row]);
                },
            );
            let total = (i128::from(state.0) << 32) + i128::from(state.1);
            Sum { total: Total::Int(total), count: state.2 }
        })
    }

    /// Integers of 128 bits, modulo 2^128.
    fn wide(&self) -> Vec<Sum> {
        let all = self.values::<16>();
        self.taken.pieces(|rows| {
            let mut state = (0i128, 0u64);
            self.taken.walk(
                rows,
                &mut state,
                |(sum, count), rows| {
                    *count += rows.len() as u64;
                    let values = all[rows].iter().map(|v| i128::from_ne_bytes(*v));
                    *sum = values.fold(*sum, i128::wrapping_add);
                },
                |(sum, count), row| {
                    *count += 1;
                    *sum = sum.wrapping_add(i128::from_ne_bytes(all[row]));
                },
            );
            Sum { total: Total::Int(state.0), count: state.1 }
        })
    }

    /// In eight sums that take the rows in turn: the processor adds them side by side, and
    /// their rounding errors are less than those of one.
    fn floats<const W: usize>(&self, load: impl Fn([u8; W]) -> f64 + Sync) -> Vec<Sum> {
        let all = self.values::<W>();
        self.taken.pieces(|rows| {
            let mut state = ([0f64; 8], 0u64);
            self.taken.blocks(
                rows,
                &mut state,
                |(sums, count), rows| {
                    *count += rows.len() as u64;
                    let (eights, rest) = all[rows].as_chunks::<8>();
                    for eight in eights {
                        for (sum, v) in sums.iter_mut().zip(eight) {
                            *sum += load(*v);
                        }
                    }
                    for (sum, v) in sums.iter_mut().zip(rest) {
                        *sum += load(*v);
                    }
                },
                |(sums, count), start, word| {
                    *count += u64::from(word.count_ones());
                    let eights = all[start..start + 64].as_chunks::<8>().0;
                    for (eight, bits) in eights.iter().zip(word.to_le_bytes()) {
                        for (k, (sum, v)) in sums.iter_mut().zip(eight).enumerate() {
                            // No sum is -0.0, which alone 0.0 would change.
                            *sum += if bits >> k & 1 == 1 { load(*v) } else { 0.0 };
                        }
                    }
                },
                |(sums, count), row| {
                    *count += 1;
                    sums[row % 8] += load(all[row]);
                },
            );
            Sum { total: Total::Float(state.0.iter().sum()), count: state.1 }
        })
    }

    fn bits(&self, bits: Bits<'_>) -> Vec<Sum> {
        self.taken.pieces(|rows| {
            let (count, ones) = self.taken.ones(bits, rows);
            Sum { total: Total::Int(ones as i128), count: count as u64 }
        })
    }
}

#[cfg(test)]
mod tests {
    use windlass_device::{Device, DeviceOptions, cpu::CpuDevice};

    use super::*;
    use crate::{Validity, cpu::memory::adopt, cpu::pieces::PIECE};

    #[test]
    fn rows_that_are_null_do_not_count() {
        let device = CpuDevice::new(&DeviceOptions::default());
        let mut r = device.pool().reserve(0).unwrap();
        for n in [0usize, 1, 63, 64, 200, PIECE + 100] {
            // Words of all rows, of most, of few, and of none.
            let bytes: Vec<u8> = (0..n / 8 + 2)
                .map(|i| match i / 8 % 5 {
                    0 => 0xff,
                    1 => 0,
                    2 if i % 8 == 5 => 0x18,
                    2 => 0,
                    _ => (i.wrapping_mul(2_654_435_761) >> 13) as u8,
                })
                .collect();
            for bit_offset in [0u32, 3] {
                let live = |row: usize| {
                    let bit = row + bit_offset as usize;
                    bytes[bit / 8] >> (bit % 8) & 1 == 1
                };
                let values: Vec<i64> =
                    (0..n as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64).collect();
                let count = (0..n).filter(|row| live(*row)).count() as u64;
                let mut total = |ty, values: DeviceBuffer| {
                    let bits = adopt(&device, &mut r, bytes.clone()).unwrap();
                    let validity = Validity::Bits { bits, bit_offset };
                    let storage = Storage::Packed;
                    let c = DeviceColumn { ty, storage, values, bit_offset: 0, validity };
                    let sum = sum(&c, n, None).unwrap();
                    assert_eq!(sum.count, count, "{ty:?} {n}");
                    sum.total
                };
                let mut s = device.pool().reserve(0).unwrap();
                let of = |f: &dyn Fn(i64) -> i128| {
                    let live = values.iter().enumerate().filter(|(row, _)| live(*row));
                    Total::Int(live.map(|(_, v)| f(*v)).sum())
                };
                let longs = adopt(&device, &mut s, values.clone()).unwrap();
                assert_eq!(total(PhysType::I64, longs.clone()), of(&|v| i128::from(v)), "{n}");
                assert_eq!(total(PhysType::U64, longs), of(&|v| i128::from(v as u64)), "{n}");
                let words = values.iter().map(|v| *v as i32).collect();
                let words = adopt(&device, &mut s, words).unwrap();
                assert_eq!(total(PhysType::I32, words), of(&|v| i128::from(v as i32)), "{n}");
                let wide = values.iter().map(|v| i128::from(*v)).collect();
                let wide = adopt(&device, &mut s, wide).unwrap();
                assert_eq!(total(PhysType::I128, wide), of(&|v| i128::from(v)), "{n}");
                // Whole numbers, which floats add exactly; what is null is none.
                let float = |(row, v): (usize, &i64)| match live(row) {
                    true => (*v % 1000) as f64,
                    false => f64::NAN,
                };
                let floats = values.iter().enumerate().map(float).collect();
                let floats = adopt(&device, &mut s, floats).unwrap();
                let Total::Int(want) = of(&|v| i128::from(v % 1000)) else { continue };
                assert_eq!(total(PhysType::F64, floats), Total::Float(want as f64), "{n}");
            }
        }
    }
}
