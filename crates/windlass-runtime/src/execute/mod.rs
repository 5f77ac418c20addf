//! Runs graphs: on threads, or on the caller's thread alone.
//!
//! An [`Executor`] has threads for each of its devices. They share one scheduler behind a
//! lock: a thread reports what it ran, takes what is next, and runs it without the lock.
//! Short tasks are taken many at once, so that the lock costs little.
//!
//! [`run_synchronous`] runs a graph on the caller's thread, one task after another in the
//! order of the scheduler: what a debugger wants, and the same each time.
//!
//! ```
//! use windlass_runtime::{
//!     execute::{Executor, ExecutorOptions},
//!     graph::{GraphBuilder, TaskOptions, Value},
//! };
//!
//! let mut g = GraphBuilder::new();
//! let square = g.group("square", TaskOptions::default());
//! let sum = g.group("sum", TaskOptions::default());
//! let squares: Vec<_> =
//!     (0..10_u64).map(|i| g.task(square, &[], move |_| Ok(Value::new(i * i)))).collect();
//! let total = g.task(sum, &squares, |c| {
//!     Ok(Value::new(c.inputs().iter().filter_map(Value::downcast_ref::<u64>).sum::<u64>()))
//! });
//! let executor = Executor::new(ExecutorOptions::default())?;
//! let results = executor.run(g.build(&[total]))?;
//! assert_eq!(results[0].downcast_ref::<u64>(), Some(&285));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod gauges;
mod here;
mod keep;
mod spawn;
mod spill;
mod state;
#[cfg(test)]
mod tests;
pub(crate) mod worker;

use std::{
    cell::Cell,
    fmt, io,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use self::{
    gauges::Gauges,
    here::run_synchronous,
    keep::{Held, Keeper, Kept},
    spawn::Spawned,
    state::JobResult,
};

use self::{
    spill::SpillFolder,
    state::{JobData, OnEnd, Outside, Slot, State},
};
use crate::{
    events::Events,
    graph::{DeviceKind, Graph},
    inventory::Inventory,
    processes::Pool,
    schedule::{
        CostBased, DeviceProfile, Placement, RunError, core::Scheduler, device::DeviceCounts,
        job::Job,
    },
    sync::{AtomicUsize, Builder, Condvar, JoinHandle, Mutex, current, sleep},
};

/// How an executor runs graphs.
#[derive(Debug)]
pub struct ExecutorOptions {
    /// The devices. A device has a thread for each of its slots.
    pub devices: Vec<DeviceProfile>,
    /// Where tasks go, where there are several devices.
    pub policy: Box<dyn Placement>,
    /// The folder for results that memory has no room for; without it, none is written.
    pub spill: Option<PathBuf>,
    /// Where tasks are told about.
    pub events: Events,
}

impl Default for ExecutorOptions {
    /// A thread for each core that this process may use, no limit of memory, and the
    /// system's temporary folder.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            devices: vec![DeviceProfile::new("cpu", DeviceKind::Cpu).slots(cores as u32)],
            policy: Box::new(CostBased::default()),
            spill: Some(std::env::temp_dir()),
            events: Events::new(),
        }
    }
}

impl ExecutorOptions {
    /// Threads on the CPU, instead of one a core.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        for d in self.devices.iter_mut().filter(|d| d.kind == DeviceKind::Cpu) {
            d.slots = threads.clamp(1, u16::MAX as usize) as u32;
        }
        self
    }

    /// A limit, in bytes, of what results and running tasks take on the CPU.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        for d in self.devices.iter_mut().filter(|d| d.kind == DeviceKind::Cpu) {
            d.memory = Some(bytes);
        }
        self
    }
}

/// What the threads of an executor share.
struct Shared {
    state: Mutex<State>,
    /// Wakes threads, by device.
    more: Vec<Condvar>,
    /// Wakes the thread that watches time-outs.
    clock: Condvar,
    /// Tasks that wait to be taken, as of the last look: what idle threads watch.
    left: AtomicUsize,
    spill: Option<SpillFolder>,
    /// Where tasks run that can run in other processes.
    pool: Option<Pool>,
    events: Events,
    began: Instant,
    threads: usize,
    next_worker: AtomicU64,
    /// The threads, each with its number.
    handles: Mutex<Vec<(u64, JoinHandle<()>)>>,
    watched: AtomicBool,
}

thread_local! {
    /// Whether this thread runs tasks.
    static WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Threads that run graphs. Dropped, it ends jobs that are not done with
/// [`RunError::ShutDown`], and waits for tasks that run.
pub struct Executor {
    shared: Arc<Shared>,
    inventory: Option<Arc<Inventory>>,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("threads", &self.shared.threads).finish_non_exhaustive()
    }
}

impl Executor {
    /// Starts the threads.
    ///
    /// # Errors
    /// If there is no device, the folder for results cannot be used, or the system gives no
    /// thread.
    pub fn new(options: ExecutorOptions) -> io::Result<Self> {
        Self::with_pool(options, None)
    }

    /// As [`Executor::new`], with the devices of an inventory beside the options' own: real GPUs,
    /// and software adapters and emulators that its spec names. They are opened.
    ///
    /// # Errors
    /// If a named device does not open, and as there.
    pub fn with_devices(
        mut options: ExecutorOptions,
        inventory: Arc<Inventory>,
    ) -> io::Result<Self> {
        options.devices.extend(inventory.profiles().map_err(io::Error::other)?);
        let mut executor = Self::new(options)?;
        executor.inventory = Some(inventory);
        Ok(executor)
    }

    /// The devices that it was made with, if any.
    pub fn inventory(&self) -> Option<&Arc<Inventory>> {
        self.inventory.as_ref()
    }

    /// As [`Executor::new`]; tasks that can run in other processes run in those of the pool.
    pub(crate) fn with_pool(options: ExecutorOptions, pool: Option<Pool>) -> io::Result<Self> {
        if options.devices.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an executor needs a device"));
        }
        let policy = (options.devices.len() > 1).then_some(options.policy);
        let mut scheduler = Scheduler::new(policy);
        scheduler.deaths_allowed = pool.as_ref().map_or(0, Pool::deaths_allowed);
        let mut slots = Vec::new();
        for profile in options.devices {
            slots.push(profile.slots.max(1));
            scheduler.add_device(profile);
        }
        let limited = scheduler.devices.iter().any(|d| d.profile.memory.is_some());
        // Only what has a limit is ever written.
        let spill = options.spill.filter(|_| limited).map(|f| SpillFolder::new(&f)).transpose()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(scheduler, spill.is_some())),
            more: slots.iter().map(|_| Condvar::new()).collect(),
            clock: Condvar::new(),
            left: AtomicUsize::new(0),
            spill,
            pool,
            events: options.events,
            began: Instant::now(),
            threads: slots.iter().sum::<u32>() as usize,
            next_worker: AtomicU64::new(0),
            handles: Mutex::default(),
            watched: AtomicBool::new(false),
        });
        let executor = Self { shared, inventory: None };
        for (device, slots) in slots.into_iter().enumerate() {
            for _ in 0..slots {
                spawn_worker(&executor.shared, device)?;
            }
        }
        Ok(executor)
    }

    /// The executor of this process, with the default options; made when first asked for.
    ///
    /// # Panics
    /// If the system gives no threads.
    pub fn global() -> &'static Arc<Self> {
        static GLOBAL: LazyLock<Arc<Executor>> = LazyLock::new(|| {
            let executor = Executor::new(ExecutorOptions::default());
            Arc::new(executor.expect("threads for the global executor"))
        });
        &GLOBAL
    }

    /// Runs a graph and waits for it: the wanted results, in their order. From within a task
    /// it runs on that task's thread alone, without limits of memory, so that tasks that wait
    /// for graphs cannot block each other.
    ///
    /// # Errors
    /// That of the first task that failed for good; see [`RunError`].
    pub fn run(&self, graph: Graph) -> JobResult {
        if WORKER.get() {
            let state = self.shared.state.lock();
            let devices: Vec<_> =
                state.scheduler.devices.iter().map(|d| d.profile.clone()).collect();
            drop(state);
            return here::run_here(graph, devices, self.pool());
        }
        self.submit(graph).wait()
    }

    /// Begins a graph.
    pub fn submit(&self, graph: Graph) -> JobHandle {
        let outcome = Arc::new(Waited::default());
        let tell = Arc::clone(&outcome);
        let id = self.submit_with(graph, Box::new(move |result| tell.set(result)));
        JobHandle { shared: Arc::clone(&self.shared), id, outcome }
    }

    /// Begins a graph; `on_end` is called once, on a thread of the executor or on this one.
    pub(crate) fn submit_with(&self, graph: Graph, on_end: OnEnd) -> JobId {
        let shared = &self.shared;
        // Linear work, done without the lock.
        let graph = Arc::new(graph);
        let serial = shared.next_worker.fetch_add(1, Ordering::Relaxed);
        let data = JobData {
            slots: vec![Slot::Empty; graph.len()],
            cancelled: Arc::default(),
            on_end: Some(on_end),
            serial,
            graph: Arc::clone(&graph),
        };
        let job = Job::new(graph);
        let mut outside = Outside::default();
        let mut state = shared.state.lock();
        let id = JobId { index: state.submit(job, data, &mut outside), serial };
        if let Some(message) = state.broken.clone() {
            state.cancel(id, RunError::Broken(message), &mut outside);
        } else if state.shut_down {
            state.cancel(id, RunError::ShutDown, &mut outside);
        }
        if state.timed_jobs > 0 && !shared.watched.swap(true, Ordering::Relaxed) {
            let watched = Arc::clone(shared);
            let thread = Builder::new().name("windlass-clock".into());
            let watch = thread.spawn(move || worker::watch(&watched));
            match watch {
                Ok(handle) => shared.handles.lock().push((u64::MAX, handle)),
                Err(e) => tracing::warn!(error = %e, "time-outs are not watched"),
            }
        }
        shared.wake_all(&mut state);
        drop(state);
        worker::finish_outside(shared, &mut outside);
        id
    }

    pub(crate) fn cancel_job(&self, id: JobId) {
        cancel(&self.shared, id);
    }

    /// What each device did so far, by its name.
    pub fn counts(&self) -> Vec<(String, DeviceCounts)> {
        let state = self.shared.state.lock();
        let devices = state.scheduler.devices.iter();
        devices.map(|d| (d.profile.name.to_string(), d.counts.clone())).collect()
    }

    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.shared.pool.as_ref()
    }

    /// What keeps values within this executor's limit of memory.
    pub fn keeper(&self) -> Keeper {
        Keeper::of(self)
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let mut outside = Outside::default();
        {
            let mut state = self.shared.state.lock();
            state.shut_down = true;
            state.cancel_all(&RunError::ShutDown, &mut outside);
            self.shared.more.iter().for_each(|m| {
                m.notify_all();
            });
            self.shared.clock.notify_all();
        }
        if let Some(pool) = self.pool() {
            pool.close();
        }
        worker::finish_outside(&self.shared, &mut outside);
        let own = current().id();
        let handles = std::mem::take(&mut *self.shared.handles.lock());
        for (worker, handle) in handles {
            if handle.thread().id() == own {
                continue;
            }
            // A thread that a task holds past its time-out ends by itself, later.
            let mut held = false;
            while !handle.is_finished() && !held {
                let state = self.shared.state.lock();
                let deadline = state.deadlines.iter().find(|d| d.worker == worker).map(|d| d.at);
                held = state.abandoned.contains(&worker)
                    || deadline.is_some_and(|at| at <= Instant::now());
                drop(state);
                match deadline {
                    Some(_) => sleep(Duration::from_millis(1)),
                    None => break,
                }
            }
            if !held {
                let _ = handle.join();
            }
        }
        if let Some(pool) = self.pool() {
            pool.end();
        }
    }
}

/// A job of an executor; the serial number tells it from a later one in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JobId {
    index: u32,
    serial: u64,
}

/// What a job came to, for those who wait.
#[derive(Default)]
struct Waited {
    result: Mutex<Option<JobResult>>,
    there: Condvar,
}

impl Waited {
    fn set(&self, result: JobResult) {
        *self.result.lock() = Some(result);
        self.there.notify_all();
    }
}

/// A graph that runs. Dropped, it is cancelled.
#[must_use = "a job that is not waited for is cancelled"]
pub struct JobHandle {
    shared: Arc<Shared>,
    id: JobId,
    outcome: Arc<Waited>,
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("done", &self.done()).finish_non_exhaustive()
    }
}

impl JobHandle {
    /// Waits for its end. Not to be called from within a task, which would hold its thread:
    /// see [`Executor::run`].
    ///
    /// # Errors
    /// As [`Executor::run`], and [`RunError::Cancelled`].
    pub fn wait(self) -> JobResult {
        // A limit beyond what the clock can tell is none.
        self.wait_for(Duration::MAX);
        self.outcome.result.lock().take().expect("it was waited for")
    }

    /// Waits at most that long; whether it ended.
    pub fn wait_for(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut result = self.outcome.result.lock();
        while result.is_none() {
            match deadline {
                Some(at) if self.outcome.there.wait_until(&mut result, at).timed_out() => break,
                Some(_) => {}
                None => self.outcome.there.wait(&mut result),
            }
        }
        result.is_some()
    }

    /// Whether it ended.
    pub fn done(&self) -> bool {
        self.outcome.result.lock().is_some()
    }

    /// Ends it: tasks that wait are not begun, those that run are told.
    pub fn cancel(&self) {
        cancel(&self.shared, self.id);
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.cancel();
    }
}

fn cancel(shared: &Shared, id: JobId) {
    let mut outside = Outside::default();
    {
        let mut state = shared.state.lock();
        state.cancel(id, RunError::Cancelled, &mut outside);
        // What it held may be what others wait for.
        shared.wake_all(&mut state);
    }
    worker::finish_outside(shared, &mut outside);
}

impl Shared {
    /// Ends all jobs, now and to come, where a thread is lost to a panic that no task made:
    /// what it had taken would be waited for for ever.
    fn break_down(&self, message: &str) {
        let mut outside = Outside::default();
        {
            let mut state = self.state.lock();
            state.broken = Some(message.to_string());
            state.cancel_all(&RunError::Broken(message.to_string()), &mut outside);
        }
        worker::finish_outside(self, &mut outside);
    }
}

fn spawn_worker(shared: &Arc<Shared>, device: usize) -> io::Result<()> {
    let worker = shared.next_worker.fetch_add(1, Ordering::Relaxed);
    let own = Arc::clone(shared);
    let name = format!("windlass-task-{worker}");
    let handle = Builder::new().name(name).spawn(move || {
        WORKER.set(true);
        let run = std::panic::AssertUnwindSafe(|| worker::run(&own, device, worker));
        if let Err(panic) = std::panic::catch_unwind(run) {
            own.break_down(&worker::message(&*panic));
        }
    })?;
    shared.handles.lock().push((worker, handle));
    Ok(())
}
