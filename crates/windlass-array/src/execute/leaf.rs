//! Where fused programs begin: memory, generators, results of other stages, and parts that
//! are put together in a way that no stride describes.

use std::sync::Arc;

use super::{lower::Plan, program::Program, reshape::Reshape};
use windlass_device::Device;

use crate::{
    device::{DeviceTile, Devices},
    dtype::DType,
    element::{Buf, dispatch},
    error::{ArrayError, Result},
    expr::{Node, Op, generate::Generator},
    grid::ChunkGrid,
    kernel::copy::{Layout, copy},
    region::{Region, Span, ViewMap, overlaps},
    shape::{ArrayShape, strides},
    tile::{Tile, Tiles},
};

/// What a program begins with, and how its elements are seen from the program's output.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) source: Source,
    pub(crate) map: ViewMap,
    pub(crate) dtype: DType,
    pub(crate) shape: ArrayShape,
}

/// Where a leaf's elements come from.
#[derive(Debug)]
pub(crate) enum Source {
    Tile(Tile),
    Tiles(Arc<Tiles>),
    Generate(Generator),
    /// The tiles of another stage, on its grid of tasks.
    Stage {
        stage: usize,
        grid: ChunkGrid,
    },
    /// Programs one behind the other along an axis; where each ends.
    Concat {
        axis: usize,
        ends: Vec<usize>,
        parts: Vec<Program>,
    },
    Take {
        axis: usize,
        indices: Arc<[usize]>,
        program: Box<Program>,
    },
    Reshape(Box<Reshape>),
}

/// The tiles of other stages that a task was given.
pub(crate) trait Given {
    /// A part of a tile of a stage, which was asked for: `within` counts from the tile's first
    /// element.
    fn part(&self, stage: usize, tile: usize, within: &Region) -> Tile;

    /// A whole tile of a stage that was asked for, if it lies on a device.
    fn resident(&self, _stage: usize, _tile: usize) -> Option<&DeviceTile> {
        None
    }

    /// The device that the task runs on, and those that there are; `None` on the host.
    fn device(&self) -> Option<(&Devices, &Arc<dyn Device>)> {
        None
    }

    /// Brings all tiles to the host, which [`Given::part`] needs.
    ///
    /// # Errors
    /// If a device does not give one.
    fn bring(&self) -> Result<(), ArrayError> {
        Ok(())
    }
}

/// What asks which parts of which tiles of other stages a region needs.
pub(crate) type Ask<'a> = dyn FnMut(usize, usize, Region) + 'a;

/// Positions along an axis that are this near are read at once, with what is between them
/// (a stated guess).
const GAP: usize = 8;

impl Leaf {
    /// Of a stage's result.
    pub(crate) fn stage((stage, grid): (usize, &ChunkGrid), node: &Node, map: ViewMap) -> Self {
        let source = Source::Stage { stage, grid: grid.clone() };
        Self { source, map, dtype: node.dtype, shape: node.shape.clone() }
    }

    /// Of a node that is no elementwise operation and has no stage.
    pub(crate) fn of(node: &Arc<Node>, map: ViewMap, plan: &Plan) -> Self {
        let source = match &node.op {
            Op::Tile(tile) => Source::Tile(tile.clone()),
            Op::Tiles(tiles) => Source::Tiles(Arc::clone(tiles)),
            Op::Generate(generator) => Source::Generate(generator.clone()),
            Op::Concat { axis } => {
                let ends = node.inputs.iter().scan(0, |end, i| {
                    *end += i.shape[*axis];
                    Some(*end)
                });
                let parts = node.inputs.iter().map(|i| plan.program_of(i)).collect();
                Source::Concat { axis: *axis, ends: ends.collect(), parts }
            }
            Op::Take { axis, indices } => Source::Take {
                axis: *axis,
                indices: Arc::clone(indices),
                program: Box::new(plan.program_of(&node.inputs[0])),
            },
            Op::Reshape => Source::Reshape(Box::new(Reshape::new(
                &node.inputs[0].shape,
                &node.shape,
                plan.program_of(&node.inputs[0]),
            ))),
            other => unreachable!("{other:?} is an elementwise operation or has a stage"),
        };
        Self { source, map, dtype: node.dtype, shape: node.shape.clone() }
    }

    /// Asks for the tiles that a region of the leaf needs.
    pub(crate) fn reads(&self, region: &Region, ask: &mut Ask<'_>) {
        match &self.source {
            Source::Tile(_) | Source::Tiles(_) | Source::Generate(_) => {}
            Source::Stage { stage, grid } => {
                overlaps(grid, region, |index, parts| {
                    ask(*stage, grid.position(index), within(grid, region, index, parts));
                });
            }
            Source::Concat { axis, ends, parts } => {
                for (part, region, _) in concat_parts(*axis, ends, region) {
                    parts[part].reads(&region, ask);
                }
            }
            Source::Take { axis, indices, program } => {
                for run in runs(*axis, indices, region) {
                    program.reads(&region.with(*axis, run.read), ask);
                }
            }
            Source::Reshape(reshape) => reshape.reads(region, ask),
        }
    }

    /// Brings tiles that were kept on devices to the host, as far as a region needs them: what
    /// [`Leaf::bind`] takes for granted.
    ///
    /// # Errors
    /// If a device does not give one.
    pub(crate) fn ready(&self, region: &Region) -> Result<()> {
        match &self.source {
            Source::Tile(_) | Source::Generate(_) | Source::Stage { .. } => Ok(()),
            Source::Tiles(tiles) => {
                let mut done = Ok(());
                overlaps(&tiles.grid, region, |index, _| {
                    if done.is_ok() {
                        done = tiles.tiles[tiles.grid.position(index)].bring().map(|_| ());
                    }
                });
                done
            }
            Source::Concat { axis, ends, parts } => concat_parts(*axis, ends, region)
                .into_iter()
                .try_for_each(|(part, region, _)| parts[part].ready(&region)),
            Source::Take { axis, indices, program } => runs(*axis, indices, region)
                .into_iter()
                .try_for_each(|run| program.ready(&region.with(*axis, run.read))),
            Source::Reshape(reshape) => reshape.ready(region),
        }
    }

    /// The elements of a region of the leaf, which is no generator, as a tile of the
    /// region's lengths.
    pub(crate) fn bind(&self, region: &Region, given: &dyn Given) -> Tile {
        match &self.source {
            Source::Tile(tile) => tile.part(region),
            Source::Tiles(tiles) => {
                // Brought here first, where that can be told of as an error.
                let tile = |i: usize| tiles.tiles[i].bring().expect("a tile that its device gives");
                gather(&tiles.grid, region, self.dtype, &|i, part| tile(i).part(part))
            }
            Source::Stage { stage, grid } => {
                gather(grid, region, self.dtype, &|i, part| given.part(*stage, i, part))
            }
            Source::Generate(_) => unreachable!("generators are asked block by block"),
            Source::Concat { axis, ends, parts } => {
                let mut found = concat_parts(*axis, ends, region);
                if let [(part, region, _)] = &found[..] {
                    return parts[*part].tile(region, given);
                }
                let mut to = Assembly::new(self.dtype, region);
                for (part, region, begin) in found.drain(..) {
                    to.put(&parts[part].tile(&region, given), *axis, begin);
                }
                to.finish()
            }
            Source::Take { axis, indices, program } => {
                let mut to = Assembly::new(self.dtype, region);
                for run in runs(*axis, indices, region) {
                    let tile = program.tile(&region.with(*axis, run.read), given);
                    for (from, begin) in run.places {
                        let one =
                            Region::all(tile.shape().as_slice()).with(*axis, Span::new(from, 1, 1));
                        to.put(&tile.part(&one), *axis, begin);
                    }
                }
                to.finish()
            }
            Source::Reshape(reshape) => reshape.tile(region, given, self.dtype),
        }
    }
}

/// The inputs of a concatenation that a region needs: which, its region, and where its
/// elements begin along the axis of the region.
fn concat_parts(axis: usize, ends: &[usize], region: &Region) -> Vec<(usize, Region, usize)> {
    let span = region.axes[axis];
    let (low, high) = span.bounds();
    let first = ends.partition_point(|&e| e <= low);
    let mut found = Vec::new();
    for part in first..ends.len() {
        let begin = if part == 0 { 0 } else { ends[part - 1] };
        if begin > high {
            break;
        }
        let (a, b) = span.within(begin, ends[part]);
        if a < b {
            let own = Span::new(span.at(a) - begin, span.step, b - a);
            found.push((part, region.with(axis, own), a));
        }
    }
    found
}

/// Positions that are read at once, and where each goes.
struct TakeRun {
    read: Span,
    /// Pairs of a position in what is read and one in the region.
    places: Vec<(usize, usize)>,
}

/// The runs of positions that a region of a take needs.
fn runs(axis: usize, indices: &[usize], region: &Region) -> Vec<TakeRun> {
    let span = region.axes[axis];
    let mut wanted: Vec<(usize, usize)> = (0..span.len).map(|i| (indices[span.at(i)], i)).collect();
    wanted.sort_unstable();
    let mut runs: Vec<TakeRun> = Vec::new();
    for (index, to) in wanted {
        match runs.last_mut() {
            Some(run) if index < run.read.start + run.read.len + GAP => {
                run.read.len = index - run.read.start + 1;
                run.places.push((index - run.read.start, to));
            }
            _ => {
                runs.push(TakeRun { read: Span::new(index, 1, 1), places: vec![(0, to)] });
            }
        }
    }
    runs
}

/// The part of a tile that a region needs, counted from the tile's first element: `parts` are
/// the region's elements in it.
pub(crate) fn within(
    grid: &ChunkGrid,
    region: &Region,
    index: &[usize],
    parts: &[(usize, usize)],
) -> Region {
    let tile = grid.region(index);
    let span = |((s, t), &(a, b)): ((&Span, &Span), &(usize, usize))| {
        Span::new(s.at(a) - t.start, s.step, b - a)
    };
    Region::new(region.axes.iter().zip(&tile.axes).zip(parts).map(span).collect())
}

/// The elements of a region of a grid's tiles: a part of one tile, or several put together.
fn gather(
    grid: &ChunkGrid,
    region: &Region,
    dtype: DType,
    part: &dyn Fn(usize, &Region) -> Tile,
) -> Tile {
    let mut found = Vec::new();
    overlaps(grid, region, |index, parts| {
        let begin: Vec<usize> = parts.iter().map(|p| p.0).collect();
        found.push((grid.position(index), within(grid, region, index, parts), begin));
    });
    if let [(tile, within, _)] = &found[..] {
        return part(*tile, within);
    }
    let mut to = Assembly::new(dtype, region);
    for (tile, within, begin) in &found {
        to.put_at(&part(*tile, within), begin);
    }
    to.finish()
}

/// A tile that is put together from others.
pub(crate) struct Assembly {
    buf: Buf,
    lens: Vec<usize>,
    strides: Vec<isize>,
}

impl Assembly {
    /// With room for a region's elements.
    pub(crate) fn new(dtype: DType, region: &Region) -> Self {
        Self::with_lens(dtype, region.lens())
    }

    /// With room for a tile of these lengths.
    pub(crate) fn with_lens(dtype: DType, lens: Vec<usize>) -> Self {
        let buf = Buf::zeros(dtype, lens.iter().product());
        Self { buf, strides: strides(&lens), lens }
    }

    /// Copies a tile to where its first element has that position along one axis, and 0 along
    /// the others.
    pub(crate) fn put(&mut self, tile: &Tile, axis: usize, begin: usize) {
        let mut at = vec![0; self.lens.len()];
        at[axis] = begin;
        self.put_at(tile, &at);
    }

    /// Copies a tile to where its first element has that position.
    pub(crate) fn put_at(&mut self, tile: &Tile, begin: &[usize]) {
        let offset: isize = begin.iter().zip(&self.strides).map(|(&b, s)| b as isize * s).sum();
        dispatch!(tile.dtype(), T => copy::<T>(
            tile.shape().as_slice(),
            tile.buf().typed(),
            Layout { offset: tile.offset(), strides: tile.strides() },
            self.buf.typed_mut(),
            Layout { offset: offset as usize, strides: &self.strides },
        ));
    }

    /// One value everywhere.
    pub(crate) fn fill<T: crate::Element>(&mut self, value: T) {
        self.buf.typed_mut::<T>().fill(value);
    }

    /// The elements, the last axis the fastest.
    pub(crate) fn into_buf(self) -> Buf {
        self.buf
    }

    pub(crate) fn finish(self) -> Tile {
        Tile::dense(self.buf, ArrayShape::new(self.lens))
    }
}
