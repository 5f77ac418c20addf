//! All elements to one: folds by a tree over the partitions.

use std::{any::Any, sync::Arc};

use super::{Bag, task_over};
use crate::{
    delayed::{Delayed, GroupDef},
    graph::{Value, Work},
};

/// Partial results that one task brings together. As Dask's `split_every`: few enough that
/// they need not all be there at once, many enough that the tree is flat.
const TOGETHER: usize = 8;

/// Brings partial results together, some at a time, in their order.
pub(super) fn tree<A: Any + Send + Sync>(
    name: &'static str,
    mut level: Vec<Delayed<A>>,
    together: impl Fn(&[&A]) -> A + Send + Sync + 'static,
) -> Delayed<A> {
    let work: Work = Arc::new(move |c| {
        let parts: Result<Vec<&A>, _> = (0..c.inputs().len()).map(|i| c.input::<A>(i)).collect();
        Ok(Value::new(together(&parts?)))
    });
    let group = GroupDef::named(name);
    // At least once, so that a bag with no partition has a result too.
    loop {
        let count = level.len().div_ceil(TOGETHER).max(1);
        level = (0..count)
            .map(|i| {
                let own = level.iter().skip(i * TOGETHER).take(TOGETHER);
                let inputs = own.map(|d| Arc::clone(&d.node)).collect();
                task_over(&group, inputs, Arc::clone(&work))
            })
            .collect();
        if level.len() == 1 {
            return level.swap_remove(0);
        }
    }
}

impl<T: Any + Send + Sync> Bag<T> {
    /// A value for each partition.
    fn partial<A: Any + Send + Sync>(
        &self,
        name: &'static str,
        f: impl Fn(&[T]) -> A + Send + Sync + 'static,
    ) -> Vec<Delayed<A>> {
        let work: Work = Arc::new(move |c| Ok(Value::new(f(c.input::<Vec<T>>(0)?))));
        let nodes = crate::delayed::Node::map(name, &work, self.nodes());
        nodes.into_iter().map(Delayed::of).collect()
    }

    /// Folds each partition from `initial` by `step`, and brings these results together, in
    /// their order, by `combine`. `initial` must change nothing when combined: 0 for a sum.
    pub fn fold<A: Any + Send + Sync + Clone>(
        &self,
        initial: A,
        step: impl Fn(A, &T) -> A + Send + Sync + 'static,
        combine: impl Fn(A, &A) -> A + Send + Sync + 'static,
    ) -> Delayed<A> {
        let first = initial.clone();
        let parts = self.partial("fold", move |part| part.iter().fold(first.clone(), &step));
        tree("combine", parts, move |parts| match parts.split_first() {
            Some((first, rest)) => rest.iter().fold((*first).clone(), |a, b| combine(a, b)),
            None => initial.clone(),
        })
    }

    /// Number of elements.
    pub fn count(&self) -> Delayed<u64> {
        let parts = self.partial("count", |part| part.len() as u64);
        tree("sum", parts, |parts| parts.iter().copied().sum())
    }

    /// The `k` elements with the greatest keys, the greatest first; of equal ones those that
    /// come first.
    pub fn top_k<K: Ord>(
        &self,
        k: usize,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
    ) -> Delayed<Vec<T>>
    where
        T: Clone,
    {
        let key = Arc::new(key);
        let own = Arc::clone(&key);
        let parts = self.partial("top_k", move |part| greatest(part.iter().collect(), k, &*own));
        tree("top_k", parts, move |parts| {
            greatest(parts.iter().flat_map(|p| p.iter()).collect(), k, &*key)
        })
    }
}

/// The `k` greatest by key, the greatest first; sorting keeps the order of equal ones.
fn greatest<T: Clone, K: Ord>(mut elements: Vec<&T>, k: usize, key: &impl Fn(&T) -> K) -> Vec<T> {
    elements.sort_by_cached_key(|x| std::cmp::Reverse(key(x)));
    elements.truncate(k);
    elements.into_iter().cloned().collect()
}
