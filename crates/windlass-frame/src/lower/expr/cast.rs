//! CAST and TRY_CAST as Arrow's cast kernels do them.

use arrow::datatypes::{DataType, TimeUnit};
use windlass_kernels::{
    PhysType, Scalar,
    ir::{BinaryOp, CastMode, ValueId},
};

use super::{
    Expr,
    arithmetic::{pow10, scale_up},
    date::{self, is_utc},
};
use crate::lower::{
    Result, Unsupported,
    builder::{Builder, Guard, Lowered},
    types::{is_string, per_second, phys_type},
};

/// A cast to `to`; what does not fit is an error, or null without `error`.
pub(super) fn cast(
    b: &mut Builder,
    expr: &Expr,
    a: Lowered,
    to: &DataType,
    error: bool,
    guard: &Guard,
) -> Result<Lowered> {
    use DataType as T;
    if a.ty == *to {
        return Ok(a);
    }
    if is_string(&a.ty) && is_string(to) {
        return Ok(Lowered { ty: to.clone(), ..a });
    }
    let refuse = || Unsupported::new(format!("{expr}: a cast from {} to {to}", a.ty));
    let mode = if error { CastMode::Error } else { CastMode::Null };
    let c = Cast { mode, guard };
    let v = a.value;
    let value = match (&a.ty, to) {
        (T::Decimal128(p1, s1), T::Decimal128(p2, s2)) => {
            c.decimal_to_decimal(b, v, (*p1, *s1), (*p2, *s2))?
        }
        (T::Decimal128(_, s), t) if t.is_integer() => c.decimal_to_integer(b, v, *s, to)?,
        (T::Decimal128(_, s), T::Float32 | T::Float64) => {
            let float = b.widen(v, PhysType::F64)?;
            let power = b.program.constant(Scalar::F64(10f64.powi(i32::from(*s))));
            let value = b.binary(BinaryOp::Div, float, power, guard)?;
            b.widen(value, phys_type(to)?)?
        }
        (f, T::Decimal128(p, s)) if f.is_integer() => c.integer_to_decimal(b, v, f, *p, *s)?,
        (T::Boolean, t) if t.is_integer() || is_float(t) => b.widen(v, phys_type(to)?)?,
        (f, T::Boolean) if f.is_integer() || is_float(f) => b.widen(v, PhysType::Bool)?,
        (f, t) if (f.is_integer() || is_float(f)) && is_float(t) => b.widen(v, phys_type(to)?)?,
        (f, t) if (f.is_integer() || is_float(f)) && t.is_integer() => c.number(b, v, to)?,
        (T::Int32, T::Date32) | (T::Date32, T::Int32) => v,
        (T::Date32, T::Int64) => b.widen(v, PhysType::I64)?,
        (T::Int64, T::Date32) => c.number(b, v, to)?,
        (T::Date32, T::Date64) => {
            let wide = b.widen(v, PhysType::I64)?;
            b.binary_int(BinaryOp::Mul, wide, 86_400_000)?
        }
        (T::Date64, T::Date32) => {
            let days = b.binary_int(BinaryOp::Div, v, 86_400_000)?;
            c.number(b, days, to)?
        }
        (T::Date64, T::Int64) | (T::Int64, T::Date64) => v,
        (T::Int64, T::Timestamp(_, tz)) if tz.is_none() || is_utc(tz) => v,
        (f, T::Timestamp(_, None)) if f.is_integer() => c.number(b, v, &T::Int64)?,
        (T::Timestamp(..), t) if t.is_integer() => c.number(b, v, to)?,
        (T::Date32, T::Timestamp(unit, None)) => {
            let wide = b.widen(v, PhysType::I64)?;
            c.multiply(b, wide, 86_400 * i128::from(per_second(*unit)))?
        }
        (T::Timestamp(unit, tz), T::Date32) if tz.is_none() || is_utc(tz) => {
            // There is no null here even for TRY_CAST: a time past the calendar is an error.
            let value = date::require_calendar(b, v, *unit, guard)?;
            date::days_of(b, value, *unit)?
        }
        (T::Timestamp(from, tz), T::Timestamp(unit, to_tz))
            if tz == to_tz || tz.is_some() || is_utc(to_tz) =>
        {
            c.rescale_time(b, v, *from, *unit)?
        }
        (T::Int64, T::Duration(_)) | (T::Duration(_), T::Int64) => v,
        (T::Duration(from), T::Duration(unit)) => c.rescale_time(b, v, *from, *unit)?,
        _ => return Err(refuse()),
    };
    Ok(Lowered::new(value, to.clone()))
}

fn is_float(ty: &DataType) -> bool {
    matches!(ty, DataType::Float32 | DataType::Float64)
}

struct Cast<'a> {
    mode: CastMode,
    guard: &'a Guard,
}

impl Cast<'_> {
    /// Integers and floats to integers.
    fn number(&self, b: &mut Builder, v: ValueId, to: &DataType) -> Result<ValueId> {
        let (from, to) = (b.program.ty(v), phys_type(to)?);
        let bits = |t: PhysType| t.packed_bytes().unwrap_or(0);
        let fits = from.is_integer()
            && (from.is_signed() == to.is_signed() && bits(from) <= bits(to)
                || !from.is_signed() && bits(from) < bits(to));
        if fits { b.widen(v, to) } else { b.cast(v, to, self.mode, self.guard) }
    }

    /// `v` times a factor, checked.
    fn multiply(&self, b: &mut Builder, v: ValueId, factor: i128) -> Result<ValueId> {
        if factor == 1 {
            return Ok(v);
        }
        let by = b.int(PhysType::I64, factor);
        if self.mode == CastMode::Error {
            return b.binary(BinaryOp::MulChecked, v, by, self.guard);
        }
        let (low, high) = (i128::from(i64::MIN) / factor, i128::from(i64::MAX) / factor);
        let ok = b.within(v, low, high)?;
        let product = b.binary(BinaryOp::Mul, v, by, self.guard)?;
        b.require(ok, product, CastMode::Null, self.guard)
    }

    fn rescale_time(
        &self,
        b: &mut Builder,
        v: ValueId,
        from: TimeUnit,
        to: TimeUnit,
    ) -> Result<ValueId> {
        let (from, to) = (i128::from(per_second(from)), i128::from(per_second(to)));
        if from > to {
            return b.binary_int(BinaryOp::Div, v, from / to);
        }
        self.multiply(b, v, to / from)
    }

    /// A decimal of any width as one of `digits` digits, where that is not known to hold.
    fn fit_digits(&self, b: &mut Builder, v: ValueId, digits: u8) -> Result<ValueId> {
        let max = pow10(i32::from(digits))? - 1;
        let ok = b.within(v, -max, max)?;
        b.require(ok, v, self.mode, self.guard)
    }

    fn decimal_to_decimal(
        &self,
        b: &mut Builder,
        v: ValueId,
        (p1, s1): (u8, i8),
        (p2, s2): (u8, i8),
    ) -> Result<ValueId> {
        let out = phys_type(&DataType::Decimal128(p2, s2))?;
        let by = i32::from(s2) - i32::from(s1);
        if !(-37..=38).contains(&by) {
            return Err(Unsupported::new(format!("a decimal rescaled by 10^{by}")));
        }
        let value = if by >= 0 {
            if i32::from(p1) + by <= i32::from(p2) {
                let wide = b.widen(v, out.max(b.program.ty(v)))?;
                let scaled = scale_up(b, wide, by, i32::from(p1), self.guard)?;
                return b.widen(scaled, out);
            }
            // The product may pass 128 bits, which null (not an error) may have to catch.
            let wide = b.widen(v, PhysType::I128)?;
            if i32::from(p1) + by <= 38 {
                let scaled = scale_up(b, wide, by, i32::from(p1), self.guard)?;
                self.fit_digits(b, scaled, p2)?
            } else {
                let factor = pow10(by)?;
                let max = (pow10(i32::from(p2))? - 1) / factor;
                let ok = b.within(wide, -max, max)?;
                let fits = b.require(ok, wide, self.mode, self.guard)?;
                b.binary_int(BinaryOp::Mul, fits, factor)?
            }
        } else {
            let rounded = b.binary_int(BinaryOp::DivRound, v, self.divisor(b, v, -by)?)?;
            if i32::from(p1) + by < i32::from(p2) {
                rounded
            } else {
                self.fit_digits(b, rounded, p2)?
            }
        };
        b.widen(value, out)
    }

    /// 10^`by` as a divisor of `v`.
    fn divisor(&self, b: &Builder, v: ValueId, by: i32) -> Result<i128> {
        let factor = pow10(by)?;
        match b.program.ty(v) {
            PhysType::I64 if i64::try_from(factor).is_err() => {
                Err(Unsupported::new(format!("a decimal divided by 10^{by}")))
            }
            _ => Ok(factor),
        }
    }

    fn decimal_to_integer(
        &self,
        b: &mut Builder,
        v: ValueId,
        scale: i8,
        to: &DataType,
    ) -> Result<ValueId> {
        if scale < 0 {
            return Err(Unsupported::new(format!("a cast from a decimal of scale {scale}")));
        }
        let divisor = self.divisor(b, v, i32::from(scale))?;
        let whole = if divisor == 1 { v } else { b.binary_int(BinaryOp::Div, v, divisor)? };
        self.number(b, whole, to)
    }

    fn integer_to_decimal(
        &self,
        b: &mut Builder,
        v: ValueId,
        from: &DataType,
        precision: u8,
        scale: i8,
    ) -> Result<ValueId> {
        if scale < 0 {
            return Err(Unsupported::new(format!("a cast to a decimal of scale {scale}")));
        }
        let digits = match from {
            DataType::Int8 | DataType::UInt8 => 3,
            DataType::Int16 | DataType::UInt16 => 5,
            DataType::Int32 | DataType::UInt32 => 10,
            DataType::Int64 => 19,
            _ => 20,
        };
        let out = phys_type(&DataType::Decimal128(precision, scale))?;
        let needed = digits + i32::from(scale);
        if needed <= i32::from(precision) {
            let wide = b.widen(v, out)?;
            return scale_up(b, wide, i32::from(scale), digits, self.guard);
        }
        // Whether it fits is decided before it is multiplied, in the integer's own type
        // where that is 64 bits wide.
        let factor = pow10(i32::from(scale))?;
        let max = (pow10(i32::from(precision))? - 1) / factor;
        let own = match from {
            DataType::UInt64 => PhysType::I128,
            _ => PhysType::I64,
        };
        let wide = b.widen(v, own)?;
        let max = if own == PhysType::I64 { max.min(i128::from(i64::MAX)) } else { max };
        let low = if max == i128::from(i64::MAX) { i128::from(i64::MIN) } else { -max };
        let ok = b.within(wide, low, max)?;
        let fits = b.require(ok, wide, self.mode, self.guard)?;
        let wide = b.widen(fits, out)?;
        if factor == 1 { Ok(wide) } else { b.binary_int(BinaryOp::Mul, wide, factor) }
    }
}
