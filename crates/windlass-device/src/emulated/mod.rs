//! The `emulated` backend.

use std::sync::Arc;

use crate::{
    device::Device,
    error::{DeviceError, Result},
    info::Backend,
    registry::DeviceOptions,
    spec::DeviceName,
};

/// How the emulator runs blocks and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmulatorOptions {
    /// Seed of the fiber order; `None` runs threads in order.
    pub seed: Option<u64>,
    /// Runs the blocks of a grid from the last to the first, one at a time.
    pub reverse_blocks: bool,
    /// Compiles with AddressSanitizer and UndefinedBehaviorSanitizer.
    pub sanitize: bool,
    /// Device memory in bytes; 0: a default of 2 GiB.
    pub memory_bytes: usize,
}

/// Opens emulated device `index`.
///
/// # Errors
/// `NotAvailable` when the host has no C++ compiler.
pub fn open(index: u32, _options: &DeviceOptions) -> Result<Arc<dyn Device>> {
    let device = DeviceName::new(Backend::CudaEmulated, index).to_string();
    Err(DeviceError::NotAvailable { device, reason: "backend not built".into() })
}
