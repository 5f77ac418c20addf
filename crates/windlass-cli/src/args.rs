//! The command line: commands, their options, and the checks that need no session.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use windlass::{DeviceSpec, device::fault::FaultPlan};

use crate::{
    commands::bench::args::BenchArgs,
    metrics::{Address, parse_address},
    size::parse_size,
};

const EXAMPLES: &str = "\
Examples:
  windlass sql \"select carrier, count(*) from f group by 1\" --table f=flights.csv.gz
  windlass sql \"select * from 'data/*.parquet' limit 5\" --format json
  windlass run etl.sql --device auto --stats json
  windlass explain --placement \"select sum(x) from 'data/*.parquet'\"
  windlass demo

Exit codes: 0 done, 1 the job failed, 2 wrong usage, 130 interrupted.";

/// Dataframes and SQL on CPU, CUDA and WGSL devices.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Tell Prometheus what the process does, at http://ADDR/metrics while it runs; ADDR is
    /// HOST:PORT, such as 127.0.0.1:9464
    #[arg(long, global = true, value_name = "ADDR", value_parser = parse_address, help_heading = "Reports")]
    pub(crate) metrics: Option<Address>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a job: a file of SQL statements
    Run(RunArgs),
    /// Run a query and print or write its result
    Sql(SqlArgs),
    /// Type SQL, or feed statements from standard input
    Shell(ShellArgs),
    /// Show the plan of a query, and where each operator runs and why
    Explain(ExplainArgs),
    /// List the devices of this host, and what is missing
    Devices(DevicesArgs),
    /// Run the main job on real data: flights of 2013 from New York
    Demo(DemoArgs),
    /// Measure suites of queries beside the other engines installed, or the kernels
    Bench(BenchArgs),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Options of every command that has a session.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Devices and memory")]
pub(crate) struct SessionArgs {
    /// Devices to use: auto, cpu, cuda, cuda:N, wgpu, wgpu:N, or a comma list of these
    #[arg(long, value_name = "SPEC", default_value = "auto", value_parser = parse_device)]
    pub(crate) device: DeviceSpec,
    /// Run every operator that can run there on the first device named, whatever the cost
    #[arg(long, hide = true)]
    pub(crate) force_device: bool,
    /// Most host memory to use, such as 512MB or 2GiB; more spills to disk
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory: Option<usize>,
    /// Most memory to use of each device
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) device_memory: Option<usize>,
    /// Folder for what spills to disk [default: the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) temp_dir: Option<PathBuf>,
    /// Most disk space for what spills
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) temp_limit: Option<usize>,
    /// Let calls of the devices fail, to rehearse it: lost=100,only=1 or alloc_rate=0.01,seed=7
    #[arg(long, value_name = "PLAN", value_parser = FaultPlan::parse, hide_short_help = true)]
    pub(crate) device_faults: Option<FaultPlan>,
}

/// What is told about a run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reports")]
pub(crate) struct ReportArgs {
    /// Write a page on the run: what stands out, timelines, memory, operators, placement, plans
    #[arg(long, value_name = "OUT.html")]
    pub(crate) report: Option<PathBuf>,
    /// Write operators, devices' work and memory over time as a Chrome trace, for
    /// ui.perfetto.dev
    #[arg(long, value_name = "OUT.json")]
    pub(crate) trace: Option<PathBuf>,
    /// Print one object of statistics on standard error at the end
    #[arg(long, value_name = "FORMAT")]
    pub(crate) stats: Option<StatsFormat>,
    /// Show no progress and no messages but errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Options of `windlass run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The job: SQL statements, each ended by a semicolon; - reads standard input
    #[arg(value_name = "JOB.sql")]
    pub(crate) job: PathBuf,
    /// How results of queries are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// Options of `windlass sql`.
#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    /// The query; a file can stand in FROM as a quoted path or glob
    #[arg(value_name = "QUERY", allow_hyphen_values = true, value_parser = parse_query)]
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    /// How the result is printed or written [default: by the output's extension, else table]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Write the result to this file instead of standard output
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// A query may begin with a comment, which looks like an option; an option is one word.
fn parse_query(text: &str) -> Result<String, String> {
    if text.len() > 1 && text.starts_with('-') && !text.contains(char::is_whitespace) {
        return Err(format!("unexpected argument '{text}'"));
    }
    Ok(text.to_string())
}

/// Tables given on the command line.
#[derive(Debug, Clone, Args)]
pub(crate) struct TableArgs {
    /// Name a file, folder, glob or URL as a table; may be repeated
    #[arg(long = "table", short, value_name = "NAME=PATH", value_parser = parse_table)]
    pub(crate) tables: Vec<NamedPath>,
}

/// Options of `windlass shell`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// Options of `windlass explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The query
    #[arg(value_name = "QUERY", allow_hyphen_values = true, value_parser = parse_query)]
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    /// Show each operator's device, its estimated cost on each device, and the reason
    #[arg(long)]
    pub(crate) placement: bool,
    /// Run the query and show rows and time of each operator
    #[arg(long)]
    pub(crate) analyze: bool,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = ExplainFormat::Text)]
    pub(crate) format: ExplainFormat,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

/// Options of `windlass devices`.
#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    /// Measure transfer rates, kernel rates and launch times, and keep them
    #[arg(long)]
    pub(crate) calibrate: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `windlass demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Folder with the five tables of nycflights13 [default: data/nycflights13 of the sources]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Folder to write to
    #[arg(long, short, value_name = "DIR", default_value = "windlass-demo")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// How a result is printed or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table to read
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a row, one row a line
    Json,
    /// Arrow IPC: the stream format on standard output, the file format in a file
    Arrow,
    /// Parquet
    Parquet,
}

impl Format {
    /// Whether a terminal would show garbage.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }
}

/// How `explain` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    /// A tree to read
    Text,
    /// One JSON object
    Json,
}

/// How `--stats` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatsFormat {
    /// One JSON object
    Json,
}

/// A table's name and where its data lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPath {
    /// The name in SQL.
    pub(crate) name: String,
    /// Path, folder, glob or URL.
    pub(crate) path: String,
}

fn parse_table(text: &str) -> Result<NamedPath, String> {
    match text.split_once('=') {
        Some((name, path)) if !name.trim().is_empty() && !path.is_empty() => {
            Ok(NamedPath { name: name.trim().to_string(), path: path.to_string() })
        }
        _ => Err("write NAME=PATH, such as flights=data/flights.csv.gz".to_string()),
    }
}

pub(crate) fn parse_device(text: &str) -> Result<DeviceSpec, String> {
    text.parse::<DeviceSpec>().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn tables_are_name_and_path() {
        let t = parse_table("f=s3://bucket/a=1/*.parquet").unwrap();
        assert_eq!((t.name.as_str(), t.path.as_str()), ("f", "s3://bucket/a=1/*.parquet"));
        for wrong in ["f", "=x", "f=", ""] {
            assert!(parse_table(wrong).unwrap_err().contains("NAME=PATH"), "{wrong}");
        }
    }
}
