//! The first rows of each group, below the sort that numbers them.

use std::{fmt, sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    buffer::ScalarBuffer,
    compute::{concat_batches, take},
    datatypes::DataType,
};
use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::PhysicalSortExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr,
        PlanProperties, ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        metrics::{Count, ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{TryStreamExt, stream, stream::BoxStream};
use windlass_device::Queue;
use windlass_kernels::{
    KernelError,
    sort::{SortKey, top_k_per_group},
};

use super::{
    Placed,
    metrics::DeviceMetrics,
    sort_order::upload_keys,
    upload::{coalesce, only},
};
use crate::{batch::read_words, lower::types::phys_type};

const OPERATOR: &str = "DeviceTopKPerGroupExec";

/// Rows that are looked at together: enough that most groups have several rows among them.
/// A guess; a device-sized batch.
const PRUNED_ROWS: usize = 1 << 20;

/// Where a pass keeps more than this share of its rows, the rest passes unseen: there are too
/// many groups. A guess.
const KEPT_SHARE: f64 = 0.75;

/// Passes over the rows kept grow with them: a pass has so many times the rows that the one
/// before it kept. As often as [`super::DeviceSortExec`] looks at its first rows.
const GROWTH: usize = 4;

/// Keeps of the rows of each partition those that can be among the first `k` of their group.
///
/// ```text
///   FilterExec: row_number() <= k             as DataFusion planned them
///     BoundedWindowAggExec
///       SortExec: group, order                few rows are left for these
///         RepartitionExec: Hash(group)
///           DeviceTopKPerGroupExec            rows ─► keys ─► row numbers ─► first rows
///             input                           host      device              host
/// ```
///
/// What it gives holds the first `k` rows of every group of the partition, in any order, and
/// maybe more: the operators above decide, so it may stop to look at any time. It does where
/// nearly every row is among the first of its group, where memory is short, and where the
/// device fails; the rest of the rows then passes as it is.
#[derive(Debug)]
pub struct DeviceTopKPerGroupExec {
    input: Arc<dyn ExecutionPlan>,
    top: GroupTop,
    placed: Placed,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// Which rows are the first.
#[derive(Debug, Clone)]
pub struct GroupTop {
    /// The keys of the groups, then of the order in them.
    pub keys: Vec<PhysicalSortExpr>,
    /// How many of the keys are the groups'; at least one.
    pub groups: usize,
    /// Rows of each group.
    pub k: usize,
}

impl DeviceTopKPerGroupExec {
    /// Over `input`.
    pub fn new(input: Arc<dyn ExecutionPlan>, top: GroupTop, placed: Placed) -> Self {
        let mut equivalence = input.equivalence_properties().clone();
        equivalence.clear_orderings();
        let partitioning = input.output_partitioning().clone();
        let (emission, bounded) = (EmissionType::Final, Boundedness::Bounded);
        let properties = PlanProperties::new(equivalence, partitioning, emission, bounded);
        let metrics = ExecutionPlanMetricsSet::new();
        Self { input, top, placed, properties: Arc::new(properties), metrics }
    }

    /// Where it runs.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    /// Which rows it keeps.
    pub fn top(&self) -> &GroupTop {
        &self.top
    }
}

/// The rows of one partition on their way.
struct Pruner {
    top: GroupTop,
    placed: Placed,
    metrics: DeviceMetrics,
    /// Rows that went away.
    dropped: Count,
    memory: MemoryReservation,
    queue: Option<Box<dyn Queue>>,
    pending: Vec<RecordBatch>,
    rows: usize,
    /// Rows at which the pending ones are looked at.
    target: usize,
    /// Whether rows pass as they are.
    open: bool,
}

impl Pruner {
    /// Takes a batch; gives what passes.
    async fn add(mut self, batch: RecordBatch) -> Result<(Self, Vec<RecordBatch>)> {
        if self.open {
            return Ok((self, vec![batch]));
        }
        let bytes = batch.get_array_memory_size();
        self.rows += batch.num_rows();
        self.pending.push(batch);
        if self.memory.try_grow(bytes).is_err() {
            self.open = true;
            let rows = self.release();
            return Ok((self, rows));
        }
        if self.rows < self.target {
            return Ok((self, Vec::new()));
        }
        self.prune().await
    }

    /// Looks at the pending rows; gives them if it stops to look.
    async fn prune(mut self) -> Result<(Self, Vec<RecordBatch>)> {
        if self.open || self.rows == 0 {
            let rows = self.release();
            return Ok((self, rows));
        }
        let placed = self.placed.clone();
        let (mut this, kept) = placed
            .run(move || {
                let kept = self.first();
                (self, kept)
            })
            .await?;
        let Some(kept) = kept? else {
            this.open = true;
            let rows = this.release();
            return Ok((this, rows));
        };
        let rows = this.rows;
        this.release();
        this.dropped.add(rows - kept.num_rows());
        this.open = kept.num_rows() as f64 > rows as f64 * KEPT_SHARE
            || this.memory.try_grow(kept.get_array_memory_size()).is_err();
        if this.open {
            return Ok((this, vec![kept]));
        }
        this.rows = kept.num_rows();
        this.target = this.target.max(GROWTH * kept.num_rows());
        this.pending = vec![kept];
        Ok((this, Vec::new()))
    }

    /// The pending rows, held no more.
    fn release(&mut self) -> Vec<RecordBatch> {
        self.memory.free();
        self.rows = 0;
        std::mem::take(&mut self.pending)
    }

    /// The first rows of each group among the pending ones; `None` when the device fails.
    fn first(&mut self) -> Result<Option<RecordBatch>> {
        let Some(one) = self.pending.first() else { return Ok(None) };
        let all = concat_batches(&one.schema(), &self.pending)?;
        let began = Instant::now();
        let (mut keys, mut arrays) = (Vec::new(), Vec::new());
        for (column, key) in self.top.keys.iter().enumerate() {
            arrays.push(key.expr.evaluate(&all)?.into_array(all.num_rows())?);
            let (descending, nulls_first) = (key.options.descending, key.options.nulls_first);
            keys.push(SortKey { column, descending, nulls_first });
        }
        let rows = match self.on_device(arrays, all.num_rows(), &keys) {
            Ok(rows) => rows,
            Err(e) => {
                self.metrics.fallback(&self.placed, OPERATOR, &e);
                return Ok(None);
            }
        };
        self.metrics.kernel(&self.placed, "top-k of groups", began, all.num_rows());
        let columns = all.columns().iter().map(|c| Ok(take(c.as_ref(), &rows, None)?));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(Some(RecordBatch::try_new_with_options(all.schema(), columns, &options)?))
    }

    fn on_device(
        &mut self,
        arrays: Vec<ArrayRef>,
        rows: usize,
        keys: &[SortKey],
    ) -> Result<UInt32Array, KernelError> {
        let device = &*self.placed.device;
        let queue = match &mut self.queue {
            Some(queue) => queue,
            none => none.insert(device.queue()?),
        };
        let (batch, mut reservation) = upload_keys(&self.placed, &mut **queue, arrays, rows)?;
        let (groups, order) = keys.split_at(self.top.groups);
        let k = self.top.k;
        let (first, n) =
            top_k_per_group(device, &mut **queue, &mut reservation, &batch, groups, order, k)?;
        let words = read_words(&mut **queue, &first, n)?;
        Ok(UInt32Array::new(ScalarBuffer::new(words, 0, n), None))
    }
}

impl DisplayAs for DeviceTopKPerGroupExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (groups, order) = self.top.keys.split_at(self.top.groups);
        let groups: Vec<String> = groups.iter().map(|g| g.expr.to_string()).collect();
        let order: Vec<String> = order.iter().map(ToString::to_string).collect();
        let (device, k) = (self.placed.name(), self.top.k);
        let (groups, order) = (groups.join(", "), order.join(", "));
        write!(f, "{OPERATOR}: device={device}, k={k}, groups=[{groups}], order=[{order}]")
    }
}

impl ExecutionPlan for DeviceTopKPerGroupExec {
    fn name(&self) -> &'static str {
        OPERATOR
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = only(children, self.name())?;
        Ok(Arc::new(Self::new(input, self.top.clone(), self.placed.clone())))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        super::recompute(self, children)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for key in &self.top.keys {
            if f(&key.expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let schema = self.input.schema();
        let widths = self.top.keys.iter().map(|key| {
            let ty = key.expr.data_type(&schema).unwrap_or(DataType::Null);
            phys_type(&ty).map_or(16, |ty| ty.wide_bytes() + 1)
        });
        let input = coalesce(input, &self.placed, widths.collect());
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let pruner = Pruner {
            top: self.top.clone(),
            placed: self.placed.clone(),
            dropped: metrics.counter("dropped_rows".to_string()),
            metrics: metrics.clone(),
            // Rows that are held can be passed on.
            memory: MemoryConsumer::new(OPERATOR)
                .with_can_spill(true)
                .register(context.memory_pool()),
            queue: None,
            pending: Vec::new(),
            rows: 0,
            target: PRUNED_ROWS,
            open: false,
        };
        let batch_rows = context.session_config().batch_size();
        let pieces = passed(input, pruner).map_ok(move |batch| {
            metrics.baseline.output_rows().add(batch.num_rows());
            stream::iter(super::download::slices(batch, batch_rows).map(Ok))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), pieces.try_flatten())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        input: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::new(Statistics::clone(&input[0]).to_inexact()))
    }
}

/// The batches that pass, until the input ends.
fn passed(
    input: BoxStream<'static, Result<RecordBatch>>,
    pruner: Pruner,
) -> impl stream::Stream<Item = Result<RecordBatch>> + Send {
    let pieces = stream::try_unfold(Some((input, pruner)), |state| async move {
        let Some((mut input, mut pruner)) = state else { return Ok(None) };
        loop {
            let Some(batch) = input.try_next().await? else {
                let (mut pruner, mut rows) = pruner.prune().await?;
                rows.extend(pruner.release());
                return Ok(Some((rows, None)));
            };
            let rows;
            (pruner, rows) = pruner.add(batch).await?;
            if !rows.is_empty() {
                return Ok::<_, DataFusionError>(Some((rows, Some((input, pruner)))));
            }
        }
    });
    pieces.map_ok(|rows| stream::iter(rows.into_iter().map(Ok))).try_flatten()
}
