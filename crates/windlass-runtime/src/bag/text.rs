//! Text files as bags of lines.

use std::{
    any::Any,
    fmt::Display,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};
use thiserror::Error;

use super::{Bag, task_over};
use crate::{
    delayed::{Delayed, GroupDef, RunGraph, compute_on, try_delayed},
    execute::Executor,
    graph::{Value, Work},
    schedule::RunError,
    whole_file::write_whole,
};

/// Why text files were not read or written.
#[derive(Debug, Error)]
pub enum TextError {
    /// The pattern is none.
    #[error("{pattern} is no path or glob: {message}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// No file has such a name.
    #[error("no file matches {pattern}")]
    NoFile {
        /// The pattern.
        pattern: String,
    },
    /// A file could not be looked at, read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A task failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// How text files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Bytes of a partition: larger files are split where lines end. Compressed files
    /// (`.gz`) are a partition each.
    pub block_bytes: u64,
}

impl Default for TextOptions {
    /// Partitions of 32 MiB: a guess, small against memory and large against a task's cost.
    fn default() -> Self {
        Self { block_bytes: 32 << 20 }
    }
}

/// A share of a file: the lines that begin there.
#[derive(Debug, Clone)]
struct Block {
    path: Arc<Path>,
    begin: u64,
    end: u64,
}

fn at(path: &Path) -> impl Fn(io::Error) -> TextError + '_ {
    |source| TextError::File { path: path.to_path_buf(), source }
}

fn compressed(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "gz")
}

impl Bag<String> {
    /// The lines of the files that a path or glob names, in the order of their names,
    /// without the ends of lines. Files are looked at now and read when they are needed.
    ///
    /// # Errors
    /// If the pattern is none, or no file matches it, or one cannot be looked at. Reading
    /// fails the task that reads, with the file's name.
    pub fn read_text(pattern: &str) -> Result<Self, TextError> {
        Self::read_text_with(pattern, TextOptions::default())
    }

    /// As [`Bag::read_text`], with options.
    ///
    /// # Errors
    /// As there.
    pub fn read_text_with(pattern: &str, options: TextOptions) -> Result<Self, TextError> {
        let bad = |e: glob::PatternError| TextError::Pattern {
            pattern: pattern.into(),
            message: e.msg.into(),
        };
        let mut blocks = Vec::new();
        // A file whose name has a glob's characters is found by its name.
        let literal = Path::new(pattern);
        let paths = if literal.is_file() {
            vec![literal.to_path_buf()]
        } else {
            let mut paths = Vec::new();
            for entry in glob::glob(pattern).map_err(bad)? {
                paths.push(entry.map_err(|e| TextError::File {
                    path: e.path().to_path_buf(),
                    source: e.into(),
                })?);
            }
            paths
        };
        for path in paths {
            let metadata = fs::metadata(&path).map_err(at(&path))?;
            if metadata.is_dir() {
                continue;
            }
            let size = if compressed(&path) { u64::MAX } else { metadata.len() };
            let step = if compressed(&path) { u64::MAX } else { options.block_bytes.max(1) };
            let (path, mut begin): (Arc<Path>, u64) = (path.into(), 0);
            loop {
                let end = begin.saturating_add(step).min(size);
                blocks.push(Block { path: Arc::clone(&path), begin, end });
                begin = end;
                if begin >= size {
                    break;
                }
            }
        }
        if blocks.is_empty() {
            return Err(TextError::NoFile { pattern: pattern.into() });
        }
        let read = try_delayed(|block: &Block| read(block).map_err(at(&block.path)));
        let bytes = |lines: &Vec<String>| {
            lines.iter().map(|l| (l.capacity() + size_of::<String>()) as u64).sum()
        };
        Ok(Self { parts: read.named("read_text").sized(bytes).map(blocks) })
    }
}

/// The lines that begin in a block.
fn read(block: &Block) -> io::Result<Vec<String>> {
    let mut file = File::open(&block.path)?;
    if compressed(&block.path) {
        return lines(&mut BufReader::new(MultiGzDecoder::new(BufReader::new(file))), u64::MAX);
    }
    let mut length = block.end - block.begin;
    // A line that began before belongs to the block before, with its end.
    file.seek(SeekFrom::Start(block.begin.saturating_sub(1)))?;
    let mut from = BufReader::new(file);
    if block.begin > 0 {
        let skipped = skip_line(&mut from)?;
        // One of them stands before the block.
        match length.checked_sub(skipped.saturating_sub(1)) {
            Some(left) => length = left,
            None => return Ok(Vec::new()),
        }
    }
    lines(&mut from, length)
}

/// Reads to the end of a line, and beyond it nothing: the bytes that were read.
fn skip_line(from: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(skipped);
        }
        let end = buffer.iter().position(|b| *b == b'\n');
        let n = end.map_or(buffer.len(), |i| i + 1);
        from.consume(n);
        skipped += n as u64;
        if end.is_some() {
            return Ok(skipped);
        }
    }
}

/// The lines that begin in the first bytes.
fn lines(from: &mut impl BufRead, mut bytes: u64) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    while bytes > 0 {
        let mut line = String::new();
        let n = from.read_line(&mut line)? as u64;
        if n == 0 {
            break;
        }
        bytes = bytes.saturating_sub(n);
        // A carriage return belongs to the end of a line only before its newline.
        if line.ends_with('\n') {
            line.truncate(if line.ends_with("\r\n") { line.len() - 2 } else { line.len() - 1 });
        }
        lines.push(line);
    }
    Ok(lines)
}

impl<T: Any + Send + Sync + Display> Bag<T> {
    /// Writes each partition to a file, an element a line. In `pattern` a `*` is replaced by
    /// the partition's number, with as many digits as the last one's; a name that ends in
    /// `.gz` is compressed. The folder is made if it is not there. A file has its name only
    /// when it is whole.
    ///
    /// # Errors
    /// If there is more than one partition and no `*`, or a file cannot be written.
    pub fn write_text(&self, pattern: &str) -> Result<Vec<PathBuf>, TextError> {
        self.write_text_on(pattern, Executor::global())
    }

    /// As [`Bag::write_text`], run there.
    ///
    /// # Errors
    /// As there.
    pub fn write_text_on(
        &self,
        pattern: &str,
        on: &impl RunGraph,
    ) -> Result<Vec<PathBuf>, TextError> {
        if self.parts.len() > 1 && pattern.matches('*').count() != 1 {
            return Err(TextError::Pattern {
                pattern: pattern.into(),
                message: format!(
                    "it is to name {} files, so it needs one *, in whose place their numbers go",
                    self.parts.len()
                ),
            });
        }
        let group = GroupDef::named("write_text");
        let digits = self.parts.len().saturating_sub(1).to_string().len();
        let tasks: Vec<Delayed<PathBuf>> = self
            .parts
            .iter()
            .enumerate()
            .map(|(i, part)| {
                let path = PathBuf::from(pattern.replace('*', &format!("{i:0digits$}")));
                let work: Work = Arc::new(move |c| {
                    write(&path, c.input::<Vec<T>>(0)?).map_err(at(&path))?;
                    Ok(Value::new(path.clone()))
                });
                task_over(&group, vec![Arc::clone(&part.node)], work)
            })
            .collect();
        Ok(compute_on(&tasks, on)?.iter().map(|p| p.to_path_buf()).collect())
    }
}

fn write<T: Display>(path: &Path, elements: &[T]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    write_whole(path, |file| {
        let mut to = BufWriter::new(file);
        if compressed(path) {
            let mut to = GzEncoder::new(to, Compression::default());
            write_lines(&mut to, elements)?;
            return to.finish()?.flush();
        }
        write_lines(&mut to, elements)?;
        to.flush()
    })
}

fn write_lines<T: Display>(to: &mut impl Write, elements: &[T]) -> io::Result<()> {
    elements.iter().try_for_each(|x| writeln!(to, "{x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_size_gives_the_same_lines() {
        let folder = tempfile::tempdir().unwrap();
        let texts =
            ["", "\n", "a", "a\n", "a\nbc\n\nd", "\n\n\n", "a\r\nb\r\n\r\nc\rd\n", "äö\nü\n"];
        for (i, text) in texts.iter().enumerate() {
            let path = folder.path().join(format!("{i}.txt"));
            fs::write(&path, text).unwrap();
            let expected: Vec<String> = text.lines().map(str::to_string).collect();
            for block_bytes in (1..=text.len() as u64 + 1).chain([0]) {
                let options = TextOptions { block_bytes };
                let bag = Bag::read_text_with(path.to_str().unwrap(), options).unwrap();
                assert_eq!(bag.compute().unwrap(), expected, "{text:?} by {block_bytes}");
            }
        }
        let all = Bag::read_text(folder.path().join("*.txt").to_str().unwrap()).unwrap();
        let expected: Vec<&str> = texts.iter().flat_map(|t| t.lines()).collect();
        assert_eq!(all.compute().unwrap(), expected);
    }

    #[test]
    fn what_is_written_is_read_again_compressed_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let lines: Vec<String> = (0..1000).map(|i| format!("line {i}")).collect();
        let bag = Bag::from_vec(lines.clone(), 12);
        for end in ["txt", "txt.gz"] {
            let pattern = folder.path().join("new").join(format!("*.{end}"));
            let paths = bag.write_text(pattern.to_str().unwrap()).unwrap();
            assert_eq!(paths.len(), 12);
            assert!(paths[3].ends_with(format!("new/03.{end}")), "{paths:?}");
            assert_eq!(
                Bag::read_text(pattern.to_str().unwrap()).unwrap().compute().unwrap(),
                lines
            );
        }
        let left = fs::read_dir(folder.path().join("new")).unwrap().count();
        assert_eq!(left, 24, "no temporary file is left");
    }

    #[test]
    fn bad_names_and_files_are_told() {
        let error = Bag::read_text("/nowhere/*.txt").unwrap_err().to_string();
        assert_eq!(error, "no file matches /nowhere/*.txt");
        assert!(matches!(Bag::read_text("a[").unwrap_err(), TextError::Pattern { .. }));
        let two = Bag::from_vec(vec![1, 2], 2);
        let error = two.write_text("out.txt").unwrap_err().to_string();
        assert!(error.contains("out.txt") && error.contains("2 files"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latin.txt");
        fs::write(&path, b"caf\xe9\n").unwrap();
        let bag = Bag::read_text(path.to_str().unwrap()).unwrap();
        let error = bag.compute().unwrap_err().to_string();
        assert!(error.contains("latin.txt") && error.contains("UTF-8"), "{error}");
        let bag = Bag::read_text(path.to_str().unwrap()).unwrap();
        fs::remove_file(&path).unwrap();
        let error = bag.count().compute().unwrap_err().to_string();
        assert!(error.contains("read_text[0] failed") && error.contains("latin.txt"), "{error}");
    }
}
