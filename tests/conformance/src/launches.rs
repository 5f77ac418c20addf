//! Which kernels a test launches.
//!
//! Every GPU that [`Target::open`] gives records the kernels that its queues launch. When a
//! body ends, its kernels are compared with `operations.txt`: a line there says which body
//! tests a kernel, and that body must launch it, in both languages. `tests/complete.rs` holds
//! the other half: every kernel has a line.
//!
//! With `WINDLASS_LAUNCHES=FOLDER` the names are written there, one file for each test; the
//! mutation check reads them.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use windlass_device::{
    Device, DeviceBuffer, DeviceError, DeviceInfo, Kernel, KernelSource, MemoryPool, Queue,
    Reservation,
};

use crate::Target;

/// A line of `operations.txt`: a kernel, the public function that it is behind, the body that
/// tests it, and the bench that times it.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The kernel's name, as its source has it: `join/insert`.
    pub kernel: String,
    /// The function in `windlass_kernels`: `join::JoinTable::build`.
    pub function: String,
    /// The body: `join::sizes`.
    pub body: String,
    /// The bench: `join/build/large`.
    pub bench: String,
}

/// The lines of `operations.txt`.
///
/// # Panics
/// When it cannot be read or a line has not four words.
pub fn operations() -> Vec<Operation> {
    let path = root().join("tests/conformance/operations.txt");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [kernel, function, body, bench] = words[..] else {
                panic!(
                    "operations.txt: a kernel, a function, a test body and a bench, not {line:?}"
                )
            };
            let words = [kernel, function, body, bench].map(str::to_string);
            let [kernel, function, body, bench] = words;
            Operation { kernel, function, body, bench }
        })
        .collect()
}

thread_local! {
    static LAUNCHED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Runs a body on a target and checks that it launches the kernels that it stands for.
///
/// # Panics
/// When it does not.
pub fn run(module: &str, body: &str, target: Target, f: impl FnOnce(Target)) {
    LAUNCHED.with_borrow_mut(BTreeSet::clear);
    f(target);
    let launched = LAUNCHED.take();
    let file = module.split("::").next().unwrap_or_default();
    if let Some(folder) = std::env::var_os("WINDLASS_LAUNCHES") {
        let name = format!("{module}::{body}").replace("::", ".");
        let names: Vec<&str> = launched.iter().map(String::as_str).collect();
        let written = fs::write(PathBuf::from(folder).join(name), names.join("\n"));
        written.unwrap_or_else(|e| panic!("WINDLASS_LAUNCHES: {e}"));
    }
    // These have every feature, so that no kernel is left out for want of one.
    if matches!(target, Target::Emulated | Target::Wgpu) && has_all(target) {
        let own = format!("{file}::{body}");
        for o in operations().into_iter().filter(|o| o.body == own) {
            assert!(
                launched.contains(&o.kernel),
                "{own} does not launch {}, as tests/conformance/operations.txt says",
                o.kernel
            );
        }
    }
}

fn has_all(target: Target) -> bool {
    target == Target::Emulated || {
        let device = target.open();
        let f = device.info().features;
        f.int64 && f.int64_atomics && f.float64
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A device whose queues record what they launch.
#[derive(Debug)]
pub(crate) struct Recording {
    inner: Arc<dyn Device>,
    info: DeviceInfo,
    /// Groups launched past those that a kernel asks for.
    more: u32,
}

impl Recording {
    /// `units` takes the place of the device's number of multiprocessors: kernels whose
    /// threads stride over the rows then do so at a few thousand rows, on every host. `more`
    /// groups are launched beside those asked for, as a two-dimensional dispatch may.
    pub(crate) fn new(inner: Arc<dyn Device>, units: Option<u32>, more: u32) -> Self {
        let mut info = inner.info().clone();
        info.units = units.unwrap_or(info.units);
        Self { inner, info, more }
    }
}

impl Device for Recording {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn pool(&self) -> &Arc<MemoryPool> {
        self.inner.pool()
    }

    fn alloc(&self, r: &mut Reservation, bytes: usize) -> Result<DeviceBuffer, DeviceError> {
        self.inner.alloc(r, bytes)
    }

    fn queue(&self) -> Result<Box<dyn Queue>, DeviceError> {
        Ok(Box::new(RecordingQueue(self.inner.queue()?, self.more)))
    }

    fn compile(&self, source: &KernelSource) -> Result<Arc<dyn Kernel>, DeviceError> {
        self.inner.compile(source)
    }
}

struct RecordingQueue(Box<dyn Queue>, u32);

impl Queue for RecordingQueue {
    fn upload(&mut self, dst: &DeviceBuffer, at: usize, src: &[u8]) -> Result<(), DeviceError> {
        self.0.upload(dst, at, src)
    }

    fn download(
        &mut self,
        src: &DeviceBuffer,
        at: usize,
        dst: &mut [u8],
    ) -> Result<(), DeviceError> {
        self.0.download(src, at, dst)
    }

    fn copy(
        &mut self,
        src: &DeviceBuffer,
        src_offset: usize,
        dst: &DeviceBuffer,
        dst_offset: usize,
        len: usize,
    ) -> Result<(), DeviceError> {
        self.0.copy(src, src_offset, dst, dst_offset, len)
    }

    fn fill(&mut self, dst: &DeviceBuffer, word: u32) -> Result<(), DeviceError> {
        self.0.fill(dst, word)
    }

    fn launch(
        &mut self,
        kernel: &Arc<dyn Kernel>,
        groups: u32,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<(), DeviceError> {
        LAUNCHED.with_borrow_mut(|names| {
            if !names.contains(kernel.name()) {
                names.insert(kernel.name().to_string());
            }
        });
        let more = if groups > 0 { self.1 } else { 0 };
        self.0.launch(kernel, groups + more, buffers, params)
    }

    fn synchronize(&mut self) -> Result<(), DeviceError> {
        self.0.synchronize()
    }
}
