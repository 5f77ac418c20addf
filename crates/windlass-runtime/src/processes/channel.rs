//! The channel between an executor and one of its workers.
//!
//! On Unix it is a pair of sockets, of which the worker gets one as its standard input and at
//! once puts it aside, so that nothing that a task reads, prints or starts can touch it. On
//! other systems, and where it is asked for, it is a connection over 127.0.0.1: each side shows
//! the other a secret that the worker finds in its environment.

use std::{
    hash::{BuildHasher, RandomState},
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

#[cfg(unix)]
use std::os::unix::net::UnixStream;

/// By this variable a worker knows what it is, and where its channel is.
pub(crate) const VARIABLE: &str = "WINDLASS_WORKER";

/// Its value where the channel is the standard input.
#[cfg(unix)]
const INHERITED: &str = "stdin";

/// How long one that connects may take to show its secret: one that has none holds up a
/// worker's start no longer.
const SHOW: Duration = Duration::from_millis(500);

/// A secret's bytes.
const SECRET: usize = 32;

/// One end of a channel.
#[derive(Debug)]
pub(crate) enum Stream {
    #[cfg(unix)]
    Pair(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    /// How long one read or write may take before it returns with an error.
    pub(crate) fn set_tick(&self, tick: Option<Duration>) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::Pair(s) => s.set_read_timeout(tick).and_then(|()| s.set_write_timeout(tick)),
            Self::Tcp(s) => s.set_read_timeout(tick).and_then(|()| s.set_write_timeout(tick)),
        }
    }

    /// The same end once more.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        match self {
            #[cfg(unix)]
            Self::Pair(s) => s.try_clone().map(Self::Pair),
            Self::Tcp(s) => s.try_clone().map(Self::Tcp),
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Stream::Pair(s) => (&mut &*s).read(bytes),
            Stream::Tcp(s) => (&mut &*s).read(bytes),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Stream::Pair(s) => (&mut &*s).write(bytes),
            Stream::Tcp(s) => (&mut &*s).write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Stream::Pair(s) => (&mut &*s).write_vectored(slices),
            Stream::Tcp(s) => (&mut &*s).write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A channel whose worker has not been started, or has not come yet.
#[derive(Debug)]
pub(crate) enum Opening {
    #[cfg(unix)]
    Pair(UnixStream),
    Tcp {
        listener: TcpListener,
        /// What the worker shows, and what it is shown.
        secrets: [[u8; SECRET]; 2],
    },
}

impl Opening {
    /// A channel for the worker that a command will start.
    pub(crate) fn new(command: &mut Command, over_tcp: bool) -> io::Result<Self> {
        #[cfg(unix)]
        if !over_tcp {
            let (own, other) = UnixStream::pair()?;
            command.stdin(Stdio::from(std::os::fd::OwnedFd::from(other)));
            command.env(VARIABLE, INHERITED);
            return Ok(Self::Pair(own));
        }
        let _ = over_tcp;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let secrets = [secret(), secret()];
        let port = listener.local_addr()?.port();
        let [shown, expected] = secrets.map(|s| to_hex(&s));
        command.stdin(Stdio::null()).env(VARIABLE, format!("{port}:{shown}:{expected}"));
        Ok(Self::Tcp { listener, secrets })
    }

    /// The channel, once the worker has come; `Err` gives the rest of the wait back.
    pub(crate) fn accept(self) -> Result<Stream, (Self, io::Result<()>)> {
        match self {
            #[cfg(unix)]
            Self::Pair(own) => Ok(Stream::Pair(own)),
            Self::Tcp { listener, secrets } => {
                let accepted = match listener.accept() {
                    Ok((stream, _)) => greet(&stream, &secrets).map(|()| stream),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        return Err((Self::Tcp { listener, secrets }, Ok(())));
                    }
                    // The listener itself failed.
                    Err(e) => return Err((Self::Tcp { listener, secrets }, Err(e))),
                };
                match accepted {
                    Ok(stream) => Ok(Stream::Tcp(stream)),
                    // Someone else connected, or nobody any more.
                    Err(_) => Err((Self::Tcp { listener, secrets }, Ok(()))),
                }
            }
        }
    }
}

/// Reads the worker's secret and shows it the other.
fn greet(mut stream: &TcpStream, [shown, answer]: &[[u8; SECRET]; 2]) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SHOW))?;
    let mut bytes = [0; SECRET];
    stream.read_exact(&mut bytes)?;
    // In a time that does not tell where they differ.
    if bytes.iter().zip(shown).fold(0, |d, (a, b)| d | (a ^ b)) != 0 {
        return Err(io::Error::other("a wrong secret"));
    }
    stream.write_all(answer)
}

/// Random bytes: the system's, as far as the keyed hashes of the standard library are, whose
/// keys are.
fn secret() -> [u8; SECRET] {
    let mut bytes = [0; SECRET];
    for (i, chunk) in bytes.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&RandomState::new().hash_one(i).to_le_bytes());
    }
    bytes
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; SECRET]> {
    let mut bytes = [0; SECRET];
    if text.len() != 2 * SECRET || !text.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

/// A worker's end of the channel that the variable tells of.
///
/// # Errors
/// Why there is none, as text.
pub(crate) fn connect(place: &str) -> Result<Stream, String> {
    #[cfg(unix)]
    if place == INHERITED {
        return take_stdin().map_err(|e| format!("its standard input is no channel: {e}"));
    }
    let mut parts = place.split(':');
    let port = parts.next().and_then(|p| p.parse::<u16>().ok());
    let shown = parts.next().and_then(from_hex);
    let expected = parts.next().and_then(from_hex);
    let (Some(port), Some(shown), Some(expected)) = (port, shown, expected) else {
        return Err("its value names no channel".into());
    };
    let connected = || -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.write_all(&shown)?;
        let mut answer = [0; SECRET];
        stream.read_exact(&mut answer)?;
        if answer != expected {
            return Err(io::Error::other("another program answers there"));
        }
        Ok(stream)
    };
    connected().map(Stream::Tcp).map_err(|e| format!("127.0.0.1:{port}: {e}"))
}

/// Takes the channel out of the standard input, and leaves an empty one in its place. What the
/// worker starts gets neither.
#[cfg(unix)]
fn take_stdin() -> io::Result<Stream> {
    use std::os::fd::{AsFd, AsRawFd};
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Of anything but a socket this fails.
    stream.local_addr()?;
    let empty = std::fs::File::open("/dev/null")?;
    // SAFETY: both are open descriptors of this process; 0 stays open, as another file.
    if unsafe { libc::dup2(empty.as_raw_fd(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Stream::Pair(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(command: &Command) -> String {
        let value = command.get_envs().find(|(k, _)| *k == VARIABLE).unwrap().1.unwrap();
        value.to_str().unwrap().to_string()
    }

    /// Accepts until someone comes who knows the secret.
    fn accepted(mut opening: Opening) -> Stream {
        loop {
            match opening.accept() {
                Ok(stream) => return stream,
                Err((rest, result)) => {
                    result.unwrap();
                    opening = rest;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    #[test]
    fn over_tcp_only_one_who_knows_the_secret_gets_in() {
        let mut command = Command::new("worker");
        let opening = Opening::new(&mut command, true).unwrap();
        let place = place(&command);
        let port: u16 = place.split(':').next().unwrap().parse().unwrap();
        let stranger = std::thread::spawn(move || {
            let mut s = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            s.write_all(&[b'x'; SECRET]).unwrap();
            let mut answer = Vec::new();
            // It is closed without a word, or reset.
            let _ = s.read_to_end(&mut answer);
            answer
        });
        let worker = std::thread::spawn(move || {
            let stream = connect(&place).unwrap();
            (&stream).write_all(b"I").unwrap();
            stream
        });
        let stream = accepted(opening);
        let mut byte = [0];
        (&stream).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"I");
        assert!(stranger.join().unwrap().is_empty());
        worker.join().unwrap();
    }

    #[test]
    fn a_worker_does_not_talk_to_another_program() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let other = std::thread::spawn(move || {
            let (mut s, _) = listener.accept().unwrap();
            s.write_all(&[0; SECRET]).unwrap();
            let mut told = Vec::new();
            let _ = s.read_to_end(&mut told);
            told.len()
        });
        let [a, b] = [secret(), secret()];
        assert_ne!(a, b);
        let error = connect(&format!("{port}:{}:{}", to_hex(&a), to_hex(&b))).unwrap_err();
        assert!(error.contains("another program"), "{error}");
        assert_eq!(other.join().unwrap(), SECRET);
        assert!(connect("nowhere").unwrap_err().contains("names no channel"));
        assert_eq!(from_hex(&to_hex(&a)), Some(a));
    }
}
