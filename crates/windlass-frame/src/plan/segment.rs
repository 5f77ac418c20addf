//! The largest runs of operators that one device node can stand for.

use std::sync::Arc;

use datafusion::{
    error::Result,
    physical_expr::expressions::Column,
    physical_plan::{
        Distribution, ExecutionPlan, ExecutionPlanProperties, InputOrderMode, Partitioning,
        aggregates::{AggregateExec, AggregateMode},
        coalesce_partitions::CoalescePartitionsExec,
        filter::FilterExec,
        projection::ProjectionExec,
        repartition::RepartitionExec,
    },
};
use windlass_device::Device;
use windlass_kernels::KernelError;

use super::subquery;
use crate::{
    lower::{AggregatePlan, InputPlan, Lowering, PipelinePlan, Unsupported},
    nodes::{
        DeviceAggregateExec, DevicePipelineExec, HostChain,
        aggregate::{Stage, can_share},
    },
};

/// What a segment was lowered to.
#[derive(Debug, Clone)]
pub(super) enum Lowered {
    Pipeline(Arc<PipelinePlan>),
    Aggregate { plan: Arc<AggregatePlan>, stage: Stage, limit: Option<usize> },
}

impl Lowered {
    /// What its node reads.
    pub(super) fn input(&self) -> &InputPlan {
        match self {
            Self::Pipeline(plan) => &plan.input,
            Self::Aggregate { plan, .. } => &plan.input,
        }
    }

    /// Whether a device can run it, from its features and limits.
    pub(super) fn supported(&self, device: &dyn Device) -> Result<(), KernelError> {
        match self {
            Self::Pipeline(plan) => plan.kernel.supported(device),
            Self::Aggregate { plan, .. } => plan.kernel.supported(device),
        }
    }

    /// Its node, in the place of `chain`, over what gives the columns that it reads.
    /// `groups`: those expected of an aggregation; `reason`: why it is on its device.
    pub(super) fn node(
        &self,
        input: Arc<dyn ExecutionPlan>,
        chain: HostChain,
        groups: usize,
        reason: Arc<str>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let chain = Arc::new(chain);
        Ok(match self {
            Self::Pipeline(plan) => {
                let node = DevicePipelineExec::try_new(input, chain, Arc::clone(plan))?;
                Arc::new(node.because(reason))
            }
            Self::Aggregate { plan, stage, limit } => {
                let plan = Arc::clone(plan);
                let node =
                    DeviceAggregateExec::try_new(input, chain, plan, *stage, groups, *limit)?;
                Arc::new(node.because(reason))
            }
        })
    }
}

/// A run of operators with one input each, that one device node can stand for.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// The operators, the lowest first.
    pub(super) nodes: Vec<Arc<dyn ExecutionPlan>>,
    /// What lies below them.
    pub(super) source: Arc<dyn ExecutionPlan>,
    pub(super) lowered: Lowered,
}

impl Segment {
    /// The exchange right below that only spreads rows over partitions, where one
    /// aggregation reads all partitions: idle work, unless the partitions are the host's
    /// threads.
    pub(super) fn idle_exchange(
        &self,
        source: &Arc<dyn ExecutionPlan>,
    ) -> Option<Arc<dyn ExecutionPlan>> {
        let merged = matches!(self.lowered, Lowered::Aggregate { stage: Stage::Merged, .. });
        let exchange = source.downcast_ref::<RepartitionExec>().filter(|_| merged)?;
        let spreads = matches!(exchange.partitioning(), Partitioning::RoundRobinBatch(_));
        (spreads && !exchange.preserve_order()).then(|| Arc::clone(source))
    }

    /// Number of exchanges at the top of its source.
    pub(super) fn source_exchanges(&self) -> usize {
        let mut plan = &self.source;
        let mut found = 0;
        while plan.is::<RepartitionExec>() || plan.is::<CoalescePartitionsExec>() {
            plan = plan.children()[0];
            found += 1;
        }
        found
    }

    /// The source, which may have changed, with its rows where the aggregation counts on
    /// them to be: each group in one partition.
    pub(super) fn exchanged(
        &self,
        source: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let aggregate = self.nodes.iter().find_map(|n| n.downcast_ref::<AggregateExec>());
        let by_key = |a: &AggregateExec| {
            let needed = a.input_distribution_requirements();
            matches!(needed.child_distribution(0), Some(Distribution::KeyPartitioned(_)))
        };
        let one = source.output_partitioning().partition_count() == 1;
        match aggregate {
            Some(a) if by_key(a) && !one => exchanged(&self.source, source, false),
            _ => Ok(source),
        }
    }

    /// Whether a device can run it, from its features and limits.
    pub(super) fn supported(&self, device: &dyn Device) -> Result<(), KernelError> {
        self.lowered.supported(device)
    }

    /// Whether several devices can share its batches.
    pub(super) fn can_share(&self) -> bool {
        match &self.lowered {
            Lowered::Pipeline(_) => true,
            Lowered::Aggregate { plan, stage, .. } => can_share(*stage, plan),
        }
    }

    /// The uppermost operator.
    pub(super) fn top(&self) -> &Arc<dyn ExecutionPlan> {
        self.nodes.last().expect("a segment has operators")
    }
}

/// The segment whose uppermost operator is `plan`, or why there is none.
///
/// # Errors
/// `None` when `plan` is of a kind that has no device form at all; the reason otherwise.
pub(super) fn find(
    plan: &Arc<dyn ExecutionPlan>,
    collapse: bool,
) -> Result<Segment, Option<Unsupported>> {
    if plan.boundedness().is_unbounded() {
        return Err(Some(Unsupported::new("its input has no end")));
    }
    match plan.downcast_ref::<AggregateExec>() {
        Some(aggregate) => aggregation(plan, aggregate, collapse),
        None if is_step(plan) => pipeline(plan),
        None => Err(None),
    }
}

/// Whether a node is a filter or projection.
pub(super) fn is_step(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<FilterExec>() || plan.is::<ProjectionExec>()
}

/// Nodes that were lowered, their source, the lowering, and why it went no further.
pub(super) type Steps =
    (Vec<Arc<dyn ExecutionPlan>>, Arc<dyn ExecutionPlan>, Lowering, Option<Unsupported>);

/// Filters and projections from `plan` down, lowered from the bottom up. What does not
/// lower is part of the source, with all below it.
pub(super) fn steps(plan: &Arc<dyn ExecutionPlan>) -> Steps {
    let mut nodes = Vec::new();
    let mut source = Arc::clone(plan);
    while is_step(&source) {
        nodes.push(Arc::clone(&source));
        source = Arc::clone(source.children()[0]);
    }
    nodes.reverse();
    let mut lowering = Lowering::new(source.schema());
    let mut taken: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
    let mut refused = None;
    for node in nodes {
        // A step that does not lower leaves the lowering half done: try it on a copy.
        let mut next = lowering.clone();
        match step(&mut next, &node) {
            Ok(()) => {
                lowering = next;
                taken.push(node);
                refused = None;
            }
            Err(e) => {
                lowering = Lowering::new(node.schema());
                taken.clear();
                source = node;
                refused = Some(e);
            }
        }
    }
    (taken, source, lowering, refused)
}

/// Adds a filter or projection to a lowering.
///
/// # Errors
/// [`Unsupported`] with the reason.
pub(super) fn step(
    lowering: &mut Lowering,
    node: &Arc<dyn ExecutionPlan>,
) -> Result<(), Unsupported> {
    if node.fetch().is_some() {
        return Err(Unsupported::new("it stops at a number of rows, which the CPU does sooner"));
    }
    if let Some(filter) = node.downcast_ref::<FilterExec>() {
        lowering.filter(filter.predicate())?;
        if let Some(columns) = filter.projection() {
            lowering.select(columns)?;
        }
        return Ok(());
    }
    let Some(projection) = node.downcast_ref::<ProjectionExec>() else {
        return Err(Unsupported::new(format!("{} has no device form", node.name())));
    };
    let exprs: Vec<_> = projection.expr().iter().map(|e| Arc::clone(&e.expr)).collect();
    if exprs.iter().any(subquery::waits) {
        return Err(Unsupported::new("it waits for the value of a subquery"));
    }
    lowering.project(&exprs, projection.schema())
}

fn pipeline(plan: &Arc<dyn ExecutionPlan>) -> Result<Segment, Option<Unsupported>> {
    let (nodes, source, lowering, refused) = steps(plan);
    if let Some(reason) = refused {
        return Err(Some(reason));
    }
    if nodes.iter().all(renames_only) {
        return Err(Some(Unsupported::new("it only picks and renames columns")));
    }
    reads_once(&source)?;
    let plan = lowering.finish().map_err(Some)?;
    Ok(Segment { nodes, source, lowered: Lowered::Pipeline(Arc::new(plan)) })
}

/// Whether a node is a projection that computes nothing.
fn renames_only(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<ProjectionExec>()
        .is_some_and(|p| p.expr().iter().all(|e| e.expr.is::<Column>()))
}

fn aggregation(
    plan: &Arc<dyn ExecutionPlan>,
    aggregate: &AggregateExec,
    collapse: bool,
) -> Result<Segment, Option<Unsupported>> {
    let mut above: Vec<Arc<dyn ExecutionPlan>> = vec![Arc::clone(plan)];
    let (lowest, stage) = match aggregate.mode() {
        AggregateMode::Partial => (aggregate, Stage::Partial),
        AggregateMode::Single | AggregateMode::SinglePartitioned => (aggregate, Stage::Single),
        AggregateMode::Final | AggregateMode::FinalPartitioned if collapse => {
            let mut below = aggregate.input();
            while below.is::<RepartitionExec>() || below.is::<CoalescePartitionsExec>() {
                if below.fetch().is_some() {
                    break;
                }
                above.push(Arc::clone(below));
                below = below.children()[0];
            }
            match below.downcast_ref::<AggregateExec>() {
                Some(partial) if *partial.mode() == AggregateMode::Partial => {
                    above.push(Arc::clone(below));
                    (partial, Stage::Merged)
                }
                _ => return Err(Some(final_stage())),
            }
        }
        _ => return Err(Some(final_stage())),
    };
    for a in [aggregate, lowest] {
        if *a.input_order_mode() != InputOrderMode::Linear {
            return Err(Some(Unsupported::new(
                "its input is sorted by the keys, which the CPU uses",
            )));
        }
        if a.limit_options().is_some_and(|l| l.descending().is_some()) {
            return Err(Some(Unsupported::new("it keeps only the first groups of an order")));
        }
    }
    let (mut nodes, mut source, lowering, _) = steps(lowest.input());
    reads_once(&source)?;
    let lowered = match lowering.aggregate(lowest) {
        Ok(lowered) => lowered,
        // A projection that does not lower shows only here: the CPU may do the steps.
        Err(reason) => {
            source = Arc::clone(lowest.input());
            nodes.clear();
            let alone = Lowering::new(source.schema()).aggregate(lowest);
            alone.map_err(|_| Some(reason))?
        }
    };
    if let Some(reason) = lowered.whole_only().filter(|_| stage == Stage::Partial) {
        return Err(Some(reason));
    }
    nodes.extend(above.into_iter().rev());
    let limit = aggregate.limit_options().map(|l| l.limit());
    let lowered = Lowered::Aggregate { plan: Arc::new(lowered), stage, limit };
    Ok(Segment { nodes, source, lowered })
}

fn final_stage() -> Unsupported {
    Unsupported::new("it merges partial results, of which there are few")
}

/// Refuses sources whose rows can be read only once or change from one run to the next: a
/// device's failure could not be made good.
fn reads_once(source: &Arc<dyn ExecutionPlan>) -> Result<(), Option<Unsupported>> {
    if contains(source, &|plan| plan.name() == "WorkTableExec") {
        return Err(Some(Unsupported::new("it is part of a recursive query")));
    }
    if matches!(source.name(), "PlaceholderRowExec" | "EmptyExec") {
        return Err(Some(Unsupported::new("its input is at most one row")));
    }
    Ok(())
}

/// `new`, which stands in the place of `old`, with its rows in the partitions in which `old`
/// had them by their keys.
pub(super) fn exchanged(
    old: &Arc<dyn ExecutionPlan>,
    new: Arc<dyn ExecutionPlan>,
    ordered: bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    let keys = old.output_partitioning();
    if !matches!(keys, Partitioning::Hash(..)) || new.output_partitioning() == keys {
        return Ok(new);
    }
    let exchange = RepartitionExec::try_new(new, keys.clone())?;
    Ok(Arc::new(if ordered { exchange.with_preserve_order() } else { exchange }))
}

/// Whether a plan has a node for which `test` is true.
pub(super) fn contains(
    plan: &Arc<dyn ExecutionPlan>,
    test: &dyn Fn(&Arc<dyn ExecutionPlan>) -> bool,
) -> bool {
    test(plan) || plan.children().into_iter().any(|child| contains(child, test))
}
