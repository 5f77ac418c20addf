//! The pairs of one probe batch on a GPU, in pieces of bounded size: rows are counted, the host
//! cuts the batch where the sums of the counts say, and each piece is scanned and filled.

use std::{ops::Range, sync::Arc};

use windlass_device::DeviceBuffer;

use super::{
    JoinPairs, Matches,
    gpu::{Found, LookUp, Table},
    sources::KernelId,
};
use crate::{column::DeviceBatch, error::Result, launcher::Launcher, scan};

/// Rows whose pairs are summed on the device; `kernels/join/tile_sums.cu` states it too.
const TILE: usize = 1024;

/// Pairs of a block; `kernels/join/pairs.cu` states it too.
const BLOCK_PAIRS: usize = 1024;

/// What is left of a probe.
pub(super) struct Pieces {
    table: Arc<Table>,
    found: Found,
    rows: usize,
    /// Pairs of each tile.
    sums: Vec<u64>,
    /// The next row, and how many of its pairs were given out.
    next: usize,
    skip: u32,
}

/// A piece: pairs of a range of rows, without the first `skip` of the first row.
struct Piece {
    rows: Range<usize>,
    skip: u32,
    pairs: usize,
}

impl Pieces {
    /// Looks up the rows of a batch and sums their pairs.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn new(
        gpu: &mut Launcher<'_>,
        table: &Arc<Table>,
        batch: &DeviceBatch,
        keys: &[usize],
        outer: bool,
        marks: Option<&Matches>,
    ) -> Result<Self> {
        let rows = batch.rows;
        let found = table.look_up(gpu, batch, keys, LookUp { exists: false, outer }, marks)?;
        let tiles = rows.div_ceil(TILE);
        let sums = gpu.alloc_words(tiles, 2)?;
        KernelId::TileSums.blocks(gpu, tiles, &[&found.counts, &sums], &[rows as u32])?;
        let words = gpu.read_words(&sums, 0, tiles * 2)?;
        let sum = |w: &[u32]| u64::from(w[0]) + (u64::from(w[1]) << 16);
        let sums = words.chunks_exact(2).map(sum).collect();
        Ok(Self { table: Arc::clone(table), found, rows, sums, next: 0, skip: 0 })
    }

    /// Takes rows, in order, until their pairs are `most` or the rows end.
    fn cut(&mut self, gpu: &mut Launcher<'_>, most: usize) -> Result<Piece> {
        let (first, skip) = (self.next, self.skip);
        let mut left = most as u64;
        while self.next < self.rows && left > 0 {
            let tile = self.next / TILE;
            let end = ((tile + 1) * TILE).min(self.rows);
            if self.next.is_multiple_of(TILE) && self.skip == 0 && self.sums[tile] <= left {
                left -= self.sums[tile];
                self.next = end;
                continue;
            }
            for count in gpu.read_words(&self.found.counts, self.next, end - self.next)? {
                let count = u64::from(count - self.skip);
                if count > left {
                    self.skip += left as u32;
                    left = 0;
                    break;
                }
                left -= count;
                self.skip = 0;
                self.next += 1;
            }
        }
        let end = self.next + usize::from(self.skip > 0);
        Ok(Piece { rows: first..end, skip, pairs: (most as u64 - left) as usize })
    }

    /// The next piece of at most `most` pairs; `None` at the end.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn next(
        &mut self,
        gpu: &mut Launcher<'_>,
        most: usize,
    ) -> Result<Option<JoinPairs>> {
        let Piece { rows, skip, pairs: n } = self.cut(gpu, most)?;
        if n == 0 {
            return Ok(None);
        }
        let count = rows.len();
        let offsets = gpu.alloc_words(count, 1)?;
        let params = [rows.start as u32, count as u32, skip];
        KernelId::Clip.each(gpu, count, &[&self.found.counts, &offsets], &params)?;
        let (device, length) = (gpu.device, count as u32);
        scan::exclusive_scan(device, gpu.queue, gpu.reservation, &offsets, 0, length, None)?;
        let (probe, build): (DeviceBuffer, DeviceBuffer) =
            (gpu.alloc_words(n, 1)?, gpu.alloc_words(n, 1)?);
        let order = self.table.order();
        let buffers = [&self.found.starts, &offsets, order, &probe, &build];
        let params = [rows.start as u32, count as u32, skip, n as u32];
        KernelId::Pairs.blocks(gpu, n.div_ceil(BLOCK_PAIRS), &buffers, &params)?;
        Ok(Some(JoinPairs { probe, build, n }))
    }
}
