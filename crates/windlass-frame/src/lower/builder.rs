//! A program under construction, with the inputs, dictionaries and tables that it needs.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::physical_plan::PhysicalExpr;
use windlass_kernels::{
    PhysType, Scalar,
    ir::{BinaryOp, CastMode, Op, Program, TableId, UnaryOp, ValueId},
};

use super::{
    DictionaryId, DictionarySpec, HostTables, InputColumn, InputPlan, Result, TableResult,
    TableSpec, Unsupported,
    types::{is_string, phys_type},
};

/// A lowered expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lowered {
    /// The program's value.
    pub(super) value: ValueId,
    /// Its logical type.
    pub(super) ty: DataType,
    /// The dictionary of its codes, for strings.
    pub(super) dictionary: Option<DictionaryId>,
}

impl Lowered {
    /// A value that is no string.
    pub(super) fn new(value: ValueId, ty: DataType) -> Self {
        Self { value, ty, dictionary: None }
    }
}

/// In which rows an operation may raise an error. The program's guard is made when the
/// first operation that can fail asks for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard(Option<Arc<GuardNode>>);

#[derive(Debug)]
struct GuardNode {
    outer: Guard,
    condition: ValueId,
    when: When,
}

/// What a guard's condition must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// True.
    True,
    /// False or null.
    NotTrue,
    /// True or null.
    NotFalse,
}

impl Guard {
    /// This guard, and the condition.
    pub(super) fn and(&self, condition: ValueId, when: When) -> Self {
        Self(Some(Arc::new(GuardNode { outer: self.clone(), condition, when })))
    }
}

/// The program and what the host keeps for it.
#[derive(Debug, Clone)]
pub(super) struct Builder {
    pub(super) schema: SchemaRef,
    pub(super) program: Program,
    inputs: Vec<InputColumn>,
    by_source: HashMap<usize, Lowered>,
    tables: HostTables,
}

impl Builder {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            program: Program::new(),
            inputs: Vec::new(),
            by_source: HashMap::new(),
            tables: HostTables::default(),
        }
    }

    /// The input plan and the tables, at the end.
    pub(super) fn finish(self) -> (Program, InputPlan, Arc<HostTables>) {
        let input = InputPlan { schema: self.schema, columns: self.inputs };
        (self.program, input, Arc::new(self.tables))
    }

    /// The value of a column of the input.
    pub(super) fn column(&mut self, source: usize) -> Result<Lowered> {
        if let Some(known) = self.by_source.get(&source) {
            return Ok(known.clone());
        }
        let schema = Arc::clone(&self.schema);
        let field = schema.fields().get(source).ok_or_else(|| {
            Unsupported::new(format!("column {source} of {}", schema.fields().len()))
        })?;
        let ty = phys_type(field.data_type())
            .map_err(|e| Unsupported::new(format!("column {}: {}", field.name(), e.reason)))?;
        let dictionary = is_string(field.data_type()).then(|| self.dictionary());
        let value = self.program.input(ty, field.is_nullable());
        self.inputs.push(InputColumn {
            source,
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            ty,
            dictionary,
        });
        let lowered = Lowered { value, ty: field.data_type().clone(), dictionary };
        self.by_source.insert(source, lowered.clone());
        Ok(lowered)
    }

    /// A new dictionary.
    pub(super) fn dictionary(&mut self) -> DictionaryId {
        self.tables.dictionaries.push(DictionarySpec::default());
        DictionaryId(self.tables.dictionaries.len() as u32 - 1)
    }

    /// The constant that stands for a string in a dictionary.
    pub(super) fn code(&mut self, dictionary: DictionaryId, text: &str) -> ValueId {
        let constants = &mut self.tables.dictionaries[dictionary.0 as usize].constants;
        let code = match constants.iter().position(|c| c == text) {
            Some(at) => at,
            None => {
                constants.push(text.to_string());
                constants.len() - 1
            }
        };
        self.program.constant(Scalar::UInt(PhysType::U32, code as u64))
    }

    /// The string that a constant code stands for.
    pub(super) fn constant_text(&self, dictionary: DictionaryId, code: ValueId) -> Option<String> {
        let Op::Const(code) = &self.program.value(code).op else { return None };
        let constants = &self.tables.dictionaries[dictionary.0 as usize].constants;
        constants.get(code.bits() as usize).cloned()
    }

    /// The table of an expression over one string (column 0); an equal one is shared.
    pub(super) fn table(
        &mut self,
        dictionary: DictionaryId,
        argument: &DataType,
        expr: &Arc<dyn PhysicalExpr>,
        result: Option<TableResult>,
        nullable: bool,
    ) -> Result<(TableId, TableResult)> {
        let same = |t: &TableSpec| {
            t.dictionary == dictionary
                && t.argument == *argument
                && t.expr.eq(expr)
                && t.nullable == nullable
                && match (&result, &t.result) {
                    // Strings into a new dictionary: any dictionary that nothing else fills.
                    (None, TableResult::Codes(_)) => true,
                    (Some(r), t) => r == t,
                    _ => false,
                }
        };
        if let Some(at) = self.tables.tables.iter().position(same) {
            return Ok((TableId(at as u32), self.tables.tables[at].result.clone()));
        }
        let result = match result {
            Some(r) => r,
            None => TableResult::Codes(self.dictionary()),
        };
        let ty = match &result {
            TableResult::Values(ty) => *ty,
            TableResult::Codes(_) => PhysType::U32,
        };
        let id = self.program.table(ty, nullable);
        self.tables.tables.push(TableSpec {
            dictionary,
            argument: argument.clone(),
            expr: Arc::clone(expr),
            result: result.clone(),
            nullable,
        });
        Ok((id, result))
    }

    /// The guard as a value of the program.
    pub(super) fn guard(&mut self, guard: &Guard) -> Result<Option<ValueId>> {
        let Some(node) = &guard.0 else { return Ok(None) };
        let outer = self.guard(&node.outer)?;
        let c = node.condition;
        let here = match node.when {
            When::True => c,
            When::NotTrue => {
                let (no, yes) = (self.bool(false), self.bool(true));
                self.program.select(c, no, yes)?
            }
            When::NotFalse => {
                let not = self.program.unary(UnaryOp::Not, c, None)?;
                let (no, yes) = (self.bool(false), self.bool(true));
                self.program.select(not, no, yes)?
            }
        };
        Ok(Some(match outer {
            None => here,
            Some(o) => self.program.binary(BinaryOp::And, o, here, None)?,
        }))
    }

    pub(super) fn bool(&mut self, value: bool) -> ValueId {
        self.program.constant(Scalar::Bool(value))
    }

    /// An integer constant.
    pub(super) fn int(&mut self, ty: PhysType, value: i128) -> ValueId {
        self.program.constant(match ty {
            PhysType::U8 | PhysType::U16 | PhysType::U32 | PhysType::U64 => {
                Scalar::UInt(ty, value as u64)
            }
            _ => Scalar::Int(ty, value),
        })
    }

    pub(super) fn unary(&mut self, op: UnaryOp, a: ValueId, guard: &Guard) -> Result<ValueId> {
        let guard = match op {
            UnaryOp::Abs if self.program.ty(a).is_integer() => self.guard(guard)?,
            _ => None,
        };
        Ok(self.program.unary(op, a, guard)?)
    }

    pub(super) fn binary(
        &mut self,
        op: BinaryOp,
        a: ValueId,
        b: ValueId,
        guard: &Guard,
    ) -> Result<ValueId> {
        let fails = match op {
            BinaryOp::MulChecked | BinaryOp::AddChecked | BinaryOp::SubChecked => true,
            // Dividing by a constant that is neither 0 nor -1 cannot fail.
            BinaryOp::Div | BinaryOp::Rem if self.program.ty(a).is_integer() => {
                !matches!(&self.program.value(b).op, Op::Const(c) if !matches!(c.bits() as i128, 0 | -1))
            }
            _ => false,
        };
        let guard = if fails { self.guard(guard)? } else { None };
        Ok(self.program.binary(op, a, b, guard)?)
    }

    /// An operation with an integer constant on the right.
    pub(super) fn binary_int(&mut self, op: BinaryOp, a: ValueId, b: i128) -> Result<ValueId> {
        let b = self.int(self.program.ty(a), b);
        Ok(self.program.binary(op, a, b, None)?)
    }

    pub(super) fn cast(
        &mut self,
        a: ValueId,
        ty: PhysType,
        mode: CastMode,
        guard: &Guard,
    ) -> Result<ValueId> {
        let guard = match mode {
            CastMode::Error if self.program.ty(a) != ty => self.guard(guard)?,
            _ => None,
        };
        Ok(self.program.cast(a, ty, mode, guard)?)
    }

    /// A cast that is known to fit.
    pub(super) fn widen(&mut self, a: ValueId, ty: PhysType) -> Result<ValueId> {
        Ok(self.program.cast(a, ty, CastMode::Wrap, None)?)
    }

    pub(super) fn select(&mut self, c: ValueId, a: ValueId, b: ValueId) -> Result<ValueId> {
        Ok(self.program.select(c, a, b)?)
    }

    /// A boolean: the integer lies in `low..=high`.
    pub(super) fn within(&mut self, a: ValueId, low: i128, high: i128) -> Result<ValueId> {
        let above = self.binary_int(BinaryOp::Ge, a, low)?;
        let below = self.binary_int(BinaryOp::Le, a, high)?;
        Ok(self.program.binary(BinaryOp::And, above, below, None)?)
    }

    /// The `value` where `ok` is true or null; an overflow error elsewhere
    /// ([`CastMode::Error`]), or null ([`CastMode::Null`], where a null `ok` is null too).
    ///
    /// There is no operation that only raises: a constant that does not fit 32 bits is
    /// cast to 32 bits where `ok` is false, and the value is chosen by the result.
    pub(super) fn require(
        &mut self,
        ok: ValueId,
        value: ValueId,
        mode: CastMode,
        guard: &Guard,
    ) -> Result<ValueId> {
        if mode == CastMode::Null {
            let null = self.program.null(self.program.ty(value));
            return self.select(ok, value, null);
        }
        let bad = self.program.unary(UnaryOp::Not, ok, None)?;
        let (big, zero) = (self.int(PhysType::I64, 1 << 40), self.int(PhysType::I64, 0));
        let chosen = self.select(bad, big, zero)?;
        let checked = self.cast(chosen, PhysType::I32, CastMode::Error, guard)?;
        let same = self.binary_int(BinaryOp::Eq, checked, 0)?;
        self.select(same, value, value)
    }
}

/// Whether an expression's result may be null when its one column is not.
pub(super) fn nullable_over(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    expr.nullable(schema).unwrap_or(true)
}
