//! The order of joins, from the sizes of what they join.
//!
//! | module | holds |
//! |---|---|
//! | `graph` | a chain of joins as relations, equal keys and predicates |
//! | `figures` | rows, distinct values and ranges of a relation; what a predicate keeps |
//! | `search` | rows and costs of sets of relations, and the cheapest order |
//! | `build` | the operators of an order |

mod build;
mod figures;
mod graph;
mod search;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::{
    config::ConfigOptions,
    error::Result,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions},
};

pub(super) use figures::kept_of_probe;

use build::Builder;
use figures::Figures;
use graph::{Graph, is_join};
use search::Search;

/// How much less an order must cost than the written one to take its place. Figures of
/// columns are estimates: a small gain is none.
const GAIN: f64 = 0.9;

/// Puts chains of inner, semi and anti joins in the order that costs least.
///
/// ```text
///        ⋈ nation                   ⋈ (keys of both)
///      ⋈ lineitem                 ╱   ╲
///    ⋈ supplier        ─►   lineitem    ⋈ orders, customer …
///   …                         ╱
///                     supplier ⋈ nation
/// ```
///
/// DataFusion joins tables in the order in which a query names them. This rule takes such a
/// chain apart into relations, classes of equal keys and predicates, estimates the rows of
/// each set of relations from the statistics of files, and builds the cheapest tree; each join
/// keeps only the columns that are read after it. Rows and columns stay the same, their order
/// may not: joins promise none. A chain of which one relation's rows are unknown stays as it is,
/// and so does one whose gain is small.
///
/// It stands behind DataFusion's choice of build sides and before exchanges are put in.
#[derive(Debug, Default)]
pub(crate) struct OrderJoins;

impl PhysicalOptimizerRule for OrderJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !config.optimizer.join_reordering {
            return Ok(plan);
        }
        ordered(&plan, config)
    }

    fn name(&self) -> &'static str {
        "order_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A plan with its joins in order.
fn ordered(
    plan: &Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    if is_join(plan)
        && let Some(plan) = chain(plan, config)?
    {
        return Ok(plan);
    }
    below(plan, config)
}

/// A node over ordered inputs.
fn below(plan: &Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    let old = plan.children();
    let mut new = Vec::with_capacity(old.len());
    for child in &old {
        new.push(ordered(child, config)?);
    }
    if old.iter().zip(&new).all(|(a, b)| Arc::ptr_eq(a, b)) {
        return Ok(Arc::clone(plan));
    }
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan).replace_children(new, options)
}

/// A chain of joins in its best order; `None` to leave it as it is.
fn chain(
    plan: &Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(graph) = Graph::of(plan)?.filter(|g| g.relations.len() > 2) else {
        return Ok(None);
    };
    let figures: Option<Vec<Figures>> =
        graph.relations.iter().map(|r| Figures::of(&r.plan)).collect();
    let Some(figures) = figures else { return Ok(None) };
    let search = Search::new(&graph, &figures);
    let Some(best) = search.best() else { return Ok(None) };
    let written = search.cost(&graph.written);
    tracing::debug!(written, best = best.cost, relations = figures.len(), "order of joins");
    if best.cost > GAIN * written {
        return Ok(None);
    }
    let mut relations = Vec::with_capacity(graph.relations.len());
    for relation in &graph.relations {
        relations.push(match relation.opaque {
            true => below(&relation.plan, config)?,
            false => ordered(&relation.plan, config)?,
        });
    }
    let shared_rows = config.optimizer.hash_join_single_partition_threshold_rows as f64;
    let builder = Builder { graph: &graph, search: &search, relations, shared_rows };
    Ok(Some(builder.plan(&best.tree, plan)?))
}
