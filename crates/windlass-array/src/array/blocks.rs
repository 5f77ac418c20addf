//! Users' functions of chunks.

use std::sync::Arc;

use super::Array;
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    expr::{BoxError, Op},
    shape::ChunkIndex,
    tile::Tile,
};

impl Array {
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
        let inputs = arrays.iter().map(|a| a.node()).collect();
        let op = Op::Blocks(Arc::new(function));
        Ok(Self::of(op, inputs, dtype, first.chunks().clone()))
    }
}
