//! Joins and sorts: every kind on every device that needs no GPU, against DataFusion's
//! operators on the CPU.

use std::sync::Arc;

use frame_tests::{rows, session_with};
use windlass::{
    DeviceSpec, Session, SessionOptions,
    arrow::{
        array::{
            ArrayRef, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
            RecordBatch, StringArray,
        },
        compute::concat_batches,
    },
};

/// Pseudo-random numbers (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }

    /// A value in nine of ten cases.
    fn maybe<T>(&mut self, make: impl Fn(u64) -> T, n: u64) -> Option<T> {
        let value = self.below(n);
        (self.below(10) > 0).then(|| make(value))
    }
}

/// A table with keys of several types, each with nulls and repeats, and a row number.
pub(super) fn table(rows: usize, keys: u64, seed: u64) -> RecordBatch {
    let mut r = Random(seed);
    let k: Int64Array = (0..rows).map(|_| r.maybe(|v| v as i64 - 3, keys)).collect();
    // One key in half of the rows.
    let skew: Int32Array =
        (0..rows).map(|_| Some(if r.below(2) == 0 { 7 } else { r.below(keys) as i32 })).collect();
    let text: StringArray =
        (0..rows).map(|_| r.maybe(|v| format!("text number {v:04}"), keys)).collect();
    let day: Date32Array = (0..rows).map(|_| r.maybe(|v| v as i32 - 20, keys)).collect();
    let price: Decimal128Array = (0..rows).map(|_| r.maybe(|v| i128::from(v) * 25, keys)).collect();
    let price = price.with_precision_and_scale(12, 2).unwrap();
    let x: Float64Array = (0..rows).map(|_| r.maybe(|v| v as f64 / 4.0 - 10.0, 300)).collect();
    let id: Int64Array = (0..rows as i64).map(Some).collect();
    let columns: [(&str, ArrayRef); 7] = [
        ("id", Arc::new(id)),
        ("k", Arc::new(k)),
        ("skew", Arc::new(skew)),
        ("text", Arc::new(text)),
        ("day", Arc::new(day)),
        ("price", Arc::new(price)),
        ("x", Arc::new(x)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()
}

/// A session with the tables `a` (1,500 rows), `b` (400 rows) and `none`.
pub(super) fn session(devices: &str) -> Session {
    let devices: DeviceSpec = devices.parse().unwrap();
    let options = SessionOptions { devices, force_device: true, ..SessionOptions::default() };
    with_tables(session_on(options))
}

pub(super) fn session_on(options: SessionOptions) -> Session {
    Session::with_options(SessionOptions { target_partitions: Some(2), ..options }).unwrap()
}

pub(super) fn with_tables(session: Session) -> Session {
    let pieces = |batch: &RecordBatch| {
        (0..batch.num_rows())
            .step_by(190)
            .map(|at| batch.slice(at, 190.min(batch.num_rows() - at)))
            .collect::<Vec<_>>()
    };
    let (a, b) = (table(1500, 60, 1), table(400, 60, 2));
    for (name, batches) in [("a", pieces(&a)), ("b", pieces(&b)), ("none", vec![b.slice(0, 0)])] {
        session.register(name, &session.from_batches(batches).unwrap()).unwrap();
    }
    session
}

/// Rows of a query, and the operators that ran on a device other than DataFusion's.
pub(super) async fn run(session: &Session, query: &str) -> (Vec<String>, Vec<String>) {
    let frame = session.sql(query).await.unwrap_or_else(|e| panic!("{query}: {e}"));
    let batches = frame.collect().await.unwrap_or_else(|e| panic!("{query}: {e}"));
    let stats = session.last_stats().unwrap();
    let placed = stats.operators.iter().filter(|o| o.name.starts_with("Device"));
    (rows(&batches), placed.map(|o| o.name.clone()).collect())
}

pub(super) const DEVICES: [&str; 3] = ["cpu", "wgpu:0", "cuda-emulated:0"];

/// The same rows as DataFusion's, in any order or in the query's.
pub(super) async fn same(queries: &[String], node: &str, ordered: bool) {
    let plain = with_tables(session_with(SessionOptions::default()));
    let mut expected = Vec::new();
    for query in queries {
        let (mut rows, placed) = run(&plain, query).await;
        assert!(!placed.iter().any(|p| p == node), "{query} is placed: {placed:?}");
        if !ordered {
            rows.sort_unstable();
        }
        expected.push(rows);
    }
    for device in DEVICES {
        let session = session(device);
        for (query, expected) in queries.iter().zip(&expected) {
            let (mut rows, placed) = run(&session, query).await;
            assert!(placed.iter().any(|p| p == node), "{query} on {device}: {placed:?}");
            if !ordered {
                rows.sort_unstable();
            }
            assert_eq!(rows.len(), expected.len(), "{query} on {device}");
            assert!(rows == *expected, "{query} on {device}: other rows");
        }
    }
}

const KINDS: [&str; 4] = ["join", "left join", "right join", "full join"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_of_every_kind_and_key() {
    let mut queries = Vec::new();
    for kind in KINDS {
        for on in [
            "a.k = b.k",
            "a.skew = b.skew and a.k = b.k",
            "a.text = b.text",
            "a.day = b.day and a.price = b.price",
            "upper(a.text) = upper(b.text) and a.k = b.k",
            "a.k + 1 = b.k * 2",
        ] {
            queries.push(format!("select a.id, a.text, b.id, b.text, b.x from a {kind} b on {on}"));
        }
        // A side without rows, and a result without columns.
        queries.push(format!("select a.id, none.id from a {kind} none on a.k = none.k"));
        queries.push(format!("select none.id, a.id from none {kind} a on a.k = none.k"));
        queries.push(format!("select count(*) from a {kind} b on a.k = b.k"));
    }
    same(&queries, "DeviceHashJoinExec", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_with_a_filter_on_the_pairs() {
    let mut queries = Vec::new();
    for kind in KINDS {
        for filter in ["a.x < b.x", "a.id + b.id > 900 and a.text <> b.text", "a.x < -100"] {
            queries.push(format!(
                "select a.id, b.id, b.text from a {kind} b on a.k = b.k and {filter}"
            ));
        }
    }
    same(&queries, "DeviceHashJoinExec", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn semi_anti_and_mark_joins_of_either_side() {
    let mut queries = Vec::new();
    // The smaller table is built, whichever side it is on.
    for (outer, inner) in [("a", "b"), ("b", "a"), ("a", "none"), ("none", "a")] {
        for more in ["", "and i.x > o.x"] {
            let test = format!("(select 1 from {inner} i where i.k = o.k {more})");
            queries.push(format!("select o.id, o.text from {outer} o where exists {test}"));
            queries.push(format!("select o.id, o.text from {outer} o where not exists {test}"));
            queries.push(format!("select o.id from {outer} o where o.x > 20 or exists {test}"));
        }
        queries.push(format!("select o.id from {outer} o where o.k in (select k from {inner})"));
    }
    same(&queries, "DeviceHashJoinExec", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_keys_that_match() {
    let queries = [
        "select a.id, b.id from a join b on a.k is not distinct from b.k".to_string(),
        "select k, text from a intersect select k, text from b".to_string(),
        "select k from a except select k from b".to_string(),
    ];
    same(&queries, "DeviceHashJoinExec", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sorts_of_every_type_and_direction() {
    let mut queries = Vec::new();
    for order in [
        "k, id",
        "k desc, id desc",
        "k nulls first, id",
        "k desc nulls last, x, id",
        "text, id",
        "text desc nulls last, day, id",
        "x, id",
        "price desc, skew, id",
        "day nulls first, text desc nulls first, id",
        "upper(text), id",
    ] {
        queries.push(format!("select * from a order by {order}"));
        for limit in [0, 1, 17, 5000] {
            // DataFusion drops a limit of 0 before it places anything.
            if limit > 0 {
                queries.push(format!("select * from a order by {order} limit {limit}"));
            }
        }
        queries.push(format!("select id from none order by {order}"));
    }
    same(&queries, "DeviceSortExec", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_top_k_keeps_few_rows_of_many_batches() {
    let all = table(200_000, 5_000, 9);
    let plain = session_with(SessionOptions::default());
    let options = SessionOptions {
        devices: "cpu".parse().unwrap(),
        force_device: true,
        ..SessionOptions::default()
    };
    let twin = session_on(options);
    let query = "select id, k, x from big order by x desc, k, id limit 300";
    let mut results = Vec::new();
    for session in [&plain, &twin] {
        let batches = (0..all.num_rows()).step_by(8192);
        let batches = batches.map(|at| all.slice(at, 8192.min(all.num_rows() - at))).collect();
        session.register("big", &session.from_batches(batches).unwrap()).unwrap();
        let frame = session.sql(query).await.unwrap();
        let batches = frame.collect().await.unwrap();
        results.push(concat_batches(&batches[0].schema(), &batches).unwrap());
    }
    assert_eq!(results[0].num_rows(), 300);
    assert_eq!(results[0], results[1]);
}
