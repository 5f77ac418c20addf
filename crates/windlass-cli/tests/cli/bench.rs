//! `windlass bench`: data, figures, and peers that are absent, broken or disagree.

use std::path::Path;

use crate::support::{names, run, windlass};

/// One question of the smallest db-benchmark, with the peers of `python`.
fn bench(dir: &Path, rest: &[&str]) -> crate::support::Ran {
    let data = dir.join("data");
    windlass(&["bench", "dbbench", "--rows", "1000", "--runs", "2", "--device", "cpu", "--data"])
        .arg(data)
        .args(rest)
        .output()
        .unwrap()
        .into()
}

#[test]
fn ours_alone_writes_figures_a_page_and_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (json, html, results) = (path("f.json"), path("f.html"), path("rows"));
    let out = bench(
        dir.path(),
        &[
            "--engines",
            "none",
            "--queries",
            "q1,j5",
            "--json",
            &json,
            "--report",
            &html,
            "--results",
            &results,
        ],
    )
    .ok();
    assert!(out.contains("db-benchmark 1,000 rows, best of 2"), "{out}");
    assert_eq!(names(&dir.path().join("rows")), ["j05.arrow", "q01.arrow"]);
    let tables = ["big.parquet", "j.parquet", "medium.parquet", "small.parquet", "x.parquet"];
    assert_eq!(names(&dir.path().join("data/dbbench-1000")), tables);
    let text = std::fs::read_to_string(&json).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(figures["device"], "cpu");
    assert_eq!(figures["devices"][0]["class"], "host");
    let questions = figures["questions"].as_array().unwrap();
    assert_eq!(questions.len(), 2);
    for q in questions {
        let ours = &q["results"][0];
        assert_eq!(ours["engine"], "windlass");
        assert_eq!(ours["error"], serde_json::Value::Null);
        assert_eq!(ours["all_seconds"].as_array().unwrap().len(), 2);
        assert!(ours["seconds"].as_f64().unwrap() > 0.0);
        assert!(!q["operators"].as_array().unwrap().is_empty());
    }
    // A key of 1,000 is on both sides nine times in ten.
    assert_eq!(questions[1]["results"][0]["rows"], 900);
    assert!(std::fs::read_to_string(&html).unwrap().contains("</html>"));
}

#[test]
fn wrong_options_are_told_with_what_would_do() {
    run(&["bench", "tpch", "--queries", "23"]).fails(2, &["\"23\" is no question of tpch", "q22"]);
    run(&["bench", "dbbench", "--rows", "10"]).fails(2, &["whole number from 1000"]);
    run(&["bench", "tpch", "--scale", "0"]).fails(2, &["0.001"]);
    run(&["bench", "tpch", "--engines", "oracle"]).fails(2, &["oracle", "duckdb"]);
    run(&["bench", "tpch", "--runs", "0"]).fails(2, &["--runs"]);
}

#[cfg(unix)]
mod peers {
    use super::*;

    /// A Python that is none: it answers with these lines.
    fn answering(dir: &Path, lines: &[&str]) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join("python");
        let mut script = "#!/bin/sh\n".to_string();
        for (i, line) in lines.iter().enumerate() {
            if i > 0 {
                script += "read question || exit 0\n";
            }
            script += &format!("echo '{line}'\n");
        }
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn a_peer_that_is_not_installed_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let python = answering(dir.path(), &[r#"{"absent": "No module named duckdb"}"#]);
        let out =
            bench(dir.path(), &["--engines", "duckdb", "--queries", "q4", "--python", &python])
                .ok();
        assert!(out.contains("duckdb is absent: No module named duckdb"), "{out}");
    }

    #[test]
    fn a_peer_with_other_rows_fails_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let python = answering(
            dir.path(),
            &[
                r#"{"version": "1.0"}"#,
                r#"{"seconds": [0.5, 0.25], "rows": 7, "columns": [], "ours": {"rows": 8, "columns": []}}"#,
            ],
        );
        // Generates the data, which is told on standard error.
        bench(dir.path(), &["--engines", "none", "--queries", "q4"]).ok();
        let ran =
            bench(dir.path(), &["--engines", "duckdb", "--queries", "q4", "--python", &python]);
        assert!(ran.out.contains("0.250 DIFFERS"), "{}", ran.out);
        ran.fails(1, &["q04 duckdb: 7 rows, ours has 8"]);
    }

    #[test]
    fn a_peer_that_dies_is_told_and_the_rest_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let python = answering(dir.path(), &[r#"{"version": "1.0"}"#]);
        let out =
            bench(dir.path(), &["--engines", "duckdb", "--queries", "q4,q7", "--python", &python])
                .ok();
        assert!(out.contains("failed: q04 duckdb"), "{out}");
        assert!(out.contains("q07"), "{out}");
    }
}

#[test]
fn kernels_have_figures_a_page_and_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (json, html) = (path("k.json"), path("k.html"));
    let out = run(&[
        "bench",
        "kernels",
        "--device",
        "cpu",
        "--rows",
        "3_000",
        "--runs",
        "2",
        "--only",
        "gather/gather,reduce/sum,cliff/group_by/uniform/2^1",
        "--json",
        &json,
        "--report",
        &html,
    ])
    .ok();
    for part in ["cpu: host", "gather/gather/random_i64", "arrow take", "group-by by groups"] {
        assert!(out.contains(part), "{part} is missing in:\n{out}");
    }
    let text = std::fs::read_to_string(&json).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&text).unwrap();
    let device = &figures["devices"][0];
    assert_eq!((&figures["suite"], &device["class"]), (&"kernels".into(), &"host".into()));
    assert!(device["copy_bytes_per_second"].as_f64().unwrap() > 1e6);
    let benches = device["benches"].as_array().unwrap();
    assert!(benches.len() > 10, "{}", benches.len());
    for b in benches {
        assert_eq!(b["error"], serde_json::Value::Null, "{b}");
        assert_eq!(b["all_seconds"].as_array().unwrap().len(), 2);
        assert!(b["bytes_read"].as_u64().unwrap() > 0 && b["ratio"].as_f64().unwrap() > 0.0);
    }
    assert!(device["cliffs"][0]["worst_step"].as_f64().unwrap() >= 1.0);
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.contains("<polyline") && page.contains("</html>"));
}

#[test]
fn tasks_have_figures_and_simulations() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("t.json").to_string_lossy().into_owned();
    let figures = || -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap()
    };
    let out = run(&["bench", "tasks", "--tasks", "5_000", "--threads", "2", "--json", &json]).ok();
    for part in ["independent", "chain", "tree", "random", "synchronous", "2 threads"] {
        assert!(out.contains(part), "{part} is missing in:\n{out}");
    }
    let rates = figures()["rates"].as_array().unwrap().clone();
    assert_eq!(rates.len(), 8);
    if cfg!(target_os = "linux") {
        assert!(rates[0]["bytes_per_task"].as_f64().unwrap() > 10.0, "{}", rates[0]);
    }
    let small = ["bench", "tasks", "--simulate", "--tasks", "4000", "--workers", "20"];
    let out = run(&[&small[..], &["--seed", "7", "--json", &json]].concat()).ok();
    assert!(out.contains("locality first") && out.contains("of the tasks"), "{out}");
    let first = figures()["simulated"][0]["report"].clone();
    assert_eq!(first["tasks"], 4000);
    run(&[&small[..], &["--seed", "7", "--json", &json]].concat()).ok();
    assert_eq!(first, figures()["simulated"][0]["report"], "the same for the same seed");
    run(&["bench", "tasks", "--workers", "5"]).fails(2, &["--simulate"]);
    run(&["bench", "tasks", "--tasks", "0"]).fails(2, &["whole number from 1"]);
}

#[test]
fn arrays_have_figures_and_compare() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("a.json").to_string_lossy().into_owned();
    let sizes = ["--size", "60", "--matrix", "60", "--rows", "500", "--chunks", "3000"];
    let small = [&["bench", "arrays", "--runs", "2"][..], &sizes].concat();
    let out = run(&[&small[..], &["--engines", "none", "--json", &json]].concat()).ok();
    assert!(out.contains("chain of ten") && out.contains("sum of chunks of one"), "{out}");
    let figures: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let operations = figures["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 10);
    assert_eq!(operations[3]["ours"]["value"], 3000.0);
    assert_eq!(operations[0]["ours"]["all_seconds"].as_array().unwrap().len(), 2);
    // NumPy where the tests have it, else it is said to be absent.
    run(&[&small[..], &["--engines", "numpy", "--only", "mean"]].concat()).ok();
    run(&[&small[..], &["--only", "fourier"]].concat()).fails(2, &["no operation has fourier"]);
    run(&["bench", "arrays", "--size", "0"]).fails(2, &["whole number from 1 to 100000"]);
    run(&[&small[..], &["--python", "/nowhere/python"]].concat()).fails(1, &["/nowhere/python"]);
}

#[test]
fn kernels_are_listed_and_chosen() {
    let all = run(&["bench", "kernels", "--list"]).ok();
    assert!(all.contains("sort/sort_indices/i64") && !all.contains("cliff/"), "{all}");
    let cliff = run(&["bench", "kernels", "--list", "--only", "cliff"]).ok();
    assert!(cliff.contains("cliff/group_by/uniform/2^23"), "{cliff}");
    run(&["bench", "kernels", "--only", "nothing,none"])
        .fails(2, &["no bench has nothing or none in its name", "--list"]);
    run(&["bench", "kernels", "--rows", "0"]).fails(2, &["whole number from 1"]);
    run(&["bench", "kernels", "--device", "gpu"]).fails(2, &["gpu"]);
}

/// The emulator is for tests of the command, not for figures.
#[test]
fn an_emulated_device_takes_few_rows_and_says_what_it_is() {
    let device = ["bench", "kernels", "--device", "cuda-emulated:0", "--only", "scan/inclusive"];
    let with = |rows: &str| run(&[&device[..], &["--rows", rows, "--runs", "1"]].concat());
    with("10_000_000").fails(2, &["10,000,000 rows are too many for cuda-emulated:0", "--rows"]);
    let out = with("3000").ok();
    for part in ["cuda-emulated:0: emulated", "scan/inclusive/sum_i64", "tells nothing of a GPU"] {
        assert!(out.contains(part), "{part} is missing in:\n{out}");
    }
}
