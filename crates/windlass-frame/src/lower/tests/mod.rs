//! Lowering against DataFusion's own evaluation: every query is planned by DataFusion, run
//! by it, and run lowered on the `cpu` device.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
        Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
        LargeStringArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
        TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array,
        UInt16Array, UInt32Array, UInt64Array,
    },
    compute::{concat_batches, filter_record_batch},
    datatypes::{DataType, Field, Int32Type, Schema},
};
use datafusion::{
    physical_plan::{
        ExecutionPlan,
        aggregates::{AggregateExec, AggregateMode},
        collect,
        filter::FilterExec,
        projection::ProjectionExec,
    },
    prelude::{SessionConfig, SessionContext},
    scalar::ScalarValue,
};
use windlass_device::{Device, DeviceOptions, cpu::CpuDevice};
use windlass_kernels::KernelError;

use super::{Lowering, PipelinePlan, Unsupported};
use crate::batch::{DictionaryLimits, DictionarySet, download, upload};

mod aggregates;
mod expressions;
mod random;
mod strings;

/// Numbers that repeat from a seed (splitmix64).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An integer in `low..=high`.
    pub(super) fn within(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    /// One in ten is null.
    fn some<T>(&mut self, value: T) -> Option<T> {
        (!self.next().is_multiple_of(10)).then_some(value)
    }
}

const WORDS: [&str; 12] = [
    "",
    "a",
    "ab",
    "Hello",
    "héllo",
    "twelve chars",
    "thirteen char",
    "late",
    "on time",
    "a rather longer string that is not inline",
    "100%",
    "2013-05-07",
];

/// Integers at the edges of a type, and a few others.
fn edges(low: i128, high: i128) -> Vec<i128> {
    let mut values = vec![low, low + 1, high, high - 1, 0, 1, 2, 7, 100];
    if low < 0 {
        values.extend([-1, -2, -7, -100]);
    }
    values
}

/// A batch with a column of each type. `wild` takes the edges of every type, else numbers
/// with which ordinary arithmetic does not overflow.
pub(super) fn data(rows: usize, seed: u64, wild: bool) -> RecordBatch {
    let mut n = Numbers(seed);
    let mut int = |low: i128, high: i128, mild: (i64, i64)| -> Vec<Option<i128>> {
        let edges = edges(low, high);
        let mut one = || match wild {
            true => edges[(n.next() % edges.len() as u64) as usize],
            false => i128::from(n.within(mild.0, mild.1)),
        };
        let values: Vec<i128> = (0..rows).map(|_| one()).collect();
        values.into_iter().map(|v| n.some(v)).collect()
    };
    let max_decimal = |p: u32| 10i128.pow(p) - 1;
    let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
    macro_rules! ints {
        ($($name:literal $array:ident $native:ident $mild:expr),*) => {$(
            let values = int($native::MIN as i128, $native::MAX as i128, $mild);
            let array: $array = values.into_iter().map(|v| v.map(|v| v as $native)).collect();
            columns.push(($name, Arc::new(array)));
        )*};
    }
    ints!("i8" Int8Array i8 (-9, 9), "i16" Int16Array i16 (-99, 99), "i32" Int32Array i32 (-500, 500),
        "i64" Int64Array i64 (-5000, 5000), "u8" UInt8Array u8 (0, 9), "u16" UInt16Array u16 (0, 99),
        "u32" UInt32Array u32 (0, 500), "u64" UInt64Array u64 (0, 5000),
        "k" Int32Array i32 (0, 5), "date" Date32Array i32 (-30_000, 40_000),
        "ts" TimestampSecondArray i64 (-2_000_000_000, 4_000_000_000),
        "tms" TimestampMillisecondArray i64 (-2_000_000_000_000, 4_000_000_000_000),
        "tus" TimestampMicrosecondArray i64 (-2_000_000_000_000_000, 4_000_000_000_000_000),
        "tns" TimestampNanosecondArray i64 (-2_000_000_000_000_000_000, 4_000_000_000_000_000_000));
    for (name, p, s) in [("d7", 7, 2), ("d18", 18, 4), ("d25", 25, 6), ("d38", 38, 10)] {
        let max = max_decimal(p);
        let values = int(-max, max, (-9_999_999, 9_999_999));
        let array: Decimal128Array = values.into_iter().collect();
        columns.push((name, Arc::new(array.with_precision_and_scale(p as u8, s).unwrap())));
    }
    let floats = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.5,
        1e300,
        -1e300,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        -f64::NAN,
        f64::MIN_POSITIVE,
        123.456,
        -7.25,
        1e10,
    ];
    let mut float = || -> Vec<Option<f64>> {
        let mut one = || match wild {
            true => floats[(n.next() % floats.len() as u64) as usize],
            false => n.within(-400, 4000) as f64 / 8.0,
        };
        let values: Vec<f64> = (0..rows).map(|_| one()).collect();
        values.into_iter().map(|v| n.some(v)).collect()
    };
    columns.push(("f64", Arc::new(Float64Array::from(float()))));
    columns.push(("g64", Arc::new(Float64Array::from(float()))));
    let f32s: Float32Array = float().into_iter().map(|v| v.map(|v| v as f32)).collect();
    columns.push(("f32", Arc::new(f32s)));
    let mut bools = || (0..rows).map(|_| n.next().is_multiple_of(2)).collect::<Vec<_>>();
    let (b, c) = (bools(), bools());
    let b: BooleanArray = b.into_iter().map(|v| n.some(v)).collect();
    let c: BooleanArray = c.into_iter().map(|v| n.some(v)).collect();
    columns.push(("b", Arc::new(b)));
    columns.push(("c", Arc::new(c)));
    let mut words = || -> Vec<Option<&str>> {
        let one = |n: &mut Numbers| WORDS[(n.next() % WORDS.len() as u64) as usize];
        (0..rows).map(|_| one(&mut n)).collect::<Vec<_>>().into_iter().map(|v| n.some(v)).collect()
    };
    columns.push(("s", Arc::new(StringArray::from(words()))));
    columns.push(("sl", Arc::new(LargeStringArray::from(words()))));
    columns.push(("sv", Arc::new(StringViewArray::from(words()))));
    let coded: DictionaryArray<Int32Type> = words().into_iter().collect();
    columns.push(("sd", Arc::new(coded)));
    let numbers: Vec<i64> = (0..rows as i64).collect();
    let plain: Vec<&str> = (0..rows).map(|i| WORDS[i % WORDS.len()]).collect();
    let mut fields: Vec<Field> =
        columns.iter().map(|(name, a)| Field::new(*name, a.data_type().clone(), true)).collect();
    let mut arrays: Vec<ArrayRef> = columns.into_iter().map(|(_, a)| a).collect();
    fields.push(Field::new("row", DataType::Int64, false));
    arrays.push(Arc::new(Int64Array::from(numbers)));
    fields.push(Field::new("sn", DataType::Utf8, false));
    arrays.push(Arc::new(StringArray::from(plain)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// Filters, projections and an aggregation over one batch, as DataFusion planned them.
pub(super) struct Query {
    plan: Arc<dyn ExecutionPlan>,
}

impl Query {
    /// Plans a query over table `t`, which has the columns of `like`.
    pub(super) async fn plan(sql: &str, like: &RecordBatch, partitions: usize) -> Self {
        Self::try_plan(sql, like, partitions).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// As [`Query::plan`], where DataFusion may refuse the query.
    pub(super) async fn try_plan(
        sql: &str,
        like: &RecordBatch,
        partitions: usize,
    ) -> datafusion::error::Result<Self> {
        let config = SessionConfig::new().with_target_partitions(partitions);
        let context = SessionContext::new_with_config(config);
        context.register_batch("t", like.clone())?;
        let plan = context.sql(sql).await?.create_physical_plan().await?;
        Ok(Self { plan })
    }

    /// The plan lowered down to its leaf.
    pub(super) fn lower(&self) -> Result<PipelinePlan, Unsupported> {
        lower_chain(&self.plan)?.finish()
    }
}

/// The chain that ends in `plan`.
pub(super) fn lower_chain(plan: &Arc<dyn ExecutionPlan>) -> Result<Lowering, Unsupported> {
    if let Some(p) = plan.downcast_ref::<ProjectionExec>() {
        let mut chain = lower_chain(p.input())?;
        let exprs: Vec<_> = p.expr().iter().map(|e| Arc::clone(&e.expr)).collect();
        chain.project(&exprs, plan.schema())?;
        return Ok(chain);
    }
    if let Some(f) = plan.downcast_ref::<FilterExec>() {
        let mut chain = lower_chain(f.input())?;
        chain.filter(f.predicate())?;
        if let Some(columns) = f.projection() {
            chain.select(columns)?;
        }
        return Ok(chain);
    }
    assert!(plan.children().is_empty(), "an unexpected node: {}", plan.name());
    Ok(Lowering::new(plan.schema()))
}

/// What DataFusion's expressions give for a batch of the leaf.
pub(super) fn expected(
    plan: &Arc<dyn ExecutionPlan>,
    batch: &RecordBatch,
) -> datafusion::error::Result<RecordBatch> {
    if let Some(p) = plan.downcast_ref::<ProjectionExec>() {
        let input = expected(p.input(), batch)?;
        let rows = input.num_rows();
        if rows == 0 {
            // A filter passes no empty batch on; constants could fail over one.
            return Ok(RecordBatch::new_empty(plan.schema()));
        }
        let columns = p.expr().iter().map(|e| e.expr.evaluate(&input)?.into_array(rows));
        let columns = columns.collect::<datafusion::error::Result<Vec<_>>>()?;
        return Ok(RecordBatch::try_new(plan.schema(), columns)?);
    }
    if let Some(f) = plan.downcast_ref::<FilterExec>() {
        let input = expected(f.input(), batch)?;
        let keep = f.predicate().evaluate(&input)?.into_array(input.num_rows())?;
        let kept = filter_record_batch(&input, keep.as_boolean())?;
        return Ok(match f.projection() {
            Some(columns) => kept.project(columns)?,
            None => kept,
        });
    }
    // The leaf may read some columns only.
    let names: Vec<usize> =
        plan.schema().fields().iter().map(|f| batch.schema().index_of(f.name()).unwrap()).collect();
    Ok(batch.project(&names)?)
}

/// A plan ready to run on the `cpu` device, with its dictionaries.
pub(super) struct Lowered {
    plan: PipelinePlan,
    dictionaries: DictionarySet,
    device: CpuDevice,
}

impl Lowered {
    pub(super) fn new(plan: PipelinePlan) -> Self {
        let dictionaries =
            DictionarySet::new(Arc::clone(&plan.tables), DictionaryLimits::default());
        Self { plan, dictionaries, device: CpuDevice::new(&DeviceOptions::default()) }
    }

    pub(super) fn run(&self, batch: &RecordBatch) -> Result<RecordBatch, KernelError> {
        let device = &self.device;
        let mut queue = device.queue()?;
        let mut reservation = device.pool().reserve(0)?;
        let (input, q) = (&self.plan.input, queue.as_mut());
        let uploaded = upload(device, q, &mut reservation, batch, input, &self.dictionaries)?;
        let tables = self.dictionaries.tables(device, q, &mut reservation)?;
        let out = self.plan.kernel.run(device, q, &mut reservation, &uploaded, &tables)?;
        download(q, &out, &self.plan.outputs, &self.plan.schema, &self.dictionaries)
    }
}

/// Whether two values are equal; floats within `tolerance` (relative) of each other.
fn same(a: &ScalarValue, b: &ScalarValue, tolerance: f64) -> bool {
    let float = |v: &ScalarValue| match v {
        ScalarValue::Float64(Some(v)) => Some(*v),
        ScalarValue::Float32(Some(v)) => Some(f64::from(*v)),
        _ => None,
    };
    match (float(a), float(b)) {
        (Some(x), Some(y)) if x.is_nan() || y.is_nan() => x.is_nan() && y.is_nan(),
        (Some(x), Some(y)) if tolerance > 0.0 => {
            x == y || (x - y).abs() <= tolerance * x.abs().max(y.abs())
        }
        _ => a == b,
    }
}

/// The first row and column in which two batches differ.
pub(super) fn difference(want: &RecordBatch, got: &RecordBatch, tolerance: f64) -> Option<String> {
    if (want.num_rows(), want.num_columns()) != (got.num_rows(), got.num_columns()) {
        return Some(format!("{} rows, got {}", want.num_rows(), got.num_rows()));
    }
    for (c, (w, g)) in want.columns().iter().zip(got.columns()).enumerate() {
        if w.data_type() != g.data_type() {
            return Some(format!("column {c} is {}, got {}", w.data_type(), g.data_type()));
        }
        if let Err(e) = g.to_data().validate_full() {
            return Some(format!("column {c}: {e}"));
        }
        for row in 0..want.num_rows() {
            let value = |a: &ArrayRef| ScalarValue::try_from_array(a, row).unwrap();
            let (w, g) = (value(w), value(g));
            if !same(&w, &g, tolerance) {
                return Some(format!("column {c}, row {row}: {w:?}, got {g:?}"));
            }
        }
    }
    None
}

/// Fails where two batches differ.
pub(super) fn assert_same(what: &str, want: &RecordBatch, got: &RecordBatch, tolerance: f64) {
    if let Some(d) = difference(want, got, tolerance) {
        panic!("{what}: {d}");
    }
}

/// Compares a query over `batch`: as a whole, and each row on its own, where DataFusion's
/// error must be ours too. (Over many rows DataFusion also evaluates the right side of AND
/// where the left side is false; that error is not ours.)
pub(super) async fn compare(sql: &str, batch: &RecordBatch, tolerance: f64) -> Result<(), String> {
    let query = Query::try_plan(sql, batch, 1).await.map_err(|e| format!("{sql}: {e}"))?;
    let lowered = Lowered::new(query.lower().map_err(|e| format!("{sql}: {e}"))?);
    let leaf = leaf_of(&query.plan, batch);
    let compare = |batch: &RecordBatch, what: &str| {
        let failed = |text: String| Err(format!("{sql}, {what}: {text}"));
        match (expected(&query.plan, batch), lowered.run(batch)) {
            (Ok(want), Ok(got)) => difference(&want, &got, tolerance).map_or(Ok(()), failed),
            (Err(_), Err(_)) => Ok(()),
            (Err(_), Ok(_)) if batch.num_rows() > 1 => Ok(()),
            (Ok(want), Err(e)) => failed(format!("{e}, for {:?}", want.columns().first())),
            (Err(e), Ok(got)) => failed(format!("{:?}, for: {e}", got.columns().first())),
        }
    };
    compare(&leaf, "whole")?;
    for row in 0..leaf.num_rows() {
        let inputs = leaf.slice(row, 1);
        compare(&inputs, &format!("row {row}")).map_err(|e| format!("{e} of {inputs:?}"))?;
    }
    compare(&leaf.slice(0, 0), "no rows")
}

/// Compares queries over batches, and fails with all that differ.
pub(super) async fn check_all(queries: &[String], batches: &[RecordBatch], tolerance: f64) {
    let mut failed = Vec::new();
    for sql in queries {
        for batch in batches {
            if let Err(e) = compare(sql, batch, tolerance).await {
                failed.push(e);
                break;
            }
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), queries.len(), failed.join("\n"));
}

/// Checks that a query is refused, and gives the reason.
pub(super) async fn refused(sql: &str, batch: &RecordBatch) -> String {
    let query = Query::plan(sql, batch, 1).await;
    match query.lower() {
        Ok(_) => panic!("{sql} was lowered"),
        Err(e) => e.reason,
    }
}

/// The columns of `batch` that the plan's leaf has.
fn leaf_of(plan: &Arc<dyn ExecutionPlan>, batch: &RecordBatch) -> RecordBatch {
    let mut leaf = plan;
    while let [child] = leaf.children()[..] {
        leaf = child;
    }
    expected(leaf, batch).unwrap()
}

/// Runs the plan of DataFusion as it is.
pub(super) async fn run_all(plan: &Arc<dyn ExecutionPlan>) -> RecordBatch {
    let context = SessionContext::new();
    let batches = collect(Arc::clone(plan), context.task_ctx()).await.unwrap();
    concat_batches(&plan.schema(), &batches).unwrap()
}

/// The aggregation nodes of a plan, the last one first.
pub(super) fn aggregations(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
    let mut found = Vec::new();
    let mut at = Some(plan);
    while let Some(node) = at {
        if node.downcast_ref::<AggregateExec>().is_some() {
            found.push(Arc::clone(node));
        }
        at = node.children().first().copied();
    }
    found
}

/// The mode of an aggregation node.
pub(super) fn mode(plan: &Arc<dyn ExecutionPlan>) -> AggregateMode {
    *plan.downcast_ref::<AggregateExec>().unwrap().mode()
}
