//! An aggregation whose batches several devices share: a table on each. Few groups are on all, and
//! merged by DataFusion's final aggregation on the host; of many each is on one ([`ByKey`]).
//!
//! ```text
//!   batches ─┬─► cuda:0: table ─► groups with their states ─┐
//!            └─► cuda:1: table ─► groups with their states ─┴─► AggregateExec Final ─► groups
//! ```

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use arrow::array::RecordBatch;
use datafusion::{
    common::runtime::SpawnedTask,
    datasource::memory::MemorySourceConfig,
    error::{DataFusionError, Result},
    execution::TaskContext,
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, aggregates::AggregateExec,
        aggregates::AggregateMode, coalesce_partitions::CoalescePartitionsExec,
        execution_plan::reset_plan_states,
    },
};
use futures::{StreamExt, TryStreamExt, future, stream, stream::BoxStream};
use parking_lot::Mutex;
use windlass_device::DeviceError;
use windlass_kernels::KernelError;

use super::{
    DeviceAggregateExec, Stage,
    exchange::ByKey,
    run::{Output, Worker},
};
use crate::nodes::{
    DeviceUploadExec, HostChain, Placed, Uploaded, failure::is_out_of_memory, metrics::TakenOver,
    several::Sharing,
};

/// Groups from which on each is on one device only. A stated guess: what the host merges in a
/// few milliseconds for each device.
const EXCHANGED_GROUPS: usize = 1 << 17;

/// What the devices share.
pub(super) struct Shared {
    sharing: Sharing,
    upload: Arc<dyn ExecutionPlan>,
    /// The partitions of the input that are aggregated.
    partitions: std::ops::Range<usize>,
    /// What each device gives where all may have any group.
    output: Output,
    /// What each gives where it has the whole of its groups.
    whole: Output,
    expected_groups: usize,
    /// The exchanges and the final aggregation, where final values are asked for.
    above: Option<HostChain>,
    context: Arc<TaskContext>,
}

/// The table of a device, from its first batch on. Who updates it has the lock.
pub(super) type Table = Arc<Mutex<Option<Worker>>>;

/// Another operator lost the device just before this aggregation began.
fn lost_before(placed: Placed) -> (Placed, KernelError) {
    let device = placed.device.info().name.clone();
    let reason = placed.inventory.lost(&device).unwrap_or_else(|| "it was in use before".into());
    (placed, KernelError::Device(DeviceError::Lost { device, reason }))
}

/// Whether the groups of parts of the rows can be merged, for a chain of operators that
/// aggregates at `stage`.
pub(crate) fn can_share(stage: Stage, plan: &crate::lower::AggregatePlan) -> bool {
    stage != Stage::Single && plan.whole_only().is_none()
}

impl Shared {
    /// For the partitions of the input that a partition of the node reads; `None` where one
    /// device aggregates alone.
    pub(super) fn of(
        node: &DeviceAggregateExec,
        output: &Output,
        partition: usize,
        context: &Arc<TaskContext>,
    ) -> Result<Option<Self>> {
        let Some(sharing) = Sharing::of(&node.placed, &node.pace, "DeviceAggregateExec") else {
            return Ok(None);
        };
        let Some(upload) = node.input.downcast_ref::<DeviceUploadExec>() else { return Ok(None) };
        if !can_share(node.stage, &node.plan) {
            return Ok(None);
        }
        let nodes = node.chain.nodes();
        let partial = nodes.iter().position(|n| {
            let aggregate = n.downcast_ref::<AggregateExec>();
            aggregate.is_some_and(|a| *a.mode() == AggregateMode::Partial)
        });
        let Some(partial) = partial else { return Ok(None) };
        let all = upload.input().output_partitioning().partition_count();
        let (partitions, above) = match node.stage {
            Stage::Merged => (0..all, Some(HostChain::new(nodes[partial + 1..].to_vec()))),
            _ => (partition..partition + 1, None),
        };
        let whole = output.clone();
        let mut output = output.clone();
        output.stage = Stage::Partial;
        output.schema = nodes[partial].schema();
        Ok(Some(Self {
            sharing,
            upload: Arc::clone(&node.input),
            partitions,
            output,
            whole,
            expected_groups: node.expected_groups,
            above,
            context: Arc::clone(context),
        }))
    }

    /// The groups. The outer error is the input's, the inner one a device's. A device that is
    /// lost takes its table along: the others start again, where the rows can be read again. So
    /// do all, with each group on one device, where one has no memory for all groups.
    pub(super) async fn groups(
        self,
    ) -> Result<Result<BoxStream<'static, Result<RecordBatch>>, KernelError>> {
        let again = self.above.is_some();
        let keyed = again && !self.output.plan.kernel.keys.is_empty();
        let mut by_key = keyed && self.expected_groups >= EXCHANGED_GROUPS;
        let mut input = Arc::clone(self.source()?);
        let states = loop {
            match self.states(&input, by_key).await? {
                Ok(states) => break states,
                Err((placed, e)) if keyed && !by_key && is_out_of_memory(&e) => {
                    self.whole.metrics.in_parts(&placed, "DeviceAggregateExec", &e);
                    by_key = true;
                    input = reset_plan_states(Arc::clone(&input))?;
                }
                Err((placed, e)) if again && self.sharing.elsewhere(&placed, &e) => {
                    tracing::warn!(device = %placed.name(), error = %e, "the other devices go on");
                    input = reset_plan_states(Arc::clone(&input))?;
                }
                Err((_, e)) => return Ok(Err(e)),
            }
        };
        let Some(above) = self.above.as_ref().filter(|_| !by_key) else {
            return Ok(Ok(stream::iter(states.into_iter().map(Ok)).boxed()));
        };
        let schema = Arc::clone(&self.output.schema);
        let parts: Vec<Vec<RecordBatch>> = states.into_iter().map(|batch| vec![batch]).collect();
        let source: Arc<dyn ExecutionPlan> =
            MemorySourceConfig::try_new_exec(&parts, schema, None)?;
        let mut plan = above.over(Arc::clone(&source))?;
        if plan.output_partitioning().partition_count() > 1 {
            plan = Arc::new(CoalescePartitionsExec::new(plan));
        }
        let mut counted = TakenOver::new(&self.output.metrics, Arc::clone(&plan), source);
        let rows = plan.execute(0, self.context)?;
        Ok(Ok(rows.inspect_ok(move |_| counted.count()).boxed()))
    }

    fn upload(&self) -> Result<&DeviceUploadExec> {
        let upload = self.upload.downcast_ref::<DeviceUploadExec>();
        upload.ok_or_else(|| DataFusionError::Internal("an upload that is none".into()))
    }

    fn source(&self) -> Result<&Arc<dyn ExecutionPlan>> {
        Ok(self.upload()?.input())
    }

    /// The groups of each device with their states. The inner error is that of a device, with
    /// its name.
    async fn states(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        by_key: bool,
    ) -> Result<Result<Vec<RecordBatch>, (Placed, KernelError)>> {
        let upload = self.upload()?;
        let members = self.sharing.members();
        let Some(first) = members.first().cloned() else {
            return Ok(Err(self.sharing.none_left()));
        };
        let tables: Arc<[(Placed, Table)]> =
            members.into_iter().map(|placed| (placed, Table::default())).collect();
        let output = if by_key { &self.whole } else { &self.output };
        let mut batches = Vec::with_capacity(self.partitions.len());
        for partition in self.partitions.clone() {
            batches.push(upload.to_share(input, partition, Arc::clone(&self.context))?);
        }
        let dictionaries = Arc::clone(&self.output.dictionaries);
        let uploader = upload.uploader_to_share(input, self.partitions.start, dictionaries);
        let expected = self.expected_groups;
        let groups = ByKey {
            tables: Arc::clone(&tables),
            output: output.clone(),
            expected_groups: expected,
        };
        // After an error no more batches are begun.
        let failed = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&failed);
        let batches =
            stream::select_all(batches).take_while(move |_| future::ready(!stop.load(Relaxed)));
        let updates = batches.map(move |batch| {
            let mut uploader = uploader.on(&first);
            let (groups, sharing) = (groups.clone(), self.sharing.clone());
            async move {
                let batch = batch?;
                let rows = batch.num_rows();
                let home = uploader.home(&batch);
                let update = move |placed: Placed| {
                    let name = &placed.device.info().name;
                    let mut tables = groups.tables.iter();
                    let table = tables.find(|(of, _)| of.device.info().name == *name);
                    let Some((_, table)) = table else { return Err(lost_before(placed)) };
                    uploader.placed = placed.clone();
                    if by_key {
                        return groups.update(&mut uploader, &batch);
                    }
                    let device = uploader.upload(&batch);
                    let mut table = table.lock();
                    let output = groups.output.clone();
                    let worker =
                        table.get_or_insert_with(|| Worker::new(&placed, output, expected));
                    let updated = worker.update(Uploaded { host: Some(batch), device });
                    updated.map_err(|e| (placed, e))
                };
                sharing.run(rows, home, update).await
            }
        });
        let mut updates = updates.buffer_unordered(self.sharing.width(1));
        while let Some(updated) = updates.try_next().await? {
            if let Err(e) = updated {
                failed.store(true, Relaxed);
                // What comes next wants the memory of those that were begun.
                while updates.next().await.is_some() {}
                return Ok(Err(e));
            }
        }
        drop(updates);
        let mut ending = Vec::with_capacity(tables.len());
        // Without any rows one device says so.
        let none = tables.iter().all(|(_, table)| table.lock().is_none());
        for (at, (placed, table)) in tables.iter().enumerate() {
            let worker = match table.lock().take() {
                Some(worker) => worker,
                None if none && at == 0 => {
                    Worker::new(placed, output.clone(), self.expected_groups)
                }
                None => continue,
            };
            let task = SpawnedTask::spawn_blocking(move || worker.finish());
            ending.push((placed.clone(), task));
        }
        let mut states = Vec::with_capacity(ending.len());
        for (placed, task) in ending {
            let part = task.join_unwind().await;
            match part.map_err(|e| DataFusionError::External(Box::new(e)))? {
                Ok(batch) => states.push(batch),
                Err(e) => return Ok(Err((placed, e))),
            }
        }
        Ok(Ok(states))
    }
}
