//! Bags of records as frames.

use std::sync::Arc;

use ::arrow::{
    datatypes::{Schema, SchemaRef},
    json::{ReaderBuilder, reader::infer_json_schema_from_iterator},
    record_batch::RecordBatch,
};
use serde::Serialize;
use serde_json::{Map, Value};
use windlass_runtime::{bag::Bag, delayed::RunGraph, execute::Executor, schedule::RunError};

use crate::{DataFrame, FrameError, Result, Session};

/// The column of values that are no records.
const VALUE: &str = "value";

/// Bags of what serde can write become frames.
pub trait ToDataFrame {
    /// The elements as rows: a record's fields are columns, in the order of their names;
    /// anything else is a column `value`. Types are those that all elements fit in;
    /// fields that an element lacks are null there. Runs the bag on the threads of
    /// [`Executor::global`].
    ///
    /// # Errors
    /// [`FrameError::Execution`] when a task failed; [`FrameError::Plan`] when an element is
    /// nothing that a row can hold, or there is none to tell the columns from.
    fn to_dataframe(&self, session: &Session) -> Result<DataFrame> {
        self.to_dataframe_on(session, Executor::global())
    }

    /// As [`ToDataFrame::to_dataframe`], run there.
    ///
    /// # Errors
    /// As there.
    fn to_dataframe_on(&self, session: &Session, on: &impl RunGraph) -> Result<DataFrame>;
}

impl<T: Serialize + Send + Sync + 'static> ToDataFrame for Bag<T> {
    fn to_dataframe_on(&self, session: &Session, on: &impl RunGraph) -> Result<DataFrame> {
        let rows = self.map_partitions(|part| vec![records(part)]);
        let failed = |e: RunError| FrameError::Execution(e.to_string());
        let parts = rows.compute_on(on).map_err(failed)?;
        let parts: Vec<Vec<Value>> =
            parts.into_iter().collect::<Result<_, _>>().map_err(FrameError::Plan)?;
        let all = parts.iter().flatten().map(Ok);
        let schema = infer_json_schema_from_iterator(all)
            .map_err(|e| FrameError::Plan(format!("the elements have no common columns: {e}")))?;
        if schema.fields().is_empty() {
            return Err(FrameError::Plan(
                "a bag without elements, or of empty records, has no columns to make a frame of"
                    .to_string(),
            ));
        }
        let mut fields = schema.fields().to_vec();
        fields.sort_by(|a, b| a.name().cmp(b.name()));
        let schema = Arc::new(Schema::new(fields));
        let batches = parts.iter().filter(|p| !p.is_empty()).map(|p| batch(&schema, p));
        session.from_batches(batches.collect::<Result<_>>()?)
    }
}

/// Elements as JSON objects.
fn records<T: Serialize>(elements: &[T]) -> Result<Vec<Value>, String> {
    let record = |(i, x): (usize, &T)| match serde_json::to_value(x) {
        Ok(record @ Value::Object(_)) => Ok(record),
        Ok(value) => Ok(Value::Object(Map::from_iter([(VALUE.to_string(), value)]))),
        Err(e) => Err(format!("element {i} of a partition cannot be a row: {e}")),
    };
    elements.iter().enumerate().map(record).collect()
}

fn batch(schema: &SchemaRef, rows: &[Value]) -> Result<RecordBatch> {
    let bad = |e: ::arrow::error::ArrowError| {
        FrameError::Plan(format!("the elements do not fit in their columns: {e}"))
    };
    let mut decoder = ReaderBuilder::new(Arc::<Schema>::clone(schema))
        .with_batch_size(rows.len())
        .build_decoder()
        .map_err(bad)?;
    decoder.serialize(rows).map_err(bad)?;
    let batch = decoder.flush().map_err(bad)?;
    batch.ok_or_else(|| FrameError::Plan("the elements gave no rows".to_string()))
}

#[cfg(test)]
mod tests {
    use ::arrow::util::pretty::pretty_format_batches;
    use windlass_runtime::bag::Bag;

    use super::*;

    #[derive(Clone, Serialize)]
    struct Trip {
        from: &'static str,
        km: f64,
        stops: Option<u32>,
    }

    async fn table(frame: &DataFrame) -> String {
        pretty_format_batches(&frame.collect().await.unwrap()).unwrap().to_string()
    }

    #[tokio::test]
    async fn records_are_rows_and_missing_fields_null() {
        let session = Session::new().unwrap();
        let trips = vec![
            Trip { from: "Oslo", km: 12.5, stops: None },
            Trip { from: "Rome", km: 3.0, stops: Some(2) },
            Trip { from: "Bonn", km: 7.25, stops: Some(0) },
        ];
        let frame = Bag::from_vec(trips, 2).to_dataframe(&session).unwrap();
        let text = table(&frame.sort_by(&["from"]).unwrap()).await;
        let rows =
            ["| Bonn | 7.25 | 0     |", "| Oslo | 12.5 |       |", "| Rome | 3.0  | 2     |"];
        assert!(rows.iter().all(|r| text.contains(r)), "{text}");
    }

    #[tokio::test]
    async fn numbers_are_a_column_of_the_widest_type() {
        let session = Session::new().unwrap();
        let numbers = Bag::from_vec(vec![Value::from(1), Value::from(2.5), Value::Null], 3);
        let text = table(&numbers.to_dataframe(&session).unwrap()).await;
        assert!(text.contains("| value |") && text.contains("| 1.0   |"), "{text}");
        let none: Bag<u32> = Bag::from_vec(Vec::new(), 1);
        let error = none.to_dataframe(&session).unwrap_err().to_string();
        assert!(error.contains("no columns"), "{error}");
        let mixed = Bag::from_vec(vec![Value::from(1), serde_json::json!([1])], 1);
        let error = mixed.to_dataframe(&session).unwrap_err().to_string();
        assert!(!error.is_empty());
        let bad = Bag::from_vec(vec![1], 1).map(|_: &i32| -> u32 { panic!("no") });
        let error = bad.to_dataframe(&session).unwrap_err().to_string();
        assert!(error.contains("task map[0] failed"), "{error}");
    }
}
