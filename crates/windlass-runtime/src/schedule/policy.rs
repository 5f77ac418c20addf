//! Where a ready task goes.
//!
//! [`Placement`] is the one trait; whoever wants another policy writes one. A policy is
//! asked where there is more than one device. It sees the task, the devices, their queues,
//! the seconds that the task is expected to take on each, and the bytes that would have to
//! move. It answers with a device, or leaves the task to the first device that asks.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{core::Scheduler, device::DeviceProfile, job::Job, queue::Ready};
use crate::graph::{DeviceKinds, TaskId};

/// The devices that a policy looks at one by one; of more it samples.
const LOOKED_AT: usize = 16;

/// Where a task goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// To this device.
    On(usize, Cow<'static, str>),
    /// To the first device that asks for work and may run it.
    Anywhere(Cow<'static, str>),
}

/// A policy.
pub trait Placement: fmt::Debug + Send {
    /// Its name, for reports.
    fn name(&self) -> &str;

    /// Where a task goes whose inputs are there. For a task with no inputs that is asked
    /// when a device has nothing else to do, which is `asking`; so sources are begun no
    /// sooner than they can run. A device for which [`View::may_run`] does not hold counts as
    /// [`Choice::Anywhere`].
    fn place(&self, task: &TaskView<'_>, asking: Option<usize>, view: &View<'_>) -> Choice;

    /// Whether a device may take a task that was left to anyone. One that refuses leaves it
    /// to another device, which must be able to take it.
    fn accept(&self, _task: &TaskView<'_>, _device: usize, _view: &View<'_>) -> bool {
        true
    }

    /// Whether an idle device may take a task from another one's queue.
    fn may_move(&self, _task: &TaskView<'_>, _from: usize, _to: usize, _view: &View<'_>) -> bool {
        true
    }
}

/// A ready task.
#[derive(Clone, Copy)]
pub struct TaskView<'a> {
    pub(crate) job: &'a Job,
    pub(crate) ready: Ready,
}

impl TaskView<'_> {
    /// Its name.
    pub fn name(&self) -> String {
        self.job.graph.name(TaskId(self.ready.task))
    }

    /// The name of its group.
    pub fn group(&self) -> &str {
        &self.job.graph.groups()[self.job.graph.group_of(self.ready.task) as usize].name
    }

    /// The kinds of device that can run it.
    pub fn kinds(&self) -> DeviceKinds {
        self.job.graph.options(TaskId(self.ready.task)).needs.kinds
    }

    /// Bytes of each of its inputs, and the device that has it.
    pub fn inputs(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.job
            .graph
            .input_words(self.ready.task)
            .iter()
            .map(|&i| (self.job.homes[i as usize] as usize, self.job.bytes[i as usize]))
    }

    /// Bytes of its inputs that are not on a device.
    pub fn bytes_away_from(&self, device: usize) -> u64 {
        self.inputs().filter(|(home, _)| *home != device).map(|(_, bytes)| bytes).sum()
    }
}

impl fmt::Debug for TaskView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskView").field(&self.name()).finish()
    }
}

/// The devices and what goes on there.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub(crate) scheduler: &'a Scheduler,
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("devices", &self.devices()).finish()
    }
}

impl View<'_> {
    /// Number of devices.
    pub fn devices(&self) -> usize {
        self.scheduler.devices.len()
    }

    /// A device's profile.
    pub fn profile(&self, device: usize) -> &DeviceProfile {
        &self.scheduler.devices[device].profile
    }

    /// Whether a device is there and can run a task: it is of its kind, and the task fits in
    /// its memory if nothing else is there.
    pub fn may_run(&self, task: &TaskView<'_>, device: usize) -> bool {
        let d = &self.scheduler.devices[device];
        let fits = |limit| self.scheduler.need_bytes(device, &task.ready) <= limit;
        d.alive && task.kinds().contains(d.profile.kind) && d.profile.memory.is_none_or(fits)
    }

    /// Seconds until a device is through with what was placed there and what it runs.
    pub fn queued_seconds(&self, device: usize) -> f64 {
        let d = &self.scheduler.devices[device];
        (d.queue_seconds + d.running_seconds) / f64::from(d.profile.slots)
    }

    /// Seconds that a task takes on a device: measured, told, or guessed by its speed.
    pub fn run_seconds(&self, task: &TaskView<'_>, device: usize) -> f64 {
        let class = self.scheduler.devices[device].class;
        self.scheduler.seconds(task.job, task.job.graph.group_of(task.ready.task), class)
    }

    /// Seconds until a task's inputs are on a device.
    pub fn move_seconds(&self, task: &TaskView<'_>, device: usize) -> f64 {
        let link = self.scheduler.devices[device].profile.link;
        link.map_or(0.0, |rate| task.bytes_away_from(device) as f64 / rate)
    }

    /// Seconds until a task is done that is placed on a device now.
    pub fn finish_seconds(&self, task: &TaskView<'_>, device: usize) -> f64 {
        self.queued_seconds(device)
            + self.move_seconds(task, device)
            + self.run_seconds(task, device)
    }

    /// Whether a task in one device's queue would be done on another before its turn comes.
    pub fn sooner_moved(&self, task: &TaskView<'_>, from: usize, to: usize) -> bool {
        let there = self.move_seconds(task, to) + self.run_seconds(task, to);
        there < self.queued_seconds(from)
    }

    /// Whether the faster devices would be through with all that waits, this task as the
    /// last, before `device` had run it.
    pub fn sooner_elsewhere(&self, task: &TaskView<'_>, device: usize) -> bool {
        self.scheduler.sooner_elsewhere(task, device)
    }

    /// Some device that can run the task, if one of a few draws is one.
    fn draw(&self, task: &TaskView<'_>, rng: &mut StdRng) -> Option<usize> {
        (0..LOOKED_AT)
            .map(|_| rng.random_range(0..self.devices()))
            .find(|&d| self.may_run(task, d))
            .or_else(|| (0..self.devices()).find(|&d| self.may_run(task, d)))
    }

    /// The devices worth a look: those with the inputs, the one that asks, and all of a few
    /// or two drawn ones of many, of which the better one is nearly as good as the best
    /// (Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, 2001).
    fn candidates(
        &self,
        task: &TaskView<'_>,
        asking: Option<usize>,
        rng: &mut StdRng,
    ) -> Vec<usize> {
        let mut found: Vec<usize> = asking.into_iter().collect();
        if self.devices() <= LOOKED_AT {
            found.extend(0..self.devices());
        } else {
            // The greatest inputs' homes.
            let mut homes: Vec<_> = task.inputs().take(64).collect();
            homes.sort_unstable_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
            found.extend(homes.iter().take(4).map(|(home, _)| *home));
            found.extend([self.draw(task, rng), self.draw(task, rng)].into_iter().flatten());
        }
        found.retain(|&d| d < self.devices() && self.may_run(task, d));
        found
    }
}

fn least(devices: impl IntoIterator<Item = usize>, cost: impl Fn(usize) -> f64) -> Option<usize> {
    devices.into_iter().min_by(|&a, &b| cost(a).total_cmp(&cost(b)))
}

/// Each task where it will be done first: what waits there, what must move, and how long it
/// runs. A slow device leaves the last tasks to faster ones.
#[derive(Debug)]
pub struct CostBased {
    rng: RefCell<StdRng>,
}

impl CostBased {
    /// The policy; of many devices it draws by this seed.
    pub fn new(seed: u64) -> Self {
        Self { rng: RefCell::new(StdRng::seed_from_u64(seed)) }
    }
}

impl Default for CostBased {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Placement for CostBased {
    fn name(&self) -> &str {
        "cost-based"
    }

    fn place(&self, task: &TaskView<'_>, asking: Option<usize>, view: &View<'_>) -> Choice {
        let moves = |d: usize| view.profile(d).link.is_some() && task.bytes_away_from(d) > 0;
        let candidates = view.candidates(task, asking, &mut self.rng.borrow_mut());
        // With nothing to move, the first that asks is the least loaded one.
        if !candidates.iter().any(|&d| moves(d)) {
            return Choice::Anywhere("nothing has to move: the first idle device".into());
        }
        match least(candidates, |d| view.finish_seconds(task, d)) {
            Some(d) => Choice::On(d, "done there first".into()),
            None => Choice::Anywhere("no device can run it now".into()),
        }
    }

    fn accept(&self, task: &TaskView<'_>, device: usize, view: &View<'_>) -> bool {
        !view.sooner_elsewhere(task, device)
    }

    fn may_move(&self, task: &TaskView<'_>, from: usize, to: usize, view: &View<'_>) -> bool {
        view.sooner_moved(task, from, to)
    }
}

/// Each task where most bytes of its inputs are; an idle device takes one from a queue only
/// if its bytes come sooner than its turn.
#[derive(Debug, Default)]
pub struct LocalityFirst;

impl Placement for LocalityFirst {
    fn name(&self) -> &str {
        "locality-first"
    }

    fn place(&self, task: &TaskView<'_>, _asking: Option<usize>, view: &View<'_>) -> Choice {
        let mut held: Vec<(usize, u64)> = Vec::new();
        for (home, bytes) in task.inputs() {
            match held.iter_mut().find(|(h, _)| *h == home) {
                Some((_, sum)) => *sum += bytes,
                None => held.push((home, bytes)),
            }
        }
        held.retain(|(home, _)| *home < view.devices() && view.may_run(task, *home));
        match held.into_iter().max_by_key(|(home, bytes)| (*bytes, std::cmp::Reverse(*home))) {
            Some((home, _)) => Choice::On(home, "most of its input is there".into()),
            None => Choice::Anywhere("it has no input: the first idle device".into()),
        }
    }

    fn may_move(&self, task: &TaskView<'_>, from: usize, to: usize, view: &View<'_>) -> bool {
        view.sooner_moved(task, from, to)
    }
}

/// One device after another.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: Cell<usize>,
}

impl Placement for RoundRobin {
    fn name(&self) -> &str {
        "round-robin"
    }

    fn place(&self, task: &TaskView<'_>, _asking: Option<usize>, view: &View<'_>) -> Choice {
        let (n, next) = (view.devices(), self.next.get());
        match (next..next + n).find(|d| view.may_run(task, d % n)) {
            Some(d) => {
                self.next.set((d + 1) % n);
                Choice::On(d % n, "its turn".into())
            }
            None => Choice::Anywhere("no device can run it now".into()),
        }
    }

    fn may_move(&self, _: &TaskView<'_>, _: usize, _: usize, _: &View<'_>) -> bool {
        false
    }
}

/// Any device, drawn by a seed: what others are compared with.
#[derive(Debug)]
pub struct Random {
    rng: RefCell<StdRng>,
}

impl Random {
    /// The policy with a seed.
    pub fn new(seed: u64) -> Self {
        Self { rng: RefCell::new(StdRng::seed_from_u64(seed)) }
    }
}

impl Placement for Random {
    fn name(&self) -> &str {
        "random"
    }

    fn place(&self, task: &TaskView<'_>, _asking: Option<usize>, view: &View<'_>) -> Choice {
        match view.draw(task, &mut self.rng.borrow_mut()) {
            Some(d) => Choice::On(d, "drawn".into()),
            None => Choice::Anywhere("no device can run it now".into()),
        }
    }

    fn may_move(&self, _: &TaskView<'_>, _: usize, _: usize, _: &View<'_>) -> bool {
        false
    }
}

/// The tasks of named groups on named devices, and the others by another policy.
#[derive(Debug)]
pub struct Pinned {
    devices: HashMap<String, String>,
    others: Box<dyn Placement>,
}

impl Pinned {
    /// Groups by name, each with the name of its device. A device that is absent, or cannot
    /// run the task, leaves it to `others`.
    pub fn new(devices: HashMap<String, String>, others: Box<dyn Placement>) -> Self {
        Self { devices, others }
    }

    fn device(&self, task: &TaskView<'_>, view: &View<'_>) -> Option<usize> {
        let name = self.devices.get(task.group())?;
        (0..view.devices()).find(|&d| *view.profile(d).name == **name && view.may_run(task, d))
    }
}

impl Placement for Pinned {
    fn name(&self) -> &str {
        "pinned"
    }

    fn place(&self, task: &TaskView<'_>, asking: Option<usize>, view: &View<'_>) -> Choice {
        match self.device(task, view) {
            Some(d) => Choice::On(d, "its group is pinned there".into()),
            None => self.others.place(task, asking, view),
        }
    }

    fn accept(&self, task: &TaskView<'_>, device: usize, view: &View<'_>) -> bool {
        self.others.accept(task, device, view)
    }

    fn may_move(&self, task: &TaskView<'_>, from: usize, to: usize, view: &View<'_>) -> bool {
        self.device(task, view).is_none() && self.others.may_move(task, from, to, view)
    }
}
