//! The emulator's queue: every call does its work before it returns.

use std::sync::{Arc, atomic::AtomicBool};

use super::{
    Context, EmulatedKernel,
    block::{Launch, Range},
    grid,
    memory::{EmulatedBuffer, Memory},
};
use crate::{
    buffer::DeviceBuffer,
    device::{Kernel, Queue},
    error::{DeviceError, Result},
    source::Access,
};

pub(super) struct EmulatedQueue {
    context: Arc<Context>,
}

impl EmulatedQueue {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// The memory of a buffer of this device.
    fn memory<'b>(&self, buffer: &'b DeviceBuffer) -> Result<&'b Memory> {
        if *buffer.device() != self.context.name {
            return Err(DeviceError::InvalidArgument(format!(
                "a buffer of {} was given to a queue of {}",
                buffer.device(),
                self.context.name
            )));
        }
        Ok(&buffer.raw::<EmulatedBuffer>()?.memory)
    }
}

impl Queue for EmulatedQueue {
    fn upload(&mut self, dst: &DeviceBuffer, dst_offset: usize, src: &[u8]) -> Result<()> {
        dst.check_range(dst_offset, src.len())?;
        self.context.faults.on_transfer(&self.context.name)?;
        self.memory(dst)?.write(dst_offset, src);
        Ok(())
    }

    fn download(&mut self, src: &DeviceBuffer, src_offset: usize, dst: &mut [u8]) -> Result<()> {
        src.check_range(src_offset, dst.len())?;
        self.context.faults.on_transfer(&self.context.name)?;
        self.memory(src)?.read(src_offset, dst);
        Ok(())
    }

    fn copy(
        &mut self,
        src: &DeviceBuffer,
        src_offset: usize,
        dst: &DeviceBuffer,
        dst_offset: usize,
        len: usize,
    ) -> Result<()> {
        src.check_range(src_offset, len)?;
        dst.check_range(dst_offset, len)?;
        if [src_offset, dst_offset, len].iter().any(|n| !n.is_multiple_of(4)) {
            return Err(DeviceError::InvalidArgument(format!(
                "a copy of {len} bytes from {src_offset} to {dst_offset}: all three must be \
                 multiples of 4"
            )));
        }
        let (src, dst) = (self.memory(src)?, self.memory(dst)?);
        if std::ptr::eq(src, dst) {
            return Err(DeviceError::InvalidArgument(
                "a copy needs two different buffers".to_string(),
            ));
        }
        self.context.faults.on_call(&self.context.name)?;
        dst.copy(dst_offset, src, src_offset, len);
        Ok(())
    }

    fn copy_from_peer(
        &mut self,
        src: &DeviceBuffer,
        src_offset: usize,
        dst: &DeviceBuffer,
        dst_offset: usize,
        len: usize,
    ) -> Result<bool> {
        src.check_range(src_offset, len)?;
        dst.check_range(dst_offset, len)?;
        let to = self.memory(dst)?;
        // Emulated devices reach each other.
        if src.device().backend() != self.context.name.backend() {
            return Ok(false);
        }
        let from = &src.raw::<EmulatedBuffer>()?.memory;
        self.context.faults.on_transfer(&self.context.name)?;
        to.copy(dst_offset, from, src_offset, len);
        Ok(true)
    }

    fn fill(&mut self, dst: &DeviceBuffer, word: u32) -> Result<()> {
        let memory = self.memory(dst)?;
        self.context.faults.on_call(&self.context.name)?;
        memory.fill(word);
        Ok(())
    }

    fn launch(
        &mut self,
        kernel: &Arc<dyn Kernel>,
        groups: u32,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<()> {
        let device = &self.context.name;
        let name = kernel.name();
        let Some(kernel) = kernel.as_any().downcast_ref::<EmulatedKernel>() else {
            return Err(DeviceError::InvalidArgument(format!(
                "kernel {name} was compiled for another backend than {device}"
            )));
        };
        if buffers.len() != kernel.buffers.len() || params.len() != kernel.params as usize {
            return Err(DeviceError::InvalidArgument(format!(
                "kernel {name} takes {} buffers and {} parameter words, got {} and {}",
                kernel.buffers.len(),
                kernel.params,
                buffers.len(),
                params.len()
            )));
        }
        if groups == 0 {
            return Ok(());
        }
        let memories = buffers.iter().map(|b| self.memory(b)).collect::<Result<Vec<_>>>()?;
        self.context.faults.on_launch(device, name)?;
        let mut arguments: Vec<_> = memories.iter().map(|m| m.start().cast()).collect();
        if !params.is_empty() {
            arguments.push(params.as_ptr().cast_mut().cast());
        }
        let span = |start: usize, len: usize| (start, start + len);
        let options = &self.context.emulator;
        let launch = Launch {
            module: &kernel.module,
            threads: kernel.block,
            groups,
            constants: [
                span(arguments.as_ptr() as usize, size_of_val(&arguments[..])),
                span(params.as_ptr() as usize, size_of_val(params)),
            ],
            ranges: memories
                .iter()
                .zip(&kernel.buffers)
                .map(|(m, access)| Range {
                    start: m.start() as usize,
                    len: m.len(),
                    writable: *access == Access::ReadWrite,
                })
                .collect(),
            arguments,
            seed: options.seed,
            alone: options.reverse_blocks,
            checked: options.sanitize,
            stop: AtomicBool::new(false),
        };
        let mut result = grid::run(&launch);
        for (i, memory) in memories.iter().enumerate() {
            if let Some(at) = memory.overrun() {
                memory.restore_guard();
                result = result.and(Err(format!(
                    "it wrote past the end of buffer {i}: {} bytes, changed {at} bytes behind \
                     the last",
                    memory.len()
                )));
            }
        }
        result.map_err(|reason| {
            let (device, kernel) = (device.clone(), name.to_string());
            DeviceError::Launch { device, kernel, reason }
        })
    }

    fn synchronize(&mut self) -> Result<()> {
        self.context.faults.on_call(&self.context.name)
    }
}
