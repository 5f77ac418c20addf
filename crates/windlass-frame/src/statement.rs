//! SQL texts of several statements: splitting, positions, and what running one gives.

use std::{path::PathBuf, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    error::DataFusionError,
    sql::{
        parser::{DFParserBuilder, Statement as Parsed},
        sqlparser::{
            dialect::GenericDialect,
            tokenizer::{Location, Token, TokenWithSpan, Tokenizer},
        },
    },
};

use crate::{
    cancel::CancelToken,
    error::{FrameError, Position, Result},
    stats::{ProgressSink, RowSink},
};

/// One parsed SQL statement of a text.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(crate) parsed: Parsed,
    text: String,
    position: Position,
}

impl Statement {
    /// The statement's own text, without the closing semicolon.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it starts in the whole text.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// How a statement is run.
#[derive(Clone, Default)]
pub struct RunOptions {
    /// Cancels the statement.
    pub cancel: CancelToken,
    /// Takes snapshots while it runs.
    pub progress: Option<Arc<dyn ProgressSink>>,
    /// Takes the rows of a query as they come; [`Outcome::Rows`] then holds no batch.
    ///
    /// Where a device other than the host may work for the query, the rows come at its end,
    /// so that it can still run again on the CPU.
    pub rows: Option<Arc<dyn RowSink>>,
}

impl std::fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions").field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

/// What a statement gave.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Rows of a query.
    Rows {
        /// The columns.
        schema: SchemaRef,
        /// The rows; may be no batch at all.
        batches: Vec<RecordBatch>,
    },
    /// Files of a `COPY` or `INSERT`.
    Written {
        /// Rows written.
        rows: u64,
        /// Files written; 0 for a table in memory.
        files: u64,
        /// Their size; 0 for a table in memory.
        bytes: u64,
        /// The target as written in the statement.
        path: PathBuf,
    },
    /// A definition or setting took effect.
    Done {
        /// One line for the user.
        message: String,
    },
}

impl Outcome {
    /// Rows returned or written.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Rows { batches, .. } => batches.iter().map(|b| b.num_rows() as u64).sum(),
            Self::Written { rows, .. } => *rows,
            Self::Done { .. } => 0,
        }
    }
}

/// Splits and parses a text. Positions are those in the whole text.
///
/// # Errors
/// [`FrameError::Syntax`] with line and column.
pub(crate) fn parse(text: &str) -> Result<Vec<Statement>> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|e| {
        FrameError::Syntax {
            message: e.message.clone(),
            position: Some(Position { line: e.location.line, column: e.location.column }),
        }
    })?;
    let offsets = Offsets::new(text);
    let mut out = Vec::new();
    for group in tokens.split(|t| t.token == Token::SemiColon) {
        let solid = |t: &&TokenWithSpan| !matches!(t.token, Token::Whitespace(_));
        let (Some(first), Some(last)) = (group.iter().find(solid), group.iter().rev().find(solid))
        else {
            continue;
        };
        let mut parser = DFParserBuilder::new(group.to_vec())
            .with_dialect(&dialect)
            .build()
            .map_err(FrameError::from)?;
        let mut parsed =
            parser.parse_statements().map_err(|e| end_of_statement(e, last.span.end))?;
        let Some(parsed) = parsed.pop_front() else { continue };
        let start = offsets.byte(first.span.start);
        let end = offsets.byte(last.span.end).max(start);
        out.push(Statement {
            parsed,
            text: text[start..end].trim_end().to_string(),
            position: Position { line: first.span.start.line, column: first.span.start.column },
        });
    }
    Ok(out)
}

/// An error at the end of the tokens has no place of its own: it is the statement's end.
fn end_of_statement(error: DataFusionError, end: Location) -> FrameError {
    let end = Position { line: end.line, column: end.column };
    FrameError::from(error).with_position(Some(end))
}

/// Byte offsets of the tokenizer's lines and columns (both from 1, in characters).
struct Offsets<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self { text, lines: std::iter::once(0).chain(starts).collect() }
    }

    fn byte(&self, at: Location) -> usize {
        let line = (at.line.max(1) - 1) as usize;
        let start = self.lines.get(line).copied().unwrap_or(self.text.len());
        let skip = (at.column.max(1) - 1) as usize;
        self.text[start..].char_indices().nth(skip).map_or(self.text.len(), |(i, _)| start + i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_keep_text_and_place() {
        let text = "-- first; not an end\nselect 1;\n\n  select 'a;b' as é\n  ; ;select 3";
        let all = parse(text).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].text(), "select 1");
        assert_eq!(all[0].position(), Position { line: 2, column: 1 });
        assert_eq!(all[1].text(), "select 'a;b' as é");
        assert_eq!(all[1].position(), Position { line: 4, column: 3 });
        assert_eq!(all[2].text(), "select 3");
    }

    #[test]
    fn a_syntax_error_names_its_place_in_the_whole_text() {
        let e = parse("select 1;\nselect frm where from x").unwrap_err();
        let FrameError::Syntax { position: Some(p), .. } = &e else { panic!("{e:?}") };
        assert_eq!(p.line, 2, "{e}");
        let e = parse("select 1;\nselect 2 from").unwrap_err();
        assert!(e.to_string().contains("line 2"), "{e}");
        let e = parse("select 'open").unwrap_err();
        assert!(e.to_string().contains("line 1"), "{e}");
    }
}
