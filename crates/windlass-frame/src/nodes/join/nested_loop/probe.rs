//! The right side of a join on a condition: batches in, pairs tested on the device, batches of
//! the result out.

use std::{
    sync::{Arc, atomic::Ordering::AcqRel},
    time::Instant,
};

use arrow::array::{RecordBatch, UInt32Array};
use datafusion::{common::JoinType, error::Result};
use windlass_device::{Queue, Reservation};
use windlass_kernels::{DeviceBatch, KernelError, gather};

use super::{
    super::{
        pair_test::{PairTest, Pairs},
        shape::{Shape, Side},
        shared::{TakesRows, Worker},
    },
    build::{Block, Built},
};
use crate::{batch::read_words, nodes::upload::upload_one};

/// Takes the right rows of one partition.
pub(super) struct Prober {
    pub(super) worker: Worker,
    pub(super) shape: Arc<Shape>,
    pub(super) test: Arc<PairTest>,
    pub(super) built: Arc<Built>,
}

impl TakesRows for Prober {
    fn worker(&self) -> &Worker {
        &self.worker
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let began = Instant::now();
        let mut queue = self.worker.queue()?;
        let mut out = Vec::new();
        let matched = self.run(&mut *queue, batch, &mut out)?;
        self.worker.keep(queue);
        let rows = |wanted: bool| -> UInt32Array {
            (0..batch.num_rows() as u32).filter(|r| matched[*r as usize] == wanted).collect()
        };
        match self.shape.join_type {
            JoinType::Right | JoinType::Full => {
                let rest = rows(false);
                if !rest.is_empty() {
                    let right = Side::Rows(batch, &rest);
                    let made = self.shape.batch(Side::Nulls, right, None, rest.len())?;
                    self.worker.push(made, &mut out);
                }
            }
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                let wanted = self.shape.join_type != JoinType::RightAnti;
                if let Some(made) = self.shape.probe_rows(batch, &rows(wanted))? {
                    self.worker.push(made, &mut out);
                }
            }
            _ => {}
        }
        self.worker.metrics.kernel(&self.worker.placed, "pairs", began, batch.num_rows());
        Ok(out)
    }

    /// The left rows that come out when all partitions have probed; empty but for the last of
    /// them.
    fn end(&mut self) -> Result<Vec<RecordBatch>> {
        let mut out = Vec::new();
        let Some(visited) = &self.built.visited else { return Ok(out) };
        if self.built.probing.fetch_sub(1, AcqRel) > 1 {
            return Ok(out);
        }
        let rows = visited.rows(self.shape.wants_matched_build_rows());
        for made in self.shape.build_rows(&self.built.batch, rows, self.worker.batch_rows)? {
            self.worker.push(made, &mut out);
        }
        Ok(out)
    }
}

impl Prober {
    /// Tests the pairs of a right batch, and gives their rows where the join does; which right
    /// rows have a pair.
    fn run(
        &self,
        queue: &mut dyn Queue,
        batch: &RecordBatch,
        out: &mut Vec<RecordBatch>,
    ) -> Result<Vec<bool>> {
        let (worker, built, shape) = (&self.worker, &*self.built, &*self.shape);
        let reserved = worker.placed.device.pool().reserve(0).map_err(KernelError::from);
        let mut reservation = worker.on_device(reserved)?;
        let [_, right] = self.test.sides();
        let columns = upload_one(&worker.placed, queue, batch, right, &built.dictionaries);
        let columns = worker.on_device(columns)?;
        let mut matched = vec![false; batch.num_rows()];
        for first in (0..columns.rows).step_by(built.repeat) {
            let rows = built.repeat.min(columns.rows - first);
            for block in &built.blocks {
                let pairs = self.pairs(queue, &mut reservation, block, (&columns, first, rows));
                let (left, right) = worker.on_device(pairs)?;
                right.values().iter().for_each(|row| matched[*row as usize] = true);
                if let Some(visited) = &built.visited {
                    visited.add(&left);
                }
                if shape.gives_pairs() && !left.is_empty() {
                    let (l, r) = (Side::Rows(&built.batch, &left), Side::Rows(batch, &right));
                    worker.push(shape.batch(l, r, None, left.len())?, out);
                }
            }
        }
        Ok(matched)
    }

    /// The numbers of the rows of both sides whose pair passes, of a block and `rows` rows of
    /// `columns` from `first` on.
    fn pairs(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        block: &Block,
        (columns, first, rows): (&DeviceBatch, usize, usize),
    ) -> Result<(UInt32Array, UInt32Array), KernelError> {
        let device = &*self.worker.placed.device;
        let n = block.rows * rows;
        let part = gather::slice(device, queue, reservation, columns, first, rows)?;
        let [left_rows, right_rows] = &block.numbers;
        let right =
            gather::gather(device, queue, reservation, &part, &right_rows.values, n, false)?;
        let pairs = Pairs {
            n,
            left: &block.columns.columns,
            right: &right.columns,
            numbers: [left_rows, right_rows],
        };
        let texts = &self.built.dictionaries;
        let kept = self.test.passing(device, queue, reservation, pairs, texts)?;
        let mut numbers = |at: usize, from: usize| {
            let words = read_words(queue, &kept.columns[at].values, kept.rows)?;
            let words = words.typed_data::<u32>().iter();
            Ok::<_, KernelError>(words.map(|row| row + from as u32).collect::<UInt32Array>())
        };
        Ok((numbers(0, block.first)?, numbers(1, first)?))
    }
}
