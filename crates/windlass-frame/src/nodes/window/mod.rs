//! Window functions: computed on the device, the rows on the host.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | [`DeviceWindowExec`] |
//! | `plan` | [`WindowPlan`]: DataFusion's window expressions as what a device computes |
//! | `span` | frames, also by distances of keys |
//! | `compute` | the columns of one batch of sorted rows |
//! | `pieces` | the same in parts, or by several devices |

use std::{fmt, sync::Arc};

use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::concat_batches,
};
use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::OrderingRequirements,
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
        InputDistributionRequirements, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        metrics::{Count, ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
        stream::{EmptyRecordBatchStream, RecordBatchStreamAdapter},
    },
};
use futures::{Stream, TryStreamExt, stream};
use windlass_runtime::Pace;

use super::{
    Placed,
    chain::one_line,
    metrics::{DeviceMetrics, TakenOver},
    several::Sharing,
    sort_order::taken,
};
use crate::spill::{rest::rest, rows::compact};

mod compute;
mod pieces;
mod plan;
mod span;

pub use plan::WindowPlan;

use pieces::Worker;

const OPERATOR: &str = "DeviceWindowExec";

/// How often the rows of a batch are in memory until their windows are computed: as they came,
/// in one batch, and their keys and new columns.
const COPIES: usize = 3;

/// Window functions over rows that are sorted by the partitions' keys and the window's order.
///
/// ```text
///   sorted rows ─► keys ─► where partitions and peers start ─► frames
///      host                          device                      │
///        │                                                       ▼
///        ├─► arguments ────────────────────► sums, extremes, counts, row numbers, ranks
///        ▼                                                       │
///   rows and the new columns ◄───────────────────────────────────┘
///      host
/// ```
///
/// Only keys and arguments travel; a value of another row (`LAG`, `FIRST_VALUE`) comes back as
/// its row's number, so arguments of any type do. The rows of a partition of the plan are held
/// until all are there, or as many windows' partitions of them as memory has room for; the device
/// computes them in halves where its memory ends, and devices that share a node take some each.
/// Where there is no memory for one of these partitions, DataFusion's operator takes over, which
/// may need fewer rows at a time. Another failure of a device is a [`DeviceFailure`](super::DeviceFailure).
#[derive(Debug)]
pub struct DeviceWindowExec {
    window: Arc<dyn ExecutionPlan>,
    plan: Arc<WindowPlan>,
    placed: Placed,
    /// Time that a row takes, where several devices share them.
    pace: Arc<Pace>,
    metrics: ExecutionPlanMetricsSet,
}

impl DeviceWindowExec {
    /// In the place of `window`, whose functions are `plan`, over its input.
    pub fn new(window: Arc<dyn ExecutionPlan>, plan: Arc<WindowPlan>, placed: Placed) -> Self {
        let (pace, metrics) = (Arc::default(), ExecutionPlanMetricsSet::new());
        Self { window, plan, placed, pace, metrics }
    }

    /// Where it runs.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    fn over(&self, window: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self::new(window, Arc::clone(&self.plan), self.placed.clone()))
    }
}

/// The rows of one partition.
struct Collector {
    worker: Worker,
    /// Where several devices share the rows.
    sharing: Option<Sharing>,
    memory: MemoryReservation,
    batches: Vec<RecordBatch>,
}

impl Collector {
    /// Holds a batch; whether there was memory for it.
    fn hold(&mut self, batch: RecordBatch) -> bool {
        let room = self.memory.try_grow(COPIES * batch.get_array_memory_size()).is_ok();
        self.batches.push(batch);
        room
    }

    /// All rows held, in one batch, and none held any more.
    fn all(&mut self) -> Result<Option<RecordBatch>> {
        let batches = std::mem::take(&mut self.batches);
        let Some(first) = batches.first() else { return Ok(None) };
        let all = concat_batches(&first.schema(), &batches)?;
        // What the pieces took is for the keys and the new columns.
        self.memory.shrink(self.memory.size() - self.memory.size() / COPIES);
        Ok(Some(all))
    }

    /// Takes the rows whose windows' partitions are whole; those of the last, to which more may
    /// come, stay. `None` where there is no other.
    fn whole(&mut self) -> Result<Option<RecordBatch>> {
        let Some(all) = self.all()? else { return Ok(None) };
        let starts = self.worker.starts(&all)?;
        let last = starts[starts.len().saturating_sub(2)];
        // A copy: a slice would hold all rows.
        let rest = UInt32Array::from_iter_values(last as u32..all.num_rows() as u32);
        let rest = compact(&taken(&all, &rest)?)?;
        self.memory.free();
        // It is in memory anyway.
        self.memory.grow(COPIES * rest.get_array_memory_size());
        self.batches.push(rest);
        Ok((last > 0).then(|| all.slice(0, last)))
    }

    /// What DataFusion's operator gives for the rows held and those to come.
    fn given_up(
        self,
        input: SendableRecordBatchStream,
        window: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> Result<Next> {
        let order = window.children()[0].output_ordering().cloned();
        let rest = rest(self.batches, input, order)?;
        tracing::debug!("{OPERATOR}: a window's partition does not fit");
        let over = super::recompute(window, vec![Arc::clone(&rest)])?;
        let metrics = self.worker.metrics;
        let taken = TakenOver::new(&metrics, Arc::clone(&over), rest);
        let rows = metrics.baseline.output_rows().clone();
        Ok(Next::TakenOver(over.execute(0, context)?, taken, rows))
    }
}

/// What comes next of a partition's result.
enum Next {
    /// Rows are read and held.
    Read(SendableRecordBatchStream, Box<Collector>),
    /// DataFusion's operator gives the rest, which counts as this one's.
    TakenOver(SendableRecordBatchStream, TakenOver, Count),
    End,
}

/// The rows of one partition, as many at a time as there is memory for.
fn windows(
    input: SendableRecordBatchStream,
    collector: Collector,
    window: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let batch_rows = context.session_config().batch_size();
    let next = Next::Read(input, Box::new(collector));
    let batches = stream::try_unfold(next, move |next| {
        let (window, context) = (Arc::clone(&window), Arc::clone(&context));
        async move {
            let (mut input, mut collector) = match next {
                Next::End => return Ok(None),
                Next::TakenOver(mut rest, mut taken, rows) => {
                    let batch = rest.try_next().await?;
                    taken.count();
                    return Ok(batch.map(|batch| {
                        rows.add(batch.num_rows());
                        (vec![batch], Next::TakenOver(rest, taken, rows))
                    }));
                }
                Next::Read(input, collector) => (input, collector),
            };
            let whole = loop {
                match input.try_next().await? {
                    Some(batch) if batch.num_rows() == 0 => {}
                    Some(batch) => {
                        if collector.hold(batch) {
                            continue;
                        }
                        if let Some(whole) = collector.whole()? {
                            break Some((whole, true));
                        }
                        let next = collector.given_up(input, window, context)?;
                        return Ok(Some((Vec::new(), next)));
                    }
                    None => break collector.all()?.map(|all| (all, false)),
                }
            };
            let Some((whole, more)) = whole else { return Ok(None) };
            let computed = collector.worker.compute(&whole, collector.sharing.as_ref()).await?;
            let next = match computed.left {
                Some(left) => {
                    collector.batches.insert(0, whole.slice(left, whole.num_rows() - left));
                    if !more {
                        // It may not be asked again after its end.
                        input = Box::pin(EmptyRecordBatchStream::new(input.schema()));
                    }
                    collector.given_up(input, window, context)?
                }
                None if more => Next::Read(input, collector),
                None => Next::End,
            };
            Ok::<_, DataFusionError>(Some((computed.batches, next)))
        }
    });
    let pieces = batches.map_ok(move |batches| {
        let pieces = move |batch| super::download::slices(batch, batch_rows);
        stream::iter(batches.into_iter().flat_map(pieces).map(Ok))
    });
    pieces.try_flatten()
}

impl DisplayAs for DeviceWindowExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, window) = (self.placed.name(), one_line(&*self.window));
        let window = window.split_once(": ").map_or(window.as_str(), |(_, rest)| rest);
        write!(f, "{OPERATOR}: device={device}, {window}")
    }
}

impl ExecutionPlan for DeviceWindowExec {
    fn name(&self) -> &'static str {
        OPERATOR
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.window.input_distribution_requirements()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.window.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.over(Arc::clone(&self.window).replace_children(children, options)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        super::recompute(self, children)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.over(Arc::clone(&self.window).reset_state()?))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.window.children()[0].execute(partition, Arc::clone(&context))?;
        // Rows that are held can be given up.
        let consumer = MemoryConsumer::new(OPERATOR).with_can_spill(true);
        let collector = Collector {
            worker: Worker {
                plan: Arc::clone(&self.plan),
                placed: self.placed.clone(),
                metrics: DeviceMetrics::new(&self.metrics, partition),
                schema: self.schema(),
            },
            sharing: Sharing::of(&self.placed, &self.pace, OPERATOR),
            memory: consumer.register(context.memory_pool()),
            batches: Vec::new(),
        };
        let rows = windows(input, collector, Arc::clone(&self.window), context);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.window.child_stats_requests(partition)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.window.statistics_from_inputs(inputs, args)
    }
}
