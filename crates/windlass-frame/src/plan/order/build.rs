//! The operators of an order of joins.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::Schema;
use datafusion::{
    common::{JoinSide, JoinType},
    error::{DataFusionError, Result},
    physical_expr::{
        expressions::Column,
        utils::{collect_columns, conjunction},
    },
    physical_plan::{
        ExecutionPlan, PhysicalExpr,
        joins::{
            HashJoinExecBuilder, PartitionMode,
            utils::{ColumnIndex, JoinFilter},
        },
        projection::ProjectionExec,
    },
};

use super::{
    graph::{Graph, Set, Tree, renumbered},
    search::Search,
};

/// Builds operators.
pub(super) struct Builder<'a> {
    pub(super) graph: &'a Graph,
    pub(super) search: &'a Search<'a>,
    /// One for each relation, their own joins ordered.
    pub(super) relations: Vec<Arc<dyn ExecutionPlan>>,
    /// Most rows of a build side that all partitions of the probe side share.
    pub(super) shared_rows: f64,
}

/// A plan and the columns of the graph that it gives, in order.
type Built = (Arc<dyn ExecutionPlan>, Vec<usize>);

impl Builder<'_> {
    /// The plan of `tree` with the columns and the names of `like`.
    pub(super) fn plan(
        &self,
        tree: &Tree,
        like: &Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (plan, columns) = self.tree(tree)?;
        let (schema, wanted) = (plan.schema(), like.schema());
        let mut exprs = Vec::with_capacity(self.graph.output.len());
        for (at, column) in self.graph.output.iter().enumerate() {
            let from = position(&columns, *column)?;
            let expr = Arc::new(Column::new(schema.field(from).name(), from));
            exprs.push((expr as Arc<dyn PhysicalExpr>, wanted.field(at).name().clone()));
        }
        if self.graph.output == columns && schema.fields() == wanted.fields() {
            return Ok(plan);
        }
        Ok(Arc::new(ProjectionExec::try_new(exprs, plan)?))
    }

    fn tree(&self, tree: &Tree) -> Result<Built> {
        match tree {
            Tree::Relation(r) => {
                let (plan, first) = (&self.relations[*r], self.graph.relations[*r].first);
                let columns = (first..first + plan.schema().fields().len()).collect();
                Ok((Arc::clone(plan), columns))
            }
            Tree::Join(a, b) => match &**b {
                Tree::Relation(r) if self.graph.relations[*r].test.is_some() => self.test(a, *r),
                _ => self.inner(a, b),
            },
        }
    }

    fn inner(&self, a: &Tree, b: &Tree) -> Result<Built> {
        // The smaller side is built: the left one.
        let swap = self.search.rows(a.set()) > self.search.rows(b.set());
        let (a, b) = if swap { (b, a) } else { (a, b) };
        let (x, y) = (a.set(), b.set());
        let (left, right) = (self.tree(a)?, self.tree(b)?);
        let mut on = Vec::new();
        for class in &self.graph.classes {
            if let (Some(l), Some(r)) = (Graph::key(class, x), Graph::key(class, y)) {
                on.push((local(&l.expr, &left.1)?, local(&r.expr, &right.1)?));
            }
        }
        let both = x | y;
        let due = self
            .graph
            .predicates
            .iter()
            .filter(|p| p.needs & !both == 0 && p.needs & !x != 0 && p.needs & !y != 0);
        let due: Vec<_> = due.map(|p| Arc::clone(&p.expr)).collect();
        let filter = match due.is_empty() {
            true => None,
            false => Some(filter(&conjunction(due), &left, &right)?),
        };
        let given: Vec<usize> = left.1.iter().chain(&right.1).copied().collect();
        let (kept, columns) = self.kept(&given, both);
        let mode = self.mode(x);
        let join = HashJoinExecBuilder::new(left.0, right.0, on, JoinType::Inner)
            .with_filter(filter)
            .with_projection(kept)
            .with_partition_mode(mode)
            .build_exec()?;
        Ok((join, columns))
    }

    /// The rows of `a` that a relation keeps.
    fn test(&self, a: &Tree, relation: usize) -> Result<Built> {
        let Some(test) = &self.graph.relations[relation].test else { return self.tree(a) };
        let outer = self.tree(a)?;
        let inner = self.tree(&Tree::Relation(relation))?;
        let mut on = Vec::with_capacity(test.on.len());
        for (o, i) in &test.on {
            on.push((local(o, &outer.1)?, local(i, &inner.1)?));
        }
        let inner_rows = self.search.rows(1 << relation);
        let build_outer = self.search.rows(a.set()) < inner_rows;
        let join_type = match (test.anti, build_outer) {
            (false, true) => JoinType::LeftSemi,
            (true, true) => JoinType::LeftAnti,
            (false, false) => JoinType::RightSemi,
            (true, false) => JoinType::RightAnti,
        };
        let (kept, columns) = self.kept(&outer.1, a.set() | 1 << relation);
        let (left, right, mode) = match build_outer {
            true => (outer, inner, self.mode(a.set())),
            false => {
                on = on.into_iter().map(|(o, i)| (i, o)).collect();
                (inner, outer, self.mode(1 << relation))
            }
        };
        let filter = match &test.filter {
            Some(expr) => Some(filter(expr, &left, &right)?),
            None => None,
        };
        let join = HashJoinExecBuilder::new(left.0, right.0, on, join_type)
            .with_filter(filter)
            .with_projection(kept)
            .with_partition_mode(mode)
            .build_exec()?;
        Ok((join, columns))
    }

    fn mode(&self, build: Set) -> PartitionMode {
        match self.search.rows(build) <= self.shared_rows {
            true => PartitionMode::CollectLeft,
            false => PartitionMode::Partitioned,
        }
    }

    /// Which of the columns that a join gives are read after `set` is joined: as a projection,
    /// unless all are, and as columns of the graph. At least one stays, to count rows by.
    fn kept(&self, given: &[usize], set: Set) -> (Option<Vec<usize>>, Vec<usize>) {
        let read = self.read_after(set);
        let mut kept: Vec<usize> = (0..given.len()).filter(|i| read.contains(&given[*i])).collect();
        if kept.is_empty() {
            kept.push(0);
        }
        let columns = kept.iter().map(|i| given[*i]).collect();
        ((kept.len() < given.len()).then_some(kept), columns)
    }

    /// Columns of the graph that something reads after `set` is joined.
    fn read_after(&self, set: Set) -> Vec<usize> {
        let mut read = self.graph.output.clone();
        let mut add = |e: &Arc<dyn PhysicalExpr>| {
            read.extend(collect_columns(e).iter().map(Column::index));
        };
        for class in &self.graph.classes {
            let more = class.iter().any(|k| set & 1 << k.relation == 0);
            if let Some(key) = Graph::key(class, set).filter(|_| more) {
                add(&key.expr);
            }
        }
        for predicate in self.graph.predicates.iter().filter(|p| p.needs & !set != 0) {
            add(&predicate.expr);
        }
        for (at, relation) in self.graph.relations.iter().enumerate() {
            if let Some(test) = relation.test.as_ref().filter(|_| set & 1 << at == 0) {
                test.on.iter().for_each(|(outer, _)| add(outer));
                test.filter.iter().for_each(&mut add);
            }
        }
        read
    }
}

/// Where a column of the graph is among those that a plan gives.
fn position(columns: &[usize], column: usize) -> Result<usize> {
    let found = columns.iter().position(|c| *c == column);
    found.ok_or_else(|| DataFusionError::Internal(format!("a join dropped column {column}")))
}

/// An expression over the columns of a plan.
fn local(expr: &Arc<dyn PhysicalExpr>, columns: &[usize]) -> Result<Arc<dyn PhysicalExpr>> {
    let mut numbers = HashMap::new();
    for column in collect_columns(expr) {
        numbers.insert(column.index(), position(columns, column.index())?);
    }
    renumbered(expr, |c| numbers[&c])
}

/// A predicate over both sides of a join as its filter.
fn filter(expr: &Arc<dyn PhysicalExpr>, left: &Built, right: &Built) -> Result<JoinFilter> {
    let mut read: Vec<usize> = collect_columns(expr).iter().map(Column::index).collect();
    read.sort_unstable();
    read.dedup();
    let (mut fields, mut indices) = (Vec::new(), Vec::new());
    for column in &read {
        let (side, index, schema) = match left.1.iter().position(|c| c == column) {
            Some(at) => (JoinSide::Left, at, left.0.schema()),
            None => (JoinSide::Right, position(&right.1, *column)?, right.0.schema()),
        };
        fields.push(schema.field(index).clone());
        indices.push(ColumnIndex { index, side });
    }
    let expr = local(expr, &read)?;
    Ok(JoinFilter::new(expr, indices, Arc::new(Schema::new(fields))))
}
