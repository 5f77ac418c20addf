//! The functions of `more.py`'s cases: those beyond the elementwise ones, reductions and
//! layouts of `call.rs`.

use std::error::Error;

use serde_json::Value;
use windlass_array::{
    Array, Boundary, ChunkGrid, Covariance, DType, Fancy, Nested, Operand, Overlap, Pad, Part,
    Quantile, Reshaped, Spacing, Tile,
};

use crate::call::{Result, array, axes, counts, index, integers, one_axis, places};

fn text<'a>(with: &'a Value, key: &str) -> Result<&'a str> {
    Ok(with[key].as_str().ok_or_else(|| format!("no {key}"))?)
}

fn floats(value: &Value) -> Option<Vec<f64>> {
    let one = |v: &Value| v.as_f64().or_else(|| v.as_str().and_then(|s| s.parse().ok()));
    value.as_array()?.iter().map(one).collect()
}

fn some_axis(with: &Value) -> Option<isize> {
    with["axis"].as_i64().map(|a| a as isize)
}

fn number(with: &Value, key: &str) -> Result<i64> {
    Ok(with[key].as_i64().ok_or_else(|| format!("no {key}"))?)
}

fn boundary(with: &Value) -> Result<Boundary> {
    Ok(match text(with, "mode")? {
        "none" => Boundary::None,
        "reflect" => Boundary::Reflect,
        "mirror" => Boundary::Mirror,
        "nearest" => Boundary::Nearest,
        "wrap" => Boundary::Periodic,
        "constant" => Boundary::Constant(with["cval"].as_i64().unwrap_or(0).into()),
        other => return Err(format!("no boundary {other}").into()),
    })
}

fn part(with: &Value) -> Result<Part> {
    Ok(match text(with, "mode")? {
        "full" => Part::Full,
        "same" => Part::Same,
        _ => Part::Valid,
    })
}

fn pad(with: &Value) -> Result<Pad> {
    let odd = with["odd"] == true;
    let some = with["stat"].as_u64().map(|n| n as usize);
    Ok(match text(with, "mode")? {
        "constant" => Pad::Constant(number(with, "value")?.into()),
        "edge" => Pad::Edge,
        "reflect" if odd => Pad::ReflectOdd,
        "symmetric" if odd => Pad::SymmetricOdd,
        "reflect" => Pad::Reflect,
        "symmetric" => Pad::Symmetric,
        "wrap" => Pad::Wrap,
        "linear_ramp" => Pad::LinearRamp(number(with, "value")? as f64),
        "maximum" => Pad::Maximum(some),
        "minimum" => Pad::Minimum(some),
        "mean" => Pad::Mean(some),
        "median" => Pad::Median(some),
        other => return Err(format!("no mode {other}").into()),
    })
}

fn pairs(value: &Value) -> Result<Vec<(usize, usize)>> {
    let all = value.as_array().ok_or("pairs")?.iter();
    Ok(all.map(|w| counts(w).map(|w| (w[0], w[1]))).collect::<Option<_>>().ok_or("pairs")?)
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
        .or_else(|| found(grids(name, &x, of, with)))
        .or_else(|| found(shapes(name, &x, of, with)))
        .or_else(|| found(all().and_then(|all| several(name, &all, with))))
}

/// No function of a family is no result.
struct NotHere;

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

fn grids(name: &str, x: &Array, of: &[Operand], with: &Value) -> Result<Array> {
    let sizes = || counts(&with["size"]).ok_or("sizes");
    Ok(match name {
        "pad_with" => x.pad_with(&pairs(&with["widths"])?, pad(with)?)?,
        "gaussian_filter" => {
            x.gaussian_filter(&floats(&with["sigma"]).ok_or("deviations")?, boundary(with)?)?
        }
        "uniform_filter" => x.uniform_filter(&sizes()?, boundary(with)?)?,
        "median_filter" => x.median_filter(&sizes()?, boundary(with)?)?,
        "minimum_filter" => x.minimum_filter(&sizes()?, boundary(with)?)?,
        "maximum_filter" => x.maximum_filter(&sizes()?, boundary(with)?)?,
        "sobel" => x.sobel(one_axis(with)?, boundary(with)?)?,
        "prewitt" => x.prewitt(one_axis(with)?, boundary(with)?)?,
        "laplace" => x.laplace(boundary(with)?)?,
        "correlate1d" => {
            let weights = floats(&with["weights"]).ok_or("weights")?;
            x.correlate1d(&weights, one_axis(with)?, boundary(with)?)?
        }
        "correlate_nd" => x.correlate_nd(&array(&of[1])?, boundary(with)?)?,
        "convolve" => x.convolve(&array(&of[1])?, part(with)?)?,
        "correlate" => x.correlate(&array(&of[1])?, part(with)?)?,
        "convolve_nd" => x.convolve_nd(&array(&of[1])?, part(with)?)?,
        // Sums of each element's neighbours, by a function that knows no more than its tile.
        "map_overlap" => {
            let depth = pairs(&with["depth"])?;
            let overlap = Overlap::new(depth.clone()).boundary(boundary(with)?);
            let trim = with["trim"] == true;
            let overlap = if trim { overlap } else { overlap.untrimmed() };
            Array::map_overlap(&[x], DType::F64, overlap, move |tiles, _| {
                neighbours(&tiles[0], &depth, trim)
            })?
        }
        "gradient" => {
            let order = number(with, "order")? as usize;
            let spacing: Spacing = match of.get(1) {
                Some(places) => (&array(places)?).into(),
                None => with["h"].as_f64().unwrap_or(1.0).into(),
            };
            x.gradient(one_axis(with)?, spacing, order)?
        }
        "trapezoid" => {
            let spacing: Spacing = match of.get(1) {
                Some(places) => (&array(places)?).into(),
                None => with["h"].as_f64().unwrap_or(1.0).into(),
            };
            x.trapezoid(one_axis(with)?, spacing)?
        }
        "interp" => {
            let outside = (with["left"].as_f64(), with["right"].as_f64());
            x.interp(&array(&of[1])?, &array(&of[2])?, outside)?
        }
        "digitize" => x.digitize(&floats(&with["bins"]).ok_or("bins")?, with["right"] == true)?,
        "cov" => {
            let optional =
                |key: &str| with[key].as_u64().map(|i| array(&of[i as usize])).transpose();
            x.cov(&Covariance {
                by_rows: with["rowvar"] != false,
                ddof: with["ddof"].as_f64().unwrap_or(1.0),
                frequencies: optional("fweights")?,
                weights: optional("aweights")?,
            })?
        }
        "corrcoef" => x.corrcoef(with["rowvar"] != false)?,
        "diff_with" => {
            let operand = |key: &str| with[key].as_u64().map(|i| of[i as usize].clone());
            let times = number(with, "n")? as usize;
            x.diff_with(times, one_axis(with)?, operand("prepend"), operand("append"))?
        }
        "ediff1d" => {
            let optional =
                |key: &str| with[key].as_u64().map(|i| array(&of[i as usize])).transpose();
            x.ediff1d(optional("begin")?.as_ref(), optional("end")?.as_ref())?
        }
        _ => return Err(Box::new(NotHere)),
    })
}

/// Sums along the first axis of each element, those before and those behind it.
fn neighbours(
    tile: &Tile,
    depth: &[(usize, usize)],
    trim: bool,
) -> std::result::Result<Tile, Box<dyn Error + Send + Sync>> {
    let values = tile.to_array::<f64>()?;
    let (before, behind) = depth[0];
    let n = values.len_of(ndarray::Axis(0));
    let mut sums = values.clone();
    for i in 0..n {
        let from = i.saturating_sub(before);
        let to = (i + behind + 1).min(n);
        let near = values.slice_axis(ndarray::Axis(0), (from..to).into());
        sums.index_axis_mut(ndarray::Axis(0), i).assign(&near.sum_axis(ndarray::Axis(0)));
    }
    if trim {
        return Ok(Tile::from_array(sums));
    }
    let mut own = sums.view();
    for (axis, (before, behind)) in depth.iter().enumerate() {
        let n = own.len_of(ndarray::Axis(axis));
        own.slice_axis_inplace(ndarray::Axis(axis), (*before..n - behind).into());
    }
    Ok(Tile::from_array(own.to_owned()))
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
