//! The elementwise operations, and the types that they take and give. Conversions are
//! operations of their own: an operation's operands all have the type that it computes in.

use crate::{
    dtype::{DType, Kind},
    error::{ArrayError, Result},
};

/// An operation of one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "NumPy's functions of these names")]
pub(crate) enum UnaryOp {
    Negative,
    Absolute,
    Sign,
    Reciprocal,
    Square,
    Sqrt,
    Cbrt,
    Exp,
    Exp2,
    Expm1,
    Log,
    Log2,
    Log10,
    Log1p,
    Sin,
    Cos,
    Tan,
    Arcsin,
    Arccos,
    Arctan,
    Sinh,
    Cosh,
    Tanh,
    Arcsinh,
    Arccosh,
    Arctanh,
    Floor,
    Ceil,
    Trunc,
    Rint,
    Deg2rad,
    Rad2deg,
    Isnan,
    Isinf,
    Isfinite,
    Signbit,
    Invert,
    Conj,
    Real,
    Imag,
    Angle,
    I0,
    /// The fraction of `frexp`.
    Mantissa,
    /// The power of two of `frexp`.
    Exponent,
    BitwiseCount,
    /// To another type: see [`crate::Array::astype`].
    Cast(DType),
}

/// An operation of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Fmod,
    Power,
    Arctan2,
    Hypot,
    Logaddexp,
    Logaddexp2,
    Copysign,
    Nextafter,
    Maximum,
    Minimum,
    Fmax,
    Fmin,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    Gcd,
    Lcm,
    /// Times two to a power, which is a whole number of the same type.
    Ldexp,
}

/// The type that an operation computes in, and the one that it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) operand: DType,
    pub(crate) result: DType,
}

fn same(operand: DType) -> Signature {
    Signature { operand, result: operand }
}

fn refuse<T>(operation: &'static str, dtype: DType, hint: &'static str) -> Result<T> {
    Err(ArrayError::Type { operation, dtype: dtype.to_string(), hint })
}

impl UnaryOp {
    /// NumPy's name.
    pub(crate) fn name(self) -> &'static str {
        use UnaryOp as U;
        match self {
            U::Negative => "negative",
            U::Absolute => "absolute",
            U::Sign => "sign",
            U::Reciprocal => "reciprocal",
            U::Square => "square",
            U::Sqrt => "sqrt",
            U::Cbrt => "cbrt",
            U::Exp => "exp",
            U::Exp2 => "exp2",
            U::Expm1 => "expm1",
            U::Log => "log",
            U::Log2 => "log2",
            U::Log10 => "log10",
            U::Log1p => "log1p",
            U::Sin => "sin",
            U::Cos => "cos",
            U::Tan => "tan",
            U::Arcsin => "arcsin",
            U::Arccos => "arccos",
            U::Arctan => "arctan",
            U::Sinh => "sinh",
            U::Cosh => "cosh",
            U::Tanh => "tanh",
            U::Arcsinh => "arcsinh",
            U::Arccosh => "arccosh",
            U::Arctanh => "arctanh",
            U::Floor => "floor",
            U::Ceil => "ceil",
            U::Trunc => "trunc",
            U::Rint => "rint",
            U::Deg2rad => "deg2rad",
            U::Rad2deg => "rad2deg",
            U::Isnan => "isnan",
            U::Isinf => "isinf",
            U::Isfinite => "isfinite",
            U::Signbit => "signbit",
            U::Invert => "invert",
            U::Conj => "conj",
            U::Real => "real",
            U::Imag => "imag",
            U::Angle => "angle",
            U::I0 => "i0",
            U::Mantissa | U::Exponent => "frexp",
            U::BitwiseCount => "bitwise_count",
            U::Cast(_) => "astype",
        }
    }

    /// The types for an operand of type `d`; the operand itself is the result where the
    /// operation changes nothing (`None`).
    pub(crate) fn signature(self, d: DType) -> Result<Option<Signature>> {
        use UnaryOp as U;
        let name = self.name();
        let numbers = "convert it to a number with `astype`";
        let floats = "it is defined for real numbers";
        let exact = d.kind() <= Kind::Integer;
        Ok(Some(match self {
            U::Cast(to) if to == d => return Ok(None),
            U::Cast(to) => Signature { operand: d, result: to },
            U::Negative if d == DType::Bool => {
                return refuse(name, d, "use `logical_not`");
            }
            U::Sign if d == DType::Bool => return refuse(name, d, numbers),
            U::Absolute if d == DType::Bool || d.is_unsigned() => return Ok(None),
            U::Absolute => Signature { operand: d, result: d.real() },
            U::Negative | U::Sign => same(d),
            // NumPy's squares and reciprocals of bools are of 8 bits.
            U::Square | U::Reciprocal if d == DType::Bool => same(DType::I8),
            U::Square | U::Reciprocal => same(d),
            U::Floor | U::Ceil | U::Trunc if exact => return Ok(None),
            U::Cbrt | U::Deg2rad | U::Rad2deg | U::Floor | U::Ceil | U::Trunc | U::Signbit
                if d.is_complex() =>
            {
                return refuse(name, d, floats);
            }
            U::I0 | U::Mantissa | U::Exponent if d.is_complex() => return refuse(name, d, floats),
            // NumPy's is of 64 bits for all integers.
            U::I0 if exact => same(DType::F64),
            U::Exponent => Signature { operand: d.float(), result: DType::I32 },
            U::Invert | U::BitwiseCount if d.kind() > Kind::Integer => {
                return refuse(name, d, "it is defined for integers and bools");
            }
            U::BitwiseCount if d == DType::Bool => same(DType::U8),
            U::BitwiseCount => Signature { operand: d, result: DType::U8 },
            U::Signbit => Signature { operand: d.float(), result: DType::Bool },
            U::Isnan | U::Isinf | U::Isfinite => {
                Signature { operand: d.float(), result: DType::Bool }
            }
            U::Invert => same(d),
            U::Conj | U::Real if !d.is_complex() => return Ok(None),
            U::Conj => same(d),
            U::Real | U::Imag => Signature { operand: d, result: d.real() },
            // Angles of integers are of 64 bits.
            U::Angle if exact => Signature { operand: DType::F64, result: DType::F64 },
            U::Angle => Signature { operand: d, result: d.real() },
            _ => same(d.float()),
        }))
    }

    /// Roughly how long it takes for an element, in additions (a stated guess): what decides
    /// whether a result that several need is computed again or kept.
    pub(crate) fn weight(self) -> u32 {
        use UnaryOp as U;
        match self {
            U::Negative | U::Absolute | U::Square | U::Floor | U::Ceil | U::Trunc | U::Rint => 1,
            U::Cast(_) | U::Conj | U::Real | U::Imag | U::Invert | U::Sign => 1,
            U::Isnan | U::Isinf | U::Isfinite | U::Signbit | U::Deg2rad | U::Rad2deg => 1,
            U::Sqrt | U::Reciprocal => 4,
            _ => 16,
        }
    }
}

impl BinaryOp {
    /// NumPy's name.
    pub(crate) fn name(self) -> &'static str {
        use BinaryOp as B;
        match self {
            B::Add => "add",
            B::Subtract => "subtract",
            B::Multiply => "multiply",
            B::Divide => "divide",
            B::FloorDivide => "floor_divide",
            B::Remainder => "remainder",
            B::Fmod => "fmod",
            B::Power => "power",
            B::Arctan2 => "arctan2",
            B::Hypot => "hypot",
            B::Logaddexp => "logaddexp",
            B::Logaddexp2 => "logaddexp2",
            B::Copysign => "copysign",
            B::Nextafter => "nextafter",
            B::Maximum => "maximum",
            B::Minimum => "minimum",
            B::Fmax => "fmax",
            B::Fmin => "fmin",
            B::Equal => "equal",
            B::NotEqual => "not_equal",
            B::Less => "less",
            B::LessEqual => "less_equal",
            B::And => "bitwise_and",
            B::Or => "bitwise_or",
            B::Xor => "bitwise_xor",
            B::ShiftLeft => "left_shift",
            B::ShiftRight => "right_shift",
            B::Gcd => "gcd",
            B::Lcm => "lcm",
            B::Ldexp => "ldexp",
        }
    }

    /// Whether its result is a bool whatever the operands are.
    pub(crate) fn compares(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Less | Self::LessEqual)
    }

    /// Whether it is a function of real numbers, whose operands become floats each by itself
    /// before they get a common type.
    pub(crate) fn is_float_function(self) -> bool {
        use BinaryOp as B;
        matches!(
            self,
            B::Arctan2 | B::Hypot | B::Logaddexp | B::Logaddexp2 | B::Copysign | B::Nextafter
        )
    }

    /// The types for operands whose common type is `d`.
    pub(crate) fn signature(self, d: DType) -> Result<Signature> {
        use BinaryOp as B;
        let name = self.name();
        let real = "it is defined for real numbers";
        Ok(match self {
            B::Subtract if d == DType::Bool => {
                return refuse(name, d, "use `bitwise_xor` or convert with `astype`");
            }
            B::FloorDivide
            | B::Remainder
            | B::Fmod
            | B::Power
            | B::ShiftLeft
            | B::ShiftRight
            | B::Gcd
            | B::Lcm
                if d == DType::Bool =>
            {
                same(DType::I8)
            }
            B::FloorDivide | B::Remainder | B::Fmod if d.is_complex() => {
                return refuse(name, d, real);
            }
            _ if self.is_float_function() => {
                if d.is_complex() {
                    return refuse(name, d, real);
                }
                same(d.float())
            }
            // Unlike other functions of reals, quotients of small integers are of 64 bits.
            B::Divide if d.kind() <= Kind::Integer => same(DType::F64),
            B::And | B::Or | B::Xor | B::ShiftLeft | B::ShiftRight | B::Gcd | B::Lcm
                if d.kind() > Kind::Integer =>
            {
                return refuse(name, d, "it is defined for integers and bools");
            }
            _ if self.compares() => Signature { operand: d, result: DType::Bool },
            _ => same(d),
        })
    }

    /// As [`UnaryOp::weight`].
    pub(crate) fn weight(self) -> u32 {
        use BinaryOp as B;
        match self {
            B::Divide => 4,
            B::FloorDivide | B::Remainder | B::Fmod | B::Power | B::Arctan2 | B::Hypot => 16,
            B::Logaddexp | B::Logaddexp2 | B::Nextafter | B::Gcd | B::Lcm => 16,
            B::Ldexp => 4,
            _ => 1,
        }
    }
}
