//! The first rows of each group without a sort of all rows: the best of each group so far, by
//! group, in one pass over the rows.

use rayon::prelude::*;
use windlass_device::Reservation;

use super::{
    column::BLOCK,
    hold,
    pack::{Element, PIECE, Packing, row},
};
use crate::{cpu::tasks, error::Result};

/// Most rows of a group that are held in order by insertion. A guess: so many elements of 16
/// bytes are moved in about the time of one cache miss.
pub(super) const MOST_KEPT: usize = 32;

/// Bits of a group's key up to which its place in the table is the key itself: 2^18 groups of
/// two elements of 16 bytes are 8 MiB, some of which a third-level cache holds.
const DIRECT_BITS: u32 = 18;

/// Share of the rows that may be held before the pass is given up: a sort of all rows is then
/// not much more work. A guess.
const HELD_SHARE: usize = 2;

/// Bits of a packed element, from the highest: the group's, the order's, the row number's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) group_bits: u32,
    /// Bits of the order and of the row number.
    pub(super) below: u32,
    pub(super) row_bits: u32,
}

/// The rows that are among the first `k` of their group, in the order of their elements; `None`
/// where too many rows would be held. `k` is 1 to [`MOST_KEPT`], and no element has all bits set.
pub(super) fn first_of_groups<T: Element>(
    reservation: &mut Reservation,
    packing: Packing<'_>,
    fields: Fields,
    n: usize,
    k: usize,
) -> Result<Option<Vec<u32>>> {
    let pieces = n.div_ceil(PIECE);
    let tasks = rayon::current_num_threads().min(pieces).max(1);
    let per_task = pieces.div_ceil(tasks) * PIECE;
    let most_groups = (per_task / (HELD_SHARE * k)).max(1);
    let direct = is_direct(fields, most_groups);
    let slots = if direct { 1 << fields.group_bits } else { most_groups };
    // A place by hash takes two elements' room, and up to three of four are empty.
    let places = if direct { 0 } else { 8 * most_groups };
    let _held = hold::<T>(reservation, tasks.saturating_mul(slots * k + places))?;
    let tables = tasks::map(tasks, |task| {
        let (from, to) = ((task * per_task).min(n), ((task + 1) * per_task).min(n));
        let mut table = Table::new(fields, k, most_groups);
        let mut block = [T::default(); BLOCK];
        for at in (from..to).step_by(BLOCK) {
            let block = &mut block[..BLOCK.min(to - at)];
            packing.block(at, block);
            if !table.take(block) {
                return None;
            }
        }
        Some(table)
    });
    let tables: Option<Vec<Table<T>>> = tables.into_iter().collect();
    let Some(tables) = tables else { return Ok(None) };
    let mut all: Vec<T> = Vec::with_capacity(tables.iter().map(Table::len).sum());
    tables.into_iter().for_each(|table| table.rows_into(&mut all));
    all.par_sort_unstable();
    let mut first = Vec::with_capacity(all.len());
    let (mut group, mut rank) = (None, 0);
    for e in all {
        let this = Some(e.prefix_or_none(fields.below));
        rank = if this == group { rank + 1 } else { 0 };
        group = this;
        if rank < k {
            first.push(row(e, fields.row_bits));
        }
    }
    Ok(Some(first))
}

/// Whether a group's key is its place in the table.
fn is_direct(fields: Fields, most_groups: usize) -> bool {
    fields.group_bits <= DIRECT_BITS && 1 << fields.group_bits <= 2 * most_groups
}

/// The smallest elements of each group, ascending; the places not taken have all bits set.
struct Table<T> {
    fields: Fields,
    k: usize,
    most_groups: usize,
    best: Vec<T>,
    groups: usize,
    /// By hash: a group's key and its number above it; `None` where the key is the number.
    places: Option<Vec<(T, u32)>>,
}

/// The number of a place that no group has.
const FREE: u32 = u32::MAX;

impl<T: Element> Table<T> {
    fn new(fields: Fields, k: usize, most_groups: usize) -> Self {
        let direct = is_direct(fields, most_groups);
        let best = if direct { vec![T::ALL; k << fields.group_bits] } else { Vec::new() };
        let places =
            (!direct).then(|| vec![(T::default(), FREE); (2 * most_groups).next_power_of_two()]);
        Self { fields, k, most_groups, best, groups: 0, places }
    }

    /// Takes elements in; false when there are too many groups.
    fn take(&mut self, block: &[T]) -> bool {
        let k = self.k;
        for e in block {
            let Some(group) = self.group(*e) else { return false };
            let best = &mut self.best[group * k..(group + 1) * k];
            if *e < best[k - 1] {
                let at = best.partition_point(|b| b < e);
                best[at..].rotate_right(1);
                best[at] = *e;
            }
        }
        true
    }

    /// The number of an element's group.
    fn group(&mut self, e: T) -> Option<usize> {
        let key = e.prefix_or_none(self.fields.below);
        let Some(places) = &mut self.places else { return Some(key.low32() as usize) };
        let mask = places.len() - 1;
        let mut at = (key.mixed() >> 32) as usize & mask;
        loop {
            let (found, number) = places[at];
            if number == FREE {
                if self.groups == self.most_groups {
                    return None;
                }
                places[at] = (key, self.groups as u32);
                self.best.resize(self.best.len() + self.k, T::ALL);
                self.groups += 1;
                return Some(self.groups - 1);
            }
            if found == key {
                return Some(number as usize);
            }
            at = (at + 1) & mask;
        }
    }

    fn len(&self) -> usize {
        self.best.iter().filter(|e| **e != T::ALL).count()
    }

    fn rows_into(self, out: &mut Vec<T>) {
        out.extend(self.best.into_iter().filter(|e| *e != T::ALL));
    }
}
