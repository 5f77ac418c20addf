//! What is known of a relation before it is read: rows and, for each column, distinct values
//! and range; and the share of rows that a predicate keeps.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{ColumnStatistics, JoinType, ScalarValue},
    logical_expr::Operator,
    physical_expr::{
        expressions::{
            BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal,
            NotExpr,
        },
        utils::collect_columns,
    },
    physical_plan::{
        ExecutionPlan, PhysicalExpr,
        aggregates::{AggregateExec, AggregateMode},
        coalesce_partitions::CoalescePartitionsExec,
        coop::CooperativeExec,
        filter::FilterExec,
        joins::HashJoinExec,
        projection::ProjectionExec,
        repartition::RepartitionExec,
        statistics::{StatisticsArgs, StatisticsContext},
    },
};

use crate::plan::estimate::rows_of;

/// Share of the rows that a predicate keeps of which nothing is known: DataFusion's default.
const UNKNOWN: f64 = 0.2;
/// Share of the rows that have one given text, where nobody has counted the texts. A guess:
/// TPC-H's enumerations have 5 to 40 values.
const ONE_TEXT: f64 = 0.1;
/// Share of the rows on one side of a bound whose column has no known range, and of those
/// where one column is less than another: a guess between a half and a quarter.
const ONE_SIDE: f64 = 1.0 / 3.0;
/// Share of the rows that a `LIKE` keeps: a guess.
const LIKE: f64 = 0.1;

/// Least share of the rows that an anti join keeps: a guess that keeps it from looking free.
pub(super) const LEAST_ANTI: f64 = 0.1;

/// What is known of a column.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ColumnFigures {
    /// Distinct values before any filter.
    pub(super) distinct: Option<f64>,
    /// Least and greatest value.
    pub(super) range: Option<(f64, f64)>,
    /// Share of nulls.
    pub(super) nulls: Option<f64>,
    /// Share of the distinct values that joins on this column have left, where there were.
    pub(super) left: Option<f64>,
}

/// What is known of a relation.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures {
    /// Its rows.
    pub(super) rows: f64,
    /// Rows before its filters, at least one: what the distinct values of its columns were
    /// counted in.
    pub(super) base: f64,
    pub(super) columns: Vec<ColumnFigures>,
}

impl Figures {
    /// The figures of a plan; `None` where nothing tells its rows.
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let input = |at: usize| plan.children().get(at).and_then(|p| Self::of(p));
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            let mut figures = input(0)?;
            figures.rows *= selectivity(filter.predicate(), &|c| figures.columns.get(c).copied());
            if let Some(kept) = filter.projection() {
                figures.columns = kept.iter().map(|c| figures.columns[*c]).collect();
            }
            return Some(figures);
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let mut figures = input(0)?;
            let column = |e: &Arc<dyn PhysicalExpr>| {
                let column = e.downcast_ref::<Column>()?;
                figures.columns.get(column.index()).copied()
            };
            let columns = projection.expr().iter().map(|e| column(&e.expr).unwrap_or_default());
            figures.columns = columns.collect();
            return Some(figures);
        }
        if plan.is::<RepartitionExec>()
            || plan.is::<CoalescePartitionsExec>()
            || plan.is::<CooperativeExec>()
        {
            return input(0);
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>()
            && let Some(figures) = Self::of_join(join)
        {
            return Some(figures);
        }
        if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
            return Self::of_groups(aggregate);
        }
        let statistics = StatisticsContext::new().compute(&**plan, &StatisticsArgs::new()).ok();
        let known = statistics.as_ref().and_then(|s| s.num_rows.get_value());
        let rows = known.map(|n| *n as f64).or_else(|| rows_of(plan).map(|n| n as f64))?;
        let schema = plan.schema();
        let none = ColumnStatistics::new_unknown();
        let columns = (0..schema.fields().len()).map(|i| {
            let of = statistics.as_ref().and_then(|s| s.column_statistics.get(i));
            ColumnFigures::of(of.unwrap_or(&none), schema.field(i).data_type(), rows)
        });
        Some(Self { rows, base: rows.max(1.0), columns: columns.collect() })
    }

    /// One row for each combination of the keys' distinct values, as far as there are rows.
    fn of_groups(aggregate: &AggregateExec) -> Option<Self> {
        let input = Self::of(aggregate.input())?;
        let keys = aggregate.group_expr();
        if !keys.is_single() {
            return None;
        }
        let key = |e: &Arc<dyn PhysicalExpr>| {
            let column = e.downcast_ref::<Column>()?;
            input.columns.get(column.index()).copied()
        };
        let mut columns: Vec<_> =
            keys.expr().iter().map(|(e, _)| key(e).unwrap_or_default()).collect();
        let groups: f64 = columns.iter().map(|c| c.distinct.unwrap_or(input.rows)).product();
        let rows = groups.min(input.rows).max(1.0);
        let partial = *aggregate.mode() == AggregateMode::Partial;
        columns.resize(aggregate.schema().fields().len(), ColumnFigures::default());
        Some(Self { rows, base: if partial { input.base } else { rows.max(1.0) }, columns })
    }

    /// Each row of one side with those of the other that have its keys; `None` for outer joins.
    fn of_join(join: &HashJoinExec) -> Option<Self> {
        let (left, right) = (Self::of(join.left())?, Self::of(join.right())?);
        let (l, r): (Vec<_>, Vec<_>) = join
            .on()
            .iter()
            .map(|(l, r)| {
                (left.of_expr(l).unwrap_or_default(), right.of_expr(r).unwrap_or_default())
            })
            .unzip();
        let (dl, dr) = (left.distinct(&l), right.distinct(&r));
        let semi = |own: &Self, share: f64| own.rows * share;
        let anti = |own: &Self, share: f64| own.rows * (1.0 - share).max(LEAST_ANTI);
        let (met_l, met_r) = (right.meets(dr, dl), left.meets(dl, dr));
        let filtered = if join.filter().is_some() { UNKNOWN } else { 1.0 };
        let met: Vec<(f64, f64)> =
            l.iter().zip(&r).map(|(l, r)| met(&left, l, &right, r)).collect();
        let (rows, base, mut columns) = match join.join_type() {
            JoinType::Inner => {
                let rows = left.rows * right.rows / dl.max(dr);
                let columns = left.columns.iter().chain(&right.columns).copied().collect();
                (rows, left.base.max(right.base), columns)
            }
            JoinType::LeftSemi => (semi(&left, met_l), left.base, left.columns),
            JoinType::LeftAnti => (anti(&left, met_l), left.base, left.columns),
            JoinType::RightSemi => (semi(&right, met_r), right.base, right.columns),
            JoinType::RightAnti => (anti(&right, met_r), right.base, right.columns),
            _ => return None,
        };
        let (lefts, rights) = match join.join_type() {
            JoinType::Inner => (0, Some(join.left().schema().fields().len())),
            JoinType::LeftSemi => (0, None),
            _ => (columns.len(), Some(0)),
        };
        for ((l, r), (met_l, met_r)) in join.on().iter().zip(met) {
            let mut note = |e: &Arc<dyn PhysicalExpr>, first: usize, met: f64| {
                let column = e.downcast_ref::<Column>().map(|c| first + c.index());
                if let Some(figures) = column.and_then(|c| columns.get_mut(c)) {
                    figures.left = Some(met);
                }
            };
            note(l, lefts, met_l);
            if let Some(first) = rights {
                note(r, first, met_r);
            }
        }
        if let Some(kept) = &join.projection {
            columns = kept.iter().map(|c| columns[*c]).collect::<Vec<_>>();
        }
        Some(Self { rows: (rows * filtered).max(1.0), base, columns })
    }

    /// The share of the rows of another relation that have a key of this one: that of the keys
    /// which the filters of this one leave a row, if either relation's keys, `own` and `other`
    /// distinct ones, are among the other's.
    pub(super) fn meets(&self, own: f64, other: f64) -> f64 {
        let kept = (self.rows / self.base).clamp(0.0, 1.0);
        // A key has several rows, of which one is enough.
        let keys = 1.0 - (1.0 - kept).powf((self.base / own).max(1.0));
        keys * (own / other).min(1.0)
    }

    /// The share of the distinct values of a column that are left: each has several rows, of
    /// which one is enough, unless a join on the column said more.
    pub(super) fn left_of(&self, column: &ColumnFigures) -> f64 {
        let own = column.distinct.unwrap_or(self.base);
        let by_rows = self.meets(own, own);
        column.left.map_or(by_rows, |left| left.min(by_rows))
    }

    /// What is known of an expression over its columns.
    pub(super) fn of_expr(&self, e: &Arc<dyn PhysicalExpr>) -> Option<ColumnFigures> {
        figures_of(e, &|c| self.columns.get(c).copied())
    }

    /// Distinct values of a key before any filter; as many as rows where nothing tells.
    pub(super) fn distinct(&self, key: &[ColumnFigures]) -> f64 {
        let each = key.iter().map(|c| c.distinct.unwrap_or(self.base));
        each.product::<f64>().min(self.base).max(1.0)
    }
}

impl ColumnFigures {
    fn of(statistics: &ColumnStatistics, ty: &DataType, rows: f64) -> Self {
        let bound = |v: Option<&ScalarValue>| v.and_then(number);
        let (min, max) =
            (bound(statistics.min_value.get_value()), bound(statistics.max_value.get_value()));
        let range = min.zip(max).filter(|(a, b)| a <= b);
        let counted = statistics.distinct_count.get_value().map(|n| *n as f64);
        let spanned = range.filter(|_| is_discrete(ty)).map(|(a, b)| b - a + 1.0);
        let flags = matches!(ty, DataType::Boolean).then_some(2.0);
        let distinct = counted.or(spanned).or(flags).map(|n| n.min(rows).max(1.0));
        let nulls = statistics.null_count.get_value().map(|n| *n as f64 / rows.max(1.0));
        Self { distinct, range, nulls, left: None }
    }

    /// Share of the rows that have one given value.
    fn one(&self) -> f64 {
        self.distinct.map_or(ONE_TEXT, |n| 1.0 / n.max(1.0))
    }

    /// Share of the rows below a bound.
    fn below(&self, bound: f64) -> Option<f64> {
        let (min, max) = self.range?;
        Some(if max > min { ((bound - min) / (max - min)).clamp(0.0, 1.0) } else { 0.5 })
    }
}

/// Whether neighbouring values of a type differ by one, so that a range bounds their number.
fn is_discrete(ty: &DataType) -> bool {
    ty.is_integer() || matches!(ty, DataType::Date32)
}

/// A value as a number that orders as it does.
fn number(value: &ScalarValue) -> Option<f64> {
    Some(match value {
        ScalarValue::Int8(v) => f64::from((*v)?),
        ScalarValue::Int16(v) => f64::from((*v)?),
        ScalarValue::Int32(v) | ScalarValue::Date32(v) => f64::from((*v)?),
        ScalarValue::Int64(v)
        | ScalarValue::Date64(v)
        | ScalarValue::TimestampSecond(v, _)
        | ScalarValue::TimestampMillisecond(v, _)
        | ScalarValue::TimestampMicrosecond(v, _)
        | ScalarValue::TimestampNanosecond(v, _) => (*v)? as f64,
        ScalarValue::UInt8(v) => f64::from((*v)?),
        ScalarValue::UInt16(v) => f64::from((*v)?),
        ScalarValue::UInt32(v) => f64::from((*v)?),
        ScalarValue::UInt64(v) => (*v)? as f64,
        ScalarValue::Float32(v) => f64::from((*v)?),
        ScalarValue::Float64(v) => (*v)?,
        ScalarValue::Decimal128(v, _, scale) => (*v)? as f64 / 10f64.powi(i32::from(*scale)),
        _ => return None,
    })
}

/// Share of the rows that `predicate` keeps, from what is known of the columns. The parts
/// of a conjunction count as independent, but for two bounds of one column.
pub(super) fn selectivity(
    predicate: &Arc<dyn PhysicalExpr>,
    column: &dyn Fn(usize) -> Option<ColumnFigures>,
) -> f64 {
    share(predicate, column).clamp(0.0, 1.0)
}

fn share(e: &Arc<dyn PhysicalExpr>, column: &dyn Fn(usize) -> Option<ColumnFigures>) -> f64 {
    if let Some(binary) = e.downcast_ref::<BinaryExpr>() {
        return of_binary(binary, column);
    }
    if let Some(not) = e.downcast_ref::<NotExpr>() {
        return 1.0 - share(not.arg(), column);
    }
    let of = |e: &Arc<dyn PhysicalExpr>| figures_of(e, column);
    let nulls = |e: &Arc<dyn PhysicalExpr>| of(e).and_then(|c| c.nulls).unwrap_or(0.0);
    if let Some(test) = e.downcast_ref::<IsNullExpr>() {
        return nulls(test.arg());
    }
    if let Some(test) = e.downcast_ref::<IsNotNullExpr>() {
        return 1.0 - nulls(test.arg());
    }
    if let Some(list) = e.downcast_ref::<InListExpr>() {
        let one = of(list.expr()).map_or(ONE_TEXT, |c| c.one());
        let kept = (one * list.list().len() as f64).min(1.0 - UNKNOWN);
        return if list.negated() { 1.0 - kept } else { kept };
    }
    if let Some(like) = e.downcast_ref::<LikeExpr>() {
        return if like.negated() { 1.0 - LIKE } else { LIKE };
    }
    if let Some(literal) = e.downcast_ref::<Literal>() {
        let kept = *literal.value() == ScalarValue::Boolean(Some(true));
        return f64::from(u8::from(kept));
    }
    UNKNOWN
}

fn of_binary(binary: &BinaryExpr, column: &dyn Fn(usize) -> Option<ColumnFigures>) -> f64 {
    let (left, right) = (binary.left(), binary.right());
    match binary.op() {
        Operator::And => {
            let (a, b) = (share(left, column), share(right, column));
            // A column between two bounds: each leaves what the other one cuts.
            let between =
                bounded(left).zip(bounded(right)).is_some_and(|(a, b)| a.0 == b.0 && a.1 != b.1);
            return if between { (a + b - 1.0).max(a * b / 10.0) } else { a * b };
        }
        Operator::Or => {
            let (a, b) = (share(left, column), share(right, column));
            return a + b - a * b;
        }
        _ => {}
    }
    let (value, op, bound) = match (literal(left), literal(right)) {
        (None, Some(bound)) => (left, Some(*binary.op()), bound),
        (Some(bound), None) => (right, binary.op().swap(), bound),
        _ => {
            return match binary.op() {
                Operator::Eq => ONE_TEXT,
                Operator::NotEq => 1.0 - ONE_TEXT,
                Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => ONE_SIDE,
                _ => UNKNOWN,
            };
        }
    };
    let figures = figures_of(value, column).unwrap_or_default();
    let below = number(bound).and_then(|b| figures.below(b));
    match op {
        Some(Operator::Eq) => figures.one(),
        Some(Operator::NotEq) => 1.0 - figures.one(),
        Some(Operator::Lt | Operator::LtEq) => below.unwrap_or(ONE_SIDE),
        Some(Operator::Gt | Operator::GtEq) => below.map_or(ONE_SIDE, |b| 1.0 - b),
        _ => UNKNOWN,
    }
}

/// The column that a comparison bounds, and whether from above.
fn bounded(e: &Arc<dyn PhysicalExpr>) -> Option<(usize, bool)> {
    let binary = e.downcast_ref::<BinaryExpr>()?;
    // The last bound of a longer conjunction.
    if *binary.op() == Operator::And {
        return bounded(binary.right());
    }
    let (value, op) = match (literal(binary.left()), literal(binary.right())) {
        (None, Some(_)) => (binary.left(), *binary.op()),
        (Some(_), None) => (binary.right(), binary.op().swap()?),
        _ => return None,
    };
    let above = match op {
        Operator::Lt | Operator::LtEq => true,
        Operator::Gt | Operator::GtEq => false,
        _ => return None,
    };
    Some((column_of(value)?, above))
}

fn literal(e: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    e.downcast_ref::<Literal>().map(Literal::value)
}

/// The column that an expression is, up to a cast.
fn column_of(e: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    if let Some(cast) = e.downcast_ref::<CastExpr>() {
        return column_of(cast.expr());
    }
    e.downcast_ref::<Column>().map(Column::index)
}

/// What is known of an expression: that of its column, if it is one; of a function of one
/// column only that it has no more values than the column.
pub(super) fn figures_of(
    e: &Arc<dyn PhysicalExpr>,
    column: &dyn Fn(usize) -> Option<ColumnFigures>,
) -> Option<ColumnFigures> {
    if let Some(at) = column_of(e) {
        return column(at);
    }
    let columns = collect_columns(e);
    let one = columns.iter().next().filter(|_| columns.len() == 1)?;
    let distinct = column(one.index())?.distinct;
    Some(ColumnFigures { distinct, ..ColumnFigures::default() })
}

/// The shares of the distinct values of two key columns that their join leaves, if the values
/// of one are among the other's.
pub(super) fn met(
    left: &Figures,
    l: &ColumnFigures,
    right: &Figures,
    r: &ColumnFigures,
) -> (f64, f64) {
    let own = |f: &Figures, c: &ColumnFigures| c.distinct.unwrap_or(f.base).max(1.0);
    let (dl, dr) = (own(left, l), own(right, r));
    let (of_l, of_r) = (left.left_of(l), right.left_of(r));
    (of_l.min(of_r * (dr / dl).min(1.0)), of_r.min(of_l * (dl / dr).min(1.0)))
}

/// Share of the probe side's rows that have a key of the build side, as far as the figures of
/// both tell: distinct keys on one side over those on the other.
pub(in crate::plan) fn kept_of_probe(join: &HashJoinExec) -> Option<f64> {
    let (build, probe) = (Figures::of(join.left())?, Figures::of(join.right())?);
    let kept = join.on().iter().map(|(l, r)| {
        let build_key = build.of_expr(l).unwrap_or_default();
        let own = build_key.distinct.unwrap_or(build.base);
        let other = probe.of_expr(r).and_then(|c| c.distinct).unwrap_or(probe.base);
        build.left_of(&build_key) * (own / other).min(1.0)
    });
    kept.fold(None, |least: Option<f64>, k| Some(least.map_or(k, |l| l.min(k))))
}
