//! Worker processes: the same results as on threads, and what becomes of tasks and jobs when
//! workers crash, hang, babble or are killed.
//!
//! The workers are this program, started again: it has its own `main` and a small harness.

use std::process::ExitCode;

/// The tests look at processes as only Linux shows them.
#[cfg(target_os = "linux")]
mod linux;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    return linux::main();
    #[cfg(not(target_os = "linux"))]
    ExitCode::SUCCESS
}
