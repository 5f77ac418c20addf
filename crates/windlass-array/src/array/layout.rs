//! The same elements in other places and shapes: none is computed, and none is copied until
//! a tile needs it.

use super::{Array, index::Index};
use crate::{
    error::{ArrayError, Result},
    expr::Op,
    grid::{AxisGrid, ChunkGrid},
    region::{AxisMap, ViewMap},
    shape::{ArrayShape, resolve_axis},
};

impl Array {
    /// The axes in another order: axis `i` of the result is axis `order[i]` of this.
    ///
    /// # Errors
    /// If the order is not one of all axes.
    pub fn permute(&self, order: &[isize]) -> Result<Self> {
        if order.len() != self.rank() {
            return Err(ArrayError::Shape {
                operation: "transpose",
                expected: format!("an order of {} axes", self.rank()),
                got: format!("{order:?}"),
            });
        }
        self.shape().axes(order, "transpose")?;
        let order: Vec<usize> =
            order.iter().map(|&a| self.shape().axis(a, "transpose")).collect::<Result<_>>()?;
        Ok(self.reordered(&order))
    }

    fn reordered(&self, order: &[usize]) -> Self {
        let mut axes = vec![AxisMap { from: None, start: 0, step: 1 }; self.rank()];
        for (to, &from) in order.iter().enumerate() {
            axes[from].from = Some(to);
        }
        let grid = order.iter().map(|&a| self.chunks().axes()[a].clone()).collect();
        self.view(ViewMap { axes }, ChunkGrid::new(grid))
    }

    /// The axes in reverse.
    #[must_use]
    pub fn transpose(&self) -> Self {
        let order: Vec<usize> = (0..self.rank()).rev().collect();
        self.reordered(&order)
    }

    /// As [`Array::transpose`].
    #[must_use]
    pub fn t(&self) -> Self {
        self.transpose()
    }

    /// Two axes in each other's place.
    ///
    /// # Errors
    /// If one is out of range.
    pub fn swapaxes(&self, a: isize, b: isize) -> Result<Self> {
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.swap(self.shape().axis(a, "swapaxes")?, self.shape().axis(b, "swapaxes")?);
        Ok(self.reordered(&order))
    }

    /// Axes at other places, the rest in their order.
    ///
    /// # Errors
    /// If an axis is out of range or named twice, or there are not as many of both.
    pub fn moveaxis(&self, from: &[isize], to: &[isize]) -> Result<Self> {
        if from.len() != to.len() {
            return Err(ArrayError::Shape {
                operation: "moveaxis",
                expected: format!("{} places", from.len()),
                got: format!("{to:?}"),
            });
        }
        let moved = self.shape().axes(from, "moveaxis")?;
        self.shape().axes(to, "moveaxis")?;
        let mut order = vec![None; self.rank()];
        for (&f, &t) in from.iter().zip(to) {
            order[self.shape().axis(t, "moveaxis")?] = Some(self.shape().axis(f, "moveaxis")?);
        }
        let mut rest = (0..self.rank()).filter(|a| !moved.contains(a));
        let order: Vec<usize> =
            order.into_iter().filter_map(|a| a.or_else(|| rest.next())).collect();
        Ok(self.reordered(&order))
    }

    /// The elements in order under another shape. One length may be -1: what is left.
    ///
    /// # Errors
    /// If the shape has another number of elements.
    pub fn reshape_to(&self, lens: &[isize]) -> Result<Self> {
        let known = lens.iter().filter_map(|&n| usize::try_from(n).ok());
        let known = known.fold(1_usize, usize::saturating_mul);
        let open = lens.iter().filter(|n| **n < 0).count();
        let wrong = || ArrayError::Shape {
            operation: "reshape",
            expected: format!("a shape of {} elements", self.size()),
            got: format!("{lens:?}"),
        };
        let fits = match open {
            0 => known == self.size(),
            1 => known > 0 && self.size().is_multiple_of(known) && lens.iter().all(|n| *n >= -1),
            _ => false,
        };
        if !fits {
            return Err(wrong());
        }
        let len = |&n: &isize| usize::try_from(n).unwrap_or(self.size() / known.max(1));
        Ok(self.reshaped(ArrayShape::new(lens.iter().map(len).collect::<Vec<_>>())))
    }

    /// The elements in order under another shape.
    ///
    /// # Errors
    /// If the shape has another number of elements.
    pub fn reshape(&self, shape: impl Into<ArrayShape>) -> Result<Self> {
        let shape = shape.into();
        if shape.size() != self.size() {
            return Err(ArrayError::Shape {
                operation: "reshape",
                expected: format!("a shape of {} elements", self.size()),
                got: shape.to_string(),
            });
        }
        Ok(self.reshaped(shape))
    }

    fn reshaped(&self, shape: ArrayShape) -> Self {
        if shape == *self.shape() {
            return self.clone();
        }
        let grid = reshaped_grid(self.chunks(), &shape);
        Self::of(Op::Reshape, vec![self.node()], self.dtype(), grid)
    }

    /// The elements in order as rank 1.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn ravel(&self) -> Result<Self> {
        self.reshape([self.size()])
    }

    /// Without its axes of length 1.
    #[must_use]
    pub fn squeeze(&self) -> Self {
        let index = self.shape().as_slice().iter().map(|&n| match n {
            1 => Index::At(0),
            _ => Index::All,
        });
        let index: Vec<Index> = index.collect();
        // Position 0 of an axis of length 1 is there.
        self.index(&index).unwrap_or_else(|e| unreachable!("{e}"))
    }

    /// Without these axes, which have length 1.
    ///
    /// # Errors
    /// If an axis is out of range, named twice, or not of length 1.
    pub fn squeeze_axes(&self, axes: &[isize]) -> Result<Self> {
        let axes = self.shape().axes(axes, "squeeze")?;
        let mut index = vec![Index::All; self.rank()];
        for a in axes {
            if self.shape()[a] != 1 {
                return Err(ArrayError::Shape {
                    operation: "squeeze",
                    expected: format!("length 1 of axis {a}"),
                    got: self.shape().to_string(),
                });
            }
            index[a] = Index::At(0);
        }
        self.index(&index)
    }

    /// With a new axis of length 1, which has that place in the result.
    ///
    /// # Errors
    /// If the place is out of range.
    pub fn expand_dims(&self, axis: isize) -> Result<Self> {
        let axis = resolve_axis(axis, self.rank() + 1, "expand_dims")?;
        let mut index = vec![Index::All; axis];
        index.push(Index::NewAxis);
        self.index(&index)
    }

    /// With the order along some axes turned.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn flip(&self, axes: &[isize]) -> Result<Self> {
        let axes = self.shape().axes(axes, "flip")?;
        let mut index = vec![Index::All; self.rank()];
        axes.into_iter().for_each(|a| index[a] = Index::All.step(-1));
        self.index(&index)
    }

    /// The elements along an axis moved by so many places, those beyond the end to the front.
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn roll(&self, by: i64, axis: isize) -> Result<Self> {
        let at = self.shape().axis(axis, "roll")?;
        let n = self.shape()[at] as i64;
        let by = if n == 0 { 0 } else { by.rem_euclid(n) };
        if by == 0 {
            return Ok(self.clone());
        }
        let (head, tail) = (self.index_axis(axis, ..n - by)?, self.index_axis(axis, n - by..)?);
        Self::concatenate(&[&tail, &head], axis)
    }

    /// Each element so many times in a row along an axis.
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn repeat(&self, times: usize, axis: isize) -> Result<Self> {
        let axis = self.shape().axis(axis, "repeat")?;
        let mut wide = self.shape().as_slice().to_vec();
        wide.insert(axis + 1, times);
        let mut shape = self.shape().as_slice().to_vec();
        shape[axis] *= times;
        self.expand_dims(axis as isize + 1)?.broadcast_to(wide)?.reshape(shape)
    }

    /// The whole array so many times along each axis; axes that it lacks are new in front.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn tile(&self, times: &[usize]) -> Result<Self> {
        let rank = self.rank().max(times.len());
        let padded = |of: &[usize]| [&vec![1; rank - of.len()], of].concat();
        let (lens, times) = (padded(self.shape().as_slice()), padded(times));
        let (mut split, mut wide, mut shape) = (Vec::new(), Vec::new(), Vec::new());
        for (&n, &t) in lens.iter().zip(&times) {
            split.extend([1, n]);
            wide.extend([t, n]);
            shape.push(t * n);
        }
        self.reshape(split)?.broadcast_to(wide)?.reshape(shape)
    }
}

/// Chunks of a reshaped array: as large as the old ones, or the chosen size, the first axes
/// cut first.
fn reshaped_grid(old: &ChunkGrid, shape: &ArrayShape) -> ChunkGrid {
    let mut room: usize = old.largest().as_slice().iter().product::<usize>().max(1);
    let mut axes = Vec::with_capacity(shape.rank());
    for &n in shape.as_slice().iter().rev() {
        let chunk = n.clamp(1, room);
        room = (room / chunk).max(1);
        axes.push(AxisGrid::regular(n, chunk));
    }
    axes.reverse();
    ChunkGrid::new(axes)
}
