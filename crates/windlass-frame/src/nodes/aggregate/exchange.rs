//! Rows of a batch on the devices that have their groups.
//!
//! ```text
//!   batch on cuda:0 ─► keys ─► hash ─┬─► rows of cuda:0's groups ─► its table
//!                                    └─► rows of cuda:1's groups ─► exchange ─► its table
//! ```
//!
//! Each group has one device, so that nothing is merged in the end, and the devices hold as many
//! groups together as their memories have room for.

use std::{sync::Arc, time::Instant};

use arrow::array::RecordBatch;
use windlass_kernels::{
    DeviceBatch, DeviceColumn, KernelError, Validity, gather, partition::by_hash,
    pipeline::FilterProject,
};
use windlass_runtime::exchange::{Receiver, Route, send};

use super::{
    run::{LEAST_ROWS, Output, Worker},
    shared::Table,
};
use crate::nodes::{Placed, Uploaded, failure::is_out_of_memory, upload::Uploader};

/// Rounds that a batch is exchanged in. A stated guess: what a batch takes beside itself, once
/// more in pieces and once where these go, is then less than the batch.
const ROUNDS: usize = 4;

/// The devices, each with the table of its groups.
#[derive(Clone)]
pub(super) struct ByKey {
    pub(super) tables: Arc<[(Placed, Table)]>,
    pub(super) output: Output,
    pub(super) expected_groups: usize,
}

/// An error and where it happened.
type Failed = (Placed, KernelError);

/// Rows of one device's groups.
type Piece = (usize, DeviceBatch);

impl ByKey {
    /// Takes the rows of a batch, which `uploader` brings to its device first.
    pub(super) fn update(&self, uploader: &mut Uploader, host: &RecordBatch) -> Result<(), Failed> {
        let rows = host.num_rows();
        // The columns of a batch that stay are found again by the next query.
        if uploader.keeps(rows) {
            return self.round(uploader, host);
        }
        let each = rows.div_ceil(ROUNDS).max(LEAST_ROWS);
        let mut parts = (0..rows).step_by(each).map(|at| host.slice(at, each.min(rows - at)));
        parts.try_for_each(|part| self.round(uploader, &part))
    }

    fn round(&self, uploader: &mut Uploader, host: &RecordBatch) -> Result<(), Failed> {
        // A row that was added to its group cannot be taken back: all are sent before.
        for (at, piece) in self.pieces(uploader, host)? {
            let (placed, table) = &self.tables[at];
            let mut table = table.lock();
            let expected = self.expected_groups / self.tables.len();
            let worker =
                table.get_or_insert_with(|| Worker::new(placed, self.output.clone(), expected));
            let updated = worker.update(Uploaded { host: None, device: Ok(piece) });
            updated.map_err(|e| (placed.clone(), e))?;
        }
        Ok(())
    }

    /// The rows of each device's groups, there; those of a batch for which there is no memory
    /// by halves.
    fn pieces(&self, uploader: &mut Uploader, host: &RecordBatch) -> Result<Vec<Piece>, Failed> {
        let rows = host.num_rows();
        match self.divided(uploader, host) {
            Err((_, e)) if is_out_of_memory(&e) && rows > LEAST_ROWS => {
                let (half, mut parts) = (rows / 2, uploader.of_parts());
                let mut pieces = self.pieces(&mut parts, &host.slice(0, half))?;
                pieces.extend(self.pieces(&mut parts, &host.slice(half, rows - half))?);
                Ok(pieces)
            }
            pieces => pieces,
        }
    }

    fn divided(&self, uploader: &mut Uploader, host: &RecordBatch) -> Result<Vec<Piece>, Failed> {
        let placed = uploader.placed.clone();
        let began = Instant::now();
        let found = uploader.upload(host).and_then(|batch| self.split(&placed, &batch));
        let found = found.map_err(|e| (placed.clone(), e))?;
        debug_assert_eq!(found.iter().map(|(_, p)| p.rows).sum::<usize>(), host.num_rows());
        let metrics = &self.output.metrics;
        metrics.kernel(&placed, "divide by key", began, host.num_rows());
        let mut pieces = Vec::with_capacity(found.len());
        for (at, piece) in found {
            let (began, rows, to) = (Instant::now(), piece.rows, &self.tables[at].0);
            let (piece, route, bytes) = sent(&placed, to, piece).map_err(|e| (to.clone(), e))?;
            if route != Route::Stayed {
                metrics.counter("exchanged_bytes".to_string()).add(bytes);
                metrics.transfer(to, "exchange", began, (rows, bytes));
            }
            pieces.push((at, piece));
        }
        Ok(pieces)
    }

    /// The rows of each device's groups. Rows that the filter drops go anywhere: the table's
    /// device drops them.
    fn split(&self, placed: &Placed, batch: &DeviceBatch) -> Result<Vec<Piece>, KernelError> {
        let device = &*placed.device;
        let mut queue = device.queue()?;
        let (queue, mut memory) = (&mut *queue, device.pool().reserve(0)?);
        let kernel = &self.output.plan.kernel;
        let tables = self.output.dictionaries.tables(device, queue, &mut memory)?;
        let (program, filter) = (kernel.program.clone(), kernel.filter);
        let keys = FilterProject { program, filter, outputs: kernel.keys.clone() };
        let keys = keys.evaluate(device, queue, &mut memory, batch, &tables)?.columns;
        let all: Vec<usize> = (0..keys.columns.len()).collect();
        let found = by_hash(device, queue, &mut memory, &keys, &all, self.tables.len())?;
        let sizes = found.sizes(queue)?;
        let (mut begin, mut pieces) = (0, Vec::with_capacity(sizes.len()));
        for (at, n) in sizes.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            let numbers = device.alloc(&mut memory, n * 4)?;
            queue.copy(&found.indices, begin * 4, &numbers, 0, n * 4)?;
            let piece = gather::gather(device, queue, &mut memory, batch, &numbers, n, false)?;
            pieces.push((at, piece));
            begin += n;
        }
        queue.synchronize()?;
        Ok(pieces)
    }
}

/// A batch on another device, the way that it took, and its bytes.
fn sent(
    from: &Placed,
    to: &Placed,
    batch: DeviceBatch,
) -> Result<(DeviceBatch, Route, usize), KernelError> {
    let mask = |column: &DeviceColumn| match &column.validity {
        Validity::All => None,
        Validity::Bits { bits: mask, .. } | Validity::Words(mask) => Some(mask.clone()),
    };
    let columns = batch.columns.iter();
    let buffers: Vec<_> =
        columns.flat_map(|c| [Some(c.values.clone()), mask(c)]).flatten().collect();
    let (mut out, mut queue) = (from.device.queue()?, to.device.queue()?);
    let receiver = Receiver { device: &*to.device, queue: &mut *queue };
    let sent = send(&mut *out, receiver, &buffers)?;
    let mut buffers = sent.buffers.into_iter();
    let mut next = || {
        buffers.next().ok_or_else(|| KernelError::Invalid {
            operation: "exchange",
            expected: "as many buffers as were sent".into(),
            got: "fewer".into(),
        })
    };
    let columns = batch.columns.into_iter().map(|column| {
        let values = next()?;
        let validity = match column.validity {
            Validity::All => Validity::All,
            Validity::Bits { bit_offset, .. } => Validity::Bits { bits: next()?, bit_offset },
            Validity::Words(_) => Validity::Words(next()?),
        };
        Ok(DeviceColumn { values, validity, ..column })
    });
    let columns = columns.collect::<Result<_, KernelError>>()?;
    Ok((DeviceBatch { rows: batch.rows, columns }, sent.route, sent.bytes))
}
