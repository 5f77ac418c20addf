//! A range of rows without a copy.

use windlass_device::{Device, DeviceBuffer};

use crate::{
    column::{DeviceBatch, DeviceColumn, Validity},
    cpu::{memory::part, view::stride},
    error::Result,
};

/// Rows `offset..offset + rows` of a checked batch that has them. The result shares the
/// batch's memory, in the layout that it has.
///
/// # Errors
/// Those of adoption.
pub(crate) fn slice(
    device: &dyn Device,
    batch: &DeviceBatch,
    offset: usize,
    rows: usize,
) -> Result<DeviceBatch> {
    let bits = |buffer: &DeviceBuffer, bit: u32| {
        let first = bit as usize + offset;
        let bytes = (first % 8 + rows).div_ceil(8);
        Ok::<_, crate::KernelError>((part(device, buffer, first / 8, bytes)?, (first % 8) as u32))
    };
    let column = |c: &DeviceColumn| -> Result<DeviceColumn> {
        let (values, bit_offset) = match stride(c.ty, c.storage) {
            Some(w) => (part(device, &c.values, offset * w, rows * w)?, 0),
            None => bits(&c.values, c.bit_offset)?,
        };
        let validity = match &c.validity {
            Validity::All => Validity::All,
            Validity::Bits { bits: b, bit_offset } => {
                let (bits, bit_offset) = bits(b, *bit_offset)?;
                Validity::Bits { bits, bit_offset }
            }
            Validity::Words(words) => Validity::Words(part(device, words, offset * 4, rows * 4)?),
        };
        Ok(DeviceColumn { ty: c.ty, storage: c.storage, values, bit_offset, validity })
    };
    let columns = batch.columns.iter().map(column).collect::<Result<_>>()?;
    Ok(DeviceBatch { rows, columns })
}
