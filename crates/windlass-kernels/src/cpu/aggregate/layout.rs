//! Keys as codes. A key's values become offsets from the smallest one seen, in as few bits
//! as the range needs, with a code for null; the codes of all keys are packed into 64-bit
//! words. So three dictionary columns and two small integers are one word, which indexes a
//! table directly or hashes as one integer. A value outside the ranges makes a new, wider
//! layout; each of them has at least one bit more, so there are few.
//!
//! Every code is exact: equal codes are equal keys. Floats are taken by their bits, after
//! -0.0 became 0.0 and every NaN the same NaN.

use arrow::array::ArrayRef;

use super::arrays;
use crate::{cpu::pipeline::Values, types::PhysType};

mod range;
#[cfg(test)]
mod tests;

pub(super) use range::KeyRange;

/// Bits `shift..shift + bits` of word `word`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Field {
    word: usize,
    shift: u32,
    bits: u32,
}

impl Field {
    fn get(self, row: &[u64]) -> u64 {
        let mask = if self.bits == 64 { u64::MAX } else { (1 << self.bits) - 1 };
        (row[self.word] >> self.shift) & mask
    }

    fn put(self, row: &mut [u64], code: u64) {
        row[self.word] |= code << self.shift;
    }
}

/// How nulls of a key are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NullCode {
    /// None was seen.
    Never,
    /// As code 0, and values from 1 on.
    Zero,
    /// As a bit of its own, and the value as 0.
    Bit(Field),
}

/// How values of a key are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueCode {
    /// As offsets 0 to `last` from `base`; `empty`: no value was seen.
    Offset { base: i128, last: u64, empty: bool, field: Field },
    /// As the 128 bits in two words from `word` on.
    Wide { word: usize },
}

/// One key of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyCode {
    ty: PhysType,
    value: ValueCode,
    null: NullCode,
}

/// How the keys of a table are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    codes: Vec<KeyCode>,
    words: usize,
    bits: u32,
}

/// Bits of a float as they are grouped.
#[inline]
fn bits64(x: f64) -> u64 {
    if x.is_nan() { f64::NAN.to_bits() } else { (x + 0.0).to_bits() }
}

/// Bits of a float as they are grouped.
#[inline]
fn bits32(x: f32) -> u64 {
    u64::from(if x.is_nan() { f32::NAN.to_bits() } else { (x + 0.0).to_bits() })
}

/// Runs the body with `$f` a function from a value of the slice `$s` to its ordinal modulo
/// 2^64; `I128` is not among them.
macro_rules! ordinals {
    ($values:expr, $s:ident, $f:ident => $body:expr, $wide:ident => $other:expr) => {
        match $values {
            Values::Bool($s) | Values::U8($s) => ordinals!(@ $f, u8, |x| u64::from(x), $body),
            Values::I8($s) => ordinals!(@ $f, i8, |x| i64::from(x) as u64, $body),
            Values::I16($s) => ordinals!(@ $f, i16, |x| i64::from(x) as u64, $body),
            Values::I32($s) => ordinals!(@ $f, i32, |x| i64::from(x) as u64, $body),
            Values::I64($s) => ordinals!(@ $f, i64, |x| x as u64, $body),
            Values::U16($s) => ordinals!(@ $f, u16, |x| u64::from(x), $body),
            Values::U32($s) => ordinals!(@ $f, u32, |x| u64::from(x), $body),
            Values::U64($s) => ordinals!(@ $f, u64, |x| x, $body),
            Values::F32($s) => ordinals!(@ $f, f32, |x| bits32(x), $body),
            Values::F64($s) => ordinals!(@ $f, f64, |x| bits64(x), $body),
            Values::I128($wide) => $other,
        }
    };
    (@ $f:ident, $t:ty, |$x:ident| $e:expr, $body:expr) => {{
        let $f = |$x: $t| $e;
        $body
    }};
}
use ordinals;

impl Layout {
    /// A layout that holds the ranges.
    pub(super) fn new(ranges: &[KeyRange]) -> Self {
        let (mut codes, bits): (Vec<_>, Vec<_>) = ranges.iter().map(KeyRange::code).unzip();
        // Bits used of each word. Wide values first, then first fit by falling size.
        let mut used: Vec<u32> = Vec::new();
        for code in &mut codes {
            if let ValueCode::Wide { word } = &mut code.value {
                *word = used.len();
                used.extend([64, 64]);
            }
        }
        let mut order: Vec<usize> = (0..codes.len()).collect();
        order.sort_by_key(|k| std::cmp::Reverse(bits[*k]));
        let mut place = |bits: u32| {
            let at = used.iter().position(|u| u + bits <= 64).unwrap_or_else(|| {
                used.push(0);
                used.len() - 1
            });
            let shift = used[at];
            used[at] += bits;
            // A field of no bits may stand at the end of a full word.
            Field { word: at, shift: if bits == 0 { 0 } else { shift }, bits }
        };
        for k in &order {
            if let ValueCode::Offset { field, .. } = &mut codes[*k].value {
                *field = place(bits[*k]);
            }
        }
        for code in &mut codes {
            if let NullCode::Bit(field) = &mut code.null {
                *field = place(1);
            }
        }
        Self { words: used.len().max(1), bits: used.first().copied().unwrap_or(0), codes }
    }

    /// 64-bit words of a packed key.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Number of bits in use, where one word holds all keys.
    pub(super) fn bits(&self) -> Option<u32> {
        (self.words == 1).then_some(self.bits)
    }

    /// What the layout holds.
    pub(super) fn ranges(&self) -> Vec<KeyRange> {
        let range = |c: &KeyCode| {
            let values = match c.value {
                ValueCode::Offset { empty: true, .. } => None,
                ValueCode::Offset { base, last, .. } => Some((base, base + i128::from(last))),
                ValueCode::Wide { .. } => Some((i128::MIN, i128::MAX)),
            };
            KeyRange { ty: c.ty, values, nulls: c.null != NullCode::Never, grew: (false, false) }
        };
        self.codes.iter().map(range).collect()
    }

    /// Whether the one key fills the packed keys, so that they need not be zero at first.
    pub(super) fn is_one_word(&self) -> bool {
        self.words == 1 && self.codes.len() == 1
    }

    /// Packs the values of key `k` into `out`, which has one packed key for each row and is zero
    /// at first, unless the key [is alone](Self::is_one_word). False when a value or null is
    /// outside the layout; `out` is then undefined.
    pub(super) fn pack_keys(
        &self,
        k: usize,
        values: Values<'_>,
        valid: Option<&[u8]>,
        out: &mut [u64],
    ) -> bool {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the feature.
            return unsafe { self.pack_avx2(k, values, valid, out) };
        }
        self.pack_here(k, values, valid, out)
    }

    /// [`Layout::pack_here`], compiled for processors with AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn pack_avx2(
        &self,
        k: usize,
        values: Values<'_>,
        valid: Option<&[u8]>,
        out: &mut [u64],
    ) -> bool {
        self.pack_here(k, values, valid, out)
    }

    #[inline(always)]
    fn pack_here(
        &self,
        k: usize,
        values: Values<'_>,
        valid: Option<&[u8]>,
        out: &mut [u64],
    ) -> bool {
        let alone = self.is_one_word();
        let KeyCode { value, null, .. } = self.codes[k];
        let valid = valid.filter(|m| m.contains(&0));
        if valid.is_some() && null == NullCode::Never {
            return false;
        }
        let w = self.words;
        if let (Some(mask), NullCode::Bit(field)) = (valid, null) {
            put(out, w, alone, field, mask.iter().map(|m| u64::from(m ^ 1)));
        }
        let one = self.codes[k].one();
        match value {
            ValueCode::Wide { word } => {
                let Values::I128(s) = values else { return false };
                let keep = |i: usize| valid.is_none_or(|m| m[i] != 0);
                for (i, (row, x)) in out.chunks_exact_mut(w).zip(s).enumerate() {
                    if keep(i) {
                        row[word] = *x as u64;
                        row[word + 1] = (*x >> 64) as u64;
                    }
                }
                true
            }
            ValueCode::Offset { empty: true, .. } => {
                if alone {
                    out.fill(0);
                }
                valid.is_some_and(|m| !m.contains(&1))
            }
            ValueCode::Offset { base, last, field, .. } => ordinals!(values, s, f => {
                // The bits of all offsets: the greatest is no more than this.
                let mut bits = 0;
                let offset = |x| f(x).wrapping_sub(base as u64);
                match valid {
                    None => put(out, w, alone, field, s.iter().map(|x| {
                        let o = offset(*x);
                        bits |= o;
                        o.wrapping_add(one)
                    })),
                    Some(mask) => put(out, w, alone, field, s.iter().zip(mask).map(|(x, m)| {
                        let m = u64::from(*m);
                        let o = offset(*x) & m.wrapping_neg();
                        bits |= o;
                        o.wrapping_add(one & m)
                    })),
                }
                let keep = |i: usize| valid.is_none_or(|m| m[i] != 0);
                bits <= last || s.iter().enumerate().all(|(i, x)| !keep(i) || offset(*x) <= last)
            }, s => {
                let mut worst = 0;
                let keep = |i: usize| valid.is_none_or(|m| m[i] != 0);
                put(out, w, alone, field, s.iter().enumerate().map(|(i, x)| {
                    if !keep(i) {
                        return 0;
                    }
                    let o = x.wrapping_sub(base) as u128;
                    worst = worst.max(o);
                    (o as u64).wrapping_add(one)
                }));
                worst <= u128::from(last)
            }),
        }
    }

    /// The ordinal of key `k` in a packed row; `None`: null.
    fn get(&self, k: usize, row: &[u64]) -> Option<i128> {
        let code = self.codes[k];
        if code.is_null(row) {
            return None;
        }
        Some(match code.value {
            ValueCode::Wide { word } => {
                (u128::from(row[word]) | u128::from(row[word + 1]) << 64) as i128
            }
            ValueCode::Offset { base, field, .. } => {
                base.wrapping_add(i128::from(field.get(row) - code.one()))
            }
        })
    }

    /// Packs an ordinal, which the layout holds, into a row that is zero at key `k`.
    fn set(&self, k: usize, ordinal: Option<i128>, row: &mut [u64]) {
        let code = self.codes[k];
        match (ordinal, code.value) {
            (None, _) => code.set_null(row),
            (Some(v), ValueCode::Wide { word }) => {
                row[word] = v as u64;
                row[word + 1] = (v >> 64) as u64;
            }
            (Some(v), ValueCode::Offset { base, field, .. }) => {
                field.put(row, (v.wrapping_sub(base) as u64).wrapping_add(code.one()));
            }
        }
    }

    /// Packed rows of `self` as packed rows of `wider`, which holds at least the ranges of
    /// `self`.
    pub(super) fn recode(&self, packed: &[u64], wider: &Self) -> Vec<u64> {
        let rows = packed.len() / self.words;
        let mut out = vec![0; rows * wider.words];
        for (k, (from, to)) in self.codes.iter().zip(&wider.codes).enumerate() {
            let both = packed.chunks_exact(self.words).zip(out.chunks_exact_mut(wider.words));
            match (from.value, to.value) {
                (
                    ValueCode::Offset { base, field, .. },
                    ValueCode::Offset { base: new_base, field: new_field, .. },
                ) => {
                    // The offset changes by the same amount in every row.
                    let shift = (base as u64).wrapping_sub(new_base as u64);
                    let shift = shift.wrapping_sub(from.one()).wrapping_add(to.one());
                    for (row, new) in both {
                        if from.is_null(row) {
                            to.set_null(new);
                        } else {
                            new_field.put(new, field.get(row).wrapping_add(shift));
                        }
                    }
                }
                _ => both.for_each(|(row, new)| wider.set(k, self.get(k, row), new)),
            }
        }
        out
    }

    /// Key `k` of packed rows as an array.
    pub(super) fn array(&self, k: usize, packed: &[u64]) -> ArrayRef {
        let code = self.codes[k];
        let rows = || packed.chunks_exact(self.words);
        let nulls = (code.null != NullCode::Never)
            .then(|| rows().map(|r| u8::from(!code.is_null(r))).collect::<Vec<u8>>())
            .filter(|valid| valid.contains(&0))
            .map(|valid| arrays::nulls(&valid));
        match code.value {
            ValueCode::Offset { base, field, .. } if code.ty != PhysType::I128 => {
                // A null gives some value, which is not looked at.
                let base = (base as u64).wrapping_sub(code.one());
                let values = rows().map(|r| field.get(r).wrapping_add(base) as i64);
                arrays::array(code.ty, values.collect(), nulls)
            }
            _ => arrays::decimals(
                rows().map(|r| self.get(k, r).unwrap_or_default()).collect(),
                nulls,
            ),
        }
    }
}

impl KeyCode {
    /// What stands below the codes of values.
    fn one(&self) -> u64 {
        u64::from(self.null == NullCode::Zero)
    }

    #[inline]
    fn is_null(&self, row: &[u64]) -> bool {
        match (self.null, self.value) {
            (NullCode::Bit(field), _) => field.get(row) != 0,
            (NullCode::Zero, ValueCode::Offset { field, .. }) => field.get(row) == 0,
            _ => false,
        }
    }

    #[inline]
    fn set_null(&self, row: &mut [u64]) {
        if let NullCode::Bit(field) = self.null {
            field.put(row, 1);
        }
    }
}

/// Puts one code for each row into a field, of zeros or, where it is `alone`, of anything.
#[inline(always)]
fn put(out: &mut [u64], words: usize, alone: bool, field: Field, codes: impl Iterator<Item = u64>) {
    let shift = field.shift;
    if alone {
        // From bit 0 on.
        out.iter_mut().zip(codes).for_each(|(o, c)| *o = c);
    } else if words == 1 {
        out.iter_mut().zip(codes).for_each(|(o, c)| *o |= c.wrapping_shl(shift));
    } else {
        let places = out.iter_mut().skip(field.word).step_by(words);
        places.zip(codes).for_each(|(o, c)| *o |= c.wrapping_shl(shift));
    }
}
