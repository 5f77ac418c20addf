//! What the pages of `--report` are made of: their head and style, findings, facts, and colours.

use std::fmt::Write;

use crate::findings::Finding;

/// Colours of kinds of work, told apart also by most people who see fewer colours, and on a light
/// and on a dark ground. The last is for the rest.
pub(crate) const COLORS: usize = 8;

/// Letters of a title: a query of one line, which stands below in full, may be longer.
const TITLE: usize = 80;

const STYLE: &str = "
:root{color-scheme:light dark;--ground:#fff;--text:#1c2126;--line:#8884;--dim:#667078;--card:#f4f6f8;--bar:#3b78b8;--warn:#b45309;--bad:#c0392b;
--k0:#3b78b8;--k1:#e08a2e;--k2:#2f9e77;--k3:#b4489a;--k4:#7a6ad8;--k5:#b5a021;--k6:#d0554a;--k7:#8a949e}
@media(prefers-color-scheme:dark){:root{--ground:#15181c;--text:#e4e7ea;--dim:#98a2ab;--card:#1e2328;--bar:#5b9bd9;--warn:#f0a04b;--bad:#ff7b6b;
--k0:#5b9bd9;--k1:#f0a04b;--k2:#4cbf94;--k3:#d678bf;--k4:#9d90f0;--k5:#d3bf4a;--k6:#ef7f73;--k7:#7c8791}}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;background:var(--ground);color:var(--text)}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}h3{font-size:1rem;margin:1.4rem 0 .4rem}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th{text-align:left;font-weight:600}td,th{padding:.22rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.op{white-space:pre-wrap;overflow-wrap:anywhere}td.line{white-space:nowrap}td.why,.dim{color:var(--dim)}td.warn{color:var(--warn)}
pre{overflow-x:auto;padding:.8rem;border:1px solid var(--line);border-radius:6px;font-size:.82rem}
pre.sql{white-space:pre-wrap}pre.error{border-color:var(--bad);white-space:pre-wrap}
summary{cursor:pointer;margin:.6rem 0}.scroll{overflow-x:auto}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
ul.found{list-style:none;padding:0}ul.found li{background:var(--card);border-left:4px solid var(--warn);border-radius:4px;padding:.5rem .9rem;margin:.5rem 0}
ul.found li.small{border-left-color:var(--k0)}ul.found p{margin:0}ul.found p+p{color:var(--dim);font-size:.92rem}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.4rem 0;font-size:.85rem}.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em}
svg{display:block;max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--text)}svg text.dim{fill:var(--dim)}svg text.group{font-weight:600}
svg .grid{stroke:var(--line)}svg .row{fill:var(--line);fill-opacity:.3}svg .over{paint-order:stroke;stroke:var(--ground);stroke-width:4px}code{font-size:.92em}svg .limit{stroke:var(--bad);stroke-dasharray:6 4}
svg.bar{width:8rem;height:.8rem}.device{padding:0 .45rem;border:1px solid var(--line);border-radius:99px;white-space:nowrap}
.k0{fill:var(--k0)}.k1{fill:var(--k1)}.k2{fill:var(--k2)}.k3{fill:var(--k3)}.k4{fill:var(--k4)}.k5{fill:var(--k5)}.k6{fill:var(--k6)}.k7{fill:var(--k7)}
i.k0{background:var(--k0)}i.k1{background:var(--k1)}i.k2{background:var(--k2)}i.k3{background:var(--k3)}i.k4{background:var(--k4)}i.k5{background:var(--k5)}i.k6{background:var(--k6)}i.k7{background:var(--k7)}
";

// Writing to a String cannot fail: results of `write!` are dropped in this folder.

/// The page up to what is under its heading: the error, and the findings.
pub(crate) fn head(title: &str, error: Option<&str>, findings: &[Finding]) -> String {
    let title = escape(&short(title, TITLE));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>windlass: {title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    );
    if let Some(error) = error {
        let _ = writeln!(out, "<pre class=\"error\">failed: {}</pre>", escape(error));
    }
    out.push_str("<h2>Findings</h2>\n");
    if findings.is_empty() {
        out.push_str("<p>Nothing stands out: no failures, no spills, no skew.</p>\n");
        return out;
    }
    out.push_str("<ul class=\"found\">\n");
    for f in findings {
        // Below a quarter of the run it is for information.
        let class = if f.weight < 0.25 { " class=\"small\"" } else { "" };
        let _ = writeln!(
            out,
            "<li{class}><p>{}</p><p>{}</p></li>",
            escape(&capital(&f.what)),
            code(&f.advice)
        );
    }
    out.push_str("</ul>\n");
    out
}

/// The end of a page.
pub(crate) const FOOT: &str = "</body></html>\n";

/// Names and values.
pub(crate) fn facts(out: &mut String, facts: &[(String, String)]) {
    out.push_str("<h2>In figures</h2>\n<dl>");
    for (name, value) in facts {
        let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    out.push_str("</dl>\n");
}

/// What each colour stands for.
pub(crate) fn legend<'a>(out: &mut String, names: impl Iterator<Item = &'a str>) {
    out.push_str("<div class=\"legend\">");
    for (i, name) in names.enumerate() {
        let color = i.min(COLORS - 1);
        let _ = write!(out, "<span><i class=\"k{color}\"></i>{}</span>", escape(name));
    }
    out.push_str("</div>\n");
}

/// A bar of a table's cell, `share` of its width.
pub(crate) fn bar(out: &mut String, share: f64) {
    let percent = share.clamp(0.0, 1.0) * 100.0;
    let _ = write!(
        out,
        "<svg class=\"bar\" role=\"img\" aria-label=\"{percent:.0}%\"><rect \
         width=\"{percent:.1}%\" height=\"100%\" rx=\"2\" fill=\"var(--bar)\"/></svg>"
    );
}

/// Text in HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // What XML and HTML forbid, even as a reference.
            c if c.is_control() && !matches!(c, '\n' | '\t' | '\r') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Text in HTML; what is between backticks is code.
fn code(text: &str) -> String {
    let mut out = String::new();
    for (i, part) in text.split('`').enumerate() {
        let part = escape(part);
        out += &if i % 2 == 1 { format!("<code>{part}</code>") } else { part };
    }
    out
}

/// The text with its first letter a capital one.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if first.is_lowercase() => first.to_uppercase().chain(chars).collect(),
        _ => text.to_string(),
    }
}

/// Text in at most that many characters.
pub(crate) fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let mut out: String = text.chars().take(most.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// Values from 0 on for the lines of a grid: at most `most` besides 0, round in `base` (10, or
/// 1024 for bytes), the last at or above `max`.
pub(crate) fn ticks(max: f64, most: usize, binary: bool) -> Vec<f64> {
    let max = if max > 0.0 && max.is_finite() { max } else { 1.0 };
    let least = max / most as f64;
    let step = if binary {
        least.log2().ceil().exp2().max(1.0)
    } else {
        let power = 10_f64.powf(least.log10().floor());
        let round = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
        round.into_iter().find(|s| *s >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
    };
    let count = (max / step - 1e-9).ceil().max(1.0) as usize;
    (0..=count).map(|i| i as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_greatest() {
        assert_eq!(ticks(0.93, 5, false), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(10.0, 5, false), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(
            ticks(3e9, 4, true),
            [0.0, f64::exp2(30.0), f64::exp2(31.0), 3.0 * f64::exp2(30.0)]
        );
        assert_eq!(ticks(0.0, 4, false), [0.0, 0.5, 1.0]);
        for max in [1e-9, 0.3, 7.0, 1e6, 1.0001e12, f64::NAN] {
            for binary in [false, true] {
                let t = ticks(max, 6, binary);
                assert!(t.len() <= 8 && (max.is_nan() || t[t.len() - 1] >= max), "{max}: {t:?}");
            }
        }
    }

    #[test]
    fn texts_are_cut_and_escaped() {
        assert_eq!(short("abcdef", 4), "abc…");
        assert_eq!(short("äöü", 3), "äöü");
        assert_eq!(escape("a<b> & \"c\"\u{1}"), "a&lt;b&gt; &amp; &quot;c&quot;\u{fffd}");
        assert_eq!(code("see `a < b` and c"), "see <code>a &lt; b</code> and c");
        assert_eq!(capital("partition 7"), "Partition 7");
    }

    #[test]
    fn findings_come_with_their_advice() {
        let found =
            [Finding { weight: 0.1, what: "a < b".into(), advice: "raise --memory".into() }];
        let page = head("t", Some("no <file>"), &found);
        for part in ["failed: no &lt;file&gt;", "A &lt; b", "raise --memory", "class=\"small\""] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(head("t", None, &[]).contains("Nothing stands out"));
    }
}
