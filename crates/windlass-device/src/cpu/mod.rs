//! The `cpu` device: host memory under a cap. Its kernels are the Rust twins of
//! `windlass-kernels`, so it compiles nothing; buffers are host memory and may borrow it.

use std::{any::Any, fmt, sync::Arc};

use crate::{
    buffer::{DeviceBuffer, HostBytes, RawBuffer},
    device::{Device, Kernel, Queue},
    error::{DeviceError, Result},
    info::{Backend, DeviceClass, DeviceInfo, Features, Limits},
    pool::{Allocation, MemoryPool, Reservation},
    registry::DeviceOptions,
    source::KernelSource,
    spec::DeviceName,
};

mod memory;
use memory::HostMemory;

/// The host's cores and memory as a device.
pub struct CpuDevice {
    info: DeviceInfo,
    pool: Arc<MemoryPool>,
}

impl CpuDevice {
    /// The host, with the pool's cap from the options (default: all of its memory).
    pub fn new(options: &DeviceOptions) -> Self {
        let memory = host_memory_bytes();
        let cap = options.host_memory_cap.unwrap_or(usize::try_from(memory).unwrap_or(usize::MAX));
        let units = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let info = DeviceInfo {
            name: DeviceName::cpu(),
            backend: Backend::Cpu,
            class: DeviceClass::Host,
            model: cpu_model(),
            driver: String::new(),
            memory_bytes: memory,
            pci: String::new(),
            peers: Vec::new(),
            units,
            limits: Limits {
                max_buffer_bytes: isize::MAX as usize,
                max_buffers: u32::MAX,
                max_block: 1,
                shared_bytes: 0,
                warp: 1,
            },
            features: Features { int64: true, int64_atomics: true, float64: true, int128: true },
        };
        let budget = options.host_budget.clone();
        Self { info, pool: MemoryPool::within(DeviceName::cpu(), cap, budget) }
    }
}

impl fmt::Debug for CpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CpuDevice")
    }
}

/// Host memory of the host in bytes; 0 when the system does not tell.
pub(crate) fn host_memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    match kib {
        Some(kib) => kib * 1024,
        None => usize::MAX as u64 / 2,
    }
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|l| l.strip_prefix("model name"))
        .and_then(|l| l.split_once(':'))
        .map_or_else(|| std::env::consts::ARCH.to_string(), |(_, m)| m.trim().to_string())
}

/// Memory of the pool, or memory borrowed from its owner.
enum CpuBuffer {
    Owned { memory: HostMemory, _allocation: Allocation },
    Adopted(Arc<dyn HostBytes>),
}

impl RawBuffer for CpuBuffer {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn host_bytes(&self) -> Option<&[u8]> {
        Some(match self {
            Self::Owned { memory, .. } => memory.bytes(),
            Self::Adopted(owner) => owner.bytes(),
        })
    }
}

impl Device for CpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn pool(&self) -> &Arc<MemoryPool> {
        &self.pool
    }

    fn alloc(&self, reservation: &mut Reservation, bytes: usize) -> Result<DeviceBuffer> {
        let allocation = reservation.allocate(bytes)?;
        let memory = HostMemory::new(bytes).ok_or_else(|| {
            let s = self.pool.stats();
            let device = DeviceName::cpu();
            DeviceError::OutOfMemory { device, requested: bytes, in_use: s.in_use, cap: s.cap }
        })?;
        let raw = Arc::new(CpuBuffer::Owned { memory, _allocation: allocation });
        Ok(DeviceBuffer::new(DeviceName::cpu(), raw, bytes))
    }

    fn adopt(&self, bytes: Arc<dyn HostBytes>) -> Option<DeviceBuffer> {
        let len = bytes.bytes().len();
        Some(DeviceBuffer::new(DeviceName::cpu(), Arc::new(CpuBuffer::Adopted(bytes)), len))
    }

    fn queue(&self) -> Result<Box<dyn Queue>> {
        Ok(Box::new(CpuQueue))
    }

    fn compile(&self, source: &KernelSource) -> Result<Arc<dyn Kernel>> {
        Err(DeviceError::Unsupported {
            device: DeviceName::cpu(),
            reason: format!("kernel {} has a Rust twin here, not a compiled form", source.name),
        })
    }
}

/// Copies run at once on the calling thread.
struct CpuQueue;

impl CpuQueue {
    fn owned(buffer: &DeviceBuffer) -> Result<&HostMemory> {
        match buffer.raw::<CpuBuffer>()? {
            CpuBuffer::Owned { memory, .. } => Ok(memory),
            CpuBuffer::Adopted(_) => {
                Err(DeviceError::InvalidArgument("a borrowed host buffer is read-only".into()))
            }
        }
    }

    fn bytes(buffer: &DeviceBuffer) -> Result<&[u8]> {
        buffer
            .host_bytes()
            .ok_or_else(|| DeviceError::InvalidArgument(format!("{buffer:?} is not on cpu")))
    }
}

impl Queue for CpuQueue {
    fn upload(&mut self, dst: &DeviceBuffer, dst_offset: usize, src: &[u8]) -> Result<()> {
        dst.check_range(dst_offset, src.len())?;
        Self::owned(dst)?.write(dst_offset, src);
        Ok(())
    }

    fn download(&mut self, src: &DeviceBuffer, src_offset: usize, dst: &mut [u8]) -> Result<()> {
        src.check_range(src_offset, dst.len())?;
        dst.copy_from_slice(&Self::bytes(src)?[src_offset..src_offset + dst.len()]);
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
        Self::owned(dst)?.write(dst_offset, &Self::bytes(src)?[src_offset..src_offset + len]);
        Ok(())
    }

    fn fill(&mut self, dst: &DeviceBuffer, word: u32) -> Result<()> {
        Self::owned(dst)?.fill(word);
        Ok(())
    }

    fn launch(
        &mut self,
        kernel: &Arc<dyn Kernel>,
        _groups: u32,
        _buffers: &[&DeviceBuffer],
        _params: &[u32],
    ) -> Result<()> {
        Err(DeviceError::Unsupported {
            device: DeviceName::cpu(),
            reason: format!("kernel {} belongs to another device", kernel.name()),
        })
    }

    fn synchronize(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_in_and_come_out() {
        let d =
            CpuDevice::new(&DeviceOptions { host_memory_cap: Some(1000), ..Default::default() });
        let mut r = d.pool().reserve(16).unwrap();
        let (a, b) = (d.alloc(&mut r, 7).unwrap(), d.alloc(&mut r, 8).unwrap());
        let mut q = d.queue().unwrap();
        q.fill(&a, 0x0403_0201).unwrap();
        q.upload(&a, 5, &[9, 8]).unwrap();
        q.copy(&a, 4, &b, 0, 3).unwrap();
        let mut out = [0; 3];
        q.download(&b, 0, &mut out).unwrap();
        assert_eq!(out, [1, 9, 8]);
        assert!(q.upload(&a, 6, &[0, 0]).is_err());
        assert!(d.alloc(&mut r, 2000).is_err());
        drop((a, b, r));
        assert_eq!(d.pool().stats().in_use, 0);
    }

    #[test]
    fn adopted_memory_is_seen_and_not_written() {
        struct Owner(Vec<u8>);
        impl HostBytes for Owner {
            fn bytes(&self) -> &[u8] {
                &self.0
            }
        }
        let d = CpuDevice::new(&DeviceOptions::default());
        let b = d.adopt(Arc::new(Owner(vec![1, 2, 3]))).unwrap();
        assert_eq!(b.host_bytes().unwrap(), [1, 2, 3]);
        assert!(d.queue().unwrap().upload(&b, 0, &[0]).is_err());
    }
}
