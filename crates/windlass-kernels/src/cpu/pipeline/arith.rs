//! Arithmetic loops. Values are computed for every row, with operands that would trap
//! replaced; whether a row fails is a second loop over the rows that may.

use bytemuck::{Pod, cast_slice};

use super::{date, scratch::Slot};
use crate::{
    ir::{BinaryOp, UnaryOp},
    pipeline::fail,
    types::PhysType,
};

/// A shift count: the low bits of an integer of any type.
macro_rules! count {
    ($y:expr) => {
        (($y) & 0x7f) as u32
    };
}

/// Runs the body with `$t` naming the integer type `$ty`.
macro_rules! integers {
    ($ty:expr, $t:ident, $body:expr) => {
        match $ty {
            PhysType::U8 => integers!(@ $t, u8, $body),
            PhysType::U16 => integers!(@ $t, u16, $body),
            PhysType::U32 => integers!(@ $t, u32, $body),
            PhysType::U64 => integers!(@ $t, u64, $body),
            ty => signed!(ty, $t, $body),
        }
    };
    (@ $t:ident, $of:ty, $body:expr) => {{
        type $t = $of;
        $body
    }};
}

/// As `integers`, for signed types.
macro_rules! signed {
    ($ty:expr, $t:ident, $body:expr) => {
        match $ty {
            PhysType::I8 => integers!(@ $t, i8, $body),
            PhysType::I16 => integers!(@ $t, i16, $body),
            PhysType::I32 => integers!(@ $t, i32, $body),
            PhysType::I64 => integers!(@ $t, i64, $body),
            PhysType::I128 => integers!(@ $t, i128, $body),
            ty => unreachable!("the program was checked: {ty} is no signed integer"),
        }
    };
}

fn map<T: Pod>(a: &[u8], out: &mut Slot, f: impl Fn(T) -> T) {
    let a: &[T] = cast_slice(a);
    for (o, x) in out.own::<T>(a.len()).iter_mut().zip(a) {
        *o = f(*x);
    }
}

fn zip<T: Pod>(a: &[u8], b: &[u8], out: &mut Slot, f: impl Fn(T, T) -> T) {
    let (a, b): (&[T], &[T]) = (cast_slice(a), cast_slice(b));
    for ((o, x), y) in out.own::<T>(a.len()).iter_mut().zip(a).zip(b) {
        *o = f(*x, *y);
    }
}

/// An arithmetic operation of one operand (not `Not` and the null tests).
pub(super) fn unary(op: UnaryOp, ty: PhysType, a: &[u8], out: &mut Slot) {
    use UnaryOp as U;
    match op {
        U::YearOfDate => return map::<i32>(a, out, |x| date::civil(x).0),
        U::MonthOfDate => return map::<i32>(a, out, |x| date::civil(x).1),
        U::DayOfDate => return map::<i32>(a, out, |x| date::civil(x).2),
        U::MonthStart => return map::<i32>(a, out, date::month_start),
        _ => {}
    }
    macro_rules! float {
        ($t:ty, $of:ident) => {
            match op {
                U::Neg => map::<$t>(a, out, |x| -x),
                U::Abs => map::<$t>(a, out, <$t>::abs),
                U::Sqrt => map::<$t>(a, out, <$t>::sqrt),
                U::Exp => map::<$t>(a, out, <$t>::exp),
                U::Ln => map::<$t>(a, out, <$t>::ln),
                U::Log2 => map::<$t>(a, out, <$t>::log2),
                U::Log10 => map::<$t>(a, out, <$t>::log10),
                U::Floor => map::<$t>(a, out, <$t>::floor),
                U::Ceil => map::<$t>(a, out, <$t>::ceil),
                U::Round => map::<$t>(a, out, <$t>::round),
                U::Trunc => map::<$t>(a, out, <$t>::trunc),
                U::Math(math) => map::<$t>(a, out, |x| math.$of(x)),
                _ => unreachable!("the program was checked: {op:?} of {ty}"),
            }
        };
    }
    match (ty, op) {
        (PhysType::F32, _) => float!(f32, of_f32),
        (PhysType::F64, _) => float!(f64, of_f64),
        (_, U::Neg) => signed!(ty, T, map::<T>(a, out, T::wrapping_neg)),
        (_, U::Abs) => signed!(ty, T, map::<T>(a, out, T::wrapping_abs)),
        _ => integers!(ty, T, map::<T>(a, out, |x| !x)),
    }
}

/// An arithmetic or bitwise operation of two operands.
pub(super) fn binary(op: BinaryOp, ty: PhysType, a: &[u8], b: &[u8], out: &mut Slot) {
    use BinaryOp as B;
    macro_rules! float {
        ($t:ty) => {
            match op {
                B::Add => zip::<$t>(a, b, out, |x, y| x + y),
                B::Sub => zip::<$t>(a, b, out, |x, y| x - y),
                B::Mul => zip::<$t>(a, b, out, |x, y| x * y),
                B::Div => zip::<$t>(a, b, out, |x, y| x / y),
                B::Rem => zip::<$t>(a, b, out, |x, y| x % y),
                B::Pow => zip::<$t>(a, b, out, <$t>::powf),
                B::Atan2 => zip::<$t>(a, b, out, <$t>::atan2),
                B::Hypot => zip::<$t>(a, b, out, <$t>::hypot),
                _ => unreachable!("the program was checked: {op:?} of {ty}"),
            }
        };
    }
    match (ty, op) {
        (PhysType::F32, _) => float!(f32),
        (PhysType::F64, _) => float!(f64),
        (_, B::Add | B::AddChecked) => integers!(ty, T, zip::<T>(a, b, out, T::wrapping_add)),
        (_, B::Sub | B::SubChecked) => integers!(ty, T, zip::<T>(a, b, out, T::wrapping_sub)),
        (_, B::Mul | B::MulChecked) => integers!(ty, T, zip::<T>(a, b, out, T::wrapping_mul)),
        (_, B::Div) => {
            integers!(ty, T, zip::<T>(a, b, out, |x, y| x.wrapping_div(if y == 0 { 1 } else { y })))
        }
        (_, B::Rem) => {
            integers!(ty, T, zip::<T>(a, b, out, |x, y| x.wrapping_rem(if y == 0 { 1 } else { y })))
        }
        (_, B::FloorDiv) => {
            integers!(ty, T, zip::<T>(a, b, out, |x, y| x.checked_div_euclid(y).unwrap_or(0)));
        }
        (_, B::FloorMod) => {
            integers!(ty, T, zip::<T>(a, b, out, |x, y| x.checked_rem_euclid(y).unwrap_or(0)));
        }
        (_, B::DivRound) => integers!(
            ty,
            T,
            zip::<T>(a, b, out, |x, y| {
                let zero: T = 0;
                let (q, r) = (x.checked_div(y).unwrap_or(0), x.checked_rem(y).unwrap_or(0));
                let r = if r < zero { zero.wrapping_sub(r) } else { r };
                // |r| < y, so neither side overflows.
                match (r >= y.wrapping_sub(r), x < zero) {
                    (false, _) => q,
                    (true, false) => q.wrapping_add(1),
                    (true, true) => q.wrapping_sub(1),
                }
            })
        ),
        (_, B::BitAnd) => integers!(ty, T, zip::<T>(a, b, out, |x, y| x & y)),
        (_, B::BitOr) => integers!(ty, T, zip::<T>(a, b, out, |x, y| x | y)),
        (_, B::BitXor) => integers!(ty, T, zip::<T>(a, b, out, |x, y| x ^ y)),
        (_, B::Shl) => integers!(ty, T, zip::<T>(a, b, out, |x, y| x.wrapping_shl(count!(y)))),
        (_, B::Shr) => integers!(ty, T, zip::<T>(a, b, out, |x, y| x.wrapping_shr(count!(y)))),
        _ => unreachable!("the program was checked: {op:?} is a comparison or logic"),
    }
}

/// Whether `f` holds in a row that may fail (`None`: every row may).
fn any<T: Pod>(a: &[u8], b: &[u8], rows: Option<&[u8]>, f: impl Fn(T, T) -> bool) -> bool {
    let (a, b): (&[T], &[T]) = (cast_slice(a), cast_slice(b));
    let mut found = 0;
    match rows {
        None => {
            for (x, y) in a.iter().zip(b) {
                found |= u8::from(f(*x, *y));
            }
        }
        Some(rows) => {
            for ((x, y), r) in a.iter().zip(b).zip(rows) {
                found |= u8::from(f(*x, *y)) & r;
            }
        }
    }
    found != 0
}

/// The error flags of an operation over the rows that may fail.
pub(super) fn failures(op: BinaryOp, ty: PhysType, a: &[u8], b: &[u8], rows: Option<&[u8]>) -> u32 {
    use BinaryOp as B;
    let checked = |found: bool| if found { fail::ARITHMETIC } else { 0 };
    match op {
        B::Div | B::Rem if ty.is_integer() => integers!(ty, T, {
            let zero = any::<T>(a, b, rows, |_, y| y == 0);
            let over = op == B::Div
                && ty.is_signed()
                && any::<T>(a, b, rows, |x, y| x == T::MIN && y == !0);
            u32::from(zero) * fail::DIVIDE_BY_ZERO + u32::from(over) * fail::DIVISION
        }),
        B::AddChecked => {
            integers!(ty, T, checked(any::<T>(a, b, rows, |x, y| x.overflowing_add(y).1)))
        }
        B::SubChecked => {
            integers!(ty, T, checked(any::<T>(a, b, rows, |x, y| x.overflowing_sub(y).1)))
        }
        B::MulChecked => {
            integers!(ty, T, checked(any::<T>(a, b, rows, |x, y| x.overflowing_mul(y).1)))
        }
        _ => 0,
    }
}

/// The error flags of an integer's absolute value.
pub(super) fn abs_failures(ty: PhysType, a: &[u8], rows: Option<&[u8]>) -> u32 {
    let found = signed!(ty, T, any::<T>(a, a, rows, |x, _| x == T::MIN));
    u32::from(found) * fail::ABSOLUTE
}
