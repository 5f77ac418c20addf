//! The twin of `kernels/tile/scan.cu`: plain loops, over lines whose elements are neighbours one
//! after the other, over others a row of lines at a time.

use std::num::Wrapping;

use bytemuck::Pod;
use windlass_device::{Device, DeviceBuffer, Reservation};

use crate::{
    cpu::memory::adopt,
    error::Result,
    tile::{Lines, Run, Running, RunningOp},
    types::PhysType,
};

/// Scans lines that were checked.
///
/// # Errors
/// `OutOfMemory`; the device's errors.
pub(crate) fn scan(
    device: &dyn Device,
    reservation: &mut Reservation,
    ty: PhysType,
    values: &DeviceBuffer,
    run: Run<'_>,
) -> Result<Running> {
    let Run { op, lines, before } = run;
    let bytes = values.host_bytes().unwrap_or(&[]);
    let before = before.map(|b| b.host_bytes().unwrap_or(&[]));
    let sum = op == RunningOp::Sum;
    // An operator is compiled for each type; integers wrap whatever their sign.
    macro_rules! run {
        ($t:ty, $width:literal, $plus:expr, $times:expr) => {{
            let (values, last) = match sum {
                true => all::<$t, $width>(bytes, before, lines, $plus),
                false => all::<$t, $width>(bytes, before, lines, $times),
            };
            Ok(Running {
                values: adopt(device, reservation, values)?,
                last: adopt(device, reservation, last)?,
            })
        }};
    }
    match ty {
        PhysType::F32 => run!(f32, 4, |a, b| a + b, |a, b| a * b),
        PhysType::F64 => run!(f64, 8, |a, b| a + b, |a, b| a * b),
        _ => {
            run!(u64, 8, |a, b| (Wrapping(a) + Wrapping(b)).0, |a, b| (Wrapping(a) * Wrapping(b)).0)
        }
    }
}

/// The running results, and the last of each line.
fn all<T: Pod, const W: usize>(
    bytes: &[u8],
    before: Option<&[u8]>,
    lines: Lines,
    f: impl Fn(T, T) -> T + Copy,
) -> (Vec<T>, Vec<T>) {
    let Lines { outer, n, inner } = lines;
    let load = |x: &[u8; W]| -> T { bytemuck::pod_read_unaligned(x) };
    let elements = &bytes.as_chunks::<W>().0[..lines.results() * n];
    let before = before.map(|b| &b.as_chunks::<W>().0[..lines.results()]);
    let mut values: Vec<T> = Vec::with_capacity(elements.len());
    let mut last: Vec<T> = Vec::with_capacity(lines.results());
    if elements.is_empty() {
        return (values, last);
    }
    for (o, slab) in elements.chunks_exact(n * inner).enumerate().take(outer) {
        let before = before.map(|b| &b[o * inner..(o + 1) * inner]);
        if let (1, Some((first, rest))) = (inner, slab.split_first()) {
            let mut at = load(first);
            if let Some(before) = before {
                at = f(load(&before[0]), at);
            }
            values.push(at);
            values.extend(rest.iter().map(|x| {
                at = f(at, load(x));
                at
            }));
            last.push(at);
            continue;
        }
        let mut rows = slab.chunks_exact(inner);
        let first = rows.next().unwrap_or_default();
        match before {
            Some(b) => values.extend(b.iter().zip(first).map(|(b, x)| f(load(b), load(x)))),
            None => values.extend(first.iter().map(load)),
        }
        for row in rows {
            let start = values.len();
            values.resize(start + inner, T::zeroed());
            let (above, own) = values.split_at_mut(start);
            let above = &above[start - inner..];
            for ((to, above), x) in own.iter_mut().zip(above).zip(row) {
                *to = f(*above, load(x));
            }
        }
        last.extend_from_slice(&values[values.len() - inner..]);
    }
    (values, last)
}
