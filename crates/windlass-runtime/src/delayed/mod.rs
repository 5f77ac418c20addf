//! Delayed calls: functions of Rust that become tasks, and are run when a result is asked
//! for.
//!
//! ```
//! use windlass_runtime::delayed::{compute, delayed};
//!
//! let inc = delayed(|x: &u32| x + 1).named("inc");
//! let add = delayed(|x: &u32, y: &u32| x + y).named("add");
//! let a = inc.call((1,));
//! let b = add.call((&a, inc.call((&a,))));
//! assert_eq!(*b.compute()?, 5);
//! // Both at once: what they share is run once.
//! let (a, b) = compute((&a, &b))?;
//! assert_eq!((*a, *b), (2, 5));
//! # Ok::<_, windlass_runtime::schedule::RunError>(())
//! ```
//!
//! A function takes its arguments by reference, as other tasks may take them too; a closure
//! writes their types. [`try_delayed`] takes one that may fail.

mod call;
mod node;

pub use call::{Arguments, TaskFn, TryTaskFn};

use std::{
    any::{Any, type_name},
    fmt,
    marker::PhantomData,
    sync::Arc,
    time::Duration,
};

pub(crate) use self::node::graph_of;
pub(crate) use self::node::{GroupDef, Node};
use crate::{
    execute::{Executor, JobResult, Keeper, run_synchronous},
    graph::{BoxError, DeviceKinds, Graph, Spill, TaskContext, TaskOptions, Value, Work},
    inventory::Inventory,
    processes::Function,
    schedule::{Cause, RunError},
};

/// What runs graphs: an [`Executor`], or [`Synchronous`].
pub trait RunGraph {
    /// The wanted results of a graph, in their order.
    ///
    /// # Errors
    /// That of the first task that failed for good.
    fn run_graph(&self, graph: Graph) -> JobResult;

    /// The devices that its tasks may run on beside the host's cores, by the names that tasks
    /// see; `None` where there are none.
    fn inventory(&self) -> Option<&Arc<Inventory>> {
        None
    }

    /// What keeps values within a limit of memory that results count for, if there is one.
    fn keeper(&self) -> Option<Keeper> {
        None
    }
}

impl RunGraph for Executor {
    fn run_graph(&self, graph: Graph) -> JobResult {
        self.run(graph)
    }

    fn inventory(&self) -> Option<&Arc<Inventory>> {
        Self::inventory(self)
    }

    fn keeper(&self) -> Option<Keeper> {
        Some(Executor::keeper(self))
    }
}

impl<T: RunGraph + ?Sized> RunGraph for Arc<T> {
    fn run_graph(&self, graph: Graph) -> JobResult {
        (**self).run_graph(graph)
    }

    fn inventory(&self) -> Option<&Arc<Inventory>> {
        (**self).inventory()
    }

    fn keeper(&self) -> Option<Keeper> {
        (**self).keeper()
    }
}

/// The caller's thread alone: see [`run_synchronous`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Synchronous;

impl RunGraph for Synchronous {
    fn run_graph(&self, graph: Graph) -> JobResult {
        run_synchronous(graph)
    }
}

pub(crate) type Run<R> = Arc<dyn Fn(&TaskContext<'_>) -> Result<R, BoxError> + Send + Sync>;

/// A function whose calls are tasks. `A` is the tuple of its arguments' types, `R` that of
/// its result.
pub struct DelayedFn<A, R> {
    group: GroupDef,
    run: Run<R>,
    work: Work,
    shared: std::sync::OnceLock<Arc<GroupDef>>,
    arguments: PhantomData<fn(A)>,
}

impl<A, R> fmt::Debug for DelayedFn<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayedFn").field("group", &self.group).finish_non_exhaustive()
    }
}

/// A function whose calls are tasks.
pub fn delayed<F, A, R>(f: F) -> DelayedFn<A, R>
where
    F: TaskFn<A, R>,
    A: 'static,
    R: Any + Send + Sync,
{
    let name = short_name::<F>();
    DelayedFn::new(name, Arc::new(move |context: &TaskContext<'_>| f.call(context)))
}

/// A function that may fail, whose calls are tasks: an error is that of the task.
pub fn try_delayed<F, A, R>(f: F) -> DelayedFn<A, R>
where
    F: TryTaskFn<A, R>,
    A: 'static,
    R: Any + Send + Sync,
{
    let name = short_name::<F>();
    DelayedFn::new(name, Arc::new(move |context: &TaskContext<'_>| f.try_call(context)))
}

/// The last part of a function's path; `closure` for one without a name.
fn short_name<F>() -> &'static str {
    let name = type_name::<F>().rsplit("::").next().unwrap_or_default();
    if name.starts_with('{') || name.contains('>') { "closure" } else { name }
}

impl<A, R: Any + Send + Sync> DelayedFn<A, R> {
    pub(crate) fn new(name: impl Into<Arc<str>>, run: Run<R>) -> Self {
        let own = Arc::clone(&run);
        Self {
            group: GroupDef { name: name.into(), options: TaskOptions::default(), function: None },
            work: Arc::new(move |context| own(context).map(Value::new)),
            run,
            shared: std::sync::OnceLock::new(),
            arguments: PhantomData,
        }
    }

    /// The same, with options changed for the calls from now on.
    fn with(mut self, change: impl FnOnce(&mut GroupDef)) -> Self {
        change(&mut self.group);
        self.shared = std::sync::OnceLock::new();
        self
    }

    /// The same, able to run in other processes too.
    pub(crate) fn in_processes(self, function: Arc<Function>) -> Self {
        self.with(|g| g.function = Some(function))
    }

    /// The same with a name: its calls are `name[0]`, `name[1]` and so on.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        self.with(|g| g.name = name.into())
    }

    /// The same with a priority: of tasks that are ready, those of higher priority go first.
    #[must_use]
    pub fn priority(self, priority: i16) -> Self {
        self.with(|g| g.options.priority = priority)
    }

    /// The same, tried again that often if it fails.
    #[must_use]
    pub fn retries(self, retries: u8) -> Self {
        self.with(|g| g.options.retries = retries)
    }

    /// The same with a limit for one try; see [`TaskOptions::timeout`].
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|g| g.options.timeout = Some(timeout))
    }

    /// The same, able to run on those kinds of device.
    #[must_use]
    pub fn kinds(self, kinds: DeviceKinds) -> Self {
        self.with(|g| g.options.needs.kinds = kinds)
    }

    /// The same with all options.
    #[must_use]
    pub fn options(self, options: TaskOptions) -> Self {
        self.with(|g| g.options = options)
    }

    /// The same, with a function that tells the bytes of a result, with all that it points
    /// to: what a limit of memory goes by.
    #[must_use]
    pub fn sized(mut self, bytes: impl Fn(&R) -> u64 + Send + Sync + 'static) -> Self {
        let run = Arc::clone(&self.run);
        self.work = Arc::new(move |context| {
            let result = run(context)?;
            let bytes = bytes(&result);
            Ok(Value::sized(result, bytes))
        });
        self
    }

    /// The same, with results that may wait on disk where memory is short.
    #[must_use]
    pub fn spillable(mut self) -> Self
    where
        R: Spill,
    {
        let run = Arc::clone(&self.run);
        self.work = Arc::new(move |context| run(context).map(Value::spillable));
        self
    }

    /// A call: a task, not yet run. Arguments are results of other tasks, or values.
    pub fn call(&self, arguments: impl Arguments<A>) -> Delayed<R> {
        let group = self.shared.get_or_init(|| Arc::new(self.group.clone()));
        Delayed::of(Node::call(Arc::clone(group), Arc::clone(&self.work), arguments.nodes()))
    }

    /// A call for each of some arguments.
    pub fn map<I>(&self, arguments: I) -> Vec<Delayed<R>>
    where
        I: IntoIterator,
        (I::Item,): Arguments<A>,
    {
        arguments.into_iter().map(|a| self.call((a,))).collect()
    }
}

/// The result of a task that is not run yet. Clones are the same task.
pub struct Delayed<T> {
    pub(crate) node: Arc<Node>,
    result: PhantomData<fn() -> T>,
}

impl<T> Clone for Delayed<T> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node), result: PhantomData }
    }
}

impl<T> fmt::Debug for Delayed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Delayed").field(&self.node.name()).finish()
    }
}

impl<T: Any + Send + Sync> From<T> for Delayed<T> {
    fn from(value: T) -> Self {
        Self::of(Node::value(Value::new(value)))
    }
}

impl<T> From<&Delayed<T>> for Delayed<T> {
    fn from(other: &Delayed<T>) -> Self {
        other.clone()
    }
}

impl<T> Delayed<T> {
    pub(crate) fn of(node: Arc<Node>) -> Self {
        Self { node, result: PhantomData }
    }
}

impl<T: Any + Send + Sync> Delayed<T> {
    /// A value that is there already.
    pub fn value(value: T) -> Self {
        value.into()
    }

    /// The results of several tasks as one: the list of them, none copied.
    pub fn all(parts: impl IntoIterator<Item = Delayed<T>>) -> Delayed<Vec<Arc<T>>> {
        let work: Work = Arc::new(|c| {
            let parts = (0..c.inputs().len()).map(|i| c.input_shared::<T>(i));
            Ok(Value::new(parts.collect::<Result<Vec<_>, _>>()?))
        });
        let inputs = parts.into_iter().map(|p| p.node).collect();
        Delayed::of(Node::call(GroupDef::named("all"), work, inputs))
    }

    /// Runs what it needs on the threads of [`Executor::global`], and waits.
    ///
    /// # Errors
    /// That of the first task that failed for good; see [`RunError`].
    pub fn compute(&self) -> Result<Arc<T>, RunError> {
        self.compute_on(Executor::global())
    }

    /// Runs what it needs there, and waits.
    ///
    /// # Errors
    /// As [`Delayed::compute`].
    pub fn compute_on(&self, on: &impl RunGraph) -> Result<Arc<T>, RunError> {
        Ok(compute_on((self,), on)?.0)
    }
}

/// The result of `T` that a value holds.
pub(crate) fn typed<T: Any + Send + Sync>(
    value: &Value,
    name: impl Fn() -> String,
) -> Result<Arc<T>, RunError> {
    value.downcast().ok_or_else(|| match value.undecodable() {
        Some(why) => RunError::of_task(name(), Cause::error(why.into())),
        None => RunError::Type { task: name(), wanted: type_name::<T>() },
    })
}

/// Several delayed results that are computed together: a tuple of them, a slice or a vector.
pub trait Computed {
    /// The results, shared.
    type Results;

    /// The graph that gives them. Waits for futures in it.
    ///
    /// # Errors
    /// That of a future in it.
    fn graph(&self) -> Result<Graph, RunError>;

    /// The results, of the graph's values.
    ///
    /// # Errors
    /// If a value is of another type.
    fn results(&self, values: &[Value]) -> Result<Self::Results, RunError>;
}

impl<T: Any + Send + Sync> Computed for [Delayed<T>] {
    type Results = Vec<Arc<T>>;

    fn graph(&self) -> Result<Graph, RunError> {
        graph_of(self.iter().map(|d| &d.node))
    }

    fn results(&self, values: &[Value]) -> Result<Self::Results, RunError> {
        self.iter().zip(values).map(|(d, v)| typed(v, || d.node.name())).collect()
    }
}

impl<T: Any + Send + Sync> Computed for Vec<Delayed<T>> {
    type Results = Vec<Arc<T>>;

    fn graph(&self) -> Result<Graph, RunError> {
        self.as_slice().graph()
    }

    fn results(&self, values: &[Value]) -> Result<Self::Results, RunError> {
        self.as_slice().results(values)
    }
}

impl<C: Computed + ?Sized> Computed for &C {
    type Results = C::Results;

    fn graph(&self) -> Result<Graph, RunError> {
        (**self).graph()
    }

    fn results(&self, values: &[Value]) -> Result<Self::Results, RunError> {
        (**self).results(values)
    }
}

macro_rules! computed_tuples {
    ($(($($t:ident $i:tt),+)),+) => {$(
        impl<$($t: Any + Send + Sync),+> Computed for ($(&Delayed<$t>,)+) {
            type Results = ($(Arc<$t>,)+);

            fn graph(&self) -> Result<Graph, RunError> {
                graph_of([$(&self.$i.node),+])
            }

            fn results(&self, values: &[Value]) -> Result<Self::Results, RunError> {
                Ok(($(typed::<$t>(&values[$i], || self.$i.node.name())?,)+))
            }
        }
    )+};
}

computed_tuples!(
    (A 0),
    (A 0, B 1),
    (A 0, B 1, C 2),
    (A 0, B 1, C 2, D 3),
    (A 0, B 1, C 2, D 3, E 4),
    (A 0, B 1, C 2, D 3, E 4, F 5)
);

/// Computes several results at once, on the threads of [`Executor::global`]: what they share
/// is run once.
///
/// # Errors
/// As [`Delayed::compute`].
pub fn compute<C: Computed>(what: C) -> Result<C::Results, RunError> {
    compute_on(what, Executor::global())
}

/// As [`compute`], there.
///
/// # Errors
/// As [`Delayed::compute`].
pub fn compute_on<C: Computed>(what: C, on: &impl RunGraph) -> Result<C::Results, RunError> {
    what.results(&on.run_graph(what.graph()?)?)
}

#[cfg(test)]
mod tests;
