//! Texts of rows by number, and conversions to offsets and bytes.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::{
    StringColumn, Texts,
    bound::{Bound, Lengths, copy_bytes, offsets_of},
    hash::check_codes,
    invalid,
};
use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity, check_rows, check_words},
    cpu,
    error::Result,
    gather::{self as rows_of, move_validity},
    launcher::Launcher,
    types::PhysType,
};

/// The column whose row `i` is row `indices[i]` of `column`, for `n` rows, as offsets and bytes.
/// `indices` are 32-bit words; with `missing`, `u32::MAX` gives a null. Waits for the number of
/// bytes.
///
/// # Errors
/// `Invalid` when `column` or `indices` is too short or on another device, a row number is not
/// less than the column's rows (found on `cpu`; a GPU gives an empty text, or a null where the
/// result can be null), the texts come to 4 GiB or more, or, on `cpu`, do not lie in the column's
/// buffers; the device's errors.
pub fn gather(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    indices: &DeviceBuffer,
    n: usize,
    missing: bool,
) -> Result<StringColumn> {
    const OPERATION: &str = "gather of texts";
    column.check(OPERATION, device)?;
    check_rows(OPERATION, n)?;
    check_words(OPERATION, device, "row numbers", indices, n)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        let indices = cpu::view::aligned_words(indices, n)?;
        return cpu::string::gather(OPERATION, device, reservation, column, &indices, missing);
    };
    let nullable = missing || column.nullable();
    let valid = if nullable { Some(l.alloc_words(n, 1)?) } else { None };
    let offsets = l.alloc_words(n + 1, 1)?;
    collect(&mut l, OPERATION, column, plain(Some(indices), valid.as_ref()), (offsets, n))
}

/// As [`gather`] for a column of views: the views alone are moved, and the data shared. The
/// column is as large as all texts of `column`; [`to_offsets`] makes it as large as its own.
///
/// # Errors
/// As [`gather`], and `Invalid` for a column that is not of views.
pub fn gather_views(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    indices: &DeviceBuffer,
    n: usize,
    missing: bool,
) -> Result<StringColumn> {
    const OPERATION: &str = "gather of views";
    column.check(OPERATION, device)?;
    let Texts::Views { views, data } = &column.texts else {
        return invalid(OPERATION, "a column of views", "one of offsets and bytes");
    };
    let views = DeviceColumn {
        ty: PhysType::I128,
        storage: Storage::Packed,
        values: views.clone(),
        bit_offset: 0,
        validity: column.validity.clone(),
    };
    let batch = DeviceBatch { rows: column.rows, columns: vec![views] };
    let mut out = rows_of::gather(device, queue, reservation, &batch, indices, n, missing)?;
    let Some(views) = out.columns.pop() else {
        return invalid(OPERATION, "a column of views", "none");
    };
    let texts = Texts::Views { views: views.values, data: data.clone() };
    Ok(StringColumn { rows: n, texts, validity: views.validity })
}

/// The same texts as offsets and bytes, without bytes that are no row's. On `cpu` a column that
/// is so already passes as it is.
///
/// # Errors
/// As [`gather`].
pub fn to_offsets(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
) -> Result<StringColumn> {
    const OPERATION: &str = "texts to offsets and bytes";
    column.check(OPERATION, device)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::string::to_offsets(OPERATION, device, reservation, column);
    };
    let valid = if column.nullable() { Some(l.alloc_words(column.rows, 1)?) } else { None };
    let offsets = l.alloc_words(column.rows + 1, 1)?;
    collect(&mut l, OPERATION, column, plain(None, valid.as_ref()), (offsets, column.rows))
}

/// The texts of dictionary codes as offsets and bytes: row `i` is row `codes[i]` of `values`,
/// null where the code or that row is null.
///
/// # Errors
/// As [`gather`], and `Invalid` for codes that are not `u32`.
pub fn from_codes(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    (codes, rows): (&DeviceColumn, usize),
    values: &StringColumn,
) -> Result<StringColumn> {
    const OPERATION: &str = "texts of codes";
    values.check(OPERATION, device)?;
    check_codes(OPERATION, device, codes, rows)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::string::from_codes(OPERATION, device, reservation, (codes, rows), values);
    };
    if !codes.nullable() {
        let valid = if values.nullable() { Some(l.alloc_words(rows, 1)?) } else { None };
        let offsets = l.alloc_words(rows + 1, 1)?;
        let how = plain(Some(&codes.values), valid.as_ref());
        return collect(&mut l, OPERATION, values, how, (offsets, rows));
    }
    // Lengths are added to zeros, and to the validity of the codes.
    let valid = l.alloc_words(rows, 1)?;
    let offsets = l.alloc_words(rows + 1, 1)?;
    l.queue.fill(&offsets, 0)?;
    move_validity(&mut l, &codes.validity, rows, &valid, 0)?;
    let how = Lengths {
        indices: Some(&codes.values),
        add: true,
        clears: true,
        out_valid: Some(&valid),
        ..Lengths::default()
    };
    collect(&mut l, OPERATION, values, how, (offsets, rows))
}

/// How texts of rows are measured before they are collected.
fn plain<'a>(indices: Option<&'a DeviceBuffer>, valid: Option<&'a DeviceBuffer>) -> Lengths<'a> {
    Lengths { indices, clears: true, out_valid: valid, ..Lengths::default() }
}

/// The texts of `n` rows as offsets and bytes. `offsets` has a word more than rows.
fn collect(
    l: &mut Launcher<'_>,
    operation: &'static str,
    column: &StringColumn,
    how: Lengths<'_>,
    (offsets, n): (DeviceBuffer, usize),
) -> Result<StringColumn> {
    let bound = Bound::new(l, column)?;
    how.write(l, &bound, n, &offsets)?;
    let total = offsets_of(l, operation, &offsets, n)?;
    let bytes = copy_bytes(l, &bound, how.indices, None, (&offsets, n, total))?;
    let validity = how.out_valid.map_or(Validity::All, |v| Validity::Words(v.clone()));
    Ok(StringColumn { rows: n, texts: Texts::Offsets { offsets, bytes }, validity })
}
