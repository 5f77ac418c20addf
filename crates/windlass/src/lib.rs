//! Lazy dataframes and SQL on CPU, CUDA and WGSL devices, and task graphs of Rust functions:
//! the facade of the workspace.
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
//!
//! Functions become tasks by [`delayed`], are begun at once by a [`Client`], and run over
//! partitioned lists by a [`Bag`]:
//!
//! ```
//! use windlass::prelude::*;
//!
//! let square = delayed(|x: &u64| x * x).named("square");
//! let squares = square.map(0..10_u64);
//! let sum = delayed(|all: &Vec<std::sync::Arc<u64>>| all.iter().map(|x| **x).sum::<u64>());
//! assert_eq!(*sum.call((Delayed::all(squares),)).compute()?, 285);
//! # Ok::<_, windlass::RunError>(())
//! ```

pub mod convert;

pub use windlass_array as array;
pub use windlass_device as device;
pub use windlass_frame as frame;
pub use windlass_kernels as kernels;
pub use windlass_runtime as runtime;

pub use windlass_device::{
    DeviceClass, DeviceInfo, DeviceOptions, DeviceReport, DeviceSpec, list_devices,
};
pub use windlass_frame::{
    BatchStream, CancelToken, CsvOptions, DataFrame, Decision, Estimate, Explained, FileFormat,
    FrameError, GroupBy, HostUse, JobStats, JsonOptions, OperatorStats, Outcome, PartitionStats,
    Position, Progress, ProgressSink, ReadOptions, Result, RowSink, RunOptions, Session,
    SessionOptions, Span, Statement, ToDataFrame, WriteMode, WriteOptions, Written, arrow, expr,
    remove_unfinished,
};
pub use windlass_runtime::{
    bag::{Bag, TextError, TextOptions},
    delayed::{
        Delayed, DelayedFn, RunGraph, Synchronous, compute, compute_on, delayed, try_delayed,
    },
    execute::{Executor, ExecutorOptions, JobHandle, run_synchronous},
    futures::{Client, TaskFuture, as_completed, gather, wait},
    processes::{Functions, ProcessExecutor, ProcessOptions, StartError},
    schedule::{DeviceProfile, Placement, RunError},
};

/// What most programs need: the session, frames, options and expressions; delayed functions,
/// futures and bags; worker processes.
pub mod prelude {
    pub use crate::{
        Bag, Client, CsvOptions, DataFrame, Delayed, DeviceSpec, FileFormat, FrameError, Functions,
        JsonOptions, Outcome, ProcessExecutor, ProcessOptions, ReadOptions, RunOptions, Session,
        SessionOptions, ToDataFrame, WriteMode, WriteOptions, compute, delayed, expr::*,
        try_delayed,
    };
}
