//! Merges of sorted runs, and the bounds of equal rows, on a GPU.

use windlass_device::DeviceBuffer;

use super::{
    gpu::{Place, Sorter, column_params, validity},
    sources::{BOUNDARY, MERGE_RUNS},
};
use crate::error::Result;

/// Outputs that a thread of [`MERGE_RUNS`] merges, as its text states.
const MERGE_ITEMS: usize = 8;

impl Sorter<'_, '_> {
    /// The order of the rows of runs that are sorted.
    pub(super) fn merge(mut self, runs: &[usize]) -> Result<DeviceBuffer> {
        let n = self.keys.rows;
        let mut bounds = vec![0u32];
        for run in runs.iter().filter(|r| **r > 0) {
            bounds.push(bounds[bounds.len() - 1] + *run as u32);
        }
        let mut rows = self.row_numbers()?;
        if bounds.len() <= 2 {
            return Ok(rows);
        }
        let layout = self.layout()?;
        let words = layout.words();
        if words == 0 {
            return Ok(rows);
        }
        let rounds = (bounds.len() - 1).next_power_of_two().trailing_zeros() as usize;
        let too_large = n * words * 4 > self.gpu.device.info().limits.max_buffer_bytes;
        if too_large || rounds > self.passes(&layout) {
            return self.sort_rows(&layout, rows, n);
        }
        let keys = self.gpu.alloc_words(n, words)?;
        for t in 0..words {
            let place = Place { out: &keys, stride: words, at: t };
            self.pack(&layout, t, None, n, place)?;
        }
        let mut spare = self.gpu.alloc_words(n, 1)?;
        while bounds.len() > 2 {
            let count = (bounds.len() - 1) as u32;
            let on_device = self.gpu.upload_words(&bounds)?;
            let params = [n as u32, count, words as u32];
            let buffers = [&keys, &rows, &on_device, &spare];
            self.gpu.launch_each(&MERGE_RUNS, &[], n.div_ceil(MERGE_ITEMS), &buffers, &params)?;
            std::mem::swap(&mut rows, &mut spare);
            // Every other bound remains, and the end.
            let end = bounds[bounds.len() - 1];
            bounds = bounds[..bounds.len() - 1].iter().copied().step_by(2).collect();
            bounds.push(end);
        }
        Ok(rows)
    }

    /// 1 for each row that differs from the one before.
    pub(super) fn boundaries(mut self) -> Result<DeviceBuffer> {
        let keys = self.keys.keys.len();
        differences(&mut self, keys, None)
    }
}

/// A word for each item: 1 where it differs in one of the first `keys` keys from the item
/// before. Items are the rows of `order`, or all in their own.
pub(super) fn differences(
    sorter: &mut Sorter<'_, '_>,
    keys: usize,
    order: Option<&DeviceBuffer>,
) -> Result<DeviceBuffer> {
    let n = sorter.keys.rows;
    let flags = sorter.gpu.alloc_words(n, 1)?;
    if keys == 0 && n > 0 {
        sorter.gpu.queue.fill(&flags, 0)?;
        sorter.gpu.queue.upload(&flags, 0, &1u32.to_ne_bytes())?;
    }
    for (i, key) in sorter.keys.keys[..keys].iter().enumerate() {
        let mut params = vec![n as u32, u32::from(order.is_some()), u32::from(i == 0)];
        params.extend(column_params(key));
        let values = &key.column.values;
        let buffers = [values, validity(key), order.unwrap_or(values), &flags];
        sorter.gpu.launch_each(&BOUNDARY, &[], n, &buffers, &params)?;
    }
    Ok(flags)
}
