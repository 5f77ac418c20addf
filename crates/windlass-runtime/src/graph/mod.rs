//! Task graphs: what is to be done, in which order it may be done, and what it needs.
//!
//! | module | holds |
//! |---|---|
//! | [`options`] | [`TaskOptions`]: priority, retries, time-out, [`Needs`] |
//! | [`order`] | the order of the tasks that keeps few results at once |
//! | `packed` | values from other processes, as bytes; [`Portable`] |
//! | [`value`] | [`Value`]: what a task gives; [`TaskContext`]: what it sees |
//!
//! A [`Graph`] is made by a [`GraphBuilder`]. A task's inputs are tasks that were added
//! before it, so a graph has no cycles.

pub mod options;
pub mod order;
pub(crate) mod packed;
pub mod value;

use std::{any::TypeId, fmt, sync::Arc};

pub use options::{DeviceKind, DeviceKinds, Needs, TaskOptions};
pub use packed::Portable;
pub use value::{Spill, TaskContext, Value};

use crate::processes::Function;

/// The error of a task's function, whatever it is.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The function of a task. It may be called more than once: a task that failed is tried
/// again, and one whose result was lost with its device is run again.
pub type Work = Arc<dyn Fn(&TaskContext<'_>) -> Result<Value, BoxError> + Send + Sync>;

/// A task of one graph, by its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub(crate) u32);

impl TaskId {
    /// Its position among the graph's tasks.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A group of tasks that do the same on other inputs: they share a name, options and the
/// measured run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId(pub(crate) u32);

/// One task as it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) group: u32,
    /// Its number in the group: with the group's name its own name.
    pub(crate) number: u32,
    /// Where its inputs begin; they end where the next task's begin.
    inputs: u32,
}

/// A group as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: Arc<str>,
    pub(crate) options: TaskOptions,
    /// What its tasks call where they run in other processes.
    pub(crate) function: Option<Arc<Function>>,
}

/// Tasks and what each of them needs of others. 28 bytes a task, 4 an input, beside what the
/// functions hold.
#[derive(Default)]
pub struct Graph {
    groups: Vec<Group>,
    tasks: Vec<Task>,
    inputs: Vec<u32>,
    /// None has one in a graph that is only simulated.
    work: Vec<Option<Work>>,
    wanted: Vec<TaskId>,
}

impl Graph {
    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The tasks whose results are kept for the caller, as they were asked for.
    pub fn wanted(&self) -> &[TaskId] {
        &self.wanted
    }

    /// The tasks whose results a task takes, in the order of its function's arguments.
    pub fn inputs(&self, task: TaskId) -> impl ExactSizeIterator<Item = TaskId> + '_ {
        self.input_words(task.0).iter().map(|&i| TaskId(i))
    }

    /// A task's name: that of its group and its number there, as `load[7]`.
    pub fn name(&self, task: TaskId) -> String {
        let t = &self.tasks[task.index()];
        format!("{}[{}]", self.groups[t.group as usize].name, t.number)
    }

    /// The options of a task.
    pub fn options(&self, task: TaskId) -> &TaskOptions {
        &self.groups[self.tasks[task.index()].group as usize].options
    }

    pub(crate) fn group_of(&self, task: u32) -> u32 {
        self.tasks[task as usize].group
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(crate) fn number(&self, task: u32) -> u32 {
        self.tasks[task as usize].number
    }

    /// What a task calls where it runs in another process.
    pub(crate) fn function(&self, task: u32) -> Option<&Arc<Function>> {
        self.groups[self.group_of(task) as usize].function.as_ref()
    }

    pub(crate) fn work(&self, task: u32) -> Option<&Work> {
        self.work.get(task as usize)?.as_ref()
    }

    /// Where a task's inputs stand among [`Graph::all_inputs`].
    pub(crate) fn input_range(&self, task: u32) -> std::ops::Range<usize> {
        let begin = self.tasks[task as usize].inputs as usize;
        let end =
            self.tasks.get(task as usize + 1).map_or(self.inputs.len(), |t| t.inputs as usize);
        begin..end
    }

    pub(crate) fn input_words(&self, task: u32) -> &[u32] {
        &self.inputs[self.input_range(task)]
    }

    /// The inputs of all tasks, one task after another.
    pub(crate) fn all_inputs(&self) -> &[u32] {
        &self.inputs
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("groups", &self.groups.iter().map(|g| &g.name).collect::<Vec<_>>())
            .field("tasks", &self.tasks.len())
            .field("inputs", &self.inputs.len())
            .field("wanted", &self.wanted.len())
            .finish_non_exhaustive()
    }
}

/// Makes a [`Graph`].
///
/// ```
/// use windlass_runtime::graph::{GraphBuilder, TaskOptions, Value};
///
/// let mut g = GraphBuilder::new();
/// let one = g.group("one", TaskOptions::default());
/// let add = g.group("add", TaskOptions::default());
/// let a = g.task(one, &[], |_| Ok(Value::new(1_u32)));
/// let sum = g.task(add, &[a, a], |c| Ok(Value::new(c.input::<u32>(0)? + c.input::<u32>(1)?)));
/// let graph = g.build(&[sum]);
/// assert_eq!(graph.name(sum), "add[0]");
/// ```
#[derive(Default)]
pub struct GraphBuilder {
    groups: Vec<Group>,
    sizes: Vec<u32>,
    tasks: Vec<Task>,
    inputs: Vec<u32>,
    work: Vec<Option<Work>>,
    /// The last function that holds nothing, by its type: all of a type are the same one.
    last: Option<(TypeId, Work)>,
}

impl GraphBuilder {
    /// A graph of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A graph of nothing with room for `tasks` tasks with `inputs` inputs in all.
    pub fn with_capacity(tasks: usize, inputs: usize) -> Self {
        Self {
            tasks: Vec::with_capacity(tasks),
            inputs: Vec::with_capacity(inputs),
            ..Self::default()
        }
    }

    /// Number of tasks so far.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// A new group of tasks of that name, with those options. Names need not differ.
    pub fn group(&mut self, name: impl Into<Arc<str>>, options: TaskOptions) -> GroupId {
        self.group_with(name.into(), options, None)
    }

    /// As [`GraphBuilder::group`], of tasks that can run in other processes.
    pub(crate) fn group_with(
        &mut self,
        name: Arc<str>,
        options: TaskOptions,
        function: Option<Arc<Function>>,
    ) -> GroupId {
        self.groups.push(Group { name, options, function });
        self.sizes.push(0);
        GroupId(self.groups.len() as u32 - 1)
    }

    /// A task that calls `work` with the results of `inputs`.
    ///
    /// # Panics
    /// If an input, or the group, is not of this builder, and past 2^32 - 1 tasks or inputs.
    pub fn task(
        &mut self,
        group: GroupId,
        inputs: &[TaskId],
        work: impl Fn(&TaskContext<'_>) -> Result<Value, BoxError> + Send + Sync + 'static,
    ) -> TaskId {
        self.shared_or_last(group, inputs, work)
    }

    fn shared_or_last<F>(&mut self, group: GroupId, inputs: &[TaskId], work: F) -> TaskId
    where
        F: Fn(&TaskContext<'_>) -> Result<Value, BoxError> + Send + Sync + 'static,
    {
        if size_of::<F>() > 0 || std::mem::needs_drop::<F>() {
            return self.shared(group, inputs, Arc::new(work));
        }
        let work = match &self.last {
            Some((id, last)) if *id == TypeId::of::<F>() => Arc::clone(last),
            _ => {
                let work: Work = Arc::new(work);
                self.last = Some((TypeId::of::<F>(), Arc::clone(&work)));
                work
            }
        };
        self.shared(group, inputs, work)
    }

    /// As [`GraphBuilder::task`], with a function that other tasks may have too.
    ///
    /// # Panics
    /// As there.
    pub fn shared(&mut self, group: GroupId, inputs: &[TaskId], work: Work) -> TaskId {
        let task = self.simulated(group, inputs);
        self.work.resize_with(task.index(), || None);
        self.work.push(Some(work));
        task
    }

    /// A task with no function, for a graph that is only simulated. Run, it fails.
    ///
    /// # Panics
    /// As [`GraphBuilder::task`].
    pub fn simulated(&mut self, group: GroupId, inputs: &[TaskId]) -> TaskId {
        let id = u32::try_from(self.tasks.len()).ok().filter(|&i| i < u32::MAX);
        let id = id.expect("a graph has at most 2^32 - 1 tasks");
        let begin = u32::try_from(self.inputs.len() + inputs.len());
        assert!(begin.is_ok(), "a graph has at most 2^32 - 1 inputs");
        assert!(inputs.iter().all(|i| i.0 < id), "an input is not a task of this graph");
        let size = self.sizes.get_mut(group.0 as usize).expect("a group of this graph");
        let number = *size;
        *size += 1;
        self.tasks.push(Task { group: group.0, number, inputs: self.inputs.len() as u32 });
        self.inputs.extend(inputs.iter().map(|i| i.0));
        TaskId(id)
    }

    /// The graph that gives the results of `wanted`. Tasks that none of these needs are not
    /// run.
    ///
    /// # Panics
    /// If a wanted task is not of this builder.
    pub fn build(mut self, wanted: &[TaskId]) -> Graph {
        assert!(wanted.iter().all(|w| w.index() < self.tasks.len()), "a task of this graph");
        if !self.work.is_empty() {
            self.work.resize_with(self.tasks.len(), || None);
        }
        Graph {
            groups: self.groups,
            tasks: self.tasks,
            inputs: self.inputs,
            work: self.work,
            wanted: wanted.to_vec(),
        }
    }
}

impl fmt::Debug for GraphBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphBuilder").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_numbered_within_their_group_and_keep_their_inputs() {
        let mut g = GraphBuilder::new();
        let (load, join) =
            (g.group("load", TaskOptions::default()), g.group("join", TaskOptions::default()));
        let a = g.simulated(load, &[]);
        let b = g.simulated(load, &[]);
        let c = g.simulated(join, &[b, a, b]);
        let graph = g.build(&[c]);
        assert_eq!(graph.name(b), "load[1]");
        assert_eq!(graph.name(c), "join[0]");
        assert_eq!(graph.inputs(c).collect::<Vec<_>>(), [b, a, b]);
        assert_eq!(graph.inputs(b).len(), 0);
        assert!(graph.work(0).is_none());
    }

    #[test]
    #[should_panic(expected = "not a task of this graph")]
    fn an_input_of_another_graph_is_refused() {
        let mut g = GraphBuilder::new();
        let group = g.group("g", TaskOptions::default());
        g.simulated(group, &[TaskId(0)]);
    }
}
