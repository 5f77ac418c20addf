//! The rows of a chunk that the filter leaves: as bits, as row numbers, and what brings vectors
//! to them.

use bytemuck::Pod;

use super::CHUNK_ROWS;

/// Words of 64 bits for a chunk.
const WORDS: usize = CHUNK_ROWS / 64;

/// With fewer than one row of so many selected, values are fetched by row number, else words of
/// bits tell what is moved side by side: a step then handles 4 or 8 rows, selected or not. A
/// guess that lies between the two (measured 1, 50 and 99 of 100: `filter/filter/*`).
#[cfg(target_arch = "x86_64")]
const SPARSE: usize = 8;

/// Words with at most this many ones are gone through one by one. A guess: eight steps find the
/// ones of a word otherwise.
const FEW: u32 = 6;

/// For each byte the places of its ones, lowest first.
const PLACES: [[u8; 8]; 256] = {
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

/// For four bits the 32-bit lanes of the 64-bit values whose bits are ones, lowest first.
#[cfg(target_arch = "x86_64")]
const LANES: [[u32; 8]; 16] = {
    let mut table = [[0; 8]; 16];
    let mut bits = 0;
    while bits < 16 {
        let mut value = 0;
        while value < 4 {
            let lane = PLACES[bits][value] as u32 * 2;
            table[bits][2 * value] = lane;
            table[bits][2 * value + 1] = lane + 1;
            value += 1;
        }
        bits += 1;
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

/// Selected rows of a chunk.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Rows of the chunk.
    of: usize,
    /// A bit for each of them; 0 past the last, undefined in words after that one's.
    words: [u64; WORDS],
    /// Their numbers, ascending.
    rows: Vec<u32>,
}

impl Selection {
    /// Selects the rows whose byte in `values`, and in `valid` where there is one, is 1.
    pub(super) fn set(&mut self, values: &[u8], valid: Option<&[u8]>) {
        #[cfg(target_arch = "x86_64")]
        if wide_vectors() {
            // SAFETY: the processor has the features.
            return unsafe { self.set_avx2(values, valid) };
        }
        self.set_here(values, valid);
    }

    /// [`Selection::set_here`], compiled for processors with AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,lzcnt,popcnt")]
    fn set_avx2(&mut self, values: &[u8], valid: Option<&[u8]>) {
        self.set_here(values, valid);
    }

    #[inline(always)]
    fn set_here(&mut self, values: &[u8], valid: Option<&[u8]>) {
        assert!(values.len() <= CHUNK_ROWS, "a chunk");
        self.of = values.len();
        let words = values.chunks(64).zip(&mut self.words);
        for (w, (values, word)) in words.enumerate() {
            *word = word_of(values);
            if let Some(valid) = valid {
                *word &= word_of(&valid[w * 64..w * 64 + values.len()]);
            }
        }
        // Eight places are written for every byte of bits, and as many kept as it has ones.
        self.rows.resize(CHUNK_ROWS + 8, 0);
        let mut count = 0;
        for (word, first) in
            self.words[..values.len().div_ceil(64)].iter().zip((0u32..).step_by(64))
        {
            if word.count_ones() <= FEW {
                let mut left = *word;
                while left != 0 {
                    self.rows[count] = first + left.trailing_zeros();
                    count += 1;
                    left &= left - 1;
                }
                continue;
            }
            for (byte, first) in word.to_le_bytes().into_iter().zip((first..).step_by(8)) {
                let out = &mut self.rows[count..count + 8];
                for (out, place) in out.iter_mut().zip(PLACES[usize::from(byte)]) {
                    *out = first + u32::from(place);
                }
                count += byte.count_ones() as usize;
            }
        }
        self.rows.truncate(count);
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Their numbers, ascending.
    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Copies the selected values, of a chunk's in `from`, to the front of `out`, which has as
    /// many places as `from`. What is behind them is undefined.
    pub(super) fn compress<T: Pod>(&self, from: &[T], out: &mut [T]) {
        let n = from.len();
        assert_eq!(n, self.of, "a value for each row of the chunk");
        let out = &mut out[..n];
        #[cfg(target_arch = "x86_64")]
        if self.len() * SPARSE >= n && wide_vectors() {
            let (from, to) = (from.as_ptr(), out.as_mut_ptr());
            match size_of::<T>() {
                // SAFETY: the processor has the features, and both slices have `n` values of
                // this size.
                4 => return unsafe { self.four(from.cast(), to.cast(), n) },
                // SAFETY: as above.
                8 => return unsafe { self.eight(from.cast(), to.cast(), n) },
                _ => {}
            }
        }
        for (out, row) in out.iter_mut().zip(&self.rows) {
            *out = from[*row as usize];
        }
    }

    /// Moves the selected values of a chunk to its front.
    pub(super) fn compress_in_place<T: Pod>(&self, data: &mut [T]) {
        assert_eq!(data.len(), self.of, "a value for each row of the chunk");
        #[cfg(target_arch = "x86_64")]
        if self.len() * SPARSE >= data.len() && wide_vectors() {
            let (n, at) = (data.len(), data.as_mut_ptr());
            match size_of::<T>() {
                // SAFETY: the processor has the features, and the slice has `n` values of this
                // size, which may be read and written by the same pointer.
                4 => return unsafe { self.four(at.cast(), at.cast(), n) },
                // SAFETY: as above.
                8 => return unsafe { self.eight(at.cast(), at.cast(), n) },
                _ => {}
            }
        }
        // The numbers ascend, so nothing is overwritten before it is read.
        for (to, from) in self.rows.iter().enumerate() {
            data[to] = data[*from as usize];
        }
    }

    /// Moves selected values of 4 bytes to the front, eight at a time.
    ///
    /// # Safety
    /// `from` is valid for reads and `to` for writes of `n` values. They may be the same, but
    /// not overlap otherwise. Every row of the selection is below `n`.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    unsafe fn four(&self, from: *const u32, to: *mut u32, n: usize) {
        use std::arch::x86_64::{
            __m256i, _mm_loadl_epi64, _mm256_cvtepu8_epi32, _mm256_loadu_si256,
            _mm256_permutevar8x32_epi32, _mm256_storeu_si256,
        };
        let (mut count, whole) = (0, n / 64);
        for (w, word) in self.words[..whole].iter().enumerate() {
            for (k, byte) in word.to_le_bytes().into_iter().enumerate() {
                // SAFETY: values `at..at + 8` are below `n`; `count` is not above `at`, so the
                // places written are below `n` too, and hold no value that is yet to be read.
                unsafe {
                    let at = from.add(w * 64 + k * 8).cast::<__m256i>();
                    let places = PLACES[usize::from(byte)].as_ptr().cast();
                    let lanes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(places));
                    let kept = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(at), lanes);
                    _mm256_storeu_si256(to.add(count).cast(), kept);
                }
                count += byte.count_ones() as usize;
            }
        }
        // SAFETY: as the caller's.
        unsafe { self.rest(from, to, whole, count) };
    }

    /// As [`Selection::four`], of 8 bytes, four at a time.
    ///
    /// # Safety
    /// As [`Selection::four`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    unsafe fn eight(&self, from: *const u64, to: *mut u64, n: usize) {
        use std::arch::x86_64::{
            __m256i, _mm256_loadu_si256, _mm256_permutevar8x32_epi32, _mm256_storeu_si256,
        };
        let (mut count, whole) = (0, n / 64);
        for (w, word) in self.words[..whole].iter().enumerate() {
            for k in 0..16 {
                let bits = (word >> (4 * k)) as usize & 15;
                // SAFETY: as in `four`, of four values.
                unsafe {
                    let at = from.add(w * 64 + k * 4).cast::<__m256i>();
                    let lanes = _mm256_loadu_si256(LANES[bits].as_ptr().cast());
                    let kept = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(at), lanes);
                    _mm256_storeu_si256(to.add(count).cast(), kept);
                }
                count += bits.count_ones() as usize;
            }
        }
        // SAFETY: as the caller's.
        unsafe { self.rest(from, to, whole, count) };
    }

    /// Moves the values of the words from `whole` on, of which `count` come before.
    ///
    /// # Safety
    /// As [`Selection::four`].
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn rest<T: Copy>(&self, from: *const T, to: *mut T, whole: usize, count: usize) {
        debug_assert_eq!(
            count,
            self.words[..whole].iter().map(|w| w.count_ones() as usize).sum::<usize>()
        );
        for (k, row) in self.rows[count..].iter().enumerate() {
            // SAFETY: the row is below the caller's `n`, and the place is not past it.
            unsafe { to.add(count + k).write(from.add(*row as usize).read()) };
        }
    }
}

/// Up to 64 bytes of 0 or 1 as bits.
#[inline(always)]
fn word_of(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<64>() {
        Some(all) => pack_word(all),
        None => {
            let mut all = [0; 64];
            all[..bytes.len()].copy_from_slice(bytes);
            pack_word(&all)
        }
    }
}

/// Whether the processor has what the functions above are compiled for.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn wide_vectors() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("bmi1") && has!("lzcnt") && has!("popcnt")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `step`th of `n` bytes is 1.
    fn bytes(n: usize, step: usize) -> Vec<u8> {
        (0..n).map(|i| u8::from(i % step == step / 2)).collect()
    }

    fn all() -> impl Iterator<Item = (usize, Vec<u8>)> {
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
                let mut portable = Selection { of: 3, words: [7; WORDS], rows: vec![7; 3] };
                portable.set_here(&bytes, valid);
                let mut got = Selection { of: 3, words: [7; WORDS], rows: vec![7; 3] };
                got.set(&bytes, valid);
                assert_eq!(got.rows(), want(valid), "{n}");
                assert_eq!(portable.rows(), want(valid), "{n}");
            }
        }
    }

    fn compressed<T: Pod + PartialEq + std::fmt::Debug>(value: impl Fn(usize) -> T) {
        for (n, bytes) in all() {
            let mut selection = Selection::default();
            selection.set(&bytes, None);
            let from: Vec<T> = (0..n).map(&value).collect();
            let want: Vec<T> = selection.rows().iter().map(|r| from[*r as usize]).collect();
            let (mut out, mut data) = (vec![T::zeroed(); n], from.clone());
            selection.compress(&from, &mut out);
            selection.compress_in_place(&mut data);
            assert_eq!(&out[..want.len()], want, "{n}");
            assert_eq!(&data[..want.len()], want, "{n}");
        }
    }

    #[test]
    fn values_of_every_width_are_brought_together() {
        compressed(|i| i as u8);
        compressed(|i| i as u16);
        compressed(|i| i as u32 | 0x5500_0000);
        compressed(|i| i as u64 | 0x55 << 40);
        compressed(|i| i as u128 | 0x55 << 90);
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
    }
}
