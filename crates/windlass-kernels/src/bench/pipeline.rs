//! Benches of generated kernels, of what they do after filters, and of compaction.

use std::{hint::black_box, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, Scalar as One},
    compute::{self, kernels::cmp, kernels::numeric},
    datatypes::{Float64Type, Int32Type, Int64Type},
};
use rayon::prelude::*;

use super::{
    Bench,
    aggregate::{Grouped, group_by},
    case::{Case, differ},
    host::{On, PIECE, array, nullable, random, sliced},
};
use crate::{
    aggregate::{Accumulator, AggregateCall, GroupByPlan},
    column::{DeviceBatch, DeviceColumn},
    compact::{Tiles, close_gaps},
    error::Result,
    gather::widen,
    ir::{BinaryOp, Program},
    pipeline::{Evaluated, FilterProject},
    types::{PhysType, Scalar},
};

pub(super) fn benches() -> Vec<Bench> {
    const FILTER: &str = "the i64 of rows whose i32 is below a constant; floor: 12 bytes a row read, 8 a row of the result written";
    vec![
        Bench::new("filter/filter/i64_1_percent", FILTER, |on, n| filter(on, n, 1, false)),
        Bench::new("filter/filter/i64_50_percent", FILTER, |on, n| filter(on, n, 50, false)),
        Bench::new("filter/filter/i64_99_percent", FILTER, |on, n| filter(on, n, 99, false)),
        Bench::new("filter/filter/i64_nulls_50_percent", FILTER, |on, n| filter(on, n, 50, true)),
        Bench::new(
            "filter/filter/4_columns_50_percent",
            "the i32, i64, f64 and bool, one in ten of the latter null, of rows whose i32 is below a constant; \
             floor: 20 bytes and 4 bits a row read, as much a row of the result written",
            filter_columns,
        ),
        Bench::new(
            "filter/filter_sum/i64_50_percent",
            "the sum of the i64 of rows whose i32 is below a constant; floor: 12 bytes a row read",
            filter_sum,
        ),
        Bench::new(
            "filter/evaluate/multiply_add",
            "a * b + a of i64 for every row; floor: 16 bytes a row read, 8 written",
            evaluate,
        ),
        Bench::new(
            "filter/close_gaps/half_full",
            "values side by side from tiles that are half full; floor: 4 bytes a value read, 4 written",
            compacted,
        ),
    ]
}

/// Keys below 100 and values.
fn columns(n: usize, nulls: bool) -> (Int32Array, Int64Array) {
    let keys = array::<Int32Type>(random(n, 1, |r| r.below(100) as i32));
    let values = random(n, 2, |r| r.next() as i64);
    let values = match nulls {
        true => nullable::<Int64Type>(values, |i| i % 10 != 3),
        false => array::<Int64Type>(values),
    };
    (keys, values)
}

/// Each batch's result: of all cores at once on the host, as the partitions of a job are.
fn each_batch<T: Send>(
    on: &mut On,
    batches: &[DeviceBatch],
    plan: &FilterProject,
    run: fn(&FilterProject, &mut On, &DeviceBatch) -> Result<T>,
) -> Result<Vec<T>> {
    if !on.is_host() {
        return batches.iter().map(|b| run(plan, on, b)).collect();
    }
    let device = &on.device;
    let one = |b: &DeviceBatch| {
        let (queue, reservation) = (device.queue()?, device.pool().reserve(0)?);
        run(plan, &mut On { device: Arc::clone(device), queue, reservation }, b)
    };
    batches.par_iter().map(one).collect()
}

fn filter(on: &mut On, n: usize, percent: i32, nulls: bool) -> Result<Case> {
    let (keys, values) = columns(n, nulls);
    let mut p = Program::new();
    let (k, v) = (p.input(PhysType::I32, false), p.input(PhysType::I64, nulls));
    let below = p.constant(Scalar::Int(PhysType::I32, i128::from(percent)));
    let below = p.binary(BinaryOp::Lt, k, below, None)?;
    let plan = FilterProject { program: p, filter: Some(below), outputs: vec![v] };
    let arrays: [ArrayRef; 2] = [Arc::new(keys.clone()), Arc::new(values.clone())];
    let batches = on.batches(&arrays)?;
    let want: Vec<Option<i64>> = keys
        .values()
        .iter()
        .zip(values.iter())
        .filter_map(|(k, v)| (*k < percent).then_some(v))
        .collect();
    let [key_pieces, value_pieces] = [sliced(&keys), sliced(&values)];
    let kept = want.len();
    let bit = |rows: usize| if nulls { rows.div_ceil(8) } else { 0 };
    let floor = [12 * n + bit(n), 8 * kept + bit(kept)];
    let run = move |on: &mut On| {
        each_batch(on, &batches, &plan, |plan, on, b| {
            plan.run(&*on.device, &mut *on.queue, &mut on.reservation, b, &[])
        })
    };
    let check = move |on: &mut On, got: Vec<DeviceBatch>| {
        let mut all = Vec::new();
        for b in &got {
            all.extend(on.options::<i64>(&b.columns[0], b.rows)?);
        }
        Ok(differ(&all, &want))
    };
    let case = Case::new(n, floor, run, check);
    Ok(case.beside("arrow lt and filter", move || {
        let below = One::new(Int32Array::from(vec![percent]));
        let one = |(k, v): (&ArrayRef, &ArrayRef)| {
            let kept = cmp::lt(k.as_primitive::<Int32Type>(), &below).expect("one type");
            compute::filter(v, &kept).expect("arrays of one length")
        };
        black_box(key_pieces.par_iter().zip(&value_pieces).map(one).collect::<Vec<_>>());
    }))
}

fn filter_columns(on: &mut On, n: usize) -> Result<Case> {
    let valid = |step: usize| move |i: usize| i % 10 != step;
    let keys = nullable::<Int32Type>(random(n, 1, |r| r.below(100) as i32), |_| true);
    let longs = nullable::<Int64Type>(random(n, 2, |r| r.next() as i64), valid(3));
    let floats = nullable::<Float64Type>(random(n, 3, |r| r.below(1 << 20) as f64), valid(5));
    let flags = random(n, 4, |r| Some(r.below(2) == 0).filter(|_| r.below(10) > 0));
    let flags: BooleanArray = flags.into_iter().collect();
    let arrays: [ArrayRef; 4] =
        [Arc::new(keys.clone()), Arc::new(longs), Arc::new(floats), Arc::new(flags)];
    let mut p = Program::new();
    let types = [PhysType::I32, PhysType::I64, PhysType::F64, PhysType::Bool];
    let inputs = types.map(|ty| p.input(ty, true));
    let half = p.constant(Scalar::Int(PhysType::I32, 50));
    let below = p.binary(BinaryOp::Lt, inputs[0], half, None)?;
    let plan = FilterProject { program: p, filter: Some(below), outputs: inputs.to_vec() };
    let batches = on.batches(&arrays)?;
    let kept = BooleanArray::from_unary(&keys, |k| k < 50);
    let rows = kept.true_count();
    let want: Vec<ArrayRef> =
        arrays.iter().map(|a| compute::filter(a, &kept).expect("arrays of one length")).collect();
    let run = move |on: &mut On| {
        each_batch(on, &batches, &plan, |plan, on, b| {
            plan.run(&*on.device, &mut *on.queue, &mut on.reservation, b, &[])
        })
    };
    let check = move |on: &mut On, got: Vec<DeviceBatch>| {
        let (mut longs, mut floats, mut flags) = (Vec::new(), Vec::new(), Vec::new());
        for b in &got {
            longs.extend(on.options::<i64>(&b.columns[1], b.rows)?);
            floats.extend(on.options::<f64>(&b.columns[2], b.rows)?);
            let (device, queue) = (&*on.device, &mut *on.queue);
            let words = widen(device, queue, &mut on.reservation, &b.columns[3], b.rows)?;
            flags.extend(on.options::<u32>(&DeviceColumn { ty: PhysType::U32, ..words }, b.rows)?);
        }
        let bools = want[3].as_boolean().iter().map(|f| f.map(u32::from));
        Ok(differ(&longs, &want[1].as_primitive::<Int64Type>().iter().collect::<Vec<_>>())
            .or_else(|| {
                differ(&floats, &want[2].as_primitive::<Float64Type>().iter().collect::<Vec<_>>())
            })
            .or_else(|| differ(&flags, &bools.collect::<Vec<_>>())))
    };
    // The booleans and the validities of all but the keys, which have no null, are bits.
    let floor = |n: usize| 20 * n + 4 * n.div_ceil(8);
    let case = Case::new(n, [floor(n), floor(rows)], run, check);
    let pieces: Vec<Vec<ArrayRef>> = (0..n)
        .step_by(PIECE)
        .map(|at| arrays.iter().map(|a| a.slice(at, PIECE.min(n - at))).collect())
        .collect();
    Ok(case.beside("arrow lt and filter of each column", move || {
        let below = One::new(Int32Array::from(vec![50]));
        let one = |columns: &Vec<ArrayRef>| {
            let kept = cmp::lt(columns[0].as_primitive::<Int32Type>(), &below).expect("one type");
            let kept = compute::FilterBuilder::new(&kept).optimize().build();
            let filter = |c: &ArrayRef| kept.filter(c).expect("arrays of one length");
            columns.iter().map(filter).collect::<Vec<_>>()
        };
        black_box(pieces.par_iter().map(one).collect::<Vec<_>>());
    }))
}

fn filter_sum(on: &mut On, n: usize) -> Result<Case> {
    let (keys, values) = columns(n, false);
    let mut p = Program::new();
    let (k, v) = (p.input(PhysType::I32, false), p.input(PhysType::I64, false));
    let half = p.constant(Scalar::Int(PhysType::I32, 50));
    let filter = Some(p.binary(BinaryOp::Lt, k, half, None)?);
    let accumulator = Accumulator::Sum { wide: false };
    let sum = AggregateCall { accumulator, argument: Some(v), filter: None };
    let plan = GroupByPlan { program: p, filter, keys: vec![], calls: vec![sum] };
    let arrays: [ArrayRef; 2] = [Arc::new(keys.clone()), Arc::new(values.clone())];
    let batches = on.batches(&arrays)?;
    let want = keys
        .values()
        .iter()
        .zip(values.values())
        .filter(|(k, _)| **k < 50)
        .fold(0i64, |s, (_, v)| s.wrapping_add(*v));
    let [key_pieces, value_pieces] = [sliced(&keys), sliced(&values)];
    let run = move |on: &mut On| group_by(on, &plan, &batches, 0);
    let check = move |on: &mut On, got: Grouped| {
        let got = got.finish(on)?;
        let sum = got.states[0][0].as_primitive::<Int64Type>();
        Ok(differ(sum.values(), &[want]))
    };
    let case = Case::new(n, [12 * n, 8], run, check);
    Ok(case.beside("arrow lt, filter and sum", move || {
        let below = One::new(Int32Array::from(vec![50]));
        let one = |(k, v): (&ArrayRef, &ArrayRef)| {
            let kept = cmp::lt(k.as_primitive::<Int32Type>(), &below).expect("one type");
            let kept = compute::filter(v, &kept).expect("arrays of one length");
            compute::sum(kept.as_primitive::<Int64Type>())
        };
        black_box(key_pieces.par_iter().zip(&value_pieces).map(one).collect::<Vec<_>>());
    }))
}

fn evaluate(on: &mut On, n: usize) -> Result<Case> {
    let (a, b) = (random(n, 1, |r| r.next() as i64), random(n, 2, |r| r.next() as i64));
    let (a, b) = (array::<Int64Type>(a), array::<Int64Type>(b));
    let mut p = Program::new();
    let (x, y) = (p.input(PhysType::I64, false), p.input(PhysType::I64, false));
    let product = p.binary(BinaryOp::Mul, x, y, None)?;
    let sum = p.binary(BinaryOp::Add, product, x, None)?;
    let plan = FilterProject { program: p, filter: None, outputs: vec![sum] };
    let arrays: [ArrayRef; 2] = [Arc::new(a.clone()), Arc::new(b.clone())];
    let batches = on.batches(&arrays)?;
    let pieces: Vec<(ArrayRef, ArrayRef)> = sliced(&a).into_iter().zip(sliced(&b)).collect();
    let run = move |on: &mut On| {
        each_batch(on, &batches, &plan, |plan, on, b| {
            plan.evaluate(&*on.device, &mut *on.queue, &mut on.reservation, b, &[])
        })
    };
    let check = move |on: &mut On, got: Vec<Evaluated>| {
        let mut all = Vec::new();
        for e in &got {
            all.extend(on.values::<i64>(&e.columns.columns[0], e.columns.rows)?);
        }
        let pairs = a.values().iter().zip(b.values());
        let want: Vec<i64> = pairs.map(|(a, b)| a.wrapping_mul(*b).wrapping_add(*a)).collect();
        Ok(differ(&all, &want))
    };
    let case = Case::new(n, [16 * n, 8 * n], run, check);
    Ok(case.beside("arrow mul and add", move || {
        let one = |(a, b): &(ArrayRef, ArrayRef)| {
            let product = numeric::mul_wrapping(
                &a.as_primitive::<Int64Type>(),
                &b.as_primitive::<Int64Type>(),
            );
            let product = product.expect("arrays of one length");
            numeric::add_wrapping(&product, &a.as_primitive::<Int64Type>()).expect("as above")
        };
        black_box(pieces.par_iter().map(one).collect::<Vec<_>>());
    }))
}

/// Words of a tile, as the pipelines' blocks have them.
const TILE: usize = 2048;

fn compacted(on: &mut On, n: usize) -> Result<Case> {
    let tiles = n.div_ceil(TILE).max(1);
    let from: Vec<u32> = (0..(tiles * TILE) as u32).collect();
    let mut total = 0u32;
    let mut offsets = Vec::with_capacity(tiles);
    let mut want = Vec::new();
    for tile in 0..tiles {
        offsets.push(total);
        let first = tile * TILE;
        want.extend_from_slice(&from[first..first + TILE / 2]);
        total += (TILE / 2) as u32;
    }
    let (from_words, offset_words) = (on.words(from.clone())?, on.words(offsets.clone())?);
    let to = on.device.alloc(&mut on.reservation, want.len() * 4)?;
    let out = to.clone();
    let run = move |on: &mut On| {
        let tiles = Tiles {
            tiles: tiles as u32,
            tile: TILE as u32,
            offsets: &offset_words,
            first: 0,
            total,
        };
        close_gaps(&*on.device, &mut *on.queue, &from_words, tiles, 1, &to)
    };
    let values = want.len();
    let check = move |on: &mut On, ()| Ok(differ(&on.read::<u32>(&out, values)?, &want));
    let case = Case::new(values, [4 * values, 4 * values], run, check);
    Ok(case.beside_serial("std copies", move || {
        let mut out = Vec::with_capacity(values);
        from.chunks(TILE).for_each(|tile| out.extend_from_slice(&tile[..TILE / 2]));
        black_box(out);
    }))
}
