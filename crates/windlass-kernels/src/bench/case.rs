//! A bench that is set up.

use std::time::Instant;

use super::host::On;
use crate::error::{KernelError, Result};

/// What is wrong with a result; `None` where it is right.
pub(super) type Verdict = Result<Option<String>>;

/// Wall seconds, and processor seconds of all threads where the system tells them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    pub(super) wall: f64,
    pub(super) cpu: Option<f64>,
}

/// Times `f`.
pub(super) fn timed<T>(f: impl FnOnce() -> T) -> (Time, T) {
    let (cpu, start) = (processor_seconds(), Instant::now());
    let out = f();
    let wall = start.elapsed().as_secs_f64();
    (Time { wall, cpu: processor_seconds().zip(cpu).map(|(after, before)| after - before) }, out)
}

/// Seconds that all threads of this process have run.
#[cfg(unix)]
fn processor_seconds() -> Option<f64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    (failed == 0).then(|| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// The system does not tell.
#[cfg(not(unix))]
fn processor_seconds() -> Option<f64> {
    None
}

/// The same work by other means, on the host.
pub(super) struct Reference {
    pub(super) name: &'static str,
    /// Whether it runs on one core.
    pub(super) serial: bool,
    pub(super) run: Box<dyn FnMut()>,
}

/// One run; with `true` its result is checked.
type Run = Box<dyn FnMut(&mut On, bool) -> Result<(Time, Option<String>)>>;

/// The data of a bench, and what is done with them.
pub(super) struct Case {
    pub(super) rows: usize,
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) run: Run,
    pub(super) references: Vec<Reference>,
}

impl Case {
    /// `run` is timed to the end of its work on the device; `check` compares what it gave.
    /// `floor`: bytes read and written.
    pub(super) fn new<T>(
        rows: usize,
        floor: [usize; 2],
        mut run: impl FnMut(&mut On) -> Result<T> + 'static,
        check: impl Fn(&mut On, T) -> Verdict + 'static,
    ) -> Self {
        let step = move |on: &mut On, checked: bool| {
            on.queue.synchronize()?;
            let (time, out) = timed(|| {
                let out = run(on)?;
                on.queue.synchronize()?;
                // A result that is not looked at is freed in time, as the references' are.
                Ok::<Option<T>, KernelError>(checked.then_some(out))
            });
            let wrong = out?.map_or(Ok(None), |out| check(on, out))?;
            Ok((time, wrong))
        };
        let [read, written] = floor.map(|b| b as u64);
        Self { rows, read, written, run: Box::new(step), references: Vec::new() }
    }

    /// Adds a reference that uses all cores.
    pub(super) fn beside(self, name: &'static str, run: impl FnMut() + 'static) -> Self {
        self.reference(name, false, run)
    }

    /// Adds a reference that uses one core.
    pub(super) fn beside_serial(self, name: &'static str, run: impl FnMut() + 'static) -> Self {
        self.reference(name, true, run)
    }

    fn reference(mut self, name: &'static str, serial: bool, run: impl FnMut() + 'static) -> Self {
        self.references.push(Reference { name, serial, run: Box::new(run) });
        self
    }
}

/// The first difference between two lists; `None` where there is none.
pub(super) fn differ<T: PartialEq + std::fmt::Debug>(got: &[T], want: &[T]) -> Option<String> {
    if got.len() != want.len() {
        return Some(format!("{} values, expected {}", got.len(), want.len()));
    }
    let at = got.iter().zip(want).position(|(g, w)| g != w)?;
    Some(format!("value {at} is {:?}, expected {:?}", got[at], want[at]))
}

/// As [`differ`], of one value.
pub(super) fn unequal<T: PartialEq + std::fmt::Debug>(got: T, want: T) -> Option<String> {
    (got != want).then(|| format!("got {got:?}, expected {want:?}"))
}

/// As [`unequal`], of floats that were added up in different orders: apart by more than a part of
/// 10^-9 of `size`, the sum of absolute values. Rounding errors of n additions are below n 2^-53
/// of it (Higham, Accuracy and Stability of Numerical Algorithms, 4.2), and near the root of that
/// for random values: far less for the rows of a bench.
pub(super) fn apart(got: f64, want: f64, size: f64) -> Option<String> {
    let near = (got - want).abs() <= 1e-9 * size.abs().max(f64::MIN_POSITIVE);
    (!near).then(|| format!("got {got}, expected {want}"))
}
