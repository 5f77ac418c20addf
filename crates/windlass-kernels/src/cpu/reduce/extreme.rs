//! The twin of `kernels/reduce/extreme.cu`.

use windlass_device::DeviceBuffer;

use super::rows::Taken;
use crate::{
    column::{DeviceColumn, Storage},
    cpu::{
        scan::{total32, total64},
        view::{Bits, host, stride},
    },
    error::Result,
    reduce::{Extreme, scalar},
    types::PhysType,
};

/// Rows whose best value is found before its place is: half a first-level cache of 32 KiB at 8
/// bytes a value (a stated guess).
const RUN: usize = 2048;

/// The least or the greatest value of a checked column and the first row that has it.
///
/// # Errors
/// `Invalid` for a buffer that is not in host memory.
pub(crate) fn extreme(
    c: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
    is_min: bool,
) -> Result<Option<Extreme>> {
    use PhysType as T;
    let taken = Taken::new(&[c], rows, selected)?;
    let bytes = host(&c.values)?;
    let wide = c.storage == Storage::Wide;
    let s = Search { taken, bytes, rows, is_min };
    let row = match c.ty {
        T::Bool => s.bits(Bits::values(c)?),
        T::F32 => s.first(|v| total32(i32::from_ne_bytes(v))),
        T::F64 => s.first(|v| total64(i64::from_ne_bytes(v))),
        T::I8 if !wide => s.first(|v: [u8; 1]| v[0] as i8),
        T::U8 if !wide => s.first(|v: [u8; 1]| v[0]),
        T::I16 if !wide => s.first(i16::from_ne_bytes),
        T::U16 if !wide => s.first(u16::from_ne_bytes),
        T::I64 => s.first(i64::from_ne_bytes),
        T::U64 => s.first(u64::from_ne_bytes),
        T::I128 => s.first(i128::from_ne_bytes),
        ty if ty.is_signed() => s.first(i32::from_ne_bytes),
        _ => s.first(u32::from_ne_bytes),
    };
    let Some(row) = row else { return Ok(None) };
    let bits = match stride(c.ty, c.storage) {
        _ if c.ty == T::Bool => u128::from(Bits::values(c)?.get(row).unwrap_or(false)),
        None => 0,
        Some(w) => {
            let value = &bytes[row * w..(row + 1) * w];
            value.iter().rev().fold(0u128, |bits, b| bits << 8 | u128::from(*b))
        }
    };
    Ok(Some(Extreme { value: scalar(c.ty, bits), row: row as u32 }))
}

struct Search<'a> {
    taken: Taken<'a>,
    bytes: &'a [u8],
    rows: usize,
    is_min: bool,
}

impl Search<'_> {
    /// The first row with the least or the greatest key.
    fn first<const W: usize, K: Ord + Copy + Send>(
        &self,
        key: impl Fn([u8; W]) -> K + Sync,
    ) -> Option<usize> {
        match self.is_min {
            true => self.best(key, |a: K, b: K| a < b),
            false => self.best(key, |a: K, b: K| a > b),
        }
    }

    fn best<const W: usize, K: Copy + Eq + Send>(
        &self,
        key: impl Fn([u8; W]) -> K + Sync,
        better: impl Fn(K, K) -> bool + Sync,
    ) -> Option<usize> {
        let all = &self.bytes.as_chunks::<W>().0[..self.rows];
        let take = |best: &mut Option<(K, usize)>, k: K, row: usize| {
            if best.is_none_or(|(b, _)| better(k, b)) {
                *best = Some((k, row));
            }
        };
        let pieces = self.taken.pieces(|rows| {
            let mut best = None;
            self.taken.walk(
                rows,
                &mut best,
                |best, rows| {
                    // The value first, in a loop that the processor runs side by side; its place
                    // only where it is better than what there was.
                    for (i, run) in all[rows.clone()].chunks(RUN).enumerate() {
                        let keys = run.iter().map(|v| key(*v));
                        let Some(k) = keys.reduce(|a, b| if better(b, a) { b } else { a }) else {
                            continue;
                        };
                        if best.is_none_or(|(b, _)| better(k, b)) {
                            let at = run.iter().position(|v| key(*v) == k).unwrap_or(0);
                            *best = Some((k, rows.start + i * RUN + at));
                        }
                    }
                },
                |best, row| take(best, key(all[row]), row),
            );
            best
        });
        let mut best = None;
        for (k, row) in pieces.into_iter().flatten() {
            take(&mut best, k, row);
        }
        best.map(|(_, row)| row)
    }

    /// Of booleans: the first row of the wanted kind, or where there is none the first row.
    fn bits(&self, bits: Bits<'_>) -> Option<usize> {
        let mut any = None;
        for row in (0..self.rows).step_by(64) {
            let (taken, ones) = (self.taken.word(row), bits.word(row, self.rows));
            let wanted = taken & if self.is_min { !ones } else { ones };
            if wanted != 0 {
                return Some(row + wanted.trailing_zeros() as usize);
            }
            if any.is_none() && taken != 0 {
                any = Some(row + taken.trailing_zeros() as usize);
            }
        }
        any
    }
}
