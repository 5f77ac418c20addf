//! What a join gives: its kind, its columns, and record batches from pairs of row numbers.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array,
        new_null_array,
    },
    compute::{filter, take},
    datatypes::{SchemaRef, UInt32Type},
};
use datafusion::{
    common::{JoinSide, JoinType, NullEquality, Result},
    physical_plan::{
        ExecutionPlan,
        joins::{
            HashJoinExec,
            utils::{ColumnIndex, JoinFilter, build_join_schema},
        },
    },
};

/// A join as DataFusion states it: the left side is built, the right side probes.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) join_type: JoinType,
    pub(super) filter: Option<JoinFilter>,
    pub(super) null_equals_null: bool,
    /// Where each column of the result is from.
    columns: Vec<ColumnIndex>,
    schema: SchemaRef,
}

/// Rows of one side of a result.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side<'a> {
    /// These rows of a batch; a null number is a row of nulls.
    Rows(&'a RecordBatch, &'a UInt32Array),
    /// Rows of nulls, or a side that the result has no column of.
    Nulls,
}

impl Shape {
    pub(super) fn of(join: &HashJoinExec) -> Self {
        let (left, right) = (join.left().schema(), join.right().schema());
        let (_, all) = build_join_schema(&left, &right, join.join_type());
        let columns = match &join.projection {
            Some(projection) => projection.iter().map(|i| all[*i].clone()).collect(),
            None => all,
        };
        Self {
            join_type: *join.join_type(),
            filter: join.filter().cloned(),
            null_equals_null: join.null_equality() == NullEquality::NullEqualsNull,
            columns,
            schema: join.schema(),
        }
    }

    /// Whether rows of the build side come out once the probe side has ended.
    pub(super) fn ends_with_build_rows(&self) -> bool {
        use JoinType as J;
        matches!(self.join_type, J::Left | J::Full | J::LeftSemi | J::LeftAnti | J::LeftMark)
    }

    /// Whether pairs come out.
    pub(super) fn gives_pairs(&self) -> bool {
        use JoinType as J;
        matches!(self.join_type, J::Inner | J::Left | J::Right | J::Full)
    }

    /// Whether probe rows without a match come out beside the pairs.
    pub(super) fn keeps_probe_rows(&self) -> bool {
        matches!(self.join_type, JoinType::Right | JoinType::Full)
    }

    /// Whether nothing comes out when the build side is empty.
    pub(super) fn needs_build_rows(&self) -> bool {
        use JoinType as J;
        matches!(
            self.join_type,
            J::Inner | J::Left | J::LeftSemi | J::LeftAnti | J::LeftMark | J::RightSemi
        )
    }

    /// A batch of the result. `rows` counts where no column tells.
    pub(super) fn batch(
        &self,
        build: Side<'_>,
        probe: Side<'_>,
        mark: Option<BooleanArray>,
        rows: usize,
    ) -> Result<RecordBatch> {
        let mark = mark.map(|m| Arc::new(m) as ArrayRef);
        let arrays = self.columns.iter().zip(self.schema.fields()).map(|(c, field)| {
            let side = match c.side {
                JoinSide::Left => build,
                JoinSide::Right => probe,
                JoinSide::None => {
                    return Ok(mark
                        .clone()
                        .unwrap_or_else(|| new_null_array(field.data_type(), rows)));
                }
            };
            match side {
                Side::Rows(batch, numbers) => rows_of(batch.column(c.index), numbers),
                Side::Nulls => Ok(new_null_array(field.data_type(), rows)),
            }
        });
        let arrays: Vec<ArrayRef> = arrays.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }

    /// The pairs in which the join's filter is true.
    pub(super) fn surviving(
        &self,
        build: &RecordBatch,
        probe: &RecordBatch,
        pairs: (UInt32Array, UInt32Array),
    ) -> Result<(UInt32Array, UInt32Array)> {
        let (Some(on), (build_rows, probe_rows)) = (&self.filter, &pairs) else {
            return Ok(pairs);
        };
        let arrays = on.column_indices().iter().map(|c| match c.side {
            JoinSide::Left => rows_of(build.column(c.index), build_rows),
            _ => rows_of(probe.column(c.index), probe_rows),
        });
        let arrays: Vec<ArrayRef> = arrays.collect::<Result<_>>()?;
        let rows = build_rows.len();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(on.schema()), arrays, &options)?;
        let keep = on.expression().evaluate(&batch)?.into_array(rows)?;
        let keep = keep.as_boolean();
        if keep.null_count() == 0 && keep.true_count() == rows {
            return Ok(pairs);
        }
        let kept = |numbers: &UInt32Array| -> Result<UInt32Array> {
            Ok(filter(numbers, keep)?.as_primitive::<UInt32Type>().clone())
        };
        Ok((kept(build_rows)?, kept(probe_rows)?))
    }
}

/// Rows of a column by number; the column itself where that is all of it, in order.
fn rows_of(column: &ArrayRef, numbers: &UInt32Array) -> Result<ArrayRef> {
    if numbers.null_count() == numbers.len() && !numbers.is_empty() {
        return Ok(new_null_array(column.data_type(), numbers.len()));
    }
    let in_order = || numbers.values().iter().enumerate().all(|(i, n)| i == *n as usize);
    if numbers.len() == column.len() && numbers.null_count() == 0 && in_order() {
        return Ok(Arc::clone(column));
    }
    Ok(take(column.as_ref(), numbers, None)?)
}
