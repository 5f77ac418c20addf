//! What comes back: the same as elsewhere.

use std::time::Instant;

use windlass_runtime::{
    delayed::{Delayed, RunGraph, Synchronous, compute_on, delayed},
    execute::{Executor, ExecutorOptions},
    futures::gather,
};

use super::{all, executor, options};

/// A graph of calls with inputs by chance, and what it comes to.
fn random(seed: u64, run: &impl RunGraph) -> Vec<u64> {
    let mut state = seed;
    let mut chance = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % n
    };
    let mut nodes: Vec<Delayed<u64>> = (0..10).map(Delayed::from).collect();
    for i in 0..150_u64 {
        let (a, b) = (chance(nodes.len()), chance(nodes.len()));
        let node = match chance(3) {
            0 => all().add.call((&nodes[a], &nodes[b])),
            1 => all().add.call((&nodes[a], i)),
            _ => {
                let inputs = (0..chance(6)).map(|_| nodes[chance(nodes.len())].clone());
                all().mix.call(inputs.collect::<Vec<_>>())
            }
        };
        nodes.push(node);
    }
    let wanted = nodes.split_off(nodes.len() - 40);
    compute_on(wanted, run).unwrap().iter().map(|x| **x).collect()
}

pub(crate) fn all_schedulers_give_the_same() {
    let threads = Executor::new(ExecutorOptions::default().threads(3)).unwrap();
    let processes = executor(3);
    for seed in 1..6 {
        let expected = random(seed, &Synchronous);
        assert_eq!(random(seed, &threads), expected);
        assert_eq!(random(seed, &processes), expected);
    }
}

pub(crate) fn words_are_counted_as_on_threads() {
    let texts = ["the cat and the dog", "The end of the day", "", "dog day"];
    let counts = || {
        let parts = all().count.map(texts.map(String::from));
        all().merge.call(parts)
    };
    let expected = counts().compute_on(&Synchronous).unwrap();
    assert_eq!((expected["the"], expected["dog"]), (4, 2));
    assert_eq!(counts().compute().unwrap(), expected);
    assert_eq!(counts().compute_on(&executor(2)).unwrap(), expected);
}

pub(crate) fn large_results_pass() {
    let n = (64 << 20) + 12_345;
    let bytes = all().bytes.call((n,));
    let sum = all().sum_bytes.call((&bytes,));
    let executor = executor(1);
    let (bytes, sum) = compute_on((&bytes, &sum), &executor).unwrap();
    assert_eq!(bytes.len() as u64, n);
    assert_eq!(*sum, bytes.iter().map(|b| u64::from(*b)).sum::<u64>());
    assert!(executor.counts().peak_bytes >= n);
}

pub(crate) fn results_go_to_disk_where_memory_is_short() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(2).memory(6 << 20);
    options.spill = Some(folder.path().to_path_buf());
    let executor =
        windlass_runtime::processes::ProcessExecutor::new(options, &all().functions).unwrap();
    let parts = all().bytes.map((0..20).map(|i| (1 << 20) + i));
    let all = compute_on(&parts, &executor).unwrap();
    for (i, bytes) in all.iter().enumerate() {
        assert_eq!(bytes.len(), (1 << 20) + i);
        assert!(bytes.iter().enumerate().all(|(i, b)| *b == i as u8));
    }
    let counts = executor.counts();
    assert!(counts.spilled_bytes >= 10 << 20, "{counts:?}");
}

pub(crate) fn what_is_not_registered_runs_here() {
    let executor = executor(1);
    let own = delayed(std::process::id);
    let there = all().pid.call(());
    let differ = delayed(|a: &u32, b: &u32| a != b).call((own.call(()), &there));
    let (own, there, differ) = compute_on((&own.call(()), &there, &differ), &executor).unwrap();
    assert_eq!(*own, std::process::id());
    assert_eq!(executor.workers().iter().map(|w| w.1).collect::<Vec<_>>(), [*there]);
    assert!(*differ);
    // A task that waits for others has them run there too.
    let inner = executor.clone();
    let nested = delayed(move || *all().pid.call(()).compute_on(&inner).unwrap()).call(());
    assert_eq!(*nested.compute_on(&executor).unwrap(), *there);
}

pub(crate) fn futures_run_in_processes_too() {
    let executor = executor(2);
    let client = executor.client();
    let first = client.submit(&all().add.call((1, 2)));
    let both = |i: u64| all().mix.call(vec![Delayed::from(i), (&first).into()]);
    let sums: Vec<_> = (0..5).map(|i| client.submit(&both(i))).collect();
    let sums: Vec<u64> = gather(sums).unwrap().iter().map(|x| **x).collect();
    let expected = |i: u64| super::functions::mixed(&[i.into(), 3.into()]);
    assert_eq!(sums, (0..5).map(expected).collect::<Vec<_>>());
    // A client keeps the workers.
    drop(executor);
    assert_eq!(*client.submit(&all().add.call((2, 2))).result().unwrap(), 4);
}

pub(crate) fn output_and_input_of_tasks_disturb_nothing() {
    let executor = executor(1);
    for _ in 0..3 {
        assert_eq!(*all().print.call(()).compute_on(&executor).unwrap(), "");
        assert_eq!(*all().add.call((1, 1)).compute_on(&executor).unwrap(), 2);
    }
}

pub(crate) fn over_tcp_it_is_the_same() {
    let mut options = options(2);
    options.over_tcp = true;
    let executor =
        windlass_runtime::processes::ProcessExecutor::new(options, &all().functions).unwrap();
    assert_eq!(random(9, &executor), random(9, &Synchronous));
    let error = all().abort.call((1,)).compute_on(&executor).unwrap_err().to_string();
    assert!(error.contains("was killed by signal 6 while running abort[0], at "), "{error}");
    let pids = executor.workers();
    drop(executor);
    assert!(pids.iter().all(|(_, pid)| super::ended(*pid)));
    assert!(super::children().is_empty());
}

/// Prints what a task costs that does nothing.
pub(crate) fn overhead() {
    let executor = executor(2);
    let (tasks, one) = (20_000_u64, 2_000_u64);
    for (name, parts, n) in [
        ("2 workers, independent", all().add.map_pairs(tasks), tasks),
        ("2 workers, a chain", vec![chain(one)], one),
    ] {
        compute_on(&parts[..1], &executor).unwrap();
        let began = Instant::now();
        compute_on(&parts, &executor).unwrap();
        let micros = began.elapsed().as_secs_f64() * 1e6 / n as f64;
        println!("{name}: {micros:.1} microseconds a task, over {n} tasks");
    }
}

fn chain(n: u64) -> Delayed<u64> {
    (0..n).fold(Delayed::from(0), |sum, i| all().add.call((sum, i)))
}

/// Independent calls of a function of two numbers.
trait MapPairs {
    fn map_pairs(&self, n: u64) -> Vec<Delayed<u64>>;
}

impl MapPairs for windlass_runtime::delayed::DelayedFn<(u64, u64), u64> {
    fn map_pairs(&self, n: u64) -> Vec<Delayed<u64>> {
        (0..n).map(|i| self.call((i, i))).collect()
    }
}
