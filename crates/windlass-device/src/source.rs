//! What a backend compiles.
//!
//! Both languages see one calling convention, so that one host function drives the CUDA
//! and the WGSL form of a kernel:
//!
//! * **CUDA** (`cuda`, `cuda-emulated`): `extern "C" __global__ void entry(T0* b0, …,
//!   Tn* bn, Params p)`: one pointer per buffer, then one struct of 32-bit words passed by
//!   value, present only when `params > 0`. The grid is one-dimensional; the block size
//!   is [`KernelSource::block`].
//! * **WGSL** (`wgpu`): `@group(0) @binding(i)` is buffer `i` (`read` or `read_write`
//!   storage, as [`KernelSource::buffers`] says), and `@group(0) @binding(n)`, after the
//!   last buffer and only when `params > 0`, the parameters as a `var<uniform>`. Word `k` of
//!   the parameters is at byte `4 k`, and the binding's size is rounded up to a multiple of
//!   16: declare either a struct of `u32`, `i32` and `f32` members in that order, or
//!   `array<vec4<u32>, N>` with `N = ceil(params / 4)`, whose word `k` is `p[k / 4][k % 4]`.
//!   Past 65,535 groups the dispatch becomes two-dimensional, so a kernel computes its group
//!   as `wid.x + wid.y * nwg.x` and returns when that is past its work (there may be a few
//!   such groups). `arrayLength` counts the padding: buffers are whole 32-bit words and at
//!   least 32 bytes. One buffer may be bound twice only when both only read. Loops must end
//!   on their own: no counter is added to stop them.

use std::borrow::Cow;

/// The language of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// CUDA C++ for NVRTC and for the emulator.
    Cuda,
    /// WGSL, complete (composition is done before).
    Wgsl,
}

/// How a kernel uses a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only read.
    Read,
    /// Read and written, or only written.
    ReadWrite,
}

/// A kernel in one language. Equal sources are compiled once per device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelSource {
    /// For errors, events and cache files: `aggregate/insert`.
    pub name: Cow<'static, str>,
    /// The language.
    pub language: Language,
    /// The whole text. CUDA texts may `#include "windlass.cuh"`.
    pub text: Cow<'static, str>,
    /// Texts that `text` includes by name, CUDA only.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// The entry point.
    pub entry: Cow<'static, str>,
    /// Threads of a block (the WGSL text states the same number as its workgroup size).
    pub block: u32,
    /// One entry for each buffer parameter.
    pub buffers: Vec<Access>,
    /// Number of trailing 32-bit parameter words; at most 64.
    pub params: u32,
}
