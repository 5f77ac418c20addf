//! A filter with a group-by, or with a projection, is one fused node on a device, and each
//! column that it reads is uploaded once: what EXPLAIN, EXPLAIN ANALYZE and the stats show.

use faults::{Data, run, took_over};
use windlass::{RunOptions, SessionOptions};

/// The value of `name=value` in a line of EXPLAIN ANALYZE.
fn figure(line: &str, name: &str) -> u64 {
    let at = line.find(&format!(" {name}=")).or_else(|| line.find(&format!("[{name}=")));
    let at = at.unwrap_or_else(|| panic!("no {name} in {line}")) + name.len() + 2;
    let digits: String =
        line[at..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    // Large figures are printed as `20.0 K`.
    let value: f64 = digits.parse().unwrap_or_else(|_| panic!("{name} in {line}"));
    let unit = line[at + digits.len()..].trim_start().chars().next();
    let factor = match unit {
        Some('K') => 1e3,
        Some('M') => 1e6,
        _ => 1.0,
    };
    (value * factor) as u64
}

async fn one_fused_node(device: &str, sql: &str, node: &str, fused: &[&str], read: &[(&str, u64)]) {
    let data = Data::new(10);
    let session = data.session(device, SessionOptions::default()).await;
    let statement = session.statements(sql).unwrap().remove(0);

    let plan = session.explain(&statement).await.unwrap().physical;
    let lines: Vec<&str> = plan.lines().map(str::trim).collect();
    let of = |name: &str| lines.iter().filter(|l| l.starts_with(name)).copied().collect::<Vec<_>>();
    assert_eq!(of(node).len(), 1, "{plan}");
    for part in fused {
        assert!(of(node)[0].contains(part), "{part} is not fused\n{plan}");
    }
    // Above the groups there may be a projection that names them.
    let name = |l: &&str| l.split(':').next().unwrap_or_default().to_string();
    let names: Vec<String> = lines.iter().map(name).filter(|n| n != "ProjectionExec").collect();
    let expected = ["DeviceDownloadExec", node, "DeviceUploadExec", "DataSourceExec"];
    assert_eq!(names, expected, "{plan}");
    let upload = of("DeviceUploadExec")[0];
    let columns = upload.split("columns=[").nth(1).unwrap().trim_end_matches(']');
    let mut columns: Vec<&str> = columns.split(", ").collect();
    columns.sort_unstable();
    assert_eq!(columns, read.iter().map(|(c, _)| *c).collect::<Vec<_>>(), "{plan}");

    session.run(&statement, &RunOptions::default()).await.unwrap();
    let stats = session.last_stats().unwrap();
    assert_eq!(took_over(&stats), None);
    let operators: Vec<_> = stats.operators.iter().filter(|o| o.name != "ProjectionExec").collect();
    let names: Vec<&str> = operators.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, expected, "{}", stats.plan);
    let rows = 2000 + 2100 + 2200;
    let uploaded = operators[2];
    assert_eq!((uploaded.device.as_str(), uploaded.rows), (device, rows));
    assert!(operators[1].reason.contains(device), "{:?}", operators[1]);

    // The figures of a run: as many uploads of each column as there were batches, and as
    // many bytes as its rows have.
    let analyzed = run(&session, &format!("explain analyze {sql}")).await.unwrap().join("\n");
    let line = analyzed.lines().find(|l| l.trim_start().starts_with("DeviceUploadExec"));
    let line = line.unwrap_or_else(|| panic!("{analyzed}"));
    let batches = figure(line, "batches");
    // Files that come at the same time share a batch.
    assert!((1..=3).contains(&batches), "{line}");
    let mut least = 0;
    for (column, width) in read {
        assert_eq!(figure(line, &format!("uploads[{column}]")), batches, "{column}: {line}");
        let values = rows * width;
        least += values;
        let bytes = figure(line, &format!("uploaded_bytes[{column}]"));
        // Beside the values: a bit or a word for each row, and padding of each batch.
        let most = values + rows * 4 + 128 * batches;
        // EXPLAIN prints two digits of large figures.
        let (low, high) = (values * 98 / 100, most * 102 / 100);
        assert!((low..=high).contains(&bytes), "{column}: {bytes}, expected {low} to {high}");
    }
    assert!(uploaded.bytes >= least && uploaded.bytes <= least * 2 + 1024, "{uploaded:?}");
}

async fn group_by(device: &str) {
    let sql = "select k, count(*) n, sum(a) s, max(a) m, sum(b * b) q from x \
               where b > 0 and a > -900 group by k";
    let fused = ["stage=Merged", "FilterExec: b@", "AggregateExec: mode=Partial"];
    let read = [("a", 8), ("b", 8), ("k", 8)];
    one_fused_node(device, sql, "DeviceAggregateExec", &fused, &read).await;
}

async fn projection(device: &str) {
    let sql = "select id, a * 2 v, b / 4.0 q, b + a w from x where b > 0 and a > -900";
    let fused = ["FilterExec: b@", "ProjectionExec: "];
    let read = [("a", 8), ("b", 8), ("id", 8)];
    one_fused_node(device, sql, "DevicePipelineExec", &fused, &read).await;
}

/// A join below an aggregation: each column that is read goes to the device once, and nothing
/// but the groups comes back.
async fn no_round_trip(device: &str) {
    let data = Data::new(2500);
    let session = data.session(device, SessionOptions::default()).await;
    let sql = "select p.k, count(*) n, sum(q.a) s, max(q.b) m from x p join one q on \
               p.id % 1000000 = q.id - 9000000 where p.b > 0 and q.a > -900 group by p.k";
    let cpu = data.session("cpu", SessionOptions::default()).await;
    assert_eq!(run(&session, sql).await.unwrap(), run(&cpu, sql).await.unwrap());
    assert_eq!(took_over(&session.last_stats().unwrap()), None);
    let analyzed = run(&session, &format!("explain analyze {sql}")).await.unwrap().join("\n");
    let lines: Vec<&str> = analyzed.lines().map(str::trim).collect();
    let of = |name: &str| lines.iter().filter(|l| l.starts_with(name)).copied().collect::<Vec<_>>();
    assert!(of("DeviceHashJoinExec")[0].contains("rows=device"), "{analyzed}");
    // Filters of the scans are part of the sides.
    assert_eq!((of("DevicePipelineExec").len(), of("FilterExec").len()), (2, 0), "{analyzed}");
    let mut read = Vec::new();
    for line in of("DeviceUploadExec") {
        let columns = line.split("columns=[").nth(1).unwrap().split(']').next().unwrap();
        let (rows, batches) = (figure(line, "output_rows"), figure(line, "batches"));
        for column in columns.split(", ") {
            assert_eq!(figure(line, &format!("uploads[{column}]")), batches, "{column}: {line}");
            let bytes = figure(line, &format!("uploaded_bytes[{column}]"));
            // Values of eight bytes, and a bit or a word for each row; two digits are printed.
            let (low, high) = (rows * 8 * 97 / 100, rows * 12 * 103 / 100 + 128 * batches);
            assert!((low..=high).contains(&bytes), "{column}: {bytes}, {low} to {high}: {line}");
            read.push(column.to_string());
        }
    }
    read.sort_unstable();
    assert_eq!(read, ["a", "b", "b", "id", "id", "k"], "{analyzed}");
    let back: Vec<&&str> = lines.iter().filter(|l| l.contains("downloaded_bytes=")).collect();
    assert_eq!(back.len(), 1, "rows came back\n{analyzed}");
    assert!(back[0].starts_with("DeviceAggregateExec"), "rows came back\n{analyzed}");
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
async fn filter_and_group_by_on_the_emulator() {
    group_by("cuda-emulated:0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filter_and_group_by_on_wgpu() {
    group_by("wgpu:0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filter_and_projection_on_the_emulator() {
    projection("cuda-emulated:0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filter_and_projection_on_wgpu() {
    projection("wgpu:0").await;
}
