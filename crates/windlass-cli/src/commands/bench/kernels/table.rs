//! The figures of the kernels' benches as tables.

use super::figures::{BenchFigures, DeviceFigures, KernelFigures};
use crate::{
    output::{TableStyle, render_rows},
    size::format_count,
};

/// A table for each device, and below it what is worth knowing.
pub(crate) fn text(f: &KernelFigures, style: TableStyle) -> String {
    let commit = f.commit.as_ref().map_or(String::new(), |c| format!(" of {c}"));
    let mut out = format!(
        "kernels, best of {}, {} hardware threads, {} build{commit}\n",
        f.runs, f.cores, f.profile
    );
    for d in &f.devices {
        out += &device(d, style);
    }
    out
}

fn device(d: &DeviceFigures, style: TableStyle) -> String {
    let mut out = format!(
        "{}: {}, {}; copies {:.1} GB/s, read and written\n",
        d.name,
        d.class,
        d.model,
        d.copy_bytes_per_second / 1e9
    );
    let header =
        ["bench", "rows", "ms", "GB/s", "of copy", "fastest reference", "ratio", "CPU ratio"];
    let right = [false, true, true, true, true, false, true, true];
    let cells: Vec<Vec<Option<String>>> =
        d.benches.iter().filter(|b| b.seconds.is_some()).map(row).collect();
    out += &render_rows(&header.map(str::to_string), &cells, &right, style);
    let rated: Vec<&BenchFigures> = d.benches.iter().filter(|b| b.ratio.is_some()).collect();
    if !rated.is_empty() {
        let slower = rated.iter().filter(|b| b.ratio.is_some_and(|r| r > 1.0)).count();
        out += &format!(
            "{slower} of {} take longer than the reference. A reference on one core counts as \
             if all cores shared it; CPU ratios are of processor time.\n",
            rated.len()
        );
    }
    for c in &d.cliffs {
        let time = if c.of_cpu_time { "processor time" } else { "time" };
        out += &format!(
            "{}: no step takes more than {:.2} of its neighbour's {time} (at {})",
            c.series,
            c.worst_step,
            format_count(c.worst_step_at)
        );
        if let (Some(skew), Some(line), Some(at)) =
            (c.worst_skew, c.worst_skew_line, c.worst_skew_at)
        {
            out += &format!("; {line} takes at most {skew:.2} (at {})", format_count(at));
        }
        out.push('\n');
    }
    for b in &d.benches {
        if let Some(reason) = &b.skipped {
            out += &format!("skipped: {}: {reason}\n", b.name);
        }
        if let Some(error) = &b.error {
            out += &format!("failed: {}: {error}\n", b.name);
        }
    }
    if matches!(d.class, "software" | "emulated") {
        out += "A software or emulated device tells nothing of a GPU's speed.\n";
    }
    out
}

fn row(b: &BenchFigures) -> Vec<Option<String>> {
    let number = |v: Option<f64>, digits: usize| {
        Some(v.map_or("-".to_string(), |v| format!("{v:.digits$}")))
    };
    vec![
        Some(b.name.clone()),
        Some(format_count(b.rows as u64)),
        number(b.seconds.map(|s| s * 1e3), 3),
        number(b.bytes_per_second.map(|r| r / 1e9), 2),
        Some(b.share_of_copy.map_or("-".to_string(), |s| format!("{:.1} %", s * 100.0))),
        Some(b.fastest_reference.unwrap_or("-").to_string()),
        number(b.ratio, 2),
        number(b.cpu_ratio, 2),
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::figures::tests::figures, *};

    #[test]
    fn the_table_tells_rates_ratios_steps_and_failures() {
        let text = text(&figures(), TableStyle::plain());
        for part in [
            "kernels, best of 3, 2 hardware threads, debug build of abc1234",
            "cpu: host, a processor; copies 10.0 GB/s",
            "sort/sort_indices/<i64>",
            "500.000",
            "rayon sort",
            "2.00",
            "1.25",
            "1 of 1 take longer",
            "no step takes more than 2.00 of its neighbour's processor time (at 2)",
            "half in one group takes at most 1.50 (at 1)",
            "skipped: reduce/sum/f64: no 64-bit floats",
            "failed: join/inner/large: the result is wrong: value 3",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("tells nothing"));
    }
}
