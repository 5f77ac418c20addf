//! The twin of `kernels/tile/place.cu`.

use windlass_device::{Device, DeviceBuffer, Reservation};

use crate::{
    cpu::memory::adopt,
    error::Result,
    tile::{Part, is_turned},
    types::PhysType,
};

/// Elements along either side of a square that is turned at a time: of 16 bytes each two of
/// them fit a first-level cache of 32 KiB.
const SQUARE: usize = 32;

/// A dense buffer of parts of others, which were checked and simplified.
///
/// # Errors
/// `OutOfMemory`; the device's errors.
pub(crate) fn place(
    device: &dyn Device,
    reservation: &mut Reservation,
    ty: PhysType,
    len: usize,
    parts: &[Part<'_>],
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
    parts: &[Part<'_>],
) -> Result<DeviceBuffer> {
    let mut to = vec![T::zeroed(); len];
    for part in parts {
        // The elements have no alignment.
        let bytes = part.from.host_bytes().unwrap_or(&[]);
        let whole = bytes.len() / size_of::<T>() * size_of::<T>();
        let from: &[T] = bytemuck::cast_slice(&bytes[..whole]);
        let at = (part.source.offset as isize, part.target.offset as isize);
        axes(from, &mut to, part, 0, at);
    }
    adopt(device, reservation, to)
}

/// Copies the axes from `axis` on, from `at` in either.
fn axes<T: Copy>(from: &[T], to: &mut [T], part: &Part<'_>, axis: usize, at: (isize, isize)) {
    let (lens, source, target) =
        (&part.lens[axis..], &part.source.strides[axis..], &part.target.strides[axis..]);
    match (lens, source, target) {
        ([], ..) => to[at.1 as usize] = from[at.0 as usize],
        ([n], [1], [1]) => {
            let (f, t) = (at.0 as usize, at.1 as usize);
            to[t..t + n].copy_from_slice(&from[f..f + n]);
        }
        ([n], [a], [b]) => {
            for i in 0..*n as isize {
                to[(at.1 + i * b) as usize] = from[(at.0 + i * a) as usize];
            }
        }
        ([m, n], ..) if is_turned(part) => {
            let corners = (0..*m).step_by(SQUARE).flat_map(|i| {
                let across = (0..*n).step_by(SQUARE);
                across.map(move |j| (i, j))
            });
            for (first_i, first_j) in corners {
                for i in (first_i..(first_i + SQUARE).min(*m)).map(|i| i as isize) {
                    let at = (at.0 + i * source[0], at.1 + i * target[0]);
                    for j in (first_j..(first_j + SQUARE).min(*n)).map(|j| j as isize) {
                        let (f, t) = (at.0 + j * source[1], at.1 + j * target[1]);
                        to[t as usize] = from[f as usize];
                    }
                }
            }
        }
        ([n, ..], ..) => {
            for i in 0..*n as isize {
                axes(from, to, part, axis + 1, (at.0 + i * source[0], at.1 + i * target[0]));
            }
        }
    }
}
