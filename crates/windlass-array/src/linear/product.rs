//! Products of matrices in memory, with strides of either sign: floats and complex numbers by
//! `faer`, integers and bools by loops. Integers wrap; of bools a sum is "or", a product "and".

use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul, traits::ComplexField};

use crate::{
    element::{C32, C64, Element},
    kernel::vectorised,
};

/// A matrix in a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strided<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) offset: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: isize,
    pub(crate) column_stride: isize,
}

impl<'a, T: Element> Strided<'a, T> {
    /// As `faer` sees it.
    ///
    /// # Panics
    /// If it is not within its buffer.
    pub(crate) fn matrix(self) -> MatRef<'a, T> {
        self.check();
        // SAFETY: `check` made sure that all elements lie in the slice, which is borrowed for
        // as long as the matrix is.
        unsafe {
            MatRef::from_raw_parts(
                self.values.as_ptr().add(self.offset),
                self.rows,
                self.columns,
                self.row_stride,
                self.column_stride,
            )
        }
    }

    fn check(&self) {
        if self.rows == 0 || self.columns == 0 {
            assert!(self.offset <= self.values.len(), "a matrix begins in its buffer");
            return;
        }
        let far = |n: usize, s: isize| (n as isize - 1) * s;
        let ends = [far(self.rows, self.row_stride), far(self.columns, self.column_stride)];
        let low: isize = ends.iter().map(|e| e.min(&0)).sum::<isize>() + self.offset as isize;
        let high: isize = ends.iter().map(|e| e.max(&0)).sum::<isize>() + self.offset as isize;
        assert!(low >= 0 && (high as usize) < self.values.len(), "a matrix lies in its buffer");
    }

    /// Where a row begins.
    pub(crate) fn start(&self, row: usize) -> usize {
        self.at(row, 0)
    }

    fn at(&self, row: usize, column: usize) -> usize {
        let along = row as isize * self.row_stride + column as isize * self.column_stride;
        (self.offset as isize + along) as usize
    }
}

/// Numbers whose matrices are multiplied.
pub(crate) trait Product: Element {
    /// `c += a b`, where `c` has its rows one after another.
    fn add_product(c: &mut [Self], a: Strided<'_, Self>, b: Strided<'_, Self>);
}

fn by_faer<T: Element + ComplexField>(c: &mut [T], a: Strided<'_, T>, b: Strided<'_, T>, one: T) {
    let c = MatMut::from_row_major_slice_mut(c, a.rows, b.columns);
    matmul(c, Accum::Add, a.matrix(), b.matrix(), one, Par::Seq);
}

macro_rules! by_faer {
    ($($t:ty: $one:expr),+) => {$(
        impl Product for $t {
            fn add_product(c: &mut [Self], a: Strided<'_, Self>, b: Strided<'_, Self>) {
                by_faer(c, a, b, $one);
            }
        }
    )+};
}

by_faer!(f32: 1.0, f64: 1.0, C32: C32::new(1.0, 0.0), C64: C64::new(1.0, 0.0));

/// Numbers that loops multiply.
trait Ring: Element {
    fn add_product_of(self, a: Self, b: Self) -> Self;
}

impl Ring for bool {
    #[inline(always)]
    fn add_product_of(self, a: Self, b: Self) -> Self {
        self | (a & b)
    }
}

vectorised! {
    /// `c += a * b`, where `a` is one number.
    fn add_scaled<T: (Ring)>(c: &mut [T], a: T, b: &[T]) {
        for (c, b) in c.iter_mut().zip(b) {
            *c = c.add_product_of(a, *b);
        }
    }
}

/// Rows of the second matrix that are taken at once, so that they stay in a cache (a stated
/// guess: 256 rows of 8 bytes by as many columns are 512 KiB).
const BLOCK: usize = 256;

fn by_loops<T: Ring>(c: &mut [T], a: Strided<'_, T>, b: Strided<'_, T>) {
    a.check();
    b.check();
    let mut packed = crate::memory::zeros::<T>(BLOCK.min(a.columns) * BLOCK.min(b.columns));
    for first in (0..b.columns).step_by(BLOCK) {
        let wide = BLOCK.min(b.columns - first);
        for top in (0..a.columns).step_by(BLOCK) {
            let deep = BLOCK.min(a.columns - top);
            for k in 0..deep {
                for j in 0..wide {
                    packed[k * wide + j] = b.values[b.at(top + k, first + j)];
                }
            }
            for i in 0..a.rows {
                let row = &mut c[i * b.columns + first..][..wide];
                for k in 0..deep {
                    add_scaled(row, a.values[a.at(i, top + k)], &packed[k * wide..][..wide]);
                }
            }
        }
    }
}

impl Product for bool {
    fn add_product(c: &mut [Self], a: Strided<'_, Self>, b: Strided<'_, Self>) {
        by_loops(c, a, b);
    }
}

macro_rules! by_loops {
    ($($t:ty),+) => {$(
        impl Ring for $t {
            #[inline(always)]
            fn add_product_of(self, a: Self, b: Self) -> Self {
                self.wrapping_add(a.wrapping_mul(b))
            }
        }

        impl Product for $t {
            fn add_product(c: &mut [Self], a: Strided<'_, Self>, b: Strided<'_, Self>) {
                by_loops(c, a, b);
            }
        }
    )+};
}

by_loops!(i8, i16, i32, i64, u8, u16, u32, u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn strided<T>(values: &[T], rows: usize, columns: usize, turned: bool) -> Strided<'_, T> {
        let (row_stride, column_stride) =
            if turned { (1, rows as isize) } else { (columns as isize, 1) };
        Strided { values, offset: 0, rows, columns, row_stride, column_stride }
    }

    fn product<T: Product + std::ops::Mul<Output = T> + std::iter::Sum>(of: fn(usize) -> T) {
        for (m, n, k) in [(1, 1, 1), (3, 300, 2), (7, 2, 600), (65, 33, 17)] {
            let a: Vec<T> = (0..m * k).map(of).collect();
            let b: Vec<T> = (0..k * n).map(|i| of(i + 3)).collect();
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                let (x, y) = (strided(&a, m, k, ta), strided(&b, k, n, tb));
                let mut c = vec![T::default(); m * n];
                T::add_product(&mut c, x, y);
                for i in 0..m {
                    for j in 0..n {
                        let terms = (0..k).map(|l| a[x.at(i, l)] * b[y.at(l, j)]);
                        assert_eq!(c[i * n + j], terms.sum());
                    }
                }
            }
        }
    }

    #[test]
    fn products_are_sums_of_products() {
        // Small integers, whose sums are exact.
        product::<f64>(|i| (i % 7) as f64 - 3.0);
        product::<f32>(|i| (i % 5) as f32);
        product::<i32>(|i| i as i32 % 11 - 5);
        product::<u64>(|i| i as u64 % 13);
        product::<C64>(|i| C64::new((i % 3) as f64, (i % 4) as f64 - 1.0));
    }

    #[test]
    fn integers_wrap_and_bools_are_or() {
        let mut c = [100_i8];
        i8::add_product(&mut c, strided(&[100, 100], 1, 2, false), strided(&[2, 1], 2, 1, false));
        assert_eq!(c[0], 100_i8.wrapping_add(200_u8 as i8).wrapping_add(100));
        let mut c = [false];
        let (a, b) = ([true, true], [true, true]);
        bool::add_product(&mut c, strided(&a, 1, 2, false), strided(&b, 2, 1, false));
        assert!(c[0]);
    }
}
