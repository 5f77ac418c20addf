//! Parts of arrays: slices with steps of either sign, single positions, new axes, chosen
//! positions, and masks.

use super::Array;
use crate::{
    error::{ArrayError, Result},
    expr::Op,
    grid::{AxisGrid, ChunkGrid},
    region::{AxisMap, Span, ViewMap},
    shape::ArrayShape,
};

/// What is taken along an axis. Numbers and ranges convert to it; negative ones count from
/// the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// One position; the axis is gone.
    At(i64),
    /// Every `step`-th position from `start` to before `stop`, as Python's slices: bounds
    /// beyond the axis are cut, missing ones are the ends.
    Slice {
        /// The first position.
        start: Option<i64>,
        /// The position before which it ends.
        stop: Option<i64>,
        /// The distance; negative to go backwards, not 0.
        step: i64,
    },
    /// All positions.
    All,
    /// A new axis of length 1.
    NewAxis,
    /// All positions of as many axes as the other indices leave.
    Ellipsis,
}

impl Index {
    /// The same range with another distance between positions.
    #[must_use]
    pub fn step(self, step: i64) -> Self {
        match self {
            Self::Slice { start, stop, .. } => Self::Slice { start, stop, step },
            Self::All => Self::Slice { start: None, stop: None, step },
            other => other,
        }
    }
}

impl From<i64> for Index {
    fn from(at: i64) -> Self {
        Self::At(at)
    }
}

impl From<std::ops::Range<i64>> for Index {
    fn from(r: std::ops::Range<i64>) -> Self {
        Self::Slice { start: Some(r.start), stop: Some(r.end), step: 1 }
    }
}

impl From<std::ops::RangeFrom<i64>> for Index {
    fn from(r: std::ops::RangeFrom<i64>) -> Self {
        Self::Slice { start: Some(r.start), stop: None, step: 1 }
    }
}

impl From<std::ops::RangeTo<i64>> for Index {
    fn from(r: std::ops::RangeTo<i64>) -> Self {
        Self::Slice { start: None, stop: Some(r.end), step: 1 }
    }
}

impl From<std::ops::RangeFull> for Index {
    fn from(_: std::ops::RangeFull) -> Self {
        Self::All
    }
}

/// The positions of a slice of an axis.
pub(super) fn span(start: Option<i64>, stop: Option<i64>, step: i64, len: usize) -> Span {
    let n = len as i64;
    // The lowest and highest place that a bound may have.
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let bound = |at: i64| (if at < 0 { at + n } else { at }).clamp(low, high);
    let start = start.map_or(if step > 0 { low } else { high }, bound);
    let stop = stop.map_or(if step > 0 { high } else { low }, bound);
    let distance = if step > 0 { stop - start } else { start - stop };
    let steps = step.unsigned_abs();
    let count = (distance.max(0) as u64).div_ceil(steps);
    Span::new(if count > 0 { start as usize } else { 0 }, step as isize, count as usize)
}

/// A position that may be counted from the end.
pub(super) fn position(
    operation: &'static str,
    index: i64,
    axis: usize,
    len: usize,
) -> Result<usize> {
    let at = if index < 0 { index + len as i64 } else { index };
    let at = usize::try_from(at).ok().filter(|&a| a < len);
    at.ok_or(ArrayError::Index { operation, index, axis, len })
}

impl Array {
    /// The part that these indices take, axis by axis; axes without one are taken whole.
    ///
    /// ```
    /// use windlass_array::{Array, Index};
    ///
    /// let x = Array::arange(0, 12, 1)?.reshape([3, 4])?;
    /// let last_column_backwards = x.index(&[Index::All.step(-1), Index::At(-1)])?;
    /// assert_eq!(last_column_backwards.compute::<i64>()?.as_slice(), Some(&[11, 7, 3][..]));
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If there are more indices than axes, a position is beyond its axis, a step is 0, or
    /// there are two ellipses.
    pub fn index(&self, indices: &[Index]) -> Result<Self> {
        let used = indices.iter().filter(|i| !matches!(i, Index::NewAxis | Index::Ellipsis));
        let used = used.count();
        let ellipses = indices.iter().filter(|i| **i == Index::Ellipsis).count();
        if used > self.rank() {
            return Err(ArrayError::TooManyIndices { got: used, rank: self.rank() });
        }
        if ellipses > 1 {
            return Err(ArrayError::Argument {
                operation: "index",
                argument: "indices",
                expected: "at most one ellipsis".into(),
                got: ellipses.to_string(),
            });
        }
        let rest = std::iter::repeat_n(Index::All, self.rank() - used);
        let mut all = Vec::with_capacity(indices.len() + rest.len());
        for index in indices {
            match index {
                Index::Ellipsis => all.extend(rest.clone()),
                other => all.push(*other),
            }
        }
        if ellipses == 0 {
            all.extend(rest);
        }
        let (mut axes, mut grid) = (Vec::with_capacity(self.rank()), Vec::new());
        for index in all {
            let axis = axes.len();
            match index {
                Index::NewAxis => grid.push(AxisGrid::regular(1, 1)),
                Index::At(at) => {
                    let start = position("index", at, axis, self.shape()[axis])?;
                    axes.push(AxisMap { from: None, start, step: 1 });
                }
                Index::Slice { step: 0, .. } => {
                    return Err(ArrayError::Argument {
                        operation: "index",
                        argument: "step",
                        expected: "other than 0".into(),
                        got: "0".into(),
                    });
                }
                index => {
                    let (start, stop, step) = match index {
                        Index::Slice { start, stop, step } => (start, stop, step),
                        _ => (None, None, 1),
                    };
                    let span = span(start, stop, step, self.shape()[axis]);
                    axes.push(AxisMap {
                        from: Some(grid.len()),
                        start: span.start,
                        step: span.step,
                    });
                    grid.push(self.chunks().axes()[axis].sliced(span));
                }
            }
        }
        Ok(self.view(ViewMap { axes }, ChunkGrid::new(grid)))
    }

    /// The part of one axis that an index takes.
    ///
    /// # Errors
    /// As [`Array::index`], and for an axis out of range.
    pub fn index_axis(&self, axis: isize, index: impl Into<Index>) -> Result<Self> {
        let axis = self.shape().axis(axis, "index_axis")?;
        let mut indices = vec![Index::All; axis];
        indices.push(index.into());
        self.index(&indices)
    }

    /// The elements at chosen positions along an axis, in that order; a position may come
    /// more than once, and negative ones count from the end.
    ///
    /// # Errors
    /// If the axis or a position is out of range.
    pub fn take(&self, indices: &[i64], axis: isize) -> Result<Self> {
        let axis = self.shape().axis(axis, "take")?;
        let len = self.shape()[axis];
        let found: Vec<usize> =
            indices.iter().map(|&i| position("take", i, axis, len)).collect::<Result<_>>()?;
        Ok(self.take_positions(axis, found))
    }

    fn take_positions(&self, axis: usize, indices: Vec<usize>) -> Self {
        let mut grid = self.chunks().axes().to_vec();
        grid[axis] = AxisGrid::regular(indices.len(), grid[axis].largest());
        let op = Op::Take { axis, indices: indices.into() };
        Self::of(op, vec![self.node()], self.dtype(), ChunkGrid::new(grid))
    }

    /// The positions along an axis at which a mask of rank 1 is not zero. How many each chunk
    /// has is computed now, since the shape of the result depends on it; the mask is computed
    /// again with the result.
    ///
    /// # Errors
    /// If the axis is out of range, the mask is not as long as the axis, or computing it
    /// fails.
    pub fn compress(&self, mask: &Self, axis: isize) -> Result<Self> {
        let axis = self.shape().axis(axis, "compress")?;
        let expected = ArrayShape::from([self.shape()[axis]]);
        check_mask("compress", &expected, mask.shape())?;
        self.masked(mask, axis)
    }

    /// The elements where a mask of the same shape is not zero, as rank 1. How many each
    /// chunk has is computed now, since the shape of the result depends on it; the mask is
    /// computed again with the result.
    ///
    /// # Errors
    /// If the shapes differ, or computing the mask fails.
    pub fn mask(&self, mask: &Self) -> Result<Self> {
        check_mask("mask", self.shape(), mask.shape())?;
        self.ravel()?.masked(&mask.ravel()?, 0)
    }
}

fn check_mask(operation: &'static str, expected: &ArrayShape, got: &ArrayShape) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(ArrayError::Shape {
        operation,
        expected: format!("a mask of shape {expected}"),
        got: got.to_string(),
    })
}
