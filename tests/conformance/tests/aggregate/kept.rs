//! Calls that keep values until the end.

use std::sync::Arc;

use windlass_device::Device;
use windlass_kernels::{
    PhysType,
    aggregate::{Accumulator, Share},
};

use crate::{
    column::HostColumn,
    random::Random,
    reference::{Call, Query},
    run::check,
    suite::{call, has},
};

/// Distinct counts and quantiles of every type, with nulls, filters and extremes.
pub(crate) fn kept_values(device: &Arc<dyn Device>, groups: &[usize]) {
    let mut random = Random::new(13);
    let quarter = Share::new(0.25).unwrap_or(Share::HALF);
    for &groups in groups {
        for (i, ty) in PhysType::ALL.into_iter().filter(|t| has(&**device, *t)).enumerate() {
            let rows = 700.max(groups * 2);
            let key = |r: &mut Random| r.below(groups.max(1)) as i64;
            let nulls = [0, 3, 7][i % 3];
            let columns = vec![
                HostColumn::ints(PhysType::I32, (0..rows).map(|_| key(&mut random))),
                HostColumn::random(&mut random, PhysType::Bool, rows, 4, 2),
                HostColumn::random(&mut random, ty, rows, nulls, 30),
                HostColumn::random(&mut random, ty, rows, 1, 5),
            ];
            let filtered = |accumulator| Call { accumulator, argument: Some(2), filter: Some(1) };
            let calls = vec![
                call(Accumulator::Distinct, 2),
                call(Accumulator::Quantile(Share::HALF), 2),
                call(Accumulator::Quantile(quarter), 3),
                call(Accumulator::Distinct, 3),
                filtered(Accumulator::Distinct),
                filtered(Accumulator::Quantile(quarter)),
            ];
            let keys = if groups == 0 { vec![] } else { vec![0] };
            let filter = (i % 2 == 1).then_some(1);
            let query = Query { columns, filter, keys, calls };
            check(&query, device, 500, &format!("kept values of {ty}, {groups} groups"));
        }
    }
    for keys in [vec![], vec![0]] {
        let columns =
            vec![HostColumn::ints(PhysType::I32, []), HostColumn::ints(PhysType::I64, [])];
        let calls = vec![call(Accumulator::Distinct, 1), call(Accumulator::Quantile(quarter), 1)];
        let query = Query { columns, keys, calls, filter: None };
        check(&query, device, 1, "kept values of no rows");
    }
}

/// More values than a host keeps without dropping repeated ones, and than one thread sorts.
pub(crate) fn many_kept_values(device: &Arc<dyn Device>) {
    let mut random = Random::new(14);
    let rows = 300_000;
    for (groups, distinct) in [(1, 400), (300, 90_000), (100_000, 1000)] {
        let columns = vec![
            HostColumn::ints(PhysType::I32, (0..rows).map(|_| random.below(groups) as i64)),
            HostColumn::random(&mut random, PhysType::I64, rows, 9, distinct),
        ];
        let calls =
            vec![call(Accumulator::Distinct, 1), call(Accumulator::Quantile(Share::HALF), 1)];
        for keys in [vec![], vec![0]] {
            let (columns, calls) = (columns.clone(), calls.clone());
            let query = Query { columns, keys, calls, filter: None };
            check(&query, device, 70_000, &format!("{groups} groups of {distinct} values"));
        }
    }
}
