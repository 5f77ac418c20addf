//! The packed keys of a batch's rows on a GPU (`kernels/join/pack_key.cu`).

use windlass_device::DeviceBuffer;

use super::sources::KernelId;
use crate::{
    column::{DeviceBatch, Validity},
    error::Result,
    hash::layout::ColumnLayout,
    launcher::Launcher,
    types::PhysType,
};

/// Where the keys lie in a packed key; the same on both sides of a join.
#[derive(Debug, Clone)]
pub(super) struct KeyLayout {
    /// 32-bit words of a packed key.
    pub(super) words: u32,
    /// Where each key's words begin.
    offsets: Vec<u32>,
    /// Whether nulls are values like others.
    nulls: bool,
}

/// Packed keys.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) keys: DeviceBuffer,
    /// A word for each row, 0 where it matches nothing; `None` where every row may match.
    pub(super) live: Option<DeviceBuffer>,
}

impl KeyLayout {
    pub(super) fn new(types: impl ExactSizeIterator<Item = PhysType>, nulls: bool) -> Self {
        let mut words = if nulls { types.len().div_ceil(32) as u32 } else { 0 };
        let offsets = types.map(|ty| {
            let at = words;
            words += ty.words() as u32;
            at
        });
        let offsets = offsets.collect();
        Self { words, offsets, nulls }
    }

    /// Packs the key columns of a batch that was checked.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn pack(
        &self,
        gpu: &mut Launcher<'_>,
        batch: &DeviceBatch,
        columns: &[usize],
    ) -> Result<Keys> {
        if let ([only], false) = (columns, self.nulls) {
            let column = &batch.columns[*only];
            let live = match &column.validity {
                Validity::All => Some(None),
                Validity::Words(words) => Some(Some(words.clone())),
                Validity::Bits { .. } => None,
            };
            // Values of whole words are their own packed keys. Where a row is null they may be
            // anything, and are not looked at.
            if let (Some(live), true) = (live, ColumnLayout::of(column).is_canonical()) {
                return Ok(Keys { keys: column.values.clone(), live });
            }
        }
        let rows = batch.rows;
        let keys = gpu.alloc_words(rows, self.words as usize)?;
        let nullable = columns.iter().any(|c| batch.columns[*c].nullable());
        let live = match nullable && !self.nulls {
            true => Some(gpu.alloc_words(rows, 1)?),
            false => None,
        };
        let unwritten = gpu.alloc_words(1, 1)?;
        let mut live_mode = 1;
        for (at, (index, offset)) in columns.iter().zip(&self.offsets).enumerate() {
            let column = &batch.columns[*index];
            let layout = ColumnLayout::of(column);
            let clears = live.is_some() && column.nullable();
            let params = layout.after([
                rows as u32,
                self.words,
                *offset,
                u32::from(self.nulls),
                at as u32 / 32,
                at as u32 % 32,
                u32::from(at % 32 == 0),
                if clears { live_mode } else { 0 },
            ]);
            let live = live.as_ref().unwrap_or(&unwritten);
            let buffers = [&column.values, layout.valid(column), &keys, live];
            KernelId::PackKey.each(gpu, rows, &buffers, &params)?;
            if clears {
                live_mode = 2;
            }
        }
        Ok(Keys { keys, live })
    }
}
