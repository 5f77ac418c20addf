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

pub(super) const NODE: &str = "DeviceWindowExec";

/// Queries of these functions over one window of `table`; of few functions each, which the
/// sessions without a wish leave to DataFusion.
pub(super) fn several(functions: &[&str], window: &str, table: &str) -> Vec<String> {
    functions.chunks(5).map(|f| over(f, window, table)).collect()
}

/// A query of these functions over one window of `table`.
pub(super) fn over(functions: &[&str], window: &str, table: &str) -> String {
    let columns = functions.iter().enumerate().map(|(i, f)| format!("{f} over w as c{i}"));
    let columns: Vec<String> = columns.collect();
    format!("select id, text, {} from {table} window w as ({window})", columns.join(", "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_and_ranks() {
    let ranks = ["rank()", "dense_rank()", "percent_rank()", "cume_dist()", "count(*)"];
    let mut queries = Vec::new();
    for partition in ["", "partition by k", "partition by text, skew", "partition by id"] {
        for order in ["x", "text desc nulls last", "price, day desc"] {
            queries.push(over(&ranks, &format!("{partition} order by {order}"), "a"));
        }
        let numbers = ["row_number()", "ntile(7)", "ntile(1)", "ntile(4000)"];
        queries.push(over(&numbers, &format!("{partition} order by x, id desc"), "a"));
    }
    queries.push(over(&ranks, "partition by k order by x", "none"));
    queries.push(over(&ranks, "order by x", "(select * from a where id = 5) t"));
    same(&queries, NODE, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_other_rows() {
    let mut queries = Vec::new();
    for partition in ["", "partition by k", "partition by text"] {
        let window = format!("{partition} order by x, id");
        // Arguments of every type, also those without a device form of their own.
        let functions = [
            "lag(text)",
            "lead(price, 3)",
            "lag(x, 2, -1.5)",
            "lead(text, 1, 'none')",
            "lag(day, 0)",
            "lead(k, -2, 99)",
            "lag(id, 5000)",
            "lag(upper(text) = text)",
        ];
        queries.extend(several(&functions, &window, "a"));
        for frame in [
            "",
            "rows between 2 preceding and 1 following",
            "rows between 4 preceding and 2 preceding",
            "rows between 1 following and unbounded following",
            "range between unbounded preceding and unbounded following",
        ] {
            let functions = [
                "first_value(text)",
                "last_value(price)",
                "nth_value(x, 2)",
                "nth_value(id, -2)",
                "nth_value(k, 100)",
            ];
            queries.extend(several(&functions, &format!("{window} {frame}"), "a"));
        }
    }
    queries.extend(several(&["lag(text)", "first_value(id)"], "order by id", "none"));
    same(&queries, NODE, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_and_extremes_of_frames() {
    let functions = [
        "sum(k)",
        "sum(x)",
        "sum(price)",
        "sum(skew)",
        "avg(x)",
        "avg(k)",
        "count(k)",
        "count(text)",
        "count(*)",
        "min(day)",
        "max(day)",
        "min(x)",
        "max(price)",
        "min(skew)",
        "max(k)",
    ];
    let mut queries = Vec::new();
    for partition in ["", "partition by k", "partition by text, day"] {
        // Without an order all rows are peers; with ties the default frame has peers.
        queries.extend(several(&functions, partition, "a"));
        queries.extend(several(&functions, &format!("{partition} order by day"), "a"));
        for frame in [
            "rows unbounded preceding",
            "rows between 3 preceding and 2 following",
            "rows between 700 preceding and current row",
            "rows between 5 preceding and 3 preceding",
            "rows between 2 following and 4 following",
            "rows between current row and unbounded following",
            "range between current row and unbounded following",
        ] {
            queries.extend(several(
                &functions,
                &format!("{partition} order by x, id {frame}"),
                "a",
            ));
        }
    }
    queries.extend(several(&functions, "partition by k order by x", "none"));
    queries.extend(several(&functions, "order by id", "(select * from a where id = 5) t"));
    // Several windows, one above the other, and one over groups.
    queries.push(
        "select id, sum(k) over (partition by skew order by id), max(x) over (order by id rows \
         3 preceding), sum(k) over (partition by text) from a"
            .to_string(),
    );
    queries.push(
        "select k, sum(x), rank() over (order by sum(x)), sum(count(*)) over (order by k) from a \
         group by k"
            .to_string(),
    );
    same(&queries, NODE, false).await;
}

/// What has no device form runs on the CPU, and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_stay_on_the_cpu() {
    let window = "over (partition by k order by x, id)";
    let plain = with_tables(session_with(SessionOptions::default()));
    let session = session("cpu");
    for function in [
        format!("lag(k, 0) ignore nulls {window}"),
        format!("count(distinct k) {window}"),
        format!("median(x) {window}"),
        format!("max(text) {window}"),
        format!("array_agg(k) filter (where skew = 7) {window}"),
    ] {
        let query = format!("select id, {function} as c from a");
        let ((mut expected, _), (mut rows, placed)) =
            (run(&plain, &query).await, run(&session, &query).await);
        assert!(!placed.iter().any(|p| p == NODE), "{query}: {placed:?}");
        expected.sort_unstable();
        rows.sort_unstable();
        assert!(rows == expected, "{query}");
    }
}
