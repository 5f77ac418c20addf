//! Tables in memory whose columns stay on devices: a second query uploads nothing, memory that
//! others need is given back, and nothing outlives its table.

use std::sync::Arc;

use faults::{nothing_leaks, rows, run};
use windlass::{
    RunOptions, Session, SessionOptions,
    arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray},
};

const ROWS: i64 = 300_000;

/// Numbers, texts and nulls.
fn table() -> RecordBatch {
    let words = ["alpha", "beta", "gamma", "delta", "epsilon"];
    let text = |i: i64| (i % 11 > 0).then(|| words[(i * 7 % 5) as usize]);
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..ROWS))),
        ("k", Arc::new((0..ROWS).map(|i| (i % 13 > 0).then_some(i % 97)).collect::<Int64Array>())),
        ("x", Arc::new((0..ROWS).map(|i| Some((i % 1000) as f64 / 4.0)).collect::<Float64Array>())),
        ("g", Arc::new((0..ROWS).map(text).collect::<StringArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).expect("a batch")
}

async fn session(device: &str, memory: Option<usize>) -> Session {
    let devices = device.parse().expect("devices");
    let options = SessionOptions {
        devices,
        device_memory: memory,
        target_partitions: Some(2),
        ..Default::default()
    };
    let session = Session::with_options(options).expect("a session");
    let frame = session.from_batches(vec![table()]).expect("a frame");
    session.register("source", &frame).expect("a name");
    session
}

async fn statement(session: &Session, sql: &str) {
    let statement = session.statements(sql).expect("a statement").remove(0);
    session.run(&statement, &RunOptions::default()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// Bytes that the last query of a text uploaded, by `explain analyze`.
async fn uploaded(session: &Session, sql: &str) -> u64 {
    let plan = run(session, &format!("explain analyze {sql}")).await.expect(sql).join("\n");
    let figures = plan.split("uploaded_bytes=").skip(1);
    let bytes = |text: &str| {
        let end = text.find([',', ']']).expect("a figure");
        let (number, unit) = text[..end].split_once(' ').unwrap_or((&text[..end], "B"));
        let scale = match unit {
            "KB" | "K" => 1e3,
            "MB" | "M" => 1e6,
            _ => 1.0,
        };
        (number.parse::<f64>().unwrap_or_else(|_| panic!("{number} in {plan}")) * scale) as u64
    };
    assert!(plan.contains("DeviceUploadExec"), "{plan}");
    figures.map(bytes).sum()
}

const QUERIES: &[&str] = &[
    "select k, count(*) n, sum(x) s from t where id > 1000 group by k",
    "select g, count(*) n, max(id) m from t where g <> 'beta' group by g",
    "select id, x * 2 y, upper(g) u from t where k = 5 and g like '%a'",
];

/// Bytes in use on the devices but the host.
fn in_use(session: &Session) -> usize {
    let devices = session.devices().opened();
    let others = devices.iter().filter(|d| d.info().name.to_string() != "cpu");
    others.map(|d| d.pool().stats().in_use).sum()
}

async fn a_second_query_uploads_nothing(device: &str) {
    let cpu = session("cpu", None).await;
    statement(&cpu, "create table t as select * from source").await;
    let session = session(device, None).await;
    statement(&session, "create table t as select * from source").await;
    for sql in QUERIES {
        let expected = run(&cpu, sql).await.expect(sql);
        assert_eq!(run(&session, sql).await.expect(sql), expected, "{sql} on {device}");
        assert_eq!(uploaded(&session, sql).await, 0, "{sql} on {device}");
        assert_eq!(run(&session, sql).await.expect(sql), expected, "{sql} on {device}");
    }
    assert!(in_use(&session) > 0, "the columns are kept");
    // Columns of one query serve another.
    assert_eq!(uploaded(&session, "select sum(x) from t where k > 3 and id < 9000").await, 0);
    // Rows that come later are seen.
    statement(&session, "insert into t select id + 1000000, k, x, g from source where id < 5000")
        .await;
    statement(&cpu, "insert into t select id + 1000000, k, x, g from source where id < 5000").await;
    let sql = "select k, count(*) n, sum(x) s, min(g) m from t where id > 900000 group by k";
    assert_eq!(run(&session, sql).await.expect(sql), run(&cpu, sql).await.expect(sql));
    // A table in its place is another.
    let replace = "create or replace table t as select id, k + 1 k, x, g from source";
    statement(&session, replace).await;
    statement(&cpu, replace).await;
    for sql in QUERIES {
        assert_eq!(run(&session, sql).await.expect(sql), run(&cpu, sql).await.expect(sql));
    }
    statement(&session, "drop table t").await;
    nothing_leaks(&session, device).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_emulator() {
    a_second_query_uploads_nothing("cuda-emulated:0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_wgpu() {
    a_second_query_uploads_nothing("wgpu:0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_persists() {
    let session = session("cuda-emulated:0", None).await;
    let frame =
        session.sql("select id, k, x from source where k is not null").await.expect("a query");
    let kept = frame.persist().await.expect("rows");
    session.register("t", &kept).expect("a name");
    let sql = "select k, sum(x) s from t group by k";
    let first = run(&session, sql).await.expect(sql);
    assert_eq!(uploaded(&session, sql).await, 0);
    assert_eq!(run(&session, sql).await.expect(sql), first);
    session.deregister("t").expect("a table");
    drop((kept, frame));
    session.deregister("source").expect("a table");
    nothing_leaks(&session, "a frame that is gone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_devices_share_a_table() {
    let cpu = session("cpu", None).await;
    statement(&cpu, "create table t as select * from source").await;
    let session = session("cuda-emulated*3", None).await;
    statement(&session, "create table t as select * from source").await;
    for sql in QUERIES {
        let expected = run(&cpu, sql).await.expect(sql);
        // A batch may go to another device while its own is busy, but to each only once.
        let mut all = Vec::new();
        while all.last() != Some(&0) {
            assert!(all.len() < 30, "{sql}: {all:?}");
            all.push(uploaded(&session, sql).await);
            assert_eq!(run(&session, sql).await.expect(sql), expected, "{sql}");
        }
    }
    statement(&session, "drop table t").await;
    nothing_leaks(&session, "three devices").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_others_need_is_given_back() {
    let cpu = session("cpu", None).await;
    statement(&cpu, "create table t as select * from source").await;
    for memory in [1 << 20, 4 << 20, 10 << 20] {
        let session = session("cuda-emulated:0", Some(memory)).await;
        statement(&session, "create table t as select * from source").await;
        for sql in QUERIES.iter().chain(QUERIES) {
            let expected = run(&cpu, sql).await.expect(sql);
            assert_eq!(run(&session, sql).await.expect(sql), expected, "{sql} in {memory} bytes");
            let stats = session.last_stats().expect("figures");
            assert!(stats.peak_device_bytes <= memory as u64, "{}", stats.peak_device_bytes);
            assert_eq!(stats.fallback, None, "{sql} in {memory} bytes");
        }
        statement(&session, "drop table t").await;
        nothing_leaks(&session, "a small device").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_cannot_be_filled_leaves_the_one_before() {
    let session = session("cpu", None).await;
    statement(&session, "create table t as select id from source where id < 7").await;
    let wrong = "create or replace table t as select id / 0 from source";
    let frame = session.sql(wrong).await;
    assert!(frame.is_err(), "a division by zero");
    assert_eq!(run(&session, "select count(*) from t").await.expect("rows"), ["7"]);
    let again = session.sql("create table t as select 1").await.expect_err("it exists");
    assert!(again.to_string().contains("OR REPLACE"), "{again}");
    let twice =
        session.sql("create table u as select id, id from source").await.expect_err("twice");
    assert!(twice.to_string().contains("id"), "{twice}");
    statement(&session, "create table if not exists t as select 1 / 0").await;
    statement(&session, "create table e (a int, b text)").await;
    statement(&session, "insert into e values (1, 'x')").await;
    let all = session.sql("select * from e").await.expect("a query").collect().await.expect("rows");
    assert_eq!(rows(&all), ["1|x"]);
}
