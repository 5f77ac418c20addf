//! Conversions between all element types. Floats become integers by cutting the fraction,
//! those beyond the type its nearest value, NaN 0; complex numbers lose the imaginary part;
//! everything but zero is true, NaN too.

use super::{Op1, Run, map_run};
use crate::{
    dtype::DType,
    element::{Buf, C32, C64, Element, dispatch},
};

/// The first `n` elements of `out`, of type `to`, as those of `a`, of type `from`.
pub(crate) fn cast(from: DType, to: DType, a: Run<'_>, n: usize, out: &mut Buf) {
    dispatch!(from, A => dispatch!(to, R => map_run::<Cast, A, R>(a, n, out)));
}

/// A conversion.
struct Cast;

impl<A: Convert<R>, R> Op1<A, R> for Cast {
    #[inline(always)]
    fn call(a: A) -> R {
        a.convert()
    }
}

/// One element as another type.
pub(crate) trait Convert<R> {
    fn convert(self) -> R;
}

macro_rules! reals {
    (@to $from:ident: $($to:ident)+) => {$(
        impl Convert<$to> for $from {
            #[inline(always)]
            fn convert(self) -> $to {
                self as $to
            }
        }
    )+};
    ($($from:ident)+) => {$(
        reals!(@to $from: i8 i16 i32 i64 u8 u16 u32 u64 f32 f64);

        impl Convert<bool> for $from {
            #[inline(always)]
            fn convert(self) -> bool {
                self != (0 as $from)
            }
        }

        impl Convert<C32> for $from {
            #[inline(always)]
            fn convert(self) -> C32 {
                C32::new(self as f32, 0.0)
            }
        }

        impl Convert<C64> for $from {
            #[inline(always)]
            fn convert(self) -> C64 {
                C64::new(self as f64, 0.0)
            }
        }

        impl Convert<$from> for C32 {
            #[inline(always)]
            fn convert(self) -> $from {
                self.re as $from
            }
        }

        impl Convert<$from> for C64 {
            #[inline(always)]
            fn convert(self) -> $from {
                self.re as $from
            }
        }

        impl Convert<$from> for bool {
            #[inline(always)]
            fn convert(self) -> $from {
                u8::from(self) as $from
            }
        }
    )+};
}

reals!(i8 i16 i32 i64 u8 u16 u32 u64 f32 f64);

macro_rules! others {
    ($($from:ident $to:ident, |$x:ident| $body:expr;)+) => {$(
        impl Convert<$to> for $from {
            #[inline(always)]
            fn convert(self) -> $to {
                let $x = self;
                $body
            }
        }
    )+};
}

others!(
    bool bool, |x| x;
    bool C32, |x| C32::new(f32::from(u8::from(x)), 0.0);
    bool C64, |x| C64::new(f64::from(u8::from(x)), 0.0);
    C32 bool, |x| x.re != 0.0 || x.im != 0.0;
    C64 bool, |x| x.re != 0.0 || x.im != 0.0;
    C32 C32, |x| x;
    C64 C64, |x| x;
    C32 C64, |x| C64::new(f64::from(x.re), f64::from(x.im));
    C64 C32, |x| C32::new(x.re as f32, x.im as f32);
);

/// One element as a type that is known at run time, `n` times.
pub(crate) fn filled<A: Element>(value: A, to: DType, n: usize) -> Buf {
    let one = A::wrap(vec![value]);
    let mut cast_one = Buf::zeros(to, 1);
    cast(A::DTYPE, to, Run::of(&one), 1, &mut cast_one);
    dispatch!(to, T => T::wrap(vec![cast_one.typed::<T>()[0]; n]))
}
