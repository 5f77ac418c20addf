//! Every operation of every type, on the extremes in every pair.

use conformance::{
    Bench, HostColumn, Presented, Target,
    data::{self, Nulls},
    reference,
};
use windlass_kernels::{
    PhysType, Scalar,
    ir::{BinaryOp, CastMode, MathOp, Program, UnaryOp, ValueId},
    pipeline::FilterProject,
};

/// Outputs of one kernel: few enough for the buffers of any adapter.
const OUTPUTS: usize = 6;
/// Pseudo-random rows beside the extremes; with them the rows pass a block's.
const MORE_ROWS: usize = 700;

// Every access and every operation of C++ checked.
conformance::everywhere!(emulated_checked: checked, lookup, row_numbers);
conformance::everywhere!(emulated_checked_long:
    unary, binary, functions, float_order, divisions_by_constants, casts, select, constants);
// These kernels have no barrier, so the orders of threads and blocks are left to `batches.rs`.
conformance::everywhere!(cpu, emulated, wgpu, wgpu_narrow, real:
    unary,
    binary,
    functions,
    float_order,
    row_numbers,
    checked,
    divisions_by_constants,
    long_divisions,
    wide_products,
    failures,
    casts,
    logic,
    select,
    lookup,
    constants,
    dates,
);

/// A program over columns, collecting outputs.
struct Case {
    p: Program,
    inputs: Vec<HostColumn>,
    outputs: Vec<ValueId>,
}

impl Case {
    fn new(inputs: Vec<HostColumn>) -> (Self, Vec<ValueId>) {
        let mut p = Program::new();
        let ids =
            inputs.iter().map(|c| p.input(c.ty, c.values.iter().any(Option::is_none))).collect();
        (Self { p, inputs, outputs: vec![] }, ids)
    }

    /// Adds a column that is true in the rows where `make`, unguarded, does not fail.
    fn guard(&mut self, make: impl Fn(&mut Program) -> Option<ValueId>) -> Option<ValueId> {
        let mut p = self.p.clone();
        let id = make(&mut p)?;
        if !p.can_fail() {
            return None;
        }
        let plan = FilterProject { program: p, filter: None, outputs: vec![id] };
        let rows = self.inputs[0].rows();
        let fine = (0..rows).map(|row| {
            let one: Vec<HostColumn> = self
                .inputs
                .iter()
                .map(|c| HostColumn { ty: c.ty, values: vec![c.values[row]] })
                .collect();
            Some(u128::from(reference::run(&plan, &one, &[], 1).is_ok()))
        });
        let column = HostColumn { ty: PhysType::Bool, values: fine.collect() };
        // Null guards do not raise either.
        let mut column = column;
        for v in column.values.iter_mut().filter(|v| **v == Some(0)).step_by(2) {
            *v = None;
        }
        let nullable = column.values.iter().any(Option::is_none);
        self.inputs.push(column);
        Some(self.p.input(PhysType::Bool, nullable))
    }

    fn check(&self, bench: &mut Bench, how: Presented) {
        for outputs in self.outputs.chunks(OUTPUTS) {
            let plan =
                FilterProject { program: self.p.clone(), filter: None, outputs: outputs.to_vec() };
            bench.check(&plan, &self.inputs, &[], how);
        }
    }
}

/// The two ways in which columns are given: Arrow's at an odd bit with nulls, and the
/// kernels' own with none.
const WAYS: [(Nulls, Presented); 2] =
    [(Nulls::OneIn(7), Presented::Packed(3)), (Nulls::None, Presented::Wide)];

fn unary(target: Target) {
    use UnaryOp as U;
    const ALL: [UnaryOp; 19] = [
        U::Not,
        U::IsNull,
        U::IsNotNull,
        U::Neg,
        U::Abs,
        U::BitNot,
        U::Sqrt,
        U::Exp,
        U::Ln,
        U::Log2,
        U::Log10,
        U::Floor,
        U::Ceil,
        U::Round,
        U::Trunc,
        U::YearOfDate,
        U::MonthOfDate,
        U::DayOfDate,
        U::MonthStart,
    ];
    let mut bench = Bench::new(target);
    for ty in PhysType::ALL {
        for (nulls, how) in WAYS {
            let [a, _] = data::pairs(ty, nulls, MORE_ROWS);
            let (mut case, ids) = Case::new(vec![a]);
            for op in ALL {
                // What a shader language lacks would take the others with it.
                let alone =
                    ty == PhysType::F64 && matches!(op, U::Exp | U::Ln | U::Log2 | U::Log10);
                let guard = case.guard(|p| p.unary(op, ids[0], None).ok());
                if let Ok(id) = case.p.unary(op, ids[0], guard) {
                    if alone {
                        let plan = FilterProject {
                            program: case.p.clone(),
                            filter: None,
                            outputs: vec![id],
                        };
                        bench.check(&plan, &case.inputs, &[], how);
                    } else {
                        case.outputs.push(id);
                    }
                }
            }
            case.check(&mut bench, how);
        }
    }
}

fn binary(target: Target) {
    use BinaryOp as B;
    const ALL: [BinaryOp; 18] = [
        B::Add,
        B::Sub,
        B::Mul,
        B::Div,
        B::Rem,
        B::Eq,
        B::Ne,
        B::Lt,
        B::Le,
        B::Gt,
        B::Ge,
        B::Distinct,
        B::NotDistinct,
        B::BitAnd,
        B::BitOr,
        B::BitXor,
        B::Shl,
        B::Shr,
    ];
    let mut bench = Bench::new(target);
    for ty in PhysType::ALL {
        for (nulls, how) in WAYS {
            let (mut case, ids) = Case::new(data::pairs(ty, nulls, MORE_ROWS).into());
            for op in ALL {
                let guard = case.guard(|p| p.binary(op, ids[0], ids[1], None).ok());
                case.outputs.extend(case.p.binary(op, ids[0], ids[1], guard));
            }
            case.check(&mut bench, how);
            if ty.is_float() {
                let id = case.p.binary(B::Pow, ids[0], ids[1], None).unwrap();
                case.outputs = vec![id];
                // 1 to the power of a signalling NaN is 1 or NaN: all are made quiet.
                let (infinity, quiet) = match ty {
                    PhysType::F32 => (u128::from(f32::INFINITY.to_bits()), 1 << 22),
                    _ => (u128::from(f64::INFINITY.to_bits()), 1 << 51),
                };
                let all = case.inputs[..2].iter_mut().flat_map(|c| c.values.iter_mut().flatten());
                all.filter(|v| **v & infinity == infinity && **v & (quiet - 1) != 0)
                    .for_each(|v| *v |= quiet);
                case.check(&mut bench, how);
            }
        }
    }
}

/// The functions of floats; apart, since a shader language lacks those of 64 bits.
fn functions(target: Target) {
    let mut bench = Bench::new(target);
    for ty in [PhysType::F32, PhysType::F64] {
        for (nulls, how) in WAYS {
            let mut columns = data::pairs(ty, nulls, MORE_ROWS);
            // Operands of every size, beside the extremes: angles of many turns, too.
            for (i, v) in columns[0].values.iter_mut().enumerate().skip(300) {
                let x = (i as f64 * 0.618).fract() - 0.5;
                let x = x * 10f64.powi(i as i32 % 14 - 5);
                *v = v.map(|_| match ty {
                    PhysType::F32 => u128::from((x as f32).to_bits()),
                    _ => u128::from(x.to_bits()),
                });
            }
            let (mut case, ids) = Case::new(columns.into());
            for op in MathOp::ALL {
                let id = case.p.unary(UnaryOp::Math(op), ids[0], None).unwrap();
                case.outputs.push(id);
            }
            for op in [BinaryOp::Atan2, BinaryOp::Hypot] {
                case.outputs.push(case.p.binary(op, ids[0], ids[1], None).unwrap());
            }
            let alone = if ty == PhysType::F64 { 1 } else { OUTPUTS };
            for outputs in case.outputs.chunks(alone) {
                let plan = FilterProject {
                    program: case.p.clone(),
                    filter: None,
                    outputs: outputs.to_vec(),
                };
                bench.check(&plan, &case.inputs, &[], how);
            }
        }
    }
}

/// Floats as IEEE 754 compares them.
fn float_order(target: Target) {
    let mut bench = Bench::new(target);
    for ty in [PhysType::F32, PhysType::F64] {
        for (nulls, how) in WAYS {
            let (mut case, ids) = Case::new(data::pairs(ty, nulls, MORE_ROWS).into());
            for op in [BinaryOp::FloatEq, BinaryOp::FloatLt, BinaryOp::FloatLe] {
                case.outputs.push(case.p.binary(op, ids[0], ids[1], None).unwrap());
            }
            case.check(&mut bench, how);
        }
    }
}

/// Row numbers, alone and of the rows that a filter keeps; and what is looked up by them.
fn row_numbers(target: Target) {
    let mut bench = Bench::new(target);
    let rows = 3000;
    let keep = data::column(PhysType::Bool, rows, Nulls::OneIn(5), 21);
    let table = data::column(PhysType::I16, 64, Nulls::None, 22);
    for filtered in [false, true] {
        let mut p = Program::new();
        let kept = p.input(PhysType::Bool, true);
        let t = p.table(PhysType::I16, false);
        let row = p.row();
        let sixty_three = p.constant(Scalar::UInt(PhysType::U32, 63));
        let at = p.binary(BinaryOp::BitAnd, row, sixty_three, None).unwrap();
        let found = p.lookup(t, at).unwrap();
        let plan = FilterProject {
            program: p,
            filter: filtered.then_some(kept),
            outputs: vec![row, at, found, kept],
        };
        bench.check(
            &plan,
            std::slice::from_ref(&keep),
            std::slice::from_ref(&table),
            Presented::Packed(1),
        );
    }
}

fn checked(target: Target) {
    let mut bench = Bench::new(target);
    for ty in [PhysType::I64, PhysType::I128] {
        for (nulls, how) in WAYS {
            let (mut case, ids) = Case::new(data::pairs(ty, nulls, MORE_ROWS).into());
            for op in [BinaryOp::AddChecked, BinaryOp::SubChecked, BinaryOp::MulChecked] {
                let guard = case.guard(|p| p.binary(op, ids[0], ids[1], None).ok());
                case.outputs.extend(case.p.binary(op, ids[0], ids[1], guard));
            }
            case.check(&mut bench, how);
        }
    }
}

fn divisions_by_constants(target: Target) {
    let mut bench = Bench::new(target);
    for ty in PhysType::ALL.into_iter().filter(|t| t.is_integer()) {
        let [a, _] = data::pairs(ty, Nulls::OneIn(9), MORE_ROWS);
        let largest = a.values.iter().flatten().map(|v| conformance::host::extend(ty, *v) as i128);
        let largest = largest.max().unwrap();
        let (mut case, ids) = Case::new(vec![a]);
        for d in [1, 2, 7, 100, 127, largest] {
            let d = match ty.is_signed() {
                true => Scalar::Int(ty, d),
                false => Scalar::UInt(ty, d as u64),
            };
            let d = case.p.constant(d);
            for op in [BinaryOp::FloorDiv, BinaryOp::FloorMod, BinaryOp::DivRound] {
                case.outputs.push(case.p.binary(op, ids[0], d, None).unwrap());
            }
        }
        case.check(&mut bench, Presented::Packed(5));
    }
}

/// Quotients of 128 bits whose digits of 16 bits are the hard ones of a long division: those
/// around half and around all of a digit make its estimates too large, about one row in fifty
/// by the most that they can be.
fn long_divisions(target: Target) {
    const ROWS: usize = 6000;
    const DIGITS: [u128; 8] = [0, 1, 2, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff];
    let mut random = data::Random(77);
    let mut number = |digits: usize| -> Option<u128> {
        Some((0..digits).fold(0, |n, _| (n << 16) | DIGITS[random.below(DIGITS.len())]))
    };
    let ty = PhysType::I128;
    let dividends = HostColumn { ty, values: (0..ROWS).map(|_| number(8)).collect() };
    let divisors = HostColumn { ty, values: (0..ROWS).map(|row| number(1 + row % 8)).collect() };
    let (mut case, ids) = Case::new(vec![dividends, divisors]);
    for op in [BinaryOp::Div, BinaryOp::Rem, BinaryOp::MulChecked] {
        let guard = case.guard(|p| p.binary(op, ids[0], ids[1], None).ok());
        case.outputs.push(case.p.binary(op, ids[0], ids[1], guard).unwrap());
    }
    case.check(&mut Bench::new(target), Presented::Wide);
}

/// Rows that fail do so alone too: the guards of the other bodies leave them out. `most` of
/// them are run, spread over all.
fn fails(
    bench: &mut Bench,
    inputs: &[HostColumn],
    most: usize,
    make: impl Fn(&mut Program, &[ValueId]) -> ValueId,
) {
    let mut p = Program::new();
    let ids: Vec<ValueId> = inputs.iter().map(|c| p.input(c.ty, false)).collect();
    let id = make(&mut p, &ids);
    let plan = FilterProject { program: p, filter: None, outputs: vec![id] };
    let row = |row: usize| -> Vec<HostColumn> {
        let one = |c: &HostColumn| HostColumn { ty: c.ty, values: vec![c.values[row]] };
        inputs.iter().map(one).collect()
    };
    let failing: Vec<usize> = (0..inputs[0].rows())
        .filter(|r| reference::run(&plan, &row(*r), &[], 1).is_err())
        .collect();
    assert!(!failing.is_empty(), "{:?} fails nowhere", plan.program.value(id));
    for r in failing.iter().step_by(failing.len().div_ceil(most)) {
        bench.check(&plan, &row(*r), &[], Presented::Wide);
    }
}

/// What leaves its type is an error, for operations on long integers.
fn failures(target: Target) {
    use BinaryOp as B;
    let mut bench = Bench::new(target);
    for ty in [PhysType::I64, PhysType::I128] {
        let pairs = data::pairs(ty, Nulls::None, 0);
        for op in [B::AddChecked, B::SubChecked, B::Div, B::Rem] {
            fails(&mut bench, &pairs, 30, |p, x| p.binary(op, x[0], x[1], None).unwrap());
        }
        fails(&mut bench, &pairs, 3, |p, x| p.unary(UnaryOp::Abs, x[0], None).unwrap());
        for to in PhysType::ALL.into_iter().filter(|t| t.is_integer()) {
            if to.packed_bytes() < ty.packed_bytes() || to == PhysType::U64 {
                let cast = |p: &mut Program, x: &[ValueId]| p.cast(x[0], to, CastMode::Error, None);
                fails(&mut bench, &pairs, 12, |p, x| cast(p, x).unwrap());
            }
        }
        let products = edge_products(ty);
        fails(&mut bench, &products, 150, |p, x| {
            p.binary(B::MulChecked, x[0], x[1], None).unwrap()
        });
    }
}

/// Factors whose product is the smallest number of a type or one past the largest, and their
/// neighbours.
fn edge_products(ty: PhysType) -> [HostColumn; 2] {
    let top = ty.packed_bytes().unwrap_or(16) as u32 * 8 - 1;
    let shifts = [0, 1, 2, 15, 16, 31, 32, 33, 47, 62, 63, 64, 65, 95, 96, 97, 125, 126, 127];
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for shift in shifts.into_iter().filter(|s| *s <= top) {
        for (x, y) in [(1i128, 1i128), (-1, 1), (1, -1), (-1, -1)] {
            let (x, y) = (x.wrapping_shl(shift), y.wrapping_shl(top - shift));
            for (dx, dy) in [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (1, 1), (-1, -1)] {
                for (to, v) in [(&mut a, x.wrapping_add(dx)), (&mut b, y.wrapping_add(dy))] {
                    to.push(Some(conformance::host::truncate(ty, v as u128)));
                }
            }
        }
    }
    [a, b].map(|values| HostColumn { ty, values })
}

fn wide_products(target: Target) {
    let mut bench = Bench::new(target);
    for ty in [PhysType::I64, PhysType::I128] {
        let (mut case, ids) = Case::new(edge_products(ty).into());
        let checked = |p: &mut Program| p.binary(BinaryOp::MulChecked, ids[0], ids[1], None).ok();
        let guard = case.guard(checked);
        case.outputs.push(case.p.binary(BinaryOp::MulChecked, ids[0], ids[1], guard).unwrap());
        case.check(&mut bench, Presented::Packed(0));
    }
}

fn casts(target: Target) {
    let mut bench = Bench::new(target);
    for from in PhysType::ALL {
        let [a, _] = data::pairs(from, Nulls::OneIn(6), MORE_ROWS);
        let mut columns = a.clone();
        // One column of the extremes is enough for one operand.
        columns.values.truncate(MORE_ROWS + 80);
        let (case, ids) = Case::new(vec![columns]);
        // Two types in a kernel; those that some device lacks alone.
        let (lacked, had): (Vec<_>, Vec<_>) =
            PhysType::ALL.into_iter().partition(|t| matches!(t, PhysType::F64 | PhysType::I128));
        for types in had.chunks(2).chain(lacked.chunks(1)) {
            let mut case = Case { p: case.p.clone(), inputs: case.inputs.clone(), outputs: vec![] };
            for to in types {
                for mode in [CastMode::Wrap, CastMode::Null, CastMode::Error] {
                    let guard = match mode {
                        CastMode::Error => case.guard(|p| p.cast(ids[0], *to, mode, None).ok()),
                        _ => None,
                    };
                    case.outputs.push(case.p.cast(ids[0], *to, mode, guard).unwrap());
                }
            }
            case.check(&mut bench, Presented::Packed(2));
        }
    }
}

fn logic(target: Target) {
    let mut bench = Bench::new(target);
    for (nulls, how) in [(Nulls::OneIn(3), Presented::Packed(7)), (Nulls::None, Presented::Wide)] {
        let columns = [1, 2, 3].map(|s| data::column(PhysType::Bool, 500, nulls, s));
        let (mut case, x) = Case::new(columns.into());
        let and = case.p.binary(BinaryOp::And, x[0], x[1], None).unwrap();
        let or = case.p.binary(BinaryOp::Or, x[0], x[1], None).unwrap();
        let not = case.p.unary(UnaryOp::Not, x[2], None).unwrap();
        let both = case.p.binary(BinaryOp::Or, and, not, None).unwrap();
        let either = case.p.binary(BinaryOp::And, or, both, None).unwrap();
        let null = case.p.unary(UnaryOp::IsNull, either, None).unwrap();
        case.outputs = vec![and, or, not, both, either, null];
        case.check(&mut bench, how);
    }
}

fn select(target: Target) {
    let mut bench = Bench::new(target);
    for ty in PhysType::ALL {
        let [a, b] = data::pairs(ty, Nulls::OneIn(4), 300);
        let cond = data::column(PhysType::Bool, a.rows(), Nulls::OneIn(4), 5);
        let (mut case, x) = Case::new(vec![cond, a, b]);
        let null = case.p.null(ty);
        case.outputs.push(case.p.select(x[0], x[1], x[2]).unwrap());
        case.outputs.push(case.p.select(x[0], null, x[2]).unwrap());
        case.outputs.push(case.p.select(x[0], x[1], null).unwrap());
        case.check(&mut bench, Presented::Packed(1));
    }
}

fn lookup(target: Target) {
    let mut bench = Bench::new(target);
    for ty in PhysType::ALL {
        for (nulls, how) in
            [(Nulls::OneIn(3), Presented::Packed(6)), (Nulls::None, Presented::Wide)]
        {
            let table = data::column(ty, 37, nulls, 11);
            let mut codes = data::column(PhysType::U32, 400, nulls, 12);
            codes.values.iter_mut().flatten().for_each(|v| *v %= 37);
            let mut p = Program::new();
            let code = p.input(PhysType::U32, nulls != Nulls::None);
            let t = p.table(ty, nulls != Nulls::None);
            let id = p.lookup(t, code).unwrap();
            let plan = FilterProject { program: p, filter: None, outputs: vec![id] };
            bench.check(&plan, &[codes], &[table], how);
        }
    }
    // All codes null over an empty dictionary.
    let mut p = Program::new();
    let code = p.input(PhysType::U32, true);
    let t = p.table(PhysType::I32, false);
    let id = p.lookup(t, code).unwrap();
    let plan = FilterProject { program: p, filter: None, outputs: vec![id] };
    let codes = HostColumn { ty: PhysType::U32, values: vec![None; 70] };
    let table = HostColumn { ty: PhysType::I32, values: vec![] };
    bench.check(&plan, &[codes], &[table], Presented::Packed(0));
}

fn constants(target: Target) {
    let mut bench = Bench::new(target);
    for ty in PhysType::ALL {
        let one = HostColumn { ty: PhysType::I32, values: vec![Some(1); 33] };
        let (mut case, _) = Case::new(vec![one]);
        for bits in data::extremes(ty) {
            let scalar = match ty {
                PhysType::Bool => Scalar::Bool(bits == 1),
                PhysType::F32 => Scalar::F32(f32::from_bits(bits as u32)),
                PhysType::F64 => Scalar::F64(f64::from_bits(bits as u64)),
                _ if ty.is_signed() => Scalar::Int(ty, conformance::host::extend(ty, bits) as i128),
                _ => Scalar::UInt(ty, bits as u64),
            };
            case.outputs.push(case.p.constant(scalar));
        }
        for outputs in case.outputs.chunks(20) {
            let plan =
                FilterProject { program: case.p.clone(), filter: None, outputs: outputs.to_vec() };
            bench.check(&plan, &case.inputs, &[], Presented::Packed(0));
        }
    }
}

/// Every day of a cycle of 400 years, and every month.
fn dates(target: Target) {
    use UnaryOp as U;
    let mut bench = Bench::new(target);
    let column = |values: &mut dyn Iterator<Item = i32>| HostColumn {
        ty: PhysType::I32,
        values: values.map(|v| Some(v as u32 as u128)).collect(),
    };
    let days = column(&mut (-700_000..-700_000 + 146_097));
    let months = column(&mut (-20_000..-20_000 + 4_800));
    let cases =
        [(days, &[U::YearOfDate, U::MonthOfDate, U::DayOfDate][..]), (months, &[U::MonthStart])];
    for (values, ops) in cases {
        let (mut case, ids) = Case::new(vec![values]);
        case.outputs.extend(ops.iter().map(|op| case.p.unary(*op, ids[0], None).unwrap()));
        let plan = FilterProject { program: case.p, filter: None, outputs: case.outputs };
        match target {
            Target::Cpu => bench.check(&plan, &case.inputs, &[], Presented::Packed(0)),
            _ => bench.check_many(&plan, &case.inputs, Presented::Packed(0)),
        }
    }
}
