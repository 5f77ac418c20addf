//! Bags: lists of any Rust values in partitions, for text, records and whatever is not a
//! table yet.
//!
//! ```
//! use windlass_runtime::bag::Bag;
//!
//! let lines = Bag::from_vec(vec!["a rose is", "a rose"], 2);
//! let words = lines.flat_map(|line| line.split(' ').map(str::to_string).collect::<Vec<_>>());
//! let top = words.frequencies().top_k(2, |(_, n)| *n).compute()?;
//! assert_eq!(*top, [("a".to_string(), 2), ("rose".to_string(), 2)]);
//! # Ok::<_, windlass_runtime::schedule::RunError>(())
//! ```
//!
//! A bag is lazy: each partition is a task that is run when a result is asked for. Elements
//! keep their order, and so do the keys of groups: that of their first element, partition by
//! partition. Results are the same whatever runs them.
//!
//! | module | holds |
//! |---|---|
//! | `reduce` | folds, counts, the greatest |
//! | `shuffle` | groups, frequencies, distinct, joins: elements brought together by key |
//! | `text` | text files: [`Bag::read_text`], [`Bag::write_text`] |

mod reduce;
mod shuffle;
#[cfg(test)]
mod tests;
mod text;

use std::{any::Any, fmt, sync::Arc};

pub use text::{TextError, TextOptions};

use crate::{
    delayed::{Delayed, GroupDef, Node, RunGraph, compute_on, delayed},
    execute::Executor,
    graph::{Value, Work},
    schedule::RunError,
};

/// A list of values in partitions, each of which is a task. Clones share them.
pub struct Bag<T> {
    parts: Vec<Delayed<Vec<T>>>,
}

impl<T> Clone for Bag<T> {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone() }
    }
}

impl<T> fmt::Debug for Bag<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bag").field("partitions", &self.parts.len()).finish_non_exhaustive()
    }
}

/// A task of a group that takes all of some inputs.
fn task_over<R>(group: &Arc<GroupDef>, inputs: Vec<Arc<Node>>, work: Work) -> Delayed<R> {
    Delayed::of(Node::call(Arc::clone(group), work, inputs))
}

/// A partition as a task's result, with the bytes that its elements take, without those that
/// they point to.
fn part<T: Any + Send + Sync>(elements: Vec<T>) -> Value {
    let bytes = (elements.capacity() * size_of::<T>()) as u64;
    Value::sized(elements, bytes)
}

impl<T: Any + Send + Sync> Bag<T> {
    /// The elements of a list, in that many partitions of about equal length, at least one.
    pub fn from_vec(elements: Vec<T>, partitions: usize) -> Self {
        let n = elements.len();
        let partitions = partitions.clamp(1, n.max(1));
        let mut rest = elements.into_iter();
        let parts = (0..partitions)
            .map(|p| {
                let length = n * (p + 1) / partitions - n * p / partitions;
                Delayed::value(rest.by_ref().take(length).collect())
            })
            .collect();
        Self { parts }
    }

    /// The partitions that a function makes of their numbers, when they are needed.
    pub fn generate(
        partitions: usize,
        f: impl Fn(usize) -> Vec<T> + Send + Sync + 'static,
    ) -> Self {
        let make = delayed(move |p: &usize| f(*p)).named("generate");
        Self { parts: make.map(0..partitions) }
    }

    /// The results of tasks as partitions.
    pub fn from_delayed(parts: impl IntoIterator<Item = Delayed<Vec<T>>>) -> Self {
        Self { parts: parts.into_iter().collect() }
    }

    /// The partitions, as tasks.
    pub fn to_delayed(&self) -> &[Delayed<Vec<T>>] {
        &self.parts
    }

    /// Number of partitions.
    pub fn partitions(&self) -> usize {
        self.parts.len()
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        self.parts.iter().map(|p| Arc::clone(&p.node)).collect()
    }

    /// Each partition by a function of its own.
    fn each<U: Any + Send + Sync>(
        &self,
        name: &'static str,
        f: impl Fn(&[T]) -> Vec<U> + Send + Sync + 'static,
    ) -> Bag<U> {
        let f = Arc::new(f);
        let work: Work = Arc::new(move |c| Ok(part(f(c.input::<Vec<T>>(0)?))));
        Bag { parts: Node::map(name, &work, self.nodes()).into_iter().map(Delayed::of).collect() }
    }

    /// What a function gives for each element.
    pub fn map<U: Any + Send + Sync>(&self, f: impl Fn(&T) -> U + Send + Sync + 'static) -> Bag<U> {
        self.each("map", move |part| part.iter().map(&f).collect())
    }

    /// What a function gives for each partition.
    pub fn map_partitions<U: Any + Send + Sync>(
        &self,
        f: impl Fn(&[T]) -> Vec<U> + Send + Sync + 'static,
    ) -> Bag<U> {
        self.each("map_partitions", f)
    }

    /// All that a function gives for each element, one after another.
    pub fn flat_map<U: Any + Send + Sync, I: IntoIterator<Item = U>>(
        &self,
        f: impl Fn(&T) -> I + Send + Sync + 'static,
    ) -> Bag<U> {
        self.each("flat_map", move |part| part.iter().flat_map(&f).collect())
    }

    /// The elements for which a function holds.
    pub fn filter(&self, f: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self
    where
        T: Clone,
    {
        self.each("filter", move |part| part.iter().filter(|x| f(x)).cloned().collect())
    }

    /// What a function gives for each element for which it gives something.
    pub fn filter_map<U: Any + Send + Sync>(
        &self,
        f: impl Fn(&T) -> Option<U> + Send + Sync + 'static,
    ) -> Bag<U> {
        self.each("filter_map", move |part| part.iter().filter_map(&f).collect())
    }

    /// One part of each element, such as a field: `bag.pluck(|record| &record.name)`.
    pub fn pluck<U: Any + Send + Sync + Clone>(
        &self,
        f: impl Fn(&T) -> &U + Send + Sync + 'static,
    ) -> Bag<U> {
        self.each("pluck", move |part| part.iter().map(|x| f(x).clone()).collect())
    }

    /// The elements of this bag, then those of another.
    #[must_use]
    pub fn concat(&self, other: &Self) -> Self {
        Self { parts: self.parts.iter().chain(&other.parts).cloned().collect() }
    }

    /// The same elements in that many partitions, at least one, each of which takes whole
    /// partitions of this one or a share of one. Partitions are as even as that allows.
    #[must_use]
    pub fn repartition(&self, partitions: usize) -> Self
    where
        T: Clone,
    {
        let group = GroupDef::named("repartition");
        let (have, want) = (self.parts.len().max(1), partitions.max(1));
        let parts = (0..want)
            .map(|p| {
                // In units of 1/want of an old partition: this one takes `have` of them.
                let (begin, end) = (p * have, (p + 1) * have);
                let (first, last) = (begin / want, end.div_ceil(want).min(self.parts.len()));
                let share = move |part: usize, length: usize| {
                    let units = |at: usize| at.clamp(part * want, (part + 1) * want) - part * want;
                    length * units(begin) / want..length * units(end) / want
                };
                let inputs: Vec<_> = self.nodes().drain(first.min(last)..last).collect();
                let work: Work = Arc::new(move |c| {
                    let mut elements = Vec::new();
                    for i in 0..c.inputs().len() {
                        let from = c.input::<Vec<T>>(i)?;
                        elements.extend_from_slice(&from[share(first + i, from.len())]);
                    }
                    Ok(part(elements))
                });
                task_over(&group, inputs, work)
            })
            .collect();
        Self { parts }
    }

    /// All elements, in their order, on the threads of [`Executor::global`].
    ///
    /// # Errors
    /// That of the first task that failed for good; see [`RunError`].
    pub fn compute(&self) -> Result<Vec<T>, RunError>
    where
        T: Clone,
    {
        self.compute_on(Executor::global())
    }

    /// All elements, in their order, run there.
    ///
    /// # Errors
    /// As [`Bag::compute`].
    pub fn compute_on(&self, on: &impl RunGraph) -> Result<Vec<T>, RunError>
    where
        T: Clone,
    {
        let parts = compute_on(&self.parts, on)?;
        let mut elements = Vec::with_capacity(parts.iter().map(|p| p.len()).sum());
        for part in parts {
            // Those that nobody else has are moved.
            match Arc::try_unwrap(part) {
                Ok(mut part) => elements.append(&mut part),
                Err(part) => elements.extend_from_slice(&part),
            }
        }
        Ok(elements)
    }

    /// The first `n` elements, or all if there are fewer. Runs no more partitions than it
    /// needs: one, then two, then four at once.
    ///
    /// # Errors
    /// As [`Bag::compute`].
    pub fn take(&self, n: usize) -> Result<Vec<T>, RunError>
    where
        T: Clone,
    {
        self.take_on(n, Executor::global())
    }

    /// As [`Bag::take`], run there.
    ///
    /// # Errors
    /// As [`Bag::compute`].
    pub fn take_on(&self, n: usize, on: &impl RunGraph) -> Result<Vec<T>, RunError>
    where
        T: Clone,
    {
        let (mut elements, mut from, mut some) = (Vec::new(), 0, 1);
        while elements.len() < n && from < self.parts.len() {
            let to = (from + some).min(self.parts.len());
            for part in compute_on(&self.parts[from..to], on)? {
                let length = part.len().min(n - elements.len());
                elements.extend_from_slice(&part[..length]);
            }
            (from, some) = (to, some * 2);
        }
        Ok(elements)
    }

    /// The same bag with its partitions computed and kept in memory.
    ///
    /// # Errors
    /// As [`Bag::compute`].
    pub fn persist(&self) -> Result<Self, RunError> {
        self.persist_on(Executor::global())
    }

    /// As [`Bag::persist`], run there.
    ///
    /// # Errors
    /// As [`Bag::compute`].
    pub fn persist_on(&self, on: &impl RunGraph) -> Result<Self, RunError> {
        let parts = compute_on(&self.parts, on)?;
        let value = |p| Delayed::of(Node::value(Value::shared(p)));
        Ok(Self { parts: parts.into_iter().map(value).collect() })
    }
}

impl<A: Any + Send + Sync, B: Any + Send + Sync> Bag<(A, B)> {
    /// What a function gives for the two parts of each element.
    pub fn starmap<U: Any + Send + Sync>(
        &self,
        f: impl Fn(&A, &B) -> U + Send + Sync + 'static,
    ) -> Bag<U> {
        self.each("starmap", move |part| part.iter().map(|(a, b)| f(a, b)).collect())
    }
}
