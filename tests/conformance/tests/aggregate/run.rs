//! Runs a query on a device, batch by batch.

use std::{ops::Range, sync::Arc};

use windlass_device::{Device, Queue};
use windlass_kernels::{
    DeviceBatch, Result,
    aggregate::{AggregateCall, GroupBy, GroupByPlan, GroupByResult},
    ir::Program,
};

use crate::{column::HostColumn, reference::Query};

/// The query as a plan: input `i` of the program is column `i`.
pub(crate) fn plan(query: &Query) -> GroupByPlan {
    let mut program = Program::new();
    let nullable = |c: &HostColumn| c.rows.iter().any(Option::is_none);
    let ids: Vec<_> = query.columns.iter().map(|c| program.input(c.ty, nullable(c))).collect();
    let call = |c: &crate::reference::Call| AggregateCall {
        accumulator: c.accumulator,
        argument: c.argument.map(|a| ids[a]),
        filter: c.filter.map(|f| ids[f]),
    };
    GroupByPlan {
        filter: query.filter.map(|f| ids[f]),
        keys: query.keys.iter().map(|k| ids[*k]).collect(),
        calls: query.calls.iter().map(call).collect(),
        program,
    }
}

/// Rows of the query's columns on a device, `offset` rows into their buffers.
pub(crate) fn batch(
    query: &Query,
    device: &dyn Device,
    queue: &mut dyn Queue,
    rows: Range<usize>,
    offset: usize,
) -> Result<DeviceBatch> {
    let slice = |c: &HostColumn| HostColumn { ty: c.ty, rows: c.rows[rows.clone()].to_vec() };
    let columns = query.columns.iter().map(|c| slice(c).upload(device, queue, offset));
    let columns = columns.collect::<Result<_, _>>()?;
    Ok(DeviceBatch { rows: rows.len(), columns })
}

/// The lengths of the batches that `rows` rows are cut into.
pub(crate) fn cuts(rows: usize, batch: usize) -> Vec<Range<usize>> {
    (0..rows).step_by(batch.max(1)).map(|at| at..(at + batch).min(rows)).collect()
}

/// Runs the query in batches of at most `batch_rows` rows, each `offset` rows into its
/// buffers.
pub(crate) fn run(
    query: &Query,
    device: &Arc<dyn Device>,
    batch_rows: usize,
    offset: usize,
) -> Result<GroupByResult> {
    let mut queue = device.queue()?;
    let plan = plan(query);
    plan.supported(&**device)?;
    let mut group_by = plan.start(device, 0)?;
    let rows = query.columns.first().map_or(0, HostColumn::len);
    for range in cuts(rows, batch_rows) {
        let batch = batch(query, &**device, &mut *queue, range, offset)?;
        group_by.update(&mut *queue, &batch, &[])?;
    }
    finish(group_by, &mut *queue)
}

/// Runs the query in one batch of columns in wide storage.
pub(crate) fn run_wide(query: &Query, device: &Arc<dyn Device>) -> Result<GroupByResult> {
    let mut queue = device.queue()?;
    let columns = query.columns.iter().map(|c| c.upload_wide(&**device, &mut *queue));
    let columns = columns.collect::<Result<_, _>>()?;
    let rows = query.columns.first().map_or(0, HostColumn::len);
    let mut group_by = plan(query).start(device, 0)?;
    group_by.update(&mut *queue, &DeviceBatch { rows, columns }, &[])?;
    finish(group_by, &mut *queue)
}

/// Finishes, and checks the count of groups that was told before.
pub(crate) fn finish(group_by: Box<dyn GroupBy>, queue: &mut dyn Queue) -> Result<GroupByResult> {
    let groups = group_by.groups();
    let result = group_by.finish(queue)?;
    assert_eq!(groups, result.groups);
    Ok(result)
}

/// Runs and checks a query on a device that must support it; all device memory must be
/// given back.
pub(crate) fn check(query: &Query, device: &Arc<dyn Device>, batch_rows: usize, what: &str) {
    let before = device.pool().stats().in_use;
    match run(query, device, batch_rows, batch_rows % 7) {
        Ok(result) => query.check(&result, what),
        Err(e) => panic!("{what}: {e}"),
    }
    assert_eq!(device.pool().stats().in_use, before, "{what}: device memory is held");
}
