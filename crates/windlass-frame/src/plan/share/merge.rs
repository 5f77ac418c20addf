//! Joins that differ only in the columns that they give, as one join that gives the columns of
//! both.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    common::Column,
    error::Result,
    logical_expr::{
        Aggregate, Expr, Filter, Join, LogicalPlan, Projection, SubqueryAlias, TableScan,
        logical_plan::TableScanBuilder,
    },
};

use super::tables;

/// The join whose rows an aggregation reads, with nothing but projections between them.
pub(super) fn joined(node: &Aggregate) -> Option<&LogicalPlan> {
    let mut plan = &node.input;
    loop {
        plan = match &**plan {
            LogicalPlan::Projection(node) => &node.input,
            LogicalPlan::SubqueryAlias(node) => &node.input,
            LogicalPlan::Join(_) => return Some(plan),
            _ => return None,
        };
    }
}

/// The aggregation over `new` in the place of its join.
///
/// # Errors
/// Where `new` does not give the columns of the join.
pub(super) fn with_join(node: &Aggregate, new: LogicalPlan) -> Result<LogicalPlan> {
    let input = Arc::new(in_place_of_join(&node.input, new)?);
    let (keys, functions) = (node.group_expr.clone(), node.aggr_expr.clone());
    let schema = Arc::clone(&node.schema);
    Ok(LogicalPlan::Aggregate(Aggregate::try_new_with_schema(input, keys, functions, schema)?))
}

fn in_place_of_join(plan: &LogicalPlan, new: LogicalPlan) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Projection(node) => {
            let input = Arc::new(in_place_of_join(&node.input, new)?);
            let (exprs, schema) = (node.expr.clone(), Arc::clone(&node.schema));
            LogicalPlan::Projection(Projection::try_new_with_schema(exprs, input, schema)?)
        }
        LogicalPlan::SubqueryAlias(node) => {
            let input = Arc::new(in_place_of_join(&node.input, new)?);
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(input, node.alias.clone())?)
        }
        _ => new,
    })
}

/// A hash that plans share that differ only in the columns that they give.
pub(super) fn outline(plan: &LogicalPlan) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_outline(plan, &mut hasher);
    hasher.finish()
}

fn hash_outline(plan: &LogicalPlan, hasher: &mut DefaultHasher) {
    match bare(plan) {
        LogicalPlan::TableScan(node) => (&node.table_name, &node.filters, node.fetch).hash(hasher),
        LogicalPlan::Filter(node) => {
            node.predicate.hash(hasher);
            hash_outline(&node.input, hasher);
        }
        LogicalPlan::SubqueryAlias(node) => {
            node.alias.hash(hasher);
            hash_outline(&node.input, hasher);
        }
        LogicalPlan::Join(node) => {
            (node.join_type, &node.on, &node.filter).hash(hasher);
            hash_outline(&node.left, hasher);
            hash_outline(&node.right, hasher);
        }
        other => other.hash(hasher),
    }
}

/// The plan below projections that only leave columns out.
pub(super) fn bare(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Projection(node) if only_picks(node) => bare(&node.input),
        _ => plan,
    }
}

fn only_picks(node: &Projection) -> bool {
    node.expr.iter().all(|e| matches!(e, Expr::Column(_)))
}

/// One plan with the rows of both and the columns of both, if they differ in nothing else;
/// columns have the same names there.
pub(super) fn merged(a: &LogicalPlan, b: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let rows = match (bare(a), bare(b)) {
        (LogicalPlan::TableScan(a), LogicalPlan::TableScan(b)) => scan(a, b)?,
        (LogicalPlan::Filter(a), LogicalPlan::Filter(b)) if a.predicate == b.predicate => {
            let input = merged(&a.input, &b.input)?.map(Arc::new);
            let filter = input.map(|input| Filter::try_new(a.predicate.clone(), input));
            filter.transpose()?.map(LogicalPlan::Filter)
        }
        (LogicalPlan::SubqueryAlias(a), LogicalPlan::SubqueryAlias(b)) if a.alias == b.alias => {
            // A second column of one name would get another one.
            let input = merged(&a.input, &b.input)?.filter(names_differ).map(Arc::new);
            let named = input.map(|input| SubqueryAlias::try_new(input, a.alias.clone()));
            named.transpose()?.map(LogicalPlan::SubqueryAlias)
        }
        (LogicalPlan::Join(a), LogicalPlan::Join(b)) => join(a, b)?,
        (a, b) => (a == b && tables(a) == tables(b)).then(|| a.clone()),
    };
    let Some(rows) = rows else { return Ok(None) };
    let mut wanted: Vec<Column> = a.schema().columns();
    for column in b.schema().columns() {
        if !wanted.contains(&column) {
            wanted.push(column);
        }
    }
    if wanted.len() == rows.schema().fields().len() {
        return Ok(Some(rows));
    }
    let picked = wanted.into_iter().map(Expr::Column).collect();
    Ok(Some(LogicalPlan::Projection(Projection::try_new(picked, Arc::new(rows))?)))
}

fn names_differ(plan: &LogicalPlan) -> bool {
    let mut names: Vec<&String> = plan.schema().fields().iter().map(|f| f.name()).collect();
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
}

fn scan(a: &TableScan, b: &TableScan) -> Result<Option<LogicalPlan>> {
    let (one, other) = (LogicalPlan::TableScan(a.clone()), LogicalPlan::TableScan(b.clone()));
    let alike = a.table_name == b.table_name
        && a.filters == b.filters
        && a.fetch == b.fetch
        && tables(&one) == tables(&other);
    if !alike {
        return Ok(None);
    }
    let projection = a.projection.clone().zip(b.projection.clone()).map(|(a, b)| {
        let mut both = a;
        both.extend(b);
        both.sort_unstable();
        both.dedup();
        both
    });
    let statistics_requests = &a.statistics_requests | &b.statistics_requests;
    let scan = TableScan { statistics_requests, ..a.clone() };
    reading(&scan, projection).map(Some)
}

fn join(a: &Join, b: &Join) -> Result<Option<LogicalPlan>> {
    let alike = a.join_type == b.join_type
        && a.on == b.on
        && a.filter == b.filter
        && a.null_equality == b.null_equality
        && a.null_aware == b.null_aware;
    if !alike {
        return Ok(None);
    }
    let Some(left) = merged(&a.left, &b.left)? else { return Ok(None) };
    let Some(right) = merged(&a.right, &b.right)? else { return Ok(None) };
    let join = over(a, left, right)?;
    Ok(Some(LogicalPlan::Join(join)))
}

/// The join over other inputs.
///
/// # Errors
/// Where these cannot be joined.
pub(super) fn over(join: &Join, left: LogicalPlan, right: LogicalPlan) -> Result<Join> {
    Join::try_new(
        Arc::new(left),
        Arc::new(right),
        join.on.clone(),
        join.filter.clone(),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )
}

/// The scan of other columns.
///
/// # Errors
/// Where the table has no such columns.
pub(super) fn reading(scan: &TableScan, projection: Option<Vec<usize>>) -> Result<LogicalPlan> {
    let scan = TableScanBuilder::new(scan.table_name.clone(), Arc::clone(&scan.source))
        .with_projection(projection)
        .with_filters(scan.filters.clone())
        .with_fetch(scan.fetch)
        .with_statistics_requests(scan.statistics_requests.clone())
        .build()?;
    Ok(LogicalPlan::TableScan(scan))
}
