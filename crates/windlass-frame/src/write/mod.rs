//! Frames as files.

use std::path::PathBuf;

use arrow::array::{AsArray, RecordBatch};
use datafusion::{
    arrow::datatypes::{Int64Type, UInt64Type},
    logical_expr::{LogicalPlan, dml::CopyTo},
};

use crate::{
    error::Result,
    execute::{self, Finished},
    session::Session,
    statement::{Outcome, RunOptions},
};

/// What happens to files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteMode {
    /// An earlier output of ours is replaced, as a whole.
    #[default]
    Replace,
    /// Files are added to the folder.
    Append,
    /// The write fails.
    Fail,
}

/// How a frame is written.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Columns that become folders, `name=value`.
    pub partition_by: Vec<String>,
    /// Parquet: `snappy`, `zstd`, `gzip`, `lz4`, `uncompressed`, with a level in brackets
    /// where there is one, `zstd(3)`. CSV and JSON: `gzip`, `zstd`, `bzip2`, `xz`.
    pub compression: Option<String>,
    /// Bytes that a file should have, about.
    pub target_file_size: Option<u64>,
    /// What happens to files that are there already.
    pub mode: WriteMode,
}

/// What a write left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Rows.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

/// Runs a `COPY`.
pub(crate) async fn copy(session: &Session, copy: CopyTo, run: &RunOptions) -> Result<Outcome> {
    let path = PathBuf::from(&copy.output_url);
    let plan = LogicalPlan::Copy(copy);
    let Finished { batches, .. } = execute::collect(session, &plan, run).await?;
    Ok(Outcome::Written { rows: count(&batches), files: 0, bytes: 0, path })
}

/// The one number of a count's result.
pub(crate) fn count(batches: &[RecordBatch]) -> u64 {
    let rows = batches.iter().filter(|b| b.num_rows() > 0 && b.num_columns() > 0);
    rows.map(|b| {
        let column = b.column(0);
        if let Some(counts) = column.as_primitive_opt::<UInt64Type>() {
            counts.values().iter().sum()
        } else if let Some(counts) = column.as_primitive_opt::<Int64Type>() {
            counts.values().iter().map(|v| u64::try_from(*v).unwrap_or(0)).sum()
        } else {
            0
        }
    })
    .sum()
}
