//! The `cuda` backend: NVIDIA GPUs through the CUDA driver, which is loaded at run time.
//!
//! A device is the GPU's primary context. Memory comes from the driver's stream-ordered
//! pool; a queue is a stream; uploads and downloads go through pinned memory; kernels are
//! compiled by NVRTC for the device's architecture and kept on disk by their source, the
//! architecture and NVRTC's version. Calls are asynchronous where the trait allows it.
//!
//! After a fault inside a kernel the driver refuses every further call: the device reports
//! `Lost` from then on, until the process ends.

mod driver;
mod kernel;
mod memory;
pub mod nvrtc;
mod queue;
mod staging;

use std::{collections::HashMap, fmt, path::PathBuf, sync::Arc};

use cudarc::driver::{
    result::{self, DriverError},
    sys::{self, CUdevice_attribute as Attribute},
};
use parking_lot::Mutex;

use crate::{
    buffer::DeviceBuffer,
    device::{Device, Kernel, Queue},
    error::{DeviceError, Result},
    fault::Faults,
    info::{Backend, DeviceClass, DeviceInfo, Features, Limits},
    pool::{MemoryPool, Reservation},
    registry::DeviceOptions,
    source::{KernelSource, Language},
    spec::DeviceName,
};
use driver::{Context, During};
use memory::{Allocator, CudaBuffer};
use queue::{CudaQueue, InFlightList};

/// Most buffers of a kernel: 4,096 bytes of kernel parameters, less 256 for the words.
const MAX_BUFFERS: u32 = 480;

/// The share of the memory that is free at opening which the pool may use by default, in
/// percent. A stated guess: the rest is for modules, the driver's own use and fragments.
const DEFAULT_SHARE: usize = 90;

/// Number of GPUs.
///
/// # Errors
/// `NotAvailable` naming the missing library.
pub fn count() -> Result<u32> {
    let missing = |reason| {
        let device = DeviceName::new(Backend::Cuda, 0).to_string();
        DeviceError::NotAvailable { device, reason }
    };
    driver::start().map_err(missing)?;
    let n = result::device::get_count().map_err(|e| missing(driver::words(e)))?;
    Ok(u32::try_from(n).unwrap_or(0))
}

/// Opens GPU `index`.
///
/// # Errors
/// `NotAvailable` when the driver, NVRTC or the GPU is missing.
pub fn open(index: u32, options: &DeviceOptions) -> Result<Arc<dyn Device>> {
    let name = DeviceName::new(Backend::Cuda, index);
    let missing = |reason: String| DeviceError::NotAvailable { device: name.to_string(), reason };
    driver::start().map_err(missing)?;
    let count = count()?;
    if index >= count {
        return Err(missing(format!("this host has {count} GPUs, numbered from 0")));
    }
    nvrtc::version().map_err(missing)?;
    CudaDevice::open(&name, options)
        .map_err(|e| missing(driver::words(e)))?
        .map(|d| Arc::new(d) as Arc<dyn Device>)
}

struct CudaDevice {
    info: DeviceInfo,
    pool: Arc<MemoryPool>,
    context: Arc<Context>,
    allocator: Arc<Allocator>,
    in_flight: InFlightList,
    kernels: Mutex<HashMap<KernelSource, Arc<dyn Kernel>>>,
    /// 90 for sm_90.
    architecture: u32,
    cache: PathBuf,
}

impl CudaDevice {
    /// The outer error comes from asking for properties, the inner from using the device.
    fn open(name: &DeviceName, options: &DeviceOptions) -> Result<Result<Self>, DriverError> {
        let device = result::device::get(name.index() as i32)?;
        let ask = |a: Attribute| -> Result<u32, DriverError> {
            // SAFETY: the device was returned by the driver.
            let value = unsafe { result::device::get_attribute(device, a) }?;
            Ok(u32::try_from(value).unwrap_or(0))
        };
        let architecture = ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)? * 10
            + ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let pools = ask(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? != 0;
        // SAFETY: as above.
        let total = unsafe { result::device::total_mem(device) }?;
        let mut version = 0;
        // SAFETY: the pointer is valid.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
        let (major, minor) = nvrtc::version().unwrap_or_default();
        let info = DeviceInfo {
            name: name.clone(),
            backend: Backend::Cuda,
            class: DeviceClass::Real,
            model: result::device::get_name(device)?,
            driver: format!(
                "sm_{architecture}, driver for CUDA {}.{}, NVRTC {major}.{minor}",
                version / 1000,
                version % 1000 / 10
            ),
            memory_bytes: total as u64,
            pci: format!(
                "{:04x}:{:02x}:{:02x}.0",
                ask(Attribute::CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID)?,
                ask(Attribute::CU_DEVICE_ATTRIBUTE_PCI_BUS_ID)?,
                ask(Attribute::CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)?
            ),
            peers: driver::peers(name, device),
            units: ask(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            limits: Limits {
                max_buffer_bytes: total,
                max_buffers: MAX_BUFFERS,
                max_block: ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
                shared_bytes: ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)?,
                warp: ask(Attribute::CU_DEVICE_ATTRIBUTE_WARP_SIZE)?,
            },
            features: Features { int64: true, int64_atomics: true, float64: true, int128: true },
        };
        let context = Context::new(name.clone(), device, Faults::new(options.faults))?;
        if let Err(e) = context.bind() {
            return Ok(Err(e));
        }
        let free = result::mem_get_info()?.0;
        let cap = options.memory_cap.unwrap_or(free / 100 * DEFAULT_SHARE);
        Ok(Allocator::new(&context, device, pools).map(|allocator| Self {
            pool: MemoryPool::new(name.clone(), cap),
            info,
            context,
            allocator,
            in_flight: Mutex::new(Vec::new()),
            kernels: Mutex::new(HashMap::new()),
            architecture,
            cache: options.kernel_cache_dir(),
        }))
    }

    /// Waits for the device's work and frees what only that work still held.
    fn reclaim(&self) {
        let queues: Vec<_> = self.in_flight.lock().iter().filter_map(|q| q.upgrade()).collect();
        // Taken before the wait: what is added after it belongs to later work.
        let held: Vec<_> = queues.iter().map(|q| q.lock().take()).collect();
        self.context.drain();
        drop(held);
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudaDevice({}, {})", self.info.name, self.info.model)
    }
}

impl Device for CudaDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn pool(&self) -> &Arc<MemoryPool> {
        &self.pool
    }

    fn alloc(&self, reservation: &mut Reservation, bytes: usize) -> Result<DeviceBuffer> {
        let name = &self.info.name;
        self.context.faults.on_alloc(name, bytes)?;
        let allocation = reservation.allocate(bytes)?;
        self.context.bind()?;
        let full = |e: &DriverError| e.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY;
        let mut memory = self.allocator.allocate(bytes);
        if memory.as_ref().is_err_and(full) {
            self.reclaim();
            self.context.bind()?;
            memory = self.allocator.allocate(bytes);
        }
        match memory {
            Ok(memory) => {
                let raw = Arc::new(CudaBuffer { memory, _allocation: allocation });
                Ok(DeviceBuffer::new(name.clone(), raw, bytes))
            }
            Err(e) if full(&e) => {
                let s = self.pool.stats();
                let device = name.clone();
                Err(DeviceError::OutOfMemory {
                    device,
                    requested: bytes,
                    in_use: s.in_use,
                    cap: s.cap,
                })
            }
            Err(e) => Err(self.context.error(e, During::Transfer)),
        }
    }

    fn queue(&self) -> Result<Box<dyn Queue>> {
        Ok(Box::new(CudaQueue::new(&self.context, &self.in_flight)?))
    }

    fn compile(&self, source: &KernelSource) -> Result<Arc<dyn Kernel>> {
        if let Some(kernel) = self.kernels.lock().get(source) {
            return Ok(Arc::clone(kernel));
        }
        let failed = |log: String| DeviceError::Compile {
            device: self.info.name.clone(),
            kernel: source.name.to_string(),
            log,
        };
        if source.language != Language::Cuda {
            return Err(failed("the source is WGSL; this device takes CUDA".to_string()));
        }
        self.context.bind()?;
        let loaded = kernel::load(&self.context, source, self.architecture, &self.cache);
        let kernel: Arc<dyn Kernel> = Arc::new(loaded.map_err(failed)?);
        self.kernels.lock().insert(source.clone(), Arc::clone(&kernel));
        Ok(kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_driver_says_what_to_install() {
        let missing = match count() {
            Ok(n) => {
                // A host with GPUs: one past the last is refused.
                let e = open(n, &DeviceOptions::default()).unwrap_err().to_string();
                assert!(e.contains("numbered from 0") || e.contains("libnvrtc"), "{e}");
                return;
            }
            Err(e) => e.to_string(),
        };
        assert!(missing.contains("cuda:0 is not available"), "{missing}");
        assert!(missing.contains("libcuda.so.1") || missing.contains("no GPU"), "{missing}");
        let opened = open(0, &DeviceOptions::default()).unwrap_err().to_string();
        assert_eq!(opened, missing);
    }
}
