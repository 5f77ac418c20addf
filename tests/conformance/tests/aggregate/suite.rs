//! The test bodies, each over one device.

use std::sync::Arc;

use windlass_device::{Backend, Device};
use windlass_kernels::{
    PhysType,
    aggregate::{Accumulator, BitOp, Order, OrderKey, Share},
    ir::ValueId,
};

use crate::{
    column::HostColumn,
    random::Random,
    reference::{Call, Query},
    run::{self, check},
};

pub(crate) const SUM: Accumulator = Accumulator::Sum { wide: false };
pub(crate) const WIDE: Accumulator = Accumulator::Sum { wide: true };

pub(crate) fn call(accumulator: Accumulator, argument: usize) -> Call {
    Call { accumulator, argument: Some(argument), filter: None }
}

pub(crate) fn count_rows() -> Call {
    Call { accumulator: Accumulator::CountRows, argument: None, filter: None }
}

/// Whether a device has the type at all; the only reason to leave it out.
pub(crate) fn has(device: &dyn Device, ty: PhysType) -> bool {
    let f = device.info().features;
    match ty {
        PhysType::I64 | PhysType::U64 => f.int64 || device.info().backend == Backend::Wgpu,
        PhysType::F64 => f.float64,
        PhysType::I128 => f.int128 || device.info().backend == Backend::Wgpu,
        _ => true,
    }
}

/// Integers and floats as arguments: small enough that float sums do not overflow.
pub(crate) fn argument(random: &mut Random, ty: PhysType, rows: usize, nulls: usize) -> HostColumn {
    if !ty.is_float() {
        return HostColumn::random(random, ty, rows, nulls, 64);
    }
    let value = |r: &mut Random| {
        let v = (r.unit() - 0.25) * 1e6;
        match ty {
            PhysType::F32 => u128::from((v as f32).to_bits()),
            _ => u128::from(v.to_bits()),
        }
    };
    let row = |r: &mut Random| {
        let v = value(r);
        (nulls == 0 || !r.one_in(nulls)).then_some(v)
    };
    HostColumn { ty, rows: (0..rows).map(|_| row(random)).collect() }
}

/// Every key type, with no, some and only nulls, at several offsets and batch sizes.
pub(crate) fn key_types(device: &Arc<dyn Device>) {
    let mut random = Random::new(1);
    for ty in PhysType::ALL.into_iter().filter(|t| has(&**device, *t)) {
        for (nulls, rows, batch) in [(0, 700, 700), (3, 700, 300), (1, 70, 33)] {
            let query = Query {
                columns: vec![
                    HostColumn::random(&mut random, ty, rows, nulls, 40),
                    argument(&mut random, PhysType::I32, rows, 5),
                ],
                keys: vec![0],
                calls: vec![count_rows(), call(Accumulator::Max, 1)],
                ..Query::default()
            };
            check(&query, device, batch, &format!("{ty} keys, one in {nulls} null"));
        }
    }
}

/// Several keys of different widths, more nullable keys than bits of a word, equal keys.
pub(crate) fn many_keys(device: &Arc<dyn Device>) {
    let mut random = Random::new(2);
    let types: Vec<_> = PhysType::ALL.into_iter().filter(|t| has(&**device, *t)).collect();
    let rows = 900;
    let columns: Vec<_> = types
        .iter()
        .enumerate()
        .map(|(i, ty)| HostColumn::random(&mut random, *ty, rows, (i % 3) * 2, 3))
        .collect();
    let keys: Vec<usize> = (0..types.len()).collect();
    let calls = vec![count_rows()];
    let pairs = keys.windows(2).map(<[usize]>::to_vec);
    for keys in pairs.chain([keys.clone(), vec![1, 1, 0]]) {
        let columns = columns.clone();
        let query = Query { columns, keys: keys.clone(), calls: calls.clone(), filter: None };
        check(&query, device, 500, &format!("keys {keys:?}"));
    }
    let column = HostColumn::random(&mut random, PhysType::Bool, rows, 2, 2);
    let other = HostColumn::random(&mut random, PhysType::I8, rows, 2, 5);
    let keys = (0..20).flat_map(|_| [0, 1]).collect();
    let query = Query { columns: vec![column, other], keys, calls, filter: None };
    check(&query, device, rows, "40 nullable keys");
}

/// No keys: one group, also over no rows and where nothing is selected.
pub(crate) fn no_keys(device: &Arc<dyn Device>) {
    let mut random = Random::new(3);
    for rows in [0, 1, 31, 32, 33, 65, 255, 256, 257, 5000] {
        for filter in [None, Some(2), Some(3)] {
            let columns = vec![
                argument(&mut random, PhysType::I32, rows, 0),
                argument(&mut random, PhysType::U16, rows, 4),
                HostColumn::random(&mut random, PhysType::Bool, rows, 5, 2),
                HostColumn::ints(PhysType::Bool, (0..rows).map(|_| 0)),
            ];
            let calls = vec![
                count_rows(),
                call(Accumulator::Count, 1),
                call(Accumulator::Min, 0),
                call(Accumulator::Max, 1),
            ];
            let query = Query { columns, filter, keys: vec![], calls };
            check(&query, device, 3000, &format!("no keys, {rows} rows, filter {filter:?}"));
        }
    }
    let columns = vec![HostColumn::ints(PhysType::I32, 0..1000)];
    let query = Query { columns, calls: vec![count_rows()], ..Query::default() };
    check(&query, device, 300, "count(*) alone");
    let columns = vec![
        HostColumn::ints(PhysType::I64, 0..1000),
        HostColumn::ints(PhysType::Bool, (0..1000).map(|i| i % 3 % 2)),
    ];
    let calls = vec![count_rows(), call(SUM, 0)];
    let query = Query { columns, filter: Some(1), calls, ..Query::default() };
    check(&query, device, 300, "a filter, and a column that is summed as it is");
}

/// Columns as kernels write them, which a group-by reads where they lie.
pub(crate) fn wide_inputs(device: &Arc<dyn Device>) {
    let mut random = Random::new(9);
    let rows = 900;
    for ty in PhysType::ALL.into_iter().filter(|t| has(&**device, *t)) {
        for nulls in [0, 3] {
            let columns = vec![
                HostColumn::random(&mut random, ty, rows, nulls, 20),
                HostColumn::random(&mut random, PhysType::I64, rows, nulls, 90),
            ];
            let calls = vec![call(Accumulator::Max, 0), call(SUM, 1), call(Accumulator::Count, 1)];
            let query = Query { columns, keys: vec![0], calls, filter: None };
            let result = run::run_wide(&query, device).unwrap_or_else(|e| panic!("{ty}: {e}"));
            query.check(&result, &format!("wide {ty}, one in {nulls} null"));
        }
    }
}

/// Group counts around every size of the local tables, in random order and sorted.
pub(crate) fn group_counts(device: &Arc<dyn Device>, counts: &[usize]) {
    for &groups in counts {
        let mut random = Random::new(groups as u64);
        let rows = (groups * 2).max(3000);
        // Every group has a row: a permutation first, then random ones.
        let mut keys: Vec<i64> = (0..groups as i64).collect();
        for i in (1..groups).rev() {
            keys.swap(i, random.below(i + 1));
        }
        keys.extend((groups..rows).map(|_| random.below(groups) as i64));
        for sorted in [false, true] {
            if sorted {
                keys.sort_unstable();
            }
            let columns = vec![
                HostColumn::ints(PhysType::I32, keys.iter().copied()),
                HostColumn::random(&mut random, PhysType::I64, rows, 0, 1000),
                HostColumn::random(&mut random, PhysType::U8, rows, 9, 300),
            ];
            let calls = vec![count_rows(), call(SUM, 1), call(Accumulator::Min, 2)];
            let query = Query { columns, filter: None, keys: vec![0], calls };
            check(&query, device, rows.div_ceil(2), &format!("{groups} groups, {sorted}"));
            if groups > 10_000 {
                break;
            }
        }
    }
}

/// A million groups of one row each but for one; checked by the key, for speed.
pub(crate) fn a_million_groups(device: &Arc<dyn Device>) {
    let groups = 1_000_000;
    let key = |i: i64| i * 7_919 % groups;
    let columns = vec![
        HostColumn::ints(PhysType::I64, (0..=groups).map(key)),
        HostColumn::ints(PhysType::I64, 1..groups + 2),
    ];
    let query = Query { columns, keys: vec![0], calls: vec![call(SUM, 1)], filter: None };
    let result = run::run(&query, device, 600_000, 0).unwrap_or_else(|e| panic!("{e}"));
    let column = |array| HostColumn::from_arrow(PhysType::I64, array);
    let (keys, sums) = (column(&result.keys[0]), column(&result.states[0][0]));
    assert_eq!((keys.len(), sums.len()), (groups as usize, groups as usize));
    let mut left: Vec<u128> = vec![0; groups as usize];
    (0..=groups).for_each(|i| left[key(i) as usize] += i as u128 + 1);
    for (key, sum) in keys.rows.iter().zip(&sums.rows) {
        let (Some(key), Some(sum)) = (key, sum) else { panic!("a null") };
        // A second group of the key would find nothing left.
        assert_eq!(std::mem::take(&mut left[*key as usize]), *sum, "key {key}");
    }
}

/// Nine rows of ten in one group that comes late, the others in very many.
pub(crate) fn skewed(device: &Arc<dyn Device>) {
    let mut random = Random::new(5);
    let rows = 60_000;
    let key = |i: i64, r: &mut Random| match i < 5000 || r.one_in(10) {
        true => i,
        false => -1,
    };
    let columns = vec![
        HostColumn::ints(PhysType::I32, (0..rows).map(|i| key(i, &mut random))),
        argument(&mut random, PhysType::I64, rows as usize, 3),
        argument(&mut random, PhysType::I16, rows as usize, 0),
    ];
    let calls = vec![call(SUM, 1), call(WIDE, 1), call(Accumulator::Max, 2), count_rows()];
    let query = Query { columns, keys: vec![0], calls, filter: None };
    check(&query, device, 25_000, "skewed keys");
}

/// Every accumulator over every type it takes, with nulls, FILTER clauses and groups that
/// get no argument.
pub(crate) fn accumulators(device: &Arc<dyn Device>, groups: &[usize]) {
    let mut random = Random::new(6);
    for &groups in groups {
        for ty in PhysType::ALL.into_iter().filter(|t| has(&**device, *t)) {
            let rows = 1500.max(groups * 2);
            let mut columns = vec![
                HostColumn::ints(
                    PhysType::I32,
                    (0..rows).map(|_| random.below(groups.max(1)) as i64),
                ),
                HostColumn::random(&mut random, PhysType::Bool, rows, 4, 2),
            ];
            let mut calls = Vec::new();
            for nulls in [0, 3, 1] {
                let at = columns.len();
                // The extremes go to minima and maxima only, where they cannot overflow.
                columns.push(argument(&mut random, ty, rows, nulls));
                columns.push(HostColumn::random(&mut random, ty, rows, nulls, 50));
                calls.extend([
                    call(Accumulator::Count, at),
                    call(Accumulator::Min, at + 1),
                    call(Accumulator::Max, at + 1),
                ]);
                if matches!(ty, PhysType::I64 | PhysType::U64 | PhysType::I128) {
                    calls.push(call(SUM, at + 1));
                }
                if matches!(ty, PhysType::I64 | PhysType::I128) {
                    calls.push(call(WIDE, at + 1));
                }
                if ty.is_float() && has(&**device, PhysType::F64) {
                    calls.push(call(SUM, at));
                }
                if ty == PhysType::F64 {
                    calls.push(call(Accumulator::Moments, at));
                }
            }
            calls.push(count_rows());
            let filtered = calls.iter().map(|c| Call { filter: Some(1), ..*c });
            let calls = calls.iter().copied().chain(filtered).collect();
            let keys = if groups == 0 { vec![] } else { vec![0] };
            let query = Query { columns, filter: None, keys, calls };
            check(&query, device, 1100, &format!("accumulators of {ty}, {groups} groups"));
        }
    }
}

/// More rows in a batch, and more groups, than threads at once.
pub(crate) fn strides(device: &Arc<dyn Device>) {
    let mut random = Random::new(21);
    let (rows, groups) = (9000, 2500);
    for ty in [PhysType::I16, PhysType::I64, PhysType::F64, PhysType::I128] {
        if !has(&**device, ty) {
            continue;
        }
        let columns = vec![
            HostColumn::ints(PhysType::I32, (0..rows).map(|_| random.below(groups) as i64)),
            argument(&mut random, ty, rows, 3),
        ];
        let mut calls = vec![
            count_rows(),
            call(Accumulator::Count, 1),
            call(Accumulator::Min, 1),
            call(Accumulator::Max, 1),
        ];
        match ty {
            PhysType::F64 => calls.extend([call(SUM, 1), call(Accumulator::Moments, 1)]),
            PhysType::I16 => {}
            _ => calls.extend([call(SUM, 1), call(WIDE, 1)]),
        }
        if ty == PhysType::I64 {
            calls.push(call(Accumulator::Bits(BitOp::Xor), 1));
        }
        let by_value = OrderKey { value: ValueId(1), descending: true, nulls_first: false };
        let order = Order::new(&[by_value]).unwrap_or_default();
        for last in [false, true] {
            calls.push(call(Accumulator::Pick { last, ignore_nulls: last, order }, 1));
        }
        let mut query = Query { columns, filter: None, keys: vec![0], calls };
        check(&query, device, 4500, &format!("strides over {ty}"));
        // So few groups that the rows of one thread often are of one.
        query.columns[0] = HostColumn::ints(PhysType::I32, (0..rows as i64).map(|i| i / 7 % 2));
        check(&query, device, 9000, &format!("strides over {ty} in two groups"));
    }
}

/// Bits of all integers, and moments of pairs, with nulls and FILTER clauses.
pub(crate) fn bits_and_pairs(device: &Arc<dyn Device>) {
    let mut random = Random::new(12);
    let ops = [BitOp::And, BitOp::Or, BitOp::Xor];
    for groups in [0, 1, 40, 1200] {
        let rows = 1500.max(groups * 2);
        let key = |r: &mut Random| r.below(groups.max(1)) as i64;
        let keys = if groups == 0 { vec![] } else { vec![0] };
        let mut columns = vec![
            HostColumn::ints(PhysType::I32, (0..rows).map(|_| key(&mut random))),
            HostColumn::random(&mut random, PhysType::Bool, rows, 4, 2),
        ];
        let mut calls = Vec::new();
        for (i, ty) in PhysType::ALL.into_iter().filter(|t| has(&**device, *t)).enumerate() {
            if !ty.is_integer() || ty == PhysType::I128 {
                continue;
            }
            let (at, nulls) = (columns.len(), [0, 3, 1][i % 3]);
            columns.push(HostColumn::random(&mut random, ty, rows, nulls, 5000));
            let filter = (i % 4 == 1).then_some(1);
            let call = |op| Call { accumulator: Accumulator::Bits(op), argument: Some(at), filter };
            calls.extend(ops.map(call));
        }
        let query = Query { columns, filter: None, keys: keys.clone(), calls };
        check(&query, device, 1100, &format!("bits, {groups} groups"));
        if !has(&**device, PhysType::F64) {
            continue;
        }
        let mut columns = query.columns[..2].to_vec();
        for nulls in [0, 3, 5, 1] {
            columns.push(argument(&mut random, PhysType::F64, rows, nulls));
        }
        columns.push(HostColumn::floats((0..rows).map(|_| 1e6 + random.unit())));
        let mut calls = Vec::new();
        for (x, y) in [(2, 3), (3, 4), (2, 6), (6, 6), (4, 5), (5, 2)] {
            let accumulator = Accumulator::CoMoments { other: ValueId(y) };
            calls.push(call(accumulator, x));
            calls.push(Call { accumulator, argument: Some(x), filter: Some(1) });
        }
        let query = Query { columns, filter: None, keys, calls };
        check(&query, device, 1100, &format!("pairs, {groups} groups"));
    }
}

/// A filter that drops rows, with filters on calls, over several batches; batches of no
/// rows and batches of which nothing is selected.
pub(crate) fn filters(device: &Arc<dyn Device>) {
    let mut random = Random::new(8);
    let rows = 4000;
    let mut columns = vec![
        HostColumn::random(&mut random, PhysType::I16, rows, 6, 30),
        HostColumn::random(&mut random, PhysType::Bool, rows, 3, 2),
        HostColumn::random(&mut random, PhysType::Bool, rows, 0, 2),
        argument(&mut random, PhysType::I64, rows, 3),
    ];
    columns[2].rows[1000..2500].fill(Some(0));
    let filtered = |accumulator, argument| Call { accumulator, argument, filter: Some(1) };
    let calls = vec![
        filtered(SUM, Some(3)),
        filtered(Accumulator::CountRows, None),
        filtered(Accumulator::Min, Some(3)),
        call(Accumulator::Count, 3),
    ];
    for keys in [vec![], vec![0]] {
        let query = Query {
            columns: columns.clone(),
            filter: Some(2),
            keys: keys.clone(),
            calls: calls.clone(),
        };
        check(&query, device, 1000, &format!("filters, keys {keys:?}"));
        let none = HostColumn::ints(PhysType::Bool, (0..rows).map(|_| 0));
        let mut columns = query.columns.clone();
        columns[2] = none;
        check(&Query { columns, ..query }, device, 1500, &format!("nothing selected, {keys:?}"));
    }
}

/// A query drawn from a seed: any keys, calls, filters, nulls and batches.
pub(crate) fn random_query(device: &Arc<dyn Device>, seed: u64) {
    let mut random = Random::new(seed);
    let rows = [1, 50, 257, 2000][random.below(4)] + random.below(9);
    let types: Vec<_> = PhysType::ALL.into_iter().filter(|t| has(&**device, *t)).collect();
    let mut columns = vec![
        HostColumn::random(&mut random, PhysType::Bool, rows, 3, 2),
        HostColumn::random(&mut random, PhysType::Bool, rows, 0, 2),
    ];
    let mut keys = Vec::new();
    for _ in 0..random.below(4) {
        let (ty, nulls) = (types[random.below(types.len())], random.below(5));
        let distinct = 1 + random.below(40);
        keys.push(columns.len());
        columns.push(HostColumn::random(&mut random, ty, rows, nulls, distinct));
    }
    let mut calls = vec![count_rows()];
    for _ in 0..random.below(4) {
        let (ty, nulls) = (types[random.below(types.len())], random.below(5));
        let mut takes = vec![Accumulator::Count, Accumulator::Min, Accumulator::Max];
        takes.extend([Accumulator::Distinct, Accumulator::Quantile(Share::HALF)]);
        // In the order of a key or of the filter, some of which are null.
        let value = ValueId(random.below(columns.len()) as u32);
        let (descending, nulls_first) = (random.below(2) == 0, random.below(2) == 0);
        let order = Order::new(&[OrderKey { value, descending, nulls_first }]).unwrap_or_default();
        let (last, ignore_nulls) = (random.below(2) == 0, random.below(2) == 0);
        takes.push(Accumulator::Pick { last, ignore_nulls, order });
        if ty.is_integer() && ty != PhysType::I128 {
            takes.extend([BitOp::And, BitOp::Or, BitOp::Xor].map(Accumulator::Bits));
        }
        match ty {
            PhysType::I64 | PhysType::I128 => takes.extend([SUM, WIDE]),
            PhysType::U64 => takes.push(SUM),
            PhysType::F64 => {
                let other = ValueId(columns.len() as u32);
                takes.extend([SUM, Accumulator::Moments, Accumulator::CoMoments { other }]);
            }
            PhysType::F32 if has(&**device, PhysType::F64) => takes.push(SUM),
            _ => {}
        }
        let filter = [None, Some(0), Some(1)][random.below(3)];
        let accumulator = takes[random.below(takes.len())];
        calls.push(Call { accumulator, argument: Some(columns.len()), filter });
        columns.push(argument(&mut random, ty, rows, nulls));
    }
    let filter = [None, None, Some(0), Some(1)][random.below(4)];
    let query = Query { columns, filter, keys, calls };
    let batch = 1 + random.below(rows);
    check(&query, device, batch.max(rows / 5), &format!("seed {seed}"));
}
