//! What becomes of the elements along an axis.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::{
    lines::{Lines, Threads, supported},
    sources::{FOLD, fold_defines},
};
use crate::{
    cpu,
    error::{KernelError, Result},
    launcher::Launcher,
    types::PhysType,
};

const OPERATION: &str = "fold";

/// Elements that a thread takes at least where the axis is cut into parts (a stated guess: four,
/// as in the reductions of columns).
const LEAST_OF_THREAD: usize = 4;

/// Results of all parts that are always few enough to be brought to the host, and the share of
/// the elements that they may be else (both stated guesses).
const FEW_RESULTS: usize = 1 << 16;
const SHARE_OF_RESULTS: usize = 64;

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
    /// The mean, and the sum of squared deviations from it; of `F64`. Where an element is
    /// infinite, neither is a finite number, and the mean may be NaN where the sum is infinite.
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
    let results = lines.results().max(1);
    let few = FEW_RESULTS.max(results.saturating_mul(lines.n) / SHARE_OF_RESULTS) / results;
    Threads::of(lines).parts(device, lines, LEAST_OF_THREAD).min(few.max(1))
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
        return Ok(cpu::tile::fold(op, ty, values, lines, parts));
    };
    supported(device, ty)?;
    let count = results * parts;
    let out = l.alloc_words(count, ty.words())?;
    let more = l.alloc_words(count, op.more_words().max(1))?;
    launch(&mut l, (op, ty), values, lines, parts, [&out, &more])?;
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

/// Launches the kernel: `into` are the results of all parts and what is kept beside them.
pub(super) fn launch(
    l: &mut Launcher<'_>,
    (op, ty): (FoldOp, PhysType),
    values: &DeviceBuffer,
    lines: Lines,
    parts: usize,
    into: [&DeviceBuffer; 2],
) -> Result<()> {
    let threads = Threads::of(lines);
    let lengths = [lines.outer, lines.n, lines.inner, parts, threads.wide, threads.tall];
    let (params, blocks) = (lengths.map(|n| n as u32), threads.launched(l.device, parts));
    l.launch(&FOLD, &fold_defines(ty, op), blocks, &[values, into[0], into[1]], &params)
}

fn check(
    device: &dyn Device,
    op: FoldOp,
    ty: PhysType,
    values: &DeviceBuffer,
    lines: Lines,
) -> Result<()> {
    if !op.takes(ty) {
        let (expected, got) = (format!("elements that suit {op:?}"), ty.to_string());
        return Err(KernelError::Invalid { operation: OPERATION, expected, got });
    }
    lines.check(OPERATION, device, ty, values)
}
