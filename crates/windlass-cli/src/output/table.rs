//! Tables to read: columns fitted to the terminal, nulls told apart, long results cut.

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, SchemaRef},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::size::format_count;

/// Narrowest that a text column is cut to before whole columns are left out. A guess.
const MIN_TEXT_WIDTH: usize = 8;
/// Width taken where standard output is a terminal of unknown size.
const DEFAULT_WIDTH: usize = 100;

/// How a table looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableStyle {
    /// Most characters of a line; `None`: as many as needed.
    pub(crate) width: Option<usize>,
    /// Most rows shown; `None`: all.
    pub(crate) rows: Option<usize>,
    /// Whether to dim nulls and brighten the header.
    pub(crate) color: bool,
    /// Whether to say the number of rows under the table.
    pub(crate) footer: bool,
}

impl TableStyle {
    /// Everything, in plain characters.
    pub(crate) fn plain() -> Self {
        Self { width: None, rows: None, color: false, footer: true }
    }

    /// Fitted to the terminal on standard output.
    pub(crate) fn terminal(rows: usize) -> Self {
        let width = terminal_size::terminal_size_of(std::io::stdout())
            .map_or(DEFAULT_WIDTH, |(w, _)| usize::from(w.0));
        Self { width: Some(width), rows: Some(rows), color: use_color(), footer: true }
    }
}

/// Whether a terminal wants color (<https://no-color.org>).
pub(crate) fn use_color() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

/// Collects batches and renders them as one table.
pub(crate) struct TableWriter {
    schema: SchemaRef,
    style: TableStyle,
    batches: Vec<RecordBatch>,
    held: usize,
    rows: u64,
}

impl TableWriter {
    /// An empty table.
    pub(crate) fn new(schema: SchemaRef, style: TableStyle) -> Self {
        Self { schema, style, batches: Vec::new(), held: 0, rows: 0 }
    }

    /// Takes a batch; keeps of it only what will be shown.
    pub(crate) fn push(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        let room = self.style.rows.map_or(usize::MAX, |limit| limit - self.held.min(limit));
        let keep = batch.num_rows().min(room);
        if keep > 0 {
            self.held += keep;
            self.batches.push(batch.slice(0, keep));
        }
    }

    /// The table's text.
    ///
    /// # Errors
    /// A type that cannot be shown.
    pub(crate) fn render(&self) -> Result<String, ArrowError> {
        if is_plan(&self.schema) {
            return self.render_plan();
        }
        let options = FormatOptions::default().with_null("NULL").with_display_error(true);
        let header: Vec<String> = self.schema.fields().iter().map(|f| clean(f.name())).collect();
        let right: Vec<bool> =
            self.schema.fields().iter().map(|f| is_numeric(f.data_type())).collect();
        let mut cells = Vec::with_capacity(self.held);
        for batch in &self.batches {
            let columns = batch
                .columns()
                .iter()
                .map(|c| ArrayFormatter::try_new(c.as_ref(), &options))
                .collect::<Result<Vec<_>, _>>()?;
            // A dictionary's null can lie in its values, so the logical mask is the one.
            let nulls: Vec<_> = batch.columns().iter().map(|c| c.logical_nulls()).collect();
            for row in 0..batch.num_rows() {
                let line = columns.iter().zip(&nulls).map(|(f, nulls)| {
                    if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                        None
                    } else {
                        Some(clean(&f.value(row).to_string()))
                    }
                });
                cells.push(line.collect());
            }
        }
        let mut out = render_rows(&header, &cells, &right, self.style);
        if self.style.footer {
            let hidden = self.rows - self.held as u64;
            let s = if self.rows == 1 { "" } else { "s" };
            if hidden > 0 {
                out += &format!(
                    "… {} more row{} ({} in all; --format csv or --output shows every row)\n",
                    format_count(hidden),
                    if hidden == 1 { "" } else { "s" },
                    format_count(self.rows)
                );
            } else {
                out += &format!("{} row{s}\n", format_count(self.rows));
            }
        }
        Ok(out)
    }
}

impl TableWriter {
    /// The plans of an `EXPLAIN` as they are: a table would break their lines.
    fn render_plan(&self) -> Result<String, ArrowError> {
        let mut out = String::new();
        for batch in &self.batches {
            let options = FormatOptions::default();
            let kinds = ArrayFormatter::try_new(batch.column(0).as_ref(), &options)?;
            let plans = ArrayFormatter::try_new(batch.column(1).as_ref(), &options)?;
            for row in 0..batch.num_rows() {
                if !out.is_empty() {
                    out.push('\n');
                }
                out += &format!("{}:\n", clean(&kinds.value(row).to_string()));
                for line in plans.value(row).to_string().trim_end().lines() {
                    out += &format!("  {}\n", clean(line));
                }
            }
        }
        Ok(out)
    }
}

/// Whether rows are what `EXPLAIN` gives.
fn is_plan(schema: &SchemaRef) -> bool {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    names == ["plan_type", "plan"]
}

/// Text without line breaks and control characters, which would break the table or reach
/// the terminal as commands.
fn clean(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_string();
    }
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

fn is_numeric(t: &DataType) -> bool {
    match t {
        DataType::Dictionary(_, values) => is_numeric(values),
        t => t.is_numeric(),
    }
}

/// A table of given cells; `None` is a null. `right` says which columns hold numbers.
pub(crate) fn render_rows(
    header: &[String],
    cells: &[Vec<Option<String>>],
    right: &[bool],
    style: TableStyle,
) -> String {
    let cell_width = |row: &Vec<Option<String>>, i: usize| row[i].as_deref().map_or(4, str::width);
    let natural: Vec<usize> = (0..header.len())
        .map(|i| cells.iter().map(|r| cell_width(r, i)).fold(header[i].width(), usize::max))
        .collect();
    let layout = fit(&natural, right, style.width);
    let paint = |text: String, code: &str| {
        if style.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    };
    let rule = |l: &str, m: &str, r: &str| {
        let bars: Vec<String> = layout.iter().map(|(_, w)| "─".repeat(w + 2)).collect();
        paint(format!("{l}{}{r}", bars.join(m)), "2") + "\n"
    };
    let bar = paint("│".to_string(), "2");
    let mut out = rule("┌", "┬", "┐");
    let line = |out: &mut String, cell: &dyn Fn(usize, usize) -> String| {
        for (i, w) in &layout {
            let text = match i {
                Some(i) => cell(*i, *w),
                None => "…".to_string(),
            };
            *out += &format!("{bar} {text} ");
        }
        *out += &format!("{bar}\n");
    };
    line(&mut out, &|i, w| paint(pad(&header[i], w, right[i]), "1"));
    out += &rule("├", "┼", "┤");
    for row in cells {
        line(&mut out, &|i, w| match &row[i] {
            Some(text) => pad(text, w, right[i]),
            None => paint(pad("NULL", w, right[i]), "2"),
        });
    }
    out += &rule("└", "┴", "┘");
    let hidden = header.len() - layout.iter().filter(|(i, _)| i.is_some()).count();
    if hidden > 0 {
        out += &format!("{hidden} of {} columns are left out for lack of width\n", header.len());
    }
    out
}

/// Which columns are shown, and how wide; `None` stands for the ones left out.
fn fit(natural: &[usize], right: &[bool], limit: Option<usize>) -> Vec<(Option<usize>, usize)> {
    let all: Vec<(Option<usize>, usize)> =
        natural.iter().enumerate().map(|(i, w)| (Some(i), *w)).collect();
    let Some(limit) = limit else { return all };
    let total = |l: &[(Option<usize>, usize)]| l.iter().map(|(_, w)| w + 3).sum::<usize>() + 1;
    // Text is cut, numbers are not: half a number is a wrong number.
    let cut = |l: &[(Option<usize>, usize)], cap: usize| -> Vec<(Option<usize>, usize)> {
        let keep = |i: &Option<usize>| i.is_none_or(|i| right[i]);
        l.iter().map(|(i, w)| (*i, if keep(i) { *w } else { (*w).min(cap) })).collect()
    };
    let mut shown = all;
    loop {
        if total(&cut(&shown, MIN_TEXT_WIDTH)) <= limit || shown.len() <= 2 {
            break;
        }
        // Leave out the middle column, behind one mark.
        match shown.iter().position(|(i, _)| i.is_none()) {
            None => {
                let mid = shown.len() / 2;
                shown[mid] = (None, 1);
            }
            Some(mark) => {
                let side = if mark * 2 >= shown.len() && mark > 1 { mark - 1 } else { mark + 1 };
                shown.remove(side.min(shown.len() - 1));
            }
        }
    }
    let widest = shown.iter().map(|(_, w)| *w).max().unwrap_or(0);
    let cap = (MIN_TEXT_WIDTH..=widest).rev().find(|c| total(&cut(&shown, *c)) <= limit);
    cut(&shown, cap.unwrap_or(MIN_TEXT_WIDTH))
}

/// Text cut or filled to a width in terminal cells.
fn pad(text: &str, width: usize, right: bool) -> String {
    let mut text = text.to_string();
    if text.width() > width {
        let mut used = 0;
        let mut cut = String::new();
        for c in text.chars() {
            let w = c.width().unwrap_or(0);
            if used + w + 1 > width {
                break;
            }
            used += w;
            cut.push(c);
        }
        cut.push('…');
        text = cut;
    }
    let fill = " ".repeat(width.saturating_sub(text.width()));
    if right { fill + &text } else { text + &fill }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch() -> RecordBatch {
        let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(12345)]));
        let t: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a\nb\x1b[31m"),
            Some("NULL"),
            Some("a long text that will not fit"),
        ]));
        RecordBatch::try_from_iter([("n", n), ("text", t)]).unwrap()
    }

    fn render(style: TableStyle) -> String {
        let b = batch();
        let mut w = TableWriter::new(b.schema(), style);
        w.push(&b);
        w.render().unwrap()
    }

    #[test]
    fn plain_tables_show_everything() {
        let text = render(TableStyle::plain());
        assert_eq!(
            text,
            "┌───────┬───────────────────────────────┐\n\
             │     n │ text                          │\n\
             ├───────┼───────────────────────────────┤\n\
             │     1 │ a\\nb\\u{1b}[31m                │\n\
             │  NULL │ NULL                          │\n\
             │ 12345 │ a long text that will not fit │\n\
             └───────┴───────────────────────────────┘\n\
             3 rows\n"
        );
    }

    #[test]
    fn plans_keep_their_lines() {
        let kind: ArrayRef = Arc::new(StringArray::from(vec!["logical_plan", "physical_plan"]));
        let plan: ArrayRef = Arc::new(StringArray::from(vec!["Limit\n  Scan\n", "Exec"]));
        let b = RecordBatch::try_from_iter([("plan_type", kind), ("plan", plan)]).unwrap();
        let mut w = TableWriter::new(b.schema(), TableStyle::plain());
        w.push(&b);
        let expected = "logical_plan:\n  Limit\n    Scan\n\nphysical_plan:\n  Exec\n";
        assert_eq!(w.render().unwrap(), expected);
    }

    #[test]
    fn a_narrow_terminal_cuts_text_and_rows() {
        let style = TableStyle { width: Some(24), rows: Some(1), color: false, footer: true };
        let text = render(style);
        assert!(text.lines().take(5).all(|l| l.width() <= 24), "{text}");
        assert!(text.contains("… 2 more rows (3 in all"), "{text}");
    }

    #[test]
    fn nulls_differ_from_the_text_null_on_a_terminal() {
        let style = TableStyle { width: Some(80), rows: None, color: true, footer: false };
        let text = render(style);
        let line = text.lines().nth(4).unwrap();
        assert!(line.contains("\x1b[2m NULL\x1b[0m") && line.contains(" NULL  "), "{line:?}");
    }

    #[test]
    fn too_many_columns_leave_out_the_middle_ones() {
        let header: Vec<String> = (0..40).map(|i| format!("column{i}")).collect();
        let row: Vec<Option<String>> = (0..40).map(|i| Some(i.to_string())).collect();
        let right = vec![true; 40];
        let style = TableStyle { width: Some(80), rows: None, color: false, footer: false };
        let text = render_rows(&header, &[row], &right, style);
        assert!(text.lines().all(|l| l.width() <= 80), "{text}");
        assert!(text.contains("column0 ") && text.contains("column39"), "{text}");
        assert!(text.contains("of 40 columns are left out"), "{text}");
    }
}
