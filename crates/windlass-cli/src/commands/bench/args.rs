//! The options of `windlass bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use windlass::DeviceSpec;

use crate::args::{SessionArgs, parse_device};

/// Options of `windlass bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Which suite.
    #[command(subcommand)]
    pub(crate) suite: SuiteArgs,
}

/// The suites.
#[derive(Debug, Subcommand)]
pub(crate) enum SuiteArgs {
    /// The 22 questions of TPC-H, with the specification's validation parameters
    Tpch {
        /// Scale factor: 1 is 6 million line items
        #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = parse_scale)]
        scale: f64,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// The 10 group-by and 5 join questions of db-benchmark
    Dbbench {
        /// Rows of the table grouped and of the table joined
        #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = parse_rows)]
        rows: u64,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Every kernel operation: rates, the share of the copy bandwidth, and other libraries' time
    Kernels(KernelArgs),
    /// The task scheduler: what a task costs that does nothing, and simulated hosts
    Tasks(TaskArgs),
    /// Operations on whole arrays
    Arrays(ArrayArgs),
}

/// Options of `windlass bench arrays`.
#[derive(Debug, Args)]
pub(crate) struct ArrayArgs {
    /// Rows, and columns, of the arrays of 64-bit floats
    #[arg(long, value_name = "N", default_value_t = 8_000, value_parser = parse_side)]
    pub(crate) size: usize,
    /// Rows, and columns, of the matrix that is multiplied
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = parse_side)]
    pub(crate) matrix: usize,
    /// Rows of the matrix of 64 columns that is factored
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = parse_tasks)]
    pub(crate) rows: usize,
    /// Chunks of one element that are summed
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = parse_tasks)]
    pub(crate) chunks: usize,
    /// The same for Dask, which takes a fifth of a millisecond for each
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = parse_tasks)]
    pub(crate) dask_chunks: usize,
    /// Only operations with this in their name
    #[arg(long, value_name = "PART")]
    pub(crate) only: Option<String>,
    /// Runs of each operation by each engine; the fastest counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Devices that compute beside the host's cores, from whose memory inputs are read, and in
    /// whose memory results stay: cuda:0, wgpu:0, cuda-emulated:0; the host computes alone with
    /// cpu
    #[arg(long, value_name = "SPEC", default_value = "cpu", value_parser = parse_device)]
    pub(crate) device: DeviceSpec,
    /// Engines to run beside ours, of numpy, dask, cupy (its arrays lie in the GPU's memory);
    /// none runs ours alone
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "numpy,dask", value_parser = ["numpy", "dask", "cupy", "none"])]
    pub(crate) engines: Vec<String>,
    /// The Python that has them [default: .tools/python/bin/python, else python3]
    #[arg(long, value_name = "PATH")]
    pub(crate) python: Option<PathBuf>,
    /// Write every figure as one JSON object
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
}

/// Options of `windlass bench tasks`.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// Tasks of each graph
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = parse_tasks)]
    pub(crate) tasks: usize,
    /// Threads of the executor [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// Runs of each graph; the fastest counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Schedulers to run beside ours: dask, or none
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "none", value_parser = ["dask", "none"])]
    pub(crate) engines: Vec<String>,
    /// Tasks of Dask's graphs: it takes up to milliseconds for each
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = parse_tasks)]
    pub(crate) dask_tasks: usize,
    /// Simulate hosts under virtual time instead
    #[arg(long)]
    pub(crate) simulate: bool,
    /// Simulated workers
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = parse_tasks, requires = "simulate")]
    pub(crate) workers: usize,
    /// What all chance of the simulation is drawn by
    #[arg(long, value_name = "N", default_value_t = 1, requires = "simulate")]
    pub(crate) seed: u64,
    /// The Python that has Dask [default: .tools/python/bin/python, else python3]
    #[arg(long, value_name = "PATH")]
    pub(crate) python: Option<PathBuf>,
    /// Print the bytes that a task of one graph takes, which only a process that did nothing
    /// before can tell
    #[arg(long, value_name = "GRAPH", hide = true)]
    pub(crate) memory_of: Option<String>,
    /// Write every figure as one JSON object
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
    /// Record a run task by task, and write a page on it: with --simulate a job of several stages
    /// on the simulated workers, else every graph with up to 5,000 tasks
    #[arg(long, value_name = "OUT.html")]
    pub(crate) report: Option<PathBuf>,
    /// Write the recorded run as a Chrome trace, for ui.perfetto.dev
    #[arg(long, value_name = "OUT.json")]
    pub(crate) trace: Option<PathBuf>,
}

/// Options of `windlass bench kernels`.
#[derive(Debug, Args)]
pub(crate) struct KernelArgs {
    /// Devices to measure one after the other: auto, cpu, cuda, cuda:N, wgpu, wgpu:N, or a comma
    /// list of these
    #[arg(long, value_name = "SPEC", default_value = "auto", value_parser = parse_device)]
    pub(crate) device: DeviceSpec,
    /// Rows of each bench [default: 10^7 on the host, 10^8 on a large GPU, fewer on software]
    #[arg(long, value_name = "N", value_parser = parse_kernel_rows)]
    pub(crate) rows: Option<usize>,
    /// Only benches with one of these parts in their name, such as sort,join/inner; cliff runs
    /// the series over numbers of groups and build rows, which nothing else does
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Timed runs of each bench and of each reference; the fastest counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Write every figure as one JSON object
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with ratios, shares and series drawn
    #[arg(long, value_name = "OUT.html")]
    pub(crate) report: Option<PathBuf>,
    /// List the benches and what they must read and write, and run none
    #[arg(long)]
    pub(crate) list: bool,
}

/// Options of every suite of queries.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommonArgs {
    /// Engines to run beside ours, of duckdb, polars, datafusion, dask; none runs ours alone
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "duckdb,polars,datafusion,dask",
        value_parser = ["duckdb", "polars", "datafusion", "dask", "none"]
    )]
    pub(crate) engines: Vec<String>,
    /// Questions to run, such as 1,6,18 or q1,j5 [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) queries: Vec<String>,
    /// Runs of each question by each engine; the fastest counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Folder that keeps the generated data [default: the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The Python that has the peers [default: .tools/python/bin/python, else python3]
    #[arg(long, value_name = "PATH")]
    pub(crate) python: Option<PathBuf>,
    /// Write every figure as one JSON object
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with the ratios drawn
    #[arg(long, value_name = "OUT.html")]
    pub(crate) report: Option<PathBuf>,
    /// Keep our rows of each question in this folder as QUESTION.arrow
    #[arg(long, value_name = "DIR")]
    pub(crate) results: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

fn parse_scale(text: &str) -> Result<f64, String> {
    // The generator of the data takes scales from 0.001 on; 10,000 is 10 TB.
    match text.parse::<f64>() {
        Ok(s) if (0.001..=10_000.0).contains(&s) => Ok(s),
        _ => Err("a scale factor is a number from 0.001 to 10000, such as 0.01 or 10".to_string()),
    }
}

fn parse_rows(text: &str) -> Result<u64, String> {
    // Keys are 32-bit integers, as in db-benchmark.
    match text.replace('_', "").parse::<u64>() {
        Ok(n) if (1_000..=1_000_000_000).contains(&n) => Ok(n),
        _ => Err("rows are a whole number from 1000 to 1000000000".to_string()),
    }
}

fn parse_tasks(text: &str) -> Result<usize, String> {
    // A graph has at most 2^32 inputs, and a random one takes up to three a task.
    match text.replace('_', "").parse::<usize>() {
        Ok(n) if (1..=1_000_000_000).contains(&n) => Ok(n),
        _ => Err("that is a whole number from 1 to 1000000000".to_string()),
    }
}

fn parse_side(text: &str) -> Result<usize, String> {
    // The largest is 80 GB.
    match text.replace('_', "").parse::<usize>() {
        Ok(n) if (1..=100_000).contains(&n) => Ok(n),
        _ => Err("that is a whole number from 1 to 100000".to_string()),
    }
}

fn parse_kernel_rows(text: &str) -> Result<usize, String> {
    // Row numbers of a batch have 31 bits, and tables of joins half of that.
    match text.replace('_', "").parse::<usize>() {
        Ok(n) if (1..=1 << 30).contains(&n) => Ok(n),
        _ => Err("rows are a whole number from 1 to 1073741824".to_string()),
    }
}
