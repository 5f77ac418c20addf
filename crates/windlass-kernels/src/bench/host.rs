//! Data of benches, their columns on a device, and results on the host.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray},
    buffer::{Buffer, ScalarBuffer},
    datatypes::{DataType, Decimal128Type},
};
use bytemuck::Pod;
use windlass_device::{Device, DeviceBuffer, DeviceClass, HostBytes, Queue, Reservation};

use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    error::{KernelError, Result},
    types::PhysType,
};

/// Rows of a piece that a core takes at a time, and of a batch of a job on the host, as scans
/// give them.
pub(super) const PIECE: usize = 65_536;

/// Rows of a batch on a GPU: what coalescing gives it at a time.
const GPU_BATCH: usize = 1 << 24;

/// The device, its queue and its memory.
pub(super) struct On {
    pub(super) device: Arc<dyn Device>,
    pub(super) queue: Box<dyn Queue>,
    pub(super) reservation: Reservation,
}

/// An Arrow buffer as device memory.
struct Owner(Buffer);

impl HostBytes for Owner {
    fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl On {
    /// Whether the device is the host, whose operations have references.
    pub(super) fn is_host(&self) -> bool {
        self.device.info().class == DeviceClass::Host
    }

    /// Bytes in the device's memory; on the host where they lie.
    pub(super) fn buffer(&mut self, bytes: Buffer) -> Result<DeviceBuffer> {
        if let Some(buffer) = self.device.adopt(Arc::new(Owner(bytes.clone()))) {
            return Ok(buffer);
        }
        let buffer = self.device.alloc(&mut self.reservation, bytes.len())?;
        if !bytes.is_empty() {
            self.queue.upload(&buffer, 0, &bytes)?;
        }
        Ok(buffer)
    }

    /// Words in the device's memory.
    pub(super) fn words(&mut self, words: Vec<u32>) -> Result<DeviceBuffer> {
        self.buffer(Buffer::from_vec(words))
    }

    /// An array as a column in Arrow's layout.
    pub(super) fn column(&mut self, array: &dyn Array) -> Result<DeviceColumn> {
        let data = array.to_data();
        let ty = phys_type(data.data_type())?;
        let (values, bit_offset) = match ty.packed_bytes() {
            Some(w) => (data.buffers()[0].slice_with_length(data.offset() * w, data.len() * w), 0),
            None => bits(&data.buffers()[0], data.offset(), data.len()),
        };
        let validity = match data.nulls() {
            None => Validity::All,
            Some(nulls) => {
                let (bits, bit_offset) = bits(nulls.buffer(), nulls.offset(), nulls.len());
                Validity::Bits { bits: self.buffer(bits)?, bit_offset }
            }
        };
        let values = self.buffer(values)?;
        Ok(DeviceColumn { ty, storage: Storage::Packed, values, bit_offset, validity })
    }

    /// Arrays of one length as a batch.
    pub(super) fn batch(&mut self, arrays: &[ArrayRef]) -> Result<DeviceBatch> {
        let rows = arrays.first().map_or(0, |a| a.len());
        let columns = arrays.iter().map(|a| self.column(&**a)).collect::<Result<_>>()?;
        Ok(DeviceBatch { rows, columns })
    }

    /// Arrays in batches of `rows` rows.
    pub(super) fn batches_of(
        &mut self,
        arrays: &[ArrayRef],
        rows: usize,
    ) -> Result<Vec<DeviceBatch>> {
        let all = arrays.first().map_or(0, |a| a.len());
        (0..all)
            .step_by(rows.max(1))
            .map(|at| {
                let part = |a: &ArrayRef| a.slice(at, rows.min(all - at));
                self.batch(&arrays.iter().map(part).collect::<Vec<_>>())
            })
            .collect()
    }

    /// Arrays in batches as jobs give them to the device.
    pub(super) fn batches(&mut self, arrays: &[ArrayRef]) -> Result<Vec<DeviceBatch>> {
        let info = self.device.info();
        let rows = match self.is_host() {
            true => PIECE,
            // No column is wider than 16 bytes.
            false => GPU_BATCH.min(info.limits.max_buffer_bytes / 16),
        };
        self.batches_of(arrays, rows)
    }

    /// The first `n` values of a buffer.
    pub(super) fn read<T: Pod>(&mut self, buffer: &DeviceBuffer, n: usize) -> Result<Vec<T>> {
        let mut values = vec![T::zeroed(); n];
        if n > 0 {
            self.queue.download(buffer, 0, bytemuck::cast_slice_mut(&mut values))?;
        }
        Ok(values)
    }

    /// The values of a column of 4 bytes or more, whose layout is the same in both storages.
    pub(super) fn values<T: Pod>(&mut self, column: &DeviceColumn, rows: usize) -> Result<Vec<T>> {
        if column.ty.packed_bytes() != Some(size_of::<T>()) {
            return Err(KernelError::Invalid {
                operation: "reading a result",
                expected: format!("values of {} bytes", size_of::<T>()),
                got: column.ty.to_string(),
            });
        }
        self.read(&column.values, rows)
    }

    /// Which rows of a column are not null.
    pub(super) fn valid(&mut self, column: &DeviceColumn, rows: usize) -> Result<Vec<bool>> {
        match &column.validity {
            Validity::All => Ok(vec![true; rows]),
            Validity::Words(words) => {
                Ok(self.read::<u32>(words, rows)?.into_iter().map(|w| w != 0).collect())
            }
            Validity::Bits { bits, bit_offset } => {
                let at = *bit_offset as usize;
                let bytes = self.read::<u8>(bits, (at + rows).div_ceil(8))?;
                Ok((at..at + rows).map(|i| bytes[i / 8] >> (i % 8) & 1 == 1).collect())
            }
        }
    }

    /// The values of a column that are not null.
    pub(super) fn options<T: Pod>(
        &mut self,
        column: &DeviceColumn,
        rows: usize,
    ) -> Result<Vec<Option<T>>> {
        let valid = self.valid(column, rows)?;
        let values = self.values::<T>(column, rows)?;
        Ok(values.into_iter().zip(valid).map(|(v, valid)| valid.then_some(v)).collect())
    }
}

/// Bits `offset..offset + len` in whole bytes, and the place of the first.
fn bits(buffer: &Buffer, offset: usize, len: usize) -> (Buffer, u32) {
    let (first, bit) = (offset / 8, offset % 8);
    (buffer.slice_with_length(first, (bit + len).div_ceil(8)), bit as u32)
}

fn phys_type(ty: &DataType) -> Result<PhysType> {
    Ok(match ty {
        DataType::Boolean => PhysType::Bool,
        DataType::Int8 => PhysType::I8,
        DataType::Int32 => PhysType::I32,
        DataType::Int64 => PhysType::I64,
        DataType::UInt32 => PhysType::U32,
        DataType::Float64 => PhysType::F64,
        DataType::Decimal128(..) => PhysType::I128,
        other => {
            return Err(KernelError::Invalid {
                operation: "the data of a bench",
                expected: "a type that benches use".into(),
                got: other.to_string(),
            });
        }
    })
}

/// Random numbers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), the same in every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// The finalizer of SplitMix64.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Spreads numbers over 64 bits, different ones to different ones, so that keys are neither
/// dense nor in order.
pub(super) fn spread(number: u64) -> i64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64
}

/// `n` values of a generator.
pub(super) fn random<T>(n: usize, seed: u64, value: impl Fn(&mut Random) -> T) -> Vec<T> {
    let mut random = Random(seed);
    (0..n).map(|_| value(&mut random)).collect()
}

/// Values as an array without nulls, without a copy.
pub(super) fn array<T: ArrowPrimitiveType>(values: Vec<T::Native>) -> PrimitiveArray<T> {
    PrimitiveArray::new(ScalarBuffer::from(values), None)
}

/// Values as an array in which the rows for which `valid` is false are null.
pub(super) fn nullable<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    valid: impl FnMut(usize) -> bool,
) -> PrimitiveArray<T> {
    let nulls = (0..values.len()).map(valid).collect::<Vec<bool>>();
    PrimitiveArray::new(ScalarBuffer::from(values), Some(nulls.into()))
}

/// Integers as decimals of 38 digits.
pub(super) fn decimals(values: Vec<i128>) -> PrimitiveArray<Decimal128Type> {
    array::<Decimal128Type>(values).with_data_type(DataType::Decimal128(38, 0))
}

/// Ranges of [`PIECE`] rows.
pub(super) fn pieces(rows: usize) -> Vec<Range<usize>> {
    (0..rows).step_by(PIECE).map(|at| at..(at + PIECE).min(rows)).collect()
}

/// Pieces of an array, without a copy.
pub(super) fn sliced(array: &dyn Array) -> Vec<ArrayRef> {
    pieces(array.len()).into_iter().map(|r| array.slice(r.start, r.len())).collect()
}
