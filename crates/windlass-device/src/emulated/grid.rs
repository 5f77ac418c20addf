//! Runs the blocks of a launch, several at a time.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use parking_lot::Mutex;

use super::block::{Launch, Worker};

/// Most OS threads of one launch. Two suffice for atomics to race; more than a few cost
/// more to start than a test's grid takes.
const MAX_THREADS: usize = 8;

/// Runs all blocks: in parallel and started in order, or, when the launch says so, one at a
/// time from the last to the first.
///
/// # Errors
/// What went wrong in the first block that failed.
pub(super) fn run(launch: &Launch<'_>) -> Result<(), String> {
    if launch.alone {
        let mut worker = Worker::new(launch)?;
        return (0..launch.groups).rev().try_for_each(|block| worker.run(block));
    }
    let next = AtomicU32::new(0);
    let error = Mutex::new(None);
    let work = || {
        let result = Worker::new(launch).and_then(|mut worker| {
            loop {
                let block = next.load(Ordering::Relaxed);
                if block >= launch.groups || launch.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let claimed =
                    next.compare_exchange(block, block + 1, Ordering::Relaxed, Ordering::Relaxed);
                if claimed.is_ok() {
                    worker.run(block)?;
                }
            }
        });
        if let Err(e) = result {
            launch.stop.store(true, Ordering::Relaxed);
            error.lock().get_or_insert(e);
        }
    };
    let cores = thread::available_parallelism().map_or(2, |n| n.get());
    let threads = cores.clamp(2, MAX_THREADS).min(launch.groups as usize);
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    error.into_inner().map_or(Ok(()), Err)
}
