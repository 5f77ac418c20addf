//! The vectors of one thread: one slot for each value of the program, reused from chunk to
//! chunk and from batch to batch.

use super::{Bound, CHUNK_ROWS, Evaluator};
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
    /// Selected rows, from the start of the chunk; meaningful after the filter.
    pub(super) selection: Vec<u32>,
    /// Whether vectors hold the selected rows only.
    pub(super) gathered: bool,
    /// The filter as a byte for each row.
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

    /// Fills `selected` and `selection` from the filter; whether some row is dropped.
    pub(super) fn select(&mut self, bound: &Bound<'_>, filter: ValueId) -> bool {
        let n = self.rows;
        let mut selected = std::mem::take(&mut self.selected);
        selected[..n].copy_from_slice(self.values(bound, filter));
        if let Some(valid) = self.valid(filter) {
            for (s, v) in selected[..n].iter_mut().zip(valid) {
                *s &= v;
            }
        }
        let count = indices_of(&mut selected, n, &mut self.selection);
        self.selected = selected;
        count < n
    }
}

/// For each byte the places of its ones, lowest first.
const PLACES: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut at) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte][at] = bit;
                at += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

/// Bytes of 0 or 1, as the bits of a byte, first one lowest.
pub(super) fn pack(bytes: [u8; 8]) -> u8 {
    // Little-endian, times this constant, the low bits lie side by side in the top byte.
    (u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

/// Fills `indices` with the places of the ones among the first `n` bytes, and counts them.
/// The bytes after them are cleared up to a multiple of eight.
fn indices_of(bytes: &mut [u8], n: usize, indices: &mut Vec<u32>) -> usize {
    let padded = n.next_multiple_of(8);
    bytes[n..padded].fill(0);
    // Eight places are written for every byte of bits, and as many kept as it has ones.
    indices.resize(padded + 8, 0);
    let mut count = 0;
    for (i, group) in bytes[..padded].as_chunks::<8>().0.iter().enumerate() {
        let bits = pack(*group);
        if bits == 0 {
            continue;
        }
        let out = &mut indices[count..count + 8];
        for (o, place) in out.iter_mut().zip(PLACES[usize::from(bits)]) {
            *o = (i * 8) as u32 + u32::from(place);
        }
        count += bits.count_ones() as usize;
    }
    indices.truncate(count);
    count
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_are_found_at_every_length() {
        for n in [0, 1, 7, 8, 9, 63, 100, CHUNK_ROWS] {
            for step in [1, 2, 3, 13, 2000] {
                let mut bytes = vec![1; CHUNK_ROWS];
                for (i, b) in bytes[..n].iter_mut().enumerate() {
                    *b = u8::from(i % step == step / 2);
                }
                let want: Vec<u32> = (0..n as u32).filter(|i| bytes[*i as usize] == 1).collect();
                let mut got = vec![7; 3];
                assert_eq!(indices_of(&mut bytes, n, &mut got), want.len());
                assert_eq!(got, want, "{n} {step}");
            }
        }
    }
}
