//! The order of the rows of one batch: found on a device.

use std::{sync::Arc, time::Instant};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    buffer::ScalarBuffer,
    compute::{concat_batches, take},
};
use datafusion::{error::Result, physical_plan::sorts::sort::SortExec};
use futures::future::try_join_all;
use windlass_device::{Queue, Reservation};
use windlass_kernels::{
    DeviceBatch, KernelError,
    sort::{SortKey, sort_indices, top_k},
};

use super::{
    Placed,
    failure::{failed, is_out_of_memory},
    metrics::DeviceMetrics,
    several::Sharing,
    sort::OPERATOR,
    sort_runs::Sorted,
};
use crate::{
    batch::{DictionaryLimits, SharedDictionary, array_bytes, read_words, upload_array},
    lower::types::is_string,
};

/// Rows whose order is not found in halves when the device has no memory for it, nor by a device
/// of their own. DataFusion's batch size.
const LEAST_ROWS: usize = 8192;

/// Finds orders on a device, with a queue of its own.
pub(super) struct Orderer {
    pub(super) sort: Arc<SortExec>,
    pub(super) placed: Placed,
    pub(super) metrics: DeviceMetrics,
    queue: Option<Box<dyn Queue>>,
}

impl Orderer {
    pub(super) fn new(sort: &Arc<SortExec>, placed: &Placed, metrics: &DeviceMetrics) -> Self {
        let (sort, placed, metrics) = (Arc::clone(sort), placed.clone(), metrics.clone());
        Self { sort, placed, metrics, queue: None }
    }

    /// The rows of a batch in order: in one run, or in those that the device has memory for.
    pub(super) fn sorted(&mut self, batch: &RecordBatch) -> Result<Vec<Sorted>> {
        let rows = batch.num_rows();
        match self.order(batch, usize::MAX)? {
            Ok(order) => Ok(vec![Sorted { batch: batch.clone(), order: Some(order) }]),
            Err(e) if is_out_of_memory(&e) && rows > LEAST_ROWS => {
                self.metrics.in_parts(&self.placed, OPERATOR, &e);
                let half = rows / 2;
                let mut runs = self.sorted(&batch.slice(0, half))?;
                runs.extend(self.sorted(&batch.slice(half, rows - half))?);
                Ok(runs)
            }
            Err(e) => self.on_host(e)?.sorted(batch),
        }
    }

    /// What takes over on the host's own cores where the device has no memory for few rows.
    fn on_host(&self, e: KernelError) -> Result<Self> {
        match self.placed.inventory.cpu() {
            Ok(cpu) if is_out_of_memory(&e) && !self.placed.is_host() => {
                self.metrics.fallback(&self.placed, OPERATOR, &e);
                Ok(Self::new(&self.sort, &self.placed.on(&cpu), &self.metrics))
            }
            _ => Err(failed(&self.placed, &self.metrics, OPERATOR, e)),
        }
    }

    /// The first rows of a batch, in order.
    pub(super) fn first(&mut self, batch: &RecordBatch, k: usize) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        match self.order(batch, k)? {
            Ok(order) => taken(batch, &order),
            Err(e) if is_out_of_memory(&e) && rows > LEAST_ROWS => {
                self.metrics.in_parts(&self.placed, OPERATOR, &e);
                let half = rows / 2;
                let a = self.first(&batch.slice(0, half), k)?;
                let b = self.first(&batch.slice(half, rows - half), k)?;
                let both = concat_batches(&batch.schema(), [&a, &b])?;
                match both.num_rows() < rows {
                    true => self.first(&both, k),
                    false => self.on_host(e)?.first(&both, k),
                }
            }
            Err(e) => self.on_host(e)?.first(batch, k),
        }
    }

    /// The numbers of the first `k` rows, in order. The inner error is the device's.
    fn order(&mut self, batch: &RecordBatch, k: usize) -> Result<Result<UInt32Array, KernelError>> {
        let began = Instant::now();
        let (mut keys, mut arrays) = (Vec::new(), Vec::new());
        for (column, key) in self.sort.expr().iter().enumerate() {
            let values = key.expr.evaluate(batch)?.into_array(batch.num_rows())?;
            let (descending, nulls_first) = (key.options.descending, key.options.nulls_first);
            keys.push(SortKey { column, descending, nulls_first });
            arrays.push(values);
        }
        let order = self.on_device(arrays, batch.num_rows(), &keys, k);
        if order.is_ok() {
            self.metrics.kernel(&self.placed, "sort", began, batch.num_rows());
        }
        Ok(order)
    }

    fn on_device(
        &mut self,
        arrays: Vec<ArrayRef>,
        rows: usize,
        keys: &[SortKey],
        k: usize,
    ) -> Result<UInt32Array, KernelError> {
        let device = &*self.placed.device;
        let queue = match &mut self.queue {
            Some(queue) => queue,
            none => none.insert(device.queue()?),
        };
        let (batch, mut reservation) = upload_keys(&self.placed, &mut **queue, arrays, rows)?;
        let (order, n) = match k < rows {
            true => top_k(device, &mut **queue, &mut reservation, &batch, keys, k)?,
            false => (sort_indices(device, &mut **queue, &mut reservation, &batch, keys)?, rows),
        };
        let words = read_words(&mut **queue, &order, n)?;
        Ok(UInt32Array::new(ScalarBuffer::new(words, 0, n), None))
    }
}

/// Finds orders on devices that share the rows.
#[derive(Clone)]
pub(super) struct Orderers {
    sort: Arc<SortExec>,
    sharing: Sharing,
    metrics: DeviceMetrics,
}

impl Orderers {
    pub(super) fn new(sort: &Arc<SortExec>, sharing: Sharing, metrics: &DeviceMetrics) -> Self {
        Self { sort: Arc::clone(sort), sharing, metrics: metrics.clone() }
    }

    /// Batches to work on at once for one of so many streams.
    pub(super) fn width(&self, streams: usize) -> usize {
        self.sharing.width(streams)
    }

    /// The rows of a batch in order, some by each device.
    pub(super) async fn sorted(&self, batch: &RecordBatch) -> Result<Vec<Sorted>> {
        let rows = batch.num_rows();
        let each = rows.div_ceil(self.sharing.members().len().max(1)).max(LEAST_ROWS);
        let parts = (0..rows).step_by(each).map(|at| batch.slice(at, each.min(rows - at)));
        let runs = parts.map(|part| self.anywhere(part, Orderer::sorted));
        Ok(try_join_all(runs).await?.into_iter().flatten().collect())
    }

    /// The first rows of a batch, in order.
    pub(super) async fn first(&self, batch: RecordBatch, k: usize) -> Result<RecordBatch> {
        self.anywhere(batch, move |by, batch| by.first(batch, k)).await
    }

    /// What is found of a batch on one of the devices.
    async fn anywhere<T: Send + 'static>(
        &self,
        batch: RecordBatch,
        find: impl Fn(&mut Orderer, &RecordBatch) -> Result<T> + Copy + Send + 'static,
    ) -> Result<T> {
        let (sort, metrics) = (Arc::clone(&self.sort), self.metrics.clone());
        let rows = batch.num_rows();
        let find = move |placed: &Placed| find(&mut Orderer::new(&sort, placed, &metrics), &batch);
        self.sharing.anywhere(rows, find).await
    }
}

/// Rows of a batch by their numbers.
pub(super) fn taken(batch: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|c| Ok(take(c.as_ref(), rows, None)?));
    let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

/// Key columns on the device, texts as their ranks among those at hand; and the reservation
/// that what is made of them may grow.
pub(super) fn upload_keys(
    placed: &Placed,
    queue: &mut dyn Queue,
    arrays: Vec<ArrayRef>,
    rows: usize,
) -> Result<(DeviceBatch, Reservation), KernelError> {
    let device = &*placed.device;
    let arrays = arrays.into_iter().map(|a| match is_string(a.data_type()) {
        true => ranks(&a),
        false => Ok(a),
    });
    let arrays: Vec<ArrayRef> = arrays.collect::<Result<_, KernelError>>()?;
    let bytes = match placed.is_host() {
        true => 0,
        false => arrays.iter().map(|a| array_bytes(a.as_ref())).sum(),
    };
    let mut reservation = device.pool().reserve(bytes)?;
    let columns = arrays.iter().map(|a| upload_array(device, queue, &mut reservation, a));
    let columns = columns.collect::<Result<_, KernelError>>()?;
    Ok((DeviceBatch { rows, columns }, reservation))
}

/// The position of each text among the distinct texts of the array, in their order.
fn ranks(texts: &ArrayRef) -> Result<ArrayRef, KernelError> {
    let dictionary = SharedDictionary::new(&[], DictionaryLimits::default())?;
    let codes = dictionary.encode(texts.as_ref())?;
    let ranks = dictionary.ranks();
    // Null rows have any code; there may be no text at all.
    let rank = |code: &u32| ranks.get(*code as usize).copied().unwrap_or(0);
    let ranked: Vec<u32> = codes.values().iter().map(rank).collect();
    Ok(Arc::new(UInt32Array::new(ranked.into(), codes.nulls().cloned())))
}
