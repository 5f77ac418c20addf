//! Runs the command and keeps what it said.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

/// What a run left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(o: Output) -> Self {
        Self {
            code: o.status.code(),
            out: String::from_utf8_lossy(&o.stdout).into_owned(),
            err: String::from_utf8_lossy(&o.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// The output of a run that must have gone well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// The message of a run that must have ended with `code`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, parts: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is missing in: {}", self.err);
        }
        assert!(self.err.starts_with("error: "), "{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.err
    }
}

/// The command, away from the user's own caches and history.
pub(crate) fn windlass(args: &[&str]) -> Command {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
    let mut c = Command::new(env!("CARGO_BIN_EXE_windlass"));
    c.args(args).env("XDG_CACHE_HOME", home.join("cache")).env("XDG_DATA_HOME", home.join("data"));
    c.stdin(Stdio::null());
    c
}

/// Runs to the end.
pub(crate) fn run(args: &[&str]) -> Ran {
    windlass(args).output().unwrap().into()
}

/// Runs in a folder.
pub(crate) fn run_in(dir: &Path, args: &[&str]) -> Ran {
    windlass(args).current_dir(dir).output().unwrap().into()
}

/// Runs with text on standard input.
pub(crate) fn run_with(input: &str, args: &[&str]) -> Ran {
    let mut child = windlass(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that stops early closes the pipe.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

/// A folder with `people.csv` in it.
pub(crate) fn people() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = "name,age,city\nAda,36,London\nBob,NA,Paris\nCleo,29,\"Rome, Italy\"\n";
    std::fs::write(dir.path().join("people.csv"), text).unwrap();
    dir
}

/// The names in a folder.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    all.sort();
    all
}
