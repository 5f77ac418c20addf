//! Frames as files, whole or not at all.
//!
//! | module | holds |
//! |---|---|
//! | `options` | [`WriteMode`], [`WriteOptions`], [`Written`] |
//! | `copy` | running a write: target, staging, engine, commit |
//! | `insert` | `INSERT INTO` a table over files |
//! | `remote` | the same to object stores |
//! | `split` | cutting files that are too large |
//! | `staging` | the hidden folder and the renames |

mod copy;
mod insert;
mod options;
mod remote;
mod split;
mod staging;

pub(crate) use copy::{count, run_copy};
pub(crate) use insert::run_insert;
pub use options::{WriteMode, WriteOptions, Written};
pub use staging::remove_unfinished;

use std::sync::Arc;

use datafusion::{
    datasource::file_format::{
        FileFormatFactory, arrow::ArrowFormatFactory, csv::CsvFormatFactory, format_as_file_type,
        json::JsonFormatFactory, parquet::ParquetFormatFactory,
    },
    logical_expr::dml::CopyTo,
};

use crate::{
    dataframe::DataFrame,
    error::{FrameError, Result},
    read::FileFormat,
    statement::RunOptions,
};

impl DataFrame {
    /// Writes Parquet: to one file where the path has an extension and there are no
    /// partition columns, else to a folder.
    ///
    /// # Errors
    /// [`FrameError::Write`] naming the path; those of running the frame.
    pub async fn write_parquet(&self, path: &str, options: &WriteOptions) -> Result<Written> {
        self.write(path, FileFormat::Parquet, options, &RunOptions::default()).await
    }

    /// Writes CSV with a header; null is nothing.
    ///
    /// # Errors
    /// As [`DataFrame::write_parquet`].
    pub async fn write_csv(&self, path: &str, options: &WriteOptions) -> Result<Written> {
        self.write(path, FileFormat::Csv, options, &RunOptions::default()).await
    }

    /// Writes JSON, one object a line.
    ///
    /// # Errors
    /// As [`DataFrame::write_parquet`].
    pub async fn write_json(&self, path: &str, options: &WriteOptions) -> Result<Written> {
        self.write(path, FileFormat::Json, options, &RunOptions::default()).await
    }

    /// Writes Arrow IPC files.
    ///
    /// # Errors
    /// As [`DataFrame::write_parquet`].
    pub async fn write_arrow(&self, path: &str, options: &WriteOptions) -> Result<Written> {
        self.write(path, FileFormat::Arrow, options, &RunOptions::default()).await
    }

    /// Writes files of any format but Avro.
    ///
    /// # Errors
    /// As [`DataFrame::write_parquet`]; [`FrameError::InvalidOption`] for an option that
    /// the format does not have.
    pub async fn write(
        &self,
        path: &str,
        format: FileFormat,
        options: &WriteOptions,
        run: &RunOptions,
    ) -> Result<Written> {
        let named = crate::read::options::named(path);
        let by_name = named.map(|n| n.compression).filter(|c| c.is_compressed());
        let by_name = by_name.map(|c| c.to_string().to_ascii_lowercase());
        let compression = options.compression.clone().or(by_name);
        let engine = options::engine(format, compression.as_deref())?;
        let names: Vec<&str> = options.partition_by.iter().map(String::as_str).collect();
        self.check(&names)?;
        let plan = CopyTo::new(
            Arc::new(self.logical_plan().clone()),
            path.to_string(),
            options.partition_by.clone(),
            format_as_file_type(factory(format)?),
            engine,
        );
        let own = copy::Own { mode: options.mode, target_file_size: options.target_file_size };
        copy::run(self.session(), plan, own, run).await
    }
}

/// DataFusion's writer of a format.
fn factory(format: FileFormat) -> Result<Arc<dyn FileFormatFactory>> {
    Ok(match format {
        FileFormat::Csv => Arc::new(CsvFormatFactory::new()),
        FileFormat::Json => Arc::new(JsonFormatFactory::new()),
        FileFormat::Parquet => Arc::new(ParquetFormatFactory::new()),
        FileFormat::Arrow => Arc::new(ArrowFormatFactory::new()),
        FileFormat::Avro => {
            return Err(FrameError::InvalidOption {
                option: "format".to_string(),
                expected: "Parquet, CSV, JSON or Arrow".to_string(),
                got: "Avro, which can only be read".to_string(),
            });
        }
    })
}
