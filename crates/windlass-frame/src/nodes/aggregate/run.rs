//! An aggregation from its first batch to its groups: one table on a device; on the host a
//! table for each partition of the input, merged on all cores.

use std::{sync::Arc, time::Instant};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::runtime::SpawnedTask,
    error::{DataFusionError, Result},
    execution::TaskContext,
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, coalesce_partitions::CoalescePartitionsExec,
    },
};
use futures::{StreamExt, TryStreamExt, future, stream, stream::BoxStream};
use windlass_device::Queue;
use windlass_kernels::{
    DeviceBatch, KernelError,
    aggregate::{GroupBy, GroupByResult},
    cpu::aggregate::{CpuGroupBy, Groups, merge},
};

use super::{
    super::{
        DeviceFailure, HostChain, Placed, Uploaded,
        failure::is_out_of_memory,
        metrics::{DeviceMetrics, TakenOver},
        upload::upload_one,
    },
    Stage,
    shared::Shared,
    spilled::Divided,
};
use crate::{batch::DictionarySet, lower::AggregatePlan};

/// Rows under which a batch that the device has no memory for is not split further.
/// DataFusion's own batch size.
pub(super) const LEAST_ROWS: usize = 8192;

/// An aggregation from its first batch to its groups.
pub(super) struct Run {
    pub(super) worker: Worker,
    pub(super) input: Input,
}

/// What an aggregation reads.
pub(super) enum Input {
    /// One stream for each partition.
    Uploads(Vec<BoxStream<'static, Result<Uploaded>>>),
    /// The batches that several devices share.
    Shared(Box<Shared>),
}

/// The CPU operators and the source to run them over.
pub(super) type Again = (Arc<HostChain>, Arc<dyn ExecutionPlan>);

impl Run {
    /// The groups, from the device or, where it fails, from the CPU operators.
    pub(super) async fn finish(
        self,
        again: Option<Again>,
        divided: Option<Divided>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let metrics = self.worker.output.metrics.clone();
        let placed = self.worker.placed.clone();
        let result = match self.input {
            Input::Shared(shared) => shared.groups().await?,
            Input::Uploads(uploads) if placed.is_host() && uploads.len() > 1 => {
                self.worker.aggregate_apart(uploads).await?
            }
            Input::Uploads(uploads) => {
                // On a device one table takes all partitions; the order of batches is free.
                let uploads = stream::select_all(uploads).boxed();
                let batch = self.worker.aggregate(uploads).await?;
                batch.map(|batch| stream::once(future::ready(Ok(batch))).boxed())
            }
        };
        match (result, divided) {
            (Ok(batches), _) => Ok(batches),
            (Err(e), Some(divided)) if is_out_of_memory(&e) => {
                metrics.in_parts(&placed, "DeviceAggregateExec", &e);
                divided.groups(context).await
            }
            (Err(e), _) => {
                metrics.fallback(&placed, "DeviceAggregateExec", &e);
                let Some((chain, source)) = again else {
                    return Err(failure(&placed, e).into());
                };
                let mut host = chain.again(&source)?;
                let mut partition = partition;
                if host.output_partitioning().partition_count() > 1 {
                    host = Arc::new(CoalescePartitionsExec::new(host));
                    partition = 0;
                }
                let rows = metrics.baseline.output_rows().clone();
                let mut taken = TakenOver::new(&metrics, Arc::clone(&host), source);
                let batches = host.execute(partition, context)?;
                let counted = batches.inspect_ok(move |b| {
                    rows.add(b.num_rows());
                    taken.count();
                });
                Ok(counted.boxed())
            }
        }
    }
}

/// What makes rows of groups.
#[derive(Clone)]
pub(super) struct Output {
    pub(super) plan: Arc<AggregatePlan>,
    pub(super) stage: Stage,
    pub(super) schema: SchemaRef,
    pub(super) dictionaries: Arc<DictionarySet>,
    pub(super) metrics: DeviceMetrics,
}

impl Output {
    /// The groups as rows of the node's schema.
    fn rows(&self, result: &GroupByResult) -> Result<RecordBatch, KernelError> {
        let rows = match self.stage {
            Stage::Partial => self.plan.partial(result, &self.dictionaries, &self.schema)?,
            _ => self.plan.finals(result, &self.dictionaries, &self.schema)?,
        };
        self.metrics.output(rows.num_rows(), bytes(result));
        Ok(rows)
    }
}

/// The group-by and what it needs, moved between the threads that run it.
pub(super) struct Worker {
    pub(super) placed: Placed,
    pub(super) output: Output,
    pub(super) expected_groups: usize,
    pub(super) queue: Option<Box<dyn Queue>>,
    pub(super) groups: Option<Box<dyn GroupBy>>,
}

impl Worker {
    /// With no groups yet.
    pub(super) fn new(placed: &Placed, output: Output, expected_groups: usize) -> Self {
        Self { placed: placed.clone(), output, expected_groups, queue: None, groups: None }
    }

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
    ///
    /// Each merged part becomes rows only when it is asked for, so that the groups are not
    /// in memory twice. What a part's rows fail with is a [`DeviceFailure`]: rows of others
    /// may have been given already, so the CPU operators cannot take over here.
    async fn aggregate_apart(
        self,
        uploads: Vec<BoxStream<'static, Result<Uploaded>>>,
    ) -> Result<Result<BoxStream<'static, Result<RecordBatch>>, KernelError>> {
        let mut tasks = Vec::with_capacity(uploads.len());
        for mut uploads in uploads {
            let (placed, plan) = (self.placed.clone(), Arc::clone(&self.output.plan));
            let (dictionaries, metrics) =
                (Arc::clone(&self.output.dictionaries), self.output.metrics.clone());
            let expected = self.expected_groups;
            tasks.push(SpawnedTask::spawn(async move {
                let device = &*placed.device;
                let mut groups = match CpuGroupBy::new(&plan.kernel, device, expected) {
                    Ok(groups) => groups,
                    Err(e) => return Ok(Err(e)),
                };
                while let Some(uploaded) = uploads.try_next().await? {
                    let began = Instant::now();
                    let rows = uploaded.device.as_ref().map_or(0, |batch| batch.rows);
                    let result = uploaded.device.and_then(|batch| {
                        let mut queue = device.queue()?;
                        let mut reservation = device.pool().reserve(0)?;
                        let tables = dictionaries.tables(device, &mut *queue, &mut reservation)?;
                        groups.update(&batch, &tables)
                    });
                    if let Err(e) = result {
                        return Ok(Err(e));
                    }
                    metrics.kernel(&placed, "aggregate", began, rows);
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
        let plan = Arc::clone(&self.output.plan);
        let parts = parts.into_iter().flatten().collect();
        let merged = move || merge(&plan.kernel, parts, rayon::current_num_threads());
        let merged = SpawnedTask::spawn_blocking(merged).join_unwind().await;
        let merged = match merged.map_err(|e| DataFusionError::External(Box::new(e)))? {
            Ok(merged) => merged,
            Err(e) => return Ok(Err(e)),
        };
        if let [_] = &merged[..] {
            // A single part: a failure can still be answered by the CPU operators.
            let rows = merged.into_iter().map(|groups| self.output.rows(&groups.into_result()));
            let rows = rows.collect::<Result<Vec<_>, _>>();
            return Ok(rows.map(|rows| stream::iter(rows.into_iter().map(Ok)).boxed()));
        }
        let (output, placed) = (self.output, self.placed);
        let rows = stream::iter(merged).map(move |groups: Groups| {
            let (output, placed) = (output.clone(), placed.clone());
            async move {
                let rows = move || output.rows(&groups.into_result());
                let rows = SpawnedTask::spawn_blocking(rows).join_unwind().await;
                let rows = rows.map_err(|e| DataFusionError::External(Box::new(e)))?;
                rows.map_err(|e| failure(&placed, e).into())
            }
        });
        Ok(Ok(rows.buffered(rayon::current_num_threads()).boxed()))
    }

    /// The queue and the group-by, made when first used.
    fn started(&mut self) -> Result<(&mut dyn Queue, &mut dyn GroupBy), KernelError> {
        if self.queue.is_none() {
            self.queue = Some(self.placed.device.queue()?);
        }
        if self.groups.is_none() {
            self.groups =
                Some(self.output.plan.kernel.start(&self.placed.device, self.expected_groups)?);
        }
        match (&mut self.queue, &mut self.groups) {
            (Some(queue), Some(groups)) => Ok((&mut **queue, &mut **groups)),
            _ => unreachable!("made above"),
        }
    }

    /// Takes a batch, in halves where the device has no memory for its upload. After an
    /// error the state is not to be used.
    pub(super) fn update(&mut self, uploaded: Uploaded) -> Result<(), KernelError> {
        let Uploaded { host, device } = uploaded;
        match (device, host) {
            (Ok(batch), _) => self.kernel(&batch),
            (Err(e), Some(host)) if is_out_of_memory(&e) && host.num_rows() > LEAST_ROWS => {
                let (rows, half) = (host.num_rows(), host.num_rows() / 2);
                for host in [host.slice(0, half), host.slice(half, rows - half)] {
                    let (placed, plan) = (self.placed.clone(), Arc::clone(&self.output.plan));
                    let dictionaries = Arc::clone(&self.output.dictionaries);
                    let (queue, _) = self.started()?;
                    let device = upload_one(&placed, queue, &host, &plan.input, &dictionaries);
                    self.update(Uploaded { host: Some(host), device })?;
                }
                Ok(())
            }
            (Err(e), _) => Err(e),
        }
    }

    fn kernel(&mut self, batch: &DeviceBatch) -> Result<(), KernelError> {
        let began = Instant::now();
        let placed = self.placed.clone();
        let dictionaries = Arc::clone(&self.output.dictionaries);
        let device = &*placed.device;
        let (queue, groups) = self.started()?;
        let mut reservation = device.pool().reserve(0)?;
        let tables = dictionaries.tables(device, queue, &mut reservation)?;
        groups.update(queue, batch, &tables)?;
        // The batch's memory is free again when this returns.
        queue.synchronize()?;
        self.output.metrics.kernel(&placed, "aggregate", began, batch.rows);
        Ok(())
    }

    /// Reads the groups back.
    pub(super) fn finish(mut self) -> Result<RecordBatch, KernelError> {
        let began = Instant::now();
        self.started()?;
        let (Some(mut queue), Some(groups)) = (self.queue.take(), self.groups.take()) else {
            unreachable!("just started")
        };
        let result = groups.finish(&mut *queue)?;
        let bytes = bytes(&result);
        if !self.placed.is_host() {
            self.output.metrics.downloaded(bytes);
            self.output.metrics.transfer(&self.placed, "groups", began, (result.groups, bytes));
        }
        self.output.rows(&result)
    }
}

/// The failure of this operator when the CPU operators cannot start again.
fn failure(placed: &Placed, source: KernelError) -> DeviceFailure {
    DeviceFailure { device: placed.name(), operator: "DeviceAggregateExec", source }
}

/// Bytes of keys, as values or codes, and states.
fn bytes(result: &GroupByResult) -> usize {
    let arrays = result.keys.iter().chain(result.states.iter().flatten());
    arrays.map(|a| a.get_array_memory_size()).sum()
}
