//! Limits, unions, exchanges and sorts of rows that lie on a device.
//!
//! ```text
//!   GlobalLimitExec                         DeviceDownloadExec
//!     FilterExec, ProjectionExec    ─►        DeviceLimitExec
//!       DeviceHashJoinExec                      DevicePipelineExec: [steps, columns]
//!                                                 ResidentHashJoinExec
//! ```
//!
//! These operators compute nothing: where their rows are on the host, DataFusion's are as good,
//! and to move rows to a device for them would be waste. They are placed where the rows below
//! are on a device already, of a join or of a pipeline. What reads their rows there decides
//! that ([`super::resident`]); limits and sorts are placed also where their rows come to the
//! host next ([`top`]): fewer of them, or in their order.

use std::sync::Arc;

use datafusion::{
    common::tree_node::{Transformed, TransformedResult, TreeNode},
    error::Result as PlanResult,
    physical_expr::expressions::Column,
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr,
        ReplaceChildrenOptions,
        coalesce_partitions::CoalescePartitionsExec,
        filter::FilterExec,
        joins::HashJoinExec,
        limit::{GlobalLimitExec, LocalLimitExec},
        repartition::RepartitionExec,
        sorts::sort_preserving_merge::SortPreservingMergeExec,
        union::UnionExec,
    },
};
use windlass_device::DeviceClass;
use windlass_kernels::sort::SortKey;

use super::{
    resident::{Bytes, Keeper, Keeping, Note, known, refused},
    segment,
};
use crate::{
    lower::{HostTables, InputPlan, Lowering, Unsupported},
    nodes::{
        DeviceDownloadExec, DeviceHashJoinExec, DevicePipelineExec, DeviceSortExec, Placed,
        ResidentExec, as_device_node,
        limit::Limit,
        repartition::{By, Repartition},
        resident::{Kind, Texts, Wiring},
        resident_sort::Sort,
        source::{self, Source},
        union::Union,
    },
};

type Plan = Arc<dyn ExecutionPlan>;

/// A plan whose rows stay on the device, the reader's tables if they change, and the bytes
/// that cross the link.
pub(super) type Rested = (Plan, Option<HostTables>, Bytes);

/// An operator with its rows on a device, where, and what is to be said of those below.
pub(super) type Top = Result<(Plan, Placed, Vec<Note>), Unsupported>;

/// Shares of a device's free memory that a sort of all rows takes: the batches, all of them
/// as one, the numbers of the rows with the sort's own state, and a piece in order.
const SORT_SHARES: f64 = 4.0;

/// An operator that passes rows on as they are.
enum Mover<'a> {
    Limit(Limit),
    Union,
    Exchange(&'a RepartitionExec),
    Sort(&'a DeviceSortExec),
}

/// What a node is; `None` for one that does more than to pass rows on.
fn mover(plan: &Plan) -> Option<Mover<'_>> {
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        let (skip, fetch) = (limit.skip(), limit.fetch());
        return Some(Mover::Limit(Limit { skip, fetch, merges: true }));
    }
    if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
        let (skip, fetch) = (0, Some(limit.fetch()));
        return Some(Mover::Limit(Limit { skip, fetch, merges: false }));
    }
    if plan.is::<CoalescePartitionsExec>() {
        let fetch = plan.fetch();
        return fetch.map(|_| Mover::Limit(Limit { skip: 0, fetch, merges: true }));
    }
    if let Some(exchange) = plan.downcast_ref::<RepartitionExec>() {
        let known = matches!(
            exchange.partitioning(),
            Partitioning::Hash(..) | Partitioning::RoundRobinBatch(_)
        );
        return (known && !exchange.preserve_order()).then_some(Mover::Exchange(exchange));
    }
    if let Some(sort) = plan.downcast_ref::<DeviceSortExec>() {
        return Some(Mover::Sort(sort));
    }
    plan.is::<UnionExec>().then_some(Mover::Union)
}

/// Whether DataFusion's form of a node only passes rows on, in another order at most; then the
/// reason to leave it to the host, where its rows are.
pub(super) fn stays(plan: &Plan) -> Option<String> {
    let what = match mover(plan)? {
        Mover::Sort(_) => return None,
        Mover::Limit(_) => "it only counts rows",
        Mover::Union => "it only passes rows on",
        Mover::Exchange(_) => "it only spreads rows",
    };
    Some(format!("{what}, and they are on the host"))
}

/// Whether the node is a mover that [`Keeper::rows`] takes.
pub(super) fn is_mover(plan: &Plan) -> bool {
    mover(plan).is_some()
}

/// The plan whose rows a node at the end of a device's part of the plan brings to the host.
pub(super) fn unrested(plan: &Plan) -> &Plan {
    let download = plan.downcast_ref::<DeviceDownloadExec>();
    match download.and_then(|d| d.input().downcast_ref::<ResidentExec>()) {
        Some(rows) => rows.host(),
        None => plan,
    }
}

/// Where rows of a plan are on a device, but for filters, projections and movers above.
pub(super) fn place_of(plan: &Plan) -> Option<&Placed> {
    // What several devices share comes to the host.
    let alone = |placed: &&Placed| placed.group.is_none();
    if let Some(join) = plan.downcast_ref::<DeviceHashJoinExec>() {
        return Some(join.placed()).filter(alone);
    }
    if let Some(download) = plan.downcast_ref::<DeviceDownloadExec>() {
        let input = download.input();
        let leaves = input.is::<DevicePipelineExec>() || input.is::<ResidentExec>();
        let node = as_device_node(&**input).filter(|_| leaves);
        return node.map(|node| node.placed()).filter(alone);
    }
    if segment::is_step(plan) || plan.is::<CoalescePartitionsExec>() || is_mover(plan) {
        return plan.children().into_iter().find_map(place_of);
    }
    None
}

/// Whether the next operator but filters and projections has its rows on a device and brings
/// them to the host.
fn begins_on_device(plan: &Plan, keeper: &Keeper<'_>) -> bool {
    if segment::is_step(plan) {
        return begins_on_device(plan.children()[0], keeper);
    }
    plan.is::<DeviceDownloadExec>() && place_of(plan).is_some_and(|placed| keeper.has(placed))
}

/// Below a node that reads one partition: what lies below the exchange that makes it one.
fn merged(plan: &Plan) -> &Plan {
    match plan.is::<CoalescePartitionsExec>() && plan.fetch().is_none() {
        true => merged(plan.children()[0]),
        false => plan,
    }
}

/// Key expressions as columns of an input: those of the reader, and more before these.
struct Keys {
    extra: Vec<Arc<dyn PhysicalExpr>>,
    places: Vec<usize>,
}

impl Keys {
    /// `columns`: what the reader has of the input.
    fn of(exprs: &[&Arc<dyn PhysicalExpr>], columns: &[usize]) -> Self {
        let read = |e: &Arc<dyn PhysicalExpr>| {
            let column = e.downcast_ref::<Column>()?;
            columns.iter().position(|c| *c == column.index())
        };
        let extra: Vec<_> = exprs.iter().filter(|e| read(e).is_none()).copied().cloned().collect();
        let mut next = 0..extra.len();
        let place = |e: &&Arc<dyn PhysicalExpr>| {
            let read = read(e).map(|at| extra.len() + at);
            read.or_else(|| next.next()).unwrap_or_default()
        };
        let places = exprs.iter().map(place).collect();
        Self { extra, places }
    }
}

impl Keeper<'_> {
    /// A plan of the device with its rows there, for a reader.
    pub(super) fn rows(
        &mut self,
        plan: &Plan,
        reader: &InputPlan,
        tables: &HostTables,
    ) -> Result<Rested, Unsupported> {
        match mover(plan) {
            Some(mover) => self.moved(plan, &mover, reader, tables),
            None => self.join(plan, reader, tables),
        }
    }

    /// Whether a plan's rows may stay on the device: they are those of a join or pipeline there.
    pub(super) fn may_rest(&self, plan: &Plan) -> bool {
        self.keeping.rows && self.may_rest_there(plan)
    }

    fn may_rest_there(&self, plan: &Plan) -> bool {
        match mover(plan) {
            Some(Mover::Exchange(exchange)) => {
                self.may_exchange(plan) && self.may_rest_there(exchange.input())
            }
            Some(_) => plan.children().into_iter().any(|child| self.may_rest_there(merged(child))),
            None if segment::is_step(plan) => self.may_rest_there(plan.children()[0]),
            None => place_of(plan).is_some_and(|placed| self.has(placed)),
        }
    }

    /// Whether no one but its reader counts on the partition of a row after an exchange: the
    /// host hashes rows otherwise than devices do.
    fn may_exchange(&self, plan: &Plan) -> bool {
        let spreads = plan
            .downcast_ref::<RepartitionExec>()
            .is_some_and(|e| matches!(e.partitioning(), Partitioning::RoundRobinBatch(_)));
        spreads || self.keeping.exchanges.iter().any(|e| Arc::ptr_eq(e, plan))
    }

    fn moved(
        &mut self,
        plan: &Plan,
        mover: &Mover<'_>,
        reader: &InputPlan,
        tables: &HostTables,
    ) -> Result<Rested, Unsupported> {
        let columns: Vec<usize> = reader.columns.iter().map(|c| c.source).collect();
        let exprs: Vec<&Arc<dyn PhysicalExpr>> = match mover {
            Mover::Exchange(exchange) => match exchange.partitioning() {
                Partitioning::Hash(exprs, _) => exprs.iter().collect(),
                _ => Vec::new(),
            },
            Mover::Sort(sort) => sort.sort().expr().iter().map(|key| &key.expr).collect(),
            Mover::Limit(_) | Mover::Union => Vec::new(),
        };
        if matches!(mover, Mover::Exchange(_)) && !self.may_exchange(plan) {
            let why = "the operator above has other rows that the host partitions by their keys";
            return Err(Unsupported::new(why));
        }
        let Keys { extra, places } = Keys::of(&exprs, &columns);
        let merges = match mover {
            Mover::Limit(limit) => limit.merges,
            Mover::Sort(sort) => !sort.sort().preserve_partitioning(),
            Mover::Exchange(_) => true,
            Mover::Union => false,
        };
        let (mut sides, mut texts): (Vec<Plan>, Vec<_>) = (Vec::new(), Vec::new());
        let (mut bytes, mut changed, mut rests) = (Bytes::default(), None, false);
        let width: usize = reader.columns.iter().map(|c| c.ty.wide_bytes()).sum();
        for input in plan.children() {
            let input = if merges { merged(input) } else { input };
            let (side, of) = self.side(input, extra.clone(), &columns)?;
            let now = changed.as_ref().unwrap_or(tables);
            let (shared, new) = Texts::new(side.plan(), extra.len(), reader, now)?;
            changed = new.or(changed);
            let uploads = matches!(source::of(side.input()), Ok(Source::Upload(_)));
            let there = begins_on_device(input, self);
            rests |= there || !uploads;
            // Rows of a pipeline come to the host, and go to the device again.
            let moved = known(input) * width as f64;
            let fetched = match (there, uploads) {
                (true, true) => of.kept + 2.0 * moved,
                (_, false) => of.fetched + moved,
                (false, true) => moved,
            };
            bytes = bytes.and(Bytes { kept: of.kept, fetched });
            sides.push(Arc::new(side));
            texts.push(shared);
        }
        if !rests {
            return Err(Unsupported::new("its rows are on the host"));
        }
        let kind: Box<dyn Kind> = match mover {
            Mover::Limit(limit) => Box::new(*limit),
            Mover::Union => Box::new(Union { inputs: sides.len() }),
            Mover::Exchange(exchange) => {
                let parts = exchange.partitioning().partition_count();
                let by = match exchange.partitioning() {
                    Partitioning::Hash(..) => By::Hash(places),
                    _ => By::RoundRobin,
                };
                Box::new(Repartition::new(by, extra.len(), parts))
            }
            Mover::Sort(sort) => {
                let options = sort.sort().expr().iter().map(|key| key.options);
                let keys = places.into_iter().zip(options).map(|(column, options)| SortKey {
                    column,
                    descending: options.descending,
                    nulls_first: options.nulls_first,
                });
                let (keys, fetch) = (keys.collect(), sort.sort().fetch());
                Box::new(Sort { keys, extra: extra.len(), fetch, merges })
            }
        };
        let host = match merges {
            true => Arc::clone(plan),
            false => respread(plan, &sides).map_err(refused)?,
        };
        let wiring = Wiring {
            reader: Arc::new(reader.clone()),
            tables: Arc::new(changed.clone().unwrap_or_else(|| tables.clone())),
            texts: texts.into(),
        };
        let node = ResidentExec::try_new(kind, self.placed.clone(), host, sides, wiring);
        Ok((Arc::new(node.map_err(refused)?), changed, bytes))
    }
}

/// An operator over inputs in as many partitions as these have.
fn respread(plan: &Plan, sides: &[Plan]) -> PlanResult<Plan> {
    let mut children = Vec::with_capacity(sides.len());
    let mut changed = false;
    for (child, side) in plan.children().into_iter().zip(sides) {
        let partitions = side.output_partitioning().partition_count();
        let same = child.output_partitioning().partition_count() == partitions;
        changed |= !same;
        children.push(match same {
            true => Arc::clone(child),
            false => {
                let spread = Partitioning::RoundRobinBatch(partitions);
                Arc::new(RepartitionExec::try_new(Arc::clone(child), spread)?)
            }
        });
    }
    match changed {
        true => {
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            Arc::clone(plan).replace_children(children, options)
        }
        false => Ok(Arc::clone(plan)),
    }
}

/// A limit, union or sort with its rows on the device, where those below are there, and brought
/// to the host in the end. An error says why not; `None` where `plan` is none of these, or where
/// no rows are on a device.
pub(super) fn top(plan: &Plan, keeping: &Keeping<'_>) -> Option<Top> {
    let mover = mover(plan).filter(|m| !matches!(m, Mover::Exchange(_)))?;
    let placed = plan.children().into_iter().find_map(place_of)?;
    if placed.is_host() {
        let why = "its rows are on the host, which moves them no slower";
        let limits = !matches!(mover, Mover::Sort(_));
        return limits.then(|| Err(Unsupported::new(why)));
    }
    let mut keeper = Keeper::new(placed.clone(), keeping);
    if !keeper.may_rest(plan) {
        return None;
    }
    let asked = keeping.forced || placed.device.info().class != DeviceClass::Real;
    let inputs: Vec<&Plan> = plan.children();
    if matches!(mover, Mover::Union) {
        // Its rows pass the host next: that gains nothing.
        if !asked {
            return Some(Err(Unsupported::new("its rows come to the host next")));
        }
        if !inputs.iter().all(|input| keeper.may_rest(input)) {
            return Some(Err(Unsupported::new("some of its rows are on the host")));
        }
    }
    let made = (|| {
        let all = Lowering::new(plan.schema()).finish()?;
        all.kernel.supported(&*placed.device)?;
        if !asked && all.input.columns.iter().any(|c| c.dictionary.is_some()) {
            // Coding them costs the host as much as it saves.
            return Err(Unsupported::new("its texts would get codes only to be texts again"));
        }
        let width: usize = all.input.columns.iter().map(|c| c.ty.wide_bytes() + 4).sum();
        let free = placed.device.pool().available() as f64;
        let rows = super::estimate::rows_of(plan).unwrap_or_default() as f64;
        if matches!(mover, Mover::Sort(_)) && rows * width as f64 * SORT_SHARES > free {
            return Err(Unsupported::new("its rows do not fit the device's memory"));
        }
        let (node, _, bytes) = keeper.rows(plan, &all.input, &all.tables)?;
        if !asked && bytes.kept >= bytes.fetched {
            return Err(Unsupported::new("with its rows on the host fewer bytes move"));
        }
        let download = DeviceDownloadExec::try_new(node).map_err(refused)?;
        Ok((Arc::new(download) as Plan, placed.clone(), std::mem::take(&mut keeper.notes)))
    })();
    Some(made)
}

/// Whether an operator counts on the partition that rows of each of its inputs are in by their
/// keys, those of one input beside those of another.
pub(super) fn pairs_partitions(plan: &Plan) -> bool {
    plan.children().len() > 1 && !plan.is::<UnionExec>()
}

/// Whether an operator puts rows into partitions of its own.
pub(super) fn repartitions(plan: &Plan) -> bool {
    plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<SortPreservingMergeExec>()
}

/// The plan with the number of rows at which a join or filter stops as an operator of its own:
/// devices have no form of those that stop, but limits.
pub(super) fn limits_apart(plan: &Plan) -> PlanResult<Plan> {
    let apart = |node: Plan| {
        let stops = node.is::<HashJoinExec>() || node.is::<FilterExec>();
        let Some(fetch) = node.fetch().filter(|_| stops) else { return Ok(Transformed::no(node)) };
        let Some(all) = node.with_fetch(None) else { return Ok(Transformed::no(node)) };
        Ok(Transformed::yes(Arc::new(LocalLimitExec::new(all, fetch)) as Plan))
    };
    Arc::clone(plan).transform_up(apart).data()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::{
        datasource::MemTable,
        execution::session_state::SessionStateBuilder,
        physical_plan::{collect, displayable},
        prelude::{SessionConfig, SessionContext},
    };
    use windlass_device::DeviceOptions;

    use crate::plan::{DeviceSet, PlaceOnDevice, PlacementOptions};

    /// Four partitions of 500 rows: `id`, and `k` of seven values.
    fn table() -> MemTable {
        let part = |p: i64| {
            let ids = p * 500..p * 500 + 500;
            let k: Int64Array = ids.clone().map(|i| (i % 7 > 0).then_some(i % 7)).collect();
            let columns: [(&str, ArrayRef); 2] =
                [("id", Arc::new(Int64Array::from_iter_values(ids))), ("k", Arc::new(k))];
            vec![RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true)))]
        };
        let parts = (0..4).map(part).map(|p| p.into_iter().collect::<Result<Vec<_>, _>>());
        let parts: Vec<_> = parts.collect::<Result<_, _>>().expect("batches");
        MemTable::try_new(parts[0][0].schema(), parts).expect("a table")
    }

    /// The plan of a query on the emulator, and the first row of its result as numbers.
    async fn run(sql: &str, collapse: bool) -> (String, Vec<i64>) {
        let devices = "cuda-emulated:0".parse().expect("a device");
        let placement = PlacementOptions { collapse, ..PlacementOptions::default() };
        let devices = DeviceSet::new(devices, DeviceOptions::default());
        let rule = Arc::new(PlaceOnDevice::new(devices, placement));
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(SessionConfig::new().with_target_partitions(4))
            .with_physical_optimizer_rule(rule)
            .build();
        let context = SessionContext::new_with_state(state);
        context.register_table("x", Arc::new(table())).expect("a name");
        let plan = context.sql(sql).await.expect("a query").create_physical_plan().await;
        let plan = plan.expect("a plan");
        let text = displayable(&*plan).indent(false).to_string();
        let rows =
            collect(plan, context.task_ctx()).await.unwrap_or_else(|e| panic!("{e}\n{text}"));
        let column = |c: &ArrayRef| {
            let numbers = arrow::compute::cast(c, &arrow::datatypes::DataType::Int64);
            let numbers = numbers.expect("numbers");
            numbers.as_any().downcast_ref::<Int64Array>().expect("numbers").value(0)
        };
        let first = rows.iter().find(|b| b.num_rows() > 0).expect("a row");
        (text, first.columns().iter().map(column).collect())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn where_the_partitions_stay_rows_are_spread_on_the_device() {
        let sql = "select sum(n), count(*) from (select k, count(*) n from (select k from x where \
                   id >= 100 offset 10) group by k)";
        let (plan, row) = run(sql, false).await;
        assert_eq!(row, [1890, 7], "{plan}");
        assert!(plan.contains("DeviceRepartitionExec"), "{plan}");
        assert!(plan.contains("DeviceLimitExec"), "{plan}");
        // One aggregation of all rows needs no exchange.
        let (plan, row) = run(sql, true).await;
        assert_eq!(row, [1890, 7], "{plan}");
        assert!(!plan.contains("DeviceRepartitionExec"), "{plan}");
    }
}
