//! Short memory, faults, and what a device refuses.

use std::sync::Arc;

use windlass_device::{Device, DeviceError};
use windlass_kernels::{
    KernelError, PhysType, Result,
    aggregate::{Accumulator, GroupBy, GroupByPlan},
};

use crate::{
    column::HostColumn,
    reference::Query,
    run,
    suite::{SUM, call},
};

fn start(plan: &GroupByPlan, device: &Arc<dyn Device>, sorted: bool) -> Result<Box<dyn GroupBy>> {
    if sorted { plan.start_sorted(device) } else { plan.start(device, 0) }
}

/// Under any cap of the pool a query gives the right result or says that memory ran out;
/// short memory makes it work in smaller chunks first.
pub(crate) fn memory_caps(device: &Arc<dyn Device>, sorted: bool) {
    let rows = 30_000;
    let columns = vec![
        HostColumn::ints(PhysType::I32, (0..rows).map(|i| i * 31 % 20_011)),
        HostColumn::ints(PhysType::I64, 0..rows),
    ];
    let calls = vec![call(SUM, 1), call(Accumulator::Max, 1)];
    let mut query = Query { columns, keys: vec![0], calls, filter: None };
    if sorted {
        query = query.sorted();
    }
    let pool = Arc::clone(device.pool());
    let (whole, mut done, mut refused) = (pool.stats().cap, 0, 0);
    let mut cap = 64 << 10;
    while cap < 16 << 20 {
        pool.set_cap(cap);
        let plan = run::plan(&query);
        let attempt = || {
            pool.set_cap(whole);
            let mut queue = device.queue()?;
            let batch = run::batch(&query, &**device, &mut *queue, 0..rows as usize, 0)?;
            pool.set_cap(pool.stats().in_use + cap);
            let mut group_by = start(&plan, device, sorted)?;
            group_by.update(&mut *queue, &batch, &[])?;
            run::finish(group_by, &mut *queue)
        };
        match attempt() {
            Ok(result) => {
                query.check(&result, &format!("cap of {cap} bytes"));
                done += 1;
            }
            Err(KernelError::Device(DeviceError::OutOfMemory { .. })) => {
                refused += 1;
            }
            Err(e) => panic!("cap of {cap} bytes: {e}"),
        }
        pool.set_cap(whole);
        assert_eq!(pool.stats().in_use, 0, "cap of {cap} bytes: device memory is held");
        cap += cap / 4;
    }
    assert!(done > 3 && refused > 3, "{done} caps sufficed, {refused} did not");
}

/// An injected fault gives an error or the right result.
pub(crate) fn fault(device: &Arc<dyn Device>, sorted: bool, what: &str) -> bool {
    let rows = 3000;
    let columns = vec![
        HostColumn::ints(PhysType::I32, (0..rows).map(|i| i * 31 % 1009)),
        HostColumn::ints(PhysType::I64, 0..rows),
    ];
    let calls = vec![call(SUM, 1), call(Accumulator::Max, 1)];
    let mut query = Query { columns, keys: vec![0], calls, filter: None };
    if sorted {
        query = query.sorted();
    }
    let attempt = || {
        let mut queue = device.queue()?;
        let mut batches = Vec::new();
        for range in run::cuts(rows as usize, 1700) {
            batches.push(run::batch(&query, &**device, &mut *queue, range, 0)?);
        }
        let mut group_by = start(&run::plan(&query), device, sorted)?;
        for batch in &batches {
            group_by.update(&mut *queue, batch, &[])?;
        }
        run::finish(group_by, &mut *queue)
    };
    match attempt() {
        Ok(result) => {
            query.check(&result, what);
            true
        }
        Err(KernelError::Device(_)) => false,
        Err(e) => panic!("{what}: {e}"),
    }
}

/// What a device without 64-bit floats cannot do is refused with a reason, before it starts.
pub(crate) fn refusals(device: &Arc<dyn Device>) {
    let columns = vec![HostColumn { ty: PhysType::F32, rows: vec![Some(0)] }];
    let query = Query { columns, calls: vec![call(SUM, 0)], ..Query::default() };
    match run::plan(&query).supported(&**device) {
        Err(KernelError::Unsupported { reason, .. }) => {
            assert!(reason.contains("64-bit floats"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert!(run::plan(&query).start(device, 0).is_err());
    assert!(run::plan(&query).start_sorted(device).is_err());
}
