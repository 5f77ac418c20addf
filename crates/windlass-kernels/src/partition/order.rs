//! Sort keys as words whose unsigned order is the sort order, the same for a batch and its
//! splitters (`kernels/partition/order_key.cu`).

use windlass_device::DeviceBuffer;

use super::sources::KernelId;
use crate::{
    column::DeviceBatch, error::Result, hash::layout::ColumnLayout, launcher::Launcher,
    sort::SortKey, types::PhysType,
};

/// How a type's values are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    Unsigned = 0,
    Signed = 1,
    Float = 2,
}

/// One key of an ordered key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrderKey {
    pub(crate) ty: PhysType,
    pub(crate) number: Number,
    pub(crate) descending: bool,
    /// The rank of a null beside a value's 1, where the key may be null on either side.
    pub(crate) null_rank: Option<u32>,
    /// First 32-bit word.
    offset: u32,
}

/// The keys, in order.
#[derive(Debug, Clone)]
pub(crate) struct OrderLayout {
    pub(crate) keys: Vec<OrderKey>,
    words: u32,
}

impl OrderLayout {
    /// For a batch and its splitters, whose columns are the keys in order; both were checked.
    pub(crate) fn new(batch: &DeviceBatch, keys: &[SortKey], splitters: &DeviceBatch) -> Self {
        let mut words = 0;
        let keys = keys.iter().zip(&splitters.columns).map(|(key, splitter)| {
            let column = &batch.columns[key.column];
            let nullable = column.nullable() || splitter.nullable();
            let number = match column.ty {
                t if t.is_float() => Number::Float,
                t if t.is_signed() => Number::Signed,
                _ => Number::Unsigned,
            };
            let null_rank = nullable.then_some(if key.nulls_first { 0 } else { 2 });
            let offset = words;
            words += column.ty.words() as u32 + u32::from(nullable);
            OrderKey { ty: column.ty, number, descending: key.descending, null_rank, offset }
        });
        let keys = keys.collect();
        Self { keys, words }
    }

    /// 32-bit words of an ordered key on a GPU.
    pub(super) fn words(&self) -> u32 {
        self.words
    }

    /// Writes the ordered keys of a batch's rows.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn pack(
        &self,
        gpu: &mut Launcher<'_>,
        batch: &DeviceBatch,
        columns: &[usize],
    ) -> Result<DeviceBuffer> {
        let rows = batch.rows;
        let out = gpu.alloc_words(rows, self.words as usize)?;
        for (key, index) in self.keys.iter().zip(columns) {
            let column = &batch.columns[*index];
            let layout = ColumnLayout::raw(column);
            let params = layout.after([
                rows as u32,
                self.words,
                key.offset,
                u32::from(key.null_rank.is_some()),
                key.null_rank.unwrap_or(0),
                u32::from(key.descending),
                key.number as u32,
            ]);
            let buffers = [&column.values, layout.valid(column), &out];
            KernelId::OrderKey.each(gpu, rows, &buffers, &params)?;
        }
        Ok(out)
    }
}
