//! Bytes over time as a drawing.

use std::fmt::Write;

use super::html::{COLORS, escape, ticks};
use crate::size::format_bytes;

/// Width and height of the drawing, of the figures at its left and of the space at its right.
const WIDTH: f64 = 1100.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 8.0;
const PLOT: f64 = WIDTH - LEFT - RIGHT;
/// How many times the greatest value a limit may be for its line to be in the drawing.
const LIMIT: f64 = 3.0;

/// A value over time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Seconds from the begin, ascending, and bytes from then on.
    pub(crate) points: Vec<(f64, u64)>,
    /// Whether the space below it is filled.
    pub(crate) filled: bool,
}

impl Line {
    fn peak(&self) -> u64 {
        self.points.iter().map(|p| p.1).max().unwrap_or(0)
    }

    /// Its points as the drawing can show them: of those in one pixel the greatest stays.
    fn thinned(&self, seconds: f64) -> Vec<(f64, u64)> {
        let mut out: Vec<(f64, u64)> = Vec::new();
        for (at, value) in &self.points {
            let x = (at / seconds).clamp(0.0, 1.0) * PLOT;
            match out.last_mut() {
                Some(last) if x - last.0 < 1.0 => last.1 = last.1.max(*value),
                _ => out.push((x, *value)),
            }
        }
        // What was true last goes on, also where a greater value was in the same pixel.
        if let Some((at, value)) = self.points.last() {
            out.push(((at / seconds).clamp(0.0, 1.0) * PLOT, *value));
        }
        out
    }
}

/// Draws lines over `seconds`, with a limit where it is near; each with its peak in the legend.
pub(crate) fn draw(out: &mut String, lines: &[Line], seconds: f64, limit: Option<(&str, u64)>) {
    // A line that is zero throughout is told in the legend alone.
    let highest = lines.iter().map(Line::peak).max().unwrap_or(0);
    if highest == 0 || seconds <= 0.0 {
        return;
    }
    let near = limit.filter(|(_, bytes)| *bytes as f64 <= LIMIT * highest as f64);
    let top = near.map_or(highest, |(_, bytes)| bytes.max(highest));
    let heights = ticks(top as f64, 5, true);
    let most = heights[heights.len() - 1];
    let y = |bytes: f64| TOP + (1.0 - bytes / most) * HEIGHT;
    out.push_str("<div class=\"legend\">");
    for (i, line) in lines.iter().enumerate() {
        let _ = write!(
            out,
            "<span><i class=\"k{}\"></i>{}: at most {}</span>",
            i.min(COLORS - 1),
            escape(&line.name),
            format_bytes(line.peak())
        );
    }
    out.push_str("</div>\n");
    let height = TOP + HEIGHT + 26.0;
    let _ = write!(
        out,
        "<div class=\"scroll\"><svg role=\"img\" aria-label=\"memory over time\" viewBox=\"0 0 \
         {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">"
    );
    for bytes in &heights {
        let at = y(*bytes);
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}h{PLOT}\"/><text class=\"dim\" x=\"{:.0}\" \
             y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            format_bytes(*bytes as u64)
        );
    }
    for mark in ticks(seconds, 8, false).into_iter().filter(|t| *t <= seconds * 1.0001) {
        let x = LEFT + mark / seconds * PLOT;
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{x:.1} {TOP}v{HEIGHT}\"/><text class=\"dim\" x=\"{x:.1}\" \
             y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            TOP + HEIGHT + 18.0,
            super::timeline::time_of(mark, seconds)
        );
    }
    for (i, line) in lines.iter().enumerate().filter(|(_, l)| l.peak() > 0) {
        let color = i.min(COLORS - 1);
        let points = line.thinned(seconds);
        let mut path = String::new();
        for (n, (x, bytes)) in points.iter().enumerate() {
            // A value holds until the next.
            let (x, y) = (LEFT + x, y(*bytes as f64));
            let _ = match n {
                0 => write!(path, "M{x:.0} {y:.1}"),
                _ => write!(path, "H{x:.0}V{y:.1}"),
            };
        }
        if line.filled
            && let (Some(first), Some(last)) = (points.first(), points.last())
        {
            let _ = write!(
                out,
                "<path class=\"k{color}\" fill-opacity=\".25\" d=\"{path}V{:.1}H{:.0}z\"/>",
                y(0.0),
                LEFT + first.0.min(last.0)
            );
        }
        let _ = write!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"var(--k{color})\" stroke-width=\"1.6\">\
             <title>{}</title></path>",
            escape(&line.name)
        );
    }
    if let Some((name, bytes)) = near {
        let at = y(bytes as f64);
        let _ = write!(
            out,
            "<path class=\"limit\" d=\"M{LEFT} {at:.1}h{PLOT}\"/><text class=\"over\" x=\"{:.0}\" \
             y=\"{:.1}\">{} {}</text>",
            LEFT + 6.0,
            at - 5.0,
            escape(name),
            format_bytes(bytes)
        );
    }
    out.push_str("</svg></div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: Vec<(f64, u64)>) -> Line {
        Line { name: "pool <a>".into(), points, filled: true }
    }

    #[test]
    fn a_long_curve_keeps_its_peak_and_its_end_in_few_points() {
        let points = (0..50_000).map(|i| (f64::from(i) * 1e-3, u64::from(i == 777) * 9)).collect();
        let line = line(points);
        let thinned = line.thinned(50.0);
        assert!(thinned.len() <= PLOT as usize + 2, "{}", thinned.len());
        assert_eq!(thinned.iter().map(|p| p.1).max(), Some(9));
        assert_eq!(thinned.last().unwrap().1, 0);
    }

    #[test]
    fn axes_have_units_and_a_limit_that_is_near_is_drawn() {
        let mut out = String::new();
        let lines = [line(vec![(0.0, 0), (1.0, 3 << 20), (2.0, 1 << 20)])];
        draw(&mut out, &lines, 2.0, Some(("--memory", 4 << 20)));
        for part in ["1.0 MiB", "2 s", "pool &lt;a&gt;: at most 3.0 MiB", "--memory 4.0 MiB"] {
            assert!(out.contains(part), "{part} is missing in {out}");
        }
        out.clear();
        draw(&mut out, &lines, 2.0, Some(("--memory", 4 << 30)));
        assert!(!out.contains("class=\"limit\""));
        out.clear();
        draw(&mut out, &[line(vec![(0.0, 0)])], 2.0, None);
        assert_eq!(out, "");
    }
}
