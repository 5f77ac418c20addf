//! Joins with groups: the keys of the groups are the join's, what was computed for them is
//! compared afterwards.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::{
    common::{
        JoinSide, NullEquality,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    config::ConfigOptions,
    error::Result,
    logical_expr::Operator,
    physical_expr::expressions::{BinaryExpr, Column},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, PhysicalExpr,
        aggregates::{AggregateExec, AggregateMode},
        filter::FilterExec,
        joins::{
            HashJoinExec, HashJoinExecBuilder,
            utils::{ColumnIndex, JoinFilter},
        },
        projection::ProjectionExec,
    },
};

/// Takes the results of an aggregation out of the keys of a join with it, where all of its group
/// keys are among them.
///
/// ```text
///   HashJoin on (k = key, v = min)         HashJoin on (k = key), filter v = min
///     rows (k, v)                    ─►      rows (k, v)
///     Aggregate key, min(x)                  Aggregate key, min(x)
///       scan                                   scan, told the keys k
/// ```
///
/// A row of the build side meets one group at most either way. What a join tells the scans of its
/// probe side passes an aggregation only if all of it is group keys: such a scan then reads
/// the rows of the groups that are asked for, which is what makes `x = (SELECT min(x) … WHERE
/// key = outer.key)` cheap over a few outer rows.
///
/// It stands behind the rule that orders joins and before the one that tells scans the keys.
#[derive(Debug, Default)]
pub(crate) struct CompareResultsLast;

impl PhysicalOptimizerRule for CompareResultsLast {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let join = node.downcast_ref::<HashJoinExec>();
            Ok(match join.map(rewrite).transpose()?.flatten() {
                Some(new) => Transformed::yes(new),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "compare_results_last"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What a column of a plan over groups is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The group key with this number.
    Key(usize),
    /// Something that was computed for the group.
    Result,
}

/// What the columns of a plan are whose rows are groups, each once, and the number of keys.
fn groups(plan: &Arc<dyn ExecutionPlan>) -> Option<(Vec<Of>, usize)> {
    if let Some(node) = plan.downcast_ref::<AggregateExec>() {
        let keys = node.group_expr();
        let whole = !matches!(node.mode(), AggregateMode::Partial | AggregateMode::PartialReduce);
        let plain = keys.is_single() && !keys.is_true_no_grouping();
        let (keys, width) = (keys.expr().len(), plan.schema().fields().len());
        let columns = (0..width).map(|i| if i < keys { Of::Key(i) } else { Of::Result });
        return (whole && plain).then(|| (columns.collect(), keys));
    }
    if let Some(node) = plan.downcast_ref::<ProjectionExec>() {
        let (below, keys) = groups(node.input())?;
        let of = |e: &Arc<dyn PhysicalExpr>| {
            e.downcast_ref::<Column>().map_or(Of::Result, |column| below[column.index()])
        };
        return Some((node.expr().iter().map(|e| of(&e.expr)).collect(), keys));
    }
    let node = plan.downcast_ref::<FilterExec>()?;
    let (below, keys) = groups(node.input())?;
    let columns = match node.projection() {
        Some(kept) => kept.iter().map(|at| below[*at]).collect(),
        None => below,
    };
    Some((columns, keys))
}

/// The join with keys of groups only; `None` where it has no others, or not all of them.
fn rewrite(join: &HashJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let plain = join.null_equality() == NullEquality::NullEqualsNothing && !join.null_aware;
    // Where nothing can be told, more keys are better.
    let (_, told) = join.join_type().on_lr_is_preserved();
    if join.on().len() < 2 || !plain || !told || !join.dynamic_expressions_produced().is_empty() {
        return Ok(None);
    }
    let Some((columns, keys)) = groups(join.right()) else { return Ok(None) };
    let (left, right) = (join.left().schema(), join.right().schema());
    let key = |e: &Arc<dyn PhysicalExpr>| match columns[e.downcast_ref::<Column>()?.index()] {
        Of::Key(number) => Some(number),
        Of::Result => None,
    };
    let (mut on, mut rest, mut met) = (Vec::new(), Vec::new(), Vec::new());
    for (l, r) in join.on() {
        match key(r) {
            Some(number) => {
                met.push(number);
                on.push((Arc::clone(l), Arc::clone(r)));
            }
            None => {
                let (Some(l), Some(r)) = (l.downcast_ref::<Column>(), r.downcast_ref::<Column>())
                else {
                    return Ok(None);
                };
                rest.push((l.index(), r.index()));
            }
        }
    }
    if rest.is_empty() || !(0..keys).all(|number| met.contains(&number)) {
        return Ok(None);
    }
    let (mut indices, mut fields, mut test) = match join.filter() {
        Some(old) => (
            old.column_indices().to_vec(),
            old.schema().fields().to_vec(),
            Some(Arc::clone(old.expression())),
        ),
        None => (Vec::new(), Vec::new(), None),
    };
    for (l, r) in rest {
        let (one, other) = (left.field(l), right.field(r));
        // A key finds both zeros of floats alike, a comparison may not.
        if one.data_type() != other.data_type() || one.data_type().is_floating() {
            return Ok(None);
        }
        let mut column = |index: usize, side: JoinSide, field: &Field| {
            indices.push(ColumnIndex { index, side });
            fields.push(Arc::new(field.clone()));
            Arc::new(Column::new(field.name(), fields.len() - 1)) as Arc<dyn PhysicalExpr>
        };
        let l = column(l, JoinSide::Left, one);
        let r = column(r, JoinSide::Right, other);
        let equal = Arc::new(BinaryExpr::new(l, Operator::Eq, r)) as Arc<dyn PhysicalExpr>;
        test = Some(match test {
            Some(test) => Arc::new(BinaryExpr::new(test, Operator::And, equal)),
            None => equal,
        });
    }
    let filter = test.map(|test| JoinFilter::new(test, indices, Arc::new(Schema::new(fields))));
    let new = HashJoinExecBuilder::from(join).with_on(on).with_filter(filter);
    Ok(Some(new.build_exec()?))
}
