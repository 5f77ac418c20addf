//! Checking a whole program: operands come first and every value has the type that the
//! builder would have given it.

use super::{Op, Program, ValueId};
use crate::error::{KernelError, Result};

/// Checks a program by building it again.
pub(super) fn check(program: &Program) -> Result<()> {
    let bad = |at: usize, got: String| KernelError::Invalid {
        operation: "program",
        expected: format!("value {at} to follow from the values before it"),
        got,
    };
    let mut again = Program {
        inputs: program.inputs().to_vec(),
        tables: program.tables().to_vec(),
        ..Program::default()
    };
    for (at, value) in program.values().iter().enumerate() {
        let known = |id: &ValueId| (id.0 as usize) < at;
        if !value.op.operands().iter().all(known) {
            return Err(bad(at, format!("{:?}", value.op)));
        }
        let id = match &value.op {
            Op::Input(i) => match program.inputs().get(*i as usize) {
                Some(s) => again.push(value.op.clone(), s.ty, s.nullable),
                None => return Err(bad(at, format!("input {i} of {}", program.inputs().len()))),
            },
            Op::Const(c) => again.constant(*c),
            Op::Null => again.null(value.ty),
            Op::Row => again.row(),
            Op::Unary(op, a, g) => again.unary(*op, *a, *g)?,
            Op::Binary(op, a, b, g) => again.binary(*op, *a, *b, *g)?,
            Op::Cast(a, mode, g) => again.cast(*a, value.ty, *mode, *g)?,
            Op::Select(c, a, b) => again.select(*c, *a, *b)?,
            Op::Lookup(t, a) => again.lookup(*t, *a)?,
        };
        if id.0 as usize != at || again.value(id) != value {
            return Err(bad(at, format!("{value:?}")));
        }
    }
    Ok(())
}
