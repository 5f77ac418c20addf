//! What the operations share on a GPU: which bits vary, packed words, and the radix sort.

use windlass_device::{DeviceBuffer, Language};

use super::{
    keys::{KEY_WORDS, Key, Keys, Layout, NULL_WORD, Varying},
    sources::{DIGIT_COUNTS, DIGIT_SCATTER, PACK_WORD, ROW_NUMBERS, VARY},
};
use crate::{
    column::{Storage, Validity},
    error::Result,
    launcher::Launcher,
    scan,
};

/// Words of a key column in a kernel's parameters.
pub(super) const COLUMN_PARAMS: usize = 8;

/// Key columns on a GPU.
pub(super) struct Sorter<'a, 'b> {
    pub(super) gpu: Launcher<'a>,
    pub(super) keys: Keys<'b>,
}

/// Sizes of the digit kernels, which their texts state too.
struct Digits {
    bits: u32,
    tile: usize,
}

/// Where packed words go: those of item `i` to `i * stride + at`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'c> {
    pub(super) out: &'c DeviceBuffer,
    pub(super) stride: usize,
    pub(super) at: usize,
}

impl<'c> Place<'c> {
    /// One word for each item.
    pub(super) fn alone(out: &'c DeviceBuffer) -> Self {
        Self { out, stride: 1, at: 0 }
    }
}

impl<'a, 'b> Sorter<'a, 'b> {
    pub(super) fn new(gpu: Launcher<'a>, keys: Keys<'b>) -> Self {
        Self { gpu, keys }
    }

    /// All rows in the order of all keys.
    pub(super) fn sort(mut self) -> Result<DeviceBuffer> {
        let layout = self.layout()?;
        let rows = self.row_numbers()?;
        self.sort_rows(&layout, rows, self.keys.rows)
    }

    /// 0, 1, … for each row.
    pub(super) fn row_numbers(&mut self) -> Result<DeviceBuffer> {
        let rows = self.keys.rows;
        let out = self.gpu.alloc_words(rows, 1)?;
        self.gpu.launch_each(&ROW_NUMBERS, &[], rows, &[&out], &[rows as u32])?;
        Ok(out)
    }

    /// The layout of the bits that vary; waits for the device.
    pub(super) fn layout(&mut self) -> Result<Layout> {
        let count = self.keys.keys.len();
        if self.keys.rows == 0 || count == 0 {
            return Ok(Layout::new(&[]));
        }
        let masks = self.gpu.alloc_words(count, 2 * KEY_WORDS)?;
        self.gpu.queue.fill(&masks, 0)?;
        let rows = self.keys.rows;
        for (i, key) in self.keys.keys.iter().enumerate() {
            let mut params = vec![rows as u32, (i * 2 * KEY_WORDS) as u32];
            params.extend(column_params(key));
            let buffers = [&key.column.values, validity(key), &masks];
            self.gpu.launch_each(&VARY, &[], rows, &buffers, &params)?;
        }
        let words = self.gpu.read_words(&masks, 0, count * 2 * KEY_WORDS)?;
        let varying = words.chunks_exact(2 * KEY_WORDS).map(|key| {
            let word = |w: usize| key[2 * w] & key[2 * w + 1];
            let value = (0..NULL_WORD as usize).map(|w| u128::from(word(w)) << (32 * w));
            Varying { value: value.sum(), null: word(NULL_WORD as usize) != 0 }
        });
        Ok(Layout::new(&varying.collect::<Vec<_>>()))
    }

    /// Word `t` of the packed keys of `n` rows: those of `order`, or else the first.
    pub(super) fn pack(
        &mut self,
        layout: &Layout,
        t: usize,
        order: Option<&DeviceBuffer>,
        n: usize,
        place: Place<'_>,
    ) -> Result<()> {
        for (i, part) in layout.parts(t).into_iter().enumerate() {
            let key = &self.keys.keys[part.key];
            let mut params = vec![
                n as u32,
                u32::from(order.is_some()),
                part.word,
                part.shift,
                u32::MAX >> (32 - part.bits),
                part.place,
                u32::from(i == 0),
                place.stride as u32,
                place.at as u32,
            ];
            params.extend(column_params(key));
            let values = &key.column.values;
            let buffers = [values, validity(key), order.unwrap_or(values), place.out];
            self.gpu.launch_each(&PACK_WORD, &[], n, &buffers, &params)?;
        }
        Ok(())
    }

    fn digits(&self) -> Digits {
        match self.gpu.language() {
            Language::Cuda => Digits { bits: 8, tile: 4096 },
            Language::Wgsl => Digits { bits: 4, tile: 2048 },
        }
    }

    /// How often [`Sorter::sort_rows`] moves each row.
    pub(super) fn passes(&self, layout: &Layout) -> usize {
        (0..layout.words()).map(|t| layout.digits(t, self.digits().bits).len()).sum()
    }

    /// The `n` rows of `order` by their packed keys; rows with equal keys stay in the order
    /// that they are given in.
    pub(super) fn sort_rows(
        &mut self,
        layout: &Layout,
        mut order: DeviceBuffer,
        n: usize,
    ) -> Result<DeviceBuffer> {
        if n < 2 || layout.varying.iter().all(|w| *w == 0) {
            return Ok(order);
        }
        let digits = self.digits();
        let tiles = n.div_ceil(digits.tile) as u32;
        let counters = tiles << digits.bits;
        let mut spare = self.gpu.alloc_words(n, 1)?;
        let mut keys = self.gpu.alloc_words(n, 1)?;
        let mut spare_keys = self.gpu.alloc_words(n, 1)?;
        let counts = self.gpu.alloc_words(counters as usize, 1)?;
        for t in 0..layout.words() {
            let shifts = layout.digits(t, digits.bits);
            if shifts.is_empty() {
                continue;
            }
            self.pack(layout, t, Some(&order), n, Place::alone(&keys))?;
            for shift in shifts {
                let params = [n as u32, tiles, shift];
                self.gpu.launch(&DIGIT_COUNTS, &[], tiles, &[&keys, &counts], &params)?;
                self.scan(&counts, counters, None)?;
                let buffers = [&keys, &order, &counts, &spare_keys, &spare];
                self.gpu.launch(&DIGIT_SCATTER, &[], tiles, &buffers, &params)?;
                std::mem::swap(&mut keys, &mut spare_keys);
                std::mem::swap(&mut order, &mut spare);
            }
        }
        Ok(order)
    }

    /// An exclusive scan of the first `n` words, their sum to word `total`.
    pub(super) fn scan(&mut self, data: &DeviceBuffer, n: u32, total: Option<u32>) -> Result<()> {
        let Self { gpu, .. } = self;
        scan::exclusive_scan(gpu.device, &mut *gpu.queue, &mut *gpu.reservation, data, 0, n, total)
    }
}

/// The buffer of a key's validity, or one that stands for it where it is not read.
pub(super) fn validity<'c>(key: &Key<'c>) -> &'c DeviceBuffer {
    match &key.column.validity {
        Validity::All => &key.column.values,
        Validity::Bits { bits, .. } => bits,
        Validity::Words(words) => words,
    }
}

/// The column's words in a kernel's parameters, see `key.cuh`.
pub(super) fn column_params(key: &Key<'_>) -> [u32; COLUMN_PARAMS] {
    let c = key.column;
    let bytes = match c.storage {
        Storage::Packed => c.ty.packed_bytes().unwrap_or(0),
        Storage::Wide => c.ty.wide_bytes(),
    };
    let first_bit = if bytes == 0 { c.bit_offset } else { 0 };
    let (nulls, null_bit) = match &c.validity {
        Validity::All => (0, 0),
        Validity::Bits { bit_offset, .. } => (1, *bit_offset),
        Validity::Words(_) => (2, 0),
    };
    [
        bytes as u32,
        first_bit,
        key.bits(),
        key.kind() as u32,
        u32::from(key.sort.descending),
        nulls,
        null_bit,
        u32::from(key.sort.nulls_first),
    ]
}
