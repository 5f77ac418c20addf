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
    pub(super) columns: Vec<ColumnIndex>,
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
        let sides = (join.left().schema(), join.right().schema());
        let shape = Self::new(*join.join_type(), sides, join.projection.as_deref(), join.schema());
        let null_equals_null = join.null_equality() == NullEquality::NullEqualsNull;
        Self { filter: join.filter().cloned(), null_equals_null, ..shape }
    }

    /// Without a filter and with nulls that match nothing, between sides of these schemas, with
    /// the columns of a projection.
    pub(super) fn new(
        join_type: JoinType,
        (left, right): (SchemaRef, SchemaRef),
        projection: Option<&[usize]>,
        schema: SchemaRef,
    ) -> Self {
        let (_, all) = build_join_schema(&left, &right, &join_type);
        let columns = match projection {
            Some(projection) => projection.iter().map(|i| all[*i].clone()).collect(),
            None => all,
        };
        Self { join_type, filter: None, null_equals_null: false, columns, schema }
    }

    /// Whether rows of the build side come out once the probe side has ended.
    pub(super) fn ends_with_build_rows(&self) -> bool {
        use JoinType as J;
        matches!(self.join_type, J::Left | J::Full | J::LeftSemi | J::LeftAnti | J::LeftMark)
    }

    /// Whether those build rows have a match: the others come out elsewhere.
    pub(super) fn wants_matched_build_rows(&self) -> bool {
        matches!(self.join_type, JoinType::LeftSemi | JoinType::LeftMark)
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

    /// Whether a probe row with a pair and one without are told apart.
    pub(super) fn decides_by_probe_rows(&self) -> bool {
        use JoinType as J;
        matches!(self.join_type, J::Right | J::Full | J::RightSemi | J::RightAnti | J::RightMark)
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

    /// The probe rows of these numbers; all of them, with a mark, in a mark join. `None` for no
    /// row.
    pub(super) fn probe_rows(
        &self,
        batch: &RecordBatch,
        rows: &UInt32Array,
    ) -> Result<Option<RecordBatch>> {
        let n = batch.num_rows();
        let (rows, mark) = match self.join_type {
            JoinType::RightMark => {
                (UInt32Array::from_iter_values(0..n as u32), Some(flags(rows, n)))
            }
            _ => (rows.clone(), None),
        };
        if rows.is_empty() {
            return Ok(None);
        }
        let len = rows.len();
        self.batch(Side::Nulls, Side::Rows(batch, &rows), mark, len).map(Some)
    }

    /// The build rows of these numbers that come out at the end; all of them, with a mark, in a
    /// mark join. In pieces, so that a large build side is not copied at once.
    pub(super) fn build_rows(
        &self,
        build: &RecordBatch,
        rows: UInt32Array,
        piece: usize,
    ) -> Result<Vec<RecordBatch>> {
        let n = build.num_rows();
        let (rows, mark) = match self.join_type {
            JoinType::LeftMark => {
                (UInt32Array::from_iter_values(0..n as u32), Some(flags(&rows, n)))
            }
            _ => (rows, None),
        };
        let pieces = (0..rows.len()).step_by(piece.max(1)).map(|start| {
            let len = piece.min(rows.len() - start);
            let mark = mark.as_ref().map(|m| m.slice(start, len));
            let rows = rows.slice(start, len);
            self.batch(Side::Rows(build, &rows), Side::Nulls, mark, len)
        });
        pieces.collect()
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

/// True at the numbers, false elsewhere.
fn flags(rows: &UInt32Array, n: usize) -> BooleanArray {
    let mut flags = vec![false; n];
    rows.values().iter().for_each(|row| flags[*row as usize] = true);
    flags.into()
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
