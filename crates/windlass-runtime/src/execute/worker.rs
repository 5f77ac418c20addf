//! The threads of an executor.

use std::{
    any::Any,
    collections::VecDeque,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    JobId, Shared,
    spill::SpillFile,
    state::{Deadline, Outside, Slot, State},
};
use crate::{
    events::EventKind,
    graph::{Graph, TaskContext, TaskId, Value},
    processes::Pool,
    schedule::{Cause, core::Assignment},
    sync::{MutexGuard, SPIN},
};

/// Most tasks that a thread takes at once: the lock is taken once for them. Only tasks of
/// groups that were measured to be short are taken together. A guess.
const BATCH: usize = 64;

/// What is short, and how long a turn of short tasks may take before results are reported:
/// guesses, far above what the lock costs and far below what a person notices.
const SHORT: Duration = Duration::from_micros(10);
const TURN: Duration = Duration::from_millis(1);

/// A task that a thread has taken.
struct Taken {
    assignment: Assignment,
    graph: Arc<Graph>,
    cancelled: Arc<AtomicBool>,
    attempt: u32,
    /// Whether its group's tasks are short.
    short: bool,
    timeout: Option<Duration>,
    /// Its inputs among the thread's.
    inputs: Range<usize>,
    /// Those that are on disk.
    on_disk: Vec<(usize, u32, Arc<SpillFile>)>,
    /// The job's serial number.
    serial: u64,
}

/// One try of a task, ended; with no result if it was not begun, as its job ended before.
struct Tried {
    assignment: Assignment,
    result: Option<Result<Value, Cause>>,
    /// When it ended.
    nanos: u64,
}

/// What a thread keeps from turn to turn.
#[derive(Default)]
struct Desk {
    taken: VecDeque<Taken>,
    tried: Vec<Tried>,
    inputs: Vec<Value>,
    outside: Outside,
}

/// Runs tasks of one device until the executor is shut down, or this thread was replaced.
pub(super) fn run(shared: &Arc<Shared>, device: usize, worker: u64) {
    let name = {
        let state = shared.state.lock();
        Arc::clone(&state.scheduler.devices[device].profile.name)
    };
    let mut desk = Desk::default();
    loop {
        let mut state = shared.state.lock();
        // A try that took too long was reported already, and this thread was replaced.
        if !state.abandoned.is_empty() && state.abandoned.remove(&worker) {
            return;
        }
        if !state.deadlines.is_empty() {
            state.deadlines.retain(|d| d.worker != worker);
        }
        let mut moved = !desk.tried.is_empty();
        for t in desk.tried.drain(..) {
            state.report(&t.assignment, t.result, t.nanos, &mut desk.outside);
        }
        if desk.taken.is_empty() {
            take(shared, &mut state, device, &mut desk);
        } else {
            // A turn ended before its tasks did: the next is this thread's, the others anyone's.
            for t in desk.taken.drain(1..) {
                state.report(&t.assignment, None, shared.nanos(), &mut desk.outside);
            }
        }
        if let Some(first) = desk.taken.front() {
            moved = true;
            // A limit beyond what the clock can tell is none.
            let at = first.timeout.and_then(|limit| Instant::now().checked_add(limit));
            if let Some(at) = at {
                let assignment = first.assignment.clone();
                if state.deadlines.iter().all(|d| at < d.at) {
                    shared.clock.notify_one();
                }
                state.deadlines.push(Deadline { at, assignment, worker });
            }
        }
        state.settle(&mut desk.outside);
        // A task that was found a place on another device counts too.
        if moved || !state.scheduler.effects.wake.is_empty() {
            wake(shared, &mut state);
        }
        if desk.taken.is_empty() && desk.outside.is_empty() {
            if state.shut_down {
                return;
            }
            shared.waits(state, device);
            continue;
        }
        drop(state);
        finish_outside(shared, &mut desk.outside);
        work(shared, &name, worker, &mut desk);
    }
}

/// Takes tasks for this thread.
fn take(shared: &Shared, state: &mut State, device: usize, desk: &mut Desk) {
    if state.shut_down {
        return;
    }
    // Leave as much to each of the other threads.
    let share = state.scheduler.available(device) / (2 * shared.threads) + 1;
    let (most, now) = (share.min(BATCH), shared.nanos());
    while desk.taken.len() < most {
        let Some(assignment) = state.scheduler.next(device, now) else { break };
        let (id, task) = (assignment.job, assignment.task);
        let known = state.scheduler.job(id);
        let attempt = u32::from(known.attempts[task as usize]);
        let seconds = state.scheduler.measured_seconds(id, task, device);
        let job = state.jobs[id as usize].as_ref().expect("a job with a task to run");
        // One in another process is ended with it, and by who waits for it.
        let elsewhere = shared.pool.is_some() && job.graph.function(task).is_some();
        let timeout = job.graph.options(TaskId(task)).timeout.filter(|_| !elsewhere);
        let short = timeout.is_none() && seconds.is_some_and(|s| s < SHORT.as_secs_f64());
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
        desk.taken.push_back(Taken {
            inputs: begin..desk.inputs.len(),
            on_disk,
            graph: Arc::clone(&job.graph),
            cancelled: Arc::clone(&job.cancelled),
            attempt,
            short,
            timeout,
            serial: job.serial,
            assignment,
        });
        if !short {
            break;
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
    fn waits<'a>(&'a self, mut state: MutexGuard<'a, State>, device: usize) {
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

/// Calls what is not ours outside of tasks: a panic there ends nothing.
fn call<R>(what: &str, f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => Some(result),
        Err(panic) => {
            let message = message(&*panic);
            // Its own drop may panic too.
            std::mem::forget(panic);
            tracing::error!(what, message, "a panic outside of a task");
            None
        }
    }
}

/// Drops values one by one: two that panic in one drop of all would end the process.
fn drop_each<T>(what: &str, values: &mut Vec<T>) {
    for value in values.drain(..) {
        call(what, || drop(value));
    }
}

/// Does what needs no lock, or takes it again.
pub(super) fn finish_outside(shared: &Shared, outside: &mut Outside) {
    if outside.is_empty() {
        return;
    }
    drop_each("the drop of a result", &mut outside.garbage);
    drop_each("the drop of a function", &mut outside.jobs);
    drop_each("the drop of an error", &mut outside.causes);
    for ended in outside.ended.drain(..) {
        call("what follows a job's end", || ended.tell());
    }
    for s in outside.spill.drain(..) {
        let folder = shared.spill.as_ref().ok_or_else(|| "there is no folder for it".to_string());
        let written = folder.and_then(|f| {
            let written = call("the writing of a result", || f.write(&s.value));
            written.unwrap_or_else(|| Err("it panicked while it was written".into()))
        });
        let mut more = Outside::default();
        let mut state = shared.state.lock();
        match written {
            Ok(file) => {
                // Meanwhile it may have been asked for again, or its job may have ended.
                let spilled = state.scheduler.is_spilled(s.job.index, s.task);
                if let Some(job) = state.job(s.job)
                    && let slot @ Slot::Memory(_) = &mut job.slots[s.task as usize]
                    && spilled
                {
                    more.garbage.push(std::mem::replace(slot, Slot::Disk(Arc::new(file))));
                }
            }
            Err(message) => {
                if state.job(s.job).is_some() {
                    let known = state.scheduler.job(s.job.index);
                    let error = known.failure(s.task, Cause::Spill(message));
                    state.fail(s.job.index, error, &mut more);
                    shared.wake_all(&mut state);
                }
            }
        }
        drop(state);
        more.garbage.push(Slot::Memory(s.value));
        finish_outside(shared, &mut more);
    }
}

/// Runs the tasks that were taken: the first, and then those that are short, until the turn
/// is over.
fn work(shared: &Shared, device: &str, worker: u64, desk: &mut Desk) {
    let turn = shared.nanos();
    let mut began = turn;
    while let Some(mut t) = desk.taken.pop_front() {
        let over = began - turn > TURN.as_nanos() as u64;
        if !desk.tried.is_empty() && (over || !t.short) {
            desk.taken.push_front(t);
            break;
        }
        let result = if t.cancelled.load(Ordering::Relaxed) {
            None
        } else {
            Some(load(shared, &mut t, &mut desk.inputs).and_then(|()| {
                try_task(
                    &t.graph,
                    t.assignment.task,
                    &desk.inputs[t.inputs.clone()],
                    (t.attempt, device),
                    &t.cancelled,
                    shared.pool.as_ref(),
                )
            }))
        };
        let nanos = shared.nanos();
        if shared.events.wanted()
            && let Some(result) = &result
        {
            let name = t.graph.name(TaskId(t.assignment.task));
            let bytes = result.as_ref().map_or(0, Value::bytes);
            // The next task of a turn begins where this one ends: they do not overlap.
            let at = |nanos| shared.began + Duration::from_nanos(nanos);
            let lane = (&device as &dyn std::fmt::Display, worker);
            let kind = if result.is_ok() { EventKind::Task } else { EventKind::Failed };
            shared.events.span_between(kind, lane, &name, (at(began), at(nanos)), (0, bytes));
        }
        t.assignment.started = began;
        began = nanos;
        desk.tried.push(Tried { assignment: t.assignment, result, nanos });
    }
    if desk.taken.is_empty() {
        drop_each("the drop of an input", &mut desk.inputs);
    }
}

/// Reads those inputs of a task that are on disk, for others too that need them.
fn load(shared: &Shared, t: &mut Taken, inputs: &mut [Value]) -> Result<(), Cause> {
    let job = JobId { index: t.assignment.job, serial: t.serial };
    for (at, input, file) in t.on_disk.drain(..) {
        let read = call("the reading of a result", || file.read());
        let read = read.unwrap_or_else(|| Err("it panicked while it was read back".into()));
        inputs[at] = read.map_err(Cause::Spill)?;
        let mut old = None;
        if let Some(job) = shared.state.lock().job(job)
            && let slot @ Slot::Disk(_) = &mut job.slots[input as usize]
        {
            old = Some(std::mem::replace(slot, Slot::Memory(inputs[at].clone())));
        }
        drop(old);
    }
    Ok(())
}

/// Calls the function of a task.
pub(super) fn try_task(
    graph: &Graph,
    task: u32,
    inputs: &[Value],
    (attempt, device): (u32, &str),
    cancelled: &AtomicBool,
    pool: Option<&Pool>,
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
    let elsewhere = pool.and_then(|p| Some((p, graph.function(task)?)));
    let run = || match elsewhere {
        Some((pool, function)) => pool.call(function, &context, || graph.name(TaskId(task))),
        None => work(&context).map_err(Cause::error),
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(panic) => Err(Cause::Panicked(message(&*panic))),
    }
}

pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
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
        let cause = Cause::TimedOut(limit.unwrap_or_default());
        state.report(&late.assignment, Some(Err(cause)), now, &mut outside);
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
