//! `windlass bench tasks --report` and `--trace`: a run that is recorded task by task.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use windlass::runtime::{
    Event, EventKind,
    bench::{Shape, graph, simulated},
    execute::{Executor, ExecutorOptions},
    graph::TaskOptions,
    schedule::RunError,
    trace::Recorder,
};

use super::args::TaskArgs;
use crate::{
    error::{Error, Result},
    metrics,
    output::write_file,
    record::{milliseconds_since_1970, resident_bytes},
    report,
    sample::{RESIDENT, Sampler, Series},
    size::format_count,
    task_run::TaskRun,
};

/// Most tasks of each graph on threads: they do nothing, and so come faster than a million of
/// them could be recorded.
const MOST: usize = 5_000;

/// Writes what `--report` and `--trace` ask for.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write(args: &TaskArgs, run: &TaskRun) -> Result<()> {
    if let Some(path) = &args.report {
        write_file(path, &report::tasks::page(run))?;
    }
    if let Some(path) = &args.trace {
        write_file(path, &run.trace.to_chrome().to_string())?;
    }
    Ok(())
}

/// Whether a run is to be recorded.
pub(super) fn wanted(args: &TaskArgs) -> bool {
    args.report.is_some() || args.trace.is_some()
}

/// A simulated job of several stages, with its figures.
///
/// # Errors
/// That of the simulated run.
pub(super) fn simulation(args: &TaskArgs) -> Result<(simulated::Simulated, TaskRun), RunError> {
    let (simulated, trace) = simulated::stages(args.tasks, args.workers, args.seed)?;
    let bound = simulated.report.lower_bound;
    let run = TaskRun {
        title: format!("bench tasks, simulated on {} devices", format_count(args.workers as u64)),
        facts: vec![
            ("clock".into(), "virtual: nothing was run".into()),
            ("against the bound of any schedule".into(), {
                format!("× {:.3}", simulated.report.makespan / bound)
            }),
            ("seed".into(), args.seed.to_string()),
        ],
        trace,
        workers: args.workers,
        spilled_bytes: simulated.report.spilled_bytes,
    };
    Ok((simulated, run))
}

/// Every graph once, on the threads of an executor of its own.
///
/// # Errors
/// That of a run; threads that cannot be had.
pub(super) fn on_threads(args: &TaskArgs) -> Result<TaskRun> {
    let no_threads = |e| Error::caused("cannot start threads", &e);
    let mut options = ExecutorOptions::default();
    if let Some(threads) = args.threads {
        options = options.threads(threads as usize);
    }
    let events = options.events.clone();
    let since = Instant::now().saturating_duration_since(events.started());
    let began_ms = milliseconds_since_1970() - since.as_secs_f64() * 1e3;
    let recorder = Recorder::start(&events).map_err(no_threads)?;
    let executor = Arc::new(Executor::new(options).map_err(no_threads)?);
    metrics::watch_executor(&executor);
    let watched = Arc::downgrade(&executor);
    let sampler = Sampler::start(move || {
        let used = watched.upgrade().map(|e| e.gauges().used).unwrap_or_default();
        used.into_iter().chain(resident_bytes().map(|b| (RESIDENT.into(), b))).collect()
    });
    let sampler = sampler.map_err(no_threads)?;
    let tasks = args.tasks.min(MOST);
    for shape in Shape::ALL {
        let graph = graph(shape, tasks, TaskOptions::default());
        executor.run(graph).map_err(|e| Error::caused("the bench failed", &e))?;
    }
    let mut trace = recorder.finish();
    for series in sampler.finish() {
        trace.events.extend(memory(&series, began_ms));
    }
    Ok(TaskRun {
        title: format!("bench tasks, {} of each graph on threads", format_count(tasks as u64)),
        facts: vec![("graphs".into(), Shape::ALL.map(Shape::name).join(", "))],
        trace,
        workers: executor.threads(),
        spilled_bytes: executor.counts().iter().map(|(_, c)| c.spilled_bytes).sum(),
    })
}

/// A series as events; the process's own memory belongs to no device.
fn memory(series: &Series, began_ms: f64) -> impl Iterator<Item = Arc<Event>> {
    let (device, name) = match series.name == RESIDENT {
        true => (String::new(), "resident"),
        false => (series.name.clone(), "memory"),
    };
    series.points.iter().map(move |(at, bytes)| {
        Arc::new(Event {
            at: Duration::from_secs_f64(((at - began_ms) / 1e3).max(0.0)),
            duration: Duration::ZERO,
            kind: EventKind::Memory,
            device: device.clone(),
            lane: 0,
            name: name.into(),
            rows: 0,
            bytes: *bytes,
        })
    })
}
