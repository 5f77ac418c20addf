//! Folds along an axis: sums, products, extremes, positions and moments.

use conformance::{
    Bench, Target,
    data::{self, Random},
    host::extend,
    kernel_types,
};
use windlass_device::Backend;
use windlass_kernels::{
    KernelError, PhysType,
    tile::{self, FoldOp, Folded, Lines, most_parts},
};

use crate::upload;

/// First, folded and last lengths: lines alone and beside each other, longer and shorter than a
/// block, neighbours more than a block, parts of an axis, and more lines than a launch has
/// threads.
const LINES: [(usize, usize, usize); 20] = [
    (1, 1, 1),
    (1, 31, 1),
    (1, 32, 1),
    (3, 33, 1),
    (2, 65, 1),
    (2, 5000, 1),
    (1, 40_003, 1),
    (40, 10, 1),
    (700, 3, 1),
    (2100, 1, 1),
    (1, 300, 3),
    (1, 7001, 2),
    (2, 7, 33),
    (1, 2000, 40),
    (9, 130, 5),
    (3, 5, 257),
    (1, 40, 300),
    (1, 9, 1200),
    (0, 5, 3),
    (3, 5, 0),
];

/// What was kept of some elements: a value, and where it was or the squared deviations.
#[derive(Debug, Clone, Copy)]
struct Kept {
    value: u128,
    at: u32,
    squares: f64,
    /// Elements, and the sum of their absolute values, for the bound of sums.
    count: usize,
    size: f64,
}

fn float(ty: PhysType, bits: u128) -> f64 {
    match ty {
        PhysType::F32 => f64::from(f32::from_bits(bits as u32)),
        _ => f64::from_bits(bits as u64),
    }
}

fn bits(ty: PhysType, x: f64) -> u128 {
    match ty {
        PhysType::F32 => u128::from((x as f32).to_bits()),
        _ => u128::from(x.to_bits()),
    }
}

/// Whether the second goes before the first, which stands before it.
fn goes_before(op: FoldOp, ty: PhysType, kept: u128, x: u128) -> bool {
    let greatest = matches!(op, FoldOp::Greatest { .. } | FoldOp::FindGreatest);
    if !ty.is_float() {
        let (kept, x) = (extend(ty, kept) as i128, extend(ty, x) as i128);
        return if greatest { x > kept } else { x < kept };
    }
    let (kept, x) = (float(ty, kept), float(ty, x));
    let ignores =
        matches!(op, FoldOp::Least { ignore_nan: true } | FoldOp::Greatest { ignore_nan: true });
    match (kept.is_nan(), x.is_nan()) {
        (false, false) => {
            if greatest {
                x > kept
            } else {
                x < kept
            }
        }
        (true, false) => ignores,
        (false, true) => !ignores,
        _ => false,
    }
}

/// Merges what was kept of two neighbouring ranges of a line.
fn merge(op: FoldOp, ty: PhysType, a: Kept, b: Kept) -> Kept {
    let (x, y) = (float(ty, a.value), float(ty, b.value));
    let (n, m) = (a.count as f64, b.count as f64);
    let mut out = Kept { count: a.count + b.count, size: a.size + b.size, ..a };
    match op {
        FoldOp::Sum if ty.is_float() => out.value = bits(ty, x + y),
        FoldOp::Product if ty.is_float() => out.value = bits(ty, x * y),
        FoldOp::Sum => out.value = a.value.wrapping_add(b.value) as u64 as u128,
        FoldOp::Product => out.value = a.value.wrapping_mul(b.value) as u64 as u128,
        FoldOp::Moments => {
            let d = y - x;
            out.value = bits(ty, x + d * (m / (n + m)));
            out.squares = a.squares + b.squares + d * d * (n * m / (n + m));
        }
        _ if goes_before(op, ty, a.value, b.value) => (out.value, out.at) = (b.value, b.at),
        _ => {}
    }
    out
}

/// Elements of a type that suit a fold: any for extremes and integers, and fractions whose sums
/// or products stay finite; some lines have infinities and NaNs.
fn elements(op: FoldOp, ty: PhysType, n: usize, seed: u64) -> Vec<u128> {
    let mut random = Random(seed);
    let special = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0];
    (0..n)
        .map(|_| {
            let fraction = (random.bits() >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
            match op {
                _ if ty.is_float() && random.below(3000) == 0 => {
                    bits(ty, special[random.below(special.len())])
                }
                FoldOp::Sum | FoldOp::Moments if ty.is_float() => bits(ty, 10.0 + fraction * 100.0),
                FoldOp::Product if ty.is_float() => bits(ty, 1.0 + fraction / 32.0),
                // Extremes in few values, so that they tie, and all of a type's.
                _ if random.below(2) == 0 => data::any(ty, &mut random),
                _ if ty.is_float() => bits(ty, (fraction * 6.0).round()),
                _ => conformance::host::truncate(ty, (fraction * 6.0).round() as i128 as u128),
            }
        })
        .collect()
}

/// What a plain loop keeps of each line, in 64 bits for floats.
fn reference(op: FoldOp, ty: PhysType, all: &[u128], lines: Lines) -> Vec<Kept> {
    let wide = if ty.is_float() { PhysType::F64 } else { ty };
    let mut out = Vec::new();
    for o in 0..lines.outer {
        for i in 0..lines.inner {
            let mut line = (0..lines.n).map(|j| {
                let value = all[(o * lines.n + j) * lines.inner + i];
                let value = if ty.is_float() { bits(wide, float(ty, value)) } else { value };
                let size = if ty.is_float() { float(wide, value).abs() } else { 0.0 };
                Kept { value, at: j as u32, squares: 0.0, count: 1, size }
            });
            let first = line.next().expect("a line has elements");
            out.push(line.fold(first, |a, b| merge(op, wide, a, b)));
        }
    }
    out
}

/// What the device kept of each part.
fn kept(op: FoldOp, ty: PhysType, folded: &Folded, lines: Lines) -> Vec<Kept> {
    let (results, width) = (lines.results(), ty.wide_bytes());
    assert_eq!(folded.values.len(), results * folded.parts * width, "{op:?} of {ty}");
    let more = folded.more.len() / (results * folded.parts).max(1);
    let value = |at: usize| {
        let mut le = [0; 16];
        le[..width].copy_from_slice(&folded.values[at * width..(at + 1) * width]);
        let all = u128::from_le_bytes(le);
        assert_eq!(extend(ty, all) as u32, all as u32, "a wide {ty} is extended");
        extend(ty, all)
    };
    let word = |at: usize| -> u64 {
        let mut le = [0; 8];
        le[..more].copy_from_slice(&folded.more[at * more..(at + 1) * more]);
        u64::from_le_bytes(le)
    };
    let of_part = |part: usize, at: usize| {
        let begin = |part: usize| lines.n * part / folded.parts;
        let word = word(part * results + at);
        Kept {
            value: value(part * results + at),
            at: if more == 4 { word as u32 } else { 0 },
            squares: if more == 8 { f64::from_bits(word) } else { 0.0 },
            count: begin(part + 1) - begin(part),
            size: 0.0,
        }
    };
    (0..results)
        .map(|at| {
            let parts = (0..folded.parts).map(|part| of_part(part, at));
            parts.reduce(|a, b| merge(op, ty, a, b)).expect("a part")
        })
        .collect()
}

/// Rounding errors of sums in any order are below n units of the sum of magnitudes (Higham,
/// Accuracy and Stability of Numerical Algorithms, 4.2), of products below n of the result; those
/// of the recurrences of moments are as many, times the few operations of each step.
fn close(op: FoldOp, ty: PhysType, got: Kept, want: Kept) -> bool {
    if !ty.is_float() {
        return extend(ty, got.value) == extend(ty, want.value);
    }
    let (x, y) = (float(ty, got.value), float(PhysType::F64, want.value));
    let unit = if ty == PhysType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    let n = want.count as f64;
    match op {
        _ if y.is_nan() => x.is_nan(),
        // A mean that meets infinity has no value.
        FoldOp::Moments if !want.size.is_finite() => !x.is_finite(),
        _ if y.is_infinite() => x == y,
        FoldOp::Sum => (x - y).abs() <= n * unit * want.size,
        FoldOp::Product => (x - y).abs() <= n * unit * y.abs(),
        FoldOp::Moments => {
            let (mean, spread) = (want.size / n, want.squares);
            (x - y).abs() <= 4.0 * n * unit * mean
                && (got.squares - spread).abs() <= 4.0 * n * unit * (spread + n * mean * mean)
        }
        _ => x == y,
    }
}

pub(crate) fn folds(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let info = device.info();
    let types = kernel_types(&*device);
    let long = info.backend != Backend::Wgpu || info.features.int64;
    // With the sanitizers every kernel takes seconds to compile.
    let some = [PhysType::Bool, PhysType::I16, PhysType::I64, PhysType::F64];
    let taken = |ty: &PhysType| target != Target::EmulatedChecked || some.contains(ty);
    let mut cut = false;
    for ty in PhysType::ALL.into_iter().filter(taken) {
        // Narrow types are extended to the words of others, whose kernels they share.
        let step = if ty.packed_bytes().is_some_and(|b| b >= 4) { 1 } else { 6 };
        for op in FoldOp::ALL.into_iter().filter(|op| op.takes(ty)) {
            for (outer, n, inner) in LINES.into_iter().step_by(step) {
                let lines = Lines { outer, n, inner };
                let all = elements(op, ty, outer * n * inner, n as u64);
                let width = ty.wide_bytes();
                let bytes = all.iter().flat_map(|v| extend(ty, *v).to_le_bytes()[..width].to_vec());
                // What lies behind the last element belongs to no line.
                let bytes: Vec<u8> = bytes.chain([0x7f; 16]).collect();
                let buffer = upload(&mut bench, &bytes);
                let mut r = device.pool().reserve(0).unwrap();
                let got = tile::fold(&*device, bench.queue(), &mut r, op, ty, &buffer, lines);
                let wide = matches!(ty, PhysType::I64 | PhysType::U64);
                if lines.results() > 0 && (!types.contains(&ty) || (wide && !long)) {
                    assert!(matches!(got, Err(KernelError::Unsupported { .. })), "{ty}: {got:?}");
                    continue;
                }
                let got = got.unwrap_or_else(|e| panic!("{op:?} of {ty}: {e}"));
                assert!(got.parts <= most_parts(&*device, lines).max(1));
                cut |= got.parts > 1;
                let want = reference(op, ty, &all, lines);
                for (at, (got, want)) in kept(op, ty, &got, lines).into_iter().zip(want).enumerate()
                {
                    let found = matches!(op, FoldOp::FindLeast | FoldOp::FindGreatest);
                    assert!(
                        close(op, ty, got, want) && (!found || got.at == want.at),
                        "{op:?} of {ty}, line {at} of {lines:?}: {got:x?}, expected {want:x?}"
                    );
                }
            }
        }
    }
    assert!(cut, "a line was folded in several parts");
}
