//! Chunks that are made of any parts of other arrays: products, factors and transforms say
//! for each of their chunks what they read, and what they make of it.

use std::{collections::BTreeSet, fmt};

use super::BoxError;
use crate::{
    device::parts::MakesThere, dtype::DType, error::ArrayError, execute::program::Program,
    grid::ChunkGrid, region::Region, shape::ChunkIndex, tile::Tile,
};

/// Which parts of which inputs a chunk needs: the input's position, and the part.
pub(crate) type ReadsFn = Box<dyn Fn(&ChunkIndex) -> Vec<(usize, Region)> + Send + Sync>;

/// The chunk that the parts make, in the order in which they were asked for.
pub(crate) type MakeFn =
    Box<dyn Fn(Vec<Tile>, &ChunkIndex) -> Result<Tile, BoxError> + Send + Sync>;

/// An operation by chunks. Each chunk is one task, and no part is empty.
pub(crate) struct Parts {
    pub(crate) name: &'static str,
    pub(crate) reads: ReadsFn,
    pub(crate) make: MakeFn,
    /// Bytes that making the largest chunk takes, beside what it reads and gives.
    pub(crate) working: usize,
    /// How a device makes it, where one can.
    pub(crate) there: Option<Box<dyn MakesThere>>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Parts {
    /// A chunk, whose shape and type are tested: what is made here is read by others without
    /// another look.
    pub(crate) fn tile(
        &self,
        given: Vec<Tile>,
        index: &ChunkIndex,
        grid: &ChunkGrid,
        dtype: DType,
    ) -> Result<Tile, BoxError> {
        let tile = (self.make)(given, index)?;
        let shape = grid.chunk_shape(index);
        if tile.dtype() == dtype && tile.shape().as_slice() == shape.as_slice() {
            return Ok(tile);
        }
        Err(Box::new(ArrayError::Chunk {
            operation: self.name,
            chunk: index.as_slice().to_vec(),
            expected: format!("{dtype} of shape {shape}"),
            got: format!("{} of shape {}", tile.dtype(), tile.shape()),
        }))
    }

    /// Bytes that the largest task holds beside its inputs' tiles and its result: its own, and
    /// the parts that are computed or put together for it.
    pub(crate) fn working_bytes(
        &self,
        grid: &ChunkGrid,
        tiles: &BTreeSet<usize>,
        inputs: &[Program],
    ) -> u64 {
        let of_tile = |&tile: &usize| {
            let reads = (self.reads)(&grid.index_of(tile)).into_iter();
            reads.map(|(input, region)| inputs[input].held_bytes(&region)).sum::<usize>()
        };
        (self.working + tiles.iter().map(of_tile).max().unwrap_or(0)) as u64
    }
}
