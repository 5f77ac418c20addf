//! The command `windlass`: arguments, sessions, results and reports. All that computes
//! lies behind the crate `windlass`.
//!
//! | module | holds |
//! |---|---|
//! | [`args`] | the command line |
//! | [`commands`] | one file a command; [`shell`] is one of them |
//! | [`engine`] | a session, the statements run in it, and what they did |
//! | [`output`] | formats, tables, files that are complete or absent |
//! | [`record`], [`report`], [`trace`] | `--stats`, `--report`, `--trace` |
//! | [`watch`], [`sample`] | what is recorded of a run while it goes on: devices' work, memory |
//! | [`findings`] | what a report says in words |
//! | [`metrics`] | `--metrics`: what Prometheus scrapes |
//! | [`task_run`] | what a run of task graphs did |
//! | [`progress`], [`interrupt`] | the line on a terminal; Ctrl-C |
//! | [`sqltext`], [`size`], [`error`] | texts of SQL, sizes, messages |

mod args;
mod commands;
mod engine;
mod error;
mod findings;
mod interrupt;
mod metrics;
mod output;
mod progress;
mod record;
mod report;
mod sample;
mod shell;
mod size;
mod sqltext;
mod task_run;
mod trace;
mod watch;

use std::{io::Write, process::ExitCode};

use clap::{CommandFactory, Parser};

use crate::{
    args::{Cli, Command},
    error::Result,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Stack of the thread that parses and plans. 3,000 terms of one condition overflow the usual
/// 8 MiB in a debug build; this is 64 times that, and only what is used is backed by memory.
const STACK: usize = 512 << 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let run = std::thread::Builder::new().name("main".into()).stack_size(STACK);
    match run.spawn(move || run_command(cli)) {
        Ok(thread) => thread.join().unwrap_or(ExitCode::from(PANICKED)),
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "error: cannot start a thread: {e}");
            ExitCode::FAILURE
        }
    }
}

/// What a process exits with whose main thread panicked.
const PANICKED: u8 = 101;

fn run_command(cli: Cli) -> ExitCode {
    keep_freed_memory();
    quiet_drivers();
    log();
    let result = match &cli.metrics {
        Some(address) => metrics::serve(address).and_then(|()| dispatch(cli.command)),
        None => dispatch(cli.command),
    };
    // A statement that was interrupted may not have stopped yet.
    windlass::remove_unfinished();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            if e.is_untold() {
                // Where standard error is closed, the exit code still tells.
                let _ = writeln!(std::io::stderr(), "{e}");
            }
            ExitCode::from(e.code())
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Run(args) => commands::run::run(&args),
        Command::Sql(args) => commands::sql::run(&args),
        Command::Shell(args) => shell::run(&args),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Devices(args) => commands::devices::run(&args),
        Command::Demo(args) => commands::demo::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "windlass", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
    }
}

/// Keeps memory that was freed for what is allocated next. By default mimalloc gives it back
/// to the system after 10 ms, which then clears every page again. Measured by `windlass bench
/// tpch --scale 1`: the 22 questions take 6.9 s of CPU time instead of 8.8 s, with a peak of
/// 825 MiB instead of 654 MiB. The user's own `MIMALLOC_PURGE_DELAY` stays in force.
///
/// Where memory is limited it is given back: the limit is for the process. (TPC-H's q18 at scale
/// 10 under 2 GB then has a peak of 1.92 GB instead of 2.55 GB.)
fn keep_freed_memory() {
    if std::env::args_os().any(|a| a.to_string_lossy().starts_with("--memory")) {
        return;
    }
    // `mi_option_purge_delay` of mimalloc.h, the same in versions 2 and 3; the crate has no
    // name for it. -1 is never.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: this is the start of `main`, and no other thread runs yet.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, -1) };
}

/// Keeps Mesa's device selection layer from asking for a desktop where there is none: it
/// would write a line about that to standard error, which is ours.
fn quiet_drivers() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: this is the start of `main`, and no other thread runs yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Logs to standard error where `WINDLASS_LOG` asks for it, such as `WINDLASS_LOG=debug`.
fn log() {
    if let Ok(filter) = std::env::var("WINDLASS_LOG") {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .try_init();
    }
}
