//! The accumulators: one vector of states for each aggregate, indexed by group number. An
//! update is one typed loop over a chunk.

use std::{ops::Range, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, Int64Array};

use super::{
    arrays::{array, decimals, nulls},
    fold::{bits, fold, merge_moments, moments, scatter, signed, sum_float, unsigned},
    kept::Kept,
    pairs::Pairs,
    pick::{Picked, Picks},
};
use crate::{
    aggregate::{Accumulator, BitOp, Share},
    cpu::pipeline::Values,
    types::PhysType,
};

/// The groups of a chunk's rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gids<'a> {
    /// All rows are of group 0.
    One,
    /// The group of each row.
    Many(&'a [u32]),
    /// The same, of rows whose equal keys are neighbours: where each group's rows begin, and the
    /// end.
    Runs { gids: &'a [u32], starts: &'a [u32] },
}

/// Which groups have had an argument; kept from the first row that was skipped on.
#[derive(Debug, Default)]
struct Seen(Option<Vec<u8>>);

/// The states of one aggregate.
#[derive(Debug)]
pub(super) struct States {
    argument: Option<PhysType>,
    groups: usize,
    seen: Seen,
    kind: Kind,
}

/// States in the type that they are computed in; extremes of floats as the integers that
/// compare as totalOrder does.
#[derive(Debug)]
enum Kind {
    /// Rows of each group that do not count, as far as there are some: most counts have none,
    /// and all of them share the one count of rows that is kept beside the states.
    Count {
        missed: Vec<i64>,
    },
    /// Sums of `I64` and `U64`, modulo 2^64.
    Sum(Vec<i64>),
    SumWide(Vec<i128>),
    SumFloat(Vec<f64>),
    Signed(Vec<i64>, Extreme),
    Unsigned(Vec<u64>, Extreme),
    Wide(Vec<i128>, Extreme),
    Moments {
        count: Vec<i64>,
        mean: Vec<f64>,
        m2: Vec<f64>,
    },
    Pairs(Pairs),
    Bits(Vec<u64>, BitOp),
    Distinct(Kept),
    Quantile(Kept, Share),
    Pick(Picks),
}

/// Two values' bits by an operation.
#[inline]
fn combined(op: BitOp, a: u64, b: u64) -> u64 {
    match op {
        BitOp::And => a & b,
        BitOp::Or => a | b,
        BitOp::Xor => a ^ b,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extreme {
    Min,
    Max,
}

impl Extreme {
    /// The state of a group with no argument.
    fn start<T: Copy>(self, min: T, max: T) -> T {
        if self == Self::Min { max } else { min }
    }

    #[inline]
    pub(super) fn of<T: Ord>(self, a: T, b: T) -> T {
        if self == Self::Min { a.min(b) } else { a.max(b) }
    }
}

/// Keys of a float that compare as IEEE 754 totalOrder does; its own inverse.
#[inline]
pub(super) fn order64(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// As [`order64`].
#[inline]
pub(super) fn order32(bits: i32) -> i32 {
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

impl States {
    /// No groups yet.
    pub(super) fn new(accumulator: Accumulator, argument: Option<PhysType>) -> Self {
        use PhysType as T;
        let extreme = |e: Extreme| match argument {
            Some(T::U8 | T::U16 | T::U32 | T::U64) => Kind::Unsigned(Vec::new(), e),
            Some(T::I128) => Kind::Wide(Vec::new(), e),
            _ => Kind::Signed(Vec::new(), e),
        };
        let kind = match (accumulator, argument) {
            (Accumulator::CountRows | Accumulator::Count, _) => Kind::Count { missed: Vec::new() },
            (Accumulator::Sum { wide: true }, _) | (Accumulator::Sum { .. }, Some(T::I128)) => {
                Kind::SumWide(Vec::new())
            }
            (Accumulator::Sum { .. }, Some(T::F32 | T::F64)) => Kind::SumFloat(Vec::new()),
            (Accumulator::Sum { .. }, _) => Kind::Sum(Vec::new()),
            (Accumulator::Min, _) => extreme(Extreme::Min),
            (Accumulator::Max, _) => extreme(Extreme::Max),
            (Accumulator::Moments, _) => {
                Kind::Moments { count: Vec::new(), mean: Vec::new(), m2: Vec::new() }
            }
            (Accumulator::CoMoments { .. }, _) => Kind::Pairs(Pairs::default()),
            (Accumulator::Bits(op), _) => Kind::Bits(Vec::new(), op),
            (Accumulator::Distinct, ty) => Kind::Distinct(Kept::new(ty.unwrap_or(T::I64))),
            (Accumulator::Quantile(share), ty) => {
                Kind::Quantile(Kept::new(ty.unwrap_or(T::I64)), share)
            }
            (Accumulator::Pick { last, ignore_nulls, order }, ty) => {
                Kind::Pick(Picks::new(ty.unwrap_or(T::I64), last, ignore_nulls, order))
            }
        };
        Self { argument, groups: 0, seen: Seen::default(), kind }
    }

    /// Whether it needs the count of the rows of each group.
    pub(super) fn counts_rows(&self) -> bool {
        matches!(self.kind, Kind::Count { .. })
    }

    /// Whether groups without an argument are told apart by [`Seen`].
    fn marks(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Count { .. }
                | Kind::Moments { .. }
                | Kind::Pairs(_)
                | Kind::Distinct(_)
                | Kind::Quantile(..)
                | Kind::Pick(_)
        )
    }

    /// Whether it picks a row, see [`States::pick`].
    pub(super) fn picks(&self) -> bool {
        matches!(self.kind, Kind::Pick(_))
    }

    /// Whether a row counts whose argument is null.
    pub(super) fn takes_nulls(&self) -> bool {
        matches!(&self.kind, Kind::Pick(picks) if !picks.ignores_nulls())
    }

    /// Number of values that are kept until the end.
    pub(super) fn kept(&self) -> usize {
        match &self.kind {
            Kind::Distinct(k) | Kind::Quantile(k, _) => k.len(),
            _ => 0,
        }
    }

    /// Brings kept values into the order of their groups.
    pub(super) fn settle(&mut self, groups: usize) {
        if let Kind::Distinct(k) | Kind::Quantile(k, _) = &mut self.kind {
            k.settle(groups);
        }
    }

    /// Bytes of memory held.
    pub(super) fn bytes(&self) -> usize {
        let states = match &self.kind {
            Kind::Count { missed: v } | Kind::Sum(v) | Kind::Signed(v, _) => v.capacity() * 8,
            Kind::Unsigned(v, _) | Kind::Bits(v, _) => v.capacity() * 8,
            Kind::Pairs(pairs) => pairs.bytes(),
            Kind::Pick(picks) => picks.bytes(),
            Kind::Distinct(k) | Kind::Quantile(k, _) => k.bytes(),
            Kind::SumFloat(v) => v.capacity() * 8,
            Kind::SumWide(v) | Kind::Wide(v, _) => v.capacity() * 16,
            Kind::Moments { count, mean, m2 } => {
                (count.capacity() + mean.capacity() + m2.capacity()) * 8
            }
        };
        states + self.seen.0.as_ref().map_or(0, Vec::capacity)
    }

    /// Gives back memory kept for more groups.
    pub(super) fn shrink(&mut self) {
        match &mut self.kind {
            Kind::Count { missed: v } | Kind::Sum(v) | Kind::Signed(v, _) => v.shrink_to_fit(),
            Kind::Unsigned(v, _) | Kind::Bits(v, _) => v.shrink_to_fit(),
            Kind::Pairs(pairs) => pairs.shrink(),
            Kind::Pick(picks) => picks.shrink(),
            Kind::Distinct(k) | Kind::Quantile(k, _) => k.shrink(),
            Kind::SumFloat(v) => v.shrink_to_fit(),
            Kind::SumWide(v) | Kind::Wide(v, _) => v.shrink_to_fit(),
            Kind::Moments { count, mean, m2 } => {
                count.shrink_to_fit();
                mean.shrink_to_fit();
                m2.shrink_to_fit();
            }
        }
    }

    /// The one group of a group-by with no keys, before any row.
    pub(super) fn add_empty_group(&mut self) {
        self.seen.0.get_or_insert_default().push(0);
        self.grow(1);
    }

    fn grow(&mut self, groups: usize) {
        self.groups = groups;
        match &mut self.kind {
            Kind::Count { .. } | Kind::Distinct(_) | Kind::Quantile(..) => {}
            Kind::Pairs(pairs) => pairs.grow(groups),
            Kind::Pick(picks) => picks.grow(groups),
            Kind::Bits(v, BitOp::And) => v.resize(groups, u64::MAX),
            Kind::Bits(v, BitOp::Or | BitOp::Xor) => v.resize(groups, 0),
            Kind::Sum(v) => v.resize(groups, 0),
            Kind::SumWide(v) => v.resize(groups, 0),
            Kind::SumFloat(v) => v.resize(groups, 0.0),
            Kind::Signed(v, e) => v.resize(groups, e.start(i64::MIN, i64::MAX)),
            Kind::Unsigned(v, e) => v.resize(groups, e.start(u64::MIN, u64::MAX)),
            Kind::Wide(v, e) => v.resize(groups, e.start(i128::MIN, i128::MAX)),
            Kind::Moments { count, mean, m2 } => {
                count.resize(groups, 0);
                mean.resize(groups, 0.0);
                m2.resize(groups, 0.0);
            }
        }
    }

    /// Takes in the rows of a chunk: the arguments of each, of which `mask` (a byte each, 1 or
    /// 0) says which count. There are `groups` groups now.
    pub(super) fn update(
        &mut self,
        groups: usize,
        gids: Gids<'_>,
        (values, other): (Option<Values<'_>>, Option<Values<'_>>),
        mask: Option<&[u8]>,
    ) {
        let before = self.groups;
        self.grow(groups);
        if self.marks() {
            self.seen.mark(before, groups, gids, mask);
        }
        match (&mut self.kind, values) {
            (Kind::Count { missed }, _) => {
                if let Some(mask) = mask {
                    missed.resize(groups, 0);
                    fold(missed, gids, mask, None, |a, m| a.wrapping_add(i64::from(m ^ 1)));
                }
            }
            (Kind::Sum(v), Some(Values::I64(s))) => {
                fold(v, gids, s, mask, |a, x| a.wrapping_add(x));
            }
            (Kind::Sum(v), Some(Values::U64(s))) => {
                fold(v, gids, s, mask, |a, x| a.wrapping_add(x as i64));
            }
            (Kind::SumWide(v), Some(Values::I64(s))) => {
                fold(v, gids, s, mask, |a, x| a.wrapping_add(i128::from(x)));
            }
            (Kind::SumWide(v), Some(Values::I128(s))) => {
                fold(v, gids, s, mask, i128::wrapping_add);
            }
            (Kind::SumFloat(v), Some(Values::F64(s))) => sum_float(v, gids, s, mask, |x| x),
            (Kind::SumFloat(v), Some(Values::F32(s))) => sum_float(v, gids, s, mask, f64::from),
            (Kind::Signed(v, e), Some(values)) => signed(v, *e, gids, values, mask),
            (Kind::Unsigned(v, e), Some(values)) => unsigned(v, *e, gids, values, mask),
            (Kind::Wide(v, e), Some(Values::I128(s))) => {
                let e = *e;
                fold(v, gids, s, mask, |a, x| e.of(a, x));
            }
            (Kind::Moments { count, mean, m2 }, Some(Values::F64(s))) => {
                moments(count, mean, m2, gids, s, mask);
            }
            (Kind::Pairs(pairs), Some(Values::F64(x))) => {
                let Some(Values::F64(y)) = other else { unreachable!("checked at the start") };
                pairs.update(gids, x, y, mask);
            }
            (Kind::Bits(v, op), Some(values)) => bits(v, *op, gids, values, mask),
            (Kind::Distinct(k), Some(values)) => {
                k.update(gids, values, mask);
                k.compact(groups);
            }
            (Kind::Quantile(k, _), Some(values)) => k.update(gids, values, mask),
            (kind, values) => unreachable!("checked at the start: {kind:?} of {values:?}"),
        }
    }

    /// As [`States::update`], where a row of each group is picked.
    pub(super) fn pick(
        &mut self,
        groups: usize,
        gids: Gids<'_>,
        picked: &Picked<'_>,
        mask: Option<&[u8]>,
    ) {
        self.grow(groups);
        if let Kind::Pick(picks) = &mut self.kind {
            picks.update(gids, picked, mask);
        }
    }

    /// Takes in the states of groups `rows` of `other`, the same aggregate, as groups
    /// `gids` of this one. There are `groups` groups now.
    pub(super) fn merge(
        &mut self,
        groups: usize,
        gids: Gids<'_>,
        other: &Self,
        rows: Range<usize>,
    ) {
        let before = self.groups;
        self.grow(groups);
        if self.marks() {
            self.seen.mark(before, groups, gids, other.seen.0.as_ref().map(|s| &s[rows.clone()]));
        }
        // A group with no argument holds what changes nothing.
        match (&mut self.kind, &other.kind) {
            (Kind::Count { missed }, Kind::Count { missed: o }) => {
                let o = &o[rows.start.min(o.len())..rows.end.min(o.len())];
                if !o.is_empty() {
                    missed.resize(groups, 0);
                    fold(missed, gids, o, None, i64::wrapping_add);
                }
            }
            (Kind::Sum(v), Kind::Sum(o)) => {
                fold(v, gids, &o[rows], None, i64::wrapping_add);
            }
            (Kind::SumWide(v), Kind::SumWide(o)) => {
                fold(v, gids, &o[rows], None, i128::wrapping_add);
            }
            (Kind::SumFloat(v), Kind::SumFloat(o)) => {
                fold(v, gids, &o[rows], None, |a, x| a + x);
            }
            (Kind::Signed(v, e), Kind::Signed(o, _)) => {
                let e = *e;
                fold(v, gids, &o[rows], None, |a, x| e.of(a, x));
            }
            (Kind::Unsigned(v, e), Kind::Unsigned(o, _)) => {
                let e = *e;
                fold(v, gids, &o[rows], None, |a, x| e.of(a, x));
            }
            (Kind::Wide(v, e), Kind::Wide(o, _)) => {
                let e = *e;
                fold(v, gids, &o[rows], None, |a, x| e.of(a, x));
            }
            (Kind::Moments { count, mean, m2 }, Kind::Moments { count: oc, mean: om, m2: o2 }) => {
                for (i, r) in rows.enumerate() {
                    let g = gids.of(i);
                    let state = (&mut count[g], &mut mean[g], &mut m2[g]);
                    merge_moments(state, (oc[r], om[r], o2[r]));
                }
            }
            (Kind::Pairs(pairs), Kind::Pairs(o)) => pairs.merge(gids, o, rows),
            (Kind::Pick(picks), Kind::Pick(o)) => picks.merge(gids, o, rows),
            (Kind::Bits(v, op), Kind::Bits(o, _)) => {
                let op = *op;
                fold(v, gids, &o[rows], None, |a, x| combined(op, a, x));
            }
            (Kind::Distinct(k), Kind::Distinct(o)) => {
                k.merge(gids, o, rows);
                k.compact(groups);
            }
            (Kind::Quantile(k, _), Kind::Quantile(o, _)) => k.merge(gids, o, rows),
            (kind, other) => unreachable!("merge of one plan's states: {kind:?}, {other:?}"),
        }
    }

    /// The states in another order: group `g` moves to `to[g]`.
    pub(super) fn scattered(&self, to: &[u32]) -> Self {
        let kind = match &self.kind {
            Kind::Count { missed } if missed.is_empty() => Kind::Count { missed: Vec::new() },
            Kind::Count { missed } => {
                let mut all = missed.clone();
                all.resize(to.len(), 0);
                Kind::Count { missed: scatter(&all, to) }
            }
            Kind::Sum(v) => Kind::Sum(scatter(v, to)),
            Kind::SumWide(v) => Kind::SumWide(scatter(v, to)),
            Kind::SumFloat(v) => Kind::SumFloat(scatter(v, to)),
            Kind::Signed(v, e) => Kind::Signed(scatter(v, to), *e),
            Kind::Unsigned(v, e) => Kind::Unsigned(scatter(v, to), *e),
            Kind::Wide(v, e) => Kind::Wide(scatter(v, to), *e),
            Kind::Pairs(pairs) => Kind::Pairs(pairs.scattered(to)),
            Kind::Pick(picks) => Kind::Pick(picks.scattered(to)),
            Kind::Bits(v, op) => Kind::Bits(scatter(v, to), *op),
            Kind::Distinct(k) => Kind::Distinct(k.scattered(to)),
            Kind::Quantile(k, share) => Kind::Quantile(k.scattered(to), *share),
            Kind::Moments { count, mean, m2 } => Kind::Moments {
                count: scatter(count, to),
                mean: scatter(mean, to),
                m2: scatter(m2, to),
            },
        };
        let seen = Seen(self.seen.0.as_ref().map(|s| scatter(s, to)));
        Self { argument: self.argument, groups: self.groups, seen, kind }
    }

    /// The state arrays, as [`Accumulator`] lists them; `rows`: of each group.
    pub(super) fn finish(self, rows: &Arc<Int64Array>) -> Vec<ArrayRef> {
        let nulls = self.seen.0.filter(|s| s.contains(&0)).map(|s| nulls(&s));
        let ty = self.argument.unwrap_or(PhysType::I64);
        let one = match self.kind {
            Kind::Count { missed } if missed.is_empty() => Arc::clone(rows) as ArrayRef,
            Kind::Count { missed } => {
                let missed = missed.into_iter().chain(std::iter::repeat(0));
                let counts = rows.values().iter().zip(missed).map(|(r, m)| r - m).collect();
                array(PhysType::I64, counts, None)
            }
            Kind::Sum(v) => array(ty, v, nulls),
            Kind::SumWide(v) | Kind::Wide(v, _) => decimals(v, nulls),
            Kind::SumFloat(v) => Arc::new(Float64Array::new(v.into(), nulls)),
            Kind::Signed(mut v, _) => {
                // Groups with no argument hold an extreme; its order as a float is no matter.
                if ty == PhysType::F64 {
                    v.iter_mut().for_each(|x| *x = order64(*x));
                } else if ty == PhysType::F32 {
                    v.iter_mut().for_each(|x| *x = i64::from(order32(*x as i32)));
                }
                array(ty, v, nulls)
            }
            Kind::Pairs(pairs) => return pairs.finish(),
            Kind::Pick(picks) => return picks.finish(),
            Kind::Distinct(k) => return k.distinct(self.groups),
            Kind::Quantile(k, share) => return k.quantile(self.groups, share),
            Kind::Unsigned(v, _) | Kind::Bits(v, _) => {
                array(ty, v.into_iter().map(|x| x as i64).collect(), nulls)
            }
            Kind::Moments { count, mean, m2 } => {
                return vec![
                    Arc::new(Int64Array::new(count.into(), None)),
                    Arc::new(Float64Array::new(mean.into(), None)),
                    Arc::new(Float64Array::new(m2.into(), None)),
                ];
            }
        };
        vec![one]
    }
}

impl Gids<'_> {
    #[inline]
    pub(super) fn of(self, i: usize) -> usize {
        match self {
            Self::One => 0,
            Self::Many(g) | Self::Runs { gids: g, .. } => g[i] as usize,
        }
    }
}

impl Seen {
    fn mark(&mut self, before: usize, groups: usize, gids: Gids<'_>, mask: Option<&[u8]>) {
        if self.0.is_none() && mask.is_none() {
            return;
        }
        let seen = self.0.get_or_insert_with(|| vec![1; before]);
        seen.resize(groups, 0);
        match (gids, mask) {
            (Gids::One, None) => seen[0] = 1,
            (Gids::One, Some(m)) => seen[0] |= u8::from(m.contains(&1)),
            (Gids::Many(g) | Gids::Runs { gids: g, .. }, None) => {
                g.iter().for_each(|g| seen[*g as usize] = 1);
            }
            (Gids::Many(g) | Gids::Runs { gids: g, .. }, Some(m)) => {
                g.iter().zip(m).for_each(|(g, m)| seen[*g as usize] |= m);
            }
        }
    }
}
