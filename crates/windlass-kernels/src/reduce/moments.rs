//! Means, variances, covariances and correlations, from moments that merge.

use windlass_device::{Backend, Device, DeviceBuffer, Queue, Reservation};

use super::{Wide, blocks, check, sources::MOMENTS};
use crate::{
    column::DeviceColumn,
    cpu,
    error::{KernelError, Result},
    launcher::Launcher,
    types::PhysType,
};

/// Number, mean, and sum of squared differences from the mean.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// Values.
    pub count: u64,
    /// Their mean; 0 where there are none.
    pub mean: f64,
    /// The sum of the squares of their differences from the mean.
    pub m2: f64,
}

impl Moments {
    /// The moments of both sets of values (Chan, Golub, LeVeque, "Updating Formulae and a
    /// Pairwise Algorithm for Computing Sample Variances", 1979).
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        CoMoments::from(self).merge(other.into()).x()
    }

    /// The variance with divisor `count - ddof`; `None` where that is not positive.
    pub fn variance(&self, ddof: u64) -> Option<f64> {
        divide(self.m2, self.count, ddof)
    }

    /// The square root of the variance.
    pub fn standard_deviation(&self, ddof: u64) -> Option<f64> {
        self.variance(ddof).map(f64::sqrt)
    }
}

impl From<Moments> for CoMoments {
    fn from(m: Moments) -> Self {
        Self { count: m.count, mean_x: m.mean, m2_x: m.m2, ..Self::default() }
    }
}

/// Moments of two columns, over the rows where both have a value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CoMoments {
    /// Rows.
    pub count: u64,
    /// The mean of the first column; 0 where there are no rows.
    pub mean_x: f64,
    /// The mean of the second.
    pub mean_y: f64,
    /// The sum of squared differences from the mean, of the first column.
    pub m2_x: f64,
    /// As `m2_x`, of the second.
    pub m2_y: f64,
    /// The sum of the products of the differences of both.
    pub c: f64,
}

impl CoMoments {
    /// The moments of both sets of rows.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let (a, b) = (self, other);
        if a.count == 0 || b.count == 0 {
            return if a.count == 0 { b } else { a };
        }
        let count = a.count + b.count;
        let share = b.count as f64 / count as f64;
        let weight = a.count as f64 * share;
        let (dx, dy) = (b.mean_x - a.mean_x, b.mean_y - a.mean_y);
        Self {
            count,
            mean_x: a.mean_x + dx * share,
            mean_y: a.mean_y + dy * share,
            m2_x: a.m2_x + b.m2_x + dx * dx * weight,
            m2_y: a.m2_y + b.m2_y + dy * dy * weight,
            c: a.c + b.c + dx * dy * weight,
        }
    }

    /// The moments of the first column.
    pub fn x(&self) -> Moments {
        Moments { count: self.count, mean: self.mean_x, m2: self.m2_x }
    }

    /// The moments of the second column.
    pub fn y(&self) -> Moments {
        Moments { count: self.count, mean: self.mean_y, m2: self.m2_y }
    }

    /// The covariance with divisor `count - ddof`; `None` where that is not positive.
    pub fn covariance(&self, ddof: u64) -> Option<f64> {
        divide(self.c, self.count, ddof)
    }

    /// Pearson's correlation; `None` where there are fewer than two rows, NaN where a column
    /// does not vary.
    pub fn correlation(&self) -> Option<f64> {
        (self.count > 1).then(|| self.c / (self.m2_x.sqrt() * self.m2_y.sqrt()))
    }

    /// From the sums of differences from the shifts and of their products.
    pub(crate) fn from_sums(shift: [f64; 2], s: [f64; 6]) -> Self {
        let [n, dx, dy, dxx, dyy, dxy] = s;
        if n == 0.0 {
            return Self::default();
        }
        Self {
            count: n as u64,
            mean_x: shift[0] + dx / n,
            mean_y: shift[1] + dy / n,
            // Rounding may take a sum of squares below 0.
            m2_x: at_least_0(dxx - dx * dx / n),
            m2_y: at_least_0(dyy - dy * dy / n),
            c: dxy - dx * dy / n,
        }
    }
}

/// As `max(0)`, which would make a NaN 0.
fn at_least_0(v: f64) -> f64 {
    if v < 0.0 { 0.0 } else { v }
}

fn divide(sum: f64, count: u64, ddof: u64) -> Option<f64> {
    (count > ddof).then(|| sum / (count - ddof) as f64)
}

/// The moments of a column of numbers, computed in 64-bit floats. The sum of squares is of
/// differences from the mean itself, so it does not cancel.
///
/// # Errors
/// `Invalid` for a `Bool` column, or where an argument is too short or on another device;
/// `Unsupported` on an adapter without 64-bit integers and floats; the device's errors.
pub fn moments(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<Moments> {
    Ok(run(device, queue, reservation, [Some(column), None], rows, selected)?.x())
}

/// The moments of two columns, over the rows where neither is null.
///
/// # Errors
/// As [`moments`], for both columns.
#[allow(clippy::too_many_arguments, reason = "device, queue and memory are explicit everywhere")]
pub fn co_moments(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    x: &DeviceColumn,
    y: &DeviceColumn,
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<CoMoments> {
    run(device, queue, reservation, [Some(x), Some(y)], rows, selected)
}

/// How the kernel reads a type; see `moments.cu`. `Wide` narrow integers are 32-bit ones.
fn type_code(ty: PhysType) -> u32 {
    match ty {
        PhysType::F32 => 2,
        PhysType::U64 => 3,
        PhysType::I64 => 4,
        PhysType::F64 => 5,
        PhysType::I128 => 6,
        _ => u32::from(ty.is_signed()),
    }
}

fn run(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    columns: [Option<&DeviceColumn>; 2],
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<CoMoments> {
    const OPERATION: &str = "moments";
    for c in columns.into_iter().flatten() {
        check(OPERATION, device, c, rows, selected)?;
        if c.ty == PhysType::Bool {
            let (expected, got) = ("a column of numbers".into(), "bool".into());
            return Err(KernelError::Invalid { operation: OPERATION, expected, got });
        }
    }
    let info = device.info();
    let floats = info.features.float64 && info.features.int64;
    if info.backend == Backend::Wgpu && !floats {
        return Err(KernelError::Unsupported {
            device: info.name.to_string(),
            reason: "variances and covariances need 64-bit integers and floats".into(),
        });
    }
    if Launcher::new(device, queue, reservation).is_none() {
        return cpu::reduce::moments(columns, rows, selected);
    }
    let [Some(x), y] = columns else { return Ok(CoMoments::default()) };
    if rows == 0 {
        return Ok(CoMoments::default());
    }
    let wide_x = Wide::new(device, queue, reservation, x, rows)?;
    let wide_y = match y {
        Some(y) => Some(Wide::new(device, queue, reservation, y, rows)?),
        None => None,
    };
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return Ok(CoMoments::default());
    };
    let blocks = blocks(&l, rows);
    let sums = l.alloc_words(blocks as usize, 12)?;
    let y_valid = wide_y.as_ref().and_then(|y| y.valid.as_ref());
    let buffers = [
        &wide_x.values,
        wide_x.valid.as_ref().unwrap_or(&wide_x.values),
        wide_y.as_ref().map_or(&wide_x.values, |y| &y.values),
        y_valid.unwrap_or(&wide_x.values),
        selected.unwrap_or(&wide_x.values),
        &sums,
    ];
    let mut shift = [0.0f64; 2];
    let mut found = CoMoments::default();
    for _ in 0..2 {
        let [sx, sy] = shift.map(f64::to_bits);
        let params = [
            rows as u32,
            type_code(x.ty),
            y.map_or(0, |y| type_code(y.ty)),
            u32::from(y.is_some()),
            u32::from(wide_x.valid.is_some()),
            u32::from(y_valid.is_some()),
            u32::from(selected.is_some()),
            blocks,
            sx as u32,
            (sx >> 32) as u32,
            sy as u32,
            (sy >> 32) as u32,
        ];
        l.launch(&MOMENTS, &[], blocks, &buffers, &params)?;
        let words = l.read_words(&sums, 0, blocks as usize * 12)?;
        let mut total = [0.0f64; 6];
        for block in words.chunks_exact(12) {
            for (total, w) in total.iter_mut().zip(block.chunks_exact(2)) {
                *total += f64::from_bits(u64::from(w[0]) | u64::from(w[1]) << 32);
            }
        }
        found = CoMoments::from_sums(shift, total);
        if found.count == 0 {
            break;
        }
        shift = [found.mean_x, found.mean_y];
    }
    Ok(found)
}
