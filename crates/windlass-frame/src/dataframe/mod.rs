//! The lazy frame: each operation returns a new frame over a larger plan; nothing is read
//! until rows are asked for.

mod group;
mod run;
mod sample;

pub use group::GroupBy;
pub use run::BatchStream;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::TableProvider,
    common::{Column, JoinType},
    dataframe::DataFrame as Engine,
    logical_expr::{Expr, LogicalPlan, SortExpr, ident},
};

use crate::{
    error::{FrameError, Result, nearest},
    session::Session,
};

/// A lazy table.
#[derive(Debug, Clone)]
pub struct DataFrame {
    session: Session,
    plan: LogicalPlan,
}

impl DataFrame {
    pub(crate) fn new(session: Session, plan: LogicalPlan) -> Self {
        Self { session, plan }
    }

    /// The session that it belongs to.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(self.plan.schema().inner())
    }

    /// The names of the columns.
    pub fn columns(&self) -> Vec<String> {
        self.plan.schema().fields().iter().map(|f| f.name().clone()).collect()
    }

    /// DataFusion's plan so far.
    pub fn logical_plan(&self) -> &LogicalPlan {
        &self.plan
    }

    pub(crate) fn view(&self) -> Arc<dyn TableProvider> {
        self.engine().into_view()
    }

    fn engine(&self) -> Engine {
        Engine::new(self.session.context().state(), self.plan.clone())
    }

    fn with(&self, plan: LogicalPlan) -> Self {
        Self { session: self.session.clone(), plan }
    }

    fn then(&self, step: impl FnOnce(Engine) -> datafusion::error::Result<Engine>) -> Result<Self> {
        let engine = step(self.engine())?;
        Ok(self.with(engine.into_unoptimized_plan()))
    }

    /// Fails with the nearest names when a column is not there.
    pub(crate) fn check(&self, names: &[&str]) -> Result<()> {
        let columns = self.columns();
        for name in names {
            if !columns.iter().any(|c| c == name) {
                return Err(FrameError::UnknownColumn {
                    name: name.to_string(),
                    nearest: nearest(name, columns.iter().map(String::as_str)),
                    position: None,
                });
            }
        }
        Ok(())
    }

    /// An expression from SQL text over this frame's columns: `"dep_delay > 15"`.
    ///
    /// # Errors
    /// [`FrameError::Syntax`]; [`FrameError::UnknownColumn`].
    pub fn parse(&self, sql: &str) -> Result<Expr> {
        Ok(self.engine().parse_sql_expr(sql)?)
    }

    /// The named columns, in the order given.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`].
    pub fn select(&self, columns: &[&str]) -> Result<Self> {
        self.check(columns)?;
        self.select_exprs(columns.iter().map(ident_of).collect())
    }

    /// Expressions as columns; name them with `alias`.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`]; [`FrameError::Plan`] for types that do not fit.
    pub fn select_exprs(&self, exprs: Vec<Expr>) -> Result<Self> {
        self.then(|f| f.select(exprs))
    }

    /// The rows for which `predicate` is true (not false, not null).
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`]; [`FrameError::Plan`] for a predicate that is not boolean.
    pub fn filter(&self, predicate: Expr) -> Result<Self> {
        self.then(|f| f.filter(predicate))
    }

    /// Adds a column, or replaces the one of that name.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`]; [`FrameError::Plan`] for types that do not fit.
    pub fn with_column(&self, name: &str, expr: Expr) -> Result<Self> {
        self.then(|f| f.with_column(name, expr))
    }

    /// Renames a column.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`].
    pub fn rename(&self, from: &str, to: &str) -> Result<Self> {
        self.check(&[from])?;
        let renamed = self.plan.schema().iter().map(|(qualifier, field)| {
            let expr = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            if field.name() == from { expr.alias(to) } else { expr }
        });
        let exprs: Vec<Expr> = renamed.collect();
        self.then(|f| f.select(exprs))
    }

    /// Leaves columns out.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`].
    pub fn drop(&self, columns: &[&str]) -> Result<Self> {
        self.check(columns)?;
        let kept = self.plan.schema().iter().filter(|(_, f)| !columns.contains(&f.name().as_str()));
        let exprs: Vec<Expr> =
            kept.map(|(q, f)| Expr::Column(Column::new(q.cloned(), f.name()))).collect();
        self.then(|f| f.select(exprs))
    }

    /// Groups by columns; see [`GroupBy::agg`].
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`].
    pub fn group_by(&self, columns: &[&str]) -> Result<GroupBy> {
        self.check(columns)?;
        Ok(self.group_by_exprs(columns.iter().map(ident_of).collect()))
    }

    /// Groups by expressions; see [`GroupBy::agg`].
    pub fn group_by_exprs(&self, keys: Vec<Expr>) -> GroupBy {
        GroupBy::new(self.clone(), keys)
    }

    /// Aggregates over all rows, as one row.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`]; [`FrameError::Plan`] for types that do not fit.
    pub fn agg(&self, aggregates: Vec<Expr>) -> Result<Self> {
        self.then(|f| f.aggregate(vec![], aggregates))
    }

    /// Joins on equal columns, named on both sides; null matches nothing. Columns of the
    /// right side whose name is on the left too keep it, and are told apart by the tables'
    /// names; drop or rename them first where there are none.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`]; [`FrameError::Plan`] for keys of types that do not
    /// compare, or names that are no longer unique.
    pub fn join(
        &self,
        right: &Self,
        kind: JoinType,
        left_on: &[&str],
        right_on: &[&str],
    ) -> Result<Self> {
        if left_on.len() != right_on.len() || left_on.is_empty() {
            return Err(FrameError::InvalidOption {
                option: "join keys".to_string(),
                expected: "as many columns left as right, at least one".to_string(),
                got: format!("{} and {}", left_on.len(), right_on.len()),
            });
        }
        self.check(left_on)?;
        right.check(right_on)?;
        self.then(|f| f.join(right.engine(), kind, left_on, right_on, None))
    }

    /// Joins on columns of the same name, which stand once in the result: the left
    /// side's, or for a right or full join the one that is not null.
    ///
    /// # Errors
    /// As [`DataFrame::join`].
    pub fn join_using(&self, right: &Self, kind: JoinType, on: &[&str]) -> Result<Self> {
        group::join_using(self, right, kind, on)
    }

    /// Joins on any predicates over both sides' columns.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`]; [`FrameError::Plan`].
    pub fn join_on(&self, right: &Self, kind: JoinType, on: Vec<Expr>) -> Result<Self> {
        self.then(|f| f.join_on(right.engine(), kind, on))
    }

    /// Gives the frame a table name, so that its columns can be told from another's.
    ///
    /// # Errors
    /// [`FrameError::Plan`].
    pub fn alias(&self, name: &str) -> Result<Self> {
        self.then(|f| f.alias(name))
    }

    /// Sorts: `col("a").sort(ascending, nulls_first)`.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`].
    pub fn sort(&self, by: Vec<SortExpr>) -> Result<Self> {
        self.then(|f| f.sort(by))
    }

    /// Sorts by columns, ascending, nulls last.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`].
    pub fn sort_by(&self, columns: &[&str]) -> Result<Self> {
        self.check(columns)?;
        self.sort(columns.iter().map(|c| ident_of(c).sort(true, false)).collect())
    }

    /// At most `rows` rows, after leaving out `skip`.
    ///
    /// # Errors
    /// [`FrameError::Plan`].
    pub fn limit(&self, skip: usize, rows: usize) -> Result<Self> {
        self.then(|f| f.limit(skip, Some(rows)))
    }

    /// Each row once.
    ///
    /// # Errors
    /// [`FrameError::Plan`].
    pub fn distinct(&self) -> Result<Self> {
        self.then(|f| f.distinct())
    }

    /// A random part of the rows: each with the probability `fraction`, from 0 to 1. The
    /// same rows and the same `seed` give the same sample, on any device, with any number of
    /// partitions, and whatever order the rows came in. This costs a sort of the rows by a
    /// hash of their values.
    ///
    /// # Errors
    /// [`FrameError::InvalidOption`] for a fraction outside of 0 to 1.
    pub fn sample(&self, fraction: f64, seed: u64) -> Result<Self> {
        Ok(self.with(sample::sample(self, fraction, seed)?))
    }

    /// The rows of both, duplicates kept; columns by position.
    ///
    /// # Errors
    /// [`FrameError::Plan`] for columns that do not fit.
    pub fn union(&self, other: &Self) -> Result<Self> {
        self.then(|f| f.union(other.engine()))
    }

    /// The rows of both, duplicates kept; columns by name, null where one has none.
    ///
    /// # Errors
    /// [`FrameError::Plan`] for columns that do not fit.
    pub fn union_by_name(&self, other: &Self) -> Result<Self> {
        self.then(|f| f.union_by_name(other.engine()))
    }

    /// The distinct rows that are in both.
    ///
    /// # Errors
    /// [`FrameError::Plan`] for columns that do not fit.
    pub fn intersect(&self, other: &Self) -> Result<Self> {
        self.then(|f| f.intersect_distinct(other.engine()))
    }

    /// The distinct rows that are in this one only.
    ///
    /// # Errors
    /// [`FrameError::Plan`] for columns that do not fit.
    pub fn except(&self, other: &Self) -> Result<Self> {
        self.then(|f| f.except_distinct(other.engine()))
    }

    /// How often each value of a column occurs, most frequent first, as `count`.
    ///
    /// # Errors
    /// [`FrameError::UnknownColumn`].
    pub fn value_counts(&self, column: &str) -> Result<Self> {
        self.check(&[column])?;
        group::value_counts(self, column)
    }

    /// The plan as EXPLAIN prints it; `analyze` runs the query.
    ///
    /// # Errors
    /// [`FrameError::Plan`].
    pub fn explain(&self, verbose: bool, analyze: bool) -> Result<Self> {
        self.then(|f| f.explain(verbose, analyze))
    }
}

fn ident_of(name: &&str) -> Expr {
    ident(*name)
}
