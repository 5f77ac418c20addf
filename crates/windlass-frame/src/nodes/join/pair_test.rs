//! Conditions over the pairs of a join, tested on a device.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::JoinSide,
    physical_expr::expressions::Column,
    physical_plan::{
        PhysicalExpr,
        joins::{NestedLoopJoinExec, utils::JoinFilter},
    },
};
use windlass_device::{Device, Queue, Reservation};
use windlass_kernels::{DeviceBatch, DeviceColumn, KernelError};

use crate::{
    batch::DictionarySet,
    lower::{InputPlan, Lowering, PipelinePlan, Unsupported},
};

/// Where an input of a condition's program is from.
#[derive(Debug, Clone, Copy)]
enum From {
    /// This column of the left side.
    Left(usize),
    /// This column of the right side.
    Right(usize),
    /// The number of the left row.
    LeftRow,
    /// The number of the right row.
    RightRow,
}

/// The condition of a join, lowered over pairs of rows.
#[derive(Debug)]
pub struct PairTest {
    /// The condition as a filter; its outputs are the two row numbers.
    plan: PipelinePlan,
    inputs: Vec<From>,
    left: InputPlan,
    right: InputPlan,
}

/// Pairs of rows on a device: the columns that a condition reads of either side, pair by pair,
/// and the numbers of both rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pairs<'a> {
    pub(super) n: usize,
    pub(super) left: &'a [DeviceColumn],
    pub(super) right: &'a [DeviceColumn],
    pub(super) numbers: [&'a DeviceColumn; 2],
}

impl PairTest {
    /// Lowers the condition of a join.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason.
    pub fn lower(join: &NestedLoopJoinExec) -> Result<Self, Unsupported> {
        let Some(condition) = join.filter() else {
            return Err(Unsupported::new("it has no condition to test on a device"));
        };
        Self::of(condition, [join.left().schema(), join.right().schema()])
    }

    /// Lowers a condition over pairs of rows of these schemas.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason.
    pub fn of(condition: &JoinFilter, sides: [SchemaRef; 2]) -> Result<Self, Unsupported> {
        let columns = condition.schema().fields();
        let number = |name: &str| Arc::new(Field::new(name, DataType::UInt32, false));
        let mut fields: Vec<_> = columns.iter().cloned().collect();
        fields.extend([number("left row"), number("right row")]);
        let first = columns.len();
        let mut lowering = Lowering::new(Arc::new(Schema::new(fields.clone())));
        lowering.filter(condition.expression())?;
        let numbers = [first, first + 1]
            .map(|at| Arc::new(Column::new(fields[at].name(), at)) as Arc<dyn PhysicalExpr>);
        let outputs = fields[first..].to_vec();
        lowering.project(&numbers, Arc::new(Schema::new(outputs)))?;
        let plan = lowering.finish()?;
        let [mut left, mut right] = sides.map(|schema| InputPlan { schema, columns: Vec::new() });
        let mut inputs = Vec::with_capacity(plan.input.columns.len());
        for column in &plan.input.columns {
            if column.source >= first {
                let left = column.source == first;
                inputs.push(if left { From::LeftRow } else { From::RightRow });
                continue;
            }
            let from = &condition.column_indices()[column.source];
            let of_left = from.side == JoinSide::Left;
            let side = if of_left { &mut left } else { &mut right };
            let at = side.columns.len();
            inputs.push(if of_left { From::Left(at) } else { From::Right(at) });
            let mut column = column.clone();
            column.source = from.index;
            side.columns.push(column);
        }
        Ok(Self { plan, inputs, left, right })
    }

    /// What the device runs.
    pub fn plan(&self) -> &PipelinePlan {
        &self.plan
    }

    /// What it reads of the left and of the right side.
    pub fn sides(&self) -> [&InputPlan; 2] {
        [&self.left, &self.right]
    }

    /// Bytes of a pair's columns, and of its numbers.
    pub(super) fn widths(&self) -> Vec<usize> {
        let columns = self.left.columns.iter().chain(&self.right.columns);
        columns.map(|c| c.ty.wide_bytes() + 4).chain([16]).collect()
    }

    /// The numbers of the left and of the right rows of the pairs in which the condition is
    /// true: where it is null they are left out as where it is false.
    ///
    /// # Errors
    /// Those of the kernel: what the condition raises, and the device's.
    pub(super) fn passing(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        pairs: Pairs<'_>,
        dictionaries: &DictionarySet,
    ) -> Result<DeviceBatch, KernelError> {
        let of = |from: &From| match *from {
            From::Left(at) => pairs.left[at].clone(),
            From::Right(at) => pairs.right[at].clone(),
            From::LeftRow => pairs.numbers[0].clone(),
            From::RightRow => pairs.numbers[1].clone(),
        };
        let columns = self.inputs.iter().map(of).collect();
        let pairs = DeviceBatch { rows: pairs.n, columns };
        let tables = dictionaries.tables(device, queue, reservation)?;
        self.plan.kernel.run(device, queue, reservation, &pairs, &tables)
    }
}
