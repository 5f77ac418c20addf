//! Device memory of the emulator: host memory, poisoned at first, with a guard behind it.

use std::{
    alloc::{Layout, alloc, dealloc},
    any::Any,
};

use crate::{buffer::RawBuffer, pool::Allocation};

/// The byte that fresh device and shared memory is filled with. As an integer it is a large
/// negative number, as a float an implausible one: -1.2e17 and -2.5e138.
pub(super) const POISON: u8 = 0xDB;

/// The byte behind each buffer; a kernel that changes it wrote past the end.
const GUARD: u8 = 0xC5;

/// Bytes of guard behind each buffer, beside what rounding up leaves. A stated guess: a
/// missing bounds check writes at most a block's width of small elements here.
const GUARD_BYTES: usize = 1024;

/// The alignment every device promises, in bytes.
const ALIGN: usize = 256;

/// One block of device memory.
pub(super) struct Memory {
    start: *mut u8,
    len: usize,
    layout: Layout,
}

// SAFETY: the block is plain bytes, owned by this value and freed once; the contract of
// `Queue` orders the accesses, and kernels may race only through atomics.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// `len` poisoned bytes; `None` when the host has none.
    pub(super) fn new(len: usize) -> Option<Self> {
        let size = len.checked_next_multiple_of(ALIGN)?.checked_add(GUARD_BYTES)?;
        let layout = Layout::from_size_align(size, ALIGN).ok()?;
        // SAFETY: the size is not zero.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            return None;
        }
        // SAFETY: `start` is valid for `size` bytes, and `len <= size`.
        unsafe {
            start.write_bytes(POISON, len);
            start.add(len).write_bytes(GUARD, size - len);
        }
        Some(Self { start, len, layout })
    }

    /// The first byte.
    pub(super) fn start(&self) -> *mut u8 {
        self.start
    }

    /// Length in bytes, without the guard.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where the guard was changed, as the distance from the buffer's end.
    pub(super) fn overrun(&self) -> Option<usize> {
        // SAFETY: the guard is inside the allocation and no kernel runs.
        let guard = unsafe {
            std::slice::from_raw_parts(self.start.add(self.len), self.layout.size() - self.len)
        };
        guard.iter().position(|b| *b != GUARD)
    }

    /// Writes the guard anew, after an overrun was reported.
    pub(super) fn restore_guard(&self) {
        // SAFETY: as in `overrun`.
        unsafe { self.start.add(self.len).write_bytes(GUARD, self.layout.size() - self.len) }
    }

    /// Copies `src` to `offset`; the caller has checked the range.
    pub(super) fn write(&self, offset: usize, src: &[u8]) {
        assert!(offset + src.len() <= self.len, "range checked by the caller");
        // SAFETY: the range is inside the block (asserted); `src` may not overlap it, since
        // device memory is never lent out as a slice.
        unsafe { self.start.add(offset).copy_from_nonoverlapping(src.as_ptr(), src.len()) }
    }

    /// Copies from `offset` to `dst`; the caller has checked the range.
    pub(super) fn read(&self, offset: usize, dst: &mut [u8]) {
        assert!(offset + dst.len() <= self.len, "range checked by the caller");
        // SAFETY: as in `write`; every byte was initialised in `new`.
        unsafe { dst.as_mut_ptr().copy_from_nonoverlapping(self.start.add(offset), dst.len()) }
    }

    /// Copies `len` bytes from `src`; the caller has checked both ranges.
    pub(super) fn copy(&self, offset: usize, src: &Self, src_offset: usize, len: usize) {
        assert!(offset + len <= self.len && src_offset + len <= src.len, "ranges checked");
        // SAFETY: both ranges are inside their blocks (asserted); `copy` allows an overlap.
        unsafe { self.start.add(offset).copy_from(src.start.add(src_offset), len) }
    }

    /// Sets all bytes to the repeated bytes of `word`.
    pub(super) fn fill(&self, word: u32) {
        let word = word.to_ne_bytes();
        for i in 0..self.len {
            // SAFETY: `i < len`.
            unsafe { *self.start.add(i) = word[i % 4] }
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, freed once.
        unsafe { dealloc(self.start, self.layout) }
    }
}

/// What stands behind a buffer of the emulator.
pub(super) struct EmulatedBuffer {
    pub(super) memory: Memory,
    pub(super) _allocation: Allocation,
}

impl RawBuffer for EmulatedBuffer {
    fn as_any(&self) -> &dyn Any {
        self
    }
}
