//! What planning adds to DataFusion's: the order of joins, and scans that test a join's keys
//! before they read the rest of a row.

use frame_tests::{folder, run, session, sql};

use crate::events::{forced, plan, tables};

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

/// Queries that compare with a result of the group of their own key.
const OF_GROUPS: [(&str, &str); 4] = [
    (
        "select t.id, e.id, e.amount from things t join events e on e.thing = t.id \
         where t.kind = 7 and e.amount = (select min(f.amount) from events f where f.thing = t.id) \
         order by t.id, e.id",
        "select t.id, e.id, e.amount from things t join events e on e.thing = t.id join \
         (select thing, min(amount) as m from events group by thing) g on g.thing = t.id \
         where t.kind = 7 and e.amount <= g.m order by t.id, e.id",
    ),
    (
        "select e.thing, e.amount, e.id from events e where e.id < 500 and exists (select 1 from \
         (select thing, max(amount) as m, count(*) as n from events group by thing) g \
         where g.thing = e.thing and g.m = e.amount and g.n > 7) order by e.id",
        "select e.thing, e.amount, e.id from events e join (select thing, max(amount) as m, \
         count(*) as n from events group by thing) g on g.thing = e.thing \
         where e.id < 500 and g.n >= 8 and e.amount >= g.m order by e.id",
    ),
    (
        "select e.thing, e.amount, e.id from events e where e.id < 500 and not exists (select 1 \
         from (select thing, max(amount) as m from events group by thing) g \
         where g.thing = e.thing and g.m = e.amount) order by e.id",
        "select e.thing, e.amount, e.id from events e left join (select thing, max(amount) as m \
         from events group by thing) g on g.thing = e.thing \
         where e.id < 500 and (g.m is null or e.amount < g.m) order by e.id",
    ),
    (
        // Results that are computed further, and null ones.
        "select t.id, g.s, g.t from things t join (select note, thing, sum(amount) * 2 as s, \
         min(name) as t from events group by thing, note) g on g.thing = t.id and g.note = \
         'event ' || (t.kind % 31) and g.s = t.id % 100 and g.t = t.name \
         where t.kind < 12 order by t.id",
        "select t.id, g.s, g.t from things t, (select note, thing, sum(amount) * 2 as s, \
         min(name) as t from events group by thing, note) g where g.thing = t.id and g.note = \
         'event ' || (t.kind % 31) and g.s >= t.id % 100 and g.s <= t.id % 100 and g.t >= t.name \
         and g.t <= t.name and t.kind < 12 order by t.id",
    ),
];

#[tokio::test]
async fn joins_with_groups_compare_their_results_last() {
    let folder = folder();
    let (host, device) = (session(), forced());
    tables(&host, folder.path()).await;
    tables(&device, folder.path()).await;
    for (query, written_out) in OF_GROUPS {
        let rows = sql(&host, written_out).await;
        assert!(!rows.is_empty(), "{written_out}");
        assert_eq!(sql(&host, query).await, rows, "{query}");
        assert_eq!(sql(&device, query).await, rows, "{query}");
    }
    // The scan below the aggregation reads the groups that are asked for.
    sql(&host, OF_GROUPS[1].0).await;
    let stats = host.last_stats().expect("figures");
    let scans = stats.operators.iter().filter(|o| o.name.contains("DataSourceExec"));
    let rows: Vec<_> = scans.map(|o| o.rows).collect();
    assert!(rows.iter().all(|n| *n < 50_000), "{rows:?} rows left the scans of 300,000");
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
