//! How files are read: formats and their options.

use arrow::datatypes::DataType;
use datafusion::common::{config::CsvOptions as EngineCsv, parsers::CompressionTypeVariant};

use crate::error::{FrameError, Result};

/// The formats that can be read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// Separated values.
    Csv,
    /// One JSON object a line.
    Json,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC.
    Arrow,
    /// Apache Avro (reading only).
    Avro,
}

impl FileFormat {
    /// The name, as in `STORED AS`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow",
            Self::Avro => "Avro",
        }
    }

    /// The format of a name in `STORED AS`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "CSV" | "TSV" => Self::Csv,
            "JSON" | "NDJSON" | "JSONL" => Self::Json,
            "PARQUET" => Self::Parquet,
            "ARROW" | "IPC" | "FEATHER" => Self::Arrow,
            "AVRO" => Self::Avro,
            _ => return None,
        })
    }
}

/// What a file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) format: FileFormat,
    pub(crate) compression: CompressionTypeVariant,
    /// Separated by tabs.
    pub(crate) tabs: bool,
}

/// The compression of a name's last extension.
pub(crate) fn compression_of(name: &str) -> (CompressionTypeVariant, &str) {
    use CompressionTypeVariant as C;
    let lower = name.to_ascii_lowercase();
    for (suffix, kind) in [
        (".gz", C::GZIP),
        (".gzip", C::GZIP),
        (".bz2", C::BZIP2),
        (".xz", C::XZ),
        (".zst", C::ZSTD),
        (".zstd", C::ZSTD),
    ] {
        if lower.ends_with(suffix) {
            return (kind, &name[..name.len() - suffix.len()]);
        }
    }
    (C::UNCOMPRESSED, name)
}

/// The format of a file's name; `None` where it does not say.
pub(crate) fn named(name: &str) -> Option<Named> {
    let (compression, stem) = compression_of(name);
    let extension = stem.rsplit_once('.')?.1.to_ascii_lowercase();
    let (format, tabs) = match extension.as_str() {
        "csv" | "txt" => (FileFormat::Csv, false),
        "tsv" | "tab" => (FileFormat::Csv, true),
        "json" | "jsonl" | "ndjson" => (FileFormat::Json, false),
        "parquet" | "pq" | "parq" => (FileFormat::Parquet, false),
        "arrow" | "feather" | "ipc" | "arrows" => (FileFormat::Arrow, false),
        "avro" => (FileFormat::Avro, false),
        _ => return None,
    };
    Some(Named { format, compression, tabs })
}

/// How CSV is read.
#[derive(Debug, Clone, PartialEq)]
pub struct CsvOptions {
    /// Between values; `None`: a tab for `.tsv` and `.tab`, else a comma.
    pub delimiter: Option<u8>,
    /// Whether the first line has the names. Without: `column_1` and on.
    pub header: bool,
    /// Around values that hold delimiters.
    pub quote: u8,
    /// Before a quote inside a quoted value, where it is not doubled.
    pub escape: Option<u8>,
    /// Lines that begin with it are left out.
    pub comment: Option<u8>,
    /// Texts that mean null, in any column. By default the empty text and `NA`.
    pub nulls: Vec<String>,
    /// Types of some columns, by name; the others are inferred.
    pub schema: Vec<(String, DataType)>,
    /// Records sampled for inference, over all sampled files together.
    pub sample_rows: usize,
    /// Whether quoted values may hold line ends; `None`: as the sample shows. With them a
    /// file is read by one thread.
    pub newlines_in_values: Option<bool>,
    /// Whether records may be shorter than the header; what is missing is null.
    pub allow_short_rows: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: None,
            header: true,
            quote: b'"',
            escape: None,
            comment: None,
            nulls: vec![String::new(), "NA".to_string()],
            schema: Vec::new(),
            sample_rows: SAMPLE_ROWS,
            newlines_in_values: None,
            allow_short_rows: false,
        }
    }
}

/// Enough to see most columns' types; the sample's bytes are bounded as well (a guess).
const SAMPLE_ROWS: usize = 10_000;

impl CsvOptions {
    /// The null texts as a pattern for the reader, anchored at both ends.
    pub(crate) fn null_pattern(&self) -> String {
        let escaped: Vec<String> = self.nulls.iter().map(|n| escape(n)).collect();
        format!("^(?:{})$", escaped.join("|"))
    }

    /// DataFusion's form of the options.
    pub(crate) fn engine(
        &self,
        delimiter: u8,
        compression: CompressionTypeVariant,
        newlines: bool,
    ) -> EngineCsv {
        EngineCsv {
            has_header: Some(self.header),
            delimiter,
            quote: self.quote,
            escape: self.escape,
            comment: self.comment,
            compression,
            newlines_in_values: Some(newlines),
            truncated_rows: Some(self.allow_short_rows),
            null_regex: Some(self.null_pattern()),
            ..EngineCsv::default()
        }
    }

    /// Takes SQL's `OPTIONS`, with or without DataFusion's `format.` before the key.
    ///
    /// # Errors
    /// [`FrameError::InvalidOption`] for an unknown key or a value of the wrong kind.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let name = key.strip_prefix("format.").unwrap_or(key).to_ascii_lowercase();
        match name.as_str() {
            "has_header" | "header" => self.header = flag(key, value)?,
            "delimiter" | "delim" | "sep" => self.delimiter = Some(byte(key, value)?),
            "quote" => self.quote = byte(key, value)?,
            "escape" => self.escape = Some(byte(key, value)?),
            "comment" => self.comment = Some(byte(key, value)?),
            "null" | "nulls" | "null_value" => {
                self.nulls = value.split(',').map(str::to_string).collect();
                if !self.nulls.iter().any(String::is_empty) {
                    self.nulls.push(String::new());
                }
            }
            "sample_rows" | "schema_infer_max_rec" => {
                self.sample_rows =
                    value.trim().parse().map_err(|_| invalid(key, "a number of rows", value))?;
            }
            "newlines_in_values" => self.newlines_in_values = Some(flag(key, value)?),
            "truncated_rows" | "allow_short_rows" => self.allow_short_rows = flag(key, value)?,
            "types" => self.schema = types(key, value)?,
            _ => {
                return Err(invalid(
                    key,
                    "one of header, delimiter, quote, escape, comment, nulls, types, \
                     sample_rows, newlines_in_values, allow_short_rows, compression",
                    value,
                ));
            }
        }
        Ok(())
    }
}

/// How JSON lines are read.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonOptions {
    /// Types of some columns, by name; the others are inferred.
    pub schema: Vec<(String, DataType)>,
    /// Lines sampled for inference, over all sampled files together.
    pub sample_rows: usize,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self { schema: Vec::new(), sample_rows: SAMPLE_ROWS }
    }
}

/// How files of any format are read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The format; from the name where it is not given.
    pub format: Option<FileFormat>,
    /// The compression of CSV and JSON: `gzip`, `zstd`, `bzip2`, `xz`, `uncompressed`; from
    /// the name where it is not given.
    pub compression: Option<String>,
    /// For CSV files.
    pub csv: CsvOptions,
    /// For JSON files.
    pub json: JsonOptions,
}

pub(crate) fn invalid(option: &str, expected: &str, got: &str) -> FrameError {
    FrameError::InvalidOption {
        option: option.to_string(),
        expected: expected.to_string(),
        got: format!("{got:?}"),
    }
}

fn flag(key: &str, value: &str) -> Result<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "on" => Ok(true),
        "false" | "f" | "0" | "no" | "off" => Ok(false),
        _ => Err(invalid(key, "true or false", value)),
    }
}

fn byte(key: &str, value: &str) -> Result<u8> {
    match value {
        "\\t" => Ok(b'\t'),
        _ => match value.as_bytes() {
            [one] => Ok(*one),
            _ => Err(invalid(key, "one ASCII character", value)),
        },
    }
}

/// `name type, name type` with SQL's names of types.
///
/// # Errors
/// [`FrameError::InvalidOption`] naming the part that is no column and type.
pub(crate) fn types(key: &str, text: &str) -> Result<Vec<(String, DataType)>> {
    use arrow::datatypes::TimeUnit;
    let mut out = Vec::new();
    for part in outside_parentheses(text).map(str::trim).filter(|p| !p.is_empty()) {
        // The type's own arguments may have spaces in them.
        let head = part.find('(').map_or(part, |at| part[..at].trim_end());
        let (name, kind) = head
            .rfind([' ', '=', ':'])
            .map(|at| (&part[..at], &part[at + 1..]))
            .ok_or_else(|| invalid(key, "a comma list of a column and its type", part))?;
        let kind = match kind.trim().to_ascii_lowercase().as_str() {
            "boolean" | "bool" => DataType::Boolean,
            "tinyint" => DataType::Int8,
            "smallint" => DataType::Int16,
            "int" | "integer" => DataType::Int32,
            "bigint" => DataType::Int64,
            "real" | "float" => DataType::Float32,
            "double" => DataType::Float64,
            "text" | "varchar" | "string" => DataType::Utf8,
            "date" => DataType::Date32,
            "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
            other => decimal(other).ok_or_else(|| {
                invalid(
                    key,
                    "boolean, tinyint, smallint, int, bigint, real, double, decimal(P, S), text, \
                     date or timestamp after each column's name",
                    part,
                )
            })?,
        };
        out.push((name.trim().trim_matches('"').to_string(), kind));
    }
    Ok(out)
}

/// The parts of a comma list, whose commas in parentheses do not count.
fn outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
}

/// `decimal(P)`, `decimal(P, S)` and `numeric` likewise, of at most 38 digits.
fn decimal(text: &str) -> Option<DataType> {
    let inner = text.strip_prefix("decimal").or_else(|| text.strip_prefix("numeric"))?;
    let inner = inner.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    let fits = (1..=38).contains(&precision) && (0..=precision as i8).contains(&scale);
    fits.then_some(DataType::Decimal128(precision, scale))
}

/// A text as a pattern that matches it alone.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if !c.is_alphanumeric() && c.is_ascii() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_format_and_compression() {
        let n = named("a/b.x.CSV.gz").unwrap();
        assert_eq!((n.format, n.compression), (FileFormat::Csv, CompressionTypeVariant::GZIP));
        assert!(named("t.tsv.zst").unwrap().tabs);
        assert_eq!(named("p.parquet").unwrap().format, FileFormat::Parquet);
        assert_eq!(named("README"), None);
        assert_eq!(named("x.gz"), None);
    }

    #[test]
    fn null_texts_are_matched_whole_and_literally() {
        let options = CsvOptions {
            nulls: vec!["".into(), "NA".into(), "-".into(), ".".into()],
            ..Default::default()
        };
        assert_eq!(options.null_pattern(), r"^(?:|NA|\-|\.)$");
    }

    #[test]
    fn sql_options_are_checked() {
        let mut o = CsvOptions::default();
        o.set("format.delimiter", ";").unwrap();
        o.set("has_header", "false").unwrap();
        o.set("types", "a int, \"b c\" timestamp").unwrap();
        assert_eq!(o.delimiter, Some(b';'));
        assert_eq!(o.schema[1].0, "b c");
        o.set("types", "a decimal(10, 2), b int, \"c d\" numeric(5)").unwrap();
        let kinds: Vec<&DataType> = o.schema.iter().map(|(_, kind)| kind).collect();
        let decimals = [DataType::Decimal128(10, 2), DataType::Decimal128(5, 0)];
        assert_eq!(kinds, [&decimals[0], &DataType::Int32, &decimals[1]]);
        assert_eq!(o.schema[2].0, "c d");
        for wrong in ["a decimal", "a decimal(39)", "a decimal(3, 4)", "a decimal(x)"] {
            assert!(o.set("types", wrong).unwrap_err().to_string().contains("decimal(P, S)"));
        }
        let e = o.set("delimeter", ";").unwrap_err().to_string();
        assert!(e.contains("delimeter") && e.contains("expected one of header"), "{e}");
        let e = o.set("types", "a strnig").unwrap_err().to_string();
        assert!(e.contains("a strnig") && e.contains("timestamp"), "{e}");
    }
}
