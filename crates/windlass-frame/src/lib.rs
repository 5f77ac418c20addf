//! Dataframes and SQL over DataFusion, with operators placed on devices.
//!
//! A query's way: [`session`] parses and plans, [`plan`] places operators, `execute` runs
//! the physical plan and keeps its figures.
//!
//! | module | holds |
//! |---|---|
//! | [`session`] | [`Session`]: tables, settings, memory, devices |
//! | [`dataframe`] | [`DataFrame`]: lazy operations |
//! | [`expr`] | columns, literals, functions and aggregates |
//! | [`read`] | files and URLs as frames and tables; CSV inference |
//! | [`mod@write`] | frames as files, whole or not at all |
//! | [`statement`] | SQL texts of several statements, and what one gives |
//! | `execute` | the one place where queries run |
//! | `explain` | plans that are not run |
//! | `progress` | figures while a query runs |
//! | `memory`, `spill` | the limit of host memory; rows on disk |
//! | `persist` | tables in memory |
//! | [`plan`] | placement |
//! | [`nodes`] | device operators as plan nodes |
//! | [`lower`] | expressions and plans as device programs |
//! | [`batch`] | host batches to device batches and back |
//! | [`error`], `messages` | [`FrameError`]; the engine's messages in a user's words |

pub mod batch;
pub mod cancel;
pub mod dataframe;
pub mod error;
mod execute;
mod explain;
pub mod expr;
pub mod lower;
mod memory;
mod messages;
pub mod nodes;
pub mod options;
mod persist;
pub mod plan;
mod progress;
pub mod read;
pub mod session;
mod spill;
pub mod statement;
pub mod stats;
mod store;
pub mod write;

pub use cancel::CancelToken;
pub use dataframe::{BatchStream, DataFrame, GroupBy};
pub use error::{FrameError, Position, Result};
pub use explain::Explained;
pub use options::SessionOptions;
pub use plan::{Decision, Estimate};
pub use read::{CsvOptions, FileFormat, JsonOptions, ReadOptions, ToDataFrame};
pub use session::Session;
pub use statement::{Outcome, RunOptions, Statement};
pub use stats::{
    HostUse, JobStats, OperatorStats, PartitionStats, Progress, ProgressSink, RowSink, Span,
};
pub use write::{WriteMode, WriteOptions, Written, remove_unfinished};

pub use arrow;
