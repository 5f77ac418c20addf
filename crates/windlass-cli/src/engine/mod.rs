//! A session with everything a command has around it: the runtime, interrupts, progress,
//! the record of what ran, and errors with their place in the job.

mod tell;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::datatypes::SchemaRef;
use tokio::runtime::Runtime;
use windlass::{
    DeviceOptions, DeviceSpec, FrameError, Outcome, RunOptions, Session, SessionOptions, Statement,
};

pub(crate) use self::tell::tell;

use crate::{
    args::{NamedPath, ReportArgs, SessionArgs, StatsFormat},
    error::{Error, Message, Result},
    interrupt::{Interrupt, Tokens},
    metrics,
    output::{Printer, write_file},
    progress,
    record::{RunRecord, StatementRecord, milliseconds_since_1970, processor_seconds},
    report,
    size::{format_bytes, format_count},
    trace,
    watch::Watch,
};

/// How long threads may take to end after the last statement. A guess: those that only
/// wait end at once, and nothing waits for those that compute.
const ENDING: Duration = Duration::from_millis(300);

/// Where a text of SQL came from, for messages.
#[derive(Debug, Clone)]
pub(crate) struct Source<'a> {
    /// The job's path; `None` for a query typed on the command line or in the shell.
    pub(crate) path: Option<&'a Path>,
    /// The whole text.
    pub(crate) text: &'a str,
}

/// A session and what is around it.
pub(crate) struct Engine {
    session: Session,
    interrupt: Arc<Interrupt>,
    quiet: bool,
    record: RunRecord,
    watch: Option<Watch>,
    // Last, so that it is dropped after all that runs on it.
    runtime: Runtime,
}

/// Stack of a worker: what it evaluates is as deep as a query's conditions are long, and 1,000
/// terms overflow the usual 2 MiB in a debug build.
const STACK: usize = 64 << 20;

/// What sort of command the engine serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Ctrl-C ends the command.
    Batch,
    /// Ctrl-C ends the statement.
    Interactive,
}

impl Engine {
    /// A session with the options of the command line. No device is opened.
    ///
    /// # Errors
    /// Those of the session.
    pub(crate) fn open(args: &SessionArgs, title: String, quiet: bool, mode: Mode) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .map_err(|e| Error::caused("cannot start threads", &e))?;
        let interrupt = Interrupt::install(mode == Mode::Batch)?;
        let session = {
            let _entered = runtime.enter();
            session(args)?
        };
        open_named(&session)?;
        metrics::watch_session(&session);
        let record = record(args, title);
        Ok(Self { session, interrupt, quiet, record, watch: None, runtime })
    }

    /// Records memory and what devices do from now on, for reports and traces.
    fn watch(&mut self) -> Result<()> {
        let watch = Watch::start(&self.session);
        self.watch = Some(watch.map_err(|e| Error::caused("cannot start a thread", &e))?);
        Ok(())
    }

    /// Starts over with a session of other options, and makes tables and definitions anew.
    /// On an error the old session stays.
    ///
    /// # Errors
    /// Those of the session, of the tables, and of the definitions.
    pub(crate) fn reopen(
        &mut self,
        args: &SessionArgs,
        tables: &[NamedPath],
        definitions: &[String],
    ) -> Result<()> {
        let new = {
            let _entered = self.runtime.enter();
            session(args)?
        };
        let old = std::mem::replace(&mut self.session, new);
        let r = self.define(tables, definitions);
        match &r {
            Ok(()) => {
                self.record.device = args.device.to_string();
                metrics::watch_session(&self.session);
                if let Some(watch) = self.watch.take() {
                    watch.finish(&old, &mut self.record);
                    self.watch()?;
                }
            }
            Err(_) => self.session = old,
        }
        r
    }

    fn define(&self, tables: &[NamedPath], definitions: &[String]) -> Result<()> {
        self.register(tables)?;
        for text in definitions {
            for statement in self.session.statements(text).map_err(|e| tell(e, None))? {
                let cancel = self.interrupt.fresh().cancel;
                let options = RunOptions { cancel, ..RunOptions::default() };
                self.block_on(self.session.run(&statement, &options)).map_err(|e| tell(e, None))?;
            }
        }
        open_named(&self.session)
    }

    /// The session.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// What ran so far.
    pub(crate) fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Runs a future to its end on the runtime.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Runs a future of the session, unless the user interrupts it.
    ///
    /// # Errors
    /// The future's own, and [`Error::Interrupted`].
    pub(crate) fn wait<T>(
        &self,
        future: impl Future<Output = windlass::Result<T>>,
        source: Option<&Source<'_>>,
    ) -> Result<T> {
        let cancel = self.interrupt.fresh().cancel;
        self.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Error::Interrupted),
                r = future => r.map_err(|e| tell(e, source)),
            }
        })
    }

    /// Names the tables of `--table`.
    ///
    /// # Errors
    /// A name given twice; a path that is missing or cannot be read.
    pub(crate) fn register(&self, tables: &[NamedPath]) -> Result<()> {
        for (i, t) in tables.iter().enumerate() {
            if let Some(before) = tables[..i].iter().find(|b| b.name == t.name) {
                return Err(Error::usage(
                    format!("--table names {} twice: {} and {}", t.name, before.path, t.path),
                    "give each its own name; several files of one table are a glob or a folder",
                ));
            }
        }
        for t in tables {
            let frame = self.wait(self.session.read(&t.path), None).map_err(|e| match e {
                Error::Failed(m) => {
                    Error::Failed(Message { what: format!("table {}: {}", t.name, m.what), ..m })
                }
                e => e,
            })?;
            self.session.register(&t.name, &frame).map_err(|e| tell(e, None))?;
        }
        Ok(())
    }

    /// The statements of a text.
    ///
    /// # Errors
    /// A syntax error with its place.
    pub(crate) fn statements(&self, source: &Source<'_>) -> Result<Vec<Statement>> {
        self.session.statements(source.text).map_err(|e| tell(e, Some(source)))
    }

    /// Runs one statement, prints its rows as they come, says what else it did, and keeps
    /// its figures.
    ///
    /// # Errors
    /// The statement's with its place in the source, those of printing, and
    /// [`Error::Interrupted`].
    pub(crate) fn run(
        &mut self,
        statement: &Statement,
        source: &Source<'_>,
        title: &str,
        printer: &mut Printer,
    ) -> Result<Outcome> {
        let line = progress::wanted(self.quiet, printer.streams_to_terminal())
            .then(|| Arc::new(progress::Line::new(title.to_string())));
        let tokens = self.interrupt.fresh();
        let rows = Arc::new(printer.rows(tokens.cancel.clone()));
        let options = RunOptions {
            cancel: tokens.cancel.clone(),
            progress: line.clone().map(|l| l as _),
            rows: Some(Arc::clone(&rows) as _),
        };
        let running = metrics::begin();
        let (began, cpu) = (Instant::now(), processor_seconds());
        let outcome = self.drive(statement, options, &tokens);
        if tokens.overdue.is_cancelled() {
            self.leave_behind();
        }
        if let Some(line) = line {
            line.clear();
        }
        let end = || -> Result<(Outcome, Option<u64>)> {
            // What failed in printing stopped the query, and is the better reason.
            rows.stopped()?;
            let outcome = outcome.map_err(|e| {
                // A statement left behind may hold on to its rows: its file must go now.
                rows.abandon();
                tell(e, Some(source)).at_statement(statement.position(), source)
            })?;
            Ok((outcome, rows.finish()?))
        };
        let result = end();
        let mut stats = self.session.last_stats().unwrap_or_default();
        match &result {
            Ok((_, Some(printed))) => {
                printer.count();
                stats.rows = *printed;
            }
            Ok((outcome, None)) => stats.rows = outcome.rows(),
            Err(_) => {}
        }
        let seconds = began.elapsed().as_secs_f64();
        running.end(&stats, seconds, result.is_err());
        self.record.seconds += seconds;
        self.record.statements.push(StatementRecord {
            text: statement.text().to_string(),
            line: statement.position().line,
            began_ms: milliseconds_since_1970() - seconds * 1e3,
            seconds,
            cpu_seconds: cpu.zip(processor_seconds()).map(|(from, to)| to - from),
            stats,
            error: result.as_ref().err().and_then(Error::text),
        });
        result.map(|(outcome, _)| outcome)
    }

    /// Runs a statement on a thread of the runtime, so that an operator that computes for
    /// long without a pause does not delay an interrupt.
    fn drive(
        &self,
        statement: &Statement,
        options: RunOptions,
        tokens: &Tokens,
    ) -> windlass::Result<Outcome> {
        let (session, statement) = (self.session.clone(), statement.clone());
        let task = self.runtime.spawn(async move { session.run(&statement, &options).await });
        let abort = task.abort_handle();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                r = task => r.unwrap_or_else(|e| {
                    Err(FrameError::Execution(format!("a bug in windlass: {e}")))
                }),
                () = tokens.overdue.cancelled() => {
                    abort.abort();
                    Err(FrameError::Cancelled)
                }
            }
        })
    }

    /// Goes on with new threads: a statement that did not stop may keep the old ones busy
    /// until it pauses, and what comes next would wait for it.
    fn leave_behind(&mut self) {
        if let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            std::mem::replace(&mut self.runtime, runtime).shutdown_background();
        }
    }

    /// Says what a statement without rows did, on standard error.
    pub(crate) fn say(&self, outcome: &Outcome) {
        if self.quiet {
            return;
        }
        let text = match outcome {
            Outcome::Rows { .. } => return,
            Outcome::Done { message } => message.clone(),
            Outcome::Written { rows, files, bytes, path } => {
                let s = |n: u64| if n == 1 { "" } else { "s" };
                let mut text = format!("wrote {} row{}", format_count(*rows), s(*rows));
                if *files > 0 {
                    text += &format!(
                        " in {} file{} ({})",
                        format_count(*files),
                        s(*files),
                        format_bytes(*bytes)
                    );
                }
                text + &format!(" to {}", path.display())
            }
        };
        note(&text);
    }

    /// The tables of the session with their columns.
    ///
    /// # Errors
    /// A table that cannot be looked at any more.
    pub(crate) fn tables(&self) -> Result<Vec<(String, SchemaRef)>> {
        let mut out = Vec::new();
        for name in self.session.table_names() {
            let schema = self
                .runtime
                .block_on(self.session.table_schema(&name))
                .map_err(|e| tell(e, None))?;
            out.push((name, schema));
        }
        Ok(out)
    }
}

/// Opens a session, does the work of a command in it, and writes what `--report`, `--trace`
/// and `--stats` ask for, whether the work came to its end or failed.
///
/// # Errors
/// Those of the session and of the work; a report that cannot be written.
pub(crate) fn with_engine(
    args: &SessionArgs,
    title: String,
    report: &ReportArgs,
    mode: Mode,
    work: impl FnOnce(&mut Engine) -> Result<()>,
) -> Result<()> {
    match Engine::open(args, title.clone(), report.quiet, mode) {
        Ok(mut engine) => {
            let watched = match report.report.is_some() || report.trace.is_some() {
                true => engine.watch(),
                false => Ok(()),
            };
            let result = watched.and_then(|()| work(&mut engine));
            if let Some(watch) = engine.watch.take() {
                watch.finish(&engine.session, &mut engine.record);
            }
            conclude(&mut engine.record, report, result)
        }
        Err(e) => conclude(&mut record(args, title), report, Err(e)),
    }
}

/// Writes the reports of a run that ended with `result`.
fn conclude(record: &mut RunRecord, args: &ReportArgs, result: Result<()>) -> Result<()> {
    record.error = result.as_ref().err().and_then(Error::text);
    let mut written = Ok(());
    if let Some(path) = &args.report {
        written = write_file(path, &report::page(record));
    }
    if let Some(path) = &args.trace {
        written = written.and(write_file(path, &trace::events(record).to_string()));
    }
    let Some(StatsFormat::Json) = args.stats else {
        return match (result, written) {
            (Ok(()), written) => written,
            (Err(e), Ok(())) => Err(e),
            (Err(e), Err(w)) => {
                note(&w.to_string());
                Err(e)
            }
        };
    };
    let result = result.and(written);
    // The object is the last thing on standard error, so an error is told before it.
    let result = result.map_err(|e| match e {
        Error::BrokenPipe => e,
        e => {
            note(&e.to_string());
            Error::Told(e.code())
        }
    });
    let text = serde_json::to_string(&record.stats())
        .map_err(|e| Error::caused("cannot print the statistics", &e))?;
    note(&text);
    result
}

impl Drop for Engine {
    fn drop(&mut self) {
        metrics::forget_session();
        // Cancelled work is dropped at its next step; nothing waits for a long one.
        let idle = tokio::runtime::Builder::new_current_thread().build();
        if let Ok(idle) = idle {
            std::mem::replace(&mut self.runtime, idle).shutdown_timeout(ENDING);
        }
    }
}

/// The record of a run that did nothing yet.
fn record(args: &SessionArgs, title: String) -> RunRecord {
    let memory_limit = args.memory.map(|bytes| bytes as u64);
    RunRecord { title, device: args.device.to_string(), memory_limit, ..RunRecord::default() }
}

/// Opens the devices that the user named: one that is not there is told now, whether or not
/// a query would have used it. With `auto` none is opened before a query needs it.
fn open_named(session: &Session) -> Result<()> {
    match session.options().devices {
        DeviceSpec::Auto => Ok(()),
        DeviceSpec::List(_) => session.devices().open().map(drop).map_err(|e| tell(e.into(), None)),
    }
}

fn session(args: &SessionArgs) -> Result<Session> {
    let faults = args.device_faults.unwrap_or_default();
    let options = SessionOptions {
        device: DeviceOptions { faults, ..DeviceOptions::default() },
        devices: args.device.clone(),
        memory: args.memory,
        device_memory: args.device_memory,
        temp_dir: args.temp_dir.clone(),
        temp_limit: args.temp_limit.map(|bytes| bytes as u64),
        force_device: args.force_device,
        ..SessionOptions::default()
    };
    Session::with_options(options).map_err(|e| tell(e, None))
}

/// A line on standard error. Where that is closed there is nobody to tell.
pub(crate) fn note(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
