//! Lazy dataframes and SQL on CPU, CUDA and WGSL devices: the facade of the workspace.
//!
//! ```no_run
//! use windlass::prelude::*;
//!
//! # async fn run() -> windlass::Result<()> {
//! let session = Session::new()?;
//! let flights = session.read("flights.csv.gz").await?;
//! let late = flights.filter(col("dep_delay").gt(lit(15)))?;
//! late.group_by(&["carrier"])?.agg(vec![count(lit(1)).alias("late")])?.show().await?;
//! # Ok(())
//! # }
//! ```

pub use windlass_device as device;
pub use windlass_frame as frame;
pub use windlass_kernels as kernels;
pub use windlass_runtime as runtime;

pub use windlass_device::{
    DeviceClass, DeviceInfo, DeviceOptions, DeviceReport, DeviceSpec, list_devices,
};
pub use windlass_frame::{
    BatchStream, CancelToken, CsvOptions, DataFrame, Decision, Estimate, Explained, FileFormat,
    FrameError, GroupBy, JobStats, JsonOptions, OperatorStats, Outcome, Position, Progress,
    ProgressSink, ReadOptions, Result, RowSink, RunOptions, Session, SessionOptions, Span,
    Statement, WriteMode, WriteOptions, Written, arrow, expr, remove_unfinished,
};

/// What most programs need: the session, frames, options and expressions.
pub mod prelude {
    pub use crate::{
        CsvOptions, DataFrame, DeviceSpec, FileFormat, FrameError, JsonOptions, Outcome,
        ReadOptions, RunOptions, Session, SessionOptions, WriteMode, WriteOptions, expr::*,
    };
}
