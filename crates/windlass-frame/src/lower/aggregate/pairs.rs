//! Aggregates of pairs of values: covariance, correlation and linear regression, all from
//! the same moments; and the share of a percentile.
//!
//! The moments are count, mean and sum of squared deviations of the first argument, the
//! same two of the second, and the sum of products of both deviations.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Float64Array, Int64Array},
    datatypes::{Float64Type, Int64Type},
};
use datafusion::{
    physical_expr::{PhysicalSortExpr, expressions::Literal},
    physical_plan::PhysicalExpr,
    scalar::ScalarValue,
};
use windlass_kernels::{Result as KernelResult, aggregate::Share};

use super::{Kind, invalid};
use crate::lower::{Result, Unsupported};

/// What of a line fitted by least squares is wanted; y is the first argument, x the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Regression {
    Slope,
    Intercept,
    Count,
    R2,
    MeanX,
    MeanY,
    SumXX,
    SumYY,
    SumXY,
}

/// How the moments of pairs become the value of a function; `None` for other functions.
pub(super) fn kind(function: &str) -> Option<Kind> {
    let regression = |r| Some(Kind::Regression(r));
    match function {
        "corr" => Some(Kind::Correlation),
        "covar_samp" => Some(Kind::Covariance { population: false }),
        "covar_pop" => Some(Kind::Covariance { population: true }),
        "regr_slope" => regression(Regression::Slope),
        "regr_intercept" => regression(Regression::Intercept),
        "regr_count" => regression(Regression::Count),
        "regr_r2" => regression(Regression::R2),
        "regr_avgx" => regression(Regression::MeanX),
        "regr_avgy" => regression(Regression::MeanY),
        "regr_sxx" => regression(Regression::SumXX),
        "regr_syy" => regression(Regression::SumYY),
        "regr_sxy" => regression(Regression::SumXY),
        _ => None,
    }
}

/// The share of a percentile, a literal: of a descending order its complement.
pub(super) fn share(expr: &Arc<dyn PhysicalExpr>, order: &[PhysicalSortExpr]) -> Result<Share> {
    let literal = expr.downcast_ref::<Literal>().map(Literal::value);
    let Some(ScalarValue::Float64(Some(share))) = literal else {
        return Err(Unsupported::new("a percentile that is not a literal has no device form"));
    };
    let descending = order.first().is_some_and(|o| o.options.descending);
    Share::new(if descending { 1.0 - share } else { *share })
        .ok_or_else(|| Unsupported::new(format!("the percentile {share} is not from 0 to 1")))
}

/// The moments of one group.
#[derive(Debug, Clone, Copy)]
struct Moments {
    n: f64,
    mean: (f64, f64),
    m2: (f64, f64),
    co: f64,
}

/// The moments of all groups.
struct Columns<'a> {
    count: &'a Int64Array,
    floats: [&'a Float64Array; 5],
}

impl<'a> Columns<'a> {
    fn new(states: &[&'a ArrayRef]) -> KernelResult<Self> {
        let wrong = || invalid("moments of pairs", format!("{} other states", states.len()));
        let count = states.first().and_then(|a| a.as_primitive_opt::<Int64Type>());
        let floats = states.iter().skip(1).map(|a| a.as_primitive_opt::<Float64Type>());
        let floats: Option<Vec<_>> = floats.collect();
        let floats = floats.and_then(|f| <[_; 5]>::try_from(f).ok());
        Ok(Self { count: count.ok_or_else(wrong)?, floats: floats.ok_or_else(wrong)? })
    }

    fn iter(&self) -> impl Iterator<Item = Moments> {
        self.count.values().iter().enumerate().map(|(g, n)| {
            let [mean_x, m2_x, mean_y, m2_y, co] = self.floats.map(|f| f.value(g));
            Moments { n: *n as f64, mean: (mean_x, mean_y), m2: (m2_x, m2_y), co }
        })
    }
}

/// The values of a kind from the moments of each group.
pub(super) fn value(kind: Kind, states: &[&ArrayRef]) -> KernelResult<ArrayRef> {
    let columns = Columns::new(states)?;
    if kind == Kind::Regression(Regression::Count) {
        return Ok(Arc::new(columns.count.clone()));
    }
    let of = |m: Moments| match kind {
        Kind::Covariance { population } => {
            let n = if population { m.n } else { m.n - 1.0 };
            (n > 0.0).then(|| m.co / n)
        }
        Kind::Correlation => correlation(m),
        Kind::Regression(r) => regression(r, m),
        _ => None,
    };
    Ok(Arc::new(columns.iter().map(of).collect::<Float64Array>()))
}

/// Null for fewer than two pairs and where one variable does not vary; where both variables
/// have a NaN, NaN, and where one has, null: as DataFusion has it.
fn correlation(m: Moments) -> Option<f64> {
    match (m.mean.0.is_nan(), m.mean.1.is_nan()) {
        (true, true) => return Some(f64::NAN),
        (false, false) if m.n >= 2.0 => {}
        _ => return None,
    }
    let deviation = |m2: f64| (m2 / m.n).sqrt();
    let (x, y) = (deviation(m.m2.0), deviation(m.m2.1));
    (x != 0.0 && y != 0.0).then(|| m.co / m.n / x / y)
}

/// Null as DataFusion has it: for no pairs, and for what a line needs two x for.
fn regression(kind: Regression, m: Moments) -> Option<f64> {
    let (mean_y, mean_x) = m.mean;
    let (m2_y, m2_x) = m.m2;
    let line = m.n > 1.0 && m2_x / m.n != 0.0;
    let some = m.n >= 1.0;
    match kind {
        Regression::Slope => line.then(|| (m.co / m.n) / (m2_x / m.n)),
        Regression::Intercept => line.then(|| mean_y - (m.co / m.n) / (m2_x / m.n) * mean_x),
        Regression::R2 => {
            let (co, x, y) = (m.co / m.n, m2_x / m.n, m2_y / m.n);
            (line && y != 0.0).then(|| co * co / (x * y))
        }
        Regression::MeanX => some.then_some(mean_x),
        Regression::MeanY => some.then_some(mean_y),
        Regression::SumXX => some.then_some(m2_x),
        Regression::SumYY => some.then_some(m2_y),
        Regression::SumXY => some.then_some(m.co),
        Regression::Count => Some(m.n),
    }
}

/// The partial states of an aggregate, in the order in which DataFusion has them. With keys
/// its correlation adds up values, squares and products instead of keeping moments.
pub(super) fn states(kind: Kind, own: Vec<ArrayRef>, keys: bool) -> KernelResult<Vec<ArrayRef>> {
    let order = match kind {
        Kind::Correlation if keys => return sums(&own),
        Kind::Covariance { .. } => &[0, 1, 3, 5][..],
        Kind::Regression(_) => &[0, 3, 1, 4, 2, 5],
        _ => return Ok(own),
    };
    Columns::new(&own.iter().collect::<Vec<_>>())?;
    Ok(order.iter().map(|i| Arc::clone(&own[*i])).collect())
}

/// Count and sums of x, y, xy, xx and yy from moments.
fn sums(own: &[ArrayRef]) -> KernelResult<Vec<ArrayRef>> {
    let states: Vec<_> = own.iter().collect();
    let columns = Columns::new(&states)?;
    let of = |f: fn(Moments) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(columns.iter().map(f)))
    };
    Ok(vec![
        Arc::clone(&own[0]),
        of(|m| m.n * m.mean.0),
        of(|m| m.n * m.mean.1),
        of(|m| m.co + m.n * m.mean.0 * m.mean.1),
        of(|m| m.m2.0 + m.n * m.mean.0 * m.mean.0),
        of(|m| m.m2.1 + m.n * m.mean.1 * m.mean.1),
    ])
}
