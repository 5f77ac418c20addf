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
            self.taken.walk(
                rows,
                &mut state,
                |(sum, count), rows| {
                    *count += rows.len() as u64;
                    *sum += all[rows].iter().map(|v| load(*v)).sum::<i64>();
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
            self.taken.walk(
                rows,
                &mut state,
                |(highs, lows, count), rows| {
                    *count += rows.len() as u64;
                    for v in &all[rows] {
                        *highs += high(*v);
                        *lows += low(*v);
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
            self.taken.walk(
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
