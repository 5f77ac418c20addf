//! The typed program that the pipeline compiler prints as CUDA C++ and WGSL, and that the
//! interpreter runs.
//!
//! A [`Program`] is a list of values in SSA form: a value's operands come before it. Every
//! value is computed per row, and is a (value, valid) pair where [`Value::nullable`].
//! Errors (division by zero, a cast out of range) are raised only in rows in which the
//! operation's guard is true, so the arms of a CASE and the right side of AND and OR keep
//! SQL's lazy meaning in straight-line code. Where the guard is false such a row still has
//! a value, the same on every backend: division by zero divides by one, `MIN / -1` and
//! checked arithmetic wrap, and a cast is [`CastMode::Wrap`]'s.

use crate::{
    error::Result,
    types::{PhysType, Scalar},
};

mod build;
mod check;
mod math;

pub use math::MathOp;

/// Index of a value in its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// Index of a lookup table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

/// Type and nullability of an input column or a lookup table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotType {
    /// The type of its values.
    pub ty: PhysType,
    /// Whether a value may be null.
    pub nullable: bool,
}

/// Operations of one operand. All give null for null, but `IsNull` and `IsNotNull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// Kleene NOT.
    Not,
    /// Never null.
    IsNull,
    /// Never null.
    IsNotNull,
    /// Wrapping negation of a signed type.
    Neg,
    /// Absolute value; `MIN` raises `Overflow` under the guard.
    Abs,
    /// Bitwise complement of an integer.
    BitNot,
    /// Square root of a float.
    Sqrt,
    /// e to the power of a float.
    Exp,
    /// Natural logarithm of a float.
    Ln,
    /// Logarithm to base 2 of a float.
    Log2,
    /// Logarithm to base 10 of a float.
    Log10,
    /// Largest integral float not above.
    Floor,
    /// Smallest integral float not below.
    Ceil,
    /// Nearest integral float, halves away from zero.
    Round,
    /// Integral float towards zero.
    Trunc,
    /// A function of a float.
    Math(MathOp),
    /// Proleptic Gregorian year of days since 1970-01-01; `I32` to `I32`.
    YearOfDate,
    /// Month, 1 to 12, of days since 1970-01-01; `I32` to `I32`.
    MonthOfDate,
    /// Day of the month, 1 to 31, of days since 1970-01-01; `I32` to `I32`.
    DayOfDate,
    /// Days since 1970-01-01 of the first day of a month given as months since January
    /// 1970; `I32` to `I32`.
    MonthStart,
}

/// Operations of two operands of one type. All give null when an operand is null, but
/// `And`, `Or` (Kleene) and the `Distinct` pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// Wrapping sum.
    Add,
    /// Wrapping difference.
    Sub,
    /// Wrapping product.
    Mul,
    /// Quotient towards zero; an integer divided by 0 raises `DivideByZero` under the
    /// guard, `MIN / -1` raises `Overflow`; IEEE for floats.
    Div,
    /// Remainder with the dividend's sign; an integer by 0 raises `DivideByZero` under the
    /// guard; `fmod` for floats.
    Rem,
    /// Integer quotient towards negative infinity; the divisor is a positive constant.
    FloorDiv,
    /// Integer remainder of `FloorDiv`, never negative; the divisor is a positive constant.
    FloorMod,
    /// Integer quotient rounded to nearest, halves away from zero; the divisor is a
    /// positive constant. The rescale of decimals.
    DivRound,
    /// `I64` or `I128` product that raises `Overflow` under the guard. The rescale of
    /// decimals.
    MulChecked,
    /// `I64` or `I128` sum that raises `Overflow` under the guard.
    AddChecked,
    /// `I64` or `I128` difference that raises `Overflow` under the guard.
    SubChecked,
    /// Power of floats.
    Pow,
    /// Angle, in radians, of the point (second operand, first operand), of floats.
    Atan2,
    /// Root of the sum of the squares of floats, without overflow between.
    Hypot,
    /// Equal floats as IEEE 754 compares them: NaN equals nothing, -0.0 equals 0.0.
    FloatEq,
    /// Less, as `FloatEq` compares.
    FloatLt,
    /// Less or equal, as `FloatEq` compares.
    FloatLe,
    /// Equal. Floats compare by IEEE 754 totalOrder, as Arrow's kernels do: NaN equals
    /// itself and is above infinity, -0.0 is below 0.0.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// IS DISTINCT FROM; never null.
    Distinct,
    /// IS NOT DISTINCT FROM; never null.
    NotDistinct,
    /// Kleene AND.
    And,
    /// Kleene OR.
    Or,
    /// Bitwise and of integers.
    BitAnd,
    /// Bitwise or of integers.
    BitOr,
    /// Bitwise exclusive or of integers.
    BitXor,
    /// Left shift of an integer, the count taken modulo the width.
    Shl,
    /// Right shift (arithmetic for signed types), the count taken modulo the width.
    Shr,
}

impl BinaryOp {
    /// Whether the result is a `Bool` whatever the operands are.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Eq
                | Self::Ne
                | Self::Lt
                | Self::Le
                | Self::Gt
                | Self::Ge
                | Self::FloatEq
                | Self::FloatLt
                | Self::FloatLe
                | Self::Distinct
                | Self::NotDistinct
        )
    }
}

/// What a cast does with a value that the target cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CastMode {
    /// Integers keep the low bits; floats saturate. For casts known to fit.
    Wrap,
    /// Raises `Overflow` under the guard (SQL CAST).
    Error,
    /// Gives null (SQL TRY_CAST).
    Null,
}

/// How a value is computed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// Input column of this index. Where `I64` is declared the column may be a packed
    /// `I128`, of which the low 64 bits are taken: decimals of up to 18 digits as Arrow
    /// lays them out.
    Input(u32),
    /// A constant.
    Const(Scalar),
    /// The null of the value's type.
    Null,
    /// The number of the row in its batch, from 0 on; a `U32`.
    Row,
    /// An operation of one operand; the guard limits the rows that may raise an error
    /// (`None`: all rows that are processed).
    Unary(UnaryOp, ValueId, Option<ValueId>),
    /// An operation of two operands, with a guard.
    Binary(BinaryOp, ValueId, ValueId, Option<ValueId>),
    /// A cast to the value's type. Floats to integers truncate towards zero; `Bool` is 0
    /// or 1; a number to `Bool` is `!= 0`.
    Cast(ValueId, CastMode, Option<ValueId>),
    /// The second operand where the first (a `Bool`) is true, the third where it is false
    /// or null.
    Select(ValueId, ValueId, ValueId),
    /// Row `index` (a `U32`) of a lookup table; null for a null index. The table has one
    /// row for each code of a dictionary.
    Lookup(TableId, ValueId),
}

impl Op {
    /// The values that it reads, guards included.
    pub fn operands(&self) -> Vec<ValueId> {
        match self {
            Self::Input(_) | Self::Const(_) | Self::Null | Self::Row => vec![],
            Self::Unary(_, a, g) | Self::Cast(a, _, g) => std::iter::once(*a).chain(*g).collect(),
            Self::Binary(_, a, b, g) => [*a, *b].into_iter().chain(*g).collect(),
            Self::Select(c, a, b) => vec![*c, *a, *b],
            Self::Lookup(_, a) => vec![*a],
        }
    }
}

/// A value of a program.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Value {
    /// How it is computed.
    pub op: Op,
    /// Its type.
    pub ty: PhysType,
    /// Whether it may be null in some row.
    pub nullable: bool,
}

/// A list of values in SSA form, and the inputs and tables that they read. Build one with
/// [`Program::input`] and the methods after it, which check types, infer nullability and
/// share equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Program {
    inputs: Vec<SlotType>,
    tables: Vec<SlotType>,
    values: Vec<Value>,
}

impl Program {
    /// The input columns.
    pub fn inputs(&self) -> &[SlotType] {
        &self.inputs
    }

    /// The lookup tables.
    pub fn tables(&self) -> &[SlotType] {
        &self.tables
    }

    /// All values, operands before users.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The value of an id.
    ///
    /// # Panics
    /// When the id is another program's.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// Whether any value can raise an error: those whose guard is the constant false cannot.
    pub fn can_fail(&self) -> bool {
        let never = |guard: &Option<ValueId>| {
            let guard = guard.map(|g| &self.value(g).op);
            matches!(guard, Some(Op::Const(Scalar::Bool(false))))
        };
        self.values.iter().any(|v| match &v.op {
            Op::Unary(_, _, g) | Op::Binary(_, _, _, g) | Op::Cast(_, _, g) if never(g) => false,
            Op::Unary(UnaryOp::Abs, ..) => v.ty.is_integer(),
            Op::Binary(BinaryOp::Div | BinaryOp::Rem, ..) => v.ty.is_integer(),
            Op::Binary(BinaryOp::MulChecked | BinaryOp::AddChecked | BinaryOp::SubChecked, ..)
            | Op::Cast(_, CastMode::Error, _) => true,
            _ => false,
        })
    }

    /// Checks the whole program again, as after building it by hand.
    ///
    /// # Errors
    /// `Invalid` naming the first value that is wrong.
    pub fn check(&self) -> Result<()> {
        check::check(self)
    }
}
