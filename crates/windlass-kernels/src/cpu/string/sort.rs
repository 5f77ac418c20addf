//! The order of texts.

use rayon::prelude::*;
use windlass_device::{Device, DeviceBuffer, Reservation};

use super::{
    read::{HostTexts, Rows, with_rows},
    rows::word_of,
    write::{PIECE, bits, column, validity},
};
use crate::{
    column::DeviceColumn,
    cpu::{
        memory::adopt,
        view::{Bits, aligned_words},
    },
    error::Result,
    string::StringColumn,
    types::PhysType,
};

/// Words of eight bytes that texts are sorted by, one after the other, before those that are
/// still equal are compared byte by byte. A guess: so many bytes tell most texts apart.
const WORDS: usize = 8;

/// The row numbers in the order of the texts: by their first eight bytes and row numbers, then
/// those with equal ones by the next eight bytes, and so on (multikey quicksort over words;
/// Bentley and Sedgewick, "Fast Algorithms for Sorting and Searching Strings", SODA 1997).
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
    let (mut keyed, mut nulls) = (Vec::with_capacity(c.rows), Vec::new());
    if c.nullable() {
        for row in 0..c.rows as u32 {
            match valid.get(row as usize) {
                Some(true) => keyed.push((0, row)),
                _ => nulls.push(row),
            }
        }
    } else {
        keyed.extend((0..c.rows as u32).map(|row| (0, row)));
    }
    let flip = if descending { u64::MAX } else { 0 };
    with_rows!(&texts, rows => sort(&mut keyed, rows, flip, 0));
    let order = keyed.into_iter().map(|(_, row)| row);
    let mut out = Vec::with_capacity(c.rows);
    if nulls_first {
        out.append(&mut nulls);
    }
    out.extend(order);
    out.append(&mut nulls);
    adopt(device, reservation, out)
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
