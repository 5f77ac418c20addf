//! Times products and factors of matrices as `windlass bench arrays` has them: 4000 by 4000 and a
//! million by 64 `f64`. Run it in release; an option names one part.

use std::{error::Error, time::Instant};

use windlass_array::{Array, ArrayError, DType, FftNorm, compute_all};

/// The best of some runs, in seconds.
fn best(name: &str, mut run: impl FnMut() -> Result<f64, ArrayError>) -> Result<(), ArrayError> {
    if std::env::args().nth(1).is_some_and(|only| !name.contains(&only)) {
        return Ok(());
    }
    let (mut times, mut value) = (Vec::new(), 0.0);
    for _ in 0..5 {
        let begin = Instant::now();
        value = run()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    println!("{name:32} best {:.4} s, median {:.4} s, value {value:.12}", times[0], times[2]);
    Ok(())
}

/// The numbers of the bench: `(7919 i + 104729 j) mod 1000003`, in 0..1.
fn numbers(rows: usize, columns: usize) -> Result<Array, ArrayError> {
    let along = |n: usize, factor: i64| Array::arange(0_i64, n as i64, 1_i64).map(|a| a * factor);
    let made = (along(rows, 7919)?.expand_dims(1)? + along(columns, 104_729)?) % 1_000_003_i64;
    Ok(Array::from_array((made.astype(DType::F64) / 1_000_003.0).compute::<f64>()?))
}

fn sum(x: &Array) -> Result<f64, ArrayError> {
    Ok(x.sum(..)?.compute::<f64>()?[[]])
}

fn main() -> Result<(), Box<dyn Error>> {
    let x = numbers(4000, 4000)?;
    best("matmul", || {
        let all = x.matmul(&x.t())?.compute::<f64>()?;
        Ok(all[[2000, 1333]])
    })?;
    best("matmul, no transpose", || Ok(x.matmul(&x)?.compute::<f64>()?[[2000, 1333]]))?;
    best("matmul, summed", || sum(&x.matmul(&x)?))?;
    best("fft along axis 1", || {
        let y = x.fft(None, 1, FftNorm::Backward)?.compute::<windlass_array::C64>()?;
        Ok(y[[1, 2]].re)
    })?;
    best("rfft along axis 0", || {
        let y = x.rfft(None, 0, FftNorm::Backward)?.compute::<windlass_array::C64>()?;
        Ok(y[[1, 2]].re)
    })?;
    best("cholesky", || {
        let square = &(&x * 0.001) + &Array::eye(4000, 4000, 0, DType::F64).multiply(4.0)?;
        sum(&square.cholesky()?.diagonal(0, 0, 1)?)
    })?;
    best("solve", || {
        let square = &(&x * 0.001) + &Array::eye(4000, 4000, 0, DType::F64).multiply(4.0)?;
        sum(&square.solve(&Array::ones([4000], DType::F64))?)
    })?;
    let random = |seed| Array::random_normal([1_000_000, 64], (0.0, 1.0), seed);
    let x = Array::from_array(random(1)?.compute::<f64>()?);
    best("qr", || {
        let (q, r) = x.qr()?;
        let both = compute_all(&[&q, &r.diagonal(0, 0, 1)?.absolute()?.sum(..)?])?;
        Ok(both[1].to_array::<f64>()?[[]])
    })?;
    best("qr, R alone", || sum(&x.qr()?.1.diagonal(0, 0, 1)?.absolute()?))?;
    best("svd", || {
        let (u, s, _) = x.svd()?;
        let both = compute_all(&[&u, &s.sum(..)?])?;
        Ok(both[1].to_array::<f64>()?[[]])
    })?;
    best("compressed svd", || {
        let (u, s, vh) = x.svd_compressed(10, 10, 0, 1)?;
        let all = compute_all(&[&u, &s.sum(..)?, &vh])?;
        Ok(all[1].to_array::<f64>()?[[]])
    })?;
    Ok(())
}
