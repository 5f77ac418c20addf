//! The table of a join's build rows, and the lookup of probe rows in it.
//!
//! Where the codes of the build rows span few values, the code is an index into an array.
//! Otherwise an open-addressing table with linear probing holds the code itself, its first row
//! and its number of rows in one slot, so that a lookup costs one cache miss. A chunk of rows is
//! looked up in passes (pack, hash and prefetch, compare), so that their cache misses overlap
//! (Chen, Ailamaki, Gibbons and Mowry, "Improving Hash Join Performance through Prefetching",
//! ICDE 2004). Rows of a key that has several lie side by side in `order`, ascending.

use std::ops::Range;

use bytemuck::Zeroable;

use super::codes::{CHUNK, CodeLayout, hash, hash_words};
use crate::cpu::{hash::read::HostColumn, memory::prefetch};

/// The build rows that match a probe row: `count` of them. One alone is row `start`; more are
/// `order[start..start + count]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Zeroable)]
pub(super) struct Found {
    pub(super) start: u32,
    pub(super) count: u32,
}

/// A key of the table; `found.count` is 0 in an empty slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot<const W: usize> {
    pub(super) code: [u64; W],
    pub(super) found: Found,
}

// SAFETY: arrays of integers and a `Found`, which may all be zero bytes.
unsafe impl<const W: usize> Zeroable for Slot<W> {}

/// The slots of one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    pub(super) first: usize,
    pub(super) len: usize,
}

/// Open addressing, partitioned by the top bits of the hash.
#[derive(Debug)]
pub(super) struct Hashed<const W: usize> {
    pub(super) slots: Vec<Slot<W>>,
    /// One for each value of the hash's top `bits` bits.
    pub(super) regions: Vec<Region>,
    pub(super) bits: u32,
}

/// Codes of more words than a slot holds: the slots hold their hashes, and the codes of the
/// build rows are compared.
#[derive(Debug)]
pub(super) struct WideCodes {
    pub(super) words: usize,
    /// Codes by build row.
    pub(super) codes: Vec<u64>,
}

#[derive(Debug)]
pub(super) enum Index {
    /// No build row has a key.
    Empty,
    /// Row + 1 by `code - first`; 0: none.
    Unique {
        first: u64,
        rows: Vec<u32>,
    },
    /// The first place in `order` by `code - first`, and one entry more.
    Direct {
        first: u64,
        starts: Vec<u32>,
    },
    One(Hashed<1>),
    Two(Hashed<2>),
    Wide(Hashed<1>, WideCodes),
}

/// The build side of a join. Shared by any number of probing threads.
#[derive(Debug)]
pub(crate) struct Table {
    pub(super) layout: CodeLayout,
    pub(super) index: Index,
    pub(super) order: Vec<u32>,
}

impl<const W: usize> Hashed<W> {
    /// The region and the first slot of a hash.
    #[inline(always)]
    pub(super) fn home(&self, h: u64) -> (Region, usize) {
        let region = self.regions[((h >> 1) >> (63 - self.bits)) as usize];
        (region, region.first + home_in(h, region.len))
    }

    /// The slot after `at`, which is of the region of a hash.
    #[inline(always)]
    fn next(&self, h: u64, at: usize) -> usize {
        let (region, _) = self.home(h);
        if at + 1 == region.first + region.len { region.first } else { at + 1 }
    }

    /// Looks up codes; `same(i, found)` whether the key of code `i` is that of these rows.
    fn find(
        &self,
        codes: &[[u64; W]],
        live: Option<&[bool]>,
        found: &mut [Found],
        same: impl Fn(usize, Found) -> bool,
    ) {
        if let [region] = self.regions[..] {
            self.find_near(region, codes, found, same);
            return clear_dead(live, found);
        }
        let n = found.len();
        let (codes, mut hashes, mut slots) = (&codes[..n], [0u64; CHUNK], [0usize; CHUNK]);
        for ((code, h), slot) in codes.iter().zip(&mut hashes).zip(&mut slots) {
            *h = hash(code);
            (_, *slot) = self.home(*h);
            prefetch(&self.slots, *slot);
        }
        // Rows that have met neither their key nor an empty slot; slot by slot, in passes without
        // branches.
        let (mut open, mut left) = ([0u32; CHUNK], 0);
        for (i, (found, slot)) in found.iter_mut().zip(&slots).enumerate() {
            let slot = &self.slots[*slot];
            *found = slot.found;
            open[left] = i as u32;
            left += usize::from(!slot.ends(&codes[i], |f| same(i, f)));
        }
        while left > 0 {
            let before = std::mem::take(&mut left);
            for at in 0..before {
                let i = open[at] as usize;
                slots[i] = self.next(hashes[i], slots[i]);
                let slot = &self.slots[slots[i]];
                found[i] = slot.found;
                open[left] = i as u32;
                left += usize::from(!slot.ends(&codes[i], |f| same(i, f)));
            }
        }
        clear_dead(live, found);
    }

    /// The look-up in the one region of a small table, which is in the cache: no slot is asked
    /// for ahead, and a row whose first two slots decide takes one step.
    #[inline(always)]
    fn find_near(
        &self,
        region: Region,
        codes: &[[u64; W]],
        found: &mut [Found],
        same: impl Fn(usize, Found) -> bool,
    ) {
        let slots = &self.slots[region.first..][..region.len];
        let after = |at: usize| if at + 1 == slots.len() { 0 } else { at + 1 };
        let ends = |i: usize, slot: &Slot<W>| slot.ends(&codes[i], |f| same(i, f));
        // Rows that have met neither their key nor an empty slot, and the slot they have met.
        let (mut open, mut left) = ([(0u32, 0u32); CHUNK], 0);
        // The first two slots decide of most rows, so both are looked at, without a branch.
        for (i, (code, found)) in codes.iter().zip(&mut *found).enumerate() {
            let at = home_in(hash(code), slots.len());
            let next = after(at);
            let (first, second) = (ends(i, &slots[at]), ends(i, &slots[next]));
            *found = slots[if first { at } else { next }].found;
            open[left] = (i as u32, next as u32);
            left += usize::from(!first & !second);
        }
        while left > 0 {
            let before = std::mem::take(&mut left);
            for k in 0..before {
                let (i, at) = open[k];
                let at = after(at as usize);
                found[i as usize] = slots[at].found;
                open[left] = (i, at as u32);
                left += usize::from(!ends(i as usize, &slots[at]));
            }
        }
    }
}

impl<const W: usize> Slot<W> {
    /// Whether a search for a code ends here: the slot is empty, and what it has found is none, or
    /// it has the code, and `same` says that it has the key. No result is chosen by a branch, which
    /// would be guessed wrong: that of a slot which does not end the search is written over.
    #[inline(always)]
    fn ends(&self, code: &[u64; W], same: impl Fn(Found) -> bool) -> bool {
        let taken = self.found.count != 0;
        // An empty slot has no row whose key could be looked at.
        !taken | (taken & (self.code == *code) && same(self.found))
    }
}

/// Takes back what was found for rows that have no key.
fn clear_dead(live: Option<&[bool]>, found: &mut [Found]) {
    if let Some(live) = live {
        let dead = found.iter_mut().zip(live).filter(|(_, live)| !**live);
        dead.for_each(|(found, _)| *found = Found::default());
    }
}

/// The slot of a hash in a region: its low half scaled to the length (Lemire, "Fast Random
/// Integer Generation in an Interval", 2019).
#[inline(always)]
pub(super) fn home_in(h: u64, len: usize) -> usize {
    ((h & 0xffff_ffff).wrapping_mul(len as u64) >> 32) as usize
}

impl Table {
    /// Bytes of memory held.
    pub(crate) fn bytes(&self) -> usize {
        let index = match &self.index {
            Index::Empty => 0,
            Index::Unique { rows: v, .. } | Index::Direct { starts: v, .. } => v.len() * 4,
            Index::One(h) => size_of_val(h.slots.as_slice()) + size_of_val(h.regions.as_slice()),
            Index::Two(h) => size_of_val(h.slots.as_slice()) + size_of_val(h.regions.as_slice()),
            Index::Wide(h, codes) => {
                size_of_val(h.slots.as_slice())
                    + size_of_val(h.regions.as_slice())
                    + codes.codes.len() * 8
            }
        };
        index + self.order.len() * 4
    }

    /// Calls `f` with the rows of each key.
    pub(super) fn each_key(&self, mut f: impl FnMut(Found)) {
        match &self.index {
            Index::Empty => {}
            Index::Unique { rows, .. } => {
                rows.iter().filter(|r| **r != 0).for_each(|r| f(Found { start: r - 1, count: 1 }));
            }
            Index::Direct { starts, .. } => {
                for pair in starts.windows(2).filter(|p| p[0] != p[1]) {
                    f(self.of_order(pair[0], pair[1]));
                }
            }
            Index::One(h) | Index::Wide(h, _) => {
                h.slots.iter().filter(|s| s.found.count != 0).for_each(|s| f(s.found));
            }
            Index::Two(h) => {
                h.slots.iter().filter(|s| s.found.count != 0).for_each(|s| f(s.found));
            }
        }
    }

    #[inline(always)]
    fn of_order(&self, start: u32, end: u32) -> Found {
        let count = end - start;
        let start = if count == 1 { self.order[start as usize] } else { start };
        Found { start, count }
    }

    /// The build rows of what was found.
    #[inline(always)]
    pub(super) fn first_row(&self, found: Found) -> u32 {
        if found.count == 1 { found.start } else { self.order[found.start as usize] }
    }

    /// Looks up the rows of `range`.
    pub(super) fn find(
        &self,
        columns: &[HostColumn<'_>],
        range: Range<usize>,
        found: &mut [Found],
    ) {
        let w = self.layout.words();
        let mut few = [0u64; 2 * CHUNK];
        let mut many = vec![0u64; if w > 2 { w * CHUNK } else { 0 }];
        let codes = if w > 2 { &mut many[..] } else { &mut few[..] };
        for (chunk, found) in found.chunks_mut(CHUNK).enumerate() {
            let (first, n) = (range.start + chunk * CHUNK, found.len());
            let codes = &mut codes[..n * w];
            let mut live = [true; CHUNK];
            let dead = self.layout.pack(columns, &(first..first + n), codes, &mut live[..n]);
            self.find_chunk(codes, dead.then_some(&live[..n]), found);
        }
    }

    fn find_chunk(&self, codes: &[u64], live: Option<&[bool]>, found: &mut [Found]) {
        let is_live = |i: usize| live.is_none_or(|l| l[i]);
        match &self.index {
            Index::Empty => found.fill(Found::default()),
            Index::Unique { first, rows } => {
                for code in codes {
                    prefetch(rows, code.wrapping_sub(*first) as usize);
                }
                for (i, (code, found)) in codes.iter().zip(found).enumerate() {
                    let at = code.wrapping_sub(*first) as usize;
                    let row = rows.get(at).copied().filter(|_| is_live(i)).unwrap_or(0);
                    *found = Found { start: row.wrapping_sub(1), count: u32::from(row != 0) };
                }
            }
            Index::Direct { first, starts } => {
                for code in codes {
                    prefetch(starts, code.wrapping_sub(*first) as usize);
                }
                for (i, (code, found)) in codes.iter().zip(found).enumerate() {
                    let at = code.wrapping_sub(*first) as usize;
                    *found = match starts.get(at..at.saturating_add(2)) {
                        Some([start, end]) if is_live(i) => self.of_order(*start, *end),
                        _ => Found::default(),
                    };
                }
            }
            Index::One(hashed) => {
                hashed.find(codes.as_chunks().0, live, found, |_, _| true);
            }
            Index::Two(hashed) => {
                hashed.find(codes.as_chunks().0, live, found, |_, _| true);
            }
            Index::Wide(hashed, wide) => {
                let w = wide.words;
                let mut hashes = [[0u64; 1]; CHUNK];
                for (code, h) in codes.chunks_exact(w).zip(&mut hashes) {
                    *h = [hash_words(code)];
                }
                hashed.find(&hashes[..found.len()], live, found, |i, f| {
                    let row = self.first_row(f) as usize;
                    wide.codes[row * w..][..w] == codes[i * w..][..w]
                });
            }
        }
    }
}
