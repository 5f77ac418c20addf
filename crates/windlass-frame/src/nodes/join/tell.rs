//! What a join tells the scans of its probe side once its build side is there: bounds of the
//! keys, and the keys themselves.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::{
    common::ScalarValue,
    error::Result,
    functions_aggregate::min_max::{MaxAccumulator, MinAccumulator},
    logical_expr::{Accumulator, Operator},
    physical_expr::expressions::{BinaryExpr, DynamicFilterPhysicalExpr, Literal},
    physical_plan::{ExecutionPlan, PhysicalExpr, joins::HashJoinExec},
};

use super::{
    key_set::{KeySet, MayBeKey},
    shape::Shape,
};
use crate::plan::{is_read_late, is_told};

/// What the scans of a join's probe side take of the keys of its build side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    /// Nothing: the keys stay where they are.
    Nothing,
    /// Their bounds, by which files, row groups and pages are passed over.
    Bounds,
    /// Their bounds, and the keys, against which each row is tested.
    Keys,
}

/// The scans' filter that a join tells its keys to, where DataFusion has planned for one.
fn target(produced: &[Arc<dyn PhysicalExpr>]) -> Option<&DynamicFilterPhysicalExpr> {
    produced.iter().find_map(|e| e.downcast_ref::<DynamicFilterPhysicalExpr>())
}

/// Keys with the same bounds as these, and a null if there is one.
pub(super) fn bounds(keys: &ArrayRef) -> Result<ArrayRef> {
    let ty = keys.data_type();
    let (mut min, mut max) = (MinAccumulator::try_new(ty)?, MaxAccumulator::try_new(ty)?);
    min.update_batch(&[Arc::clone(keys)])?;
    max.update_batch(&[Arc::clone(keys)])?;
    let mut values = vec![min.evaluate()?, max.evaluate()?];
    if keys.null_count() > 0 {
        values.push(ScalarValue::try_new_null(ty)?);
    }
    ScalarValue::iter_to_array(values)
}

impl Tells {
    /// For a join over its inputs. DataFusion plans a filter for any probe side; that a scan
    /// reads it shows only in the scan itself.
    pub(super) fn of(join: &HashJoinExec) -> Self {
        let produced = join.dynamic_expressions_produced();
        match target(&produced).and_then(PhysicalExpr::expression_id) {
            Some(id) if is_read_late(join.right(), id) => Self::Keys,
            Some(id) if is_told(join.right(), id) => Self::Bounds,
            _ => Self::Nothing,
        }
    }

    /// [`Tells::publish`] for the rows of the build side.
    pub(super) fn publish_of(self, join: &HashJoinExec, build: &RecordBatch) -> Result<()> {
        let keys = join.on().iter().filter(|_| self != Self::Nothing).map(|(left, _)| {
            let keys = left.evaluate(build)?;
            keys.into_array(build.num_rows())
        });
        self.publish(join, &keys.collect::<Result<Vec<_>>>()?)
    }

    /// Tells the probe side's scans what they take of the build side's `keys`, one array for
    /// each: files and row groups without such keys are not read. Where bounds are all that is
    /// told, any of the keys do that have the same bounds, and a null if there is one. Without
    /// arrays the filter lets every row pass.
    pub(super) fn publish(self, join: &HashJoinExec, keys: &[ArrayRef]) -> Result<()> {
        let produced = join.dynamic_expressions_produced();
        let Some(target) = target(&produced) else { return Ok(()) };
        let nulls_match = Shape::of(join).null_equals_null;
        let mut tests: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        for ((_, right), keys) in join.on().iter().zip(keys) {
            // Zeros of both signs are equal keys, but not in the order of the bounds.
            if keys.data_type().is_floating() {
                continue;
            }
            // A null key that matches nulls lies in no range.
            if keys.is_empty()
                || keys.null_count() == keys.len()
                || nulls_match && keys.null_count() > 0
            {
                continue;
            }
            let ty = keys.data_type();
            let (mut min, mut max) = (MinAccumulator::try_new(ty)?, MaxAccumulator::try_new(ty)?);
            min.update_batch(&[Arc::clone(keys)])?;
            max.update_batch(&[Arc::clone(keys)])?;
            for (op, value) in
                [(Operator::GtEq, min.evaluate()?), (Operator::LtEq, max.evaluate()?)]
            {
                let literal = Arc::new(Literal::new(value));
                tests.push(Arc::new(BinaryExpr::new(Arc::clone(right), op, literal)));
            }
            if let Some(keys) = (self == Self::Keys).then(|| KeySet::of(keys)).flatten() {
                tests.push(Arc::new(MayBeKey::new(Arc::clone(right), keys)));
            }
        }
        if let Some(tests) =
            tests.into_iter().reduce(|a, b| Arc::new(BinaryExpr::new(a, Operator::And, b)))
        {
            target.update(tests)?;
        }
        target.mark_complete();
        Ok(())
    }
}
