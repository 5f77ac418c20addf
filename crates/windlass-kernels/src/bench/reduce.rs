//! Benches of reductions.

use std::{hint::black_box, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array},
    compute::kernels::aggregate as theirs,
    datatypes::{Float64Type, Int64Type},
};
use rayon::prelude::*;
use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::{
    Bench,
    case::{Case, apart, unequal},
    host::{On, array, nullable, random, sliced},
};
use crate::{
    column::DeviceColumn,
    error::Result,
    reduce::{self, CoMoments, Extreme, Moments, Sum, Total},
    types::{PhysType, Scalar},
};

pub(super) fn benches() -> Vec<Bench> {
    vec![
        Bench::new("reduce/sum/i64", "sum of i64; floor: 8 bytes a row read", |on, n| {
            sum_i64(on, array::<Int64Type>(integers(n)))
        }),
        Bench::new(
            "reduce/sum/i64_nulls",
            "sum of i64, one in ten null; floor: 8 bytes and a bit a row read",
            |on, n| sum_i64(on, nullable::<Int64Type>(integers(n), |i| i % 10 != 3)),
        ),
        Bench::new("reduce/sum/f64", "sum of f64; floor: 8 bytes a row read", sum_f64),
        Bench::new(
            "reduce/count/nulls",
            "values that are not null; floor: a bit a row read",
            count,
        ),
        Bench::new("reduce/min/i64", "least i64; floor: 8 bytes a row read", min_i64),
        Bench::new("reduce/max/f64", "greatest f64; floor: 8 bytes a row read", max_f64),
        Bench::new(
            "reduce/arg_min/i64",
            "the first row with the least i64; floor: 8 bytes a row read",
            |on, n| {
                arg(on, n, reduce::arg_min, |v| v.iter().enumerate().min_by_key(|p| (*p.1, p.0)))
            },
        ),
        Bench::new(
            "reduce/arg_max/i64",
            "the first row with the greatest i64; floor: 8 bytes a row read",
            |on, n| {
                arg(on, n, reduce::arg_max, |v| {
                    v.iter().enumerate().max_by_key(|p| (*p.1, std::cmp::Reverse(p.0)))
                })
            },
        ),
        Bench::new(
            "reduce/any/bool",
            "whether one is true, none is; floor: a bit a row read",
            |on, n| truth(on, n, false),
        ),
        Bench::new(
            "reduce/all/bool",
            "whether all are true, and are; floor: a bit a row read",
            |on, n| truth(on, n, true),
        ),
        Bench::new(
            "reduce/moments/f64",
            "count, mean and squared deviations of f64; floor: 8 bytes a row read",
            moments,
        ),
        Bench::new(
            "reduce/co_moments/f64",
            "moments of pairs of f64; floor: 16 bytes a row read",
            co_moments,
        ),
    ]
}

fn integers(n: usize) -> Vec<i64> {
    random(n, 1, |r| r.next() as i64)
}

fn floats(n: usize, seed: u64) -> Vec<f64> {
    random(n, seed, |r| r.next() as f64 / 1e16)
}

/// Bytes of an array's values and nulls.
fn bytes(array: &dyn Array) -> usize {
    let bits = array.len().div_ceil(8);
    let nulls = if array.null_count() > 0 { bits } else { 0 };
    nulls + array.data_type().primitive_width().map_or(bits, |w| w * array.len())
}

/// Arrow's kernel over pieces, on all cores.
fn over<T: Send>(
    array: &dyn Array,
    f: impl Fn(&ArrayRef) -> T + Sync + 'static,
) -> impl FnMut() + 'static {
    let pieces = sliced(array);
    move || {
        black_box(pieces.par_iter().map(&f).collect::<Vec<T>>());
    }
}

fn sum_i64(on: &mut On, values: Int64Array) -> Result<Case> {
    let (n, column) = (values.len(), on.column(&values)?);
    let (count, want) =
        values.iter().flatten().fold((0, 0i128), |s, v| (s.0 + 1, s.1 + i128::from(v)));
    let run = move |on: &mut On| {
        reduce::sum(&*on.device, &mut *on.queue, &mut on.reservation, &column, n, None)
    };
    let check =
        move |_: &mut On, got: Sum| Ok(unequal(got, Sum { total: Total::Int(want), count }));
    let case = Case::new(n, [bytes(&values), 16], run, check);
    Ok(case.beside("arrow sum", over(&values, |a| theirs::sum(a.as_primitive::<Int64Type>()))))
}

fn sum_f64(on: &mut On, n: usize) -> Result<Case> {
    let values = array::<Float64Type>(floats(n, 1));
    let column = on.column(&values)?;
    let want: f64 = values.values().iter().sum();
    let run = move |on: &mut On| {
        reduce::sum(&*on.device, &mut *on.queue, &mut on.reservation, &column, n, None)
    };
    let check = move |_: &mut On, got: Sum| match got.total {
        Total::Float(got) => Ok(apart(got, want, want)),
        other => Ok(Some(format!("a float, got {other:?}"))),
    };
    let case = Case::new(n, [8 * n, 8], run, check);
    Ok(case.beside("arrow sum", over(&values, |a| theirs::sum(a.as_primitive::<Float64Type>()))))
}

fn count(on: &mut On, n: usize) -> Result<Case> {
    let values = nullable::<Int64Type>(vec![0; n], |i| i % 10 != 3);
    let column = on.column(&values)?;
    let want = (n - values.null_count()) as u64;
    let run = move |on: &mut On| {
        reduce::count(&*on.device, &mut *on.queue, &mut on.reservation, &column, n, None)
    };
    let check = move |_: &mut On, got: u64| Ok(unequal(got, want));
    let case = Case::new(n, [n.div_ceil(8), 8], run, check);
    Ok(case.beside(
        "arrow null count",
        over(&values, |a| a.nulls().map_or(0, |b| b.inner().count_set_bits())),
    ))
}

fn min_i64(on: &mut On, n: usize) -> Result<Case> {
    let values = array::<Int64Type>(integers(n));
    let column = on.column(&values)?;
    let want = values.values().iter().min().map(|v| Scalar::Int(PhysType::I64, i128::from(*v)));
    let run = move |on: &mut On| {
        reduce::min(&*on.device, &mut *on.queue, &mut on.reservation, &column, n, None)
    };
    let check = move |_: &mut On, got: Option<Extreme>| Ok(unequal(got.map(|e| e.value), want));
    let case = Case::new(n, [8 * n, 8], run, check);
    Ok(case.beside("arrow min", over(&values, |a| theirs::min(a.as_primitive::<Int64Type>()))))
}

fn max_f64(on: &mut On, n: usize) -> Result<Case> {
    let values = array::<Float64Type>(floats(n, 1));
    let column = on.column(&values)?;
    let want = values.values().iter().copied().max_by(f64::total_cmp).map(Scalar::F64);
    let run = move |on: &mut On| {
        reduce::max(&*on.device, &mut *on.queue, &mut on.reservation, &column, n, None)
    };
    let check = move |_: &mut On, got: Option<Extreme>| Ok(unequal(got.map(|e| e.value), want));
    let case = Case::new(n, [8 * n, 8], run, check);
    Ok(case.beside("arrow max", over(&values, |a| theirs::max(a.as_primitive::<Float64Type>()))))
}

/// `reduce::arg_min` or `arg_max`.
type Arg = fn(
    &dyn Device,
    &mut dyn Queue,
    &mut Reservation,
    &DeviceColumn,
    usize,
    Option<&DeviceBuffer>,
) -> Result<Option<u32>>;

fn arg(
    on: &mut On,
    n: usize,
    run: Arg,
    plain: fn(&[i64]) -> Option<(usize, &i64)>,
) -> Result<Case> {
    let values = Arc::new(integers(n));
    let column = on.column(&array::<Int64Type>(values.to_vec()))?;
    let want = plain(&values).map(|p| p.0 as u32);
    let run =
        move |on: &mut On| run(&*on.device, &mut *on.queue, &mut on.reservation, &column, n, None);
    let check = move |_: &mut On, got: Option<u32>| Ok(unequal(got, want));
    let case = Case::new(n, [8 * n, 4], run, check);
    Ok(case.beside_serial("std loop", move || {
        black_box(plain(&values));
    }))
}

/// Values that all have to be looked at.
fn truth(on: &mut On, n: usize, all: bool) -> Result<Case> {
    let values = BooleanArray::from(vec![all; n]);
    let column = on.column(&values)?;
    let run = move |on: &mut On| {
        let f = if all { reduce::all } else { reduce::any };
        f(&*on.device, &mut *on.queue, &mut on.reservation, &column, n, None)
    };
    let check = move |_: &mut On, got: Option<bool>| Ok(unequal(got, (n > 0).then_some(all)));
    let case = Case::new(n, [n.div_ceil(8), 1], run, check);
    Ok(case.beside(
        "arrow min or max of bool",
        over(&values, move |a| match all {
            true => theirs::min_boolean(a.as_boolean()),
            false => theirs::max_boolean(a.as_boolean()),
        }),
    ))
}

/// Two passes over the values.
fn plain_moments(v: &[f64]) -> (f64, f64) {
    let mean = v.iter().sum::<f64>() / v.len() as f64;
    (mean, v.iter().map(|x| (x - mean) * (x - mean)).sum())
}

fn moments(on: &mut On, n: usize) -> Result<Case> {
    let values = array::<Float64Type>(floats(n, 1));
    let column = on.column(&values)?;
    let theirs: Float64Array = values.clone();
    let run = move |on: &mut On| {
        reduce::moments(&*on.device, &mut *on.queue, &mut on.reservation, &column, n, None)
    };
    let check = move |_: &mut On, got: Moments| {
        let (mean, m2) = plain_moments(values.values());
        Ok(apart(got.mean, mean, mean).or(apart(got.m2, m2, m2)).or(unequal(got.count, n as u64)))
    };
    let case = Case::new(n, [8 * n, 24], run, check);
    Ok(case.beside_serial("std loop, two passes", move || {
        black_box(plain_moments(theirs.values()));
    }))
}

fn co_moments(on: &mut On, n: usize) -> Result<Case> {
    let (x, y) = (floats(n, 1), floats(n, 2));
    let columns = [array::<Float64Type>(x.clone()), array::<Float64Type>(y.clone())];
    let columns = [on.column(&columns[0])?, on.column(&columns[1])?];
    let plain = |x: &[f64], y: &[f64]| {
        let ((mx, mxx), (my, myy)) = (plain_moments(x), plain_moments(y));
        (mx, mxx, my, myy, x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>())
    };
    let (their_x, their_y) = (x.clone(), y.clone());
    let run = move |on: &mut On| {
        let [x, y] = &columns;
        reduce::co_moments(&*on.device, &mut *on.queue, &mut on.reservation, x, y, n, None)
    };
    let check = move |_: &mut On, got: CoMoments| {
        let (mx, mxx, my, myy, mxy) = plain(&x, &y);
        // The products of deviations have both signs; by Cauchy and Schwarz their absolute
        // values sum to no more than this.
        let size = (mxx * myy).sqrt();
        let wrong = [
            apart(got.mean_x, mx, mx),
            apart(got.mean_y, my, my),
            apart(got.m2_x, mxx, mxx),
            apart(got.m2_y, myy, myy),
            apart(got.c, mxy, size),
        ];
        Ok(wrong.into_iter().flatten().next())
    };
    let case = Case::new(n, [16 * n, 48], run, check);
    Ok(case.beside_serial("std loop, two passes", move || {
        black_box(plain(&their_x, &their_y));
    }))
}
