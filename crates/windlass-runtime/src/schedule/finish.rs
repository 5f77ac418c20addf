//! What becomes of tasks: results that are kept and dropped, tries that failed, ends of jobs.

use super::{
    core::{Assignment, Outcome, Scheduler},
    error::{Cause, RunError},
    job::State,
    policy::TaskView,
};
use crate::graph::TaskId;

impl Scheduler {
    /// Takes note of what became of a task.
    pub(crate) fn finish(&mut self, a: &Assignment, outcome: Outcome, now: u64) {
        let d = &mut self.devices[a.device as usize];
        d.running -= 1;
        d.used -= a.reserved;
        d.reserved -= a.reserved;
        let nanos = now.saturating_sub(a.started);
        d.counts.busy_nanos += nanos;
        d.running_seconds =
            if d.running == 0 { 0.0 } else { (d.running_seconds - a.estimate).max(0.0) };
        let (limited, class) = (d.profile.memory.is_some(), d.class);
        self.running -= 1;
        if limited {
            self.effects.wake.push(a.device);
        }
        let job = self.jobs[a.job as usize].as_mut().expect("a job stays until its tasks end");
        job.running -= 1;
        if job.ended.is_some() {
            if let Outcome::Failed(cause) = outcome {
                self.effects.causes.push(cause);
            }
            self.forget(a.job);
            return;
        }
        match outcome {
            Outcome::Done { bytes, spillable } => {
                self.measured(a, class, nanos as f64 * 1e-9, bytes);
                self.done(a, bytes, spillable, limited);
            }
            Outcome::Failed(Cause::Crashed(deaths)) => {
                self.devices[a.device as usize].counts.failures += 1;
                // Counted by themselves: a task without retries is not to blame for its worker.
                job.attempts[a.task as usize] -= 1;
                let all = job.deaths.entry(a.task).or_default();
                all.extend(deaths);
                if all.len() <= self.deaths_allowed {
                    self.again(a.job, a.task);
                } else {
                    let cause = Cause::Crashed(all.clone());
                    let error = job.failure(a.task, cause);
                    self.end(a.job, Err(error));
                }
            }
            Outcome::Failed(cause) => {
                self.devices[a.device as usize].counts.failures += 1;
                let retries = job.graph.options(TaskId(a.task)).retries;
                if job.attempts[a.task as usize] <= u16::from(retries) {
                    self.effects.causes.push(cause);
                    self.again(a.job, a.task);
                } else {
                    let error = job.failure(a.task, cause);
                    self.end(a.job, Err(error));
                }
            }
            Outcome::Lost => {
                job.attempts[a.task as usize] -= 1;
                self.again(a.job, a.task);
            }
        }
    }

    /// A task that ran in vain waits again, for inputs too that were lost while it ran.
    fn again(&mut self, id: u32, task: u32) {
        let job = self.job_mut(id);
        job.states[task as usize] = State::Waiting;
        let inputs = job.graph.input_words(task).iter();
        let there = |i: &&u32| matches!(job.states[**i as usize], State::Kept | State::Spilled);
        let missing = inputs.len() - inputs.filter(there).count();
        job.waiting[task as usize] = missing as u32;
        if missing == 0 {
            self.ready(id, task);
        }
    }

    /// Takes the time of a task into its group's, and so into the backlog.
    fn measured(&mut self, a: &Assignment, class: usize, seconds: f64, bytes: u64) {
        let job = self.jobs[a.job as usize].as_mut().expect("a job that is there");
        let group = job.graph.group_of(a.task) as usize;
        let state = &mut job.groups[group];
        state.output_bytes = state.output_bytes.max(bytes);
        state.measured(class, seconds);
        if self.policy.is_some() {
            let work = state.seconds(class).unwrap_or(seconds) * self.classes[class].speed;
            let kinds = job.graph.groups()[group].options.needs.kinds.index();
            let change = (work - state.work) * f64::from(state.ready);
            self.backlog[kinds] = (self.backlog[kinds] + change).max(0.0);
            state.work = work;
        }
    }

    fn done(&mut self, a: &Assignment, bytes: u64, spillable: bool, limited: bool) {
        let (id, task) = (a.job, a.task as usize);
        let d = &mut self.devices[a.device as usize];
        d.counts.tasks += 1;
        let job = self.jobs[id as usize].as_mut().expect("a job that is there");
        job.bytes[task] = bytes;
        job.homes[task] = a.device;
        job.spillable[task] = spillable;
        job.states[task] = State::Kept;
        job.left -= 1;
        d.hold(bytes);
        if limited {
            self.keep(a.device as usize, id, a.task);
        }
        if self.job(id).uses[task] == 0 {
            self.drop_result(id, a.task);
        }
        for at in self.job(id).graph.input_range(a.task) {
            let job = self.job_mut(id);
            let input = job.graph.all_inputs()[at];
            let uses = &mut job.uses[input as usize];
            *uses -= 1;
            if *uses == 0 {
                self.drop_result(id, input);
            }
        }
        for at in self.job(id).dependent_range(a.task) {
            let job = self.job_mut(id);
            let dependent = job.dependent(at);
            // One that is done already does not wait for a result that was made again.
            if job.states[dependent as usize] == State::Waiting {
                let waiting = &mut job.waiting[dependent as usize];
                *waiting -= 1;
                if *waiting == 0 {
                    self.ready(id, dependent);
                }
            }
        }
        if self.job(id).left == 0 {
            self.end(id, Ok(()));
        }
    }

    /// Drops a result that is kept or on disk.
    pub(super) fn drop_result(&mut self, id: u32, task: u32) {
        let job = self.job_mut(id);
        let t = task as usize;
        let (state, home, bytes) = (job.states[t], job.homes[t] as usize, job.bytes[t]);
        if !matches!(state, State::Kept | State::Spilled) {
            return;
        }
        job.states[t] = State::Freed;
        if state == State::Kept {
            let d = &mut self.devices[home];
            d.used -= bytes;
            if d.profile.memory.is_some() {
                d.kept -= 1;
                self.effects.wake.push(home as u32);
            }
        }
        self.effects.freed.push((id, task));
    }

    /// A task whose inputs are there is given a place to wait in.
    pub(super) fn ready(&mut self, id: u32, task: u32) {
        let job = self.jobs[id as usize].as_mut().expect("a job that is there");
        job.states[task as usize] = State::Ready;
        let group = &mut job.groups[job.graph.group_of(task) as usize];
        group.ready += 1;
        let kinds = job.graph.options(TaskId(task)).needs.kinds.index();
        self.backlog[kinds] += group.work;
        let ready = job.entry(id, task);
        let chosen = self.policy.is_some().then(|| {
            let view = TaskView { job: self.job(id), ready };
            self.chosen(&view, None)
        });
        match chosen.flatten() {
            Some((to, reason)) => {
                self.devices[to].count_reason(reason);
                self.queue_on(to, ready);
                self.effects.wake.push(to as u32);
            }
            None => {
                self.shared[kinds].push(ready);
                self.effects.ready += 1;
            }
        }
    }

    /// Takes note that a task does not wait to be run any more.
    pub(super) fn no_longer_ready(&mut self, id: u32, task: u32) {
        let job = self.jobs[id as usize].as_mut().expect("a job that is there");
        let kinds = job.graph.options(TaskId(task)).needs.kinds.index();
        let group = &mut job.groups[job.graph.group_of(task) as usize];
        group.ready -= 1;
        self.backlog[kinds] = (self.backlog[kinds] - group.work).max(0.0);
    }

    /// Ends a job: what waits is not run, and of an error's job no result is kept.
    pub(super) fn end(&mut self, id: u32, result: Result<(), RunError>) {
        let job = self.jobs[id as usize].as_mut().expect("a job that is there");
        if job.ended.is_some() {
            return;
        }
        let failed = result.is_err();
        job.ended = Some(result);
        self.effects.ended.push(id);
        if failed {
            for (g, group) in job.graph.groups().iter().enumerate() {
                let state = &mut job.groups[g];
                let backlog = &mut self.backlog[group.options.needs.kinds.index()];
                *backlog = (*backlog - state.work * f64::from(state.ready)).max(0.0);
                state.ready = 0;
            }
            for task in 0..self.job(id).graph.len() as u32 {
                self.drop_result(id, task);
            }
        }
    }

    /// Whether a result is on disk, or on its way there.
    pub(crate) fn is_spilled(&self, id: u32, task: u32) -> bool {
        let job = self.jobs[id as usize].as_ref();
        job.is_some_and(|j| j.states[task as usize] == State::Spilled)
    }

    /// Cancels a job that has not ended.
    pub(crate) fn cancel(&mut self, id: u32, error: RunError) {
        self.end(id, Err(error));
    }

    /// The caller has, or does not want, the results of a job that ended.
    pub(crate) fn release(&mut self, id: u32) {
        for task in 0..self.job(id).graph.len() as u32 {
            self.drop_result(id, task);
        }
        self.job_mut(id).released = true;
        self.forget(id);
    }

    /// Drops a job that ended, was released and runs nothing.
    fn forget(&mut self, id: u32) {
        let job = self.job(id);
        if job.ended.is_some() && job.released && job.running == 0 {
            let job = self.jobs[id as usize].take();
            // Its functions may hold anything: they are not dropped here.
            self.effects.through.extend(job);
            self.free.push(id);
        }
    }
}
