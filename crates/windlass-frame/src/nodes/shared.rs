//! A part of a plan that is computed once for several readers.

use std::{fmt, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{
    common::{Statistics, runtime::SpawnedTask, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, Shared},
    stream,
};
use parking_lot::Mutex;

use super::upload::only;

/// The rows of all partitions, and the memory that they hold; `None` where there is too little
/// of it to keep them.
type Kept = Result<Option<Arc<(Vec<Vec<RecordBatch>>, MemoryReservation)>>, Arc<DataFusionError>>;

/// What the readers of one part of a plan share.
#[derive(Debug, Default)]
pub(crate) struct SharedState {
    running: Mutex<Option<Running>>,
}

/// The copy of the plan that is run for all readers, and its rows to come.
#[derive(Debug)]
struct Running {
    source: Arc<dyn ExecutionPlan>,
    kept: Shared<BoxFuture<'static, Kept>>,
}

/// Computes its input once for several readers, each of which is a node of this kind with a
/// copy of the input below it.
///
/// ```text
///      reader 1        reader 2                  one copy is run, to its end
///         │               │                      and into memory, by whoever
///    SharedExec ──┬── SharedExec                 asks first; the other copy
///         │       │       │                      only says what it would be
///       input   (rows)  input (not run)
/// ```
///
/// Where memory is too small for the rows, each reader runs its own copy, as it would without
/// this node. It does so too where placement made the copies differ.
#[derive(Debug)]
pub(crate) struct SharedExec {
    input: Arc<dyn ExecutionPlan>,
    /// The number of the part, the same for all its readers.
    part: usize,
    state: Arc<SharedState>,
    metrics: ExecutionPlanMetricsSet,
}

impl SharedExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, part: usize, state: Arc<SharedState>) -> Self {
        Self { input, part, state, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The rows to come, from the first reader's copy; `None` where that is another plan than
    /// this reader's.
    fn kept(&self, context: &Arc<TaskContext>) -> Option<Shared<BoxFuture<'static, Kept>>> {
        let mut running = self.state.running.lock();
        let running = running.get_or_insert_with(|| Running {
            source: Arc::clone(&self.input),
            kept: keep(Arc::clone(&self.input), Arc::clone(context)).boxed().shared(),
        });
        let (mine, other) = (&self.input, &running.source);
        let same = Arc::ptr_eq(mine, other)
            || alike(mine.output_partitioning(), other.output_partitioning())
                && mine.output_ordering() == other.output_ordering()
                && mine.schema() == other.schema();
        same.then(|| running.kept.clone())
    }
}

/// Whether what a reader says of its partitions is true of another plan's. What says nothing
/// is not equal to itself in DataFusion.
fn alike(mine: &Partitioning, other: &Partitioning) -> bool {
    let nothing =
        matches!(mine, Partitioning::UnknownPartitioning(_) | Partitioning::RoundRobinBatch(_));
    mine.partition_count() == other.partition_count() && (nothing || mine == other)
}

/// Runs a plan to its end and keeps its rows.
async fn keep(source: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Kept {
    let partitions = source.output_partitioning().partition_count();
    let memory = MemoryConsumer::new("SharedExec").register(context.memory_pool());
    let run = async {
        let mut tasks = Vec::with_capacity(partitions);
        for partition in 0..partitions {
            let rows = source.execute(partition, Arc::clone(&context))?;
            tasks.push(SpawnedTask::spawn(collect(rows, memory.new_empty())));
        }
        let mut all = Vec::with_capacity(partitions);
        for task in tasks {
            let rows = task.join_unwind().await;
            let rows = rows.map_err(|e| DataFusionError::External(Box::new(e)))??;
            let Some((rows, held)) = rows else { return Ok(None) };
            memory.try_grow(held.free())?;
            all.push(rows);
        }
        Ok(Some(all))
    };
    match run.await {
        Ok(Some(all)) => Ok(Some(Arc::new((all, memory)))),
        Ok(None) => {
            tracing::debug!("too little memory to share rows; each reader computes its own");
            Ok(None)
        }
        Err(e) => Err(Arc::new(e)),
    }
}

/// The rows of one partition with the memory that they hold; `None` when that is too much.
async fn collect(
    mut rows: SendableRecordBatchStream,
    memory: MemoryReservation,
) -> Result<Option<(Vec<RecordBatch>, MemoryReservation)>> {
    let mut kept = Vec::new();
    while let Some(batch) = rows.try_next().await? {
        if memory.try_grow(batch.get_array_memory_size()).is_err() {
            return Ok(None);
        }
        kept.push(batch);
    }
    Ok(Some((kept, memory)))
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedExec: part={}", self.part)
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &'static str {
        "SharedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        Ok(Arc::new(Self::new(input, self.part, Arc::clone(&self.state))))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        super::recompute(self, children)
    }

    /// A plan to run once more: this reader for itself, since nothing tells the others.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = Arc::clone(&self.input).reset_state()?;
        Ok(Arc::new(Self::new(input, self.part, Arc::default())))
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let counted = move |batch: &RecordBatch| baseline.record_output(batch.num_rows());
        let Some(kept) = self.kept(&context) else {
            let own = self.input.execute(partition, context)?.inspect_ok(counted);
            return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), own)));
        };
        let input = Arc::clone(&self.input);
        let rows = async move {
            Ok::<_, DataFusionError>(match kept.await.map_err(DataFusionError::Shared)? {
                Some(all) => {
                    let count = all.0[partition].len();
                    let rows = (0..count).map(move |i| Ok(all.0[partition][i].clone()));
                    stream::iter(rows).boxed()
                }
                None => input.execute(partition, context)?.boxed(),
            })
        };
        let rows = stream::once(rows).try_flatten().inspect_ok(counted);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
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
        Ok(Arc::clone(&input[0]))
    }
}
