//! Memory over the time of a run: a thread looks at it every few milliseconds.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use windlass::Session;

use crate::record::{milliseconds_since_1970, resident_bytes};

/// Time between two looks at first. A guess: short queries get a curve, and a look takes some
/// ten microseconds.
const FIRST: Duration = Duration::from_millis(10);
/// Points of a series that are kept: a curve is about as many pixels wide. When there are more,
/// every other goes, and looks become half as frequent.
const MOST: usize = 2000;

/// The name of the process's resident memory among the series.
pub(crate) const RESIDENT: &str = "process, resident";
/// What operators have reserved of the session's host memory.
pub(crate) const RESERVED: &str = "reserved by operators";
/// Files of spilled rows.
pub(crate) const SPILL_FILES: &str = "spill files";

/// A value over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Series {
    /// What it is of.
    pub(crate) name: String,
    /// Milliseconds since 1970 (UTC), and bytes.
    pub(crate) points: Vec<(f64, u64)>,
}

impl Series {
    /// The greatest value.
    pub(crate) fn peak(&self) -> u64 {
        self.points.iter().map(|p| p.1).max().unwrap_or(0)
    }
}

/// Values by name, at a moment.
pub(crate) type Look = Vec<(String, u64)>;

/// A thread that looks until it is told to end.
#[derive(Debug)]
pub(crate) struct Sampler {
    end: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<Vec<Series>>>,
}

impl Sampler {
    /// Starts it.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(look: impl Fn() -> Look + Send + 'static) -> io::Result<Self> {
        let end = Arc::new((Mutex::new(false), Condvar::new()));
        let own = Arc::clone(&end);
        let thread = std::thread::Builder::new().name("windlass-sample".into());
        let thread = thread.spawn(move || {
            let mut kept = Kept::default();
            let mut pause = FIRST;
            loop {
                if kept.add(milliseconds_since_1970(), look()) {
                    pause *= 2;
                }
                let (ended, wake) = &*own;
                let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = wake.wait_timeout_while(ended, pause, |ended| !*ended);
                let (ended, _) = waited.unwrap_or_else(PoisonError::into_inner);
                if *ended {
                    drop(ended);
                    kept.add(milliseconds_since_1970(), look());
                    return kept.series;
                }
            }
        })?;
        Ok(Self { end, thread: Some(thread) })
    }

    /// Looks a last time and gives all.
    pub(crate) fn finish(mut self) -> Vec<Series> {
        self.tell();
        self.thread.take().and_then(|t| t.join().ok()).unwrap_or_default()
    }

    fn tell(&self) {
        *self.end.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.1.notify_all();
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.tell();
    }
}

/// The series so far.
#[derive(Debug, Default)]
struct Kept {
    series: Vec<Series>,
}

impl Kept {
    /// Adds a look; whether it halved what there was.
    fn add(&mut self, at: f64, look: Look) -> bool {
        for (name, value) in look {
            let place = self.series.iter().position(|s| s.name == name).unwrap_or_else(|| {
                self.series.push(Series { name, points: Vec::new() });
                self.series.len() - 1
            });
            self.series[place].points.push((at, value));
        }
        let full = self.series.iter().any(|s| s.points.len() > MOST);
        if full {
            self.series.iter_mut().for_each(halve);
        }
        full
    }
}

/// Keeps of each two points the one with the greater value: peaks stay.
fn halve(series: &mut Series) {
    let greater = |two: &[(f64, u64)]| match two {
        [a, b] if a.1 > b.1 => *a,
        [.., last] => *last,
        [] => (0.0, 0),
    };
    series.points = series.points.chunks(2).map(greater).collect();
}

/// What a session and this process hold now.
pub(crate) fn look(session: &Session) -> Look {
    let host = session.host_use();
    let mut out = vec![(RESERVED.to_string(), host.reserved)];
    out.extend(resident_bytes().map(|bytes| (RESIDENT.to_string(), bytes)));
    out.push((SPILL_FILES.to_string(), host.spill_files));
    for device in session.devices().opened() {
        // The host's own pool counts what its kernels hold beside the operators.
        let name = device.info().name.to_string();
        out.push((format!("{name}, in use"), device.pool().stats().in_use as u64));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_outlive_the_thinning() {
        let mut kept = Kept::default();
        let mut halved = 0;
        for i in 0..10_000 {
            let value = if i == 4321 { 1_000_000 } else { i % 7 };
            halved += usize::from(kept.add(i as f64, vec![("a".into(), value)]));
        }
        let points = &kept.series[0].points;
        assert!((MOST / 2..=MOST).contains(&points.len()), "{}", points.len());
        assert!(halved >= 3 && kept.series[0].peak() == 1_000_000);
        assert!(points.windows(2).all(|two| two[0].0 < two[1].0));
    }

    #[test]
    fn a_series_may_begin_late() {
        let mut kept = Kept::default();
        kept.add(1.0, vec![("a".into(), 1)]);
        kept.add(2.0, vec![("b".into(), 2), ("a".into(), 3)]);
        assert_eq!(kept.series[0].points, [(1.0, 1), (2.0, 3)]);
        assert_eq!(kept.series[1].points, [(2.0, 2)]);
    }

    #[test]
    fn a_sampler_looks_at_the_begin_and_at_the_end() {
        let sampler = Sampler::start(|| vec![("a".to_string(), 5)]).unwrap();
        let series = sampler.finish();
        assert!(series[0].points.len() >= 2 && series[0].peak() == 5, "{series:?}");
    }
}
