//! Casts: integers keep the low bits, floats truncate towards zero and saturate; beside
//! the value, whether the target can hold it.

use bytemuck::{Pod, cast_slice};

use super::scratch::Slot;
use crate::types::PhysType;

/// Conversion from one type to another.
trait To<T> {
    /// The converted value.
    fn to(self) -> T;
    /// Whether the target holds it (after truncation).
    fn fits(self) -> bool;
}

macro_rules! int_to_int {
    ($s:ty => $($t:ty),*) => {$(
        impl To<$t> for $s {
            #[inline]
            fn to(self) -> $t {
                self as $t
            }
            #[inline]
            fn fits(self) -> bool {
                <$t>::try_from(self).is_ok()
            }
        }
    )*};
}

macro_rules! to_float {
    ($s:ty) => {
        to_float!($s => f32);
        to_float!($s => f64);
    };
    ($s:ty => $t:ty) => {
        impl To<$t> for $s {
            #[inline]
            fn to(self) -> $t {
                self as $t
            }
            #[inline]
            fn fits(self) -> bool {
                true
            }
        }
    };
}

macro_rules! float_to_int {
    ($s:ty => $($t:ty),*) => {$(
        impl To<$t> for $s {
            #[inline]
            fn to(self) -> $t {
                self as $t
            }
            #[inline]
            fn fits(self) -> bool {
                // Both ends are powers of two or zero, so they are exact; NaN fails both.
                let end = if <$t>::MIN == 0 { <$t>::BITS } else { <$t>::BITS - 1 };
                let x = self.trunc();
                x >= <$t>::MIN as $s && x < (1u128 << end) as $s
            }
        }
    )*};
}

macro_rules! numbers {
    ($m:ident) => {
        $m!(i8 => i8, i16, i32, i64, u8, u16, u32, u64, i128);
        $m!(i16 => i8, i16, i32, i64, u8, u16, u32, u64, i128);
        $m!(i32 => i8, i16, i32, i64, u8, u16, u32, u64, i128);
        $m!(i64 => i8, i16, i32, i64, u8, u16, u32, u64, i128);
        $m!(u8 => i8, i16, i32, i64, u8, u16, u32, u64, i128);
        $m!(u16 => i8, i16, i32, i64, u8, u16, u32, u64, i128);
        $m!(u32 => i8, i16, i32, i64, u8, u16, u32, u64, i128);
        $m!(u64 => i8, i16, i32, i64, u8, u16, u32, u64, i128);
        $m!(i128 => i8, i16, i32, i64, u8, u16, u32, u64, i128);
    };
}
numbers!(int_to_int);
to_float!(i8);
to_float!(i16);
to_float!(i32);
to_float!(i64);
to_float!(u8);
to_float!(u16);
to_float!(u32);
to_float!(u64);
to_float!(i128);
to_float!(f32);
to_float!(f64);
float_to_int!(f32 => i8, i16, i32, i64, u8, u16, u32, u64, i128);
float_to_int!(f64 => i8, i16, i32, i64, u8, u16, u32, u64, i128);

/// Casts `a` into `out`'s own memory; `ok`, where given, gets 1 where the value fits.
pub(super) fn cast(from: PhysType, to: PhysType, a: &[u8], out: &mut Slot, ok: Option<&mut [u8]>) {
    macro_rules! target {
        ($s:ty) => {
            match to {
                PhysType::Bool => {
                    let a: &[$s] = cast_slice(a);
                    for (o, x) in out.own::<u8>(a.len()).iter_mut().zip(a) {
                        *o = u8::from(*x != (0 as $s));
                    }
                    if let Some(ok) = ok {
                        ok.fill(1);
                    }
                }
                PhysType::I8 => convert::<$s, i8>(a, out, ok),
                PhysType::I16 => convert::<$s, i16>(a, out, ok),
                PhysType::I32 => convert::<$s, i32>(a, out, ok),
                PhysType::I64 => convert::<$s, i64>(a, out, ok),
                PhysType::U8 => convert::<$s, u8>(a, out, ok),
                PhysType::U16 => convert::<$s, u16>(a, out, ok),
                PhysType::U32 => convert::<$s, u32>(a, out, ok),
                PhysType::U64 => convert::<$s, u64>(a, out, ok),
                PhysType::F32 => convert::<$s, f32>(a, out, ok),
                PhysType::F64 => convert::<$s, f64>(a, out, ok),
                PhysType::I128 => convert::<$s, i128>(a, out, ok),
            }
        };
    }
    match from {
        PhysType::Bool | PhysType::U8 => target!(u8),
        PhysType::I8 => target!(i8),
        PhysType::I16 => target!(i16),
        PhysType::I32 => target!(i32),
        PhysType::I64 => target!(i64),
        PhysType::U16 => target!(u16),
        PhysType::U32 => target!(u32),
        PhysType::U64 => target!(u64),
        PhysType::F32 => target!(f32),
        PhysType::F64 => target!(f64),
        PhysType::I128 => target!(i128),
    }
}

fn convert<S: Pod + To<T>, T: Pod>(a: &[u8], out: &mut Slot, ok: Option<&mut [u8]>) {
    let a: &[S] = cast_slice(a);
    for (o, x) in out.own::<T>(a.len()).iter_mut().zip(a) {
        *o = x.to();
    }
    if let Some(ok) = ok {
        for (o, x) in ok.iter_mut().zip(a) {
            *o = u8::from(x.fits());
        }
    }
}
