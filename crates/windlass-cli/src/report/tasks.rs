//! The page of a run of task graphs.

use std::{collections::BTreeMap, fmt::Write};

use windlass::runtime::EventKind;

use super::{
    curve, html,
    timeline::{Bar, Lane, Timeline},
};
use crate::{
    findings,
    size::{format_bytes, format_count, format_seconds},
    task_run::{GroupSummary, LaneSummary, Summary, TaskRun, group, span},
};

/// Groups that have a colour of their own; copies and failed tries have one each, and the last is
/// for the other groups.
const GROUPS: usize = html::COLORS - 3;
/// Workers whose lines a table has; the timeline has as many lanes.
const LINES: usize = 120;

/// The page of a run.
pub(crate) fn page(run: &TaskRun) -> String {
    let s = run.summary();
    let found = findings::tasks::findings(run, &s);
    let mut out = html::head(&run.title, None, &found);
    facts(&mut out, run, &s);
    if !s.lanes.is_empty() {
        out.push_str("<h2>Timeline</h2>\n");
        timeline(run, &s).draw(&mut out);
    }
    memory(&mut out, run, &s);
    groups(&mut out, &s);
    workers(&mut out, &s);
    out.push_str(html::FOOT);
    out
}

fn facts(out: &mut String, run: &TaskRun, s: &Summary) {
    let (tasks, failed) = s.tries();
    let busy = s.sum(|l| l.busy + l.copying) / (s.seconds * run.workers as f64);
    let mut facts = run.facts.clone();
    let mut fact = |name: &str, value: String| facts.push((name.to_string(), value));
    fact("time", format_seconds(s.seconds));
    fact("tasks", format_count(tasks));
    fact("tries that failed", format_count(failed));
    fact("workers", format_count(run.workers as u64));
    if busy.is_finite() {
        fact("workers busy", format!("{:.0}%", busy * 100.0));
    }
    fact("copied between devices", format_bytes(s.lanes.iter().map(|l| l.copied).sum()));
    fact("spilled to disk", format_bytes(run.spilled_bytes));
    if run.trace.dropped > 0 {
        fact("events lost", format_count(run.trace.dropped));
    }
    fact("windlass", env!("CARGO_PKG_VERSION").to_string());
    html::facts(out, &facts);
}

/// The colours: groups by their time, then the rest, copies and failures.
fn kinds(s: &Summary) -> Vec<String> {
    let mut kinds: Vec<String> = s.groups.iter().take(GROUPS).map(|g| g.name.clone()).collect();
    kinds.resize(GROUPS, String::new());
    kinds.extend(["copies", "failed tries", "other tasks"].map(String::from));
    kinds
}

fn timeline(run: &TaskRun, s: &Summary) -> Timeline {
    let kinds = kinds(s);
    let mut of_group: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, g) in s.groups.iter().enumerate() {
        of_group.insert(&g.name, if i < GROUPS { i } else { GROUPS + 2 });
    }
    let slots = |device: &str| s.lanes.iter().filter(|l| l.device == device).count();
    let mut lanes: Vec<Lane> = Vec::new();
    let mut place: BTreeMap<(&str, u64), usize> = BTreeMap::new();
    // Devices of one slot each need no heading each.
    let single = s.lanes.iter().all(|l| slots(&l.device) == 1);
    let mut number = 0;
    for (i, l) in s.lanes.iter().enumerate() {
        number = if i > 0 && s.lanes[i - 1].device == l.device { number + 1 } else { 0 };
        place.insert((&l.device, l.lane), i);
        lanes.push(Lane {
            group: if single { "devices".to_string() } else { l.device.clone() },
            label: if single { l.device.clone() } else { format!("worker {number}") },
            depth: 1,
            note: format!("{:.0}% busy", (l.busy + l.copying) / s.seconds * 100.0),
            bars: Vec::new(),
        });
    }
    for e in &run.trace.events {
        let kind = match e.kind {
            EventKind::Task => of_group[group(&e.name)],
            EventKind::Transfer => GROUPS,
            EventKind::Failed => GROUPS + 1,
            _ => continue,
        };
        let (start, end) = span(e);
        let what = match e.kind {
            EventKind::Transfer => format!("{}, copy of {}", e.name, format_bytes(e.bytes)),
            EventKind::Failed => format!("{}, failed", e.name),
            _ => e.name.clone(),
        };
        let bar = Bar { start: start - s.began, end: end - s.began, kind, title: what };
        lanes[place[&(e.device.as_str(), e.lane)]].bars.push(bar);
    }
    Timeline { seconds: s.seconds, kinds, lanes }
}

/// The memory of the devices: a line each where they have colours, else their sum; and that of
/// the process.
fn memory(out: &mut String, run: &TaskRun, s: &Summary) {
    let mut lines: BTreeMap<(&str, &str), Vec<(f64, u64)>> = BTreeMap::new();
    for e in run.trace.events.iter().filter(|e| e.kind == EventKind::Memory) {
        let at = (e.at.as_secs_f64() - s.began).max(0.0);
        lines.entry((&e.device, &e.name)).or_default().push((at, e.bytes));
    }
    lines.retain(|_, points| points.iter().any(|p| p.1 > 0));
    if lines.is_empty() {
        return;
    }
    let (mut shown, devices): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|((d, _), _)| d.is_empty());
    let alone = devices.len() == 1;
    if devices.len() + shown.len() < html::COLORS {
        shown.extend(devices);
    } else {
        let sum = sum(devices.iter().flat_map(|((device, _), points)| {
            points.iter().map(move |(at, bytes)| (*at, *device, *bytes))
        }));
        shown.push((("", "all devices together"), sum));
    }
    let line = |((device, name), points): ((&str, &str), Vec<(f64, u64)>)| curve::Line {
        name: if device.is_empty() { name.to_string() } else { device.to_string() },
        points,
        filled: name == "all devices together" || alone && !device.is_empty(),
    };
    let lines: Vec<_> = shown.into_iter().map(line).collect();
    out.push_str("<h2>Memory of results and running tasks</h2>\n");
    curve::draw(out, &lines, s.seconds, None);
}

/// The sum of all devices' bytes whenever one of them changes.
fn sum<'a>(changes: impl Iterator<Item = (f64, &'a str, u64)>) -> Vec<(f64, u64)> {
    let mut changes: Vec<_> = changes.collect();
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut now, mut total) = (BTreeMap::new(), 0);
    let add = |(at, device, bytes)| {
        total = total + bytes - now.insert(device, bytes).unwrap_or(0);
        (at, total)
    };
    changes.into_iter().map(add).collect()
}

fn groups(out: &mut String, s: &Summary) {
    if s.groups.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Groups of tasks</h2>\n<table><thead><tr><th>group</th><th class=\"n\">tasks</th>\
         <th class=\"n\">failed</th><th class=\"n\">time</th><th></th><th class=\"n\">middle</th>\
         <th class=\"n\">longest</th><th class=\"n\">results</th></tr></thead><tbody>\n",
    );
    let most = s.groups.iter().map(|g| g.seconds).fold(0.0, f64::max);
    for g in s.groups.iter().take(LINES) {
        let GroupSummary { name, tasks, failed, seconds, bytes, median, longest } = g;
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n{}\">{}</td><td class=\"n\">{}\
             </td><td>",
            html::escape(name),
            format_count(*tasks),
            if *failed > 0 { " warn" } else { "" },
            format_count(*failed),
            format_seconds(*seconds)
        );
        html::bar(out, seconds / most);
        let _ = writeln!(
            out,
            "</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            time(*median),
            time(*longest),
            format_bytes(*bytes)
        );
    }
    out.push_str("</tbody></table>\n");
    more(out, s.groups.len());
}

fn workers(out: &mut String, s: &Summary) {
    if s.lanes.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Workers</h2>\n<table><thead><tr><th>device</th><th class=\"n\">tasks</th>\
         <th class=\"n\">failed</th><th class=\"n\">busy</th><th></th><th class=\"n\">copies</th>\
         <th class=\"n\">copied</th><th class=\"n\">last ended</th></tr></thead><tbody>\n",
    );
    for l in s.lanes.iter().take(LINES) {
        let LaneSummary { device, tasks, failed, busy, copying, copied, ended, .. } = l;
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n{}\">{}</td><td class=\"n\">{}\
             </td><td>",
            html::escape(device),
            format_count(*tasks),
            if *failed > 0 { " warn" } else { "" },
            format_count(*failed),
            format_seconds(*busy)
        );
        html::bar(out, busy / s.seconds);
        let _ = writeln!(
            out,
            "</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            format_seconds(*copying),
            format_bytes(*copied),
            format_seconds(*ended)
        );
    }
    out.push_str("</tbody></table>\n");
    more(out, s.lanes.len());
}

fn more(out: &mut String, all: usize) {
    if all > LINES {
        let n = format_count((all - LINES) as u64);
        let _ = writeln!(out, "<p class=\"dim\">{n} more are not listed.</p>");
    }
}

/// The time of a task, which may be far below a millisecond.
fn time(seconds: f64) -> String {
    if seconds < 1e-4 { format!("{:.1} µs", seconds * 1e6) } else { format_seconds(seconds) }
}

#[cfg(test)]
mod tests {
    use windlass::runtime::bench::simulated;

    use super::*;

    #[test]
    fn a_page_of_eight_devices_and_5_000_tasks_is_whole_and_small() {
        let (simulated, trace) = simulated::stages(5_000, 8, 1).unwrap();
        let run = TaskRun {
            title: "stages <8>".into(),
            facts: vec![("seed".into(), "1".into())],
            trace,
            workers: 8,
            spilled_bytes: 0,
        };
        let html = page(&run);
        assert!(html.len() < 1_000_000, "{} bytes", html.len());
        let tasks = format_count(simulated.report.tasks);
        for part in [
            "stages &lt;8&gt;",
            "<h2>Timeline</h2>",
            "aria-label=\"memory over time\"",
            "gpu0",
            "cpu7",
            "load-large",
            "combine",
            "copies",
            "failed and were made again",
            &tasks,
        ] {
            assert!(html.contains(part), "{part} is missing");
        }
        assert!(!html.contains("http"), "the page must need nothing from elsewhere");
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        assert!(!html.contains("NaN") && !html.contains("inf"));
    }

    #[test]
    fn sums_follow_every_device() {
        let changes = [(2.0, "a", 1), (0.0, "a", 5), (1.0, "b", 7), (3.0, "b", 0)];
        let sums = sum(changes.into_iter());
        assert_eq!(sums, [(0.0, 5), (1.0, 12), (2.0, 8), (3.0, 1)]);
    }

    #[test]
    fn a_run_in_which_nothing_happened_has_a_page() {
        let html = page(&TaskRun::default());
        assert!(html.ends_with(html::FOOT) && !html.contains("NaN"));
    }
}
