//! Joins without equal keys: every kind on every device that needs no GPU, against
//! DataFusion's operators on the CPU.

use super::breakers::{run, same, session, with_tables};
use frame_tests::session_with;
use windlass::SessionOptions;

const NODE: &str = "DeviceNestedLoopJoinExec";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_on_conditions_of_every_kind() {
    let mut queries = Vec::new();
    for kind in ["join", "left join", "right join", "full join"] {
        for on in [
            "a.x > b.x + 65",
            "abs(a.id - b.id * 3) < 2",
            "a.price < b.price and a.day > b.day + 50",
            "a.text like '%7' and b.k > a.k + 52",
        ] {
            queries.push(format!("select a.id, a.text, b.id, b.text, b.x from a {kind} b on {on}"));
        }
        // A side without rows, a condition that no pair passes, and no columns.
        queries.push(format!("select a.id, none.id from a {kind} none on a.x < none.x"));
        queries.push(format!("select none.id, a.id from none {kind} a on a.x < none.x"));
        queries.push(format!("select a.id, b.id from a {kind} b on a.x > b.x + 1000"));
        queries.push(format!("select count(*) from a {kind} b on a.x > b.x + 60"));
    }
    same(&queries, NODE, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn semi_anti_and_mark_joins_on_conditions() {
    let mut queries = Vec::new();
    for (outer, inner) in [("a", "b"), ("b", "a")] {
        let test = format!("(select 1 from {inner} i where i.x > o.x + 62)");
        queries.push(format!("select o.id, o.text from {outer} o where exists {test}"));
        queries.push(format!("select o.id, o.text from {outer} o where not exists {test}"));
        queries.push(format!("select o.id from {outer} o where o.id % 7 = 2 or exists {test}"));
    }
    same(&queries, NODE, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_memories_cut_the_pairs() {
    let sql = "select a.id, b.id i from a full join b on a.x > b.x + 55 and a.k < b.k";
    let plain = with_tables(session_with(SessionOptions::default()));
    let (mut expected, _) = run(&plain, sql).await;
    expected.sort_unstable();
    let options = SessionOptions {
        devices: "cuda-emulated:0".parse().unwrap(),
        force_device: true,
        device_memory: Some(1 << 20),
        ..SessionOptions::default()
    };
    let session = with_tables(super::breakers::session_on(options));
    let (mut rows, placed) = run(&session, sql).await;
    rows.sort_unstable();
    assert!(placed.iter().any(|p| p == NODE), "{placed:?}");
    let stats = session.last_stats().unwrap();
    assert_eq!(stats.fallback, None);
    assert!(stats.peak_device_bytes <= 1 << 20, "{}", stats.peak_device_bytes);
    assert!(rows == expected, "other rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cross_joins_stay_on_the_cpu_with_the_reason() {
    let session = session("cuda-emulated:0");
    let sql = "select a.id, b.id i from a cross join b where a.id < 5";
    assert_eq!(run(&session, sql).await.0.len(), 5 * 400);
    let decisions = session.last_stats().unwrap().decisions;
    let join = decisions.iter().find(|d| d.operator.starts_with("CrossJoinExec")).unwrap();
    assert!(join.reason.contains("keeps every pair"), "{}", join.reason);
}
