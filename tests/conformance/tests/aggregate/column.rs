//! Columns in host memory as bits, whatever their type, with upload to a device and back.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes as dt;
use conformance::host::under_null;
use windlass_device::{Device, DeviceBuffer, Queue, Result};
use windlass_kernels::{DeviceColumn, PhysType, Storage, Validity};

use crate::random::Random;

/// A column: for each row the value's low bits (zero-extended), `None` where null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostColumn {
    /// The type.
    pub(crate) ty: PhysType,
    /// The rows.
    pub(crate) rows: Vec<Option<u128>>,
}

/// Bits of a value of a type.
pub(crate) fn width(ty: PhysType) -> u32 {
    ty.packed_bytes().map_or(1, |b| b as u32 * 8)
}

/// Keeps the bits that a type has.
pub(crate) fn truncate(ty: PhysType, bits: u128) -> u128 {
    bits & (u128::MAX >> (128 - width(ty)))
}

/// Values of a type that are easy to get wrong: zero, one, all bits, the extremes, and for
/// floats both zeros, infinities, NaNs of both signs and payloads, and subnormal numbers.
pub(crate) fn extremes(ty: PhysType) -> Vec<u128> {
    let w = width(ty);
    let sign = 1u128 << (w - 1);
    let f64s = [0.0, -0.0, 1.0, -1.0, f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY];
    match ty {
        PhysType::Bool => vec![0, 1],
        PhysType::F32 => {
            let mut v: Vec<u128> = f64s.iter().map(|f| u128::from((*f as f32).to_bits())).collect();
            v.extend([0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 1, 0x8000_0001]);
            v
        }
        PhysType::F64 => {
            let mut v: Vec<u128> = f64s.iter().map(|f| u128::from(f.to_bits())).collect();
            v.extend([0x7ff8 << 48, 0xfff8 << 48, 0x7ff0 << 48 | 1, 1, 1 << 63 | 1]);
            // A NaN by the last bit of its high half alone.
            v.push(0x7ff0_0001 << 32);
            v
        }
        _ => vec![0, 1, truncate(ty, u128::MAX), sign, sign - 1, truncate(ty, u128::MAX - 1)],
    }
}

impl HostColumn {
    /// `rows` random rows: one in `nulls` is null (0: none), values are drawn from
    /// `distinct` different ones among which are the type's extremes.
    pub(crate) fn random(
        random: &mut Random,
        ty: PhysType,
        rows: usize,
        nulls: usize,
        distinct: usize,
    ) -> Self {
        let mut pool = extremes(ty);
        while pool.len() < distinct {
            let bits = u128::from(random.bits()) << 64 | u128::from(random.bits());
            pool.push(truncate(ty, bits));
        }
        let row = |r: &mut Random| {
            let value = pool[r.below(pool.len().min(distinct))];
            (nulls == 0 || !r.one_in(nulls)).then_some(value)
        };
        Self { ty, rows: (0..rows).map(|_| row(random)).collect() }
    }

    /// A column without nulls from 64-bit integers.
    pub(crate) fn ints(ty: PhysType, values: impl IntoIterator<Item = i64>) -> Self {
        let bits = |v: i64| Some(truncate(ty, i128::from(v) as u128));
        Self { ty, rows: values.into_iter().map(bits).collect() }
    }

    /// A column without nulls from 64-bit floats.
    pub(crate) fn floats(values: impl IntoIterator<Item = f64>) -> Self {
        let bits = |v: f64| Some(u128::from(v.to_bits()));
        Self { ty: PhysType::F64, rows: values.into_iter().map(bits).collect() }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The bits of each row, those under nulls too.
    fn bits(&self) -> impl Iterator<Item = u128> {
        self.rows.iter().enumerate().map(|(i, r)| r.unwrap_or_else(|| under_null(i)))
    }

    /// An Arrow array as a column.
    ///
    /// # Panics
    /// When the array is not of the type's natural Arrow type.
    pub(crate) fn from_arrow(ty: PhysType, array: &ArrayRef) -> Self {
        macro_rules! primitive {
            ($ty:ty, $bits:expr) => {
                array.as_primitive::<$ty>().iter().map(|v| v.map($bits)).collect()
            };
        }
        let rows: Vec<Option<u128>> = match ty {
            PhysType::Bool => array.as_boolean().iter().map(|v| v.map(u128::from)).collect(),
            PhysType::I8 => primitive!(dt::Int8Type, |v| v as u128),
            PhysType::I16 => primitive!(dt::Int16Type, |v| v as u128),
            PhysType::I32 => primitive!(dt::Int32Type, |v| v as u128),
            PhysType::I64 => primitive!(dt::Int64Type, |v| v as u128),
            PhysType::U8 => primitive!(dt::UInt8Type, |v| v as u128),
            PhysType::U16 => primitive!(dt::UInt16Type, |v| v as u128),
            PhysType::U32 => primitive!(dt::UInt32Type, |v| v as u128),
            PhysType::U64 => primitive!(dt::UInt64Type, |v| v as u128),
            PhysType::F32 => primitive!(dt::Float32Type, |v| u128::from(v.to_bits())),
            PhysType::F64 => primitive!(dt::Float64Type, |v| u128::from(v.to_bits())),
            PhysType::I128 => primitive!(dt::Decimal128Type, |v| v as u128),
        };
        let rows = rows.into_iter().map(|r| r.map(|b| truncate(ty, b))).collect();
        Self { ty, rows }
    }

    /// The column on a device in Arrow's layout, `offset` rows into its buffers as a slice
    /// of a longer array would be. Validity is left out where no row is null.
    ///
    /// # Errors
    /// The device's errors.
    pub(crate) fn upload(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        offset: usize,
    ) -> Result<DeviceColumn> {
        let bytes = self.ty.packed_bytes();
        let values: Vec<u8> = match bytes {
            None => pack_bits(offset, self.bits().map(|bits| bits & 1 == 1)),
            Some(n) => self.bits().flat_map(|v| v.to_le_bytes().into_iter().take(n)).collect(),
        };
        let validity = if self.rows.iter().all(Option::is_some) {
            Validity::All
        } else {
            let bits = pack_bits(offset, self.rows.iter().map(Option::is_some));
            let bits = upload(device, queue, bits)?;
            Validity::Bits { bits, bit_offset: offset as u32 % 8 }
        };
        let bit_offset = if bytes.is_none() { offset as u32 % 8 } else { 0 };
        let values = upload(device, queue, values)?;
        Ok(DeviceColumn { ty: self.ty, storage: Storage::Packed, values, bit_offset, validity })
    }

    /// The column on a device as kernels write it: a word at least for each value, and a word
    /// of validity for each row where one is null.
    ///
    /// # Errors
    /// The device's errors.
    pub(crate) fn upload_wide(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
    ) -> Result<DeviceColumn> {
        let sign = |bits: u128| match self.ty.is_signed() && !self.ty.is_float() {
            true => (bits << (128 - width(self.ty))) as i128 >> (128 - width(self.ty)),
            false => bits as i128,
        };
        let value = |bits: u128| sign(bits).to_le_bytes().into_iter();
        let bytes = self.ty.wide_bytes();
        let values = self.bits().flat_map(|bits| value(bits).take(bytes)).collect();
        let validity = if self.rows.iter().all(Option::is_some) {
            Validity::All
        } else {
            let word = |r: &Option<u128>| u32::from(r.is_some()).to_le_bytes();
            let words = self.rows.iter().flat_map(word).collect();
            Validity::Words(upload(device, queue, words)?)
        };
        let values = upload(device, queue, values)?;
        Ok(DeviceColumn { ty: self.ty, storage: Storage::Wide, values, bit_offset: 0, validity })
    }
}

/// Bits from bit `offset % 8` on; the bits before it are ones.
fn pack_bits(offset: usize, bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let lead = std::iter::repeat_n(true, offset % 8);
    let mut out = Vec::new();
    for (i, bit) in lead.chain(bits).enumerate() {
        if i % 8 == 0 {
            out.push(0);
        }
        out[i / 8] |= u8::from(bit) << (i % 8);
    }
    out
}

/// Bytes on a device, padded to whole 32-bit words.
fn upload(device: &dyn Device, queue: &mut dyn Queue, mut bytes: Vec<u8>) -> Result<DeviceBuffer> {
    bytes.resize(bytes.len().next_multiple_of(4).max(4), 0xee);
    let mut reservation = device.pool().reserve(bytes.len())?;
    let buffer = device.alloc(&mut reservation, bytes.len())?;
    queue.upload(&buffer, 0, &bytes)?;
    Ok(buffer)
}
