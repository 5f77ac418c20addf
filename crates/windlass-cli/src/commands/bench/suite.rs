//! The suites: their questions, tables and where the data lie.

use std::path::{Path, PathBuf};

use crate::{
    commands::bench::data,
    error::{Error, Result},
};

/// One question of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// Its name: `q01`, `j05`.
    pub(crate) name: &'static str,
    /// The statement, without the semicolon.
    pub(crate) sql: String,
}

/// A suite with its size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Suite {
    /// TPC-H at a scale factor.
    Tpch(f64),
    /// db-benchmark with so many rows.
    Dbbench(u64),
}

macro_rules! texts {
    ($folder:literal: $($name:literal),+) => {
        &[$(($name, include_str!(concat!("../../../../../benches/", $folder, "/", $name, ".sql")))),+]
    };
}

const TPCH: &[(&str, &str)] = texts!("tpch": "q01", "q02", "q03", "q04", "q05", "q06", "q07",
    "q08", "q09", "q10", "q11", "q12", "q13", "q14", "q15", "q16", "q17", "q18", "q19", "q20",
    "q21", "q22");
const DBBENCH: &[(&str, &str)] = texts!("dbbench": "q01", "q02", "q03", "q04", "q05", "q06",
    "q07", "q08", "q09", "q10", "j01", "j02", "j03", "j04", "j05");

/// Question 11 of TPC-H at scale 1; the specification divides it by the scale factor.
const FRACTION: &str = "0.0001000000";

impl Suite {
    /// The name in options and results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tpch(_) => "tpch",
            Self::Dbbench(_) => "dbbench",
        }
    }

    /// What it is, for people.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Tpch(scale) => format!("TPC-H scale {scale}"),
            Self::Dbbench(rows) => format!("db-benchmark {} rows", crate::size::format_count(rows)),
        }
    }

    /// The tables; each is one Parquet file.
    pub(crate) fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Tpch(_) => &data::tpch::TABLES,
            Self::Dbbench(_) => &data::dbbench::TABLES,
        }
    }

    /// The questions asked for; all of them where nothing is named.
    ///
    /// # Errors
    /// Usage, for a name that is no question of the suite.
    pub(crate) fn questions(self, names: &[String]) -> Result<Vec<Question>> {
        let texts = match self {
            Self::Tpch(_) => TPCH,
            Self::Dbbench(_) => DBBENCH,
        };
        let question = |&(name, text): &(&'static str, &str)| {
            let mut sql = text.trim_end().trim_end_matches(';').to_string();
            if let Self::Tpch(scale) = self {
                sql = sql.replace(FRACTION, &format!("{:.10}", 0.0001 / scale));
            }
            Question { name, sql }
        };
        if names.is_empty() {
            return Ok(texts.iter().map(question).collect());
        }
        let find = |asked: &String| {
            let wanted = full_name(asked);
            texts
                .iter()
                .find(|(name, _)| Some(*name) == wanted.as_deref())
                .map(question)
                .ok_or_else(|| {
                    let all: Vec<&str> = texts.iter().map(|(name, _)| *name).collect();
                    Error::usage(
                        format!("{asked:?} is no question of {}", self.name()),
                        format!("the questions are {}", all.join(", ")),
                    )
                })
        };
        names.iter().map(find).collect()
    }

    /// The folder with the tables, generated now where they are not there yet.
    ///
    /// # Errors
    /// A folder that cannot be made or written.
    pub(crate) fn data(self, root: Option<&Path>, say: impl Fn(&str)) -> Result<PathBuf> {
        let root = match root {
            Some(root) => root.to_path_buf(),
            None => default_root()?,
        };
        let folder = root.join(match self {
            Self::Tpch(scale) => format!("tpch-{scale}"),
            Self::Dbbench(rows) => format!("dbbench-{rows}"),
        });
        if folder.is_dir() {
            return Ok(folder);
        }
        let fail = |e: std::io::Error| {
            Error::caused(format!("cannot make the folder {}", folder.display()), &e)
                .or_help("name another with --data")
        };
        std::fs::create_dir_all(&root).map_err(fail)?;
        say(&format!("generating {} in {}", self.title(), folder.display()));
        // Complete or absent: the folder gets its name when every table is in it.
        let partial =
            tempfile::Builder::new().prefix(".partial-").tempdir_in(&root).map_err(fail)?;
        match self {
            Self::Tpch(scale) => data::tpch::write(scale, partial.path())?,
            Self::Dbbench(rows) => data::dbbench::write(rows, partial.path())?,
        }
        match std::fs::rename(partial.path(), &folder) {
            // Another run was faster: its data are the same.
            Err(_) if folder.is_dir() => {}
            r => r.map_err(fail)?,
        }
        Ok(folder)
    }
}

fn default_root() -> Result<PathBuf> {
    let cache = dirs::cache_dir().ok_or_else(|| {
        Error::usage("this user has no cache folder", "name a folder for the data with --data")
    })?;
    Ok(cache.join("windlass").join("bench"))
}

/// `1`, `q1` and `q01` are `q01`; `j5` is `j05`.
fn full_name(asked: &str) -> Option<String> {
    let asked = asked.trim().to_ascii_lowercase();
    let at = asked.find(|c: char| c.is_ascii_digit())?;
    let (letter, number) = asked.split_at(at);
    let number: u32 = number.parse().ok()?;
    Some(format!("{}{number:02}", if letter.is_empty() { "q" } else { letter }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_found_by_number_and_name() {
        let names = |list: &[&str]| -> Result<Vec<&str>> {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            Ok(Suite::Dbbench(1000).questions(&list)?.iter().map(|q| q.name).collect())
        };
        assert_eq!(names(&["1", "q10", "J5", "q02"]).unwrap(), ["q01", "q10", "j05", "q02"]);
        assert_eq!(names(&[]).unwrap().len(), 15);
        for wrong in ["q11", "x", "", "j6"] {
            let message = names(&[wrong]).unwrap_err().to_string();
            assert!(message.contains("j05"), "{wrong}: {message}");
        }
        assert_eq!(Suite::Tpch(1.0).questions(&[]).unwrap().len(), 22);
    }

    #[test]
    fn the_fraction_of_question_11_follows_the_scale() {
        let text =
            |scale| Suite::Tpch(scale).questions(&["11".to_string()]).unwrap()[0].sql.clone();
        assert!(text(1.0).contains("* 0.0001000000\n"));
        assert!(text(0.01).contains("* 0.0100000000\n"));
        assert!(text(100.0).contains("* 0.0000010000\n"));
    }
}
