//! Device memory, and what keeps it alive while kernels use it.
//!
//! A caller may drop a buffer right after a launch. The pool gets its bytes back at once;
//! the memory itself is held by the queue until the launch is over ([`InFlight`]).

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    mem,
    sync::Arc,
};

use cudarc::driver::{
    result::{self, DriverError},
    sys,
};

use parking_lot::Mutex;

use super::driver::{Context, Event, Stream};
use crate::{buffer::RawBuffer, pool::Allocation, spec::DeviceName};

/// Allocates and frees. Where the device has stream-ordered pools, memory that was freed
/// stays in the driver's pool, so that the next allocation costs microseconds.
pub(super) struct Allocator {
    context: Arc<Context>,
    /// Carries allocations and frees only, and only of memory that no work uses, so that
    /// waiting for it never waits for work. `None`: no stream-ordered pools.
    stream: Option<Stream>,
    /// Devices that were asked for, and whether they reach this one's memory.
    reached: Mutex<HashMap<DeviceName, bool>>,
}

impl Allocator {
    /// The allocator of a device.
    ///
    /// # Errors
    /// As [`Stream::new`].
    pub(super) fn new(
        context: &Arc<Context>,
        device: sys::CUdevice,
        pools: bool,
    ) -> crate::error::Result<Arc<Self>> {
        let stream = if pools { Some(Stream::new(context)?) } else { None };
        if stream.is_some() {
            let mut keep = u64::MAX;
            let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            // SAFETY: the device is the driver's; the attribute is a 64-bit number. A failure
            // costs speed only.
            unsafe {
                if let Ok(pool) = result::device::get_default_mem_pool(device) {
                    let _ =
                        result::mem_pool::set_attribute(pool, attribute, (&raw mut keep).cast());
                }
            }
        }
        let (context, reached) = (Arc::clone(context), Mutex::default());
        Ok(Arc::new(Self { context, stream, reached }))
    }

    /// Allocates at least one byte, rounded up to whole 32-bit words. The context must be the
    /// thread's.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Arc<Memory>, DriverError> {
        let bytes = bytes.max(1).next_multiple_of(4);
        // SAFETY: the stream lives; the memory is used after the wait, on any stream.
        let start = unsafe {
            match &self.stream {
                Some(stream) => {
                    let start = result::malloc_async(stream.handle(), bytes)?;
                    stream.wait()?;
                    start
                }
                None => result::malloc_sync(bytes)?,
            }
        };
        Ok(Arc::new(Memory { allocator: Arc::clone(self), start, bytes }))
    }
}

impl Allocator {
    /// Whether copies of another device reach this one's memory. The driver's pool is opened to
    /// it at the first question (CUDA driver API, stream-ordered memory allocator: memory of a
    /// pool is not opened by `cuCtxEnablePeerAccess`).
    fn reached_by(&self, other: &Context) -> bool {
        *self.reached.lock().entry(other.name.clone()).or_insert_with(|| {
            let (own, other) = (self.context.device(), other.device());
            let mut can = 0;
            // SAFETY: the pointer is valid, both devices are the driver's.
            let asked = unsafe { sys::cuDeviceCanAccessPeer(&raw mut can, other, own) };
            if asked.result().is_err() || can == 0 {
                return false;
            }
            if self.stream.is_none() {
                return true;
            }
            let access = sys::CUmemAccessDesc {
                location: sys::CUmemLocation {
                    type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE,
                    id: other,
                },
                flags: sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
            };
            // SAFETY: the pool is the device's own; one description is given.
            let opened = unsafe {
                result::device::get_default_mem_pool(own)
                    .and_then(|pool| sys::cuMemPoolSetAccess(pool, &raw const access, 1).result())
            };
            opened.is_ok()
        })
    }
}

impl Memory {
    /// Whether copies of another device reach it.
    pub(super) fn reached_by(&self, other: &Context) -> bool {
        self.allocator.reached_by(other)
    }

    /// The context of its device.
    pub(super) fn context(&self) -> &Context {
        &self.allocator.context
    }
}

/// A range of device memory, freed when the last user lets go.
pub(super) struct Memory {
    allocator: Arc<Allocator>,
    pub(super) start: sys::CUdeviceptr,
    /// A multiple of four.
    pub(super) bytes: usize,
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.allocator.context.bind().is_err() {
            return;
        }
        // SAFETY: allocated once, freed once; queues hold the memory until their work with
        // it is over.
        let _ = unsafe {
            match &self.allocator.stream {
                Some(stream) => result::free_async(self.start, stream.handle()),
                None => result::free_sync(self.start),
            }
        };
    }
}

/// What stands behind a buffer of a GPU.
pub(super) struct CudaBuffer {
    pub(super) memory: Arc<Memory>,
    pub(super) _allocation: Allocation,
}

impl RawBuffer for CudaBuffer {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Uses of memory after which an event is recorded. A stated guess: an event costs about as
/// much as a launch, so one for every few launches.
const USES_PER_EVENT: usize = 16;

/// The memory that work on one queue may still use.
#[derive(Default)]
pub(super) struct InFlight {
    open: Vec<Arc<Memory>>,
    closed: VecDeque<(Event, Vec<Arc<Memory>>)>,
    spare: Vec<Event>,
}

impl InFlight {
    /// Holds `memory` until the work now on `stream` is over, and lets go of what is.
    ///
    /// # Errors
    /// The driver's, when an event cannot be made or recorded; the memory is held.
    pub(super) fn hold(
        &mut self,
        context: &Arc<Context>,
        stream: &Stream,
        memory: impl IntoIterator<Item = Arc<Memory>>,
    ) -> Result<(), DriverError> {
        self.open.extend(memory);
        while self.closed.front().is_some_and(|(event, _)| event.reached()) {
            self.spare.extend(self.closed.pop_front().map(|(event, _)| event));
        }
        if self.open.len() >= USES_PER_EVENT {
            let event = match self.spare.pop() {
                Some(event) => event,
                None => Event::new(context)?,
            };
            event.record(stream)?;
            self.closed.push_back((event, mem::take(&mut self.open)));
        }
        Ok(())
    }

    /// Takes out everything held; the caller lets go of it when the work is over.
    pub(super) fn take(&mut self) -> Vec<Arc<Memory>> {
        let mut all = mem::take(&mut self.open);
        for (event, memory) in self.closed.drain(..) {
            self.spare.push(event);
            all.extend(memory);
        }
        all
    }
}
