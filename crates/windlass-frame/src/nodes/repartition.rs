//! Exchanges of rows between partitions of one device.

use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use datafusion::{
    common::runtime::SpawnedTask,
    error::{DataFusionError, Result},
};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::{
    Notify,
    mpsc::{self, UnboundedReceiver, UnboundedSender},
};
use windlass_device::{Device, Queue, Reservation};
use windlass_kernels::{DeviceBatch, KernelError, gather, partition};

use super::resident::{Batches, Inputs, Kind, Worker};
use crate::batch::read_words;

/// What decides on a row's partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    /// The 64-bit hash of these columns of the input: rows with equal keys, nulls among them,
    /// share a partition, on every device and in every exchange into as many partitions. Texts
    /// are hashed by their codes, so they do so where their dictionary is the same.
    Hash(Vec<usize>),
    /// Nothing: even pieces of each batch.
    RoundRobin,
}

/// Rows of all partitions of the input, in other partitions.
///
/// ```text
///                       ┌► partition 0            each batch: sizes first, then the rows of each
///   all partitions ─►───┼► partition 1            partition gathered into a batch of their own
///     of the input      └► partition 2
/// ```
///
/// One task reads the input for all readers, and stops while each of them has rows that it has
/// not taken yet; with the last reader it ends. In debug builds it checks that each row of a
/// batch goes to one partition.
#[derive(Debug)]
pub(crate) struct Repartition {
    by: By,
    /// Columns of the input before those of the reader.
    keys: usize,
    parts: usize,
    running: Mutex<Option<Running>>,
}

impl Repartition {
    /// Into `parts` partitions; the first `keys` columns of the input are left out.
    pub(crate) fn new(by: By, keys: usize, parts: usize) -> Self {
        Self { by, keys, parts, running: Mutex::default() }
    }
}

/// An exchange that has begun.
#[derive(Debug)]
struct Running {
    /// The outputs that nobody has asked for yet.
    outputs: Vec<Option<UnboundedReceiver<Piece>>>,
    readers: Arc<Readers>,
    task: Arc<SpawnedTask<()>>,
}

impl Running {
    /// The rows of a partition; `None` where they were asked for before.
    fn output(&mut self, partition: usize) -> Option<Batches> {
        let pieces = self.outputs.get_mut(partition)?.take()?;
        let (readers, task) = (Arc::clone(&self.readers), Arc::clone(&self.task));
        let output = Output { pieces, partition, readers, _task: task };
        let pieces = stream::try_unfold(output, |mut output| async move {
            Ok(output.next().await?.map(|piece| (piece, output)))
        });
        Some(pieces.boxed())
    }
}

/// Rows of one partition, or the error of the whole exchange.
type Piece = Result<DeviceBatch>;

/// What the task and the readers know of each other.
#[derive(Debug)]
struct Readers {
    /// Pieces of each partition that were not taken yet.
    waiting: Vec<AtomicUsize>,
    /// Told when a reader takes its last piece, or goes.
    hungry: Notify,
    /// Whether all rows of the input, or an error, were sent.
    done: AtomicBool,
}

/// The output of one partition.
struct Output {
    pieces: UnboundedReceiver<Piece>,
    partition: usize,
    readers: Arc<Readers>,
    _task: Arc<SpawnedTask<()>>,
}

impl Output {
    async fn next(&mut self) -> Result<Option<DeviceBatch>> {
        let Some(piece) = self.pieces.recv().await else {
            if self.readers.done.load(Acquire) {
                return Ok(None);
            }
            let text = "an exchange on a device ended before its input".to_string();
            return Err(DataFusionError::Internal(text));
        };
        if self.readers.waiting[self.partition].fetch_sub(1, Relaxed) == 1 {
            self.readers.hungry.notify_one();
        }
        piece.map(Some)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.pieces.close();
        self.readers.hungry.notify_one();
    }
}

impl Kind for Repartition {
    fn name(&self) -> &'static str {
        "DeviceRepartitionExec"
    }

    fn rows(&self, inputs: Inputs, worker: Worker, partition: usize) -> Result<Batches> {
        let mut running = self.running.lock();
        let running = match &mut *running {
            Some(running) => running,
            none => {
                let split = Split { by: self.by.clone(), keys: self.keys, parts: self.parts };
                none.insert(start(inputs.all(0)?, split, worker.another()))
            }
        };
        running.output(partition).ok_or_else(|| {
            let text = format!("partition {partition} of an exchange is not there or was read");
            DataFusionError::Internal(text)
        })
    }

    fn fresh(&self) -> Box<dyn Kind> {
        Box::new(Self::new(self.by.clone(), self.keys, self.parts))
    }
}

fn start(input: Batches, split: Split, worker: Worker) -> Running {
    let parts = split.parts;
    let (senders, outputs): (Vec<_>, Vec<_>) =
        (0..parts).map(|_| mpsc::unbounded_channel()).map(|(s, r)| (s, Some(r))).unzip();
    let readers = Arc::new(Readers {
        waiting: (0..parts).map(|_| AtomicUsize::new(0)).collect(),
        hungry: Notify::new(),
        done: AtomicBool::new(false),
    });
    let shared = Arc::clone(&readers);
    let task = SpawnedTask::spawn(async move {
        if let Err(e) = drive(input, split, worker, &senders, &shared).await {
            let e = Arc::new(e);
            for (partition, sender) in senders.iter().enumerate() {
                let e = DataFusionError::Shared(Arc::clone(&e));
                send(&shared, sender, partition, Err(e));
            }
        }
        shared.done.store(true, Release);
    });
    Running { outputs, readers, task: Arc::new(task) }
}

/// Sends a piece; a reader that has gone wants none.
fn send(readers: &Readers, sender: &UnboundedSender<Piece>, partition: usize, piece: Piece) {
    readers.waiting[partition].fetch_add(1, Relaxed);
    let _ = sender.send(piece);
}

/// Reads the input to its end, as long as there is a reader.
async fn drive(
    mut input: Batches,
    split: Split,
    mut worker: Worker,
    senders: &[UnboundedSender<Piece>],
    readers: &Readers,
) -> Result<()> {
    let mut turn = 0;
    loop {
        // Rows pile up on the device only while a reader has none.
        loop {
            let mut open = senders.iter().zip(&readers.waiting).filter(|(s, _)| !s.is_closed());
            let Some(first) = open.next() else { return Ok(()) };
            let idle = |waiting: &AtomicUsize| waiting.load(Relaxed) == 0;
            if idle(first.1) || open.any(|(_, waiting)| idle(waiting)) {
                break;
            }
            readers.hungry.notified().await;
        }
        let Some(batch) = input.try_next().await? else { return Ok(()) };
        let (rows, split) = (batch.rows, split.clone());
        let work = move |device: &dyn Device, queue: &mut dyn Queue, memory: &mut Reservation| {
            split.pieces(device, queue, memory, batch, turn)
        };
        let (next, pieces) = worker.run("repartition", rows, work).await?;
        worker = next;
        for (at, piece) in pieces {
            send(readers, &senders[at], at, Ok(piece));
        }
        turn += 1;
    }
}

/// How batches are split.
#[derive(Debug, Clone)]
struct Split {
    by: By,
    keys: usize,
    parts: usize,
}

impl Split {
    /// The pieces of batch number `turn`, with their partitions.
    fn pieces(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        memory: &mut Reservation,
        mut batch: DeviceBatch,
        turn: usize,
    ) -> Result<Vec<(usize, DeviceBatch)>, KernelError> {
        let rows = batch.rows;
        let found = match &self.by {
            By::Hash(keys) => partition::by_hash(device, queue, memory, &batch, keys, self.parts)?,
            By::RoundRobin => partition::round_robin(device, queue, memory, rows, self.parts)?,
        };
        let sizes = found.sizes(queue)?;
        if cfg!(debug_assertions) {
            let numbers = read_words(queue, &found.indices, rows)?;
            check_rows(numbers.typed_data::<u32>(), &sizes);
        }
        batch.columns.drain(..self.keys);
        let mut pieces = Vec::new();
        let mut begin = 0;
        for (at, n) in sizes.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            let (at, piece) = match self.by {
                By::Hash(_) => {
                    let numbers = device.alloc(memory, n * 4)?;
                    queue.copy(&found.indices, begin * 4, &numbers, 0, n * 4)?;
                    (at, gather::gather(device, queue, memory, &batch, &numbers, n, false)?)
                }
                // The larger pieces come first: each batch begins with another partition.
                By::RoundRobin => {
                    let piece = gather::slice(device, queue, memory, &batch, begin, n)?;
                    ((at + turn) % self.parts, piece)
                }
            };
            begin += n;
            pieces.push((at, piece));
        }
        Ok(pieces)
    }
}

/// Checks that each row is in one partition.
fn check_rows(numbers: &[u32], sizes: &[usize]) {
    let sum: usize = sizes.iter().sum();
    assert_eq!(sum, numbers.len(), "an exchange sends as many rows as it takes");
    let mut seen = vec![false; numbers.len()];
    for row in numbers {
        let twice = std::mem::replace(&mut seen[*row as usize], true);
        assert!(!twice, "row {row} is in two partitions of an exchange");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::nodes::resident::tests::{batch, column, input, numbers, worker};

    const PARTS: usize = 3;

    fn output(running: &mut Running, partition: usize) -> Batches {
        running.output(partition).expect("not read yet")
    }

    fn split(by: By) -> Split {
        Split { by, keys: 0, parts: PARTS }
    }

    #[tokio::test]
    async fn readers_one_after_the_other_get_every_row_once() {
        for by in [By::Hash(vec![0]), By::RoundRobin] {
            let batches: Vec<Vec<i64>> =
                (0..7).map(|b| (b * 10..b * 10 + 1 + b % 4).collect()).collect();
            let slices: Vec<&[i64]> = batches.iter().map(Vec::as_slice).collect();
            let mut running = start(input(&slices).0, split(by.clone()), worker());
            let (mut all, mut sizes) = (Vec::new(), Vec::new());
            for partition in 0..PARTS {
                let rows = numbers(output(&mut running, partition)).await;
                sizes.push(rows.len());
                all.extend(rows);
            }
            all.sort_unstable();
            assert_eq!(all, batches.concat(), "{by:?}");
            if by == By::RoundRobin {
                assert!(sizes.iter().all(|n| (4..=7).contains(n)), "{sizes:?}");
            }
        }
    }

    #[tokio::test]
    async fn an_exchange_waits_for_its_slowest_reader_and_ends_with_the_last() {
        let batches: Vec<Vec<i64>> = (0..50).map(|b| (b * 30..b * 30 + 30).collect()).collect();
        let slices: Vec<&[i64]> = batches.iter().map(Vec::as_slice).collect();
        let (batches, read) = input(&slices);
        let mut running = start(batches, split(By::RoundRobin), worker());
        let mut outputs: Vec<_> = (0..PARTS).map(|p| output(&mut running, p)).collect();
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        // Each has a piece of the first batch: there is no one to read the second for.
        assert_eq!(read.load(Relaxed), 1);
        assert_eq!(outputs[1].next().await.expect("a piece").expect("rows").rows, 10);
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert_eq!(read.load(Relaxed), 2);
        let task = Arc::downgrade(&running.task);
        drop((outputs, running));
        assert!(task.upgrade().is_none(), "the task ends with its readers");
    }

    #[tokio::test]
    async fn every_reader_is_told_of_an_error() {
        let failing = stream::iter([Err(DataFusionError::Internal("no more".into()))]).boxed();
        let mut running = start(failing, split(By::RoundRobin), worker());
        for partition in 0..PARTS {
            let first = output(&mut running, partition).next().await.expect("an item");
            let error = first.expect_err("the error of the input").to_string();
            assert!(error.contains("no more"), "{error}");
        }
    }

    #[test]
    fn equal_keys_of_any_batch_share_a_partition() {
        let worker = worker();
        let device = &*worker.placed.device;
        let mut queue = device.queue().expect("a queue");
        let mut memory = device.pool().reserve(0).expect("memory");
        let split = Split { by: By::Hash(vec![0]), keys: 1, parts: PARTS };
        let mut found: HashMap<Option<i64>, usize> = HashMap::new();
        let mut rows = 0;
        for seed in 0..5_i64 {
            let keys: Int64Array = (0..40).map(|i| (i % 7 > 0).then_some(i * seed % 11)).collect();
            let ids: Int64Array = (0..40).map(|i| keys.iter().nth(i).expect("a row")).collect();
            let columns: [ArrayRef; 2] = [Arc::new(keys), Arc::new(ids)];
            let pieces = split.pieces(device, &mut *queue, &mut memory, batch(&columns), 0);
            for (at, piece) in pieces.expect("pieces") {
                assert_eq!(piece.columns.len(), 1, "the keys stay behind");
                rows += piece.rows;
                for key in column(&piece, 0) {
                    assert_eq!(*found.entry(key).or_insert(at), at, "{key:?}");
                }
            }
        }
        assert_eq!(rows, 200);
        let used: std::collections::HashSet<_> = found.values().collect();
        assert_eq!(used.len(), PARTS, "{found:?}");
    }

    #[test]
    #[should_panic(expected = "in two partitions")]
    fn a_row_that_is_there_twice_is_found() {
        check_rows(&[0, 2, 2], &[1, 2]);
    }

    #[test]
    #[should_panic(expected = "as many rows")]
    fn a_row_that_is_lost_is_found() {
        check_rows(&[0, 1, 2], &[1, 1]);
    }
}
