//! Benches of group-bys.

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{Float64Type, Int32Type, Int64Type},
};
use hashbrown::HashMap;

use super::{
    Bench,
    case::{Case, Verdict, apart, differ, unequal},
    host::{On, Random, array, mix, random, spread},
};
use crate::{
    aggregate::{Accumulator, AggregateCall, GroupBy, GroupByPlan, GroupByResult, Share},
    column::DeviceBatch,
    cpu::aggregate::{CpuGroupBy, merge_all},
    error::{KernelError, Result},
    ir::Program,
    types::PhysType,
};

/// Groups of the benches of one accumulator each.
const GROUPS: usize = 10_000;

pub(super) fn benches() -> Vec<Bench> {
    const SUM: &str = "sum and count of i64 by i64; floor: 16 bytes a row read, 24 a group written";
    const ONE: &str = "one aggregate of f64 by i64, 10^4 groups; floor: 16 bytes a row read";
    let sums = [("100_groups", 100), ("100k_groups", 100_000), ("10m_groups", 10_000_000)];
    let mut all: Vec<Bench> = sums
        .into_iter()
        .map(|(name, groups)| {
            Bench::new(format!("group_by/sum/{name}"), SUM, move |on, n| {
                let groups = groups.min(n.max(1));
                sums_by(on, random(n, 1, |r| spread(r.below(groups) as u64)), groups)
            })
        })
        .collect();
    all.push(Bench::new(
        "group_by/sum/100k_groups_dense",
        "the same by keys that count up from 0; floor: 16 bytes a row read, 24 a group written",
        |on, n| {
            let groups = n.clamp(1, 100_000);
            sums_by(on, random(n, 1, |r| r.below(groups) as i64), groups)
        },
    ));
    all.push(Bench::new(
        "group_by/sum/100k_groups_two_keys",
        "the same by i64 and i32; floor: 20 bytes a row read, 28 a group written",
        sums_by_two,
    ));
    for (name, groups) in [("sorted_100_groups", 100), ("sorted_100k_groups", 100_000)] {
        let name = format!("group_by/sum/{name}");
        let what =
            "sum and count of i64 by sorted i64; floor: 16 bytes a row read, 24 a group written";
        all.push(Bench::new(name, what, move |on, n| sums_by_sorted(on, n, groups.min(n.max(1)))));
    }
    let calls = [
        ("min", Accumulator::Min),
        ("moments", Accumulator::Moments),
        ("distinct", Accumulator::Distinct),
        ("median", Accumulator::Quantile(Share::HALF)),
    ];
    all.extend(calls.into_iter().map(|(name, call)| {
        Bench::new(format!("group_by/{name}/10k_groups"), ONE, move |on, n| one_call(on, n, call))
    }));
    all
}

/// What a group-by ended with.
pub(super) enum Grouped {
    /// On the host: the result.
    Result(GroupByResult),
    /// On a GPU: the groups in its memory.
    Groups(Box<dyn GroupBy>),
}

impl Grouped {
    /// The result on the host.
    pub(super) fn finish(self, on: &mut On) -> Result<GroupByResult> {
        match self {
            Self::Result(result) => Ok(result),
            Self::Groups(groups) => groups.finish(&mut *on.queue),
        }
    }
}

/// A whole group-by: on the host a part of the batches on each thread, and the merge, as the
/// partitions of a job are.
pub(super) fn group_by(
    on: &mut On,
    plan: &GroupByPlan,
    batches: &[DeviceBatch],
    groups: usize,
) -> Result<Grouped> {
    if !on.is_host() {
        let mut going = plan.start(&on.device, groups)?;
        for batch in batches {
            going.update(&mut *on.queue, batch, &[])?;
        }
        return Ok(Grouped::Groups(going));
    }
    let device = &*on.device;
    let part = |batches: &[DeviceBatch]| {
        let mut g = CpuGroupBy::new(plan, device, 0)?;
        batches.iter().try_for_each(|b| g.update(b, &[]))?;
        Ok(g.into_groups())
    };
    let threads = rayon::current_num_threads();
    let parts: Result<Vec<_>> = std::thread::scope(|scope| {
        let work: Vec<_> = batches
            .chunks(batches.len().div_ceil(threads).max(1))
            .map(|batches| scope.spawn(move || part(batches)))
            .collect();
        let ended = |t: std::thread::ScopedJoinHandle<'_, Result<_>>| {
            t.join().unwrap_or_else(|_| Err(panicked()))
        };
        work.into_iter().map(ended).collect()
    });
    let mut parts = parts?;
    if parts.is_empty() {
        parts.push(part(&[])?);
    }
    Ok(Grouped::Result(merge_all(plan, parts)?))
}

#[cold]
fn panicked() -> KernelError {
    KernelError::Invalid {
        operation: "group-by",
        expected: "threads that end".into(),
        got: "a panic".into(),
    }
}

/// A plan with one i64 key and these calls of its second input.
fn plan(value: PhysType, calls: &[Accumulator]) -> GroupByPlan {
    let mut program = Program::new();
    let (key, argument) = (program.input(PhysType::I64, false), program.input(value, false));
    let call = |accumulator: &Accumulator| AggregateCall {
        accumulator: *accumulator,
        argument: (*accumulator != Accumulator::CountRows).then_some(argument),
        filter: None,
    };
    let calls = calls.iter().map(call).collect();
    GroupByPlan { program, filter: None, keys: vec![key], calls }
}

/// Sum and count by these keys.
pub(super) fn sums_by(on: &mut On, keys: Vec<i64>, groups: usize) -> Result<Case> {
    let n = keys.len();
    let values: Vec<i64> = random(n, 2, |r| r.next() as i64);
    let (keys, values) = (Arc::new(keys), Arc::new(values));
    let arrays: [ArrayRef; 2] = [
        Arc::new(array::<Int64Type>(keys.to_vec())),
        Arc::new(array::<Int64Type>(values.to_vec())),
    ];
    let batches = on.batches(&arrays)?;
    drop(arrays);
    let plan = plan(PhysType::I64, &[Accumulator::Sum { wide: false }, Accumulator::CountRows]);
    let theirs = (Arc::clone(&keys), Arc::clone(&values));
    let plain = |keys: &[i64], values: &[i64]| {
        let mut map: HashMap<i64, (i64, i64)> = HashMap::new();
        for (k, v) in keys.iter().zip(values) {
            let state = map.entry(*k).or_default();
            *state = (state.0.wrapping_add(*v), state.1 + 1);
        }
        map
    };
    let run = move |on: &mut On| group_by(on, &plan, &batches, groups);
    let check = move |on: &mut On, got: Grouped| {
        let got = got.finish(on)?;
        let want = plain(&keys, &values);
        if got.groups != want.len() {
            return Ok(unequal(got.groups, want.len()));
        }
        let column = |a: &ArrayRef| a.as_primitive::<Int64Type>().values().clone();
        let (sums, counts) = (column(&got.states[0][0]), column(&got.states[1][0]));
        let key = column(&got.keys[0]);
        let states = key.iter().zip(sums.iter().zip(counts.iter()));
        let wrong = states.map(|(k, s)| (k, want.get(k), (*s.0, *s.1))).find(|s| s.1 != Some(&s.2));
        Ok(wrong.map(|(k, want, got)| format!("group {k} has {got:?}, expected {want:?}")))
    };
    let case = Case::new(n, [16 * n, 24 * groups.min(n)], run, check);
    Ok(case.beside_serial("hashbrown map", move || {
        black_box(plain(&theirs.0, &theirs.1));
    }))
}

/// Sum and count by keys of two columns, which together take more than 64 bits.
fn sums_by_two(on: &mut On, n: usize) -> Result<Case> {
    let groups = n.clamp(1, 100_000);
    let numbers = random(n, 1, |r| r.below(groups) as u64);
    let keys: Vec<(i64, i32)> = numbers.iter().map(|g| (spread(*g), mix(*g) as i32)).collect();
    let values: Vec<i64> = random(n, 2, |r| r.next() as i64);
    let arrays: [ArrayRef; 3] = [
        Arc::new(array::<Int64Type>(keys.iter().map(|k| k.0).collect())),
        Arc::new(array::<Int32Type>(keys.iter().map(|k| k.1).collect())),
        Arc::new(array::<Int64Type>(values.clone())),
    ];
    let batches = on.batches(&arrays)?;
    let mut program = Program::new();
    let [first, second, argument] =
        [PhysType::I64, PhysType::I32, PhysType::I64].map(|ty| program.input(ty, false));
    let call = |accumulator, argument| AggregateCall { accumulator, argument, filter: None };
    let calls = vec![
        call(Accumulator::Sum { wide: false }, Some(argument)),
        call(Accumulator::CountRows, None),
    ];
    let plan = GroupByPlan { program, filter: None, keys: vec![first, second], calls };
    let plain = |keys: &[(i64, i32)], values: &[i64]| {
        let mut map: HashMap<(i64, i32), (i64, i64)> = HashMap::new();
        for (k, v) in keys.iter().zip(values) {
            let state = map.entry(*k).or_default();
            *state = (state.0.wrapping_add(*v), state.1 + 1);
        }
        map
    };
    let theirs = (keys.clone(), values.clone());
    let run = move |on: &mut On| group_by(on, &plan, &batches, groups);
    let check = move |on: &mut On, got: Grouped| {
        let got = got.finish(on)?;
        let want = plain(&keys, &values);
        if got.groups != want.len() {
            return Ok(unequal(got.groups, want.len()));
        }
        let column = |a: &ArrayRef| a.as_primitive::<Int64Type>().values().clone();
        let (sums, counts) = (column(&got.states[0][0]), column(&got.states[1][0]));
        let second = got.keys[1].as_primitive::<Int32Type>().values();
        let keys = column(&got.keys[0]);
        let keys = keys.iter().copied().zip(second.iter().copied());
        let mut states = keys.zip(sums.iter().zip(counts.iter()));
        let wrong = states.find(|(k, s)| want.get(k) != Some(&(*s.0, *s.1)));
        Ok(wrong.map(|(k, got)| format!("group {k:?} has {got:?}, expected {:?}", want.get(&k))))
    };
    let case = Case::new(n, [20 * n, 28 * groups], run, check);
    Ok(case.beside_serial("hashbrown map", move || {
        black_box(plain(&theirs.0, &theirs.1));
    }))
}

/// Sum and count by keys that ascend, in runs of equal length, on one thread.
fn sums_by_sorted(on: &mut On, n: usize, groups: usize) -> Result<Case> {
    let keys: Vec<i64> = (0..n).map(|row| (row * groups / n) as i64 * 3 - 7).collect();
    let values: Vec<i64> = random(n, 2, |r| r.next() as i64);
    let arrays: [ArrayRef; 2] =
        [Arc::new(array::<Int64Type>(keys.clone())), Arc::new(array::<Int64Type>(values.clone()))];
    let batches = on.batches(&arrays)?;
    let plan = plan(PhysType::I64, &[Accumulator::Sum { wide: false }, Accumulator::CountRows]);
    let plain = |keys: &[i64], values: &[i64]| {
        let mut states: Vec<(i64, i64, i64)> = Vec::new();
        for (k, v) in keys.iter().zip(values) {
            match states.last_mut() {
                Some((key, sum, count)) if key == k => {
                    (*sum, *count) = (sum.wrapping_add(*v), *count + 1)
                }
                _ => states.push((*k, *v, 1)),
            }
        }
        states
    };
    let theirs = (keys.clone(), values.clone());
    let run = move |on: &mut On| {
        let mut going = plan.start_sorted(&on.device)?;
        batches.iter().try_for_each(|b| going.update(&mut *on.queue, b, &[]))?;
        Ok(match on.is_host() {
            true => Grouped::Result(going.finish(&mut *on.queue)?),
            false => Grouped::Groups(going),
        })
    };
    let check = move |on: &mut On, got: Grouped| {
        let got = got.finish(on)?;
        let column = |a: &ArrayRef| a.as_primitive::<Int64Type>().values().clone();
        let [keys_of, sums, counts] =
            [&got.keys[0], &got.states[0][0], &got.states[1][0]].map(column);
        let states = keys_of.iter().zip(sums.iter().zip(counts.iter()));
        let states: Vec<(i64, i64, i64)> = states.map(|(k, (s, c))| (*k, *s, *c)).collect();
        Ok(differ(&states, &plain(&keys, &values)))
    };
    let case = Case::new(n, [16 * n, 24 * groups], run, check);
    Ok(case.beside_serial("std loop over runs", move || {
        black_box(plain(&theirs.0, &theirs.1));
    }))
}

/// The sorted values of each group.
fn by_key(keys: &[i64], values: &[f64]) -> BTreeMap<i64, Vec<f64>> {
    let mut map = BTreeMap::<i64, Vec<f64>>::new();
    keys.iter().zip(values).for_each(|(k, v)| map.entry(*k).or_default().push(*v));
    map.values_mut().for_each(|v| v.sort_by(f64::total_cmp));
    map
}

fn one_call(on: &mut On, n: usize, call: Accumulator) -> Result<Case> {
    let mut r = Random(1);
    let keys: Vec<i64> = (0..n).map(|_| r.below(GROUPS) as i64).collect();
    // Whole numbers, of which many are equal, so that there is something to tell apart.
    let values: Vec<f64> = (0..n).map(|_| r.below(10_000) as f64).collect();
    let arrays: [ArrayRef; 2] = [
        Arc::new(array::<Int64Type>(keys.clone())),
        Arc::new(array::<Float64Type>(values.clone())),
    ];
    let batches = on.batches(&arrays)?;
    let plan = plan(PhysType::F64, &[call]);
    let written = plan.calls.iter().flat_map(|c| c.accumulator.state_types(Some(PhysType::F64)));
    let written = 8 + written.map(|t| t.wide_bytes()).sum::<usize>();
    let run = move |on: &mut On| group_by(on, &plan, &batches, GROUPS);
    let theirs = (keys.clone(), values.clone());
    let check = move |on: &mut On, got: Grouped| {
        let got = got.finish(on)?;
        let want = by_key(&keys, &values);
        if got.groups != want.len() {
            return Ok(unequal(got.groups, want.len()));
        }
        for (row, key) in got.keys[0].as_primitive::<Int64Type>().values().iter().enumerate() {
            let values = want.get(key).map_or(&[][..], |v| v);
            if let Some(wrong) = compare(call, &got.states[0], row, values)? {
                return Ok(Some(format!("group {key}: {wrong}")));
            }
        }
        Ok(None)
    };
    let case = Case::new(n, [16 * n, written * GROUPS.min(n)], run, check);
    Ok(match call {
        Accumulator::Min => case.beside_serial("hashbrown map", move || {
            let mut map: HashMap<i64, f64> = HashMap::new();
            for (k, v) in theirs.0.iter().zip(&theirs.1) {
                let least = map.entry(*k).or_insert(*v);
                *least = least.min(*v);
            }
            black_box(map);
        }),
        Accumulator::Moments => case.beside_serial("hashbrown map, by Welford", move || {
            let mut map: HashMap<i64, (f64, f64, f64)> = HashMap::new();
            for (k, v) in theirs.0.iter().zip(&theirs.1) {
                let (n, mean, m2) = map.entry(*k).or_default();
                *n += 1.0;
                let delta = *v - *mean;
                *mean += delta / *n;
                *m2 += delta * (*v - *mean);
            }
            black_box(map);
        }),
        Accumulator::Distinct => case.beside_serial("hashbrown set of pairs", move || {
            let pairs = theirs.0.iter().zip(&theirs.1).map(|(k, v)| (*k, v.to_bits()));
            black_box(pairs.collect::<hashbrown::HashSet<_>>());
        }),
        _ => case.beside_serial("hashbrown map of lists, select", move || {
            let mut map: HashMap<i64, Vec<f64>> = HashMap::new();
            theirs.0.iter().zip(&theirs.1).for_each(|(k, v)| map.entry(*k).or_default().push(*v));
            for list in map.values_mut() {
                let middle = list.len() / 2;
                list.select_nth_unstable_by(middle, f64::total_cmp);
            }
            black_box(map);
        }),
    })
}

/// Compares the states of one group with what its sorted values give.
fn compare(call: Accumulator, states: &[ArrayRef], row: usize, values: &[f64]) -> Verdict {
    let float = |i: usize| states[i].as_primitive::<Float64Type>().value(row);
    let count = |i: usize| states[i].as_primitive::<Int64Type>().value(row);
    let n = values.len();
    Ok(match call {
        Accumulator::Min => unequal(Some(&float(0)), values.first()),
        Accumulator::Moments => {
            let mean = values.iter().sum::<f64>() / n as f64;
            let m2: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
            // A group of one value has a shift of its own, so its squared deviation is 0.
            let size = m2.max(mean * mean);
            unequal(count(0), n as i64).or(apart(float(1), mean, size)).or(apart(
                float(2),
                m2,
                size,
            ))
        }
        Accumulator::Distinct => {
            let mut different = values.to_vec();
            different.dedup();
            unequal(count(0), different.len() as i64)
        }
        _ => {
            let (low, high) = Share::HALF.places(n);
            differ(&[float(1), float(2)], &[values[low], values[high]])
        }
    })
}
