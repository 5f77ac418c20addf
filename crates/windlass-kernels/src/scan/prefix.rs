//! Running sums, minima and maxima of a column.

use windlass_device::{Backend, Device, DeviceBuffer, Queue, Reservation};

use super::sources::{Kind, PREFIX};
use crate::{
    column::{DeviceColumn, Storage, Validity, check_rows, check_words},
    cpu,
    error::{KernelError, Result},
    gather::widen,
    launcher::Launcher,
    types::PhysType,
};

/// Rows that one block scans; the kernel's text states the same number.
const TILE: usize = 2048;

/// What is kept of the rows so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScanOp {
    /// Their sum in the column's type: integers wrap, floats round at every addition.
    Sum,
    /// The least, floats in the order of IEEE 754 totalOrder (-NaN, -inf, …, inf, NaN).
    Min,
    /// The greatest, in the same order.
    Max,
}

/// A kind of scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scan {
    /// The operator.
    pub op: ScanOp,
    /// Whether a row's own value is left out of its result.
    pub exclusive: bool,
}

/// Whether a device can scan columns of this type.
///
/// # Errors
/// `Unsupported` with the reason; `Invalid` for a type that scans do not take: they take
/// `i32`, `i64`, `u32`, `u64`, `f32` and `f64`.
pub fn supported(device: &dyn Device, ty: PhysType, op: ScanOp) -> Result<()> {
    use PhysType as T;
    if !matches!(ty, T::I32 | T::I64 | T::U32 | T::U64 | T::F32 | T::F64) {
        return Err(KernelError::Invalid {
            operation: "scan",
            expected: "a column of i32, i64, u32, u64, f32 or f64".into(),
            got: ty.to_string(),
        });
    }
    let info = device.info();
    let wgpu = info.backend == Backend::Wgpu;
    if wgpu && op == ScanOp::Sum && ty == T::F64 && !info.features.float64 {
        return Err(KernelError::Unsupported {
            device: info.name.to_string(),
            reason: "running sums of f64 need 64-bit floats".into(),
        });
    }
    Ok(())
}

/// For each of `rows` rows the sum, minimum or maximum of the column's values up to it, its own
/// included. Nulls are passed over. A row with no value so far is null (its value is 0).
///
/// Sums of floats are added in an order that the number of rows alone fixes, on each device its
/// own: results are the same in every run, and differ between devices by the rounding of
/// reassociated additions.
///
/// # Errors
/// Those of [`supported`]; `Invalid` when the column is too short or on another device; the
/// device's errors.
pub fn inclusive(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    op: ScanOp,
) -> Result<DeviceColumn> {
    scan(device, queue, reservation, column, rows, None, Scan { op, exclusive: false })
}

/// As [`inclusive`], of the rows before each row: the first is always null, with the value 0,
/// so that the values of a sum alone are offsets.
///
/// # Errors
/// As [`inclusive`].
pub fn exclusive(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    op: ScanOp,
) -> Result<DeviceColumn> {
    scan(device, queue, reservation, column, rows, None, Scan { op, exclusive: true })
}

/// A scan that begins anew in every row whose word in `starts` is not 0 (and in the first row),
/// as windows do over partitions.
///
/// # Errors
/// As [`inclusive`], also for `starts`.
#[allow(clippy::too_many_arguments, reason = "device, queue and memory are explicit everywhere")]
pub fn segmented(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    starts: &DeviceBuffer,
    scan_: Scan,
) -> Result<DeviceColumn> {
    scan(device, queue, reservation, column, rows, Some(starts), scan_)
}

fn scan(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    starts: Option<&DeviceBuffer>,
    scan: Scan,
) -> Result<DeviceColumn> {
    const OPERATION: &str = "scan";
    supported(device, column.ty, scan.op)?;
    check_rows(OPERATION, rows)?;
    column.check(OPERATION, device, rows)?;
    if let Some(starts) = starts {
        check_words(OPERATION, device, "segment starts", starts, rows)?;
    }
    if Launcher::new(device, queue, reservation).is_none() {
        let starts = starts.map(|s| cpu::view::words_of(s).map(cpu::view::Bits::Words));
        return cpu::scan::prefix(device, reservation, column, rows, starts.transpose()?, scan);
    }
    let wide = widen(device, queue, reservation, column, rows)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else { return Ok(wide) };
    let valid = match &wide.validity {
        Validity::Words(words) => Some(words),
        _ => None,
    };
    let kind = match (scan.op, column.ty) {
        (ScanOp::Sum, PhysType::F32) => Kind::SumF32,
        (ScanOp::Sum, PhysType::F64) => Kind::SumF64,
        (ScanOp::Sum, ty) if ty.words() == 1 => Kind::SumU32,
        (ScanOp::Sum, _) => Kind::SumU64,
        (_, ty) if ty.words() == 1 => Kind::Code32,
        _ => Kind::Code64,
    };
    let order = match column.ty {
        ty if ty.is_float() => 2,
        ty => u32::from(ty.is_signed()),
    };
    let unused = l.alloc_words(1, 1)?;
    let level = Level {
        values: &wide.values,
        valid,
        starts,
        n: rows,
        exclusive: scan.exclusive,
        order,
        is_min: scan.op == ScanOp::Min,
        coded: false,
    };
    let nullable = scan.exclusive || column.nullable();
    let (values, flags) = level.scan(&mut l, kind, nullable, &unused)?;
    let validity = if nullable { Validity::Words(flags) } else { Validity::All };
    Ok(DeviceColumn { ty: column.ty, storage: Storage::Wide, values, bit_offset: 0, validity })
}

/// One array to scan: the column, or the states of an array's tiles.
struct Level<'a> {
    values: &'a DeviceBuffer,
    valid: Option<&'a DeviceBuffer>,
    starts: Option<&'a DeviceBuffer>,
    n: usize,
    exclusive: bool,
    /// Of minima and maxima: 0 unsigned, 1 signed, 2 float.
    order: u32,
    is_min: bool,
    /// Whether the values are states.
    coded: bool,
}

impl Level<'_> {
    /// The results, and for each row whether a value was seen, where `flags`.
    fn scan(
        &self,
        l: &mut Launcher<'_>,
        kind: Kind,
        flags: bool,
        unused: &DeviceBuffer,
    ) -> Result<(DeviceBuffer, DeviceBuffer)> {
        let out = l.alloc_words(self.n, kind.words())?;
        let out_flags = l.alloc_words(if flags { self.n } else { 1 }, 1)?;
        let tiles = self.n.div_ceil(TILE);
        let mut carries = None;
        if tiles > 1 {
            let sums = l.alloc_words(tiles, kind.words())?;
            let sum_flags = l.alloc_words(tiles, 1)?;
            self.launch(l, kind, (None, unused), (&sums, &sum_flags), true, true)?;
            let states = Level {
                values: &sums,
                valid: Some(&sum_flags),
                starts: None,
                n: tiles,
                exclusive: true,
                coded: true,
                ..*self
            };
            carries = Some(states.scan(l, kind, true, unused)?);
        }
        if tiles > 0 {
            self.launch(l, kind, (carries.as_ref(), unused), (&out, &out_flags), flags, false)?;
        }
        Ok((out, out_flags))
    }

    fn launch(
        &self,
        l: &mut Launcher<'_>,
        kind: Kind,
        (carries, unused): (Option<&(DeviceBuffer, DeviceBuffer)>, &DeviceBuffer),
        (out, out_flags): (&DeviceBuffer, &DeviceBuffer),
        flags: bool,
        reduce: bool,
    ) -> Result<()> {
        let buffers = [
            self.values,
            self.valid.unwrap_or(unused),
            self.starts.unwrap_or(unused),
            carries.map_or(unused, |c| &c.0),
            carries.map_or(unused, |c| &c.1),
            out,
            out_flags,
        ];
        let params = [
            self.n as u32,
            self.order,
            u32::from(self.is_min),
            u32::from(self.coded),
            u32::from(self.valid.is_some()),
            u32::from(self.starts.is_some()),
            u32::from(self.exclusive),
            u32::from(carries.is_some()),
            u32::from(flags),
            u32::from(reduce),
        ];
        let blocks = self.n.div_ceil(TILE) as u32;
        l.launch(&PREFIX, &[("KIND", kind as u32)], blocks, &buffers, &params)
    }
}
