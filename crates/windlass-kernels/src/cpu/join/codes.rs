//! Join keys of a row packed into 64-bit words, so that rows are compared and hashed by words
//! whatever their types.

use std::ops::Range;

use crate::{cpu::hash::read::HostColumn, types::PhysType};

/// Rows that are packed and looked up at a time: codes, hashes and slot numbers of a chunk stay
/// in the first-level cache, and as many cache misses can be under way at once.
pub(super) const CHUNK: usize = 512;

/// Where a key lies in a row's words.
#[derive(Debug, Clone, Copy)]
struct Field {
    word: usize,
    shift: u32,
    mask: u64,
    /// The sign bit, which is turned over so that the codes of near numbers are near.
    sign: u64,
    /// Whether the key takes this word and the next, whole.
    wide: bool,
    /// Word and bit that is set where the key is null.
    null: Option<(usize, u32)>,
}

/// How the keys of a join are packed; the same on both sides, whatever columns may be null.
#[derive(Debug, Clone)]
pub(super) struct CodeLayout {
    fields: Vec<Field>,
    words: usize,
}

/// Takes `bits` bits, in the last word if they fit there.
fn place(bits: u32, words: &mut usize, used: &mut u32) -> (usize, u32) {
    if *words == 0 || *used + bits > 64 {
        *words += 1;
        *used = 0;
    }
    let at = (*words - 1, *used);
    *used += bits;
    at
}

impl CodeLayout {
    /// With `nulls` a null is a value like others, else a row with one has no code.
    pub(super) fn new(types: &[PhysType], nulls: bool) -> Self {
        let (mut words, mut used) = (0, 0);
        let fields = types.iter().map(|ty| {
            let bits = ty.packed_bytes().map_or(1, |b| b as u32 * 8);
            let wide = bits == 128;
            let (word, shift) = place(bits.min(64), &mut words, &mut used);
            if wide {
                words += 1;
            }
            let mask = if bits >= 64 { u64::MAX } else { (1 << bits) - 1 };
            let signed = ty.is_signed() && ty.is_integer() && !wide;
            let sign = if signed { 1 << (bits - 1) } else { 0 };
            let null = nulls.then(|| place(1, &mut words, &mut used));
            Field { word, shift, mask, sign, wide, null }
        });
        let fields = fields.collect();
        Self { fields, words }
    }

    /// 64-bit words of a row's code.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Writes the codes of a range of at most [`CHUNK`] rows, `words` each, and clears `live`,
    /// which is true before, where a row has no code; the words of such a row are undefined.
    /// Whether any has none.
    pub(super) fn pack(
        &self,
        columns: &[HostColumn<'_>],
        range: &Range<usize>,
        codes: &mut [u64],
        live: &mut [bool],
    ) -> bool {
        let n = range.len();
        let mut dead = false;
        let mut values = [0u64; CHUNK];
        let (values, w) = (&mut values[..n], self.words);
        if let ([field], 1) = (&self.fields[..], w) {
            columns[0].words(range, codes);
            if field.mask != u64::MAX || field.sign != 0 {
                codes.iter_mut().for_each(|c| *c = (*c & field.mask) ^ field.sign);
            }
            if field.null.is_none() {
                if columns[0].nullable() {
                    columns[0].clear_nulls(range, live);
                    dead = true;
                }
                return dead;
            }
        }
        codes.fill(0);
        for (field, column) in self.fields.iter().zip(columns) {
            let mut valid = [true; CHUNK];
            let valid = &mut valid[..n];
            let nullable = column.nullable();
            if nullable {
                column.clear_nulls(range, valid);
            }
            column.words(range, values);
            if nullable && field.null.is_some() {
                values
                    .iter_mut()
                    .zip(&*valid)
                    .for_each(|(v, ok)| *v = if *ok { *v } else { field.sign });
            }
            let rows = codes.chunks_exact_mut(w);
            for (row, value) in rows.zip(&*values) {
                row[field.word] |= ((value & field.mask) ^ field.sign) << field.shift;
            }
            if field.wide {
                column.high_words(range, values);
                for ((row, value), ok) in codes.chunks_exact_mut(w).zip(&*values).zip(&*valid) {
                    let keep = *ok || field.null.is_none();
                    row[field.word + 1] = if keep { *value } else { 0 };
                }
            }
            match field.null {
                Some((word, shift)) if nullable => {
                    for (row, ok) in codes.chunks_exact_mut(w).zip(&*valid) {
                        row[word] |= u64::from(!*ok) << shift;
                    }
                }
                None if nullable => {
                    live.iter_mut().zip(&*valid).for_each(|(l, ok)| *l &= *ok);
                    dead = true;
                }
                _ => {}
            }
        }
        dead
    }
}

/// Hash of a code: folded multiplication, as in wyhash; the constants are fractional digits of
/// pi. The top bits choose a partition, the low half a slot in it.
#[inline(always)]
pub(super) fn hash<const W: usize>(code: &[u64; W]) -> u64 {
    hash_words(code)
}

/// As [`hash`], of any number of words.
#[inline(always)]
pub(super) fn hash_words(code: &[u64]) -> u64 {
    let mut h = 0x2436_a088_85a3_08d3u64;
    for k in code {
        let product = u128::from(k ^ h).wrapping_mul(0xa409_3822_299f_31d1);
        h = product as u64 ^ (product >> 64) as u64;
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_share_words_where_they_fit() {
        use PhysType as T;
        let words = |types: &[T], nulls| CodeLayout::new(types, nulls).words();
        assert_eq!(words(&[T::I64], false), 1);
        assert_eq!(words(&[T::I64], true), 2);
        assert_eq!(words(&[T::I32, T::I32], false), 1);
        assert_eq!(words(&[T::I32, T::I16, T::U8, T::I8], false), 1);
        assert_eq!(words(&[T::I32, T::I16, T::U8, T::Bool], true), 1);
        assert_eq!(words(&[T::I128], false), 2);
        assert_eq!(words(&[T::I8, T::I128], false), 3);
        assert_eq!(words(&[T::F64, T::F32, T::U64], false), 3);
    }

    #[test]
    fn fields_do_not_overlap() {
        for nulls in [false, true] {
            for a in PhysType::ALL {
                for b in PhysType::ALL {
                    for c in PhysType::ALL {
                        let layout = CodeLayout::new(&[a, b, c], nulls);
                        let mut used = vec![0u64; layout.words()];
                        let mut take = |word: usize, bits: u64| {
                            assert_eq!(used[word] & bits, 0, "{a} {b} {c}");
                            used[word] |= bits;
                        };
                        for f in &layout.fields {
                            take(f.word, f.mask << f.shift);
                            if f.wide {
                                take(f.word + 1, u64::MAX);
                            }
                            if let Some((word, bit)) = f.null {
                                take(word, 1 << bit);
                            }
                        }
                    }
                }
            }
        }
    }
}
