//! The twin of `kernels/tile/fold.cu`. Lines whose elements are neighbours are folded in lanes,
//! others a row of lines at a time, so that either way processors take several at once.

use bytemuck::{Pod, cast_slice};
use windlass_device::DeviceBuffer;

use crate::{
    cpu::{pieces::PIECE, tasks},
    tile::{FoldOp, Folded, Lines},
    types::PhysType,
};

/// Results that are kept apart in a line, and added up in the end: two of the widest vectors.
const LANES: usize = 16;

/// Elements of a line after which its lanes are added to what came before: the rounding errors
/// of a long sum grow with the number of such blocks, not of elements.
const BLOCK: usize = 4096;

/// A type of elements.
trait Element: Pod + PartialOrd + Send + Sync {
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn is_nan(self) -> bool;
}

macro_rules! elements {
    ($($t:ty: $plus:expr, $times:expr, $is_nan:expr;)+) => {$(
        impl Element for $t {
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                $times(self, other)
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                $is_nan(self)
            }
        }
    )+};
}

elements! {
    u32: u32::wrapping_add, u32::wrapping_mul, |_| false;
    i32: i32::wrapping_add, i32::wrapping_mul, |_| false;
    u64: u64::wrapping_add, u64::wrapping_mul, |_| false;
    i64: i64::wrapping_add, i64::wrapping_mul, |_| false;
    f32: |a, b| a + b, |a, b| a * b, f32::is_nan;
    f64: |a, b| a + b, |a, b| a * b, f64::is_nan;
}

/// Folds lines that were checked, in at most so many parts.
pub(crate) fn fold(
    op: FoldOp,
    ty: PhysType,
    values: &DeviceBuffer,
    lines: Lines,
    most: usize,
) -> Folded {
    let bytes = values.host_bytes().unwrap_or(&[]);
    // As many pieces as cores may share; the lines of the first axis are shared before parts.
    let pieces = (lines.results() * lines.n).div_ceil(PIECE);
    let parts = pieces.div_ceil(lines.outer).clamp(1, most);
    let outer = pieces.div_ceil(parts).clamp(1, lines.outer);
    let cut = Cut { lines, parts, outer };
    match ty {
        PhysType::I8 | PhysType::I16 | PhysType::I32 => all::<i32>(op, bytes, cut),
        PhysType::U64 => all::<u64>(op, bytes, cut),
        PhysType::I64 => all::<i64>(op, bytes, cut),
        PhysType::F32 => all::<f32>(op, bytes, cut),
        PhysType::F64 if op == FoldOp::Moments => moments(bytes, cut),
        PhysType::F64 => all::<f64>(op, bytes, cut),
        _ => all::<u32>(op, bytes, cut),
    }
}

/// Lines in pieces: each part of the middle axis of each group of the first axis.
#[derive(Clone, Copy)]
struct Cut {
    lines: Lines,
    parts: usize,
    /// Groups of the first axis.
    outer: usize,
}

/// Part of some neighbouring lines: rows of `inner` elements, of which the first is number
/// `first` of its lines.
struct Rows<'a, const W: usize> {
    elements: &'a [[u8; W]],
    inner: usize,
    first: u32,
}

impl Cut {
    /// `f` of all rows of each position of the first axis in each part, the results in order.
    fn map<const W: usize, K: Send>(
        self,
        bytes: &[u8],
        f: impl Fn(Rows<'_, W>, &mut Vec<K>) + Sync,
    ) -> Vec<K> {
        let Lines { outer, n, inner } = self.lines;
        let elements = bytes.as_chunks::<W>().0;
        let results = tasks::map(self.parts * self.outer, |task| {
            let (part, group) = (task / self.outer, task % self.outer);
            let rows = n * part / self.parts..n * (part + 1) / self.parts;
            let (from, to) = (outer * group / self.outer, outer * (group + 1) / self.outer);
            let mut out = Vec::with_capacity((to - from) * inner);
            for o in from..to {
                let elements = &elements[(o * n + rows.start) * inner..(o * n + rows.end) * inner];
                f(Rows { elements, inner, first: rows.start as u32 }, &mut out);
            }
            out
        });
        results.into_iter().flatten().collect()
    }

    fn folded<V: Pod>(self, values: &[V], more: &[u8]) -> Folded {
        Folded { parts: self.parts, values: cast_slice(values).to_vec(), more: more.to_vec() }
    }
}

fn all<T: Element>(op: FoldOp, bytes: &[u8], cut: Cut) -> Folded {
    match size_of::<T>() {
        4 => wide::<T, 4>(op, bytes, cut),
        _ => wide::<T, 8>(op, bytes, cut),
    }
}

fn wide<T: Element, const W: usize>(op: FoldOp, bytes: &[u8], cut: Cut) -> Folded {
    let less = |a: T, b: T| if b < a || (b.is_nan() && !a.is_nan()) { b } else { a };
    let greater = |a: T, b: T| if b > a || (b.is_nan() && !a.is_nan()) { b } else { a };
    let less_number = |a: T, b: T| if b < a || (a.is_nan() && !b.is_nan()) { b } else { a };
    let greater_number = |a: T, b: T| if b > a || (a.is_nan() && !b.is_nan()) { b } else { a };
    match op {
        FoldOp::Sum => plain::<T, W>(bytes, cut, T::plus),
        FoldOp::Product => plain::<T, W>(bytes, cut, T::times),
        FoldOp::Least { ignore_nan: false } => plain::<T, W>(bytes, cut, less),
        FoldOp::Least { ignore_nan: true } => plain::<T, W>(bytes, cut, less_number),
        FoldOp::Greatest { ignore_nan: false } => plain::<T, W>(bytes, cut, greater),
        FoldOp::Greatest { ignore_nan: true } => plain::<T, W>(bytes, cut, greater_number),
        FoldOp::FindLeast => found::<T, W>(bytes, cut, |kept, x| x < kept),
        _ => found::<T, W>(bytes, cut, |kept, x| x > kept),
    }
}

/// An element, whatever its alignment.
#[inline(always)]
fn load<T: Pod, const W: usize>(bytes: &[u8; W]) -> T {
    bytemuck::pod_read_unaligned(bytes)
}

/// Folds that keep a value alone.
fn plain<T: Element, const W: usize>(
    bytes: &[u8],
    cut: Cut,
    f: impl Fn(T, T) -> T + Copy + Sync,
) -> Folded {
    let values = cut.map(bytes, |rows: Rows<'_, W>, out: &mut Vec<T>| {
        if rows.inner == 1 {
            return out.extend(line(rows.elements, f));
        }
        let mut each = rows.elements.chunks_exact(rows.inner);
        let start = out.len();
        out.extend(each.next().into_iter().flatten().map(load::<T, W>));
        for row in each {
            for (kept, x) in out[start..].iter_mut().zip(row) {
                *kept = f(*kept, load(x));
            }
        }
    });
    cut.folded(&values, &[])
}

/// Folds elements in lanes.
fn line<T: Element, const W: usize>(
    elements: &[[u8; W]],
    f: impl Fn(T, T) -> T + Copy,
) -> Option<T> {
    let blocks = elements.chunks(BLOCK).filter_map(|block| {
        let (whole, rest) = block.as_chunks::<LANES>();
        let mut rest = rest.iter().map(load::<T, W>);
        let Some((first, whole)) = whole.split_first() else { return rest.reduce(f) };
        let mut lanes = first.map(|x| load(&x));
        for group in whole {
            for (kept, x) in lanes.iter_mut().zip(group) {
                *kept = f(*kept, load(x));
            }
        }
        let lanes = lanes.into_iter().reduce(f)?;
        Some(rest.by_ref().fold(lanes, f))
    });
    blocks.reduce(f)
}

/// Extremes and where they are first; NaN is the most extreme.
fn found<T: Element, const W: usize>(
    bytes: &[u8],
    cut: Cut,
    beyond: impl Fn(T, T) -> bool + Copy + Sync,
) -> Folded {
    let better = |kept: T, x: T| beyond(kept, x) || (x.is_nan() && !kept.is_nan());
    let all = cut.map(bytes, |rows: Rows<'_, W>, out: &mut Vec<(T, u32)>| {
        let mut each = (rows.first..).zip(rows.elements.chunks_exact(rows.inner));
        let start = out.len();
        let first = each.next().into_iter().flat_map(|(j, row)| row.iter().map(move |x| (x, j)));
        out.extend(first.map(|(x, j)| (load::<T, W>(x), j)));
        for (j, row) in each {
            for (kept, x) in out[start..].iter_mut().zip(row) {
                let x = load(x);
                if better(kept.0, x) {
                    *kept = (x, j);
                }
            }
        }
    });
    let (values, places): (Vec<T>, Vec<u32>) = all.into_iter().unzip();
    cut.folded(&values, cast_slice(&places))
}

/// The mean and the squared deviations so far: Welford's recurrence (Technometrics 4, 1962).
#[derive(Clone, Copy, Default)]
struct Moments {
    mean: f64,
    squares: f64,
}

fn moments(bytes: &[u8], cut: Cut) -> Folded {
    let all = cut.map(bytes, |rows: Rows<'_, 8>, out: &mut Vec<Moments>| {
        if rows.inner == 1 {
            return out.push(moments_of_line(rows.elements));
        }
        let start = out.len();
        out.resize(start + rows.inner, Moments::default());
        for (j, row) in (1u32..).zip(rows.elements.chunks_exact(rows.inner)) {
            let count = f64::from(j);
            for (kept, x) in out[start..].iter_mut().zip(row) {
                let x: f64 = load(x);
                let d = x - kept.mean;
                kept.mean += d / count;
                kept.squares += d * (x - kept.mean);
            }
        }
    });
    let (means, squares): (Vec<f64>, Vec<f64>) = all.iter().map(|m| (m.mean, m.squares)).unzip();
    cut.folded(&means, cast_slice(&squares))
}

/// Blocks of a line in two passes each, merged as the kernel's text says.
fn moments_of_line(elements: &[[u8; 8]]) -> Moments {
    let (mut all, mut seen) = (Moments::default(), 0.0);
    for block in elements.chunks(BLOCK) {
        let n = block.len() as f64;
        let mean = line(block, <f64 as Element>::plus).unwrap_or(0.0) / n;
        let (whole, rest) = block.as_chunks::<LANES>();
        let mut lanes = [0.0; LANES];
        for group in whole {
            for (sum, x) in lanes.iter_mut().zip(group) {
                let d = load::<f64, 8>(x) - mean;
                *sum += d * d;
            }
        }
        let rest = rest.iter().map(|x| (load::<f64, 8>(x) - mean).powi(2));
        let squares = lanes.into_iter().chain(rest).sum::<f64>();
        let (d, total) = (mean - all.mean, seen + n);
        all.mean += d * (n / total);
        all.squares += squares + d * d * (seen * n / total);
        seen = total;
    }
    all
}
