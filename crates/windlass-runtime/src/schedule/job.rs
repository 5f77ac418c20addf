//! The state of one graph's tasks.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::{
    death::WorkerDeath,
    error::{Cause, RunError, TaskFailure},
    queue::Ready,
};
use crate::graph::{
    DeviceKinds, Graph, TaskId,
    order::{NOT_RUN, order},
};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Some of its inputs are not there yet.
    Waiting,
    /// It can run.
    Ready,
    /// It runs.
    Running,
    /// Its result is in its home's memory.
    Kept,
    /// Its result is on disk.
    Spilled,
    /// Its result was used by all who need it.
    Freed,
    /// Nobody needs it.
    NotRun,
}

/// Most names of inputs, and of ancestors, that a failure lists.
const NAMED: usize = 64;

/// A result's home before there is one.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Share of a new measurement in the mean: the mean follows the last ten or so.
const NEW_SHARE: f64 = 0.1;

/// What a group's tasks were measured at.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupState {
    /// Seconds and number of measurements, for each class of device.
    seconds: Vec<(f64, u32)>,
    /// Greatest bytes of a result so far.
    pub(crate) output_bytes: u64,
    /// Its tasks that are ready and wait.
    pub(crate) ready: u32,
    /// The work of one of them that [`super::core::Scheduler`] counted.
    pub(crate) work: f64,
}

impl GroupState {
    pub(crate) fn measured(&mut self, class: usize, seconds: f64) {
        if self.seconds.len() <= class {
            self.seconds.resize(class + 1, (0.0, 0));
        }
        let (mean, n) = &mut self.seconds[class];
        *n = n.saturating_add(1);
        *mean += (seconds - *mean) * (1.0 / f64::from(*n)).max(NEW_SHARE);
    }

    /// Seconds of one of its tasks on a device of a class, where one was measured.
    pub(crate) fn seconds(&self, class: usize) -> Option<f64> {
        self.seconds.get(class).filter(|(_, n)| *n > 0).map(|(s, _)| *s)
    }

    /// A class that was measured, and its seconds.
    pub(crate) fn any(&self) -> Option<(usize, f64)> {
        let measured = self.seconds.iter().enumerate().find(|(_, (_, n))| *n > 0);
        measured.map(|(class, (s, _))| (class, *s))
    }
}

/// Who takes each task's result: the tasks that have it as an input.
#[derive(Debug, Default)]
struct Dependents {
    starts: Vec<u32>,
    tasks: Vec<u32>,
}

impl Dependents {
    fn new(graph: &Graph, ranks: &[u32]) -> Self {
        let mut starts = vec![0_u32; graph.len() + 1];
        let runs = |t: &u32| ranks[*t as usize] != NOT_RUN;
        for task in (0..graph.len() as u32).filter(runs) {
            for &input in graph.input_words(task) {
                starts[input as usize + 1] += 1;
            }
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut tasks = vec![0; starts.last().copied().unwrap_or(0) as usize];
        // Backwards, each start moves to the end of the one before and back.
        for task in (0..graph.len() as u32).rev().filter(runs) {
            for &input in graph.input_words(task).iter().rev() {
                let end = &mut starts[input as usize + 1];
                *end -= 1;
                tasks[*end as usize] = task;
            }
        }
        // Now `starts[i + 1]` is where task i begins.
        starts.remove(0);
        starts.push(tasks.len() as u32);
        Self { starts, tasks }
    }

    fn range(&self, task: u32) -> std::ops::Range<usize> {
        self.starts[task as usize] as usize..self.starts[task as usize + 1] as usize
    }
}

/// One graph that is run. About 36 bytes a task and 4 an input, beside the graph's own.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) graph: Arc<Graph>,
    ranks: Vec<u32>,
    dependents: Dependents,
    /// Inputs that are not there yet.
    pub(crate) waiting: Vec<u32>,
    /// Uses of the result that are still to come, the caller's among them.
    pub(crate) uses: Vec<u32>,
    pub(crate) states: Vec<State>,
    pub(crate) attempts: Vec<u16>,
    /// The worker processes that died of a task, of the few that have any.
    pub(crate) deaths: HashMap<u32, Vec<Arc<WorkerDeath>>>,
    /// The device that has, or had, the result.
    pub(crate) homes: Vec<u32>,
    /// Bytes of the result.
    pub(crate) bytes: Vec<u64>,
    /// Whether a result can be written to disk.
    pub(crate) spillable: Vec<bool>,
    pub(crate) groups: Vec<GroupState>,
    /// Tasks with no inputs that nobody took yet, by kinds of device, the last first.
    pub(crate) sources: [Vec<u32>; DeviceKinds::COUNT],
    /// Tasks that are not done.
    pub(crate) left: usize,
    pub(crate) running: u32,
    /// Rank of its first task among all jobs' tasks.
    pub(crate) base: u64,
    /// Tells it from others that had its place.
    pub(crate) generation: u32,
    /// What became of it, once it ended.
    pub(crate) ended: Option<Result<(), RunError>>,
    /// Whether nobody wants its results any more.
    pub(crate) released: bool,
}

impl Job {
    /// The graph with none of its tasks begun. Linear in its size; needs no lock.
    pub(crate) fn new(graph: Arc<Graph>) -> Self {
        let order = order(&graph);
        let dependents = Dependents::new(&graph, &order.ranks);
        let n = graph.len();
        let mut uses: Vec<u32> = (0..n as u32).map(|t| dependents.range(t).len() as u32).collect();
        for w in graph.wanted() {
            uses[w.index()] += 1;
        }
        let mut groups = vec![GroupState::default(); graph.groups().len()];
        let mut sources: [Vec<u32>; DeviceKinds::COUNT] = Default::default();
        let mut states = vec![State::Waiting; n];
        let mut waiting = vec![0; n];
        for task in 0..n as u32 {
            let t = task as usize;
            if order.ranks[t] == NOT_RUN {
                states[t] = State::NotRun;
                continue;
            }
            waiting[t] = graph.input_words(task).len() as u32;
            if waiting[t] == 0 {
                states[t] = State::Ready;
                let group = graph.group_of(task) as usize;
                groups[group].ready += 1;
                sources[graph.groups()[group].options.needs.kinds.index()].push(task);
            }
        }
        for s in &mut sources {
            let rank = |t: &u32| std::cmp::Reverse(order.ranks[*t as usize]);
            if !s.is_sorted_by_key(rank) {
                s.sort_unstable_by_key(rank);
            }
        }
        Self {
            ranks: order.ranks,
            dependents,
            waiting,
            uses,
            states,
            attempts: vec![0; n],
            deaths: HashMap::new(),
            homes: vec![NOWHERE; n],
            bytes: vec![0; n],
            spillable: vec![false; n],
            groups,
            sources,
            left: order.len,
            running: 0,
            base: 0,
            generation: 0,
            ended: None,
            released: false,
            graph,
        }
    }

    pub(crate) fn dependents(&self, task: u32) -> &[u32] {
        &self.dependents.tasks[self.dependents.range(task)]
    }

    pub(crate) fn dependent_range(&self, task: u32) -> std::ops::Range<usize> {
        self.dependents.range(task)
    }

    pub(crate) fn dependent(&self, at: usize) -> u32 {
        self.dependents.tasks[at]
    }

    /// The key of a task among all jobs' tasks.
    fn key(&self, task: u32) -> u64 {
        let group = self.graph.group_of(task) as usize;
        let priority = self.graph.groups()[group].options.priority;
        super::queue::key(priority, self.base + u64::from(self.ranks[task as usize]))
    }

    /// A task as it is queued.
    pub(crate) fn entry(&self, id: u32, task: u32) -> Ready {
        Ready { key: self.key(task), job: id, task, generation: self.generation }
    }

    pub(crate) fn rank(&self, task: u32) -> u32 {
        self.ranks[task as usize]
    }

    /// Bytes of a task's result: as told, else the greatest that its group gave.
    pub(crate) fn output_bytes(&self, task: u32) -> u64 {
        let group = self.graph.group_of(task) as usize;
        let told = self.graph.groups()[group].options.needs.output_bytes;
        told.unwrap_or(self.groups[group].output_bytes)
    }

    /// A failure of a task, with the names that lead to it.
    pub(crate) fn failure(&self, task: u32, cause: Cause) -> RunError {
        let inputs = self.graph.input_words(task);
        // The ancestors by distance; a task that stands twice counts once. Of many inputs
        // only some are looked behind.
        let mut seen: HashSet<u32> = inputs.iter().copied().collect();
        seen.insert(task);
        let mut ancestors = Vec::new();
        let mut next: VecDeque<u32> = inputs.iter().copied().take(NAMED).collect();
        while let Some(from) = next.pop_front()
            && ancestors.len() < NAMED
        {
            for &i in self.graph.input_words(from).iter().take(NAMED) {
                if ancestors.len() < NAMED && seen.insert(i) {
                    ancestors.push(self.graph.name(TaskId(i)));
                    next.push_back(i);
                }
            }
        }
        let name = |&i: &u32| self.graph.name(TaskId(i));
        let died = self.deaths.get(&task).map_or(0, Vec::len);
        RunError::Task(Arc::new(TaskFailure {
            task: name(&task),
            attempts: u32::from(self.attempts[task as usize]) + died as u32,
            inputs: inputs.iter().take(NAMED).map(name).collect(),
            more_inputs: inputs.len().saturating_sub(NAMED),
            ancestors,
            cause,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphBuilder, TaskOptions};

    #[test]
    fn dependents_stand_once_for_each_input_and_only_if_they_run() {
        let mut g = GraphBuilder::new();
        let group = g.group("g", TaskOptions::default());
        let a = g.simulated(group, &[]);
        let b = g.simulated(group, &[a]);
        let _spare = g.simulated(group, &[a, b]);
        let c = g.simulated(group, &[a, b, a]);
        let job = Job::new(Arc::new(g.build(&[c])));
        assert_eq!(job.dependents(0), [1, 3, 3]);
        assert_eq!(job.dependents(1), [3]);
        assert_eq!(job.dependents(2), [0; 0]);
        assert_eq!(job.dependents(3), [0; 0]);
        assert_eq!(job.uses, [3, 1, 0, 1]);
        assert_eq!(job.states[2], State::NotRun);
        assert_eq!((job.left, job.waiting[3]), (3, 3));
    }

    #[test]
    fn a_failure_names_inputs_and_ancestors() {
        let mut g = GraphBuilder::new();
        let (paths, load, tok) = (
            g.group("paths", TaskOptions::default()),
            g.group("load", TaskOptions::default()),
            g.group("tokenise", TaskOptions::default()),
        );
        let p = g.simulated(paths, &[]);
        let l = g.simulated(load, &[p]);
        let t = g.simulated(tok, &[l]);
        let mut job = Job::new(Arc::new(g.build(&[t])));
        job.attempts[2] = 3;
        let error = job.failure(2, Cause::Panicked("no".into())).to_string();
        assert_eq!(
            error,
            "task tokenise[0] failed 3 times: it panicked: no; its inputs: load[0]; which come \
             from: paths[0]"
        );
    }
}
