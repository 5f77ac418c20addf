//! Joins whose rows stay on a GPU: every kind below aggregations and pipelines, against
//! DataFusion's operators on the CPU.

use super::breakers::{run, session, with_tables};
use frame_tests::{folder, session_with, sql};
use windlass::SessionOptions;

/// The same rows as DataFusion's, on every kind of GPU that needs none, with `joins` joins
/// whose rows stay there in each query.
async fn same(queries: &[(String, usize)]) {
    let plain = with_tables(session_with(SessionOptions::default()));
    for device in ["cuda-emulated:0", "wgpu:0"] {
        let session = session(device);
        for (query, joins) in queries {
            let (mut expected, _) = run(&plain, query).await;
            let (mut rows, _) = run(&session, query).await;
            let stats = session.last_stats().unwrap();
            let plan = &stats.plan;
            assert_eq!(plan.matches("rows=device").count(), *joins, "{query} on {device}\n{plan}");
            assert_eq!(stats.fallback, None, "{query} on {device}");
            expected.sort_unstable();
            rows.sort_unstable();
            assert!(!expected.is_empty(), "{query} shows nothing");
            assert_eq!(rows, expected, "{query} on {device}\n{plan}");
        }
    }
}

const KINDS: [&str; 4] = ["join", "left join", "right join", "full join"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_joins_of_every_kind() {
    let mut queries = Vec::new();
    for kind in KINDS {
        for (on, key) in [
            ("a.k = b.k", "a.text"),
            ("a.skew = b.skew and a.day = b.day", "b.text"),
            ("a.text = b.text", "a.day"),
            ("upper(a.text) = upper(b.text) and a.k = b.k", "b.k"),
        ] {
            queries.push((
                format!(
                    "select {key}, count(*) n, sum(a.x) s, min(b.price) p, max(b.day) d, \
                     count(b.text) t from a {kind} b on {on} group by {key}"
                ),
                1,
            ));
        }
        queries.push((format!("select count(*) from a {kind} b on a.k = b.k"), 1));
        let none = "sum(a.x), count(none.id) from a";
        queries.push((format!("select count(*), {none} {kind} none on a.k = none.k"), 1));
    }
    same(&queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_semi_anti_and_mark_joins() {
    let mut queries = Vec::new();
    for (outer, inner) in [("a", "b"), ("b", "a")] {
        let test = format!("(select 1 from {inner} i where i.k = o.k and i.x > 5)");
        let of = format!("select text, count(*) n, sum(x) s from {outer} o where");
        queries.push((format!("{of} exists {test} group by text"), 1));
        queries.push((format!("{of} not exists {test} group by text"), 1));
        queries.push((format!("{of} (o.x > 20 or exists {test}) group by text"), 1));
    }
    same(&queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_texts_and_steps_around_joins() {
    let text = "'text number 00";
    let queries = [
        // A filter on the pairs is a step of the aggregation.
        "select a.skew, count(*) n, sum(b.x) s from a join b on a.k = b.k and a.x < b.x and \
         a.text <> b.text group by a.skew"
            .to_string(),
        // Constants below the join, and above it; texts as keys and as values.
        format!(
            "select a.text, count(*) n, max(b.x) m from a join b on a.day = b.day where a.text > \
             {text}30' and b.text in ({text}11', {text}12', {text}40') group by a.text"
        ),
        format!(
            "select case when b.text < {text}20' then 'low' else a.text end t, count(*) n from a \
             join b on a.day = b.day and a.k = b.k group by 1"
        ),
        // Expressions below and above.
        "select p.v % 5 g, sum(p.v + q.v) s from (select k, id * 2 v from a where x > 0) p join \
         (select k + 1 k, id - 7 v from b where x < 40) q on p.k = q.k where p.v > q.v group by 1"
            .to_string(),
        // A pipeline alone.
        "select a.id, b.id i, a.x + b.x v, upper(b.text) u from a join b on a.k = b.k where \
         a.x + b.x > 30"
            .to_string(),
        "select distinct a.text, b.day from a join b on a.k = b.k".to_string(),
        "select count(distinct b.text) c, median(a.x) m from a join b on a.skew = b.skew"
            .to_string(),
    ];
    same(&queries.map(|q| (q, 1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_over_joins() {
    let queries = [
        (
            "select a.skew, count(*) n, sum(c.x) s from a join b on a.k = b.k join a c on b.skew = \
             c.skew and b.day = c.day group by a.skew",
            2,
        ),
        (
            "select c.text, count(*) n, max(b.x) m from a join b on a.k = b.k left join b c on \
             a.day = c.day and b.text = c.text where a.x > 0 group by c.text",
            2,
        ),
        (
            "select count(*) n, sum(a.x) s from a where exists (select 1 from b join b c on b.k = \
             c.k where b.day = a.day)",
            2,
        ),
    ];
    same(&queries.map(|(q, n)| (q.to_string(), n))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_share_tables_of_texts_that_another_uploaded() {
    let folder = folder();
    let host = session_with(SessionOptions::default());
    for part in 0..6 {
        let path = folder.path().join(format!("{part}.parquet"));
        let rows = format!(
            "select n as id, n % 500 as k, 'text ' || (n % 7) as text \
             from generate_series({part} * 3000, {part} * 3000 + 2999) t(n)"
        );
        sql(&host, &format!("copy ({rows}) to '{}'", path.display())).await;
    }
    let query = "select count(*) n, sum(l.id) s from l join l r on l.k = r.k and r.id < 500 \
                 where l.text not in ('text 1', 'text 4', 'text 6')";
    for device in ["cpu", "wgpu:0", "cuda-emulated:0"] {
        // Each time its own tables: a partition may come to read them at any moment.
        for _ in 0..8 {
            let session = session(device);
            let frame = session.read(&folder.path().display().to_string()).await.expect("rows");
            session.register("l", &frame).expect("a name");
            assert_eq!(sql(&session, query).await, ["10286,92566286"], "{device}");
        }
    }
}
