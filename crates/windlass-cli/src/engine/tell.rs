//! Errors of the session as messages, with their place in the job.

use windlass::{FrameError, Position};

use super::Source;
use crate::error::Error;

/// Turns an engine's error into a message, with the place in the source where it has one.
pub(crate) fn tell(e: FrameError, source: Option<&Source<'_>>) -> Error {
    if matches!(e, FrameError::Cancelled) {
        return Error::Interrupted;
    }
    let at = match &e {
        FrameError::Syntax { position, .. }
        | FrameError::UnknownColumn { position, .. }
        | FrameError::UnknownTable { position, .. } => *position,
        _ => None,
    };
    let mut what = e.to_string();
    if let (Some(at), Some(source)) = (at, source) {
        if let Some(path) = source.path {
            what = format!("{}:{}:{}: {what}", path.display(), at.line, at.column);
        }
        what += &excerpt(source.text, at);
    }
    let help = match &e {
        FrameError::MissingFile { nearest: None, .. } => Some("check the path"),
        FrameError::Memory(_) => Some("raise --memory, or free memory on this machine"),
        FrameError::Device(_) => Some("`windlass devices` lists what this host has"),
        _ => None,
    };
    let error = Error::failed(what);
    match help {
        Some(help) => error.or_help(help),
        None => error,
    }
}

/// The line of the source with a mark under the column.
fn excerpt(text: &str, at: Position) -> String {
    let (line, column) = (at.line as usize, at.column as usize);
    let Some(shown) = line.checked_sub(1).and_then(|n| text.lines().nth(n)) else {
        return String::new();
    };
    let shown = shown.replace('\t', " ");
    let number = line.to_string();
    let gap = " ".repeat(number.len());
    let under = " ".repeat(column.saturating_sub(1));
    format!("\n{number} | {shown}\n{gap} | {under}^")
}

impl Error {
    /// Names the job's file and the statement's line where the message names no place.
    pub(super) fn at_statement(mut self, at: Position, source: &Source<'_>) -> Self {
        if let (Self::Failed(m), Some(path)) = (&mut self, source.path) {
            let prefix = format!("{}:", path.display());
            if !m.what.starts_with(&prefix) {
                m.what = format!("{prefix}{}:{}: {}", at.line, at.column, m.what);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn an_error_shows_its_line() {
        let e = FrameError::Syntax {
            message: "unexpected from".into(),
            position: Some(Position { line: 2, column: 8 }),
        };
        let source = Source { path: Some(Path::new("a.sql")), text: "select 1;\nselect from;\n" };
        let text = tell(e, Some(&source)).to_string();
        assert!(text.starts_with("error: a.sql:2:8: SQL syntax error"), "{text}");
        assert!(text.contains("2 | select from;\n      |        ^"), "{text}");
    }

    #[test]
    fn any_error_of_a_job_names_its_statement() {
        let source = Source { path: Some(Path::new("a.sql")), text: "" };
        let e = tell(FrameError::Execution("broken".into()), Some(&source))
            .at_statement(Position { line: 7, column: 1 }, &source);
        assert_eq!(e.to_string(), "error: a.sql:7:1: broken");
    }
}
