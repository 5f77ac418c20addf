//! A chain of joins as a graph: relations, classes of equal keys, predicates between them.

use std::sync::Arc;

use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::{
    common::{
        JoinSide, JoinType, NullEquality, Result,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_expr::{
        expressions::Column,
        utils::{collect_columns, split_conjunction},
    },
    physical_plan::{
        ExecutionPlan, PhysicalExpr,
        filter::FilterExec,
        joins::{HashJoinExec, utils::JoinFilter},
        projection::ProjectionExec,
    },
};

/// Relations, a bit for each.
pub(super) type Set = u32;

/// Most relations of a graph: the bits of a set, far above what a query has.
const MOST: usize = 31;

/// A relation of the graph.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    /// The number of its first column among those of the graph.
    pub(super) first: usize,
    /// Set for one that only keeps or drops rows of others: the inner side of a semi or anti
    /// join.
    pub(super) test: Option<Test>,
    /// Whether it is a join that could not be taken apart.
    pub(super) opaque: bool,
}

/// How a relation keeps or drops rows of others. Its expressions are over the graph's columns.
#[derive(Debug)]
pub(super) struct Test {
    /// Whether rows without a partner stay.
    pub(super) anti: bool,
    /// Keys: of the rows that are tested, and of the relation.
    pub(super) on: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    /// The relations that keys and filter read, this one apart.
    pub(super) needs: Set,
}

/// A key of one relation.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) relation: usize,
    /// Over the graph's columns.
    pub(super) expr: Arc<dyn PhysicalExpr>,
}

/// A predicate over several relations.
#[derive(Debug)]
pub(super) struct Predicate {
    pub(super) expr: Arc<dyn PhysicalExpr>,
    pub(super) needs: Set,
}

/// In which order relations are joined. The second of two is tested against where it is a
/// relation with a test.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    Relation(usize),
    Join(Box<Tree>, Box<Tree>),
}

/// Inner, semi and anti joins that may stand in any order.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) relations: Vec<Relation>,
    /// Keys that are equal in every row of the result.
    pub(super) classes: Vec<Vec<Key>>,
    pub(super) predicates: Vec<Predicate>,
    /// The columns of the result, among those of the graph.
    pub(super) output: Vec<usize>,
    /// The order in which it is written.
    pub(super) written: Tree,
}

impl Tree {
    /// The relations in it.
    pub(super) fn set(&self) -> Set {
        match self {
            Self::Relation(r) => 1 << r,
            Self::Join(a, b) => a.set() | b.set(),
        }
    }
}

/// Whether a plan is a join that may be taken apart, or picks and filters columns of one.
pub(super) fn is_join(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let (fetch, any_null) = (plan.fetch(), join.null_equality());
        let kinds = [
            JoinType::Inner,
            JoinType::LeftSemi,
            JoinType::LeftAnti,
            JoinType::RightSemi,
            JoinType::RightAnti,
        ];
        return kinds.contains(join.join_type())
            && fetch.is_none()
            && any_null == NullEquality::NullEqualsNothing
            && !join.null_aware;
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return projection.expr().iter().all(|e| e.expr.is::<Column>())
            && is_join(projection.input());
    }
    match plan.downcast_ref::<FilterExec>() {
        Some(filter) => {
            plan.fetch().is_none() && !is_volatile(filter.predicate()) && is_join(filter.input())
        }
        None => false,
    }
}

impl Graph {
    /// The graph of a plan that [`is_join`]; `None` with too many relations, or where two keys
    /// of one relation are equal: a join of a pair of keys would not see to that.
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Self>> {
        let mut walk = Walk::default();
        let (output, written) = walk.plan(plan)?;
        if walk.relations.len() > MOST {
            return Ok(None);
        }
        let classes = classes(walk.equal);
        let alone = |class: &Vec<Key>| {
            let relations = class.iter().fold(0, |set: Set, k| set | 1 << k.relation);
            relations.count_ones() as usize == class.len()
        };
        if !classes.iter().all(alone) {
            return Ok(None);
        }
        let (relations, predicates) = (walk.relations, walk.predicates);
        Ok(Some(Self { relations, classes, predicates, output, written }))
    }

    /// The relation of a column of the graph.
    pub(super) fn relation_of(&self, column: usize) -> usize {
        self.relations.partition_point(|r| r.first <= column) - 1
    }

    /// The key that stands for a class in a join of `set`: the same for a set and for the
    /// part of it that holds the key.
    pub(super) fn key(class: &[Key], set: Set) -> Option<&Key> {
        class.iter().find(|k| set & 1 << k.relation != 0)
    }
}

/// A graph in the making.
#[derive(Default)]
struct Walk {
    relations: Vec<Relation>,
    /// Columns so far.
    columns: usize,
    equal: Vec<(Key, Key)>,
    predicates: Vec<Predicate>,
}

impl Walk {
    /// Takes a plan apart; gives its columns and its order.
    fn plan(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<(Vec<usize>, Tree)> {
        if !is_join(plan) {
            return Ok(self.relation(plan, None, false));
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let (below, tree) = self.plan(projection.input())?;
            let columns = projection.expr().iter().filter_map(|e| e.expr.downcast_ref::<Column>());
            return Ok((columns.map(|c| below[c.index()]).collect(), tree));
        }
        let mark = (self.relations.len(), self.columns, self.equal.len(), self.predicates.len());
        let apart = match plan.downcast_ref::<FilterExec>() {
            Some(filter) => self.filter(filter)?,
            None => self.join(plan)?,
        };
        if let Some(done) = apart {
            return Ok(done);
        }
        self.relations.truncate(mark.0);
        self.columns = mark.1;
        self.equal.truncate(mark.2);
        self.predicates.truncate(mark.3);
        Ok(self.relation(plan, None, true))
    }

    fn relation(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        test: Option<Test>,
        opaque: bool,
    ) -> (Vec<usize>, Tree) {
        let (first, at) = (self.columns, self.relations.len());
        self.columns += plan.schema().fields().len();
        self.relations.push(Relation { plan: Arc::clone(plan), first, test, opaque });
        ((first..self.columns).collect(), Tree::Relation(at))
    }

    fn filter(&mut self, filter: &FilterExec) -> Result<Option<(Vec<usize>, Tree)>> {
        let (below, tree) = self.plan(filter.input())?;
        for part in split_conjunction(filter.predicate()) {
            let expr = renumbered(part, |c| below[c])?;
            let needs = self.set_of(&expr);
            // One of a single relation would have been pushed to it; one of none is rare.
            if needs.count_ones() < 2 {
                return Ok(None);
            }
            self.predicates.push(Predicate { expr, needs });
        }
        let columns = match filter.projection() {
            Some(kept) => kept.iter().map(|c| below[*c]).collect(),
            None => below,
        };
        Ok(Some((columns, tree)))
    }

    fn join(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<Option<(Vec<usize>, Tree)>> {
        let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(None) };
        let done = match join.join_type() {
            JoinType::Inner => self.inner(join)?,
            JoinType::LeftSemi | JoinType::LeftAnti => self.test(join, JoinSide::Left)?,
            _ => self.test(join, JoinSide::Right)?,
        };
        let Some((columns, tree)) = done else { return Ok(None) };
        let columns = match &join.projection {
            Some(kept) => kept.iter().map(|c| columns[*c]).collect(),
            None => columns,
        };
        Ok(Some((columns, tree)))
    }

    fn inner(&mut self, join: &HashJoinExec) -> Result<Option<(Vec<usize>, Tree)>> {
        let (left, a) = self.plan(join.left())?;
        let (right, b) = self.plan(join.right())?;
        for (l, r) in join.on() {
            let (l, r) = (renumbered(l, |c| left[c])?, renumbered(r, |c| right[c])?);
            let (Some(l), Some(r)) = (self.key(l), self.key(r)) else { return Ok(None) };
            self.equal.push((l, r));
        }
        if let Some(filter) = join.filter() {
            let expr = over_both(filter, &left, &right)?;
            if is_volatile(&expr) {
                return Ok(None);
            }
            for part in split_conjunction(&expr) {
                let needs = self.set_of(part);
                if needs.count_ones() < 2 {
                    return Ok(None);
                }
                self.predicates.push(Predicate { expr: Arc::clone(part), needs });
            }
        }
        let columns = left.into_iter().chain(right).collect();
        Ok(Some((columns, Tree::Join(Box::new(a), Box::new(b)))))
    }

    /// A semi or anti join that keeps the rows of one side.
    fn test(&mut self, join: &HashJoinExec, kept: JoinSide) -> Result<Option<(Vec<usize>, Tree)>> {
        let left = kept == JoinSide::Left;
        let (outer, inner) = match left {
            true => (join.left(), join.right()),
            false => (join.right(), join.left()),
        };
        let (columns, tree) = self.plan(outer)?;
        let first = self.columns;
        let mut on = Vec::with_capacity(join.on().len());
        for (l, r) in join.on() {
            let (o, i) = if left { (l, r) } else { (r, l) };
            on.push((renumbered(o, |c| columns[c])?, renumbered(i, |c| first + c)?));
        }
        let inner_columns: Vec<usize> = (first..first + inner.schema().fields().len()).collect();
        let filter = match (join.filter(), left) {
            (None, _) => None,
            (Some(f), true) => Some(over_both(f, &columns, &inner_columns)?),
            (Some(f), false) => Some(over_both(f, &inner_columns, &columns)?),
        };
        let outside = |e: &Arc<dyn PhysicalExpr>| self.set_of(e);
        let mut needs = on.iter().fold(0, |set, (o, _)| set | outside(o));
        if let Some(filter) = &filter {
            let columns = collect_columns(filter);
            let outer = columns.iter().filter(|c| c.index() < first);
            needs |= outer.fold(0, |set, c| set | self.set_of_column(c.index()));
        }
        let volatile = on.iter().any(|(o, i)| is_volatile(o) || is_volatile(i))
            || filter.as_ref().is_some_and(is_volatile);
        if needs == 0 || volatile {
            return Ok(None);
        }
        let anti = matches!(join.join_type(), JoinType::LeftAnti | JoinType::RightAnti);
        let test = Test { anti, on, filter, needs };
        let (_, inner) = self.relation(inner, Some(test), false);
        Ok(Some((columns, Tree::Join(Box::new(tree), Box::new(inner)))))
    }

    /// An expression as the key of the one relation that it reads.
    fn key(&self, expr: Arc<dyn PhysicalExpr>) -> Option<Key> {
        let set = self.set_of(&expr);
        let one = set.count_ones() == 1 && !is_volatile(&expr);
        one.then(|| Key { relation: set.trailing_zeros() as usize, expr })
    }

    /// The relations that an expression over the graph's columns reads.
    fn set_of(&self, expr: &Arc<dyn PhysicalExpr>) -> Set {
        collect_columns(expr).iter().fold(0, |set, c| set | self.set_of_column(c.index()))
    }

    /// Relations past the most give no bit: the graph is given up then.
    fn set_of_column(&self, column: usize) -> Set {
        let at = self.relations.partition_point(|r| r.first <= column) - 1;
        1u32.checked_shl(at as u32).unwrap_or(0)
    }
}

/// An expression with other numbers of its columns.
pub(super) fn renumbered(
    expr: &Arc<dyn PhysicalExpr>,
    number: impl Fn(usize) -> usize,
) -> Result<Arc<dyn PhysicalExpr>> {
    Arc::clone(expr)
        .transform_up(|e| {
            Ok(match e.downcast_ref::<Column>() {
                Some(c) => {
                    let column = Column::new(c.name(), number(c.index()));
                    Transformed::yes(Arc::new(column) as Arc<dyn PhysicalExpr>)
                }
                None => Transformed::no(e),
            })
        })
        .data()
}

/// A join's filter over the columns of the graph.
fn over_both(
    filter: &JoinFilter,
    left: &[usize],
    right: &[usize],
) -> Result<Arc<dyn PhysicalExpr>> {
    let numbers: Vec<usize> = filter
        .column_indices()
        .iter()
        .map(|c| if c.side == JoinSide::Left { left[c.index] } else { right[c.index] })
        .collect();
    renumbered(filter.expression(), |c| numbers[c])
}

/// Pairs of equal keys as classes; keys of one relation that are equal are one class too.
fn classes(pairs: Vec<(Key, Key)>) -> Vec<Vec<Key>> {
    let mut classes: Vec<Vec<Key>> = Vec::new();
    let same = |a: &Key, b: &Key| a.relation == b.relation && a.expr.eq(&b.expr);
    for (a, b) in pairs {
        let at = |k: &Key, classes: &[Vec<Key>]| {
            classes.iter().position(|class| class.iter().any(|m| same(m, k)))
        };
        match (at(&a, &classes), at(&b, &classes)) {
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) => {
                let merged = classes.swap_remove(x.max(y));
                classes[x.min(y)].extend(merged);
            }
            (Some(x), None) => classes[x].push(b),
            (None, Some(y)) => classes[y].push(a),
            (None, None) => classes.push(vec![a, b]),
        }
    }
    classes
}
