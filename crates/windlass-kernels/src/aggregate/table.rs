//! The group table on a GPU: packed keys of the rows, a hash table of groups, and the keys
//! of the groups. `kernels/aggregate/insert.cu` has the algorithm.

use windlass_device::{DeviceBuffer, Queue};

use super::{
    batch::Column,
    memory::{Gpu, is_out_of_memory},
    plan::KeyLayout,
    sources::KernelId,
};
use crate::{
    error::{KernelError, Result},
    types::PhysType,
};

/// Most rows that are inserted at a time: it bounds the packed keys and, as the table must
/// have room for a group in every row, the table. A guess: large enough that launches and
/// the read-back of the group count are small beside the work on a GPU.
pub(super) const CHUNK_ROWS: usize = 1 << 24;

/// Fewest rows that a chunk shrinks to when memory is short.
pub(super) const MIN_CHUNK_ROWS: usize = 1 << 12;

/// Slots of the smallest table.
const MIN_SLOTS: usize = 1 << 10;

/// Slots of the largest table, see `insert.cu`.
const MAX_SLOTS: usize = 1 << 30;

/// The groups found so far, and the rows of the chunk at hand.
#[derive(Debug)]
pub(super) struct GroupTable {
    pub(super) key_words: u32,
    slots: Option<DeviceBuffer>,
    slot_count: usize,
    pub(super) group_keys: DeviceBuffer,
    /// Groups that `group_keys` has room for.
    pub(super) key_capacity: usize,
    counters: DeviceBuffer,
    pub(super) groups: usize,
    /// `None` where no chunk's keys had to be packed.
    row_keys: Option<DeviceBuffer>,
    pub(super) row_groups: Option<DeviceBuffer>,
    /// Rows that the two have room for.
    pub(super) row_capacity: usize,
}

/// Slots for a load of at most one half.
fn slots_for(groups: usize) -> usize {
    (groups * 2).next_power_of_two().max(MIN_SLOTS)
}

impl GroupTable {
    pub(super) fn new(
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        key_words: u32,
        expected_groups: usize,
    ) -> Result<Self> {
        for id in [KernelId::Insert, KernelId::Assign, KernelId::Resolve, KernelId::Rehash] {
            gpu.compile(id)?;
        }
        Self::empty(gpu, queue, key_words, expected_groups)
    }

    /// No groups yet, and the kernels that make packed keys.
    pub(super) fn empty(
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        key_words: u32,
        expected_groups: usize,
    ) -> Result<Self> {
        gpu.compile(KernelId::PackKeys)?;
        let key_capacity = expected_groups;
        let group_keys = gpu.alloc_words(key_capacity, key_words)?;
        let counters = gpu.alloc_words(3, 1)?;
        queue.fill(&counters, 0)?;
        Ok(Self {
            key_words,
            slots: None,
            slot_count: 0,
            group_keys,
            key_capacity,
            counters,
            groups: 0,
            row_keys: None,
            row_groups: None,
            row_capacity: 0,
        })
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// Bytes of device memory held.
    pub(super) fn bytes(&self) -> usize {
        let optional = [&self.slots, &self.row_keys, &self.row_groups];
        self.group_keys.len()
            + self.counters.len()
            + optional.iter().flat_map(|b| b.as_ref()).map(DeviceBuffer::len).sum::<usize>()
    }

    /// The rows' groups, after [`GroupTable::find`].
    pub(super) fn row_groups(&self) -> DeviceBuffer {
        self.row_groups.clone().unwrap_or_else(|| self.counters.clone())
    }

    /// How many of `left` rows to take as the next chunk: as many as the limits of a buffer
    /// and half of the free memory allow, but no fewer than [`MIN_CHUNK_ROWS`].
    pub(super) fn chunk_rows(&self, gpu: &Gpu, left: usize) -> usize {
        let limit = gpu.device.info().limits.max_buffer_bytes;
        let free = gpu.device.pool().available() / 2;
        let row_bytes = self.key_words as usize * 4;
        let mut rows = left.min(CHUNK_ROWS);
        while rows > MIN_CHUNK_ROWS {
            let table = slots_for(self.groups + rows) * 4;
            let mut more = 0;
            if rows > self.row_capacity {
                more += rows * (row_bytes + 4);
            }
            if table > self.slot_count * 4 {
                more += table;
            }
            let fits = rows * row_bytes <= limit && table <= limit.min(MAX_SLOTS * 4);
            if fits && more <= free {
                break;
            }
            rows = rows.div_ceil(2).max(MIN_CHUNK_ROWS);
        }
        rows
    }

    /// Finds or adds the group of each selected row of a chunk; returns the number of groups.
    /// The rows begin with row `row_base` of the batch, and with row `chunk_base` of columns
    /// that hold a chunk only.
    #[allow(
        clippy::too_many_arguments,
        reason = "device, queue and memory are explicit everywhere"
    )]
    pub(super) fn find(
        &mut self,
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        keys: &[KeyLayout],
        columns: &[Column],
        selected: Option<&DeviceBuffer>,
        (row_base, rows): (u32, u32),
        chunk_base: u32,
    ) -> Result<usize> {
        self.make_room(gpu, queue, rows as usize)?;
        let packed = self.packed(gpu, queue, keys, columns, (row_base, rows), chunk_base)?;
        let unread = gpu.unread();
        let (Some(slots), Some(row_groups)) = (self.slots.clone(), self.row_groups.clone()) else {
            return Ok(self.groups);
        };
        let buffers = [
            &packed,
            selected.unwrap_or(&unread),
            &self.group_keys,
            &slots,
            &row_groups,
            &self.counters,
        ];
        let mask = (self.slot_count - 1) as u32;
        let params = [rows, row_base, self.key_words, mask, u32::from(selected.is_some())];
        gpu.launch_each(queue, KernelId::Insert, rows, &buffers, &params)?;

        let mut counters = [0u32; 3];
        queue.download(&self.counters, 0, bytemuck::cast_slice_mut(&mut counters))?;
        let found = counters[1] as usize;
        let expected = self.groups..=self.groups + rows as usize;
        if counters[2] != 0 || !expected.contains(&found) {
            return Err(KernelError::Invalid {
                operation: "group-by",
                expected: format!("a free slot for each of {expected:?} groups"),
                got: format!("{found} groups, table full: {}", counters[2] != 0),
            });
        }
        if found == self.groups {
            return Ok(found);
        }
        self.make_key_room(gpu, queue, found)?;
        self.groups = found;
        let buffers = [&packed, &slots, &row_groups, &self.group_keys, &self.counters];
        let params = [rows, self.key_words];
        gpu.launch_each(queue, KernelId::Assign, rows, &buffers, &params)?;
        let buffers = [&slots, &row_groups];
        gpu.launch_each(queue, KernelId::Resolve, rows, &buffers, &[rows])?;
        Ok(found)
    }

    /// The packed keys of a chunk, as for [`GroupTable::find`].
    pub(super) fn packed(
        &mut self,
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        keys: &[KeyLayout],
        columns: &[Column],
        (row_base, rows): (u32, u32),
        chunk_base: u32,
    ) -> Result<DeviceBuffer> {
        let base = |key: &KeyLayout| if key.of_chunk { chunk_base } else { row_base };
        if let [key] = keys
            && base(key) == 0
            && key.null.is_none()
            && !key.ty.is_float()
        {
            // The column is its own packed key.
            return Ok(columns[key.column].values.clone());
        }
        let row_keys = self.row_keys(gpu, rows as usize)?;
        for key in keys {
            let range = (base(key), rows);
            self.pack(gpu, queue, key, &columns[key.column], range, &row_keys)?;
        }
        Ok(row_keys)
    }

    /// Makes room for the keys of so many groups.
    pub(super) fn make_key_room(
        &mut self,
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        groups: usize,
    ) -> Result<()> {
        if groups > self.key_capacity {
            let words = self.key_words;
            let size = Growth { capacity: self.key_capacity, used: self.groups, needed: groups };
            let (buffer, capacity) = grow(gpu, queue, &self.group_keys, size, words, None)?;
            (self.group_keys, self.key_capacity) = (buffer, capacity);
        }
        Ok(())
    }

    /// Writes one key column into the packed keys.
    fn pack(
        &self,
        gpu: &Gpu,
        queue: &mut dyn Queue,
        key: &KeyLayout,
        column: &Column,
        (row_base, rows): (u32, u32),
        row_keys: &DeviceBuffer,
    ) -> Result<()> {
        let kind = match key.ty {
            PhysType::F32 => 1,
            PhysType::F64 => 2,
            _ => 0,
        };
        let unread = gpu.unread();
        let valid = column.valid.as_ref().filter(|_| key.null.is_some());
        let (null_word, null_bit) = key.null.unwrap_or((0, 0));
        let params = [
            rows,
            row_base,
            self.key_words,
            key.offset,
            key.ty.words() as u32,
            kind,
            u32::from(valid.is_some()),
            u32::from(key.null.is_some()),
            null_word,
            null_bit,
            u32::from(null_bit == 0),
        ];
        let buffers = [&column.values, valid.unwrap_or(&unread), row_keys];
        gpu.launch_each(queue, KernelId::PackKeys, rows, &buffers, &params)
    }

    /// The buffer for packed keys of `rows` rows.
    fn row_keys(&mut self, gpu: &mut Gpu, rows: usize) -> Result<DeviceBuffer> {
        match &self.row_keys {
            Some(buffer) => Ok(buffer.clone()),
            None => {
                let buffer = gpu.alloc_words(rows.max(self.row_capacity), self.key_words)?;
                self.row_keys = Some(buffer.clone());
                Ok(buffer)
            }
        }
    }

    /// Makes room for the chunk's rows.
    pub(super) fn make_row_room(&mut self, gpu: &mut Gpu, rows: usize) -> Result<()> {
        if rows > self.row_capacity {
            (self.row_keys, self.row_groups, self.row_capacity) = (None, None, 0);
            self.row_groups = Some(gpu.alloc_words(rows, 1)?);
            self.row_capacity = rows;
        }
        Ok(())
    }

    /// Makes room for the chunk's rows, and for a new group in each of them.
    fn make_room(&mut self, gpu: &mut Gpu, queue: &mut dyn Queue, rows: usize) -> Result<()> {
        self.make_row_room(gpu, rows)?;
        let slot_count = slots_for(self.groups + rows);
        if slot_count > self.slot_count {
            // A new table is filled from the groups' keys, so the old one can go first.
            (self.slots, self.slot_count) = (None, 0);
            if slot_count > MAX_SLOTS {
                return Err(KernelError::Unsupported {
                    device: gpu.device.info().name.to_string(),
                    reason: format!("a group-by of more than {} groups", MAX_SLOTS / 2),
                });
            }
            let slots = gpu.alloc_words(slot_count, 1)?;
            queue.fill(&slots, 0)?;
            if self.groups > 0 {
                let groups = self.groups as u32;
                let params = [groups, self.key_words, (slot_count - 1) as u32];
                let buffers = [&self.group_keys, &slots];
                gpu.launch_each(queue, KernelId::Rehash, groups, &buffers, &params)?;
            }
            (self.slots, self.slot_count) = (Some(slots), slot_count);
        }
        Ok(())
    }

    /// Reads the packed keys of the first `groups` groups back.
    pub(super) fn download_keys(&self, queue: &mut dyn Queue, groups: usize) -> Result<Vec<u32>> {
        let mut words = vec![0u32; groups * self.key_words as usize];
        if !words.is_empty() {
            queue.download(&self.group_keys, 0, bytemuck::cast_slice_mut(&mut words))?;
        }
        Ok(words)
    }
}

/// Sizes of a buffer that grows, in items.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    /// Items that the old buffer has room for.
    pub capacity: usize,
    /// Items to keep.
    pub used: usize,
    /// Items that the new buffer must have room for.
    pub needed: usize,
}

/// Copies the used items of `words` words each into a larger buffer: twice the old capacity
/// where there is memory for it. The rest of it is set to `init`, or undefined.
pub(super) fn grow(
    gpu: &mut Gpu,
    queue: &mut dyn Queue,
    old: &DeviceBuffer,
    size: Growth,
    words: u32,
    init: Option<u32>,
) -> Result<(DeviceBuffer, usize)> {
    let roomy = size.needed.max(size.capacity.saturating_mul(2));
    let (new, capacity) = match gpu.alloc_words(roomy, words) {
        Ok(buffer) => (buffer, roomy),
        Err(e) if is_out_of_memory(&e) => (gpu.alloc_words(size.needed, words)?, size.needed),
        Err(e) => return Err(e),
    };
    if let Some(word) = init {
        queue.fill(&new, word)?;
    }
    let bytes = size.used * words as usize * 4;
    if bytes > 0 {
        queue.copy(old, 0, &new, 0, bytes)?;
    }
    Ok((new, capacity))
}
