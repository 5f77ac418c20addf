//! The data of the suites, generated as Parquet, the same for every engine.

use std::{fs::File, path::Path};

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::Compression,
    errors::ParquetError,
    file::properties::WriterProperties,
};

use crate::error::{Error, Result};

pub(crate) mod dbbench;
pub(crate) mod tpch;

/// Rows of a row group: what DuckDB writes by default.
const ROW_GROUP: usize = 122_880;

/// Writes a table as `NAME.parquet`, with nothing in it that tells one engine more than
/// another.
///
/// # Errors
/// A file that cannot be written.
fn write_table(
    dir: &Path,
    name: &str,
    schema: SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<()> {
    let path = dir.join(format!("{name}.parquet"));
    let fail =
        |e: &dyn std::error::Error| Error::caused(format!("cannot write {}", path.display()), e);
    let file = File::create(&path).map_err(|e| fail(&e))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .build();
    let options =
        ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let write = || -> Result<(), ParquetError> {
        let mut writer = ArrowWriter::try_new_with_options(file, schema, options)?;
        for batch in batches {
            writer.write(&batch.map_err(|e| ParquetError::External(Box::new(e)))?)?;
        }
        writer.close().map(drop)
    };
    write().map_err(|e| fail(&e))
}
