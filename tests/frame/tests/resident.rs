//! Joins whose rows stay on a GPU: every kind below aggregations and pipelines, against
//! DataFusion's operators on the CPU.

use super::breakers::{DEVICES, run, session, session_on, with_tables};
use frame_tests::{folder, session_with, sql};
use windlass::SessionOptions;

/// The same rows as DataFusion's, on every kind of device that needs no GPU, with `joins` joins
/// in each query, whose rows stay on the device unless that is the host.
async fn same(queries: &[(String, usize)]) {
    let plain = with_tables(session_with(SessionOptions::default()));
    for device in DEVICES {
        let session = session(device);
        for (query, joins) in queries {
            let (mut expected, _) = run(&plain, query).await;
            let (mut rows, placed) = run(&session, query).await;
            let stats = session.last_stats().unwrap();
            let plan = &stats.plan;
            let nodes = placed.iter().filter(|p| *p == "DeviceHashJoinExec").count();
            assert_eq!(nodes, *joins, "{query} on {device}: {placed:?}");
            let stay = if device == "cpu" { 0 } else { *joins };
            assert_eq!(plan.matches("rows=device").count(), stay, "{query} on {device}\n{plan}");
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

/// Equal keys and a filter on the pairs that is null for some: skewed keys, texts, one side
/// alone, and pairs none of which passes.
const FILTERED: [&str; 7] = [
    "a.k = b.k and a.x < b.x",
    "a.skew = b.skew and a.x > b.x + 50",
    "a.k = b.k and a.text <> b.text and a.day < b.day",
    "a.text = b.text and a.price > b.price",
    "a.k = b.k and (a.x < b.x or b.price is null)",
    "a.day = b.day and a.x > 0 and b.x < 30 and a.x + b.x > 5",
    "a.k = b.k and a.x > b.x + 1000",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_outer_joins_with_filters_on_the_pairs() {
    let mut queries = Vec::new();
    for kind in ["left join", "right join", "full join"] {
        for on in FILTERED {
            queries.push((
                format!(
                    "select a.day, count(*) n, sum(a.x) s, min(b.price) p, count(b.text) t, \
                     count(b.id) c, count(a.id) d from a {kind} b on {on} group by a.day"
                ),
                1,
            ));
        }
        let none = "count(*), sum(a.x), count(none.id)";
        let on = "a.k = none.k and a.x < none.x";
        queries.push((format!("select {none} from a {kind} none on {on}"), 1));
        queries.push((format!("select {none} from none {kind} a on {on}"), 1));
        // Rows, and no columns at all.
        let on = FILTERED[0];
        queries.push((format!("select count(*) from a {kind} b on {on}"), 1));
        queries.push((format!("select a.id * 2 v, b.id + 1 w from a {kind} b on {on}"), 1));
    }
    same(&queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_semi_anti_and_mark_joins_with_filters_on_the_pairs() {
    let mut queries = Vec::new();
    for (outer, inner) in [("a", "b"), ("b", "a"), ("a", "none")] {
        for on in [
            "i.k = o.k and i.x > o.x",
            "i.skew = o.skew and i.x > o.x + 55",
            "i.text = o.text and i.day <> o.day",
            "i.k = o.k and i.text < 'text number 0030' and o.x + i.x > 20",
        ] {
            let test = format!("(select 1 from {inner} i where {on})");
            let of = format!("select text, count(*) n, sum(x) s from {outer} o where");
            // Nothing comes of a test against no rows.
            if inner != "none" {
                queries.push((format!("{of} exists {test} group by text"), 1));
            }
            queries.push((format!("{of} not exists {test} group by text"), 1));
            queries.push((format!("{of} (o.x > 20 or exists {test}) group by text"), 1));
        }
    }
    same(&queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_memories_cut_the_pairs_that_a_filter_tests() {
    let plain = with_tables(session_with(SessionOptions::default()));
    for kind in ["left", "right", "full"] {
        // Half of the rows of either side have one key: 150,000 pairs, of which a twelfth passes.
        let sql = format!(
            "select a.day, count(*) n, sum(b.x) s, count(a.id) c from a {kind} join b on \
             a.skew = b.skew and a.x > b.x + 50 group by a.day"
        );
        let (mut expected, _) = run(&plain, &sql).await;
        expected.sort_unstable();
        let options = SessionOptions {
            devices: "cuda-emulated:0".parse().unwrap(),
            force_device: true,
            device_memory: Some(4 << 20),
            ..SessionOptions::default()
        };
        let session = with_tables(session_on(options));
        let (mut rows, _) = run(&session, &sql).await;
        rows.sort_unstable();
        let stats = session.last_stats().unwrap();
        assert!(stats.plan.contains("rows=device"), "{}", stats.plan);
        assert_eq!(stats.fallback, None);
        assert!(stats.peak_device_bytes <= 4 << 20, "{}", stats.peak_device_bytes);
        assert_eq!(rows, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_joins_make_one_are_read_above_by_both_names() {
    let list = "('text number 0011', 'text number 0012', 'text number 0040')";
    let mut queries = Vec::new();
    for kind in KINDS {
        let both = "select a.text, b.text t, count(*) n";
        let from = format!("from a {kind} b on a.text = b.text");
        queries.push((format!("{both} {from} group by a.text, b.text"), 1));
        queries.push((
            format!(
                "{both}, sum(a.x) s {from} and a.day < b.day where coalesce(a.text, b.text) in \
                 {list} group by a.text, b.text"
            ),
            1,
        ));
    }
    queries.push((
        "select a.text, b.text t, c.text u, count(*) n from a join b on a.text = b.text left join \
         b c on b.text = c.text and a.day = c.day group by a.text, b.text, c.text"
            .to_string(),
        2,
    ));
    queries.push((
        "select upper(a.text) p, b.text || '!' q, a.id + b.id r from a join b on a.text = b.text"
            .to_string(),
        1,
    ));
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
