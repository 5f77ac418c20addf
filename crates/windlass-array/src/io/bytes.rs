//! Elements as bytes.

use crate::{
    dtype::DType,
    element::{Buf, parts_mut},
};

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Endianness {
    /// The lowest.
    #[default]
    Little,
    /// The highest.
    Big,
}

impl Endianness {
    /// That of this machine.
    pub(crate) const NATIVE: Self =
        if cfg!(target_endian = "little") { Self::Little } else { Self::Big };
}

/// A buffer's bytes, to change them; none of bools, which may not hold any byte.
pub(crate) fn bytes_mut(buf: &mut Buf) -> Option<&mut [u8]> {
    Some(match buf {
        Buf::Bool(_) => return None,
        Buf::I8(v) => bytemuck::cast_slice_mut(v),
        Buf::I16(v) => bytemuck::cast_slice_mut(v),
        Buf::I32(v) => bytemuck::cast_slice_mut(v),
        Buf::I64(v) => bytemuck::cast_slice_mut(v),
        Buf::U8(v) => v,
        Buf::U16(v) => bytemuck::cast_slice_mut(v),
        Buf::U32(v) => bytemuck::cast_slice_mut(v),
        Buf::U64(v) => bytemuck::cast_slice_mut(v),
        Buf::F32(v) => bytemuck::cast_slice_mut(v),
        Buf::F64(v) => bytemuck::cast_slice_mut(v),
        Buf::C64(v) => bytemuck::cast_slice_mut(parts_mut(v)),
        Buf::C128(v) => bytemuck::cast_slice_mut(parts_mut(v)),
    })
}

/// A buffer that `fill` writes the bytes of. Any byte but 0 is true.
pub(crate) fn filled_by<E>(
    dtype: DType,
    len: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Buf, E> {
    if dtype == DType::Bool {
        let mut bytes = vec![0_u8; len];
        fill(&mut bytes)?;
        return Ok(Buf::Bool(bytes.into_iter().map(|b| b != 0).collect()));
    }
    let mut buf = Buf::zeros(dtype, len);
    bytes_mut(&mut buf).map_or(Ok(()), fill)?;
    Ok(buf)
}

/// Turns the bytes of each number of elements of that type.
pub(crate) fn swap(bytes: &mut [u8], dtype: DType) {
    match dtype.real().bytes() {
        2 => bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse),
        4 => bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse),
        8 => bytes.chunks_exact_mut(8).for_each(<[u8]>::reverse),
        _ => {}
    }
}
