//! Numbers at the edges of what functions and casts tell apart: ties of roundings, the ends of
//! the integers, the significands and exponents of floats, and where `exp` and `pow` end.

use conformance::{
    Bench, HostColumn, Presented, Target,
    host::{extend, truncate},
};
use windlass_kernels::{
    PhysType,
    ir::{BinaryOp, CastMode, Program, UnaryOp, ValueId},
    pipeline::FilterProject,
};

// Kernels without barriers, as those of `operations.rs`.
conformance::everywhere!(cpu, emulated, wgpu, wgpu_narrow, real:
    integers_to_floats,
    floats_to_integers,
    subnormals_to_integers,
    remainders,
    exponentials,
    powers,
);
conformance::everywhere!(emulated_checked: floats_to_integers);

/// Runs what `make` adds to a program over the columns, in one kernel.
fn check(
    bench: &mut Bench,
    columns: &[HostColumn],
    make: impl Fn(&mut Program, &[ValueId]) -> Vec<ValueId>,
) {
    let mut p = Program::new();
    let ids: Vec<ValueId> = columns.iter().map(|c| p.input(c.ty, false)).collect();
    let outputs = make(&mut p, &ids);
    let plan = FilterProject { program: p, filter: None, outputs };
    bench.check(&plan, columns, &[], Presented::Wide);
}

/// Casts to types, as values and as nulls where they do not fit; few in a kernel, and those
/// that some device lacks alone.
fn check_casts(bench: &mut Bench, column: &HostColumn, types: &[PhysType]) {
    let (lacked, had): (Vec<_>, Vec<_>) =
        types.iter().copied().partition(|t| matches!(t, PhysType::F64 | PhysType::I128));
    for types in had.chunks(3).chain(lacked.chunks(1)) {
        check(bench, std::slice::from_ref(column), |p, x| {
            let both = [CastMode::Wrap, CastMode::Null];
            let casts = types.iter().flat_map(|to| both.map(|mode| (*to, mode)));
            casts.map(|(to, mode)| p.cast(x[0], to, mode, None).unwrap()).collect()
        });
    }
}

fn bits(ty: PhysType) -> u32 {
    ty.packed_bytes().map_or(1, |b| b as u32 * 8)
}

/// Integers of which the bits past a float's significand are a half, or nearly: for each place
/// of the significand, even and odd ones and those that round to the next power of two.
fn halves(ty: PhysType) -> HostColumn {
    let most = bits(ty) - u32::from(ty.is_signed());
    let mut values: Vec<u128> = vec![0, 1, 2, 3];
    for (digits, below) in [(24u32, 8u32), (53, 11), (24, 1), (53, 1)] {
        let half = 1u128 << (below - 1);
        let significands = [
            1 << (digits - 1),
            (1 << (digits - 1)) + 1,
            (1 << digits) - 2,
            (1u128 << digits) - 1,
            0x1b_cdef_0123_4567 >> (53 - digits),
        ];
        for shift in [0, 1, 8, 15, 31, 32, 33, 63, 64, 71, 94, 95] {
            if digits + below + shift > most {
                continue;
            }
            for significand in significands {
                for rest in [0, half.saturating_sub(1), half, half + 1, 2 * half - 1] {
                    let at = (significand << below | rest) << shift;
                    values.extend([at, at | 1, at | ((1 << shift) - 1)]);
                }
            }
        }
    }
    if ty.is_signed() {
        values.extend_from_within(..);
        let middle = values.len() / 2;
        values[middle..].iter_mut().for_each(|v| *v = v.wrapping_neg());
    }
    let values = values.into_iter().map(|v| Some(extend(ty, truncate(ty, v)))).collect();
    HostColumn { ty, values }
}

fn integers_to_floats(target: Target) {
    let mut bench = Bench::new(target);
    for ty in [PhysType::I32, PhysType::U32, PhysType::I64, PhysType::U64, PhysType::I128] {
        let column = halves(ty);
        for to in [PhysType::F32, PhysType::F64] {
            check(&mut bench, std::slice::from_ref(&column), |p, x| {
                vec![p.cast(x[0], to, CastMode::Wrap, None).unwrap()]
            });
        }
    }
}

fn float_bits(ty: PhysType, v: f64) -> u128 {
    match ty {
        PhysType::F32 => u128::from((v as f32).to_bits()),
        _ => u128::from(v.to_bits()),
    }
}

/// Floats of every exponent up to past 128 bits with different significands, the ends of the
/// integers with their neighbours, and NaNs that differ from an infinity by one bit.
fn floats(ty: PhysType) -> HostColumn {
    let (fraction, bias, exponents) =
        if ty == PhysType::F32 { (23, 127u128, 127) } else { (52, 1023, 130) };
    let ones = (1u128 << fraction) - 1;
    let mut values = Vec::new();
    for exponent in bias - 3..=bias + exponents {
        for low in [0, 1, ones / 2 + 1, ones / 3, ones - 1, ones] {
            values.push((exponent << fraction) | low);
        }
    }
    for power in [7, 8, 15, 16, 31, 32, 63, 64, 127, 128] {
        let end = 2f64.powi(power);
        let near = [end - 1.0, end - 0.5, end + 0.5, end + 1.0, end / 2.0 + 0.5];
        values.extend(near.map(|v| float_bits(ty, v)));
    }
    values.extend([0, 5, 15, 25].map(|tenths| float_bits(ty, f64::from(tenths) / 10.0)));
    values.extend_from_within(..);
    let middle = values.len() / 2;
    let sign = 1u128 << (bits(ty) - 1);
    values[middle..].iter_mut().for_each(|v| *v |= sign);
    let infinity = (2 * bias + 1) << fraction;
    let nans = [1, 1 << (fraction / 2 + 6), 1 << (fraction - 1), ones];
    values.extend(nans.map(|n| infinity | n));
    values.extend([infinity, infinity | sign, infinity | sign | 1]);
    HostColumn { ty, values: values.into_iter().map(Some).collect() }
}

/// What a float of either width is cast to; the widths between are of the same code.
const TARGETS: [PhysType; 8] = [
    PhysType::Bool,
    PhysType::I8,
    PhysType::U8,
    PhysType::I32,
    PhysType::U32,
    PhysType::I64,
    PhysType::U64,
    PhysType::I128,
];

fn floats_to_integers(target: Target) {
    let mut bench = Bench::new(target);
    for ty in [PhysType::F32, PhysType::F64] {
        let column = floats(ty);
        check_casts(&mut bench, &column, &TARGETS);
        let other = if ty == PhysType::F32 { PhysType::F64 } else { PhysType::F32 };
        check_casts(&mut bench, &column, &[other]);
        check(&mut bench, &[column], |p, x| {
            [UnaryOp::Round, UnaryOp::Floor, UnaryOp::Ceil, UnaryOp::Trunc, UnaryOp::Sqrt]
                .map(|op| p.unary(op, x[0], None).unwrap())
                .to_vec()
        });
    }
}

/// The smallest floats are neither 0 nor a number that an integer has.
fn subnormals_to_integers(target: Target) {
    let mut bench = Bench::new(target);
    for (ty, fraction) in [(PhysType::F32, 23), (PhysType::F64, 52)] {
        let sign = 1u128 << (bits(ty) - 1);
        let each = (0..fraction).map(|b| 1u128 << b);
        let values = each.flat_map(|v| [Some(v), Some(v | sign)]).collect();
        check_casts(&mut bench, &HostColumn { ty, values }, &TARGETS[..4]);
    }
}

/// Both columns of all pairs of numbers.
fn pairs(ty: PhysType, a: &[u128], b: &[u128]) -> [HostColumn; 2] {
    let rows = || a.iter().flat_map(|x| b.iter().map(|y| (Some(*x), Some(*y))));
    let (x, y) = rows().unzip();
    [HostColumn { ty, values: x }, HostColumn { ty, values: y }]
}

/// Remainders of and by subnormal numbers, of neighbours, and of exponents far apart.
fn remainders(target: Target) {
    let mut bench = Bench::new(target);
    for (ty, fraction, bias) in [(PhysType::F32, 23, 127u128), (PhysType::F64, 52, 1023)] {
        let float = |exponent: u128, low: u128| (exponent << fraction) | low;
        let half = 1u128 << (fraction - 1);
        let sign = 1u128 << (bits(ty) - 1);
        let infinity = float(2 * bias + 1, 0);
        let mut values = vec![0, 1, 2, 3, half, half + 1, half / 2, 2 * half - 1];
        for exponent in [1, 2, 3, bias - 1, bias, bias + 1, bias + fraction, 2 * bias] {
            let lows = [0, 1, half, half + half / 2, half / 3];
            values.extend(lows.map(|low| float(exponent, low)));
        }
        values.extend([infinity, infinity | 1, infinity | 1 << (fraction / 2 + 6)]);
        let mut signed = values.clone();
        signed.extend(values.iter().step_by(2).map(|v| v | sign));
        check(&mut bench, &pairs(ty, &signed, &signed), |p, x| {
            vec![p.binary(BinaryOp::Rem, x[0], x[1], None).unwrap()]
        });
    }
}

/// Where results are neither 0 nor infinite, and just outside.
fn exponentials(target: Target) {
    let mut bench = Bench::new(target);
    for ty in [PhysType::F32, PhysType::F64] {
        let steps = (-1100..=1000).map(|i| f64::from(i) / 10.0);
        let ends = [88.7, 88.9, 104.5, -103.5, -104.5, -105.0, 709.5, 710.5, -745.0, -746.5];
        let powers = (-126..127).map(|e| 2f64.powi(e) * 1.25);
        let values = steps.chain(ends).chain(powers).map(|v| Some(float_bits(ty, v))).collect();
        let column = HostColumn { ty, values };
        for op in [UnaryOp::Exp, UnaryOp::Ln, UnaryOp::Log2, UnaryOp::Log10, UnaryOp::Sqrt] {
            check(&mut bench, std::slice::from_ref(&column), |p, x| {
                vec![p.unary(op, x[0], None).unwrap()]
            });
        }
    }
}

/// Every kind of base to every kind of exponent: whole, odd and even, past the whole ones, and
/// those at which powers of two leave the floats.
fn powers(target: Target) {
    let mut bench = Bench::new(target);
    let bases = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 10.0, 1e10, 1e-10, 1e38, f64::INFINITY];
    let exponents = [
        0.0,
        0.5,
        1.0,
        2.0,
        2.5,
        3.0,
        7.0,
        10.0,
        11.0,
        31.0,
        127.0,
        128.0,
        129.0,
        140.0,
        151.0,
        f64::INFINITY,
    ];
    // Whole exponents that only bases without a fraction of a logarithm take.
    let large = [16_777_215.0, 16_777_216.0, 16_777_218.0, 33_554_432.0];
    let exact = [0.0, 0.5, 1.0, 2.0, f64::INFINITY, f64::NAN];
    for ty in [PhysType::F32, PhysType::F64] {
        let both = |list: &[f64]| -> Vec<u128> {
            list.iter().flat_map(|v| [float_bits(ty, *v), float_bits(ty, -v)]).collect()
        };
        for (bases, exponents) in [(&bases[..], &exponents[..]), (&exact, &large)] {
            check(&mut bench, &pairs(ty, &both(bases), &both(exponents)), |p, x| {
                vec![p.binary(BinaryOp::Pow, x[0], x[1], None).unwrap()]
            });
        }
    }
}
