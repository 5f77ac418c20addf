//! The table of a join's build rows on a GPU: packed keys, an open-addressing table of the keys'
//! first rows, and the rows of each key side by side. `kernels/join/insert.cu` has the algorithm.
//!
//! Nothing that one block of threads publishes is read by another before the next launch, unless
//! it is itself an atomic, so the same algorithm is right under WGSL's memory model.

use windlass_device::DeviceBuffer;

use super::{
    Matches,
    keys::{KeyLayout, Keys},
    sources::KernelId,
};
use crate::{
    column::DeviceBatch,
    error::{KernelError, Result},
    launcher::Launcher,
    scan,
};

/// Most build rows: the table has twice as many slots, whose numbers are 32 bits.
const MAX_BUILD_ROWS: usize = 1 << 30;

/// Slots of the smallest table.
const MIN_SLOTS: usize = 256;

/// The build side on a GPU.
pub(super) struct Table {
    layout: KeyLayout,
    keys: DeviceBuffer,
    rows: usize,
    slots: DeviceBuffer,
    mask: u32,
    /// Where the rows of each slot begin in `order`, and one entry more.
    starts: DeviceBuffer,
    order: DeviceBuffer,
    row_slot: DeviceBuffer,
}

/// What is asked of a lookup.
#[derive(Debug, Clone, Copy)]
pub(super) struct LookUp {
    /// Only whether there is a match.
    pub(super) exists: bool,
    /// A row without a match has one pair.
    pub(super) outer: bool,
}

/// The answer for each row of a batch.
pub(super) struct Found {
    /// Where the build rows of each row begin in the order; not set with `exists`.
    pub(super) starts: DeviceBuffer,
    /// Pairs of each row; 0 or 1 with `exists`.
    pub(super) counts: DeviceBuffer,
}

impl Table {
    /// Builds the table over a batch that was checked.
    ///
    /// # Errors
    /// `Unsupported` for too many rows; the device's.
    pub(super) fn build(
        gpu: &mut Launcher<'_>,
        batch: &DeviceBatch,
        columns: &[usize],
        nulls: bool,
    ) -> Result<Self> {
        let rows = batch.rows;
        if rows > MAX_BUILD_ROWS {
            return Err(KernelError::Unsupported {
                device: gpu.device.info().name.to_string(),
                reason: format!(
                    "a join with {rows} build rows; the table holds {MAX_BUILD_ROWS}: partition \
                     both sides by the hash of the keys"
                ),
            });
        }
        let types = columns.iter().map(|c| batch.columns[*c].ty);
        let layout = KeyLayout::new(types, nulls);
        let Keys { keys, live } = layout.pack(gpu, batch, columns)?;
        let slot_count = (rows * 2).next_power_of_two().max(MIN_SLOTS);
        let mask = (slot_count - 1) as u32;
        let slots = gpu.alloc_words(slot_count, 1)?;
        gpu.queue.fill(&slots, 0)?;
        let row_slot = gpu.alloc_words(rows, 1)?;
        let params = [rows as u32, layout.words, mask, u32::from(live.is_some())];
        let buffers = [&keys, live.as_ref().unwrap_or(&keys), &slots, &row_slot];
        KernelId::Insert.each(gpu, rows, &buffers, &params)?;

        let starts = gpu.alloc_words(slot_count + 1, 1)?;
        gpu.queue.fill(&starts, 0)?;
        let row_rank = gpu.alloc_words(rows, 1)?;
        let row_count = [rows as u32];
        KernelId::Rank.each(gpu, rows, &[&row_slot, &starts, &row_rank], &row_count)?;
        let n = slot_count as u32;
        scan::exclusive_scan(gpu.device, gpu.queue, gpu.reservation, &starts, 0, n, Some(n))?;
        let order = gpu.alloc_words(rows, 1)?;
        let buffers = [&row_slot, &row_rank, &starts, &order];
        KernelId::Place.each(gpu, rows, &buffers, &row_count)?;
        Ok(Self { layout, keys, rows, slots, mask, starts, order, row_slot })
    }

    /// Bytes of device memory held.
    pub(super) fn bytes(&self) -> usize {
        let all = [&self.keys, &self.slots, &self.starts, &self.order, &self.row_slot];
        all.iter().map(|b| b.len()).sum()
    }

    /// The build rows, those of one key side by side.
    pub(super) fn order(&self) -> &DeviceBuffer {
        &self.order
    }

    /// Looks up the rows of a batch that was checked. `marks` gets the first row of each key
    /// that is found.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn look_up(
        &self,
        gpu: &mut Launcher<'_>,
        batch: &DeviceBatch,
        columns: &[usize],
        ask: LookUp,
        marks: Option<&Matches>,
    ) -> Result<Found> {
        let rows = batch.rows;
        let Keys { keys, live } = self.layout.pack(gpu, batch, columns)?;
        let starts = gpu.alloc_words(if ask.exists { 1 } else { rows }, 1)?;
        let counts = gpu.alloc_words(rows, 1)?;
        let marks = match marks.and_then(Matches::words) {
            Some(words) => (words.clone(), true),
            None => (gpu.alloc_words(1, 1)?, false),
        };
        let params = [
            rows as u32,
            self.layout.words,
            self.mask,
            u32::from(live.is_some()),
            u32::from(ask.exists),
            u32::from(ask.outer),
            u32::from(marks.1),
        ];
        let buffers = [
            &keys,
            live.as_ref().unwrap_or(&keys),
            &self.keys,
            &self.slots,
            &self.starts,
            &starts,
            &counts,
            &marks.0,
        ];
        KernelId::LookUp.each(gpu, rows, &buffers, &params)?;
        Ok(Found { starts, counts })
    }

    /// The marks of all build rows, from those of the keys' first rows.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn spread_marks(&self, gpu: &mut Launcher<'_>, marks: &Matches) -> Result<Matches> {
        let out = gpu.alloc_words(self.rows, 1)?;
        if let Some(words) = marks.words() {
            let buffers = [words, &self.slots, &self.row_slot, &out];
            KernelId::SpreadMarks.each(gpu, self.rows, &buffers, &[self.rows as u32])?;
        }
        Ok(Matches::of_words(out, self.rows))
    }
}
