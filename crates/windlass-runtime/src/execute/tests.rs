//! Graphs on threads and on one thread: results, faults, time-outs, cancelling, memory.

use std::{
    io::{self, Read, Write},
    sync::atomic::AtomicU32,
    time::Duration,
};

use super::*;
use crate::graph::{DeviceKinds, GraphBuilder, Spill, TaskId, TaskOptions, Value};

fn executor(threads: usize) -> Executor {
    Executor::new(ExecutorOptions::default().threads(threads)).unwrap()
}

/// The sum of the first `n` numbers, by a tree of pairs.
fn tree(n: u64) -> Graph {
    let mut g = GraphBuilder::new();
    let (leaf, add) =
        (g.group("leaf", TaskOptions::default()), g.group("add", TaskOptions::default()));
    let mut level: Vec<TaskId> =
        (0..n).map(|i| g.task(leaf, &[], move |_| Ok(Value::new(i)))).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| {
                g.task(add, pair, |c| {
                    let n = c.inputs().len();
                    (0..n)
                        .map(|i| c.input::<u64>(i).copied())
                        .sum::<Result<u64, _>>()
                        .map(Value::new)
                })
            })
            .collect();
    }
    g.build(&level)
}

fn number(values: &[Value]) -> u64 {
    *values[0].downcast_ref::<u64>().unwrap()
}

#[test]
fn threads_and_one_thread_give_the_same() {
    let expected = 9_999 * 10_000 / 2;
    assert_eq!(number(&run_synchronous(tree(10_000)).unwrap()), expected);
    for threads in [1, 2, 7] {
        let executor = executor(threads);
        for _ in 0..3 {
            assert_eq!(number(&executor.run(tree(10_000)).unwrap()), expected);
        }
        let counts = executor.counts();
        assert_eq!(counts[0].1.tasks, 3 * 20_005, "{counts:?}");
    }
}

#[test]
fn a_graph_of_nothing_ends_at_once() {
    assert!(executor(2).run(GraphBuilder::new().build(&[])).unwrap().is_empty());
    assert!(run_synchronous(GraphBuilder::new().build(&[])).unwrap().is_empty());
}

/// A task that fails as often as told, then gives the number of its try.
fn failing(times: u32, retries: u8) -> Graph {
    let mut g = GraphBuilder::new();
    let load = g.group("load", TaskOptions::default());
    let flaky = g.group("flaky", TaskOptions::default().retries(retries));
    let l = g.task(load, &[], |_| Ok(Value::new(())));
    let f = g.task(flaky, &[l], move |c| match c.attempt() {
        n if n <= times => Err(format!("not yet, at try {n}").into()),
        n => Ok(Value::new(u64::from(n))),
    });
    g.build(&[f])
}

#[test]
fn a_task_is_tried_again_as_often_as_told() {
    let executor = executor(2);
    for run in [&|g| executor.run(g), &run_synchronous as &dyn Fn(Graph) -> JobResult] {
        assert_eq!(number(&run(failing(2, 2)).unwrap()), 3);
        let error = run(failing(3, 2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "task flaky[0] failed 3 times: not yet, at try 3; its inputs: load[0]"
        );
    }
}

#[test]
fn a_panic_is_an_error_with_its_message_and_the_threads_live_on() {
    let executor = executor(2);
    let mut g = GraphBuilder::new();
    let group = g.group("bad", TaskOptions::default());
    let task = g.task(group, &[], |_| panic!("out of {}", "luck"));
    let error = executor.run(g.build(&[task])).unwrap_err();
    assert_eq!(error.to_string(), "task bad[0] failed: it panicked: out of luck");
    assert_eq!(number(&executor.run(tree(100)).unwrap()), 4950);
}

#[test]
fn a_wrong_type_is_an_error_that_names_it() {
    let mut g = GraphBuilder::new();
    let group = g.group("t", TaskOptions::default());
    let a = g.task(group, &[], |_| Ok(Value::new("text")));
    let b = g.task(group, &[a], |c| Ok(Value::new(c.input::<u64>(0)? + 1)));
    let error = run_synchronous(g.build(&[b])).unwrap_err().to_string();
    assert!(error.contains("task t[1] failed: input 0 is no u64"), "{error}");
    let mut g = GraphBuilder::new();
    let group = g.group("t", TaskOptions::default());
    let b = g.task(group, &[], |c| Ok(Value::new(c.input::<u64>(0)? + 1)));
    let error = run_synchronous(g.build(&[b])).unwrap_err().to_string();
    assert!(error.contains("input 0 of 0 was asked for"), "{error}");
}

#[test]
fn a_try_that_takes_too_long_does_not_hold_the_job_up() {
    let executor = executor(1);
    let began = Instant::now();
    let mut g = GraphBuilder::new();
    let options = TaskOptions::default().timeout(Duration::from_millis(30)).retries(1);
    let (slow, after) = (g.group("slow", options), g.group("after", TaskOptions::default()));
    let held = Arc::new(AtomicBool::new(true));
    let hold = Arc::clone(&held);
    let s = g.task(slow, &[], move |c| {
        // The first try hangs until the test ends.
        while c.attempt() == 1 && hold.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(1));
        }
        Ok(Value::new(u64::from(c.attempt())))
    });
    let a = g.task(after, &[s], |c| Ok(Value::new(*c.input::<u64>(0)? * 10)));
    assert_eq!(number(&executor.run(g.build(&[a])).unwrap()), 20);
    assert!(began.elapsed() >= Duration::from_millis(30));
    // The thread that is still held has a substitute.
    assert_eq!(number(&executor.run(tree(100)).unwrap()), 4950);
    held.store(false, Ordering::Relaxed);

    let mut g = GraphBuilder::new();
    let slow = g.group("slow", TaskOptions::default().timeout(Duration::from_millis(5)));
    let s = g.task(slow, &[], |c| {
        while !c.cancelled() {
            sleep(Duration::from_millis(1));
        }
        Ok(Value::new(()))
    });
    let error = executor.run(g.build(&[s])).unwrap_err().to_string();
    assert_eq!(error, "task slow[0] failed: it took longer than 5ms");
}

/// A task that runs until its job is cancelled.
fn endless(begun: &Arc<AtomicU32>) -> Graph {
    let mut g = GraphBuilder::new();
    let group = g.group("endless", TaskOptions::default());
    let begun = Arc::clone(begun);
    let task = g.task(group, &[], move |c| {
        begun.fetch_add(1, Ordering::Relaxed);
        while !c.cancelled() {
            sleep(Duration::from_millis(1));
        }
        Ok(Value::new(()))
    });
    g.build(&[task])
}

fn until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(30), "it does not come");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_cancelled_job_ends_and_tells_its_tasks() {
    let executor = executor(1);
    let begun = Arc::new(AtomicU32::new(0));
    let job = executor.submit(endless(&begun));
    until(|| begun.load(Ordering::Relaxed) == 1);
    let never = executor.submit(endless(&begun));
    never.cancel();
    assert!(matches!(never.wait(), Err(RunError::Cancelled)));
    job.cancel();
    assert!(matches!(job.wait(), Err(RunError::Cancelled)));
    // One that is dropped is cancelled; the thread is free again.
    drop(executor.submit(endless(&begun)));
    assert_eq!(number(&executor.run(tree(100)).unwrap()), 4950);
}

#[test]
fn an_executor_that_is_dropped_ends_its_jobs() {
    let executor = executor(2);
    let begun = Arc::new(AtomicU32::new(0));
    let jobs: Vec<_> = (0..4).map(|_| executor.submit(endless(&begun))).collect();
    until(|| begun.load(Ordering::Relaxed) == 2);
    drop(executor);
    for job in jobs {
        assert!(matches!(job.wait(), Err(RunError::ShutDown)));
    }
}

#[test]
fn a_task_can_run_a_graph_itself() {
    let executor = Arc::new(executor(1));
    let inner = Arc::clone(&executor);
    let mut g = GraphBuilder::new();
    let group = g.group("outer", TaskOptions::default());
    let task = g.task(group, &[], move |_| Ok(inner.run(tree(10))?[0].clone()));
    assert_eq!(number(&executor.run(g.build(&[task])).unwrap()), 45);
}

#[test]
fn a_function_may_hold_the_executor_that_runs_it() {
    let executor = Arc::new(executor(2));
    let own = Arc::clone(&executor);
    let mut g = GraphBuilder::new();
    let group = g.group("holds", TaskOptions::default());
    let task = g.task(group, &[], move |_| Ok(Value::new(own.threads() as u64)));
    let job = executor.submit(g.build(&[task]));
    // The last to hold it is the job, which a thread of it ends.
    drop(executor);
    assert!(matches!(job.wait().as_deref(), Ok([_]) | Err(RunError::ShutDown)));
}

#[test]
fn results_that_panic_when_dropped_end_no_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let executor = executor(1);
    let mut g = GraphBuilder::new();
    let group = g.group("bomb", TaskOptions::default());
    let bombs: Vec<_> = (0..3).map(|_| g.task(group, &[], |_| Ok(Value::new(Bomb)))).collect();
    let last = g.task(group, &bombs, |_| Ok(Value::new(1_u64)));
    assert_eq!(number(&executor.run(g.build(&[last])).unwrap()), 1);
    assert_eq!(number(&executor.run(tree(100)).unwrap()), 4950);
}

/// A policy that has no answer.
#[derive(Debug)]
struct Broken;

impl Placement for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn place(
        &self,
        _: &crate::schedule::TaskView<'_>,
        _: Option<usize>,
        _: &crate::schedule::View<'_>,
    ) -> crate::schedule::Choice {
        panic!("no idea")
    }
}

#[test]
fn a_policy_that_panics_ends_jobs_instead_of_holding_them() {
    let devices =
        vec![DeviceProfile::new("a", DeviceKind::Cpu), DeviceProfile::new("b", DeviceKind::Cpu)];
    let options = ExecutorOptions { devices, policy: Box::new(Broken), ..Default::default() };
    let executor = Executor::new(options).unwrap();
    for _ in 0..2 {
        let error = executor.run(tree(10)).unwrap_err();
        assert!(error.to_string().contains("no idea"), "{error}");
    }
}

/// Tasks of two kinds that feed each other, on devices with memories of their own.
fn both_kinds(n: u64) -> Graph {
    let mut g = GraphBuilder::new();
    let kind = |kinds| TaskOptions::default().kinds(kinds);
    let (cpu, gpu, any) = (
        g.group("cpu", kind(DeviceKinds::Cpu)),
        g.group("gpu", kind(DeviceKinds::Gpu)),
        g.group("any", kind(DeviceKinds::Any)),
    );
    let on = |name: &'static str| {
        move |c: &crate::graph::TaskContext<'_>| {
            assert!(c.device().starts_with(name), "{} on {}", name, c.device());
            let sum: Result<u64, _> =
                (0..c.inputs().len()).map(|i| c.input::<u64>(i).copied()).sum();
            Ok(Value::new(sum? + c.number() as u64))
        }
    };
    let ends: Vec<_> = (0..n)
        .map(|_| {
            let a = g.task(cpu, &[], on("cpu"));
            let b = g.task(gpu, &[a], on("gpu"));
            g.task(any, &[a, b], on(""))
        })
        .collect();
    let all = g.task(any, &ends, on(""));
    g.build(&[all])
}

#[test]
fn several_devices_run_what_is_theirs_under_every_policy() {
    let n = 300;
    // Each number three times for `a`, `b` and its own, and once more in `b`.
    let expected = 4 * (n * (n - 1) / 2) + n;
    for policy in [
        Box::new(CostBased::default()) as Box<dyn Placement>,
        Box::new(crate::schedule::LocalityFirst),
        Box::new(crate::schedule::RoundRobin::default()),
        Box::new(crate::schedule::Random::new(3)),
    ] {
        let devices = vec![
            DeviceProfile::new("cpu", DeviceKind::Cpu).slots(2),
            DeviceProfile::new("gpu:0", DeviceKind::Gpu).link(1e9).memory(1 << 20),
            DeviceProfile::new("gpu:1", DeviceKind::Gpu).link(1e9),
        ];
        let options = ExecutorOptions { devices, policy, ..Default::default() };
        let executor = Arc::new(Executor::new(options).unwrap());
        for _ in 0..5 {
            assert_eq!(number(&executor.run(both_kinds(n)).unwrap()), expected);
        }
        // Which of the two GPUs a short graph reaches is up to the system's scheduling of threads.
        let tasks: Vec<_> = executor.counts().iter().map(|(_, c)| c.tasks).collect();
        assert!(tasks[0] > 0 && tasks[1] + tasks[2] > 0, "{:?}", executor.counts());
        // From within a task too, for which there is only its thread.
        let inner = Arc::clone(&executor);
        let mut g = GraphBuilder::new();
        let group = g.group("outer", TaskOptions::default());
        let task = g.task(group, &[], move |_| Ok(inner.run(both_kinds(10))?[0].clone()));
        assert_eq!(number(&executor.run(g.build(&[task])).unwrap()), 4 * 45 + 10);
    }
}

#[test]
fn devices_work_at_the_same_time() {
    for policy in [
        Box::new(CostBased::default()) as Box<dyn Placement>,
        Box::new(crate::schedule::LocalityFirst),
        Box::new(crate::schedule::RoundRobin::default()),
    ] {
        let name = policy.name().to_owned();
        let devices =
            (0..3).map(|i| DeviceProfile::new(format!("gpu:{i}"), DeviceKind::Gpu)).collect();
        let executor =
            Executor::new(ExecutorOptions { devices, policy, ..Default::default() }).unwrap();
        // Each of three tasks ends when all three have begun.
        let begun = Arc::new((Mutex::new(0), Condvar::new()));
        let mut g = GraphBuilder::new();
        let group = g.group("meet", TaskOptions::default().kinds(DeviceKinds::Gpu));
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let begun = Arc::clone(&begun);
                g.task(group, &[], move |_| {
                    let mut count = begun.0.lock();
                    *count += 1;
                    begun.1.notify_all();
                    let limit = Duration::from_secs(30);
                    let late = begun.1.wait_while_for(&mut count, |count| *count < 3, limit);
                    assert!(!late.timed_out(), "the others did not begin");
                    Ok(Value::new(()))
                })
            })
            .collect();
        executor.run(g.build(&tasks)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(executor.counts().iter().all(|(_, c)| c.tasks == 1), "{:?}", executor.counts());
    }
}

#[test]
fn threads_that_hang_are_replaced_and_not_waited_for() {
    let executor = executor(2);
    let stop = Arc::new(AtomicBool::new(false));
    let hang = |limit: Option<Duration>| {
        let mut g = GraphBuilder::new();
        let group = g.group("hang", TaskOptions { timeout: limit, ..TaskOptions::default() });
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let stop = Arc::clone(&stop);
                g.task(group, &[], move |_| {
                    while !stop.load(Ordering::Relaxed) {
                        sleep(Duration::from_millis(1));
                    }
                    Ok(Value::new(()))
                })
            })
            .collect();
        g.build(&tasks)
    };
    // The first of the two ends the job; the thread of the second is replaced too.
    executor.run(hang(Some(Duration::from_millis(20)))).unwrap_err();
    assert_eq!(number(&executor.run(tree(1000)).unwrap()), 499_500);
    // One that is cancelled while it hangs.
    let job = executor.submit(hang(Some(Duration::from_millis(50))));
    sleep(Duration::from_millis(10));
    drop(job);
    assert_eq!(number(&executor.run(tree(1000)).unwrap()), 499_500);
    drop(executor);
    stop.store(true, Ordering::Relaxed);
}

#[test]
fn a_limit_beyond_the_clock_is_none() {
    let mut g = GraphBuilder::new();
    let group = g.group("patient", TaskOptions::default().timeout(Duration::MAX).retries(255));
    let task = g.task(group, &[], |c| match c.attempt() {
        256 => Ok(Value::new(7_u64)),
        _ => Err("again".into()),
    });
    let executor = executor(1);
    let job = executor.submit(g.build(&[task]));
    assert!(job.wait_for(Duration::MAX) && job.done());
    assert_eq!(number(&job.wait().unwrap()), 7);
}

#[test]
fn jobs_of_many_threads_share_an_executor() {
    let executor = executor(3);
    std::thread::scope(|s| {
        for n in 1..9_u64 {
            let executor = &executor;
            s.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(
                        number(&executor.run(tree(n * 100)).unwrap()),
                        n * 100 * (n * 100 - 1) / 2
                    );
                }
            });
        }
    });
}

/// Bytes that know how to spill.
struct Block(Vec<u8>);

impl Spill for Block {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(&self.0)
    }

    fn read(from: &mut dyn Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        Ok(Self(bytes))
    }
}

const BLOCK: usize = 10_000;

/// Blocks that are all needed by the last tasks: `n` of them, read twice, in two orders.
fn all_blocks(n: u8) -> Graph {
    let mut g = GraphBuilder::new();
    let large = TaskOptions::default().output_bytes(BLOCK as u64);
    let (make, sum) =
        (g.group("make", large), g.group("sum", TaskOptions::default().output_bytes(8)));
    let blocks: Vec<_> = (0..n)
        .map(|i| g.task(make, &[], move |_| Ok(Value::spillable(Block(vec![i; BLOCK])))))
        .collect();
    let add = |c: &crate::graph::TaskContext<'_>| {
        let block: u64 = c.input::<Block>(0)?.0.iter().map(|b| u64::from(*b)).sum();
        let before = if c.inputs().len() > 1 { *c.input::<u64>(1)? } else { 0 };
        Ok(Value::new(block + before))
    };
    let mut last: Option<TaskId> = None;
    for &block in blocks.iter().chain(blocks.iter().rev()) {
        let inputs: Vec<_> = [Some(block), last].into_iter().flatten().collect();
        last = Some(g.task(sum, &inputs, add));
    }
    g.build(&last.into_iter().collect::<Vec<_>>())
}

#[test]
fn results_that_memory_has_no_room_for_go_to_disk_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    for threads in [1, 4] {
        let options = ExecutorOptions { spill: Some(folder.path().into()), ..Default::default() };
        let limit = 4 * BLOCK as u64 + 100;
        let executor = Executor::new(options.threads(threads).memory(limit)).unwrap();
        let n = 20_u64;
        let expected = n * (n - 1) / 2 * BLOCK as u64 * 2;
        for _ in 0..3 {
            assert_eq!(number(&executor.run(all_blocks(n as u8)).unwrap()), expected);
        }
        let counts = &executor.counts()[0].1;
        assert!(counts.spilled_bytes > 0 && counts.peak_bytes <= limit, "{counts:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file is left");
}

#[test]
fn without_disk_it_is_told_what_does_not_fit() {
    let options = ExecutorOptions { spill: None, ..Default::default() };
    let executor = Executor::new(options.threads(2).memory(4 * BLOCK as u64)).unwrap();
    let error = executor.run(all_blocks(20)).unwrap_err();
    assert!(matches!(error, RunError::Memory { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("on cpu, which may use 40000"), "{error}");
    // The executor goes on.
    assert_eq!(number(&executor.run(tree(10)).unwrap()), 45);
}

#[test]
fn a_disk_that_takes_nothing_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let options = ExecutorOptions { spill: Some(folder.path().into()), ..Default::default() };
    let executor = Executor::new(options.threads(2).memory(4 * BLOCK as u64 + 100)).unwrap();
    // Its folder goes away under it.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let error = executor.run(all_blocks(20)).unwrap_err().to_string();
    assert!(error.contains("task make[") && error.contains("could not be written"), "{error}");
    assert_eq!(number(&executor.run(tree(10)).unwrap()), 45);
}

#[test]
fn tasks_are_told_as_events() {
    let options = ExecutorOptions::default().threads(2);
    let mut reader = options.events.subscribe();
    let executor = Executor::new(options).unwrap();
    executor.run(tree(4)).unwrap();
    let mut names: Vec<String> =
        std::iter::from_fn(|| reader.next(Duration::ZERO)).map(|e| e.name.clone()).collect();
    names.sort();
    assert_eq!(names, ["add[0]", "add[1]", "add[2]", "leaf[0]", "leaf[1]", "leaf[2]", "leaf[3]"]);
}
