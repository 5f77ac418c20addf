//! What a device is and what it can do.

use serde::Serialize;

use crate::spec::DeviceName;

/// Which backend drives a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The host's cores and memory.
    Cpu,
    /// An NVIDIA GPU through the CUDA driver.
    Cuda,
    /// CUDA sources run on the host.
    CudaEmulated,
    /// A GPU (or software adapter) through wgpu.
    Wgpu,
}

/// What stands behind a device. Only `Host` and `Real` figures are performance figures,
/// and only those are chosen by `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceClass {
    /// The host's own cores.
    Host,
    /// Hardware of its own.
    Real,
    /// A software rasteriser such as lavapipe or SwiftShader.
    Software,
    /// The CUDA emulator.
    Emulated,
}

/// Sizes that a launch or a buffer must keep to.
#[derive(Debug, Clone, Serialize)]
pub struct Limits {
    /// Largest buffer that a kernel can bind, in bytes.
    pub max_buffer_bytes: usize,
    /// Most buffers of one kernel.
    pub max_buffers: u32,
    /// Most threads of a block.
    pub max_block: u32,
    /// Shared (workgroup) memory of a block, in bytes.
    pub shared_bytes: u32,
    /// Threads of a warp (subgroup); 1 where unknown.
    pub warp: u32,
}

/// What kernels may use beyond 32-bit integers and f32.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Features {
    /// 64-bit integers.
    pub int64: bool,
    /// 64-bit integer atomics: add, min, max, compare-exchange.
    pub int64_atomics: bool,
    /// 64-bit floats.
    pub float64: bool,
    /// 128-bit integers (decimals past 18 digits).
    pub int128: bool,
}

/// Properties, limits and features of one device.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceInfo {
    /// The device's name in specs.
    pub name: DeviceName,
    /// Which backend drives it.
    pub backend: Backend,
    /// What stands behind it.
    pub class: DeviceClass,
    /// The hardware's or adapter's own name.
    pub model: String,
    /// Driver and its version, or the architecture; may be empty.
    pub driver: String,
    /// Memory in bytes, as far as the backend tells; 0 when unknown.
    pub memory_bytes: u64,
    /// Its address on the PCI bus, as `0000:3b:00.0`; empty where there is none or it is not told.
    pub pci: String,
    /// Devices of its backend whose memory it reads and writes over a link, without the host.
    pub peers: Vec<DeviceName>,
    /// Cores, multiprocessors or compute units; 0 when unknown.
    pub units: u32,
    /// Limits.
    pub limits: Limits,
    /// Features.
    pub features: Features,
}
