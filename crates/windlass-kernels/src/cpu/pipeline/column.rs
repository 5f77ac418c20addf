//! Reading input columns and lookup tables: Arrow's layout and the one GPU kernels write,
//! whole ranges and gathered rows.

use std::ops::Range;

use bytemuck::Pod;

use super::{
    Bound, CHUNK_ROWS, invalid,
    scratch::{Place, Scratch, Slot, width},
    select::{Selection, spread},
};
use crate::{
    column::{DeviceColumn, Storage, Validity},
    cpu::view::word_at,
    error::Result,
    ir::{Op, SlotType, ValueId},
    types::PhysType,
};

/// Which rows are not null.
#[derive(Debug, Clone, Copy)]
enum Mask<'a> {
    All,
    Bits { bits: &'a [u8], offset: usize },
    Words(&'a [u8]),
}

/// How values are taken from the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// The vector's own layout.
    Natural,
    /// Bits, from this one on.
    Bits(usize),
    /// 32-bit words of which the low part counts.
    Words,
    /// 16-byte values of which the low 8 bytes count.
    Low64,
}

/// Bits of the rows of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct BitsFrom<'a> {
    bytes: &'a [u8],
    /// The bit of the first row.
    at: usize,
}

impl BitsFrom<'_> {
    /// The bits of 64 rows from `row` on, the first lowest; what is past the rows is undefined.
    #[inline(always)]
    pub(super) fn word(&self, row: usize) -> u64 {
        word_at(self.bytes, self.at + row)
    }
}

/// Values of the rows of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) enum RawValues<'a> {
    Bits(BitsFrom<'a>),
    /// Aligned for their type.
    Bytes(&'a [u8]),
}

/// Rows of a chunk where they lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct InPlace<'a> {
    pub(super) values: RawValues<'a>,
    /// Those that are not null; `None`: all.
    pub(super) valid: Option<BitsFrom<'a>>,
}

/// Whether the rows of a column can be taken where they lie. False too for a column that does
/// not fit its slot.
pub(super) fn is_in_place(c: &DeviceColumn, slot: SlotType, rows: usize) -> bool {
    Column::new(c, slot, Some(rows), 0).is_ok_and(|c| c.is_in_place())
}

/// A column in host memory.
#[derive(Debug)]
pub(super) struct Column<'a> {
    ty: PhysType,
    pub(super) values: &'a [u8],
    layout: Layout,
    mask: Mask<'a>,
    /// Whether values can be read in place as a typed slice.
    in_place: bool,
    /// Rows that there are.
    rows: usize,
}

impl<'a> Column<'a> {
    /// Checks column `at` against its slot. `rows`: the batch's; `None` for a table, whose
    /// length follows from its bytes.
    pub(super) fn new(
        c: &'a DeviceColumn,
        slot: SlotType,
        rows: Option<usize>,
        at: usize,
    ) -> Result<Self> {
        let what = if rows.is_some() { "column" } else { "table" };
        let host = |b: &'a windlass_device::DeviceBuffer| {
            b.host_bytes().ok_or_else(|| {
                invalid(format!("{what} {at} in host memory"), b.device().to_string())
            })
        };
        let low = slot.ty == PhysType::I64 && c.ty == PhysType::I128;
        if c.ty != slot.ty && !low {
            return Err(invalid(format!("{what} {at} of {}", slot.ty), c.ty.to_string()));
        }
        if let Some(bit) = c.first_bits().into_iter().find(|bit| *bit > 7) {
            return Err(invalid(format!("{what} {at} from a bit below 8"), format!("bit {bit}")));
        }
        let natural = c.ty.packed_bytes();
        let layout = match (c.storage, natural) {
            _ if low => Layout::Low64,
            (Storage::Packed, None) => Layout::Bits(c.bit_offset as usize),
            (Storage::Wide, None | Some(1 | 2)) => Layout::Words,
            _ => Layout::Natural,
        };
        let values = host(&c.values)?;
        let stride = match layout {
            Layout::Words => 4,
            _ => natural.unwrap_or(1),
        };
        let mut held = match layout {
            Layout::Bits(offset) => (values.len() * 8).saturating_sub(offset),
            _ => values.len() / stride,
        };
        let mask = match &c.validity {
            _ if !slot.nullable => Mask::All,
            Validity::All => Mask::All,
            Validity::Bits { bits, bit_offset } => {
                let (bits, offset) = (host(bits)?, *bit_offset as usize);
                held = held.min((bits.len() * 8).saturating_sub(offset));
                Mask::Bits { bits, offset }
            }
            Validity::Words(words) => {
                let words = host(words)?;
                held = held.min(words.len() / 4);
                Mask::Words(words)
            }
        };
        if rows.is_some_and(|r| held < r) {
            let expected = format!("{what} {at} of {} rows", rows.unwrap_or(0));
            return Err(invalid(expected, format!("{held} rows")));
        }
        let in_place =
            layout == Layout::Natural && (values.as_ptr() as usize).is_multiple_of(width(slot.ty));
        Ok(Self { ty: slot.ty, values, layout, mask, in_place, rows: rows.unwrap_or(held) })
    }

    /// Whether [`Column::in_place`] can be asked for.
    fn is_in_place(&self) -> bool {
        let values = self.in_place || matches!(self.layout, Layout::Bits(_));
        values && !matches!(self.mask, Mask::Words(_))
    }

    /// The rows of `range` where they lie, as [`is_in_place`] says they can be taken.
    pub(super) fn in_place(&self, range: &Range<usize>) -> InPlace<'a> {
        let values = match self.layout {
            Layout::Bits(offset) => {
                RawValues::Bits(BitsFrom { bytes: self.values, at: offset + range.start })
            }
            _ => {
                let w = width(self.ty);
                RawValues::Bytes(&self.values[range.start * w..range.end * w])
            }
        };
        let valid = match self.mask {
            Mask::Bits { bits, offset } if !all_set(bits, offset + range.start, range.len()) => {
                Some(BitsFrom { bytes: bits, at: offset + range.start })
            }
            _ => None,
        };
        InPlace { values, valid }
    }

    /// Reads the rows of `range` into `slot`, or points it at them.
    fn load(&self, input: usize, slot: &mut Slot, range: &Range<usize>) {
        let n = range.len();
        let w = width(self.ty);
        slot.place = Place::Own;
        if self.in_place {
            slot.place = Place::Input { input, at: range.start * w };
        } else {
            slot.grow(self.ty);
            match self.layout {
                Layout::Bits(offset) => {
                    unpack_bits(self.values, offset + range.start, slot.own::<u8>(n));
                }
                _ => self.rows_into(slot, range.clone()),
            }
        }
        slot.nullable = false;
        match self.mask {
            Mask::All => {}
            Mask::Bits { bits, offset } => {
                if !all_set(bits, offset + range.start, n) {
                    unpack_bits(bits, offset + range.start, slot.mask(n));
                }
            }
            Mask::Words(words) => {
                let words = words[range.start * 4..range.end * 4].chunks_exact(4);
                for (v, word) in slot.mask(n).iter_mut().zip(words) {
                    *v = word[0] & 1;
                }
            }
        }
    }

    /// Reads the selected rows of `range` into `slot`'s own memory.
    fn select(&self, slot: &mut Slot, selection: &Selection, range: &Range<usize>) {
        let n = range.len();
        slot.place = Place::Own;
        slot.grow(self.ty);
        let mut space = [0; CHUNK_ROWS];
        match (self.layout, width(self.ty)) {
            (Layout::Bits(offset), _) => {
                unpack_bits(self.values, offset + range.start, &mut space[..n]);
                selection.compress(&space[..n], slot.own::<u8>(n));
            }
            (Layout::Natural, 1) => self.compress::<u8>(slot, selection, range),
            (Layout::Natural, 2) if self.in_place => self.compress::<u16>(slot, selection, range),
            (Layout::Natural, 4) if self.in_place => self.compress::<u32>(slot, selection, range),
            (Layout::Natural, 8) if self.in_place => self.compress::<u64>(slot, selection, range),
            (Layout::Natural, 16) if self.in_place => self.compress::<u128>(slot, selection, range),
            _ => {
                let rows = selection.rows().iter().map(|i| range.start + *i as usize);
                self.rows_into(slot, rows);
            }
        }
        slot.nullable = false;
        match self.mask {
            Mask::All => {}
            Mask::Bits { bits, offset } => {
                if !all_set(bits, offset + range.start, n) {
                    unpack_bits(bits, offset + range.start, &mut space[..n]);
                    selection.compress(&space[..n], slot.mask(n));
                }
            }
            Mask::Words(words) => {
                let rows = selection.rows().iter().map(|i| range.start + *i as usize);
                for (out, row) in slot.mask(selection.len()).iter_mut().zip(rows) {
                    *out = words[row * 4] & 1;
                }
            }
        }
    }

    /// Brings the selected values of `range`, which can be read in place, to `slot`.
    fn compress<T: Pod>(&self, slot: &mut Slot, selection: &Selection, range: &Range<usize>) {
        let w = size_of::<T>();
        let values = bytemuck::cast_slice(&self.values[range.start * w..range.end * w]);
        selection.compress::<T>(values, slot.own::<T>(range.len()));
    }

    /// Reads the given rows, which all exist, into `slot`'s own memory.
    fn gather(&self, slot: &mut Slot, rows: impl ExactSizeIterator<Item = usize> + Clone) {
        slot.place = Place::Own;
        slot.grow(self.ty);
        match self.layout {
            Layout::Bits(offset) => {
                for (out, row) in slot.own::<u8>(rows.len()).iter_mut().zip(rows.clone()) {
                    *out = bit(self.values, offset + row);
                }
            }
            _ => self.rows_into(slot, rows.clone()),
        }
        slot.nullable = false;
        match self.mask {
            Mask::All => {}
            Mask::Bits { bits, offset } => {
                for (out, row) in slot.mask(rows.len()).iter_mut().zip(rows) {
                    *out = bit(bits, offset + row);
                }
            }
            Mask::Words(words) => {
                for (out, row) in slot.mask(rows.len()).iter_mut().zip(rows) {
                    *out = words[row * 4] & 1;
                }
            }
        }
    }

    fn rows_into(&self, slot: &mut Slot, rows: impl ExactSizeIterator<Item = usize>) {
        match (self.layout, width(self.ty)) {
            (Layout::Low64, _) => self.strided::<u64, 16>(slot, rows),
            (Layout::Words, 1) => self.strided::<u8, 4>(slot, rows),
            (Layout::Words, _) => self.strided::<u16, 4>(slot, rows),
            (_, 1) => self.strided::<u8, 1>(slot, rows),
            (_, 2) => self.strided::<u16, 2>(slot, rows),
            (_, 4) => self.strided::<u32, 4>(slot, rows),
            (_, 8) => self.strided::<u64, 8>(slot, rows),
            _ => self.strided::<u128, 16>(slot, rows),
        }
    }

    /// Reads values of `T` that begin `STRIDE` bytes apart, at any alignment.
    fn strided<T: Pod, const STRIDE: usize>(
        &self,
        slot: &mut Slot,
        rows: impl ExactSizeIterator<Item = usize>,
    ) {
        let width = size_of::<T>();
        if self.in_place && STRIDE == width {
            let whole = self.values.len() / width * width;
            let values: &[T] = bytemuck::cast_slice(&self.values[..whole]);
            for (out, row) in slot.own::<T>(rows.len()).iter_mut().zip(rows) {
                *out = values[row];
            }
            return;
        }
        for (out, row) in slot.own::<T>(rows.len()).iter_mut().zip(rows) {
            *out = bytemuck::pod_read_unaligned(&self.values[row * STRIDE..row * STRIDE + width]);
        }
    }
}

/// Reads input `input` for the rows of the chunk: all of them, or the selected ones.
pub(super) fn load(
    bound: &Bound<'_>,
    scratch: &Scratch,
    slot: &mut Slot,
    input: usize,
    range: &Range<usize>,
) {
    let column = &bound.inputs[input];
    if scratch.gathered {
        column.select(slot, &scratch.selection, range);
    } else {
        column.load(input, slot, range);
    }
}

/// Row `index` of table `table`, for each row; null and out-of-range indices give null.
pub(super) fn lookup(
    bound: &Bound<'_>,
    scratch: &Scratch,
    slot: &mut Slot,
    table: usize,
    index: ValueId,
) {
    let column = &bound.tables[table];
    let codes: &[u32] = bytemuck::cast_slice(scratch.values(bound, index));
    let valid = scratch.valid(index);
    let n = codes.len();
    let last = column.rows.wrapping_sub(1);
    if column.rows == 0 {
        slot.place = Place::Own;
        slot.grow(column.ty);
        slot.mask(n).fill(0);
        return;
    }
    // The index of a null is undefined, so it is brought into range before the read.
    column.gather(slot, codes.iter().map(|c| (*c as usize).min(last)));
    let outside = codes.iter().any(|c| *c as usize > last);
    if valid.is_none() && !outside {
        return;
    }
    if !slot.nullable {
        slot.mask(n).fill(1);
    }
    for (i, v) in slot.mask(n).iter_mut().enumerate() {
        *v &= u8::from(codes[i] as usize <= last) & valid.map_or(1, |m| m[i]);
    }
}

/// Brings a value computed for the whole chunk to the selected rows.
pub(super) fn compact(bound: &Bound<'_>, scratch: &mut Scratch, id: ValueId, range: &Range<usize>) {
    let value = bound.evaluator.program.value(id);
    let mut slot = std::mem::take(&mut scratch.slots[id.0 as usize]);
    let selection = &scratch.selection;
    match &value.op {
        Op::Const(_) | Op::Null => {}
        Op::Input(i) => bound.inputs[*i as usize].select(&mut slot, selection, range),
        _ => {
            match width(value.ty) {
                1 => selection.compress_in_place(slot.own::<u8>(scratch.rows)),
                2 => selection.compress_in_place(slot.own::<u16>(scratch.rows)),
                4 => selection.compress_in_place(slot.own::<u32>(scratch.rows)),
                8 => selection.compress_in_place(slot.own::<u64>(scratch.rows)),
                _ => selection.compress_in_place(slot.own::<u128>(scratch.rows)),
            }
            if slot.nullable {
                selection.compress_in_place(slot.mask(scratch.rows));
            }
        }
    }
    scratch.slots[id.0 as usize] = slot;
}

fn bit(bytes: &[u8], i: usize) -> u8 {
    (bytes[i / 8] >> (i % 8)) & 1
}

/// Whether `n` bits from `start` on are all ones.
fn all_set(bytes: &[u8], start: usize, n: usize) -> bool {
    let (mut i, end) = (start, start + n);
    while i < end {
        let in_byte = (8 - i % 8).min(end - i);
        let mask = (((1u32 << in_byte) - 1) << (i % 8)) as u8;
        if bytes[i / 8] & mask != mask {
            return false;
        }
        i += in_byte;
        if i % 8 == 0 {
            let whole = (end - i) / 8;
            if bytes[i / 8..i / 8 + whole].iter().any(|b| *b != 0xff) {
                return false;
            }
            i += whole * 8;
        }
    }
    true
}

/// Spreads bits from `start` on to bytes of 0 or 1.
fn unpack_bits(bytes: &[u8], start: usize, out: &mut [u8]) {
    let mut done = 0;
    while done < out.len() && !(start + done).is_multiple_of(8) {
        out[done] = bit(bytes, start + done);
        done += 1;
    }
    let first = (start + done) / 8;
    let (eights, rest) = out[done..].as_chunks_mut::<8>();
    for (group, byte) in eights.iter_mut().zip(&bytes[first.min(bytes.len())..]) {
        *group = spread(*byte);
    }
    let at = (first + eights.len()) * 8;
    for (k, o) in rest.iter_mut().enumerate() {
        *o = bit(bytes, at + k);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_unpacked_from_any_offset() {
        let bytes: Vec<u8> = (0..40u8).map(|i| i.wrapping_mul(73) ^ 0x5a).collect();
        for start in 0..20 {
            for n in [0, 1, 7, 8, 9, 63, 64, 200] {
                let mut out = vec![9; n];
                unpack_bits(&bytes, start, &mut out);
                let want: Vec<u8> =
                    (start..start + n).map(|i| bytes[i / 8] >> (i % 8) & 1).collect();
                assert_eq!(out, want, "{start} {n}");
            }
        }
    }

    #[test]
    fn one_clear_bit_is_found() {
        for clear in 0..64 {
            let word = !(1u64 << clear);
            let bytes = word.to_le_bytes();
            for start in 0..64 {
                for n in 0..64 - start {
                    let inside = (start..start + n).contains(&clear);
                    assert_eq!(all_set(&bytes, start, n), !inside, "{clear} {start} {n}");
                }
            }
        }
    }
}
