//! The argument of one row of each group: the one that comes first in an order.
//!
//! A batch's order keys are packed once, into words whose unsigned order is that of the rows.
//! For each chunk one kernel finds the row of every group that comes first, and another takes
//! its key and argument over where it comes before what the group has kept.

use windlass_device::{DeviceBuffer, Queue};

use super::{
    batch::{Column, Mode, Rows},
    memory::Gpu,
    sources::KernelId,
};
use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    error::Result,
    launcher::Launcher,
    sort::{self, SortKey},
    types::PhysType,
};

/// Words of a group's state before its key: whether it has a row, and whether that row's
/// argument is not null.
const FLAGS: u32 = 2;

/// Which row is picked.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct PickLayout {
    /// Of equal rows the last.
    pub last: bool,
    /// Output column that is true in the rows that count; `None`: all do.
    pub taken: Option<usize>,
    /// The order, by output columns, so that the row to be picked comes first.
    pub order: Vec<SortKey>,
    /// Type of each key, and whether it may be null.
    pub types: Vec<(PhysType, bool)>,
}

/// One call's launches over a chunk.
pub(super) struct Chunk<'a> {
    pub gpu: &'a Gpu,
    pub rows: &'a Rows,
    pub columns: &'a [Column],
    /// The packed keys of the batch, where there are keys.
    pub keys: Option<&'a DeviceBuffer>,
    /// A row number for each group.
    pub leaders: &'a DeviceBuffer,
    /// Words of each group as [`PickLayout::state_words`] counts them.
    pub state: &'a DeviceBuffer,
}

impl PickLayout {
    /// Words of a packed key.
    pub(super) fn key_words(&self) -> u32 {
        sort::packed_words(&self.types) as u32
    }

    /// Words of a group's state for an argument of `value_words` words.
    pub(super) fn state_words(&self, value_words: u32) -> u32 {
        FLAGS + self.key_words() + value_words
    }

    /// Packs the keys of a batch's rows.
    pub(super) fn pack(
        &self,
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        columns: &[Column],
        rows: usize,
    ) -> Result<Option<DeviceBuffer>> {
        let device = std::sync::Arc::clone(&gpu.device);
        let launcher = Launcher::new(&*device, queue, &mut gpu.reservation);
        let Some(launcher) = launcher.filter(|_| !self.order.is_empty()) else {
            return Ok(None);
        };
        let column = |(key, (ty, _)): (&SortKey, &(PhysType, bool))| {
            let Column { values, valid } = columns[key.column].clone();
            let validity = valid.map_or(Validity::All, Validity::Words);
            DeviceColumn { ty: *ty, storage: Storage::Wide, values, bit_offset: 0, validity }
        };
        let columns = self.order.iter().zip(&self.types).map(column).collect();
        let keys = self.order.iter().enumerate();
        let keys: Vec<_> = keys.map(|(column, key)| SortKey { column, ..*key }).collect();
        let nullable: Vec<_> = self.types.iter().map(|(_, nullable)| *nullable).collect();
        sort::pack_keys(launcher, &DeviceBatch { rows, columns }, &keys, &nullable).map(Some)
    }

    /// Finds and takes over the rows of a chunk for an argument of column `argument`.
    pub(super) fn add(
        &self,
        queue: &mut dyn Queue,
        chunk: &Chunk<'_>,
        (argument, ty): (usize, PhysType),
    ) -> Result<()> {
        let (gpu, r) = (chunk.gpu, chunk.rows);
        let unread = gpu.unread();
        let groups = if r.mode == Mode::All { &unread } else { &r.groups };
        let taken = self.taken.map(|c| &chunk.columns[c].values);
        let keys = chunk.keys.unwrap_or(&unread);
        let (key_words, last) = (self.key_words(), u32::from(self.last));
        let has_taken = u32::from(taken.is_some());
        let params = [r.rows, r.row_base, r.mode as u32, has_taken, key_words, last];
        let buffers = [groups, taken.unwrap_or(&unread), keys, chunk.leaders];
        gpu.launch_each(queue, KernelId::Leader, r.rows, &buffers, &params)?;

        let Column { values, valid } = &chunk.columns[argument];
        let has_valid = u32::from(valid.is_some());
        let value_words = ty.words() as u32;
        let params = [r.group_count, r.row_base, key_words, value_words, has_valid, last];
        let valid = valid.as_ref().unwrap_or(&unread);
        let buffers = [keys, values, valid, chunk.leaders, chunk.state];
        gpu.launch_each(queue, KernelId::KeepLeader, r.group_count, &buffers, &params)
    }
}

/// The argument's words in a group's state, where its row has one that is not null.
pub(super) fn value<'s>(state: &'s [u32], layout: &PickLayout) -> Option<&'s [u32]> {
    let from = FLAGS as usize + layout.key_words() as usize;
    (state[0] != 0 && state[1] != 0).then(|| &state[from..])
}
