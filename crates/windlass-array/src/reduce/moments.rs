//! Means and squared deviations: counts, means and sums of squares about them, merged by the
//! formulae of T. F. Chan, G. H. Golub and R. J. LeVeque, *Updating Formulae and a Pairwise
//! Algorithm for Computing Sample Variances* (1979), which do not cancel.

use std::cell::RefCell;

use super::{rows_of, sums::fold};
use crate::{
    dtype::DType,
    element::{Buf, C64, Element},
    execute::block::At,
    kernel::{Op2, Run, vectorised},
};

/// What deviations are made of: reals, and complex numbers, whose squares are those of their
/// magnitudes.
trait Moment: Element {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, by: f64) -> Self;
    /// The real part of one's conjugate times the other.
    fn dot(self, other: Self) -> f64;
}

impl Moment for f64 {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self - other
    }

    #[inline(always)]
    fn times(self, by: f64) -> Self {
        self * by
    }

    #[inline(always)]
    fn dot(self, other: Self) -> f64 {
        self * other
    }
}

impl Moment for C64 {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self - other
    }

    #[inline(always)]
    fn times(self, by: f64) -> Self {
        self * by
    }

    #[inline(always)]
    fn dot(self, other: Self) -> f64 {
        self.re * other.re + self.im * other.im
    }
}

struct Plus;

impl<T: Moment> Op2<T, T> for Plus {
    #[inline(always)]
    fn call(a: T, b: T) -> T {
        a.plus(b)
    }
}

vectorised! {
    /// The squared deviations of a run from its mean.
    fn squares<T: (Moment)>(values: &[T], mean: T) -> f64 {
        let mut lanes = [0.0; 16];
        let (whole, rest) = values.as_chunks::<16>();
        for chunk in whole {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                let d = v.minus(mean);
                *lane += d.dot(d);
            }
        }
        for (lane, v) in lanes.iter_mut().zip(rest) {
            let d = v.minus(mean);
            *lane += d.dot(d);
        }
        lanes.iter().sum()
    }
}

vectorised! {
    /// One more element for each result.
    fn update<T: (Moment)>(counts: &mut [f64], means: &mut [T], squares: &mut [f64], values: &[T]) {
        let results = counts.iter_mut().zip(means).zip(squares);
        for (((n, mean), square), v) in results.zip(values) {
            *n += 1.0;
            let d = v.minus(*mean);
            *mean = mean.plus(d.times(1.0 / *n));
            *square += d.dot(v.minus(*mean));
        }
    }
}

/// Counts, means and squares of two sets of elements as those of one.
fn merged<T: Moment>(a: (f64, T, f64), b: (f64, T, f64)) -> (f64, T, f64) {
    if b.0 == 0.0 {
        return a;
    }
    if a.0 == 0.0 {
        return b;
    }
    let n = a.0 + b.0;
    let d = b.1.minus(a.1);
    (n, a.1.plus(d.times(b.0 / n)), a.2 + b.2 + d.dot(d) * (a.0 * b.0 / n))
}

fn typed<T: Moment>(parts: &mut [Buf], values: Run<'_>, (rows, columns): (usize, usize), at: At) {
    let [counts, means, sums] = parts else { unreachable!("counts, means and squares") };
    let state =
        RefCell::new((counts.typed_mut::<f64>(), means.typed_mut::<T>(), sums.typed_mut::<f64>()));
    let values: &[T] = values.slice(rows * columns);
    rows_of(
        rows,
        columns,
        at,
        |from, n, to| {
            let run = &values[from..from + n];
            let mean = fold::<Plus, T>(run, T::default()).times(1.0 / n as f64);
            let (counts, means, sums) = &mut *state.borrow_mut();
            let seen = (counts[to], means[to], sums[to]);
            (counts[to], means[to], sums[to]) = merged(seen, (n as f64, mean, squares(run, mean)));
        },
        |from, to| {
            let (counts, means, sums) = &mut *state.borrow_mut();
            let range = to..to + columns;
            let values = &values[from..from + columns];
            update(&mut counts[range.clone()], &mut means[range.clone()], &mut sums[range], values);
        },
    );
}

/// Takes in a block.
pub(super) fn moments(parts: &mut [Buf], values: Run<'_>, rows: usize, columns: usize, at: At) {
    match parts[1].dtype() {
        DType::C128 => typed::<C64>(parts, values, (rows, columns), at),
        _ => typed::<f64>(parts, values, (rows, columns), at),
    }
}

/// Takes in what another state has seen.
pub(super) fn merge(parts: &mut [Buf], other: &[Buf]) {
    fn typed<T: Moment>(parts: &mut [Buf], other: &[Buf]) {
        let [counts, means, sums] = parts else { unreachable!("counts, means and squares") };
        let (counts, means) = (counts.typed_mut::<f64>(), means.typed_mut::<T>());
        let sums = sums.typed_mut::<f64>();
        let other = (other[0].typed::<f64>(), other[1].typed::<T>(), other[2].typed::<f64>());
        for i in 0..counts.len() {
            let b = (other.0[i], other.1[i], other.2[i]);
            (counts[i], means[i], sums[i]) = merged((counts[i], means[i], sums[i]), b);
        }
    }
    match parts[1].dtype() {
        DType::C128 => typed::<C64>(parts, other),
        _ => typed::<f64>(parts, other),
    }
}

/// Variances, or their roots: NaN where there are no more elements than `ddof`.
pub(super) fn variance(parts: &[Buf], ddof: f64, root: bool) -> Buf {
    let each = |(square, n): (&f64, &f64)| {
        let variance = square / (n - ddof).max(0.0);
        if root { variance.sqrt() } else { variance }
    };
    Buf::F64(parts[2].typed::<f64>().iter().zip(parts[0].typed::<f64>()).map(each).collect())
}
