//! The crate's one error type, and the way from DataFusion's errors to it.

use std::{error::Error as StdError, fmt, path::PathBuf, sync::Arc};

use datafusion::{
    common::{Diagnostic, SchemaError},
    error::DataFusionError,
};
use windlass_device::DeviceError;
use windlass_kernels::KernelError;

use crate::{
    messages::{self, signature, split_position},
    nodes::DeviceFailure,
};

/// A place in an SQL text: both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What can go wrong between a query's text and its rows or files.
///
/// Every variant is a failed job (exit code 1 of the command).
#[derive(Debug, Clone, thiserror::Error)]
pub enum FrameError {
    /// The SQL text does not parse.
    #[error("SQL syntax error{}: {message}", at(position))]
    Syntax {
        /// The parser's words.
        message: String,
        /// Where, if the parser says so.
        position: Option<Position>,
    },
    /// No such column.
    #[error("unknown column {name:?}{}{}", at(position), hint(nearest, "columns"))]
    UnknownColumn {
        /// What was written.
        name: String,
        /// The nearest names, or a part of all names.
        nearest: Vec<String>,
        /// Where in the SQL text.
        position: Option<Position>,
    },
    /// No such table.
    #[error("unknown table {name:?}{}{}", at(position), hint(nearest, "tables"))]
    UnknownTable {
        /// What was written.
        name: String,
        /// The nearest names, or a part of all names.
        nearest: Vec<String>,
        /// Where in the SQL text.
        position: Option<Position>,
    },
    /// A file or folder does not exist.
    #[error("file not found: {path}{}", near(nearest))]
    MissingFile {
        /// The path or URL as written.
        path: String,
        /// A file of a similar name in the same folder.
        nearest: Option<String>,
    },
    /// A folder or pattern holds no file to read.
    #[error("no {format} file at {path}: {hint}")]
    NoFiles {
        /// The path, pattern or URL as written.
        path: String,
        /// The format looked for.
        format: String,
        /// What to check.
        hint: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The path or URL.
        path: String,
        /// Why.
        reason: String,
    },
    /// An object store needs credentials, and none were found.
    #[error("no credentials for {url}: {hint}")]
    Credentials {
        /// The bucket or container.
        url: String,
        /// What to set.
        hint: String,
    },
    /// A record of a CSV or JSON file does not fit the schema.
    #[error("{path}, line {line}{}: expected {expected}, got {got}", column_of(column))]
    MalformedRow {
        /// The file.
        path: String,
        /// The line that the record starts at, from 1, in the decompressed text.
        line: u64,
        /// The column's name.
        column: Option<String>,
        /// What the schema asks for, and what to do about it.
        expected: String,
        /// What the file holds.
        got: String,
    },
    /// The format cannot be told from the name.
    #[error(
        "cannot tell the format of {path}: name it .csv, .tsv, .json, .jsonl, .ndjson, .parquet, \
         .arrow, .feather or .avro (with .gz, .zst, .bz2 or .xz where compressed), or say it: \
         STORED AS in SQL, read_csv and the like in code"
    )]
    UnknownFormat {
        /// The path or URL.
        path: String,
    },
    /// The URL's scheme is none of ours.
    #[error(
        "unsupported URL scheme {scheme:?} in {url}: use a path, or a URL of file, s3, gs, az, \
         abfs, http or https"
    )]
    Scheme {
        /// The scheme.
        scheme: String,
        /// The URL.
        url: String,
    },
    /// An option has a wrong name or value.
    #[error("option {option}: expected {expected}, got {got}")]
    InvalidOption {
        /// The option.
        option: String,
        /// What it takes.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// Output cannot be written.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// The final path, not the staging one.
        path: String,
        /// Why.
        reason: String,
    },
    /// A device cannot be opened, or failed where no fallback was possible.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The query needs more memory than its limit, after spilling what can spill.
    #[error("out of memory: {0}; raise the memory limit, or use fewer partitions")]
    Memory(String),
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The query is wrong or uses what is not supported.
    #[error("{0}")]
    Plan(String),
    /// The query failed while it ran.
    #[error("{0}")]
    Execution(String),
}

/// A result with [`FrameError`].
pub type Result<T, E = FrameError> = std::result::Result<T, E>;

fn at(position: &Option<Position>) -> String {
    position.map(|p| format!(" at {p}")).unwrap_or_default()
}

fn hint(nearest: &[String], what: &str) -> String {
    match nearest {
        [] => String::new(),
        [one] => format!("; did you mean {one:?}?"),
        many => format!("; the nearest {what} are {}", many.join(", ")),
    }
}

fn near(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|n| format!("; did you mean {n}?")).unwrap_or_default()
}

fn column_of(column: &Option<String>) -> String {
    column.as_ref().map(|c| format!(", column {c}")).unwrap_or_default()
}

/// The candidates nearest to `name`, best first, at most three. Where none is similar and
/// there are few, all of them.
pub(crate) fn nearest<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    // A guess: 0.75 lets one or two letters of a short name differ.
    const SIMILAR: f64 = 0.75;
    const FEW: usize = 12;
    let lower = name.to_lowercase();
    let mut scored: Vec<(f64, &str)> =
        all.into_iter().map(|c| (strsim::jaro_winkler(&lower, &c.to_lowercase()), c)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup();
    let similar: Vec<String> = scored
        .iter()
        .take_while(|(s, _)| *s >= SIMILAR)
        .take(3)
        .map(|(_, c)| c.to_string())
        .collect();
    if similar.is_empty() && scored.len() <= FEW {
        return scored.into_iter().map(|(_, c)| c.to_string()).collect();
    }
    similar
}

impl FrameError {
    /// The same error with a place in the SQL text, where it had none.
    pub(crate) fn with_position(mut self, at: Option<Position>) -> Self {
        match &mut self {
            Self::Syntax { position, .. }
            | Self::UnknownColumn { position, .. }
            | Self::UnknownTable { position, .. } => {
                *position = position.or(at);
            }
            _ => {}
        }
        self
    }

    /// What failed to write, from an error of the file system.
    pub(crate) fn write(path: impl Into<PathBuf>, error: &std::io::Error) -> Self {
        Self::Write { path: path.into().display().to_string(), reason: io_reason(error) }
    }
}

/// The words for an input or output error, with what to do where it is known.
pub(crate) fn io_reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::StorageFull => "the disk is full".to_string(),
        K::ReadOnlyFilesystem => "the file system is read-only".to_string(),
        K::PermissionDenied => "permission denied; check the owner and mode".to_string(),
        K::QuotaExceeded => "the disk quota is used up".to_string(),
        K::NotADirectory => "a part of the path is a file, not a folder".to_string(),
        K::ConnectionRefused => {
            "the connection was refused; check host and port, and that the server runs".to_string()
        }
        _ => error.to_string(),
    }
}

/// The first error of the chain below `error` that is a `T`.
pub(crate) fn find_source<'a, T: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(found) = e.downcast_ref::<T>() {
            return Some(found);
        }
        // These wrappers' `source` skips what they hold.
        if let Some(arc) = e.downcast_ref::<Arc<DataFusionError>>() {
            next = Some(arc.as_ref());
            continue;
        }
        if let Some(io) = e.downcast_ref::<std::io::Error>()
            && let Some(inner) = io.get_ref()
        {
            next = Some(inner);
            continue;
        }
        next = match e.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Diagnostic(_, inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            Some(DataFusionError::Collection(all)) => all.first().map(|e| e as _),
            Some(DataFusionError::ObjectStore(inner)) => Some(inner.as_ref()),
            _ => match e.downcast_ref::<arrow::error::ArrowError>() {
                Some(arrow::error::ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                _ => e.source(),
            },
        };
    }
    None
}

/// The device error below `error`, if a device failed (and not the data). An operator that
/// could not start again by itself is a failure whatever its error was: should it be the
/// data's, the CPU says so in its own words.
pub(crate) fn device_failure(error: &DataFusionError) -> Option<String> {
    if let Some(e) = find_source::<DeviceFailure>(error) {
        return Some(format!("{e}: {}", e.source));
    }
    if let Some(e) = find_source::<KernelError>(error) {
        return match e {
            KernelError::Device(_) | KernelError::Unsupported { .. } => Some(e.to_string()),
            KernelError::Invalid { .. } => Some(e.to_string()),
            KernelError::DivideByZero | KernelError::Overflow(_) => None,
        };
    }
    find_source::<DeviceError>(error).map(|e| e.to_string())
}

/// The error of a device behind an operator's.
fn device_error(error: &DataFusionError) -> Option<&DeviceError> {
    let kernel = find_source::<DeviceFailure>(error).map(|e| &e.source);
    let kernel = kernel.or_else(|| find_source::<KernelError>(error));
    match kernel {
        Some(KernelError::Device(e)) => Some(e),
        Some(_) => None,
        None => find_source::<DeviceError>(error),
    }
}

/// Whether a device was lost.
pub(crate) fn lost_device(error: &DataFusionError) -> bool {
    matches!(device_error(error), Some(DeviceError::Lost { .. }))
}

/// Whether a device had no memory left.
pub(crate) fn out_of_device_memory(error: &DataFusionError) -> bool {
    matches!(device_error(error), Some(DeviceError::OutOfMemory { .. }))
}

/// The memory limit that an operator on the host has reached, in words.
pub(crate) fn out_of_host_memory(error: &DataFusionError) -> Option<String> {
    match error {
        DataFusionError::ResourcesExhausted(text) => Some(text.clone()),
        DataFusionError::Context(_, e) => out_of_host_memory(e),
        DataFusionError::Shared(e) => out_of_host_memory(e),
        DataFusionError::Collection(all) => all.first().and_then(out_of_host_memory),
        DataFusionError::External(e) => out_of_host_memory(e.downcast_ref::<DataFusionError>()?),
        _ => None,
    }
}

fn diagnostic(error: &DataFusionError) -> Option<&Diagnostic> {
    match error {
        DataFusionError::Diagnostic(d, _) => Some(d),
        DataFusionError::Context(_, e) => diagnostic(e),
        DataFusionError::Shared(e) => diagnostic(e),
        DataFusionError::Collection(all) => all.first().and_then(diagnostic),
        _ => None,
    }
}

fn position(error: &DataFusionError) -> Option<Position> {
    let span = diagnostic(error)?.span?;
    Some(Position { line: span.start.line, column: span.start.column })
}

impl From<FrameError> for DataFusionError {
    fn from(error: FrameError) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<DataFusionError> for FrameError {
    fn from(error: DataFusionError) -> Self {
        let position = position(&error);
        if let Some(own) = find_source::<FrameError>(&error) {
            return own.clone().with_position(position);
        }
        if let Some(e) = find_source::<KernelError>(&error) {
            return match e {
                KernelError::Device(e) => Self::Device(e.clone()),
                e => Self::Execution(e.to_string()),
            };
        }
        if let Some(e) = find_source::<DeviceError>(&error) {
            return Self::Device(e.clone());
        }
        if let Some(SchemaError::FieldNotFound { field, valid_fields }) = schema_error(&error) {
            let names: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
            return Self::UnknownColumn {
                name: field.name.clone(),
                nearest: nearest(&field.name, names),
                position,
            };
        }
        match root(&error) {
            DataFusionError::SQL(e, _) => {
                let text = e.to_string();
                let text = text
                    .strip_prefix("sql parser error: ")
                    .or_else(|| text.strip_prefix("TokenizerError: "))
                    .unwrap_or(&text);
                let (message, own) = split_position(text);
                Self::Syntax { message, position: position.or(own) }
            }
            DataFusionError::ResourcesExhausted(m) => Self::Memory(m.clone()),
            DataFusionError::Plan(m)
            | DataFusionError::Configuration(m)
            | DataFusionError::NotImplemented(m) => {
                let m = messages::plan(m);
                Self::Plan(match position {
                    Some(p) => format!("{m} ({p})"),
                    None => m,
                })
            }
            DataFusionError::SchemaError(e, _) => Self::Plan(e.to_string()),
            DataFusionError::ObjectStore(e) => object_store(e),
            DataFusionError::Execution(m) => Self::Execution(messages::plan(m)),
            DataFusionError::ArrowError(e, _) => Self::Execution(messages::arrow(e)),
            DataFusionError::External(e) => Self::Execution(e.to_string()),
            e => {
                let text = e.strip_backtrace();
                match signature(&text) {
                    Some(m) => Self::Plan(m.to_string()),
                    None => Self::Execution(text),
                }
            }
        }
    }
}

/// The error under contexts, diagnostics and sharing.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, e) | DataFusionError::Diagnostic(_, e) => root(e),
        DataFusionError::Shared(e) => root(e),
        DataFusionError::Collection(all) if !all.is_empty() => root(&all[0]),
        e => e,
    }
}

fn schema_error(error: &DataFusionError) -> Option<&SchemaError> {
    match root(error) {
        DataFusionError::SchemaError(e, _) => Some(e),
        _ => None,
    }
}

fn object_store(error: &object_store::Error) -> FrameError {
    match error {
        object_store::Error::NotFound { path, .. } => {
            FrameError::MissingFile { path: path.clone(), nearest: None }
        }
        object_store::Error::PermissionDenied { path, .. }
        | object_store::Error::Unauthenticated { path, .. } => FrameError::Unreadable {
            path: path.clone(),
            reason: "permission denied; check the credentials in the environment".to_string(),
        },
        e => FrameError::Execution(match find_source::<std::io::Error>(e) {
            Some(io) => format!("{e} ({})", io_reason(io)),
            None => e.to_string(),
        }),
    }
}

impl From<arrow::error::ArrowError> for FrameError {
    fn from(error: arrow::error::ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names_come_first() {
        let all = ["carrier", "tailnum", "origin", "dest", "dep_delay"];
        assert_eq!(nearest("carier", all), ["carrier"]);
        assert_eq!(nearest("DEP_DELAY", all)[0], "dep_delay");
        assert_eq!(nearest("zzzz", all).len(), all.len());
    }

    #[test]
    fn a_call_of_wrong_types_is_no_internal_error() {
        let text = "Internal error: Function 'sum' failed. This issue was likely caused by a \
                    bug. No function matches the given name and argument types 'sum(Utf8)'.";
        for error in
            [DataFusionError::Plan(text.to_string()), DataFusionError::Internal(text.to_string())]
        {
            let told = FrameError::from(error).to_string();
            assert!(
                told.starts_with("No function matches") && told.contains("sum(Utf8)"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_device_error_is_found_below_wrappers() {
        let lost =
            DeviceError::Lost { device: windlass_device::DeviceName::cpu(), reason: "x".into() };
        let e = DataFusionError::External(Box::new(KernelError::from(lost)));
        let e = DataFusionError::Shared(Arc::new(e)).context("while running");
        assert!(device_failure(&e).is_some_and(|r| r.contains("was lost")));
        let e = DataFusionError::External(Box::new(KernelError::DivideByZero));
        assert_eq!(device_failure(&e), None);
        let (device, operator) = ("wgpu:0".to_string(), "DeviceAggregateExec");
        let failure = DeviceFailure { device, operator, source: KernelError::DivideByZero };
        let e = DataFusionError::Shared(Arc::new(failure.into()));
        let reason = device_failure(&e).unwrap();
        assert_eq!(reason, "DeviceAggregateExec failed on wgpu:0: Divide by zero error");
    }
}
