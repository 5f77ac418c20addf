//! The order of a graph's tasks that keeps few results in memory.
//!
//! A depth-first walk from the wanted tasks: a task comes right behind its inputs, so that
//! a source is not read before its consumer can use it. Of several inputs the one that
//! needs most memory beyond what it leaves comes first (Sethi and Ullman's rule for
//! registers, *The Generation of Optimal Code for Arithmetic Expressions*, JACM 1970, with
//! bytes in place of registers). For trees that is the least memory that any depth-first
//! order needs; for other graphs it is a good order and no more: the least one is NP-hard.
//!
//! Dask's users met the other way: sources that were run as soon as a worker was idle took
//! 15 times the memory (distributed 6360).

use super::Graph;

/// A task that is not run, because no wanted task needs it.
pub(crate) const NOT_RUN: u32 = u32::MAX;

/// The order: the tasks to run, first to last, and the rank of each task, [`NOT_RUN`] for
/// those that are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// Position of each task in the order.
    pub(crate) ranks: Vec<u32>,
    /// Number of tasks that are run.
    pub(crate) len: usize,
}

/// The order of `graph`. Time is linear in tasks and inputs, but for the sorting of a task's
/// inputs where they differ.
pub(crate) fn order(graph: &Graph) -> Order {
    let needed = needed(graph);
    let inputs = sorted_inputs(graph, &needed);
    let mut ranks = vec![NOT_RUN; graph.len()];
    let mut next = 0;
    // A task and how many of its inputs were looked at.
    let mut stack: Vec<(u32, u32)> = Vec::new();
    for wanted in graph.wanted() {
        if ranks[wanted.index()] != NOT_RUN {
            continue;
        }
        stack.push((wanted.0, 0));
        while let Some((task, seen)) = stack.last_mut() {
            let own = graph.input_range(*task);
            match inputs[own].get(*seen as usize) {
                Some(&input) => {
                    *seen += 1;
                    if ranks[input as usize] == NOT_RUN {
                        stack.push((input, 0));
                    }
                }
                None => {
                    ranks[*task as usize] = next;
                    next += 1;
                    stack.pop();
                }
            }
        }
    }
    Order { ranks, len: next as usize }
}

/// Whether each task is wanted, or needed by one that is.
fn needed(graph: &Graph) -> Vec<bool> {
    let mut needed = vec![false; graph.len()];
    for w in graph.wanted() {
        needed[w.index()] = true;
    }
    for task in (0..graph.len() as u32).rev() {
        if needed[task as usize] {
            for &input in graph.input_words(task) {
                needed[input as usize] = true;
            }
        }
    }
    needed
}

/// The inputs of each needed task, those first that need most memory beyond what they leave.
fn sorted_inputs(graph: &Graph, needed: &[bool]) -> Vec<u32> {
    // With no bytes told, every result counts the same.
    let told = graph.groups().iter().any(|g| g.options.needs.output_bytes.is_some());
    let output = |task: u32| -> u64 {
        let needs = &graph.groups()[graph.group_of(task) as usize].options.needs;
        if told { needs.output_bytes.unwrap_or(0) } else { 1 }
    };
    let working =
        |task: u32| graph.groups()[graph.group_of(task) as usize].options.needs.working_bytes;
    // The most memory that each task and what lies below it needs at once.
    let mut peaks = vec![0_u64; graph.len()];
    let mut sorted = graph.all_inputs().to_vec();
    for task in 0..graph.len() as u32 {
        if !needed[task as usize] {
            continue;
        }
        let own = &mut sorted[graph.input_range(task)];
        let beyond = |i: &u32| peaks[*i as usize].saturating_sub(output(*i));
        if !own.is_sorted_by(|a, b| beyond(a) >= beyond(b)) {
            own.sort_by_key(|i| std::cmp::Reverse(beyond(i)));
        }
        let (mut live, mut peak) = (0_u64, 0_u64);
        for &input in &*own {
            peak = peak.max(live.saturating_add(peaks[input as usize]));
            live = live.saturating_add(output(input));
        }
        let running = live.saturating_add(output(task)).saturating_add(working(task));
        peaks[task as usize] = peak.max(running);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::{
        super::{GraphBuilder, TaskId, TaskOptions},
        *,
    };

    fn ranks(graph: &Graph, tasks: &[TaskId]) -> Vec<u32> {
        let order = order(graph);
        tasks.iter().map(|t| order.ranks[t.index()]).collect()
    }

    /// The most results at once when the tasks run one by one in the order of their ranks.
    fn most_kept(graph: &Graph) -> usize {
        let order = order(graph);
        let mut tasks: Vec<u32> =
            (0..graph.len() as u32).filter(|&t| order.ranks[t as usize] != NOT_RUN).collect();
        tasks.sort_by_key(|&t| order.ranks[t as usize]);
        let mut uses = vec![0; graph.len()];
        for &t in &tasks {
            graph.input_words(t).iter().for_each(|&i| uses[i as usize] += 1);
        }
        let (mut kept, mut most) = (0, 0);
        for t in tasks {
            kept += 1;
            most = most.max(kept);
            for &i in graph.input_words(t) {
                uses[i as usize] -= 1;
                kept -= usize::from(uses[i as usize] == 0);
            }
        }
        most
    }

    #[test]
    fn a_source_comes_right_before_its_consumer() {
        let mut g = GraphBuilder::new();
        let group = g.group("g", TaskOptions::default());
        let sources: Vec<_> = (0..100).map(|_| g.simulated(group, &[])).collect();
        let mapped: Vec<_> = sources.iter().map(|&s| g.simulated(group, &[s])).collect();
        let mut level = mapped;
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| g.simulated(group, pair)).collect();
        }
        let graph = g.build(&level);
        // A tree of depth 7 over 100 leaves: a result a level, and the source's own.
        assert!(most_kept(&graph) <= 9, "{}", most_kept(&graph));
    }

    #[test]
    fn of_two_inputs_the_one_that_needs_more_memory_comes_first() {
        let mut g = GraphBuilder::new();
        let small = g.group("small", TaskOptions::default().output_bytes(1));
        let large = g.group("large", TaskOptions::default().output_bytes(100));
        let a = g.simulated(small, &[]);
        let b = g.simulated(large, &[]);
        let c = g.simulated(small, &[b]);
        let d = g.simulated(small, &[a, c]);
        assert_eq!(ranks(&g.build(&[d]), &[b, c, a, d]), [0, 1, 2, 3]);
    }

    #[test]
    fn what_nobody_needs_is_not_run_and_long_chains_do_not_overflow() {
        let mut g = GraphBuilder::new();
        let group = g.group("g", TaskOptions::default());
        let mut last = g.simulated(group, &[]);
        for _ in 0..300_000 {
            last = g.simulated(group, &[last]);
        }
        let spare = g.simulated(group, &[last]);
        let graph = g.build(&[last]);
        let order = order(&graph);
        assert_eq!((order.len, order.ranks[spare.index()]), (300_001, NOT_RUN));
        assert_eq!(order.ranks[last.index()], 300_000);
    }

    #[test]
    fn an_input_that_stands_twice_is_run_once() {
        let mut g = GraphBuilder::new();
        let group = g.group("g", TaskOptions::default());
        let a = g.simulated(group, &[]);
        let b = g.simulated(group, &[a]);
        let c = g.simulated(group, &[a, b, a]);
        assert_eq!(ranks(&g.build(&[c, a]), &[a, b, c]), [0, 1, 2]);
    }
}
