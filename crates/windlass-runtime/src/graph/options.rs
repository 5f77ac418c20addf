//! What a task may ask for: where it can run, what it takes, what to do when it fails.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The two kinds of device that tasks tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// A core of the host.
    Cpu,
    /// A GPU, or what stands in for one.
    Gpu,
}

/// The kinds of device that can run a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeviceKinds {
    /// Only the CPU.
    #[default]
    Cpu,
    /// Only GPUs.
    Gpu,
    /// Either.
    Any,
}

impl DeviceKinds {
    /// Number of values.
    pub(crate) const COUNT: usize = 3;

    /// Whether a device of that kind can run it.
    pub fn contains(self, kind: DeviceKind) -> bool {
        match self {
            Self::Cpu => kind == DeviceKind::Cpu,
            Self::Gpu => kind == DeviceKind::Gpu,
            Self::Any => true,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DeviceKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "a CPU",
            Self::Gpu => "a GPU",
            Self::Any => "any device",
        })
    }
}

/// What a task takes while it runs, as far as it is known. What is not said is measured on
/// the group's tasks as they run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Needs {
    /// Where it can run.
    pub kinds: DeviceKinds,
    /// Bytes of its result.
    pub output_bytes: Option<u64>,
    /// Bytes that it holds while it runs, beside inputs and result.
    pub working_bytes: u64,
    /// Seconds of run time on a device of speed 1.
    pub seconds: Option<f64>,
}

/// How the tasks of a group are run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TaskOptions {
    /// Of tasks that are ready, those of higher priority go first.
    pub priority: i16,
    /// How often a task that failed is tried again.
    pub retries: u8,
    /// How long one try may take. On threads a function cannot be stopped: its result is
    /// thrown away when it comes, and another thread takes the place of the one it holds. A
    /// worker process is killed.
    pub timeout: Option<Duration>,
    /// What it takes.
    pub needs: Needs,
}

impl TaskOptions {
    /// The same with a priority.
    #[must_use]
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// The same with a number of retries.
    #[must_use]
    pub fn retries(mut self, retries: u8) -> Self {
        self.retries = retries;
        self
    }

    /// The same with a time-out.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The same, able to run on those kinds of device.
    #[must_use]
    pub fn kinds(mut self, kinds: DeviceKinds) -> Self {
        self.needs.kinds = kinds;
        self
    }

    /// The same with the bytes of a task's result.
    #[must_use]
    pub fn output_bytes(mut self, bytes: u64) -> Self {
        self.needs.output_bytes = Some(bytes);
        self
    }

    /// The same with the bytes that a task holds while it runs.
    #[must_use]
    pub fn working_bytes(mut self, bytes: u64) -> Self {
        self.needs.working_bytes = bytes;
        self
    }

    /// The same with the seconds that a task takes on a device of speed 1.
    #[must_use]
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.needs.seconds = Some(seconds);
        self
    }
}
