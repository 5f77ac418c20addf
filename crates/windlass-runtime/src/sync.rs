//! The locks and threads of the executor. `tests/interleavings` compiles the executor with others
//! of the same names, which try many orders of what the threads do.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::atomic::AtomicUsize;
pub(crate) use std::thread::{Builder, JoinHandle, current, sleep};

/// How long a thread looks for work before it sleeps: a guess of what waking it would take.
pub(crate) const SPIN: std::time::Duration = std::time::Duration::from_micros(30);
