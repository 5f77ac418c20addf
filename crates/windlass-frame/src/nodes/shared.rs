//! A part of a plan that is computed once for several readers.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{
        Statistics,
        runtime::SpawnedTask,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    config::ConfigOptions,
    error::{DataFusionError, Result},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::EquivalenceProperties,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType, reset_plan_states},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs, StatisticsContext},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, Shared},
    stream::{self, BoxStream},
};
use parking_lot::Mutex;

use super::upload::only;

/// The rows of all partitions, and the memory that they hold; `None` where there is too little
/// of it to keep them.
type Kept = Result<Option<Arc<(Vec<Vec<RecordBatch>>, MemoryReservation)>>, Arc<DataFusionError>>;

/// What the readers of one part of a plan share.
#[derive(Debug, Default)]
pub(crate) struct SharedState {
    /// The plan of the part, as it is run.
    source: Mutex<Option<Arc<dyn ExecutionPlan>>>,
    /// What was known of its rows when it was planned.
    statistics: OnceLock<Arc<Statistics>>,
    /// Its rows to come.
    kept: Mutex<Option<Shared<BoxFuture<'static, Kept>>>>,
}

impl SharedState {
    fn source(&self) -> Result<Arc<dyn ExecutionPlan>> {
        self.source.lock().clone().ok_or_else(|| {
            DataFusionError::Internal("a reader of a shared part came before its plan".to_string())
        })
    }
}

/// Computes a part of a plan once for several readers. One of them has the plan of the part
/// below it, the others are leaves.
///
/// ```text
///      reader 1        reader 2          the plan is run to its end and into
///         │               │              memory by whoever asks first
///    SharedExec ····· SharedExec
///         │
///       input
/// ```
///
/// Where the rows are more than may be kept, or memory is too small for them, each reader runs
/// the plan for itself.
#[derive(Debug)]
pub(crate) struct SharedExec {
    /// The plan; `None` for all readers but one.
    input: Option<Arc<dyn ExecutionPlan>>,
    properties: Arc<PlanProperties>,
    /// The number of the part, the same for all its readers.
    part: usize,
    /// Most bytes to keep.
    most: usize,
    state: Arc<SharedState>,
    /// The rows to come that this reader asked for first, the same for all its partitions.
    asked: OnceLock<Shared<BoxFuture<'static, Kept>>>,
    own: Arc<Own>,
    metrics: ExecutionPlanMetricsSet,
}

/// The plan that a reader runs for itself.
#[derive(Debug)]
struct Own {
    plan: Mutex<Option<Arc<dyn ExecutionPlan>>>,
    state: Arc<SharedState>,
    /// Partitions of the reader; `None` for those of the plan.
    partitions: Option<usize>,
}

impl Own {
    fn new(state: &Arc<SharedState>, partitions: Option<usize>) -> Arc<Self> {
        Arc::new(Self { plan: Mutex::default(), state: Arc::clone(state), partitions })
    }

    /// The plan again: what was run once is not run a second time.
    fn plan(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan = self.plan.lock();
        if let Some(plan) = &*plan {
            return Ok(Arc::clone(plan));
        }
        let again = reset_plan_states(self.state.source()?)?;
        Ok(Arc::clone(plan.insert(again)))
    }

    fn rows(
        &self,
        partition: usize,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let plan = self.plan()?;
        let Some(readers) = self.partitions else {
            return Ok(plan.execute(partition, Arc::clone(context))?.boxed());
        };
        let all = (partition..plan.output_partitioning().partition_count()).step_by(readers);
        let all: Result<Vec<_>> = all.map(|p| plan.execute(p, Arc::clone(context))).collect();
        Ok(stream::iter(all?).flatten().boxed())
    }

    /// Of rows that were kept those of a partition. A leaf's are dealt what the others hold.
    fn of(&self, partition: usize, all: &[Vec<RecordBatch>]) -> Vec<RecordBatch> {
        match self.partitions {
            None => all[partition].clone(),
            Some(readers) => {
                all.iter().flatten().skip(partition).step_by(readers).cloned().collect()
            }
        }
    }
}

impl SharedExec {
    /// The reader that has the plan.
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        part: usize,
        most: usize,
        state: Arc<SharedState>,
    ) -> Self {
        let properties = Arc::clone(input.properties());
        let (own, metrics) = (Own::new(&state, None), ExecutionPlanMetricsSet::new());
        let asked = OnceLock::new();
        Self { input: Some(input), properties, part, most, state, asked, own, metrics }
    }

    /// The reader that has the plan, as it was planned first.
    pub(crate) fn planned(
        input: Arc<dyn ExecutionPlan>,
        part: usize,
        most: usize,
        state: Arc<SharedState>,
    ) -> Self {
        let known = StatisticsContext::new().compute(&*input, &StatisticsArgs::new());
        if let Ok(known) = known {
            let known = Arc::unwrap_or_clone(known).to_inexact();
            // Planned once; a second time would know the same.
            state.statistics.set(Arc::new(known)).ok();
        }
        Self::new(input, part, most, state)
    }

    /// A reader of `partitions` partitions whose rows are those of the reader that has the plan.
    pub(crate) fn leaf(
        schema: SchemaRef,
        partitions: usize,
        part: usize,
        most: usize,
        state: Arc<SharedState>,
    ) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        let (own, metrics) = (Own::new(&state, Some(partitions)), ExecutionPlanMetricsSet::new());
        let asked = OnceLock::new();
        Self { input: None, properties, part, most, state, asked, own, metrics }
    }

    /// Tells the other readers which plan is run.
    pub(crate) fn tell(&self) {
        if let Some(input) = &self.input {
            *self.state.source.lock() = Some(Arc::clone(input));
        }
    }

    /// The rows to come, of the plan that is run by whoever asks first.
    fn kept(&self, context: &Arc<TaskContext>) -> Result<Shared<BoxFuture<'static, Kept>>> {
        if let Some(asked) = self.asked.get() {
            return Ok(asked.clone());
        }
        self.tell();
        let source = self.state.source()?;
        let mut kept = self.state.kept.lock();
        let kept = kept
            .get_or_insert_with(|| keep(source, Arc::clone(context), self.most).boxed().shared());
        Ok(self.asked.get_or_init(|| kept.clone()).clone())
    }
}

/// A batch under the schema that a reader tells: the same types, names as planned.
fn named(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().to_vec();
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Runs a plan to its end and keeps its rows.
async fn keep(source: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>, most: usize) -> Kept {
    let partitions = source.output_partitioning().partition_count();
    let memory = MemoryConsumer::new("SharedExec").register(context.memory_pool());
    let room = Arc::new(Room { most, kept: AtomicUsize::new(0) });
    let run = async {
        let mut tasks = Vec::with_capacity(partitions);
        for partition in 0..partitions {
            let rows = source.execute(partition, Arc::clone(&context))?;
            tasks.push(SpawnedTask::spawn(collect(rows, Arc::clone(&room), memory.new_empty())));
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
            tracing::debug!("too little room to share rows; each reader computes its own");
            Ok(None)
        }
        Err(e) => Err(Arc::new(e)),
    }
}

/// The bytes that all partitions may keep, and those that they do.
struct Room {
    most: usize,
    kept: AtomicUsize,
}

impl Room {
    /// Whether there is room for so many bytes more.
    fn take(&self, bytes: usize) -> bool {
        self.kept.fetch_add(bytes, Relaxed).saturating_add(bytes) <= self.most
    }
}

/// The rows of one partition with the memory that they hold; `None` when that is too much.
async fn collect(
    mut rows: SendableRecordBatchStream,
    room: Arc<Room>,
    memory: MemoryReservation,
) -> Result<Option<(Vec<RecordBatch>, MemoryReservation)>> {
    let mut kept = Vec::new();
    while let Some(batch) = rows.try_next().await? {
        let bytes = batch.get_array_memory_size();
        if !room.take(bytes) || memory.try_grow(bytes).is_err() {
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
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.input.iter().map(|_| true).collect()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        self.input.iter().map(|_| false).collect()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.input.iter().collect()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.input.is_none() && children.is_empty() {
            return Ok(self);
        }
        let input = only(children, self.name())?;
        Ok(Arc::new(Self::new(input, self.part, self.most, Arc::clone(&self.state))))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        super::recompute(self, children)
    }

    /// A plan to run once more: whoever asks first runs the part again.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        *self.state.kept.lock() = None;
        self.tell();
        let (part, most, state) = (self.part, self.most, Arc::clone(&self.state));
        Ok(Arc::new(match &self.input {
            Some(input) => Self::new(Arc::clone(input), part, most, state),
            None => {
                let partitions = self.properties.partitioning.partition_count();
                Self::leaf(self.schema(), partitions, part, most, state)
            }
        }))
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
        let (kept, own) = (self.kept(&context)?, Arc::clone(&self.own));
        let schema = self.schema();
        let rows = async move {
            Ok::<_, DataFusionError>(match kept.await.map_err(DataFusionError::Shared)? {
                // Clones of arrays: what they hold stays with the other readers'.
                Some(all) => stream::iter(own.of(partition, &all.0).into_iter().map(Ok)).boxed(),
                None => own.rows(partition, &context)?,
            })
        };
        let told = Arc::clone(&schema);
        let rows = stream::once(rows).try_flatten().map(move |batch| {
            let batch = named(&batch?, &told)?;
            baseline.record_output(batch.num_rows());
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.input.iter().map(|_| ChildStats::At(partition)).collect()
    }

    fn statistics_from_inputs(
        &self,
        input: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let known = match input.first() {
            Some(known) => Some(known),
            None if args.partition().is_none() => self.state.statistics.get(),
            None => None,
        };
        let unknown = || Arc::new(Statistics::new_unknown(&self.schema()));
        Ok(known.map_or_else(unknown, Arc::clone))
    }
}

/// Tells the readers of shared parts which plan is run; behind all rules that change plans.
#[derive(Debug, Default)]
pub(crate) struct TellReaders;

impl PhysicalOptimizerRule for TellReaders {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.apply(|node| {
            node.downcast_ref::<SharedExec>().into_iter().for_each(SharedExec::tell);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(plan)
    }

    fn name(&self) -> &'static str {
        "tell_readers"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch};
    use datafusion::{
        datasource::memory::MemorySourceConfig,
        physical_plan::{
            collect, collect_partitioned, repartition::RepartitionExec, union::UnionExec,
        },
    };

    use super::*;

    /// What three readers of the same 3,000 numbers read, who may keep `most` bytes of them, by
    /// partition; and what the plan gave that is run for all.
    async fn read_by_three(most: usize) -> (Vec<usize>, usize) {
        let batch = |from: i64| {
            let numbers = Int64Array::from_iter_values(from..from + 500);
            RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)]).expect("a batch")
        };
        let rows = [0, 1, 2].map(|p| vec![batch(1000 * p), batch(1000 * p + 500)]);
        let schema = rows[0][0].schema();
        let rows = MemorySourceConfig::try_new_exec(&rows, Arc::clone(&schema), None);
        // An exchange cannot be run twice.
        let spread = Partitioning::RoundRobinBatch(3);
        let source = RepartitionExec::try_new(rows.expect("rows"), spread).expect("an exchange");
        let source = Arc::new(source) as Arc<dyn ExecutionPlan>;
        let state = Arc::new(SharedState::default());
        let first = SharedExec::planned(Arc::clone(&source), 0, most, Arc::clone(&state));
        let leaf = |n| SharedExec::leaf(Arc::clone(&schema), n, 0, most, Arc::clone(&state));
        let (two, four): (Arc<dyn ExecutionPlan>, Arc<dyn ExecutionPlan>) =
            (Arc::new(leaf(2)), Arc::new(leaf(4)));
        let all = UnionExec::try_new(vec![two, Arc::new(first), four]).expect("a union");
        let all = TellReaders.optimize(all, &ConfigOptions::default()).expect("a plan");
        let read = collect_partitioned(all, Arc::new(TaskContext::default())).await;
        let read = read.expect("rows").into_iter();
        let read = read.map(|p| p.iter().map(RecordBatch::num_rows).sum());
        (read.collect(), source.metrics().and_then(|m| m.output_rows()).unwrap_or(0))
    }

    #[tokio::test]
    async fn every_reader_gets_all_rows_of_one_run() {
        let (read, ran) = read_by_three(usize::MAX).await;
        let of = |partitions: std::ops::Range<usize>| read[partitions].iter().sum::<usize>();
        assert_eq!((of(0..2), of(2..5), of(5..9)), (3000, 3000, 3000), "{read:?}");
        assert_eq!(ran, 3000);
    }

    #[tokio::test]
    async fn rows_beyond_the_room_are_read_by_each_reader_for_itself() {
        for most in [0, 4_000, 23_999] {
            let (read, _) = read_by_three(most).await;
            let of = |partitions: std::ops::Range<usize>| read[partitions].iter().sum::<usize>();
            assert_eq!((of(0..2), of(2..5), of(5..9)), (3000, 3000, 3000), "{most}: {read:?}");
        }
    }

    #[tokio::test]
    async fn a_reset_plan_is_run_again() {
        let state = Arc::new(SharedState::default());
        let numbers = Int64Array::from_iter_values(0..10);
        let batch = RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)]).expect("a batch");
        let schema = batch.schema();
        let rows = MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(&schema), None);
        let spread =
            RepartitionExec::try_new(rows.expect("rows"), Partitioning::RoundRobinBatch(2));
        let first =
            SharedExec::new(Arc::new(spread.expect("an exchange")), 0, 1 << 20, state.clone());
        let leaf = SharedExec::leaf(schema, 1, 0, 1 << 20, state);
        let mut plan: Arc<dyn ExecutionPlan> =
            UnionExec::try_new(vec![Arc::new(leaf), Arc::new(first)]).expect("a union");
        plan = TellReaders.optimize(plan, &ConfigOptions::default()).expect("a plan");
        for _ in 0..3 {
            let read = collect(Arc::clone(&plan), Arc::new(TaskContext::default())).await;
            assert_eq!(read.expect("rows").iter().map(RecordBatch::num_rows).sum::<usize>(), 20);
            plan = reset_plan_states(plan).expect("a plan");
        }
    }
}
