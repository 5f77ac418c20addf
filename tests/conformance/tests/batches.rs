//! Whole batches: sizes, selectivities, layouts, errors, and random programs.

use conformance::{
    Bench, HostColumn, Presented, Target,
    data::{self, Nulls, Random},
};
use proptest::prelude::*;
use windlass_kernels::{
    DeviceBatch, KernelError, PhysType, Scalar,
    ir::{BinaryOp, CastMode, Program, UnaryOp, ValueId},
    pipeline::FilterProject,
};

conformance::everywhere!(all:
    sizes,
    many_rows,
    every_type_moves,
    low_half,
    passed_through,
    errors,
    refused,
    too_many_buffers,
    random,
);

conformance::everywhere!(wgpu_reversed: sizes, every_type_moves);

/// Types of a device's kernels.
fn types(bench: &Bench) -> Vec<PhysType> {
    conformance::kernel_types(bench.device())
}

fn i64_column(values: impl Iterator<Item = Option<i64>>) -> HostColumn {
    let values = values.map(|v| v.map(|v| u128::from(v as u64))).collect();
    HostColumn { ty: PhysType::I64, values }
}

/// `a % 5 < b` keeps `a + a`, a comparison and a narrow cast.
fn filtered(nullable: bool) -> FilterProject {
    let mut p = Program::new();
    let (a, b) = (p.input(PhysType::I64, nullable), p.input(PhysType::I32, nullable));
    let five = p.constant(Scalar::Int(PhysType::I64, 5));
    let rest = p.binary(BinaryOp::FloorMod, a, five, None).unwrap();
    let wide = p.cast(b, PhysType::I64, CastMode::Wrap, None).unwrap();
    let keep = p.binary(BinaryOp::Lt, rest, wide, None).unwrap();
    let twice = p.binary(BinaryOp::Add, a, a, None).unwrap();
    let narrow = p.cast(a, PhysType::I8, CastMode::Wrap, None).unwrap();
    let equal = p.binary(BinaryOp::Eq, rest, wide, None).unwrap();
    FilterProject { program: p, filter: Some(keep), outputs: vec![twice, narrow, equal, a] }
}

/// Sizes around a warp, a block, a tile and a chunk.
const SIZES: [usize; 16] =
    [0, 1, 2, 31, 32, 33, 65, 255, 256, 257, 1023, 1024, 1025, 2048, 3000, 5121];

fn sizes(target: Target) {
    let mut bench = Bench::new(target);
    for (nulls, how) in [
        (Nulls::OneIn(4), Presented::Packed(6)),
        (Nulls::None, Presented::Packed(0)),
        (Nulls::OneIn(3), Presented::Wide),
        (Nulls::All, Presented::Packed(1)),
    ] {
        let plan = filtered(nulls != Nulls::None);
        for rows in SIZES {
            let a = data::column(PhysType::I64, rows, nulls, rows as u64);
            let mut b = data::column(PhysType::I32, rows, nulls, 77);
            b.values.iter_mut().flatten().for_each(|v| *v %= 6);
            bench.check(&plan, &[a, b], &[], how);
        }
    }
}

/// More tiles than the scan takes in one block, and selections that leave tiles empty or
/// full.
fn many_rows(target: Target) {
    if target == Target::Cpu {
        // The interpreter is what the others are compared with here; sizes cover it.
        return;
    }
    let mut bench = Bench::new(target);
    let rows = 2_200_000;
    let plan = filtered(false);
    let a = i64_column((0..rows as i64).map(Some));
    let tile = 1024;
    let kept = |i: usize| match i / tile % 4 {
        0 => 0,
        1 => 5,
        2 => u128::from(i.is_multiple_of(tile)) * 5,
        _ => u128::from(i.is_multiple_of(3)) * 5,
    };
    let b = HostColumn { ty: PhysType::I32, values: (0..rows).map(|i| Some(kept(i))).collect() };
    bench.check_many(&plan, &[a, b], Presented::Packed(0));
}

/// Every type through the filter, with nulls and without.
fn every_type_moves(target: Target) {
    let mut bench = Bench::new(target);
    for types in types(&bench).chunks(4) {
        for (nulls, how) in
            [(Nulls::OneIn(5), Presented::Packed(5)), (Nulls::None, Presented::Wide)]
        {
            let mut p = Program::new();
            let keep = p.input(PhysType::Bool, true);
            let mut inputs = vec![data::column(PhysType::Bool, 2500, Nulls::OneIn(6), 1)];
            let mut outputs = Vec::new();
            for (i, ty) in types.iter().enumerate() {
                outputs.push(p.input(*ty, nulls != Nulls::None));
                inputs.push(data::column(*ty, 2500, nulls, i as u64 + 2));
            }
            let plan = FilterProject { program: p, filter: Some(keep), outputs };
            bench.check(&plan, &inputs, &[], how);
        }
    }
}

/// A decimal of up to 18 digits is read from Arrow's 16 bytes.
fn low_half(target: Target) {
    let mut bench = Bench::new(target);
    let mut p = Program::new();
    let a = p.input(PhysType::I64, true);
    let twice = p.binary(BinaryOp::Add, a, a, None).unwrap();
    let plan = FilterProject { program: p, filter: None, outputs: vec![twice] };
    let narrow = data::column(PhysType::I64, 300, Nulls::OneIn(4), 3);
    let wide = HostColumn {
        ty: PhysType::I128,
        values: narrow.values.iter().map(|v| v.map(|v| i128::from(v as i64) as u128)).collect(),
    };
    let (device, pool) = (bench.device_arc(), bench.device().pool().clone());
    let column = wide.upload(&*device, bench.queue(), Presented::Packed(2));
    let batch = DeviceBatch { rows: 300, columns: vec![column] };
    let mut r = pool.reserve(0).unwrap();
    let out = plan.run(&*device, bench.queue(), &mut r, &batch, &[]).unwrap();
    let got = HostColumn::download(bench.queue(), &out.columns[0], 300);
    for (x, y) in narrow.values.iter().zip(&got.values) {
        assert_eq!(x.map(|v| (v as i64).wrapping_mul(2)), y.map(|v| v as i64));
    }
}

/// Without a filter an input that is an output is not copied.
fn passed_through(target: Target) {
    let mut bench = Bench::new(target);
    let mut p = Program::new();
    let (a, b) = (p.input(PhysType::I32, true), p.input(PhysType::I32, true));
    let sum = p.binary(BinaryOp::Add, a, b, None).unwrap();
    let columns = [1, 2].map(|s| data::column(PhysType::I32, 500, Nulls::OneIn(4), s));
    for outputs in [vec![a, sum, b], vec![b, a]] {
        let plan = FilterProject { program: p.clone(), filter: None, outputs };
        bench.check(&plan, &columns, &[], Presented::Packed(4));
    }
}

/// One row fails: by kind, by type, and not where it is null, guarded or dropped.
fn errors(target: Target) {
    let mut bench = Bench::new(target);
    type Make = fn(&mut Program, ValueId, ValueId, Option<ValueId>) -> ValueId;
    let cases: [(PhysType, i64, i64, Make); 9] = [
        (PhysType::I32, 7, 0, |p, a, b, g| p.binary(BinaryOp::Div, a, b, g).unwrap()),
        (PhysType::U8, 7, 0, |p, a, b, g| p.binary(BinaryOp::Rem, a, b, g).unwrap()),
        (PhysType::I64, i64::MIN, -1, |p, a, b, g| p.binary(BinaryOp::Div, a, b, g).unwrap()),
        (PhysType::I8, -128, -1, |p, a, b, g| p.binary(BinaryOp::Div, a, b, g).unwrap()),
        (PhysType::I64, i64::MAX, 1, |p, a, b, g| p.binary(BinaryOp::AddChecked, a, b, g).unwrap()),
        (PhysType::I64, i64::MIN, 1, |p, a, b, g| p.binary(BinaryOp::SubChecked, a, b, g).unwrap()),
        (PhysType::I64, 1 << 40, 1 << 40, |p, a, b, g| {
            p.binary(BinaryOp::MulChecked, a, b, g).unwrap()
        }),
        (PhysType::I32, i64::from(i32::MIN), 1, |p, a, _, g| p.unary(UnaryOp::Abs, a, g).unwrap()),
        (PhysType::I64, 1 << 33, 1, |p, a, _, g| {
            p.cast(a, PhysType::I32, CastMode::Error, g).unwrap()
        }),
    ];
    // Instrumented kernels take long to compile: one of each kind of error.
    let step = if target == Target::EmulatedChecked { 4 } else { 1 };
    for (ty, x, y, make) in cases.into_iter().step_by(step) {
        let bad = 1300;
        let column = |v: i64| {
            let mut values = vec![Some(3u128); 1400];
            values[bad] = Some(conformance::host::truncate(ty, v as u128));
            HostColumn { ty, values }
        };
        let (a, b) = (column(x), column(y));
        let mut fine = HostColumn { ty: PhysType::Bool, values: vec![Some(1); 1400] };
        let mut p = Program::new();
        let (ia, ib) = (p.input(ty, true), p.input(ty, false));
        let ig = p.input(PhysType::Bool, true);
        let bare = make(&mut p, ia, ib, None);
        let guarded = make(&mut p, ia, ib, Some(ig));
        let plan = |filter, id| FilterProject { program: p.clone(), filter, outputs: vec![id] };
        let all = [a.clone(), b.clone(), fine.clone()];
        bench.check(&plan(None, bare), &all, &[], Presented::Packed(0));
        bench.check(&plan(None, guarded), &all, &[], Presented::Packed(0));
        for guard in [Some(0), None] {
            fine.values[bad] = guard;
            let all = [a.clone(), b.clone(), fine.clone()];
            bench.check(&plan(None, bare), &all, &[], Presented::Packed(3));
            bench.check(&plan(None, guarded), &all, &[], Presented::Packed(3));
            bench.check(&plan(Some(ig), bare), &all, &[], Presented::Packed(3));
        }
        let mut null = a.clone();
        null.values[bad] = None;
        fine.values[bad] = Some(1);
        bench.check(&plan(None, bare), &[null, b, fine], &[], Presented::Packed(0));
    }
}

/// Batches that do not fit the program.
fn refused(target: Target) {
    let mut bench = Bench::new(target);
    let plan = filtered(true);
    let (device, pool) = (bench.device_arc(), bench.device().pool().clone());
    let a = data::column(PhysType::I64, 10, Nulls::OneIn(2), 1);
    let b = data::column(PhysType::I32, 10, Nulls::OneIn(2), 2);
    let (a, b) = (
        a.upload(&*device, bench.queue(), Presented::Packed(0)),
        b.upload(&*device, bench.queue(), Presented::Packed(0)),
    );
    let batches =
        [(11, vec![a.clone(), b.clone()]), (10, vec![b.clone(), a.clone()]), (10, vec![a])];
    for (rows, columns) in batches {
        let batch = DeviceBatch { rows, columns };
        let mut r = pool.reserve(0).unwrap();
        let e = plan.run(&*device, bench.queue(), &mut r, &batch, &[]).unwrap_err();
        assert!(matches!(e, KernelError::Invalid { .. }), "{e}");
    }
}

/// More outputs than a kernel can bind are refused before any work, with the figures.
fn too_many_buffers(target: Target) {
    let bench = Bench::new(target);
    let most = bench.device().info().limits.max_buffers;
    if most > 10_000 {
        assert_eq!(target, Target::Cpu, "only the interpreter binds nothing");
        return;
    }
    let mut p = Program::new();
    let a = p.input(PhysType::I32, true);
    let outputs = (0..most as i128)
        .map(|i| {
            let c = p.constant(Scalar::Int(PhysType::I32, i));
            p.binary(BinaryOp::Add, a, c, None).unwrap()
        })
        .collect();
    let plan = FilterProject { program: p, filter: None, outputs };
    let e = plan.supported(bench.device()).unwrap_err().to_string();
    assert!(e.contains(&format!("a kernel can bind {most}")), "{e}");
}

/// A program of random values. Float arithmetic is left to `operations.rs`: which NaN it
/// gives is open, and here every value may be compared.
fn random_plan(types: &[PhysType], seed: u64) -> (FilterProject, Vec<HostColumn>) {
    let mut random = Random(seed);
    let rows = [1, 33, 300, 1025, 1500][random.below(5)];
    let mut p = Program::new();
    let mut inputs = Vec::new();
    for i in 0..4 {
        let ty = if i == 0 { PhysType::Bool } else { types[random.below(types.len())] };
        let nulls = [Nulls::None, Nulls::OneIn(3)][random.below(2)];
        let column = data::column(ty, rows, nulls, random.bits());
        p.input(ty, column.values.iter().any(Option::is_none));
        inputs.push(column);
    }
    const UNARY: [UnaryOp; 10] = [
        UnaryOp::Not,
        UnaryOp::IsNull,
        UnaryOp::IsNotNull,
        UnaryOp::Neg,
        UnaryOp::Abs,
        UnaryOp::BitNot,
        UnaryOp::YearOfDate,
        UnaryOp::MonthOfDate,
        UnaryOp::DayOfDate,
        UnaryOp::MonthStart,
    ];
    const BINARY: [BinaryOp; 21] = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Rem,
        BinaryOp::AddChecked,
        BinaryOp::MulChecked,
        BinaryOp::Eq,
        BinaryOp::Ne,
        BinaryOp::Lt,
        BinaryOp::Le,
        BinaryOp::Gt,
        BinaryOp::Ge,
        BinaryOp::Distinct,
        BinaryOp::NotDistinct,
        BinaryOp::And,
        BinaryOp::Or,
        BinaryOp::BitXor,
        BinaryOp::BitAnd,
        BinaryOp::Shl,
        BinaryOp::Shr,
    ];
    let mut ids: Vec<ValueId> = (0..4).map(ValueId).collect();
    for _ in 0..40 {
        let pick = |random: &mut Random, ids: &[ValueId]| ids[random.below(ids.len())];
        let (a, mut b) = (pick(&mut random, &ids), pick(&mut random, &ids));
        let of_type = |p: &Program, ty: PhysType| -> Vec<ValueId> {
            ids.iter().copied().filter(|id| p.ty(*id) == ty).collect()
        };
        let bools = of_type(&p, PhysType::Bool);
        let guard = (random.below(3) > 0).then(|| bools[random.below(bools.len())]);
        let same = of_type(&p, p.ty(a));
        b = if random.below(8) == 0 { b } else { same[random.below(same.len())] };
        let float = p.ty(a).is_float();
        let made = match random.below(6) {
            0 => p.unary(UNARY[random.below(UNARY.len())], a, guard).ok(),
            1..4 => {
                let op = BINARY[random.below(BINARY.len())];
                let arithmetic = matches!(
                    op,
                    BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem
                );
                if float && arithmetic { None } else { p.binary(op, a, b, guard).ok() }
            }
            4 => {
                let mode = [CastMode::Wrap, CastMode::Null, CastMode::Error][random.below(3)];
                p.cast(a, types[random.below(types.len())], mode, guard).ok()
            }
            _ => p.select(bools[random.below(bools.len())], a, b).ok(),
        };
        ids.extend(made);
    }
    let bools: Vec<_> = ids.iter().copied().filter(|id| p.ty(*id) == PhysType::Bool).collect();
    let filter = (random.below(3) > 0).then(|| bools[random.below(bools.len())]);
    let outputs = (0..4).map(|_| ids[ids.len() - 1 - random.below(ids.len().min(14))]).collect();
    p.check().unwrap();
    (FilterProject { program: p, filter, outputs }, inputs)
}

/// Random programs a target runs: each is compiled, so few where that takes long; fresh
/// ones at every run.
fn cases(target: Target) -> u32 {
    let cases = match target {
        Target::Cpu => 600,
        Target::Emulated | Target::Wgpu | Target::WgpuNarrow | Target::Real => 25,
        _ => 6,
    };
    let more = std::env::var("WINDLASS_CONFORMANCE_CASES").ok();
    more.and_then(|n| n.parse().ok()).unwrap_or(cases)
}

fn random(target: Target) {
    let bench = Bench::new(target);
    let types = types(&bench);
    let config = ProptestConfig {
        cases: cases(target),
        failure_persistence: None,
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    };
    let bench = std::cell::RefCell::new(bench);
    proptest!(config, |(seed in any::<u64>(), how in 0..9u32)| {
        let how = if how == 8 { Presented::Wide } else { Presented::Packed(how) };
        let (plan, inputs) = random_plan(&types, seed);
        bench.borrow_mut().check(&plan, &inputs, &[], how);
    });
}
