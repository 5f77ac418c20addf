//! Filters and projections as one kernel.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use arrow::array::RecordBatch;
use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
        ReplaceChildrenOptions,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
    },
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use windlass_device::Queue;
use windlass_kernels::{DeviceBatch, KernelError};
use windlass_runtime::Pace;

use super::{
    DeviceItem, DeviceNode, DeviceStream, DeviceUploadExec, HostChain, Origin, Placed, Uploaded,
    download::to_host,
    failure::{failed, is_out_of_memory},
    metrics::{DeviceMetrics, batch_bytes},
    several::Sharing,
    source::Source,
    upload::{Uploader, upload_one},
};
use crate::{
    batch::DictionarySet,
    lower::{OutputColumn, PipelinePlan},
};

/// The node's name, in errors and events.
const OPERATOR: &str = "DevicePipelineExec";

/// Rows under which a batch is not split further after running out of memory: the CPU
/// takes it. DataFusion's own batch size.
const LEAST_ROWS: usize = 8192;

/// A chain of filters and projections, run as one generated kernel: every input column is
/// read once, rows keep their order.
///
/// ```text
///   ProjectionExec a + b
///   FilterExec c > 1        ─►   DevicePipelineExec: [filter c > 1, project a + b]
///   (source)                     DeviceUploadExec: [a, b, c]
///                                (source)
/// ```
///
/// A batch for which the device has no memory is split; one that fails otherwise goes to
/// the CPU operators, or is a [`DeviceFailure`](super::DeviceFailure) where its rows were made on the device.
#[derive(Debug)]
pub struct DevicePipelineExec {
    input: Arc<dyn ExecutionPlan>,
    placed: Placed,
    chain: Arc<HostChain>,
    plan: Arc<PipelinePlan>,
    properties: Arc<PlanProperties>,
    dictionaries: OnceLock<Arc<DictionarySet>>,
    pace: Arc<Pace>,
    metrics: ExecutionPlanMetricsSet,
}

impl DevicePipelineExec {
    /// `plan` is what `chain` was lowered to; `input`, a [`super::DeviceUploadExec`], a
    /// [`super::ResidentHashJoinExec`] or a [`super::ResidentExec`], gives what it reads.
    ///
    /// # Errors
    /// DataFusion's, when the chain does not suit the input.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        chain: Arc<HostChain>,
        plan: Arc<PipelinePlan>,
    ) -> Result<Self> {
        let source = super::source::of(&input)?;
        let properties = Arc::clone(chain.over(Arc::clone(source.host()))?.properties());
        let placed = source.placed().clone();
        let (dictionaries, metrics) = (OnceLock::new(), ExecutionPlanMetricsSet::new());
        let pace = Arc::default();
        Ok(Self { input, placed, chain, plan, properties, dictionaries, pace, metrics })
    }

    /// What gives the batches.
    pub(crate) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The same, for this reason on its device.
    pub(crate) fn because(mut self, reason: Arc<str>) -> Self {
        self.placed.reason = reason;
        self
    }

    /// The CPU operators that it stands for.
    pub fn chain(&self) -> &HostChain {
        &self.chain
    }

    /// What the device runs.
    pub fn plan(&self) -> &PipelinePlan {
        &self.plan
    }
}

impl DeviceNode for DevicePipelineExec {
    fn placed(&self) -> &Placed {
        &self.placed
    }

    fn execute_on_device(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<DeviceStream> {
        let source = super::source::of(&self.input)?;
        let dictionaries = source.dictionaries(&self.plan.tables, &self.dictionaries);
        if let Source::Upload(upload) = source
            && let Some(sharing) = Sharing::of(&self.placed, &self.pace, OPERATOR)
        {
            return self.shared(sharing, upload, partition, context, dictionaries);
        }
        let (uploads, runner) = self.start(partition, context, dictionaries)?;
        let items = stream::try_unfold((uploads, runner), |(mut uploads, runner)| async move {
            let Some(uploaded) = uploads.try_next().await? else { return Ok(None) };
            let (runner, items) = runner.run(uploaded).await?;
            let items = stream::iter(items.into_iter().map(Ok));
            Ok::<_, DataFusionError>(Some((items, (uploads, runner))))
        });
        Ok(items.try_flatten().boxed())
    }
}

impl DevicePipelineExec {
    /// The batches of a partition, coded by `dictionaries`, for a node on the same device. A
    /// failure is a [`DeviceFailure`](super::DeviceFailure): the CPU takes over the query, not the batch.
    ///
    /// # Errors
    /// Those of executing the input.
    pub(crate) fn batches(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
        dictionaries: Arc<DictionarySet>,
    ) -> Result<BoxStream<'static, Result<DeviceBatch>>> {
        let (uploads, runner) = self.start(partition, context, dictionaries)?;
        let batches = stream::try_unfold((uploads, runner), |(mut uploads, runner)| async move {
            let Some(uploaded) = uploads.try_next().await? else { return Ok(None) };
            let (runner, pieces) = runner.pieces(uploaded).await?;
            let mut batches = Vec::with_capacity(pieces.len());
            for (_, result) in pieces {
                let batch = result.map_err(|e| runner.failed(e))?;
                runner.metrics.output(batch.rows, batch_bytes(&batch));
                if batch.rows > 0 {
                    batches.push(Ok(batch));
                }
            }
            Ok::<_, DataFusionError>(Some((stream::iter(batches), (uploads, runner))))
        });
        Ok(batches.try_flatten().boxed())
    }

    fn start(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
        dictionaries: Arc<DictionarySet>,
    ) -> Result<(BoxStream<'static, Result<Uploaded>>, Runner)> {
        let source = super::source::of(&self.input)?;
        let uploads = source.batches(partition, Arc::clone(&context), Arc::clone(&dictionaries))?;
        Ok((uploads, self.runner(partition, context, dictionaries)))
    }

    fn runner(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
        dictionaries: Arc<DictionarySet>,
    ) -> Runner {
        Runner {
            placed: self.placed.clone(),
            chain: Arc::clone(&self.chain),
            plan: Arc::clone(&self.plan),
            outputs: self.plan.outputs.clone().into(),
            dictionaries,
            context,
            metrics: DeviceMetrics::new(&self.metrics, partition),
            queue: None,
        }
    }

    /// The rows of a partition in their order, each batch by one of the devices that share them.
    fn shared(
        &self,
        sharing: Sharing,
        upload: &DeviceUploadExec,
        partition: usize,
        context: Arc<TaskContext>,
        dictionaries: Arc<DictionarySet>,
    ) -> Result<DeviceStream> {
        let batches = upload.to_share(upload.input(), partition, Arc::clone(&context))?;
        let uploader =
            upload.uploader_to_share(upload.input(), partition, Arc::clone(&dictionaries));
        let runner = self.runner(partition, context, dictionaries);
        let streams = self.properties.output_partitioning().partition_count();
        let width = sharing.width(streams);
        let items = batches.map(move |batch| {
            let placed = &runner.placed;
            let (sharing, own) = (sharing.clone(), (uploader.on(placed), runner.on(placed)));
            async move { anywhere(sharing, own, batch?).await }
        });
        let items = items.buffered(width).map_ok(|items| stream::iter(items.into_iter().map(Ok)));
        Ok(items.try_flatten().boxed())
    }
}

/// What a batch gives on one of several devices.
async fn anywhere(
    sharing: Sharing,
    (uploader, runner): (Uploader, Runner),
    batch: RecordBatch,
) -> Result<Vec<DeviceItem>> {
    let home = uploader.home(&batch);
    loop {
        let (mut uploader, mut runner) = (uploader.on(&runner.placed), runner.on(&runner.placed));
        let host = batch.clone();
        let compute = move |placed: Placed| {
            uploader.placed = placed.clone();
            runner.placed = placed;
            let (device, mut pieces) = (uploader.upload(&host), Vec::new());
            runner.compute(Uploaded { host: Some(host), device }, &mut pieces);
            (runner, pieces)
        };
        let (runner, pieces) = sharing.run(batch.num_rows(), home.clone(), compute).await?;
        let mut failed = pieces.iter().filter_map(|(_, result)| result.as_ref().err());
        if !failed.any(|e| sharing.elsewhere(&runner.placed, e)) {
            return Ok(runner.items(pieces).await?.1);
        }
    }
}

/// Runs the kernel over one batch after the other, on a queue of its own.
struct Runner {
    placed: Placed,
    chain: Arc<HostChain>,
    plan: Arc<PipelinePlan>,
    outputs: Arc<[OutputColumn]>,
    dictionaries: Arc<DictionarySet>,
    context: Arc<TaskContext>,
    metrics: DeviceMetrics,
    queue: Option<Box<dyn Queue>>,
}

/// A piece of a batch, with its rows on the host if they come from there.
type Piece = (Option<RecordBatch>, Result<DeviceBatch, KernelError>);

impl Runner {
    /// The pieces of a batch, off the async threads.
    async fn pieces(mut self, uploaded: Uploaded) -> Result<(Self, Vec<Piece>)> {
        let placed = self.placed.clone();
        placed
            .run(move || {
                let mut pieces = Vec::new();
                self.compute(uploaded, &mut pieces);
                (self, pieces)
            })
            .await
    }

    async fn run(self, uploaded: Uploaded) -> Result<(Self, Vec<DeviceItem>)> {
        let (this, pieces) = self.pieces(uploaded).await?;
        this.items(pieces).await
    }

    /// The same for batches on one of the devices that share them.
    fn on(&self, placed: &Placed) -> Self {
        Self {
            placed: placed.clone(),
            chain: Arc::clone(&self.chain),
            plan: Arc::clone(&self.plan),
            outputs: Arc::clone(&self.outputs),
            dictionaries: Arc::clone(&self.dictionaries),
            context: Arc::clone(&self.context),
            metrics: self.metrics.clone(),
            queue: None,
        }
    }

    /// The rows of pieces; the CPU takes those that failed.
    async fn items(self, pieces: Vec<Piece>) -> Result<(Self, Vec<DeviceItem>)> {
        let this = self;
        let mut items = Vec::with_capacity(pieces.len());
        for (host, result) in pieces {
            let origin = host.map(|batch| Origin {
                batch,
                chain: Arc::clone(&this.chain),
                context: Arc::clone(&this.context),
            });
            match (result, origin) {
                (Ok(batch), origin) => {
                    this.metrics.output(batch.rows, batch_bytes(&batch));
                    if batch.rows > 0 {
                        items.push(DeviceItem::Device {
                            batch,
                            outputs: Arc::clone(&this.outputs),
                            dictionaries: Arc::clone(&this.dictionaries),
                            origin,
                            placed: this.placed.clone(),
                        });
                    }
                }
                (Err(e), None) => return Err(this.failed(e)),
                (Err(e), Some(origin)) => {
                    this.metrics.fallback(&this.placed, OPERATOR, &e);
                    let batches = origin.compute().await?;
                    let rows = batches.iter().map(RecordBatch::num_rows).sum();
                    let bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum();
                    this.metrics.output(rows, bytes);
                    items.extend(batches.into_iter().map(DeviceItem::Host));
                }
            }
        }
        Ok((this, items))
    }

    /// The failure of the device where the CPU cannot take over the batch.
    fn failed(&self, e: KernelError) -> DataFusionError {
        failed(&self.placed, &self.metrics, OPERATOR, e)
    }

    /// Runs the kernel; over halves when the device has no memory for the whole and the rows
    /// can be uploaded again.
    fn compute(&mut self, uploaded: Uploaded, out: &mut Vec<Piece>) {
        let Uploaded { host, device } = uploaded;
        let result = device.and_then(|batch| self.kernel(&batch));
        match (result, host) {
            (Err(e), Some(host)) if is_out_of_memory(&e) && host.num_rows() > LEAST_ROWS => {
                let (rows, half) = (host.num_rows(), host.num_rows() / 2);
                for host in [host.slice(0, half), host.slice(half, rows - half)] {
                    let device = self.upload(&host);
                    self.compute(Uploaded { host: Some(host), device }, out);
                }
            }
            (result, host) => out.push((host, result)),
        }
    }

    fn upload(&mut self, host: &RecordBatch) -> Result<DeviceBatch, KernelError> {
        let queue = match &mut self.queue {
            Some(queue) => queue,
            none => none.insert(self.placed.device.queue()?),
        };
        upload_one(&self.placed, &mut **queue, host, &self.plan.input, &self.dictionaries)
    }

    fn kernel(&mut self, batch: &DeviceBatch) -> Result<DeviceBatch, KernelError> {
        let began = Instant::now();
        let device = &*self.placed.device;
        let queue = match &mut self.queue {
            Some(queue) => queue,
            none => none.insert(device.queue()?),
        };
        let mut reservation = device.pool().reserve(0)?;
        let tables = self.dictionaries.tables(device, &mut **queue, &mut reservation)?;
        let kernel = &self.plan.kernel;
        let result = kernel.run(device, &mut **queue, &mut reservation, batch, &tables)?;
        // Another queue reads the result.
        queue.synchronize()?;
        self.metrics.kernel(&self.placed, "pipeline", began, batch.rows);
        Ok(result)
    }
}

impl DisplayAs for DevicePipelineExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, fused) = (self.placed.name(), self.chain.lines().join("; "));
        write!(f, "DevicePipelineExec: device={device}, fused=[{fused}]")
    }
}

impl ExecutionPlan for DevicePipelineExec {
    fn name(&self) -> &'static str {
        "DevicePipelineExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
        let input = super::upload::only(children, self.name())?;
        Ok(Arc::new(Self::try_new(input, Arc::clone(&self.chain), Arc::clone(&self.plan))?))
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
        self.chain.apply_expressions(f)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let items = self.execute_on_device(partition, Arc::clone(&context))?;
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        Ok(to_host(items, self.schema(), metrics, &context))
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
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.chain.statistics(&input[0], args)
    }
}
