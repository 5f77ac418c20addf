//! Running sums and products along an axis.

use conformance::{Bench, Target, data::Random, kernel_types};
use windlass_device::{Backend, DeviceBuffer};
use windlass_kernels::{
    KernelError, PhysType,
    tile::{self, FoldOp, Lines, Run, RunningOp},
};

use crate::upload;

/// First, scanned and last lengths: lines around a warp, a thread's elements and a block's, in
/// one part and in several, beside each other and alone, and more of them than threads.
const LINES: [(usize, usize, usize); 18] = [
    (1, 1, 1),
    (1, 7, 1),
    (1, 31, 1),
    (1, 32, 1),
    (3, 33, 1),
    (2, 65, 1),
    (2, 2049, 1),
    (1, 40_003, 1),
    (60, 10, 1),
    (2100, 2, 1),
    (1, 300, 3),
    (1, 9001, 2),
    (2, 7, 33),
    (1, 2000, 40),
    (3, 5, 257),
    (1, 500, 130),
    (0, 5, 3),
    (3, 5, 0),
];

fn float(ty: PhysType, bits: u64) -> f64 {
    match ty {
        PhysType::F32 => f64::from(f32::from_bits(bits as u32)),
        _ => f64::from_bits(bits),
    }
}

/// Any integer; fractions whose sums or products stay finite, of which some are infinite or no
/// number.
fn elements(op: RunningOp, ty: PhysType, n: usize, random: &mut Random) -> Vec<u64> {
    let special = [f64::INFINITY, f64::NAN, -0.0];
    let mut number = || {
        let bits = random.bits();
        let fraction = (bits >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
        let x = match (random.below(6000), op) {
            (0, _) => special[random.below(3)],
            (_, RunningOp::Sum) => fraction * 100.0,
            (_, RunningOp::Product) => 1.0 + fraction / 32.0,
        };
        match ty {
            PhysType::F32 => u64::from((x as f32).to_bits()),
            PhysType::F64 => x.to_bits(),
            _ => bits,
        }
    };
    (0..n).map(|_| number()).collect()
}

fn bytes(ty: PhysType, values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()[..ty.wide_bytes()].to_vec()).collect()
}

fn read(bench: &mut Bench, ty: PhysType, buffer: &DeviceBuffer, n: usize) -> Vec<u64> {
    let mut all = vec![0u8; n * ty.wide_bytes()];
    if n > 0 {
        bench.queue().download(buffer, 0, &mut all).unwrap();
    }
    let element = |b: &[u8]| {
        let mut le = [0; 8];
        le[..b.len()].copy_from_slice(b);
        u64::from_le_bytes(le)
    };
    all.chunks_exact(ty.wide_bytes()).map(element).collect()
}

/// A running result by a plain loop, in 64 bits for floats.
#[derive(Debug, Clone, Copy)]
struct At {
    whole: u64,
    value: f64,
    /// Elements so far, and the sum of their absolute values.
    count: f64,
    size: f64,
}

impl At {
    fn next(self, op: RunningOp, ty: PhysType, x: u64) -> Self {
        let (f, count) = (float(ty, x), self.count + 1.0);
        match op {
            RunningOp::Sum => Self {
                whole: self.whole.wrapping_add(x),
                value: self.value + f,
                size: self.size + f.abs(),
                count,
            },
            RunningOp::Product => {
                let value = self.value * f;
                Self { whole: self.whole.wrapping_mul(x), value, size: value.abs(), count }
            }
        }
    }

    /// Rounding errors of sums in any order are below n units of the sum of absolute values, of
    /// products below n units of the result (Higham, Accuracy and Stability of Numerical
    /// Algorithms, 4.2).
    fn is(self, ty: PhysType, got: u64) -> bool {
        if !ty.is_float() {
            return got == self.whole;
        }
        let x = float(ty, got);
        if self.value.is_nan() || self.value.is_infinite() {
            return x == self.value || (x.is_nan() && self.value.is_nan());
        }
        let unit = if ty == PhysType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        (x - self.value).abs() <= self.count * unit * self.size
    }
}

pub(crate) fn scans(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let info = device.info();
    let types = kernel_types(&*device);
    let long = info.backend != Backend::Wgpu || info.features.int64;
    for ty in PhysType::ALL.into_iter().filter(|ty| FoldOp::Sum.takes(*ty)) {
        for op in RunningOp::ALL {
            for (outer, n, inner) in LINES {
                for carried in [false, true] {
                    let lines = Lines { outer, n, inner };
                    let (mut random, results) = (Random(n as u64), lines.results());
                    let all = elements(op, ty, results * n, &mut random);
                    let first = elements(op, ty, results, &mut random);
                    let [values, before] =
                        [&all, &first].map(|v| upload(&mut bench, &bytes(ty, v)));
                    let before = carried.then_some(&before);
                    let mut r = device.pool().reserve(0).unwrap();
                    let queue = bench.queue();
                    let run = Run { op, lines, before };
                    let got = tile::scan(&*device, queue, &mut r, ty, &values, run);
                    let wide = matches!(ty, PhysType::I64 | PhysType::U64);
                    if results > 0 && (!types.contains(&ty) || (wide && !long)) {
                        let refused = matches!(got, Err(KernelError::Unsupported { .. }));
                        assert!(refused, "{ty}: {got:?}");
                        continue;
                    }
                    let got = got.unwrap_or_else(|e| panic!("{op:?} of {ty}: {e}"));
                    let last = read(&mut bench, ty, &got.last, results);
                    let got = read(&mut bench, ty, &got.values, results * n);
                    let nothing = if op == RunningOp::Sum { 0 } else { 1 };
                    let nothing =
                        At { whole: nothing, value: nothing as f64, count: 0.0, size: 0.0 };
                    for (line, last) in last.into_iter().enumerate() {
                        let (o, i) = (line / inner, line % inner);
                        let mut at = nothing;
                        if carried {
                            at = at.next(op, ty, first[line]);
                        }
                        for j in 0..n {
                            let place = (o * n + j) * inner + i;
                            at = at.next(op, ty, all[place]);
                            assert!(
                                at.is(ty, got[place]),
                                "{op:?} of {ty}, {lines:?}, carried: {carried}: element {place} \
                                 is {:#x}, expected {at:?}",
                                got[place]
                            );
                        }
                        assert_eq!(last, got[(o * n + n - 1) * inner + i], "the last");
                    }
                }
            }
        }
    }
}
