//! Arithmetic with DataFusion's rules: integers wrap, division by zero is an error,
//! decimals follow the scale rules of the result type and overflow with an error.

use arrow::datatypes::DataType;
use datafusion::logical_expr::Operator;
use windlass_kernels::{
    PhysType,
    ir::{BinaryOp, UnaryOp, ValueId},
};

use super::Expr;
use crate::lower::{
    Result, Unsupported,
    builder::{Builder, Guard, Lowered, When},
    types::phys_type,
};

/// 10 to the power of `n`.
///
/// # Errors
/// [`Unsupported`] past what a decimal holds.
pub(super) fn pow10(n: i32) -> Result<i128> {
    u32::try_from(n)
        .ok()
        .and_then(|n| 10i128.checked_pow(n))
        .ok_or_else(|| Unsupported::new(format!("a decimal factor of 10^{n}")))
}

/// The negation of a number.
pub(super) fn negate(b: &mut Builder, expr: &Expr, a: Lowered, guard: &Guard) -> Result<Lowered> {
    let fits = a.ty.is_signed_integer() || a.ty.is_floating() || is_decimal(&a.ty);
    if !fits {
        return Err(Unsupported::new(format!("{expr}: the negation of {}", a.ty)));
    }
    Ok(Lowered::new(b.unary(UnaryOp::Neg, a.value, guard)?, a.ty))
}

fn is_decimal(ty: &DataType) -> bool {
    matches!(ty, DataType::Decimal128(..))
}

/// An arithmetic operator over two values.
pub(super) fn binary(
    b: &mut Builder,
    expr: &Expr,
    op: Operator,
    l: Lowered,
    r: Lowered,
    guard: &Guard,
) -> Result<Lowered> {
    let ty = expr.data_type(&b.schema).map_err(|e| Unsupported::new(format!("{expr}: {e}")))?;
    let refuse = || Unsupported::new(format!("{expr}: {} {op} {} has no device form", l.ty, r.ty));
    let kind = match op {
        Operator::Plus => BinaryOp::Add,
        Operator::Minus => BinaryOp::Sub,
        Operator::Multiply => BinaryOp::Mul,
        Operator::Divide => BinaryOp::Div,
        Operator::Modulo => BinaryOp::Rem,
        Operator::BitwiseAnd => BinaryOp::BitAnd,
        Operator::BitwiseOr => BinaryOp::BitOr,
        Operator::BitwiseXor => BinaryOp::BitXor,
        Operator::BitwiseShiftLeft => BinaryOp::Shl,
        Operator::BitwiseShiftRight => BinaryOp::Shr,
        _ => return Err(refuse()),
    };
    if is_decimal(&l.ty) && is_decimal(&r.ty) {
        let value = decimal(b, kind, &l, &r, &ty, guard)?.ok_or_else(refuse)?;
        return Ok(Lowered::new(value, ty));
    }
    let arithmetic = matches!(
        kind,
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem
    );
    match (&l.ty, &r.ty) {
        (a, c) if a == c && a.is_integer() => {}
        (a, c) if a == c && a.is_floating() && arithmetic => {}
        // DataFusion gives the days between two dates.
        (DataType::Date32, DataType::Date32) if kind == BinaryOp::Sub => {
            let left = b.widen(l.value, PhysType::I64)?;
            let right = b.widen(r.value, PhysType::I64)?;
            return Ok(Lowered::new(b.binary(kind, left, right, guard)?, ty));
        }
        // Differences of times are checked.
        (DataType::Timestamp(u, _), DataType::Timestamp(v, _))
            if u == v && kind == BinaryOp::Sub =>
        {
            let v = b.binary(BinaryOp::SubChecked, l.value, r.value, guard)?;
            return Ok(Lowered::new(v, ty));
        }
        (DataType::Timestamp(u, _) | DataType::Duration(u), DataType::Duration(v))
            if u == v && matches!(kind, BinaryOp::Add | BinaryOp::Sub) =>
        {
            let checked =
                if kind == BinaryOp::Add { BinaryOp::AddChecked } else { BinaryOp::SubChecked };
            return Ok(Lowered::new(b.binary(checked, l.value, r.value, guard)?, ty));
        }
        _ => return Err(refuse()),
    }
    // The remainder of MIN by -1 wraps to 0 here; in the kernels' Rem it is an error.
    if kind == BinaryOp::Rem && l.ty.is_signed_integer() {
        return Ok(Lowered::new(remainder(b, l.value, r.value, guard)?, ty));
    }
    Ok(Lowered::new(b.binary(kind, l.value, r.value, guard)?, ty))
}

/// The remainder of signed integers: a divisor of -1 is taken as 1, which has the same
/// remainder and cannot overflow.
fn remainder(b: &mut Builder, l: ValueId, r: ValueId, guard: &Guard) -> Result<ValueId> {
    let ty = b.program.ty(r);
    let minus = b.binary_int(BinaryOp::Eq, r, -1)?;
    let one = b.int(ty, 1);
    let divisor = b.select(minus, one, r)?;
    b.binary(BinaryOp::Rem, l, divisor, guard)
}

/// A decimal operator. Every step is done in the widest of the three types, checked where
/// the digits of the operands do not rule an overflow out.
fn decimal(
    b: &mut Builder,
    op: BinaryOp,
    l: &Lowered,
    r: &Lowered,
    ty: &DataType,
    guard: &Guard,
) -> Result<Option<ValueId>> {
    let (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2), DataType::Decimal128(_, s)) =
        (&l.ty, &r.ty, ty)
    else {
        return Ok(None);
    };
    let (p1, s1, p2, s2, s) =
        (i32::from(*p1), i32::from(*s1), i32::from(*p2), i32::from(*s2), i32::from(*s));
    let out = phys_type(ty)?;
    let wide = out.max(b.program.ty(l.value)).max(b.program.ty(r.value));
    let (left, right) = (b.widen(l.value, wide)?, b.widen(r.value, wide)?);
    // Digits of the result, had it no limit.
    let value = match op {
        BinaryOp::Add | BinaryOp::Sub => {
            let digits = s1.max(s2) + (p1 - s1).max(p2 - s2) + 1;
            let left = scale_beside(b, left, right, (s - s1, p1), guard)?;
            let right = scale_beside(b, right, left, (s - s2, p2), guard)?;
            let checked =
                if op == BinaryOp::Add { BinaryOp::AddChecked } else { BinaryOp::SubChecked };
            b.binary(if digits > 38 { checked } else { op }, left, right, guard)?
        }
        BinaryOp::Mul => {
            let checked = if p1 + p2 > 38 { BinaryOp::MulChecked } else { BinaryOp::Mul };
            b.binary(checked, left, right, guard)?
        }
        BinaryOp::Div => {
            let pow = s - s1 + s2;
            // The dividend may need more digits than the result has.
            let wide = if p1 + pow.max(0) > 18 { PhysType::I128 } else { wide };
            let (left, right) = (b.widen(left, wide)?, b.widen(right, wide)?);
            let left = scale_beside(b, left, right, (pow.max(0), p1), guard)?;
            let right = scale_beside(b, right, left, ((-pow).max(0), p2), guard)?;
            b.binary(BinaryOp::Div, left, right, guard)?
        }
        BinaryOp::Rem => {
            let wide = if (p1 + s - s1).max(p2 + s - s2) > 18 { PhysType::I128 } else { wide };
            let (left, right) = (b.widen(left, wide)?, b.widen(right, wide)?);
            let left = scale_beside(b, left, right, (s - s1, p1), guard)?;
            let right = scale_beside(b, right, left, (s - s2, p2), guard)?;
            remainder(b, left, right, guard)?
        }
        _ => return Ok(None),
    };
    Ok(Some(b.widen(value, out)?))
}

/// As [`scale_up`], of an operand beside another: where the other is null so is the result,
/// and no error.
fn scale_beside(
    b: &mut Builder,
    value: ValueId,
    other: ValueId,
    (by, digits): (i32, i32),
    guard: &Guard,
) -> Result<ValueId> {
    if digits + by <= 38 || !b.program.nullable(other) {
        return scale_up(b, value, by, digits, guard);
    }
    let known = b.program.unary(UnaryOp::IsNotNull, other, None)?;
    scale_up(b, value, by, digits, &guard.and(known, When::True))
}

/// A decimal of `digits` digits times 10^`by`, checked where it may pass 38 digits.
pub(super) fn scale_up(
    b: &mut Builder,
    value: ValueId,
    by: i32,
    digits: i32,
    guard: &Guard,
) -> Result<ValueId> {
    if by == 0 {
        return Ok(value);
    }
    let factor = pow10(by)?;
    let ty = b.program.ty(value);
    if ty == PhysType::I64 && i64::try_from(factor).is_err() {
        return Err(Unsupported::new(format!("a decimal factor of 10^{by}")));
    }
    let factor = b.int(ty, factor);
    let op = if digits + by > 38 { BinaryOp::MulChecked } else { BinaryOp::Mul };
    b.binary(op, value, factor, guard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_ten_stop_where_decimals_do() {
        assert_eq!(pow10(0), Ok(1));
        assert_eq!(pow10(38), Ok(10i128.pow(38)));
        assert!(pow10(39).is_err() && pow10(-1).is_err());
    }
}
