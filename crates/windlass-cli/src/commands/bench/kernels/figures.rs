//! The figures of the kernels' benches, as `--json` writes them, and what follows from them.

use serde::Serialize;
use windlass::kernels::bench::{Bench, Measured, Step};

/// A run over all devices.
#[derive(Debug, Serialize)]
pub(crate) struct KernelFigures {
    /// Always `kernels`.
    pub(crate) suite: &'static str,
    /// Commit of the sources, where known.
    pub(crate) commit: Option<String>,
    /// The compiler's profile: `debug` or `release`.
    pub(crate) profile: &'static str,
    /// Hardware threads of the host.
    pub(crate) cores: usize,
    /// Architecture of the host.
    pub(crate) machine: &'static str,
    /// Timed runs of each bench.
    pub(crate) runs: u32,
    /// The devices in order.
    pub(crate) devices: Vec<DeviceFigures>,
}

/// One device.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceFigures {
    /// Its name.
    pub(crate) name: String,
    /// `host`, `real`, `software` or `emulated`.
    pub(crate) class: &'static str,
    /// Its model.
    pub(crate) model: String,
    /// Its driver.
    pub(crate) driver: String,
    /// Rows that were asked of each bench.
    pub(crate) rows: usize,
    /// Bytes read and written a second by a copy within it, measured in this run.
    pub(crate) copy_bytes_per_second: f64,
    /// The benches in order.
    pub(crate) benches: Vec<BenchFigures>,
    /// What the series show.
    pub(crate) cliffs: Vec<Cliff>,
}

/// One bench.
#[derive(Debug, Default, Serialize)]
pub(crate) struct BenchFigures {
    /// `family/operation/variant`.
    pub(crate) name: String,
    /// The operation and its floor.
    pub(crate) what: &'static str,
    /// Its place in a series.
    pub(crate) step: Option<StepFigures>,
    /// Rows.
    pub(crate) rows: usize,
    /// Bytes that the operation must read.
    pub(crate) bytes_read: u64,
    /// Bytes that it must write.
    pub(crate) bytes_written: u64,
    /// Wall time of the fastest run.
    pub(crate) seconds: Option<f64>,
    /// That of the run in the middle.
    pub(crate) median_seconds: Option<f64>,
    /// Those of all runs.
    pub(crate) all_seconds: Vec<f64>,
    /// Processor time of all threads, of the run that used least.
    pub(crate) cpu_seconds: Option<f64>,
    /// Bytes that must be read and written over the time of the fastest run.
    pub(crate) bytes_per_second: Option<f64>,
    /// That rate over the copy's.
    pub(crate) share_of_copy: Option<f64>,
    /// The same work by other means.
    pub(crate) references: Vec<ReferenceFigures>,
    /// The fastest of them.
    pub(crate) fastest_reference: Option<&'static str>,
    /// Our time as a multiple of its.
    pub(crate) ratio: Option<f64>,
    /// Our processor time as a multiple of the least of theirs.
    pub(crate) cpu_ratio: Option<f64>,
    /// Why the device cannot run it.
    pub(crate) skipped: Option<String>,
    /// What went wrong, or is wrong with the result.
    pub(crate) error: Option<String>,
}

/// A place in a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct StepFigures {
    /// What the series is of.
    pub(crate) series: &'static str,
    /// Which of its lines.
    pub(crate) line: &'static str,
    /// The place.
    pub(crate) at: u64,
}

/// A reference.
#[derive(Debug, Serialize)]
pub(crate) struct ReferenceFigures {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it uses one core; `seconds` are then divided by the number of cores.
    pub(crate) serial: bool,
    /// Wall time of the fastest run.
    pub(crate) seconds: Option<f64>,
    /// Wall times of all runs, as they were.
    pub(crate) all_seconds: Vec<f64>,
    /// Processor time of the run that used least.
    pub(crate) cpu_seconds: Option<f64>,
}

/// What the lines of a series show.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Cliff {
    /// The series.
    pub(crate) series: &'static str,
    /// The largest ratio of neighbours on its first line, whichever is the slower.
    pub(crate) worst_step: f64,
    /// Where the step ends.
    pub(crate) worst_step_at: u64,
    /// The largest ratio of another line to the first at one place.
    pub(crate) worst_skew: Option<f64>,
    /// That line.
    pub(crate) worst_skew_line: Option<&'static str>,
    /// And that place.
    pub(crate) worst_skew_at: Option<u64>,
    /// Whether the ratios are of processor time.
    pub(crate) of_cpu_time: bool,
}

impl From<Step> for StepFigures {
    fn from(s: Step) -> Self {
        Self { series: s.series, line: s.line, at: s.at }
    }
}

impl BenchFigures {
    /// A bench that was not run yet.
    pub(crate) fn new(bench: &Bench) -> Self {
        Self {
            name: bench.name().to_string(),
            what: bench.what(),
            step: bench.step().map(Into::into),
            ..Self::default()
        }
    }

    /// Keeps what was measured on a device that copies so many bytes a second.
    pub(crate) fn note(&mut self, m: &Measured, copy: f64) {
        self.rows = m.rows;
        (self.bytes_read, self.bytes_written) = (m.read, m.written);
        self.seconds = m.best();
        self.median_seconds = m.median();
        self.all_seconds.clone_from(&m.seconds);
        self.cpu_seconds = m.best_cpu();
        self.bytes_per_second = m.bytes_per_second();
        self.share_of_copy = self.bytes_per_second.map(|b| b / copy);
        let reference = |r: &windlass::kernels::bench::MeasuredReference| ReferenceFigures {
            name: r.name,
            serial: r.serial,
            seconds: r.best(),
            all_seconds: r.seconds.clone(),
            cpu_seconds: r.cpu_seconds.iter().copied().min_by(f64::total_cmp),
        };
        self.references = m.references.iter().map(reference).collect();
        self.fastest_reference = m.fastest().map(|r| r.name);
        (self.ratio, self.cpu_ratio) = (m.ratio(), m.cpu_ratio());
        self.error = m.wrong.as_ref().map(|w| format!("the result is wrong: {w}"));
    }
}

impl DeviceFigures {
    /// Computes what the series show. On the host by processor time, which other work on the
    /// machine disturbs less.
    pub(crate) fn sum_up(&mut self) {
        let of_cpu_time = self.class == "host"
            && self.steps().all(|(_, b)| b.cpu_seconds.is_some_and(|s| s > 0.0));
        let time = |b: &BenchFigures| if of_cpu_time { b.cpu_seconds } else { b.seconds };
        let mut cliffs = Vec::new();
        for series in self.series() {
            let lines = self.lines(series, time);
            let Some((_, first)) = lines.first() else { continue };
            let steps = first.windows(2).map(|w| {
                let ratio = w[1].1 / w[0].1;
                (ratio.max(1.0 / ratio), w[1].0)
            });
            let Some((worst_step, worst_step_at)) = steps.max_by(|a, b| a.0.total_cmp(&b.0)) else {
                continue;
            };
            let skews = lines[1..].iter().flat_map(|(line, points)| {
                points.iter().filter_map(|(at, time)| {
                    let uniform = first.iter().find(|p| p.0 == *at)?;
                    Some((time / uniform.1, *line, *at))
                })
            });
            let skew = skews.max_by(|a, b| a.0.total_cmp(&b.0));
            cliffs.push(Cliff {
                series,
                worst_step,
                worst_step_at,
                worst_skew: skew.map(|s| s.0),
                worst_skew_line: skew.map(|s| s.1),
                worst_skew_at: skew.map(|s| s.2),
                of_cpu_time,
            });
        }
        self.cliffs = cliffs;
    }

    fn steps(&self) -> impl Iterator<Item = (StepFigures, &BenchFigures)> {
        self.benches.iter().filter_map(|b| Some((b.step?, b))).filter(|(_, b)| b.seconds.is_some())
    }

    /// The series that were measured, in order.
    pub(crate) fn series(&self) -> Vec<&'static str> {
        let mut all = Vec::new();
        for (step, _) in self.steps() {
            if !all.contains(&step.series) {
                all.push(step.series);
            }
        }
        all
    }

    /// The lines of a series with their points by place; a bench without the time has none.
    pub(crate) fn lines(
        &self,
        series: &str,
        time: impl Fn(&BenchFigures) -> Option<f64>,
    ) -> Vec<(&'static str, Vec<(u64, f64)>)> {
        let mut lines: Vec<(&'static str, Vec<(u64, f64)>)> = Vec::new();
        for (step, bench) in self.steps().filter(|(s, _)| s.series == series) {
            let Some(time) = time(bench) else { continue };
            match lines.iter_mut().find(|(line, _)| *line == step.line) {
                Some((_, points)) => points.push((step.at, time)),
                None => lines.push((step.line, vec![(step.at, time)])),
            }
        }
        lines.iter_mut().for_each(|(_, points)| points.sort_by_key(|p| p.0));
        lines
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn bench(name: &str, step: Option<StepFigures>, seconds: Option<f64>) -> BenchFigures {
        BenchFigures {
            name: name.into(),
            what: "floor: 8 bytes a row read",
            step,
            rows: 1000,
            bytes_read: 8000,
            seconds,
            cpu_seconds: seconds,
            bytes_per_second: seconds.map(|s| 8000.0 / s),
            share_of_copy: seconds.map(|s| 8000.0 / s / 1e10),
            ..Default::default()
        }
    }

    /// A run with something of everything.
    pub(crate) fn figures() -> KernelFigures {
        let at = |line, at| Some(StepFigures { series: "group-by by groups", line, at });
        let mut sorted = bench("sort/sort_indices/<i64>", None, Some(0.5));
        sorted.references = vec![ReferenceFigures {
            name: "rayon sort",
            serial: false,
            seconds: Some(0.25),
            all_seconds: vec![0.25],
            cpu_seconds: Some(0.4),
        }];
        sorted.fastest_reference = Some("rayon sort");
        (sorted.ratio, sorted.cpu_ratio) = (Some(2.0), Some(1.25));
        let mut skipped = bench("reduce/sum/f64", None, None);
        skipped.skipped = Some("no 64-bit floats".into());
        let mut wrong = bench("join/inner/large", None, None);
        wrong.error = Some("the result is wrong: value 3".into());
        let mut device = DeviceFigures {
            name: "cpu".into(),
            class: "host",
            model: "a processor".into(),
            driver: String::new(),
            rows: 1000,
            copy_bytes_per_second: 1e10,
            benches: vec![
                sorted,
                skipped,
                wrong,
                bench("cliff/group_by/uniform/2^0", at("uniform", 1), Some(1.0)),
                bench("cliff/group_by/half/2^0", at("half in one group", 1), Some(1.5)),
                bench("cliff/group_by/uniform/2^1", at("uniform", 2), Some(0.5)),
                bench("cliff/group_by/half/2^1", at("half in one group", 2), Some(0.25)),
                bench("cliff/group_by/uniform/2^2", at("uniform", 4), Some(0.6)),
            ],
            cliffs: Vec::new(),
        };
        device.sum_up();
        KernelFigures {
            suite: "kernels",
            commit: Some("abc1234".into()),
            profile: "debug",
            cores: 2,
            machine: "x86_64",
            runs: 3,
            devices: vec![device],
        }
    }

    #[test]
    fn a_cliff_is_the_worst_step_in_either_direction_and_the_worst_skew() {
        let f = figures();
        let [cliff] = &f.devices[0].cliffs[..] else { panic!("{:?}", f.devices[0].cliffs) };
        assert_eq!((cliff.worst_step, cliff.worst_step_at), (2.0, 2));
        assert_eq!((cliff.worst_skew, cliff.worst_skew_at), (Some(1.5), Some(1)));
        assert_eq!(cliff.worst_skew_line, Some("half in one group"));
        assert!(cliff.of_cpu_time);
    }

    #[test]
    fn the_json_names_devices_benches_and_ratios() {
        let value = serde_json::to_value(figures()).unwrap();
        let device = &value["devices"][0];
        assert_eq!((&value["suite"], &device["class"]), (&"kernels".into(), &"host".into()));
        assert_eq!(device["benches"][0]["ratio"], 2.0);
        assert_eq!(device["benches"][0]["bytes_read"], 8000);
        assert_eq!(device["benches"][0]["references"][0]["name"], "rayon sort");
        assert_eq!(device["benches"][3]["step"]["at"], 1);
        assert_eq!(value["commit"], "abc1234");
    }
}
