//! `windlass sql`: a query from the command line.

use crate::{
    args::{Format, SqlArgs},
    commands::run::{read_stdin, run_all},
    engine::{Mode, Source, with_engine},
    error::{Error, Result},
    output::{Printer, Target, format_of},
    sqltext::is_blank,
};

/// Runs the command.
pub(crate) fn run(args: &SqlArgs) -> Result<()> {
    let (format, target) = match (&args.output, args.format) {
        (Some(path), Some(format)) => (format, Target::File(path.clone())),
        (Some(path), None) => (format_of(path)?, Target::File(path.clone())),
        (None, format) => (format.unwrap_or(Format::Table), Target::Stdout),
    };
    let text = if args.query == "-" { read_stdin()? } else { args.query.clone() };
    with_engine(&args.session, text.clone(), &args.report, Mode::Batch, |engine| {
        engine.register(&args.tables.tables)?;
        let source = Source { path: None, text: &text };
        if is_blank(text.trim_matches(|c: char| c == ';' || c.is_whitespace())) {
            return Err(Error::usage(
                "there is no SQL statement to run",
                "give a query, such as \"select * from 'data/*.parquet' limit 5\"",
            ));
        }
        run_all(engine, &source, &mut Printer::new(format, target))
    })
}
