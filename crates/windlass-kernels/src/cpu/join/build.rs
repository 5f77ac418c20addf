//! Building the table: codes of all rows, partitioned by the top bits of their hash (or of the
//! code itself) so that each partition's slots stay in the cache while they are filled, and
//! partitions filled in parallel (Manegold, Boncz and Kersten, "Optimizing Main-Memory Join on
//! Modern Hardware", 2002).

use std::ops::Range;

use super::{
    codes::{CHUNK, CodeLayout, hash, hash_words},
    pages::zeroed,
    table::{Found, Hashed, Index, Region, Slot, Table, WideCodes, home_in},
};
use crate::{
    cpu::{hash::read::HostColumn, tasks},
    types::PhysType,
};

/// Rows of a partition: its slots are then about 0.4 MB, in the second-level cache of any core
/// of today. Measured with `join_rates`.
const PARTITION_ROWS: usize = 1 << 14;

/// Most partitions: more than about this many write streams at once miss in the first-level
/// cache and the TLB (as in the paper above).
const MAX_PARTITIONS: usize = 1 << 11;

/// Up to this many values of the code, an array of them is always taken: 1 MiB, what a core's
/// second-level cache holds; a stated guess.
const DIRECT_VALUES: u64 = 1 << 18;

/// An array of 4 bytes a value takes no more memory than hashing while there are at most this
/// many values a row (slots of 16 bytes at a load of 0.6).
const DIRECT_PER_ROW: u64 = 6;

/// Rows that one task packs.
const TASK: Range<usize> = 1 << 14..(1 << 20) + 1;

/// Rows in partitions: those of partition `p` are `offsets[p]..offsets[p + 1]`, ascending.
struct Chunk<const W: usize> {
    codes: Vec<[u64; W]>,
    rows: Vec<u32>,
    offsets: Vec<u32>,
}

impl<const W: usize> Chunk<W> {
    fn part(&self, p: usize) -> impl DoubleEndedIterator<Item = (&[u64; W], &u32)> {
        let range = self.offsets[p] as usize..self.offsets[p + 1] as usize;
        self.codes[range.clone()].iter().zip(&self.rows[range])
    }

    fn part_len(&self, p: usize) -> usize {
        (self.offsets[p + 1] - self.offsets[p]) as usize
    }

    /// Sorts the rows by partition, keeping their order within it.
    fn partition(&mut self, partitions: usize, of: impl Fn(&[u64; W]) -> usize) {
        if partitions == 1 {
            self.offsets = vec![0, self.rows.len() as u32];
            return;
        }
        let ids: Vec<u16> = self.codes.iter().map(|c| of(c) as u16).collect();
        let mut offsets = vec![0u32; partitions + 1];
        ids.iter().for_each(|p| offsets[*p as usize + 1] += 1);
        for p in 0..partitions {
            offsets[p + 1] += offsets[p];
        }
        let mut next = offsets.clone();
        let mut codes = zeroed::<[u64; W]>(self.codes.len());
        let mut rows = zeroed::<u32>(self.rows.len());
        for ((id, code), row) in ids.iter().zip(&self.codes).zip(&self.rows) {
            let at = next[*id as usize] as usize;
            next[*id as usize] += 1;
            codes[at] = *code;
            rows[at] = *row;
        }
        (self.codes, self.rows, self.offsets) = (codes, rows, offsets);
    }
}

/// Sums of the chunks' parts before each partition, and of all.
fn before<const W: usize>(chunks: &[Chunk<W>], partitions: usize) -> Vec<usize> {
    let mut sums = vec![0; partitions + 1];
    for p in 0..partitions {
        sums[p + 1] = sums[p] + chunks.iter().map(|c| c.part_len(p)).sum::<usize>();
    }
    sums
}

/// Cuts a slice into parts of these lengths.
fn split<T>(mut all: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let cut = lengths.map(|n| {
        let (part, rest) = std::mem::take(&mut all).split_at_mut(n);
        all = rest;
        part
    });
    cut.collect()
}

/// Bytes that a build of `rows` rows holds beside the table: codes and row numbers, twice.
pub(super) fn transient_bytes(types: &[PhysType], nulls: bool, rows: usize) -> usize {
    let words = CodeLayout::new(types, nulls).words();
    rows.saturating_mul(2 * (8 * words.min(2) + 4))
}

/// Builds the table over rows `0..rows` of the key columns.
pub(super) fn build(
    types: &[PhysType],
    columns: &[HostColumn<'_>],
    rows: usize,
    nulls: bool,
) -> Table {
    let layout = CodeLayout::new(types, nulls);
    let mut table = Table { layout, index: Index::Empty, order: Vec::new() };
    match table.layout.words() {
        1 => {
            let chunks = pack(&table.layout, columns, rows, |c| [c[0]], &mut []);
            one(&mut table, chunks);
        }
        2 => {
            let chunks = pack(&table.layout, columns, rows, |c| [c[0], c[1]], &mut []);
            let (hashed, order) = hashed(chunks, |_, _| true);
            (table.index, table.order) = (Index::Two(hashed), order);
        }
        words => {
            let mut codes = vec![0u64; words * rows];
            let hash = |c: &[u64]| [hash_words(c)];
            let chunks = pack(&table.layout, columns, rows, hash, &mut codes);
            let wide = WideCodes { words, codes };
            let code = |row: u32| &wide.codes[row as usize * words..][..words];
            let (hashed, order) = hashed(chunks, |a, b| code(a) == code(b));
            (table.index, table.order) = (Index::Wide(hashed, wide), order);
        }
    }
    table
}

/// Packs all rows that have a code. `whole` is empty, or gets all words of all rows.
fn pack<const W: usize>(
    layout: &CodeLayout,
    columns: &[HostColumn<'_>],
    rows: usize,
    code: impl Fn(&[u64]) -> [u64; W] + Sync,
    whole: &mut [u64],
) -> Vec<Chunk<W>> {
    let threads = rayon::current_num_threads();
    let task = rows.div_ceil(4 * threads).clamp(TASK.start, TASK.end - 1);
    let w = layout.words();
    let starts: Vec<usize> = (0..rows).step_by(task).collect();
    let len = |start: usize| if whole.is_empty() { 0 } else { task.min(rows - start) * w };
    let lengths: Vec<usize> = starts.iter().map(|s| len(*s)).collect();
    let wholes = split(whole, lengths.into_iter());
    tasks::map_of(starts.into_iter().zip(wholes), |_, (start, whole)| {
        let end = (start + task).min(rows);
        let mut chunk = Chunk {
            codes: Vec::with_capacity(end - start),
            rows: Vec::with_capacity(end - start),
            offsets: Vec::new(),
        };
        let mut codes = vec![0u64; CHUNK * w];
        for first in (start..end).step_by(CHUNK) {
            let n = CHUNK.min(end - first);
            let codes = &mut codes[..n * w];
            let mut live = [true; CHUNK];
            let dead = layout.pack(columns, &(first..first + n), codes, &mut live[..n]);
            let numbered = codes.chunks_exact(w).zip(first as u32..);
            if dead {
                for ((words, row), live) in numbered.zip(&live) {
                    if *live {
                        chunk.codes.push(code(words));
                        chunk.rows.push(row);
                    }
                }
            } else {
                chunk.codes.extend(codes.chunks_exact(w).map(&code));
                chunk.rows.extend(first as u32..(first + n) as u32);
            }
            if !whole.is_empty() {
                whole[(first - start) * w..][..n * w].copy_from_slice(codes);
            }
        }
        chunk
    })
}

/// Codes of one word: an array where their range is small, else hashed.
fn one(table: &mut Table, mut chunks: Vec<Chunk<1>>) {
    let live: usize = chunks.iter().map(|c| c.rows.len()).sum();
    let range = |c: &Chunk<1>| {
        let (low, high) = (u64::MAX, 0);
        c.codes.iter().fold((low, high), |(low, high), [c]| (low.min(*c), high.max(*c)))
    };
    let both = |a: (u64, u64), b: (u64, u64)| (a.0.min(b.0), a.1.max(b.1));
    let ranges = tasks::map_of(&chunks, |_, c| range(c));
    let (first, last) = ranges.into_iter().fold((u64::MAX, 0), both);
    if live == 0 {
        return;
    }
    let span = last - first;
    if span >= DIRECT_VALUES.max((live as u64).saturating_mul(DIRECT_PER_ROW)) {
        let (hashed, order) = hashed(chunks, |_, _| true);
        (table.index, table.order) = (Index::One(hashed), order);
        return;
    }
    let span = span as usize + 1;
    // Partitions of a power of two of values each.
    let partitions = partitions(live);
    let shift = usize::BITS - (span.div_ceil(partitions) - 1).leading_zeros();
    let partitions = span.div_ceil(1 << shift);
    let of = |[c]: &[u64; 1]| (c - first) as usize >> shift;
    tasks::each_of(&mut chunks, |_, c| c.partition(partitions, of));
    let lengths = || (0..partitions).map(|p| (span - (p << shift)).min(1 << shift));

    let mut values = zeroed::<u32>(span + 1);
    let parts = split(&mut values, lengths());
    let unique = tasks::map_of(parts, |p, rows| {
        for ([code], row) in chunks.iter().flat_map(|c| c.part(p)) {
            let value = &mut rows[(code - first) as usize - (p << shift)];
            if *value != 0 {
                return false;
            }
            *value = row + 1;
        }
        true
    });
    if unique.into_iter().all(|unique| unique) {
        values.pop();
        table.index = Index::Unique { first, rows: values };
        return;
    }
    let before = before(&chunks, partitions);
    let mut order = zeroed::<u32>(live);
    let orders = split(&mut order, before.windows(2).map(|p| p[1] - p[0]));
    let parts = split(&mut values, lengths());
    tasks::each_of(parts.into_iter().zip(orders), |p, (starts, order)| {
        let local = |code: u64| (code - first) as usize - (p << shift);
        starts.fill(0);
        for ([code], _) in chunks.iter().flat_map(|c| c.part(p)) {
            starts[local(*code)] += 1;
        }
        let base = before[p] as u32;
        let mut end = base;
        for value in &mut *starts {
            end += *value;
            *value = end;
        }
        // From the last row on, each takes the place before the one taken last.
        for ([code], row) in chunks.iter().rev().flat_map(|c| c.part(p).rev()) {
            let start = &mut starts[local(*code)];
            *start -= 1;
            order[(*start - base) as usize] = *row;
        }
    });
    values[span] = live as u32;
    (table.index, table.order) = (Index::Direct { first, starts: values }, order);
}

fn partitions(rows: usize) -> usize {
    match rows {
        0..=0xffff => 1,
        _ => (rows / PARTITION_ROWS).next_power_of_two().min(MAX_PARTITIONS),
    }
}

/// Slots for a load of at most 0.6, where a lookup looks at 1.8 slots in the mean, or 3.6 for a
/// key that is not there; of one partition, of which every lookup is in the cache, for a load of
/// a half: 1.5 and 2.5 slots (Knuth, The Art of Computer Programming 3, 6.4).
fn slots_for(rows: usize, partitions: usize) -> usize {
    if partitions == 1 { rows * 2 + 2 } else { rows * 5 / 3 + 2 }
}

/// Hashed codes; `same(a, b)` whether build rows of equal codes have the same key.
fn hashed<const W: usize>(
    mut chunks: Vec<Chunk<W>>,
    same: impl Fn(u32, u32) -> bool + Sync,
) -> (Hashed<W>, Vec<u32>) {
    let live = chunks.iter().map(|c| c.rows.len()).sum();
    let partitions = partitions(live);
    let bits = partitions.trailing_zeros();
    let of = |code: &[u64; W]| ((hash(code) >> 1) >> (63 - bits)) as usize;
    tasks::each_of(&mut chunks, |_, c| c.partition(partitions, of));
    let before = before(&chunks, partitions);
    let mut first = 0;
    let regions: Vec<Region> = before
        .windows(2)
        .map(|p| {
            let region = Region { first, len: slots_for(p[1] - p[0], partitions) };
            first += region.len;
            region
        })
        .collect();
    let mut slots: Vec<Slot<W>> = zeroed(first);
    let parts = split(&mut slots, regions.iter().map(|r| r.len));
    let repeated = tasks::map_of(parts, |p, slots| {
        let mut repeated = 0;
        for (code, row) in chunks.iter().flat_map(|c| c.part(p)) {
            let at = seek(slots, code, |first| same(first, *row));
            let slot = &mut slots[at];
            if slot.found.count == 0 {
                *slot = Slot { code: *code, found: Found { start: *row, count: 1 } };
            } else {
                repeated += if slot.found.count == 1 { 2 } else { 1 };
                slot.found.count += 1;
            }
        }
        repeated
    });

    let mut order = zeroed::<u32>(repeated.iter().sum());
    let orders = split(&mut order, repeated.iter().copied());
    let mut base = 0;
    let first_place = |n: &usize| {
        base += *n as u32;
        base - *n as u32
    };
    let bases: Vec<u32> = repeated.iter().map(first_place).collect();
    let parts = split(&mut slots, regions.iter().map(|r| r.len));
    tasks::each_of(parts.into_iter().zip(orders), |p, (slots, order)| {
        if order.is_empty() {
            return;
        }
        // The first rows stand in `start` until the places are given out, so the slots of keys
        // with one word or two are found by code, those of hashes by the rows noted here.
        let mut at = Vec::with_capacity(chunks.iter().map(|c| c.part_len(p)).sum());
        for (code, row) in chunks.iter().flat_map(|c| c.part(p)) {
            at.push(seek(slots, code, |first| same(first, *row)) as u32);
        }
        let mut end = bases[p];
        for slot in slots.iter_mut().filter(|s| s.found.count > 1) {
            end += slot.found.count;
            slot.found.start = end;
        }
        let rows = chunks.iter().rev().flat_map(|c| c.part(p).rev());
        for ((_, row), at) in rows.zip(at.iter().rev()) {
            let found = &mut slots[*at as usize].found;
            if found.count > 1 {
                found.start -= 1;
                order[(found.start - bases[p]) as usize] = *row;
            }
        }
    });
    (Hashed { slots, regions, bits }, order)
}

/// The slot of a code in a partition's slots, or the empty one where it belongs. `same` whether
/// the slot's first row has the key too.
#[inline(always)]
fn seek<const W: usize>(slots: &[Slot<W>], code: &[u64; W], same: impl Fn(u32) -> bool) -> usize {
    let mut at = home_in(hash(code), slots.len());
    loop {
        let slot = &slots[at];
        if slot.found.count == 0 || (slot.code == *code && same(slot.found.start)) {
            return at;
        }
        at += 1;
        if at == slots.len() {
            at = 0;
        }
    }
}
