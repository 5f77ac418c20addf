//! The engine's messages in a user's words.

use arrow::error::ArrowError;

use crate::error::Position;

/// What is said of a call with arguments of wrong types, without the internal error that
/// DataFusion wraps it in.
pub(crate) fn signature(text: &str) -> Option<&str> {
    text.find("No function matches").map(|at| &text[at..])
}

/// "… at Line: 3, Column: 14" at the end of a parser's message.
pub(crate) fn split_position(message: &str) -> (String, Option<Position>) {
    let parse = || {
        let at = message.rfind(" at Line: ")?;
        let (line, column) = message[at + 10..].split_once(", Column: ")?;
        let position =
            Position { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? };
        Some((message[..at].to_string(), position))
    };
    match parse() {
        Some((text, position)) => (text, Some(position)),
        None => (message.to_string(), None),
    }
}

/// What is said of a query that cannot be planned, where the engine speaks of its own parts.
pub(crate) fn plan(message: &str) -> String {
    if let Some(format) = message.strip_prefix("Unable to find factory for ") {
        return format!(
            "unknown format {format} after STORED AS: use CSV, TSV, JSON, NDJSON, JSONL, \
             PARQUET, ARROW or AVRO"
        );
    }
    if message.contains("`nested_expressions`") {
        return "lists, structs and maps cannot be written as literals here".to_string();
    }
    signature(message).unwrap_or(message).to_string()
}

/// What is said of data that does not suit an operation, without the names of libraries.
pub(crate) fn arrow(error: &ArrowError) -> String {
    match error {
        ArrowError::CastError(m)
        | ArrowError::ParseError(m)
        | ArrowError::ComputeError(m)
        | ArrowError::InvalidArgumentError(m)
        | ArrowError::ArithmeticOverflow(m) => m.clone(),
        e => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parser_positions_are_read() {
        let (text, p) = split_position("Expected: x, found: y at Line: 3, Column: 14");
        assert_eq!(text, "Expected: x, found: y");
        assert_eq!(p, Some(Position { line: 3, column: 14 }));
    }

    #[test]
    fn no_library_is_named() {
        let told = arrow(&ArrowError::CastError("Cannot cast string 'x'".to_string()));
        assert_eq!(told, "Cannot cast string 'x'");
        assert!(plan("Unable to find factory for FOO").contains("unknown format FOO"));
    }
}
