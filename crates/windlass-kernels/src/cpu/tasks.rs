//! Tasks that cores share, through one instance of rayon's machinery.
//!
//! A parallel iterator of rayon is compiled anew for every closure and every type it is used
//! with: some kilobytes each, which for the twins' many types was a third of this crate's
//! code and of the time to compile it. Here a task is called by a pointer. The call is
//! nothing beside what a task does, tens of microseconds at least; for items that take less,
//! give each task many.

use parking_lot::Mutex;
use rayon::prelude::*;

/// `f` of each number less than `n`.
pub(crate) fn each(n: usize, f: &(dyn Fn(usize) + Sync)) {
    match n {
        0 => {}
        1 => f(0),
        _ => (0..n).into_par_iter().for_each(f),
    }
}

/// `f` of each number less than `n`, in order.
pub(crate) fn map<T: Send>(n: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let results: Vec<Slot<T>> = (0..n).map(|_| Slot::default()).collect();
    each(n, &|i| results[i].put(f(i)));
    results.into_iter().map(Slot::take).collect()
}

/// `f` of each item and its number.
pub(crate) fn each_of<I: Send>(items: impl IntoIterator<Item = I>, f: impl Fn(usize, I) + Sync) {
    let items: Vec<Slot<I>> = items.into_iter().map(Slot::new).collect();
    each(items.len(), &|i| f(i, items[i].remove()));
}

/// `f` of each item and its number, in order.
pub(crate) fn map_of<I: Send, T: Send>(
    items: impl IntoIterator<Item = I>,
    f: impl Fn(usize, I) -> T + Sync,
) -> Vec<T> {
    let items: Vec<Slot<I>> = items.into_iter().map(Slot::new).collect();
    map(items.len(), |i| f(i, items[i].remove()))
}

/// What one task takes or gives. The lock is never waited for: each slot has one task.
struct Slot<T>(Mutex<Option<T>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    fn new(item: T) -> Self {
        Self(Mutex::new(Some(item)))
    }

    fn put(&self, item: T) {
        *self.0.lock() = Some(item);
    }

    fn remove(&self) -> T {
        self.0.lock().take().expect("each item has one task")
    }

    fn take(self) -> T {
        self.0.into_inner().expect("each task ran to its end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_and_results_keep_their_order() {
        for n in [0, 1, 2, 1000] {
            let ran = Mutex::new(vec![0; n]);
            each(n, &|i| ran.lock()[i] += 1);
            assert_eq!(ran.into_inner(), vec![1; n]);
            assert_eq!(map(n, |i| i * i), (0..n).map(|i| i * i).collect::<Vec<_>>());
            let mut out = vec![0; 3 * n];
            each_of(out.chunks_mut(3), |i, out| out.fill(i));
            assert!(out.iter().enumerate().all(|(k, v)| *v == k / 3));
            let texts = (0..n).map(|i| i.to_string());
            let lengths = map_of(texts, |i, text| (i, text.len()));
            assert!(lengths.iter().enumerate().all(|(k, (i, len))| k == *i && *len > 0));
        }
    }

    #[test]
    #[should_panic(expected = "task 7")]
    fn a_panic_comes_out() {
        each(20, &|i| assert_ne!(i, 7, "task 7"));
    }
}
