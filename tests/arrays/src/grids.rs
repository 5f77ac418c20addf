//! The functions of `grids.py`'s cases that look around: paddings, filters, convolutions, slopes.

use std::error::Error;

use serde_json::Value;
use windlass_array::{
    Array, Boundary, Covariance, DType, Operand, Overlap, Pad, Part, Spacing, Tile,
};

use crate::{
    call::{Result, array, counts, one_axis},
    more::{NotHere, floats, number, text},
};

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

/// Calls a function with its operands and named arguments, if it is one of these.
pub(crate) fn call(name: &str, x: &Array, of: &[Operand], with: &Value) -> Result<Array> {
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
