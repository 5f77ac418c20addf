//! The build side of a join: its rows on the host, its table on the device.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize},
};

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    compute::concat_batches,
};
use datafusion::{
    common::runtime::SpawnedTask,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
    functions_aggregate::min_max::{MaxAccumulator, MinAccumulator},
    logical_expr::{Accumulator, Operator},
    physical_expr::expressions::{BinaryExpr, DynamicFilterPhysicalExpr, Literal},
    physical_plan::{ExecutionPlan, PhysicalExpr, joins::HashJoinExec},
};
use futures::{
    FutureExt, TryStreamExt,
    future::{BoxFuture, Shared},
};
use windlass_kernels::{
    KernelError,
    join::{JoinOptions, JoinTable, Marks},
};

use super::{
    OPERATOR, Parts,
    key_set::{KeySet, MayBeKey},
    shape::Shape,
};
use crate::nodes::{keys::KeyEvaluator, metrics::DeviceMetrics};

/// The build side, made once and shared by the partitions that probe it.
#[derive(Debug)]
pub(super) struct Built {
    /// All its rows.
    pub(super) batch: RecordBatch,
    pub(super) table: JoinTable,
    pub(super) keys: KeyEvaluator,
    /// Rows with a pair that passed the join's filter; only where those decide.
    pub(super) visited: Option<Vec<AtomicBool>>,
    /// Partitions that still probe.
    pub(super) probing: AtomicUsize,
    _memory: MemoryReservation,
}

/// A build side in the making.
pub(super) type Building = Shared<BoxFuture<'static, Result<Arc<Built>, Arc<DataFusionError>>>>;

/// Starts to build from the streams of the build side's partitions, for `probing` partitions.
pub(super) fn start(
    parts: Parts,
    streams: Vec<SendableRecordBatchStream>,
    memory: MemoryReservation,
    metrics: DeviceMetrics,
    probing: usize,
) -> Building {
    let task = async move {
        let built = build(parts, streams, memory, metrics, probing).await;
        built.map(Arc::new).map_err(Arc::new)
    };
    task.boxed().shared()
}

async fn build(
    parts: Parts,
    streams: Vec<SendableRecordBatchStream>,
    memory: MemoryReservation,
    metrics: DeviceMetrics,
    probing: usize,
) -> Result<Built> {
    let mut tasks = Vec::with_capacity(streams.len());
    for stream in streams {
        let mine = memory.new_empty();
        tasks.push(SpawnedTask::spawn(collect(stream, mine)));
    }
    let (mut batches, mut kept) = (Vec::new(), Vec::new());
    for task in tasks {
        let part = task.join_unwind().await.map_err(|e| DataFusionError::External(Box::new(e)))?;
        let (part, mine) = part?;
        batches.extend(part);
        kept.push(mine);
    }
    let schema = parts.join.left().schema();
    let batch = concat_batches(&schema, &batches)?;
    // The rows are held once: the pieces go.
    let held = kept.iter().map(MemoryReservation::size).sum();
    drop((batches, kept));
    memory.try_grow(held)?;
    let shape = Arc::clone(&parts.shape);
    let placed = parts.placed.clone();
    let host = batch.clone();
    let (join, metrics_of) = (Arc::clone(&parts.join), metrics.clone());
    let tells_keys = parts.tells_keys;
    let made = placed
        .run(move || {
            let began = std::time::Instant::now();
            let keys = KeyEvaluator::new(&parts.placed, &parts.left_keys);
            let device = &parts.placed.device;
            let mut queue = device.queue()?;
            let mut reservation = device.pool().reserve(0)?;
            let columns = keys.evaluate(&mut *queue, &mut reservation, &host)?;
            let numbers: Vec<usize> = (0..columns.columns.len()).collect();
            let options = options(&shape, &parts);
            let table = JoinTable::build(
                device,
                &mut *queue,
                &mut reservation,
                &columns,
                &numbers,
                options,
            )?;
            // Other queues read the table.
            queue.synchronize()?;
            metrics_of.kernel(&parts.placed, "join build", began, host.num_rows());
            let keys =
                KeyEvaluator::sharing(&parts.placed, &parts.right_keys, &keys.dictionaries());
            let by_filter = shape.filter.is_some() && shape.ends_with_build_rows();
            let visited =
                by_filter.then(|| (0..host.num_rows()).map(|_| AtomicBool::new(false)).collect());
            Ok::<_, KernelError>((table, keys, visited))
        })
        .await?;
    let (table, keys, visited) = made.map_err(|e| super::failed(&placed, &metrics, e))?;
    publish_keys(&join, &batch, tells_keys)?;
    let probing = AtomicUsize::new(probing);
    tracing::debug!(rows = batch.num_rows(), device = %placed.name(), "{OPERATOR}: built");
    Ok(Built { batch, table, keys, visited, probing, _memory: memory })
}

/// Which build rows the table marks: where the join's filter decides, the host does.
fn options(shape: &Shape, parts: &Parts) -> JoinOptions {
    let marks = match shape.ends_with_build_rows() && shape.filter.is_none() {
        true => Marks::Keys,
        false => Marks::None,
    };
    JoinOptions { null_equals_null: shape.null_equals_null, max_pairs: parts.max_pairs, marks }
}

/// The rows of one partition, with the memory that they take.
pub(super) async fn collect(
    mut stream: SendableRecordBatchStream,
    memory: MemoryReservation,
) -> Result<(Vec<RecordBatch>, MemoryReservation)> {
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        if batch.num_rows() > 0 {
            memory.try_grow(batch.get_array_memory_size())?;
            batches.push(batch);
        }
    }
    Ok((batches, memory))
}

/// The scans' filter that a join tells its keys to, where DataFusion has planned for one.
fn target(produced: &[Arc<dyn PhysicalExpr>]) -> Option<&DynamicFilterPhysicalExpr> {
    produced.iter().find_map(|e| e.downcast_ref::<DynamicFilterPhysicalExpr>())
}

/// Whether a join tells its keys to anyone.
pub(super) fn tells(join: &HashJoinExec) -> bool {
    target(&join.dynamic_expressions_produced()).is_some()
}

/// [`publish`] for the rows of the build side.
fn publish_keys(join: &HashJoinExec, build: &RecordBatch, set: bool) -> Result<()> {
    if !tells(join) {
        return Ok(());
    }
    let keys = join.on().iter().map(|(left, _)| {
        let keys = left.evaluate(build)?;
        keys.into_array(build.num_rows())
    });
    publish(join, &keys.collect::<Result<Vec<_>>>()?, set)
}

/// Tells the probe side's scan the least and the greatest of the build side's `keys`, where
/// DataFusion has planned for it: files and row groups without such keys are not read. With
/// `set`, the keys too, for a scan that tests row by row.
pub(super) fn publish(join: &HashJoinExec, keys: &[ArrayRef], set: bool) -> Result<()> {
    let produced = join.dynamic_expressions_produced();
    let Some(target) = target(&produced) else { return Ok(()) };
    let nulls_match = Shape::of(join).null_equals_null;
    let mut tests: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
    for ((_, right), keys) in join.on().iter().zip(keys) {
        // Zeros of both signs are equal keys, but not in the order of the bounds.
        if keys.data_type().is_floating() {
            continue;
        }
        // A null key that matches nulls lies in no range.
        if keys.is_empty()
            || keys.null_count() == keys.len()
            || nulls_match && keys.null_count() > 0
        {
            continue;
        }
        let ty = keys.data_type();
        let (mut min, mut max) = (MinAccumulator::try_new(ty)?, MaxAccumulator::try_new(ty)?);
        min.update_batch(&[Arc::clone(keys)])?;
        max.update_batch(&[Arc::clone(keys)])?;
        for (op, value) in [(Operator::GtEq, min.evaluate()?), (Operator::LtEq, max.evaluate()?)] {
            let literal = Arc::new(Literal::new(value));
            tests.push(Arc::new(BinaryExpr::new(Arc::clone(right), op, literal)));
        }
        if let Some(keys) = set.then(|| KeySet::of(keys)).flatten() {
            tests.push(Arc::new(MayBeKey::new(Arc::clone(right), keys)));
        }
    }
    if let Some(tests) =
        tests.into_iter().reduce(|a, b| Arc::new(BinaryExpr::new(a, Operator::And, b)))
    {
        target.update(tests)?;
    }
    target.mark_complete();
    Ok(())
}
