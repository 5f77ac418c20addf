//! The rest of an operator's input, for an operator that takes over.

use std::{fmt, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::LexOrdering,
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::{StreamExt, stream};
use parking_lot::Mutex;

/// Rows that were read already, then those that are still to come. They can be read once.
struct Rest {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rest")
    }
}

impl PartitionStream for Rest {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        self.rows.lock().take().unwrap_or_else(|| {
            let twice = DataFusionError::Internal("the rest of an input is read once".to_string());
            let error = stream::iter([Err(twice)]);
            Box::pin(RecordBatchStreamAdapter::new(schema, error))
        })
    }
}

/// An operator of one partition that gives `held`, then what `input` still gives. The rows have
/// this order, if any.
///
/// # Errors
/// DataFusion's.
pub(crate) fn rest(
    held: Vec<RecordBatch>,
    input: SendableRecordBatchStream,
    order: Option<LexOrdering>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = input.schema();
    let rows = stream::iter(held.into_iter().map(Ok)).chain(input);
    let rows: SendableRecordBatchStream =
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), rows));
    let rest = Rest { schema: Arc::clone(&schema), rows: Mutex::new(Some(rows)) };
    let partitions = vec![Arc::new(rest) as Arc<dyn PartitionStream>];
    Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, order, false, None)?))
}
