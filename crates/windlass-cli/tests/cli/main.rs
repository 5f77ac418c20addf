//! The command `windlass` from outside: arguments, results, exit codes and messages.

mod bench;
mod errors;
mod formats;
mod interrupts;
mod metrics;
mod remote;
mod reports;
mod shell;
mod support;
#[cfg(target_os = "linux")]
mod terminal;
