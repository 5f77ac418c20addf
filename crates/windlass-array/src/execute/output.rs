//! Where results are written: dense memory of one task, or one array that many tasks fill,
//! each its own part.

use std::{marker::PhantomData, sync::Arc};

use super::block::{At, Sink};
use crate::{
    element::{Buf, Element, dispatch},
    kernel::Run,
};

/// A sink that writes blocks to their places.
pub(crate) struct Write<'a, T> {
    to: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

impl<'a, T: Element> Write<'a, T> {
    /// To places in that memory.
    pub(crate) fn new(to: &'a mut [T]) -> Self {
        Self { to: to.as_mut_ptr(), len: to.len(), owner: PhantomData }
    }

    fn row(&mut self, at: isize, n: usize) -> &mut [T] {
        let at = at as usize;
        assert!(at + n <= self.len, "a row of {n} at {at} of {}", self.len);
        // SAFETY: the range is within the memory, which this sink alone writes there: it has
        // it to itself, or by `Shared::part` its caller promised so.
        unsafe { std::slice::from_raw_parts_mut(self.to.add(at), n) }
    }
}

impl<T: Element> Sink for Write<'_, T> {
    fn block(&mut self, values: Run<'_>, rows: usize, columns: usize, at: &[At]) {
        let At { base, row, column } = at[0];
        let values: &[T] = values.slice(rows * columns);
        if column == 1 || columns == 1 {
            for (r, from) in values.chunks_exact(columns).enumerate() {
                self.row(base + r as isize * row, columns).copy_from_slice(from);
            }
            return;
        }
        for (r, from) in values.chunks_exact(columns).enumerate() {
            for (c, value) in from.iter().enumerate() {
                self.row(base + r as isize * row + c as isize * column, 1)[0] = *value;
            }
        }
    }
}

/// An array that tasks fill, each its own part.
pub(crate) struct Shared {
    /// Untouched until all tasks are done.
    buf: Buf,
    /// Its elements.
    to: *mut u8,
}

// SAFETY: the pointer is only used by `part`, whose callers write disjoint parts.
unsafe impl Sync for Shared {}
// SAFETY: the elements are plain numbers, which any thread may write.
unsafe impl Send for Shared {}

impl Shared {
    pub(crate) fn new(mut buf: Buf) -> Arc<Self> {
        let to = dispatch!(buf.dtype(), T => buf.typed_mut::<T>().as_mut_ptr().cast());
        Arc::new(Self { buf, to })
    }

    /// A sink that writes to it.
    ///
    /// # Safety
    /// No other thread may write the elements that the sink's blocks go to, or read them
    /// before it is done.
    ///
    /// # Panics
    /// If the buffer's elements are not of type `T`.
    pub(crate) unsafe fn part<T: Element>(&self) -> Write<'_, T> {
        assert_eq!(self.buf.dtype(), T::DTYPE, "the result's type is its program's");
        Write { to: self.to.cast(), len: self.buf.len(), owner: PhantomData }
    }

    /// The buffer, when all tasks are done.
    pub(crate) fn finish(self: Arc<Self>) -> Option<Buf> {
        Arc::into_inner(self).map(|s| s.buf)
    }
}
