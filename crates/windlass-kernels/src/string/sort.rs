//! The order of texts, by radix sort of their words.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::{
    StringColumn,
    bound::{Bound, Lengths, wide, words_validity},
    invalid,
    sources::KernelId,
};
use crate::{
    column::{DeviceBatch, DeviceColumn, Validity, check_words},
    cpu,
    error::Result,
    gather,
    launcher::Launcher,
    reduce,
    scan::{self, ScanOp},
    sort::{self, SortKey},
    types::PhysType,
};

/// Words that are sorted by at a time: 32 bytes of keys a row beside the texts. A stated guess.
const GROUP: usize = 4;

/// The `k`-th eight bytes of each row's text, from 0 on, as a big-endian `u64`: zeros past the
/// end, 0 and null where the text is null. With `order`, a permutation of row numbers, row `i`
/// of the result is of row `order[i]`.
///
/// Texts are in the order of their words, the first deciding first, and where all are equal in
/// the order of their [`byte_length`](super::byte_length), which tells a shorter text from one
/// that goes on with zeros: a sort by these keys, or stable sorts from the last one to the first,
/// sorts by text.
///
/// # Errors
/// `Invalid` when the column or `order` is too short or on another device, when `k` is past the
/// words that a text may have, and, on `cpu`, for a row number that is not there; the device's
/// errors.
pub fn sort_word(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    k: usize,
    order: Option<&DeviceBuffer>,
) -> Result<DeviceColumn> {
    const OPERATION: &str = "sort word of texts";
    column.check(OPERATION, device)?;
    if k >= 1 << 29 {
        return invalid(OPERATION, "a word below 2^29, the most of a text", k.to_string());
    }
    if let Some(order) = order {
        check_words(OPERATION, device, "row numbers", order, column.rows)?;
    }
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::string::sort_word(OPERATION, device, reservation, column, k, order);
    };
    let bound = Bound::new(&mut l, column)?;
    word(&mut l, &bound, column.rows, k, order)
}

fn word(
    l: &mut Launcher<'_>,
    bound: &Bound,
    rows: usize,
    k: usize,
    order: Option<&DeviceBuffer>,
) -> Result<DeviceColumn> {
    let out = l.alloc_words(rows, 2)?;
    let nullable = bound.valid.is_some();
    let valid = l.alloc_words(if nullable { rows } else { 1 }, 1)?;
    let mut params = vec![rows as u32];
    params.extend(bound.params());
    params.extend([u32::from(order.is_some()), k as u32 * 8]);
    let rows_read = order.unwrap_or(&bound.heads);
    let buffers = [&bound.heads, &bound.bytes, bound.valid(), rows_read, &out, &valid];
    KernelId::SortWord.each(l, rows, &buffers, &params)?;
    Ok(wide(PhysType::U64, out, words_validity(nullable.then_some(valid))))
}

/// The row numbers of a column in the order of its texts' bytes (for UTF-8 that of characters),
/// a `u32` word each. Stable. Nulls come first or last, whatever the direction.
///
/// Stable radix sorts by the texts' words on a GPU, from the last words of the longest text to
/// the first, four words at a time; a comparison sort of first words and texts on `cpu`.
///
/// # Errors
/// `Invalid` when the column is too short or on another device; the device's errors.
pub fn sort_indices(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    descending: bool,
    nulls_first: bool,
) -> Result<DeviceBuffer> {
    const OPERATION: &str = "sort of texts";
    column.check(OPERATION, device)?;
    let rows = column.rows;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        let how = (descending, nulls_first);
        return cpu::string::sort_indices(OPERATION, device, reservation, column, how);
    };
    let bound = Bound::new(&mut l, column)?;
    let lengths = l.alloc_words(rows, 1)?;
    Lengths { clears: true, ..Lengths::default() }.write(&mut l, &bound, rows, &lengths)?;
    let lengths = wide(PhysType::U32, lengths, words_validity(bound.valid.clone()));
    let longest = reduce::max(device, queue, reservation, &lengths, rows, None)?;
    let longest = longest.map_or(0, |e| e.value.bits() as usize);
    let words = longest.div_ceil(8);
    let mut order: Option<DeviceBuffer> = None;
    for group in (0..words.div_ceil(GROUP).max(1)).rev() {
        let mut columns = Vec::with_capacity(GROUP + 1);
        for k in group * GROUP..words.min((group + 1) * GROUP) {
            let Some(mut l) = Launcher::new(device, queue, reservation) else { break };
            columns.push(word(&mut l, &bound, rows, k, order.as_ref())?);
        }
        if order.is_none() {
            columns.push(lengths.clone());
        }
        let key = |column| SortKey { column, descending, nulls_first };
        let keys: Vec<SortKey> = (0..columns.len()).map(key).collect();
        let batch = DeviceBatch { rows, columns };
        let sorted = sort::sort_indices(device, queue, reservation, &batch, &keys)?;
        order = Some(match order {
            None => sorted,
            Some(before) => {
                let before = wide(PhysType::U32, before, Validity::All);
                let batch = DeviceBatch { rows, columns: vec![before] };
                let mut moved =
                    gather::gather(device, queue, reservation, &batch, &sorted, rows, false)?;
                moved.columns.pop().map_or(sorted, |c| c.values)
            }
        });
    }
    match order {
        Some(order) => Ok(order),
        None => invalid(OPERATION, "a sort", "none"),
    }
}

/// A number for each row as `u32`, equal for equal texts and greater for texts that come later
/// in the order of their bytes: 0 for the first one and one more for each that differs. Null
/// where the text is null, and then the first text has 1. With these numbers texts are keys of
/// [`crate::sort`], of groups and of windows beside columns of other types.
///
/// # Errors
/// As [`sort_indices`].
pub fn ranks(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
) -> Result<DeviceColumn> {
    const OPERATION: &str = "ranks of texts";
    column.check(OPERATION, device)?;
    let rows = column.rows;
    let order = sort_indices(device, queue, reservation, column, false, true)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::string::ranks(OPERATION, device, reservation, column, &order);
    };
    let bound = Bound::new(&mut l, column)?;
    let differs = l.alloc_words(rows, 1)?;
    let mut params = vec![rows as u32];
    params.extend(bound.params());
    let buffers = [&bound.heads, &bound.bytes, bound.valid(), &order, &differs];
    KernelId::Boundary.each(&mut l, rows, &buffers, &params)?;
    let differs = wide(PhysType::U32, differs, Validity::All);
    let ranks = scan::inclusive(device, queue, reservation, &differs, rows, ScanOp::Sum)?;
    let batch = DeviceBatch { rows, columns: vec![ranks] };
    let mut placed = gather::scatter(device, queue, reservation, &batch, &order, rows, true)?;
    match placed.columns.pop() {
        Some(ranks) => Ok(wide(PhysType::U32, ranks.values, words_validity(bound.valid))),
        None => invalid(OPERATION, "a column of ranks", "none"),
    }
}
