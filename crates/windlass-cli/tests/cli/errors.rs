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
        &["sql", ""],
        &["sql", "--fromat"],
        &["sql", " ; -- nothing"],
        &["sql", "select 1", "--table", "x=a.csv", "--table", "y=b.csv", "--table", "x=c.csv"],
        &["fly"],
    ] {
        run(args).fails(2, &[]);
    }
    let e = run(&["sql", "select 1", "--memory", "12XB"]).fails(2, &["unknown unit", "2GiB"]);
    assert!(e.contains("--memory"), "{e}");
    run(&["sql", "select 1", "--device", "gpu"]).fails(2, &["unknown device \"gpu\"", "cuda:N"]);
}

#[test]
fn what_is_no_table_and_no_call_is_told_in_words() {
    let dir = people();
    std::fs::write(dir.path().join("notes.md"), "# Notes\n").unwrap();
    run_in(dir.path(), &["sql", "select * from 'notes.md'"])
        .fails(1, &["cannot tell the format of notes.md", "STORED AS"]);
    let e = run_in(dir.path(), &["sql", "select sum(name) from 'people.csv'"])
        .fails(1, &["No function matches", "sum(Utf8)"]);
    assert!(!e.contains("Internal") && !e.contains("bug"), "{e}");
}

#[test]
fn messages_name_no_library() {
    for (query, told) in [
        ("select 1/0", "Divide by zero"),
        ("select cast('abc' as int)", "Cannot cast string 'abc'"),
        ("set datafusion.execution.batch_size = 'x'", "batch_size to \"x\""),
        ("create external table t stored as foo location 'x'", "unknown format FOO"),
        ("select [1, 2]", "lists"),
        ("copy (select 1 as a) to 'o' stored as csv partitioned by (a)", "all of them (a)"),
    ] {
        let e = run(&["sql", query]).fails(1, &[told]);
        for word in ["Arrow error", "External error", "DataFusion", "factory", "feature"] {
            assert!(!e.contains(word), "{query}: {e}");
        }
    }
}

#[test]
fn a_query_may_begin_with_a_comment() {
    let text = "-- the answer\nselect 40 + 2 as answer";
    assert_eq!(run(&["sql", text, "--format", "csv"]).ok(), "answer\n42\n");
    assert_eq!(run(&["sql", "--format", "csv", text]).ok(), "answer\n42\n");
}

/// Statements that a program writes may be far longer than a person's. They came to the end of
/// the stack, and the process with them.
#[test]
fn conditions_of_a_thousand_terms_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let any = (0..1_200).map(|i| format!("a = {i}")).collect::<Vec<_>>().join(" or ");
    let sum = vec!["a"; 1_200].join(" + ");
    let query = format!("select {sum} as s from (values (1199), (1200)) t(a) where {any}");
    let file = dir.path().join("long.sql");
    std::fs::write(&file, query).expect("a file");
    let ran = run_in(dir.path(), &["run", "long.sql", "--format", "csv", "--quiet"]);
    assert_eq!(ran.ok(), "s\n1438800\n");
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

/// The command as a user to whom permissions apply, also where the tests run as root.
#[cfg(unix)]
fn windlass_as_user(dir: &std::path::Path, args: &[&str]) -> crate::support::Ran {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    const NOBODY: u32 = 65_534;
    let mut command = windlass(args);
    command.current_dir(dir).env("HOME", "/nonexistent").env_remove("XDG_CACHE_HOME");
    let id = std::process::Command::new("id").arg("-u").output().unwrap().stdout;
    if id.trim_ascii() == b"0" {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    command.output().unwrap().into()
}

#[cfg(unix)]
#[test]
fn files_that_cannot_be_read_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = people();
    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(dir.path().join("people.csv"), closed).unwrap();
    let from = |file: &str| format!("select * from '{file}'");
    windlass_as_user(dir.path(), &["sql", &from("people.csv"), "--device", "cpu"])
        .fails(1, &["cannot read people.csv: permission denied"]);
    // A link to itself, which not even root can open.
    std::os::unix::fs::symlink("loop.csv", dir.path().join("loop.csv")).unwrap();
    run_in(dir.path(), &["sql", &from("loop.csv")]).fails(1, &["cannot read loop.csv"]);
    // A folder in a file's place.
    std::fs::create_dir(dir.path().join("folder.csv")).unwrap();
    run_in(dir.path(), &["sql", &from("folder.csv")]).fails(1, &["folder.csv", "empty"]);
    std::fs::create_dir(dir.path().join("job.sql")).unwrap();
    run_in(dir.path(), &["run", "job.sql"]).fails(1, &["cannot read job.sql"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = people();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o555)).unwrap();
    for copy in [
        "copy (select 1 as a) to 'out/x.parquet'",
        "copy (select 1 as a) to 'out/deep/' stored as csv",
    ] {
        windlass_as_user(dir.path(), &["sql", copy, "--device", "cpu"])
            .fails(1, &["cannot write", "/out/", "permission denied"]);
    }
    windlass_as_user(dir.path(), &["sql", "select 1", "--output", "out/x.csv", "--device", "cpu"])
        .fails(1, &["cannot write out/x.csv", "may write to"]);
    assert!(names(&out).is_empty(), "{:?}", names(&out));
    run_in(dir.path(), &["sql", "copy (select 1 as a) to '/proc/windlass/x.csv'"])
        .fails(1, &["cannot write /proc/windlass/x.csv"]);
}

#[test]
fn a_wrong_type_for_a_column_names_file_line_and_remedy() {
    let dir = people();
    let job = |types: &str| {
        format!(
            "create external table p stored as csv location 'people.csv' \
             options (types '{types}');\nselect max(name) from p;\n"
        )
    };
    std::fs::write(dir.path().join("job.sql"), job("name int")).unwrap();
    run_in(dir.path(), &["run", "job.sql", "--quiet"])
        .fails(1, &["job.sql:2:1", "people.csv, line 2, column name", "whole number", "\"Ada\""]);
    std::fs::write(dir.path().join("job.sql"), job("nmae int")).unwrap();
    run_in(dir.path(), &["run", "job.sql", "--quiet"])
        .fails(1, &["job.sql:1:1", "unknown column \"nmae\"", "\"name\""]);
    std::fs::write(dir.path().join("job.sql"), job("name integr")).unwrap();
    run_in(dir.path(), &["run", "job.sql", "--quiet"]).fails(1, &["integr"]);
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

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_during_a_copy_is_told_and_leaves_nothing() {
    // Numbers without a pattern, so that no format makes them small: 4 MB as Parquet.
    let query = "select value * 2654435761 % 4294967291 as x, \
                 'text ' || (value * 2246822519 % 4294967279) as t from range(0, 400000)";
    let binary = env!("CARGO_BIN_EXE_windlass");
    let run = |dir: &std::path::Path, limit: &str, copy: &str| {
        let script = format!("{limit}; exec '{binary}' sql \"{copy}\" --device cpu");
        let mut shell = std::process::Command::new("unshare");
        shell.args(["-rm", "sh", "-c", &script]).current_dir(dir);
        let ran: crate::support::Ran = shell.output().unwrap().into();
        ran
    };
    for target in ["'o.csv'", "'o.parquet'", "'o/' stored as csv"] {
        let dir = tempfile::tempdir().unwrap();
        let copy = format!("copy ({query}) to {target}");
        // A limit on file size.
        let script = format!("trap '' XFSZ; ulimit -f 64; exec '{binary}' sql \"{copy}\"");
        let limited = std::process::Command::new("sh")
            .args(["-c", &script])
            .current_dir(dir.path())
            .output()
            .unwrap();
        crate::support::Ran::from(limited).fails(1, &["cannot write", "/o", "too large"]);
        assert!(names(dir.path()).is_empty(), "{target}: {:?}", names(dir.path()));
        // A small disk, where the system lets us mount one.
        let mount = "mkdir disk && mount -t tmpfs -o size=1m tmpfs disk && cd disk";
        let ran = run(dir.path(), &format!("{mount} || exit 99"), &copy);
        if ran.code == Some(99) || ran.err.contains("unshare") {
            eprintln!("no small disk can be mounted here: {}", ran.err.trim());
            continue;
        }
        ran.fails(1, &["cannot write", "/o", "the disk is full"]);
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
