//! Joins, group-bys and sorts of more rows than memory has room for: the rows of a session
//! without a limit, through files of which none is left.

use std::sync::Arc;

use frame_tests::{folder, rows};
use windlass::{
    DeviceSpec, FrameError, JobStats, Session, SessionOptions,
    arrow::{
        array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array},
        compute::take,
    },
};

/// Pseudo-random numbers (Knuth's MMIX generator).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

/// Rows with a number, keys with nulls (`k` one of `keys`, half of `hot` one value), a text and a
/// float, of which some are zeros of both signs.
fn table(n: usize, keys: u64, seed: u64) -> RecordBatch {
    let mut r = Random(seed);
    let id: Int64Array = (0..n as i64).map(Some).collect();
    let some = |r: &mut Random| (r.below(50) > 0).then(|| r.below(keys) as i64);
    let k: Int64Array = (0..n).map(|_| some(&mut r)).collect();
    let hot = (0..n).map(|_| if r.below(2) == 0 { 1 } else { r.below(keys) as i64 });
    let hot: Int64Array = hot.map(Some).collect();
    let text = |v: i64| format!("a text of more than twelve bytes, {v}");
    let t: StringArray = (0..n).map(|_| some(&mut r).map(text)).collect();
    let f = (0..n).map(|_| match r.below(keys) {
        0 => Some(0.0),
        1 => Some(-0.0),
        2 => Some(f64::NAN),
        3 => None,
        v => Some(v as f64 / 8.0),
    });
    let f: Float64Array = f.collect();
    let columns: [(&str, ArrayRef); 5] = [
        ("id", Arc::new(id)),
        ("k", Arc::new(k)),
        ("hot", Arc::new(hot)),
        ("t", Arc::new(t)),
        ("f", Arc::new(f)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()
}

/// A session on `device` with the tables `a` and `b`, in batches of 1,000 rows.
pub(crate) fn session(device: &str, rows: [usize; 2], options: SessionOptions) -> Session {
    let devices: DeviceSpec = device.parse().unwrap();
    let options =
        SessionOptions { devices, force_device: true, target_partitions: Some(2), ..options };
    let session = Session::with_options(options).unwrap();
    for (name, rows, seed) in [("a", rows[0], 1), ("b", rows[1], 2)] {
        let all = table(rows, (rows as u64 / 2).max(10), seed);
        // Copies: slices would each count with the memory of all.
        let piece = |at: usize| {
            let numbers = UInt32Array::from_iter_values(at as u32..rows.min(at + 1000) as u32);
            let columns = all.columns().iter().map(|c| take(c, &numbers, None).unwrap());
            RecordBatch::try_new(all.schema(), columns.collect()).unwrap()
        };
        let pieces = (0..rows).step_by(1000).map(piece).collect();
        session.register(name, &session.from_batches(pieces).unwrap()).unwrap();
    }
    session
}

/// The rows of a query and its figures.
pub(crate) async fn run(session: &Session, sql: &str) -> (Vec<String>, JobStats) {
    let frame = session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let found = frame.collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    (rows(&found), session.last_stats().unwrap())
}

/// Joins of every kind, on keys of several types, with and without a condition on pairs.
pub(crate) const JOINS: &[&str] = &[
    "select a.id, b.id from a join b on a.k = b.k",
    "select a.id, b.id, a.t from a join b on a.t = b.t and a.id % 3 < b.id % 4",
    "select a.id, b.id, a.f from a join b on a.f = b.f",
    "select a.id, b.id from a left join b on a.k = b.k and a.t < b.t",
    "select a.id, b.id from a right join b on a.k = b.k and a.id < b.id",
    "select a.id, b.t from a full join b on a.k = b.k and a.f = b.f",
    "select id from a where exists (select 1 from b where a.k = b.k and a.id < b.id) or id < 50",
];

/// Of which little is held.
const NARROW: &[&str] = &[
    "select id, t from a where not exists (select 1 from b where a.k = b.k and b.id % 3 = 0)",
    "select id, t from a where k in (select k from b where id % 2 = 0)",
];

pub(crate) const GROUPS: &[&str] = &[
    "select k, count(*), sum(id), min(id), max(hot) from a group by k",
    "select t, count(*), avg(id), count(distinct hot) from a where id % 7 > 0 group by t",
    "select abs(f), count(*) from a group by f",
    "select k + 1 as n, t, sum(id), median(id) from a group by k + 1, t",
    "select distinct k, hot from a",
];

async fn check(queries: &[&str], device: &str, rows: [usize; 2], limited: SessionOptions) {
    let temp = folder();
    let expected = session("cpu", rows, SessionOptions::default());
    let limited = SessionOptions { temp_dir: Some(temp.path().to_path_buf()), ..limited };
    let limited = session(device, rows, limited);
    for sql in queries {
        let (mut want, _) = run(&expected, sql).await;
        let (mut got, stats) = run(&limited, sql).await;
        want.sort_unstable();
        got.sort_unstable();
        assert!(want == got, "{sql}: {} rows, expected {}", got.len(), want.len());
        let reasons: Vec<_> = stats.operators.iter().map(|o| (&o.name, &o.reason)).collect();
        assert!(stats.spilled_bytes > 0, "{sql} did not spill: {reasons:#?}");
        assert_eq!(stats.fallback, None, "{sql}");
        if let Some(limit) = limited.options().memory {
            assert!(stats.peak_host_bytes <= limit as u64, "{sql}: {}", stats.peak_host_bytes);
        }
    }
    drop(limited);
    no_file_is_left(&temp).await;
}

/// Tasks that were cancelled, and blocking reads that had begun, end by themselves.
pub(crate) async fn no_file_is_left(temp: &tempfile::TempDir) {
    let files = || std::fs::read_dir(temp.path()).unwrap().count();
    let began = std::time::Instant::now();
    while files() > 0 && began.elapsed().as_secs() < 20 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(files(), 0, "files are left");
}

pub(crate) fn memory(bytes: usize) -> SessionOptions {
    SessionOptions { memory: Some(bytes), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_of_every_kind_go_through_files() {
    check(JOINS, "cpu", [40_000, 40_000], memory(1400 << 10)).await;
    check(NARROW, "cpu", [40_000, 40_000], memory(400 << 10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_bys_go_through_files() {
    check(GROUPS, "cpu", [100_000, 1], memory(8 << 20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_half_of_the_rows_have_is_sorted() {
    // All pairs of the hot key are a billion, of which few pass.
    let sql = ["select a.id, a.t, b.id from a join b on a.hot = b.hot and a.id = b.id + 7 \
         where a.id % 100 < 2 and b.id % 100 < 95"];
    check(&sql, "cpu", [60_000, 60_000], memory(1 << 20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sorts_go_through_files_and_keep_the_order_of_equal_rows() {
    let temp = folder();
    let rows = [100_000, 1];
    let expected = session("cpu", rows, SessionOptions::default());
    let limited = SessionOptions {
        temp_dir: Some(temp.path().to_path_buf()),
        // The merge of two partitions holds two batches of each.
        batch_rows: Some(1000),
        ..memory(8 << 20)
    };
    let limited = session("cpu", rows, limited);
    for by in ["k, id", "t desc nulls last, id", "f, k, id", "hot, t nulls first, id desc"] {
        let sql = format!("select id, t from a order by {by}");
        let ((want, _), (got, stats)) = (run(&expected, &sql).await, run(&limited, &sql).await);
        assert!(want == got, "{sql}");
        assert!(stats.spilled_bytes > 0 && stats.fallback.is_none(), "{sql}: {stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_take_some_of_their_partitions_at_a_time() {
    let rows = [100_000, 1];
    let expected = session("cpu", rows, SessionOptions::default());
    let temp = folder();
    let options = SessionOptions {
        temp_dir: Some(temp.path().to_path_buf()),
        batch_rows: Some(1000),
        ..memory(10 << 20)
    };
    let limited = session("cpu", rows, options);
    for sql in [
        // Many small partitions; floats of which zeros and NaN are one partition each.
        "select id, row_number() over (partition by k order by id) n, \
         sum(id) over (partition by k order by id) s, lag(t) over (partition by k order by id) l \
         from a",
        "select id, count(*) over (partition by abs(f)) n, max(id) over (partition by abs(f)) m \
         from a",
        // Half of the rows are in one partition, and all are.
        "select id, row_number() over (partition by hot order by id) n, t from a",
        "select id, row_number() over (order by id) n, t, lead(k) over (order by id) from a",
    ] {
        let ((mut want, _), (mut got, stats)) =
            (run(&expected, sql).await, run(&limited, sql).await);
        want.sort_unstable();
        got.sort_unstable();
        assert!(want == got, "{sql}");
        assert_eq!(stats.fallback, None, "{sql}");
        let window = stats.operators.iter().find(|o| o.name.contains("Window")).unwrap();
        assert_eq!(window.rows, 100_000, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_with_little_memory_goes_through_files() {
    let cap = |bytes| SessionOptions { device_memory: Some(bytes), ..Default::default() };
    check(&JOINS[..4], "cuda-emulated:0", [20_000, 20_000], cap(400 << 10)).await;
    check(&GROUPS[..2], "cuda-emulated:0", [40_000, 1], cap(400 << 10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_order_a_device_cannot_hold_are_sorted_in_parts() {
    let rows = [60_000, 1];
    let expected = session("cpu", rows, SessionOptions::default());
    // The least has no room for the order of a batch: the host's cores find it.
    for bytes in [1 << 20, 100 << 10] {
        let options = SessionOptions { device_memory: Some(bytes), ..Default::default() };
        let limited = session("cuda-emulated:0", rows, options);
        for sql in ["select id from a order by k, id", "select id from a order by f, id limit 900"]
        {
            let ((want, _), (got, stats)) = (run(&expected, sql).await, run(&limited, sql).await);
            assert!(want == got, "{sql} in {bytes} bytes");
            assert_eq!(stats.fallback, None, "{sql} in {bytes} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_a_device_cannot_hold_are_computed_in_parts() {
    let rows = [60_000, 1];
    let expected = session("cpu", rows, SessionOptions::default());
    let options = SessionOptions { device_memory: Some(600 << 10), ..Default::default() };
    for (device, sql, what) in [
        (
            "cuda-emulated:0",
            "select id, sum(id) over (partition by k order by id) s, \
             lag(t) over (partition by k order by id) l from a",
            "went on in parts",
        ),
        // Half of the rows are in one partition, and all are.
        (
            "cuda-emulated:0",
            "select id, row_number() over (partition by hot order by id) n, \
             max(f) over (partition by hot order by id) m, t from a",
            "the CPU took over",
        ),
        (
            "cuda-emulated*2",
            "select id, row_number() over (order by id) n, t, max(k) over (order by id) from a",
            "the CPU took over",
        ),
        (
            "cuda-emulated*2",
            "select id, count(*) over (partition by abs(f)) n from a",
            "went on in parts",
        ),
    ] {
        let limited = session(device, rows, options.clone());
        let ((mut want, _), (mut got, stats)) =
            (run(&expected, sql).await, run(&limited, sql).await);
        want.sort_unstable();
        got.sort_unstable();
        assert!(want == got, "{sql}: {} rows, expected {}", got.len(), want.len());
        assert_eq!(stats.fallback, None, "{sql}");
        let window = stats.operators.iter().find(|o| o.name.contains("Window")).unwrap();
        assert!(window.reason.contains(what), "{sql}: {}", window.reason);
        assert_eq!(window.rows, 60_000, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_whose_rows_a_device_cannot_hold_leave_them_on_the_host() {
    let rows = [20_000, 20_000];
    let temp = folder();
    let expected = session("cpu", rows, SessionOptions::default());
    let options = SessionOptions {
        device_memory: Some(400 << 10),
        temp_dir: Some(temp.path().to_path_buf()),
        ..Default::default()
    };
    let limited = session("cuda-emulated:0", rows, options);
    for sql in [
        "select a.hot, count(*), sum(b.id) from a join b on a.k = b.k group by a.hot",
        "select a.t, count(*) from a left join b on a.k = b.k and a.id < b.id group by a.t",
    ] {
        let (mut want, _) = run(&expected, sql).await;
        let (mut got, stats) = run(&limited, sql).await;
        want.sort_unstable();
        got.sort_unstable();
        assert!(want == got, "{sql}: {} rows, expected {}", got.len(), want.len());
        let fallback = stats.fallback.clone().expect("another attempt");
        let on_devices = "on the devices with the rows between operators on the host";
        assert!(fallback.ends_with(on_devices), "{sql}: {fallback}");
        let joins = stats.operators.iter().filter(|o| o.name == "DeviceHashJoinExec");
        let devices: Vec<_> = joins.map(|o| o.device.as_str()).collect();
        assert_eq!(devices, ["cuda-emulated:0"], "{sql}");
        assert!(!stats.plan.contains("rows=device"), "{sql}: {}", stats.plan);
    }
    drop(limited);
    no_file_is_left(&temp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_put_on_disk_is_said() {
    let temp = folder();
    let options = SessionOptions {
        temp_dir: Some(temp.path().to_path_buf()),
        temp_limit: Some(50 << 10),
        ..memory(1 << 20)
    };
    let limited = session("cpu", [40_000, 40_000], options);
    for sql in [JOINS[0], "select t from a order by t, id", GROUPS[1]] {
        let error = limited.sql(sql).await.unwrap().collect().await.unwrap_err();
        assert!(error.to_string().contains("--temp-limit"), "{sql}: {error}");
        assert!(!matches!(error, FrameError::Memory(_)), "{sql}: {error:?}");
    }
    drop(limited);
    no_file_is_left(&temp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_dropped_leaves_no_file() {
    let temp = folder();
    let options = SessionOptions { temp_dir: Some(temp.path().to_path_buf()), ..memory(1 << 20) };
    let limited = session("cpu", [40_000, 40_000], options);
    let files = || {
        let folders = std::fs::read_dir(temp.path()).unwrap();
        folders.map(|f| std::fs::read_dir(f.unwrap().path()).unwrap().count()).sum::<usize>()
    };
    for sql in [JOINS[0], JOINS[4], GROUPS[1]] {
        let frame = limited.sql(sql).await.unwrap();
        let job = tokio::spawn(async move { frame.collect().await.map(drop) });
        // Until there are files, or it has ended.
        while files() < 4 && !job.is_finished() {
            tokio::task::yield_now().await;
        }
        job.abort();
        let _ = job.await;
        // Blocking reads that had begun end by themselves.
        let began = std::time::Instant::now();
        while files() > 1 && began.elapsed().as_secs() < 20 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // The lock, in the folder of a session that has put rows on disk.
        assert!(files() <= 1, "{sql}");
    }
}
