//! A fused program as the program of a generated kernel: a row for each element of a region.
//! Where a leaf's elements lie one behind the other, it is an input column; else it is a table,
//! in which an element is looked up by its place, computed of the row's number with strides that
//! are given at the launch. So one kernel serves all regions of a program.

use std::sync::Arc;

use windlass_device::Device;
use windlass_kernels::{
    PhysType, Scalar, Storage,
    ir::{BinaryOp, Program as Kernel, TableId, ValueId},
    pipeline::FilterProject,
};

use super::{ops::Builder, tile::phys};
use crate::{
    dtype::DType,
    element::Buf,
    execute::program::{Action, Operand, Program},
};

/// How a program steps along an axis of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It stays.
    None,
    /// To the next element.
    One,
    /// By a stride that is given at the launch.
    Any,
}

impl Step {
    pub(crate) fn of(stride: isize) -> Self {
        match stride {
            0 => Self::None,
            1 => Self::One,
            _ => Self::Any,
        }
    }
}

/// How a leaf's elements are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// As they lie on the device.
    pub(crate) stored: (PhysType, Storage),
    /// Along each axis; `None` where element `i` is that of row `i`.
    pub(crate) steps: Option<Vec<Step>>,
}

/// What a kernel is made of, and what it reads.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) plan: FilterProject,
    /// Whether the first table holds lengths, offsets and strides: see [`words`].
    pub(crate) indexed: bool,
}

/// The words of the first table: the lengths of all axes but the first, and for each leaf that
/// is looked up its offset and the strides of its steps that are [`Step::Any`]. All of them are
/// modulo 2^32, as the kernel adds them up.
pub(crate) fn words(lens: &[usize], leaves: &[(&Access, isize, &[isize])]) -> Vec<u32> {
    let mut words: Vec<u32> = lens.iter().skip(1).map(|&n| n as u32).collect();
    for (access, offset, strides) in leaves {
        let Some(steps) = &access.steps else { continue };
        words.push(*offset as u32);
        let any = steps.iter().zip(*strides).filter(|(s, _)| **s == Step::Any);
        words.extend(any.map(|(_, stride)| *stride as u32));
    }
    words
}

/// Reads the words of the first table, one after the other.
struct Words {
    table: TableId,
    next: u64,
}

impl Words {
    fn next(&mut self, b: &mut Builder) -> Result<ValueId, String> {
        let at = b.program.constant(Scalar::UInt(PhysType::U32, self.next));
        self.next += 1;
        b.program.lookup(self.table, at).map_err(|e| e.to_string())
    }
}

/// The kernel of a program over `rank` axes.
///
/// # Errors
/// The reason why there is none.
pub(crate) fn lower(program: &Program, access: &[Access], rank: usize) -> Result<Lowered, String> {
    let mut b = Builder { program: Kernel::new() };
    let indexed = access.iter().any(|a| a.steps.is_some());
    let mut positions = Vec::new();
    let mut params = None;
    if indexed {
        let table = b.program.table(PhysType::U32, false);
        let mut words = Words { table, next: 0 };
        positions = coordinates(&mut b, &mut words, rank)?;
        params = Some(words);
    }
    let mut leaves = Vec::with_capacity(access.len());
    for (leaf, access) in program.leaves.iter().zip(access) {
        let stored = access.stored.0;
        let value = match (&access.steps, &mut params) {
            (Some(steps), Some(words)) => {
                let table = b.program.table(stored, false);
                let at = place(&mut b, words, &positions, steps)?;
                b.program.lookup(table, at).map_err(|e| e.to_string())?
            }
            _ => b.program.input(stored, false),
        };
        let ty = phys(leaf.dtype).ok_or_else(|| format!("{} has no kernels", leaf.dtype))?;
        leaves.push(b.cast(value, ty)?);
    }
    let mut constants = Vec::with_capacity(program.constants.len());
    for one in &program.constants {
        constants.push(b.program.constant(scalar(one)?));
    }
    let mut registers: Vec<Option<ValueId>> = vec![None; program.registers.len()];
    let find = |registers: &[Option<ValueId>], o: Operand| match o {
        Operand::Leaf(l) => Ok(leaves[l]),
        Operand::Constant(c) => Ok(constants[c]),
        Operand::Register(r) => registers[r].ok_or("a register that nothing wrote".to_string()),
    };
    for i in &program.instructions {
        let operand = |k: usize| find(&registers, i.operands[k]);
        let value = match i.action {
            Action::Unary(op) => b.one(op, operand(0)?)?,
            Action::Binary(op) => b.two(op, operand(0)?, operand(1)?)?,
            Action::Select => b.select(operand(0)?, operand(1)?, operand(2)?)?,
        };
        let wanted = phys(i.result_type);
        if Some(b.program.ty(value)) != wanted {
            return Err(format!("{} is not what its kernel gives", i.result_type));
        }
        registers[i.to] = Some(value);
    }
    let result = find(&registers, program.result)?;
    if phys(program.dtype) != Some(b.program.ty(result)) {
        return Err(format!("{} has no kernels", program.dtype));
    }
    let plan = FilterProject { program: b.program, filter: None, outputs: vec![result] };
    Ok(Lowered { plan, indexed })
}

/// The position of a row along each axis, the last the fastest.
fn coordinates(b: &mut Builder, words: &mut Words, rank: usize) -> Result<Vec<ValueId>, String> {
    let mut lens = Vec::new();
    for _ in 1..rank {
        lens.push(words.next(b)?);
    }
    let mut rest = b.program.row();
    let mut found = Vec::new();
    for len in lens.into_iter().rev() {
        found.push(b.binary(BinaryOp::Rem, rest, len)?);
        rest = b.binary(BinaryOp::Div, rest, len)?;
    }
    found.push(rest);
    found.reverse();
    Ok(found)
}

/// The place of an element in a leaf's table.
fn place(
    b: &mut Builder,
    words: &mut Words,
    positions: &[ValueId],
    steps: &[Step],
) -> Result<ValueId, String> {
    let mut at = words.next(b)?;
    for (position, step) in positions.iter().zip(steps) {
        let along = match step {
            Step::None => continue,
            Step::One => *position,
            Step::Any => {
                let stride = words.next(b)?;
                b.binary(BinaryOp::Mul, *position, stride)?
            }
        };
        at = b.binary(BinaryOp::Add, at, along)?;
    }
    Ok(at)
}

/// A buffer's one element.
fn scalar(one: &Buf) -> Result<Scalar, String> {
    Ok(match one {
        Buf::Bool(v) => Scalar::Bool(v[0]),
        Buf::I8(v) => Scalar::Int(PhysType::I8, v[0].into()),
        Buf::I16(v) => Scalar::Int(PhysType::I16, v[0].into()),
        Buf::I32(v) => Scalar::Int(PhysType::I32, v[0].into()),
        Buf::I64(v) => Scalar::Int(PhysType::I64, v[0].into()),
        Buf::U8(v) => Scalar::UInt(PhysType::U8, v[0].into()),
        Buf::U16(v) => Scalar::UInt(PhysType::U16, v[0].into()),
        Buf::U32(v) => Scalar::UInt(PhysType::U32, v[0].into()),
        Buf::U64(v) => Scalar::UInt(PhysType::U64, v[0]),
        Buf::F32(v) => Scalar::F32(v[0]),
        Buf::F64(v) => Scalar::F64(v[0]),
        Buf::C64(_) | Buf::C128(_) => return Err("complex numbers have no kernels".into()),
    })
}

/// Whether all devices have kernels for a program, whatever the region: the reason why not.
pub(crate) fn supported(program: &Program, devices: &[Arc<dyn Device>]) -> Result<(), String> {
    let mut access = Vec::new();
    for leaf in &program.leaves {
        let stored = phys(leaf.dtype).ok_or_else(|| no_kernels(leaf.dtype))?;
        let steps = Some(vec![Step::Any; program.rank]);
        access.push(Access { stored: (stored, Storage::Wide), steps });
    }
    let lowered = lower(program, &access, program.rank)?;
    devices.iter().try_for_each(|d| lowered.plan.supported(&**d).map_err(|e| e.to_string()))
}

fn no_kernels(dtype: DType) -> String {
    format!("{dtype} has no kernels")
}
