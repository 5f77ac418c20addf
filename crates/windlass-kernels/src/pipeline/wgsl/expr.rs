//! Expressions of WGSL: types, comparisons, casts and constants.

use crate::{
    ir::BinaryOp,
    pipeline::cuda::{float_bounds, width},
    types::{PhysType, Scalar},
};

/// How a type is kept in a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    /// A signed integer of up to 32 bits, as `i32`.
    Signed,
    /// An unsigned integer of up to 32 bits, as `u32`.
    Unsigned,
    /// `I64` or `U64`.
    Long,
    /// `I128`, as four words.
    Wide,
    /// `f32` or `f64`.
    Float,
}

pub(super) fn kind(ty: PhysType) -> Kind {
    match ty {
        PhysType::Bool => Kind::Bool,
        PhysType::I8 | PhysType::I16 | PhysType::I32 => Kind::Signed,
        PhysType::U8 | PhysType::U16 | PhysType::U32 => Kind::Unsigned,
        PhysType::I64 | PhysType::U64 => Kind::Long,
        PhysType::I128 => Kind::Wide,
        PhysType::F32 | PhysType::F64 => Kind::Float,
    }
}

/// The ending of the helpers' names.
pub(super) fn suffix(ty: PhysType) -> &'static str {
    match ty {
        PhysType::Bool => "bool",
        PhysType::I8 | PhysType::I16 | PhysType::I32 => "i32",
        PhysType::U8 | PhysType::U16 | PhysType::U32 => "u32",
        PhysType::I64 => "i64",
        PhysType::U64 => "u64",
        PhysType::F32 => "f32",
        PhysType::F64 => "f64",
        PhysType::I128 => "i128",
    }
}

/// The type of a register.
pub(super) fn name(ty: PhysType) -> &'static str {
    match kind(ty) {
        Kind::Long if ty == PhysType::U64 => "U64",
        Kind::Long => "I64",
        Kind::Wide => "I128",
        _ => suffix(ty),
    }
}

pub(super) fn param(word: usize) -> String {
    format!("p[{}][{}]", word / 4, word % 4)
}

/// An expression of a type of up to 32 bits, brought to its width again.
pub(super) fn extend(ty: PhysType, expression: &str) -> String {
    match ty {
        PhysType::I8 => format!("((({expression}) << 24u) >> 24u)"),
        PhysType::I16 => format!("((({expression}) << 16u) >> 16u)"),
        PhysType::U8 => format!("(({expression}) & 0xffu)"),
        PhysType::U16 => format!("(({expression}) & 0xffffu)"),
        _ => expression.to_string(),
    }
}

/// The value of a narrow type that lies in a word from bit `shift` on.
pub(super) fn subword(ty: PhysType, word: &str, shift: &str) -> String {
    let low = format!("({word} >> {shift})");
    match kind(ty) {
        Kind::Signed => extend(ty, &format!("bitcast<i32>({low})")),
        _ => extend(ty, &low),
    }
}

pub(super) fn zero(ty: PhysType) -> String {
    match kind(ty) {
        Kind::Bool => "false".into(),
        Kind::Long if ty == PhysType::U64 => "u64_of(0u, 0u)".into(),
        Kind::Long => "i64_of(0u, 0u)".into(),
        Kind::Wide => "i128_of(0u, 0u, 0u, 0u)".into(),
        Kind::Signed => "0i".into(),
        Kind::Unsigned => "0u".into(),
        Kind::Float if ty == PhysType::F32 => "0.0f".into(),
        Kind::Float => "0.0lf".into(),
    }
}

pub(super) fn is_zero(ty: PhysType, x: &str) -> String {
    match kind(ty) {
        Kind::Long | Kind::Wide => format!("zero_{}({x})", suffix(ty)),
        Kind::Float => format!("is_zero_{}({x})", suffix(ty)),
        _ => format!("{x} == {}", zero(ty)),
    }
}

pub(super) fn is_smallest(ty: PhysType, x: &str) -> String {
    match ty {
        PhysType::I8 => format!("{x} == -128i"),
        PhysType::I16 => format!("{x} == -32768i"),
        PhysType::I32 => format!("bitcast<u32>({x}) == 0x80000000u"),
        _ => format!("smallest_{}({x})", suffix(ty)),
    }
}

pub(super) fn compared(ty: PhysType, op: BinaryOp, x: &str, y: &str) -> String {
    use BinaryOp as B;
    let less = |x: &str, y: &str| match kind(ty) {
        Kind::Bool => format!("(!{x} && {y})"),
        Kind::Long | Kind::Wide => format!("lt_{}({x}, {y})", suffix(ty)),
        Kind::Float => format!("(key_{0}({x}) < key_{0}({y}))", suffix(ty)),
        _ => format!("({x} < {y})"),
    };
    let same = match kind(ty) {
        Kind::Long | Kind::Wide => format!("eq_{}({x}, {y})", suffix(ty)),
        Kind::Float => format!("(key_{0}({x}) == key_{0}({y}))", suffix(ty)),
        _ => format!("({x} == {y})"),
    };
    match op {
        B::Ne => format!("!{same}"),
        B::Lt => less(x, y),
        B::Le => format!("!{}", less(y, x)),
        B::Gt => less(y, x),
        B::Ge => format!("!{}", less(x, y)),
        _ => same,
    }
}

/// The value of a cast.
pub(super) fn converted(from: PhysType, to: PhysType, x: &str) -> String {
    let (source, target) = (kind(from), kind(to));
    // The low word of what is no float.
    let word = match source {
        Kind::Bool => format!("select(0u, 1u, {x})"),
        Kind::Signed => format!("bitcast<u32>({x})"),
        Kind::Unsigned => x.to_string(),
        Kind::Long => format!("lo_{}({x})", suffix(from)),
        Kind::Wide => format!("{x}.x"),
        Kind::Float => String::new(),
    };
    match (source, target) {
        (_, Kind::Bool) => format!("!({})", is_zero(from, x)),
        (Kind::Float, Kind::Signed) => {
            let whole = format!("i32_of_{}({x})", suffix(from));
            let (bits, _) = width(to);
            if bits == 32 {
                whole
            } else {
                format!("clamp({whole}, {}i, {}i)", low(bits), high(bits))
            }
        }
        (Kind::Float, Kind::Unsigned) => {
            let whole = format!("u32_of_{}({x})", suffix(from));
            let (bits, _) = width(to);
            if bits == 32 { whole } else { format!("min({whole}, {}u)", (1u64 << bits) - 1) }
        }
        (Kind::Float, Kind::Long | Kind::Wide) => {
            format!("{}_of_{}({x})", suffix(to), suffix(from))
        }
        (_, Kind::Signed) => extend(to, &format!("bitcast<i32>({word})")),
        (_, Kind::Unsigned) => extend(to, &word),
        (Kind::Long, Kind::Long) if to == PhysType::U64 => format!("as_u64({x})"),
        (Kind::Long, Kind::Long) => format!("as_i64({x})"),
        (Kind::Wide, Kind::Long) => format!("{}_of({x}.x, {x}.y)", suffix(to)),
        (Kind::Long, Kind::Wide) => format!("i128_of_{}({x})", suffix(from)),
        (Kind::Wide, Kind::Wide) => x.to_string(),
        (Kind::Signed, Kind::Long | Kind::Wide) => format!("{}_of_i32({x})", suffix(to)),
        (_, Kind::Long | Kind::Wide) => format!("{}_of_u32({word})", suffix(to)),
        (Kind::Bool, Kind::Float) => format!("{}({word})", suffix(to)),
        (Kind::Long, Kind::Float) if to == PhysType::F32 => format!("f32_of_{}({x})", suffix(from)),
        (Kind::Wide, Kind::Float) => format!("{}_of_i128({x})", suffix(to)),
        (_, Kind::Float) => format!("{}({x})", suffix(to)),
    }
}

pub(super) fn low(bits: u32) -> i64 {
    -(1 << (bits - 1))
}

pub(super) fn high(bits: u32) -> i64 {
    (1 << (bits - 1)) - 1
}

/// Whether the target holds the value; `v` is the converted one. `None`: it always does.
pub(super) fn fits(from: PhysType, to: PhysType, x: &str, v: &str) -> Option<String> {
    let (source, target) = (kind(from), kind(to));
    let (bits, _) = width(to);
    let signed = to.is_signed();
    match (source, target) {
        (Kind::Bool, _) | (_, Kind::Bool | Kind::Float) => None,
        (Kind::Float, _) => {
            let (lo, hi) = float_bounds(to);
            let end = if from == PhysType::F32 { "f" } else { "lf" };
            Some(format!("fits_{}({x}, {lo}{end}, {hi}{end})", suffix(from)))
        }
        (Kind::Signed, _) if signed => {
            (bits < 32).then(|| format!("{x} >= {}i && {x} <= {}i", low(bits), high(bits)))
        }
        (Kind::Signed, _) if bits < 32 => {
            Some(format!("{x} >= 0i && {x} <= {}i", (1u64 << bits) - 1))
        }
        (Kind::Signed, _) => Some(format!("{x} >= 0i")),
        (Kind::Unsigned, _) => {
            let magnitude = bits - u32::from(signed);
            (magnitude < 32).then(|| format!("{x} <= {}u", (1u64 << magnitude) - 1))
        }
        (Kind::Long | Kind::Wide, Kind::Wide) => None,
        // Through the low half and back.
        (Kind::Wide, _) => Some(format!("eq_i128(i128_of_{}({v}), {x})", suffix(to))),
        (Kind::Long, Kind::Long) => Some(format!("(hi_{}({x}) >> 31u) == 0u", suffix(from))),
        (Kind::Long, _) => {
            let back = format!("eq_{0}({0}_of_{1}({v}), {x})", suffix(from), suffix(to));
            match from == PhysType::U64 && signed {
                true => Some(format!("{back} && {v} >= 0i")),
                false => Some(back),
            }
        }
    }
}

/// A constant by its bits.
pub(super) fn constant(c: Scalar) -> String {
    let bits = c.bits();
    let word = |at: u32| (bits >> (32 * at)) as u32;
    let (lo, hi) = (word(0), word(1));
    match c {
        Scalar::Bool(b) => b.to_string(),
        Scalar::F32(_) => format!("f32_bits({lo:#x}u)"),
        Scalar::F64(_) => format!("f64_bits({lo:#x}u, {hi:#x}u)"),
        Scalar::Int(ty, _) | Scalar::UInt(ty, _) => match kind(ty) {
            Kind::Signed => format!("bitcast<i32>({lo:#x}u)"),
            Kind::Unsigned => format!("{lo:#x}u"),
            Kind::Wide => {
                format!("i128_of({lo:#x}u, {hi:#x}u, {:#x}u, {:#x}u)", word(2), word(3))
            }
            _ => format!("{}_of({lo:#x}u, {hi:#x}u)", suffix(ty)),
        },
    }
}
