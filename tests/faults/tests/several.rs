//! Several devices that share the batches of a query: the rows are those of the CPU, the
//! batches are spread, and the others go on when one is lost.

use std::collections::BTreeSet;

use faults::{Data, in_order, nothing_leaks, plan, run, took_over};
use windlass::{
    DeviceOptions, Session, SessionOptions,
    arrow::{array::AsArray, datatypes::Int64Type},
    device::fault::FaultPlan,
};

use super::sweeps::{QUERIES, query};

const FOUR: &str = "cuda-emulated*4";

/// Small enough that tens of thousands of rows are several batches.
const LITTLE: usize = 2 << 20;

async fn four(data: &Data, faults: &str) -> Session {
    let faults = FaultPlan::parse(faults).expect("a plan of faults");
    let device = DeviceOptions { faults, ..DeviceOptions::default() };
    let options = SessionOptions { device, device_memory: Some(LITTLE), ..Default::default() };
    data.session(FOUR, options).await
}

/// Batches that each device did, by its name.
fn batches(session: &Session) -> Vec<(String, u64)> {
    let group = session.devices().inventory().group().expect("devices").expect("several");
    group.counts().into_iter().map(|(name, counts)| (name, counts.tasks)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_are_those_of_the_cpu() {
    let data = Data::new(2500);
    let cpu = data.session("cpu", SessionOptions::default()).await;
    let session = four(&data, "").await;
    for (name, sql) in QUERIES {
        let expected = run(&cpu, sql).await.expect(name);
        let got = run(&session, sql).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(got, expected, "{name}: {}", plan(&session, sql).await);
        let stats = session.last_stats().expect("figures");
        assert_eq!(stats.fallback, None, "{name}");
        nothing_leaks(&session, name).await;
    }
}

/// Each gives a batch from every few thousand rows: rows in order, groups with and without keys,
/// texts as codes, pairs of a join.
const LARGE: &[&str] = &[
    "select id, a * 2 + k v, b / 4.0 q, t, g || '!' w from one where b > -800",
    "select k, g, count(*) n, sum(b) s, avg(a) v, min(t) m, round(stddev(a), 6) d from one group by k, g",
    "select count(*) n, sum(a) s, max(b) m from one where g <> 'beta'",
    "select s, count(*) n from one group by s",
    "select id, s, count(*) n, sum(b) b from one group by id, s",
    "select p.id, q.g, p.a + q.a v from one p join x q on p.id % 3000 = q.id where p.a > q.a",
    "select id, s, row_number() over (partition by s order by id) n, \
     sum(a) over (partition by s order by id) v, lag(t) over (partition by s order by id) l from one",
    "select id, t from one order by b desc nulls last, t, id limit 500",
    "select id, t from one where a > -900 order by b desc nulls last, t, id",
    // Rows of the smaller side, which is built, with and without a pair.
    "select q.id, q.g, p.id pid from x q left join one p on p.id % 3000 = q.id and p.a > q.a",
    "select q.id, q.g, p.id pid from x q full join one p on p.id % 3000 = q.id + 7",
    "select id, g from x q where exists (select 1 from one p where p.id % 3000 = q.id + 7)",
    "select id, g from x q where not exists (select 1 from one p where p.id % 3000 = q.id and p.a < q.a)",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_shared() {
    let data = Data::new(120_000);
    let cpu = data.session("cpu", SessionOptions::default()).await;
    let mut used = BTreeSet::new();
    for sql in LARGE {
        let session = four(&data, "").await;
        let expected = run(&cpu, sql).await.expect(sql);
        assert_eq!(run(&session, sql).await.expect(sql), expected, "{sql}");
        let stats = session.last_stats().expect("figures");
        let shared = stats.operators.iter().any(|o| o.device == FOUR);
        assert!(shared, "{sql} is not shared: {}", stats.plan);
        used.extend(batches(&session).into_iter().filter(|(_, n)| *n > 0).map(|(name, _)| name));
        nothing_leaks(&session, sql).await;
    }
    // How many get one of a few batches is up to how long each takes.
    assert!(used.len() > 1, "{used:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_do_not_fit_on_each_device_are_divided_among_them() {
    let data = Data::new(240_000);
    let cpu = data.session("cpu", SessionOptions::default()).await;
    // Rows that the filter drops go nowhere in the end, and texts go as codes.
    let sql = "select id % 60000 n, count(*) c, sum(b) s, max(t) m, avg(a) v, \
               sum(case when g = 'beta' then id else k end) w from one where a <> 7 group by id % 60000";
    let expected = run(&cpu, sql).await.expect("rows");
    let options = SessionOptions { device_memory: Some(5_500_000), ..Default::default() };
    let session = data.session(FOUR, options).await;
    assert_eq!(run(&session, sql).await.expect("rows"), expected);
    let stats = session.last_stats().expect("figures");
    assert_eq!((stats.fallback.clone(), stats.spilled_bytes), (None, 0), "{}", stats.plan);
    nothing_leaks(&session, sql).await;
    let analyzed = run(&session, &format!("explain analyze {sql}")).await.expect("figures");
    let analyzed = analyzed.join("\n");
    assert!(analyzed.contains("exchanged_bytes="), "{analyzed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_keep_their_order() {
    let data = Data::new(60_000);
    let options = SessionOptions {
        devices: FOUR.parse().expect("devices"),
        target_partitions: Some(1),
        device_memory: Some(LITTLE),
        ..Default::default()
    };
    let session = Session::with_options(options).expect("a session");
    let path = data.path("one.csv");
    let frame = session.read(path.to_str().expect("a path")).await.expect("a table");
    session.register("one", &frame).expect("a name");
    let query = session.sql("select id, a * 2 v from one where b > -500").await.expect("a query");
    let mut ids: Vec<i64> = Vec::new();
    for batch in query.collect().await.expect("rows") {
        ids.extend(batch.column(0).as_primitive::<Int64Type>().values());
    }
    assert!(ids.len() > 30_000 && ids.is_sorted(), "{} rows", ids.len());
    let cpu = data.session("cpu", SessionOptions::default()).await;
    for (by, limit) in [("b desc nulls last, id", ""), ("s, t nulls first, id", "limit 3000")] {
        let sql = format!("select id, s, b from one order by {by} {limit}");
        let mut found = Vec::new();
        for session in [&cpu, &session] {
            let query = session.sql(&sql).await.expect("a query");
            found.push(in_order(&query.collect().await.expect("rows")));
        }
        let stats = session.last_stats().expect("figures");
        let sort = stats.operators.iter().find(|o| o.name == "DeviceSortExec").expect("a sort");
        assert_eq!(sort.device, FOUR, "{sql}: {}", stats.plan);
        assert!(found[0] == found[1], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_go_on_when_one_is_lost() {
    let data = Data::new(60_000);
    let cpu = data.session("cpu", SessionOptions::default()).await;
    let mut lost = 0;
    for sql in LARGE.iter().copied().chain([query("medians"), query("sorted_join")]) {
        let expected = run(&cpu, sql).await.expect(sql);
        let mut n = 1;
        while n < 400 {
            let what = format!("{sql} without the second device from call {n}");
            let session = four(&data, &format!("lost={n},only=1")).await;
            let got = run(&session, sql).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(got, expected, "{what}");
            let stats = session.last_stats().expect("figures");
            let on_the_cpu = stats.fallback.as_ref().is_some_and(|f| f.contains("on the CPU"));
            assert!(!on_the_cpu, "{what}: {:?}", stats.fallback);
            nothing_leaks(&session, &what).await;
            let name = "cuda-emulated:1".parse().expect("a name");
            if session.devices().inventory().lost(&name).is_none() {
                break;
            }
            lost += 1;
            // Later queries do without it.
            let got = run(&session, LARGE[2]).await.unwrap_or_else(|e| panic!("after {what}: {e}"));
            assert_eq!(got, run(&cpu, LARGE[2]).await.expect("rows"), "after {what}");
            let stats = session.last_stats().expect("figures");
            assert!(stats.operators.iter().any(|o| o.device != "cpu"), "after {what}");
            nothing_leaks(&session, &what).await;
            n = n * 2 + 1;
        }
    }
    assert!(lost > 10, "it was lost {lost} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_are_lost_the_cpu_takes_over() {
    let data = Data::new(40_000);
    let cpu = data.session("cpu", SessionOptions::default()).await;
    for sql in LARGE {
        let expected = run(&cpu, sql).await.expect(sql);
        for n in [1, 5, 20] {
            let session = four(&data, &format!("lost={n}")).await;
            assert_eq!(run(&session, sql).await.expect(sql), expected, "{sql}, lost at {n}");
            let reason = took_over(&session.last_stats().expect("figures"));
            assert!(reason.is_some_and(|r| r.contains("injected fault")), "{sql}, lost at {n}");
            nothing_leaks(&session, sql).await;
        }
    }
}

/// Queries with allocations that fail at random, one in a hundred; how many of them met one.
async fn soak(queries: usize) -> usize {
    let data = Data::new(20_000);
    let cpu = data.session("cpu", SessionOptions::default()).await;
    // Which rows a limit without an order leaves is free.
    let fixed = QUERIES.iter().filter(|(name, _)| *name != "limit").map(|(_, sql)| *sql);
    let all: Vec<&str> = fixed.chain(LARGE.iter().copied()).collect();
    let mut expected: Vec<Option<Vec<String>>> = vec![None; all.len()];
    let mut met = 0;
    for seed in 0..queries {
        let at = seed % all.len();
        if expected[at].is_none() {
            expected[at] = Some(run(&cpu, all[at]).await.expect("rows"));
        }
        let what = format!("{} with seed {seed}", all[at]);
        let faults = format!("alloc_rate=0.01,seed={seed}");
        let session = match seed % 3 {
            0 => four(&data, &faults).await,
            _ => data.failing("cuda-emulated:0", FaultPlan::parse(&faults).expect("a plan")).await,
        };
        let got = run(&session, all[at]).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(Some(got), expected[at], "{what}");
        met += usize::from(took_over(&session.last_stats().expect("figures")).is_some());
        nothing_leaks(&session, &what).await;
    }
    met
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allocations_that_fail_at_random() {
    assert!(soak(60).await > 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a thousand queries on the emulator take tens of minutes"]
async fn a_thousand_queries_with_allocations_that_fail_at_random() {
    assert!(soak(1000).await > 100);
}
