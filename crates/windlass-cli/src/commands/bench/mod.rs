//! `windlass bench`: suites of queries, ours and the engines installed beside it in one run, and
//! the benches of the kernels.
//!
//! | module | holds |
//! |---|---|
//! | `args` | the options |
//! | `suite` | questions and tables; `data` generates these |
//! | `ours`, `peers` | timed runs of one question, in this process and in Python processes |
//! | `figures` | what was measured, ratios, and whether results agree |
//! | `table`, `page` | the figures as text and as a page with ratios drawn |
//! | `draw` | bars and lines of pages |
//! | `kernels` | `windlass bench kernels`, with its own figures, table and page |
//! | `arrays` | `windlass bench arrays` |
//! | `tasks`, `recorded` | `windlass bench tasks`; its run that is recorded task by task |

pub(crate) mod args;
mod arrays;
mod data;
mod draw;
mod figures;
mod kernels;
mod ours;
mod page;
mod peers;
mod recorded;
mod suite;
mod table;
mod tasks;

use std::{io::IsTerminal, path::Path};

use windlass::DeviceClass;

use self::{
    args::{BenchArgs, CommonArgs, SuiteArgs},
    figures::{DeviceLine, EngineFigures, EngineLine, Figures, OURS, Operator, QuestionFigures},
    ours::Ran,
    peers::{Ask, Peer, Start},
    suite::{Question, Suite},
};
use crate::{
    engine::{Engine, Mode, note},
    error::{Error, Result},
    output::{TableStyle, print, write_file},
};

/// Runs the command.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let (suite, common) = match &args.suite {
        SuiteArgs::Tpch { scale, common } => (Suite::Tpch(*scale), common),
        SuiteArgs::Dbbench { rows, common } => (Suite::Dbbench(*rows), common),
        SuiteArgs::Kernels(args) => return kernels::run(args),
        SuiteArgs::Tasks(args) => return tasks::run(args),
        SuiteArgs::Arrays(args) => return arrays::run(args),
    };
    let questions = suite.questions(&common.queries)?;
    let figures = measure(suite, &questions, common)?;
    let style = if std::io::stdout().is_terminal() {
        TableStyle::terminal(usize::MAX)
    } else {
        TableStyle::plain()
    };
    print(&table::text(&figures, style))?;
    if let Some(path) = &common.json {
        let text = serde_json::to_string_pretty(&figures)
            .map_err(|e| Error::caused("cannot write the figures as JSON", &e))?;
        write_file(path, &(text + "\n"))?;
    }
    if let Some(path) = &common.report {
        write_file(path, &page::page(&figures))?;
    }
    // Figures of wrong results are no figures.
    let wrong = figures.differences();
    if !wrong.is_empty() {
        return Err(Error::failed(format!(
            "results differ between engines:\n{}",
            wrong.join("\n")
        )));
    }
    let failed: Vec<String> =
        figures.questions.iter().filter_map(|q| q.of(OURS)?.error.clone()).collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::failed(format!("questions failed here:\n{}", failed.join("\n")))),
    }
}

fn measure(suite: Suite, questions: &[Question], common: &CommonArgs) -> Result<Figures> {
    let folder = suite.data(common.data.as_deref(), note)?;
    let folder = std::path::absolute(&folder).map_err(|e| Error::cannot_read(&folder, &e))?;
    let engine = Engine::open(&common.session, suite.title(), true, Mode::Batch)?;
    ours::register(&engine, suite, &folder)?;
    let mut figures = Figures::new(suite, common);
    let mut peers = start_peers(&mut figures, suite, &folder, common)?;
    let scratch =
        tempfile::tempdir().map_err(|e| Error::caused("cannot make a folder for results", &e))?;
    let results = common.results.as_deref().unwrap_or(scratch.path());
    std::fs::create_dir_all(results)
        .map_err(|e| Error::caused(format!("cannot make the folder {}", results.display()), &e))?;
    for question in questions {
        let path = results.join(format!("{}.arrow", question.name));
        let measured = one_question(&engine, &mut peers, suite, question, common, &path)?;
        progress(&measured);
        figures.questions.push(measured);
        if common.results.is_none() {
            // Results of joins are as large as their tables.
            let _ = std::fs::remove_file(&path);
        }
    }
    figures.devices = devices(&engine);
    figures.sum_up();
    Ok(figures)
}

/// Starts the peers that are installed and notes those that are not.
fn start_peers(
    figures: &mut Figures,
    suite: Suite,
    folder: &Path,
    common: &CommonArgs,
) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    let python = common.python.as_deref();
    for name in common.engines.iter().filter(|name| *name != "none") {
        let mut line = EngineLine { name: name.clone(), version: None, absent: None };
        match Peer::start(python, name, suite, folder)? {
            Start::Here(peer) => {
                line.version = Some(peer.version.clone());
                peers.push(peer);
            }
            Start::Absent(reason) => {
                note(&format!("{name} is not in this run: {reason}"));
                line.absent = Some(reason);
            }
        }
        figures.engines.push(line);
    }
    Ok(peers)
}

/// One question by every engine in turn, ours first; then the results are compared.
fn one_question(
    engine: &Engine,
    peers: &mut Vec<Peer>,
    suite: Suite,
    question: &Question,
    common: &CommonArgs,
    path: &Path,
) -> Result<QuestionFigures> {
    let mut out = QuestionFigures { question: question.name.to_string(), ..Default::default() };
    let mut ours = EngineFigures { engine: OURS.to_string(), ..Default::default() };
    let here = match ours::run(engine, question, common.runs, path) {
        Ok(ran) => {
            ran.write(path)?;
            note_ours(&mut out, &mut ours, &ran);
            true
        }
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(e) => {
            ours.error = Some(e.to_string());
            false
        }
    };
    out.results.push(ours);
    let mut summed = None;
    let mut gone = Vec::new();
    for (i, peer) in peers.iter_mut().enumerate() {
        let ask = Ask {
            suite: suite.name(),
            question: question.name,
            sql: &question.sql,
            runs: common.runs,
            ours: (here && summed.is_none()).then(|| path.to_path_buf()),
        };
        let mut line = EngineFigures { engine: peer.name.clone(), ..Default::default() };
        match peer.ask(&ask) {
            Ok(answer) if answer.error.is_some() || answer.no_form.is_some() => {
                line.error = answer.error;
            }
            Ok(answer) => {
                summed = summed.or(answer.ours);
                line.differs =
                    summed.as_ref().and_then(|s| figures::difference(s, &answer.summary));
                line.seconds = answer.seconds.iter().copied().min_by(f64::total_cmp);
                line.all_seconds = answer.seconds;
                line.cpu_seconds = answer.cpu_seconds.iter().copied().min_by(f64::total_cmp);
                line.rows = Some(answer.summary.rows);
                line.peak_bytes = answer.peak_bytes;
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(e) => {
                line.error = Some(e.to_string());
                gone.push(i);
            }
        }
        out.results.push(line);
    }
    for i in gone.into_iter().rev() {
        peers.remove(i);
    }
    out.compare();
    Ok(out)
}

fn note_ours(out: &mut QuestionFigures, ours: &mut EngineFigures, ran: &Ran) {
    ours.seconds = ran.seconds.iter().copied().min_by(f64::total_cmp);
    ours.all_seconds.clone_from(&ran.seconds);
    ours.cpu_seconds = ran.cpu_seconds.iter().copied().min_by(f64::total_cmp);
    ours.rows = Some(ran.rows);
    ours.peak_bytes = ran.peak_bytes;
    out.fallback.clone_from(&ran.stats.fallback);
    out.spilled_bytes = ran.stats.spilled_bytes;
    let operator = |o: &windlass::OperatorStats| Operator {
        name: o.name.clone(),
        device: o.device.clone(),
        rows: o.rows,
        ms: o.ms,
        reason: o.reason.clone(),
    };
    out.operators = ran.stats.operators.iter().map(operator).collect();
}

/// A line for each question on a terminal that waits for the table.
fn progress(q: &QuestionFigures) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let times = q.results.iter().map(|r| match (r.seconds, &r.error) {
        (Some(s), _) => format!("{} {s:.3}", r.engine),
        (None, Some(_)) => format!("{} failed", r.engine),
        (None, None) => format!("{} –", r.engine),
    });
    note(&format!("{}  {}", q.question, times.collect::<Vec<_>>().join("  ")));
}

impl Figures {
    fn new(suite: Suite, common: &CommonArgs) -> Self {
        let (scale, rows) = match suite {
            Suite::Tpch(scale) => (Some(scale), None),
            Suite::Dbbench(rows) => (None, Some(rows)),
        };
        let ours = EngineLine {
            name: OURS.to_string(),
            version: Some(env!("CARGO_PKG_VERSION").to_string()),
            absent: None,
        };
        Self {
            suite: suite.name(),
            title: suite.title(),
            scale,
            rows,
            device: common.session.device.to_string(),
            forced: common.session.force_device,
            devices: Vec::new(),
            commit: commit(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            machine: machine(),
            runs: common.runs,
            engines: vec![ours],
            questions: Vec::new(),
            geometric_mean: None,
            against: Vec::new(),
        }
    }
}

/// The devices that the session has open.
fn devices(engine: &Engine) -> Vec<DeviceLine> {
    let line = |d: &windlass::DeviceInfo| DeviceLine {
        name: d.name.to_string(),
        class: class(d),
        model: d.model.clone(),
    };
    engine.session().devices().opened().iter().map(|d| line(d.info())).collect()
}

/// What kind of device it is, as results name it.
fn class(device: &windlass::DeviceInfo) -> &'static str {
    match device.class {
        DeviceClass::Host => "host",
        DeviceClass::Real => "real",
        DeviceClass::Software => "software",
        DeviceClass::Emulated => "emulated",
    }
}

/// The processor architecture, and the widest vectors that the code was compiled for.
fn machine() -> &'static str {
    if cfg!(target_feature = "avx512f") {
        "x86_64, built for AVX-512"
    } else if cfg!(target_feature = "avx2") {
        "x86_64, built for AVX2"
    } else {
        std::env::consts::ARCH
    }
}

/// The commit that the binary was built from: told at build time by `WINDLASS_COMMIT`, else
/// that of the sources where they still lie, with `-dirty` for changes not committed.
fn commit() -> Option<String> {
    if let Some(commit) = option_env!("WINDLASS_COMMIT") {
        return Some(commit.to_string());
    }
    let git = std::process::Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--exclude=*"])
        .output()
        .ok()?;
    let text = String::from_utf8(git.stdout).ok()?.trim().to_string();
    (git.status.success() && !text.is_empty()).then_some(text)
}
