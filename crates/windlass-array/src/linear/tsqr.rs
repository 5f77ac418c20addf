//! QR factors of a matrix of more rows than a task takes: each chunk of rows is factored, then
//! the stacked factors R of some chunks, and so on in a tree to one R. Q is made from the top
//! down, chunk by chunk, of the reflections that each step kept: [`super::tall`].

use std::sync::Arc;

use faer::Par;

use super::{
    field::{Field, dispatch_field, threads},
    product::Strided,
    tall::{Layout, apply, factor},
    tiling::{resized, span_of, task_bytes},
};
use crate::{
    Array, DType,
    element::Element,
    expr::BoxError,
    grid::{AxisGrid, ChunkGrid},
    region::{Region, Span},
    shape::{ArrayShape, ChunkIndex},
    tile::Tile,
};

/// Elements of the factors R that one task stacks (a stated guess: 32 MiB of 8 bytes).
const STACKED: usize = 4 << 20;

/// The factors of the chunks of one height of the tree, one behind the other.
struct Level {
    /// Rank 1: a chunk for each.
    packed: Array,
    /// The rows of each.
    rows: Arc<Vec<Layout>>,
    heights: Arc<Vec<usize>>,
}

/// The QR factors of a matrix with at least as many rows as columns.
pub(crate) struct Tall {
    name: &'static str,
    dtype: DType,
    columns: usize,
    rows: AxisGrid,
    /// Of the matrix first; the last one has one chunk.
    levels: Vec<Level>,
}

/// The matrix of a tile of two axes.
pub(crate) fn matrix<T: Field>(tile: &Tile) -> Strided<'_, T> {
    Strided {
        values: tile.buf().typed::<T>(),
        offset: tile.offset(),
        rows: tile.shape()[0],
        columns: tile.shape()[1],
        row_stride: tile.strides()[0],
        column_stride: tile.strides()[1],
    }
}

/// A tile of rank 1.
fn line<T: Field>(values: Vec<T>) -> Tile {
    let shape = ArrayShape::new([values.len()]);
    Tile::dense(T::wrap(values), shape)
}

/// Ones on the diagonal.
fn identity<T: Field>(n: usize) -> Vec<T> {
    (0..n * n).map(|i| T::of(f64::from(i % (n + 1) == 0))).collect()
}

/// The elements of a tile whose last axis is the fastest.
pub(crate) fn dense<T: Field>(tile: &Tile) -> &[T] {
    &tile.buf().typed::<T>()[tile.offset()..][..tile.shape().size()]
}

/// Chunks of at least that many rows.
fn at_least(axis: &AxisGrid, rows: usize) -> AxisGrid {
    let (mut ends, mut last) = (Vec::new(), 0);
    for i in 0..axis.count() {
        let end = axis.bounds(i).1;
        if end - last >= rows {
            ends.push(end);
            last = end;
        }
    }
    if ends.is_empty() {
        ends.push(0);
    }
    // What is left at the end goes to the last chunk.
    if let Some(end) = ends.last_mut() {
        *end = axis.len();
    }
    AxisGrid::Ends(ends.into())
}

impl Tall {
    /// Of a matrix with at least as many rows as columns, and at least one column, of floats or
    /// complex numbers.
    pub(crate) fn new(name: &'static str, a: &Array) -> Self {
        let (m, n) = (a.shape()[0], a.shape()[1]);
        let element = a.dtype().bytes();
        let rows = (task_bytes(m * n * element) / (n * element)).max(n);
        let rows = at_least(&resized(&a.chunks().axes()[0], rows), n);
        let heights: Vec<usize> = (0..rows.count()).map(|i| rows.length(i)).collect();
        let (own, dtype) = (rows.clone(), a.dtype());
        let reads =
            move |i: usize| vec![(0, Region::new(vec![span_of(&own, i), Span::new(0, 1, n)]))];
        let make = move |given: &[Tile], layout: &Layout, alone: bool| {
            let work = given[0].shape().size() as f64 * n as f64;
            dispatch_field!(dtype, T => {
                line(factor::<T>(layout, matrix(&given[0]), threads(alone, work)))
            })
        };
        let mut tall = Self { name, dtype, columns: n, rows, levels: Vec::new() };
        tall.push(a, heights, reads, make);
        while tall.top().heights.len() > 1 {
            tall.stack();
        }
        tall
    }

    fn top(&self) -> &Level {
        self.levels.last().expect("a level")
    }

    /// A level whose chunks have those rows.
    fn push(
        &mut self,
        of: &Array,
        heights: Vec<usize>,
        reads: impl Fn(usize) -> Vec<(usize, Region)> + Send + Sync + 'static,
        make: impl Fn(&[Tile], &Layout, bool) -> Tile + Send + Sync + 'static,
    ) {
        let n = self.columns;
        let rows: Arc<Vec<Layout>> = Arc::new(heights.iter().map(|&h| Layout::new(h, n)).collect());
        let lens: Vec<usize> = rows.iter().map(Layout::len).collect();
        let grid = ChunkGrid::new(vec![AxisGrid::lengths(&lens)]);
        let (own, alone) = (Arc::clone(&rows), heights.len() == 1 && self.levels.is_empty());
        let working = 4 * n * 64 * self.dtype.bytes();
        let packed = Array::of_parts(
            self.name,
            &[of],
            self.dtype,
            grid,
            working,
            move |index| reads(index[0]),
            move |given, index: &ChunkIndex| Ok(make(&given, &own[index[0]], alone)),
        );
        self.levels.push(Level { packed, rows, heights: Arc::new(heights) });
    }

    /// How many factors R a task stacks.
    fn group(&self) -> usize {
        (STACKED / (self.columns * self.columns)).clamp(2, 16)
    }

    /// The level above the top one.
    fn stack(&mut self) {
        let (n, group, dtype) = (self.columns, self.group(), self.dtype);
        let below = self.top();
        let (count, of) = (below.heights.len(), below.packed.clone());
        let groups = count.div_ceil(group);
        let within = move |i: usize| i * group..((i + 1) * group).min(count);
        let heights = (0..groups).map(|i| within(i).len() * n).collect();
        let chunks = of.chunks().clone();
        let reads = move |i: usize| {
            let r = |j: usize| {
                (0, Region::new(vec![Span::new(chunks.axes()[0].bounds(j).0, 1, n * n)]))
            };
            within(i).map(r).collect()
        };
        let make = move |given: &[Tile], layout: &Layout, _: bool| {
            dispatch_field!(dtype, T => {
                let mut all: Vec<T> = Vec::with_capacity(given.len() * n * n);
                given.iter().for_each(|r| all.extend_from_slice(dense::<T>(&r.to_dense())));
                let row_stride = n as isize;
                let rows = given.len() * n;
                let a = Strided { values: &all, offset: 0, rows, columns: n, row_stride, column_stride: 1 };
                line(factor::<T>(layout, a, Par::Seq))
            })
        };
        self.push(&of, heights, reads, make);
    }

    /// The square factor R.
    pub(crate) fn r(&self) -> Array {
        let (n, shape) = (self.columns, ArrayShape::new([self.columns; 2]));
        let reads = move |_: &ChunkIndex| vec![(0, Region::new(vec![Span::new(0, 1, n * n)]))];
        let make = move |given: Vec<Tile>, _: &ChunkIndex| -> Result<Tile, BoxError> {
            let r = given[0].to_own_memory();
            Ok(r.with_layout(r.offset(), ArrayShape::new([n, n]), vec![n as isize, 1]))
        };
        let grid = ChunkGrid::whole(&shape);
        Array::of_parts(self.name, &[&self.top().packed], self.dtype, grid, 0, reads, make)
    }

    /// Q times a matrix in one chunk, or Q itself.
    pub(crate) fn q(&self, times: Option<&Array>) -> Array {
        let columns = times.map_or(self.columns, |t| t.shape()[1]);
        let mut top = times.cloned();
        for at in (0..self.levels.len()).rev() {
            top = Some(self.applied(at, top.as_ref(), columns));
        }
        top.expect("a level")
    }

    /// The factors of a level applied to what the level above gave: `columns` of the rows that
    /// the chunks below have each, or of the matrix.
    fn applied(&self, at: usize, top: Option<&Array>, columns: usize) -> Array {
        let (level, n, dtype) = (&self.levels[at], self.columns, self.dtype);
        let rows = match at {
            0 => self.rows.clone(),
            _ => AxisGrid::lengths(&level.heights),
        };
        let grid = ChunkGrid::new(vec![rows, AxisGrid::regular(columns, columns)]);
        let chunks = level.packed.chunks().clone();
        let given_top = top.is_some();
        let reads = move |index: &ChunkIndex| {
            let mut reads = vec![(0, Region::new(vec![span_of(&chunks.axes()[0], index[0])]))];
            if given_top {
                let rows = Span::new(index[0] * n, 1, n);
                reads.push((1, Region::new(vec![rows, Span::new(0, 1, columns)])));
            }
            reads
        };
        let layouts = Arc::clone(&level.rows);
        let alone = self.levels.len() == 1;
        let make = move |given: Vec<Tile>, index: &ChunkIndex| -> Result<Tile, BoxError> {
            let layout = &layouts[index[0]];
            let factors = given[0].to_dense();
            let lens = [layout.rows(), columns];
            let par = threads(alone, factors.shape().size() as f64 * columns as f64);
            dispatch_field!(dtype, T => {
                let eye = Tile::dense(T::wrap(identity(n)), ArrayShape::new([n, n]));
                let top = matrix::<T>(given.get(1).unwrap_or(&eye));
                let values = apply::<T>(layout, dense::<T>(&factors), top, par);
                Ok(Tile::dense(T::wrap(values), ArrayShape::new(lens)))
            })
        };
        let working = level.rows.iter().map(|l| l.working(columns)).max().unwrap_or(0);
        let working = (working + n * n) * dtype.bytes();
        let inputs: Vec<&Array> = [&level.packed].into_iter().chain(top).collect();
        Array::of_parts(self.name, &inputs, dtype, grid, working, reads, make)
    }
}
