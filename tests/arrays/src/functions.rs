//! The functions of `functions.py`'s cases.

use serde_json::Value;
use windlass_array::{Array, Operand, Piece};

use crate::call::{Result, array, one_axis};

/// Calls a function with its operands and named arguments, if it is one of these.
pub(crate) fn call(name: &str, of: &[Operand], with: &Value) -> Result<Option<Array>> {
    let x = &array(&of[0])?;
    Ok(Some(match name {
        "piecewise" => pieces(x, of, with)?,
        "put_along_axis" => x.put_along_axis(&array(&of[1])?, of[2].clone(), one_axis(with)?)?,
        _ => return Ok(None),
    }))
}

fn pieces(x: &Array, of: &[Operand], with: &Value) -> Result<Array> {
    let piece = |value: &Value| -> Result<Piece<'static>> {
        Ok(match value {
            Value::String(s) if s == "square" => Piece::Function(&|x: &Array| x.square()),
            Value::String(s) if s == "negative" => Piece::Function(&|x: &Array| x.negative()),
            Value::String(_) => Piece::Function(&|x: &Array| Ok(x.clone())),
            Value::Bool(b) => (*b).into(),
            Value::Number(n) if n.is_i64() => n.as_i64().unwrap_or_default().into(),
            other => other.as_f64().ok_or("a number")?.into(),
        })
    };
    let told = with["pieces"].as_array().ok_or("pieces")?;
    let told = told.iter().map(piece).collect::<Result<Vec<_>>>()?;
    let conditions = of[1..].iter().map(array).collect::<Result<Vec<_>>>()?;
    let default = told.get(conditions.len()).copied();
    let pairs: Vec<(&Array, Piece<'_>)> = conditions.iter().zip(told).collect();
    Ok(x.piecewise(&pairs, default)?)
}
