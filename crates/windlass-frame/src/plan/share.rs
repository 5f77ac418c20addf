//! Aggregations that a query names more than once, such as those of a `WITH`, computed once.

use std::{
    collections::HashMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
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

use crate::nodes::{SharedExec, SharedState};

/// Plans queries as DataFusion does, but aggregations that stand in a query several times, over
/// the same rows and with the same keys, are run once, with the functions of all.
///
/// DataFusion puts the text of a `WITH` in the place of its name, wherever that stands. What
/// is alike after optimization is found here; only aggregations, whose results are mostly small,
/// are kept in memory. Parts with functions that give other values at each call are not, nor
/// those with subqueries.
#[derive(Debug, Default)]
pub(crate) struct SharingPlanner;

#[async_trait]
impl QueryPlanner for SharingPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let shared = share(plan)?;
        let Some((plan, parts)) = shared else {
            return DefaultPhysicalPlanner::default().create_physical_plan(plan, session).await;
        };
        let states = (0..parts).map(|_| Arc::default()).collect();
        let planner =
            DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(PartPlanner { states })]);
        planner.create_physical_plan(&plan, session).await
    }
}

/// A part of a plan that stands in several places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Part {
    number: usize,
    input: LogicalPlan,
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
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared: part={}", self.number)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = inputs.pop().ok_or_else(|| {
            DataFusionError::Internal("a shared part has one input, got none".to_string())
        })?;
        Ok(Self { number: self.number, input })
    }
}

/// Plans [`Part`]s.
struct PartPlanner {
    /// One for each part.
    states: Vec<Arc<SharedState>>,
}

#[async_trait]
impl ExtensionPlanner for PartPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let part = node.as_any().downcast_ref::<Part>();
        Ok(part.zip(inputs.first()).map(|(part, input)| {
            let state = Arc::clone(&self.states[part.number]);
            Arc::new(SharedExec::new(Arc::clone(input), part.number, state)) as _
        }))
    }
}

/// The plan with its repeated aggregations as [`Part`]s, and their number; `None` without any.
fn share(plan: &LogicalPlan) -> Result<Option<(LogicalPlan, usize)>> {
    let mut found: HashMap<u64, Vec<(Aggregate, usize)>> = HashMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(node) = node {
            let alike = found.entry(hash(node)).or_default();
            match alike.iter_mut().find(|(other, _)| same(node, other)) {
                Some((all, count)) => {
                    let new = node.aggr_expr.iter().filter(|e| !all.aggr_expr.contains(e));
                    let new: Vec<Expr> = new.cloned().collect();
                    all.aggr_expr.extend(new);
                    *count += 1;
                }
                None => alike.push((node.clone(), 1)),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut repeated = Vec::new();
    for (node, _) in found.into_values().flatten().filter(|(_, count)| *count > 1) {
        // With all that its readers ask for; two functions of one name do not go together.
        let all = Aggregate::try_new(node.input, node.group_expr, node.aggr_expr);
        if let Ok(all) = all
            && may_share(&LogicalPlan::Aggregate(all.clone()))?
        {
            repeated.push(all);
        }
    }
    // What stands only within a larger repeated part is not shared by itself.
    while !repeated.is_empty() {
        let mut counts = vec![0usize; repeated.len()];
        let shared = plan.clone().transform_down_with_subqueries(|node| {
            let LogicalPlan::Aggregate(reader) = &node else { return Ok(Transformed::no(node)) };
            let Some(number) = repeated.iter().position(|all| same(reader, all)) else {
                return Ok(Transformed::no(node));
            };
            counts[number] += 1;
            let part = read(reader, &repeated[number], number)?;
            Ok(Transformed::new(part, true, TreeNodeRecursion::Jump))
        });
        let shared = shared.data()?;
        if counts.iter().all(|count| *count > 1) {
            return Ok(Some((shared, repeated.len())));
        }
        let mut counts = counts.into_iter();
        repeated.retain(|_| counts.next().is_some_and(|count| count > 1));
    }
    Ok(None)
}

/// What one reader takes of a part: its keys, and those of its functions that it asked for.
fn read(reader: &Aggregate, all: &Aggregate, number: usize) -> Result<LogicalPlan> {
    let node = Part { number, input: LogicalPlan::Aggregate(all.clone()) };
    let part = LogicalPlan::Extension(Extension { node: Arc::new(node) });
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
