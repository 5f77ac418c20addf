//! Stream compaction.

use windlass_device::{Device, DeviceBuffer, Queue};

use crate::{
    cpu,
    error::{KernelError, Result},
    sources::{LibraryKernel, language},
};

/// Values that lie at the start of each of a buffer's tiles.
#[derive(Debug, Clone, Copy)]
pub struct Tiles<'a> {
    /// Number of tiles.
    pub tiles: u32,
    /// Values that a tile has room for.
    pub tile: u32,
    /// How many values lie before each tile (the scan of the tiles' counts), as words.
    pub offsets: &'a DeviceBuffer,
    /// Word of the first offset.
    pub first: u32,
    /// Values in all tiles.
    pub total: u32,
}

/// Copies the values of all tiles of `from` to `to` without the gaps, in order. A value is
/// `words` 32-bit words.
///
/// # Errors
/// `Invalid` when `to` is too short; the device's errors.
pub fn close_gaps(
    device: &dyn Device,
    queue: &mut dyn Queue,
    from: &DeviceBuffer,
    tiles: Tiles<'_>,
    words: u32,
    to: &DeviceBuffer,
) -> Result<()> {
    let bytes = tiles.total as usize * words as usize * 4;
    if to.len() < bytes {
        return Err(KernelError::Invalid {
            operation: "compaction",
            expected: format!("{bytes} bytes"),
            got: format!("{} bytes", to.len()),
        });
    }
    let Some(language) = language(device) else {
        let mut values = vec![0u32; from.len() / 4];
        queue.download(from, 0, bytemuck::cast_slice_mut(&mut values))?;
        let mut offsets = vec![0u32; tiles.tiles as usize + 1];
        let starts = &mut offsets[..tiles.tiles as usize];
        queue.download(
            tiles.offsets,
            tiles.first as usize * 4,
            bytemuck::cast_slice_mut(starts),
        )?;
        offsets[tiles.tiles as usize] = tiles.total;
        let tile = (tiles.tile * words) as usize;
        let out = cpu::compact::close_gaps(&values, &offsets, tile, words as usize);
        return Ok(queue.upload(to, 0, bytemuck::cast_slice(&out))?);
    };
    let kernel = device.compile(&LibraryKernel::named("close_gaps").source(language))?;
    let params = [tiles.tiles, tiles.tile, words, tiles.total, tiles.first];
    queue.launch(&kernel, tiles.tiles, &[from, tiles.offsets, to], &params)?;
    Ok(())
}
