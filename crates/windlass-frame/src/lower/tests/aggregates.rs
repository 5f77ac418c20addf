//! Partial states and final values of aggregates against DataFusion's `AggregateExec`.

use std::sync::Arc;

use arrow::{array::RecordBatch, compute::concat_batches};
use datafusion::{
    physical_plan::{
        ExecutionPlan,
        aggregates::{AggregateExec, AggregateMode},
        replace_children_if_necessary,
    },
    scalar::ScalarValue,
};
use windlass_device::{Device, DeviceOptions, cpu::CpuDevice};
use windlass_kernels::aggregate::GroupByResult;

use super::{Query, aggregations, data, lower_chain, mode, run_all, same};
use crate::{
    batch::{DictionaryLimits, DictionarySet, upload},
    lower::{AggregatePlan, Unsupported},
};

/// Sums of floats are added in another order: relative to the largest of about a thousand
/// terms, a few thousand units in the last place.
const REORDERED: f64 = 1e-11;

fn lower(node: &Arc<dyn ExecutionPlan>) -> Result<AggregatePlan, Unsupported> {
    let exec = node.downcast_ref::<AggregateExec>().unwrap();
    lower_chain(exec.input())?.aggregate(exec)
}

fn run(plan: &AggregatePlan, batches: &[RecordBatch]) -> (GroupByResult, DictionarySet) {
    let device: Arc<dyn Device> = Arc::new(CpuDevice::new(&DeviceOptions::default()));
    let dictionaries = DictionarySet::new(Arc::clone(&plan.tables), DictionaryLimits::default());
    let mut queue = device.queue().unwrap();
    let q = queue.as_mut();
    let mut reservation = device.pool().reserve(0).unwrap();
    let mut group_by = plan.kernel.start(&device, 0).unwrap();
    for batch in batches {
        let uploaded =
            upload(&*device, q, &mut reservation, batch, &plan.input, &dictionaries).unwrap();
        let tables = dictionaries.tables(&*device, q, &mut reservation).unwrap();
        group_by.update(q, &uploaded, &tables).unwrap();
    }
    (group_by.finish(q).unwrap(), dictionaries)
}

/// Rows as values, sorted by their text.
fn rows(batch: &RecordBatch) -> Vec<Vec<ScalarValue>> {
    let row = |i: usize| {
        batch.columns().iter().map(|c| ScalarValue::try_from_array(c, i).unwrap()).collect()
    };
    let mut rows: Vec<Vec<ScalarValue>> = (0..batch.num_rows()).map(row).collect();
    rows.sort_by_key(|r| format!("{r:?}"));
    rows
}

fn compare_rows(what: &str, want: &RecordBatch, got: &RecordBatch) -> Result<(), String> {
    if want.schema() != got.schema() {
        return Err(format!("{what}: {:?}, got {:?}", want.schema(), got.schema()));
    }
    let (want, got) = (rows(want), rows(got));
    if want.len() != got.len() {
        return Err(format!("{what}: {} groups, got {}", want.len(), got.len()));
    }
    let equal = |(w, g): &(&Vec<ScalarValue>, &Vec<ScalarValue>)| {
        w.iter().zip(g.iter()).all(|(a, b)| same(a, b, REORDERED))
    };
    match want.iter().zip(&got).find(|pair| !equal(pair)) {
        Some((w, g)) => Err(format!("{what}: {w:?}, got {g:?}")),
        None => Ok(()),
    }
}

/// Checks final values of a single aggregation, and partial states of a partial one: the
/// states themselves, and what DataFusion makes of them.
async fn compare(sql: &str, batch: &RecordBatch) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| format!("{sql}: {e}");
    let single = Query::try_plan(sql, batch, 1).await.map_err(|e| text(&e))?;
    // Counts of all rows are answered from the statistics.
    let Some(node) = aggregations(&single.plan).into_iter().next() else {
        return if sql.starts_with("SELECT count") && !sql.contains("GROUP BY") {
            Ok(())
        } else {
            Err(text(&"no aggregation"))
        };
    };
    let leaf = super::leaf_of(&node, batch);
    let halves = [
        leaf.slice(0, leaf.num_rows() / 3),
        leaf.slice(leaf.num_rows() / 3, leaf.num_rows() - leaf.num_rows() / 3),
    ];
    let plan = lower(&node).map_err(|e| text(&e))?;
    let (result, dictionaries) = run(&plan, &halves);
    let want = run_all(&node).await;
    if matches!(mode(&node), AggregateMode::Single | AggregateMode::SinglePartitioned) {
        let got = plan.finals(&result, &dictionaries, &node.schema()).map_err(|e| text(&e))?;
        compare_rows(sql, &want, &got)?;
    }
    // Over two partitions DataFusion aggregates partially first.
    let parallel = Query::plan(sql, batch, 2).await;
    let nodes = aggregations(&parallel.plan);
    let Some(partial) = nodes.iter().find(|n| mode(n) == AggregateMode::Partial) else {
        return Ok(());
    };
    let plan = lower_partial(partial).map_err(|e| text(&e))?;
    if plan.whole_only().is_some() {
        return Ok(());
    }
    let (result, dictionaries) = run(&plan, &halves);
    let states = plan.partial(&result, &dictionaries, &partial.schema()).map_err(|e| text(&e))?;
    // Its final aggregation over our states.
    let last = nodes.first().unwrap();
    let context = datafusion::prelude::SessionContext::new();
    let empty = RecordBatch::new_empty(partial.schema());
    let source = datafusion::datasource::memory::MemorySourceConfig::try_new_exec(
        &[vec![states, empty]],
        partial.schema(),
        None,
    )
    .unwrap();
    let exec = last.downcast_ref::<AggregateExec>().unwrap();
    let last = AggregateExec::try_new(
        AggregateMode::Final,
        exec.group_expr().clone(),
        exec.aggr_expr().to_vec(),
        exec.filter_expr().to_vec(),
        source,
        exec.input_schema(),
    )
    .unwrap();
    let got = datafusion::physical_plan::collect(Arc::new(last), context.task_ctx()).await.unwrap();
    let got = concat_batches(&want.schema(), &got).unwrap();
    compare_rows(&format!("{sql}, from states"), &want, &got)
}

/// Compares all, and fails with all that differ.
async fn check_all(queries: &[String], batch: &RecordBatch) {
    let mut failed = Vec::new();
    for sql in queries {
        failed.extend(compare(sql, batch).await.err());
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), queries.len(), failed.join("\n"));
}

/// As [`lower`], through the nodes that only move rows between partitions.
fn lower_partial(node: &Arc<dyn ExecutionPlan>) -> Result<AggregatePlan, Unsupported> {
    let exec = node.downcast_ref::<AggregateExec>().unwrap();
    lower_chain(&without_exchange(exec.input()))?.aggregate(exec)
}

fn without_exchange(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let children: Vec<_> = plan.children().into_iter().map(without_exchange).collect();
    match (plan.name(), &children[..]) {
        ("RepartitionExec" | "CoalescePartitionsExec" | "CoalesceBatchesExec", [child]) => {
            Arc::clone(child)
        }
        (_, []) => Arc::clone(plan),
        _ => replace_children_if_necessary(Arc::clone(plan), children).unwrap(),
    }
}

#[tokio::test]
async fn all_aggregates() {
    let batch = data(900, 21, false);
    let mut queries = Vec::new();
    for aggregates in [
        "count(*)",
        "count(i32), count(*), count(s)",
        "sum(i32), sum(u8), sum(f64), sum(f32)",
        "sum(d7), sum(d18), sum(d25), sum(d38)",
        "avg(i32), avg(f64)",
        "avg(d7), avg(d18)",
        "min(i8), max(i16), min(u64), max(f32), min(f64), min(date), max(tns), min(d7), max(d38)",
        "min(b), max(c), bool_and(b), bool_or(c)",
        "var(f64), var_pop(f64), stddev(i32), stddev_pop(f64)",
        "sum(i32) FILTER (WHERE b), count(*) FILTER (WHERE i32 > 0), avg(d7) FILTER (WHERE c)",
        "sum(i32 * k + 1), avg(d7 + d7), count(nullif(k, 2)), sum(CASE WHEN b THEN 1 ELSE 0 END)",
        "sum(i32), avg(i32), count(i32), min(i32), max(i32)",
        "sum(100 / nullif(k, 0)) FILTER (WHERE k > 0)",
        "corr(f64, g64), covar_samp(f64, i32), covar_pop(g64, f64), corr(i32, k)",
        "regr_slope(f64, g64), regr_intercept(f64, i32), regr_count(g64, f64), regr_r2(f64, g64)",
        "regr_avgx(f64, i32), regr_avgy(f64, i32), regr_sxx(f64, g64), regr_syy(f64, g64), regr_sxy(f64, g64)",
        "corr(f64, g64) FILTER (WHERE b), covar_pop(f64, g64) FILTER (WHERE i32 > 0)",
        "bit_and(i32), bit_or(i8), bit_xor(i64), bit_and(u64), bit_or(u8), bit_xor(k) FILTER (WHERE b)",
        "median(f64), median(f32), median(i32), median(d7), median(d18), median(d25), median(d38)",
        "median(f64) FILTER (WHERE b), percentile_cont(0.3) WITHIN GROUP (ORDER BY f64)",
        "percentile_cont(0.9) WITHIN GROUP (ORDER BY f32 DESC), percentile_cont(0.05) WITHIN GROUP (ORDER BY i32)",
        "count(DISTINCT i32), count(DISTINCT s), count(DISTINCT b), count(DISTINCT d25), count(*)",
        "count(DISTINCT f64), count(DISTINCT i8) FILTER (WHERE c), count(DISTINCT date), avg(i32)",
    ] {
        for keys in [
            "",
            "k",
            "s",
            "sv, b",
            "sd",
            "date_part('year', date), upper(s)",
            "d18, f32",
            "i8, k, c",
        ] {
            let sql = match keys {
                "" => format!("SELECT {aggregates} FROM t"),
                keys => format!("SELECT {keys}, {aggregates} FROM t GROUP BY {keys}"),
            };
            queries.push(sql);
        }
    }
    check_all(&queries, &batch).await;
}

/// Orders end with the row's number, so that no two rows are equal; the rows come in order of
/// it, which is the order where none is given.
#[tokio::test]
async fn first_and_last_values() {
    let batch = data(700, 25, false);
    let mut queries = Vec::new();
    for aggregates in [
        "first_value(i32 ORDER BY row), last_value(i32 ORDER BY row), first_value(s ORDER BY row DESC)",
        "last_value(sv ORDER BY f64, row), first_value(sd ORDER BY f32 DESC, b, row), count(*)",
        "first_value(d25 ORDER BY d38 DESC NULLS LAST, row), last_value(d7 ORDER BY d18, row)",
        "first_value(i8 ORDER BY i64 DESC, row) IGNORE NULLS, last_value(b ORDER BY date, row) IGNORE NULLS",
        "last_value(f32 ORDER BY i16 NULLS FIRST, row) FILTER (WHERE b), sum(i32)",
        "first_value(date ORDER BY abs(i16 + k), row) FILTER (WHERE i32 > 0), last_value(i32 + 1 ORDER BY row)",
        "first_value(u64), last_value(tns), first_value(i16) IGNORE NULLS, last_value(s) IGNORE NULLS",
    ] {
        queries.push(format!("SELECT {aggregates} FROM t"));
        for keys in ["k", "s, b", "i8"] {
            queries.push(format!("SELECT {keys}, {aggregates} FROM t GROUP BY {keys}"));
        }
    }
    queries.push("SELECT first_value(s ORDER BY row) FROM t WHERE row < 0".into());
    check_all(&queries, &batch).await;
}

#[tokio::test]
async fn filters_below_and_empty_inputs() {
    let batch = data(300, 22, false);
    let queries = [
        "SELECT k, sum(i32 / k), avg(f64), count(*) FROM t WHERE k <> 0 GROUP BY k",
        "SELECT sum(i32), avg(i32), avg(d7), count(*), count(i8), min(i8), var(f64), stddev_pop(f64) FROM t WHERE i32 > 100000",
        "SELECT s, sum(i32), avg(d7) FROM t WHERE i32 > 100000 GROUP BY s",
        "SELECT x, count(*) FROM (SELECT CASE WHEN i32 > 0 THEN 'plus' ELSE s END AS x FROM t WHERE b) GROUP BY x",
        "SELECT k FROM t GROUP BY k",
        "SELECT DISTINCT s, k FROM t",
        "SELECT k, var(f64), avg(i32) FROM t WHERE row < 3 GROUP BY k",
    ]
    .map(String::from);
    check_all(&queries, &batch).await;
}

#[tokio::test]
async fn wrapping_sums_and_extremes() {
    let batch = data(200, 23, true);
    let queries = [
        "SELECT k, sum(i64), sum(u64), min(i64), max(u64), min(u8), max(d7) FROM t GROUP BY k",
        "SELECT f64, count(*) FROM t WHERE f64 > 0 GROUP BY f64",
    ]
    .map(String::from);
    check_all(&queries, &batch).await;
}

#[tokio::test]
async fn what_is_not_lowered_says_why() {
    let batch = data(20, 24, false);
    for (sql, word) in [
        ("SELECT sum(DISTINCT i32), count(DISTINCT k) FROM t", "DISTINCT"),
        ("SELECT k, max(s) FROM t GROUP BY k", "value order"),
        ("SELECT k, b, count(*) FROM t GROUP BY ROLLUP (k, b)", "ROLLUP"),
        ("SELECT approx_distinct(i32) FROM t", "no device form"),
        ("SELECT median(DISTINCT f64), count(DISTINCT k) FROM t", "median of DISTINCT"),
        ("SELECT avg(d38) FROM t", "no device form"),
        ("SELECT first_value(i32 ORDER BY s) FROM t", "value order"),
        ("SELECT last_value(i32 ORDER BY i8, i16, k, b, row) FROM t", "ORDER BY 5 keys"),
        ("SELECT string_agg(s, ',') FROM t", "2 arguments"),
    ] {
        let query = Query::plan(sql, &batch, 1).await;
        let nodes = aggregations(&query.plan);
        let node = nodes.last().unwrap();
        match lower(node) {
            Ok(_) => panic!("{sql} was lowered"),
            Err(e) => assert!(e.reason.contains(word), "{sql}: {e}"),
        }
    }
}
