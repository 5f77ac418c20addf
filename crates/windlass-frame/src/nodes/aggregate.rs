//! Group-by with the chain below it fused in.

use std::{fmt, sync::Arc, time::Instant};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{Statistics, runtime::SpawnedTask, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        coalesce_partitions::CoalescePartitionsExec,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
    },
};
use futures::{StreamExt, TryStreamExt, future, stream, stream::BoxStream};
use windlass_device::Queue;
use windlass_kernels::{
    DeviceBatch, KernelError,
    aggregate::{GroupBy, GroupByResult},
    cpu::aggregate::{CpuGroupBy, merge_all},
};

use super::{
    DeviceFailure, DeviceItem, DeviceNode, DeviceStream, HostChain, Placed, Uploaded,
    download::to_host, failure::is_out_of_memory, metrics::DeviceMetrics, upload::upload_one,
};
use crate::{
    batch::{DictionaryLimits, DictionarySet},
    lower::AggregatePlan,
};

/// Rows under which a batch that the device has no memory for is not split further.
/// DataFusion's own batch size.
const LEAST_ROWS: usize = 8192;

/// What an aggregation on a device stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `AggregateExec` of mode Partial: gives states, a partition at a time.
    Partial,
    /// `AggregateExec` of mode Single or SinglePartitioned: gives final values, a partition
    /// at a time.
    Single,
    /// Final over Partial with the exchange between them: reads all partitions, gives final
    /// values in one.
    Merged,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Partial => "Partial",
            Self::Single => "Single",
            Self::Merged => "Merged",
        })
    }
}

/// A group-by whose filters, keys and arguments are one generated kernel, with its table on
/// the device.
///
/// ```text
///   AggregateExec Final
///   RepartitionExec               ─►  DeviceAggregateExec: [filter, project, group by]
///   AggregateExec Partial             DeviceUploadExec
///   ProjectionExec                    (source)
///   FilterExec
///   (source)
/// ```
///
/// The groups come out on the host. When the device fails, the CPU operators start again
/// from the source; where only one of several partitions is aggregated here the source
/// cannot be read again (its partitions share their work), and the node fails with
/// [`DeviceFailure`].
#[derive(Debug)]
pub struct DeviceAggregateExec {
    input: Arc<dyn ExecutionPlan>,
    placed: Placed,
    chain: Arc<HostChain>,
    plan: Arc<AggregatePlan>,
    stage: Stage,
    expected_groups: usize,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl DeviceAggregateExec {
    /// `plan` is what `chain` was lowered to; `input`, a [`super::DeviceUploadExec`], uploads
    /// what it reads. `expected_groups` sizes the first table (0: not known). `limit`: no
    /// more groups than these are wanted.
    ///
    /// # Errors
    /// DataFusion's, when the chain does not suit the input.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        chain: Arc<HostChain>,
        plan: Arc<AggregatePlan>,
        stage: Stage,
        expected_groups: usize,
        limit: Option<usize>,
    ) -> Result<Self> {
        let upload = super::upload::of(&input)?;
        let host = chain.over(Arc::clone(upload.input()))?;
        let mut properties = PlanProperties::clone(host.properties());
        if stage == Stage::Merged {
            properties = properties.with_partitioning(Partitioning::UnknownPartitioning(1));
        }
        let (placed, properties) = (upload.placed().clone(), Arc::new(properties));
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { input, placed, chain, plan, stage, expected_groups, limit, properties, metrics })
    }

    /// The CPU operators that it stands for.
    pub fn chain(&self) -> &HostChain {
        &self.chain
    }

    /// What the device runs.
    pub fn plan(&self) -> &AggregatePlan {
        &self.plan
    }

    /// What it stands for.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether the CPU operators can start again from the source.
    fn can_start_again(&self) -> Result<bool> {
        let source = super::upload::of(&self.input)?.input();
        let partitions = source.output_partitioning().partition_count();
        Ok(self.stage == Stage::Merged || partitions == 1)
    }

    /// The partitions of the input that a partition of the output reads.
    fn uploads(
        &self,
        partition: usize,
        context: &Arc<TaskContext>,
        dictionaries: &Arc<DictionarySet>,
    ) -> Result<Vec<BoxStream<'static, Result<Uploaded>>>> {
        let upload = super::upload::of(&self.input)?;
        let one = |p| upload.uploads(p, Arc::clone(context), Arc::clone(dictionaries));
        if self.stage != Stage::Merged {
            return Ok(vec![one(partition)?]);
        }
        let partitions = upload.input().output_partitioning().partition_count();
        (0..partitions).map(one).collect()
    }
}

impl DeviceNode for DeviceAggregateExec {
    fn placed(&self) -> &Placed {
        &self.placed
    }

    fn execute_on_device(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<DeviceStream> {
        let tables = Arc::clone(&self.plan.tables);
        let dictionaries = Arc::new(DictionarySet::new(tables, DictionaryLimits::default()));
        let uploads = self.uploads(partition, &context, &dictionaries)?;
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let worker = Worker {
            placed: self.placed.clone(),
            plan: Arc::clone(&self.plan),
            stage: self.stage,
            expected_groups: self.expected_groups,
            schema: self.schema(),
            dictionaries,
            metrics,
            queue: None,
            groups: None,
        };
        let run = Run { worker, uploads };
        let again = match self.can_start_again()? {
            true => {
                Some((Arc::clone(&self.chain), Arc::clone(super::upload::of(&self.input)?.input())))
            }
            false => None,
        };
        let limit = self.limit.unwrap_or(usize::MAX);
        let items = stream::once(run.finish(again, partition, context)).try_flatten();
        // No more groups than wanted; which of them is free.
        let items = items.scan(limit, |left, item| {
            future::ready(match item {
                Ok(_) if *left == 0 => None,
                Ok(batch) => {
                    let batch = batch.slice(0, batch.num_rows().min(*left));
                    *left -= batch.num_rows();
                    Some(Ok(DeviceItem::Host(batch)))
                }
                Err(e) => Some(Err(e)),
            })
        });
        Ok(items.boxed())
    }
}

/// An aggregation from its first batch to its groups.
struct Run {
    worker: Worker,
    /// One stream for each partition of the input.
    uploads: Vec<BoxStream<'static, Result<Uploaded>>>,
}

/// The CPU operators and the source to run them over.
type Again = (Arc<HostChain>, Arc<dyn ExecutionPlan>);

impl Run {
    /// The groups, from the device or, where it fails, from the CPU operators.
    async fn finish(
        self,
        again: Option<Again>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let metrics = self.worker.metrics.clone();
        let placed = self.worker.placed.clone();
        let result = if placed.is_host() && self.uploads.len() > 1 {
            self.worker.aggregate_apart(self.uploads).await?
        } else {
            // On a device one table takes all partitions; the order of batches is free.
            let uploads = stream::select_all(self.uploads).boxed();
            self.worker.aggregate(uploads).await?
        };
        match result {
            Ok(batch) => {
                metrics.output(batch.num_rows(), batch.get_array_memory_size());
                Ok(stream::once(future::ready(Ok(batch))).boxed())
            }
            Err(e) => {
                metrics.fallback(&placed, "DeviceAggregateExec", &e);
                let Some((chain, source)) = again else {
                    let (device, operator) = (placed.name(), "DeviceAggregateExec");
                    return Err(DeviceFailure { device, operator, source: e }.into());
                };
                let mut host = chain.again(&source)?;
                let mut partition = partition;
                if host.output_partitioning().partition_count() > 1 {
                    host = Arc::new(CoalescePartitionsExec::new(host));
                    partition = 0;
                }
                let rows = metrics.baseline.output_rows().clone();
                let batches = host.execute(partition, context)?;
                Ok(batches.inspect_ok(move |b| rows.add(b.num_rows())).boxed())
            }
        }
    }
}

/// The group-by and what it needs, moved between the threads that run it.
struct Worker {
    placed: Placed,
    plan: Arc<AggregatePlan>,
    stage: Stage,
    expected_groups: usize,
    schema: SchemaRef,
    dictionaries: Arc<DictionarySet>,
    metrics: DeviceMetrics,
    queue: Option<Box<dyn Queue>>,
    groups: Option<Box<dyn GroupBy>>,
}

impl Worker {
    /// The groups of a stream of batches. The outer error is the input's, the inner one the
    /// device's. When this returns, nothing is being read or uploaded any more.
    async fn aggregate(
        mut self,
        mut uploads: BoxStream<'static, Result<Uploaded>>,
    ) -> Result<Result<RecordBatch, KernelError>> {
        let placed = self.placed.clone();
        while let Some(uploaded) = uploads.try_next().await? {
            let (worker, result) = placed
                .run(move || {
                    let result = self.update(uploaded);
                    (self, result)
                })
                .await?;
            self = worker;
            if let Err(e) = result {
                return Ok(Err(e));
            }
        }
        placed.run(move || self.finish()).await
    }

    /// The groups of several streams on the host: a table and a task for each, merged on
    /// all cores at the end. Errors as for one stream.
    async fn aggregate_apart(
        self,
        uploads: Vec<BoxStream<'static, Result<Uploaded>>>,
    ) -> Result<Result<RecordBatch, KernelError>> {
        let mut tasks = Vec::with_capacity(uploads.len());
        for mut uploads in uploads {
            let (placed, plan) = (self.placed.clone(), Arc::clone(&self.plan));
            let (dictionaries, metrics) = (Arc::clone(&self.dictionaries), self.metrics.clone());
            let expected = self.expected_groups;
            tasks.push(SpawnedTask::spawn(async move {
                let device = &*placed.device;
                let mut groups = match CpuGroupBy::new(&plan.kernel, device, expected) {
                    Ok(groups) => groups,
                    Err(e) => return Ok(Err(e)),
                };
                while let Some(uploaded) = uploads.try_next().await? {
                    let began = Instant::now();
                    let result = uploaded.device.and_then(|batch| {
                        let mut queue = device.queue()?;
                        let mut reservation = device.pool().reserve(0)?;
                        let tables = dictionaries.tables(device, &mut *queue, &mut reservation)?;
                        groups.update(&batch, &tables)
                    });
                    if let Err(e) = result {
                        return Ok(Err(e));
                    }
                    metrics.kernel(&placed, "aggregate", began, uploaded.host.num_rows());
                }
                Ok::<_, DataFusionError>(Ok(groups.into_groups()))
            }));
        }
        let mut parts = Vec::with_capacity(tasks.len());
        for task in tasks {
            let part = task.join_unwind().await;
            match part.map_err(|e| DataFusionError::External(Box::new(e)))?? {
                Ok(groups) => parts.push(groups),
                Err(e) => return Ok(Err(e)),
            }
        }
        let merge = move || {
            let result = merge_all(&self.plan.kernel, parts)?;
            self.rows(&result)
        };
        let merged = SpawnedTask::spawn_blocking(merge).join_unwind().await;
        merged.map_err(|e| DataFusionError::External(Box::new(e)))
    }

    /// The queue and the group-by, made when first used.
    fn started(&mut self) -> Result<(&mut dyn Queue, &mut dyn GroupBy), KernelError> {
        if self.queue.is_none() {
            self.queue = Some(self.placed.device.queue()?);
        }
        if self.groups.is_none() {
            self.groups = Some(self.plan.kernel.start(&self.placed.device, self.expected_groups)?);
        }
        match (&mut self.queue, &mut self.groups) {
            (Some(queue), Some(groups)) => Ok((&mut **queue, &mut **groups)),
            _ => unreachable!("made above"),
        }
    }

    /// Takes a batch, in halves where the device has no memory for its upload. After an
    /// error the state is not to be used.
    fn update(&mut self, uploaded: Uploaded) -> Result<(), KernelError> {
        let Uploaded { host, device } = uploaded;
        let rows = host.num_rows();
        match device {
            Ok(batch) => self.kernel(&batch),
            Err(e) if is_out_of_memory(&e) && rows > LEAST_ROWS => {
                let half = rows / 2;
                for host in [host.slice(0, half), host.slice(half, rows - half)] {
                    let (placed, plan) = (self.placed.clone(), Arc::clone(&self.plan));
                    let dictionaries = Arc::clone(&self.dictionaries);
                    let (queue, _) = self.started()?;
                    let device = upload_one(&placed, queue, &host, &plan.input, &dictionaries);
                    self.update(Uploaded { host, device })?;
                }
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    fn kernel(&mut self, batch: &DeviceBatch) -> Result<(), KernelError> {
        let began = Instant::now();
        let placed = self.placed.clone();
        let dictionaries = Arc::clone(&self.dictionaries);
        let device = &*placed.device;
        let (queue, groups) = self.started()?;
        let mut reservation = device.pool().reserve(0)?;
        let tables = dictionaries.tables(device, queue, &mut reservation)?;
        groups.update(queue, batch, &tables)?;
        // The batch's memory is free again when this returns.
        queue.synchronize()?;
        self.metrics.kernel(&placed, "aggregate", began, batch.rows);
        Ok(())
    }

    /// Reads the groups back.
    fn finish(mut self) -> Result<RecordBatch, KernelError> {
        let began = Instant::now();
        self.started()?;
        let (Some(mut queue), Some(groups)) = (self.queue.take(), self.groups.take()) else {
            unreachable!("just started")
        };
        let result = groups.finish(&mut *queue)?;
        let arrays = result.keys.iter().chain(result.states.iter().flatten());
        let bytes: usize = arrays.map(|a| a.get_array_memory_size()).sum();
        if !self.placed.is_host() {
            self.metrics.downloaded(bytes);
            self.metrics.transfer(&self.placed, "groups", began, (result.groups, bytes));
        }
        self.rows(&result)
    }

    /// The groups as rows of the node's schema.
    fn rows(&self, result: &GroupByResult) -> Result<RecordBatch, KernelError> {
        match self.stage {
            Stage::Partial => self.plan.partial(result, &self.dictionaries, &self.schema),
            _ => self.plan.finals(result, &self.dictionaries, &self.schema),
        }
    }
}

impl DisplayAs for DeviceAggregateExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, fused) = (self.placed.name(), self.chain.lines().join("; "));
        write!(f, "DeviceAggregateExec: device={device}, stage={}, fused=[{fused}]", self.stage)
    }
}

impl ExecutionPlan for DeviceAggregateExec {
    fn name(&self) -> &'static str {
        "DeviceAggregateExec"
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
        Ok(Arc::new(Self::try_new(
            super::upload::only(children, self.name())?,
            Arc::clone(&self.chain),
            Arc::clone(&self.plan),
            self.stage,
            self.expected_groups,
            self.limit,
        )?))
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
        Ok(to_host(items, self.placed.clone(), self.schema(), metrics, &context))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        let merged = self.stage == Stage::Merged;
        vec![ChildStats::At(if merged { None } else { partition })]
    }

    fn statistics_from_inputs(
        &self,
        input: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match self.stage {
            Stage::Merged => self.chain.statistics(&input[0], &StatisticsArgs::new()),
            _ => self.chain.statistics(&input[0], args),
        }
    }
}
