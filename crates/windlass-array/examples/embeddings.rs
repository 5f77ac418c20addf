//! Embeddings brought to length 1: a Zarr array of rows of 768 `f32` is written chunk by chunk,
//! read, normalised and written again, and checked; within a limit of memory that is far less
//! than the array takes.
//!
//! `cargo run --release --example embeddings -- [--rows N] [--memory MIB] [--chunk-rows N]
//! [--path FOLDER] [--codec none|zstd]`. Ten million rows are 30.7 GB, twice: the folder needs
//! room for both arrays. 100,000 rows, 256 MiB, chunks of 2,000 rows and a temporary folder
//! unless something else is said.

use std::{error::Error, path::PathBuf, time::Instant};

use windlass_array::{
    Array, Axes, DType, compute_all_on,
    io::{Codec, ZarrWrite},
};
use windlass_runtime::execute::{Executor, ExecutorOptions};

const COLUMNS: usize = 768;

/// What was said.
struct Options {
    rows: usize,
    memory: u64,
    chunk_rows: usize,
    path: Option<PathBuf>,
    codec: Codec,
}

const USAGE: &str = "\
options: [--rows N] [--memory MIB] [--chunk-rows N] [--path FOLDER] [--codec none|zstd]
unless said otherwise: 100000 rows, 256 MiB, chunks of 2000 rows, a temporary folder, none";

/// What was said; nothing where help was asked for.
fn options() -> Result<Option<Options>, Box<dyn Error>> {
    let mut options = Options {
        rows: 100_000,
        memory: 256 << 20,
        chunk_rows: 2000,
        path: None,
        codec: Codec::None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        if name == "--help" {
            return Ok(None);
        }
        let value = words.next().ok_or_else(|| format!("{name} needs a value; {USAGE}"))?;
        let number = || value.parse::<usize>().map_err(|e| format!("{name} {value}: {e}"));
        match name.as_str() {
            "--rows" => options.rows = number()?,
            "--memory" => options.memory = (number()? as u64) << 20,
            "--chunk-rows" => options.chunk_rows = number()?,
            "--path" => options.path = Some(value.into()),
            "--codec" if value == "none" => options.codec = Codec::None,
            "--codec" if value == "zstd" => options.codec = Codec::Zstd { level: 1 },
            _ => return Err(format!("there is no {name} {value}; {USAGE}").into()),
        }
    }
    Ok(Some(options))
}

/// The most that this process had in memory so far, in MiB, where the system tells.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? / 1024)
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(options) = options()? else {
        println!("{USAGE}");
        return Ok(());
    };
    let temporary = tempfile::tempdir()?;
    let folder = options.path.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    let (from, to) = (folder.join("embeddings.zarr"), folder.join("unit.zarr"));
    let executor = Executor::new(ExecutorOptions::default().memory(options.memory))?;
    let zarr = ZarrWrite::default()
        .chunk([options.chunk_rows.min(options.rows).max(1), COLUMNS])
        .codec(options.codec)
        .overwrite(true);
    let gigabytes = (options.rows * COLUMNS * 4) as f64 / 1e9;
    let step = |name: &str, bytes: f64, begin: Instant| {
        let seconds = begin.elapsed().as_secs_f64();
        let peak = peak().map_or(String::new(), |p| format!(", at most {p} MiB resident"));
        println!("{name:28} {seconds:8.3} s {:7.3} GB/s{peak}", bytes / seconds);
    };

    let begin = Instant::now();
    let x = Array::random_normal([options.rows, COLUMNS], (0.0, 1.0), 7)?.astype(DType::F32);
    x.to_zarr_on(&from, &zarr, &executor)?;
    step("generate and write", gigabytes, begin);

    let begin = Instant::now();
    let x = Array::from_zarr(&from)?;
    let norms = x.square()?.sum(Axes::of(1).keepdims())?.sqrt()?;
    (&x / &norms).to_zarr_on(&to, &zarr, &executor)?;
    step("read, normalise and write", 2.0 * gigabytes, begin);

    let begin = Instant::now();
    let unit = Array::from_zarr(&to)?;
    let norms = unit.square()?.sum(1)?.sqrt()?;
    let ends = compute_all_on(&[&norms.min(..)?, &norms.max(..)?], &executor)?;
    let [least, most] = [&ends[0], &ends[1]].map(|e| e.to_array::<f32>().map(|a| a.sum()));
    let (least, most) = (least?, most?);
    step("read and check", gigabytes, begin);
    println!("norms from {least} to {most}");
    // Sums of 768 squares in 32 bits, and the division, err by less than this.
    if (least - 1.0).abs() > 1e-4 || (most - 1.0).abs() > 1e-4 {
        return Err("the rows are not of length 1".into());
    }
    if options.path.is_none() {
        temporary.close()?;
    }
    Ok(())
}
