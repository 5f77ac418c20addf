//! The in-order queue. All queues of a device share wgpu's one queue; each keeps its own
//! finished command buffers and submits them in order.
//!
//! Every operation is a command buffer of its own, so that wgpu's validation names the
//! launch that is wrong. They are submitted in batches; a host write goes through
//! `Queue::write_buffer`, which runs before the next submission, so what is pending is
//! submitted first.

use std::{
    borrow::Cow,
    sync::{Arc, mpsc},
};

use super::{
    context::{Context, Failure},
    kernel::{self, WgpuKernel},
    memory,
};
use crate::{
    buffer::DeviceBuffer,
    device::{Kernel, Queue},
    error::{DeviceError, Result},
    source::{Access, KernelSource, Language},
};

/// Command buffers that are collected before a submission. A submission costs some 10 µs on
/// the host, so 16 of them share it while the device has something to do early (a guess).
const BATCH: usize = 16;

/// Host bytes staged for one submission, and the longest single read-back. Bounds the host
/// memory that transfers take beside the pool (a guess; PCIe is saturated far below).
const STAGE_BYTES: usize = 64 << 20;

/// The smallest read-back buffer, in bytes.
const MIN_READ_BYTES: u64 = 64 << 10;

/// Bytes of the uniform buffer that the parameters of one batch share.
const PARAM_BYTES: usize = 16 << 10;

/// Bytes of 64 parameter words.
const PARAM_SLOT: usize = 256;

/// An in-order queue.
pub(super) struct WgpuQueue {
    context: Arc<Context>,
    pending: Vec<wgpu::CommandBuffer>,
    /// Parameters of the pending launches, written to `uniforms` before they are submitted.
    params: Vec<u8>,
    uniforms: wgpu::Buffer,
    /// Host bytes staged since the last submission.
    staged: usize,
    last: Option<wgpu::SubmissionIndex>,
    /// A submission that carried a full stage; at most one runs beside the next.
    full: Option<wgpu::SubmissionIndex>,
    read_back: Option<wgpu::Buffer>,
}

impl WgpuQueue {
    pub(super) fn new(context: &Arc<Context>) -> Result<Self> {
        let uniforms = context.guarded(|| {
            context.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("params"),
                size: PARAM_BYTES as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        Ok(Self {
            uniforms: uniforms.map_err(|f| context.transfer_error(f, PARAM_BYTES))?,
            context: Arc::clone(context),
            pending: Vec::new(),
            params: Vec::new(),
            staged: 0,
            last: None,
            full: None,
            read_back: None,
        })
    }

    /// Submits what is pending.
    fn flush(&mut self) -> Result<(), Failure> {
        if self.pending.is_empty() && self.staged == 0 {
            return Ok(());
        }
        let (params, pending) =
            (std::mem::take(&mut self.params), std::mem::take(&mut self.pending));
        self.staged = 0;
        let index = self.context.guarded(|| {
            if !params.is_empty() {
                self.context.queue.write_buffer(&self.uniforms, 0, &params);
            }
            self.context.queue.submit(pending)
        })?;
        self.last = Some(index);
        Ok(())
    }

    /// Records one command buffer and appends it to the pending ones.
    fn record(&mut self, commands: impl FnOnce(&mut wgpu::CommandEncoder)) -> Result<(), Failure> {
        let device = &self.context.device;
        let buffer = self.context.guarded(|| {
            let mut encoder =
                device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
            commands(&mut encoder);
            encoder.finish()
        })?;
        self.pending.push(buffer);
        if self.pending.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Writes whole words at a word boundary.
    fn write(&mut self, dst: &wgpu::Buffer, offset: usize, src: &[u8]) -> Result<(), Failure> {
        for (i, part) in src.chunks(STAGE_BYTES).enumerate() {
            if !self.pending.is_empty() {
                self.flush()?;
            }
            let at = (offset + i * STAGE_BYTES) as u64;
            self.context.guarded(|| self.context.queue.write_buffer(dst, at, part))?;
            self.staged += part.len();
            if self.staged >= STAGE_BYTES {
                self.flush()?;
                if let Some(index) = self.full.take() {
                    self.context.wait(index)?;
                }
                self.full = self.last.clone();
            }
        }
        Ok(())
    }

    /// Writes 1 to 3 bytes inside the word that holds byte `offset`.
    fn patch(&mut self, dst: &DeviceBuffer, offset: usize, src: &[u8]) -> Result<()> {
        let shift = offset % 4;
        let (mut bits, mut mask) = ([0; 4], [0; 4]);
        bits[shift..shift + src.len()].copy_from_slice(src);
        mask[shift..shift + src.len()].fill(0xff);
        let params = [(offset / 4) as u32, u32::from_le_bytes(mask), u32::from_le_bytes(bits)];
        let kernel = kernel::compile(&self.context, &patch_source())?;
        self.dispatch(&kernel, 1, &[dst], &params)
    }

    /// Checks and records a launch.
    fn dispatch(
        &mut self,
        kernel: &WgpuKernel,
        groups: u32,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<()> {
        let raw = check_launch(&self.context, kernel, buffers, params)?;
        let (x, y) = grid(groups, self.context.max_groups).ok_or_else(|| {
            DeviceError::InvalidArgument(format!(
                "{groups} groups of kernel {}: a dispatch takes {} in each of two dimensions",
                kernel.name, self.context.max_groups
            ))
        })?;
        let launch_error = |context: &Context, failure: Failure| {
            let kernel = kernel.name.clone();
            context.error(failure, 0, |device, reason| DeviceError::Launch {
                device,
                kernel,
                reason,
            })
        };
        let slot = self.param_slot(params).map_err(|f| launch_error(&self.context, f))?;
        let uniforms = self.uniforms.clone();
        let device = self.context.device.clone();
        let recorded = self.record(|encoder| {
            let mut entries: Vec<_> = raw.iter().map(|b| b.as_entire_binding()).collect();
            if let Some((offset, size)) = slot {
                entries.push(wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &uniforms,
                    offset,
                    size: wgpu::BufferSize::new(size),
                }));
            }
            let entries: Vec<_> = (0u32..)
                .zip(entries)
                .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
                .collect();
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &kernel.layout,
                entries: &entries,
            });
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&kernel.pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(x, y, 1);
        });
        recorded.map_err(|f| launch_error(&self.context, f))
    }

    /// Takes a place in the uniform buffer: its offset and padded size in bytes.
    fn param_slot(&mut self, params: &[u32]) -> Result<Option<(u64, u64)>, Failure> {
        if params.is_empty() {
            return Ok(None);
        }
        let mut start = self.params.len().next_multiple_of(self.context.uniform_align.max(16));
        if start + PARAM_SLOT > PARAM_BYTES {
            self.flush()?;
            start = 0;
        }
        let size = (params.len() * 4).next_multiple_of(16);
        self.params.resize(start, 0);
        self.params.extend_from_slice(bytemuck::cast_slice(params));
        self.params.resize(start + size, 0);
        Ok(Some((start as u64, size as u64)))
    }

    /// Reads `dst.len()` bytes, at most a stage, at any offset.
    fn read(&mut self, src: &wgpu::Buffer, offset: usize, dst: &mut [u8]) -> Result<(), Failure> {
        let start = offset / 4 * 4;
        let size = ((offset + dst.len()).next_multiple_of(4) - start) as u64;
        let staging = match self.read_back.take() {
            Some(b) if b.size() >= size => b,
            _ => self.context.guarded(|| {
                self.context.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("read back"),
                    size: size.next_power_of_two().max(MIN_READ_BYTES),
                    usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            })?,
        };
        self.record(|e| e.copy_buffer_to_buffer(src, start as u64, &staging, 0, size))?;
        self.flush()?;
        let (done, mapped) = mpsc::channel();
        self.context.guarded(|| {
            staging.map_async(wgpu::MapMode::Read, 0..size, move |result| {
                // The receiver is gone only when an earlier step failed.
                let _ = done.send(result);
            });
        })?;
        if let Some(index) = self.last.clone() {
            self.context.wait(index)?;
        }
        // The work is done, but the poll of another queue's thread may have taken the callback
        // along with its own, and call it only after our wait has ended. Whoever has it calls
        // or drops it, so this ends.
        match mapped.recv() {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(Failure::Other(e.to_string())),
            Err(_) => return Err(Failure::Other("the read-back buffer was not mapped".into())),
        }
        let view = self
            .context
            .guarded(|| staging.get_mapped_range(0..size))?
            .map_err(|e| Failure::Other(e.to_string()))?;
        dst.copy_from_slice(&view[offset - start..offset - start + dst.len()]);
        drop(view);
        self.context.guarded(|| staging.unmap())?;
        self.read_back = Some(staging);
        Ok(())
    }
}

impl Queue for WgpuQueue {
    fn upload(&mut self, dst: &DeviceBuffer, dst_offset: usize, src: &[u8]) -> Result<()> {
        dst.check_range(dst_offset, src.len())?;
        self.context.faults.on_transfer(&self.context.name)?;
        let raw = memory::raw(&self.context, dst)?;
        let to_end = dst_offset + src.len() == dst.len();
        let head = (dst_offset.next_multiple_of(4) - dst_offset).min(src.len());
        let (first, rest) = src.split_at(head);
        let (body, last) = rest.split_at(rest.len() / 4 * 4);
        if !first.is_empty() {
            self.patch(dst, dst_offset, first)?;
        }
        let at = dst_offset + head;
        self.write(raw, at, body).map_err(|f| self.context.transfer_error(f, src.len()))?;
        match last.len() {
            0 => Ok(()),
            // What follows the last byte is padding.
            n if to_end => {
                let mut word = [0; 4];
                word[..n].copy_from_slice(last);
                self.write(raw, at + body.len(), &word)
                    .map_err(|f| self.context.transfer_error(f, src.len()))
            }
            _ => self.patch(dst, at + body.len(), last),
        }
    }

    fn download(&mut self, src: &DeviceBuffer, src_offset: usize, dst: &mut [u8]) -> Result<()> {
        src.check_range(src_offset, dst.len())?;
        self.context.faults.on_transfer(&self.context.name)?;
        let raw = memory::raw(&self.context, src)?;
        if dst.is_empty() {
            return self.synchronize();
        }
        let bytes = dst.len();
        for (i, part) in dst.chunks_mut(STAGE_BYTES).enumerate() {
            self.read(raw, src_offset + i * STAGE_BYTES, part)
                .map_err(|f| self.context.transfer_error(f, bytes))?;
        }
        self.context.take_uncaptured()
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
        // A length that ends inside a word is fine where only padding follows in `dst`.
        let ends = len.is_multiple_of(4) || dst_offset + len == dst.len();
        if !src_offset.is_multiple_of(4) || !dst_offset.is_multiple_of(4) || !ends {
            return Err(DeviceError::InvalidArgument(format!(
                "copy of {len} bytes from {src_offset} to {dst_offset}: multiples of 4 are needed"
            )));
        }
        let (from, to) = (memory::raw(&self.context, src)?, memory::raw(&self.context, dst)?);
        if from == to {
            return Err(DeviceError::InvalidArgument(format!("copy of {src:?} to itself")));
        }
        if len == 0 {
            return Ok(());
        }
        let size = len.next_multiple_of(4) as u64;
        self.record(|e| {
            e.copy_buffer_to_buffer(from, src_offset as u64, to, dst_offset as u64, size);
        })
        .map_err(|f| self.context.transfer_error(f, len))
    }

    fn fill(&mut self, dst: &DeviceBuffer, word: u32) -> Result<()> {
        let raw = memory::raw(&self.context, dst)?;
        if dst.is_empty() {
            return Ok(());
        }
        if word == 0 {
            return self
                .record(|e| e.clear_buffer(raw, 0, None))
                .map_err(|f| self.context.transfer_error(f, dst.len()));
        }
        let words = dst.len().div_ceil(4) as u32;
        let kernel = kernel::compile(&self.context, &fill_source())?;
        self.dispatch(&kernel, words.div_ceil(1024), &[dst], &[words, word])
    }

    fn launch(
        &mut self,
        kernel: &Arc<dyn Kernel>,
        groups: u32,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<()> {
        let kernel = kernel.as_any().downcast_ref::<WgpuKernel>().ok_or_else(|| {
            let name = kernel.name();
            DeviceError::InvalidArgument(format!("kernel {name} was given to another backend"))
        })?;
        if groups == 0 {
            return Ok(());
        }
        self.context.faults.on_launch(&self.context.name, &kernel.name)?;
        self.dispatch(kernel, groups, buffers, params)
    }

    fn synchronize(&mut self) -> Result<()> {
        let flushed = self.flush();
        let done = flushed.and_then(|()| match self.last.clone() {
            Some(index) => self.context.wait(index),
            None => self.context.guarded(|| ()),
        });
        done.map_err(|f| self.context.transfer_error(f, 0))?;
        self.context.take_uncaptured()
    }
}

impl Drop for WgpuQueue {
    fn drop(&mut self) {
        if let Err(failure) = self.flush() {
            tracing::debug!(device = %self.context.name, ?failure, "work of a dropped queue");
        }
    }
}

/// The wgpu buffers of a launch, after checking what wgpu would refuse in other words.
fn check_launch<'a>(
    context: &Context,
    kernel: &WgpuKernel,
    buffers: &[&'a DeviceBuffer],
    params: &[u32],
) -> Result<Vec<&'a wgpu::Buffer>> {
    let invalid = |text: String| {
        Err(DeviceError::InvalidArgument(format!("launch of kernel {}: {text}", kernel.name)))
    };
    if kernel.context != context.id {
        return invalid("it was compiled for another opening of the device".into());
    }
    if buffers.len() != kernel.buffers.len() {
        return invalid(format!("{} buffers, it has {}", buffers.len(), kernel.buffers.len()));
    }
    if params.len() != kernel.params as usize {
        return invalid(format!("{} parameter words, it has {}", params.len(), kernel.params));
    }
    let raw: Vec<_> =
        buffers.iter().map(|b| memory::raw(context, b)).collect::<Result<Vec<_>>>()?;
    for (i, a) in raw.iter().enumerate() {
        for (j, b) in raw[..i].iter().enumerate() {
            let accesses = (kernel.buffers[i], kernel.buffers[j]);
            if a == b && accesses != (Access::Read, Access::Read) {
                return invalid(format!("buffers {j} and {i} are the same, and one is written"));
            }
        }
    }
    Ok(raw)
}

/// The dispatch of `groups`: as square as needed, so that few groups are past the work.
fn grid(groups: u32, max: u32) -> Option<(u32, u32)> {
    let y = groups.div_ceil(max);
    (y <= max).then(|| (groups.div_ceil(y), y))
}

fn fill_source() -> KernelSource {
    source("device/fill", "fill", include_str!("fill.wgsl"), 256, 2)
}

fn patch_source() -> KernelSource {
    source("device/patch", "patch_word", include_str!("patch.wgsl"), 1, 3)
}

fn source(
    name: &'static str,
    entry: &'static str,
    text: &'static str,
    block: u32,
    params: u32,
) -> KernelSource {
    KernelSource {
        name: Cow::Borrowed(name),
        language: Language::Wgsl,
        text: Cow::Borrowed(text),
        headers: Vec::new(),
        entry: Cow::Borrowed(entry),
        block,
        buffers: vec![Access::ReadWrite],
        params,
    }
}

#[cfg(test)]
mod tests {
    use super::grid;

    #[test]
    fn grids_cover_the_groups() {
        for groups in [1, 2, 65_535, 65_536, 65_537, 131_071, 10_000_000, 65_535 * 65_535] {
            let (x, y) = grid(groups, 65_535).unwrap();
            assert!(x <= 65_535 && y <= 65_535);
            let all = u64::from(x) * u64::from(y);
            assert!(all >= u64::from(groups) && all < u64::from(groups) + u64::from(y));
        }
        assert_eq!(grid(u32::MAX, 65_535), None);
    }
}
