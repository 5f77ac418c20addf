//! Sums and products: integers wrap; floats in several lanes, so that neighbours are not
//! added to each other and an error grows with the length of a lane.

use super::rows_of;
use crate::{
    dtype::DType,
    element::{Buf, C64, Element},
    execute::block::At,
    kernel::{Op2, Run, vectorised},
};

/// How many sums run side by side: four vectors of four 64-bit numbers, so that an addition
/// does not wait for the one before.
const LANES: usize = 16;

struct Plus;
struct Times;

macro_rules! operations {
    ($($t:ty: |$x:ident, $y:ident| $plus:expr, $times:expr, $one:expr;)+) => {$(
        impl Op2<$t, $t> for Plus {
            #[inline(always)]
            fn call($x: $t, $y: $t) -> $t {
                $plus
            }
        }

        impl Op2<$t, $t> for Times {
            #[inline(always)]
            fn call($x: $t, $y: $t) -> $t {
                $times
            }
        }

        impl One for $t {
            const ONE: Self = $one;
        }
    )+};
}

/// What a product of nothing is.
trait One {
    const ONE: Self;
}

operations!(
    i64: |x, y| x.wrapping_add(y), x.wrapping_mul(y), 1;
    u64: |x, y| x.wrapping_add(y), x.wrapping_mul(y), 1;
    f64: |x, y| x + y, x * y, 1.0;
    C64: |x, y| x + y, x * y, C64::new(1.0, 0.0);
);

vectorised! {
    /// All elements of a run together, beginning with `identity` in each lane.
    pub(super) fn fold<F: (Op2<T, T>), T: (Element)>(values: &[T], identity: T) -> T {
        let mut lanes = [identity; LANES];
        let (whole, rest) = values.as_chunks::<LANES>();
        for chunk in whole {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *lane = F::call(*lane, *v);
            }
        }
        for (lane, v) in lanes.iter_mut().zip(rest) {
            *lane = F::call(*lane, *v);
        }
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] = F::call(lanes[i], lanes[i + half]);
            }
            half /= 2;
        }
        lanes[0]
    }
}

vectorised! {
    /// Each element to its own result.
    pub(super) fn each<F: (Op2<T, T>), T: (Element)>(state: &mut [T], values: &[T]) {
        for (s, v) in state.iter_mut().zip(values) {
            *s = F::call(*s, *v);
        }
    }
}

fn typed<F: Op2<T, T>, T: Element>(
    state: &mut Buf,
    values: Run<'_>,
    (rows, columns): (usize, usize),
    at: At,
    identity: T,
) {
    let values: &[T] = values.slice(rows * columns);
    let state = std::cell::RefCell::new(state.typed_mut::<T>());
    rows_of(
        rows,
        columns,
        at,
        |from, n, to| {
            let state = &mut state.borrow_mut()[to];
            *state = F::call(*state, fold::<F, T>(&values[from..from + n], identity));
        },
        |from, to| {
            let state = &mut state.borrow_mut()[to..to + columns];
            each::<F, T>(state, &values[from..from + columns]);
        },
    );
}

pub(super) fn sum(state: &mut Buf, values: Run<'_>, rows: usize, columns: usize, at: At) {
    let shape = (rows, columns);
    match state.dtype() {
        DType::I64 => typed::<Plus, i64>(state, values, shape, at, 0),
        DType::U64 => typed::<Plus, u64>(state, values, shape, at, 0),
        DType::F64 => typed::<Plus, f64>(state, values, shape, at, 0.0),
        DType::C128 => typed::<Plus, C64>(state, values, shape, at, C64::default()),
        other => unreachable!("sums are not kept in {other}"),
    }
}

pub(super) fn product(state: &mut Buf, values: Run<'_>, rows: usize, columns: usize, at: At) {
    let shape = (rows, columns);
    match state.dtype() {
        DType::I64 => typed::<Times, i64>(state, values, shape, at, One::ONE),
        DType::U64 => typed::<Times, u64>(state, values, shape, at, One::ONE),
        DType::F64 => typed::<Times, f64>(state, values, shape, at, One::ONE),
        DType::C128 => typed::<Times, C64>(state, values, shape, at, One::ONE),
        other => unreachable!("products are not kept in {other}"),
    }
}

/// Sums over a count.
pub(super) fn over(sums: Buf, count: f64) -> Buf {
    match sums {
        Buf::C128(sums) => Buf::C128(sums.into_iter().map(|s| s / count).collect()),
        Buf::F64(sums) => Buf::F64(sums.into_iter().map(|s| s / count).collect()),
        other => unreachable!("means are not of {}", other.dtype()),
    }
}

/// Products of nothing.
pub(super) fn ones(d: DType, len: usize) -> Buf {
    match d {
        DType::I64 => Buf::I64(vec![One::ONE; len]),
        DType::U64 => Buf::U64(vec![One::ONE; len]),
        DType::F64 => Buf::F64(vec![One::ONE; len]),
        DType::C128 => Buf::C128(vec![One::ONE; len]),
        other => unreachable!("products are not kept in {other}"),
    }
}
