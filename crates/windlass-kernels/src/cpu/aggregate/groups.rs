//! The groups found so far: keys, states, and their share of the memory pool.

use std::{ops::Range, sync::Arc};

use arrow::array::{ArrayRef, Int64Array};
use windlass_device::Reservation;

use super::{
    fold,
    layout::Layout,
    pick::Picked,
    state::{Gids, States},
    table::{Lookup, Table},
};
use crate::{
    aggregate::{AggregateCall, GroupByPlan, GroupByResult, MAX_ORDER_KEYS},
    cpu::pipeline::{Chunk, Values},
    error::Result,
    types::PhysType,
};

/// Rows of a run, on average in a chunk, from which on states are updated run by run. A guess:
/// the end of a short loop is a branch that the processor guesses wrong.
const LEAST_RUN: usize = 4;

/// Where a chunk has an aggregate's argument and filter.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallColumns {
    pub(super) argument: Option<usize>,
    pub(super) other: Option<usize>,
    pub(super) filter: Option<usize>,
    pub(super) order: [Option<usize>; MAX_ORDER_KEYS],
}

/// Groups with their states: a whole result, or one part of it that [`super::merge()`] puts
/// together with others of the same plan.
#[derive(Debug)]
pub struct Groups {
    pub(super) types: Vec<PhysType>,
    pub(super) keys: Option<Keys>,
    pub(super) states: Vec<States>,
    /// Rows of each group; kept where some aggregate counts.
    pub(super) rows: Option<Vec<i64>>,
    pub(super) reservation: Reservation,
    gids: Vec<u32>,
    mask: Vec<u8>,
    /// Bytes reserved.
    held: usize,
}

/// The keys of a group-by that has some.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) layout: Layout,
    pub(super) table: Table,
    lookup: Lookup,
    packed: Vec<u64>,
}

impl Keys {
    /// No groups yet, `expected` to come.
    pub(super) fn new(layout: Layout, expected: usize, lookup: Lookup) -> Self {
        let table = Self::table(&layout, Vec::new(), expected, lookup);
        Self { layout, table, lookup, packed: Vec::new() }
    }

    /// A table of packed keys.
    fn table(layout: &Layout, keys: Vec<u64>, expected: usize, lookup: Lookup) -> Table {
        match lookup {
            Lookup::Indexed => Table::new(layout.words(), layout.bits(), keys, expected),
            Lookup::Hashed => Table::new(layout.words(), None, keys, expected),
            Lookup::Runs => Table::of_runs(layout.words(), keys),
        }
    }

    /// The groups of a chunk's rows, which are `gids`: run by run where runs are long enough.
    fn of_rows<'a>(&'a self, gids: &'a [u32]) -> Gids<'a> {
        match self.table.run_starts() {
            Some(starts) if (starts.len() - 1) * LEAST_RUN <= gids.len() => {
                Gids::Runs { gids, starts }
            }
            _ => Gids::Many(gids),
        }
    }

    /// Finds or makes the groups of a chunk, whose first columns are the keys.
    fn group(&mut self, chunk: &Chunk<'_, '_>, keys: usize, gids: &mut Vec<u32>) {
        let n = chunk.rows();
        let fits = |layout: &Layout, packed: &mut Vec<u64>| {
            if !layout.is_one_word() {
                packed.clear();
            }
            packed.resize(n * layout.words(), 0);
            (0..keys).all(|k| layout.pack_keys(k, chunk.values(k), chunk.valid(k), packed))
        };
        if !fits(&self.layout, &mut self.packed) {
            let mut ranges = self.layout.ranges();
            for (k, range) in ranges.iter_mut().enumerate() {
                range.observe(chunk.values(k), chunk.valid(k));
            }
            let wider = Layout::new(&ranges);
            let recoded = self.layout.recode(self.table.keys(), &wider);
            let (expected, lookup) = (self.table.expected(), self.lookup);
            self.table = Self::table(&wider, recoded, expected, lookup);
            self.layout = wider;
            let fitted = fits(&self.layout, &mut self.packed);
            debug_assert!(fitted, "the layout was made for these values");
        }
        self.table.group(&self.packed, n, gids);
    }
}

impl Groups {
    /// No groups yet; with no keys the one group.
    pub(super) fn new(plan: &GroupByPlan, keys: Option<Keys>, reservation: Reservation) -> Self {
        let types = plan.keys.iter().map(|k| plan.program.ty(*k)).collect();
        let argument = |c: &AggregateCall| c.argument.map(|a| plan.program.ty(a));
        let mut states: Vec<_> =
            plan.calls.iter().map(|c| States::new(c.accumulator, argument(c))).collect();
        let mut rows = states.iter().any(States::counts_rows).then(Vec::new);
        if keys.is_none() {
            states.iter_mut().for_each(States::add_empty_group);
            rows.iter_mut().for_each(|r| r.push(0));
        }
        let (gids, mask) = Default::default();
        Self { types, keys, states, rows, reservation, gids, mask, held: 0 }
    }

    /// Number of groups; 1 with no keys.
    pub fn len(&self) -> usize {
        self.keys.as_ref().map_or(1, |k| k.table.groups())
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        let keys = self.keys.as_ref().map_or(0, |k| k.table.bytes() + k.packed.capacity() * 8);
        let states: usize = self.states.iter().map(States::bytes).sum();
        let rows = self.rows.as_ref().map_or(0, |r| r.capacity() * 8);
        keys + states + rows + self.gids.capacity() * 4 + self.mask.capacity()
    }

    /// Makes the reservation as large as the memory held. Called once a chunk, so memory
    /// may pass the cap by one doubling of a vector before the refusal.
    pub(super) fn account(&mut self) -> Result<()> {
        let now = self.bytes();
        if now > self.held {
            self.reservation.grow(now - self.held)?;
            self.held = now;
        }
        Ok(())
    }

    /// Aggregates the rows of a chunk: its first columns are the keys.
    pub(super) fn add(&mut self, chunk: &Chunk<'_, '_>, calls: &[CallColumns]) -> Result<()> {
        let (n, keys) = (chunk.rows(), self.types.len());
        if let Some(k) = &mut self.keys {
            k.group(chunk, keys, &mut self.gids);
        }
        let gids = self.keys.as_ref().map_or(Gids::One, |k| k.of_rows(&self.gids));
        let groups = self.keys.as_ref().map_or(1, |k| k.table.groups());
        if let Some(rows) = &mut self.rows {
            fold::count_rows(rows, groups, gids, n);
        }
        for (states, call) in self.states.iter_mut().zip(calls) {
            let values = call.argument.map(|a| chunk.values(a));
            let other = call.other.map(|a| chunk.values(a));
            let valid = call.argument.and_then(|a| chunk.valid(a));
            // A row counts where all of these are 1.
            let pass = match call.filter.map(|f| chunk.values(f)) {
                None => None,
                Some(Values::Bool(pass)) => Some(pass),
                Some(_) => continue,
            };
            let of_filter = call.filter.and_then(|f| chunk.valid(f));
            let of_other = call.other.and_then(|a| chunk.valid(a));
            let present = valid.filter(|_| !states.takes_nulls());
            let mut masks = [pass, of_filter, present, of_other].into_iter().flatten();
            let mask = match (masks.next(), masks.next()) {
                (first, None) => first,
                (Some(first), Some(second)) => {
                    self.mask.clear();
                    self.mask.extend_from_slice(first);
                    for other in std::iter::once(second).chain(masks) {
                        self.mask.iter_mut().zip(other).for_each(|(m, o)| *m &= o);
                    }
                    Some(&self.mask[..])
                }
                (None, Some(_)) => unreachable!("the first comes first"),
            };
            if let Some(values) = values.filter(|_| states.picks()) {
                let column = |at: usize| (chunk.values(at), chunk.valid(at));
                let order = call.order.map(|at| at.map(column));
                let picked = Picked { argument: (values, valid), order, rows: n };
                states.pick(groups, gids, &picked, mask);
            } else {
                states.update(groups, gids, (values, other), mask);
            }
        }
        self.account()
    }

    /// Brings kept values into the order of their groups, for [`Groups::absorb`] by another.
    pub(super) fn settle(&mut self) {
        let groups = self.len();
        self.states.iter_mut().for_each(|s| s.settle(groups));
    }

    /// Ends lookups, which frees the table, and reserves what is left.
    pub(super) fn close(&mut self) -> Result<()> {
        if let Some(k) = &mut self.keys {
            k.table.close();
            k.packed = Vec::new();
        }
        (self.gids, self.mask) = Default::default();
        self.states.iter_mut().for_each(States::shrink);
        self.rows.iter_mut().for_each(Vec::shrink_to_fit);
        self.held = self.bytes();
        let pool = Arc::clone(self.reservation.pool());
        self.reservation = pool.reserve(0)?;
        self.reservation.grow(self.held)?;
        Ok(())
    }

    /// The packed keys in another layout, which holds at least this one's ranges.
    pub(super) fn recoded(&mut self, layout: &Layout) -> Vec<u64> {
        match self.keys.take() {
            None => Vec::new(),
            Some(k) if k.layout == *layout => k.table.into_keys(),
            Some(k) => k.layout.recode(k.table.keys(), layout),
        }
    }

    /// Takes in groups `range` of another part, given its states and counts of rows, and the
    /// keys of the range packed in this one's layout.
    pub(super) fn absorb(
        &mut self,
        states: &[States],
        rows: Option<&[i64]>,
        range: Range<usize>,
        packed: &[u64],
    ) -> Result<()> {
        let gids = match &mut self.keys {
            None => Gids::One,
            Some(k) => {
                k.table.group(packed, range.len(), &mut self.gids);
                Gids::Many(&self.gids)
            }
        };
        let groups = self.keys.as_ref().map_or(1, |k| k.table.groups());
        if let (Some(to), Some(from)) = (&mut self.rows, rows) {
            fold::merge_rows(to, groups, gids, &from[range.clone()]);
        }
        for (to, from) in self.states.iter_mut().zip(states) {
            to.merge(groups, gids, from, range.clone());
        }
        self.account()
    }

    /// Moves all groups but the last, which may go on, out of the groups of sorted rows; `None`
    /// where there are none.
    pub(super) fn take_complete(&mut self, plan: &GroupByPlan) -> Result<Option<GroupByResult>> {
        let Some(last) = self.len().checked_sub(1).filter(|n| *n > 0) else { return Ok(None) };
        let Some(keys) = self.keys.as_ref().filter(|k| k.lookup == Lookup::Runs) else {
            return Ok(None);
        };
        let (layout, w) = (keys.layout.clone(), keys.layout.words());
        let packed = keys.table.keys()[last * w..].to_vec();
        let reservation = self.reservation.pool().reserve(0)?;
        let fresh = Self::new(plan, Some(Keys::new(layout, 0, Lookup::Runs)), reservation);
        self.settle();
        let done = std::mem::replace(self, fresh);
        self.absorb(&done.states, done.rows.as_deref(), last..last + 1, &packed)?;
        let GroupByResult { keys, states, .. } = done.into_result();
        let cut = |arrays: Vec<ArrayRef>| -> Vec<ArrayRef> {
            arrays.iter().map(|a| a.slice(0, last)).collect()
        };
        let states = states.into_iter().map(cut).collect();
        Ok(Some(GroupByResult { groups: last, keys: cut(keys), states }))
    }

    /// The groups as host arrays.
    pub fn into_result(self) -> GroupByResult {
        let groups = self.len();
        let keys = self.keys.map_or_else(Vec::new, |k| {
            let packed = k.table.into_keys();
            (0..self.types.len()).map(|i| k.layout.array(i, &packed)).collect()
        });
        let rows = Arc::new(Int64Array::from(self.rows.unwrap_or_default()));
        let states = self.states.into_iter().map(|s| s.finish(&rows)).collect();
        GroupByResult { groups, keys, states }
    }
}
