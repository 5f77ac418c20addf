//! The `cuda` backend.

use std::sync::Arc;

use crate::{
    device::Device,
    error::{DeviceError, Result},
    info::Backend,
    registry::DeviceOptions,
    spec::DeviceName,
};

/// Number of GPUs.
///
/// # Errors
/// `NotAvailable` naming the missing library.
pub fn count() -> Result<u32> {
    Ok(0)
}

/// Opens GPU `index`.
///
/// # Errors
/// `NotAvailable`.
pub fn open(index: u32, _options: &DeviceOptions) -> Result<Arc<dyn Device>> {
    let device = DeviceName::new(Backend::Cuda, index).to_string();
    Err(DeviceError::NotAvailable { device, reason: "backend not built".into() })
}
