//! The operations that run a frame: rows, counts, text, streams, caching.

use std::{pin::Pin, sync::Arc};

use arrow::{array::RecordBatch, util::pretty::pretty_format_batches};
use datafusion::{
    datasource::MemTable,
    functions_aggregate::expr_fn::count,
    logical_expr::{LogicalPlan, lit},
};
use futures::{FutureExt, Stream, StreamExt};

use super::DataFrame;
use crate::{
    error::{FrameError, Result},
    execute::{self, Attempts, Started},
    persist,
    read::diagnose,
    statement::RunOptions,
};

/// A stream of a frame's batches.
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

impl DataFrame {
    /// All rows.
    ///
    /// # Errors
    /// Any [`FrameError`].
    pub async fn collect(&self) -> Result<Vec<RecordBatch>> {
        self.collect_with(&RunOptions::default()).await
    }

    /// All rows, with a cancel token and progress. Dropping the future cancels too.
    ///
    /// # Errors
    /// Any [`FrameError`].
    pub async fn collect_with(&self, run: &RunOptions) -> Result<Vec<RecordBatch>> {
        Ok(execute::collect(&self.session, &self.plan, run).await?.batches)
    }

    /// The batches as they are made. A device's failure, or a memory limit that was reached,
    /// before the first batch is answered by a second run on the CPU; after it, it is an error.
    ///
    /// # Errors
    /// Those of planning; the stream's items carry those of execution.
    pub async fn to_batches(&self) -> Result<BatchStream> {
        if matches!(self.plan, LogicalPlan::Copy(_) | LogicalPlan::Dml(_)) {
            let batches = self.collect().await?;
            return Ok(futures::stream::iter(batches.into_iter().map(Ok)).boxed());
        }
        let mut attempts = Attempts::new();
        loop {
            let started = execute::start(&self.session, &self.plan, attempts.engine).await;
            let (error, plan) = match started {
                Ok(Started { mut stream, physical }) => match stream.next().await {
                    Some(Err(e)) => (e, Some(physical)),
                    first => {
                        let frame = self.clone();
                        let rest = stream.then(move |item| {
                            let frame = frame.clone();
                            async move {
                                match item {
                                    Ok(batch) => Ok(batch),
                                    Err(e) => {
                                        Err(diagnose::explain(&frame.session, &frame.plan, e).await)
                                    }
                                }
                            }
                        });
                        let first =
                            futures::stream::iter(first.map(|r| r.map_err(FrameError::from)));
                        return Ok(first.chain(rest).boxed());
                    }
                },
                Err(e) => (e, None),
            };
            if !attempts.again(&self.session, plan.as_ref(), &error) {
                return Err(diagnose::explain(&self.session, &self.plan, error).await);
            }
        }
    }

    /// The first `rows` rows; reads only what they need.
    ///
    /// # Errors
    /// Any [`FrameError`].
    pub async fn head(&self, rows: usize) -> Result<Vec<RecordBatch>> {
        self.limit(0, rows)?.collect().await
    }

    /// The last `rows` rows, in order. Counts the rows first, so it reads everything.
    ///
    /// # Errors
    /// Any [`FrameError`].
    pub async fn tail(&self, rows: usize) -> Result<Vec<RecordBatch>> {
        let all = self.count().await? as usize;
        self.limit(all.saturating_sub(rows), rows)?.collect().await
    }

    /// The number of rows.
    ///
    /// # Errors
    /// Any [`FrameError`].
    pub async fn count(&self) -> Result<u64> {
        let counted = self.agg(vec![count(lit(1i64)).alias("count")])?;
        Ok(crate::write::count(&counted.collect().await?))
    }

    /// Runs the frame and keeps its rows in memory, as a frame that starts from them. The columns
    /// that queries read of it stay on the devices where they were read, while there is room: a
    /// second query uploads nothing.
    ///
    /// # Errors
    /// Any [`FrameError`].
    pub async fn cache(&self) -> Result<Self> {
        let finished = execute::collect(&self.session, &self.plan, &RunOptions::default()).await?;
        let parts = persist::partitions(&self.session, &finished.schema, finished.batches)?;
        let table = MemTable::try_new(finished.schema, parts)?;
        let frame = self.session.context().read_table(Arc::new(table))?;
        Ok(self.with(frame.into_unoptimized_plan()))
    }

    /// The same as [`DataFrame::cache`].
    ///
    /// # Errors
    /// Any [`FrameError`].
    pub async fn persist(&self) -> Result<Self> {
        self.cache().await
    }

    /// The first 20 rows as a text table, with a note when there are more.
    ///
    /// # Errors
    /// Any [`FrameError`].
    pub async fn to_text(&self) -> Result<String> {
        const SHOWN: usize = 20;
        let batches = self.head(SHOWN + 1).await?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let schema = self.schema();
        let all = arrow::compute::concat_batches(&schema, &batches).or_else(|_| {
            match batches.first() {
                Some(b) => arrow::compute::concat_batches(&b.schema(), &batches),
                None => Ok(RecordBatch::new_empty(Arc::clone(&schema))),
            }
        })?;
        let shown = all.slice(0, rows.min(SHOWN));
        let mut text = pretty_format_batches(&[shown])?.to_string();
        if rows > SHOWN {
            text.push_str(&format!("\nthe first {SHOWN} rows"));
        }
        Ok(text)
    }

    /// Prints [`DataFrame::to_text`] to standard output.
    ///
    /// # Errors
    /// Any [`FrameError`]; [`FrameError::Write`] when standard output is closed.
    pub async fn show(&self) -> Result<()> {
        use std::io::Write;
        let text = self.to_text().await?;
        writeln!(std::io::stdout(), "{text}").map_err(|e| FrameError::write("standard output", &e))
    }

    /// Figures of each column: count, nulls, mean, deviation, smallest, median, largest.
    ///
    /// # Errors
    /// Any [`FrameError`].
    pub async fn describe(&self) -> Result<Self> {
        let frame = self.engine().describe().boxed().await?;
        Ok(self.with(frame.into_unoptimized_plan()))
    }
}
