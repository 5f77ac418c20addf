//! Files and URLs as frames and tables.
//!
//! | module | holds |
//! |---|---|
//! | `options` | formats and reading options |
//! | `locate` | from a path, pattern, folder or URL to the files |
//! | `sample` | bounded samples of text files |
//! | `infer`, `csv`, `json` | columns and types from samples |
//! | `arrow` | columns of Arrow IPC files |
//! | `csv_scan` | reading CSV with texts that mean null |
//! | `memory` | rows in memory count as read |
//! | `bag` | bags of records as frames |
//! | `partitions` | columns in the names of folders |
//! | `table` | tables over files, for frames and SQL |
//! | `diagnose` | which record of which file an error is about |

mod arrow;
mod bag;
mod csv;
mod csv_scan;
pub(crate) mod diagnose;
mod infer;
mod json;
mod locate;
mod memory;
pub(crate) mod options;
mod partitions;
mod sample;
mod table;

pub use bag::ToDataFrame;
pub(crate) use locate::absolute;
pub(crate) use memory::{CountRowsInMemory, WHOLE_ROWS, first_batch, whole};
pub use options::{CsvOptions, FileFormat, JsonOptions, ReadOptions};
pub(crate) use partitions::{NULL_FOLDER, NullableFolders, files_of};
pub(crate) use table::{enable_paths, table_factories};

use std::sync::Arc;

use ::arrow::datatypes::SchemaRef;
use datafusion::{
    common::config::CsvOptions as CsvWriting,
    datasource::{
        file_format::FileFormat as EngineFormat, physical_plan::FileScanConfig,
        source::DataSourceExec,
    },
    physical_plan::ExecutionPlan,
};

use crate::{dataframe::DataFrame, error::Result, session::Session};

impl Session {
    /// Files of any format, told by their names: a path, a glob pattern, a folder or a URL
    /// of `s3`, `gs`, `az`, `http` or `https`. Folders named `column=value` give columns.
    ///
    /// # Errors
    /// [`crate::FrameError::MissingFile`], [`crate::FrameError::UnknownFormat`] and the like.
    pub async fn read(&self, path: &str) -> Result<DataFrame> {
        self.read_with(&[path], &ReadOptions::default()).await
    }

    /// Files of one format from several places, as one frame.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub async fn read_with(&self, paths: &[&str], options: &ReadOptions) -> Result<DataFrame> {
        let state = self.context().state();
        let table = table::open(&state, paths, options, table::Declared::default()).await?;
        let frame = self.context().read_table(table)?;
        Ok(DataFrame::new(self.clone(), frame.into_unoptimized_plan()))
    }

    /// One place whose files have these columns.
    pub(crate) async fn read_declared(
        &self,
        path: &str,
        options: &ReadOptions,
        schema: SchemaRef,
    ) -> Result<DataFrame> {
        let state = self.context().state();
        let declared = table::Declared { schema: Some(schema), ..Default::default() };
        let table = table::open(&state, &[path], options, declared).await?;
        let frame = self.context().read_table(table)?;
        Ok(DataFrame::new(self.clone(), frame.into_unoptimized_plan()))
    }

    /// CSV files.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub async fn read_csv(&self, path: &str, options: CsvOptions) -> Result<DataFrame> {
        let format = Some(FileFormat::Csv);
        self.read_with(&[path], &ReadOptions { format, csv: options, ..Default::default() }).await
    }

    /// JSON files, one object a line.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub async fn read_json(&self, path: &str, options: JsonOptions) -> Result<DataFrame> {
        let format = Some(FileFormat::Json);
        self.read_with(&[path], &ReadOptions { format, json: options, ..Default::default() }).await
    }

    /// Parquet files. The first file's columns count: what others lack is null there.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub async fn read_parquet(&self, path: &str) -> Result<DataFrame> {
        self.read_as(path, FileFormat::Parquet).await
    }

    /// Arrow IPC files.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub async fn read_arrow(&self, path: &str) -> Result<DataFrame> {
        self.read_as(path, FileFormat::Arrow).await
    }

    /// Avro files.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub async fn read_avro(&self, path: &str) -> Result<DataFrame> {
        self.read_as(path, FileFormat::Avro).await
    }

    async fn read_as(&self, path: &str, format: FileFormat) -> Result<DataFrame> {
        let options = ReadOptions { format: Some(format), ..Default::default() };
        self.read_with(&[path], &options).await
    }
}

/// The options that make a writer's files fit a table's CSV reader; `None` for other formats.
pub(crate) fn csv_options(format: &dyn EngineFormat) -> Option<CsvWriting> {
    let csv = format.downcast_ref::<csv_scan::CsvFiles>()?;
    let mut options = csv.options().clone();
    // The writer has one text for null: the first that the reader knows.
    let nulls = diagnose::Nulls::new(options.null_regex.as_deref());
    options.null_value = nulls.first().map(str::to_string);
    Some(options)
}

/// The size of all files that a plan reads, in bytes; `None` where it reads none.
pub(crate) fn total_bytes(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let own = plan
        .downcast_ref::<DataSourceExec>()
        .and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>())
        .map(|config| {
            let files = config.file_groups.iter().flat_map(|group| group.iter());
            files.map(|file| file.effective_size()).sum::<u64>()
        });
    plan.children().into_iter().map(total_bytes).chain([own]).flatten().reduce(|a, b| a + b)
}
