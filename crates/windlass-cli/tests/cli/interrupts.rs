//! Ctrl-C, and a process that is killed while it writes.
#![cfg(unix)]

use std::{
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::support::{names, run_in, windlass};

/// Hours of rows, a few at a time.
const ENDLESS: &str =
    "select a.value + b.value as x from range(0, 1000000) a cross join range(0, 1000000) b";

fn start(dir: &Path, query: &str) -> Child {
    windlass(&["sql", query, "--output", "o.csv", "--device", "cpu"])
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until the command writes, so that the signal comes in the middle.
fn wait_for_file(dir: &Path) {
    let until = Instant::now() + Duration::from_secs(60);
    while names(dir).is_empty() {
        assert!(Instant::now() < until, "nothing was written");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

fn wait(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("the command did not stop");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn ctrl_c_stops_a_query_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path(), ENDLESS);
    wait_for_file(dir.path());
    signal(&child, "-INT");
    assert_eq!(wait(&mut child).code(), Some(130));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

#[test]
fn ctrl_c_stops_a_query_that_gives_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path(), &format!("select count(*) from ({ENDLESS}) where x < 0"));
    std::thread::sleep(Duration::from_millis(700));
    signal(&child, "-INT");
    assert_eq!(wait(&mut child).code(), Some(130));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

#[test]
fn ctrl_c_stops_a_copy_and_leaves_nothing() {
    for (query, target) in [
        (ENDLESS, "'out.parquet'"),
        (ENDLESS, "'out/' stored as csv"),
        // Does not stop for long: what it holds is taken away from it.
        (&format!("{ENDLESS} order by x"), "'out.csv.gz'"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let copy = format!("copy ({query}) to {target}");
        let mut child = windlass(&["sql", &copy, "--device", "cpu"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_file(dir.path());
        std::thread::sleep(Duration::from_millis(300));
        signal(&child, "-INT");
        assert_eq!(wait(&mut child).code(), Some(130), "{target}");
        assert!(names(dir.path()).is_empty(), "{target}: {:?}", names(dir.path()));
    }
}

#[test]
fn ctrl_c_stops_benches_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // Minutes of sorts.
    let sorts = ["bench", "kernels", "--device", "cpu", "--only", "sort", "--runs", "1000"];
    let mut child = windlass(&[&sorts[..], &["--rows", "1000000", "--json", "k.json"]].concat())
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    signal(&child, "-INT");
    assert_eq!(wait(&mut child).code(), Some(130));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

#[test]
fn a_killed_process_leaves_nothing_under_the_final_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("keep.csv"), "x\n").unwrap();
    let mut child = windlass(&["sql", ENDLESS, "--output", "keep.csv"])
        .current_dir(dir.path())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while names(dir.path()).len() < 2 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(&child, "-KILL");
    wait(&mut child);
    assert_eq!(std::fs::read_to_string(dir.path().join("keep.csv")).unwrap(), "x\n");
}

#[test]
fn what_a_killed_process_left_is_cleared_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    // A copy: its hidden folder.
    let copy = |query: &str| format!("copy ({query}) to 'out/' stored as csv");
    let mut child = windlass(&["sql", &copy(ENDLESS)]).current_dir(dir.path()).spawn().unwrap();
    let staged = |dir: &Path| {
        let folder = names(dir).into_iter().find(|n| n.starts_with(".windlass-"));
        folder.is_some_and(|f| dir.join(f).join("data").exists())
    };
    let until = Instant::now() + Duration::from_secs(60);
    while !staged(dir.path()) {
        assert!(Instant::now() < until, "nothing was written");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-KILL");
    wait(&mut child);
    let left = names(dir.path());
    assert!(left.len() == 1 && left[0].starts_with(".windlass-"), "{left:?}");
    run_in(dir.path(), &["sql", &copy("select 1 as a")]).ok();
    assert_eq!(names(dir.path()), ["out"]);

    // A result: its hidden file.
    let mut child = start(dir.path(), ENDLESS);
    let hidden = |dir: &Path| names(dir).into_iter().find(|n| n.starts_with(".o.csv."));
    while hidden(dir.path()).is_none() {
        assert!(Instant::now() < until, "nothing was written");
        std::thread::sleep(Duration::from_millis(20));
    }
    // One that lives is left alone, however old.
    let file = dir.path().join(hidden(dir.path()).unwrap());
    let age = |file: &Path| {
        let open = std::fs::OpenOptions::new().append(true).open(file).unwrap();
        open.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).unwrap();
    };
    let other = ["sql", "select 1 as a", "--output", "o.csv"];
    age(&file);
    run_in(dir.path(), &other).ok();
    assert!(file.exists());
    signal(&child, "-KILL");
    wait(&mut child);
    assert!(file.exists());
    age(&file);
    run_in(dir.path(), &other).ok();
    assert_eq!(names(dir.path()), ["o.csv", "out"]);
}
