//! A device that keeps the sources it is asked to compile and runs nothing, so that the gate
//! sees what a GPU would be given.

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use windlass_device::{
    Backend, Device, DeviceBuffer, DeviceClass, DeviceInfo, DeviceName, Features, Kernel,
    KernelSource, Limits, MemoryPool, Queue, RawBuffer, Reservation, Result,
};

/// Looks like a CUDA device with every feature.
#[derive(Debug)]
pub struct Recorder {
    info: DeviceInfo,
    pool: Arc<MemoryPool>,
    sources: Mutex<Vec<KernelSource>>,
}

/// Memory of the recorder: none.
struct Nothing;

impl RawBuffer for Nothing {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Recorded(String);

impl Kernel for Recorded {
    fn name(&self) -> &str {
        &self.0
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Default for Recorder {
    fn default() -> Self {
        let name = DeviceName::new(Backend::CudaEmulated, 0);
        let info = DeviceInfo {
            name: name.clone(),
            backend: Backend::CudaEmulated,
            class: DeviceClass::Emulated,
            model: "recorder of sources".into(),
            driver: String::new(),
            memory_bytes: 1 << 40,
            pci: String::new(),
            peers: Vec::new(),
            units: 1,
            limits: Limits {
                max_buffer_bytes: 1 << 40,
                max_buffers: 480,
                max_block: 1024,
                shared_bytes: 48 << 10,
                warp: 32,
            },
            features: Features { int64: true, int64_atomics: true, float64: true, int128: true },
        };
        Self { info, pool: MemoryPool::new(name, 1 << 40), sources: Mutex::default() }
    }
}

impl Recorder {
    /// The sources seen since the last call.
    ///
    /// # Panics
    /// When another thread panicked while it held the list.
    pub fn take(&self) -> Vec<KernelSource> {
        std::mem::take(&mut *self.sources.lock().expect("no panic under the lock"))
    }

    /// A buffer without memory.
    ///
    /// # Panics
    /// Never: the pool is far larger than what a test asks for.
    pub fn buffer(&self, bytes: usize) -> DeviceBuffer {
        let mut reservation = self.pool.reserve(bytes).expect("a terabyte");
        self.alloc(&mut reservation, bytes).expect("nothing is allocated")
    }
}

impl Device for Recorder {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn pool(&self) -> &Arc<MemoryPool> {
        &self.pool
    }

    fn alloc(&self, _reservation: &mut Reservation, bytes: usize) -> Result<DeviceBuffer> {
        Ok(DeviceBuffer::new(self.info.name.clone(), Arc::new(Nothing), bytes))
    }

    fn queue(&self) -> Result<Box<dyn Queue>> {
        Ok(Box::new(Idle))
    }

    fn compile(&self, source: &KernelSource) -> Result<Arc<dyn Kernel>> {
        self.sources.lock().expect("no panic under the lock").push(source.clone());
        Ok(Arc::new(Recorded(source.name.to_string())))
    }
}

/// A queue that does nothing; downloads give zeros.
struct Idle;

impl Queue for Idle {
    fn upload(&mut self, dst: &DeviceBuffer, offset: usize, src: &[u8]) -> Result<()> {
        dst.check_range(offset, src.len())
    }

    fn download(&mut self, src: &DeviceBuffer, offset: usize, dst: &mut [u8]) -> Result<()> {
        dst.fill(0);
        src.check_range(offset, dst.len())
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
        dst.check_range(dst_offset, len)
    }

    fn fill(&mut self, _dst: &DeviceBuffer, _word: u32) -> Result<()> {
        Ok(())
    }

    fn launch(
        &mut self,
        _kernel: &Arc<dyn Kernel>,
        _groups: u32,
        _buffers: &[&DeviceBuffer],
        _params: &[u32],
    ) -> Result<()> {
        Ok(())
    }

    fn synchronize(&mut self) -> Result<()> {
        Ok(())
    }
}
