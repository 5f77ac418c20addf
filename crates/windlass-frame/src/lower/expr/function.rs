//! Scalar functions.

use arrow::datatypes::DataType;
use datafusion::{
    physical_expr::{ScalarFunctionExpr, expressions as e},
    scalar::ScalarValue,
};
use windlass_kernels::{
    PhysType, Scalar,
    ir::{BinaryOp, CastMode, UnaryOp, ValueId},
};

use super::{Expr, arithmetic::pow10, date, logic, lower, string};
use crate::lower::{
    Result, Unsupported,
    builder::{Builder, Guard, Lowered},
    types::phys_type,
};

/// Lowers a call. A function without a form of its own is evaluated once for each value
/// of its one string argument.
pub(super) fn scalar_function(
    b: &mut Builder,
    expr: &Expr,
    f: &ScalarFunctionExpr,
    guard: &Guard,
) -> Result<Lowered> {
    let args = f.args();
    let float = |op| Some(op);
    let op = match f.fun().name() {
        "coalesce" => return logic::coalesce(b, expr, args, guard),
        "nullif" => return logic::nullif(b, expr, args, guard),
        "date_part" => return date::date_part(b, expr, args, guard),
        "date_trunc" => return date::date_trunc(b, expr, args, guard),
        "abs" => return abs(b, expr, args, guard),
        "round" => return round(b, expr, args, guard),
        "floor" | "ceil" => return floor_ceil(b, expr, f.fun().name() == "floor", args, guard),
        "trunc" => return trunc(b, expr, args, guard),
        "signum" => return signum(b, expr, args, guard),
        "power" => return power(b, expr, args, guard),
        "log" => return log(b, expr, args, guard),
        "sqrt" => float(UnaryOp::Sqrt),
        "exp" => float(UnaryOp::Exp),
        "ln" => float(UnaryOp::Ln),
        "log2" => float(UnaryOp::Log2),
        "log10" => float(UnaryOp::Log10),
        _ => None,
    };
    let Some(op) = op else { return string::lower_over_one_child(b, expr, guard) };
    let a = float_argument(b, expr, args, guard)?;
    let value = if op == UnaryOp::Sqrt { not_negative(b, a.value, guard)? } else { a.value };
    Ok(Lowered::new(b.unary(op, value, guard)?, a.ty))
}

fn refuse(expr: &Expr) -> Unsupported {
    Unsupported::new(format!("{expr} has no device form"))
}

/// The only argument, a float.
fn float_argument(b: &mut Builder, expr: &Expr, args: &[Expr], guard: &Guard) -> Result<Lowered> {
    let [a] = args else { return Err(refuse(expr)) };
    let a = lower(b, a, guard)?;
    if b.program.ty(a.value).is_float() { Ok(a) } else { Err(refuse(expr)) }
}

/// A float constant of a value's type.
fn float(b: &mut Builder, like: ValueId, value: f64) -> ValueId {
    let scalar = match b.program.ty(like) {
        PhysType::F32 => Scalar::F32(value as f32),
        _ => Scalar::F64(value),
    };
    b.program.constant(scalar)
}

/// `x < 0` as IEEE 754 has it; comparisons of the program order -0.0 below 0.0 and
/// negative NaNs below all numbers.
fn is_negative(b: &mut Builder, x: ValueId) -> Result<ValueId> {
    let (zero, least) = (float(b, x, -0.0), float(b, x, f64::NEG_INFINITY));
    let below = b.program.binary(BinaryOp::Lt, x, zero, None)?;
    let number = b.program.binary(BinaryOp::Ge, x, least, None)?;
    Ok(b.program.binary(BinaryOp::And, below, number, None)?)
}

/// `x == 0` as IEEE 754 has it.
fn is_zero(b: &mut Builder, x: ValueId) -> Result<ValueId> {
    let (low, high) = (float(b, x, -0.0), float(b, x, 0.0));
    let above = b.program.binary(BinaryOp::Ge, x, low, None)?;
    let below = b.program.binary(BinaryOp::Le, x, high, None)?;
    Ok(b.program.binary(BinaryOp::And, above, below, None)?)
}

/// The value itself; an error where it is below zero.
fn not_negative(b: &mut Builder, x: ValueId, guard: &Guard) -> Result<ValueId> {
    let negative = is_negative(b, x)?;
    let ok = b.program.unary(UnaryOp::Not, negative, None)?;
    b.require(ok, x, CastMode::Error, guard)
}

/// A constant integer argument.
fn constant(expr: &Expr) -> Option<i64> {
    match expr.downcast_ref::<e::Literal>()?.value() {
        ScalarValue::Int32(Some(v)) => Some(i64::from(*v)),
        ScalarValue::Int64(Some(v)) => Some(*v),
        _ => None,
    }
}

fn abs(b: &mut Builder, expr: &Expr, args: &[Expr], guard: &Guard) -> Result<Lowered> {
    let [a] = args else { return Err(refuse(expr)) };
    let a = lower(b, a, guard)?;
    if a.ty.is_unsigned_integer() {
        return Ok(a);
    }
    if !(a.ty.is_numeric()) {
        return Err(refuse(expr));
    }
    Ok(Lowered::new(b.unary(UnaryOp::Abs, a.value, guard)?, a.ty))
}

/// ROUND to a constant number of places. Halves go away from zero.
fn round(b: &mut Builder, expr: &Expr, args: &[Expr], guard: &Guard) -> Result<Lowered> {
    let places = match args {
        [_] => 0,
        [_, p] => constant(p).ok_or_else(|| refuse(expr))?,
        _ => return Err(refuse(expr)),
    };
    let places = i32::try_from(places).map_err(|_| refuse(expr))?;
    let a = lower(b, &args[0], guard)?;
    let ty = expr.data_type(&b.schema).map_err(|e| Unsupported::new(e.to_string()))?;
    match &a.ty {
        DataType::Float32 | DataType::Float64 => {
            let factor = 10f64.powi(places);
            let factor = float(b, a.value, factor);
            let scaled = b.program.binary(BinaryOp::Mul, a.value, factor, None)?;
            let rounded = b.unary(UnaryOp::Round, scaled, guard)?;
            Ok(Lowered::new(b.program.binary(BinaryOp::Div, rounded, factor, None)?, a.ty))
        }
        t if t.is_integer() && places >= 0 => Ok(a),
        DataType::Decimal128(_, s) if places >= 0 && *s >= 0 => {
            let by = i32::from(*s) - places;
            if by <= 0 {
                return Ok(Lowered::new(a.value, ty));
            }
            let value = b.binary_int(BinaryOp::DivRound, a.value, factor_for(b, a.value, by)?)?;
            let out = phys_type(&ty)?;
            Ok(Lowered::new(b.widen(value, out)?, ty))
        }
        _ => Err(refuse(expr)),
    }
}

/// 10^`by`, where it fits the value's type.
fn factor_for(b: &Builder, value: ValueId, by: i32) -> Result<i128> {
    let factor = pow10(by)?;
    if b.program.ty(value) == PhysType::I64 && i64::try_from(factor).is_err() {
        return Err(Unsupported::new(format!("a decimal divided by 10^{by}")));
    }
    Ok(factor)
}

fn floor_ceil(
    b: &mut Builder,
    expr: &Expr,
    floor: bool,
    args: &[Expr],
    guard: &Guard,
) -> Result<Lowered> {
    let [a] = args else { return Err(refuse(expr)) };
    let a = lower(b, a, guard)?;
    match &a.ty {
        DataType::Float32 | DataType::Float64 => {
            let op = if floor { UnaryOp::Floor } else { UnaryOp::Ceil };
            Ok(Lowered::new(b.unary(op, a.value, guard)?, a.ty))
        }
        DataType::Decimal128(_, s) if *s <= 0 => Ok(a),
        DataType::Decimal128(p, s) => {
            // Up is down of the negation.
            let x = if floor { a.value } else { b.unary(UnaryOp::Neg, a.value, guard)? };
            let factor = factor_for(b, x, i32::from(*s))?;
            let over = b.binary_int(BinaryOp::FloorMod, x, factor)?;
            let down = b.program.binary(BinaryOp::Sub, x, over, None)?;
            let value = if floor { down } else { b.unary(UnaryOp::Neg, down, guard)? };
            let max = pow10(i32::from(*p))? - 1;
            let ok = b.within(value, -max, max)?;
            Ok(Lowered::new(b.require(ok, value, CastMode::Error, guard)?, a.ty))
        }
        _ => Err(refuse(expr)),
    }
}

/// TRUNC, of floats with one argument and of decimals to a constant number of places.
fn trunc(b: &mut Builder, expr: &Expr, args: &[Expr], guard: &Guard) -> Result<Lowered> {
    let places = match args {
        [_] => 0,
        [_, p] => constant(p).ok_or_else(|| refuse(expr))?,
        _ => return Err(refuse(expr)),
    };
    let a = lower(b, &args[0], guard)?;
    match &a.ty {
        DataType::Float32 | DataType::Float64 if args.len() == 1 => {
            // The sign of a zero is dropped, that of a fraction is kept.
            let zero = is_zero(b, a.value)?;
            let plus = float(b, a.value, 0.0);
            let whole = b.unary(UnaryOp::Trunc, a.value, guard)?;
            Ok(Lowered::new(b.select(zero, plus, whole)?, a.ty))
        }
        DataType::Decimal128(_, s) if (0..=i64::from(*s)).contains(&places) => {
            let by = i32::from(*s) - places as i32;
            if by == 0 {
                return Ok(a);
            }
            let over = b.binary_int(BinaryOp::Rem, a.value, factor_for(b, a.value, by)?)?;
            Ok(Lowered::new(b.program.binary(BinaryOp::Sub, a.value, over, None)?, a.ty))
        }
        _ => Err(refuse(expr)),
    }
}

/// -1, 0 or 1; the positive NaN for either.
fn signum(b: &mut Builder, expr: &Expr, args: &[Expr], guard: &Guard) -> Result<Lowered> {
    let a = float_argument(b, expr, args, guard)?;
    let x = a.value;
    let [minus, zero, one] = [-1.0, 0.0, 1.0].map(|v| float(b, x, v));
    let [inf, nan] = [f64::INFINITY, f64::NAN].map(|v| float(b, x, v));
    let negative = is_negative(b, x)?;
    let positive = b.program.binary(BinaryOp::Gt, x, zero, None)?;
    let number = b.program.binary(BinaryOp::Le, x, inf, None)?;
    let positive = b.program.binary(BinaryOp::And, positive, number, None)?;
    let is_zero = is_zero(b, x)?;
    let null = b.program.null(b.program.ty(x));
    let is_null = b.unary(UnaryOp::IsNull, x, guard)?;
    let other = b.select(is_null, null, nan)?;
    let value = b.select(is_zero, zero, other)?;
    let value = b.select(positive, one, value)?;
    Ok(Lowered::new(b.select(negative, minus, value)?, a.ty))
}

/// POWER; zero to a negative power is an error.
fn power(b: &mut Builder, expr: &Expr, args: &[Expr], guard: &Guard) -> Result<Lowered> {
    let [base, exponent] = args else { return Err(refuse(expr)) };
    let (x, y) = (lower(b, base, guard)?, lower(b, exponent, guard)?);
    if x.ty != DataType::Float64 || y.ty != DataType::Float64 {
        return Err(refuse(expr));
    }
    let (zero, negative) = (is_zero(b, x.value)?, is_negative(b, y.value)?);
    let bad = b.program.binary(BinaryOp::And, zero, negative, None)?;
    let ok = b.program.unary(UnaryOp::Not, bad, None)?;
    let base = b.require(ok, x.value, CastMode::Error, guard)?;
    Ok(Lowered::new(b.program.binary(BinaryOp::Pow, base, y.value, None)?, x.ty))
}

/// LOG to base 10, or to the base that comes first.
fn log(b: &mut Builder, expr: &Expr, args: &[Expr], guard: &Guard) -> Result<Lowered> {
    let (base, x) = match args {
        [x] => (None, lower(b, x, guard)?),
        [base, x] => (Some(lower(b, base, guard)?), lower(b, x, guard)?),
        _ => return Err(refuse(expr)),
    };
    if !b.program.ty(x.value).is_float() || base.as_ref().is_some_and(|b| b.ty != x.ty) {
        return Err(refuse(expr));
    }
    let base = base.map_or_else(|| float(b, x.value, 10.0), |b| b.value);
    let (above, below) =
        (b.unary(UnaryOp::Ln, x.value, guard)?, b.unary(UnaryOp::Ln, base, guard)?);
    Ok(Lowered::new(b.program.binary(BinaryOp::Div, above, below, None)?, x.ty))
}
