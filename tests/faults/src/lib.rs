//! What the tests of faults share: files of rows, sessions on failing devices, one run of a
//! query with its checks.

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use windlass::{
    DeviceOptions, JobStats, RunOptions, Session, SessionOptions,
    arrow::{array::RecordBatch, util::display::array_value_to_string},
    device::fault::FaultPlan,
};

/// Longest time that a query may take; past it, it hangs. A guess: a hundred times what the
/// slowest takes on two cores.
const HANGS: Duration = Duration::from_secs(120);

/// Longest time after a query in which the memory of uploads under way becomes free.
const SETTLES: Duration = Duration::from_secs(10);

/// CSV files with a column of each kind, nulls in most, the same at every call.
#[derive(Debug)]
pub struct Data {
    folder: tempfile::TempDir,
}

impl Data {
    /// Table `x`: three files; table `one`: a file of `rows` rows.
    ///
    /// # Panics
    /// When the folder for temporary files cannot be written.
    pub fn new(rows: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        fs::create_dir(folder.path().join("x")).expect("a folder");
        for part in 0..3 {
            let path = folder.path().join("x").join(format!("{part}.csv"));
            fs::write(path, text(2000 + part * 100, part as u64)).expect("a file");
        }
        fs::write(folder.path().join("one.csv"), text(rows, 9)).expect("a file");
        Self { folder }
    }

    /// A new session with both tables, three partitions a query.
    ///
    /// # Panics
    /// When the files cannot be read.
    pub async fn session(&self, device: &str, options: SessionOptions) -> Session {
        let devices = device.parse().expect("a device");
        let options = SessionOptions { devices, target_partitions: Some(3), ..options };
        let session = Session::with_options(options).expect("a session");
        for (name, path) in [("x", "x"), ("one", "one.csv")] {
            let path = self.folder.path().join(path);
            let frame = session.read(path.to_str().expect("a path")).await.expect("a table");
            session.register(name, &frame).expect("a name");
        }
        // Joins leave their rows in several partitions, as with large tables.
        for setting in ["threshold", "threshold_rows"] {
            let name = format!("datafusion.optimizer.hash_join_single_partition_{setting}");
            session.sql(&format!("set {name} = 0")).await.expect("a setting");
        }
        session
    }

    /// A session whose devices fail as planned.
    pub async fn failing(&self, device: &str, faults: FaultPlan) -> Session {
        let device_options = DeviceOptions { faults, ..DeviceOptions::default() };
        let options = SessionOptions { device: device_options, ..SessionOptions::default() };
        self.session(device, options).await
    }

    /// Where a test may write.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Rows as CSV. Floats are multiples of 1/4, so that their sums are exact in any order.
fn text(rows: usize, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |n: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let words = ["alpha", "beta", "gamma", "delta", "epsilon"];
    let mut out = String::from("id,k,a,b,g,s,t\n");
    for row in 0..rows {
        let id = seed as usize * 1_000_000 + row;
        let null = [below(9) == 0, below(7) == 0, below(8) == 0];
        let cell = |i: usize, value: String| if null[i] { String::new() } else { value };
        let k = cell(0, (below(12) as i64 - 3).to_string());
        let a = cell(1, (below(2000) as i64 - 1000).to_string());
        let b = cell(2, format!("{:.2}", below(8000) as f64 / 4.0 - 900.0));
        let g = words.get(below(6) as usize).copied().unwrap_or_default();
        let s = below(300);
        let (year, month, day) = (1990 + below(30), 1 + below(12), 1 + below(28));
        writeln!(out, "{id},{k},{a},{b},{g},s{s},{year}-{month:02}-{day:02}")
            .expect("a string takes all");
    }
    out
}

/// The rows of batches as text, sorted.
///
/// # Panics
/// For a type without a text form.
pub fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let mut out = in_order(batches);
    out.sort();
    out
}

/// The rows of batches as text, as they came.
///
/// # Panics
/// For a type without a text form.
pub fn in_order(batches: &[RecordBatch]) -> Vec<String> {
    let mut out = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let value = |c| array_value_to_string(batch.column(c), row).expect("a value");
            out.push((0..batch.num_columns()).map(value).collect::<Vec<_>>().join("|"));
        }
    }
    out
}

/// Runs a query to its end.
///
/// # Panics
/// When it hangs.
///
/// # Errors
/// The query's.
pub async fn run(session: &Session, sql: &str) -> windlass::Result<Vec<String>> {
    let query = async { session.sql(sql).await?.collect().await };
    let done = tokio::time::timeout(HANGS, query).await;
    Ok(rows(&done.unwrap_or_else(|_| panic!("{sql} hangs"))?))
}

/// What answered a fault in the last query, in the words of its stats: the CPU took over, or the
/// operator went on in parts; `None` when there was none.
pub fn took_over(stats: &JobStats) -> Option<String> {
    let words = ["the CPU took over", "and went on in parts", "was lost"];
    let tells = |r: &&String| words.iter().any(|w| r.contains(w));
    let of_operators = || stats.operators.iter().map(|o| &o.reason).find(tells).cloned();
    stats.fallback.clone().or_else(of_operators)
}

/// Checks that no device of a session has memory in use, nor the host's operators.
///
/// # Panics
/// When some is in use.
pub async fn nothing_leaks(session: &Session, what: &str) {
    let began = std::time::Instant::now();
    loop {
        let devices = session.devices().opened();
        let mut used: Vec<String> = devices
            .iter()
            .map(|d| (d.info().name.to_string(), d.pool().stats().in_use))
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(name, bytes)| format!("{bytes} bytes on {name}"))
            .collect();
        match session.context().runtime_env().memory_pool.reserved() {
            0 => {}
            bytes => used.push(format!("{bytes} bytes of operators")),
        }
        if used.is_empty() {
            return;
        }
        // An upload that was under way when its reader stopped ends by itself.
        assert!(began.elapsed() < SETTLES, "{what} leaks {}", used.join(", "));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs every statement of a text.
///
/// # Panics
/// When one fails.
pub async fn done(session: &Session, text: &str) {
    for statement in session.statements(text).expect("a statement") {
        session.run(&statement, &RunOptions::default()).await.expect(text);
    }
}

/// The plan of a query as one text.
///
/// # Panics
/// When there is none.
pub async fn plan(session: &Session, query: &str) -> String {
    run(session, &format!("explain {query}")).await.expect("a plan").join("\n")
}

/// What can run on the device runs there.
pub fn forced() -> SessionOptions {
    SessionOptions { force_device: true, ..Default::default() }
}
