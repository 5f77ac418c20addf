//! The functions that cases call, by NumPy's names.

use std::error::Error;

use serde_json::Value;
use windlass_array::{Array, Axes, DType, Index, Operand};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub(crate) fn array(operand: &Operand) -> Result<Array> {
    Ok(match operand {
        Operand::Array(a) => a.clone(),
        Operand::Scalar(s) => Array::scalar(*s)?,
    })
}

pub(crate) fn integers(value: &Value) -> Option<Vec<i64>> {
    value.as_array()?.iter().map(Value::as_i64).collect()
}

pub(crate) fn places(value: &Value) -> Option<Vec<isize>> {
    Some(integers(value)?.into_iter().map(|i| i as isize).collect())
}

pub(crate) fn counts(value: &Value) -> Option<Vec<usize>> {
    Some(integers(value)?.into_iter().map(|i| i as usize).collect())
}

pub(crate) fn axes(with: &Value) -> Axes {
    let axes = match places(&with["axis"]) {
        Some(axes) => axes.into(),
        None => Axes::all(),
    };
    if with["keepdims"] == true { axes.keepdims() } else { axes }
}

pub(crate) fn one_axis(with: &Value) -> Result<isize> {
    Ok(with["axis"].as_i64().ok_or("an axis")? as isize)
}

pub(crate) fn index(value: &Value) -> Result<Index> {
    Ok(match value {
        Value::Number(n) => Index::At(n.as_i64().ok_or("an index")?),
        Value::String(s) if s == "new" => Index::NewAxis,
        Value::String(_) => Index::Ellipsis,
        Value::Array(parts) => Index::Slice {
            start: parts[0].as_i64(),
            stop: parts[1].as_i64(),
            step: parts[2].as_i64().unwrap_or(1),
        },
        other => return Err(format!("no index: {other}").into()),
    })
}

macro_rules! methods {
    ($name:expr, $($method:ident)+ => $call:expr, else $other:expr) => {
        match $name {
            $(stringify!($method) => $call(Array::$method)?,)+
            _ => $other,
        }
    };
}

/// Calls a function with its operands and named arguments.
pub(crate) fn call(name: &str, of: &[Operand], with: &Value) -> Result<Array> {
    if let Some(found) = crate::more::call(name, of, with) {
        return found;
    }
    if let Some(found) = super::functions::call(name, of, with)? {
        return Ok(found);
    }
    if let Some(found) = super::linear::call(name, of, with)? {
        return Ok(found);
    }
    let x = array(&of[0])?;
    let unary = |f: fn(&Array) -> windlass_array::Result<Array>| f(&x);
    let found = methods!(name,
        negative absolute sign reciprocal square sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin
        cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh floor ceil trunc rint
        deg2rad rad2deg isnan isinf isfinite signbit invert conj real imag angle logical_not ravel
        => unary, else return binary(name, &x, of, with));
    Ok(found)
}

fn binary(name: &str, x: &Array, of: &[Operand], with: &Value) -> Result<Array> {
    let Some(other) = of.get(1).cloned() else { return reduction(name, x, with) };
    let call = |f: fn(&Array, Operand) -> windlass_array::Result<Array>| f(x, other.clone());
    let found = methods!(name,
        add subtract multiply divide floor_divide remainder fmod power arctan2 hypot logaddexp
        logaddexp2 copysign nextafter maximum minimum fmax fmin equal not_equal less less_equal
        greater greater_equal logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor
        left_shift right_shift
        => call, else return several(name, x, of, with));
    Ok(found)
}

fn reduction(name: &str, x: &Array, with: &Value) -> Result<Array> {
    let ddof = with["ddof"].as_f64().unwrap_or(0.0);
    let call = |f: fn(&Array, Axes) -> windlass_array::Result<Array>| f(x, axes(with));
    let positions = (with["axis"].as_i64().map(|a| a as isize), with["keepdims"] == true);
    Ok(match name {
        "var" => x.var(axes(with), ddof)?,
        "std" => x.std(axes(with), ddof)?,
        "nanvar" => x.nanvar(axes(with), ddof)?,
        "nanstd" => x.nanstd(axes(with), ddof)?,
        "argmin" => x.argmin(positions.0, positions.1)?,
        "argmax" => x.argmax(positions.0, positions.1)?,
        _ => methods!(name,
            norm sum prod mean min max any all nanmin nanmax nansum nanprod nanmean count_nonzero ptp
            => call, else return layout(name, x, with)),
    })
}

fn layout(name: &str, x: &Array, with: &Value) -> Result<Array> {
    let list = |key: &str| places(&with[key]).ok_or_else(|| format!("{key} of {name}"));
    let number = |key: &str| with[key].as_i64().ok_or_else(|| format!("{key} of {name}"));
    Ok(match name {
        "astype" => {
            let dtype = with["dtype"].as_str().and_then(DType::from_name);
            x.astype(dtype.ok_or("a dtype")?)
        }
        "cumsum" => x.cumsum(one_axis(with)?)?,
        "cumprod" => x.cumprod(one_axis(with)?)?,
        "index" => {
            let parts = with["index"].as_array().ok_or("an index")?;
            x.index(&parts.iter().map(index).collect::<Result<Vec<_>>>()?)?
        }
        "take" => x.take(&integers(&with["indices"]).ok_or("indices")?, one_axis(with)?)?,
        "transpose" => x.permute(&list("axes")?)?,
        "swapaxes" => x.swapaxes(number("a")? as isize, number("b")? as isize)?,
        "moveaxis" => x.moveaxis(&list("from")?, &list("to")?)?,
        "reshape" => x.reshape_to(&list("shape")?)?,
        "squeeze" => x.squeeze(),
        "expand_dims" => x.expand_dims(one_axis(with)?)?,
        "flip" => x.flip(&list("axes")?)?,
        "roll" => x.roll(number("by")?, one_axis(with)?)?,
        "repeat" => x.repeat(number("times")? as usize, one_axis(with)?)?,
        "tile" => x.tile(&counts(&with["times"]).ok_or("times")?)?,
        "broadcast_to" => x.broadcast_to(counts(&with["shape"]).ok_or("a shape")?)?,
        "pad" => {
            let widths = with["widths"].as_array().ok_or("widths")?.iter();
            let widths = widths.map(|w| counts(w).map(|w| (w[0], w[1])));
            let widths = widths.collect::<Option<Vec<_>>>().ok_or("pairs of widths")?;
            x.pad(&widths, number("value")?)?
        }
        "diff" => x.diff(number("n")? as usize, one_axis(with)?)?,
        "split" => {
            let parts = x.split_at(&counts(&with["at"]).ok_or("positions")?, one_axis(with)?)?;
            parts[number("part")? as usize].clone()
        }
        "sort" => x.sort(one_axis(with)?)?,
        "argsort" => x.argsort(one_axis(with)?)?,
        "topk" => x.topk(number("k")? as usize, one_axis(with)?)?,
        "median" => x.median(with["axis"].as_i64().map(|a| a as isize))?,
        "quantile" => {
            let q = with["q"].as_f64().ok_or("a share")?;
            x.quantile(q, with["axis"].as_i64().map(|a| a as isize))?
        }
        "unique" => x.unique()?,
        "histogram" => {
            let range = (number("low")? as f64, number("high")? as f64);
            let (counts, edges) = x.histogram(number("bins")? as usize, range)?;
            if with["edges"] == true { edges } else { counts }
        }
        "bincount" => x.bincount(number("least")? as usize)?,
        "cumsum_all" => x.ravel()?.cumsum(0)?,
        "rechunk" => x.rechunk(counts(&with["chunks"]).ok_or("chunks")?)?,
        other => return Err(format!("no function {other}").into()),
    })
}

fn several(name: &str, x: &Array, of: &[Operand], with: &Value) -> Result<Array> {
    let all = || of.iter().map(array).collect::<Result<Vec<_>>>();
    Ok(match name {
        "where" => Array::select(x, of[1].clone(), of[2].clone())?,
        "clip" => x.clip(of[1].clone(), of[2].clone())?,
        "searchsorted" => x.searchsorted(&array(&of[1])?, with["right"] == true)?,
        "isclose" => x.isclose(of[1].clone(), 1e-5, 1e-8)?,
        "concatenate" => {
            let all = all()?;
            Array::concatenate(&all.iter().collect::<Vec<_>>(), one_axis(with)?)?
        }
        "stack" => {
            let all = all()?;
            Array::stack(&all.iter().collect::<Vec<_>>(), one_axis(with)?)?
        }
        "compress" => x.compress(&array(&of[1])?, one_axis(with)?)?,
        "mask" => x.mask(&array(&of[1])?)?,
        other => return Err(format!("no function {other} of {} operands", of.len()).into()),
    })
}
