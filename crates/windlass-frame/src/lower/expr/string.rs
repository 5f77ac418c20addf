//! Expressions over strings: evaluated by the host once for each distinct value, and
//! looked up by code on the device.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{RecordBatch, RecordBatchOptions, new_null_array},
    datatypes::{DataType, Field, Schema},
};
use datafusion::{
    common::tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    logical_expr::{Operator, Volatility},
    physical_expr::{ScalarFunctionExpr, expressions as e, scalar_subquery::ScalarSubqueryExpr},
    scalar::ScalarValue,
};
use windlass_kernels::ir::{BinaryOp, UnaryOp, ValueId};

use super::{Expr, constant, literal, lower};
use crate::lower::{
    DictionaryId, Result, TableResult, Unsupported,
    builder::{Builder, Guard, Lowered, nullable_over},
    types::{is_string, phys_type},
};

/// The text of a constant string; `None` for null and for other types.
pub(super) fn text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(v) | ScalarValue::LargeUtf8(v) | ScalarValue::Utf8View(v) => v.as_deref(),
        ScalarValue::Dictionary(_, v) => text(v),
        _ => None,
    }
}

/// The columns that an expression reads.
fn columns(expr: &Expr) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let visit = |e: &Expr| {
        if let Some(c) = e.downcast_ref::<e::Column>() {
            found.insert(c.index());
        }
        Ok(TreeNodeRecursion::Continue)
    };
    let visited = expr.apply(visit);
    debug_assert!(visited.is_ok(), "the visitor does not fail");
    found
}

/// Refuses an expression that gives another value each time, and one whose value is not there
/// before the query runs.
fn refuse_volatile(expr: &Expr) -> Result<()> {
    let (mut volatile, mut waits) = (false, false);
    let visited = expr.apply(|e| {
        waits |= e.is::<ScalarSubqueryExpr>();
        volatile |= e
            .downcast_ref::<ScalarFunctionExpr>()
            .is_some_and(|f| f.fun().signature().volatility == Volatility::Volatile);
        Ok(TreeNodeRecursion::Continue)
    });
    if waits {
        return Err(Unsupported::new("it waits for the value of a subquery"));
    }
    if volatile || visited.is_err() {
        return Err(Unsupported::new(format!("{expr} is volatile")));
    }
    Ok(())
}

/// Lowers an expression whose only column is one string column, or that has no column at
/// all; `None` for every other one.
pub(super) fn lower_over_one_string(
    b: &mut Builder,
    expr: &Expr,
    guard: &Guard,
) -> Result<Option<Lowered>> {
    let read = columns(expr);
    if read.is_empty() {
        refuse_volatile(expr)?;
        return fold(b, expr, guard);
    }
    let [source] = read.into_iter().collect::<Vec<_>>()[..] else { return Ok(None) };
    if source >= b.schema.fields().len() || !is_string(b.schema.field(source).data_type()) {
        return Ok(None);
    }
    refuse_volatile(expr)?;
    let column = b.column(source)?;
    if let Some(done) = direct(b, expr, &column, guard)? {
        return Ok(Some(done));
    }
    table(b, expr, &column).map(Some)
}

/// An expression without columns. One that fails is left to the CPU, which may never come
/// to evaluate it.
fn fold(b: &mut Builder, expr: &Expr, _guard: &Guard) -> Result<Option<Lowered>> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)
        .and_then(|batch| Ok(expr.evaluate(&batch)?))
        .and_then(|v| Ok(ScalarValue::try_from_array(&v.into_array(1)?, 0)?))
        .map_err(|e| Unsupported::new(format!("{expr}: {e}")))?;
    literal(b, &batch).map(Some)
}

/// The forms that need no table: the column in another string type, tests for null, and
/// equality with a constant.
fn direct(
    b: &mut Builder,
    expr: &Expr,
    column: &Lowered,
    guard: &Guard,
) -> Result<Option<Lowered>> {
    if let Some(ty) = strip_casts(expr) {
        return Ok(Some(Lowered { ty, ..column.clone() }));
    }
    let test = |arg: &Expr| strip_casts(arg).is_some();
    if let Some(x) = expr.downcast_ref::<e::IsNullExpr>()
        && test(x.arg())
    {
        let v = b.unary(UnaryOp::IsNull, column.value, guard)?;
        return Ok(Some(Lowered::new(v, DataType::Boolean)));
    }
    if let Some(x) = expr.downcast_ref::<e::IsNotNullExpr>()
        && test(x.arg())
    {
        let v = b.unary(UnaryOp::IsNotNull, column.value, guard)?;
        return Ok(Some(Lowered::new(v, DataType::Boolean)));
    }
    if let Some(x) = expr.downcast_ref::<e::BinaryExpr>() {
        let op = match x.op() {
            Operator::Eq => BinaryOp::Eq,
            Operator::NotEq => BinaryOp::Ne,
            Operator::IsDistinctFrom => BinaryOp::Distinct,
            Operator::IsNotDistinctFrom => BinaryOp::NotDistinct,
            _ => return Ok(None),
        };
        let constant = match (test(x.left()), test(x.right())) {
            (true, false) => x.right(),
            (false, true) => x.left(),
            _ => return Ok(None),
        };
        let value = constant.downcast_ref::<e::Literal>().and_then(|l| text(l.value()));
        let (Some(value), Some(dictionary)) = (value, column.dictionary) else { return Ok(None) };
        let code = b.code(dictionary, value);
        let v = b.binary(op, column.value, code, guard)?;
        return Ok(Some(Lowered::new(v, DataType::Boolean)));
    }
    Ok(None)
}

/// The type of a column under casts from string type to string type; `None` for anything
/// else.
fn strip_casts(expr: &Expr) -> Option<DataType> {
    let (inner, ty) = if let Some(x) = expr.downcast_ref::<e::CastExpr>() {
        (x.expr(), x.cast_type())
    } else if let Some(x) = expr.downcast_ref::<e::TryCastExpr>() {
        (x.expr(), x.cast_type())
    } else {
        return None;
    };
    if !is_string(ty) {
        return None;
    }
    let column = inner.downcast_ref::<e::Column>().is_some() || strip_casts(inner).is_some();
    column.then(|| ty.clone())
}

/// The lookup of an expression over one string value. `expr` reads it as its only column,
/// whatever the index.
fn table(b: &mut Builder, expr: &Expr, argument: &Lowered) -> Result<Lowered> {
    let Some(dictionary) = argument.dictionary else {
        return Err(Unsupported::new(format!("{expr} is over {}, not a string", argument.ty)));
    };
    let expr = Arc::clone(expr)
        .transform(|e| match e.downcast_ref::<e::Column>() {
            Some(_) => Ok(Transformed::yes(Arc::new(e::Column::new("value", 0)) as Expr)),
            None => Ok(Transformed::no(e)),
        })
        .map_err(|e| Unsupported::new(e.to_string()))?
        .data;
    let schema = |nullable| Schema::new(vec![Field::new("value", argument.ty.clone(), nullable)]);
    let ty = expr.data_type(&schema(true)).map_err(|e| Unsupported::new(format!("{expr}: {e}")))?;
    let nullable = nullable_over(&expr, &schema(false));
    let result = match is_string(&ty) {
        true => None,
        false => Some(TableResult::Values(phys_type(&ty)?)),
    };
    let (id, result) = b.table(dictionary, &argument.ty, &expr, result, nullable)?;
    let found = b.program.lookup(id, argument.value)?;
    let dictionary = match result {
        TableResult::Codes(d) => Some(d),
        TableResult::Values(_) => None,
    };
    let value = match null_result(&expr, &schema(true), argument, b)? {
        Some(v) => {
            let of_null = match dictionary {
                Some(d) => {
                    let text = text(&v).ok_or_else(|| Unsupported::new(format!("{expr}: {v}")))?;
                    b.code(d, text)
                }
                None => constant(b, &v)?,
            };
            let null = b.unary(UnaryOp::IsNull, argument.value, &Guard::default())?;
            b.select(null, of_null, found)?
        }
        None => found,
    };
    Ok(Lowered { value, ty, dictionary })
}

/// The value of an expression over a null string, where that is not null itself.
fn null_result(
    expr: &Expr,
    schema: &Schema,
    argument: &Lowered,
    b: &Builder,
) -> Result<Option<ScalarValue>> {
    if !b.program.nullable(argument.value) {
        return Ok(None);
    }
    let batch =
        RecordBatch::try_new(Arc::new(schema.clone()), vec![new_null_array(&argument.ty, 1)])
            .and_then(|batch| Ok(expr.evaluate(&batch)?))
            .and_then(|v| Ok(ScalarValue::try_from_array(&v.into_array(1)?, 0)?))
            .map_err(|e| Unsupported::new(format!("{expr} of a null: {e}")))?;
    Ok((!batch.is_null()).then_some(batch))
}

/// The codes of several string values in one dictionary, which is returned.
pub(super) fn unify(b: &mut Builder, values: &[Lowered]) -> Result<(Vec<ValueId>, DictionaryId)> {
    let first = values.first().and_then(|v| v.dictionary);
    if let Some(first) = first
        && values.iter().all(|v| v.dictionary == Some(first))
    {
        return Ok((values.iter().map(|v| v.value).collect(), first));
    }
    let target = b.dictionary();
    let mut codes = Vec::new();
    for v in values {
        let Some(dictionary) = v.dictionary else {
            return Err(Unsupported::new(format!("a string was expected, not {}", v.ty)));
        };
        if let Some(text) = b.constant_text(dictionary, v.value) {
            codes.push(b.code(target, &text));
            continue;
        }
        let same = Arc::new(e::Column::new("value", 0)) as Expr;
        let result = Some(TableResult::Codes(target));
        let (id, _) = b.table(dictionary, &v.ty, &same, result, false)?;
        codes.push(b.program.lookup(id, v.value)?);
    }
    Ok((codes, target))
}

/// Lowers an expression that has no form of its own: where exactly one of its operands has
/// columns and that one is a string, it is evaluated once for each of the operand's values.
pub(super) fn lower_over_one_child(b: &mut Builder, expr: &Expr, guard: &Guard) -> Result<Lowered> {
    let children: Vec<Expr> = expr.children().into_iter().cloned().collect();
    let over: Vec<usize> =
        (0..children.len()).filter(|i| !columns(&children[*i]).is_empty()).collect();
    let none = || Unsupported::new(format!("{expr} has no device form"));
    let [at] = over[..] else { return Err(none()) };
    let ty = children[at].data_type(&b.schema).map_err(|_| none())?;
    if !is_string(&ty) {
        return Err(none());
    }
    refuse_volatile(expr)?;
    let argument = lower(b, &children[at], guard)?;
    let mut replaced = children;
    replaced[at] = Arc::new(e::Column::new("value", 0));
    let over_value = Arc::clone(expr).with_new_children(replaced).map_err(|_| none())?;
    table(b, &over_value, &argument)
}
