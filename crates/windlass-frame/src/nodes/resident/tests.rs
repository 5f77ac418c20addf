//! What the tests of nodes over resident rows share: a worker and batches of the host.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use windlass_device::DeviceOptions;

use super::*;
use crate::{
    batch::{read_column, upload_array},
    plan::DeviceSet,
};

/// A worker of the host's device.
pub(in crate::nodes) fn worker() -> Worker {
    let spec = "cpu".parse().expect("a spec");
    let devices = DeviceSet::new(spec, DeviceOptions::default());
    let inventory = Arc::clone(devices.inventory());
    let device = inventory.cpu().expect("the host");
    let placed = Placed { device, inventory, reason: "a test".into(), group: None };
    let metrics = DeviceMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
    Worker { placed, operator: "Test", metrics, queue: None }
}

/// A batch on the host's device.
pub(in crate::nodes) fn batch(columns: &[ArrayRef]) -> DeviceBatch {
    let worker = worker();
    let device = &*worker.placed.device;
    let mut queue = device.queue().expect("a queue");
    let mut reservation = device.pool().reserve(0).expect("memory");
    let column = |a| upload_array(device, &mut *queue, &mut reservation, a).expect("a column");
    DeviceBatch { rows: columns[0].len(), columns: columns.iter().map(column).collect() }
}

/// Batches of one column of numbers, and how many of them were read.
pub(in crate::nodes) fn input(batches: &[&[i64]]) -> (Batches, Arc<AtomicUsize>) {
    let read = Arc::new(AtomicUsize::new(0));
    let one = |rows: &&[i64]| batch(&[Arc::new(Int64Array::from(rows.to_vec()))]);
    let batches: Vec<_> = batches.iter().map(one).collect();
    let count = Arc::clone(&read);
    let batches = stream::iter(batches).map(move |batch| {
        count.fetch_add(1, Relaxed);
        Ok(batch)
    });
    (batches.boxed(), read)
}

/// A column of 64-bit numbers, null as `None`.
pub(in crate::nodes) fn column(batch: &DeviceBatch, at: usize) -> Vec<Option<i64>> {
    let mut queue = worker().placed.device.queue().expect("a queue");
    let array = read_column(&mut *queue, &batch.columns[at], batch.rows).expect("a column");
    array.as_primitive::<Int64Type>().iter().collect()
}

/// The first column of all rows.
pub(in crate::nodes) async fn numbers(rows: Batches) -> Vec<i64> {
    let batches: Vec<DeviceBatch> = rows.try_collect().await.expect("rows");
    batches.iter().flat_map(|b| column(b, 0)).map(|v| v.expect("no null")).collect()
}
