//! What pages are made of: their head, bars of ratios and shares, and lines over powers of two.
//! Drawn as SVG by hand: a page is one file that needs nothing else.

use std::fmt::Write;

pub(crate) use crate::report::html::escape;

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--dim:#888;--fast:#2f9e62;--slow:#c4543b;--ok:#3b82c4;--other:#b07d2b}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;font-size:.9rem}
th{text-align:left;font-weight:600}td,th{padding:.25rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem}dt{color:var(--dim)}dd{margin:0}
svg text{font:12px system-ui,sans-serif;fill:currentColor}svg .grid{stroke:var(--line)}svg .one{stroke:currentColor}
.wrong{color:var(--slow);font-weight:600}.best{font-weight:600}
";

/// Width of a plot in pixels: fits a laptop's window beside the labels.
const PLOT: f64 = 720.0;
/// Height of a plot of lines.
const TALL: f64 = 320.0;
/// Width of a letter of a label, at most.
const LETTER: f64 = 7.5;
const ROW: f64 = 22.0;

/// Colours of lines, as the style names them.
const COLORS: [&str; 4] = ["--ok", "--slow", "--fast", "--other"];

// Writing to a String cannot fail: results of `write!` are dropped in this file.

/// The page up to the first paragraph, and its heading.
pub(crate) fn head(title: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    )
}

fn open_svg(out: &mut String, label: &str, width: f64, height: f64) {
    let _ = write!(
        out,
        "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\">",
        escape(label)
    );
}

/// Room for the labels of bars.
fn label_width<'a>(labels: impl Iterator<Item = &'a str>) -> f64 {
    labels.map(|l| l.chars().count()).max().unwrap_or(0) as f64 * LETTER + 12.0
}

/// One bar with its label and its figure.
fn bar(out: &mut String, row: usize, label: &str, [from, to]: [f64; 2], color: &str, text: &str) {
    let y = row as f64 * ROW;
    let _ = write!(
        out,
        "<text x=\"0\" y=\"{:.1}\">{}</text><rect x=\"{from:.1}\" y=\"{:.1}\" \
         width=\"{:.1}\" height=\"{:.1}\" rx=\"2\" fill=\"var({color})\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
        y + 15.0,
        escape(label),
        y + 4.0,
        (to - from).max(1.0),
        ROW - 8.0,
        to + 5.0,
        y + 15.0
    );
}

/// A line of the grid with its figure.
fn upright(out: &mut String, at: f64, height: f64, class: &str, text: &str) {
    let _ = write!(
        out,
        "<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{:.1}\"/>\
         <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
        height - ROW,
        height - 6.0
    );
}

/// Ratios of times as bars from 1 on a logarithmic axis: left of it we are faster.
pub(crate) fn ratios(out: &mut String, heading: &str, rated: &[(&str, f64)]) {
    if rated.is_empty() {
        return;
    }
    let span =
        |start: f64, far: fn(f64, f64) -> f64| rated.iter().map(|(_, r)| *r).fold(start, far);
    // The axis reaches at least from one half to twice, and then to the next power of two.
    let low = span(0.5, f64::min).log2().floor();
    let high = span(2.0, f64::max).log2().ceil();
    let label = label_width(rated.iter().map(|(l, _)| *l));
    let x = |ratio: f64| label + (ratio.log2() - low) / (high - low) * PLOT;
    let height = ROW * (rated.len() as f64 + 1.5);
    let _ = writeln!(out, "<h2>{}</h2>", escape(heading));
    open_svg(out, "ratios", label + PLOT + 60.0, height);
    // At most ten figures, 1 among them, so that they do not touch.
    let every = ((high - low) / 10.0).ceil();
    let mut power = (low / every).ceil() * every;
    while power <= high {
        let class = if power == 0.0 { "one" } else { "grid" };
        let text = match power < 0.0 {
            true => format!("1/{}", (-power).exp2()),
            false => format!("{}×", power.exp2()),
        };
        upright(out, x(power.exp2()), height, class, &text);
        power += every;
    }
    for (i, (name, ratio)) in rated.iter().enumerate() {
        // Up to 1 is at least as fast, above 2 is too slow.
        let color = if *ratio <= 1.0 {
            "--fast"
        } else if *ratio <= 2.0 {
            "--ok"
        } else {
            "--slow"
        };
        let ends = [x(1.0).min(x(*ratio)), x(1.0).max(x(*ratio))];
        bar(out, i, name, ends, color, &format!("{ratio:.2}"));
    }
    out.push_str("</svg>\n");
}

/// Shares as bars from 0 to 1, or to the largest where that is more.
pub(crate) fn shares(out: &mut String, heading: &str, shares: &[(&str, f64)]) {
    if shares.is_empty() {
        return;
    }
    let most = shares.iter().map(|(_, s)| *s).fold(1.0, f64::max);
    let label = label_width(shares.iter().map(|(l, _)| *l));
    let x = |share: f64| label + share / most * PLOT;
    let height = ROW * (shares.len() as f64 + 1.5);
    let _ = writeln!(out, "<h2>{}</h2>", escape(heading));
    open_svg(out, "shares", label + PLOT + 60.0, height);
    for quarter in 0..=(4.0 * most) as u32 {
        let share = f64::from(quarter) / 4.0;
        let class = if quarter == 4 { "one" } else { "grid" };
        upright(out, x(share), height, class, &format!("{:.0} %", share * 100.0));
    }
    for (i, (name, share)) in shares.iter().enumerate() {
        bar(out, i, name, [x(0.0), x(*share)], "--ok", &format!("{:.1} %", share * 100.0));
    }
    out.push_str("</svg>\n");
}

/// A line of a plot: its name and its points, by ascending place.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: Vec<(u64, f64)>,
}

/// Seconds over places that are powers of two, both axes logarithmic: a step that costs as much
/// more anywhere is as steep everywhere.
pub(crate) fn lines(out: &mut String, heading: &str, across: &str, lines: &[Line<'_>]) {
    let points = || lines.iter().flat_map(|l| &l.points);
    let places = || points().map(|p| (p.0.max(1) as f64).log2());
    let times = || points().map(|p| p.1.max(1e-9).log2());
    let (Some(first), Some(last)) =
        (places().min_by(f64::total_cmp), places().max_by(f64::total_cmp))
    else {
        return;
    };
    let low = times().fold(f64::INFINITY, f64::min).floor();
    let high = times().fold(f64::NEG_INFINITY, f64::max).ceil().max(low + 1.0);
    const LEFT: f64 = 78.0;
    let x = |place: f64| LEFT + (place - first) / (last - first).max(1.0) * PLOT;
    let y = |time: f64| 10.0 + (high - time) / (high - low) * TALL;
    let height = TALL + 3.0 * ROW + ROW * lines.len() as f64;
    let _ = writeln!(out, "<h2>{}</h2>", escape(heading));
    open_svg(out, heading, LEFT + PLOT + 20.0, height);
    let mut power = low;
    while power <= high {
        let at = y(power);
        let text = crate::size::format_seconds(power.exp2());
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT + PLOT,
            LEFT - 6.0,
            at + 4.0
        );
        power += 1.0;
    }
    // Every second power where there are many, so that the figures do not touch.
    let every = if last - first > 12.0 { 2.0 } else { 1.0 };
    let mut power = first.floor();
    while power <= last {
        let at = x(power);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"10\" y2=\"{:.1}\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">2<tspan dy=\"-4\" \
             font-size=\"9\">{power:.0}</tspan></text>",
            TALL + 10.0,
            TALL + 27.0
        );
        power += every;
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        LEFT + PLOT / 2.0,
        TALL + 46.0,
        escape(across)
    );
    for (i, line) in lines.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        let place = |p: &(u64, f64)| {
            format!("{:.1},{:.1}", x((p.0.max(1) as f64).log2()), y(p.1.max(1e-9).log2()))
        };
        let path: Vec<String> = line.points.iter().map(place).collect();
        let _ = write!(
            out,
            "<polyline fill=\"none\" stroke=\"var({color})\" stroke-width=\"2\" points=\"{}\"/>",
            path.join(" ")
        );
        for (place, p) in path.iter().zip(&line.points) {
            let (cx, cy) = place.split_once(',').unwrap_or(("0", "0"));
            let _ = write!(
                out,
                "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3\" fill=\"var({color})\"><title>{} at {}: \
                 {}</title></circle>",
                escape(line.name),
                crate::size::format_count(p.0),
                crate::size::format_seconds(p.1)
            );
        }
        let below = TALL + 3.0 * ROW + ROW * i as f64;
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{below:.1}\" y2=\"{below:.1}\" \
             stroke=\"var({color})\" stroke-width=\"2\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT + 30.0,
            LEFT + 38.0,
            below + 4.0,
            escape(line.name)
        );
    }
    out.push_str("</svg>\n");
}
