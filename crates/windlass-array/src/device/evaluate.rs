//! The elements of a program's region on a device: where they lie already, or written by the
//! program's kernel.

use windlass_device::DeviceBuffer;
use windlass_kernels::{
    DeviceColumn, PhysType, Storage, Validity,
    tile::{Part, Strided, assemble},
};

use super::{
    Failure,
    bind::{Bound, Held, On, bind},
    kernel_type,
    lower::{Access, Launched, Step, lower, words},
};
use crate::{
    execute::{
        leaf::Given,
        program::{Operand, Program},
    },
    kernel::copy::collapse,
    region::Region,
    shape::strides,
};

/// Elements on a device, in whole words.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) buffer: DeviceBuffer,
    pub(crate) ty: PhysType,
    pub(crate) lens: Vec<usize>,
    /// Where they lie in the buffer.
    pub(crate) layout: Strided,
}

impl View {
    /// The elements one behind the other, the last of these axes the fastest: in the same buffer
    /// where they lie so.
    ///
    /// # Errors
    /// The device's.
    pub(crate) fn dense(&self, on: &mut On<'_>, axes: &[usize]) -> Result<DeviceBuffer, Failure> {
        let lens: Vec<usize> = axes.iter().map(|&a| self.lens[a]).collect();
        let own: Vec<isize> = axes.iter().map(|&a| self.layout.strides[a]).collect();
        let dense = strides(&lens);
        let lies = (0..lens.len()).all(|i| lens[i] <= 1 || own[i] == dense[i]);
        if lies && self.layout.offset == 0 {
            return Ok(self.buffer.clone());
        }
        let n = lens.iter().product();
        let part = Part {
            from: &self.buffer,
            lens,
            source: Strided { offset: self.layout.offset, strides: own },
            target: Strided { offset: 0, strides: dense },
        };
        Ok(assemble(&**on.device, on.queue, on.reservation, self.ty, n, &[part])?)
    }
}

/// The elements of a region, which has some, along the axes of the program: where they are, if
/// the program does nothing with them.
///
/// # Errors
/// Why it cannot be done on the device.
pub(crate) fn view(
    on: &mut On<'_>,
    program: &Program,
    region: &Region,
    given: &dyn Given,
) -> Result<View, Failure> {
    let ty = kernel_type(program.dtype)?;
    let bound = all_bound(on, program, region, given)?;
    let lens = region.lens();
    if let Some(view) = as_it_is(program, &bound, ty, &lens) {
        return Ok(view);
    }
    let axes: Vec<usize> = (0..lens.len()).collect();
    let buffer = computed(on, program, bound, &lens, &axes)?;
    Ok(View { buffer, ty, layout: Strided { offset: 0, strides: strides(&lens) }, lens })
}

/// The elements of a region in whole words, the last of `axes` the fastest. The buffer may be
/// longer.
///
/// # Errors
/// Why it cannot be done on the device.
pub(crate) fn evaluate(
    on: &mut On<'_>,
    program: &Program,
    region: &Region,
    axes: &[usize],
    given: &dyn Given,
) -> Result<DeviceBuffer, Failure> {
    let bound = all_bound(on, program, region, given)?;
    let lens = region.lens();
    match as_it_is(program, &bound, kernel_type(program.dtype)?, &lens) {
        Some(view) => view.dense(on, axes),
        None => computed(on, program, bound, &lens, axes),
    }
}

fn all_bound(
    on: &mut On<'_>,
    program: &Program,
    region: &Region,
    given: &dyn Given,
) -> Result<Vec<Bound>, Failure> {
    let leaves = program.leaves.iter();
    leaves.map(|leaf| bind(on, leaf, program.rank, region, given)).collect()
}

/// What a program begins with, where that is its result and lies on the device in whole words.
fn as_it_is(program: &Program, bound: &[Bound], ty: PhysType, lens: &[usize]) -> Option<View> {
    let ([one], Operand::Leaf(0)) = (bound, program.result) else { return None };
    let Held::Buffer(buffer, (stored, storage)) = &one.held else { return None };
    // Packed elements of whole words lie as wide ones.
    let whole = *storage == Storage::Wide || stored.packed_bytes() == Some(stored.wide_bytes());
    if *stored != ty || !whole {
        return None;
    }
    let offset = usize::try_from(one.offset).ok()?;
    let layout = Strided { offset, strides: one.strides.clone() };
    Some(View { buffer: buffer.clone(), ty, lens: lens.to_vec(), layout })
}

/// Runs the kernel of a program over bound leaves.
fn computed(
    on: &mut On<'_>,
    program: &Program,
    bound: Vec<Bound>,
    all: &[usize],
    axes: &[usize],
) -> Result<DeviceBuffer, Failure> {
    let mut lens: Vec<usize> = axes.iter().map(|&a| all[a]).collect();
    let rows: usize = lens.iter().product();
    let mut steps: Vec<Vec<isize>> =
        bound.iter().map(|b| axes.iter().map(|&a| b.strides[a]).collect()).collect();
    collapse(&mut lens, &mut steps);
    let access: Vec<Access> = bound.iter().zip(&steps).map(|(b, steps)| access(b, steps)).collect();
    let lowered = lower(program, &access, lens.len()).map_err(Failure::Here)?;
    let (mut columns, mut tables) = (Vec::new(), Vec::new());
    if lowered.indexed {
        let leaves = access.iter().zip(&bound).zip(&steps);
        let leaves: Vec<Launched<'_>> = leaves
            .map(|((access, bound), strides)| {
                let numbers = match &bound.held {
                    Held::Made(_, numbers) => &numbers[..],
                    Held::Buffer(..) => &[],
                };
                Launched { access, offset: bound.offset, strides, numbers }
            })
            .collect();
        let words = words(&lens, &leaves);
        tables.push(column((PhysType::U32, Storage::Packed), on.words(&words)?));
    }
    for (bound, access) in bound.into_iter().zip(&access) {
        let Held::Buffer(buffer, stored) = bound.held else { continue };
        let to = if matches!(access, Access::Row(_)) { &mut columns } else { &mut tables };
        to.push(column(stored, buffer));
    }
    on.output(&lowered.plan, rows, columns, &tables)
}

pub(super) fn column((ty, storage): (PhysType, Storage), values: DeviceBuffer) -> DeviceColumn {
    DeviceColumn { ty, storage, values, bit_offset: 0, validity: Validity::All }
}

/// How a leaf is read along axes that were made one where they can be.
fn access(bound: &Bound, strides: &[isize]) -> Access {
    let steps = || strides.iter().map(|&s| Step::of(s)).collect();
    match &bound.held {
        Held::Made(rule, _) => Access::Made(*rule, steps()),
        Held::Buffer(_, stored) if bound.offset == 0 && *strides == [1] => Access::Row(*stored),
        Held::Buffer(_, stored) => Access::Table(*stored, steps()),
    }
}
