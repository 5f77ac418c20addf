//! Row numbers and ranks within segments: SQL's `ROW_NUMBER`, `RANK` and `DENSE_RANK` over
//! sorted partitions.
//!
//! `starts` has a word for each row, not 0 in the first row of a partition; `peers` 1 in the
//! first row of each run of rows that are equal in the window's order (so also where a partition
//! starts) and 0 elsewhere. The first row always starts both. Results are `u32` columns without
//! nulls, numbered from 1.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::{Scan, ScanOp, segmented};
use crate::{
    column::{DeviceColumn, Storage, Validity, check_rows, check_words},
    cpu,
    error::Result,
    launcher::Launcher,
    types::PhysType,
};

const OPERATION: &str = "rank";

/// The number of each row in its partition.
///
/// # Errors
/// `Invalid` when `starts` is too short or on another device; the device's errors.
pub fn row_number(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    starts: &DeviceBuffer,
    rows: usize,
) -> Result<DeviceColumn> {
    check_rows(OPERATION, rows)?;
    check_words(OPERATION, device, "partition starts", starts, rows)?;
    let ones = match Launcher::new(device, queue, reservation) {
        Some(mut l) => {
            let ones = l.alloc_words(rows, 1)?;
            l.queue.fill(&ones, 1)?;
            ones
        }
        None => cpu::memory::adopt(device, reservation, vec![1u32; rows])?,
    };
    sum(device, queue, reservation, ones, starts, rows)
}

/// The number of each row's first peer in its partition: 1 + the rows that come before the row
/// in the window's order.
///
/// # Errors
/// As [`row_number`], also for `peers`.
pub fn rank(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    starts: &DeviceBuffer,
    peers: &DeviceBuffer,
    rows: usize,
) -> Result<DeviceColumn> {
    check_words(OPERATION, device, "peer starts", peers, rows)?;
    if Launcher::new(device, queue, reservation).is_none() {
        check_rows(OPERATION, rows)?;
        check_words(OPERATION, device, "partition starts", starts, rows)?;
        let values = cpu::window::rank(device, reservation, (starts, peers), rows)?;
        let (storage, validity) = (Storage::Packed, Validity::All);
        return Ok(DeviceColumn { ty: PhysType::U32, storage, values, bit_offset: 0, validity });
    }
    let mut firsts = row_number(device, queue, reservation, starts, rows)?;
    // The numbers of first peers alone, the greatest so far being the row's own first peer's.
    firsts.validity = Validity::Words(peers.clone());
    let scan = Scan { op: ScanOp::Max, exclusive: false };
    let mut ranks = segmented(device, queue, reservation, &firsts, rows, starts, scan)?;
    ranks.validity = Validity::All;
    Ok(ranks)
}

/// How many runs of peers a row's partition has up to it.
///
/// # Errors
/// As [`rank`].
pub fn dense_rank(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    starts: &DeviceBuffer,
    peers: &DeviceBuffer,
    rows: usize,
) -> Result<DeviceColumn> {
    check_rows(OPERATION, rows)?;
    check_words(OPERATION, device, "peer starts", peers, rows)?;
    check_words(OPERATION, device, "partition starts", starts, rows)?;
    sum(device, queue, reservation, peers.clone(), starts, rows)
}

/// The running sum of words over partitions.
fn sum(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    words: DeviceBuffer,
    starts: &DeviceBuffer,
    rows: usize,
) -> Result<DeviceColumn> {
    let (storage, validity) = (Storage::Wide, Validity::All);
    let column =
        DeviceColumn { ty: PhysType::U32, storage, values: words, bit_offset: 0, validity };
    let scan = Scan { op: ScanOp::Sum, exclusive: false };
    segmented(device, queue, reservation, &column, rows, starts, scan)
}
