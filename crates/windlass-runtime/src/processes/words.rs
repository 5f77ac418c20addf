//! What workers write to standard error: it goes on to that of the executor's program, and its
//! end is kept for errors to quote.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read, Write},
    process::ChildStderr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Lines that are kept, and bytes of each.
const LINES: usize = 4;
const LINE: usize = 200;

/// How long a quote waits for the last lines of a process that has ended. What it started may
/// hold the pipe open for ever.
const REST: Duration = Duration::from_millis(100);

/// The end of what a process wrote.
#[derive(Debug, Clone)]
pub(crate) struct LastWords {
    lines: Arc<Mutex<VecDeque<String>>>,
    ended: Arc<AtomicBool>,
}

impl LastWords {
    /// Those of a process, read on a thread of their own.
    pub(crate) fn of(stderr: Option<ChildStderr>, number: u64) -> io::Result<Self> {
        let words = Self { lines: Arc::default(), ended: Arc::default() };
        let Some(stderr) = stderr else {
            words.ended.store(true, Ordering::Release);
            return Ok(words);
        };
        let own = words.clone();
        let thread = std::thread::Builder::new().name(format!("windlass-stderr-{number}"));
        thread.spawn(move || own.read(stderr, &mut io::stderr()))?;
        Ok(words)
    }

    /// Reads to the end. Of a line that is very long it keeps the begin, and passes on all.
    fn read(&self, from: impl Read, to: &mut impl Write) {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        let mut whole = true;
        loop {
            line.clear();
            let read = (&mut from).take(4096).read_until(b'\n', &mut line);
            if !matches!(read, Ok(n) if n > 0) {
                break;
            }
            // Nobody may read it: the worker goes on all the same.
            let _ = to.write_all(&line);
            let begins = std::mem::replace(&mut whole, line.ends_with(b"\n"));
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            if begins && !text.is_empty() {
                let mut lines = self.lines.lock();
                if lines.len() == LINES {
                    lines.pop_front();
                }
                lines.push_back(text.chars().take(LINE).collect());
            }
        }
        self.ended.store(true, Ordering::Release);
    }

    /// Forgets what was written so far: a task begins.
    pub(crate) fn forget(&self) {
        self.lines.lock().clear();
    }

    /// The last lines of a process that has ended, as one; often none.
    pub(crate) fn quoted(&self) -> String {
        let deadline = Instant::now() + REST;
        while !self.ended.load(Ordering::Acquire) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        let lines = self.lines.lock();
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_all_pass_on() {
        let words = LastWords { lines: Arc::default(), ended: Arc::default() };
        let long = "x".repeat(10_000);
        let text = format!("one\ntwo\n\nthree\n{long}\nfour\nthe end");
        let mut to = Vec::new();
        words.read(text.as_bytes(), &mut to);
        assert_eq!(to, text.as_bytes());
        let x = "x".repeat(LINE);
        assert_eq!(words.quoted(), format!("three | {x} | four | the end"));
        words.forget();
        assert_eq!(words.quoted(), "");
    }
}
