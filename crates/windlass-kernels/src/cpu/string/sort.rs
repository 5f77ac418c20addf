//! The order of texts.

use rayon::prelude::*;
use windlass_device::{Device, DeviceBuffer, Reservation};

use super::{
    read::{HostTexts, Rows, byte_lengths, with_rows},
    rows::word_of,
    write::{PIECE, bits, column, validity, values},
};
use crate::{
    column::{DeviceBatch, DeviceColumn},
    cpu::{
        self,
        memory::adopt,
        pieces::map,
        view::{Bits, aligned_words, host},
    },
    error::Result,
    sort::{SortKey, keys::Keys},
    string::StringColumn,
    types::PhysType,
};

/// Words of eight bytes that texts are sorted by, one after the other, before those that are
/// still equal are compared byte by byte. A guess: so many bytes tell most texts apart.
const WORDS: usize = 8;

/// Bytes of texts that are sorted by as numbers alone: what a view holds.
const SHORT: usize = 12;

/// The row numbers in the order of the texts: by their first eight bytes, then those with equal
/// ones by the next eight bytes, and so on (multikey quicksort over words; Bentley and Sedgewick,
/// "Fast Algorithms for Sorting and Searching Strings", SODA 1997). The first eight bytes, and
/// short texts whole, are numbers that are sorted by radix.
///
/// # Errors
/// `Invalid` for texts that do not lie in the column's buffers; `OutOfMemory`.
pub(crate) fn sort_indices(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &StringColumn,
    (descending, nulls_first): (bool, bool),
) -> Result<DeviceBuffer> {
    let (texts, valid) = (HostTexts::new(operation, c)?, Bits::of(&c.validity)?);
    let live = |row: usize| valid.get(row).unwrap_or(false);
    let words = |k: usize| {
        with_rows!(&texts, rows => values(c.rows, |row| match live(row) {
            true => word_of(rows.get(row), k),
            false => 0,
        }))
    };
    let lengths = byte_lengths(operation, c)?;
    let short = lengths.iter().fold(0, |longest, len| longest.max(*len)) as usize <= SHORT;
    let first = words(0);
    let mut columns = vec![numbers(PhysType::U64, adopt(device, reservation, first)?, c)];
    if short {
        let next = map(&words(1), |word| (word >> 32) as u32);
        columns.push(numbers(PhysType::U32, adopt(device, reservation, next)?, c));
        // Zeros at the end of a text are as good as none in its words.
        columns.push(numbers(PhysType::U32, adopt(device, reservation, lengths)?, c));
    }
    let key = |column| SortKey { column, descending, nulls_first };
    let keys: Vec<SortKey> = (0..columns.len()).map(key).collect();
    let batch = DeviceBatch { rows: c.rows, columns };
    let keys = Keys::new(operation, device, &batch, &keys)?;
    let order = cpu::sort::sort_indices(device, reservation, &keys)?;
    if short {
        return Ok(order);
    }
    // Rows of equal first words are neighbours now, and nulls at one end.
    let order = aligned_words(&order, c.rows)?;
    let first = &host(&batch.columns[0].values)?.as_chunks::<8>().0[..c.rows];
    let flip = if descending { u64::MAX } else { 0 };
    let mut keyed = map(&order, |row| (u64::from_ne_bytes(first[*row as usize]), *row));
    let nulls = c.rows - valid.ones(None, 0..c.rows);
    let some = match nulls_first {
        true => &mut keyed[nulls..],
        false => &mut keyed[..c.rows - nulls],
    };
    with_rows!(&texts, rows => refine(some, rows, flip, 0));
    adopt(device, reservation, map(&keyed, |(_, row)| *row))
}

/// A key column beside the texts of `c`.
fn numbers(ty: PhysType, values: DeviceBuffer, c: &StringColumn) -> DeviceColumn {
    column(ty, values, c.validity.clone())
}

/// Numbers of the texts in their order, from the order with nulls first.
///
/// # Errors
/// As [`sort_indices`].
pub(crate) fn ranks(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &StringColumn,
    order: &DeviceBuffer,
) -> Result<DeviceColumn> {
    let (texts, valid) = (HostTexts::new(operation, c)?, Bits::of(&c.validity)?);
    let order = aligned_words(order, c.rows)?;
    let live = |row: u32| valid.get(row as usize).unwrap_or(false);
    let text = |row: u32| live(row).then(|| texts.get(row as usize));
    let differs = bits(c.rows, |i| i > 0 && text(order[i]) != text(order[i - 1]));
    let (mut ranks, mut rank) = (vec![0u32; c.rows], 0);
    for (i, row) in order.iter().enumerate() {
        rank += (u64::from_le(differs[i / 64]) >> (i % 64) & 1) as u32;
        ranks[*row as usize] = rank;
    }
    let validity = validity(device, reservation, &c.validity, c.rows)?;
    Ok(column(PhysType::U32, adopt(device, reservation, ranks)?, validity))
}

/// Sorts rows whose texts are equal up to the `k`-th eight bytes, and with a `flip` of all bits
/// from the last to the first. The numbers beside the rows are written here.
fn sort(keyed: &mut [(u64, u32)], rows: &impl Rows, flip: u64, k: usize) {
    let from = k * 8;
    if k == WORDS {
        let rest = |row: u32| rows.get(row as usize).get(from..).unwrap_or_default();
        let order = |a: &(u64, u32), b: &(u64, u32)| {
            let order = match flip {
                0 => rest(a.1).cmp(rest(b.1)),
                _ => rest(b.1).cmp(rest(a.1)),
            };
            // Lengths tell texts apart that end before, of which the rest is empty.
            let len = |row: u32| rows.get(row as usize).len() as u64 ^ flip;
            order.then_with(|| len(a.1).cmp(&len(b.1))).then(a.1.cmp(&b.1))
        };
        return keyed.sort_unstable_by(order);
    }
    by_keys(keyed, |row| word_of(rows.get(row), k) ^ flip);
    refine(keyed, rows, flip, k);
}

/// Sorts rows that are in the order of their `k`-th eight bytes, which stand beside them, and
/// equal before these: those of which they are equal too.
fn refine(keyed: &mut [(u64, u32)], rows: &impl Rows, flip: u64, k: usize) {
    let from = k * 8;
    let equal = |run: &mut [(u64, u32)]| {
        let longest = run.iter().map(|(_, row)| rows.get(*row as usize).len()).max();
        if longest.is_some_and(|len| len > from + 8) {
            sort(run, rows, flip, k + 1);
        } else {
            // Zeros at the end of a text are as good as none in its words.
            by_keys(run, |row| rows.get(row).len() as u64 ^ flip);
        }
    };
    let small = keyed.len() <= PIECE;
    let runs = keyed.chunk_by_mut(|a, b| a.0 == b.0).filter(|run| run.len() > 1);
    if small {
        runs.for_each(equal);
    } else {
        runs.collect::<Vec<_>>().into_par_iter().for_each(equal);
    }
}

/// Sorts by a number of each row, and by the rows where it is equal.
fn by_keys(keyed: &mut [(u64, u32)], key: impl Fn(usize) -> u64 + Sync) {
    if keyed.len() <= PIECE {
        keyed.iter_mut().for_each(|(word, row)| *word = key(*row as usize));
        keyed.sort_unstable();
    } else {
        keyed.par_iter_mut().for_each(|(word, row)| *word = key(*row as usize));
        keyed.par_sort_unstable();
    }
}
