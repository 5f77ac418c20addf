//! What planning adds to DataFusion's: the order of joins, scans that test a join's keys before
//! they read the rest of a row, and aggregations that several readers share.

use frame_tests::{folder, run, session, session_with, sql};
use windlass::{Session, SessionOptions};

/// Files of events, the things that they are about, and the groups of these; in each column
/// but the numbers some nulls.
async fn tables(session: &Session, folder: &std::path::Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    let write = [
        (
            "events.parquet",
            "select n as id, case when n % 13 = 5 then null else (n * 7919) % 40000 end as thing, \
             n % 97 as amount, 'event ' || (n % 31) as note, \
             case when n % 17 = 3 then null else 'thing ' || ((n * 7919) % 40000) end as name, \
             date '2020-01-01' + cast((n * 7919) % 4000 as int) as day \
             from generate_series(0, 299999) t(n)",
        ),
        (
            "things.parquet",
            "select n as id, n % 300 as kind, 'thing ' || n as name, n * 1.5 as weight \
             from generate_series(0, 39999) t(n)",
        ),
        ("kinds.parquet", "select n as id, 'kind ' || n as name from generate_series(0, 299) t(n)"),
        (
            "days.parquet",
            "select date '2020-01-01' + cast(n * 97 as int) as day, n as number \
             from generate_series(0, 20) t(n)",
        ),
    ];
    for (name, query) in write {
        let text = format!("copy ({query}) to '{}' stored as parquet", path(name));
        run(session, &text).await.expect("a file");
        let table = name.trim_end_matches(".parquet");
        let text =
            format!("create external table {table} stored as parquet location '{}'", path(name));
        run(session, &text).await.expect("a table");
    }
}

/// The plan of a query as one text.
async fn plan(session: &Session, query: &str) -> String {
    sql(session, &format!("explain {query}")).await.join("\n")
}

/// Joins that keep few of the events, by keys of every sort.
const FEW: [&str; 6] = [
    "select e.id, e.note, t.weight from things t join events e on e.thing = t.id \
     where t.kind = 7 order by e.id",
    "select count(*), sum(e.amount), min(e.note) from events e join things t on e.thing = t.id \
     join kinds k on t.kind = k.id where k.name in ('kind 3', 'kind 8')",
    "select count(*), sum(e.amount), max(t.weight) from things t join events e \
     on e.name = t.name where t.kind = 11",
    "select d.number, count(*), sum(e.amount) from days d join events e on e.day = d.day \
     where d.number < 4 group by d.number order by d.number",
    "select count(*), sum(amount) from events where thing in \
     (select id from things where kind between 20 and 22)",
    "select e.id, e.note from things t join events e on e.thing = t.id and e.name = t.name \
     where t.kind = 7 and e.amount < t.weight order by e.id limit 50",
];

#[tokio::test]
async fn scans_that_wait_for_keys_give_the_same_rows() {
    let folder = folder();
    let (waits, plain) = (session(), session());
    tables(&waits, folder.path()).await;
    tables(&plain, folder.path()).await;
    let off = "set datafusion.optimizer.enable_dynamic_filter_pushdown = false; \
               set datafusion.optimizer.join_reordering = false";
    run(&plain, off).await.expect("settings");
    for query in FEW {
        let expected = sql(&plain, query).await;
        assert!(!expected.is_empty() && expected != ["0,,"], "{query}: {expected:?}");
        assert_eq!(sql(&waits, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn keys_and_aggregates_may_share_a_test_that_is_never_null() {
    let folder = folder();
    let session = session();
    tables(&session, folder.path()).await;
    let query = "select (thing > 7) is not true as small, count(*) as n, \
                 max(amount) filter (where not (thing > 7) is not true) as most \
                 from events group by 1 order by 1";
    let few = sql(&session, "select count(*) from events where thing > 7").await[0].clone();
    let rest = 300_000 - few.parse::<u64>().expect("a number");
    assert_eq!(sql(&session, query).await, [format!("false,{few},96"), format!("true,{rest},")]);
}

#[tokio::test]
async fn only_the_rows_that_a_join_keeps_leave_the_scan() {
    let folder = folder();
    let session = session();
    tables(&session, folder.path()).await;
    sql(&session, FEW[0]).await;
    let stats = session.last_stats().expect("figures");
    let scans = stats.operators.iter().filter(|o| o.name.contains("DataSourceExec"));
    let rows: Vec<_> = scans.map(|o| o.rows).collect();
    assert!(rows.iter().all(|n| *n < 50_000), "{rows:?} rows left the scans of 300,000");

    // A join that keeps most of them reads as before.
    sql(&session, "select count(*) from things t join events e on e.thing = t.id").await;
    let stats = session.last_stats().expect("figures");
    let most = stats.operators.iter().map(|o| o.rows).max();
    assert_eq!(most, Some(300_000), "{:?}", stats.operators);
}

#[tokio::test]
async fn an_aggregation_that_stands_twice_runs_once() {
    let folder = folder();
    let session = session();
    tables(&session, folder.path()).await;
    let query = "with total as (select thing, sum(amount) as s, count(*) as c from events \
                 group by thing) select thing, s, c from total \
                 where s = (select max(s) from total) order by thing";
    assert_eq!(plan(&session, query).await.matches("SharedExec").count(), 2);
    let written_out = "select thing, sum(amount) as s, count(*) as c from events group by thing \
                       having sum(amount) >= (select sum(amount) from events group by thing \
                       order by 1 desc limit 1) order by thing";
    let rows = sql(&session, query).await;
    assert!(!rows.is_empty());
    assert_eq!(rows, sql(&session, written_out).await);
    sql(&session, query).await;
    let stats = session.last_stats().expect("figures");
    let scans = stats.operators.iter().filter(|o| o.name.contains("DataSourceExec"));
    assert_eq!(scans.map(|o| o.rows).sum::<u64>(), 300_000, "{:?}", stats.operators);

    // The filter above it says in words why it is not on a device.
    let waits = stats.operators.iter().any(|o| o.reason == "it waits for the value of a subquery");
    assert!(waits, "{:?}", stats.operators);

    // Three readers, one of which joins another.
    let query = "with total as (select thing, sum(amount) as s from events group by thing) \
                 select count(*), sum(a.s), sum(b.s) from total a join total b on a.s = b.s \
                 where a.thing < 100 or a.s > (select avg(s) from total)";
    let written_out = "select count(*), sum(a.s), sum(b.s) from \
                 (select thing, sum(amount) as s from events group by thing) a join \
                 (select thing, sum(amount + 0) as s from events group by thing) b on a.s = b.s \
                 where a.thing < 100 or a.s > (select avg(s) from \
                 (select thing, sum(amount * 1) as s from events group by thing))";
    assert_eq!(sql(&session, query).await, sql(&session, written_out).await);
    assert_eq!(plan(&session, query).await.matches("SharedExec").count(), 3);
}

#[tokio::test]
async fn what_differs_is_not_shared() {
    let folder = folder();
    let session = session();
    tables(&session, folder.path()).await;
    for query in [
        // Another filter, another key, another value at each call.
        "select a.c, b.c from (select count(*) c from events where amount < 3) a, \
         (select count(*) c from events where amount < 4) b",
        "select a.c, b.c from (select max(amount) c from events group by thing) a, \
         (select max(amount) c from events group by note) b",
        "select a.c = b.c from (select max(random()) c from events) a, \
         (select max(random()) c from events) b",
    ] {
        let plan = plan(&session, query).await;
        assert!(!plan.contains("SharedExec"), "{plan}");
    }
    let query = "select a.c = b.c from (select max(random()) c from events) a, \
                 (select max(random()) c from events) b";
    assert_eq!(sql(&session, query).await, ["false"]);

    // One name for two tables: what was read is not read again.
    let old = session.sql("select 1 as x, 2 as y").await.expect("a frame");
    session.register("named", &old.cache().await.expect("rows")).expect("a name");
    let first = session.sql("select sum(x) as s from named").await.expect("a frame");
    let new = session.sql("select 10 as x, 2 as y").await.expect("a frame");
    session.register("named", &new.cache().await.expect("rows")).expect("a name");
    let second = session.sql("select sum(x) as s from named").await.expect("a frame");
    let both = first.union(&second).expect("a union");
    let mut rows = frame_tests::all(&both).await;
    rows.sort();
    assert_eq!(rows, ["1", "10"]);
}

/// A session that places what it can on the emulated device.
fn forced() -> Session {
    let options = SessionOptions {
        devices: "cuda-emulated:0".parse().expect("a spec"),
        force_device: true,
        target_partitions: Some(2),
        ..Default::default()
    };
    Session::with_options(options).expect("a session")
}

#[tokio::test]
async fn a_device_sorts_all_partitions_at_once() {
    let folder = folder();
    let (device, host) = (forced(), session());
    tables(&device, folder.path()).await;
    tables(&host, folder.path()).await;
    for query in [
        "select thing, amount, id from events order by thing desc nulls last, amount, id",
        "select id + 1 as next, note from events order by note, id desc limit 7",
        "select note as n, s from (select note, sum(amount) as s from events group by note) \
         order by s, note",
    ] {
        let plan = plan(&device, query).await;
        assert!(!plan.contains("SortPreservingMergeExec"), "{plan}");
        assert_eq!(sql(&device, query).await, sql(&host, query).await, "{query}");
    }
}

#[tokio::test]
async fn a_filter_on_a_device_waits_for_a_subquery() {
    let folder = folder();
    let (device, host) = (forced(), session());
    tables(&device, folder.path()).await;
    tables(&host, folder.path()).await;
    for query in [
        "select count(*), sum(amount) from events where amount > (select avg(amount) from events)",
        "select id, thing from events where id between (select max(id) - 40 from events) \
         and (select max(id) - 20 from events) and thing > (select min(kind) from things) \
         order by id",
        // No row, so no value: nothing is more than null.
        "select count(*) from events where amount > (select max(kind) from things where id < 0)",
    ] {
        let plan = plan(&device, query).await;
        let on_host = plan.lines().any(|line| line.trim_start().starts_with("FilterExec"));
        assert!(!on_host, "{plan}");
        assert_eq!(sql(&device, query).await, sql(&host, query).await, "{query}");
    }
}

#[tokio::test]
async fn too_little_memory_to_share_is_no_error() {
    let folder = folder();
    let wide = session();
    tables(&wide, folder.path()).await;
    let query = "with total as (select id, max(note) as n, sum(amount) as s from events \
                 group by id) select count(*), sum(a.s), max(b.n) from total a join total b \
                 on a.id = b.id where b.id < 5";
    let expected = sql(&wide, query).await;
    for megabytes in [24, 40, 64, 256] {
        let options = SessionOptions { memory: Some(megabytes << 20), ..Default::default() };
        let tight = session_with(options);
        for table in ["events", "things", "kinds", "days"] {
            let file = folder.path().join(format!("{table}.parquet"));
            let text = format!(
                "create external table {table} stored as parquet location '{}'",
                file.display()
            );
            run(&tight, &text).await.expect("a table");
        }
        match tight.sql(query).await.expect("a plan").collect().await {
            Ok(rows) => assert_eq!(frame_tests::rows(&rows), expected, "{megabytes} MiB"),
            // Without sharing it is too little as well.
            Err(e) => assert!(megabytes < 64 && e.to_string().contains("memory"), "{e}"),
        }
    }
}
