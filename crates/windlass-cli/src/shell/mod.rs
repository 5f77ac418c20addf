//! `windlass shell`: statements typed at a prompt, or read from a pipe.

mod prompt;
mod words;

use std::{
    io::{BufRead, IsTerminal},
    time::Instant,
};

use clap::ValueEnum;
use windlass::{DeviceSpec, Outcome};

use crate::{
    args::{Format, ShellArgs},
    engine::{Engine, Mode, Source, note, with_engine},
    error::{Error, Result},
    output::{Printer, TableStyle, Target, print, render_rows},
    size::format_seconds,
    sqltext::{complete_statements, is_blank, summary},
};
use words::{COMMANDS, Name, Names, command};

/// Runs the command.
pub(crate) fn run(args: &ShellArgs) -> Result<()> {
    let interactive = std::io::stdin().is_terminal();
    let mode = if interactive { Mode::Interactive } else { Mode::Batch };
    let title = "shell".to_string();
    with_engine(&args.session, title, &args.report, mode, |engine| {
        engine.register(&args.tables.tables)?;
        let mut shell = Shell {
            engine,
            printer: Printer::new(args.format, Target::Stdout),
            timing: interactive,
            args: args.clone(),
            definitions: Vec::new(),
            inserted: false,
        };
        match interactive {
            true => shell.prompt(),
            false => shell.pipe(std::io::stdin().lock()),
        }
    })
}

/// The state between statements.
struct Shell<'a> {
    engine: &'a mut Engine,
    printer: Printer,
    timing: bool,
    args: ShellArgs,
    /// Definitions and settings that took effect, to make them again on other devices.
    definitions: Vec<String>,
    inserted: bool,
}

/// What the loop does next.
enum Next {
    Go,
    Leave,
}

impl Shell<'_> {
    /// Runs what a pipe brings, statement by statement as they are complete.
    fn pipe(&mut self, input: impl BufRead) -> Result<()> {
        let mut buffer = String::new();
        // Lines before the buffer, so that errors name lines of the input.
        let mut lines_before = 0;
        for line in input.lines() {
            let line = line.map_err(|e| Error::caused("cannot read standard input", &e))?;
            if is_blank(&buffer)
                && let Some(command) = command(&line)
            {
                lines_before += buffer.matches('\n').count() + 1;
                buffer.clear();
                match self.command(command)? {
                    Next::Go => continue,
                    Next::Leave => return Ok(()),
                }
            }
            buffer.push_str(&line);
            buffer.push('\n');
            let (done, rest) = complete_statements(&buffer);
            if let Some(last) = done.last() {
                let text = buffer[..last.end].to_string();
                self.statements(&text, lines_before)?;
                lines_before += text.matches('\n').count();
                buffer = buffer[rest].to_string();
            }
        }
        if is_blank(&buffer) { Ok(()) } else { self.statements(&buffer, lines_before) }
    }

    /// Runs the prompt until the user leaves.
    fn prompt(&mut self) -> Result<()> {
        let names = Names::default();
        let mut editor = prompt::Editor::new(names.clone());
        if !self.args.report.quiet {
            note("windlass shell: end statements with ; and leave with \\q; \\? is help");
        }
        loop {
            names.set(self.names());
            let text = match editor.read()? {
                prompt::Read::Text(text) => text,
                prompt::Read::Cleared => continue,
                prompt::Read::End => return Ok(()),
            };
            let r = if let Some(command) = command(&text) {
                self.command(command)
            } else if is_blank(&text) {
                Ok(Next::Go)
            } else {
                self.statements(&text, 0).map(|()| Next::Go)
            };
            match r {
                Ok(Next::Go) => {}
                Ok(Next::Leave) => return Ok(()),
                Err(Error::BrokenPipe) => return Err(Error::BrokenPipe),
                Err(e) => note(&e.to_string()),
            }
        }
    }

    /// Runs complete statements; `lines_before` is how far down the input they stand.
    fn statements(&mut self, text: &str, lines_before: usize) -> Result<()> {
        let text = "\n".repeat(lines_before) + text;
        let source = Source { path: None, text: &text };
        for statement in self.engine.statements(&source)? {
            let began = Instant::now();
            // Wide enough to know the statement by.
            let title = summary(statement.text(), 28);
            let outcome = self.engine.run(&statement, &source, &title, &mut self.printer)?;
            self.engine.say(&outcome);
            if self.timing {
                note(&format!("time {}", format_seconds(began.elapsed().as_secs_f64())));
            }
            match outcome {
                Outcome::Done { .. } => self.definitions.push(statement.text().to_string()),
                // Rows of a table in memory; those of files stay.
                Outcome::Written { files: 0, .. } => {
                    let verb = statement.text().get(..6).unwrap_or_default();
                    self.inserted |= verb.eq_ignore_ascii_case("insert");
                }
                Outcome::Written { .. } | Outcome::Rows { .. } => {}
            }
        }
        Ok(())
    }

    /// Runs a `\` command.
    fn command(&mut self, line: &str) -> Result<Next> {
        let line = line.trim_end_matches(';').trim();
        let (name, argument) = match line.split_once(char::is_whitespace) {
            Some((name, argument)) => (name, argument.trim()),
            None => (line, ""),
        };
        match (name, argument) {
            ("\\q" | "\\quit" | "\\exit", _) => return Ok(Next::Leave),
            ("\\?" | "\\h" | "\\help", _) => print(&help())?,
            ("\\d" | "\\dt", "") => print(&self.list_tables()?)?,
            ("\\d", table) => print(&self.list_columns(table)?)?,
            ("\\timing", word) => {
                self.timing = match word {
                    "" => !self.timing,
                    "on" => true,
                    "off" => false,
                    _ => return Err(wrong("\\timing takes on, off or nothing")),
                };
                self.tell(&format!("timing is {}", if self.timing { "on" } else { "off" }));
            }
            ("\\format", word) => {
                if !word.is_empty() {
                    let format = Format::from_str(word, true)
                        .map_err(|_| wrong("\\format takes table, csv, json, arrow or parquet"))?;
                    self.printer.set_format(format);
                }
                let format = self.printer.format().to_possible_value();
                let format = format.map(|v| v.get_name().to_string()).unwrap_or_default();
                self.tell(&format!("format is {format}"));
            }
            ("\\device", "") => self.tell(&self.devices()),
            ("\\device", spec) => self.change_device(spec)?,
            _ => return Err(wrong(&format!("there is no command {name}; \\? lists them"))),
        }
        Ok(Next::Go)
    }

    fn tell(&self, text: &str) {
        if !self.args.report.quiet {
            note(text);
        }
    }

    fn devices(&self) -> String {
        let opened: Vec<String> = self
            .engine
            .session()
            .devices()
            .opened()
            .iter()
            .map(|d| d.info().name.to_string())
            .collect();
        let spec = &self.args.session.device;
        match opened.as_slice() {
            [] => format!("device is {spec}; none was needed yet"),
            names => format!("device is {spec}; in use: {}", names.join(", ")),
        }
    }

    /// Opens a session on other devices and defines there what was defined here.
    fn change_device(&mut self, spec: &str) -> Result<()> {
        if self.inserted {
            return Err(wrong(
                "rows were inserted in this session and would be lost: start another shell \
                 with --device",
            ));
        }
        let mut args = self.args.clone();
        args.session.device = spec.parse::<DeviceSpec>().map_err(|e| wrong(&e.to_string()))?;
        self.engine.reopen(&args.session, &args.tables.tables, &self.definitions)?;
        self.args = args;
        self.tell(&self.devices());
        Ok(())
    }

    fn list_tables(&self) -> Result<String> {
        let tables = self.engine.tables()?;
        if tables.is_empty() {
            return Ok("no tables; CREATE EXTERNAL TABLE … LOCATION 'PATH', --table NAME=PATH, \
                       or a quoted path in FROM\n"
                .to_string());
        }
        let cells: Vec<Vec<Option<String>>> = tables
            .iter()
            .map(|(name, schema)| vec![Some(name.clone()), Some(schema.fields().len().to_string())])
            .collect();
        Ok(render_rows(&header(["table", "columns"]), &cells, &[false, true], self.style()))
    }

    fn list_columns(&self, table: &str) -> Result<String> {
        let name = table.trim_matches('"');
        let schema = self.engine.wait(self.engine.session().table_schema(name), None)?;
        let cells: Vec<Vec<Option<String>>> = schema
            .fields()
            .iter()
            .map(|f| {
                let null = if f.is_nullable() { "yes" } else { "no" };
                vec![
                    Some(f.name().clone()),
                    Some(f.data_type().to_string()),
                    Some(null.to_string()),
                ]
            })
            .collect();
        let header = header(["column", "type", "null"]);
        Ok(render_rows(&header, &cells, &[false; 3], self.style()))
    }

    fn style(&self) -> TableStyle {
        if std::io::stdout().is_terminal() {
            TableStyle::terminal(usize::MAX)
        } else {
            TableStyle::plain()
        }
    }

    /// What the prompt completes. A table that fails to list is left out: `\d` tells why.
    fn names(&self) -> Vec<Name> {
        let mut out = Vec::new();
        for (table, schema) in self.engine.tables().unwrap_or_default() {
            for f in schema.fields() {
                out.push(Name { name: f.name().clone(), what: table.clone() });
            }
            out.push(Name { name: table, what: words::TABLE.to_string() });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        // A column of several tables is offered once.
        out.dedup_by(|a, b| a.name == b.name && a.what != words::TABLE && b.what != words::TABLE);
        out
    }
}

fn header<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_string).to_vec()
}

fn wrong(what: &str) -> Error {
    Error::failed(what)
}

fn help() -> String {
    let width = COMMANDS.iter().map(|(c, _)| c.len()).max().unwrap_or(0);
    let mut out = "Statements end with ; and may take several lines. Tab completes, the arrow \
                   keys and Ctrl-R find earlier ones.\n"
        .to_string();
    for (command, what) in COMMANDS {
        out += &format!("  {command:width$}  {what}\n");
    }
    out
}
