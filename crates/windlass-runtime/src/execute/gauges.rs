//! What an executor has before it at a moment.

use super::Executor;

/// Tasks by what they wait for, and the memory of the devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Tasks that run.
    pub running: u64,
    /// Tasks of jobs that go on, which neither run nor are done.
    pub waiting: u64,
    /// Bytes that results and running tasks hold, by the device's name.
    pub used: Vec<(String, u64)>,
}

impl Executor {
    /// What is before it now.
    pub fn gauges(&self) -> Gauges {
        let state = self.shared.state.lock();
        let scheduler = &state.scheduler;
        let jobs = scheduler.jobs.iter().flatten().filter(|job| job.ended.is_none());
        let left: usize = jobs.map(|job| job.left).sum();
        let running = scheduler.running as u64;
        let devices = scheduler.devices.iter();
        Gauges {
            running,
            // A task of a job that was cancelled may still run.
            waiting: (left as u64).saturating_sub(running),
            used: devices.map(|d| (d.profile.name.to_string(), d.used)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use parking_lot::Mutex;

    use super::*;
    use crate::{
        execute::ExecutorOptions,
        graph::{GraphBuilder, TaskOptions, Value},
    };

    #[test]
    fn gauges_tell_what_runs_and_what_waits() {
        let executor = Executor::new(ExecutorOptions::default().threads(1)).unwrap();
        let idle = Gauges { used: vec![("cpu".into(), 0)], ..Gauges::default() };
        assert_eq!(executor.gauges(), idle);
        let (begun, told) = channel::<()>();
        let (go, gate) = channel::<()>();
        let (begun, gate) = (Mutex::new(begun), Mutex::new(gate));
        let mut g = GraphBuilder::new();
        let group = g.group("gate", TaskOptions::default());
        let first = g.task(group, &[], move |_| {
            begun.lock().send(())?;
            gate.lock().recv()?;
            Ok(Value::new(1_u64))
        });
        let second = g.task(group, &[first], |c| Ok(c.inputs()[0].clone()));
        let job = executor.submit(g.build(&[second]));
        told.recv().unwrap();
        let gauges = executor.gauges();
        assert_eq!((gauges.running, gauges.waiting), (1, 1));
        go.send(()).unwrap();
        job.wait().unwrap();
        let gauges = executor.gauges();
        assert_eq!((gauges.running, gauges.waiting), (0, 0));
    }
}
