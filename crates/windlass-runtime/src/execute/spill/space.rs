//! Which parts of a file are in use: extents are taken, given back, and taken again, so that a
//! file of results that come and go stays short, and the system's pages of it are used again.

use std::collections::{BTreeMap, BTreeSet};

/// Extents begin and end at pages: a write never touches a part of one that another has.
pub(super) const PAGE: u64 = 4096;

/// Bytes behind the last extent in use that are given back to the file system (a stated guess:
/// less is soon taken again).
const TAIL: u64 = 1 << 30;

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// The parts of a file.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// Length by offset; neighbours are one.
    free: BTreeMap<u64, u64>,
    /// The same as (length, offset).
    by_length: BTreeSet<(u64, u64)>,
    /// Where the file ends.
    end: u64,
}

impl Space {
    /// An extent of at least so many bytes: the shortest free one that has them, or behind all
    /// others.
    pub(super) fn take(&mut self, bytes: u64) -> Extent {
        let len = bytes.max(1).next_multiple_of(PAGE);
        if let Some(&(free, offset)) = self.by_length.range((len, 0)..).next() {
            self.remove(offset, free);
            if free > len {
                self.insert(offset + len, free - len);
            }
            return Extent { offset, len };
        }
        // A free extent at the end grows.
        let last = self.free.last_key_value().map(|(&o, &l)| (o, l));
        let offset = match last.filter(|(offset, len)| offset + len == self.end) {
            Some((offset, free)) => {
                self.remove(offset, free);
                offset
            }
            None => self.end,
        };
        self.end = offset + len;
        Extent { offset, len }
    }

    /// Gives an extent back. The length that the file may be cut to, if much of it is free.
    pub(super) fn give(&mut self, extent: Extent) -> Option<u64> {
        let Extent { mut offset, mut len } = extent;
        if let Some((&before, &free)) = self.free.range(..offset).next_back()
            && before + free == offset
        {
            self.remove(before, free);
            (offset, len) = (before, len + free);
        }
        if let Some(&free) = self.free.get(&(offset + len)) {
            self.remove(offset + len, free);
            len += free;
        }
        if offset + len == self.end && (offset == 0 || len > TAIL) {
            self.end = offset;
            return Some(offset);
        }
        self.insert(offset, len);
        None
    }

    /// Gives the end of an extent back, of which the first bytes are used.
    pub(super) fn shorten(&mut self, extent: &mut Extent, used: u64) {
        let kept = used.max(1).next_multiple_of(PAGE);
        if kept < extent.len {
            let rest = Extent { offset: extent.offset + kept, len: extent.len - kept };
            extent.len = kept;
            // The extent before it is in use, so nothing is cut but the end of the file, which
            // was not written.
            self.give(rest);
        }
    }

    fn insert(&mut self, offset: u64, len: u64) {
        self.free.insert(offset, len);
        self.by_length.insert((len, offset));
    }

    fn remove(&mut self, offset: u64, len: u64) {
        self.free.remove(&offset);
        self.by_length.remove(&(len, offset));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_are_used_again_and_neighbours_are_one() {
        let mut space = Space::default();
        let all: Vec<Extent> = [1, PAGE, PAGE + 1, 10].map(|n| space.take(n)).into();
        assert_eq!(all.iter().map(|e| e.len / PAGE).collect::<Vec<_>>(), [1, 1, 2, 1]);
        assert_eq!(space.give(all[0]), None);
        assert_eq!(space.give(all[2]), None);
        // The shortest that is long enough, then its rest.
        assert_eq!(space.take(2 * PAGE), all[2]);
        assert_eq!(space.take(5), all[0]);
        space.give(all[1]);
        space.give(all[0]);
        assert_eq!(space.take(2 * PAGE), Extent { offset: 0, len: 2 * PAGE });
        // Of an empty file nothing is left.
        space.give(Extent { offset: 0, len: 2 * PAGE });
        space.give(all[2]);
        assert_eq!(space.give(all[3]), Some(0));
        assert_eq!(space.end, 0);
    }

    #[test]
    fn the_end_of_the_file_grows_and_shrinks() {
        let mut space = Space::default();
        let mut first = space.take(10 * PAGE);
        space.shorten(&mut first, 3 * PAGE - 1);
        assert_eq!(first.len, 3 * PAGE);
        assert_eq!(space.take(20 * PAGE), Extent { offset: 3 * PAGE, len: 20 * PAGE });
        let large = space.take(2 * TAIL);
        assert_eq!(space.give(large), Some(23 * PAGE));
    }

    #[test]
    fn no_two_extents_in_use_overlap() {
        let mut space = Space::default();
        let mut used: Vec<Extent> = Vec::new();
        let mut seed = 7_u64;
        for _ in 0..5000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = seed >> 33;
            if random.is_multiple_of(3) && !used.is_empty() {
                let at = (random / 3) as usize % used.len();
                space.give(used.swap_remove(at));
            } else {
                let mut new = space.take(random % 100_000);
                space.shorten(&mut new, random % 50_000);
                let apart =
                    |e: &Extent| e.offset + e.len <= new.offset || new.offset + new.len <= e.offset;
                assert!(used.iter().all(apart), "{new:?} of {used:?}");
                assert!(new.offset + new.len <= space.end);
                used.push(new);
            }
        }
        let bytes: u64 = used.iter().map(|e| e.len).sum();
        let free: u64 = space.free.values().sum();
        assert_eq!(bytes + free, space.end);
        for extent in used.drain(..) {
            space.give(extent);
        }
        assert_eq!((space.end, space.free.len(), space.by_length.len()), (0, 0, 0));
    }
}
