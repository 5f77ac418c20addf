//! A dense tile of parts of others.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::{
    axes::{is_turned, simplified},
    sources::PLACE,
};
use crate::{
    column::{check_rows, on_device},
    cpu,
    error::{KernelError, Result},
    launcher::{Launcher, resident_blocks},
    types::PhysType,
};

const OPERATION: &str = "assemble";

/// Axes that a launch goes through; more are taken a box at a time.
const MOST_AXES: usize = 6;

/// Elements along either side of a square that goes through shared memory, as in the kernels'
/// texts.
const SQUARE: usize = 32;

/// Where elements lie in a buffer: from which one on, and how many it is from each to its
/// neighbour along each axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strided {
    /// The first element, counted in elements.
    pub offset: usize,
    /// One for each axis, in elements; negative where the axis goes backwards.
    pub strides: Vec<isize>,
}

impl Strided {
    /// The lowest and the highest element of a box of these lengths, which has at least one.
    pub(crate) fn bounds(&self, lens: &[usize]) -> (isize, isize) {
        let (mut low, mut high) = (self.offset as isize, self.offset as isize);
        for (&n, &s) in lens.iter().zip(&self.strides) {
            let last = (n as isize - 1).saturating_mul(s);
            low = low.saturating_add(last.min(0));
            high = high.saturating_add(last.max(0));
        }
        (low, high)
    }
}

/// A box of elements of a buffer, and where it goes in the new one.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The buffer: whole words for each element.
    pub from: &'a DeviceBuffer,
    /// Elements along each axis.
    pub lens: Vec<usize>,
    /// Where they lie there.
    pub source: Strided,
    /// Where they go.
    pub target: Strided,
}

/// A buffer of `len` elements of a type, put together from boxes of other buffers. What no box
/// covers is undefined; where boxes overlap, one of them is there in each element.
///
/// # Errors
/// `Invalid` where a box reaches past a buffer, its layouts have other numbers of axes, or a
/// buffer is on another device; the device's errors.
pub fn assemble(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    ty: PhysType,
    len: usize,
    parts: &[Part<'_>],
) -> Result<DeviceBuffer> {
    check_rows(OPERATION, len)?;
    let mut boxes = Vec::new();
    for part in parts.iter().filter(|p| !p.lens.contains(&0)) {
        check(device, ty, len, part)?;
        boxes.push(simplified(part));
    }
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::tile::place(device, reservation, ty, len, &boxes);
    };
    let to = l.alloc_words(len, ty.words())?;
    for part in &boxes {
        place(&mut l, ty, part, &to)?;
    }
    Ok(to)
}

fn check(device: &dyn Device, ty: PhysType, len: usize, part: &Part<'_>) -> Result<()> {
    let invalid = |expected: String, got: String| {
        Err(KernelError::Invalid { operation: OPERATION, expected, got })
    };
    let rank = part.lens.len();
    if part.source.strides.len() != rank || part.target.strides.len() != rank {
        let (a, b) = (part.source.strides.len(), part.target.strides.len());
        return invalid(format!("layouts of {rank} axes"), format!("{a} and {b}"));
    }
    on_device(OPERATION, device, part.from)?;
    let held = part.from.len() / ty.wide_bytes();
    let all = part.lens.iter().try_fold(1usize, |n, &l| n.checked_mul(l));
    check_rows(OPERATION, all.unwrap_or(usize::MAX))?;
    for (what, layout, held) in [("source", &part.source, held), ("target", &part.target, len)] {
        let (low, high) = layout.bounds(&part.lens);
        if low < 0 || high >= held as isize {
            return invalid(
                format!("a box within the {held} elements of its {what}"),
                format!("elements {low} to {high}"),
            );
        }
    }
    Ok(())
}

fn place(l: &mut Launcher<'_>, ty: PhysType, part: &Part<'_>, to: &DeviceBuffer) -> Result<()> {
    let rank = part.lens.len();
    if rank > MOST_AXES {
        // The first axis, a position at a time.
        for i in 0..part.lens[0] {
            let rest = |layout: &Strided| Strided {
                offset: (layout.offset as isize + i as isize * layout.strides[0]) as usize,
                strides: layout.strides[1..].to_vec(),
            };
            let (source, target) = (rest(&part.source), rest(&part.target));
            let part = Part { from: part.from, lens: part.lens[1..].to_vec(), source, target };
            place(l, ty, &part, to)?;
        }
        return Ok(());
    }
    let tiled = is_turned(part);
    let n = match tiled {
        false => part.lens.iter().product(),
        true => {
            let (others, squares) = part.lens.split_at(rank - 2);
            let squares = squares.iter().map(|n| n.div_ceil(SQUARE));
            others.iter().copied().chain(squares).product()
        }
    };
    let mut params = [0; 22];
    params[..4].copy_from_slice(&[
        n as u32,
        rank.max(1) as u32,
        part.source.offset as u32,
        part.target.offset as u32,
    ]);
    // Without an axis there is one element.
    params[4] = 1;
    for i in 0..rank {
        params[4 + i] = part.lens[i] as u32;
        // Modulo 2^32, as the kernel adds them up.
        params[10 + i] = part.source.strides[i] as u32;
        params[16 + i] = part.target.strides[i] as u32;
    }
    let defines = [("WORDS", ty.words() as u32), ("TILED", u32::from(tiled))];
    let buffers = [part.from, to];
    if !tiled {
        return l.launch_each(&PLACE, &defines, n, &buffers, &params);
    }
    let blocks = n.min(resident_blocks(l.device.info()) as usize) as u32;
    l.launch(&PLACE, &defines, blocks, &buffers, &params)
}
