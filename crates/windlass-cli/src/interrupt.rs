//! Ctrl-C and SIGTERM: the first cancels what runs, the second ends the process.

use std::{
    io::Write,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use windlass::CancelToken;

use crate::error::{EXIT_INTERRUPTED, Error, Result};

/// How long a cancelled statement may take to stop by itself before it is left behind. A
/// guess: longer than a batch takes, shorter than one notices.
const STOPPING: Duration = Duration::from_millis(300);
/// How long a cancelled command may take to end before the process ends anyway. A guess:
/// long enough to remove temporary files, short enough not to feel like a hang.
const GRACE: Duration = Duration::from_secs(3);

/// Listens for interrupts and cancels the current work. The listener has a thread of its
/// own: those of the runtime may all be busy with the query.
pub(crate) struct Interrupt {
    current: Mutex<Tokens>,
    presses: AtomicU32,
    /// Whether a job that does not stop in time ends the process. Not in the shell, which
    /// goes on after its statement.
    ends_process: bool,
}

/// How a piece of work hears of an interrupt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    /// Cancelled at once.
    pub(crate) cancel: CancelToken,
    /// Cancelled a moment later, when the work should have stopped.
    pub(crate) overdue: CancelToken,
}

impl Interrupt {
    /// Starts to listen.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub(crate) fn install(ends_process: bool) -> Result<Arc<Self>> {
        let this =
            Arc::new(Self { current: Mutex::default(), presses: AtomicU32::new(0), ends_process });
        let listener = Arc::clone(&this);
        let fail = |e| Error::caused("cannot listen for Ctrl-C", &e);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        std::thread::Builder::new()
            .name("interrupt".to_string())
            .spawn(move || runtime.block_on(listen(|| listener.press())))
            .map_err(fail)?;
        Ok(this)
    }

    /// Tokens for the next piece of work; earlier presses are forgotten.
    pub(crate) fn fresh(&self) -> Tokens {
        let tokens = Tokens::default();
        self.presses.store(0, Ordering::SeqCst);
        *self.current() = tokens.clone();
        tokens
    }

    fn current(&self) -> MutexGuard<'_, Tokens> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On the listener's runtime.
    fn press(&self) {
        if self.presses.fetch_add(1, Ordering::SeqCst) > 0 {
            leave();
        }
        let tokens = self.current().clone();
        tokens.cancel.cancel();
        let ends_process = self.ends_process;
        tokio::spawn(async move {
            tokio::time::sleep(STOPPING).await;
            tokens.overdue.cancel();
            if ends_process {
                tokio::time::sleep(GRACE).await;
                let _ = std::io::stderr().write_all(b"interrupted\n");
                leave();
            }
        });
    }
}

/// Ends the process, whatever it does, without a half-made output.
fn leave() -> ! {
    windlass::remove_unfinished();
    std::process::exit(i32::from(EXIT_INTERRUPTED))
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
