//! Elements in a device's memory.

use std::{fmt, sync::Arc};

use windlass_device::{Device, DeviceBuffer, DeviceError, Queue};
use windlass_kernels::{PhysType, Storage};

use crate::{dtype::DType, element::Buf, shape::ArrayShape, tile::Tile};

/// The type that kernels compute with for elements of a type; complex numbers have none.
pub(crate) fn phys(dtype: DType) -> Option<PhysType> {
    Some(match dtype {
        DType::Bool => PhysType::Bool,
        DType::I8 => PhysType::I8,
        DType::I16 => PhysType::I16,
        DType::I32 => PhysType::I32,
        DType::I64 => PhysType::I64,
        DType::U8 => PhysType::U8,
        DType::U16 => PhysType::U16,
        DType::U32 => PhysType::U32,
        DType::U64 => PhysType::U64,
        DType::F32 => PhysType::F32,
        DType::F64 => PhysType::F64,
        DType::C64 | DType::C128 => return None,
    })
}

/// How elements that kernels take as a type lie where a host's tile was uploaded: as there. A
/// bool is a byte.
pub(crate) fn uploaded(ty: PhysType) -> (PhysType, Storage) {
    (if ty == PhysType::Bool { PhysType::U8 } else { ty }, Storage::Packed)
}

/// A tile that kernels wrote: whole words for each element, the last axis the fastest.
#[derive(Clone)]
pub(crate) struct DeviceTile {
    pub(crate) device: Arc<dyn Device>,
    pub(crate) buffer: DeviceBuffer,
    pub(crate) dtype: DType,
    pub(crate) shape: ArrayShape,
}

impl fmt::Debug for DeviceTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} on {}", self.dtype, self.shape, self.device.info().name)
    }
}

impl DeviceTile {
    /// Bytes that it takes on the device.
    pub(crate) fn bytes(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// Its elements on the host.
    ///
    /// # Errors
    /// The device's.
    pub(crate) fn download(&self, queue: &mut dyn Queue) -> Result<Tile, DeviceError> {
        let buf = download(queue, &self.buffer, self.dtype, self.shape.size())?;
        Ok(Tile::dense(buf, self.shape.clone()))
    }
}

/// The first `n` elements of a buffer of whole words.
///
/// # Errors
/// The device's.
pub(crate) fn download(
    queue: &mut dyn Queue,
    from: &DeviceBuffer,
    dtype: DType,
    n: usize,
) -> Result<Buf, DeviceError> {
    let mut buf = Buf::zeros(dtype, n);
    if n == 0 {
        return Ok(buf);
    }
    macro_rules! whole {
        ($v:expr) => {
            queue.download(from, 0, bytemuck::cast_slice_mut($v))?
        };
    }
    match &mut buf {
        Buf::I32(v) => whole!(v),
        Buf::I64(v) => whole!(v),
        Buf::U32(v) => whole!(v),
        Buf::U64(v) => whole!(v),
        Buf::F32(v) => whole!(v),
        Buf::F64(v) => whole!(v),
        narrow => {
            let mut words = vec![0_u32; n];
            queue.download(from, 0, bytemuck::cast_slice_mut(&mut words))?;
            narrowed(&words, narrow);
        }
    }
    Ok(buf)
}

/// Elements from their words.
pub(crate) fn narrowed(words: &[u32], to: &mut Buf) {
    macro_rules! cut {
        ($v:expr, $t:ty) => {
            $v.iter_mut().zip(words).for_each(|(v, w)| *v = *w as $t)
        };
    }
    match to {
        Buf::Bool(v) => v.iter_mut().zip(words).for_each(|(v, w)| *v = *w != 0),
        Buf::I8(v) => cut!(v, i8),
        Buf::I16(v) => cut!(v, i16),
        Buf::U8(v) => cut!(v, u8),
        Buf::U16(v) => cut!(v, u16),
        other => unreachable!("{} has elements of whole words", other.dtype()),
    }
}

/// The bytes of a buffer of whole words, as elements.
pub(crate) fn of_words(bytes: &[u8], dtype: DType) -> Buf {
    let width = dtype.bytes().max(4);
    let mut buf = Buf::zeros(dtype, bytes.len() / width);
    if dtype.bytes() < 4 {
        let words: Vec<u32> = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
        narrowed(&words, &mut buf);
        return buf;
    }
    macro_rules! whole {
        ($($variant:ident)+) => {
            match &mut buf {
                $(Buf::$variant(v) => {
                    for (v, b) in v.iter_mut().zip(bytes.chunks_exact(width)) {
                        *v = bytemuck::pod_read_unaligned(b);
                    }
                })+
                other => unreachable!("{} is not computed on devices", other.dtype()),
            }
        };
    }
    whole!(I32 I64 U32 U64 F32 F64);
    buf
}

/// A tile's elements in a device's memory, as they are on the host, the last axis the fastest.
///
/// # Errors
/// The device's.
pub(crate) fn upload(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut windlass_device::Reservation,
    tile: &Tile,
) -> Result<DeviceBuffer, DeviceError> {
    let dense = tile.to_dense();
    let (size, n) = (dense.dtype().bytes(), dense.shape().size());
    let first = dense.offset() * size;
    let bytes = &dense.buf().as_bytes()[first..first + n * size];
    let to = device.alloc(reservation, bytes.len().next_multiple_of(4).max(16))?;
    if !bytes.is_empty() {
        queue.upload(&to, 0, bytes)?;
    }
    Ok(to)
}
