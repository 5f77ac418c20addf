//! Decimals that Parquet files hold as integers reach a device as integers.

use faults::{Data, done, forced, nothing_leaks, plan, run, took_over};
use windlass::{Session, SessionOptions, device::fault::FaultPlan};

/// Columns `d` and `e` of up to 18 digits, the second in 32 bits, and `w` of more, by those of
/// the table `one`, of which the files are copies.
const COLUMNS: &str = "k, a, g, cast(b as decimal(12, 2)) d, cast(b as decimal(7, 2)) e, \
                       cast(b as decimal(25, 2)) w";

/// Queries, and what their scans read as integers.
const QUERIES: [(&str, &str); 9] = [
    ("select k, sum(d) v, min(e) m, max(w) x, avg(d) y from T group by k", "narrow=[d, e]"),
    ("select sum(d * e) v, count(d) n, count(*) m from T where a > 0", "narrow=[d, e]"),
    ("select d, count(*) n from T group by d", "narrow=[d]"),
    ("select e, g, sum(d) v from T where d is not null group by e, g", "coded=[g], narrow=[d, e]"),
    ("select count(distinct d) n, sum(distinct d) v from T", "narrow=[d]"),
    ("select d + e v, -d m, w from T where d > 10.5 and e < 500 and a > 0", "narrow=[d, e]"),
    (
        "select case when e < 0 then d else e end v, round(d) r from T where a > 900",
        "narrow=[d, e]",
    ),
    ("select sum(w) v from T where a > 900", ""),
    (
        "select p.d, sum(q.e) v from T p join T q on p.d = q.d and p.a = q.a group by p.d",
        "narrow=[",
    ),
];

/// Writes the rows of `one` as two Parquet files, and names them `held`; `plain` is what they
/// hold, from the text.
async fn files(session: &Session, data: &Data) {
    done(session, &format!("create view plain as select {COLUMNS} from one")).await;
    let folder = data.path("held");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, rows) in [("low", "d < 100"), ("high", "d >= 100 or d is null")] {
        let path = folder.join(name).with_extension("parquet");
        if !path.exists() {
            let copy = format!("copy (select * from plain where {rows}) to '{}'", path.display());
            done(session, &copy).await;
        }
    }
    let table = "create external table held stored as parquet location";
    done(session, &format!("{table} '{}/'", folder.display())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decimals_are_integers_up_to_the_device() {
    let data = Data::new(20_000);
    for device in ["cpu", "wgpu:0", "cuda-emulated:0"] {
        let session = data.session(device, forced()).await;
        files(&session, &data).await;
        for (query, narrow) in QUERIES {
            let what = format!("{query} on {device}");
            let expected = run(&session, &query.replace('T', "plain")).await.expect(&what);
            assert!(!expected.is_empty(), "{what} gives rows");
            let query = query.replace('T', "held");
            assert_eq!(run(&session, &query).await.expect(&what), expected, "{what}");
            let stats = session.last_stats().expect("figures");
            assert_eq!(took_over(&stats), None, "{what}");
            let scans = stats.operators.iter().filter(|o| o.name == "StoredScanExec");
            for scan in scans {
                assert!(scan.reason.contains("decimals as integers"), "{what}: {scan:?}");
            }
            let plan = plan(&session, &query).await;
            match narrow {
                // On the host a join reads what its scans give as ever.
                _ if device == "cpu" && query.contains("join") => {}
                "" => assert!(!plan.contains("narrow="), "{what}: {plan}"),
                _ => assert!(plan.contains(narrow), "{what}: {plan}"),
            }
            nothing_leaks(&session, &what).await;
        }
    }
}

/// A batch whose kernel fails is computed from the integers by the host's operators.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cpu_that_takes_over_reads_wide_decimals() {
    let data = Data::new(20_000);
    let session = data.session("cpu", SessionOptions::default()).await;
    files(&session, &data).await;
    let mut took = 0;
    for (query, _) in QUERIES {
        let expected = run(&session, &query.replace('T', "plain")).await.expect(query);
        for n in [1, 3, 8] {
            for faults in [
                FaultPlan { alloc: n, ..FaultPlan::default() },
                FaultPlan { launch: n, ..FaultPlan::default() },
            ] {
                let what = format!("{query} with {faults:?}");
                let failing = data.failing("cuda-emulated:0", faults).await;
                files(&failing, &data).await;
                let got = run(&failing, &query.replace('T', "held")).await;
                assert_eq!(got.unwrap_or_else(|e| panic!("{what}: {e}")), expected, "{what}");
                took += usize::from(took_over(&failing.last_stats().expect("figures")).is_some());
                nothing_leaks(&failing, &what).await;
            }
        }
    }
    assert!(took > 0, "some fault made the CPU take over");
}

/// Row groups are left out by the statistics of a column that is read as integers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_leave_out_files_by_narrow_decimals() {
    let data = Data::new(20_000);
    let options = forced();
    let session = data.session("cpu", options).await;
    files(&session, &data).await;
    let query = "select sum(d) v, count(*) n from held where d >= 100 and a > 0";
    let expected = run(&session, &query.replace("held", "plain")).await.expect("rows");
    assert_eq!(run(&session, query).await.expect("rows"), expected);
    let stats = session.last_stats().expect("figures");
    let scan = stats.operators.iter().find(|o| o.name == "DataSourceExec").expect("a scan");
    assert!(scan.rows > 0 && scan.rows < 20_000, "{scan:?}");
    let plan = plan(&session, query).await;
    assert!(plan.contains("narrow=[d]"), "{plan}");
}

/// Two files whose decimals have other digits, or are no integers, are read as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_differ_are_read_as_decimals_of_the_table() {
    let data = Data::new(1000);
    let options = forced();
    let session = data.session("cpu", options).await;
    let folder = data.path("mixed");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, ty) in [("a", "decimal(12, 2)"), ("b", "decimal(9, 1)"), ("c", "bigint")] {
        let path = folder.join(name).with_extension("parquet");
        let select = format!("select a, cast(b as {ty}) d from one");
        done(&session, &format!("copy ({select}) to '{}'", path.display())).await;
    }
    let table = "create external table mixed (a bigint, d decimal(12, 2)) stored as parquet";
    done(&session, &format!("{table} location '{}/'", folder.display())).await;
    let query = "select a, sum(d) v, count(*) n from mixed group by a";
    let casts = ["decimal(12, 2)", "decimal(9, 1)", "bigint"];
    let casts =
        casts.map(|ty| format!("select a, cast(cast(b as {ty}) as decimal(12, 2)) d from one"));
    let plain = query.replace("mixed", &format!("({})", casts.join(" union all ")));
    let expected = run(&session, &plain).await.expect("rows");
    assert_eq!(run(&session, query).await.expect("rows"), expected);
    assert!(!plan(&session, query).await.contains("narrow="), "{}", plan(&session, query).await);
}
