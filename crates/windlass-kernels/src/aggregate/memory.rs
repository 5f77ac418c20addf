//! What a group-by on a GPU shares between its parts: the device, its memory and its kernels.

use std::{collections::HashMap, sync::Arc};

use windlass_device::{
    Device, DeviceBuffer, DeviceError, Kernel, Language, Queue, Reservation, info::Backend,
};

use super::sources::{self, BLOCK, KernelId};
use crate::{error::Result, launcher};

/// A device with the memory and the kernels of one group-by.
pub(super) struct Gpu {
    pub device: Arc<dyn Device>,
    pub reservation: Reservation,
    language: Language,
    kernels: HashMap<KernelId, Arc<dyn Kernel>>,
    /// Stands for a buffer that a launch does not read.
    unread: DeviceBuffer,
    /// Stands for a buffer that a launch does not write.
    unwritten: DeviceBuffer,
}

impl Gpu {
    pub(super) fn new(device: &Arc<dyn Device>) -> Result<Self> {
        let language = match device.info().backend {
            Backend::Wgpu => Language::Wgsl,
            _ => Language::Cuda,
        };
        // Two words of the widest element, the least that a binding may have.
        let mut reservation = device.pool().reserve(32)?;
        let unread = device.alloc(&mut reservation, 16)?;
        let unwritten = device.alloc(&mut reservation, 16)?;
        let kernels = HashMap::new();
        let device = Arc::clone(device);
        Ok(Self { device, reservation, language, kernels, unread, unwritten })
    }

    /// 32-bit words of the units in which integer kernels of the language compute.
    pub(super) fn unit_words(&self) -> u32 {
        match self.language {
            Language::Cuda => 2,
            Language::Wgsl => 1,
        }
    }

    /// Compiles a kernel that later launches use.
    pub(super) fn compile(&mut self, id: KernelId) -> Result<()> {
        if !self.kernels.contains_key(&id) {
            let kernel = self.device.compile(&*sources::source(id, self.language)?)?;
            self.kernels.insert(id, kernel);
        }
        Ok(())
    }

    /// Allocates `items * words` 32-bit words, at least four.
    ///
    /// # Errors
    /// `OutOfMemory`, also where a kernel could not bind so large a buffer.
    pub(super) fn alloc_words(&mut self, items: usize, words: u32) -> Result<DeviceBuffer> {
        launcher::alloc_words(&*self.device, &mut self.reservation, items, words as usize)
    }

    pub(super) fn unread(&self) -> DeviceBuffer {
        self.unread.clone()
    }

    pub(super) fn unwritten(&self) -> DeviceBuffer {
        self.unwritten.clone()
    }

    /// Launches a kernel whose threads stride over `items`, with one item a thread as far as
    /// the device runs so many threads at once.
    pub(super) fn launch_each(
        &self,
        queue: &mut dyn Queue,
        id: KernelId,
        items: u32,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<()> {
        let blocks = items.div_ceil(BLOCK).min(self.resident_blocks());
        self.launch(queue, id, blocks, buffers, params)
    }

    /// Launches `blocks` blocks of a kernel that [`Gpu::compile`] compiled.
    pub(super) fn launch(
        &self,
        queue: &mut dyn Queue,
        id: KernelId,
        blocks: u32,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<()> {
        Ok(queue.launch(&self.kernels[&id], blocks, buffers, params)?)
    }

    /// Blocks for an accumulating kernel over `rows`: few enough that merging the blocks'
    /// local tables stays small beside the rows. Four rows a thread at least is a guess to be
    /// measured on hardware.
    pub(super) fn accumulate_blocks(&self, rows: u32) -> u32 {
        rows.div_ceil(BLOCK * 4).clamp(1, self.resident_blocks())
    }

    fn resident_blocks(&self) -> u32 {
        launcher::resident_blocks(self.device.info())
    }
}

/// Whether an error says that memory ran out.
pub(super) fn is_out_of_memory(e: &crate::KernelError) -> bool {
    matches!(e, crate::KernelError::Device(DeviceError::OutOfMemory { .. }))
}
