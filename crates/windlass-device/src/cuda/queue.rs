//! A stream as a queue.

use std::{
    ffi::c_void,
    sync::{Arc, Weak},
};

use cudarc::driver::{
    result::{self, DriverError},
    sys,
};
use parking_lot::Mutex;

use super::{
    driver::{Context, During, Stream, is_fatal},
    kernel::CudaKernel,
    memory::{CudaBuffer, InFlight, Memory},
    staging::{HALF, Staging},
};
use crate::{
    buffer::DeviceBuffer,
    device::{Kernel, Queue},
    error::{DeviceError, Result},
};

/// What the queues of a device may still use, so that the device can let go of it all when
/// memory is short.
pub(super) type InFlightList = Mutex<Vec<Weak<Mutex<InFlight>>>>;

pub(super) struct CudaQueue {
    context: Arc<Context>,
    in_flight: Arc<Mutex<InFlight>>,
    /// Made by the first transfer.
    staging: Option<Staging>,
    stream: Stream,
    /// The last kernel launched, to name in errors that surface later.
    last: Option<String>,
}

impl CudaQueue {
    /// A queue, entered into the device's list.
    ///
    /// # Errors
    /// As [`Stream::new`].
    pub(super) fn new(context: &Arc<Context>, list: &InFlightList) -> Result<Self> {
        let stream = Stream::new(context)?;
        let in_flight = Arc::new(Mutex::new(InFlight::default()));
        let mut list = list.lock();
        list.retain(|q| q.strong_count() > 0);
        list.push(Arc::downgrade(&in_flight));
        Ok(Self { context: Arc::clone(context), in_flight, staging: None, stream, last: None })
    }

    fn buffer<'b>(&self, buffer: &'b DeviceBuffer) -> Result<&'b Arc<Memory>> {
        if *buffer.device() != self.context.name {
            return Err(DeviceError::InvalidArgument(format!(
                "a buffer of {} was given to a queue of {}",
                buffer.device(),
                self.context.name
            )));
        }
        Ok(&buffer.raw::<CudaBuffer>()?.memory)
    }

    /// The error of a call that may report earlier work: a fatal one comes from a kernel.
    fn error(&self, e: DriverError) -> DeviceError {
        match &self.last {
            Some(kernel) if is_fatal(e.0) => self.context.error(e, During::Launch(kernel)),
            _ => self.context.error(e, During::Transfer),
        }
    }

    fn staging(&mut self) -> Result<&mut Staging> {
        if self.staging.is_none() {
            let made =
                Staging::new(&self.context).map_err(|e| self.context.error(e, During::Transfer))?;
            self.staging = Some(made);
        }
        self.staging.as_mut().ok_or_else(|| {
            DeviceError::InvalidArgument("no staging memory after it was made".to_string())
        })
    }

    /// Holds memory that the work just enqueued uses.
    fn hold(&self, memory: impl IntoIterator<Item = Arc<Memory>>) -> Result<()> {
        let held = self.in_flight.lock().hold(&self.context, &self.stream, memory);
        held.map_err(|e| self.error(e))
    }

    /// All work is over: lets go of what it used.
    fn settle(&mut self) {
        let memory = self.in_flight.lock().take();
        self.last = None;
        drop(memory);
    }

    fn upload_parts(&mut self, start: u64, src: &[u8]) -> Result<(), DriverError> {
        let Self { staging: Some(staging), stream, .. } = self else { return Ok(()) };
        let mut at = start;
        for part in src.chunks(HALF) {
            let pinned = staging.piece(stream, part.len())?;
            // SAFETY: the piece is pinned, unused and as long as `part`; the device range was
            // checked by the caller and its memory is held until the copy is over.
            unsafe {
                pinned.copy_from_nonoverlapping(part.as_ptr(), part.len());
                let pinned = std::slice::from_raw_parts(pinned, part.len());
                result::memcpy_htod_async(at, pinned, stream.handle())?;
            }
            at += part.len() as u64;
        }
        Ok(())
    }
}

impl Queue for CudaQueue {
    fn upload(&mut self, dst: &DeviceBuffer, dst_offset: usize, src: &[u8]) -> Result<()> {
        dst.check_range(dst_offset, src.len())?;
        let memory = Arc::clone(self.buffer(dst)?);
        self.context.faults.on_transfer(&self.context.name)?;
        self.context.bind()?;
        if src.is_empty() {
            return Ok(());
        }
        self.staging()?;
        let result = self.upload_parts(memory.start + dst_offset as u64, src);
        self.hold([memory])?;
        result.map_err(|e| self.error(e))
    }

    fn download(&mut self, src: &DeviceBuffer, src_offset: usize, dst: &mut [u8]) -> Result<()> {
        src.check_range(src_offset, dst.len())?;
        let memory = Arc::clone(self.buffer(src)?);
        self.context.faults.on_transfer(&self.context.name)?;
        self.context.bind()?;
        self.staging()?;
        let Self { staging: Some(staging), stream, .. } = self else { return Ok(()) };
        // SAFETY: the range was checked, and `memory` is held until the copy is over.
        let result = unsafe { staging.download(stream, memory.start + src_offset as u64, dst) };
        if let Err(e) = result {
            return Err(self.error(e));
        }
        self.settle();
        Ok(())
    }

    fn copy(
        &mut self,
        src: &DeviceBuffer,
        src_offset: usize,
        dst: &DeviceBuffer,
        dst_offset: usize,
        len: usize,
    ) -> Result<()> {
        src.check_range(src_offset, len)?;
        dst.check_range(dst_offset, len)?;
        if [src_offset, dst_offset, len].iter().any(|n| !n.is_multiple_of(4)) {
            return Err(DeviceError::InvalidArgument(format!(
                "a copy of {len} bytes from {src_offset} to {dst_offset}: all three must be \
                 multiples of 4"
            )));
        }
        let (from, to) = (Arc::clone(self.buffer(src)?), Arc::clone(self.buffer(dst)?));
        if Arc::ptr_eq(&from, &to) {
            return Err(DeviceError::InvalidArgument(
                "a copy needs two different buffers".to_string(),
            ));
        }
        self.context.faults.on_call(&self.context.name)?;
        self.context.bind()?;
        if len == 0 {
            return Ok(());
        }
        let (s, d) = (from.start + src_offset as u64, to.start + dst_offset as u64);
        // SAFETY: both ranges were checked; the memory is held until the copy is over.
        let result = unsafe { result::memcpy_dtod_async(d, s, len, self.stream.handle()) };
        self.hold([from, to])?;
        result.map_err(|e| self.error(e))
    }

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
        let to = Arc::clone(self.buffer(dst)?);
        if src.device().backend() != self.context.name.backend() {
            return Ok(false);
        }
        let from = Arc::clone(&src.raw::<CudaBuffer>()?.memory);
        if !from.reached_by(&self.context) {
            return Ok(false);
        }
        self.context.faults.on_transfer(&self.context.name)?;
        self.context.bind()?;
        if len == 0 {
            return Ok(true);
        }
        let (s, d) = (from.start + src_offset as u64, to.start + dst_offset as u64);
        let (own, other) = (self.context.handle(), from.context().handle());
        // SAFETY: both ranges were checked, both contexts are retained by what is held until
        // the copy is over.
        let result =
            unsafe { sys::cuMemcpyPeerAsync(d, own, s, other, len, self.stream.handle()).result() };
        self.hold([from, to])?;
        result.map_err(|e| self.error(e))?;
        Ok(true)
    }

    fn fill(&mut self, dst: &DeviceBuffer, word: u32) -> Result<()> {
        let memory = Arc::clone(self.buffer(dst)?);
        self.context.faults.on_call(&self.context.name)?;
        self.context.bind()?;
        // Whole words: the allocation is rounded up to them.
        let words = memory.bytes / 4;
        // SAFETY: the range is the allocation; it is held until the fill is over.
        let result = unsafe {
            sys::cuMemsetD32Async(memory.start, word, words, self.stream.handle()).result()
        };
        self.hold([memory])?;
        result.map_err(|e| self.error(e))
    }

    fn launch(
        &mut self,
        kernel: &Arc<dyn Kernel>,
        groups: u32,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<()> {
        let name = kernel.name();
        let cuda = kernel.as_any().downcast_ref::<CudaKernel>();
        let Some(kernel) = cuda.filter(|k| Arc::ptr_eq(&k.context, &self.context)) else {
            return Err(DeviceError::InvalidArgument(format!(
                "kernel {name} was compiled for another device than {}",
                self.context.name
            )));
        };
        if buffers.len() != kernel.buffers || params.len() != kernel.params {
            return Err(DeviceError::InvalidArgument(format!(
                "kernel {name} takes {} buffers and {} parameter words, got {} and {}",
                kernel.buffers,
                kernel.params,
                buffers.len(),
                params.len()
            )));
        }
        if groups == 0 {
            return Ok(());
        }
        let memory =
            buffers.iter().map(|b| self.buffer(b).map(Arc::clone)).collect::<Result<Vec<_>>>()?;
        self.context.faults.on_launch(&self.context.name, name)?;
        self.context.bind()?;
        let mut starts: Vec<sys::CUdeviceptr> = memory.iter().map(|m| m.start).collect();
        let mut arguments: Vec<*mut c_void> =
            starts.iter_mut().map(|s| std::ptr::from_mut(s).cast()).collect();
        if !params.is_empty() {
            arguments.push(params.as_ptr().cast_mut().cast());
        }
        // SAFETY: the arguments match the entry point, which was checked when it was
        // compiled; the driver copies them before it returns, and the memory is held until
        // the kernel is over.
        let result = unsafe {
            result::launch_kernel(
                kernel.function,
                (groups, 1, 1),
                (kernel.block, 1, 1),
                0,
                self.stream.handle(),
                &mut arguments,
            )
        };
        if let Err(e) = result {
            return Err(self.context.error(e, During::Launch(name)));
        }
        if self.last.as_deref() != Some(name) {
            self.last = Some(name.to_string());
        }
        self.hold(memory)
    }

    fn synchronize(&mut self) -> Result<()> {
        self.context.faults.on_call(&self.context.name)?;
        self.context.bind()?;
        self.stream.wait().map_err(|e| self.error(e))?;
        self.settle();
        Ok(())
    }
}

impl Drop for CudaQueue {
    fn drop(&mut self) {
        // Pinned memory and buffers are freed after this, so no work may use them any more.
        if self.context.bind().is_ok() {
            let _ = self.stream.wait();
        }
        self.settle();
    }
}
