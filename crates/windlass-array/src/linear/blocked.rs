//! Factors of square matrices by tiles: a matrix that is larger than a task should take.

use std::sync::Arc;

use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul, linalg::triangular_solve};

use super::{
    dense,
    field::{Field, dispatch_wide},
    stacked::{packed, unpacked},
    tiling::{resized, span_of, task_bytes},
    tsqr::matrix,
};
use crate::{
    Array, Index,
    error::{ArrayError, Result},
    expr::BoxError,
    grid::{AxisGrid, ChunkGrid},
    region::{Region, Span},
    shape::{ArrayShape, ChunkIndex},
    tile::Tile,
};

/// The side of a matrix up to which one task takes it whole: 8 MiB of 8 bytes (a stated guess:
/// several threads gain little there).
pub(crate) const SIDE: usize = if cfg!(test) { 12 } else { 1024 };
/// The side of a tile, for matrices beyond that: a sixteenth, within these bounds (a stated
/// guess, as of `ChunkGrid::tasks`).
const TILE: (usize, usize) = if cfg!(test) { (5, 5) } else { (256, 1024) };

fn tile_side(n: usize) -> usize {
    n.div_ceil(16).clamp(TILE.0, TILE.1)
}

fn part(a: &Array, rows: (usize, usize), columns: (usize, usize)) -> Result<Array> {
    let slice = |(from, to): (usize, usize)| Index::from(from as i64..to as i64);
    a.index(&[slice(rows), slice(columns)])
}

fn adjoint(a: &Array) -> Result<Array> {
    if a.dtype().is_complex() { a.t().conj() } else { Ok(a.t()) }
}

fn joined(of: &[Array], axis: isize) -> Result<Array> {
    Array::concatenate(&of.iter().collect::<Vec<_>>(), axis)
}

/// The first and last row of each tile.
fn bounds(n: usize, side: usize) -> Vec<(usize, usize)> {
    (0..n).step_by(side).map(|i| (i, (i + side).min(n))).collect()
}

/// The lower factor of a positive definite matrix, column by column of tiles: what the columns
/// before contribute is a product ([`super::contract`]), of which no task takes more than its
/// tiles.
pub(crate) fn cholesky(a: &Array) -> Result<Array> {
    let n = a.shape()[0];
    let mut columns: Vec<(usize, Array)> = Vec::new();
    for (begin, end) in bounds(n, tile_side(n)) {
        let mut left = part(a, (begin, n), (begin, end))?;
        if begin > 0 {
            let known = columns
                .iter()
                .map(|(first, c)| part(c, (begin - first, n - first), (0, c.shape()[1])))
                .collect::<Result<Vec<_>>>()?;
            let known = joined(&known, 1)?;
            let top = part(&known, (0, end - begin), (0, begin))?;
            left = left.subtract(&known.matmul(&adjoint(&top)?)?)?;
        }
        let side = end - begin;
        let tile = part(&left, (0, side), (0, side))?;
        let rows = dispatch_wide!(a.dtype(), T => {
            let make = move |a: &[MatRef<'_, T>], to: &mut [T], _| {
                dense::cholesky(a[0], to, false)
                    .map_err(|e| format!("in the tile of rows {begin}..{end}: {e}"))
            };
            packed::<T>("cholesky", &[&tile], side * side, side * side, make)
        });
        let mut column = unpacked(&rows, 0, &[side, side])?;
        if end < n {
            let below = adjoint(&part(&left, (side, n - begin), (0, side))?)?;
            let below = triangular_columns("cholesky", &column, &below, (true, false));
            column = joined(&[column, adjoint(&below)?], 0)?;
        }
        columns.push((begin, column));
    }
    let padded = columns.iter().map(|(first, c)| c.pad(&[(*first, 0), (0, 0)], 0));
    let padded = padded.map(|c| Ok(c?.astype(a.dtype()))).collect::<Result<Vec<_>>>()?;
    joined(&padded, 1)
}

/// The X of A X = B for a triangle A in one chunk, by chunks of columns.
fn triangular_columns(
    name: &'static str,
    a: &Array,
    b: &Array,
    (lower, unit): (bool, bool),
) -> Array {
    let (n, columns, element) = (b.shape()[0], b.shape()[1], b.dtype().bytes());
    let wide = (task_bytes(n * columns * element) / (n * element)).max(1);
    let axis = resized(&b.chunks().axes()[1], wide);
    let (chunks, dtype) = (axis.clone(), b.dtype());
    let reads = move |index: &ChunkIndex| {
        let square = Region::all(&[n, n]);
        vec![(0, square), (1, Region::new(vec![Span::new(0, 1, n), span_of(&chunks, index[1])]))]
    };
    let make = move |given: Vec<Tile>, _: &ChunkIndex| -> Result<Tile, BoxError> {
        dispatch_wide!(dtype, T => {
            let (a, b) = (matrix::<T>(&given[0]).matrix(), matrix::<T>(&given[1]).matrix());
            let mut x = crate::memory::zeros::<T>(n * b.ncols());
            dense::solve_triangular(a, b, &mut x, (lower, unit)).map_err(|problem| {
                ArrayError::Matrix { operation: name, matrix: String::new(), problem }
            })?;
            Ok(Tile::dense(<T as crate::Element>::wrap(x), given[1].shape().clone()))
        })
    };
    let grid = ChunkGrid::new(vec![AxisGrid::regular(n, n), axis.clone()]);
    let working = (n * n + n * axis.largest()) * element;
    Array::of_parts(name, &[a, b], dtype, grid, working, reads, make)
}

/// The X of A X = B for a triangle A: tile by tile of its rows, of which what is known of X is
/// subtracted as a product.
pub(crate) fn triangular(
    name: &'static str,
    a: &Array,
    b: &Array,
    (lower, unit): (bool, bool),
) -> Result<Array> {
    let (n, columns) = (b.shape()[0], b.shape()[1]);
    if n <= SIDE {
        return Ok(triangular_columns(name, a, b, (lower, unit)));
    }
    let mut tiles = bounds(n, tile_side(n));
    if !lower {
        tiles.reverse();
    }
    // In the order of the rows.
    let mut found: Vec<Array> = Vec::new();
    for (begin, end) in tiles {
        let mut left = part(b, (begin, end), (0, columns))?;
        if !found.is_empty() {
            let known = if lower { (0, begin) } else { (end, n) };
            let product = part(a, (begin, end), known)?.matmul(&joined(&found, 0)?)?;
            left = left.subtract(&product)?;
        }
        let tile = part(a, (begin, end), (begin, end))?;
        let x = triangular_columns(name, &tile, &left, (lower, unit));
        found.insert(if lower { found.len() } else { 0 }, x);
    }
    joined(&found, 0)
}

/// A panel of columns that is factored: from `first` on, in rows from `first` on. The last
/// column of the array is the order of those rows.
struct Panel {
    first: usize,
    columns: usize,
    packed: Array,
}

/// L, U and the order of the rows of a matrix, by panels of columns.
pub(crate) struct Lu {
    rows: usize,
    columns: usize,
    dtype: crate::DType,
    panels: Arc<Vec<Panel>>,
    /// The rows of U that each panel settles, right of it.
    right: Vec<Option<Array>>,
}

/// The order that the last column of a panel's factors holds.
fn order_of<T: Field>(tile: &Tile) -> Vec<usize> {
    let of = matrix::<T>(tile).matrix();
    (0..of.nrows()).map(|i| of[(i, of.ncols() - 1)].real_part() as usize).collect()
}

impl Lu {
    /// The factors of a matrix of two axes. A task takes two panels with all their rows.
    pub(crate) fn new(a: &Array) -> Result<Self> {
        let (rows, columns) = (a.shape()[0], a.shape()[1]);
        let (mut panels, mut right) = (Vec::new(), Vec::new());
        let mut left = a.clone();
        for (first, last) in bounds(rows.min(columns), tile_side(rows.min(columns))) {
            let wide = last - first;
            let (high, all) = (rows - first, columns - first);
            let panel = factored(&part(&left, (0, high), (0, wide))?);
            let mut rest = None;
            if all > wide {
                let updated = updated(&panel, &part(&left, (0, high), (wide, all))?, wide);
                rest = Some(part(&updated, (0, wide), (0, all - wide))?);
                if high > wide {
                    left = part(&updated, (wide, high), (0, all - wide))?;
                }
            }
            panels.push(Panel { first, columns: wide, packed: panel });
            right.push(rest);
        }
        Ok(Self { rows, columns, dtype: a.dtype(), panels: Arc::new(panels), right })
    }

    /// An array of as many rows as the matrix, made by chunks of columns from the orders of the
    /// rows of the panels from `from` on, and from parts of other arrays behind them.
    fn ordered<T: Field>(
        &self,
        (grid, from, other): (ChunkGrid, usize, &Array),
        part: impl Fn(&ChunkIndex) -> Region + Send + Sync + 'static,
        make: impl Fn(&[usize], &Tile, &ChunkIndex) -> Tile + Send + Sync + 'static,
    ) -> Array {
        let panels = Arc::clone(&self.panels);
        let inputs: Vec<&Array> =
            [other].into_iter().chain(panels[from..].iter().map(|p| &p.packed)).collect();
        let spans: Vec<Region> = panels[from..]
            .iter()
            .map(|p| {
                let (high, wide) = (p.packed.shape()[0], p.columns);
                Region::new(vec![Span::new(0, 1, high), Span::new(wide, 1, 1)])
            })
            .collect();
        let reads = move |index: &ChunkIndex| {
            let orders = spans.iter().cloned().enumerate().map(|(i, s)| (i + 1, s));
            [(0, part(index))].into_iter().chain(orders).collect()
        };
        let rows = self.rows;
        let firsts: Vec<usize> = panels[from..].iter().map(|p| p.first).collect();
        let of = move |given: Vec<Tile>, index: &ChunkIndex| -> Result<Tile, BoxError> {
            let mut order: Vec<usize> = (0..rows).collect();
            for (tile, first) in given[1..].iter().zip(&firsts) {
                let own = order_of::<T>(tile);
                let before = order[*first..].to_vec();
                order[*first..].iter_mut().zip(own).for_each(|(to, i)| *to = before[i]);
            }
            Ok(make(&order, &given[0], index))
        };
        let working = 2 * rows * size_of::<usize>();
        Array::of_parts("lu", &inputs, self.dtype, grid, working, reads, of)
    }

    /// A matrix of as many rows with its rows in the order of the factors.
    fn permuted(&self, b: &Array) -> Array {
        let (n, columns, element) = (self.rows, b.shape()[1], b.dtype().bytes());
        let wide = (task_bytes(n * columns * element) / (n * element)).max(1);
        let axis = resized(&b.chunks().axes()[1], wide);
        let grid = ChunkGrid::new(vec![AxisGrid::regular(n, n), axis]);
        let chunks = grid.clone();
        let part = move |index: &ChunkIndex| chunks.region(index.as_slice());
        dispatch_wide!(self.dtype, T => {
            self.ordered::<T>((grid, 0, b), part, |order, tile, _| in_order::<T>(order, tile))
        })
    }

    /// P: a 1 in each row, where the row of the matrix went.
    pub(crate) fn p(&self) -> Result<Array> {
        Ok(self.permuted(&Array::eye(self.rows, self.rows, 0, self.dtype)).t())
    }

    /// L: each panel's part, in the order that the panels behind it brought its rows into.
    pub(crate) fn l(&self) -> Result<Array> {
        let mut found = Vec::new();
        for (at, panel) in self.panels.iter().enumerate() {
            let (rows, wide, first) = (self.rows, panel.columns, panel.first);
            let shape = ArrayShape::new([rows, wide]);
            let whole = Region::all(&[rows - first, wide]);
            dispatch_wide!(self.dtype, T => {
                let make = move |order: &[usize], tile: &Tile, _: &ChunkIndex| {
                    let own = matrix::<T>(tile).matrix();
                    let mut l = crate::memory::zeros::<T>(rows * wide);
                    for i in first..rows {
                        // The panel's rows are those before the later panels' exchanges.
                        let from = order[i] - first;
                        for j in 0..wide.min(from + 1) {
                            let below = from > j;
                            l[i * wide + j] = if below { own[(from, j)] } else { T::of(1.0) };
                        }
                    }
                    Tile::dense(<T as crate::Element>::wrap(l), ArrayShape::new([rows, wide]))
                };
                let grid = ChunkGrid::whole(&shape);
                let part = move |_: &ChunkIndex| whole.clone();
                found.push(self.ordered::<T>((grid, at + 1, &panel.packed), part, make));
            });
        }
        joined(&found, 1)
    }

    /// U: each panel's upper triangle, with what is right of it.
    pub(crate) fn u(&self) -> Result<Array> {
        let mut found = Vec::new();
        for (panel, right) in self.panels.iter().zip(&self.right) {
            let square = part(&panel.packed, (0, panel.columns), (0, panel.columns))?.triu(0)?;
            let rows = match right {
                Some(right) => joined(&[square, right.clone()], 1)?,
                None => square,
            };
            found.push(rows.pad(&[(0, 0), (panel.first, 0)], 0)?.astype(self.dtype));
        }
        debug_assert_eq!(found[0].shape()[1], self.columns);
        joined(&found, 0)
    }

    /// The X of A X = B for the square matrix A.
    pub(crate) fn solve(&self, name: &'static str, b: &Array) -> Result<Array> {
        let y = triangular(name, &self.l()?, &self.permuted(b), (true, true))?;
        triangular(name, &self.u()?, &y, (false, false))
    }
}

/// The rows of a tile in another order.
fn in_order<T: Field>(order: &[usize], tile: &Tile) -> Tile {
    let own = matrix::<T>(tile).matrix();
    let mut values = Vec::with_capacity(own.nrows() * own.ncols());
    for &row in order {
        values.extend((0..own.ncols()).map(|j| own[(row, j)]));
    }
    Tile::dense(T::wrap(values), tile.shape().clone())
}

/// A panel's factors, and the order of its rows as a last column.
fn factored(panel: &Array) -> Array {
    let (high, wide) = (panel.shape()[0], panel.shape()[1]);
    let shape = ArrayShape::new([high, wide + 1]);
    let own = shape.clone();
    let dtype = panel.dtype();
    let make = move |given: Vec<Tile>, _: &ChunkIndex| -> Result<Tile, BoxError> {
        dispatch_wide!(dtype, T => {
            let found = dense::lu(matrix::<T>(&given[0]).matrix(), Par::Seq);
            let mut all = crate::memory::zeros::<T>(high * (wide + 1));
            for (i, row) in all.chunks_exact_mut(wide + 1).enumerate() {
                (0..wide).for_each(|j| row[j] = found.both[(i, j)]);
                row[wide] = T::of(found.order[i] as f64);
            }
            Ok(Tile::dense(<T as crate::Element>::wrap(all), own.clone()))
        })
    };
    let reads = move |_: &ChunkIndex| vec![(0, Region::all(&[high, wide]))];
    let working = high * wide * dtype.bytes();
    Array::of_parts("lu", &[panel], dtype, ChunkGrid::whole(&shape), working, reads, make)
}

/// What is right of a panel, when its factors are known: rows of U above, and below what is left
/// to be factored. By chunks of columns.
fn updated(panel: &Array, rest: &Array, wide: usize) -> Array {
    let (high, columns, dtype) = (rest.shape()[0], rest.shape()[1], rest.dtype());
    let axis = AxisGrid::regular(columns, wide);
    let chunks = axis.clone();
    let reads = move |index: &ChunkIndex| {
        let all = Span::new(0, 1, high);
        let own = Region::new(vec![all, span_of(&chunks, index[1])]);
        vec![(0, Region::all(&[high, wide + 1])), (1, own)]
    };
    let make = move |given: Vec<Tile>, _: &ChunkIndex| -> Result<Tile, BoxError> {
        dispatch_wide!(dtype, T => {
            let order = order_of::<T>(&given[0]);
            let tile = in_order::<T>(&order, &given[1]);
            let columns = tile.shape()[1];
            let shape = tile.shape().clone();
            let mut values = tile.into_array::<T>()?.into_raw_vec_and_offset().0;
            let factors = matrix::<T>(&given[0]).matrix();
            let (top, below) = factors.subcols(0, wide).split_at_row(wide);
            let (upper, lower) = values.split_at_mut(wide * columns);
            let mut upper = MatMut::from_row_major_slice_mut(upper, wide, columns);
            triangular_solve::solve_unit_lower_triangular_in_place(top, upper.as_mut(), Par::Seq);
            let lower = MatMut::from_row_major_slice_mut(lower, high - wide, columns);
            matmul(lower, Accum::Add, below, upper.as_ref(), T::of(-1.0), Par::Seq);
            Ok(Tile::dense(<T as crate::Element>::wrap(values), shape))
        })
    };
    let grid = ChunkGrid::new(vec![AxisGrid::regular(high, high), axis]);
    let working = high * wide * dtype.bytes();
    Array::of_parts("lu", &[panel, rest], dtype, grid, working, reads, make)
}
