//! Columns that are being written, in Arrow's layout.

use arrow::buffer::MutableBuffer;
use bytemuck::{Pod, cast_slice};
use windlass_device::{Device, Reservation};

use super::{
    Chunk, Values,
    bits::BitBuilder,
    column::{BitsFrom, InPlace, RawValues},
    compress::SPARE,
    run::finish,
    scratch::width,
    select::Selection,
};
use crate::{
    column::{DeviceColumn, Storage, Validity},
    error::Result,
    types::PhysType,
};

/// An output column being written.
pub(super) struct Output {
    ty: PhysType,
    values: MutableBuffer,
    bools: BitBuilder,
    /// Made when the first null may come.
    valid: Option<BitBuilder>,
    rows: usize,
    /// Rows that there is room for.
    expected: usize,
}

impl Output {
    pub(super) fn new(ty: PhysType) -> Self {
        let (values, bools) = (MutableBuffer::new(0), BitBuilder::default());
        Self { ty, values, bools, valid: None, rows: 0, expected: 0 }
    }

    /// Most bytes that `rows` rows take.
    pub(super) fn bytes(&self, rows: usize) -> usize {
        let bits = rows.div_ceil(8);
        bits + self.ty.packed_bytes().map_or(bits, |w| rows * w)
    }

    /// Makes room for so many rows more.
    pub(super) fn expect(&mut self, rows: usize) {
        self.expected = self.rows + rows;
        match self.ty {
            PhysType::Bool => self.bools.reserve(rows),
            ty => self.values.reserve(rows * width(ty)),
        }
    }

    /// The validity, made where there is none yet: all rows so far are not null.
    fn validity(&mut self, more: usize) -> &mut BitBuilder {
        let (rows, expected) = (self.rows, self.expected);
        self.valid.get_or_insert_with(|| {
            let mut out = BitBuilder::default();
            out.reserve(expected.max(rows + more));
            out.append_ones(rows);
            out
        })
    }

    /// Appends wanted value `i` of a chunk.
    pub(super) fn append(&mut self, chunk: &Chunk<'_, '_>, i: usize) {
        let n = chunk.rows();
        match chunk.values(i) {
            Values::Bool(v) => self.bools.append(v),
            v => self.values.extend_from_slice(v.bytes()),
        }
        match (chunk.valid(i), &mut self.valid) {
            (None, None) => {}
            (None, Some(out)) => out.append_ones(n),
            (Some(mask), _) => self.validity(n).append(mask),
        }
        self.rows += n;
    }

    /// Appends those of the next `n` rows that are selected, or with no selection all, of a
    /// column whose rows can be taken where they lie: nothing is written twice.
    pub(super) fn append_in_place(
        &mut self,
        rows: &InPlace<'_>,
        selection: Option<&Selection>,
        n: usize,
    ) {
        let count = selection.map_or(n, Selection::len);
        if count == 0 {
            return;
        }
        match (rows.values, selection) {
            (RawValues::Bits(bits), _) => append_bits(&mut self.bools, bits, selection, n),
            (RawValues::Bytes(bytes), None) => self.values.extend_from_slice(bytes),
            (RawValues::Bytes(bytes), Some(selection)) => match width(self.ty) {
                1 => self.compress::<u8>(bytes, selection),
                2 => self.compress::<u16>(bytes, selection),
                4 => self.compress::<u32>(bytes, selection),
                8 => self.compress::<u64>(bytes, selection),
                _ => self.compress::<u128>(bytes, selection),
            },
        }
        match (rows.valid, &mut self.valid) {
            (None, None) => {}
            (None, Some(out)) => out.append_ones(count),
            (Some(bits), _) => append_bits(self.validity(count), bits, selection, n),
        }
        self.rows += count;
    }

    fn compress<T: Pod>(&mut self, bytes: &[u8], selection: &Selection) {
        let from: &[T] = cast_slice(bytes);
        self.values.reserve((selection.len() + SPARE) * size_of::<T>());
        let at = self.values.len();
        // SAFETY: there is room for the selected values and the spare ones behind those written,
        // which are of `T` too: the place is aligned, as the buffer is for every type of Arrow.
        // As many values are written as the selection has rows.
        unsafe {
            let to = self.values.as_mut_ptr().add(at).cast::<T>();
            selection.compress_to(from, to);
            self.values.set_len(at + selection.len() * size_of::<T>());
        }
    }

    /// The column of all rows that were appended.
    pub(super) fn finish(
        self,
        device: &dyn Device,
        reservation: &mut Reservation,
        rows: usize,
    ) -> Result<DeviceColumn> {
        debug_assert_eq!(rows, self.rows, "every chunk was appended");
        let values = match self.ty {
            PhysType::Bool => self.bools.finish(),
            _ => self.values.into(),
        };
        let values = finish(device, reservation, values)?;
        let validity = match self.valid {
            None => Validity::All,
            Some(valid) => {
                let bits = finish(device, reservation, valid.finish())?;
                Validity::Bits { bits, bit_offset: 0 }
            }
        };
        Ok(DeviceColumn { ty: self.ty, storage: Storage::Packed, values, bit_offset: 0, validity })
    }
}

/// Appends the bits of the selected rows, or of all `n`.
fn append_bits(out: &mut BitBuilder, bits: BitsFrom<'_>, selection: Option<&Selection>, n: usize) {
    match selection {
        Some(selection) => selection.compress_bits(|row| bits.word(row), out),
        None => {
            for row in (0..n).step_by(64) {
                let left = (n - row).min(64);
                out.push(bits.word(row) & u64::MAX >> (64 - left), left);
            }
        }
    }
}
