//! Host columns: values as bits with nulls, written to a device in any layout and read back.

use windlass_device::{Device, DeviceBuffer, Queue};
use windlass_kernels::{DeviceColumn, PhysType, Storage, Validity};

/// What lies where a row is null: other bits in each row, so that who reads them does not take
/// nulls for equal.
pub fn under_null(row: usize) -> u128 {
    // The golden ratio's bits: an odd number, so that the low bits differ from row to row.
    (row as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// A column on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostColumn {
    /// The type.
    pub ty: PhysType,
    /// The bits of each value, `None` where null; signed integers are sign-extended.
    pub values: Vec<Option<u128>>,
}

/// How a column lies on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// Arrow's layout, bits beginning at this bit.
    Packed(u32),
    /// The layout of GPU kernels, with validity words.
    Wide,
}

/// Bits of a value kept to its width.
pub fn truncate(ty: PhysType, bits: u128) -> u128 {
    match ty.packed_bytes() {
        None => bits & 1,
        Some(16) => bits,
        Some(w) => bits & ((1 << (8 * w)) - 1),
    }
}

/// Bits of a value as [`windlass_kernels::Scalar::bits`] gives them.
pub fn extend(ty: PhysType, bits: u128) -> u128 {
    let bits = truncate(ty, bits);
    match ty.packed_bytes() {
        Some(w) if ty.is_signed() && ty.is_integer() && w < 16 => {
            let shift = 128 - 8 * w as u32;
            (((bits << shift) as i128) >> shift) as u128
        }
        _ => bits,
    }
}

impl HostColumn {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len()
    }

    /// Writes it to a device.
    ///
    /// # Panics
    /// When the device fails.
    pub fn upload(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        how: Presented,
    ) -> DeviceColumn {
        let offset = if let Presented::Packed(bit) = how { bit } else { 0 };
        let bits = self.values.iter().enumerate();
        let bits = bits.map(|(row, v)| v.unwrap_or_else(|| under_null(row)));
        let mut bytes = Vec::new();
        let storage = match how {
            Presented::Packed(_) => Storage::Packed,
            Presented::Wide => Storage::Wide,
        };
        match (self.ty.packed_bytes(), storage) {
            (None, Storage::Packed) => bytes = bitmap(bits.map(|b| b & 1 == 1), offset),
            (None, Storage::Wide) => {
                bits.for_each(|b| bytes.extend(((b & 1) as u32).to_le_bytes()));
            }
            (Some(w), Storage::Packed) => {
                bits.for_each(|b| bytes.extend_from_slice(&b.to_le_bytes()[..w]));
            }
            (Some(_), Storage::Wide) => {
                let w = self.ty.wide_bytes();
                bits.for_each(|b| {
                    bytes.extend_from_slice(&extend(self.ty, b).to_le_bytes()[..w]);
                });
            }
        }
        let validity = match how {
            _ if self.values.iter().all(Option::is_some) => Validity::All,
            Presented::Packed(bit) => {
                // Another offset than the values', so that a mix-up shows.
                let bit_offset = (bit + 3) % 8;
                let valid = bitmap(self.values.iter().map(Option::is_some), bit_offset);
                Validity::Bits { bits: buffer(device, queue, &valid), bit_offset }
            }
            Presented::Wide => {
                let words: Vec<u32> = self.values.iter().map(|v| u32::from(v.is_some())).collect();
                Validity::Words(buffer(device, queue, bytemuck::cast_slice(&words)))
            }
        };
        let bit_offset = if self.ty == PhysType::Bool { offset } else { 0 };
        let values = buffer(device, queue, &bytes);
        DeviceColumn { ty: self.ty, storage, values, bit_offset, validity }
    }

    /// Reads `rows` rows of a column back.
    ///
    /// # Panics
    /// When the device fails or the column is too short.
    pub fn download(queue: &mut dyn Queue, c: &DeviceColumn, rows: usize) -> Self {
        Self::read(queue, c, rows, true)
    }

    /// As [`HostColumn::download`], where rows may be undefined: their words are not checked.
    ///
    /// # Panics
    /// As `download`.
    pub fn download_unchecked(queue: &mut dyn Queue, c: &DeviceColumn, rows: usize) -> Self {
        Self::read(queue, c, rows, false)
    }

    fn read(queue: &mut dyn Queue, c: &DeviceColumn, rows: usize, check: bool) -> Self {
        let mut read = |b: &DeviceBuffer| {
            let mut bytes = vec![0; b.len()];
            queue.download(b, 0, &mut bytes).unwrap_or_else(|e| panic!("{e}"));
            bytes
        };
        let bytes = read(&c.values);
        let valid: Vec<bool> = match &c.validity {
            Validity::All => vec![true; rows],
            Validity::Bits { bits, bit_offset } => {
                let bits = read(bits);
                (0..rows).map(|i| bit(&bits, i + *bit_offset as usize)).collect()
            }
            Validity::Words(words) => {
                let words = read(words);
                words
                    .chunks_exact(4)
                    // A buffer may be longer than the column.
                    .take(rows)
                    .map(|w| {
                        let word = u32::from_le_bytes([w[0], w[1], w[2], w[3]]);
                        assert!(word <= 1 || !check, "a validity word is 0 or 1, not {word:#x}");
                        word == 1
                    })
                    .collect()
            }
        };
        let value = |i: usize| -> u128 {
            let w = match (c.ty.packed_bytes(), c.storage) {
                (None, Storage::Packed) => {
                    return u128::from(bit(&bytes, i + c.bit_offset as usize));
                }
                (Some(w), Storage::Packed) => w,
                (_, Storage::Wide) => c.ty.wide_bytes(),
            };
            let mut le = [0u8; 16];
            le[..w].copy_from_slice(&bytes[i * w..(i + 1) * w]);
            let all = u128::from_le_bytes(le);
            let bits = extend(c.ty, all);
            if check && c.storage == Storage::Wide && w == 4 && valid[i] {
                assert_eq!(all as u32, bits as u32, "row {i}: a wide {} is not extended", c.ty);
            }
            bits
        };
        let values = (0..rows).map(|i| valid[i].then(|| value(i))).collect();
        Self { ty: c.ty, values }
    }
}

fn bit(bytes: &[u8], i: usize) -> bool {
    bytes[i / 8] >> (i % 8) & 1 == 1
}

fn bitmap(bits: impl ExactSizeIterator<Item = bool>, offset: u32) -> Vec<u8> {
    // The bits around the column's are ones, so that reading them shows.
    let n = bits.len() + offset as usize;
    let mut out = vec![0xffu8; n.div_ceil(8)];
    for (i, b) in bits.enumerate() {
        let at = i + offset as usize;
        if !b {
            out[at / 8] &= !(1 << (at % 8));
        }
    }
    out
}

fn buffer(device: &dyn Device, queue: &mut dyn Queue, bytes: &[u8]) -> DeviceBuffer {
    let mut run = || -> Result<DeviceBuffer, windlass_device::DeviceError> {
        let mut reservation = device.pool().reserve(bytes.len())?;
        let b = device.alloc(&mut reservation, bytes.len())?;
        queue.upload(&b, 0, bytes)?;
        Ok(b)
    };
    run().unwrap_or_else(|e| panic!("{e}"))
}
