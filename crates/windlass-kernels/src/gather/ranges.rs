//! Rows by range: one batch after the other, a part of one, and one layout for all.

use windlass_device::{Device, Queue, Reservation};

use super::{
    rows::{Target, Which, is_words, move_rows, move_validity},
    wide,
};
use crate::{
    column::{DeviceBatch, DeviceColumn, Validity, check_rows},
    cpu,
    error::{KernelError, Result},
    launcher::Launcher,
};

/// The rows of all batches, one batch after the other. One batch passes as it is.
///
/// # Errors
/// `Invalid` when there is no batch (its types would not be known), their columns differ in
/// number or type, or a column is too short or on another device; the device's errors.
pub fn concat(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batches: &[DeviceBatch],
) -> Result<DeviceBatch> {
    const OPERATION: &str = "concat";
    let types = |b: &DeviceBatch| b.columns.iter().map(|c| c.ty).collect::<Vec<_>>();
    let invalid = |expected, got| Err(KernelError::Invalid { operation: OPERATION, expected, got });
    let Some(first) = batches.first() else {
        return invalid("at least one batch".into(), "none".into());
    };
    for b in batches {
        b.check(OPERATION, device)?;
        if types(b) != types(first) {
            return invalid(format!("columns {:?}", types(first)), format!("{:?}", types(b)));
        }
    }
    let rows: usize = batches.iter().map(|b| b.rows).sum();
    check_rows(OPERATION, rows)?;
    if let [one] = batches {
        return Ok(one.clone());
    }
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::gather::concat(device, reservation, batches);
    };
    let mut columns = Vec::with_capacity(first.columns.len());
    for (at, c) in first.columns.iter().enumerate() {
        let parts: Vec<_> = batches.iter().map(|b| (&b.columns[at], b.rows)).collect();
        let (words, nullable) = (c.ty.words(), parts.iter().any(|(c, _)| c.nullable()));
        let values = l.alloc_words(rows, words)?;
        let valid = if nullable { Some(l.alloc_words(rows, 1)?) } else { None };
        let mut at = 0;
        for (c, n) in parts.into_iter().filter(|(_, n)| *n > 0) {
            if is_words(c) {
                l.queue.copy(&c.values, 0, &values, at * words * 4, n * words * 4)?;
                if let Some(valid) = &valid {
                    move_validity(&mut l, &c.validity, n, valid, at)?;
                }
            } else {
                let target = Target { values: &values, valid: valid.as_ref(), at };
                move_rows(&mut l, c, n, Which::From(0), n, target)?;
            }
            at += n;
        }
        columns.push(wide(c, values, valid));
    }
    Ok(DeviceBatch { rows, columns })
}

/// Rows `offset..offset + rows` of a batch. On `cpu` the result shares the batch's memory and
/// keeps its layout; on a GPU it does so where `offset` is 0.
///
/// # Errors
/// `Invalid` when the batch has fewer rows, or a column is too short or on another device; the
/// device's errors.
pub fn slice(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    offset: usize,
    rows: usize,
) -> Result<DeviceBatch> {
    const OPERATION: &str = "slice";
    batch.check(OPERATION, device)?;
    if offset.checked_add(rows).is_none_or(|end| end > batch.rows) {
        return Err(KernelError::Invalid {
            operation: OPERATION,
            expected: format!("a range of {} rows", batch.rows),
            got: format!("{rows} rows from row {offset} on"),
        });
    }
    if offset == 0 {
        return Ok(DeviceBatch { rows, columns: batch.columns.clone() });
    }
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::gather::slice(device, batch, offset, rows);
    };
    let mut columns = Vec::with_capacity(batch.columns.len());
    for c in &batch.columns {
        let words = c.ty.words();
        let values = l.alloc_words(rows, words)?;
        let valid = if c.nullable() { Some(l.alloc_words(rows, 1)?) } else { None };
        let plain = matches!(c.validity, Validity::All | Validity::Words(_));
        if is_words(c) && plain && rows > 0 {
            l.queue.copy(&c.values, offset * words * 4, &values, 0, rows * words * 4)?;
            if let (Validity::Words(from), Some(to)) = (&c.validity, &valid) {
                l.queue.copy(from, offset * 4, to, 0, rows * 4)?;
            }
        } else {
            let target = Target { values: &values, valid: valid.as_ref(), at: 0 };
            move_rows(&mut l, c, batch.rows, Which::From(offset), rows, target)?;
        }
        columns.push(wide(c, values, valid));
    }
    Ok(DeviceBatch { rows, columns })
}

/// The first `rows` rows of a column in wide storage with a validity of words (or none), on
/// every device: what kernels compute with. Buffers that lie so already are shared.
///
/// # Errors
/// `Invalid` when the column is too short or on another device; the device's errors.
pub fn widen(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
) -> Result<DeviceColumn> {
    const OPERATION: &str = "widen";
    check_rows(OPERATION, rows)?;
    column.check(OPERATION, device, rows)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::gather::widen(device, reservation, column, rows);
    };
    if is_words(column) {
        let valid = match &column.validity {
            Validity::All => None,
            Validity::Words(words) => Some(words.clone()),
            bits @ Validity::Bits { .. } => {
                let words = l.alloc_words(rows, 1)?;
                move_validity(&mut l, bits, rows, &words, 0)?;
                Some(words)
            }
        };
        return Ok(wide(column, column.values.clone(), valid));
    }
    let values = l.alloc_words(rows, 1)?;
    let valid = if column.nullable() { Some(l.alloc_words(rows, 1)?) } else { None };
    let target = Target { values: &values, valid: valid.as_ref(), at: 0 };
    move_rows(&mut l, column, rows, Which::From(0), rows, target)?;
    Ok(wide(column, values, valid))
}
