//! Times functions that NumPy, SciPy and Dask were timed with: a Gaussian filter of 8000 by
//! 8000 `f64` in 16 chunks; sorts, medians and greatest elements of 10^7 `f64` in 10 chunks.
//! Run it in release; an option names one part.

use std::{error::Error, time::Instant};

use windlass_array::{Array, ArrayError, Boundary, Quantile};

/// The best of some runs, in seconds.
fn best(name: &str, mut run: impl FnMut() -> Result<(), ArrayError>) -> Result<(), ArrayError> {
    if std::env::args().nth(1).is_some_and(|only| !name.contains(&only)) {
        return Ok(());
    }
    let mut times = Vec::new();
    for _ in 0..5 {
        let begin = Instant::now();
        run()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    println!("{name:44} best {:.4} s, median {:.4} s", times[0], times[2]);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let x = Array::random_uniform([8000, 8000], (0.0, 1.0), 1)?.compute::<f64>()?;
    let x = Array::from_array(x).rechunk([2000, 2000])?;
    best("gaussian_filter, deviation 1", || {
        x.gaussian_filter(&[1.0], Boundary::Reflect)?.compute::<f64>().map(drop)
    })?;
    best("gaussian_filter, deviation 4", || {
        x.gaussian_filter(&[4.0], Boundary::Reflect)?.compute::<f64>().map(drop)
    })?;
    best("uniform_filter, 5 by 5", || {
        x.uniform_filter(&[5], Boundary::Reflect)?.compute::<f64>().map(drop)
    })?;
    best("median_filter, 3 by 3", || {
        x.median_filter(&[3], Boundary::Reflect)?.compute::<f64>().map(drop)
    })?;
    best("mask, half of 64 million", || x.mask(&x.greater(0.5)?)?.compute::<f64>().map(drop))?;
    let y = Array::random_normal([10_000_000], (0.0, 1.0), 2)?.compute::<f64>()?;
    let y = Array::from_array(y).rechunk([1_000_000])?;
    best("sort", || y.sort(0)?.compute::<f64>().map(drop))?;
    best("argsort", || y.argsort(0)?.compute::<i64>().map(drop))?;
    best("median", || y.median(None)?.compute::<f64>().map(drop))?;
    best("quantile by Hazen", || {
        y.quantile_by(0.99, None, Quantile::Hazen)?.compute::<f64>().map(drop)
    })?;
    best("topk of 100", || y.topk(100, 0)?.compute::<f64>().map(drop))?;
    let z = Array::random_integers([10_000_000], (0, 100_000), 3)?.compute::<i64>()?;
    let z = Array::from_array(z).rechunk([1_000_000])?;
    best("unique, 100 thousand of 10^7", || z.unique().map(drop))?;
    best("bincount", || z.bincount(0)?.compute::<i64>().map(drop))?;
    let places = Array::random_integers([10_000_000], (0, 10_000_000), 4)?.compute::<i64>()?;
    let places = Array::from_array(places).rechunk([1_000_000])?;
    best("take of 10^7 random positions", || y.take_array(&places, 0)?.compute::<f64>().map(drop))?;
    Ok(())
}
