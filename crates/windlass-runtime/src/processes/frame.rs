//! Frames: how an executor and its workers talk. Each is a header with a checksum, the payload,
//! and the payload's checksum, so that whatever else comes is told from a frame before its
//! length is believed.
//!
//! ```text
//! kind: u8 | note: u64 | length: u64 | crc32 of these: u32 | payload | crc32 of it: u32
//! ```
//!
//! Numbers are little-endian.

use std::io::{self, IoSlice, Read, Write};

const HEADER: usize = 21;

/// Payloads up to that many bytes go with their header in one write: a copy of them costs less
/// than another call of the system. A guess.
const SMALL: usize = 16 << 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A worker's first: its functions.
    Hello = 1,
    /// The answer to that.
    Welcome = 2,
    /// A task to run.
    Call = 3,
    /// A worker's answer: a result.
    Done = 4,
    /// A worker's answer: the function's error.
    Failed = 5,
    /// A worker's answer: the function panicked.
    Panicked = 6,
    /// A worker that has nothing to do is to end.
    End = 7,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        use Kind::{Call, Done, End, Failed, Hello, Panicked, Welcome};
        [Hello, Welcome, Call, Done, Failed, Panicked, End].into_iter().find(|k| *k as u8 == byte)
    }
}

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// A number beside the payload: of a worker's answers the bytes of memory that it has.
    pub(crate) note: u64,
    pub(crate) payload: Vec<u8>,
}

/// Why no frame came.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The other side closed the channel.
    Closed,
    /// It closed it before it read all that was sent; systems that do not tell say `Closed`.
    Unread,
    /// The channel failed.
    Io(io::Error),
    /// What came is no frame.
    Garbled(String),
}

impl FrameError {
    /// Whether the other side is gone.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Self::Closed | Self::Unread)
    }
}

impl From<io::Error> for FrameError {
    fn from(e: io::Error) -> Self {
        // The other side may be gone in the middle of a frame, or before all of one was read.
        match e.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => Self::Unread,
            _ => Self::Io(e),
        }
    }
}

/// Writes a frame whose payload is those parts.
pub(crate) fn write(
    mut to: impl Write,
    kind: Kind,
    note: u64,
    parts: &[&[u8]],
) -> Result<(), FrameError> {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    let mut header = [0; HEADER];
    header[0] = kind as u8;
    header[1..9].copy_from_slice(&note.to_le_bytes());
    header[9..17].copy_from_slice(&(length as u64).to_le_bytes());
    let crc = crc32fast::hash(&header[..17]);
    header[17..].copy_from_slice(&crc.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    parts.iter().for_each(|p| crc.update(p));
    let crc = crc.finalize().to_le_bytes();
    if length <= SMALL {
        let mut all = Vec::with_capacity(HEADER + length + 4);
        all.extend_from_slice(&header);
        parts.iter().for_each(|p| all.extend_from_slice(p));
        all.extend_from_slice(&crc);
        to.write_all(&all)?;
    } else {
        let whole = [&header[..]].into_iter().chain(parts.iter().copied()).chain([&crc[..]]);
        let mut slices: Vec<IoSlice<'_>> = whole.map(IoSlice::new).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            match to.write_vectored(left) {
                Ok(0) => return Err(FrameError::Closed),
                Ok(n) => IoSlice::advance_slices(&mut left, n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    Ok(to.flush()?)
}

/// Reads a frame.
pub(crate) fn read(mut from: impl Read) -> Result<Frame, FrameError> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    if crc32fast::hash(&header[..17]).to_le_bytes() != header[17..] {
        let begin: String = header.escape_ascii().map(char::from).collect();
        return Err(FrameError::Garbled(format!("no frame begins with \"{begin}\"")));
    }
    let kind = Kind::of(header[0]);
    let kind =
        kind.ok_or_else(|| FrameError::Garbled(format!("there is no kind {}", header[0])))?;
    let (note, length) = (number(1), number(9));
    let mut payload = Vec::new();
    let room = usize::try_from(length).ok().and_then(|n| payload.try_reserve_exact(n).ok());
    room.ok_or_else(|| {
        FrameError::Io(io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("there is no memory for {length} bytes"),
        ))
    })?;
    if (&mut from).take(length).read_to_end(&mut payload)? as u64 != length {
        return Err(FrameError::Closed);
    }
    let mut crc = [0; 4];
    from.read_exact(&mut crc)?;
    if crc32fast::hash(&payload).to_le_bytes() != crc {
        return Err(FrameError::Garbled(format!("the checksum of {length} bytes is wrong")));
    }
    Ok(Frame { kind, note, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: Kind, note: u64, parts: &[&[u8]]) -> Vec<u8> {
        let mut to = Vec::new();
        write(&mut to, kind, note, parts).unwrap();
        to
    }

    #[test]
    fn frames_of_all_sizes_come_back() {
        let large = vec![7; SMALL + 1];
        let frames: [&[&[u8]]; 4] = [&[], &[b"abc", b"", b"d"], &[&large], &[b"x", &large, b"y"]];
        let mut all = Vec::new();
        for parts in frames {
            all.extend(written(Kind::Call, 9, parts));
        }
        let mut from = &all[..];
        for parts in frames {
            let frame = read(&mut from).unwrap();
            assert_eq!((frame.kind, frame.note), (Kind::Call, 9));
            assert_eq!(frame.payload, parts.concat());
        }
        assert!(matches!(read(&mut from), Err(FrameError::Closed)));
    }

    #[test]
    fn every_damaged_bit_and_every_cut_is_noticed() {
        let good = written(Kind::Done, 5, &[b"result"]);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(read(&bad[..]), Err(FrameError::Garbled(_))), "bit {bit}");
        }
        for end in 0..good.len() {
            assert!(matches!(read(&good[..end]), Err(FrameError::Closed)), "cut at {end}");
        }
    }

    #[test]
    fn what_is_no_frame_is_quoted_and_not_believed() {
        let Err(FrameError::Garbled(why)) = read(&b"hello, world: this is no frame"[..]) else {
            panic!("it was read");
        };
        assert_eq!(why, "no frame begins with \"hello, world: this is\"");
        let mut long = written(Kind::Done, 0, &[b"short"]);
        long[9..17].copy_from_slice(&u64::MAX.to_le_bytes());
        let crc = crc32fast::hash(&long[..17]);
        long[17..21].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(read(&long[..]), Err(FrameError::Io(_))));
    }
}
