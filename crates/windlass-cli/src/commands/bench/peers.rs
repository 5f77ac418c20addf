//! The engines beside ours: one Python process each, asked over its standard input.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::{
    commands::bench::suite::Suite,
    error::{Error, Result},
};

/// What runs in the Python process.
const SCRIPT: &str = include_str!("../../../../../benches/peers.py");

/// A running engine.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its name in options.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// An engine that is here, or why it is not.
#[derive(Debug)]
pub(crate) enum Start {
    /// It waits for questions.
    Here(Peer),
    /// It is not installed.
    Absent(String),
}

/// What a peer is asked.
#[derive(Debug, Serialize)]
pub(crate) struct Ask<'a> {
    /// The suite's name.
    pub(crate) suite: &'a str,
    /// The question's name.
    pub(crate) question: &'a str,
    /// The statement.
    pub(crate) sql: &'a str,
    /// How often to run it.
    pub(crate) runs: u32,
    /// An Arrow file with our rows, to be summed by the peer's code.
    pub(crate) ours: Option<PathBuf>,
}

/// What a peer answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    /// Why there is no result.
    pub(crate) error: Option<String>,
    /// Why the engine has nothing to run for the question.
    pub(crate) no_form: Option<String>,
    /// Wall time of each run.
    pub(crate) seconds: Vec<f64>,
    /// CPU time of the process during each.
    pub(crate) cpu_seconds: Vec<f64>,
    /// Peak resident memory of the process during them.
    pub(crate) peak_bytes: Option<u64>,
    /// Rows and checksums of its result.
    #[serde(flatten)]
    pub(crate) summary: Summary,
    /// The same of our file.
    pub(crate) ours: Option<Summary>,
}

/// A result in short.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Summary {
    /// Rows.
    pub(crate) rows: u64,
    /// One checksum a column.
    pub(crate) columns: Vec<Checksum>,
}

/// The checksum of a column, whatever the order of rows.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Checksum {
    /// Nulls, and NaN.
    pub(crate) nulls: u64,
    /// Of a column of numbers, dates or booleans: the sum.
    pub(crate) sum: Option<f64>,
    /// And the sum of absolute values, which the tolerance is a part of.
    pub(crate) size: f64,
    /// Of a column of text.
    pub(crate) text: Option<String>,
}

/// The Python to run peers in: the one named, else the one that `make setup` makes, else
/// `python3`.
pub(super) fn interpreter(named: Option<&Path>) -> PathBuf {
    if let Some(path) = named {
        return path.to_path_buf();
    }
    const SET_UP: &str = ".tools/python/bin/python";
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(SET_UP);
    [PathBuf::from(SET_UP), sources]
        .into_iter()
        .find(|p| p.exists())
        .unwrap_or_else(|| PathBuf::from("python3"))
}

impl Peer {
    /// Starts an engine on the suite's tables, in the Python named or the one found.
    ///
    /// # Errors
    /// A Python that was named and cannot be started, or one that stops with anything but an
    /// answer.
    pub(crate) fn start(
        named: Option<&Path>,
        name: &str,
        suite: Suite,
        folder: &Path,
    ) -> Result<Start> {
        let python = interpreter(named);
        let spawned = Command::new(&python)
            .args(["-c", SCRIPT, name])
            .arg(folder)
            .args(suite.tables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match (spawned, named) {
            (Ok(child), _) => child,
            (Err(e), None) => {
                return Ok(Start::Absent(format!("cannot start {}: {e}", python.display())));
            }
            (Err(e), Some(_)) => {
                let what = format!("cannot start {name} in {}", python.display());
                return Err(Error::caused(what, &e)
                    .or_help("name another Python with --python, or run --engines none"));
            }
        };
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::failed(format!("{name} has no standard input and output")));
        };
        let mut peer = Self {
            name: name.to_string(),
            version: String::new(),
            child,
            input: Some(input),
            output: BufReader::new(output),
        };
        #[derive(Deserialize)]
        struct Hello {
            version: Option<String>,
            absent: Option<String>,
        }
        let hello: Hello = peer.read()?;
        match (hello.version, hello.absent) {
            (Some(version), _) => {
                peer.version = version;
                Ok(Start::Here(peer))
            }
            (None, reason) => Ok(Start::Absent(reason.unwrap_or_else(|| "no reason".to_string()))),
        }
    }

    /// Asks a question and waits for the answer.
    ///
    /// # Errors
    /// A process that ended; [`Error::Interrupted`] where Ctrl-C ended it.
    pub(crate) fn ask(&mut self, ask: &Ask<'_>) -> Result<Answer> {
        let line = serde_json::to_string(ask).map_err(|e| Error::caused("cannot ask", &e))?;
        let sent = match &mut self.input {
            Some(input) => writeln!(input, "{line}").and_then(|()| input.flush()),
            None => Ok(()),
        };
        match sent {
            Ok(()) => self.read(),
            Err(_) => Err(self.ended()),
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(n) if n > 0 => serde_json::from_str(&line).map_err(|e| {
                Error::caused(format!("{} answered what is no answer: {line}", self.name), &e)
            }),
            _ => Err(self.ended()),
        }
    }

    /// Why the process is gone.
    fn ended(&mut self) -> Error {
        let status = self.child.wait();
        #[cfg(unix)]
        {
            use std::os::unix::process::ExitStatusExt;
            // Ctrl-C reaches every process of the terminal's group; SIGINT is 2.
            if status.as_ref().is_ok_and(|s| s.signal() == Some(2) || s.code() == Some(130)) {
                return Error::Interrupted;
            }
        }
        let how = status.map_or_else(|e| e.to_string(), |s| s.to_string());
        Error::failed(format!("the process of {} ended: {how}", self.name))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input ends it; it is not left behind where that takes long.
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
