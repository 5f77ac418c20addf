//! The build side of a join on the device: its table and the columns that are gathered from it.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

use arrow::array::{ArrayRef, UInt32Array, new_empty_array};
use datafusion::error::Result;
use futures::{TryStreamExt, stream::BoxStream};
use windlass_device::{Device, Queue, Reservation};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, KernelError, PhysType, Storage, Validity, gather,
    join::{JoinOptions, JoinTable, Marks, NO_ROW},
    reduce,
};

use super::{
    super::{OPERATOR, Parts, tell::Tells},
    rows::RowsPlan,
};
use crate::{
    batch::{DictionarySet, logical, read_column, upload_array},
    lower::OutputColumn,
    nodes::{
        failure::failed,
        metrics::{DeviceMetrics, column_bytes},
    },
};

/// The build side on the device, shared by the partitions that probe it.
#[derive(Debug)]
pub(super) struct Built {
    /// The columns that the result and the filter on the pairs take from it.
    pub(super) payload: DeviceBatch,
    pub(super) table: JoinTable,
    /// Partitions that still probe.
    pub(super) probing: AtomicUsize,
    /// Most pairs, and rows, of a piece.
    pub(super) max_pairs: usize,
}

impl Built {
    /// Whether it has no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.payload.rows == 0
    }
}

/// What a build needs.
pub(super) struct Build {
    pub(super) parts: Parts,
    pub(super) rows: Arc<RowsPlan>,
    /// The outputs of the build side's pipeline: keys, then payload.
    pub(super) outputs: Arc<[OutputColumn]>,
    /// The dictionaries of these.
    pub(super) texts: Arc<DictionarySet>,
    /// Most pairs of a piece.
    pub(super) max_pairs: usize,
    /// Partitions that will probe.
    pub(super) probing: usize,
    pub(super) metrics: DeviceMetrics,
}

impl Build {
    /// Builds from all partitions of the build side.
    pub(super) async fn run(
        self,
        mut input: BoxStream<'static, Result<DeviceBatch>>,
    ) -> Result<Built> {
        let mut batches = Vec::new();
        while let Some(batch) = input.try_next().await? {
            batches.push(batch);
        }
        drop(input);
        let (placed, metrics) = (self.parts.placed.clone(), self.metrics.clone());
        let (join, tells) = (Arc::clone(&self.parts.join), self.parts.tells);
        let made = placed.run(move || self.build(batches)).await?;
        let (built, keys) = made.map_err(|e| failed(&placed, &metrics, OPERATOR, e))?;
        tells.publish(&join, &keys)?;
        Ok(built)
    }

    /// The table and the columns; the keys on the host where a scan takes them.
    fn build(self, batches: Vec<DeviceBatch>) -> Result<(Built, Vec<ArrayRef>), KernelError> {
        let began = Instant::now();
        let device = &self.parts.placed.device;
        let mut queue = device.queue()?;
        let mut reservation = device.pool().reserve(0)?;
        let mut batch = match <[DeviceBatch; 1]>::try_from(batches) {
            Ok([one]) => one,
            Err(none) if none.is_empty() => {
                empty(&**device, &mut reservation, self.outputs.iter().map(|o| o.ty))?
            }
            Err(several) => gather::concat(&**device, &mut *queue, &mut reservation, &several)?,
        };
        let numbers: Vec<usize> = (0..self.rows.keys).collect();
        let shape = &self.parts.shape;
        let marks = match (shape.ends_with_build_rows(), &self.rows.residual) {
            (false, _) => Marks::None,
            (true, None) => Marks::Keys,
            (true, Some(_)) => Marks::Pairs,
        };
        let (null_equals_null, max_pairs) = (shape.null_equals_null, self.max_pairs);
        let options = JoinOptions { null_equals_null, max_pairs, marks };
        let table =
            JoinTable::build(device, &mut *queue, &mut reservation, &batch, &numbers, options)?;
        let mut keys = Vec::new();
        if self.parts.tells != Tells::Nothing {
            for (column, output) in batch.columns.iter().zip(&*self.outputs).take(self.rows.keys) {
                let key = (column, output, batch.rows);
                keys.push(self.told(&mut *queue, &mut reservation, key)?);
            }
        }
        // Other queues read the table and the columns.
        queue.synchronize()?;
        self.metrics.kernel(&self.parts.placed, "join build", began, batch.rows);
        batch.columns.drain(..self.rows.keys);
        let probing = AtomicUsize::new(self.probing);
        Ok((Built { payload: batch, table, probing, max_pairs: self.max_pairs }, keys))
    }
}

impl Build {
    /// What [`Tells::publish`] needs of a key column: all of it, or where bounds are all that is
    /// told the least and the greatest key, and a null if there is one.
    fn told(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        (column, output, rows): (&DeviceColumn, &OutputColumn, usize),
    ) -> Result<ArrayRef, KernelError> {
        if output.data_type.is_floating() {
            // Of floats nothing is told.
            return Ok(new_empty_array(&output.data_type));
        }
        // Codes of texts are in no order.
        let few = match self.parts.tells == Tells::Bounds && output.dictionary.is_none() {
            true => Some(self.extremes(queue, reservation, column, rows)?),
            false => None,
        };
        let (column, rows) = few.as_ref().map_or((column, rows), |f| (&f.columns[0], f.rows));
        let array = read_column(queue, column, rows)?;
        self.metrics.downloaded(column_bytes(column));
        logical(array, output, &self.texts)
    }

    /// The rows with the least and the greatest value of a column, and one with a null if there
    /// is one.
    fn extremes(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        column: &DeviceColumn,
        rows: usize,
    ) -> Result<DeviceBatch, KernelError> {
        let device = &*self.parts.placed.device;
        let least = reduce::arg_min(device, queue, reservation, column, rows, None)?;
        let greatest = reduce::arg_max(device, queue, reservation, column, rows, None)?;
        let values = reduce::count(device, queue, reservation, column, rows, None)?;
        let null = (values < rows as u64).then_some(NO_ROW);
        let numbers: UInt32Array = [least, greatest, null].into_iter().flatten().collect();
        let n = numbers.len();
        let numbers: ArrayRef = Arc::new(numbers);
        let numbers = upload_array(device, queue, reservation, &numbers)?;
        let all = DeviceBatch { rows, columns: vec![column.clone()] };
        gather::gather(device, queue, reservation, &all, &numbers.values, n, true)
    }
}

/// A batch without rows.
pub(super) fn empty(
    device: &dyn Device,
    reservation: &mut Reservation,
    types: impl Iterator<Item = PhysType>,
) -> Result<DeviceBatch, KernelError> {
    let column = |ty| {
        let values = device.alloc(reservation, 0)?;
        let (storage, validity) = (Storage::Wide, Validity::All);
        Ok(DeviceColumn { ty, storage, values, bit_offset: 0, validity })
    };
    Ok(DeviceBatch { rows: 0, columns: types.map(column).collect::<Result<_, KernelError>>()? })
}
