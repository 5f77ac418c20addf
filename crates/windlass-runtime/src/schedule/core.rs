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
    pub(super) reserved: u64,
    /// Bytes of its inputs that come from other devices.
    pub(crate) moved: u64,
    /// When it began, in nanoseconds of the driver's clock.
    pub(crate) started: u64,
    /// Seconds that were added to the device's queue for it.
    pub(super) estimate: f64,
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
    /// Jobs that are through, to be dropped.
    pub(crate) through: Vec<Job>,
    /// Why tries failed that are made again, to be dropped.
    pub(crate) causes: Vec<Cause>,
    /// Number of tasks that became ready for any device.
    pub(crate) ready: usize,
    /// Devices to ask again: they have a new task of their own, or memory.
    pub(crate) wake: Vec<u32>,
}

/// Devices that are alike.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) kind: DeviceKind,
    pub(super) speed: f64,
    pub(super) slots: f64,
    /// The greatest limit of its devices.
    pub(super) memory: u64,
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
    pub(super) classes: Vec<Class>,
    pub(crate) jobs: Vec<Option<Job>>,
    pub(super) free: Vec<u32>,
    /// Ready tasks that any device may take that can run them.
    pub(super) shared: [Queue; DeviceKinds::COUNT],
    /// The next source of each job.
    sources: [Queue; DeviceKinds::COUNT],
    /// Number of tasks in queues of devices.
    pub(super) queued: usize,
    pub(super) policy: Option<Box<dyn Placement>>,
    /// Seconds of ready tasks on a device of speed 1.
    pub(super) backlog: [f64; DeviceKinds::COUNT],
    /// The greatest rank that was begun: new jobs' tasks come behind it, so that jobs share
    /// the devices task by task (start-time fair queueing, Goyal, Vin and Cheng, 1996, with
    /// a task as the unit).
    clock: u64,
    /// That of the last job.
    generation: u32,
    pub(crate) running: usize,
    victim: usize,
    /// Whether a result ever went to disk.
    pub(super) any_spilled: bool,
    /// Worker processes that may die of one task before it fails.
    pub(crate) deaths_allowed: usize,
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
                self.classes.push(Class { kind, speed, slots: 0.0, memory: 0 });
                self.classes.len() - 1
            }
        };
        let limit = profile.memory.unwrap_or(u64::MAX);
        let c = &mut self.classes[class];
        c.slots += f64::from(profile.slots);
        c.memory = c.memory.max(limit);
        self.devices.push(DeviceState::new(profile, class));
        self.devices.len() - 1
    }

    /// Takes on a job; its index. One that no device can run ends at once.
    pub(crate) fn submit(&mut self, mut job: Job) -> u32 {
        // Behind what was begun: jobs that come in a stream do not hold one up that is there.
        job.base = self.clock + 1;
        self.generation = self.generation.wrapping_add(1);
        job.generation = self.generation;
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
                self.sources[kinds].push(job.entry(id, task));
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
    pub(super) fn cannot_run(&self, id: u32) -> Option<RunError> {
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
                found = self.steal(device);
                break;
            };
            if from != From::Own && self.policy.is_some() {
                let task = TaskView { job: self.job(ready.job), ready };
                let view = View { scheduler: self };
                let asking = Some(device);
                let choice = (from == From::Source).then(|| self.chosen(&task, asking)).flatten();
                let accepted = match &choice {
                    Some((to, _)) => *to == device,
                    None => self.policy.as_ref().is_none_or(|p| p.accept(&task, device, &view)),
                };
                if let Some((to, reason)) = choice {
                    self.devices[to].count_reason(reason);
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

    /// Where a policy wants a task, and why; nowhere if it leaves it to anyone, or names a
    /// device that cannot run it.
    pub(super) fn chosen(
        &self,
        task: &TaskView<'_>,
        asking: Option<usize>,
    ) -> Option<(usize, Cow<'static, str>)> {
        let view = View { scheduler: self };
        match self.policy.as_ref()?.place(task, asking, &view) {
            Choice::On(to, reason) if to < view.devices() && view.may_run(task, to) => {
                Some((to, reason))
            }
            _ => None,
        }
    }

    /// Whether a task that was queued is still to be run.
    pub(super) fn is_ready(&self, r: &Ready) -> bool {
        let job = self.jobs[r.job as usize].as_ref();
        job.is_some_and(|j| {
            j.generation == r.generation
                && j.ended.is_none()
                && j.states[r.task as usize] == State::Ready
        })
    }

    /// The first ready task that a device may look at.
    pub(super) fn pop(&mut self, device: usize) -> Option<(Ready, From)> {
        loop {
            let (ready, from) = self.pop_queued(device)?;
            if self.is_ready(&ready) {
                return Some((ready, from));
            }
        }
    }

    /// The first task of those queues that a device may look at.
    fn pop_queued(&mut self, device: usize) -> Option<(Ready, From)> {
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
                self.devices[device].queue.pop();
                self.left_queue(device, &ready);
            }
            From::Shared => {
                self.shared[kinds].pop();
            }
            From::Source => {
                self.sources[kinds].pop();
                let job = self.jobs[ready.job as usize].as_mut();
                if let Some(job) = job.filter(|j| j.generation == ready.generation) {
                    job.sources[kinds].pop();
                    if let Some(&task) = job.sources[kinds].last() {
                        self.sources[kinds].push(job.entry(ready.job, task));
                    }
                }
            }
        }
        Some((ready, from))
    }

    /// About how many tasks a device could look at now; none if there is none.
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
                // The jobs have their sources; the first job's count, or one for each job, is
                // enough to go by.
                let first = self.sources[k].peek().and_then(|r| self.jobs[r.job as usize].as_ref());
                let first = first.map_or(0, |j| j.sources[k].len());
                n += first.max(self.sources[k].len());
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

    pub(super) fn queue_on(&mut self, device: usize, ready: Ready) {
        let seconds = self.task_seconds(&ready, device);
        let d = &mut self.devices[device];
        d.queue_seconds += seconds;
        d.queue.push(ready);
        self.queued += 1;
    }

    /// Takes note that a task was taken out of a device's queue.
    fn left_queue(&mut self, device: usize, ready: &Ready) {
        self.queued -= 1;
        // What one that is gone would have taken cannot be told any more.
        let seconds = if self.is_ready(ready) { self.task_seconds(ready, device) } else { 0.0 };
        let d = &mut self.devices[device];
        d.queue_seconds =
            if d.queue.is_empty() { 0.0 } else { (d.queue_seconds - seconds).max(0.0) };
    }

    /// Takes the first task of another device's queue that may move to this one.
    fn steal(&mut self, device: usize) -> Option<Ready> {
        if self.queued == 0 {
            return None;
        }
        let n = self.devices.len();
        self.victim = (self.victim + 1) % n;
        for i in 0..n.min(VICTIMS) {
            let victim = (self.victim + i) % n;
            if victim == device {
                continue;
            }
            while let Some(&ready) = self.devices[victim].queue.peek() {
                if !self.is_ready(&ready) {
                    self.devices[victim].queue.pop();
                    self.left_queue(victim, &ready);
                    continue;
                }
                let task = TaskView { job: self.job(ready.job), ready };
                let view = View { scheduler: self };
                let policy = self.policy.as_ref()?;
                if view.may_run(&task, device)
                    && self.fits(device, &ready)
                    && policy.may_move(&task, victim, device, &view)
                {
                    self.devices[victim].queue.pop();
                    self.left_queue(victim, &ready);
                    self.devices[device].count_reason(Cow::Borrowed("it was idle and took it"));
                    return Some(ready);
                }
                break;
            }
        }
        None
    }

    fn start(&mut self, device: usize, ready: Ready, now: u64) -> Assignment {
        let (moved, reserved) = self.claim(device, &ready);
        let class = self.devices[device].class;
        let job = self.jobs[ready.job as usize].as_mut().expect("a job that is there");
        let t = ready.task as usize;
        let group = job.graph.group_of(ready.task);
        job.states[t] = State::Running;
        job.attempts[t] += 1;
        job.running += 1;
        self.no_longer_ready(ready.job, ready.task);
        let estimate = if self.policy.is_some() {
            self.seconds(self.job(ready.job), group, class)
        } else {
            0.0
        };
        self.clock = self.clock.max(rank(ready.key));
        self.running += 1;
        let d = &mut self.devices[device];
        d.running += 1;
        d.running_seconds += estimate;
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
}
