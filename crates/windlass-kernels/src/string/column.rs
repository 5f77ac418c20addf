//! Columns of texts on a device, from Arrow arrays and back.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, GenericStringArray, LargeStringArray, OffsetSizeTrait, StringArray,
        StringViewArray,
    },
    buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
};
use windlass_device::{Device, DeviceBuffer, HostBytes, Queue, Reservation};

use super::{bound::MAX_BYTES, invalid};
use crate::{
    column::{Validity, check_rows},
    cpu,
    error::{KernelError, Result},
    launcher,
};

/// How a column's texts lie.
#[derive(Debug, Clone)]
pub enum Texts {
    /// One text behind the other.
    Offsets {
        /// 32-bit words, one more than rows: row `r` is bytes `offsets[r]..offsets[r + 1]`. The
        /// first need not be 0.
        offsets: DeviceBuffer,
        /// The bytes; there may be more than the texts need.
        bytes: DeviceBuffer,
    },
    /// Arrow's views.
    Views {
        /// 16 bytes for each row: the length; then up to 12 bytes of text, or its first four
        /// bytes, the number of its buffer and its first byte there.
        views: DeviceBuffer,
        /// The bytes of texts longer than 12 bytes. On a GPU one buffer at most.
        data: Vec<DeviceBuffer>,
    },
}

/// A column of texts on one device: UTF-8, which is the maker's promise. Texts that are not
/// give results that are not defined, but no access outside the buffers.
#[derive(Debug, Clone)]
pub struct StringColumn {
    /// Number of rows; fits 31 bits.
    pub rows: usize,
    /// The texts; undefined where null.
    pub texts: Texts,
    /// Which rows are not null.
    pub validity: Validity,
}

/// Host memory of an Arrow buffer.
struct ArrowBytes(Buffer);

impl HostBytes for ArrowBytes {
    fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl StringColumn {
    /// Puts an Arrow array on a device: `Utf8` and `LargeUtf8` as offsets and bytes, `Utf8View`
    /// as views. On `cpu` the bytes are shared; on a GPU the data buffers of views become one.
    ///
    /// # Errors
    /// `Invalid` for an array of another type, and for 4 GiB of text or 2^31 rows or more; the
    /// device's errors.
    pub fn from_arrow(
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        array: &dyn Array,
    ) -> Result<Self> {
        const OPERATION: &str = "upload of texts";
        check_rows(OPERATION, array.len())?;
        let mut to = Upload { device, queue, reservation };
        let any = array.as_any();
        let texts = if let Some(a) = any.downcast_ref::<StringArray>() {
            to.offsets(OPERATION, a)?
        } else if let Some(a) = any.downcast_ref::<LargeStringArray>() {
            to.offsets(OPERATION, a)?
        } else if let Some(a) = any.downcast_ref::<StringViewArray>() {
            to.views(OPERATION, a)?
        } else {
            return invalid(OPERATION, "an array of texts", array.data_type().to_string());
        };
        let validity = match array.nulls() {
            Some(nulls) if nulls.null_count() > 0 => {
                let first = nulls.offset() / 8;
                let bytes = (nulls.offset() % 8 + nulls.len()).div_ceil(8);
                let bits = nulls.buffer().slice_with_length(first, bytes);
                let bit_offset = (nulls.offset() % 8) as u32;
                Validity::Bits { bits: to.bytes(bits)?, bit_offset }
            }
            _ => Validity::All,
        };
        Ok(Self { rows: array.len(), texts, validity })
    }

    /// One row that stands for every row of a column beside it.
    ///
    /// # Errors
    /// `Invalid` for 4 GiB or more; the device's errors.
    pub fn constant(
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        text: &str,
    ) -> Result<Self> {
        Self::from_arrow(device, queue, reservation, &StringArray::from(vec![text]))
    }

    /// Reads the column back: views as `Utf8View`, others as `Utf8`, or `LargeUtf8` from 2 GiB
    /// on. Waits for the device.
    ///
    /// # Errors
    /// `Invalid` for a column that is not UTF-8 or whose texts do not lie in its buffers; the
    /// device's errors.
    pub fn to_arrow(&self, queue: &mut dyn Queue) -> Result<ArrayRef> {
        const OPERATION: &str = "download of texts";
        check_rows(OPERATION, self.rows)?;
        let mut read = |b: &DeviceBuffer, bytes: usize| -> Result<Buffer> {
            if b.len() < bytes {
                let expected = format!("{bytes} bytes in a buffer of the column");
                return invalid(OPERATION, expected, b.len().to_string());
            }
            let mut out = vec![0; bytes];
            queue.download(b, 0, &mut out)?;
            Ok(Buffer::from_vec(out))
        };
        let rows = self.rows;
        let nulls = match &self.validity {
            Validity::All => None,
            Validity::Bits { bits, bit_offset } => {
                let first = *bit_offset as usize;
                let bits = read(bits, (first + rows).div_ceil(8))?;
                Some(NullBuffer::new(BooleanBuffer::new(bits, first, rows)))
            }
            Validity::Words(words) => {
                let words = read(words, rows * 4)?;
                let bit = |w: &[u8]| w != [0; 4];
                Some(words.as_slice().chunks_exact(4).map(bit).collect::<NullBuffer>())
            }
        };
        let fault = |e: String| KernelError::Invalid {
            operation: OPERATION,
            expected: "UTF-8 in the column's buffers".into(),
            got: e,
        };
        match &self.texts {
            Texts::Views { views, data } => {
                let views = read(views, rows * 16)?;
                let views: ScalarBuffer<u128> = views
                    .as_slice()
                    .as_chunks::<16>()
                    .0
                    .iter()
                    .enumerate()
                    .map(|(row, v)| match &nulls {
                        Some(n) if n.is_null(row) => 0,
                        _ => u128::from_le_bytes(*v),
                    })
                    .collect();
                let data = data.iter().map(|b| read(b, b.len())).collect::<Result<Vec<_>>>()?;
                let array = StringViewArray::try_new(views, data, nulls);
                Ok(Arc::new(array.map_err(|e| fault(e.to_string()))?))
            }
            Texts::Offsets { offsets, bytes } => {
                let offsets = if rows == 0 {
                    Buffer::from_vec(vec![0u32])
                } else {
                    read(offsets, rows * 4 + 4)?
                };
                let words = offsets.as_slice().as_chunks::<4>().0;
                let words: Vec<u32> = words.iter().map(|w| u32::from_le_bytes(*w)).collect();
                let end = words.last().map_or(0, |w| *w as usize);
                if !words.is_sorted() || end > bytes.len() {
                    return Err(fault(format!("offsets up to {end} of {} bytes", bytes.len())));
                }
                let bytes = read(bytes, end)?;
                if i32::try_from(end).is_ok() {
                    let offsets = words.into_iter().map(|w| w as i32).collect();
                    let array = GenericStringArray::try_new(
                        OffsetBuffer::<i32>::new(offsets),
                        bytes,
                        nulls,
                    );
                    return Ok(Arc::new(array.map_err(|e| fault(e.to_string()))?));
                }
                let offsets = words.into_iter().map(i64::from).collect();
                let array =
                    GenericStringArray::try_new(OffsetBuffer::<i64>::new(offsets), bytes, nulls);
                Ok(Arc::new(array.map_err(|e| fault(e.to_string()))?))
            }
        }
    }

    /// Whether a row may be null.
    pub fn nullable(&self) -> bool {
        !matches!(self.validity, Validity::All)
    }

    /// Checks that the buffers lie on `device` and hold the column's rows, so that no kernel
    /// reads outside them. What they hold is checked on `cpu` only, when they are read.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn check(&self, operation: &'static str, device: &dyn Device) -> Result<()> {
        check_rows(operation, self.rows)?;
        let rows = self.rows;
        let gpu = device.info().backend != windlass_device::Backend::Cpu;
        let mut buffers = Vec::new();
        match &self.texts {
            Texts::Offsets { offsets, bytes } => {
                buffers.push(("offsets", offsets, if rows == 0 { 0 } else { rows * 4 + 4 }));
                buffers.push(("bytes", bytes, 0));
            }
            Texts::Views { views, data } => {
                buffers.push(("views", views, rows * 16));
                buffers.extend(data.iter().map(|d| ("data", d, 0)));
                if gpu && data.len() > 1 {
                    let got = format!("{} data buffers", data.len());
                    return invalid(operation, "one buffer of the data of views on a GPU", got);
                }
                // The kernels number the bytes of views in 32 bits.
                if gpu && rows >= 1 << 28 {
                    return invalid(operation, "less than 2^28 rows of views", rows.to_string());
                }
            }
        }
        match &self.validity {
            Validity::All => {}
            Validity::Bits { bits, bit_offset } if *bit_offset < 8 => {
                buffers.push(("validity", bits, (rows + *bit_offset as usize).div_ceil(8)));
            }
            Validity::Bits { bit_offset, .. } => {
                return invalid(operation, "a validity from a bit below 8", bit_offset.to_string());
            }
            Validity::Words(words) => buffers.push(("validity", words, rows * 4)),
        }
        for (what, buffer, least) in buffers {
            if buffer.len() < least {
                let expected = format!("{least} bytes of {what}");
                return invalid(operation, expected, buffer.len().to_string());
            }
            if buffer.len() > MAX_BYTES {
                let texts = matches!(what, "bytes" | "data");
                if texts {
                    let expected = format!("at most {MAX_BYTES} bytes of text");
                    return invalid(operation, expected, buffer.len().to_string());
                }
            }
            if buffer.device() != &device.info().name {
                let expected = format!("{what} on {}", device.info().name);
                return invalid(operation, expected, buffer.device().to_string());
            }
        }
        Ok(())
    }
}

/// Where an array goes.
struct Upload<'a> {
    device: &'a dyn Device,
    queue: &'a mut dyn Queue,
    reservation: &'a mut Reservation,
}

impl Upload<'_> {
    /// The bytes on the device: shared on `cpu`, else copied into whole words.
    fn bytes(&mut self, buffer: Buffer) -> Result<DeviceBuffer> {
        let share = Arc::new(ArrowBytes(buffer.clone()));
        if let Some(shared) = self.device.adopt(share) {
            return Ok(shared);
        }
        let out =
            launcher::alloc_words(self.device, self.reservation, buffer.len().div_ceil(4), 1)?;
        if !buffer.is_empty() {
            self.queue.upload(&out, 0, buffer.as_slice())?;
        }
        Ok(out)
    }

    fn words(&mut self, words: Vec<u32>) -> Result<DeviceBuffer> {
        self.bytes(Buffer::from_vec(words))
    }

    fn offsets<O: OffsetSizeTrait>(
        &mut self,
        operation: &'static str,
        array: &GenericStringArray<O>,
    ) -> Result<Texts> {
        let all = array.value_offsets();
        let (start, end) = match (all.first(), all.last()) {
            (Some(start), Some(end)) => (start.as_usize(), end.as_usize()),
            _ => (0, 0),
        };
        if end - start > MAX_BYTES {
            let expected = format!("at most {MAX_BYTES} bytes of text");
            return invalid(operation, expected, (end - start).to_string());
        }
        let bytes = self.bytes(array.values().slice_with_length(start, end - start))?;
        let offsets = if O::IS_LARGE || start != 0 {
            self.words(all.iter().map(|o| (o.as_usize() - start) as u32).collect())?
        } else {
            self.bytes(array.offsets().inner().inner().clone())?
        };
        Ok(Texts::Offsets { offsets, bytes })
    }

    fn views(&mut self, operation: &'static str, array: &StringViewArray) -> Result<Texts> {
        let buffers = array.data_buffers();
        let gpu = launcher_language(self.device);
        if !gpu || buffers.len() <= 1 {
            if let Some(long) = buffers.iter().find(|b| b.len() > MAX_BYTES) {
                let expected = format!("at most {MAX_BYTES} bytes of text in a buffer");
                return invalid(operation, expected, long.len().to_string());
            }
            let views = self.bytes(array.views().inner().clone())?;
            let data = buffers.iter().map(|b| self.bytes(b.clone())).collect::<Result<_>>()?;
            return Ok(Texts::Views { views, data });
        }
        let total: usize = buffers.iter().map(|b| b.len()).sum();
        if total > MAX_BYTES {
            let expected = format!("at most {MAX_BYTES} bytes of text");
            return invalid(operation, expected, total.to_string());
        }
        let mut starts = Vec::with_capacity(buffers.len());
        let mut joined = Vec::with_capacity(total);
        for buffer in buffers.iter() {
            starts.push(joined.len() as u32);
            joined.extend_from_slice(buffer);
        }
        let moved = |(row, view): (usize, &u128)| {
            if *view as u32 <= cpu::string::INLINE || array.is_null(row) {
                return *view;
            }
            let (buffer, first) = ((*view >> 64) as u32 as usize, (*view >> 96) as u32);
            let first = starts.get(buffer).map_or(0, |s| s + first);
            (*view & u128::from(u64::MAX)) | u128::from(first) << 96
        };
        let views: Vec<u128> = array.views().iter().enumerate().map(moved).collect();
        let views = self.bytes(Buffer::from_vec(views))?;
        let data = vec![self.bytes(Buffer::from_vec(joined))?];
        Ok(Texts::Views { views, data })
    }
}

/// Whether the device runs kernels.
fn launcher_language(device: &dyn Device) -> bool {
    crate::sources::language(device).is_some()
}
