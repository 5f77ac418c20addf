//! Writing: round trips, partitions, compression, sizes, and that output is whole or absent.

use std::{fs, path::Path};

use frame_tests::{all, columns, folder, rows, run, session, sql};
use windlass::{Outcome, RunOptions, Session, Written, prelude::*};

const QUERY: &str = "select value as id, value % 3 as k, value / 4.0 as x, \
     case when value % 5 = 0 then null else 'n' || value end as name, \
     date '2013-01-01' + cast(value as int) as day from generate_series(1, 1000)";

/// The names of the files below a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    fn walk(at: &Path, root: &Path, out: &mut Vec<String>) {
        for entry in fs::read_dir(at).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, root, out);
            } else {
                out.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut out = Vec::new();
    walk(folder, folder, &mut out);
    out.sort();
    out
}

async fn frame(session: &Session) -> DataFrame {
    session.sql(QUERY).await.unwrap().select(&["id", "k", "x", "name"]).unwrap()
}

#[tokio::test]
async fn every_format_comes_back_as_it_was_written() {
    let (session, dir) = (session(), folder());
    let frame = frame(&session).await;
    let expected = all(&frame).await;
    for (format, extension, compression) in [
        (FileFormat::Parquet, "parquet", None),
        (FileFormat::Parquet, "parquet", Some("zstd")),
        (FileFormat::Parquet, "parquet", Some("gzip")),
        (FileFormat::Csv, "csv", None),
        (FileFormat::Csv, "csv.gz", None),
        (FileFormat::Csv, "csv.zst", None),
        (FileFormat::Csv, "csv.bz2", None),
        (FileFormat::Csv, "csv.xz", None),
        (FileFormat::Json, "jsonl", None),
        (FileFormat::Json, "json.gz", None),
        (FileFormat::Json, "json.zst", None),
        (FileFormat::Json, "json.bz2", None),
        (FileFormat::Arrow, "arrow", None),
    ] {
        let path = dir.path().join(format!("out.{extension}")).display().to_string();
        let compression = compression.map(str::to_string);
        let options = WriteOptions { compression, ..Default::default() };
        let written = frame.write(&path, format, &options, &RunOptions::default()).await;
        let written = written.unwrap_or_else(|e| panic!("{path}: {e}"));
        let size = fs::metadata(&path).unwrap().len();
        assert_eq!(written, Written { rows: 1000, files: 1, bytes: size }, "{path}");
        let back = session.read(&path).await.unwrap().sort_by(&["id"]).unwrap();
        assert_eq!(all(&back.select(&["id", "k", "x", "name"]).unwrap()).await, expected, "{path}");
    }
    let left = names(dir.path());
    assert!(left.iter().all(|n| n.starts_with("out.")), "{left:?}");
}

#[tokio::test]
async fn partitions_become_folders_and_come_back() {
    let (session, dir) = (session(), folder());
    let frame = frame(&session).await;
    let out = dir.path().join("out").display().to_string();
    for format in [FileFormat::Parquet, FileFormat::Csv, FileFormat::Json, FileFormat::Arrow] {
        let options = WriteOptions { partition_by: vec!["k".into()], ..Default::default() };
        let run = RunOptions::default();
        let written = frame.write(&out, format, &options, &run).await.unwrap();
        assert_eq!((written.rows, written.files), (1000, 3), "{format:?}");
        let files = names(Path::new(&out));
        assert!(files[0].starts_with("k=0/part-00000."), "{files:?}");
        let back = session.read(&out).await.unwrap();
        assert!(columns(&back).contains(&"k:Int64".to_string()), "{:?}", columns(&back));
        let back = back.sort_by(&["id"]).unwrap().select(&["id", "k", "x", "name"]).unwrap();
        assert_eq!(all(&back).await, all(&frame).await, "{format:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no staging is left");
}

#[tokio::test]
async fn null_is_a_partition_of_its_own() {
    let (session, dir) = (session(), folder());
    let query = "select value as v, nullif(value % 2, 0) as k from generate_series(1, 10)";
    let out = dir.path().join("out").display().to_string();
    let text = format!("copy ({query}) to '{out}/' stored as csv partitioned by (k)");
    run(&session, &text).await.unwrap();
    let files = names(Path::new(&out));
    assert_eq!(files, ["k=1/part-00000.csv", "k=__HIVE_DEFAULT_PARTITION__/part-00000.csv"]);
    // It comes back as null, and the others keep their type.
    let back = session.read(&out).await.unwrap();
    assert_eq!(columns(&back), ["v:Int64", "k:Int64"]);
    let null = back.filter(col("k").is_null()).unwrap().sort_by(&["v"]).unwrap();
    assert_eq!(all(&null).await, ["2,", "4,", "6,", "8,", "10,"]);
    let one = back.filter(col("k").eq(lit(1))).unwrap();
    assert_eq!(one.count().await.unwrap(), 5);
    let sums = format!("select k, sum(v) from '{out}' group by k order by k nulls first");
    assert_eq!(sql(&session, &sums).await, [",30", "1,25"]);
    for (name, columns) in [("a", ""), ("b", "(v bigint, k int)")] {
        let table = format!(
            "create external table {name} {columns} stored as csv partitioned by (k) \
             location '{out}/'"
        );
        run(&session, &table).await.unwrap();
        let count = format!("select count(*), count(k), max(k) from {name}");
        assert_eq!(sql(&session, &count).await, ["10,5,1"], "{name}");
    }
    // Text that is written and read by name.
    let text = format!(
        "copy (select 1 as v, 'New York/JFK' as city union all select 2, null) \
         to '{out}/text/' stored as parquet partitioned by (city)"
    );
    run(&session, &text).await.unwrap();
    let query = format!("select v, city from '{out}/text/' order by v");
    assert_eq!(sql(&session, &query).await, ["1,New York/JFK", "2,"]);
}

#[tokio::test]
async fn an_insert_is_whole_or_absent() {
    let (session, dir) = (session(), folder());
    let place = |name: &str| dir.path().join(name).display().to_string();
    let failing = "select value, 1 / (value - 900000) from generate_series(1, 1000000)";
    for (kind, options) in [
        ("csv", "options (delimiter ';', has_header 'false')"),
        ("csv", "options (nulls 'NA', compression 'gzip')"),
        ("parquet", ""),
        ("json", ""),
        ("arrow", ""),
    ] {
        let folder = tempfile::tempdir_in(dir.path()).unwrap();
        let out = folder.path().display().to_string();
        let table = format!(
            "create or replace external table t (a bigint, b bigint) stored as {kind} \
             location '{out}/' {options}"
        );
        run(&session, &table).await.unwrap_or_else(|e| panic!("{table}: {e}"));
        let outcome = run(&session, "insert into t values (1, 10), (2, null)").await;
        let outcome = outcome.unwrap_or_else(|e| panic!("{table}: {e}"));
        let Outcome::Written { rows, files, bytes, path } = outcome else { panic!("{outcome:?}") };
        assert!(rows == 2 && files == 1 && bytes > 0 && path == Path::new("t"), "{kind}");
        run(&session, "insert into t (b, a) select 30, 3").await.unwrap();
        let before = names(Path::new(&out));
        assert!(before.iter().all(|n| n.starts_with("part-")), "{before:?}");
        let e = run(&session, &format!("insert into t {failing}")).await.unwrap_err();
        assert!(e.to_string().to_lowercase().contains("divide by zero"), "{e}");
        assert_eq!(names(Path::new(&out)), before);
        // By a frame's calls too.
        let frame = session.sql(&format!("insert into t {failing}")).await.unwrap();
        assert!(frame.collect().await.is_err());
        assert_eq!(names(Path::new(&out)), before);
        let rows = sql(&session, "select a, b from t order by a").await;
        assert_eq!(rows, ["1,10", "2,", "3,30"], "{kind} {options}");
        run(&session, "insert overwrite t values (4, 40)").await.unwrap();
        assert_eq!(sql(&session, "select a, b from t").await, ["4,40"], "{kind} {options}");
    }
    fs::write(place("one.csv"), "a\n1\n").unwrap();
    let table = format!("create external table one stored as csv location '{}'", place("one.csv"));
    run(&session, &table).await.unwrap();
    let e = run(&session, "insert into one values (2)").await.unwrap_err().to_string();
    assert!(e.contains("table one") && e.contains("one file"), "{e}");
    run(&session, "create table m as select 1 as a; insert into m values (2)").await.unwrap();
    assert_eq!(sql(&session, "select sum(a) from m").await, ["3"]);
}

#[tokio::test]
async fn inserted_rows_find_their_partition_null_too() {
    let (session, dir) = (session(), folder());
    let out = dir.path().join("out").display().to_string();
    let text = format!("copy (select 1 as v, 7 as k) to '{out}/' stored as csv partitioned by (k)");
    run(&session, &text).await.unwrap();
    let table = format!(
        "create external table old stored as csv partitioned by (k) location '{out}/'; \
         create external table new (v bigint, k int) stored as parquet partitioned by (k) \
         location '{out}-new/'"
    );
    run(&session, &table).await.unwrap();
    for name in ["old", "new"] {
        let insert = format!("insert into {name} values (2, 8), (3, null)");
        run(&session, &insert).await.unwrap();
        let query = format!("select v, k from {name} where v > 1 order by v");
        assert_eq!(sql(&session, &query).await, ["2,8", "3,"], "{name}");
        let insert = format!("insert into {name} values (4, null)");
        run(&session, &insert).await.unwrap();
        let query = format!("select sum(v) from {name} where k is null");
        assert_eq!(sql(&session, &query).await, ["7"], "{name}");
    }
}

#[tokio::test]
async fn a_copy_run_as_a_frame_is_whole_or_absent() {
    let (session, dir) = (session(), folder());
    let out = dir.path().join("out.csv");
    let copy = |query: &str| format!("copy ({query}) to '{}'", out.display());
    let failing = "select value, 1 / (value - 900000) as x from generate_series(1, 1000000)";
    let frame = session.sql(&copy(failing)).await.unwrap();
    assert!(frame.collect().await.is_err());
    assert!(frame.to_batches().await.is_err());
    assert_eq!(names(dir.path()), Vec::<String>::new());
    let frame = session.sql(&copy("select 1 as a union all select 2")).await.unwrap();
    assert_eq!(all(&frame).await, ["2"]);
    assert_eq!(names(dir.path()), ["out.csv"]);
}

#[tokio::test]
async fn a_statement_says_what_it_wrote() {
    let (session, dir) = (session(), folder());
    let out = dir.path().join("deep/er/out");
    let text = format!("copy ({QUERY}) to '{}/' stored as parquet", out.display());
    let outcome = run(&session, &text).await.unwrap();
    let Outcome::Written { rows, files, bytes, path } = outcome else { panic!("{outcome:?}") };
    assert_eq!((rows, files as usize), (1000, names(&out).len()));
    assert!(bytes > 0 && path.ends_with("out"));
    assert_eq!(session.last_stats().unwrap().rows, 1000);
    let text = format!("copy ({QUERY}) to '{}'", dir.path().join("x.csv.gz").display());
    run(&session, &text).await.unwrap();
    let query = format!("select count(*) from '{}'", dir.path().join("x.csv.gz").display());
    assert_eq!(sql(&session, &query).await, ["1000"]);
}

#[tokio::test]
async fn writing_again_replaces_the_earlier_output_as_a_whole() {
    let (session, dir) = (session(), folder());
    let out = dir.path().join("out").display().to_string();
    let write = |limit: u64, options: WriteOptions| {
        let (session, out) = (session.clone(), out.clone());
        async move {
            let frame = session.sql(QUERY).await?.limit(0, limit as usize)?;
            frame.write_parquet(&out, &options).await
        }
    };
    write(500, WriteOptions::default()).await.unwrap();
    write(20, WriteOptions::default()).await.unwrap();
    let count = format!("select count(*) from '{out}'");
    assert_eq!(sql(&session, &count).await, ["20"]);
    let append = WriteOptions { mode: WriteMode::Append, ..Default::default() };
    write(30, append).await.unwrap();
    assert_eq!(sql(&session, &count).await, ["50"]);
    let fail = WriteOptions { mode: WriteMode::Fail, ..Default::default() };
    let e = write(1, fail).await.unwrap_err().to_string();
    assert!(e.contains("it exists, and mode is fail"), "{e}");
    // Our own files, appended ones too, are replaced.
    write(10, WriteOptions::default()).await.unwrap();
    assert_eq!(sql(&session, &count).await, ["10"]);
    fs::write(Path::new(&out).join("mine.csv"), "a\n1\n").unwrap();
    let e = write(1, WriteOptions::default()).await.unwrap_err().to_string();
    assert!(e.contains("mine.csv") && e.contains("append"), "{e}");
    assert!(Path::new(&out).join("mine.csv").exists());
}

#[tokio::test]
async fn a_failing_query_changes_nothing() {
    let (session, dir) = (session(), folder());
    let file = dir.path().join("out.csv");
    fs::write(&file, "old\n").unwrap();
    // The division fails after many rows were written.
    let failing = "select value, 1 / (value - 900000) as x from generate_series(1, 1000000)";
    for target in ["out.csv", "out/"] {
        let target = dir.path().join(target).display().to_string();
        let text = format!("copy ({failing}) to '{target}' stored as csv");
        let e = run(&session, &text).await.unwrap_err().to_string();
        assert!(e.to_lowercase().contains("divide by zero"), "{e}");
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(names(dir.path()), ["out.csv"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");
}

#[tokio::test]
async fn no_rows_make_a_file_with_columns() {
    let (session, dir) = (session(), folder());
    let frame = session.sql("select 1 as a, 'x' as b where false").await.unwrap();
    for name in ["a.parquet", "a.csv", "a.arrow"] {
        let path = dir.path().join(name).display().to_string();
        let format = session.read(&path).await.map(|_| ()).unwrap_err();
        assert!(format.to_string().contains("not found"), "{format}");
        let kind = match name {
            "a.parquet" => FileFormat::Parquet,
            "a.csv" => FileFormat::Csv,
            _ => FileFormat::Arrow,
        };
        frame.write(&path, kind, &WriteOptions::default(), &RunOptions::default()).await.unwrap();
        let back = session.read(&path).await.unwrap();
        assert_eq!(back.columns(), ["a", "b"], "{name}");
        assert_eq!(back.count().await.unwrap(), 0, "{name}");
    }
    let out = dir.path().join("out/").display().to_string();
    let written = frame.write_parquet(&out, &WriteOptions::default()).await.unwrap();
    assert_eq!(written.rows, 0);
    assert!(dir.path().join("out").is_dir());
}

#[tokio::test]
async fn files_are_cut_to_the_size_asked_for() {
    let (session, dir) = (session(), folder());
    let query = "select value as id, 'row ' || value as name from generate_series(1, 200000)";
    let frame = session.sql(query).await.unwrap();
    for (format, size) in [
        (FileFormat::Csv, 500_000),
        (FileFormat::Json, 1_000_000),
        (FileFormat::Parquet, 300_000),
        (FileFormat::Arrow, 1_000_000),
    ] {
        let out = dir.path().join(format.name()).display().to_string();
        let options = WriteOptions { target_file_size: Some(size), ..Default::default() };
        let written = frame.write(&out, format, &options, &RunOptions::default()).await.unwrap();
        assert!(written.files > 2, "{format:?}: {written:?}");
        for file in names(Path::new(&out)) {
            assert!(file.starts_with("part-"), "{file}");
            let bytes = fs::metadata(Path::new(&out).join(&file)).unwrap().len();
            assert!(bytes < size * 3 / 2, "{file}: {bytes} bytes, {size} asked for");
        }
        let query = format!("select count(distinct id), sum(id), min(name) from '{out}'");
        assert_eq!(sql(&session, &query).await, ["200000,20000100000,row 1"], "{format:?}");
    }
}

#[tokio::test]
async fn wrong_options_are_named() {
    let (session, dir) = (session(), folder());
    let out = dir.path().join("out").display().to_string();
    let text = format!("copy (select 1) to '{out}/' stored as csv options (mode 'x')");
    let e = run(&session, &text).await.unwrap_err().to_string();
    assert_eq!(e, "option mode: expected replace, append or fail, got \"x\"");
    let frame = session.sql("select 1 as a").await.unwrap();
    let options = WriteOptions { compression: Some("lzo".into()), ..Default::default() };
    let e = frame.write_csv(&out, &options).await.unwrap_err().to_string();
    assert!(e.contains("compression") && e.contains("lzo") && e.contains("gzip"), "{e}");
    let options = WriteOptions { partition_by: vec!["b".into()], ..Default::default() };
    let e = frame.write_csv(&out, &options).await.unwrap_err().to_string();
    assert!(e.contains("unknown column \"b\""), "{e}");
    let (options, run) = (WriteOptions::default(), RunOptions::default());
    let e = frame.write("x.avro", FileFormat::Avro, &options, &run).await.unwrap_err().to_string();
    assert!(e.contains("Avro, which can only be read"), "{e}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let (session, dir) = (session(), folder());
    fs::write(dir.path().join("file"), "x").unwrap();
    for target in [dir.path().join("file/out.csv"), Path::new("/proc/windlass/out.csv").into()] {
        let text = format!("copy (select 1 as a) to '{}'", target.display());
        let e = run(&session, &text).await.unwrap_err();
        let FrameError::Write { path, .. } = &e else { panic!("{e:?}") };
        assert!(path.contains("out.csv"), "{e}");
    }
}

#[tokio::test]
async fn a_cancelled_write_leaves_nothing() {
    let (session, dir) = (session(), folder());
    let query = "select a.value from generate_series(1, 100000) a \
                 cross join generate_series(1, 100000) b";
    let text = format!("copy ({query}) to '{}/out/' stored as csv", dir.path().display());
    let run = RunOptions::default();
    let token = run.cancel.clone();
    let statement = session.statements(&text).unwrap().remove(0);
    let job = tokio::spawn(async move { session.run(&statement, &run).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let began = std::time::Instant::now();
    token.cancel();
    let e = job.await.unwrap().unwrap_err();
    assert!(matches!(e, FrameError::Cancelled), "{e}");
    assert!(began.elapsed().as_secs() < 2, "cancelled after {:?}", began.elapsed());
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn rows_written_can_be_read_from_where_they_replace() {
    let (session, dir) = (session(), folder());
    let out = dir.path().join("out").display().to_string();
    run(&session, &format!("copy ({QUERY}) to '{out}/' stored as parquet")).await.unwrap();
    let text =
        format!("copy (select id from '{out}/' where id <= 10) to '{out}/' stored as parquet");
    run(&session, &text).await.unwrap();
    let back = session.read(&out).await.unwrap().collect().await.unwrap();
    assert_eq!(rows(&back).len(), 10);
}
