//! Progress on a terminal: one line on standard error while a statement runs.

use std::{
    collections::HashMap,
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use windlass::{Progress, ProgressSink};

use crate::size::{format_bytes, format_count, format_seconds};

/// Statements shorter than this show nothing: a line that flashes by tells nobody anything.
const QUIET_FOR: Duration = Duration::from_millis(300);
/// Operators named at once.
const NAMED: usize = 3;

/// A progress line.
pub(crate) struct Line {
    bar: ProgressBar,
    started: Instant,
    title: String,
    seen: Mutex<HashMap<usize, (u64, u64)>>,
}

/// Whether progress can be shown: standard error is a terminal, and rows of a result are
/// not printed into the same terminal meanwhile.
pub(crate) fn wanted(quiet: bool, rows_to_terminal: bool) -> bool {
    !quiet && !rows_to_terminal && std::io::stderr().is_terminal()
}

impl Line {
    /// A line for one statement, invisible at first.
    pub(crate) fn new(title: String) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style("{spinner:.cyan} {wide_msg}"));
        Self { bar, started: Instant::now(), title, seen: Mutex::default() }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl ProgressSink for Line {
    fn update(&self, p: &Progress) {
        if self.started.elapsed() < QUIET_FOR {
            return;
        }
        match p.bytes_total {
            Some(total) if total > 0 => {
                if self.bar.length() != Some(total) {
                    self.bar.set_length(total);
                    self.bar.set_style(style("{spinner:.cyan} {bar:20.cyan/dim} {wide_msg}"));
                }
                self.bar.set_position(p.bytes_read.min(total));
            }
            _ => self.bar.set_style(style("{spinner:.cyan} {wide_msg}")),
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.bar.set_message(message(p, &self.title, &mut seen));
        // Shown when all is set: the first picture is a whole one.
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        self.bar.tick();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// What the line says. An operator is current when its figures changed since the last look.
fn message(p: &Progress, title: &str, seen: &mut HashMap<usize, (u64, u64)>) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut devices: Vec<&str> = Vec::new();
    for (i, o) in p.operators.iter().enumerate() {
        let now = (o.rows, o.ms.to_bits());
        if seen.insert(i, now) != Some(now) && (o.rows > 0 || o.ms > 0.0) {
            if !names.contains(&o.name.as_str()) {
                names.push(&o.name);
            }
            if !devices.contains(&o.device.as_str()) {
                devices.push(&o.device);
            }
        }
    }
    let mut parts = vec![format_seconds(p.seconds), format!("{} rows", format_count(p.rows_read))];
    if p.bytes_read > 0 {
        parts.push(match p.bytes_total {
            Some(t) if t > 0 => format!("{} of {}", format_bytes(p.bytes_read), format_bytes(t)),
            _ => format_bytes(p.bytes_read),
        });
    }
    if !devices.is_empty() {
        parts.push(devices.join(", "));
    }
    if !names.is_empty() {
        let more = names.len().saturating_sub(NAMED);
        let mut text = names[..names.len().min(NAMED)].join(", ");
        if more > 0 {
            text += &format!(" and {more} more");
        }
        parts.push(text);
    }
    format!("{title}  {}", parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use windlass::OperatorStats;

    use super::*;

    #[test]
    fn the_line_names_what_moved() {
        let op = |name: &str, device: &str, rows| OperatorStats {
            name: name.into(),
            device: device.into(),
            rows,
            ..Default::default()
        };
        let mut p = Progress {
            seconds: 1.5,
            rows_read: 1_000_000,
            bytes_read: 1 << 20,
            bytes_total: Some(4 << 20),
            operators: vec![
                op("Sort", "cpu", 0),
                op("Aggregate", "wgpu:0", 5),
                op("Scan", "cpu", 9),
            ],
            ..Default::default()
        };
        let mut seen = HashMap::new();
        let text = message(&p, "[1/2]", &mut seen);
        assert_eq!(
            text,
            "[1/2]  1.50 s · 1,000,000 rows · 1.0 MiB of 4.0 MiB · wgpu:0, cpu · Aggregate, Scan"
        );
        p.operators[2].rows = 10;
        let text = message(&p, "", &mut seen);
        assert!(text.ends_with("cpu · Scan"), "{text}");
    }
}
