//! The types that kernels compute with. Logical types (dates, decimals, dictionary-coded
//! strings) are lowered to these by the layers above.

use std::fmt;

/// A physical type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PhysType {
    /// True or false.
    Bool,
    /// 8-bit signed.
    I8,
    /// 16-bit signed.
    I16,
    /// 32-bit signed; days of a date.
    I32,
    /// 64-bit signed; timestamps; decimals of up to 18 digits.
    I64,
    /// 8-bit unsigned.
    U8,
    /// 16-bit unsigned.
    U16,
    /// 32-bit unsigned; dictionary codes.
    U32,
    /// 64-bit unsigned.
    U64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit signed; decimals of up to 38 digits.
    I128,
}

impl PhysType {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
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
        Self::I128,
    ];

    /// Bytes of one value in Arrow's layout; `None` for `Bool`, which is a bit there.
    pub fn packed_bytes(self) -> Option<usize> {
        match self {
            Self::Bool => None,
            Self::I8 | Self::U8 => Some(1),
            Self::I16 | Self::U16 => Some(2),
            Self::I32 | Self::U32 | Self::F32 => Some(4),
            Self::I64 | Self::U64 | Self::F64 => Some(8),
            Self::I128 => Some(16),
        }
    }

    /// Bytes of one value as kernels write it: at least a 32-bit word.
    pub fn wide_bytes(self) -> usize {
        self.packed_bytes().map_or(4, |b| b.max(4))
    }

    /// 32-bit words of one value as kernels write it.
    pub fn words(self) -> usize {
        self.wide_bytes() / 4
    }

    /// Whether it is `F32` or `F64`.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// Whether it is an integer, signed or not.
    pub fn is_integer(self) -> bool {
        !self.is_float() && self != Self::Bool
    }

    /// Whether it is a signed integer or a float.
    pub fn is_signed(self) -> bool {
        !matches!(self, Self::Bool | Self::U8 | Self::U16 | Self::U32 | Self::U64)
    }
}

impl fmt::Display for PhysType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// One value of a physical type. Floats compare and hash by their bits.
#[derive(Debug, Clone, Copy)]
pub enum Scalar {
    /// A `Bool`.
    Bool(bool),
    /// Any signed integer type, sign-extended.
    Int(PhysType, i128),
    /// Any unsigned integer type.
    UInt(PhysType, u64),
    /// An `F32`.
    F32(f32),
    /// An `F64`.
    F64(f64),
}

impl Scalar {
    /// Its type.
    pub fn ty(&self) -> PhysType {
        match self {
            Self::Bool(_) => PhysType::Bool,
            Self::Int(t, _) | Self::UInt(t, _) => *t,
            Self::F32(_) => PhysType::F32,
            Self::F64(_) => PhysType::F64,
        }
    }

    /// The value's bits, zero-extended to 128; signed integers are sign-extended.
    pub fn bits(&self) -> u128 {
        match self {
            Self::Bool(b) => u128::from(*b),
            Self::Int(_, v) => *v as u128,
            Self::UInt(_, v) => u128::from(*v),
            Self::F32(v) => u128::from(v.to_bits()),
            Self::F64(v) => u128::from(v.to_bits()),
        }
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.ty() == other.ty() && self.bits() == other.bits()
    }
}

impl Eq for Scalar {}

impl std::hash::Hash for Scalar {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        (self.ty(), self.bits()).hash(h);
    }
}
