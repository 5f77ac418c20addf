//! The functions of `functions.py`'s cases.

use serde_json::Value;
use windlass_array::{Array, Operand, Piece, Scalar};

use crate::call::{Result, array, counts, one_axis, places};

/// Calls a function with its operands and named arguments, if it is one of these.
pub(crate) fn call(name: &str, of: &[Operand], with: &Value) -> Result<Option<Array>> {
    let x = &array(&of[0])?;
    let found = match name {
        "piecewise" => pieces(x, of, with)?,
        "put_along_axis" => x.put_along_axis(&array(&of[1])?, of[2].clone(), one_axis(with)?)?,
        _ => match elements(name, x, of, with)? {
            Some(found) => found,
            None => return lines(name, x, of, with),
        },
    };
    Ok(Some(found))
}

fn elements(name: &str, x: &Array, of: &[Operand], with: &Value) -> Result<Option<Array>> {
    let other = || of.get(1).cloned().ok_or("another operand");
    let part = |(first, second): (Array, Array)| if with["part"] == 0 { first } else { second };
    Ok(Some(match name {
        "nan_to_num" => {
            let nan = with["nan"].as_f64().unwrap_or(0.0);
            x.nan_to_num(nan, with["posinf"].as_f64(), with["neginf"].as_f64())?
        }
        "round" => x.round(with["decimals"].as_i64().ok_or("decimals")? as i32)?,
        "sinc" => x.sinc()?,
        "heaviside" => x.heaviside(other()?)?,
        "float_power" => x.float_power(other()?)?,
        "modf" => part(x.modf()?),
        "frexp" => part(x.frexp()?),
        "divmod" => part(x.divmod(other()?)?),
        "ldexp" => x.ldexp(other()?)?,
        "spacing" => x.spacing()?,
        "i0" => x.i0()?,
        "bitwise_count" => x.bitwise_count()?,
        "gcd" => x.gcd(other()?)?,
        "lcm" => x.lcm(other()?)?,
        _ => return Ok(None),
    }))
}

fn lines(name: &str, x: &Array, of: &[Operand], with: &Value) -> Result<Option<Array>> {
    let other = || of.get(1).map_or_else(|| Err("another operand".into()), array);
    Ok(Some(match name {
        "unwrap" => {
            let period: Scalar = match &with["period"] {
                Value::Number(n) if n.is_i64() => n.as_i64().unwrap_or_default().into(),
                value => value.as_f64().ok_or("a period")?.into(),
            };
            x.unwrap(with["discont"].as_f64(), one_axis(with)?, period)?
        }
        "vander" => x.vander(with["n"].as_u64().map(|n| n as usize), with["increasing"] == true)?,
        "cross" => x.cross(&other()?, one_axis(with)?)?,
        "trim_zeros" => {
            let ends = with["trim"].as_str().ok_or("the ends")?;
            x.trim_zeros(ends.contains('f'), ends.contains('b'))?
        }
        "resize" => x.resize(counts(&with["shape"]).ok_or("a shape")?)?,
        "apply_over_axes" => {
            x.apply_over_axes(|x, axis| x.sum(axis), &places(&with["axes"]).ok_or("axes")?)?
        }
        "array_equal" => Array::scalar(x.array_equal(&other()?, with["equal_nan"] == true)?)?,
        "histogram2d" => {
            let bins = counts(&with["bins"]).ok_or("boxes")?;
            let at = |i: usize, j: usize| with["range"][i][j].as_f64().ok_or("a range");
            let ranges = match with["range"].is_null() {
                true => None,
                false => Some([(at(0, 0)?, at(0, 1)?), (at(1, 0)?, at(1, 1)?)]),
            };
            let weights = of.get(2).map(array).transpose()?;
            let found = x.histogram2d(&other()?, (bins[0], bins[1]), ranges, weights.as_ref())?;
            match with["part"].as_u64() {
                Some(0) => found.0,
                Some(1) => found.1,
                _ => found.2,
            }
        }
        "multi_dot" => {
            let all = of.iter().map(array).collect::<Result<Vec<_>>>()?;
            Array::multi_dot(&all.iter().collect::<Vec<_>>())?
        }
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
