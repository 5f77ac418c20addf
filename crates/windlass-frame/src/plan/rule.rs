//! The placement rule, and its pure function.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use datafusion::{
    config::ConfigOptions,
    error::Result,
    physical_optimizer::{PhysicalOptimizerRule, sanity_checker::check_plan_sanity},
    physical_plan::ExecutionPlan,
};
use parking_lot::Mutex;
use windlass_device::{Device, DeviceClass, DeviceName};
use windlass_runtime::EventKind;

use super::{
    Decision, DeviceSet, Footers,
    breaker::{self, Breaker},
    children::{whole_sort, with_children},
    choose::choose,
    coded, estimate, group_top, moved,
    resident::{self, Kept, Note},
    segment::{self, Lowered, Segment},
    subquery,
};
use crate::nodes::{
    DeviceAggregateExec, DeviceDownloadExec, DeviceUploadExec, HostChain, Placed, chain::one_line,
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
    /// Whether rows of joins, sorts and the like may stay on a device for what is above. With
    /// the rows on the host each operator goes on in parts where the device's memory ends.
    pub keep_rows: bool,
}

impl Default for PlacementOptions {
    fn default() -> Self {
        Self { force_device: None, collapse: true, enabled: true, footers: None, keep_rows: true }
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
    // Without `collapse`, others count on the partitions of the rows.
    placer.number(&plan, 0, !options.collapse);
    let placed = placer.rewrite(&plan, 0)?;
    if placer.placed == 0 && !placer.coded {
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
pub(super) struct Placer<'a> {
    pub(super) devices: &'a DeviceSet,
    pub(super) options: &'a PlacementOptions,
    /// One for each operator, in depth-first order.
    pub(super) decisions: Vec<Decision>,
    /// Segments placed so far.
    pub(super) placed: usize,
    /// Whether a filter left on the host reads texts as codes.
    coded: bool,
    /// Sorts of which only the first rows of each group are wanted.
    tops: Vec<group_top::Found>,
    /// Joins placed so far, with their decisions.
    pub(super) joins: Vec<(Arc<dyn ExecutionPlan>, usize)>,
    /// Limits, unions and exchanges met so far, with their decisions.
    pub(super) movers: Vec<(Arc<dyn ExecutionPlan>, usize)>,
    /// Those exchanges of which only the reader counts on the partitions of rows.
    pub(super) exchanges: Vec<Arc<dyn ExecutionPlan>>,
    /// For each operator, whether one above counts on the partitions of its rows as the host
    /// makes them.
    pub(super) paired: Vec<bool>,
    threads: usize,
}

impl<'a> Placer<'a> {
    fn new(devices: &'a DeviceSet, options: &'a PlacementOptions) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            devices,
            options,
            decisions: Vec::new(),
            placed: 0,
            coded: false,
            tops: Vec::new(),
            joins: Vec::new(),
            movers: Vec::new(),
            exchanges: Vec::new(),
            paired: Vec::new(),
            threads,
        }
    }

    /// Makes the decision of each operator, as if nothing were placed.
    fn number(&mut self, plan: &Arc<dyn ExecutionPlan>, depth: usize, paired: bool) {
        self.paired.push(paired);
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
        let paired = moved::pairs_partitions(plan) || paired && !moved::repartitions(plan);
        for child in plan.children() {
            self.number(child, depth + 1, paired);
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
        self.placed += 1;
        let inventory = Arc::clone(self.devices.inventory());
        // Rows of a join or sort can stay on a GPU for what is above, and the runs of a sort are
        // merged on the host: one GPU is faster. Windows take rows from the host and give them back.
        let apart =
            device.info().class != DeviceClass::Real || matches!(breaker, Breaker::Window(_));
        let share = apart && breaker.can_share();
        let group = choice.group.filter(|_| share);
        let placed = Placed { device, inventory, reason: choice.reason.into(), group };
        self.mark(id..id + 1, &placed.name());
        if self.options.collapse && matches!(breaker, Breaker::Join(_)) {
            let mut next = id + 1;
            for input in plan.children() {
                if breaker::idle_below(input).is_some() {
                    self.decisions[next].reason = "one table serves all partitions".to_string();
                }
                next += size(input);
            }
        }
        let node = breaker.node(&below, placed, self.options.collapse)?;
        match breaker {
            Breaker::Join(_) => self.joins.push((Arc::clone(&node), id)),
            Breaker::Sort => return self.rest(node, id),
            _ => {}
        }
        Ok(node)
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
        let placed = Placed {
            device: Arc::clone(&device),
            inventory,
            reason: reason.clone().into(),
            group: None,
        };
        let old = Arc::clone(below.children()[0]);
        let new = group_top::prune(&old, &top, placed)?;
        Ok(Some((with_children(below, vec![old], vec![new])?, device, reason)))
    }

    /// Notes that operators are placed on a device.
    pub(super) fn mark(&mut self, decisions: std::ops::Range<usize>, device: &str) {
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
        let footers = self.options.footers.as_ref();
        let (kept, notes) = resident::keep(segment, &source, &self.keeping());
        let (coded, texts) = coded::source(segment.lowered.input(), &source, footers);
        let mut figures = estimate::figures(segment, texts, self.threads);
        if let Some(kept) = &kept {
            figures = figures.uploading(kept.bytes.kept);
        }
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
        let kept = self.kept(&*device, kept, notes);
        let (reason, inventory): (Arc<str>, _) =
            (choice.reason.into(), Arc::clone(self.devices.inventory()));
        let group = choice.group.filter(|_| kept.is_none() && segment.can_share());
        let placed = Placed { device, inventory, reason: Arc::clone(&reason), group };
        let source = coded.unwrap_or(source);
        let (mut nodes, mut source, mut end) = (segment.nodes.clone(), source, below);
        let node = if let Some(kept) = kept {
            end += segment.source_exchanges().min(kept.exchanges);
            self.mark(id..end, &kept.placed.name());
            kept.lowered.node(kept.input, HostChain::new(kept.nodes), figures.groups, reason)?
        } else {
            if !placed.is_host()
                && let Some(exchange) = segment.idle_exchange(&source)
            {
                source = Arc::clone(exchange.children()[0]);
                nodes.insert(0, exchange);
                end += 1;
            }
            self.mark(id..end, &placed.name());
            let upload = DeviceUploadExec::new(source, placed, segment.lowered.input().clone());
            let (chain, groups) = (HostChain::new(nodes), figures.groups);
            segment.lowered.node(Arc::new(upload), chain, groups, reason)?
        };
        for d in &mut self.decisions[below..end] {
            d.reason = "one aggregation reads all partitions".to_string();
        }
        self.placed += 1;
        Ok(Some(Arc::new(DeviceDownloadExec::try_new(node)?)))
    }

    /// The segment over a join on its device, where `device`, which was chosen, is one too and
    /// that pays or was asked for; the decisions of the joins say so.
    fn kept(&mut self, device: &dyn Device, kept: Option<Kept>, notes: Vec<Note>) -> Option<Kept> {
        let class = device.info().class;
        let asked = self.options.force_device.is_some() || class != DeviceClass::Real;
        let kept = kept.filter(|k| class != DeviceClass::Host && (asked || k.pays()));
        self.notes(notes, device, kept.is_some());
        kept
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
        &mut self,
        segment: &Segment,
        source: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut below = Arc::clone(&segment.source);
        let mut plan = source;
        for node in &segment.nodes {
            plan = self.left(with_children(node, vec![below], vec![plan])?);
            below = Arc::clone(node);
        }
        Ok(plan)
    }

    /// A node left to DataFusion: a filter over a scan looks at texts as codes.
    fn left(&mut self, plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let coded = coded::filter(&plan, self.options.footers.as_ref());
        self.coded |= coded.is_some();
        coded.unwrap_or(plan)
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
        let plan = self.left(with_children(plan, old, new)?);
        self.rest(plan, id)
    }
}

/// Number of operators of a plan.
fn size(plan: &Arc<dyn ExecutionPlan>) -> usize {
    1 + plan.children().into_iter().map(size).sum::<usize>()
}

/// A plan that the rule returned, and the decisions behind it.
type Remembered = (Weak<dyn ExecutionPlan>, Arc<Vec<Decision>>);

/// [`place`] as a rule, to be the last one of a session.
#[derive(Debug)]
pub struct PlaceOnDevice {
    devices: DeviceSet,
    options: PlacementOptions,
    remembered: Arc<Mutex<VecDeque<Remembered>>>,
}

impl PlaceOnDevice {
    /// The rule for the devices of a session.
    pub fn new(devices: DeviceSet, options: PlacementOptions) -> Self {
        Self { devices, options, remembered: Arc::default() }
    }

    /// The same, which leaves rows on the host ([`PlacementOptions::keep_rows`]). Both remember
    /// the decisions of either.
    pub fn with_rows_on_the_host(&self) -> Self {
        let options = PlacementOptions { keep_rows: false, ..self.options.clone() };
        Self { devices: self.devices.clone(), options, remembered: Arc::clone(&self.remembered) }
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
            true => moved::limits_apart(&subquery::as_columns(&plan)?)?,
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
