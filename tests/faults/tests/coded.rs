//! Texts that Parquet files hold as codes reach a device's aggregation as codes.

use faults::{Data, done, forced, nothing_leaks, plan, run, took_over};
use windlass::{Session, SessionOptions, device::fault::FaultPlan};

/// Filters, joins and group-bys over texts `g`, `s` (codes in the files) and which are read
/// as codes.
const QUERIES: [(&str, &str); 9] = [
    ("select g, upper(s) u, a from T where a > 900", "coded=["),
    ("select length(s) l, g from T where b > 0", "coded=["),
    (
        "select p.g, sum(q.b) v from T p join T q on p.k = q.k and p.id = q.id group by p.g",
        "coded=[",
    ),
    ("select g, count(*) n, sum(b) v from T group by g", "coded=[g]"),
    ("select g, s, count(*) n, min(a) v from T group by g, s", "coded=[g, s]"),
    ("select length(s) l, k, count(*) n from T where k > 0 group by 1, 2", "coded=[s]"),
    ("select upper(g) u, count(distinct s) n from T group by 1", "coded=["),
    ("select count(*) n, sum(b) v from T where coalesce(g, 'none') like '%l%'", "coded=[g]"),
    ("select s, sum(a) v from T where s < 's2' and g <> 'beta' group by s", "coded=["),
];

/// Filters that stay on the host, and whether some part of them is evaluated by code.
const FILTERS: [(&str, bool); 9] = [
    ("select a, b from T where s < 's2' and g <> 'beta' and a > 0", true),
    ("select g, a from T where g like '%l%' or a > 990", true),
    ("select s, g, a from T where (g = 'beta' or g is null) and s in ('s1', 's3')", true),
    // The scan computes the comparison that stands there twice.
    ("select a from T where case when g = 'beta' then a > 5 else a < 5 end", false),
    ("select g, s, b from T where g is not null and (s is null or a < 100)", true),
    ("select a, s from T where cast(substr(s, 2) as int) > 3 and b > 0", true),
    ("select upper(g) u, a from T where lower(g) = 'beta' and a > 10", true),
    ("select a from T where g = s or g = 'beta' or a = 7", false),
    ("select g, a from T where a > 10", false),
];

/// Writes the rows of `one` as three Parquet files, and names them `coded`.
async fn files(session: &Session, data: &Data) {
    let folder = data.path("coded");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, rows) in [("a", "k < 0"), ("b", "k >= 0"), ("c", "k is null")] {
        let path = folder.join(name).with_extension("parquet");
        if !path.exists() {
            let copy = format!("copy (select * from one where {rows}) to '{}'", path.display());
            done(session, &copy).await;
        }
    }
    let table = "create external table coded stored as parquet location";
    done(session, &format!("{table} '{}/'", folder.display())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_stay_codes_up_to_the_device() {
    let data = Data::new(20_000);
    for device in ["cpu", "wgpu:0", "cuda-emulated:0"] {
        let session = data.session(device, forced()).await;
        files(&session, &data).await;
        for (query, coded) in QUERIES {
            let what = format!("{query} on {device}");
            let expected = run(&session, &query.replace('T', "one")).await.expect(&what);
            let query = query.replace('T', "coded");
            assert_eq!(run(&session, &query).await.expect(&what), expected, "{what}");
            let stats = session.last_stats().expect("figures");
            assert_eq!(took_over(&stats), None, "{what}");
            if let Some(scan) = stats.operators.iter().find(|o| o.name == "StoredScanExec") {
                let rows = if query.contains("k > 0") { 1..=20_000 } else { 20_000..=20_000 };
                assert!(rows.contains(&scan.rows), "{what}: {scan:?}");
                assert_eq!(scan.reason, "its files hold these texts as codes");
            }
            let plan = plan(&session, &query).await;
            match coded {
                // On the host a join reads the scans' texts.
                _ if device == "cpu" && query.contains("join") => {}
                "" => assert!(!plan.contains("StoredScanExec"), "{what}: {plan}"),
                _ => assert!(plan.contains(coded), "{what}: {plan}"),
            }
            nothing_leaks(&session, &what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cpu_that_takes_over_reads_texts() {
    let data = Data::new(20_000);
    let session = data.session("cpu", SessionOptions::default()).await;
    files(&session, &data).await;
    let mut took = 0;
    for (query, _) in QUERIES {
        let expected = run(&session, &query.replace('T', "one")).await.expect(query);
        for n in [1, 2, 3, 5, 8, 13] {
            for faults in [
                FaultPlan { alloc: n, ..FaultPlan::default() },
                FaultPlan { launch: n, ..FaultPlan::default() },
            ] {
                let what = format!("{query} with {faults:?}");
                let failing = data.failing("cuda-emulated:0", faults).await;
                files(&failing, &data).await;
                let got = run(&failing, &query.replace('T', "coded")).await;
                assert_eq!(got.unwrap_or_else(|e| panic!("{what}: {e}")), expected, "{what}");
                took += usize::from(took_over(&failing.last_stats().expect("figures")).is_some());
                nothing_leaks(&failing, &what).await;
            }
        }
    }
    assert!(took > 0, "some fault made the CPU take over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_codes_throughout_stays_texts() {
    let data = Data::new(100);
    let session = data.session("cpu", forced()).await;
    let path = |name: &str| data.path(name).display().to_string();

    // More texts than a dictionary page takes: the writer goes on without codes.
    let many = "select 'a long text with the number ' || n as g, 'few ' || (n % 7) as s, n as a \
                from generate_series(1, 120000) t(n)";
    done(&session, &format!("copy ({many}) to '{}'", path("many.parquet"))).await;
    let table = "create external table many stored as parquet location";
    done(&session, &format!("{table} '{}'", path("many.parquet"))).await;
    let query = "select g, s, sum(a) v from many group by g, s";
    let text = plan(&session, query).await;
    assert!(text.contains("coded=[s]"), "{text}");
    let got = run(&session, query).await.expect("rows");
    assert_eq!(got.len(), 120_000);
    assert!(got.contains(&"a long text with the number 77|few 0|77".to_string()));

    // A column of the folders' names is in no file.
    let copy = "copy (select * from one) to";
    let options = "stored as parquet partitioned by (g)";
    done(&session, &format!("{copy} '{}' {options}", path("by_g/"))).await;
    let by_g = session.read(&path("by_g/")).await.expect("a table");
    session.register("by_g", &by_g).expect("a name");
    let query = "select g, s, count(*) n from T where g is not null group by g, s";
    let text = plan(&session, &query.replace('T', "by_g")).await;
    assert!(text.contains("coded=[s]"), "{text}");
    let expected = run(&session, &query.replace('T', "one")).await.expect("rows");
    assert_eq!(run(&session, &query.replace('T', "by_g")).await.expect("rows"), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_on_the_host_look_at_texts_by_code() {
    let data = Data::new(20_000);
    let session = data.session("cpu", SessionOptions::default()).await;
    files(&session, &data).await;
    for (query, by_code) in FILTERS {
        let expected = run(&session, &query.replace('T', "one")).await.expect(query);
        assert!(!expected.is_empty(), "{query} keeps rows");
        let query = query.replace('T', "coded");
        assert_eq!(run(&session, &query).await.expect(&query), expected, "{query}");
        let plan = plan(&session, &query).await;
        assert_eq!(plan.contains("by_code("), by_code, "{query}: {plan}");
        nothing_leaks(&session, &query).await;
    }
    // Statistics still leave out what has no such text.
    let query = "select a from coded where g = 'zz' and a > 0";
    assert!(plan(&session, query).await.contains("by_code("));
    assert_eq!(run(&session, query).await.expect(query), [""; 0]);
    let stats = session.last_stats().expect("figures");
    let scan = stats.operators.iter().find(|o| o.name == "DataSourceExec").expect("a scan");
    assert_eq!(scan.rows, 0, "{scan:?}");
}
