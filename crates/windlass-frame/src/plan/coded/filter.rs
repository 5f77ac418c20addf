//! Filters on the host whose texts the scan below can give as codes.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, Schema};
use datafusion::{
    common::tree_node::TreeNode,
    error::Result,
    physical_expr::utils::collect_columns,
    physical_plan::{
        ExecutionPlan, PhysicalExpr,
        expressions::{Column, DynamicFilterPhysicalExpr},
        filter::{FilterExec, FilterExecBuilder},
    },
};

use super::{Footers, per_code::PerCode, scan};
use crate::nodes::StoredScanExec;

/// `plan`, where it is a filter over a scan of Parquet files, with the texts that only its
/// condition's parts on one column look at as codes:
///
/// ```text
///   FilterExec: t = 'a' AND x > 1         StoredScanExec: [t]     texts of the rows left,
///   DataSourceExec: [t: text, x]    ─►    FilterExec: (as before)     if anyone reads t above
///                                         DataSourceExec: [t: codes, x]
/// ```
///
/// `None` for any other plan, and where no text column can be had as codes.
pub(in crate::plan) fn filter(
    plan: &Arc<dyn ExecutionPlan>,
    footers: Option<&Footers>,
) -> Option<Arc<dyn ExecutionPlan>> {
    let filter = plan.downcast_ref::<FilterExec>()?;
    let schema = filter.input().schema();
    let looked_at = looked_at(filter.predicate(), &schema);
    if looked_at.is_empty() {
        return None;
    }
    let (scan, columns) = scan(filter.input(), &looked_at, &*footers?.0)?;
    let predicate = by_code(filter.predicate(), &columns, &schema).ok()?;
    let below = FilterExecBuilder::from(filter)
        .with_input(Arc::clone(scan.scan()))
        .with_predicate(predicate)
        .build()
        .ok()?;
    let below: Arc<dyn ExecutionPlan> = Arc::new(below);
    Some(match below.schema() == plan.schema() {
        true => below,
        false => Arc::new(StoredScanExec::new(below, plan)),
    })
}

/// The one column of a condition on one column, with its type, if that is a text. Not where
/// the condition changes while the query runs.
fn on_one_text(
    expr: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Option<(Column, DataType)>> {
    let mut columns = collect_columns(expr).into_iter();
    let (Some(column), None) = (columns.next(), columns.next()) else { return Ok(None) };
    let ty = schema.field(column.index()).data_type();
    let text = matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if !text || expr.data_type(schema)? != DataType::Boolean {
        return Ok(None);
    }
    let changes =
        expr.exists(|e| Ok(e.is::<DynamicFilterPhysicalExpr>() || e.is_volatile_node()))?;
    Ok((!changes).then(|| (column, ty.clone())))
}

/// The text columns of which a condition looks at nothing but such parts.
fn looked_at(predicate: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Vec<usize> {
    fn visit(
        expr: &Arc<dyn PhysicalExpr>,
        schema: &Schema,
        only: &mut BTreeMap<usize, bool>,
    ) -> Result<()> {
        if let Some((column, _)) = on_one_text(expr, schema)? {
            only.entry(column.index()).or_insert(true);
        } else if let Some(column) = expr.downcast_ref::<Column>() {
            only.insert(column.index(), false);
        } else {
            expr.children().into_iter().try_for_each(|child| visit(child, schema, only))?;
        }
        Ok(())
    }
    let mut only = BTreeMap::new();
    match visit(predicate, schema, &mut only) {
        Ok(()) => only.into_iter().filter(|(_, only)| *only).map(|(column, _)| column).collect(),
        Err(_) => Vec::new(),
    }
}

/// A condition whose parts on one of `columns` read it as codes.
fn by_code(
    expr: &Arc<dyn PhysicalExpr>,
    columns: &[usize],
    schema: &Schema,
) -> Result<Arc<dyn PhysicalExpr>> {
    if let Some((column, text)) = on_one_text(expr, schema)?
        && columns.contains(&column.index())
    {
        return Ok(Arc::new(PerCode::try_new(expr, &column, &text)?));
    }
    let children = expr.children();
    if children.is_empty() {
        return Ok(Arc::clone(expr));
    }
    let children = children.into_iter().map(|child| by_code(child, columns, schema));
    Arc::clone(expr).with_new_children(children.collect::<Result<_>>()?)
}
