//! Frames: every operation, mixing with SQL, caching, cancelling, memory limits, figures.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use frame_tests::{all, columns, folder, rows, run, session, session_with, sql};
use windlass::{JobStats, Progress, ProgressSink, RunOptions, SessionOptions, prelude::*};

async fn frame(session: &Session) -> DataFrame {
    let text = "select * from (values (1, 'a', 1.5), (2, 'b', null), (3, 'a', 2.5), \
                (4, null, 4.0)) as t(id, k, x)";
    session.sql(text).await.unwrap()
}

#[tokio::test]
async fn columns_and_rows() {
    let session = session();
    let f = frame(&session).await;
    assert_eq!(f.columns(), ["id", "k", "x"]);
    assert_eq!(all(&f.select(&["x", "id"]).unwrap().limit(0, 1).unwrap()).await, ["1.5,1"]);
    let more = f.with_column("y", col("id") * lit(10)).unwrap();
    let more = more.rename("k", "Key").unwrap().drop(&["x"]).unwrap();
    assert_eq!(more.columns(), ["id", "Key", "y"]);
    let kept = more.filter(col("Key").eq(lit("a")).and(col("y").gt(lit(10)))).unwrap();
    assert_eq!(all(&kept).await, ["3,a,30"]);
    let parsed = f.filter(f.parse("x > 2 and id < 4").unwrap()).unwrap();
    assert_eq!(all(&parsed).await, ["3,a,2.5"]);
    let again = f.with_column("x", col("x") + lit(1.0)).unwrap();
    assert_eq!(columns(&again).len(), 3);
    assert_eq!(f.count().await.unwrap(), 4);
    assert_eq!(rows(&f.sort_by(&["id"]).unwrap().tail(1).await.unwrap()), ["4,,4.0"]);
    assert_eq!(rows(&f.head(2).await.unwrap()).len(), 2);
}

#[tokio::test]
async fn groups_and_figures() {
    let session = session();
    let f = frame(&session).await;
    let groups = f.group_by(&["k"]).unwrap();
    let groups = groups.agg(vec![sum(col("x")).alias("s"), count(col("x")).alias("n")]).unwrap();
    let sorted = groups.sort(vec![col("k").sort(true, false)]).unwrap();
    assert_eq!(all(&sorted).await, ["a,4.0,2", "b,,0", ",4.0,1"]);
    assert_eq!(all(&f.value_counts("k").unwrap()).await, ["a,2", "b,1", ",1"]);
    let one = f.agg(vec![min(col("id")), max(col("id")), avg(col("x"))]).unwrap();
    assert_eq!(all(&one).await.len(), 1);
    let described = f.describe().await.unwrap();
    assert!(all(&described).await.iter().any(|r| r.starts_with("count,4")));
    let spread = when(col("id").gt(lit(2)), lit("high")).otherwise(lit("low")).unwrap();
    let spread = f.with_column("level", spread).unwrap().group_by(&["level"]).unwrap();
    assert_eq!(
        all(&spread.count().unwrap().sort_by(&["level"]).unwrap()).await,
        ["high,2", "low,2"]
    );
}

#[tokio::test]
async fn joins_and_sets() {
    let session = session();
    let f = frame(&session).await;
    let names = session.sql("select * from (values ('a','Ann'), ('c','Cy')) as n(k, name)");
    let names = names.await.unwrap();
    let joined = |kind| f.join_using(&names, kind, &["k"]).unwrap().sort_by(&["id"]).unwrap();
    assert_eq!(joined(JoinType::Inner).columns(), ["id", "k", "x", "name"]);
    assert_eq!(all(&joined(JoinType::Inner)).await, ["1,a,1.5,Ann", "3,a,2.5,Ann"]);
    assert_eq!(all(&joined(JoinType::Left)).await.len(), 4);
    let full = all(&joined(JoinType::Full)).await;
    assert_eq!(full.len(), 5);
    assert!(full.contains(&",c,,Cy".to_string()), "{full:?}");
    assert_eq!(all(&joined(JoinType::LeftAnti)).await, ["2,b,", "4,,4.0"]);
    let keys = names.rename("k", "key").unwrap();
    let apart = f.join(&keys, JoinType::Inner, &["k"], &["key"]).unwrap();
    assert_eq!(all(&apart).await.len(), 2);
    let e = f.join_using(&f, JoinType::Inner, &["id"]).unwrap_err().to_string();
    assert!(e.contains("both sides"), "{e}");
    let ids = f.select(&["id"]).unwrap();
    let some = ids.filter(col("id").gt(lit(2))).unwrap();
    assert_eq!(all(&ids.union(&some).unwrap()).await.len(), 6);
    assert_eq!(all(&ids.union(&some).unwrap().distinct().unwrap()).await.len(), 4);
    assert_eq!(all(&ids.intersect(&some).unwrap()).await.len(), 2);
    assert_eq!(all(&ids.except(&some).unwrap().sort_by(&["id"]).unwrap()).await, ["1", "2"]);
    let wide = ids.union_by_name(&f.select(&["x"]).unwrap()).unwrap();
    assert_eq!(wide.columns(), ["id", "x"]);
}

#[tokio::test]
async fn sql_and_frames_mix() {
    let session = session();
    let f = frame(&session).await;
    session.register("mine", &f.filter(col("id").gt(lit(1))).unwrap()).unwrap();
    assert_eq!(session.table_names(), ["mine"]);
    let from_sql = session.sql("select k, count(*) as n from mine group by k").await.unwrap();
    let high = from_sql.filter(col("n").gt_eq(lit(1))).unwrap();
    session.register("high", &high).unwrap();
    assert_eq!(sql(&session, "select sum(n) from high join mine using (k)").await, ["2"]);
    session.register("mine", &f).unwrap();
    assert_eq!(sql(&session, "select count(*) from mine").await, ["4"]);
    assert!(session.deregister("mine").unwrap());
    assert!(!session.deregister("mine").unwrap());
    assert_eq!(session.table_schema("high").await.unwrap().fields().len(), 2);
    run(&session, "create table t as select 1 as a; insert into t values (2), (3)").await.unwrap();
    assert_eq!(sql(&session, "select sum(a) from t").await, ["6"]);
}

#[tokio::test]
async fn a_cached_frame_is_read_once() {
    let (session, dir) = (session(), folder());
    let path = dir.path().join("x.csv");
    std::fs::write(&path, "a\n1\n2\n").unwrap();
    let cached = session.read(&path.display().to_string()).await.unwrap().cache().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(cached.count().await.unwrap(), 2);
    assert_eq!(cached.persist().await.unwrap().count().await.unwrap(), 2);
}

#[tokio::test]
async fn explain_and_text() {
    let session = session();
    let f = frame(&session).await.sort_by(&["id"]).unwrap();
    let plan = all(&f.explain(false, false).unwrap()).await.join("\n");
    assert!(plan.contains("logical_plan") && plan.contains("physical_plan"), "{plan}");
    let text = f.to_text().await.unwrap();
    assert!(text.contains("| id | k | x   |") && !text.contains("the first"), "{text}");
    let long = session.sql("select value from generate_series(1, 100)").await.unwrap();
    assert!(long.to_text().await.unwrap().ends_with("the first 20 rows"));
    let none = f.filter(lit(false)).unwrap().to_text().await.unwrap();
    assert!(none.contains("id"), "{none}");
}

#[tokio::test]
async fn batches_stream() {
    use std::future::poll_fn;
    let session = session();
    let f = session.sql("select value from generate_series(1, 50000)").await.unwrap();
    let mut stream = f.to_batches().await.unwrap();
    let mut rows = 0;
    while let Some(batch) = poll_fn(|c| stream.as_mut().poll_next(c)).await {
        rows += batch.unwrap().num_rows();
    }
    assert_eq!(rows, 50_000);
    let bad =
        session.sql("select 1 / (value - 40000) from generate_series(1, 50000)").await.unwrap();
    let mut failed = bad.to_batches().await.err();
    if failed.is_none() {
        let mut stream = bad.to_batches().await.unwrap();
        while let Some(batch) = poll_fn(|c| stream.as_mut().poll_next(c)).await {
            failed = failed.or(batch.err());
        }
    }
    assert!(failed.unwrap().to_string().to_lowercase().contains("divide by zero"));
}

#[tokio::test]
async fn a_sort_spills_under_a_memory_limit() {
    let (dir, query) = (
        folder(),
        "select value % 1000 as k, value, 'text ' || value as t \
                        from generate_series(1, 1000000) order by t",
    );
    // Two merges reserve 10 MB each, and the writer needs some of the rest.
    let limit = 32 << 20;
    let options = SessionOptions {
        memory: Some(limit),
        temp_dir: Some(dir.path().to_path_buf()),
        ..Default::default()
    };
    let session = session_with(options);
    let f = session.sql(query).await.unwrap();
    let mut rows = 0;
    let mut last = String::new();
    use std::future::poll_fn;
    // A stream, since the result itself is larger than the limit.
    let out = dir.path().join("sorted.parquet");
    f.write_parquet(&out.display().to_string(), &WriteOptions::default()).await.unwrap();
    let stats: JobStats = session.last_stats().unwrap();
    assert!(stats.spilled_bytes > 0, "{stats:?}");
    assert!(stats.peak_host_bytes <= limit as u64, "{}", stats.peak_host_bytes);
    let back = session.read(&out.display().to_string()).await.unwrap();
    let mut stream = back.select(&["t"]).unwrap().to_batches().await.unwrap();
    while let Some(batch) = poll_fn(|c| stream.as_mut().poll_next(c)).await {
        for text in frame_tests::rows(&[batch.unwrap()]) {
            rows += 1;
            last = last.max(text);
        }
    }
    assert_eq!((rows, last.as_str()), (1_000_000, "text 999999"));
}

#[tokio::test]
async fn what_cannot_spill_says_that_memory_is_out() {
    let session = session_with(SessionOptions { memory: Some(1 << 20), ..Default::default() });
    // One value holds all rows.
    let text = "select length(string_agg('long text ' || value, ',')) from \
                generate_series(1, 2000000) s(value)";
    let e = session.sql(text).await.unwrap().collect().await.unwrap_err();
    assert!(matches!(e, FrameError::Memory(_)), "{e}");
    assert!(e.to_string().contains("raise the memory limit"), "{e}");
}

/// Hours of pairs. The engine finishes the pairs of one batch with all rows of `a` after a
/// cancelled query has returned, and a runtime waits for that: so `a` is small.
const ENDLESS: &str = "select count(*) from generate_series(1, 50000) a \
                       cross join generate_series(1, 100000000000) b where a.value + b.value < 0";

#[tokio::test]
async fn a_token_cancels_at_once() {
    let session = session();
    let frame = session.sql(ENDLESS).await.unwrap();
    let run = RunOptions::default();
    let token = run.cancel.clone();
    let job = tokio::spawn(async move { frame.collect_with(&run).await });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let began = std::time::Instant::now();
    token.cancel();
    let e = job.await.unwrap().unwrap_err();
    assert!(matches!(e, FrameError::Cancelled), "{e}");
    assert!(began.elapsed().as_millis() < 1000, "{:?}", began.elapsed());
    assert!(token.is_cancelled());
}

#[derive(Default)]
struct Last {
    calls: AtomicU64,
    rows_read: AtomicU64,
    bytes_read: AtomicU64,
    bytes_total: AtomicU64,
}

impl ProgressSink for Last {
    fn update(&self, progress: &Progress) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.rows_read.store(progress.rows_read, Ordering::Relaxed);
        self.bytes_read.store(progress.bytes_read, Ordering::Relaxed);
        self.bytes_total.store(progress.bytes_total.unwrap_or(0), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn progress_and_figures() {
    let (session, dir) = (session(), folder());
    let path = dir.path().join("x.csv");
    let body: String = (0..100_000).map(|i| format!("{i},{}\n", i % 7)).collect();
    std::fs::write(&path, format!("a,k\n{body}")).unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    let frame = session.read(&path.display().to_string()).await.unwrap();
    let frame = frame.group_by(&["k"]).unwrap().agg(vec![sum(col("a"))]).unwrap();
    let sink = Arc::new(Last::default());
    let run = RunOptions { progress: Some(sink.clone()), ..Default::default() };
    assert_eq!(rows(&frame.collect_with(&run).await.unwrap()).len(), 7);
    assert!(sink.calls.load(Ordering::Relaxed) > 0);
    assert_eq!(sink.rows_read.load(Ordering::Relaxed), 100_000);
    assert_eq!(sink.bytes_total.load(Ordering::Relaxed), size);
    assert_eq!(sink.bytes_read.load(Ordering::Relaxed), size);
    let scan = session.last_stats().unwrap().operators.pop().unwrap();
    assert_eq!((scan.name.as_str(), scan.rows, scan.bytes), ("DataSourceExec", 100_000, size));
    let stats = session.last_stats().unwrap();
    assert_eq!((stats.rows, stats.fallback.clone()), (7, None));
    assert!(stats.bytes_read >= size && stats.bytes_read < 2 * size, "{}", stats.bytes_read);
    assert!(stats.seconds > 0.0 && stats.operators.len() > 2);
    assert!(stats.operators.iter().all(|o| o.device == "cpu"));
    // Rows that no file gives count too.
    let text = "select count(*) from generate_series(1, 1000) a, (values (1), (2)) b(x)";
    session.sql(text).await.unwrap().collect_with(&run).await.unwrap();
    assert_eq!(sink.rows_read.load(Ordering::Relaxed), 1002);
    // Those of a table in memory as they are read: here one batch and no more.
    let cached = session.sql("select value from generate_series(1, 50000)").await.unwrap();
    let cached = cached.cache().await.unwrap();
    cached.collect_with(&run).await.unwrap();
    assert_eq!(sink.rows_read.load(Ordering::Relaxed), 50_000);
    let scan = session.last_stats().unwrap().operators.pop().unwrap();
    assert_eq!((scan.name.as_str(), scan.rows), ("DataSourceExec", 50_000));
    assert!(scan.bytes >= 50_000 * 8, "{}", scan.bytes);
    cached.limit(0, 10).unwrap().collect_with(&run).await.unwrap();
    assert!(sink.rows_read.load(Ordering::Relaxed) < 50_000);
}

#[tokio::test]
async fn a_sample_depends_on_the_rows_and_the_seed_alone() {
    let query = "select value % 1000 as k, 'n' || (value % 7) as t, \
                 case when value % 3 = 0 then null else value % 50 end as x \
                 from generate_series(1, 20000)";
    let sample = |partitions: usize, order: &'static str, fraction: f64, seed: u64| async move {
        let devices = "cpu".parse().unwrap();
        let target_partitions = Some(partitions);
        let options = SessionOptions { devices, target_partitions, ..Default::default() };
        let session = Session::with_options(options).unwrap();
        let frame = session.sql(&format!("select * from ({query}) order by {order}")).await;
        let sample = frame.unwrap().sample(fraction, seed).unwrap();
        assert_eq!(sample.columns(), ["k", "t", "x"]);
        let mut rows = all(&sample).await;
        rows.sort();
        rows
    };
    let first = sample(1, "k", 0.1, 42).await;
    // Five standard deviations of a binomial: sqrt(20000 * 0.1 * 0.9) is 42.
    assert!((1790..=2210).contains(&first.len()), "{} rows", first.len());
    assert_eq!(sample(4, "x desc, t", 0.1, 42).await, first);
    let other = sample(1, "k", 0.1, 43).await;
    assert_ne!(other, first);
    assert_eq!(sample(2, "k", 1.0, 1).await.len(), 20_000);
    assert_eq!(sample(2, "k", 0.0, 1).await.len(), 0);
    // Equal rows are chosen one by one.
    let session = session();
    let equal = session.sql("select 1 as a from generate_series(1, 10000)").await.unwrap();
    let rows = equal.sample(0.5, 7).unwrap().count().await.unwrap();
    assert!((4750..=5250).contains(&rows), "{rows} rows");
    let e = equal.sample(1.5, 7).unwrap_err().to_string();
    assert_eq!(e, "option fraction: expected a number from 0 to 1, got 1.5");
}

#[tokio::test]
async fn operators_on_a_device_tell_rows_and_bytes() {
    let session = session_with(SessionOptions { force_device: true, ..Default::default() });
    let rows = "(select value as v, value % 10 as k from generate_series(1, 100000))";
    for (query, operator) in [
        ("select k, sum(v) as s from R where v % 3 = 0 group by k", "DeviceAggregateExec"),
        ("select v * 2 + k as x from R where v % 3 = 0", "DevicePipelineExec"),
    ] {
        sql(&session, &query.replace('R', rows)).await;
        let stats = session.last_stats().unwrap();
        let here: Vec<_> = stats.operators.iter().filter(|o| o.name == operator).collect();
        assert!(!here.is_empty(), "{:?}", stats.operators);
        for o in stats.operators.iter().filter(|o| o.name.starts_with("Device")) {
            assert!(o.rows > 0 && o.bytes > 0, "{o:?}");
        }
    }
}

#[tokio::test]
async fn figures_of_a_failed_query_are_kept() {
    let session = session();
    let failing = "select sum(1 / (value - 900000)) from generate_series(1, 1000000)";
    assert!(session.sql(failing).await.unwrap().collect().await.is_err());
    let stats = session.last_stats().unwrap();
    assert!(stats.operators.iter().any(|o| o.rows > 0), "{:?}", stats.operators);
    // One that fails before it runs has none, and not those of the one before.
    assert!(run(&session, "select nothing from nowhere").await.is_err());
    assert!(session.last_stats().is_none());
}
