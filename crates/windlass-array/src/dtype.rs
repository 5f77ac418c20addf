//! Element types, and which type the elements of several arrays become together: NumPy 2's
//! rules, without half floats.

use std::fmt;

/// The type of an array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// True or false; one byte.
    Bool,
    /// 8-bit signed.
    I8,
    /// 16-bit signed.
    I16,
    /// 32-bit signed.
    I32,
    /// 64-bit signed.
    I64,
    /// 8-bit unsigned.
    U8,
    /// 16-bit unsigned.
    U16,
    /// 32-bit unsigned.
    U32,
    /// 64-bit unsigned.
    U64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// Complex of two 32-bit floats.
    C64,
    /// Complex of two 64-bit floats.
    C128,
}

/// What a type counts as, the lesser first: a scalar of a lesser or equal kind does not
/// change an array's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Bool.
    Bool,
    /// Integers of either sign.
    Integer,
    /// Floats.
    Float,
    /// Complex.
    Complex,
}

impl DType {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::Bool,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::F32,
        Self::F64,
        Self::C64,
        Self::C128,
    ];

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 | Self::C64 => 8,
            Self::C128 => 16,
        }
    }

    /// Its kind.
    pub fn kind(self) -> Kind {
        match self {
            Self::Bool => Kind::Bool,
            Self::F32 | Self::F64 => Kind::Float,
            Self::C64 | Self::C128 => Kind::Complex,
            _ => Kind::Integer,
        }
    }

    /// Whether it is an integer, signed or not; `Bool` is none.
    pub fn is_integer(self) -> bool {
        self.kind() == Kind::Integer
    }

    /// Whether it is `F32` or `F64`.
    pub fn is_float(self) -> bool {
        self.kind() == Kind::Float
    }

    /// Whether it is `C64` or `C128`.
    pub fn is_complex(self) -> bool {
        self.kind() == Kind::Complex
    }

    /// Whether it is an unsigned integer.
    pub fn is_unsigned(self) -> bool {
        matches!(self, Self::U8 | Self::U16 | Self::U32 | Self::U64)
    }

    /// NumPy's name, as `float64`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::C64 => "complex64",
            Self::C128 => "complex128",
        }
    }

    /// The type of that NumPy name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }

    /// The smallest type that holds the values of both: NumPy's `promote_types`. Signed with
    /// unsigned of the same or a larger size becomes the next larger signed type, `f64` past
    /// 64 bits; integers of 32 bits and more with `f32` become `f64`.
    #[must_use]
    pub fn promote(self, other: Self) -> Self {
        let (low, high) = if self.kind() <= other.kind() { (self, other) } else { (other, self) };
        match (low.kind(), high.kind()) {
            (Kind::Bool, _) => high,
            (Kind::Integer, Kind::Integer) => promote_integers(low, high),
            (Kind::Integer | Kind::Float, Kind::Float) => wider_float(low, high),
            (_, Kind::Complex) if low.is_complex() => {
                if low == Self::C64 {
                    high
                } else {
                    low
                }
            }
            (_, _) => wider_float(low, high.real()).complex(),
        }
    }

    /// The type of an array's operation with a scalar of that kind, which is weak: it changes
    /// the type only if the array's kind is lesser, and then to that kind's default (`i64`,
    /// `f64`, `c128`; with a float of 32 bits, `c64`).
    #[must_use]
    pub fn with_scalar(self, kind: Kind) -> Self {
        if kind <= self.kind() {
            return self;
        }
        match kind {
            Kind::Bool | Kind::Integer => Self::I64,
            Kind::Float => Self::F64,
            Kind::Complex if self.is_float() => self.complex(),
            Kind::Complex => Self::C128,
        }
    }

    /// The type of its real part: `f32` for `c64`, `f64` for `c128`, itself for others.
    #[must_use]
    pub fn real(self) -> Self {
        match self {
            Self::C64 => Self::F32,
            Self::C128 => Self::F64,
            other => other,
        }
    }

    /// The complex type whose parts hold its values.
    #[must_use]
    pub fn complex(self) -> Self {
        match self.float() {
            Self::F32 | Self::C64 => Self::C64,
            _ => Self::C128,
        }
    }

    /// What functions of real numbers give: itself for floats and complex, `f32` for
    /// integers of up to 16 bits and bools (NumPy gives its half float for those of 8 bits),
    /// `f64` for larger ones.
    #[must_use]
    pub fn float(self) -> Self {
        match self {
            Self::Bool | Self::I8 | Self::U8 | Self::I16 | Self::U16 => Self::F32,
            d if d.is_integer() => Self::F64,
            d => d,
        }
    }

    /// What sums and products are kept in: `i64` or `u64` for integers and bools.
    #[must_use]
    pub fn sum_type(self) -> Self {
        match self {
            d if d.is_unsigned() => Self::U64,
            Self::Bool | Self::I8 | Self::I16 | Self::I32 | Self::I64 => Self::I64,
            d => d,
        }
    }
}

fn promote_integers(a: DType, b: DType) -> DType {
    if a.is_unsigned() == b.is_unsigned() {
        return if a.bytes() >= b.bytes() { a } else { b };
    }
    let (signed, unsigned) = if b.is_unsigned() { (a, b) } else { (b, a) };
    match (signed.bytes(), unsigned.bytes()) {
        (s, u) if s > u => signed,
        (_, 1) => DType::I16,
        (_, 2) => DType::I32,
        (_, 4) => DType::I64,
        _ => DType::F64,
    }
}

/// The float type of a float with a float or an integer.
fn wider_float(low: DType, high: DType) -> DType {
    let narrow = |d: DType| d == DType::F32 || (d.kind() < Kind::Float && d.bytes() <= 2);
    if narrow(low) && narrow(high) { DType::F32 } else { DType::F64 }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{DType as D, Kind};

    #[test]
    fn promotion_is_numpys() {
        for (a, b, both) in [
            (D::Bool, D::U8, D::U8),
            (D::I8, D::U8, D::I16),
            (D::I16, D::U8, D::I16),
            (D::I32, D::U32, D::I64),
            (D::I64, D::U64, D::F64),
            (D::I16, D::F32, D::F32),
            (D::I32, D::F32, D::F64),
            (D::U64, D::F32, D::F64),
            (D::F32, D::C64, D::C64),
            (D::F64, D::C64, D::C128),
            (D::I16, D::C64, D::C64),
            (D::I32, D::C64, D::C128),
            (D::C64, D::C128, D::C128),
        ] {
            assert_eq!(a.promote(b), both, "{a} {b}");
            assert_eq!(b.promote(a), both, "{b} {a}");
        }
        assert!(D::ALL.iter().all(|d| d.promote(*d) == *d));
    }

    #[test]
    fn scalars_are_weak() {
        assert_eq!(D::U8.with_scalar(Kind::Integer), D::U8);
        assert_eq!(D::Bool.with_scalar(Kind::Integer), D::I64);
        assert_eq!(D::I8.with_scalar(Kind::Float), D::F64);
        assert_eq!(D::F32.with_scalar(Kind::Float), D::F32);
        assert_eq!(D::F32.with_scalar(Kind::Complex), D::C64);
    }

    #[test]
    fn names_go_both_ways() {
        assert!(D::ALL.iter().all(|d| D::from_name(d.name()) == Some(*d)));
        assert_eq!(D::from_name("float16"), None);
    }
}
