//! Elements that are a function of their position in the array: nothing is stored, and any
//! part can be made by itself.

use crate::{
    dtype::DType,
    element::{Buf, C32, C64, dispatch},
    kernel::cast::Convert,
    random::Random,
};

/// How the elements follow from their positions, which are counted with the last axis the
/// fastest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Generator {
    /// All the same: one element.
    Fill(Buf),
    /// `start + i * step`, in integers that wrap.
    Integers { start: i64, step: i64 },
    /// `start + i * step`, and at the last position exactly `end`, if there is one.
    Floats { start: f64, step: f64, end: Option<(usize, f64)> },
    /// 1 where the column is the row plus `diagonal`, else 0.
    Eye { columns: usize, diagonal: i64 },
    /// Random numbers.
    Random(Random),
}

impl Generator {
    /// Whether making an element again costs less than keeping it.
    pub(crate) fn is_cheap(&self) -> bool {
        !matches!(self, Self::Random(_))
    }

    /// Writes the elements at positions `base`, `base + step`, … into `out[at..at + n]`.
    pub(crate) fn fill(&self, base: i64, step: i64, out: &mut Buf, at: usize, n: usize) {
        let position = |i: usize| base + step * i as i64;
        match self {
            Self::Fill(one) => dispatch!(one.dtype(), T => {
                out.typed_mut::<T>()[at..at + n].fill(one.typed::<T>()[0]);
            }),
            Self::Integers { start, step } => {
                each(out, at, n, |i| start.wrapping_add(position(i).wrapping_mul(*step)));
            }
            Self::Floats { start, step, end } => each(out, at, n, |i| match end {
                Some((last, value)) if position(i) as usize == *last => *value,
                _ => start + position(i) as f64 * step,
            }),
            Self::Eye { columns, diagonal } => each(out, at, n, |i| {
                let (row, column) = (position(i) / *columns as i64, position(i) % *columns as i64);
                column == row + diagonal
            }),
            Self::Random(random) => random.fill(base, step, out, at, n),
        }
    }
}

/// Types that are made of a value of `S`.
fn each<S>(out: &mut Buf, at: usize, n: usize, value: impl Fn(usize) -> S)
where
    S: Convert<bool> + Convert<i8> + Convert<i16> + Convert<i32> + Convert<i64>,
    S: Convert<u8> + Convert<u16> + Convert<u32> + Convert<u64>,
    S: Convert<f32> + Convert<f64> + Convert<C32> + Convert<C64>,
{
    let dtype: DType = out.dtype();
    dispatch!(dtype, T => {
        for (i, o) in out.typed_mut::<T>()[at..at + n].iter_mut().enumerate() {
            *o = value(i).convert();
        }
    });
}
