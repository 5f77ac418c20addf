//! Tasks in worker processes: one that ends its process by a fault, by a signal, or for want of
//! memory, ends one try and not the job.
//!
//! The workers are this program, started again. Both sides make the same list of [`Functions`]
//! at the start of `main`; then a worker stays in [`Functions::serve_if_worker`], and calls
//! those that it is asked for. What is registered is called like any other delayed function:
//!
//! ```standalone_crate
//! use windlass_runtime::{
//!     delayed::delayed,
//!     processes::{Functions, ProcessExecutor, ProcessOptions},
//! };
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut functions = Functions::new();
//!     let words = functions.register("words", |t: &String| t.split_whitespace().count());
//!     let sum = functions.register_list("sum", |all: &[std::sync::Arc<usize>]| {
//!         all.iter().map(|n| **n).sum::<usize>()
//!     });
//!     functions.serve_if_worker(); // a worker does not get past this line
//!
//!     let executor = ProcessExecutor::new(ProcessOptions::default().workers(2), &functions)?;
//!     let texts = ["a crash ends", "one try", "and not the job"].map(String::from);
//!     let total = sum.call(words.map(texts));
//!     // What is not registered runs in this process.
//!     let text = delayed(|n: &usize| format!("{n} words")).call((total,));
//!     assert_eq!(*text.compute_on(&executor)?, "9 words");
//!     Ok(())
//! }
//! ```
//!
//! The executor is the one that runs graphs on threads: the same scheduler, retries, limits of
//! memory and events. A thread whose task can run in another process sends its inputs to a worker
//! and waits; results come back as bytes, which the executor keeps, passes on to other workers as
//! they are, writes to disk where memory is short, and decodes only for functions and callers in
//! its own process. A worker's death loses nothing but the task that it ran, which is tried again
//! in a new one, [`ProcessOptions::crashes_allowed`] times beside its own retries.
//!
//! | module | holds |
//! |---|---|
//! | `functions` | [`Functions`]: by name, with arguments and results as bytes |
//! | `serve` | the worker's side |
//! | `worker` | one worker process: its start, what is sent and received, its end |
//! | `pool` | the workers of an executor, and the calls of tasks |
//! | `channel` | sockets between the two sides |
//! | `frame` | what passes there |
//! | `words` | what workers write to standard error |
//! | `memory` | what memory processes take |

mod channel;
mod frame;
mod functions;
mod memory;
mod pool;
mod serve;
mod words;
mod worker;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use thiserror::Error;

pub(crate) use self::{functions::Function, pool::Pool};
pub use functions::{Functions, List, PortableArguments};

use self::{pool::PoolOptions, worker::Start};
use crate::{
    delayed::RunGraph,
    events::Events,
    execute::{Executor, ExecutorOptions, JobHandle, JobResult},
    futures::Client,
    graph::Graph,
    schedule::{Ending, device::DeviceCounts},
};

/// How an executor runs tasks in worker processes.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// Number of workers, and of threads, which run what is not registered.
    pub workers: usize,
    /// Bytes of memory that a worker may have when it has done a task: one with more is ended,
    /// and a new one takes its place. Without it, any.
    pub worker_memory: Option<u64>,
    /// Bytes that results and running tasks may take, by what is known of them; without it, any.
    pub memory: Option<u64>,
    /// The folder for results that memory has no room for; without it, none is written.
    pub spill: Option<PathBuf>,
    /// Workers that may die of one task: of one more, the task fails. Tries that end so do not
    /// count among the task's retries.
    pub crashes_allowed: u8,
    /// How long a worker may take to start.
    pub start_timeout: Duration,
    /// The program that workers are, and its arguments; without it, this program with none. It
    /// has to register the same functions and to serve them, in the process that is started: a
    /// script that starts the program ends with `exec`.
    pub command: Option<(PathBuf, Vec<String>)>,
    /// Whether to talk with workers over 127.0.0.1 where there is something better.
    pub over_tcp: bool,
    /// Where tasks, and deaths of workers, are told about.
    pub events: Events,
}

impl Default for ProcessOptions {
    /// A worker for each core that this process may use, no limits of memory, the system's
    /// temporary folder, three crashes, ten seconds for a start.
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            worker_memory: None,
            memory: None,
            spill: Some(std::env::temp_dir()),
            crashes_allowed: 3,
            start_timeout: Duration::from_secs(10),
            command: None,
            over_tcp: false,
            events: Events::new(),
        }
    }
}

impl ProcessOptions {
    /// The same with a number of workers.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.clamp(1, u16::MAX as usize);
        self
    }

    /// The same with a limit, in bytes, of a worker's memory between tasks.
    #[must_use]
    pub fn worker_memory(mut self, bytes: u64) -> Self {
        self.worker_memory = Some(bytes);
        self
    }

    /// The same with a limit, in bytes, of what results and running tasks take.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// The same with a number of workers that may die of one task.
    #[must_use]
    pub fn crashes_allowed(mut self, crashes: u8) -> Self {
        self.crashes_allowed = crashes;
        self
    }

    /// The same with a limit for the start of a worker.
    #[must_use]
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }

    /// The same with workers of another program, or of this one with arguments.
    #[must_use]
    pub fn command<A: Into<String>>(
        mut self,
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        self.command = Some((program.as_ref().to_path_buf(), arguments));
        self
    }
}

/// Why workers could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// This process is a worker.
    #[error(
        "this process is a worker itself, and a worker starts none: call \
         `functions.serve_if_worker()` at the start of `main`, where a worker stays, and leave \
         executors of processes to the program's own side"
    )]
    InWorker,
    /// This process never asked whether it is a worker, so its workers would not either.
    #[error(
        "`functions.serve_if_worker()` was not called: workers are this program, started again, \
         and it is there that they do their work. Call it at the start of `main`, when the \
         functions are registered"
    )]
    NotServed,
    /// The system does not start the program.
    #[error("worker {worker} could not be started, which is the program {program}: {source}")]
    Spawn {
        /// The worker's number.
        worker: u64,
        /// The program's path.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// The channel to a worker failed.
    #[error("the channel to worker {worker} failed: {source}")]
    Channel {
        /// The worker's number.
        worker: u64,
        /// The system's error.
        source: io::Error,
    },
    /// A worker ended before it was one.
    #[error(
        "worker {worker} {ending} before it answered: does its program call \
         `functions.serve_if_worker()` at the start of `main`?{}", said(.words)
    )]
    Ended {
        /// The worker's number.
        worker: u64,
        /// How it ended.
        ending: Ending,
        /// The end of what it wrote to standard error.
        words: String,
    },
    /// A worker runs, and does not answer.
    #[error(
        "worker {worker} did not answer within {limit:?}: does its program call \
         `functions.serve_if_worker()` at the start of `main`?{}", said(.words)
    )]
    Silent {
        /// The worker's number.
        worker: u64,
        /// The limit.
        limit: Duration,
        /// The end of what it wrote to standard error.
        words: String,
    },
    /// What answers is no worker of this version.
    #[error("worker {worker} answered with what is no greeting: {why}")]
    Greeting {
        /// The worker's number.
        worker: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A worker has other functions.
    #[error("worker {worker} registered other functions than this process: {differ}")]
    Functions {
        /// The worker's number.
        worker: u64,
        /// What each side has beside the other.
        differ: String,
    },
    /// The start was given up, because nobody wants the worker any more.
    #[error("the executor was shut down, or the job cancelled, while a worker was started")]
    Stopped,
    /// The system gives no threads, or no folder for results.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(" Its last words were: {words}") }
}

/// Runs graphs like an [`Executor`], with those tasks in worker processes whose functions are
/// among its [`Functions`]. Clones share the workers; with the last of them, and of its
/// [`Client`]s, the workers end, and jobs that are not done end with
/// [`RunError::ShutDown`](crate::schedule::RunError::ShutDown).
#[derive(Debug, Clone)]
pub struct ProcessExecutor {
    executor: Arc<Executor>,
}

impl ProcessExecutor {
    /// Starts the workers, and waits until each has answered.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(options: ProcessOptions, functions: &Functions) -> Result<Self, StartError> {
        if serve::is_worker() {
            return Err(StartError::InWorker);
        }
        let (program, arguments) = match options.command {
            Some(command) => command,
            None if serve::has_asked() => (std::env::current_exe()?, Vec::new()),
            None => return Err(StartError::NotServed),
        };
        let (limit, over_tcp) = (options.start_timeout, options.over_tcp);
        let workers = options.workers.clamp(1, u16::MAX as usize);
        let pool = PoolOptions {
            workers,
            start: Start { program, arguments, limit, over_tcp },
            worker_memory: options.worker_memory,
            crashes_allowed: usize::from(options.crashes_allowed),
            events: options.events.clone(),
        };
        let pool = Pool::new(pool, functions)?;
        let mut threads = ExecutorOptions::default().threads(workers);
        threads.devices.iter_mut().for_each(|d| d.memory = options.memory);
        (threads.spill, threads.events) = (options.spill, options.events);
        let executor = Arc::new(Executor::with_pool(threads, Some(pool))?);
        Ok(Self { executor })
    }

    /// Runs a graph and waits for it: the wanted results, in their order.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn run(&self, graph: Graph) -> JobResult {
        self.executor.run(graph)
    }

    /// Begins a graph. Cancelled, or dropped, it ends the workers that run its tasks.
    pub fn submit(&self, graph: Graph) -> JobHandle {
        self.executor.submit(graph)
    }

    /// A client that begins tasks here.
    pub fn client(&self) -> Client {
        Client::new(Arc::clone(&self.executor))
    }

    /// The workers that there are now: the number of each, and its process's with the system.
    pub fn workers(&self) -> Vec<(u64, u32)> {
        self.executor.pool().map(Pool::pids).unwrap_or_default()
    }

    /// What was done so far.
    pub fn counts(&self) -> DeviceCounts {
        let first = self.executor.counts().into_iter().next();
        first.map(|(_, counts)| counts).unwrap_or_default()
    }
}

impl RunGraph for ProcessExecutor {
    fn run_graph(&self, graph: Graph) -> JobResult {
        self.run(graph)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_never_asked_is_told_before_anything_is_started() {
        let error = ProcessExecutor::new(ProcessOptions::default(), &Functions::new()).unwrap_err();
        assert!(matches!(error, StartError::NotServed));
        assert!(error.to_string().contains("Call it at the start of `main`"), "{error}");
    }
}
