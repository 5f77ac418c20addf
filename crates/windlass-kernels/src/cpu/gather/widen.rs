//! The layout of GPU kernels out of Arrow's, for callers that want one layout everywhere.

use windlass_device::{Device, Reservation};

use crate::{
    column::{DeviceColumn, Storage, Validity},
    cpu::{
        memory::adopt,
        pieces::{map, tabulate},
        view::{Bits, host},
    },
    error::Result,
};

/// The rows of a checked column as words with a validity of words.
///
/// # Errors
/// `OutOfMemory`.
pub(crate) fn widen(
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &DeviceColumn,
    rows: usize,
) -> Result<DeviceColumn> {
    let bytes = host(&c.values)?;
    let signed = c.ty.is_signed();
    let words = match (c.storage, c.ty.packed_bytes()) {
        (Storage::Wide, _) | (Storage::Packed, Some(4..)) => None,
        (_, None) => {
            let bits = Bits::values(c)?;
            Some(tabulate(rows, |row| u32::from(bits.get(row).unwrap_or(false))))
        }
        (_, Some(1)) if signed => Some(map(&bytes[..rows], |b| *b as i8 as u32)),
        (_, Some(1)) => Some(map(&bytes[..rows], |b| u32::from(*b))),
        (_, Some(_)) => {
            let halves = &bytes.as_chunks::<2>().0[..rows];
            Some(match signed {
                true => map(halves, |b| i16::from_ne_bytes(*b) as u32),
                false => map(halves, |b| u32::from(u16::from_ne_bytes(*b))),
            })
        }
    };
    let values = match words {
        None => c.values.clone(),
        Some(words) => adopt(device, reservation, words)?,
    };
    let validity = match &c.validity {
        Validity::Bits { .. } => {
            let bits = Bits::validity(c)?;
            let words = tabulate(rows, |row| u32::from(bits.get(row).unwrap_or(false)));
            Validity::Words(adopt(device, reservation, words)?)
        }
        other => other.clone(),
    };
    Ok(DeviceColumn { ty: c.ty, storage: Storage::Wide, values, bit_offset: 0, validity })
}
