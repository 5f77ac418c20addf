//! The worker's side: a process that calls functions until it is told to end, or until nobody
//! is there to tell it.

use std::{
    any::Any,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use serde::{Deserialize, Serialize};

use super::{
    channel::{self, Stream},
    frame::{self, Frame, Kind},
    functions::{Function, Functions},
    memory,
};
use crate::{
    execute::worker::message,
    graph::{
        BoxError,
        packed::{decode, encode},
    },
};

/// What both sides must have in common, beside the functions.
pub(crate) const VERSION: u32 = 1;

/// Whether this process has asked whether it is a worker, and is none.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether it is one.
static WORKER: AtomicBool = AtomicBool::new(false);

/// A worker's first words.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) version: u32,
    /// Its functions' names and types, in the order of the names.
    pub(crate) functions: Vec<(String, String)>,
    /// The most bytes of memory that the system counts for it so far.
    pub(crate) peak: u64,
}

impl Hello {
    pub(crate) fn of(functions: &[Arc<Function>]) -> Self {
        let told = |f: &Arc<Function>| (f.name.to_string(), f.signature.clone());
        Self {
            version: VERSION,
            functions: functions.iter().map(told).collect(),
            peak: memory::own_peak(),
        }
    }
}

/// What a call says before its arguments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CallHead {
    /// The function, by its place in the order of the names.
    pub(crate) function: u32,
    pub(crate) number: u32,
    pub(crate) attempt: u32,
    /// Bytes of each argument; they follow.
    pub(crate) arguments: Vec<u64>,
}

/// What a function failed with: the texts of its error and of the error's sources.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) texts: Vec<String>,
}

impl Failure {
    fn of(error: &BoxError) -> Self {
        let mut texts = vec![error.to_string()];
        let mut source = error.source();
        while let Some(e) = source {
            texts.push(e.to_string());
            source = e.source();
        }
        Self { texts }
    }
}

/// Whether this process is a worker.
pub(crate) fn is_worker() -> bool {
    WORKER.load(Ordering::Relaxed) || std::env::var_os(channel::VARIABLE).is_some()
}

/// Whether this process has asked whether it is a worker.
pub(crate) fn has_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

impl Functions {
    /// In a worker process, calls these functions until the process ends, which is within this
    /// call; in any other process, returns at once.
    ///
    /// To be called at the start of `main`, when the functions are registered and before
    /// anything else is done: what stands before it is done in each worker too.
    pub fn serve_if_worker(&self) {
        let Some(place) = std::env::var_os(channel::VARIABLE) else {
            ASKED.store(true, Ordering::Relaxed);
            return;
        };
        WORKER.store(true, Ordering::Relaxed);
        match channel::connect(&place.to_string_lossy()) {
            Ok(stream) => {
                forget_variable();
                memory::be_first_to_go();
                self.serve(stream)
            }
            Err(why) => {
                tell(&format!(
                    "this process should be a worker, as {} is set, but {why}. Was it started by \
                     a task? Then the task has to remove that variable from its environment",
                    channel::VARIABLE
                ));
                process::exit(1);
            }
        }
    }

    fn serve(&self, stream: Stream) -> ! {
        let functions = self.in_order();
        let greeted = encode(&Hello::of(&functions))
            .and_then(|hello| {
                frame::write(&stream, Kind::Hello, memory::own(), &[&hello])
                    .map_err(|e| format!("{e:?}"))
            })
            .and_then(|()| stream.try_clone().map_err(|e| e.to_string()));
        let reader = greeted.and_then(|reader| {
            // The first answer; where the executor does not want this worker, it just closes.
            match frame::read(&reader) {
                Ok(Frame { kind: Kind::Welcome, .. }) => Ok(reader),
                Ok(frame) => Err(format!("{:?} came where a welcome should", frame.kind)),
                Err(e) if e.is_end() => leave(1),
                Err(e) => Err(format!("{e:?}")),
            }
        });
        let (send, calls) = mpsc::channel();
        let reading = reader.and_then(|reader| {
            let thread = std::thread::Builder::new().name("windlass-channel".into());
            thread.spawn(move || read_calls(&reader, &send)).map_err(|e| e.to_string())
        });
        if let Err(why) = reading {
            tell(&why);
            leave(1);
        }
        for call in calls {
            let (kind, reply) = answer(&functions, &call);
            // A large call is not kept beside the wait for the next one.
            drop(call);
            if let Err(e) = frame::write(&stream, kind, memory::own(), &[&reply]) {
                if !e.is_end() {
                    tell(&format!("a result could not be sent: {e:?}"));
                }
                leave(1);
            }
        }
        // It was told to end.
        process::exit(0)
    }
}

/// Hands on calls. When the executor is gone, the process ends, whatever it does.
fn read_calls(stream: &Stream, calls: &mpsc::Sender<Vec<u8>>) {
    loop {
        match frame::read(stream) {
            // The other end is there until this thread ends.
            Ok(Frame { kind: Kind::Call, payload, .. }) => drop(calls.send(payload)),
            Ok(Frame { kind: Kind::End, .. }) => return,
            Ok(frame) => {
                tell(&format!("{:?} came where a call should", frame.kind));
                leave(1);
            }
            Err(e) => {
                if !e.is_end() {
                    tell(&format!("no call could be read: {e:?}"));
                }
                leave(1);
            }
        }
    }
}

/// Calls a function.
fn answer(functions: &[Arc<Function>], call: &[u8]) -> (Kind, Vec<u8>) {
    let run = || -> Result<Vec<u8>, BoxError> {
        let (head, packets) = parts(call)?;
        let function = functions.get(head.function as usize);
        let function = function.ok_or("a function was asked for that there is not")?;
        function.run(&packets, head.number, head.attempt)
    };
    let told = |texts| encode(&Failure { texts }).unwrap_or_default();
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(result)) => (Kind::Done, result),
        Ok(Err(error)) => (Kind::Failed, told(Failure::of(&error).texts)),
        Err(panic) => {
            let text = message(&*panic);
            forget(panic);
            (Kind::Panicked, told(vec![text]))
        }
    }
}

/// A panic's value is not dropped: its own drop may panic too.
fn forget(panic: Box<dyn Any + Send>) {
    std::mem::forget(panic);
}

/// The head of a call, with its length before it, and the arguments.
fn parts(call: &[u8]) -> Result<(CallHead, Vec<&[u8]>), String> {
    let cut = || "a call is cut".to_string();
    let (length, rest) = call.split_first_chunk().ok_or_else(cut)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (head, mut rest) = rest.split_at_checked(length).ok_or_else(cut)?;
    let head: CallHead = decode(head)?;
    let mut packets = Vec::with_capacity(head.arguments.len());
    for &n in &head.arguments {
        let n = usize::try_from(n).map_err(|_| cut())?;
        let (packet, behind) = rest.split_at_checked(n).ok_or_else(cut)?;
        packets.push(packet);
        rest = behind;
    }
    Ok((head, packets))
}

/// Writes a line to standard error, if that is still there.
fn tell(what: &str) {
    let _ = writeln!(std::io::stderr(), "windlass worker {}: {what}", process::id());
}

/// Ends the process at once: what a task is doing on another thread is not waited for, and none
/// of its destructors run.
fn leave(code: i32) -> ! {
    #[cfg(unix)]
    // SAFETY: the call takes a number and does not return.
    unsafe {
        libc::_exit(code)
    }
    #[cfg(not(unix))]
    process::exit(code)
}

/// Takes the variable out of the environment, where that is safe, so that programs that tasks
/// start do not take themselves for workers.
fn forget_variable() {
    #[cfg(target_os = "linux")]
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    #[cfg(not(target_os = "linux"))]
    let alone = cfg!(windows);
    if alone {
        // SAFETY: no other thread reads the environment: there is none, or the system allows it.
        unsafe { std::env::remove_var(channel::VARIABLE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: u32, arguments: &[&[u8]]) -> Vec<u8> {
        let arguments_bytes = arguments.iter().map(|a| a.len() as u64).collect();
        let head = CallHead { function, number: 0, attempt: 1, arguments: arguments_bytes };
        let head = encode(&head).unwrap();
        let mut call = (head.len() as u32).to_le_bytes().to_vec();
        call.extend(head);
        arguments.iter().for_each(|a| call.extend_from_slice(a));
        call
    }

    fn failed((kind, reply): (Kind, Vec<u8>)) -> (Kind, Vec<String>) {
        (kind, decode::<Failure>(&reply).unwrap().texts)
    }

    #[test]
    fn results_errors_and_panics_are_answers() {
        let mut functions = Functions::new();
        functions.register("add", |a: &u64, b: &u64| a + b);
        functions.try_register("read", |path: &String| std::fs::read_to_string(path));
        functions.register("divide", |a: &u64, b: &u64| a / b);
        let functions = functions.in_order();
        assert_eq!(answer(&functions, &call(0, &[&[2], &[3]])), (Kind::Done, vec![5]));
        let (kind, texts) = failed(answer(&functions, &call(1, &[&[2], &[0]])));
        assert_eq!((kind, texts), (Kind::Panicked, vec!["attempt to divide by zero".into()]));
        let (kind, texts) = failed(answer(&functions, &call(2, &[b"\x05/none"])));
        assert!(kind == Kind::Failed && texts[0].contains("No such file"), "{texts:?}");
        let (kind, texts) = failed(answer(&functions, &call(0, &[&[2]])));
        assert_eq!((kind, texts), (Kind::Failed, vec!["1 arguments came for 2".into()]));
        let (kind, texts) = failed(answer(&functions, &call(9, &[])));
        assert!(kind == Kind::Failed && texts[0].contains("there is not"), "{texts:?}");
    }

    #[test]
    fn a_call_that_is_cut_is_an_error_and_no_panic() {
        let whole = call(0, &[&[2], &[3]]);
        let mut functions = Functions::new();
        functions.register("add", |a: &u64, b: &u64| a + b);
        let functions = functions.in_order();
        for end in 0..whole.len() {
            assert_eq!(answer(&functions, &whole[..end]).0, Kind::Failed, "cut at {end}");
        }
    }

    #[test]
    fn an_errors_sources_go_along() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::fmt::Error);
        let failure = Failure::of(&(Box::new(Outer(std::fmt::Error)) as BoxError));
        assert_eq!(failure.texts, ["outer".to_string(), std::fmt::Error.to_string()]);
    }
}
