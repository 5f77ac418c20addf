//! Arrays of arrays, one behind the other or side by side, padding, and the way back.

use std::sync::Arc;

use super::Array;
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    expr::Op,
    grid::{AxisGrid, ChunkGrid},
    scalar::Scalar,
    shape::ArrayShape,
};

/// The chunks of grids one behind the other.
fn joined(grids: &[&AxisGrid]) -> AxisGrid {
    let grids: Vec<_> = grids.iter().filter(|g| !g.is_empty()).collect();
    match &grids[..] {
        [] => AxisGrid::regular(0, 1),
        [one] => (**one).clone(),
        several => {
            let (mut ends, mut before) = (Vec::new(), 0);
            for grid in several {
                ends.extend((0..grid.count()).map(|i| before + grid.bounds(i).1));
                before += grid.len();
            }
            AxisGrid::Ends(ends.into())
        }
    }
}

impl Array {
    /// Arrays one behind the other along an axis, of their common type.
    ///
    /// # Errors
    /// For no array, an axis out of range, and shapes that differ along another axis.
    pub fn concatenate(arrays: &[&Self], axis: isize) -> Result<Self> {
        let Some(first) = arrays.first() else {
            return Err(ArrayError::Argument {
                operation: "concatenate",
                argument: "arrays",
                expected: "at least one".into(),
                got: "none".into(),
            });
        };
        let axis = first.shape().axis(axis, "concatenate")?;
        for a in arrays {
            let fits = a.rank() == first.rank()
                && (0..a.rank()).all(|i| i == axis || a.shape()[i] == first.shape()[i]);
            if !fits {
                return Err(ArrayError::Shape {
                    operation: "concatenate",
                    expected: format!("shape {} but for axis {axis}", first.shape()),
                    got: a.shape().to_string(),
                });
            }
        }
        let dtype = arrays.iter().map(|a| a.dtype()).reduce(DType::promote);
        let dtype = dtype.unwrap_or(first.dtype());
        let own: Vec<&AxisGrid> = arrays.iter().map(|a| &a.chunks().axes()[axis]).collect();
        let mut grid = first.chunks().axes().to_vec();
        grid[axis] = joined(&own);
        let inputs: Vec<_> =
            arrays.iter().filter(|a| a.shape()[axis] > 0).map(|a| a.astype(dtype).node()).collect();
        if let [only] = &inputs[..] {
            return Ok(Self::from_node(Arc::clone(only)));
        }
        Ok(Self::of(Op::Concat { axis }, inputs, dtype, ChunkGrid::new(grid)))
    }

    /// Arrays of one shape along a new axis, which has that place in the result.
    ///
    /// # Errors
    /// As [`Array::concatenate`].
    pub fn stack(arrays: &[&Self], axis: isize) -> Result<Self> {
        if let Some(other) = arrays.iter().find(|a| a.shape() != arrays[0].shape()) {
            return Err(ArrayError::Shape {
                operation: "stack",
                expected: format!("shape {}", arrays[0].shape()),
                got: other.shape().to_string(),
            });
        }
        let expanded = arrays.iter().map(|a| a.expand_dims(axis)).collect::<Result<Vec<_>>>()?;
        Self::concatenate(&expanded.iter().collect::<Vec<_>>(), axis)
    }

    /// The parts of an array between positions along an axis: one more than positions.
    /// Positions beyond the axis are its end.
    ///
    /// # Errors
    /// If the axis is out of range, or a position is below the one before it.
    pub fn split_at(&self, positions: &[usize], axis: isize) -> Result<Vec<Self>> {
        let at = self.shape().axis(axis, "split")?;
        let n = self.shape()[at];
        let mut parts = Vec::with_capacity(positions.len() + 1);
        let mut begin = 0;
        for &end in positions.iter().chain([&n]) {
            let end = end.min(n);
            if end < begin {
                return Err(ArrayError::Argument {
                    operation: "split",
                    argument: "positions",
                    expected: "ascending".into(),
                    got: format!("{positions:?}"),
                });
            }
            parts.push(self.index_axis(axis, begin as i64..end as i64)?);
            begin = end;
        }
        Ok(parts)
    }

    /// So many parts of one length along an axis.
    ///
    /// # Errors
    /// If the axis is out of range, or its length is no multiple of that.
    pub fn split(&self, parts: usize, axis: isize) -> Result<Vec<Self>> {
        let n = self.shape()[self.shape().axis(axis, "split")?];
        if parts == 0 || !n.is_multiple_of(parts) {
            return Err(ArrayError::Argument {
                operation: "split",
                argument: "parts",
                expected: format!("a divisor of the axis's length {n}"),
                got: parts.to_string(),
            });
        }
        let positions: Vec<usize> = (1..parts).map(|i| i * (n / parts)).collect();
        self.split_at(&positions, axis)
    }

    /// The array with a value around it: so many elements before and behind along each axis.
    ///
    /// # Errors
    /// If there is not one pair for each axis, or the value does not fit the type.
    pub fn pad(&self, widths: &[(usize, usize)], value: impl Into<Scalar>) -> Result<Self> {
        if widths.len() != self.rank() {
            return Err(ArrayError::Shape {
                operation: "pad",
                expected: format!("{} pairs of widths", self.rank()),
                got: widths.len().to_string(),
            });
        }
        let value = value.into();
        let mut padded = self.clone();
        for (axis, &(before, behind)) in widths.iter().enumerate() {
            let fill = |n: usize, like: &Self| {
                let mut lens = like.shape().as_slice().to_vec();
                lens[axis] = n;
                Self::full_of(ArrayShape::new(lens), value, self.dtype())
            };
            let (a, b) = (fill(before, &padded)?, fill(behind, &padded)?);
            padded = Self::concatenate(&[&a, &padded, &b], axis as isize)?;
        }
        Ok(padded)
    }

    /// The differences of neighbours along an axis, so many times over; of bools whether they
    /// differ.
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn diff(&self, times: usize, axis: isize) -> Result<Self> {
        self.shape().axis(axis, "diff")?;
        let mut found = self.clone();
        for _ in 0..times {
            let (behind, before) = (found.index_axis(axis, 1..)?, found.index_axis(axis, ..-1)?);
            found = match self.dtype() {
                DType::Bool => behind.not_equal(&before)?,
                _ => behind.subtract(&before)?,
            };
        }
        Ok(found)
    }
}
