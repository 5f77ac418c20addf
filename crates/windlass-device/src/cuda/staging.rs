//! Pinned host memory through which uploads and downloads go: pageable memory is copied at
//! about a third of the rate (16 against 46 GB/s over PCIe 5).

use std::sync::Arc;

use cudarc::driver::result::{self, DriverError};

use super::driver::{Context, Event, Stream};

/// Bytes of each of the two halves. A stated guess: large enough that the copy engine is
/// busy for hundreds of microseconds, small enough to pin two for every queue.
pub(super) const HALF: usize = 8 << 20;

/// One half: pinned bytes, and the point after which they may be written again.
struct Half {
    start: *mut u8,
    free: Event,
}

/// Two halves, filled in turn while the other is being copied.
pub(super) struct Staging {
    context: Arc<Context>,
    halves: [Half; 2],
    current: usize,
    used: usize,
}

// SAFETY: the pinned bytes are owned by this value.
unsafe impl Send for Staging {}

/// Alignment of a piece within a half, in bytes: a copy's fastest start.
const PIECE_ALIGN: usize = 256;

impl Staging {
    /// Pins both halves. The context must be the thread's.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn new(context: &Arc<Context>) -> Result<Self, DriverError> {
        let half = || -> Result<Half, DriverError> {
            let free = Event::new(context)?;
            // SAFETY: plain bytes, written before they are read.
            let start = unsafe { result::malloc_host(HALF, 0) }?.cast();
            Ok(Half { start, free })
        };
        let first = half()?;
        let second = half().inspect_err(|_| {
            // SAFETY: pinned above, freed once.
            let _ = unsafe { result::free_host(first.start.cast()) };
        })?;
        let context = Arc::clone(context);
        Ok(Self { context, halves: [first, second], current: 0, used: 0 })
    }

    /// `len` pinned bytes (at most [`HALF`]) that no copy uses. May wait for the copies of
    /// the other half.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn piece(&mut self, stream: &Stream, len: usize) -> Result<*mut u8, DriverError> {
        assert!(len <= HALF, "a piece fits a half");
        if self.used + len > HALF {
            self.next_half(stream)?;
        }
        // SAFETY: `used + len <= HALF`.
        let start = unsafe { self.halves[self.current].start.add(self.used) };
        self.used = (self.used + len).next_multiple_of(PIECE_ALIGN).min(HALF);
        Ok(start)
    }

    /// Closes the current half with the work now on the stream and opens the other one.
    fn next_half(&mut self, stream: &Stream) -> Result<(), DriverError> {
        self.halves[self.current].free.record(stream)?;
        self.current ^= 1;
        self.used = 0;
        self.halves[self.current].free.wait()
    }

    /// Copies device memory to `dst` in pieces: the device copies one while the host empties
    /// the one before. Returns when all is there.
    ///
    /// # Errors
    /// The driver's, also of earlier work on the stream.
    ///
    /// # Safety
    /// `src` is valid for `dst.len()` bytes of device memory.
    pub(super) unsafe fn download(
        &mut self,
        stream: &Stream,
        src: u64,
        dst: &mut [u8],
    ) -> Result<(), DriverError> {
        let mut waiting: Option<(usize, &mut [u8])> = None;
        let mut at = src;
        for part in dst.chunks_mut(HALF) {
            // A half of its own for each piece, so that its event says when it is there.
            self.next_half(stream)?;
            let half = &self.halves[self.current];
            self.used = HALF;
            // SAFETY: the half is pinned, free and large enough; `src` by the contract.
            unsafe {
                let pinned = std::slice::from_raw_parts_mut(half.start, part.len());
                result::memcpy_dtoh_async(pinned, at, stream.handle())?;
            }
            half.free.record(stream)?;
            at += part.len() as u64;
            if let Some((half, part)) = waiting.replace((self.current, part)) {
                self.empty(half, part)?;
            }
        }
        match waiting {
            Some((half, part)) => self.empty(half, part),
            None => stream.wait(),
        }
    }

    /// Waits for a half's copy and takes its bytes.
    fn empty(&self, half: usize, part: &mut [u8]) -> Result<(), DriverError> {
        let half = &self.halves[half];
        half.free.wait()?;
        // SAFETY: the copy into the half is done and covers `part.len()` bytes.
        unsafe { part.as_mut_ptr().copy_from_nonoverlapping(half.start, part.len()) }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.context.bind().is_err() {
            return;
        }
        for half in &self.halves {
            // SAFETY: pinned in `new`, freed once; the queue has waited for its copies.
            let _ = unsafe { result::free_host(half.start.cast()) };
        }
    }
}
