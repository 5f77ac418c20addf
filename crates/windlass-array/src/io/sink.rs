//! Where elements are put away.

use crate::{expr::BoxError, grid::ChunkGrid, region::Region, tile::Tile};

/// Takes an array's tiles, in any order and from several threads.
pub(crate) trait Sink: Send + Sync {
    /// The tiles that it takes: each is whole chunks of what is written.
    fn grid(&self) -> &ChunkGrid;

    /// Bytes that are held beside a tile while it is written.
    fn working_bytes(&self) -> u64;

    /// Writes a tile of the grid. Written again, as after a failure, it is the same.
    fn write(&self, region: &Region, tile: &Tile) -> Result<(), BoxError>;

    /// Makes what was written an array under its final name.
    fn finish(&self) -> Result<(), BoxError>;
}
