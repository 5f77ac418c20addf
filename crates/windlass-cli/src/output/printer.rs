//! Prints the results of statements, one after the other, as their rows come.

use std::{
    io::IsTerminal,
    sync::{Mutex, MutexGuard, PoisonError},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use windlass::{CancelToken, RowSink};

use super::{ResultWriter, Target};
use crate::{
    args::Format,
    error::{Error, Result},
};

/// Where and how results are printed.
pub(crate) struct Printer {
    format: Format,
    target: Target,
    printed: usize,
}

impl Printer {
    /// Prints to a target.
    pub(crate) fn new(format: Format, target: Target) -> Self {
        Self { format, target, printed: 0 }
    }

    /// The format.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Changes the format of what is printed from now on.
    pub(crate) fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    /// Whether rows appear on the terminal while the query runs. Tables appear at its end.
    pub(crate) fn streams_to_terminal(&self) -> bool {
        self.format != Format::Table
            && self.target == Target::Stdout
            && std::io::stdout().is_terminal()
    }

    /// The sink of one statement's rows.
    pub(crate) fn rows(&self, cancel: CancelToken) -> Rows {
        let state = State {
            format: self.format,
            target: self.target.clone(),
            first: self.printed == 0,
            writer: None,
            error: None,
        };
        Rows { cancel, state: Mutex::new(state) }
    }

    /// Notes that a result was printed.
    pub(crate) fn count(&mut self) {
        self.printed += 1;
    }
}

/// Takes the rows of one statement.
pub(crate) struct Rows {
    cancel: CancelToken,
    state: Mutex<State>,
}

struct State {
    format: Format,
    target: Target,
    first: bool,
    writer: Option<ResultWriter>,
    error: Option<Error>,
}

impl Rows {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stopped the printing, if anything did.
    ///
    /// # Errors
    /// That.
    pub(crate) fn stopped(&self) -> Result<()> {
        self.state().error.take().map_or(Ok(()), Err)
    }

    /// Writes what stands after the last row. The rows printed, or `None` where the
    /// statement had no result.
    ///
    /// # Errors
    /// Those of [`ResultWriter::finish`].
    pub(crate) fn finish(&self) -> Result<Option<u64>> {
        let writer = self.state().writer.take();
        writer.map(ResultWriter::finish).transpose()
    }

    /// Gives up: what was written is taken away, and nothing more is taken.
    pub(crate) fn abandon(&self) {
        self.cancel.cancel();
        self.state().writer = None;
    }

    fn attempt(&self, f: impl FnOnce(&mut State) -> Result<()>) -> bool {
        if self.cancel.is_cancelled() {
            return false;
        }
        let mut state = self.state();
        match f(&mut state) {
            Ok(()) => true,
            Err(e) => {
                state.error = Some(e);
                state.writer = None;
                false
            }
        }
    }
}

impl RowSink for Rows {
    fn begin(&self, schema: &SchemaRef) -> bool {
        self.attempt(|s| {
            if !s.first && matches!(s.target, Target::File(_)) {
                return Err(Error::usage(
                    "--output takes one result, and this is the second",
                    "run the queries one by one, or write each with COPY (…) TO 'PATH'",
                ));
            }
            if !s.first && s.format.is_binary() {
                return Err(Error::usage(
                    "standard output takes one result in arrow or parquet, and this is the second",
                    "write results with COPY (…) TO 'PATH', or use --format csv or json",
                ));
            }
            s.writer = Some(ResultWriter::open(s.format, &s.target, schema.clone())?);
            Ok(())
        })
    }

    fn rows(&self, batch: &RecordBatch) -> bool {
        self.attempt(|s| match &mut s.writer {
            Some(writer) => writer.write(batch),
            None => Ok(()),
        })
    }
}
