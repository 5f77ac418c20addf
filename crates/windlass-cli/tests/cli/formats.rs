//! Every format, to standard output and to files.

use std::path::Path;

use crate::support::{names, people, run, run_in, windlass};

/// Values that formats like to lose: nulls, quotes, delimiters, dates, halves.
const VALUES: &str = "select * from (values \
    (1, 1.5, 'a, \"b\"', true, date '2013-01-31'), \
    (2, null, null, false, null), \
    (null, -0.25, 'é', null, date '1999-12-31')) t(i, f, s, b, d)";

const SORTED: &str = "select i, f, s, b, d from t order by i nulls first";

fn csv_of(path: &Path) -> String {
    let table = format!("t={}", path.display());
    run(&["sql", SORTED, "--table", &table, "--format", "csv", "--device", "cpu"]).ok()
}

#[test]
fn every_file_format_comes_back_as_it_went() {
    let dir = tempfile::tempdir().unwrap();
    let expected =
        "i,f,s,b,d\n,-0.25,é,,1999-12-31\n1,1.5,\"a, \"\"b\"\"\",true,2013-01-31\n2,,,false,\n";
    for name in ["t.csv", "t.json", "t.arrow", "t.parquet"] {
        let path = dir.path().join(name);
        run(&["sql", VALUES, "--output", path.to_str().unwrap()]).ok();
        assert_eq!(csv_of(&path), expected, "{name}");
    }
    assert_eq!(names(dir.path()).len(), 4, "temporary files are left");
}

#[test]
fn binary_formats_come_through_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    for format in ["arrow", "parquet"] {
        let path = dir.path().join(format!("t.{format}"));
        let file = std::fs::File::create(&path).unwrap();
        let status = windlass(&["sql", VALUES, "--format", format]).stdout(file).status().unwrap();
        assert!(status.success());
        assert!(csv_of(&path).contains("1999-12-31"), "{format}");
    }
}

#[test]
fn json_is_one_object_a_line_with_its_nulls() {
    let out = run(&["sql", VALUES, "--format", "json"]).ok();
    let rows: Vec<serde_json::Value> =
        out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().any(|r| r["i"] == 2 && r["s"].is_null()), "{out}");
    assert!(rows.iter().all(|r| r.as_object().unwrap().len() == 5), "{out}");
}

#[test]
fn a_table_in_a_pipe_shows_every_row_and_nulls() {
    let out = run(&["sql", "select value, nullif(value, 7) as v from range(0, 300)"]).ok();
    assert!(out.contains("│   299 │"), "{out}");
    assert!(out.contains("│     7 │ NULL │"), "{out}");
    assert!(out.ends_with("300 rows\n"), "{out}");
}

#[test]
fn an_empty_result_has_its_header() {
    let none = "select 1 as a, 'x' as b where false";
    assert_eq!(run(&["sql", none, "--format", "csv"]).ok(), "a,b\n");
    assert_eq!(run(&["sql", none, "--format", "json"]).ok(), "");
    assert!(run(&["sql", none]).ok().contains("│ a │ b │"));
}

#[test]
fn files_are_tables_by_option_and_by_quoted_path() {
    let dir = people();
    let by_option =
        ["sql", "select sum(age) as s from p", "--table", "p=people.csv", "--format", "csv"];
    assert_eq!(run_in(dir.path(), &by_option).ok(), "s\n65\n");
    let quoted =
        ["sql", "select count(*) as n from 'people.csv' where age is null", "--format", "csv"];
    assert_eq!(run_in(dir.path(), &quoted).ok(), "n\n1\n");
}

#[test]
fn an_earlier_file_is_replaced_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o.csv");
    std::fs::write(&path, "an earlier and much longer content\n".repeat(100)).unwrap();
    run(&["sql", "select 1 as a", "--output", path.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\n1\n");
}

#[test]
fn a_job_runs_all_its_statements() {
    let dir = people();
    let job = "-- a job; with comments\n\
               create external table p stored as csv location 'people.csv';\n\
               copy (select name, age from p where age > 30) to 'old.parquet' stored as parquet;\n\
               select count(*) as n from 'old.parquet';\n";
    std::fs::write(dir.path().join("job.sql"), job).unwrap();
    let ran = run_in(dir.path(), &["run", "job.sql", "--format", "csv"]);
    assert!(ran.err.contains("wrote 1 row"), "{}", ran.err);
    assert_eq!(ran.ok(), "n\n1\n");
    let ran = run_in(dir.path(), &["run", "job.sql", "--format", "csv", "--quiet"]);
    assert_eq!(ran.err, "", "quiet says nothing");
}
