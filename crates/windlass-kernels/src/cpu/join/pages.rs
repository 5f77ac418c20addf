//! Large arrays of zeros: pages come from the system when they are first written, by the thread
//! that writes them, and are huge where the system has such pages. Random access to a table of
//! some hundred megabytes otherwise misses in the TLB at every lookup (`join_rates`).

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};

use bytemuck::Zeroable;

/// Arrays from this size on ask for huge pages, which are 2 MiB on x86-64 and on most AArch64.
const HUGE_BYTES: usize = 4 << 20;

/// `n` values of zero bytes.
pub(crate) fn zeroed<T: Zeroable>(n: usize) -> Vec<T> {
    let Ok(layout) = Layout::array::<T>(n) else {
        handle_alloc_error(Layout::new::<T>());
    };
    if layout.size() == 0 {
        return std::iter::repeat_with(T::zeroed).take(n).collect();
    }
    // SAFETY: the layout's size is not zero.
    let start = unsafe { alloc_zeroed(layout) };
    if start.is_null() {
        handle_alloc_error(layout);
    }
    advise(start, layout.size());
    // SAFETY: the memory was allocated by the global allocator for `n` values, and zero bytes
    // are a value of `T`.
    unsafe { Vec::from_raw_parts(start.cast::<T>(), n, n) }
}

/// Asks for huge pages. Whether the system has them changes nothing but the time.
#[cfg(target_os = "linux")]
fn advise(start: *mut u8, bytes: usize) {
    if bytes < HUGE_BYTES {
        return;
    }
    // SAFETY: a plain query.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(HUGE_BYTES);
    let before = (start as usize).next_multiple_of(page) - start as usize;
    if before < bytes {
        let length = (bytes - before) / page * page;
        // SAFETY: the range is whole pages inside one allocation; the advice neither changes
        // its contents nor who may access it.
        unsafe { libc::madvise(start.add(before).cast(), length, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: *mut u8, _bytes: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_any_size_are_zeros_and_can_be_written() {
        for n in [0, 1, 1000, HUGE_BYTES / 8, HUGE_BYTES / 4 + 12_345] {
            let mut v = zeroed::<u64>(n);
            assert!(v.len() == n && v.iter().all(|x| *x == 0));
            v.iter_mut().for_each(|x| *x = 7);
            v.push(1);
            assert_eq!(v.iter().sum::<u64>(), 7 * n as u64 + 1);
        }
        assert_eq!(zeroed::<()>(3).len(), 3);
    }
}
