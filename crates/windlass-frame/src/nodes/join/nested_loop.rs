//! Joins without equal keys: the pairs are tested on the device, the rows stay on the host.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::Instant,
};

use arrow::{
    array::{ArrayRef, RecordBatch, UInt32Array},
    compute::concat_batches,
    datatypes::{DataType, Field, Schema},
};
use datafusion::{
    common::{JoinSide, JoinType, Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::expressions::Column,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan,
        ExecutionPlanProperties, InputDistributionRequirements, PhysicalExpr, PlanProperties,
        ReplaceChildrenOptions,
        joins::NestedLoopJoinExec,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{
    FutureExt, TryStreamExt,
    future::{BoxFuture, Shared},
    stream,
};
use parking_lot::Mutex;
use windlass_device::{Queue, Reservation};
use windlass_kernels::{DeviceBatch, DeviceColumn, KernelError, gather};

use super::{
    build::collect,
    shape::{Shape, Side},
};
use crate::{
    batch::{DictionaryLimits, DictionarySet, read_words, upload_array},
    lower::{InputPlan, Lowering, PipelinePlan, Unsupported},
    nodes::{
        DeviceFailure, Placed,
        chain::one_line,
        download::slices,
        metrics::DeviceMetrics,
        upload::{coalesce, target_rows, upload_one},
    },
};

/// The node's name, in errors and events.
const OPERATOR: &str = "DeviceNestedLoopJoinExec";

/// Most pairs that are tested at once on the host, a few batches; a guess.
const HOST_PAIRS: usize = 1 << 15;

/// A join on a condition other than equal keys, each pair tested on the device.
///
/// ```text
///    left rows ─► columns of the condition ─► repeated for k right rows          (once)
///                                                   │
///   right rows ─► columns of the condition ─► k rows ─► pairs ─► condition ─► row numbers
///                                                                                  │
///                                                     rows of both sides ◄─────────┘
///    host               device                       host
/// ```
///
/// The columns that the condition reads are uploaded once for each side. Pairs are made in
/// pieces that suit the device's free memory: the left columns lie there repeated for as many
/// right rows as a piece takes, and a left side of more rows than that is cut into blocks. The
/// condition is one generated kernel, which leaves the numbers of the rows whose pair passed;
/// these come back, and the rows of both sides, columns of any type among them, are picked on
/// the host. A condition that is false or null drops its pair.
///
/// Its rows are those of DataFusion's `NestedLoopJoinExec`, of all kinds of join, in no order.
/// A device's failure is a [`DeviceFailure`].
#[derive(Debug)]
pub struct DeviceNestedLoopJoinExec {
    parts: Parts,
    shared: Mutex<Option<Building>>,
    metrics: ExecutionPlanMetricsSet,
}

/// What a build needs, cheap to clone.
#[derive(Debug, Clone)]
struct Parts {
    /// The operator that it stands for.
    join: Arc<NestedLoopJoinExec>,
    shape: Arc<Shape>,
    placed: Placed,
    test: Arc<PairTest>,
}

/// Where an input of a condition's program is from.
#[derive(Debug, Clone, Copy)]
enum From {
    /// This column of the left side's upload.
    Left(usize),
    /// This column of the right side's upload.
    Right(usize),
    /// The number of the left row in its block.
    LeftRow,
    /// The number of the right row in its piece.
    RightRow,
}

/// The condition of a join, lowered over pairs of rows.
#[derive(Debug)]
pub struct PairTest {
    /// The condition as a filter; its outputs are the two row numbers.
    plan: PipelinePlan,
    inputs: Vec<From>,
    left: InputPlan,
    right: InputPlan,
}

impl PairTest {
    /// Lowers the condition of a join.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason.
    pub fn lower(join: &NestedLoopJoinExec) -> Result<Self, Unsupported> {
        let Some(condition) = join.filter() else {
            return Err(Unsupported::new("it has no condition to test on a device"));
        };
        let columns = condition.schema().fields();
        let number = |name: &str| Arc::new(Field::new(name, DataType::UInt32, false));
        let mut fields: Vec<_> = columns.iter().cloned().collect();
        fields.extend([number("left row"), number("right row")]);
        let first = columns.len();
        let mut lowering = Lowering::new(Arc::new(Schema::new(fields.clone())));
        lowering.filter(condition.expression())?;
        let numbers = [first, first + 1]
            .map(|at| Arc::new(Column::new(fields[at].name(), at)) as Arc<dyn PhysicalExpr>);
        let outputs = fields[first..].to_vec();
        lowering.project(&numbers, Arc::new(Schema::new(outputs)))?;
        let plan = lowering.finish()?;
        let side = |schema| InputPlan { schema, columns: Vec::new() };
        let (mut left, mut right) = (side(join.left().schema()), side(join.right().schema()));
        let mut inputs = Vec::with_capacity(plan.input.columns.len());
        for column in &plan.input.columns {
            if column.source >= first {
                let left = column.source == first;
                inputs.push(if left { From::LeftRow } else { From::RightRow });
                continue;
            }
            let from = &condition.column_indices()[column.source];
            let of_left = from.side == JoinSide::Left;
            let side = if of_left { &mut left } else { &mut right };
            let at = side.columns.len();
            inputs.push(if of_left { From::Left(at) } else { From::Right(at) });
            let mut column = column.clone();
            column.source = from.index;
            side.columns.push(column);
        }
        Ok(Self { plan, inputs, left, right })
    }

    /// What the device runs.
    pub fn plan(&self) -> &PipelinePlan {
        &self.plan
    }

    /// What is uploaded of the left and of the right side.
    pub fn sides(&self) -> [&InputPlan; 2] {
        [&self.left, &self.right]
    }

    /// Bytes of a pair's columns, and of its numbers.
    fn widths(&self) -> Vec<usize> {
        let columns = self.left.columns.iter().chain(&self.right.columns);
        columns.map(|c| c.ty.wide_bytes() + 4).chain([16]).collect()
    }
}

impl DeviceNestedLoopJoinExec {
    /// In the place of `join`, over its inputs.
    ///
    /// # Errors
    /// DataFusion's, for a join that it would not take itself.
    pub fn try_new(join: &NestedLoopJoinExec, placed: Placed, test: Arc<PairTest>) -> Result<Self> {
        // A state of its own.
        let join = NestedLoopJoinExec::try_new(
            Arc::clone(join.left()),
            Arc::clone(join.right()),
            join.filter().cloned(),
            join.join_type(),
            join.projection().as_deref().map(<[usize]>::to_vec),
        )?;
        let sides = (join.left().schema(), join.right().schema());
        let projection = join.projection().as_deref();
        let shape = Shape::new(*join.join_type(), sides, projection, join.schema());
        let parts = Parts { join: Arc::new(join), shape: Arc::new(shape), placed, test };
        Ok(Self { parts, shared: Mutex::default(), metrics: ExecutionPlanMetricsSet::new() })
    }

    /// Where it runs.
    pub fn placed(&self) -> &Placed {
        &self.parts.placed
    }

    /// The left side for a partition.
    fn building(&self, metrics: &DeviceMetrics, context: &Arc<TaskContext>) -> Result<Building> {
        let mut shared = self.shared.lock();
        if let Some(building) = &*shared {
            return Ok(building.clone());
        }
        let join = &self.parts.join;
        let left = join.left().execute(0, Arc::clone(context))?;
        let memory = MemoryConsumer::new(OPERATOR).register(context.memory_pool());
        let probing = join.right().output_partitioning().partition_count();
        let (parts, metrics) = (self.parts.clone(), metrics.clone());
        let task = async move {
            let built = build(parts, left, memory, metrics, probing).await;
            built.map(Arc::new).map_err(Arc::new)
        };
        Ok(shared.insert(task.boxed().shared()).clone())
    }
}

/// The failure of the device.
fn failed(placed: &Placed, metrics: &DeviceMetrics, e: KernelError) -> DataFusionError {
    metrics.fallback(placed, OPERATOR, &e);
    DeviceFailure { device: placed.name(), operator: OPERATOR, source: e }.into()
}

/// A left side in the making.
type Building = Shared<BoxFuture<'static, Result<Arc<Built>, Arc<DataFusionError>>>>;

/// The left side, made once and shared by the partitions of the right side.
#[derive(Debug)]
struct Built {
    /// All its rows.
    batch: RecordBatch,
    blocks: Vec<Block>,
    /// Right rows of a piece.
    repeat: usize,
    dictionaries: Arc<DictionarySet>,
    /// Rows with a pair; only where those decide.
    visited: Option<Vec<AtomicBool>>,
    /// Partitions that still probe.
    probing: AtomicUsize,
    _memory: MemoryReservation,
}

/// Some rows of the left side on the device, each repeated once for each right row of a piece:
/// pair `i` is of left row `i % rows` and right row `i / rows`.
#[derive(Debug)]
struct Block {
    /// The number of its first row.
    first: usize,
    rows: usize,
    /// Its columns, pair by pair.
    columns: DeviceBatch,
    /// The numbers of both rows of a pair.
    numbers: [DeviceColumn; 2],
}

/// Rows of the left side in a block of at most `pairs` pairs, and right rows of a piece.
fn cut(left: usize, pairs: usize) -> (usize, usize) {
    let rows = left.min(pairs).max(1);
    (rows, (pairs / rows).max(1))
}

async fn build(
    parts: Parts,
    left: SendableRecordBatchStream,
    memory: MemoryReservation,
    metrics: DeviceMetrics,
    probing: usize,
) -> Result<Built> {
    let (batches, kept) = collect(left, memory.new_empty()).await?;
    let batch = concat_batches(&parts.join.left().schema(), &batches)?;
    // The rows are held once: the pieces go.
    let held = kept.size();
    drop((batches, kept));
    memory.try_grow(held)?;
    let tables = Arc::clone(&parts.test.plan.tables);
    let dictionaries = Arc::new(DictionarySet::new(tables, DictionaryLimits::default()));
    let (placed, host) = (parts.placed.clone(), batch.clone());
    let ends = parts.shape.ends_with_build_rows();
    let (texts, metrics_of) = (Arc::clone(&dictionaries), metrics.clone());
    let test = Arc::clone(&parts.test);
    let made = placed
        .run(move || {
            let began = Instant::now();
            let device = &*parts.placed.device;
            let mut queue = device.queue()?;
            let mut reservation = device.pool().reserve(0)?;
            let all = upload_one(&parts.placed, &mut *queue, &host, &test.left, &texts)?;
            let (rows, repeat) = cut(all.rows, piece_pairs(&parts.placed, &test));
            let mut blocks = Vec::new();
            for first in (0..all.rows).step_by(rows) {
                let rows = rows.min(all.rows - first);
                let (queue, memory) = (&mut *queue, &mut reservation);
                let part = gather::slice(device, queue, memory, &all, first, rows)?;
                let pairs = 0..(rows * repeat) as u32;
                let left: UInt32Array = pairs.clone().map(|i| i % rows as u32).collect();
                let right: UInt32Array = pairs.map(|i| i / rows as u32).collect();
                let mut number = |array: UInt32Array| {
                    upload_array(device, queue, memory, &(Arc::new(array) as ArrayRef))
                };
                let numbers = [number(left)?, number(right)?];
                let (n, of_left) = (rows * repeat, &numbers[0].values);
                let columns = gather::gather(device, queue, memory, &part, of_left, n, false)?;
                blocks.push(Block { first, rows, columns, numbers });
            }
            // Other queues read the blocks.
            queue.synchronize()?;
            metrics_of.kernel(&parts.placed, "pairs build", began, host.num_rows());
            Ok::<_, KernelError>((blocks, repeat))
        })
        .await?;
    let (blocks, repeat) = made.map_err(|e| failed(&placed, &metrics, e))?;
    let flags = || (0..batch.num_rows()).map(|_| AtomicBool::new(false)).collect();
    let visited = ends.then(flags);
    let probing = AtomicUsize::new(probing);
    Ok(Built { batch, blocks, repeat, dictionaries, visited, probing, _memory: memory })
}

/// Pairs of a piece.
fn piece_pairs(placed: &Placed, test: &PairTest) -> usize {
    match placed.is_host() {
        true => HOST_PAIRS,
        false => target_rows(placed, &test.widths()),
    }
}

/// Takes the right rows of one partition, on a queue of its own.
struct Prober {
    parts: Parts,
    built: Arc<Built>,
    metrics: DeviceMetrics,
    queue: Option<Box<dyn Queue>>,
    /// Most rows of a batch of the result.
    batch_rows: usize,
}

impl Prober {
    fn on_device<T>(&self, result: Result<T, KernelError>) -> Result<T> {
        result.map_err(|e| failed(&self.parts.placed, &self.metrics, e))
    }

    /// The rows that a right batch gives.
    fn probe(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let began = Instant::now();
        let (shape, built) = (Arc::clone(&self.parts.shape), Arc::clone(&self.built));
        let device = Arc::clone(&self.parts.placed.device);
        let mut queue = match self.queue.take() {
            Some(queue) => queue,
            None => self.on_device(device.queue().map_err(KernelError::from))?,
        };
        let reserved = device.pool().reserve(0).map_err(KernelError::from);
        let mut reservation = self.on_device(reserved)?;
        let (placed, test) = (&self.parts.placed, &self.parts.test);
        let columns = upload_one(placed, &mut *queue, batch, &test.right, &built.dictionaries);
        let columns = self.on_device(columns)?;
        let mut matched = vec![false; batch.num_rows()];
        let mut out = Vec::new();
        for first in (0..columns.rows).step_by(built.repeat) {
            let rows = built.repeat.min(columns.rows - first);
            for block in &built.blocks {
                let pairs =
                    self.pairs(&mut *queue, &mut reservation, block, (&columns, first, rows));
                let (left, right) = self.on_device(pairs)?;
                right.values().iter().for_each(|row| matched[*row as usize] = true);
                if let Some(visited) = &built.visited {
                    left.values().iter().for_each(|r| visited[*r as usize].store(true, Relaxed));
                }
                if shape.gives_pairs() && !left.is_empty() {
                    let (l, r) = (Side::Rows(&built.batch, &left), Side::Rows(batch, &right));
                    self.push(shape.batch(l, r, None, left.len())?, &mut out);
                }
            }
        }
        self.queue = Some(queue);
        let rows = |wanted: bool| -> UInt32Array {
            (0..batch.num_rows() as u32).filter(|r| matched[*r as usize] == wanted).collect()
        };
        match shape.join_type {
            JoinType::Right | JoinType::Full => {
                let rest = rows(false);
                if !rest.is_empty() {
                    let right = Side::Rows(batch, &rest);
                    self.push(shape.batch(Side::Nulls, right, None, rest.len())?, &mut out);
                }
            }
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                let wanted = shape.join_type != JoinType::RightAnti;
                if let Some(made) = shape.probe_rows(batch, &rows(wanted))? {
                    self.push(made, &mut out);
                }
            }
            _ => {}
        }
        self.metrics.kernel(&self.parts.placed, "pairs", began, batch.num_rows());
        Ok(out)
    }

    /// The numbers of the rows of both sides whose pair passes, of a block and `rows` rows of
    /// `columns` from `first` on.
    fn pairs(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        block: &Block,
        (columns, first, rows): (&DeviceBatch, usize, usize),
    ) -> Result<(UInt32Array, UInt32Array), KernelError> {
        let (device, test) = (&*self.parts.placed.device, &self.parts.test);
        let n = block.rows * rows;
        let part = gather::slice(device, queue, reservation, columns, first, rows)?;
        let of_right = &block.numbers[1].values;
        let right = gather::gather(device, queue, reservation, &part, of_right, n, false)?;
        let of = |from: &From| match from {
            From::Left(at) => block.columns.columns[*at].clone(),
            From::Right(at) => right.columns[*at].clone(),
            From::LeftRow => block.numbers[0].clone(),
            From::RightRow => block.numbers[1].clone(),
        };
        let pairs = DeviceBatch { rows: n, columns: test.inputs.iter().map(of).collect() };
        let tables = self.built.dictionaries.tables(device, queue, reservation)?;
        let kept = test.plan.kernel.run(device, queue, reservation, &pairs, &tables)?;
        let mut numbers = |at: usize, from: usize| {
            let words = read_words(queue, &kept.columns[at].values, kept.rows)?;
            let words = words.typed_data::<u32>().iter();
            Ok::<_, KernelError>(words.map(|row| row + from as u32).collect::<UInt32Array>())
        };
        Ok((numbers(0, block.first)?, numbers(1, first)?))
    }

    fn push(&self, batch: RecordBatch, out: &mut Vec<RecordBatch>) {
        self.metrics.baseline.output_rows().add(batch.num_rows());
        out.extend(slices(batch, self.batch_rows));
    }

    /// The left rows that come out when all partitions have probed; empty but for the last of
    /// them.
    fn end(&mut self) -> Result<Vec<RecordBatch>> {
        let mut out = Vec::new();
        let Some(visited) = &self.built.visited else { return Ok(out) };
        if self.built.probing.fetch_sub(1, AcqRel) > 1 {
            return Ok(out);
        }
        let shape = &self.parts.shape;
        let wanted = shape.wants_matched_build_rows();
        let rows = (0..visited.len() as u32)
            .filter(|r| visited[*r as usize].load(Relaxed) == wanted)
            .collect();
        for made in shape.build_rows(&self.built.batch, rows, self.batch_rows)? {
            self.push(made, &mut out);
        }
        Ok(out)
    }
}

/// The result of one partition, batch by batch.
async fn probe(
    parts: Parts,
    building: Building,
    right: SendableRecordBatchStream,
    metrics: DeviceMetrics,
    batch_rows: usize,
) -> Result<impl futures::Stream<Item = Result<RecordBatch>>> {
    let built = building.await.map_err(DataFusionError::Shared)?;
    let idle = built.batch.num_rows() == 0 && parts.shape.needs_build_rows();
    let widths = parts.test.right.columns.iter().map(|c| c.ty.wide_bytes() + 1);
    let right = coalesce(right, &parts.placed, widths.collect());
    let prober = Prober { parts, built, metrics, queue: None, batch_rows };
    let state = (!idle).then_some((right, prober));
    let batches = stream::try_unfold(state, |state| async move {
        let Some((mut right, mut prober)) = state else { return Ok(None) };
        let batch = right.try_next().await?;
        let placed = prober.parts.placed.clone();
        let (prober, ended, out) = placed
            .run(move || {
                let out = match &batch {
                    Some(batch) => prober.probe(batch),
                    None => prober.end(),
                };
                (prober, batch.is_none(), out)
            })
            .await?;
        let out = stream::iter(out?.into_iter().map(Ok));
        Ok::<_, DataFusionError>(Some((out, (!ended).then_some((right, prober)))))
    });
    Ok(batches.try_flatten())
}

impl DisplayAs for DeviceNestedLoopJoinExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, join) = (self.parts.placed.name(), one_line(&*self.parts.join));
        let join = join.strip_prefix("NestedLoopJoinExec: ").unwrap_or(&join);
        write!(f, "{OPERATOR}: device={device}, {join}")
    }
}

impl ExecutionPlan for DeviceNestedLoopJoinExec {
    fn name(&self) -> &'static str {
        OPERATOR
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.parts.join.properties()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.parts.join.input_distribution_requirements()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.parts.join.children()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let join = Arc::clone(&self.parts.join) as Arc<dyn ExecutionPlan>;
        let join = join.replace_children(children, options)?;
        let Some(join) = join.downcast_ref::<NestedLoopJoinExec>() else {
            return Err(DataFusionError::Internal("a join changed its kind".to_string()));
        };
        let (placed, test) = (self.parts.placed.clone(), Arc::clone(&self.parts.test));
        Ok(Arc::new(Self::try_new(join, placed, test)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        crate::nodes::recompute(self, children)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.parts.join.apply_expressions(f)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let building = self.building(&metrics, &context)?;
        let right = self.parts.join.right().execute(partition, Arc::clone(&context))?;
        let batch_rows = context.session_config().batch_size();
        let rows = probe(self.parts.clone(), building, right, metrics, batch_rows);
        let rows = stream::once(rows).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.parts.join.child_stats_requests(partition)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.parts.join.statistics_from_inputs(inputs, args)
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn pieces_have_no_more_pairs_than_asked_for() {
        assert_eq!(cut(0, 100), (1, 100));
        assert_eq!(cut(1, 100), (1, 100));
        assert_eq!(cut(30, 100), (30, 3));
        assert_eq!(cut(100, 100), (100, 1));
        assert_eq!(cut(1000, 100), (100, 1));
    }
}
