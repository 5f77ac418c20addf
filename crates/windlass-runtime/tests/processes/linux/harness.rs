//! A small test harness: the part of libtest's command line that cargo and nextest use. Tests
//! run one after another.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

/// One test.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
    /// Whether it only runs when asked for.
    pub(crate) ignored: bool,
}

/// Runs the tests that the command line names.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let (mut list, mut exact, mut ignored, mut all) = (false, false, false, false);
    let (mut names, mut skipped) = (Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => list = true,
            "--exact" => exact = true,
            "--ignored" => ignored = true,
            "--include-ignored" => all = true,
            "--skip" => skipped.extend(arguments.next()),
            "--format" | "--test-threads" | "--color" | "--logfile" => drop(arguments.next()),
            a if a.starts_with('-') => {}
            _ => names.push(argument),
        }
    }
    let matches = |name: &str, wanted: &String| {
        if exact { name == wanted } else { name.contains(wanted.as_str()) }
    };
    let chosen = tests.iter().filter(|t| {
        (all || t.ignored == ignored || (list && !ignored))
            && (names.is_empty() || names.iter().any(|n| matches(t.name, n)))
            && !skipped.iter().any(|n| matches(t.name, n))
    });
    if list {
        chosen.for_each(|t| println!("{}: test", t.name));
        return ExitCode::SUCCESS;
    }
    let mut failed = Vec::new();
    let mut passed = 0;
    for t in chosen {
        match catch_unwind(AssertUnwindSafe(t.run)) {
            Ok(()) => passed += 1,
            Err(_) => failed.push(t.name),
        }
        let ok = failed.last() != Some(&t.name);
        println!("test {} ... {}", t.name, if ok { "ok" } else { "FAILED" });
    }
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {} failed", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}
