//! Stream compaction.

use windlass_device::{Device, DeviceBuffer, Queue};

use crate::{
    column::check_words,
    cpu,
    error::{KernelError, Result},
    sources::{LibraryKernel, language},
};

pub(crate) const OPERATION: &str = "compaction";

/// Values that lie at the start of each of a buffer's tiles.
#[derive(Debug, Clone, Copy)]
pub struct Tiles<'a> {
    /// Number of tiles.
    pub tiles: u32,
    /// Values that a tile has room for; the last one of `from` may have less.
    pub tile: u32,
    /// How many values lie before each tile (the scan of the tiles' counts), as words.
    pub offsets: &'a DeviceBuffer,
    /// Word of the first offset.
    pub first: u32,
    /// Values in all tiles.
    pub total: u32,
}

/// Copies the values of all tiles of `from` to `to` without the gaps, in order. A value is
/// `words` 32-bit words: 1, 2 or 4.
///
/// # Errors
/// `Invalid` when a buffer is too short or on another device, when the tiles have no room for
/// `total` values, and, on `cpu`, for offsets that are not the scan of counts that tiles have
/// room for (a GPU copies what lies in both buffers); the device's errors.
pub fn close_gaps(
    device: &dyn Device,
    queue: &mut dyn Queue,
    from: &DeviceBuffer,
    tiles: Tiles<'_>,
    words: u32,
    to: &DeviceBuffer,
) -> Result<()> {
    let wrong = |expected: String, got: String| {
        Err(KernelError::Invalid { operation: OPERATION, expected, got })
    };
    if !matches!(words, 1 | 2 | 4) {
        return wrong("values of 1, 2 or 4 words".into(), words.to_string());
    }
    let (count, tile, total) = (tiles.tiles as usize, tiles.tile as usize, tiles.total as usize);
    let room = count.saturating_mul(tile);
    if total > room {
        let expected = format!("at most {room} values in {count} tiles of {tile}");
        return wrong(expected, total.to_string());
    }
    let width = words as usize;
    check_words(OPERATION, device, "the result", to, total * width)?;
    check_words(OPERATION, device, "offsets", tiles.offsets, tiles.first as usize + count)?;
    let before_last = count.saturating_sub(1).saturating_mul(tile);
    let least = total.max(before_last).saturating_mul(width);
    check_words(OPERATION, device, "tiles", from, least)?;
    if total == 0 {
        return Ok(());
    }
    let Some(language) = language(device) else {
        let values = cpu::view::aligned_words(from, from.len() / 4)?;
        let mut offsets = vec![0u32; tiles.tiles as usize + 1];
        let starts = &mut offsets[..tiles.tiles as usize];
        queue.download(
            tiles.offsets,
            tiles.first as usize * 4,
            bytemuck::cast_slice_mut(starts),
        )?;
        offsets[tiles.tiles as usize] = tiles.total;
        let out = cpu::compact::close_gaps(&values, &offsets, tile * width, width)?;
        return Ok(queue.upload(to, 0, bytemuck::cast_slice(&out))?);
    };
    let kernel = device.compile(&LibraryKernel::named("close_gaps").source(language))?;
    let held = u32::try_from(from.len() / 4 / width).unwrap_or(u32::MAX);
    let params = [tiles.tiles, tiles.tile, words, tiles.total, tiles.first, held];
    queue.launch(&kernel, tiles.tiles, &[from, tiles.offsets, to], &params)?;
    Ok(())
}
