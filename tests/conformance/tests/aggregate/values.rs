//! Values that hide a fault: numbers far from zero, infinities, and groups of equal values.

use std::sync::Arc;

use windlass_device::Device;
use windlass_kernels::{PhysType, aggregate::Accumulator, ir::ValueId};

use crate::{
    column::{HostColumn, extremes},
    random::Random,
    reference::{Call, Query},
    run::check,
    suite::{SUM, call, has},
};

/// Sums of infinities and NaN, and moments of a large mean with a small spread.
pub(crate) fn floats(device: &Arc<dyn Device>) {
    if !has(&**device, PhysType::F64) {
        return;
    }
    let special = [f64::INFINITY, 1.0, f64::NEG_INFINITY, f64::NAN, 2.0, f64::INFINITY];
    let keys = [0, 0, 1, 2, 2, 3];
    let columns = vec![HostColumn::ints(PhysType::I32, keys), HostColumn::floats(special)];
    let calls = vec![call(SUM, 1), call(Accumulator::Min, 1), call(Accumulator::Max, 1)];
    check(&Query { columns, keys: vec![0], calls, filter: None }, device, 6, "infinities");

    let mut random = Random::new(7);
    let rows = 20_000;
    let value = |r: &mut Random| 1e9 + r.unit();
    let columns = vec![
        HostColumn::ints(PhysType::I32, (0..rows).map(|_| random.below(3) as i64)),
        HostColumn::floats((0..rows).map(|_| value(&mut random))),
    ];
    let calls = vec![call(Accumulator::Moments, 1)];
    let query = Query { columns, keys: vec![0], calls, filter: None };
    check(&query, device, 7000, "moments far from zero");

    // More groups than threads, the first rows of which are null or filtered out: without a
    // value near theirs to be taken away first, the sums of squares have no digit right.
    let rows = 7500;
    let columns = vec![
        HostColumn::ints(PhysType::I32, (0..rows).map(|row| row / 3)),
        HostColumn {
            rows: (0..rows)
                .map(|row| (row % 3 != 0).then(|| u128::from(value(&mut random).to_bits())))
                .collect(),
            ty: PhysType::F64,
        },
        HostColumn::floats((0..rows).map(|_| value(&mut random))),
        HostColumn::ints(PhysType::Bool, (0..rows).map(|row| i64::from(row % 6 != 1))),
    ];
    let moments = [(1, Accumulator::Moments), (2, Accumulator::CoMoments { other: ValueId(1) })];
    let calls: Vec<Call> = moments
        .into_iter()
        .flat_map(|(at, accumulator)| {
            [None, Some(3)].map(|filter| Call { accumulator, argument: Some(at), filter })
        })
        .collect();
    for keys in [vec![], vec![0]] {
        let (columns, calls) = (columns.clone(), calls.clone());
        let query = Query { columns, keys, calls, filter: None };
        check(&query, device, 7500, "moments far from zero with nulls");
    }
}

/// Groups in which all values are the same, one of the extremes: no other value hides what is
/// made of it.
pub(crate) fn alike(device: &Arc<dyn Device>) {
    let types: Vec<_> = PhysType::ALL.into_iter().filter(|t| has(&**device, *t)).collect();
    let most = types.iter().map(|ty| extremes(*ty).len()).max().unwrap_or(0);
    let mut columns =
        vec![HostColumn::ints(PhysType::I8, (0..most * 5).map(|i| (i % most) as i64))];
    let mut calls = Vec::new();
    for ty in types {
        let list = extremes(ty);
        calls.push(call(Accumulator::Min, columns.len()));
        calls.push(call(Accumulator::Max, columns.len()));
        let rows = (0..most * 5).map(|i| Some(list[i % most % list.len()])).collect();
        columns.push(HostColumn { ty, rows });
    }
    for some in calls.chunks(8) {
        let (columns, calls) = (columns.clone(), some.to_vec());
        let query = Query { columns, keys: vec![0], calls, filter: None };
        check(&query, device, 50, "groups of equal values");
    }
}
