//! Maps, reductions and running sums of a region on a device.

use std::sync::Arc;

use windlass_device::{Device, DeviceBuffer};
use windlass_kernels::{
    PhysType, Storage, ir,
    pipeline::FilterProject,
    tile::{FoldOp, Lines, Part, Run, RunningOp, Strided, assemble, fold},
};

use super::{
    DeviceTile, Devices, Failure,
    bind::On,
    evaluate::{View, column, evaluate, view},
    kernel_type,
    tile::{download, of_words},
};
use crate::{
    dtype::DType,
    element::Buf,
    execute::{leaf::Given, program::Program, stage::ScanStage},
    reduce::{ReduceOp, State, converted},
    region::Region,
    shape::{ArrayShape, strides},
    tile::Tile,
};

/// The elements of a region, which has some, on the device.
///
/// # Errors
/// Why it cannot be done there.
pub(crate) fn map(
    devices: &Devices,
    device: &Arc<dyn Device>,
    program: &Program,
    region: &Region,
    given: &dyn Given,
) -> Result<DeviceTile, Failure> {
    let buffer = with(devices, device, |on| {
        let view = view(on, program, region, given)?;
        own(on, &view)
    })?;
    let shape = ArrayShape::new(region.lens());
    Ok(DeviceTile { device: Arc::clone(device), buffer, dtype: program.dtype, shape })
}

/// As [`map`], brought to the host.
///
/// # Errors
/// As there.
pub(crate) fn brought(
    devices: &Devices,
    device: &Arc<dyn Device>,
    program: &Program,
    region: &Region,
    given: &dyn Given,
) -> Result<Tile, Failure> {
    let n = region.lens().iter().product();
    let axes: Vec<usize> = (0..region.axes.len()).collect();
    let buf = with(devices, device, |on| {
        let buffer = evaluate(on, program, region, &axes, given)?;
        Ok(download(on.queue, &buffer, program.dtype, n)?)
    })?;
    Ok(Tile::dense(buf, ArrayShape::new(region.lens())))
}

/// The elements of a view, and no others, in a buffer.
fn own(on: &mut On<'_>, view: &View) -> Result<DeviceBuffer, Failure> {
    let n: usize = view.lens.iter().product();
    let axes: Vec<usize> = (0..view.lens.len()).collect();
    let dense = view.dense(on, &axes)?;
    // What a tile's buffer holds beside it stays as long as the tile.
    let bytes = (n * view.ty.wide_bytes()).max(16);
    if dense.len() <= bytes.next_multiple_of(16) {
        return Ok(dense);
    }
    let steps = vec![1];
    let part = Part {
        from: &dense,
        lens: vec![n],
        source: Strided { offset: 0, strides: steps.clone() },
        target: Strided { offset: 0, strides: steps },
    };
    Ok(assemble(&**on.device, on.queue, on.reservation, view.ty, n, &[part])?)
}

pub(super) fn with<T>(
    devices: &Devices,
    device: &Arc<dyn Device>,
    work: impl FnOnce(&mut On<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    devices.with(device, |queue| {
        let mut reservation = device.pool().reserve(0)?;
        work(&mut On { device, queue, reservation: &mut reservation })
    })
}

/// The state of a region, reduced along some axes.
///
/// # Errors
/// Why it cannot be done there.
pub(crate) fn reduce(
    devices: &Devices,
    device: &Arc<dyn Device>,
    (program, op): (&Program, ReduceOp),
    (reduced, shape): (&[usize], &ArrayShape),
    region: &Region,
    given: &dyn Given,
) -> Result<State, Failure> {
    let lens = region.lens();
    let rank = lens.len();
    let kept: Vec<usize> = (0..rank).filter(|i| !reduced.contains(i)).collect();
    let product = |of: &[usize]| of.iter().map(|&i| lens[i]).product::<usize>();
    let (results, n) = (product(&kept), product(reduced));
    // Neighbours in memory stay neighbours: of one line, or of neighbouring lines.
    let inside = rank == 0 || reduced.contains(&(rank - 1));
    let (axes, lines) = match inside {
        true => ([&kept[..], reduced].concat(), Lines { outer: results, n, inner: 1 }),
        false => ([reduced, &kept[..]].concat(), Lines { outer: 1, n, inner: results }),
    };
    let ty = kernel_type(program.dtype)?;
    let fold_op = fold_op(op, ty.is_float());
    let folded = with(devices, device, |on| {
        let values = evaluate(on, program, region, &axes, given)?;
        Ok(fold(&**on.device, on.queue, on.reservation, fold_op, ty, &values, lines)?)
    })?;
    let width = ty.wide_bytes();
    let more = folded.more.len() / (results * folded.parts).max(1);
    let mut state: Option<State> = None;
    for part in 0..folded.parts {
        let slice = |bytes: &[u8], width: usize| {
            bytes[part * results * width..(part + 1) * results * width].to_vec()
        };
        // States of sums have 64 bits, where the device had them or not.
        let values = of_words(&slice(&folded.values, width), program.dtype);
        let values = converted(values, op.state_type(program.dtype));
        let count = n * (part + 1) / folded.parts - n * part / folded.parts;
        let more = slice(&folded.more, more);
        let parts = parts(op, values, &more, count, &|at| position(at, reduced, shape, region));
        let next = State { op, parts };
        match &mut state {
            Some(state) => state.merge(&next),
            None => state = Some(next),
        }
    }
    state.ok_or_else(|| Failure::Here("a fold without parts".into()))
}

/// A tile's running results along an axis, behind what comes before it: a state's elements.
///
/// # Errors
/// Why it cannot be done there.
pub(crate) fn running(
    devices: &Devices,
    device: &Arc<dyn Device>,
    scan: &ScanStage,
    region: &Region,
    given: &dyn Given,
    carry: Option<&Buf>,
    to: DType,
) -> Result<DeviceTile, Failure> {
    let (ty, wanted) = (kernel_type(scan.state)?, kernel_type(to)?);
    let op = match scan.op {
        ReduceOp::Prod => RunningOp::Product,
        _ => RunningOp::Sum,
    };
    let lens = region.lens();
    let (outer, inner) =
        (lens[..scan.axis].iter().product(), lens[scan.axis + 1..].iter().product());
    let lines = Lines { outer, n: lens[scan.axis], inner };
    let axes: Vec<usize> = (0..lens.len()).collect();
    let buffer = with(devices, device, |on| {
        let values = evaluate(on, &scan.program, region, &axes, given)?;
        // Sums are of 64 bits: they lie on the host as there.
        let before = match carry {
            None => None,
            Some(carry) => Some(on.bytes(carry.as_bytes())?),
        };
        let run = Run { op, lines, before: before.as_ref() };
        let found =
            windlass_kernels::tile::scan(&**on.device, on.queue, on.reservation, ty, &values, run)?;
        cast(on, (ty, wanted), found.values, lens.iter().product())
    })?;
    Ok(DeviceTile { device: Arc::clone(device), buffer, dtype: to, shape: ArrayShape::new(lens) })
}

/// Elements of one type as those of another.
fn cast(
    on: &mut On<'_>,
    (from, to): (PhysType, PhysType),
    values: DeviceBuffer,
    rows: usize,
) -> Result<DeviceBuffer, Failure> {
    if from == to {
        return Ok(values);
    }
    let mut program = ir::Program::new();
    let input = program.input(from, false);
    let output = program.cast(input, to, ir::CastMode::Wrap, None)?;
    let plan = FilterProject { program, filter: None, outputs: vec![output] };
    on.output(&plan, rows, vec![column((from, Storage::Wide), values)], &[])
}

/// The fold of a reduction; only floats have NaNs to leave out.
fn fold_op(op: ReduceOp, float: bool) -> FoldOp {
    match op {
        ReduceOp::Sum | ReduceOp::Mean => FoldOp::Sum,
        ReduceOp::Prod => FoldOp::Product,
        ReduceOp::Var { .. } | ReduceOp::Std { .. } => FoldOp::Moments,
        // What is true is greater.
        ReduceOp::Min | ReduceOp::All => FoldOp::Least { ignore_nan: false },
        ReduceOp::Max | ReduceOp::Any => FoldOp::Greatest { ignore_nan: false },
        ReduceOp::NanMin => FoldOp::Least { ignore_nan: float },
        ReduceOp::NanMax => FoldOp::Greatest { ignore_nan: float },
        ReduceOp::Argmin => FoldOp::FindLeast,
        ReduceOp::Argmax => FoldOp::FindGreatest,
    }
}

/// What a state keeps of one part of a fold.
fn parts(
    op: ReduceOp,
    values: Buf,
    more: &[u8],
    count: usize,
    position: &dyn Fn(usize) -> i64,
) -> Vec<Buf> {
    match op {
        ReduceOp::Var { .. } | ReduceOp::Std { .. } => {
            let counts = Buf::F64(vec![count as f64; values.len()]);
            vec![counts, values, of_words(more, DType::F64)]
        }
        ReduceOp::Argmin | ReduceOp::Argmax => {
            let at = more.chunks_exact(4).map(|b| {
                let at: u32 = bytemuck::pod_read_unaligned(b);
                position(at as usize)
            });
            let at = Buf::I64(at.collect());
            vec![values, at]
        }
        _ => vec![values],
    }
}

/// The position in the whole array, along its reduced axes, of the element that has this one
/// along those of a region.
fn position(at: usize, reduced: &[usize], shape: &ArrayShape, region: &Region) -> i64 {
    let lens: Vec<usize> = reduced.iter().map(|&i| region.axes[i].len).collect();
    let whole: Vec<usize> = reduced.iter().map(|&i| shape.as_slice()[i]).collect();
    let (own, steps) = (strides(&lens), strides(&whole));
    let mut rest = at;
    let mut found = 0;
    for ((own, step), &axis) in own.iter().zip(&steps).zip(reduced) {
        let i = rest / (*own).max(1) as usize;
        rest %= (*own).max(1) as usize;
        found += region.axes[axis].at(i) as i64 * *step as i64;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{region::Span, shape::each_index};

    #[test]
    fn positions_are_those_of_the_whole_array() {
        let region = Region::new(vec![Span::new(2, 1, 2), Span::new(0, 1, 5), Span::new(3, 1, 4)]);
        let shape = ArrayShape::from(&[6, 5, 10][..]);
        let mut expected = Vec::new();
        each_index(&[2, 4], |at| expected.push(((at[0] + 2) * 10 + at[1] + 3) as i64));
        let found: Vec<i64> = (0..8).map(|at| position(at, &[0, 2], &shape, &region)).collect();
        assert_eq!(found, expected);
    }
}
