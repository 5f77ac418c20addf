//! Ctrl-C and SIGTERM: the first cancels what runs, the second ends the process.

use std::{
    io::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::runtime::Handle;
use windlass::CancelToken;

use crate::error::EXIT_INTERRUPTED;

/// How long a cancelled job may take to stop before the process ends anyway. A guess: long
/// enough to remove temporary files, short enough not to feel like a hang.
const GRACE: Duration = Duration::from_secs(3);

/// Listens for interrupts and cancels the current token.
pub(crate) struct Interrupt {
    token: Mutex<CancelToken>,
    presses: AtomicU32,
    /// Whether a job that does not stop in time ends the process. Not in the shell, which
    /// goes on after its statement.
    ends_process: bool,
}

impl Interrupt {
    /// Starts to listen on a runtime.
    pub(crate) fn install(runtime: &Handle, ends_process: bool) -> Arc<Self> {
        let this = Arc::new(Self {
            token: Mutex::new(CancelToken::new()),
            presses: AtomicU32::new(0),
            ends_process,
        });
        let listener = Arc::clone(&this);
        runtime.spawn(async move { listen(|| listener.press()).await });
        this
    }

    /// A token for the next piece of work; earlier presses are forgotten.
    pub(crate) fn fresh(&self) -> CancelToken {
        let token = CancelToken::new();
        self.presses.store(0, Ordering::SeqCst);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        token
    }

    fn press(&self) {
        let before = self.presses.fetch_add(1, Ordering::SeqCst);
        if before > 0 {
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        }
        self.token.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        if self.ends_process {
            tokio::spawn(async {
                tokio::time::sleep(GRACE).await;
                let _ = std::io::stderr().write_all(b"error: interrupted\n");
                std::process::exit(i32::from(EXIT_INTERRUPTED));
            });
        }
    }
}

/// Calls `press` for every signal to stop.
#[cfg(unix)]
async fn listen(press: impl Fn()) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => press(),
            _ = terminate.recv() => press(),
        }
    }
}

/// Calls `press` for every Ctrl-C.
#[cfg(not(unix))]
async fn listen(press: impl Fn()) {
    while tokio::signal::ctrl_c().await.is_ok() {
        press();
    }
}
