//! Reading from URLs: web servers, good and bad ones, and the stores of three clouds.

use std::{
    fs,
    time::{Duration, Instant},
};

use frame_tests::{
    all, columns, folder, run,
    server::{Pace, azure::Azure, files::Web, s3::S3},
    session, session_with, sql,
};
use windlass::{Session, SessionOptions, prelude::*};

const QUERY: &str = "select value as id, value % 3 as k, 'n' || value as name \
     from generate_series(1, 30000)";

fn with(storage: Vec<(String, String)>) -> Session {
    session_with(SessionOptions { storage, ..Default::default() })
}

/// The rows of [`QUERY`] as a file of a format.
async fn file(name: &str) -> Vec<u8> {
    let (session, dir) = (session(), folder());
    let path = dir.path().join(name).display().to_string();
    run(&session, &format!("copy ({QUERY}) to '{path}'")).await.unwrap();
    fs::read(&path).unwrap()
}

const COUNT: &str = "30000,450015000,30000";

async fn count(session: &Session, url: &str) -> Vec<String> {
    sql(session, &format!("select count(*), sum(id), count(distinct name) from '{url}'")).await
}

async fn failure(session: &Session, text: &str) -> String {
    run(session, text).await.unwrap_err().to_string()
}

#[tokio::test]
async fn files_of_a_web_server_are_read_with_ranges() {
    let (session, web) = (session(), Web::start(true));
    for name in ["x.parquet", "x.csv", "x.csv.gz", "x.json", "x.arrow"] {
        web.put(&format!("/a/{name}"), file(name).await);
        assert_eq!(count(&session, &web.url(&format!("/a/{name}"))).await, [COUNT], "{name}");
    }
    web.put("/a/b c%/x é.csv", "a\n1\n2\n");
    let url = web.url("/a/b%20c%25/x%20%C3%A9.csv");
    assert_eq!(sql(&session, &format!("select sum(a) from '{url}'")).await, ["3"]);
    let table = format!("create external table t stored as csv location '{url}'");
    run(&session, &table).await.unwrap();
    assert_eq!(sql(&session, "select count(*) from t").await, ["2"]);
}

#[tokio::test]
async fn only_the_needed_parts_of_a_parquet_file_are_fetched() {
    let (session, web) = (session(), Web::start(true));
    // Numbers that do not compress: the file is larger than what is read to find its footer.
    let text = "select value as id, random() as x, random() as y from generate_series(1, 200000)";
    let dir = folder();
    let path = dir.path().join("x.parquet").display().to_string();
    run(&session, &format!("copy ({text}) to '{path}'")).await.unwrap();
    let bytes = fs::read(&path).unwrap();
    let size = bytes.len() as u64;
    web.put("/x.parquet", bytes);
    let before = session.bytes_read();
    let query = format!("select count(*) from '{}'", web.url("/x.parquet"));
    assert_eq!(sql(&session, &query).await, ["200000"]);
    let read = session.bytes_read() - before;
    assert!(read > 0 && read < size / 2, "{read} of {size} bytes");
    let gets: Vec<_> = web.requests().into_iter().filter(|r| r.method == "GET").collect();
    assert!(gets.iter().all(|r| r.header("range").is_some()), "{gets:?}");
}

#[tokio::test]
async fn a_server_without_ranges_will_do() {
    let (session, web) = (session(), Web::start(false));
    for name in ["x.parquet", "x.csv", "x.csv.zst", "x.json", "x.arrow"] {
        web.put(&format!("/{name}"), file(name).await);
        assert_eq!(count(&session, &web.url(&format!("/{name}"))).await, [COUNT], "{name}");
    }
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let (session, web) = (session(), Web::start(true));
    web.put("/x.csv", file("x.csv").await);
    web.pace(Pace::Slow(50_000, Duration::from_millis(60)));
    assert_eq!(count(&session, &web.url("/x.csv")).await, [COUNT]);
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_told_with_its_file() {
    for name in ["x.csv", "x.csv.gz", "x.parquet", "x.json"] {
        let (session, web) = (session(), Web::start(false));
        let bytes = file(name).await;
        let half = bytes.len() / 2;
        web.put(&format!("/{name}"), bytes);
        let url = web.url(&format!("/{name}"));
        let frame = session.read(&url).await.unwrap();
        web.pace(Pace::CutAfter(half));
        let e = frame.sort_by(&["id"]).unwrap().collect().await.unwrap_err().to_string();
        let start = format!("cannot read {url}: the connection broke off");
        assert!(e.starts_with(&start) && e.contains("bytes"), "{name}: {e}");
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_does_not_hang_the_query() {
    let web = Web::start(true);
    let storage_silence = Some(Duration::from_millis(400));
    let session = session_with(SessionOptions { storage_silence, ..Default::default() });
    web.put("/x.csv", file("x.csv").await);
    let frame = session.read(&web.url("/x.csv")).await.unwrap();
    web.pace(Pace::SilentAfter(1000));
    let began = Instant::now();
    let e = frame.collect().await.unwrap_err().to_string();
    let expected = format!(
        "cannot read {}: the server said nothing for 0.4 s (after 1000 bytes)",
        web.url("/x.csv")
    );
    assert_eq!(e, expected);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn wrong_urls_are_told_at_once() {
    let (session, web) = (session(), Web::start(true));
    web.put("/a/x.csv", "a\n1\n");
    let began = Instant::now();
    let url = web.url("/a/y.csv");
    assert_eq!(session.read(&url).await.unwrap_err().to_string(), format!("file not found: {url}"));
    let e = session.read("http://127.0.0.1:1/x.csv").await.unwrap_err().to_string();
    assert!(e.starts_with("cannot read http://127.0.0.1:1/x.csv: the connection was ref"), "{e}");
    let e = session.read("http://no.such.host.invalid/x.csv").await.unwrap_err().to_string();
    assert!(e.contains("no.such.host.invalid/x.csv"), "{e}");
    for pattern in ["/a/*.csv", "/a/"] {
        let e = session.read(&web.url(pattern)).await.unwrap_err().to_string();
        assert!(e.contains("lists its files") && e.contains("name each file"), "{e}");
    }
    let e = session.read(&web.url("/a/x.csv?token=1")).await.unwrap_err().to_string();
    assert!(e.contains("?token=1") && e.contains("query"), "{e}");
    let target = web.url("/a/out.csv");
    let e = failure(&session, &format!("copy (select 1 as a) to '{target}'")).await;
    assert!(e.starts_with(&format!("cannot write {target}: http and https can only")), "{e}");
    web.always(503);
    let e = session.read(&web.url("/a/x.csv")).await.unwrap_err().to_string();
    assert!(e.contains("/a/x.csv") && e.contains("503"), "{e}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn rows_that_do_not_fit_name_the_url_and_the_line() {
    let (session, web) = (session(), Web::start(true));
    web.put("/x.csv", "a,b\n1,2\n3\n5,6\n");
    let url = web.url("/x.csv");
    let e = failure(&session, &format!("select sum(a) from '{url}'")).await;
    assert!(e.starts_with(&format!("{url}, line 3: expected 2 values, got 1")), "{e}");
    web.put("/x.parquet", "no parquet at all");
    let e = session.read(&web.url("/x.parquet")).await.unwrap_err().to_string();
    assert!(e.contains("/x.parquet: it is no Parquet file"), "{e}");
}

/// Reads what three stores hold, by file, pattern and folder.
async fn read_bucket(session: &Session, bucket: &str) {
    assert_eq!(count(session, &format!("{bucket}/a/x.parquet")).await, [COUNT]);
    let pattern = format!("select count(*), sum(a) from '{bucket}/many/*.csv'");
    assert_eq!(sql(session, &pattern).await, ["8,36"]);
    let folder = session.read(&format!("{bucket}/parts/")).await.unwrap();
    assert_eq!(columns(&folder), ["a:Int64", "k:Int64"]);
    assert_eq!(all(&folder.sort_by(&["a"]).unwrap()).await, ["1,1", "2,2", "3,2"]);
    let one = folder.filter(col("k").eq(lit(1))).unwrap();
    assert_eq!(all(&one).await, ["1,1"]);
    let missing = format!("{bucket}/a/y.parquet");
    let e = session.read(&missing).await.unwrap_err().to_string();
    assert_eq!(e, format!("file not found: {missing}"));
    let e = session.read(&format!("{bucket}/a/*.avro")).await.unwrap_err().to_string();
    assert!(e.contains("nothing matches the pattern"), "{e}");
}

async fn objects() -> Vec<(String, Vec<u8>)> {
    let mut out = vec![("b/a/x.parquet".to_string(), file("x.parquet").await)];
    for i in 1..=8 {
        out.push((format!("b/many/{i} x.csv"), format!("a\n{i}\n").into_bytes()));
    }
    out.push(("b/many/readme.txt".to_string(), b"not a table".to_vec()));
    out.push(("b/parts/k=1/1.csv".to_string(), b"a\n1\n".to_vec()));
    out.push(("b/parts/k=2/1.csv".to_string(), b"a\n2\n3\n".to_vec()));
    out
}

#[tokio::test]
async fn s3_is_read_by_file_pattern_and_folder() {
    let s3 = S3::start();
    for (name, bytes) in objects().await {
        s3.put(&name, bytes);
    }
    let session = with(s3.settings());
    read_bucket(&session, "s3://b").await;
    read_bucket(&session, "s3a://b").await;
    let pages = s3.requests().into_iter().filter(|r| r.asks("continuation-token").is_some());
    assert!(pages.count() > 0, "the list has several pages");
    let mut wrong = s3.settings();
    wrong.push(("AWS_ACCESS_KEY_ID".to_string(), "nobody".to_string()));
    let e = with(wrong).read("s3://b/a/x.parquet").await.unwrap_err().to_string();
    assert!(e.starts_with("cannot read s3://b/a/x.parquet: permission denied"), "{e}");
}

#[tokio::test]
async fn gcs_and_azure_are_read_the_same_way() {
    let (google, azure) = (S3::public(), Azure::start());
    for (name, bytes) in objects().await {
        google.put(&name, bytes.clone());
        azure.put(&name, bytes);
    }
    let settings = [google.google_settings(), azure.settings()].concat();
    let session = with(settings);
    read_bucket(&session, "gs://b").await;
    read_bucket(&session, "az://b").await;
    read_bucket(&session, "abfs://b").await;
}

#[tokio::test]
async fn missing_credentials_say_what_to_set_and_soon() {
    let nobody = |name: &str| (name.to_string(), "http://127.0.0.1:1".to_string());
    let settings = vec![
        nobody("AWS_METADATA_ENDPOINT"),
        nobody("AZURE_MSI_ENDPOINT"),
        ("AZURE_STORAGE_ACCOUNT_NAME".to_string(), "test".to_string()),
    ];
    let session = with(settings);
    for (url, names) in [
        ("s3://b/x.csv", "AWS_ACCESS_KEY_ID"),
        ("gs://b/x.csv", "GOOGLE_SERVICE_ACCOUNT"),
        ("az://b/x.csv", "AZURE_STORAGE_ACCOUNT_KEY"),
    ] {
        let began = Instant::now();
        let e = session.read(url).await.unwrap_err();
        assert!(matches!(e, FrameError::Credentials { .. }), "{url}: {e}");
        assert!(e.to_string().contains(names), "{url}: {e}");
        let target = url.replace(".csv", ".parquet");
        let e = failure(&session, &format!("copy (select 1 as a) to '{target}'")).await;
        assert!(e.contains(names), "{url}: {e}");
        assert!(began.elapsed() < Duration::from_secs(15), "{url}: {:?}", began.elapsed());
    }
    let e = Session::with_options(SessionOptions {
        storage: vec![("AWS_ENDPIONT".to_string(), "x".to_string())],
        ..Default::default()
    });
    assert!(e.unwrap_err().to_string().contains("AWS_ENDPIONT"));
}
