//! Runs a plan everywhere and compares.

use windlass_device::{Backend, Device, Queue};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, KernelError, PhysType,
    ir::{BinaryOp, MathOp, Op, UnaryOp, ValueId},
    pipeline::FilterProject,
};

use crate::{HostColumn, Presented, Target, devices::kernel_types, host::truncate, reference};

/// CUDA's table of errors gives exp 1 to 2 ulp, log 1, pow 2 to 4 (CUDA C++ Programming
/// Guide, "Mathematical Functions"), and the host's libm, which the emulator has too, 1.
const CUDA_MATH_ULPS: u64 = 5;
/// WGSL lets a 32-bit division be off by 2.5 ulp and a square root by as much (WGSL,
/// "Accuracy of built-in functions": sqrt inherits from inverseSqrt, 2 ulp, and division).
const WGSL_DIVISION_ULPS: u64 = 5;
/// WGSL's exp is within 3 + 2 |x| ulp, about 180 where f32 ends, and pow is exp2(y log2 x).
const WGSL_MATH_RELATIVE: f64 = 1.0 / 16384.0;
/// WGSL's log is within 2^-21 between 0.5 and 2; log10 and log2 scale it.
const WGSL_LOG_ABSOLUTE: f64 = 1.0 / 524_288.0;

/// Our own functions in `math32.wgsl` were within 4.5 ulp of the exact value over one in 211 of
/// all floats, their steps rounded as the host rounds; divisions and roots may be off by 2.5 ulp
/// each, and there are a few of them in a row.
const WGSL_OWN_ULPS: u64 = 32;

/// Functions of `math32.wgsl` that do not end in one of WGSL's own, less exact ones.
const OWN: [MathOp; 7] =
    [MathOp::Sin, MathOp::Cos, MathOp::Tan, MathOp::Asin, MathOp::Acos, MathOp::Atan, MathOp::Cbrt];

/// How far floats of an output may be apart.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tolerance {
    Exact,
    Ulps(u64),
    Wide,
}

/// The largest tolerance on the way to a value.
fn tolerance(plan: &FilterProject, id: ValueId, wgsl: bool) -> Tolerance {
    use BinaryOp as B;
    use UnaryOp as U;
    let p = &plan.program;
    let rank = |t: Tolerance| match t {
        Tolerance::Exact => 0,
        Tolerance::Ulps(n) => n,
        Tolerance::Wide => u64::MAX,
    };
    let single = p.ty(id) == PhysType::F32;
    let (own, operands) = match &p.value(id).op {
        Op::Unary(U::Math(MathOp::Rint), a, _) => (Tolerance::Exact, vec![*a]),
        Op::Unary(U::Math(op), a, _) if wgsl && single && OWN.contains(op) => {
            (Tolerance::Ulps(WGSL_OWN_ULPS), vec![*a])
        }
        Op::Binary(B::Atan2 | B::Hypot, a, b, _) if wgsl && single => {
            (Tolerance::Ulps(WGSL_OWN_ULPS), vec![*a, *b])
        }
        Op::Unary(U::Exp | U::Ln | U::Log2 | U::Log10 | U::Math(_), a, _) => {
            (if wgsl { Tolerance::Wide } else { Tolerance::Ulps(CUDA_MATH_ULPS) }, vec![*a])
        }
        Op::Binary(B::Pow | B::Atan2 | B::Hypot, a, b, _) => {
            (if wgsl { Tolerance::Wide } else { Tolerance::Ulps(CUDA_MATH_ULPS) }, vec![*a, *b])
        }
        Op::Unary(U::Sqrt, a, _) if wgsl && single => {
            (Tolerance::Ulps(WGSL_DIVISION_ULPS), vec![*a])
        }
        Op::Binary(B::Div, a, b, _) if wgsl && single => {
            (Tolerance::Ulps(WGSL_DIVISION_ULPS), vec![*a, *b])
        }
        Op::Unary(_, a, _) | Op::Cast(a, ..) => (Tolerance::Exact, vec![*a]),
        Op::Binary(_, a, b, _) | Op::Select(_, a, b) => (Tolerance::Exact, vec![*a, *b]),
        _ => (Tolerance::Exact, vec![]),
    };
    operands
        .into_iter()
        .map(|o| tolerance(plan, o, wgsl))
        .fold(own, |x, y| if rank(y) > rank(x) { y } else { x })
}

fn float(ty: PhysType, bits: u128) -> f64 {
    match ty {
        PhysType::F32 => f64::from(f32::from_bits(bits as u32)),
        _ => f64::from_bits(bits as u64),
    }
}

fn close(ty: PhysType, x: u128, y: u128, t: Tolerance, flushes: bool) -> bool {
    let (x, y) = (truncate(ty, x), truncate(ty, y));
    if x == y || !ty.is_float() {
        return x == y;
    }
    let (a, b) = (float(ty, x), float(ty, y));
    if a.is_nan() || b.is_nan() {
        // Which NaN an operation gives is left open by IEEE 754.
        return a.is_nan() && b.is_nan();
    }
    // WGSL may flush subnormal f32 to zero.
    let tiny = f64::from(f32::MIN_POSITIVE);
    if flushes && ty == PhysType::F32 && a.abs() < tiny && b.abs() <= tiny {
        return true;
    }
    let key = |bits: u128| match ty {
        PhysType::F32 => {
            let b = bits as u32 as i32;
            i64::from(b ^ (((b >> 31) as u32) >> 1) as i32)
        }
        _ => {
            let b = bits as u64 as i64;
            b ^ (((b >> 63) as u64) >> 1) as i64
        }
    };
    match t {
        Tolerance::Exact => false,
        Tolerance::Ulps(n) => key(x).abs_diff(key(y)) <= n,
        Tolerance::Wide => {
            // Near the largest float the one may be infinite.
            let big = f64::from(f32::MAX) * (1.0 - 2.0 * WGSL_MATH_RELATIVE);
            // An infinite bound would take every number.
            let bound = WGSL_MATH_RELATIVE * a.abs().max(b.abs()) + WGSL_LOG_ABSOLUTE;
            (a.abs() >= big && b.abs() >= big && a.signum() == b.signum())
                || (bound.is_finite() && (a - b).abs() <= bound)
        }
    }
}

fn is_rint(op: &Op) -> bool {
    matches!(op, Op::Unary(UnaryOp::Math(MathOp::Rint), ..))
}

/// Whether generated kernels of a device can run the plan, from the documented gaps.
fn expected(device: &dyn Device, plan: &FilterProject) -> bool {
    let p = &plan.program;
    let backend = device.info().backend;
    if backend == Backend::Cpu {
        return true;
    }
    let types = kernel_types(device);
    let wgsl = backend == Backend::Wgpu;
    let mut todo: Vec<ValueId> = plan.outputs.iter().chain(&plan.filter).copied().collect();
    while let Some(id) = todo.pop() {
        let ty = p.ty(id);
        if !types.contains(&ty) {
            return false;
        }
        match &p.value(id).op {
            Op::Unary(
                UnaryOp::Exp | UnaryOp::Ln | UnaryOp::Log2 | UnaryOp::Log10 | UnaryOp::Math(_),
                ..,
            )
            | Op::Binary(BinaryOp::Pow | BinaryOp::Atan2 | BinaryOp::Hypot, ..)
                if wgsl && !is_rint(&p.value(id).op) && ty == PhysType::F64 =>
            {
                return false;
            }
            Op::Unary(_, a, g) | Op::Cast(a, _, g) => todo.extend([*a].into_iter().chain(*g)),
            Op::Binary(_, a, b, g) => todo.extend([*a, *b].into_iter().chain(*g)),
            Op::Select(c, a, b) => todo.extend([*c, *a, *b]),
            Op::Lookup(_, i) => todo.push(*i),
            _ => {}
        }
    }
    true
}

/// A device with a queue.
pub struct Bench {
    target: Target,
    device: std::sync::Arc<dyn Device>,
    queue: Box<dyn Queue>,
}

/// What a plan gave: the columns, or the error.
type Outcome = Result<Vec<HostColumn>, KernelError>;

impl Bench {
    /// Opens the device of a target.
    ///
    /// # Panics
    /// When it is not there.
    pub fn new(target: Target) -> Self {
        let device = target.open();
        let queue = device.queue().unwrap_or_else(|e| panic!("{e}"));
        Self { target, device, queue }
    }

    /// The device.
    pub fn device(&self) -> &dyn Device {
        &*self.device
    }

    /// The device, shared.
    pub fn device_arc(&self) -> std::sync::Arc<dyn Device> {
        std::sync::Arc::clone(&self.device)
    }

    /// Its queue.
    pub fn queue(&mut self) -> &mut dyn Queue {
        &mut *self.queue
    }

    fn columns(&mut self, columns: &[HostColumn], how: Presented) -> Vec<DeviceColumn> {
        columns.iter().map(|c| c.upload(&*self.device, &mut *self.queue, how)).collect()
    }

    /// Runs the plan and reads the outputs back. The memory is poisoned before.
    fn run(
        &mut self,
        plan: &FilterProject,
        inputs: &[HostColumn],
        tables: &[HostColumn],
        rows: usize,
        how: Presented,
    ) -> Outcome {
        let batch = DeviceBatch { rows, columns: self.columns(inputs, how) };
        let tables = self.columns(tables, how);
        let before = self.device.pool().stats().in_use;
        let mut r = self.device.pool().reserve(0)?;
        let out = plan.run(&*self.device, &mut *self.queue, &mut r, &batch, &tables);
        if out.is_err() {
            drop(r);
            assert_eq!(self.device.pool().stats().in_use, before, "an error keeps nothing");
        }
        let out = out?;
        assert_eq!(out.columns.len(), plan.outputs.len());
        Ok(out
            .columns
            .iter()
            .map(|c| HostColumn::download(&mut *self.queue, c, out.rows))
            .collect())
    }

    /// Evaluates without compaction and keeps the selected rows.
    fn evaluate(
        &mut self,
        plan: &FilterProject,
        inputs: &[HostColumn],
        tables: &[HostColumn],
        rows: usize,
        how: Presented,
    ) -> Outcome {
        let batch = DeviceBatch { rows, columns: self.columns(inputs, how) };
        let tables = self.columns(tables, how);
        let mut r = self.device.pool().reserve(0)?;
        let out = plan.evaluate(&*self.device, &mut *self.queue, &mut r, &batch, &tables)?;
        assert_eq!(out.columns.rows, rows);
        let keep: Vec<bool> = match &out.selected {
            None => vec![true; rows],
            Some(words) => {
                let mut read = vec![0u32; rows];
                self.queue.download(words, 0, bytemuck::cast_slice_mut(&mut read))?;
                assert!(read.iter().all(|w| *w <= 1), "selected words are 0 or 1");
                read.iter().map(|w| *w == 1).collect()
            }
        };
        Ok(out
            .columns
            .columns
            .iter()
            .map(|c| {
                // Undefined rows may have undefined validity words: only the kept are read.
                let mut all = HostColumn::download_unchecked(&mut *self.queue, c, rows);
                let mut row = 0;
                all.values.retain(|_| {
                    row += 1;
                    keep[row - 1]
                });
                all
            })
            .collect())
    }

    /// Runs the plan on the reference, the interpreter and the target's device, compacted
    /// and not, and compares.
    ///
    /// # Panics
    /// Where they differ, naming the operation and the row's operands.
    pub fn check(
        &mut self,
        plan: &FilterProject,
        inputs: &[HostColumn],
        tables: &[HostColumn],
        how: Presented,
    ) {
        let rows = inputs.first().map_or(0, HostColumn::rows);
        self.check_rows(plan, inputs, tables, how, rows, true);
    }

    /// As [`Bench::check`] against the interpreter alone, for many rows.
    ///
    /// # Panics
    /// As `check`.
    pub fn check_many(&mut self, plan: &FilterProject, inputs: &[HostColumn], how: Presented) {
        let rows = inputs.first().map_or(0, HostColumn::rows);
        self.check_rows(plan, inputs, &[], how, rows, false);
    }

    fn check_rows(
        &mut self,
        plan: &FilterProject,
        inputs: &[HostColumn],
        tables: &[HostColumn],
        how: Presented,
        rows: usize,
        by_reference: bool,
    ) {
        let supported = plan.supported(&*self.device);
        let wanted = expected(&*self.device, plan);
        assert_eq!(supported.is_ok(), wanted, "{:?}: {supported:?}", self.target);
        if !wanted {
            let e = supported.unwrap_err();
            assert!(matches!(&e, KernelError::Unsupported { reason, .. } if reason.len() > 8));
            return;
        }
        let mut cpu;
        let interpreted = if self.device.info().backend == Backend::Cpu {
            None
        } else {
            cpu = Self::new(Target::Cpu);
            Some(cpu.run(plan, inputs, tables, rows, Presented::Packed(1)))
        };
        let reference = match (by_reference, &interpreted) {
            (false, Some(Ok(columns))) => Ok((columns.clone(), vec![])),
            _ => reference::run(plan, inputs, tables, rows),
        };
        for compacted in [true, false] {
            let got = match compacted {
                true => self.run(plan, inputs, tables, rows, how),
                false => self.evaluate(plan, inputs, tables, rows, how),
            };
            let context = format!("{:?} {how:?} compacted: {compacted}", self.target);
            match (&reference, got) {
                (Err(failures), Err(e)) => {
                    assert!(failures.iter().any(|f| f.matches(&e)), "{context}: {e}");
                }
                (Err(failures), Ok(_)) => panic!("{context}: no error, expected {failures:?}"),
                (Ok(_), Err(e)) => panic!("{context}: {e}"),
                (Ok((columns, selected)), Ok(got)) => {
                    let against = match &interpreted {
                        Some(Ok(columns)) => columns,
                        Some(Err(e)) => panic!("cpu: {e}"),
                        None => columns,
                    };
                    self.same(plan, inputs, against, &got, selected, &context);
                }
            }
        }
    }

    fn same(
        &self,
        plan: &FilterProject,
        inputs: &[HostColumn],
        want: &[HostColumn],
        got: &[HostColumn],
        selected: &[usize],
        context: &str,
    ) {
        let wgsl = self.target.is_wgsl();
        for ((id, want), got) in plan.outputs.iter().zip(want).zip(got) {
            assert_eq!(got.ty, want.ty);
            assert_eq!(got.rows(), want.rows(), "{context}: rows");
            let t = tolerance(plan, *id, wgsl);
            // A remainder is made of bits, which lavapipe keeps.
            let of_bits = matches!(plan.program.value(*id).op, Op::Binary(BinaryOp::Rem, ..));
            let flushes = wgsl && (self.target == Target::Real || !of_bits);
            for (i, (w, g)) in want.values.iter().zip(&got.values).enumerate() {
                let ok = match (w, g) {
                    (None, None) => true,
                    (Some(w), Some(g)) => close(got.ty, *w, *g, t, flushes),
                    _ => false,
                };
                if !ok {
                    let row = selected.get(i).copied().unwrap_or(i);
                    let operands: Vec<_> =
                        inputs.iter().map(|c| (c.ty, c.values[row].map(hex))).collect();
                    panic!(
                        "{context}: {:?} gives {:?}, expected {:?} (row {row}, {:?}; inputs \
                         {operands:?}; tolerance {t:?})",
                        plan.program.value(*id),
                        g.map(hex),
                        w.map(hex),
                        got.ty,
                    );
                }
            }
        }
    }
}

fn hex(bits: u128) -> String {
    format!("{bits:#x}")
}
