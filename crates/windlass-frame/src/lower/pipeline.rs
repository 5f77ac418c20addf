//! The chain of filters and projections above a plan node.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::{PhysicalExpr, aggregates::AggregateExec};

use super::{AggregatePlan, PipelinePlan, Result, Unsupported};

/// Lowers a chain of filters and projections from the bottom up.
///
/// Nothing that is not used is loaded: a projection only renames, and a column is lowered
/// when an output, filter, key or argument reads it. Errors (division by zero, overflow)
/// are raised only in rows that pass the filters below.
#[derive(Debug, Clone)]
pub struct Lowering {
    schema: SchemaRef,
}

impl Lowering {
    /// Over record batches of `input`.
    pub fn new(input: SchemaRef) -> Self {
        Self { schema: input }
    }

    /// The schema of the rows at this point of the chain.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Keeps the rows in which `predicate` is true.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason; the lowering is then as it was.
    pub fn filter(&mut self, predicate: &Arc<dyn PhysicalExpr>) -> Result<()> {
        Err(Unsupported::new(format!("not built: {predicate}")))
    }

    /// Replaces the columns by expressions over them. `schema` is the projection's own.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason; the lowering is then as it was.
    pub fn project(&mut self, exprs: &[Arc<dyn PhysicalExpr>], schema: SchemaRef) -> Result<()> {
        Err(Unsupported::new(format!("not built: {} expressions of {schema}", exprs.len())))
    }

    /// Keeps the columns of these indices (a filter's embedded projection).
    ///
    /// # Errors
    /// [`Unsupported`] for an index past the columns.
    pub fn select(&mut self, columns: &[usize]) -> Result<()> {
        Err(Unsupported::new(format!("not built: {columns:?}")))
    }

    /// Ends the chain: every column is an output.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason.
    pub fn finish(self) -> Result<PipelinePlan> {
        Err(Unsupported::new("not built"))
    }

    /// Ends the chain in an aggregation whose group and argument expressions are over the
    /// columns of the chain. `exec` is of mode Partial, Single or SinglePartitioned.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason.
    pub fn aggregate(self, exec: &AggregateExec) -> Result<AggregatePlan> {
        Err(Unsupported::new(format!("not built: {:?}", exec.mode())))
    }
}
