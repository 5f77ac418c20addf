//! Lowering: a group-by as one pipeline that computes filter, keys and arguments, and the
//! layout of packed keys and states.
//!
//! A call's filter becomes part of its argument (`CASE WHEN filter THEN argument END`), since
//! every accumulator but `CountRows` skips nulls, and a filtered `CountRows` counts the rows
//! in which that expression over the filter itself is not null.

use super::{Accumulator, AggregateCall, BitOp, GroupByPlan, Order, Share, pick::PickLayout};
use crate::{
    error::{KernelError, Result},
    ir::{BinaryOp, CastMode, Program, UnaryOp, ValueId},
    pipeline::FilterProject,
    sort::SortKey,
    types::{PhysType, Scalar},
};

/// One key within a packed key.
#[derive(Debug, Clone)]
pub(super) struct KeyLayout {
    /// Output column of the pipeline.
    pub column: usize,
    pub ty: PhysType,
    /// Its null bit: word of the packed key, and bit; `None` for a key that is never null.
    pub null: Option<(u32, u32)>,
    /// Its first value word in the packed key.
    pub offset: u32,
    /// Whether the column begins with the chunk at hand, not with the batch.
    pub of_chunk: bool,
}

/// What a call accumulates on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows, or non-null arguments, in 64 bits.
    Count,
    /// Integers, in 64 bits, or in 128.
    SumInt { wide: bool },
    /// Floats, in 64 bits.
    SumF64,
    /// The smallest or largest argument.
    MinMax { is_min: bool },
    /// Count, mean and sum of squared deviations of 64-bit floats.
    Moments,
    /// Moments of pairs of 64-bit floats.
    CoMoments,
    /// Bits of integers.
    Bits(BitOp),
    /// Different arguments.
    Distinct,
    /// The values around a share.
    Quantile(Share),
    /// The argument of one row.
    Pick,
}

/// One call of the plan, lowered.
#[derive(Debug, Clone)]
pub(super) struct CallLayout {
    pub kind: Kind,
    /// Output column of the pipeline and its type; `None` to count all rows.
    pub argument: Option<(usize, PhysType)>,
    /// Output column of the second argument; null where the first is.
    pub other: Option<usize>,
    /// Whether a group may have no argument, so that a null result must be told apart.
    pub may_be_empty: bool,
    /// Types of the result's state arrays.
    pub states: Vec<PhysType>,
    /// Which row `Pick` takes.
    pub pick: Option<PickLayout>,
}

/// A group-by as its pipeline and layouts.
#[derive(Debug, Clone)]
pub(super) struct Lowered {
    /// Computes keys and arguments for each row, and the selection.
    pub pipeline: FilterProject,
    pub keys: Vec<KeyLayout>,
    /// Words of a packed key.
    pub key_words: u32,
    pub calls: Vec<CallLayout>,
}

fn invalid(expected: impl Into<String>, got: impl Into<String>) -> KernelError {
    KernelError::Invalid { operation: "group-by", expected: expected.into(), got: got.into() }
}

/// The index of `id` among the outputs, added where it is new.
fn output(outputs: &mut Vec<ValueId>, id: ValueId) -> usize {
    outputs.iter().position(|o| *o == id).unwrap_or_else(|| {
        outputs.push(id);
        outputs.len() - 1
    })
}

fn check_value(program: &Program, id: ValueId) -> Result<()> {
    let n = program.values().len();
    if (id.0 as usize) < n {
        return Ok(());
    }
    Err(invalid(format!("a value below {n}"), format!("value {}", id.0)))
}

fn check_bool(program: &Program, id: Option<ValueId>) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    check_value(program, id)?;
    match program.ty(id) {
        PhysType::Bool => Ok(()),
        ty => Err(invalid("a bool filter", ty.to_string())),
    }
}

/// Checks the plan and lowers it.
///
/// # Errors
/// `Invalid` for an argument, filter or type that an accumulator does not take.
pub(super) fn lower(plan: &GroupByPlan) -> Result<Lowered> {
    plan.program.check()?;
    check_bool(&plan.program, plan.filter)?;
    let mut program = plan.program.clone();
    let mut outputs = Vec::new();

    for key in &plan.keys {
        check_value(&program, *key)?;
    }
    let nullable = plan.keys.iter().filter(|k| program.nullable(**k)).count() as u32;
    let mut offset = nullable.div_ceil(32);
    let mut next_null = 0;
    let mut keys = Vec::with_capacity(plan.keys.len());
    for key in &plan.keys {
        let ty = program.ty(*key);
        let null = program.nullable(*key).then(|| {
            next_null += 1;
            ((next_null - 1) / 32, (next_null - 1) % 32)
        });
        keys.push(KeyLayout {
            column: output(&mut outputs, *key),
            ty,
            null,
            offset,
            of_chunk: false,
        });
        offset += ty.words() as u32;
    }

    let mut calls = Vec::with_capacity(plan.calls.len());
    for call in &plan.calls {
        calls.push(lower_call(&mut program, &mut outputs, call, plan.keys.is_empty())?);
    }
    let pipeline = FilterProject { program, filter: plan.filter, outputs };
    Ok(Lowered { pipeline, keys, key_words: offset, calls })
}

fn lower_call(
    program: &mut Program,
    outputs: &mut Vec<ValueId>,
    call: &AggregateCall,
    no_keys: bool,
) -> Result<CallLayout> {
    check_bool(program, call.filter)?;
    if let (Accumulator::Pick { last, ignore_nulls, order }, Some(id)) =
        (call.accumulator, call.argument)
    {
        check_value(program, id)?;
        let taken = taken(program, call.filter, ignore_nulls.then_some(id))?;
        let pick = lower_order(program, outputs, order, last)?;
        let pick = Some(PickLayout { taken: taken.map(|id| output(outputs, id)), ..pick });
        let ty = program.ty(id);
        let argument = Some((output(outputs, id), ty));
        let (kind, states) = (Kind::Pick, vec![ty]);
        return Ok(CallLayout { kind, argument, other: None, may_be_empty: true, states, pick });
    }
    let mut value = match (call.accumulator, call.argument) {
        (Accumulator::CountRows, None) => call.filter,
        (Accumulator::CountRows, Some(_)) => return Err(invalid("CountRows alone", "an argument")),
        (a, None) => return Err(invalid(format!("an argument of {a:?}"), "none")),
        (_, Some(id)) => {
            check_value(program, id)?;
            Some(id)
        }
    };
    let ty = value.map(|id| program.ty(id));
    let kind = match (call.accumulator, ty.unwrap_or(PhysType::I64)) {
        (Accumulator::CountRows | Accumulator::Count, _) => Kind::Count,
        (Accumulator::Sum { wide }, PhysType::I64) => Kind::SumInt { wide },
        (Accumulator::Sum { wide: false }, PhysType::U64) => Kind::SumInt { wide: false },
        (Accumulator::Sum { .. }, PhysType::I128) => Kind::SumInt { wide: true },
        (Accumulator::Sum { wide: false }, PhysType::F32 | PhysType::F64) => Kind::SumF64,
        (Accumulator::Min, _) => Kind::MinMax { is_min: true },
        (Accumulator::Max, _) => Kind::MinMax { is_min: false },
        (Accumulator::Moments, PhysType::F64) => Kind::Moments,
        (Accumulator::CoMoments { .. }, PhysType::F64) => Kind::CoMoments,
        (Accumulator::Bits(op), ty) if ty.is_integer() && ty.words() <= 2 => Kind::Bits(op),
        (Accumulator::Distinct, _) => Kind::Distinct,
        (Accumulator::Quantile(share), _) => Kind::Quantile(share),
        (a, ty) => return Err(invalid(format!("an argument type of {a:?}"), ty.to_string())),
    };
    let states = call.accumulator.state_types(ty.filter(|_| call.argument.is_some()));

    if let (Some(id), PhysType::F32, Kind::SumF64) = (value, ty.unwrap_or(PhysType::I64), kind) {
        value = Some(program.cast(id, PhysType::F64, CastMode::Wrap, None)?);
    }
    let mut other = None;
    if let (Some(id), Accumulator::CoMoments { other: second }) = (value, call.accumulator) {
        check_value(program, second)?;
        let (first, second) = pair(program, id, second)?;
        (value, other) = (Some(first), Some(second));
    }
    if let Some(filter) = call.filter {
        for id in [&mut value, &mut other].into_iter().flatten() {
            let null = program.null(program.ty(*id));
            *id = program.select(filter, *id, null)?;
        }
    }
    // What is never null counts every row.
    let value = value.filter(|id| kind != Kind::Count || program.nullable(*id));
    let argument = value.map(|id| (output(outputs, id), program.ty(id)));
    let other = other.map(|id| output(outputs, id));
    let may_be_empty = no_keys || value.is_some_and(|id| program.nullable(id));
    Ok(CallLayout { kind, argument, other, may_be_empty, states, pick: None })
}

/// A bool, never null, that is true in rows which a filter takes and in which a value is not
/// null; `None` where that is every row.
fn taken(
    program: &mut Program,
    filter: Option<ValueId>,
    present: Option<ValueId>,
) -> Result<Option<ValueId>> {
    let filter = match filter {
        Some(f) if program.nullable(f) => {
            let [yes, no] = [true, false].map(|b| program.constant(Scalar::Bool(b)));
            Some(program.select(f, yes, no)?)
        }
        filter => filter,
    };
    let present = present.filter(|id| program.nullable(*id));
    let present = present.map(|id| program.unary(UnaryOp::IsNotNull, id, None)).transpose()?;
    match (filter, present) {
        (Some(a), Some(b)) => program.binary(BinaryOp::And, a, b, None).map(Some),
        (one, other) => Ok(one.or(other)),
    }
}

/// The keys of an order as outputs; from the end where the last row is to be found.
fn lower_order(
    program: &Program,
    outputs: &mut Vec<ValueId>,
    order: Order,
    last: bool,
) -> Result<PickLayout> {
    let mut pick = PickLayout { last, ..PickLayout::default() };
    for key in order.keys() {
        check_value(program, key.value)?;
        pick.order.push(SortKey {
            column: output(outputs, key.value),
            descending: key.descending != last,
            nulls_first: key.nulls_first != last,
        });
        pick.types.push((program.ty(key.value), program.nullable(key.value)));
    }
    Ok(pick)
}

/// Two arguments, each null where the other is.
fn pair(program: &mut Program, a: ValueId, b: ValueId) -> Result<(ValueId, ValueId)> {
    if program.ty(b) != PhysType::F64 {
        return Err(invalid("a second argument of f64", program.ty(b).to_string()));
    }
    if !program.nullable(a) && !program.nullable(b) {
        return Ok((a, b));
    }
    let a_is = program.unary(UnaryOp::IsNotNull, a, None)?;
    let b_is = program.unary(UnaryOp::IsNotNull, b, None)?;
    let both = program.binary(BinaryOp::And, a_is, b_is, None)?;
    let null = program.null(PhysType::F64);
    Ok((program.select(both, a, null)?, program.select(both, b, null)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(calls: impl Fn(ValueId, ValueId) -> Vec<AggregateCall>) -> GroupByPlan {
        let mut program = Program::new();
        let key = program.input(PhysType::F64, true);
        let flag = program.input(PhysType::Bool, false);
        let value = program.input(PhysType::I64, false);
        let calls = calls(value, flag);
        GroupByPlan { program, filter: None, keys: vec![flag, key, value], calls }
    }

    fn call(accumulator: Accumulator, argument: Option<ValueId>) -> AggregateCall {
        AggregateCall { accumulator, argument, filter: None }
    }

    #[test]
    fn null_bits_come_before_the_key_words() {
        let l = lower(&plan(|v, _| vec![call(Accumulator::Count, Some(v))])).unwrap();
        let at: Vec<_> = l.keys.iter().map(|k| (k.offset, k.null)).collect();
        assert_eq!(at, [(1, None), (2, Some((0, 0))), (4, None)]);
        assert_eq!(l.key_words, 6);
        // A count of what is never null needs no argument.
        assert!(l.calls[0].argument.is_none());
    }

    #[test]
    fn filters_become_part_of_the_argument() {
        let l = lower(&plan(|v, f| {
            let filter = Some(f);
            let rows = Accumulator::CountRows;
            vec![
                AggregateCall { accumulator: rows, argument: None, filter },
                AggregateCall { accumulator: Accumulator::Max, argument: Some(v), filter },
                call(Accumulator::Max, Some(v)),
            ]
        }))
        .unwrap();
        assert!(l.calls[0].argument.is_some() && l.calls[0].kind == Kind::Count);
        assert!(l.calls[1].may_be_empty && !l.calls[2].may_be_empty);
        assert_eq!(l.pipeline.outputs.len(), 5);
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused() {
        let sum = Accumulator::Sum { wide: false };
        assert!(lower(&plan(|_, f| vec![call(sum, Some(f))])).is_err());
        assert!(lower(&plan(|v, _| vec![call(Accumulator::Moments, Some(v))])).is_err());
        assert!(lower(&plan(|v, _| vec![call(Accumulator::CountRows, Some(v))])).is_err());
        assert!(lower(&plan(|_, _| vec![call(sum, None)])).is_err());
        assert!(lower(&plan(|_, _| vec![call(sum, Some(ValueId(99)))])).is_err());
    }
}
