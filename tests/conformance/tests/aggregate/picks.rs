//! The argument of one row of each group, in orders of every type.

use std::sync::Arc;

use windlass_device::Device;
use windlass_kernels::{
    PhysType,
    aggregate::{Accumulator, Order, OrderKey},
    ir::ValueId,
};

use crate::{
    column::HostColumn,
    random::Random,
    reference::{Call, Query},
    run::check,
    suite::has,
};

fn key(column: usize, descending: bool, nulls_first: bool) -> OrderKey {
    OrderKey { value: ValueId(column as u32), descending, nulls_first }
}

fn pick(last: bool, ignore_nulls: bool, keys: &[OrderKey]) -> Accumulator {
    let order = Order::new(keys).unwrap_or_default();
    Accumulator::Pick { last, ignore_nulls, order }
}

fn types(device: &Arc<dyn Device>) -> impl Iterator<Item = PhysType> + '_ {
    PhysType::ALL.into_iter().filter(|t| has(&**device, *t))
}

/// Every type as argument, with nulls that count and that do not, and with FILTER, in the order
/// of the rows and in one that leaves no two rows equal.
pub(crate) fn of_types(device: &Arc<dyn Device>) {
    let mut random = Random::new(31);
    for (i, ty) in types(device).enumerate() {
        let (rows, groups) = (1300, [0, 1, 40, 600][i % 4]);
        let nulls = [4, 0, 2][i % 3];
        let mut shuffled: Vec<i64> = (0..rows as i64).collect();
        (1..rows).for_each(|at| shuffled.swap(at, random.below(at + 1)));
        let columns = vec![
            HostColumn::ints(PhysType::I32, (0..rows).map(|_| random.below(groups.max(1)) as i64)),
            HostColumn::random(&mut random, ty, rows, nulls, 300),
            HostColumn::ints(PhysType::I32, shuffled.into_iter()),
            HostColumn::random(&mut random, PhysType::Bool, rows, 3, 2),
        ];
        let mut calls = Vec::new();
        for (last, ignore_nulls) in [(false, false), (true, false), (false, true), (true, true)] {
            for order in [&[][..], &[key(2, last != ignore_nulls, false)]] {
                let accumulator = pick(last, ignore_nulls, order);
                let filter = order.is_empty().then_some(3);
                calls.push(Call { accumulator, argument: Some(1), filter });
                calls.push(Call { accumulator, argument: Some(1), filter: None });
            }
        }
        let keys = if groups == 0 { vec![] } else { vec![0] };
        let query = Query { columns, filter: None, keys, calls };
        check(&query, device, 500, &format!("picks of {ty}, {groups} groups"));
    }
}

/// Orders by every type, each way, with nulls and many equal values; then by several keys.
pub(crate) fn of_orders(device: &Arc<dyn Device>) {
    let mut random = Random::new(32);
    let rows = 900;
    let mut columns = vec![
        HostColumn::ints(PhysType::I32, (0..rows).map(|_| random.below(50) as i64)),
        HostColumn::ints(PhysType::U32, 0..rows as i64),
    ];
    let mut calls = Vec::new();
    let mut call = |last, keys: &[OrderKey]| {
        let accumulator = pick(last, false, keys);
        calls.push(Call { accumulator, argument: Some(1), filter: None });
    };
    for (i, ty) in types(device).enumerate() {
        let at = columns.len();
        // Any bits, so floats of every kind.
        columns.push(HostColumn::random(
            &mut random,
            ty,
            rows,
            [0, 3][i % 2],
            [9, 5000][i / 2 % 2],
        ));
        for way in 0..4 {
            call(i % 2 == 0, &[key(at, way & 1 == 1, way & 2 == 2)]);
            call(i % 2 == 1, &[key(at, way & 1 == 1, way & 2 == 2)]);
        }
    }
    let last = columns.len() - 1;
    call(false, &[key(2, true, false), key(last, false, true)]);
    call(true, &[key(2, true, false), key(last, false, true)]);
    call(
        false,
        &[key(2, false, true), key(5, true, true), key(3, false, false), key(1, true, true)],
    );
    for some in calls.chunks(12) {
        let (keys, calls) = (vec![0], some.to_vec());
        let query = Query { columns: columns.clone(), filter: None, keys, calls };
        check(&query, device, 400, "picks by an order");
    }
}

/// Many batches, with groups that begin late, a filter that empties whole batches, and batches
/// of one row; the state grows with the groups.
pub(crate) fn over_batches(device: &Arc<dyn Device>) {
    let mut random = Random::new(33);
    let rows = 2600;
    let group = |row: usize, r: &mut Random| (r.below(1 + row) / 2) as i64;
    let columns = vec![
        HostColumn::ints(PhysType::I64, (0..rows).map(|row| group(row, &mut random))),
        HostColumn::random(&mut random, PhysType::I16, rows, 5, 1000),
        HostColumn::random(&mut random, PhysType::I64, rows, 6, 20),
        HostColumn {
            ty: PhysType::Bool,
            rows: (0..rows).map(|row| Some(u128::from(row / 400 % 2 == 1))).collect(),
        },
    ];
    let order = [key(2, true, false)];
    let accumulators =
        [pick(false, false, &order), pick(true, false, &order), pick(true, true, &[])];
    let calls: Vec<Call> = accumulators
        .into_iter()
        .map(|accumulator| Call { accumulator, argument: Some(1), filter: None })
        .collect();
    for (filter, batch) in [(None, 300), (Some(3), 400), (Some(3), 2600)] {
        for keys in [vec![0], vec![]] {
            let query = Query { columns: columns.clone(), filter, keys, calls: calls.clone() };
            check(&query, device, batch, &format!("picks over batches of {batch}"));
        }
    }
}
