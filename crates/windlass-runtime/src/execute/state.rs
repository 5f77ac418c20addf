//! What the threads of an executor share: the scheduler, and the results of its jobs.

use std::{
    collections::HashSet,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{JobId, spill::SpillFile};
use crate::{
    graph::{Graph, Value},
    schedule::{
        Cause, RunError,
        core::{Assignment, Outcome, Scheduler},
        job::Job,
    },
};

/// What a job came to: the wanted results in their order.
pub type JobResult = Result<Vec<Value>, RunError>;

/// Called once with what a job came to, on the thread that ended it.
pub(crate) type OnEnd = Box<dyn FnOnce(JobResult) + Send>;

/// A result's place.
#[derive(Debug, Default, Clone)]
pub(crate) enum Slot {
    #[default]
    Empty,
    Memory(Value),
    Disk(Arc<SpillFile>),
}

/// A job beside what the scheduler knows of it.
pub(crate) struct JobData {
    pub(crate) graph: Arc<Graph>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) on_end: Option<OnEnd>,
    pub(crate) serial: u64,
}

/// A try that may take only so long.
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) assignment: Assignment,
    pub(crate) worker: u64,
}

/// A job that ended: its end is told without the lock.
pub(crate) struct Ended {
    job: JobData,
    result: Result<(), RunError>,
}

impl Ended {
    /// Gathers the wanted results, reading those that are on disk, and tells them.
    pub(crate) fn tell(self) {
        let Self { mut job, result } = self;
        let result = result.and_then(|()| {
            let wanted = job.graph.wanted().to_vec();
            // Only what cannot be read back is told by its name. The graph goes first, so that
            // it and a list of as many results are not there at once.
            let on_disk = wanted.iter().any(|w| matches!(job.slots[w.index()], Slot::Disk(_)));
            let graph = mem::take(&mut job.graph);
            let graph = on_disk.then_some(graph);
            let name = |task| graph.as_ref().map_or_else(String::new, |g| g.name(task));
            wanted.iter().map(|w| value_of(&job.slots[w.index()], || name(*w))).collect()
        });
        let on_end = job.on_end.take();
        // What the job held goes before its end is told: then it is gone.
        drop(job);
        if let Some(on_end) = on_end {
            on_end(result);
        }
    }
}

/// A result to write to disk.
pub(crate) struct ToSpill {
    pub(crate) job: JobId,
    pub(crate) task: u32,
    pub(crate) value: Value,
}

/// What has to be done without the lock.
#[derive(Default)]
pub(crate) struct Outside {
    /// To be dropped.
    pub(crate) garbage: Vec<Slot>,
    pub(crate) spill: Vec<ToSpill>,
    pub(crate) ended: Vec<Ended>,
    /// To be dropped: functions and errors may hold anything, this executor even.
    pub(crate) jobs: Vec<Job>,
    pub(crate) causes: Vec<Cause>,
}

impl Outside {
    pub(crate) fn is_empty(&self) -> bool {
        self.garbage.is_empty()
            && self.spill.is_empty()
            && self.ended.is_empty()
            && self.jobs.is_empty()
            && self.causes.is_empty()
    }
}

/// The state behind the lock.
pub(crate) struct State {
    pub(crate) scheduler: Scheduler,
    pub(crate) jobs: Vec<Option<JobData>>,
    /// Threads that wait for work, by device.
    pub(crate) idle: Vec<u32>,
    /// Whether a thread of each device was woken and is not here yet.
    pub(crate) waking: Vec<bool>,
    pub(crate) deadlines: Vec<Deadline>,
    /// Threads whose try took too long: they end when it does.
    pub(crate) abandoned: HashSet<u64>,
    /// Jobs with a time-out on any task.
    pub(crate) timed_jobs: usize,
    pub(crate) shut_down: bool,
    /// Why this executor runs nothing any more.
    pub(crate) broken: Option<String>,
    /// Whether results can be written to disk.
    pub(crate) can_spill: bool,
}

impl State {
    pub(crate) fn new(scheduler: Scheduler, can_spill: bool) -> Self {
        let n = scheduler.devices.len();
        Self {
            scheduler,
            jobs: Vec::new(),
            idle: vec![0; n],
            waking: vec![false; n],
            deadlines: Vec::new(),
            abandoned: HashSet::new(),
            timed_jobs: 0,
            shut_down: false,
            broken: None,
            can_spill,
        }
    }

    /// Takes on a job that was made without the lock, with a slot for each task; its index.
    pub(crate) fn submit(&mut self, job: Job, data: JobData, outside: &mut Outside) -> u32 {
        self.timed_jobs += usize::from(timed(&data.graph));
        let id = self.scheduler.submit(job);
        if self.jobs.len() <= id as usize {
            self.jobs.resize_with(id as usize + 1, || None);
        }
        self.jobs[id as usize] = Some(data);
        self.settle(outside);
        id
    }

    /// Takes what became of a task; `None` if it was not begun after all.
    pub(crate) fn report(
        &mut self,
        a: &Assignment,
        result: Option<Result<Value, Cause>>,
        nanos: u64,
        outside: &mut Outside,
    ) {
        let outcome = match (result, &mut self.jobs[a.job as usize]) {
            (Some(Ok(value)), Some(job)) if self.scheduler.job(a.job).ended.is_none() => {
                let (bytes, codec) = (value.bytes(), value.codec());
                job.slots[a.task as usize] = Slot::Memory(value);
                Outcome::Done { bytes, spillable: self.can_spill && codec.is_some() }
            }
            // Nobody waits for it any more.
            (Some(Ok(value)), _) => {
                outside.garbage.push(Slot::Memory(value));
                Outcome::Lost
            }
            (Some(Err(cause)), _) => Outcome::Failed(cause),
            (None, _) => Outcome::Lost,
        };
        self.scheduler.finish(a, outcome, nanos);
    }

    /// Does what the scheduler asks for, as far as that needs the lock.
    pub(crate) fn settle(&mut self, outside: &mut Outside) {
        for i in 0..self.scheduler.effects.freed.len() {
            let (job, task) = self.scheduler.effects.freed[i];
            if let Some(job) = &mut self.jobs[job as usize] {
                outside.garbage.push(mem::take(&mut job.slots[task as usize]));
            }
        }
        self.scheduler.effects.freed.clear();
        outside.jobs.append(&mut self.scheduler.effects.through);
        outside.causes.append(&mut self.scheduler.effects.causes);
        for (index, task) in mem::take(&mut self.scheduler.effects.spill) {
            if let Some(job) = &self.jobs[index as usize]
                && let Slot::Memory(value) = &job.slots[task as usize]
            {
                let job = JobId { index, serial: job.serial };
                outside.spill.push(ToSpill { job, task, value: value.clone() });
            }
        }
        if self.scheduler.effects.ended.is_empty() {
            return;
        }
        for id in mem::take(&mut self.scheduler.effects.ended) {
            self.end(id, outside);
        }
        // Releasing the job freed its results.
        self.settle(outside);
    }

    fn end(&mut self, id: u32, outside: &mut Outside) {
        let result = self.scheduler.job(id).ended.clone().unwrap_or(Err(RunError::ShutDown));
        let Some(job) = self.jobs[id as usize].take() else { return };
        self.timed_jobs -= usize::from(timed(&job.graph));
        job.cancelled.store(true, Ordering::Relaxed);
        outside.ended.push(Ended { job, result });
        // What the scheduler knows of it goes before the results are gathered.
        self.scheduler.release(id);
    }

    /// The job of that serial number, if it is still there.
    pub(crate) fn job(&mut self, id: JobId) -> Option<&mut JobData> {
        let job = self.jobs.get_mut(id.index as usize)?.as_mut();
        job.filter(|j| j.serial == id.serial)
    }

    /// Ends a job with an error, unless it has ended.
    pub(crate) fn cancel(&mut self, id: JobId, error: RunError, outside: &mut Outside) {
        if self.job(id).is_some() {
            self.fail(id.index, error, outside);
        }
    }

    /// Ends a job that is there with an error.
    pub(crate) fn fail(&mut self, index: u32, error: RunError, outside: &mut Outside) {
        self.scheduler.cancel(index, error);
        self.settle(outside);
    }

    /// Ends all jobs.
    pub(crate) fn cancel_all(&mut self, error: &RunError, outside: &mut Outside) {
        for index in 0..self.jobs.len() {
            if self.jobs[index].is_some() {
                self.fail(index as u32, error.clone(), outside);
            }
        }
    }
}

fn timed(graph: &Graph) -> bool {
    graph.groups().iter().any(|g| g.options.timeout.is_some())
}

/// A wanted result. One that is on disk is read here: the job's end waits for it.
fn value_of(slot: &Slot, name: impl Fn() -> String) -> Result<Value, RunError> {
    let failed = |cause| RunError::of_task(name(), cause);
    match slot {
        Slot::Memory(value) => Ok(value.clone()),
        Slot::Disk(file) => file.read().map_err(|e| failed(Cause::Spill(e))),
        Slot::Empty => Err(failed(Cause::Spill("its result is gone".into()))),
    }
}
