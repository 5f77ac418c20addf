//! Results are equal bit for bit whatever the number of threads and however often they are
//! computed, for one array in one set of chunks; and those that promise it, whatever the
//! chunks.

use windlass_array::{Array, ArrayError, Boundary, DType, Quantile, compute_all_on};
use windlass_runtime::{
    delayed::{RunGraph, Synchronous},
    execute::{Executor, ExecutorOptions},
};

/// What depends on an order of additions, or might.
fn results(x: &Array) -> Result<Vec<Array>, ArrayError> {
    let mut all = vec![
        x.sum(..)?,
        x.mean(0)?,
        x.var(1, 1.0)?,
        x.prod(0)?,
        x.cumsum(0)?,
        x.nanstd(.., 0.0)?,
        x.norm(..)?,
        x.logsumexp(1)?,
        x.gaussian_filter(&[1.5], Boundary::Reflect)?,
    ];
    all.extend([x.cov(&windlass_array::Covariance::default())?, x.histogram(9, (-3.0, 3.0))?.0]);
    all.extend([x.ravel()?.sort(0)?, x.quantile_by(0.3, None, Quantile::Linear)?]);
    all.push(x.ravel()?.argtopk(20, 0)?);
    Ok(all)
}

fn bits(x: &Array, on: &dyn RunGraph) -> Result<Vec<Vec<u64>>, ArrayError> {
    let all = results(x)?;
    let tiles = compute_all_on(&all.iter().collect::<Vec<_>>(), on)?;
    let bits = |t: &windlass_array::Tile| match t.dtype() {
        DType::I64 => Ok(t.to_array::<i64>()?.iter().map(|v| *v as u64).collect()),
        _ => Ok(t.to_array::<f64>()?.iter().map(|v| v.to_bits()).collect()),
    };
    tiles.iter().map(bits).collect()
}

#[test]
fn results_do_not_hang_on_the_number_of_threads() -> Result<(), ArrayError> {
    let x = Array::random_normal([700, 130], (0.0, 1.0), 9)?.rechunk([90, 70])?;
    let wanted = bits(&x, &Synchronous)?;
    for threads in [1, 2, 3, 8] {
        let executor = Executor::new(ExecutorOptions::default().threads(threads));
        let executor = executor.expect("threads");
        for _ in 0..2 {
            assert_eq!(bits(&x, &executor)?, wanted, "{threads} threads");
        }
    }
    Ok(())
}

#[test]
fn what_adds_nothing_does_not_hang_on_the_chunks() -> Result<(), ArrayError> {
    let all = |chunk: [usize; 2]| -> Result<Vec<Vec<u64>>, ArrayError> {
        let x = Array::random_normal([300, 40], (0.0, 1.0), 9)?.rechunk(chunk)?;
        let flat = x.ravel()?;
        let results = [
            x.exp()?,
            x.sort(0)?,
            flat.median(None)?,
            x.max(1)?,
            x.median_filter(&[3], Boundary::Mirror)?,
            x.gaussian_filter(&[1.0], Boundary::Nearest)?,
            x.shuffle(0, 4)?,
            x.topk(5, 0)?,
        ];
        let values =
            |a: &Array| a.compute::<f64>().map(|v| v.iter().map(|v| v.to_bits()).collect());
        results.iter().map(values).collect()
    };
    let wanted = all([300, 40])?;
    for chunk in [[1, 40], [7, 3], [100, 40]] {
        assert_eq!(all(chunk)?, wanted, "{chunk:?}");
    }
    Ok(())
}
