//! NumPy's operations in those of a kernel's program. Integer divisions never raise: by zero
//! they give zero, as NumPy's do.

use windlass_kernels::{
    PhysType, Scalar,
    ir::{BinaryOp as B, CastMode, MathOp, Program, UnaryOp as U, ValueId},
};

use super::tile::phys;
use crate::expr::ops::{BinaryOp, UnaryOp};

/// A program in the making. Its methods are for operands whose types suit: others are a fault
/// of this crate, and refused with a reason.
pub(super) struct Builder {
    pub(super) program: Program,
}

pub(super) type Made = Result<ValueId, String>;

impl Builder {
    fn ty(&self, x: ValueId) -> PhysType {
        self.program.ty(x)
    }

    pub(super) fn unary(&mut self, op: U, x: ValueId) -> Made {
        self.program.unary(op, x, None).map_err(|e| e.to_string())
    }

    fn math(&mut self, op: MathOp, x: ValueId) -> Made {
        self.unary(U::Math(op), x)
    }

    pub(super) fn binary(&mut self, op: B, x: ValueId, y: ValueId) -> Made {
        let integer = self.ty(x).is_integer();
        let never = (integer && matches!(op, B::Div | B::Rem))
            .then(|| self.program.constant(Scalar::Bool(false)));
        self.program.binary(op, x, y, never).map_err(|e| e.to_string())
    }

    pub(super) fn select(&mut self, c: ValueId, x: ValueId, y: ValueId) -> Made {
        self.program.select(c, x, y).map_err(|e| e.to_string())
    }

    pub(super) fn cast(&mut self, x: ValueId, to: PhysType) -> Made {
        self.program.cast(x, to, CastMode::Wrap, None).map_err(|e| e.to_string())
    }

    /// A number as a constant of a type.
    fn number(&mut self, ty: PhysType, value: f64) -> ValueId {
        let scalar = match ty {
            PhysType::Bool => Scalar::Bool(value != 0.0),
            PhysType::F32 => Scalar::F32(value as f32),
            PhysType::F64 => Scalar::F64(value),
            _ if ty.is_signed() => Scalar::Int(ty, value as i128),
            _ => Scalar::UInt(ty, value as u64),
        };
        self.program.constant(scalar)
    }

    /// A constant beside `x`, of its type.
    fn beside(&mut self, x: ValueId, value: f64) -> ValueId {
        let ty = self.ty(x);
        self.number(ty, value)
    }

    fn not(&mut self, x: ValueId) -> Made {
        self.unary(U::Not, x)
    }

    fn is_nan(&mut self, x: ValueId) -> Made {
        let same = self.binary(B::FloatEq, x, x)?;
        self.not(same)
    }

    /// Whether x is less than y; of floats as IEEE 754 compares.
    fn less(&mut self, x: ValueId, y: ValueId) -> Made {
        let op = if self.ty(x).is_float() { B::FloatLt } else { B::Lt };
        self.binary(op, x, y)
    }

    fn less_equal(&mut self, x: ValueId, y: ValueId) -> Made {
        let op = if self.ty(x).is_float() { B::FloatLe } else { B::Le };
        self.binary(op, x, y)
    }

    fn equal(&mut self, x: ValueId, y: ValueId) -> Made {
        let op = if self.ty(x).is_float() { B::FloatEq } else { B::Eq };
        self.binary(op, x, y)
    }

    /// Whether the sign bit of a float is set.
    fn signbit(&mut self, x: ValueId) -> Made {
        // In totalOrder all of them are below zero, NaNs too.
        let zero = self.beside(x, 0.0);
        self.binary(B::Lt, x, zero)
    }

    /// The magnitude of x with the sign of y, of floats.
    fn copysign(&mut self, x: ValueId, y: ValueId) -> Made {
        let magnitude = self.unary(U::Abs, x)?;
        let (negative, other) = (self.signbit(y)?, self.unary(U::Neg, magnitude)?);
        self.select(negative, other, magnitude)
    }

    /// An operation of one operand.
    pub(super) fn one(&mut self, op: UnaryOp, x: ValueId) -> Made {
        use UnaryOp as N;
        let ty = self.ty(x);
        let float = ty.is_float();
        let refuse = || Err(format!("{} of {ty} has no kernel", op.name()));
        let math = |m: MathOp| (m, float);
        let (m, defined) = match op {
            N::Cbrt => math(MathOp::Cbrt),
            N::Exp2 => math(MathOp::Exp2),
            N::Expm1 => math(MathOp::Expm1),
            N::Log1p => math(MathOp::Log1p),
            N::Sin => math(MathOp::Sin),
            N::Cos => math(MathOp::Cos),
            N::Tan => math(MathOp::Tan),
            N::Arcsin => math(MathOp::Asin),
            N::Arccos => math(MathOp::Acos),
            N::Arctan => math(MathOp::Atan),
            N::Sinh => math(MathOp::Sinh),
            N::Cosh => math(MathOp::Cosh),
            N::Tanh => math(MathOp::Tanh),
            N::Arcsinh => math(MathOp::Asinh),
            N::Arccosh => math(MathOp::Acosh),
            N::Arctanh => math(MathOp::Atanh),
            N::Rint => math(MathOp::Rint),
            _ => return self.other_one(op, x),
        };
        if defined { self.math(m, x) } else { refuse() }
    }

    fn other_one(&mut self, op: UnaryOp, x: ValueId) -> Made {
        use UnaryOp as N;
        let ty = self.ty(x);
        let float = ty.is_float();
        match op {
            N::Cast(to) => match phys(to) {
                Some(to) => self.cast(x, to),
                None => Err(format!("{to} has no kernels")),
            },
            N::Negative if ty.is_signed() => self.unary(U::Neg, x),
            N::Negative => {
                let zero = self.beside(x, 0.0);
                self.binary(B::Sub, zero, x)
            }
            N::Absolute if float => self.unary(U::Abs, x),
            N::Absolute => {
                let (zero, negated) = (self.beside(x, 0.0), self.unary(U::Neg, x)?);
                let negative = self.less(x, zero)?;
                self.select(negative, negated, x)
            }
            N::Sign => self.sign(x),
            N::Reciprocal if float => {
                let one = self.beside(x, 1.0);
                self.binary(B::Div, one, x)
            }
            N::Square => self.binary(B::Mul, x, x),
            N::Sqrt => self.unary(U::Sqrt, x),
            N::Exp => self.unary(U::Exp, x),
            N::Log => self.unary(U::Ln, x),
            N::Log2 => self.unary(U::Log2, x),
            N::Log10 => self.unary(U::Log10, x),
            N::Floor => self.unary(U::Floor, x),
            N::Ceil => self.unary(U::Ceil, x),
            N::Trunc => self.unary(U::Trunc, x),
            N::Deg2rad | N::Rad2deg => {
                let factor = self.degrees(op == N::Deg2rad, ty);
                self.binary(B::Mul, x, factor)
            }
            N::Isnan => self.is_nan(x),
            N::Isinf | N::Isfinite => {
                let (size, infinity) = (self.unary(U::Abs, x)?, self.beside(x, f64::INFINITY));
                match op {
                    N::Isinf => self.equal(size, infinity),
                    _ => self.less(size, infinity),
                }
            }
            N::Signbit => self.signbit(x),
            N::Invert if ty == PhysType::Bool => self.not(x),
            N::Invert => self.unary(U::BitNot, x),
            N::Imag => Ok(self.beside(x, 0.0)),
            N::Angle => {
                let zero = self.beside(x, 0.0);
                self.binary(B::Atan2, zero, x)
            }
            _ => Err(format!("{} of {ty} has no kernel", op.name())),
        }
    }

    /// The factor of degrees to radians or back, rounded in the type.
    fn degrees(&mut self, to_radians: bool, ty: PhysType) -> ValueId {
        let scalar = match (ty, to_radians) {
            (PhysType::F32, true) => Scalar::F32(std::f32::consts::PI / 180.0),
            (PhysType::F32, false) => Scalar::F32(180.0 / std::f32::consts::PI),
            (_, true) => Scalar::F64(std::f64::consts::PI / 180.0),
            (_, false) => Scalar::F64(180.0 / std::f64::consts::PI),
        };
        self.program.constant(scalar)
    }

    fn sign(&mut self, x: ValueId) -> Made {
        let (zero, one) = (self.beside(x, 0.0), self.beside(x, 1.0));
        let above = self.less(zero, x)?;
        // NaN is its own sign.
        let mut rest = if self.ty(x).is_float() { x } else { zero };
        if self.ty(x).is_float() {
            let none = self.equal(x, zero)?;
            rest = self.select(none, zero, rest)?;
        }
        if self.ty(x).is_signed() {
            let (below, minus) = (self.less(x, zero)?, self.beside(x, -1.0));
            rest = self.select(below, minus, rest)?;
        }
        self.select(above, one, rest)
    }

    /// An operation of two operands of one type.
    pub(super) fn two(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Made {
        let ty = self.ty(x);
        if ty == PhysType::Bool {
            return self.two_bools(op, x, y);
        }
        if ty.is_float() {
            return self.two_floats(op, x, y);
        }
        self.two_integers(op, x, y)
    }

    fn two_bools(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Made {
        use BinaryOp as N;
        let op = match op {
            N::Add | N::Or | N::Maximum | N::Fmax => B::Or,
            N::Multiply | N::And | N::Minimum | N::Fmin => B::And,
            N::Xor | N::NotEqual => B::Ne,
            N::Equal => B::Eq,
            N::Less => B::Lt,
            N::LessEqual => B::Le,
            other => return Err(format!("{} of bool has no kernel", other.name())),
        };
        self.binary(op, x, y)
    }

    fn two_integers(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Made {
        use BinaryOp as N;
        let plain = match op {
            N::Add => B::Add,
            N::Subtract => B::Sub,
            N::Multiply => B::Mul,
            N::Fmod => B::Rem,
            N::Equal => B::Eq,
            N::NotEqual => B::Ne,
            N::Less => B::Lt,
            N::LessEqual => B::Le,
            N::And => B::BitAnd,
            N::Or => B::BitOr,
            N::Xor => B::BitXor,
            N::FloorDivide | N::Remainder => return self.floor_division(op, x, y),
            N::Maximum | N::Fmax => return self.extreme(B::Ge, x, y),
            N::Minimum | N::Fmin => return self.extreme(B::Le, x, y),
            N::ShiftLeft | N::ShiftRight => return self.shift(op, x, y),
            other => return Err(format!("{} of {} has no kernel", other.name(), self.ty(x))),
        };
        self.binary(plain, x, y)
    }

    fn extreme(&mut self, op: B, x: ValueId, y: ValueId) -> Made {
        let first = self.binary(op, x, y)?;
        self.select(first, x, y)
    }

    /// Quotients towards minus infinity, remainders with the divisor's sign; by zero both are 0.
    fn floor_division(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Made {
        let (zero, quotient) = (self.beside(x, 0.0), self.binary(B::Div, x, y)?);
        let rest = self.binary(B::Rem, x, y)?;
        let by_zero = self.equal(y, zero)?;
        let mut found = if op == BinaryOp::Remainder { rest } else { quotient };
        if self.ty(x).is_signed() {
            let (some, low, negative) =
                (self.binary(B::Ne, rest, zero)?, self.less(rest, zero)?, self.less(y, zero)?);
            let differ = self.binary(B::Ne, low, negative)?;
            let off = self.binary(B::And, some, differ)?;
            let fixed = match op {
                BinaryOp::Remainder => self.binary(B::Add, rest, y)?,
                _ => {
                    let one = self.beside(x, 1.0);
                    self.binary(B::Sub, quotient, one)?
                }
            };
            found = self.select(off, fixed, found)?;
        }
        self.select(by_zero, zero, found)
    }

    /// Shifts by the width and more leave nothing but the sign.
    fn shift(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Made {
        let ty = self.ty(x);
        let unsigned = match ty {
            PhysType::I8 => PhysType::U8,
            PhysType::I16 => PhysType::U16,
            PhysType::I32 => PhysType::U32,
            PhysType::I64 => PhysType::U64,
            other => other,
        };
        let count = self.cast(y, unsigned)?;
        let bits = ty.packed_bytes().unwrap_or(1) * 8;
        let width = self.number(unsigned, bits as f64);
        let within = self.less(count, width)?;
        let zero = self.beside(x, 0.0);
        if op == BinaryOp::ShiftLeft {
            let shifted = self.binary(B::Shl, x, y)?;
            return self.select(within, shifted, zero);
        }
        let shifted = self.binary(B::Shr, x, y)?;
        let mut rest = zero;
        if ty.is_signed() {
            let (negative, ones) = (self.less(x, zero)?, self.beside(x, -1.0));
            rest = self.select(negative, ones, zero)?;
        }
        self.select(within, shifted, rest)
    }

    fn two_floats(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Made {
        use BinaryOp as N;
        let plain = match op {
            N::Add => B::Add,
            N::Subtract => B::Sub,
            N::Multiply => B::Mul,
            N::Divide => B::Div,
            N::Fmod => B::Rem,
            N::Power => B::Pow,
            N::Arctan2 => B::Atan2,
            N::Hypot => B::Hypot,
            N::Equal => B::FloatEq,
            N::Less => B::FloatLt,
            N::LessEqual => B::FloatLe,
            N::NotEqual => {
                let same = self.equal(x, y)?;
                return self.not(same);
            }
            N::Copysign => return self.copysign(x, y),
            N::FloorDivide => return self.float_quotient(x, y),
            N::Remainder => return self.float_remainder(x, y),
            N::Maximum | N::Minimum | N::Fmax | N::Fmin => return self.float_extreme(op, x, y),
            N::Logaddexp | N::Logaddexp2 => return self.logaddexp(op, x, y),
            other => return Err(format!("{} of {} has no kernel", other.name(), self.ty(x))),
        };
        self.binary(plain, x, y)
    }

    fn float_extreme(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Made {
        let first = match op {
            BinaryOp::Maximum | BinaryOp::Fmax => self.less_equal(y, x)?,
            _ => self.less_equal(x, y)?,
        };
        // A NaN comes through, or the other operand does.
        let nan = match op {
            BinaryOp::Maximum | BinaryOp::Minimum => self.is_nan(x)?,
            _ => self.is_nan(y)?,
        };
        let first = self.binary(B::Or, first, nan)?;
        self.select(first, x, y)
    }

    fn float_quotient(&mut self, x: ValueId, y: ValueId) -> Made {
        let (zero, one) = (self.beside(x, 0.0), self.beside(x, 1.0));
        let rest = self.binary(B::Rem, x, y)?;
        let whole = self.binary(B::Sub, x, rest)?;
        let quotient = self.binary(B::Div, whole, y)?;
        let less = self.binary(B::Sub, quotient, one)?;
        let off = self.signs_differ(rest, y)?;
        let quotient = self.select(off, less, quotient)?;
        // The quotient is near an integer, on either side of it.
        let down = self.unary(U::Floor, quotient)?;
        let over = self.binary(B::Sub, quotient, down)?;
        let half = self.beside(x, 0.5);
        let (round_up, up) = (self.less(half, over)?, self.binary(B::Add, down, one)?);
        let rounded = self.select(round_up, up, down)?;
        let exact = self.binary(B::Div, x, y)?;
        let (none, signed) = (self.equal(quotient, zero)?, self.copysign(zero, exact)?);
        let found = self.select(none, signed, rounded)?;
        let by_zero = self.equal(y, zero)?;
        self.select(by_zero, exact, found)
    }

    /// Whether a remainder that is not 0 has another sign than its divisor.
    fn signs_differ(&mut self, rest: ValueId, y: ValueId) -> Made {
        let zero = self.beside(y, 0.0);
        let none = self.equal(rest, zero)?;
        let (some, low, negative) = (self.not(none)?, self.less(rest, zero)?, self.less(y, zero)?);
        let differ = self.binary(B::Ne, low, negative)?;
        self.binary(B::And, some, differ)
    }

    fn float_remainder(&mut self, x: ValueId, y: ValueId) -> Made {
        let (zero, rest) = (self.beside(x, 0.0), self.binary(B::Rem, x, y)?);
        let (none, signed) = (self.equal(rest, zero)?, self.copysign(zero, y)?);
        let (off, fixed) = (self.signs_differ(rest, y)?, self.binary(B::Add, rest, y)?);
        let found = self.select(off, fixed, rest)?;
        self.select(none, signed, found)
    }

    fn logaddexp(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Made {
        let two = op == BinaryOp::Logaddexp2;
        let step = self.beside(x, if two { 1.0 } else { std::f64::consts::LN_2 });
        let (same, doubled) = (self.equal(x, y)?, self.binary(B::Add, x, step)?);
        let d = self.binary(B::Sub, x, y)?;
        let size = self.unary(U::Abs, d)?;
        let down = self.unary(U::Neg, size)?;
        let power = if two { self.math(MathOp::Exp2, down)? } else { self.unary(U::Exp, down)? };
        let mut more = self.math(MathOp::Log1p, power)?;
        if two {
            let scale = self.beside(x, std::f64::consts::LOG2_E);
            more = self.binary(B::Mul, more, scale)?;
        }
        let (less, nan) = (self.less(x, y)?, self.is_nan(d)?);
        let greater = self.select(less, y, x)?;
        let sum = self.binary(B::Add, greater, more)?;
        let found = self.select(nan, d, sum)?;
        self.select(same, doubled, found)
    }
}
