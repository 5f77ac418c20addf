//! Error messages: what they name, and where they point.

use std::{fs, io::Write, path::Path};

use frame_tests::{folder, run, session, session_with, sql};
use windlass::{CsvOptions, SessionOptions, prelude::*};

async fn error(session: &Session, text: &str) -> String {
    run(session, text).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_missing_file_is_named_with_a_near_one() {
    let (session, dir) = (session(), folder());
    fs::write(dir.path().join("flights.csv"), "a\n1\n").unwrap();
    let missing = dir.path().join("flihgts.csv").display().to_string();
    let near = dir.path().join("flights.csv").display().to_string();
    let expected = format!("file not found: {missing}; did you mean {near}?");
    assert_eq!(session.read(&missing).await.unwrap_err().to_string(), expected);
    assert_eq!(error(&session, &format!("select * from '{missing}'")).await, expected);
    let table = format!("create external table t stored as csv location '{missing}'");
    assert_eq!(error(&session, &table).await, expected);
    let pattern = dir.path().join("*.parquet").display().to_string();
    let e = session.read(&pattern).await.unwrap_err().to_string();
    assert!(e.contains(&pattern) && e.contains("nothing matches"), "{e}");
    let e = session.read_parquet(&dir.path().display().to_string()).await.unwrap_err().to_string();
    assert!(e.contains("no Parquet file") && e.contains("other formats"), "{e}");
}

#[tokio::test]
async fn unknown_formats_and_schemes_say_what_is_known() {
    let (session, dir) = (session(), folder());
    let path = dir.path().join("x.dat");
    fs::write(&path, "a\n1\n").unwrap();
    let e = session.read(&path.display().to_string()).await.unwrap_err().to_string();
    assert!(e.contains("x.dat") && e.contains(".parquet") && e.contains("STORED AS"), "{e}");
    let e = session.read("ftp://host/x.csv").await.unwrap_err().to_string();
    assert!(e.contains("\"ftp\"") && e.contains("s3"), "{e}");
    assert_eq!(error(&session, "select * from 'ftp://host/x.csv'").await, e);
}

#[tokio::test]
async fn unknown_names_come_with_the_nearest_and_the_place() {
    let session = session();
    run(&session, "create view flights as select 1 as carrier, 2 as dep_delay").await.unwrap();
    let e = error(&session, "select 1;\nselect\n  carier from flights").await;
    assert_eq!(e, "unknown column \"carier\" at line 3, column 3; did you mean \"carrier\"?");
    let e = error(&session, "select * from\n flihgts").await;
    assert_eq!(e, "unknown table \"flihgts\" at line 2, column 2; did you mean \"flights\"?");
    let e = session.table("fligths").await.unwrap_err().to_string();
    assert_eq!(e, "unknown table \"fligths\"; did you mean \"flights\"?");
    let frame = session.table("flights").await.unwrap();
    let e = frame.select(&["dep_dealy"]).unwrap_err().to_string();
    assert_eq!(e, "unknown column \"dep_dealy\"; did you mean \"dep_delay\"?");
    let e = frame.filter(col("dep_dealy").gt(lit(1))).unwrap_err().to_string();
    assert_eq!(e, "unknown column \"dep_dealy\"; did you mean \"dep_delay\"?");
}

#[tokio::test]
async fn syntax_errors_have_line_and_column() {
    let session = session();
    let e = error(&session, "select 1;\nselect * form x").await;
    assert!(e.starts_with("SQL syntax error at line 2, column"), "{e}");
    let e = session.sql("select 1; select 2").await.unwrap_err().to_string();
    assert!(e.contains("expected one SQL statement, got 2"), "{e}");
}

#[tokio::test]
async fn a_malformed_row_names_file_and_line() {
    let (session, dir) = (session(), folder());
    let good: String = (0..20_000).map(|i| format!("{i},x\n")).collect();
    let path = dir.path().join("2.csv");
    fs::write(dir.path().join("1.csv"), format!("a,b\n{good}")).unwrap();
    // Line 20,002: the header, the good lines, the bad one.
    fs::write(&path, format!("a,b\n{good}7,x,9\n{good}")).unwrap();
    let query = format!("select sum(a) from '{}'", dir.path().display());
    let e = error(&session, &query).await;
    let expected = format!("{}, line 20002: expected 2 values, got 3: 7,x,9", path.display());
    assert_eq!(e, expected);
}

/// A file whose sampled part is numbers, with a text in line 60,001.
fn late_text() -> String {
    let mut text = String::from("id,delay\n");
    for i in 0..120_000 {
        if i == 59_999 {
            text.push_str("59999,late\n")
        } else {
            text.push_str(&format!("{i},{i}\n"))
        }
    }
    text
}

#[tokio::test]
async fn a_value_of_another_type_names_file_line_column_and_remedy() {
    let (session, dir) = (session(), folder());
    let path = dir.path().join("x.csv");
    fs::write(&path, late_text()).unwrap();
    let options = CsvOptions { sample_rows: 100, ..Default::default() };
    let frame = session.read_csv(&path.display().to_string(), options).await.unwrap();
    session.register("x", &frame).unwrap();
    let e = error(&session, "select max(delay) from x").await;
    let start = format!("{}, line 60001, column delay: expected a whole number", path.display());
    assert!(e.starts_with(&start), "{e}");
    assert!(e.contains("got \"late\"") && e.contains("text"), "{e}");
    // What it says to do works.
    let schema = vec![("delay".to_string(), windlass::arrow::datatypes::DataType::Utf8)];
    let options = CsvOptions { schema, ..Default::default() };
    let frame = session.read_csv(&path.display().to_string(), options).await.unwrap();
    session.register("x", &frame).unwrap();
    assert_eq!(sql(&session, "select max(delay) from x").await, ["late"]);
}

#[tokio::test]
async fn a_bad_row_is_found_inside_gz_too() {
    let (session, dir) = (session(), folder());
    let plain = dir.path().join("plain.csv");
    fs::write(&plain, late_text()).unwrap();
    let schema = vec![("delay".to_string(), windlass::arrow::datatypes::DataType::Utf8)];
    let options = CsvOptions { schema, ..Default::default() };
    let text = session.read_csv(&plain.display().to_string(), options).await.unwrap();
    // Without an order, batches may be written in any; the late row has the id 59999.
    let text = text.sort_by(&["id"]).unwrap();
    let path = dir.path().join("x.csv.gz").display().to_string();
    text.write_csv(&path, &WriteOptions::default()).await.unwrap();
    let options = CsvOptions { sample_rows: 100, ..Default::default() };
    let frame = session.read_csv(&path, options).await.unwrap();
    let e = frame.agg(vec![max(col("delay"))]).unwrap().collect().await.unwrap_err().to_string();
    assert!(e.starts_with(&format!("{path}, line 60001, column delay: expected a whole")), "{e}");
}

#[tokio::test]
async fn a_wrong_type_in_a_schema_override() {
    let (session, dir) = (session(), folder());
    let path = dir.path().join("x.csv");
    fs::write(&path, "id,carrier\n1,UA\n2,AA\n").unwrap();
    let text = format!(
        "create external table x stored as csv location '{}' options (types 'carrier int');
         select sum(carrier) from x",
        path.display()
    );
    let e = error(&session, &text).await;
    let start = format!("{}, line 2, column carrier: expected a whole number", path.display());
    assert!(e.starts_with(&start) && e.contains("\"UA\""), "{e}");
    let text = text.replace("carrier int", "carier int").replace("table x", "table y");
    let e = error(&session, &text).await;
    assert_eq!(e, "unknown column \"carier\"; did you mean \"carrier\"?");
}

#[tokio::test]
async fn broken_files_are_named() {
    let (session, dir) = (session(), folder());
    let path = dir.path().join("x.parquet").display().to_string();
    fs::write(&path, "this is no parquet file").unwrap();
    let e = session.read(&path).await.unwrap_err().to_string();
    assert!(e.starts_with(&format!("cannot read {path}: it is no Parquet file")), "{e}");
    let path = dir.path().join("x.csv.gz").display().to_string();
    fs::write(&path, "this is no gzip file").unwrap();
    let e = session.read(&path).await.unwrap_err().to_string();
    assert!(e.starts_with(&format!("cannot read {path}")) && e.contains("decompress"), "{e}");
    let path = dir.path().join("x.json").display().to_string();
    let mut file = fs::File::create(&path).unwrap();
    for i in 0..30_000 {
        writeln!(file, "{{\"a\": {i}}}").unwrap();
    }
    writeln!(file, "{{\"a\": \n{{\"a\": 5}}").unwrap();
    drop(file);
    let frame = session.read(&path).await.unwrap();
    let e = frame.agg(vec![sum(col("a"))]).unwrap().collect().await.unwrap_err().to_string();
    assert!(e.starts_with(&format!("{path}, line 30001: expected one JSON object")), "{e}");
    assert!(Path::new(&path).exists());
}

#[tokio::test]
async fn a_device_that_is_not_there_is_an_error_of_sessions_options() {
    let e = "gpu".parse::<DeviceSpec>().unwrap_err().to_string();
    assert!(e.contains("unknown device \"gpu\""), "{e}");
    let e = Session::with_options(SessionOptions { memory: Some(0), ..Default::default() });
    assert!(e.unwrap_err().to_string().contains("option memory"));
    // Nothing that a device could do: none is opened.
    let session = session_with(SessionOptions::default());
    assert_eq!(sql(&session, "select 1").await, ["1"]);
    assert!(session.devices().opened().is_empty());
}
