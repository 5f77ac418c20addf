//! Limits of rows on a device.

use datafusion::error::{DataFusionError, Result};
use futures::{StreamExt, TryStreamExt, stream};
use windlass_kernels::{DeviceBatch, gather};

use super::resident::{Batches, Inputs, Kind, Worker};

/// So many rows of each partition, or of all as one, from a row on.
///
/// ```text
///   rows of the input      ░░░░░░░░│████████│░░░░░░░░░░
///                           skip     fetch    not asked for: the input stops
/// ```
///
/// Batches that lie within the range pass as they are, those at its ends are cut on the device.
/// Once there are enough rows the input is dropped, and with it what it was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Rows left out first.
    pub(crate) skip: usize,
    /// Most rows after these; `None`: all.
    pub(crate) fetch: Option<usize>,
    /// Whether it reads all partitions as one.
    pub(crate) merges: bool,
}

/// The range that is still to come.
#[derive(Debug, Clone, Copy)]
struct Range {
    skip: usize,
    fetch: usize,
}

impl Range {
    /// The rows of a batch of `rows` rows that are in the range, as offset and number; the range
    /// moves on.
    fn take(&mut self, rows: usize) -> (usize, usize) {
        let skip = self.skip.min(rows);
        let n = (rows - skip).min(self.fetch);
        self.skip -= skip;
        self.fetch -= n;
        (skip, n)
    }
}

impl Kind for Limit {
    fn name(&self) -> &'static str {
        "DeviceLimitExec"
    }

    fn rows(&self, inputs: Inputs, worker: Worker, partition: usize) -> Result<Batches> {
        let input = match self.merges {
            true => inputs.all(0)?,
            false => inputs.batches(0, partition)?,
        };
        let range = Range { skip: self.skip, fetch: self.fetch.unwrap_or(usize::MAX) };
        Ok(limited(input, range, worker))
    }

    fn fresh(&self) -> Box<dyn Kind> {
        Box::new(*self)
    }
}

fn limited(input: Batches, range: Range, worker: Worker) -> Batches {
    let state = (range.fetch > 0).then_some((input, range, worker));
    stream::try_unfold(state, |mut state| async move {
        while let Some((mut input, mut range, worker)) = state.take() {
            let Some(batch) = input.try_next().await? else { return Ok(None) };
            let (offset, n) = range.take(batch.rows);
            if n == 0 {
                state = Some((input, range, worker));
                continue;
            }
            let (worker, batch) = cut(worker, batch, offset, n).await?;
            let rest = (range.fetch > 0).then_some((input, range, worker));
            return Ok(Some((batch, rest)));
        }
        Ok::<_, DataFusionError>(None)
    })
    .boxed()
}

/// `n` rows of a batch from row `offset` on.
async fn cut(
    worker: Worker,
    batch: DeviceBatch,
    offset: usize,
    n: usize,
) -> Result<(Worker, DeviceBatch)> {
    if n == batch.rows {
        return Ok((worker, batch));
    }
    worker
        .run("limit", n, move |device, queue, reservation| {
            gather::slice(device, queue, reservation, &batch, offset, n)
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::resident::tests::{input, numbers, worker};

    fn ranges(skip: usize, fetch: usize, batches: &[usize]) -> Vec<(usize, usize)> {
        let mut range = Range { skip, fetch };
        batches.iter().map(|rows| range.take(*rows)).collect()
    }

    #[test]
    fn a_range_is_cut_out_of_batches() {
        assert_eq!(ranges(0, 5, &[3, 3, 3]), [(0, 3), (0, 2), (0, 0)]);
        assert_eq!(ranges(4, 3, &[3, 3, 3]), [(3, 0), (1, 2), (0, 1)]);
        assert_eq!(ranges(3, 9, &[3, 2]), [(3, 0), (0, 2)]);
        assert_eq!(ranges(1, usize::MAX, &[3, 4]), [(1, 2), (0, 4)]);
        assert_eq!(ranges(20, 5, &[3, 0]), [(3, 0), (0, 0)]);
    }

    #[tokio::test]
    async fn rows_in_the_range_come_out_and_no_more_is_read() {
        for (skip, fetch, expected) in [
            (0, 0, vec![]),
            (0, 4, vec![0, 1, 2, 3]),
            (2, 4, vec![2, 3, 4, 5]),
            (5, 100, vec![5, 6, 7, 8, 9]),
            (10, 3, vec![]),
        ] {
            let (batches, read) = input(&[&[0, 1, 2], &[3, 4], &[5, 6, 7, 8, 9]]);
            let rows = limited(batches, Range { skip, fetch }, worker());
            assert_eq!(numbers(rows).await, expected, "{skip}, {fetch}");
            let needed = match (fetch, skip + fetch) {
                (0, _) => 0,
                (_, ..=3) => 1,
                (_, ..=5) => 2,
                _ => 3,
            };
            assert_eq!(read.load(std::sync::atomic::Ordering::Relaxed), needed, "{skip}, {fetch}");
        }
    }
}
