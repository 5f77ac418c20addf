//! The figures of device nodes. Names are what `EXPLAIN ANALYZE`, `--stats json` and tests
//! read: `rows`, `batches`, `uploaded_bytes`, `uploaded_bytes[COLUMN]`, `uploads[COLUMN]`,
//! `downloaded_bytes`, `transfer_time`, `kernel_time`, `fallback_batches` (with the label
//! `error`: the first one).

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use datafusion::physical_plan::{
    ExecutionPlan,
    metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, Time},
};
use windlass_kernels::{DeviceBatch, DeviceColumn, KernelError, Validity};
use windlass_runtime::EventKind;

use super::Placed;

/// Figures of one partition of a device node.
#[derive(Debug, Clone)]
pub(crate) struct DeviceMetrics {
    pub(crate) baseline: BaselineMetrics,
    batches: Count,
    kernel: Time,
    transfer: Time,
    /// Made at the first failure, so that it carries its text.
    fallbacks: Arc<OnceLock<Count>>,
    output_bytes: Count,
    set: ExecutionPlanMetricsSet,
    partition: usize,
}

impl DeviceMetrics {
    pub(crate) fn new(set: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            baseline: BaselineMetrics::new(set, partition),
            batches: MetricBuilder::new(set).counter("batches", partition),
            kernel: MetricBuilder::new(set).subset_time("kernel_time", partition),
            transfer: MetricBuilder::new(set).subset_time("transfer_time", partition),
            fallbacks: Arc::default(),
            output_bytes: MetricBuilder::new(set).output_bytes(partition),
            set: set.clone(),
            partition,
        }
    }

    /// A batch was returned, on a device or on the host.
    pub(crate) fn output(&self, rows: usize, bytes: usize) {
        self.baseline.record_output(rows);
        self.output_bytes.add(bytes);
    }

    /// A batch went through a kernel.
    pub(crate) fn kernel(&self, placed: &Placed, name: &str, began: Instant, rows: usize) {
        self.batches.add(1);
        self.kernel.add_duration(began.elapsed());
        self.baseline.elapsed_compute().add_duration(began.elapsed());
        let lane = (&placed.device.info().name as &dyn fmt::Display, self.partition as u64);
        let events = placed.inventory.events();
        events.span_of_lane(EventKind::Kernel, lane, name, began, (rows as u64, 0));
    }

    /// A batch was copied.
    pub(crate) fn transfer(
        &self,
        placed: &Placed,
        name: &str,
        began: Instant,
        (rows, bytes): (usize, usize),
    ) {
        self.batches.add(1);
        self.transfer.add_duration(began.elapsed());
        self.baseline.elapsed_compute().add_duration(began.elapsed());
        let lane = (&placed.device.info().name as &dyn fmt::Display, self.partition as u64);
        let events = placed.inventory.events();
        let size = (rows as u64, bytes as u64);
        events.span_of_lane(EventKind::Transfer, lane, name, began, size);
    }

    /// A batch, or a whole aggregation, went to the CPU.
    pub(crate) fn fallback(&self, placed: &Placed, operator: &str, error: &KernelError) {
        let labelled = || {
            let builder = MetricBuilder::new(&self.set).with_new_label("error", error.to_string());
            builder.counter("fallback_batches", self.partition)
        };
        self.fallbacks.get_or_init(labelled).add(1);
        super::failure::note_loss(placed, error);
        let device = &placed.device.info().name;
        tracing::warn!(%device, operator, %error, "the CPU takes over");
        let events = placed.inventory.events();
        events.point(EventKind::Fallback, device, &format!("{operator}: {error}"));
    }

    /// Memory ended on a device, and the operator goes on there in parts, or through files.
    pub(crate) fn in_parts(&self, placed: &Placed, operator: &str, error: &KernelError) {
        let builder = MetricBuilder::new(&self.set).with_new_label("error", error.to_string());
        builder.counter("in_parts", self.partition).add(1);
        let device = &placed.device.info().name;
        tracing::info!(%device, operator, %error, "the operator goes on in parts");
    }

    /// A counter of this partition by name, made when first used.
    pub(crate) fn counter(&self, name: String) -> Count {
        MetricBuilder::new(&self.set).counter(name, self.partition)
    }

    pub(crate) fn downloaded(&self, bytes: usize) {
        self.counter("downloaded_bytes".to_string()).add(bytes);
    }
}

/// Operators of the host that took the place of a device node: what they do counts as the node's.
pub(crate) struct TakenOver {
    plan: Arc<dyn ExecutionPlan>,
    /// What they read from, which counts by itself.
    source: Arc<dyn ExecutionPlan>,
    spilled: Count,
    elapsed: Time,
    /// Nanoseconds that were counted so far.
    counted: usize,
}

impl TakenOver {
    pub(crate) fn new(
        metrics: &DeviceMetrics,
        plan: Arc<dyn ExecutionPlan>,
        source: Arc<dyn ExecutionPlan>,
    ) -> Self {
        let spilled = MetricBuilder::new(&metrics.set).spilled_bytes(metrics.partition);
        let elapsed = metrics.baseline.elapsed_compute().clone();
        Self { plan, source, spilled, elapsed, counted: 0 }
    }

    /// Counts what they did since the last call.
    pub(crate) fn count(&mut self) {
        let (mut spilled, mut nanos) = (0, 0);
        let mut plans = vec![Arc::clone(&self.plan)];
        while let Some(plan) = plans.pop() {
            if let Some(metrics) = plan.metrics() {
                spilled += metrics.spilled_bytes().unwrap_or(0);
                nanos += metrics.elapsed_compute().unwrap_or(0);
            }
            let below = plan.children().into_iter().filter(|p| !Arc::ptr_eq(p, &self.source));
            plans.extend(below.cloned());
        }
        self.spilled.add(spilled.saturating_sub(self.spilled.value()));
        let more = nanos.saturating_sub(self.counted);
        self.elapsed.add_duration(Duration::from_nanos(more as u64));
        self.counted = self.counted.max(nanos);
    }
}

/// Counters of the columns that an upload node sends.
#[derive(Debug, Clone)]
pub(crate) struct ColumnMetrics {
    total: Count,
    columns: Arc<[(Count, Count)]>,
}

impl ColumnMetrics {
    pub(crate) fn new<'a>(metrics: &DeviceMetrics, names: impl Iterator<Item = &'a str>) -> Self {
        let counters = |name: &str| {
            let bytes = metrics.counter(format!("uploaded_bytes[{name}]"));
            (bytes, metrics.counter(format!("uploads[{name}]")))
        };
        let columns = names.map(counters).collect();
        Self { total: metrics.counter("uploaded_bytes".to_string()), columns }
    }

    /// Counts those columns of a batch that were uploaded; returns their bytes.
    pub(crate) fn add(&self, batch: &DeviceBatch, uploaded: impl Fn(usize) -> bool) -> usize {
        let mut sum = 0;
        let columns = batch.columns.iter().zip(&*self.columns).enumerate();
        for (_, (column, (bytes, uploads))) in columns.filter(|(at, _)| uploaded(*at)) {
            let n = column_bytes(column);
            bytes.add(n);
            uploads.add(1);
            sum += n;
        }
        self.total.add(sum);
        sum
    }
}

/// Bytes of a column's values and validity.
pub(crate) fn column_bytes(column: &DeviceColumn) -> usize {
    let validity = match &column.validity {
        Validity::All => 0,
        Validity::Bits { bits, .. } => bits.len(),
        Validity::Words(words) => words.len(),
    };
    column.values.len() + validity
}

/// Bytes of a batch's columns.
pub(crate) fn batch_bytes(batch: &DeviceBatch) -> usize {
    batch.columns.iter().map(column_bytes).sum()
}
