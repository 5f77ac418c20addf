//! Groups that a join compares its own rows with, computed from these rows.
//!
//! `x = (SELECT min(x) FROM t WHERE t.key = outer.key)` over an outer query that joins the same
//! `t` on the same key reads `t` twice. Where the outer query's rows of a key are all rows of the
//! subquery for that key, the second reading is left out. (The transformation of Zuzarte et al.,
//! "WinMagic: Subquery Elimination Using Window Aggregation", SIGMOD 2003, with a shared join and
//! a group-by in the place of the window.)

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        Column, JoinType, NullEquality, TableReference,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::{
        Aggregate, BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator, Projection,
        SubqueryAlias, TableScan, utils::split_conjunction,
    },
};

use super::{ROWS_KEPT, may_share, merge, part, tables};

/// A table that joins read.
struct Leaf<'a> {
    /// `None` for what is no table.
    scan: Option<&'a TableScan>,
    /// What qualifies its columns; `None` if several names do.
    name: Option<TableReference>,
}

/// Inner joins taken apart.
#[derive(Default)]
struct Joined<'a> {
    leaves: Vec<Leaf<'a>>,
    /// Columns that are equal in every row.
    classes: Vec<Vec<Column>>,
    /// What else holds in every row.
    tests: Vec<Expr>,
}

impl<'a> Joined<'a> {
    fn of(plan: &'a LogicalPlan) -> Self {
        let mut joined = Self::default();
        joined.add(plan);
        joined
    }

    fn add(&mut self, plan: &'a LogicalPlan) {
        match merge::bare(plan) {
            LogicalPlan::Join(join)
                if join.join_type == JoinType::Inner
                    && join.null_equality == NullEquality::NullEqualsNothing =>
            {
                self.add(&join.left);
                self.add(&join.right);
                for (l, r) in &join.on {
                    self.equal(l, r);
                }
                self.test(join.filter.as_ref());
            }
            LogicalPlan::Filter(filter) => {
                self.add(&filter.input);
                self.test(Some(&filter.predicate));
            }
            LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
                self.test(&scan.filters);
                let name = Some(scan.table_name.clone());
                self.leaves.push(Leaf { scan: Some(scan), name });
            }
            LogicalPlan::SubqueryAlias(node) => {
                let below = Self::of(&node.input);
                let [Leaf { scan: Some(scan), .. }] = below.leaves[..] else {
                    return self.opaque(plan);
                };
                let name = |_: &TableReference| Some(node.alias.clone());
                let classes = below.classes.iter().flat_map(|class| class.windows(2));
                for pair in classes {
                    let [l, r] =
                        [&pair[0], &pair[1]].map(|c| Expr::Column(renamed_column(c, &name)));
                    self.equal(&l, &r);
                }
                let tests: Vec<Expr> = below.tests.iter().map(|e| renamed(e, &name)).collect();
                self.test(&tests);
                self.leaves.push(Leaf { scan: Some(scan), name: Some(node.alias.clone()) });
            }
            _ => self.opaque(plan),
        }
    }

    fn opaque(&mut self, plan: &LogicalPlan) {
        let mut names = plan.schema().iter().map(|(name, _)| name);
        let first = names.next().flatten().cloned();
        let name = first.filter(|first| names.all(|name| name == Some(first)));
        self.leaves.push(Leaf { scan: None, name });
    }

    fn equal(&mut self, l: &Expr, r: &Expr) {
        let (Expr::Column(l), Expr::Column(r)) = (l, r) else {
            let equal = BinaryExpr::new(Box::new(l.clone()), Operator::Eq, Box::new(r.clone()));
            return self.test([&Expr::BinaryExpr(equal)]);
        };
        let mut class = vec![l.clone(), r.clone()];
        self.classes.retain_mut(|other| {
            let apart = !other.contains(l) && !other.contains(r);
            if !apart {
                class.append(other);
            }
            apart
        });
        self.classes.push(class);
    }

    fn test<'e>(&mut self, tests: impl IntoIterator<Item = &'e Expr>) {
        for test in tests.into_iter().flat_map(split_conjunction) {
            if !self.tests.contains(test) {
                self.tests.push(test.clone());
            }
        }
    }

    /// Whether two columns are equal in every row.
    fn same(&self, a: &Column, b: &Column) -> bool {
        a == b || self.classes.iter().any(|class| class.contains(a) && class.contains(b))
    }
}

/// A name for another one; `None` to keep it.
type Rename<'a> = &'a dyn Fn(&TableReference) -> Option<TableReference>;

fn renamed_column(column: &Column, name: Rename<'_>) -> Column {
    let new = column.relation.as_ref().and_then(name);
    Column { relation: new.or_else(|| column.relation.clone()), ..column.clone() }
}

fn renamed(expr: &Expr, name: Rename<'_>) -> Expr {
    let new = expr.clone().transform(|e| {
        Ok(match e {
            Expr::Column(column) => Transformed::yes(Expr::Column(renamed_column(&column, name))),
            other => Transformed::no(other),
        })
    });
    new.data().unwrap_or_else(|_| expr.clone())
}

/// The plan with groups computed from the rows that they are compared with, wherever that can
/// be. Parts are numbered from 0 on; also their number.
///
/// ```text
///   Join k = key                         Join k = key
///   ├ Join                               ├ (k, x …) ────────────┐
///   │ ├ few of them                      └ Aggregate key, min(x) │
///   │ └ table k, x             ─►          └ (k, x) ─────────────┤
///   └ Aggregate key, min(x)                                    Join
///     └ table key, x                                           ├ few of them
///                                                              └ table k, x
/// ```
pub(super) fn rewrite(plan: &LogicalPlan) -> Result<Option<(LogicalPlan, usize)>> {
    let mut parts = 0;
    let new = plan.clone().transform_down_with_subqueries(|node| {
        let LogicalPlan::Join(join) = &node else { return Ok(Transformed::no(node)) };
        // What cannot be made is left as it is.
        let Some(new) = from_outer(join, parts).ok().flatten() else {
            return Ok(Transformed::no(node));
        };
        parts += 1;
        Ok(Transformed::new(LogicalPlan::Join(new), true, TreeNodeRecursion::Jump))
    });
    let new = new.data()?;
    Ok((parts > 0).then_some((new, parts)))
}

/// The join with the groups of its right side computed from the rows of its left side; `None`
/// where these are not the same.
fn from_outer(join: &Join, number: usize) -> Result<Option<Join>> {
    use JoinType::{Inner, Left, LeftAnti, LeftMark, LeftSemi};
    let plain = join.null_equality == NullEquality::NullEqualsNothing && !join.null_aware;
    if !plain || !matches!(join.join_type, Inner | Left | LeftAnti | LeftMark | LeftSemi) {
        return Ok(None);
    }
    let Some(groups) = groups(&join.right) else { return Ok(None) };
    let (outer, inner) = (Joined::of(&join.left), Joined::of(&groups.input));
    let Some(names) = matched(&outer, &inner) else { return Ok(None) };
    let name = |inner: &TableReference| {
        let pair = names.iter().find(|(i, _)| i == inner);
        pair.map(|(_, outer)| outer.clone())
    };
    let keys = groups.group_expr.iter().map(|e| match e {
        Expr::Column(column) => Some(renamed_column(column, &name)),
        _ => None,
    });
    let Some(keys) = keys.collect::<Option<Vec<Column>>>().filter(|keys| !keys.is_empty()) else {
        return Ok(None);
    };
    let sound = outer.leaves.len() > inner.leaves.len()
        && meets_keys(join, &keys, &outer)
        && whole_groups(&outer, &inner, &keys, &name)
        && groups.aggr_expr.iter().all(|e| may_repeat(e, &groups.input))
        && may_share(&join.left)?
        && may_share(&join.right)?;
    if !sound {
        return Ok(None);
    }
    let read = groups.input.schema().columns();
    let needed: Vec<Column> = read.iter().map(|c| renamed_column(c, &name)).collect();
    let all = with_columns(&join.left, &needed)?;
    let rows = |first, instead| part(number, all.clone(), first, ROWS_KEPT, instead);
    let own = join.left.schema().columns().into_iter().map(Expr::Column).collect();
    let inner_rows = groups.input.as_ref().clone();
    let left = Projection::try_new(own, Arc::new(rows(true, Some(inner_rows))))?;
    let columns = read.into_iter().zip(needed).map(|(read, from)| match read == from {
        true => Expr::Column(from),
        false => Expr::Column(from).alias_qualified(read.relation, read.name),
    });
    let right = Projection::try_new(columns.collect(), Arc::new(rows(false, None)))?;
    let right = over_groups(&join.right, LogicalPlan::Projection(right))?;
    let new = merge::over(join, LogicalPlan::Projection(left), right)?;
    let same = new.schema.has_equivalent_names_and_types(&join.schema).is_ok();
    Ok(same.then_some(new))
}

/// The aggregation whose groups a plan gives.
fn groups(plan: &LogicalPlan) -> Option<&Aggregate> {
    match plan {
        LogicalPlan::Aggregate(node) => Some(node),
        LogicalPlan::Projection(node) => groups(&node.input),
        LogicalPlan::SubqueryAlias(node) => groups(&node.input),
        LogicalPlan::Filter(node) => groups(&node.input),
        _ => None,
    }
}

/// The same operators over another input of their aggregation.
fn over_groups(plan: &LogicalPlan, input: LogicalPlan) -> Result<LogicalPlan> {
    let below = match plan {
        LogicalPlan::Aggregate(_) => input,
        _ => over_groups(plan.inputs()[0], input)?,
    };
    plan.with_new_exprs(plan.expressions(), vec![below])
}

/// The group key that a column of a plan over groups is.
fn key_of(plan: &LogicalPlan, column: &Column) -> Option<usize> {
    let at = plan.schema().maybe_index_of_column(column)?;
    match plan {
        LogicalPlan::Aggregate(node) => (at < node.group_expr.len()).then_some(at),
        LogicalPlan::SubqueryAlias(node) => {
            let (relation, field) = node.input.schema().qualified_field(at);
            key_of(&node.input, &Column::from((relation, field)))
        }
        LogicalPlan::Projection(node) => match node.expr[at].clone().unalias() {
            Expr::Column(column) => key_of(&node.input, &column),
            _ => None,
        },
        LogicalPlan::Filter(node) => key_of(&node.input, column),
        _ => None,
    }
}

/// For each name of the inner query's tables that of the same table in the outer query; `None`
/// where one is not there, or could be several.
fn matched(
    outer: &Joined<'_>,
    inner: &Joined<'_>,
) -> Option<Vec<(TableReference, TableReference)>> {
    let mut names: Vec<(TableReference, TableReference)> = Vec::new();
    for leaf in &inner.leaves {
        let (scan, name) = (leaf.scan?, leaf.name.clone()?);
        let table = tables(&LogicalPlan::TableScan(scan.clone()));
        let alike = outer.leaves.iter().filter(|other| {
            let other = other.scan.map(|s| tables(&LogicalPlan::TableScan(s.clone())));
            other.as_ref() == Some(&table)
        });
        let alike: Vec<&TableReference> = alike.filter_map(|leaf| leaf.name.as_ref()).collect();
        let other = match alike[..] {
            [one] => one,
            _ => alike.into_iter().find(|other| **other == name)?,
        };
        if names.iter().any(|(i, o)| *i == name || o == other) {
            return None;
        }
        names.push((name, other.clone()));
    }
    let mut seen: Vec<&TableReference> =
        outer.leaves.iter().map(|leaf| leaf.name.as_ref()).collect::<Option<_>>()?;
    seen.sort();
    seen.windows(2).all(|pair| pair[0] != pair[1]).then_some(names)
}

/// Whether the join compares each group key with the same column of its left side.
fn meets_keys(join: &Join, keys: &[Column], outer: &Joined<'_>) -> bool {
    let met = |number: usize, key: &Column| {
        join.on.iter().any(|(l, r)| match (l, r) {
            (Expr::Column(l), Expr::Column(r)) => {
                key_of(&join.right, r) == Some(number) && outer.same(l, key)
            }
            _ => false,
        })
    };
    keys.iter().enumerate().all(|(number, key)| met(number, key))
}

/// Whether the outer rows of a key are the inner rows of that key, each as often as the others: conditions on inner tables alone are the same, and what ties them to other
/// tables says something of the key only.
fn whole_groups(outer: &Joined<'_>, inner: &Joined<'_>, keys: &[Column], name: Rename<'_>) -> bool {
    let mut own = Joined::default();
    for class in &inner.classes {
        for pair in class.windows(2) {
            let [l, r] = [&pair[0], &pair[1]].map(|c| Expr::Column(renamed_column(c, name)));
            own.equal(&l, &r);
        }
    }
    let tests: Vec<Expr> = inner.tests.iter().map(|e| renamed(e, name)).collect();
    let names: Vec<TableReference> =
        inner.leaves.iter().filter_map(|leaf| name(leaf.name.as_ref()?)).collect();
    let of_inner = |c: &Column| c.relation.as_ref().is_some_and(|r| names.contains(r));
    let of_key = |c: &Column| keys.iter().any(|key| own.same(key, c));
    let implied =
        own.classes.iter().all(|class| class.windows(2).all(|p| outer.same(&p[0], &p[1])))
            && tests.iter().all(|test| outer.tests.contains(test));
    let classes = outer.classes.iter().all(|class| {
        let (inside, outside): (Vec<_>, Vec<_>) = class.iter().partition(|c| of_inner(c));
        inside.windows(2).all(|pair| own.same(pair[0], pair[1]))
            && (outside.is_empty() || inside.iter().all(|c| of_key(c)))
    });
    let tested = outer.tests.iter().all(|test| {
        let columns = test.column_refs();
        let inside = columns.iter().filter(|c| of_inner(c)).count();
        let whole = inside == columns.len() && inside > 0;
        match whole {
            true => tests.contains(test) || columns.iter().all(|c| of_key(c)),
            false => columns.iter().filter(|c| of_inner(c)).all(|c| of_key(c)),
        }
    });
    implied && classes && tested
}

/// Whether an aggregate has the same value over rows of which each comes equally often.
fn may_repeat(e: &Expr, input: &LogicalPlan) -> bool {
    let Expr::AggregateFunction(call) = e.clone().unalias() else { return false };
    if call.params.filter.is_some() || !call.params.order_by.is_empty() {
        return false;
    }
    let exact = || {
        let ty = call.params.args.first().and_then(|e| e.get_type(input.schema()).ok());
        matches!(
            ty,
            Some(DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..))
        )
    };
    match call.func.name() {
        "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or" => true,
        "avg" => exact(),
        "count" => call.params.distinct,
        _ => false,
    }
}

/// The plan with columns that its tables have and that it leaves out.
///
/// # Errors
/// Where a plan cannot be made with them.
fn with_columns(plan: &LogicalPlan, needed: &[Column]) -> Result<LogicalPlan> {
    let missing = |plan: &LogicalPlan| needed.iter().any(|c| !plan.schema().has_column(c));
    if !missing(plan) {
        return Ok(plan.clone());
    }
    Ok(match plan {
        LogicalPlan::Projection(node) => {
            let input = with_columns(&node.input, needed)?;
            let more = needed.iter().filter(|c| !node.schema.has_column(c));
            let more = more.filter(|c| input.schema().has_column(c)).cloned().map(Expr::Column);
            let exprs = node.expr.iter().cloned().chain(more).collect();
            LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?)
        }
        LogicalPlan::TableScan(node) => {
            let schema = node.source.schema();
            let of = |c: &Column| {
                let own = c.relation.as_ref() == Some(&node.table_name);
                schema.index_of(&c.name).ok().filter(|_| own)
            };
            let projection = node.projection.as_ref().map(|projection| {
                let mut all = projection.clone();
                let more = needed.iter().filter_map(of);
                for column in more {
                    if !all.contains(&column) {
                        all.push(column);
                    }
                }
                all
            });
            merge::reading(node, projection)?
        }
        LogicalPlan::SubqueryAlias(node) => {
            let [Leaf { scan: Some(scan), .. }] = Joined::of(&node.input).leaves[..] else {
                return Ok(plan.clone());
            };
            let own = needed.iter().filter(|c| c.relation.as_ref() == Some(&node.alias));
            let own = own.map(|c| Column::new(Some(scan.table_name.clone()), c.name.clone()));
            let input = with_columns(&node.input, &own.collect::<Vec<_>>())?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), node.alias.clone())?)
        }
        LogicalPlan::Join(_) | LogicalPlan::Filter(_) => {
            let inputs = plan.inputs().into_iter().map(|input| with_columns(input, needed));
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            plan.with_new_exprs(plan.expressions(), inputs)?
        }
        other => other.clone(),
    })
}
