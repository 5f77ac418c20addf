//! Joins whose rows stay on the device for the segment above them.
//!
//! ```text
//!   aggregation                       DeviceAggregateExec: [filter on pairs, steps, group by]
//!   steps                               ResidentHashJoinExec
//!   DeviceHashJoinExec          ─►        DevicePipelineExec: [steps, keys, columns]
//!     steps                                 DeviceUploadExec or ResidentHashJoinExec
//!     steps                               DevicePipelineExec: [steps, keys, columns]
//!                                           DeviceUploadExec or ResidentHashJoinExec
//! ```
//!
//! A join is placed before what is above it, with its rows on the host. When a segment above is
//! placed, [`keep`] says how both would be on one GPU; the inputs of the join become pipelines,
//! and a join below one of these stays on the device in the same way. So do limits, unions and
//! exchanges in between ([`super::moved`]).

use std::sync::Arc;

use datafusion::{
    physical_expr::expressions::Column,
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr,
        ReplaceChildrenOptions,
        aggregates::AggregateExec,
        coalesce_partitions::CoalescePartitionsExec,
        joins::PartitionMode,
        projection::{ProjectionExec, ProjectionExpr},
        repartition::RepartitionExec,
    },
};

use super::{
    Footers, coded,
    estimate::rows_of,
    moved::{self, Rested},
    segment::{self, Lowered, Segment},
};
use crate::{
    lower::{HostTables, InputPlan, Lowering, Unsupported},
    nodes::{
        DeviceDownloadExec, DeviceHashJoinExec, DeviceNode, DevicePipelineExec, DeviceUploadExec,
        HostChain, Placed, ResidentExec, ResidentHashJoinExec,
        aggregate::Stage,
        join::{
            PairTest,
            resident::rows::{Payload, RowsPlan},
        },
        source,
    },
};

/// Rows to compare bytes for where nothing tells how many there are.
const UNKNOWN_ROWS: u64 = 1_000_000;

/// Bytes of a pair of row numbers.
const PAIR_BYTES: f64 = 8.0;

/// What gathering a byte on the host costs beside uploading it: a guess, as a random access is
/// no faster than the link.
const HOST_GATHER: f64 = 1.0;

/// A node of a plan.
type Plan = Arc<dyn ExecutionPlan>;

/// Bytes that cross the link for the joins of a segment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bytes {
    /// With the rows on the device: the columns of the joins' inputs.
    pub(super) kept: f64,
    /// With the rows on the host: keys, row numbers, and columns of the pairs.
    pub(super) fetched: f64,
}

impl Bytes {
    /// Those of both.
    pub(super) fn and(self, other: Self) -> Self {
        Self { kept: self.kept + other.kept, fetched: self.fetched + other.fetched }
    }
}

/// What decides whether rows stay on a device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping<'a> {
    /// Whether partitions may become one.
    pub(super) collapse: bool,
    /// Whether any rows may stay there.
    pub(super) rows: bool,
    /// What files hold.
    pub(super) footers: Option<&'a Footers>,
    /// Whether operators are placed whatever the cost.
    pub(super) forced: bool,
    /// Exchanges by key after which only their reader counts on the partitions of rows.
    pub(super) exchanges: &'a [Plan],
}

/// A segment over a join, both on one device.
#[derive(Debug)]
pub(super) struct Kept {
    /// Where.
    pub(super) placed: Placed,
    /// The operators that the segment's node stands for, the lowest first.
    pub(super) nodes: Vec<Arc<dyn ExecutionPlan>>,
    /// How many of them are exchanges between the segment and the join.
    pub(super) exchanges: usize,
    /// What they were lowered to.
    pub(super) lowered: Lowered,
    /// The join.
    pub(super) input: Arc<dyn ExecutionPlan>,
    pub(super) bytes: Bytes,
}

impl Kept {
    /// Whether fewer bytes cross the link than with the rows on the host.
    pub(super) fn pays(&self) -> bool {
        self.bytes.kept < self.bytes.fetched
    }
}

/// Whether the rows of a placed join stay on its device, and if not, why.
pub(super) type Note = (Arc<dyn ExecutionPlan>, Result<(), Unsupported>);

/// The segment over rows on the device, where `source`, what lies below it now, is a join on a
/// device other than the host, or passes on such rows.
pub(super) fn keep(
    segment: &Segment,
    source: &Arc<dyn ExecutionPlan>,
    keeping: &Keeping<'_>,
) -> (Option<Kept>, Vec<Note>) {
    let mut exchanges: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
    let mut below = moved::unrested(source);
    while keeping.collapse && takes_in(segment, below) {
        exchanges.push(Arc::clone(below));
        below = moved::unrested(below.children()[0]);
    }
    exchanges.reverse();
    while keeping.collapse && spreads(below) {
        below = moved::unrested(below.children()[0]);
    }
    let rests = below.is::<DeviceHashJoinExec>() || moved::is_mover(below);
    let placed = moved::place_of(below).filter(|placed| rests && !placed.is_host());
    let Some(placed) = placed else { return (None, Vec::new()) };
    let mut keeper = Keeper::new(placed.clone(), keeping);
    if !keeper.may_rest(below) {
        return (None, Vec::new());
    }
    match keeper.segment(segment, exchanges, below) {
        Ok(kept) => {
            keeper.notes.push((Arc::clone(below), Ok(())));
            (Some(kept), keeper.notes)
        }
        Err(e) => (None, vec![(Arc::clone(below), Err(e))]),
    }
}

/// Whether a node only spreads rows over partitions, which on a GPU is idle work.
fn spreads(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let exchange = plan.downcast_ref::<RepartitionExec>();
    exchange.is_some_and(|e| {
        matches!(e.partitioning(), Partitioning::RoundRobinBatch(_)) && !e.preserve_order()
    })
}

/// Whether a segment can take in the exchange below it: it reads all partitions.
fn takes_in(segment: &Segment, plan: &Arc<dyn ExecutionPlan>) -> bool {
    let Lowered::Aggregate { stage, .. } = &segment.lowered else { return false };
    let exchange = plan.is::<CoalescePartitionsExec>()
        || plan.downcast_ref::<RepartitionExec>().is_some_and(|e| !e.preserve_order());
    *stage != Stage::Partial && exchange && plan.fetch().is_none()
}

/// Turns placed joins, and what passes on their rows, into such whose rows stay on one device.
pub(super) struct Keeper<'a> {
    pub(super) placed: Placed,
    pub(super) keeping: &'a Keeping<'a>,
    pub(super) notes: Vec<Note>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(placed: Placed, keeping: &'a Keeping<'a>) -> Self {
        Self { placed, keeping, notes: Vec::new() }
    }
}

impl Keeper<'_> {
    fn segment(
        &mut self,
        segment: &Segment,
        exchanges: Vec<Arc<dyn ExecutionPlan>>,
        join: &Arc<dyn ExecutionPlan>,
    ) -> Result<Kept, Unsupported> {
        let (join, mut nodes) = without_filter(join)?;
        let (filtered, taken) = (!nodes.is_empty(), exchanges.len());
        nodes.extend(exchanges);
        nodes.extend(segment.nodes.iter().cloned());
        let mut lowered = match filtered {
            true => lower_again(&nodes, &join, &segment.lowered)?,
            false => segment.lowered.clone(),
        };
        if let Lowered::Aggregate { stage, .. } = &mut lowered
            && taken > 0
        {
            *stage = Stage::Merged;
        }
        let (reader, tables) = match &lowered {
            Lowered::Pipeline(plan) => (&plan.input, &plan.tables),
            Lowered::Aggregate { plan, .. } => (&plan.input, &plan.tables),
        };
        let (input, tables, bytes) = self.rows(&join, reader, tables)?;
        if let Some(tables) = tables.map(Arc::new) {
            match &mut lowered {
                Lowered::Pipeline(plan) => Arc::make_mut(plan).tables = tables,
                Lowered::Aggregate { plan, .. } => Arc::make_mut(plan).tables = tables,
            }
        }
        lowered.supported(&*self.placed.device)?;
        Ok(Kept { placed: self.placed.clone(), nodes, exchanges: taken, lowered, input, bytes })
    }

    /// A join with its rows on the device, for a reader; the reader's tables if they change.
    pub(super) fn join(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        reader: &InputPlan,
        tables: &HostTables,
    ) -> Result<Rested, Unsupported> {
        let Some(node) = plan.downcast_ref::<DeviceHashJoinExec>() else {
            return Err(Unsupported::new(format!("{} is no join on a device", plan.name())));
        };
        let join = node.join();
        if *join.partition_mode() != PartitionMode::CollectLeft {
            return Err(Unsupported::new("its partitions have tables of their own"));
        }
        let test = match join.filter() {
            Some(filter) => {
                let test = PairTest::of(filter, [join.left().schema(), join.right().schema()])?;
                test.plan().kernel.supported(&*self.placed.device)?;
                Some(Arc::new(test))
            }
            None => None,
        };
        let payload = Payload::of(join, reader, test)?;
        let (left_keys, right_keys): (Vec<_>, Vec<_>) = join.on().iter().cloned().unzip();
        let (left, of_left) = self.side(join.left(), left_keys, &payload.left)?;
        let (right, of_right) = self.side(join.right(), right_keys, &payload.right)?;
        // Where rows of its probe side are no longer spread, it has as many partitions as these.
        let partitions = right.properties().output_partitioning().partition_count();
        let old = join.right().output_partitioning().partition_count();
        let plan = match partitions == old {
            true => Arc::clone(plan),
            false => {
                let (rows, spread) =
                    (Arc::clone(join.right()), Partitioning::RoundRobinBatch(partitions));
                let rows = RepartitionExec::try_new(rows, spread).map_err(refused)?;
                let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
                let children = vec![Arc::clone(join.left()), Arc::new(rows) as _];
                Arc::clone(plan).replace_children(children, options).map_err(refused)?
            }
        };
        let keys = join.on().len();
        let plans = (left.plan(), right.plan());
        let rows = RowsPlan::new(keys, payload, plans, (reader, tables))?;
        let tables = rows.reader_tables(tables);
        let width =
            |plan: &InputPlan| plan.columns.iter().map(|c| c.ty.wide_bytes()).sum::<usize>() as f64;
        let pairs = count(&plan).unwrap_or_else(|| known(join.right()));
        let [left_width, right_width] = node.keys().map(|keys| width(&keys.input));
        let bytes = Bytes {
            kept: of_left.kept + of_right.kept,
            fetched: of_left.fetched
                + of_right.fetched
                + known(join.left()) * left_width
                + known(join.right()) * right_width
                + pairs * (PAIR_BYTES + width(reader) * (1.0 + HOST_GATHER)),
        };
        let sides: [Arc<dyn ExecutionPlan>; 2] = [Arc::new(left), Arc::new(right)];
        let (reader, rows) = (Arc::new(reader.clone()), Arc::new(rows));
        let node = ResidentHashJoinExec::try_new(plan, sides, reader, rows);
        Ok((Arc::new(node.map_err(refused)?), tables, bytes))
    }

    /// An input of a join, or of an operator that passes rows on: its filters and projections,
    /// with the keys and these columns on top.
    pub(super) fn side(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        columns: &[usize],
    ) -> Result<(DevicePipelineExec, Bytes), Unsupported> {
        let below = self.unplaced(plan).map_err(refused)?;
        let schema = below.schema();
        let named =
            |what: &str, at: usize, expr| ProjectionExpr { expr, alias: format!("{what} {at}") };
        let keys = keys.into_iter().enumerate().map(|(i, key)| named("key", i, key));
        let columns = columns.iter().enumerate().map(|(i, at)| {
            named("column", i, Arc::new(Column::new(schema.field(*at).name(), *at)))
        });
        let top = ProjectionExec::try_new(keys.chain(columns), below).map_err(refused)?;
        let top: Arc<dyn ExecutionPlan> = Arc::new(top);
        let (nodes, source, lowering, why) = segment::steps(&top);
        if let Some(why) = why {
            return Err(why);
        }
        let rests = source.is::<DeviceHashJoinExec>() || moved::is_mover(&source);
        if rests && self.may_rest(&source) {
            let before = self.notes.len();
            match self.side_over_rows(&source, &nodes) {
                Ok(side) => {
                    self.notes.push((source, Ok(())));
                    return Ok(side);
                }
                Err(e) => {
                    self.notes.truncate(before);
                    self.notes.push((Arc::clone(&source), Err(e)));
                }
            }
        }
        let plan = lowering.finish()?;
        plan.kernel.supported(&*self.placed.device)?;
        let width: usize = plan.input.columns.iter().map(|c| c.ty.wide_bytes()).sum();
        let kept = known(&source) * width as f64;
        let (coded, _) = coded::source(&plan.input, &source, self.keeping.footers);
        let source = coded.unwrap_or(source);
        let upload = DeviceUploadExec::new(source, self.placed.clone(), plan.input.clone());
        let chain = Arc::new(HostChain::new(nodes));
        let node = DevicePipelineExec::try_new(Arc::new(upload), chain, Arc::new(plan));
        Ok((node.map_err(refused)?, Bytes { kept, fetched: 0.0 }))
    }

    fn side_over_rows(
        &mut self,
        join: &Arc<dyn ExecutionPlan>,
        nodes: &[Arc<dyn ExecutionPlan>],
    ) -> Result<(DevicePipelineExec, Bytes), Unsupported> {
        let (join, mut steps) = without_filter(join)?;
        steps.extend(nodes.iter().cloned());
        let nodes = steps;
        let mut plan = lower_steps(&nodes, &join)?.finish()?;
        plan.kernel.supported(&*self.placed.device)?;
        let (input, tables, bytes) = self.rows(&join, &plan.input, &plan.tables)?;
        if let Some(tables) = tables {
            plan.tables = Arc::new(tables);
        }
        let chain = Arc::new(HostChain::new(nodes));
        let node = DevicePipelineExec::try_new(input, chain, Arc::new(plan)).map_err(refused)?;
        Ok((node, bytes))
    }

    pub(super) fn has(&self, placed: &Placed) -> bool {
        placed.device.info().name == self.placed.device.info().name
    }

    /// A plan with the pipelines of the device in its first steps as the operators that they
    /// stand for, and without exchanges that spread rows that are on the device.
    fn unplaced(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        if segment::is_step(plan) {
            let old = Arc::clone(plan.children()[0]);
            let new = self.unplaced(&old)?;
            return match Arc::ptr_eq(&old, &new) {
                true => Ok(Arc::clone(plan)),
                false => HostChain::new(vec![Arc::clone(plan)]).over(new),
            };
        }
        if spreads(plan) && self.may_rest(plan) {
            return self.unplaced(plan.children()[0]);
        }
        let download = plan.downcast_ref::<DeviceDownloadExec>();
        let rows = download.and_then(|d| d.input().downcast_ref::<ResidentExec>());
        if let Some(rows) = rows.filter(|rows| self.has(rows.placed())) {
            return self.unplaced(rows.host());
        }
        let pipeline = download.and_then(|d| d.input().downcast_ref::<DevicePipelineExec>());
        match (download, pipeline) {
            (Some(download), Some(pipeline)) if self.has(download.placed()) => {
                let below = Arc::clone(source::of(pipeline.input())?.host());
                pipeline.chain().over(self.unplaced(&below)?)
            }
            _ => Ok(Arc::clone(plan)),
        }
    }
}

pub(super) fn refused(e: datafusion::error::DataFusionError) -> Unsupported {
    Unsupported::new(e.to_string())
}

/// Rows of a plan, where something tells.
fn count(plan: &Arc<dyn ExecutionPlan>) -> Option<f64> {
    rows_of(plan).map(|n| n as f64)
}

pub(super) fn known(plan: &Arc<dyn ExecutionPlan>) -> f64 {
    count(plan).unwrap_or(UNKNOWN_ROWS as f64)
}

/// A join without its filter on pairs, and the filter as the lowest of operators over it.
fn without_filter(plan: &Arc<dyn ExecutionPlan>) -> Result<(Plan, Vec<Plan>), Unsupported> {
    let join = plan.downcast_ref::<DeviceHashJoinExec>();
    let parts = join.map_or(Ok(None), DeviceHashJoinExec::without_filter).map_err(refused)?;
    Ok(match parts {
        Some(parts) => (parts.join, vec![parts.filter]),
        None => (Arc::clone(plan), Vec::new()),
    })
}

/// Filters and projections over a join; exchanges between them change no rows.
fn lower_steps(
    nodes: &[Arc<dyn ExecutionPlan>],
    join: &Arc<dyn ExecutionPlan>,
) -> Result<Lowering, Unsupported> {
    let mut lowering = Lowering::new(join.schema());
    for node in nodes.iter().take_while(|n| !n.is::<AggregateExec>()) {
        if segment::is_step(node) {
            segment::step(&mut lowering, node)?;
        }
    }
    Ok(lowering)
}

/// The operators of a segment over a join, lowered as `before`.
fn lower_again(
    nodes: &[Arc<dyn ExecutionPlan>],
    join: &Arc<dyn ExecutionPlan>,
    before: &Lowered,
) -> Result<Lowered, Unsupported> {
    let lowering = lower_steps(nodes, join)?;
    let aggregate = nodes.iter().find_map(|n| n.downcast_ref::<AggregateExec>());
    Ok(match (before, aggregate) {
        (Lowered::Aggregate { stage, limit, .. }, Some(aggregate)) => {
            let plan = Arc::new(lowering.aggregate(aggregate)?);
            Lowered::Aggregate { plan, stage: *stage, limit: *limit }
        }
        _ => Lowered::Pipeline(Arc::new(lowering.finish()?)),
    })
}
