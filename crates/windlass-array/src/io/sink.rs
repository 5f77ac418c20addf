//! Where elements are put away.

use crate::{expr::BoxError, grid::ChunkGrid, region::Region, tile::Tile};

/// Takes an array's chunks, in any order and from several threads.
pub(crate) trait Sink: Send + Sync {
    /// What it takes at once.
    fn chunks(&self) -> &ChunkGrid;

    /// What a task gives it: each is several chunks.
    fn grid(&self) -> &ChunkGrid;

    /// Bytes that are held beside a chunk's elements while they are written.
    fn working_bytes(&self) -> u64;

    /// Writes a chunk. Written again, as after a failure, it is the same.
    fn write(&self, region: &Region, tile: &Tile) -> Result<(), BoxError>;

    /// Makes what was written an array under its final name.
    fn finish(&self) -> Result<(), BoxError>;
}
