//! Parts of a plan that several readers share: aggregations, joins, and groups of rows that are
//! at hand.

use frame_tests::{folder, session, sql};

use crate::events::{forced, in_little_memory, plan, tables};

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

/// Queries that aggregate the rows of one join in several ways, each with its readers and with the
/// same rows in words that share nothing.
const TWICE: [(usize, &str, &str); 5] = [
    (
        2,
        "select e.thing, sum(e.amount) as s from events e join things t on e.thing = t.id \
         join kinds k on t.kind = k.id where k.name = 'kind 3' group by e.thing \
         having sum(e.amount) > (select sum(e.amount) * 0.0075 from events e \
         join things t on e.thing = t.id join kinds k on t.kind = k.id where k.name = 'kind 3') \
         order by e.thing",
        "select e.thing, sum(e.amount) as s from events e join things t on e.thing = t.id \
         where t.kind = 3 group by e.thing having sum(e.amount) > (select sum(e.amount) * 0.0075 \
         from things t join kinds k on k.id = t.kind join events e on e.thing = t.id \
         where k.name >= 'kind 3' and k.name <= 'kind 3') order by e.thing",
    ),
    (
        3,
        "with both as (select e.*, t.kind, t.weight from events e join things t \
         on e.thing = t.id and e.amount < t.weight where t.kind < 50) \
         select 'kind', cast(kind as text), count(*), sum(amount) from both group by kind union all \
         select 'note', note, count(*), cast(sum(weight) as bigint) from both group by note union all \
         select 'all', '', count(distinct id), count(name) from both order by 1, 2",
        "select 'kind', cast(kind as text), count(*), sum(amount) from things t join events e \
         on e.thing = t.id and e.amount < t.weight where t.kind < 50 group by kind union all \
         select 'note', note, count(*), cast(sum(weight) as bigint) from events e join things t \
         on e.thing = t.id and e.amount < t.weight where t.kind <= 49 group by note union all \
         select 'all', '', count(distinct e.id), count(e.name) from events e, things t \
         where e.thing = t.id and e.amount < t.weight and t.kind between 0 and 49 order by 1, 2",
    ),
    (
        // Outer joins and keys that are null.
        2,
        "select a.c, a.n, b.s from (select count(*) as c, count(t.id) as n from events e \
         left join things t on e.thing = t.id and t.kind = 5) a, (select sum(t.weight) as s \
         from events e left join things t on e.thing = t.id and t.kind = 5) b",
        "select a.c, a.n, b.s from (select count(*) as c, count(t.id) as n from events e \
         left join things t on e.thing = t.id and t.kind = 5) a, (select sum(t.weight) as s \
         from events e join things t on e.thing = t.id where t.kind = 5) b",
    ),
    (
        // One name for two columns, a level further out.
        2,
        "select a.m, b.m from (select max(id) as m from (select e.id from events e join things t \
         on e.thing = t.id where t.kind = 9) x) a, (select max(id) as m from (select t.id from \
         events e join things t on e.thing = t.id where t.kind = 9) x) b",
        "select a.m, b.m from (select max(e.id) as m from events e join things t on e.thing = t.id \
         where t.kind = 9) a, (select max(thing) as m from events where thing in \
         (select id from things where kind = 9)) b",
    ),
    (
        // Another condition, another kind of join: nothing is alike.
        0,
        "select a.s, b.s, c.s from \
         (select sum(amount) as s from events e join things t on e.thing = t.id where kind < 9) a, \
         (select sum(amount) as s from events e join things t on e.thing = t.id where kind < 8) b, \
         (select sum(amount) as s from events e left join things t on e.thing = t.id) c",
        "select a.s, a.s - b.s, c.s from \
         (select sum(amount) as s from events where thing in (select id from things where kind < 9)) \
         a, (select sum(amount) as s from events where thing in (select id from things where kind \
         = 8)) b, (select sum(amount) as s from events) c",
    ),
];

#[tokio::test]
async fn a_join_that_is_aggregated_twice_runs_once() {
    let folder = folder();
    let session = session();
    tables(&session, folder.path()).await;
    for (readers, query, written_out) in TWICE {
        let plan = plan(&session, query).await;
        assert_eq!(plan.matches("SharedExec").count(), readers, "{query}\n{plan}");
        let rows = sql(&session, query).await;
        assert!(!rows.is_empty(), "{query}");
        assert_eq!(rows, sql(&session, written_out).await, "{query}");
        // Where it is too little to keep rows, each reader makes its own.
        for megabytes in [24, 48] {
            let tight = in_little_memory(folder.path(), megabytes, query).await;
            assert!(tight.is_none_or(|tight| tight == rows), "{megabytes} MiB: {query}");
        }
    }
    sql(&session, TWICE[1].1).await;
    let stats = session.last_stats().expect("figures");
    let scanned = stats.operators.iter().filter(|o| o.name.contains("DataSourceExec"));
    let scanned = scanned.map(|o| o.rows).sum::<u64>();
    assert!(scanned <= 340_000, "{scanned} rows of 340,000: {:?}", stats.operators);
}

/// Queries that compare rows with a result of the group of their own key, whether the groups are
/// those of the rows at hand, and the same rows in words that read all tables.
const OWN_GROUPS: [(bool, &str, &str); 10] = [
    (
        true,
        "select t.id, e.id, e.amount from things t join events e on e.thing = t.id \
         where t.kind = 7 and e.amount = (select min(f.amount) from events f where f.thing = t.id) \
         order by t.id, e.id",
        "select t.id, e.id, e.amount from things t join events e on e.thing = t.id join \
         (select thing, min(amount) as m from events group by thing) g on g.thing = t.id \
         where t.kind = 7 and e.amount <= g.m order by t.id, e.id",
    ),
    (
        true,
        "select e.id, cast(e.amount as decimal(9, 2)) as a from events e, things t \
         where t.id = e.thing and t.kind = 3 and e.note <> 'event 4' and \
         cast(e.amount as decimal(9, 2)) * 1.5 < (select avg(cast(f.amount as decimal(9, 2))) \
         from events f where f.thing = t.id and f.note <> 'event 4') order by e.id",
        "select e.id, cast(e.amount as decimal(9, 2)) as a from events e, things t, (select thing, \
         avg(cast(amount as decimal(9, 2))) as m from events where not note = 'event 4' \
         group by thing) g where t.id = e.thing and t.kind = 3 and not e.note = 'event 4' and \
         g.thing = t.id and cast(e.amount as decimal(9, 2)) * 1.5 < g.m order by e.id",
    ),
    (
        // The groups are of two tables.
        true,
        "select k.name, e.id from kinds k join things t on t.kind = k.id join events e \
         on e.thing = t.id where k.name in ('kind 3', 'kind 8') and e.day = (select max(f.day) \
         from events f join things u on f.thing = u.id where u.kind = k.id) order by e.id",
        "select k.name, e.id from kinds k join things t on t.kind = k.id join events e \
         on e.thing = t.id join (select kind, max(day) as m from events join things \
         on thing = things.id group by kind) g on g.kind = k.id \
         where k.name in ('kind 3', 'kind 8') and e.day >= g.m order by e.id",
    ),
    (
        // Each row of a group stands twice, as the days do.
        true,
        "select e.id, d.number from days d join events e on e.day = d.day where d.number < 4 \
         and e.amount = (select max(f.amount) from events f where f.day = d.day) \
         order by e.id, d.number",
        "select e.id, d.number from days d join events e on e.day = d.day join (select day, \
         max(amount) as m from events group by day) g on g.day = d.day \
         where d.number < 4 and e.amount >= g.m order by e.id, d.number",
    ),
    (
        // Nulls among the values, and groups of nothing but them.
        true,
        "select t.id, e.id, e.name from things t join events e on e.thing = t.id \
         where t.kind = 5 and not exists (select 1 from (select thing, max(name) as m, min(name) as n \
         from events group by thing) g where g.thing = t.id and g.m = e.name) order by e.id",
        "select t.id, e.id, e.name from things t join events e on e.thing = t.id left join \
         (select thing, max(name) as m from events group by thing) g on g.thing = t.id \
         where t.kind = 5 and (e.name is null or g.m is null or e.name < g.m) order by e.id",
    ),
    (
        // A sum counts a row as often as it stands.
        false,
        "select e.id, d.number from days d join events e on e.day = d.day where d.number < 4 \
         and e.id * 50 > (select sum(f.id) from events f where f.day = d.day) \
         order by e.id, d.number",
        "select e.id, d.number from days d join events e on e.day = d.day join (select day, \
         sum(id) as m from events group by day) g on g.day = d.day \
         where d.number < 4 and e.id * 50 > g.m order by e.id, d.number",
    ),
    (
        // The outer rows are fewer, by a condition of their own.
        false,
        "select t.id, e.id from things t join events e on e.thing = t.id where t.kind = 7 and \
         e.id > 9000 and e.amount <= (select min(f.amount) from events f where f.thing = t.id) \
         order by t.id, e.id",
        "select t.id, e.id from things t join events e on e.thing = t.id join (select thing, \
         min(amount) as m from events group by thing) g on g.thing = t.id \
         where t.kind = 7 and e.id > 9000 and e.amount <= g.m order by t.id, e.id",
    ),
    (
        // The inner rows are.
        false,
        "select t.id, e.id from things t join events e on e.thing = t.id where t.kind = 7 and \
         e.amount <= (select min(f.amount) from events f where f.thing = t.id and f.id > 9000) \
         order by t.id, e.id",
        "select t.id, e.id from things t join events e on e.thing = t.id join (select thing, \
         min(amount) as m from events where id > 9000 group by thing) g on g.thing = t.id \
         where t.kind = 7 and e.amount <= g.m order by t.id, e.id",
    ),
    (
        // What ties the outer rows to another table is not the key.
        false,
        "select t.id, e.id from events e join things t on t.id = e.thing where e.id < 300 and \
         t.weight >= (select max(u.weight) * 0.5 from things u where u.kind = t.kind) \
         order by e.id",
        "select t.id, e.id from events e join things t on t.id = e.thing join (select kind, \
         max(weight) as m from things group by kind) g on g.kind = t.kind where e.id < 300 and \
         t.weight >= g.m * 0.5 order by e.id",
    ),
    (
        // The outer rows are more than those that the groups are made of.
        false,
        "select count(*), sum(e.id) from events e join things t on t.id = e.thing where \
         t.weight = (select max(u.weight) from things u where u.id = e.thing)",
        "select count(*), sum(id) from events where thing is not null",
    ),
];

#[tokio::test]
async fn groups_of_the_rows_at_hand_are_not_read_again() {
    let folder = folder();
    let (host, device) = (session(), forced());
    tables(&host, folder.path()).await;
    tables(&device, folder.path()).await;
    for (own, query, written_out) in OWN_GROUPS {
        let plan = plan(&host, query).await;
        assert_eq!(plan.matches("SharedExec").count(), if own { 2 } else { 0 }, "{query}\n{plan}");
        let rows = sql(&host, written_out).await;
        assert!(!rows.is_empty(), "{written_out}");
        assert_eq!(sql(&host, query).await, rows, "{query}");
        assert_eq!(sql(&device, query).await, rows, "{query}");
        // Where it is too little to keep rows, each reader makes its own.
        for megabytes in [24, 48] {
            let tight = in_little_memory(folder.path(), megabytes, query).await;
            assert!(tight.is_none_or(|tight| tight == rows), "{megabytes} MiB: {query}");
        }
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
        match in_little_memory(folder.path(), megabytes, query).await {
            Some(rows) => assert_eq!(rows, expected, "{megabytes} MiB"),
            // Without sharing it is too little as well.
            None => assert!(megabytes < 64, "{megabytes} MiB are too little"),
        }
    }
}
