//! Statistics, traces, reports, explain, devices and the demo.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use serde_json::Value;

use crate::support::{names, people, run, run_in};

const QUERY: &str = "select city, count(*) as n from p where age > 20 group by city";
const TABLE: [&str; 2] = ["--table", "p=people.csv"];

fn keys(v: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = v.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn statistics_are_one_object_on_standard_error() {
    let dir = people();
    let ran = run_in(dir.path(), &[&["sql", QUERY, "--stats", "json"], &TABLE[..]].concat());
    let stats: Value = serde_json::from_str(ran.err.trim()).unwrap();
    assert_eq!(
        keys(&stats),
        [
            "bytes_read",
            "operators",
            "peak_device_bytes",
            "peak_host_bytes",
            "rows",
            "seconds",
            "spilled_bytes"
        ]
    );
    assert_eq!(stats["rows"], 2);
    assert!(stats["seconds"].as_f64().unwrap() > 0.0);
    if cfg!(target_os = "linux") {
        assert!(stats["peak_host_bytes"].as_u64().unwrap() > 1 << 20);
    }
    let operators = stats["operators"].as_array().unwrap();
    assert!(!operators.is_empty());
    for o in operators {
        assert_eq!(keys(o), ["bytes", "device", "ms", "name", "reason", "rows"]);
    }
    ran.ok();
}

#[test]
fn reports_and_traces_are_files_of_their_own() {
    let dir = people();
    let more = ["--report", "r.html", "--trace", "t.json", "--quiet"];
    run_in(dir.path(), &[&["sql", QUERY], &TABLE[..], &more].concat()).ok();
    let page = std::fs::read_to_string(dir.path().join("r.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("group by city"));
    assert!(page.contains("AggregateExec"), "the operators are missing");
    let trace = std::fs::read_to_string(dir.path().join("t.json")).unwrap();
    let trace: Value = serde_json::from_str(&trace).unwrap();
    let slices: Vec<&Value> = trace["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["ph"] == "X" && e["cat"] == "operator")
        .collect();
    assert!(!slices.is_empty());
    assert!(slices.iter().all(|e| e["ts"].is_number() && e["dur"].is_number()));
}

/// A trace, whose slices of a thread must be in order and apart.
#[track_caller]
fn trace(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let trace: Value = serde_json::from_str(&text).unwrap();
    let events = trace["traceEvents"].as_array().unwrap().clone();
    let mut ends: HashMap<(u64, u64), f64> = HashMap::new();
    let mut named: HashSet<(u64, u64)> = HashSet::new();
    for e in &events {
        let thread = (e["pid"].as_u64().unwrap(), e["tid"].as_u64().unwrap());
        match e["ph"].as_str().unwrap() {
            "M" => {
                named.insert(thread);
            }
            "X" => {
                assert!(named.contains(&thread), "{e} lies in a lane without a name");
                let (from, took) = (e["ts"].as_f64().unwrap(), e["dur"].as_f64().unwrap());
                let end = ends.entry(thread).or_insert(0.0);
                assert!(from + 1e-6 >= *end && took >= 0.0, "{e} begins before {end}");
                *end = from + took;
            }
            "C" => assert!(e["args"]["value"].as_f64().unwrap() >= 0.0, "{e}"),
            "i" => assert!(e["ts"].as_f64().unwrap() >= 0.0, "{e}"),
            other => panic!("a phase of {other}: {e}"),
        }
    }
    events
}

#[test]
fn reports_have_memory_findings_and_timelines() {
    let dir = people();
    // More groups than the memory holds: they are written to disk.
    let query = "select value % 400000 as k, count(*) as n from range(0, 1500000) group by k \
                 order by n desc, k limit 3";
    let more = ["--report", "r.html", "--trace", "t.json", "--quiet", "--memory", "20MB"];
    run_in(dir.path(), &[&["sql", query, "--device", "cpu"], &more[..]].concat()).ok();
    let page = std::fs::read_to_string(dir.path().join("r.html")).unwrap();
    for part in [
        // What took over from the group-by that ran out of memory counts as its own.
        "were written to disk and read again under a limit of 19.1 MiB, most of it by DeviceAggregateExec",
        "aria-label=\"memory over time\"",
        "aria-label=\"timeline\"",
        "reserved by operators",
        "spilled to disk",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(!page.contains("http") && !page.contains("NaN"));
    let events = trace(&dir.path().join("t.json"));
    let counters: HashSet<&str> =
        events.iter().filter(|e| e["ph"] == "C").map(|e| e["name"].as_str().unwrap()).collect();
    assert!(counters.contains("reserved by operators (bytes)"), "{counters:?}");
    assert!(counters.contains("spill files (bytes)"), "{counters:?}");
}

#[test]
fn eight_devices_and_5_000_tasks_make_a_page_and_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let size = ["--simulate", "--workers", "8", "--tasks", "5_000"];
    let files = ["--report", "r.html", "--trace", "t.json"];
    let out = run_in(dir.path(), &[&["bench", "tasks"], &size[..], &files[..]].concat()).ok();
    assert!(out.contains("stages, 1% faults, recorded"), "{out}");
    let page = std::fs::read_to_string(dir.path().join("r.html")).unwrap();
    assert!(page.len() < 1_000_000, "{}", page.len());
    for part in ["gpu0", "cpu7", "failed and were made again", "5,000", "load-large"] {
        assert!(page.contains(part), "{part} is missing");
    }
    let events = trace(&dir.path().join("t.json"));
    let of = |key: &str, value: &str| events.iter().filter(|e| e[key] == value).count();
    assert_eq!((of("cat", "task"), of("name", "process_name")), (5_000, 8));
    assert!(of("cat", "transfer") > 0 && of("cat", "failed") > 0 && of("ph", "C") > 0);

    // The same of tasks that were really run.
    let size = ["--threads", "2", "--tasks", "300", "--runs", "1"];
    run_in(dir.path(), &[&["bench", "tasks"], &size[..], &files[..]].concat()).ok();
    let events = trace(&dir.path().join("t.json"));
    assert_eq!(events.iter().filter(|e| e["cat"] == "task").count(), 4 * 300);
    let page = std::fs::read_to_string(dir.path().join("r.html")).unwrap();
    // On a busy machine one of them may do all tasks.
    assert!(page.contains("worker 0") || page.contains("worker 1"));
    assert!(page.contains("independent"));
}

#[test]
fn a_run_that_fails_has_its_reports_too() {
    let dir = people();
    std::fs::write(dir.path().join("bad.csv"), "a,b\n1,2\n3\n5,6\n").unwrap();
    let job = "select count(*) from 'people.csv';\nselect sum(a) from 'bad.csv';\nselect 1;\n";
    std::fs::write(dir.path().join("job.sql"), job).unwrap();
    let reports = ["--report", "r.html", "--trace", "t.json", "--stats", "json"];
    let ran = run_in(dir.path(), &[&["run", "job.sql"], &reports[..]].concat());
    let err = ran.fails(1, &["job.sql:2:1", "bad.csv, line 3"]);
    // The object comes last, behind the message.
    let last = err.lines().last().unwrap();
    let stats: Value = serde_json::from_str(last).unwrap();
    assert!(stats["error"].as_str().unwrap().contains("bad.csv, line 3"), "{stats}");
    let named = |name: &str| {
        let operators = stats["operators"].as_array().unwrap();
        operators.iter().filter(|o| o["name"] == name).count()
    };
    assert!(named("DataSourceExec") >= 2, "the operators of the failed query count: {stats}");
    let page = std::fs::read_to_string(dir.path().join("r.html")).unwrap();
    assert!(page.contains("failed: ") && page.contains("line 3"), "{page}");
    assert!(page.contains("Statement 2") && !page.contains("Statement 3"));
    let trace = std::fs::read_to_string(dir.path().join("t.json")).unwrap();
    let trace: Value = serde_json::from_str(&trace).unwrap();
    assert!(trace["otherData"]["error"].as_str().unwrap().contains("line 3"));

    // Also where no statement ran.
    let ran = run_in(dir.path(), &["sql", "select 1", "--device", "cuda:99", "--stats", "json"]);
    let err = ran.fails(1, &["cuda:99"]);
    let stats: Value = serde_json::from_str(err.lines().last().unwrap()).unwrap();
    assert!(stats["error"].as_str().unwrap().contains("cuda:99"), "{stats}");
    assert_eq!(stats["operators"], Value::Array(Vec::new()));
}

#[test]
fn explain_in_sql_prints_the_plan_line_by_line() {
    let dir = people();
    let text = run_in(dir.path(), &["sql", &format!("explain {QUERY}"), TABLE[0], TABLE[1]]).ok();
    assert!(text.contains("physical_plan:\n") && text.contains("AggregateExec"), "{text}");
    assert!(!text.contains("\\n") && !text.contains('│'), "{text}");
    let json = ["--format", "json"];
    let all = [&["sql", "explain select 1"], &json[..]].concat();
    assert!(run(&all).ok().contains("\"plan_type\":\"logical_plan\""));
}

#[test]
fn explain_shows_plan_placement_and_figures() {
    let dir = people();
    let explain = |more: &[&str]| {
        run_in(dir.path(), &[&["explain", QUERY, "--device", "cpu"], &TABLE[..], more].concat())
    };
    assert!(explain(&[]).ok().contains("AggregateExec"));
    let text = explain(&["--placement"]).ok();
    assert!(text.contains("device") && text.contains("reason"), "{text}");
    let text = explain(&["--analyze"]).ok();
    assert!(text.contains("2 rows in"), "{text}");
    let all = explain(&["--placement", "--analyze", "--format", "json"]).ok();
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(keys(&all), ["logical_plan", "operators", "physical_plan", "placement", "seconds"]);
}

#[test]
fn devices_lists_the_host_and_what_is_missing() {
    let text = run(&["devices"]).ok();
    assert!(text.contains("cpu") && text.contains("host"), "{text}");
    let json: Value = serde_json::from_str(&run(&["devices", "--json"]).ok()).unwrap();
    let devices = json["devices"].as_array().unwrap();
    assert!(devices.iter().any(|d| d["name"] == "cpu" && d["auto"] == true));
    for d in devices.iter().filter(|d| d["info"].is_null()) {
        assert!(!d["note"].as_str().unwrap().is_empty(), "{d} does not say what is missing");
    }
    let json = run(&["devices", "--calibrate", "--json"]).ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["calibration"]["cpu"]["memory"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_demo_ends_with_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    // Twice: the second run replaces what the first wrote.
    for _ in 0..2 {
        let text = run(&["demo", "--output", out.to_str().unwrap(), "--device", "cpu"]).ok();
        for part in ["336,776 rows", "United Air Lines", "routes.parquet", "What to try next"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    let months = names(&out.join("features"));
    assert_eq!(months.iter().filter(|m| m.starts_with("month=")).count(), 12, "{months:?}");
    let table = format!("r={}", out.join("routes.parquet").display());
    let query = "select sum(flights) as n from r";
    assert_eq!(run(&["sql", query, "--table", &table, "--format", "csv"]).ok(), "n\n336776\n");
}
