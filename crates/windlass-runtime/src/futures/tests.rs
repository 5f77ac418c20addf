//! Futures: their order, failures, cancelling, awaiting.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::{
    delayed::{delayed, try_delayed},
    execute::ExecutorOptions,
};

fn client(threads: usize) -> Client {
    let options = ExecutorOptions::default().threads(threads);
    Client::new(Arc::new(Executor::new(options).unwrap()))
}

/// A task that ends when told, with a number.
fn gate(client: &Client, number: u64) -> (Arc<AtomicBool>, TaskFuture<u64>) {
    let open = Arc::new(AtomicBool::new(false));
    let own = Arc::clone(&open);
    let wait = delayed(move || {
        while !own.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        number
    });
    (open, client.submit(&wait.named("gate").call(())))
}

#[test]
fn a_task_begins_when_its_futures_are_there() {
    let client = client(1);
    let (open, first) = gate(&client, 20);
    let two = client.scatter([1_u64, 2]);
    let sum = delayed(|a: &u64, b: &u64, c: &u64| a + b + c).call((&first, &two[0], &two[1]));
    let sum = client.submit(&sum);
    let next = client.submit(&delayed(|x: &u64| x * 10).call((&sum,)));
    assert!(!sum.done() && next.result_within(Duration::from_millis(5)).is_none());
    open.store(true, Ordering::Relaxed);
    assert_eq!((*next.result().unwrap(), *sum.result().unwrap()), (230, 23));
}

#[test]
fn futures_come_in_the_order_of_their_ends() {
    let client = client(2);
    let (a, first) = gate(&client, 1);
    let (b, second) = gate(&client, 2);
    let mut done = as_completed([first.clone(), second.clone()]);
    b.store(true, Ordering::Relaxed);
    assert_eq!(*done.next().unwrap().result().unwrap(), 2);
    let (ended, open) = wait([first.clone(), second], Some(Duration::from_millis(5)));
    assert_eq!((ended.len(), open.len()), (1, 1));
    a.store(true, Ordering::Relaxed);
    assert_eq!(*done.next().unwrap().result().unwrap(), 1);
    assert!(done.next().is_none());
    let all = client.map(&delayed(|x: &u64| x + 1), 0..50_u64);
    assert_eq!(gather(all).unwrap().iter().map(|x| **x).sum::<u64>(), 1275);
}

#[test]
fn a_failure_goes_on_to_those_that_need_it() {
    let client = client(2);
    let bad = client.submit(&try_delayed(|| "x".parse::<u64>()).named("bad").call(()));
    let next = client.submit(&delayed(|x: &u64| x + 1).call((&bad,)));
    let last = client.submit(&delayed(|x: &u64| x + 1).call((&next,)));
    let error = last.result().unwrap_err().to_string();
    assert_eq!(error, "task bad[0] failed: invalid digit found in string");
    let delayed = delayed(|x: &u64| x + 1).call((&bad,));
    assert!(delayed.compute().is_err());
}

#[test]
fn a_long_chain_that_fails_or_runs_does_not_recurse() {
    let client = client(1);
    let (open, first) = gate(&client, 1);
    let inc = delayed(|x: &u64| x + 1);
    let chain = |mut last: TaskFuture<u64>| {
        for _ in 0..50_000 {
            last = client.submit(&inc.call((&last,)));
        }
        last
    };
    let fails = chain(
        client.submit(
            &try_delayed(|x: &u64| match x {
                1 => Err("one"),
                x => Ok(*x),
            })
            .call((&first,)),
        ),
    );
    let runs = chain(first);
    open.store(true, Ordering::Relaxed);
    assert_eq!(*runs.result().unwrap(), 50_001);
    assert!(fails.result().unwrap_err().to_string().contains("failed: one"));
}

#[test]
fn what_nobody_wants_is_cancelled() {
    let client = client(1);
    let (open, gate) = gate(&client, 1);
    let waits = client.submit(&delayed(|x: &u64| x + 1).call((&gate,)));
    waits.cancel();
    assert!(matches!(waits.result(), Err(RunError::Cancelled)));
    let ran = Arc::new(AtomicBool::new(false));
    let own = Arc::clone(&ran);
    // The only thread is at the gate; this one is dropped before its turn.
    drop(client.submit(&delayed(move || own.store(true, Ordering::Relaxed)).call(())));
    open.store(true, Ordering::Relaxed);
    assert_eq!(*gate.result().unwrap(), 1);
    let after = client.submit(&delayed(|| 5_u8).call(()));
    assert_eq!(*after.result().unwrap(), 5);
    assert!(!ran.load(Ordering::Relaxed));
}

#[test]
fn what_only_a_dropped_future_needs_is_cancelled_too() {
    let client = client(1);
    let (open, gate) = gate(&client, 1);
    let ran = Arc::new(AtomicBool::new(false));
    let own = Arc::clone(&ran);
    let first = client.submit(&delayed(move || own.store(true, Ordering::Relaxed)).call(()));
    let second = client.submit(&delayed(|(): &()| 1_u8).call((&first,)));
    drop(first);
    drop(second);
    open.store(true, Ordering::Relaxed);
    gate.result().unwrap();
    assert_eq!(*client.submit(&delayed(|| 5_u8).call(())).result().unwrap(), 5);
    assert!(!ran.load(Ordering::Relaxed));
}

#[test]
fn it_can_be_awaited() {
    let client = client(1);
    let future = client.submit(&delayed(|| 3_u8).call(()));
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    let result = loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => break result,
            Poll::Pending => std::thread::yield_now(),
        }
    };
    assert_eq!(*result.unwrap(), 3);
}
