//! Loops over runs of elements: one for each operation and type, compiled for the processor's
//! vectors. They are called with blocks that lie in the first-level cache, so what chooses
//! the loop costs little.
//!
//! | module | holds |
//! |---|---|
//! | [`unary`], [`binary`], [`cast`] | the loops of each operation |
//! | [`math`] | exponential, logarithm, sine and cosine that the compiler makes vectors of |
//! | [`parts`] | floats as fractions and powers of two; a Bessel function |
//! | [`real`], [`complex`] | what an operation means for one element |
//! | [`copy`] | elements from one layout to another |

pub(crate) mod binary;
pub(crate) mod cast;
pub(crate) mod complex;
pub(crate) mod copy;
pub(crate) mod math;
pub(crate) mod parts;
pub(crate) mod real;
pub(crate) mod unary;

use crate::element::{Buf, Element};

/// A run of elements in a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) buf: &'a Buf,
    pub(crate) start: usize,
    /// Whether all elements are the same: then a few of them stand for all, and stay in the
    /// cache.
    pub(crate) constant: bool,
}

/// How many elements of a constant stand for all: a line of 64 bytes of each vector register.
const REPEATED: usize = 64;

impl<'a> Run<'a> {
    /// The elements of a buffer from its first on.
    pub(crate) fn of(buf: &'a Buf) -> Self {
        Self { buf, start: 0, constant: false }
    }

    /// Its first `n` elements.
    pub(crate) fn slice<T: Element>(self, n: usize) -> &'a [T] {
        &self.buf.typed::<T>()[self.start..self.start + n]
    }
}

/// An operation of one element, known at compile time.
pub(crate) trait Op1<A, R> {
    fn call(a: A) -> R;
}

/// An operation of two elements, known at compile time.
pub(crate) trait Op2<A, R> {
    fn call(a: A, b: A) -> R;
}

/// Whether loops compiled for 256-bit vectors can run.
#[inline]
pub(crate) fn wide_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("popcnt");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Defines a function and its copy for 256-bit vectors, and calls the one that the processor
/// runs best. Both give the same bits: nothing is contracted or reordered, but for operations
/// that say so themselves ([`math`]).
macro_rules! vectorised {
    ($(#[$doc:meta])* $vis:vis fn $name:ident<$($g:ident: ($($bound:tt)+)),*>($($a:ident: $t:ty),*) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name<$($g: $($bound)+),*>($($a: $t),*) $(-> $ret)? {
            #[inline(always)]
            fn body<$($g: $($bound)+),*>($($a: $t),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
            fn wide<$($g: $($bound)+),*>($($a: $t),*) $(-> $ret)? {
                body::<$($g),*>($($a),*)
            }

            #[cfg(target_arch = "x86_64")]
            if $crate::kernel::wide_vectors() {
                // SAFETY: the processor has these features: the test above asked it.
                return unsafe { wide::<$($g),*>($($a),*) };
            }
            body::<$($g),*>($($a),*)
        }
    };
}

pub(crate) use vectorised;

vectorised! {
    /// `out = op(a)`, element by element.
    pub(crate) fn map<F: (Op1<A, R>), A: (Element), R: (Element)>(a: &[A], out: &mut [R]) {
        for (o, x) in out.iter_mut().zip(a) {
            *o = F::call(*x);
        }
    }
}

vectorised! {
    /// `out = op(a, b)`, element by element.
    pub(crate) fn zip<F: (Op2<A, R>), A: (Element), R: (Element)>(a: &[A], b: &[A], out: &mut [R]) {
        for ((o, x), y) in out.iter_mut().zip(a).zip(b) {
            *o = F::call(*x, *y);
        }
    }
}

vectorised! {
    /// As [`zip`], where all elements of `a`, or all of `b`, are the same.
    fn zip_repeated<F: (Op2<A, R>), A: (Element), R: (Element)>(
        a: &[A],
        b: &[A],
        out: &mut [R],
        first: bool
    ) {
        for (i, out) in out.chunks_mut(REPEATED).enumerate() {
            let (at, n) = (i * REPEATED, out.len());
            let (a_at, b_at) = if first { (0, at) } else { (at, 0) };
            let (a, b) = (&a[a_at..a_at + n], &b[b_at..b_at + n]);
            for ((o, x), y) in out.iter_mut().zip(a).zip(b) {
                *o = F::call(*x, *y);
            }
        }
    }
}

/// The first `n` elements of `out` as `op` of those of `a`.
pub(crate) fn map_run<F: Op1<A, R>, A: Element, R: Element>(a: Run<'_>, n: usize, out: &mut Buf) {
    map::<F, A, R>(a.slice(n), &mut out.typed_mut::<R>()[..n]);
}

/// The first `n` elements of `out` as `op` of those of `a` and `b`.
pub(crate) fn zip_run<F: Op2<A, R>, A: Element, R: Element>(
    a: Run<'_>,
    b: Run<'_>,
    n: usize,
    out: &mut Buf,
) {
    let (a_all, b_all, out) = (a.slice(n), b.slice(n), &mut out.typed_mut::<R>()[..n]);
    match (a.constant, b.constant) {
        (false, false) | (true, true) => zip::<F, A, R>(a_all, b_all, out),
        _ => zip_repeated::<F, A, R>(a_all, b_all, out, a.constant),
    }
}

/// Calls [`map_run`] with a closure's body as the operation.
macro_rules! map_with {
    ($a:expr, $n:expr, $out:expr, $from:ty => $to:ty, |$x:ident| $body:expr) => {{
        struct F;
        impl $crate::kernel::Op1<$from, $to> for F {
            #[inline(always)]
            fn call($x: $from) -> $to {
                $body
            }
        }
        $crate::kernel::map_run::<F, $from, $to>($a, $n, $out)
    }};
}

/// Calls [`zip_run`] with a closure's body as the operation.
macro_rules! zip_with {
    ($a:expr, $b:expr, $n:expr, $out:expr, $from:ty => $to:ty, |$x:ident, $y:ident| $body:expr) => {{
        struct F;
        impl $crate::kernel::Op2<$from, $to> for F {
            #[inline(always)]
            fn call($x: $from, $y: $from) -> $to {
                $body
            }
        }
        $crate::kernel::zip_run::<F, $from, $to>($a, $b, $n, $out)
    }};
}

pub(crate) use {map_with, zip_with};
