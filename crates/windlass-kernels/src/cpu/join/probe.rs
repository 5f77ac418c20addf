//! Probing: count, scan, fill, a window of rows at a time, in pieces of bounded size.

use std::{
    mem::MaybeUninit,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use super::{
    host,
    table::{Found, Table},
};
use crate::{
    column::DeviceColumn,
    cpu::{memory::prefetch, tasks},
    error::Result,
};

/// Rows that are looked up before their pairs are written: what was found, 4 MiB, is still in
/// the cache then, and every thread has work (a guess).
const WINDOW: usize = 1 << 19;

/// Rows of a task.
const TASK: usize = 1 << 13;

/// Pairs that are gathered before they are copied out: 8 KiB of the first-level cache.
const BLOCK: usize = 1024;

/// Matches of one row, up to which they are gathered; more are copied at once. A guess: 256
/// bytes, for which a call to copy is small.
const MANY: usize = 64;

/// How many rows ahead the matches are asked for: about the misses that a core has under way.
const AHEAD: usize = 16;

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
        self.sums = tasks::map_of(self.found.chunks_mut(TASK), |i, found| task((i, found)));
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
                let (mut probe, mut build) = (Vec::with_capacity(pairs), Vec::with_capacity(pairs));
                let mut left = &mut probe.spare_capacity_mut()[..pairs];
                let mut right = &mut build.spare_capacity_mut()[..pairs];
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
                let filled = tasks::map_of(parts, |_, (s, a, b)| self.fill(s, a, b));
                let written: usize = filled.into_iter().sum();
                assert_eq!(written, pairs, "every pair was written");
                // SAFETY: the segments have as many pairs each as its parts have places, all
                // parts are the `pairs` places, and each has been written, as counted.
                unsafe {
                    probe.set_len(pairs);
                    build.set_len(pairs);
                }
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

    /// Writes the pairs of a segment, and counts them.
    fn fill(
        &self,
        segment: Segment,
        probe: &mut [MaybeUninit<u32>],
        build: &mut [MaybeUninit<u32>],
    ) -> usize {
        let Segment { rows, mut skip, pairs } = segment;
        let order = &self.table.order[..];
        let found = &self.found[rows.start - self.window.start..rows.end - self.window.start];
        let first = rows.start as u32;
        let numbered = found.iter().zip(first..);
        let unique = order.is_empty();
        if unique && pairs == found.len() {
            // Every row has its one pair.
            let places = probe.iter_mut().zip(&mut *build);
            for ((probe, build), (f, row)) in places.zip(numbered) {
                probe.write(row);
                build.write(f.start);
            }
            return pairs;
        }
        let (rows, matches) = ([0; BLOCK], [0; BLOCK]);
        let mut sink = Sink { probe, build, written: 0, rows, matches, held: 0 };
        if unique {
            for (block, first) in found.chunks(BLOCK).zip((first..).step_by(BLOCK)) {
                // Without a branch: a row that has no pair is overwritten by the next.
                for (f, row) in block.iter().zip(first..) {
                    sink.rows[sink.held] = row;
                    sink.matches[sink.held] = f.start;
                    sink.held += usize::from(f.count != 0);
                }
                sink.flush();
            }
            return sink.written;
        }
        for (i, (f, row)) in numbered.enumerate() {
            if f.count <= 1 {
                sink.rows[sink.held] = row;
                sink.matches[sink.held] = f.start;
                sink.held += f.count as usize;
            } else {
                if let Some(ahead) = found.get(i + AHEAD).filter(|f| f.count > 1) {
                    prefetch(order, ahead.start as usize);
                }
                let matches = &order[f.start as usize..][..f.count as usize];
                sink.row(row, &matches[skip as usize..]);
                skip = 0;
            }
            if sink.held >= BLOCK - MANY {
                sink.flush();
            }
        }
        sink.flush();
        sink.written
    }
}

/// Pairs on their way to a piece, of which no more are taken than it has room for.
struct Sink<'a> {
    probe: &'a mut [MaybeUninit<u32>],
    build: &'a mut [MaybeUninit<u32>],
    /// Pairs written so far.
    written: usize,
    rows: [u32; BLOCK],
    matches: [u32; BLOCK],
    held: usize,
}

impl Sink<'_> {
    /// Adds the matches of a row. There is room for [`MANY`].
    #[inline(always)]
    fn row(&mut self, row: u32, matches: &[u32]) {
        if matches.len() > MANY {
            self.flush();
            let places = self.written..(self.written + matches.len()).min(self.probe.len());
            self.probe[places.clone()].iter_mut().for_each(|p| {
                p.write(row);
            });
            self.build[places.clone()].write_copy_of_slice(&matches[..places.len()]);
            self.written = places.end;
            return;
        }
        for m in matches {
            self.rows[self.held] = row;
            self.matches[self.held] = *m;
            self.held += 1;
        }
    }

    fn flush(&mut self) {
        let places = self.written..(self.written + self.held).min(self.probe.len());
        self.probe[places.clone()].write_copy_of_slice(&self.rows[..places.len()]);
        self.build[places.clone()].write_copy_of_slice(&self.matches[..places.len()]);
        self.written = places.end;
        self.held = 0;
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
        tasks::each_of(flags.chunks_mut(TASK), |t, flags| {
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
