//! The threads of an executor.

use std::{
    any::Any,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Shared,
    spill::SpillFile,
    state::{Deadline, Outside, Slot, State},
};
use crate::{
    events::EventKind,
    graph::{Graph, TaskContext, TaskId, Value},
    schedule::{Cause, core::Assignment},
};

/// Most tasks that a thread takes at once, and the time that they should take together: the
/// lock is taken once for them. Tasks that take longer are taken one by one. By
/// `windlass bench tasks`, 64 no-ops at once cost a third of 64 times one.
const BATCH: usize = 64;
const BATCH_TIME: Duration = Duration::from_micros(20);

/// How long a thread looks for work before it sleeps: about what waking it would take.
const SPIN: Duration = Duration::from_micros(30);

/// A task that a thread has taken.
struct Taken {
    assignment: Assignment,
    graph: Arc<Graph>,
    cancelled: Arc<AtomicBool>,
    attempt: u32,
    /// Its inputs among the thread's.
    inputs: Range<usize>,
    /// Those that are on disk.
    on_disk: Vec<(usize, u32, Arc<SpillFile>)>,
}

/// One try of a task, ended.
struct Tried {
    assignment: Assignment,
    result: Result<Value, Cause>,
    /// When it ended.
    nanos: u64,
}

/// What a thread keeps from turn to turn.
#[derive(Default)]
struct Desk {
    taken: Vec<Taken>,
    tried: Vec<Tried>,
    inputs: Vec<Value>,
    outside: Outside,
    /// Results that were read from disk, as (job, task, value).
    loaded: Vec<(u32, u32, Value)>,
}

/// Runs tasks of one device until the executor is shut down, or this thread was replaced.
pub(super) fn run(shared: &Arc<Shared>, device: usize, worker: u64) {
    let name = {
        let state = shared.state.lock();
        Arc::clone(&state.scheduler.devices[device].profile.name)
    };
    let mut desk = Desk::default();
    let mut most = 1;
    loop {
        let mut state = shared.state.lock();
        // A try that took too long was reported already, and this thread was replaced.
        if !state.abandoned.is_empty() && state.abandoned.remove(&worker) {
            return;
        }
        if !state.deadlines.is_empty() {
            state.deadlines.retain(|d| d.worker != worker);
        }
        for (job, task, value) in desk.loaded.drain(..) {
            if let Some(job) = &mut state.jobs[job as usize]
                && let slot @ Slot::Disk(_) = &mut job.slots[task as usize]
            {
                desk.outside.garbage.push(std::mem::replace(slot, Slot::Memory(value)));
            }
        }
        for t in desk.tried.drain(..) {
            state.report(&t.assignment, t.result, t.nanos);
        }
        take(shared, &mut state, device, worker, most, &mut desk);
        state.settle(&mut desk.outside);
        wake(shared, &mut state);
        if desk.taken.is_empty() && desk.outside.is_empty() {
            if state.shut_down {
                return;
            }
            shared.waits(state, device);
            continue;
        }
        drop(state);
        finish_outside(shared, &mut desk.outside);
        let began = Instant::now();
        let n = desk.taken.len();
        work(shared, &name, &mut desk);
        most = next_batch(most, n, began.elapsed());
    }
}

/// How many tasks to take at once, after `n` took that time.
fn next_batch(most: usize, n: usize, time: Duration) -> usize {
    if n == 0 {
        return most;
    }
    let per_task = time.as_nanos() as usize / n;
    (BATCH_TIME.as_nanos() as usize / per_task.max(1)).clamp(1, BATCH.min(most * 2))
}

/// Takes tasks for this thread.
fn take(
    shared: &Shared,
    state: &mut State,
    device: usize,
    worker: u64,
    most: usize,
    desk: &mut Desk,
) {
    if state.shut_down {
        return;
    }
    let most = if state.timed_jobs > 0 {
        1
    } else if most > 1 {
        // Leave as much to each of the other threads.
        most.min(state.scheduler.available(device) / (2 * shared.threads) + 1)
    } else {
        1
    };
    let now = shared.nanos();
    while desk.taken.len() < most {
        let Some(assignment) = state.scheduler.next(device, now) else { break };
        let (id, task) = (assignment.job, assignment.task);
        let attempt = u32::from(state.scheduler.job(id).attempts[task as usize]);
        let job = state.jobs[id as usize].as_ref().expect("a job with a task to run");
        let begin = desk.inputs.len();
        let mut on_disk = Vec::new();
        for &input in job.graph.input_words(task) {
            match &job.slots[input as usize] {
                Slot::Memory(value) => desk.inputs.push(value.clone()),
                Slot::Disk(file) => {
                    on_disk.push((desk.inputs.len(), input, Arc::clone(file)));
                    desk.inputs.push(Value::new(()));
                }
                // The scheduler starts a task when its inputs are there.
                Slot::Empty => unreachable!("an input that is not there"),
            }
        }
        let timeout = job.graph.options(TaskId(task)).timeout;
        desk.taken.push(Taken {
            inputs: begin..desk.inputs.len(),
            on_disk,
            graph: Arc::clone(&job.graph),
            cancelled: Arc::clone(&job.cancelled),
            attempt,
            assignment: assignment.clone(),
        });
        if let Some(timeout) = timeout {
            state.deadlines.push(Deadline { at: Instant::now() + timeout, assignment, worker });
            shared.clock.notify_one();
        }
    }
}

/// Wakes threads for what is left, one of each device at a time: it wakes the next.
fn wake(shared: &Shared, state: &mut State) {
    state.scheduler.effects.wake.clear();
    state.scheduler.effects.ready = 0;
    let mut left = 0;
    for d in 0..state.idle.len() {
        let available = state.scheduler.available(d);
        left += available;
        if state.idle[d] > 0 && !state.waking[d] && available > 0 {
            state.waking[d] = true;
            shared.more[d].notify_one();
        }
    }
    shared.left.store(left, Ordering::Relaxed);
}

impl Shared {
    /// Wakes threads after a change that no thread of this executor made.
    pub(super) fn wake_all(&self, state: &mut State) {
        wake(self, state);
    }

    /// Waits until there may be work: first awake, then asleep.
    fn waits<'a>(&'a self, mut state: parking_lot::MutexGuard<'a, State>, device: usize) {
        // Whoever sleeps when nothing is left must be woken by whoever makes more: that is
        // decided under the lock.
        let before = self.left.load(Ordering::Relaxed);
        if before == 0 {
            drop(state);
            let began = Instant::now();
            while self.left.load(Ordering::Relaxed) == 0 && began.elapsed() < SPIN {
                std::hint::spin_loop();
            }
            if self.left.load(Ordering::Relaxed) > 0 {
                return;
            }
            state = self.state.lock();
            if state.shut_down || state.scheduler.available(device) > 0 {
                return;
            }
        }
        state.idle[device] += 1;
        self.more[device].wait(&mut state);
        state.idle[device] -= 1;
        state.waking[device] = false;
    }

    /// Nanoseconds since the executor was made.
    pub(super) fn nanos(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
}

/// Does what needs no lock, or takes it again.
pub(super) fn finish_outside(shared: &Shared, outside: &mut Outside) {
    outside.garbage.clear();
    for ended in outside.ended.drain(..) {
        ended.tell();
    }
    for s in outside.spill.drain(..) {
        let folder = shared.spill.as_ref().ok_or_else(|| "there is no folder for it".to_string());
        let written = folder.and_then(|f| f.write(&s.value));
        let mut more = Outside::default();
        {
            let mut state = shared.state.lock();
            match written {
                Ok(file) => {
                    let spilled = state.scheduler.is_spilled(s.job, s.task);
                    if let Some(job) = &mut state.jobs[s.job as usize]
                        && let slot @ Slot::Memory(_) = &mut job.slots[s.task as usize]
                        && spilled
                    {
                        more.garbage.push(std::mem::replace(slot, Slot::Disk(Arc::new(file))));
                    }
                }
                Err(message) => {
                    if state.jobs[s.job as usize].is_some() {
                        let error =
                            state.scheduler.job(s.job).failure(s.task, Cause::Spill(message));
                        state.fail(s.job, error, &mut more);
                    }
                }
            }
        }
        drop(s.value);
        more.garbage.clear();
        more.ended.drain(..).for_each(super::state::Ended::tell);
    }
}

/// Runs the tasks that were taken.
fn work(shared: &Shared, device: &str, desk: &mut Desk) {
    let mut began = shared.nanos();
    for mut t in desk.taken.drain(..) {
        let mut result = None;
        for (at, input, file) in t.on_disk.drain(..) {
            match file.read() {
                Ok(value) => {
                    desk.loaded.push((t.assignment.job, input, value.clone()));
                    desk.inputs[at] = value;
                }
                Err(e) => result = Some(Err(Cause::Spill(e))),
            }
        }
        let result = result.unwrap_or_else(|| {
            try_task(
                &t.graph,
                t.assignment.task,
                &desk.inputs[t.inputs.clone()],
                (t.attempt, device),
                &t.cancelled,
            )
        });
        let nanos = shared.nanos();
        if shared.events.wanted() {
            let name = t.graph.name(TaskId(t.assignment.task));
            let bytes = result.as_ref().map_or(0, Value::bytes);
            let began = shared.began + Duration::from_nanos(began);
            shared.events.span(EventKind::Task, &device, &name, began, (0, bytes));
        }
        t.assignment.started = began;
        began = nanos;
        desk.tried.push(Tried { assignment: t.assignment, result, nanos });
    }
    desk.inputs.clear();
}

/// Calls the function of a task.
pub(super) fn try_task(
    graph: &Graph,
    task: u32,
    inputs: &[Value],
    (attempt, device): (u32, &str),
    cancelled: &AtomicBool,
) -> Result<Value, Cause> {
    let Some(work) = graph.work(task) else {
        return Err(Cause::error("it has no function: the graph was made to be simulated".into()));
    };
    let context = TaskContext {
        inputs,
        number: graph.number(task),
        attempt,
        device,
        cancelled,
        timeout: graph.options(TaskId(task)).timeout,
    };
    match catch_unwind(AssertUnwindSafe(|| work(&context))) {
        Ok(result) => result.map_err(Cause::error),
        Err(panic) => Err(Cause::Panicked(message(&*panic))),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "with something that is no text".into())
}

/// Reports tries that took too long, and puts another thread in the place of theirs.
pub(super) fn watch(shared: &Arc<Shared>) {
    let mut state = shared.state.lock();
    loop {
        if state.shut_down {
            return;
        }
        let Some(next) = state.deadlines.iter().map(|d| d.at).min() else {
            shared.clock.wait(&mut state);
            continue;
        };
        if next > Instant::now() {
            shared.clock.wait_until(&mut state, next);
            continue;
        }
        let late = state.deadlines.iter().position(|d| d.at == next).expect("it was found");
        let late = state.deadlines.swap_remove(late);
        let graph = state.jobs[late.assignment.job as usize].as_ref().map(|j| Arc::clone(&j.graph));
        let limit = graph.and_then(|g| g.options(TaskId(late.assignment.task)).timeout);
        let device = late.assignment.device as usize;
        let (mut outside, now) = (Outside::default(), shared.nanos());
        state.report(&late.assignment, Err(Cause::TimedOut(limit.unwrap_or_default())), now);
        state.settle(&mut outside);
        state.abandoned.insert(late.worker);
        shared.wake_all(&mut state);
        drop(state);
        finish_outside(shared, &mut outside);
        if let Err(e) = super::spawn_worker(shared, device) {
            tracing::warn!(error = %e, "no thread in the place of one that is held up");
        }
        state = shared.state.lock();
    }
}
