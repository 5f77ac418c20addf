//! Pipelines, group-bys, joins, and dictionaries.

use std::sync::Arc;

use arrow::{
    array::{Array, DictionaryArray, Int32Array, NullArray, StringArray, UInt8Array},
    buffer::NullBuffer,
    datatypes::DataType,
};
use conformance::Target;
use windlass_kernels::{
    DeviceBatch, DeviceColumn, KernelError, PhysType, Validity,
    aggregate::{Accumulator, AggregateCall, BitOp, GroupByPlan},
    dictionary::{DictionaryLimits, SharedDictionary},
    ir::{Program, ValueId},
    join::{JoinOptions, JoinPairs, JoinTable, Marks, Matches},
    pipeline::FilterProject,
};

use crate::{
    Bad,
    args::{ROWS, TOO_MANY},
    refuse, refused,
};

/// No value of any program here.
const NO_VALUE: ValueId = ValueId(99);

fn run(bad: &mut Bad, plan: &FilterProject, batch: &DeviceBatch, what: &str) {
    both(bad, plan, batch, &[], what);
}

fn both(
    bad: &mut Bad,
    plan: &FilterProject,
    batch: &DeviceBatch,
    tables: &[DeviceColumn],
    what: &str,
) {
    let (device, queue, reservation) = bad.on();
    let result = plan.run(device, queue, reservation, batch, tables);
    refused("pipeline::FilterProject::run", what, result);
    let (device, queue, reservation) = bad.on();
    let result = plan.evaluate(device, queue, reservation, batch, tables);
    refused("pipeline::FilterProject::evaluate", what, result);
}

/// Filters and projections.
pub(crate) fn pipelines(target: Target) {
    let mut bad = Bad::new(target);
    let mut program = Program::new();
    let keep = program.input(PhysType::Bool, true);
    let value = program.input(PhysType::I32, true);
    let twice = program.binary(windlass_kernels::ir::BinaryOp::Add, value, value, None).unwrap();
    let plan = |filter, outputs: &[ValueId]| FilterProject {
        program: program.clone(),
        filter,
        outputs: outputs.to_vec(),
    };
    let good = bad.batch(&[PhysType::Bool, PhysType::I32]);
    let plans =
        [plan(Some(keep), &[value]), plan(None, &[twice, keep]), plan(Some(keep), &[twice])];
    let mut wrong = Vec::new();
    for (what, column) in bad.bad_columns(PhysType::Bool) {
        let columns = vec![column, good.columns[1].clone()];
        wrong.push((what, DeviceBatch { rows: ROWS, columns }));
    }
    for (what, column) in bad.bad_columns(PhysType::I32) {
        let columns = vec![good.columns[0].clone(), column];
        wrong.push((what, DeviceBatch { rows: ROWS, columns }));
    }
    wrong.push(("2^31 rows", DeviceBatch { rows: TOO_MANY, ..good.clone() }));
    wrong.push(("too few columns", DeviceBatch { columns: good.columns[..1].to_vec(), ..good }));
    wrong.push(("no columns", DeviceBatch { columns: Vec::new(), ..good }));
    wrong.push(("other types", bad.batch(&[PhysType::I32, PhysType::Bool])));
    for (what, batch) in &wrong {
        for plan in &plans {
            run(&mut bad, plan, batch, what);
        }
    }
    // Inputs that pass as they are.
    let passing = plan(None, &[keep, value]);
    for (what, batch) in &wrong {
        let (device, queue, reservation) = bad.on();
        let result = passing.run(device, queue, reservation, batch, &[]);
        refused("pipeline::FilterProject::run", what, result);
    }
    for (what, plan) in [
        ("an output of no value", plan(None, &[value, NO_VALUE])),
        ("a filter of no value", plan(Some(NO_VALUE), &[value])),
        ("a filter of numbers", plan(Some(value), &[value])),
    ] {
        run(&mut bad, &plan, &good, what);
        let result = plan.supported(&*bad.device);
        refused("pipeline::FilterProject::supported", what, result);
    }
    lookups(&mut bad);
}

/// Tables of look-ups.
fn lookups(bad: &mut Bad) {
    let mut program = Program::new();
    let code = program.input(PhysType::U32, false);
    let table = program.table(PhysType::I32, true);
    let found = program.lookup(table, code).unwrap();
    let plan = FilterProject { program, filter: None, outputs: vec![found] };
    let codes = DeviceColumn {
        values: bad.words(&(0..ROWS as u32).collect::<Vec<_>>()),
        validity: Validity::All,
        ..bad.column(PhysType::U32)
    };
    let batch = DeviceBatch { rows: ROWS, columns: vec![codes] };
    both(bad, &plan, &batch, &[], "no table");
    let other = bad.column(PhysType::Bool);
    both(bad, &plan, &batch, &[other], "a table of another type");
    for (what, table) in bad.bad_columns(PhysType::I32) {
        let lies_elsewhere = what.contains("another device") || what.contains("bit 8");
        if lies_elsewhere {
            both(bad, &plan, &batch, &[table], what);
            continue;
        }
        // A table is as long as the shorter of its buffers; codes past it read nothing.
        let (device, queue, reservation) = bad.on();
        let out = plan.evaluate(device, queue, reservation, &batch, &[table]);
        assert!(out.is_ok(), "{what}: {out:?}");
    }
}

/// A group-by of the first input, with one call over the second.
fn plan(accumulator: Accumulator, argument: Option<ValueId>) -> GroupByPlan {
    let mut program = Program::new();
    let key = program.input(PhysType::I32, true);
    program.input(PhysType::I64, true);
    program.input(PhysType::Bool, true);
    let calls = vec![AggregateCall { accumulator, argument, filter: None }];
    GroupByPlan { program, filter: None, keys: vec![key], calls }
}

/// Group-bys.
pub(crate) fn group_bys(target: Target) {
    let mut bad = Bad::new(target);
    let (key, value, flag) = (ValueId(0), ValueId(1), ValueId(2));
    let max = plan(Accumulator::Max, Some(value));
    let call = |filter| AggregateCall {
        accumulator: Accumulator::Max,
        argument: Some(value),
        filter: Some(filter),
    };
    let sum = Accumulator::Sum { wide: false };
    for (what, plan) in [
        ("a key of no value", GroupByPlan { keys: vec![key, NO_VALUE], ..max.clone() }),
        ("a filter of no value", GroupByPlan { filter: Some(NO_VALUE), ..max.clone() }),
        ("a filter of numbers", GroupByPlan { filter: Some(value), ..max.clone() }),
        ("a call's filter of no value", GroupByPlan { calls: vec![call(NO_VALUE)], ..max.clone() }),
        ("a call's filter of numbers", GroupByPlan { calls: vec![call(value)], ..max.clone() }),
        ("an argument of no value", plan(Accumulator::Max, Some(NO_VALUE))),
        ("no argument", plan(Accumulator::Max, None)),
        ("an argument to count rows", plan(Accumulator::CountRows, Some(value))),
        ("a sum of booleans", plan(sum, Some(flag))),
        ("moments of integers", plan(Accumulator::Moments, Some(value))),
        ("pairs with no value", plan(Accumulator::CoMoments { other: NO_VALUE }, Some(value))),
        ("pairs of integers", plan(Accumulator::CoMoments { other: value }, Some(value))),
        ("bits of booleans", plan(Accumulator::Bits(BitOp::Or), Some(flag))),
    ] {
        let result = plan.start(&bad.device, 0).map(|_| ());
        refused("aggregate::GroupByPlan::start", what, result);
        let result = plan.start_sorted(&bad.device).map(|_| ());
        refused("aggregate::GroupByPlan::start_sorted", what, result);
        refused("aggregate::GroupByPlan::supported", what, plan.supported(&*bad.device));
    }

    let good = bad.batch(&[PhysType::I32, PhysType::I64, PhysType::Bool]);
    let mut wrong = Vec::new();
    for (at, ty) in [PhysType::I32, PhysType::I64, PhysType::Bool].into_iter().enumerate() {
        for (what, column) in bad.bad_columns(ty) {
            let mut batch = good.clone();
            batch.columns[at] = column;
            wrong.push((what, batch));
        }
    }
    wrong.push(("2^31 rows", DeviceBatch { rows: TOO_MANY, ..good.clone() }));
    wrong.push(("too few columns", DeviceBatch { columns: good.columns[..1].to_vec(), ..good }));
    wrong.push(("other types", bad.batch(&[PhysType::I64, PhysType::I32, PhysType::Bool])));
    let filtered = GroupByPlan { filter: Some(flag), ..max };
    for expected in [0, usize::MAX] {
        for (what, batch) in &wrong {
            let mut groups = filtered.start(&bad.device, expected).unwrap();
            let result = groups.update(&mut *bad.queue, batch, &[]);
            refused("aggregate::GroupBy::update", what, result);
        }
    }
    for (what, batch) in &wrong {
        let mut groups = filtered.start_sorted(&bad.device).unwrap();
        let result = groups.update(&mut *bad.queue, batch, &[]);
        refused("aggregate::GroupBy::update", what, result);
    }
}

/// Hash joins.
pub(crate) fn joins(target: Target) {
    let mut bad = Bad::new(target);
    let good = bad.batch(&[PhysType::I32, PhysType::Bool]);
    let device = Arc::clone(&bad.device);
    let options = JoinOptions::default();
    let build = |bad: &mut Bad, batch: &DeviceBatch, keys: &[usize], options| {
        let (_, queue, reservation) = bad.on();
        JoinTable::build(&device, queue, reservation, batch, keys, options)
    };
    let table = build(&mut bad, &good, &[0], options).unwrap();
    let probe = |bad: &mut Bad, batch: &DeviceBatch, keys: &[usize], what: &str| {
        let (_, queue, reservation) = bad.on();
        let result = table.probe(queue, reservation, batch, keys, true);
        refused("join::JoinTable::probe", what, result);
        let (_, queue, reservation) = bad.on();
        let result = table.exists(queue, reservation, batch, keys);
        refused("join::JoinTable::exists", what, result);
    };
    for (what, batch) in bad.bad_batches(PhysType::I32) {
        refused("join::JoinTable::build", what, build(&mut bad, &batch, &[0], options));
        probe(&mut bad, &batch, &[0], what);
    }
    for (what, keys) in [
        ("no keys", &[][..]),
        ("a column that is not there", &[2]),
        ("a column that is not there", &[0, usize::MAX]),
    ] {
        refused("join::JoinTable::build", what, build(&mut bad, &good, keys, options));
        probe(&mut bad, &good, keys, what);
    }
    probe(&mut bad, &good, &[1], "keys of another type");
    probe(&mut bad, &good, &[0, 1], "more keys");
    for max_pairs in [0, TOO_MANY, usize::MAX] {
        let options = JoinOptions { max_pairs, ..options };
        let what = "pieces of so many pairs";
        refused("join::JoinTable::build", what, build(&mut bad, &good, &[0], options));
    }

    let pairs = |build, n| JoinPairs { probe: bad.zeros(4), build, n };
    let wrong = [
        ("too few pairs", pairs(bad.zeros(4), 5)),
        ("pairs past counting", pairs(bad.zeros(4), usize::MAX)),
        ("pairs on another device", pairs(bad.elsewhere(4), 4)),
    ];
    let marked = JoinOptions { marks: Marks::Pairs, ..options };
    let marked = build(&mut bad, &good, &[0], marked).unwrap();
    for (what, pairs) in &wrong {
        let (_, queue, reservation) = bad.on();
        let result = marked.mark_matched(queue, reservation, pairs);
        refused("join::JoinTable::mark_matched", what, result);
    }
    let what = "a join without marks";
    let (_, queue, reservation) = bad.on();
    let right = JoinPairs { n: 0, ..wrong[0].1.clone() };
    let result = table.mark_matched(queue, reservation, &right);
    refused("join::JoinTable::mark_matched", what, result);
    let result = table.build_marks(queue, reservation);
    refused("join::JoinTable::build_marks", what, result);
    let result = table.matched_build(queue, reservation);
    refused("join::JoinTable::matched_build", what, result);
    let result = table.unmatched_build(queue, reservation);
    refused("join::JoinTable::unmatched_build", what, result);

    for rows in [TOO_MANY, usize::MAX] {
        refuse!(bad, "too many rows", Matches::none(rows));
    }
    let (device, queue, reservation) = bad.on();
    let matches = Matches::none(device, queue, reservation, ROWS).unwrap();
    for (what, JoinPairs { build, n, .. }) in &wrong {
        let (device, queue, reservation) = bad.on();
        let result = matches.add(device, queue, reservation, build, *n);
        refused("join::Matches::add", what, result);
    }
    // Numbers of no row are passed over.
    let outside = bad.words(&[ROWS as u32, u32::MAX, 1 << 31, 3]);
    let (device, queue, reservation) = bad.on();
    matches.add(device, queue, reservation, &outside, 4).unwrap();
    assert_eq!(matches.rows(device, queue, reservation, true).unwrap().n, 1);
    let other = Arc::clone(&bad.other);
    let (mut queue, mut reservation) = (other.queue().unwrap(), other.pool().reserve(0).unwrap());
    let what = "matches of another device";
    let result = matches.rows(&*other, &mut *queue, &mut reservation, true);
    refused("join::Matches::rows", what, result);
    let result = matches.column(&*other, &mut *queue, &mut reservation);
    refused("join::Matches::column", what, result);
}

/// Dictionaries are the host's alone.
#[test]
fn dictionaries() {
    let dictionary =
        SharedDictionary::new(&["a".into(), "b".into()], DictionaryLimits::default()).unwrap();
    let arrays: [&dyn Array; 2] = [&Int32Array::from(vec![1]), &NullArray::new(3)];
    for array in arrays {
        refused("dictionary::encode", "an array of no texts", dictionary.encode(array));
    }
    let decode = |codes: &[u32], nulls: Option<Vec<bool>>, ty| {
        dictionary.decode(codes, nulls.map(NullBuffer::from), &ty)
    };
    for ty in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
        let what = "a code of no text";
        refused("dictionary::decode", what, decode(&[0, 2], None, ty.clone()));
        refused("dictionary::decode", what, decode(&[u32::MAX], None, ty.clone()));
        for nulls in [vec![], vec![true], vec![true; 3]] {
            let what = "nulls of another length";
            refused("dictionary::decode", what, decode(&[0, 1], Some(nulls), ty.clone()));
        }
    }
    let keyed = DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8));
    let what = "nulls of another length";
    refused("dictionary::decode", what, decode(&[0, 1], Some(vec![true]), keyed));
    refused("dictionary::decode", "numbers", decode(&[0], None, DataType::Int32));
    // A dictionary without values: every row is null.
    let keys = UInt8Array::from(vec![None, None]);
    let empty = DictionaryArray::new(keys, Arc::new(StringArray::from(Vec::<&str>::new())));
    let codes = dictionary.encode(&empty).unwrap();
    assert_eq!((codes.len(), codes.null_count()), (2, 2));
    let few = DictionaryLimits { values: 1, bytes: 10 };
    let few = SharedDictionary::new(&[], few).unwrap();
    let result = few.encode(&StringArray::from(vec!["a", "b"]));
    assert!(matches!(result, Err(KernelError::Unsupported { .. })), "{result:?}");
}
