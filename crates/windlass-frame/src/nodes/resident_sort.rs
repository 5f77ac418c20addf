//! Sorts and top-k of rows on a device.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use datafusion::error::{DataFusionError, Result};
use futures::{StreamExt, TryStreamExt, stream};
use windlass_device::{Device, DeviceBuffer, Queue, Reservation};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, KernelError, gather,
    sort::{SortKey, sort_indices, top_k},
};

use super::{
    resident::{Batches, Inputs, Kind, Worker},
    upload::target_rows,
};
use crate::batch::{SharedDictionary, upload_array};

/// First rows kept beside the wanted ones before the surplus is dropped, as
/// [`super::DeviceSortExec`] does with rows of the host.
const KEPT_ROWS: usize = 1 << 16;

/// Rows in the order of their keys, or the first of them.
///
/// ```text
///   batches ─► one batch ─► order (row numbers) ─► rows in order, piece by piece
///              └ with a limit: the first of each batch, then the first of these
/// ```
///
/// Nothing of it comes to the host. Texts are ordered by the rank of their code among the
/// strings at hand. Rows that are equal in all keys keep their order. Rows that do not fit the
/// device are a failure of it.
#[derive(Debug, Clone)]
pub(crate) struct Sort {
    /// The keys, by columns of the input.
    pub(crate) keys: Vec<SortKey>,
    /// Columns of the input before those of the reader.
    pub(crate) extra: usize,
    /// Most rows.
    pub(crate) fetch: Option<usize>,
    /// Whether it reads all partitions as one.
    pub(crate) merges: bool,
}

impl Kind for Sort {
    fn name(&self) -> &'static str {
        "DeviceSortExec"
    }

    fn rows(&self, inputs: Inputs, worker: Worker, partition: usize) -> Result<Batches> {
        let texts = self.keys.iter().map(|key| inputs.texts(0, key.column));
        let order = Order {
            keys: self.keys.clone().into(),
            texts: texts.collect::<Result<_>>()?,
            extra: self.extra,
        };
        let input = match self.merges {
            true => inputs.all(0)?,
            false => inputs.batches(0, partition)?,
        };
        Ok(stream::once(order.run(input, self.fetch, worker)).try_flatten().boxed())
    }

    fn fresh(&self) -> Box<dyn Kind> {
        Box::new(self.clone())
    }

    fn whole(&self, fetch: Option<usize>) -> Option<Box<dyn Kind>> {
        Some(Box::new(Self { fetch, merges: true, ..self.clone() }))
    }
}

/// An order of rows.
#[derive(Debug, Clone)]
struct Order {
    keys: Arc<[SortKey]>,
    /// The strings of each key.
    texts: Arc<[Option<Arc<SharedDictionary>>]>,
    extra: usize,
}

/// Rows, and the numbers of the first `n` in order.
struct Ordered {
    batch: DeviceBatch,
    order: DeviceBuffer,
    n: usize,
}

impl Order {
    /// The rows of the input in order.
    async fn run(
        self,
        mut input: Batches,
        fetch: Option<usize>,
        mut worker: Worker,
    ) -> Result<Batches> {
        let (mut held, mut rows, mut taken) = (Vec::new(), 0, 0);
        while let Some(batch) = input.try_next().await? {
            taken += batch.rows;
            rows += batch.rows;
            held.push(batch);
            let Some(k) = fetch else { continue };
            let few = rows <= k.saturating_mul(4).max(KEPT_ROWS);
            if few && held.last().is_some_and(|b: &DeviceBatch| b.rows <= k) {
                continue;
            }
            // The first of the new batch, or of all that is held.
            let of = if few { held.split_off(held.len() - 1) } else { std::mem::take(&mut held) };
            let (order, n) = (self.clone(), of.iter().map(|b| b.rows).sum::<usize>());
            let work =
                move |device: &dyn Device, queue: &mut dyn Queue, memory: &mut Reservation| {
                    order.first(device, queue, memory, &of, k)
                };
            let (next, first) = worker.run("top-k", n, work).await?;
            worker = next;
            rows = rows - n + first.rows;
            held.push(first);
        }
        drop(input);
        if rows == 0 {
            return Ok(stream::empty().boxed());
        }
        let k = fetch.unwrap_or(usize::MAX);
        let order = self.clone();
        let work = move |device: &dyn Device, queue: &mut dyn Queue, memory: &mut Reservation| {
            order.ordered(device, queue, memory, &held, k)
        };
        let (worker, mut all) = worker.run("sort", rows, work).await?;
        debug_assert_eq!(all.n, taken.min(k), "a sort keeps its rows");
        all.batch.columns.drain(..self.extra);
        let widths: Vec<usize> = all.batch.columns.iter().map(|c| c.ty.wide_bytes() + 4).collect();
        let step = target_rows(&worker.placed, &widths);
        Ok(pieces(Arc::new(all), step, worker))
    }

    /// The first `k` rows of batches, in order, with all their columns.
    fn first(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        memory: &mut Reservation,
        batches: &[DeviceBatch],
        k: usize,
    ) -> Result<DeviceBatch, KernelError> {
        let Ordered { batch, order, n } = self.ordered(device, queue, memory, batches, k)?;
        gather::gather(device, queue, memory, &batch, &order, n, false)
    }

    /// Batches as one, and the order of its first `k` rows.
    fn ordered(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        memory: &mut Reservation,
        batches: &[DeviceBatch],
        k: usize,
    ) -> Result<Ordered, KernelError> {
        let batch = gather::concat(device, queue, memory, batches)?;
        let (mut columns, mut keys) = (Vec::new(), Vec::new());
        for (at, (key, texts)) in self.keys.iter().zip(&*self.texts).enumerate() {
            let column = &batch.columns[key.column];
            columns.push(match texts {
                Some(texts) => ranks(device, queue, memory, column, batch.rows, texts)?,
                None => column.clone(),
            });
            keys.push(SortKey { column: at, ..*key });
        }
        let by = DeviceBatch { rows: batch.rows, columns };
        let (order, n) = match k < batch.rows {
            true => top_k(device, queue, memory, &by, &keys, k)?,
            false => (sort_indices(device, queue, memory, &by, &keys)?, batch.rows),
        };
        Ok(Ordered { batch, order, n })
    }
}

/// The position of each text among the distinct texts so far, in their order; null where it is.
fn ranks(
    device: &dyn Device,
    queue: &mut dyn Queue,
    memory: &mut Reservation,
    codes: &DeviceColumn,
    rows: usize,
    texts: &SharedDictionary,
) -> Result<DeviceColumn, KernelError> {
    let mut ranks = texts.ranks();
    // The codes of null rows may be any; that of the first string is always there.
    if ranks.is_empty() {
        ranks.push(0);
    }
    let strings = ranks.len();
    let ranks: ArrayRef = Arc::new(UInt32Array::from(ranks));
    let column = upload_array(device, queue, memory, &ranks)?;
    let ranks = DeviceBatch { rows: strings, columns: vec![column] };
    let mut ranked = gather::gather(device, queue, memory, &ranks, &codes.values, rows, false)?;
    let ranked = ranked.columns.swap_remove(0);
    Ok(DeviceColumn { validity: codes.validity.clone(), ..ranked })
}

/// Ordered rows in batches of `step` rows.
fn pieces(all: Arc<Ordered>, step: usize, worker: Worker) -> Batches {
    stream::try_unfold((0, worker), move |(at, worker)| {
        let all = Arc::clone(&all);
        async move {
            let n = (all.n - at).min(step);
            if n == 0 {
                return Ok(None);
            }
            let work =
                move |device: &dyn Device, queue: &mut dyn Queue, memory: &mut Reservation| {
                    let numbers = device.alloc(memory, n * 4)?;
                    queue.copy(&all.order, at * 4, &numbers, 0, n * 4)?;
                    gather::gather(device, queue, memory, &all.batch, &numbers, n, false)
                };
            let (worker, piece) = worker.run("sort gather", n, work).await?;
            Ok::<_, DataFusionError>(Some((piece, (at + n, worker))))
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;
    use crate::{
        batch::DictionaryLimits,
        nodes::resident::tests::{batch, column, worker},
    };

    fn key(column: usize, descending: bool, nulls_first: bool) -> SortKey {
        SortKey { column, descending, nulls_first }
    }

    /// The second column of the rows in order of the first, in which texts are codes.
    async fn sorted(
        order: Order,
        rows: &[(Option<&str>, i64)],
        cuts: &[usize],
        fetch: Option<usize>,
    ) -> Vec<i64> {
        let texts = StringArray::from(rows.iter().map(|r| r.0).collect::<Vec<_>>());
        let dictionary = order.texts[0].clone().expect("texts");
        let codes = dictionary.encode(&texts).expect("codes");
        let values = Int64Array::from(rows.iter().map(|r| r.1).collect::<Vec<_>>());
        let (mut batches, mut at) = (Vec::new(), 0);
        for n in cuts {
            let columns: [ArrayRef; 2] =
                [Arc::new(codes.slice(at, *n)), Arc::new(values.slice(at, *n))];
            batches.push(Ok(batch(&columns)));
            at += n;
        }
        let input = stream::iter(batches).boxed();
        let out = order.run(input, fetch, worker()).await.expect("rows");
        let out: Vec<DeviceBatch> = out.try_collect().await.expect("rows");
        out.iter().flat_map(|b| column(b, 0)).map(|v| v.expect("a number")).collect()
    }

    fn by(keys: &[SortKey]) -> Order {
        let texts = SharedDictionary::new(&[], DictionaryLimits::default());
        let texts = Arc::new(texts.expect("a dictionary"));
        let texts = keys.iter().map(|k| (k.column == 0).then(|| Arc::clone(&texts))).collect();
        Order { keys: keys.into(), texts, extra: 1 }
    }

    const ROWS: [(Option<&str>, i64); 9] = [
        (Some("pear"), 1),
        (None, 2),
        (Some("apple"), 3),
        (Some("fig"), 4),
        (Some("apple"), 5),
        (None, 6),
        (Some("a text that is longer than a view holds"), 7),
        (Some(""), 8),
        (Some("pear"), 9),
    ];

    #[tokio::test]
    async fn texts_are_ordered_by_their_strings_and_equal_rows_stay() {
        for cuts in [&[9][..], &[4, 5], &[1, 3, 2, 3]] {
            let up = sorted(by(&[key(0, false, false)]), &ROWS, cuts, None).await;
            assert_eq!(up, [8, 7, 3, 5, 4, 1, 9, 2, 6], "{cuts:?}");
            let keys = [key(0, true, true), key(1, true, false)];
            let down = sorted(by(&keys), &ROWS, cuts, None).await;
            assert_eq!(down, [6, 2, 9, 1, 4, 5, 3, 7, 8], "{cuts:?}");
        }
    }

    #[tokio::test]
    async fn the_first_rows_are_those_of_all_batches() {
        for (k, expected) in
            [(0, &[][..]), (1, &[8]), (3, &[8, 7, 3]), (8, &[8, 7, 3, 5, 4, 1, 9, 2])]
        {
            for cuts in [&[9][..], &[4, 5], &[2, 2, 2, 2, 1]] {
                let first = sorted(by(&[key(0, false, false)]), &ROWS, cuts, Some(k)).await;
                assert_eq!(first, expected, "{k} of {cuts:?}");
            }
        }
    }

    #[tokio::test]
    async fn only_nulls_and_no_rows_at_all_have_an_order() {
        let nulls = [(None, 4), (None, 2), (None, 3)];
        let keys = [key(0, false, false), key(1, false, false)];
        assert_eq!(sorted(by(&keys), &nulls, &[2, 1], None).await, [2, 3, 4]);
        assert_eq!(sorted(by(&keys), &nulls, &[], None).await, [0; 0]);
    }

    #[tokio::test]
    async fn more_rows_than_are_kept_give_the_same_first_rows() {
        let rows: Vec<(Option<&str>, i64)> =
            (0..3 * KEPT_ROWS as i64).map(|i| (Some("same"), (i * 7919) % 100_003)).collect();
        let cuts = vec![KEPT_ROWS / 4; 12];
        let mut expected: Vec<i64> = rows.iter().map(|r| r.1).collect();
        expected.sort_unstable();
        let keys = [key(0, false, false), key(1, false, false)];
        let first = sorted(by(&keys), &rows, &cuts, Some(KEPT_ROWS / 2)).await;
        assert_eq!(first, expected[..KEPT_ROWS / 2]);
    }
}
