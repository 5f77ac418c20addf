//! The tables of the tests of planning, and their sessions.

use std::path::Path;

use frame_tests::{rows, run, session_with, sql};
use windlass::{Session, SessionOptions};

/// Files of events, the things that they are about, and the groups of these; in each column
/// but the numbers some nulls; and days, each twice.
pub(crate) async fn tables(session: &Session, folder: &Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    let write = [
        (
            "events.parquet",
            "select n as id, case when n % 13 = 5 then null else (n * 7919) % 40000 end as thing, \
             n % 97 as amount, 'event ' || (n % 31) as note, \
             case when n % 17 = 3 then null else 'thing ' || ((n * 7919) % 40000) end as name, \
             date '2020-01-01' + cast((n * 7919) % 4000 as int) as day \
             from generate_series(0, 299999) t(n)",
        ),
        (
            "things.parquet",
            "select n as id, n % 300 as kind, 'thing ' || n as name, n * 1.5 as weight \
             from generate_series(0, 39999) t(n)",
        ),
        ("kinds.parquet", "select n as id, 'kind ' || n as name from generate_series(0, 299) t(n)"),
        (
            "days.parquet",
            "select date '2020-01-01' + cast(n / 2 * 97 as int) as day, n as number \
             from generate_series(0, 20) t(n)",
        ),
    ];
    for (name, query) in write {
        let text = format!("copy ({query}) to '{}' stored as parquet", path(name));
        run(session, &text).await.expect("a file");
    }
    open(session, folder).await;
}

/// Names the files that [`tables`] has written.
pub(crate) async fn open(session: &Session, folder: &Path) {
    for table in ["events", "things", "kinds", "days"] {
        let file = folder.join(format!("{table}.parquet"));
        let text = format!(
            "create external table {table} stored as parquet location '{}'",
            file.display()
        );
        run(session, &text).await.expect("a table");
    }
}

/// The rows of a query where so many MiB are enough for it; else the error says what is not.
pub(crate) async fn in_little_memory(
    folder: &Path,
    megabytes: usize,
    query: &str,
) -> Option<Vec<String>> {
    let session =
        session_with(SessionOptions { memory: Some(megabytes << 20), ..SessionOptions::default() });
    open(&session, folder).await;
    match session.sql(query).await.expect("a plan").collect().await {
        Ok(batches) => Some(rows(&batches)),
        Err(e) => {
            assert!(e.to_string().contains("memory"), "{e}");
            None
        }
    }
}

/// The plan of a query as one text.
pub(crate) async fn plan(session: &Session, query: &str) -> String {
    sql(session, &format!("explain {query}")).await.join("\n")
}

/// A session that places what it can on the emulated device.
pub(crate) fn forced() -> Session {
    let options = SessionOptions {
        devices: "cuda-emulated:0".parse().expect("a spec"),
        force_device: true,
        target_partitions: Some(2),
        ..Default::default()
    };
    Session::with_options(options).expect("a session")
}
