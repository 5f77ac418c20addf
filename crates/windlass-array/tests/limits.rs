//! Functions of arrays larger than the executor's limit of memory: none of them needs the
//! array whole, results that do not fit are refused, and what is persisted counts.

use windlass_array::{
    Array, ArrayError, Boundary, ChunkGrid, ChunkIndex, DType, Pad, Piece, Quantile, Tile,
    compute_all_on,
};
use windlass_runtime::execute::{Executor, ExecutorOptions};

/// Bytes that the executor may use.
const LIMIT: u64 = 16 << 20;
/// Elements, four times the limit of `f64`, and those of a chunk of 512 KiB.
const LEN: usize = 4 * (LIMIT as usize) / 8;
const CHUNK: usize = 64 << 10;

fn executor(limit: u64) -> Executor {
    let executor = Executor::new(ExecutorOptions::default().threads(2).memory(limit));
    executor.expect("threads")
}

/// The numbers from 0 on, in another order.
fn numbers() -> Result<Array, ArrayError> {
    let grid = ChunkGrid::regular(&[LEN].into(), &[CHUNK].into())?;
    Ok(Array::from_function(grid, DType::F64, |chunk: &ChunkIndex| {
        let first = chunk[0] * CHUNK;
        let value = |i: usize| ((first + i) * 7919 % LEN) as f64;
        Ok(Tile::new((0..CHUNK).map(value).collect(), [CHUNK])?)
    }))
}

#[test]
fn sorts_and_quantiles_stay_within_the_limit() -> Result<(), ArrayError> {
    let (x, executor) = (numbers()?, executor(LIMIT));
    let sorted = x.sort(0)?;
    // Sums and differences say that it is the numbers in order.
    let steps = sorted.diff(1, 0)?;
    let found = compute_all_on(
        &[&sorted.sum(..)?, &steps.min(..)?, &steps.max(..)?, &sorted.index_axis(0, 5)?],
        &executor,
    )?;
    let found: Vec<f64> =
        found.iter().map(|t| t.to_array::<f64>().map(|a| a.sum())).collect::<Result<_, _>>()?;
    assert_eq!(found, [(LEN * (LEN - 1) / 2) as f64, 1.0, 1.0, 5.0]);
    let median = x.median(None)?;
    let high = x.quantile_by(0.999, None, Quantile::Higher)?;
    let best = x.argtopk(3, 0)?;
    let found = compute_all_on(&[&median, &high, &x.take_array(&best, 0)?], &executor)?;
    let found: Vec<f64> = found
        .iter()
        .map(|t| t.to_array::<f64>().map(|a| a.iter().copied().collect::<Vec<_>>()))
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    let last = (LEN - 1) as f64;
    assert_eq!(found, [last / 2.0, (last * 0.999).ceil(), last, last - 1.0, last - 2.0]);
    assert!(executor.counts()[0].1.peak_bytes <= LIMIT);
    Ok(())
}

#[test]
fn filters_and_windows_stay_within_the_limit() -> Result<(), ArrayError> {
    let executor = executor(LIMIT);
    // A task takes a sixteenth of the array, several times over, and holds its neighbours.
    let (rows, columns) = (2048, LEN / 4096);
    let grid = ChunkGrid::regular(&[rows, columns].into(), &[128, columns].into())?;
    let x = Array::from_function(grid, DType::F64, move |chunk: &ChunkIndex| {
        let value = |i: usize| ((chunk[0] * 128 * columns + i) * 7919 % LEN) as f64;
        Ok(Tile::new((0..128 * columns).map(value).collect(), [128, columns])?)
    });
    let smooth = x.gaussian_filter(&[2.0], Boundary::Reflect)?.mean(..)?;
    let middle = x.median_filter(&[3, 1], Boundary::Nearest)?.max(..)?;
    let histogram = numbers()?.histogram(4, (0.0, LEN as f64))?.0;
    let found = compute_all_on(&[&smooth, &middle, &histogram], &executor)?;
    // What is turned around an edge counts twice for what it smooths: the mean changes little.
    let mean = found[0].to_array::<f64>()?.sum();
    assert!((mean / (LEN as f64 / 2.0) - 1.0).abs() < 1e-2, "{mean}");
    assert!(found[1].to_array::<f64>()?.sum() < LEN as f64);
    assert!(found[2].to_array::<i64>()?.iter().all(|n| *n as usize == LEN / 4));
    assert!(executor.counts()[0].1.peak_bytes <= LIMIT);
    Ok(())
}

#[test]
fn positions_and_values_are_put_part_by_part() -> Result<(), ArrayError> {
    let (x, executor) = (numbers()?, executor(LIMIT));
    // As large as the limit, half of its places, each once, and as many values.
    let (len, part) = (LEN / 4, LEN / 8);
    let places = x.index_axis(0, ..part as i64)?.remainder(len as f64)?;
    let none = Array::full([len], -1.0)?.rechunk([CHUNK])?;
    let found = none.put_along_axis(&places.astype(DType::I64), &places, 0)?;
    let sums = compute_all_on(
        &[&found.less(0)?.sum(..)?, &(&found.sum(..)? - &places.sum(..)?)],
        &executor,
    )?;
    let (left, rest) = (sums[0].to_array::<i64>()?.sum(), sums[1].to_array::<f64>()?.sum());
    assert_eq!((left as usize, rest), (len - part, part as f64 - len as f64));
    assert!(executor.counts()[0].1.peak_bytes <= LIMIT);
    Ok(())
}

#[test]
fn paddings_and_pieces_stay_within_the_limit() -> Result<(), ArrayError> {
    let executor = executor(LIMIT);
    // Twice the limit: a task takes a sixteenth of it, several times over.
    let x = numbers()?.index_axis(0, ..(LEN / 4) as i64)?;
    // Turned around the first element, which is 0.
    let wide = x.pad_with(&[(LEN / 4 - 1, 0)], Pad::ReflectOdd)?;
    let above =
        wide.piecewise(&[(&wide.less(0)?, 0.into())], Some(Piece::Function(&|x| Ok(x.clone()))))?;
    let found = compute_all_on(&[&wide.sum(..)?, &above.sum(..)?, &x.sum(..)?], &executor)?;
    let found: Vec<f64> =
        found.iter().map(|t| t.to_array::<f64>().map(|a| a.sum())).collect::<Result<_, _>>()?;
    assert_eq!(found[..2], [0.0, found[2]]);
    assert!(executor.counts()[0].1.peak_bytes <= LIMIT);
    Ok(())
}

#[test]
fn results_beyond_the_limit_are_refused() -> Result<(), ArrayError> {
    let (x, executor) = (numbers()?, executor(LIMIT));
    let error = x.compute_on::<f64>(&executor).unwrap_err();
    assert!(
        matches!(error, ArrayError::Memory { needed, limit: LIMIT, .. } if needed == 4 * LIMIT)
    );
    assert!(error.to_string().contains("limit"), "{error}");
    // A part of it is counted while it is made, and no longer.
    let part = x.index_axis(0, ..(LEN / 8) as i64)?;
    for _ in 0..3 {
        assert_eq!(part.compute_on::<f64>(&executor)?.len(), LEN / 8);
    }
    let peak = executor.counts()[0].1.peak_bytes;
    assert!((LIMIT / 2..=LIMIT).contains(&peak), "{peak}");
    Ok(())
}

#[test]
fn persisted_tiles_count_and_wait_on_disk() -> Result<(), ArrayError> {
    let (x, executor) = (numbers()?, executor(LIMIT));
    let kept = x.persist_on(&executor)?;
    assert!(executor.counts()[0].1.peak_bytes <= LIMIT);
    let sum = kept.sum(..)?.compute_on::<f64>(&executor)?.sum();
    assert_eq!(sum, (LEN * (LEN - 1) / 2) as f64);
    drop(kept);
    // What it held is free again.
    let small = x.index_axis(0, ..(LEN / 16) as i64)?.persist_on(&executor)?;
    assert_eq!(small.max(..)?.compute_on::<f64>(&executor)?.len(), 1);
    Ok(())
}
