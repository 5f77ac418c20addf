//! Joins on a device.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | [`DeviceHashJoinExec`]: the table and the search on the device, the rows on the host |
//! | `build` | its build side |
//! | `key_set` | the keys of a build side as a filter of scans |
//! | [`nested_loop`] | [`DeviceNestedLoopJoinExec`]: joins without equal keys |
//! | `pair_test` | [`PairTest`]: conditions over pairs of rows |
//! | `probe` | its probe side |
//! | `shape` | what a join gives: its kind and columns |
//! | `shared` | a side made once, and the batches of the other |
//! | `spilled` | both sides in files, where memory has no room for the build side |
//! | [`resident`] | [`ResidentHashJoinExec`]: the rows on the device too |
//! | `tell` | what the scans of the probe side are told of the keys |

use std::{fmt, sync::Arc};

use arrow::record_batch::RecordBatch;
use datafusion::{
    common::{
        JoinSide, JoinType, Statistics,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_expr::expressions::Column,
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
        InputDistributionRequirements, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        filter::FilterExecBuilder,
        joins::{HashJoinExec, PartitionMode, utils::ColumnIndex},
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use parking_lot::Mutex;
use windlass_runtime::Pace;

use super::{
    Placed, chain::one_line, keys::lower_keys, metrics::DeviceMetrics, several::Sharing,
    upload::coalesce,
};
use crate::lower::{HostTables, PipelinePlan, Unsupported, types::is_string};

mod build;
mod key_set;
pub mod nested_loop;
mod pair_test;
mod probe;
pub mod resident;
mod shape;
mod shared;
mod spilled;
mod tell;

pub use nested_loop::DeviceNestedLoopJoinExec;
pub use pair_test::PairTest;
pub use resident::ResidentHashJoinExec;

use build::BuildSide;
use probe::Prober;
use shape::Shape;
use shared::{Making, Worker, making, results, shared_results};
use spilled::{Ticket, ToDisk, Writing};
use tell::Tells;

/// The node's name, in errors and events.
const OPERATOR: &str = "DeviceHashJoinExec";

/// Most pairs of a piece on a GPU: 8 MiB of row numbers, a guess at where a download reaches
/// the link's rate. On the host a piece is a few batches.
const GPU_PAIRS: usize = 1 << 20;

/// A hash join whose table is on the device.
///
/// ```text
///    left rows ─► keys ─► table                              (built once)
///   right rows ─► keys ─► search ─► pairs of row numbers ─► filter ─► rows of both sides
///    host          device                                    host
/// ```
///
/// Only the keys go to the device and only row numbers come back: columns of any type ride
/// along on the host. Once the table is built, the scans of the probe side that wait for it are
/// told the bounds of its keys, and, where they test row by row, the set of them. The build
/// side is read from all its partitions and shared by all that
/// probe. Only where the plan keeps its exchanges by key (`PlacementOptions::collapse` off)
/// and unmatched build rows come out has each partition a table of its own. The join's
/// filter is evaluated on the host for the pairs found. A build side that the memory limit, or
/// the device's memory, has no room for goes to disk, and so does the probe side then. A batch of
/// the probe side that it has no room for is halved.
///
/// Its rows are those of DataFusion's `HashJoinExec` in the order of the probe side; float
/// keys match by value (-0.0 and 0.0, any NaN and any NaN). A device's failure is a
/// [`DeviceFailure`](crate::nodes::DeviceFailure).
#[derive(Debug)]
pub struct DeviceHashJoinExec {
    parts: Parts,
    shared: Mutex<Option<Building>>,
    metrics: ExecutionPlanMetricsSet,
}

/// A build side in the making, and the partitions that are to probe it.
#[derive(Debug, Clone)]
struct Building {
    side: Making<BuildSide>,
    writing: Arc<Writing>,
}

/// What a build needs, cheap to clone.
#[derive(Debug, Clone)]
struct Parts {
    /// The operator that it stands for: its inputs, expressions and properties.
    join: Arc<HashJoinExec>,
    shape: Arc<Shape>,
    placed: Placed,
    left_keys: Arc<PipelinePlan>,
    right_keys: Arc<PipelinePlan>,
    max_pairs: usize,
    /// Time that a probe row takes, where several devices probe.
    pace: Arc<Pace>,
    /// What the scans of the probe side take of the keys of the build side.
    tells: Tells,
    /// Times that the rows were divided by their keys already.
    round: usize,
}

/// An inner join of all pairs with equal keys, and a filter over it.
#[derive(Debug)]
pub(crate) struct Unfiltered {
    pub(crate) join: Arc<dyn ExecutionPlan>,
    pub(crate) filter: Arc<dyn ExecutionPlan>,
}

/// The keys of both sides of a join, lowered.
#[derive(Debug, Clone)]
pub struct JoinKeys {
    /// Of the left side, which is built.
    pub left: Arc<PipelinePlan>,
    /// Of the right side, which probes.
    pub right: Arc<PipelinePlan>,
}

impl JoinKeys {
    /// Lowers the keys of a join.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason.
    pub fn lower(join: &HashJoinExec) -> Result<Self, Unsupported> {
        let no = |reason: &str| Err(Unsupported::new(reason));
        if join.null_aware {
            return no("NOT IN with nulls has no device form");
        }
        if join.fetch().is_some() {
            return no("it stops at a number of rows, which the CPU does sooner");
        }
        if *join.partition_mode() == PartitionMode::Auto {
            return no("its partitioning is not decided");
        }
        let (left, right): (Vec<_>, Vec<_>) = join.on().iter().cloned().unzip();
        let left = lower_keys(&join.left().schema(), &left)?;
        let right = lower_keys(&join.right().schema(), &right)?;
        let constants = |tables: &HostTables, id: crate::lower::DictionaryId| {
            !tables.dictionaries[id.0 as usize].constants.is_empty()
        };
        let mut renamed = Vec::new();
        for (l, r) in left.outputs.iter().zip(&right.outputs) {
            let alike =
                l.data_type == r.data_type || is_string(&l.data_type) && is_string(&r.data_type);
            if !alike || l.ty != r.ty {
                let reason = format!("keys of types {} and {}", l.data_type, r.data_type);
                return Err(Unsupported::new(reason));
            }
            let (Some(a), Some(b)) = (l.dictionary, r.dictionary) else { continue };
            if constants(&right.tables, b) {
                return no("a key that is computed with text constants on both sides");
            }
            // One dictionary on the right cannot stand for two on the left.
            if renamed.iter().any(|(x, y)| *y == b && *x != a) {
                return no("one text column is compared with two");
            }
            renamed.push((a, b));
        }
        Ok(Self { left: Arc::new(left), right: Arc::new(right) })
    }
}

impl DeviceHashJoinExec {
    /// In the place of `join`, over its inputs.
    pub fn new(join: HashJoinExec, placed: Placed, keys: JoinKeys) -> Self {
        let shape = Arc::new(Shape::of(&join));
        let max_pairs = match placed.is_host() {
            true => 1 << 15,
            false => GPU_PAIRS,
        };
        let JoinKeys { left: left_keys, right: right_keys } = keys;
        let tells = Tells::of(&join);
        let join = Arc::new(join);
        let (pace, round) = (Arc::default(), 0);
        let parts =
            Parts { join, shape, placed, left_keys, right_keys, max_pairs, pace, tells, round };
        Self { parts, shared: Mutex::default(), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// Where it runs.
    pub fn placed(&self) -> &Placed {
        &self.parts.placed
    }

    /// The operator that it stands for.
    pub fn join(&self) -> &HashJoinExec {
        &self.parts.join
    }

    /// The keys of the left and the right side, lowered.
    pub(crate) fn keys(&self) -> [&PipelinePlan; 2] {
        [&self.parts.left_keys, &self.parts.right_keys]
    }

    /// For an inner join with a filter on its pairs: the join of all pairs with all columns,
    /// and the filter over it, with the columns of this join. `None` for other joins.
    ///
    /// # Errors
    /// DataFusion's.
    pub(crate) fn without_filter(&self) -> Result<Option<Unfiltered>> {
        let join = &self.parts.join;
        let (Some(filter), JoinType::Inner) = (join.filter(), *join.join_type()) else {
            return Ok(None);
        };
        let left = join.left().schema().fields().len();
        let schema = Arc::clone(join.join_schema());
        let at = |from: &ColumnIndex| match from.side {
            JoinSide::Left => from.index,
            _ => left + from.index,
        };
        let places: Vec<usize> = filter.column_indices().iter().map(at).collect();
        let over_join = Arc::clone(filter.expression()).transform_up(|e| {
            let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
            let at = places[column.index()];
            let column = Column::new(schema.field(at).name(), at);
            Ok(Transformed::yes(Arc::new(column) as Arc<dyn PhysicalExpr>))
        })?;
        let all = join.builder().with_filter(None).with_projection(None).build()?;
        let all = self.with(all);
        let projection = join.projection.as_deref().map(<[usize]>::to_vec);
        let filter = FilterExecBuilder::new(over_join.data, Arc::clone(&all));
        let filter = filter.apply_projection(projection)?.build()?;
        Ok(Some(Unfiltered { join: all, filter: Arc::new(filter) }))
    }

    /// The same over another state of the operator that it stands for.
    fn with(&self, join: HashJoinExec) -> Arc<dyn ExecutionPlan> {
        let keys = JoinKeys {
            left: Arc::clone(&self.parts.left_keys),
            right: Arc::clone(&self.parts.right_keys),
        };
        Arc::new(Self::new(join, self.parts.placed.clone(), keys))
    }

    /// Starts to build from the given partitions of the left side.
    fn start(
        &self,
        partitions: std::ops::Range<usize>,
        probing: usize,
        metrics: &DeviceMetrics,
        to_disk: ToDisk,
        context: &Arc<TaskContext>,
    ) -> Result<Building> {
        let left = self.parts.join.left();
        let streams = partitions.map(|p| left.execute(p, Arc::clone(context)));
        let consumer = MemoryConsumer::new(OPERATOR).with_can_spill(true);
        let memory = consumer.register(context.memory_pool());
        let streams = streams.collect::<Result<_>>()?;
        let (parts, metrics) = (self.parts.clone(), metrics.clone());
        let built = build::build(parts, streams, memory, metrics, probing, to_disk);
        Ok(Building { side: making(built), writing: Writing::new(probing) })
    }

    /// The build side for a partition.
    fn building(
        &self,
        partition: usize,
        metrics: &DeviceMetrics,
        to_disk: ToDisk,
        context: &Arc<TaskContext>,
    ) -> Result<Building> {
        let join = &self.parts.join;
        let apart = *join.partition_mode() == PartitionMode::Partitioned
            && self.parts.shape.ends_with_build_rows();
        if apart {
            return self.start(partition..partition + 1, 1, metrics, to_disk, context);
        }
        let mut shared = self.shared.lock();
        if let Some(building) = &*shared {
            return Ok(building.clone());
        }
        let left = join.left().output_partitioning().partition_count();
        let probing = join.right().output_partitioning().partition_count();
        let building = self.start(0..left, probing, metrics, to_disk, context)?;
        Ok(shared.insert(building).clone())
    }
}

/// The result of one partition, batch by batch.
async fn probe(
    side: Making<BuildSide>,
    ticket: Ticket,
    right: SendableRecordBatchStream,
    metrics: DeviceMetrics,
    batch_rows: usize,
    to_disk: ToDisk,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let side = side.await.map_err(DataFusionError::Shared)?;
    let parts = to_disk.parts();
    let built = match &*side {
        BuildSide::Held(built) => Arc::clone(built),
        BuildSide::Spilled(spilled) => {
            let spilled = Arc::clone(spilled);
            return Ok(to_disk.probe(spilled, right, ticket).await?.boxed());
        }
    };
    let idle = built.batch.num_rows() == 0 && parts.shape.needs_build_rows();
    let widths = parts.right_keys.input.columns.iter().map(|c| c.ty.wide_bytes() + 1);
    let right = coalesce(right, &parts.placed, widths.collect());
    if idle {
        return Ok(stream::empty().boxed());
    }
    if let Some(sharing) = Sharing::of(&parts.placed, &parts.pace, OPERATOR) {
        let shape = Arc::clone(&parts.shape);
        let streams = parts.join.right().output_partitioning().partition_count();
        let prober = move |placed: &Placed| Prober {
            worker: Worker::new(placed.clone(), metrics.clone(), OPERATOR, batch_rows),
            shape: Arc::clone(&shape),
            built: Arc::clone(&built),
            shares: true,
        };
        let placed = parts.placed.clone();
        return Ok(shared_results(right, (sharing, streams), placed, prober));
    }
    let worker = Worker::new(parts.placed.clone(), metrics, OPERATOR, batch_rows);
    let prober = Prober { worker, shape: Arc::clone(&parts.shape), built, shares: false };
    Ok(results(right, Some(prober)).boxed())
}

impl DisplayAs for DeviceHashJoinExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, join) = (self.parts.placed.name(), one_line(&*self.parts.join));
        let join = join.strip_prefix("HashJoinExec: ").unwrap_or(&join);
        write!(f, "DeviceHashJoinExec: device={device}, {join}")
    }
}

impl ExecutionPlan for DeviceHashJoinExec {
    fn name(&self) -> &'static str {
        "DeviceHashJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.parts.join.properties()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        match self.parts.join.partition_mode() {
            PartitionMode::Partitioned => self.parts.join.input_distribution_requirements(),
            // It reads all partitions of the build side itself.
            _ => InputDistributionRequirements::new(vec![
                Distribution::UnspecifiedDistribution,
                Distribution::UnspecifiedDistribution,
            ]),
        }
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.parts.join.maintains_input_order()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.parts.join.children()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let join = self.parts.join.builder().recompute_properties();
        Ok(self.with(join.with_new_children(children)?.build()?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        super::recompute(self, children)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.with(self.parts.join.builder().reset_state().build()?))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.parts.join.apply_expressions(f)
    }

    fn dynamic_expressions_produced(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.parts.join.dynamic_expressions_produced()
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let to_disk = ToDisk::new(&self.parts, &self.metrics, partition, &context);
        let building = self.building(partition, &metrics, to_disk.clone(), &context)?;
        let ticket = building.writing.ticket();
        let right = self.parts.join.right().execute(partition, Arc::clone(&context))?;
        let batch_rows = context.session_config().batch_size();
        let rows = probe(building.side, ticket, right, metrics, batch_rows, to_disk);
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
