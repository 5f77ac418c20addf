//! Host arrays of the results.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
        Int32Array, Int64Array, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
    },
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::{DECIMAL128_MAX_PRECISION, DataType},
};

use crate::types::PhysType;

/// Nulls from a byte for each value, 1 or 0.
pub(super) fn nulls(valid: &[u8]) -> NullBuffer {
    NullBuffer::new(BooleanBuffer::from_iter(valid.iter().map(|v| *v != 0)))
}

/// A column of 128-bit integers, as decimals of scale 0.
pub(super) fn decimals(values: Vec<i128>, nulls: Option<NullBuffer>) -> ArrayRef {
    let ty = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);
    Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(ty))
}

/// An array of a type of up to 64 bits, from values sign- or zero-extended; floats from
/// their bits.
pub(super) fn array(ty: PhysType, values: Vec<i64>, nulls: Option<NullBuffer>) -> ArrayRef {
    macro_rules! narrow {
        ($array:ident, $t:ty) => {
            Arc::new($array::new(values.into_iter().map(|x| x as $t).collect(), nulls))
        };
    }
    match ty {
        PhysType::Bool => {
            let bits = BooleanBuffer::from_iter(values.into_iter().map(|x| x != 0));
            Arc::new(BooleanArray::new(bits, nulls))
        }
        PhysType::I8 => narrow!(Int8Array, i8),
        PhysType::I16 => narrow!(Int16Array, i16),
        PhysType::I32 => narrow!(Int32Array, i32),
        PhysType::I64 => Arc::new(Int64Array::new(values.into(), nulls)),
        PhysType::U8 => narrow!(UInt8Array, u8),
        PhysType::U16 => narrow!(UInt16Array, u16),
        PhysType::U32 => narrow!(UInt32Array, u32),
        PhysType::U64 => narrow!(UInt64Array, u64),
        PhysType::F32 => {
            let floats = values.into_iter().map(|x| f32::from_bits(x as u32)).collect();
            Arc::new(Float32Array::new(floats, nulls))
        }
        PhysType::F64 => {
            let floats = values.into_iter().map(|x| f64::from_bits(x as u64)).collect();
            Arc::new(Float64Array::new(floats, nulls))
        }
        PhysType::I128 => decimals(values.into_iter().map(i128::from).collect(), nulls),
    }
}
