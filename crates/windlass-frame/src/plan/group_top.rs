//! Filters on a row number over a sort: of each group only the first rows are wanted, and the
//! others need not reach the sort.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    error::Result,
    logical_expr::Operator,
    physical_expr::{
        expressions::{BinaryExpr, Column, Literal},
        split_conjunction,
        window::StandardWindowExpr,
    },
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, Partitioning, PhysicalExpr, ReplaceChildrenOptions,
        filter::FilterExec,
        projection::ProjectionExec,
        repartition::RepartitionExec,
        sorts::sort::SortExec,
        windows::{BoundedWindowAggExec, WindowUDFExpr},
    },
};

use crate::nodes::{DeviceTopKPerGroupExec, Placed, top_k_per_group::GroupTop};

/// Functions of a row and those before it in its group, whatever comes after.
const OF_ROWS_BEFORE: [&str; 3] = ["row_number", "rank", "dense_rank"];

/// A sort of which the first rows of each group are wanted.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The sort.
    pub(super) sort: Arc<dyn ExecutionPlan>,
    /// The rows wanted.
    pub(super) top: GroupTop,
}

/// The sort below a filter on a row number, if `plan` is such a filter: `row_number() <= k`,
/// `< k` or `= k`, alone or with other conditions.
pub(super) fn find(plan: &Arc<dyn ExecutionPlan>) -> Option<Found> {
    let filter = plan.downcast_ref::<FilterExec>()?;
    let limits = split_conjunction(filter.predicate()).into_iter().filter_map(limit);
    limits.filter_map(|(column, k)| below(filter.input(), column, k)).min_by_key(|f| f.top.k)
}

/// The column and the largest number of a condition on it.
fn limit(condition: &Arc<dyn PhysicalExpr>) -> Option<(usize, usize)> {
    let binary = condition.downcast_ref::<BinaryExpr>()?;
    let (column, number, op) = match binary.left().downcast_ref::<Column>() {
        Some(column) => (column, binary.right(), *binary.op()),
        None => {
            let column = binary.right().downcast_ref::<Column>()?;
            (column, binary.left(), binary.op().swap()?)
        }
    };
    let number = number.downcast_ref::<Literal>()?.value();
    if !number.data_type().is_integer() {
        return None;
    }
    let ScalarValue::UInt64(Some(n)) = number.cast_to(&DataType::UInt64).ok()? else {
        return None;
    };
    let k = match op {
        Operator::LtEq | Operator::Eq => n,
        Operator::Lt => n.checked_sub(1)?,
        _ => return None,
    };
    (k > 0).then_some((column.index(), usize::try_from(k).ok()?))
}

/// The sort below, where `column` of `plan` is a row number over it.
fn below(plan: &Arc<dyn ExecutionPlan>, column: usize, k: usize) -> Option<Found> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let from = projection.expr().get(column)?.expr.downcast_ref::<Column>()?.index();
        return below(projection.input(), from, k);
    }
    let window = plan.downcast_ref::<BoundedWindowAggExec>()?;
    let number = column.checked_sub(window.input().schema().fields().len())?;
    let names = window.window_expr().iter().map(|expr| {
        let standard = expr.as_any().downcast_ref::<StandardWindowExpr>()?;
        let function =
            standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>()?;
        OF_ROWS_BEFORE.into_iter().find(|name| *name == function.fun().name())
    });
    let names: Vec<&str> = names.collect::<Option<_>>()?;
    if *names.get(number)? != "row_number" {
        return None;
    }
    let sort = window.input().downcast_ref::<SortExec>()?;
    let keys = sort.expr().to_vec();
    let partition_by = window.window_expr()[number].partition_by();
    let groups = partition_by.len();
    let same = |exprs: &[Arc<dyn PhysicalExpr>]| {
        let has = |key: &Arc<dyn PhysicalExpr>| exprs.iter().any(|e| e == key);
        exprs.len() == groups && keys.len() >= groups && keys[..groups].iter().all(|k| has(&k.expr))
    };
    let all_same = window.window_expr().iter().all(|expr| same(expr.partition_by()));
    if groups == 0 || !all_same || sort.fetch().is_some() {
        return None;
    }
    let sort = Arc::clone(window.input());
    Some(Found { sort, top: GroupTop { keys, groups, k } })
}

/// `input`, of which only the rows that can be wanted are left: below an exchange by the
/// groups' keys, where there is one.
///
/// # Errors
/// DataFusion's.
pub(super) fn prune(
    input: &Arc<dyn ExecutionPlan>,
    top: &GroupTop,
    placed: Placed,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(exchange) = input.downcast_ref::<RepartitionExec>()
        && matches!(exchange.partitioning(), Partitioning::Hash(..))
        && !exchange.preserve_order()
    {
        let below = prune(exchange.input(), top, placed)?;
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        return Arc::clone(input).replace_children(vec![below], options);
    }
    Ok(Arc::new(DeviceTopKPerGroupExec::new(Arc::clone(input), top.clone(), placed)))
}
