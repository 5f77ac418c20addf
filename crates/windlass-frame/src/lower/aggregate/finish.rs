//! Final values of aggregates from their states.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, PrimitiveArray},
    datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type},
};
use windlass_kernels::{KernelError, Result};

use super::{Aggregate, Kind, invalid};

/// The value of an aggregate.
pub(super) fn value(aggregate: &Aggregate, states: &[&ArrayRef]) -> Result<ArrayRef> {
    match (aggregate.kind, states) {
        (Kind::State | Kind::Whole | Kind::Picked, [state]) => Ok(Arc::clone(state)),
        (Kind::Average, [count, sum]) => {
            let sum = sum
                .as_primitive_opt::<Float64Type>()
                .ok_or_else(|| invalid("sums of floats", sum.data_type().to_string()))?;
            let average = |(c, s): (Option<i64>, Option<f64>)| match (c, s) {
                (Some(c), Some(s)) if c > 0 => Some(s / c as u64 as f64),
                _ => None,
            };
            let values: Float64Array = counts(count)?.iter().zip(sum).map(average).collect();
            Ok(Arc::new(values))
        }
        (Kind::DecimalAverage { scale }, [count, sum]) => {
            let sum = sum
                .as_primitive_opt::<Decimal128Type>()
                .ok_or_else(|| invalid("sums of decimals", sum.data_type().to_string()))?;
            decimal_average(counts(count)?, sum, scale, &aggregate.ty)
        }
        (Kind::Variance { population, root }, [count, mean, m2]) => {
            let _ = mean;
            let m2 = m2
                .as_primitive_opt::<Float64Type>()
                .ok_or_else(|| invalid("sums of squares", m2.data_type().to_string()))?;
            let least = if population { 1 } else { 2 };
            let variance = |(c, m): (Option<i64>, Option<f64>)| match (c, m) {
                (Some(c), Some(m)) if c >= least => {
                    let v = m / (c - (least - 1)) as f64;
                    Some(if root { v.sqrt() } else { v })
                }
                _ => None,
            };
            let values: Float64Array = counts(count)?.iter().zip(m2).map(variance).collect();
            Ok(Arc::new(values))
        }
        (Kind::Covariance { .. } | Kind::Correlation | Kind::Regression(_), states) => {
            super::pairs::value(aggregate.kind, states)
        }
        (Kind::Median, [_, lower, upper]) => median(lower, upper),
        (Kind::Percentile(share), [count, lower, upper]) => {
            percentile(counts(count)?, lower, upper, share.get())
        }
        _ => Err(invalid(
            format!("the states of {}", aggregate.name),
            format!("{} of them", states.len()),
        )),
    }
}

/// The middle of two values, element by element; of integers cut off, without overflow.
fn median(lower: &ArrayRef, upper: &ArrayRef) -> Result<ArrayRef> {
    macro_rules! middle {
        ($t:ty, $of:expr) => {
            match (lower.as_primitive_opt::<$t>(), upper.as_primitive_opt::<$t>()) {
                (Some(a), Some(b)) => {
                    let of = |(a, b): (Option<_>, Option<_>)| a.zip(b).map($of);
                    let values: PrimitiveArray<$t> = a.iter().zip(b).map(of).collect();
                    return Ok(Arc::new(values.with_data_type(lower.data_type().clone())));
                }
                _ => {}
            }
        };
    }
    // An odd number of values has the same one twice, which the mean would keep but for
    // overflow to infinity.
    middle!(Float64Type, |(a, b): (f64, f64)| if a.to_bits() == b.to_bits() {
        a
    } else {
        (a + b) / 2.0
    });
    middle!(Float32Type, |(a, b): (f32, f32)| if a.to_bits() == b.to_bits() {
        a
    } else {
        (a + b) / 2.0
    });
    middle!(Int64Type, |(a, b): (i64, i64)| match a.checked_add(b) {
        Some(sum) => sum / 2,
        None => a / 2 + b / 2 + (a % 2 + b % 2) / 2,
    });
    middle!(Decimal128Type, |(a, b): (i128, i128)| match a.checked_add(b) {
        Some(sum) => sum / 2,
        None => a / 2 + b / 2 + (a % 2 + b % 2) / 2,
    });
    Err(invalid("floats or decimals", lower.data_type().to_string()))
}

/// Steps into which DataFusion divides the way between two values.
const STEPS: f64 = 1e6;

/// Values at a share of the way, between the two around it as DataFusion's
/// `percentile_cont` interpolates.
fn percentile(
    counts: &Int64Array,
    lower: &ArrayRef,
    upper: &ArrayRef,
    share: f64,
) -> Result<ArrayRef> {
    let weight = |count: i64| {
        let place = share * (count - 1) as f64;
        let fraction = place - place.floor();
        (fraction * STEPS).trunc() / STEPS
    };
    macro_rules! between {
        ($t:ty, $native:ty) => {
            match (lower.as_primitive_opt::<$t>(), upper.as_primitive_opt::<$t>()) {
                (Some(a), Some(b)) => {
                    let values = counts.iter().zip(a.iter().zip(b)).map(|(n, (a, b))| {
                        let (n, a, b) = (n?, a?, b?);
                        if a.to_bits() == b.to_bits() {
                            return Some(a);
                        }
                        let (from, to) = (f64::from(a), f64::from(b));
                        Some((from + (to - from) * weight(n)) as $native)
                    });
                    let values: PrimitiveArray<$t> = values.collect();
                    return Ok(Arc::new(values));
                }
                _ => {}
            }
        };
    }
    between!(Float64Type, f64);
    between!(Float32Type, f32);
    Err(invalid("floats", lower.data_type().to_string()))
}

fn counts(array: &ArrayRef) -> Result<&Int64Array> {
    array
        .as_primitive_opt::<Int64Type>()
        .ok_or_else(|| invalid("counts", array.data_type().to_string()))
}

/// A count state in which no value is null.
pub(super) fn null_where_zero(count: &ArrayRef) -> Result<ArrayRef> {
    let values: Int64Array = counts(count)?.iter().map(|c| c.filter(|c| *c != 0)).collect();
    Ok(Arc::new(values))
}

/// Sum by count at the result's scale, cut off; an error where a step or the result does
/// not fit, as in DataFusion's averager.
pub(crate) fn decimal_average(
    count: &Int64Array,
    sum: &Decimal128Array,
    scale: i8,
    ty: &DataType,
) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, to) = ty else {
        return Err(invalid("an average of decimals", ty.to_string()));
    };
    let overflow = || KernelError::Overflow("avg of decimals");
    let factor = u32::try_from(i32::from(*to) - i32::from(scale)).map_err(|_| overflow())?;
    let factor = 10i128.checked_pow(factor).ok_or_else(overflow)?;
    let max = 10i128.checked_pow(u32::from(*precision)).ok_or_else(overflow)? - 1;
    let mut values = Vec::with_capacity(count.len());
    for (c, s) in count.iter().zip(sum) {
        values.push(match (c, s) {
            (Some(c), Some(s)) if c > 0 => {
                let average = s.checked_mul(factor).ok_or_else(overflow)? / i128::from(c);
                if average.abs() > max {
                    return Err(overflow());
                }
                Some(average)
            }
            _ => None,
        });
    }
    let array: Decimal128Array = values.into_iter().collect();
    let array = array.with_precision_and_scale(*precision, *to);
    Ok(Arc::new(array.map_err(|e| invalid(ty.to_string(), e.to_string()))?))
}
