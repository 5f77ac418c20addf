//! Users' functions of chunks.

use std::sync::Arc;

use ndarray::{ArrayView1, Axis};

use super::Array;
use crate::{
    dtype::DType,
    element::Element,
    error::{ArrayError, Result},
    expr::{BoxError, Op, parts::Parts},
    grid::{AxisGrid, ChunkGrid},
    region::Region,
    shape::ChunkIndex,
    tile::Tile,
};

impl Array {
    /// As [`Array::map_blocks`], in chunks of that grid, which are as many along the axes that
    /// an input has.
    pub(crate) fn blocks<F>(inputs: &[&Self], dtype: DType, grid: ChunkGrid, function: F) -> Self
    where
        F: Fn(&[Tile], &ChunkIndex) -> Result<Tile, BoxError> + Send + Sync + 'static,
    {
        let inputs = inputs.iter().map(|a| a.node()).collect();
        Self::of(Op::Blocks(Arc::new(function)), inputs, dtype, grid)
    }

    /// An array whose chunks are made of any parts of others, each by one task: `working` are
    /// the bytes that making the largest one takes beside what it reads and gives. The result
    /// has elements, and so has each part.
    pub(crate) fn of_parts(
        name: &'static str,
        inputs: &[&Self],
        dtype: DType,
        grid: ChunkGrid,
        working: usize,
        reads: impl Fn(&ChunkIndex) -> Vec<(usize, Region)> + Send + Sync + 'static,
        make: impl Fn(Vec<Tile>, &ChunkIndex) -> Result<Tile, BoxError> + Send + Sync + 'static,
    ) -> Self {
        let (reads, make) = (Box::new(reads), Box::new(make));
        let parts = Parts { name, reads, make, working, there: None };
        Self::made_of(parts, inputs, dtype, grid)
    }

    /// As [`Array::of_parts`], which devices may make too.
    pub(crate) fn made_of(parts: Parts, inputs: &[&Self], dtype: DType, grid: ChunkGrid) -> Self {
        let inputs = inputs.iter().map(|a| a.node()).collect();
        Self::of(Op::Parts(Arc::new(parts)), inputs, dtype, grid)
    }

    /// The same elements with an axis in one chunk, and the grid of a result that has `len`
    /// elements there.
    pub(super) fn lanes(&self, axis: usize, len: usize) -> (Self, ChunkGrid) {
        let with = |len: usize| {
            let mut axes = self.chunks().axes().to_vec();
            axes[axis] = AxisGrid::regular(len, len);
            ChunkGrid::new(axes)
        };
        (self.regrid(with(self.shape()[axis])), with(len))
    }

    /// A function of each line along an axis, which becomes one element.
    ///
    /// ```
    /// use windlass_array::Array;
    ///
    /// let x = Array::arange(0, 6, 1)?.reshape([2, 3])?;
    /// let products = x.apply_along_axis::<i64, i64>(1, |line| line.iter().product())?;
    /// assert_eq!(products.compute::<i64>()?.as_slice(), Some(&[0, 60][..]));
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If the axis is out of range, or the elements are not of type `T`.
    pub fn apply_along_axis<T: Element, R: Element>(
        &self,
        axis: isize,
        function: impl Fn(ArrayView1<'_, T>) -> R + Send + Sync + 'static,
    ) -> Result<Self> {
        let at = self.shape().axis(axis, "apply_along_axis")?;
        if self.dtype() != T::DTYPE {
            return Err(ArrayError::WrongType { have: self.dtype(), wanted: T::DTYPE });
        }
        let (whole, grid) = self.lanes(at, 1);
        let found = Self::blocks(&[&whole], R::DTYPE, grid, move |tiles, _| {
            let values = tiles[0].to_array::<T>()?;
            let results = values.map_axis(Axis(at), &function);
            Ok(Tile::from_array(results.insert_axis(Axis(at))))
        });
        found.index_axis(at as isize, 0)
    }

    /// An array whose chunks a function makes of the chunks of others: of that type, and of
    /// the shape of the first array's chunk. The arrays have as many chunks along each axis.
    /// The function is called when a chunk is needed, by several threads, and may be called
    /// again for the same chunk.
    ///
    /// ```
    /// use windlass_array::{Array, DType, Tile};
    ///
    /// let x = Array::arange(0.0, 10.0, 1.0)?.rechunk([4])?;
    /// let less_mean = Array::map_blocks(&[&x], DType::F64, |tiles, _| {
    ///     let values = tiles[0].to_array::<f64>()?;
    ///     Ok(Tile::from_array(&values - values.mean().unwrap_or_default()))
    /// })?;
    /// assert_eq!(less_mean.compute::<f64>()?[8], -0.5);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// For no array, and for arrays of other numbers of chunks.
    pub fn map_blocks<F>(arrays: &[&Self], dtype: DType, function: F) -> Result<Self>
    where
        F: Fn(&[Tile], &ChunkIndex) -> Result<Tile, BoxError> + Send + Sync + 'static,
    {
        let Some(first) = arrays.first() else {
            return Err(ArrayError::Argument {
                operation: "map_blocks",
                argument: "arrays",
                expected: "at least one".into(),
                got: "none".into(),
            });
        };
        if let Some(other) = arrays.iter().find(|a| a.grid_shape() != first.grid_shape()) {
            return Err(ArrayError::Shape {
                operation: "map_blocks",
                expected: format!("{} chunks along the axes: rechunk it", first.grid_shape()),
                got: other.grid_shape().to_string(),
            });
        }
        Ok(Self::blocks(arrays, dtype, first.chunks().clone(), function))
    }
}
