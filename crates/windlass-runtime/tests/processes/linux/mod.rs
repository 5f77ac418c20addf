//! The tests, what they share, and their `main`.

mod ends;
mod faults;
mod functions;
mod harness;
mod results;
mod starts;

use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use functions::All;
use harness::Test;
use windlass_runtime::{
    events::{Event, EventKind, Subscriber},
    processes::{ProcessExecutor, ProcessOptions},
};

static ALL: OnceLock<All> = OnceLock::new();

/// The functions.
fn all() -> &'static All {
    ALL.get_or_init(All::new)
}

/// Limits that are only met where something is wrong: the machine may be busy.
const LONG: Duration = Duration::from_secs(120);

fn options(workers: usize) -> ProcessOptions {
    ProcessOptions::default().workers(workers).start_timeout(LONG)
}

fn executor(workers: usize) -> ProcessExecutor {
    ProcessExecutor::new(options(workers), &all().functions).unwrap()
}

/// Waits for something that will be so.
fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < LONG, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The number in a file, once it is there.
fn number_in(path: &Path) -> u32 {
    until("a file", || path.exists());
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

/// Whether a process has ended. One that nobody waits for has, too.
fn ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |s| s.rsplit(") ").next().is_some_and(|s| s.starts_with('Z')))
}

/// The processes that this one started and has not waited for.
fn children() -> Vec<u32> {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|s| s.split(' ').nth(1)) == Some(&own)
    };
    pids.filter(is_child).collect()
}

/// Sends a process a signal from outside.
fn kill(pid: u32, signal: i32) {
    // SAFETY: the call takes two numbers.
    let sent = unsafe { libc::kill(libc::pid_t::try_from(pid).unwrap(), signal) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}

/// The deaths among the events so far.
fn deaths(events: &mut Subscriber) -> Vec<Arc<Event>> {
    let all = std::iter::from_fn(|| events.next(Duration::ZERO));
    all.filter(|e| e.kind == EventKind::Crash).collect()
}

macro_rules! tests {
    ($($module:ident: $($name:ident)+;)+) => {
        &[$($(Test {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: $module::$name,
            ignored: false,
        }),+),+]
    };
}

const TESTS: &[Test] = tests! {
    results:
        all_schedulers_give_the_same
        words_are_counted_as_on_threads
        large_results_pass
        results_go_to_disk_where_memory_is_short
        what_is_not_registered_runs_here
        futures_run_in_processes_too
        output_and_input_of_tasks_disturb_nothing
        over_tcp_it_is_the_same;
    faults:
        one_abort_costs_one_try
        a_task_that_always_aborts_fails_and_names_all_deaths
        a_kill_from_outside_is_told_in_the_exact_form
        the_peak_of_memory_is_the_workers_own
        last_words_are_quoted
        an_exit_is_told_by_its_code
        a_worker_that_dies_with_nothing_to_do_is_no_tasks_fault
        a_panic_is_an_error_and_the_worker_lives_on
        errors_and_retries_are_as_on_threads
        what_cannot_be_written_or_read_is_an_error
        garbage_on_the_channel_ends_the_worker
        a_worker_with_too_much_memory_is_replaced;
    ends:
        a_time_out_kills_the_worker
        a_task_is_tried_again_after_a_time_out
        cancelling_kills_and_replaces
        a_stopped_worker_does_not_hold_up_its_task
        dropping_leaves_nothing_behind
        dropping_in_the_middle_ends_the_job
        a_failure_ends_what_runs_beside_it
        what_a_task_started_ends_with_its_worker
        workers_end_with_a_parent_that_is_killed;
    starts:
        a_program_that_does_not_serve_is_told
        a_program_that_goes_on_without_serving_meets_the_limit
        a_program_that_starts_workers_in_place_of_serving_is_refused
        other_functions_are_told
        a_greeting_of_garbage_is_told
        a_program_that_is_not_there_is_told
        a_worker_that_cannot_be_replaced_is_told
        a_worker_starts_no_workers
        functions_of_others_are_refused;
};

/// Runs tests, or is a worker, or what else the first argument asks for.
pub(crate) fn main() -> ExitCode {
    let role = std::env::args().nth(1).unwrap_or_default();
    if let Some(role) = role.strip_prefix("--worker=") {
        return starts::unlike_a_worker(role);
    }
    all().functions.serve_if_worker();
    if role == "--parent" {
        return ends::parent();
    }
    let overhead = Test { name: "results::overhead", run: results::overhead, ignored: true };
    let tests = TESTS.iter().map(|t| Test { ..*t });
    harness::run(&tests.chain([overhead]).collect::<Vec<_>>())
}
