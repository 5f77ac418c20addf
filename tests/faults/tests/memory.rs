//! Devices with too little memory: batches are split, or the CPU takes over.

use faults::{Data, nothing_leaks, run, took_over};
use windlass::{SessionOptions, device::fault::FaultPlan};

const QUERIES: &[&str] = &[
    "select id, a * 2 + k v, b / 4.0 q, t, g from one where b > 0",
    "select id, count(*) n, sum(a) s, min(b) m from one group by id",
    "select k, g, count(*) n, sum(b) s from one where a > -900 group by k, g",
    "select count(*) n, sum(a) s, max(length(s)) m from one",
    "select q.g, count(*) n, sum(p.a) m from one p join one q on p.id = q.id where p.b > 0 group by q.g",
];

/// Rows in all queries; whether the CPU took over in any.
async fn capped(device: &str, bytes: usize, rows: usize) -> bool {
    let data = Data::new(rows);
    let cpu = data.session("cpu", SessionOptions::default()).await;
    let mut any = false;
    for sql in QUERIES {
        let what = format!("{sql} in {bytes} bytes on {device}");
        let options = SessionOptions { device_memory: Some(bytes), ..Default::default() };
        let session = data.session(device, options).await;
        let got = run(&session, sql).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(got, run(&cpu, sql).await.unwrap(), "{what}");
        let stats = session.last_stats().unwrap();
        assert!(stats.peak_device_bytes <= bytes as u64, "{what}: {}", stats.peak_device_bytes);
        if let Some(reason) = took_over(&stats) {
            assert!(
                reason.contains("out of memory") && reason.contains(device),
                "{what}: {reason}"
            );
            any = true;
        }
        nothing_leaks(&session, &what).await;
    }
    any
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_of_one_mebibyte_on_wgpu() {
    assert!(capped("wgpu:0", 1 << 20, 40_000).await, "the cap is not too small");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caps_on_the_emulator() {
    assert!(capped("cuda-emulated:0", 1 << 20, 40_000).await, "the cap is not too small");
    assert!(capped("cuda-emulated:0", 1 << 10, 2_000).await);
    assert!(capped("cuda-emulated:0", 1, 100).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allocation_that_fails_once_in_a_large_batch() {
    let data = Data::new(30_000);
    let cpu = data.session("cpu", SessionOptions::default()).await;
    for sql in QUERIES {
        let expected = run(&cpu, sql).await.unwrap();
        for n in 1..=8 {
            let what = format!("{sql} without allocation {n}");
            let faults = FaultPlan { alloc: n, ..FaultPlan::default() };
            let session = data.failing("cuda-emulated:0", faults).await;
            let got = run(&session, sql).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(got, expected, "{what}");
            nothing_leaks(&session, &what).await;
        }
    }
}
