//! Blocks and windows of elements along axes.

use super::{Array, reduce::Axes};
use crate::{
    error::{ArrayError, Result},
    expr::{
        BoxError,
        regions::{OfChunks, OfRegions},
    },
    grid::{AxisGrid, ChunkGrid},
    region::{Region, Span},
    shape::ArrayShape,
    tile::Tile,
};

fn wrong(operation: &'static str, expected: impl Into<String>, got: impl ToString) -> ArrayError {
    ArrayError::Shape { operation, expected: expected.into(), got: got.to_string() }
}

impl Array {
    /// A reduction of blocks of so many elements along some axes: Dask's `coarsen`. What is
    /// left at the end of an axis is cut with `trim`.
    ///
    /// ```
    /// use windlass_array::Array;
    ///
    /// let x = Array::arange(0, 7, 1)?;
    /// let pairs = x.coarsen(&[(0, 2)], true, |x, axes| x.sum(axes))?;
    /// assert_eq!(pairs.compute::<i64>()?.into_raw_vec_and_offset().0, [1, 5, 9]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If an axis is out of range or named twice, a factor is 0 or, without `trim`, no divisor
    /// of the axis's length; and those of the reduction.
    pub fn coarsen(
        &self,
        factors: &[(isize, usize)],
        trim: bool,
        reduction: impl FnOnce(&Self, Axes) -> Result<Self>,
    ) -> Result<Self> {
        let named: Vec<isize> = factors.iter().map(|f| f.0).collect();
        self.shape().axes(&named, "coarsen")?;
        let mut own = vec![1; self.rank()];
        for (axis, factor) in factors {
            own[self.shape().axis(*axis, "coarsen")?] = *factor;
        }
        let (mut index, mut split, mut axes) = (Vec::new(), Vec::new(), Vec::new());
        for (&n, &k) in self.shape().as_slice().iter().zip(&own) {
            if k == 0 || (!trim && n % k != 0) {
                return Err(wrong("coarsen", format!("divisors of shape {}", self.shape()), k));
            }
            index.push((0..(n / k * k) as i64).into());
            split.push(n / k);
            if k > 1 {
                axes.push(split.len() as isize);
                split.push(k);
            }
        }
        reduction(&self.index(&index)?.reshape(split)?, Axes::from(axes))
    }

    /// All windows of so many elements along some axes: their positions stay along those, the
    /// elements of each window are along new axes at the end. Each window's elements are
    /// copied where they are needed: a reduction of windows reads as much memory as there are
    /// windows.
    ///
    /// # Errors
    /// If an axis is out of range, there is not one length for each, or a window is longer
    /// than its axis.
    pub fn sliding_window_view(&self, windows: &[usize], axes: &[isize]) -> Result<Self> {
        let operation = "sliding_window_view";
        if windows.len() != axes.len() {
            return Err(wrong(operation, format!("{} lengths", axes.len()), windows.len()));
        }
        let axes: Vec<usize> =
            axes.iter().map(|&a| self.shape().axis(a, operation)).collect::<Result<_>>()?;
        let rank = self.rank();
        let mut grid = self.chunks().axes().to_vec();
        for (&n, &axis) in windows.iter().zip(&axes) {
            let len = grid[axis].len();
            if n == 0 || n > len {
                return Err(wrong(operation, format!("windows of 1 to {len}"), n));
            }
            grid[axis] = grid[axis].sliced(Span::new(0, 1, len - n + 1));
        }
        grid.extend(windows.iter().map(|&n| AxisGrid::regular(n, n)));
        let own = axes.clone();
        let op = OfRegions(OfChunks {
            name: operation,
            reads: move |region: &Region| {
                let mut read = region.axes[..rank].to_vec();
                for (window, &axis) in region.axes[rank..].iter().zip(&own) {
                    let span = read[axis];
                    let begin = span.start + window.start;
                    read[axis] = Span::new(begin, 1, span.len + window.len - 1);
                }
                vec![(0, Region::new(read))]
            },
            make: move |region: &Region, tiles: &[Tile]| {
                let mut strides = tiles[0].strides().to_vec();
                let windows: Vec<isize> = axes.iter().map(|&a| strides[a]).collect();
                strides.extend(windows);
                let shape = ArrayShape::new(region.lens());
                Ok::<_, BoxError>(tiles[0].with_layout(tiles[0].offset(), shape, strides))
            },
        });
        Ok(Self::regions(op, &[self], self.dtype(), ChunkGrid::new(grid)))
    }
}
