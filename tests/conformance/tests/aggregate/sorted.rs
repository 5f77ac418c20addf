//! Group-bys over rows whose equal keys are neighbours.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef},
    compute::concat,
};
use windlass_device::{Backend, Device};
use windlass_kernels::{
    PhysType, Result,
    aggregate::{Accumulator, BitOp, GroupByResult, Order, Share},
    ir::ValueId,
};

use crate::{
    column::HostColumn,
    random::Random,
    reference::{Call, Query},
    run,
    suite::{SUM, WIDE, argument, call, count_rows, has},
};

/// Lengths of runs around those of warps, blocks and tiles of the scans.
const RUNS: [usize; 12] = [1, 1, 2, 31, 1, 32, 33, 255, 256, 257, 2049, 3];

/// The parts of a result as one.
fn joined(parts: &[GroupByResult]) -> GroupByResult {
    let join = |arrays: Vec<&ArrayRef>| -> ArrayRef {
        let arrays: Vec<&dyn Array> = arrays.into_iter().map(|a| &**a).collect();
        concat(&arrays).unwrap_or_else(|e| panic!("{e}"))
    };
    let first = &parts[0];
    let keys = (0..first.keys.len()).map(|k| join(parts.iter().map(|p| &p.keys[k]).collect()));
    let states = first.states.iter().enumerate().map(|(c, arrays)| {
        let state = |s: usize| join(parts.iter().map(|p| &p.states[c][s]).collect());
        (0..arrays.len()).map(state).collect()
    });
    let groups = parts.iter().map(|p| p.groups).sum();
    GroupByResult { groups, keys: keys.collect(), states: states.collect() }
}

/// Runs the query over its sorted rows in these batches; with `take` complete groups are taken
/// out after each of them.
fn run_sorted(
    query: &Query,
    device: &Arc<dyn Device>,
    batches: &[Range<usize>],
    take: bool,
) -> Result<GroupByResult> {
    let mut queue = device.queue()?;
    let mut group_by = run::plan(query).start_sorted(device)?;
    // The host can take out what is kept until the end.
    let keeps =
        |c: &Call| matches!(c.accumulator, Accumulator::Distinct | Accumulator::Quantile(_));
    let kept = query.calls.iter().any(keeps) && device.info().backend != Backend::Cpu;
    let mut parts = Vec::new();
    for (i, rows) in batches.iter().enumerate() {
        let batch = run::batch(query, &**device, &mut *queue, rows.clone(), i % 7)?;
        group_by.update(&mut *queue, &batch, &[])?;
        if !take {
            continue;
        }
        let groups = group_by.groups();
        match group_by.take_complete(&mut *queue)? {
            Some(part) => {
                assert_eq!((part.groups, group_by.groups()), (groups - 1, 1));
                parts.push(part);
            }
            None => assert!(groups < 2 || kept || query.keys.is_empty(), "{groups} groups stay"),
        }
    }
    parts.push(run::finish(group_by, &mut *queue)?);
    Ok(joined(&parts))
}

/// Runs and checks a query over its rows sorted by its keys, with and without taking groups out
/// early; all device memory must be given back.
fn check(query: Query, device: &Arc<dyn Device>, batch_rows: usize, what: &str) {
    let query = query.sorted();
    let before = device.pool().stats().in_use;
    let rows = query.columns.first().map_or(0, HostColumn::len);
    let mut batches = run::cuts(rows, batch_rows);
    // One batch without rows, in the middle.
    batches.insert(batches.len() / 2, 0..0);
    for take in [false, true] {
        let what = format!("sorted rows, {what}, taken early: {take}");
        let result = run_sorted(&query, device, &batches, take);
        let result = result.unwrap_or_else(|e| panic!("{what}: {e}"));
        query.check(&result, &what);
        if !query.keys.is_empty() {
            assert_eq!(query.keys_of(&result), query.keys_in_order(), "{what}: order");
        }
    }
    assert_eq!(device.pool().stats().in_use, before, "{what}: device memory is held");
}

/// Keys of every type, alone and beside another, with no, some and only nulls.
pub(crate) fn keys(device: &Arc<dyn Device>) {
    let mut random = Random::new(41);
    for ty in PhysType::ALL.into_iter().filter(|t| has(&**device, *t)) {
        for (nulls, rows, batch) in [(0, 700, 700), (3, 700, 300), (1, 70, 33)] {
            let columns = vec![
                HostColumn::random(&mut random, ty, rows, nulls, 40),
                argument(&mut random, PhysType::I32, rows, 5),
                HostColumn::random(&mut random, PhysType::U8, rows, 4, 5),
            ];
            for keys in [vec![0], vec![2, 0]] {
                let (columns, calls) =
                    (columns.clone(), vec![count_rows(), call(Accumulator::Max, 1)]);
                let what = format!("{ty} keys {keys:?}, one in {nulls} null");
                check(Query { columns, keys, calls, filter: None }, device, batch, &what);
            }
        }
    }
    let columns = vec![argument(&mut random, PhysType::I32, 500, 5)];
    let calls = vec![count_rows(), call(Accumulator::Max, 0)];
    check(Query { columns, keys: vec![], calls, filter: None }, device, 300, "no keys");
}

/// Runs of many lengths, in batches that cut them, of which filters leave all rows, some, none,
/// and none for long.
pub(crate) fn lengths(device: &Arc<dyn Device>) {
    let mut random = Random::new(42);
    let keys: Vec<i64> = (0..36i64)
        .flat_map(|i| std::iter::repeat_n(i - 20, RUNS[i as usize % RUNS.len()]))
        .collect();
    let rows = keys.len();
    let mut columns = vec![
        HostColumn::ints(PhysType::I32, keys),
        HostColumn::random(&mut random, PhysType::I64, rows, 6, 1000),
        HostColumn::random(&mut random, PhysType::Bool, rows, 3, 2),
        HostColumn::ints(PhysType::Bool, (0..rows).map(|_| 0)),
    ];
    let gaps = |row: usize| i64::from(!(100..2900).contains(&row) && row % 1500 > 1100);
    columns.push(HostColumn::ints(PhysType::Bool, (0..rows).map(gaps)));
    let calls = vec![count_rows(), call(SUM, 1), call(Accumulator::Count, 1)];
    for filter in [None, Some(2), Some(3), Some(4)] {
        for batch in [rows, 2048, 1000] {
            let (columns, calls) = (columns.clone(), calls.clone());
            let query = Query { columns, keys: vec![0], calls, filter };
            check(query, device, batch, &format!("runs, filter {filter:?}, batches of {batch}"));
        }
    }
    for rows in [0, 1, 31, 32, 33, 65, 255, 257, 9000] {
        let each = HostColumn::ints(PhysType::I64, (0..rows).map(|i| i * i));
        let columns = vec![each, HostColumn::ints(PhysType::I64, 0..rows)];
        let (keys, calls) = (vec![0], vec![call(SUM, 1)]);
        let query = Query { columns, keys, calls, filter: None };
        check(query, device, 9000, &format!("{rows} groups of a row each"));
    }
    // Pairs of rows of a group, some of them left out, past the rows that threads begin with.
    let ints = |ty, f: fn(i64) -> i64| HostColumn::ints(ty, (0..9000).map(f));
    let columns = vec![
        ints(PhysType::I64, |i| i / 2),
        ints(PhysType::I64, |i| i),
        ints(PhysType::Bool, |i| i64::from(i % 5 != 0)),
    ];
    let query = Query { columns, keys: vec![0], calls: vec![call(SUM, 1)], filter: Some(2) };
    check(query, device, 9000, "pairs of rows");
}

/// Every accumulator, with nulls and FILTER clauses.
pub(crate) fn calls(device: &Arc<dyn Device>) {
    let mut random = Random::new(43);
    for (ty, groups) in
        [(PhysType::I64, 30), (PhysType::F64, 700), (PhysType::I16, 3), (PhysType::I128, 200)]
    {
        if !has(&**device, ty) {
            continue;
        }
        let rows = 2500;
        let columns = vec![
            HostColumn::ints(PhysType::I32, (0..rows).map(|_| random.below(groups) as i64)),
            HostColumn::random(&mut random, PhysType::Bool, rows, 4, 2),
            argument(&mut random, ty, rows, 0),
            argument(&mut random, ty, rows, 3),
        ];
        let mut takes = vec![Accumulator::Count, Accumulator::Min, Accumulator::Max];
        for last in [false, true] {
            takes.push(Accumulator::Pick { last, ignore_nulls: last, order: Order::default() });
        }
        match ty {
            PhysType::F64 => {
                let other = ValueId(2);
                takes.extend([SUM, Accumulator::Moments, Accumulator::CoMoments { other }]);
            }
            PhysType::I16 => takes.push(Accumulator::Bits(BitOp::And)),
            _ => takes.extend([SUM, WIDE]),
        }
        let kept = [Accumulator::Distinct, Accumulator::Quantile(Share::HALF)];
        for (i, takes) in [takes, kept.to_vec()].into_iter().enumerate() {
            let of = |at: usize| takes.iter().map(move |a| call(*a, at));
            let mut calls: Vec<Call> = of(2).chain(of(3)).chain([count_rows()]).collect();
            calls.extend(calls.clone().into_iter().map(|c| Call { filter: Some(1), ..c }));
            let columns = columns.clone();
            let query = Query { columns, keys: vec![0], calls, filter: None };
            check(query, device, 900, &format!("calls {i} of {ty}"));
        }
    }
}
