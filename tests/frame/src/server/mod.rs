//! A small HTTP/1.1 server for tests: one thread a connection, answers from a closure, and
//! bodies that are slow, cut off or never end.
//!
//! | module | holds |
//! |---|---|
//! | [`files`] | a plain web server of files, with and without ranges |
//! | [`s3`] | a minimal S3, which also speaks for GCS |
//! | [`azure`] | a minimal Azure blob store |

pub mod azure;
pub mod files;
pub mod s3;

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// When every object was last changed: a fixed time, in the two forms that stores use.
pub const MODIFIED: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
/// The same in lists.
pub const MODIFIED_IN_LISTS: &str = "2026-01-01T00:00:00.000Z";

/// A request, with its path and query decoded.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path, with a slash at its start.
    pub path: String,
    /// The query's names and values.
    pub query: Vec<(String, String)>,
    /// The headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A value of the query.
    pub fn asks(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    Whole,
    /// In pieces of so many bytes with a pause before each.
    Slow(usize, Duration),
    /// So many bytes, then the connection closes.
    CutAfter(usize),
    /// So many bytes, then nothing while the server lives.
    SilentAfter(usize),
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How the body is sent.
    pub pace: Pace,
}

impl Response {
    /// A status and a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), pace: Pace::Whole }
    }

    /// One more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_string(), value.into()));
        self
    }

    /// The object, or the part of it that a request's `Range` names.
    pub fn object(request: &Request, bytes: &[u8]) -> Self {
        let size = bytes.len();
        let range = request.header("range").and_then(|r| r.strip_prefix("bytes="));
        let range = range.and_then(|r| {
            let (start, end) = r.split_once('-')?;
            Some(match (start.parse::<usize>().ok(), end.parse::<usize>().ok()) {
                (Some(start), Some(end)) => start..(end + 1).min(size),
                (Some(start), None) => start..size,
                (None, Some(last)) => size.saturating_sub(last)..size,
                (None, None) => return None,
            })
        });
        let response = match range {
            Some(r) if r.start < r.end => {
                let place = format!("bytes {}-{}/{size}", r.start, r.end - 1);
                Self::new(206, &bytes[r]).with("Content-Range", place)
            }
            Some(_) => Self::new(416, "").with("Content-Range", format!("bytes */{size}")),
            None => Self::new(200, bytes),
        };
        response.with("Last-Modified", MODIFIED).with("ETag", etag(bytes))
    }
}

/// A tag of an object's content.
pub fn etag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves answers of a closure on a free port of this machine.
    pub fn start(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let log: Arc<Mutex<Vec<Request>>> = Arc::default();
        let answer = Arc::new(answer);
        let (ends, seen) = (Arc::clone(&stop), Arc::clone(&log));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, ends) = (Arc::clone(&answer), Arc::clone(&ends));
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || {
                    // A client that goes away ends its connection, not the server.
                    let _ = serve(stream, answer.as_ref(), &seen, &ends);
                });
            }
        });
        Self { address, stop, log }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.log).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// A lock whose holder may have panicked.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(
    stream: TcpStream,
    answer: &dyn Fn(&Request) -> Response,
    log: &Mutex<Vec<Request>>,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream.try_clone()?);
    let mut output = stream;
    while let Some(request) = read(&mut input)? {
        let response = answer(&request);
        let head = request.method == "HEAD";
        lock(log).push(request);
        if !write(&mut output, &response, head, stop)? {
            return Ok(());
        }
    }
    Ok(())
}

/// The next request of a connection; `None` where it ended.
fn read(input: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_string();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|p| !p.is_empty());
    let query = pairs
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(k, v)| (decoded(k), decoded(&v.replace('+', " "))))
        .collect();
    let path = decoded(path);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
            }
            None => break,
        }
    }
    let mut request = Request { method, path, query, headers, body: Vec::new() };
    let length = request.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    input.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// Text without its percent signs.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = text.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) if bytes[i] == b'%' => {
                out.push(byte);
                i += 3;
            }
            _ => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Sends an answer; whether the connection goes on.
fn write(
    output: &mut impl Write,
    response: &Response,
    head: bool,
    stop: &AtomicBool,
) -> std::io::Result<bool> {
    let mut text = format!("HTTP/1.1 {} x\r\n", response.status);
    for (name, value) in &response.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Content-Length: {}\r\n\r\n", response.body.len());
    output.write_all(text.as_bytes())?;
    if head {
        return Ok(true);
    }
    let body = &response.body;
    match response.pace {
        Pace::Whole => output.write_all(body)?,
        Pace::Slow(piece, pause) => {
            for part in body.chunks(piece.max(1)) {
                std::thread::sleep(pause);
                output.write_all(part)?;
                output.flush()?;
            }
        }
        Pace::CutAfter(n) if n < body.len() => {
            output.write_all(&body[..n])?;
            return Ok(false);
        }
        Pace::SilentAfter(n) if n < body.len() => {
            output.write_all(&body[..n])?;
            output.flush()?;
            while !stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
            return Ok(false);
        }
        Pace::CutAfter(_) | Pace::SilentAfter(_) => output.write_all(body)?,
    }
    output.flush()?;
    Ok(true)
}
