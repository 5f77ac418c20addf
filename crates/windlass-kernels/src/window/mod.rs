//! Window functions over sorted rows: frames, rows of frames, sums and extremes of frames.
//!
//! Rows are sorted by the partitions' keys and then by the window's order. Two buffers of a word
//! for each row, as `crate::sort::boundaries` gives them, tell what belongs together: `starts`
//! is not 0 in the first row of a partition, `peers` in the first row of each run of rows that
//! are equal in all keys. Row numbers and ranks are in `crate::scan`.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | [`Frame`], [`frames`]: the rows of each row's frame |
//! | `distance` | [`range_frames`]: frames whose ends are keys' distances |
//! | `values` | [`pick`], [`pick_valid`]: one row of each frame; [`aggregate`], [`count`] over frames |
//! | `sources` | the kernels' texts |
//!
//! # Determinism
//! All results are determined. Sums of floats are added along a tree over the rows, the same in
//! every run on a device; devices differ by the rounding of reassociated additions.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use crate::{
    column::{DeviceColumn, Storage, Validity, check_rows, check_words, on_device},
    cpu,
    error::Result,
    launcher::Launcher,
    scan::{self, ScanOp},
    types::PhysType,
};

mod distance;
mod sources;
mod values;

pub(crate) use distance::Search;
pub use distance::{End, Keys, range_frames};
pub use sources::sources;
pub use values::{FrameOp, Pick, aggregate, aggregate_supported, count, pick, pick_valid};

use sources::{FRAME_BOUNDS, RUN_EDGES};

const OPERATION: &str = "window frames";

/// One end of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    /// The partition's first row, or its last: `UNBOUNDED PRECEDING`, `UNBOUNDED FOLLOWING`.
    Partition,
    /// The row's first peer, or its last: `CURRENT ROW` of a `RANGE` frame.
    Peers,
    /// So many rows before the row: `ROWS n PRECEDING`.
    Before(u32),
    /// So many rows after the row: `ROWS n FOLLOWING`; 0 is `ROWS`' `CURRENT ROW`.
    After(u32),
}

/// Which rows around a row its function is of. Both ends stop at the partition's; a frame whose
/// last row comes before its first is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The first row.
    pub start: Bound,
    /// The last row.
    pub end: Bound,
}

impl Frame {
    /// All rows of the partition.
    pub const PARTITION: Self = Self { start: Bound::Partition, end: Bound::Partition };

    /// The one row at a distance: of `LAG` and `LEAD`.
    pub fn row(at: Bound) -> Self {
        Self { start: at, end: at }
    }
}

impl Bound {
    /// The kind and the rows, as `frame_bounds` states them.
    fn words(self) -> [u32; 2] {
        match self {
            Self::Partition => [0, 0],
            Self::Peers => [1, 0],
            Self::Before(n) => [2, n],
            Self::After(n) => [3, n],
        }
    }
}

/// The frame of every row.
#[derive(Debug, Clone)]
pub struct Frames {
    rows: usize,
    /// The first row, and the first after the last.
    low: DeviceBuffer,
    high: DeviceBuffer,
}

impl Frames {
    /// How many rows they are of.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of each frame's first row, and of the first row after it: 32-bit words.
    pub fn bounds(&self) -> (&DeviceBuffer, &DeviceBuffer) {
        (&self.low, &self.high)
    }

    /// Checks that the frames lie on `device`.
    fn check(&self, device: &dyn Device) -> Result<()> {
        on_device(OPERATION, device, &self.low)?;
        on_device(OPERATION, device, &self.high)
    }
}

/// The frames of `rows` rows.
///
/// # Errors
/// `Invalid` when `starts` or `peers` is too short or on another device, and for 2^31 rows or
/// more; the device's errors.
pub fn frames(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    (starts, peers): (&DeviceBuffer, &DeviceBuffer),
    rows: usize,
    frame: Frame,
) -> Result<Frames> {
    check_rows(OPERATION, rows)?;
    check_words(OPERATION, device, "partition starts", starts, rows)?;
    check_words(OPERATION, device, "peer starts", peers, rows)?;
    if Launcher::new(device, queue, reservation).is_none() {
        let (low, high) = cpu::window::frames(device, reservation, (starts, peers), rows, frame)?;
        return Ok(Frames { rows, low, high });
    }
    let partition = runs(device, queue, reservation, starts, rows)?;
    let by_peers = frame.start == Bound::Peers || frame.end == Bound::Peers;
    let peer = match by_peers {
        true => runs(device, queue, reservation, peers, rows)?,
        false => partition.clone(),
    };
    let low = crate::launcher::alloc_words(device, reservation, rows, 1)?;
    let high = crate::launcher::alloc_words(device, reservation, rows, 1)?;
    if let Some(mut l) = Launcher::new(device, queue, reservation)
        && rows > 0
    {
        let ([a, b], [c, d]) = (frame.start.words(), frame.end.words());
        let buffers = [&partition.0, &partition.1, &peer.0, &peer.1, &low, &high];
        l.launch_each(&FRAME_BOUNDS, &[], rows, &buffers, &[rows as u32, a, b, c, d])?;
    }
    Ok(Frames { rows, low, high })
}

/// The first row of each row's run, and, rows in reverse order, the first row after it.
fn runs(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    starts: &DeviceBuffer,
    rows: usize,
) -> Result<(DeviceBuffer, DeviceBuffer)> {
    let first = crate::launcher::alloc_words(device, reservation, rows, 1)?;
    let after = crate::launcher::alloc_words(device, reservation, rows, 1)?;
    if rows == 0 {
        return Ok((first, after));
    }
    if let Some(mut l) = Launcher::new(device, queue, reservation) {
        l.launch_each(&RUN_EDGES, &[], rows, &[starts, &first, &after], &[rows as u32])?;
    }
    let mut spread = |values, op| -> Result<DeviceBuffer> {
        let (ty, storage, validity) = (PhysType::U32, Storage::Wide, Validity::All);
        let column = DeviceColumn { ty, storage, values, bit_offset: 0, validity };
        Ok(scan::inclusive(device, queue, reservation, &column, rows, op)?.values)
    };
    Ok((spread(first, ScanOp::Max)?, spread(after, ScanOp::Min)?))
}
