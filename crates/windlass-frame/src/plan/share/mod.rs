//! Aggregations that a query names more than once, such as those of a `WITH`, and joins that it
//! aggregates in more than one way, computed once.

mod merge;
mod outer;

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{
        DFSchemaRef,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    datasource::DefaultTableSource,
    error::{DataFusionError, Result},
    execution::context::QueryPlanner,
    logical_expr::{
        Aggregate, Expr, Extension, LogicalPlan, Projection, TableScan, UserDefinedLogicalNode,
        UserDefinedLogicalNodeCore, physical_planning_context::PhysicalPlanningContext,
    },
    physical_plan::ExecutionPlan,
    physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner},
};

use super::estimate::rows_of;
use crate::nodes::{SharedExec, SharedState};

/// Most bytes of a join's rows that are kept for its readers. A guess: what a laptop can spare.
const ROWS_KEPT: usize = 256 << 20;

/// Plans queries as DataFusion does, but aggregations that stand in a query several times, over
/// the same rows and with the same keys, are run once, with the functions of all; and joins
/// whose rows are aggregated in several ways are run once, with the columns of all.
///
/// ```text
///   Aggregate by a       Aggregate              Aggregate by a      Aggregate
///        │                   │                        │                 │
///   Join → a, x          Join → x        ─►     Projection a, x   Projection x
///                                                     └───── Join ──────┘
/// ```
///
/// DataFusion puts the text of a `WITH` in the place of its name, wherever that stands. What
/// is alike after optimization is found here. Results of aggregations are mostly small and are
/// kept in memory; of a join up to [`ROWS_KEPT`], and where there is more each reader runs its
/// own. Groups that a join compares its own rows with may be those of these rows: see [`outer`].
/// Parts with functions that give other values at each call are not shared, nor those with
/// subqueries.
#[derive(Debug, Default)]
pub(crate) struct SharingPlanner;

#[async_trait]
impl QueryPlanner for SharingPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // A plan that cannot be made is none; the query's own then says why.
        if let Ok(Some((new, parts))) = outer::rewrite(plan)
            && let Ok(Some(planned)) = with_parts(&new, parts, session).await
        {
            return Ok(planned);
        }
        let planned = with_parts(plan, 0, session).await?;
        planned.ok_or_else(|| DataFusionError::Internal("a shared part was refused".to_string()))
    }
}

/// The plan of a query of which `parts` are parts already, and with more; `None` where a part
/// is not worth it.
async fn with_parts(
    plan: &LogicalPlan,
    parts: usize,
    session: &dyn Session,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let shared = share(plan, parts)?;
    let (plan, parts) = shared.as_ref().map_or((plan, parts), |(plan, parts)| (plan, *parts));
    let states = (0..parts).map(|_| Arc::default()).collect();
    let parts = Arc::new(PartPlanner { states, refused: AtomicBool::new(false) });
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::clone(&parts) as _]);
    let planned = planner.create_physical_plan(plan, session).await?;
    Ok((!parts.refused.load(Relaxed)).then_some(planned))
}

/// A part of a plan that stands in several places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Part {
    number: usize,
    schema: DFSchemaRef,
    /// Its plan; `None` for all readers but the first.
    rows: Option<LogicalPlan>,
    /// Most bytes of it to keep.
    most: usize,
    /// What would be read without it: at least twice as many rows, or it is refused.
    instead: Option<LogicalPlan>,
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let order = self.number.partial_cmp(&other.number)?;
        (order.is_ne() || self == other).then_some(order)
    }
}

impl UserDefinedLogicalNodeCore for Part {
    fn name(&self) -> &'static str {
        "Shared"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.rows.iter().chain(&self.instead).collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared: part={}", self.number)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        let rows = self.rows.as_ref().and_then(|_| inputs.next());
        let instead = self.instead.as_ref().and_then(|_| inputs.next());
        Ok(Self { rows, instead, ..self.clone() })
    }
}

/// Plans [`Part`]s.
struct PartPlanner {
    /// One for each part.
    states: Vec<Arc<SharedState>>,
    /// Whether a part is not worth it.
    refused: AtomicBool,
}

#[async_trait]
impl ExtensionPlanner for PartPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(part) = node.as_any().downcast_ref::<Part>() else { return Ok(None) };
        let (number, state) = (part.number, Arc::clone(&self.states[part.number]));
        if let [rows, instead] = inputs {
            let (rows, instead) = (rows_of(rows), rows_of(instead));
            let worth = rows.zip(instead).is_some_and(|(rows, instead)| rows <= instead / 2);
            tracing::debug!(?rows, ?instead, worth, "groups from the rows of the outer query");
            self.refused.fetch_or(!worth, Relaxed);
        }
        Ok(Some(Arc::new(match inputs.first() {
            Some(rows) => SharedExec::planned(Arc::clone(rows), number, part.most, state),
            None => {
                let schema = Arc::clone(part.schema.inner());
                let partitions = session.config().target_partitions();
                SharedExec::leaf(schema, partitions, number, part.most, state)
            }
        })))
    }
}

/// What stands in a plan several times, with all that its readers ask for.
enum Repeated {
    /// An aggregation.
    Groups(Aggregate),
    /// A join whose rows are aggregated in different ways.
    Rows(LogicalPlan),
}

impl Repeated {
    fn plan(&self) -> LogicalPlan {
        match self {
            Self::Groups(all) => LogicalPlan::Aggregate(all.clone()),
            Self::Rows(all) => all.clone(),
        }
    }

    /// An aggregation over this as part `number`, the `first` one of it or another; `None` if
    /// it is not in it.
    fn read_by(
        &self,
        reader: &Aggregate,
        number: usize,
        first: bool,
    ) -> Result<Option<LogicalPlan>> {
        let part = |all, most| part(number, all, first, most, None);
        match self {
            Self::Groups(all) if same(reader, all) => {
                read(reader, all, part(self.plan(), usize::MAX)).map(Some)
            }
            Self::Rows(all) => {
                let Some(join) = merge::joined(reader).filter(|join| covers(all, join)) else {
                    return Ok(None);
                };
                let part = part(all.clone(), ROWS_KEPT);
                let columns = join.schema().columns().into_iter().map(Expr::Column).collect();
                let schema = Arc::clone(join.schema());
                let picked = Projection::try_new_with_schema(columns, Arc::new(part), schema)?;
                let over = merge::with_join(reader, LogicalPlan::Projection(picked))?;
                Ok(Some(over))
            }
            Self::Groups(_) => Ok(None),
        }
    }
}

/// The plan with its repeated aggregations, and its joins that are aggregated repeatedly, as
/// [`Part`]s from number `first` on, and the number of all parts; `None` without any more.
fn share(plan: &LogicalPlan, first: usize) -> Result<Option<(LogicalPlan, usize)>> {
    let mut repeated = repeated(plan)?;
    // What stands only within a larger repeated part is not shared by itself.
    while !repeated.is_empty() {
        let mut counts = vec![0usize; repeated.len()];
        let shared = plan.clone().transform_down_with_subqueries(|node| {
            let LogicalPlan::Aggregate(reader) = &node else { return Ok(Transformed::no(node)) };
            for (number, part) in repeated.iter().enumerate() {
                if let Some(over) = part.read_by(reader, first + number, counts[number] == 0)? {
                    counts[number] += 1;
                    return Ok(Transformed::new(over, true, TreeNodeRecursion::Jump));
                }
            }
            Ok(Transformed::no(node))
        });
        let shared = shared.data()?;
        if counts.iter().all(|count| *count > 1) {
            return Ok(Some((shared, first + repeated.len())));
        }
        let mut counts = counts.into_iter();
        repeated.retain(|_| counts.next().is_some_and(|count| count > 1));
    }
    Ok(None)
}

/// What stands in the plan more than once; aggregations before joins.
fn repeated(plan: &LogicalPlan) -> Result<Vec<Repeated>> {
    let mut groups: Vec<(u64, Aggregate, usize)> = Vec::new();
    let mut rows: Vec<(u64, LogicalPlan, usize)> = Vec::new();
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::Aggregate(node) = node else { return Ok(TreeNodeRecursion::Continue) };
        let number = hash(node);
        match groups.iter_mut().find(|(n, other, _)| *n == number && same(node, other)) {
            Some((_, all, count)) => {
                let new = node.aggr_expr.iter().filter(|e| !all.aggr_expr.contains(e));
                let new: Vec<Expr> = new.cloned().collect();
                all.aggr_expr.extend(new);
                *count += 1;
            }
            None => groups.push((number, node.clone(), 1)),
        }
        let Some(join) = merge::joined(node) else { return Ok(TreeNodeRecursion::Continue) };
        let outline = merge::outline(join);
        // What cannot be made is not shared; the query's own plans are still there.
        let both = rows.iter_mut().filter(|(n, ..)| *n == outline).find_map(|(_, all, count)| {
            let both = merge::merged(all, join).ok().flatten()?;
            Some((all, count, both))
        });
        match both {
            Some((all, count, both)) => {
                *all = both;
                *count += 1;
            }
            None => rows.push((outline, join.clone(), 1)),
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut repeated = Vec::new();
    for (_, node, _) in groups.into_iter().filter(|(.., count)| *count > 1) {
        // With all that its readers ask for; two functions of one name do not go together.
        let all = Aggregate::try_new(node.input, node.group_expr, node.aggr_expr);
        repeated.extend(all.ok().map(Repeated::Groups));
    }
    let rows = rows.into_iter().filter(|(.., count)| *count > 1);
    repeated.extend(rows.map(|(_, all, _)| Repeated::Rows(all)));
    let mut sound = Vec::with_capacity(repeated.len());
    for part in repeated {
        if may_share(&part.plan())? {
            sound.push(part);
        }
    }
    Ok(sound)
}

/// Whether `all` has the rows of `join` and its columns.
fn covers(all: &LogicalPlan, join: &LogicalPlan) -> bool {
    merge::outline(all) == merge::outline(join)
        && merge::merged(all, join).ok().flatten().as_ref() == Some(all)
}

/// A reader of a part of a plan: the one that has the plan, or another.
fn part(
    number: usize,
    all: LogicalPlan,
    first: bool,
    most: usize,
    instead: Option<LogicalPlan>,
) -> LogicalPlan {
    let schema = Arc::clone(all.schema());
    let part = Part { number, schema, rows: first.then_some(all), most, instead };
    LogicalPlan::Extension(Extension { node: Arc::new(part) })
}

/// What one reader takes of a part: its keys, and those of its functions that it asked for.
fn read(reader: &Aggregate, all: &Aggregate, part: LogicalPlan) -> Result<LogicalPlan> {
    if reader.aggr_expr == all.aggr_expr {
        return Ok(part);
    }
    let keys = reader.group_expr.len();
    let of = |e| all.aggr_expr.iter().position(|other| other == e).map(|at| keys + at);
    let columns = (0..keys).chain(reader.aggr_expr.iter().filter_map(of));
    let columns = columns.map(|at| Expr::Column(all.schema.qualified_field(at).into()));
    let columns: Vec<Expr> = columns.collect();
    let picked =
        Projection::try_new_with_schema(columns, Arc::new(part), Arc::clone(&reader.schema))?;
    Ok(LogicalPlan::Projection(picked))
}

fn hash(node: &Aggregate) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&node.input, &node.group_expr).hash(&mut hasher);
    hasher.finish()
}

/// Whether two aggregations have the same groups, of rows of the same tables: plans compare
/// those by name only.
fn same(a: &Aggregate, b: &Aggregate) -> bool {
    let sets = |node: &Aggregate| node.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_)));
    a.group_expr == b.group_expr
        && a.input == b.input
        && !sets(a)
        && tables(&a.input) == tables(&b.input)
}

/// The addresses of the tables that a plan reads, in its order.
fn tables(plan: &LogicalPlan) -> Vec<*const ()> {
    let mut tables = Vec::new();
    let of = |scan: &TableScan| match scan.source.downcast_ref::<DefaultTableSource>() {
        Some(source) => Arc::as_ptr(&source.table_provider).cast::<()>(),
        None => Arc::as_ptr(&scan.source).cast::<()>(),
    };
    let walked = plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            tables.push(of(scan));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "the walk itself does not fail");
    tables
}

/// Whether a part gives the same rows wherever it stands, and reads a table.
fn may_share(plan: &LogicalPlan) -> Result<bool> {
    let (mut reads, mut alike) = (false, true);
    plan.apply(|node| {
        reads |= matches!(node, LogicalPlan::TableScan(_));
        alike &= !matches!(node, LogicalPlan::Extension(_) | LogicalPlan::RecursiveQuery(_));
        node.apply_expressions(|e| {
            e.apply(|e| {
                alike &= !e.is_volatile_node()
                    && !matches!(
                        e,
                        Expr::ScalarSubquery(_)
                            | Expr::InSubquery(_)
                            | Expr::Exists(_)
                            | Expr::OuterReferenceColumn(..)
                            | Expr::Placeholder(_)
                    );
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(reads && alike)
}
