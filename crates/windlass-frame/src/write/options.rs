//! How frames are written.

use std::collections::HashMap;

use crate::{
    error::{FrameError, Result},
    read::FileFormat,
};

/// What happens to what is at the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteMode {
    /// A file, or an earlier output of ours in a folder, is replaced as a whole. A folder
    /// with other files in it is an error. An object store has no way to replace a folder at
    /// once: there the old files go when the new ones have their names.
    #[default]
    Replace,
    /// Files are added to the folder.
    Append,
    /// The write fails.
    Fail,
}

impl WriteMode {
    fn parse(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "replace" | "overwrite" => Ok(Self::Replace),
            "append" => Ok(Self::Append),
            "fail" | "error" => Ok(Self::Fail),
            _ => Err(FrameError::InvalidOption {
                option: "mode".to_string(),
                expected: "replace, append or fail".to_string(),
                got: format!("{text:?}"),
            }),
        }
    }
}

/// How a frame is written.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Columns that become folders, `name=value`, and leave the files. Null is written as
    /// `__HIVE_DEFAULT_PARTITION__`.
    pub partition_by: Vec<String>,
    /// Parquet: `snappy`, `zstd(3)`, `gzip(6)`, `lz4`, `uncompressed`. CSV and JSON: `gzip`,
    /// `zstd`, `bzip2`, `xz`. Arrow: none to choose.
    pub compression: Option<String>,
    /// Bytes that a file in a folder should have at most, about. Files are cut after they
    /// were written, so this costs a second pass over those that are too large. Local
    /// targets only.
    pub target_file_size: Option<u64>,
    /// What happens to what is at the target already.
    pub mode: WriteMode,
}

/// What a write left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

/// Takes our own options out of those of a `COPY`.
///
/// # Errors
/// [`FrameError::InvalidOption`] for a wrong value.
pub(super) fn take_own(options: &mut HashMap<String, String>) -> Result<(WriteMode, Option<u64>)> {
    let mut take =
        |name: &str| options.remove(name).or_else(|| options.remove(&format!("format.{name}")));
    let mode = take("mode").map_or(Ok(WriteMode::default()), |text| WriteMode::parse(&text))?;
    let size = take("target_file_size").map(|text| bytes(&text)).transpose()?;
    Ok((mode, size))
}

/// `1000000`, `64MB`, `1 GiB`.
fn bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kb" => Some(1_000),
        "m" | "mb" => Some(1_000_000),
        "g" | "gb" => Some(1_000_000_000),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        _ => None,
    };
    let number = digits.trim().parse::<u64>().ok().filter(|n| *n > 0);
    unit.zip(number).map(|(u, n)| u * n).ok_or_else(|| FrameError::InvalidOption {
        option: "target_file_size".to_string(),
        expected: "a number of bytes like 64MB or 1GiB".to_string(),
        got: format!("{text:?}"),
    })
}

/// DataFusion's options for ours.
///
/// # Errors
/// [`FrameError::InvalidOption`] for a compression that the format does not have.
pub(super) fn engine(
    format: FileFormat,
    compression: Option<&str>,
) -> Result<HashMap<String, String>> {
    let mut out = HashMap::new();
    let Some(text) = compression else { return Ok(out) };
    let lower = text.to_ascii_lowercase();
    let known = match format {
        FileFormat::Parquet => &["snappy", "zstd", "gzip", "lz4", "lz4_raw", "brotli"][..],
        FileFormat::Csv | FileFormat::Json => &["gzip", "gz", "zstd", "zst", "bzip2", "bz2", "xz"],
        FileFormat::Arrow | FileFormat::Avro => &[],
    };
    let codec = lower.split('(').next().unwrap_or_default();
    if codec == "uncompressed" || codec == "none" {
        if matches!(format, FileFormat::Parquet | FileFormat::Csv | FileFormat::Json) {
            out.insert("format.compression".to_string(), "uncompressed".to_string());
        }
        return Ok(out);
    }
    if !known.contains(&codec) {
        return Err(FrameError::InvalidOption {
            option: "compression".to_string(),
            expected: match known {
                [] => format!("nothing: {} has no choice", format.name()),
                many => format!("{} for {}", many.join(", "), format.name()),
            },
            got: format!("{text:?}"),
        });
    }
    let value = match (format, lower.as_str()) {
        // DataFusion wants a level; these are the libraries' defaults.
        (FileFormat::Parquet, "zstd") => "zstd(3)".to_string(),
        (FileFormat::Parquet, "gzip") => "gzip(6)".to_string(),
        (FileFormat::Parquet, "brotli") => "brotli(5)".to_string(),
        _ => lower,
    };
    out.insert("format.compression".to_string(), value);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("64MB").unwrap(), 64_000_000);
        assert_eq!(bytes("1 GiB").unwrap(), 1 << 30);
        assert_eq!(bytes("100").unwrap(), 100);
        for wrong in ["", "0", "x", "5 parsecs"] {
            let e = bytes(wrong).unwrap_err().to_string();
            assert!(e.contains("64MB"), "{wrong}: {e}");
        }
    }

    #[test]
    fn compression_must_fit_the_format() {
        let of = |format, text| engine(format, Some(text));
        assert_eq!(of(FileFormat::Parquet, "ZSTD").unwrap()["format.compression"], "zstd(3)");
        assert_eq!(of(FileFormat::Csv, "gzip").unwrap()["format.compression"], "gzip");
        let e = of(FileFormat::Csv, "snappy").unwrap_err().to_string();
        assert!(e.contains("snappy") && e.contains("gzip"), "{e}");
        assert!(of(FileFormat::Arrow, "zstd").is_err());
    }
}
