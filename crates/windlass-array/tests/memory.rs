//! What a computation over an array four times the limit takes of the system's memory: one
//! process, whose peak is read when it is done.

mod process;

use process::{keep_nothing, peak};
use windlass_array::{Array, ArrayError, ChunkGrid, ChunkIndex, DType, Tile, compute_all_on};
use windlass_runtime::execute::{Executor, ExecutorOptions};

/// Bytes that the executor may use.
const LIMIT: usize = 128 << 20;
/// Rows and columns of a chunk: 4 MiB of `f64`.
const CHUNK: [usize; 2] = [512, 1024];

#[test]
fn arrays_four_times_the_limit_stay_within_it() -> Result<(), ArrayError> {
    keep_nothing();
    let before = peak();
    let rows = 4 * LIMIT / 8 / CHUNK[1];
    let grid = ChunkGrid::regular(&[rows, CHUNK[1]].into(), &CHUNK.into())?;
    // Row r holds a permutation's r-th number.
    let x = Array::from_function(grid, DType::F64, move |chunk: &ChunkIndex| {
        let first = chunk[0] * CHUNK[0];
        let value = |i: usize| ((first + i / CHUNK[1]) * 7919 % rows) as f64;
        Ok(Tile::new((0..CHUNK[0] * CHUNK[1]).map(value).collect(), CHUNK)?)
    });
    let executor = Executor::new(ExecutorOptions::default().threads(2).memory(LIMIT as u64));
    let executor = executor.expect("threads");

    let wanted = (rows - 1) as f64 / 2.0;
    let means = ((&x * 2.0).sqrt()?.square()? / 2.0).mean(0)?.compute_on::<f64>(&executor)?;
    assert!(means.iter().all(|m| (m - wanted).abs() < 1e-6 * wanted), "{}", means[0]);

    // Every column needs all chunks: they wait on disk.
    let columns = x.rechunk([rows, 32])?;
    let centred = Array::map_blocks(&[&columns], DType::F64, |tiles, _| {
        let values = tiles[0].to_array::<f64>()?;
        let means = values.mean_axis(ndarray::Axis(0)).ok_or("columns have rows")?;
        Ok(Tile::from_array(values - means))
    })?;
    let both = compute_all_on(&[&centred.min(..)?, &centred.max(..)?], &executor)?;
    for (extreme, wanted) in both.iter().zip([-wanted, wanted]) {
        assert_eq!(extreme.to_array::<f64>()?.sum(), wanted);
    }

    // Every tile needs the one across the diagonal.
    let side = (4 * LIMIT / 8).isqrt();
    let chunk = [side / 16, side / 8];
    let grid = ChunkGrid::regular(&[side, side].into(), &chunk.into())?;
    let square = Array::from_function(grid, DType::F64, move |index: &ChunkIndex| {
        let at =
            |i: usize| (index[0] * chunk[0] + i / chunk[1], index[1] * chunk[1] + i % chunk[1]);
        let value = |i: usize| (at(i).0 + 3 * at(i).1) as f64;
        Ok(Tile::new((0..chunk[0] * chunk[1]).map(value).collect(), chunk)?)
    });
    let mean = (&square + &square.t()).mean(..)?;
    let (down, across) = (square.mean(0)?, square.std(1, 0.0)?);
    let all = compute_all_on(&[&mean, &down, &across], &executor)?;
    let half = (side - 1) as f64 / 2.0;
    let mean = all[0].to_array::<f64>()?.sum();
    assert!((mean / (8.0 * half) - 1.0).abs() < 1e-12, "{mean}");
    assert!((all[1].to_array::<f64>()?[5] / (half + 15.0) - 1.0).abs() < 1e-12);
    let wanted = 3.0 * (((side * side - 1) as f64) / 12.0).sqrt();
    assert!(all[2].to_array::<f64>()?.iter().all(|s| (s / wanted - 1.0).abs() < 1e-12));

    let counted = executor.counts()[0].1.peak_bytes;
    assert!(counted <= LIMIT as u64, "the executor counted {counted} bytes");
    if let (Some(before), Some(after)) = (before, peak()) {
        let took = after - before;
        // A fifth beyond the limit, for what is not counted.
        assert!(took <= LIMIT + LIMIT / 5, "{took} bytes, with a limit of {LIMIT}");
    }
    Ok(())
}
