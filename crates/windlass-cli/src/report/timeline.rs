//! Work over time as a drawing: a lane for each worker, stream or operator, bars for what it did.
//!
//! What is too narrow to be seen is drawn together: bars of a lane that are less than a few pixels
//! wide, and close to each other, become one in the colour of the kind that has most of its time.
//! So a drawing of a million tasks is as large as one of a few thousand.

use std::fmt::Write;

use super::html::{COLORS, escape, legend, short, ticks};
use crate::size::format_seconds;

/// Width of the drawing, of its labels and of its notes at the right, in pixels.
const WIDTH: f64 = 1100.0;
const LABELS: f64 = 210.0;
const NOTES: f64 = 90.0;
const PLOT: f64 = WIDTH - LABELS - NOTES;
/// Letters of a label that fit.
const LETTERS: usize = 31;
/// Height of a lane, of one of a lane's rows where it has several, and of a heading.
const LANE: f64 = 18.0;
const ROW: f64 = 8.0;
/// Height of a lane where there are few.
const WIDE: f64 = 26.0;
const FEW: usize = 16;
const HEADING: f64 = 22.0;
/// Rows of a lane whose bars overlap; more are drawn as one.
const ROWS: usize = 4;
/// Lanes that are drawn: three windows full. The trace has all.
const LANES: usize = 120;
/// Bars that are drawn: at about 120 bytes each they are half of what a page may take.
const BARS: f64 = 4_000.0;
/// Least width of a bar that stands for several.
const LEAST: f64 = 1.5;

/// Something that was done, in seconds from the begin.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Bar {
    pub(crate) start: f64,
    pub(crate) end: f64,
    /// Its kind's place among the timeline's.
    pub(crate) kind: usize,
    /// What is told when the pointer is over it, without its time.
    pub(crate) title: String,
}

/// What one worker, stream or operator did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lane {
    /// Its device; lanes of one stand together.
    pub(crate) group: String,
    /// Its name.
    pub(crate) label: String,
    /// How far the name is moved to the right, in steps.
    pub(crate) depth: usize,
    /// What is told at its end.
    pub(crate) note: String,
    pub(crate) bars: Vec<Bar>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline {
    pub(crate) seconds: f64,
    /// Kinds of work; each has a colour.
    pub(crate) kinds: Vec<String>,
    pub(crate) lanes: Vec<Lane>,
}

/// Some bars in the place of one or many.
#[derive(Debug, Clone, PartialEq)]
struct Drawn {
    from: f64,
    to: f64,
    kind: usize,
    title: String,
}

impl Timeline {
    /// Draws it, with the legend above.
    pub(crate) fn draw(&self, out: &mut String) {
        if self.lanes.is_empty() || self.seconds <= 0.0 {
            return;
        }
        let used = |kind: usize| {
            self.lanes.iter().any(|l| l.bars.iter().any(|b| b.kind.min(COLORS - 1) == kind))
        };
        if self.kinds.len() > 1 {
            self.legend(out, used);
        }
        let lanes = &self.lanes[..self.lanes.len().min(LANES)];
        let least = (lanes.len() as f64 * PLOT / BARS).max(LEAST);
        let mut body = String::new();
        let mut y = 0.0;
        let mut group = "";
        let marks = self.marks();
        for lane in lanes {
            if lane.group != group {
                group = &lane.group;
                let _ = write!(
                    body,
                    "<text class=\"group\" x=\"0\" y=\"{:.0}\">{}</text>",
                    y + 16.0,
                    escape(&short(group, 60))
                );
                y += HEADING;
            }
            y += self.lane(&mut body, lane, y, least);
        }
        let height = y + 26.0;
        let _ = write!(
            out,
            "<div class=\"scroll\"><svg role=\"img\" aria-label=\"timeline\" viewBox=\"0 0 {WIDTH} \
             {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\">"
        );
        for mark in marks {
            let x = LABELS + mark / self.seconds * PLOT;
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{x:.1} 0V{y:.0}\"/><text class=\"dim\" x=\"{x:.1}\" \
                 y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
                y + 18.0,
                time_of(mark, self.seconds)
            );
        }
        out.push_str(&body);
        out.push_str("</svg></div>\n");
        let more = self.lanes.len() - lanes.len();
        if more > 0 {
            let _ = writeln!(
                out,
                "<p class=\"dim\">{} more lanes are not drawn; a trace (--trace) has all.</p>",
                crate::size::format_count(more as u64)
            );
        }
    }

    fn legend(&self, out: &mut String, used: impl Fn(usize) -> bool) {
        // Colours go by place: kinds that are not drawn are left out without moving the others.
        let mut text = String::new();
        let names = self.kinds.iter().take(COLORS).enumerate();
        legend(&mut text, self.kinds.iter().map(String::as_str).take(COLORS));
        for (i, name) in names {
            if !used(i) {
                let own = format!("<span><i class=\"k{i}\"></i>{}</span>", escape(name));
                text = text.replace(&own, "");
            }
        }
        out.push_str(&text);
    }

    /// The times of the grid that lie within.
    fn marks(&self) -> Vec<f64> {
        let within = |t: &f64| *t <= self.seconds * 1.0001;
        ticks(self.seconds, 8, false).into_iter().filter(within).collect()
    }

    /// Draws a lane at `y`; its height.
    fn lane(&self, out: &mut String, lane: &Lane, y: f64, least: f64) -> f64 {
        let rows = rows(&lane.bars);
        let height = if rows.len() > 1 { ROW * rows.len() as f64 + 4.0 } else { LANE };
        let height = height.max(if self.lanes.len() <= FEW { WIDE } else { LANE });
        let indent = 8.0 * lane.depth.min(8) as f64;
        let letters = LETTERS.saturating_sub(lane.depth.min(8));
        let _ = write!(
            out,
            "<rect class=\"row\" x=\"{LABELS}\" y=\"{:.0}\" width=\"{PLOT}\" height=\"{:.0}\"/>\
             <text x=\"{indent:.0}\" y=\"{:.0}\">{}</text>",
            y + 1.0,
            height - 2.0,
            y + height / 2.0 + 4.0,
            label(&lane.label, letters)
        );
        if !lane.note.is_empty() {
            let _ = write!(
                out,
                "<text class=\"dim\" x=\"{:.0}\" y=\"{:.0}\">{}</text>",
                LABELS + PLOT + 6.0,
                y + height / 2.0 + 4.0,
                escape(&lane.note)
            );
        }
        let tall = (height - 4.0) / rows.len().max(1) as f64;
        for (i, row) in rows.iter().enumerate() {
            let top = y + 2.0 + tall * i as f64;
            for d in self.together(row, least) {
                let width = (d.to - d.from).max(1.0);
                // A line of ground tells neighbours apart where there is room for one.
                let width = if width > 4.0 { width - 0.6 } else { width };
                let _ = write!(
                    out,
                    "<rect class=\"k{}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
                     height=\"{:.1}\"><title>{}</title></rect>",
                    d.kind,
                    LABELS + d.from,
                    tall - if rows.len() > 1 { 1.0 } else { 0.0 },
                    escape(&d.title)
                );
            }
        }
        height
    }

    /// The bars of a row in pixels, those that are narrow and close together as one.
    fn together(&self, bars: &[Bar], least: f64) -> Vec<Drawn> {
        let scale = PLOT / self.seconds;
        let mut out = Vec::new();
        let mut at = 0;
        while at < bars.len() {
            let from = bars[at].start * scale;
            let mut to = bars[at].end * scale;
            let mut end = at + 1;
            // A bar that is wide enough stands alone.
            while to - from < least
                && let Some(next) = bars.get(end)
                && next.start * scale - to < least
                && next.end * scale - from < 4.0 * least
            {
                to = to.max(next.end * scale);
                end += 1;
            }
            out.push(self.drawn(&bars[at..end], from, to));
            at = end;
        }
        out
    }

    fn drawn(&self, bars: &[Bar], from: f64, to: f64) -> Drawn {
        let at = |b: &Bar| format!("at {}", format_seconds(b.start));
        if let [b] = bars {
            let title = format!("{}: {} {}", b.title, format_seconds(b.end - b.start), at(b));
            return Drawn { from, to, kind: b.kind.min(COLORS - 1), title };
        }
        let mut sums: Vec<(usize, f64, usize)> = Vec::new();
        for b in bars {
            match sums.iter_mut().find(|(kind, ..)| *kind == b.kind) {
                Some((_, seconds, n)) => (*seconds, *n) = (*seconds + b.end - b.start, *n + 1),
                None => sums.push((b.kind, b.end - b.start, 1)),
            }
        }
        sums.sort_by(|a, b| b.1.total_cmp(&a.1));
        let kind = sums.first().map_or(0, |s| s.0);
        let name = |kind: usize| self.kinds.get(kind).map_or("", String::as_str);
        let told =
            sums.iter().take(3).map(|(k, s, n)| format!("{n} {} {}", name(*k), format_seconds(*s)));
        let told: Vec<String> = told.collect();
        let title = format!("{} together, {}: {}", bars.len(), at(&bars[0]), told.join(", "));
        Drawn { from, to, kind: kind.min(COLORS - 1), title }
    }
}

/// A label, cut where it is too long, with the whole for the pointer.
fn label(text: &str, letters: usize) -> String {
    let cut = short(text, letters);
    match cut == text {
        true => escape(text),
        false => format!("{}<title>{}</title>", escape(&cut), escape(text)),
    }
}

/// A time of the axis: whole units where the axis has them.
pub(super) fn time_of(seconds: f64, all: f64) -> String {
    let number = |n: f64| {
        let text = format!("{n:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    };
    if all < 1e-3 {
        format!("{} µs", number(seconds * 1e6))
    } else if all < 1.0 {
        format!("{} ms", number(seconds * 1e3))
    } else if all < 600.0 {
        format!("{} s", number(seconds))
    } else {
        format!("{} min", number(seconds / 60.0))
    }
}

/// Bars in rows in which none overlaps another; where that takes too many, all in one, each of
/// those that overlap as one bar.
fn rows(bars: &[Bar]) -> Vec<Vec<Bar>> {
    let mut sorted: Vec<&Bar> = bars.iter().filter(|b| b.end >= b.start).collect();
    sorted.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
    let mut rows: Vec<Vec<Bar>> = Vec::new();
    for bar in &sorted {
        let free = |row: &Vec<Bar>| row.last().is_none_or(|last| last.end <= bar.start + 1e-9);
        match rows.iter().position(free) {
            Some(row) => rows[row].push((*bar).clone()),
            None if rows.len() < ROWS => rows.push(vec![(*bar).clone()]),
            None => return vec![union(&sorted)],
        }
    }
    rows
}

/// Bars that overlap as one each, of the kind of the longest.
fn union(sorted: &[&Bar]) -> Vec<Bar> {
    let mut out: Vec<(Bar, f64, usize)> = Vec::new();
    for bar in sorted {
        let length = bar.end - bar.start;
        match out.last_mut() {
            Some((last, longest, n)) if bar.start <= last.end => {
                last.end = last.end.max(bar.end);
                *n += 1;
                if length > *longest {
                    (last.kind, *longest) = (bar.kind, length);
                    last.title.clone_from(&bar.title);
                }
            }
            _ => out.push(((*bar).clone(), length, 1)),
        }
    }
    let told = |(mut bar, _, n): (Bar, f64, usize)| {
        if n > 1 {
            bar.title += &format!(" and {} more at the same time", n - 1);
        }
        bar
    };
    out.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(start: f64, end: f64, kind: usize) -> Bar {
        Bar { start, end, kind, title: format!("k{kind}") }
    }

    #[test]
    fn many_narrow_bars_are_drawn_as_few_and_lose_no_time() {
        let bars: Vec<Bar> =
            (0..100_000).map(|i| bar(i as f64 * 1e-3, i as f64 * 1e-3 + 9e-4, i % 3)).collect();
        let timeline = Timeline { seconds: 100.0, kinds: vec!["a".into(); 3], lanes: Vec::new() };
        let drawn = timeline.together(&bars, LEAST);
        assert!(drawn.len() < 600, "{}", drawn.len());
        let covered: f64 = drawn.iter().map(|d| d.to - d.from).sum();
        assert!(covered > 0.9 * PLOT, "{covered}");
        assert!(drawn.windows(2).all(|two| two[0].to <= two[1].from + 1e-6));
        assert!(drawn[0].title.contains("together"), "{}", drawn[0].title);
    }

    #[test]
    fn a_wide_bar_keeps_its_own_name_among_narrow_ones() {
        let timeline = Timeline { seconds: 10.0, ..Timeline::default() };
        let bars = [bar(0.0, 0.001, 0), bar(0.002, 5.0, 1), bar(5.0, 5.001, 0), bar(9.0, 9.001, 2)];
        let drawn = timeline.together(&bars, LEAST);
        assert_eq!(drawn.iter().map(|d| d.kind).collect::<Vec<_>>(), [0, 1, 0, 2]);
        assert!(drawn[1].title.starts_with("k1: 5.00 s"), "{:?}", drawn[1]);
    }

    #[test]
    fn bars_that_overlap_have_rows_up_to_a_limit() {
        let two = rows(&[bar(0.0, 2.0, 0), bar(1.0, 3.0, 0), bar(2.0, 4.0, 0)]);
        assert_eq!(two.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        let many: Vec<Bar> = (0..8).map(|i| bar(0.0, 1.0 + f64::from(i), i as usize)).collect();
        let one = rows(&many);
        assert_eq!((one.len(), one[0].len()), (1, 1));
        assert_eq!((one[0][0].end, one[0][0].kind), (8.0, 7));
        assert!(one[0][0].title.contains("7 more"));
    }

    #[test]
    fn the_drawing_of_very_many_lanes_says_what_it_leaves_out() {
        let lane = |i: usize| Lane {
            group: format!("gpu{}", i / 2),
            label: "a worker with a name that is far too long for its place".into(),
            bars: (0..5_000)
                .map(|n| bar(n as f64 * 0.01, n as f64 * 0.01 + 0.008, n % 5))
                .collect(),
            ..Lane::default()
        };
        let kinds = ["load", "clean", "score", "combine", "<last>"].map(String::from).to_vec();
        let timeline = Timeline { seconds: 50.0, kinds, lanes: (0..300).map(lane).collect() };
        let mut out = String::new();
        timeline.draw(&mut out);
        assert!(out.contains("180 more lanes are not drawn"), "it says nothing");
        assert!(out.len() < 1_000_000, "{} bytes", out.len());
        assert!(out.contains("&lt;last&gt;") && out.contains("far too long for its place</title>"));
        let mut empty = String::new();
        Timeline::default().draw(&mut empty);
        assert_eq!(empty, "");
    }

    #[test]
    fn the_legend_names_what_is_drawn() {
        let lane = Lane { bars: vec![bar(0.0, 1.0, 1)], ..Lane::default() };
        let kinds = vec!["absent".into(), "there".into()];
        let mut out = String::new();
        Timeline { seconds: 1.0, kinds, lanes: vec![lane] }.draw(&mut out);
        assert!(out.contains("<i class=\"k1\"></i>there") && !out.contains("absent"), "{out}");
    }
}
