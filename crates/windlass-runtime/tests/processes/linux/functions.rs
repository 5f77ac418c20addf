//! The functions that the tests' workers can call, and what they do to their process.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use windlass_runtime::{
    delayed::DelayedFn,
    processes::{Functions, List, ProcessExecutor, ProcessOptions},
};

/// Words and how often they stand.
pub(crate) type Counts = BTreeMap<String, u64>;

/// A type that claims that it can be written, and cannot.
#[derive(Debug)]
pub(crate) struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not this one"))
    }
}

impl<'de> Deserialize<'de> for Unwritable {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

/// A type that is written otherwise than it is read.
#[derive(Debug)]
pub(crate) struct Unreadable;

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|_| Self)
    }
}

impl Serialize for Unreadable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(200)
    }
}

/// The functions, each under its name.
pub(crate) struct All {
    pub(crate) functions: Functions,
    pub(crate) add: DelayedFn<(u64, u64), u64>,
    pub(crate) mix: DelayedFn<List<u64>, u64>,
    pub(crate) count: DelayedFn<(String,), Counts>,
    pub(crate) merge: DelayedFn<List<Counts>, Counts>,
    pub(crate) abort: DelayedFn<(u64,), u64>,
    pub(crate) abort_once: DelayedFn<(String, u64), u64>,
    pub(crate) load: DelayedFn<(String, u64), u64>,
    pub(crate) last_words: DelayedFn<(), u64>,
    pub(crate) exit: DelayedFn<(i32,), u64>,
    pub(crate) panic: DelayedFn<(String,), u64>,
    pub(crate) fail: DelayedFn<(String,), u64>,
    pub(crate) pid: DelayedFn<(), u32>,
    pub(crate) hang: DelayedFn<(String,), u64>,
    pub(crate) print: DelayedFn<(), String>,
    pub(crate) bytes: DelayedFn<(u64,), Vec<u8>>,
    pub(crate) sum_bytes: DelayedFn<(Vec<u8>,), u64>,
    pub(crate) keep: DelayedFn<(u64,), u32>,
    pub(crate) nested: DelayedFn<(), String>,
    pub(crate) babble: DelayedFn<(), u64>,
    pub(crate) unwritable: DelayedFn<(), Unwritable>,
    pub(crate) unreadable: DelayedFn<(), Unreadable>,
}

/// A number that depends on others and on their order.
pub(crate) fn mixed(all: &[Arc<u64>]) -> u64 {
    all.iter().fold(7, |h: u64, x| (h.rotate_left(5) ^ **x).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Sleeps for ever, once it has told that it does. The file comes whole.
fn hang(path: &str) -> ! {
    let own = format!("{path}.{}", std::process::id());
    fs::write(&own, std::process::id().to_string()).unwrap();
    fs::rename(own, path).unwrap();
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Writes what is no frame to every socket that the process has.
fn babble() -> u64 {
    #[cfg(unix)]
    for fd in 3..64 {
        use std::os::{fd::FromRawFd, unix::net::UnixStream};
        // SAFETY: it is not closed by its drop, and of what is no socket no address is got.
        let stream = std::mem::ManuallyDrop::new(unsafe { UnixStream::from_raw_fd(fd) });
        if stream.local_addr().is_ok() {
            let _ = (&*stream).write_all(b"this is no frame at all, whatever it may be");
        }
    }
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

impl All {
    pub(crate) fn new() -> Self {
        let mut f = Functions::new();
        Self {
            add: f.register("add", |a: &u64, b: &u64| a.wrapping_add(*b)),
            mix: f.register_list("mix", mixed),
            count: f.register("count", |text: &String| {
                let mut counts = Counts::new();
                for word in text.split_whitespace() {
                    *counts.entry(word.to_lowercase()).or_default() += 1;
                }
                counts
            }),
            merge: f.register_list("merge", |parts: &[Arc<Counts>]| {
                let mut all = Counts::new();
                for (word, n) in parts.iter().flat_map(|p| p.iter()) {
                    *all.entry(word.clone()).or_default() += n;
                }
                all
            }),
            abort: f.register("abort", |_: &u64| std::process::abort()),
            abort_once: f.register("abort_once", |path: &String, x: &u64| {
                if fs::File::create_new(path).is_ok() {
                    std::process::abort();
                }
                *x
            }),
            // Whoever makes the file hangs, but where it is a folder; others just go on.
            load: f.register("load", |path: &String, x: &u64| {
                if !path.is_empty() && !Path::new(path).exists() {
                    hang(path);
                }
                x * x
            }),
            last_words: f.register("last_words", || {
                eprintln!("the disk is on fire");
                eprintln!("goodbye");
                std::process::abort()
            }),
            exit: f.register("exit", |code: &i32| std::process::exit(*code)),
            panic: f.register("panic", |text: &String| -> u64 { panic!("{text}") }),
            fail: f.try_register("fail", |text: &String| Err::<u64, _>(text.clone())),
            pid: f.register("pid", std::process::id),
            hang: f.register("hang", |path: &String| -> u64 { hang(path) }),
            print: f.register("print", || {
                println!("a line on standard output");
                eprintln!("a line on standard error");
                let _ = std::io::stdout().write_all(&[0; 100]);
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).unwrap();
                text
            }),
            bytes: f.register("bytes", |n: &u64| (0..*n).map(|i| i as u8).collect()),
            sum_bytes: f
                .register("sum_bytes", |all: &Vec<u8>| all.iter().map(|b| u64::from(*b)).sum()),
            keep: f.register("keep", |n: &u64| {
                Box::leak(vec![1_u8; *n as usize].into_boxed_slice());
                std::process::id()
            }),
            nested: f.register("nested", || {
                let options = ProcessOptions::default().workers(1);
                ProcessExecutor::new(options, &Functions::new()).unwrap_err().to_string()
            }),
            babble: f.register("babble", babble),
            unwritable: f.register("unwritable", || Unwritable),
            unreadable: f.register("unreadable", || Unreadable),
            functions: f,
        }
    }
}
