//! Operations on each matrix of a stack: the last two axes of an array, of which each matrix
//! lies whole in one task's memory. What an operation gives for a matrix lies packed in a row,
//! so that several results come of one task; each of them is a view of the rows.

use faer::MatRef;

use super::{field::Field, product::Strided, tiling::lanes};
use crate::{
    Array,
    error::{ArrayError, Result},
    expr::BoxError,
    grid::{AxisGrid, ChunkGrid},
    region::{Region, Span},
    shape::{ArrayShape, ChunkIndex, each_index},
    tile::Tile,
};

/// What is wrong with a matrix.
pub(crate) type Problem = String;

/// What an operation makes of the matrices of its inputs at one place of the stack. The last
/// argument says whether no other task runs beside it.
pub(crate) trait Make<T>:
    Fn(&[MatRef<'_, T>], &mut [T], bool) -> Result<(), Problem> + Send + Sync + 'static
{
}

impl<T, F> Make<T> for F where
    F: Fn(&[MatRef<'_, T>], &mut [T], bool) -> Result<(), Problem> + Send + Sync + 'static
{
}

/// The lengths of the axes in front of an array's matrices.
pub(crate) fn lead(array: &Array) -> &[usize] {
    let lens = array.shape().as_slice();
    &lens[..lens.len() - 2]
}

/// Rows and columns of an array's matrices.
///
/// # Errors
/// If it has less than two axes.
pub(crate) fn sides(operation: &'static str, array: &Array) -> Result<(usize, usize)> {
    match array.shape().as_slice() {
        [.., rows, columns] => Ok((*rows, *columns)),
        _ => Err(ArrayError::Shape {
            operation,
            expected: "an array of rank 2 or more: matrices in the last two axes".into(),
            got: array.shape().to_string(),
        }),
    }
}

/// The side of an array's square matrices.
///
/// # Errors
/// If they are not square.
pub(crate) fn side(operation: &'static str, array: &Array) -> Result<usize> {
    match sides(operation, array)? {
        (rows, columns) if rows == columns => Ok(rows),
        _ => Err(ArrayError::Shape {
            operation,
            expected: "square matrices in the last two axes".into(),
            got: array.shape().to_string(),
        }),
    }
}

/// Rows of `len` elements, one for each matrix of arrays of type `T` with the same axes in
/// front: `working` are the elements that making one takes.
pub(crate) fn packed<T: Field>(
    operation: &'static str,
    inputs: &[&Array],
    len: usize,
    working: usize,
    make: impl Make<T>,
) -> Array {
    let first = inputs[0];
    let stack = lead(first).to_vec();
    let bytes = T::DTYPE.bytes();
    let axes = lanes(first.chunks(), &[stack.len(), stack.len() + 1], bytes).axes().to_vec();
    let axes = axes[..stack.len()].iter().cloned().chain([AxisGrid::regular(len, len)]);
    let grid = ChunkGrid::new(axes.collect());
    let alone = grid.count() == 1;
    let whole: Vec<(usize, usize)> =
        inputs.iter().map(|a| (a.shape()[stack.len()], a.shape()[stack.len() + 1])).collect();
    let chunks = grid.clone();
    let reads = move |index: &ChunkIndex| {
        let place = chunks.region(index.as_slice()).axes;
        let part = |(i, (rows, columns)): (usize, &(usize, usize))| {
            let mut axes = place[..place.len() - 1].to_vec();
            axes.extend([Span::new(0, 1, *rows), Span::new(0, 1, *columns)]);
            (i, Region::new(axes))
        };
        whole.iter().enumerate().map(part).collect()
    };
    let chunks = grid.clone();
    let make = move |given: Vec<Tile>, index: &ChunkIndex| -> Result<Tile, BoxError> {
        let shape = chunks.chunk_shape(index);
        let lens = &shape.as_slice()[..shape.rank() - 1];
        let mut all = crate::memory::zeros::<T>(lens.iter().product::<usize>() * len);
        let mut rows = all.chunks_exact_mut(len);
        let mut failed = None;
        each_index(lens, |at| {
            let Some(to) = rows.next() else { return };
            let matrices: Vec<MatRef<'_, T>> = given.iter().map(|t| at_place(t, at)).collect();
            if let (Err(problem), None) = (make(&matrices, to, alone), &failed) {
                let begin = chunks.region(index.as_slice()).axes;
                let place: Vec<usize> = at.iter().zip(&begin).map(|(i, s)| i + s.start).collect();
                failed = Some((place, problem));
            }
        });
        match failed {
            None => Ok(Tile::dense(T::wrap(all), ArrayShape::new(shape.as_slice()))),
            Some((place, problem)) => {
                let matrix =
                    if place.is_empty() { String::new() } else { format!(" of matrix {place:?}") };
                Err(Box::new(ArrayError::Matrix { operation, matrix, problem }))
            }
        }
    };
    Array::of_parts(operation, inputs, T::DTYPE, grid, working * bytes, reads, make)
}

/// The matrix of a tile at a place of the stack.
fn at_place<'a, T: Field>(tile: &'a Tile, at: &[usize]) -> MatRef<'a, T> {
    let (steps, lens) = (tile.strides(), tile.shape().as_slice());
    let moved: isize = at.iter().zip(steps).map(|(&i, s)| i as isize * s).sum();
    let n = at.len();
    let (rows, columns, row_stride, column_stride) = (lens[n], lens[n + 1], steps[n], steps[n + 1]);
    let offset = (tile.offset() as isize + moved) as usize;
    Strided { values: tile.buf().typed::<T>(), offset, rows, columns, row_stride, column_stride }
        .matrix()
}

/// A result that stands in the rows of [`packed`] from `from` on, with those axes for each
/// matrix.
///
/// # Errors
/// None: what is asked for is there.
pub(crate) fn unpacked(rows: &Array, from: usize, axes: &[usize]) -> Result<Array> {
    let last = rows.rank() - 1;
    let len: usize = axes.iter().product();
    let shape = [&rows.shape().as_slice()[..last], axes].concat();
    let part = rows.index_axis(last as isize, from as i64..(from + len) as i64)?;
    let found = part.reshape(shape)?;
    // Each matrix in one chunk.
    let whole = axes.iter().map(|&n| AxisGrid::regular(n, n));
    let own = rows.chunks().axes()[..last].iter().cloned().chain(whole);
    Ok(found.regrid(ChunkGrid::new(own.collect())))
}
