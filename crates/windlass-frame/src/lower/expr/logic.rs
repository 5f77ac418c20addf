//! CASE, IN, and the functions that choose between their arguments.

use arrow::datatypes::DataType;
use datafusion::{logical_expr::Operator, physical_expr::expressions as e};
use windlass_kernels::ir::{BinaryOp, UnaryOp, ValueId};

use super::{Expr, boolean, compare, lower, string};
use crate::lower::{
    Result, Unsupported,
    builder::{Builder, Guard, Lowered, When},
    types::{is_string, phys_type},
};

/// An arm: taken where its condition is true and no arm before it was.
struct Arm {
    condition: ValueId,
    then: Option<Lowered>,
}

/// CASE, with or without a base. An arm raises errors only in the rows that take it.
pub(super) fn case(
    b: &mut Builder,
    expr: &Expr,
    x: &e::CaseExpr,
    guard: &Guard,
) -> Result<Lowered> {
    let ty = result_type(b, expr)?;
    let base = x.expr().map(|base| lower(b, base, guard)).transpose()?;
    let known = match &base {
        None => None,
        Some(base) => Some(b.unary(UnaryOp::IsNotNull, base.value, guard)?),
    };
    let mut arms = Vec::new();
    let mut rest = guard.clone();
    for (when, then) in x.when_then_expr() {
        let condition = match &base {
            None => boolean(b, when, &rest)?,
            Some(base) => {
                // A null base equals nothing: no WHEN is evaluated for it.
                let tested = known.map_or_else(|| rest.clone(), |k| rest.and(k, When::True));
                let when = lower(b, when, &tested)?;
                compare(b, expr, Operator::Eq, base.clone(), when)?.value
            }
        };
        let then = arm(b, then, &ty, &rest.and(condition, When::True))?;
        arms.push(Arm { condition, then });
        rest = rest.and(condition, When::NotTrue);
    }
    let other = match x.else_expr() {
        Some(e) => arm(b, e, &ty, &rest)?,
        None => None,
    };
    choose(b, arms, other, ty)
}

/// The value of an arm; `None` for a NULL of any type.
fn arm(b: &mut Builder, expr: &Expr, ty: &DataType, guard: &Guard) -> Result<Option<Lowered>> {
    if expr.downcast_ref::<e::Literal>().is_some_and(|l| l.value().is_null()) {
        return Ok(None);
    }
    let lowered = lower(b, expr, guard)?;
    let fits = lowered.ty == *ty || (is_string(&lowered.ty) && is_string(ty));
    if !fits {
        return Err(Unsupported::new(format!("{expr} is {}, the result is {ty}", lowered.ty)));
    }
    Ok(Some(lowered))
}

/// Nested selections, the first arm outermost.
fn choose(
    b: &mut Builder,
    arms: Vec<Arm>,
    other: Option<Lowered>,
    ty: DataType,
) -> Result<Lowered> {
    let null = b.program.null(phys_type(&ty)?);
    let given: Vec<Lowered> =
        arms.iter().filter_map(|a| a.then.clone()).chain(other.clone()).collect();
    let (values, dictionary) = if is_string(&ty) {
        let (values, dictionary) = string::unify(b, &given)?;
        (values, Some(dictionary))
    } else {
        (given.iter().map(|g| g.value).collect(), None)
    };
    let mut values = values.into_iter().rev();
    let mut take = |present: bool| if present { values.next().unwrap_or(null) } else { null };
    let mut result = take(other.is_some());
    for a in arms.iter().rev() {
        let then = take(a.then.is_some());
        result = b.select(a.condition, then, result)?;
    }
    Ok(Lowered { value: result, ty, dictionary })
}

fn result_type(b: &Builder, expr: &Expr) -> Result<DataType> {
    expr.data_type(&b.schema).map_err(|e| Unsupported::new(format!("{expr}: {e}")))
}

/// IN and NOT IN over a list of constants or expressions. An item raises errors only in
/// the rows in which no item before it was equal.
pub(super) fn in_list(b: &mut Builder, x: &e::InListExpr, guard: &Guard) -> Result<Lowered> {
    let value = lower(b, x.expr(), guard)?;
    let mut any = b.bool(false);
    let mut rest = guard.clone();
    // An empty list is false; a null value is null once there is something in the list.
    for item in x.list() {
        let null = item.downcast_ref::<e::Literal>().is_some_and(|l| l.value().is_null());
        let equal = if null {
            b.program.null(windlass_kernels::PhysType::Bool)
        } else {
            let item = lower(b, item, &rest)?;
            compare(b, x.expr(), Operator::Eq, value.clone(), item)?.value
        };
        any = b.binary(BinaryOp::Or, any, equal, guard)?;
        rest = guard.and(any, When::NotTrue);
    }
    let out = if x.negated() { b.unary(UnaryOp::Not, any, guard)? } else { any };
    Ok(Lowered::new(out, DataType::Boolean))
}

/// COALESCE: the first argument that is not null.
pub(super) fn coalesce(
    b: &mut Builder,
    expr: &Expr,
    args: &[Expr],
    guard: &Guard,
) -> Result<Lowered> {
    let ty = result_type(b, expr)?;
    let mut arms = Vec::new();
    let mut rest = guard.clone();
    for a in args {
        let Some(then) = arm(b, a, &ty, &rest)? else { continue };
        let condition = b.unary(UnaryOp::IsNotNull, then.value, guard)?;
        rest = rest.and(condition, When::NotTrue);
        arms.push(Arm { condition, then: Some(then) });
    }
    let last = arms.pop().and_then(|a| a.then);
    choose(b, arms, last, ty)
}

/// NULLIF: null where the two are equal, else the first.
pub(super) fn nullif(
    b: &mut Builder,
    expr: &Expr,
    args: &[Expr],
    guard: &Guard,
) -> Result<Lowered> {
    let [first, second] = args else {
        return Err(Unsupported::new(format!("{expr} needs two arguments")));
    };
    let (l, r) = (lower(b, first, guard)?, lower(b, second, guard)?);
    let condition = compare(b, expr, Operator::Eq, l.clone(), r)?.value;
    let ty = result_type(b, expr)?;
    let null = b.program.null(phys_type(&ty)?);
    if l.ty != ty {
        return Err(Unsupported::new(format!("{expr} is {ty}, its argument is {}", l.ty)));
    }
    let value = b.select(condition, null, l.value)?;
    Ok(Lowered { value, ..l })
}
