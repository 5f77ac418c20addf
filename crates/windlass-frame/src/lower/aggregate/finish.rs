//! Final values of aggregates from their states.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array},
    datatypes::{DataType, Decimal128Type, Float64Type, Int64Type},
};
use windlass_kernels::{KernelError, Result};

use super::{Aggregate, Kind, invalid};

/// The value of an aggregate.
pub(super) fn value(aggregate: &Aggregate, states: &[&ArrayRef]) -> Result<ArrayRef> {
    match (aggregate.kind, states) {
        (Kind::State, [state]) => Ok(Arc::clone(state)),
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
        _ => Err(invalid(
            format!("the states of {}", aggregate.name),
            format!("{} of them", states.len()),
        )),
    }
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
fn decimal_average(
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
