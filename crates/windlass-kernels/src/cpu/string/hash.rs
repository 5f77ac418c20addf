//! Hashes of texts: short ones by their heads, a block of rows at a time as vector code.

use windlass_device::{Device, DeviceBuffer, Reservation};

use super::{
    head::HEAD,
    read::{HostTexts, Rows, with_rows},
};
use crate::{
    column::DeviceColumn,
    cpu::{
        memory::adopt,
        pieces::{PIECE, groups, tabulate},
        view::{Bits, aligned_words},
    },
    error::Result,
    hash::SEED,
    string::StringColumn,
};

/// The multiplier of MurmurHash2.
const M: u32 = 0x5bd1_e995;

/// Rows whose heads are hashed together: their words take 1.5 KiB of the first-level cache.
const BLOCK: usize = 64;

#[inline(always)]
fn feed(lane: u32, word: u32) -> u32 {
    let k = word.wrapping_mul(M);
    lane.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M)
}

/// MurmurHash64B of bytes, with the seed's and the result's low half first.
#[inline(always)]
fn murmur([mut h1, mut h2]: [u32; 2], text: &[u8]) -> [u32; 2] {
    let word = |b: &[u8; 4]| u32::from_le_bytes(*b);
    h1 ^= text.len() as u32;
    let (words, tail) = text.as_chunks::<4>();
    let mut pairs = words.chunks_exact(2);
    for pair in &mut pairs {
        h1 = feed(h1, word(&pair[0]));
        h2 = feed(h2, word(&pair[1]));
    }
    if let [last] = pairs.remainder() {
        h1 = feed(h1, word(last));
    }
    if !tail.is_empty() {
        let tail = tail.iter().rev().fold(0, |word, b| word << 8 | u32::from(*b));
        h2 = (h2 ^ tail).wrapping_mul(M);
    }
    finish(h1, h2)
}

/// The low word of the hash and the high one.
#[inline(always)]
fn finish(mut h1: u32, mut h2: u32) -> [u32; 2] {
    h1 = (h1 ^ (h2 >> 18)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 22)).wrapping_mul(M);
    h1 = (h1 ^ (h2 >> 17)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 19)).wrapping_mul(M);
    [h2, h1]
}

/// Texts of up to [`HEAD`] bytes: their lengths, their words and the lanes that seed their hashes,
/// each by itself, so that every step is vector code.
struct Block {
    lens: [u32; BLOCK],
    words: [[u32; BLOCK]; HEAD / 4],
    first: [u32; BLOCK],
    second: [u32; BLOCK],
}

impl Block {
    /// As [`murmur`] of each: what it leaves out by a branch is computed and not taken.
    #[inline(always)]
    fn hash(&mut self) {
        let [w0, w1, w2, w3] = &self.words;
        for k in 0..BLOCK {
            let (len, mut h1, mut h2) = (self.lens[k], self.first[k], self.second[k]);
            h1 ^= len;
            h1 = take(len >= 4, feed(h1, w0[k]), h1);
            h2 = take(len >= 8, feed(h2, w1[k]), h2);
            h1 = take(len >= 12, feed(h1, w2[k]), h1);
            h2 = take(len >= 16, feed(h2, w3[k]), h2);
            let tail = take(len >= 4, w1[k], w0[k]);
            let tail = take(len >= 8, w2[k], tail);
            let tail = take(len >= 12, w3[k], tail);
            h2 = take(!len.is_multiple_of(4), (h2 ^ tail).wrapping_mul(M), h2);
            [self.first[k], self.second[k]] = finish(h1, h2);
        }
    }
}

/// The first of two numbers, or the second; by bits, of which the compiler makes no branch.
#[inline(always)]
fn take(first: bool, a: u32, b: u32) -> u32 {
    b ^ ((a ^ b) & u32::from(first).wrapping_neg())
}

/// The hashes of `n` texts, each from its seed: of no bytes where `row_of` has no row.
fn hashes(
    n: usize,
    rows: &impl Rows,
    row_of: impl Fn(usize) -> Option<usize> + Sync,
    seed: impl Fn(usize) -> [u32; 2] + Sync,
) -> Vec<[u32; 2]> {
    groups(n, PIECE, |start, out| {
        let end = start + out.len();
        let (lens, words, [first, second]) = ([0; BLOCK], [[0; BLOCK]; HEAD / 4], [[0; BLOCK]; 2]);
        let mut block = Block { lens, words, first, second };
        let mut long = [[0; 2]; BLOCK];
        for from in (start..end).step_by(BLOCK) {
            let n = BLOCK.min(end - from);
            let mut are_long = 0u64;
            for k in 0..n {
                let (row, seed) = (row_of(from + k), seed(from + k));
                let head = row.map(|r| rows.head(r)).unwrap_or_default();
                if head.len as usize > HEAD {
                    long[k] = murmur(seed, row.map_or(&[][..], |r| rows.get(r)));
                    are_long |= 1 << k;
                    continue;
                }
                block.lens[k] = head.len;
                for (at, words) in block.words.iter_mut().enumerate() {
                    words[k] = (head.bytes >> (32 * at)) as u32;
                }
                [block.first[k], block.second[k]] = seed;
            }
            if are_long.count_ones() < n as u32 {
                block.hash();
            }
            let short = block.first.iter().zip(&block.second).map(|(low, high)| [*low, *high]);
            if are_long == 0 {
                out.extend(short.take(n));
            } else {
                let both = short.zip(&long).take(n).enumerate();
                out.extend(both.map(|(k, (short, long))| match are_long >> k & 1 {
                    0 => short,
                    _ => *long,
                }));
            }
        }
    })
}

/// Row hashes, folded into those of other columns where there are some.
///
/// # Errors
/// Those of reading the column; `OutOfMemory`.
pub(crate) fn hash(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &StringColumn,
    (codes, n): (Option<&DeviceColumn>, usize),
    before: Option<&DeviceBuffer>,
) -> Result<DeviceBuffer> {
    let (texts, valid) = (HostTexts::new(operation, c)?, Bits::of(&c.validity)?);
    let before = before.map(|b| aligned_words(b, n * 2)).transpose()?;
    let numbers = codes.map(|c| aligned_words(&c.values, n)).transpose()?;
    let live = codes.map(|c| Bits::of(&c.validity)).transpose()?;
    // A null is hashed as no bytes.
    let there = |row: usize| Some(row).filter(|r| *r < c.rows && valid.get(*r) == Some(true));
    let plain = |_| [SEED, 0];
    let hashes = match (&numbers, &live, &before) {
        (Some(numbers), Some(live), None) if c.rows <= n => {
            // The same seed everywhere: the hash of each text is taken from a table.
            let none = murmur(plain(0), &[]);
            let table = with_rows!(&texts, rows => hashes(c.rows, rows, there, plain));
            tabulate(n, |i| match live.get(i) {
                Some(true) => table.get(numbers[i] as usize).copied().unwrap_or(none),
                _ => none,
            })
        }
        (numbers, live, before) => {
            let row_of = |i: usize| match (numbers, live) {
                (Some(numbers), Some(live)) if live.get(i) != Some(true) => None,
                (Some(numbers), Some(_)) => there(numbers[i] as usize),
                _ => there(i),
            };
            match before {
                None => with_rows!(&texts, rows => hashes(n, rows, row_of, plain)),
                Some(b) => with_rows!(&texts, rows => {
                    hashes(n, rows, row_of, |i| [b[i * 2], b[i * 2 + 1]])
                }),
            }
        }
    };
    adopt(device, reservation, hashes)
}

#[cfg(test)]
mod tests {
    use super::{super::read::OffsetRows, *};

    /// The conformance tests compare with the published hash; here every byte must count.
    #[test]
    fn a_tail_is_hashed() {
        let hashes: Vec<_> = (0..9).map(|n| murmur([SEED, 0], &b"abcdefgh"[..n])).collect();
        for (i, a) in hashes.iter().enumerate() {
            assert!(hashes[..i].iter().all(|b| a != b));
        }
    }

    #[test]
    fn blocks_hash_as_one_text_after_the_other() {
        let bytes: Vec<u8> = (0..4000u32).map(|i| ((i * 37) >> 3) as u8).collect();
        // Lengths of up to 16 for two blocks, then some that are longer, then long ones alone.
        let lens = (0..300usize).map(|i| match i {
            0..130 => i % 17,
            130..220 => i % 23,
            _ => 17 + i % 9,
        });
        let mut offsets = vec![3u32];
        offsets.extend(lens.scan(3, |at, len| {
            *at += len as u32;
            Some(*at)
        }));
        let bytes = &bytes[..offsets[300] as usize];
        let offsets: Vec<[u8; 4]> = offsets.into_iter().map(u32::to_le_bytes).collect();
        let rows = OffsetRows { offsets: &offsets, bytes };
        let row_of = |i: usize| Some(i).filter(|i| i % 11 != 5);
        let seed = |i: usize| [i as u32 * 77, !(i as u32)];
        for n in [0, 1, 63, 64, 65, 300] {
            let got = hashes(n, &rows, row_of, seed);
            let text = |i: usize| row_of(i).map_or(&[][..], |r| rows.get(r));
            let want: Vec<[u32; 2]> = (0..n).map(|i| murmur(seed(i), text(i))).collect();
            assert_eq!(got, want, "{n}");
        }
    }
}
