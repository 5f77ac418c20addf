//! Benches of operations on tiles.

use std::{
    hint::black_box,
    ops::{AddAssign, Mul},
    sync::Arc,
};

use arrow::{array::Float64Array, buffer::Buffer, compute::kernels::aggregate as theirs};
use bytemuck::Pod;
use windlass_device::DeviceBuffer;

use super::{
    Bench,
    case::{Case, apart, differ},
    host::{On, random},
};
use crate::{
    error::Result,
    tile::{self, FoldOp, Folded, Lengths, Lines, Matrix, Part, Run, Running, RunningOp, Strided},
    types::PhysType,
};

pub(super) fn benches() -> Vec<Bench> {
    vec![
        Bench::new(
            "tile/assemble/transpose_f64",
            "a square of f64 turned; floor: 8 bytes an element read, 8 written",
            transpose,
        ),
        Bench::new(
            "tile/assemble/halo_f64",
            "a tile of f64 with a border of two from each of its neighbours; floor: 8 bytes an \
             element read, 8 written",
            halo,
        ),
        Bench::new(
            "tile/fold/sum_f64_last_axis",
            "sums of lines of 1000 neighbouring f64; floor: 8 bytes an element read, 8 a line \
             written",
            |on, n| sums(on, Lines { outer: n.div_ceil(1000), n: 1000.min(n), inner: 1 }),
        ),
        Bench::new(
            "tile/fold/sum_f64_first_axis",
            "sums of the columns of 1000 f64 in rows; floor: 8 bytes an element read, 8 a column \
             written",
            |on, n| sums(on, Lines { outer: 1, n: n.div_ceil(1000), inner: 1000.min(n) }),
        ),
        Bench::new(
            "tile/scan/sum_f64_last_axis",
            "running sums of lines of 1000 neighbouring f64; floor: 8 bytes an element read, 8 \
             written",
            |on, n| running(on, Lines { outer: n.div_ceil(1000), n: 1000.min(n), inner: 1 }),
        ),
        Bench::new(
            "tile/scan/sum_f64_first_axis",
            "running sums of the columns of 1000 f64 in rows; floor: 8 bytes an element read, 8 \
             written",
            |on, n| running(on, Lines { outer: 1, n: n.div_ceil(1000), inner: 1000.min(n) }),
        ),
        Bench::new(
            "tile/matmul/f32_1024",
            "product of squares of f32, of 1024 rows where so many elements are wanted; floor: 4 \
             bytes an element of both read, 4 written, but of operations 2 x 1024^3, which take \
             the time",
            |on, n| product::<f32>(on, n, PhysType::F32),
        ),
        Bench::new(
            "tile/matmul/f64_1024",
            "product of squares of f64, of 1024 rows where so many elements are wanted; floor: 8 \
             bytes an element of both read, 8 written, but of operations 2 x 1024^3, which take \
             the time",
            |on, n| product::<f64>(on, n, PhysType::F64),
        ),
    ]
}

/// Numbers between 0 and 1.
fn fractions(n: usize, seed: u64) -> Arc<Vec<f64>> {
    Arc::new(random(n, seed, |r| (r.next() >> 11) as f64 / (1u64 << 53) as f64))
}

fn buffer(on: &mut On, values: &[f64]) -> Result<DeviceBuffer> {
    on.buffer(Buffer::from_vec(values.to_vec()))
}

/// A layout of rows of `width` elements, from element `offset` on.
fn rows(offset: usize, width: usize) -> Strided {
    Strided { offset, strides: vec![width as isize, 1] }
}

/// The side of a square of about `n` elements, at least 1.
fn side(n: usize) -> usize {
    n.isqrt().max(1)
}

fn transpose(on: &mut On, n: usize) -> Result<Case> {
    let side = side(n);
    let values = fractions(side * side, 1);
    let from = buffer(on, &values)?;
    let plain = move |values: &[f64]| -> Vec<f64> {
        (0..side).flat_map(|i| (0..side).map(move |j| values[j * side + i])).collect()
    };
    let theirs = Arc::clone(&values);
    let run = move |on: &mut On| {
        let part = Part {
            from: &from,
            lens: vec![side, side],
            source: Strided { offset: 0, strides: vec![1, side as isize] },
            target: rows(0, side),
        };
        let (device, queue) = (&*on.device, &mut *on.queue);
        let (ty, parts) = (PhysType::F64, [part]);
        tile::assemble(device, queue, &mut on.reservation, ty, side * side, &parts)
    };
    let check = move |on: &mut On, got: DeviceBuffer| {
        Ok(differ(&on.read::<f64>(&got, side * side)?, &plain(&values)))
    };
    let bytes = 8 * side * side;
    let case = Case::new(side * side, [bytes, bytes], run, check);
    Ok(case.beside_serial("std loop", move || {
        black_box(plain(&theirs));
    }))
}

/// Rows of each of three tiles in a column: the last two of the one before, all of the middle
/// one, the first two of the one behind; so the columns.
fn halo(on: &mut On, n: usize) -> Result<Case> {
    let side = side(n).max(2);
    let all = side + 4;
    let values: Vec<_> = (0..9).map(|i| fractions(side * side, i)).collect();
    let tiles = values.iter().map(|v| buffer(on, v)).collect::<Result<Vec<_>>>()?;
    let cuts = [(side - 2, 2, 0), (0, side, 2), (0, 2, side + 2)];
    let want: Vec<f64> = {
        let of = |at: usize| match at {
            0 | 1 => (0, side - 2 + at),
            at if at < side + 2 => (1, at - 2),
            at => (2, at - side - 2),
        };
        let element = |i: usize, j: usize| {
            let ((tile_row, row), (tile, column)) = (of(i), of(j));
            values[tile_row * 3 + tile][row * side + column]
        };
        (0..all).flat_map(|i| (0..all).map(move |j| (i, j))).map(|(i, j)| element(i, j)).collect()
    };
    let (mut theirs, from) = (vec![0.0; all * all], values.clone());
    let run = move |on: &mut On| {
        let mut parts = Vec::new();
        for (i, (from_row, height, to_row)) in cuts.into_iter().enumerate() {
            for (j, (from_column, width, to_column)) in cuts.into_iter().enumerate() {
                parts.push(Part {
                    from: &tiles[i * 3 + j],
                    lens: vec![height, width],
                    source: rows(from_row * side + from_column, side),
                    target: rows(to_row * all + to_column, all),
                });
            }
        }
        let (device, queue) = (&*on.device, &mut *on.queue);
        tile::assemble(device, queue, &mut on.reservation, PhysType::F64, all * all, &parts)
    };
    let check =
        move |on: &mut On, got: DeviceBuffer| Ok(differ(&on.read::<f64>(&got, all * all)?, &want));
    let case = Case::new(all * all, [8 * all * all; 2], run, check);
    Ok(case.beside_serial("std copies of rows", move || {
        for (i, (from_row, height, to_row)) in cuts.into_iter().enumerate() {
            for (j, (from_column, width, to_column)) in cuts.into_iter().enumerate() {
                for row in 0..height {
                    let f = (from_row + row) * side + from_column;
                    let t = (to_row + row) * all + to_column;
                    theirs[t..t + width].copy_from_slice(&from[i * 3 + j][f..f + width]);
                }
            }
        }
        black_box(&theirs);
    }))
}

/// Adds the parts of a fold up.
fn total(folded: &Folded, results: usize) -> Vec<f64> {
    let values: Vec<f64> =
        folded.values.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
    let mut parts = values.chunks_exact(results.max(1));
    let mut sums = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    sums
}

/// Plain sums of the lines of a dense array.
fn plain(values: &[f64], lines: Lines) -> Vec<f64> {
    let mut sums = vec![0.0; lines.results()];
    for (row, x) in values.chunks_exact(lines.inner.max(1)).enumerate() {
        let sums = &mut sums[row / lines.n * lines.inner..][..lines.inner];
        sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
    }
    sums
}

fn sums(on: &mut On, lines: Lines) -> Result<Case> {
    let lines = Lines { n: lines.n.max(1), inner: lines.inner.max(1), ..lines };
    let n = lines.results() * lines.n;
    let values = fractions(n, 1);
    let from = buffer(on, &values)?;
    let their = Arc::clone(&values);
    let run = move |on: &mut On| {
        let (device, queue) = (&*on.device, &mut *on.queue);
        let folded = tile::fold(
            device,
            queue,
            &mut on.reservation,
            FoldOp::Sum,
            PhysType::F64,
            &from,
            lines,
        )?;
        Ok(total(&folded, lines.results()))
    };
    let check = move |_: &mut On, got: Vec<f64>| {
        let want = plain(&values, lines);
        let sums = got.iter().zip(&want);
        Ok(sums.filter_map(|(got, want)| apart(*got, *want, *want)).next())
    };
    let case = Case::new(n, [8 * n, 8 * lines.results()], run, check);
    if lines.inner == 1 {
        let array = Float64Array::from(their.to_vec());
        return Ok(case.beside_serial("arrow sum of each line", move || {
            for line in 0..lines.outer {
                black_box(theirs::sum(&array.slice(line * lines.n, lines.n)));
            }
        }));
    }
    Ok(case.beside_serial("std loop over rows", move || {
        black_box(plain(&their, lines));
    }))
}

/// Plain running sums of the lines of a dense array.
fn plainly_running(values: &[f64], lines: Lines) -> Vec<f64> {
    let mut out = values.to_vec();
    for slab in out.chunks_exact_mut(lines.n * lines.inner) {
        for at in lines.inner..slab.len() {
            slab[at] += slab[at - lines.inner];
        }
    }
    out
}

fn running(on: &mut On, lines: Lines) -> Result<Case> {
    let lines = Lines { n: lines.n.max(1), inner: lines.inner.max(1), ..lines };
    let n = lines.results() * lines.n;
    let values = fractions(n, 1);
    let from = buffer(on, &values)?;
    let their = Arc::clone(&values);
    let run = move |on: &mut On| {
        let (device, queue) = (&*on.device, &mut *on.queue);
        let run = Run { op: RunningOp::Sum, lines, before: None };
        tile::scan(device, queue, &mut on.reservation, PhysType::F64, &from, run)
    };
    let check = move |on: &mut On, got: Running| {
        let (got, want) = (on.read::<f64>(&got.values, n)?, plainly_running(&values, lines));
        let sums = got.iter().zip(&want);
        Ok(sums.filter_map(|(got, want)| apart(*got, *want, *want)).next())
    };
    let case = Case::new(n, [8 * n, 8 * n], run, check);
    Ok(case.beside_serial("std loop", move || {
        black_box(plainly_running(&their, lines));
    }))
}

/// A float of benches of products.
trait Float: Pod + Send + Sync + Into<f64> + Mul<Output = Self> + AddAssign + Default {
    fn of(x: f64) -> Self;
}

impl Float for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
}

impl Float for f64 {
    fn of(x: f64) -> Self {
        x
    }
}

/// Plain loops in the order in which rows are neighbours.
fn plain_product<T: Float>(a: &[T], b: &[T], side: usize) -> Vec<T> {
    let mut out = vec![T::default(); side * side];
    for (row, a) in out.chunks_exact_mut(side).zip(a.chunks_exact(side)) {
        for (a, b) in a.iter().zip(b.chunks_exact(side)) {
            row.iter_mut().zip(b).for_each(|(sum, b)| *sum += *a * *b);
        }
    }
    out
}

fn product<T: Float>(on: &mut On, n: usize, ty: PhysType) -> Result<Case> {
    let side = side(n).min(1024);
    let all = side * side;
    let make = |seed| -> Arc<Vec<T>> {
        Arc::new(fractions(all, seed).iter().map(|x| T::of(*x)).collect())
    };
    let (a, b) = (make(1), make(2));
    let [from_a, from_b] = [&a, &b].map(|m| bytemuck::cast_slice::<T, u8>(m).to_vec());
    let (from_a, from_b) =
        (on.buffer(Buffer::from_vec(from_a))?, on.buffer(Buffer::from_vec(from_b))?);
    let (their_a, their_b) = (Arc::clone(&a), Arc::clone(&b));
    let run = move |on: &mut On| {
        let layout = || Strided { offset: 0, strides: vec![0, side as isize, 1] };
        let a = Matrix { values: &from_a, layout: layout() };
        let b = Matrix { values: &from_b, layout: layout() };
        let lengths = Lengths { batch: 1, m: side, n: side, k: side };
        let (device, queue) = (&*on.device, &mut *on.queue);
        tile::matmul(device, queue, &mut on.reservation, ty, lengths, [&a, &b], None)
    };
    let check = move |on: &mut On, got: DeviceBuffer| {
        let (got, want) = (on.read::<T>(&got, all)?, plain_product(&a, &b, side));
        // Of numbers that are not negative: errors are below `side` units of the result, of f32
        // 2^-24 each.
        let far = |got: f64, want: f64| (got - want).abs() > 1e-4 * want;
        let at = got.iter().zip(&want).position(|(g, w)| far((*g).into(), (*w).into()));
        Ok(at.map(|at| {
            format!(
                "element {at} is {}, expected {}",
                Into::<f64>::into(got[at]),
                Into::<f64>::into(want[at])
            )
        }))
    };
    let bytes = all * size_of::<T>();
    let case = Case::new(all, [2 * bytes, bytes], run, check);
    Ok(case.beside_serial("std loops over rows", move || {
        black_box(plain_product(&their_a, &their_b, side));
    }))
}
