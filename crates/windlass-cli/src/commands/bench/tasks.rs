//! `windlass bench tasks`: what the task scheduler takes for tasks that do nothing, beside
//! Dask's schedulers; and what it makes of simulated hosts.

use std::{
    io::IsTerminal,
    process::{Command, Stdio},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use windlass::runtime::{
    bench::{Shape, TaskRates, measure, simulated},
    execute::{Executor, ExecutorOptions},
};

use super::{args::TaskArgs, commit, machine, peers::interpreter, recorded};
use crate::{
    engine::note,
    error::{Error, Result},
    metrics,
    output::{TableStyle, print, render_rows, write_file},
    size::{format_bytes, format_count},
};

/// What Dask's processes run.
const SCRIPT: &str = include_str!("../../../../../benches/peers/tasks.py");

/// Dask's schedulers.
const DASK: [&str; 3] = ["threaded", "synchronous", "distributed"];

/// What was measured.
#[derive(Debug, Serialize)]
struct TaskFigures {
    suite: &'static str,
    commit: Option<String>,
    profile: &'static str,
    cores: usize,
    machine: &'static str,
    runs: u32,
    threads: usize,
    rates: Vec<TaskRates>,
    peers: Vec<PeerRates>,
    simulated: Vec<simulated::Simulated>,
}

/// One of Dask's schedulers on one graph.
#[derive(Debug, Serialize)]
struct PeerRates {
    engine: &'static str,
    version: String,
    scheduler: &'static str,
    shape: Shape,
    tasks: usize,
    /// Of each run.
    all_seconds: Vec<f64>,
    /// A task of the fastest run.
    seconds_per_task: f64,
    /// That over ours on threads, all in.
    times_ours: Option<f64>,
}

/// Runs the command.
pub(super) fn run(args: &TaskArgs) -> Result<()> {
    let mut options = ExecutorOptions::default();
    if let Some(threads) = args.threads {
        options = options.threads(threads as usize);
    }
    let failed = |e: windlass::runtime::schedule::RunError| Error::caused("the bench failed", &e);
    let executor = Executor::new(options).map_err(|e| Error::caused("cannot start threads", &e))?;
    let executor = Arc::new(executor);
    metrics::watch_executor(&executor);
    if let Some(name) = &args.memory_of {
        let shape = Shape::ALL.into_iter().find(|s| s.name() == name);
        let shape = shape.ok_or_else(|| Error::usage(format!("no graph {name}"), "see --help"))?;
        let rates = measure(shape, args.tasks, Some(&executor)).map_err(failed)?;
        return print(&serde_json::json!(rates.bytes_per_task).to_string());
    }
    let mut figures = TaskFigures {
        suite: "tasks",
        commit: commit(),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        machine: machine(),
        runs: args.runs,
        threads: executor.threads(),
        rates: Vec::new(),
        peers: Vec::new(),
        simulated: Vec::new(),
    };
    if args.simulate {
        figures.simulated = simulated::all(args.tasks, args.workers, args.seed).map_err(failed)?;
        if recorded::wanted(args) {
            let (simulated, run) = recorded::simulation(args).map_err(failed)?;
            figures.simulated.push(simulated);
            recorded::write(args, &run)?;
        }
    } else {
        for shape in Shape::ALL {
            let memory = memory(args, shape, executor.threads());
            for on in [Some(&*executor), None] {
                let mut best: Option<TaskRates> = None;
                for _ in 0..args.runs {
                    let rates = measure(shape, args.tasks, on).map_err(failed)?;
                    if best.as_ref().is_none_or(|b| rates.run_seconds < b.run_seconds) {
                        best = Some(rates);
                    }
                }
                figures.rates.extend(best.map(|mut best| {
                    best.bytes_per_task = memory.filter(|_| on.is_some());
                    best
                }));
            }
        }
        if args.engines.iter().any(|e| e == "dask") {
            dask(args, &mut figures)?;
        }
        if recorded::wanted(args) {
            recorded::write(args, &recorded::on_threads(args)?)?;
        }
    }
    let style = match std::io::stdout().is_terminal() {
        true => TableStyle::terminal(usize::MAX),
        false => TableStyle::plain(),
    };
    print(&text(&figures, style))?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&figures)
            .map_err(|e| Error::caused("cannot write the figures as JSON", &e))?;
        write_file(path, &(text + "\n"))?;
    }
    Ok(())
}

/// Bytes that a task of a graph takes, measured in a process of its own: this one's allocator
/// keeps what earlier runs gave back.
fn memory(args: &TaskArgs, shape: Shape, threads: usize) -> Option<f64> {
    let output = Command::new(std::env::current_exe().ok()?)
        .args(["bench", "tasks", "--memory-of", shape.name()])
        .args(["--tasks", &args.tasks.to_string(), "--threads", &threads.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    serde_json::from_slice(&output.stdout).ok()?
}

/// Dask's schedulers, each on each graph, in a process of its own.
fn dask(args: &TaskArgs, figures: &mut TaskFigures) -> Result<()> {
    let python = interpreter(args.python.as_deref());
    #[derive(Deserialize)]
    struct Answer {
        absent: Option<String>,
        version: Option<String>,
        #[serde(default)]
        seconds: Vec<f64>,
    }
    for scheduler in DASK {
        for shape in Shape::ALL {
            let spawned = Command::new(&python)
                .args(["-c", SCRIPT, scheduler, shape.name()])
                .args([args.dask_tasks.to_string(), args.runs.to_string()])
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .output();
            let output = match (spawned, &args.python) {
                (Ok(output), _) => output,
                (Err(e), Some(_)) => {
                    return Err(Error::caused(format!("cannot start {}", python.display()), &e));
                }
                (Err(e), None) => {
                    note(&format!("dask is not in this run: cannot start Python: {e}"));
                    return Ok(());
                }
            };
            let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|e| {
                Error::caused(format!("dask's {scheduler} gave no answer for {}", shape.name()), &e)
            })?;
            let fastest = answer.seconds.iter().copied().reduce(f64::min);
            let (Some(version), Some(fastest)) = (answer.version, fastest) else {
                let reason = answer.absent.unwrap_or_else(|| "no reason".into());
                note(&format!("dask's {scheduler} is not in this run: {reason}"));
                break;
            };
            let seconds_per_task = fastest / args.dask_tasks as f64;
            let ours = figures.rates.iter().find(|r| r.shape == shape && r.scheduler == "threads");
            figures.peers.push(PeerRates {
                engine: "dask",
                version,
                scheduler,
                shape,
                tasks: args.dask_tasks,
                all_seconds: answer.seconds,
                seconds_per_task,
                times_ours: ours.map(|r| seconds_per_task / r.seconds_per_task()),
            });
        }
    }
    Ok(())
}

fn text(f: &TaskFigures, style: TableStyle) -> String {
    let commit = f.commit.as_ref().map_or(String::new(), |c| format!(" of {c}"));
    let mut out = format!(
        "tasks, best of {}, {} threads, {} hardware threads, {} build{commit}\n",
        f.runs, f.threads, f.cores, f.profile
    );
    let ns = |s: f64, n: usize| Some(format!("{:.0}", s * 1e9 / n as f64));
    if !f.rates.is_empty() {
        let header = [
            "graph",
            "scheduler",
            "tasks",
            "make ns",
            "run ns",
            "ns a task",
            "bytes a task",
            "of ours",
        ];
        let mut cells: Vec<Vec<Option<String>>> = Vec::new();
        for r in &f.rates {
            cells.push(vec![
                Some(r.shape.name().into()),
                Some(r.scheduler.into()),
                Some(format_count(r.tasks as u64)),
                ns(r.build_seconds, r.tasks),
                ns(r.run_seconds, r.tasks),
                ns(r.build_seconds + r.run_seconds, r.tasks),
                Some(r.bytes_per_task.map_or("-".into(), |b| format!("{b:.0}"))),
                Some("-".into()),
            ]);
        }
        for p in &f.peers {
            cells.push(vec![
                Some(p.shape.name().into()),
                Some(format!("dask {}", p.scheduler)),
                Some(format_count(p.tasks as u64)),
                Some("-".into()),
                ns(p.seconds_per_task, 1),
                ns(p.seconds_per_task, 1),
                Some("-".into()),
                Some(p.times_ours.map_or("-".into(), |t| format!("{t:.0}x"))),
            ]);
        }
        let right = [false, false, true, true, true, true, true, true];
        out += &render_rows(&header.map(str::to_string), &cells, &right, style);
    }
    if !f.simulated.is_empty() {
        let header = [
            "simulated",
            "devices",
            "tasks",
            "makespan s",
            "of the bound",
            "faults",
            "moved",
            "real s",
        ];
        let cells: Vec<_> = f
            .simulated
            .iter()
            .map(|s| {
                vec![
                    Some(s.name.clone()),
                    Some(format_count(s.devices as u64)),
                    Some(format_count(s.report.tasks)),
                    Some(format!("{:.1}", s.report.makespan)),
                    Some(format!("{:.3}", s.report.makespan / s.report.lower_bound)),
                    Some(format_count(s.report.failures)),
                    Some(format_bytes(s.report.moved_bytes)),
                    Some(format!("{:.2}", s.real_seconds)),
                ]
            })
            .collect();
        let right = [false, true, true, true, true, true, true, true];
        out += &render_rows(&header.map(str::to_string), &cells, &right, style);
        if let Some(s) = f.simulated.iter().find(|s| s.devices == 3) {
            let total = s.report.tasks as f64;
            let share = |n: &u64| format!("{:.1}%", *n as f64 / total * 100.0);
            let shares: Vec<_> = s.report.tasks_by_device.iter().map(share).collect();
            out += &format!("{}: they did {} of the tasks\n", s.name, shares.join(", "));
        }
    }
    out
}
