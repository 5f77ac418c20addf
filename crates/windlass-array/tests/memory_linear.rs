//! What products and factors of arrays four times the limit take of the system's memory: one
//! process, whose peak is read when it is done.

mod process;

use process::{keep_nothing, peak};
use windlass_array::{Array, ArrayError, ChunkGrid, ChunkIndex, DType, Tile, compute_all_on};
use windlass_runtime::execute::{Executor, ExecutorOptions};

/// Bytes that the executor may use.
const LIMIT: usize = 128 << 20;

/// Numbers that look random, of four times the limit, in chunks of 4 MiB.
fn numbers(columns: usize) -> Result<Array, ArrayError> {
    let rows = 4 * LIMIT / 8 / columns;
    let chunk = [(4 << 20) / 8 / columns, columns];
    let grid = ChunkGrid::regular(&[rows, columns].into(), &chunk.into())?;
    Ok(Array::from_function(grid, DType::F64, move |index: &ChunkIndex| {
        let first = index[0] * chunk[0] * columns;
        let value = |i: usize| ((first + i) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let value = |i: usize| (value(i) >> 40) as f64 / (1_u64 << 24) as f64 - 0.5;
        Ok(Tile::new((0..chunk[0] * columns).map(value).collect(), chunk)?)
    }))
}

#[test]
fn products_and_factors_stay_within_the_limit() -> Result<(), ArrayError> {
    keep_nothing();
    let before = peak();
    let executor = Executor::new(ExecutorOptions::default().threads(2).memory(LIMIT as u64));
    let executor = executor.expect("threads");

    // The sums of the columns of a product are a product of sums.
    let x = numbers(1024)?;
    let y = Array::random_uniform([1024, 256], (-1.0, 1.0), 3)?;
    let both = compute_all_on(&[&x.matmul(&y)?.sum(0)?, &x.sum(0)?.matmul(&y)?], &executor)?;
    let far = &both[0].to_array::<f64>()? - &both[1].to_array::<f64>()?;
    assert!(far.iter().all(|d| d.abs() < 1e-6), "{far}");

    // Q and R: the matrix's squares are R's, and Q's columns have length 1.
    let x = numbers(64)?;
    let (q, r) = x.qr()?;
    let squares = |a: &Array, axis: isize| a.square()?.sum(axis);
    let all = compute_all_on(&[&squares(&q, 0)?, &squares(&r, 0)?, &squares(&x, 0)?], &executor)?;
    let all = all.iter().map(Tile::to_array::<f64>).collect::<Result<Vec<_>, _>>()?;
    assert!(all[0].iter().all(|s| (s - 1.0).abs() < 1e-10), "{}", all[0]);
    assert!(all[1].iter().zip(&all[2]).all(|(a, b)| (a / b - 1.0).abs() < 1e-10), "{}", all[1]);

    // The largest singular values, whose vectors have length 1 and lie across each other.
    let (u, s, vh) = x.svd_compressed(10, 10, 1, 5)?;
    let gram = u.t().matmul(&u)?;
    let all = compute_all_on(&[&gram, &s, &vh.square()?.sum(1)?], &executor)?;
    let gram = all[0].to_array::<f64>()?;
    let far = |(at, v): (ndarray::IxDyn, &f64)| (v - f64::from(at[0] == at[1])).abs();
    assert!(gram.indexed_iter().map(far).all(|d| d < 1e-10), "{gram}");
    let s = all[1].to_array::<f64>()?;
    assert!(s.len() == 10 && s.iter().zip(s.iter().skip(1)).all(|(a, b)| a >= b && *b > 0.0));
    assert!(all[2].to_array::<f64>()?.iter().all(|v| (v - 1.0).abs() < 1e-10));

    let counted = executor.counts()[0].1.peak_bytes;
    assert!(counted <= LIMIT as u64, "the executor counted {counted} bytes");
    if let (Some(before), Some(after)) = (before, peak()) {
        let took = after - before;
        // A fifth beyond the limit, for what is not counted.
        assert!(took <= LIMIT + LIMIT / 5, "{took} bytes, with a limit of {LIMIT}");
    }
    Ok(())
}
