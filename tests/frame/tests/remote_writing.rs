//! Writing to object stores: what is there afterwards, what is reported, and that a write
//! that fails leaves nothing.

use frame_tests::{
    all, run,
    server::{azure::Azure, s3::S3},
    session_with, sql,
};
use windlass::{Outcome, RunOptions, Session, SessionOptions, prelude::*};

const QUERY: &str = "select value as id, value % 3 as k, 'n' || value as name \
     from generate_series(1, 3000)";

fn with(storage: Vec<(String, String)>) -> Session {
    session_with(SessionOptions { storage, ..Default::default() })
}

/// The objects below a place: names without it, and sizes.
fn below(s3: &S3, place: &str) -> Vec<(String, usize)> {
    let strip = |(name, size): (String, usize)| {
        name.strip_prefix(place).map(|rest| (rest.to_string(), size))
    };
    s3.objects().into_iter().filter_map(strip).collect()
}

fn names(s3: &S3, place: &str) -> Vec<String> {
    below(s3, place).into_iter().map(|(name, _)| name).collect()
}

#[track_caller]
fn written(outcome: Outcome) -> (u64, u64, u64) {
    let Outcome::Written { rows, files, bytes, .. } = outcome else { panic!("{outcome:?}") };
    (rows, files, bytes)
}

#[tokio::test]
async fn copy_writes_partitions_and_reports_them() {
    let s3 = S3::start();
    let session = with(s3.settings());
    let text = format!("copy ({QUERY}) to 's3://b/out/' stored as parquet partitioned by (k)");
    let (rows, files, bytes) = written(run(&session, &text).await.unwrap());
    let there = below(&s3, "b/out/");
    let expected = ["k=0/part-00000.parquet", "k=1/part-00000.parquet", "k=2/part-00000.parquet"];
    assert_eq!(names(&s3, "b/out/"), expected);
    let size: usize = there.iter().map(|(_, size)| size).sum();
    assert_eq!((rows, files, bytes), (3000, 3, size as u64));
    let query = "select k, count(*), min(id) from 's3://b/out/' group by k order by k";
    assert_eq!(sql(&session, query).await, ["0,1000,3", "1,1000,1", "2,1000,2"]);
    // One file, compressed, in a bucket's root.
    let text = format!("copy ({QUERY}) to 's3://b/one.csv.gz'");
    let (rows, files, bytes) = written(run(&session, &text).await.unwrap());
    assert_eq!((rows, files), (3000, 1));
    assert_eq!(below(&s3, "b/one"), [(".csv.gz".to_string(), bytes as usize)]);
    assert_eq!(sql(&session, "select sum(id) from 's3://b/one.csv.gz'").await, ["4501500"]);
}

#[tokio::test]
async fn a_frame_is_written_again_and_again() {
    let s3 = S3::start();
    let session = with(s3.settings());
    let frame = session.sql(QUERY).await.unwrap();
    let out = "s3://b/deep/er/out";
    let partitioned = WriteOptions { partition_by: vec!["k".into()], ..Default::default() };
    let done = frame.write_parquet(out, &partitioned).await.unwrap();
    assert_eq!((done.rows, done.files), (3000, 3));
    // Again with fewer partitions: what is not written again goes.
    let some = frame.filter(col("k").lt(lit(2))).unwrap();
    let done = some.write_parquet(out, &partitioned).await.unwrap();
    assert_eq!((done.rows, done.files), (2000, 2));
    let expected = ["k=0/part-00000.parquet", "k=1/part-00000.parquet"];
    assert_eq!(names(&s3, "b/deep/er/out/"), expected);
    let append = WriteOptions { mode: WriteMode::Append, ..partitioned.clone() };
    let done = some.write_parquet(out, &append).await.unwrap();
    assert_eq!((done.rows, done.files), (2000, 2));
    let back = session.read(out).await.unwrap();
    assert_eq!(back.count().await.unwrap(), 4000);
    let fail = WriteOptions { mode: WriteMode::Fail, ..partitioned.clone() };
    let e = some.write_parquet(out, &fail).await.unwrap_err().to_string();
    assert!(e.contains("it exists, and mode is fail"), "{e}");
    // Our own files, appended ones too, are replaced; others are not.
    some.write_parquet(out, &partitioned).await.unwrap();
    assert_eq!(back.count().await.unwrap(), 2000);
    s3.put("b/deep/er/out/mine.txt", "mine");
    let e = some.write_parquet(out, &partitioned).await.unwrap_err().to_string();
    assert!(e.contains("mine.txt") && e.contains("append"), "{e}");
    let sized = WriteOptions { target_file_size: Some(1000), ..Default::default() };
    let e = some.write_parquet("s3://b/sized/", &sized).await.unwrap_err().to_string();
    assert!(e.contains("target_file_size") && e.contains("s3://b/sized/"), "{e}");
}

#[tokio::test]
async fn rows_can_be_read_from_where_they_replace() {
    let s3 = S3::start();
    let session = with(s3.settings());
    run(&session, &format!("copy ({QUERY}) to 's3://b/out/' stored as csv")).await.unwrap();
    let text = "copy (select id from 's3://b/out/' where id <= 10) to 's3://b/out/' stored as csv";
    run(&session, text).await.unwrap();
    assert_eq!(sql(&session, "select count(*), sum(id) from 's3://b/out/'").await, ["10,55"]);
}

#[tokio::test]
async fn large_files_are_uploaded_in_parts() {
    let s3 = S3::start();
    let session = with(s3.settings());
    let set = "set datafusion.execution.objectstore_writer_buffer_size = 200000";
    let query =
        "select value as id, 'row number ' || value as name from generate_series(1, 200000)";
    let text = format!("{set}; copy ({query}) to 's3://b/big.csv'");
    let (rows, files, bytes) = written(run(&session, &text).await.unwrap());
    assert_eq!((rows, files), (200_000, 1));
    assert_eq!(below(&s3, "b/big"), [(".csv".to_string(), bytes as usize)]);
    let parts = s3.requests().into_iter().filter(|r| r.asks("partNumber").is_some()).count();
    assert!(parts > 5, "{parts} parts");
    assert_eq!(s3.open_uploads(), 0);
    let query = "select count(*), sum(id), count(distinct name) from 's3://b/big.csv'";
    assert_eq!(sql(&session, query).await, ["200000,20000100000,200000"]);
}

#[tokio::test]
async fn a_query_that_fails_leaves_no_object_and_no_upload() {
    let s3 = S3::start();
    let session = with(s3.settings());
    let set = "set datafusion.execution.objectstore_writer_buffer_size = 100000";
    run(&session, set).await.unwrap();
    s3.put("b/out.csv", "old\n");
    let failing = "select value, 1 / (value - 900000) as x from generate_series(1, 1000000)";
    for target in ["out.csv", "out/"] {
        let text = format!("copy ({failing}) to 's3://b/{target}' stored as csv");
        let e = run(&session, &text).await.unwrap_err().to_string();
        assert!(e.to_lowercase().contains("divide by zero"), "{e}");
    }
    // Uploads of cancelled tasks are aborted in the background.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(s3.objects(), [("b/out.csv".to_string(), 4)]);
    assert_eq!(s3.open_uploads(), 0);
}

#[tokio::test]
async fn a_cancelled_write_leaves_no_object() {
    let s3 = S3::start();
    let session = with(s3.settings());
    let query = "select a.value from generate_series(1, 100000) a \
                 cross join generate_series(1, 100000) b";
    let text = format!("copy ({query}) to 's3://b/out/' stored as csv");
    let run = RunOptions::default();
    let token = run.cancel.clone();
    let statement = session.statements(&text).unwrap().remove(0);
    let job = tokio::spawn(async move { session.run(&statement, &run).await });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    token.cancel();
    let e = job.await.unwrap().unwrap_err();
    assert!(matches!(e, FrameError::Cancelled), "{e}");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(s3.objects().is_empty(), "{:?}", s3.objects());
    assert_eq!(s3.open_uploads(), 0);
}

#[tokio::test]
async fn a_store_that_refuses_one_file_gets_none() {
    let s3 = S3::start();
    let session = with(s3.settings());
    s3.refuse(Some("k=2"));
    let text = format!("copy ({QUERY}) to 's3://b/out/' stored as parquet partitioned by (k)");
    let e = run(&session, &text).await.unwrap_err();
    let FrameError::Write { path, reason } = &e else { panic!("{e:?}") };
    assert!(path.starts_with("s3://b/out/k=2/") && reason.contains("permission denied"), "{e}");
    assert!(s3.objects().is_empty(), "{:?}", s3.objects());
    s3.refuse(None);
    assert_eq!(written(run(&session, &text).await.unwrap()).1, 3);
}

#[tokio::test]
async fn gcs_and_azure_are_written_the_same_way() {
    let (google, azure) = (S3::public(), Azure::start());
    let session = with([google.google_settings(), azure.settings()].concat());
    let set = "set datafusion.execution.objectstore_writer_buffer_size = 20000";
    run(&session, set).await.unwrap();
    for place in ["gs://b/out/", "az://b/out/"] {
        let text = format!("copy ({QUERY}) to '{place}' stored as csv partitioned by (k)");
        let (rows, files, bytes) = written(run(&session, &text).await.unwrap());
        assert_eq!((rows, files), (3000, 3), "{place}");
        let there = if place.starts_with("gs") { google.objects() } else { azure.blobs() };
        assert_eq!(there.len(), 3, "{there:?}");
        assert_eq!(there.iter().map(|(_, size)| *size as u64).sum::<u64>(), bytes, "{place}");
        let text = format!("copy (select * from '{place}') to '{place}big.json'");
        let (rows, files, _) = written(run(&session, &text).await.unwrap());
        assert_eq!((rows, files), (3000, 1), "{place}");
        let frame = session.read(&format!("{place}big.json")).await.unwrap();
        let sums = frame.agg(vec![sum(col("id")).alias("s")]).unwrap();
        assert_eq!(all(&sums).await, ["4501500"], "{place}");
    }
}
