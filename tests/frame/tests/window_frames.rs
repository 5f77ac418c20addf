//! Windows that pass over nulls or rows, and frames by distance, against DataFusion's operators on
//! the CPU.

use frame_tests::session_with;
use windlass::SessionOptions;

use super::{
    breakers::{DEVICES, run, same, session, with_tables},
    windows::{NODE, over, several},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_are_not_null() {
    let mut queries = Vec::new();
    let shifts = [
        "lag(text) ignore nulls",
        "lag(k, 3) ignore nulls",
        "lag(price, 2, 1.25) ignore nulls",
        "lead(x) ignore nulls",
        "lead(text, 1, 'none') ignore nulls",
        "lag(id, 5000) ignore nulls",
        "lag(concat(text, ', is_reversed: true, ignore_nulls: true }')) respect nulls",
    ];
    let values = [
        "first_value(text) ignore nulls",
        "last_value(price) ignore nulls",
        "nth_value(x, 2) ignore nulls",
        "nth_value(day, -2) ignore nulls",
        "nth_value(k, 100) ignore nulls",
    ];
    for partition in ["", "partition by k", "partition by text, skew"] {
        let window = format!("{partition} order by x, id");
        queries.extend(several(&shifts, &window, "a"));
        for frame in [
            "",
            "rows between 3 preceding and 1 following",
            "rows between 9 preceding and 2 preceding",
            "rows between 1 following and unbounded following",
            "rows between unbounded preceding and unbounded following",
        ] {
            queries.extend(several(&values, &format!("{window} {frame}"), "a"));
        }
    }
    // Sorted the other way round, so that one of the operators reads its rows in reverse.
    queries.push(
        "select id, lag(k, 2) over (order by id), lead(x) ignore nulls over (order by id desc), \
         lag(x) ignore nulls over (order by id desc), first_value(k) ignore nulls over \
         (order by id desc rows between 3 preceding and 1 preceding), nth_value(k, 2) over \
         (order by id desc rows between 5 preceding and current row) from a"
            .to_string(),
    );
    queries.extend(several(&values, "order by id", "none"));
    same(&queries, NODE, false).await;
}

/// DataFusion's operator of bounded memory gives the default where more than one value lies
/// between a row and its `LEAD` of several (55.2), so the same is asked in another way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leads_of_several_values() {
    let plain = with_tables(session_with(SessionOptions::default()));
    let query = |function: &str, frame: &str| {
        format!(
            "select id, {function} ignore nulls over (partition by skew order by id {frame}) from a"
        )
    };
    for n in [2, 3, 40] {
        let behind = "rows between 1 following and unbounded following";
        let (mut expected, _) = run(&plain, &query(&format!("nth_value(k, {n})"), behind)).await;
        expected.sort_unstable();
        for device in DEVICES {
            let lead = query(&format!("lead(k, {n})"), "");
            let (mut rows, placed) = run(&session(device), &lead).await;
            assert!(placed.iter().any(|p| p == NODE), "{lead} on {device}: {placed:?}");
            rows.sort_unstable();
            assert!(rows == expected, "{lead} on {device}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_of_aggregates() {
    let functions = [
        "sum(k) filter (where skew = 7)",
        "count(*) filter (where k > 10)",
        "count(text) filter (where text < 'text number 0030')",
        "avg(x) filter (where x > 0 or k is null)",
        "min(day) filter (where id % 3 = 0)",
        "max(price) filter (where k < 0)",
        "sum(price) filter (where null)",
        "count(*) filter (where x is not null and k % 2 = 1)",
    ];
    let mut queries = Vec::new();
    for partition in ["", "partition by k", "partition by text"] {
        // DataFusion has these over frames that only grow.
        let truths =
            ["bool_and(k > 0) filter (where skew = 7)", "bool_or(x > 9) filter (where true)"];
        queries.push(over(&truths, &format!("{partition} order by x"), "a"));
        for order in ["", "order by x", "order by x, id rows between 20 preceding and 5 following"]
        {
            queries.extend(several(&functions, &format!("{partition} {order}"), "a"));
        }
    }
    queries.extend(several(&functions, "order by id", "none"));
    // The same function with two conditions, and with none.
    queries.push(
        "select id, sum(k) filter (where skew = 7) over w, sum(k) filter (where skew <> 7) over w \
         as other, sum(k) over w from a window w as (partition by day order by id)"
            .to_string(),
    );
    same(&queries, NODE, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spreads_and_truths() {
    let mut queries = Vec::new();
    for partition in ["", "partition by k"] {
        for frame in [
            "order by x",
            "order by x, id rows between 30 preceding and current row",
            "order by x, id rows between 1 preceding and 1 preceding",
            "",
        ] {
            let window = format!("{partition} {frame}");
            // Rounded, as sums are added in other orders; the factor leaves no exact halves.
            let spreads =
                ["var(x)", "stddev(x)", "var_pop(k)", "stddev_pop(price)", "var_samp(skew)"];
            let rounded = (0..spreads.len()).map(|i| format!("round(c{i} * 0.7310585786, 3)"));
            let rounded: Vec<String> = rounded.collect();
            let inner = over(&spreads, &window, "a");
            queries.push(format!("select id, {} from ({inner})", rounded.join(", ")));
            let truths = ["min(k > 5)", "max(text = 'text number 0007')", "avg(price)"];
            queries.push(over(&truths, &window, "a"));
        }
        // DataFusion has these over frames that only grow.
        let truths = ["bool_and(x > -9)", "bool_or(k = 3)"];
        queries.push(over(&truths, &format!("{partition} order by x"), "a"));
    }
    same(&queries, NODE, false).await;
}

const SUMS: [&str; 5] = ["sum(k)", "count(*)", "min(day)", "max(x)", "sum(price)"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distances_of_numbers() {
    let mut queries = Vec::new();
    for key in [
        "k",
        "skew",
        "x",
        "cast(x as real)",
        "price",
        "cast(price as decimal(30, 4))",
        "cast(k as smallint)",
        "cast(id as bigint unsigned)",
    ] {
        for (order, frame) in [
            ("", "between 5 preceding and current row"),
            ("desc", "between 5 preceding and 2 following"),
            ("nulls first", "between unbounded preceding and 3 following"),
            ("desc nulls last", "between 2 following and 7 following"),
            ("", "between 9 preceding and 4 preceding"),
            ("desc nulls first", "between current row and 0 following"),
            ("nulls last", "between 1 following and unbounded following"),
        ] {
            let partition = ["", "partition by skew"][queries.len() % 2];
            let window = format!("{partition} order by {key} {order} range {frame}");
            queries.push(over(&SUMS, &window, "a"));
        }
    }
    queries.push(over(&SUMS, "order by k range between 2 preceding and 1 following", "none"));
    // Values of rows: the keys are different.
    queries.push(over(
        &["first_value(text)", "last_value(x)", "nth_value(k, 2) ignore nulls"],
        "partition by skew order by id range between 20 preceding and 10 following",
        "a",
    ));
    same(&queries, NODE, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distances_of_dates() {
    let mut queries = Vec::new();
    for key in ["day", "cast(day as timestamp)", "cast(day as timestamp) + interval '3 hours'"] {
        for (order, frame) in [
            ("", "between interval '5 days' preceding and current row"),
            ("desc", "between interval '1 month' preceding and interval '36 hours' following"),
            ("nulls first", "between unbounded preceding and interval '2 days' following"),
            (
                "desc nulls last",
                "between interval '1 day' following and interval '9 days' following",
            ),
        ] {
            let partition = ["partition by skew", ""][queries.len() % 2];
            let window = format!("{partition} order by {key} {order} range {frame}");
            queries.push(over(&SUMS, &window, "a"));
        }
    }
    same(&queries, NODE, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_peers() {
    let mut queries = Vec::new();
    for order in ["k", "text desc", "x nulls first", "day, skew desc"] {
        for frame in [
            "between 2 preceding and current row",
            "between 1 preceding and 1 following",
            "between 3 preceding and 2 preceding",
            "between 1 following and 4 following",
            "between current row and 1 following",
            "between unbounded preceding and 2 preceding",
            "between 100000 preceding and 5000000000 following",
        ] {
            let partition = ["partition by skew", ""][queries.len() % 2];
            queries.push(over(&SUMS, &format!("{partition} order by {order} groups {frame}"), "a"));
        }
    }
    same(&queries, NODE, false).await;
}

/// A distance past the end of the key's type: DataFusion's operator answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distances_past_a_type_run_on_the_cpu() {
    let plain = with_tables(session_with(SessionOptions::default()));
    let query = "select id, count(*) over (order by v range between 100 preceding and 120 \
                 following) from (select id, cast(id % 250 - 125 as tinyint) as v from a)";
    let (mut expected, _) = run(&plain, query).await;
    expected.sort_unstable();
    for device in DEVICES {
        let (mut rows, _) = run(&session(device), query).await;
        rows.sort_unstable();
        assert!(rows == expected, "{device}");
    }
}
