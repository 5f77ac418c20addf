//! Joins whose rows stay on the device: what is moved, and plan shapes.

use std::collections::BTreeMap;

use super::*;
use crate::nodes::ResidentHashJoinExec;

/// The bytes that every node of a plan moved, by the figures' names, added up.
fn figures(plan: &Arc<dyn ExecutionPlan>, into: &mut BTreeMap<String, usize>) {
    for metric in plan.metrics().unwrap_or_default().iter() {
        let (name, value) = (metric.value().name(), metric.value().as_usize());
        if name.starts_with("uploaded_bytes") || name.starts_with("downloaded_bytes") {
            *into.entry(name.to_string()).or_default() += value;
        }
    }
    plan.children().into_iter().for_each(|child| figures(child, into));
}

/// Number of nodes of a type.
fn nodes<T: ExecutionPlan>(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let below: usize = plan.children().into_iter().map(nodes::<T>).sum();
    below + usize::from(plan.is::<T>())
}

/// Runs a query on a device; its plan, after it was compared with DataFusion's rows.
async fn compared(device: &str, sql: &str) -> (Arc<dyn ExecutionPlan>, String) {
    compared_in(&context(None), &on(device), sql).await
}

/// [`compared`], in these contexts.
async fn compared_in(
    host: &SessionContext,
    devices: &SessionContext,
    sql: &str,
) -> (Arc<dyn ExecutionPlan>, String) {
    let placed = plan(devices, sql).await;
    let text = displayable(&*placed).indent(true).to_string();
    let got = run(devices, &placed).await.unwrap_or_else(|e| panic!("{sql}: {e}\n{text}"));
    let expected = run(host, &plan(host, sql).await).await.unwrap();
    let (mut got, mut expected) = (cells(&got), cells(&expected));
    got.sort();
    expected.sort();
    assert!(!expected.is_empty(), "{sql} shows nothing");
    assert_eq!(got, expected, "{sql}\n{text}");
    assert_eq!(fallbacks(&placed), 0, "{sql} fell back to the CPU\n{text}");
    (placed, text)
}

/// A join below an aggregation: each column goes to the device once, and nothing but the groups
/// comes back.
async fn no_round_trip(device: &str) {
    let sql = "select p.k, count(*) n, sum(q.a) s, max(q.d) m from x p join x q on p.id = q.id \
               where p.b > 500 and q.c group by p.k";
    let (placed, text) = compared(device, sql).await;
    assert_eq!(nodes::<ResidentHashJoinExec>(&placed), 1, "{text}");
    assert_eq!(nodes::<DeviceUploadExec>(&placed), 2, "{text}");
    // Filters of the scans are part of the sides.
    assert_eq!(text.matches("FilterExec: ").count(), 2, "{text}");
    let mut found = BTreeMap::new();
    figures(&placed, &mut found);
    let columns = [("id", 2, 4), ("k", 1, 4), ("b", 1, 8), ("a", 1, 8), ("d", 1, 16), ("c", 1, 0)];
    let mut values = 0;
    for (column, sides, width) in columns {
        let bytes = found[&format!("uploaded_bytes[{column}]")];
        let least = sides * ROWS * width;
        // A bit for each row's validity and value, and the padding of every batch.
        let most = least + sides * (ROWS / 4 + 16 * PARTITIONS * 2);
        assert!((least..=most).contains(&bytes), "{column}: {bytes} of {least} to {most}\n{text}");
        values += bytes;
    }
    assert_eq!(found["uploaded_bytes"], values, "a column more\n{text}");
    let aggregate = find::<DeviceAggregateExec>(&placed).unwrap().metrics().unwrap();
    let groups = aggregate.sum_by_name("downloaded_bytes").unwrap().as_usize();
    assert_eq!(found["downloaded_bytes"], groups, "rows came back\n{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_join_make_no_round_trip_on_the_emulator() {
    no_round_trip("cuda-emulated:0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_join_make_no_round_trip_on_wgpu() {
    no_round_trip("wgpu:0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_over_joins_stay_on_the_device() {
    let sql = "select r.g, count(*) n, sum(p.a) s from x p join x q on p.id = q.id and p.t = q.t \
               join x r on q.k = r.k and q.t = r.t where p.a < r.a group by r.g";
    let (placed, text) = compared("cuda-emulated:0", sql).await;
    assert_eq!(nodes::<ResidentHashJoinExec>(&placed), 2, "{text}");
    assert_eq!(nodes::<DeviceUploadExec>(&placed), 3, "{text}");
    let mut found = BTreeMap::new();
    figures(&placed, &mut found);
    let aggregate = find::<DeviceAggregateExec>(&placed).unwrap().metrics().unwrap();
    let groups = aggregate.sum_by_name("downloaded_bytes").unwrap().as_usize();
    assert_eq!(found["downloaded_bytes"], groups, "rows came back\n{text}");
}

/// A filter on the pairs decides which rows of either side have one, in several partitions: the
/// pairs are tested where they are, and nothing but the groups comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_are_filtered_on_the_device() {
    let figures_of = "count(*) n, sum(p.a) s, min(p.b) m";
    let both = format!("select p.k, {figures_of}, count(q.id) c from x p");
    let one = format!("select p.k, {figures_of} from x p");
    let test = "(select 1 from x q where p.id = q.id and q.b > p.b and q.k <> p.k)";
    let mut queries: Vec<String> = ["left", "right", "full"]
        .map(|kind| {
            let on = "p.id = q.id and p.b < q.b and p.k <> q.k";
            format!("{both} {kind} join x q on {on} group by p.k")
        })
        .into();
    queries.push(format!("{one} where exists {test} group by p.k"));
    queries.push(format!("{one} where not exists {test} group by p.k"));
    queries.push(format!("{one} where p.b > 800 or exists {test} group by p.k"));
    for sql in queries {
        let (placed, text) = compared("cuda-emulated:0", &sql).await;
        let join = find::<ResidentHashJoinExec>(&placed).unwrap_or_else(|| panic!("{text}"));
        let partitions = join.properties().output_partitioning().partition_count();
        assert_eq!(partitions, PARTITIONS, "{text}");
        assert_eq!(nodes::<DeviceUploadExec>(&placed), 2, "{text}");
        let mut found = BTreeMap::new();
        figures(&placed, &mut found);
        let aggregate = find::<DeviceAggregateExec>(&placed).unwrap().metrics().unwrap();
        let groups = aggregate.sum_by_name("downloaded_bytes").unwrap().as_usize();
        assert_eq!(found["downloaded_bytes"], groups, "rows came back\n{text}");
    }
}

/// The bounds of a build side's keys come back where a scan of the probe side takes them: one of
/// Parquet files does, and passes over row groups; one of memory does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_back_for_scans_that_take_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let path = path.to_str().unwrap();
    let (host, devices) = (context(None), on("cuda-emulated:0"));
    let rows = "select id, k from x union all select id + 5000, k from x order by id";
    let options = "options ('format.max_row_group_size' '1000')";
    let copy = format!("copy ({rows}) to '{path}' stored as parquet {options}");
    host.sql(&copy).await.unwrap().collect().await.unwrap();
    for context in [&host, &devices] {
        context.register_parquet("file", path, Default::default()).await.unwrap();
    }
    for (probe, takes, most) in [("file", true, ROWS / 2), ("x", false, ROWS)] {
        let sql = format!(
            "select q.k, count(*) n from (select id from x where b > 500 and id < 100) p \
             join {probe} q on p.id = q.id group by q.k"
        );
        let (placed, text) = compared_in(&host, &devices, &sql).await;
        let join = find::<ResidentHashJoinExec>(&placed).unwrap_or_else(|| panic!("{text}"));
        let [build, probe] = join.children()[..] else { panic!("{text}") };
        let built = build.metrics().unwrap().output_rows().unwrap();
        assert!((1..ROWS / 10).contains(&built), "{built} rows are built\n{text}");
        let read = find::<DeviceUploadExec>(probe).unwrap().metrics().unwrap();
        let read = read.output_rows().unwrap();
        assert!((1..=most).contains(&read), "{read} rows are read\n{text}");
        let back = join.metrics().unwrap().sum_by_name("downloaded_bytes");
        let back = back.map_or(0, |bytes| bytes.as_usize());
        // Two values of eight bytes, a word each that says that they are no nulls, and padding.
        let expected = if takes { 16..=48 } else { 0..=0 };
        assert!(expected.contains(&back), "{back} bytes of {built} keys came back\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_host_rows_are_fetched_by_number() {
    let sql =
        "select p.k, count(*) n from x p join x q on p.id = q.id where p.b > 500 group by p.k";
    let (placed, text) = compared("cpu", sql).await;
    assert_eq!(nodes::<ResidentHashJoinExec>(&placed), 0, "{text}");
    assert_eq!(nodes::<crate::nodes::DeviceHashJoinExec>(&placed), 1, "{text}");
}

#[tokio::test]
async fn decisions_say_where_a_joins_rows_go() {
    let join = "select p.k, count(*) n from x p left join x q on p.id = q.id";
    for (sql, reason) in [
        (format!("{join} group by p.k"), "its rows stay on the device"),
        (format!("{join} and p.a < q.a group by p.k"), "its rows stay on the device"),
    ] {
        let rule = rule("cuda-emulated:0", true, FaultPlan::default());
        let context = context(Some(Arc::clone(&rule)));
        let placed = plan(&context, &sql).await;
        let decisions = rule.decisions(&placed).unwrap();
        let join = decisions.iter().find(|d| d.operator.starts_with("HashJoinExec")).unwrap();
        assert!(join.placed && join.reason.contains(reason), "{sql}: {}", join.reason);
    }
}
