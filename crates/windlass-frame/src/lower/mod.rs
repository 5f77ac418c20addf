//! From DataFusion's physical expressions to the kernels' programs.
//!
//! [`Lowering`] takes the filters and projections above a plan node from the bottom up and
//! ends in a [`PipelinePlan`] (rows out) or an [`AggregatePlan`] (groups out). A plan is
//! the program, how its inputs are loaded ([`InputPlan`]), the dictionaries and lookup
//! tables that the host keeps for it ([`HostTables`]), and what its outputs mean.
//!
//! What has no device form is [`Unsupported`], with a reason for the user; nothing is
//! lowered approximately.
//!
//! A program raises an error in the rows in which DataFusion raises one when it evaluates
//! them one at a time: CASE, COALESCE, IN, AND and OR evaluate what they need, and nothing is
//! an error beside a null operand. In two places they differ. An expression over one string
//! fails for a value of its dictionary even if no row needs that value; every error of a
//! device sends its rows back to the CPU, so that the query does not fail by it. And where
//! DataFusion's optimizer computes an expression ahead of the CASE or filter that needs it,
//! the CPU has errors in rows that the device passes over.
//!
//! | module | holds |
//! |---|---|
//! | [`types`] | which device type stands for which Arrow type |
//! | [`plan`] | the results of lowering |
//! | [`aggregate`] | aggregates: calls, partial states, final values |

mod builder;
mod expr;
mod pipeline;

#[cfg(test)]
mod tests;

pub mod aggregate;
pub mod plan;
pub mod types;

pub use aggregate::AggregatePlan;
pub use pipeline::Lowering;
pub use plan::{
    DictionaryId, DictionarySpec, HostTables, InputColumn, InputPlan, OutputColumn, PipelinePlan,
    TableResult, TableSpec,
};

/// Why an expression, type or aggregate stays on the CPU.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unsupported {
    /// For the user: which expression or type, and why.
    pub reason: String,
}

impl Unsupported {
    /// With a reason for the user.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl From<windlass_kernels::KernelError> for Unsupported {
    fn from(e: windlass_kernels::KernelError) -> Self {
        Self::new(e.to_string())
    }
}

/// A result with [`Unsupported`].
pub type Result<T, E = Unsupported> = std::result::Result<T, E>;
