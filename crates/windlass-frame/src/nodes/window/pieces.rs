//! Rows of whole windows' partitions with their new columns: in pieces, where a device has no
//! memory for all of them, or where several devices share them.

use std::{sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute::partition,
    datatypes::SchemaRef,
};
use datafusion::error::Result;
use futures::future::try_join_all;
use windlass_kernels::KernelError;

use super::{
    OPERATOR,
    compute::{self, Failure},
    plan::WindowPlan,
};
use crate::{
    nodes::{
        Placed,
        failure::{failed, is_out_of_memory},
        metrics::DeviceMetrics,
        several::Sharing,
    },
    spill::rows::one_form,
};

/// Rows from which on a piece is worth a task of its own. DataFusion's batch size.
const LEAST_ROWS: usize = 8192;

/// What computes the columns.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) plan: Arc<WindowPlan>,
    pub(super) placed: Placed,
    pub(super) metrics: DeviceMetrics,
    /// Of the rows with the new columns.
    pub(super) schema: SchemaRef,
}

/// What became of the rows.
#[derive(Debug, Default)]
pub(super) struct Computed {
    /// The first of them with the new columns.
    pub(super) batches: Vec<RecordBatch>,
    /// Where the first windows' partition starts that the device has no memory for, alone.
    pub(super) left: Option<usize>,
}

impl Computed {
    /// With what became of the rows after these.
    fn and(mut self, next: impl FnOnce() -> Result<Self>) -> Result<Self> {
        if self.left.is_none() {
            let next = next()?;
            self.batches.extend(next.batches);
            self.left = next.left;
        }
        Ok(self)
    }
}

impl Worker {
    /// Where the windows' partitions of the rows start, and where the last of them ends.
    pub(super) fn starts(&self, rows: &RecordBatch) -> Result<Vec<usize>> {
        let n = rows.num_rows();
        let keys = self.plan.partition.iter().map(|key| {
            let key = key.evaluate(rows)?.into_array(n)?;
            Ok(one_form(key))
        });
        let keys: Vec<ArrayRef> = keys.collect::<Result<_>>()?;
        if keys.is_empty() {
            return Ok(vec![0, n]);
        }
        let starts = partition(&keys)?.ranges().into_iter().map(|range| range.start);
        Ok(starts.chain([n]).collect())
    }

    /// The columns of rows with whole windows' partitions, by the device or by those that share.
    pub(super) async fn compute(
        &self,
        rows: &RecordBatch,
        sharing: Option<&Sharing>,
    ) -> Result<Computed> {
        let starts = self.starts(rows)?;
        let Some(sharing) = sharing else {
            let (this, rows) = (self.clone(), rows.clone());
            return self.placed.run(move || this.within(&rows, &starts)).await?;
        };
        let devices = sharing.members().len();
        let parts = divided(&starts, devices).map(|part| self.anywhere(rows, part, sharing));
        let parts = try_join_all(parts).await?;
        parts.into_iter().try_fold(Computed::default(), |all, part| all.and(|| Ok(part)))
    }

    /// The columns of some of the windows' partitions on one of the devices that share them.
    async fn anywhere(
        &self,
        rows: &RecordBatch,
        starts: &[usize],
        sharing: &Sharing,
    ) -> Result<Computed> {
        let (this, rows, starts) = (self.clone(), rows.clone(), starts.to_vec());
        let n = starts[starts.len() - 1] - starts[0];
        let compute = move |placed: &Placed| {
            Self { placed: placed.clone(), ..this.clone() }.within(&rows, &starts)
        };
        sharing.anywhere(n, compute).await
    }

    /// The columns of the windows' partitions that start here, in halves where there is no
    /// memory for all at once.
    fn within(&self, rows: &RecordBatch, starts: &[usize]) -> Result<Computed> {
        let (from, to) = (starts[0], starts[starts.len() - 1]);
        match self.columns(&rows.slice(from, to - from))? {
            Ok(batch) => Ok(Computed { batches: vec![batch], left: None }),
            Err(e) if !is_out_of_memory(&e) => {
                Err(failed(&self.placed, &self.metrics, OPERATOR, e))
            }
            Err(e) if starts.len() <= 2 => {
                self.metrics.fallback(&self.placed, OPERATOR, &e);
                Ok(Computed { batches: Vec::new(), left: Some(from) })
            }
            Err(e) => {
                self.metrics.in_parts(&self.placed, OPERATOR, &e);
                let at = starts.partition_point(|start| *start < from.midpoint(to));
                let at = at.clamp(1, starts.len() - 2);
                let first = self.within(rows, &starts[..=at])?;
                first.and(|| self.within(rows, &starts[at..]))
            }
        }
    }

    /// The rows with the columns of the functions. The inner error is the device's.
    fn columns(&self, rows: &RecordBatch) -> Result<Result<RecordBatch, KernelError>> {
        let began = Instant::now();
        let mut queue = match self.placed.device.queue() {
            Ok(queue) => queue,
            Err(e) => return Ok(Err(e.into())),
        };
        let new = match compute::columns(&self.placed, &mut *queue, &self.plan, rows) {
            Ok(new) => new,
            Err(Failure::Device(e)) => return Ok(Err(e)),
            Err(Failure::Query(e)) => return Err(e),
        };
        let n = rows.num_rows();
        self.metrics.kernel(&self.placed, "window", began, n);
        self.metrics.baseline.output_rows().add(n);
        let columns = rows.columns().iter().cloned().chain(new).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        let schema = Arc::clone(&self.schema);
        Ok(Ok(RecordBatch::try_new_with_options(schema, columns, &options)?))
    }
}

/// About so many parts of as many rows, each of whole windows' partitions.
fn divided(starts: &[usize], parts: usize) -> impl Iterator<Item = &[usize]> {
    let last = starts.len() - 1;
    let rows = starts[last].div_ceil(parts.max(1)).max(LEAST_ROWS);
    let mut from = 0;
    std::iter::from_fn(move || {
        if from >= last {
            return None;
        }
        let end = starts[from] + rows;
        let to = starts.partition_point(|start| *start < end).clamp(from + 1, last);
        let part = &starts[from..=to];
        from = to;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_and_in_order() {
        let starts: Vec<usize> = (0..=100).map(|i| i * 1000).collect();
        let parts: Vec<&[usize]> = divided(&starts, 4).collect();
        assert_eq!(parts.len(), 4);
        assert_eq!((parts[0][0], parts[3][parts[3].len() - 1]), (0, 100_000));
        assert!(parts.windows(2).all(|two| two[0].last() == two[1].first()));
        // One that is larger than a part stays whole, and little is not divided.
        let parts: Vec<_> = divided(&[0, 90_000, 95_000, 100_000], 4).collect();
        assert_eq!(parts, [&[0, 90_000][..], &[90_000, 95_000, 100_000]]);
        assert_eq!(divided(&[0, 10, 20], 4).count(), 1);
        assert_eq!(divided(&[0, 7], 4).collect::<Vec<_>>(), [&[0, 7]]);
    }
}
