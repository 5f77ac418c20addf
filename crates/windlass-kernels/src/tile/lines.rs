//! Arrays of three axes whose middle one is gone through, and how threads lie on them.

use windlass_device::{Device, DeviceBuffer};

use crate::{
    column::{check_rows, on_device},
    error::{KernelError, Result},
    launcher::resident_blocks,
    texts::BLOCK,
    types::PhysType,
};

/// Most parts of an axis: the products of two of their numbers fit 32 bits.
const MOST_PARTS: usize = 4096;

/// Elements that a thread takes before others help it with a line (a stated guess: the steps of
/// merging a line's threads cost about as many).
const FEW_OF_THREAD: usize = 8;

/// Neighbouring elements that a block's threads read at least where lines are short (a stated
/// guess: 64 bytes of 32-bit elements, two sectors of a GPU's cache).
const NEIGHBOURS: usize = 16;

/// An array of three axes, the last the fastest, of which the middle one is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// Length of the first axis.
    pub outer: usize,
    /// Length of the axis that is folded; at least 1.
    pub n: usize,
    /// Length of the last axis.
    pub inner: usize,
}

impl Lines {
    /// Results: one for each line.
    pub fn results(self) -> usize {
        self.outer * self.inner
    }

    /// Checks that the axis has elements and `values` holds all.
    ///
    /// # Errors
    /// `Invalid`.
    pub(super) fn check(
        self,
        operation: &'static str,
        device: &dyn Device,
        ty: PhysType,
        values: &DeviceBuffer,
    ) -> Result<()> {
        let invalid =
            |expected: String, got: String| Err(KernelError::Invalid { operation, expected, got });
        if self.n == 0 {
            return invalid("an axis with elements".into(), "an empty one".into());
        }
        let all = self.outer.checked_mul(self.n).and_then(|n| n.checked_mul(self.inner));
        let all = all.unwrap_or(usize::MAX);
        check_rows(operation, all)?;
        on_device(operation, device, values)?;
        let held = values.len() / ty.wide_bytes();
        if all > held {
            return invalid(format!("{all} elements of {ty}"), format!("{held}"));
        }
        Ok(())
    }
}

/// How the threads of a block lie on the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Threads {
    /// Along the last axis.
    pub(super) wide: usize,
    /// Along the middle axis.
    pub(super) tall: usize,
    /// Blocks that take one part of all lines.
    blocks: usize,
}

impl Threads {
    pub(super) fn of(lines: Lines) -> Self {
        let block = BLOCK as usize;
        let inner = lines.inner.max(1);
        let wide = inner.div_ceil(inner.div_ceil(block));
        let wanted = (lines.n / FEW_OF_THREAD).max(NEIGHBOURS.div_ceil(wide));
        let tall = wanted.min(lines.n).min(block / wide).max(1);
        let deep = block / (wide * tall);
        let blocks = inner.div_ceil(wide) * lines.outer.div_ceil(deep);
        Self { wide, tall, blocks }
    }

    /// Parts that keep the device busy, of which each has so many elements for each thread.
    pub(super) fn parts(self, device: &dyn Device, lines: Lines, of_thread: usize) -> usize {
        let idle = resident_blocks(device.info()) as usize / self.blocks.max(1);
        idle.min(lines.n / (of_thread * self.tall)).clamp(1, MOST_PARTS)
    }

    /// Blocks of a launch over so many parts.
    pub(super) fn launched(self, device: &dyn Device, parts: usize) -> u32 {
        (self.blocks * parts).min(resident_blocks(device.info()) as usize) as u32
    }
}

/// Checks that kernels of a device have a type.
///
/// # Errors
/// `Unsupported`.
pub(super) fn supported(device: &dyn Device, ty: PhysType) -> Result<()> {
    let info = device.info();
    let (has, reason) = match ty {
        PhysType::F64 => (info.features.float64 && info.features.int64, "64-bit floats"),
        PhysType::I64 | PhysType::U64 => (info.features.int64, "64-bit integers"),
        _ => return Ok(()),
    };
    if has {
        return Ok(());
    }
    Err(KernelError::Unsupported { device: info.name.to_string(), reason: reason.into() })
}
