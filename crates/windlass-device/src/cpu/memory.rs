//! An aligned block of host memory that queues write and kernels read.

use std::alloc::{Layout, alloc_zeroed, dealloc};

/// The alignment every device promises, in bytes.
const ALIGN: usize = 256;

/// Host memory of a fixed length. Writes go through a shared reference, as a device's do:
/// the queue's order is what keeps a reader and a writer apart.
pub(super) struct HostMemory {
    start: *mut u8,
    len: usize,
}

// SAFETY: the block is plain bytes, owned by this value alone and freed once.
unsafe impl Send for HostMemory {}
// SAFETY: as above; that no thread reads a range while another writes it is the contract
// of `Device` (work on one queue is ordered, two queues are ordered by `synchronize`).
unsafe impl Sync for HostMemory {}

impl HostMemory {
    /// `len` bytes, zero at first; `None` when the allocator has none.
    pub(super) fn new(len: usize) -> Option<Self> {
        let layout = Layout::from_size_align(len.max(1), ALIGN).ok()?;
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        (!start.is_null()).then_some(Self { start, len })
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `start` is valid for `len` initialised bytes while `self` lives.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// Writes `src` at `offset`; the caller has checked the range.
    pub(super) fn write(&self, offset: usize, src: &[u8]) {
        assert!(offset + src.len() <= self.len, "range checked by the caller");
        // SAFETY: the range lies inside the block (asserted), and `src` cannot overlap it
        // unless it borrows the same buffer, for which `copy` (memmove) is defined.
        unsafe { std::ptr::copy(src.as_ptr(), self.start.add(offset), src.len()) }
    }

    /// Sets all bytes to the repeated little-endian bytes of `word`.
    pub(super) fn fill(&self, word: u32) {
        let w = word.to_le_bytes();
        for i in 0..self.len {
            // SAFETY: `i < len`.
            unsafe { *self.start.add(i) = w[i % 4] }
        }
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        let layout = Layout::from_size_align(self.len.max(1), ALIGN).expect("made it before");
        // SAFETY: allocated in `new` with this layout, freed once.
        unsafe { dealloc(self.start, layout) }
    }
}
