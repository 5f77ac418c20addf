//! Sorts and top-k: the order on the device, the rows on the host.

use std::{fmt, sync::Arc, time::Instant};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    buffer::ScalarBuffer,
    compute::{concat_batches, take},
    datatypes::DataType,
};
use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation},
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements,
        PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        metrics::{ExecutionPlanMetricsSet, MetricsSet, SpillMetrics},
        sorts::sort::SortExec,
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{TryStreamExt, stream};
use windlass_device::{Queue, Reservation};
use windlass_kernels::{
    DeviceBatch, KernelError,
    sort::{SortKey, sort_indices, top_k},
};

use super::{
    Placed,
    chain::one_line,
    failure::{failed, is_out_of_memory},
    metrics::DeviceMetrics,
    sort_runs::{Runs, Sorted},
    upload::coalesce,
};
use crate::{
    batch::{DictionaryLimits, SharedDictionary, array_bytes, read_words, upload_array},
    lower::{
        Unsupported,
        types::{is_string, phys_type},
    },
};

const OPERATOR: &str = "DeviceSortExec";

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
/// are sorted in halves, and DataFusion's operator merges the runs. Another failure of a device
/// is a [`DeviceFailure`](super::DeviceFailure).
#[derive(Debug)]
pub struct DeviceSortExec {
    sort: Arc<SortExec>,
    placed: Placed,
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
        Self { sort, placed, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// Where it runs.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    /// The operator that it stands for.
    pub fn sort(&self) -> &SortExec {
        &self.sort
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
    placed: Placed,
    metrics: DeviceMetrics,
    memory: MemoryReservation,
    context: Arc<TaskContext>,
    partition: usize,
    counts: ExecutionPlanMetricsSet,
    queue: Option<Box<dyn Queue>>,
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

/// Rows whose order is not found in halves when the device has no memory for it. DataFusion's
/// batch size.
const LEAST_ROWS: usize = 8192;

impl Sorter {
    /// Takes a batch in.
    async fn add(mut self, batch: RecordBatch) -> Result<Self> {
        self.taken += batch.num_rows();
        let Some(fetch) = self.sort.fetch() else {
            return self.hold(batch).await;
        };
        let (this, first) = placed_run(self, move |this| this.first(&batch, fetch)).await?;
        let this = this.hold(first).await?;
        if this.rows > fetch.saturating_mul(4).max(KEPT_ROWS) {
            let (this, all) = this.all()?;
            let (this, first) = placed_run(this, move |this| this.first(&all, fetch)).await?;
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
        let (mut this, runs) = placed_run(this, move |this| this.sorted(&all)).await?;
        for run in runs {
            let counts = SpillMetrics::new(&this.counts, this.partition);
            this.runs.spill(run, &this.context, counts)?;
        }
        this.memory.free();
        Ok(this)
    }

    /// The whole result.
    async fn finish(self) -> Result<SendableRecordBatchStream> {
        let (fetch, taken) = (self.sort.fetch(), self.taken);
        let (schema, context) = (self.sort.schema(), Arc::clone(&self.context));
        let this = if self.runs.is_empty() {
            let (this, all) = self.all()?;
            let (mut this, sorted) = placed_run(this, move |this| match fetch {
                Some(fetch) => this.first(&all, fetch).map(Sorted::in_order),
                None => this.sorted(&all),
            })
            .await?;
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

    /// The rows of a batch in order: in one run, or in those that the device has memory for.
    fn sorted(&mut self, batch: &RecordBatch) -> Result<Vec<Sorted>> {
        let rows = batch.num_rows();
        match self.order(batch, usize::MAX)? {
            Ok(order) => Ok(vec![Sorted { batch: batch.clone(), order: Some(order) }]),
            Err(e) if is_out_of_memory(&e) && rows > LEAST_ROWS => {
                self.metrics.in_parts(&self.placed, OPERATOR, &e);
                let half = rows / 2;
                let mut runs = self.sorted(&batch.slice(0, half))?;
                runs.extend(self.sorted(&batch.slice(half, rows - half))?);
                Ok(runs)
            }
            Err(e) => Err(self.failed(e)),
        }
    }

    fn failed(&self, e: KernelError) -> DataFusionError {
        failed(&self.placed, &self.metrics, OPERATOR, e)
    }

    /// The first rows of a batch, in order.
    fn first(&mut self, batch: &RecordBatch, k: usize) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        match self.order(batch, k)? {
            Ok(order) => taken(batch, &order),
            Err(e) if is_out_of_memory(&e) && rows > LEAST_ROWS => {
                self.metrics.in_parts(&self.placed, OPERATOR, &e);
                let half = rows / 2;
                let a = self.first(&batch.slice(0, half), k)?;
                let b = self.first(&batch.slice(half, rows - half), k)?;
                let both = concat_batches(&batch.schema(), [&a, &b])?;
                match both.num_rows() < rows {
                    true => self.first(&both, k),
                    false => Err(self.failed(e)),
                }
            }
            Err(e) => Err(self.failed(e)),
        }
    }

    /// The numbers of the first `k` rows, in order. The inner error is the device's.
    fn order(&mut self, batch: &RecordBatch, k: usize) -> Result<Result<UInt32Array, KernelError>> {
        let began = Instant::now();
        let (mut keys, mut arrays) = (Vec::new(), Vec::new());
        for (column, key) in self.sort.expr().iter().enumerate() {
            let values = key.expr.evaluate(batch)?.into_array(batch.num_rows())?;
            let (descending, nulls_first) = (key.options.descending, key.options.nulls_first);
            keys.push(SortKey { column, descending, nulls_first });
            arrays.push(values);
        }
        let order = self.on_device(arrays, batch.num_rows(), &keys, k);
        if order.is_ok() {
            self.metrics.kernel(&self.placed, "sort", began, batch.num_rows());
        }
        Ok(order)
    }

    fn on_device(
        &mut self,
        arrays: Vec<ArrayRef>,
        rows: usize,
        keys: &[SortKey],
        k: usize,
    ) -> Result<UInt32Array, KernelError> {
        let device = &*self.placed.device;
        let queue = match &mut self.queue {
            Some(queue) => queue,
            none => none.insert(device.queue()?),
        };
        let (batch, mut reservation) = upload_keys(&self.placed, &mut **queue, arrays, rows)?;
        let (order, n) = match k < rows {
            true => top_k(device, &mut **queue, &mut reservation, &batch, keys, k)?,
            false => (sort_indices(device, &mut **queue, &mut reservation, &batch, keys)?, rows),
        };
        let words = read_words(&mut **queue, &order, n)?;
        Ok(UInt32Array::new(ScalarBuffer::new(words, 0, n), None))
    }
}

/// Work of a sort on its device.
async fn placed_run<T: Send + 'static>(
    mut sorter: Sorter,
    work: impl FnOnce(&mut Sorter) -> Result<T> + Send + 'static,
) -> Result<(Sorter, T)> {
    let placed = sorter.placed.clone();
    let (sorter, result) = placed
        .run(move || {
            let result = work(&mut sorter);
            (sorter, result)
        })
        .await?;
    Ok((sorter, result?))
}

/// Rows of a batch by their numbers.
pub(super) fn taken(batch: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|c| Ok(take(c.as_ref(), rows, None)?));
    let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

/// Key columns on the device, texts as their ranks among those at hand; and the reservation
/// that what is made of them may grow.
pub(super) fn upload_keys(
    placed: &Placed,
    queue: &mut dyn Queue,
    arrays: Vec<ArrayRef>,
    rows: usize,
) -> Result<(DeviceBatch, Reservation), KernelError> {
    let device = &*placed.device;
    let arrays = arrays.into_iter().map(|a| match is_string(a.data_type()) {
        true => ranks(&a),
        false => Ok(a),
    });
    let arrays: Vec<ArrayRef> = arrays.collect::<Result<_, KernelError>>()?;
    let bytes = match placed.is_host() {
        true => 0,
        false => arrays.iter().map(|a| array_bytes(a.as_ref())).sum(),
    };
    let mut reservation = device.pool().reserve(bytes)?;
    let columns = arrays.iter().map(|a| upload_array(device, queue, &mut reservation, a));
    let columns = columns.collect::<Result<_, KernelError>>()?;
    Ok((DeviceBatch { rows, columns }, reservation))
}

/// The position of each text among the distinct texts of the array, in their order.
fn ranks(texts: &ArrayRef) -> Result<ArrayRef, KernelError> {
    let dictionary = SharedDictionary::new(&[], DictionaryLimits::default())?;
    let codes = dictionary.encode(texts.as_ref())?;
    let ranks = dictionary.ranks();
    // Null rows have any code; there may be no text at all.
    let rank = |code: &u32| ranks.get(*code as usize).copied().unwrap_or(0);
    let ranked: Vec<u32> = codes.values().iter().map(rank).collect();
    Ok(Arc::new(UInt32Array::new(ranked.into(), codes.nulls().cloned())))
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
        let mut input = coalesce(input, &self.placed, widths.collect());
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let consumer = MemoryConsumer::new(OPERATOR).with_can_spill(self.sort.fetch().is_none());
        let mut sorter = Sorter {
            sort: Arc::clone(&self.sort),
            placed: self.placed.clone(),
            metrics: metrics.clone(),
            memory: consumer.register(context.memory_pool()),
            context,
            partition,
            counts: self.metrics.clone(),
            queue: None,
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
