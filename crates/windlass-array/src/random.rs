//! Random numbers by position: the n-th number of an array is a function of the seed and n,
//! so it is the same whatever the chunks, and in whatever order they are made.
//!
//! The generator is Philox 4x32 with 10 rounds: J. K. Salmon, M. A. Moraes, R. O. Dror and
//! D. E. Shaw, *Parallel Random Numbers: As Easy as 1, 2, 3* (SC 2011), with the position as
//! counter and the seed as key. A block of it gives the bits of two numbers.

use std::f64::consts::TAU;

use crate::{element::Buf, kernel::math, rejection::Drawn};

/// A distribution and a seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Random {
    pub(crate) seed: u64,
    pub(crate) kind: Distribution,
}

/// What the numbers are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Distribution {
    /// Evenly in `low..high`: `low + u * (high - low)` with 53 random bits in `u`.
    Uniform { low: f64, high: f64 },
    /// Normal, of that mean and standard deviation.
    Normal { mean: f64, deviation: f64 },
    /// Integers evenly in `low..low + count`; a count of 0 stands for 2^64.
    Integers { low: i64, count: u64 },
    /// Numbers that take several draws: as floats, or as integers.
    Drawn(Drawn),
}

/// What the rounds of Philox multiply by, and add to the key.
pub(crate) const PHILOX_MULTIPLY: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
pub(crate) const PHILOX_WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
pub(crate) const PHILOX_ROUNDS: usize = 10;

/// A block of Philox: the bits of two numbers.
#[inline(always)]
fn philox(counter: u64, seed: u64) -> [u64; 2] {
    philox_at(counter, 0, seed)
}

/// As [`philox`], of a counter of 128 bits.
#[inline(always)]
pub(crate) fn philox_at(counter: u64, high: u64, seed: u64) -> [u64; 2] {
    let words = |w: u64| (w as u32, (w >> 32) as u32);
    let ((a, b), (c, d)) = (words(counter), words(high));
    let mut x = [a, b, c, d];
    let mut key = [seed as u32, (seed >> 32) as u32];
    for _ in 0..PHILOX_ROUNDS {
        let products = [u64::from(x[0]) * PHILOX_MULTIPLY[0], u64::from(x[2]) * PHILOX_MULTIPLY[1]];
        let [a, b] = products.map(|p| ((p >> 32) as u32, p as u32));
        x = [b.0 ^ x[1] ^ key[0], b.1, a.0 ^ x[3] ^ key[1], a.1];
        key = [key[0].wrapping_add(PHILOX_WEYL[0]), key[1].wrapping_add(PHILOX_WEYL[1])];
    }
    let word = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
    [word(x[0], x[1]), word(x[2], x[3])]
}

/// 53 random bits as a float in 0..1.
#[inline(always)]
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Two normal numbers of two random words: G. E. P. Box and M. E. Muller, *A Note on the
/// Generation of Random Normal Deviates* (1958).
#[inline(always)]
pub(crate) fn normal([a, b]: [u64; 2]) -> [f64; 2] {
    // 1 - u is in (0, 1], so that its logarithm is finite.
    let (radius, angle) = ((-2.0 * math::log::<false>(1.0 - unit(a))).sqrt(), TAU * unit(b));
    [radius * math::cos::<false>(angle), radius * math::sin::<false>(angle)]
}

impl Random {
    /// Writes the numbers at positions `base`, `base + step`, … into `out[at..at + n]`.
    pub(crate) fn fill(&self, base: i64, step: i64, out: &mut Buf, at: usize, n: usize) {
        let seed = self.seed;
        match self.kind {
            Distribution::Uniform { low, high } => {
                let value = |w: [u64; 2]| w.map(|w| low + unit(w) * (high - low));
                floats(out, at, n, (base, step), |block| value(philox(block, seed)));
            }
            Distribution::Normal { mean, deviation } => {
                let value = |w: [u64; 2]| normal(w).map(|z| mean + deviation * z);
                floats(out, at, n, (base, step), |block| value(philox(block, seed)));
            }
            Distribution::Integers { low, count } => {
                let value = |w: u64| match count {
                    0 => w as i64,
                    // The high word of the product: biased by less than count / 2^64.
                    _ => low.wrapping_add(((u128::from(w) * u128::from(count)) >> 64) as i64),
                };
                let out = &mut out.typed_mut::<i64>()[at..at + n];
                pairs(out, (base, step), |block| philox(block, seed).map(value));
            }
            Distribution::Drawn(drawn) => {
                let number = |i: usize| drawn.at((base + step * i as i64) as u64, seed);
                match out {
                    Buf::I64(out) => (0..n).for_each(|i| out[at + i] = number(i) as i64),
                    other => {
                        let out = &mut other.typed_mut::<f64>()[at..at + n];
                        out.iter_mut().enumerate().for_each(|(i, o)| *o = number(i));
                    }
                }
            }
        }
    }
}

fn floats(
    out: &mut Buf,
    at: usize,
    n: usize,
    positions: (i64, i64),
    block: impl Fn(u64) -> [f64; 2],
) {
    pairs(&mut out.typed_mut::<f64>()[at..at + n], positions, block);
}

/// Numbers at positions, of which each block has two.
fn pairs<T: Copy>(out: &mut [T], (base, step): (i64, i64), block: impl Fn(u64) -> [T; 2]) {
    let one = |position: i64| block(position as u64 / 2)[position as usize % 2];
    if step != 1 {
        for (i, o) in out.iter_mut().enumerate() {
            *o = one(base + step * i as i64);
        }
        return;
    }
    let head = (base as usize % 2).min(out.len());
    let (first, rest) = out.split_at_mut(head);
    first.iter_mut().for_each(|o| *o = one(base));
    let begin = (base as u64).div_ceil(2);
    let (whole, last) = rest.as_chunks_mut::<2>();
    for (i, o) in whole.iter_mut().enumerate() {
        *o = block(begin + i as u64);
    }
    let end = begin + whole.len() as u64;
    last.iter_mut().for_each(|o| *o = block(end)[0]);
}

/// A permutation of `0..n` of which every element is made by itself: a Feistel network over
/// the least even number of bits that hold `n`, walked until it gives a number below `n`, as
/// in J. Black and P. Rogaway, *Ciphers with Arbitrary Finite Domains* (2002). Its rounds are
/// blocks of Philox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permutation {
    n: u64,
    seed: u64,
    /// Bits of either half.
    half: u32,
}

impl Permutation {
    /// Rounds of the network. Four look random to one who sees all of it, if each is a random
    /// function (M. Luby and C. Rackoff, 1988); for a few bits twice as many are safer (a
    /// stated guess).
    const ROUNDS: u64 = 8;

    pub(crate) fn new(n: u64, seed: u64) -> Self {
        let bits = 64 - n.saturating_sub(1).leading_zeros();
        Self { n, seed, half: bits.div_ceil(2).max(1) }
    }

    /// Its element at a position below `n`.
    pub(crate) fn at(&self, position: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let mut x = position;
        loop {
            let (mut left, mut right) = (x >> self.half, x & mask);
            for round in 0..Self::ROUNDS {
                // A half has at most 32 bits: the round stands above it.
                let mixed = philox(right | round << 32, self.seed)[0];
                (left, right) = (right, left ^ (mixed & mask));
            }
            x = left << self.half | right;
            if x < self.n {
                return x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_those_of_the_paper() {
        // The known answers of the authors' library for 4x32-10: all zeros, all ones.
        let words = |[a, b]: [u64; 2]| [a as u32, (a >> 32) as u32, b as u32, (b >> 32) as u32];
        assert_eq!(words(philox(0, 0)), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    }

    #[test]
    fn numbers_do_not_hang_on_where_one_begins() {
        let random = Random { seed: 7, kind: Distribution::Normal { mean: 1.0, deviation: 2.0 } };
        let mut all = Buf::F64(vec![0.0; 20]);
        random.fill(0, 1, &mut all, 0, 20);
        let mut parts = Buf::F64(vec![0.0; 20]);
        for (from, n) in [(0, 3), (3, 1), (4, 9), (13, 7)] {
            random.fill(from as i64, 1, &mut parts, from, n);
        }
        assert_eq!(all, parts);
        let mut odd = Buf::F64(vec![0.0; 5]);
        random.fill(19, -4, &mut odd, 0, 5);
        let all = all.typed::<f64>();
        assert_eq!(odd.typed::<f64>(), [all[19], all[15], all[11], all[7], all[3]]);
    }

    #[test]
    fn permutations_have_every_number_once() {
        for n in [1, 2, 3, 10, 257, 5000] {
            let order = Permutation::new(n, 3);
            let mut all: Vec<u64> = (0..n).map(|i| order.at(i)).collect();
            assert!(n < 10 || !all.is_sorted());
            all.sort_unstable();
            assert!(all.iter().copied().eq(0..n), "{n}");
        }
        // Each place is as likely for the first number: 400 seeds, 10 places.
        let mut counts = [0; 10];
        (0..4000).for_each(|seed| counts[Permutation::new(10, seed).at(0) as usize] += 1);
        assert!(counts.iter().all(|c| (300..500).contains(c)), "{counts:?}");
    }

    #[test]
    fn moments_are_those_of_the_distribution() {
        let n = 200_000;
        let mut buf = Buf::F64(vec![0.0; n]);
        let kind = Distribution::Normal { mean: 3.0, deviation: 2.0 };
        Random { seed: 1, kind }.fill(0, 1, &mut buf, 0, n);
        let values = buf.typed::<f64>();
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - 3.0).abs() < 0.02 && (variance - 4.0).abs() < 0.06, "{mean} {variance}");
        let mut buf = Buf::I64(vec![0; n]);
        let kind = Distribution::Integers { low: -2, count: 5 };
        Random { seed: 1, kind }.fill(0, 1, &mut buf, 0, n);
        let values = buf.typed::<i64>();
        for v in -2..3 {
            let share = values.iter().filter(|x| **x == v).count() as f64 / n as f64;
            assert!((share - 0.2).abs() < 0.005, "{v}: {share}");
        }
        assert!(values.iter().all(|v| (-2..3).contains(v)));
    }
}
