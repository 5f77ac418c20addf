//! Parts of local files that the system has in its page cache.
//!
//! Whoever reads a file that may be on a disk must not hold up an async thread, so the reads of
//! a store of files run on threads of their own, each with a hand-over there and back. What is in
//! memory already is copied at once instead: Linux tells by the flag `RWF_NOWAIT` of `preadv2`,
//! which reads nothing that it would have to wait for.

use std::ops::Range;

use bytes::Bytes;
use object_store::path::Path;

/// The ranges of a file, if all of them are in memory; `None` where one is not, for a range
/// that reaches past the file's end, where the system does not tell, and for every failure:
/// reading as usual says why.
#[cfg(target_os = "linux")]
pub(super) fn ranges(location: &Path, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
    use std::fs::File;

    let path = object_store::local::LocalFileSystem::new().path_to_filesystem(location).ok()?;
    let file = File::open(path).ok()?;
    ranges.iter().map(|range| read(&file, range)).collect()
}

#[cfg(target_os = "linux")]
fn read(file: &std::fs::File, range: &Range<u64>) -> Option<Bytes> {
    use std::io::IoSliceMut;

    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    let mut bytes = vec![0; usize::try_from(range.end.checked_sub(range.start)?).ok()?];
    let mut done = 0;
    while done < bytes.len() {
        let mut rest = [IoSliceMut::new(&mut bytes[done..])];
        let at = range.start + done as u64;
        match preadv2(file, &mut rest, at, ReadWriteFlags::NOWAIT) {
            Ok(0) => return None,
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(bytes.into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn ranges(_location: &Path, _ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_written_is_in_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a file.bin");
        let all: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &all).expect("a file");
        let location = Path::from_absolute_path(&path).expect("a location");
        let wanted = [0..10, 4090..100_000, 199_999..200_000, 7..7];
        // A file system may not tell; what it gives is right.
        if let Some(got) = ranges(&location, &wanted) {
            for (range, bytes) in wanted.iter().zip(&got) {
                assert_eq!(*bytes, all[range.start as usize..range.end as usize], "{range:?}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_left_to_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("short");
        std::fs::write(&path, b"0123456789").expect("a file");
        let location = Path::from_absolute_path(&path).expect("a location");
        assert_eq!(ranges(&location, &[0..4, 8..12]), None, "past the end");
        assert_eq!(ranges(&location, &[0..1, Range { start: 5, end: 4 }]), None, "backwards");
        let none = Path::from_absolute_path(folder.path().join("none")).expect("a location");
        assert_eq!(ranges(&none, &[0..1, 1..2]), None);
        let folder = Path::from_absolute_path(folder.path()).expect("a location");
        assert_eq!(ranges(&folder, &[0..1, 1..2]), None);
    }
}
