//! The groups as Arrow arrays, from the words that a GPU's kernels leave.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
        Int32Array, Int64Array, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
    },
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::DataType,
};

use super::{
    GroupByResult, pick,
    plan::{CallLayout, KeyLayout, Kind, Lowered},
};
use crate::types::PhysType;

/// The result: `key_words` are the groups' packed keys, `states` the words of each call's
/// arrays, in units of `unit_words` words where they are codes.
pub(super) fn build(
    groups: usize,
    lowered: &Lowered,
    key_words: &[u32],
    states: &[(CallLayout, Vec<Vec<u32>>)],
    unit_words: u32,
) -> GroupByResult {
    let width = lowered.key_words as usize;
    let keys = lowered.keys.iter().map(|k| key_array(groups, width, key_words, k)).collect();
    let states = states.iter().map(|(call, arrays)| {
        let flags = match call.kind {
            Kind::Count | Kind::Moments | Kind::CoMoments | Kind::Distinct => None,
            Kind::Quantile(_) | Kind::Pick => None,
            _ => arrays.last().filter(|_| call.may_be_empty),
        };
        let valid = flags.map(|f| NullBuffer::from_iter(f.iter().map(|w| *w != 0)));
        let argument = call.argument.map_or(PhysType::I64, |(_, ty)| ty);
        match call.kind {
            Kind::Moments => moments(groups, arrays),
            Kind::MinMax { is_min } => {
                let words = argument.words();
                let code = |g: usize| code_bits(&arrays[0][g * words..][..words], unit_words);
                let bits = |g: usize| decode(code(g), argument, is_min);
                vec![array(call.states[0], groups, valid, bits)]
            }
            Kind::CoMoments => co_moments(groups, arrays),
            Kind::Pick => picked(groups, call, &arrays[1]),
            Kind::Quantile(_) => quantile(groups, arrays, argument),
            Kind::Bits(_) | Kind::Distinct | Kind::Count | Kind::SumInt { .. } | Kind::SumF64 => {
                let ty = call.states[0];
                let words = ty.words();
                let bits = |g: usize| low_first(&arrays[0][g * words..][..words]);
                vec![array(ty, groups, valid, bits)]
            }
        }
    });
    GroupByResult { groups, keys, states: states.collect() }
}

/// A number from its words, least significant first.
fn low_first(words: &[u32]) -> u128 {
    words.iter().rev().fold(0, |bits, w| bits << 32 | u128::from(*w))
}

/// A code from its units, most significant first, each of up to `unit_words` words, least
/// significant first.
fn code_bits(words: &[u32], unit_words: u32) -> u128 {
    let unit = words.len().min(unit_words as usize);
    words.chunks(unit).fold(0, |bits, u| bits << (unit * 32) | low_first(u))
}

/// The bits of the value that `min_max.cu` gave this code.
fn decode(code: u128, ty: PhysType, is_min: bool) -> u128 {
    let width = ty.words() as u32 * 32;
    let mask = u128::MAX >> (128 - width);
    let sign = 1 << (width - 1);
    let code = if is_min { !code & mask } else { code };
    match (ty.is_float(), ty.is_signed()) {
        (true, _) if code & sign == 0 => !code & mask,
        (false, false) => code,
        _ => code ^ sign,
    }
}

fn key_array(groups: usize, width: usize, words: &[u32], key: &KeyLayout) -> ArrayRef {
    let valid = key.null.map(|(word, bit)| {
        NullBuffer::from_iter((0..groups).map(|g| words[g * width + word as usize] >> bit & 1 == 0))
    });
    let (offset, len) = (key.offset as usize, key.ty.words());
    array(key.ty, groups, valid, |g| low_first(&words[g * width + offset..][..len]))
}

fn bits64(array: &[u32], g: usize) -> u64 {
    low_first(&array[g * 2..][..2]) as u64
}

fn floats(groups: usize, value: impl Fn(usize) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values((0..groups).map(value)))
}

fn counts(groups: usize, array: &[u32]) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..groups).map(|g| bits64(array, g) as i64)))
}

/// The value of `f` for a group's count; 0 where that is 0.
fn of_count(count: &[u32], g: usize, f: impl Fn(f64) -> f64) -> f64 {
    match bits64(count, g) {
        0 => 0.0,
        n => f(n as f64),
    }
}

/// Mean and sum of squared deviations from the count, and from the shift and shifted sums of
/// a group: Chan, Golub, LeVeque (1983), equation for shifted data.
fn mean_and_m2(groups: usize, count: &[u32], shifted: &[Vec<u32>]) -> [ArrayRef; 2] {
    let float = |a: usize, g: usize| f64::from_bits(bits64(&shifted[a], g));
    let mean = |g: usize| of_count(count, g, |n| float(0, g) + float(1, g) / n);
    let m2 = |g: usize| {
        let m2 = of_count(count, g, |n| float(2, g) - float(1, g) * (float(1, g) / n));
        // Rounding may leave it just below zero.
        if m2 < 0.0 { 0.0 } else { m2 }
    };
    [floats(groups, mean), floats(groups, m2)]
}

fn moments(groups: usize, arrays: &[Vec<u32>]) -> Vec<ArrayRef> {
    let [mean, m2] = mean_and_m2(groups, &arrays[0], &arrays[1..4]);
    vec![counts(groups, &arrays[0]), mean, m2]
}

/// As [`moments`], of both arguments, and the sum of products of deviations from the sum of
/// products of shifted values.
fn co_moments(groups: usize, arrays: &[Vec<u32>]) -> Vec<ArrayRef> {
    let count = &arrays[0];
    let [mean, m2] = mean_and_m2(groups, count, &arrays[1..4]);
    let [other_mean, other_m2] = mean_and_m2(groups, count, &arrays[5..8]);
    let float = |a: usize, g: usize| f64::from_bits(bits64(&arrays[a], g));
    let co = |g: usize| of_count(count, g, |n| float(9, g) - float(2, g) * (float(6, g) / n));
    vec![counts(groups, count), mean, m2, other_mean, other_m2, floats(groups, co)]
}

/// The count of arguments, and the two values around a share.
fn quantile(groups: usize, arrays: &[Vec<u32>], ty: PhysType) -> Vec<ArrayRef> {
    let words = ty.words();
    let value = |a: usize| {
        let valid = NullBuffer::from_iter((0..groups).map(|g| bits64(&arrays[0], g) != 0));
        array(ty, groups, Some(valid), |g| low_first(&arrays[a][g * words..][..words]))
    };
    vec![counts(groups, &arrays[0]), value(1), value(2)]
}

/// The arguments of the rows that were picked.
fn picked(groups: usize, call: &CallLayout, state: &[u32]) -> Vec<ArrayRef> {
    let Some(layout) = &call.pick else { return Vec::new() };
    let ty = call.states[0];
    let words = layout.state_words(ty.words() as u32) as usize;
    let value = |g: usize| pick::value(&state[g * words..][..words], layout);
    let values: Vec<Option<u128>> = (0..groups).map(|g| value(g).map(low_first)).collect();
    let valid = NullBuffer::from_iter(values.iter().map(Option::is_some));
    vec![array(ty, groups, Some(valid), |g| values[g].unwrap_or(0))]
}

/// An array of a type from its values' low bits.
fn array(
    ty: PhysType,
    len: usize,
    valid: Option<NullBuffer>,
    bits: impl Fn(usize) -> u128,
) -> ArrayRef {
    let valid = valid.filter(|v| v.null_count() > 0);
    macro_rules! primitive {
        ($array:ident, $from:expr) => {
            Arc::new($array::new((0..len).map(|i| $from(bits(i))).collect(), valid))
        };
    }
    match ty {
        PhysType::Bool => {
            let values = BooleanBuffer::collect_bool(len, |i| bits(i) & 1 == 1);
            Arc::new(BooleanArray::new(values, valid))
        }
        PhysType::I8 => primitive!(Int8Array, |b| b as i8),
        PhysType::I16 => primitive!(Int16Array, |b| b as i16),
        PhysType::I32 => primitive!(Int32Array, |b| b as i32),
        PhysType::I64 => primitive!(Int64Array, |b| b as i64),
        PhysType::U8 => primitive!(UInt8Array, |b| b as u8),
        PhysType::U16 => primitive!(UInt16Array, |b| b as u16),
        PhysType::U32 => primitive!(UInt32Array, |b| b as u32),
        PhysType::U64 => primitive!(UInt64Array, |b| b as u64),
        PhysType::F32 => primitive!(Float32Array, |b| f32::from_bits(b as u32)),
        PhysType::F64 => primitive!(Float64Array, |b| f64::from_bits(b as u64)),
        PhysType::I128 => {
            let values = Decimal128Array::new((0..len).map(|i| bits(i) as i128).collect(), valid);
            Arc::new(values.with_data_type(DataType::Decimal128(38, 0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes of `min_max.cu`, as it computes them.
    fn encode(bits: u128, ty: PhysType, is_min: bool) -> u128 {
        let width = ty.words() as u32 * 32;
        let mask = u128::MAX >> (128 - width);
        let sign = 1 << (width - 1);
        let code = match (ty.is_float(), ty.is_signed()) {
            (true, _) if bits & sign != 0 => !bits & mask,
            (false, false) => bits,
            _ => bits ^ sign,
        };
        if is_min { !code & mask } else { code }
    }

    #[test]
    fn codes_keep_the_order_and_come_back() {
        let floats = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-310, 2.0, f64::INFINITY, f64::NAN];
        let floats: Vec<u128> = floats.iter().map(|f| u128::from(f.to_bits())).collect();
        let ints: Vec<u128> = [i128::MIN, -1, 0, i128::MAX].iter().map(|v| *v as u128).collect();
        for (ty, values) in [(PhysType::F64, floats), (PhysType::I128, ints)] {
            for pair in values.windows(2) {
                let code = |b, is_min| encode(b, ty, is_min);
                assert!(code(pair[0], false) < code(pair[1], false));
                assert!(code(pair[0], true) > code(pair[1], true));
            }
            for v in values {
                for is_min in [false, true] {
                    assert_eq!(decode(encode(v, ty, is_min), ty, is_min), v);
                }
            }
        }
    }

    #[test]
    fn units_are_put_together() {
        assert_eq!(code_bits(&[1, 2], 1), 1 << 32 | 2);
        assert_eq!(code_bits(&[1, 2], 2), 2 << 32 | 1);
        assert_eq!(code_bits(&[1, 2, 3, 4], 2), (2 << 96) | (1 << 64) | (4 << 32) | 3);
        assert_eq!(code_bits(&[7], 2), 7);
    }
}
