//! A device whose buffers are followed by words that no kernel may write.
//!
//! A GPU drops what a kernel writes past a buffer, or writes it elsewhere, and gives anything
//! for what it reads there; lavapipe drops and gives zeros, so that a bound that is off by one
//! would not show. Here each buffer lies at the start of a longer one. What follows it has a
//! pattern, which is looked at after each launch that may write the buffer.

use std::{
    any::Any,
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use windlass_device::{
    Device, DeviceBuffer, DeviceError, DeviceInfo, Kernel, KernelSource, MemoryPool, Queue,
    RawBuffer, Reservation, source::Access,
};

/// Words behind each buffer: more than a row of the widest values, or what four groups too many
/// would write, has.
const WORDS: usize = 64;

/// What they hold: as a number, a flag or an index it is wrong.
const PATTERN: u32 = 0xC3C3_C3C3;

/// The device.
#[derive(Debug)]
pub(crate) struct Padded {
    inner: Arc<dyn Device>,
    /// Which buffers each kernel may write, by its name.
    writes: Writes,
}

type Writes = Arc<Mutex<HashMap<String, Vec<bool>>>>;

impl Padded {
    pub(crate) fn new(inner: Arc<dyn Device>) -> Self {
        Self { inner, writes: Writes::default() }
    }
}

/// The longer buffer behind a handle.
struct Longer {
    buffer: DeviceBuffer,
    /// Where the pattern begins, in bytes.
    end: usize,
    marked: AtomicBool,
}

impl RawBuffer for Longer {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Device for Padded {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn pool(&self) -> &Arc<MemoryPool> {
        self.inner.pool()
    }

    fn alloc(&self, r: &mut Reservation, bytes: usize) -> Result<DeviceBuffer, DeviceError> {
        let end = bytes.next_multiple_of(4);
        let buffer = self.inner.alloc(r, end + WORDS * 4)?;
        let name = buffer.device().clone();
        let longer = Longer { buffer, end, marked: AtomicBool::new(false) };
        Ok(DeviceBuffer::new(name, Arc::new(longer), bytes))
    }

    fn queue(&self) -> Result<Box<dyn Queue>, DeviceError> {
        let (inner, writes) = (self.inner.queue()?, Arc::clone(&self.writes));
        Ok(Box::new(PaddedQueue { inner, writes }))
    }

    fn compile(&self, source: &KernelSource) -> Result<Arc<dyn Kernel>, DeviceError> {
        let kernel = self.inner.compile(source)?;
        let writes = source.buffers.iter().map(|a| *a == Access::ReadWrite).collect();
        lock(&self.writes).insert(kernel.name().to_string(), writes);
        Ok(kernel)
    }
}

fn lock(writes: &Writes) -> std::sync::MutexGuard<'_, HashMap<String, Vec<bool>>> {
    writes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct PaddedQueue {
    inner: Box<dyn Queue>,
    writes: Writes,
}

impl PaddedQueue {
    /// Writes the pattern behind a buffer.
    fn mark(&mut self, b: &Longer) -> Result<(), DeviceError> {
        b.marked.store(true, Ordering::Relaxed);
        self.inner.upload(&b.buffer, b.end, bytemuck::cast_slice(&[PATTERN; WORDS]))
    }
}

impl Queue for PaddedQueue {
    fn upload(&mut self, dst: &DeviceBuffer, at: usize, src: &[u8]) -> Result<(), DeviceError> {
        dst.check_range(at, src.len())?;
        self.inner.upload(&dst.raw::<Longer>()?.buffer, at, src)
    }

    fn download(
        &mut self,
        src: &DeviceBuffer,
        at: usize,
        dst: &mut [u8],
    ) -> Result<(), DeviceError> {
        src.check_range(at, dst.len())?;
        self.inner.download(&src.raw::<Longer>()?.buffer, at, dst)
    }

    fn copy(
        &mut self,
        src: &DeviceBuffer,
        src_offset: usize,
        dst: &DeviceBuffer,
        dst_offset: usize,
        len: usize,
    ) -> Result<(), DeviceError> {
        src.check_range(src_offset, len)?;
        dst.check_range(dst_offset, len)?;
        let (from, to) = (&src.raw::<Longer>()?.buffer, &dst.raw::<Longer>()?.buffer);
        self.inner.copy(from, src_offset, to, dst_offset, len)
    }

    fn fill(&mut self, dst: &DeviceBuffer, word: u32) -> Result<(), DeviceError> {
        let longer = dst.raw::<Longer>()?;
        self.inner.fill(&longer.buffer, word)?;
        self.mark(longer)
    }

    fn launch(
        &mut self,
        kernel: &Arc<dyn Kernel>,
        groups: u32,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<(), DeviceError> {
        let longer: Vec<&Longer> = buffers.iter().map(|b| b.raw()).collect::<Result<_, _>>()?;
        for b in &longer {
            if !b.marked.load(Ordering::Relaxed) {
                self.mark(b)?;
            }
        }
        let inner: Vec<&DeviceBuffer> = longer.iter().map(|b| &b.buffer).collect();
        self.inner.launch(kernel, groups, &inner, params)?;
        let writes = lock(&self.writes).get(kernel.name()).cloned().unwrap_or_default();
        for (at, b) in longer.iter().enumerate().filter(|(at, _)| writes.get(*at) == Some(&true)) {
            let mut words = [0; WORDS];
            self.inner.download(&b.buffer, b.end, bytemuck::cast_slice_mut(&mut words))?;
            let wrong = words.iter().position(|w| *w != PATTERN);
            assert!(
                wrong.is_none(),
                "{} writes word {} behind the {} bytes of its buffer {at}: {:#x}",
                kernel.name(),
                wrong.unwrap_or_default(),
                buffers[at].len(),
                words[wrong.unwrap_or_default()],
            );
        }
        Ok(())
    }

    fn synchronize(&mut self) -> Result<(), DeviceError> {
        self.inner.synchronize()
    }
}
