//! The frames of DataFusion's window expressions, and the keys that their distances lead to.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Int32Array, PrimitiveArray},
    compute::kernels::numeric::{add, sub},
    datatypes::{
        ArrowNativeTypeOp, DataType, Decimal128Type, Schema, UInt8Type, UInt16Type, UInt32Type,
        UInt64Type,
    },
    error::ArrowError,
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits},
    physical_expr::PhysicalSortExpr,
};
use windlass_kernels::window::{Bound, Frame};

use crate::lower::Unsupported;

/// One end of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Edge {
    /// By rows, or at a bound of the partition or of the row's peers.
    Rows(Bound),
    /// So far from the row's key: of `RANGE`.
    Key { distance: ScalarValue, preceding: bool },
    /// So many runs of peers from the row's: of `GROUPS`.
    Groups { groups: i32, preceding: bool },
}

/// The frame of a function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Span {
    pub(super) start: Edge,
    pub(super) end: Edge,
}

impl From<Frame> for Span {
    fn from(frame: Frame) -> Self {
        Self { start: Edge::Rows(frame.start), end: Edge::Rows(frame.end) }
    }
}

impl Span {
    /// The frame, where neither end is a distance of keys or of groups.
    pub(super) fn frame(&self) -> Option<Frame> {
        let (Edge::Rows(start), Edge::Rows(end)) = (&self.start, &self.end) else { return None };
        Some(Frame { start: *start, end: *end })
    }

    /// Whether an end is so many groups away.
    pub(super) fn counts_groups(&self) -> bool {
        [&self.start, &self.end].into_iter().any(|edge| matches!(edge, Edge::Groups { .. }))
    }

    /// The frame of a window over rows in this order.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason.
    pub(super) fn lower(
        frame: &WindowFrame,
        order: &[PhysicalSortExpr],
        schema: &Schema,
    ) -> Result<Self, Unsupported> {
        let edge = |bound: &WindowFrameBound| {
            let (distance, preceding) = match bound {
                WindowFrameBound::CurrentRow if frame.units == WindowFrameUnits::Rows => {
                    return Ok(Edge::Rows(Bound::After(0)));
                }
                WindowFrameBound::CurrentRow => return Ok(Edge::Rows(Bound::Peers)),
                WindowFrameBound::Preceding(distance) => (distance, true),
                WindowFrameBound::Following(distance) => (distance, false),
            };
            if distance.is_null() {
                return Ok(Edge::Rows(Bound::Partition));
            }
            if frame.units == WindowFrameUnits::Range {
                check(distance, order, schema)?;
                return Ok(Edge::Key { distance: distance.clone(), preceding });
            }
            let n = match distance.cast_to(&DataType::UInt64) {
                Ok(ScalarValue::UInt64(Some(n))) => n,
                _ => return Err(Unsupported::new(format!("{distance} rows of a frame"))),
            };
            // No partition has as many rows as fit.
            Ok(match (frame.units, preceding) {
                (WindowFrameUnits::Groups, preceding) => {
                    Edge::Groups { groups: i32::try_from(n).unwrap_or(i32::MAX), preceding }
                }
                (_, true) => Edge::Rows(Bound::Before(u32::try_from(n).unwrap_or(u32::MAX))),
                (_, false) => Edge::Rows(Bound::After(u32::try_from(n).unwrap_or(u32::MAX))),
            })
        };
        Ok(Self { start: edge(&frame.start_bound)?, end: edge(&frame.end_bound)? })
    }
}

/// Checks that a distance can be added to the key.
fn check(
    distance: &ScalarValue,
    order: &[PhysicalSortExpr],
    schema: &Schema,
) -> Result<(), Unsupported> {
    let [key] = order else {
        return Err(Unsupported::new("a RANGE frame by a distance has not one key"));
    };
    let ty = key.expr.data_type(schema).map_err(|e| Unsupported::new(e.to_string()))?;
    let by = distance.data_type();
    let known = match (&ty, distance) {
        (
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..),
            ScalarValue::IntervalMonthDayNano(Some(i)),
        ) => {
            if i.months < 0 || i.days < 0 || i.nanoseconds < 0 {
                return Err(Unsupported::new("RANGE frames by negative intervals are the CPU's"));
            }
            true
        }
        (DataType::Float16 | DataType::Decimal256(..), _) => false,
        (DataType::Decimal32(..) | DataType::Decimal64(..), _) => false,
        (ty, _) => ty.is_numeric() && *ty == by,
    };
    match known {
        true => Ok(()),
        false => Err(Unsupported::new(format!("RANGE frames of {ty} by {by} are the CPU's"))),
    }
}

impl Edge {
    /// For each key the one that is so far from it, as DataFusion adds them: of unsigned numbers
    /// no less than 0. `None` where the end is no such distance.
    ///
    /// # Errors
    /// Arrow's, for a sum that its type does not hold.
    pub(super) fn keys(
        &self,
        keys: &ArrayRef,
        descending: bool,
    ) -> Option<Result<ArrayRef, ArrowError>> {
        match self {
            Self::Rows(_) => None,
            Self::Groups { groups, preceding } => {
                let numbers = keys.as_primitive::<arrow::datatypes::Int32Type>();
                let of = |number: i32| match preceding {
                    true => number.saturating_sub(*groups),
                    false => number.saturating_add(*groups),
                };
                Some(Ok(Arc::new(numbers.unary::<_, arrow::datatypes::Int32Type>(of))))
            }
            Self::Key { distance, preceding } => Some(at(keys, distance, *preceding == descending)),
        }
    }
}

/// The numbers of groups as keys.
pub(super) fn group_keys(numbers: &[u32]) -> ArrayRef {
    // A batch has fewer than 2^31 rows.
    Arc::new(numbers.iter().map(|n| Some(*n as i32)).collect::<Int32Array>())
}

/// The keys with a distance added, or subtracted.
fn at(keys: &ArrayRef, distance: &ScalarValue, added: bool) -> Result<ArrayRef, ArrowError> {
    fn below<T: ArrowPrimitiveType>(
        keys: &ArrayRef,
        less: impl Fn(T::Native) -> T::Native,
    ) -> ArrayRef {
        Arc::new(keys.as_primitive::<T>().unary::<_, T>(less))
    }
    match (distance, added) {
        // Without the digit more that Arrow's result has.
        (ScalarValue::Decimal128(Some(d), ..), added) => {
            let by = |v: i128| if added { v.add_checked(*d) } else { v.sub_checked(*d) };
            let keys_at = keys.as_primitive::<Decimal128Type>();
            let values: PrimitiveArray<Decimal128Type> = keys_at.try_unary(by)?;
            Ok(Arc::new(values.with_data_type(keys.data_type().clone())))
        }
        (ScalarValue::UInt8(Some(d)), false) => {
            Ok(below::<UInt8Type>(keys, |v| v.saturating_sub(*d)))
        }
        (ScalarValue::UInt16(Some(d)), false) => {
            Ok(below::<UInt16Type>(keys, |v| v.saturating_sub(*d)))
        }
        (ScalarValue::UInt32(Some(d)), false) => {
            Ok(below::<UInt32Type>(keys, |v| v.saturating_sub(*d)))
        }
        (ScalarValue::UInt64(Some(d)), false) => {
            Ok(below::<UInt64Type>(keys, |v| v.saturating_sub(*d)))
        }
        (distance, added) => {
            let distance = distance
                .to_scalar()
                .map_err(|e| ArrowError::ComputeError(format!("a frame's distance: {e}")))?;
            if added { add(keys, &distance) } else { sub(keys, &distance) }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Decimal128Array, Int64Array, UInt8Array};
    use arrow::datatypes::IntervalMonthDayNano;

    use super::*;

    fn same(keys: ArrayRef, distance: &ScalarValue, added: bool, want: &ArrayRef) {
        assert_eq!(&at(&keys, distance, added).unwrap(), want);
    }

    #[test]
    fn keys_and_distances() {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(-9)]));
        let want: ArrayRef = Arc::new(Int64Array::from(vec![Some(8), None, Some(-4)]));
        same(keys, &ScalarValue::Int64(Some(5)), true, &want);
        // DataFusion's distances stop at 0 where a key has no sign.
        let keys: ArrayRef = Arc::new(UInt8Array::from(vec![3, 250]));
        let want: ArrayRef = Arc::new(UInt8Array::from(vec![0, 245]));
        same(Arc::clone(&keys), &ScalarValue::UInt8(Some(5)), false, &want);
        at(&keys, &ScalarValue::UInt8(Some(6)), true).unwrap_err();
        // A month before the end of March.
        let keys: ArrayRef = Arc::new(Date32Array::from(vec![89]));
        let want: ArrayRef = Arc::new(Date32Array::from(vec![58]));
        let month = IntervalMonthDayNano::new(1, 0, 0);
        same(keys, &ScalarValue::IntervalMonthDayNano(Some(month)), false, &want);
        let decimals = |v: Vec<i128>| -> ArrayRef {
            let array = Decimal128Array::from(v).with_precision_and_scale(12, 2).unwrap();
            Arc::new(array)
        };
        let five = ScalarValue::Decimal128(Some(500), 12, 2);
        same(decimals(vec![100, -20]), &five, true, &decimals(vec![600, 480]));
        at(&decimals(vec![i128::MIN]), &five, false).unwrap_err();
    }
}
