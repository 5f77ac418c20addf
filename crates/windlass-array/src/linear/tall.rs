//! QR factors of a matrix in memory that has at least as many rows as columns: blocks of rows
//! that a cache holds are factored by Householder reflections, and then the factors R of the
//! blocks, stacked, in the same way. What is kept are the reflections, not Q: J. Demmel,
//! L. Grigori, M. Hoemmen and J. Langou, *Communication-optimal parallel and sequential QR and
//! LU factorizations* (2012). The reflections themselves are the library `faer`'s.

use faer::{
    Conj, MatMut, MatRef, Par,
    dyn_stack::{MemBuffer, MemStack},
    linalg::{
        householder::{
            apply_block_householder_sequence_on_the_left_in_place_scratch,
            apply_block_householder_sequence_on_the_left_in_place_with_conj,
        },
        qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size},
    },
    prelude::{Reborrow, ReborrowMut},
};

use super::{field::Field, product::Strided};

/// Elements of a block: 1 MiB of 8 bytes, which a second-level cache holds.
const BLOCK: usize = if cfg!(test) { 64 } else { 1 << 17 };

/// Blocks of the same kind: those of the matrix, then those of stacked factors R.
#[derive(Debug, Clone)]
struct Level {
    rows: usize,
    blocks: usize,
    /// Where its blocks begin among the factors.
    at: usize,
}

/// Where the parts of the factors of a matrix stand: the square factor R first, by rows, then of
/// each level and block the reflections by columns and their triangular factors.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    columns: usize,
    /// Reflections that are applied at once.
    width: usize,
    levels: Vec<Level>,
    len: usize,
}

impl Layout {
    /// Of a matrix with at least as many rows as columns, and at least one column.
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        debug_assert!(rows >= columns && columns > 0, "{rows} by {columns}");
        let per = (BLOCK / columns).max(2 * columns);
        let width = match rows.min(per) * columns {
            // Few at once where a block lies in a cache (measured: 8 of 64 columns).
            n if n <= BLOCK => (columns / 8).clamp(1, 32),
            _ => recommended_block_size::<f64>(rows.min(per), columns),
        };
        let width = width.clamp(1, columns);
        let (mut levels, mut left, mut at) = (Vec::new(), rows, columns * columns);
        loop {
            let blocks = (left / per).max(1);
            levels.push(Level { rows: left, blocks, at });
            at += left * columns + blocks * width * columns;
            if blocks == 1 {
                return Self { columns, width, levels, len: at };
            }
            left = blocks * columns;
        }
    }

    /// Rows of the matrix.
    pub(crate) fn rows(&self) -> usize {
        self.levels[0].rows
    }

    /// Elements of the factors.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A block's first row, its rows, and where it stands.
    fn block(&self, level: &Level, i: usize) -> (usize, usize, usize) {
        let first = i * level.rows / level.blocks;
        let rows = (i + 1) * level.rows / level.blocks - first;
        (first, rows, level.at + (first + i * self.width) * self.columns)
    }

    /// Elements that applying the factors to that many columns takes beside the result.
    pub(crate) fn working(&self, columns: usize) -> usize {
        let stacked: usize = self.levels[1..].iter().map(|l| l.rows).sum();
        let rows = self.levels.iter().map(|l| l.rows.div_ceil(l.blocks)).max().unwrap_or(0);
        (stacked + rows + 2 * self.width) * columns
    }
}

/// The factors of a matrix.
pub(crate) fn factor<T: Field>(layout: &Layout, a: Strided<'_, T>, par: Par) -> Vec<T> {
    let n = layout.columns;
    let mut all = crate::memory::zeros::<T>(layout.len);
    let mut scratch = None;
    for (depth, level) in layout.levels.iter().enumerate() {
        let (before, own) = all.split_at_mut(level.at);
        for i in 0..level.blocks {
            let (first, rows, at) = layout.block(level, i);
            let (v, t) = own[at - level.at..].split_at_mut(rows * n);
            match depth.checked_sub(1).map(|d| &layout.levels[d]) {
                None => {
                    let from = Strided { rows, offset: a.start(first), ..a };
                    MatMut::from_column_major_slice_mut(&mut *v, rows, n).copy_from(from.matrix());
                }
                Some(below) => stack(layout, below, before, first, (&mut *v, rows)),
            }
            let v = MatMut::from_column_major_slice_mut(v, rows, n);
            let width = layout.width;
            let t = MatMut::from_column_major_slice_mut(&mut t[..width * n], width, n);
            let scratch: &mut MemBuffer = scratch.get_or_insert_with(|| {
                let (rows, params) = (rows + 1, Default::default());
                MemBuffer::new(qr_in_place_scratch::<T>(rows, n, width, par, params))
            });
            qr_in_place(v, t, par, MemStack::new(scratch), Default::default());
        }
    }
    let (last, at) =
        (layout.levels.last().expect("a level"), layout.levels[layout.levels.len() - 1].at);
    let (r, rest) = all.split_at_mut(n * n);
    for i in 0..n {
        for j in i..n {
            r[i * n + j] = rest[at - n * n + j * last.rows + i];
        }
    }
    all
}

/// Fills a block with rows of the stacked factors R of the level below, from `first` on.
fn stack<T: Field>(
    layout: &Layout,
    below: &Level,
    all: &[T],
    first: usize,
    (to, rows): (&mut [T], usize),
) {
    let n = layout.columns;
    for row in 0..rows {
        let (block, i) = ((first + row) / n, (first + row) % n);
        let (_, height, at) = layout.block(below, block);
        for j in i..n {
            to[j * rows + row] = all[at + j * height + i];
        }
    }
}

/// Q times a matrix of as many rows as Q has columns, by rows.
pub(crate) fn apply<T: Field>(
    layout: &Layout,
    factors: &[T],
    top: Strided<'_, T>,
    par: Par,
) -> Vec<T> {
    let (n, columns) = (layout.columns, top.columns);
    let mut given: Vec<T> = Vec::new();
    let mut buffer: Vec<T> = Vec::new();
    let mut scratch = None;
    for (depth, level) in layout.levels.iter().enumerate().rev() {
        let mut out = crate::memory::zeros::<T>(level.rows * columns);
        for i in 0..level.blocks {
            let (first, rows, at) = layout.block(level, i);
            buffer.clear();
            buffer.resize(rows * columns, T::default());
            let mut block = MatMut::from_column_major_slice_mut(&mut buffer, rows, columns);
            let head = block.rb_mut().subrows_mut(0, n);
            if depth + 1 == layout.levels.len() {
                { head }.copy_from(top.matrix());
            } else {
                let own = &given[i * n * columns..][..n * columns];
                { head }.copy_from(MatRef::from_row_major_slice(own, n, columns));
            }
            let (v, t) = factors[at..].split_at(rows * n);
            let width = layout.width;
            let scratch: &mut MemBuffer = scratch.get_or_insert_with(|| {
                MemBuffer::new(apply_block_householder_sequence_on_the_left_in_place_scratch::<T>(
                    rows + 1,
                    width,
                    columns,
                ))
            });
            apply_block_householder_sequence_on_the_left_in_place_with_conj(
                MatRef::from_column_major_slice(v, rows, n),
                MatRef::from_column_major_slice(&t[..width * n], width, n),
                Conj::No,
                block.rb_mut(),
                par,
                MemStack::new(scratch),
            );
            let to = &mut out[first * columns..][..rows * columns];
            MatMut::from_row_major_slice_mut(to, rows, columns).copy_from(block.rb());
        }
        given = out;
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::C64;

    fn by_rows<T>(values: &[T], rows: usize, columns: usize) -> Strided<'_, T> {
        let row_stride = columns as isize;
        Strided { values, offset: 0, rows, columns, row_stride, column_stride: 1 }
    }

    fn check<T: Field>(rows: usize, n: usize, of: fn(usize) -> T) {
        let a: Vec<T> = (0..rows * n).map(of).collect();
        let layout = Layout::new(rows, n);
        let factors = factor(&layout, by_rows(&a, rows, n), Par::Seq);
        let r = &factors[..n * n];
        // Q R is the matrix, and the columns of Q are orthonormal.
        let back = apply(&layout, &factors, by_rows(r, n, n), Par::Seq);
        let far = back.iter().zip(&a).map(|(x, y)| (*x - *y).magnitude()).fold(0.0, f64::max);
        assert!(far < 1e-12, "{rows} by {n}: {far}");
        let eye: Vec<T> = (0..n * n).map(|i| T::of(f64::from(i % (n + 1) == 0))).collect();
        let q = apply(&layout, &factors, by_rows(&eye, n, n), Par::Seq);
        for i in 0..n {
            for j in 0..n {
                let terms = (0..rows).map(|k| q[k * n + i].conjugate() * q[k * n + j]);
                let sum = terms.fold(T::of(0.0), |a, b| a + b);
                assert!((sum - T::of(f64::from(i == j))).magnitude() < 1e-12);
                assert!(i <= j || r[i * n + j] == T::of(0.0));
            }
        }
    }

    #[test]
    fn factors_of_any_number_of_levels_give_the_matrix() {
        for (rows, n) in [(1, 1), (5, 5), (40, 3), (1000, 4), (997, 7), (33, 16)] {
            check::<f64>(rows, n, |i| ((i * 7919) % 101) as f64 / 50.0 - 1.0);
            check::<C64>(rows, n, |i| {
                C64::new(((i * 7919) % 101) as f64 / 50.0 - 1.0, (i % 7) as f64)
            });
        }
        assert!(Layout::new(1000, 4).levels.len() > 2);
    }
}
