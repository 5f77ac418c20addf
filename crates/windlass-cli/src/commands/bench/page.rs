//! The page of `windlass bench --report`: one HTML file that needs nothing else.

use std::fmt::Write;

use crate::{
    commands::bench::{
        draw::{escape, head, ratios},
        figures::{Figures, OURS},
    },
    size::{format_bytes, format_count, format_seconds},
};

/// The page of a run.
pub(crate) fn page(f: &Figures) -> String {
    let mut out = head(&format!("windlass bench: {}", f.title));
    summary(&mut out, f);
    plot(&mut out, f);
    times(&mut out, f);
    operators(&mut out, f);
    out.push_str("</body></html>\n");
    out
}

// Writing to a String cannot fail: results of `write!` are dropped in this file.

fn summary(out: &mut String, f: &Figures) {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_string(), escape(&value)));
    let forced = if f.forced { ", placement forced" } else { "" };
    row("device", format!("{}{forced}", f.device));
    for d in &f.devices {
        row("opened", format!("{} ({}): {}", d.name, d.class, d.model));
    }
    row("host", format!("{} hardware threads, {}", f.cores, f.machine));
    if let Some(commit) = &f.commit {
        row("commit", format!("{commit}, {} build", f.profile));
    }
    row("runs", format!("{} of each question by each engine, the fastest counts", f.runs));
    for e in &f.engines {
        let absent = || format!("absent: {}", e.absent.as_deref().unwrap_or_default());
        row(&e.name, e.version.clone().unwrap_or_else(absent));
    }
    if let (Some(mean), Some(worst)) = (f.geometric_mean, f.worst()) {
        row("time of the fastest peer", format!("× {mean:.2} (geometric mean)"));
        let ratio = worst.ratio.unwrap_or(0.0);
        row("worst question", format!("{} × {ratio:.2}", worst.question));
    }
    for a in &f.against {
        let cpu = a.cpu_geometric_mean.map_or(String::new(), |c| format!(", CPU time × {c:.2}"));
        let text = format!("× {:.2}{cpu} over {} questions", a.geometric_mean, a.questions);
        row(&format!("against {}", a.engine), text);
    }
    out.push_str("<dl>");
    for (name, value) in rows {
        let _ = write!(out, "<dt>{}</dt><dd>{value}</dd>", escape(&name));
    }
    out.push_str("</dl>\n");
    for line in f.differences() {
        let _ = writeln!(out, "<p class=\"wrong\">Results differ: {}</p>", escape(&line));
    }
    if f.devices.iter().any(|d| d.class == "software" || d.class == "emulated") {
        out.push_str("<p>A software or emulated device tells nothing of a GPU's speed.</p>\n");
    }
}

fn plot(out: &mut String, f: &Figures) {
    let rated = f.questions.iter().filter_map(|q| Some((q.question.as_str(), q.ratio?)));
    ratios(out, "Our time as a multiple of the fastest peer's", &rated.collect::<Vec<_>>());
}

fn times(out: &mut String, f: &Figures) {
    let shown: Vec<&str> =
        f.engines.iter().filter(|e| e.absent.is_none()).map(|e| e.name.as_str()).collect();
    out.push_str("<h2>Seconds and peak memory</h2>\n<table><thead><tr><th>question</th>");
    for name in &shown {
        let _ = write!(out, "<th class=\"n\">{}</th>", escape(name));
    }
    out.push_str("<th class=\"n\">ratio</th><th class=\"n\">rows</th></tr></thead><tbody>\n");
    for q in &f.questions {
        let _ = write!(out, "<tr><td>{}</td>", escape(&q.question));
        let best = q.results.iter().filter_map(|r| r.seconds).min_by(f64::total_cmp);
        for name in &shown {
            let Some(r) = q.of(name) else {
                out.push_str("<td class=\"n\">–</td>");
                continue;
            };
            let class = if r.seconds.is_some() && r.seconds == best { " best" } else { "" };
            let text = match (r.seconds, &r.error) {
                (Some(s), _) => format!("{s:.3}"),
                (None, Some(e)) => format!("<span title=\"{}\">failed</span>", escape(e)),
                (None, None) => "–".to_string(),
            };
            let memory = r.peak_bytes.map_or(String::new(), |b| format!(" · {}", format_bytes(b)));
            let wrong = if r.differs.is_some() { " <span class=\"wrong\">≠</span>" } else { "" };
            let _ = write!(out, "<td class=\"n{class}\">{text}{memory}{wrong}</td>");
        }
        let ratio = q.ratio.map_or("–".to_string(), |r| format!("{r:.2}"));
        let rows = q.of(OURS).and_then(|o| o.rows).map_or("–".to_string(), format_count);
        let _ = writeln!(out, "<td class=\"n\">{ratio}</td><td class=\"n\">{rows}</td></tr>");
    }
    out.push_str("</tbody></table>\n");
}

fn operators(out: &mut String, f: &Figures) {
    out.push_str("<h2>Our operators</h2>\n");
    for q in &f.questions {
        let _ = write!(
            out,
            "<details><summary>{}</summary><table><thead><tr><th>operator</th><th>device</th>\
             <th class=\"n\">rows</th><th class=\"n\">busy</th><th>reason</th></tr></thead><tbody>",
            escape(&q.question)
        );
        for o in &q.operators {
            let _ = write!(
                out,
                "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td>{}</td></tr>",
                escape(&o.name),
                escape(&o.device),
                format_count(o.rows),
                format_seconds(o.ms / 1e3),
                escape(&o.reason)
            );
        }
        out.push_str("</tbody></table></details>\n");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::commands::bench::figures::{
        DeviceLine, EngineFigures, EngineLine, Operator, QuestionFigures,
    };

    /// A run with something of everything.
    pub(crate) fn figures() -> Figures {
        let result = |engine: &str, seconds| EngineFigures {
            engine: engine.into(),
            seconds,
            rows: Some(4),
            peak_bytes: Some(1 << 20),
            ..Default::default()
        };
        let mut q = QuestionFigures {
            question: "q01".into(),
            results: vec![
                result(OURS, Some(0.5)),
                EngineFigures {
                    differs: Some("column 2 has another checksum".into()),
                    ..result("duckdb", Some(0.25))
                },
                EngineFigures {
                    error: Some("out of memory".into()),
                    ..EngineFigures { engine: "datafusion".into(), ..Default::default() }
                },
            ],
            operators: vec![Operator {
                name: "DeviceAggregateExec".into(),
                device: "wgpu:0".into(),
                rows: 4,
                ms: 1.5,
                reason: "faster <there>".into(),
            }],
            ..Default::default()
        };
        q.compare();
        let engine = |name: &str, version: Option<&str>, absent: Option<&str>| EngineLine {
            name: name.into(),
            version: version.map(Into::into),
            absent: absent.map(Into::into),
        };
        let mut f = Figures {
            suite: "tpch",
            title: "TPC-H scale 0.01".into(),
            scale: Some(0.01),
            rows: None,
            device: "wgpu:0".into(),
            forced: false,
            devices: vec![DeviceLine {
                name: "wgpu:0".into(),
                class: "software",
                model: "llvmpipe".into(),
            }],
            commit: Some("abc1234".into()),
            profile: "debug",
            cores: 2,
            machine: "x86_64",
            runs: 2,
            engines: vec![
                engine(OURS, Some("0.1.0"), None),
                engine("duckdb", Some("2.0.0"), None),
                engine("datafusion", Some("55.0.0"), None),
                engine("polars", None, Some("no module")),
            ],
            questions: vec![q],
            geometric_mean: None,
            against: Vec::new(),
        };
        f.sum_up();
        f
    }

    #[test]
    fn the_page_draws_the_ratio_and_tells_what_went_wrong() {
        let html = page(&figures());
        for part in [
            "<svg",
            ">2.00</text>",
            "× 2.00 (geometric mean)",
            "absent: no module",
            "Results differ: q01 duckdb",
            "title=\"out of memory\"",
            "faster &lt;there&gt;",
            "tells nothing of a GPU",
            "abc1234",
        ] {
            assert!(html.contains(part), "{part} is missing in:\n{html}");
        }
        assert!(!html.contains("http"), "the page must need nothing from elsewhere");
    }

    #[test]
    fn the_json_names_engines_devices_and_ratios() {
        let value = serde_json::to_value(figures()).unwrap();
        assert_eq!(value["devices"][0]["class"], "software");
        assert_eq!(value["questions"][0]["ratio"], 2.0);
        assert_eq!(value["questions"][0]["results"][1]["engine"], "duckdb");
        assert_eq!(value["against"][0]["engine"], "duckdb");
        assert_eq!(value["engines"][3]["absent"], "no module");
        assert_eq!(value["commit"], "abc1234");
    }
}
