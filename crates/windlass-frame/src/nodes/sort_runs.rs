//! Sorted runs of a sort that does not fit: in memory or on disk, and merged at the end.

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, UInt32Array},
    datatypes::SchemaRef,
};
use datafusion::{
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::LexOrdering,
    physical_plan::{
        ExecutionPlan, metrics::SpillMetrics, sorts::sort_preserving_merge::SortPreservingMergeExec,
    },
};

use super::sort_order::taken;
use crate::spill::rows::{Rows, SpilledRows, compact, source_of, spill};

/// Rows of a batch of a run on disk. Of each run two batches are in memory while runs are
/// merged: few, so that many runs can be.
const RUN_ROWS: usize = 2048;

/// Rows and the order that they have.
#[derive(Debug, Clone)]
pub(super) struct Sorted {
    pub(super) batch: RecordBatch,
    /// Their numbers in order; `None`: they are in order.
    pub(super) order: Option<UInt32Array>,
}

impl Sorted {
    /// Rows that are in order.
    pub(super) fn in_order(batch: RecordBatch) -> Vec<Self> {
        vec![Self { batch, order: None }]
    }

    pub(super) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// All rows in order.
    pub(super) fn batch(self) -> Result<RecordBatch> {
        match &self.order {
            Some(order) => taken(&self.batch, order),
            None => Ok(self.batch),
        }
    }

    /// The rows in order, in batches that are made when they are asked for. With `alone` a batch
    /// has the bytes of its own texts only, which is a copy more: others count what they hold.
    pub(super) fn pieces(
        self,
        rows: usize,
        alone: bool,
    ) -> impl Iterator<Item = Result<RecordBatch>> + Send {
        let all = self.rows();
        (0..all).step_by(rows.max(1)).map(move |at| {
            let n = rows.min(all - at);
            let piece = match &self.order {
                Some(order) => taken(&self.batch, &order.slice(at, n))?,
                None => self.batch.slice(at, n),
            };
            if alone { compact(&piece) } else { Ok(piece) }
        })
    }
}

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
        run: Sorted,
        context: &TaskContext,
        counts: SpillMetrics,
    ) -> Result<()> {
        let (env, rows) = (context.runtime_env(), run.rows());
        let bytes = run.batch.get_array_memory_size();
        let most = RUN_ROWS.min(context.session_config().batch_size());
        if let Some(file) = spill(&self.schema, run.pieces(most, true), &env, counts)? {
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
