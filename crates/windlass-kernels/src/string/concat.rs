//! Texts of several columns put together, row by row.

use windlass_device::{Device, Queue, Reservation};

use super::{
    StringColumn, Texts,
    bound::{Bound, Lengths, offsets_of, rows_of_both},
    gather::to_offsets,
    invalid,
    sources::KernelId,
};
use crate::{column::Validity, cpu, error::Result, launcher::Launcher};

/// What a null does to a concatenation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConcatNulls {
    /// The row is null, as with SQL's `||`.
    Propagate,
    /// It is left out, as with SQL's `concat`; no row is null.
    Skip,
}

/// The texts of the columns' rows, one behind the other. A column of one row (see
/// [`StringColumn::constant`]) stands for every row. Waits for the number of bytes.
///
/// On a GPU columns are put together in pairs, the pairs in pairs, and so on.
///
/// # Errors
/// `Invalid` without a column, for columns that differ in rows and have more than one, for one
/// that is too short or on another device, and for a result of 4 GiB or more; the device's
/// errors.
pub fn concat(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    columns: &[&StringColumn],
    nulls: ConcatNulls,
) -> Result<StringColumn> {
    const OPERATION: &str = "concatenation of texts";
    let Some(first) = columns.first() else {
        return invalid(OPERATION, "at least one column", "none");
    };
    let mut widest = *first;
    for c in columns {
        c.check(OPERATION, device)?;
        rows_of_both(OPERATION, widest, c)?;
        widest = if widest.rows == 1 { c } else { widest };
    }
    let rows = widest.rows;
    if Launcher::new(device, queue, reservation).is_none() {
        return cpu::string::concat(OPERATION, device, reservation, columns, rows, nulls);
    }
    if let [one] = columns {
        let mut out = to_offsets(device, queue, reservation, one)?;
        if nulls == ConcatNulls::Skip {
            // The kernel gives nulls no bytes.
            out.validity = Validity::All;
        }
        return Ok(out);
    }
    let mut level: Vec<StringColumn> = columns.iter().map(|c| (*c).clone()).collect();
    while level.len() > 1 {
        let mut next = Vec::with_capacity(level.len().div_ceil(2));
        for pair in level.chunks(2) {
            next.push(match pair {
                [a, b] => {
                    let Some(mut l) = Launcher::new(device, queue, reservation) else { break };
                    pair_of(&mut l, OPERATION, a, b, nulls)?
                }
                rest => rest[0].clone(),
            });
        }
        level = next;
    }
    match level.pop() {
        Some(out) => Ok(out),
        None => invalid(OPERATION, "at least one column", "none"),
    }
}

fn pair_of(
    l: &mut Launcher<'_>,
    operation: &'static str,
    left: &StringColumn,
    right: &StringColumn,
    nulls: ConcatNulls,
) -> Result<StringColumn> {
    let n = rows_of_both(operation, left, right)?;
    let (a, b) = (Bound::beside(l, left)?, Bound::beside(l, right)?);
    let nullable = nulls == ConcatNulls::Propagate && (left.nullable() || right.nullable());
    let valid = if nullable { Some(l.alloc_words(n, 1)?) } else { None };
    let offsets = l.alloc_words(n + 1, 1)?;
    let how = Lengths { clears: nullable, out_valid: valid.as_ref(), ..Lengths::default() };
    how.write(l, &a, n, &offsets)?;
    Lengths { add: true, ..how }.write(l, &b, n, &offsets)?;
    let total = offsets_of(l, operation, &offsets, n)?;
    let bytes = l.alloc_words((total as usize).div_ceil(4), 1)?;
    if total > 0 {
        let mut params = vec![n as u32, total];
        params.extend(a.params());
        params.extend(b.params());
        let buffers = [&a.heads, &a.bytes, a.valid(), &b.heads, &b.bytes, &offsets, &bytes];
        KernelId::ConcatBytes.each(l, (total as usize).div_ceil(16), &buffers, &params)?;
    }
    let validity = valid.map_or(Validity::All, Validity::Words);
    Ok(StringColumn { rows: n, texts: Texts::Offsets { offsets, bytes }, validity })
}
