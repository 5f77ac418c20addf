//! The one place where queries run: physical planning, execution, cancelling, progress,
//! figures, and the second run on the CPU when a device fails.
//!
//! The futures are boxed here, so that the engine below them is compiled with this crate
//! and not again with each that calls it.

use std::{path::PathBuf, sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, RecordBatch, UInt64Array},
    datatypes::SchemaRef,
};
use datafusion::{
    error::DataFusionError,
    execution::{SendableRecordBatchStream, SessionState},
    logical_expr::{DdlStatement, LogicalPlan},
    physical_plan::{ExecutionPlan, displayable, execute_stream},
};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};

use crate::{
    error::{
        FrameError, Result, device_failure, lost_device, out_of_device_memory, out_of_host_memory,
    },
    nodes::keeps_rows,
    progress::Watch,
    read::diagnose,
    session::Session,
    statement::{Outcome, RunOptions, Statement},
    stats::{JobStats, RowSink, give_reasons, operators},
    write::{self, Written},
};

/// A plan that was started.
pub(crate) struct Started {
    pub(crate) physical: Arc<dyn ExecutionPlan>,
    pub(crate) stream: SendableRecordBatchStream,
}

/// What runs a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The devices, and DataFusion's operators on the host.
    Devices,
    /// The same, with the rows between operators on the host: an operator goes on in parts
    /// where a device's memory ends.
    Apart,
    /// DataFusion's operators on the host.
    Host,
    /// Those that need little memory, which are slower: joins sort and merge.
    Frugal,
}

/// Plans and starts a query. Every execution of a plan in this crate comes through here.
///
/// # Errors
/// DataFusion's, so that the caller can look for a device's failure below it.
pub(crate) fn start<'a>(
    session: &'a Session,
    plan: &'a LogicalPlan,
    engine: Engine,
) -> BoxFuture<'a, Result<Started, DataFusionError>> {
    async move { start_with(&session.state(engine), plan).await }.boxed()
}

async fn start_with(state: &SessionState, plan: &LogicalPlan) -> Result<Started, DataFusionError> {
    let physical = state.create_physical_plan(plan).await?;
    let stream = execute_stream(Arc::clone(&physical), state.task_ctx())?;
    Ok(Started { physical, stream })
}

/// Attempts to run a query, of which no row was passed on.
#[derive(Debug)]
pub(crate) struct Attempts {
    pub(crate) engine: Engine,
    /// Times that a device was lost.
    losses: usize,
    /// Why there was more than one, and what ran the query then.
    pub(crate) reason: Option<String>,
}

impl Attempts {
    /// The first.
    pub(crate) fn new() -> Self {
        Self { engine: Engine::Devices, losses: 0, reason: None }
    }

    /// Whether there is another one after an error.
    pub(crate) fn again(
        &mut self,
        session: &Session,
        plan: Option<&Arc<dyn ExecutionPlan>>,
        error: &DataFusionError,
    ) -> bool {
        let Some((next, on, reason)) = self.otherwise(session, plan, error) else { return false };
        tracing::warn!(%reason, "the query runs again on {on}");
        self.engine = next;
        let before =
            self.reason.take().map(|before| format!("{before}; then ")).unwrap_or_default();
        self.reason = Some(format!("{before}{reason}; the query ran again on {on}"));
        true
    }

    /// What runs the query after an error, in words too, and why.
    fn otherwise(
        &mut self,
        session: &Session,
        plan: Option<&Arc<dyn ExecutionPlan>>,
        error: &DataFusionError,
    ) -> Option<(Engine, &'static str, String)> {
        if let (Some(_), Some(reason)) = (session.options().memory, out_of_host_memory(error)) {
            let on = "the CPU with operators that need less memory";
            return (self.engine != Engine::Frugal).then_some((Engine::Frugal, on, reason));
        }
        let on_devices = matches!(self.engine, Engine::Devices | Engine::Apart);
        let reason = device_failure(error).filter(|_| on_devices)?;
        if self.engine == Engine::Devices
            && out_of_device_memory(error)
            && plan.is_some_and(keeps_rows)
        {
            let on = "the devices with the rows between operators on the host";
            return Some((Engine::Apart, on, reason));
        }
        // A device that was lost is planned with no more.
        let used = session.devices().inventory().usable().unwrap_or_default();
        let others = used.iter().filter(|d| d.info().name.backend() != HOST).count();
        let opened = session.devices().opened().len();
        if lost_device(error) && others > 0 && self.losses < opened {
            self.losses += 1;
            return Some((self.engine, "other devices", reason));
        }
        Some((Engine::Host, "the CPU", reason))
    }
}

/// All rows of a query on the CPU under settings of its own, without figures.
///
/// # Errors
/// Any [`FrameError`].
pub(crate) async fn with_state(
    state: &SessionState,
    plan: &LogicalPlan,
    run: &RunOptions,
) -> Result<Vec<RecordBatch>> {
    let work = async {
        let Started { stream, .. } = start_with(state, plan).await?;
        stream.try_collect().await
    };
    tokio::select! {
        biased;
        () = run.cancel.cancelled() => Err(FrameError::Cancelled),
        batches = work => batches.map_err(FrameError::from),
    }
}

/// The rows of a finished query.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

/// The figures that are kept while a query runs, and its end.
struct Job<'a> {
    session: &'a Session,
    run: &'a RunOptions,
    began: Instant,
    bytes_before: u64,
    spilled_before: u64,
    rows: u64,
    /// Takes the rows, if the caller wants them as they come.
    sink: Option<Arc<dyn RowSink>>,
    /// Whether the sink has seen anything: then the query cannot start over.
    begun: bool,
    /// The plan of the last attempt.
    physical: Option<Arc<dyn ExecutionPlan>>,
}

impl<'a> Job<'a> {
    fn new(session: &'a Session, run: &'a RunOptions, sink: Option<Arc<dyn RowSink>>) -> Self {
        session.pool().reset_peak();
        Self {
            session,
            run,
            began: Instant::now(),
            bytes_before: session.bytes_read(),
            spilled_before: session.bytes_spilled(),
            rows: 0,
            sink,
            begun: false,
            physical: None,
        }
    }

    /// Whether every device that may work for the query is the host: then nothing but an
    /// error of the query itself can stop it, and rows need not wait for its end.
    fn only_host(&self) -> bool {
        self.session.devices().opened().iter().all(|d| d.info().name.backend() == HOST)
    }

    /// Passes rows on.
    ///
    /// # Errors
    /// [`FrameError::Cancelled`] when the sink wants no more.
    fn pass(&mut self, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<()> {
        let Some(sink) = &self.sink else { return Ok(()) };
        let go_on = self.begun || sink.begin(schema);
        self.begun = true;
        match go_on && batches.iter().all(|b| sink.rows(b)) {
            true => Ok(()),
            false => Err(FrameError::Cancelled),
        }
    }

    /// One attempt.
    async fn attempt(
        &mut self,
        plan: &LogicalPlan,
        engine: Engine,
    ) -> Result<(Arc<dyn ExecutionPlan>, Finished), DataFusionError> {
        self.rows = 0;
        let Started { physical, mut stream } = start(self.session, plan, engine).await?;
        self.physical = Some(Arc::clone(&physical));
        let schema = stream.schema();
        let direct = self.sink.is_some() && self.only_host();
        let mut batches = Vec::new();
        let watch = self.run.progress.as_ref().map(|sink| {
            let sink = Arc::clone(sink);
            Watch::new(sink, self.session, &physical, self.began, self.bytes_before)
        });
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            self.rows += batch.num_rows() as u64;
            if let Some(watch) = &watch {
                watch.set_rows(self.rows);
            }
            if direct {
                self.pass(&schema, &[batch])?;
            } else {
                batches.push(batch);
            }
        }
        if let Some(watch) = watch {
            watch.finish();
        }
        if self.sink.is_some() {
            self.pass(&schema, &std::mem::take(&mut batches))?;
        }
        Ok((physical, Finished { schema, batches }))
    }

    /// Runs to the end; again on the CPU when a device fails, and again with operators that need
    /// less memory where the limit was too low for the others. The figures are kept either way.
    async fn finish(&mut self, plan: &LogicalPlan) -> Result<Finished> {
        let cancel = self.run.cancel.clone();
        let mut attempts = Attempts::new();
        let error = loop {
            let attempt = tokio::select! {
                biased;
                () = cancel.cancelled() => break FrameError::Cancelled,
                attempt = self.attempt(plan, attempts.engine) => attempt,
            };
            match attempt {
                Ok((physical, finished)) => {
                    // A write returns one row, with the rows that it wrote.
                    let rows = match plan {
                        LogicalPlan::Copy(_) | LogicalPlan::Dml(_) => {
                            write::count(&finished.batches)
                        }
                        _ => self.rows,
                    };
                    self.record(&physical, rows, attempts);
                    self.session.sweep();
                    return Ok(finished);
                }
                Err(e)
                    if !self.begun && attempts.again(self.session, self.physical.as_ref(), &e) => {}
                Err(e) => break diagnose::explain(self.session, plan, e).await,
            }
        };
        if let Some(physical) = &self.physical {
            self.record(physical, self.rows, attempts);
        }
        Err(error)
    }

    fn record(&self, physical: &Arc<dyn ExecutionPlan>, rows: u64, attempts: Attempts) {
        let Attempts { engine, reason: fallback, .. } = attempts;
        let mut operators = operators(physical);
        let decisions =
            self.session.placement().decisions(physical).map(|d| d.to_vec()).unwrap_or_default();
        give_reasons(&mut operators, &decisions);
        let on_host = matches!(engine, Engine::Host | Engine::Frugal);
        if let Some(reason) = fallback.as_ref().filter(|_| on_host) {
            for row in &mut operators {
                row.reason.clone_from(reason);
            }
        }
        let devices = self.session.devices().opened();
        let on_devices = devices.iter().filter(|d| d.info().name.backend() != HOST);
        let peak_device_bytes = on_devices.map(|d| d.pool().stats().peak as u64).sum();
        self.session.set_stats(JobStats {
            seconds: self.began.elapsed().as_secs_f64(),
            rows,
            bytes_read: self.session.bytes_read() - self.bytes_before,
            peak_host_bytes: self.session.pool().peak() as u64,
            peak_device_bytes,
            spilled_bytes: self.session.bytes_spilled() - self.spilled_before,
            fallback,
            operators,
            decisions,
            plan: displayable(physical.as_ref()).indent(false).to_string(),
        });
    }
}

const HOST: windlass_device::Backend = windlass_device::Backend::Cpu;

/// All rows of a query. A `COPY`, or an `INSERT` into a table over files, is a write of
/// ours, whole or absent, and returns one row: the number of rows written.
///
/// # Errors
/// Any [`FrameError`].
pub(crate) fn collect<'a>(
    session: &'a Session,
    plan: &'a LogicalPlan,
    run: &'a RunOptions,
) -> BoxFuture<'a, Result<Finished>> {
    async move {
        match written(session, plan, run).await? {
            Some(written) => {
                let rows: ArrayRef = Arc::new(UInt64Array::from(vec![written.rows]));
                let batch = RecordBatch::try_from_iter([("count", rows)])?;
                Ok(Finished { schema: batch.schema(), batches: vec![batch] })
            }
            None => engine(session, plan, run).await,
        }
    }
    .boxed()
}

/// What a plan wrote; `None` for one that does not write files.
async fn written(
    session: &Session,
    plan: &LogicalPlan,
    run: &RunOptions,
) -> Result<Option<Written>> {
    match plan {
        LogicalPlan::Copy(copy) => write::run_copy(session, copy.clone(), run).await.map(Some),
        LogicalPlan::Dml(dml) => write::run_insert(session, dml, run).await,
        _ => Ok(None),
    }
}

/// All rows of a plan as the engine runs it.
///
/// # Errors
/// Any [`FrameError`].
pub(crate) fn engine<'a>(
    session: &'a Session,
    plan: &'a LogicalPlan,
    run: &'a RunOptions,
) -> BoxFuture<'a, Result<Finished>> {
    async move { Job::new(session, run, None).finish(plan).await }.boxed()
}

/// The rows of a query, to the caller's sink where it has one.
///
/// # Errors
/// Any [`FrameError`].
async fn deliver(session: &Session, plan: &LogicalPlan, run: &RunOptions) -> Result<Finished> {
    Job::new(session, run, run.rows.clone()).finish(plan).await
}

/// Runs one statement.
///
/// # Errors
/// Any [`FrameError`].
pub(crate) fn statement<'a>(
    session: &'a Session,
    statement: &'a Statement,
    run: &'a RunOptions,
) -> BoxFuture<'a, Result<Outcome>> {
    run_statement(session, statement, run).boxed()
}

async fn run_statement(
    session: &Session,
    statement: &Statement,
    run: &RunOptions,
) -> Result<Outcome> {
    let began = Instant::now();
    let cancel = run.cancel.clone();
    session.clear_stats();
    let plan = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(FrameError::Cancelled),
        plan = session.plan(statement) => plan?,
    };
    match plan {
        LogicalPlan::Copy(_) | LogicalPlan::Dml(_) => {
            let path = PathBuf::from(target(&plan));
            let Written { rows, files, bytes } = match written(session, &plan, run).await? {
                Some(written) => written,
                None => {
                    let Finished { batches, .. } = engine(session, &plan, run).await?;
                    Written { rows: write::count(&batches), files: 0, bytes: 0 }
                }
            };
            Ok(Outcome::Written { rows, files, bytes, path })
        }
        LogicalPlan::Ddl(_) | LogicalPlan::Statement(_) => {
            let message = message(&plan);
            let left = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(FrameError::Cancelled),
                left = session.define(plan, run) => left?,
            };
            if !left.schema().fields().is_empty() {
                // EXECUTE of a prepared query gives rows.
                let Finished { schema, batches } = deliver(session, &left, run).await?;
                return Ok(Outcome::Rows { schema, batches });
            }
            // Where a query filled a table, its figures are there.
            if session.last_stats().is_none() {
                let seconds = began.elapsed().as_secs_f64();
                session.set_stats(JobStats { seconds, ..Default::default() });
            }
            Ok(Outcome::Done { message })
        }
        plan => {
            let Finished { schema, batches } = deliver(session, &plan, run).await?;
            Ok(Outcome::Rows { schema, batches })
        }
    }
}

/// What a plan writes to, as the statement names it.
fn target(plan: &LogicalPlan) -> String {
    match plan {
        LogicalPlan::Copy(copy) => copy.output_url.clone(),
        LogicalPlan::Dml(dml) => dml.table_name.to_string(),
        _ => String::new(),
    }
}

/// What a definition did, in one line.
fn message(plan: &LogicalPlan) -> String {
    match plan {
        LogicalPlan::Ddl(DdlStatement::CreateExternalTable(t)) => {
            format!("table {} created", t.name)
        }
        LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(t)) => format!("table {} created", t.name),
        LogicalPlan::Ddl(DdlStatement::CreateView(v)) => format!("view {} created", v.name),
        LogicalPlan::Ddl(DdlStatement::DropTable(t)) => format!("table {} dropped", t.name),
        LogicalPlan::Ddl(DdlStatement::DropView(v)) => format!("view {} dropped", v.name),
        LogicalPlan::Statement(s) => format!("{} done", s.name()),
        _ => "done".to_string(),
    }
}
