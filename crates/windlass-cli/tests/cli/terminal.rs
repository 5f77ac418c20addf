//! A terminal with the shell in it: `script` makes it, the tests press keys and see the text.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

/// How long a text may take to come; far more than any took.
const PATIENCE: Duration = Duration::from_secs(20);

/// What asks the terminal where its cursor is.
const WHERE: &[u8] = b"\x1b[6n";

/// Bytes that came to the screen, and a signal for each addition.
#[derive(Default)]
struct Screen {
    bytes: Mutex<Vec<u8>>,
    more: Condvar,
}

/// The shell at a terminal.
pub(crate) struct Terminal {
    child: Child,
    keys: Arc<Mutex<ChildStdin>>,
    screen: Arc<Screen>,
    _home: tempfile::TempDir,
}

impl Terminal {
    /// Opens the shell and waits for its prompt; `None` where there is no `script`.
    #[track_caller]
    pub(crate) fn open() -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let shell = format!("{} shell --device cpu", env!("CARGO_BIN_EXE_windlass"));
        let started = Command::new("script")
            .args(["-qfec", &shell, "/dev/null"])
            .env("TERM", "xterm")
            .env("XDG_DATA_HOME", home.path())
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = started else {
            eprintln!("there is no command script here to make a terminal");
            return None;
        };
        let keys = Arc::new(Mutex::new(child.stdin.take()?));
        let screen = Arc::new(Screen::default());
        let (answers, shown) = (Arc::clone(&keys), Arc::clone(&screen));
        let mut output = child.stdout.take()?;
        thread::spawn(move || {
            let mut part = [0; 4096];
            let mut answered = 0;
            while let Ok(n @ 1..) = output.read(&mut part) {
                let asked = {
                    let mut bytes = shown.bytes.lock().unwrap();
                    bytes.extend_from_slice(&part[..n]);
                    bytes.windows(WHERE.len()).filter(|w| *w == WHERE).count()
                };
                for _ in answered..asked {
                    let _ = answers.lock().unwrap().write_all(b"\x1b[1;1R");
                }
                answered = asked;
                shown.more.notify_all();
            }
        });
        let terminal = Self { child, keys, screen, _home: home };
        terminal.wait_for("windlass> ");
        Some(terminal)
    }

    /// Types.
    pub(crate) fn press(&self, keys: &str) {
        self.keys.lock().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until a text was on the screen.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait_for_times(text, 1);
    }

    /// Waits until a text was on the screen that many times.
    #[track_caller]
    pub(crate) fn wait_for_times(&self, text: &str, times: usize) {
        let until = Instant::now() + PATIENCE;
        let mut bytes = self.screen.bytes.lock().unwrap();
        loop {
            let seen = plain(&bytes);
            if seen.matches(text).count() >= times {
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{text:?} did not come {times} times: {seen}");
            bytes = self.screen.more.wait_timeout(bytes, left).unwrap().0;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a reader sees: the text without colours and cursor movements (the sequences of
/// ECMA-48, and the two-byte ones such as "save the cursor").
fn plain(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte != 0x1b {
            out.push(byte);
        } else if rest.next() == Some(b'[') {
            // Parameters, then one final byte.
            while rest.next_if(|b| !(0x40..=0x7e).contains(b)).is_some() {}
            rest.next();
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn escape_sequences_are_not_text() {
    let shown = b"\x1b[1;1H\x1b[92mwindlass\x1b[96m> \x1b[35m\x1b[0m\x1b7\x1b8\x1b[?25h1 \x1b[";
    assert_eq!(plain(shown), "windlass> 1 ");
}
