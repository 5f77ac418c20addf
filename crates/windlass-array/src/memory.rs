//! Memory for tiles: zeroed, and in huge pages where there is enough of it, so that the
//! first write to each page costs less.

use crate::element::Element;

/// From this many bytes on, huge pages are asked for: several of 2 MiB each.
#[cfg(target_os = "linux")]
const HUGE: usize = 8 << 20;

/// That many default values (zeros), which the system gives without writing them.
pub(crate) fn zeros<T: Element>(len: usize) -> Vec<T> {
    let values = vec![T::default(); len];
    advise(&values);
    values
}

#[cfg(target_os = "linux")]
fn advise<T>(values: &[T]) {
    let bytes = size_of_val(values);
    if bytes < HUGE {
        return;
    }
    // SAFETY: sysconf reads a constant.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as usize;
    let begin = (values.as_ptr() as usize).next_multiple_of(page);
    let end = (values.as_ptr() as usize + bytes) / page * page;
    // SAFETY: the pages lie within memory that this process owns; the advice changes how they
    // are backed, not what they hold. Where it is not taken, ordinary pages serve.
    unsafe { libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_: &[T]) {}
