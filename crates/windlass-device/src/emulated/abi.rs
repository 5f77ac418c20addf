//! The structs that a compiled kernel and the emulator share, as
//! `kernels/include/windlass_emulated.cuh` declares them. [`LAYOUT`] is compared with the
//! kernel's own figures when it is loaded.

use std::{
    ffi::{c_char, c_void},
    mem::{offset_of, size_of},
};

/// `w_dim`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Dim {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) z: u32,
}

impl Dim {
    /// A one-dimensional extent.
    pub(super) fn extent(x: u32) -> Self {
        Self { x, y: 1, z: 1 }
    }

    /// A one-dimensional index.
    pub(super) fn index(x: u32) -> Self {
        Self { x, y: 0, z: 0 }
    }
}

/// `w_block`: what the threads of a block share.
#[repr(C)]
pub(super) struct Block {
    pub(super) block_idx: Dim,
    pub(super) block_dim: Dim,
    pub(super) grid_dim: Dim,
    pub(super) sync: unsafe extern "C" fn(*mut Thread),
    pub(super) shared: unsafe extern "C" fn(*mut Thread, *const c_void, u64, u64) -> *mut c_void,
    pub(super) fail: unsafe extern "C" fn(*mut Thread, *const c_char, *const c_char, u32),
    pub(super) check: unsafe extern "C" fn(*mut Thread, *const c_void, u64, u32),
}

/// `w_thread`: one CUDA thread.
#[repr(C)]
pub(super) struct Thread {
    pub(super) thread_idx: Dim,
    pub(super) op: u32,
    pub(super) line: u32,
    pub(super) arg: u32,
    pub(super) fuel: u32,
    pub(super) file: *const c_char,
    pub(super) block: *mut Block,
    pub(super) input: [u64; 2],
    pub(super) output: [u64; 2],
}

/// What `w_layout` must say.
pub(super) const LAYOUT: [u32; 9] = [
    size_of::<Block>() as u32,
    size_of::<Thread>() as u32,
    offset_of!(Block, sync) as u32,
    offset_of!(Block, check) as u32,
    offset_of!(Thread, op) as u32,
    offset_of!(Thread, file) as u32,
    offset_of!(Thread, block) as u32,
    offset_of!(Thread, input) as u32,
    offset_of!(Thread, output) as u32,
];

/// The values of `W_OP_…`.
pub(super) mod op {
    pub(crate) const PREEMPT: u32 = 1;
    pub(crate) const BLOCK: u32 = 2;
    pub(crate) const WARP: u32 = 3;
    pub(crate) const BALLOT: u32 = 4;
    pub(crate) const MATCH: u32 = 5;
    pub(crate) const SHFL: u32 = 6;
    pub(crate) const SHFL_UP: u32 = 7;
    pub(crate) const SHFL_DOWN: u32 = 8;
    pub(crate) const SHFL_XOR: u32 = 9;

    /// The name that kernels use.
    pub(crate) fn name(op: u32) -> &'static str {
        match op {
            PREEMPT => "an atomic",
            BLOCK => "W_SYNC",
            WARP => "W_SYNCWARP",
            BALLOT => "W_BALLOT, W_ANY or W_ALL",
            MATCH => "W_MATCH_ANY",
            SHFL => "W_SHFL",
            SHFL_UP => "W_SHFL_UP",
            SHFL_DOWN => "W_SHFL_DOWN",
            SHFL_XOR => "W_SHFL_XOR",
            _ => "an unknown operation",
        }
    }
}
