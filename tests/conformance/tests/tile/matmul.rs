//! Products of matrices.

use conformance::{Bench, Target, data::Random, host::extend, kernel_types};
use windlass_device::{Backend, DeviceBuffer};
use windlass_kernels::{
    KernelError, PhysType,
    tile::{Lengths, Matrix, Strided, matmul, multiplies},
};

use crate::upload;

/// Batch, m, n and k around a tile's edges and steps, several tiles, and none of an axis.
const LENGTHS: [[usize; 4]; 13] = [
    [1, 1, 1, 1],
    [1, 3, 5, 7],
    [1, 63, 65, 15],
    [1, 64, 64, 16],
    [1, 65, 63, 17],
    [2, 17, 33, 40],
    [1, 130, 70, 100],
    [1, 1, 200, 33],
    [1, 200, 1, 33],
    // More tiles than a launch has blocks.
    [9, 20, 66, 5],
    [2, 5, 6, 0],
    [1, 0, 6, 3],
    [0, 2, 2, 2],
];

/// An operand on the host: its elements, and where they lie.
struct Side {
    values: Vec<u128>,
    layout: Strided,
}

impl Side {
    /// `lens`: batch, rows, columns. `how`: rows dense, columns dense, either backwards or with
    /// gaps, or one matrix for the whole batch.
    fn new(ty: PhysType, lens: [usize; 3], how: usize, random: &mut Random) -> Self {
        let [batch, rows, columns] = lens.map(|n| n as isize);
        let (mut strides, mut first) = match how % 3 {
            0 => ([rows * columns, columns, 1], 0),
            1 => ([rows * columns, 1, rows], 2),
            _ => ([(rows + 1) * (columns * 2 + 1), columns * 2 + 1, 2], 5),
        };
        if how / 3 % 2 == 1 {
            first += (rows - 1).max(0) * strides[1];
            strides[1] = -strides[1];
        }
        if how / 6 % 2 == 1 {
            strides[0] = 0;
        }
        let last = |n: isize, s: isize| (n - 1).max(0) * s.max(0);
        let len = 1
            + first
            + last(batch, strides[0])
            + last(rows, strides[1])
            + last(columns, strides[2]);
        let values = (0..len).map(|_| number(ty, random)).collect();
        Self { values, layout: Strided { offset: first as usize, strides: strides.to_vec() } }
    }

    fn at(&self, batch: usize, row: usize, column: usize) -> u128 {
        let at = [batch, row, column].into_iter().zip(&self.layout.strides);
        let at = self.layout.offset as isize + at.map(|(i, s)| i as isize * s).sum::<isize>();
        self.values[at as usize]
    }
}

/// Any bits of an integer; fractions, of which one in thousands is infinite or no number.
fn number(ty: PhysType, random: &mut Random) -> u128 {
    let bits = random.bits();
    let special = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let x = match random.below(2000) {
        0 => special[random.below(3)],
        _ => (bits >> 11) as f64 / (1u64 << 53) as f64 - 0.5,
    };
    match ty {
        PhysType::F32 => u128::from((x as f32).to_bits()),
        PhysType::F64 => u128::from(x.to_bits()),
        _ => extend(ty, u128::from(bits)),
    }
}

fn float(ty: PhysType, bits: u128) -> f64 {
    match ty {
        PhysType::F32 => f64::from(f32::from_bits(bits as u32)),
        _ => f64::from_bits(bits as u64),
    }
}

fn bytes(ty: PhysType, values: &[u128]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()[..ty.wide_bytes()].to_vec()).collect()
}

fn read(bench: &mut Bench, ty: PhysType, buffer: &DeviceBuffer, n: usize) -> Vec<u128> {
    let mut all = vec![0u8; n * ty.wide_bytes()];
    if n > 0 {
        bench.queue().download(buffer, 0, &mut all).unwrap();
    }
    let element = |b: &[u8]| {
        let mut le = [0; 16];
        le[..b.len()].copy_from_slice(b);
        extend(ty, u128::from_le_bytes(le))
    };
    all.chunks_exact(ty.wide_bytes()).map(element).collect()
}

/// One result against a plain loop: rounding errors of `k` multiply-adds in any order are below
/// `k + 1` units of the sum of absolute values (Higham, Accuracy and Stability of Numerical
/// Algorithms, 3.5).
fn check(ty: PhysType, got: u128, start: u128, pairs: impl Iterator<Item = (u128, u128)>) -> bool {
    if !ty.is_float() {
        let sum = pairs.fold(start, |sum, (a, b)| sum.wrapping_add(a.wrapping_mul(b)));
        return extend(ty, sum) == got;
    }
    let start = float(ty, start);
    let (mut sum, mut size, mut k) = (start, start.abs(), 1.0);
    for (a, b) in pairs {
        let product = float(ty, a) * float(ty, b);
        (sum, size, k) = (sum + product, size + product.abs(), k + 1.0);
    }
    let got = float(ty, got);
    if sum.is_nan() || sum.is_infinite() {
        return got.is_nan() && sum.is_nan() || got == sum;
    }
    let unit = if ty == PhysType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    (got - sum).abs() <= k * unit * size
}

pub(crate) fn matmuls(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let info = device.info();
    let types = kernel_types(&*device);
    let long = info.backend != Backend::Wgpu || info.features.int64;
    let mut random = Random(5);
    for ty in PhysType::ALL.into_iter().filter(|ty| multiplies(*ty)) {
        for (case, [batch, m, n, k]) in LENGTHS.into_iter().enumerate() {
            let lengths = Lengths { batch, m, n, k };
            for how in 0..4 {
                // Each layout of either side beside each of the other, over the lengths.
                let (left, right) = (case * 4 + how, case + how * 3);
                let a = Side::new(ty, [batch, m, k], left, &mut random);
                let b = Side::new(ty, [batch, k, n], right, &mut random);
                let results = batch * m * n;
                let start: Vec<u128> = (0..results).map(|_| number(ty, &mut random)).collect();
                let [from_a, from_b, plus] = [&a.values, &b.values, &start]
                    .map(|values| upload(&mut bench, &bytes(ty, values)));
                let matrices = [(&from_a, &a), (&from_b, &b)]
                    .map(|(values, s)| Matrix { values, layout: s.layout.clone() });
                let added = how % 2 == 1;
                let mut r = device.pool().reserve(0).unwrap();
                let got = matmul(
                    &*device,
                    bench.queue(),
                    &mut r,
                    ty,
                    lengths,
                    [&matrices[0], &matrices[1]],
                    added.then_some(&plus),
                );
                let wide = matches!(ty, PhysType::I64 | PhysType::U64);
                if results > 0 && (!types.contains(&ty) || (wide && !long)) {
                    assert!(matches!(got, Err(KernelError::Unsupported { .. })), "{ty}: {got:?}");
                    continue;
                }
                let got = got.unwrap_or_else(|e| panic!("{ty} {lengths:?}: {e}"));
                let got = read(&mut bench, ty, &got, results);
                for (at, got) in got.into_iter().enumerate() {
                    let (matrix, i, j) = (at / (m * n), at / n % m, at % n);
                    let pairs = (0..k).map(|l| (a.at(matrix, i, l), b.at(matrix, l, j)));
                    let start = if added { start[at] } else { 0 };
                    assert!(
                        check(ty, got, start, pairs),
                        "{ty} {lengths:?}, layouts {left} and {right}, added: {added}: element \
                         {at} is {got:#x}"
                    );
                }
            }
        }
    }
}
