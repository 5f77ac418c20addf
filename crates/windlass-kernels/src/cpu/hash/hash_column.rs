//! The twin of `kernels/hash/hash_column.cu`: the lanes of a chunk of rows lie side by side, so
//! that the compiler makes vector code of the arithmetic.

use super::read::HostColumn;
use crate::{
    column::DeviceBatch,
    cpu::pieces::{Group, groups},
    error::Result,
    hash::SEED,
    types::PhysType,
};

/// Rows that are hashed at a time: lanes and values stay in the first-level cache.
const CHUNK: usize = 1024;
/// Rows of a task: a thread's start is small beside it (a guess).
const TASK: usize = 64 * CHUNK;
/// The multiplier of MurmurHash2.
const M: u32 = 0x5bd1_e995;

/// The lanes of a chunk's rows.
struct Lanes {
    h1: [u32; CHUNK],
    h2: [u32; CHUNK],
}

#[inline(always)]
fn feed(lane: u32, word: u32) -> u32 {
    let k = word.wrapping_mul(M);
    lane.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M)
}

#[inline(always)]
fn finish(mut h1: u32, mut h2: u32) -> (u32, u32) {
    h1 = (h1 ^ (h2 >> 18)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 22)).wrapping_mul(M);
    h1 = (h1 ^ (h2 >> 17)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 19)).wrapping_mul(M);
    (h1, h2)
}

impl Lanes {
    /// Folds one value of each row in; `WORDS` 32-bit words, `high` only for four. Finished
    /// lanes `(h1, h2)` seed the next value as `(h2, h1)`: the low word of a hash is `h2`.
    #[inline(always)]
    fn fold<const WORDS: usize>(&mut self, low: &[u64], high: &[u64], live: Option<&[bool]>) {
        match live {
            None => self.fold_rows::<WORDS>(low, high, |_| true),
            Some(live) => {
                let live = &live[..low.len()];
                self.fold_rows::<WORDS>(low, high, |i| live[i]);
            }
        }
    }

    /// As [`Lanes::fold`]; `live` tells which rows are not null.
    #[inline(always)]
    fn fold_rows<const WORDS: usize>(
        &mut self,
        low: &[u64],
        high: &[u64],
        live: impl Fn(usize) -> bool,
    ) {
        let n = low.len();
        let high = if WORDS == 4 { &high[..n] } else { high };
        let (lanes1, lanes2) = (&mut self.h1[..n], &mut self.h2[..n]);
        for i in 0..n {
            let (seed1, seed2) = (lanes1[i], lanes2[i]);
            let mut h1 = feed(seed1 ^ (WORDS as u32 * 4), low[i] as u32);
            let mut h2 = if WORDS >= 2 { feed(seed2, (low[i] >> 32) as u32) } else { seed2 };
            if WORDS == 4 {
                h1 = feed(h1, high[i] as u32);
                h2 = feed(h2, (high[i] >> 32) as u32);
            }
            // A select where there are nulls; where there are none it is not there at all.
            h1 = if live(i) { h1 } else { seed1 };
            h2 = if live(i) { h2 } else { seed2 };
            let (h1, h2) = finish(h1, h2);
            (lanes1[i], lanes2[i]) = (h2, h1);
        }
    }
}

/// One 64-bit hash for each row over `columns`: two words, the low one first.
///
/// # Errors
/// `Invalid` when a buffer is not in host memory.
pub fn hash_column(batch: &DeviceBatch, columns: &[usize]) -> Result<Vec<[u32; 2]>> {
    let read = columns.iter().map(|c| {
        let column = &batch.columns[*c];
        Ok((column.ty, HostColumn::new(column)?))
    });
    let read: Vec<(PhysType, HostColumn<'_>)> = read.collect::<Result<_>>()?;
    Ok(groups(batch.rows, TASK, |first, out| {
        // The multiplications are of 32 bits, which x86-64's first vectors do not have; AVX2
        // has eight at a time.
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the feature.
            return unsafe { hash_rows_avx2(&read, first, out) };
        }
        hash_rows(&read, first, out);
    }))
}

/// [`hash_rows`], compiled for processors with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn hash_rows_avx2(
    read: &[(PhysType, HostColumn<'_>)],
    first: usize,
    out: &mut Group<'_, [u32; 2]>,
) {
    hash_rows(read, first, out);
}

/// The hashes of the rows from `first` on, as many as `out` has places for.
#[inline(always)]
fn hash_rows(read: &[(PhysType, HostColumn<'_>)], first: usize, out: &mut Group<'_, [u32; 2]>) {
    let mut lanes = Lanes { h1: [0; CHUNK], h2: [0; CHUNK] };
    let (mut low, mut high) = ([0u64; CHUNK], [0u64; CHUNK]);
    let mut live = [true; CHUNK];
    let end = first + out.len();
    for first in (first..end).step_by(CHUNK) {
        let range = first..(first + CHUNK).min(end);
        let n = range.len();
        (lanes.h1, lanes.h2) = ([SEED; CHUNK], [0; CHUNK]);
        for (ty, column) in read {
            column.words(&range, &mut low[..n]);
            let live = column.nullable().then(|| {
                live[..n].fill(true);
                column.clear_nulls(&range, &mut live[..n]);
                &live[..n]
            });
            match ty.words() {
                1 => lanes.fold::<1>(&low[..n], &[], live),
                2 => lanes.fold::<2>(&low[..n], &[], live),
                _ => {
                    column.high_words(&range, &mut high[..n]);
                    lanes.fold::<4>(&low[..n], &high[..n], live);
                }
            }
        }
        out.extend(lanes.h1[..n].iter().zip(&lanes.h2[..n]).map(|(low, high)| [*low, *high]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MurmurHash64B as SMHasher has it, over bytes.
    fn murmur64b(bytes: &[u8], seed: u64) -> u64 {
        let (mut h1, mut h2) = (seed as u32 ^ bytes.len() as u32, (seed >> 32) as u32);
        for (at, word) in bytes.chunks_exact(4).enumerate() {
            let k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
            let k = (k ^ (k >> 24)).wrapping_mul(M);
            let h = if at % 2 == 0 { &mut h1 } else { &mut h2 };
            *h = h.wrapping_mul(M) ^ k;
        }
        h1 = (h1 ^ (h2 >> 18)).wrapping_mul(M);
        h2 = (h2 ^ (h1 >> 22)).wrapping_mul(M);
        h1 = (h1 ^ (h2 >> 17)).wrapping_mul(M);
        h2 = (h2 ^ (h1 >> 19)).wrapping_mul(M);
        u64::from(h1) << 32 | u64::from(h2)
    }

    #[test]
    fn the_lanes_are_the_published_hash() {
        let mut lanes = Lanes { h1: [SEED; CHUNK], h2: [0; CHUNK] };
        let low: Vec<u64> =
            (0..CHUNK as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let high: Vec<u64> = low.iter().map(|v| v.rotate_left(17)).collect();
        lanes.fold::<1>(&low, &[], None);
        lanes.fold::<2>(&low, &[], None);
        lanes.fold::<4>(&low, &high, None);
        lanes.fold::<2>(&low, &[], Some(&[false; CHUNK]));
        for i in 0..CHUNK {
            let four = murmur64b(&(low[i] as u32).to_le_bytes(), u64::from(SEED));
            let eight = murmur64b(&low[i].to_le_bytes(), four);
            let wide = u128::from(high[i]) << 64 | u128::from(low[i]);
            let want = murmur64b(&[], murmur64b(&wide.to_le_bytes(), eight));
            assert_eq!(u64::from(lanes.h2[i]) << 32 | u64::from(lanes.h1[i]), want);
        }
    }
}
