//! Workers that crash, and tasks that fail in them.

use std::error::Error;

use windlass_runtime::{
    delayed::compute_on,
    processes::ProcessExecutor,
    schedule::{Cause, Ending, RunError},
};

use super::{all, deaths, executor, kill, number_in, options, until};

fn path(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

pub(crate) fn one_abort_costs_one_try() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(2);
    let mut events = options.events.subscribe();
    let executor = ProcessExecutor::new(options, &all().functions).unwrap();
    let numbers: Vec<_> = (0..20).map(|i| all().add.call((i, i))).collect();
    let once = all().abort_once.call((path(&folder, "once"), &numbers[4]));
    let sum = all().mix.call([&numbers[..], std::slice::from_ref(&once)].concat());
    let (once, sum) = compute_on((&once, &sum), &executor).unwrap();
    assert_eq!(*once, 8);
    let mut expected: Vec<_> = (0..20).map(|i: u64| (2 * i).into()).collect();
    expected.push(8.into());
    assert_eq!(*sum, super::functions::mixed(&expected));
    let deaths = deaths(&mut events);
    assert_eq!(deaths.len(), 1);
    let (worker, name) = (deaths[0].lane, &deaths[0].name);
    let begin = format!("worker {worker} was killed by signal 6 while running abort_once[0], at ");
    assert!(name.starts_with(&begin), "{name}");
    assert!((1..=2).contains(&worker) && deaths[0].bytes > 0);
    assert_eq!(executor.counts().failures, 1);
    // It has a successor, with a number of its own.
    assert_eq!(*all().add.call((1, 1)).compute_on(&executor).unwrap(), 2);
    until("the worker in its place", || {
        let _ = all().add.call((1, 1)).compute_on(&executor);
        executor.workers().iter().all(|w| w.0 != worker)
    });
}

pub(crate) fn a_task_that_always_aborts_fails_and_names_all_deaths() {
    let executor = executor(2);
    // Its own retries do not count.
    let abort = all().abort.call((all().add.call((1, 2)),));
    let error = abort.compute_on(&executor).unwrap_err();
    let RunError::Task(failure) = &error else { panic!("{error}") };
    assert_eq!((failure.task.as_str(), failure.attempts), ("abort[0]", 4));
    let Cause::Crashed(deaths) = &failure.cause else { panic!("{error}") };
    assert_eq!(deaths.len(), 4);
    let text = error.to_string();
    let begin = "task abort[0] failed 4 times: 4 workers died of it, and 3 may: worker ";
    assert!(text.starts_with(begin), "{text}");
    for d in deaths {
        assert_eq!((&d.ending, d.task.as_str()), (&Ending::Signal(6), "abort[0]"));
        let exact =
            format!("worker {} was killed by signal 6 while running abort[0], at ", d.worker);
        assert!(text.contains(&exact), "{text}");
    }
    assert!(text.ends_with("; its inputs: add[0]; which come from: value[0], value[1]"), "{text}");

    let none = options(1).crashes_allowed(0);
    let executor = ProcessExecutor::new(none, &all().functions).unwrap();
    let text = all().abort.call((1,)).compute_on(&executor).unwrap_err().to_string();
    let begin = "task abort[0] failed: worker 1 was killed by signal 6 while running abort[0], at ";
    assert!(text.starts_with(begin), "{text}");
    // The executor goes on.
    assert_eq!(*all().add.call((1, 1)).compute_on(&executor).unwrap(), 2);
}

pub(crate) fn a_kill_from_outside_is_told_in_the_exact_form() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(2);
    let mut events = options.events.subscribe();
    let executor = ProcessExecutor::new(options, &all().functions).unwrap();
    let seventh = path(&folder, "seventh");
    let loads: Vec<_> = (0..10)
        .map(|i| all().load.call((if i == 7 { seventh.clone() } else { String::new() }, i)))
        .collect();
    let sum = all().mix.call(&loads[..]);
    let future = executor.client().submit(&sum);
    let pid = number_in(seventh.as_ref());
    let (worker, _) = executor.workers().into_iter().find(|w| w.1 == pid).unwrap();
    kill(pid, 9);
    let expected: Vec<_> = (0..10).map(|i: u64| (i * i).into()).collect();
    assert_eq!(*future.result().unwrap(), super::functions::mixed(&expected));
    let deaths = deaths(&mut events);
    assert_eq!(deaths.len(), 1);
    let name = deaths[0].name.clone();
    let begin = format!("worker {worker} was killed by signal 9 while running load[7], at ");
    let size = name.strip_prefix(&begin).unwrap_or_else(|| panic!("{name}"));
    let (number, unit) = size.split_once(' ').unwrap();
    assert!(number.parse::<f64>().is_ok_and(|n| n > 0.0), "{name}");
    assert!(["kB", "MB", "GB"].contains(&unit), "{name}");
}

pub(crate) fn the_peak_of_memory_is_the_workers_own() {
    // The system counts what the executor has when it starts a worker as the worker's.
    let taken = std::hint::black_box(vec![1_u8; 256 << 20]);
    let none = options(1).crashes_allowed(0);
    let executor = ProcessExecutor::new(none, &all().functions).unwrap();
    let peak = |error: RunError| {
        let RunError::Task(failure) = &error else { panic!("{error}") };
        let Cause::Crashed(deaths) = &failure.cause else { panic!("{error}") };
        deaths[0].peak_bytes
    };
    let little = peak(all().abort.call((1,)).compute_on(&executor).unwrap_err());
    assert!(little > 0 && little < 100 << 20, "{little}");
    let kept = 150 << 20;
    all().keep.call((kept,)).compute_on(&executor).unwrap();
    let much = peak(all().abort.call((1,)).compute_on(&executor).unwrap_err());
    assert!(much >= kept && much < 250 << 20, "{much}");
    drop(taken);
}

pub(crate) fn last_words_are_quoted() {
    let executor = ProcessExecutor::new(options(1).crashes_allowed(0), &all().functions).unwrap();
    let error = all().last_words.call(()).compute_on(&executor).unwrap_err().to_string();
    let end = "; its last words were: the disk is on fire | goodbye";
    assert!(error.ends_with(end), "{error}");
}

pub(crate) fn a_worker_that_dies_with_nothing_to_do_is_no_tasks_fault() {
    let executor = executor(1);
    let (worker, pid) = executor.workers()[0];
    kill(pid, 9);
    until("its end", || super::ended(pid));
    assert_eq!(*all().add.call((1, 1)).compute_on(&executor).unwrap(), 2);
    assert_eq!(executor.counts().failures, 0);
    assert_eq!(executor.workers()[0].0, worker + 1);
}

pub(crate) fn an_exit_is_told_by_its_code() {
    let executor = ProcessExecutor::new(options(1).crashes_allowed(1), &all().functions).unwrap();
    let error = all().exit.call((3,)).compute_on(&executor).unwrap_err().to_string();
    let exact = "worker 2 ended with exit code 3 while running exit[0], at ";
    assert!(error.contains("2 workers died of it, and 1 may: worker 1 ended"), "{error}");
    assert!(error.contains(exact), "{error}");
}

pub(crate) fn a_panic_is_an_error_and_the_worker_lives_on() {
    let executor = executor(1);
    let before = all().pid.call(()).compute_on(&executor).unwrap();
    let panic = all().panic.call(("that was not foreseen".to_string(),));
    let error = panic.compute_on(&executor).unwrap_err().to_string();
    let begin = "task panic[0] failed: it panicked: that was not foreseen; its inputs: value[0]";
    assert_eq!(error, begin);
    assert_eq!(all().pid.call(()).compute_on(&executor).unwrap(), before);
}

pub(crate) fn errors_and_retries_are_as_on_threads() {
    let processes = executor(1);
    let fail = all().fail.call(("no such file".to_string(),));
    let error = fail.compute_on(&processes).unwrap_err();
    assert_eq!(error.to_string(), fail.compute().unwrap_err().to_string());
    let RunError::Task(failure) = error else { panic!("{error}") };
    assert_eq!(failure.source().unwrap().to_string(), "no such file");

    let options = windlass_runtime::graph::TaskOptions::default().retries(2);
    let functions = super::functions::All::new();
    let (fail, functions) = (functions.fail.options(options), functions.functions);
    let fail = fail.call(("again".to_string(),));
    let processes = ProcessExecutor::new(super::options(1), &functions).unwrap();
    let error = fail.compute_on(&processes).unwrap_err().to_string();
    assert_eq!(error, "task fail[0] failed 3 times: again; its inputs: value[0]");
}

pub(crate) fn what_cannot_be_written_or_read_is_an_error() {
    let executor = executor(1);
    let before = executor.workers();
    let error = all().unwritable.call(()).compute_on(&executor).unwrap_err().to_string();
    assert!(error.contains("Unwritable cannot be written: "), "{error}");
    let error = all().unreadable.call(()).compute_on(&executor).unwrap_err().to_string();
    assert!(error.starts_with("task unreadable failed: a value of type "), "{error}");
    assert!(error.contains("Unreadable cannot be read from 1 bytes"), "{error}");
    assert_eq!(executor.workers(), before);
}

pub(crate) fn garbage_on_the_channel_ends_the_worker() {
    let executor = ProcessExecutor::new(options(1).crashes_allowed(1), &all().functions).unwrap();
    let error = all().babble.call(()).compute_on(&executor).unwrap_err().to_string();
    let exact = "worker 2 was ended because of what it sent (no frame begins with \"this is no \
                 frame at a\") while running babble[0], at ";
    assert!(error.contains(exact), "{error}");
    assert_eq!(*all().add.call((1, 1)).compute_on(&executor).unwrap(), 2);
}

pub(crate) fn a_worker_with_too_much_memory_is_replaced() {
    let limit = 128 << 20;
    let executor = ProcessExecutor::new(options(1).worker_memory(limit), &all().functions).unwrap();
    let (little, much) = (all().keep.call((1_u64,)), all().keep.call((limit,)));
    let run = |d: &windlass_runtime::delayed::Delayed<u32>| *d.compute_on(&executor).unwrap();
    let first = run(&little);
    assert_eq!(run(&little), first);
    // The task that takes too much is done; the worker goes behind it.
    assert_eq!(run(&much), first);
    assert_ne!(run(&little), first);
    assert!(super::ended(first));
    assert_eq!(executor.counts().failures, 0);
}
