//! Object stores and web servers by the settings of the environment.

use std::time::{Duration, Instant};

use frame_tests::server::{files::Web, s3::S3};

use crate::support::{Ran, run, windlass};

/// Runs with settings instead of those that the environment may have.
fn run_set(settings: &[(String, String)], args: &[&str]) -> Ran {
    let mut command = windlass(args);
    for (name, _) in std::env::vars() {
        if name.starts_with("AWS_") || name.starts_with("AZURE_") {
            command.env_remove(name);
        }
    }
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command.output().unwrap().into()
}

#[test]
fn a_job_reads_and_writes_a_bucket() {
    let s3 = S3::start();
    s3.put("b/people.csv", "name,age\nAda,36\nBob,NA\nCleo,29\n");
    let copy = "copy (select *, age > 30 as old from 's3://b/people.csv' where age > 0) \
                to 's3://b/out/' stored as parquet partitioned by (old)";
    let ran = run_set(&s3.settings(), &["sql", copy, "--device", "cpu"]);
    assert!(ran.err.contains("wrote 2 rows in 2 files ("), "{}", ran.err);
    ran.ok();
    assert_eq!(s3.objects().len(), 3, "{:?}", s3.objects());
    let query = "select old, sum(age) as a from o group by old order by old";
    let table = ["--table", "o=s3://b/out/", "--format", "csv"];
    let ran = run_set(&s3.settings(), &[&["sql", query], &table[..]].concat());
    assert_eq!(ran.ok(), "old,a\nfalse,29\ntrue,36\n");
    run_set(&s3.settings(), &["sql", "select * from 's3://b/poeple.csv'"])
        .fails(1, &["file not found: s3://b/poeple.csv"]);
}

#[test]
fn missing_credentials_and_wrong_endpoints_are_told_soon() {
    let nowhere = |name: &str| (name.to_string(), "http://127.0.0.1:1".to_string());
    let query = ["sql", "select * from 's3://b/x.csv'"];
    let began = Instant::now();
    run_set(&[nowhere("AWS_METADATA_ENDPOINT")], &query)
        .fails(1, &["no credentials for s3://b", "AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE"]);
    let public = [nowhere("AWS_ENDPOINT"), ("AWS_SKIP_SIGNATURE".to_string(), "true".to_string())];
    run_set(&public, &query).fails(1, &["cannot read s3://b/x.csv", "AWS_ALLOW_HTTP=true"]);
    let allowed = [&public[..], &[("AWS_ALLOW_HTTP".to_string(), "true".to_string())]].concat();
    run_set(&allowed, &query).fails(1, &["cannot read s3://b/x.csv", "connection was refused"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_file_of_a_web_server_is_a_table() {
    let web = Web::start(false);
    web.put("/people.csv", "name,age\nAda,36\nCleo,29\n");
    let table = format!("p={}", web.url("/people.csv"));
    let query = ["sql", "select sum(age) as s from p", "--format", "csv", "--table", &table];
    assert_eq!(run(&query).ok(), "s\n65\n");
    run(&["sql", "select 1", "--table", &format!("p={}", web.url("/poeple.csv"))])
        .fails(1, &["table p: file not found: http://127.0.0.1", "/poeple.csv", "check the path"]);
}
