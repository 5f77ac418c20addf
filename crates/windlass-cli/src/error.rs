//! What ends a command early, how it is told to the user, and the exit code it has.

use std::{fmt, io, path::Path};

/// Exit code of a job that failed.
pub(crate) const EXIT_FAILED: u8 = 1;
/// Exit code of wrong usage; clap's own code for it.
pub(crate) const EXIT_USAGE: u8 = 2;
/// Exit code after Ctrl-C: 128 + SIGINT, as shells report it.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Why a command stopped.
#[derive(Debug)]
pub(crate) enum Error {
    /// Options or arguments that cannot be meant.
    Usage(Message),
    /// The job failed.
    Failed(Message),
    /// The user (Ctrl-C) or the system (SIGTERM) asked to stop.
    Interrupted,
    /// The reader of standard output went away, as `head` does. Not an error to tell.
    BrokenPipe,
    /// An error that was told already, with its exit code.
    Told(u8),
}

/// What is said of an error: what happened, why, and what to do.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// What happened.
    pub(crate) what: String,
    /// Why: the causes, outermost first.
    pub(crate) causes: Vec<String>,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

/// A result with [`Error`].
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The job failed, with nothing more to say than `what`.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(Message { what: what.into(), ..Message::default() })
    }

    /// Wrong usage.
    pub(crate) fn usage(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage(Message { what: what.into(), causes: Vec::new(), help: Some(help.into()) })
    }

    /// `what` failed because of `cause`, whose own sources are told too.
    pub(crate) fn caused(what: impl Into<String>, cause: &dyn std::error::Error) -> Self {
        let mut causes = Vec::new();
        let mut next = Some(cause);
        while let Some(e) = next {
            let text = e.to_string();
            // Many error types repeat their source's text: tell each thing once.
            if !causes.iter().any(|c: &String| c.contains(&text)) {
                causes.push(text);
            }
            next = e.source();
        }
        Self::Failed(Message { what: what.into(), causes, help: None })
    }

    /// A file that cannot be read.
    pub(crate) fn cannot_read(path: &Path, e: &io::Error) -> Self {
        Self::caused(format!("cannot read {}", path.display()), e)
    }

    /// Adds what to do, unless something is said already.
    pub(crate) fn or_help(mut self, help: impl Into<String>) -> Self {
        if let Self::Usage(m) | Self::Failed(m) = &mut self {
            m.help.get_or_insert_with(|| help.into());
        }
        self
    }

    /// What reports say of it; nothing where it is no failure.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::BrokenPipe | Self::Told(_) => None,
            e => Some(e.to_string().trim_start_matches("error: ").to_string()),
        }
    }

    /// Whether it is still to be told to the user.
    pub(crate) fn is_untold(&self) -> bool {
        !matches!(self, Self::BrokenPipe | Self::Told(_))
    }

    /// The exit code of the process.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Failed(_) => EXIT_FAILED,
            Self::Interrupted => EXIT_INTERRUPTED,
            Self::BrokenPipe => 0,
            Self::Told(code) => *code,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(m) | Self::Failed(m) => {
                write!(f, "error: {}", indent(&m.what))?;
                for cause in &m.causes {
                    write!(f, "\n  cause: {}", indent(cause))?;
                }
                if let Some(help) = &m.help {
                    write!(f, "\n  help: {}", indent(help))?;
                }
                Ok(())
            }
            Self::Interrupted => f.write_str("interrupted"),
            Self::BrokenPipe => f.write_str("the reader of standard output went away"),
            Self::Told(code) => write!(f, "failed with exit code {code}"),
        }
    }
}

/// Keeps the lines of a long text under its first one.
fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_why_and_what_to_do() {
        let io = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let e = Error::cannot_read(Path::new("etl.sql"), &io).or_help("check the path");
        assert_eq!(
            e.to_string(),
            "error: cannot read etl.sql\n  cause: no such file\n  help: check the path"
        );
        assert_eq!(e.code(), 1);
        assert_eq!(Error::usage("a", "b").or_help("c").to_string(), "error: a\n  help: b");
    }
}
