//! Ends: of time, of jobs, of executors, of the parent. No worker is left.

use std::{
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use windlass_runtime::{
    delayed::delayed, graph::TaskOptions, processes::ProcessExecutor, schedule::RunError,
};

use super::{all, children, ended, executor, functions::All, kill, number_in, options, until};

/// A time-out that is met, and that what is quick does not meet on a busy machine.
const LIMIT: Duration = Duration::from_millis(2000);

fn pids(executor: &ProcessExecutor) -> Vec<u32> {
    executor.workers().into_iter().map(|w| w.1).collect()
}

pub(crate) fn a_time_out_kills_the_worker() {
    let folder = tempfile::tempdir().unwrap();
    let all = All::new();
    let hang = all.hang.timeout(Duration::from_millis(100));
    let executor = ProcessExecutor::new(options(1), &all.functions).unwrap();
    let before = pids(&executor);
    let path = folder.path().join("hangs").display().to_string();
    let error = hang.call((path,)).compute_on(&executor).unwrap_err().to_string();
    let exact = "task hang[0] failed: it took longer than 100ms; its inputs: value[0]";
    assert_eq!(error, exact);
    assert!(before.iter().all(|p| ended(*p)));
    assert_eq!(*all.add.call((1, 1)).compute_on(&executor).unwrap(), 2);
    assert!(pids(&executor).iter().all(|p| !before.contains(p)));
}

pub(crate) fn a_task_is_tried_again_after_a_time_out() {
    let folder = tempfile::tempdir().unwrap();
    let all = All::new();
    let load = all.load.options(TaskOptions::default().retries(1).timeout(LIMIT));
    let executor = ProcessExecutor::new(options(1), &all.functions).unwrap();
    let before = pids(&executor);
    let path = folder.path().join("first").display().to_string();
    assert_eq!(*load.call((path, 5)).compute_on(&executor).unwrap(), 25);
    assert!(before.iter().all(|p| ended(*p)));
}

pub(crate) fn cancelling_kills_and_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let executor = executor(2);
    let client = executor.client();
    let paths = ["a", "b", "c"].map(|n| folder.path().join(n));
    let hangs = paths.each_ref().map(|p| all().hang.call((p.display().to_string(),)));
    let list = all().mix.call(&hangs[..]);
    let future = client.submit(&list);
    let running = || paths.iter().filter(|p| p.exists()).count() == 2;
    until("two tasks that hang", running);
    let before = pids(&executor);
    future.cancel();
    assert!(matches!(future.result().unwrap_err(), RunError::Cancelled));
    until("the ends of both workers", || before.iter().all(|p| ended(*p)));
    assert_eq!(*all().add.call((1, 1)).compute_on(&executor).unwrap(), 2);
    // One that waited was not begun.
    assert!(running());
}

pub(crate) fn a_stopped_worker_does_not_hold_up_its_task() {
    let all = All::new();
    let executor = ProcessExecutor::new(options(1), &all.functions).unwrap();
    let sum = all.sum_bytes.timeout(Duration::from_millis(100));
    let pid = pids(&executor)[0];
    // It reads nothing any more: its task's large argument cannot be sent.
    kill(pid, libc::SIGSTOP);
    let large = delayed(|| vec![1_u8; 4 << 20]).call(());
    let error = sum.call((large,)).compute_on(&executor).unwrap_err().to_string();
    assert!(error.starts_with("task sum_bytes[0] failed: it took longer than 100ms"), "{error}");
    assert!(ended(pid));
    assert_eq!(*all.add.call((1, 1)).compute_on(&executor).unwrap(), 2);
}

pub(crate) fn dropping_leaves_nothing_behind() {
    let before = pids(&{
        let executor = executor(3);
        assert_eq!(*all().add.call((1, 1)).compute_on(&executor).unwrap(), 2);
        assert_eq!(children().len(), 3);
        executor.clone()
    });
    assert_eq!(before.len(), 3);
    // No zombie either.
    assert_eq!(children(), [0; 0]);
}

pub(crate) fn dropping_in_the_middle_ends_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let executor = executor(1);
    let path = folder.path().join("hangs");
    let graph = {
        use windlass_runtime::delayed::Computed;
        [all().hang.call((path.display().to_string(),))].graph().unwrap()
    };
    let job = executor.submit(graph);
    let pid = number_in(&path);
    drop(executor);
    assert!(matches!(job.wait().unwrap_err(), RunError::ShutDown));
    assert!(ended(pid) && children().is_empty());
}

pub(crate) fn a_failure_ends_what_runs_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let executor = executor(2);
    let path = folder.path().join("hangs");
    let hang = all().hang.call((path.display().to_string(),));
    let waits = path.clone();
    // It fails once the other runs.
    let text = delayed(move || {
        until("the other task", || waits.exists());
        "that is all".to_string()
    });
    let list = all().mix.call(vec![hang, all().fail.call((text.call(()),))]);
    let error = list.compute_on(&executor).unwrap_err().to_string();
    assert!(error.starts_with("task fail[0] failed: that is all"), "{error}");
    until("the end of the other", || ended(number_in(&path)));
}

pub(crate) fn what_a_task_started_ends_with_its_worker() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("child");
    // A worker that is a shell with a child beside the worker proper, which it becomes.
    let script =
        format!("sleep 1000 & echo $! > {0}.part; mv {0}.part {0}; exec $1", path.display());
    let own = std::env::current_exe().unwrap().display().to_string();
    let options = options(1).command("/bin/sh", ["-c", &script, "sh", &own]);
    let executor = ProcessExecutor::new(options, &all().functions).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let child: u32 = text.trim().parse().unwrap();
    assert!(!ended(child));
    let future = executor.client().submit(&all().abort.call((1,)));
    assert!(future.result().is_err());
    until("the end of the child", || ended(child));
}

/// A program whose workers are busy, and that does not end by itself.
pub(crate) fn parent() -> ExitCode {
    let executor = executor(3);
    let folder = std::env::args().nth(2).unwrap();
    let path = |n: &str| format!("{folder}/{n}");
    let client = executor.client();
    let futures = ["a", "b"].map(|n| client.submit(&all().hang.call((path(n),))));
    until("two tasks that run", || ["a", "b"].iter().all(|n| std::fs::exists(path(n)).unwrap()));
    for pid in pids(&executor) {
        println!("{pid}");
    }
    println!("ready");
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let _ = futures[0].done();
    }
}

pub(crate) fn workers_end_with_a_parent_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap());
    parent.arg("--parent").arg(folder.path()).stdout(Stdio::piped());
    let mut parent = parent.spawn().unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines().map(Result::unwrap);
    let workers: Vec<u32> =
        lines.take_while(|l| l != "ready").map(|l| l.parse().unwrap()).collect();
    assert_eq!(workers.len(), 3);
    assert!(workers.iter().all(|p| !ended(*p)));
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("the ends of the workers", || workers.iter().all(|p| ended(*p)));
}
