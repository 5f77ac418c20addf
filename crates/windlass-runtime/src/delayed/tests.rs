//! Delayed calls: values, sharing, errors, long chains.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn double(x: &u64) -> u64 {
    2 * x
}

#[test]
fn calls_of_every_arity_give_what_the_function_gives() {
    let zero = delayed(|| 7_u8).call(());
    let one = delayed(double).call((21,));
    let two = delayed(|a: &String, b: &u64| format!("{a}{b}")).call(("n".to_string(), &one));
    let six = delayed(|a: &u8, b: &u8, c: &u8, d: &u8, e: &u8, f: &u8| a + b + c + d + e + f);
    let six = six.call((&zero, 1, 2, 3, 4, 5));
    assert_eq!(format!("{one:?}"), "Delayed(\"double\")");
    for on in [&Synchronous as &dyn RunGraphDyn, Executor::global()] {
        let (zero, one, two, six) = on.both((&zero, &one, &two, &six));
        assert_eq!((*zero, *one, two.as_str(), *six), (7, 42, "n42", 22));
    }
}

/// Both ways to run, for a loop over them.
trait RunGraphDyn {
    fn both(
        &self,
        what: (&Delayed<u8>, &Delayed<u64>, &Delayed<String>, &Delayed<u8>),
    ) -> (Arc<u8>, Arc<u64>, Arc<String>, Arc<u8>);
}

impl<T: RunGraph> RunGraphDyn for T {
    fn both(
        &self,
        what: (&Delayed<u8>, &Delayed<u64>, &Delayed<String>, &Delayed<u8>),
    ) -> (Arc<u8>, Arc<u64>, Arc<String>, Arc<u8>) {
        compute_on(what, self).unwrap()
    }
}

#[test]
fn what_results_share_is_run_once() {
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    let load = delayed(move || {
        count.fetch_add(1, Ordering::Relaxed);
        vec![1_u64, 2, 3]
    });
    let data = load.named("load").call(());
    let sum = delayed(|v: &Vec<u64>| v.iter().sum::<u64>()).call((&data,));
    let len = delayed(|v: &Vec<u64>| v.len()).call((&data,));
    let (sum, len) = compute((&sum, &len)).unwrap();
    assert_eq!((*sum, *len, runs.load(Ordering::Relaxed)), (6, 3, 1));
}

#[test]
fn many_of_one_type_keep_their_order() {
    let squares = delayed(|x: &u64| x * x).map(0..100);
    let results: Vec<u64> = compute(&squares).unwrap().iter().map(|r| **r).collect();
    assert_eq!(results, (0..100).map(|x| x * x).collect::<Vec<_>>());
    let sum = delayed(|all: &Vec<Arc<u64>>| all.iter().map(|x| **x).sum::<u64>());
    assert_eq!(*sum.call((Delayed::all(squares),)).compute().unwrap(), 328_350);
}

#[test]
fn an_error_names_the_call_and_where_it_comes_from() {
    let path = delayed(|| "a.txt".to_string()).named("path").call(());
    let parse = try_delayed(|s: &String| s.parse::<u64>()).named("parse").retries(1);
    let number = parse.call((&path,));
    let next = delayed(|n: &u64| n + 1).call((&number,));
    let error = next.compute().unwrap_err().to_string();
    assert_eq!(
        error,
        "task parse[0] failed 2 times: invalid digit found in string; its inputs: path[0]"
    );
}

#[test]
fn a_chain_of_a_million_runs_and_goes_without_recursion() {
    let inc = delayed(|x: &u64| x + 1);
    let mut last = inc.call((0,));
    for _ in 1..1_000_000 {
        last = inc.call((last,));
    }
    assert_eq!(*last.compute().unwrap(), 1_000_000);
}
