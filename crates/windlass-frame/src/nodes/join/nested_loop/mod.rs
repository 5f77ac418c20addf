//! Joins without equal keys: the pairs are tested on the device, the rows stay on the host.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | [`DeviceNestedLoopJoinExec`] |
//! | `build` | its left side, repeated in blocks |
//! | `probe` | its right side, and the pairs |

use std::{fmt, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan,
        ExecutionPlanProperties, InputDistributionRequirements, PhysicalExpr, PlanProperties,
        ReplaceChildrenOptions,
        joins::NestedLoopJoinExec,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{TryStreamExt, stream};
use parking_lot::Mutex;

use super::{
    pair_test::PairTest,
    shape::Shape,
    shared::{Making, Worker, making, results},
};
use crate::nodes::{Placed, chain::one_line, metrics::DeviceMetrics, upload::coalesce};

mod build;
mod probe;

use build::Built;
use probe::Prober;

/// The node's name, in errors and events.
const OPERATOR: &str = "DeviceNestedLoopJoinExec";

/// A join on a condition other than equal keys, each pair tested on the device.
///
/// ```text
///    left rows ─► columns of the condition ─► repeated for k right rows          (once)
///                                                   │
///   right rows ─► columns of the condition ─► k rows ─► pairs ─► condition ─► row numbers
///                                                                                  │
///                                                     rows of both sides ◄─────────┘
///    host               device                       host
/// ```
///
/// The columns that the condition reads are uploaded once for each side. Pairs are made in
/// pieces that suit the device's free memory: the left columns lie there repeated for as many
/// right rows as a piece takes, and a left side of more rows than that is cut into blocks. The
/// condition is one generated kernel, which leaves the numbers of the rows whose pair passed;
/// these come back, and the rows of both sides, columns of any type among them, are picked on
/// the host. A condition that is false or null drops its pair.
///
/// Its rows are those of DataFusion's `NestedLoopJoinExec`, of all kinds of join, in no order.
/// A device's failure is a [`DeviceFailure`](crate::nodes::DeviceFailure).
#[derive(Debug)]
pub struct DeviceNestedLoopJoinExec {
    parts: Parts,
    shared: Mutex<Option<Making<Built>>>,
    metrics: ExecutionPlanMetricsSet,
}

/// What a build needs, cheap to clone.
#[derive(Debug, Clone)]
struct Parts {
    /// The operator that it stands for.
    join: Arc<NestedLoopJoinExec>,
    shape: Arc<Shape>,
    placed: Placed,
    test: Arc<PairTest>,
}

impl DeviceNestedLoopJoinExec {
    /// In the place of `join`, over its inputs.
    ///
    /// # Errors
    /// DataFusion's, for a join that it would not take itself.
    pub fn try_new(join: &NestedLoopJoinExec, placed: Placed, test: Arc<PairTest>) -> Result<Self> {
        // A state of its own.
        let join = NestedLoopJoinExec::try_new(
            Arc::clone(join.left()),
            Arc::clone(join.right()),
            join.filter().cloned(),
            join.join_type(),
            join.projection().as_deref().map(<[usize]>::to_vec),
        )?;
        let sides = (join.left().schema(), join.right().schema());
        let projection = join.projection().as_deref();
        let shape = Shape::new(*join.join_type(), sides, projection, join.schema());
        let parts = Parts { join: Arc::new(join), shape: Arc::new(shape), placed, test };
        Ok(Self { parts, shared: Mutex::default(), metrics: ExecutionPlanMetricsSet::new() })
    }

    /// Where it runs.
    pub fn placed(&self) -> &Placed {
        &self.parts.placed
    }

    /// The left side for a partition.
    fn building(
        &self,
        metrics: &DeviceMetrics,
        context: &Arc<TaskContext>,
    ) -> Result<Making<Built>> {
        let mut shared = self.shared.lock();
        if let Some(building) = &*shared {
            return Ok(building.clone());
        }
        let join = &self.parts.join;
        let left = join.left().execute(0, Arc::clone(context))?;
        let memory = MemoryConsumer::new(OPERATOR).register(context.memory_pool());
        let probing = join.right().output_partitioning().partition_count();
        let built = build::build(self.parts.clone(), left, memory, metrics.clone(), probing);
        Ok(shared.insert(making(built)).clone())
    }
}

/// The result of one partition, batch by batch.
async fn probe(
    parts: Parts,
    building: Making<Built>,
    right: SendableRecordBatchStream,
    metrics: DeviceMetrics,
    batch_rows: usize,
) -> Result<impl futures::Stream<Item = Result<RecordBatch>>> {
    let built = building.await.map_err(DataFusionError::Shared)?;
    let idle = built.batch.num_rows() == 0 && parts.shape.needs_build_rows();
    let right_columns = &parts.test.sides()[1].columns;
    let widths = right_columns.iter().map(|c| c.ty.wide_bytes() + 1).collect();
    let right = coalesce(right, &parts.placed, widths);
    let worker = Worker::new(parts.placed, metrics, OPERATOR, batch_rows);
    let prober = Prober { worker, shape: parts.shape, test: parts.test, built };
    Ok(results(right, (!idle).then_some(prober)))
}

impl DisplayAs for DeviceNestedLoopJoinExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, join) = (self.parts.placed.name(), one_line(&*self.parts.join));
        let join = join.strip_prefix("NestedLoopJoinExec: ").unwrap_or(&join);
        write!(f, "{OPERATOR}: device={device}, {join}")
    }
}

impl ExecutionPlan for DeviceNestedLoopJoinExec {
    fn name(&self) -> &'static str {
        OPERATOR
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.parts.join.properties()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.parts.join.input_distribution_requirements()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.parts.join.children()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let join = Arc::clone(&self.parts.join) as Arc<dyn ExecutionPlan>;
        let join = join.replace_children(children, options)?;
        let Some(join) = join.downcast_ref::<NestedLoopJoinExec>() else {
            return Err(DataFusionError::Internal("a join changed its kind".to_string()));
        };
        let (placed, test) = (self.parts.placed.clone(), Arc::clone(&self.parts.test));
        Ok(Arc::new(Self::try_new(join, placed, test)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        crate::nodes::recompute(self, children)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.parts.join.apply_expressions(f)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let building = self.building(&metrics, &context)?;
        let right = self.parts.join.right().execute(partition, Arc::clone(&context))?;
        let batch_rows = context.session_config().batch_size();
        let rows = probe(self.parts.clone(), building, right, metrics, batch_rows);
        let rows = stream::once(rows).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.parts.join.child_stats_requests(partition)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.parts.join.statistics_from_inputs(inputs, args)
    }
}
