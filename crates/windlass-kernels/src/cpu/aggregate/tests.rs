//! Group-by on the `cpu` device against a reference that keeps every argument of every
//! group and aggregates at the end.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use arrow::array::{Array, ArrayRef, AsArray};
use windlass_device::{
    Device, DeviceBuffer, DeviceError, DeviceOptions, HostBytes, cpu::CpuDevice,
};

use super::{CpuGroupBy, Groups, merge, merge_all};
use crate::{
    KernelError, PhysType, Scalar,
    aggregate::{
        Accumulator, AggregateCall, BitOp, GroupByPlan, GroupByResult, Order, OrderKey, Share,
    },
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    ir::{BinaryOp, Program, ValueId},
};

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A value: integers as they are, floats by their bits.
type Raw = i128;

struct Owner(Vec<u8>);

impl HostBytes for Owner {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn device() -> CpuDevice {
    CpuDevice::new(&DeviceOptions::default())
}

fn adopt(bytes: Vec<u8>) -> DeviceBuffer {
    device().adopt(Arc::new(Owner(bytes))).unwrap()
}

fn bits(offset: u32, values: impl ExactSizeIterator<Item = bool>) -> DeviceBuffer {
    let mut bytes = vec![0u8; (values.len() + offset as usize).div_ceil(8)];
    for (i, v) in values.enumerate() {
        let at = i + offset as usize;
        bytes[at / 8] |= u8::from(v) << (at % 8);
    }
    adopt(bytes)
}

/// A column as an upload of a sliced Arrow array has it.
fn column(ty: PhysType, values: &[Option<Raw>], offset: u32) -> DeviceColumn {
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
fn random(r: &mut Random, ty: PhysType, spread: u64) -> Raw {
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

fn f32_of(v: Raw) -> f32 {
    f32::from_bits(v as u32)
}

fn f64_of(v: Raw) -> f64 {
    f64::from_bits(v as u64)
}

/// A key as it is grouped.
fn canonical(ty: PhysType, v: Raw) -> Raw {
    match ty {
        PhysType::F32 if f32_of(v).is_nan() => f32::NAN.to_bits().into(),
        PhysType::F64 if f64_of(v).is_nan() => f64::NAN.to_bits().into(),
        PhysType::F32 if f32_of(v) == 0.0 => 0,
        PhysType::F64 if f64_of(v) == 0.0 => 0,
        _ => v,
    }
}

fn order(ty: PhysType, a: Raw, b: Raw) -> Ordering {
    match ty {
        PhysType::F32 => f32_of(a).total_cmp(&f32_of(b)),
        PhysType::F64 => f64_of(a).total_cmp(&f64_of(b)),
        _ => a.cmp(&b),
    }
}

/// Value `row` of an array of the natural type of `ty`.
fn raw(array: &ArrayRef, ty: PhysType, row: usize) -> Option<Raw> {
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
struct Case {
    plan: GroupByPlan,
    types: Vec<PhysType>,
    keys: usize,
    /// For each call its input column.
    arguments: Vec<Option<usize>>,
}

fn case(keys: &[PhysType], filtered: bool, call_filters: bool) -> Case {
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

type Rows = Vec<Vec<Option<Raw>>>;

/// Rows of a batch, column by column.
fn rows(r: &mut Random, case: &Case, n: usize, nulls: bool, spread: u64) -> Rows {
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

fn batch(r: &mut Random, case: &Case, rows: &Rows) -> DeviceBatch {
    let columns =
        case.types.iter().zip(rows).map(|(t, v)| column(*t, v, r.below(8) as u32)).collect();
    DeviceBatch { rows: rows[0].len(), columns }
}

/// For each group the arguments of each call, in order.
type Reference = BTreeMap<Vec<Option<Raw>>, Vec<Vec<Raw>>>;

fn reference(case: &Case, batches: &[Rows]) -> Reference {
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

fn close(got: f64, want: f64, scale: f64) -> bool {
    (got.is_nan() && want.is_nan()) || got == want || (got - want).abs() <= scale * 1e-12
}

fn compare(case: &Case, got: &GroupByResult, want: &Reference) {
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

/// Runs the batches over several group-bys, whose parts close and merge at `limits`.
fn run(
    case: &Case,
    batches: &[DeviceBatch],
    parts: usize,
    limits: (usize, usize),
) -> Vec<CpuGroupBy> {
    let d = device();
    (0..parts)
        .map(|p| {
            let mut g = CpuGroupBy::new(&case.plan, &d, p * 100).unwrap();
            (g.limit, g.compact_at) = limits;
            batches.iter().skip(p).step_by(parts).for_each(|b| g.update(b, &[]).unwrap());
            g
        })
        .collect()
}

fn check_random(seed: u64, keys: &[PhysType], sizes: &[usize], spread: u64) {
    let mut r = Random(seed);
    let case = case(keys, r.below(2) == 1, r.below(2) == 1);
    let nulls = r.below(3) != 0;
    let data: Vec<Rows> = sizes.iter().map(|n| rows(&mut r, &case, *n, nulls, spread)).collect();
    let batches: Vec<_> = data.iter().map(|d| batch(&mut r, &case, d)).collect();
    let want = reference(&case, &data);
    let one = run(&case, &batches, 1, (1 << 17, 1 << 20)).remove(0);
    compare(&case, &one.finish().unwrap(), &want);
    // Tables that close after a chunk or two, and parts that are merged on the way.
    let three = run(&case, &batches, 3, (200, 1500));
    let parts = three.into_iter().map(CpuGroupBy::into_groups);
    compare(&case, &merge_all(&case.plan, parts).unwrap(), &want);
}

#[test]
fn one_key_of_every_type() {
    for (i, ty) in PhysType::ALL.into_iter().enumerate() {
        for spread in 0..3 {
            check_random(i as u64 * 10 + spread, &[ty], &[0, 1, 31, 1024, 2500], spread);
        }
    }
}

#[test]
fn no_keys() {
    for seed in 0..6 {
        check_random(seed, &[], &[1, 1025, 700], 0);
    }
    check_random(7, &[], &[], 0);
    check_random(8, &[], &[0], 0);
}

#[test]
fn many_keys_of_random_types() {
    let mut r = Random(42);
    for seed in 0..40 {
        let n = 2 + r.below(if seed % 8 == 0 { 12 } else { 4 });
        let keys: Vec<_> = (0..n).map(|_| PhysType::ALL[r.below(12) as usize]).collect();
        check_random(seed, &keys, &[33, 1500, 64], r.below(3));
    }
}

#[test]
fn nothing_passes_the_filter() {
    let case = case(&[PhysType::I32], true, false);
    let mut r = Random(1);
    let mut data = rows(&mut r, &case, 100, true, 0);
    let filter = case.types.len() - 2;
    data[filter] = (0..100).map(|i| (i % 2 == 0).then_some(0)).collect();
    let b = batch(&mut r, &case, &data);
    let got = run(&case, &[b], 1, (1000, 1000)).remove(0).finish().unwrap();
    assert_eq!((got.groups, got.keys[0].len()), (0, 0));
}

/// Sum and count of one `I64` by an `I64` key.
fn simple() -> GroupByPlan {
    let mut p = Program::new();
    let (k, v) = (p.input(PhysType::I64, true), p.input(PhysType::I64, false));
    let seven = p.constant(Scalar::Int(PhysType::I64, 7));
    let argument = p.binary(BinaryOp::Mul, v, seven, None).unwrap();
    let call = |accumulator, argument| AggregateCall { accumulator, argument, filter: None };
    let calls = vec![
        call(Accumulator::Sum { wide: false }, Some(argument)),
        call(Accumulator::CountRows, None),
    ];
    GroupByPlan { program: p, filter: None, keys: vec![k], calls }
}

fn simple_batch(keys: &[Option<i64>]) -> DeviceBatch {
    let raw: Vec<_> = keys.iter().map(|k| k.map(Raw::from)).collect();
    let ones = vec![Some(1); keys.len()];
    let columns = vec![column(PhysType::I64, &raw, 5), column(PhysType::I64, &ones, 0)];
    DeviceBatch { rows: keys.len(), columns }
}

#[test]
fn many_groups_merged_in_partitions() {
    let plan = simple();
    let d = device();
    for scale in [1, 1 << 33] {
        let parts: Vec<Groups> = (0..3i64)
            .map(|p| {
                let mut g = CpuGroupBy::new(&plan, &d, 0).unwrap();
                // Part p has keys p, p + 1, …: all overlap; and nulls.
                let keys: Vec<_> =
                    (p..p + 50_000).map(|k| (k % 1000 != 7).then_some(k * scale)).collect();
                g.update(&simple_batch(&keys), &[]).unwrap();
                assert_eq!(g.groups(), 50_000 - 49);
                g.into_groups().remove(0)
            })
            .collect();
        let merged = merge(&plan, parts, 6).unwrap();
        assert_eq!(merged.len(), 8);
        assert!(merged.iter().all(|m| m.len() > 4000), "partitions are even");
        let mut sums = BTreeMap::new();
        for m in merged {
            let r = m.into_result();
            for g in 0..r.groups {
                let key = raw(&r.keys[0], PhysType::I64, g);
                let sum = raw(&r.states[0][0], PhysType::I64, g).unwrap();
                let count = raw(&r.states[1][0], PhysType::I64, g).unwrap();
                assert_eq!(sum, count * 7);
                assert!(sums.insert(key, count).is_none(), "{key:?} in two partitions");
            }
        }
        assert_eq!(sums.len(), 50_002 - 50 + 1);
        assert_eq!(sums[&None], 150);
        assert_eq!((sums[&Some(0)], sums[&Some(i128::from(scale) * 40)]), (1, 3));
    }
}

#[test]
fn keys_that_grow_and_nulls_that_come_late() {
    let plan = simple();
    let mut g = CpuGroupBy::new(&plan, &device(), 0).unwrap();
    let keys: Vec<Option<i64>> = (0..120_000i64).map(|i| Some(i * i - 1000)).collect();
    g.update(&simple_batch(&keys), &[]).unwrap();
    g.update(&simple_batch(&[None, Some(i64::MIN), Some(i64::MAX), Some(-1000)]), &[]).unwrap();
    g.update(&simple_batch(&keys), &[]).unwrap();
    let r = g.finish().unwrap();
    assert_eq!(r.groups, 120_003);
    for (g, k) in keys.iter().enumerate() {
        assert_eq!(raw(&r.keys[0], PhysType::I64, g), k.map(Raw::from), "in order of appearance");
        let want = if g == 0 { 21 } else { 14 };
        assert_eq!(raw(&r.states[0][0], PhysType::I64, g), Some(want));
    }
    assert_eq!(raw(&r.keys[0], PhysType::I64, 120_000), None);
    assert_eq!(raw(&r.keys[0], PhysType::I64, 120_001), Some(i64::MIN.into()));
}

#[test]
fn tables_close_and_grow_with_the_data() {
    let plan = simple();
    let d = device();
    // Hardly repeated keys: parts close, and stay unmerged until there are many.
    let mut g = CpuGroupBy::new(&plan, &d, 0).unwrap();
    (g.limit, g.compact_at) = (4096, 30_000);
    let far = |i: i64| Some(i.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64));
    let keys: Vec<_> = (0..50_000).map(far).collect();
    g.update(&simple_batch(&keys[..20_000]), &[]).unwrap();
    assert_eq!((g.parts.len(), g.limit), (4, 4096));
    g.update(&simple_batch(&keys[20_000..]), &[]).unwrap();
    assert!(g.closed >= 30_000 && g.compact_at > 60_000, "{} {}", g.closed, g.compact_at);
    assert_eq!((g.limit, g.groups()), (4096, 50_000));
    assert!(d.pool().stats().in_use >= g.bytes());
    assert_eq!(g.finish().unwrap().groups, 50_000);
    assert_eq!(d.pool().stats().in_use, 0);
    // Keys that repeat in every part: merged, and from then on one table holds them.
    let mut g = CpuGroupBy::new(&plan, &d, 0).unwrap();
    (g.limit, g.compact_at) = (4096, 30_000);
    for _ in 0..10 {
        g.update(&simple_batch(&keys[..8000]), &[]).unwrap();
    }
    assert!(g.limit >= 16_000 && g.bytes() < 2 << 20, "{} {}", g.limit, g.bytes());
    let r = g.finish().unwrap();
    assert_eq!(r.groups, 8000);
    assert!((0..8000).all(|i| raw(&r.states[0][0], PhysType::I64, i) == Some(70)));
    // Keys that repeat within a part: it grows at once.
    let mut g = CpuGroupBy::new(&plan, &d, 0).unwrap();
    (g.limit, g.compact_at) = (4096, 30_000);
    let keys: Vec<_> = (0..200_000).map(|i| far(i / 40)).collect();
    g.update(&simple_batch(&keys), &[]).unwrap();
    assert_eq!((g.parts.len(), g.limit, g.groups()), (0, 8192, 5000));
}

#[test]
fn memory_is_accounted_and_capped() {
    let plan = simple();
    let options = DeviceOptions { host_memory_cap: Some(8 << 20), ..Default::default() };
    let d = CpuDevice::new(&options);
    let mut g = CpuGroupBy::new(&plan, &d, 0).unwrap();
    let keys: Vec<Option<i64>> = (0..2_000_000i64).map(|i| Some(i << 20)).collect();
    let error = keys.chunks(50_000).find_map(|c| g.update(&simple_batch(c), &[]).err());
    assert!(
        matches!(error, Some(KernelError::Device(DeviceError::OutOfMemory { .. }))),
        "{error:?}"
    );
    assert!(d.pool().stats().in_use > 1 << 20);
    drop(g);
    assert_eq!(d.pool().stats().in_use, 0);
}

#[test]
fn wrong_plans_are_refused() {
    let mut p = Program::new();
    let (b, i) = (p.input(PhysType::Bool, false), p.input(PhysType::I32, false));
    let plan = |accumulator, argument, filter| GroupByPlan {
        program: p.clone(),
        filter,
        keys: vec![],
        calls: vec![AggregateCall { accumulator, argument, filter: None }],
    };
    for wrong in [
        plan(Accumulator::Sum { wide: false }, Some(i), None),
        plan(Accumulator::Sum { wide: false }, None, None),
        plan(Accumulator::Moments, Some(i), None),
        plan(Accumulator::CoMoments { other: i }, Some(i), None),
        plan(Accumulator::CoMoments { other: ValueId(99) }, Some(i), None),
        plan(Accumulator::Bits(BitOp::And), Some(b), None),
        plan(Accumulator::Distinct, None, None),
        plan(Accumulator::Quantile(Share::HALF), None, None),
        plan(Accumulator::CountRows, Some(i), None),
        plan(Accumulator::Min, None, None),
        plan(Accumulator::CountRows, None, Some(i)),
        plan(Accumulator::Min, Some(ValueId(99)), None),
    ] {
        assert!(matches!(wrong.supported(&device()), Err(KernelError::Invalid { .. })));
    }
    plan(Accumulator::Max, Some(b), Some(b)).supported(&device()).unwrap();
}

#[test]
fn through_the_trait() {
    let plan = simple();
    let d: Arc<dyn Device> = Arc::new(device());
    let mut q = d.queue().unwrap();
    let mut g = plan.start(&d, 10).unwrap();
    g.update(&mut *q, &simple_batch(&[Some(3), None, Some(3)]), &[]).unwrap();
    assert_eq!(g.groups(), 2);
    assert!(g.state_bytes() > 0 && d.pool().stats().in_use >= g.state_bytes());
    let r = g.finish(&mut *q).unwrap();
    let sums: Vec<_> = (0..2).map(|g| raw(&r.states[0][0], PhysType::I64, g)).collect();
    assert_eq!((r.groups, sums), (2, vec![Some(14), Some(7)]));
    assert_eq!(d.pool().stats().in_use, 0);
}
