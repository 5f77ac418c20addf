//! Graphs on one thread: the caller's.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use super::{JobResult, worker};
use crate::{
    graph::{DeviceKind, Graph, TaskId, Value},
    processes::Pool,
    schedule::{
        Cause, DeviceProfile, RunError,
        core::{Outcome, Scheduler},
        job::Job,
    },
};

/// Runs a graph on this thread, one task after another, in the order of the scheduler.
/// Time-outs are tested when a task is done, as nothing can interrupt it.
///
/// # Errors
/// As [`Executor::run`](super::Executor::run).
pub fn run_synchronous(graph: Graph) -> JobResult {
    run_here(graph, vec![DeviceProfile::new("cpu", DeviceKind::Cpu)], None)
}

/// Runs a graph on this thread, in the names of some devices. What can run in other processes
/// does so, where there are some.
pub(super) fn run_here(
    graph: Graph,
    devices: Vec<DeviceProfile>,
    pool: Option<&Pool>,
) -> JobResult {
    let graph = Arc::new(graph);
    let mut scheduler = Scheduler::new(None);
    scheduler.deaths_allowed = pool.map_or(0, Pool::deaths_allowed);
    let names: Vec<_> = devices.iter().map(|d| Arc::clone(&d.name)).collect();
    for device in devices {
        scheduler.add_device(DeviceProfile { memory: None, link: None, ..device });
    }
    let id = scheduler.submit(Job::new(Arc::clone(&graph)));
    let mut values: Vec<Option<Value>> = vec![None; graph.len()];
    let (cancelled, began) = (AtomicBool::new(false), Instant::now());
    let mut inputs: Vec<Value> = Vec::new();
    let nanos = || began.elapsed().as_nanos() as u64;
    while let Some(a) = (0..names.len()).find_map(|d| scheduler.next(d, nanos())) {
        let words = graph.input_words(a.task);
        inputs.extend(words.iter().filter_map(|&i| values[i as usize].clone()));
        let attempt = u32::from(scheduler.job(id).attempts[a.task as usize]);
        let started = Instant::now();
        let result = worker::try_task(
            &graph,
            a.task,
            &inputs,
            (attempt, &names[a.device as usize]),
            &cancelled,
            pool,
        );
        inputs.clear();
        let timeout = graph.options(TaskId(a.task)).timeout;
        let late = timeout.filter(|limit| started.elapsed() > *limit);
        let outcome = match result {
            Ok(_) if late.is_some() => Outcome::Failed(Cause::TimedOut(late.unwrap_or_default())),
            Ok(value) => {
                let bytes = value.bytes();
                values[a.task as usize] = Some(value);
                Outcome::Done { bytes, spillable: false }
            }
            Err(cause) => Outcome::Failed(cause),
        };
        scheduler.finish(&a, outcome, nanos());
        for (_, task) in scheduler.effects.freed.drain(..) {
            values[task as usize] = None;
        }
    }
    scheduler.job(id).ended.clone().unwrap_or(Err(RunError::ShutDown))?;
    Ok(graph.wanted().iter().filter_map(|w| values[w.index()].clone()).collect())
}
