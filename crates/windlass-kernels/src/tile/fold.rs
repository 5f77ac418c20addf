//! What becomes of the elements along an axis.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::sources::{FOLD, fold_defines};
use crate::{
    column::{check_rows, on_device},
    cpu,
    error::{KernelError, Result},
    launcher::{Launcher, resident_blocks},
    texts::BLOCK,
    types::PhysType,
};

const OPERATION: &str = "fold";

/// Most parts of an axis: the products of two of their numbers fit 32 bits.
const MOST_PARTS: usize = 4096;

/// Elements that a part has at least, so that few results come back (a stated guess: a block's
/// width four times, as in the reductions of columns).
const LEAST_PART: usize = 4 * BLOCK as usize;

/// From this many elements on, a block takes a line whose elements are neighbours (a stated
/// guess: half of its threads have one).
const LINE_OF_BLOCK: usize = BLOCK as usize / 2;

/// What becomes of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FoldOp {
    /// The sum; integers wrap.
    Sum,
    /// The product; integers wrap.
    Product,
    /// The least; a NaN if there is one, or with `ignore_nan` if there is nothing else.
    Least {
        /// Whether NaNs are left out.
        ignore_nan: bool,
    },
    /// The greatest, as `Least`.
    Greatest {
        /// Whether NaNs are left out.
        ignore_nan: bool,
    },
    /// The least and the position of the first such; NaN counts as less than all.
    FindLeast,
    /// The greatest and the position of the first such; NaN counts as greater than all.
    FindGreatest,
    /// The mean, and the sum of squared deviations from it; of `F64`.
    Moments,
}

impl FoldOp {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Sum,
        Self::Product,
        Self::Least { ignore_nan: false },
        Self::Least { ignore_nan: true },
        Self::Greatest { ignore_nan: false },
        Self::Greatest { ignore_nan: true },
        Self::FindLeast,
        Self::FindGreatest,
        Self::Moments,
    ];

    /// Whether it is defined for elements of a type: sums and products for those of 64 bits and
    /// `F32`, moments for `F64`, extremes for all but `I128`.
    pub fn takes(self, ty: PhysType) -> bool {
        use PhysType as P;
        match self {
            Self::Sum | Self::Product => matches!(ty, P::I64 | P::U64 | P::F64 | P::F32),
            Self::Moments => ty == P::F64,
            Self::Least { ignore_nan: true } | Self::Greatest { ignore_nan: true } => ty.is_float(),
            _ => ty != P::I128,
        }
    }

    /// Words of what it gives beside a value, for each result.
    pub(crate) fn more_words(self) -> usize {
        match self {
            Self::FindLeast | Self::FindGreatest => 1,
            Self::Moments => 2,
            _ => 0,
        }
    }
}

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
}

/// The results of parts of the folded axis, each `outer * inner`, one part behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// Parts: `i` of them holds the elements from `n * i / parts` on.
    pub parts: usize,
    /// The values' bytes, of the input's type in whole words.
    pub values: Vec<u8>,
    /// Positions along the axis (`u32`) of what was found, squared deviations (`f64`) of
    /// moments; else empty.
    pub more: Vec<u8>,
}

/// In how many parts [`fold`](fn@fold) may cut the axis: the results of each come back.
pub fn most_parts(device: &dyn Device, lines: Lines) -> usize {
    let threads = resident_blocks(device.info()) as usize * BLOCK as usize;
    let wanted = match takes_blocks(lines) {
        true => threads / BLOCK as usize,
        false => threads,
    };
    let parts = wanted / lines.results().max(1);
    parts.min(lines.n / LEAST_PART).clamp(1, MOST_PARTS)
}

/// Whether a block takes a line, or else each thread one.
fn takes_blocks(lines: Lines) -> bool {
    lines.inner == 1 && lines.n >= LINE_OF_BLOCK
}

/// Folds the middle axis of `lines`, whose elements lie in whole words each. It waits for its
/// kernel: the results are on the host.
///
/// # Errors
/// `Invalid` for a type that the operation does not take, an empty middle axis, a buffer that is
/// too short or on another device; `Unsupported` where the device has no such type; the device's
/// errors.
pub fn fold(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    op: FoldOp,
    ty: PhysType,
    values: &DeviceBuffer,
    lines: Lines,
) -> Result<Folded> {
    check(device, op, ty, values, lines)?;
    let results = lines.results();
    if results == 0 {
        return Ok(Folded { parts: 1, values: Vec::new(), more: Vec::new() });
    }
    let parts = most_parts(device, lines);
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::tile::fold(op, ty, values, lines);
    };
    supported(device, ty)?;
    let count = results * parts;
    let out = l.alloc_words(count, ty.words())?;
    let more = l.alloc_words(count, op.more_words().max(1))?;
    let across = !takes_blocks(lines);
    let blocks = match across {
        true => count.div_ceil(BLOCK as usize),
        false => count,
    };
    let blocks = blocks.min(resident_blocks(device.info()) as usize) as u32;
    let params = [lines.outer as u32, lines.n as u32, lines.inner as u32, parts as u32];
    let defines = fold_defines(ty, op, across);
    l.launch(&FOLD, &defines, blocks, &[values, &out, &more], &params)?;
    let mut folded = Folded {
        parts,
        values: vec![0; count * ty.wide_bytes()],
        more: vec![0; count * op.more_words() * 4],
    };
    l.queue.download(&out, 0, &mut folded.values)?;
    if !folded.more.is_empty() {
        l.queue.download(&more, 0, &mut folded.more)?;
    }
    Ok(folded)
}

fn supported(device: &dyn Device, ty: PhysType) -> Result<()> {
    let (info, reason) = match ty {
        PhysType::F64 => (device.info(), "64-bit floats"),
        PhysType::I64 | PhysType::U64 => (device.info(), "64-bit integers"),
        _ => return Ok(()),
    };
    let has = match ty {
        PhysType::F64 => info.features.float64 && info.features.int64,
        _ => info.features.int64,
    };
    if has {
        return Ok(());
    }
    Err(KernelError::Unsupported { device: info.name.to_string(), reason: reason.into() })
}

fn check(
    device: &dyn Device,
    op: FoldOp,
    ty: PhysType,
    values: &DeviceBuffer,
    lines: Lines,
) -> Result<()> {
    let invalid = |expected: String, got: String| {
        Err(KernelError::Invalid { operation: OPERATION, expected, got })
    };
    if !op.takes(ty) {
        return invalid(format!("elements that suit {op:?}"), ty.to_string());
    }
    if lines.n == 0 {
        return invalid("an axis with elements".into(), "an empty one".into());
    }
    let all = lines.outer.checked_mul(lines.n).and_then(|n| n.checked_mul(lines.inner));
    check_rows(OPERATION, all.unwrap_or(usize::MAX))?;
    on_device(OPERATION, device, values)?;
    let held = values.len() / ty.wide_bytes();
    if all.is_some_and(|n| n > held) {
        let n = lines.outer * lines.n * lines.inner;
        return invalid(format!("{n} elements of {ty}"), format!("{held}"));
    }
    Ok(())
}
