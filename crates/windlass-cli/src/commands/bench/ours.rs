//! Our engine in this process: timed runs of one question.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError, ipc::writer::FileWriter};
use parking_lot::Mutex;
use windlass::{JobStats, RowSink, RunOptions, Session};

use crate::{
    commands::bench::suite::{Question, Suite},
    engine::Engine,
    error::{Error, Result},
    metrics,
    record::{peak_resident_bytes, processor_seconds},
};

/// What the runs of a question gave.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Wall time of each run: parsing, planning, and rows complete in memory.
    pub(crate) seconds: Vec<f64>,
    /// CPU time of the process during each, where the system tells.
    pub(crate) cpu_seconds: Vec<f64>,
    /// Peak resident memory of the process during them, where the system tells.
    pub(crate) peak_bytes: Option<u64>,
    /// The figures of the last run.
    pub(crate) stats: JobStats,
    /// Rows of the result.
    pub(crate) rows: u64,
    /// The rows, where they were kept.
    kept: Option<(SchemaRef, Vec<RecordBatch>)>,
}

impl Ran {
    /// Writes the rows as an Arrow IPC file, if they are not there already.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let Some((schema, batches)) = &self.kept else { return Ok(()) };
        let file = ResultFile::new(path);
        let go_on = file.begin(schema) && batches.iter().all(|b| file.rows(b));
        debug_assert!(go_on || file.state.lock().is_err(), "nothing else stops it");
        file.finish()
    }
}

/// Rows that go to an Arrow IPC file as they come.
struct ResultFile {
    path: PathBuf,
    state: Mutex<Result<Option<FileWriter<BufWriter<File>>>, ArrowError>>,
    rows: AtomicU64,
}

impl ResultFile {
    fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), state: Mutex::new(Ok(None)), rows: AtomicU64::new(0) }
    }

    /// Goes on with the file, unless that failed before.
    fn go_on(
        &self,
        work: impl FnOnce(
            Option<FileWriter<BufWriter<File>>>,
        ) -> Result<Option<FileWriter<BufWriter<File>>>, ArrowError>,
    ) -> bool {
        let mut state = self.state.lock();
        let Ok(writer) = &mut *state else { return false };
        *state = work(writer.take());
        state.is_ok()
    }

    /// # Errors
    /// A file that could not be written.
    fn finish(&self) -> Result<()> {
        let whole = self.go_on(|writer| {
            writer.map(|mut w| w.finish()).transpose()?;
            Ok(None)
        });
        match (whole, &*self.state.lock()) {
            (false, Err(e)) => {
                Err(Error::caused(format!("cannot write {}", self.path.display()), e))
            }
            _ => Ok(()),
        }
    }
}

impl RowSink for ResultFile {
    fn begin(&self, schema: &SchemaRef) -> bool {
        self.go_on(|_| {
            let file = BufWriter::new(File::create(&self.path)?);
            Ok(Some(FileWriter::try_new(file, schema)?))
        })
    }

    fn rows(&self, batch: &RecordBatch) -> bool {
        self.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        self.go_on(|mut writer| {
            if let Some(writer) = &mut writer {
                writer.write(batch)?;
            }
            Ok(writer)
        })
    }
}

/// Names the suite's tables.
///
/// # Errors
/// A file that is missing or broken.
pub(crate) fn register(engine: &Engine, suite: Suite, folder: &Path) -> Result<()> {
    let tables: Vec<_> = suite
        .tables()
        .iter()
        .map(|name| crate::args::NamedPath {
            name: (*name).to_string(),
            path: folder.join(format!("{name}.parquet")).to_string_lossy().into_owned(),
        })
        .collect();
    engine.register(&tables)
}

/// Runs a question. Its rows are kept; under a memory limit they go to the file at `path`
/// instead, as they come, since the limit is not for them.
///
/// # Errors
/// Those of the query, and [`Error::Interrupted`].
pub(crate) fn run(engine: &Engine, question: &Question, runs: u32, path: &Path) -> Result<Ran> {
    reset_peak();
    let (mut seconds, mut cpu_seconds) = (Vec::new(), Vec::new());
    let (mut kept, mut rows) = (None, 0);
    let limited = engine.session().options().memory.is_some();
    for _ in 0..runs {
        // The rows of the run before are not part of this one's memory.
        kept = None;
        let (session, sql) = (engine.session().clone(), question.sql.clone());
        let (began, cpu) = (Instant::now(), processor_seconds());
        let running = metrics::begin();
        if limited {
            let file = Arc::new(ResultFile::new(path));
            let to = Arc::clone(&file);
            let done = engine.wait(on_a_worker(to_file(session, sql, to)), None);
            file.finish()?;
            done?;
            rows = file.rows.load(Ordering::Relaxed);
        } else {
            let (schema, batches) = engine.wait(on_a_worker(collected(session, sql)), None)?;
            rows = batches.iter().map(|b| b.num_rows() as u64).sum();
            kept = Some((schema, batches));
        }
        seconds.push(began.elapsed().as_secs_f64());
        let stats = engine.session().last_stats().unwrap_or_default();
        running.end(&stats, began.elapsed().as_secs_f64(), false);
        cpu_seconds.extend(cpu.zip(processor_seconds()).map(|(from, to)| to - from));
    }
    if runs == 0 {
        return Err(Error::usage("--runs 0 runs nothing", "give 1 or more"));
    }
    let stats = engine.session().last_stats().unwrap_or_default();
    let peak_bytes = peak_resident_bytes();
    Ok(Ran { seconds, cpu_seconds, peak_bytes, stats, rows, kept })
}

async fn collected(
    session: Session,
    sql: String,
) -> windlass::Result<(SchemaRef, Vec<RecordBatch>)> {
    let frame = session.sql(&sql).await?;
    Ok((frame.schema(), frame.collect().await?))
}

async fn to_file(session: Session, sql: String, file: Arc<ResultFile>) -> windlass::Result<()> {
    for statement in session.statements(&sql)? {
        let run = RunOptions { rows: Some(Arc::clone(&file) as _), ..Default::default() };
        session.run(&statement, &run).await?;
    }
    Ok(())
}

/// On a thread of the runtime, as the other commands run queries.
async fn on_a_worker<T: Send + 'static>(
    work: impl Future<Output = windlass::Result<T>> + Send + 'static,
) -> windlass::Result<T> {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|e| Err(windlass::FrameError::Execution(format!("a bug in windlass: {e}"))))
}

/// Makes Linux count the peak of resident memory from now on (proc(5), clear_refs). Where
/// that is refused, the peak is that of the process so far.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_cpu_runs_while_we_compute() {
        let from = processor_seconds().unwrap();
        let began = Instant::now();
        while began.elapsed().as_millis() < 20 {
            std::hint::spin_loop();
        }
        assert!(processor_seconds().unwrap() > from);
    }
}
