//! Grouping, and the operations made of it.

use datafusion::{
    common::{Column, JoinType},
    functions::expr_fn::coalesce,
    functions_aggregate::expr_fn::count,
    logical_expr::{Expr, ident, lit},
};

use super::DataFrame;
use crate::error::{FrameError, Result};

/// A frame with grouping keys, waiting for its aggregates.
#[derive(Debug, Clone)]
pub struct GroupBy {
    frame: DataFrame,
    keys: Vec<Expr>,
}

impl GroupBy {
    pub(super) fn new(frame: DataFrame, keys: Vec<Expr>) -> Self {
        Self { frame, keys }
    }

    /// One row for each group: the keys, then the aggregates. Null is a key like others.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`]; [`FrameError::Plan`] for types that do not fit.
    pub fn agg(&self, aggregates: Vec<Expr>) -> Result<DataFrame> {
        self.frame.then(|f| f.aggregate(self.keys.clone(), aggregates))
    }

    /// Rows of each group, as `count`.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`].
    pub fn count(&self) -> Result<DataFrame> {
        self.agg(vec![count(lit(1i64)).alias("count")])
    }
}

/// See [`DataFrame::value_counts`].
pub(super) fn value_counts(frame: &DataFrame, column: &str) -> Result<DataFrame> {
    let counted = frame.group_by(&[column])?.count()?;
    counted.sort(vec![ident("count").sort(false, false), ident(column).sort(true, false)])
}

/// See [`DataFrame::join_using`].
pub(super) fn join_using(
    left: &DataFrame,
    right: &DataFrame,
    kind: JoinType,
    on: &[&str],
) -> Result<DataFrame> {
    left.check(on)?;
    right.check(on)?;
    let one_sided = matches!(
        kind,
        JoinType::LeftSemi
            | JoinType::LeftAnti
            | JoinType::RightSemi
            | JoinType::RightAnti
            | JoinType::LeftMark
            | JoinType::RightMark
    );
    if one_sided {
        return left.join(right, kind, on, on);
    }
    // Both sides get table names of their own, so that every column can be named.
    const LEFT: &str = "windlass_left";
    const RIGHT: &str = "windlass_right";
    let (l, r) = (left.alias(LEFT)?, right.alias(RIGHT)?);
    let equal = on.iter().map(|name| of(LEFT, name).eq(of(RIGHT, name))).collect();
    let joined = l.join_on(&r, kind, equal)?;
    let mut exprs: Vec<Expr> = Vec::new();
    for name in left.columns() {
        exprs.push(if !on.contains(&name.as_str()) {
            of(LEFT, &name).alias(name)
        } else {
            match kind {
                JoinType::Right => of(RIGHT, &name).alias(name),
                JoinType::Full => coalesce(vec![of(LEFT, &name), of(RIGHT, &name)]).alias(name),
                _ => of(LEFT, &name).alias(name),
            }
        });
    }
    let taken = left.columns();
    for name in right.columns() {
        if on.contains(&name.as_str()) {
            continue;
        }
        if taken.contains(&name) {
            return Err(FrameError::Plan(format!(
                "column {name:?} is on both sides of the join; rename or drop one"
            )));
        }
        exprs.push(of(RIGHT, &name).alias(name));
    }
    joined.select_exprs(exprs)
}

fn of(table: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(table), name))
}
