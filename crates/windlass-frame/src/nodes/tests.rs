//! Queries on devices against DataFusion's own answers; plan shapes; figures; faults.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array,
        Int32Array, Int64Array, RecordBatch, StringArray, types::Int32Type,
    },
    datatypes::DataType,
    util::display::array_value_to_string,
};
use datafusion::{
    datasource::MemTable,
    execution::session_state::SessionStateBuilder,
    physical_plan::{ExecutionPlan, collect, displayable},
    prelude::{SessionConfig, SessionContext},
};
use windlass_device::{DeviceName, DeviceOptions, fault::FaultPlan};

use crate::{
    nodes::{DeviceAggregateExec, DeviceFailure, DeviceUploadExec},
    plan::{DeviceSet, PlaceOnDevice, PlacementOptions},
};

mod resident;

const ROWS: usize = 20_000;
const PARTITIONS: usize = 4;

/// A table with every kind of column, nulls in most, the same at every call.
fn table() -> MemTable {
    let mut seed = 7_u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let mut partitions = Vec::new();
    for _ in 0..PARTITIONS {
        let n = ROWS / PARTITIONS;
        let mut rows = |null_in: u64| -> Vec<Option<u64>> {
            let value = |_| (next() % null_in != 0).then(&mut next);
            (0..n).map(value).collect()
        };
        let strings = ["alpha", "beta", "gamma", "delta", "", "epsilon"];
        let g = rows(11);
        let g = g.iter().map(|v| v.map(|v| strings[v as usize % strings.len()]));
        let s = rows(u64::MAX);
        let s: StringArray = s.iter().map(|v| v.map(|v| format!("s{}", v % 700))).collect();
        let id: Int32Array = rows(u64::MAX).iter().map(|v| v.map(|v| (v % 5000) as i32)).collect();
        let k: Int32Array = rows(13).iter().map(|v| v.map(|v| (v % 10) as i32 - 3)).collect();
        let a: Int64Array = rows(7).iter().map(|v| v.map(|v| v as i64 - (1 << 30))).collect();
        let b: Float64Array = rows(9).iter().map(|v| v.map(|v| v as f64 / 1e6 - 900.0)).collect();
        let c: BooleanArray = rows(5).iter().map(|v| v.map(|v| v % 3 == 0)).collect();
        let d: Decimal128Array =
            rows(8).iter().map(|v| v.map(|v| i128::from(v % 1_000_000) - 400_000)).collect();
        let d = d.with_precision_and_scale(12, 2).unwrap();
        let t: Date32Array = rows(6).iter().map(|v| v.map(|v| (v % 20_000) as i32)).collect();
        let g: DictionaryArray<Int32Type> = g.collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(id)),
            ("k", Arc::new(k)),
            ("a", Arc::new(a)),
            ("b", Arc::new(b)),
            ("c", Arc::new(c)),
            ("d", Arc::new(d)),
            ("t", Arc::new(t)),
            ("g", Arc::new(g)),
            ("s", Arc::new(s)),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(n, c)| (n, c, true)),
        )
        .unwrap();
        let cut = n / 3;
        partitions.push(vec![batch.slice(0, cut), batch.slice(cut, n - cut)]);
    }
    MemTable::try_new(partitions[0][0].schema(), partitions).unwrap()
}

fn context(rule: Option<Arc<PlaceOnDevice>>) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(PARTITIONS).with_batch_size(1024);
    let mut builder = SessionStateBuilder::new_with_default_features().with_config(config);
    if let Some(rule) = rule {
        builder = builder.with_physical_optimizer_rule(rule);
    }
    let context = SessionContext::new_with_state(builder.build());
    context.register_table("x", Arc::new(table())).unwrap();
    context
}

fn rule(device: &str, collapse: bool, faults: FaultPlan) -> Arc<PlaceOnDevice> {
    let options = DeviceOptions { faults, ..Default::default() };
    let force = (device == "cpu").then(DeviceName::cpu);
    let placement = PlacementOptions { force_device: force, collapse, ..Default::default() };
    Arc::new(PlaceOnDevice::new(DeviceSet::new(device.parse().unwrap(), options), placement))
}

fn on(device: &str) -> SessionContext {
    context(Some(rule(device, true, FaultPlan::default())))
}

async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    context.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
}

async fn run(
    context: &SessionContext,
    plan: &Arc<dyn ExecutionPlan>,
) -> datafusion::error::Result<Vec<RecordBatch>> {
    collect(Arc::clone(plan), context.task_ctx()).await
}

/// The cells of all rows; floats to ten digits, as their sums may be added in any order.
fn cells(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cell = |column: &ArrayRef| {
                let text = array_value_to_string(column, row).unwrap();
                match (column.data_type(), text.parse::<f64>()) {
                    (DataType::Float64 | DataType::Float32, Ok(v)) => format!("{v:.9e}"),
                    _ => text,
                }
            };
            rows.push(batch.columns().iter().map(cell).collect());
        }
    }
    rows
}

/// Queries, and the kind of node that their plans hold on a device.
const QUERIES: &[(&str, &str)] = &[
    ("select k, sum(a), count(*), min(a), max(a), avg(b) from x group by k", "Aggregate"),
    ("select g, count(a), sum(d), avg(a) from x where a > 0 group by g", "Aggregate"),
    ("select s, sum(b), max(d) from x where k between 0 and 5 group by s", "Aggregate"),
    ("select id, count(*) from x group by id", "Aggregate"),
    ("select g, k, c, count(*), sum(a) from x group by g, k, c", "Aggregate"),
    ("select sum(a), count(*), min(t), max(b) from x where c", "Aggregate"),
    ("select count(*), sum(a) from x where a > 0 and a < 0", "Aggregate"),
    (
        "select k, sum(a) filter (where c), count(b) filter (where b > 0) from x group by k",
        "Aggregate",
    ),
    ("select extract(year from t) y, count(*) from x group by 1", "Aggregate"),
    ("select k + 1 kk, stddev(b), var_pop(b) from x group by k + 1", "Aggregate"),
    ("select distinct k, c from x", "Aggregate"),
    ("select k, corr(a, b), covar_samp(a, b), regr_slope(b, a) from x group by k", "Aggregate"),
    ("select covar_pop(a, b), regr_r2(a, b), corr(b, a) filter (where c) from x", "Aggregate"),
    ("select g, median(b), median(d), stddev(b), median(a) from x group by g", "Aggregate"),
    ("select k, count(distinct g), count(distinct a), sum(a) from x group by k", "Aggregate"),
    ("select bit_and(a), bit_or(k), bit_xor(id) filter (where a > 0) from x where c", "Aggregate"),
    (
        "select percentile_cont(0.9) within group (order by b), count(distinct s), avg(b), \
         median(b) from x where a > 0",
        "Aggregate",
    ),
    (
        "select case when a > 0 then 'up' when a < 0 then 'down' end w, count(*) from x group by 1",
        "Aggregate",
    ),
    ("select id, a * 2 + k, b / 3.0 from x where b > 100 and k is not null", "Pipeline"),
    ("select id, coalesce(a, 0) a0, k in (1, 2, 3) i, c or k > 2 o from x", "Pipeline"),
    ("select id, g, s from x where g = 'beta' and s like 's1%'", "Pipeline"),
    ("select id, d * 2, d + 1 from x where d > 100.00", "Pipeline"),
    ("select id, t, extract(month from t) m from x where t > date '1990-01-01'", "Pipeline"),
    ("select id, upper(g) u, length(s) l from x where c is not true", "Pipeline"),
];

/// Queries whose plans hold more than one node on a device, or one below other operators.
const MIXED: &[&str] = &[
    "select p.k, p.n, q.m from (select k, count(*) n from x group by k) p \
     join (select k, max(a) m from x where b > 0 group by k) q on p.k = q.k",
    "select k, n from (select k, count(*) n from x group by k) where n > 10 order by n, k",
    "select g, sum(a) s from x group by g order by s desc nulls last limit 3",
    "select k, count(*) from x where a > 0 group by k union all select k, sum(a) from x group by k",
    "select k, rank() over (order by n) from (select k, count(*) n from x group by k)",
    "select count(distinct k), sum(a) from x",
    "with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select sum(n) from r",
    "select k from x where b > 899 order by k, id limit 7",
    "select (select max(a) from x), k from x where id = 77",
    "select k, sum(a) from x group by rollup(k)",
];

/// Every query gives the same rows on a device as on DataFusion's operators, and the main
/// ones are on the device.
async fn same_rows(device: &str) {
    let (host, devices) = (context(None), on(device));
    let all = QUERIES.iter().copied().chain(MIXED.iter().map(|sql| (*sql, "")));
    for (sql, node) in all {
        let placed = plan(&devices, sql).await;
        let text = displayable(&*placed).indent(true).to_string();
        if !node.is_empty() {
            let expected = format!("Device{node}Exec: device={device}");
            assert!(text.contains(&expected), "{sql}\n{text}");
        }
        let got = run(&devices, &placed).await.unwrap_or_else(|e| panic!("{sql}: {e}\n{text}"));
        let expected = run(&host, &plan(&host, sql).await).await.unwrap();
        let (mut got, mut expected) = (cells(&got), cells(&expected));
        if !sql.contains("order by") {
            got.sort();
            expected.sort();
        }
        assert_eq!(got, expected, "{sql} on {device}\n{text}");
        assert_eq!(fallbacks(&placed), 0, "{sql} fell back to the CPU\n{text}");
    }
}

/// Batches and aggregations that the CPU took over, or that went on in parts.
fn fallbacks(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let metrics = plan.metrics().unwrap_or_default();
    let named = |name| metrics.sum_by_name(name).map_or(0, |v| v.as_usize());
    let below: usize = plan.children().into_iter().map(fallbacks).sum();
    named("fallback_batches") + named("in_parts") + below
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cpu_twins_give_the_rows_of_datafusion() {
    same_rows("cpu").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emulator_gives_the_rows_of_datafusion() {
    same_rows("cuda-emulated:0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wgpu_gives_the_rows_of_datafusion() {
    same_rows("wgpu:0").await;
}

/// The names of the nodes, from the root along the first inputs.
fn names(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let mut out = vec![plan.name().to_string()];
    let mut node = Arc::clone(plan);
    while let Some(child) = node.children().first().map(|c| Arc::clone(c)) {
        out.push(child.name().to_string());
        node = child;
    }
    out
}

#[tokio::test]
async fn lists_of_values_stay_on_the_cpu_with_the_reason() {
    let rule = rule("cpu", false, FaultPlan::default());
    let context = context(Some(Arc::clone(&rule)));
    let placed = plan(&context, "select k, median(b) from x group by k").await;
    let decisions = rule.decisions(&placed).unwrap();
    let partial = decisions.iter().find(|d| d.operator.contains("mode=Partial")).unwrap();
    assert!(!partial.placed && partial.reason.contains("lists of values"), "{}", partial.reason);
}

#[tokio::test]
async fn filter_and_group_by_are_one_fused_node() {
    let context = on("cpu");
    let sql = "select k, sum(a * 2) from x where b > 0 group by k";
    let placed = plan(&context, sql).await;
    let text = displayable(&*placed).indent(true).to_string();
    let names = names(&placed);
    let at =
        names.iter().position(|n| n == "DeviceDownloadExec").unwrap_or_else(|| panic!("{text}"));
    let expected =
        ["DeviceDownloadExec", "DeviceAggregateExec", "DeviceUploadExec", "DataSourceExec"];
    assert_eq!(names[at..], expected, "{text}");
    assert!(text.contains("stage=Merged") && text.contains("FilterExec: b@"), "{text}");
    assert!(
        text.contains("columns=[b, k, a]")
            || text.contains("DeviceUploadExec: device=cpu, columns=[")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_spread_over_partitions_only_for_the_hosts_threads() {
    // A limit leaves one partition, which DataFusion spreads for the operators above.
    let sql = "select k, sum(a) from (select * from x order by id, k, a, b, t limit 15000) \
               where b > 0 group by k";
    let mut answers = Vec::new();
    for (device, spread) in [("cpu", true), ("cuda-emulated:0", false)] {
        let context = on(device);
        let placed = plan(&context, sql).await;
        let text = displayable(&*placed).indent(true).to_string();
        let upload = find::<DeviceUploadExec>(&placed).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(upload.input().name() == "RepartitionExec", spread, "{device}\n{text}");
        let mut rows = cells(&run(&context, &placed).await.unwrap());
        rows.sort();
        answers.push(rows);
    }
    assert_eq!(answers[0], answers[1]);
}

/// The node of a type in a plan.
fn find<T: ExecutionPlan>(plan: &Arc<dyn ExecutionPlan>) -> Option<&T> {
    plan.downcast_ref::<T>().or_else(|| plan.children().into_iter().find_map(find::<T>))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_column_is_uploaded_once() {
    let context = on("cuda-emulated:0");
    // Column a is in the filter and in two aggregates, b in two expressions.
    let sql = "select k, sum(a), max(a), sum(b * b) from x where a > 0 and b > 0 group by k";
    let placed = plan(&context, sql).await;
    run(&context, &placed).await.unwrap();
    let upload = find::<DeviceUploadExec>(&placed).unwrap();
    let metrics = upload.metrics().unwrap();
    let sum = |name: &str| metrics.sum_by_name(name).unwrap().as_usize();
    let batches = sum("batches");
    assert!(batches >= 1);
    for (column, width) in [("k", 4), ("a", 8), ("b", 8)] {
        assert_eq!(sum(&format!("uploads[{column}]")), batches, "{column}");
        let bytes = sum(&format!("uploaded_bytes[{column}]"));
        // Values, and a bit for each row with the padding of a few words for each batch.
        let least = ROWS * width + ROWS / 8;
        assert!((least..least + 128 * batches).contains(&bytes), "{column}: {bytes}");
    }
    assert_eq!(metrics.sum_by_name("uploads[id]"), None);
    assert_eq!(metrics.output_rows(), Some(ROWS));
}

#[tokio::test]
async fn a_query_without_operators_for_a_device_opens_none() {
    for sql in ["select 1", "select a, k from x", "select 1 + 1 as two"] {
        let rule = rule("cuda-emulated:0,wgpu:0", true, FaultPlan::default());
        let context = context(Some(Arc::clone(&rule)));
        let placed = plan(&context, sql).await;
        assert!(rule.devices().opened().is_empty(), "{sql}");
        assert!(rule.decisions(&placed).unwrap().iter().all(|d| !d.placed && !d.reason.is_empty()));
    }
}

#[tokio::test]
async fn few_rows_stay_on_the_cpu_unless_a_device_is_forced() {
    let rule = rule("auto", true, FaultPlan::default());
    let context = context(Some(Arc::clone(&rule)));
    let placed = plan(&context, "select k, sum(a) from x group by k").await;
    assert!(find::<DeviceAggregateExec>(&placed).is_none());
    assert!(rule.devices().opened().is_empty());
    let decisions = rule.decisions(&placed).unwrap();
    let aggregate = decisions.iter().find(|d| d.operator.starts_with("AggregateExec")).unwrap();
    assert_eq!(aggregate.rows, Some(ROWS as u64));
    assert!(aggregate.reason.contains("few rows (20000)"), "{}", aggregate.reason);
    assert_eq!(aggregate.estimates[0].device, "cpu");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_twin_is_chosen_where_it_was_measured_faster() {
    let rule = rule("cpu", true, FaultPlan::default());
    let options = PlacementOptions::default();
    let host = context(None);
    // Rows enough to matter, as the statistics tell it.
    let many = "from x a cross join (select id from x) b";
    for (sql, placed) in [
        (format!("select a.k, sum(a.a) {many} group by a.k"), true),
        // Coding texts costs less than hashing them for many groups.
        (format!("select a.s, sum(a.a) {many} group by a.s"), true),
        (format!("select sum(a.a), count(*) {many}"), false),
        (format!("select a.k + b.id j {many} where a.a > b.id"), false),
    ] {
        let before = plan(&host, &sql).await;
        let (_, decisions) = crate::plan::place(before, rule.devices(), &options).unwrap();
        let on_twin = decisions.iter().any(|d| d.placed);
        assert_eq!(on_twin, placed, "{sql}: {decisions:#?}");
        let twin = decisions.iter().flat_map(|d| &d.estimates).any(|e| e.device == "cpu twin");
        assert_eq!(twin, placed, "{sql}");
    }
}

/// Without collapsing, placement keeps schema, ordering and partition count, for every
/// query; with it, schema and ordering.
#[tokio::test]
async fn placement_keeps_what_the_plan_promises() {
    use datafusion::physical_plan::ExecutionPlanProperties;
    let host = context(None);
    let all = QUERIES.iter().map(|(sql, _)| *sql).chain(MIXED.iter().copied());
    for sql in all {
        let before = plan(&host, sql).await;
        for collapse in [false, true] {
            let rule = rule("cpu", collapse, FaultPlan::default());
            let (devices, options) = (rule.devices(), rule.options());
            let (after, decisions) =
                crate::plan::place(Arc::clone(&before), devices, options).unwrap();
            assert_eq!(after.schema(), before.schema(), "{sql}");
            assert_eq!(after.output_ordering(), before.output_ordering(), "{sql}");
            if !collapse {
                let count = |p: &Arc<dyn ExecutionPlan>| p.output_partitioning().partition_count();
                assert_eq!(count(&after), count(&before), "{sql}");
                let rows = run(&host, &after).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
                let expected = run(&host, &plan(&host, sql).await).await.unwrap();
                let (mut rows, mut expected) = (cells(&rows), cells(&expected));
                rows.sort();
                expected.sort();
                assert_eq!(rows, expected, "{sql}");
            }
            let depth_first: Vec<usize> = decisions.iter().map(|d| d.id).collect();
            assert_eq!(depth_first, (0..decisions.len()).collect::<Vec<_>>());
        }
    }
}

/// A fault at any call: the query gives the right rows, or fails naming the device where
/// its input cannot be read again.
async fn survives(faults: FaultPlan, collapse: bool, sql: &str, expected: &[Vec<String>]) -> bool {
    let rule = rule("cuda-emulated:0", collapse, faults);
    let context = context(Some(Arc::clone(&rule)));
    let placed = plan(&context, sql).await;
    match run(&context, &placed).await {
        Ok(rows) => {
            let mut rows = cells(&rows);
            rows.sort();
            assert_eq!(rows, expected, "{sql} with {faults:?}");
        }
        Err(e) => {
            let failure = e.find_root().to_string();
            assert!(!collapse, "{sql} with {faults:?}: {failure}");
            assert!(failure.contains("cuda-emulated:0"), "{failure}");
        }
    }
    for device in rule.devices().opened() {
        // An upload that was under way when the stream was dropped ends by itself.
        let in_use = || device.pool().stats().in_use;
        for _ in 0..1000 {
            if in_use() == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(in_use(), 0, "{sql} with {faults:?} leaks");
    }
    fallbacks(&placed) > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_call_never_gives_a_wrong_answer() {
    let queries = [
        "select k, sum(a), count(*) from x where b > 0 group by k",
        "select id, a * 2, g from x where b > 500",
    ];
    let host = context(None);
    for sql in queries {
        let mut expected = cells(&run(&host, &plan(&host, sql).await).await.unwrap());
        expected.sort();
        for (name, least) in [("alloc", 1), ("launch", 1), ("transfer", 1), ("lost", 1)] {
            let mut met = 0;
            for n in (1..=12).chain([20, 40, 80]) {
                let faults = FaultPlan::parse(&format!("{name}={n}")).unwrap();
                met += usize::from(survives(faults, true, sql, &expected).await);
            }
            assert!(met >= least, "{name} never happened in {sql}");
        }
        let faults = FaultPlan::parse("alloc_from=3").unwrap();
        survives(faults, true, sql, &expected).await;
        // Partial aggregations of several partitions, which cannot start again.
        for name in ["alloc", "launch", "transfer", "lost"] {
            for n in [1, 2, 3, 5, 8, 13, 21, 34, 55] {
                let faults = FaultPlan::parse(&format!("{name}={n}")).unwrap();
                survives(faults, false, sql, &expected).await;
            }
        }
    }
}

#[tokio::test]
async fn a_users_error_is_datafusions_own() {
    let sql = "select k, sum(a / (k - 2)) from x group by k";
    let host = context(None);
    let expected = run(&host, &plan(&host, sql).await).await.unwrap_err();
    let devices = on("cpu");
    let got = run(&devices, &plan(&devices, sql).await).await.unwrap_err();
    assert_eq!(got.find_root().to_string(), expected.find_root().to_string());
}

#[test]
fn a_failure_names_operator_and_device_and_keeps_its_cause() {
    use std::error::Error;

    let source = windlass_kernels::KernelError::DivideByZero;
    let device = "wgpu:0".to_string();
    let failure = DeviceFailure { device, operator: "DeviceAggregateExec", source };
    assert_eq!(failure.to_string(), "DeviceAggregateExec failed on wgpu:0");
    assert_eq!(failure.source().unwrap().to_string(), "Divide by zero error");
}
