//! Physical expressions as values of a program. Every node's lowered type is checked
//! against the type that DataFusion gives it.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    logical_expr::Operator,
    physical_expr::{ScalarFunctionExpr, expressions as e},
    physical_plan::PhysicalExpr,
    scalar::ScalarValue,
};
use windlass_kernels::{
    PhysType, Scalar,
    ir::{BinaryOp, Op, UnaryOp, ValueId},
};

use super::{
    Result, Unsupported,
    builder::{Builder, Guard, Lowered, When},
    types::{is_string, phys_type},
};

mod arithmetic;
mod cast;
mod date;
mod function;
mod logic;
mod string;

type Expr = Arc<dyn PhysicalExpr>;

/// Lowers an expression over the builder's input, raising errors only under `guard`.
pub(super) fn lower(b: &mut Builder, expr: &Expr, guard: &Guard) -> Result<Lowered> {
    let lowered = lower_node(b, expr, guard)?;
    let want = expr.data_type(&b.schema).map_err(|e| Unsupported::new(format!("{expr}: {e}")))?;
    if lowered.ty != want {
        return Err(Unsupported::new(format!("{expr} is {want} and would be {}", lowered.ty)));
    }
    Ok(lowered)
}

fn lower_node(b: &mut Builder, expr: &Expr, guard: &Guard) -> Result<Lowered> {
    if let Some(c) = expr.downcast_ref::<e::Column>() {
        return b.column(c.index());
    }
    if let Some(l) = expr.downcast_ref::<e::Literal>() {
        return literal(b, l.value());
    }
    if let Some(done) = string::lower_over_one_string(b, expr, guard)? {
        return Ok(done);
    }
    if let Some(x) = expr.downcast_ref::<e::BinaryExpr>() {
        return binary(b, expr, x, guard);
    }
    if let Some(x) = expr.downcast_ref::<e::NotExpr>() {
        let a = boolean(b, x.arg(), guard)?;
        return Ok(Lowered::new(b.unary(UnaryOp::Not, a, guard)?, DataType::Boolean));
    }
    if let Some(x) = expr.downcast_ref::<e::IsNullExpr>() {
        let a = lower(b, x.arg(), guard)?;
        return Ok(Lowered::new(b.unary(UnaryOp::IsNull, a.value, guard)?, DataType::Boolean));
    }
    if let Some(x) = expr.downcast_ref::<e::IsNotNullExpr>() {
        let a = lower(b, x.arg(), guard)?;
        return Ok(Lowered::new(b.unary(UnaryOp::IsNotNull, a.value, guard)?, DataType::Boolean));
    }
    if let Some(x) = expr.downcast_ref::<e::NegativeExpr>() {
        let a = lower(b, x.arg(), guard)?;
        return arithmetic::negate(b, expr, a, guard);
    }
    if let Some(x) = expr.downcast_ref::<e::CaseExpr>() {
        return logic::case(b, expr, x, guard);
    }
    if let Some(x) = expr.downcast_ref::<e::InListExpr>() {
        return logic::in_list(b, x, guard);
    }
    if let Some(x) = expr.downcast_ref::<e::CastExpr>() {
        let error = !x.cast_options().safe;
        let a = lower(b, x.expr(), guard)?;
        return cast::cast(b, expr, a, x.cast_type(), error, guard);
    }
    if let Some(x) = expr.downcast_ref::<e::TryCastExpr>() {
        let a = lower(b, x.expr(), guard)?;
        return cast::cast(b, expr, a, x.cast_type(), false, guard);
    }
    if let Some(x) = expr.downcast_ref::<ScalarFunctionExpr>() {
        return function::scalar_function(b, expr, x, guard);
    }
    string::lower_over_one_child(b, expr, guard)
}

/// A boolean operand.
fn boolean(b: &mut Builder, expr: &Expr, guard: &Guard) -> Result<ValueId> {
    let lowered = lower(b, expr, guard)?;
    match lowered.ty {
        DataType::Boolean => Ok(lowered.value),
        ty => Err(Unsupported::new(format!("{expr} is {ty}, not a boolean"))),
    }
}

/// A constant.
pub(super) fn literal(b: &mut Builder, value: &ScalarValue) -> Result<Lowered> {
    let ty = value.data_type();
    if is_string(&ty) {
        let dictionary = b.dictionary();
        let code = match string::text(value) {
            Some(text) => b.code(dictionary, text),
            None => b.program.null(PhysType::U32),
        };
        return Ok(Lowered { value: code, ty, dictionary: Some(dictionary) });
    }
    let value = constant(b, value)?;
    Ok(Lowered::new(value, ty))
}

/// A constant that is no string.
fn constant(b: &mut Builder, value: &ScalarValue) -> Result<ValueId> {
    use ScalarValue as S;
    let phys = phys_type(&value.data_type())?;
    if value.is_null() {
        return Ok(b.program.null(phys));
    }
    Ok(match value {
        S::Boolean(Some(v)) => b.bool(*v),
        S::Float32(Some(v)) => b.program.constant(Scalar::F32(*v)),
        S::Float64(Some(v)) => b.program.constant(Scalar::F64(*v)),
        other => {
            let v = integer(other).ok_or_else(|| {
                Unsupported::new(format!("the constant {other} has no device form"))
            })?;
            b.int(phys, v)
        }
    })
}

/// The integer that stands for a constant.
fn integer(value: &ScalarValue) -> Option<i128> {
    use ScalarValue as S;
    Some(match value {
        S::Int8(Some(v)) => i128::from(*v),
        S::Int16(Some(v)) => i128::from(*v),
        S::Int32(Some(v))
        | S::Date32(Some(v))
        | S::Time32Second(Some(v))
        | S::Time32Millisecond(Some(v)) => i128::from(*v),
        S::Int64(Some(v))
        | S::Date64(Some(v))
        | S::Time64Microsecond(Some(v))
        | S::Time64Nanosecond(Some(v))
        | S::TimestampSecond(Some(v), _)
        | S::TimestampMillisecond(Some(v), _)
        | S::TimestampMicrosecond(Some(v), _)
        | S::TimestampNanosecond(Some(v), _)
        | S::DurationSecond(Some(v))
        | S::DurationMillisecond(Some(v))
        | S::DurationMicrosecond(Some(v))
        | S::DurationNanosecond(Some(v)) => i128::from(*v),
        S::UInt8(Some(v)) => i128::from(*v),
        S::UInt16(Some(v)) => i128::from(*v),
        S::UInt32(Some(v)) => i128::from(*v),
        S::UInt64(Some(v)) => i128::from(*v),
        S::Decimal128(Some(v), ..) => *v,
        _ => return None,
    })
}

fn binary(b: &mut Builder, expr: &Expr, x: &e::BinaryExpr, guard: &Guard) -> Result<Lowered> {
    match x.op() {
        Operator::And | Operator::Or => {
            let left = boolean(b, x.left(), guard)?;
            let (op, inner) = match x.op() {
                Operator::And => (BinaryOp::And, guard.and(left, When::NotFalse)),
                _ => (BinaryOp::Or, guard.and(left, When::NotTrue)),
            };
            let right = boolean(b, x.right(), &inner)?;
            Ok(Lowered::new(b.binary(op, left, right, guard)?, DataType::Boolean))
        }
        op if comparison(op).is_some() => {
            let (mut l, mut r) = (lower(b, x.left(), guard)?, lower(b, x.right(), guard)?);
            plain_zeros(b, &mut l, &mut r)?;
            compare(b, expr, *op, l, r)
        }
        op => {
            let interval = |e: &Expr| matches!(e.data_type(&b.schema), Ok(DataType::Interval(_)));
            if interval(x.left()) || interval(x.right()) {
                return date::plus_interval(b, expr, x, guard);
            }
            let (l, r) = (lower(b, x.left(), guard)?, lower(b, x.right(), guard)?);
            arithmetic::binary(b, expr, *op, l, r, guard)
        }
    }
}

fn comparison(op: &Operator) -> Option<BinaryOp> {
    Some(match op {
        Operator::Eq => BinaryOp::Eq,
        Operator::NotEq => BinaryOp::Ne,
        Operator::Lt => BinaryOp::Lt,
        Operator::LtEq => BinaryOp::Le,
        Operator::Gt => BinaryOp::Gt,
        Operator::GtEq => BinaryOp::Ge,
        Operator::IsDistinctFrom => BinaryOp::Distinct,
        Operator::IsNotDistinctFrom => BinaryOp::NotDistinct,
        _ => return None,
    })
}

/// Makes -0.0 equal to 0.0, as the comparison operators have it (IN, CASE and NULLIF keep
/// them apart). Against a constant that is no zero there is nothing to do.
fn plain_zeros(b: &mut Builder, l: &mut Lowered, r: &mut Lowered) -> Result<()> {
    let ty = b.program.ty(l.value);
    if !ty.is_float() || b.program.ty(r.value) != ty {
        return Ok(());
    }
    let [minus, zero] = match ty {
        PhysType::F32 => [-0.0f32, 0.0].map(|v| b.program.constant(Scalar::F32(v))),
        _ => [-0.0f64, 0.0].map(|v| b.program.constant(Scalar::F64(v))),
    };
    let other_constant = |b: &Builder, v: ValueId| {
        v != minus && v != zero && matches!(b.program.value(v).op, Op::Const(_))
    };
    if other_constant(b, l.value) || other_constant(b, r.value) {
        return Ok(());
    }
    for side in [l, r] {
        side.value = match side.value {
            v if v == minus || v == zero => zero,
            v => {
                let negative = b.program.binary(BinaryOp::Eq, v, minus, None)?;
                b.select(negative, zero, v)?
            }
        };
    }
    Ok(())
}

/// A comparison of two lowered values of one logical type.
fn compare(b: &mut Builder, expr: &Expr, op: Operator, l: Lowered, r: Lowered) -> Result<Lowered> {
    let kind = comparison(&op)
        .ok_or_else(|| Unsupported::new(format!("operator {op} in {expr} has no device form")))?;
    let (left, right) = if is_string(&l.ty) && is_string(&r.ty) {
        let same = matches!(
            kind,
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Distinct | BinaryOp::NotDistinct
        );
        if !same {
            return Err(Unsupported::new(format!("{expr} compares the order of two strings")));
        }
        string::unify(b, &[l, r]).map(|(v, _)| (v[0], v[1]))?
    } else {
        let fits = match (&l.ty, &r.ty) {
            (DataType::Decimal128(_, s), DataType::Decimal128(_, t)) => s == t,
            (DataType::Timestamp(u, _), DataType::Timestamp(v, _)) => u == v,
            (l, r) => l == r,
        };
        if !fits {
            return Err(Unsupported::new(format!("{expr} compares {} with {}", l.ty, r.ty)));
        }
        let wide = b.program.ty(l.value).max(b.program.ty(r.value));
        (b.widen(l.value, wide)?, b.widen(r.value, wide)?)
    };
    let value = b.binary(kind, left, right, &Guard::default())?;
    Ok(Lowered::new(value, DataType::Boolean))
}
