//! From packed keys to group numbers, in order of first appearance.
//!
//! Where the keys' codes span few values, the code is an index into an array. Otherwise an
//! open-addressing table with linear probing holds the number of each group, and for keys of
//! several words 32 bits of its hash; the keys lie beside it in order of their numbers. A chunk
//! is looked up in passes without branches, slot after slot, so that the cache misses of its
//! rows overlap; only the few rows that still miss are probed one by one. The passes go block
//! by block, and each asks for the cache lines that the next one reads. (Batch lookup as in
//! Boncz et al., "MonetDB/X100", CIDR 2005; tags in the table as in Leis et al.,
//! "Morsel-Driven Parallelism", SIGMOD 2014; group prefetching as in Chen et al., "Improving
//! Hash Join Performance through Prefetching", ICDE 2004.)
//!
//! Keys whose equals are neighbours need none of this: see `runs`.

use crate::cpu::memory::prefetch;

/// A direct array of up to 2^18 entries (1 MiB, what a core's second-level cache holds) is
/// always taken; a stated guess.
const DIRECT_BITS: u32 = 18;

/// A direct array with at most this many entries a group is taken: 32 bytes a group at most,
/// against 8 to 16 of slots and 8 of a key, but one cache miss a row instead of two.
const DIRECT_PER_GROUP: usize = 8;

/// The fewest slots of a hash table: two chunks of new groups fit.
const MIN_SLOTS: usize = 4096;

/// Slots after a key's first in which all rows of a chunk are looked up together. A guess: at a
/// load of a half they leave one key in eight (Knuth, The Art of Computer Programming 3, 6.4).
const ROUNDS: usize = 2;

/// Rows that are not worth a round: they are probed one by one. A guess.
const FEW: usize = 32;

/// Rows of a block: the lines of two blocks, of slots and of keys, are a quarter of a first-level
/// cache of 32 KiB, and far more misses than a core has under way (a guess).
const BLOCK: usize = 64;

/// Up to this many slots nothing is asked for ahead: they and their keys, at most half as many,
/// lie in a second-level cache of 1 MiB. Measured by `group_by/sum/*`: asking costs a table of 100
/// groups an eighth more time, and saves one of 10^5 groups a fifth to a third where other work
/// takes its share of the last cache.
const NEAR: usize = 1 << 16;

/// Groups by their packed keys.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) words: usize,
    /// Bits in use of one-word keys.
    bits: Option<u32>,
    slots: Slots,
    /// Packed keys by group number.
    pub(super) keys: Vec<u64>,
    pub(super) groups: usize,
    /// Groups that the caller expects.
    expected: usize,
    hashes: Vec<u64>,
    found: Vec<u64>,
    missed: Vec<u32>,
}

#[derive(Debug)]
enum Slots {
    /// Group number + 1 by code; 0: none.
    Direct(Vec<u32>),
    /// For keys of one word: group number + 1 by the top bits of the hash; 0: empty.
    Word { slots: Vec<u32>, shift: u32 },
    /// Low half group number + 1 (0: empty), high half the low half of the hash. The hash's
    /// top bits are the slot.
    Hash { slots: Vec<u64>, shift: u32 },
    /// None: equal keys are neighbours. Where the runs of the chunk at hand begin, and its end.
    Runs { starts: Vec<u32> },
}

/// How groups are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// By an index where codes span few values, else by their hash.
    Indexed,
    /// By their hash.
    Hashed,
    /// As runs of equal keys.
    Runs,
}

/// Hash of a packed key: folded multiplication, as in wyhash; the constants are the
/// fractional digits of pi.
#[inline]
pub(super) fn hash(key: &[u64]) -> u64 {
    let mut h = 0x2436_a088_85a3_08d3u64;
    for k in key {
        let product = u128::from(k ^ h).wrapping_mul(0xa409_3822_299f_31d1);
        h = product as u64 ^ (product >> 64) as u64;
    }
    h
}

/// Packed key `i`. `W`: words of a key where known, else 0; `w`: words of a key.
#[inline(always)]
fn key<const W: usize>(keys: &[u64], i: usize, w: usize) -> &[u64] {
    if W == 0 { &keys[i * w..i * w + w] } else { &keys[i * W..][..W] }
}

/// Whether key `i` of one list is key `j` of another.
#[inline(always)]
fn equal<const W: usize>(a: &[u64], i: usize, b: &[u64], j: usize, w: usize) -> bool {
    match W {
        2 => (a[2 * i] == b[2 * j]) & (a[2 * i + 1] == b[2 * j + 1]),
        _ => key::<W>(a, i, w) == key::<W>(b, j, w),
    }
}

/// Whether a slot is taken by a key whose hash has the same low half.
#[inline(always)]
fn tagged(slot: u64, h: u64) -> bool {
    (slot as u32 != 0) & ((slot >> 32) as u32 == h as u32)
}

/// The rows of the block that begins at `start`; none before the first and after the last.
#[inline(always)]
fn block<T>(rows: &[T], start: usize) -> &[T] {
    let end = start.wrapping_add(BLOCK).min(rows.len());
    rows.get(start..end).unwrap_or_default()
}

/// As [`block`].
#[inline(always)]
fn block_mut<T>(rows: &mut [T], start: usize) -> &mut [T] {
    let end = start.wrapping_add(BLOCK).min(rows.len());
    rows.get_mut(start..end).unwrap_or_default()
}

impl Table {
    /// A table that holds `keys`, which are different, as groups 0, 1, ….
    pub(super) fn new(words: usize, bits: Option<u32>, keys: Vec<u64>, expected: usize) -> Self {
        let groups = keys.len() / words;
        let slots = Slots::Direct(Vec::new());
        let mut table = Self {
            words,
            bits,
            slots,
            keys,
            groups,
            expected,
            hashes: Vec::new(),
            found: Vec::new(),
            missed: Vec::new(),
        };
        table.keys.reserve((expected.saturating_sub(groups)).saturating_mul(words));
        table.rehash(0);
        table
    }

    /// As [`Table::new`], for keys whose equals are neighbours.
    pub(super) fn of_runs(words: usize, keys: Vec<u64>) -> Self {
        let groups = keys.len() / words;
        let slots = Slots::Runs { starts: Vec::new() };
        let (hashes, found, missed) = Default::default();
        let (bits, expected) = (None, 0);
        Self { words, bits, slots, keys, groups, expected, hashes, found, missed }
    }

    /// Where the runs of the chunk looked up last begin, and its end; `None` where equal keys
    /// need not be neighbours.
    pub(super) fn run_starts(&self) -> Option<&[u32]> {
        match &self.slots {
            Slots::Runs { starts } => Some(starts),
            _ => None,
        }
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// Packed keys by group number.
    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    pub(super) fn expected(&self) -> usize {
        self.expected
    }

    /// Whether codes index an array.
    pub(super) fn is_direct(&self) -> bool {
        matches!(self.slots, Slots::Direct(_))
    }

    /// Frees all but the keys; nothing can be looked up any more.
    pub(super) fn close(&mut self) {
        self.slots = Slots::Direct(Vec::new());
        self.keys.shrink_to_fit();
        (self.hashes, self.found, self.missed) = Default::default();
    }

    pub(super) fn into_keys(self) -> Vec<u64> {
        self.keys
    }

    /// Bytes of memory held.
    pub(super) fn bytes(&self) -> usize {
        let slots = match &self.slots {
            Slots::Direct(s) | Slots::Word { slots: s, .. } => s.capacity() * 4,
            Slots::Hash { slots, .. } => slots.capacity() * 8,
            Slots::Runs { starts } => starts.capacity() * 4,
        };
        slots + self.keys.capacity() * 8
    }

    /// Makes slots for the groups there are, those expected, and `more`.
    fn rehash(&mut self, more: usize) {
        let room = (self.groups + more).max(self.expected);
        let direct = |bits: &u32| {
            *bits <= DIRECT_BITS || (*bits < 40 && 1 << bits <= room * DIRECT_PER_GROUP)
        };
        if let Some(bits) = self.bits.filter(direct) {
            let mut slots = vec![0; 1 << bits];
            for (g, code) in self.keys.iter().enumerate() {
                slots[*code as usize] = g as u32 + 1;
            }
            self.slots = Slots::Direct(slots);
            return;
        }
        let size = (room * 2).next_power_of_two().max(MIN_SLOTS);
        let (mask, shift) = (size - 1, 64 - size.trailing_zeros());
        if self.words == 1 {
            let mut slots = vec![0u32; size];
            for (key, g) in self.keys.iter().zip(1..) {
                let mut at = (hash(&[*key]) >> shift) as usize;
                while slots[at] != 0 {
                    at = (at + 1) & mask;
                }
                slots[at] = g;
            }
            self.slots = Slots::Word { slots, shift };
            return;
        }
        let mut slots = vec![0u64; size];
        for (g, key) in self.keys.chunks_exact(self.words).enumerate() {
            let h = hash(key);
            let mut at = (h >> shift) as usize;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = h << 32 | (g as u64 + 1);
        }
        self.slots = Slots::Hash { slots, shift };
    }

    /// Finds or makes the group of each of `n` packed keys.
    pub(super) fn group(&mut self, packed: &[u64], n: usize, gids: &mut Vec<u32>) {
        gids.resize(n, 0);
        if let Slots::Runs { starts } = &mut self.slots {
            let mut starts = std::mem::take(starts);
            self.number_runs(packed, gids, &mut starts);
            self.slots = Slots::Runs { starts };
            return;
        }
        let slots = match &self.slots {
            Slots::Direct(_) | Slots::Runs { .. } => usize::MAX,
            Slots::Word { slots, .. } => slots.len(),
            Slots::Hash { slots, .. } => slots.len(),
        };
        if self.groups + n > slots / 2 {
            // Slots at least double, so that growth costs a constant for each group.
            self.rehash(n);
        }
        match (&self.slots, self.words) {
            (Slots::Direct(_), _) => self.direct(packed, gids),
            (Slots::Word { .. }, _) => self.probe_words(packed, gids),
            (_, 2) => self.probe::<2>(packed, gids),
            _ => self.probe::<0>(packed, gids),
        }
    }

    fn direct(&mut self, packed: &[u64], gids: &mut [u32]) {
        let Slots::Direct(slots) = &mut self.slots else { return };
        let mut new = false;
        for (g, code) in gids.iter_mut().zip(packed) {
            let s = slots[*code as usize];
            new |= s == 0;
            *g = s.wrapping_sub(1);
        }
        if new {
            for (g, code) in gids.iter_mut().zip(packed) {
                let s = &mut slots[*code as usize];
                if *s == 0 {
                    self.keys.push(*code);
                    self.groups += 1;
                    *s = self.groups as u32;
                }
                *g = *s - 1;
            }
        }
    }

    /// Keys of one word.
    fn probe_words(&mut self, packed: &[u64], gids: &mut [u32]) {
        let Slots::Word { slots, shift } = &mut self.slots else { return };
        let (shift, mask) = (*shift, slots.len() - 1);
        let home = |key: u64| hash(&[key]).wrapping_shr(shift) as usize;
        let packed = &packed[..gids.len()];
        self.missed.resize(gids.len(), 0);
        let missed = &mut self.missed[..gids.len()];
        let mut misses = 0;
        if let Some(last) = self.groups.checked_sub(1) {
            let keys = &self.keys[..last + 1];
            // An empty slot reads the last group's key, which is not the row's: that key's own
            // first slot is not empty.
            let place = |slot: u32| (slot.wrapping_sub(1) as usize).min(last);
            let found = |slot: u32, key: u64| keys[place(slot)] == key;
            let (near, far) = match slots.len() <= NEAR {
                true => (packed.len(), 0),
                false => (0, packed.len() + 2 * BLOCK),
            };
            for start in (0..near).step_by(BLOCK) {
                let rows = block(packed, start).iter().zip(block_mut(gids, start));
                for (key, g) in rows {
                    *g = slots[home(*key) & mask].wrapping_sub(1);
                }
                // A bit for each row that misses, of which few do.
                let rows = block(packed, start).iter().zip(block(gids, start)).enumerate();
                let mut missing = rows.fold(0u64, |w, (k, (key, g))| {
                    w | u64::from(keys[(*g as usize).min(last)] != *key) << k
                });
                while missing != 0 {
                    missed[misses] = start as u32 + missing.trailing_zeros();
                    misses += 1;
                    missing &= missing - 1;
                }
            }
            for start in (0..far).step_by(BLOCK) {
                for key in block(packed, start) {
                    prefetch(slots, home(*key));
                }
                let behind = start.wrapping_sub(BLOCK);
                for (key, g) in block(packed, behind).iter().zip(block_mut(gids, behind)) {
                    let slot = slots[home(*key) & mask];
                    *g = slot.wrapping_sub(1);
                    prefetch(keys, place(slot));
                }
                let behind = behind.wrapping_sub(BLOCK);
                let rows = block(packed, behind).iter().zip(block(gids, behind));
                for (i, (key, g)) in (behind as u32..).zip(rows) {
                    missed[misses] = i;
                    misses += usize::from(!found(g.wrapping_add(1), *key));
                }
            }
            // Where most rows miss, their groups are new, and no slot has them.
            let rounds = if misses > packed.len() / 4 * 3 { 0 } else { ROUNDS };
            for round in 1..=rounds {
                let before = misses;
                if before <= FEW {
                    break;
                }
                misses = 0;
                for at in 0..before {
                    let i = missed[at];
                    let key = packed[i as usize];
                    let slot = slots[(home(key) + round) & mask];
                    gids[i as usize] = slot.wrapping_sub(1);
                    missed[misses] = i;
                    misses += usize::from(!found(slot, key));
                }
            }
        } else {
            missed.iter_mut().zip(0..).for_each(|(m, i)| *m = i);
            misses = missed.len();
        }
        for i in &missed[..misses] {
            let i = *i as usize;
            let key = packed[i];
            let mut at = home(key) & mask;
            gids[i] = loop {
                let slot = slots[at];
                if slot == 0 {
                    self.groups += 1;
                    slots[at] = self.groups as u32;
                    self.keys.push(key);
                    break self.groups as u32 - 1;
                }
                if self.keys[slot as usize - 1] == key {
                    break slot - 1;
                }
                at = (at + 1) & mask;
            };
        }
    }

    /// Keys of several words. `W`: words of a key, 0: `self.words`.
    fn probe<const W: usize>(&mut self, packed: &[u64], gids: &mut [u32]) {
        let w = self.words;
        let Slots::Hash { slots, shift } = &mut self.slots else { return };
        let (shift, mask, n) = (*shift, slots.len() - 1, gids.len());
        self.hashes.resize(n, 0);
        self.found.resize(n, 0);
        self.missed.resize(n, 0);
        let (hashes, found) = (&mut self.hashes[..n], &mut self.found[..n]);
        let missed = &mut self.missed[..n];
        let mut misses = 0;
        // An empty slot reads some group's key and misses by its number.
        let last = self.groups.wrapping_sub(1);
        let hit = |slot: u64, h: u64, i: usize| {
            let g = (slot as u32).wrapping_sub(1) as usize;
            tagged(slot, h) & equal::<W>(&self.keys, g.min(last), packed, i, w)
        };
        if self.groups == 0 {
            for (i, h) in hashes.iter_mut().enumerate() {
                *h = hash(key::<W>(packed, i, w));
                missed[i] = i as u32;
            }
            misses = n;
        } else {
            let far = slots.len() > NEAR;
            for start in (0..n + 2 * BLOCK).step_by(BLOCK) {
                for (i, h) in (start..).zip(block_mut(hashes, start)) {
                    *h = hash(key::<W>(packed, i, w));
                    if far {
                        prefetch(slots, h.wrapping_shr(shift) as usize);
                    }
                }
                let behind = start.wrapping_sub(BLOCK);
                let rows = block(hashes, behind).iter().zip(block_mut(found, behind));
                for ((h, f), g) in rows.zip(block_mut(gids, behind)) {
                    // The tag tells which of the slots has the key, but for chance.
                    let at = h.wrapping_shr(shift) as usize;
                    let mut slot = slots[at & mask];
                    for k in 1..=ROUNDS {
                        let next = slots[(at + k) & mask];
                        slot = if tagged(slot, *h) { slot } else { next };
                    }
                    (*f, *g) = (slot, (slot as u32).wrapping_sub(1));
                    if far {
                        prefetch(&self.keys, (*g as usize).min(last) * w);
                    }
                }
                let behind = behind.wrapping_sub(BLOCK);
                let rows = block(hashes, behind).iter().zip(block(found, behind));
                for (i, (h, slot)) in (behind..).zip(rows) {
                    missed[misses] = i as u32;
                    misses += usize::from(!hit(*slot, *h, i));
                }
            }
        }
        for i in &missed[..misses] {
            let i = *i as usize;
            let h = hashes[i];
            let mut at = h.wrapping_shr(shift) as usize;
            gids[i] = loop {
                let slot = slots[at];
                if slot == 0 {
                    self.groups += 1;
                    slots[at] = h << 32 | self.groups as u64;
                    self.keys.extend_from_slice(key::<W>(packed, i, w));
                    break self.groups as u32 - 1;
                }
                let g = slot as u32 - 1;
                if tagged(slot, h) && equal::<W>(&self.keys, g as usize, packed, i, w) {
                    break g;
                }
                at = (at + 1) & mask;
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn check(words: usize, bits: Option<u32>, codes: impl Fn(u64) -> u64, rows: u64) {
        let mut table = Table::new(words, bits, Vec::new(), 0);
        let mut want: HashMap<Vec<u64>, u32> = HashMap::new();
        let mut gids = Vec::new();
        for start in (0..rows).step_by(1000) {
            let keys: Vec<Vec<u64>> = (start..start + 1000)
                .map(|i| (0..words as u64).map(|k| codes(i) ^ (k << 50)).collect())
                .collect();
            table.group(&keys.concat(), keys.len(), &mut gids);
            for (key, g) in keys.into_iter().zip(&gids) {
                let next = want.len() as u32;
                assert_eq!(*want.entry(key).or_insert(next), *g);
            }
        }
        assert_eq!(table.groups(), want.len());
        for (key, g) in want {
            assert_eq!(table.keys()[g as usize * words..][..words], key);
        }
    }

    #[test]
    fn groups_are_numbered_by_first_appearance() {
        let mix = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
        for words in 1..=4 {
            check(words, None, |i| mix(i % 10), 3000);
            check(words, None, |i| mix(i % 4999), 20_000);
            check(words, None, mix, 60_000);
            // More slots than are near, and keys that come again.
            check(words, None, |i| mix(i * 7 % 50_000), 130_000);
        }
        check(1, Some(10), |i| mix(i) & 1023, 20_000);
    }

    #[test]
    fn a_table_that_fills_its_range_becomes_direct() {
        let mut table = Table::new(1, Some(20), Vec::new(), 0);
        assert!(matches!(table.slots, Slots::Word { .. }));
        let mut gids = Vec::new();
        for start in (0..1u64 << 20).step_by(1024) {
            let codes: Vec<u64> = (start..start + 1024).map(|i| i.reverse_bits() >> 44).collect();
            table.group(&codes, codes.len(), &mut gids);
            let want: Vec<u32> = (start..start + 1024).map(|i| i as u32).collect();
            assert_eq!(gids, want);
        }
        assert!(matches!(table.slots, Slots::Direct(_)));
        assert_eq!(table.groups(), 1 << 20);
    }
}
