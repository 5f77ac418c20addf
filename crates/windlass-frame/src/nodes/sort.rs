//! Sorts and top-k: the order on the device, the rows on the host.

use std::{fmt, sync::Arc};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::DataType};
use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation},
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
        InputDistributionRequirements, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        metrics::{ExecutionPlanMetricsSet, MetricsSet, SpillMetrics},
        sorts::sort::SortExec,
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use windlass_runtime::Pace;

use super::{
    Placed,
    chain::one_line,
    metrics::DeviceMetrics,
    several::Sharing,
    sort_order::{Orderer, Orderers},
    sort_runs::{Runs, Sorted},
    upload::coalesce,
};
use crate::lower::{Unsupported, types::phys_type};

pub(super) const OPERATOR: &str = "DeviceSortExec";

/// First rows kept beside the wanted ones before the surplus is dropped: a few batches, so
/// that small `LIMIT`s do not sort after every batch. A guess.
const KEPT_ROWS: usize = 1 << 16;

/// A sort, or the first rows of one, whose order is found on the device.
///
/// ```text
///   rows ─► keys ─► order (row numbers) ─► rows in order
///   host      device                         host
/// ```
///
/// Text keys become their rank among the texts at hand. With a limit each batch gives its
/// first rows, and the order of those decides: no more than a few times the limit is kept.
/// Rows that are equal in all keys keep their order, so the result is determined. Rows that do
/// not fit the memory limit go to disk in sorted runs, rows whose order does not fit the device
/// are sorted in halves, and DataFusion's operator merges the runs, as it merges those of devices
/// that share the rows; the host's cores order few rows that do not fit alone. Another failure of a device
/// is a [`DeviceFailure`](super::DeviceFailure).
#[derive(Debug)]
pub struct DeviceSortExec {
    sort: Arc<SortExec>,
    placed: Placed,
    /// Time that a row takes, where several devices share them.
    pace: Arc<Pace>,
    metrics: ExecutionPlanMetricsSet,
}

/// Checks that the keys of a sort have a device form.
///
/// # Errors
/// [`Unsupported`] with the reason.
pub fn check_sort(sort: &SortExec) -> Result<(), Unsupported> {
    let schema = sort.input().schema();
    for key in sort.expr() {
        let ty = key.expr.data_type(&schema).map_err(|e| Unsupported::new(e.to_string()))?;
        phys_type(&ty).map_err(|e| Unsupported::new(format!("sort key {key}: {}", e.reason)))?;
    }
    Ok(())
}

impl DeviceSortExec {
    /// In the place of `sort`, over its input.
    pub fn new(sort: Arc<SortExec>, placed: Placed) -> Self {
        Self { sort, placed, pace: Arc::default(), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// Where it runs.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    /// The operator that it stands for.
    pub fn sort(&self) -> &SortExec {
        &self.sort
    }

    /// The first rows of each batch, in order, by one of the devices that share them.
    fn first_of_each(
        &self,
        batches: BoxStream<'static, Result<RecordBatch>>,
        by: Orderers,
        fetch: usize,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let width = by.width(self.sort.input().output_partitioning().partition_count());
        let firsts = batches.map(move |batch| {
            let by = by.clone();
            async move { by.first(batch?, fetch).await }
        });
        firsts.buffered(width).boxed()
    }

    fn over(&self, sort: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let sort = sort.downcast_ref::<SortExec>().cloned().ok_or_else(|| {
            DataFusionError::Internal(format!("expected SortExec, got {}", sort.name()))
        })?;
        Ok(Arc::new(Self::new(Arc::new(sort), self.placed.clone())))
    }
}

/// One sort in progress.
struct Sorter {
    sort: Arc<SortExec>,
    orderer: Orderer,
    /// Where several devices share the rows.
    sharing: Option<Orderers>,
    memory: MemoryReservation,
    context: Arc<TaskContext>,
    partition: usize,
    counts: ExecutionPlanMetricsSet,
    batches: Vec<RecordBatch>,
    rows: usize,
    /// What is sorted already, where not all rows fit at once.
    runs: Runs,
    /// Rows taken in so far; only to check the result.
    taken: usize,
}

/// How often the rows of a batch are in memory until they are sorted: as they came, and in one
/// batch.
const COPIES: usize = 2;

impl Sorter {
    /// Takes a batch in.
    async fn add(mut self, batch: RecordBatch) -> Result<Self> {
        self.taken += batch.num_rows();
        let Some(fetch) = self.sort.fetch() else {
            return self.hold(batch).await;
        };
        // Devices that share the batches gave the first rows already.
        let (this, first) = match batch.num_rows() > fetch {
            true => placed_run(self, move |by| by.first(&batch, fetch)).await?,
            false => (self, batch),
        };
        let this = this.hold(first).await?;
        if this.rows > fetch.saturating_mul(4).max(KEPT_ROWS) {
            let (this, all) = this.all()?;
            let (this, first) = placed_run(this, move |by| by.first(&all, fetch)).await?;
            this.memory.free();
            return this.hold(first).await;
        }
        Ok(this)
    }

    /// Keeps a batch, with its memory. Where there is none left, what is held becomes a run.
    async fn hold(mut self, batch: RecordBatch) -> Result<Self> {
        let bytes = COPIES * batch.get_array_memory_size();
        if let Err(e) = self.memory.try_grow(bytes) {
            if self.sort.fetch().is_some() {
                return Err(e);
            }
            self = self.spill().await?;
            if self.memory.try_grow(bytes).is_err() {
                // The batch is in memory anyway.
                self.rows += batch.num_rows();
                self.batches.push(batch);
                return self.spill().await;
            }
        }
        self.rows += batch.num_rows();
        self.batches.push(batch);
        Ok(self)
    }

    /// All rows held, in one batch, and none held any more.
    fn all(mut self) -> Result<(Self, RecordBatch)> {
        self.rows = 0;
        let all = concat_batches(&self.sort.schema(), &std::mem::take(&mut self.batches))?;
        // What the pieces took is for their order.
        self.memory.shrink(self.memory.size() - self.memory.size() / COPIES);
        Ok((self, all))
    }

    /// The rows held, as sorted runs on disk.
    async fn spill(self) -> Result<Self> {
        let (this, all) = self.all()?;
        if all.num_rows() == 0 {
            return Ok(this);
        }
        let (mut this, runs) = this.sorted(all).await?;
        for run in runs {
            let counts = SpillMetrics::new(&this.counts, this.partition);
            this.runs.spill(run, &this.context, counts)?;
        }
        this.memory.free();
        Ok(this)
    }

    /// The rows of a batch in order, in runs.
    async fn sorted(self, all: RecordBatch) -> Result<(Self, Vec<Sorted>)> {
        match &self.sharing {
            Some(sharing) => {
                let runs = sharing.sorted(&all).await?;
                Ok((self, runs))
            }
            None => placed_run(self, move |by| by.sorted(&all)).await,
        }
    }

    /// The whole result.
    async fn finish(self) -> Result<SendableRecordBatchStream> {
        let (fetch, taken) = (self.sort.fetch(), self.taken);
        let (schema, context) = (self.sort.schema(), Arc::clone(&self.context));
        let this = if self.runs.is_empty() {
            let (this, all) = self.all()?;
            let (mut this, sorted) = match fetch {
                Some(fetch) => {
                    placed_run(this, move |by| by.first(&all, fetch).map(Sorted::in_order)).await?
                }
                None => this.sorted(all).await?,
            };
            if let [one] = &sorted[..] {
                let expected = taken.min(fetch.unwrap_or(usize::MAX));
                debug_assert_eq!(one.rows(), expected, "a sort keeps its rows");
                let limited =
                    matches!(context.memory_pool().memory_limit(), MemoryLimit::Finite(_));
                let batch_rows = context.session_config().batch_size();
                let (one, memory) = (one.clone(), this.memory);
                // The rows are held until the last is out.
                let pieces =
                    stream::iter(one.pieces(batch_rows, limited)).inspect_ok(move |_| _ = &memory);
                return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, pieces)));
            }
            for run in sorted {
                this.runs.hold(run.batch()?);
            }
            this
        } else {
            self.spill().await?
        };
        debug_assert_eq!(this.runs.rows(), taken, "a sort keeps its rows");
        // Runs in memory are held until they are merged.
        let Self { runs, memory, .. } = this;
        let merged = runs.merged(context)?.inspect_ok(move |_| _ = &memory);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, merged)))
    }
}

/// Work of a sort on its device.
async fn placed_run<T: Send + 'static>(
    mut sorter: Sorter,
    work: impl FnOnce(&mut Orderer) -> Result<T> + Send + 'static,
) -> Result<(Sorter, T)> {
    let placed = sorter.orderer.placed.clone();
    let (sorter, result) = placed
        .run(move || {
            let result = work(&mut sorter.orderer);
            (sorter, result)
        })
        .await?;
    Ok((sorter, result?))
}

impl DisplayAs for DeviceSortExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, sort) = (self.placed.name(), one_line(&*self.sort));
        let sort = sort.strip_prefix("SortExec: ").unwrap_or(&sort);
        write!(f, "DeviceSortExec: device={device}, {sort}")
    }
}

impl ExecutionPlan for DeviceSortExec {
    fn name(&self) -> &'static str {
        "DeviceSortExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.sort.properties()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.sort.input_distribution_requirements()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.sort.children()
    }

    fn fetch(&self) -> Option<usize> {
        self.sort.fetch()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let sort = Arc::clone(&self.sort) as Arc<dyn ExecutionPlan>;
        self.over(sort.replace_children(children, options)?)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        super::recompute(self, children)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let sort = Arc::clone(&self.sort) as Arc<dyn ExecutionPlan>;
        self.over(sort.reset_state()?)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.sort.apply_expressions(f)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.sort.input().execute(partition, Arc::clone(&context))?;
        let schema = self.sort.input().schema();
        let widths = self.sort.expr().iter().map(|key| {
            let ty = key.expr.data_type(&schema).unwrap_or(DataType::Null);
            phys_type(&ty).map_or(16, |ty| ty.wide_bytes() + 1)
        });
        let input = coalesce(input, &self.placed, widths.collect());
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let sharing = Sharing::of(&self.placed, &self.pace, OPERATOR);
        let sharing = sharing.map(|sharing| Orderers::new(&self.sort, sharing, &metrics));
        let mut input = match (sharing.clone(), self.fetch()) {
            (Some(sharing), Some(fetch)) => self.first_of_each(input, sharing, fetch),
            _ => input,
        };
        let consumer = MemoryConsumer::new(OPERATOR).with_can_spill(self.sort.fetch().is_none());
        let mut sorter = Sorter {
            sort: Arc::clone(&self.sort),
            orderer: Orderer::new(&self.sort, &self.placed, &metrics),
            sharing,
            memory: consumer.register(context.memory_pool()),
            context,
            partition,
            counts: self.metrics.clone(),
            batches: Vec::new(),
            rows: 0,
            runs: Runs::new(schema, self.sort.expr().clone()),
            taken: 0,
        };
        let rows = stream::once(async move {
            while let Some(batch) = input.try_next().await? {
                sorter = sorter.add(batch).await?;
            }
            sorter.finish().await
        });
        let rows = rows.try_flatten().inspect_ok(move |batch| {
            metrics.baseline.output_rows().add(batch.num_rows());
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.sort.child_stats_requests(partition)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.sort.statistics_from_inputs(inputs, args)
    }
}
