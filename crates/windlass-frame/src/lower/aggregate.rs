//! Aggregations: calls of the device's accumulators, and their states and final values as
//! DataFusion has them.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use windlass_kernels::{
    Result as KernelResult,
    aggregate::{GroupByPlan, GroupByResult},
};

use super::{HostTables, InputPlan, OutputColumn};
use crate::batch::DictionarySet;

/// An aggregation with the filters and projections below it as one program.
#[derive(Debug, Clone)]
pub struct AggregatePlan {
    /// What the device runs.
    pub kernel: GroupByPlan,
    /// What it reads.
    pub input: InputPlan,
    /// What the host keeps for it.
    pub tables: Arc<HostTables>,
    /// What the keys are.
    pub keys: Vec<OutputColumn>,
}

impl AggregatePlan {
    /// The groups with their partial states, as an `AggregateExec` of mode Partial gives
    /// them: `schema` is that node's.
    ///
    /// # Errors
    /// `Invalid` when the result is not this plan's.
    pub fn partial(
        &self,
        result: &GroupByResult,
        dictionaries: &DictionarySet,
        schema: &SchemaRef,
    ) -> KernelResult<RecordBatch> {
        let _ = (result, dictionaries, schema);
        Err(windlass_kernels::KernelError::Unsupported {
            device: "cpu".into(),
            reason: "not built".into(),
        })
    }

    /// The groups with their final values, as an `AggregateExec` of mode Single, Final or
    /// FinalPartitioned gives them: `schema` is that node's.
    ///
    /// # Errors
    /// `Invalid` when the result is not this plan's; `Overflow` where DataFusion raises it.
    pub fn finals(
        &self,
        result: &GroupByResult,
        dictionaries: &DictionarySet,
        schema: &SchemaRef,
    ) -> KernelResult<RecordBatch> {
        self.partial(result, dictionaries, schema)
    }
}
