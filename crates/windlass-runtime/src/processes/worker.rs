//! One worker process, from the executor's side.

use std::{
    fmt,
    io::{self, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    StartError,
    channel::{Opening, Stream},
    frame::{self, Frame, FrameError, Kind},
    functions::Function,
    memory,
    serve::{Hello, VERSION},
    words::LastWords,
};
use crate::{graph::packed::decode, schedule::Ending};

/// How long a wait for a worker goes on before it looks whether it is still wanted. A guess:
/// soon enough for those who cancel a job, seldom enough to cost nothing.
const TICK: Duration = Duration::from_millis(20);

/// How often a worker's peak of memory is looked at while it runs a task.
const LOOK: Duration = Duration::from_millis(200);

/// How long a worker that was told to end may take for it. A guess.
const LEAVE: Duration = Duration::from_secs(1);

/// How workers are started.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The program and its arguments.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) limit: Duration,
    pub(crate) over_tcp: bool,
}

/// Why a wait for a worker ended without an answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nobody wants it any more.
    Stopped,
    /// It took too long.
    Late,
    /// The worker is gone, or not to be trusted.
    Frame(FrameError),
}

/// What became of a process.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) ending: Ending,
    /// Most bytes of memory that it had.
    pub(crate) peak: u64,
}

/// A process that was started. Dropped, it is killed.
pub(crate) struct Process {
    /// Its number.
    pub(crate) number: u64,
    child: Child,
    stream: Option<Stream>,
    pub(crate) words: LastWords,
    /// What the system counted for it at its start, and the most that was seen since.
    first_peak: u64,
    peak: u64,
    ended: Option<Ended>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Process");
        f.field("number", &self.number).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

/// A process that was started and has not answered yet.
pub(crate) struct Starting {
    process: Process,
    opening: Opening,
    began: Instant,
}

impl Starting {
    /// Starts a process.
    pub(crate) fn new(number: u64, start: &Start) -> Result<Self, StartError> {
        let failed = |source| {
            let program = start.program.display().to_string();
            StartError::Spawn { worker: number, program, source }
        };
        let mut command = Command::new(&start.program);
        command.args(&start.arguments).stderr(Stdio::piped());
        // Keys that interrupt the executor's program are its own affair, and what a task started
        // can be ended with its worker.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let opening = Opening::new(&mut command, start.over_tcp).map_err(failed)?;
        let mut child = command.spawn().map_err(failed)?;
        // The command has the worker's end of the channel: it must not stay open here.
        drop(command);
        let words = LastWords::of(child.stderr.take(), number);
        let process = Process {
            number,
            child,
            stream: None,
            words: words.map_err(failed)?,
            first_peak: 0,
            peak: 0,
            ended: None,
        };
        Ok(Self { process, opening, began: Instant::now() })
    }

    /// Waits for its first words, and answers them.
    pub(crate) fn finish(
        self,
        start: &Start,
        functions: &[Arc<Function>],
        stopped: &dyn Fn() -> bool,
    ) -> Result<Process, StartError> {
        let Self { mut process, mut opening, began } = self;
        let (worker, deadline) = (process.number, began.checked_add(start.limit));
        let io = |source| StartError::Channel { worker, source };
        let stream = loop {
            match opening.accept() {
                Ok(stream) => break stream,
                Err((rest, result)) => {
                    result.map_err(io)?;
                    opening = rest;
                }
            }
            if stopped() {
                return Err(StartError::Stopped);
            }
            if process.has_ended() {
                return Err(process.no_answer());
            }
            if deadline.is_some_and(|at| at <= Instant::now()) {
                return Err(process.silent(start.limit));
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        stream.set_tick(Some(TICK)).map_err(io)?;
        process.stream = Some(stream);
        let hello = match process.receive(deadline, stopped) {
            Ok(Frame { kind: Kind::Hello, payload, .. }) => decode::<Hello>(&payload),
            Ok(frame) => Err(format!("{:?}", frame.kind)),
            Err(Broken::Stopped) => return Err(StartError::Stopped),
            Err(Broken::Late) => return Err(process.silent(start.limit)),
            Err(Broken::Frame(FrameError::Closed | FrameError::Unread)) => {
                return Err(process.no_answer());
            }
            Err(Broken::Frame(FrameError::Garbled(why))) => Err(why),
            Err(Broken::Frame(FrameError::Io(e))) => return Err(io(e)),
        };
        let hello = hello.map_err(|why| StartError::Greeting { worker, why })?;
        if hello.version != VERSION {
            let why = format!("it speaks version {}, not {VERSION}", hello.version);
            return Err(StartError::Greeting { worker, why });
        }
        let own = Hello::of(functions).functions;
        if own != hello.functions {
            let other = hello.functions;
            return Err(StartError::Functions { worker, differ: difference(&own, &other) });
        }
        process.first_peak = hello.peak;
        match process.send(Kind::Welcome, &[], deadline, stopped) {
            Ok(()) => Ok(process),
            Err(Broken::Stopped) => Err(StartError::Stopped),
            Err(Broken::Late) => Err(process.silent(start.limit)),
            Err(Broken::Frame(_)) => Err(process.no_answer()),
        }
    }
}

/// What one list of functions has and the other has not.
fn difference(own: &[(String, String)], other: &[(String, String)]) -> String {
    let less = |a: &[(String, String)], b: &[(String, String)]| {
        let mut out: Vec<String> =
            a.iter().filter(|f| !b.contains(f)).map(|(n, s)| format!("{n}: {s}")).collect();
        if out.is_empty() {
            out.push("none".into());
        }
        out.join(", ")
    };
    format!("only here: {}; only there: {}", less(own, other), less(other, own))
}

/// A stream whose reads and writes go on until a deadline, or until nobody wants them.
struct Patient<'a> {
    stream: &'a Stream,
    deadline: Option<Instant>,
    stopped: &'a dyn Fn() -> bool,
    looked: Instant,
    look: &'a mut dyn FnMut(),
    why: Option<Broken>,
}

impl Patient<'_> {
    /// Does a read or write again until it is done.
    fn patiently(
        &mut self,
        mut f: impl FnMut(&mut &Stream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match f(&mut &*self.stream) {
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
            let now = Instant::now();
            if (self.stopped)() {
                self.why = Some(Broken::Stopped);
            } else if self.deadline.is_some_and(|at| at <= now) {
                self.why = Some(Broken::Late);
            }
            if self.why.is_some() {
                return Err(io::Error::other("the wait was given up"));
            }
            if now - self.looked >= LOOK {
                self.looked = now;
                (self.look)();
            }
        }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.patiently(|s| s.read(bytes))
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(|s| s.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.patiently(|s| s.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Process {
    /// Its number with the system.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Does something with its channel.
    fn patiently<T>(
        &mut self,
        deadline: Option<Instant>,
        stopped: &dyn Fn() -> bool,
        f: impl FnOnce(&mut Patient<'_>) -> Result<T, FrameError>,
    ) -> Result<T, Broken> {
        let pid = self.child.id();
        let (peak, stream) = (&mut self.peak, self.stream.as_ref());
        let stream = stream.ok_or(Broken::Frame(FrameError::Closed))?;
        let mut look = || *peak = memory::peak_of(pid).max(*peak);
        let looked = Instant::now();
        let mut patient = Patient { stream, deadline, stopped, looked, look: &mut look, why: None };
        let result = f(&mut patient);
        result.map_err(|e| patient.why.take().unwrap_or(Broken::Frame(e)))
    }

    /// Sends it a frame.
    pub(crate) fn send(
        &mut self,
        kind: Kind,
        parts: &[&[u8]],
        deadline: Option<Instant>,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), Broken> {
        self.patiently(deadline, stopped, |s| frame::write(s, kind, 0, parts))
    }

    /// Waits for a frame of it.
    pub(crate) fn receive(
        &mut self,
        deadline: Option<Instant>,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Frame, Broken> {
        let frame = self.patiently(deadline, stopped, |s| frame::read(s))?;
        self.peak = self.peak.max(frame.note);
        Ok(frame)
    }

    fn no_answer(&mut self) -> StartError {
        let ending = self.kill().ending;
        StartError::Ended { worker: self.number, ending, words: self.words.quoted() }
    }

    fn silent(&mut self, limit: Duration) -> StartError {
        self.kill();
        StartError::Silent { worker: self.number, limit, words: self.words.quoted() }
    }

    /// Ends it, with what it started, if it has not ended, and waits for it.
    pub(crate) fn kill(&mut self) -> Ended {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        #[cfg(unix)]
        if let Ok(pid) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: the process was not waited for yet, so its number, which its group has too,
            // is still its own. It may have left the group.
            unsafe {
                libc::kill(-pid, libc::SIGKILL);
                libc::kill(pid, libc::SIGKILL);
            }
        }
        #[cfg(not(unix))]
        let _ = self.child.kill();
        self.reap(true)
    }

    /// Tells it to end, if it has nothing to do, and waits for it; not long.
    pub(crate) fn finish(mut self) {
        self.leave();
        let deadline = Instant::now() + LEAVE;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Dropped, it is killed.
    }

    /// Tells it to end.
    pub(crate) fn leave(&mut self) {
        let deadline = Instant::now() + LEAVE;
        let _ = self.send(Kind::End, &[], Some(deadline), &|| false);
    }

    /// Whether it has ended; if so, it is waited for.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.ended.is_some() || {
            self.reap(false);
            self.ended.is_some()
        }
    }

    /// Takes note of how it ended, once it has, or, with `wait`, when it does.
    fn reap(&mut self, wait: bool) -> Ended {
        if self.ended.is_none() {
            self.ended = self.reaped(wait);
        }
        let unknown = Ended { ending: Ending::Code(-1), peak: self.peak };
        self.ended.clone().unwrap_or(unknown)
    }

    #[cfg(unix)]
    fn reaped(&mut self, wait: bool) -> Option<Ended> {
        let pid = libc::pid_t::try_from(self.child.id()).ok()?;
        // SAFETY: all zero is a value of this struct of numbers.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        let (mut status, flags) = (0, if wait { 0 } else { libc::WNOHANG });
        let got = loop {
            // SAFETY: both pointers are to whole values, which the call fills.
            let got = unsafe { libc::wait4(pid, &raw mut status, flags, &raw mut usage) };
            let interrupted = io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
            if got >= 0 || !interrupted {
                break got;
            }
        };
        let ending = match got {
            0 => return None,
            // Someone else in this program has waited for all processes: how it ended is lost.
            ..0 => Ending::Code(-1),
            _ if libc::WIFSIGNALED(status) => Ending::Signal(libc::WTERMSIG(status)),
            _ => Ending::Code(libc::WEXITSTATUS(status)),
        };
        // The system's peak begins with that of the program that started the process.
        let peak = Some(memory::peak_bytes(&usage)).filter(|&p| p > self.first_peak);
        Some(Ended { ending, peak: peak.unwrap_or(self.peak) })
    }

    #[cfg(not(unix))]
    fn reaped(&mut self, wait: bool) -> Option<Ended> {
        let status = if wait { self.child.wait().map(Some) } else { self.child.try_wait() };
        let code = status.map(|s| s.map(|s| s.code().unwrap_or(-1))).unwrap_or(Some(-1))?;
        Some(Ended { ending: Ending::Code(code), peak: self.peak })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
