//! Limits, unions, exchanges, sorts and set operations of rows that are on a device: against
//! DataFusion's operators on the CPU, on every kind of device that needs no GPU.

use super::breakers::{DEVICES, run, session, with_tables};
use frame_tests::session_with;
use windlass::{Session, SessionOptions};

/// Every node of a plan's text that is on a device but for uploads, pipelines and downloads.
fn nodes(plan: &str, name: &str) -> usize {
    plan.lines().filter(|l| l.trim_start().starts_with(name)).count()
}

/// The plan of a query that was just run, which the CPU had no part in.
fn plan(session: &Session, query: &str, device: &str) -> String {
    let stats = session.last_stats().unwrap();
    assert_eq!(stats.fallback, None, "{query} on {device}");
    stats.plan.clone()
}

/// The same rows as DataFusion's; on devices other than the host with so many nodes whose names
/// begin so.
async fn same(queries: &[(&str, &[(&str, usize)])], ordered: bool) {
    let plain = with_tables(session_with(SessionOptions::default()));
    for device in DEVICES {
        let session = session(device);
        for (query, expected_nodes) in queries {
            let (mut expected, _) = run(&plain, query).await;
            let (mut rows, _) = run(&session, query).await;
            let plan = plan(&session, query, device);
            if !ordered {
                expected.sort_unstable();
                rows.sort_unstable();
            }
            assert!(!expected.is_empty(), "{query} shows nothing");
            assert_eq!(rows, expected, "{query} on {device}\n{plan}");
            for (name, count) in expected_nodes.iter().filter(|_| device != "cpu") {
                assert_eq!(nodes(&plan, name), *count, "{name} of {query} on {device}\n{plan}");
            }
        }
    }
}

/// Rows cross to the host once, at the end.
const ONCE: (&str, usize) = ("DeviceDownloadExec", 1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_unions_of_joins() {
    let union = ("DeviceUnionExec", 1);
    let queries: [(&str, &[_]); 6] = [
        (
            "select k, count(*) n, sum(x) s from (select a.k, b.x from a join b on a.k = b.k union \
             all select b.k, a.x from b join a on b.day = a.day) group by k",
            &[ONCE, union, ("DeviceHashJoinExec", 2)],
        ),
        // Three inputs: a join, a pipeline, rows as they are.
        (
            "select text, count(*) n, max(v) m from (select a.text, b.id v from a join b on \
             a.skew = b.skew and a.k = b.k union all select text, id * 2 from b where x > 0 union \
             all select text, id from a) group by text",
            &[ONCE, union, ("DeviceHashJoinExec", 1)],
        ),
        // Constants of one input, and steps above the union.
        (
            "select upper(t) u, count(*) n from (select case when a.x > b.x then 'low' else a.text \
             end t, a.id from a join b on a.k = b.k union all select text, id from b) \
             where id % 3 > 0 group by 1",
            &[ONCE, union, ("DeviceHashJoinExec", 1)],
        ),
        // Pipelines alone.
        (
            "select k, count(*) n, min(v) m from (select k, id * 2 v from a where x > 0 union all \
             select k, id from b where text > 'text number 0020') group by k",
            &[ONCE, union],
        ),
        // No columns, and a side without rows.
        (
            "select count(*) n from (select a.k from a join b on a.k = b.k union all select k from \
             none where k > 0)",
            &[ONCE, union],
        ),
        // A join over the union.
        (
            "select u.k, count(*) n, sum(b.x) s from (select a.k, a.day from a join b on a.k = b.k \
             union all select k, day from b where x > 5) u join b on u.day = b.day group by u.k",
            &[ONCE, union, ("DeviceHashJoinExec", 2)],
        ),
    ];
    same(&queries, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_limits() {
    // Which rows are left is free: only their number is compared.
    let queries: [(&str, &[_]); 4] = [
        ("select count(*) n from (select a.id, b.id i from a join b on a.k = b.k limit 100)", &[]),
        (
            "select count(*) n, count(i) c from (select a.id, b.id i from a join b on a.k = b.k \
             limit 700 offset 30)",
            &[],
        ),
        (
            "select count(*) n, sum(c) s from (select a.x * 0 + 2 c from a join b on a.k = b.k \
             where a.x > -3 and b.x > 0 limit 1000000 offset 11)",
            &[],
        ),
        ("select count(*) n from (select a.id from a left join b on a.k = b.k offset 2000)", &[]),
    ];
    same(&queries, false).await;
    for device in ["wgpu:0", "cuda-emulated:0"] {
        let session = session(device);
        let query = "select sum(i * 0 + 1) n from (select a.id + b.id i from a join b on a.k = b.k \
                     limit 100)";
        assert_eq!(run(&session, query).await.0, ["100"]);
        let plan = plan(&session, query, device);
        assert!(nodes(&plan, "DeviceLimitExec") > 0, "{plan}");
        assert_eq!(nodes(&plan, "DeviceDownloadExec"), 1, "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_whose_rows_come_to_the_host() {
    let plain = with_tables(session_with(SessionOptions::default()));
    for rows in [
        "select a.id, b.id i, a.text t, b.price p from a join b on a.k = b.k",
        "select id, id * 2 v, upper(text) u from a where x > 3",
        "select p.id, q.text from (select * from a where x > 0) p left join b q on p.day = q.day",
    ] {
        let (all, _) = run(&plain, rows).await;
        for (limit, offset) in [(17, 0), (40, 25), (1_000_000, 100), (5, 1_000_000)] {
            let query = format!("{rows} limit {limit} offset {offset}");
            for device in ["wgpu:0", "cuda-emulated:0"] {
                let session = session(device);
                let (some, _) = run(&session, &query).await;
                let plan = plan(&session, &query, device);
                let expected = all.len().saturating_sub(offset).min(limit);
                assert_eq!(some.len(), expected, "{query} on {device}\n{plan}");
                let mut left = all.clone();
                for row in &some {
                    let at = left.iter().position(|r| r == row);
                    left.swap_remove(at.unwrap_or_else(|| panic!("{query}: {row} is no row")));
                }
                assert!(nodes(&plan, "DeviceLimitExec") > 0, "{query} on {device}\n{plan}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sorts_of_joins_and_pipelines() {
    let sort = ("DeviceSortExec: device", 1);
    let queries: [(&str, &[_]); 9] = [
        (
            "select a.id, b.id i, a.text, b.price from a join b on a.k = b.k order by a.text desc \
             nulls last, b.price, a.id, b.id",
            &[ONCE, sort, ("DeviceHashJoinExec", 1)],
        ),
        (
            "select a.id, b.id i, a.x + b.x v from a join b on a.day = b.day order by v desc nulls \
             first, a.id, b.id limit 40",
            &[ONCE, sort, ("DeviceHashJoinExec", 1)],
        ),
        (
            "select a.id, b.id i, b.text from a left join b on a.k = b.k and a.skew = b.skew order \
             by b.text nulls first, a.id desc, b.id limit 25",
            &[ONCE, sort],
        ),
        // Keys that the rows do not show, and such that are computed for the order alone.
        (
            "select b.text t, a.id from a join b on a.k = b.k order by upper(b.text), a.id % 7, \
             a.id, b.id limit 100",
            &[ONCE, sort],
        ),
        ("select id, x * 2 v, text from a where x > 0 order by text, id desc", &[ONCE, sort]),
        (
            "select id, k + 1 j from b where day is not null order by j desc, id limit 7",
            &[ONCE, sort],
        ),
        // More rows than are wanted, none at all, all equal.
        (
            "select a.id, b.id i from a join b on a.k = b.k order by a.id, b.id limit 1000000",
            &[ONCE, sort],
        ),
        (
            "select count(*), max(id) from (select a.id from a join none on a.k = none.k order by \
             a.id limit 3)",
            &[],
        ),
        (
            "select b.skew * 0 z, a.x from a join b on a.k = b.k and a.x is null order by z, a.x \
             limit 3",
            &[ONCE],
        ),
    ];
    same(&queries, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_over_joins_exchange_rows_on_the_device() {
    let exchange = ("DeviceRepartitionExec", 1);
    let queries: [(&str, &[_]); 3] = [
        (
            "select id, i, row_number() over (partition by k order by id, i) r, sum(x) over \
             (partition by k order by id, i) s from (select a.id, b.id i, a.k, b.x from a join b \
             on a.k = b.k)",
            &[exchange, ("DeviceSortExec", 1), ("DeviceWindowExec", 1)],
        ),
        (
            "select id, i, rank() over (partition by text, day order by x) r from (select a.id, \
             b.id i, a.text, a.day, b.x from a join b on a.k = b.k)",
            &[exchange, ("DeviceSortExec", 1), ("DeviceWindowExec", 1)],
        ),
        (
            "select id, lag(i) over (partition by upper(t) order by id, i) l from (select a.id, \
             b.id i, b.text t from a join b on a.day = b.day)",
            &[exchange, ("DeviceSortExec", 1)],
        ),
    ];
    same(&queries, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_operations_with_nulls_and_duplicates() {
    let join = ("DeviceHashJoinExec", 1);
    let groups = ("DeviceAggregateExec", 1);
    // The columns have nulls and repeats; only the first three remove duplicates.
    let queries: [(&str, &[_]); 8] = [
        ("select k, text from a intersect select k, text from b", &[join]),
        ("select k from a except select k from b where k > 5", &[join]),
        ("select k, day from a union select k, day from b", &[groups]),
        ("select k, skew from a intersect all select k, skew from b", &[join]),
        (
            "select k from a where k is null or k < 9 except all select k from b where k > 5",
            &[join],
        ),
        ("select text from a except select text from b where text is not null", &[join]),
        (
            "select k, day from a intersect select k, day from b except select k, day from a where \
             x > 12",
            &[("DeviceHashJoinExec", 2)],
        ),
        (
            "select count(*) n, count(k) c from (select a.k, b.text from a join b on a.day = b.day \
             intersect select k, text from b)",
            &[("DeviceHashJoinExec", 2)],
        ),
    ];
    same(&queries, false).await;
}

/// The reasons of the operators of a plan whose names begin so.
async fn reasons(session: &Session, query: &str, name: &str) -> Vec<String> {
    let statement = session.statements(query).unwrap().remove(0);
    let decisions = session.explain(&statement).await.unwrap().decisions;
    let of = decisions.into_iter().filter(|d| d.operator.starts_with(name));
    of.map(|d| format!("{}: {}", d.device, d.reason)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_the_host_stay_with_the_operators_there() {
    let union = "select k, count(*) from (select k from a union all select k from b) group by k";
    let limit = "select count(*) from (select distinct k from a limit 10 offset 5)";
    let joined = "select k, count(*) from (select a.k from a join b on a.k = b.k union all select \
                  k from b) group by k";
    for device in DEVICES {
        let session = session(device);
        let why = reasons(&session, union, "UnionExec").await;
        assert_eq!(why, ["cpu: it only passes rows on, and they are on the host"], "{device}");
        let why = reasons(&session, limit, "GlobalLimitExec").await;
        let why = [why, reasons(&session, limit, "CoalescePartitionsExec: fetch").await].concat();
        assert!(!why.is_empty(), "{device} has no limit");
        for why in why {
            assert_eq!(why, "cpu: it only counts rows, and they are on the host", "{device}");
        }
        let why = reasons(&session, joined, "UnionExec").await;
        let expected = match device {
            "cpu" => "cpu: its rows are on the host, which moves them no slower".to_string(),
            _ => format!("{device}: its rows are there"),
        };
        assert_eq!(why, [expected], "{device}");
    }
}
