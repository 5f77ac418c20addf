//! Reading ranges of columns in host memory, in either storage, as canonical 64-bit codes.

use std::ops::Range;

use crate::{
    column::{DeviceColumn, Storage, Validity},
    cpu::view::Bits,
    error::{KernelError, Result},
    types::PhysType,
};

/// How the values lie.
#[derive(Debug, Clone, Copy)]
enum Values<'a> {
    /// Bits, from this one on.
    Bits(&'a [u8], usize),
    I8(&'a [u8]),
    U8(&'a [u8]),
    I16(&'a [u8]),
    U16(&'a [u8]),
    Words(&'a [u8]),
    F32(&'a [u8]),
    Longs(&'a [u8]),
    F64(&'a [u8]),
    I128(&'a [u8]),
}

/// Which rows are not null.
#[derive(Debug, Clone, Copy)]
enum Mask<'a> {
    All,
    Bits(&'a [u8], usize),
    Words(&'a [u8]),
}

/// A column in host memory, of buffers that were checked to hold the rows that are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostColumn<'a> {
    values: Values<'a>,
    mask: Mask<'a>,
}

/// Reads little-endian values of `N` bytes from value `range.start` on.
#[inline(always)]
fn each<const N: usize>(
    bytes: &[u8],
    range: &Range<usize>,
    out: &mut [u64],
    value: impl Fn([u8; N]) -> u64,
) {
    let (bytes, _) = bytes[range.start * N..range.end * N].as_chunks::<N>();
    for (out, bytes) in out.iter_mut().zip(bytes) {
        *out = value(*bytes);
    }
}

/// An `f32`'s bits with one NaN and one zero.
#[inline(always)]
fn canonical32(bits: u32) -> u64 {
    let magnitude = bits & 0x7fff_ffff;
    let bits = if magnitude == 0 { 0 } else { bits };
    u64::from(if magnitude > 0x7f80_0000 { 0x7fc0_0000 } else { bits })
}

/// An `f64`'s bits with one NaN and one zero.
#[inline(always)]
fn canonical64(bits: u64) -> u64 {
    let magnitude = bits & (u64::MAX >> 1);
    let bits = if magnitude == 0 { 0 } else { bits };
    if magnitude > 0x7ff0_0000_0000_0000 { 0x7ff8_0000_0000_0000 } else { bits }
}

#[inline(always)]
fn bit(bits: &[u8], at: usize) -> bool {
    bits[at / 8] >> (at % 8) & 1 == 1
}

impl<'a> HostColumn<'a> {
    /// The column, whose buffers are on `cpu`.
    ///
    /// # Errors
    /// `Invalid` when they are not.
    pub(crate) fn new(column: &'a DeviceColumn) -> Result<Self> {
        let host = |b: &'a windlass_device::DeviceBuffer| {
            b.host_bytes().ok_or_else(|| KernelError::Invalid {
                operation: "reading a column",
                expected: "buffers in host memory".into(),
                got: b.device().to_string(),
            })
        };
        let bytes = host(&column.values)?;
        let values = match (column.ty, column.storage) {
            (PhysType::I64 | PhysType::U64, _) => Values::Longs(bytes),
            (PhysType::F64, _) => Values::F64(bytes),
            (PhysType::F32, _) => Values::F32(bytes),
            (PhysType::I128, _) => Values::I128(bytes),
            (PhysType::Bool, Storage::Packed) => Values::Bits(bytes, column.bit_offset as usize),
            (PhysType::I8, Storage::Packed) => Values::I8(bytes),
            (PhysType::U8, Storage::Packed) => Values::U8(bytes),
            (PhysType::I16, Storage::Packed) => Values::I16(bytes),
            (PhysType::U16, Storage::Packed) => Values::U16(bytes),
            _ => Values::Words(bytes),
        };
        let mask = match &column.validity {
            Validity::All => Mask::All,
            Validity::Bits { bits, bit_offset } => Mask::Bits(host(bits)?, *bit_offset as usize),
            Validity::Words(words) => Mask::Words(host(words)?),
        };
        Ok(Self { values, mask })
    }

    /// As [`HostColumn::new`], with floats as plain words, whose bits are not made canonical.
    ///
    /// # Errors
    /// As [`HostColumn::new`].
    pub(crate) fn raw(column: &'a DeviceColumn) -> Result<Self> {
        let mut raw = Self::new(column)?;
        raw.values = match raw.values {
            Values::F32(bytes) => Values::Words(bytes),
            Values::F64(bytes) => Values::Longs(bytes),
            values => values,
        };
        Ok(raw)
    }

    /// Whether a row may be null.
    pub(crate) fn nullable(&self) -> bool {
        !matches!(self.mask, Mask::All)
    }

    /// The canonical words of the values of a range, low word in the low half: types of up to 32
    /// bits are extended to one word, which the upper half does not continue. For `I128` the low
    /// 64 bits. Undefined where null.
    pub(crate) fn words(&self, range: &Range<usize>, out: &mut [u64]) {
        match self.values {
            Values::Bits(bits, offset) => {
                for (out, row) in out.iter_mut().zip(range.clone()) {
                    *out = u64::from(bit(bits, row + offset));
                }
            }
            Values::I8(b) => each(b, range, out, |[v]| u64::from(v as i8 as i32 as u32)),
            Values::U8(b) => each(b, range, out, |[v]| u64::from(v)),
            Values::I16(b) => {
                each(b, range, out, |v| u64::from(i32::from(i16::from_le_bytes(v)) as u32));
            }
            Values::U16(b) => each(b, range, out, |v| u64::from(u16::from_le_bytes(v))),
            Values::Words(b) => each(b, range, out, |v| u64::from(u32::from_le_bytes(v))),
            Values::F32(b) => each(b, range, out, |v| canonical32(u32::from_le_bytes(v))),
            Values::Longs(b) => each(b, range, out, u64::from_le_bytes),
            Values::F64(b) => each(b, range, out, |v| canonical64(u64::from_le_bytes(v))),
            Values::I128(b) => each(b, range, out, |v| u128::from_le_bytes(v) as u64),
        }
    }

    /// The values of a range where they lie, where that is what [`HostColumn::words`] gives of
    /// 64-bit types.
    pub(crate) fn longs(&self, range: &Range<usize>) -> Option<&'a [[u8; 8]]> {
        match self.values {
            Values::Longs(bytes) => Some(&bytes.as_chunks().0[range.clone()]),
            _ => None,
        }
    }

    /// As [`HostColumn::longs`], of types of up to 32 bits.
    pub(crate) fn plain_words(&self, range: &Range<usize>) -> Option<&'a [[u8; 4]]> {
        match self.values {
            Values::Words(bytes) => Some(&bytes.as_chunks().0[range.clone()]),
            _ => None,
        }
    }

    /// The high 64 bits of `I128` values; zeros for other types.
    pub(crate) fn high_words(&self, range: &Range<usize>, out: &mut [u64]) {
        match self.values {
            Values::I128(b) => each(b, range, out, |v| (u128::from_le_bytes(v) >> 64) as u64),
            _ => out.fill(0),
        }
    }

    /// Clears `live[i]` where row `range.start + i` is null; only called when `nullable`.
    pub(crate) fn clear_nulls(&self, range: &Range<usize>, live: &mut [bool]) {
        match self.mask {
            Mask::All => {}
            Mask::Bits(bytes, offset) => {
                let bits = Bits::Packed { bytes, offset };
                for (live, row) in live.chunks_mut(64).zip(range.clone().step_by(64)) {
                    let word = bits.word(row, range.end);
                    for (k, live) in live.iter_mut().enumerate() {
                        *live &= word >> k & 1 == 1;
                    }
                }
            }
            Mask::Words(bytes) => {
                let (words, _) = bytes[range.start * 4..range.end * 4].as_chunks::<4>();
                for (live, word) in live.iter_mut().zip(words) {
                    *live &= *word != [0; 4];
                }
            }
        }
    }
}
