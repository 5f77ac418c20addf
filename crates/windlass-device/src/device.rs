//! The traits that every backend implements.

use std::{any::Any, fmt, sync::Arc};

use crate::{
    buffer::{DeviceBuffer, HostBytes},
    error::Result,
    info::DeviceInfo,
    pool::{MemoryPool, Reservation},
    source::KernelSource,
};

/// Memory, queues and launches. Object-safe; shared as `Arc<dyn Device>`.
///
/// Memory is reserved before it is allocated: `pool().reserve(bytes)` admits or refuses
/// the work as a whole, and [`Device::alloc`] then draws on the reservation.
pub trait Device: Send + Sync + fmt::Debug {
    /// Properties, limits and features.
    fn info(&self) -> &DeviceInfo;

    /// The accounting of this device's memory.
    fn pool(&self) -> &Arc<MemoryPool>;

    /// Allocates `bytes` (zero is allowed) out of `reservation`. The contents are
    /// undefined. The start is aligned to at least 256 bytes.
    ///
    /// # Errors
    /// `OutOfMemory` when the reservation holds too little and cannot grow, or the driver
    /// has no memory left; `Lost`.
    fn alloc(&self, reservation: &mut Reservation, bytes: usize) -> Result<DeviceBuffer>;

    /// Takes host memory as a buffer without a copy, where the device's memory is the
    /// host's; `None` elsewhere. The memory stays its owner's and is not accounted.
    fn adopt(&self, _bytes: Arc<dyn HostBytes>) -> Option<DeviceBuffer> {
        None
    }

    /// A new queue. Work on one queue runs in order; work on two queues is ordered only
    /// by [`Queue::synchronize`].
    ///
    /// # Errors
    /// `Lost`, or the driver's refusal.
    fn queue(&self) -> Result<Box<dyn Queue>>;

    /// Compiles a kernel, or returns the one compiled earlier from an equal source.
    ///
    /// # Errors
    /// `Compile` with the compiler's log; `Unsupported` on `cpu`, whose twins are Rust
    /// functions.
    fn compile(&self, source: &KernelSource) -> Result<Arc<dyn Kernel>>;
}

/// A compiled kernel of one device.
pub trait Kernel: Send + Sync + 'static {
    /// The kernel's name, for errors and events.
    fn name(&self) -> &str;

    /// For the backend's own downcast.
    fn as_any(&self) -> &dyn Any;
}

/// An in-order queue of copies and launches.
///
/// A call may return before its work is done. Its error may then surface at a later call
/// on the queue, at the latest at [`Queue::synchronize`] or [`Queue::download`].
pub trait Queue: Send {
    /// Copies `src` to `dst[dst_offset..]`. `src` may be reused on return.
    ///
    /// # Errors
    /// `InvalidArgument` for a range outside `dst`; `Transfer`; `Lost`.
    fn upload(&mut self, dst: &DeviceBuffer, dst_offset: usize, src: &[u8]) -> Result<()>;

    /// Copies `src[src_offset..]` to `dst`, and waits for it and all work before it.
    ///
    /// # Errors
    /// `InvalidArgument` for a range outside `src`; `Transfer`; `Lost`; an error of
    /// earlier work.
    fn download(&mut self, src: &DeviceBuffer, src_offset: usize, dst: &mut [u8]) -> Result<()>;

    /// Copies `len` bytes between two different buffers of this device. Offsets and
    /// length are multiples of 4.
    ///
    /// # Errors
    /// `InvalidArgument`; `Transfer`; `Lost`.
    fn copy(
        &mut self,
        src: &DeviceBuffer,
        src_offset: usize,
        dst: &DeviceBuffer,
        dst_offset: usize,
        len: usize,
    ) -> Result<()>;

    /// Copies `len` bytes of a buffer of another device into one of this queue's device, where
    /// the two reach each other's memory; `false` where they do not, and nothing is copied. All
    /// work on `src` must be over, and `src` must live until this queue was synchronized.
    ///
    /// # Errors
    /// `InvalidArgument` for a range outside a buffer; `Transfer`; `Lost`.
    fn copy_from_peer(
        &mut self,
        src: &DeviceBuffer,
        src_offset: usize,
        dst: &DeviceBuffer,
        dst_offset: usize,
        len: usize,
    ) -> Result<bool> {
        src.check_range(src_offset, len)?;
        dst.check_range(dst_offset, len)?;
        Ok(false)
    }

    /// Sets the whole buffer, taken as 32-bit words, to `word` (a trailing part of a word
    /// gets the word's first bytes).
    ///
    /// # Errors
    /// `Transfer`; `Lost`.
    fn fill(&mut self, dst: &DeviceBuffer, word: u32) -> Result<()>;

    /// Runs `groups` blocks of the kernel's block size over `buffers`, in the order of the
    /// kernel's parameters, and `params`, its trailing 32-bit words (at most 64). Zero
    /// groups is no work. See [`KernelSource`] for what a kernel sees.
    ///
    /// # Errors
    /// `InvalidArgument` for a wrong number of buffers; `Launch`; `Lost`.
    fn launch(
        &mut self,
        kernel: &Arc<dyn Kernel>,
        groups: u32,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<()>;

    /// Waits for all work on this queue.
    ///
    /// # Errors
    /// The first error of the work waited for.
    fn synchronize(&mut self) -> Result<()>;
}
