//! Key columns, checked; their normalised form; and the layout of packed keys.

use windlass_device::{Device, DeviceBuffer};

use super::SortKey;
use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    error::{KernelError, Result},
    types::PhysType,
};

/// Most rows of a batch: their numbers, and the next after them, fit 31 bits.
const MAX_ROWS: usize = i32::MAX as usize;

/// The word of a key's normalised form that tells nulls; the value's words are before it. The
/// kernels state the same number.
pub(crate) const NULL_WORD: u32 = 4;

/// Words that may differ between rows: the value's and the null word.
pub(crate) const KEY_WORDS: usize = 5;

/// How a type's bits are made to order as unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Unsigned = 0,
    Signed = 1,
    Float = 2,
}

/// A key column.
#[derive(Debug, Clone)]
pub(crate) struct Key<'a> {
    pub(crate) column: &'a DeviceColumn,
    pub(crate) sort: SortKey,
}

/// The checked key columns of one operation over a batch.
#[derive(Debug, Clone)]
pub(crate) struct Keys<'a> {
    pub(crate) rows: usize,
    pub(crate) keys: Vec<Key<'a>>,
}

impl<'a> Keys<'a> {
    /// Checks that the columns are there, long enough, and on the device.
    pub(crate) fn new(
        operation: &'static str,
        device: &dyn Device,
        batch: &'a DeviceBatch,
        keys: &[SortKey],
    ) -> Result<Self> {
        let invalid =
            |expected: String, got: String| KernelError::Invalid { operation, expected, got };
        let rows = batch.rows;
        if rows > MAX_ROWS {
            return Err(invalid(format!("a batch of at most {MAX_ROWS} rows"), rows.to_string()));
        }
        let name = &device.info().name;
        let check = |at: usize, part: &str, buffer: &DeviceBuffer, bytes: usize| {
            if buffer.device() != name {
                let expected = format!("{part} of key column {at} on {name}");
                return Err(invalid(expected, format!("a buffer on {}", buffer.device())));
            }
            if buffer.len() < bytes {
                let expected = format!("{part} of key column {at} for {rows} rows: {bytes} bytes");
                return Err(invalid(expected, format!("{} bytes", buffer.len())));
            }
            Ok(())
        };
        let bitmap = |at: usize, offset: u32| match offset {
            0..8 => Ok((rows + offset as usize).div_ceil(8)),
            _ => Err(invalid(format!("key column {at} from bit 0 to 7 on"), offset.to_string())),
        };
        let mut out = Vec::with_capacity(keys.len());
        for sort in keys {
            let at = sort.column;
            let Some(column) = batch.columns.get(at) else {
                let expected = format!("a key among the batch's {} columns", batch.columns.len());
                return Err(invalid(expected, format!("column {at}")));
            };
            let bytes = match (column.storage, column.ty.packed_bytes()) {
                (Storage::Packed, None) => bitmap(at, column.bit_offset)?,
                (Storage::Packed, Some(width)) => rows * width,
                (Storage::Wide, _) => rows * column.ty.wide_bytes(),
            };
            check(at, "values", &column.values, bytes)?;
            match &column.validity {
                Validity::All => {}
                Validity::Bits { bits, bit_offset } => {
                    check(at, "validity", bits, bitmap(at, *bit_offset)?)?;
                }
                Validity::Words(words) => check(at, "validity", words, rows * 4)?,
            }
            out.push(Key { column, sort: *sort });
        }
        Ok(Self { rows, keys: out })
    }
}

/// Bits of the normalised form of a type's values.
pub(crate) fn bits(ty: PhysType) -> u32 {
    ty.packed_bytes().map_or(1, |b| b as u32 * 8)
}

impl Key<'_> {
    /// Bits of a value's normalised form.
    pub(crate) fn bits(&self) -> u32 {
        bits(self.column.ty)
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.column.ty {
            PhysType::F32 | PhysType::F64 => Kind::Float,
            ty if ty.is_signed() => Kind::Signed,
            _ => Kind::Unsigned,
        }
    }
}

/// Which bits of a key's normalised form differ between rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Varying {
    pub(crate) value: u128,
    pub(crate) null: bool,
}

/// Bits of one key in the packed key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Which key.
    pub(crate) key: usize,
    /// The null bit, not bits of the value.
    pub(crate) null: bool,
    /// First bit in the value.
    pub(crate) shift: u32,
    /// Number of bits.
    pub(crate) bits: u32,
    /// First bit in the packed key.
    pub(crate) place: u32,
}

/// Bits of one word of a key in one word of the packed key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) key: usize,
    pub(crate) word: u32,
    pub(crate) shift: u32,
    pub(crate) bits: u32,
    pub(crate) place: u32,
}

/// The packed key: the bits that matter of every key, the last key's lowest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// From the lowest place to the highest, without gaps.
    pub(crate) spans: Vec<Span>,
    /// Bits in all.
    pub(crate) bits: u32,
    /// Which of them differ between rows, in words, lowest first.
    pub(crate) varying: Vec<u32>,
}

impl Layout {
    /// Of each key the bits from the lowest to the highest that varies, and the null bit where
    /// it varies.
    pub(crate) fn new(varying: &[Varying]) -> Self {
        let (mut spans, mut place) = (Vec::new(), 0);
        for (key, v) in varying.iter().enumerate().rev() {
            if v.value != 0 {
                let shift = v.value.trailing_zeros();
                let bits = 128 - v.value.leading_zeros() - shift;
                spans.push(Span { key, null: false, shift, bits, place });
                place += bits;
            }
            if v.null {
                spans.push(Span { key, null: true, shift: 0, bits: 1, place });
                place += 1;
            }
        }
        let mut words = vec![0u32; place.div_ceil(32) as usize];
        for s in &spans {
            let value = if s.null { 1 } else { varying[s.key].value >> s.shift };
            for bit in (0..s.bits).filter(|b| value >> b & 1 == 1) {
                let at = s.place + bit;
                words[at as usize / 32] |= 1 << (at % 32);
            }
        }
        Self { spans, bits: place, varying: words }
    }

    /// The layout of keys of which nothing is known.
    pub(crate) fn of_all_bits(keys: &Keys<'_>) -> Self {
        let all = keys
            .keys
            .iter()
            .map(|k| Varying { value: u128::MAX >> (128 - k.bits()), null: k.column.nullable() });
        Self::new(&all.collect::<Vec<_>>())
    }

    /// 32-bit words of the packed key.
    pub(crate) fn words(&self) -> usize {
        self.varying.len()
    }

    /// The spans' parts in bits `from..to` of the packed key, with places counted from `from`.
    pub(crate) fn window(&self, from: u32, to: u32) -> Vec<Span> {
        let clip = |s: &Span| {
            let (low, high) = (s.place.max(from), (s.place + s.bits).min(to));
            let shift = s.shift + low.saturating_sub(s.place);
            (low < high).then(|| Span { shift, bits: high - low, place: low - from, ..*s })
        };
        self.spans.iter().filter_map(clip).collect()
    }

    /// What makes word `t` of the packed key.
    pub(crate) fn parts(&self, t: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        for s in self.window(t as u32 * 32, t as u32 * 32 + 32) {
            if s.null {
                let (word, shift) = (NULL_WORD, 0);
                parts.push(Part { key: s.key, word, shift, bits: 1, place: s.place });
                continue;
            }
            let mut done = 0;
            while done < s.bits {
                let (word, shift) = ((s.shift + done) / 32, (s.shift + done) % 32);
                let bits = (s.bits - done).min(32 - shift);
                parts.push(Part { key: s.key, word, shift, bits, place: s.place + done });
                done += bits;
            }
        }
        parts
    }

    /// Where the digits of `bits` bits of word `t` begin: every bit that varies is in one.
    pub(crate) fn digits(&self, t: usize, bits: u32) -> Vec<u32> {
        let (mut shifts, mut from) = (Vec::new(), 0);
        while from < 32 && self.varying[t] >> from != 0 {
            let shift = from + (self.varying[t] >> from).trailing_zeros();
            shifts.push(shift);
            from = shift + bits;
        }
        shifts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_that_vary_lie_side_by_side() {
        let varying = [
            Varying { value: 0xff0, null: true },
            Varying { value: 0, null: false },
            Varying { value: 0x8000_0000_0000_0001, null: false },
        ];
        let layout = Layout::new(&varying);
        assert_eq!(layout.bits, 64 + 8 + 1);
        assert_eq!(layout.varying, [1, 0x8000_0000, 0x1ff]);
        assert_eq!(layout.digits(1, 8), [31]);
        assert_eq!(layout.digits(2, 4), [0, 4, 8]);
        let part = |key, word, shift, bits, place| Part { key, word, shift, bits, place };
        assert_eq!(layout.parts(0), [part(2, 0, 0, 32, 0)]);
        assert_eq!(layout.parts(2), [part(0, 0, 4, 8, 0), part(0, NULL_WORD, 0, 1, 8)]);
    }

    #[test]
    fn a_part_ends_with_its_word_in_key_and_packed_key() {
        let varying =
            [Varying { value: u128::MAX << 5, null: false }, Varying { value: 0b111, null: false }];
        let layout = Layout::new(&varying);
        for t in 0..layout.words() {
            let mut next = 0;
            for p in layout.parts(t) {
                assert!(p.shift + p.bits <= 32 && p.place == next, "{p:?}");
                next = p.place + p.bits;
            }
            assert_eq!(next, (layout.bits - t as u32 * 32).min(32));
        }
    }

    #[test]
    fn nothing_that_varies_is_no_key() {
        let layout = Layout::new(&[Varying::default(); 3]);
        assert_eq!((layout.bits, layout.words()), (0, 0));
    }
}
