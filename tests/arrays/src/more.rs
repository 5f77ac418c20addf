//! The functions of `positions.py`'s and `measures.py`'s cases, and the shapes of `grids.py`'s.

use std::error::Error;

use serde_json::Value;
use windlass_array::{Array, ChunkGrid, DType, Fancy, Nested, Operand, Quantile, Reshaped, Tile};

use crate::call::{Result, array, axes, counts, index, integers, one_axis, places};

pub(crate) fn text<'a>(with: &'a Value, key: &str) -> Result<&'a str> {
    Ok(with[key].as_str().ok_or_else(|| format!("no {key}"))?)
}

pub(crate) fn floats(value: &Value) -> Option<Vec<f64>> {
    let one = |v: &Value| v.as_f64().or_else(|| v.as_str().and_then(|s| s.parse().ok()));
    value.as_array()?.iter().map(one).collect()
}

fn some_axis(with: &Value) -> Option<isize> {
    with["axis"].as_i64().map(|a| a as isize)
}

pub(crate) fn number(with: &Value, key: &str) -> Result<i64> {
    Ok(with[key].as_i64().ok_or_else(|| format!("no {key}"))?)
}

/// Indices, of which `{"array": i}` is operand `i`, and `{"list": [...], "shape": [...]}` a
/// list.
fn fancy(of: &[Operand], with: &Value) -> Result<Vec<Fancy>> {
    let one = |value: &Value| -> Result<Fancy> {
        if let Some(i) = value["array"].as_u64() {
            return Ok(Fancy::Array(array(&of[i as usize])?));
        }
        if let Some(list) = integers(&value["list"]) {
            return Ok(Fancy::List(list, counts(&value["shape"]).ok_or("a shape")?.into()));
        }
        Ok(Fancy::Basic(index(value)?))
    };
    with["index"].as_array().ok_or("an index")?.iter().map(one).collect()
}

fn nested(of: &[Operand], value: &Value) -> Result<Nested> {
    match value {
        Value::Array(list) => {
            Ok(Nested::List(list.iter().map(|v| nested(of, v)).collect::<Result<_>>()?))
        }
        value => Ok(Nested::Array(array(&of[value.as_u64().ok_or("a number")? as usize])?)),
    }
}

fn chosen(parts: Vec<Array>, with: &Value) -> Result<Array> {
    let at = number(with, "part")? as usize;
    Ok(parts.get(at).cloned().ok_or("there is no such part")?)
}

/// Calls a function with its operands and named arguments, if it is one of these.
pub(crate) fn call(name: &str, of: &[Operand], with: &Value) -> Option<Result<Array>> {
    let x = match array(&of[0]) {
        Ok(x) => x,
        Err(e) => return Some(Err(e)),
    };
    let all = || of.iter().map(array).collect::<Result<Vec<_>>>();
    None.or_else(|| found(reductions(name, &x, of, with)))
        .or_else(|| found(positions(name, &x, of, with)))
        .or_else(|| found(crate::grids::call(name, &x, of, with)))
        .or_else(|| found(shapes(name, &x, of, with)))
        .or_else(|| found(all().and_then(|all| several(name, &all, with))))
}

/// No function of a family is no result.
pub(crate) struct NotHere;

impl std::fmt::Display for NotHere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no function of this family")
    }
}

impl std::fmt::Debug for NotHere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no function of this family")
    }
}

impl Error for NotHere {}

fn found(result: Result<Array>) -> Option<Result<Array>> {
    match result {
        Err(e) if e.is::<NotHere>() => None,
        other => Some(other),
    }
}

fn reductions(name: &str, x: &Array, of: &[Operand], with: &Value) -> Result<Array> {
    let keep = with["keepdims"] == true;
    Ok(match name {
        "nanargmin" => x.nanargmin(some_axis(with), keep)?,
        "nanargmax" => x.nanargmax(some_axis(with), keep)?,
        "nancumsum" => x.nancumsum(one_axis(with)?)?,
        "nancumprod" => x.nancumprod(one_axis(with)?)?,
        "count" => x.count(axes(with))?,
        "logsumexp" => x.logsumexp(axes(with))?,
        "average" => x.average(some_axis(with), &array(&of[1])?)?,
        "nanmedian" => x.nanmedian(some_axis(with))?,
        "quantile_by" | "nanquantile_by" => {
            let q = with["q"].as_f64().ok_or("a share")?;
            let method = Quantile::from_name(text(with, "method")?).ok_or("a method")?;
            match name {
                "quantile_by" => x.quantile_by(q, some_axis(with), method)?,
                _ => x.nanquantile(q, some_axis(with), method)?,
            }
        }
        "argtopk" => x.argtopk(number(with, "k")? as usize, one_axis(with)?)?,
        "unique_part" => {
            let all = x.unique_all()?;
            match text(with, "part")? {
                "values" => all.values,
                "positions" => all.positions,
                "counts" => all.counts,
                _ => all.inverse,
            }
        }
        "isin" => x.isin(&array(&of[1])?)?,
        "union1d" => x.union1d(&array(&of[1])?)?,
        "intersect1d" => x.intersect1d(&array(&of[1])?)?,
        "setdiff1d" => x.setdiff1d(&array(&of[1])?)?,
        "setxor1d" => x.setxor1d(&array(&of[1])?)?,
        _ => return Err(Box::new(NotHere)),
    })
}

fn positions(name: &str, x: &Array, of: &[Operand], with: &Value) -> Result<Array> {
    Ok(match name {
        "take_along_axis" => x.take_along_axis(&array(&of[1])?, one_axis(with)?)?,
        "take_array" => x.take_array(&array(&of[1])?, one_axis(with)?)?,
        "fancy" => x.fancy(&fancy(of, with)?)?,
        "assign" => {
            let parts = with["index"].as_array().ok_or("an index")?;
            x.assign(&parts.iter().map(index).collect::<Result<Vec<_>>>()?, of[1].clone())?
        }
        "assign_fancy" => x.assign_fancy(&fancy(of, with)?, of[1].clone())?,
        "put" => x.put(&integers(&with["indices"]).ok_or("indices")?, of[1].clone())?,
        "nonzero" => chosen(x.nonzero()?, with)?,
        "argwhere" => x.argwhere()?,
        "flatnonzero" => x.flatnonzero()?,
        "unravel_index" => {
            chosen(Array::unravel_index(x, counts(&with["shape"]).ok_or("a shape")?)?, with)?
        }
        "choose" => x.choose(&of[1..])?,
        "select" => {
            let n = (of.len() - 1) / 2;
            let conditions = of[..n].iter().map(array).collect::<Result<Vec<_>>>()?;
            let conditions: Vec<&Array> = conditions.iter().collect();
            Array::select_first(&conditions, &of[n..2 * n], of[2 * n].clone())?
        }
        "insert" => {
            let at = integers(&with["at"]).ok_or("positions")?;
            x.insert(&at, of[1].clone(), one_axis(with)?)?
        }
        "delete" => x.delete(&integers(&with["at"]).ok_or("positions")?, one_axis(with)?)?,
        _ => return Err(Box::new(NotHere)),
    })
}

fn shapes(name: &str, x: &Array, of: &[Operand], with: &Value) -> Result<Array> {
    Ok(match name {
        "atleast_1d" => x.atleast_1d()?,
        "atleast_2d" => x.atleast_2d()?,
        "atleast_3d" => x.atleast_3d()?,
        "block" => Array::block(&nested(of, &with["blocks"])?)?,
        "array_split" => {
            chosen(x.array_split(number(with, "parts")? as usize, one_axis(with)?)?, with)?
        }
        "rot90" => {
            x.rot90(number(with, "k")?, (number(with, "a")? as isize, number(with, "b")? as isize))?
        }
        "rollaxis" => x.rollaxis(one_axis(with)?, number(with, "start")? as isize)?,
        "roll_axes" => {
            let by = integers(&with["by"]).ok_or("distances")?;
            let axes = places(&with["axes"]).ok_or("axes")?;
            x.roll_axes(&by.into_iter().zip(axes).collect::<Vec<_>>())?
        }
        "repeat_each" => {
            x.repeat_each(&counts(&with["counts"]).ok_or("counts")?, one_axis(with)?)?
        }
        "coarsen" => {
            let factors = counts(&with["factors"]).ok_or("factors")?;
            let factors: Vec<(isize, usize)> =
                factors.into_iter().enumerate().map(|(a, k)| (a as isize, k)).collect();
            x.coarsen(&factors, true, |x, axes| x.max(axes))?
        }
        "sliding_window_view" => {
            let windows = counts(&with["windows"]).ok_or("lengths")?;
            x.sliding_window_view(&windows, &places(&with["axes"]).ok_or("axes")?)?
        }
        "indices" => Array::indices(counts(&with["shape"]).ok_or("a shape")?)?,
        "fromfunction" => Array::from_indices(counts(&with["shape"]).ok_or("a shape")?, |axes| {
            axes.iter().skip(1).try_fold(axes[0].clone(), |sum, a| sum.multiply(2)?.add(a))
        })?,
        "tri" => {
            let n = |key: &str| number(with, key);
            Array::tri(n("rows")? as usize, n("columns")? as usize, n("k")?, DType::F64)?
        }
        "apply_along_axis_to" => {
            let axis = one_axis(with)?;
            x.apply_along_axis_to::<f64, f64>(axis, 2, |line| {
                ndarray::arr1(&[line.iter().sum::<f64>(), line.len() as f64])
            })?
        }
        "map_blocks_to" => {
            // The lengths of the chunks along the first axis, and a new last axis of two.
            let grid = x.chunks().axes();
            let mut lengths: Vec<Vec<usize>> = vec![vec![1; grid[0].count()]];
            lengths.push(vec![2]);
            let shape = Reshaped::new()
                .dropping((1..x.rank() as isize).collect::<Vec<_>>())
                .adding([1])
                .chunks(ChunkGrid::explicit(&[grid[0].count(), 2].into(), &lengths)?);
            Array::map_blocks_to(&[x], DType::F64, shape, |tiles, index| {
                let sum: f64 = tiles[0].to_array::<f64>()?.sum();
                Ok(Tile::new(vec![sum, index[0] as f64], [1, 2])?)
            })?
        }
        _ => return Err(Box::new(NotHere)),
    })
}

fn several(name: &str, all: &[Array], with: &Value) -> Result<Array> {
    let x: Vec<&Array> = all.iter().collect();
    Ok(match name {
        "vstack" => Array::vstack(&x)?,
        "hstack" => Array::hstack(&x)?,
        "dstack" => Array::dstack(&x)?,
        "column_stack" => Array::column_stack(&x)?,
        "append" => x[0].append(x[1], one_axis(with)?)?,
        "broadcast_arrays" => chosen(Array::broadcast_arrays(&x)?, with)?,
        "meshgrid" => chosen(Array::meshgrid(&x, with["xy"] == true)?, with)?,
        "ravel_multi_index" => {
            Array::ravel_multi_index(&x, counts(&with["shape"]).ok_or("a shape")?)?
        }
        "histogramdd" => {
            let edges = with["edges"].as_array().ok_or("edges")?.iter().map(floats);
            let edges: Vec<Vec<f64>> = edges.collect::<Option<_>>().ok_or("edges")?;
            let edges: Vec<&[f64]> = edges.iter().map(Vec::as_slice).collect();
            let n = edges.len();
            Array::histogramdd(&x[..n], &edges, x.get(n).copied())?
        }
        "histogram_between" => {
            let edges = floats(&with["edges"]).ok_or("edges")?;
            x[0].histogram_between(&edges, x.get(1).copied(), with["density"] == true)?
        }
        "bincount_weighted" => x[0].bincount_weighted(x[1], number(with, "least")? as usize)?,
        // A product of matrices, by labels.
        "blockwise" => {
            Array::blockwise("ik", DType::F64, &[(x[0], "ij"), (x[1], "jk")], &[], |tiles| {
                let two = |t: &Tile| -> std::result::Result<_, Box<dyn Error + Send + Sync>> {
                    Ok(t.to_array::<f64>()?.into_dimensionality::<ndarray::Ix2>()?)
                };
                Ok(Tile::from_array(two(&tiles[0])?.dot(&two(&tiles[1])?).into_dyn()))
            })?
        }
        _ => return Err(Box::new(NotHere)),
    })
}
