//! What a program means, a row at a time: integers as `i128`, one `match` for each
//! operation. Slow, and written apart from the interpreter so that the two can disagree.

use std::cmp::Ordering;

use windlass_kernels::{
    KernelError, PhysType,
    ir::{BinaryOp, CastMode, MathOp, Op, Program, UnaryOp, ValueId},
    pipeline::FilterProject,
};

use crate::{
    HostColumn,
    host::{extend, truncate},
};

/// What a row may raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Division by zero.
    DivideByZero,
    /// An overflow that SQL makes an error.
    Overflow,
}

impl Failure {
    /// Whether an error of a device is this one.
    pub fn matches(self, e: &KernelError) -> bool {
        match self {
            Self::DivideByZero => matches!(e, KernelError::DivideByZero),
            Self::Overflow => matches!(e, KernelError::Overflow(_)),
        }
    }
}

/// The bits of a value, or null.
type Cell = Option<u128>;

/// The outputs of a plan over a batch: the columns of the selected rows, and which rows
/// those are; or everything that some row raises.
///
/// # Errors
/// The failures, at least one.
pub fn run(
    plan: &FilterProject,
    inputs: &[HostColumn],
    tables: &[HostColumn],
    rows: usize,
) -> Result<(Vec<HostColumn>, Vec<usize>), Vec<Failure>> {
    let p = &plan.program;
    let mut failures = Vec::new();
    let mut selected = Vec::new();
    let mut columns: Vec<HostColumn> =
        plan.outputs.iter().map(|id| HostColumn { ty: p.ty(*id), values: vec![] }).collect();
    for row in 0..rows {
        let mut at =
            Row { p, inputs, tables, row, cells: vec![None; p.values().len()], failures: vec![] };
        let keep = plan.filter.is_none_or(|f| at.value(f) == Some(1));
        if keep {
            for (id, column) in plan.outputs.iter().zip(&mut columns) {
                column.values.push(at.value(*id));
            }
            selected.push(row);
        }
        failures.append(&mut at.failures);
    }
    if failures.is_empty() { Ok((columns, selected)) } else { Err(failures) }
}

struct Row<'a> {
    p: &'a Program,
    inputs: &'a [HostColumn],
    tables: &'a [HostColumn],
    row: usize,
    cells: Vec<Option<Cell>>,
    failures: Vec<Failure>,
}

fn int(ty: PhysType, bits: u128) -> i128 {
    extend(ty, bits) as i128
}

fn fits(ty: PhysType, v: i128) -> bool {
    int(ty, v as u128) == v
}

fn float(ty: PhysType, bits: u128) -> f64 {
    match ty {
        PhysType::F32 => f64::from(f32::from_bits(bits as u32)),
        _ => f64::from_bits(bits as u64),
    }
}

impl Row<'_> {
    fn value(&mut self, id: ValueId) -> Cell {
        if let Some(known) = self.cells[id.0 as usize] {
            return known;
        }
        let value = self.p.value(id).clone();
        let cell = match value.op {
            Op::Input(i) => self.inputs[i as usize].values[self.row],
            Op::Const(c) => Some(c.bits()),
            Op::Null => None,
            Op::Row => Some(self.row as u128),
            Op::Unary(op, a, guard) => self.unary(op, a, guard),
            Op::Binary(op, a, b, guard) => self.binary(op, a, b, guard),
            Op::Cast(a, mode, guard) => self.cast(a, value.ty, mode, guard),
            Op::Select(c, a, b) => {
                // Both arms are evaluated, as in straight-line code: guards are explicit.
                let (c, a, b) = (self.value(c), self.value(a), self.value(b));
                if c == Some(1) { a } else { b }
            }
            Op::Lookup(t, index) => {
                self.value(index).and_then(|i| self.tables[t.0 as usize].values[i as usize])
            }
        };
        let cell = cell.map(|bits| truncate(value.ty, bits));
        self.cells[id.0 as usize] = Some(cell);
        cell
    }

    fn fail(&mut self, when: bool, failure: Failure, guard: Option<ValueId>) {
        let allowed = match guard {
            Some(g) => self.value(g) == Some(1),
            None => true,
        };
        if when && allowed {
            self.failures.push(failure);
        }
    }

    fn unary(&mut self, op: UnaryOp, a: ValueId, guard: Option<ValueId>) -> Cell {
        use UnaryOp as U;
        let ty = self.p.ty(a);
        let x = self.value(a);
        if let Some(g) = guard {
            self.value(g);
        }
        match op {
            U::IsNull => return Some(u128::from(x.is_none())),
            U::IsNotNull => return Some(u128::from(x.is_some())),
            _ => {}
        }
        let x = x?;
        if ty == PhysType::F32 {
            return unary_f32(op, f32::from_bits(x as u32)).map(|v| u128::from(v.to_bits()));
        }
        if ty == PhysType::F64 {
            return unary_f64(op, f64::from_bits(x as u64)).map(|v| u128::from(v.to_bits()));
        }
        let v = int(ty, x);
        Some(match op {
            U::Not => x ^ 1,
            U::Neg => v.wrapping_neg() as u128,
            U::BitNot => !x,
            U::Abs => {
                let out = v.checked_abs().filter(|o| fits(ty, *o));
                self.fail(out.is_none(), Failure::Overflow, guard);
                v.wrapping_abs() as u128
            }
            U::YearOfDate => calendar(v as i64).0 as u128,
            U::MonthOfDate => calendar(v as i64).1 as u128,
            U::DayOfDate => calendar(v as i64).2 as u128,
            U::MonthStart => first_of_month(v as i64) as u128,
            _ => unreachable!("{op:?} of {ty}"),
        })
    }

    fn binary(&mut self, op: BinaryOp, a: ValueId, b: ValueId, guard: Option<ValueId>) -> Cell {
        use BinaryOp as B;
        let ty = self.p.ty(a);
        let (x, y) = (self.value(a), self.value(b));
        if let Some(g) = guard {
            self.value(g);
        }
        match op {
            B::And if x == Some(0) || y == Some(0) => return Some(0),
            B::Or if x == Some(1) || y == Some(1) => return Some(1),
            B::Distinct | B::NotDistinct => {
                let same = match (x, y) {
                    (Some(x), Some(y)) => order(ty, x, y) == Ordering::Equal,
                    _ => x.is_none() && y.is_none(),
                };
                return Some(u128::from(same == (op == B::NotDistinct)));
            }
            _ => {}
        }
        let (x, y) = (x?, y?);
        let known = |o: bool| Some(u128::from(o));
        match op {
            B::And => return Some(x & y),
            B::Or => return Some(x | y),
            B::Eq => return known(order(ty, x, y).is_eq()),
            B::Ne => return known(order(ty, x, y).is_ne()),
            B::Lt => return known(order(ty, x, y).is_lt()),
            B::Le => return known(order(ty, x, y).is_le()),
            B::Gt => return known(order(ty, x, y).is_gt()),
            B::Ge => return known(order(ty, x, y).is_ge()),
            B::FloatEq => return known(float(ty, x) == float(ty, y)),
            B::FloatLt => return known(float(ty, x) < float(ty, y)),
            B::FloatLe => return known(float(ty, x) <= float(ty, y)),
            B::Atan2 | B::Hypot => {
                let (x, y) = (float(ty, x), float(ty, y));
                let v = if op == B::Atan2 { x.atan2(y) } else { x.hypot(y) };
                return Some(match ty {
                    PhysType::F32 => u128::from((v as f32).to_bits()),
                    _ => u128::from(v.to_bits()),
                });
            }
            _ => {}
        }
        if ty == PhysType::F32 {
            let (x, y) = (f32::from_bits(x as u32), f32::from_bits(y as u32));
            let v = match op {
                B::Add => x + y,
                B::Sub => x - y,
                B::Mul => x * y,
                B::Div => x / y,
                B::Rem => x % y,
                _ => x.powf(y),
            };
            return Some(u128::from(v.to_bits()));
        }
        if ty == PhysType::F64 {
            let (x, y) = (f64::from_bits(x as u64), f64::from_bits(y as u64));
            let v = match op {
                B::Add => x + y,
                B::Sub => x - y,
                B::Mul => x * y,
                B::Div => x / y,
                B::Rem => x % y,
                _ => x.powf(y),
            };
            return Some(u128::from(v.to_bits()));
        }
        let (x, y) = (int(ty, x), int(ty, y));
        let bits = ty.packed_bytes().unwrap_or(1) as i128 * 8;
        let count = y.rem_euclid(bits) as u32;
        Some(match op {
            B::Add => x.wrapping_add(y) as u128,
            B::Sub => x.wrapping_sub(y) as u128,
            B::Mul => x.wrapping_mul(y) as u128,
            B::AddChecked | B::SubChecked | B::MulChecked => {
                let exact = match op {
                    B::AddChecked => x.checked_add(y),
                    B::SubChecked => x.checked_sub(y),
                    _ => x.checked_mul(y),
                };
                self.fail(exact.is_none_or(|v| !fits(ty, v)), Failure::Overflow, guard);
                match op {
                    B::AddChecked => x.wrapping_add(y) as u128,
                    B::SubChecked => x.wrapping_sub(y) as u128,
                    _ => x.wrapping_mul(y) as u128,
                }
            }
            B::Div | B::Rem if y == 0 => {
                self.fail(true, Failure::DivideByZero, guard);
                if op == B::Div { x as u128 } else { 0 }
            }
            B::Div => {
                let exact = x.checked_div(y);
                self.fail(exact.is_none_or(|v| !fits(ty, v)), Failure::Overflow, guard);
                exact.unwrap_or(x) as u128
            }
            B::Rem => x.checked_rem(y).unwrap_or(0) as u128,
            B::FloorDiv => (x / y - i128::from(x % y < 0)) as u128,
            B::FloorMod => modulo(x, y) as u128,
            B::DivRound => {
                let (q, r) = (x / y, (x % y).unsigned_abs());
                let away = if x < 0 { -1 } else { 1 };
                (q + if r >= y as u128 - r { away } else { 0 }) as u128
            }
            B::BitAnd => (x & y) as u128,
            B::BitOr => (x | y) as u128,
            B::BitXor => (x ^ y) as u128,
            B::Shl => (x as u128) << count,
            _ => (x >> count) as u128,
        })
    }

    fn cast(&mut self, a: ValueId, to: PhysType, mode: CastMode, guard: Option<ValueId>) -> Cell {
        let from = self.p.ty(a);
        let x = self.value(a);
        if let Some(g) = guard {
            self.value(g);
        }
        let x = x?;
        let (value, ok) = convert(from, to, x);
        match mode {
            CastMode::Wrap => {}
            CastMode::Error => self.fail(!ok, Failure::Overflow, guard),
            CastMode::Null => {
                if !ok {
                    return None;
                }
            }
        }
        Some(value)
    }
}

fn modulo(x: i128, y: i128) -> i128 {
    let r = x % y;
    if r < 0 { r + y } else { r }
}

fn order(ty: PhysType, x: u128, y: u128) -> Ordering {
    match ty {
        PhysType::F32 => f32::from_bits(x as u32).total_cmp(&f32::from_bits(y as u32)),
        PhysType::F64 => f64::from_bits(x as u64).total_cmp(&f64::from_bits(y as u64)),
        _ => int(ty, x).cmp(&int(ty, y)),
    }
}

/// The cast's bits, and whether the target holds the value.
fn convert(from: PhysType, to: PhysType, x: u128) -> (u128, bool) {
    if to == PhysType::Bool {
        let zero = if from.is_float() { float(from, x) == 0.0 } else { x == 0 };
        return (u128::from(!zero), true);
    }
    match (from.is_float(), to) {
        (true, PhysType::F32) => (u128::from((float(from, x) as f32).to_bits()), true),
        (true, PhysType::F64) => (u128::from(float(from, x).to_bits()), true),
        (true, _) => {
            // f32 is exact in f64, and both ends of every integer type are.
            let whole = float(from, x).trunc();
            let unsigned = to.is_integer() && !to.is_signed();
            let bits = to.packed_bytes().unwrap_or(1) as i32 * 8;
            let end = 2f64.powi(bits - i32::from(!unsigned));
            let start = if unsigned { 0.0 } else { -end };
            let ok = whole >= start && whole < end;
            let top = (u128::MAX >> (128 - bits)) >> u32::from(!unsigned);
            let value = if whole.is_nan() {
                0
            } else if whole < start {
                if unsigned { 0 } else { (!top) as i128 }
            } else if whole >= end {
                top as i128
            } else {
                whole as i128
            };
            (value as u128, ok)
        }
        (false, PhysType::F32) => (u128::from((int(from, x) as f32).to_bits()), true),
        (false, PhysType::F64) => (u128::from((int(from, x) as f64).to_bits()), true),
        (false, _) => {
            let v = int(from, x);
            (v as u128, fits(to, v))
        }
    }
}

fn unary_f32(op: UnaryOp, x: f32) -> Option<f32> {
    use UnaryOp as U;
    Some(match op {
        U::Neg => -x,
        U::Abs => x.abs(),
        U::Sqrt => x.sqrt(),
        U::Exp => x.exp(),
        U::Ln => x.ln(),
        U::Log2 => x.log2(),
        U::Log10 => x.log10(),
        U::Floor => x.floor(),
        U::Ceil => x.ceil(),
        U::Round => x.round(),
        U::Trunc => x.trunc(),
        // Rounded once.
        U::Math(op) => math(op, f64::from(x)) as f32,
        _ => return None,
    })
}

/// The functions by their definitions or the library's.
fn math(op: MathOp, x: f64) -> f64 {
    use MathOp as M;
    match op {
        M::Sin => x.sin(),
        M::Cos => x.cos(),
        M::Tan => x.tan(),
        M::Asin => x.asin(),
        M::Acos => x.acos(),
        M::Atan => x.atan(),
        M::Sinh => x.sinh(),
        M::Cosh => x.cosh(),
        M::Tanh => x.tanh(),
        M::Asinh if x.abs() > 1e100 => (x.abs().ln() + 2f64.ln()).copysign(x),
        M::Asinh => x.asinh(),
        M::Acosh => x.acosh(),
        M::Atanh if x.abs() < 0.5 => {
            let (m, z) = (x.abs(), x * x);
            // The series, whose terms fall by 4 at least.
            (0..40).rev().fold(0.0, |s, k| s * z + 1.0 / f64::from(2 * k + 1)) * m * x.signum()
        }
        M::Atanh => 0.5 * ((1.0 + x) / (1.0 - x)).ln(),
        M::Exp2 => x.exp2(),
        M::Expm1 => x.exp_m1(),
        M::Log1p => x.ln_1p(),
        M::Cbrt => x.cbrt(),
        M::Rint => x.round_ties_even(),
    }
}

fn unary_f64(op: UnaryOp, x: f64) -> Option<f64> {
    use UnaryOp as U;
    Some(match op {
        U::Neg => -x,
        U::Abs => x.abs(),
        U::Sqrt => x.sqrt(),
        U::Exp => x.exp(),
        U::Ln => x.ln(),
        U::Log2 => x.log2(),
        U::Log10 => x.log10(),
        U::Floor => x.floor(),
        U::Ceil => x.ceil(),
        U::Round => x.round(),
        U::Trunc => x.trunc(),
        U::Math(op) => math(op, x),
        _ => return None,
    })
}

fn leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

fn lengths(year: i64) -> [i64; 12] {
    [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// Year, month and day, counted off from the start of a cycle of 400 years.
fn calendar(days: i64) -> (i64, i64, i64) {
    let (mut year, mut left) = (1970 + 400 * days.div_euclid(146_097), days.rem_euclid(146_097));
    while left >= 365 + i64::from(leap(year)) {
        left -= 365 + i64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in lengths(year) {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

fn first_of_month(months: i64) -> i64 {
    let (years, month) = (months.div_euclid(12), months.rem_euclid(12) as usize);
    let (cycles, rest) = (years.div_euclid(400), years.rem_euclid(400));
    let year = 1970 + 400 * cycles + rest;
    let before: i64 = (year - rest..year).map(|y| 365 + i64::from(leap(y))).sum();
    cycles * 146_097 + before + lengths(year)[..month].iter().sum::<i64>()
}
