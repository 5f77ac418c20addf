//! Sorted runs of a sort that does not fit: in memory or on disk, and merged at the end.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::LexOrdering,
    physical_plan::{
        ExecutionPlan, metrics::SpillMetrics, sorts::sort_preserving_merge::SortPreservingMergeExec,
    },
};

use crate::spill::rows::{Rows, SpilledRows, source_of, spill};

/// Rows of a batch of a run on disk. Of each run two batches are in memory while runs are
/// merged: few, so that many runs can be.
const RUN_ROWS: usize = 2048;

/// Sorted runs, in the order in which their rows came.
#[derive(Debug)]
pub(super) struct Runs {
    schema: SchemaRef,
    order: LexOrdering,
    runs: Vec<Rows>,
}

impl Runs {
    pub(super) fn new(schema: SchemaRef, order: LexOrdering) -> Self {
        Self { schema, order, runs: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Rows that the runs have.
    pub(super) fn rows(&self) -> usize {
        let rows = |run: &Rows| match run {
            Rows::Held(batch) => batch.num_rows(),
            Rows::Spilled(rows) => rows.rows,
        };
        self.runs.iter().map(rows).sum()
    }

    /// A run that stays in memory.
    pub(super) fn hold(&mut self, run: RecordBatch) {
        self.runs.push(Rows::Held(run));
    }

    /// A run that goes to disk.
    pub(super) fn spill(
        &mut self,
        run: &RecordBatch,
        context: &TaskContext,
        counts: SpillMetrics,
    ) -> Result<()> {
        let (env, rows) = (context.runtime_env(), run.num_rows());
        let pieces = (0..rows).step_by(RUN_ROWS);
        let pieces = pieces.map(|at| run.slice(at, RUN_ROWS.min(rows - at)));
        if let Some(file) = spill(&self.schema, pieces, &env, counts)? {
            let bytes = run.get_array_memory_size();
            self.runs.push(Rows::Spilled(SpilledRows { file, rows, bytes }));
        }
        Ok(())
    }

    /// All rows in order; those that are equal come in the order of their runs.
    pub(super) fn merged(self, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let runs = self.runs.into_iter().map(|run| vec![run]).collect();
        let source = source_of(&self.schema, runs)?;
        let merge = SortPreservingMergeExec::new(self.order, source);
        merge.with_round_robin_repartition(false).execute(0, context)
    }
}
