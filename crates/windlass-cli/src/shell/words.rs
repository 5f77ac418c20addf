//! What the shell completes and colors: keywords, tables and columns.

use std::sync::{Arc, PoisonError, RwLock};

use nu_ansi_term::{Color, Style};
use reedline::{
    Completer, CompletionResult, Highlighter, Span, StyledText, Suggestion, ValidationResult,
    Validator,
};

use crate::sqltext::{Kind, is_complete, tokens};

/// Keywords worth completing, in the order they are offered.
const KEYWORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "DISTINCT",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "ILIKE",
    "IS NULL",
    "IS NOT NULL",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "JOIN",
    "LEFT JOIN",
    "RIGHT JOIN",
    "FULL JOIN",
    "CROSS JOIN",
    "INNER JOIN",
    "ON",
    "USING",
    "UNION",
    "UNION ALL",
    "EXCEPT",
    "INTERSECT",
    "WITH",
    "OVER",
    "PARTITION BY",
    "ASC",
    "DESC",
    "NULLS FIRST",
    "NULLS LAST",
    "EXISTS",
    "INTERVAL",
    "EXTRACT",
    "CREATE",
    "CREATE VIEW",
    "CREATE TABLE",
    "CREATE EXTERNAL TABLE",
    "STORED AS",
    "LOCATION",
    "OPTIONS",
    "PARTITIONED BY",
    "COPY",
    "TO",
    "INSERT INTO",
    "VALUES",
    "DROP TABLE",
    "DROP VIEW",
    "DESCRIBE",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "SHOW TABLES",
    "SHOW COLUMNS",
    "SET",
    "PARQUET",
    "CSV",
    "JSON",
    "ARROW",
    "AVRO",
    "NULL",
    "TRUE",
    "FALSE",
    "DATE",
    "TIMESTAMP",
];

/// Functions worth completing.
const FUNCTIONS: &[&str] = &[
    "abs",
    "avg",
    "ceil",
    "coalesce",
    "concat",
    "count",
    "date_part",
    "date_trunc",
    "exp",
    "floor",
    "greatest",
    "least",
    "length",
    "ln",
    "lower",
    "max",
    "median",
    "min",
    "nullif",
    "pow",
    "regexp_like",
    "replace",
    "round",
    "row_number",
    "sqrt",
    "starts_with",
    "stddev",
    "strpos",
    "substr",
    "sum",
    "to_timestamp",
    "trim",
    "upper",
    "var",
];

/// Commands of the shell itself.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    ("\\d", "list the tables; \\d NAME lists a table's columns"),
    ("\\device", "show the devices in use; \\device SPEC changes them"),
    ("\\format", "show or set how results are printed: \\format csv"),
    ("\\timing", "turn the time of each statement on or off"),
    ("\\?", "this help"),
    ("\\q", "leave"),
];

/// The command that a line is: one that starts with a backslash, or a word that other
/// shells take and that is no SQL.
pub(super) fn command(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with('\\') {
        return Some(line);
    }
    match line.trim_end_matches(';').trim_end().to_ascii_lowercase().as_str() {
        "exit" | "quit" => Some("\\q"),
        "help" => Some("\\?"),
        _ => None,
    }
}

/// What a [`Name`] that is a table says of itself.
pub(super) const TABLE: &str = "table";

/// Names of tables and columns, refreshed after each statement.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Arc<RwLock<Vec<Name>>>);

/// A table or column that can be completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// The name.
    pub(super) name: String,
    /// What it is, shown beside it.
    pub(super) what: String,
}

impl Names {
    /// Replaces all names.
    pub(super) fn set(&self, names: Vec<Name>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    fn get(&self) -> Vec<Name> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A name as SQL takes it: quoted where the plain form would be folded or misread.
pub(super) fn quote(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let keyword = KEYWORDS.iter().any(|k| k.eq_ignore_ascii_case(name));
    if plain && !keyword { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Completes keywords, functions, tables and columns.
pub(super) struct SqlCompleter(pub(super) Names);

impl Completer for SqlCompleter {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        CompletionResult::fresh(suggest(line, pos, &self.0.get()))
    }
}

fn suggest(line: &str, pos: usize, names: &[Name]) -> Vec<Suggestion> {
    let Some(before) = line.get(..pos) else { return Vec::new() };
    let make = |start: usize, value: String, what: Option<String>| Suggestion {
        value,
        description: what,
        span: Span::new(start, pos),
        append_whitespace: true,
        ..Suggestion::default()
    };
    if let Some(start) = before.find('\\').filter(|at| before[..*at].trim().is_empty()) {
        let typed = &before[start..];
        if let Some(prefix) = typed.strip_prefix("\\d ") {
            let tables = names.iter().filter(|n| n.what == TABLE && n.name.starts_with(prefix));
            return tables.map(|n| make(start + 3, n.name.clone(), Some(n.what.clone()))).collect();
        }
        let commands = COMMANDS.iter().filter(|(c, _)| c.starts_with(typed));
        return commands
            .map(|(c, what)| make(start, c.to_string(), Some(what.to_string())))
            .collect();
    }
    // Inside a string or comment there is nothing to complete.
    let last = tokens(before).pop();
    let (start, prefix) = match &last {
        Some(t) if t.kind == Kind::Word => (t.range.start, &before[t.range.clone()]),
        Some(t) if t.kind == Kind::Quoted && !t.closed => {
            (t.range.start, &before[t.range.start + 1..])
        }
        Some(t) if !t.closed || t.kind == Kind::Comment => return Vec::new(),
        _ => (pos, ""),
    };
    let lower = prefix.to_lowercase();
    let mut out: Vec<Suggestion> = names
        .iter()
        .filter(|n| n.name.to_lowercase().starts_with(&lower))
        .map(|n| make(start, quote(&n.name), Some(n.what.clone())))
        .collect();
    if prefix.is_empty() || last.is_some_and(|t| t.kind == Kind::Quoted) {
        return out;
    }
    let small = prefix.chars().any(char::is_lowercase);
    for k in KEYWORDS.iter().filter(|k| k.to_lowercase().starts_with(&lower)) {
        out.push(make(start, if small { k.to_lowercase() } else { k.to_string() }, None));
    }
    for f in FUNCTIONS.iter().filter(|f| f.starts_with(&lower)) {
        let mut s = make(start, format!("{f}("), Some("function".to_string()));
        s.append_whitespace = false;
        out.push(s);
    }
    out
}

/// Asks for more lines until a statement is complete.
pub(super) struct UntilSemicolon;

impl Validator for UntilSemicolon {
    fn validate(&self, line: &str) -> ValidationResult {
        match is_complete(line) || command(line).is_some() {
            true => ValidationResult::Complete,
            false => ValidationResult::Incomplete,
        }
    }
}

/// Colors keywords, strings, numbers and comments.
pub(super) struct SqlHighlighter;

impl Highlighter for SqlHighlighter {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut out = StyledText::new();
        for t in tokens(line) {
            let text = &line[t.range];
            let style = match t.kind {
                Kind::Word if is_keyword(text) => Style::new().fg(Color::LightBlue).bold(),
                Kind::String => Style::new().fg(Color::Green),
                Kind::Number => Style::new().fg(Color::Cyan),
                Kind::Comment => Style::new().dimmed(),
                _ => Style::new(),
            };
            out.push((style, text.to_string()));
        }
        out
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|k| k.split(' ').any(|part| part.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<Name> {
        let name = |n: &str, w: &str| Name { name: n.into(), what: w.into() };
        vec![name("flights", "table"), name("dep_delay", "flights"), name("Dep Time", "flights")]
    }

    fn values(line: &str) -> Vec<String> {
        suggest(line, line.len(), &names()).into_iter().map(|s| s.value).collect()
    }

    #[test]
    fn names_come_before_keywords_and_are_quoted_where_needed() {
        let got = values("select dep");
        assert_eq!(got[..2], ["dep_delay".to_string(), "\"Dep Time\"".to_string()]);
        assert_eq!(values("select \"Dep"), ["dep_delay", "\"Dep Time\""]);
        assert_eq!(values("SELECT * FR"), ["FROM"]);
        assert_eq!(values("select * fr"), ["from"]);
        assert!(values("select coal").contains(&"coalesce(".to_string()));
    }

    #[test]
    fn strings_and_comments_complete_nothing() {
        assert!(values("select 'dep").is_empty());
        assert!(values("select 1 -- dep").is_empty());
    }

    #[test]
    fn commands_complete_with_their_table() {
        assert_eq!(values("\\ti"), ["\\timing"]);
        assert_eq!(values("\\d fl"), ["flights"]);
    }

    #[test]
    fn plain_names_stay_plain() {
        assert_eq!(quote("a_1"), "a_1");
        assert_eq!(quote("A"), "\"A\"");
        assert_eq!(quote("select"), "\"select\"");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }
}
