//! Finding out which record of which file an error is about: a second pass over the files,
//! made only after a query failed.

use std::{
    io::{BufRead, BufReader, Read},
    sync::Arc,
};

use arrow::{datatypes::SchemaRef, error::ArrowError};
use bytes::Buf;
use datafusion::{
    common::{parsers::CompressionTypeVariant, tree_node::TreeNodeRecursion},
    datasource::{
        file_format::{file_compression_type::FileCompressionType, json::JsonFormat},
        listing::ListingTable,
        source_as_provider,
    },
    error::DataFusionError,
    execution::object_store::ObjectStoreUrl,
    logical_expr::LogicalPlan,
};
use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use object_store::{GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{
    csv_scan::CsvFiles,
    infer::{fits, words},
    options::CsvOptions,
    sample::{about, shown},
};
use crate::{
    error::{FrameError, find_source},
    session::Session,
};

/// How much of an offending value or line a message shows.
const SHOWN: usize = 60;

/// The error of a failed query, with file, line and column where a text file is at fault.
pub(crate) fn explain<'a>(
    session: &'a Session,
    plan: &'a LogicalPlan,
    error: DataFusionError,
) -> BoxFuture<'a, FrameError> {
    find(session, plan, error).boxed()
}

async fn find(session: &Session, plan: &LogicalPlan, error: DataFusionError) -> FrameError {
    if about_a_file(&error) {
        for table in tables(plan) {
            if let Some(found) = check_table(session, &table).await {
                return found;
            }
        }
    }
    session.name_tables(error.into())
}

/// Whether the error may come from the text of a file.
fn about_a_file(error: &DataFusionError) -> bool {
    if find_source::<FrameError>(error).is_some() {
        return false;
    }
    let arrow = matches!(
        find_source::<ArrowError>(error),
        Some(
            ArrowError::CsvError(_)
                | ArrowError::JsonError(_)
                | ArrowError::ParseError(_)
                | ArrowError::IoError(..)
        )
    );
    arrow || find_source::<std::io::Error>(error).is_some()
}

/// The tables over files that a plan reads, views included.
fn tables(plan: &LogicalPlan) -> Vec<Arc<ListingTable>> {
    let mut out = Vec::new();
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
        {
            if let Some(inner) = provider.get_logical_plan() {
                out.extend(tables(&inner));
            } else if let Ok(table) =
                Arc::downcast::<ListingTable>(provider as Arc<dyn std::any::Any + Send + Sync>)
            {
                out.push(table);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    // The visitor returns no error.
    let _ = visited;
    out
}

async fn check_table(session: &Session, table: &ListingTable) -> Option<FrameError> {
    let state = session.context().state();
    let format = &table.options().format;
    let csv = format.downcast_ref::<CsvFiles>();
    let json = format.downcast_ref::<JsonFormat>();
    if csv.is_none() && json.is_none() {
        return None;
    }
    let partitions = table.options().table_partition_cols.len();
    let schema = datafusion::catalog::TableProvider::schema(table);
    let fields = schema.fields().len() - partitions;
    let schema: SchemaRef = schema.project(&(0..fields).collect::<Vec<_>>()).ok()?.into();
    for url in table.table_paths() {
        let store = state.runtime_env().object_store(url).ok()?;
        let files = url.list_all_files(&state, store.as_ref(), "").await.ok()?;
        let files: Vec<ObjectMeta> = files.try_collect().await.ok()?;
        for file in files {
            let compression =
                format.compression_type().map_or(CompressionTypeVariant::UNCOMPRESSED, Into::into);
            let root = url.object_store();
            let path = shown(&root, &file);
            let input = match open((&root, &store), &file, compression).await {
                Ok(input) => input,
                Err(e) => return Some(e),
            };
            let csv = csv.map(|c| c.options().clone());
            let schema = Arc::clone(&schema);
            let checked = tokio::task::spawn_blocking(move || match csv {
                Some(options) => check_csv(&path, &options, &schema, input),
                None => check_json(&path, &schema, input),
            });
            if let Some(found) = checked.await.ok().flatten() {
                return Some(found);
            }
        }
    }
    None
}

type Input = Box<dyn Read + Send>;

async fn open(
    (root, store): (&ObjectStoreUrl, &Arc<dyn ObjectStore>),
    file: &ObjectMeta,
    compression: CompressionTypeVariant,
) -> Result<Input, FrameError> {
    let result = store.get(&file.location).await.map_err(|e| about(e, root, file))?;
    let kind = FileCompressionType::from(compression);
    let input = match result.payload {
        GetResultPayload::File(file, _) => kind.convert_read(BufReader::new(file)),
        GetResultPayload::Stream(_) => {
            let bytes = result.bytes().await.map_err(|e| about(e, root, file))?;
            kind.convert_read(bytes.reader())
        }
    };
    input.map_err(|e| FrameError::Unreadable { path: shown(root, file), reason: e.to_string() })
}

fn check_csv(
    path: &str,
    options: &datafusion::common::config::CsvOptions,
    schema: &SchemaRef,
    input: Input,
) -> Option<FrameError> {
    let own = CsvOptions {
        quote: options.quote,
        escape: options.escape,
        comment: options.comment,
        ..Default::default()
    };
    let header = options.has_header.unwrap_or(true);
    let nulls = Nulls::new(options.null_regex.as_deref());
    let mut records = super::csv::reader(&own, options.delimiter, header, input);
    let mut record = csv::ByteRecord::new();
    let malformed = |line: u64, column: Option<&str>, expected: String, got: &[u8]| {
        Some(FrameError::MalformedRow {
            path: path.to_string(),
            line,
            column: column.map(str::to_string),
            expected,
            got: cut(&String::from_utf8_lossy(got)),
        })
    };
    loop {
        match records.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(e) => {
                return Some(FrameError::Unreadable {
                    path: path.to_string(),
                    reason: format!("it breaks off or does not decompress: {e}"),
                });
            }
        }
        let line = record.position().map_or(0, csv::Position::line);
        let short = options.truncated_rows == Some(true) && record.len() < schema.fields().len();
        if record.len() != schema.fields().len() && !short {
            let expected = format!("{} values", schema.fields().len());
            let got = format!("{}: {}", record.len(), line_text(&record, options.delimiter));
            return malformed(line, None, expected, got.as_bytes());
        }
        for (field, value) in schema.fields().iter().zip(record.iter()) {
            let name = Some(field.name().as_str());
            let Ok(text) = std::str::from_utf8(value) else {
                return malformed(line, name, "text in UTF-8".to_string(), value);
            };
            if nulls.is_null(text) || fits(text, field.data_type()) {
                continue;
            }
            let expected = format!(
                "{}; if other values are right, give the column a wider type (text) or name \
                 the text that means null",
                words(field.data_type())
            );
            return malformed(line, name, expected, format!("{text:?}").as_bytes());
        }
    }
}

/// The null texts of a pattern that [`CsvOptions::null_pattern`] made.
pub(super) struct Nulls {
    texts: Vec<String>,
}

impl Nulls {
    /// Those of a pattern; the empty text where there is none.
    pub(super) fn new(pattern: Option<&str>) -> Self {
        let inner = pattern.and_then(|p| p.strip_prefix("^(?:")?.strip_suffix(")$"));
        let Some(inner) = inner else { return Self { texts: vec![String::new()] } };
        let mut texts = Vec::new();
        let mut text = String::new();
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            match c {
                '|' => texts.push(std::mem::take(&mut text)),
                '\\' => text.extend(chars.next()),
                c => text.push(c),
            }
        }
        texts.push(text);
        Self { texts }
    }

    /// The first one.
    pub(super) fn first(&self) -> Option<&str> {
        self.texts.first().map(String::as_str)
    }

    fn is_null(&self, text: &str) -> bool {
        self.texts.iter().any(|t| t == text)
    }
}

fn line_text(record: &csv::ByteRecord, delimiter: u8) -> String {
    let values: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
    values.join(&char::from(delimiter).to_string())
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_string();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

fn check_json(path: &str, schema: &SchemaRef, input: Input) -> Option<FrameError> {
    let mut input = BufReader::new(input);
    let mut line = 0;
    let mut text = Vec::new();
    loop {
        text.clear();
        line += 1;
        match input.read_until(b'\n', &mut text) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(e) => {
                return Some(FrameError::Unreadable {
                    path: path.to_string(),
                    reason: format!("it breaks off or does not decompress: {e}"),
                });
            }
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        if let Some(found) = check_object(path, line, schema, &text) {
            return Some(found);
        }
    }
}

fn check_object(path: &str, line: u64, schema: &SchemaRef, text: &[u8]) -> Option<FrameError> {
    let malformed = |column: Option<String>, expected: String, got: String| {
        Some(FrameError::MalformedRow { path: path.to_string(), line, column, expected, got })
    };
    let object = match serde_json::from_slice(text) {
        Ok(serde_json::Value::Object(object)) => object,
        Ok(other) => {
            return malformed(None, "one JSON object".to_string(), cut(&other.to_string()));
        }
        Err(e) => {
            let got = format!("{} ({e})", cut(String::from_utf8_lossy(text).trim()));
            return malformed(None, "one JSON object".to_string(), got);
        }
    };
    for field in schema.fields() {
        let Some(value) = object.get(field.name()) else { continue };
        let kind = field.data_type();
        let right = match value {
            serde_json::Value::Null => true,
            serde_json::Value::Bool(_) => {
                matches!(kind, arrow::datatypes::DataType::Boolean) || is_text(kind)
            }
            serde_json::Value::Number(n) => is_text(kind) || fits(&n.to_string(), kind),
            serde_json::Value::String(s) => is_text(kind) || fits(s, kind),
            _ => kind.is_nested(),
        };
        if !right {
            let column = Some(field.name().clone());
            return malformed(column, words(kind), cut(&value.to_string()));
        }
    }
    None
}

fn is_text(kind: &arrow::datatypes::DataType) -> bool {
    use arrow::datatypes::DataType as D;
    matches!(kind, D::Utf8 | D::LargeUtf8 | D::Utf8View)
}

/// The first line of a sample that is no JSON object; else the error itself.
pub(crate) fn json_text(path: &str, text: &[u8], error: &ArrowError) -> FrameError {
    let empty: SchemaRef = Arc::new(arrow::datatypes::Schema::empty());
    for (i, line) in text.split(|b| *b == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if let Some(found) = check_object(path, i as u64 + 1, &empty, line) {
            return found;
        }
    }
    FrameError::Unreadable { path: path.to_string(), reason: error.to_string() }
}
