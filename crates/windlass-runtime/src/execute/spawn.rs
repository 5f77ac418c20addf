//! One task by itself, whose result is awaited: work that comes batch by batch, not as a graph.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{Executor, JobId, worker};
use crate::{
    graph::{GraphBuilder, TaskContext, TaskOptions, Value},
    schedule::RunError,
    sync::Mutex,
};

/// The result of a task that was spawned. Dropped, it cancels the task: one that waits is not
/// begun; one that runs is told, and its result is dropped.
#[must_use = "a task that is not awaited is cancelled"]
pub struct Spawned<T> {
    executor: Arc<Executor>,
    job: JobId,
    result: Arc<Mutex<Awaited<T>>>,
}

/// A result to come, and who awaits it.
struct Awaited<T> {
    value: Option<T>,
    ended: Option<Result<(), RunError>>,
    waker: Option<Waker>,
}

impl<T> fmt::Debug for Spawned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawned").field("done", &self.result.lock().ended.is_some()).finish()
    }
}

impl<T> Future for Spawned<T> {
    type Output = Result<T, RunError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut awaited = self.result.lock();
        match awaited.ended.take() {
            Some(ended) => {
                let value = awaited.value.take();
                // A job that ended well ran its only task.
                Poll::Ready(ended.and_then(|()| value.ok_or(RunError::Cancelled)))
            }
            None => {
                awaited.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Spawned<T> {
    fn drop(&mut self) {
        self.executor.cancel_job(self.job);
    }
}

impl Executor {
    /// Begins one task. It is placed, counted and, where it panics, reported like the task of a
    /// graph, but its function is called at most once: `options.retries` counts for nothing.
    pub fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        name: impl Into<Arc<str>>,
        options: TaskOptions,
        work: impl FnOnce(&TaskContext<'_>) -> T + Send + 'static,
    ) -> Spawned<T> {
        let result = Arc::new(Mutex::new(Awaited { value: None, ended: None, waker: None }));
        let (own, work) = (Arc::clone(&result), Mutex::new(Some(work)));
        let mut graph = GraphBuilder::with_capacity(1, 0);
        let group = graph.group(name, TaskOptions { retries: 0, ..options });
        let task = graph.task(group, &[], move |context| {
            let work = work.lock().take().ok_or("it was begun before")?;
            let value = work(context);
            own.lock().value = Some(value);
            Ok(Value::new(()))
        });
        let own = Arc::clone(&result);
        let on_end = move |ended: super::JobResult| {
            let mut awaited = own.lock();
            awaited.ended = Some(ended.map(|_| ()));
            let waker = awaited.waker.take();
            drop(awaited);
            if let Some(waker) = waker {
                waker.wake();
            }
        };
        let job = self.submit_with(graph.build(&[task]), Box::new(on_end));
        Spawned { executor: Arc::clone(self), job, result }
    }

    /// Takes a device out of use, by its name: what waits for it, or fails there, goes to others,
    /// and results that only it had are made again. Nothing where it is out of use already.
    pub fn device_lost(&self, name: &str) {
        let mut outside = super::Outside::default();
        {
            let mut state = self.shared.state.lock();
            let lost =
                |d: &crate::schedule::device::DeviceState| d.alive && *d.profile.name == *name;
            let Some(device) = state.scheduler.devices.iter().position(lost) else { return };
            state.scheduler.device_lost(device);
            state.settle(&mut outside);
            self.shared.wake_all(&mut state);
        }
        worker::finish_outside(&self.shared, &mut outside);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use super::*;
    use crate::{
        execute::ExecutorOptions,
        graph::{DeviceKind, DeviceKinds},
        schedule::DeviceProfile,
    };

    /// Waits for a future on this thread.
    fn block<T>(future: impl Future<Output = T>) -> T {
        struct Thread(std::thread::Thread);
        impl std::task::Wake for Thread {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Arc::new(Thread(std::thread::current())).into();
        let mut future = std::pin::pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => return value,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    fn gpus(n: usize) -> Arc<Executor> {
        let devices = (0..n).map(|i| DeviceProfile::new(format!("gpu {i}"), DeviceKind::Gpu));
        let options = ExecutorOptions { devices: devices.collect(), ..Default::default() };
        Arc::new(Executor::new(options).expect("threads"))
    }

    fn anywhere() -> TaskOptions {
        TaskOptions::default().kinds(DeviceKinds::Gpu)
    }

    #[test]
    fn a_value_that_cannot_be_shared_comes_back() {
        let executor = gpus(2);
        let cell = std::cell::Cell::new(7);
        let spawned = executor.spawn("one", anywhere(), move |c| (cell, c.device().to_string()));
        let (cell, device) = block(spawned).expect("a result");
        assert_eq!(cell.get(), 7);
        assert!(device.starts_with("gpu "), "{device}");
    }

    #[test]
    fn a_panic_is_an_error_with_the_name() {
        let executor = gpus(1);
        let spawned = executor.spawn("bad", anywhere(), |_| -> u8 { panic!("on purpose") });
        let error = block(spawned).expect_err("it panicked").to_string();
        assert!(error.contains("bad") && error.contains("on purpose"), "{error}");
    }

    #[test]
    fn one_that_waits_is_not_begun_when_it_is_dropped() {
        let executor = gpus(1);
        let (go, wait) = mpsc::channel::<()>();
        let first = executor.spawn("first", anywhere(), move |_| wait.recv().is_ok());
        let begun = Arc::new(AtomicUsize::new(0));
        let own = Arc::clone(&begun);
        drop(executor.spawn("second", anywhere(), move |_| own.fetch_add(1, Ordering::SeqCst)));
        go.send(()).expect("it waits");
        assert!(block(first).expect("a result"));
        block(executor.spawn("third", anywhere(), |_| ())).expect("a result");
        assert_eq!(begun.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_lost_device_gets_nothing_more_and_others_go_on() {
        let executor = gpus(3);
        executor.device_lost("gpu 1");
        executor.device_lost("gpu 1");
        executor.device_lost("no such device");
        let names: Vec<_> = (0..60)
            .map(|_| {
                executor.spawn("task", anywhere(), |c| {
                    std::thread::sleep(Duration::from_micros(200));
                    c.device().to_string()
                })
            })
            .collect();
        let names: Vec<String> = names.into_iter().map(|s| block(s).expect("a result")).collect();
        assert!(names.iter().all(|n| n != "gpu 1"), "{names:?}");
        executor.device_lost("gpu 0");
        executor.device_lost("gpu 2");
        let error = block(executor.spawn("task", anywhere(), |_| ())).expect_err("no device");
        assert!(matches!(error, RunError::NoDevice { .. }), "{error}");
    }
}
