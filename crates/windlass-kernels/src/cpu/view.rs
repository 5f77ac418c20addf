//! Columns in host memory as the twins read them.

use std::borrow::Cow;

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

/// Bit `at` of a bitmap; `None` past its end.
#[inline]
pub(crate) fn bit(bytes: &[u8], at: usize) -> Option<bool> {
    bytes.get(at / 8).map(|b| b >> (at % 8) & 1 == 1)
}

/// 64 bits of a bitmap from bit `at` on; 0 past its end.
#[inline]
fn word_at(bytes: &[u8], at: usize) -> u64 {
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
