//! Shared memory of a block: one arena in which each `W_SHARED` array gets its place at its
//! first use, poisoned and with a gap behind it.

use std::ffi::c_void;

use super::memory::{Memory, POISON};

/// Static shared memory of a block, in bytes: what every CUDA device since 2010 has.
pub(super) const SHARED_BYTES: u32 = 48 << 10;

/// Bytes between two arrays; a block that changes them wrote past an array's end.
const GAP: usize = 64;

/// Most arrays of a kernel. A stated guess; past it the launch fails with a clear error.
const ARRAYS: usize = 128;

struct Array {
    key: *const c_void,
    start: usize,
    len: usize,
}

/// The shared memory of one block at a time.
pub(super) struct Arena {
    memory: Memory,
    arrays: Vec<Array>,
    /// Bytes declared, without gaps.
    declared: usize,
    /// Bytes taken, with gaps.
    used: usize,
}

impl Arena {
    /// A poisoned arena; `None` when the host has no memory.
    pub(super) fn new() -> Option<Self> {
        // Each array may lose 15 bytes to alignment and is followed by a gap.
        let memory = Memory::new(SHARED_BYTES as usize + ARRAYS * (GAP + 16))?;
        Some(Self { memory, arrays: Vec::new(), declared: 0, used: 0 })
    }

    /// Poisons what the block before used.
    pub(super) fn reset(&mut self) {
        assert!(self.used <= self.memory.len(), "arrays lie inside the arena");
        // SAFETY: inside the arena (asserted), and no fiber runs.
        unsafe { self.memory.start().write_bytes(POISON, self.used) }
        self.arrays.clear();
        (self.declared, self.used) = (0, 0);
    }

    /// The place of the array that `key` stands for.
    ///
    /// # Errors
    /// Text, when the block's arrays take more than a device has.
    pub(super) fn place(
        &mut self,
        key: *const c_void,
        bytes: u64,
        align: u64,
    ) -> Result<*mut c_void, String> {
        if let Some(a) = self.arrays.iter().find(|a| a.key == key) {
            // SAFETY: the array lies inside the arena.
            return Ok(unsafe { self.memory.start().add(a.start) }.cast());
        }
        let len = usize::try_from(bytes).unwrap_or(usize::MAX);
        let declared = self.declared.saturating_add(len);
        if declared > SHARED_BYTES as usize || self.arrays.len() == ARRAYS || align > 16 {
            return Err(format!(
                "its shared arrays take {declared} bytes ({} arrays, alignment {align}); \
                 a block has {SHARED_BYTES} bytes",
                self.arrays.len() + 1
            ));
        }
        let start = self.used.next_multiple_of(16);
        self.declared = declared;
        self.used = start + len + GAP;
        assert!(self.used <= self.memory.len(), "room for gaps was made in `new`");
        self.arrays.push(Array { key, start, len });
        // SAFETY: inside the arena (asserted).
        Ok(unsafe { self.memory.start().add(start) }.cast())
    }

    /// Whether an access lies inside one array.
    pub(super) fn contains(&self, address: usize, bytes: usize) -> bool {
        let base = self.memory.start() as usize;
        self.arrays.iter().any(|a| {
            address >= base + a.start && address.saturating_add(bytes) <= base + a.start + a.len
        })
    }

    /// The length of an array that was written past its end.
    pub(super) fn overrun(&self) -> Option<usize> {
        let start = self.memory.start();
        self.arrays.iter().find_map(|a| {
            // SAFETY: the gap behind each array lies inside the arena; no fiber runs.
            let gap = unsafe { std::slice::from_raw_parts(start.add(a.start + a.len), GAP) };
            gap.iter().any(|b| *b != POISON).then_some(a.len)
        })
    }
}
