//! Times what moves whole arrays: Zarr read, rows brought to length 1, and written again; and an
//! array of row chunks cut into column chunks, four times what the executor may hold.
//!
//! `cargo run --release --example files_speed [zarr|zstd|rechunk] [SIZE] [MEMORY_MIB]`: 40 SIZE rows
//! of 768 `f32`, and 4 SIZE by 2 SIZE `f64`; SIZE is 8000 unless it is said, 1 GB and 4 GB.

use std::{error::Error, time::Instant};

use windlass_array::{
    Array, Axes, ChunkGrid, DType, Tile,
    io::{Codec, ZarrWrite},
};
use windlass_runtime::execute::{Executor, ExecutorOptions};

type Outcome = Result<(), Box<dyn Error>>;

const RUNS: usize = 3;

fn timed(name: &str, mut run: impl FnMut() -> Outcome) -> Outcome {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let begin = Instant::now();
        run()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    println!("{name:28} best {:.3} s, median {:.3} s; {peak}", times[0], times[RUNS / 2]);
    Ok(())
}

fn zarr(n: usize, codec: Codec, executor: &Executor) -> Outcome {
    let folder = tempfile::tempdir()?;
    let (from, to) = (folder.path().join("x.zarr"), folder.path().join("y.zarr"));
    let options = ZarrWrite::default().chunk([2000, 768]).codec(codec).overwrite(true);
    let rows = Array::arange(0, 40 * n as i64, 1)?.expand_dims(1)?;
    let x = (rows * 7919 + Array::arange(0, 768, 1)? * 104_729) % 1_000_003;
    (x % 8).astype(DType::F32).to_zarr_on(&from, &options, executor)?;
    timed(&format!("zarr read, norm, write, {codec:?}"), || {
        let x = Array::from_zarr(&from)?;
        let norms = x.square()?.sum(Axes::of(1).keepdims())?.sqrt()?;
        Ok((&x / &norms).to_zarr_on(&to, &options, executor)?)
    })
}

fn rechunk(n: usize, executor: &Executor) -> Outcome {
    let (rows, columns) = (4 * n, 2 * n);
    let (height, width) = (n / 20, n / 40);
    timed("rechunk", || {
        let grid = ChunkGrid::regular(&[rows, columns].into(), &[height, columns].into())?;
        let x = Array::from_function(grid, DType::F64, move |chunk| {
            let first = chunk[0] * height;
            let row = |i: usize| (i * 7919 % 100_003) as f64;
            let values = (first..first + height).flat_map(|i| {
                let begin = row(i);
                (0..columns).map(move |j| begin + j as f64)
            });
            Ok(Tile::new(values.collect(), [height, columns])?)
        });
        let centred = Array::map_blocks(&[&x.rechunk([rows, width])?], DType::F64, |tiles, _| {
            let values = tiles[0].to_array::<f64>()?;
            let means = values.mean_axis(ndarray::Axis(0)).ok_or("columns have rows")?;
            Ok(Tile::from_array(values - means))
        })?;
        println!("{}", centred.max(..)?.compute_on::<f64>(executor)?);
        Ok(())
    })
}

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, other: usize| words.get(i).map_or(Ok(other), |w| w.parse());
    let (n, memory) = (number(1, 8000)?, number(2, 1024)? as u64);
    let executor = Executor::new(ExecutorOptions::default().memory(memory << 20))?;
    let only = words.first().map_or("", String::as_str);
    if "zarr".contains(only) {
        zarr(n, Codec::None, &executor)?;
    }
    if "zstd".contains(only) {
        zarr(n, Codec::Zstd { level: 1 }, &executor)?;
    }
    if "rechunk".contains(only) {
        rechunk(n, &executor)?;
    }
    Ok(())
}
