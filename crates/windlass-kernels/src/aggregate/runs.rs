//! Groups of sorted rows on a GPU: rows of equal keys are neighbours, so a group is a run of rows,
//! and its number is the number of runs before it. No table is filled or looked up.
//!
//! The steps of a chunk: pack the keys, flag the rows that begin a run, add the flags up, and
//! give each row its number. Where a filter drops rows, a maximum scan finds the selected row
//! before each. The group of a chunk's last row stays open: the next one is compared with it.

use std::sync::Arc;

use windlass_device::{DeviceBuffer, Queue};

use super::{
    batch::Column,
    memory::Gpu,
    plan::KeyLayout,
    sources::KernelId,
    table::{CHUNK_ROWS, GroupTable, MIN_CHUNK_ROWS},
};
use crate::{
    column::{DeviceColumn, Storage, Validity},
    error::{KernelError, Result},
    scan::{self, ScanOp},
    types::PhysType,
};

impl GroupTable {
    /// Groups of sorted rows.
    pub(super) fn of_runs(
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        key_words: u32,
        expected_groups: usize,
    ) -> Result<Self> {
        for id in [KernelId::RunRows, KernelId::RunStarts, KernelId::RunGroups] {
            gpu.compile(id)?;
        }
        Self::empty(gpu, queue, key_words, expected_groups)
    }

    /// How many of `left` sorted rows to take as the next chunk, as [`GroupTable::chunk_rows`]
    /// does of others.
    pub(super) fn run_chunk_rows(&self, gpu: &Gpu, left: usize) -> usize {
        let limit = gpu.device.info().limits.max_buffer_bytes;
        let free = gpu.device.pool().available() / 2;
        let row_bytes = self.key_words as usize * 4;
        let mut rows = left.min(CHUNK_ROWS);
        // Keys, groups, flags, and row numbers before and after their scan.
        while rows > MIN_CHUNK_ROWS && (rows * row_bytes > limit || rows * (row_bytes + 16) > free)
        {
            rows = rows.div_ceil(2).max(MIN_CHUNK_ROWS);
        }
        rows
    }

    /// Numbers the groups of the selected rows of a chunk of sorted rows; returns the number of
    /// groups. The rows begin with row `row_base` of the batch.
    pub(super) fn find_runs(
        &mut self,
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        keys: &[KeyLayout],
        columns: &[Column],
        selected: Option<&DeviceBuffer>,
        (row_base, rows): (u32, u32),
    ) -> Result<usize> {
        if self.groups + rows as usize >= u32::MAX as usize {
            return Err(KernelError::Unsupported {
                device: gpu.device.info().name.to_string(),
                reason: "2^32 - 1 groups of sorted rows at a time: take complete ones out".into(),
            });
        }
        self.make_row_room(gpu, rows as usize)?;
        let packed = self.packed(gpu, queue, keys, columns, (row_base, rows), 0)?;
        let Some(row_groups) = self.row_groups.clone() else { return Ok(self.groups) };
        let unread = gpu.unread();
        let before = match selected {
            Some(flags) => selected_before(gpu, queue, flags, (row_base, rows))?,
            None => unread.clone(),
        };
        let flags = selected.unwrap_or(&unread);
        let groups = self.groups as u32;
        let params = [rows, row_base, self.key_words, groups, u32::from(selected.is_some())];
        let sums = gpu.alloc_words(rows as usize + 1, 1)?;
        let buffers = [&packed, flags, &before, &self.group_keys, &sums];
        gpu.launch_each(queue, KernelId::RunStarts, rows, &buffers, &params)?;
        let device = Arc::clone(&gpu.device);
        scan::exclusive_scan(&*device, queue, &mut gpu.reservation, &sums, 0, rows, Some(rows))?;
        let mut new = [0u32];
        queue.download(&sums, rows as usize * 4, bytemuck::cast_slice_mut(&mut new))?;
        if new[0] > rows {
            return Err(KernelError::Invalid {
                operation: "group-by",
                expected: format!("at most {rows} groups in as many rows"),
                got: new[0].to_string(),
            });
        }
        let found = self.groups + new[0] as usize;
        self.make_key_room(gpu, queue, found)?;
        self.groups = found;
        let buffers = [&packed, flags, &sums, &row_groups, &self.group_keys];
        gpu.launch_each(queue, KernelId::RunGroups, rows, &buffers, &params)?;
        Ok(found)
    }

    /// Forgets all groups but the last, which becomes the first.
    pub(super) fn keep_last(&mut self, gpu: &mut Gpu, queue: &mut dyn Queue) -> Result<()> {
        let Some(last) = self.groups.checked_sub(1) else { return Ok(()) };
        let bytes = self.key_words as usize * 4;
        let keys = gpu.alloc_words(self.key_capacity, self.key_words)?;
        queue.copy(&self.group_keys, last * bytes, &keys, 0, bytes)?;
        (self.group_keys, self.groups) = (keys, 1);
        Ok(())
    }
}

/// For each row of a chunk the number, from 1 on, of the selected row before it; 0: none.
fn selected_before(
    gpu: &mut Gpu,
    queue: &mut dyn Queue,
    selected: &DeviceBuffer,
    (row_base, rows): (u32, u32),
) -> Result<DeviceBuffer> {
    let numbers = gpu.alloc_words(rows as usize, 1)?;
    let params = [rows, row_base];
    gpu.launch_each(queue, KernelId::RunRows, rows, &[selected, &numbers], &params)?;
    let column = DeviceColumn {
        ty: PhysType::U32,
        storage: Storage::Wide,
        values: numbers,
        bit_offset: 0,
        validity: Validity::All,
    };
    let (device, n) = (Arc::clone(&gpu.device), rows as usize);
    let last = scan::exclusive(&*device, queue, &mut gpu.reservation, &column, n, ScanOp::Max)?;
    Ok(last.values)
}
