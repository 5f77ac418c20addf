//! The twin of `kernels/hash/hash_column.cu`: the hashes of a chunk of rows go through one loop
//! for each column, of which the compiler makes vector code.

use super::read::HostColumn;
use crate::{
    column::DeviceBatch,
    cpu::pieces::{Group, groups},
    error::Result,
    hash::SEED,
    types::PhysType,
};

/// Rows that are hashed at a time: hashes and values stay in the first-level cache.
const CHUNK: usize = 1024;
/// Rows of a task: a thread's start is small beside it (a guess).
const TASK: usize = 64 * CHUNK;
/// The multiplier of MurmurHash2.
const M: u32 = 0x5bd1_e995;

#[inline(always)]
fn feed(lane: u32, word: u32) -> u32 {
    let k = word.wrapping_mul(M);
    lane.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M)
}

/// The two lanes as a hash, whose high word is the first of them.
#[inline(always)]
fn finish(mut h1: u32, mut h2: u32) -> u64 {
    h1 = (h1 ^ (h2 >> 18)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 22)).wrapping_mul(M);
    h1 = (h1 ^ (h2 >> 17)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 19)).wrapping_mul(M);
    u64::from(h1) << 32 | u64::from(h2)
}

/// Folds one value of each row, of `WORDS` 32-bit words, into the hashes, which seed it: the low
/// word seeds the first lane. `live` tells which rows are not null.
#[inline(always)]
fn fold<const WORDS: usize>(
    hashes: &mut [u64],
    values: impl Iterator<Item = [u32; WORDS]>,
    live: Option<&[bool]>,
) {
    let lanes = |seed: u64, words: [u32; WORDS]| {
        let mut h1 = feed(seed as u32 ^ (WORDS as u32 * 4), words[0]);
        let mut h2 = (seed >> 32) as u32;
        if WORDS >= 2 {
            h2 = feed(h2, words[1]);
        }
        if WORDS == 4 {
            (h1, h2) = (feed(h1, words[2]), feed(h2, words[3]));
        }
        (h1, h2)
    };
    match live {
        None => {
            for (hash, words) in hashes.iter_mut().zip(values) {
                let (h1, h2) = lanes(*hash, words);
                *hash = finish(h1, h2);
            }
        }
        Some(live) => {
            for ((hash, words), live) in hashes.iter_mut().zip(values).zip(live) {
                let seed = (*hash as u32, (*hash >> 32) as u32);
                let fed = lanes(*hash, words);
                // Two selects, so that there is no branch.
                let h1 = if *live { fed.0 } else { seed.0 };
                let h2 = if *live { fed.1 } else { seed.1 };
                *hash = finish(h1, h2);
            }
        }
    }
}

#[inline(always)]
fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// As [`fold`], of values that are not null.
#[inline(always)]
fn fold_all<const WORDS: usize, const BYTES: usize, const AVX2: bool>(
    hashes: &mut [u64],
    values: &[[u8; BYTES]],
) {
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if AVX2 {
        // SAFETY: the caller's processor has the feature.
        done = unsafe { fold_avx2::<WORDS, BYTES>(hashes, values) };
    }
    let words = |value: &[u8; BYTES]| {
        let word = |at: usize| {
            let bytes = value.as_chunks::<4>().0;
            u32::from_le_bytes(bytes[at])
        };
        std::array::from_fn(word)
    };
    fold::<WORDS>(&mut hashes[done..], values[done..].iter().map(words), None);
}

/// The values of as many rows as make groups of eight; returns their number. By hand it takes
/// half the time of what the compiler makes of [`fold`], which works on four rows at a time.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn fold_avx2<const WORDS: usize, const BYTES: usize>(
    hashes: &mut [u64],
    values: &[[u8; BYTES]],
) -> usize {
    use std::arch::x86_64::{
        __m256i, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_loadu_si256, _mm256_mullo_epi32,
        _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_shuffle_ps, _mm256_srli_epi32,
        _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpacklo_epi32, _mm256_xor_si256,
    };
    const { assert!(BYTES == 4 * WORDS && (WORDS == 1 || WORDS == 2)) };
    let m = _mm256_set1_epi32(M as i32);
    let mul = |a: __m256i| _mm256_mullo_epi32(a, m);
    let xor = |a: __m256i, b: __m256i| _mm256_xor_si256(a, b);
    let feed = |lane: __m256i, word: __m256i| {
        let k = mul(word);
        xor(mul(lane), mul(xor(k, _mm256_srli_epi32::<24>(k))))
    };
    // The low and the high words of two groups of four: rows 0, 1, 4, 5, 2, 3, 6, 7.
    let split = |[a, b]: [__m256i; 2]| {
        let (a, b) = (_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
        let (low, high) = (_mm256_shuffle_ps::<0x88>(a, b), _mm256_shuffle_ps::<0xdd>(a, b));
        (_mm256_castps_si256(low), _mm256_castps_si256(high))
    };
    // SAFETY: the pointers are to eight values of eight bytes.
    let eight = |at: *const u64| unsafe {
        [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(4).cast())]
    };
    let n = hashes.len().min(values.len()) / 8 * 8;
    let groups = hashes[..n].as_chunks_mut::<8>().0.iter_mut();
    for (hashes, values) in groups.zip(values.as_chunks::<8>().0) {
        let (seed1, seed2) = split(eight(hashes.as_ptr()));
        let seed1 = xor(seed1, _mm256_set1_epi32(BYTES as i32));
        let (mut h1, mut h2) = match WORDS {
            1 => {
                // SAFETY: there are eight values of four bytes.
                let words = unsafe { _mm256_loadu_si256(values.as_ptr().cast()) };
                (feed(seed1, _mm256_permute4x64_epi64::<0xd8>(words)), seed2)
            }
            _ => {
                let (low, high) = split(eight(values.as_ptr().cast()));
                (feed(seed1, low), feed(seed2, high))
            }
        };
        h1 = mul(xor(h1, _mm256_srli_epi32::<18>(h2)));
        h2 = mul(xor(h2, _mm256_srli_epi32::<22>(h1)));
        h1 = mul(xor(h1, _mm256_srli_epi32::<17>(h2)));
        h2 = mul(xor(h2, _mm256_srli_epi32::<19>(h1)));
        // SAFETY: there is place for eight hashes of eight bytes.
        unsafe {
            let at = hashes.as_mut_ptr();
            _mm256_storeu_si256(at.cast(), _mm256_unpacklo_epi32(h2, h1));
            _mm256_storeu_si256(at.add(4).cast(), _mm256_unpackhi_epi32(h2, h1));
        }
    }
    n
}

/// One 64-bit hash for each row over `columns`, whose low word comes first in memory.
///
/// # Errors
/// `Invalid` when a buffer is not in host memory.
pub fn hash_column(batch: &DeviceBatch, columns: &[usize]) -> Result<Vec<u64>> {
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
        hash_rows::<false>(&read, first, out);
    }))
}

/// [`hash_rows`], compiled for processors with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn hash_rows_avx2(read: &[(PhysType, HostColumn<'_>)], first: usize, out: &mut Group<'_, u64>) {
    hash_rows::<true>(read, first, out);
}

/// The hashes of the rows from `first` on, as many as `out` has places for. `AVX2`: whether it is
/// compiled for a processor that has it.
#[inline(always)]
fn hash_rows<const AVX2: bool>(
    read: &[(PhysType, HostColumn<'_>)],
    first: usize,
    out: &mut Group<'_, u64>,
) {
    let (mut low, mut high) = ([0u64; CHUNK], [0u64; CHUNK]);
    let mut live = [true; CHUNK];
    let end = first + out.len();
    for first in (first..end).step_by(CHUNK) {
        let range = first..(first + CHUNK).min(end);
        let n = range.len();
        let hashes = out.start(n, u64::from(SEED));
        for (ty, column) in read {
            if !column.nullable() {
                if let Some(longs) = column.longs(&range) {
                    fold_all::<2, 8, AVX2>(hashes, longs);
                    continue;
                }
                if let Some(words) = column.plain_words(&range) {
                    fold_all::<1, 4, AVX2>(hashes, words);
                    continue;
                }
            }
            let live = column.nullable().then(|| {
                live[..n].fill(true);
                column.clear_nulls(&range, &mut live[..n]);
                &live[..n]
            });
            let low = &mut low[..n];
            column.words(&range, low);
            match ty.words() {
                1 => fold::<1>(hashes, low.iter().map(|v| [*v as u32]), live),
                2 => fold::<2>(hashes, low.iter().map(|v| halves(*v)), live),
                _ => {
                    let high = &mut high[..n];
                    column.high_words(&range, high);
                    let values = low.iter().zip(&*high).map(|(low, high)| {
                        let ([a, b], [c, d]) = (halves(*low), halves(*high));
                        [a, b, c, d]
                    });
                    fold::<4>(hashes, values, live);
                }
            }
        }
        if cfg!(target_endian = "big") {
            hashes.iter_mut().for_each(|h| *h = h.rotate_left(32));
        }
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
        let values: Vec<u64> =
            (0..CHUNK as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let mut hashes = vec![u64::from(SEED); CHUNK];
        let long = |v: &u64| halves(*v);
        let wide = |v: &u64| {
            let ([a, b], [c, d]) = (halves(*v), halves(v.rotate_left(17)));
            [a, b, c, d]
        };
        fold::<1>(&mut hashes, values.iter().map(|v| [*v as u32]), None);
        fold::<2>(&mut hashes, values.iter().map(long), None);
        fold::<4>(&mut hashes, values.iter().map(wide), Some(&[true; CHUNK]));
        fold::<2>(&mut hashes, values.iter().map(long), Some(&[false; CHUNK]));
        for (value, hash) in values.iter().zip(hashes) {
            let four = murmur64b(&(*value as u32).to_le_bytes(), u64::from(SEED));
            let eight = murmur64b(&value.to_le_bytes(), four);
            let wide = u128::from(value.rotate_left(17)) << 64 | u128::from(*value);
            let want = murmur64b(&[], murmur64b(&wide.to_le_bytes(), eight));
            assert_eq!(hash, want);
        }
    }

    #[test]
    fn groups_of_eight_and_what_is_left_hash_alike() {
        for n in [0, 1, 7, 8, 9, 64, 100] {
            let seeds: Vec<u64> = (0..n as u64).map(|i| !i.wrapping_mul(0x9e37_79b9)).collect();
            let longs: Vec<[u8; 8]> =
                seeds.iter().map(|s| s.rotate_left(9).to_le_bytes()).collect();
            let words: Vec<[u8; 4]> =
                seeds.iter().map(|s| (*s as u32 ^ 77).to_le_bytes()).collect();
            let mut here = seeds.clone();
            fold_all::<2, 8, false>(&mut here, &longs);
            fold_all::<1, 4, false>(&mut here, &words);
            let want = seeds
                .iter()
                .zip(&longs)
                .zip(&words)
                .map(|((seed, long), word)| murmur64b(word, murmur64b(long, *seed)));
            assert_eq!(here, want.collect::<Vec<u64>>(), "{n}");
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                let mut wide = seeds;
                fold_all::<2, 8, true>(&mut wide, &longs);
                fold_all::<1, 4, true>(&mut wide, &words);
                assert_eq!(wide, here, "{n}");
            }
        }
    }
}
