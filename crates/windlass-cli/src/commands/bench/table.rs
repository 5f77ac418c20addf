//! The figures of a suite as a table.

use crate::{
    commands::bench::figures::{Figures, OURS},
    output::{TableStyle, render_rows},
    size::format_bytes,
};

/// The table, and below it the means and what is worth knowing.
pub(crate) fn text(figures: &Figures, style: TableStyle) -> String {
    let shown: Vec<&str> =
        figures.engines.iter().filter(|e| e.absent.is_none()).map(|e| e.name.as_str()).collect();
    let mut header = vec!["question".to_string()];
    header.extend(shown.iter().map(|name| format!("{name} s")));
    header.extend(
        ["ratio", "fastest peer", "rows", "peak memory", "of least peer's"].map(String::from),
    );
    header.push("device operators".to_string());
    let mut right = vec![false];
    right.extend(shown.iter().map(|_| true));
    right.extend([true, false, true, true, true, false]);
    let cells: Vec<Vec<Option<String>>> = figures
        .questions
        .iter()
        .map(|q| {
            let mut row = vec![q.question.clone()];
            row.extend(shown.iter().map(|name| seconds(q.of(name))));
            let ours = q.of(OURS);
            row.push(q.ratio.map_or("-".to_string(), |r| format!("{r:.2}")));
            row.push(q.fastest_peer.clone().unwrap_or_else(|| "-".to_string()));
            let rows = ours.and_then(|o| o.rows);
            row.push(rows.map_or("-".to_string(), crate::size::format_count));
            let peak = ours.and_then(|o| o.peak_bytes);
            row.push(peak.map_or("-".to_string(), format_bytes));
            let peers = q.results.iter().filter(|r| r.engine != OURS);
            let least = peers.filter_map(|p| p.peak_bytes).min();
            let share = peak.zip(least).map(|(a, b)| format!("{:.2}", a as f64 / b as f64));
            row.push(share.unwrap_or_else(|| "-".to_string()));
            row.push(q.device_operators());
            row.into_iter().map(Some).collect()
        })
        .collect();
    let mut out = format!(
        "{}, best of {}, {} hardware threads, {} build{}\n",
        figures.title,
        figures.runs,
        figures.cores,
        figures.profile,
        figures.commit.as_ref().map_or(String::new(), |c| format!(" of {c}"))
    );
    out += &format!("device {}{}", figures.device, if figures.forced { ", forced" } else { "" });
    for d in &figures.devices {
        out += &format!("; {}: {}, {}", d.name, d.class, d.model);
    }
    out.push('\n');
    out += &render_rows(&header, &cells, &right, style);
    out += &foot(figures);
    out
}

fn seconds(result: Option<&crate::commands::bench::figures::EngineFigures>) -> String {
    let Some(r) = result else { return "-".to_string() };
    match (r.seconds, &r.differs, &r.error) {
        (Some(s), None, _) => format!("{s:.3}"),
        (Some(s), Some(_), _) => format!("{s:.3} DIFFERS"),
        (None, _, Some(_)) => "failed".to_string(),
        (None, ..) => "-".to_string(),
    }
}

/// The lines below the table.
fn foot(figures: &Figures) -> String {
    let mut out = String::new();
    if let (Some(mean), Some(worst)) = (figures.geometric_mean, figures.worst()) {
        out += &format!(
            "geometric mean {mean:.2} of the fastest peer's time; worst {} at {:.2}\n",
            worst.question,
            worst.ratio.unwrap_or(0.0)
        );
        let above = figures.questions.iter().filter(|q| q.ratio.is_some_and(|r| r > 2.0)).count();
        out += &format!("{above} of {} questions above 2.00\n", figures.questions.len());
    }
    for a in &figures.against {
        let cpu = a.cpu_geometric_mean.map_or(String::new(), |c| format!(", CPU time {c:.2}"));
        out += &format!(
            "against {}: geometric mean {:.2}{cpu} over {} questions\n",
            a.engine, a.geometric_mean, a.questions
        );
    }
    for e in &figures.engines {
        match (&e.version, &e.absent) {
            (Some(version), _) => out += &format!("{} {version}\n", e.name),
            (None, Some(reason)) => out += &format!("{} is absent: {reason}\n", e.name),
            (None, None) => {}
        }
    }
    for q in figures.questions.iter().filter(|q| q.fallback.is_some()) {
        let reason = q.fallback.as_deref().unwrap_or_default();
        out += &format!("{} ran again: {reason}\n", q.question);
    }
    for line in figures.failures() {
        out += &format!("failed: {line}\n");
    }
    for line in figures.differences() {
        out += &format!("DIFFERS from ours: {line}\n");
    }
    if figures.devices.iter().any(|d| d.class == "software" || d.class == "emulated") {
        out += "A software or emulated device tells nothing of a GPU's speed.\n";
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bench::page::tests::figures;

    #[test]
    fn the_table_tells_times_ratios_absence_and_difference() {
        let text = text(&figures(), TableStyle::plain());
        for part in [
            "TPC-H scale 0.01, best of 2",
            "0.500",
            "2.00",
            "0.250 DIFFERS",
            "failed",
            "geometric mean 2.00",
            "polars is absent: no module",
            "DIFFERS from ours: q01 duckdb: column 2",
            "failed: q01 datafusion: out of memory",
            "tells nothing of a GPU",
            "DeviceAggregate@wgpu:0",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }
}
