//! Graphs on an executor whose threads run in many orders: each ends with its results, no set of
//! admitted tasks takes more than the limit, and no thread waits for ever (shuttle reports a
//! deadlock when none can go on).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use interleavings::{
    execute::{Executor, ExecutorOptions},
    graph::{DeviceKind, DeviceKinds, GraphBuilder, TaskId, TaskOptions, Value},
    schedule::{DeviceProfile, RunError},
};

/// Orders that are drawn for each graph.
const ORDERS: usize = 2000;

/// Runs a test in orders drawn at random, and in such as change threads at a few points only
/// (Burckhardt et al., *A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs*,
/// 2010).
fn in_many_orders(test: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(test.clone(), ORDERS);
    shuttle::check_pct(test, ORDERS, 3);
}

fn executor(devices: Vec<DeviceProfile>) -> Executor {
    let options = ExecutorOptions { devices, spill: None, ..ExecutorOptions::default() };
    Executor::new(options).expect("threads")
}

fn cpu(slots: u32) -> DeviceProfile {
    DeviceProfile::new("cpu", DeviceKind::Cpu).slots(slots)
}

#[test]
fn a_tree_on_three_threads() {
    in_many_orders(|| {
        let executor = executor(vec![cpu(3)]);
        let mut g = GraphBuilder::new();
        let (leaf, add) =
            (g.group("leaf", TaskOptions::default()), g.group("add", TaskOptions::default()));
        let mut level: Vec<TaskId> =
            (0..4_u64).map(|i| g.task(leaf, &[], move |_| Ok(Value::new(i)))).collect();
        while level.len() > 1 {
            let pairs = level.chunks(2).map(|pair| pair.to_vec()).collect::<Vec<_>>();
            level = pairs
                .iter()
                .map(|pair| {
                    g.task(add, pair, |c| {
                        let sum = (0..c.inputs().len()).map(|i| c.input::<u64>(i).copied());
                        sum.sum::<Result<u64, _>>().map(Value::new)
                    })
                })
                .collect();
        }
        let results = executor.submit(g.build(&level)).wait().expect("a sum");
        assert_eq!(results[0].downcast_ref::<u64>(), Some(&6));
    });
}

#[test]
fn what_is_admitted_stays_within_the_limit() {
    in_many_orders(|| {
        let executor = executor(vec![cpu(3).memory(100)]);
        let (now, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut g = GraphBuilder::new();
        let work = g.group("work", TaskOptions::default().working_bytes(40).output_bytes(1));
        let tasks: Vec<TaskId> = (0..5)
            .map(|_| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                g.task(work, &[], move |_| {
                    let held = now.fetch_add(40, Ordering::SeqCst) + 40;
                    most.fetch_max(held, Ordering::SeqCst);
                    shuttle::thread::yield_now();
                    now.fetch_sub(40, Ordering::SeqCst);
                    Ok(Value::sized((), 1))
                })
            })
            .collect();
        executor.submit(g.build(&tasks)).wait().expect("results");
        assert!(most.load(Ordering::SeqCst) <= 100, "{most:?} bytes at once");
    });
}

#[test]
fn two_devices_and_two_jobs_at_once() {
    in_many_orders(|| {
        let gpu = DeviceProfile::new("gpu", DeviceKind::Gpu).slots(1);
        let executor = executor(vec![cpu(1), gpu]);
        let job = |kinds: DeviceKinds| {
            let mut g = GraphBuilder::new();
            let group = g.group("any", TaskOptions::default().kinds(kinds));
            let first = g.task(group, &[], |_| Ok(Value::new(1_u64)));
            let then = g.task(group, &[first], |c| Ok(Value::new(c.input::<u64>(0)? + 1)));
            g.build(&[then])
        };
        let jobs = [DeviceKinds::Any, DeviceKinds::Gpu].map(|k| executor.submit(job(k)));
        for job in jobs {
            assert_eq!(job.wait().expect("a result")[0].downcast_ref::<u64>(), Some(&2));
        }
    });
}

#[test]
fn jobs_that_are_cancelled_and_shut_down() {
    in_many_orders(|| {
        let executor = executor(vec![cpu(2)]);
        let graph = || {
            let mut g = GraphBuilder::new();
            let group = g.group("task", TaskOptions::default());
            let tasks: Vec<TaskId> =
                (0..3).map(|_| g.task(group, &[], |_| Ok(Value::new(())))).collect();
            g.build(&tasks)
        };
        let (kept, dropped) = (executor.submit(graph()), executor.submit(graph()));
        let cancelled = executor.submit(graph());
        drop(dropped);
        cancelled.cancel();
        match cancelled.wait() {
            Ok(_) | Err(RunError::Cancelled) => {}
            Err(e) => panic!("{e}"),
        }
        drop(executor);
        match kept.wait() {
            Ok(_) | Err(RunError::ShutDown) => {}
            Err(e) => panic!("{e}"),
        }
    });
}

#[test]
fn a_device_is_lost_between_tasks_that_are_awaited() {
    in_many_orders(|| {
        let gpus = ["one", "two"].map(|n| DeviceProfile::new(n, DeviceKind::Gpu).slots(1));
        let executor = Arc::new(executor(gpus.to_vec()));
        let options = || TaskOptions::default().kinds(DeviceKinds::Gpu);
        let tasks: Vec<_> = (0..3).map(|i| executor.spawn("task", options(), move |_| i)).collect();
        executor.device_lost("one");
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(shuttle::future::block_on(task).expect("a result"), i);
        }
        executor.device_lost("two");
        let last = shuttle::future::block_on(executor.spawn("task", options(), |_| ()));
        assert!(matches!(last, Err(RunError::NoDevice { .. })));
    });
}
