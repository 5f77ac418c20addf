//! The vectors of one thread: one slot for each value of the program, reused from chunk to
//! chunk and from batch to batch.

use super::{Bound, CHUNK_ROWS, Evaluator, Mode, select::Selection};
use crate::{
    ir::{Op, ValueId},
    types::{PhysType, Scalar},
};

/// Bytes of one value in a vector: booleans take a byte here.
pub(super) fn width(ty: PhysType) -> usize {
    ty.packed_bytes().unwrap_or(1)
}

/// Where the values of a slot lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// In the slot's own memory.
    #[default]
    Own,
    /// In input column `input`, from byte `at` on.
    Input { input: usize, at: usize },
}

/// One value's vector.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) place: Place,
    /// Values; `u128` for its alignment.
    pub(super) data: Vec<u128>,
    /// A byte for each row, 1 where valid; meaningful where `nullable`.
    pub(super) valid: Vec<u8>,
    /// Whether some row of this chunk may be null.
    pub(super) nullable: bool,
}

impl Slot {
    /// Makes room for a whole chunk of `ty`.
    pub(super) fn grow(&mut self, ty: PhysType) {
        let words = (CHUNK_ROWS * width(ty)).div_ceil(16);
        if self.data.len() < words {
            self.data.resize(words, 0);
        }
    }

    /// Its own memory as `n` values.
    pub(super) fn own<T: bytemuck::Pod>(&mut self, n: usize) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.data)[..n]
    }

    /// The validity mask, made for `n` rows, which the caller fills.
    pub(super) fn mask(&mut self, n: usize) -> &mut [u8] {
        self.nullable = true;
        if self.valid.len() < CHUNK_ROWS {
            self.valid.resize(CHUNK_ROWS, 0);
        }
        &mut self.valid[..n]
    }
}

/// The vectors of one thread.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The evaluator that the constants were set for; 0: none.
    evaluator: u64,
    pub(super) slots: Vec<Slot>,
    /// Rows of the vectors now.
    pub(super) rows: usize,
    /// Selected rows, from the start of the chunk; meaningful after the filter where rows that
    /// it drops are left out.
    pub(super) selection: Selection,
    /// Whether vectors hold the selected rows only.
    pub(super) gathered: bool,
    /// The filter as a byte for each row, where rows that it drops keep their place.
    pub(super) selected: Vec<u8>,
    /// Whether errors are raised in selected rows only though vectors hold all rows.
    pub(super) active: bool,
    /// Rows in which an operation may raise an error.
    pub(super) may_fail: Vec<u8>,
    /// Error flags raised in this chunk.
    pub(super) flags: u32,
}

impl Scratch {
    /// Empty; it grows at first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gets ready for a chunk of `rows` rows.
    pub(super) fn prepare(&mut self, e: &Evaluator, rows: usize) {
        if self.evaluator != e.id {
            self.slots.clear();
            self.slots.resize_with(e.program.values().len(), Slot::default);
            for id in e.first.iter().chain(&e.second) {
                self.set_constant(e, *id);
            }
            self.selected.resize(CHUNK_ROWS, 0);
            self.may_fail.resize(CHUNK_ROWS, 0);
            self.evaluator = e.id;
        }
        self.rows = rows;
        self.gathered = false;
        self.active = false;
        self.flags = 0;
    }

    /// Constants are written once, for a whole chunk.
    fn set_constant(&mut self, e: &Evaluator, id: ValueId) {
        let value = e.program.value(id);
        let slot = &mut self.slots[id.0 as usize];
        match &value.op {
            Op::Const(c) => {
                slot.grow(value.ty);
                splat(*c, slot);
            }
            Op::Null => {
                slot.grow(value.ty);
                slot.mask(CHUNK_ROWS).fill(0);
            }
            _ => {}
        }
    }

    /// The values of `id` as bytes.
    pub(super) fn values<'s>(&'s self, bound: &'s Bound<'_>, id: ValueId) -> &'s [u8] {
        let slot = &self.slots[id.0 as usize];
        let bytes = self.rows * width(bound.evaluator.program.ty(id));
        match slot.place {
            Place::Own => &bytemuck::cast_slice(&slot.data)[..bytes],
            Place::Input { input, at } => &bound.inputs[input].values[at..at + bytes],
        }
    }

    /// The validity mask of `id`.
    pub(super) fn valid(&self, id: ValueId) -> Option<&[u8]> {
        let slot = &self.slots[id.0 as usize];
        slot.nullable.then(|| &slot.valid[..self.rows])
    }

    /// Fills `selection`, or in dense mode `selected`, from the filter; whether some row is
    /// dropped.
    pub(super) fn select(&mut self, bound: &Bound<'_>, filter: ValueId, mode: Mode) -> bool {
        let n = self.rows;
        if mode == Mode::Compact {
            let mut selection = std::mem::take(&mut self.selection);
            selection.set(self.values(bound, filter), self.valid(filter));
            self.selection = selection;
            return self.selection.len() < n;
        }
        let mut selected = std::mem::take(&mut self.selected);
        selected[..n].copy_from_slice(self.values(bound, filter));
        if let Some(valid) = self.valid(filter) {
            for (s, v) in selected[..n].iter_mut().zip(valid) {
                *s &= v;
            }
        }
        let all = selected[..n].iter().fold(1, |all, s| all & s);
        self.selected = selected;
        all == 0
    }
}

/// Writes a constant into every row of a slot.
fn splat(c: Scalar, slot: &mut Slot) {
    fn fill<T: bytemuck::Pod>(slot: &mut Slot, v: T) {
        slot.own::<T>(CHUNK_ROWS).fill(v);
    }
    let bits = c.bits();
    match width(c.ty()) {
        1 => fill(slot, bits as u8),
        2 => fill(slot, bits as u16),
        4 => fill(slot, bits as u32),
        8 => fill(slot, bits as u64),
        _ => fill(slot, bits),
    }
}
