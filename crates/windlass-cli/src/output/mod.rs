//! Results on their way out: formats, and the sink that they are written to.

mod printer;
mod sink;
mod table;

use std::{io::IsTerminal, path::PathBuf};

use arrow::{
    array::RecordBatch,
    csv,
    datatypes::SchemaRef,
    error::ArrowError,
    ipc::writer::{FileWriter, StreamWriter},
    json,
};
use parquet::{
    arrow::ArrowWriter, basic::Compression, errors::ParquetError,
    file::properties::WriterProperties,
};

pub(crate) use printer::Printer;
pub(crate) use sink::write_file;
pub(crate) use table::{TableStyle, render_rows, use_color};

use crate::{
    args::Format,
    error::{Error, Result},
    output::{sink::Sink, table::TableWriter},
};

/// Rows that a table shows on a terminal before it counts the rest. A guess at what a
/// screen holds; files and pipes get every row.
const TERMINAL_ROWS: usize = 40;

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// A file, complete or not at all.
    File(PathBuf),
    /// Nowhere: rows are counted only.
    Nowhere,
}

/// A result being written.
pub(crate) struct ResultWriter {
    encoder: Encoder,
    sink: Sink,
    rows: u64,
}

enum Encoder {
    Count,
    Table(TableWriter),
    Csv(Box<csv::Writer<Sink>>),
    Json(Box<json::LineDelimitedWriter<Sink>>),
    ArrowStream(Box<StreamWriter<Sink>>),
    ArrowFile(Box<FileWriter<Sink>>),
    Parquet(Box<ArrowWriter<Sink>>),
}

impl ResultWriter {
    /// Opens the target and writes what stands before the first row.
    ///
    /// # Errors
    /// A binary format on a terminal (usage); a target that cannot be written.
    pub(crate) fn open(format: Format, target: &Target, schema: SchemaRef) -> Result<Self> {
        let terminal = *target == Target::Stdout && std::io::stdout().is_terminal();
        if terminal && format.is_binary() {
            return Err(Error::usage(
                "a terminal cannot show arrow or parquet",
                "name a file with --output, redirect standard output, or choose another --format",
            ));
        }
        let sink = Sink::open(target)?;
        let fail = |e: &dyn std::error::Error| sink.error("cannot write the result", e);
        let encoder = match format {
            _ if *target == Target::Nowhere => Encoder::Count,
            Format::Table => {
                let style = if terminal {
                    TableStyle::terminal(TERMINAL_ROWS)
                } else {
                    TableStyle::plain()
                };
                Encoder::Table(TableWriter::new(schema, style))
            }
            Format::Csv => {
                let mut w = csv::WriterBuilder::new().with_header(true).build(sink.clone());
                // Writes the header, so that an empty result has one too.
                w.write(&RecordBatch::new_empty(schema)).map_err(|e| fail(&e))?;
                Encoder::Csv(Box::new(w))
            }
            Format::Json => Encoder::Json(Box::new(
                json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, json::writer::LineDelimited>(sink.clone()),
            )),
            Format::Arrow if *target == Target::Stdout => Encoder::ArrowStream(Box::new(
                StreamWriter::try_new(sink.clone(), &schema).map_err(|e| fail(&e))?,
            )),
            Format::Arrow => Encoder::ArrowFile(Box::new(
                FileWriter::try_new(sink.clone(), &schema).map_err(|e| fail(&e))?,
            )),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(Default::default()))
                    .build();
                Encoder::Parquet(Box::new(
                    ArrowWriter::try_new(sink.clone(), schema, Some(properties))
                        .map_err(|e| fail(&e))?,
                ))
            }
        };
        Ok(Self { encoder, sink, rows: 0 })
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// [`Error::BrokenPipe`], a full disk, a type that the format cannot hold.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let r: Result<(), Wrong> = match &mut self.encoder {
            Encoder::Count => Ok(()),
            Encoder::Table(w) => {
                w.push(batch);
                Ok(())
            }
            Encoder::Csv(w) => w.write(batch).map_err(Wrong::Arrow),
            Encoder::Json(w) => w.write(batch).map_err(Wrong::Arrow),
            Encoder::ArrowStream(w) => w.write(batch).map_err(Wrong::Arrow),
            Encoder::ArrowFile(w) => w.write(batch).map_err(Wrong::Arrow),
            Encoder::Parquet(w) => w.write(batch).map_err(Wrong::Parquet),
        };
        r.map_err(|e| e.tell(&self.sink))
    }

    /// Writes what stands after the last row and, for a file, gives it its name.
    /// Returns the rows written.
    ///
    /// # Errors
    /// As [`ResultWriter::write`].
    pub(crate) fn finish(self) -> Result<u64> {
        let Self { encoder, mut sink, rows } = self;
        let r: Result<(), Wrong> = match encoder {
            Encoder::Count => Ok(()),
            Encoder::Table(w) => w
                .render()
                .map_err(Wrong::Arrow)
                .and_then(|text| sink.write_text(&text).map_err(Wrong::Io)),
            Encoder::Csv(w) => {
                drop(w);
                Ok(())
            }
            Encoder::Json(mut w) => w.finish().map_err(Wrong::Arrow),
            Encoder::ArrowStream(mut w) => w.finish().map_err(Wrong::Arrow),
            Encoder::ArrowFile(mut w) => w.finish().map_err(Wrong::Arrow),
            Encoder::Parquet(w) => w.close().map(drop).map_err(Wrong::Parquet),
        };
        r.map_err(|e| e.tell(&sink))?;
        sink.finish()?;
        Ok(rows)
    }
}

enum Wrong {
    Arrow(ArrowError),
    Parquet(ParquetError),
    Io(std::io::Error),
}

impl Wrong {
    fn tell(&self, sink: &Sink) -> Error {
        let e: &dyn std::error::Error = match self {
            Self::Arrow(e) => e,
            Self::Parquet(e) => e,
            Self::Io(e) => e,
        };
        sink.error("cannot write the result", e)
    }
}

/// The format that a path's extension names.
///
/// # Errors
/// Usage, with the extensions that are known.
pub(crate) fn format_of(path: &std::path::Path) -> Result<Format> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "csv" => Ok(Format::Csv),
        "json" | "jsonl" | "ndjson" => Ok(Format::Json),
        "arrow" | "ipc" | "feather" => Ok(Format::Arrow),
        "parquet" | "pq" => Ok(Format::Parquet),
        "txt" => Ok(Format::Table),
        _ => Err(Error::usage(
            format!("cannot tell the format of {} from its name", path.display()),
            "add --format table|csv|json|arrow|parquet, or an extension such as .parquet",
        )),
    }
}

/// Text on standard output.
///
/// # Errors
/// [`Error::BrokenPipe`] and those of writing.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut sink = Sink::open(&Target::Stdout)?;
    sink.write_text(text).map_err(|e| sink.error("cannot write", &e))?;
    sink.finish()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn extensions_name_formats() {
        assert_eq!(format_of(Path::new("a/b.PARQUET")).unwrap(), Format::Parquet);
        assert_eq!(format_of(Path::new("x.ndjson")).unwrap(), Format::Json);
        let e = format_of(Path::new("x.xlsx")).unwrap_err();
        assert_eq!(e.code(), 2);
        assert!(e.to_string().contains("--format"));
    }
}
