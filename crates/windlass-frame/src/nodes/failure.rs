//! The error of a device node.

use datafusion::error::DataFusionError;
use windlass_device::DeviceError;
use windlass_kernels::KernelError;

use super::{Placed, metrics::DeviceMetrics};

/// A device failed in an operator, and its input cannot be read again from here: the
/// session runs the query on the CPU.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operator} failed on {device}")]
pub struct DeviceFailure {
    /// The device.
    pub device: String,
    /// The operator.
    pub operator: &'static str,
    /// What happened.
    #[source]
    pub source: KernelError,
}

impl From<DeviceFailure> for DataFusionError {
    fn from(e: DeviceFailure) -> Self {
        Self::External(Box::new(e))
    }
}

/// The failure of an operator's device, which its figures tell.
pub(crate) fn failed(
    placed: &Placed,
    metrics: &DeviceMetrics,
    operator: &'static str,
    source: KernelError,
) -> DataFusionError {
    metrics.fallback(placed, operator, &source);
    DeviceFailure { device: placed.name(), operator, source }.into()
}

/// Takes a lost device out of use.
pub(crate) fn note_loss(placed: &Placed, error: &KernelError) {
    if let KernelError::Device(DeviceError::Lost { device, reason }) = error {
        placed.inventory.mark_lost(device, reason);
    }
}

/// Whether the same work in smaller pieces may succeed.
pub(crate) fn is_out_of_memory(error: &KernelError) -> bool {
    matches!(error, KernelError::Device(DeviceError::OutOfMemory { .. }))
}
