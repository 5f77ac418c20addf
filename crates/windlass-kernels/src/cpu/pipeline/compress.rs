//! What brings vectors to the rows that the filter leaves.

use bytemuck::Pod;

use super::select::Selection;
#[cfg(target_arch = "x86_64")]
use super::select::{PLACES, wide_vectors, widest_vectors};

/// With fewer than one row of so many selected, values are fetched one by one, else words of
/// bits tell what is moved side by side: a step then handles 4 to 16 rows, selected or not. A
/// guess that lies between the two (measured 1, 50 and 99 of 100: `filter/filter/*`).
const SPARSE: usize = 8;

/// Places behind those of the selected values that may be written: a step moves so many.
pub(super) const SPARE: usize = 16;

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

impl Selection {
    /// Copies the selected values, of all rows' in `from`, to the front of `out`, which has as
    /// many places as `from`. What is behind them is undefined.
    pub(super) fn compress<T: Pod>(&self, from: &[T], out: &mut [T]) {
        let out = &mut out[..from.len()];
        // SAFETY: there are so many places.
        unsafe { self.compress_to(from, out.as_mut_ptr()) };
    }

    /// As [`Selection::compress`], to memory that need not be initialised. Places up to
    /// [`Selection::len`] are afterwards.
    ///
    /// # Safety
    /// `to` is valid for writes of as many values as `from` has, or as are selected and [`SPARE`]
    /// more, and is not of its memory.
    pub(super) unsafe fn compress_to<T: Pod>(&self, from: &[T], to: *mut T) {
        assert_eq!(from.len(), self.of, "a value for each row");
        // SAFETY: `from` has a value for each row; the caller's of `to`.
        unsafe { self.bring(from.as_ptr(), to) };
    }

    /// Moves the selected values of a chunk to its front.
    pub(super) fn compress_in_place<T: Pod>(&self, data: &mut [T]) {
        assert_eq!(data.len(), self.of, "a value for each row");
        let at = data.as_mut_ptr();
        // SAFETY: it has a place for each row, which may be read and written by one pointer.
        unsafe { self.bring(at, at) };
    }

    /// Moves selected values to the front.
    ///
    /// # Safety
    /// `from` is valid for reads of a value for each row, and `to` for writes of as many, or of
    /// the selected ones and [`SPARE`] more. They may be the same, but not overlap otherwise.
    #[inline(always)]
    unsafe fn bring<T: Pod>(&self, from: *const T, to: *mut T) {
        // SAFETY: as the caller's; the processor has the features.
        unsafe {
            if self.count * SPARSE < self.of {
                return self.few(from, to);
            }
            #[cfg(target_arch = "x86_64")]
            if matches!(size_of::<T>(), 4 | 8) {
                match (size_of::<T>(), widest_vectors(), wide_vectors()) {
                    (4, true, _) => return self.four_avx512(from.cast(), to.cast()),
                    (8, true, _) => return self.eight_avx512(from.cast(), to.cast()),
                    (4, _, true) => return self.four(from.cast(), to.cast()),
                    (8, _, true) => return self.eight(from.cast(), to.cast()),
                    _ => {}
                }
            }
            self.every(from, to);
        }
    }

    /// Moves the selected values by their row numbers: one load does not wait for another.
    ///
    /// # Safety
    /// As [`Selection::bring`].
    #[inline(always)]
    unsafe fn few<T: Copy>(&self, from: *const T, to: *mut T) {
        for (place, row) in self.rows().iter().enumerate() {
            // SAFETY: there is such a row, and there are no fewer rows before it than places.
            unsafe { to.add(place).write(from.add(*row as usize).read()) };
        }
    }

    /// Moves the selected values of the words from `whole` on, of which `count` come before, one
    /// by one.
    ///
    /// # Safety
    /// As [`Selection::bring`].
    #[inline(always)]
    unsafe fn ones<T: Copy>(&self, from: *const T, to: *mut T, whole: usize, mut count: usize) {
        for w in whole..self.of.div_ceil(64) {
            let mut left = self.words[w];
            while left != 0 {
                let row = w * 64 + left.trailing_zeros() as usize;
                // SAFETY: there is such a row, and the place is not past it.
                unsafe { to.add(count).write(from.add(row).read()) };
                count += 1;
                left &= left - 1;
            }
        }
    }

    /// Writes every value, selected or not, to the next place, which the next one takes over
    /// where it is not: without branches.
    ///
    /// # Safety
    /// As [`Selection::bring`].
    #[inline(always)]
    unsafe fn every<T: Copy>(&self, from: *const T, to: *mut T) {
        let mut count = 0;
        for (w, first) in (0..self.of).step_by(64).enumerate() {
            let word = self.words[w];
            for k in 0..(self.of - first).min(64) {
                // SAFETY: there is such a row, and the place is not past it, and at most one
                // behind those of the selected.
                unsafe { to.add(count).write(from.add(first + k).read()) };
                count += (word >> k) as usize & 1;
            }
        }
    }

    /// Moves selected values of 4 bytes to the front, eight at a time.
    ///
    /// # Safety
    /// As [`Selection::bring`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    unsafe fn four(&self, from: *const u32, to: *mut u32) {
        use std::arch::x86_64::{
            __m256i, _mm_loadl_epi64, _mm256_cvtepu8_epi32, _mm256_loadu_si256,
            _mm256_permutevar8x32_epi32, _mm256_storeu_si256,
        };
        let (mut count, whole) = (0, self.of / 64);
        for (w, word) in self.words[..whole].iter().enumerate() {
            for (k, byte) in word.to_le_bytes().into_iter().enumerate() {
                // SAFETY: there are values `at..at + 8`; `count` is not above `at`, so the places
                // written are no others, and hold no value that is yet to be read. They are at
                // most eight behind those of the selected.
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
        unsafe { self.ones(from, to, whole, count) };
    }

    /// As [`Selection::four`], of 8 bytes, four at a time.
    ///
    /// # Safety
    /// As [`Selection::bring`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    unsafe fn eight(&self, from: *const u64, to: *mut u64) {
        use std::arch::x86_64::{
            __m256i, _mm256_loadu_si256, _mm256_permutevar8x32_epi32, _mm256_storeu_si256,
        };
        let (mut count, whole) = (0, self.of / 64);
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
        unsafe { self.ones(from, to, whole, count) };
    }

    /// As [`Selection::four`], sixteen at a time. Compressed in a register and then stored:
    /// AMD's processors take many steps for a compression to memory.
    ///
    /// # Safety
    /// As [`Selection::bring`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,popcnt")]
    unsafe fn four_avx512(&self, from: *const u32, to: *mut u32) {
        use std::arch::x86_64::{
            _mm512_loadu_si512, _mm512_maskz_compress_epi32, _mm512_storeu_si512,
        };
        let (mut count, whole) = (0, self.of / 64);
        for (w, word) in self.words[..whole].iter().enumerate() {
            for k in 0..4 {
                let bits = (word >> (16 * k)) as u16;
                // SAFETY: as in `four`, of sixteen values.
                unsafe {
                    let values = _mm512_loadu_si512(from.add(w * 64 + k * 16).cast());
                    let kept = _mm512_maskz_compress_epi32(bits, values);
                    _mm512_storeu_si512(to.add(count).cast(), kept);
                }
                count += bits.count_ones() as usize;
            }
        }
        // SAFETY: as the caller's.
        unsafe { self.ones(from, to, whole, count) };
    }

    /// As [`Selection::four_avx512`], of 8 bytes, eight at a time.
    ///
    /// # Safety
    /// As [`Selection::bring`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,popcnt")]
    unsafe fn eight_avx512(&self, from: *const u64, to: *mut u64) {
        use std::arch::x86_64::{
            _mm512_loadu_si512, _mm512_maskz_compress_epi64, _mm512_storeu_si512,
        };
        let (mut count, whole) = (0, self.of / 64);
        for (w, word) in self.words[..whole].iter().enumerate() {
            for (k, bits) in word.to_le_bytes().into_iter().enumerate() {
                // SAFETY: as in `four`.
                unsafe {
                    let values = _mm512_loadu_si512(from.add(w * 64 + k * 8).cast());
                    let kept = _mm512_maskz_compress_epi64(bits, values);
                    _mm512_storeu_si512(to.add(count).cast(), kept);
                }
                count += bits.count_ones() as usize;
            }
        }
        // SAFETY: as the caller's.
        unsafe { self.ones(from, to, whole, count) };
    }
}

#[cfg(test)]
mod tests {
    use super::{super::select::tests::all, *};

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
            every_way(&selection, &from, &want);
        }
    }

    /// Each of the ways to move values, whatever the processor and the share of ones.
    fn every_way<T: Pod + PartialEq + std::fmt::Debug>(s: &Selection, from: &[T], want: &[T]) {
        type Way<'a, T> = Box<dyn Fn(*const T, *mut T) + 'a>;
        // SAFETY: of each: the calls below pass a value and a place for each row of the chunk,
        // and the processor is asked for the features.
        let mut ways: Vec<Way<'_, T>> = vec![
            Box::new(|from, to| unsafe { s.ones(from, to, 0, 0) }),
            Box::new(|from, to| unsafe { s.few(from, to) }),
            Box::new(|from, to| unsafe { s.every(from, to) }),
        ];
        #[cfg(target_arch = "x86_64")]
        {
            if wide_vectors() && size_of::<T>() == 4 {
                // SAFETY: as above.
                ways.push(Box::new(|from, to| unsafe { s.four(from.cast(), to.cast()) }));
            }
            if wide_vectors() && size_of::<T>() == 8 {
                // SAFETY: as above.
                ways.push(Box::new(|from, to| unsafe { s.eight(from.cast(), to.cast()) }));
            }
            if widest_vectors() && size_of::<T>() == 4 {
                // SAFETY: as above.
                ways.push(Box::new(|from, to| unsafe { s.four_avx512(from.cast(), to.cast()) }));
            }
            if widest_vectors() && size_of::<T>() == 8 {
                // SAFETY: as above.
                ways.push(Box::new(|from, to| unsafe { s.eight_avx512(from.cast(), to.cast()) }));
            }
        }
        for (i, way) in ways.iter().enumerate() {
            // No place is written that is neither of a row nor among the spare ones.
            let places = from.len().min(want.len() + SPARE);
            let mut short = vec![T::zeroed(); from.len() + SPARE + 1];
            way(from.as_ptr(), short.as_mut_ptr());
            assert!(short[places..].iter().all(|v| *v == T::zeroed()), "way {i}");
            // One place more, which stays as it is.
            let mut out = vec![T::zeroed(); from.len() + 1];
            let mut data = from.to_vec();
            way(from.as_ptr(), out.as_mut_ptr());
            let at = data.as_mut_ptr();
            way(at, at);
            assert_eq!(&out[..want.len()], want, "way {i} of {} rows", from.len());
            assert_eq!(&data[..want.len()], want, "way {i} of {} rows in place", from.len());
            assert_eq!(out[from.len()], T::zeroed(), "way {i} of {} rows", from.len());
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
}
