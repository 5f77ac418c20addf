//! Ready tasks, in the order of priority and rank.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Bits of a rank in a key; above them stands the priority.
const RANK_BITS: u32 = 48;

/// The key of a task: smaller goes first.
pub(crate) fn key(priority: i16, rank: u64) -> u64 {
    let priority = (i32::from(i16::MAX) - i32::from(priority)) as u64;
    priority << RANK_BITS | (rank & ((1 << RANK_BITS) - 1))
}

/// The rank that a key was made of.
pub(crate) fn rank(key: u64) -> u64 {
    key & ((1 << RANK_BITS) - 1)
}

/// A task that can run. One that was cancelled, or lost an input, stays in its queue until it
/// is met there: whoever takes it looks whether it still is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) key: u64,
    pub(crate) job: u32,
    pub(crate) task: u32,
    /// That of the job when it was queued: a later job may have its place.
    pub(crate) generation: u32,
}

impl Ord for Ready {
    /// The greatest is the one to run first, as a heap gives that.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.key, other.job, other.task).cmp(&(self.key, self.job, self.task))
    }
}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Ready tasks by key.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Ready>,
}

impl Queue {
    pub(crate) fn push(&mut self, ready: Ready) {
        self.heap.push(ready);
    }

    pub(crate) fn peek(&self) -> Option<&Ready> {
        self.heap.peek()
    }

    pub(crate) fn pop(&mut self) -> Option<Ready> {
        self.heap.pop()
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    pub(crate) fn take(&mut self) -> Vec<Ready> {
        std::mem::take(&mut self.heap).into_sorted_vec().into_iter().rev().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_priority_goes_first_then_lower_rank() {
        let mut q = Queue::default();
        for (i, (p, r)) in
            [(0, 5), (-3, 0), (7, 9), (0, 4), (i16::MIN, 1), (i16::MAX, 8)].into_iter().enumerate()
        {
            q.push(Ready { key: key(p, r), job: 0, task: i as u32, generation: 0 });
        }
        let order: Vec<u32> = std::iter::from_fn(|| q.pop()).map(|r| r.task).collect();
        assert_eq!(order, [5, 2, 3, 0, 1, 4]);
        assert_eq!(rank(key(-5, 77)), 77);
    }
}
