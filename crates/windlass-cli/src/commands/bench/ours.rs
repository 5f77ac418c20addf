//! Our engine in this process: timed runs of one question.

use std::{fs::File, io::BufWriter, path::Path, time::Instant};

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError, ipc::writer::FileWriter};
use windlass::{JobStats, Session};

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
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Ran {
    /// Rows of the result.
    pub(crate) fn rows(&self) -> u64 {
        self.batches.iter().map(|b| b.num_rows() as u64).sum()
    }

    /// Writes the rows as an Arrow IPC file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let fail = |e: &dyn std::error::Error| {
            Error::caused(format!("cannot write {}", path.display()), e)
        };
        let file = File::create(path).map_err(|e| fail(&e))?;
        let write = || -> Result<(), ArrowError> {
            let mut writer = FileWriter::try_new(BufWriter::new(file), &self.schema)?;
            self.batches.iter().try_for_each(|b| writer.write(b))?;
            writer.finish()
        };
        write().map_err(|e| fail(&e))
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

/// Runs a question.
///
/// # Errors
/// Those of the query, and [`Error::Interrupted`].
pub(crate) fn run(engine: &Engine, question: &Question, runs: u32) -> Result<Ran> {
    reset_peak();
    let (mut seconds, mut cpu_seconds) = (Vec::new(), Vec::new());
    let (mut schema, mut batches) = (None, Vec::new());
    for _ in 0..runs {
        // The rows of the run before are not part of this one's memory.
        batches.clear();
        let (session, sql) = (engine.session().clone(), question.sql.clone());
        let (began, cpu) = (Instant::now(), processor_seconds());
        let running = metrics::begin();
        let (s, b) = engine.wait(on_a_worker(session, sql), None)?;
        seconds.push(began.elapsed().as_secs_f64());
        let stats = engine.session().last_stats().unwrap_or_default();
        running.end(&stats, began.elapsed().as_secs_f64(), false);
        cpu_seconds.extend(cpu.zip(processor_seconds()).map(|(from, to)| to - from));
        (schema, batches) = (Some(s), b);
    }
    let schema = schema.ok_or_else(|| Error::usage("--runs 0 runs nothing", "give 1 or more"))?;
    let stats = engine.session().last_stats().unwrap_or_default();
    let peak_bytes = peak_resident_bytes();
    Ok(Ran { seconds, cpu_seconds, peak_bytes, stats, schema, batches })
}

/// On a thread of the runtime, as the other commands run queries.
async fn on_a_worker(
    session: Session,
    sql: String,
) -> windlass::Result<(SchemaRef, Vec<RecordBatch>)> {
    let work = async move {
        let frame = session.sql(&sql).await?;
        Ok((frame.schema(), frame.collect().await?))
    };
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
