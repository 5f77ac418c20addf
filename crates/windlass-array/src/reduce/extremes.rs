//! Least and greatest elements, and where they are first. NaN counts as more extreme than any
//! number, so that it comes through; in the variants that leave it out as less. Complex
//! numbers go by their real parts, then by the imaginary ones.

use std::{cell::RefCell, cmp::Ordering};

use super::{
    ReduceOp, rows_of,
    sums::{each, fold},
};
use crate::{
    dtype::DType,
    element::{Buf, C32, C64, Element, dispatch},
    execute::block::At,
    kernel::{Op2, Run, complex::ComplexNumber},
};

/// The position of what was not found yet.
pub(super) const NOWHERE: i64 = -1;

/// Elements in order.
pub(crate) trait Ordered: Element {
    /// No element is less.
    const LEAST: Self;
    /// No element is greater.
    const GREATEST: Self;
    /// Not a number, or for types that have none, anything.
    const NAN: Self;
    fn is_less(self, other: Self) -> bool;
    fn is_not_a_number(self) -> bool;

    /// Brings elements into order, NaN last.
    fn sort(line: &mut [Self]) {
        line.sort_unstable_by(order::<Self>);
    }
}

/// The order of elements, NaN last.
pub(crate) fn order<T: Ordered>(a: &T, b: &T) -> Ordering {
    match (a.is_not_a_number(), b.is_not_a_number()) {
        (false, false) if a.is_less(*b) => Ordering::Less,
        (false, false) if b.is_less(*a) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (true, false) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

macro_rules! ordered {
    (integers $($t:ty)+) => {$(
        impl Ordered for $t {
            const LEAST: Self = <$t>::MIN;
            const GREATEST: Self = <$t>::MAX;
            const NAN: Self = 0;

            #[inline(always)]
            fn is_less(self, other: Self) -> bool {
                self < other
            }

            #[inline(always)]
            fn is_not_a_number(self) -> bool {
                false
            }

            fn sort(line: &mut [Self]) {
                line.sort_unstable();
            }
        }
    )+};
    (floats $($t:ident $c:ident)+) => {$(
        impl Ordered for $t {
            const LEAST: Self = <$t>::NEG_INFINITY;
            const GREATEST: Self = <$t>::INFINITY;
            const NAN: Self = <$t>::NAN;

            #[inline(always)]
            fn is_less(self, other: Self) -> bool {
                self < other
            }

            #[inline(always)]
            fn is_not_a_number(self) -> bool {
                self.is_nan()
            }

            fn sort(line: &mut [Self]) {
                // The total order has negative NaN first.
                line.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = Self::NAN);
                line.sort_unstable_by(Self::total_cmp);
            }
        }

        impl Ordered for $c {
            const LEAST: Self = $c::new($t::NEG_INFINITY, $t::NEG_INFINITY);
            const GREATEST: Self = $c::new($t::INFINITY, $t::INFINITY);
            const NAN: Self = $c::new($t::NAN, $t::NAN);

            #[inline(always)]
            fn is_less(self, other: Self) -> bool {
                self.less(other)
            }

            #[inline(always)]
            fn is_not_a_number(self) -> bool {
                self.has_nan()
            }
        }
    )+};
}

ordered!(integers i8 i16 i32 i64 u8 u16 u32 u64);
ordered!(floats f32 C32 f64 C64);

impl Ordered for bool {
    const LEAST: Self = false;
    const GREATEST: Self = true;
    const NAN: Self = false;

    #[inline(always)]
    fn is_less(self, other: Self) -> bool {
        !self & other
    }

    #[inline(always)]
    fn is_not_a_number(self) -> bool {
        false
    }
}

struct Min;
struct Max;
struct NanMin;
struct NanMax;

impl<T: Ordered> Op2<T, T> for Min {
    #[inline(always)]
    fn call(state: T, v: T) -> T {
        // What is NaN stays: nothing is less than it.
        if v.is_less(state) | v.is_not_a_number() { v } else { state }
    }
}

impl<T: Ordered> Op2<T, T> for Max {
    #[inline(always)]
    fn call(state: T, v: T) -> T {
        if state.is_less(v) | v.is_not_a_number() { v } else { state }
    }
}

impl<T: Ordered> Op2<T, T> for NanMin {
    #[inline(always)]
    fn call(state: T, v: T) -> T {
        if v.is_less(state) | state.is_not_a_number() { v } else { state }
    }
}

impl<T: Ordered> Op2<T, T> for NanMax {
    #[inline(always)]
    fn call(state: T, v: T) -> T {
        if state.is_less(v) | state.is_not_a_number() { v } else { state }
    }
}

/// The states that every element replaces.
pub(super) fn worst(op: ReduceOp, d: DType, len: usize) -> Buf {
    let skips = matches!(op, ReduceOp::NanMin | ReduceOp::NanMax) && d > DType::U64;
    let least = matches!(op, ReduceOp::Max | ReduceOp::NanMax);
    dispatch!(d, T => {
        let one = match (skips, least) {
            (true, _) => T::NAN,
            (_, true) => T::LEAST,
            _ => T::GREATEST,
        };
        T::wrap(vec![one; len])
    })
}

fn typed<F: Op2<T, T>, T: Ordered>(
    state: &mut Buf,
    values: Run<'_>,
    (rows, columns): (usize, usize),
    at: At,
) {
    let values: &[T] = values.slice(rows * columns);
    let state = RefCell::new(state.typed_mut::<T>());
    rows_of(
        rows,
        columns,
        at,
        |from, n, to| {
            let state = &mut state.borrow_mut()[to];
            *state = F::call(*state, fold::<F, T>(&values[from..from + n], *state));
        },
        |from, to| {
            let state = &mut state.borrow_mut()[to..to + columns];
            each::<F, T>(state, &values[from..from + columns]);
        },
    );
}

/// The extreme of what was seen and of a block.
pub(super) fn extreme(
    op: ReduceOp,
    state: &mut Buf,
    values: Run<'_>,
    rows: usize,
    columns: usize,
    at: At,
) {
    let shape = (rows, columns);
    dispatch!(state.dtype(), T => match op {
        ReduceOp::Min | ReduceOp::All => typed::<Min, T>(state, values, shape, at),
        ReduceOp::Max | ReduceOp::Any => typed::<Max, T>(state, values, shape, at),
        ReduceOp::NanMin => typed::<NanMin, T>(state, values, shape, at),
        ReduceOp::NanMax => typed::<NanMax, T>(state, values, shape, at),
        other => unreachable!("{} is no extreme", other.name()),
    });
}

/// Whether `v` at `p` takes the place of what was found: it is more extreme, the first NaN, or
/// the same and before it.
#[inline(always)]
fn better<T: Ordered>(greatest: bool, v: T, p: i64, found: T, at: i64) -> bool {
    if at == NOWHERE {
        return true;
    }
    let (a, b) = if greatest { (found, v) } else { (v, found) };
    match (v.is_not_a_number(), found.is_not_a_number()) {
        (true, false) => true,
        (false, true) => false,
        (true, true) => p < at,
        (false, false) => a.is_less(b) || (v == found && p < at),
    }
}

/// The extreme of what was seen and of a block, and where it is: the second place tells the
/// positions.
pub(super) fn find(
    op: ReduceOp,
    parts: &mut [Buf],
    values: Run<'_>,
    rows: usize,
    columns: usize,
    at: &[At],
) {
    let greatest = op == ReduceOp::Argmax;
    let [state, positions] = parts else { unreachable!("an extreme and its position") };
    let positions = positions.typed_mut::<i64>();
    dispatch!(state.dtype(), T => {
        let (state, values): (_, &[T]) = (state.typed_mut::<T>(), values.slice(rows * columns));
        for r in 0..rows {
            let (result, place) = (at[0].base + r as isize * at[0].row, at[1].base + r as isize * at[1].row);
            let row = &values[r * columns..(r + 1) * columns];
            if at[0].column == 0 && at[1].column > 0 {
                let result = result as usize;
                // The extreme first, by vectors; only a better one is looked for.
                let best = if greatest {
                    fold::<Max, T>(row, row[0])
                } else {
                    fold::<Min, T>(row, row[0])
                };
                let (found, known) = (state[result], positions[result]);
                if better(greatest, best, place as i64, found, known) {
                    let same = |v: &T| *v == best || v.is_not_a_number() && best.is_not_a_number();
                    let c = row.iter().position(same).unwrap_or(0);
                    let p = (place + c as isize * at[1].column) as i64;
                    if better(greatest, best, p, found, known) {
                        (state[result], positions[result]) = (best, p);
                    }
                }
                continue;
            }
            for (c, v) in row.iter().enumerate() {
                let result = (result + c as isize * at[0].column) as usize;
                let p = (place + c as isize * at[1].column) as i64;
                if better(greatest, *v, p, state[result], positions[result]) {
                    (state[result], positions[result]) = (*v, p);
                }
            }
        }
    });
}

/// Takes in what another state has found.
pub(super) fn merge_found(op: ReduceOp, parts: &mut [Buf], other: &[Buf]) {
    let greatest = op == ReduceOp::Argmax;
    let [state, positions] = parts else { unreachable!("an extreme and its position") };
    let positions = positions.typed_mut::<i64>();
    let places = other[1].typed::<i64>();
    dispatch!(state.dtype(), T => {
        let (state, values) = (state.typed_mut::<T>(), other[0].typed::<T>());
        for (i, (v, p)) in values.iter().zip(places).enumerate() {
            if *p != NOWHERE && better(greatest, *v, *p, state[i], positions[i]) {
                (state[i], positions[i]) = (*v, *p);
            }
        }
    });
}
