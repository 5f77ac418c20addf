//! The state machine.

use std::{borrow::Cow, mem};

use super::{
    device::{DeviceProfile, DeviceState},
    error::{Cause, RunError},
    job::{Job, State},
    policy::{Choice, Placement, TaskView, View},
    queue::{Queue, Ready, rank},
};
use crate::graph::{DeviceKind, DeviceKinds, TaskId};

/// Ready tasks that a device looks at before it gives up, where the first does not fit or is
/// left to a faster device. A guess: small against what a look costs.
const LOOK_AHEAD: usize = 8;

/// Devices whose queues an idle one looks into.
const VICTIMS: usize = 64;

/// Devices that are a class each; of more, those with the same profile share one.
const OWN_CLASSES: usize = 64;

/// A task to run now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) job: u32,
    pub(crate) task: u32,
    pub(crate) device: u32,
    /// Bytes held for it while it runs.
    reserved: u64,
    /// Bytes of its inputs that come from other devices.
    pub(crate) moved: u64,
    /// When it began, in nanoseconds of the driver's clock.
    pub(crate) started: u64,
    /// Seconds that were added to the device's queue for it.
    estimate: f64,
}

/// What became of one try of a task.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It gave a result of that size.
    Done {
        /// Its size.
        bytes: u64,
        /// Whether it can be written to disk.
        spillable: bool,
    },
    /// It failed.
    Failed(Cause),
    /// Its device was lost while it ran.
    Lost,
}

/// What the driver has to do after a call.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Results that nobody needs any more, as (job, task).
    pub(crate) freed: Vec<(u32, u32)>,
    /// Results to write to disk.
    pub(crate) spill: Vec<(u32, u32)>,
    /// Jobs that ended.
    pub(crate) ended: Vec<u32>,
    /// Number of tasks that became ready for any device.
    pub(crate) ready: usize,
    /// Devices to ask again: they have a new task of their own, or memory.
    pub(crate) wake: Vec<u32>,
}

/// Devices that are alike.
#[derive(Debug)]
struct Class {
    kind: DeviceKind,
    speed: f64,
    slots: f64,
}

/// Where a ready task was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum From {
    Own,
    Shared,
    Source,
}

/// The state machine. See the [module](super).
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    pub(crate) devices: Vec<DeviceState>,
    classes: Vec<Class>,
    pub(crate) jobs: Vec<Option<Job>>,
    free: Vec<u32>,
    /// Ready tasks that any device may take that can run them.
    shared: [Queue; DeviceKinds::COUNT],
    /// The next source of each job.
    sources: [Queue; DeviceKinds::COUNT],
    /// Number of tasks in queues of devices.
    queued: usize,
    policy: Option<Box<dyn Placement>>,
    /// Seconds of ready tasks on a device of speed 1.
    backlog: [f64; DeviceKinds::COUNT],
    /// The greatest rank that was begun: new jobs' tasks come behind it, so that jobs share
    /// the devices task by task (start-time fair queueing, Goyal, Vin and Cheng, 1996, with
    /// a task as the unit).
    clock: u64,
    pub(crate) running: usize,
    victim: usize,
    /// Whether a result ever went to disk.
    pub(super) any_spilled: bool,
    pub(crate) effects: Effects,
    aside: Vec<(Ready, From)>,
}

impl Scheduler {
    /// No devices and no jobs. Without a policy every task goes to the first device that
    /// asks and can run it.
    pub(crate) fn new(policy: Option<Box<dyn Placement>>) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Adds a device; its index.
    pub(crate) fn add_device(&mut self, profile: DeviceProfile) -> usize {
        let own = self.devices.len() < OWN_CLASSES;
        let same = |d: &&DeviceState| {
            let p = &d.profile;
            (p.kind, p.speed, p.slots) == (profile.kind, profile.speed, profile.slots)
        };
        let class = match self.devices.iter().find(same) {
            Some(d) if !own => d.class,
            _ => {
                let (kind, speed) = (profile.kind, profile.speed);
                self.classes.push(Class { kind, speed, slots: 0.0 });
                self.classes.len() - 1
            }
        };
        self.classes[class].slots += f64::from(profile.slots);
        self.devices.push(DeviceState::new(profile, class));
        self.devices.len() - 1
    }

    /// Takes on a job; its index. One that no device can run ends at once.
    pub(crate) fn submit(&mut self, mut job: Job) -> u32 {
        job.base = self.clock;
        let id = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() as u32 - 1
        });
        for (g, group) in job.graph.groups().iter().enumerate() {
            let needs = &group.options.needs;
            let state = &mut job.groups[g];
            state.work = needs.seconds.unwrap_or(1.0);
            self.backlog[needs.kinds.index()] += state.work * f64::from(state.ready);
        }
        let left = job.left;
        for kinds in 0..DeviceKinds::COUNT {
            if let Some(&task) = job.sources[kinds].last() {
                self.sources[kinds].push(Ready { key: job.key(task), job: id, task });
            }
            self.effects.ready += job.sources[kinds].len();
        }
        self.jobs[id as usize] = Some(job);
        if left == 0 {
            self.end(id, Ok(()));
        } else if let Some(error) = self.cannot_run(id) {
            self.end(id, Err(error));
        }
        id
    }

    /// The error of a job with a task left that no device can run.
    fn cannot_run(&self, id: u32) -> Option<RunError> {
        let job = self.job(id);
        let can = |kinds: DeviceKinds| {
            self.devices.iter().any(|d| d.alive && kinds.contains(d.profile.kind))
        };
        let mut bad = job.graph.groups().iter().map(|g| !can(g.options.needs.kinds));
        if !bad.clone().any(|b| b) {
            return None;
        }
        let bad: Vec<bool> = bad.by_ref().collect();
        let open = |t: &u32| {
            matches!(job.states[*t as usize], State::Waiting | State::Ready | State::Running)
                && bad[job.graph.group_of(*t) as usize]
        };
        let task = TaskId((0..job.graph.len() as u32).find(open)?);
        let have = self.devices.iter().filter(|d| d.alive).map(|d| &*d.profile.name);
        Some(RunError::NoDevice {
            task: job.graph.name(task),
            needs: job.graph.options(task).needs.kinds.to_string(),
            have: have.collect::<Vec<_>>().join(", "),
        })
    }

    pub(crate) fn job(&self, id: u32) -> &Job {
        self.jobs[id as usize].as_ref().expect("a job that is there")
    }

    pub(super) fn job_mut(&mut self, id: u32) -> &mut Job {
        self.jobs[id as usize].as_mut().expect("a job that is there")
    }

    /// A task for a device, if there is one for it now. How many it runs at once is the
    /// driver's affair.
    pub(crate) fn next(&mut self, device: usize, now: u64) -> Option<Assignment> {
        if !self.devices[device].alive {
            return None;
        }
        let mut aside = mem::take(&mut self.aside);
        let mut refused: Option<Ready> = None;
        let mut found = None;
        while aside.len() < LOOK_AHEAD {
            let Some((ready, from)) = self.pop(device) else {
                if let Some(ready) = self.steal(device) {
                    if self.fits(device, &ready) {
                        found = Some(ready);
                    } else {
                        aside.push((ready, From::Shared));
                    }
                }
                break;
            };
            if from != From::Own
                && let Some(mut policy) = self.policy.take()
            {
                let task = TaskView { job: self.job(ready.job), task: ready.task };
                let view = View { scheduler: self };
                let choice =
                    (from == From::Source).then(|| policy.place(&task, Some(device), &view));
                let accepted = match &choice {
                    Some(Choice::On(to, _)) => *to == device,
                    _ => policy.accept(&task, device, &view),
                };
                self.policy = Some(policy);
                if let Some(Choice::On(to, reason)) = choice {
                    self.devices[to].count_reason(&reason);
                    if to != device {
                        self.queue_on(to, ready);
                        self.effects.wake.push(to as u32);
                        continue;
                    }
                }
                if !accepted {
                    aside.push((ready, from));
                    continue;
                }
            }
            // Behind one that did not fit, only those that leave less in memory than before.
            if self.fits(device, &ready) && (refused.is_none() || self.shrinks(&ready)) {
                found = Some(ready);
                break;
            }
            refused.get_or_insert(ready);
            aside.push((ready, from));
        }
        if found.is_none()
            && let Some(first) = refused
        {
            found = self.make_room(device, &first, &mut aside);
        }
        for (ready, from) in aside.drain(..).filter(|(r, _)| Some(*r) != found) {
            match from {
                From::Own => self.queue_on(device, ready),
                _ => self.share(ready),
            }
        }
        self.aside = aside;
        found.map(|ready| self.start(device, ready, now))
    }

    /// The first ready task that a device may look at.
    pub(super) fn pop(&mut self, device: usize) -> Option<(Ready, From)> {
        let own = match self.devices[device].profile.kind {
            DeviceKind::Cpu => DeviceKinds::Cpu,
            DeviceKind::Gpu => DeviceKinds::Gpu,
        };
        let mut best = self.devices[device].queue.peek().map(|r| (*r, From::Own, 0));
        for kinds in [own.index(), DeviceKinds::Any.index()] {
            for (queue, from) in
                [(&self.shared[kinds], From::Shared), (&self.sources[kinds], From::Source)]
            {
                if let Some(r) = queue.peek()
                    && best.is_none_or(|(b, _, _)| *r > b)
                {
                    best = Some((*r, from, kinds));
                }
            }
        }
        let (ready, from, kinds) = best?;
        match from {
            From::Own => {
                let seconds = match self.policy {
                    Some(_) => self.task_seconds(&ready, device),
                    None => 0.0,
                };
                let d = &mut self.devices[device];
                d.queue.pop();
                d.queue_seconds = (d.queue_seconds - seconds).max(0.0);
                self.queued -= 1;
            }
            From::Shared => {
                self.shared[kinds].pop();
            }
            From::Source => {
                self.sources[kinds].pop();
                let job = self.job_mut(ready.job);
                job.sources[kinds].pop();
                if let Some(&task) = job.sources[kinds].last() {
                    let next = Ready { key: job.key(task), job: ready.job, task };
                    self.sources[kinds].push(next);
                }
            }
        }
        Some((ready, from))
    }

    /// Number of tasks that a device could look at now.
    pub(crate) fn available(&self, device: usize) -> usize {
        let d = &self.devices[device];
        // With a policy, those in other devices' queues too: it may take them.
        let mut n = if self.policy.is_some() { self.queued } else { d.queue.len() };
        for (kinds, accepts) in [
            (DeviceKinds::Cpu, d.profile.kind == DeviceKind::Cpu),
            (DeviceKinds::Gpu, d.profile.kind == DeviceKind::Gpu),
            (DeviceKinds::Any, true),
        ] {
            if accepts {
                let k = kinds.index();
                n += self.shared[k].len();
                // The jobs have their sources; the first job's count is enough to go by.
                n += self.sources[k].peek().map_or(0, |r| self.job(r.job).sources[k].len());
            }
        }
        n
    }

    /// Leaves a ready task to any device.
    fn share(&mut self, ready: Ready) {
        let kinds = self.job(ready.job).graph.options(TaskId(ready.task)).needs.kinds;
        self.shared[kinds.index()].push(ready);
    }

    fn task_seconds(&self, ready: &Ready, device: usize) -> f64 {
        let job = self.job(ready.job);
        self.seconds(job, job.graph.group_of(ready.task), self.devices[device].class)
    }

    fn queue_on(&mut self, device: usize, ready: Ready) {
        let seconds = self.task_seconds(&ready, device);
        let d = &mut self.devices[device];
        d.queue_seconds += seconds;
        d.queue.push(ready);
        self.queued += 1;
    }

    /// Takes the first task of another device's queue that may move to this one.
    fn steal(&mut self, device: usize) -> Option<Ready> {
        if self.queued == 0 {
            return None;
        }
        let policy = self.policy.take()?;
        let n = self.devices.len();
        let kind = self.devices[device].profile.kind;
        let mut found = None;
        for i in 0..n.min(VICTIMS) {
            let victim = (self.victim + i) % n;
            if victim == device {
                continue;
            }
            let Some(&ready) = self.devices[victim].queue.peek() else { continue };
            let task = TaskView { job: self.job(ready.job), task: ready.task };
            let view = View { scheduler: self };
            if task.kinds().contains(kind) && policy.may_move(&task, victim, device, &view) {
                let seconds = view.run_seconds(&task, victim);
                let v = &mut self.devices[victim];
                v.queue.pop();
                v.queue_seconds = (v.queue_seconds - seconds).max(0.0);
                self.queued -= 1;
                self.devices[device].count_reason(&Cow::Borrowed("it was idle and took it"));
                found = Some(ready);
                break;
            }
        }
        self.victim = (self.victim + 1) % n;
        self.policy = Some(policy);
        found
    }

    fn start(&mut self, device: usize, ready: Ready, now: u64) -> Assignment {
        let (moved, reserved) = self.claim(device, &ready);
        let class = self.devices[device].class;
        let job = self.jobs[ready.job as usize].as_mut().expect("a job that is there");
        let t = ready.task as usize;
        let group = job.graph.group_of(ready.task);
        job.states[t] = State::Running;
        job.attempts[t] = job.attempts[t].saturating_add(1);
        job.running += 1;
        let state = &mut job.groups[group as usize];
        state.ready -= 1;
        let kinds = job.graph.options(TaskId(ready.task)).needs.kinds.index();
        self.backlog[kinds] = (self.backlog[kinds] - state.work).max(0.0);
        let estimate = if self.policy.is_some() {
            self.seconds(self.job(ready.job), group, class)
        } else {
            0.0
        };
        self.clock = self.clock.max(rank(ready.key));
        self.running += 1;
        let d = &mut self.devices[device];
        d.running += 1;
        d.queue_seconds += estimate;
        d.counts.moved_bytes += moved;
        Assignment {
            job: ready.job,
            task: ready.task,
            device: device as u32,
            reserved,
            moved,
            started: now,
            estimate,
        }
    }

    /// Takes note of what became of a task.
    pub(crate) fn finish(&mut self, a: &Assignment, outcome: Outcome, now: u64) {
        let d = &mut self.devices[a.device as usize];
        d.running -= 1;
        d.used -= a.reserved;
        let nanos = now.saturating_sub(a.started);
        d.counts.busy_nanos += nanos;
        d.queue_seconds -= a.estimate;
        if d.running == 0 && d.queue.is_empty() {
            d.queue_seconds = 0.0;
        }
        let (limited, class) = (d.profile.memory.is_some(), d.class);
        self.running -= 1;
        if limited {
            self.effects.wake.push(a.device);
        }
        let job = self.jobs[a.job as usize].as_mut().expect("a job stays until its tasks end");
        job.running -= 1;
        if job.ended.is_some() {
            self.forget(a.job);
            return;
        }
        match outcome {
            Outcome::Done { bytes, spillable } => {
                self.measured(a, class, nanos as f64 * 1e-9, bytes);
                self.done(a, bytes, spillable, limited);
            }
            Outcome::Failed(cause) => {
                self.devices[a.device as usize].counts.failures += 1;
                let retries = job.graph.options(TaskId(a.task)).retries;
                if job.attempts[a.task as usize] <= retries {
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
        if self.policy.is_some() {
            state.measured(class, seconds);
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
            d.results.push((id, a.task));
        }
        if job.uses[task] == 0 {
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
    fn drop_result(&mut self, id: u32, task: u32) {
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
                self.effects.wake.push(home as u32);
            }
        }
        self.effects.freed.push((id, task));
    }

    /// A task whose inputs are there is given a place to wait in.
    fn ready(&mut self, id: u32, task: u32) {
        let job = self.jobs[id as usize].as_mut().expect("a job that is there");
        job.states[task as usize] = State::Ready;
        let group = &mut job.groups[job.graph.group_of(task) as usize];
        group.ready += 1;
        let kinds = job.graph.options(TaskId(task)).needs.kinds.index();
        self.backlog[kinds] += group.work;
        let ready = Ready { key: job.key(task), job: id, task };
        if let Some(mut policy) = self.policy.take() {
            let view = TaskView { job: self.job(id), task };
            let choice = policy.place(&view, None, &View { scheduler: self });
            self.policy = Some(policy);
            if let Choice::On(to, reason) = choice {
                self.devices[to].count_reason(&reason);
                self.queue_on(to, ready);
                self.effects.wake.push(to as u32);
                return;
            }
        }
        self.shared[kinds].push(ready);
        self.effects.ready += 1;
    }

    /// Ends a job: what waits is not run, and of an error's job no result is kept.
    fn end(&mut self, id: u32, result: Result<(), RunError>) {
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
            let keep = |r: &Ready| r.job != id;
            self.shared.iter_mut().chain(&mut self.sources).for_each(|q| q.retain(keep));
            for d in &mut self.devices {
                d.queue.retain(keep);
                if d.queue.is_empty() && d.running == 0 {
                    d.queue_seconds = 0.0;
                }
            }
            self.queued = self.devices.iter().map(|d| d.queue.len()).sum();
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
            self.jobs[id as usize] = None;
            self.devices.iter_mut().for_each(|d| d.results.retain(|(j, _)| *j != id));
            self.free.push(id);
        }
    }

    /// Takes a device out of use. Its running tasks must have been [`Outcome::Lost`]. What
    /// waits for it goes to others, and results that only it had are made again.
    pub(crate) fn device_lost(&mut self, device: usize) {
        let d = &mut self.devices[device];
        d.alive = false;
        d.queue_seconds = 0.0;
        d.results.clear();
        let waiting = d.queue.take();
        self.classes[d.class].slots -= f64::from(d.profile.slots);
        self.queued -= waiting.len();
        for id in 0..self.jobs.len() as u32 {
            let open = self.jobs[id as usize].as_ref().is_some_and(|j| j.ended.is_none());
            if open {
                self.results_lost(id, device as u32);
            }
        }
        // What still is ready, its inputs being elsewhere, finds another place.
        for r in waiting {
            let job = self.jobs[r.job as usize].as_mut();
            if let Some(job) = job.filter(|j| j.states[r.task as usize] == State::Ready) {
                job.groups[job.graph.group_of(r.task) as usize].ready -= 1;
                self.ready(r.job, r.task);
            }
        }
        for id in 0..self.jobs.len() as u32 {
            let open = self.jobs[id as usize].as_ref().is_some_and(|j| j.ended.is_none());
            if let Some(error) = open.then(|| self.cannot_run(id)).flatten() {
                self.end(id, Err(error));
            }
        }
    }

    fn results_lost(&mut self, id: u32, device: u32) {
        let job = self.job(id);
        let lost: Vec<u32> = (0..job.graph.len() as u32)
            .filter(|&t| job.states[t as usize] == State::Kept && job.homes[t as usize] == device)
            .collect();
        if lost.is_empty() {
            return;
        }
        let mut waits_again = false;
        for &task in &lost {
            self.drop_result(id, task);
            let job = self.job_mut(id);
            for at in job.dependent_range(task) {
                let dependent = job.dependent(at) as usize;
                match job.states[dependent] {
                    State::Waiting => job.waiting[dependent] += 1,
                    State::Ready => {
                        job.states[dependent] = State::Waiting;
                        job.waiting[dependent] = 1;
                        let group = job.graph.group_of(dependent as u32) as usize;
                        job.groups[group].ready -= 1;
                        waits_again = true;
                    }
                    _ => {}
                }
            }
        }
        if waits_again {
            let jobs = &self.jobs;
            let keep = |r: &Ready| {
                let job = jobs[r.job as usize].as_ref();
                job.is_some_and(|j| j.states[r.task as usize] == State::Ready)
            };
            self.shared.iter_mut().for_each(|q| q.retain(keep));
            self.devices.iter_mut().for_each(|d| d.queue.retain(keep));
            self.queued = self.devices.iter().map(|d| d.queue.len()).sum();
        }
        // Those that are still needed, and what they need in turn.
        let mut again: Vec<u32> =
            lost.into_iter().filter(|&t| self.job(id).uses[t as usize] > 0).collect();
        while let Some(task) = again.pop() {
            let job = self.job_mut(id);
            if job.states[task as usize] != State::Freed {
                continue;
            }
            job.states[task as usize] = State::Waiting;
            job.left += 1;
            let mut missing = 0;
            for at in job.graph.input_range(task) {
                let input = job.graph.all_inputs()[at];
                job.uses[input as usize] += 1;
                match job.states[input as usize] {
                    State::Kept | State::Spilled => {}
                    State::Freed => {
                        missing += 1;
                        again.push(input);
                    }
                    _ => missing += 1,
                }
            }
            job.waiting[task as usize] = missing;
            if missing == 0 {
                self.ready(id, task);
            }
        }
    }

    /// Seconds of a group's task on a class of device: measured there, else scaled from
    /// where it was measured, else told, else by the speed alone.
    pub(super) fn seconds(&self, job: &Job, group: u32, class: usize) -> f64 {
        let state = &job.groups[group as usize];
        let speed = self.classes[class].speed;
        if let Some(seconds) = state.seconds(class) {
            return seconds;
        }
        if let Some((other, seconds)) = state.any() {
            return seconds * self.classes[other].speed / speed;
        }
        job.graph.groups()[group as usize].options.needs.seconds.unwrap_or(1.0) / speed
    }

    /// See [`View::sooner_elsewhere`].
    pub(super) fn sooner_elsewhere(&self, task: &TaskView<'_>, device: usize) -> bool {
        let view = View { scheduler: self };
        let own = self.devices[device].class;
        let mine = view.run_seconds(task, device) + view.move_seconds(task, device);
        let group = task.job.graph.group_of(task.task);
        let kinds = task.kinds();
        // Tasks like this one a second that faster devices do, and the fastest one's time.
        let (mut rate, mut fastest) = (0.0, f64::INFINITY);
        for (c, class) in self.classes.iter().enumerate() {
            if c == own || class.slots == 0.0 || !kinds.contains(class.kind) {
                continue;
            }
            let seconds = self.seconds(task.job, group, c);
            if seconds < mine * 0.999 {
                rate += class.slots / seconds.max(1e-9);
                fastest = seconds.min(fastest);
            }
        }
        if rate == 0.0 {
            return false;
        }
        let backlog: f64 = match kinds {
            DeviceKinds::Any => self.backlog.iter().sum(),
            _ => self.backlog[kinds.index()] + self.backlog[DeviceKinds::Any.index()],
        };
        let work = task.job.groups[group as usize].work.max(1e-9);
        let before = (backlog / work - 1.0).max(0.0);
        before / rate + fastest < mine
    }
}
