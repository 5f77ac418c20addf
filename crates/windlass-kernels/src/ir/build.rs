//! Building a program: type rules, nullability, sharing of equal values.

use super::{BinaryOp, CastMode, Op, Program, SlotType, TableId, UnaryOp, Value, ValueId};
use crate::{
    error::{KernelError, Result},
    types::{PhysType, Scalar},
};

fn invalid(expected: impl Into<String>, got: impl Into<String>) -> KernelError {
    KernelError::Invalid { operation: "program", expected: expected.into(), got: got.into() }
}

impl Program {
    /// An empty program.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value, or returns the earlier one that is equal.
    pub(super) fn push(&mut self, op: Op, ty: PhysType, nullable: bool) -> ValueId {
        let value = Value { op, ty, nullable };
        let at = self.values.iter().position(|v| *v == value).unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() - 1
        });
        ValueId(at as u32)
    }

    /// Type of a value.
    pub fn ty(&self, id: ValueId) -> PhysType {
        self.value(id).ty
    }

    /// Whether a value may be null.
    pub fn nullable(&self, id: ValueId) -> bool {
        self.value(id).nullable
    }

    /// Declares one more input column and returns its value.
    pub fn input(&mut self, ty: PhysType, nullable: bool) -> ValueId {
        self.inputs.push(SlotType { ty, nullable });
        self.push(Op::Input(self.inputs.len() as u32 - 1), ty, nullable)
    }

    /// Declares one more lookup table.
    pub fn table(&mut self, ty: PhysType, nullable: bool) -> TableId {
        self.tables.push(SlotType { ty, nullable });
        TableId(self.tables.len() as u32 - 1)
    }

    /// A constant.
    pub fn constant(&mut self, value: Scalar) -> ValueId {
        self.push(Op::Const(value), value.ty(), false)
    }

    /// The null of a type.
    pub fn null(&mut self, ty: PhysType) -> ValueId {
        self.push(Op::Null, ty, true)
    }

    /// The number of each row in its batch, a `U32`.
    pub fn row(&mut self) -> ValueId {
        self.push(Op::Row, PhysType::U32, false)
    }

    /// An operation of one operand.
    ///
    /// # Errors
    /// `Invalid` when the operand's type does not suit the operation, or it is not a value of
    /// the program.
    pub fn unary(&mut self, op: UnaryOp, a: ValueId, guard: Option<ValueId>) -> Result<ValueId> {
        use UnaryOp as U;
        self.check_known([Some(a), guard])?;
        let ty = self.ty(a);
        let (ok, out, nullable) = match op {
            U::Not => (ty == PhysType::Bool, ty, self.nullable(a)),
            U::IsNull | U::IsNotNull => (true, PhysType::Bool, false),
            U::Neg | U::Abs => (ty.is_signed(), ty, self.nullable(a)),
            U::BitNot => (ty.is_integer(), ty, self.nullable(a)),
            U::Sqrt
            | U::Exp
            | U::Ln
            | U::Log2
            | U::Log10
            | U::Floor
            | U::Ceil
            | U::Round
            | U::Trunc
            | U::Math(_) => (ty.is_float(), ty, self.nullable(a)),
            U::YearOfDate | U::MonthOfDate | U::DayOfDate | U::MonthStart => {
                (ty == PhysType::I32, ty, self.nullable(a))
            }
        };
        if !ok {
            return Err(invalid(format!("an operand that suits {op:?}"), ty.to_string()));
        }
        self.check_guard(guard)?;
        let guard = guard.filter(|_| op == U::Abs && ty.is_integer());
        Ok(self.push(Op::Unary(op, a, guard), out, nullable))
    }

    /// An operation of two operands of one type.
    ///
    /// # Errors
    /// `Invalid` when the types differ or do not suit the operation, or an operand is not a value
    /// of the program.
    pub fn binary(
        &mut self,
        op: BinaryOp,
        a: ValueId,
        b: ValueId,
        guard: Option<ValueId>,
    ) -> Result<ValueId> {
        use BinaryOp as B;
        self.check_known([Some(a), Some(b), guard])?;
        let ty = self.ty(a);
        if ty != self.ty(b) {
            return Err(invalid(
                format!("operands of one type for {op:?}"),
                format!("{ty} and {}", self.ty(b)),
            ));
        }
        let wide = matches!(ty, PhysType::I64 | PhysType::I128);
        let ok = match op {
            B::Add | B::Sub | B::Mul | B::Div | B::Rem => ty != PhysType::Bool,
            B::FloorDiv | B::FloorMod | B::DivRound => {
                ty.is_integer()
                    && matches!(&self.value(b).op, Op::Const(c) if (c.bits() as i128) > 0)
            }
            B::MulChecked | B::AddChecked | B::SubChecked => wide,
            B::Pow | B::Atan2 | B::Hypot | B::FloatEq | B::FloatLt | B::FloatLe => ty.is_float(),
            B::And | B::Or => ty == PhysType::Bool,
            B::BitAnd | B::BitOr | B::BitXor | B::Shl | B::Shr => ty.is_integer(),
            _ => op.is_comparison(),
        };
        if !ok {
            return Err(invalid(format!("operands that suit {op:?}"), ty.to_string()));
        }
        self.check_guard(guard)?;
        let fails = matches!(op, B::MulChecked | B::AddChecked | B::SubChecked)
            || (matches!(op, B::Div | B::Rem) && ty.is_integer());
        let guard = guard.filter(|_| fails);
        let nullable = match op {
            B::Distinct | B::NotDistinct => false,
            _ => self.nullable(a) || self.nullable(b),
        };
        let out = if op.is_comparison() { PhysType::Bool } else { ty };
        Ok(self.push(Op::Binary(op, a, b, guard), out, nullable))
    }

    /// A cast; to the same type it is the value itself.
    ///
    /// # Errors
    /// `Invalid` for a guard that is not a boolean, and for a value that is not the program's.
    pub fn cast(
        &mut self,
        a: ValueId,
        ty: PhysType,
        mode: CastMode,
        guard: Option<ValueId>,
    ) -> Result<ValueId> {
        self.check_known([Some(a), guard])?;
        if self.ty(a) == ty {
            return Ok(a);
        }
        self.check_guard(guard)?;
        let guard = guard.filter(|_| mode == CastMode::Error);
        let nullable = self.nullable(a) || mode == CastMode::Null;
        Ok(self.push(Op::Cast(a, mode, guard), ty, nullable))
    }

    /// `then` where `cond` is true, else `other`.
    ///
    /// # Errors
    /// `Invalid` when `cond` is not a boolean, the arms' types differ, or one of the three is not a
    /// value of the program.
    pub fn select(&mut self, cond: ValueId, then: ValueId, other: ValueId) -> Result<ValueId> {
        self.check_known([cond, then, other].map(Some))?;
        let (c, t, o) = (self.ty(cond), self.ty(then), self.ty(other));
        if c != PhysType::Bool || t != o {
            return Err(invalid("bool and two arms of one type", format!("{c}, {t}, {o}")));
        }
        let nullable = self.nullable(then) || self.nullable(other);
        Ok(self.push(Op::Select(cond, then, other), t, nullable))
    }

    /// Row `index` of a lookup table.
    ///
    /// # Errors
    /// `Invalid` when the table is not declared, or the index is not a `U32` of the program.
    pub fn lookup(&mut self, table: TableId, index: ValueId) -> Result<ValueId> {
        self.check_known([Some(index)])?;
        let slot = self.tables.get(table.0 as usize).copied();
        let (Some(slot), PhysType::U32) = (slot, self.ty(index)) else {
            return Err(invalid("a declared table and a u32", self.ty(index).to_string()));
        };
        let nullable = slot.nullable || self.nullable(index);
        Ok(self.push(Op::Lookup(table, index), slot.ty, nullable))
    }

    fn check_known<const N: usize>(&self, ids: [Option<ValueId>; N]) -> Result<()> {
        let count = self.values.len();
        match ids.into_iter().flatten().find(|id| id.0 as usize >= count) {
            Some(id) => Err(invalid(format!("a value of {count}"), format!("value {}", id.0))),
            None => Ok(()),
        }
    }

    fn check_guard(&self, guard: Option<ValueId>) -> Result<()> {
        match guard {
            Some(g) if self.ty(g) != PhysType::Bool => {
                Err(invalid("a bool guard", self.ty(g).to_string()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_shared_and_nulls_are_tracked() {
        let mut p = Program::new();
        let (a, b) = (p.input(PhysType::I64, false), p.input(PhysType::I64, true));
        let x = p.binary(BinaryOp::Add, a, b, None).unwrap();
        let y = p.binary(BinaryOp::Add, a, b, None).unwrap();
        assert_eq!(x, y);
        assert!(p.nullable(x));
        let d = p.binary(BinaryOp::Distinct, a, b, None).unwrap();
        assert!(!p.nullable(d));
        p.check().unwrap();
    }

    #[test]
    fn wrong_types_are_refused() {
        let mut p = Program::new();
        let (a, b) = (p.input(PhysType::I64, false), p.input(PhysType::F32, false));
        assert!(p.binary(BinaryOp::Add, a, b, None).is_err());
        assert!(p.unary(UnaryOp::Sqrt, a, None).is_err());
        assert!(p.binary(BinaryOp::FloorDiv, a, a, None).is_err());
        assert!(p.select(a, a, a).is_err());
        let t = p.table(PhysType::Bool, false);
        assert!(p.lookup(t, a).is_err());
    }

    #[test]
    fn values_of_another_program_are_refused() {
        let mut p = Program::new();
        let (a, t) = (p.input(PhysType::Bool, false), p.table(PhysType::Bool, false));
        let no = ValueId(99);
        assert!(p.unary(UnaryOp::Not, no, None).is_err());
        assert!(p.unary(UnaryOp::Not, a, Some(no)).is_err());
        assert!(p.binary(BinaryOp::And, a, no, None).is_err());
        assert!(p.cast(no, PhysType::I8, CastMode::Wrap, None).is_err());
        assert!(p.select(a, no, a).is_err());
        assert!(p.lookup(t, no).is_err());
        assert!(p.lookup(TableId(9), a).is_err());
    }
}
