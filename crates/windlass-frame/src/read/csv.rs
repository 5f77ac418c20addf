//! The columns of CSV files, from a sample.

use std::collections::HashMap;

use arrow::datatypes::{Field, Schema, SchemaRef};
use csv::{ByteRecord, ReaderBuilder};

use super::{infer::Guess, options::CsvOptions, sample::Sample};
use crate::error::{FrameError, Result, nearest};

/// What the sample shows.
#[derive(Debug)]
pub(crate) struct Inferred {
    pub(crate) schema: SchemaRef,
    /// Whether a quoted value holds a line end.
    pub(crate) newlines: bool,
}

/// A reader of records with the options' syntax.
pub(crate) fn reader<R: std::io::Read>(
    options: &CsvOptions,
    delimiter: u8,
    header: bool,
    input: R,
) -> csv::Reader<R> {
    ReaderBuilder::new()
        .delimiter(delimiter)
        .quote(options.quote)
        .escape(options.escape)
        .comment(options.comment)
        .has_headers(header)
        .flexible(true)
        .from_reader(input)
}

/// Infers the columns from samples; `declared` types win.
///
/// # Errors
/// [`FrameError::MalformedRow`] when two files' headers differ; [`FrameError::UnknownColumn`]
/// for a type given to a column that is not there.
pub(crate) fn infer(options: &CsvOptions, delimiter: u8, samples: &[Sample]) -> Result<Inferred> {
    let mut names: Option<(Vec<String>, &str)> = None;
    let mut guesses: Vec<Guess> = Vec::new();
    let mut newlines = false;
    let each = (options.sample_rows / samples.len().max(1)).max(1);
    for sample in samples {
        let mut records = reader(options, delimiter, false, sample.head.as_slice());
        let mut record = ByteRecord::new();
        let mut seen = 0;
        let mut first = true;
        while seen < each && records.read_byte_record(&mut record).unwrap_or(false) {
            // The last record of a cut sample may be cut.
            let end = records.position().byte() as usize;
            if !sample.whole && end >= sample.head.len() {
                break;
            }
            if first {
                first = false;
                if options.header {
                    readable(&record, &sample.path)?;
                }
                let found = header(options, &record);
                match &names {
                    None => {
                        guesses = vec![Guess::Nothing; found.len()];
                        names = Some((found, &sample.path));
                    }
                    Some((known, path)) => {
                        same_header(options, known, path, &found, &sample.path)?;
                    }
                }
                if options.header {
                    continue;
                }
            }
            seen += 1;
            newlines |= record.iter().any(|v| v.contains(&b'\n'));
            widen(options, &mut guesses, &record);
        }
        for part in &sample.parts {
            // A part starts inside a record, so its first line is left out, and what does
            // not look like a record does not count.
            let start = part.iter().position(|b| *b == b'\n').map_or(part.len(), |i| i + 1);
            let end = part.iter().rposition(|b| *b == b'\n').map_or(start, |i| i + 1).max(start);
            let mut records = reader(options, delimiter, false, &part[start..end]);
            let mut seen = 0;
            while seen < each && records.read_byte_record(&mut record).unwrap_or(false) {
                seen += 1;
                if record.len() == guesses.len() {
                    newlines |= record.iter().any(|v| v.contains(&b'\n'));
                    widen(options, &mut guesses, &record);
                }
            }
        }
    }
    let (names, _) = names.unwrap_or_default();
    let given: HashMap<&str, _> = options.schema.iter().map(|(n, t)| (n.as_str(), t)).collect();
    for name in given.keys() {
        if !names.iter().any(|n| n == name) {
            return Err(FrameError::UnknownColumn {
                name: name.to_string(),
                nearest: nearest(name, names.iter().map(String::as_str)),
                position: None,
            });
        }
    }
    let fields: Vec<Field> = names
        .iter()
        .zip(&guesses)
        .map(|(name, guess)| {
            let kind = given.get(name.as_str()).map_or_else(|| guess.data_type(), |t| (*t).clone());
            Field::new(name, kind, true)
        })
        .collect();
    Ok(Inferred { schema: Schema::new(fields).into(), newlines })
}

fn widen(options: &CsvOptions, guesses: &mut [Guess], record: &ByteRecord) {
    for (guess, value) in guesses.iter_mut().zip(record.iter()) {
        if *guess == Guess::Text {
            continue;
        }
        if options.nulls.iter().any(|n| n.as_bytes() == value) {
            continue;
        }
        let this = std::str::from_utf8(value).map_or(Guess::Text, Guess::of);
        *guess = guess.widen(this);
    }
}

/// The names of the columns: the first record's, made unique, or numbers.
fn header(options: &CsvOptions, record: &ByteRecord) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(record.len());
    for (i, value) in record.iter().enumerate() {
        let text = String::from_utf8_lossy(value);
        // The byte order mark that some programs write first.
        let text = text.trim_start_matches('\u{feff}').trim();
        let base = if options.header && !text.is_empty() {
            text.to_string()
        } else {
            format!("column_{}", i + 1)
        };
        let mut name = base.clone();
        let mut n = 1;
        while out.contains(&name) {
            n += 1;
            name = format!("{base}_{n}");
        }
        out.push(name);
    }
    out
}

/// Checks that the names of the columns are text. Bytes of another encoding, or of no text
/// at all, are not guessed at.
fn readable(record: &ByteRecord, path: &str) -> Result<()> {
    let strange = |name: &[u8]| std::str::from_utf8(name).is_err() || name.contains(&0);
    match record.iter().find(|name| strange(name)) {
        None => Ok(()),
        Some(name) => Err(FrameError::MalformedRow {
            path: path.to_string(),
            line: record.position().map_or(1, csv::Position::line),
            column: None,
            expected: "names of columns as text in UTF-8 (iconv converts other encodings)"
                .to_string(),
            got: String::from_utf8_lossy(name).escape_debug().to_string(),
        }),
    }
}

fn same_header(
    options: &CsvOptions,
    known: &[String],
    known_path: &str,
    found: &[String],
    path: &str,
) -> Result<()> {
    let same = if options.header { known == found } else { known.len() == found.len() };
    if same {
        return Ok(());
    }
    Err(FrameError::MalformedRow {
        path: path.to_string(),
        line: 1,
        column: None,
        expected: format!("the columns of {known_path}: {}", known.join(", ")),
        got: found.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, TimeUnit};

    fn one(text: &str, options: &CsvOptions) -> Result<Inferred> {
        let head = text.as_bytes().to_vec();
        let sample = Sample { path: "a.csv".to_string(), head, whole: true, parts: Vec::new() };
        infer(options, b',', &[sample])
    }

    fn kinds(inferred: &Inferred) -> Vec<DataType> {
        inferred.schema.fields().iter().map(|f| f.data_type().clone()).collect()
    }

    #[test]
    fn null_texts_do_not_spoil_a_number() {
        let text = "dep,name,hour,all\nNA,NA,2013-01-01T05:00:00Z,NA\n517,UA,NA,\n,B6,,NA\n";
        let got = one(text, &CsvOptions::default()).unwrap();
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(kinds(&got), [DataType::Int64, DataType::Utf8, time, DataType::Utf8]);
    }

    #[test]
    fn quotes_newlines_comments_and_names() {
        let options = CsvOptions { comment: Some(b'#'), ..Default::default() };
        let got = one("# x\na,a,,\"b c\"\n1,2,3,\"x\ny\"\n", &options).unwrap();
        let names: Vec<&str> = got.schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["a", "a_2", "column_3", "b c"]);
        assert!(got.newlines);
        let options = CsvOptions { header: false, ..Default::default() };
        let got = one("1,x\n2,y\n", &options).unwrap();
        assert_eq!(kinds(&got), [DataType::Int64, DataType::Utf8]);
        assert_eq!(got.schema.field(1).name(), "column_2");
    }

    #[test]
    fn names_of_other_encodings_are_refused() {
        for (head, got) in [
            (&b"caf\xe9,b\n1,2\n"[..], "caf\u{fffd}"),
            (b"\xff\xfea\0,\0b\0\n\0", "\u{fffd}\u{fffd}a\\0"),
        ] {
            let head = head.to_vec();
            let sample = Sample { path: "a.csv".into(), head, whole: true, parts: Vec::new() };
            let e = infer(&CsvOptions::default(), b',', &[sample]).unwrap_err().to_string();
            assert!(e.starts_with("a.csv, line 1: expected names") && e.ends_with(got), "{e}");
        }
    }

    #[test]
    fn given_types_win_and_must_name_a_column() {
        let schema = vec![("b".to_string(), DataType::Utf8)];
        let mut options = CsvOptions { schema, ..CsvOptions::default() };
        let got = one("a,b\n1,2\n", &options).unwrap();
        assert_eq!(kinds(&got), [DataType::Int64, DataType::Utf8]);
        options.schema = vec![("carier".to_string(), DataType::Utf8)];
        let e = one("carrier,b\n1,2\n", &options).unwrap_err().to_string();
        assert_eq!(e, "unknown column \"carier\"; did you mean \"carrier\"?");
    }

    #[test]
    fn a_cut_record_does_not_count() {
        let head = b"a,b\n1,2\n3,4x".to_vec();
        let sample = Sample { path: "a".into(), head, whole: false, parts: Vec::new() };
        let got = infer(&CsvOptions::default(), b',', &[sample]).unwrap();
        assert_eq!(kinds(&got), [DataType::Int64, DataType::Int64]);
    }

    #[test]
    fn files_with_other_columns_are_an_error_that_names_both() {
        let sample = |path: &str, text: &str| Sample {
            path: path.to_string(),
            head: text.as_bytes().to_vec(),
            whole: true,
            parts: Vec::new(),
        };
        let all = [sample("a.csv", "x,y\n1,2\n"), sample("b.csv", "y,x\n1,2.5\n")];
        let e = infer(&CsvOptions::default(), b',', &all).unwrap_err().to_string();
        assert_eq!(e, "b.csv, line 1: expected the columns of a.csv: x, y, got y, x");
        let all = [sample("a.csv", "x,y\n1,2\n"), sample("b.csv", "x,y\n1,2.5\n")];
        let got = infer(&CsvOptions::default(), b',', &all).unwrap();
        assert_eq!(kinds(&got), [DataType::Int64, DataType::Float64]);
    }
}
