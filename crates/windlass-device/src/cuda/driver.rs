//! The driver: is it there, what its errors mean, and the handles that are released when
//! they are dropped.

use std::{
    ffi::CStr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use cudarc::driver::{
    result::{self, DriverError},
    sys,
};

use crate::{
    error::{DeviceError, Result},
    fault::Faults,
    info::Backend,
    spec::DeviceName,
};

/// Loads and starts the driver, once in a process.
///
/// # Errors
/// Text that names the missing library and how to get it, or the driver's refusal.
pub(super) fn start() -> Result<(), String> {
    static STARTED: OnceLock<Result<(), (u32, String)>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        // SAFETY: loading the driver has no requirements. Every other call into `sys` panics
        // when it is absent.
        if !unsafe { sys::is_culib_present() } {
            let text = "the NVIDIA driver's library libcuda.so.1 was not found: install the \
                        driver (Debian: nvidia-driver; Ubuntu: nvidia-driver-580; in a \
                        container: run it with the NVIDIA container toolkit, --gpus all)";
            return Err((0, text.to_string()));
        }
        result::init().map_err(|e| (e.0 as u32, words(e)))
    });
    match started {
        Ok(()) => Ok(()),
        Err((code, _)) if *code == sys::CUresult::CUDA_ERROR_NO_DEVICE as u32 => {
            Err("the NVIDIA driver is installed and finds no GPU".to_string())
        }
        Err((0, text)) => Err(text.clone()),
        Err((_, text)) => Err(format!("the NVIDIA driver does not start: {text}")),
    }
}

/// The driver's own name and words for an error.
pub(super) fn words(e: DriverError) -> String {
    let text = |t: Result<&CStr, DriverError>| {
        t.map_or_else(|_| format!("{:?}", e.0), |t| t.to_string_lossy().into_owned())
    };
    format!("{} ({})", text(e.error_string()), text(e.error_name()))
}

/// Errors after which the context, and everything in it, is gone.
pub(super) fn is_fatal(e: sys::CUresult) -> bool {
    use sys::CUresult as R;
    matches!(
        e,
        R::CUDA_ERROR_DEINITIALIZED
            | R::CUDA_ERROR_INVALID_CONTEXT
            | R::CUDA_ERROR_ECC_UNCORRECTABLE
            | R::CUDA_ERROR_NVLINK_UNCORRECTABLE
            | R::CUDA_ERROR_ILLEGAL_ADDRESS
            | R::CUDA_ERROR_LAUNCH_TIMEOUT
            | R::CUDA_ERROR_CONTEXT_IS_DESTROYED
            | R::CUDA_ERROR_ASSERT
            | R::CUDA_ERROR_HARDWARE_STACK_ERROR
            | R::CUDA_ERROR_ILLEGAL_INSTRUCTION
            | R::CUDA_ERROR_MISALIGNED_ADDRESS
            | R::CUDA_ERROR_INVALID_ADDRESS_SPACE
            | R::CUDA_ERROR_INVALID_PC
            | R::CUDA_ERROR_LAUNCH_FAILED
            | R::CUDA_ERROR_EXTERNAL_DEVICE
            | R::CUDA_ERROR_SYSTEM_NOT_READY
            | R::CUDA_ERROR_UNKNOWN
    )
}

/// What a failed call was doing, which decides the error's kind.
#[derive(Clone, Copy)]
pub(super) enum During<'a> {
    Transfer,
    Launch(&'a str),
}

/// The primary context of one GPU.
pub(super) struct Context {
    pub(super) name: DeviceName,
    pub(super) faults: Faults,
    device: sys::CUdevice,
    handle: sys::CUcontext,
    lost: AtomicBool,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Context {}
// SAFETY: as above; the driver locks for itself.
unsafe impl Sync for Context {}

impl Context {
    /// Retains the primary context of GPU `device`.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn new(
        name: DeviceName,
        device: sys::CUdevice,
        faults: Faults,
    ) -> Result<Arc<Self>, DriverError> {
        // SAFETY: `device` comes from the driver.
        let handle = unsafe { result::primary_ctx::retain(device) }?;
        let lost = AtomicBool::new(false);
        Ok(Arc::new(Self { name, faults, device, handle, lost }))
    }

    /// The driver's handle, retained until this is dropped.
    pub(super) fn handle(&self) -> sys::CUcontext {
        self.handle
    }

    /// The driver's number of the GPU.
    pub(super) fn device(&self) -> sys::CUdevice {
        self.device
    }

    /// Makes the context the calling thread's.
    ///
    /// # Errors
    /// `Lost`.
    pub(super) fn bind(&self) -> Result<()> {
        if self.lost.load(Ordering::Acquire) {
            let reason = "an earlier error ended its context; restart the process".to_string();
            return Err(DeviceError::Lost { device: self.name.clone(), reason });
        }
        // SAFETY: the handle is retained until the context is dropped.
        unsafe { result::ctx::set_current(self.handle) }
            .map_err(|e| self.error(e, During::Transfer))
    }

    /// The error of a failed call. A fatal one marks the device as lost.
    pub(super) fn error(&self, e: DriverError, during: During<'_>) -> DeviceError {
        let (device, reason) = (self.name.clone(), words(e));
        if is_fatal(e.0) {
            self.lost.store(true, Ordering::Release);
            let reason = match during {
                During::Launch(kernel) => format!("{reason}, seen at a launch of {kernel}"),
                During::Transfer => reason,
            };
            return DeviceError::Lost { device, reason };
        }
        match during {
            During::Transfer => DeviceError::Transfer { device, reason },
            During::Launch(kernel) => {
                DeviceError::Launch { device, kernel: kernel.to_string(), reason }
            }
        }
    }

    /// Waits for all work of the device; errors are left to the queues.
    pub(super) fn drain(&self) {
        if self.bind().is_ok() {
            let _ = result::ctx::synchronize();
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained in `new`, released once. Buffers, kernels and queues hold the
        // context, so nothing of theirs is left.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// An in-order stream.
pub(super) struct Stream {
    context: Arc<Context>,
    handle: sys::CUstream,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    /// A stream that does not wait for the default stream.
    ///
    /// # Errors
    /// `Lost`, or the driver's refusal as `Transfer`.
    pub(super) fn new(context: &Arc<Context>) -> Result<Self> {
        context.bind()?;
        let handle = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(|e| context.error(e, During::Transfer))?;
        Ok(Self { context: Arc::clone(context), handle })
    }

    /// The driver's handle.
    pub(super) fn handle(&self) -> sys::CUstream {
        self.handle
    }

    /// Waits for all work on the stream.
    ///
    /// # Errors
    /// The first error of that work.
    pub(super) fn wait(&self) -> Result<(), DriverError> {
        // SAFETY: the stream lives.
        unsafe { result::stream::synchronize(self.handle) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: created in `new`, destroyed once.
            let _ = unsafe { result::stream::destroy(self.handle) };
        }
    }
}

/// A point on a stream.
pub(super) struct Event {
    context: Arc<Context>,
    handle: sys::CUevent,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Event {}

impl Event {
    /// An event that has not been recorded, which counts as reached.
    ///
    /// # Errors
    /// The driver's. The context must be the thread's.
    pub(super) fn new(context: &Arc<Context>) -> Result<Self, DriverError> {
        let handle = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)?;
        Ok(Self { context: Arc::clone(context), handle })
    }

    /// Records the end of the work now on the stream.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn record(&self, stream: &Stream) -> Result<(), DriverError> {
        // SAFETY: both live.
        unsafe { result::event::record(self.handle, stream.handle) }
    }

    /// Whether the recorded work is done. An error counts as not done; it surfaces at the
    /// next wait.
    pub(super) fn reached(&self) -> bool {
        // SAFETY: the event lives.
        unsafe { result::event::query(self.handle) }.is_ok()
    }

    /// Waits for the recorded work.
    ///
    /// # Errors
    /// The first error of that work.
    pub(super) fn wait(&self) -> Result<(), DriverError> {
        // SAFETY: the event lives.
        unsafe { result::event::synchronize(self.handle) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: created in `new`, destroyed once.
            let _ = unsafe { result::event::destroy(self.handle) };
        }
    }
}

/// The devices whose memory a device reaches without the host. None where the driver does not
/// tell: nothing depends on it but what is shown.
pub(super) fn peers(name: &DeviceName, device: sys::CUdevice) -> Vec<DeviceName> {
    let count = result::device::get_count().unwrap_or(0);
    let reaches = |other: i32| {
        let Ok(other) = result::device::get(other) else { return false };
        let mut can = 0;
        // SAFETY: the pointer is valid, and both devices were returned by the driver.
        let asked = unsafe { sys::cuDeviceCanAccessPeer(&raw mut can, device, other) };
        asked.result().is_ok() && can != 0
    };
    let others = (0..count).filter(|i| *i != name.index() as i32 && reaches(*i));
    others.map(|i| DeviceName::new(Backend::Cuda, i as u32)).collect()
}
