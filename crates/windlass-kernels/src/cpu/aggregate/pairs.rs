//! Moments of pairs: counts, means, sums of squared deviations and of their products.

use std::{ops::Range, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, Int64Array};

use super::{
    fold::{merge_moments, scatter},
    state::Gids,
};

/// The moments of a set of pairs.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    count: i64,
    x: (f64, f64),
    y: (f64, f64),
    co: f64,
}

/// The moments of the pairs of each group.
#[derive(Debug, Default)]
pub(super) struct Pairs(Vec<Pair>);

impl Pair {
    /// Takes in one pair (Welford 1962, and its extension to two variables: Bennett et al.,
    /// "Numerically stable, single-pass, parallel statistics algorithms", CLUSTER 2009).
    #[inline]
    fn add(&mut self, x: f64, y: f64) {
        self.count = self.count.wrapping_add(1);
        let n = self.count as f64;
        let (dx, dy) = (x - self.x.0, y - self.y.0);
        self.x.0 += dx / n;
        self.y.0 += dy / n;
        self.x.1 += dx * (x - self.x.0);
        self.y.1 += dy * (y - self.y.0);
        self.co += dx * (y - self.y.0);
    }

    /// Takes in the moments of other pairs (Chan, Golub and LeVeque 1979).
    fn merge(&mut self, other: &Self) {
        if self.count == 0 || other.count == 0 {
            if self.count == 0 {
                *self = *other;
            }
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let (dx, dy) = (other.x.0 - self.x.0, other.y.0 - self.y.0);
        self.co += other.co + dx * dy * (a * b / (a + b));
        let mut count = self.count;
        merge_moments(
            (&mut count, &mut self.x.0, &mut self.x.1),
            (other.count, other.x.0, other.x.1),
        );
        let state = (&mut self.count, &mut self.y.0, &mut self.y.1);
        merge_moments(state, (other.count, other.y.0, other.y.1));
    }
}

impl Pairs {
    pub(super) fn grow(&mut self, groups: usize) {
        self.0.resize(groups, Pair::default());
    }

    pub(super) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Bytes of memory held.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Pair>()
    }

    /// Takes in the rows of a chunk that `mask` keeps.
    pub(super) fn update(&mut self, gids: Gids<'_>, x: &[f64], y: &[f64], mask: Option<&[u8]>) {
        let keep = |i: usize| mask.is_none_or(|m| m[i] != 0);
        let rows = x.iter().zip(y).enumerate().filter(|(i, _)| keep(*i));
        match gids {
            // A state in registers.
            Gids::One => {
                let mut state = Pair::default();
                rows.for_each(|(_, (x, y))| state.add(*x, *y));
                self.0[0].merge(&state);
            }
            Gids::Many(gids) | Gids::Runs { gids, .. } => {
                rows.for_each(|(i, (x, y))| self.0[gids[i] as usize].add(*x, *y));
            }
        }
    }

    /// Takes in groups `rows` of `other` as groups `gids`.
    pub(super) fn merge(&mut self, gids: Gids<'_>, other: &Self, rows: Range<usize>) {
        for (i, pair) in other.0[rows].iter().enumerate() {
            self.0[gids.of(i)].merge(pair);
        }
    }

    /// Group `g` moves to `to[g]`.
    pub(super) fn scattered(&self, to: &[u32]) -> Self {
        Self(scatter(&self.0, to))
    }

    /// The state arrays.
    pub(super) fn finish(&self) -> Vec<ArrayRef> {
        let floats = |f: fn(&Pair) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(self.0.iter().map(f)))
        };
        vec![
            Arc::new(Int64Array::from_iter_values(self.0.iter().map(|p| p.count))),
            floats(|p| p.x.0),
            floats(|p| p.x.1),
            floats(|p| p.y.0),
            floats(|p| p.y.1),
            floats(|p| p.co),
        ]
    }
}
