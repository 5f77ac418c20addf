//! Finding out which record of which file an error is about.

use datafusion::{error::DataFusionError, logical_expr::LogicalPlan};

use crate::{error::FrameError, session::Session};

/// The error of a failed query, with file, line and column where a file is at fault.
pub(crate) async fn explain(
    session: &Session,
    _plan: &LogicalPlan,
    error: DataFusionError,
) -> FrameError {
    session.name_tables(error.into())
}
