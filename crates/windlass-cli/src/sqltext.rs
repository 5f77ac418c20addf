//! SQL as text: tokens, where statements end, and whether one is complete.
//! Nothing here knows grammar; it only must not be misled by quotes and comments.

use std::ops::Range;

/// What a piece of SQL text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Keyword or plain identifier.
    Word,
    /// Number.
    Number,
    /// `'text'`, `E'text'` or `$$text$$`.
    String,
    /// `"identifier"` or `` `identifier` ``.
    Quoted,
    /// `-- line` or `/* block */`.
    Comment,
    /// White space.
    Space,
    /// `;`.
    Semicolon,
    /// Anything else.
    Symbol,
}

/// A token: its kind, its bytes, and whether its end is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its bytes in the text.
    pub(crate) range: Range<usize>,
    /// False for a string, identifier or comment that runs into the end of the text.
    pub(crate) closed: bool,
}

/// Splits text into tokens that cover all of it.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let b = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < b.len() {
        let start = at;
        let (kind, end, closed) = match b[at] {
            b';' => (Kind::Semicolon, at + 1, true),
            b'-' if b.get(at + 1) == Some(&b'-') => {
                (Kind::Comment, text[at..].find('\n').map_or(b.len(), |n| at + n), true)
            }
            b'/' if b.get(at + 1) == Some(&b'*') => {
                let (end, closed) = block_comment(b, at);
                (Kind::Comment, end, closed)
            }
            b'\'' => {
                let (end, closed) = quoted(b, at, false);
                (Kind::String, end, closed)
            }
            b'e' | b'E' if b.get(at + 1) == Some(&b'\'') => {
                let (end, closed) = quoted(b, at + 1, true);
                (Kind::String, end, closed)
            }
            b'"' | b'`' => {
                let (end, closed) = quoted(b, at, false);
                (Kind::Quoted, end, closed)
            }
            b'$' => match dollar_quoted(text, at) {
                Some((end, closed)) => (Kind::String, end, closed),
                None => (Kind::Symbol, at + 1, true),
            },
            c if c.is_ascii_whitespace() => {
                (Kind::Space, run(b, at, |c| c.is_ascii_whitespace()), true)
            }
            c if c.is_ascii_digit() => {
                (Kind::Number, run(b, at, |c| c.is_ascii_alphanumeric() || c == b'.'), true)
            }
            c if c.is_ascii_alphabetic() || c == b'_' || c >= 0x80 => {
                let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c >= 0x80;
                (Kind::Word, run(b, at, word), true)
            }
            _ => (Kind::Symbol, at + 1, true),
        };
        at = end;
        out.push(Token { kind, range: start..end, closed });
    }
    out
}

fn run(b: &[u8], from: usize, keep: impl Fn(u8) -> bool) -> usize {
    b[from..].iter().position(|c| !keep(*c)).map_or(b.len(), |n| from + n)
}

/// The end of the quoted text that starts at `at`; a doubled quote stands for itself.
fn quoted(b: &[u8], at: usize, escapes: bool) -> (usize, bool) {
    let quote = b[at];
    let mut i = at + 1;
    while i < b.len() {
        if escapes && b[i] == b'\\' {
            i += 2;
        } else if b[i] != quote {
            i += 1;
        } else if b.get(i + 1) == Some(&quote) {
            i += 2;
        } else {
            return (i + 1, true);
        }
    }
    (b.len(), false)
}

/// The end of a block comment; they nest.
fn block_comment(b: &[u8], at: usize) -> (usize, bool) {
    let mut depth = 1;
    let mut i = at + 2;
    while i + 1 < b.len() {
        match (b[i], b[i + 1]) {
            (b'*', b'/') if depth == 1 => return (i + 2, true),
            (b'*', b'/') => {
                depth -= 1;
                i += 2;
            }
            (b'/', b'*') => {
                depth += 1;
                i += 2;
            }
            _ => i += 1,
        }
    }
    (b.len(), false)
}

/// The end of `$tag$ … $tag$`; `None` where no such tag opens.
fn dollar_quoted(text: &str, at: usize) -> Option<(usize, bool)> {
    let b = text.as_bytes();
    let tag_end = run(b, at + 1, |c| c.is_ascii_alphanumeric() || c == b'_');
    if b.get(tag_end) != Some(&b'$') || b.get(at + 1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let tag = &text[at..=tag_end];
    let body = tag_end + 1;
    match text[body..].find(tag) {
        Some(n) => Some((body + n + tag.len(), true)),
        None => Some((b.len(), false)),
    }
}

/// The statements of a text that are complete, as bytes of it, and the rest behind them.
/// Comments and empty statements between them belong to what follows.
pub(crate) fn complete_statements(text: &str) -> (Vec<Range<usize>>, Range<usize>) {
    let mut out = Vec::new();
    let mut start = 0;
    let mut solid = false;
    for t in tokens(text) {
        match t.kind {
            Kind::Semicolon => {
                if solid {
                    out.push(start..t.range.end);
                }
                start = t.range.end;
                solid = false;
            }
            Kind::Space | Kind::Comment if t.closed => {}
            _ => solid = true,
        }
    }
    (out, start..text.len())
}

/// Whether a text holds nothing but white space and comments.
pub(crate) fn is_blank(text: &str) -> bool {
    tokens(text).iter().all(|t| t.closed && matches!(t.kind, Kind::Space | Kind::Comment))
}

/// A statement's first words on one line of at most `width` characters.
pub(crate) fn summary(text: &str, width: usize) -> String {
    let line = tokens(text)
        .iter()
        .filter(|t| t.kind != Kind::Comment)
        .map(|t| if t.kind == Kind::Space { " " } else { &text[t.range.clone()] })
        .collect::<String>();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= width {
        return line;
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Whether an interactive line can be run: it ends with `;`, is a `\` command, or is empty.
pub(crate) fn is_complete(text: &str) -> bool {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with('\\') {
        return true;
    }
    let all = tokens(text);
    let last = all.iter().rev().find(|t| !matches!(t.kind, Kind::Space | Kind::Comment));
    all.iter().all(|t| t.closed) && last.is_none_or(|t| t.kind == Kind::Semicolon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_split_outside_of_quotes_and_comments() {
        let script = "-- first; one\nselect ';' as a, \"b;\" , 'it''s;' ;\n\n  /* x; /* y; */ */ \
                      select E'it\\'s;', $t$ a; $$ b; $t$ ; ; -- end;\n select 2 -- no semicolon\n";
        let (done, rest) = complete_statements(script);
        assert_eq!(done.len(), 2);
        assert!(script[done[0].clone()].ends_with("'it''s;' ;"));
        assert!(script[done[1].clone()].ends_with("$t$ ;"));
        assert!(script[rest.clone()].contains("select 2") && !is_blank(&script[rest]));
        assert!(is_blank(" -- a\n/* b */ "));
    }

    #[test]
    fn tokens_cover_the_text() {
        for text in
            ["select 'a", "/* open", "$$ open", "$1 + 2.5e3", "\"é\" ü ;", "a-b--c\n/d", "`x"]
        {
            let all = tokens(text);
            let joined: String = all.iter().map(|t| &text[t.range.clone()]).collect();
            assert_eq!(joined, text);
        }
    }

    #[test]
    fn what_is_complete_can_run() {
        for yes in ["", "select 1;", "select 1; -- done", "\\d", "select ';';", "  "] {
            assert!(is_complete(yes), "{yes}");
        }
        for no in ["select 1", "select ';", "select 1; select 2", "/* ; ", "select 1 -- ;"] {
            assert!(!is_complete(no), "{no}");
        }
    }

    #[test]
    fn a_summary_is_one_line() {
        let text = "select a, -- the first\n   b\nfrom t";
        assert_eq!(summary(text, 80), "select a, b from t");
        assert_eq!(summary(text, 9), "select a…");
    }
}
