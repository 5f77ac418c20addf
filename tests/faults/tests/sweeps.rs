//! Each kind of fault at each call of a query, until the query makes fewer calls: the rows
//! are those of the CPU, and the stats say what failed.

use faults::{Data, nothing_leaks, run, took_over};
use windlass::device::fault::FaultPlan;

/// Filters, projections and groups, several in one plan, over one file and over several.
pub(crate) const QUERIES: &[(&str, &str)] = &[
    ("pipeline", "select id, a * 2 + k v, b / 4.0 q, t from x where b > 0 and k is not null"),
    (
        "groups",
        "select k, count(*) n, sum(a) s, min(b) m, max(t) l from x where b > -500 group by k",
    ),
    ("no_keys", "select count(*) n, sum(a) s, max(b) m, avg(b) v from x where a > 0"),
    ("one_file", "select k, g, sum(b) s from one where id % 3 <> 0 group by k, g"),
    (
        "strings",
        "select upper(g) u, length(s) l, count(*) n from x where s like 's1%' group by 1, 2",
    ),
    ("string_rows", "select id, g || '!' w, s from x where g in ('beta', 'gamma') and s <> 's7'"),
    ("limit", "select id, a + 1 v from one where b > 0 limit 50"),
    (
        "union_of_groups",
        "select k, count(*) n from x where a > 0 group by k union all select k, sum(a) from one group by k",
    ),
    (
        "union_of_pipelines",
        "select id, a * 2 v from x where a > 500 union all select id, k - 1 from one where k > 5",
    ),
    (
        "join_of_groups",
        "select p.k, p.n, q.m from (select k, count(*) n from x group by k) p \
         join (select k, max(a) m from one where b > 0 group by k) q on p.k = q.k",
    ),
    // One aggregation for each partition, which cannot start again: the query does.
    (
        "groups_of_a_join",
        "select p.k, count(*) n, sum(q.a) s from x p join one q on p.k = q.k \
         where p.a > 900 and q.a is not null group by p.k",
    ),
    (
        "groups_of_groups",
        "select n % 7 c, count(*) from (select s, g, count(*) n from x group by s, g) where n > 0 group by 1",
    ),
    (
        "sorted",
        "select g, sum(a) s from x where a is not null group by g order by s desc, g limit 3",
    ),
    (
        "windows",
        "select id, row_number() over (partition by k order by id) r, sum(a) over (partition by k \
         order by id rows between 2 preceding and current row) s, lag(g) over (order by id) l \
         from x where id < 900",
    ),
    (
        "first_of_groups",
        "select id, k, a from (select id, k, a, row_number() over (partition by k order by a desc, \
         id) r from x) where r <= 2",
    ),
    (
        "chain_of_joins",
        "select p.id, q.id i, r.k from x p join one q on p.k = q.k and p.id % 50 = q.id % 50 join \
         (select distinct k from one where b > 0) r on q.k = r.k where p.a > (select min(a) from x) \
         and p.g in (select g from one where a is not null)",
    ),
    (
        "shared_groups",
        "with t as (select k, sum(a) s, count(*) n from x group by k) select k, s from t \
         where n > (select avg(n) from t) union all select k, n from t where s > 0",
    ),
    (
        "resident_joins",
        "select q.g, r.s, count(*) n, sum(p.a) m from x p join one q on p.k = q.k and p.a < q.a \
         left join one r on q.id = r.id where p.b > 900 and q.b > 800 group by q.g, r.s",
    ),
    (
        "filtered_join",
        "select q.g, count(*) n, sum(p.a) m from x p full join one q on p.id % 3000 = q.id % 3000 \
         and p.a < q.a group by q.g",
    ),
    (
        "rows_of_a_join",
        "select p.id, q.g, p.a + q.a v from x p join one q on p.id % 3000 = q.id - 9000000 where p.a > 900 - q.a",
    ),
    (
        "pairs",
        "select p.id, q.id i, q.g from (select * from one where id % 12 = 0) p left join (select * \
         from one where id % 9 = 0) q on p.a > q.a + 900 and p.k < q.k",
    ),
    (
        "union_of_joins",
        "select g, count(*) n, sum(a) s from (select p.g, q.a from x p join one q on p.k = q.k and \
         p.a > 900 union all select g, a from one where b > 800) group by g",
    ),
    (
        "limit_of_a_join",
        "select count(*) n, count(i) c from (select p.id, q.id i from x p join one q on p.id % \
         3000 = q.id - 9000000 offset 700)",
    ),
    (
        "sorted_join",
        "select p.id, q.g, p.a + q.a v from x p join one q on p.id % 3000 = q.id - 9000000 where \
         p.a > 500 order by q.g desc, p.id limit 60",
    ),
    (
        "exchanged_join",
        "select id, g, row_number() over (partition by k order by id) r from (select p.id, q.g, \
         q.k from x p join one q on p.id % 3000 = q.id - 9000000 where p.a > 500)",
    ),
    ("medians", "select g, median(a) m, count(distinct k) d from x group by g"),
];

/// The kinds of fault, as the plan names them.
const KINDS: &[&str] = &["alloc", "alloc_from", "launch", "transfer", "lost"];

/// Runs a query with one fault; whether it happened.
async fn with_fault(
    data: &Data,
    device: &str,
    fault: &str,
    sql: &str,
    expected: &[String],
) -> bool {
    let what = format!("{sql} on {device} with {fault}");
    let session = data.failing(device, FaultPlan::parse(fault).unwrap()).await;
    let got = run(&session, sql).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(got, expected, "{what}");
    let stats = session.last_stats().unwrap();
    let reason = took_over(&stats);
    if let Some(reason) = &reason {
        let named = ["injected fault", "out of memory"].iter().any(|w| reason.contains(w));
        assert!(named && reason.contains(device), "{what}: {reason}");
    }
    nothing_leaks(&session, &what).await;
    if fault.starts_with("lost") && reason.is_some() {
        // A lost device is out of use in the queries after.
        let sql = "select count(*) n, sum(a) s from x where a > 0";
        let after = run(&session, sql).await.unwrap_or_else(|e| panic!("after {what}: {e}"));
        let cpu = data.session("cpu", Default::default()).await;
        assert_eq!(after, run(&cpu, sql).await.unwrap(), "after {what}");
        let stats = session.last_stats().unwrap();
        assert!(stats.operators.iter().all(|o| o.device == "cpu"), "after {what}: {}", stats.plan);
        let reasons: Vec<&str> = stats.operators.iter().map(|o| o.reason.as_str()).collect();
        assert!(took_over(&stats).is_some(), "after {what}: {reasons:?}");
        nothing_leaks(&session, &what).await;
    }
    reason.is_some()
}

/// Every `step`-th part of the calls so far further on: 1 tries each call.
async fn sweep(device: &str, sql: &str, next: impl Fn(u64) -> u64) {
    let data = Data::new(2500);
    let cpu = data.session("cpu", Default::default()).await;
    let expected = run(&cpu, sql).await.unwrap();
    assert!(!expected.is_empty(), "{sql} shows nothing");
    for kind in KINDS {
        let (mut n, mut met, mut unmet) = (1, 0, 0);
        // Partitions run side by side, so the number of calls is not quite fixed.
        while unmet < 2 {
            let happened = with_fault(&data, device, &format!("{kind}={n}"), sql, &expected).await;
            (met, unmet) = if happened { (met + 1, 0) } else { (met, unmet + 1) };
            n = next(n);
        }
        assert!(met > 0, "{kind} never happened in {sql}");
    }
}

/// The calls to try in every run of the tests: the first ones, then a third more each.
fn some(n: u64) -> u64 {
    n + 1 + n / 3
}

macro_rules! sweeps {
    ($($name:ident),*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            sweep("cuda-emulated:0", query(stringify!($name)), some).await;
        }
    )*};
}

sweeps!(
    pipeline,
    groups,
    no_keys,
    one_file,
    strings,
    string_rows,
    limit,
    union_of_groups,
    union_of_pipelines,
    join_of_groups,
    groups_of_a_join,
    groups_of_groups,
    sorted,
    windows,
    first_of_groups,
    chain_of_joins,
    shared_groups,
    resident_joins,
    filtered_join,
    rows_of_a_join,
    pairs,
    union_of_joins,
    limit_of_a_join,
    sorted_join,
    exchanged_join,
    medians
);

/// The query of a name.
pub(crate) fn query(name: &str) -> &'static str {
    QUERIES.iter().find(|(n, _)| *n == name).expect("a query of that name").1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wgpu_fails_as_the_emulator_does() {
    // Each session compiles its pipelines anew: few calls are tried.
    for name in ["groups", "string_rows"] {
        sweep("wgpu:0", query(name), |n| n * 3 + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_whole_although_the_device_fails() {
    let data = Data::new(2500);
    let sql = "select k, count(*) n, sum(a) s from x where b > 0 group by k";
    let cpu = data.session("cpu", Default::default()).await;
    let expected = run(&cpu, sql).await.unwrap();
    for fault in ["launch=2", "alloc=3", "transfer=4", "lost=5", "lost=20"] {
        let session = data.failing("cuda-emulated:0", FaultPlan::parse(fault).unwrap()).await;
        let path = data.path(&fault.replace('=', "-")).with_extension("parquet");
        let path = path.to_str().unwrap();
        let copy = format!("copy ({sql}) to '{path}' stored as parquet");
        run(&session, &copy).await.unwrap_or_else(|e| panic!("{copy}: {e}"));
        nothing_leaks(&session, &copy).await;
        let written = cpu.read(path).await.unwrap().collect().await.unwrap();
        assert_eq!(faults::rows(&written), expected, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "every call of every query takes tens of minutes"]
async fn every_call_of_every_query() {
    for (_, sql) in QUERIES {
        sweep("cuda-emulated:0", sql, |n| n + 1).await;
        sweep("wgpu:0", sql, some).await;
    }
}
