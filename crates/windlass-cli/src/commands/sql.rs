//! `windlass sql`: a query from the command line.

use crate::{
    args::{Format, SqlArgs},
    commands::run::{read_stdin, run_all},
    engine::{Engine, Mode, Source},
    error::Result,
    output::{Printer, Target, format_of},
};

/// Runs the command.
pub(crate) fn run(args: &SqlArgs) -> Result<()> {
    let (format, target) = match (&args.output, args.format) {
        (Some(path), Some(format)) => (format, Target::File(path.clone())),
        (Some(path), None) => (format_of(path)?, Target::File(path.clone())),
        (None, format) => (format.unwrap_or(Format::Table), Target::Stdout),
    };
    let text = if args.query == "-" { read_stdin()? } else { args.query.clone() };
    let mut engine = Engine::open(&args.session, text.clone(), args.report.quiet, Mode::Batch)?;
    engine.register(&args.tables.tables)?;
    let mut printer = Printer::new(format, target);
    run_all(&mut engine, &Source { path: None, text: &text }, &mut printer)?;
    engine.finish(&args.report)
}
