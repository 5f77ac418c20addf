//! A device is memory, queues and launches. Four backends stand behind one object-safe
//! trait: the host itself ([`cpu`]), CUDA ([`cuda`]), an emulator that runs the CUDA
//! sources on the host ([`emulated`]) and any GPU that wgpu reaches ([`wgpu`]).
//!
//! This crate knows bytes and kernels. It knows no columns, no tiles and no plans, and it
//! is the only one that names cudarc or wgpu.
//!
//! | module | holds |
//! |---|---|
//! | [`device`] | the traits [`Device`], [`Queue`] and [`Kernel`] |
//! | [`buffer`] | [`DeviceBuffer`], a counted handle on device memory |
//! | [`pool`] | [`MemoryPool`] and [`Reservation`]: accounting and the hard cap |
//! | [`source`] | [`KernelSource`]: what a backend compiles |
//! | [`info`] | [`DeviceInfo`]: properties, limits and features |
//! | [`spec`] | [`DeviceName`] and [`DeviceSpec`], the text forms |
//! | [`registry`] | opens devices by name and lists what is there and what is missing |
//! | [`fault`] | fault injection for tests |

pub mod buffer;
mod cache;
pub mod cpu;
pub mod cuda;
pub mod device;
mod dialect;
pub mod emulated;
pub mod error;
pub mod fault;
pub mod info;
pub mod pool;
pub mod registry;
pub mod source;
pub mod spec;
pub mod wgpu;

pub use buffer::{DeviceBuffer, HostBytes, RawBuffer};
pub use device::{Device, Kernel, Queue};
pub use error::{DeviceError, Result};
pub use info::{Backend, DeviceClass, DeviceInfo, Features, Limits};
pub use pool::{Budget, MemoryPool, PoolStats, Reclaim, Reservation};
pub use registry::{DeviceOptions, DeviceReport, list_devices, open_device, open_spec};
pub use source::{KernelSource, Language};
pub use spec::{DeviceName, DeviceSpec};
