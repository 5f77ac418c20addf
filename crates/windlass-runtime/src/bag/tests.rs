//! Bags against the same done by iterators, for many partitions, on threads and on one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;
use crate::delayed::Synchronous;

fn numbers(n: u64, partitions: usize) -> Bag<u64> {
    Bag::from_vec((0..n).collect(), partitions)
}

/// Partitions to try: none at all, one, a few, more than elements.
const PARTITIONS: [usize; 5] = [0, 1, 3, 17, 500];

#[test]
fn elements_keep_their_order_through_all_that_goes_one_by_one() {
    for p in PARTITIONS {
        let bag = numbers(100, p);
        assert_eq!(bag.compute().unwrap(), (0..100).collect::<Vec<_>>());
        let bag = bag.map(|x| x * 3).filter(|x| x % 2 == 0);
        let bag = bag.flat_map(|x| [*x, x + 1]).filter_map(|x| (x % 5 != 0).then(|| (*x, x * x)));
        let sums = bag.starmap(|a, b| a + b);
        let expected: Vec<u64> = (0..100)
            .map(|x| x * 3)
            .filter(|x| x % 2 == 0)
            .flat_map(|x| [x, x + 1])
            .filter(|x| x % 5 != 0)
            .map(|x| x + x * x)
            .collect();
        assert_eq!(sums.compute().unwrap(), expected);
        assert_eq!(sums.compute_on(&Synchronous).unwrap(), expected);
        assert_eq!(
            bag.pluck(|pair| &pair.0).count().compute().unwrap(),
            Arc::new(expected.len() as u64)
        );
        assert_eq!(
            bag.map_partitions(|part| vec![part.len()]).compute().unwrap().iter().sum::<usize>(),
            expected.len()
        );
    }
}

#[test]
fn folds_keep_the_order_of_partitions() {
    for p in PARTITIONS {
        let text = numbers(50, p).fold(
            String::new(),
            |mut s, x| {
                s.push_str(&x.to_string());
                s
            },
            |s, more| s + more,
        );
        let expected: String = (0..50).map(|x| x.to_string()).collect();
        assert_eq!(*text.compute().unwrap(), expected);
        let top = numbers(50, p).top_k(4, |x| x % 10).compute().unwrap();
        assert_eq!(*top, [9, 19, 29, 39]);
        assert!(numbers(50, p).top_k(0, |x| *x).compute().unwrap().is_empty());
    }
    let none: Bag<u64> = Bag::from_delayed([]);
    assert_eq!(*none.count().compute().unwrap(), 0);
    assert_eq!(*none.fold(7, |a, _| a, |a, _| a).compute().unwrap(), 7);
    assert!(none.distinct().compute().unwrap().is_empty());
}

#[test]
fn groups_have_all_their_elements_in_order() {
    for p in PARTITIONS {
        let bag = numbers(300, p).map(|x| x * 7 % 101);
        let elements: Vec<u64> = (0..300).map(|x| x * 7 % 101).collect();
        let mut expected: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        elements.iter().for_each(|x| expected.entry(x % 13).or_default().push(*x));
        let groups = bag.group_by(|x| x % 13).compute().unwrap();
        assert_eq!(groups.len(), expected.len());
        assert_eq!(groups.into_iter().collect::<BTreeMap<_, _>>(), expected);
        let counts = bag.frequencies().compute().unwrap();
        let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
        elements.iter().for_each(|x| *expected.entry(*x).or_default() += 1);
        assert_eq!(counts.iter().copied().collect::<BTreeMap<_, _>>(), expected);
        assert_eq!(counts.len(), expected.len());
        let distinct = bag.distinct().compute().unwrap();
        assert_eq!(distinct.len(), expected.len());
        assert_eq!(distinct.into_iter().collect::<BTreeSet<_>>(), expected.into_keys().collect());
        // The same in every run and on every scheduler.
        assert_eq!(counts, bag.frequencies().compute_on(&Synchronous).unwrap());
    }
}

#[test]
fn a_join_has_every_pair_once() {
    for (p, q) in [(1, 1), (3, 5), (17, 2), (0, 500)] {
        let left = numbers(60, p);
        let right = Bag::from_vec((0..40_u64).map(|x| format!("r{x}")).collect(), q);
        let joined = left.join(&right, |x| x % 7, |s| s[1..].parse::<u64>().unwrap_or(0) % 9);
        let mut pairs = joined.compute().unwrap();
        let mut expected = Vec::new();
        for x in 0..60_u64 {
            for y in 0..40_u64 {
                if x % 7 == y % 9 {
                    expected.push((x, format!("r{y}")));
                }
            }
        }
        pairs.sort();
        expected.sort();
        assert_eq!(pairs, expected);
    }
}

#[test]
fn partitions_change_and_elements_do_not() {
    for p in PARTITIONS {
        for q in [0, 1, 2, 3, 16, 18, 33, 600] {
            let bag = numbers(100, p).repartition(q);
            assert_eq!(bag.partitions(), q.max(1));
            assert_eq!(bag.compute().unwrap(), (0..100).collect::<Vec<_>>(), "{p} to {q}");
        }
    }
    let lengths = numbers(100, 10).repartition(4).map_partitions(|p| vec![p.len()]);
    assert_eq!(lengths.compute().unwrap(), [25; 4]);
    let both = numbers(3, 2).concat(&numbers(2, 1));
    assert_eq!(both.compute().unwrap(), [0, 1, 2, 0, 1]);
}

#[test]
fn taking_a_few_runs_a_few_partitions() {
    let runs = Arc::new(AtomicU32::new(0));
    let own = Arc::clone(&runs);
    let bag = Bag::generate(100, move |p| {
        own.fetch_add(1, Ordering::Relaxed);
        vec![p; 10]
    });
    assert_eq!(bag.take(12).unwrap(), [&[0; 10][..], &[1; 2]].concat());
    assert_eq!(runs.swap(0, Ordering::Relaxed), 3);
    let kept = bag.persist().unwrap();
    assert_eq!(kept.take(5000).unwrap().len(), 1000);
    assert_eq!(*kept.count().compute().unwrap(), 1000);
    assert_eq!(runs.load(Ordering::Relaxed), 100, "what is kept is not made again");
}

#[test]
fn an_error_names_its_task() {
    let bag = numbers(10, 5).map(|x| 10 / (x - 3));
    let error = bag.compute_on(&Synchronous).unwrap_err().to_string();
    assert!(error.starts_with("task map[") && error.contains("it panicked"), "{error}");
}
