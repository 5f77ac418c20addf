//! Each finding on statements: where it is true, and where it is not worth a word.

use windlass::{Decision, Estimate, PartitionStats};

use super::*;
use crate::{record::DeviceRecord, task_run::tests::event};

fn op(name: &str, depth: usize, ms: f64) -> OperatorStats {
    OperatorStats { name: name.into(), device: "cpu".into(), depth, ms, ..Default::default() }
}

fn run_of(operators: Vec<OperatorStats>) -> RunRecord {
    let stats = JobStats { operators, ..Default::default() };
    let statement = StatementRecord {
        text: "select".into(),
        line: 1,
        began_ms: 0.0,
        seconds: 0.5,
        cpu_seconds: None,
        stats,
        error: None,
    };
    RunRecord { seconds: 0.5, statements: vec![statement], ..Default::default() }
}

/// What is said of a run on two threads.
fn said(run: &RunRecord) -> Vec<String> {
    findings(run, 2).into_iter().map(|f| f.what).collect()
}

#[track_caller]
fn one(run: &RunRecord) -> Finding {
    let all = findings(run, 2);
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap()
}

fn parts(rows: &[u64]) -> Vec<PartitionStats> {
    let part =
        |(partition, rows): (usize, &u64)| PartitionStats { partition, rows: *rows, ms: 1.0 };
    rows.iter().enumerate().map(part).collect()
}

#[test]
fn nothing_is_said_of_a_run_with_nothing_to_say() {
    assert_eq!(said(&RunRecord::default()), [""; 0]);
    let even = OperatorStats { partitions: parts(&[50_000; 8]), ..op("FilterExec", 1, 100.0) };
    assert_eq!(said(&run_of(vec![op("SortExec", 0, 100.0), even])), [""; 0]);
}

#[test]
fn a_partition_with_most_rows_is_named() {
    let skewed =
        |rows: &[u64]| OperatorStats { partitions: parts(rows), ..op("FilterExec", 1, 100.0) };
    let run = |rows: &[u64]| run_of(vec![op("SortExec", 0, 100.0), skewed(rows)]);
    let mut rows = [5_000_u64; 9];
    rows[7] = 62_564;
    let f = one(&run(&rows));
    assert!(f.what.starts_with("partition 7 held 61% of the 102,564 rows of FilterExec"), "{f:?}");
    assert!(f.advice.contains("spread more evenly"));
    // Two partitions: three quarters are no cause for alarm, nearly all are.
    assert_eq!(said(&run(&[75_000, 25_000])), [""; 0]);
    assert!(one(&run(&[95_000, 5_000])).what.contains("partition 0 held 95%"));
    // Few rows, or an operator that took no time.
    assert_eq!(said(&run(&[900, 1, 1, 1])), [""; 0]);
    let quick = OperatorStats { ms: 0.1, ..skewed(&[90_000, 1, 1, 1]) };
    let even = || op("FilterExec", 1, 100.0);
    assert_eq!(said(&run_of(vec![even(), even(), quick])), [""; 0]);
}

#[test]
fn copies_that_take_the_time_are_told() {
    let copy = |name: &str, ms: f64| OperatorStats {
        device: "cuda:0".into(),
        transfer_ms: ms,
        bytes: 3 << 30,
        ..op(name, 1, ms)
    };
    let kernel =
        |ms: f64| OperatorStats { device: "cuda:0".into(), ..op("DevicePipelineExec", 0, ms) };
    let run = |up: f64, down: f64| {
        run_of(vec![copy("DeviceDownloadExec", down), kernel(180.0), copy("DeviceUploadExec", up)])
    };
    let f = findings(&run(820.0, 0.0), 2).remove(0);
    assert_eq!(f.what, "82% of the time was upload: 3.0 GiB.");
    assert!(f.advice.contains("fewer columns"));
    assert!(said(&run(0.0, 420.0)).contains(&"70% of the time was download: 3.0 GiB.".to_string()));
    let both = said(&run(300.0, 300.0));
    assert!(both[0].starts_with("77% of the time was copies"), "{both:?}");
    assert_eq!(said(&run(30.0, 20.0)).iter().filter(|s| s.contains("of the time was")).count(), 0);
    // On the host nothing is copied.
    let mut host = run(820.0, 0.0);
    host.statements[0].stats.operators.iter_mut().for_each(|o| o.device = "cpu".into());
    assert!(!said(&host).iter().any(|s| s.contains("upload")));
}

#[test]
fn spills_and_limits_tell_how_much() {
    let mut run =
        run_of(vec![OperatorStats { spilled_bytes: 40 << 20, ..op("SortExec", 0, 90.0) }]);
    run.memory_limit = Some(64 << 20);
    run.statements[0].stats.spilled_bytes = 40 << 20;
    run.statements[0].stats.peak_host_bytes = 63 << 20;
    let f = one(&run);
    assert!(f.what.starts_with("40.0 MiB were written to disk"), "{f:?}");
    assert!(f.what.contains("a limit of 64.0 MiB") && f.what.contains("SortExec"), "{f:?}");
    assert!(f.advice.contains("--memory"));
    // Near the limit, nothing spilled.
    run.statements[0].stats.spilled_bytes = 0;
    run.statements[0].stats.operators[0].spilled_bytes = 0;
    assert!(one(&run).what.contains("63.0 MiB of the 64.0 MiB that --memory allows (98%)"));
    run.statements[0].stats.peak_host_bytes = 10 << 20;
    assert_eq!(said(&run), [""; 0]);
    let device = |peak| DeviceRecord { name: "cuda:0".into(), host: false, cap: 100 << 20, peak };
    run.devices = vec![device(91 << 20)];
    assert!(one(&run).what.contains("cuda:0 held up to 91.0 MiB of its 100 MiB"));
    run.devices = vec![device(50 << 20)];
    assert_eq!(said(&run), [""; 0]);
}

#[test]
fn failed_devices_come_first() {
    let mut run = run_of(vec![
        OperatorStats {
            fallback_batches: 3,
            device: "wgpu:0".into(),
            ..op("DevicePipelineExec", 0, 10.0)
        },
        op("FilterExec", 1, 90.0),
        op("DataSourceExec", 2, 1.0),
    ]);
    run.statements[0].stats.fallback = Some("wgpu:0 was lost".into());
    let mut told =
        (*event(EventKind::Fallback, "wgpu:0", "DevicePipelineExec: no room", 1, 0)).clone();
    told.device = "wgpu:0".into();
    run.traces.push(DeviceTrace::default());
    run.traces[0].trace.events.push(std::sync::Arc::new(told));
    let all = said(&run);
    assert!(all[0].contains("begun more than once: wgpu:0 was lost"), "{all:?}");
    assert!(
        all.iter().any(|s| s.contains(
            "the CPU took over 3 batches of DevicePipelineExec that wgpu:0 failed on: no room."
        )),
        "{all:?}"
    );
}

#[test]
fn what_cannot_run_on_a_device_tells_why_and_what_costs_more_there_does_not() {
    let sort =
        || OperatorStats { reason: "lists have no form there".into(), ..op("SortExec", 0, 90.0) };
    let mut run = run_of(vec![sort(), op("FilterExec", 1, 80.0)]);
    let decision = |estimates| Decision {
        id: 0,
        depth: 0,
        operator: "SortExec: expr=[a]".into(),
        device: "cpu".into(),
        placed: false,
        rows: None,
        estimates,
        reason: "lists have no form there".into(),
    };
    run.statements[0].stats.decisions = vec![decision(Vec::new())];
    assert_eq!(said(&run), [""; 0], "there is no device to go to");
    run.devices = vec![DeviceRecord { name: "cuda:0".into(), host: false, cap: 0, peak: 0 }];
    let f = one(&run);
    assert!(f.what.starts_with("SortExec had to stay on the CPU and took 53%"), "{f:?}");
    assert!(f.what.contains("lists have no form there"));
    let device = "cuda:0".to_string();
    let estimate =
        Estimate { device, total_ms: 9.0, transfer_ms: 1.0, compute_ms: 8.0, launch_ms: 0.0 };
    run.statements[0].stats.decisions = vec![decision(vec![estimate])];
    assert_eq!(said(&run), [""; 0], "it was a matter of cost");
}

#[test]
fn scans_that_read_far_too_much_name_their_file() {
    let scan = |ms| OperatorStats {
        scanned_bytes: Some(740 << 20),
        rows: 6_000_000,
        ..op("DataSourceExec", 2, ms)
    };
    let filter = |rows| OperatorStats { rows, ..op("FilterExec", 0, 50.0) };
    let between = || op("CoalesceBatchesExec", 1, 50.0);
    let mut run = run_of(vec![filter(60_000), between(), scan(80.0)]);
    run.statements[0].stats.plan = "FilterExec: a > 1\n  CoalesceBatchesExec\n    DataSourceExec: \
        file_groups={2 groups: [[data/big.csv:0..9], [data/big.csv:9..18]]}, projection=[a], \
        file_type=csv, has_header=true\n"
        .into();
    let f = one(&run);
    assert_eq!(
        f.what,
        "the scan of big.csv read 740 MiB and 6,000,000 rows, of which 60,000 were kept (1.0%)."
    );
    assert!(f.advice.contains("PARQUET"));
    run.statements[0].stats.plan = run.statements[0].stats.plan.replace("csv", "parquet");
    assert!(one(&run).advice.contains("sorted or partitioned"));
    assert_eq!(said(&run_of(vec![filter(3_000_000), between(), scan(80.0)])), [""; 0]);
    // An aggregation between gives other rows.
    let mut far = run_of(vec![filter(6), op("AggregateExec", 1, 50.0), scan(80.0)]);
    far.statements[0].stats.plan.clear();
    assert_eq!(said(&far), [""; 0]);
}

#[test]
fn a_file_that_statements_read_again_and_again_is_worth_keeping() {
    let scan = |ms| OperatorStats { scanned_bytes: Some(1 << 30), ..op("DataSourceExec", 1, ms) };
    let plan = "AggregateExec\n  DataSourceExec: file_groups={1 group: [[d/t.parquet]]}, \
                file_type=parquet\n";
    let mut run = RunRecord::default();
    let add = |run: &mut RunRecord| {
        let mut one = run_of(vec![op("AggregateExec", 0, 60.0), scan(50.0)]);
        one.statements[0].stats.plan = plan.into();
        run.statements.append(&mut one.statements);
    };
    add(&mut run);
    add(&mut run);
    assert_eq!(said(&run), [""; 0]);
    add(&mut run);
    let f = one(&run);
    assert_eq!(
        f.what,
        "45% of the operators' time was reading t.parquet, which 3 statements did: 3.0 GiB."
    );
    assert!(f.advice.contains("persist"));
}

#[test]
fn an_operator_with_most_of_the_time_is_told_with_its_statement() {
    let mut run = run_of(vec![op("SortExec", 0, 900.0), op("FilterExec", 1, 50.0)]);
    run.statements.push(run_of(vec![op("FilterExec", 0, 50.0)]).statements.remove(0));
    let f = one(&run);
    assert_eq!(
        f.what,
        "SortExec of statement 1 took 90% of the operators' time: 900 ms over all threads."
    );
    assert!(f.advice.contains("LIMIT"));
    run.statements[1].stats.operators[0].ms = 880.0;
    assert_eq!(said(&run), [""; 0]);
}

#[test]
fn small_batches_and_idle_threads_are_told() {
    let many = OperatorStats { rows: 20_000, batches: 4_000, ..op("UnionExec", 0, 90.0) };
    let f = one(&run_of(vec![many, op("DataSourceExec", 1, 80.0)]));
    assert!(f.what.contains("20,000 rows in 4,000 batches, 5 rows each"), "{f:?}");
    let scan = OperatorStats {
        scanned_bytes: Some(1),
        partitions: parts(&[9]),
        ..op("DataSourceExec", 1, 1_500.0)
    };
    let mut run = run_of(vec![op("AggregateExec", 0, 1_400.0), scan]);
    run.statements[0].seconds = 3.0;
    assert_eq!(findings(&run, 8), [], "the system does not tell");
    run.statements[0].cpu_seconds = Some(1.5);
    assert_eq!(findings(&run, 1), [], "one thread cannot wait for another");
    let f = findings(&run, 8).remove(0);
    assert_eq!(f.what, "it computed on 0.5 of 8 threads on average, over 3.00 s.");
    assert!(f.advice.contains("compressed as a whole"), "{f:?}");
    run.statements[0].stats.operators[1].scanned_bytes = None;
    assert!(findings(&run, 8)[0].advice.contains("DataSourceExec ran in one partition"));
    run.statements[0].cpu_seconds = Some(15.0);
    assert_eq!(findings(&run, 8), []);
}

#[test]
fn lost_events_are_told() {
    let mut run = run_of(Vec::new());
    run.traces.push(DeviceTrace::default());
    assert_eq!(said(&run), [""; 0]);
    run.traces[0].trace.dropped = 7;
    assert!(one(&run).what.contains("7 events"));
}
