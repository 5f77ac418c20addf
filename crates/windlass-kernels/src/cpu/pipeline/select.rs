//! The rows that the filter leaves, of a chunk or of several: as bits and as row numbers.

use std::cell::{Cell, OnceCell};

use super::{CHUNK_ROWS, bits::BitBuilder};

/// Words with at most this many ones are gone through one by one. A guess: eight steps of eight
/// places find the ones of a word otherwise.
const FEW: usize = 8;

/// For each byte the places of its ones, lowest first.
pub(super) const PLACES: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut at) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte][at] = bit;
                at += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

/// Bytes of 0 or 1, as the bits of a byte, first one lowest.
#[inline(always)]
pub(super) fn pack(bytes: [u8; 8]) -> u8 {
    // Little-endian, times this constant, the low bits lie side by side in the top byte.
    (u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

/// The bits of a byte as bytes of 0 or 1, lowest first.
#[inline(always)]
pub(super) fn spread(byte: u8) -> [u8; 8] {
    // Bit `k` of the byte alone in byte `k`; then whatever it is carries into the top bit.
    let apart = u64::from(byte).wrapping_mul(0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
    let top = apart.wrapping_add(0x7f7f_7f7f_7f7f_7f7f) >> 7;
    (top & 0x0101_0101_0101_0101).to_le_bytes()
}

/// 64 bytes of 0 or 1 as bits, first one lowest.
#[inline(always)]
pub(super) fn pack_word(bytes: &[u8; 64]) -> u64 {
    let groups = bytes.as_chunks::<8>().0.iter().enumerate();
    groups.fold(0, |word, (k, group)| word | u64::from(pack(*group)) << (8 * k))
}

/// Selected rows of a chunk, or of several one after the other.
#[derive(Default)]
pub(super) struct Selection {
    /// Rows that there are.
    pub(super) of: usize,
    /// How many of them are selected.
    pub(super) count: usize,
    /// A bit for each of them; 0 past the last.
    pub(super) words: Vec<u64>,
    /// Their numbers, ascending, once they are asked for.
    rows: OnceCell<Vec<u32>>,
    /// Memory of earlier numbers.
    spare: Cell<Vec<u32>>,
}

impl std::fmt::Debug for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Selection({} of {})", self.count, self.of)
    }
}

impl Selection {
    /// Selects the rows whose byte in `values`, and in `valid` where there is one, is 1.
    pub(super) fn set(&mut self, values: &[u8], valid: Option<&[u8]>) {
        assert!(values.len() <= CHUNK_ROWS, "a chunk");
        self.forget_rows();
        self.of = values.len();
        self.words.resize(values.len().div_ceil(64), 0);
        #[cfg(target_arch = "x86_64")]
        if wide_vectors() {
            // SAFETY: the processor has the features.
            return unsafe { self.set_avx2(values, valid) };
        }
        self.set_here(values, valid, pack_word);
    }

    /// [`Selection::set_here`], compiled for processors with AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,lzcnt,popcnt")]
    fn set_avx2(&mut self, values: &[u8], valid: Option<&[u8]>) {
        // SAFETY: the processor has the feature, as this function says.
        self.set_here(values, valid, |bytes| unsafe { pack_word_avx2(bytes) });
    }

    #[inline(always)]
    fn set_here(&mut self, values: &[u8], valid: Option<&[u8]>, pack: impl Fn(&[u8; 64]) -> u64) {
        let words = &mut self.words[..];
        let (whole, rest) = values.as_chunks::<64>();
        words.iter_mut().zip(whole).for_each(|(word, bytes)| *word = pack(bytes));
        if let Some(last) = words.get_mut(whole.len()) {
            *last = pack(&padded(rest));
        }
        if let Some(valid) = valid {
            let (whole, rest) = valid[..values.len()].as_chunks::<64>();
            words.iter_mut().zip(whole).for_each(|(word, bytes)| *word &= pack(bytes));
            if let Some(last) = words.get_mut(whole.len()) {
                *last &= pack(&padded(rest));
            }
        }
        self.count = words.iter().map(|word| word.count_ones() as usize).sum();
    }

    /// Selects no row, of none.
    pub(super) fn clear(&mut self) {
        self.forget_rows();
        (self.of, self.count) = (0, 0);
        self.words.clear();
    }

    /// Adds a chunk of `n` rows behind those there are, whose number is a multiple of 64: its
    /// selected ones, or with no selection all.
    pub(super) fn extend(&mut self, selected: Option<&Self>, n: usize) {
        assert!(self.of.is_multiple_of(64), "whole words");
        self.forget_rows();
        match selected {
            Some(chunk) => {
                assert_eq!(chunk.of, n, "a chunk's selection");
                self.words.extend_from_slice(&chunk.words);
                self.count += chunk.count;
            }
            None => {
                let last = |row: usize| u64::MAX >> (64 - (n - row).min(64));
                self.words.extend((0..n).step_by(64).map(last));
                self.count += n;
            }
        }
        self.of += n;
    }

    fn forget_rows(&mut self) {
        if let Some(rows) = self.rows.take() {
            self.spare.set(rows);
        }
    }

    /// The numbers of the selected rows.
    fn numbers(&self) -> Vec<u32> {
        #[cfg(target_arch = "x86_64")]
        if wide_vectors() {
            // SAFETY: the processor has the features.
            return unsafe { self.numbers_avx2() };
        }
        self.numbers_here()
    }

    /// [`Selection::numbers_here`], compiled for processors with AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,lzcnt,popcnt")]
    fn numbers_avx2(&self) -> Vec<u32> {
        self.numbers_here()
    }

    #[inline(always)]
    fn numbers_here(&self) -> Vec<u32> {
        // Eight places are written for every byte of bits, or for every word of few, and as many
        // kept as it has ones: the ends of loops of so few steps would be guessed wrong.
        let mut rows = self.spare.take();
        rows.resize(self.count + FEW, 0);
        let mut count = 0;
        for (word, first) in self.words.iter().zip((0u32..).step_by(64)) {
            let ones = word.count_ones() as usize;
            if ones <= FEW {
                let out = &mut rows[count..count + FEW];
                let mut left = *word;
                let mut write = |out: &mut [u32]| {
                    for out in out {
                        *out = first.wrapping_add(left.trailing_zeros());
                        left &= left.wrapping_sub(1);
                    }
                };
                let (half, other) = out.split_at_mut(FEW / 2);
                write(half);
                if ones > FEW / 2 {
                    write(other);
                }
                count += ones;
                continue;
            }
            for (byte, first) in word.to_le_bytes().into_iter().zip((first..).step_by(8)) {
                let out = &mut rows[count..count + 8];
                for (out, place) in out.iter_mut().zip(PLACES[usize::from(byte)]) {
                    *out = first + u32::from(place);
                }
                count += byte.count_ones() as usize;
            }
        }
        rows.truncate(count);
        rows
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Their numbers, ascending.
    pub(super) fn rows(&self) -> &[u32] {
        self.rows.get_or_init(|| self.numbers())
    }

    /// Appends the bits of the selected rows; `bits` gives those of 64 rows from a row on.
    pub(super) fn compress_bits(&self, bits: impl Fn(usize) -> u64, out: &mut BitBuilder) {
        #[cfg(target_arch = "x86_64")]
        if widest_vectors() {
            // SAFETY: the processor has the features.
            return unsafe { self.compress_bits_bmi2(bits, out) };
        }
        self.compress_bits_here(bits, out, extract);
    }

    /// [`Selection::compress_bits_here`] by an instruction.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "bmi2,popcnt")]
    fn compress_bits_bmi2(&self, bits: impl Fn(usize) -> u64, out: &mut BitBuilder) {
        self.compress_bits_here(bits, out, |bits, mask| std::arch::x86_64::_pext_u64(bits, mask));
    }

    #[inline(always)]
    fn compress_bits_here(
        &self,
        bits: impl Fn(usize) -> u64,
        out: &mut BitBuilder,
        extract: impl Fn(u64, u64) -> u64,
    ) {
        for (w, mask) in self.words.iter().enumerate() {
            if *mask != 0 {
                out.push(extract(bits(w * 64), *mask), mask.count_ones() as usize);
            }
        }
    }
}

/// The bits of a word in the places where `mask` has ones, side by side from the lowest on: in
/// six steps each moves by a power of two, as many places as zeros of the mask are below it
/// (Warren, Hacker's Delight, 2nd edition, 7-4).
fn extract(bits: u64, mask: u64) -> u64 {
    let (mut bits, mut mask) = (bits & mask, mask);
    // Zeros below each place, of which each step looks at one binary digit.
    let mut zeros = !mask << 1;
    for step in 0..6 {
        let odd = (0..6).fold(zeros, |odd, k| odd ^ odd << (1 << k));
        let moved = odd & mask;
        mask = mask ^ moved | moved >> (1 << step);
        let shifted = bits & moved;
        bits = bits ^ shifted | shifted >> (1 << step);
        zeros &= !odd;
    }
    bits
}

/// Bytes of the last rows, and zeros.
fn padded(bytes: &[u8]) -> [u8; 64] {
    let mut all = [0; 64];
    all[..bytes.len()].copy_from_slice(bytes);
    all
}

/// [`pack_word`] by instructions.
///
/// # Safety
/// The processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn pack_word_avx2(bytes: &[u8; 64]) -> u64 {
    use std::arch::x86_64::{_mm256_loadu_si256, _mm256_movemask_epi8, _mm256_slli_epi16};
    let half = |at: usize| {
        // SAFETY: 32 of the bytes.
        let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().add(at).cast()) };
        // The lowest bit of each byte becomes its highest.
        u64::from(_mm256_movemask_epi8(_mm256_slli_epi16::<7>(bytes)) as u32)
    };
    half(0) | half(32) << 32
}

/// Whether the processor has what most functions above are compiled for.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn wide_vectors() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("bmi1") && has!("lzcnt") && has!("popcnt")
}

/// Whether it has the others. Those that have are also fast at BMI2's extraction, which earlier
/// ones of AMD are not (Fog's instruction tables).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn widest_vectors() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx512f") && has!("bmi2") && has!("popcnt")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every `step`th of `n` bytes is 1.
    fn bytes(n: usize, step: usize) -> Vec<u8> {
        (0..n).map(|i| u8::from(i % step == step / 2)).collect()
    }

    /// Filters of chunks of many lengths, a byte for each row.
    pub(in super::super) fn all() -> impl Iterator<Item = (usize, Vec<u8>)> {
        let lengths = [0, 1, 7, 8, 9, 63, 64, 65, 100, 128, 1000, CHUNK_ROWS];
        let steps = [1, 2, 3, 7, 13, 40, 2000];
        lengths.into_iter().flat_map(move |n| {
            let mixed = (0..n).map(|i| u8::from(i * i % 11 < 5 || i / 128 == 1)).collect();
            steps.iter().map(|s| (n, bytes(n, *s))).chain([(n, mixed)]).collect::<Vec<_>>()
        })
    }

    #[test]
    fn ones_are_found_at_every_length() {
        for (n, bytes) in all() {
            let valid: Vec<u8> = (0..n).map(|i| u8::from(i % 5 != 1)).collect();
            let want = |valid: Option<&[u8]>| -> Vec<u32> {
                let keep = |i: usize| bytes[i] & valid.map_or(1, |v| v[i]) == 1;
                (0..n as u32).filter(|i| keep(*i as usize)).collect()
            };
            for valid in [None, Some(&valid[..])] {
                let rows = OnceCell::from(vec![7; 3]);
                let old = || Selection {
                    of: 3,
                    count: 3,
                    words: vec![7],
                    rows: rows.clone(),
                    spare: Cell::default(),
                };
                let mut got = old();
                got.set(&bytes, valid);
                assert_eq!((got.len(), got.rows()), (want(valid).len(), &want(valid)[..]), "{n}");
                let mut portable = old();
                (portable.of, portable.words) = (n, vec![7; n.div_ceil(64)]);
                portable.set_here(&bytes, valid, pack_word);
                assert_eq!(portable.len(), want(valid).len(), "{n}");
                assert_eq!(portable.numbers_here(), want(valid), "{n}");
            }
        }
    }

    #[test]
    fn chunks_lie_behind_one_another() {
        let mut all = Selection::default();
        for _ in 0..2 {
            all.clear();
            let mut want: Vec<u32> = Vec::new();
            for (part, step) in [1, 7, 0, 100].into_iter().enumerate() {
                let n = if part == 3 { 70 } else { CHUNK_ROWS };
                let mut chunk = Selection::default();
                chunk.set(&bytes(n, step.max(1)), None);
                let first = all.of as u32;
                let rows = if step == 0 { 0..n as u32 } else { 0..0 };
                want.extend(rows.map(|row| first + row));
                if step == 0 {
                    all.extend(None, n);
                } else {
                    want.extend(chunk.rows().iter().map(|row| first + row));
                    all.extend(Some(&chunk), n);
                }
                assert_eq!((all.len(), all.rows()), (want.len(), &want[..]));
            }
            assert_eq!(all.of, 3 * CHUNK_ROWS + 70);
        }
    }

    #[test]
    fn bits_of_every_selection_are_brought_together() {
        for (n, bytes) in all() {
            let mut selection = Selection::default();
            selection.set(&bytes, None);
            let words: Vec<u64> = (0..CHUNK_ROWS as u64 / 64)
                .map(|w| (w + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .collect();
            let bit = |row: usize| words[row / 64] >> (row % 64) & 1;
            let want: Vec<u64> = (0..n).filter(|r| bytes[*r] == 1).map(bit).collect();
            let (mut out, mut portable) = (BitBuilder::default(), BitBuilder::default());
            selection.compress_bits(|row| words[row / 64], &mut out);
            selection.compress_bits_here(|row| words[row / 64], &mut portable, extract);
            for got in [out.finish(), portable.finish()] {
                assert_eq!(got.len(), want.len().div_ceil(8), "{n}");
                let got = (0..want.len()).map(|i| u64::from(got[i / 8] >> (i % 8) & 1));
                assert_eq!(got.collect::<Vec<_>>(), want, "{n}");
            }
        }
    }

    #[test]
    fn bits_become_bytes_and_bits_again() {
        for byte in 0..=255u8 {
            let bytes = spread(byte);
            assert!((0..8).all(|k| bytes[k] == byte >> k & 1), "{byte}");
            assert_eq!(pack(bytes), byte);
        }
        let bytes: [u8; 64] = std::array::from_fn(|i| u8::from(i % 3 == 0));
        assert!((0..64).all(|k| pack_word(&bytes) >> k & 1 == u64::from(bytes[k])));
        #[cfg(target_arch = "x86_64")]
        if wide_vectors() {
            // SAFETY: the processor has the feature.
            assert_eq!(unsafe { pack_word_avx2(&bytes) }, pack_word(&bytes));
        }
    }
}
