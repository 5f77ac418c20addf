//! The figures of a run of a suite, as `--json` writes them, and what follows from them.

use serde::Serialize;

use crate::commands::bench::peers::{Checksum, Summary};

/// Our name among the engines.
pub(crate) const OURS: &str = "windlass";

/// Sums of floats in another order differ by a part of the sum of absolute values: far less
/// than this for 10^9 rows (Higham, Accuracy and Stability of Numerical Algorithms, 4.2).
const TOLERANCE: f64 = 1e-6;
/// What rounding adds for each row: the average of a decimal with two digits has six in
/// some engines and is a float in others.
const ROUNDING: f64 = 1e-6;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// The suite's name.
    pub(crate) suite: &'static str,
    /// The suite and its size, for people.
    pub(crate) title: String,
    /// Scale factor of TPC-H.
    pub(crate) scale: Option<f64>,
    /// Rows of db-benchmark.
    pub(crate) rows: Option<u64>,
    /// The device spec.
    pub(crate) device: String,
    /// Whether placement was forced to it.
    pub(crate) forced: bool,
    /// The devices that the spec opens.
    pub(crate) devices: Vec<DeviceLine>,
    /// Commit of the sources, where known.
    pub(crate) commit: Option<String>,
    /// The compiler's profile: `debug` or `release`.
    pub(crate) profile: &'static str,
    /// Hardware threads of the host.
    pub(crate) cores: usize,
    /// Architecture of the host.
    pub(crate) machine: &'static str,
    /// Runs of each question; the fastest counts.
    pub(crate) runs: u32,
    /// Engines in order; ours is the first.
    pub(crate) engines: Vec<EngineLine>,
    /// Questions in order.
    pub(crate) questions: Vec<QuestionFigures>,
    /// Geometric mean of the ratios to the fastest peer.
    pub(crate) geometric_mean: Option<f64>,
    /// Geometric mean of the ratios to each peer.
    pub(crate) against: Vec<Against>,
}

/// A device.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceLine {
    /// Its name.
    pub(crate) name: String,
    /// `host`, `real`, `software` or `emulated`.
    pub(crate) class: &'static str,
    /// Its model.
    pub(crate) model: String,
}

/// An engine.
#[derive(Debug, Serialize)]
pub(crate) struct EngineLine {
    /// Its name.
    pub(crate) name: String,
    /// Its version, if it is here.
    pub(crate) version: Option<String>,
    /// Why it is not.
    pub(crate) absent: Option<String>,
}

/// The ratio to one peer.
#[derive(Debug, Serialize)]
pub(crate) struct Against {
    /// The peer.
    pub(crate) engine: String,
    /// Geometric mean over the questions that both answered.
    pub(crate) geometric_mean: f64,
    /// The same of CPU time.
    pub(crate) cpu_geometric_mean: Option<f64>,
    /// How many those are.
    pub(crate) questions: usize,
}

/// One question.
#[derive(Debug, Default, Serialize)]
pub(crate) struct QuestionFigures {
    /// Its name.
    pub(crate) question: String,
    /// One for each engine that was asked, ours first.
    pub(crate) results: Vec<EngineFigures>,
    /// Our time as a multiple of the fastest peer's.
    pub(crate) ratio: Option<f64>,
    /// That peer.
    pub(crate) fastest_peer: Option<String>,
    /// Why the query ran again, if it did.
    pub(crate) fallback: Option<String>,
    /// Bytes that went to disk in our last run.
    pub(crate) spilled_bytes: u64,
    /// Our operators in the last run.
    pub(crate) operators: Vec<Operator>,
}

/// One engine's answer to a question.
#[derive(Debug, Default, Serialize)]
pub(crate) struct EngineFigures {
    /// The engine.
    pub(crate) engine: String,
    /// Time of the fastest run.
    pub(crate) seconds: Option<f64>,
    /// Times of all runs.
    pub(crate) all_seconds: Vec<f64>,
    /// CPU time of the run that used least: what a busy machine disturbs least.
    pub(crate) cpu_seconds: Option<f64>,
    /// Rows of the result.
    pub(crate) rows: Option<u64>,
    /// Peak resident memory of its process.
    pub(crate) peak_bytes: Option<u64>,
    /// How its result differs from ours, if it does.
    pub(crate) differs: Option<String>,
    /// Why there is no result.
    pub(crate) error: Option<String>,
}

/// An operator of ours.
#[derive(Debug, Serialize)]
pub(crate) struct Operator {
    /// Name of the plan node.
    pub(crate) name: String,
    /// Where it ran.
    pub(crate) device: String,
    /// Rows out of it.
    pub(crate) rows: u64,
    /// Busy time over all partitions.
    pub(crate) ms: f64,
    /// Why it ran there.
    pub(crate) reason: String,
}

impl QuestionFigures {
    /// Finds the fastest peer and the ratio to it. A peer whose result differs from ours
    /// still counts: which of the two is wrong is not known here.
    pub(crate) fn compare(&mut self) {
        let Some((ours, peers)) = self.results.split_first() else { return };
        let timed = peers.iter().filter_map(|p| p.seconds.map(|s| (s, &p.engine)));
        let fastest = timed.min_by(|a, b| a.0.total_cmp(&b.0));
        self.fastest_peer = fastest.map(|(_, name)| name.clone());
        self.ratio = ours.seconds.zip(fastest).map(|(ours, (theirs, _))| ours / theirs);
    }

    /// The answer of an engine.
    pub(crate) fn of(&self, engine: &str) -> Option<&EngineFigures> {
        self.results.iter().find(|r| r.engine == engine)
    }

    /// Devices other than the host's own engine that operators ran on, with their operators.
    pub(crate) fn device_operators(&self) -> String {
        let mut all: Vec<String> = self
            .operators
            .iter()
            .filter(|o| o.name.starts_with("Device"))
            .map(|o| format!("{}@{}", o.name.trim_end_matches("Exec"), o.device))
            .collect();
        all.sort();
        all.dedup();
        all.join(" ")
    }
}

impl Figures {
    /// Computes the means from the questions.
    pub(crate) fn sum_up(&mut self) {
        self.geometric_mean = mean(self.questions.iter().filter_map(|q| q.ratio));
        let peers: Vec<&EngineLine> = self.engines.iter().filter(|e| e.name != OURS).collect();
        let against = peers.iter().filter_map(|peer| {
            let ratios = |of: fn(&EngineFigures) -> Option<f64>| -> Vec<f64> {
                let each = self.questions.iter();
                each.filter_map(|q| Some(of(q.of(OURS)?)? / of(q.of(&peer.name)?)?)).collect()
            };
            let wall = ratios(|r| r.seconds);
            Some(Against {
                engine: peer.name.clone(),
                geometric_mean: mean(wall.iter().copied())?,
                cpu_geometric_mean: mean(ratios(|r| r.cpu_seconds).into_iter()),
                questions: wall.len(),
            })
        });
        self.against = against.collect();
    }

    /// The question with the largest ratio.
    pub(crate) fn worst(&self) -> Option<&QuestionFigures> {
        let rated = self.questions.iter().filter(|q| q.ratio.is_some());
        rated.max_by(|a, b| a.ratio.unwrap_or(0.0).total_cmp(&b.ratio.unwrap_or(0.0)))
    }

    /// Results that differ from ours, as `question engine: how`.
    pub(crate) fn differences(&self) -> Vec<String> {
        let all = self.questions.iter().flat_map(|q| q.results.iter().map(move |r| (q, r)));
        all.filter_map(|(q, r)| {
            Some(format!("{} {}: {}", q.question, r.engine, r.differs.as_ref()?))
        })
        .collect()
    }

    /// Questions that an engine failed on, as `question engine: why`.
    pub(crate) fn failures(&self) -> Vec<String> {
        let all = self.questions.iter().flat_map(|q| q.results.iter().map(move |r| (q, r)));
        all.filter_map(|(q, r)| Some(format!("{} {}: {}", q.question, r.engine, r.error.as_ref()?)))
            .collect()
    }
}

fn mean(ratios: impl Iterator<Item = f64>) -> Option<f64> {
    let logs: Vec<f64> = ratios.map(f64::ln).collect();
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}

/// How a result differs from ours; `None` where rows and checksums agree.
pub(crate) fn difference(ours: &Summary, theirs: &Summary) -> Option<String> {
    if ours.rows != theirs.rows {
        return Some(format!("{} rows, ours has {}", theirs.rows, ours.rows));
    }
    if ours.columns.len() != theirs.columns.len() {
        let (t, o) = (theirs.columns.len(), ours.columns.len());
        return Some(format!("{t} columns, ours has {o}"));
    }
    let unequal =
        ours.columns.iter().zip(&theirs.columns).position(|(a, b)| !agree(a, b, ours.rows));
    unequal.map(|i| format!("column {} has another checksum", i + 1))
}

fn agree(a: &Checksum, b: &Checksum, rows: u64) -> bool {
    if a.nulls != b.nulls || a.text != b.text {
        return false;
    }
    match (a.sum, b.sum) {
        (Some(x), Some(y)) => {
            let allowed = TOLERANCE * a.size.max(b.size) + ROUNDING * rows as f64;
            x == y || (x - y).abs() <= allowed
        }
        (x, y) => x == y,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(sum: f64) -> Checksum {
        Checksum { sum: Some(sum), size: sum.abs(), ..Default::default() }
    }

    fn result(engine: &str, seconds: Option<f64>) -> EngineFigures {
        EngineFigures { engine: engine.into(), seconds, ..Default::default() }
    }

    #[test]
    fn a_wrong_row_count_sum_text_or_null_differs() {
        let text = |t: &str| Checksum { text: Some(t.into()), ..Default::default() };
        let ours = Summary { rows: 3, columns: vec![column(10.0), text("5")] };
        assert_eq!(difference(&ours, &ours), None);
        let close = Summary { rows: 3, columns: vec![column(10.0 + 1e-7), text("5")] };
        assert_eq!(difference(&ours, &close), None);
        let mut nulls = ours.clone();
        nulls.columns[0].nulls = 1;
        for (other, part) in [
            (Summary { rows: 4, ..ours.clone() }, "4 rows, ours has 3"),
            (Summary { rows: 3, columns: vec![column(10.0)] }, "1 columns, ours has 2"),
            (Summary { rows: 3, columns: vec![column(10.1), text("5")] }, "column 1"),
            (Summary { rows: 3, columns: vec![column(10.0), text("6")] }, "column 2"),
            (nulls, "column 1"),
        ] {
            let said = difference(&ours, &other).unwrap_or_default();
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn ratios_are_to_the_fastest_peer_that_answered() {
        let mut q = QuestionFigures {
            results: vec![
                result(OURS, Some(2.0)),
                result("duckdb", Some(4.0)),
                result("polars", Some(1.0)),
                result("dask", None),
            ],
            ..Default::default()
        };
        q.compare();
        assert_eq!((q.ratio, q.fastest_peer.as_deref()), (Some(2.0), Some("polars")));
        q.results.truncate(1);
        q.compare();
        assert_eq!((q.ratio, q.fastest_peer), (None, None));
        assert_eq!(mean([2.0, 8.0].into_iter()).map(f64::round), Some(4.0));
        assert_eq!(mean([].into_iter()), None);
    }
}
