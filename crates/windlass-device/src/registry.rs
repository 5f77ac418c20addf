//! Opens devices by name, and lists what this host has and what is missing.

use std::{path::PathBuf, sync::Arc};

use serde::Serialize;

use crate::{
    cpu::CpuDevice,
    cuda,
    device::Device,
    emulated::{self, EmulatorOptions},
    error::{DeviceError, Result},
    fault::FaultPlan,
    info::{Backend, DeviceClass, DeviceInfo},
    pool::Budget,
    spec::{DeviceName, DeviceSpec, SpecItem},
    wgpu,
};

/// How devices are opened.
#[derive(Debug, Clone, Default)]
pub struct DeviceOptions {
    /// Cap of each device's pool in bytes; `None`: what the device has (see each backend).
    /// The host's cap is [`DeviceOptions::host_memory_cap`].
    pub memory_cap: Option<usize>,
    /// Cap of the `cpu` device's pool in bytes; `None`: the host's memory.
    pub host_memory_cap: Option<usize>,
    /// What the `cpu` device's pool shares its memory with; `None`: nothing.
    pub host_budget: Option<Arc<dyn Budget>>,
    /// Where compiled kernels are kept; `None`: `windlass/kernels` in the user's cache folder.
    pub kernel_cache: Option<PathBuf>,
    /// Whether adapters of WebGPU are opened without the features that it has not everywhere,
    /// such as 64-bit floats and integers: what runs there runs on every adapter.
    pub wgpu_baseline: bool,
    /// How the emulator runs.
    pub emulator: EmulatorOptions,
    /// Faults to inject into every opened device but `cpu`, for tests.
    pub faults: FaultPlan,
}

impl DeviceOptions {
    /// The folder for compiled kernels.
    pub fn kernel_cache_dir(&self) -> PathBuf {
        self.kernel_cache.clone().unwrap_or_else(|| {
            dirs::cache_dir().unwrap_or_else(std::env::temp_dir).join("windlass").join("kernels")
        })
    }
}

/// A line of `windlass devices`: a device, or why a family has none.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceReport {
    /// The name, or the family's name where it has no device.
    pub name: String,
    /// The device; `None` where it is missing.
    pub info: Option<DeviceInfo>,
    /// Whether `auto` would choose it.
    pub auto: bool,
    /// What is missing or worth knowing; empty when nothing is.
    pub note: String,
}

/// Opens one device.
///
/// # Errors
/// [`DeviceError::NotAvailable`] saying what is missing; `Lost`.
pub fn open_device(name: &DeviceName, options: &DeviceOptions) -> Result<Arc<dyn Device>> {
    match name.backend() {
        Backend::Cpu => Ok(Arc::new(CpuDevice::new(options))),
        Backend::Cuda => cuda::open(name.index(), options),
        Backend::CudaEmulated => emulated::open(name.index(), options),
        Backend::Wgpu => wgpu::open(name.index(), options),
    }
}

/// Opens the devices of a spec, `cpu` first, each once. `auto` opens the host and every
/// real GPU: CUDA's first, and a wgpu adapter only when no CUDA device was opened (it would
/// be the same card under another name).
///
/// # Errors
/// For `auto` none of a GPU's (a GPU that fails to open is left out); for a list, the first
/// device's error.
pub fn open_spec(spec: &DeviceSpec, options: &DeviceOptions) -> Result<Vec<Arc<dyn Device>>> {
    let mut out: Vec<Arc<dyn Device>> = vec![open_device(&DeviceName::cpu(), options)?];
    match spec {
        DeviceSpec::Auto => {
            for backend in [Backend::Cuda, Backend::Wgpu] {
                for name in names(backend).unwrap_or_default() {
                    if let Ok(d) = open_device(&name, options)
                        && d.info().class == DeviceClass::Real
                    {
                        out.push(d);
                    }
                }
                if out.len() > 1 {
                    break;
                }
            }
        }
        DeviceSpec::List(items) => {
            let mut wanted = Vec::new();
            for item in items {
                match item {
                    SpecItem::One(n) => wanted.push(n.clone()),
                    SpecItem::All(b) => wanted.extend(names(*b)?),
                    SpecItem::First(b, n) => {
                        wanted.extend((0..*n).map(|i| DeviceName::new(*b, i)));
                    }
                }
            }
            for name in wanted {
                if !out.iter().any(|d| d.info().name == name) {
                    out.push(open_device(&name, options)?);
                }
            }
        }
    }
    Ok(out)
}

/// The names of a backend's devices.
fn names(backend: Backend) -> Result<Vec<DeviceName>> {
    let n = match backend {
        Backend::Cpu | Backend::CudaEmulated => 1,
        Backend::Cuda => cuda::count()?,
        Backend::Wgpu => wgpu::count()?,
    };
    if n == 0 {
        let device = DeviceName::new(backend, 0).to_string();
        let reason = "this host has none".to_string();
        return Err(DeviceError::NotAvailable { device, reason });
    }
    Ok((0..n).map(|i| DeviceName::new(backend, i)).collect())
}

/// Every device of this host, and for each family without one the reason.
pub fn list_devices(options: &DeviceOptions) -> Vec<DeviceReport> {
    let mut out = Vec::new();
    let mut real_cuda = false;
    for backend in [Backend::Cpu, Backend::Cuda, Backend::Wgpu, Backend::CudaEmulated] {
        let first = DeviceName::new(backend, 0);
        let found = match names(backend) {
            Ok(found) => found,
            Err(e) => {
                let name = first.to_string().replace(":0", "");
                out.push(DeviceReport { name, info: None, auto: false, note: reason(e) });
                continue;
            }
        };
        for name in found {
            let report = match open_device(&name, options) {
                Ok(d) => {
                    let info = d.info().clone();
                    let (auto, note) = match info.class {
                        DeviceClass::Host => (true, String::new()),
                        DeviceClass::Real => {
                            (!(backend == Backend::Wgpu && real_cuda), String::new())
                        }
                        DeviceClass::Software => {
                            (false, "software adapter: used only when named".to_string())
                        }
                        DeviceClass::Emulated => {
                            (false, "emulator, for tests: used only when named".to_string())
                        }
                    };
                    real_cuda |= backend == Backend::Cuda;
                    DeviceReport { name: name.to_string(), info: Some(info), auto, note }
                }
                Err(e) => DeviceReport {
                    name: name.to_string(),
                    info: None,
                    auto: false,
                    note: reason(e),
                },
            };
            out.push(report);
        }
    }
    out
}

fn reason(e: DeviceError) -> String {
    match e {
        DeviceError::NotAvailable { reason, .. } => reason,
        e => e.to_string(),
    }
}
