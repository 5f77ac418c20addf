//! Elements brought together by key. Each partition is split by the hash of the keys, and
//! each part of the result takes its share of every partition:
//!
//! ```text
//!   partition 0 ──▶ split ─┬──▶ merge 0
//!   partition 1 ──▶ split ─┼──▶ merge 1
//!   partition 2 ──▶ split ─┴──▶ merge 2
//! ```
//!
//! The hash is the same in every run, and keys keep the order in which they were met.

use std::{
    any::Any,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use foldhash::fast::FixedState;
use indexmap::IndexMap;

use super::{Bag, part, task_over};
use crate::{
    delayed::{Delayed, GroupDef, Node},
    graph::{Value, Work},
};

/// What a bag's elements and keys are.
pub trait Key: Any + Send + Sync + Clone + Eq + Hash {}

impl<K: Any + Send + Sync + Clone + Eq + Hash> Key for K {}

type Map<K, A> = IndexMap<K, A, FixedState>;

/// The part that a key belongs to.
fn bucket<K: Hash>(key: &K, buckets: usize) -> usize {
    // The high bits: the maps use the low ones.
    ((u128::from(FixedState::with_seed(1).hash_one(key)) * buckets as u128) >> 64) as usize
}

/// Most parts of a result: each takes something of every partition, so that parts times
/// partitions bounds what the splits make. A guess.
const MOST_PARTS: usize = 128;

impl<T: Any + Send + Sync> Bag<T> {
    /// Folds each partition's elements by key into maps, one for each part of the result.
    fn split<K: Key, A: Any + Send + Sync>(
        &self,
        buckets: usize,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
        fold: impl Fn(Option<A>, &T) -> A + Send + Sync + 'static,
    ) -> Vec<Arc<Node>> {
        let work: Work = Arc::new(move |c| {
            let mut maps: Vec<Map<K, Option<A>>> = (0..buckets).map(|_| Map::default()).collect();
            for x in c.input::<Vec<T>>(0)? {
                let key = key(x);
                let slot = maps[bucket(&key, buckets)].entry(key).or_default();
                *slot = Some(fold(slot.take(), x));
            }
            let full = maps
                .into_iter()
                .map(|m| m.into_iter().filter_map(|(k, a)| Some((k, a?))).collect::<Map<K, A>>());
            Ok(Value::new(full.collect::<Vec<_>>()))
        });
        Node::map("split", &work, self.nodes())
    }

    fn buckets(&self) -> usize {
        self.partitions().clamp(1, MOST_PARTS)
    }

    /// Folds the elements of each key from `initial` by `step`, within partitions, and
    /// brings these results together by `combine`: keys with their results. As a group-by
    /// and a fold in one, without the groups.
    pub fn fold_by<K: Key, A: Any + Send + Sync + Clone>(
        &self,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
        initial: A,
        step: impl Fn(A, &T) -> A + Send + Sync + 'static,
        combine: impl Fn(A, &A) -> A + Send + Sync + 'static,
    ) -> Bag<(K, A)> {
        let buckets = self.buckets();
        let splits = self.split(buckets, key, move |a: Option<A>, x| {
            step(a.unwrap_or_else(|| initial.clone()), x)
        });
        merged(&splits, buckets, move |maps: &[&Map<K, A>]| {
            let mut all: Map<K, Option<A>> = Map::default();
            for (k, a) in maps.iter().flat_map(|m| m.iter()) {
                match all.get_mut(k) {
                    Some(slot) => *slot = slot.take().map(|had| combine(had, a)),
                    None => drop(all.insert(k.clone(), Some(a.clone()))),
                }
            }
            all.into_iter().filter_map(|(k, a)| Some((k, a?))).collect()
        })
    }

    /// The elements of each key, in their order.
    pub fn group_by<K: Key>(
        &self,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
    ) -> Bag<(K, Vec<T>)>
    where
        T: Clone,
    {
        let step = |mut group: Vec<T>, x: &T| {
            group.push(x.clone());
            group
        };
        let combine = |mut group: Vec<T>, more: &Vec<T>| {
            group.extend_from_slice(more);
            group
        };
        self.fold_by(key, Vec::new(), step, combine)
    }

    /// Each pair of an element here and one of the other bag with the same key.
    pub fn join<U: Any + Send + Sync + Clone, K: Key>(
        &self,
        other: &Bag<U>,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
        other_key: impl Fn(&U) -> K + Send + Sync + 'static,
    ) -> Bag<(T, U)>
    where
        T: Clone,
    {
        fn push<X: Clone>(group: Option<Vec<X>>, x: &X) -> Vec<X> {
            let mut group = group.unwrap_or_default();
            group.push(x.clone());
            group
        }
        let buckets = self.buckets().max(other.buckets());
        let left = self.split(buckets, key, push);
        let right = other.split(buckets, other_key, push);
        let (lefts, group) = (left.len(), GroupDef::named("join"));
        let inputs: Vec<Arc<Node>> = left.into_iter().chain(right).collect();
        let parts = (0..buckets)
            .map(|b| {
                let work: Work = Arc::new(move |c| {
                    let mut build: Map<&K, Vec<&U>> = Map::default();
                    for i in lefts..c.inputs().len() {
                        for (k, group) in &c.input::<Vec<Map<K, Vec<U>>>>(i)?[b] {
                            build.entry(k).or_default().extend(group);
                        }
                    }
                    let mut pairs = Vec::new();
                    for i in 0..lefts {
                        for (k, group) in &c.input::<Vec<Map<K, Vec<T>>>>(i)?[b] {
                            for u in build.get(k).into_iter().flatten() {
                                pairs.extend(group.iter().map(|t| (t.clone(), (*u).clone())));
                            }
                        }
                    }
                    Ok(part(pairs))
                });
                task_over(&group, inputs.clone(), work)
            })
            .collect();
        Bag { parts }
    }
}

/// The parts of a result, each of its share of all splits.
fn merged<K: Key, A: Any + Send + Sync, R: Any + Send + Sync>(
    splits: &[Arc<Node>],
    buckets: usize,
    merge: impl Fn(&[&Map<K, A>]) -> Vec<R> + Send + Sync + 'static,
) -> Bag<R> {
    let (merge, group) = (Arc::new(merge), GroupDef::named("merge"));
    let parts = (0..buckets)
        .map(|b| {
            let merge = Arc::clone(&merge);
            let work: Work = Arc::new(move |c| {
                let maps = (0..c.inputs().len()).map(|i| Ok(&c.input::<Vec<Map<K, A>>>(i)?[b]));
                let maps: Result<Vec<&Map<K, A>>, crate::graph::BoxError> = maps.collect();
                Ok(part(merge(&maps?)))
            });
            let task: Delayed<Vec<R>> = task_over(&group, splits.to_vec(), work);
            task
        })
        .collect();
    Bag { parts }
}

impl<T: Key> Bag<T> {
    /// How often each element stands here.
    pub fn frequencies(&self) -> Bag<(T, u64)> {
        self.fold_by(T::clone, 0, |n, _| n + 1, |n, more| n + more)
    }

    /// Each element once.
    #[must_use]
    pub fn distinct(&self) -> Self {
        self.fold_by(T::clone, (), |(), _| (), |(), ()| ()).map(|(x, ())| x.clone())
    }
}
