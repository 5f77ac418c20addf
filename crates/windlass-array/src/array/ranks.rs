//! The n-th of the sorted elements of each window: many windows at once, by a network of
//! comparisons whose steps are the same for all, so that the compiler makes vectors of them.

use crate::{
    expr::BoxError,
    reduce::extremes::{Ordered, order},
    shape::{each_index, strides},
    tile::Tile,
};

/// Windows that go through a network at once: four lines of 64 bytes for 8-byte elements.
const LANES: usize = 32;

/// Windows of more elements are searched one by one (a stated guess: a network has about
/// `n * log(n)^2 / 4` comparisons).
const NETWORK: usize = 128;

/// The comparisons of K. E. Batcher's odd-even merge sort of `n` elements, *Sorting Networks
/// and Their Applications* (1968), that decide which one comes to place `nth`.
fn comparisons(n: usize, nth: usize) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    let mut p = 1;
    while p < n {
        let mut k = p;
        while k >= 1 {
            for j in (k % p..n.saturating_sub(k)).step_by(2 * k) {
                for i in 0..k.min(n - j - k) {
                    if (i + j) / (2 * p) == (i + j + k) / (2 * p) {
                        all.push((i + j, i + j + k));
                    }
                }
            }
            k /= 2;
        }
        p *= 2;
    }
    let mut needed = vec![false; n];
    needed[nth] = true;
    let mut kept: Vec<(usize, usize)> = Vec::with_capacity(all.len());
    for (a, b) in all.into_iter().rev() {
        if needed[a] || needed[b] {
            (needed[a], needed[b]) = (true, true);
            kept.push((a, b));
        }
    }
    kept.reverse();
    kept
}

crate::kernel::vectorised! {
    /// Brings the lesser element of each pair to the first place, NaN last, lane by lane.
    fn exchange<T: (Ordered)>(lanes: &mut [[T; LANES]], pairs: &[(usize, usize)]) {
        for &(a, b) in pairs {
            let (mut low, mut high) = (lanes[a], lanes[b]);
            for (x, y) in low.iter_mut().zip(&mut high) {
                let (p, q) = (*x, *y);
                let turn = q.is_less(p) | (p.is_not_a_number() & !q.is_not_a_number());
                *x = if turn { q } else { p };
                *y = if turn { p } else { q };
            }
            (lanes[a], lanes[b]) = (low, high);
        }
    }
}

/// The n-th of the sorted elements of each window of a tile; the windows are of those sizes,
/// and the result of those lengths.
pub(super) fn ranked<T: Ordered>(
    tile: &Tile,
    lens: &[usize],
    sizes: &[usize],
    nth: usize,
) -> Result<Tile, BoxError> {
    let dense = tile.to_dense();
    let from = &dense.buf().typed::<T>()[dense.offset()..];
    let steps = strides(dense.shape().as_slice());
    let place =
        |at: &[usize]| -> usize { at.iter().zip(&steps).map(|(&i, s)| i * s.unsigned_abs()).sum() };
    let mut offsets = Vec::with_capacity(sizes.iter().product());
    each_index(sizes, |at| offsets.push(place(at)));
    let columns = lens.last().copied().unwrap_or(1);
    let mut outer = lens.to_vec();
    if let Some(last) = outer.last_mut() {
        *last = 1;
    }
    let mut out = vec![T::default(); lens.iter().product()];
    let mut rows = out.chunks_exact_mut(columns);
    let by_network = offsets.len() <= NETWORK;
    let pairs = if by_network { comparisons(offsets.len(), nth) } else { Vec::new() };
    let mut lanes = vec![[T::default(); LANES]; if by_network { offsets.len() } else { 0 }];
    each_index(&outer, |at| {
        let Some(row) = rows.next() else { return };
        let from = &from[place(at)..];
        if by_network {
            by_lanes(from, (&offsets, &pairs, nth), &mut lanes, row);
        } else {
            one_by_one(from, &offsets, nth, row);
        }
    });
    Ok(Tile::new(out, lens.to_vec())?)
}

fn by_lanes<T: Ordered>(
    from: &[T],
    (offsets, pairs, nth): (&[usize], &[(usize, usize)], usize),
    lanes: &mut [[T; LANES]],
    row: &mut [T],
) {
    for (i, out) in row.chunks_mut(LANES).enumerate() {
        for (lane, offset) in lanes.iter_mut().zip(offsets) {
            let n = out.len();
            lane[..n].copy_from_slice(&from[i * LANES + offset..][..n]);
        }
        exchange::<T>(lanes, pairs);
        out.copy_from_slice(&lanes[nth][..out.len()]);
    }
}

fn one_by_one<T: Ordered>(from: &[T], offsets: &[usize], nth: usize, row: &mut [T]) {
    let mut window: Vec<T> = Vec::with_capacity(offsets.len());
    for (i, out) in row.iter_mut().enumerate() {
        window.clear();
        window.extend(offsets.iter().map(|o| from[i + o]));
        *out = *window.select_nth_unstable_by(nth, order::<T>).1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_sort_what_they_are_asked_for() {
        for n in [1, 2, 3, 5, 9, 16, 25, 27] {
            for nth in 0..n {
                let pairs = comparisons(n, nth);
                // A permutation, and the same with NaN in it.
                for factor in [1, 7, 11, 13] {
                    let value = |i: usize| {
                        let v = (i * factor) % (n + 1);
                        if v == n { f64::NAN } else { v as f64 }
                    };
                    let mut lanes: Vec<[f64; LANES]> = (0..n).map(|i| [value(i); LANES]).collect();
                    exchange::<f64>(&mut lanes, &pairs);
                    let mut sorted: Vec<f64> = (0..n).map(value).collect();
                    <f64 as Ordered>::sort(&mut sorted);
                    let (a, b) = (lanes[nth][LANES - 1], sorted[nth]);
                    assert!(a == b || a.is_nan() && b.is_nan(), "{n} {nth} {factor}: {a} {b}");
                }
            }
        }
    }
}
