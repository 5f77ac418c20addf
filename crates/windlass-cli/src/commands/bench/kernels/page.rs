//! The page of `windlass bench kernels --report`.

use std::fmt::Write;

use super::figures::{BenchFigures, DeviceFigures, KernelFigures};
use crate::{
    commands::bench::draw::{self, Line, escape, head},
    size::{format_bytes, format_count},
};

/// The page of a run.
pub(crate) fn page(f: &KernelFigures) -> String {
    let mut out = head("windlass bench: kernels");
    out.push_str("<dl>");
    let mut row = |name: &str, value: String| {
        // Writing to a String cannot fail: results of `write!` are dropped in this file.
        let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(&value));
    };
    row("host", format!("{} hardware threads, {}", f.cores, f.machine));
    if let Some(commit) = &f.commit {
        row("commit", format!("{commit}, {} build", f.profile));
    }
    row(
        "runs",
        format!("{} of each bench and of each reference in turns, the fastest counts", f.runs),
    );
    row("rate", "the bytes of the inputs and results, each once, over the time".to_string());
    row(
        "ratio",
        "our time over the fastest reference's; one that uses one core counts as if all cores \
         shared it without loss"
            .to_string(),
    );
    out.push_str("</dl>\n");
    for d in &f.devices {
        device(&mut out, d);
    }
    out.push_str("</body></html>\n");
    out
}

fn device(out: &mut String, d: &DeviceFigures) {
    let _ = writeln!(
        out,
        "<h2>{}: {}, {}</h2>\n<p>A copy within it reads and writes {}/s.</p>",
        escape(&d.name),
        d.class,
        escape(&d.model),
        format_bytes(d.copy_bytes_per_second as u64)
    );
    if matches!(d.class, "software" | "emulated") {
        out.push_str("<p>A software or emulated device tells nothing of a GPU's speed.</p>\n");
    }
    for b in &d.benches {
        if let Some(error) = &b.error {
            let _ = writeln!(
                out,
                "<p class=\"wrong\">Failed: {}: {}</p>",
                escape(&b.name),
                escape(error)
            );
        }
    }
    series(out, d);
    let apart = || d.benches.iter().filter(|b| b.step.is_none());
    let rated: Vec<(&str, f64)> =
        apart().filter_map(|b| Some((b.name.as_str(), b.ratio?))).collect();
    draw::ratios(out, "Our time as a multiple of the fastest reference's", &rated);
    let rated: Vec<(&str, f64)> =
        apart().filter_map(|b| Some((b.name.as_str(), b.cpu_ratio?))).collect();
    draw::ratios(out, "Our processor time as a multiple of the least reference's", &rated);
    let shares: Vec<(&str, f64)> =
        apart().filter_map(|b| Some((b.name.as_str(), b.share_of_copy?))).collect();
    draw::shares(out, "Share of the copy bandwidth", &shares);
    times(out, d);
}

/// Time over groups or build rows.
fn series(out: &mut String, d: &DeviceFigures) {
    for series in d.series() {
        let cliff = d.cliffs.iter().find(|c| c.series == series);
        let of_cpu_time = cliff.is_some_and(|c| c.of_cpu_time);
        let lines = d.lines(series, |b| if of_cpu_time { b.cpu_seconds } else { b.seconds });
        let lines: Vec<Line<'_>> =
            lines.into_iter().map(|(name, points)| Line { name, points }).collect();
        let time = if of_cpu_time { "processor time of all threads" } else { "time" };
        let across = series.rsplit_once(" by ").map_or(series, |(_, across)| across);
        let rows = d.benches.iter().find(|b| b.step.is_some_and(|s| s.series == series));
        let rows = format_count(rows.map_or(d.rows, |b| b.rows) as u64);
        draw::lines(out, &format!("{series}, {rows} rows: {time}"), across, &lines);
        if let Some(c) = cliff {
            let _ = write!(
                out,
                "<p>The steepest step of the first line is × {:.2}, at {}.",
                c.worst_step,
                format_count(c.worst_step_at)
            );
            if let (Some(skew), Some(line), Some(at)) =
                (c.worst_skew, c.worst_skew_line, c.worst_skew_at)
            {
                let _ = write!(
                    out,
                    " Another line takes at most × {skew:.2} of it ({}, at {}).",
                    escape(line),
                    format_count(at)
                );
            }
            out.push_str("</p>\n");
        }
    }
}

fn times(out: &mut String, d: &DeviceFigures) {
    out.push_str(
        "<h2>Times</h2>\n<table><thead><tr><th>bench</th><th class=\"n\">rows</th>\
         <th class=\"n\">ms</th><th class=\"n\">median</th><th class=\"n\">CPU ms</th>\
         <th class=\"n\">GB/s</th><th class=\"n\">of copy</th><th>references, ms</th>\
         <th class=\"n\">ratio</th></tr></thead><tbody>\n",
    );
    for b in &d.benches {
        let _ = writeln!(
            out,
            "<tr><td title=\"{}\">{}</td>{}</tr>",
            escape(b.what),
            escape(&b.name),
            match &b.skipped {
                Some(reason) => format!("<td colspan=\"8\">skipped: {}</td>", escape(reason)),
                None => cells(b),
            }
        );
    }
    out.push_str("</tbody></table>\n");
}

fn cells(b: &BenchFigures) -> String {
    let ms = |s: Option<f64>| s.map_or("–".to_string(), |s| format!("{:.3}", s * 1e3));
    let number = |v: Option<f64>| v.map_or("–".to_string(), |v| format!("{v:.2}"));
    let share = b.share_of_copy.map_or("–".to_string(), |s| format!("{:.1} %", s * 100.0));
    let reference = |r: &super::figures::ReferenceFigures| {
        let shared = if r.serial { " shared by all cores" } else { "" };
        format!("{}{shared}: {}", escape(r.name), ms(r.seconds))
    };
    let references: Vec<String> = b.references.iter().map(reference).collect();
    format!(
        "<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{share}</td>\
         <td>{}</td><td class=\"n\">{}</td>",
        format_count(b.rows as u64),
        ms(b.seconds),
        ms(b.median_seconds),
        ms(b.cpu_seconds),
        number(b.bytes_per_second.map(|r| r / 1e9)),
        references.join("<br>"),
        number(b.ratio)
    )
}

#[cfg(test)]
mod tests {
    use super::{super::figures::tests::figures, *};

    #[test]
    fn the_page_draws_ratios_shares_and_series() {
        let html = page(&figures());
        for part in [
            "sort/sort_indices/&lt;i64&gt;",
            "as a multiple of the fastest reference",
            "Share of the copy bandwidth",
            "<polyline",
            "half in one group at 2: 250 ms",
            "group-by by groups, 1,000 rows: processor time of all threads",
            "× 2.00, at 2",
            "skipped: no 64-bit floats",
            "Failed: join/inner/large: the result is wrong: value 3",
            "rayon sort: 250.000",
            "abc1234",
        ] {
            assert!(html.contains(part), "{part} is missing in:\n{html}");
        }
        assert!(!html.contains("http"), "the page must need nothing from elsewhere");
    }
}
