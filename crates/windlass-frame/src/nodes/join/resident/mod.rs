//! Hash joins whose rows stay on the device.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | [`ResidentHashJoinExec`] |
//! | `rows` | its columns and dictionaries |
//! | `build` | its build side |
//! | `probe` | its probe side: what is looked up and gathered |

use std::{fmt, sync::Arc};

use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr,
        PlanProperties, ReplaceChildrenOptions,
        joins::PartitionMode,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
    },
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use parking_lot::Mutex;

use super::{
    DeviceHashJoinExec, OPERATOR, Parts,
    shared::{Making, making},
};
use crate::{
    batch::DictionarySet,
    lower::{InputPlan, PipelinePlan},
    nodes::{
        DevicePipelineExec, Placed, Uploaded, chain::one_line, failure::failed,
        metrics::DeviceMetrics, upload::target_rows,
    },
};

mod build;
mod probe;
pub(crate) mod rows;

use build::{Build, Built};
use rows::{Dictionaries, RowsPlan};

/// A hash join whose rows stay on its device, for a pipeline or aggregation there.
///
/// ```text
///    DevicePipelineExec left:  filters, keys and columns ─► table ──── columns
///                                                             │           │
///                                                             ▼           ▼
///    DevicePipelineExec right: filters, keys and columns ─► search ─► filter ─► gather
///                                                             pairs     pairs    device batches
/// ```
///
/// Each side is a pipeline: filters and projections below the join are fused with its keys.
/// Only the columns that the node above reads are gathered, in pieces that suit the device's
/// free memory, and nothing comes back to the host but the keys of the build side where the
/// scans of the probe side take them. The filter on the pairs of an inner join is a step of the
/// node above. Where it decides which rows have a pair, it is one generated kernel over the
/// columns that it reads of each piece of pairs; the pairs in which it is true mark the rows of
/// either side, and those without a mark come out when their batch, or the probe side, has
/// ended.
///
/// It stands in the place of a [`DeviceHashJoinExec`], which gives all columns, on the host:
/// so does this node when it is executed as an ordinary plan node. A device's failure is a
/// [`DeviceFailure`](crate::nodes::DeviceFailure).
#[derive(Debug)]
pub struct ResidentHashJoinExec {
    parts: Parts,
    host: Arc<dyn ExecutionPlan>,
    sides: [Arc<dyn ExecutionPlan>; 2],
    /// What the node above reads.
    reader: Arc<InputPlan>,
    rows: Arc<RowsPlan>,
    shared: Mutex<Option<Started>>,
    metrics: ExecutionPlanMetricsSet,
}

/// What the partitions share.
#[derive(Debug, Clone)]
struct Started {
    building: Making<Built>,
    probe_texts: Arc<DictionarySet>,
    residual_texts: Option<Arc<DictionarySet>>,
}

/// A side of a resident join.
fn pipeline(plan: &Arc<dyn ExecutionPlan>) -> Result<&DevicePipelineExec> {
    plan.downcast_ref::<DevicePipelineExec>().ok_or_else(|| {
        let text = format!("the side of a join on a device is a pipeline, got {}", plan.name());
        DataFusionError::Internal(text)
    })
}

impl ResidentHashJoinExec {
    /// In the place of `host`, a [`DeviceHashJoinExec`] with one table for all partitions; for a
    /// node that reads the columns of `reader`. `rows` has its filter on the pairs, if any.
    ///
    /// # Errors
    /// `Internal` where `host` or a side is another node.
    pub(crate) fn try_new(
        host: Arc<dyn ExecutionPlan>,
        sides: [Arc<dyn ExecutionPlan>; 2],
        reader: Arc<InputPlan>,
        rows: Arc<RowsPlan>,
    ) -> Result<Self> {
        let Some(join) = host.downcast_ref::<DeviceHashJoinExec>() else {
            let text = format!("expected {OPERATOR}, got {}", host.name());
            return Err(DataFusionError::Internal(text));
        };
        let parts = join.parts.clone();
        let one_table = *parts.join.partition_mode() == PartitionMode::CollectLeft;
        if !one_table || parts.shape.filter.is_some() != rows.residual.is_some() {
            let text = "a resident join has one table, and its filter is lowered".to_string();
            return Err(DataFusionError::Internal(text));
        }
        sides.iter().try_for_each(|side| pipeline(side).map(|_| ()))?;
        let (shared, metrics) = (Mutex::default(), ExecutionPlanMetricsSet::new());
        Ok(Self { parts, host, sides, reader, rows, shared, metrics })
    }

    /// Where it runs.
    pub fn placed(&self) -> &Placed {
        &self.parts.placed
    }

    /// The join with all columns, on the host.
    pub fn host(&self) -> &Arc<dyn ExecutionPlan> {
        &self.host
    }

    /// The columns that stay on the device.
    pub fn reader(&self) -> &InputPlan {
        &self.reader
    }

    fn side_plans(&self) -> Result<[&PipelinePlan; 2]> {
        let [left, right] = &self.sides;
        Ok([pipeline(left)?.plan(), pipeline(right)?.plan()])
    }

    /// Rows of a piece: pairs of numbers, and the columns with a validity each.
    fn piece_rows(&self) -> usize {
        let mut widths: Vec<usize> =
            self.reader.columns.iter().map(|c| c.ty.wide_bytes() + 4).collect();
        widths.push(8);
        widths.extend(self.rows.residual.iter().flat_map(|r| r.test.widths()));
        target_rows(&self.parts.placed, &widths)
    }

    /// What the partitions share, made by the first of them. The readers of all partitions
    /// have the same dictionaries.
    fn started(
        &self,
        reader: &DictionarySet,
        metrics: &DeviceMetrics,
        context: &Arc<TaskContext>,
    ) -> Result<Started> {
        let mut shared = self.shared.lock();
        if let Some(started) = &*shared {
            return Ok(started.clone());
        }
        let [left, right] = self.side_plans()?;
        let placed = &self.parts.placed;
        let texts = self.rows.dictionaries(left, right, reader);
        let Dictionaries { left: build_texts, right: probe_texts, residual: residual_texts } =
            texts.map_err(|e| failed(placed, metrics, OPERATOR, e))?;
        let build = Build {
            parts: self.parts.clone(),
            rows: Arc::clone(&self.rows),
            outputs: left.outputs.clone().into(),
            texts: Arc::clone(&build_texts),
            max_pairs: self.piece_rows(),
            probing: self.parts.join.right().output_partitioning().partition_count(),
            metrics: metrics.clone(),
        };
        let input = Arc::clone(&self.sides[0]);
        let context = Arc::clone(context);
        let building = making(async move {
            let partitions = input.output_partitioning().partition_count();
            let node = pipeline(&input)?;
            let one = |p| node.batches(p, Arc::clone(&context), Arc::clone(&build_texts));
            let streams = (0..partitions).map(one).collect::<Result<Vec<_>>>()?;
            build.run(stream::select_all(streams).boxed()).await
        });
        let started = Started { building, probe_texts, residual_texts };
        Ok(shared.insert(started).clone())
    }

    /// The rows of a partition with the columns of the reader, coded by its dictionaries.
    ///
    /// # Errors
    /// Those of executing the sides.
    pub(crate) fn batches(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
        reader: &DictionarySet,
    ) -> Result<BoxStream<'static, Result<Uploaded>>> {
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let Started { building, probe_texts, residual_texts } =
            self.started(reader, &metrics, &context)?;
        let [_, right] = self.side_plans()?;
        let outputs = right.outputs.clone().into();
        let (parts, rows, side) =
            (self.parts.clone(), Arc::clone(&self.rows), Arc::clone(&self.sides[1]));
        let pieces = async move {
            let built = building.await.map_err(DataFusionError::Shared)?;
            if built.is_empty() && parts.shape.needs_build_rows() {
                return Ok(stream::empty().boxed());
            }
            // Only now: the scan below may have been told the keys.
            let input = pipeline(&side)?.batches(partition, context, probe_texts)?;
            let Parts { placed, shape, .. } = parts;
            let parts =
                probe::Parts { placed, shape, rows, outputs, built, residual_texts, metrics };
            Ok::<_, DataFusionError>(probe::probe(input, parts))
        };
        let rows = stream::once(pieces).try_flatten();
        Ok(rows.map_ok(|batch| Uploaded { host: None, device: Ok(batch) }).boxed())
    }
}

impl DisplayAs for ResidentHashJoinExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, join) = (self.parts.placed.name(), one_line(&*self.parts.join));
        let join = join.strip_prefix("HashJoinExec: ").unwrap_or(&join);
        let columns: Vec<&str> = self.reader.columns.iter().map(|c| c.name.as_str()).collect();
        let columns = columns.join(", ");
        write!(f, "{OPERATOR}: device={device}, rows=device, columns=[{columns}], {join}")
    }
}

impl ExecutionPlan for ResidentHashJoinExec {
    fn name(&self) -> &'static str {
        OPERATOR
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.parts.join.properties()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false, false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.sides.iter().collect()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let sides: [_; 2] = children.try_into().map_err(|c: Vec<_>| {
            DataFusionError::Internal(format!("{OPERATOR} has two inputs, got {}", c.len()))
        })?;
        let (host, reader) = (Arc::clone(&self.host), Arc::clone(&self.reader));
        Ok(Arc::new(Self::try_new(host, sides, reader, Arc::clone(&self.rows))?))
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

    fn dynamic_expressions_produced(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.parts.join.dynamic_expressions_produced()
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.host.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, _partition: Option<usize>) -> Vec<ChildStats> {
        // The sides hold other columns than the join's inputs: its figures are those of these.
        vec![ChildStats::Skip, ChildStats::Skip]
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        datafusion::physical_plan::statistics::StatisticsContext::new().compute(&*self.host, args)
    }
}
