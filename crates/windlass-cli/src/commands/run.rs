//! `windlass run`: a job of SQL statements.

use std::{io::Read, path::Path};

use crate::{
    args::RunArgs,
    engine::{Engine, Mode, Source, with_engine},
    error::{Error, Result},
    output::{Printer, Target},
    sqltext,
};

/// Runs the command.
pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let (text, path) = if args.job == Path::new("-") {
        (read_stdin()?, None)
    } else {
        let text = std::fs::read_to_string(&args.job).map_err(|e| {
            let e = Error::cannot_read(&args.job, &e);
            e.or_help("give the path of a file of SQL statements, or - for standard input")
        })?;
        (text, Some(args.job.as_path()))
    };
    let source = Source { path, text: &text };
    let title = args.job.display().to_string();
    with_engine(&args.session, title, &args.report, Mode::Batch, |engine| {
        run_all(engine, &source, &mut Printer::new(args.format, Target::Stdout))
    })
}

/// All of standard input.
pub(crate) fn read_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Error::caused("cannot read standard input", &e))?;
    Ok(text)
}

/// Runs every statement of a source and prints the results.
pub(crate) fn run_all(
    engine: &mut Engine,
    source: &Source<'_>,
    printer: &mut Printer,
) -> Result<()> {
    let statements = engine.statements(source)?;
    for (i, statement) in statements.iter().enumerate() {
        let title = title(statement.text(), i, statements.len());
        let outcome = engine.run(statement, source, &title, printer)?;
        engine.say(&outcome);
    }
    Ok(())
}

/// What the progress line calls a statement.
pub(crate) fn title(text: &str, index: usize, count: usize) -> String {
    // Characters of the statement shown: enough to know it by, and the figures still fit.
    const SHOWN: usize = 28;
    let summary = sqltext::summary(text, SHOWN);
    if count > 1 { format!("[{}/{count}] {summary}", index + 1) } else { summary }
}
