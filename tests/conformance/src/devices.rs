//! The devices that bodies run on.

use std::sync::Arc;

use windlass_device::{
    Backend, Device, DeviceBuffer, DeviceError, DeviceInfo, DeviceOptions, Kernel, KernelSource,
    MemoryPool, Queue, Reservation, emulated::EmulatorOptions, open_device,
};
use windlass_kernels::PhysType;

use crate::{
    launches::Recording,
    padded::Padded,
    reversed::{MORE, Reversed},
};

/// A backend in one of its ways of running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The interpreter.
    Cpu,
    /// The CUDA texts, threads in order.
    Emulated,
    /// The CUDA texts, threads in a seeded order.
    EmulatedSeeded,
    /// The CUDA texts, blocks from the last to the first. What kernels write past their buffers
    /// is seen: see `padded.rs`.
    EmulatedReversed,
    /// The CUDA texts, every access and every undefined operation checked.
    EmulatedChecked,
    /// The WGSL texts.
    Wgpu,
    /// The WGSL texts, as on an adapter without 64-bit integers and floats.
    WgpuNarrow,
    /// The WGSL texts, threads and groups in the opposite order, groups in two dimensions with
    /// two more than are asked for, and weak exchanges that fail: see `reversed.rs`. What
    /// kernels write past their buffers is seen: see `padded.rs`.
    WgpuReversed,
    /// The device that `WINDLASS_TEST_DEVICE` names: a real GPU, when there is one.
    Real,
}

impl Target {
    /// Every way in which generated kernels run.
    pub const GPUS: [Self; 6] = [
        Self::Emulated,
        Self::EmulatedSeeded,
        Self::EmulatedReversed,
        Self::EmulatedChecked,
        Self::Wgpu,
        Self::WgpuNarrow,
    ];

    /// Whether the texts are WGSL, whose floats have tolerances.
    pub fn is_wgsl(self) -> bool {
        match self {
            Self::Wgpu | Self::WgpuNarrow | Self::WgpuReversed => true,
            Self::Real => real_name().starts_with("wgpu"),
            _ => false,
        }
    }

    /// Opens the device.
    ///
    /// # Panics
    /// When it is not there: the tests' set-up installs lavapipe and a C++ compiler.
    pub fn open(self) -> Arc<dyn Device> {
        let real = if self == Self::Real { real_name() } else { String::new() };
        let (name, emulator) = match self {
            Self::Real => (real.as_str(), EmulatorOptions::default()),
            Self::Cpu => ("cpu", EmulatorOptions::default()),
            Self::Emulated => ("cuda-emulated:0", EmulatorOptions::default()),
            Self::EmulatedSeeded => {
                ("cuda-emulated:0", EmulatorOptions { seed: Some(7), ..Default::default() })
            }
            Self::EmulatedReversed => {
                ("cuda-emulated:0", EmulatorOptions { reverse_blocks: true, ..Default::default() })
            }
            Self::EmulatedChecked => {
                ("cuda-emulated:0", EmulatorOptions { sanitize: true, ..Default::default() })
            }
            Self::Wgpu | Self::WgpuNarrow | Self::WgpuReversed => {
                ("wgpu:0", EmulatorOptions::default())
            }
        };
        let options = DeviceOptions { emulator, ..DeviceOptions::default() };
        let name = name.parse().expect("a device name");
        let device = open_device(&name, &options).unwrap_or_else(|e| panic!("{e}"));
        match self {
            Self::Cpu => device,
            Self::Real => Arc::new(Recording::new(device, None, 0)),
            Self::WgpuNarrow => Arc::new(Recording::new(Arc::new(Narrow::new(device)), Some(1), 0)),
            Self::WgpuReversed => {
                let device = Arc::new(Padded::new(Arc::new(Reversed(device))));
                Arc::new(Recording::new(device, Some(1), MORE))
            }
            Self::EmulatedReversed => {
                Arc::new(Recording::new(Arc::new(Padded::new(device)), Some(1), 0))
            }
            _ => Arc::new(Recording::new(device, Some(1), 0)),
        }
    }
}

/// The device that `make test-gpu` names.
fn real_name() -> String {
    std::env::var("WINDLASS_TEST_DEVICE")
        .unwrap_or_else(|_| panic!("WINDLASS_TEST_DEVICE names no device; `make test-gpu` sets it"))
}

/// The types that generated kernels of a device have, from the documented gaps.
pub fn kernel_types(device: &dyn Device) -> Vec<PhysType> {
    let info = device.info();
    let wgsl = info.backend == Backend::Wgpu;
    PhysType::ALL
        .into_iter()
        .filter(|t| match t {
            PhysType::I128 => wgsl || info.features.int128,
            PhysType::F64 => info.features.float64 && (!wgsl || info.features.int64),
            _ => true,
        })
        .collect()
}

/// A device that says it has neither 64-bit integers nor floats.
pub struct Narrow {
    inner: Arc<dyn Device>,
    info: DeviceInfo,
}

impl Narrow {
    /// The same device with fewer features.
    pub fn new(inner: Arc<dyn Device>) -> Self {
        let mut info = inner.info().clone();
        info.features = windlass_device::Features::default();
        Self { inner, info }
    }
}

impl std::fmt::Debug for Narrow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Narrow")
    }
}

impl Device for Narrow {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn pool(&self) -> &Arc<MemoryPool> {
        self.inner.pool()
    }

    fn alloc(&self, r: &mut Reservation, bytes: usize) -> Result<DeviceBuffer, DeviceError> {
        self.inner.alloc(r, bytes)
    }

    fn queue(&self) -> Result<Box<dyn Queue>, DeviceError> {
        self.inner.queue()
    }

    fn compile(&self, source: &KernelSource) -> Result<Arc<dyn Kernel>, DeviceError> {
        self.inner.compile(source)
    }
}
