//! Window functions and what is wanted of them, against DataFusion's operators on the CPU.

use frame_tests::session_with;
use windlass::SessionOptions;

use super::breakers::{DEVICES, run, same, session, table, with_tables};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_rows_of_groups() {
    let mut queries = Vec::new();
    for group in ["k", "skew", "text", "day", "price", "k, text", "upper(text)"] {
        for order in ["x desc, id", "text nulls first, id desc", "id"] {
            queries.push(top(group, order, "n <= 2", "a"));
        }
    }
    for condition in ["n = 1", "n < 4 and id % 3 = 0", "n <= 1000000", "40 >= n"] {
        queries.push(top("k", "x, id", condition, "a"));
    }
    queries.push(top("k", "id", "n <= 2", "none"));
    // Other numbers of the same rows, and one below a projection.
    queries.push(
        "select * from (select id, k, row_number() over w as n, rank() over w as r, \
         dense_rank() over w as d from a window w as (partition by k order by x, id)) \
         where n <= 3 and d < 3"
            .to_string(),
    );
    queries.push(
        "select id, m from (select n + 1 as m, n as l, id from (select id, row_number() over \
         (partition by k order by id) as n from a)) where l <= 2"
            .to_string(),
    );
    same(&queries, "DeviceTopKPerGroupExec", false).await;
}

fn top(group: &str, order: &str, condition: &str, table: &str) -> String {
    format!(
        "select id, n, text from (select *, row_number() over (partition by {group} \
         order by {order}) as n from {table}) where {condition}"
    )
}

/// Whatever needs more rows than the first of each group gets all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_wanted_stay() {
    let over = "over (partition by k order by x, id)";
    let queries = [
        format!("select * from (select id, row_number() {over} n from a) where n >= 2"),
        format!("select * from (select id, row_number() {over} n from a) where n <= 2 or id = 7"),
        format!("select * from (select id, rank() {over} n from a) where n <= 2"),
        format!(
            "select * from (select id, row_number() {over} n, count(*) over (partition by k) c \
             from a) where n <= 2"
        ),
        format!(
            "select * from (select id, row_number() {over} n, lead(id) {over} l from a) \
             where n <= 2"
        ),
        "select * from (select id, row_number() over (order by x, id) n from a) where n <= 2"
            .to_string(),
    ];
    let plain = with_tables(session_with(SessionOptions::default()));
    for device in DEVICES {
        let session = session(device);
        for query in &queries {
            let ((mut expected, _), (mut rows, placed)) =
                (run(&plain, query).await, run(&session, query).await);
            assert!(!placed.iter().any(|p| p == "DeviceTopKPerGroupExec"), "{query}: {placed:?}");
            expected.sort_unstable();
            rows.sort_unstable();
            assert!(rows == expected && !rows.is_empty(), "{query} on {device}");
        }
    }
}

/// Many passes over rows of few groups, and rows that pass unseen as their groups are many;
/// chosen by cost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_of_few_and_of_many_groups() {
    let all = table(3_000_000, 2_000, 11);
    let chosen = session_with(SessionOptions::default());
    let batches = (0..all.num_rows()).step_by(8192);
    let batches = batches.map(|at| all.slice(at, 8192.min(all.num_rows() - at))).collect();
    chosen.register("big", &chosen.from_batches(batches).unwrap()).unwrap();
    for (group, dropped) in [("k", true), ("id", false)] {
        // A condition that is not looked through gives the rows of the plain plan.
        let mut results = Vec::new();
        for condition in ["n * 2 <= 6", "n <= 3"] {
            let query = top(group, "x desc, id", condition, "big");
            let query = format!("select count(*), sum(id), min(id), sum(n) from ({query})");
            results.push(run(&chosen, &query).await);
        }
        assert_eq!(results[0].0, results[1].0, "{group}");
        let node = "DeviceTopKPerGroupExec".to_string();
        assert!(!results[0].1.contains(&node) && results[1].1.contains(&node), "{results:?}");
        let stats = chosen.last_stats().unwrap();
        let node = stats.operators.iter().find(|o| o.name == "DeviceTopKPerGroupExec").unwrap();
        let kept = node.rows;
        assert_eq!(kept < 100_000, dropped, "{group}: {kept}");
    }
}
