//! Kernels that use every part of the dialect, and kernels that are wrong.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | devices, sources and launches for all of them |
//! | `right` | results that the dialect defines |
//! | `wrong` | kernels that are wrong, and how they fail |
//! | `device` | compiling, faults, the cap, several devices |

use std::{borrow::Cow, fs, path::PathBuf, sync::Arc};

use super::{EmulatorOptions, open};
use crate::{
    buffer::DeviceBuffer,
    device::{Device, Kernel},
    error::{DeviceError, Result},
    fault::FaultPlan,
    registry::DeviceOptions,
    source::{Access, KernelSource, Language},
};

mod device;
mod right;
mod wrong;

/// Kept between runs, as a user's cache is.
pub(super) fn cache() -> PathBuf {
    std::env::temp_dir().join("windlass-emulator-tests")
}

pub(super) fn options(emulator: EmulatorOptions) -> DeviceOptions {
    DeviceOptions { kernel_cache: Some(cache()), emulator, ..DeviceOptions::default() }
}

pub(super) fn device() -> Arc<dyn Device> {
    open(0, &options(EmulatorOptions::default())).unwrap()
}

/// One device for each way to run.
pub(super) fn devices() -> Vec<Arc<dyn Device>> {
    let base = EmulatorOptions::default();
    [
        base.clone(),
        EmulatorOptions { seed: Some(7), ..base.clone() },
        EmulatorOptions { seed: Some(8), reverse_blocks: true, ..base.clone() },
        EmulatorOptions { reverse_blocks: true, ..base.clone() },
        EmulatorOptions { sanitize: true, ..base },
    ]
    .into_iter()
    .map(|e| open(0, &options(e)).unwrap())
    .collect()
}

pub(super) const R: Access = Access::Read;
pub(super) const W: Access = Access::ReadWrite;

/// A source whose entry is `k`.
pub(super) fn source(
    name: &'static str,
    block: u32,
    buffers: &[Access],
    params: u32,
    text: &str,
) -> KernelSource {
    KernelSource {
        name: Cow::Borrowed(name),
        language: Language::Cuda,
        text: Cow::Owned(format!("#include \"windlass.cuh\"\n{text}")),
        headers: Vec::new(),
        entry: Cow::Borrowed("k"),
        block,
        buffers: buffers.to_vec(),
        params,
    }
}

pub(super) fn put<T: bytemuck::NoUninit>(d: &dyn Device, values: &[T]) -> DeviceBuffer {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let b = d.alloc(&mut d.pool().reserve(bytes.len()).unwrap(), bytes.len()).unwrap();
    d.queue().unwrap().upload(&b, 0, bytes).unwrap();
    b
}

pub(super) fn get<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(
    d: &dyn Device,
    b: &DeviceBuffer,
) -> Vec<T> {
    let mut out = vec![T::zeroed(); b.len() / size_of::<T>()];
    d.queue().unwrap().download(b, 0, bytemuck::cast_slice_mut(&mut out)).unwrap();
    out
}

pub(super) fn launch(
    d: &dyn Device,
    source: &KernelSource,
    groups: u32,
    buffers: &[&DeviceBuffer],
    params: &[u32],
) -> Result<()> {
    let kernel: Arc<dyn Kernel> = d.compile(source)?;
    let mut q = d.queue()?;
    q.launch(&kernel, groups, buffers, params)?;
    q.synchronize()
}

pub(super) fn a_kernel_runs(d: &dyn Device) {
    let text = "extern \"C\" __global__ void k(u32* a) { a[threadIdx.x] = blockIdx.x + 4; }";
    let a = put(d, &[0u32; 3]);
    launch(d, &source("test/four", 3, &[W], 0, text), 1, &[&a], &[]).unwrap();
    assert_eq!(get::<u32>(d, &a), [4; 3]);
}
