//! Values that are kept, with their groups, until the end of a group-by: for distinct counts
//! and quantiles, which no state of fixed size gives.
//!
//! Values are kept as unsigned codes in their order, in the order of their rows. At the end,
//! and where parts are put together, they are brought into the order of their groups by a
//! counting sort; a group's quantile is then a selection (Hoare's "Find", 1961, as the
//! standard library has it), a distinct count a sort of its values.

use std::ops::Range;

use arrow::array::ArrayRef;
use rayon::prelude::*;

use super::{
    arrays::{array, decimals, nulls},
    state::{Gids, order32, order64},
};
use crate::{aggregate::Share, cpu::pipeline::Values, types::PhysType};

/// Values at which repeated ones of a distinct count are dropped for the first time, a guess:
/// they take as much memory as a core's second-level cache.
const FIRST_COMPACTION: usize = 1 << 17;

/// Values under which one thread works at the end: less than a millisecond (a guess).
const SERIAL_VALUES: usize = 1 << 16;

/// Codes of one width with their groups.
#[derive(Debug)]
struct Log<T> {
    /// Whether values have groups; without keys all are of group 0.
    keyed: bool,
    /// The group of each value; empty with no keys, and while they are in order of groups.
    gids: Vec<u32>,
    values: Vec<T>,
    /// Where each group's values begin, and the end, once they are in order of groups.
    starts: Vec<usize>,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { keyed: false, gids: Vec::new(), values: Vec::new(), starts: Vec::new() }
    }
}

impl<T: Copy + Default + Ord + Send + Sync> Log<T> {
    fn bytes(&self) -> usize {
        self.gids.capacity() * 4
            + self.values.capacity() * size_of::<T>()
            + self.starts.capacity() * size_of::<usize>()
    }

    fn push(&mut self, gids: Gids<'_>, values: impl Iterator<Item = T>, mask: Option<&[u8]>) {
        self.unsettle();
        self.keyed |= !matches!(gids, Gids::One);
        match (gids, mask) {
            (Gids::One, None) => self.values.extend(values),
            (Gids::One, Some(m)) => {
                self.values.extend(values.zip(m).filter(|(_, m)| **m != 0).map(|(v, _)| v));
            }
            (Gids::Many(g) | Gids::Runs { gids: g, .. }, None) => {
                self.gids.extend_from_slice(g);
                self.values.extend(values);
            }
            (Gids::Many(g) | Gids::Runs { gids: g, .. }, Some(m)) => {
                for ((v, g), _) in values.zip(g).zip(m).filter(|(_, m)| **m != 0) {
                    self.gids.push(*g);
                    self.values.push(v);
                }
            }
        }
    }

    /// Brings the values into the order of their groups.
    fn settle(&mut self, groups: usize) {
        if !self.starts.is_empty() {
            self.starts.resize(groups + 1, self.values.len());
            return;
        }
        if !self.keyed {
            self.starts = vec![self.values.len(); groups + 1];
            self.starts[0] = 0;
            return;
        }
        let mut starts = vec![0; groups + 1];
        self.gids.iter().for_each(|g| starts[*g as usize + 1] += 1);
        (0..groups).for_each(|g| starts[g + 1] += starts[g]);
        let mut next = starts.clone();
        let mut values = vec![T::default(); self.values.len()];
        for (g, v) in self.gids.iter().zip(&self.values) {
            let at = &mut next[*g as usize];
            values[*at] = *v;
            *at += 1;
        }
        (self.values, self.starts) = (values, starts);
        self.gids = Vec::new();
    }

    /// Takes in groups `rows` of another log, which is settled, as groups `gids`.
    fn merge(&mut self, gids: Gids<'_>, other: &Self, rows: Range<usize>) {
        self.unsettle();
        self.keyed |= !matches!(gids, Gids::One);
        let all = other.starts[rows.start]..other.starts[rows.end];
        self.values.extend_from_slice(&other.values[all]);
        if let Gids::Many(gids) | Gids::Runs { gids, .. } = gids {
            for (g, group) in gids.iter().zip(rows) {
                let count = other.starts[group + 1] - other.starts[group];
                self.gids.extend(std::iter::repeat_n(*g, count));
            }
        }
    }

    /// Group numbers again for each value, so that more can follow.
    fn unsettle(&mut self) {
        let starts = std::mem::take(&mut self.starts);
        if self.keyed {
            for (g, pair) in (0u32..).zip(starts.windows(2)) {
                self.gids.extend(std::iter::repeat_n(g, pair[1] - pair[0]));
            }
        }
    }

    /// A settled log with group `g` moved to `to[g]`; settled.
    fn scattered(&self, to: &[u32]) -> Self {
        let mut from = vec![0u32; to.len()];
        to.iter().zip(0..).for_each(|(at, g)| from[*at as usize] = g);
        let mut values = Vec::with_capacity(self.values.len());
        let mut starts = Vec::with_capacity(to.len() + 1);
        starts.push(0);
        for g in from {
            let g = g as usize;
            values.extend_from_slice(&self.values[self.starts[g]..self.starts[g + 1]]);
            starts.push(values.len());
        }
        Self { keyed: true, gids: Vec::new(), values, starts }
    }

    /// The result of `f` for the values of each group of a settled log, on all cores.
    fn each<R: Send>(&mut self, f: impl Fn(&mut [T]) -> R + Send + Sync) -> Vec<R> {
        let mut groups = Vec::with_capacity(self.starts.len());
        let mut rest = &mut self.values[..];
        for pair in self.starts.windows(2) {
            let (group, after) = rest.split_at_mut(pair[1] - pair[0]);
            groups.push(group);
            rest = after;
        }
        if self.starts.last().is_some_and(|n| *n < SERIAL_VALUES) {
            return groups.into_iter().map(f).collect();
        }
        groups.into_par_iter().map(f).collect()
    }

    /// Drops values that a group has already; settles.
    fn compact(&mut self, groups: usize) {
        self.settle(groups);
        let counts = self.each(distinct);
        let (mut to, mut starts) = (0, vec![0]);
        for (g, count) in counts.into_iter().enumerate() {
            let from = self.starts[g];
            self.values.copy_within(from..from + count, to);
            to += count;
            starts.push(to);
        }
        self.values.truncate(to);
        self.starts = starts;
    }
}

/// Sorts the values, brings the different ones to the front; returns their number.
fn distinct<T: Ord + Copy + Send>(values: &mut [T]) -> usize {
    match values.len() < SERIAL_VALUES {
        true => values.sort_unstable(),
        false => values.par_sort_unstable(),
    }
    let mut n = 0;
    for i in 0..values.len() {
        if n == 0 || values[i] != values[n - 1] {
            values[n] = values[i];
            n += 1;
        }
    }
    n
}

/// The number of values and the two around a share.
fn around<T: Ord + Copy + Default>(values: &mut [T], share: Share) -> (i64, T, T) {
    let n = values.len();
    if n == 0 {
        return (0, T::default(), T::default());
    }
    let (low, high) = share.places(n);
    let (_, lower, after) = values.select_nth_unstable(low);
    let lower = *lower;
    let upper = if high == low { lower } else { after.iter().copied().min().unwrap_or(lower) };
    (n as i64, lower, upper)
}

/// Codes of up to 64 bits, or of 128.
#[derive(Debug)]
enum Codes {
    Narrow(Log<u64>),
    Wide(Log<u128>),
}

/// The kept values of one aggregate.
#[derive(Debug)]
pub(super) struct Kept {
    ty: PhysType,
    codes: Codes,
    /// Values of a distinct count at which repeated ones are dropped.
    compact_at: usize,
}

macro_rules! log {
    ($kept:expr, $log:ident => $body:expr) => {
        match $kept {
            Codes::Narrow($log) => $body,
            Codes::Wide($log) => $body,
        }
    };
}

/// The code of a signed integer.
#[inline]
fn signed(x: i64) -> u64 {
    x as u64 ^ 1 << 63
}

impl Kept {
    pub(super) fn new(ty: PhysType) -> Self {
        let codes = match ty {
            PhysType::I128 => Codes::Wide(Log::default()),
            _ => Codes::Narrow(Log::default()),
        };
        Self { ty, codes, compact_at: FIRST_COMPACTION }
    }

    /// Bytes of memory held.
    pub(super) fn bytes(&self) -> usize {
        log!(&self.codes, l => l.bytes())
    }

    /// Number of values held.
    pub(super) fn len(&self) -> usize {
        log!(&self.codes, l => l.values.len())
    }

    pub(super) fn shrink(&mut self) {
        log!(&mut self.codes, l => {
            l.gids.shrink_to_fit();
            l.values.shrink_to_fit();
        });
    }

    /// Takes in the rows of a chunk that `mask` keeps.
    pub(super) fn update(&mut self, gids: Gids<'_>, values: Values<'_>, mask: Option<&[u8]>) {
        let log = match (&mut self.codes, values) {
            (Codes::Wide(log), Values::I128(s)) => {
                return log.push(gids, s.iter().map(|x| *x as u128 ^ 1 << 127), mask);
            }
            (Codes::Narrow(log), _) => log,
            (codes, values) => unreachable!("made for the type: {codes:?} of {values:?}"),
        };
        macro_rules! push {
            ($s:expr, $f:expr) => {
                log.push(gids, $s.iter().map($f), mask)
            };
        }
        match values {
            Values::Bool(s) | Values::U8(s) => push!(s, |x| u64::from(*x)),
            Values::U16(s) => push!(s, |x| u64::from(*x)),
            Values::U32(s) => push!(s, |x| u64::from(*x)),
            Values::U64(s) => push!(s, |x| *x),
            Values::I8(s) => push!(s, |x| signed(i64::from(*x))),
            Values::I16(s) => push!(s, |x| signed(i64::from(*x))),
            Values::I32(s) => push!(s, |x| signed(i64::from(*x))),
            Values::I64(s) => push!(s, |x| signed(*x)),
            Values::F32(s) => push!(s, |x| signed(i64::from(order32(x.to_bits() as i32)))),
            Values::F64(s) => push!(s, |x| signed(order64(x.to_bits() as i64))),
            Values::I128(_) => unreachable!("of wide codes"),
        }
    }

    /// Drops repeated values of a distinct count over `groups` groups, from time to time: as
    /// many again as were left the last time, and more than groups, so that the work stays
    /// in proportion to the rows.
    pub(super) fn compact(&mut self, groups: usize) {
        if self.len() < self.compact_at.max(groups) {
            return;
        }
        log!(&mut self.codes, l => l.compact(groups));
        self.compact_at = FIRST_COMPACTION.max(self.len() * 2);
    }

    /// Brings the values into the order of their groups.
    pub(super) fn settle(&mut self, groups: usize) {
        log!(&mut self.codes, l => l.settle(groups));
    }

    /// Takes in groups `rows` of `other`, which is settled, as groups `gids`.
    pub(super) fn merge(&mut self, gids: Gids<'_>, other: &Self, rows: Range<usize>) {
        match (&mut self.codes, &other.codes) {
            (Codes::Narrow(l), Codes::Narrow(o)) => l.merge(gids, o, rows),
            (Codes::Wide(l), Codes::Wide(o)) => l.merge(gids, o, rows),
            _ => unreachable!("merge of one plan's states"),
        }
    }

    /// Group `g` moves to `to[g]`.
    pub(super) fn scattered(&self, to: &[u32]) -> Self {
        let codes = match &self.codes {
            Codes::Narrow(l) => Codes::Narrow(l.scattered(to)),
            Codes::Wide(l) => Codes::Wide(l.scattered(to)),
        };
        Self { ty: self.ty, codes, compact_at: self.compact_at }
    }

    /// The number of different values of each group.
    pub(super) fn distinct(mut self, groups: usize) -> Vec<ArrayRef> {
        self.settle(groups);
        let counts = log!(&mut self.codes, l => l.each(|v| distinct(v) as i64));
        vec![array(PhysType::I64, counts, None)]
    }

    /// The number of values of each group and those around a share.
    pub(super) fn quantile(mut self, groups: usize, share: Share) -> Vec<ArrayRef> {
        self.settle(groups);
        let ty = self.ty;
        match &mut self.codes {
            Codes::Narrow(log) => {
                let found = log.each(|v| around(v, share));
                let value = |code: u64| match ty {
                    PhysType::F64 => order64(signed(code as i64) as i64),
                    PhysType::F32 => i64::from(order32(signed(code as i64) as i32)),
                    _ if ty.is_signed() => signed(code as i64) as i64,
                    _ => code as i64,
                };
                finish(found, |codes, valid| {
                    array(ty, codes.into_iter().map(value).collect(), valid)
                })
            }
            Codes::Wide(log) => {
                let found = log.each(|v| around(v, share));
                finish(found, |codes, valid| {
                    decimals(codes.into_iter().map(|c| (c ^ 1 << 127) as i128).collect(), valid)
                })
            }
        }
    }
}

/// The arrays of counts and of both values, null where the count is 0.
fn finish<T: Copy>(
    found: Vec<(i64, T, T)>,
    values: impl Fn(Vec<T>, Option<arrow::buffer::NullBuffer>) -> ArrayRef,
) -> Vec<ArrayRef> {
    let held: Vec<u8> = found.iter().map(|f| u8::from(f.0 > 0)).collect();
    let valid = held.contains(&0).then(|| nulls(&held));
    vec![
        array(PhysType::I64, found.iter().map(|f| f.0).collect(), None),
        values(found.iter().map(|f| f.1).collect(), valid.clone()),
        values(found.iter().map(|f| f.2).collect(), valid),
    ]
}
