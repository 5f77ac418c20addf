//! Probing: count, scan, fill, a window of rows at a time, in pieces of bounded size.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use rayon::prelude::*;

use super::{
    host,
    table::{Found, Table},
};
use crate::{column::DeviceColumn, error::Result};

/// Rows that are looked up before their pairs are written: what was found, 4 MiB, is still in
/// the cache then, and every thread has work (a guess).
const WINDOW: usize = 1 << 19;

/// Rows of a task.
const TASK: usize = 1 << 13;

/// Pairs that are gathered before they are copied out: 8 KiB of the first-level cache.
const BLOCK: usize = 1024;

/// Stands for the build row that an unmatched probe row lacks.
const NO_ROW: u32 = u32::MAX;

/// The pairs of one probe batch, in the order of its rows and, for one row, of the build rows.
#[derive(Debug)]
pub(crate) struct Pairs {
    table: Arc<Table>,
    columns: Vec<DeviceColumn>,
    rows: usize,
    outer: bool,
    /// The rows in `found`.
    window: Range<usize>,
    found: Vec<Found>,
    /// Pairs of each task of the window.
    sums: Vec<u64>,
    /// The next row, and how many of its pairs were given out.
    next: usize,
    skip: u32,
}

/// Rows of a window whose pairs, without the first `skip`, fill one part of a piece.
struct Segment {
    rows: Range<usize>,
    skip: u32,
    pairs: usize,
}

impl Pairs {
    pub(crate) fn new(
        table: Arc<Table>,
        columns: Vec<DeviceColumn>,
        rows: usize,
        outer: bool,
    ) -> Self {
        let (found, sums) = Default::default();
        Self { table, columns, rows, outer, window: 0..0, found, sums, next: 0, skip: 0 }
    }

    /// Looks up the next rows. `marks`: flags of build rows; the first row of each key that is
    /// found is marked.
    fn look_up(&mut self, marks: Option<&[AtomicU8]>) -> Result<()> {
        let range = self.next..(self.next + WINDOW).min(self.rows);
        let columns: Vec<&DeviceColumn> = self.columns.iter().collect();
        let columns = host(&columns)?;
        self.found.resize(range.len(), Found::default());
        let (table, outer) = (&*self.table, self.outer);
        let task = |(t, found): (usize, &mut [Found])| {
            let first = range.start + t * TASK;
            table.find(&columns, first..first + found.len(), found);
            if let Some(marks) = marks {
                table.mark(found, marks);
            }
            if outer {
                for f in found.iter_mut().filter(|f| f.count == 0) {
                    *f = Found { start: NO_ROW, count: 1 };
                }
            }
            found.iter().map(|f| u64::from(f.count)).sum()
        };
        self.sums = self.found.par_chunks_mut(TASK).enumerate().map(task).collect();
        self.window = range;
        Ok(())
    }

    /// The next piece of at most `most` pairs, probe rows and build rows; `None` at the end.
    ///
    /// # Errors
    /// `Invalid` when a buffer is not in host memory.
    pub(crate) fn next(
        &mut self,
        most: usize,
        marks: Option<&[AtomicU8]>,
    ) -> Result<Option<[Vec<u32>; 2]>> {
        loop {
            if self.next == self.window.end {
                if self.next == self.rows {
                    return Ok(None);
                }
                self.look_up(marks)?;
            }
            let segments = self.cut(most);
            let pairs = segments.iter().map(|s| s.pairs).sum();
            if pairs > 0 {
                let (mut probe, mut build) = (vec![0u32; pairs], vec![0u32; pairs]);
                let (mut left, mut right) = (&mut probe[..], &mut build[..]);
                let parts: Vec<_> = segments
                    .into_iter()
                    .map(|s| {
                        let (a, rest) = std::mem::take(&mut left).split_at_mut(s.pairs);
                        left = rest;
                        let (b, rest) = std::mem::take(&mut right).split_at_mut(s.pairs);
                        right = rest;
                        (s, a, b)
                    })
                    .collect();
                parts.into_par_iter().for_each(|(s, a, b)| self.fill(s, a, b));
                return Ok(Some([probe, build]));
            }
        }
    }

    /// Takes rows of the window, in order, until their pairs are `most` or the window ends.
    fn cut(&mut self, most: usize) -> Vec<Segment> {
        let mut left = most as u64;
        let mut segments = Vec::new();
        let at = self.window.start;
        while self.next < self.window.end && left > 0 {
            let task = (self.next - at) / TASK;
            let end = (at + (task + 1) * TASK).min(self.window.end);
            let (rows, skip) = (self.next..end, self.skip);
            let whole = match (rows.start - at) % TASK {
                0 => self.sums[task],
                _ => self.found[rows.start - at..end - at].iter().map(|f| u64::from(f.count)).sum(),
            } - u64::from(skip);
            if whole <= left {
                left -= whole;
                (self.next, self.skip) = (end, 0);
                segments.push(Segment { rows, skip, pairs: whole as usize });
                continue;
            }
            let pairs = left as usize;
            let mut row = rows.start;
            let mut skipped = u64::from(skip);
            loop {
                let count = u64::from(self.found[row - at].count) - skipped;
                if count > left {
                    (self.next, self.skip) = (row, (skipped + left) as u32);
                    break;
                }
                left -= count;
                skipped = 0;
                row += 1;
            }
            left = 0;
            segments.push(Segment { rows: rows.start..row + 1, skip, pairs });
        }
        segments
    }

    /// Writes the pairs of a segment.
    fn fill(&self, segment: Segment, mut probe: &mut [u32], mut build: &mut [u32]) {
        let Segment { mut rows, mut skip, .. } = segment;
        let order = &self.table.order[..];
        let (mut a, mut b) = ([0u32; BLOCK], [0u32; BLOCK]);
        let at = self.window.start;
        while !probe.is_empty() {
            // As many rows with at most one pair each as the block holds.
            let mut n = 0;
            let mut row = rows.start;
            let end = rows.end.min(row + BLOCK);
            if skip == 0 {
                for found in &self.found[row - at..end - at] {
                    if found.count > 1 {
                        break;
                    }
                    a[n] = row as u32;
                    b[n] = found.start;
                    n += found.count as usize;
                    row += 1;
                }
                // A segment that ends within its last row may leave that row's pair out.
                let n = n.min(probe.len());
                let (x, rest) = std::mem::take(&mut probe).split_at_mut(n);
                x.copy_from_slice(&a[..n]);
                probe = rest;
                let (y, rest) = std::mem::take(&mut build).split_at_mut(n);
                y.copy_from_slice(&b[..n]);
                build = rest;
                rows.start = row;
            }
            if probe.is_empty() {
                return;
            }
            if row < end && self.found[row - at].count > 1 {
                let found = self.found[row - at];
                let matches = &order[found.start as usize..][..found.count as usize];
                let matches = &matches[skip as usize..];
                let n = matches.len().min(probe.len());
                let (x, rest) = std::mem::take(&mut probe).split_at_mut(n);
                x.fill(row as u32);
                probe = rest;
                let (y, rest) = std::mem::take(&mut build).split_at_mut(n);
                y.copy_from_slice(&matches[..n]);
                build = rest;
                rows.start = row + 1;
                skip = 0;
            }
        }
    }
}

impl Table {
    /// Marks the first row of each key that was found.
    fn mark(&self, found: &[Found], marks: &[AtomicU8]) {
        for f in found.iter().filter(|f| f.count != 0) {
            // A look first keeps threads from fighting for the cache line of a frequent key.
            let mark = &marks[self.first_row(*f) as usize];
            if mark.load(Relaxed) == 0 {
                mark.store(1, Relaxed);
            }
        }
    }

    /// Copies the mark of each key's first row to its other rows.
    pub(crate) fn spread_marks(&self, marks: &[AtomicU8]) {
        self.each_key(|f| {
            if f.count > 1 && marks[self.first_row(f) as usize].load(Relaxed) != 0 {
                let rows = &self.order[f.start as usize..][..f.count as usize];
                rows.iter().for_each(|row| marks[*row as usize].store(1, Relaxed));
            }
        });
    }

    /// Sets the flag of each row that has a match; `marks` as for pairs.
    ///
    /// # Errors
    /// `Invalid` when a buffer is not in host memory.
    pub(crate) fn exists(
        &self,
        columns: &[&DeviceColumn],
        rows: usize,
        marks: Option<&[AtomicU8]>,
    ) -> Result<Vec<AtomicU8>> {
        let columns = host(columns)?;
        let mut flags: Vec<AtomicU8> = Vec::new();
        flags.resize_with(rows, AtomicU8::default);
        flags.par_chunks_mut(TASK).enumerate().for_each(|(t, flags)| {
            let mut found = vec![Found::default(); flags.len()];
            self.find(&columns, t * TASK..t * TASK + flags.len(), &mut found);
            if let Some(marks) = marks {
                self.mark(&found, marks);
            }
            for (flag, found) in flags.iter_mut().zip(&found) {
                *flag.get_mut() = u8::from(found.count != 0);
            }
        });
        Ok(flags)
    }
}
