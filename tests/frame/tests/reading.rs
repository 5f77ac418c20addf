//! Reading: formats, places, compression, inference, laziness.

use std::{fs, path::Path};

use frame_tests::{all, columns, folder, run, session, sql};
use windlass::{CsvOptions, arrow::datatypes::DataType, prelude::*};

/// The data committed beside the example.
fn data(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/nycflights13");
    root.join(name).display().to_string()
}

#[tokio::test]
async fn flights_are_numbers_and_timestamps_despite_na() {
    let session = session();
    let flights = session.read(&data("flights.csv.gz")).await.unwrap();
    let columns = columns(&flights);
    for expected in [
        "dep_time:Int64",
        "dep_delay:Int64",
        "arr_delay:Int64",
        "air_time:Int64",
        "distance:Int64",
        "carrier:Utf8",
        "tailnum:Utf8",
    ] {
        assert!(columns.iter().any(|c| c == expected), "{expected} not in {columns:?}");
    }
    let hour = columns.iter().find(|c| c.starts_with("time_hour:")).unwrap();
    assert!(hour.starts_with("time_hour:Timestamp"), "{hour}");
    assert_eq!(flights.count().await.unwrap(), 336_776);
    session.register("flights", &flights).unwrap();
    let nulls = "select count(*) from flights where dep_time is null";
    assert_eq!(sql(&session, nulls).await, ["8255"]);
}

#[tokio::test]
async fn sql_tables_are_inferred_the_same_way() {
    let session = session();
    let text = format!(
        "create external table flights stored as csv location '{}';
         select count(*), count(dep_delay), sum(distance) from flights",
        data("flights.csv.gz")
    );
    let outcome = run(&session, &text).await.unwrap();
    let Outcome::Rows { batches, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(frame_tests::rows(&batches), ["336776,328521,350217607"]);
}

#[tokio::test]
async fn options_of_sql_tables_override_the_defaults() {
    let (session, dir) = (session(), folder());
    let path = dir.path().join("x.csv");
    fs::write(&path, "a;b\n1;-\nNA;2.5\n").unwrap();
    let text = format!(
        "create external table t stored as csv location '{}'
         options ('delimiter' ';', 'nulls' '-', 'types' 'b float');",
        path.display()
    );
    run(&session, &text).await.unwrap();
    let t = session.table("t").await.unwrap();
    assert_eq!(columns(&t), ["a:Utf8", "b:Float32"]);
    assert_eq!(all(&t).await, ["1,", "NA,2.5"]);
    let e = run(&session, &text.replace("table t", "table u").replace("'nulls'", "'nuls'"))
        .await
        .unwrap_err()
        .to_string();
    assert!(e.contains("nuls") && e.contains("nulls"), "{e}");
}

#[tokio::test]
async fn a_query_names_a_file_a_pattern_or_a_folder() {
    let (session, dir) = (session(), folder());
    fs::create_dir(dir.path().join("many")).unwrap();
    for i in 0..3 {
        let path = dir.path().join(format!("many/{i}.csv"));
        fs::write(path, format!("a,b\n{i},x{i}\n")).unwrap();
    }
    fs::write(dir.path().join("many/.hidden.csv"), "a,b\n9,hidden\n").unwrap();
    fs::write(dir.path().join("many/notes.md"), "not data").unwrap();
    let place = dir.path().join("many").display().to_string();
    for from in [place.clone(), format!("{place}/"), format!("{place}/*.csv")] {
        let query = format!("select a, b from '{from}' where a < 9 order by a");
        assert_eq!(sql(&session, &query).await, ["0,x0", "1,x1", "2,x2"], "{from}");
        assert_eq!(sql(&session, &format!("select count(*) from '{from}'")).await, ["3"]);
    }
    let query = format!("select b from '{place}/1.csv'");
    assert_eq!(sql(&session, &query).await, ["x1"]);
    let url = format!("select b from 'file://{place}/1.csv'");
    assert_eq!(sql(&session, &url).await, ["x1"]);
}

#[tokio::test]
async fn folders_named_column_value_give_columns() {
    let (session, dir) = (session(), folder());
    for (month, carrier) in [(1, "AA"), (2, "B6"), (12, "AA")] {
        let path = dir.path().join(format!("month={month}/carrier={carrier}"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("x.csv"), format!("a\n{month}\n")).unwrap();
    }
    let frame = session.read(&dir.path().display().to_string()).await.unwrap();
    assert_eq!(columns(&frame), ["a:Int64", "month:Int64", "carrier:Utf8"]);
    let late = frame.filter(col("month").gt(lit(1))).unwrap().sort_by(&["month"]).unwrap();
    assert_eq!(all(&late).await, ["2,2,B6", "12,12,AA"]);
}

#[tokio::test]
async fn csv_options() {
    let (session, dir) = (session(), folder());
    let path = dir.path().join("x.txt");
    fs::write(&path, "# made by hand\n1|'a|b'|-\n2|'c\nd'|4.5\n").unwrap();
    let options = CsvOptions {
        delimiter: Some(b'|'),
        header: false,
        quote: b'\'',
        comment: Some(b'#'),
        nulls: vec!["-".to_string()],
        schema: vec![("column_1".to_string(), DataType::Int8)],
        ..Default::default()
    };
    let frame = session.read_csv(&path.display().to_string(), options).await.unwrap();
    assert_eq!(columns(&frame), ["column_1:Int8", "column_2:Utf8", "column_3:Float64"]);
    assert_eq!(all(&frame).await, ["1,a|b,", "2,c\nd,4.5"]);
}

#[tokio::test]
async fn a_late_change_of_type_is_seen_in_the_middle_and_the_end() {
    let (session, dir) = (session(), folder());
    let path = dir.path().join("x.csv");
    let mut text = String::from("a,b\n");
    for i in 0..200_000 {
        text.push_str(&format!("{i},{i}\n"));
    }
    text.push_str("1.5,x\n");
    fs::write(&path, text).unwrap();
    let frame = session.read(&path.display().to_string()).await.unwrap();
    assert_eq!(columns(&frame), ["a:Float64", "b:Utf8"]);
    assert_eq!(frame.count().await.unwrap(), 200_001);
}

#[tokio::test]
async fn json_lines_widen_across_files() {
    let (session, dir) = (session(), folder());
    fs::write(dir.path().join("1.jsonl"), "{\"a\":1,\"b\":\"x\"}\n{\"a\":null}\n").unwrap();
    fs::write(dir.path().join("2.jsonl"), "{\"a\":2.5,\"c\":true}\n").unwrap();
    let frame = session.read(&dir.path().display().to_string()).await.unwrap();
    let frame = frame.sort_by(&["a"]).unwrap();
    assert_eq!(all(&frame).await, ["1.0,x,", "2.5,,true", ",,"]);
}

#[tokio::test]
async fn a_frame_over_a_thousand_files_reads_no_data() {
    let (session, dir) = (session(), folder());
    let body: String = (0..2_000).map(|i| format!("{i},{}\n", i * 2)).collect();
    for i in 0..1_000 {
        fs::write(dir.path().join(format!("{i:04}.csv")), format!("a,b\n{body}")).unwrap();
    }
    let total: u64 = 1_000 * (body.len() as u64 + 4);
    let frame = session.read(&dir.path().display().to_string()).await.unwrap();
    let sampled = session.bytes_read();
    // Eight files are sampled of a thousand.
    assert!(sampled > 0 && sampled <= total / 100, "{sampled} of {total} bytes");
    let frame = frame.filter(col("a").gt(lit(5))).unwrap().select(&["b"]).unwrap();
    assert_eq!(session.bytes_read(), sampled, "operations read nothing");
    let head = frame.head(3).await.unwrap();
    assert_eq!(frame_tests::rows(&head), ["12", "14", "16"]);
    let read = session.bytes_read() - sampled;
    assert!(read < total / 10, "head read {read} of {total} bytes");
}

#[tokio::test]
async fn a_frame_over_many_parquet_files_reads_one_footer() {
    let (session, dir) = (session(), folder());
    let one = dir.path().join("one.parquet");
    let query = "select value as a, value * 2 as b from generate_series(1, 1000000)";
    let text = format!("copy ({query}) to '{}' stored as parquet", one.display());
    run(&session, &text).await.unwrap();
    let many = dir.path().join("many");
    fs::create_dir(&many).unwrap();
    for i in 0..10 {
        fs::copy(&one, many.join(format!("{i}.parquet"))).unwrap();
    }
    let size = fs::metadata(&one).unwrap().len();
    let before = session.bytes_read();
    let frame = session.read(&many.display().to_string()).await.unwrap();
    let read = session.bytes_read() - before;
    assert!(read > 0 && read < size, "{read} bytes read; one file has {size}");
    assert_eq!(frame.count().await.unwrap(), 10 * 1_000_000);
}

/// Three carriers, written by another library (fastavro), one delay missing.
#[tokio::test]
async fn avro_is_read_by_path_and_in_sql() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/carriers.avro");
    let path = path.display().to_string();
    let session = session();
    let carriers = session.read_avro(&path).await.unwrap();
    assert_eq!(columns(&carriers), ["carrier:Utf8", "flights:Int64", "delay:Float64"]);
    let text = format!(
        "create external table c stored as avro location '{path}';
         select carrier, flights, delay from c order by flights desc"
    );
    let outcome = run(&session, &text).await.unwrap();
    let Outcome::Rows { batches, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(frame_tests::rows(&batches), ["UA,58665,12.1", "B6,54635,", "EV,54173,20.0"]);
}
