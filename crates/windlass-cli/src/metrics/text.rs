//! The text exposition format of Prometheus, version 0.0.4:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::Write;

/// The content type of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family of values is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows; its name ends with `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Labels of a value, with their names.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A text in the making.
#[derive(Debug, Default)]
pub(super) struct Text {
    out: String,
}

impl Text {
    /// Adds a family with its values; without any it is left out.
    pub(super) fn family(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        values: &[(Labels<'_>, f64)],
    ) {
        debug_assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
        if values.is_empty() {
            return;
        }
        let kind = if kind == Kind::Counter { "counter" } else { "gauge" };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in values {
            self.out.push_str(name);
            for (i, (label, text)) in labels.iter().enumerate() {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let open = if i == 0 { '{' } else { ',' };
                let _ = write!(self.out, "{open}{label}=\"{text}\"");
            }
            if !labels.is_empty() {
                self.out.push('}');
            }
            let _ = writeln!(self.out, " {value}");
        }
    }

    /// A family of one value without labels.
    pub(super) fn one(&mut self, kind: Kind, name: &str, help: &str, value: f64) {
        self.family(kind, name, help, &[(&[], value)]);
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_help_are_escaped() {
        let mut text = Text::default();
        text.family(
            Kind::Counter,
            "a_total",
            "first\nsecond \\",
            &[(&[("device", "a\"b\\c\nd"), ("kind", "x")], 2.0), (&[], 0.5)],
        );
        text.one(Kind::Gauge, "b_bytes", "bytes", 1e15);
        text.family(Kind::Gauge, "none", "left out", &[]);
        assert_eq!(
            text.finish(),
            "# HELP a_total first\\nsecond \\\\\n# TYPE a_total counter\n\
             a_total{device=\"a\\\"b\\\\c\\nd\",kind=\"x\"} 2\na_total 0.5\n\
             # HELP b_bytes bytes\n# TYPE b_bytes gauge\nb_bytes 1000000000000000\n"
        );
    }
}
