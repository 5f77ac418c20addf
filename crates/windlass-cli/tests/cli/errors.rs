//! Messages and exit codes: 1 for a job that failed, 2 for wrong usage.

use crate::support::{names, people, run, run_in, windlass};

#[test]
fn wrong_usage_ends_with_2() {
    for args in [
        &["sql"] as &[&str],
        &["sql", "select 1", "--device", "gpu"],
        &["sql", "select 1", "--memory", "12XB"],
        &["sql", "select 1", "--device-memory", "0"],
        &["sql", "select 1", "--table", "x"],
        &["sql", "select 1", "--format", "xml"],
        &["sql", "select 1", "--output", "a.xlsx"],
        &["sql", "select 1", "--stats", "yaml"],
        &["explain", "select 1; select 2"],
        &["fly"],
    ] {
        run(args).fails(2, &[]);
    }
    let e = run(&["sql", "select 1", "--memory", "12XB"]).fails(2, &["unknown unit", "2GiB"]);
    assert!(e.contains("--memory"), "{e}");
    run(&["sql", "select 1", "--device", "gpu"]).fails(2, &["unknown device \"gpu\"", "cuda:N"]);
}

#[test]
fn a_second_result_for_one_file_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    run_in(dir.path(), &["sql", "select 1; select 2", "--output", "a.csv"])
        .fails(2, &["--output takes one result"]);
    run(&["sql", "select 1; select 2", "--format", "arrow"]).fails(2, &["one result"]);
}

#[test]
fn a_device_that_is_not_there_fails_with_what_is_missing() {
    run(&["sql", "select 1", "--device", "cuda:99"]).fails(1, &["cuda:99"]);
    let dir = people();
    let sum = "select city, sum(age) from p group by city";
    run_in(dir.path(), &["sql", sum, "--table", "p=people.csv", "--device", "cuda:99"])
        .fails(1, &["cuda:99", "windlass devices"]);
}

#[test]
fn missing_files_are_named() {
    let dir = people();
    run_in(dir.path(), &["run", "no.sql"]).fails(1, &["cannot read no.sql"]);
    run_in(dir.path(), &["sql", "select 1", "--table", "p=poeple.csv"])
        .fails(1, &["table p", "poeple.csv", "people.csv"]);
    run_in(dir.path(), &["demo", "--data", "."]).fails(1, &["flights.csv.gz", "--data DIR"]);
}

#[test]
fn a_malformed_row_names_file_and_line() {
    let dir = people();
    std::fs::write(dir.path().join("bad.csv"), "a,b\n1,2\n3\n5,6\n").unwrap();
    run_in(dir.path(), &["sql", "select sum(a) from t", "--table", "t=bad.csv"])
        .fails(1, &["bad.csv", "line 3"]);
}

#[test]
fn unknown_names_come_with_the_nearest_and_their_place() {
    let dir = people();
    let job = "create external table p stored as csv location 'people.csv';\n\
               select name,\n  agee from p;\n";
    std::fs::write(dir.path().join("job.sql"), job).unwrap();
    let e = run_in(dir.path(), &["run", "job.sql", "--quiet"])
        .fails(1, &["job.sql:3:3", "agee", "\"age\""]);
    assert!(e.contains("3 |   agee from p;"), "{e}");
    run_in(dir.path(), &["sql", "select * from peple", "--table", "people=people.csv"])
        .fails(1, &["peple", "people"]);
    std::fs::write(dir.path().join("broken.sql"), "select 1;\nselect from from x;\n").unwrap();
    run_in(dir.path(), &["run", "broken.sql"]).fails(1, &["broken.sql:2:"]);
}

#[cfg(unix)]
#[test]
fn output_that_cannot_be_written_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no/such/o.csv");
    run(&["sql", "select 1", "--output", missing.to_str().unwrap()])
        .fails(1, &["o.csv", "create the folder"]);
    // Not even root may write there.
    run(&["sql", "select 1", "--output", "/proc/o.csv"]).fails(1, &["cannot write /proc/o.csv"]);
    run(&["sql", "select 1", "--output", dir.path().to_str().unwrap(), "--format", "csv"])
        .fails(1, &["it is a folder"]);
    assert!(names(dir.path()).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let query = "select value from range(0, 200000)";
    let out = windlass(&["sql", query, "--format", "csv"]).stdout(full).output().unwrap();
    let err = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{err}");
    assert!(err.contains("standard output") && err.contains("No space left"), "{err}");

    // A limit on file size stands for a disk that fills up in the middle of a write.
    let dir = tempfile::tempdir().unwrap();
    for name in ["o.csv", "o.parquet", "o.arrow"] {
        let path = dir.path().join(name);
        let script = format!(
            "trap '' XFSZ; ulimit -f 16; exec '{}' sql \"{query}\" --output '{}'",
            env!("CARGO_BIN_EXE_windlass"),
            path.display()
        );
        let out = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{name}: {err}");
        assert!(err.contains(name) && err.contains("File too large"), "{name}: {err}");
        assert!(!err.contains("/.o."), "the temporary name means nothing to the user: {err}");
        assert!(names(dir.path()).is_empty(), "{name}: {:?}", names(dir.path()));
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = windlass(&["sql", "select value from range(0, 5000000)", "--format", "csv"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
}
