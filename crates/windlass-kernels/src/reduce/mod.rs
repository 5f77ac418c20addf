//! One value from a column: sums, counts, extremes and moments, over the rows that are not null
//! and, where a selection is given, selected. `selected` has a 32-bit word for each row, not 0
//! where the row counts, as [`crate::pipeline::Evaluated`] gives it.
//!
//! Results are of one batch and lie on the host; those of several batches or devices are merged
//! by [`Sum::merge`], [`Moments::merge`] and [`CoMoments::merge`]. Every call waits for its
//! kernel.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | what the others share |
//! | `sum` | [`sum`](fn@sum), [`count`], [`any`], [`all`] |
//! | `extreme` | [`min`], [`max`], [`arg_min`], [`arg_max`] |
//! | `moments` | [`moments`](fn@moments), [`co_moments`] |
//! | `sources` | the kernels' texts |
//!
//! # Determinism
//! Counts, sums of integers and extremes are exact. Sums of floats and moments are added in an
//! order that the number of rows and the device fix: the same bits in every run, and between
//! devices apart by the rounding of reassociated additions.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use crate::{
    column::{DeviceColumn, Validity, check_rows, check_words},
    error::Result,
    gather::widen,
    launcher::{Launcher, resident_blocks},
    texts::BLOCK,
    types::{PhysType, Scalar},
};

mod extreme;
mod moments;
mod sources;
mod sum;

pub use extreme::{Extreme, arg_max, arg_min, max, min};
pub use moments::{CoMoments, Moments, co_moments, moments};
pub use sources::sources;
pub use sum::{Sum, Total, all, any, count, sum};

/// Checks the arguments of a reduction.
fn check(
    operation: &'static str,
    device: &dyn Device,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<()> {
    check_rows(operation, rows)?;
    column.check(operation, device, rows)?;
    selected.map_or(Ok(()), |s| check_words(operation, device, "a selection", s, rows))
}

/// A column as the kernels read it.
struct Wide {
    values: DeviceBuffer,
    valid: Option<DeviceBuffer>,
}

impl Wide {
    fn new(
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        column: &DeviceColumn,
        rows: usize,
    ) -> Result<Self> {
        let wide = widen(device, queue, reservation, column, rows)?;
        let valid = match wide.validity {
            Validity::Words(words) => Some(words),
            _ => None,
        };
        Ok(Self { values: wide.values, valid })
    }
}

/// Blocks for so many rows: four rows a thread at least (a guess, as in the group-by), and no
/// more blocks than run at once, so that few partial results come back.
fn blocks(l: &Launcher<'_>, rows: usize) -> u32 {
    let most = resident_blocks(l.device.info()) as usize;
    rows.div_ceil(BLOCK as usize * 4).clamp(1, most) as u32
}

/// The value of a type from its bits, of which those past the type's width do not count.
pub(crate) fn scalar(ty: PhysType, bits: u128) -> Scalar {
    let unused = 128 - 8 * ty.packed_bytes().unwrap_or(1) as u32;
    match ty {
        PhysType::Bool => Scalar::Bool(bits & 1 == 1),
        PhysType::F32 => Scalar::F32(f32::from_bits(bits as u32)),
        PhysType::F64 => Scalar::F64(f64::from_bits(bits as u64)),
        _ if ty.is_signed() => Scalar::Int(ty, ((bits << unused) as i128) >> unused),
        _ => Scalar::UInt(ty, ((bits << unused) >> unused) as u64),
    }
}
