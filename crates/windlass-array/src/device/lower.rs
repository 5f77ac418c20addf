//! A fused program as the program of a generated kernel: a row for each element of a region.
//! Where a leaf's elements lie one behind the other, it is an input column; else it is a table,
//! in which an element is looked up by its place, computed of the row's number with strides that
//! are given at the launch; where a generator makes them, an element is computed of its position,
//! which is given likewise. So one kernel serves all regions of a program.

use std::sync::Arc;

use windlass_device::Device;
use windlass_kernels::{
    PhysType, Scalar, Storage,
    ir::{BinaryOp, Program as Kernel, TableId, ValueId},
    pipeline::FilterProject,
};

use super::{made::Rule, ops::Builder, tile::phys};
use crate::{
    element::Buf,
    execute::{
        leaf::{Leaf, Source},
        program::{Action, Operand, Program},
    },
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

/// How a leaf's elements are found, with the types that they lie on the device as.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Access {
    /// Element `i` is that of row `i`.
    Row((PhysType, Storage)),
    /// By these steps along each axis.
    Table((PhysType, Storage), Vec<Step>),
    /// Made of their positions, which have these steps.
    Made(Rule, Vec<Step>),
}

/// A leaf for one launch: how it is read, where its first element lies (or its position), the
/// strides along all axes, and the numbers of its rule.
#[derive(Debug)]
pub(crate) struct Launched<'a> {
    pub(crate) access: &'a Access,
    pub(crate) offset: isize,
    pub(crate) strides: &'a [isize],
    pub(crate) numbers: &'a [u64],
}

/// What a kernel is made of, and what it reads.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) plan: FilterProject,
    /// Whether the first table holds lengths, offsets and strides: see [`words`].
    pub(crate) indexed: bool,
}

/// The words of the first table: the lengths of all axes but the first, and for each leaf that
/// is looked up or made its offset, the strides of its steps that are [`Step::Any`], and its
/// rule's numbers. Places are modulo 2^32, as the kernel adds them up; positions and numbers
/// have 64 bits, the low word first.
pub(crate) fn words(lens: &[usize], leaves: &[Launched<'_>]) -> Vec<u32> {
    let mut words: Vec<u32> = lens.iter().skip(1).map(|&n| n as u32).collect();
    for leaf in leaves {
        let (steps, wide) = match leaf.access {
            Access::Row(_) => continue,
            Access::Table(_, steps) => (steps, false),
            Access::Made(_, steps) => (steps, true),
        };
        let mut push = |number: u64| {
            words.push(number as u32);
            if wide {
                words.push((number >> 32) as u32);
            }
        };
        push(leaf.offset as u64);
        let any = steps.iter().zip(leaf.strides).filter(|(s, _)| **s == Step::Any);
        any.for_each(|(_, stride)| push(*stride as u64));
        leaf.numbers.iter().for_each(|n| push(*n));
    }
    words
}

/// Reads the words of the first table, one after the other.
pub(super) struct Words {
    table: TableId,
    next: u64,
}

impl Words {
    pub(super) fn new(table: TableId) -> Self {
        Self { table, next: 0 }
    }

    fn next(&mut self, b: &mut Builder) -> Result<ValueId, String> {
        let at = b.program.constant(Scalar::UInt(PhysType::U32, self.next));
        self.next += 1;
        b.program.lookup(self.table, at).map_err(|e| e.to_string())
    }

    /// A number of 64 bits.
    fn wide(&mut self, b: &mut Builder) -> Result<ValueId, String> {
        let (low, high) = (self.next(b)?, self.next(b)?);
        let (low, high) = (b.cast(low, PhysType::U64)?, b.cast(high, PhysType::U64)?);
        let half = b.program.constant(Scalar::UInt(PhysType::U64, 32));
        let high = b.binary(BinaryOp::Shl, high, half)?;
        b.binary(BinaryOp::BitOr, high, low)
    }
}

/// The kernel of a program over `rank` axes.
///
/// # Errors
/// The reason why there is none.
pub(crate) fn lower(program: &Program, access: &[Access], rank: usize) -> Result<Lowered, String> {
    let mut b = Builder { program: Kernel::new() };
    let indexed = access.iter().any(|a| !matches!(a, Access::Row(_)));
    let mut positions = Vec::new();
    let mut words = None;
    if indexed {
        let table = b.program.table(PhysType::U32, false);
        let mut reader = Words::new(table);
        positions = coordinates(&mut b, &mut reader, rank)?;
        words = Some(reader);
    }
    let mut leaves = Vec::with_capacity(access.len());
    for (leaf, access) in program.leaves.iter().zip(access) {
        let ty = phys(leaf.dtype).ok_or_else(|| format!("{} has no kernels", leaf.dtype))?;
        let value = match (access, &mut words) {
            (Access::Table(stored, steps), Some(words)) => {
                let table = b.program.table(stored.0, false);
                let at = place(&mut b, words, &positions, steps)?;
                b.program.lookup(table, at).map_err(|e| e.to_string())?
            }
            (Access::Made(rule, steps), Some(words)) => {
                let at = position(&mut b, words, &positions, steps)?;
                rule.value(&mut b, at, &mut |b| words.wide(b), ty)?
            }
            (Access::Row(stored) | Access::Table(stored, _), _) => b.program.input(stored.0, false),
            (Access::Made(..), None) => return Err("a rule without numbers".into()),
        };
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
pub(super) fn coordinates(
    b: &mut Builder,
    words: &mut Words,
    rank: usize,
) -> Result<Vec<ValueId>, String> {
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
pub(super) fn place(
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

/// The position of an element in an array, of 64 bits.
fn position(
    b: &mut Builder,
    words: &mut Words,
    positions: &[ValueId],
    steps: &[Step],
) -> Result<ValueId, String> {
    let mut at = words.wide(b)?;
    for (position, step) in positions.iter().zip(steps) {
        if *step == Step::None {
            continue;
        }
        let mut along = b.cast(*position, PhysType::U64)?;
        if *step == Step::Any {
            let stride = words.wide(b)?;
            along = b.binary(BinaryOp::Mul, along, stride)?;
        }
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
    devices.iter().try_for_each(|device| {
        let mut access = Vec::new();
        for leaf in &program.leaves {
            let stored =
                phys(leaf.dtype).ok_or_else(|| format!("{} has no kernels", leaf.dtype))?;
            let steps = vec![Step::Any; program.rank];
            access.push(match rule(leaf, &**device) {
                Some((rule, _)) => Access::Made(rule, steps),
                None => Access::Table((stored, Storage::Wide), steps),
            });
        }
        let lowered = lower(program, &access, program.rank)?;
        lowered.plan.supported(&**device).map_err(|e| e.to_string())
    })
}

/// The rule by which a device makes a leaf's elements, and its numbers.
pub(crate) fn rule(leaf: &Leaf, device: &dyn Device) -> Option<(Rule, Vec<u64>)> {
    match &leaf.source {
        Source::Generate(generator) => Rule::of(generator, device),
        _ => None,
    }
}
