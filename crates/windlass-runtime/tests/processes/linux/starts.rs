//! Workers that do not start as they should.

use std::{io::Write, process::ExitCode, time::Duration};

use windlass_runtime::{
    delayed::delayed,
    processes::{Functions, ProcessExecutor, ProcessOptions, StartError},
};

use super::{all, children, executor, options};

/// What this program does where it should be a worker.
pub(crate) fn unlike_a_worker(role: &str) -> ExitCode {
    match role {
        "exit" => {
            eprintln!("nothing to do here");
            ExitCode::from(7)
        }
        "sleep" => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        "start" => {
            let error = ProcessExecutor::new(ProcessOptions::default(), &all().functions);
            eprintln!("{}", error.unwrap_err());
            ExitCode::from(8)
        }
        "other" => {
            let mut functions = Functions::new();
            functions.register("add", |a: &u64, b: &u64| a + b);
            functions.register("subtract", |a: &u64, b: &u64| a - b);
            functions.serve_if_worker();
            ExitCode::from(9)
        }
        #[cfg(unix)]
        "babble" => {
            use std::os::{fd::AsFd, unix::net::UnixStream};
            let stdin = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
            UnixStream::from(stdin).write_all(&[b'x'; 100]).unwrap();
            unlike_a_worker("sleep")
        }
        _ => ExitCode::FAILURE,
    }
}

/// Starts workers that play a role: the error, and what it says.
fn started(role: &str, limit: Option<Duration>) -> (StartError, String) {
    let own = std::env::current_exe().unwrap();
    let mut options = options(2).command(own, [format!("--worker={role}")]);
    if let Some(limit) = limit {
        options = options.start_timeout(limit);
    }
    let error = ProcessExecutor::new(options, &all().functions).unwrap_err();
    assert!(children().is_empty(), "{role} left something behind");
    let text = error.to_string();
    (error, text)
}

const HINT: &str = "does its program call `functions.serve_if_worker()` at the start of `main`?";

pub(crate) fn a_program_that_does_not_serve_is_told() {
    let (error, text) = started("exit", None);
    assert!(matches!(error, StartError::Ended { worker: 1, .. }), "{text}");
    let begin = format!("worker 1 ended with exit code 7 before it answered: {HINT}");
    assert_eq!(text, format!("{begin} Its last words were: nothing to do here"));
}

pub(crate) fn a_program_that_goes_on_without_serving_meets_the_limit() {
    let (error, text) = started("sleep", Some(Duration::from_millis(300)));
    assert!(matches!(error, StartError::Silent { worker: 1, .. }), "{text}");
    assert_eq!(text, format!("worker 1 did not answer within 300ms: {HINT}"));
}

pub(crate) fn a_program_that_starts_workers_in_place_of_serving_is_refused() {
    let (error, text) = started("start", None);
    assert!(matches!(error, StartError::Ended { .. }), "{text}");
    assert!(
        text.contains("ended with exit code 8") && text.contains("is a worker itself"),
        "{text}"
    );
}

pub(crate) fn other_functions_are_told() {
    let (error, text) = started("other", None);
    assert!(matches!(error, StartError::Functions { .. }), "{text}");
    assert!(text.contains("only here: abort: fn((u64,)) -> u64, abort_once: "), "{text}");
    assert!(text.ends_with("only there: subtract: fn((u64, u64)) -> u64"), "{text}");
}

pub(crate) fn a_greeting_of_garbage_is_told() {
    let (error, text) = started("babble", None);
    assert!(matches!(error, StartError::Greeting { .. }), "{text}");
    assert!(text.contains("no frame begins with \"xxx"), "{text}");
}

pub(crate) fn a_program_that_is_not_there_is_told() {
    let options = options(1).command("/no/such/program", [""; 0]);
    let error = ProcessExecutor::new(options, &all().functions).unwrap_err();
    assert!(matches!(error, StartError::Spawn { .. }));
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

pub(crate) fn a_worker_that_cannot_be_replaced_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("worker");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let options = options(1).command(&program, [""; 0]);
    let executor = ProcessExecutor::new(options, &all().functions).unwrap();
    std::fs::remove_file(&program).unwrap();
    let error = all().abort.call((1,)).compute_on(&executor).unwrap_err().to_string();
    // One try crashed, the next had nowhere to run.
    let begin = "task abort[0] failed 2 times: worker 2 could not be started, which is the program";
    assert!(error.starts_with(begin), "{error}");
    assert!(children().is_empty() && executor.workers().is_empty());
}

pub(crate) fn a_worker_starts_no_workers() {
    let error = all().nested.call(()).compute_on(&executor(1)).unwrap();
    assert!(error.contains("this process is a worker itself"), "{error}");
}

pub(crate) fn functions_of_others_are_refused() {
    let executor = executor(1);
    let mut other = Functions::new();
    let add = other.register("add", |a: &u64, b: &u64| a + b);
    let error = add.call((1, delayed(|| 2_u64).call(()))).compute_on(&executor).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the function add is not among those"), "{text}");
}
