//! Times the operations that NumPy and Dask were timed with: 8000 by 8000 `f64`, and sums of
//! many small chunks. Run it in release; an option names one part.

use std::{error::Error, time::Instant};

use windlass_array::{Array, ArrayError, ChunkGrid, Tile, compute_all};

/// The best of some runs, in seconds.
fn best(name: &str, mut run: impl FnMut() -> Result<(), ArrayError>) -> Result<(), ArrayError> {
    if std::env::args().nth(1).is_some_and(|only| !name.contains(&only)) {
        return Ok(());
    }
    let mut times = Vec::new();
    for _ in 0..7 {
        let begin = Instant::now();
        run()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    println!("{name:44} best {:.4} s, median {:.4} s", times[0], times[3]);
    Ok(())
}

/// Ten operations, with an exponential and a root.
fn chain(x: &Array) -> Result<Array, ArrayError> {
    let y = ((x * 2.0 + 1.0).exp()? - 0.5).absolute()?.sqrt()?;
    Ok((y * 3.0 + x - 1.0) / 7.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let x = Array::random_uniform([8000, 8000], (0.0, 1.0), 1)?.compute::<f64>()?;
    let x = Array::from_array(x);
    best("chain of ten, whole result", || chain(&x)?.compute::<f64>().map(drop))?;
    best("chain of ten, summed", || chain(&x)?.sum(..)?.compute::<f64>().map(drop))?;
    best("x + 1, whole result", || (&x + 1.0).compute::<f64>().map(drop))?;
    best("exp, summed", || x.exp()?.sum(..)?.compute::<f64>().map(drop))?;
    best("log, summed", || x.log()?.sum(..)?.compute::<f64>().map(drop))?;
    best("sin, summed", || x.sin()?.sum(..)?.compute::<f64>().map(drop))?;
    best("sqrt, summed", || x.sqrt()?.sum(..)?.compute::<f64>().map(drop))?;
    best("sum", || x.sum(..)?.compute::<f64>().map(drop))?;
    best("mean over axis 0", || x.mean(0)?.compute::<f64>().map(drop))?;
    best("std over axis 1", || x.std(1, 0.0)?.compute::<f64>().map(drop))?;
    best("std over axis 0", || x.std(0, 0.0)?.compute::<f64>().map(drop))?;
    best("mean over axis 0 and std over axis 1", || {
        compute_all(&[&x.mean(0)?, &x.std(1, 0.0)?]).map(drop)
    })?;
    best("(x + x.T).mean()", || (&x + &x.t()).mean(..)?.compute::<f64>().map(drop))?;
    best("x.T, whole result", || x.t().compute::<f64>().map(drop))?;
    best("argmax over axis 1", || x.argmax(Some(1), false)?.compute::<i64>().map(drop))?;
    best("cumsum over axis 0", || x.cumsum(0)?.compute::<f64>().map(drop))?;
    let ones = Array::from_array(ndarray::Array1::<f64>::ones(1_000_000)).rechunk([1])?;
    best("sum of 10^6 chunks of 1, in memory", || ones.sum(..)?.compute::<f64>().map(drop))?;
    let grid = ChunkGrid::regular(&[1_000_000].into(), &[1].into())?;
    let ones =
        Array::from_function(grid, windlass_array::DType::F64, |_| Ok(Tile::new(vec![1.0], [1])?));
    best("sum of 10^6 chunks of 1, from a function", || ones.sum(..)?.compute::<f64>().map(drop))?;
    let few = Array::from_slice(&[1.0; 10]);
    best("a thousand sums of ten elements", || {
        (0..1000).try_for_each(|_| (&few + 1.0).sum(..)?.compute::<f64>().map(drop))
    })?;
    best("10^7 random normal numbers, summed", || {
        let x = Array::random_normal([10_000_000], (0.0, 1.0), 1)?;
        x.sum(..)?.compute::<f64>().map(drop)
    })?;
    Ok(())
}
