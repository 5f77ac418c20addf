//! `--metrics`: scraped while a shell waits for its next statement, and what is no address.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
};

use crate::support::{people, run, windlass};

/// The value of a sample, by its name and labels as they are written.
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|l| l.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} is missing in:\n{text}")).parse().unwrap()
}

/// Checks a text against the rules of the exposition format 0.0.4.
#[track_caller]
fn check(text: &str) {
    let is_name = |name: &str| {
        let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    assert!(text.ends_with('\n'));
    let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
    let (mut helped, mut current, mut counter) = ("", "", false);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && !help.is_empty(), "{line}");
            assert!(families.insert(name), "{name} is there twice");
            helped = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, helped, "the type follows its help");
            counter = kind == "counter";
            assert!(counter || kind == "gauge", "{line}");
            assert_eq!(counter, name.ends_with("_total"), "{line}");
            current = name;
        } else {
            let (sample, number) = line.rsplit_once(' ').unwrap();
            assert!(samples.insert(sample), "{sample} is there twice");
            let (name, labels) = match sample.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
                None => (sample, ""),
            };
            assert_eq!(name, current, "samples stand below their type");
            // No value of ours has a comma.
            for label in labels.split(',').filter(|l| !l.is_empty()) {
                let (name, value) = label.split_once('=').unwrap();
                assert!(is_name(name) && value.starts_with('"') && value.ends_with('"'), "{label}");
            }
            let number: f64 = number.parse().unwrap();
            assert!(number.is_finite() && (!counter || number >= 0.0), "{line}");
        }
    }
}

fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    check(body);
    body.to_string()
}

#[test]
fn a_shell_is_scraped_between_its_statements() {
    let dir = people();
    let args = ["shell", "--metrics", "127.0.0.1:0", "--memory", "1GiB", "--device", "cpu"];
    let mut child = windlass(&[&args[..], &["--format", "csv", "--quiet"]].concat())
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    let address =
        line.trim().strip_prefix("metrics at http://").unwrap_or_else(|| panic!("{line}"));
    let address = address.strip_suffix("/metrics").unwrap().to_string();
    let mut stdin = child.stdin.take().unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap());
    let mut run = |text: &str| {
        writeln!(stdin, "{text}").unwrap();
        let mut line = String::new();
        for _ in 0..2 {
            line.clear();
            rows.read_line(&mut line).unwrap();
        }
        line.trim().to_string()
    };
    assert_eq!(run("select count(*) as n from 'people.csv' where age > 20;"), "2");
    // The rows come before the statement has ended.
    let done = "windlass_queries_total{result=\"done\"}";
    let ended = |n: f64| {
        (0..500).map(|_| get(&address)).find(|text| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            value(text, done) == n
        })
    };
    let first = ended(1.0).expect("the statement ended");
    assert_eq!(value(&first, "windlass_queries_total{result=\"failed\"}"), 0.0);
    assert_eq!(value(&first, "windlass_queries_running"), 0.0);
    assert_eq!(value(&first, "windlass_rows_total"), 1.0);
    assert_eq!(value(&first, "windlass_pool_limit_bytes"), (1 << 30) as f64);
    assert!(value(&first, "windlass_read_bytes_total") > 0.0);
    if cfg!(target_os = "linux") {
        assert!(value(&first, "process_resident_memory_bytes") > 1e6);
    }
    assert_eq!(run("select 7 as x;"), "7");
    let second = ended(2.0).expect("the statement ended");
    for grows in ["windlass_query_seconds_total", "windlass_read_bytes_total"] {
        assert!(value(&second, grows) >= value(&first, grows), "{grows}");
    }
    // The server ends with the process.
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn an_address_that_is_none_or_taken_is_told_with_the_option() {
    for wrong in ["9464", "127.0.0.1:x", "nowhere"] {
        let e = run(&["sql", "select 1", "--metrics", wrong]).fails(2, &["--metrics", "HOST:PORT"]);
        assert!(e.contains(wrong), "{e}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let e = run(&["sql", "select 1", "--metrics", &address]).fails(1, &["--metrics", &address]);
    assert!(e.contains("in use") && e.contains("another port"), "{e}");
}
