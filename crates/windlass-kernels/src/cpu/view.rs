//! Columns in host memory as the twins read them.

use std::{borrow::Cow, ops::Range};

use windlass_device::DeviceBuffer;

use crate::{
    column::{DeviceColumn, Storage, Validity},
    error::{KernelError, Result},
    types::PhysType,
};

/// One bit for each row: a validity, or booleans.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bits<'a> {
    /// All are 1.
    Ones,
    /// Arrow's layout, from bit `offset` on.
    Packed {
        /// The bits, least significant first.
        bytes: &'a [u8],
        /// Bit of row 0.
        offset: usize,
    },
    /// A 32-bit word each; 1 where it is not 0.
    Words(&'a [[u8; 4]]),
}

impl<'a> Bits<'a> {
    /// Of a column's rows, which are not null.
    pub(crate) fn validity(column: &'a DeviceColumn) -> Result<Self> {
        Self::of(&column.validity)
    }

    /// Of rows that are not null.
    pub(crate) fn of(validity: &'a Validity) -> Result<Self> {
        Ok(match validity {
            Validity::All => Self::Ones,
            Validity::Bits { bits, bit_offset } => {
                Self::Packed { bytes: host(bits)?, offset: *bit_offset as usize }
            }
            Validity::Words(words) => Self::Words(words_of(words)?),
        })
    }

    /// The values of a `Bool` column.
    pub(crate) fn values(column: &'a DeviceColumn) -> Result<Self> {
        Ok(match column.storage {
            Storage::Packed => {
                let (bytes, offset) = (host(&column.values)?, column.bit_offset as usize);
                Self::Packed { bytes, offset }
            }
            Storage::Wide => Self::Words(words_of(&column.values)?),
        })
    }

    /// The bit of a row; `None` past the end.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<bool> {
        match self {
            Self::Ones => Some(true),
            Self::Packed { bytes, offset } => bit(bytes, row + offset),
            Self::Words(words) => words.get(row).map(|w| *w != [0; 4]),
        }
    }

    /// How many rows of a range have a 1 here, and in `other` too where there is one. The range
    /// lies within both.
    pub(crate) fn ones(&self, other: Option<&Self>, rows: Range<usize>) -> usize {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has the instruction.
            return unsafe { self.ones_popcnt(other, rows) };
        }
        self.ones_here(other, rows)
    }

    /// [`Bits::ones_here`], compiled for processors that count bits.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "popcnt")]
    fn ones_popcnt(&self, other: Option<&Self>, rows: Range<usize>) -> usize {
        self.ones_here(other, rows)
    }

    #[inline(always)]
    fn ones_here(&self, other: Option<&Self>, rows: Range<usize>) -> usize {
        let other = other.filter(|o| !matches!(o, Self::Ones));
        let (this, other) = match (self, other) {
            (Self::Ones, Some(other)) => (other, None),
            both => both,
        };
        match (this, other) {
            (Self::Ones, _) => rows.len(),
            (Self::Packed { bytes, offset }, None) => {
                ones_of(bytes, bytes, rows.start + offset, rows.len())
            }
            (Self::Packed { bytes, offset }, Some(Self::Packed { bytes: others, offset: at }))
                if offset % 8 == at % 8 =>
            {
                // Both from the byte that holds the first row on.
                let (bytes, others) = (&bytes[offset / 8..], &others[at / 8..]);
                ones_of(bytes, others, rows.start + offset % 8, rows.len())
            }
            (Self::Words(words), None) => words[rows].iter().filter(|w| **w != [0; 4]).count(),
            (this, other) => {
                let end = rows.end;
                rows.step_by(64).fold(0, |sum, row| {
                    let other = other.map_or(u64::MAX, |o| o.word(row, end));
                    sum + (this.word(row, end) & other).count_ones() as usize
                })
            }
        }
    }

    /// The bits of up to 64 rows from `row` on, the first in the least significant place;
    /// those past `rows` are 0.
    #[inline]
    pub(crate) fn word(&self, row: usize, rows: usize) -> u64 {
        let n = rows.saturating_sub(row).min(64);
        if n == 0 {
            return 0;
        }
        let keep = u64::MAX >> (64 - n);
        match self {
            Self::Ones => keep,
            Self::Packed { bytes, offset } => word_at(bytes, row + offset) & keep,
            Self::Words(words) => {
                let end = (row + n).min(words.len());
                let words = words.get(row..end).unwrap_or_default().iter().enumerate();
                words.fold(0, |bits, (k, w)| bits | (u64::from(*w != [0; 4]) << k))
            }
        }
    }
}

/// How many of `n` bits from bit `start` on are 1 in both bitmaps, which have them.
#[inline(always)]
fn ones_of(a: &[u8], b: &[u8], start: usize, n: usize) -> usize {
    if n == 0 {
        return 0;
    }
    let (first, last) = (start / 8, (start + n - 1) / 8);
    let (a, b) = (&a[first..=last], &b[first..=last]);
    let ((words, rest), (others, other_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let both = |(a, b): (&[u8; 8], &[u8; 8])| {
        (u64::from_le_bytes(*a) & u64::from_le_bytes(*b)).count_ones() as usize
    };
    let whole: usize = words.iter().zip(others).map(both).sum();
    let rest: usize = rest.iter().zip(other_rest).map(|(a, b)| (a & b).count_ones() as usize).sum();
    // The bits of the first and of the last byte that are not in the range.
    let before = (1u32 << (start % 8)) - 1;
    let after = 0xffu32 << ((start + n - 1) % 8 + 1) & 0xff;
    let outside = (u32::from(a[0] & b[0]) & before).count_ones()
        + (u32::from(a[a.len() - 1] & b[b.len() - 1]) & after).count_ones();
    whole + rest - outside as usize
}

/// Bit `at` of a bitmap; `None` past its end.
#[inline]
pub(crate) fn bit(bytes: &[u8], at: usize) -> Option<bool> {
    bytes.get(at / 8).map(|b| b >> (at % 8) & 1 == 1)
}

/// 64 bits of a bitmap from bit `at` on; 0 past its end.
#[inline]
pub(crate) fn word_at(bytes: &[u8], at: usize) -> u64 {
    let (byte, shift) = (at / 8, at % 8);
    let rest = bytes.get(byte..).unwrap_or_default();
    match rest.first_chunk::<9>() {
        Some(nine) => {
            let [low @ .., high] = nine;
            let low = u64::from_le_bytes(*low) >> shift;
            // The shift is left out of the type's width when `shift` is 0.
            low | (u64::from(*high) << 1) << (63 - shift)
        }
        None => {
            let mut all = [0u8; 16];
            all[..rest.len()].copy_from_slice(rest);
            (u128::from_le_bytes(all) >> shift) as u64
        }
    }
}

/// A buffer's bytes.
///
/// # Errors
/// `Invalid` when the buffer is not in host memory.
pub(crate) fn host(buffer: &DeviceBuffer) -> Result<&[u8]> {
    buffer.host_bytes().ok_or_else(|| KernelError::Invalid {
        operation: "a twin on cpu",
        expected: "a buffer in host memory".into(),
        got: buffer.device().to_string(),
    })
}

/// A buffer's 32-bit words, wherever it begins.
///
/// # Errors
/// As [`host`].
pub(crate) fn words_of(buffer: &DeviceBuffer) -> Result<&[[u8; 4]]> {
    Ok(host(buffer)?.as_chunks::<4>().0)
}

/// The first `n` 32-bit words of a buffer that has as many; copied only where they are not
/// aligned.
///
/// # Errors
/// As [`host`].
pub(crate) fn aligned_words(buffer: &DeviceBuffer, n: usize) -> Result<Cow<'_, [u32]>> {
    let bytes = &host(buffer)?[..n * 4];
    Ok(match bytemuck::try_cast_slice(bytes) {
        Ok(words) => Cow::Borrowed(words),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
    })
}

/// Bytes between a column's values; `None` where they are bits.
pub(crate) fn stride(ty: PhysType, storage: Storage) -> Option<usize> {
    match storage {
        Storage::Packed => ty.packed_bytes(),
        Storage::Wide => Some(ty.wide_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_are_counted_in_any_range_of_any_layout() {
        let bytes: Vec<u8> = (0..80u8).map(|i| i.wrapping_mul(89) ^ 0x3c).collect();
        let others: Vec<u8> = bytes.iter().map(|b| b.rotate_left(3) ^ 0x11).collect();
        let words: Vec<[u8; 4]> = (0..600u32).map(|i| (i % 3 * 256).to_le_bytes()).collect();
        let layouts = [
            Bits::Ones,
            Bits::Packed { bytes: &bytes, offset: 0 },
            Bits::Packed { bytes: &bytes, offset: 5 },
            Bits::Packed { bytes: &others, offset: 13 },
            Bits::Packed { bytes: &others, offset: 8 },
            Bits::Words(&words),
        ];
        for rows in [0..0, 0..1, 3..64, 7..8, 0..600, 100..333, 599..600, 64..128] {
            for a in &layouts {
                for b in std::iter::once(None).chain(layouts.iter().map(Some)) {
                    let one = |row: usize, b: &Bits<'_>| b.get(row) == Some(true);
                    let both = |row: &usize| one(*row, a) && b.is_none_or(|b| one(*row, b));
                    let want = rows.clone().filter(both).count();
                    assert_eq!(a.ones(b, rows.clone()), want, "{a:?} {b:?} {rows:?}");
                    assert_eq!(a.ones_here(b, rows.clone()), want, "{a:?} {b:?} {rows:?}");
                }
            }
        }
    }
}
