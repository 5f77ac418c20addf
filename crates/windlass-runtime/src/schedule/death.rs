//! Worker processes that died, as errors tell of them.

use std::fmt;

/// How a worker process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// A signal ended it; never on Windows.
    Signal(i32),
    /// It ended by itself, with that exit code.
    Code(i32),
    /// It was ended because what it sent could not be understood, as told.
    Garbled(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Garbled(why) => write!(f, "was ended because of what it sent ({why})"),
        }
    }
}

/// A worker process that ended before its task did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerDeath {
    /// Its number; a worker in its place has another one.
    pub worker: u64,
    /// How it ended.
    pub ending: Ending,
    /// The name of the task that it ran, as `load[7]`.
    pub task: String,
    /// Most bytes of memory that it had at once, as far as the system tells; 0 where not.
    pub peak_bytes: u64,
    /// The end of what it wrote to standard error during the task; often nothing.
    pub last_words: String,
}

impl fmt::Display for WorkerDeath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worker, ending, task, peak_bytes, last_words } = self;
        write!(f, "worker {worker} {ending} while running {task}, at {}", Size(*peak_bytes))?;
        if !last_words.is_empty() {
            write!(f, "; its last words were: {last_words}")?;
        }
        Ok(())
    }
}

/// A number of bytes, for people: `1.9 GB`, in powers of ten.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            950_000_000.. => write!(f, "{:.1} GB", bytes / 1e9),
            950_000.. => write!(f, "{:.1} MB", bytes / 1e6),
            _ => write!(f, "{:.1} kB", bytes / 1e3),
        }
    }
}

/// A death for tests.
#[cfg(test)]
pub(crate) fn example() -> WorkerDeath {
    WorkerDeath {
        worker: 3,
        ending: Ending::Signal(9),
        task: "load[7]".into(),
        peak_bytes: 1_912_345_678,
        last_words: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        graph::{DeviceKind, GraphBuilder, TaskOptions},
        schedule::{
            Cause, DeviceProfile,
            core::{Outcome, Scheduler},
            job::Job,
        },
    };

    #[test]
    fn deaths_and_retries_are_counted_apart() {
        let mut g = GraphBuilder::new();
        let load = g.group("load", TaskOptions::default().retries(2));
        let task = g.simulated(load, &[]);
        let mut s = Scheduler::new(None);
        s.deaths_allowed = 2;
        let device = s.add_device(DeviceProfile::new("cpu", DeviceKind::Cpu));
        let job = s.submit(Job::new(Arc::new(g.build(&[task]))));
        let mut fail = |cause| {
            let a = s.next(device, 0).expect("it is tried again");
            s.finish(&a, Outcome::Failed(cause), 0);
            s.job(job).ended.clone()
        };
        let crash = || Cause::Crashed(vec![Arc::new(example())]);
        for cause in [crash(), Cause::Panicked("no".into()), crash(), Cause::Panicked("no".into())]
        {
            assert!(fail(cause).is_none());
        }
        let error = fail(crash()).unwrap().unwrap_err().to_string();
        let one = "worker 3 was killed by signal 9 while running load[7], at 1.9 GB";
        let all = format!("3 workers died of it, and 2 may: {one}; {one}; {one}");
        assert_eq!(error, format!("task load[0] failed 5 times: {all}"));
    }

    #[test]
    fn a_death_tells_the_worker_the_signal_the_task_and_the_memory() {
        let mut death = example();
        let killed = "worker 3 was killed by signal 9 while running load[7], at 1.9 GB";
        assert_eq!(death.to_string(), killed);
        death.last_words = "no such page".into();
        assert_eq!(death.to_string(), format!("{killed}; its last words were: no such page"));
        (death.ending, death.peak_bytes) = (Ending::Code(3), 12_340_000);
        assert!(death.to_string().starts_with("worker 3 ended with exit code 3 while running"));
        assert!(death.to_string().contains("at 12.3 MB"));
    }
}
