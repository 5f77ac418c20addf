//! Times products of matrices: 4000 by 4000 `f64`, as `windlass bench arrays` has them. Run it in
//! release; an option names one part.

use std::{error::Error, time::Instant};

use windlass_array::{Array, ArrayError};

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

fn main() -> Result<(), Box<dyn Error>> {
    let random = |rows: usize, columns: usize, seed: u64| -> Result<Array, ArrayError> {
        let x = Array::random_uniform([rows, columns], (0.0, 1.0), seed)?;
        Ok(Array::from_array(x.compute::<f64>()?))
    };
    let (x, y) = (random(4000, 4000, 1)?, random(4000, 4000, 2)?);
    best("matmul", || Ok(x.matmul(&y)?.compute::<f64>()?[[1, 2]]))?;
    best("matmul x.T", || Ok(x.t().matmul(&y)?.compute::<f64>()?[[1, 2]]))?;
    Ok(())
}
