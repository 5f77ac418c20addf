//! What functions take from frames: one row, or the sum, an extreme, the spread or the count of
//! all.

use windlass_device::{Backend, Device, DeviceBuffer, Queue, Reservation};

use super::{
    Frames,
    sources::{Kind, PICK, PICK_VALID, RANGE},
};
use crate::{
    column::{DeviceColumn, Storage, Validity},
    cpu,
    error::{KernelError, Result},
    gather::widen,
    launcher::{Launcher, alloc_words},
    scan::{self, ScanOp},
    types::PhysType,
};

const OPERATION: &str = "window aggregate";

/// The node of the rows themselves, as `range` states it.
const ROWS: u32 = u32::MAX;

/// Which row of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pick {
    /// So many rows after the first: 0 for `FIRST_VALUE`, n - 1 for `NTH_VALUE`.
    FromFirst(u32),
    /// So many rows before the last: 0 for `LAST_VALUE`.
    FromLast(u32),
}

/// What is made of the values in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameOp {
    /// Their sum in the column's type: integers wrap. Only a frame's own values are added, so
    /// that floats neither cancel nor catch a NaN or infinity from outside.
    Sum,
    /// The least, floats in the order of IEEE 754 totalOrder (-NaN, -inf, …, inf, NaN).
    Min,
    /// The greatest, in the same order.
    Max,
    /// Of `F64`, the sum of their squared differences from their mean, which divided by their
    /// number, or by one less, is their variance. It does not cancel, however large the mean is.
    Spread,
}

/// The number of one row of each frame, `u32::MAX` where the frame has not so many: what
/// `gather` takes with `missing`. `frames.rows()` words.
///
/// # Errors
/// `Invalid` for frames of another device; the device's errors.
pub fn pick(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    frames: &Frames,
    which: Pick,
) -> Result<DeviceBuffer> {
    frames.check(device)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::window::pick(device, reservation, frames, which);
    };
    let (k, from_last) = match which {
        Pick::FromFirst(k) => (k, 0),
        Pick::FromLast(k) => (k, 1),
    };
    let picked = l.alloc_words(frames.rows, 1)?;
    if frames.rows > 0 {
        let params = [frames.rows as u32, k, from_last];
        l.launch_each(&PICK, &[], frames.rows, &[&frames.low, &frames.high, &picked], &params)?;
    }
    Ok(picked)
}

/// As [`pick`], counting only the rows of a frame in which the column is not null.
///
/// # Errors
/// As [`pick`]; `Invalid` when the column has fewer rows than the frames or lies on another
/// device.
pub fn pick_valid(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    frames: &Frames,
    which: Pick,
) -> Result<DeviceBuffer> {
    frames.check(device)?;
    let n = frames.rows;
    column.check("window pick", device, n)?;
    if matches!(column.validity, Validity::All) || n == 0 {
        return pick(device, queue, reservation, frames, which);
    }
    if Launcher::new(device, queue, reservation).is_none() {
        return cpu::window::pick_valid(device, reservation, column, frames, which);
    }
    let ones = ones(device, queue, reservation, column, n)?;
    let upto = scan::inclusive(device, queue, reservation, &ones, n, ScanOp::Sum)?.values;
    let (k, from_last) = match which {
        Pick::FromFirst(k) => (k, 0),
        Pick::FromLast(k) => (k, 1),
    };
    let picked = alloc_words(device, reservation, n, 1)?;
    if let Some(mut l) = Launcher::new(device, queue, reservation) {
        let buffers = [&frames.low, &frames.high, &upto, &picked];
        l.launch_each(&PICK_VALID, &[], n, &buffers, &[n as u32, k, from_last])?;
    }
    Ok(picked)
}

/// Whether a device can aggregate columns of this type over frames.
///
/// # Errors
/// `Unsupported` with the reason; `Invalid` for types of which there is no such aggregate: sums
/// are of integers of 32 bits or more and of floats, extremes of all but booleans, spreads of
/// `F64`.
pub fn aggregate_supported(device: &dyn Device, ty: PhysType, op: FrameOp) -> Result<()> {
    let narrow = matches!(ty, PhysType::I8 | PhysType::I16 | PhysType::U8 | PhysType::U16);
    let spread = op == FrameOp::Spread;
    if ty == PhysType::Bool || (narrow && op == FrameOp::Sum) || (spread && ty != PhysType::F64) {
        let expected = match op {
            FrameOp::Sum => "a column of i32, i64, i128, u32, u64, f32 or f64",
            FrameOp::Min | FrameOp::Max => "a column of numbers",
            FrameOp::Spread => "a column of f64",
        };
        let (expected, got) = (expected.to_string(), ty.to_string());
        return Err(KernelError::Invalid { operation: OPERATION, expected, got });
    }
    let info = device.info();
    if Kind::of(ty, op).needs_f64() && info.backend == Backend::Wgpu && !info.features.float64 {
        return Err(KernelError::Unsupported {
            device: info.name.to_string(),
            reason: "window sums and spreads of f64 need 64-bit floats".into(),
        });
    }
    Ok(())
}

/// The sum, an extreme or the spread of the column's values in the frame of each row. Nulls are passed
/// over; a frame without a value gives null (its value is 0). Time grows with the logarithm of a
/// frame's rows.
///
/// # Errors
/// Those of [`aggregate_supported`]; `Invalid` when the column has fewer rows than the frames, or
/// it or they lie on another device; the device's errors.
pub fn aggregate(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    frames: &Frames,
    op: FrameOp,
) -> Result<DeviceColumn> {
    aggregate_supported(device, column.ty, op)?;
    frames.check(device)?;
    let n = frames.rows;
    column.check(OPERATION, device, n)?;
    let wide = widen(device, queue, reservation, column, n)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::window::aggregate(device, reservation, &wide, frames, op);
    };
    let (ty, words) = (column.ty, column.ty.words());
    let kind = Kind::of(ty, op);
    let out = l.alloc_words(n, words)?;
    let flags = l.alloc_words(n, 1)?;
    let tree = l.alloc_words(n, kind.node_words(words))?;
    let kind = [("KIND", kind as u32)];
    let tree_flags = l.alloc_words(n, 1)?;
    let unused = l.alloc_words(1, 1)?;
    let (valid, has_valid) = match &wide.validity {
        Validity::Words(valid) => (valid, 1),
        _ => (&unused, 0),
    };
    let order = if ty.is_float() { 2 } else { u32::from(ty.is_signed()) };
    let is_min = u32::from(op == FrameOp::Min);
    let (low, high) = (&frames.low, &frames.high);
    let buffers = [&wide.values, valid, &tree, &tree_flags, low, high, &out, &flags];
    let (mut nodes, mut below, mut at) = (n as u32 / 2, ROWS, 0);
    while nodes > 0 {
        let params = [n as u32, order, is_min, has_valid, nodes, below, at];
        l.launch_each(&RANGE, &kind, nodes as usize, &buffers, &params)?;
        (below, at, nodes) = (at, at + nodes, nodes / 2);
    }
    if n > 0 {
        let params = [n as u32, order, is_min, has_valid, 0, ROWS, 0];
        l.launch_each(&RANGE, &kind, n, &buffers, &params)?;
    }
    let validity = Validity::Words(flags);
    Ok(DeviceColumn { ty, storage: Storage::Wide, values: out, bit_offset: 0, validity })
}

/// How many rows of each frame are not null in the column: a `U32` column without nulls.
///
/// # Errors
/// As [`aggregate`].
pub fn count(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    frames: &Frames,
) -> Result<DeviceColumn> {
    frames.check(device)?;
    let n = frames.rows;
    column.check(OPERATION, device, n)?;
    if Launcher::new(device, queue, reservation).is_none() {
        let values = cpu::window::count(device, reservation, column, frames)?;
        let (ty, storage, validity) = (PhysType::U32, Storage::Packed, Validity::All);
        return Ok(DeviceColumn { ty, storage, values, bit_offset: 0, validity });
    }
    let ones = ones(device, queue, reservation, column, n)?;
    let mut counts = aggregate(device, queue, reservation, &ones, frames, FrameOp::Sum)?;
    counts.validity = Validity::All;
    Ok(counts)
}

/// On a GPU, 1 for each row that is not null in a checked column, else 0.
fn ones(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    n: usize,
) -> Result<DeviceColumn> {
    let wide = widen(device, queue, reservation, column, n)?;
    let values = match &wide.validity {
        Validity::Words(words) => words.clone(),
        _ => {
            let ones = alloc_words(device, reservation, n, 1)?;
            queue.fill(&ones, 1)?;
            ones
        }
    };
    let (ty, storage, validity) = (PhysType::U32, Storage::Wide, Validity::All);
    Ok(DeviceColumn { ty, storage, values, bit_offset: 0, validity })
}
