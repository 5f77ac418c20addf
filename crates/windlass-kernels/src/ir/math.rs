//! Functions of real numbers, which give a float of their operand's type.

/// A function of one float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MathOp {
    /// Sine of radians.
    Sin,
    /// Cosine of radians.
    Cos,
    /// Tangent of radians.
    Tan,
    /// Inverse sine, in radians.
    Asin,
    /// Inverse cosine, in radians.
    Acos,
    /// Inverse tangent, in radians.
    Atan,
    /// Hyperbolic sine.
    Sinh,
    /// Hyperbolic cosine.
    Cosh,
    /// Hyperbolic tangent.
    Tanh,
    /// Inverse hyperbolic sine.
    Asinh,
    /// Inverse hyperbolic cosine.
    Acosh,
    /// Inverse hyperbolic tangent.
    Atanh,
    /// 2 to the power of the operand.
    Exp2,
    /// e to the power of the operand, less 1.
    Expm1,
    /// Natural logarithm of 1 plus the operand.
    Log1p,
    /// Cube root.
    Cbrt,
    /// Nearest integral float, halves to the even one.
    Rint,
}

/// Calls the function of a type.
macro_rules! call {
    ($op:expr, $x:expr) => {
        match $op {
            MathOp::Sin => $x.sin(),
            MathOp::Cos => $x.cos(),
            MathOp::Tan => $x.tan(),
            MathOp::Asin => $x.asin(),
            MathOp::Acos => $x.acos(),
            MathOp::Atan => $x.atan(),
            MathOp::Sinh => $x.sinh(),
            MathOp::Cosh => $x.cosh(),
            MathOp::Tanh => $x.tanh(),
            MathOp::Asinh => asinh(f64::from($x)) as _,
            MathOp::Acosh => f64::from($x).acosh() as _,
            MathOp::Atanh => atanh(f64::from($x)) as _,
            MathOp::Exp2 => $x.exp2(),
            MathOp::Expm1 => $x.exp_m1(),
            MathOp::Log1p => $x.ln_1p(),
            MathOp::Cbrt => $x.cbrt(),
            MathOp::Rint => $x.round_ties_even(),
        }
    };
}

/// As the standard library's, but of huge operands, whose squares overflow there.
fn asinh(x: f64) -> f64 {
    match x.abs() {
        m if m > 1e150 => (m.ln() + std::f64::consts::LN_2).copysign(x),
        _ => x.asinh(),
    }
}

/// As the standard library's, but near 0, where that one loses digits.
fn atanh(x: f64) -> f64 {
    let m = x.abs();
    (0.5 * (2.0 * m / (1.0 - m)).ln_1p()).copysign(x)
}

impl MathOp {
    /// All of them, in order.
    pub const ALL: [Self; 17] = [
        Self::Sin,
        Self::Cos,
        Self::Tan,
        Self::Asin,
        Self::Acos,
        Self::Atan,
        Self::Sinh,
        Self::Cosh,
        Self::Tanh,
        Self::Asinh,
        Self::Acosh,
        Self::Atanh,
        Self::Exp2,
        Self::Expm1,
        Self::Log1p,
        Self::Cbrt,
        Self::Rint,
    ];

    /// Its name in C, without the ending of 32-bit floats.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sin => "sin",
            Self::Cos => "cos",
            Self::Tan => "tan",
            Self::Asin => "asin",
            Self::Acos => "acos",
            Self::Atan => "atan",
            Self::Sinh => "sinh",
            Self::Cosh => "cosh",
            Self::Tanh => "tanh",
            Self::Asinh => "asinh",
            Self::Acosh => "acosh",
            Self::Atanh => "atanh",
            Self::Exp2 => "exp2",
            Self::Expm1 => "expm1",
            Self::Log1p => "log1p",
            Self::Cbrt => "cbrt",
            Self::Rint => "rint",
        }
    }

    /// Its value.
    pub fn of_f32(self, x: f32) -> f32 {
        call!(self, x)
    }

    /// Its value.
    pub fn of_f64(self, x: f64) -> f64 {
        call!(self, x)
    }
}
