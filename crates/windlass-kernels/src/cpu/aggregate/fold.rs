//! The loops of the accumulators: states by group number, values row by row.

use std::ops::Range;

use super::state::{Extreme, Gids, order32, order64};
use crate::{aggregate::BitOp, cpu::pipeline::Values};

/// Moves value `i` to place `to[i]`.
pub(super) fn scatter<T: Copy + Default>(from: &[T], to: &[u32]) -> Vec<T> {
    let mut out = vec![T::default(); from.len()];
    from.iter().zip(to).for_each(|(x, at)| out[*at as usize] = *x);
    out
}

/// The group of each run of a chunk's rows, and its rows.
#[inline(always)]
fn runs<'a>(
    gids: &'a [u32],
    starts: &'a [u32],
) -> impl Iterator<Item = (usize, Range<usize>)> + 'a {
    starts.array_windows().map(|[start, end]| {
        let rows = *start as usize..*end as usize;
        (gids[rows.start] as usize, rows)
    })
}

/// `states[group] = f(states[group], value)` for each row that counts.
#[inline]
pub(super) fn fold<A: Copy, T: Copy>(
    states: &mut [A],
    gids: Gids<'_>,
    values: &[T],
    mask: Option<&[u8]>,
    f: impl Fn(A, T) -> A,
) {
    match (gids, mask) {
        (Gids::One, None) => states[0] = values.iter().fold(states[0], |a, x| f(a, *x)),
        (Gids::One, Some(mask)) => {
            let rows = values.iter().zip(mask);
            states[0] = rows.fold(states[0], |a, (x, m)| {
                let b = f(a, *x);
                if *m != 0 { b } else { a }
            });
        }
        (Gids::Many(gids), None) => {
            for (g, x) in gids.iter().zip(values) {
                let a = &mut states[*g as usize];
                *a = f(*a, *x);
            }
        }
        (Gids::Runs { gids, starts }, None) => {
            for (g, rows) in runs(gids, starts) {
                let a = &mut states[g];
                *a = values[rows].iter().fold(*a, |a, x| f(a, *x));
            }
        }
        (Gids::Runs { gids, starts }, Some(mask)) => {
            for (g, rows) in runs(gids, starts) {
                let (a, rows) = (&mut states[g], values[rows.clone()].iter().zip(&mask[rows]));
                *a = rows.fold(*a, |a, (x, m)| {
                    let b = f(a, *x);
                    if *m != 0 { b } else { a }
                });
            }
        }
        (Gids::Many(gids), Some(mask)) => {
            for ((g, x), m) in gids.iter().zip(values).zip(mask) {
                let a = &mut states[*g as usize];
                let b = f(*a, *x);
                *a = if *m != 0 { b } else { *a };
            }
        }
    }
}

/// Counts the `n` rows of a chunk by group.
pub(super) fn count_rows(counts: &mut Vec<i64>, groups: usize, gids: Gids<'_>, n: usize) {
    counts.resize(groups, 0);
    match gids {
        Gids::One => counts[0] += n as i64,
        Gids::Many(gids) => {
            for g in gids {
                let a = &mut counts[*g as usize];
                *a = a.wrapping_add(1);
            }
        }
        Gids::Runs { gids, starts } => {
            for (g, rows) in runs(gids, starts) {
                counts[g] = counts[g].wrapping_add(rows.len() as i64);
            }
        }
    }
}

/// Adds the rows of groups of another part.
pub(super) fn merge_rows(counts: &mut Vec<i64>, groups: usize, gids: Gids<'_>, from: &[i64]) {
    counts.resize(groups, 0);
    fold(counts, gids, from, None, i64::wrapping_add);
}

/// Sums of floats. Into one group, and of a long run of rows, by eight partial sums, so that
/// additions overlap; their order is fixed.
pub(super) fn sum_float<T: Copy>(
    states: &mut [f64],
    gids: Gids<'_>,
    values: &[T],
    mask: Option<&[u8]>,
    f: impl Fn(T) -> f64,
) {
    match (gids, mask) {
        (Gids::One, None) => states[0] += in_lanes(values, f),
        (Gids::Runs { gids, starts }, None) => {
            for (g, rows) in runs(gids, starts) {
                let (a, values) = (&mut states[g], &values[rows]);
                *a = match values.len() < LANES_FROM {
                    true => values.iter().fold(*a, |a, x| a + f(*x)),
                    false => *a + in_lanes(values, &f),
                };
            }
        }
        _ => fold(states, gids, values, mask, |a, x| a + f(x)),
    }
}

/// Rows of a run from which on it is summed in lanes. A guess: eight additions in a row take as
/// long as adding up eight lanes, and twice as many have a gain.
const LANES_FROM: usize = 16;

/// The sum by eight partial ones.
#[inline]
fn in_lanes<T: Copy>(values: &[T], f: impl Fn(T) -> f64) -> f64 {
    let mut lanes = [0.0; 8];
    let (eights, rest) = values.as_chunks::<8>();
    for group in eights {
        for (lane, x) in lanes.iter_mut().zip(group) {
            *lane += f(*x);
        }
    }
    let tail: f64 = rest.iter().map(|x| f(*x)).sum();
    lanes.iter().sum::<f64>() + tail
}

pub(super) fn signed(
    states: &mut [i64],
    e: Extreme,
    gids: Gids<'_>,
    values: Values<'_>,
    mask: Option<&[u8]>,
) {
    match values {
        Values::Bool(s) => fold(states, gids, s, mask, |a, x| e.of(a, i64::from(x))),
        Values::I8(s) => fold(states, gids, s, mask, |a, x| e.of(a, i64::from(x))),
        Values::I16(s) => fold(states, gids, s, mask, |a, x| e.of(a, i64::from(x))),
        Values::I32(s) => fold(states, gids, s, mask, |a, x| e.of(a, i64::from(x))),
        Values::I64(s) => fold(states, gids, s, mask, |a, x| e.of(a, x)),
        Values::F32(s) => {
            fold(states, gids, s, mask, |a, x| e.of(a, i64::from(order32(x.to_bits() as i32))))
        }
        Values::F64(s) => {
            fold(states, gids, s, mask, |a, x| e.of(a, order64(x.to_bits() as i64)));
        }
        values => unreachable!("the kind follows from the type: {values:?}"),
    }
}

pub(super) fn unsigned(
    states: &mut [u64],
    e: Extreme,
    gids: Gids<'_>,
    values: Values<'_>,
    mask: Option<&[u8]>,
) {
    match values {
        Values::U8(s) => fold(states, gids, s, mask, |a, x| e.of(a, u64::from(x))),
        Values::U16(s) => fold(states, gids, s, mask, |a, x| e.of(a, u64::from(x))),
        Values::U32(s) => fold(states, gids, s, mask, |a, x| e.of(a, u64::from(x))),
        Values::U64(s) => fold(states, gids, s, mask, |a, x| e.of(a, x)),
        values => unreachable!("the kind follows from the type: {values:?}"),
    }
}

pub(super) fn bits(
    states: &mut [u64],
    op: BitOp,
    gids: Gids<'_>,
    values: Values<'_>,
    mask: Option<&[u8]>,
) {
    macro_rules! each {
        ($s:expr, $to:expr) => {
            match op {
                BitOp::And => fold(states, gids, $s, mask, |a, x| a & $to(x)),
                BitOp::Or => fold(states, gids, $s, mask, |a, x| a | $to(x)),
                BitOp::Xor => fold(states, gids, $s, mask, |a, x| a ^ $to(x)),
            }
        };
    }
    match values {
        Values::I8(s) => each!(s, |x| i64::from(x) as u64),
        Values::I16(s) => each!(s, |x| i64::from(x) as u64),
        Values::I32(s) => each!(s, |x| i64::from(x) as u64),
        Values::I64(s) => each!(s, |x| x as u64),
        Values::U8(s) => each!(s, u64::from),
        Values::U16(s) => each!(s, u64::from),
        Values::U32(s) => each!(s, u64::from),
        Values::U64(s) => each!(s, |x: u64| x),
        values => unreachable!("checked at the start: bits of {values:?}"),
    }
}

/// Count, mean and sum of squared deviations, row by row (Welford, "Note on a method for
/// calculating corrected sums of squares and products", Technometrics 1962); into one group
/// in two passes over the chunk, then merged.
pub(super) fn moments(
    count: &mut [i64],
    mean: &mut [f64],
    m2: &mut [f64],
    gids: Gids<'_>,
    values: &[f64],
    mask: Option<&[u8]>,
) {
    let (Gids::Many(gids) | Gids::Runs { gids, .. }) = gids else {
        let keep = |i: usize| mask.is_none_or(|m| m[i] != 0);
        let rows = || values.iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, x)| *x);
        let n = rows().count();
        if n > 0 {
            let average = rows().sum::<f64>() / n as f64;
            let squares = rows().map(|x| (x - average) * (x - average)).sum::<f64>();
            let state = (&mut count[0], &mut mean[0], &mut m2[0]);
            merge_moments(state, (n as i64, average, squares));
        }
        return;
    };
    for (i, (g, x)) in gids.iter().zip(values).enumerate() {
        if mask.is_some_and(|m| m[i] == 0) {
            continue;
        }
        let g = *g as usize;
        count[g] = count[g].wrapping_add(1);
        let delta = x - mean[g];
        mean[g] += delta / count[g] as f64;
        m2[g] += delta * (x - mean[g]);
    }
}

/// Adds the moments of another set of values (Chan, Golub and LeVeque, "Updating formulae
/// and a pairwise algorithm for computing sample variances", 1979).
pub(super) fn merge_moments(
    (count, mean, m2): (&mut i64, &mut f64, &mut f64),
    (other, other_mean, other_m2): (i64, f64, f64),
) {
    if other == 0 {
        return;
    }
    if *count == 0 {
        (*count, *mean, *m2) = (other, other_mean, other_m2);
        return;
    }
    let (a, b) = (*count as f64, other as f64);
    let delta = other_mean - *mean;
    *count = count.wrapping_add(other);
    *mean += delta * (b / (a + b));
    *m2 += other_m2 + delta * delta * (a * b / (a + b));
}
