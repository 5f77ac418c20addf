//! Buffers: one wgpu buffer each, padded to whole 32-bit words.

use std::{any::Any, sync::Arc};

use super::context::{Context, Failure};
use crate::{
    buffer::{DeviceBuffer, RawBuffer},
    error::{DeviceError, Result},
    pool::{Allocation, Reservation},
};

/// The least that is allocated, in bytes, so that an empty buffer can be bound to an array
/// of any WGSL scalar or vector (`vec4<u64>` is the longest).
const MIN_BYTES: u64 = 32;

/// A buffer's memory. The padding is not counted by the pool.
pub(super) struct WgpuBuffer {
    /// The [`Context::id`] that it belongs to.
    context: u64,
    pub(super) buffer: wgpu::Buffer,
    _allocation: Allocation,
}

impl RawBuffer for WgpuBuffer {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The wgpu buffer behind a handle.
///
/// # Errors
/// `InvalidArgument` when it is another device's.
pub(super) fn raw<'a>(context: &Context, buffer: &'a DeviceBuffer) -> Result<&'a wgpu::Buffer> {
    let raw = buffer.raw::<WgpuBuffer>()?;
    if raw.context != context.id {
        return Err(DeviceError::InvalidArgument(format!(
            "{buffer:?} belongs to another opening of the device than the queue"
        )));
    }
    Ok(&raw.buffer)
}

/// `Device::alloc`.
pub(super) fn alloc(
    context: &Arc<Context>,
    reservation: &mut Reservation,
    bytes: usize,
) -> Result<DeviceBuffer> {
    context.faults.on_alloc(&context.name, bytes)?;
    if bytes > context.limits.max_buffer_bytes {
        // What helps is what helps when memory is short: smaller batches.
        return Err(DeviceError::OutOfMemory {
            device: context.name.clone(),
            requested: bytes,
            in_use: 0,
            cap: context.limits.max_buffer_bytes,
        });
    }
    let allocation = reservation.allocate(bytes)?;
    let size = (bytes as u64).next_multiple_of(4).max(MIN_BYTES);
    let create = || {
        context.guarded(|| {
            context.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    };
    let buffer = match create() {
        // Memory that was dropped is given back when the work that used it is done.
        Err(Failure::OutOfMemory) => context.drain().and_then(|()| create()),
        made => made,
    };
    let buffer = buffer.map_err(|f| context.transfer_error(f, bytes))?;
    let raw = WgpuBuffer { context: context.id, buffer, _allocation: allocation };
    Ok(DeviceBuffer::new(context.name.clone(), Arc::new(raw), bytes))
}
