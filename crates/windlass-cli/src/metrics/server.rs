//! A small web server: one path, GET and HEAD, a thread for each of a few connections.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::text::CONTENT_TYPE;

/// How long a client may take for its request, and for the answer: a scrape takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request's head; more is refused.
const HEAD: usize = 16 << 10;
/// Headers of a request; more are refused.
const HEADERS: usize = 64;
/// Connections at once; more are closed unanswered.
const CONNECTIONS: usize = 16;

/// The answer to a request.
struct Answer {
    status: &'static str,
    content_type: &'static str,
    more: &'static str,
    body: String,
}

impl Answer {
    fn plain(status: &'static str, body: &str) -> Self {
        let content_type = "text/plain; charset=utf-8";
        Self { status, content_type, more: "", body: format!("{body}\n") }
    }
}

/// Answers at an address until the process ends; `text` makes the page. Gives the address, which
/// has a port of the system's choice where 0 was asked for.
///
/// # Errors
/// If the address cannot be had, or the system gives no thread.
pub(super) fn serve(
    address: &[SocketAddr],
    text: impl Fn() -> String + Send + Sync + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let local = listener.local_addr()?;
    let text = Arc::new(text);
    let open = Arc::new(AtomicUsize::new(0));
    let thread = std::thread::Builder::new().name("windlass-metrics".into());
    thread.spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Such as too many open files: others may close theirs.
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            if open.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS {
                open.fetch_sub(1, Ordering::AcqRel);
                continue;
            }
            let (text, own) = (Arc::clone(&text), Arc::clone(&open));
            let thread = std::thread::Builder::new().name("windlass-scrape".into());
            let spawned = thread.spawn(move || {
                let _place = Place(own);
                // A client that goes away or is too slow loses its answer.
                let _ = answer(stream, &*text);
            });
            if spawned.is_err() {
                open.fetch_sub(1, Ordering::AcqRel);
            }
        }
    })?;
    Ok(local)
}

/// A connection's place among those that are open.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Reads one request and answers it.
fn answer(mut stream: TcpStream, text: &dyn Fn() -> String) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut block = [0; 2048];
    let (answer, is_head) = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break (Answer::plain("408 Request Timeout", "too slow"), false);
        }
        stream.set_read_timeout(Some(left))?;
        let n = match stream.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(e) => return Err(e),
        };
        head.extend_from_slice(&block[..n]);
        if let Some(answer) = request(&head, text) {
            break answer;
        }
        if head.len() > HEAD {
            break (Answer::plain("431 Request Header Fields Too Large", "too large"), false);
        }
    };
    let Answer { status, content_type, more, body } = answer;
    let length = body.len();
    let mut out = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         {more}Connection: close\r\n\r\n"
    );
    if !is_head {
        out += &body;
    }
    stream.write_all(out.as_bytes())?;
    stream.shutdown(Shutdown::Write)
}

/// The answer to a request, and whether only its head is wanted; `None` where it is not whole.
fn request(head: &[u8], text: &dyn Fn() -> String) -> Option<(Answer, bool)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => {
            let answer = Answer::plain("431 Request Header Fields Too Large", "too many headers");
            return Some((answer, false));
        }
        Err(e) => return Some((Answer::plain("400 Bad Request", &e.to_string()), false)),
    }
    let path = request.path.unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let is_head = request.method == Some("HEAD");
    let answer = match (request.method, path) {
        (Some("GET" | "HEAD"), "/metrics") => {
            Answer { status: "200 OK", content_type: CONTENT_TYPE, more: "", body: text() }
        }
        (_, "/metrics") => Answer {
            more: "Allow: GET, HEAD\r\n",
            ..Answer::plain("405 Method Not Allowed", "only GET and HEAD")
        },
        _ => Answer::plain("404 Not Found", "the metrics are at /metrics"),
    };
    Some((answer, is_head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> SocketAddr {
        serve(&["127.0.0.1:0".parse().unwrap()], || "a 1\n".to_string()).unwrap()
    }

    /// What comes back for these bytes.
    fn ask(to: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // One that is refused early is closed while we write.
        let _ = stream.write_all(bytes);
        let mut out = Vec::new();
        let _ = stream.read_to_end(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn only_one_path_and_two_methods_are_there() {
        let to = start();
        let ok = ask(to, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(ok.starts_with("HTTP/1.1 200 OK\r\n") && ok.ends_with("\r\n\r\na 1\n"), "{ok}");
        assert!(ok.contains("Content-Type: text/plain; version=0.0.4"), "{ok}");
        assert!(ok.contains("Content-Length: 4\r\n"), "{ok}");
        let head = ask(to, b"HEAD /metrics?x=1 HTTP/1.1\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("GET /metrics/x HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405"),
            ("DELETE /metrics HTTP/1.0\r\n\r\n", "405"),
            ("\u{0}\u{1}garbage\r\n\r\n", "400"),
            ("GET /metrics HTTP/9.9\r\n\r\n", "400"),
        ] {
            let answer = ask(to, request.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        }
        let allow = ask(to, b"PUT /metrics HTTP/1.1\r\n\r\n");
        assert!(allow.contains("\r\nAllow: GET, HEAD\r\n"), "{allow}");
    }

    #[test]
    fn a_request_may_come_byte_by_byte_but_not_without_end() {
        let to = start();
        let mut stream = TcpStream::connect(to).unwrap();
        for byte in b"GET /metrics HTTP/1.1\r\n\r\n" {
            stream.write_all(&[*byte]).unwrap();
        }
        let mut out = String::new();
        stream.read_to_string(&mut out).unwrap();
        assert!(out.ends_with("a 1\n"), "{out}");
        let mut large = b"GET /metrics HTTP/1.1\r\nX: ".to_vec();
        large.resize(HEAD + 4096, b'x');
        assert!(!ask(to, &large).contains("200"));
        let many = "A: b\r\n".repeat(HEADERS + 1);
        let answer = ask(to, format!("GET /metrics HTTP/1.1\r\n{many}\r\n").as_bytes());
        assert!(!answer.contains("200"), "{answer}");
    }

    #[test]
    fn clients_that_say_nothing_lose_their_place_and_hold_up_nobody() {
        let to = start();
        let silent: Vec<TcpStream> =
            (0..CONNECTIONS - 1).map(|_| TcpStream::connect(to).unwrap()).collect();
        let ok = ask(to, b"GET /metrics HTTP/1.1\r\n\r\n");
        assert!(ok.starts_with("HTTP/1.1 200"), "{ok}");
        let more: Vec<TcpStream> =
            (0..CONNECTIONS).map(|_| TcpStream::connect(to).unwrap()).collect();
        let mut first = &silent[0];
        let mut out = String::new();
        first.read_to_string(&mut out).unwrap();
        assert!(out.starts_with("HTTP/1.1 408"), "{out}");
        drop((silent, more));
        // Their places are free again.
        let deadline = Instant::now() + 2 * PATIENCE;
        while !ask(to, b"GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200") {
            assert!(Instant::now() < deadline, "no place became free");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
