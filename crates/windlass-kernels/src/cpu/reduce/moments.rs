//! The twin of `kernels/reduce/moments.cu`: both passes over a run of rows while it is in the
//! cache, and runs merged by the pairwise formulae.

use std::ops::Range;

use windlass_device::DeviceBuffer;

use super::rows::Taken;
use crate::{
    column::{DeviceColumn, Storage},
    cpu::view::host,
    error::Result,
    reduce::CoMoments,
    types::PhysType,
};

/// Rows of a run: two columns of 64-bit floats take 32 KiB, a first-level cache (a stated
/// guess).
const RUN: usize = 2048;

/// The moments of one or two checked columns of numbers.
///
/// # Errors
/// `Invalid` for a buffer that is not in host memory.
pub(crate) fn moments(
    columns: [Option<&DeviceColumn>; 2],
    rows: usize,
    selected: Option<&DeviceBuffer>,
) -> Result<CoMoments> {
    let present: Vec<&DeviceColumn> = columns.into_iter().flatten().collect();
    let taken = Taken::new(&present, rows, selected)?;
    let sources = present.iter().map(|c| Source::new(c)).collect::<Result<Vec<_>>>()?;
    let pieces = taken.pieces(|piece| {
        let mut total = CoMoments::default();
        let mut runs = [(); 2].map(|()| Vec::with_capacity(RUN));
        for start in piece.clone().step_by(RUN) {
            let rows = start..(start + RUN).min(piece.end);
            for (run, source) in runs.iter_mut().zip(&sources) {
                run.clear();
                source.load(rows.clone(), run);
            }
            if !taken.all() {
                for run in runs.iter_mut().take(sources.len()) {
                    keep(run, &taken, start);
                }
            }
            total = total.merge(of_run(&runs[0], (sources.len() > 1).then(|| &runs[1][..])));
        }
        total
    });
    Ok(pieces.into_iter().fold(CoMoments::default(), CoMoments::merge))
}

/// Leaves the taken rows of a run that begins with row `start`, in order.
fn keep(run: &mut Vec<f64>, taken: &Taken<'_>, start: usize) {
    let mut kept = 0;
    for block in (0..run.len()).step_by(64) {
        let mut word = taken.word(start + block);
        while word != 0 {
            let at = block + word.trailing_zeros() as usize;
            // Rows past the run belong to the next; a run ends with a block.
            if at >= run.len() {
                break;
            }
            run[kept] = run[at];
            kept += 1;
            word &= word - 1;
        }
    }
    run.truncate(kept);
}

fn of_run(x: &[f64], y: Option<&[f64]>) -> CoMoments {
    let n = x.len() as f64;
    if x.is_empty() {
        return CoMoments::default();
    }
    let mean = |v: &[f64]| lanes(v, v, |a, _| a) / n;
    let (mx, my) = (mean(x), y.map_or(0.0, mean));
    let product = |a: &[f64], ma: f64, b: &[f64], mb: f64| lanes(a, b, |a, b| (a - ma) * (b - mb));
    let dx = lanes(x, x, |a, _| a - mx);
    let dxx = product(x, mx, x, mx);
    let (dy, dyy, dxy) = match y {
        None => (0.0, 0.0, 0.0),
        Some(y) => (lanes(y, y, |a, _| a - my), product(y, my, y, my), product(x, mx, y, my)),
    };
    CoMoments::from_sums([mx, my], [n, dx, dy, dxx, dyy, dxy])
}

/// The sum of `f` over pairs, in eight sums that the processor adds side by side.
fn lanes(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0f64; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f(*a, *b);
        }
    }
    for (sum, (a, b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += f(*a, *b);
    }
    sums.iter().sum()
}

/// A column whose values become 64-bit floats.
struct Source<'a> {
    bytes: &'a [u8],
    ty: PhysType,
    wide: bool,
}

impl<'a> Source<'a> {
    fn new(c: &'a DeviceColumn) -> Result<Self> {
        Ok(Self { bytes: host(&c.values)?, ty: c.ty, wide: c.storage == Storage::Wide })
    }

    fn load(&self, rows: Range<usize>, out: &mut Vec<f64>) {
        use PhysType as T;
        match self.ty {
            T::I8 if !self.wide => self.each(rows, out, |v: [u8; 1]| f64::from(v[0] as i8)),
            T::U8 if !self.wide => self.each(rows, out, |v: [u8; 1]| f64::from(v[0])),
            T::I16 if !self.wide => {
                self.each(rows, out, |v| f64::from(i16::from_ne_bytes(v)));
            }
            T::U16 if !self.wide => {
                self.each(rows, out, |v| f64::from(u16::from_ne_bytes(v)));
            }
            T::F32 => self.each(rows, out, |v| f64::from(f32::from_ne_bytes(v))),
            T::F64 => self.each(rows, out, f64::from_ne_bytes),
            T::I64 => self.each(rows, out, |v| i64::from_ne_bytes(v) as f64),
            T::U64 => self.each(rows, out, |v| u64::from_ne_bytes(v) as f64),
            T::I128 => self.each(rows, out, |v| i128::from_ne_bytes(v) as f64),
            ty if ty.is_signed() => self.each(rows, out, |v| f64::from(i32::from_ne_bytes(v))),
            _ => self.each(rows, out, |v| f64::from(u32::from_ne_bytes(v))),
        }
    }

    fn each<const W: usize>(
        &self,
        rows: Range<usize>,
        out: &mut Vec<f64>,
        value: impl Fn([u8; W]) -> f64,
    ) {
        out.extend(self.bytes.as_chunks::<W>().0[rows].iter().map(|v| value(*v)));
    }
}
