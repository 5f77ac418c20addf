//! The `wgpu` backend: any GPU behind Vulkan, Metal or DX12, and software adapters such as
//! lavapipe, which are used only when named.
//!
//! | module | holds |
//! |---|---|
//! | `adapter` | enumeration in a stable order, limits, features, memory |
//! | `context` | the opened wgpu device; turns wgpu's errors and panics into ours |
//! | `memory` | buffers |
//! | `kernel` | compilation of WGSL, cached by source |
//! | `queue` | the in-order queue |

use std::{fmt, sync::Arc};

use crate::{
    buffer::DeviceBuffer,
    device::{Device, Kernel, Queue},
    error::Result,
    info::DeviceInfo,
    pool::{MemoryPool, Reservation},
    registry::DeviceOptions,
    source::KernelSource,
};

mod adapter;
mod context;
mod kernel;
mod memory;
mod queue;
#[cfg(test)]
mod tests;

use context::Context;

/// Number of adapters; a card that several APIs show counts once.
///
/// # Errors
/// `NotAvailable` saying which library or driver is missing, when there is none.
pub fn count() -> Result<u32> {
    adapter::list().map(|found| found.len() as u32)
}

/// Opens adapter `index`. Real adapters come before software ones, discrete before
/// integrated ones.
///
/// The pool's cap is `options.memory_cap`; without it, nine tenths of a discrete card's own
/// memory, and half of what an integrated or software adapter shares with the host (it has
/// to leave room for the host's own work; a guess).
///
/// # Errors
/// `NotAvailable` saying what is missing, or that the driver refused.
pub fn open(index: u32, options: &DeviceOptions) -> Result<Arc<dyn Device>> {
    WgpuDevice::open(index, options).map(|d| Arc::new(d) as Arc<dyn Device>)
}

/// An opened adapter.
struct WgpuDevice {
    info: DeviceInfo,
    context: Arc<Context>,
}

impl WgpuDevice {
    fn open(index: u32, options: &DeviceOptions) -> Result<Self> {
        let (info, context) = adapter::open(index, options)?;
        Ok(Self { info, context: Arc::new(context) })
    }
}

impl fmt::Debug for WgpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WgpuDevice({}, {})", self.info.name, self.info.model)
    }
}

impl Device for WgpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn pool(&self) -> &Arc<MemoryPool> {
        &self.context.pool
    }

    fn alloc(&self, reservation: &mut Reservation, bytes: usize) -> Result<DeviceBuffer> {
        memory::alloc(&self.context, reservation, bytes)
    }

    fn queue(&self) -> Result<Box<dyn Queue>> {
        Ok(Box::new(queue::WgpuQueue::new(&self.context)?))
    }

    fn compile(&self, source: &KernelSource) -> Result<Arc<dyn Kernel>> {
        Ok(kernel::compile(&self.context, source)?)
    }
}
