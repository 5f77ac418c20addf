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

/// The row numbers in the order of the texts: by their first eight bytes, which decide most
/// comparisons, then by all of them. Stable, as the rows are sorted from their own order; a
/// comparison of row numbers for equal texts would cost what those save that are all equal.
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
    for row in 0..c.rows {
        match valid.get(row) {
            Some(true) => keyed.push((word_of(texts.get(row), 0), row as u32)),
            _ => nulls.push(row as u32),
        }
    }
    with_rows!(&texts, rows => sort(&mut keyed, rows, descending));
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

fn sort(keyed: &mut [(u64, u32)], rows: &impl Rows, descending: bool) {
    let compare = |a: &(u64, u32), b: &(u64, u32)| {
        let texts = || rows.get(a.1 as usize).cmp(rows.get(b.1 as usize));
        let order = a.0.cmp(&b.0).then_with(texts);
        if descending { order.reverse() } else { order }
    };
    if keyed.len() <= PIECE {
        keyed.sort_by(compare);
    } else {
        keyed.par_sort_by(compare);
    }
}
