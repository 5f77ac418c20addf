//! Group-by on the `cpu` device against a reference that keeps every argument of every
//! group and aggregates at the end.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::AsArray, datatypes::Int64Type};
use windlass_device::{Device, DeviceError, DeviceOptions, cpu::CpuDevice};

use super::{CpuGroupBy, Groups, merge, merge_all};
use crate::{
    KernelError, PhysType, Scalar,
    aggregate::{Accumulator, AggregateCall, BitOp, GroupByPlan, Share},
    column::DeviceBatch,
    ir::{BinaryOp, Program, ValueId},
};

mod case;
use case::{
    Case, Random, Raw, Rows, batch, canonical, case, column, compare, device, raw, reference, rows,
};

/// Runs the batches over several group-bys, whose parts close and merge at `limits`.
fn run(
    case: &Case,
    batches: &[DeviceBatch],
    parts: usize,
    limits: (usize, usize),
) -> Vec<CpuGroupBy> {
    let d = device();
    (0..parts)
        .map(|p| {
            let mut g = CpuGroupBy::new(&case.plan, &d, p * 100).unwrap();
            (g.limit, g.compact_at) = limits;
            batches.iter().skip(p).step_by(parts).for_each(|b| g.update(b, &[]).unwrap());
            g
        })
        .collect()
}

fn check_random(seed: u64, keys: &[PhysType], sizes: &[usize], spread: u64) {
    let mut r = Random(seed);
    let case = case(keys, r.below(2) == 1, r.below(2) == 1);
    let nulls = r.below(3) != 0;
    let data: Vec<Rows> = sizes.iter().map(|n| rows(&mut r, &case, *n, nulls, spread)).collect();
    let batches: Vec<_> = data.iter().map(|d| batch(&mut r, &case, d)).collect();
    let want = reference(&case, &data);
    let one = run(&case, &batches, 1, (1 << 17, 1 << 20)).remove(0);
    compare(&case, &one.finish().unwrap(), &want);
    // Tables that close after a chunk or two, and parts that are merged on the way.
    let three = run(&case, &batches, 3, (200, 1500));
    let parts = three.into_iter().map(CpuGroupBy::into_groups);
    compare(&case, &merge_all(&case.plan, parts).unwrap(), &want);
}

#[test]
fn one_key_of_every_type() {
    for (i, ty) in PhysType::ALL.into_iter().enumerate() {
        for spread in 0..3 {
            check_random(i as u64 * 10 + spread, &[ty], &[0, 1, 31, 1024, 2500], spread);
        }
    }
}

#[test]
fn no_keys() {
    for seed in 0..6 {
        check_random(seed, &[], &[1, 1025, 700], 0);
    }
    check_random(7, &[], &[], 0);
    check_random(8, &[], &[0], 0);
}

#[test]
fn many_keys_of_random_types() {
    let mut r = Random(42);
    for seed in 0..40 {
        let n = 2 + r.below(if seed % 8 == 0 { 12 } else { 4 });
        let keys: Vec<_> = (0..n).map(|_| PhysType::ALL[r.below(12) as usize]).collect();
        check_random(seed, &keys, &[33, 1500, 64], r.below(3));
    }
}

#[test]
fn nothing_passes_the_filter() {
    let case = case(&[PhysType::I32], true, false);
    let mut r = Random(1);
    let mut data = rows(&mut r, &case, 100, true, 0);
    let filter = case.types.len() - 2;
    data[filter] = (0..100).map(|i| (i % 2 == 0).then_some(0)).collect();
    let b = batch(&mut r, &case, &data);
    let got = run(&case, &[b], 1, (1000, 1000)).remove(0).finish().unwrap();
    assert_eq!((got.groups, got.keys[0].len()), (0, 0));
}

/// Sum and count of one `I64` by an `I64` key.
fn simple() -> GroupByPlan {
    let mut p = Program::new();
    let (k, v) = (p.input(PhysType::I64, true), p.input(PhysType::I64, false));
    let seven = p.constant(Scalar::Int(PhysType::I64, 7));
    let argument = p.binary(BinaryOp::Mul, v, seven, None).unwrap();
    let call = |accumulator, argument| AggregateCall { accumulator, argument, filter: None };
    let calls = vec![
        call(Accumulator::Sum { wide: false }, Some(argument)),
        call(Accumulator::CountRows, None),
    ];
    GroupByPlan { program: p, filter: None, keys: vec![k], calls }
}

fn simple_batch(keys: &[Option<i64>]) -> DeviceBatch {
    let raw: Vec<_> = keys.iter().map(|k| k.map(Raw::from)).collect();
    let ones = vec![Some(1); keys.len()];
    let columns = vec![column(PhysType::I64, &raw, 5), column(PhysType::I64, &ones, 0)];
    DeviceBatch { rows: keys.len(), columns }
}

#[test]
fn many_groups_merged_in_partitions() {
    let plan = simple();
    let d = device();
    for scale in [1, 1 << 33] {
        let parts: Vec<Groups> = (0..3i64)
            .map(|p| {
                let mut g = CpuGroupBy::new(&plan, &d, 0).unwrap();
                // Part p has keys p, p + 1, …: all overlap; and nulls.
                let keys: Vec<_> =
                    (p..p + 50_000).map(|k| (k % 1000 != 7).then_some(k * scale)).collect();
                g.update(&simple_batch(&keys), &[]).unwrap();
                assert_eq!(g.groups(), 50_000 - 49);
                g.into_groups().remove(0)
            })
            .collect();
        let merged = merge(&plan, parts, 6).unwrap();
        assert_eq!(merged.len(), 8);
        assert!(merged.iter().all(|m| m.len() > 4000), "partitions are even");
        let mut sums = BTreeMap::new();
        for m in merged {
            let r = m.into_result();
            for g in 0..r.groups {
                let key = raw(&r.keys[0], PhysType::I64, g);
                let sum = raw(&r.states[0][0], PhysType::I64, g).unwrap();
                let count = raw(&r.states[1][0], PhysType::I64, g).unwrap();
                assert_eq!(sum, count * 7);
                assert!(sums.insert(key, count).is_none(), "{key:?} in two partitions");
            }
        }
        assert_eq!(sums.len(), 50_002 - 50 + 1);
        assert_eq!(sums[&None], 150);
        assert_eq!((sums[&Some(0)], sums[&Some(i128::from(scale) * 40)]), (1, 3));
    }
}

#[test]
fn keys_that_grow_and_nulls_that_come_late() {
    let plan = simple();
    let mut g = CpuGroupBy::new(&plan, &device(), 0).unwrap();
    let keys: Vec<Option<i64>> = (0..120_000i64).map(|i| Some(i * i - 1000)).collect();
    g.update(&simple_batch(&keys), &[]).unwrap();
    g.update(&simple_batch(&[None, Some(i64::MIN), Some(i64::MAX), Some(-1000)]), &[]).unwrap();
    g.update(&simple_batch(&keys), &[]).unwrap();
    let r = g.finish().unwrap();
    assert_eq!(r.groups, 120_003);
    for (g, k) in keys.iter().enumerate() {
        assert_eq!(raw(&r.keys[0], PhysType::I64, g), k.map(Raw::from), "in order of appearance");
        let want = if g == 0 { 21 } else { 14 };
        assert_eq!(raw(&r.states[0][0], PhysType::I64, g), Some(want));
    }
    assert_eq!(raw(&r.keys[0], PhysType::I64, 120_000), None);
    assert_eq!(raw(&r.keys[0], PhysType::I64, 120_001), Some(i64::MIN.into()));
}

#[test]
fn tables_close_and_grow_with_the_data() {
    let plan = simple();
    let d = device();
    // Hardly repeated keys: parts close, and stay unmerged until there are many.
    let mut g = CpuGroupBy::new(&plan, &d, 0).unwrap();
    (g.limit, g.compact_at) = (4096, 30_000);
    let far = |i: i64| Some(i.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64));
    let keys: Vec<_> = (0..50_000).map(far).collect();
    g.update(&simple_batch(&keys[..20_000]), &[]).unwrap();
    assert_eq!((g.parts.len(), g.limit), (4, 4096));
    g.update(&simple_batch(&keys[20_000..]), &[]).unwrap();
    assert!(g.closed >= 30_000 && g.compact_at > 60_000, "{} {}", g.closed, g.compact_at);
    assert_eq!((g.limit, g.groups()), (4096, 50_000));
    assert!(d.pool().stats().in_use >= g.bytes());
    assert_eq!(g.finish().unwrap().groups, 50_000);
    assert_eq!(d.pool().stats().in_use, 0);
    // Keys that repeat in every part: merged, and from then on one table holds them.
    let mut g = CpuGroupBy::new(&plan, &d, 0).unwrap();
    (g.limit, g.compact_at) = (4096, 30_000);
    for _ in 0..10 {
        g.update(&simple_batch(&keys[..8000]), &[]).unwrap();
    }
    assert!(g.limit >= 16_000 && g.bytes() < 2 << 20, "{} {}", g.limit, g.bytes());
    let r = g.finish().unwrap();
    assert_eq!(r.groups, 8000);
    assert!((0..8000).all(|i| raw(&r.states[0][0], PhysType::I64, i) == Some(70)));
    // Keys that repeat within a part: it grows at once.
    let mut g = CpuGroupBy::new(&plan, &d, 0).unwrap();
    (g.limit, g.compact_at) = (4096, 30_000);
    let keys: Vec<_> = (0..200_000).map(|i| far(i / 40)).collect();
    g.update(&simple_batch(&keys), &[]).unwrap();
    assert_eq!((g.parts.len(), g.limit, g.groups()), (0, 8192, 5000));
}

#[test]
fn memory_is_accounted_and_capped() {
    let plan = simple();
    let options = DeviceOptions { host_memory_cap: Some(8 << 20), ..Default::default() };
    let d = CpuDevice::new(&options);
    let mut g = CpuGroupBy::new(&plan, &d, 0).unwrap();
    let keys: Vec<Option<i64>> = (0..2_000_000i64).map(|i| Some(i << 20)).collect();
    let error = keys.chunks(50_000).find_map(|c| g.update(&simple_batch(c), &[]).err());
    assert!(
        matches!(error, Some(KernelError::Device(DeviceError::OutOfMemory { .. }))),
        "{error:?}"
    );
    assert!(d.pool().stats().in_use > 1 << 20);
    drop(g);
    assert_eq!(d.pool().stats().in_use, 0);
}

#[test]
fn wrong_plans_are_refused() {
    let mut p = Program::new();
    let (b, i) = (p.input(PhysType::Bool, false), p.input(PhysType::I32, false));
    let plan = |accumulator, argument, filter| GroupByPlan {
        program: p.clone(),
        filter,
        keys: vec![],
        calls: vec![AggregateCall { accumulator, argument, filter: None }],
    };
    for wrong in [
        plan(Accumulator::Sum { wide: false }, Some(i), None),
        plan(Accumulator::Sum { wide: false }, None, None),
        plan(Accumulator::Moments, Some(i), None),
        plan(Accumulator::CoMoments { other: i }, Some(i), None),
        plan(Accumulator::CoMoments { other: ValueId(99) }, Some(i), None),
        plan(Accumulator::Bits(BitOp::And), Some(b), None),
        plan(Accumulator::Distinct, None, None),
        plan(Accumulator::Quantile(Share::HALF), None, None),
        plan(Accumulator::CountRows, Some(i), None),
        plan(Accumulator::Min, None, None),
        plan(Accumulator::CountRows, None, Some(i)),
        plan(Accumulator::Min, Some(ValueId(99)), None),
    ] {
        assert!(matches!(wrong.supported(&device()), Err(KernelError::Invalid { .. })));
    }
    plan(Accumulator::Max, Some(b), Some(b)).supported(&device()).unwrap();
}

#[test]
fn through_the_trait() {
    let plan = simple();
    let d: Arc<dyn Device> = Arc::new(device());
    let mut q = d.queue().unwrap();
    let mut g = plan.start(&d, 10).unwrap();
    g.update(&mut *q, &simple_batch(&[Some(3), None, Some(3)]), &[]).unwrap();
    assert_eq!(g.groups(), 2);
    assert!(g.state_bytes() > 0 && d.pool().stats().in_use >= g.state_bytes());
    let r = g.finish(&mut *q).unwrap();
    let sums: Vec<_> = (0..2).map(|g| raw(&r.states[0][0], PhysType::I64, g)).collect();
    assert_eq!((r.groups, sums), (2, vec![Some(14), Some(7)]));
    assert_eq!(d.pool().stats().in_use, 0);
}

/// Rows of equal keys are neighbours in every batch and from one to the next; float keys, nulls
/// and a filter among them.
#[test]
fn sorted_rows_are_grouped_without_a_table() {
    for (seed, keys) in [
        (51, vec![PhysType::I64]),
        (52, vec![PhysType::F64, PhysType::I16]),
        (53, vec![PhysType::I128, PhysType::Bool]),
    ] {
        let mut r = Random(seed);
        let case = case(&keys, r.below(2) == 1, true);
        let mut data = rows(&mut r, &case, 5000, true, 0);
        let mut order: Vec<usize> = (0..5000).collect();
        let key = |row: usize| -> Vec<_> {
            (0..case.keys).map(|k| data[k][row].map(|v| canonical(case.types[k], v))).collect()
        };
        order.sort_by_key(|row| key(*row));
        for column in &mut data {
            *column = order.iter().map(|row| column[*row]).collect();
        }
        let parts: Vec<Rows> = [0..1700, 1700..1701, 1701..1701, 1701..5000]
            .into_iter()
            .map(|range| data.iter().map(|c| c[range.clone()].to_vec()).collect())
            .collect();
        let mut g = CpuGroupBy::of_sorted(&case.plan, &device()).unwrap();
        for rows in &parts {
            g.update(&batch(&mut r, &case, rows), &[]).unwrap();
        }
        compare(&case, &g.finish().unwrap(), &reference(&case, &parts));
    }
}

/// What is taken early and what is left are all groups, in order, and little memory is held.
#[test]
fn complete_groups_of_sorted_rows_are_taken_early() {
    let d = device();
    let mut g = CpuGroupBy::of_sorted(&simple(), &d).unwrap();
    assert!(g.take_complete().unwrap().is_none());
    let mut keys = Vec::new();
    let mut most = 0;
    for start in (0..400_000i64).step_by(10_000) {
        let rows: Vec<_> = (start..start + 10_000).map(|i| Some(i / 3)).collect();
        g.update(&simple_batch(&rows), &[]).unwrap();
        let part = g.take_complete().unwrap().unwrap();
        assert_eq!((g.groups(), part.keys[0].len(), part.states.len()), (1, part.groups, 2));
        keys.extend_from_slice(part.keys[0].as_primitive::<Int64Type>().values());
        let counts = part.states[1][0].as_primitive::<Int64Type>();
        assert!(counts.values().iter().all(|n| *n == 3));
        most = most.max(g.bytes());
    }
    assert!(most < 300_000, "{most} bytes");
    let last = g.finish().unwrap();
    keys.extend_from_slice(last.keys[0].as_primitive::<Int64Type>().values());
    assert_eq!(keys, (0..=399_999 / 3).collect::<Vec<i64>>());
}
