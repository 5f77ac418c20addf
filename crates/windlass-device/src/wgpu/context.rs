//! The opened wgpu device. wgpu reports errors through scopes and callbacks, and panics on
//! some of them; here they become [`DeviceError`].

use std::{
    any::Any,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::kernel::WgpuKernel;
use crate::{
    error::{DeviceError, Result},
    fault::{FaultPlan, Faults},
    info::{DeviceInfo, Limits},
    pool::MemoryPool,
    source::KernelSource,
    spec::DeviceName,
};

/// How long a failed call waits for the work before it, to learn whether the device is
/// lost. Drivers reset a hung device after some 2 to 10 s; a guess.
const LOSS_WAIT: Duration = Duration::from_secs(10);

/// What one call into wgpu came to.
#[derive(Debug)]
pub(super) enum Failure {
    /// The device is gone.
    Lost(String),
    /// The driver has no memory.
    OutOfMemory,
    /// All else, in wgpu's words.
    Other(String),
}

/// One opened device, shared by its buffers, kernels and queues.
pub(super) struct Context {
    /// Tells this opening of the adapter from any other one.
    pub(super) id: u64,
    pub(super) name: DeviceName,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) limits: Limits,
    /// Groups in one dimension of a dispatch.
    pub(super) max_groups: u32,
    /// Alignment of a uniform's start in its buffer, in bytes.
    pub(super) uniform_align: usize,
    pub(super) pool: Arc<MemoryPool>,
    pub(super) faults: Faults,
    pub(super) kernels: Mutex<HashMap<KernelSource, Arc<WgpuKernel>>>,
    reports: Arc<Reports>,
}

/// What wgpu's callbacks have told.
#[derive(Default)]
struct Reports {
    lost: Mutex<Option<String>>,
    uncaptured: Mutex<Option<String>>,
}

impl Context {
    pub(super) fn new(
        name: DeviceName,
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: &DeviceInfo,
        cap: usize,
        faults: FaultPlan,
    ) -> Self {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let reports = Arc::new(Reports::default());
        let r = Arc::clone(&reports);
        device.set_device_lost_callback(move |reason, message| {
            let message = if message.is_empty() { format!("{reason:?}") } else { message };
            r.lost.lock().get_or_insert(message);
        });
        let r = Arc::clone(&reports);
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            r.uncaptured.lock().get_or_insert_with(|| e.to_string());
        }));
        let limits = device.limits();
        Self {
            id: OPENED.fetch_add(1, Ordering::Relaxed),
            max_groups: limits.max_compute_workgroups_per_dimension,
            uniform_align: limits.min_uniform_buffer_offset_alignment as usize,
            limits: info.limits.clone(),
            pool: MemoryPool::new(name.clone(), cap),
            faults: Faults::new(faults),
            kernels: Mutex::default(),
            name,
            device,
            queue,
            reports,
        }
    }

    /// Runs calls into wgpu and returns the first thing that went wrong with them.
    pub(super) fn guarded<T>(&self, calls: impl FnOnce() -> T) -> Result<T, Failure> {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        if let Some(reason) = self.reports.lost.lock().clone() {
            return Err(Failure::Lost(reason));
        }
        let scopes =
            [Validation, OutOfMemory, Internal].map(|kind| self.device.push_error_scope(kind));
        let out = catch_unwind(AssertUnwindSafe(calls));
        let mut error = None;
        for scope in scopes.into_iter().rev() {
            error = error.or(pollster::block_on(scope.pop()));
        }
        if out.is_err() || matches!(error, Some(wgpu::Error::Validation { .. })) {
            // A device lost between two calls shows as invalid objects; polling makes wgpu
            // tell of the loss. What the poll itself says adds nothing.
            let timeout = Some(LOSS_WAIT);
            let poll = wgpu::PollType::Wait { submission_index: None, timeout };
            let _ = catch_unwind(AssertUnwindSafe(|| self.device.poll(poll)));
        }
        if let Some(reason) = self.reports.lost.lock().clone() {
            return Err(Failure::Lost(reason));
        }
        match (out, error) {
            (_, Some(wgpu::Error::OutOfMemory { .. })) => Err(Failure::OutOfMemory),
            (_, Some(e)) => Err(Failure::Other(e.to_string())),
            (Ok(out), None) => Ok(out),
            (Err(panic), None) => Err(Failure::Other(panic_text(&*panic))),
        }
    }

    /// Waits for a submission and all before it.
    pub(super) fn wait(&self, index: wgpu::SubmissionIndex) -> Result<(), Failure> {
        let poll = wgpu::PollType::Wait { submission_index: Some(index), timeout: None };
        match self.guarded(|| self.device.poll(poll))? {
            Ok(_) => Ok(()),
            Err(e) => Err(Failure::Other(e.to_string())),
        }
    }

    /// Waits for all work of the device, so that what was freed is free.
    pub(super) fn drain(&self) -> Result<(), Failure> {
        match self.guarded(|| self.device.poll(wgpu::PollType::wait_indefinitely()))? {
            Ok(_) => Ok(()),
            Err(e) => Err(Failure::Other(e.to_string())),
        }
    }

    /// The error of a callback that no call has returned yet.
    pub(super) fn take_uncaptured(&self) -> Result<()> {
        match self.reports.uncaptured.lock().take() {
            Some(reason) => Err(DeviceError::Transfer { device: self.name.clone(), reason }),
            None => Ok(()),
        }
    }

    /// A failure as the crate's error; `bytes` is what the call asked for, `other` makes the
    /// error of a failure that is neither loss nor lack of memory.
    pub(super) fn error(
        &self,
        failure: Failure,
        bytes: usize,
        other: impl FnOnce(DeviceName, String) -> DeviceError,
    ) -> DeviceError {
        match failure {
            Failure::Lost(reason) => DeviceError::Lost { device: self.name.clone(), reason },
            Failure::OutOfMemory => {
                let s = self.pool.stats();
                DeviceError::OutOfMemory {
                    device: self.name.clone(),
                    requested: bytes,
                    in_use: s.in_use,
                    cap: s.cap,
                }
            }
            Failure::Other(reason) => other(self.name.clone(), reason),
        }
    }

    /// A failure of a transfer of `bytes`.
    pub(super) fn transfer_error(&self, failure: Failure, bytes: usize) -> DeviceError {
        self.error(failure, bytes, |device, reason| DeviceError::Transfer { device, reason })
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("the driver layer panicked")
        .to_string()
}
