//! Filters that compare with the value of a subquery.

use std::sync::Arc;

use datafusion::{
    common::tree_node::{Transformed, TransformedResult, TreeNode},
    error::Result,
    physical_expr::{expressions::Column, scalar_subquery::ScalarSubqueryExpr},
    physical_plan::{
        ExecutionPlan, PhysicalExpr,
        filter::{FilterExec, FilterExecBuilder},
        projection::ProjectionExec,
    },
};

/// The plan with the values of subqueries in filters as columns of the rows below: constants
/// that are known once the subquery has run, and that a kernel reads like any other column.
///
/// ```text
///   FilterExec: a > (subquery)        FilterExec: a > v, projection=[a, b]
///     rows (a, b)                ─►     ProjectionExec: a, b, (subquery) as v
///                                         rows (a, b)
/// ```
pub(super) fn as_columns(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = Arc::clone(plan);
    plan.transform_up(|node| {
        let filter = node.downcast_ref::<FilterExec>().filter(|_| node.fetch().is_none());
        Ok(match filter.map(rewrite).transpose()?.flatten() {
            Some(new) => Transformed::yes(new),
            None => Transformed::no(node),
        })
    })
    .data()
}

/// Whether an expression reads the value of a subquery.
pub(super) fn waits(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.exists(|e| Ok(e.is::<ScalarSubqueryExpr>())).unwrap_or(true)
}

/// The filter over rows with the values that it waits for; `None` where it waits for none.
fn rewrite(filter: &FilterExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let input = filter.input();
    let schema = input.schema();
    let width = schema.fields().len();
    let mut values: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
    let name = |n: usize| format!("subquery {n}");
    let predicate = Arc::clone(filter.predicate()).transform_up(|e| {
        if !e.is::<ScalarSubqueryExpr>() {
            return Ok(Transformed::no(e));
        }
        let at = values.iter().position(|v| v.eq(&e)).unwrap_or_else(|| {
            values.push(Arc::clone(&e));
            values.len() - 1
        });
        let column = Column::new(&name(at), width + at);
        Ok(Transformed::yes(Arc::new(column) as Arc<dyn PhysicalExpr>))
    });
    let predicate = predicate.data()?;
    if values.is_empty() {
        return Ok(None);
    }
    let own = schema.fields().iter().enumerate().map(|(i, f)| {
        (Arc::new(Column::new(f.name(), i)) as Arc<dyn PhysicalExpr>, f.name().clone())
    });
    let late = values.into_iter().enumerate().map(|(n, v)| (v, name(n)));
    let rows = Arc::new(ProjectionExec::try_new(own.chain(late), Arc::clone(input))?);
    let kept = match filter.projection() {
        Some(kept) => kept.to_vec(),
        None => (0..width).collect(),
    };
    let filter = FilterExecBuilder::new(predicate, rows)
        .apply_projection(Some(kept))?
        .with_default_selectivity(filter.default_selectivity())
        .with_batch_size(filter.batch_size())
        .build()?;
    Ok(Some(Arc::new(filter)))
}
