//! A parallel radix sort of distinct integers, of which only some bits are to be looked at.
//!
//! Most significant digit first while a range is larger than the second-level cache, so that
//! all threads take part and each range is moved through memory once for ten bits; then least
//! significant digit first within the cache, on as many of the leading bits as tell most
//! elements of the range apart (the hybrid of Cho et al., "PARADIS", VLDB 8(12), 2015, without
//! its in-place permutation). Ranges that still tie are sorted by what is left.

use std::sync::atomic::{AtomicPtr, Ordering};

use super::pack::{Element, row};
use crate::cpu::tasks;

/// Elements up to which one thread sorts a range: two buffers of 16-byte elements of so many
/// are 1 MiB, a second-level cache.
const SERIAL: usize = 1 << 15;

/// Bits of a parallel partition's digit. A guess: so many destinations still have entries in a
/// second-level TLB.
const FAN_BITS: u32 = 10;

/// Elements up to which a comparison sort is faster than counting digits. A guess.
const SMALL: usize = 128;

/// Bits of a digit within the cache: 256 counters are 1 KiB.
const DIGIT_BITS: u32 = 8;

/// Leading bits beyond the logarithm of a range's length that are sorted by digits: with two,
/// one in four elements of random keys ties with another.
const MORE_BITS: u32 = 2;

/// Bits of the elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// The row number's, below the key.
    pub(super) row_bits: u32,
    /// Row number and key; all bits from here on are equal in the elements at hand.
    pub(super) high: u32,
}

/// Sorts `a`, whose elements have ascending row numbers where their keys are equal, and writes
/// the row numbers to `out`. `b` is scratch of the same length.
pub(super) fn sort<T: Element>(a: &mut [T], b: &mut [T], out: &mut [u32], field: Field) {
    if a.len() <= SERIAL {
        return serial(a, b, out, field);
    }
    partition(a, b, out, field);
}

/// As [`sort`], of a range that one thread is too slow for after a partition: there are keys
/// that many elements have, so the bits that they share are looked for before they are counted.
fn sort_skewed<T: Element>(a: &mut [T], b: &mut [T], out: &mut [u32], field: Field) {
    if a.len() <= SERIAL {
        return serial(a, b, out, field);
    }
    let first = a[0];
    let of_part = |part: &[T]| part.iter().fold(T::default(), |d, e| d.join(e.differ(first)));
    let parts = tasks::map_of(a.chunks(SERIAL), |_, part| of_part(part));
    let differ = parts.into_iter().fold(T::default(), T::join);
    partition(a, b, out, Field { high: differ.top().min(field.high), ..field });
}

/// Sorts by digits from the most significant one on.
fn partition<T: Element>(a: &mut [T], b: &mut [T], out: &mut [u32], mut field: Field) {
    let n = a.len();
    loop {
        if field.high <= field.row_bits {
            return write_rows(a, out, field);
        }
        let bits = FAN_BITS.min(field.high - field.row_bits);
        let (shift, fan) = (field.high - bits, 1usize << bits);
        field.high = shift;
        let piece = n.div_ceil(4 * rayon::current_num_threads()).max(SERIAL);
        let mut counts = tasks::map_of(a.chunks(piece), |_, part| {
            // Two counters of each digit: where neighbours have the same, an addition need not
            // wait for the one before it.
            let (mut counts, mut odd) = (vec![0u32; fan], vec![0u32; fan]);
            let (pairs, rest) = part.as_chunks::<2>();
            for [x, y] in pairs {
                counts[x.digit(shift) & (fan - 1)] += 1;
                odd[y.digit(shift) & (fan - 1)] += 1;
            }
            rest.iter().for_each(|e| counts[e.digit(shift) & (fan - 1)] += 1);
            counts.iter_mut().zip(odd).for_each(|(count, odd)| *count += odd);
            counts
        });
        let ends = starts(&mut counts, fan);
        if ends.windows(2).any(|w| w[1] - w[0] == n) {
            continue;
        }
        scatter(a, b, &mut counts, piece, shift);
        let mut ranges = Vec::with_capacity(fan);
        let (mut a, mut b, mut out) = (a, b, out);
        for w in ends.windows(2).filter(|w| w[1] > w[0]) {
            let (x, y, z);
            (x, a) = a.split_at_mut(w[1] - w[0]);
            (y, b) = b.split_at_mut(w[1] - w[0]);
            (z, out) = out.split_at_mut(w[1] - w[0]);
            ranges.push((y, x, z));
        }
        return tasks::each_of(ranges, |_, (a, b, out)| sort_skewed(a, b, out, field));
    }
}

/// Turns counts by piece and digit into where each piece's elements of a digit begin; the
/// digits' bounds.
fn starts(counts: &mut [Vec<u32>], fan: usize) -> Vec<usize> {
    let mut ends = vec![0];
    let mut at = 0u32;
    for digit in 0..fan {
        for piece in counts.iter_mut() {
            let count = piece[digit];
            piece[digit] = at;
            at += count;
        }
        ends.push(at as usize);
    }
    ends
}

/// Moves the elements of each piece to where its digits begin.
fn scatter<T: Element>(a: &[T], b: &mut [T], starts: &mut [Vec<u32>], piece: usize, shift: u32) {
    let len = b.len();
    let to = AtomicPtr::new(b.as_mut_ptr());
    tasks::each_of(a.chunks(piece).zip(starts), |_, (part, starts)| {
        let to = to.load(Ordering::Relaxed);
        let mask = starts.len() - 1;
        for e in part {
            let at = &mut starts[e.digit(shift) & mask];
            debug_assert!((*at as usize) < len);
            // SAFETY: `starts` are the exclusive sums of the counts of these same elements by
            // digit and piece, so every element of every piece has a place below `len` of its
            // own, and no two threads write one place.
            unsafe { to.add(*at as usize).write(*e) };
            *at += 1;
        }
    });
}

fn write_rows<T: Element>(elements: &[T], out: &mut [u32], field: Field) {
    for (e, o) in elements.iter().zip(out) {
        *o = row(*e, field.row_bits);
    }
}

/// As [`sort`], on one thread.
fn serial<T: Element>(a: &mut [T], b: &mut [T], out: &mut [u32], field: Field) {
    let n = a.len();
    if n <= SMALL {
        a.sort_unstable();
        return write_rows(a, out, field);
    }
    let differ = a.iter().fold(T::default(), |d, e| d.join(e.differ(a[0])));
    let high = differ.top().min(field.high);
    if high <= field.row_bits {
        return write_rows(a, out, field);
    }
    let left = high - field.row_bits;
    let passes = (n.ilog2() + 1 + MORE_BITS).min(left).div_ceil(DIGIT_BITS);
    let base = high - left.min(passes * DIGIT_BITS);
    let (mut from, mut to) = (&mut *a, &mut *b);
    for pass in 0..passes {
        digit_pass(from, to, base + pass * DIGIT_BITS);
        std::mem::swap(&mut from, &mut to);
    }
    if base == field.row_bits {
        return write_rows(from, out, field);
    }
    let mut i = 0;
    while i < n {
        let prefix = from[i].prefix(base);
        let equal = from[i + 1..].iter().take_while(|e| e.prefix(base) == prefix).count();
        let end = i + 1 + equal;
        if equal == 0 {
            out[i] = row(from[i], field.row_bits);
        } else {
            let tie = Field { high: base, ..field };
            serial(&mut from[i..end], &mut to[i..end], &mut out[i..end], tie);
        }
        i = end;
    }
}

/// A stable counting sort by the eight bits from `shift` on.
fn digit_pass<T: Element>(from: &[T], to: &mut [T], shift: u32) {
    let mut places = [0u32; 1 << DIGIT_BITS];
    let digit = |e: &T| e.digit(shift) & ((1 << DIGIT_BITS) - 1);
    from.iter().for_each(|e| places[digit(e)] += 1);
    let mut sum = 0;
    for place in &mut places {
        (*place, sum) = (sum, sum + *place);
    }
    for e in from {
        let place = &mut places[digit(e)];
        to[*place as usize] = *e;
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn check(n: usize, row_bits: u32, key: impl Fn(u64) -> u128) {
        let mut state = n as u64;
        let keys: Vec<u128> = (0..n).map(|_| key(random(&mut state))).collect();
        let mut wanted: Vec<u32> = (0..n as u32).collect();
        wanted.sort_by_key(|r| keys[*r as usize]);
        let mut a: Vec<u128> =
            keys.iter().zip(0u128..).map(|(k, row)| k << row_bits | row).collect();
        let (mut b, mut out) = (vec![0; n], vec![u32::MAX; n]);
        let high = 128 - a.iter().fold(0, |x, y| x | y).leading_zeros().min(127);
        sort(&mut a.clone(), &mut b, &mut out, Field { row_bits, high });
        assert!(out == wanted, "{n} elements of 16 bytes");
        if high <= 64 {
            let mut narrow: Vec<u64> = a.iter().map(|e| *e as u64).collect();
            let mut b = vec![0; n];
            out.fill(u32::MAX);
            sort(&mut narrow, &mut b, &mut out, Field { row_bits, high });
            assert!(out == wanted, "{n} elements of 8 bytes");
        }
        a.clear();
    }

    #[test]
    fn any_keys_are_sorted() {
        for n in [0, 1, 2, 127, 128, 129, 1000, SERIAL, SERIAL + 1, 150_000] {
            check(n, 18, |r| u128::from(r >> 32));
            check(n, 31, |r| u128::from(r) << 30);
        }
    }

    /// Ranges that tie in all bits that a step looks at, and keys of which one bit differs.
    #[test]
    fn keys_that_tie_in_leading_bits_are_sorted() {
        for n in [500, 40_000, 120_000] {
            check(n, 17, |_| 5);
            check(n, 17, |r| u128::from(r & 1) << 40 | 7);
            check(n, 17, |r| u128::from(r % 3) << 70 | u128::from(r >> 40));
            check(n, 17, |r| if r % 10 < 9 { 0 } else { u128::from(r) });
        }
    }
}
