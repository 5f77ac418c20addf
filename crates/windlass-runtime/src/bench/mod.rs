//! Graphs of tasks that do nothing: what the scheduler itself takes; and what it makes of
//! simulated hosts, in [`simulated`].

pub mod simulated;

use std::{fs, time::Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;

use crate::{
    execute::{Executor, run_synchronous},
    graph::{Graph, GraphBuilder, TaskContext, TaskId, TaskOptions, Value},
    schedule::RunError,
};

/// The form of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// No task needs another.
    Independent,
    /// Each task needs the one before.
    Chain,
    /// A tree of pairs, from many to one.
    Tree,
    /// Each task needs up to three of the thousand before it, by chance.
    Random,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Independent, Self::Chain, Self::Tree, Self::Random];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Chain => "chain",
            Self::Tree => "tree",
            Self::Random => "random",
        }
    }
}

/// A function that does nothing, as cheaply as one can be.
fn nothing(_: &TaskContext<'_>) -> Result<Value, crate::graph::BoxError> {
    Ok(Value::new(()))
}

/// A graph of that form, of `n` tasks that do nothing. They share one function. Options apply
/// to all.
pub fn graph(shape: Shape, n: usize, options: TaskOptions) -> Graph {
    let mut g = GraphBuilder::with_capacity(n, 2 * n);
    let group = g.group(shape.name(), options);
    let mut rng = StdRng::seed_from_u64(1);
    let mut used = vec![false; n];
    for i in 0..n {
        let id = |i: usize| TaskId(i as u32);
        let (mut inputs, mut len) = ([TaskId(0); 3], 0);
        match shape {
            Shape::Chain if i > 0 => (inputs[0], len) = (id(i - 1), 1),
            // The first half are leaves; each later one takes the next two.
            Shape::Tree if i > n / 2 => {
                let first = 2 * (i - n / 2 - 1);
                inputs = [id(first), id(first + 1), id(0)];
                len = 2;
            }
            Shape::Random if i > 0 => {
                len = rng.random_range(0..=3);
                inputs = std::array::from_fn(|_| id(i - rng.random_range(1..=i.min(1000))));
            }
            _ => {}
        }
        inputs[..len].iter().for_each(|t| used[t.index()] = true);
        g.task(group, &inputs[..len], nothing);
    }
    let wanted: Vec<TaskId> = (0..n).filter(|&i| !used[i]).map(|i| TaskId(i as u32)).collect();
    g.build(&wanted)
}

/// What a graph took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskRates {
    /// The form of the graph.
    pub shape: Shape,
    /// `threads` or `synchronous`.
    pub scheduler: &'static str,
    /// Number of tasks.
    pub tasks: usize,
    /// Seconds to make the graph.
    pub build_seconds: f64,
    /// Seconds from giving it to the scheduler to having its results.
    pub run_seconds: f64,
    /// Most bytes of the process above those before the graph, by task, where the system
    /// tells.
    pub bytes_per_task: Option<f64>,
}

impl TaskRates {
    /// Seconds of a task, all in.
    pub fn seconds_per_task(&self) -> f64 {
        (self.build_seconds + self.run_seconds) / self.tasks as f64
    }
}

/// Makes and runs a graph, on the threads of an executor or on this thread alone.
///
/// # Errors
/// That of the run.
pub fn measure(shape: Shape, n: usize, executor: Option<&Executor>) -> Result<TaskRates, RunError> {
    let before = reset_peak();
    let began = Instant::now();
    let graph = graph(shape, n, TaskOptions::default());
    let build_seconds = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let results = match executor {
        Some(executor) => executor.run(graph)?,
        None => run_synchronous(graph)?,
    };
    let run_seconds = began.elapsed().as_secs_f64();
    let after = peak();
    drop(results);
    Ok(TaskRates {
        shape,
        scheduler: if executor.is_some() { "threads" } else { "synchronous" },
        tasks: n,
        build_seconds,
        run_seconds,
        bytes_per_task: before.zip(after).map(|(b, a)| a.saturating_sub(b) as f64 / n as f64),
    })
}

/// Sets the process's peak of resident memory to what it has now; that, in bytes.
fn reset_peak() -> Option<u64> {
    // "5" resets the peak; see proc(5).
    fs::write("/proc/self/clear_refs", "5").ok()?;
    peak()
}

/// The process's peak of resident memory, in bytes.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::ExecutorOptions;

    #[test]
    fn every_form_has_all_its_tasks_and_runs() {
        let executor = Executor::new(ExecutorOptions::default().threads(2)).unwrap();
        for shape in Shape::ALL {
            for n in [1, 2, 3, 100, 1001] {
                assert_eq!(graph(shape, n, TaskOptions::default()).len(), n);
                assert_eq!(measure(shape, n, Some(&executor)).unwrap().tasks, n);
                measure(shape, n, None).unwrap();
            }
        }
        let ran = executor.counts()[0].1.tasks;
        assert_eq!(ran, 4 * (1 + 2 + 3 + 100 + 1001), "none was left out");
    }
}
