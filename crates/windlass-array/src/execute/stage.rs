//! What the tasks of a stage do: from the tiles that they are given to their own.

use std::sync::Arc;

use windlass_runtime::graph::{BoxError, Value};

use super::{
    block::Target,
    kept::Kept,
    leaf::{self, Assembly, Given, Leaf},
    output::Shared,
    program::Program,
    regions::RegionsStage,
    sort::SortStage,
};
use crate::{
    device::{
        Devices, Failure,
        parts::made,
        run::{brought, map, reduce, running},
    },
    dtype::DType,
    element::dispatch,
    error::ArrayError,
    expr::{BlockFn, ChunkFn, parts::Parts},
    grid::ChunkGrid,
    io::source::Source,
    reduce::{ReduceOp, State, converted, scan},
    region::{Region, Span, ViewMap, overlaps},
    shape::{ArrayShape, ChunkIndex, strides},
    tile::Tile,
};

/// A node that is kept: its tiles are tasks.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) dtype: DType,
    /// Its tiles.
    pub(crate) grid: ChunkGrid,
    /// The chunks of the node; tiles are whole chunks where a user's function makes them.
    pub(crate) own: ChunkGrid,
}

/// How tiles are made.
pub(crate) enum Kind {
    /// By a program.
    Map(Program),
    /// By a user's function of the chunk.
    Chunks(ChunkFn),
    /// By reading what is stored.
    Source(Arc<dyn Source>),
    /// By a user's function of the inputs' chunks, which lie on these grids.
    Blocks(BlockFn, Vec<(Program, ChunkGrid)>),
    /// Of any parts of the inputs.
    Parts(Arc<Parts>, Vec<Program>),
    Reduce(ReduceStage),
    Scan(ScanStage),
    /// By an operation of regions of the inputs.
    Regions(RegionsStage),
    Sort(SortStage),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Map(_) => "Map",
            Self::Chunks(_) => "Chunks",
            Self::Source(_) => "Source",
            Self::Blocks(..) => "Blocks",
            Self::Parts(..) => "Parts",
            Self::Reduce(_) => "Reduce",
            Self::Scan(_) => "Scan",
            Self::Regions(_) => "Regions",
            Self::Sort(_) => "Sort",
        })
    }
}

/// A reduction: states of parts of the input, merged in a tree.
#[derive(Debug)]
pub(crate) struct ReduceStage {
    /// Gives the input's elements, as the states' type.
    pub(crate) program: Program,
    /// Gives 32-bit floats as they are, where a sum of 64 bits is not needed: for devices that
    /// have no 64-bit floats.
    pub(crate) narrow: Option<Program>,
    pub(crate) op: ReduceOp,
    /// The axes that are reduced, ascending.
    pub(crate) axes: Vec<usize>,
    pub(crate) keepdims: bool,
    /// The parts of the input.
    pub(crate) input: ChunkGrid,
}

/// A running sum or product along an axis.
#[derive(Debug)]
pub(crate) struct ScanStage {
    /// Gives the input's elements, as the sums' type.
    pub(crate) program: Program,
    pub(crate) op: ReduceOp,
    pub(crate) axis: usize,
    pub(crate) state: DType,
}

/// What a device made; `None` where the host has to.
fn or_here<T>(devices: &Devices, made: Result<T, Failure>) -> Result<Option<T>, BoxError> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(Failure::Lost(error)) => Err(error.into()),
        Err(Failure::Here(reason)) => {
            tracing::debug!(reason, "the host does a tile in place of a device");
            devices.take_over(reason);
            Ok(None)
        }
    }
}

/// Brings what a program reads of a region to the host.
fn prepare(program: &Program, region: &Region, given: &dyn Given) -> Result<(), BoxError> {
    given.bring()?;
    Ok(program.ready(region)?)
}

/// The tile of a region, on the task's device or on the host.
///
/// # Errors
/// If a tile on a device cannot be read.
pub(crate) fn mapped(
    program: &Program,
    region: &Region,
    given: &dyn Given,
) -> Result<Kept, BoxError> {
    if let Some((devices, device)) = given.device()
        && let Some(tile) = or_here(devices, map(devices, device, program, region, given))?
    {
        return Ok(tile.into());
    }
    prepare(program, region, given)?;
    // A view would hold more than it shows.
    Ok(Kept::Host(program.tile(region, given).to_own_memory()))
}

/// The state of a region of a program's result, reduced along some axes.
fn reduced(
    (program, narrow): (&Program, Option<&Program>),
    op: ReduceOp,
    (axes, shape): (&[usize], &ArrayShape),
    region: &Region,
    given: &dyn Given,
) -> Result<State, BoxError> {
    if let Some((devices, device)) = given.device() {
        let wide = device.info().features.float64;
        let there = narrow.filter(|_| !wide).unwrap_or(program);
        let found = reduce(devices, device, (there, op), (axes, shape), region, given);
        if let Some(state) = or_here(devices, found)? {
            return Ok(state);
        }
    }
    prepare(program, region, given)?;
    let lens = region.lens();
    let rank = lens.len();
    // Results lie densely along the kept axes.
    let kept: Vec<usize> = (0..rank).filter(|i| !axes.contains(i)).collect();
    let spread = |from: &[usize], dense: &[isize]| {
        let mut all = vec![0; rank];
        from.iter().zip(dense).for_each(|(&i, &s)| all[i] = s);
        all
    };
    let lens_of = |of: &[usize], lens: &[usize]| of.iter().map(|&i| lens[i]).collect::<Vec<_>>();
    let kept_lens = lens_of(&kept, &lens);
    let mut targets = vec![Target { offset: 0, strides: spread(&kept, &strides(&kept_lens)) }];
    if op.finds() {
        // Positions count through the reduced axes of the whole array.
        let steps = spread(axes, &strides(&lens_of(axes, shape.as_slice())));
        let offset = region.axes.iter().zip(&steps).map(|(s, k)| s.start as isize * k).sum();
        targets.push(Target { offset, strides: steps });
    }
    let mut state = op.state(program.dtype, kept_lens.iter().product());
    program.run(region, given, &targets, &mut state);
    Ok(state)
}

impl ReduceStage {
    /// How many elements each result is made of.
    pub(crate) fn count(&self) -> usize {
        self.axes.iter().map(|&a| self.input.axes()[a].len()).product()
    }

    /// The state of a part of the input.
    ///
    /// # Errors
    /// If a tile on a device cannot be read.
    pub(crate) fn part(&self, part: usize, given: &dyn Given) -> Result<State, BoxError> {
        let region = self.input.region(self.input.index_of(part).as_slice());
        let programs = (&self.program, self.narrow.as_ref());
        reduced(programs, self.op, (&self.axes, &self.input.shape()), &region, given)
    }

    /// The parts of the input that a tile of the result is made of, in order.
    pub(crate) fn parts_of(&self, tile: &ChunkIndex) -> Vec<usize> {
        let mut own = tile.as_slice().iter();
        let ranges: Vec<(usize, usize)> = (0..self.input.rank())
            .map(|i| {
                if self.axes.contains(&i) {
                    if self.keepdims {
                        own.next();
                    }
                    (0, self.input.axes()[i].count())
                } else {
                    (*own.next().expect("one index for each kept axis"), 1)
                }
            })
            .collect();
        let counts: Vec<usize> = ranges.iter().map(|r| r.1).collect();
        let mut parts = Vec::with_capacity(counts.iter().product());
        let mut index = vec![0; counts.len()];
        crate::shape::each_index(&counts, |at| {
            for (i, (a, r)) in index.iter_mut().zip(at.iter().zip(&ranges)) {
                *i = r.0 + a;
            }
            parts.push(self.input.position(&index));
        });
        parts
    }
}

impl ScanStage {
    /// The total of a tile along the axis.
    ///
    /// # Errors
    /// If a tile on a device cannot be read.
    pub(crate) fn total(&self, region: &Region, given: &dyn Given) -> Result<State, BoxError> {
        let none = ArrayShape::default();
        reduced((&self.program, None), self.op, (&[self.axis], &none), region, given)
    }

    /// A tile's running results, behind what comes before it.
    ///
    /// # Errors
    /// If a tile on a device cannot be read.
    pub(crate) fn tile(
        &self,
        region: &Region,
        given: &dyn Given,
        carry: Option<&State>,
        to: DType,
    ) -> Result<Kept, BoxError> {
        if let Some((devices, device)) = given.device() {
            let carry = carry.map(|state| &state.parts[0]);
            let made = running(devices, device, self, region, given, carry, to);
            if let Some(tile) = or_here(devices, made)? {
                return Ok(tile.into());
            }
        }
        prepare(&self.program, region, given)?;
        let lens = region.lens();
        let tile = self.program.tile(region, given);
        // A copy of its own, to be changed in place.
        let mut own = Assembly::with_lens(self.state, lens.clone());
        own.put_at(&tile, &vec![0; lens.len()]);
        let (n, inner) = (lens[self.axis], lens[self.axis + 1..].iter().product());
        let lines = lens.iter().product::<usize>() / n;
        let mut carry = match carry {
            Some(state) => state.parts[0].clone(),
            None => self.op.state(self.state, lines).parts.swap_remove(0),
        };
        let mut buf = own.into_buf();
        scan(self.op, &mut buf, &mut carry, n, inner);
        Ok(Kept::Host(Tile::dense(converted(buf, to), ArrayShape::new(lens))))
    }
}

/// The tile of a region whose chunks a function makes.
pub(super) fn of_chunks(
    operation: &'static str,
    (grid, region): (&ChunkGrid, &Region),
    dtype: DType,
    mut chunk: impl FnMut(&ChunkIndex) -> Result<Tile, BoxError>,
) -> Result<Tile, BoxError> {
    let mut to: Option<Assembly> = None;
    let mut only = None;
    let mut failed = None;
    overlaps(grid, region, |index, parts| {
        if failed.is_some() {
            return;
        }
        let index = ChunkIndex::from(index);
        let shape = grid.chunk_shape(&index);
        match chunk(&index) {
            Err(e) => failed = Some(e),
            Ok(tile) => {
                if tile.dtype() != dtype || tile.shape().as_slice() != shape.as_slice() {
                    failed = Some(Box::new(ArrayError::Chunk {
                        operation,
                        chunk: index.as_slice().to_vec(),
                        expected: format!("{dtype} of shape {shape}"),
                        got: format!("{} of shape {}", tile.dtype(), tile.shape()),
                    }));
                    return;
                }
                if tile.shape().as_slice() == region.lens() {
                    only = Some(tile);
                    return;
                }
                let begin: Vec<usize> = parts.iter().map(|p| p.0).collect();
                to.get_or_insert_with(|| Assembly::new(dtype, region)).put_at(&tile, &begin);
            }
        }
    });
    match (failed, only, to) {
        (Some(e), ..) => Err(e),
        (None, Some(tile), _) => Ok(tile),
        (None, None, to) => Ok(to.unwrap_or_else(|| Assembly::new(dtype, region)).finish()),
    }
}

impl Stage {
    /// Where a tile lies.
    pub(crate) fn region(&self, tile: usize) -> Region {
        self.grid.region(self.grid.index_of(tile).as_slice())
    }

    /// A tile of a stage that is neither read, nor a reduction, nor a running sum.
    pub(crate) fn tile(&self, tile: usize, given: &dyn Given) -> Result<Kept, BoxError> {
        let region = self.region(tile);
        match &self.kind {
            Kind::Map(program) => mapped(program, &region, given),
            Kind::Chunks(f) => {
                of_chunks(self.name, (&self.own, &region), self.dtype, |i| f(i)).map(Kept::Host)
            }
            Kind::Blocks(f, inputs) => {
                let made = of_chunks(self.name, (&self.own, &region), self.dtype, |index| {
                    let mut tiles = Vec::with_capacity(inputs.len());
                    for (program, grid) in inputs {
                        let region = grid.region(index.as_slice());
                        prepare(program, &region, given)?;
                        tiles.push(program.tile(&region, given));
                    }
                    f(&tiles, index)
                });
                made.map(Kept::Host)
            }
            Kind::Parts(parts, inputs) => {
                let index = self.grid.index_of(tile);
                let reads = (parts.reads)(&index);
                if let (Some(there), Some((devices, device))) = (&parts.there, given.device()) {
                    let chunk = (&index, &self.grid, self.dtype);
                    let read = (&inputs[..], &reads[..]);
                    let made = made(devices, device, &**there, read, chunk, given);
                    if let Some(tile) = or_here(devices, made)? {
                        return Ok(tile.into());
                    }
                }
                let mut tiles = Vec::with_capacity(reads.len());
                for (i, region) in reads {
                    prepare(&inputs[i], &region, given)?;
                    tiles.push(inputs[i].tile(&region, given));
                }
                parts.tile(tiles, &index, &self.grid, self.dtype).map(Kept::Host)
            }
            Kind::Source(_)
            | Kind::Reduce(_)
            | Kind::Scan(_)
            | Kind::Regions(_)
            | Kind::Sort(_) => {
                unreachable!("they have tasks of other kinds")
            }
        }
    }
}

/// Writes a region of a program's result to its place in an array of that shape.
/// # Errors
/// If a tile on a device cannot be read.
pub(crate) fn write(
    program: &Program,
    region: &Region,
    given: &dyn Given,
    shape: &ArrayShape,
    to: &Shared,
) -> Result<Value, BoxError> {
    if let Some((devices, device)) = given.device()
        && let Some(tile) = or_here(devices, brought(devices, device, program, region, given))?
    {
        let (dtype, rank) = (tile.dtype(), region.axes.len());
        let here = Program::of_leaf(
            Leaf {
                map: ViewMap::identity(rank),
                shape: tile.shape().clone(),
                source: leaf::Source::Tile(tile),
                dtype,
            },
            rank,
        );
        let all = Region::all(&region.lens());
        return Ok(written(&here, &all, target(region, shape), given, to));
    }
    prepare(program, region, given)?;
    Ok(written(program, region, target(region, shape), given, to))
}

/// Where a region of an array of that shape lies in its memory.
fn target(region: &Region, shape: &ArrayShape) -> Target {
    let steps = shape.strides();
    let offset = region.axes.iter().zip(&steps).map(|(s, k)| s.start as isize * k).sum();
    Target { offset, strides: steps }
}

fn written(
    program: &Program,
    region: &Region,
    target: Target,
    given: &dyn Given,
    to: &Shared,
) -> Value {
    dispatch!(program.dtype, T => {
        // SAFETY: the tasks of an array write its regions, which do not overlap, and the array
        // is read when all of them are done.
        let mut sink = unsafe { to.part::<T>() };
        program.run(region, given, &[target], &mut sink);
    });
    Value::new(())
}

/// The regions of the inputs' chunks that make the chunks of a tile.
pub(crate) fn block_regions(stage: &Stage, tile: usize, grid: &ChunkGrid) -> Vec<Region> {
    let mut regions = Vec::new();
    overlaps(&stage.own, &stage.region(tile), |index, _| regions.push(grid.region(index)));
    debug_assert!(regions.iter().all(|r| r.axes.iter().all(|s: &Span| s.step == 1)));
    regions
}
