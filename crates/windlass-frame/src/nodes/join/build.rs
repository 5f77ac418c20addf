//! The build side of a join: its rows on the host, its table on the device.

use std::sync::{Arc, atomic::AtomicUsize};

use arrow::{array::RecordBatch, compute::concat_batches};
use datafusion::{
    error::Result,
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
};
use windlass_device::DeviceError;
use windlass_kernels::{
    KernelError,
    join::{JoinOptions, JoinTable, Marks},
};

use super::{
    OPERATOR, Parts,
    shared::Visited,
    spilled::{Spilled, ToDisk},
};
use crate::nodes::{
    Placed,
    download::slices,
    failure::{failed, is_out_of_memory, note_loss},
    keys::KeyEvaluator,
    metrics::DeviceMetrics,
};

/// The build side, made once and shared by the partitions that probe it.
#[derive(Debug)]
pub(super) struct Built {
    /// All its rows.
    pub(super) batch: RecordBatch,
    /// The table on the device, or on each of those that share the probe side.
    tables: Vec<OnDevice>,
    /// Rows with a pair that passed the join's filter; only where the host sees the pairs that
    /// decide, else the tables mark them.
    pub(super) visited: Option<Visited>,
    /// Partitions that still probe.
    pub(super) probing: AtomicUsize,
    _memory: MemoryReservation,
}

/// A table on one device.
#[derive(Debug)]
pub(super) struct OnDevice {
    placed: Placed,
    pub(super) table: JoinTable,
    /// The keys of the probe side.
    pub(super) keys: KeyEvaluator,
}

impl Built {
    /// The tables, each with its device.
    pub(super) fn tables(&self) -> impl Iterator<Item = (&Placed, &JoinTable)> {
        self.tables.iter().map(|t| (&t.placed, &t.table))
    }

    /// What a device probes; `None` for one that has no table.
    pub(super) fn on(&self, placed: &Placed) -> Option<&OnDevice> {
        let name = &placed.device.info().name;
        self.tables.iter().find(|table| table.placed.device.info().name == *name)
    }
}

/// What is made of a build side.
#[derive(Debug)]
pub(super) enum BuildSide {
    Held(Arc<Built>),
    Spilled(Arc<Spilled>),
}

/// Rows of a batch on their way to disk that were one batch already. DataFusion's batch size.
const PIECE_ROWS: usize = 8192;

/// Reads the streams of the build side's partitions, for `probing` partitions: into a table, or
/// into files where memory has no room for it.
pub(super) async fn build(
    parts: Parts,
    streams: Vec<SendableRecordBatchStream>,
    memory: MemoryReservation,
    metrics: DeviceMetrics,
    probing: usize,
    to_disk: ToDisk,
) -> Result<BuildSide> {
    let batch = match to_disk.collect_all(streams, &memory).await? {
        Ok((batches, kept)) => {
            let batch = concat_batches(&parts.join.left().schema(), &batches)?;
            // The rows are held once: the pieces go.
            drop((batches, kept));
            match memory.try_grow(batch.get_array_memory_size()) {
                Ok(()) => batch,
                Err(_) if to_disk.can() => return through_files(&to_disk, &batch),
                Err(e) => return Err(e),
            }
        }
        Err(files) => return Ok(BuildSide::Spilled(Arc::new(Spilled::new(files)))),
    };
    let (join, tells) = (Arc::clone(&parts.join), parts.tells);
    let by_pairs = marks(&parts) == Marks::None && parts.shape.ends_with_build_rows();
    match tables(parts, &batch, &metrics).await? {
        Ok(tables) => {
            tells.publish_of(&join, &batch)?;
            let probing = AtomicUsize::new(probing);
            let rows = batch.num_rows();
            tracing::debug!(rows, tables = tables.len(), "{OPERATOR}: built");
            let visited = by_pairs.then(|| Visited::none(rows));
            let built = Built { batch, tables, visited, probing, _memory: memory };
            Ok(BuildSide::Held(Arc::new(built)))
        }
        Err(e) if is_out_of_memory(&e) && to_disk.can() => {
            metrics.in_parts(&to_disk.parts().placed, OPERATOR, &e);
            through_files(&to_disk, &batch)
        }
        Err(e) => Err(failed(&to_disk.parts().placed, &metrics, OPERATOR, e)),
    }
}

/// Rows that were in one batch already.
fn through_files(to_disk: &ToDisk, batch: &RecordBatch) -> Result<BuildSide> {
    let files = to_disk.all(slices(batch.clone(), PIECE_ROWS))?;
    Ok(BuildSide::Spilled(Arc::new(Spilled::new(files))))
}

/// The table of a build side on each device that is to probe it; one that is lost gets none
/// while others are left. The outer error is not a device's.
async fn tables(
    parts: Parts,
    batch: &RecordBatch,
    metrics: &DeviceMetrics,
) -> Result<Result<Vec<OnDevice>, KernelError>> {
    let members = parts.placed.members();
    let alone = members.is_empty();
    let members = if alone { vec![parts.placed.on(&parts.placed.device)] } else { members };
    // The texts of the keys have the same codes on all.
    let keys = KeyEvaluator::new(&members[0], &parts.left_keys);
    let null_equals_null = parts.shape.null_equals_null;
    let options =
        JoinOptions { null_equals_null, max_pairs: parts.max_pairs, marks: marks(&parts) };
    let built = members.into_iter().map(|placed| {
        let parts = Parts { placed: placed.clone(), ..parts.clone() };
        let (keys, host, metrics) = (keys.on(&placed), batch.clone(), metrics.clone());
        async move { placed.run(move || table(&parts, options, &keys, &host, &metrics)).await }
    });
    let (mut tables, mut lost) = (Vec::new(), None);
    for table in futures::future::try_join_all(built).await? {
        match table {
            Ok(table) => tables.push(table),
            Err(e @ KernelError::Device(DeviceError::Lost { .. })) => {
                note_loss(&parts.placed, &e);
                lost = Some(e);
            }
            Err(e) => return Ok(Err(e)),
        }
    }
    Ok(match lost {
        Some(e) if tables.is_empty() => Err(e),
        _ => Ok(tables),
    })
}

/// The table on one device.
fn table(
    parts: &Parts,
    options: JoinOptions,
    keys: &KeyEvaluator,
    host: &RecordBatch,
    metrics: &DeviceMetrics,
) -> Result<OnDevice, KernelError> {
    let began = std::time::Instant::now();
    let device = &parts.placed.device;
    let mut queue = device.queue()?;
    let mut reservation = device.pool().reserve(0)?;
    let columns = keys.evaluate(&mut *queue, &mut reservation, host)?;
    let numbers: Vec<usize> = (0..columns.columns.len()).collect();
    let (queue_of, reserved) = (&mut *queue, &mut reservation);
    let table = JoinTable::build(device, queue_of, reserved, &columns, &numbers, options)?;
    // Other queues read the table.
    queue.synchronize()?;
    metrics.kernel(&parts.placed, "join build", began, host.num_rows());
    let keys = KeyEvaluator::sharing(&parts.placed, &parts.right_keys, &keys.dictionaries());
    Ok(OnDevice { placed: parts.placed.clone(), table, keys })
}

/// Which build rows the table marks: none where the host sees the pairs that decide, which are
/// those that pass the join's filter, or all of several devices.
fn marks(parts: &Parts) -> Marks {
    let shape = &*parts.shape;
    let pairs = shape.filter.is_some() || parts.placed.group.is_some() && shape.gives_pairs();
    match shape.ends_with_build_rows() && !pairs {
        true => Marks::Keys,
        false => Marks::None,
    }
}
