//! The pages of `--report`: one HTML file each, which needs nothing else.
//!
//! | module | holds |
//! |---|---|
//! | here | the page of a run of statements |
//! | [`lanes`] | its timelines and its memory curve |
//! | [`tasks`] | the page of task graphs |
//! | [`timeline`], [`curve`] | drawings |
//! | [`html`] | head and style, findings, figures, colours |

mod curve;
pub(crate) mod html;
mod lanes;
pub(crate) mod tasks;
mod timeline;

use std::fmt::Write;

use self::html::escape;
use crate::{
    findings,
    record::{RunRecord, StatementRecord},
    size::{format_bytes, format_count, format_seconds},
    sqltext,
};

/// Statements up to which each is shown open, and not behind its heading.
const OPEN: usize = 3;

/// Statements with operators and plans: so many take about a megabyte.
const DETAILED: usize = 40;

/// What the bars of operators mean.
const SPANS: &str = "<p class=\"dim\">From the first work of an operator in a partition to its \
    last; the time of its own, over all threads, is at the right.</p>\n";

/// The page of a run.
pub(crate) fn page(run: &RunRecord) -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found = findings::queries::findings(run, threads);
    let mut out = html::head(&run.title, run.error.as_deref(), &found);
    summary(&mut out, run);
    let many = run.statements.len() > 1;
    if many || run.traces.iter().any(|t| !t.trace.events.is_empty()) {
        let timeline = lanes::of_run(run);
        if !timeline.lanes.is_empty() {
            out.push_str("<h2>Timeline</h2>\n");
            out.push_str(SPANS);
            timeline.draw(&mut out);
        }
    }
    lanes::memory(&mut out, run);
    let detailed = detailed(run);
    if many {
        overview(&mut out, run, &detailed);
    }
    let slowest = run.operators().map(|(_, o)| o.ms).fold(0.0, f64::max);
    for (i, s) in run.statements.iter().enumerate().filter(|(i, _)| detailed[*i]) {
        statement(&mut out, i + 1, s, slowest, run.statements.len() <= OPEN);
    }
    if run.statements.len() > DETAILED {
        let _ = writeln!(
            out,
            "<p class=\"dim\">Only the {DETAILED} slowest statements have parts of their own.</p>"
        );
    }
    out.push_str(html::FOOT);
    out
}

/// Which statements have parts of their own: the slowest, and those that failed.
fn detailed(run: &RunRecord) -> Vec<bool> {
    let mut times: Vec<f64> = run.statements.iter().map(|s| s.seconds).collect();
    times.sort_by(|a, b| b.total_cmp(a));
    let least = times.get(DETAILED).map_or(-1.0, |t| *t);
    run.statements.iter().map(|s| s.seconds > least || s.error.is_some()).collect()
}

// Writing to a String cannot fail: results of `write!` are dropped in this file.

fn summary(out: &mut String, run: &RunRecord) {
    let stats = run.stats();
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_string(), value));
    fact("devices asked for", run.device.clone());
    for d in run.devices.iter().filter(|d| !d.host) {
        let text = format!("held {} of {} at most", format_bytes(d.peak), format_bytes(d.cap));
        fact(&d.name, text);
    }
    fact("time", format_seconds(run.seconds));
    let cpu: Option<f64> = run.statements.iter().map(|s| s.cpu_seconds).sum();
    if let Some(cpu) = cpu.filter(|_| run.seconds > 0.0) {
        let threads = cpu / run.seconds;
        fact("processor time", format!("{}, {threads:.1} threads on average", format_seconds(cpu)));
    }
    fact("statements", run.statements.len().to_string());
    fact("rows returned and written", format_count(stats.rows));
    fact("bytes read", format_bytes(stats.bytes_read));
    if let Some(bytes) = stats.peak_host_bytes {
        fact("peak host memory", format_bytes(bytes));
    }
    let reserved = run.statements.iter().map(|s| s.stats.peak_host_bytes).max();
    let limit =
        run.memory_limit.map_or("no limit".to_string(), |l| format!("of {}", format_bytes(l)));
    fact(
        "reserved by operators",
        format!("{} at most, {limit}", format_bytes(reserved.unwrap_or(0))),
    );
    fact("peak device memory", format_bytes(stats.peak_device_bytes));
    fact("spilled to disk", format_bytes(stats.spilled_bytes));
    if run.dropped_events() > 0 {
        fact("events lost", format_count(run.dropped_events()));
    }
    fact("windlass", env!("CARGO_PKG_VERSION").to_string());
    html::facts(out, &facts);
}

/// The statements with their times.
fn overview(out: &mut String, run: &RunRecord, detailed: &[bool]) {
    out.push_str(
        "<h2>Statements</h2>\n<table><thead><tr><th></th><th>statement</th><th class=\"n\">time\
         </th><th></th><th class=\"n\">rows</th><th class=\"n\">read</th><th class=\"n\">spilled\
         </th></tr></thead><tbody>\n",
    );
    let most = run.statements.iter().map(|s| s.seconds).fold(0.0, f64::max);
    for (i, s) in run.statements.iter().enumerate() {
        let number = match detailed[i] {
            true => format!("<a href=\"#s{0}\">{0}</a>", i + 1),
            false => (i + 1).to_string(),
        };
        let _ = write!(
            out,
            "<tr><td class=\"n\">{number}</td><td class=\"op\">{}</td>\
             <td class=\"n\">{}</td><td>",
            escape(&sqltext::summary(&s.text, 80)),
            format_seconds(s.seconds)
        );
        html::bar(out, s.seconds / most);
        let spilled = s.stats.spilled_bytes;
        let _ = writeln!(
            out,
            "</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n{}\">{}</td></tr>",
            format_count(s.stats.rows),
            format_bytes(s.stats.bytes_read),
            if spilled > 0 { " warn" } else { "" },
            if spilled > 0 { format_bytes(spilled) } else { "–".into() }
        );
    }
    out.push_str("</tbody></table>\n");
}

fn statement(out: &mut String, number: usize, s: &StatementRecord, slowest: f64, open: bool) {
    let heading = format!(
        "Statement {number} (line {}): {}, {} rows",
        s.line,
        format_seconds(s.seconds),
        format_count(s.stats.rows)
    );
    match open {
        true => {
            let _ = writeln!(out, "<h2 id=\"s{number}\">{heading}</h2>");
        }
        false => {
            let _ = writeln!(
                out,
                "<details id=\"s{number}\"><summary><b>{heading}</b> <span class=\"dim\">{}</span>\
                 </summary>",
                escape(&sqltext::summary(&s.text, 70))
            );
        }
    }
    let _ = writeln!(out, "<pre class=\"sql\">{}</pre>", escape(&s.text));
    if let Some(error) = &s.error {
        let _ = writeln!(out, "<pre class=\"error\">failed: {}</pre>", escape(error));
    }
    if let Some(reason) = &s.stats.fallback {
        let _ = writeln!(out, "<p>Run again: {}</p>", escape(reason));
    }
    let timeline = lanes::of_statement(s);
    if !timeline.lanes.is_empty() {
        out.push_str("<h3>Operators over time</h3>\n");
        out.push_str(SPANS);
        timeline.draw(out);
    }
    operators(out, s, slowest);
    placement(out, s);
    if !s.stats.plan.is_empty() {
        let _ = writeln!(
            out,
            "<details><summary>Physical plan</summary><pre>{}</pre></details>",
            escape(&s.stats.plan)
        );
    }
    if !open {
        out.push_str("</details>\n");
    }
}

fn operators(out: &mut String, s: &StatementRecord, slowest: f64) {
    if s.stats.operators.is_empty() {
        return;
    }
    let spills = s.stats.operators.iter().any(|o| o.spilled_bytes > 0);
    let _ = writeln!(
        out,
        "<h3>Operators</h3>\n<table><thead><tr><th>operator</th><th>device</th>\
         <th class=\"n\">rows</th><th class=\"n\">bytes</th>{}<th class=\"n\">time</th><th></th>\
         <th>reason</th></tr></thead><tbody>",
        if spills { "<th class=\"n\">spilled</th>" } else { "" }
    );
    for o in &s.stats.operators {
        let _ = write!(
            out,
            "<tr>{}<td><span class=\"device\">{}</span></td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td>",
            indented(o.depth, &o.name, "op line"),
            escape(&o.device),
            format_count(o.rows),
            format_bytes(o.bytes)
        );
        if spills {
            let text =
                if o.spilled_bytes > 0 { format_bytes(o.spilled_bytes) } else { "–".into() };
            let _ = write!(out, "<td class=\"n\">{text}</td>");
        }
        let _ = write!(out, "<td class=\"n\">{}</td><td>", format_seconds(o.ms / 1e3));
        html::bar(out, if slowest > 0.0 { o.ms / slowest } else { 0.0 });
        let _ = writeln!(out, "</td><td class=\"why\">{}</td></tr>", escape(&o.reason));
    }
    out.push_str("</tbody></table>\n");
}

/// A cell of a plan's tree.
fn indented(depth: usize, text: &str, class: &str) -> String {
    // In tenths of a letter's height; very deep plans stay within the table.
    let left = 6 + 9 * depth.min(20);
    let (whole, tenth) = (left / 10, left % 10);
    format!("<td class=\"{class}\" style=\"padding-left:{whole}.{tenth}em\">{}</td>", escape(text))
}

fn placement(out: &mut String, s: &StatementRecord) {
    if s.stats.decisions.is_empty() {
        return;
    }
    out.push_str(
        "<details><summary>Placement</summary><table><thead><tr><th>operator</th>\
         <th>device</th><th>estimated cost</th><th>reason</th></tr></thead><tbody>\n",
    );
    for d in &s.stats.decisions {
        let estimates: Vec<String> = d
            .estimates
            .iter()
            .map(|e| format!("{} {}", e.device, format_seconds(e.total_ms / 1e3)))
            .collect();
        let _ = writeln!(
            out,
            "<tr>{}<td><span class=\"device\">{}</span></td><td>{}</td>\
             <td class=\"why\">{}</td></tr>",
            indented(d.depth, &d.operator, "op"),
            escape(&d.device),
            escape(&estimates.join(", ")),
            escape(&d.reason)
        );
    }
    out.push_str("</tbody></table></details>\n");
}

#[cfg(test)]
mod tests {
    use windlass::{JobStats, OperatorStats, Span};

    use super::*;
    use crate::{record::DeviceRecord, sample::Series};

    fn statement(number: usize) -> StatementRecord {
        let span = |partition| Span {
            partition,
            start_ms: 1e12 + 500.0 * number as f64 + 10.0,
            end_ms: 1e12 + 500.0 * number as f64 + 400.0,
        };
        let operator = OperatorStats {
            name: "FilterExec".into(),
            device: "wgpu:0".into(),
            rows: 1234,
            ms: 10.0,
            reason: "faster there".into(),
            spans: (0..3).map(span).collect(),
            ..Default::default()
        };
        StatementRecord {
            text: "select 1 where 1 < 2".into(),
            line: 3,
            began_ms: 1e12 + 500.0 * number as f64,
            seconds: 0.5,
            cpu_seconds: None,
            error: None,
            stats: JobStats {
                operators: vec![operator],
                plan: "Plan <x>".into(),
                ..Default::default()
            },
        }
    }

    #[test]
    fn the_page_holds_the_operators_and_escapes_the_sql() {
        let device = DeviceRecord { name: "wgpu:0".into(), host: false, cap: 4096, peak: 1024 };
        let series = Series { name: "process, resident".into(), points: vec![(1e12, 1 << 20)] };
        let run = RunRecord {
            title: "job.sql".into(),
            statements: vec![statement(0)],
            devices: vec![device],
            memory: vec![series],
            ..Default::default()
        };
        let html = page(&run);
        for part in [
            "1 &lt; 2",
            "FilterExec",
            "wgpu:0",
            "1,234",
            "width=\"100.0%\"",
            "faster there",
            "&lt;x&gt;",
            "<h2>Findings</h2>",
            "<h3>Operators over time</h3>",
            "held 1.0 KiB of 4.0 KiB at most",
            "aria-label=\"memory over time\"",
        ] {
            assert!(html.contains(part), "{part} is missing");
        }
        assert!(!html.contains("http"), "the page must need nothing from elsewhere");
        assert!(!html.contains("NaN") && !html.contains("inf"));
    }

    #[test]
    fn many_statements_have_an_overview_and_are_closed() {
        let mut run =
            RunRecord { statements: (0..60).map(statement).collect(), ..RunRecord::default() };
        for (i, s) in run.statements.iter_mut().enumerate() {
            s.seconds += i as f64 / 1e3;
        }
        run.statements[0].error = Some("it failed".into());
        let html = page(&run);
        assert!(html.contains("<h2>Statements</h2>") && html.contains("<h2>Timeline</h2>"));
        assert_eq!(html.matches("<details id=").count(), DETAILED + 1);
        assert!(html.contains("failed: it failed") && html.contains("id=\"s60\""));
        assert!(html.contains("Only the 40 slowest"));
        assert_eq!(html.matches("<details").count(), html.matches("</details>").count());
        assert!(html.len() < 500_000, "{}", html.len());
        let empty = page(&RunRecord::default());
        assert!(empty.ends_with(html::FOOT) && !empty.contains("NaN") && !empty.contains("inf"));
    }
}
