//! The placement rule, and its pure function.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use datafusion::{
    config::ConfigOptions,
    error::{DataFusionError, Result},
    physical_expr::{PhysicalSortExpr, projection::update_expr},
    physical_optimizer::{PhysicalOptimizerRule, sanity_checker::check_plan_sanity},
    physical_plan::{
        ChildrenPropertiesMode, Distribution, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        ReplaceChildrenOptions,
        aggregates::AggregateExec,
        coalesce_partitions::CoalescePartitionsExec,
        limit::{GlobalLimitExec, LocalLimitExec},
        projection::ProjectionExec,
        repartition::RepartitionExec,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
        union::InterleaveExec,
    },
};
use parking_lot::Mutex;
use windlass_device::{Device, DeviceClass, DeviceName};
use windlass_runtime::EventKind;

use super::{
    Decision, DeviceSet, Footers,
    breaker::{self, Breaker},
    choose::choose,
    coded, estimate, group_top,
    segment::{self, Lowered, Segment},
    subquery,
};
use crate::nodes::{
    DeviceAggregateExec, DeviceDownloadExec, DevicePipelineExec, DeviceSortExec, DeviceUploadExec,
    HostChain, Placed, SharedExec, chain::one_line,
};

/// Plans whose decisions are remembered: a session looks its plan up right after planning.
const REMEMBERED: usize = 64;

/// How placement decides.
#[derive(Debug, Clone)]
pub struct PlacementOptions {
    /// Places every operator that this device can run on it, whatever the cost.
    pub force_device: Option<DeviceName>,
    /// Whether a partial and a final aggregation may become one on the device. Off where
    /// the partition count of the plan must stay (a stage of a cluster).
    pub collapse: bool,
    /// Whether placement is on at all.
    pub enabled: bool,
    /// What files hold, so that scans give texts as codes where a device wants them;
    /// without it they give texts.
    pub footers: Option<Footers>,
}

impl Default for PlacementOptions {
    fn default() -> Self {
        Self { force_device: None, collapse: true, enabled: true, footers: None }
    }
}

/// Places the operators of `plan` on `devices`. The result has the same schema and ordering
/// and, with `collapse` off, the same partition count. One decision for each operator of
/// `plan`, in depth-first order from the root.
///
/// # Errors
/// A named device that does not open, when the plan has an operator for it.
pub fn place(
    plan: Arc<dyn ExecutionPlan>,
    devices: &DeviceSet,
    options: &PlacementOptions,
) -> Result<(Arc<dyn ExecutionPlan>, Vec<Decision>)> {
    let mut placer = Placer::new(devices, options);
    placer.number(&plan, 0);
    let placed = placer.rewrite(&plan, 0)?;
    if placer.placed == 0 {
        return Ok((plan, placer.decisions));
    }
    if let Err(e) = check(&placed) {
        if options.collapse {
            let options = PlacementOptions { collapse: false, ..options.clone() };
            return place(plan, devices, &options);
        }
        tracing::warn!(error = %e, "placement gave an invalid plan; the CPU runs it");
        let mut decisions = placer.decisions;
        for d in decisions.iter_mut().filter(|d| d.placed) {
            (d.placed, d.device) = (false, DeviceName::cpu().to_string());
            d.reason = "its place in the plan needs a distribution of rows that it has not".into();
        }
        return Ok((plan, decisions));
    }
    Ok((placed, placer.decisions))
}

/// What DataFusion checks of every plan before it runs.
fn check(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    for child in plan.children() {
        check(child)?;
    }
    check_plan_sanity(plan, &ConfigOptions::default().optimizer)
}

/// One placement in progress.
struct Placer<'a> {
    devices: &'a DeviceSet,
    options: &'a PlacementOptions,
    /// One for each operator, in depth-first order.
    decisions: Vec<Decision>,
    /// Segments placed so far.
    placed: usize,
    /// Sorts of which only the first rows of each group are wanted.
    tops: Vec<group_top::Found>,
    threads: usize,
}

impl<'a> Placer<'a> {
    fn new(devices: &'a DeviceSet, options: &'a PlacementOptions) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { devices, options, decisions: Vec::new(), placed: 0, tops: Vec::new(), threads }
    }

    /// Makes the decision of each operator, as if nothing were placed.
    fn number(&mut self, plan: &Arc<dyn ExecutionPlan>, depth: usize) {
        self.tops.extend(group_top::find(plan));
        self.decisions.push(Decision {
            id: self.decisions.len(),
            depth,
            operator: one_line(&**plan),
            device: DeviceName::cpu().to_string(),
            placed: false,
            rows: None,
            estimates: Vec::new(),
            reason: match plan.children().len() {
                0 => "reads its rows on the CPU".to_string(),
                _ => format!("{} has no device form", plan.name()),
            },
        });
        for child in plan.children() {
            self.number(child, depth + 1);
        }
    }

    /// The plan with its operators placed; `id` is its decision.
    fn rewrite(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        id: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match segment::find(plan, self.options.collapse) {
            Ok(segment) => {
                if let Some(plan) = self.segment(&segment, id)? {
                    return Ok(plan);
                }
            }
            Err(Some(refused)) => self.decisions[id].reason = refused.reason,
            Err(None) => match breaker::find(plan) {
                Ok(breaker) => return self.breaker(plan, &breaker, id),
                Err(Some(refused)) => self.decisions[id].reason = refused.reason,
                Err(None) => {}
            },
        }
        self.children(plan, id)
    }

    /// Places a join or sort, and what lies below it.
    fn breaker(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        breaker: &Breaker,
        id: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut below = self.children(plan, id)?;
        let pruned = self.prune(plan, &below)?;
        if let Some((plan, device, reason)) = &pruned {
            below = Arc::clone(plan);
            let (d, device) = (&mut self.decisions[id], device.info().name.to_string());
            d.reason.clone_from(reason);
            self.mark(id..id + 1, &device);
        }
        let figures = estimate::of_breaker(plan, breaker, self.threads);
        let supported = |device: &dyn Device| breaker.supported(device);
        let choice = choose(&supported, &figures, self.devices, self.options, self.placed)?;
        let decision = &mut self.decisions[id];
        decision.rows = figures.rows;
        decision.estimates.clone_from(&choice.estimates);
        let stays = choice.device.is_none() && pruned.is_some();
        if !stays {
            decision.reason.clone_from(&choice.reason);
        }
        let Some(device) = choice.device else { return Ok(below) };
        self.mark(id..id + 1, &device.info().name.to_string());
        self.placed += 1;
        let inventory = Arc::clone(self.devices.inventory());
        let placed = Placed { device, inventory, reason: choice.reason.into() };
        if self.options.collapse && matches!(breaker, Breaker::Join(_)) {
            let mut next = id + 1;
            for input in plan.children() {
                if breaker::idle_below(input).is_some() {
                    self.decisions[next].reason = "one table serves all partitions".to_string();
                }
                next += size(input);
            }
        }
        breaker.node(&below, placed, self.options.collapse)
    }

    /// Where only the first rows of each group of a sort are wanted, the sort over these rows
    /// alone, if a device finds them faster than the sort; with the device and the reason.
    #[expect(clippy::type_complexity, reason = "read once, at the only call")]
    fn prune(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        below: &Arc<dyn ExecutionPlan>,
    ) -> Result<Option<(Arc<dyn ExecutionPlan>, Arc<dyn Device>, String)>> {
        let Some(found) = self.tops.iter().find(|t| Arc::ptr_eq(&t.sort, plan)) else {
            return Ok(None);
        };
        let top = found.top.clone();
        let figures = estimate::of_group_top(plan, &top, self.threads);
        let choice = choose(&|_| Ok(()), &figures, self.devices, self.options, self.placed)?;
        let Some(device) = choice.device else { return Ok(None) };
        self.placed += 1;
        let reason = format!("only the first {} of each group reach it: {}", top.k, choice.reason);
        let inventory = Arc::clone(self.devices.inventory());
        let placed =
            Placed { device: Arc::clone(&device), inventory, reason: reason.clone().into() };
        let old = Arc::clone(below.children()[0]);
        let new = group_top::prune(&old, &top, placed)?;
        Ok(Some((with_children(below, vec![old], vec![new])?, device, reason)))
    }

    /// Notes that operators are placed on a device.
    fn mark(&mut self, decisions: std::ops::Range<usize>, device: &str) {
        for d in &mut self.decisions[decisions] {
            (d.placed, d.device) = (true, device.to_string());
            let event = format!("{}: {}", d.operator, d.reason);
            self.devices.inventory().events().point(EventKind::Decision, &device, &event);
        }
    }

    /// Places a segment whose uppermost operator has decision `id`; `None` when a part of
    /// it may be placed instead.
    fn segment(&mut self, segment: &Segment, id: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let below = id + segment.nodes.len();
        let source = self.rewrite(&segment.source, below)?;
        let source = segment.exchanged(source)?;
        if self.options.force_device.is_none() && self.reads_groups(segment, &source) {
            for d in &mut self.decisions[id..below] {
                d.reason = "its rows are groups, which are on the host already".to_string();
            }
            return self.on_cpu(segment, source).map(Some);
        }
        let (coded, texts) = coded::source(segment, &source, self.options.footers.as_ref());
        let figures = estimate::figures(segment, texts, self.threads);
        let supported = |device: &dyn Device| segment.supported(device);
        let choice = choose(&supported, &figures, self.devices, self.options, self.placed)?;
        for d in &mut self.decisions[id..below] {
            d.rows = figures.rows;
            d.estimates.clone_from(&choice.estimates);
            d.reason.clone_from(&choice.reason);
        }
        let Some(device) = choice.device else {
            if choice.unsupported && segment.nodes.len() > 1 {
                return Ok(None);
            }
            return self.on_cpu(segment, source).map(Some);
        };
        let name = device.info().name.to_string();
        let source = coded.unwrap_or(source);
        let (mut nodes, mut source, mut end) = (segment.nodes.clone(), source, below);
        if device.info().class != DeviceClass::Host
            && let Some(exchange) = segment.idle_exchange(&source)
        {
            source = Arc::clone(exchange.children()[0]);
            nodes.insert(0, exchange);
            self.decisions[below].reason = "one aggregation reads all partitions".to_string();
            end += 1;
        }
        self.mark(id..end, &name);
        self.placed += 1;
        let inventory = Arc::clone(self.devices.inventory());
        let placed = Placed { device, inventory, reason: choice.reason.into() };
        let chain = Arc::new(HostChain::new(nodes));
        let upload = |input| DeviceUploadExec::new(source, placed, input);
        let node: Arc<dyn ExecutionPlan> = match &segment.lowered {
            Lowered::Pipeline(plan) => {
                let upload = Arc::new(upload(plan.input.clone()));
                Arc::new(DevicePipelineExec::try_new(upload, chain, Arc::clone(plan))?)
            }
            Lowered::Aggregate { plan, stage, limit } => {
                let upload = Arc::new(upload(plan.input.clone()));
                let (plan, groups) = (Arc::clone(plan), figures.groups);
                let node =
                    DeviceAggregateExec::try_new(upload, chain, plan, *stage, groups, *limit)?;
                Arc::new(node)
            }
        };
        Ok(Some(Arc::new(DeviceDownloadExec::try_new(node)?)))
    }

    /// Whether a projection's rows come from a device's aggregation: they are few, and on
    /// the host.
    fn reads_groups(&self, segment: &Segment, source: &Arc<dyn ExecutionPlan>) -> bool {
        let pipeline = matches!(segment.lowered, Lowered::Pipeline(_));
        let groups = source
            .downcast_ref::<DeviceDownloadExec>()
            .is_some_and(|d| d.input().is::<DeviceAggregateExec>());
        pipeline && groups
    }

    /// A segment left to DataFusion, over a source that may have changed.
    fn on_cpu(
        &self,
        segment: &Segment,
        source: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut below = Arc::clone(&segment.source);
        let mut plan = source;
        for node in &segment.nodes {
            plan = with_children(node, vec![below], vec![plan])?;
            below = Arc::clone(node);
        }
        Ok(plan)
    }

    /// A node left to DataFusion, with its children placed.
    fn children(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        id: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let old: Vec<_> = plan.children().into_iter().map(Arc::clone).collect();
        let mut new = Vec::with_capacity(old.len());
        let mut next = id + 1;
        for child in &old {
            new.push(self.rewrite(child, next)?);
            next += size(child);
        }
        if let [only] = &new[..]
            && self.options.collapse
            && let Some((sort, device)) = whole_sort(plan, only)?
        {
            self.decisions[id].reason = "the sort takes all partitions at once".to_string();
            self.mark(id..id + 1, &device);
            return Ok(sort);
        }
        with_children(plan, old, new)
    }
}

/// For a merge of partitions that a device other than the host sorted one by one, the sort
/// of all their rows, and its device; what only picks columns in between stays above it. The
/// host sorts its partitions side by side.
fn whole_sort(
    merge: &Arc<dyn ExecutionPlan>,
    sorted: &Arc<dyn ExecutionPlan>,
) -> Result<Option<(Arc<dyn ExecutionPlan>, String)>> {
    let Some(merge) = merge.downcast_ref::<SortPreservingMergeExec>() else { return Ok(None) };
    let mut order: Vec<PhysicalSortExpr> = merge.expr().iter().cloned().collect();
    let (mut picks, mut below) = (Vec::new(), sorted);
    while let Some(pick) = below.downcast_ref::<ProjectionExec>() {
        for key in &mut order {
            key.expr = update_expr(&key.expr, pick.expr(), true)?
                .ok_or_else(|| internal("a merge reads a column that is not there"))?;
        }
        picks.push(below);
        below = pick.input();
    }
    let Some(node) = below.downcast_ref::<DeviceSortExec>() else { return Ok(None) };
    let (sort, placed) = (node.sort(), node.placed());
    if placed.is_host() || !sort.expr().iter().eq(&order) {
        return Ok(None);
    }
    let rows = Arc::new(CoalescePartitionsExec::new(Arc::clone(sort.input())));
    let fetch = [merge.fetch(), sort.fetch()].into_iter().flatten().min();
    let whole = SortExec::new(sort.expr().clone(), rows).with_fetch(fetch);
    let whole: Arc<dyn ExecutionPlan> =
        Arc::new(DeviceSortExec::new(Arc::new(whole), placed.clone()));
    let options = || ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    let plan = picks
        .into_iter()
        .rev()
        .try_fold(whole, |plan, pick| Arc::clone(pick).replace_children(vec![plan], options()))?;
    Ok(Some((plan, placed.name())))
}

fn internal(text: &str) -> DataFusionError {
    DataFusionError::Internal(text.to_string())
}

/// Number of operators of a plan.
fn size(plan: &Arc<dyn ExecutionPlan>) -> usize {
    1 + plan.children().into_iter().map(size).sum::<usize>()
}

/// A node over new children. An aggregation that was merged has one partition: where the
/// node counts on more, they are made again.
fn with_children(
    plan: &Arc<dyn ExecutionPlan>,
    old: Vec<Arc<dyn ExecutionPlan>>,
    new: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if old.iter().zip(&new).all(|(a, b)| Arc::ptr_eq(a, b)) {
        return Ok(Arc::clone(plan));
    }
    let mut children = Vec::with_capacity(new.len());
    let (distributions, orders) =
        (plan.input_distribution_requirements(), plan.required_input_ordering());
    for (at, (old, new)) in old.iter().zip(new).enumerate() {
        let partitions = old.output_partitioning().partition_count();
        let other = new.output_partitioning().partition_count() != partitions;
        let by_key =
            matches!(distributions.child_distribution(at), Some(Distribution::KeyPartitioned(_)))
                || plan.is::<InterleaveExec>();
        let by_key = by_key && matches!(old.output_partitioning(), Partitioning::Hash(..));
        let ordered = orders.get(at).is_some_and(Option::is_some);
        let any = takes_any_partitions(plan);
        children.push(if by_key && !(any && one(&new)) {
            segment::exchanged(old, new, ordered)?
        } else if other && !any {
            Arc::new(RepartitionExec::try_new(new, Partitioning::RoundRobinBatch(partitions))?)
        } else {
            new
        });
    }
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan).replace_children(children, options)
}

fn one(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.output_partitioning().partition_count() == 1
}

/// Whether a node works alike over one partition and over several, and tells no one above
/// a number of partitions that matters.
fn takes_any_partitions(plan: &Arc<dyn ExecutionPlan>) -> bool {
    segment::is_step(plan)
        || plan.is::<AggregateExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<DeviceDownloadExec>()
        || plan.is::<DevicePipelineExec>()
        || plan.is::<DeviceAggregateExec>()
        || plan.is::<DeviceSortExec>()
        || plan.is::<DeviceUploadExec>()
        || plan.is::<SharedExec>()
}

/// A plan that the rule returned, and the decisions behind it.
type Remembered = (Weak<dyn ExecutionPlan>, Arc<Vec<Decision>>);

/// [`place`] as a rule, to be the last one of a session.
#[derive(Debug)]
pub struct PlaceOnDevice {
    devices: DeviceSet,
    options: PlacementOptions,
    remembered: Mutex<VecDeque<Remembered>>,
}

impl PlaceOnDevice {
    /// The rule for the devices of a session.
    pub fn new(devices: DeviceSet, options: PlacementOptions) -> Self {
        Self { devices, options, remembered: Mutex::default() }
    }

    /// The devices.
    pub fn devices(&self) -> &DeviceSet {
        &self.devices
    }

    /// The options.
    pub fn options(&self) -> &PlacementOptions {
        &self.options
    }

    /// The decisions behind a plan that this rule returned; `None` for any other plan, and
    /// for one that is long past.
    pub fn decisions(&self, plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<Vec<Decision>>> {
        let plan = Arc::downgrade(plan);
        let remembered = self.remembered.lock();
        remembered.iter().find(|(p, _)| p.ptr_eq(&plan)).map(|(_, d)| Arc::clone(d))
    }
}

impl PhysicalOptimizerRule for PlaceOnDevice {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !self.options.enabled {
            return Ok(plan);
        }
        // By cost such a filter stays on the host: its rows are few, or there already.
        let plan = match self.options.force_device.is_some() {
            true => subquery::as_columns(&plan)?,
            false => plan,
        };
        let (plan, decisions) = place(plan, &self.devices, &self.options)?;
        let mut remembered = self.remembered.lock();
        remembered.push_front((Arc::downgrade(&plan), Arc::new(decisions)));
        remembered.truncate(REMEMBERED);
        Ok(plan)
    }

    fn name(&self) -> &str {
        "place_on_device"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
