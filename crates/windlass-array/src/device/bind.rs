//! The elements that a program begins with, brought to a device: tiles that are there stay
//! where they are, parts of several are put together there, and all else comes from the host.

use std::sync::Arc;

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, PhysType, Storage,
    pipeline::FilterProject,
    tile::{Part, Strided, assemble},
};

use super::{
    DeviceTile, Failure, kernel_type,
    lower::rule,
    made::Rule,
    take::taken,
    tile::{upload, uploaded},
};
use crate::{
    execute::{
        leaf::{Given, Leaf, Source, within},
        program::{Operand, Program},
    },
    region::{Region, ViewMap, overlaps},
    shape::strides,
    tile::Tile,
};

/// A leaf's elements on a device, seen from a program's output.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) held: Held,
    /// Where the first element lies, or its position where a rule makes it.
    pub(crate) offset: isize,
    /// One for each axis of the output.
    pub(crate) strides: Vec<isize>,
}

/// Where elements come from.
#[derive(Debug)]
pub(crate) enum Held {
    Buffer(DeviceBuffer, (PhysType, Storage)),
    /// By a rule with these numbers.
    Made(Rule, Vec<u64>),
}

/// A device with what an operation on it needs.
pub(crate) struct On<'a> {
    pub(crate) device: &'a Arc<dyn Device>,
    pub(crate) queue: &'a mut dyn Queue,
    pub(crate) reservation: &'a mut Reservation,
}

impl On<'_> {
    /// Words in a buffer of the device.
    pub(super) fn words(&mut self, words: &[u32]) -> Result<DeviceBuffer, Failure> {
        self.bytes(bytemuck::cast_slice(words))
    }

    /// Bytes in a buffer of the device.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<DeviceBuffer, Failure> {
        let buffer = self.device.alloc(self.reservation, bytes.len().max(16))?;
        self.queue.upload(&buffer, 0, bytes)?;
        Ok(buffer)
    }

    /// The one output of a kernel's program, for so many rows.
    pub(super) fn output(
        &mut self,
        plan: &FilterProject,
        rows: usize,
        columns: Vec<DeviceColumn>,
        tables: &[DeviceColumn],
    ) -> Result<DeviceBuffer, Failure> {
        let batch = DeviceBatch { rows, columns };
        let done = plan.evaluate(&**self.device, self.queue, self.reservation, &batch, tables)?;
        let mut columns = done.columns.columns;
        Ok(columns.swap_remove(0).values)
    }
}

/// The elements of a leaf for a region of the program's output of that rank.
///
/// # Errors
/// The device's, and those of reading tiles of other devices.
pub(crate) fn bind(
    on: &mut On<'_>,
    leaf: &Leaf,
    rank: usize,
    region: &Region,
    given: &dyn Given,
) -> Result<Bound, Failure> {
    let part = leaf.map.apply(region);
    if let Some((tiles, lens)) = resident(on, leaf, &part, given) {
        return placed(on, leaf, rank, &tiles, &lens);
    }
    if let Some(buffer) = taken(on, leaf, &part, given)? {
        let ty = kernel_type(leaf.dtype)?;
        let strides = leaf.map.strides(&strides(&part.lens()), rank);
        return Ok(Bound { held: Held::Buffer(buffer, (ty, Storage::Wide)), offset: 0, strides });
    }
    if let Some((rule, numbers)) = rule(leaf, &**on.device) {
        let steps = leaf.shape.strides();
        let along = || part.axes.iter().zip(&steps);
        let offset = along().map(|(s, k)| s.start as isize * k).sum();
        let steps: Vec<isize> = along().map(|(s, k)| s.step * k).collect();
        let strides = leaf.map.strides(&steps, rank);
        return Ok(Bound { held: Held::Made(rule, numbers), offset, strides });
    }
    given.bring().map_err(Failure::Lost)?;
    leaf.ready(&part).map_err(Failure::Lost)?;
    let tile = host(leaf, &part, given);
    let buffer = upload(&**on.device, on.queue, on.reservation, &tile)?;
    let stored = uploaded(kernel_type(leaf.dtype)?);
    let strides = leaf.map.strides(&tile.shape().strides(), rank);
    Ok(Bound { held: Held::Buffer(buffer, stored), offset: 0, strides })
}

/// A leaf's part as a tile of the host.
fn host(leaf: &Leaf, part: &Region, given: &dyn Given) -> Tile {
    if let Source::Generate(generator) = &leaf.source {
        let rank = leaf.shape.rank();
        let own = Leaf {
            source: Source::Generate(generator.clone()),
            map: ViewMap::identity(rank),
            dtype: leaf.dtype,
            shape: leaf.shape.clone(),
        };
        return Program { result: Operand::Leaf(0), ..Program::of_leaf(own, rank) }
            .tile(part, given);
    }
    leaf.bind(part, given)
}

/// A part of a tile on the device, and where it begins in what is asked for.
pub(super) type Piece<'a> = (&'a DeviceTile, Region, Vec<usize>);

/// The tiles that a leaf's part is made of, if all of them lie on the device.
pub(super) fn resident<'a>(
    on: &On<'_>,
    leaf: &'a Leaf,
    part: &Region,
    given: &'a dyn Given,
) -> Option<(Vec<Piece<'a>>, Vec<usize>)> {
    let grid = match &leaf.source {
        Source::Stage { grid, .. } => grid,
        Source::Tiles(tiles) => &tiles.grid,
        _ => return None,
    };
    let (mut pieces, mut all) = (Vec::new(), true);
    overlaps(grid, part, |index, parts| {
        let at = grid.position(index);
        let within = within(grid, part, index, parts);
        let tile = match &leaf.source {
            Source::Stage { stage, .. } => given.resident(*stage, at),
            Source::Tiles(tiles) => tiles.tiles[at].device(),
            _ => None,
        };
        match tile.filter(|t| t.device.info().name == on.device.info().name) {
            Some(tile) => pieces.push((tile, within, parts.iter().map(|p| p.0).collect())),
            None => all = false,
        }
    });
    (all && !pieces.is_empty()).then(|| (pieces, part.lens()))
}

/// Where a part of a tile lies in its buffer.
fn layout(tile: &DeviceTile, within: &Region) -> Strided {
    let steps = tile.shape.strides();
    let offset: isize = within.axes.iter().zip(&steps).map(|(s, k)| s.start as isize * k).sum();
    let strides = within.axes.iter().zip(&steps).map(|(s, k)| s.step * k).collect();
    Strided { offset: offset as usize, strides }
}

fn placed(
    on: &mut On<'_>,
    leaf: &Leaf,
    rank: usize,
    pieces: &[Piece<'_>],
    lens: &[usize],
) -> Result<Bound, Failure> {
    let ty = kernel_type(leaf.dtype)?;
    let stored = (ty, Storage::Wide);
    if let [(tile, within, _)] = pieces {
        let layout = layout(tile, within);
        let strides = leaf.map.strides(&layout.strides, rank);
        let (buffer, offset) = (tile.buffer.clone(), layout.offset as isize);
        return Ok(Bound { held: Held::Buffer(buffer, stored), offset, strides });
    }
    let steps = strides(lens);
    let parts: Vec<Part<'_>> = pieces
        .iter()
        .map(|(tile, within, begin)| {
            let offset: isize = begin.iter().zip(&steps).map(|(&b, k)| b as isize * k).sum();
            Part {
                from: &tile.buffer,
                lens: within.lens(),
                source: layout(tile, within),
                target: Strided { offset: offset as usize, strides: steps.clone() },
            }
        })
        .collect();
    let n = lens.iter().product();
    let buffer = assemble(&**on.device, on.queue, on.reservation, ty, n, &parts)?;
    let strides = leaf.map.strides(&steps, rank);
    Ok(Bound { held: Held::Buffer(buffer, stored), offset: 0, strides })
}
