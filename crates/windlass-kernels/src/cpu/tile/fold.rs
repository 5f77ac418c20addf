//! The twin of `kernels/tile/fold.cu`: the same merges, in one part.

use bytemuck::{Pod, bytes_of};
use windlass_device::DeviceBuffer;

use crate::{
    error::Result,
    tile::{FoldOp, Folded, Lines},
    types::PhysType,
};

/// A type of elements.
trait Element: Pod + PartialOrd {
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

macro_rules! elements {
    ($($t:ty: $plus:expr, $times:expr;)+) => {$(
        impl Element for $t {
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                $times(self, other)
            }
        }
    )+};
}

elements! {
    u32: u32::wrapping_add, u32::wrapping_mul;
    i32: i32::wrapping_add, i32::wrapping_mul;
    u64: u64::wrapping_add, u64::wrapping_mul;
    i64: i64::wrapping_add, i64::wrapping_mul;
    f32: |a, b| a + b, |a, b| a * b;
    f64: |a, b| a + b, |a, b| a * b;
}

/// Folds lines that were checked.
///
/// # Errors
/// None of its own.
pub(crate) fn fold(
    op: FoldOp,
    ty: PhysType,
    values: &DeviceBuffer,
    lines: Lines,
) -> Result<Folded> {
    let bytes = values.host_bytes().unwrap_or(&[]);
    Ok(match ty {
        PhysType::I8 | PhysType::I16 | PhysType::I32 => all::<i32>(op, bytes, lines),
        PhysType::U64 => all::<u64>(op, bytes, lines),
        PhysType::I64 => all::<i64>(op, bytes, lines),
        PhysType::F32 => all::<f32>(op, bytes, lines),
        PhysType::F64 if op == FoldOp::Moments => moments(bytes, lines),
        PhysType::F64 => all::<f64>(op, bytes, lines),
        _ => all::<u32>(op, bytes, lines),
    })
}

/// Element `at`, whatever its alignment.
#[inline(always)]
fn element<T: Pod>(bytes: &[u8], at: usize) -> T {
    bytemuck::pod_read_unaligned(&bytes[at * size_of::<T>()..(at + 1) * size_of::<T>()])
}

/// Calls `line` with the elements of each line.
fn each_line<T: Pod>(
    bytes: &[u8],
    lines: Lines,
    mut line: impl FnMut(&mut dyn Iterator<Item = T>),
) {
    for o in 0..lines.outer {
        for i in 0..lines.inner {
            let at = |j: usize| (o * lines.n + j) * lines.inner + i;
            line(&mut (0..lines.n).map(|j| element(bytes, at(j))));
        }
    }
}

fn all<T: Element>(op: FoldOp, bytes: &[u8], lines: Lines) -> Folded {
    let mut folded = Folded { parts: 1, values: Vec::new(), more: Vec::new() };
    each_line::<T>(bytes, lines, |elements| {
        let mut elements = (0u32..).zip(elements);
        let Some((mut at, mut kept)) = elements.next() else { return };
        for (j, x) in elements {
            match op {
                FoldOp::Sum => kept = kept.plus(x),
                FoldOp::Product => kept = kept.times(x),
                _ if goes_before(op, kept, x) => (at, kept) = (j, x),
                _ => {}
            }
        }
        folded.values.extend_from_slice(bytes_of(&kept));
        if op.more_words() > 0 {
            folded.more.extend_from_slice(bytes_of(&at));
        }
    });
    folded
}

/// Whether a later element takes the place of the one that was kept.
#[allow(clippy::eq_op, reason = "NaN differs from itself")]
fn goes_before<T: Element>(op: FoldOp, kept: T, x: T) -> bool {
    let ignores =
        matches!(op, FoldOp::Least { ignore_nan: true } | FoldOp::Greatest { ignore_nan: true });
    let (nan_kept, nan_x) = (kept != kept, x != x);
    if nan_kept || nan_x {
        return if ignores { nan_kept && !nan_x } else { nan_x && !nan_kept };
    }
    match op {
        FoldOp::Greatest { .. } | FoldOp::FindGreatest => x > kept,
        _ => x < kept,
    }
}

fn moments(bytes: &[u8], lines: Lines) -> Folded {
    let mut folded = Folded { parts: 1, values: Vec::new(), more: Vec::new() };
    each_line::<f64>(bytes, lines, |elements| {
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for x in elements {
            count += 1.0;
            let d = x - mean;
            mean += d / count;
            squares += d * (x - mean);
        }
        folded.values.extend_from_slice(bytes_of(&mean));
        folded.more.extend_from_slice(bytes_of(&squares));
    });
    folded
}
