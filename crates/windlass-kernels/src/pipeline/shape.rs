//! What a generated kernel looks like, before it is printed in a language: which buffers
//! it binds in which layout, what is computed before and after the filter, and what may be
//! null given the batch's columns.

use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    cpu::pipeline::needed,
    error::{KernelError, Result},
    ir::{BinaryOp, CastMode, Op, Program, SlotType, UnaryOp, ValueId},
    pipeline::{FilterProject, OPERATION},
    types::PhysType,
};

/// Threads of a block of a generated kernel.
pub(crate) const BLOCK: u32 = 256;
/// Rows that a thread takes, a block's width apart: enough to hide latency and to leave few
/// gaps (a guess, to be measured on a GPU).
pub(crate) const ITEMS: u32 = 4;
/// Rows of a block.
pub(crate) const TILE: u32 = BLOCK * ITEMS;
/// Words of the status buffer before the counts: error flags, and the number of rows.
pub(crate) const STATUS_WORDS: u32 = 2;
/// Bit offsets (less than 8) that a parameter word holds.
const OFFSETS_PER_WORD: usize = 8;
/// Most parameter words of a kernel.
const MAX_PARAMS: usize = 64;

/// Whether selected rows move together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// They do, within their tile; without a filter there is nothing to move.
    Compact,
    /// Every row keeps its place, and the filter is written as words.
    Dense,
}

/// How a mask lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MaskLayout {
    /// No mask.
    All,
    /// A bitmap.
    Bits,
    /// A word for each row.
    Words,
}

/// The layout of a column, as far as the text of a kernel depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Layout {
    /// The buffer's type; `I128` where the program's is `I64`: the low half counts.
    pub(crate) ty: PhysType,
    pub(crate) storage: Storage,
    pub(crate) mask: MaskLayout,
}

/// A column that the kernel reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// Number of the input or table.
    pub(crate) at: u32,
    pub(crate) layout: Layout,
    /// Which bit offset is the values' own, for packed booleans.
    pub(crate) value_offset: Option<usize>,
    /// Which bit offset is the bitmap's.
    pub(crate) mask_offset: Option<usize>,
}

impl Source {
    /// Buffers that it takes.
    pub(crate) fn buffers(&self) -> usize {
        1 + usize::from(self.layout.mask != MaskLayout::All)
    }

    /// Rows that the buffers of its column that the kernel reads have room for.
    pub(crate) fn rows_of(&self, column: &DeviceColumn) -> usize {
        match self.layout.mask {
            MaskLayout::All => column.rows_of_values(),
            _ => column.rows_of_values().min(column.rows_of_validity()),
        }
    }
}

/// The kernel.
#[derive(Debug, Clone)]
pub(crate) struct Shape<'p> {
    pub(crate) program: &'p Program,
    pub(crate) filter: Option<ValueId>,
    pub(crate) mode: Mode,
    /// Inputs read, in the order of their buffers.
    pub(crate) inputs: Vec<Source>,
    /// Tables read; their buffers come after the inputs'.
    pub(crate) tables: Vec<Source>,
    /// The outputs; each has a buffer and, where nullable, one more of validity words.
    pub(crate) outputs: Vec<ValueId>,
    /// For each value whether it may be null in this batch.
    pub(crate) nullable: Vec<bool>,
    /// What the filter needs, in order.
    pub(crate) first: Vec<ValueId>,
    /// What the outputs need besides.
    pub(crate) second: Vec<ValueId>,
    offsets: usize,
}

/// The layouts of a batch's columns and of the tables: with a plan and a mode they decide
/// a kernel's text.
pub(crate) fn layouts(columns: &[DeviceColumn]) -> Vec<Layout> {
    columns
        .iter()
        .map(|c| {
            let mask = match c.validity {
                Validity::All => MaskLayout::All,
                Validity::Bits { .. } => MaskLayout::Bits,
                Validity::Words(_) => MaskLayout::Words,
            };
            Layout { ty: c.ty, storage: c.storage, mask }
        })
        .collect()
}

/// The layouts that an upload makes of declared types, with a mask wherever one may be:
/// what [`FilterProject::supported`] judges before there is a batch.
pub(crate) fn declared(slots: &[SlotType]) -> Vec<Layout> {
    slots
        .iter()
        .map(|s| {
            let mask = if s.nullable { MaskLayout::Bits } else { MaskLayout::All };
            Layout { ty: s.ty, storage: Storage::Packed, mask }
        })
        .collect()
}

impl<'p> Shape<'p> {
    /// The kernel of `plan` over columns and tables of these layouts. Outputs in `skip`
    /// are not computed.
    ///
    /// # Errors
    /// `Invalid` when a layout does not fit the program or there are too many tables.
    pub(crate) fn new(
        plan: &'p FilterProject,
        mode: Mode,
        columns: &[Layout],
        tables: &[Layout],
        skip: &[bool],
    ) -> Result<Self> {
        let program = &plan.program;
        plan.check()?;
        check_slots("column", program.inputs(), columns)?;
        check_slots("table", program.tables(), tables)?;
        let outputs: Vec<ValueId> =
            plan.outputs.iter().zip(skip).filter(|(_, s)| !**s).map(|(id, _)| *id).collect();
        let in_filter = needed(program, plan.filter.as_slice());
        let in_outputs = needed(program, &outputs);
        let count = program.values().len();
        let ids = |keep: &dyn Fn(usize) -> bool| -> Vec<ValueId> {
            (0..count).filter(|i| keep(*i)).map(|i| ValueId(i as u32)).collect()
        };
        let mut shape = Self {
            program,
            filter: plan.filter,
            mode,
            inputs: vec![],
            tables: vec![],
            outputs,
            nullable: vec![],
            first: ids(&|i| in_filter[i]),
            second: ids(&|i| in_outputs[i] && !in_filter[i]),
            offsets: 0,
        };
        for i in (0..count).filter(|i| in_filter[*i] || in_outputs[*i]) {
            match program.values()[i].op {
                Op::Input(at) => {
                    let source = shape.source(at, program.inputs(), columns);
                    shape.inputs.push(source);
                }
                Op::Lookup(t, _) if !shape.tables.iter().any(|s| s.at == t.0) => {
                    let source = shape.source(t.0, program.tables(), tables);
                    shape.tables.push(source);
                }
                _ => {}
            }
        }
        shape.find_nulls();
        if shape.params() > MAX_PARAMS {
            return Err(invalid(
                format!("at most {MAX_PARAMS} parameter words"),
                format!("{} tables and {} bitmaps", shape.tables.len(), shape.offsets),
            ));
        }
        Ok(shape)
    }

    fn source(&mut self, at: u32, slots: &[SlotType], layouts: &[Layout]) -> Source {
        let mut layout = layouts[at as usize];
        if !slots[at as usize].nullable {
            layout.mask = MaskLayout::All;
        }
        let mut offset = |wanted: bool| {
            wanted.then(|| {
                self.offsets += 1;
                self.offsets - 1
            })
        };
        let bits = layout.ty == PhysType::Bool && layout.storage == Storage::Packed;
        let (value_offset, mask_offset) = (offset(bits), offset(layout.mask == MaskLayout::Bits));
        Source { at, layout, value_offset, mask_offset }
    }

    /// Follows nulls through the program from the columns that have a mask.
    fn find_nulls(&mut self) {
        let has_mask = |sources: &[Source], at: u32| {
            sources.iter().any(|s| s.at == at && s.layout.mask != MaskLayout::All)
        };
        for value in self.program.values() {
            let known = |id: &ValueId| self.nullable[id.0 as usize];
            let nullable = match &value.op {
                Op::Input(i) => has_mask(&self.inputs, *i),
                Op::Lookup(t, index) => has_mask(&self.tables, t.0) || known(index),
                Op::Null => true,
                Op::Const(_)
                | Op::Row
                | Op::Unary(UnaryOp::IsNull | UnaryOp::IsNotNull, ..)
                | Op::Binary(BinaryOp::Distinct | BinaryOp::NotDistinct, ..) => false,
                Op::Cast(_, CastMode::Null, _) => true,
                Op::Select(_, a, b) | Op::Binary(_, a, b, _) => known(a) || known(b),
                Op::Unary(_, a, _) | Op::Cast(a, ..) => known(a),
            };
            self.nullable.push(nullable);
        }
    }

    /// Whether a value may be null.
    pub(crate) fn nulls(&self, id: ValueId) -> bool {
        self.nullable[id.0 as usize]
    }

    /// Whether rows move: the counts of tiles are written then.
    pub(crate) fn compacts(&self) -> bool {
        self.mode == Mode::Compact && self.filter.is_some()
    }

    /// Whether the filter is written as words.
    pub(crate) fn marks(&self) -> bool {
        self.mode == Mode::Dense && self.filter.is_some()
    }

    /// Buffers of the kernel: inputs and tables with their masks, outputs with theirs, the
    /// filter's words, the status.
    pub(crate) fn buffers(&self) -> usize {
        let sources = self.inputs.iter().chain(&self.tables);
        let read: usize = sources.map(Source::buffers).sum();
        let written: usize = self.outputs.iter().map(|id| 1 + usize::from(self.nulls(*id))).sum();
        read + written + usize::from(self.marks()) + 1
    }

    /// Parameter words: the row count, bit offsets, the tables' lengths.
    pub(crate) fn params(&self) -> usize {
        1 + self.offsets.div_ceil(OFFSETS_PER_WORD) + self.tables.len()
    }

    /// Word and shift of bit offset `i`.
    pub(crate) fn offset_at(&self, i: usize) -> (usize, usize) {
        (1 + i / OFFSETS_PER_WORD, i % OFFSETS_PER_WORD * 4)
    }

    /// Word of the length of the `i`-th table read.
    pub(crate) fn length_at(&self, i: usize) -> usize {
        1 + self.offsets.div_ceil(OFFSETS_PER_WORD) + i
    }

    /// The parameter words for a batch.
    pub(crate) fn param_words(&self, batch: &DeviceBatch, tables: &[DeviceColumn]) -> Vec<u32> {
        let mut words = vec![0; self.params()];
        words[0] = batch.rows as u32;
        let inputs = self.inputs.iter().map(|s| (s, &batch.columns[s.at as usize]));
        let looked_up = self.tables.iter().map(|s| (s, &tables[s.at as usize]));
        for (source, column) in inputs.chain(looked_up) {
            if let Some(i) = source.value_offset {
                let (word, shift) = self.offset_at(i);
                words[word] |= column.bit_offset << shift;
            }
            if let (Some(i), Validity::Bits { bit_offset, .. }) =
                (source.mask_offset, &column.validity)
            {
                let (word, shift) = self.offset_at(i);
                words[word] |= bit_offset << shift;
            }
        }
        for (i, source) in self.tables.iter().enumerate() {
            words[self.length_at(i)] = source.rows_of(&tables[source.at as usize]) as u32;
        }
        words
    }

    /// Every value that the kernel computes.
    pub(crate) fn values(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.first.iter().chain(&self.second).copied()
    }
}

fn check_slots(what: &str, slots: &[SlotType], layouts: &[Layout]) -> Result<()> {
    if layouts.len() < slots.len() {
        return Err(invalid(format!("{} {what}s", slots.len()), layouts.len().to_string()));
    }
    for (i, (slot, layout)) in slots.iter().zip(layouts).enumerate() {
        let low = slot.ty == PhysType::I64 && layout.ty == PhysType::I128;
        if slot.ty != layout.ty && !low {
            return Err(invalid(format!("{what} {i} of {}", slot.ty), layout.ty.to_string()));
        }
    }
    Ok(())
}

pub(crate) fn invalid(expected: String, got: String) -> KernelError {
    KernelError::Invalid { operation: OPERATION, expected, got }
}
