//! The twin of `kernels/tile/place.cu`.

use windlass_device::{Device, DeviceBuffer, Reservation};

use crate::{
    cpu::memory::adopt,
    error::Result,
    tile::{Part, Strided},
    types::PhysType,
};

/// A dense buffer of parts of others, which were checked.
///
/// # Errors
/// `OutOfMemory`; the device's errors.
pub(crate) fn place(
    device: &dyn Device,
    reservation: &mut Reservation,
    ty: PhysType,
    len: usize,
    parts: &[&Part<'_>],
) -> Result<DeviceBuffer> {
    match ty.words() {
        1 => all::<[u8; 4]>(device, reservation, len, parts),
        2 => all::<[u8; 8]>(device, reservation, len, parts),
        _ => all::<[u8; 16]>(device, reservation, len, parts),
    }
}

fn all<T: bytemuck::Pod + Send + Sync>(
    device: &dyn Device,
    reservation: &mut Reservation,
    len: usize,
    parts: &[&Part<'_>],
) -> Result<DeviceBuffer> {
    let mut to = vec![T::zeroed(); len];
    for part in parts {
        // The elements have no alignment.
        let bytes = part.from.host_bytes().unwrap_or(&[]);
        let whole = bytes.len() / size_of::<T>() * size_of::<T>();
        let from: &[T] = bytemuck::cast_slice(&bytes[..whole]);
        let at = (part.source.offset as isize, part.target.offset as isize);
        rows(from, &mut to, &part.lens, (&part.source, &part.target), at);
    }
    adopt(device, reservation, to)
}

/// Copies the axes of `lens`, from `at` in either.
fn rows<T: Copy>(
    from: &[T],
    to: &mut [T],
    lens: &[usize],
    layouts: (&Strided, &Strided),
    at: (isize, isize),
) {
    let axis = layouts.0.strides.len() - lens.len();
    let Some((&n, rest)) = lens.split_first() else {
        to[at.1 as usize] = from[at.0 as usize];
        return;
    };
    let (a, b) = (layouts.0.strides[axis], layouts.1.strides[axis]);
    if rest.is_empty() && a == 1 && b == 1 {
        let (f, t) = (at.0 as usize, at.1 as usize);
        to[t..t + n].copy_from_slice(&from[f..f + n]);
        return;
    }
    for i in 0..n as isize {
        rows(from, to, rest, layouts, (at.0 + i * a, at.1 + i * b));
    }
}
