//! The workers of an executor: lent to its threads for one task each.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{
    StartError,
    frame::{Frame, FrameError, Kind},
    functions::{Function, Functions, Packet},
    serve::{CallHead, Failure},
    worker::{Broken, Process, Start, Starting},
};
use crate::{
    events::{Event, EventKind, Events},
    graph::{
        TaskContext, Value,
        packed::{decode, encode},
    },
    schedule::{Cause, Ending, WorkerDeath},
};

/// How long a wait for a free worker goes on before it looks whether it is still wanted.
const TICK: Duration = Duration::from_millis(20);

/// Workers in a row that may die before they take a task. A guess: one that is always met is a
/// fault of the program.
const UNREAD: u32 = 3;

/// What a pool is made of.
#[derive(Debug)]
pub(crate) struct PoolOptions {
    pub(crate) workers: usize,
    pub(crate) start: Start,
    pub(crate) worker_memory: Option<u64>,
    pub(crate) crashes_allowed: usize,
    pub(crate) events: Events,
}

#[derive(Default)]
struct State {
    /// Those that have nothing to do; the last one that had goes first.
    idle: Vec<Process>,
    /// Those that there are, those that are being started among them.
    live: usize,
    /// Their numbers with the system, by their own.
    pids: BTreeMap<u64, u32>,
}

/// The worker processes of an executor.
pub(crate) struct Pool {
    options: PoolOptions,
    functions: Vec<Arc<Function>>,
    /// Where each stands, by its address.
    places: HashMap<usize, u32>,
    state: Mutex<State>,
    free: Condvar,
    closed: AtomicBool,
    next: AtomicU64,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A worker that is lent. Dropped, it is killed, unless it was given back.
struct Lent<'a> {
    pool: &'a Pool,
    process: Option<Process>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            self.pool.gone(process);
        }
    }
}

impl Pool {
    /// Starts all workers, and waits until they have answered.
    pub(crate) fn new(options: PoolOptions, functions: &Functions) -> Result<Self, StartError> {
        let functions = functions.in_order();
        let places = functions.iter().enumerate().map(|(i, f)| (Arc::as_ptr(f).addr(), i as u32));
        let pool = Self {
            places: places.collect(),
            functions,
            state: Mutex::default(),
            free: Condvar::new(),
            closed: AtomicBool::new(false),
            next: AtomicU64::new(1),
            options,
        };
        // All at once, as each takes its time; those that are left are killed if one fails.
        let start = |_| Starting::new(pool.number(), &pool.options.start);
        let starting = (0..pool.options.workers).map(start).collect::<Result<Vec<_>, _>>()?;
        for s in starting {
            let process = s.finish(&pool.options.start, &pool.functions, &|| false)?;
            let mut state = pool.state.lock();
            state.live += 1;
            state.pids.insert(process.number, process.pid());
            state.idle.push(process);
        }
        Ok(pool)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Worker processes that may die of one task before it fails.
    pub(crate) fn deaths_allowed(&self) -> usize {
        self.options.crashes_allowed
    }

    /// The workers' numbers, and those that the system has for them.
    pub(crate) fn pids(&self) -> Vec<(u64, u32)> {
        self.state.lock().pids.iter().map(|(n, p)| (*n, *p)).collect()
    }

    /// Runs a task in a worker.
    pub(crate) fn call(
        &self,
        function: &Arc<Function>,
        context: &TaskContext<'_>,
        name: impl Fn() -> String,
    ) -> Result<Value, Cause> {
        let error = |e: String| Cause::error(e.into());
        let Some(&place) = self.places.get(&Arc::as_ptr(function).addr()) else {
            let text = format!(
                "the function {} is not among those that this executor was made with",
                function.name
            );
            return Err(error(text));
        };
        let packets = (function.pack)(context.inputs).map_err(Cause::error)?;
        let arguments = packets.iter().map(|p| p.bytes().len() as u64).collect();
        let (number, attempt) = (context.number, context.attempt);
        let head = CallHead { function: place, number, attempt, arguments };
        let head = encode(&head).map_err(error)?;
        let length = (head.len() as u32).to_le_bytes();
        let mut parts: Vec<&[u8]> = vec![&length, &head];
        parts.extend(packets.iter().map(Packet::bytes));
        let stopped = || context.cancelled() || self.closed.load(Ordering::Relaxed);
        let mut unread = 0;
        let (lent, answer) = loop {
            let mut lent = self.lend(&stopped).map_err(|e| error(e.to_string()))?;
            let process = lent.process.as_mut().expect("a worker that is lent");
            process.words.forget();
            // What is waited for so far, a worker that starts, is not the task's time. A limit
            // beyond what the clock can tell is none.
            let deadline = context.timeout.and_then(|limit| Instant::now().checked_add(limit));
            let answer = process.send(Kind::Call, &parts, deadline, &stopped);
            let answer = answer.and_then(|()| process.receive(deadline, &stopped));
            // It died before it took the task: then that is not the task's affair.
            if matches!(answer, Err(Broken::Frame(FrameError::Unread))) && unread < UNREAD {
                unread += 1;
                continue;
            }
            break (lent, answer);
        };
        match answer {
            Ok(Frame { kind: Kind::Done, note, payload }) => {
                self.give_back(lent, note);
                Ok((function.result)(payload))
            }
            Ok(Frame { kind: kind @ (Kind::Failed | Kind::Panicked), note, payload }) => {
                self.give_back(lent, note);
                let texts = decode::<Failure>(&payload).map_err(error)?.texts;
                Err(match kind {
                    Kind::Failed => Cause::error(TaskError::of(texts)),
                    _ => Cause::Panicked(texts.concat()),
                })
            }
            Ok(Frame { kind, .. }) => {
                let why = format!("{kind:?} where a result should come");
                Err(self.died(lent, Some(why), name()))
            }
            Err(Broken::Stopped) => Err(error("it is not wanted any more".into())),
            Err(Broken::Late) => Err(Cause::TimedOut(context.timeout.unwrap_or_default())),
            Err(Broken::Frame(FrameError::Closed | FrameError::Unread)) => {
                Err(self.died(lent, None, name()))
            }
            Err(Broken::Frame(FrameError::Garbled(why))) => Err(self.died(lent, Some(why), name())),
            Err(Broken::Frame(FrameError::Io(e))) => {
                Err(self.died(lent, Some(e.to_string()), name()))
            }
        }
    }

    /// A worker for one task: one that waits, else a new one where one is missing.
    fn lend(&self, stopped: &dyn Fn() -> bool) -> Result<Lent<'_>, StartError> {
        let mut state = self.state.lock();
        loop {
            if stopped() {
                return Err(StartError::Stopped);
            }
            if let Some(mut process) = state.idle.pop() {
                // One that died since its last task is not this task's affair.
                if process.has_ended() {
                    state.pids.remove(&process.number);
                    state.live -= 1;
                    continue;
                }
                return Ok(Lent { pool: self, process: Some(process) });
            }
            if state.live < self.options.workers {
                state.live += 1;
                drop(state);
                return self.start(stopped);
            }
            self.free.wait_for(&mut state, TICK);
        }
    }

    /// Starts a worker, which was counted already.
    fn start(&self, stopped: &dyn Fn() -> bool) -> Result<Lent<'_>, StartError> {
        /// Counts it no more if it does not start.
        struct Counted<'a>(&'a Pool);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                self.0.state.lock().live -= 1;
                self.0.free.notify_one();
            }
        }
        let counted = Counted(self);
        let start = &self.options.start;
        let starting = Starting::new(self.number(), start)?;
        let process = starting.finish(start, &self.functions, stopped)?;
        std::mem::forget(counted);
        self.state.lock().pids.insert(process.number, process.pid());
        Ok(Lent { pool: self, process: Some(process) })
    }

    /// Takes a worker back that has that many bytes of memory.
    fn give_back(&self, mut lent: Lent<'_>, resident: u64) {
        let Some(process) = lent.process.take() else { return };
        if self.options.worker_memory.is_some_and(|limit| resident > limit) {
            let number = process.number;
            tracing::info!(worker = number, resident, "a worker has too much memory: it ends");
            let mut state = self.state.lock();
            state.pids.remove(&number);
            drop(state);
            process.finish();
            self.state.lock().live -= 1;
        } else {
            self.state.lock().idle.push(process);
        }
        self.free.notify_one();
    }

    /// Ends a worker, if it has not ended.
    fn gone(&self, mut process: Process) {
        process.kill();
        let mut state = self.state.lock();
        state.pids.remove(&process.number);
        state.live -= 1;
        drop(state);
        self.free.notify_one();
    }

    /// Tells of a worker's death.
    fn died(&self, mut lent: Lent<'_>, garbled: Option<String>, task: String) -> Cause {
        let process = lent.process.as_mut().expect("a worker that is lent");
        let ended = process.kill();
        let death = Arc::new(WorkerDeath {
            worker: process.number,
            ending: garbled.map_or(ended.ending, Ending::Garbled),
            task,
            peak_bytes: ended.peak,
            last_words: process.words.quoted(),
        });
        tracing::warn!("{death}");
        if self.options.events.wanted() {
            self.options.events.publish(Event {
                lane: death.worker,
                bytes: death.peak_bytes,
                ..self.options.events.now(EventKind::Crash, &"cpu", &death.to_string())
            });
        }
        Cause::Crashed(vec![death])
    }

    /// Begins the end: tasks that run in workers end with them, and no more begin.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.free.notify_all();
    }

    /// Ends all workers, and waits for them. Those that are lent are killed by who has them.
    pub(crate) fn end(&self) {
        self.close();
        let mut state = self.state.lock();
        loop {
            let mut idle = std::mem::take(&mut state.idle);
            let ended = idle.len();
            drop(state);
            // Told together, they end together.
            idle.iter_mut().for_each(Process::leave);
            let numbers: Vec<u64> = idle.iter().map(|p| p.number).collect();
            idle.into_iter().for_each(Process::finish);
            state = self.state.lock();
            state.live -= ended;
            for n in &numbers {
                state.pids.remove(n);
            }
            if state.live == 0 {
                return;
            }
            self.free.wait_for(&mut state, TICK);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.end();
    }
}

/// The error of a function in another process, by its text, with its sources.
#[derive(Debug)]
struct TaskError {
    text: String,
    source: Option<Box<TaskError>>,
}

impl TaskError {
    fn of(texts: Vec<String>) -> Box<dyn std::error::Error + Send + Sync> {
        let inner = |source: Option<Box<Self>>, text| Some(Box::new(Self { text, source }));
        let error = texts.into_iter().rev().fold(None, inner);
        error.unwrap_or_else(|| Box::new(Self { text: String::new(), source: None }))
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_comes_back_with_its_sources() {
        let error = TaskError::of(vec!["outer".into(), "middle".into(), "inner".into()]);
        assert_eq!(error.to_string(), "outer");
        let middle = error.source().unwrap();
        assert_eq!(middle.to_string(), "middle");
        assert_eq!(middle.source().unwrap().to_string(), "inner");
        assert!(middle.source().unwrap().source().is_none());
    }
}
