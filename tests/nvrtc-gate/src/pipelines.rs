//! The generated pipelines of the gate: a few like those of real queries, which must not
//! spill, and for each type one with every operation and one with every cast, which must
//! compile.

use windlass_device::{Device, KernelSource};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, PhysType, Result, Scalar, Storage, Validity,
    ir::{BinaryOp, CastMode, Program, UnaryOp, ValueId},
    pipeline::FilterProject,
};

use crate::recorder::Recorder;

/// Names of pipelines that hold everything at once begin so; no query looks like them, so
/// their figures are not held against limits.
pub const EVERYTHING: &str = "pipeline/every_";

const UNARY: [UnaryOp; 19] = [
    UnaryOp::Not,
    UnaryOp::IsNull,
    UnaryOp::IsNotNull,
    UnaryOp::Neg,
    UnaryOp::Abs,
    UnaryOp::BitNot,
    UnaryOp::Sqrt,
    UnaryOp::Exp,
    UnaryOp::Ln,
    UnaryOp::Log2,
    UnaryOp::Log10,
    UnaryOp::Floor,
    UnaryOp::Ceil,
    UnaryOp::Round,
    UnaryOp::Trunc,
    UnaryOp::YearOfDate,
    UnaryOp::MonthOfDate,
    UnaryOp::DayOfDate,
    UnaryOp::MonthStart,
];

const BINARY: [BinaryOp; 27] = [
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Rem,
    BinaryOp::FloorDiv,
    BinaryOp::FloorMod,
    BinaryOp::DivRound,
    BinaryOp::MulChecked,
    BinaryOp::AddChecked,
    BinaryOp::SubChecked,
    BinaryOp::Pow,
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
    BinaryOp::BitAnd,
    BinaryOp::BitOr,
    BinaryOp::BitXor,
    BinaryOp::Shl,
    BinaryOp::Shr,
];

/// A small constant of a type.
fn constant(p: &mut Program, ty: PhysType, value: i32) -> ValueId {
    p.constant(match ty {
        PhysType::Bool => Scalar::Bool(value != 0),
        PhysType::F32 => Scalar::F32(value as f32),
        PhysType::F64 => Scalar::F64(f64::from(value)),
        t if t.is_signed() => Scalar::Int(t, i128::from(value)),
        t => Scalar::UInt(t, value as u64),
    })
}

/// Every operation that a type has; what the program refuses is not one of them.
fn every_operation(ty: PhysType) -> FilterProject {
    let mut p = Program::new();
    let (a, b) = (p.input(ty, true), p.input(ty, true));
    let guard = p.input(PhysType::Bool, true);
    let hundred = constant(&mut p, ty, 100);
    let mut outputs: Vec<ValueId> =
        UNARY.iter().filter_map(|op| p.unary(*op, a, Some(guard)).ok()).collect();
    for op in BINARY {
        outputs.extend(p.binary(op, a, b, Some(guard)));
        outputs.extend(p.binary(op, a, hundred, Some(guard)));
    }
    let null = p.null(ty);
    outputs.extend(p.select(guard, a, null));
    FilterProject { program: p, filter: Some(guard), outputs }
}

/// Every cast from a type.
fn every_cast(ty: PhysType) -> FilterProject {
    let mut p = Program::new();
    let (a, guard) = (p.input(ty, true), p.input(PhysType::Bool, false));
    let mut outputs = Vec::new();
    for to in PhysType::ALL {
        for mode in [CastMode::Wrap, CastMode::Error, CastMode::Null] {
            outputs.extend(p.cast(a, to, mode, Some(guard)));
        }
    }
    outputs.dedup();
    FilterProject { program: p, filter: Some(guard), outputs }
}

fn and(p: &mut Program, all: &[ValueId]) -> Result<ValueId> {
    let mut out = all[0];
    for v in &all[1..] {
        out = p.binary(BinaryOp::And, out, *v, None)?;
    }
    Ok(out)
}

fn compare(p: &mut Program, op: BinaryOp, a: ValueId, value: i32) -> Result<ValueId> {
    let ty = p.ty(a);
    let c = constant(p, ty, value);
    p.binary(op, a, c, None)
}

/// A range of dates, a discount and a quantity select; a product of decimals remains: the
/// shape of TPC-H's query 6.
fn revenue() -> Result<FilterProject> {
    let mut p = Program::new();
    let (date, discount) = (p.input(PhysType::I32, false), p.input(PhysType::I64, false));
    let (quantity, price) = (p.input(PhysType::I64, false), p.input(PhysType::I64, false));
    let parts = [
        compare(&mut p, BinaryOp::Ge, date, 8766)?,
        compare(&mut p, BinaryOp::Lt, date, 9131)?,
        compare(&mut p, BinaryOp::Ge, discount, 5)?,
        compare(&mut p, BinaryOp::Le, discount, 7)?,
        compare(&mut p, BinaryOp::Lt, quantity, 2400)?,
    ];
    let filter = and(&mut p, &parts)?;
    let wide = [price, discount].map(|v| p.cast(v, PhysType::I128, CastMode::Wrap, None));
    let [price, discount] = wide;
    let revenue = p.binary(BinaryOp::Mul, price?, discount?, None)?;
    Ok(FilterProject { program: p, filter: Some(filter), outputs: vec![revenue] })
}

/// Two products of decimals beside six columns: the shape of TPC-H's query 1.
fn pricing() -> Result<FilterProject> {
    let mut p = Program::new();
    let date = p.input(PhysType::I32, false);
    let (flag, status) = (p.input(PhysType::U32, false), p.input(PhysType::U32, false));
    let quantity = p.input(PhysType::I64, false);
    let numbers = [(); 3].map(|()| p.input(PhysType::I64, false));
    let [price, discount, tax] = numbers;
    let filter = compare(&mut p, BinaryOp::Le, date, 10471)?;
    let hundred = constant(&mut p, PhysType::I64, 100);
    let less = p.binary(BinaryOp::Sub, hundred, discount, None)?;
    let more = p.binary(BinaryOp::Add, hundred, tax, None)?;
    let wide = |p: &mut Program, v| p.cast(v, PhysType::I128, CastMode::Wrap, None);
    let (price128, less, more) = (wide(&mut p, price)?, wide(&mut p, less)?, wide(&mut p, more)?);
    let discounted = p.binary(BinaryOp::Mul, price128, less, None)?;
    let charge = p.binary(BinaryOp::Mul, discounted, more, None)?;
    let outputs = vec![flag, status, quantity, price, discounted, charge, discount];
    Ok(FilterProject { program: p, filter: Some(filter), outputs })
}

/// Floats with nulls, a CASE, and a dictionary's table: the shape of a feature pipeline.
fn features() -> Result<FilterProject> {
    let mut p = Program::new();
    let (x, y) = (p.input(PhysType::F64, true), p.input(PhysType::F64, true));
    let (code, day) = (p.input(PhysType::U32, true), p.input(PhysType::I32, true));
    let keep = p.table(PhysType::Bool, false);
    let wanted = p.lookup(keep, code)?;
    let present = p.unary(UnaryOp::IsNotNull, x, None)?;
    let filter = and(&mut p, &[wanted, present])?;
    let ratio = p.binary(BinaryOp::Div, x, y, None)?;
    let positive = compare(&mut p, BinaryOp::Gt, y, 0)?;
    let zero = constant(&mut p, PhysType::F64, 0);
    let safe = p.select(positive, ratio, zero)?;
    let log = p.unary(UnaryOp::Ln, x, None)?;
    let month = p.unary(UnaryOp::MonthOfDate, day, None)?;
    Ok(FilterProject { program: p, filter: Some(filter), outputs: vec![safe, log, month, code] })
}

/// A sum and a quotient of each row, nothing filtered.
fn projection() -> Result<FilterProject> {
    let mut p = Program::new();
    let (a, b) = (p.input(PhysType::I64, true), p.input(PhysType::I64, true));
    let sum = p.binary(BinaryOp::Add, a, b, None)?;
    let quotient = p.binary(BinaryOp::Div, a, b, None)?;
    let small = compare(&mut p, BinaryOp::Lt, sum, 1000)?;
    Ok(FilterProject { program: p, filter: None, outputs: vec![sum, quotient, small] })
}

/// Columns of the types that a plan declares, as an upload lays them out.
fn columns(
    d: &Recorder,
    slots: &[windlass_kernels::ir::SlotType],
    rows: usize,
) -> Vec<DeviceColumn> {
    let column = |s: &windlass_kernels::ir::SlotType| DeviceColumn {
        ty: s.ty,
        storage: Storage::Packed,
        values: d.buffer(rows * s.ty.packed_bytes().unwrap_or(1)),
        bit_offset: 0,
        validity: match s.nullable {
            true => Validity::Bits { bits: d.buffer(rows), bit_offset: 0 },
            false => Validity::All,
        },
    };
    slots.iter().map(column).collect()
}

/// The sources that running `plan` both ways compiles, named after it.
fn sources_of(name: &str, plan: &FilterProject) -> Result<Vec<KernelSource>> {
    // More rows than a block's tile, so that the counts of several are scanned.
    const ROWS: usize = 100_000;
    let d = Recorder::default();
    let columns_of = |slots| columns(&d, slots, ROWS);
    let batch = DeviceBatch { rows: ROWS, columns: columns_of(plan.program.inputs()) };
    let tables = columns_of(plan.program.tables());
    let mut queue = d.queue()?;
    let mut reservation = d.pool().reserve(0)?;
    let mut out = Vec::new();
    for (way, dense) in [("compact", false), ("dense", true)] {
        if dense {
            plan.evaluate(&d, &mut *queue, &mut reservation, &batch, &tables)?;
        } else {
            plan.run(&d, &mut *queue, &mut reservation, &batch, &tables)?;
        }
        for mut source in d.take() {
            if source.name.starts_with("pipeline/") {
                source.name = format!("{name}_{way}").into();
                out.push(source);
            }
        }
    }
    Ok(out)
}

/// Every pipeline of the gate.
///
/// # Errors
/// When a plan is refused: a fault of this list or of the compiler.
pub fn sources() -> Result<Vec<KernelSource>> {
    let mut plans = vec![
        ("pipeline/revenue".to_string(), revenue()?),
        ("pipeline/pricing".to_string(), pricing()?),
        ("pipeline/features".to_string(), features()?),
        ("pipeline/projection".to_string(), projection()?),
    ];
    for ty in PhysType::ALL {
        plans.push((format!("{EVERYTHING}operation_{ty}"), every_operation(ty)));
        plans.push((format!("{EVERYTHING}cast_{ty}"), every_cast(ty)));
    }
    let mut out = Vec::new();
    for (name, plan) in plans {
        let found = sources_of(&name, &plan)?;
        // Both ways print the same operations; one of these large kernels is enough.
        let most = if name.starts_with(EVERYTHING) { 1 } else { found.len() };
        out.extend(found.into_iter().take(most));
    }
    Ok(out)
}
