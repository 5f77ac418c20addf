//! The cheapest order of a graph's joins: dynamic programming over its connected sets
//! (Moerkotte and Neumann, "Analysis of Two Existing and One New Dynamic Programming
//! Algorithm for the Generation of Optimal Bushy Join Trees without Cross Products", 2006,
//! algorithm DPsub), and for many relations the pair with the smallest result first (Fegaras,
//! "A New Heuristic for Optimizing Large Queries", 1998).

use std::{cell::RefCell, collections::HashMap};

use windlass_runtime::cost::Join;

use super::{
    figures::{ColumnFigures, Figures, LEAST_ANTI, figures_of, selectivity},
    graph::{Graph, Key, Set, Tree},
};

/// Most relations for which all orders are tried: 3^10 pairs of sets take some 10 ms.
const TRIED: usize = 10;

/// Nanoseconds of one core for each row that a join gives: a guess, a gather of four columns.
const RESULT_NS: f64 = 20.0;

/// Rows, costs and orders of a graph.
pub(super) struct Search<'a> {
    graph: &'a Graph,
    /// One for each relation.
    figures: &'a [Figures],
    /// Rows of sets that were asked for.
    rows: RefCell<HashMap<Set, f64>>,
}

/// An order and what it costs.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) tree: Tree,
    /// Milliseconds of one core.
    pub(super) cost: f64,
}

impl<'a> Search<'a> {
    pub(super) fn new(graph: &'a Graph, figures: &'a [Figures]) -> Self {
        Self { graph, figures, rows: RefCell::default() }
    }

    /// The cheapest order that was found; `None` when relations are not connected.
    pub(super) fn best(&self) -> Option<Plan> {
        match self.graph.relations.len() {
            n if n <= TRIED => self.all_orders(n),
            _ => self.smallest_first(),
        }
    }

    /// The cost of an order.
    pub(super) fn cost(&self, tree: &Tree) -> f64 {
        match tree {
            Tree::Relation(_) => 0.0,
            Tree::Join(a, b) => self.cost(a) + self.cost(b) + self.join(a.set(), b.set()),
        }
    }

    /// Rows of a set of relations that are joined.
    pub(super) fn rows(&self, set: Set) -> f64 {
        if let Some(rows) = self.rows.borrow().get(&set) {
            return *rows;
        }
        let rows = self.estimate(set);
        self.rows.borrow_mut().insert(set, rows);
        rows
    }

    fn all_orders(&self, n: usize) -> Option<Plan> {
        let all: Set = (1 << n) - 1;
        let mut best: Vec<Option<Plan>> = vec![None; all as usize + 1];
        for r in 0..n {
            let alone = self.graph.relations[r].test.is_none();
            best[1 << r] = alone.then_some(Plan { tree: Tree::Relation(r), cost: 0.0 });
        }
        for set in 1..=all {
            if set.count_ones() < 2 {
                continue;
            }
            let mut found: Option<(f64, Set)> = None;
            let mut a = (set - 1) & set;
            while a != 0 {
                let b = set & !a;
                if let Some(cost) = self.pair(&best, a, b)
                    && found.is_none_or(|(least, _)| cost < least)
                {
                    found = Some((cost, a));
                }
                a = (a - 1) & set;
            }
            best[set as usize] = found.map(|(cost, a)| {
                let tree =
                    Tree::Join(Box::new(self.tree(&best, a)), Box::new(self.tree(&best, set & !a)));
                Plan { tree, cost }
            });
        }
        best.pop().flatten()
    }

    /// The order of one part of a set; a relation with a test has no plan of its own.
    fn tree(&self, best: &[Option<Plan>], set: Set) -> Tree {
        match &best[set as usize] {
            Some(plan) => plan.tree.clone(),
            None => Tree::Relation(set.trailing_zeros() as usize),
        }
    }

    /// The cost of joining the best orders of two parts, the second being the one that tests
    /// if one does; `None` where they do not go together.
    fn pair(&self, best: &[Option<Plan>], a: Set, b: Set) -> Option<f64> {
        let left = best[a as usize].as_ref()?.cost;
        if let Some(needs) = self.test(b) {
            return (needs & !a == 0).then(|| left + self.join(a, b));
        }
        // Each pair once: `a` holds the lowest relation.
        if a.trailing_zeros() > b.trailing_zeros() || !self.connected(a, b) {
            return None;
        }
        Some(left + best[b as usize].as_ref()?.cost + self.join(a, b))
    }

    fn smallest_first(&self) -> Option<Plan> {
        let relations = &self.graph.relations;
        let mut parts: Vec<Tree> = (0..relations.len()).map(Tree::Relation).collect();
        while parts.len() > 1 {
            let mut found: Option<(f64, usize, usize)> = None;
            for i in 0..parts.len() {
                for j in 0..parts.len() {
                    let (a, b) = (parts[i].set(), parts[j].set());
                    let joined = match (self.test(a), self.test(b)) {
                        (Some(_), _) => false,
                        (None, Some(needs)) => needs & !a == 0,
                        (None, None) => i < j && self.connected(a, b),
                    };
                    let joined = joined && i != j;
                    if joined && found.is_none_or(|(least, ..)| self.rows(a | b) < least) {
                        found = Some((self.rows(a | b), i, j));
                    }
                }
            }
            let (_, i, j) = found?;
            let b = parts.remove(j);
            let at = if j < i { i - 1 } else { i };
            let a = parts.remove(at);
            parts.push(Tree::Join(Box::new(a), Box::new(b)));
        }
        let tree = parts.pop()?;
        Some(Plan { cost: self.cost(&tree), tree })
    }

    /// What a set needs that is one relation with a test.
    fn test(&self, set: Set) -> Option<Set> {
        if set.count_ones() != 1 {
            return None;
        }
        let relation = &self.graph.relations[set.trailing_zeros() as usize];
        relation.test.as_ref().map(|t| t.needs)
    }

    /// Whether some keys of two sets are equal.
    fn connected(&self, a: Set, b: Set) -> bool {
        let has = |class: &[Key], set| Graph::key(class, set).is_some();
        self.graph.classes.iter().any(|c| has(c, a) && has(c, b))
    }

    /// The cost of one join: the smaller side is built.
    fn join(&self, a: Set, b: Set) -> f64 {
        let (x, y) = (self.rows(a), self.rows(b));
        let join = Join { build: x.min(y), probe: x.max(y), ..Join::default() };
        join.twin(1).compute_ms + self.rows(a | b) * RESULT_NS * 1e-6
    }

    fn estimate(&self, set: Set) -> f64 {
        let members = |set: Set| (0..self.graph.relations.len()).filter(move |r| set & 1 << r != 0);
        if set.count_ones() == 1 {
            return self.figures[set.trailing_zeros() as usize].rows;
        }
        let mut rows = 1.0;
        for r in members(set) {
            match &self.graph.relations[r].test {
                None => rows *= self.figures[r].rows,
                Some(_) => rows *= self.tested(r),
            }
        }
        rows /= self.distinct(set);
        let column = |c: usize| self.column(c);
        for predicate in &self.graph.predicates {
            if predicate.needs & !set == 0 {
                rows *= selectivity(&predicate.expr, &column);
            }
        }
        rows.max(1.0)
    }

    /// What the product of the rows of a set is divided by: for each class of equal keys the
    /// distinct values of all its relations but the one with the most rows. Keys of a relation
    /// that meet the same other relation are one key of several columns, which has no more
    /// values than the relation has rows.
    fn distinct(&self, set: Set) -> f64 {
        // Relation, its key's columns, the others of the class.
        let mut parts: Vec<(usize, Vec<ColumnFigures>, Set)> = Vec::new();
        for class in &self.graph.classes {
            let mut keys: Vec<&Key> = class.iter().filter(|k| set & 1 << k.relation != 0).collect();
            if keys.len() < 2 {
                continue;
            }
            keys.sort_by(|a, b| {
                self.figures[a.relation].base.total_cmp(&self.figures[b.relation].base)
            });
            let held = keys.iter().fold(0, |s: Set, k| s | 1 << k.relation);
            for key in &keys[..keys.len() - 1] {
                let others = held & !(1 << key.relation);
                let figures = self.key_figures(key);
                match parts.iter_mut().find(|p| p.0 == key.relation && p.2 & others != 0) {
                    Some(part) => {
                        part.1.push(figures);
                        part.2 &= others;
                    }
                    None => parts.push((key.relation, vec![figures], others)),
                }
            }
        }
        parts.iter().map(|(r, key, _)| self.figures[*r].distinct(key)).product()
    }

    /// Share of the rows that a semi or anti join keeps.
    fn tested(&self, relation: usize) -> f64 {
        let Some(test) = &self.graph.relations[relation].test else { return 1.0 };
        let inner = &self.figures[relation];
        let column = |c: usize| self.column(c);
        let distinct = |e| figures_of(e, &column).and_then(|c| c.distinct);
        let kept = test.on.iter().filter_map(|(outer, own)| {
            Some(inner.meets(distinct(own).unwrap_or(inner.base), distinct(outer)?))
        });
        let kept = kept.fold(None, |least: Option<f64>, k| Some(least.map_or(k, |l| l.min(k))));
        let kept = kept.unwrap_or(0.5);
        if test.anti { (1.0 - kept).max(LEAST_ANTI) } else { kept }
    }

    fn key_figures(&self, key: &Key) -> ColumnFigures {
        figures_of(&key.expr, &|c| self.column(c)).unwrap_or_default()
    }

    fn column(&self, column: usize) -> Option<ColumnFigures> {
        let relation = self.graph.relation_of(column);
        let first = self.graph.relations[relation].first;
        self.figures[relation].columns.get(column - first).copied()
    }
}
