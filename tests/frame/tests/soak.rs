//! Queries that go through files, among faults: sessions beside each other, files that change
//! under a reader, disks that are full, queries that are stopped anywhere. The rows are right or
//! there is a clear error; nothing hangs, and nothing is left.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use frame_tests::{folder, rows};
use windlass::{FrameError, RunOptions, Session, SessionOptions};

use crate::out_of_core::{GROUPS, JOINS, Random, memory, no_file_is_left, run, session};

/// Longest time that a query may take; past it, it hangs. A guess: a hundred times what the
/// slowest takes on two cores.
const HANGS: Duration = Duration::from_secs(120);

/// Rows of the tables, and bytes of memory that they are several times too many for.
const SIZES: [usize; 2] = [120_000, 100_000];
const LIMIT: usize = 4 << 20;

/// A limit, and batches of which a merge holds few bytes.
fn within(bytes: usize) -> SessionOptions {
    SessionOptions { batch_rows: Some(1000), ..memory(bytes) }
}

/// The queries, and the rows that they have without a limit, sorted.
async fn expected(sizes: [usize; 2]) -> Vec<(&'static str, Vec<String>)> {
    let free = session("cpu", sizes, SessionOptions::default());
    let mut all = Vec::new();
    for sql in [JOINS[0], JOINS[4], GROUPS[0], GROUPS[1], JOINS[1]] {
        let (mut rows, _) = run(&free, sql).await;
        rows.sort_unstable();
        all.push((sql, rows));
    }
    all
}

/// The rows of a query, sorted.
async fn collect(session: &Session, sql: &str) -> windlass::Result<Vec<String>> {
    let query = async { session.sql(sql).await?.collect().await };
    let done = tokio::time::timeout(HANGS, query).await;
    let mut found = rows(&done.unwrap_or_else(|_| panic!("{sql} hangs"))?);
    found.sort_unstable();
    Ok(found)
}

/// One of two sessions: its queries, several times.
async fn beside(
    session: Session,
    all: Arc<Vec<(&'static str, Vec<String>)>>,
    done: Arc<AtomicUsize>,
) -> Vec<usize> {
    let (mut others, mut spilled) = (Vec::new(), 0);
    for _ in 0..2 {
        for (sql, expected) in all.iter() {
            let before = done.load(Ordering::SeqCst);
            let got = collect(&session, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            assert!(got == *expected, "{sql}: {} rows, expected {}", got.len(), expected.len());
            let stats = session.last_stats().expect("figures");
            let limit = session.options().memory.expect("a limit") as u64;
            assert!(stats.peak_host_bytes <= limit, "{sql}: {}", stats.peak_host_bytes);
            spilled += stats.spilled_bytes;
            others.push(done.fetch_add(1, Ordering::SeqCst) - before);
        }
    }
    assert!(spilled > 0, "the limit is not too small");
    others
}

async fn two_sessions(devices: [&str; 2]) {
    let temp = folder();
    let done = Arc::new(AtomicUsize::new(0));
    let mut running = Vec::new();
    let mut sessions = Vec::new();
    for (device, (sizes, bytes)) in
        devices.into_iter().zip([(SIZES, 5 << 20), ([100_000, 120_000], LIMIT)])
    {
        let options = SessionOptions {
            temp_dir: Some(temp.path().to_path_buf()),
            device_memory: Some(8 << 20),
            ..within(bytes)
        };
        let one = session(device, sizes, options);
        let all = Arc::new(expected(sizes).await);
        sessions.push(one.clone());
        running.push(tokio::spawn(beside(one, all, Arc::clone(&done))));
    }
    // Names of one are not the other's.
    let small = sessions[1].sql("select 7 as seven").await.expect("a query");
    sessions[1].register("only_here", &small).expect("a name");
    assert_eq!(collect(&sessions[1], "select * from only_here").await.expect("rows"), ["7"]);
    let error = sessions[0].sql("select * from only_here").await.expect_err("another's table");
    assert!(matches!(error, FrameError::UnknownTable { .. }), "{error}");
    // Neither waits for the other to end: while one ran, the other's queries ended too.
    let mut both = 0;
    for task in running {
        let others = task.await.expect("a session that ends");
        both += usize::from(others.iter().any(|n| *n > 0));
    }
    assert!(both > 0, "the sessions ran one after the other");
    drop((small, sessions));
    no_file_is_left(&temp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_keep_to_their_limits() {
    two_sessions(["cpu", "cpu"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_on_one_device_keep_to_their_limits() {
    two_sessions(["cuda-emulated:0", "cuda-emulated:0"]).await;
}

/// Changes a bit of some file of spilled rows, or cuts it; whether there was one.
fn damage(temp: &Path, random: &mut Random) -> bool {
    let folders = fs::read_dir(temp).into_iter().flatten().flatten();
    let files = folders.filter_map(|f| fs::read_dir(f.path()).ok()).flatten().flatten();
    let large = |path: &std::path::PathBuf| fs::metadata(path).is_ok_and(|m| m.len() > 200);
    let files: Vec<_> = files.map(|f| f.path()).filter(large).collect();
    if files.is_empty() {
        return false;
    }
    let path = &files[random.below(files.len() as u64) as usize];
    let Ok(mut file) = fs::OpenOptions::new().read(true).write(true).open(path) else {
        return false;
    };
    let Ok(len) = file.metadata().map(|m| m.len()) else { return false };
    if random.below(3) == 0 {
        return file.set_len(random.below(len.max(1))).is_ok();
    }
    let at = random.below(len.max(1));
    let mut byte = [0];
    let flipped = file
        .seek(SeekFrom::Start(at))
        .and_then(|_| file.read_exact(&mut byte))
        .and_then(|()| file.seek(SeekFrom::Start(at)))
        .and_then(|_| file.write_all(&[byte[0] ^ (1 << random.below(8))]));
    flipped.is_ok()
}

/// Queries while their files are damaged; how many failed.
async fn damaged(queries: usize, seed: u64) -> usize {
    let sizes = SIZES;
    let all = expected(sizes).await;
    let temp = folder();
    let options = SessionOptions { temp_dir: Some(temp.path().to_path_buf()), ..within(LIMIT) };
    let session = session("cpu", sizes, options);
    let mut failed = 0;
    for n in 0..queries {
        let (sql, expected) = &all[n % all.len()];
        let stop = Arc::new(AtomicBool::new(false));
        let (path, own) = (temp.path().to_path_buf(), Arc::clone(&stop));
        let mut random = Random(seed + n as u64);
        // One file or a few, at some time.
        let (mut left, pause) = (1 + random.below(3), random.below(2000));
        let vandal = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(pause));
            while left > 0 && !own.load(Ordering::Relaxed) {
                left -= u64::from(damage(&path, &mut random));
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        match collect(&session, sql).await {
            Ok(got) => assert!(got == *expected, "{sql} gave other rows from a damaged file"),
            Err(e) => {
                let text = e.to_string();
                let clear = ["damaged", "cut", "changed", "ends"].iter().any(|w| text.contains(w));
                assert!(clear && text.contains(temp.path().to_str().expect("a path")), "{text}");
                failed += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        vandal.join().expect("a thread that ends");
    }
    drop(session);
    no_file_is_left(&temp).await;
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_change_under_a_reader_are_told() {
    assert!(damaged(40, 1).await > 0);
}

/// Queries that are stopped at some time, from their plan to their last row; how many were.
async fn stopped(device: &str, queries: usize) -> usize {
    let sizes = SIZES;
    let all = expected(sizes).await;
    let temp = folder();
    let options = SessionOptions { temp_dir: Some(temp.path().to_path_buf()), ..within(LIMIT) };
    let session = session(device, sizes, options);
    let mut random = Random(3);
    let mut stopped = 0;
    for n in 0..queries {
        let (sql, expected) = &all[n % all.len()];
        let options = RunOptions::default();
        let (token, after) = (options.cancel.clone(), random.below(150_000));
        let stop = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(after)).await;
            token.cancel();
        });
        let statement = session.statements(sql).expect("a statement").remove(0);
        let run = tokio::time::timeout(HANGS, session.run(&statement, &options)).await;
        match run.unwrap_or_else(|_| panic!("{sql} hangs when it is stopped")) {
            Ok(windlass::Outcome::Rows { batches, .. }) => {
                let mut got = rows(&batches);
                got.sort_unstable();
                assert!(got == *expected, "{sql}");
            }
            Ok(other) => panic!("{sql} gave {other:?}"),
            Err(FrameError::Cancelled) => stopped += 1,
            Err(e) => panic!("{sql}, stopped after {after} us: {e}"),
        }
        stop.abort();
    }
    // What was stopped ends by itself, and gives its memory back.
    let began = std::time::Instant::now();
    loop {
        let devices = session.devices().opened();
        let on_devices: usize = devices.iter().map(|d| d.pool().stats().in_use).sum();
        let held = on_devices + session.context().runtime_env().memory_pool.reserved();
        if held == 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{held} bytes are held");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(session);
    no_file_is_left(&temp).await;
    stopped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_that_are_stopped_leave_nothing() {
    assert!(stopped("cpu", 40).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_that_are_stopped_on_a_device_leave_nothing() {
    assert!(stopped("cuda-emulated:0", 20).await > 0);
}

/// Queries with little room on disk; how many failed for want of it.
async fn full(queries: usize) -> usize {
    let sizes = SIZES;
    let all = expected(sizes).await;
    let temp = folder();
    let mut random = Random(11);
    let mut failed = 0;
    for n in 0..queries {
        let (sql, expected) = &all[n % all.len()];
        let options = SessionOptions {
            temp_dir: Some(temp.path().to_path_buf()),
            temp_limit: Some(1 + random.below(12 << 20)),
            ..within(LIMIT)
        };
        let session = session("cpu", sizes, options);
        match collect(&session, sql).await {
            Ok(got) => assert!(got == *expected, "{sql}"),
            Err(e) => {
                assert!(e.to_string().contains("--temp-limit"), "{sql}: {e}");
                failed += 1;
            }
        }
        drop(session);
        no_file_is_left(&temp).await;
    }
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_or_does_not_matter() {
    assert!(full(20).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a thousand queries take tens of minutes"]
async fn a_thousand_queries_among_faults() {
    assert!(damaged(400, 1000).await > 50);
    assert!(stopped("cpu", 250).await > 30);
    assert!(stopped("cuda-emulated:0", 150).await > 20);
    assert!(full(200).await > 20);
}
