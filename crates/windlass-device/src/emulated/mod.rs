//! The `cuda-emulated` backend: runs the CUDA sources on the host, for tests and CI.
//!
//! A kernel is compiled as C++17 by the host's compiler (`compile`) against the dialect's
//! headers in `kernels/include`. A block runs on one OS thread and its threads are fibers
//! that switch at barriers and warp operations (`block`); the blocks of a grid run on several
//! OS threads, so global atomics really race (`grid`). Work is done when the queue's call
//! returns.
//!
//! What it finds: divergence at barriers and warp operations, writes past the end of a
//! buffer or a shared array, use of memory that was never written (it is poisoned), a
//! dependence on the order of threads ([`EmulatorOptions::seed`]) or on blocks that run at
//! the same time ([`EmulatorOptions::reverse_blocks`]), and with
//! [`EmulatorOptions::sanitize`] every access outside the kernel's memory and every
//! operation that C++ leaves undefined. What it cannot find: errors of memory ordering that
//! the host's stronger order hides. Its timings mean nothing.
//!
//! A kernel that jumps to a wild address or overflows its 64 KiB stack ends the process.

mod abi;
mod block;
mod compile;
mod grid;
mod memory;
mod module;
mod queue;
mod report;
mod shared;
mod stack;
#[cfg(test)]
mod tests;
mod warp;

use std::{any::Any, collections::HashMap, fmt, path::PathBuf, sync::Arc};

use parking_lot::Mutex;

use crate::{
    buffer::DeviceBuffer,
    device::{Device, Kernel, Queue},
    error::{DeviceError, Result},
    fault::Faults,
    info::{Backend, DeviceClass, DeviceInfo, Features, Limits},
    pool::{MemoryPool, Reservation},
    registry::DeviceOptions,
    source::{Access, KernelSource, Language},
    spec::DeviceName,
};
use memory::{EmulatedBuffer, Memory};
use module::Module;

/// Device memory when the options name none: 2 GiB, small enough for a CI machine.
const DEFAULT_MEMORY: usize = 2 << 30;

/// Most threads of a block, as on every CUDA device.
const MAX_BLOCK: u32 = 1024;

/// Most buffers of a kernel: 4,096 bytes of kernel parameters, less 256 for the words.
const MAX_BUFFERS: u32 = 480;

/// How the emulator runs blocks and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmulatorOptions {
    /// Seed of the fiber order; `None` runs threads in order.
    pub seed: Option<u64>,
    /// Runs the blocks of a grid from the last to the first, one at a time. A kernel in
    /// which one block waits for another fails here.
    pub reverse_blocks: bool,
    /// Checks every memory access and every operation that C++ leaves undefined, by the
    /// compiler's instrumentation and the emulator's own checks; several times slower.
    pub sanitize: bool,
    /// Device memory in bytes; 0: a default of 2 GiB.
    pub memory_bytes: usize,
}

/// Opens emulated device `index`.
///
/// # Errors
/// `NotAvailable` when the host has no C++ compiler.
pub fn open(index: u32, options: &DeviceOptions) -> Result<Arc<dyn Device>> {
    let name = DeviceName::new(Backend::CudaEmulated, index);
    let compiler = compile::compiler()
        .map_err(|reason| DeviceError::NotAvailable { device: name.to_string(), reason })?;
    let emulator = options.emulator.clone();
    let memory = match emulator.memory_bytes {
        0 => DEFAULT_MEMORY,
        bytes => bytes,
    };
    let cap = options.memory_cap.unwrap_or(memory).min(memory);
    let info = DeviceInfo {
        name: name.clone(),
        backend: Backend::CudaEmulated,
        class: DeviceClass::Emulated,
        model: "CUDA emulator".to_string(),
        driver: compiler.version.clone(),
        memory_bytes: memory as u64,
        pci: String::new(),
        peers: Vec::new(),
        units: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        limits: Limits {
            max_buffer_bytes: memory,
            max_buffers: MAX_BUFFERS,
            max_block: MAX_BLOCK,
            shared_bytes: shared::SHARED_BYTES,
            warp: warp::WARP as u32,
        },
        features: Features { int64: true, int64_atomics: true, float64: true, int128: true },
    };
    Ok(Arc::new(EmulatedDevice {
        info,
        pool: MemoryPool::new(name.clone(), cap),
        cache: options.kernel_cache_dir(),
        kernels: Mutex::new(HashMap::new()),
        context: Arc::new(Context { name, emulator, faults: Faults::new(options.faults) }),
    }))
}

/// What a device and its queues share.
struct Context {
    name: DeviceName,
    emulator: EmulatorOptions,
    faults: Faults,
}

struct EmulatedDevice {
    info: DeviceInfo,
    pool: Arc<MemoryPool>,
    cache: PathBuf,
    kernels: Mutex<HashMap<KernelSource, Arc<dyn Kernel>>>,
    context: Arc<Context>,
}

impl fmt::Debug for EmulatedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmulatedDevice({})", self.info.name)
    }
}

/// A kernel of the emulator. It may run on every emulated device.
struct EmulatedKernel {
    name: String,
    module: Arc<Module>,
    block: u32,
    buffers: Vec<Access>,
    params: u32,
}

impl Kernel for EmulatedKernel {
    fn name(&self) -> &str {
        &self.name
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Device for EmulatedDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn pool(&self) -> &Arc<MemoryPool> {
        &self.pool
    }

    fn alloc(&self, reservation: &mut Reservation, bytes: usize) -> Result<DeviceBuffer> {
        let device = self.info.name.clone();
        self.context.faults.on_alloc(&device, bytes)?;
        let allocation = reservation.allocate(bytes)?;
        let memory = Memory::new(bytes).ok_or_else(|| {
            let s = self.pool.stats();
            let device = device.clone();
            DeviceError::OutOfMemory { device, requested: bytes, in_use: s.in_use, cap: s.cap }
        })?;
        let raw = Arc::new(EmulatedBuffer { memory, _allocation: allocation });
        Ok(DeviceBuffer::new(device, raw, bytes))
    }

    fn queue(&self) -> Result<Box<dyn Queue>> {
        Ok(Box::new(queue::EmulatedQueue::new(Arc::clone(&self.context))))
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
        if source.block == 0 || source.block > MAX_BLOCK {
            let block = source.block;
            return Err(failed(format!(
                "a block of {block} threads; 1 to {MAX_BLOCK} are possible"
            )));
        }
        let checked = self.context.emulator.sanitize;
        let module = compile::compile(source, checked, &self.cache).map_err(failed)?;
        let kernel: Arc<dyn Kernel> = Arc::new(EmulatedKernel {
            name: source.name.to_string(),
            module,
            block: source.block,
            buffers: source.buffers.clone(),
            params: source.params,
        });
        self.kernels.lock().insert(source.clone(), Arc::clone(&kernel));
        Ok(kernel)
    }
}
