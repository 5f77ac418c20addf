//! Running results along an axis.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::{
    FoldOp, fold,
    lines::{Lines, Threads, supported},
    sources::{SCAN, scan_defines},
};
use crate::{
    column::on_device,
    cpu,
    error::{KernelError, Result},
    launcher::Launcher,
    types::PhysType,
};

const OPERATION: &str = "scan";

/// Elements that a thread takes in a row, as in the kernels' texts.
const ITEMS: usize = 8;

/// What is kept running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunningOp {
    /// The sum; integers wrap.
    Sum,
    /// The product; integers wrap.
    Product,
}

impl RunningOp {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sum, Self::Product];

    fn fold(self) -> FoldOp {
        match self {
            Self::Sum => FoldOp::Sum,
            Self::Product => FoldOp::Product,
        }
    }
}

/// What runs along which lines.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The operation.
    pub op: RunningOp,
    /// The lines.
    pub lines: Lines,
    /// What comes before each line, `outer * inner` elements, as [`Running::last`] of the tile
    /// before; none where the lines begin.
    pub before: Option<&'a DeviceBuffer>,
}

/// Running results.
#[derive(Debug, Clone)]
pub struct Running {
    /// Dense as the input: for each element the result up to and with it.
    pub values: DeviceBuffer,
    /// The last result of each line, `outer * inner`: what comes before the lines of a tile
    /// behind this one.
    pub last: DeviceBuffer,
}

/// Running sums or products along the middle axis of `run.lines`, of the types of
/// [`FoldOp::Sum`].
///
/// # Errors
/// `Invalid` for another type, an empty middle axis, a buffer that is too short or on another
/// device; `Unsupported` where the device has no such type; the device's errors.
pub fn scan(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    ty: PhysType,
    values: &DeviceBuffer,
    run: Run<'_>,
) -> Result<Running> {
    check(device, ty, values, run)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::tile::scan(device, reservation, ty, values, run);
    };
    let Run { op, lines, before } = run;
    let (results, words) = (lines.results(), ty.words());
    let out = Running {
        values: l.alloc_words(results * lines.n, words)?,
        last: l.alloc_words(results, words)?,
    };
    if results == 0 {
        return Ok(out);
    }
    supported(device, ty)?;
    let threads = Threads::of(lines);
    // Every part adds those before it up: no more of them than it has elements itself.
    let parts = threads.parts(device, lines, ITEMS).min(lines.n.isqrt());
    let sums = match parts {
        1 => None,
        _ => {
            let (sums, more) = (l.alloc_words(results * parts, words)?, l.alloc_words(0, 1)?);
            fold::launch(&mut l, (op.fold(), ty), values, lines, parts, [&sums, &more])?;
            Some(sums)
        }
    };
    let lengths = [lines.outer, lines.n, lines.inner, parts, threads.wide, threads.tall];
    let mut params = [u32::from(before.is_some()); 7];
    params.iter_mut().zip(lengths).for_each(|(word, n)| *word = n as u32);
    let (before, sums) = (before.unwrap_or(values), sums.as_ref().unwrap_or(values));
    let buffers = [values, before, sums, &out.values, &out.last];
    let blocks = threads.launched(device, parts);
    l.launch(&SCAN, &scan_defines(ty, op), blocks, &buffers, &params)?;
    Ok(out)
}

fn check(device: &dyn Device, ty: PhysType, values: &DeviceBuffer, run: Run<'_>) -> Result<()> {
    let Run { op, lines, before } = run;
    let invalid = |expected: String, got: String| {
        Err(KernelError::Invalid { operation: OPERATION, expected, got })
    };
    if !op.fold().takes(ty) {
        return invalid(format!("elements that suit {op:?}"), ty.to_string());
    }
    lines.check(OPERATION, device, ty, values)?;
    let Some(before) = before else { return Ok(()) };
    on_device(OPERATION, device, before)?;
    // The middle axis has elements, so this is no more than all of them.
    let (results, held) = (lines.outer.saturating_mul(lines.inner), before.len() / ty.wide_bytes());
    if held < results {
        return invalid(format!("what comes before {results} lines"), format!("{held} elements"));
    }
    Ok(())
}
