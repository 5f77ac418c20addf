//! Chunks of parts of other arrays, made on a device.

use std::sync::Arc;

use windlass_device::{Device, DeviceBuffer};

use super::{
    DeviceTile, Devices, Failure,
    bind::On,
    evaluate::{View, view},
    run::with,
};
use crate::{
    dtype::DType,
    execute::leaf::Given,
    execute::program::Program,
    grid::ChunkGrid,
    region::Region,
    shape::{ArrayShape, ChunkIndex},
};

/// How a device makes a chunk of parts: what [`crate::expr::parts::MakeFn`] is on the host.
pub(crate) trait MakesThere: Send + Sync {
    /// Whether a device has kernels for it.
    ///
    /// # Errors
    /// Why it has none.
    fn supported(&self, device: &dyn Device) -> Result<(), String>;

    /// The chunk's elements, the last axis the fastest, of the parts in the order in which they
    /// were asked for.
    ///
    /// # Errors
    /// Why it cannot be done there.
    fn make(
        &self,
        on: &mut On<'_>,
        parts: &[View],
        index: &ChunkIndex,
    ) -> Result<DeviceBuffer, Failure>;
}

/// A chunk of a grid, of these parts of the inputs.
///
/// # Errors
/// Why it cannot be done there.
pub(crate) fn made(
    devices: &Devices,
    device: &Arc<dyn Device>,
    there: &dyn MakesThere,
    (inputs, reads): (&[Program], &[(usize, Region)]),
    (index, grid, dtype): (&ChunkIndex, &ChunkGrid, DType),
    given: &dyn Given,
) -> Result<DeviceTile, Failure> {
    let buffer = with(devices, device, |on| {
        let mut parts = Vec::with_capacity(reads.len());
        for (input, region) in reads {
            parts.push(view(on, &inputs[*input], region, given)?);
        }
        there.make(on, &parts, index)
    })?;
    let shape = ArrayShape::new(grid.chunk_shape(index).as_slice());
    Ok(DeviceTile { device: Arc::clone(device), buffer, dtype, shape })
}
