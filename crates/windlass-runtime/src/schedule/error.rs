//! Why a graph was not run to its end.

use std::{fmt, sync::Arc, time::Duration};

use thiserror::Error;

use super::death::WorkerDeath;
use crate::graph::BoxError;

/// Why one try of a task came to nothing.
#[derive(Debug, Clone)]
pub enum Cause {
    /// Its function said so.
    Error(Arc<dyn std::error::Error + Send + Sync>),
    /// Its function panicked, with that message.
    Panicked(String),
    /// It took longer than it may.
    TimedOut(Duration),
    /// Its result could not be written to disk, or read back.
    Spill(String),
    /// The worker process died in which it ran: once, or in the end as often as told.
    Crashed(Vec<Arc<WorkerDeath>>),
}

impl Cause {
    pub(crate) fn error(error: BoxError) -> Self {
        Self::Error(Arc::from(error))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(e) => write!(f, "{e}"),
            Self::Panicked(message) => write!(f, "it panicked: {message}"),
            Self::TimedOut(limit) => write!(f, "it took longer than {limit:?}"),
            Self::Spill(message) => f.write_str(message),
            Self::Crashed(deaths) => {
                if deaths.len() > 1 {
                    let (n, allowed) = (deaths.len(), deaths.len() - 1);
                    write!(f, "{n} workers died of it, and {allowed} may: ")?;
                }
                for (i, death) in deaths.iter().enumerate() {
                    write!(f, "{}{death}", if i > 0 { "; " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

/// The names that a message lists before it says how many more there are.
const LISTED: usize = 8;

/// A task that failed for good, and where it comes from.
#[derive(Debug, Clone)]
pub struct TaskFailure {
    /// The task's name, as `load[7]`.
    pub task: String,
    /// How often it was tried, tries among them in which a worker process died.
    pub attempts: u32,
    /// The names of its inputs, in their order; the first 64 of them.
    pub inputs: Vec<String>,
    /// How many inputs it has beyond those.
    pub more_inputs: usize,
    /// The tasks that it needs beyond its inputs, the nearest first; the first 64 of them.
    pub ancestors: Vec<String>,
    /// What its last try came to.
    pub cause: Cause,
}

fn list(f: &mut fmt::Formatter<'_>, label: &str, names: &[String], more: usize) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    write!(f, "; {label}: {}", names[..names.len().min(LISTED)].join(", "))?;
    let more = names.len().saturating_sub(LISTED) + more;
    if more > 0 {
        write!(f, " and {more} more")?;
    }
    Ok(())
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} failed", self.task)?;
        if self.attempts > 1 {
            write!(f, " {} times", self.attempts)?;
        }
        write!(f, ": {}", self.cause)?;
        list(f, "its inputs", &self.inputs, self.more_inputs)?;
        list(f, "which come from", &self.ancestors, 0)
    }
}

impl std::error::Error for TaskFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Error(e) => Some(&**e),
            _ => None,
        }
    }
}

/// Why a graph was not run to its end.
#[derive(Debug, Clone, Error)]
pub enum RunError {
    /// A task failed for good.
    #[error("{0}")]
    Task(Arc<TaskFailure>),
    /// The job was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// A task that no device can run.
    #[error("task {task} needs {needs}, and there is none: {have}")]
    NoDevice {
        /// The task's name.
        task: String,
        /// What it needs.
        needs: String,
        /// The devices that there are.
        have: String,
    },
    /// A task that does not fit in memory, although nothing else runs.
    #[error(
        "task {task} needs {needed} bytes on {device}, which may use {limit} and holds {held} in \
         results that other tasks wait for and that cannot be written to disk: give more memory, \
         split the task, or give results that can spill"
    )]
    Memory {
        /// The task's name.
        task: String,
        /// The device's name.
        device: String,
        /// Bytes of what it holds while it runs, inputs that are elsewhere among them.
        needed: u64,
        /// Bytes that results hold there.
        held: u64,
        /// The device's limit.
        limit: u64,
    },
    /// Code that the executor calls outside of tasks panicked: a placement policy, or the drop
    /// of a value.
    #[error("the executor stopped: {0}")]
    Broken(String),
    /// The scheduler ended before the job did.
    #[error("the executor was shut down before the job's end")]
    ShutDown,
    /// A result of another type than the one asked for.
    #[error("the result of task {task} is no {wanted}")]
    Type {
        /// The task's name.
        task: String,
        /// The type that was asked for.
        wanted: &'static str,
    },
}

impl RunError {
    /// A failure of a task of which only the name is known.
    pub(crate) fn of_task(task: String, cause: Cause) -> Self {
        Self::Task(Arc::new(TaskFailure {
            task,
            attempts: 1,
            inputs: Vec::new(),
            more_inputs: 0,
            ancestors: Vec::new(),
            cause,
        }))
    }
}
