//! What a library operation on a GPU works with: device, queue, memory and kernels.
#![allow(dead_code, reason = "the families that launch through it come one by one")]

use windlass_device::{
    Device, DeviceBuffer, DeviceError, DeviceInfo, Language, Queue, Reservation,
};

use crate::{
    error::Result,
    sources::language,
    texts::{self, BLOCK, Text},
};

/// A GPU with a queue and a reservation, for the duration of one operation.
pub(crate) struct Launcher<'a> {
    pub(crate) device: &'a dyn Device,
    pub(crate) queue: &'a mut dyn Queue,
    pub(crate) reservation: &'a mut Reservation,
    language: Language,
}

impl<'a> Launcher<'a> {
    /// `None` on `cpu`, which runs the twins.
    pub(crate) fn new(
        device: &'a dyn Device,
        queue: &'a mut dyn Queue,
        reservation: &'a mut Reservation,
    ) -> Option<Self> {
        let language = language(device)?;
        Some(Self { device, queue, reservation, language })
    }

    /// The language of the device's kernels.
    pub(crate) fn language(&self) -> Language {
        self.language
    }

    /// Allocates `items * words` 32-bit words, at least four.
    ///
    /// # Errors
    /// `OutOfMemory`, also where a kernel could not bind so large a buffer.
    pub(crate) fn alloc_words(&mut self, items: usize, words: usize) -> Result<DeviceBuffer> {
        alloc_words(self.device, self.reservation, items, words)
    }

    /// Uploads words into a new buffer of at least four.
    ///
    /// # Errors
    /// The device's.
    pub(crate) fn upload_words(&mut self, words: &[u32]) -> Result<DeviceBuffer> {
        let buffer = self.alloc_words(words.len(), 1)?;
        if !words.is_empty() {
            self.queue.upload(&buffer, 0, bytemuck::cast_slice(words))?;
        }
        Ok(buffer)
    }

    /// Waits, and reads `n` words from word `first` on.
    ///
    /// # Errors
    /// The device's.
    pub(crate) fn read_words(
        &mut self,
        buffer: &DeviceBuffer,
        first: usize,
        n: usize,
    ) -> Result<Vec<u32>> {
        let mut words = vec![0u32; n];
        if n > 0 {
            self.queue.download(buffer, first * 4, bytemuck::cast_slice_mut(&mut words))?;
        }
        Ok(words)
    }

    /// Launches `blocks` blocks of [`BLOCK`] threads.
    ///
    /// # Errors
    /// The device's, and those of compiling.
    pub(crate) fn launch(
        &mut self,
        text: &Text,
        defines: &[(&'static str, u32)],
        blocks: u32,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<()> {
        let kernel = self.device.compile(&*texts::source(text, defines, self.language)?)?;
        Ok(self.queue.launch(&kernel, blocks, buffers, params)?)
    }

    /// Launches a kernel whose threads stride over `items`, with one item a thread as far as
    /// the device runs so many threads at once.
    ///
    /// # Errors
    /// As [`Launcher::launch`].
    pub(crate) fn launch_each(
        &mut self,
        text: &Text,
        defines: &[(&'static str, u32)],
        items: usize,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<()> {
        let blocks =
            items.div_ceil(BLOCK as usize).min(resident_blocks(self.device.info()) as usize);
        self.launch(text, defines, blocks as u32, buffers, params)
    }
}

/// Allocates `items * words` 32-bit words, at least four.
///
/// # Errors
/// `OutOfMemory`, also where a kernel could not bind so large a buffer.
pub(crate) fn alloc_words(
    device: &dyn Device,
    reservation: &mut Reservation,
    items: usize,
    words: usize,
) -> Result<DeviceBuffer> {
    let bytes = items.saturating_mul(words * 4).max(16);
    let info = device.info();
    if bytes > info.limits.max_buffer_bytes {
        return Err(DeviceError::OutOfMemory {
            device: info.name.clone(),
            requested: bytes,
            in_use: 0,
            cap: info.limits.max_buffer_bytes,
        }
        .into());
    }
    Ok(device.alloc(reservation, bytes)?)
}

/// Blocks that fill the device: 2,048 threads a unit, the most that multiprocessors of
/// CUDA architectures 8.0 to 10.0 hold (CUDA programming guide, compute capabilities);
/// 256 blocks where the units are not known, a guess.
pub(crate) fn resident_blocks(info: &DeviceInfo) -> u32 {
    match info.units {
        0 => 256,
        units => units.saturating_mul(2048 / BLOCK),
    }
}
