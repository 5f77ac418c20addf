//! Rust types that are elements, and [`Buf`]: a vector of any of them.

use num_complex::Complex;

use crate::dtype::DType;

/// A complex number of two 32-bit floats.
pub type C32 = Complex<f32>;
/// A complex number of two 64-bit floats.
pub type C64 = Complex<f64>;

/// Elements of one type, in memory.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "a variant is named as its type")]
pub enum Buf {
    Bool(Vec<bool>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    C64(Vec<C32>),
    C128(Vec<C64>),
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that arrays hold. Implemented for `bool`, the integers of 8 to 64 bits, `f32`,
/// `f64` and their complex numbers, and for no other.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + std::fmt::Debug + Send + Sync + 'static
{
    /// Its element type.
    const DTYPE: DType;

    /// The elements of a buffer, if they are of this type.
    fn slice(buf: &Buf) -> Option<&[Self]>;

    /// The elements of a buffer, to change them, if they are of this type.
    fn slice_mut(buf: &mut Buf) -> Option<&mut Vec<Self>>;

    /// The vector of a buffer, if it is of this type.
    fn unwrap(buf: Buf) -> Option<Vec<Self>>;

    /// A buffer of a vector.
    fn wrap(values: Vec<Self>) -> Buf;
}

macro_rules! elements {
    ($($variant:ident $t:ty),+) => {
        $(
            impl sealed::Sealed for $t {}
            impl Element for $t {
                const DTYPE: DType = DType::$variant;

                fn slice(buf: &Buf) -> Option<&[Self]> {
                    if let Buf::$variant(v) = buf { Some(v) } else { None }
                }

                fn slice_mut(buf: &mut Buf) -> Option<&mut Vec<Self>> {
                    if let Buf::$variant(v) = buf { Some(v) } else { None }
                }

                fn unwrap(buf: Buf) -> Option<Vec<Self>> {
                    if let Buf::$variant(v) = buf { Some(v) } else { None }
                }

                fn wrap(values: Vec<Self>) -> Buf {
                    Buf::$variant(values)
                }
            }
        )+

        impl Buf {
            /// The type of its elements.
            pub fn dtype(&self) -> DType {
                match self {
                    $(Self::$variant(_) => DType::$variant),+
                }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(v) => v.len()),+
                }
            }

            /// That many zeros.
            pub fn zeros(dtype: DType, len: usize) -> Self {
                match dtype {
                    $(DType::$variant => Self::$variant(crate::memory::zeros::<$t>(len))),+
                }
            }

            /// Its bytes, as they are in memory.
            pub fn as_bytes(&self) -> &[u8] {
                match self {
                    $(Self::$variant(v) => plain_bytes(v)),+
                }
            }
        }
    };
}

/// The bytes of elements.
fn plain_bytes<T: Element>(values: &[T]) -> &[u8] {
    // SAFETY: elements are bools, numbers or complex numbers, which are two floats in C's
    // layout: all bytes are initialised. Bytes have no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The real and imaginary parts of complex numbers, in turn.
pub(crate) fn parts_mut<T: Copy>(values: &mut [Complex<T>]) -> &mut [T] {
    let n = values.len() * 2;
    // SAFETY: a complex number is two of its parts in C's layout, as its type promises, and the
    // slice is borrowed for as long as the parts are.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), n) }
}

elements!(
    Bool bool,
    I8 i8,
    I16 i16,
    I32 i32,
    I64 i64,
    U8 u8,
    U16 u16,
    U32 u32,
    U64 u64,
    F32 f32,
    F64 f64,
    C64 C32,
    C128 C64
);

impl Buf {
    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its elements as `T`.
    ///
    /// # Panics
    /// If they are of another type: callers matched on it.
    pub(crate) fn typed<T: Element>(&self) -> &[T] {
        T::slice(self).unwrap_or_else(|| panic!("a buffer of {} as {}", self.dtype(), T::DTYPE))
    }

    /// Its elements as `T`, to change them.
    ///
    /// # Panics
    /// As [`Buf::typed`].
    pub(crate) fn typed_mut<T: Element>(&mut self) -> &mut Vec<T> {
        let dtype = self.dtype();
        T::slice_mut(self).unwrap_or_else(|| panic!("a buffer of {dtype} as {}", T::DTYPE))
    }
}

/// Runs the body with `$t` naming the Rust type of a [`DType`].
macro_rules! dispatch {
    ($dtype:expr, $t:ident => $body:expr) => {
        $crate::element::dispatch!(@ $dtype, $t => $body,
            Bool bool, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64,
            F32 f32, F64 f64, C64 $crate::element::C32, C128 $crate::element::C64)
    };
    (@ $dtype:expr, $t:ident => $body:expr, $($variant:ident $of:ty),+) => {
        match $dtype {
            $($crate::dtype::DType::$variant => {
                type $t = $of;
                $body
            })+
        }
    };
}

pub(crate) use dispatch;
