//! `windlass demo`: the main job on real data, with a tour of what it did.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    path::{Path, PathBuf},
};

use windlass::Outcome;

use crate::{
    args::{DemoArgs, Format},
    engine::{Engine, Mode, Source, with_engine},
    error::{Error, Result},
    output::{Printer, TableStyle, Target, print, render_rows, use_color},
    record::RunRecord,
    size::{format_bytes, format_count, format_seconds},
    sqltext::summary,
};

/// The job, as it stands in the repository.
const JOB: &str = include_str!("../../../../examples/flights/etl.sql");
/// The folders that the job names, and that options replace.
const JOB_DATA: &str = "data/nycflights13/";
const JOB_OUTPUT: &str = "windlass-demo/";
const TABLES: [&str; 5] = ["flights", "airlines", "planes", "airports", "weather"];
/// Operators listed by time; the others are summed.
const LISTED: usize = 10;

/// Runs the command.
pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    let data = data_folder(args)?;
    let job = JOB.replace(JOB_DATA, &in_sql(&data)).replace(JOB_OUTPUT, &in_sql(&args.output));
    let title = "windlass demo".to_string();
    with_engine(&args.session, title, &args.report, Mode::Batch, |engine| {
        show(args, &data, &job, engine)
    })
}

/// Runs the job and tells what it did.
fn show(args: &DemoArgs, data: &Path, job: &str, engine: &mut Engine) -> Result<()> {
    let source = Source { path: None, text: job };
    let tour = Tour { color: std::io::stdout().is_terminal() && use_color() };

    tour.say(&tour.title("Flights of 2013 from New York: raw files to features"))?;
    tour.say(&format!("  data    {}\n  device  {}\n", data.display(), args.session.device))?;
    let mut printer = Printer::new(Format::Table, Target::Stdout);
    let statements = engine.statements(&source)?;
    let count = statements.len();
    for (i, statement) in statements.iter().enumerate() {
        let label = heading(source.text, statement.position().line)
            .unwrap_or_else(|| summary(statement.text(), 60));
        let progress = format!("[{}/{count}] {}", i + 1, summary(&label, 40));
        if returns_rows(statement.text()) {
            tour.say(&format!("\n{}", tour.title(&label)))?;
        }
        let outcome = engine.run(statement, &source, &progress, &mut printer)?;
        let seconds = engine.record().statements.last().map_or(0.0, |s| s.seconds);
        match &outcome {
            Outcome::Done { message } => tour.step(message, seconds)?,
            Outcome::Written { rows, path, .. } => {
                let what = format!("{} rows to {}", format_count(*rows), path.display());
                tour.step(&what, seconds)?;
            }
            Outcome::Rows { .. } => {}
        }
    }
    let record = engine.record();
    tour.say(&format!("\n{}", tour.title("Where the operators ran, and why")))?;
    tour.say(&placement(record, tour.style()))?;
    tour.say(&format!("\n{}", tour.title("Time of each operator, summed over partitions")))?;
    tour.say(&times(record))?;
    tour.say(&format!("\n{}", tour.title("Files")))?;
    tour.say(&files(&args.output)?)?;
    tour.say(&format!("\n{}", tour.title("What to try next")))?;
    tour.say(&next(args))
}

/// Whether a statement of the job prints a table.
fn returns_rows(text: &str) -> bool {
    text.get(..6).is_some_and(|verb| verb.eq_ignore_ascii_case("select"))
}

/// The folder with the five tables.
fn data_folder(args: &DemoArgs) -> Result<PathBuf> {
    let missing = |dir: &Path| {
        TABLES.iter().map(|t| format!("{t}.csv.gz")).find(|file| !dir.join(file).is_file())
    };
    let help = "name the folder that holds flights.csv.gz, airlines.csv.gz, planes.csv.gz, \
                airports.csv.gz and weather.csv.gz with --data DIR, or run from the sources' root";
    if let Some(dir) = &args.data {
        return match missing(dir) {
            None => Ok(dir.clone()),
            Some(file) => {
                Err(Error::failed(format!("{} has no {file}", dir.display())).or_help(help))
            }
        };
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/nycflights13");
    let here = PathBuf::from("data/nycflights13");
    [here, sources]
        .into_iter()
        .find(|dir| missing(dir).is_none())
        .map(|dir| dir.canonicalize().unwrap_or(dir))
        .ok_or_else(|| Error::failed("the demo's data are not here").or_help(help))
}

/// A folder as it stands inside a quoted text of SQL.
fn in_sql(dir: &Path) -> String {
    let text = dir.display().to_string().replace('\'', "''");
    format!("{}/", text.trim_end_matches('/'))
}

/// The first sentence of the comment above a line of the job.
fn heading(text: &str, line: u64) -> Option<String> {
    let lines: Vec<&str> = text.lines().take(line.saturating_sub(1) as usize).collect();
    let comment: Vec<&str> =
        lines.iter().rev().map_while(|l| l.trim().strip_prefix("--")).map(str::trim).collect();
    let text = comment.into_iter().rev().collect::<Vec<_>>().join(" ");
    let end = text.find(". ").unwrap_or(text.len());
    let text = text[..end].trim_end_matches('.').to_string();
    (!text.is_empty()).then_some(text)
}

/// How the tour speaks.
struct Tour {
    color: bool,
}

impl Tour {
    fn say(&self, text: &str) -> Result<()> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        print(&format!("{text}{end}"))
    }

    fn title(&self, text: &str) -> String {
        if self.color { format!("\x1b[1;36m{text}\x1b[0m") } else { text.to_string() }
    }

    fn step(&self, what: &str, seconds: f64) -> Result<()> {
        let (on, off) = if self.color { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        self.say(&format!("  {:>8}  {on}{what}{off}", format_seconds(seconds)))
    }

    fn style(&self) -> TableStyle {
        if std::io::stdout().is_terminal() {
            TableStyle::terminal(usize::MAX)
        } else {
            TableStyle::plain()
        }
    }
}

/// One line for each kind of operator, device and reason.
fn placement(record: &RunRecord, style: TableStyle) -> String {
    let mut lines: Vec<(String, String, String, usize)> = Vec::new();
    for d in record.statements.iter().flat_map(|s| &s.stats.decisions) {
        let name = d.operator.split([':', ' ']).next().unwrap_or_default();
        let found = lines
            .iter_mut()
            .find(|(n, device, why, _)| n == name && *device == d.device && *why == d.reason);
        match found {
            Some((.., times)) => *times += 1,
            None => lines.push((name.to_string(), d.device.clone(), d.reason.clone(), 1)),
        }
    }
    if lines.is_empty() {
        return "  no operator could have run anywhere but on the CPU\n".to_string();
    }
    let header = ["operator", "times", "device", "reason"].map(str::to_string);
    let cells: Vec<Vec<Option<String>>> = lines
        .into_iter()
        .map(|(name, device, why, times)| {
            vec![Some(name), Some(times.to_string()), Some(device), Some(why)]
        })
        .collect();
    render_rows(&header, &cells, &[false, true, false, false], style)
}

/// The slowest operators with bars.
fn times(record: &RunRecord) -> String {
    let mut sums: BTreeMap<(&str, &str), (f64, u64)> = BTreeMap::new();
    for (_, o) in record.operators() {
        let sum = sums.entry((&o.name, &o.device)).or_default();
        sum.0 += o.ms;
        sum.1 += o.rows;
    }
    let mut sums: Vec<_> = sums.into_iter().filter(|(_, (ms, _))| *ms > 0.0).collect();
    sums.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    let most = sums.first().map_or(1.0, |(_, (ms, _))| *ms);
    let shown = &sums[..sums.len().min(LISTED)];
    let width = shown.iter().map(|((name, _), _)| name.len()).max().unwrap_or(0);
    let place = shown.iter().map(|((_, device), _)| device.len()).max().unwrap_or(0);
    let mut out = String::new();
    for ((name, device), (ms, rows)) in shown {
        out += &format!(
            "  {name:width$}  {device:place$}  {:24}  {:>8}  {:>10} rows\n",
            bar(ms / most, 24),
            format_seconds(ms / 1e3),
            format_count(*rows)
        );
    }
    let rest = &sums[shown.len()..];
    if !rest.is_empty() {
        let ms: f64 = rest.iter().map(|(_, (ms, _))| ms).sum();
        out += &format!("  and {} others in {}\n", rest.len(), format_seconds(ms / 1e3));
    }
    out
}

/// A bar of `share` of `width` cells, in eighths.
fn bar(share: f64, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = ((share * width as f64 * 8.0).round() as usize).max(1);
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}

fn files(output: &Path) -> Result<String> {
    let features = output.join("features");
    let routes = output.join("routes.parquet");
    let (count, bytes) = sizes(&features)?;
    let route_bytes =
        std::fs::metadata(&routes).map_err(|e| Error::cannot_read(&routes, &e))?.len();
    let size = |bytes| format!("{:>8}", format_bytes(bytes));
    Ok(format!(
        "  {}  {}/  features of each flight, {count} files in a folder a month\n\
         \x20 {}  {}  figures of each carrier, route and month\n",
        size(bytes),
        features.display(),
        size(route_bytes),
        routes.display()
    ))
}

/// Files under a folder and their bytes.
fn sizes(dir: &Path) -> Result<(usize, u64)> {
    let tell = |e: std::io::Error| Error::cannot_read(dir, &e);
    let (mut count, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(dir).map_err(tell)? {
        let entry = entry.map_err(tell)?;
        let meta = entry.metadata().map_err(tell)?;
        if meta.is_dir() {
            let (c, b) = sizes(&entry.path())?;
            count += c;
            bytes += b;
        } else if entry.path().extension().is_some_and(|e| e == "parquet") {
            count += 1;
            bytes += meta.len();
        }
    }
    Ok((count, bytes))
}

fn next(args: &DemoArgs) -> String {
    let out = args.output.display();
    let lines = [
        ("windlass demo --device wgpu:0".to_string(), "the same through Vulkan, Metal or DX12"),
        ("windlass demo --report demo.html".to_string(), "a page with every operator and plan"),
        (
            format!(
                "windlass explain --placement \"select carrier, avg(dep_delay) from d group by 1\" \
                 --table d={out}/features"
            ),
            "what each operator would cost on each device",
        ),
        (format!("windlass shell --table routes={out}/routes.parquet"), "ask the result questions"),
        ("windlass devices".to_string(), "what this machine has, and what is missing"),
    ];
    lines.iter().map(|(command, what)| format!("  {command}\n      {what}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_names_the_folders_that_options_replace() {
        for t in TABLES {
            assert!(JOB.contains(&format!("'{JOB_DATA}{t}.csv.gz'")), "{t}");
        }
        assert!(JOB.contains(&format!("'{JOB_OUTPUT}features/'")));
        assert_eq!(in_sql(Path::new("/a/it's")), "/a/it''s/");
    }

    #[test]
    fn headings_come_from_comments() {
        let text = "-- The first. More.\n-- And more.\nselect 1;\nselect 2;";
        assert_eq!(heading(text, 3).as_deref(), Some("The first"));
        assert_eq!(heading(text, 4), None);
    }

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.0, 4), "▏");
        assert_eq!(bar(0.4, 4), "█▋");
    }
}
