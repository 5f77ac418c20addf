//! Fiber stacks, kept and used again.

use corosensei::stack::{DefaultStack, Stack, StackPointer};
use parking_lot::Mutex;

/// Bytes of a fiber's stack. Kernels hold no more than a few hundred bytes of locals; the
/// compiler's instrumentation needs several times as much. A stated guess; a guard page
/// stops what goes past it.
const PLAIN_BYTES: usize = 64 << 10;
const CHECKED_BYTES: usize = 256 << 10;

/// Stacks kept for later launches: four full blocks.
const KEPT: usize = 4096;

static PLAIN: Mutex<Vec<DefaultStack>> = Mutex::new(Vec::new());
static CHECKED: Mutex<Vec<DefaultStack>> = Mutex::new(Vec::new());

/// A stack that starts a little below its mapping's end. Without that shift all stacks would
/// begin at the same offset of a page and share a few lines of the cache.
pub(super) struct FiberStack {
    inner: DefaultStack,
    shift: usize,
}

// SAFETY: base and limit lie inside the inner stack, whose guard page stays below the limit;
// the shift is at most a page of at least 64 KiB.
unsafe impl Stack for FiberStack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.inner.base().get() - self.shift).unwrap_or(self.inner.base())
    }

    fn limit(&self) -> StackPointer {
        self.inner.limit()
    }
}

fn pool(checked: bool) -> (&'static Mutex<Vec<DefaultStack>>, usize) {
    if checked { (&CHECKED, CHECKED_BYTES) } else { (&PLAIN, PLAIN_BYTES) }
}

/// `count` stacks.
///
/// # Errors
/// The system's, when it maps no more memory.
pub(super) fn take(count: usize, checked: bool) -> std::io::Result<Vec<FiberStack>> {
    let (pool, bytes) = pool(checked);
    let mut kept = {
        let mut pool = pool.lock();
        let at = pool.len().saturating_sub(count);
        pool.split_off(at)
    };
    while kept.len() < count {
        kept.push(DefaultStack::new(bytes)?);
    }
    // 16 starts, 256 bytes apart: one page.
    let shifted = |(i, inner)| FiberStack { inner, shift: (i % 16) * 256 };
    Ok(kept.into_iter().enumerate().map(shifted).collect())
}

/// Gives stacks back.
pub(super) fn give_back(stacks: Vec<FiberStack>, checked: bool) {
    let mut pool = pool(checked).0.lock();
    pool.extend(stacks.into_iter().map(|s| s.inner));
    pool.truncate(KEPT);
}
