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
        T::I64 => adder.wide(|v| i128::from(i64::from_ne_bytes(v))),
        T::U64 => adder.wide(|v| i128::from(u64::from_ne_bytes(v))),
        T::I128 => adder.wide(i128::from_ne_bytes),
        ty if ty.is_signed() => adder.narrow(|v| i64::from(i32::from_ne_bytes(v))),
        _ => adder.narrow(|v| i64::from(u32::from_ne_bytes(v))),
    };
    let none = if c.ty.is_float() { Total::Float(0.0) } else { Total::Int(0) };
    pieces.into_iter().try_fold(Sum { total: none, count: 0 }, Sum::merge)
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

    fn wide<const W: usize>(&self, load: impl Fn([u8; W]) -> i128 + Sync) -> Vec<Sum> {
        let all = self.values::<W>();
        self.taken.pieces(|rows| {
            let mut state = (0i128, 0u64);
            self.taken.walk(
                rows,
                &mut state,
                |(sum, count), rows| {
                    *count += rows.len() as u64;
                    *sum = all[rows].iter().fold(*sum, |s, v| s.wrapping_add(load(*v)));
                },
                |(sum, count), row| {
                    *count += 1;
                    *sum = sum.wrapping_add(load(all[row]));
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
            let (mut ones, mut count) = (0u32, 0u32);
            for row in rows.step_by(64) {
                let taken = self.taken.word(row);
                count += taken.count_ones();
                ones += (taken & bits.word(row, self.rows)).count_ones();
            }
            Sum { total: Total::Int(i128::from(ones)), count: u64::from(count) }
        })
    }
}
