//! The page of `--report`: one HTML file that needs nothing else.

use std::fmt::Write;

use crate::{
    record::{RunRecord, StatementRecord},
    size::{format_bytes, format_count, format_seconds},
};

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--bar:#3b82c4;--dim:#888}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th{text-align:left;font-weight:600}td,th{padding:.25rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.op{white-space:pre-wrap}td.why{color:var(--dim)}
pre.error{border-color:#c33;white-space:pre-wrap}
pre{overflow-x:auto;padding:.8rem;border:1px solid var(--line);border-radius:6px;font-size:.82rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem}dt{color:var(--dim)}dd{margin:0}
.bar{width:9rem;height:.8rem}.device{padding:0 .45rem;border:1px solid var(--line);border-radius:99px;white-space:nowrap}
";

/// The page of a run.
pub(crate) fn page(run: &RunRecord) -> String {
    let mut out = String::new();
    let title = escape(&run.title);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>windlass: {title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    );
    if let Some(error) = &run.error {
        let _ = writeln!(out, "<pre class=\"error\">failed: {}</pre>", escape(error));
    }
    summary(&mut out, run);
    let slowest = run.operators().map(|(_, o)| o.ms).fold(0.0, f64::max);
    for (i, s) in run.statements.iter().enumerate() {
        statement(&mut out, i + 1, s, slowest);
    }
    out.push_str("</body></html>\n");
    out
}

fn summary(out: &mut String, run: &RunRecord) {
    let stats = run.stats();
    let mut rows = vec![
        ("devices asked for", escape(&run.device)),
        ("time", format_seconds(run.seconds)),
        ("statements", run.statements.len().to_string()),
        ("rows returned and written", format_count(stats.rows)),
        ("bytes read", format_bytes(stats.bytes_read)),
        ("peak device memory", format_bytes(stats.peak_device_bytes)),
        ("spilled to disk", format_bytes(stats.spilled_bytes)),
        ("windlass", env!("CARGO_PKG_VERSION").to_string()),
    ];
    if let Some(bytes) = stats.peak_host_bytes {
        rows.insert(5, ("peak host memory", format_bytes(bytes)));
    }
    out.push_str("<dl>");
    for (name, value) in rows {
        let _ = write!(out, "<dt>{name}</dt><dd>{value}</dd>");
    }
    out.push_str("</dl>\n");
}

fn statement(out: &mut String, number: usize, s: &StatementRecord, slowest: f64) {
    let _ = write!(
        out,
        "<h2>Statement {number} (line {}): {}, {} rows</h2>\n<pre>{}</pre>\n",
        s.line,
        format_seconds(s.seconds),
        format_count(s.stats.rows),
        escape(&s.text)
    );
    if let Some(error) = &s.error {
        let _ = writeln!(out, "<pre class=\"error\">failed: {}</pre>", escape(error));
    }
    if let Some(reason) = &s.stats.fallback {
        let _ = writeln!(out, "<p>Run again on the CPU: {}</p>", escape(reason));
    }
    if !s.stats.operators.is_empty() {
        out.push_str(
            "<table><thead><tr><th>operator</th><th>device</th><th class=\"n\">rows</th>\
             <th class=\"n\">bytes</th><th class=\"n\">time</th><th></th><th>reason</th></tr>\
             </thead><tbody>\n",
        );
        for o in &s.stats.operators {
            let share = if slowest > 0.0 { o.ms / slowest * 100.0 } else { 0.0 };
            let _ = writeln!(
                out,
                "<tr><td class=\"op\">{}{}</td><td><span class=\"device\">{}</span></td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td><svg class=\"bar\" role=\"img\" aria-label=\"{share:.0}%\"><rect \
                 width=\"{share:.1}%\" height=\"100%\" rx=\"2\" fill=\"var(--bar)\"/></svg></td>\
                 <td class=\"why\">{}</td></tr>",
                "  ".repeat(o.depth),
                escape(&o.name),
                escape(&o.device),
                format_count(o.rows),
                format_bytes(o.bytes),
                format_seconds(o.ms / 1e3),
                escape(&o.reason)
            );
        }
        out.push_str("</tbody></table>\n");
    }
    placement(out, s);
    if !s.stats.plan.is_empty() {
        let _ = writeln!(
            out,
            "<details><summary>Physical plan</summary><pre>{}</pre></details>",
            escape(&s.stats.plan)
        );
    }
}

fn placement(out: &mut String, s: &StatementRecord) {
    if s.stats.decisions.is_empty() {
        return;
    }
    out.push_str(
        "<details open><summary>Placement</summary><table><thead><tr><th>operator</th>\
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
            "<tr><td class=\"op\">{}{}</td><td><span class=\"device\">{}</span></td><td>{}</td>\
             <td class=\"why\">{}</td></tr>",
            "  ".repeat(d.depth),
            escape(&d.operator),
            escape(&d.device),
            escape(&estimates.join(", ")),
            escape(&d.reason)
        );
    }
    out.push_str("</tbody></table></details>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use windlass::{JobStats, OperatorStats};

    use super::*;

    #[test]
    fn the_page_holds_the_operators_and_escapes_the_sql() {
        let operator = OperatorStats {
            name: "FilterExec".into(),
            device: "wgpu:0".into(),
            rows: 1234,
            ms: 10.0,
            reason: "faster there".into(),
            ..Default::default()
        };
        let run = RunRecord {
            title: "job.sql".into(),
            statements: vec![StatementRecord {
                text: "select 1 where 1 < 2".into(),
                line: 3,
                began_ms: 0.0,
                seconds: 0.5,
                error: None,
                stats: JobStats {
                    operators: vec![operator],
                    plan: "Plan <x>".into(),
                    ..Default::default()
                },
            }],
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
        ] {
            assert!(html.contains(part), "{part} is missing");
        }
        assert!(!html.contains("http"), "the page must need nothing from elsewhere");
    }
}
