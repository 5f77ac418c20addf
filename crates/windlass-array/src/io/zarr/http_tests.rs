//! Zarr behind HTTP: a small server of a folder.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::{DType, Index};

/// Answers one request: `GET` and `HEAD` of files, and ranges of them.
fn answer(folder: &Path, stream: &TcpStream) -> std::io::Result<bool> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(false) };
    let mut range = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (begin, end) = bytes.split_once('-').unwrap();
            range = Some((begin.parse::<usize>().unwrap(), end.parse::<usize>().unwrap()));
        }
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let mut to = stream;
    let Ok(file) = fs::read(folder.join(path.trim_start_matches('/'))) else {
        write!(to, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(true);
    };
    let (status, part, more) = match range {
        Some((begin, _)) if begin >= file.len() => {
            ("416 Range Not Satisfiable", &[][..], String::new())
        }
        Some((begin, end)) => {
            let end = (end + 1).min(file.len());
            let more = format!("Content-Range: bytes {begin}-{}/{}\r\n", end - 1, file.len());
            ("206 Partial Content", &file[begin..end], more)
        }
        None => ("200 OK", &file[..], String::new()),
    };
    let modified = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    write!(to, "HTTP/1.1 {status}\r\n{modified}{more}Content-Length: {}\r\n\r\n", part.len())?;
    if method == "GET" {
        to.write_all(part)?;
    }
    Ok(true)
}

/// A server of a folder: its address, and how many requests it had.
fn serve(folder: PathBuf) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (folder, counted) = (folder.clone(), Arc::clone(&counted));
            std::thread::spawn(move || {
                while answer(&folder, &stream).unwrap_or(false) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (address, count)
}

#[test]
fn arrays_behind_http_are_read_chunk_by_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let x = Array::arange(0, 10_000, 1).unwrap().reshape([100, 100]).unwrap();
    let options = ZarrWrite::default().chunk([10, 10]);
    x.to_zarr(folder.path().join("plain"), &options.clone().codec(Codec::None)).unwrap();
    x.to_zarr(folder.path().join("shards"), &options.clone().shard([50, 50])).unwrap();
    x.to_zarr(folder.path().join("old"), &options.version(2)).unwrap();
    let (address, count) = serve(folder.path().to_path_buf());
    for name in ["plain", "shards", "old"] {
        let y = Array::from_zarr(format!("{address}/{name}")).unwrap();
        assert_eq!((y.shape(), y.dtype()), (x.shape(), DType::I64));
        assert_eq!(y.compute::<i64>().unwrap(), x.compute::<i64>().unwrap());
        let part = [Index::from(13..27), Index::from(31..35)];
        let before = count.load(Ordering::Relaxed);
        let read = y.index(&part).unwrap().compute::<i64>().unwrap();
        assert_eq!(read, x.index(&part).unwrap().compute::<i64>().unwrap());
        let requests = count.load(Ordering::Relaxed) - before;
        assert!(requests <= 16, "{requests} requests for 2 chunks");
    }
    let missing = Array::from_zarr(format!("{address}/none")).unwrap_err().to_string();
    assert!(missing.contains("no Zarr array") && missing.contains(&address), "{missing}");
    let error = x.to_zarr(format!("{address}/new"), &ZarrWrite::default()).unwrap_err();
    assert!(error.to_string().contains("read only"), "{error}");
}
