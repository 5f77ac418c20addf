//! Running a fused program over a region: block by block, small enough that what the
//! instructions pass to each other stays in the first-level cache.
//!
//! Axes are made one where everything goes through them as one. A block is rows of the last
//! axis; where a leaf is dense along another axis (a transpose), it is a rectangle of the two,
//! so that each line of memory that is read is used whole.

use std::sync::Arc;

use super::{
    leaf::{Ask, Given, Source},
    program::{Action, Operand, Program},
};
use crate::{
    element::{Buf, dispatch},
    error::Result,
    expr::generate::Generator,
    kernel::{
        Run,
        binary::{binary, select},
        copy::{ask_ahead, collapse, plane},
        unary::unary,
    },
    region::Region,
    shape::{ArrayShape, each_index, strides},
    tile::Tile,
};

/// Elements of a block: two operands of 8 bytes and a result take 24 KiB, which a first-level
/// cache of 32 KiB holds.
pub(crate) const BLOCK: usize = 1024;

/// Side of a block that is a square: eight lines of 64 bytes a row, of 8-byte elements, along
/// either axis. It takes a second-level cache (measured: a side of 16 takes half as long
/// again, as memory gives neighbouring lines at once).
const SIDE: usize = 64;

/// Where a sink's elements lie, along each axis of the program's output.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) offset: isize,
    pub(crate) strides: Vec<isize>,
}

/// Where the elements of a block lie for a [`Target`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct At {
    pub(crate) base: isize,
    pub(crate) row: isize,
    pub(crate) column: isize,
}

/// What takes the blocks of a program's result.
pub(crate) trait Sink {
    /// Takes `rows` times `columns` dense elements; `at` has one place for each target.
    fn block(&mut self, values: Run<'_>, rows: usize, columns: usize, at: &[At]);
}

/// A leaf as it is read for a region.
enum Bound<'a> {
    Memory(Arc<Buf>),
    Generate(&'a Generator),
}

impl Program {
    /// Asks for the tiles of other stages that a region needs.
    pub(crate) fn reads(&self, region: &Region, ask: &mut Ask<'_>) {
        for leaf in &self.leaves {
            leaf.reads(&leaf.map.apply(region), ask);
        }
    }

    /// As [`Leaf::ready`](super::leaf::Leaf::ready), for all leaves.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn ready(&self, region: &Region) -> Result<()> {
        self.leaves.iter().try_for_each(|leaf| leaf.ready(&leaf.map.apply(region)))
    }

    /// The elements of a region, as a tile of its lengths.
    pub(crate) fn tile(&self, region: &Region, given: &dyn Given) -> Tile {
        if let ([leaf], Operand::Leaf(0)) = (&self.leaves[..], self.result)
            && !matches!(leaf.source, Source::Generate(_))
        {
            let part = leaf.bind(&leaf.map.apply(region), given);
            let seen = leaf.map.strides(part.strides(), self.rank);
            return part.with_layout(part.offset(), ArrayShape::new(region.lens()), seen);
        }
        let lens = region.lens();
        let mut buf = Buf::zeros(self.dtype, region.size());
        let target = Target { offset: 0, strides: strides(&lens) };
        dispatch!(self.dtype, T => {
            let mut sink = super::output::Write::new(buf.typed_mut::<T>());
            self.run(region, given, &[target], &mut sink);
        });
        Tile::dense(buf, ArrayShape::new(lens))
    }

    /// Runs the program over a region that has elements; the blocks go to `sink`.
    pub(crate) fn run(
        &self,
        region: &Region,
        given: &dyn Given,
        targets: &[Target],
        sink: &mut dyn Sink,
    ) {
        let (mut bound, mut offsets, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for leaf in &self.leaves {
            let part = leaf.map.apply(region);
            if let Source::Generate(generator) = &leaf.source {
                let steps = leaf.shape.strides();
                let along = |f: &dyn Fn(usize) -> isize| -> Vec<isize> {
                    (0..steps.len()).map(|i| f(i) * steps[i]).collect()
                };
                offsets.push(along(&|i| part.axes[i].start as isize).iter().sum());
                all.push(leaf.map.strides(&along(&|i| part.axes[i].step), self.rank));
                bound.push(Bound::Generate(generator));
            } else {
                let tile = leaf.bind(&part, given);
                offsets.push(tile.offset() as isize);
                all.push(leaf.map.strides(tile.strides(), self.rank));
                bound.push(Bound::Memory(Arc::clone(tile.buf())));
            }
        }
        offsets.extend(targets.iter().map(|t| t.offset));
        all.extend(targets.iter().map(|t| t.strides.clone()));
        let mut lens = region.lens();
        collapse(&mut lens, &mut all);
        if lens.is_empty() {
            lens.push(1);
            all.iter_mut().for_each(|s| s.push(0));
        }
        Blocks::new(self, &bound, lens, all, offsets).run(sink);
    }
}

/// A run over collapsed axes: streams are the leaves, then the targets.
struct Blocks<'a> {
    program: &'a Program,
    bound: &'a [Bound<'a>],
    lens: Vec<usize>,
    strides: Vec<Vec<isize>>,
    offsets: Vec<isize>,
    /// The axis of a block's rows, if there are two axes.
    row_axis: Option<usize>,
    /// Rows and columns of a whole block.
    block: (usize, usize),
    registers: Vec<Buf>,
    constants: Vec<Buf>,
    /// A block of each leaf that is not dense in memory.
    scratch: Vec<Buf>,
    /// Whether each leaf's block is read where it lies, and where it begins there.
    direct: Vec<bool>,
    starts: Vec<usize>,
}

impl<'a> Blocks<'a> {
    fn new(
        program: &'a Program,
        bound: &'a [Bound<'a>],
        lens: Vec<usize>,
        strides: Vec<Vec<isize>>,
        offsets: Vec<isize>,
    ) -> Self {
        let last = lens.len() - 1;
        let across = |s: &Vec<isize>| {
            let dense = (0..last).find(|&a| s[a].abs() == 1);
            dense.filter(|_| s[last] != 0 && s[last].abs() != 1)
        };
        let crossed = strides[..bound.len()].iter().find_map(across);
        let row_axis = crossed.or(last.checked_sub(1));
        let rows_of = |columns: usize| row_axis.map_or(1, |r| (BLOCK / columns).clamp(1, lens[r]));
        let block = match crossed {
            Some(_) => {
                let rows = row_axis.map_or(1, |r| lens[r].min(SIDE));
                (rows, lens[last].min(SIDE))
            }
            None if lens[last] >= BLOCK => (1, BLOCK),
            None => (rows_of(lens[last]), lens[last]),
        };
        let room = block.0 * block.1;
        let constant = |one: &Buf| {
            let mut whole = Buf::zeros(one.dtype(), room);
            dispatch!(one.dtype(), T => whole.typed_mut::<T>().fill(one.typed::<T>()[0]));
            whole
        };
        Self {
            registers: program.registers.iter().map(|d| Buf::zeros(*d, room)).collect(),
            constants: program.constants.iter().map(constant).collect(),
            scratch: program.leaves.iter().map(|l| Buf::zeros(l.dtype, 0)).collect(),
            direct: vec![false; bound.len()],
            starts: vec![0; bound.len()],
            program,
            bound,
            lens,
            strides,
            offsets,
            row_axis,
            block,
        }
    }

    fn run(&mut self, sink: &mut dyn Sink) {
        let last = self.lens.len() - 1;
        let mut outer = self.lens.clone();
        outer[last] = 1;
        if let Some(r) = self.row_axis {
            outer[r] = 1;
        }
        let row_count = self.row_axis.map_or(1, |r| self.lens[r]);
        let columns = self.lens[last];
        let (block_rows, block_columns) = self.block;
        let mut at = vec![At::default(); self.strides.len()];
        each_index(&outer, |index| {
            for r in (0..row_count).step_by(block_rows) {
                for c in (0..columns).step_by(block_columns) {
                    let (h, w) = (block_rows.min(row_count - r), block_columns.min(columns - c));
                    for ((at, s), &offset) in at.iter_mut().zip(&self.strides).zip(&self.offsets) {
                        let (row, column) = (self.row_axis.map_or(0, |a| s[a]), s[last]);
                        let outer: isize = index.iter().zip(s).map(|(&i, s)| i as isize * s).sum();
                        let base = offset + outer + r as isize * row + c as isize * column;
                        *at = At { base, row, column };
                    }
                    self.load(&at, h, w);
                    self.execute(h * w);
                    let values = self.operand(self.program.result);
                    sink.block(values, h, w, &at[self.bound.len()..]);
                }
            }
        });
    }

    /// Makes the leaves' blocks dense: where each begins, in its memory or its scratch.
    fn load(&mut self, at: &[At], rows: usize, columns: usize) {
        for (i, bound) in self.bound.iter().enumerate() {
            let At { base, row, column } = at[i];
            let room = self.block.0 * self.block.1;
            let scratch = &mut self.scratch[i];
            match bound {
                Bound::Memory(buf) => {
                    let dense =
                        (columns == 1 || column == 1) && (rows == 1 || row == columns as isize);
                    if dense {
                        (self.starts[i], self.direct[i]) = (base as usize, true);
                        continue;
                    }
                    self.direct[i] = false;
                    if scratch.len() < room {
                        *scratch = Buf::zeros(buf.dtype(), room);
                    }
                    let next = base + columns as isize * column;
                    dispatch!(buf.dtype(), T => {
                        let from = buf.typed::<T>();
                        // The block to the right comes next, from as many places.
                        if rows > 1 {
                            ask_ahead::<T>(from, next, (rows, row), (columns, column));
                        }
                        plane::<T>(
                            (rows, columns),
                            from,
                            base as usize,
                            (row, column),
                            scratch.typed_mut(),
                            0,
                            (columns as isize, 1),
                        );
                    });
                }
                Bound::Generate(generator) => {
                    if scratch.len() < room {
                        *scratch = Buf::zeros(self.program.leaves[i].dtype, room);
                    }
                    for r in 0..rows {
                        let base = base + r as isize * row;
                        generator.fill(base as i64, column as i64, scratch, r * columns, columns);
                    }
                }
            }
        }
    }

    fn operand(&self, operand: Operand) -> Run<'_> {
        match operand {
            Operand::Register(r) => Run::of(&self.registers[r]),
            Operand::Constant(c) => Run { constant: true, ..Run::of(&self.constants[c]) },
            Operand::Leaf(l) => match &self.bound[l] {
                Bound::Memory(buf) if self.direct[l] => {
                    Run { start: self.starts[l], ..Run::of(buf) }
                }
                _ => Run::of(&self.scratch[l]),
            },
        }
    }

    fn execute(&mut self, n: usize) {
        let program = self.program;
        for i in &program.instructions {
            let mut out = std::mem::replace(&mut self.registers[i.to], Buf::Bool(Vec::new()));
            let run = |k: usize| self.operand(i.operands[k]);
            match i.action {
                Action::Unary(op) => unary(op, i.operand_type, run(0), n, &mut out),
                Action::Binary(op) => binary(op, i.operand_type, run(0), run(1), n, &mut out),
                Action::Select => select(i.operand_type, run(0), run(1), run(2), n, &mut out),
            }
            self.registers[i.to] = out;
        }
    }
}
