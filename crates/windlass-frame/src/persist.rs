//! Tables in memory: `CREATE TABLE … AS`, `persist`. Their rows are on the host, in batches of a
//! size that suits the devices of the session, which keep the columns that queries read.

use std::sync::Arc;

use arrow::{array::RecordBatch, compute::BatchCoalescer, datatypes::SchemaRef};
use datafusion::{
    common::TableReference,
    datasource::MemTable,
    logical_expr::{CreateMemoryTable, LogicalPlan},
};
use windlass_device::{DeviceName, DeviceSpec, spec::SpecItem};

use crate::{
    error::{FrameError, Result},
    execute::{self, Finished},
    nodes::upload::DEVICE_ROWS,
    read::WHOLE_ROWS,
    session::Session,
    statement::RunOptions,
};

/// Parts of a device's memory of which a batch takes one at most, with all its columns: two
/// batches may be in work with as much again for their results, and a table has several. A guess.
const SHARES: usize = 16;

/// Whether a session may use a device other than the host.
fn has_devices(session: &Session) -> bool {
    match &session.options().devices {
        DeviceSpec::Auto => true,
        DeviceSpec::List(items) => items.iter().any(|i| *i != SpecItem::One(DeviceName::cpu())),
    }
}

/// Rows as partitions of a table in memory.
///
/// # Errors
/// Those of putting batches together.
pub(crate) fn partitions(
    session: &Session,
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<Vec<Vec<RecordBatch>>> {
    let partitions = session.context().copied_config().target_partitions().max(1);
    let batches = match has_devices(session) {
        true => gathered(session, schema, batches, partitions)?,
        false => batches,
    };
    let mut parts: Vec<Vec<RecordBatch>> = vec![Vec::new(); partitions];
    for (i, batch) in batches.into_iter().enumerate() {
        parts[i % partitions].push(batch);
    }
    Ok(parts)
}

/// The same rows in batches for devices: one for each partition at least, where they are many.
fn gathered(
    session: &Session,
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
    partitions: usize,
) -> Result<Vec<RecordBatch>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    let row = (bytes / rows.max(1)).max(1);
    let by_memory = session.options().device_memory.map_or(usize::MAX, |cap| cap / SHARES / row);
    let size =
        rows.div_ceil(partitions).clamp(WHOLE_ROWS, DEVICE_ROWS.min(by_memory).max(WHOLE_ROWS));
    let mut coalescer = BatchCoalescer::new(Arc::clone(schema), size);
    let mut out = Vec::new();
    for batch in batches {
        coalescer.push_batch(batch.with_schema(Arc::clone(schema))?)?;
        while let Some(full) = coalescer.next_completed_batch() {
            out.push(full);
        }
    }
    coalescer.finish_buffered_batch()?;
    while let Some(rest) = coalescer.next_completed_batch() {
        out.push(rest);
    }
    Ok(out)
}

/// Runs the query of a `CREATE TABLE … AS` and names its rows; a table that is replaced stays
/// until they are there. `CREATE TABLE` with columns alone names a table without rows.
///
/// # Errors
/// [`FrameError::Plan`] for a table that is there already, two columns of one name, and what has
/// no form here; any error of the query.
pub(crate) async fn create(
    session: &Session,
    command: CreateMemoryTable,
    run: &RunOptions,
) -> Result<()> {
    let CreateMemoryTable {
        name,
        input,
        if_not_exists,
        or_replace,
        constraints,
        column_defaults,
        temporary,
    } = command;
    let refuse = |text: String| Err(FrameError::Plan(text));
    if temporary {
        return refuse(format!(
            "table {name}: every table in memory ends with the session; leave TEMPORARY out"
        ));
    }
    if if_not_exists && or_replace {
        return refuse("IF NOT EXISTS and OR REPLACE exclude each other".to_string());
    }
    let exists = session.context().table_exist(name.clone())?;
    if exists && if_not_exists {
        return Ok(());
    }
    if exists && !or_replace {
        return refuse(format!("table {name} exists already; CREATE OR REPLACE TABLE replaces it"));
    }
    let schema = Arc::clone(input.schema().inner());
    let mut names: Vec<&String> = schema.fields().iter().map(|f| f.name()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let column = twice[0];
        return refuse(format!("table {name} has two columns {column}; name one of them with AS"));
    }
    let batches = match &*input {
        LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row => Vec::new(),
        query => {
            let Finished { batches, .. } = execute::engine(session, query, run).await?;
            batches
        }
    };
    let parts = partitions(session, &schema, batches)?;
    let table = MemTable::try_new(schema, parts)?
        .with_constraints(constraints)
        .with_column_defaults(column_defaults.into_iter().collect());
    replace(session, name, table)
}

fn replace(session: &Session, name: TableReference, table: MemTable) -> Result<()> {
    session.context().deregister_table(name.clone())?;
    session.context().register_table(name, Arc::new(table))?;
    session.sweep();
    Ok(())
}
