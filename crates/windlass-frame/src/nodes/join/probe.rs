//! The probe side of a join: batches in, pairs found on the device, batches of the result out.

use std::{
    sync::{Arc, atomic::Ordering::AcqRel},
    time::Instant,
};

use arrow::{
    array::{RecordBatch, UInt32Array},
    buffer::{NullBuffer, ScalarBuffer},
};
use datafusion::{common::JoinType, error::Result};
use windlass_device::{DeviceBuffer, DeviceError, Queue, Reservation};
use windlass_kernels::{
    KernelError,
    join::{JoinTable, NO_ROW},
};

use super::{
    build::{Built, OnDevice},
    shape::{Shape, Side},
    shared::{TakesRows, Visited, Worker},
};
use crate::{batch::read_words, nodes::Placed};

/// Probes for one partition, on a queue of its own.
pub(super) struct Prober {
    pub(super) worker: Worker,
    pub(super) shape: Arc<Shape>,
    pub(super) built: Arc<Built>,
    /// Whether others probe for the same partition on other devices.
    pub(super) shares: bool,
}

/// Numbers of build rows and of probe rows, pair by pair.
type Pairs = (UInt32Array, UInt32Array);

impl TakesRows for Prober {
    fn worker(&self) -> &Worker {
        &self.worker
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let began = Instant::now();
        let mut out = Vec::new();
        let mut queue = self.worker.queue()?;
        let reserved = self.worker.placed.device.pool().reserve(0).map_err(KernelError::from);
        let mut reservation = self.on_device(reserved)?;
        self.run(&mut *queue, &mut reservation, batch, &mut out)?;
        self.worker.keep(queue);
        if self.shares {
            // Nobody comes back to this queue.
            self.worker.synchronize()?;
        }
        self.worker.metrics.kernel(&self.worker.placed, "join probe", began, batch.num_rows());
        Ok(out)
    }

    /// The build rows that come out when all partitions have probed; empty but for the last
    /// of them.
    fn end(&mut self) -> Result<Vec<RecordBatch>> {
        let mut out = Vec::new();
        if !self.shape.ends_with_build_rows() {
            return Ok(out);
        }
        // The marks of this partition are there before it says that it is done.
        self.worker.synchronize()?;
        if self.built.probing.fetch_sub(1, AcqRel) > 1 {
            return Ok(out);
        }
        let build = &self.built.batch;
        let wanted = self.shape.wants_matched_build_rows();
        let rows = match &self.built.visited {
            Some(visited) => visited.rows(wanted),
            None if self.shares => self.marked_by_all()?.rows(wanted),
            None => {
                let table = self.on_device(self.table())?;
                self.on_device(marked(&self.worker.placed, &table.table, wanted))?
            }
        };
        for made in self.shape.build_rows(build, rows, self.worker.batch_rows)? {
            self.worker.push(made, &mut out);
        }
        Ok(out)
    }
}

impl Prober {
    /// What this device probes.
    fn table(&self) -> Result<&OnDevice, KernelError> {
        let placed = &self.worker.placed;
        self.built.on(placed).ok_or_else(|| {
            let device = placed.device.info().name.clone();
            let reason = "it was lost before the build side was there".into();
            KernelError::Device(DeviceError::Lost { device, reason })
        })
    }

    /// The build rows that the table of any device marked. The marks of a device that was lost
    /// are lost with it.
    fn marked_by_all(&self) -> Result<Visited> {
        let visited = Visited::none(self.built.batch.num_rows());
        for (placed, table) in self.built.tables() {
            let name = &placed.device.info().name;
            let rows = match placed.inventory.lost(name) {
                Some(reason) => Err(DeviceError::Lost { device: name.clone(), reason }.into()),
                None => marked(placed, table, true),
            };
            let worker = &self.worker;
            visited.add(&worker.on_device(rows)?);
        }
        Ok(visited)
    }

    fn on_device<T>(&self, result: Result<T, KernelError>) -> Result<T> {
        self.worker.on_device(result)
    }

    fn run(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        batch: &RecordBatch,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        let OnDevice { table, keys, .. } = self.on_device(self.table())?;
        let shape = &*self.shape;
        let keys = self.on_device(keys.evaluate(queue, reservation, batch))?;
        let numbers: Vec<usize> = (0..keys.columns.len()).collect();
        if shape.filter.is_none() && !shape.gives_pairs() {
            // Whether there is a match is all that counts; the table marks the build rows.
            let found = self.on_device(table.exists(queue, reservation, &keys, &numbers))?;
            if shape.ends_with_build_rows() {
                return Ok(());
            }
            let matched = shape.join_type != JoinType::RightAnti;
            let rows = found.rows(&*self.worker.placed.device, queue, reservation, matched);
            let rows = self.on_device(rows.and_then(|r| row_numbers(queue, &r.rows, r.n)))?;
            return self.probe_rows(batch, &rows, out);
        }
        let outer = shape.keeps_probe_rows() && shape.filter.is_none();
        let mut pieces = self.on_device(table.probe(queue, reservation, &keys, &numbers, outer))?;
        let mut matched = Matched::new(shape, batch.num_rows());
        while let Some(piece) = self.on_device(pieces.next(queue, reservation))? {
            let build = self.on_device(row_numbers(queue, &piece.build, piece.n))?;
            let probe = self.on_device(row_numbers(queue, &piece.probe, piece.n))?;
            let last = probe.values().last().map_or(0, |row| *row as usize);
            let pairs = shape.surviving(&self.built.batch, batch, (build, probe))?;
            if let Some(visited) = &self.built.visited {
                visited.add(&pairs.0);
            }
            let pairs = match &mut matched {
                Some(matched) => matched.add(pairs, last, shape.keeps_probe_rows()),
                None => pairs,
            };
            if shape.gives_pairs() {
                self.pairs(batch, &pairs, out)?;
            }
        }
        let Some(mut matched) = matched else { return Ok(()) };
        if shape.keeps_probe_rows() {
            let none = UInt32Array::from(Vec::<u32>::new());
            let rest = matched.add((none.clone(), none), batch.num_rows(), true);
            return self.pairs(batch, &rest, out);
        }
        if matches!(
            shape.join_type,
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark
        ) {
            let wanted = shape.join_type != JoinType::RightAnti;
            let rows =
                (0..batch.num_rows() as u32).filter(|r| matched.flags[*r as usize] == wanted);
            return self.probe_rows(batch, &rows.collect::<Vec<_>>().into(), out);
        }
        Ok(())
    }

    /// Rows of pairs; in debug builds with a check that each pair becomes one row.
    fn pairs(&self, batch: &RecordBatch, pairs: &Pairs, out: &mut Vec<RecordBatch>) -> Result<()> {
        let (build, probe) = pairs;
        if build.is_empty() {
            return Ok(());
        }
        let made = self.shape.batch(
            Side::Rows(&self.built.batch, build),
            Side::Rows(batch, probe),
            None,
            build.len(),
        )?;
        debug_assert_eq!((made.num_rows(), probe.len()), (build.len(), build.len()));
        self.worker.push(made, out);
        Ok(())
    }

    /// The probe rows of these numbers; all of them, with a mark, in a mark join.
    fn probe_rows(
        &self,
        batch: &RecordBatch,
        rows: &UInt32Array,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        if let Some(made) = self.shape.probe_rows(batch, rows)? {
            self.worker.push(made, out);
        }
        Ok(())
    }
}

/// Which rows of a probe batch have a pair that survives, while pieces come in the order of
/// the probe rows.
struct Matched {
    flags: Vec<bool>,
    /// Rows before this one are done.
    done: usize,
}

impl Matched {
    /// `None` where the join does not ask.
    fn new(shape: &Shape, rows: usize) -> Option<Self> {
        let asks = shape.filter.is_some() && shape.decides_by_probe_rows();
        asks.then(|| Self { flags: vec![false; rows], done: 0 })
    }

    /// Notes the surviving pairs of a piece whose last pair is of row `last`. With `outer`
    /// the rows before `last` that have none are put between the pairs, with a null build
    /// row.
    fn add(&mut self, pairs: Pairs, last: usize, outer: bool) -> Pairs {
        pairs.1.values().iter().for_each(|row| self.flags[*row as usize] = true);
        if !outer {
            return pairs;
        }
        let (mut build, mut probe) = (Vec::new(), Vec::new());
        let mut found = pairs.0.values().iter().zip(pairs.1.values()).peekable();
        for row in self.done..last {
            if !self.flags[row] {
                build.push(None);
                probe.push(row as u32);
            }
            while let Some((b, p)) = found.next_if(|(_, p)| **p as usize <= row) {
                build.push(Some(*b));
                probe.push(*p);
            }
        }
        // Pairs of `last` itself, of which more may come.
        for (b, p) in found {
            build.push(Some(*b));
            probe.push(*p);
        }
        self.done = self.done.max(last);
        (build.into(), probe.into())
    }
}

/// The build rows that a table marked, or with `wanted` false the others.
fn marked(placed: &Placed, table: &JoinTable, wanted: bool) -> Result<UInt32Array, KernelError> {
    let mut queue = placed.device.queue()?;
    let mut reservation = placed.device.pool().reserve(0)?;
    let rows = match wanted {
        true => table.matched_build(&mut *queue, &mut reservation)?,
        false => table.unmatched_build(&mut *queue, &mut reservation)?,
    };
    row_numbers(&mut *queue, &rows.rows, rows.n)
}

/// Row numbers on the host; the mark of a missing row is a null.
fn row_numbers(
    queue: &mut dyn Queue,
    words: &DeviceBuffer,
    n: usize,
) -> Result<UInt32Array, KernelError> {
    let numbers = ScalarBuffer::<u32>::new(read_words(queue, words, n)?, 0, n);
    if !numbers.contains(&NO_ROW) {
        return Ok(UInt32Array::new(numbers, None));
    }
    let nulls: NullBuffer = numbers.iter().map(|row| *row != NO_ROW).collect::<Vec<bool>>().into();
    let rows: Vec<u32> = numbers.iter().map(|r| if *r == NO_ROW { 0 } else { *r }).collect();
    Ok(UInt32Array::new(rows.into(), Some(nulls)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(found: &[(u32, u32)]) -> Pairs {
        (
            UInt32Array::from_iter_values(found.iter().map(|p| p.0)),
            UInt32Array::from_iter_values(found.iter().map(|p| p.1)),
        )
    }

    fn list(pairs: &Pairs) -> Vec<(Option<u32>, u32)> {
        pairs.0.iter().zip(pairs.1.values().iter().copied()).collect()
    }

    #[test]
    fn rows_without_a_pair_come_in_their_place_though_pieces_split_a_row() {
        let mut matched = Matched { flags: vec![false; 6], done: 0 };
        // Row 3's pairs are in two pieces, and its pair of the first does not survive.
        let first = matched.add(pairs(&[(7, 1), (8, 1)]), 3, true);
        assert_eq!(list(&first), [(None, 0), (Some(7), 1), (Some(8), 1), (None, 2)]);
        let second = matched.add(pairs(&[(9, 3), (5, 4)]), 4, true);
        assert_eq!(list(&second), [(Some(9), 3), (Some(5), 4)]);
        let rest = matched.add(pairs(&[]), 6, true);
        assert_eq!(list(&rest), [(None, 5)]);
    }
}
