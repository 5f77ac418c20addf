//! Tasks that are begun at once, and whose results are asked for later.
//!
//! ```
//! use windlass_runtime::{delayed::delayed, futures::{Client, as_completed}};
//!
//! let client = Client::global();
//! let square = delayed(|x: &u64| x * x).named("square");
//! let squares = client.map(&square, 0..4_u64);
//! // A future is an argument like any other; this one begins when the first square is there.
//! let next = client.submit(&delayed(|x: &u64| x + 1).call((&squares[0],)));
//! assert_eq!(*next.result()?, 1);
//! let mut sum = 0;
//! for done in as_completed(squares) {
//!     sum += *done.result()?;
//! }
//! assert_eq!(sum, 14);
//! # Ok::<_, windlass_runtime::schedule::RunError>(())
//! ```
//!
//! A task whose future and all its clones are dropped is cancelled, unless another one that
//! is not takes its result.

use std::{
    any::Any,
    cell::RefCell,
    collections::VecDeque,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{
    delayed::{Arguments, Delayed, DelayedFn, Node, typed},
    execute::{Executor, JobId},
    graph::Value,
    schedule::RunError,
};

type Then = Box<dyn FnOnce() + Send>;

thread_local! {
    /// Calls to make on this thread, while one is made.
    static CALLS: RefCell<Option<VecDeque<Then>>> = const { RefCell::new(None) };
}

/// Calls functions one after another. One that ends a future, and so leads to more calls,
/// returns before they are made: a long chain of futures that fails does not recurse.
fn call_in_turn(then: Vec<Then>) {
    let outermost = CALLS.with_borrow_mut(|calls| {
        let outermost = calls.is_none();
        calls.get_or_insert_default().extend(then);
        outermost
    });
    if outermost {
        /// A call that panics leaves none behind it undone for ever.
        struct Reset;
        impl Drop for Reset {
            fn drop(&mut self) {
                CALLS.set(None);
            }
        }
        let _reset = Reset;
        while let Some(f) = CALLS.with_borrow_mut(|c| c.as_mut().and_then(VecDeque::pop_front)) {
            f();
        }
    }
}

#[derive(Default)]
struct State {
    result: Option<Result<Value, RunError>>,
    then: Vec<Then>,
    wakers: Vec<Waker>,
    job: Option<(Arc<Executor>, JobId)>,
    /// Gives up what would begin it.
    give_up: Option<Then>,
}

/// A result that comes.
pub(crate) struct Pending {
    name: Arc<str>,
    state: Mutex<State>,
    there: Condvar,
}

impl Pending {
    fn new(name: Arc<str>) -> Arc<Self> {
        Arc::new(Self { name, state: Mutex::default(), there: Condvar::new() })
    }

    fn set(&self, result: Result<Value, RunError>) {
        let mut state = self.state.lock();
        if state.result.is_some() {
            return;
        }
        state.result = Some(result);
        let (then, wakers) = (std::mem::take(&mut state.then), std::mem::take(&mut state.wakers));
        let executor = state.job.take();
        drop(state);
        self.there.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        call_in_turn(then);
        drop(executor);
    }

    fn get(&self) -> Option<Result<Value, RunError>> {
        self.state.lock().result.clone()
    }

    /// Calls a function when the result is there, or now.
    fn then(&self, f: Then) {
        let mut state = self.state.lock();
        if state.result.is_some() {
            drop(state);
            f();
        } else {
            state.then.push(f);
        }
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Option<Result<Value, RunError>> {
        let mut state = self.state.lock();
        while state.result.is_none() {
            match deadline {
                Some(at) if self.there.wait_until(&mut state, at).timed_out() => break,
                Some(_) => {}
                None => self.there.wait(&mut state),
            }
        }
        state.result.clone()
    }

    fn cancel(&self) {
        let mut state = self.state.lock();
        let (job, give_up) = (state.job.take(), state.give_up.take());
        drop(state);
        if let Some(give_up) = give_up {
            give_up();
        }
        if let Some((executor, job)) = job {
            executor.cancel_job(job);
        }
        self.set(Err(RunError::Cancelled));
    }
}

/// Those who want a result; when the last of them goes, its task is cancelled.
pub(crate) struct Wanted {
    pending: Arc<Pending>,
}

impl Wanted {
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.pending.name
    }

    /// Waits for the result.
    pub(crate) fn wait(&self) -> Result<Value, RunError> {
        self.pending.wait_until(None).expect("it was waited for without a limit")
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let open = self.pending.state.lock().result.is_none();
        if open {
            self.pending.cancel();
        }
    }
}

/// The result of a task that was begun. Clones are the same task. It is a
/// [`std::future::Future`] too.
pub struct TaskFuture<T> {
    wanted: Arc<Wanted>,
    result: PhantomData<fn() -> T>,
}

impl<T> Clone for TaskFuture<T> {
    fn clone(&self) -> Self {
        Self { wanted: Arc::clone(&self.wanted), result: PhantomData }
    }
}

impl<T> fmt::Debug for TaskFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFuture")
            .field("name", self.wanted.name())
            .field("done", &self.done())
            .finish_non_exhaustive()
    }
}

impl<T> TaskFuture<T> {
    fn of(pending: Arc<Pending>) -> Self {
        Self { wanted: Arc::new(Wanted { pending }), result: PhantomData }
    }

    /// Whether its task has ended, well or not.
    pub fn done(&self) -> bool {
        self.wanted.pending.state.lock().result.is_some()
    }

    /// Ends its task. Tasks that take its result fail with [`RunError::Cancelled`].
    pub fn cancel(&self) {
        self.wanted.pending.cancel();
    }
}

impl<T: Any + Send + Sync> TaskFuture<T> {
    /// Waits for the result. Not to be called from within a task, which would hold its
    /// thread: such a task takes the future as an argument.
    ///
    /// # Errors
    /// That of the task, or of one that it needs.
    pub fn result(&self) -> Result<Arc<T>, RunError> {
        self.typed(self.wanted.wait())
    }

    /// Waits at most that long; `None` when it takes longer.
    pub fn result_within(&self, timeout: Duration) -> Option<Result<Arc<T>, RunError>> {
        let result = self.wanted.pending.wait_until(Instant::now().checked_add(timeout));
        result.map(|r| self.typed(r))
    }

    fn typed(&self, result: Result<Value, RunError>) -> Result<Arc<T>, RunError> {
        typed(&result?, || self.wanted.name().to_string())
    }
}

impl<T: Any + Send + Sync> Future for TaskFuture<T> {
    type Output = Result<Arc<T>, RunError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.wanted.pending.state.lock();
        match state.result.clone() {
            Some(result) => {
                drop(state);
                Poll::Ready(self.typed(result))
            }
            None => {
                if !state.wakers.iter().any(|w| w.will_wake(context.waker())) {
                    state.wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl<T> From<&TaskFuture<T>> for Delayed<T> {
    fn from(future: &TaskFuture<T>) -> Self {
        Self::of(Node::future(Arc::clone(&future.wanted)))
    }
}

/// Begins tasks on an executor.
#[derive(Debug, Clone)]
pub struct Client {
    executor: Arc<Executor>,
}

impl Client {
    /// A client of that executor.
    pub fn new(executor: Arc<Executor>) -> Self {
        Self { executor }
    }

    /// A client of [`Executor::global`].
    pub fn global() -> Self {
        Self::new(Arc::clone(Executor::global()))
    }

    /// Begins what a delayed result needs. Where that has futures, it begins when they are
    /// there, and fails if one of them failed.
    pub fn submit<T>(&self, delayed: &Delayed<T>) -> TaskFuture<T> {
        let pending = Pending::new(delayed.node.name().into());
        let own = Arc::clone(&pending);
        let (node, executor) = (Arc::clone(&delayed.node), Arc::clone(&self.executor));
        let awaited = node.awaited();
        let begin = move || begin(&executor, &node, &own);
        if awaited.is_empty() {
            begin();
        } else {
            // The last of them begins it.
            let left = Arc::new(AtomicUsize::new(awaited.len()));
            let begin = Arc::new(Mutex::new(Some(begin)));
            let given_up = Arc::clone(&begin);
            pending.state.lock().give_up = Some(Box::new(move || {
                // What it needs may be dropped with it, and so cancelled.
                let begin = given_up.lock().take();
                drop(begin);
            }));
            for other in &awaited {
                let (left, begin) = (Arc::clone(&left), Arc::clone(&begin));
                other.pending.then(Box::new(move || {
                    if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                        let begin = begin.lock().take();
                        if let Some(begin) = begin {
                            begin();
                        }
                    }
                }));
            }
        }
        TaskFuture::of(pending)
    }

    /// A task for each of some arguments.
    pub fn map<A, R, I>(&self, f: &DelayedFn<A, R>, arguments: I) -> Vec<TaskFuture<R>>
    where
        R: Any + Send + Sync,
        I: IntoIterator,
        (I::Item,): Arguments<A>,
    {
        arguments.into_iter().map(|a| self.submit(&f.call((a,)))).collect()
    }

    /// Values as futures that are there, so that many tasks can take them without a copy.
    pub fn scatter<T: Any + Send + Sync>(
        &self,
        values: impl IntoIterator<Item = T>,
    ) -> Vec<TaskFuture<T>> {
        let future = |value| {
            let pending = Pending::new("value".into());
            pending.set(Ok(Value::new(value)));
            TaskFuture::of(pending)
        };
        values.into_iter().map(future).collect()
    }
}

fn begin(executor: &Arc<Executor>, node: &Arc<Node>, pending: &Arc<Pending>) {
    // One that was cancelled meanwhile.
    if pending.get().is_some() {
        return;
    }
    let graph = match crate::delayed::graph_of([node]) {
        Ok(graph) => graph,
        Err(e) => return pending.set(Err(e)),
    };
    let own = Arc::clone(pending);
    let first = |values: Vec<Value>| values.into_iter().next().ok_or(RunError::ShutDown);
    let job = executor.submit_with(graph, Box::new(move |r| own.set(r.and_then(first))));
    let mut state = pending.state.lock();
    if state.result.is_none() {
        state.job = Some((Arc::clone(executor), job));
    } else {
        // It ended, or was cancelled before its job was known: then nobody waits for it.
        drop(state);
        executor.cancel_job(job);
    }
}

/// The results of several futures, in their order, as soon as all are there.
///
/// # Errors
/// That of the first, in their order, that failed.
pub fn gather<T: Any + Send + Sync>(
    futures: impl IntoIterator<Item = TaskFuture<T>>,
) -> Result<Vec<Arc<T>>, RunError> {
    // All at once, or those behind would be dropped, and so cancelled, one by one.
    let futures: Vec<_> = futures.into_iter().collect();
    futures.iter().map(TaskFuture::result).collect()
}

/// The futures in the order in which they end.
pub fn as_completed<T>(
    futures: impl IntoIterator<Item = TaskFuture<T>>,
) -> impl Iterator<Item = TaskFuture<T>> {
    let (send, receive) = mpsc::channel();
    let mut left: Vec<Option<TaskFuture<T>>> = futures.into_iter().map(Some).collect();
    for (i, future) in left.iter().enumerate() {
        let send = send.clone();
        if let Some(future) = future {
            future.wanted.pending.then(Box::new(move || {
                let _ = send.send(i);
            }));
        }
    }
    drop(send);
    std::iter::from_fn(move || left[receive.recv().ok()?].take())
}

/// Waits until all futures have ended, at most that long: those that have, and those that
/// have not.
pub fn wait<T>(
    futures: impl IntoIterator<Item = TaskFuture<T>>,
    timeout: Option<Duration>,
) -> (Vec<TaskFuture<T>>, Vec<TaskFuture<T>>) {
    let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
    let futures: Vec<_> = futures.into_iter().collect();
    for f in &futures {
        f.wanted.pending.wait_until(deadline);
    }
    futures.into_iter().partition(TaskFuture::done)
}

#[cfg(test)]
mod tests;
