//! The chain of filters and projections above a plan node.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    physical_expr::expressions::Column,
    physical_plan::{PhysicalExpr, aggregates::AggregateExec},
};
use windlass_kernels::{
    ir::{BinaryOp, ValueId},
    pipeline::FilterProject,
};

use super::{
    AggregatePlan, OutputColumn, PipelinePlan, Result, Unsupported,
    builder::{Builder, Guard, Lowered, When},
    expr::lower,
};

/// Most nodes of one expression once the projections below are put into it: a guess at
/// what a kernel's compiler takes in well under a second.
const MAX_NODES: usize = 4096;

/// Lowers a chain of filters and projections from the bottom up.
///
/// Nothing that is not used is loaded: a projection only renames, and a column is lowered
/// when an output, filter, key or argument reads it. Errors (division by zero, overflow)
/// are raised only in rows that pass the filters below.
#[derive(Debug, Clone)]
pub struct Lowering {
    builder: Builder,
    /// The schema of the rows at this point.
    schema: SchemaRef,
    /// Its columns as expressions over the input, with their number of nodes.
    columns: Vec<(Arc<dyn PhysicalExpr>, usize)>,
    filter: Option<ValueId>,
    guard: Guard,
}

impl Lowering {
    /// Over record batches of `input`.
    pub fn new(input: SchemaRef) -> Self {
        let column = |(i, f): (usize, &Arc<arrow::datatypes::Field>)| {
            (Arc::new(Column::new(f.name(), i)) as Arc<dyn PhysicalExpr>, 1)
        };
        let columns = input.fields().iter().enumerate().map(column).collect();
        let builder = Builder::new(Arc::clone(&input));
        Self { builder, schema: input, columns, filter: None, guard: Guard::default() }
    }

    /// The schema of the rows at this point of the chain.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Keeps the rows in which `predicate` is true.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason; the lowering is then as it was.
    pub fn filter(&mut self, predicate: &Arc<dyn PhysicalExpr>) -> Result<()> {
        let before = self.builder.clone();
        let done = self.add_filter(predicate);
        if done.is_err() {
            self.builder = before;
        }
        done
    }

    fn add_filter(&mut self, predicate: &Arc<dyn PhysicalExpr>) -> Result<()> {
        let lowered = self.lower(predicate)?;
        if lowered.ty != DataType::Boolean {
            return Err(Unsupported::new(format!("filter {predicate} is not a boolean")));
        }
        let filter = match self.filter {
            None => lowered.value,
            Some(f) => self.builder.program.binary(BinaryOp::And, f, lowered.value, None)?,
        };
        self.filter = Some(filter);
        self.guard = Guard::default().and(filter, When::True);
        Ok(())
    }

    /// Replaces the columns by expressions over them. `schema` is the projection's own.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason; the lowering is then as it was.
    pub fn project(&mut self, exprs: &[Arc<dyn PhysicalExpr>], schema: SchemaRef) -> Result<()> {
        if exprs.len() != schema.fields().len() {
            return Err(Unsupported::new(format!(
                "a projection of {} expressions to {} columns",
                exprs.len(),
                schema.fields().len()
            )));
        }
        self.columns = exprs.iter().map(|e| self.over_input(e)).collect::<Result<_>>()?;
        self.schema = schema;
        Ok(())
    }

    /// Keeps the columns of these indices (a filter's embedded projection).
    ///
    /// # Errors
    /// [`Unsupported`] for an index past the columns.
    pub fn select(&mut self, columns: &[usize]) -> Result<()> {
        let schema = self.schema.project(columns).map_err(|e| Unsupported::new(e.to_string()))?;
        self.columns = columns.iter().map(|c| self.columns[*c].clone()).collect();
        self.schema = Arc::new(schema);
        Ok(())
    }

    /// An expression over the columns as one over the input, with its number of nodes.
    fn over_input(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<(Arc<dyn PhysicalExpr>, usize)> {
        let mut nodes = 0;
        let mut missing = None;
        let replaced = Arc::clone(expr).transform_down(|e| {
            let Some(column) = e.downcast_ref::<Column>() else {
                nodes += 1;
                return Ok(Transformed::no(e));
            };
            match self.columns.get(column.index()) {
                Some((by, size)) => {
                    nodes += size;
                    // What is put in is over the input already.
                    Ok(Transformed::new(
                        Arc::clone(by),
                        true,
                        datafusion::common::tree_node::TreeNodeRecursion::Jump,
                    ))
                }
                None => {
                    missing = Some(column.to_string());
                    Ok(Transformed::no(e))
                }
            }
        });
        let replaced = replaced.map_err(|e| Unsupported::new(format!("{expr}: {e}")))?.data;
        match missing {
            Some(column) => Err(Unsupported::new(format!("{expr}: no column {column}"))),
            None if nodes > MAX_NODES => {
                Err(Unsupported::new(format!("an expression of more than {MAX_NODES} nodes")))
            }
            None => Ok((replaced, nodes)),
        }
    }

    /// Lowers an expression over the columns.
    pub(super) fn lower(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<Lowered> {
        let (expr, _) = self.over_input(expr)?;
        lower(&mut self.builder, &expr, &self.guard)
    }

    /// Lowers a value that is a boolean, for a FILTER clause.
    pub(super) fn lower_bool(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<ValueId> {
        let lowered = self.lower(expr)?;
        match lowered.ty {
            DataType::Boolean => Ok(lowered.value),
            ty => Err(Unsupported::new(format!("{expr} is {ty}, not a boolean"))),
        }
    }

    /// Lowers an expression of the chain's columns in rows in which `condition` is true.
    pub(super) fn lower_where(
        &mut self,
        expr: &Arc<dyn PhysicalExpr>,
        condition: Option<ValueId>,
    ) -> Result<Lowered> {
        let (expr, _) = self.over_input(expr)?;
        let guard = match condition {
            Some(c) => self.guard.and(c, When::True),
            None => self.guard.clone(),
        };
        lower(&mut self.builder, &expr, &guard)
    }

    /// The builder, for what is more than an expression.
    pub(super) fn builder(&mut self) -> &mut Builder {
        &mut self.builder
    }

    /// The parts, at the end.
    pub(super) fn into_parts(self) -> (Builder, Option<ValueId>) {
        (self.builder, self.filter)
    }

    /// What an output of the program is.
    pub(super) fn output(&self, lowered: &Lowered) -> OutputColumn {
        OutputColumn {
            data_type: lowered.ty.clone(),
            ty: self.builder.program.ty(lowered.value),
            dictionary: lowered.dictionary,
        }
    }

    /// Ends the chain: every column is an output.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason.
    pub fn finish(mut self) -> Result<PipelinePlan> {
        let schema = Arc::clone(&self.schema);
        let (mut values, mut outputs) = (Vec::new(), Vec::new());
        for ((expr, _), field) in self.columns.clone().iter().zip(schema.fields()) {
            let lowered = lower(&mut self.builder, expr, &self.guard)?;
            if lowered.ty != *field.data_type() {
                return Err(Unsupported::new(format!(
                    "{} is {} here and {} in the plan",
                    field.name(),
                    lowered.ty,
                    field.data_type()
                )));
            }
            values.push(lowered.value);
            outputs.push(self.output(&lowered));
        }
        let (builder, filter) = self.into_parts();
        let (program, input, tables) = builder.finish();
        let kernel = FilterProject { program, filter, outputs: values };
        kernel.program.check()?;
        Ok(PipelinePlan { kernel, input, tables, outputs, schema })
    }

    /// Ends the chain in an aggregation whose group and argument expressions are over the
    /// columns of the chain. `exec` is of mode Partial, Single or SinglePartitioned.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason.
    pub fn aggregate(self, exec: &AggregateExec) -> Result<AggregatePlan> {
        super::aggregate::lower_aggregate(self, exec)
    }
}
