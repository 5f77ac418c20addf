//! Random plans and batches of every type, and the reference.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use arrow::array::{Array, ArrayRef, AsArray};
use windlass_device::{Device, DeviceBuffer, DeviceOptions, HostBytes, cpu::CpuDevice};

use crate::{
    PhysType,
    aggregate::{
        Accumulator, AggregateCall, BitOp, GroupByPlan, GroupByResult, Order, OrderKey, Share,
    },
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    ir::{Program, ValueId},
};

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A value: integers as they are, floats by their bits.
pub(super) type Raw = i128;

struct Owner(Vec<u8>);

impl HostBytes for Owner {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

pub(super) fn device() -> CpuDevice {
    CpuDevice::new(&DeviceOptions::default())
}

pub(super) fn adopt(bytes: Vec<u8>) -> DeviceBuffer {
    device().adopt(Arc::new(Owner(bytes))).unwrap()
}

pub(super) fn bits(offset: u32, values: impl ExactSizeIterator<Item = bool>) -> DeviceBuffer {
    let mut bytes = vec![0u8; (values.len() + offset as usize).div_ceil(8)];
    for (i, v) in values.enumerate() {
        let at = i + offset as usize;
        bytes[at / 8] |= u8::from(v) << (at % 8);
    }
    adopt(bytes)
}

/// A column as an upload of a sliced Arrow array has it.
pub(super) fn column(ty: PhysType, values: &[Option<Raw>], offset: u32) -> DeviceColumn {
    let garbage = |i: usize| (i as Raw).wrapping_mul(0x0123_4567_89ab_cdef_0011) >> 3;
    let raw = values.iter().enumerate().map(|(i, v)| v.unwrap_or(garbage(i)));
    let (buffer, bit_offset) = match ty.packed_bytes() {
        None => (bits(offset, raw.map(|v| v & 1 == 1)), offset),
        Some(w) => (adopt(raw.flat_map(|v| v.to_le_bytes()[..w].to_vec()).collect()), 0),
    };
    let validity = match values.iter().all(Option::is_some) {
        true => Validity::All,
        false => Validity::Bits {
            bits: bits((offset + 3) % 8, values.iter().map(Option::is_some)),
            bit_offset: (offset + 3) % 8,
        },
    };
    DeviceColumn { ty, storage: Storage::Packed, values: buffer, bit_offset, validity }
}

/// Random values of a type: `spread` 0 takes few different ones, 1 many, 2 the extremes.
pub(super) fn random(r: &mut Random, ty: PhysType, spread: u64) -> Raw {
    let (few, x) = (r.below(5) as i128, r.next());
    let float = |x: u64| match (spread, x % 7) {
        (0, k) => k as f64 - 3.0,
        (1, _) => (x >> 40) as f64 / 4.0 - 1e6,
        (_, 0) => f64::NAN,
        (_, 1) => -f64::NAN,
        (_, 2) => -0.0,
        (_, 3) => 0.0,
        (_, 4) => f64::INFINITY,
        (_, k) => k as f64 * -1e300,
    };
    let limits = |lo: i128, hi: i128| match spread {
        0 => few,
        1 => i128::from(x) % (hi - lo).min(1 << 40) + lo,
        _ => [lo, hi, 0, lo + 1, hi - 1][few as usize],
    };
    match ty {
        PhysType::Bool => few & 1,
        PhysType::I8 => limits(-128, 127),
        PhysType::I16 => limits(-32768, 32767),
        PhysType::I32 => limits(i32::MIN.into(), i32::MAX.into()),
        PhysType::I64 => limits(i64::MIN.into(), i64::MAX.into()),
        PhysType::U8 => limits(0, 255),
        PhysType::U16 => limits(0, 65535),
        PhysType::U32 => limits(0, u32::MAX.into()),
        PhysType::U64 => limits(0, u64::MAX.into()),
        PhysType::F32 => (float(x) as f32).to_bits().into(),
        PhysType::F64 => float(x).to_bits().into(),
        PhysType::I128 => match spread {
            0 => few - 2,
            1 => i128::from(x as i64) * 1_000_003,
            _ => [i128::MIN, i128::MAX, 0, -1, i128::MIN + 1][few as usize],
        },
    }
}

pub(super) fn f32_of(v: Raw) -> f32 {
    f32::from_bits(v as u32)
}

pub(super) fn f64_of(v: Raw) -> f64 {
    f64::from_bits(v as u64)
}

/// A key as it is grouped.
pub(super) fn canonical(ty: PhysType, v: Raw) -> Raw {
    match ty {
        PhysType::F32 if f32_of(v).is_nan() => f32::NAN.to_bits().into(),
        PhysType::F64 if f64_of(v).is_nan() => f64::NAN.to_bits().into(),
        PhysType::F32 if f32_of(v) == 0.0 => 0,
        PhysType::F64 if f64_of(v) == 0.0 => 0,
        _ => v,
    }
}

pub(super) fn order(ty: PhysType, a: Raw, b: Raw) -> Ordering {
    match ty {
        PhysType::F32 => f32_of(a).total_cmp(&f32_of(b)),
        PhysType::F64 => f64_of(a).total_cmp(&f64_of(b)),
        _ => a.cmp(&b),
    }
}

/// Value `row` of an array of the natural type of `ty`.
pub(super) fn raw(array: &ArrayRef, ty: PhysType, row: usize) -> Option<Raw> {
    use arrow::datatypes as t;
    if array.is_null(row) {
        return None;
    }
    macro_rules! of {
        ($t:ty) => {
            Raw::from(array.as_primitive::<$t>().value(row))
        };
    }
    Some(match ty {
        PhysType::Bool => array.as_boolean().value(row).into(),
        PhysType::I8 => of!(t::Int8Type),
        PhysType::I16 => of!(t::Int16Type),
        PhysType::I32 => of!(t::Int32Type),
        PhysType::I64 => of!(t::Int64Type),
        PhysType::U8 => of!(t::UInt8Type),
        PhysType::U16 => of!(t::UInt16Type),
        PhysType::U32 => of!(t::UInt32Type),
        PhysType::U64 => of!(t::UInt64Type),
        PhysType::F32 => array.as_primitive::<t::Float32Type>().value(row).to_bits().into(),
        PhysType::F64 => array.as_primitive::<t::Float64Type>().value(row).to_bits().into(),
        PhysType::I128 => of!(t::Decimal128Type),
    })
}

/// A plan over input columns, one after the other: keys, arguments, and two booleans.
pub(super) struct Case {
    pub(super) plan: GroupByPlan,
    pub(super) types: Vec<PhysType>,
    pub(super) keys: usize,
    /// For each call its input column.
    arguments: Vec<Option<usize>>,
}

pub(super) fn case(keys: &[PhysType], filtered: bool, call_filters: bool) -> Case {
    let mut p = Program::new();
    let mut types = keys.to_vec();
    types.extend(PhysType::ALL);
    types.extend([PhysType::Bool, PhysType::Bool]);
    let inputs: Vec<ValueId> = types.iter().map(|t| p.input(*t, true)).collect();
    let (filter, call_filter) = (inputs[types.len() - 2], inputs[types.len() - 1]);
    let mut calls = vec![(Accumulator::CountRows, None)];
    for (i, ty) in PhysType::ALL.iter().enumerate() {
        let at = Some(keys.len() + i);
        calls.extend([Accumulator::Count, Accumulator::Min, Accumulator::Max].map(|a| (a, at)));
        use PhysType as T;
        if matches!(ty, T::I64 | T::U64 | T::I128 | T::F32 | T::F64) {
            calls.push((Accumulator::Sum { wide: false }, at));
        }
        if matches!(ty, T::I64 | T::I128) {
            calls.push((Accumulator::Sum { wide: true }, at));
        }
        if *ty == T::F64 {
            calls.push((Accumulator::Moments, at));
            let other = inputs[keys.len() + i];
            calls.push((Accumulator::CoMoments { other }, at));
        }
        calls.extend([Accumulator::Distinct, Accumulator::Quantile(Share::HALF)].map(|a| (a, at)));
        // In the order of the argument itself: its extremes.
        let (value, descending) = (inputs[keys.len() + i], i % 2 == 1);
        let key = OrderKey { value, descending, nulls_first: i % 3 == 1 };
        let order = Order::new(&[key]).unwrap();
        let pick = |last| (Accumulator::Pick { last, ignore_nulls: true, order }, at);
        calls.extend([false, true].map(pick));
        if ty.is_integer() && *ty != T::I128 {
            calls.extend([BitOp::And, BitOp::Or, BitOp::Xor].map(|o| (Accumulator::Bits(o), at)));
        }
    }
    let arguments = calls.iter().map(|c| c.1).collect();
    let plan = GroupByPlan {
        program: p,
        filter: filtered.then_some(filter),
        keys: inputs[..keys.len()].to_vec(),
        calls: calls
            .iter()
            .enumerate()
            .map(|(i, (accumulator, at))| AggregateCall {
                accumulator: *accumulator,
                argument: at.map(|a| inputs[a]),
                filter: (call_filters && i % 2 == 1).then_some(call_filter),
            })
            .collect(),
    };
    Case { plan, types, keys: keys.len(), arguments }
}

pub(super) type Rows = Vec<Vec<Option<Raw>>>;

/// Rows of a batch, column by column.
pub(super) fn rows(r: &mut Random, case: &Case, n: usize, nulls: bool, spread: u64) -> Rows {
    case.types
        .iter()
        .enumerate()
        .map(|(c, ty)| {
            // Sums and moments of extremes are not compared: arguments stay moderate.
            let s = if c < case.keys { spread } else { r.below(2) };
            let null = nulls && r.below(4) != 0;
            (0..n).map(|_| (!null || r.below(5) != 0).then(|| random(r, *ty, s))).collect()
        })
        .collect()
}

pub(super) fn batch(r: &mut Random, case: &Case, rows: &Rows) -> DeviceBatch {
    let columns =
        case.types.iter().zip(rows).map(|(t, v)| column(*t, v, r.below(8) as u32)).collect();
    DeviceBatch { rows: rows[0].len(), columns }
}

/// For each group the arguments of each call, in order.
pub(super) type Reference = BTreeMap<Vec<Option<Raw>>, Vec<Vec<Raw>>>;

pub(super) fn reference(case: &Case, batches: &[Rows]) -> Reference {
    let mut groups = Reference::new();
    if case.keys == 0 {
        groups.insert(vec![], vec![vec![]; case.plan.calls.len()]);
    }
    for b in batches {
        let passes = |column: usize, i: usize| b[column][i] == Some(1);
        let n = b[0].len();
        for i in (0..n).filter(|i| case.plan.filter.is_none() || passes(case.types.len() - 2, *i)) {
            let key = (0..case.keys).map(|k| b[k][i].map(|v| canonical(case.types[k], v)));
            let group = groups.entry(key.collect()).or_insert(vec![vec![]; case.plan.calls.len()]);
            for (c, call) in case.plan.calls.iter().enumerate() {
                let counts = call.filter.is_none() || passes(case.types.len() - 1, i);
                let value = case.arguments[c].map_or(Some(0), |a| b[a][i]);
                group[c].extend(value.filter(|_| counts));
            }
        }
    }
    groups
}

pub(super) fn close(got: f64, want: f64, scale: f64) -> bool {
    (got.is_nan() && want.is_nan()) || got == want || (got - want).abs() <= scale * 1e-12
}

pub(super) fn compare(case: &Case, got: &GroupByResult, want: &Reference) {
    assert_eq!(got.groups, want.len());
    let mut found = std::collections::BTreeSet::new();
    for g in 0..got.groups {
        let key: Vec<_> = (0..case.keys).map(|k| raw(&got.keys[k], case.types[k], g)).collect();
        let want = &want[&key];
        assert!(found.insert(key.clone()), "group {key:?} twice");
        for (c, call) in case.plan.calls.iter().enumerate() {
            let ty = case.arguments[c].map(|a| case.types[a]);
            let types = call.accumulator.state_types(ty);
            let states: Vec<_> =
                got.states[c].iter().zip(&types).map(|(s, t)| raw(s, *t, g)).collect();
            let v = &want[c];
            let text = format!("{key:?}: {:?} of {ty:?}", call.accumulator);
            let some = (!v.is_empty()).then_some(());
            match (call.accumulator, ty) {
                (Accumulator::CountRows | Accumulator::Count, _) => {
                    assert_eq!(states[0], Some(v.len() as i128), "{text}");
                }
                (Accumulator::Min, Some(ty)) => {
                    assert_eq!(
                        states[0],
                        v.iter().copied().min_by(|a, b| order(ty, *a, *b)),
                        "{text}"
                    );
                }
                (Accumulator::Max, Some(ty)) => {
                    assert_eq!(
                        states[0],
                        v.iter().copied().max_by(|a, b| order(ty, *a, *b)),
                        "{text}"
                    );
                }
                (Accumulator::Sum { .. }, Some(ty)) if ty.is_float() => {
                    let of =
                        |v: &Raw| if ty == PhysType::F32 { f32_of(*v).into() } else { f64_of(*v) };
                    let (sum, scale): (f64, f64) =
                        (v.iter().map(of).sum(), v.iter().map(|x| of(x).abs()).sum());
                    assert_eq!(states[0].is_some(), some.is_some(), "{text}");
                    if let Some(s) = states[0] {
                        assert!(close(f64_of(s), sum, scale), "{text}: {} {sum}", f64_of(s));
                    }
                }
                (Accumulator::Sum { wide }, Some(ty)) => {
                    let sum = v.iter().fold(0i128, |a, x| a.wrapping_add(*x));
                    let sum = match ty {
                        PhysType::I64 if !wide => (sum as i64).into(),
                        PhysType::U64 => (sum as u64).into(),
                        _ => sum,
                    };
                    assert_eq!(states[0], some.map(|()| sum), "{text}");
                }
                (Accumulator::Moments, _) => {
                    let n = v.len() as f64;
                    let mean = v.iter().map(|x| f64_of(*x)).sum::<f64>() / n.max(1.0);
                    let m2: f64 = v.iter().map(|x| (f64_of(*x) - mean).powi(2)).sum();
                    let square: f64 = v.iter().map(|x| f64_of(*x).powi(2)).sum();
                    assert_eq!(states[0], Some(v.len() as i128), "{text}");
                    assert!(close(f64_of(states[1].unwrap()), mean, square.sqrt()), "{text}");
                    assert!(close(f64_of(states[2].unwrap()), m2, square), "{text}");
                }
                (Accumulator::CoMoments { .. }, _) => {
                    // Of a column with itself: both variables' moments, and their product.
                    let moments = |i: usize| states[i].map(f64_of);
                    let square: f64 = v.iter().map(|x| f64_of(*x).powi(2)).sum();
                    assert_eq!(states[0], Some(v.len() as i128), "{text}");
                    assert_eq!((moments(1), moments(2)), (moments(3), moments(4)), "{text}");
                    let (m2, co) = (moments(2).unwrap(), moments(5).unwrap());
                    assert!(close(co, m2, square), "{text}: {co} {m2}");
                }
                (Accumulator::Pick { last, order: keys, .. }, Some(ty)) => {
                    let from_the_end = keys.keys().any(|k| k.descending) != last;
                    let mut v = v.clone();
                    v.sort_by(|a, b| order(ty, *a, *b));
                    let want = if from_the_end { v.last() } else { v.first() };
                    assert_eq!(states, [want.copied()], "{text}");
                }
                (Accumulator::Distinct, _) => {
                    let different: std::collections::BTreeSet<_> = v.iter().collect();
                    assert_eq!(states[0], Some(different.len() as i128), "{text}");
                }
                (Accumulator::Quantile(_), Some(ty)) => {
                    let mut v = v.clone();
                    v.sort_by(|a, b| order(ty, *a, *b));
                    let at = |i: usize| v.get(i).copied();
                    let n = v.len().max(1);
                    let want = [Some(v.len() as i128), at((n - 1) / 2), at(n / 2)];
                    assert_eq!(states, want, "{text}");
                }
                (Accumulator::Bits(op), _) => {
                    let of = |a, b| match op {
                        BitOp::And => a & b,
                        BitOp::Or => a | b,
                        BitOp::Xor => a ^ b,
                    };
                    assert_eq!(states[0], v.iter().copied().reduce(of), "{text}");
                }
                (a, None) => panic!("{a:?} without an argument"),
            }
        }
    }
}
