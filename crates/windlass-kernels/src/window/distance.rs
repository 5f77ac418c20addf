//! Frames whose ends are so far from a row's key: `RANGE` with a distance, and `GROUPS`, whose
//! keys are the numbers of the runs of peers.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::{
    Bound, Frame, Frames, frames,
    sources::{SEARCH, search_kind},
};
use crate::{
    column::{DeviceColumn, Validity},
    cpu,
    error::{KernelError, Result},
    gather::widen,
    launcher::Launcher,
};

const OPERATION: &str = "window range frames";

/// One end of a frame of [`range_frames`].
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// As in a frame of rows.
    Bound(Bound),
    /// By a value for each row, the row's key with the distance added or subtracted: a frame
    /// starts at the first row of the partition whose key does not come before the value, and
    /// ends before the first whose key comes after it. A null's frame ends with the nulls.
    Value(&'a DeviceColumn),
}

/// The key that the rows of each partition are sorted by.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// Its values; floats are in the order of IEEE 754 totalOrder.
    pub column: &'a DeviceColumn,
    /// Whether the greatest come first.
    pub descending: bool,
    /// Whether nulls come before values, or after them.
    pub nulls_first: bool,
}

/// Which way a value is looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search<'a> {
    /// Partitions.
    pub(crate) within: &'a Frames,
    /// The other end of the frame, which what is found does not pass.
    pub(crate) limit: &'a DeviceBuffer,
    /// Whether the first row after the value is wanted, or the first that is not before it.
    pub(crate) after: bool,
}

/// The frames of `rows` rows of which an end, or both, stand at a value for each row. A frame
/// whose last row comes before its first is empty. Time grows with the logarithm of a
/// partition's rows; on `cpu`, of values in order, only with the rows.
///
/// # Errors
/// As [`frames`]; `Invalid` when a column has fewer rows, another type than the keys or lies on
/// another device.
pub fn range_frames(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    (starts, peers): (&DeviceBuffer, &DeviceBuffer),
    rows: usize,
    keys: Keys<'_>,
    [start, end]: [End<'_>; 2],
) -> Result<Frames> {
    let bound = |end| match end {
        End::Bound(bound) => bound,
        End::Value(_) => Bound::Partition,
    };
    let frame = Frame { start: bound(start), end: bound(end) };
    let words = (starts, peers);
    let mut made = frames(device, queue, reservation, words, rows, frame)?;
    let within = match frame == Frame::PARTITION {
        true => made.clone(),
        false => frames(device, queue, reservation, words, rows, Frame::PARTITION)?,
    };
    keys.column.check(OPERATION, device, rows)?;
    for end in [start, end] {
        let End::Value(values) = end else { continue };
        values.check(OPERATION, device, rows)?;
        if values.ty != keys.column.ty {
            let (expected, got) = (format!("values of {}", keys.column.ty), values.ty.to_string());
            return Err(KernelError::Invalid { operation: OPERATION, expected, got });
        }
    }
    if rows == 0 {
        return Ok(made);
    }
    if let End::Value(values) = start {
        let limit = made.high.clone();
        let search = Search { within: &within, limit: &limit, after: false };
        made.low = look_up(device, queue, reservation, keys, values, search)?;
    }
    if let End::Value(values) = end {
        let limit = made.low.clone();
        let search = Search { within: &within, limit: &limit, after: true };
        made.high = look_up(device, queue, reservation, keys, values, search)?;
    }
    Ok(made)
}

/// A row for each value of a checked column.
fn look_up(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    keys: Keys<'_>,
    values: &DeviceColumn,
    search: Search<'_>,
) -> Result<DeviceBuffer> {
    let (n, ty) = (search.within.rows, keys.column.ty);
    let wide = widen(device, queue, reservation, keys.column, n)?;
    let values = widen(device, queue, reservation, values, n)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::window::search(
            device,
            reservation,
            Keys { column: &wide, ..keys },
            &values,
            search,
        );
    };
    let found = l.alloc_words(n, 1)?;
    let unused = l.alloc_words(1, 1)?;
    let valid = |column: &DeviceColumn| match &column.validity {
        Validity::Words(valid) => (valid.clone(), 1),
        _ => (unused.clone(), 0),
    };
    let ((key_valid, key_nulls), (value_valid, value_nulls)) = (valid(&wide), valid(&values));
    let order = if ty.is_float() { 2 } else { u32::from(ty.is_signed()) };
    let flags = [keys.descending, keys.nulls_first].map(u32::from);
    let params =
        [n as u32, order, flags[0], flags[1], key_nulls, value_nulls, u32::from(search.after)];
    let (low, high) = search.within.bounds();
    let buffers =
        [low, high, &wide.values, &key_valid, &values.values, &value_valid, search.limit, &found];
    l.launch_each(&SEARCH, &[("KIND", search_kind(ty))], n, &buffers, &params)?;
    Ok(found)
}
