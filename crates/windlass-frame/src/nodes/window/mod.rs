//! Window functions: computed on the device, the rows on the host.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | [`DeviceWindowExec`] |
//! | `plan` | [`WindowPlan`]: DataFusion's window expressions as what a device computes |
//! | `span` | frames, also by distances of keys |
//! | `compute` | the columns of one batch of sorted rows |

use std::{fmt, sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute::concat_batches,
};
use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::OrderingRequirements,
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements,
        PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{TryStreamExt, stream};
use windlass_kernels::KernelError;

use super::{Placed, chain::one_line, failure::failed, metrics::DeviceMetrics};

mod compute;
mod plan;
mod span;

pub use plan::WindowPlan;

use compute::Failure;

const OPERATOR: &str = "DeviceWindowExec";

/// Window functions over rows that are sorted by the partitions' keys and the window's order.
///
/// ```text
///   sorted rows ─► keys ─► where partitions and peers start ─► frames
///      host                          device                      │
///        │                                                       ▼
///        ├─► arguments ────────────────────► sums, extremes, counts, row numbers, ranks
///        ▼                                                       │
///   rows and the new columns ◄───────────────────────────────────┘
///      host
/// ```
///
/// Only keys and arguments travel; a value of another row (`LAG`, `FIRST_VALUE`) comes back as
/// its row's number, so arguments of any type do. The rows of a partition of the plan are held
/// until all are there. A device's failure is a [`DeviceFailure`](super::DeviceFailure), and so are rows that do not
/// fit the memory limit: DataFusion's operator may need fewer at a time.
#[derive(Debug)]
pub struct DeviceWindowExec {
    window: Arc<dyn ExecutionPlan>,
    plan: Arc<WindowPlan>,
    placed: Placed,
    metrics: ExecutionPlanMetricsSet,
}

impl DeviceWindowExec {
    /// In the place of `window`, whose functions are `plan`, over its input.
    pub fn new(window: Arc<dyn ExecutionPlan>, plan: Arc<WindowPlan>, placed: Placed) -> Self {
        Self { window, plan, placed, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// Where it runs.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    fn over(&self, window: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self::new(window, Arc::clone(&self.plan), self.placed.clone()))
    }
}

/// The rows of one partition.
struct Collector {
    plan: Arc<WindowPlan>,
    placed: Placed,
    metrics: DeviceMetrics,
    memory: MemoryReservation,
    batches: Vec<RecordBatch>,
}

impl Collector {
    fn failed(&self, e: KernelError) -> DataFusionError {
        failed(&self.placed, &self.metrics, OPERATOR, e)
    }

    fn add(&mut self, batch: RecordBatch) -> Result<()> {
        if self.memory.try_grow(batch.get_array_memory_size()).is_err() {
            let reason = "the rows of its partitions pass the memory limit".into();
            return Err(
                self.failed(KernelError::Unsupported { device: self.placed.name(), reason })
            );
        }
        self.batches.push(batch);
        Ok(())
    }

    /// All rows with the columns of the functions; `None` without rows.
    fn columns(&self) -> Result<Option<(RecordBatch, Vec<ArrayRef>)>> {
        let Some(first) = self.batches.first() else { return Ok(None) };
        let all = concat_batches(&first.schema(), &self.batches)?;
        let began = Instant::now();
        let mut queue =
            self.placed.device.queue().map_err(|e| self.failed(KernelError::from(e)))?;
        let columns = compute::columns(&self.placed, &mut *queue, &self.plan, &all);
        let columns = columns.map_err(|e| match e {
            Failure::Device(e) => self.failed(e),
            Failure::Query(e) => e,
        })?;
        self.metrics.kernel(&self.placed, "window", began, all.num_rows());
        Ok(Some((all, columns)))
    }
}

impl DisplayAs for DeviceWindowExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, window) = (self.placed.name(), one_line(&*self.window));
        let window = window.split_once(": ").map_or(window.as_str(), |(_, rest)| rest);
        write!(f, "{OPERATOR}: device={device}, {window}")
    }
}

impl ExecutionPlan for DeviceWindowExec {
    fn name(&self) -> &'static str {
        OPERATOR
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.window.input_distribution_requirements()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.window.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.over(Arc::clone(&self.window).replace_children(children, options)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        super::recompute(self, children)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.over(Arc::clone(&self.window).reset_state()?))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut input = self.window.children()[0].execute(partition, Arc::clone(&context))?;
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let mut collector = Collector {
            plan: Arc::clone(&self.plan),
            placed: self.placed.clone(),
            metrics: metrics.clone(),
            memory: MemoryConsumer::new(OPERATOR).register(context.memory_pool()),
            batches: Vec::new(),
        };
        let (schema, batch_rows) = (self.schema(), context.session_config().batch_size());
        let rows = stream::once(async move {
            while let Some(batch) = input.try_next().await? {
                if batch.num_rows() > 0 {
                    collector.add(batch)?;
                }
            }
            let placed = collector.placed.clone();
            let columns = placed.run(move || (collector.columns(), collector)).await?;
            let (columns, _held) = columns;
            let mut pieces = Vec::new();
            if let Some((all, new)) = columns? {
                let rows = all.num_rows();
                metrics.baseline.output_rows().add(rows);
                let columns = all.columns().iter().cloned().chain(new).collect();
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let all = RecordBatch::try_new_with_options(schema, columns, &options)?;
                pieces.extend(super::download::slices(all, batch_rows).map(Ok));
            }
            Ok::<_, DataFusionError>(stream::iter(pieces))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows.try_flatten())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.window.child_stats_requests(partition)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.window.statistics_from_inputs(inputs, args)
    }
}
