//! The results of lowering: what to load, what the host keeps, what comes out.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::physical_plan::PhysicalExpr;
use windlass_kernels::{PhysType, pipeline::FilterProject};

/// Index of a dictionary in [`HostTables::dictionaries`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DictionaryId(pub u32);

/// One column of a program's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputColumn {
    /// Its index in the record batch.
    pub source: usize,
    /// Its name, for messages.
    pub name: String,
    /// Its Arrow type.
    pub data_type: DataType,
    /// What the program reads. Decimals of up to 18 digits are read as `I64` out of
    /// Arrow's 16-byte values.
    pub ty: PhysType,
    /// The dictionary that gives the codes of a string column.
    pub dictionary: Option<DictionaryId>,
}

/// How the input of a program is made from a record batch. Column `i` of the device batch
/// is input `i` of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputPlan {
    /// The record batch's schema.
    pub schema: SchemaRef,
    /// The columns that the program reads, in the program's order.
    pub columns: Vec<InputColumn>,
}

/// One column of a program's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// Its Arrow type.
    pub data_type: DataType,
    /// What the program writes.
    pub ty: PhysType,
    /// The dictionary of its codes, for strings.
    pub dictionary: Option<DictionaryId>,
}

/// A dictionary that the host fills while batches arrive.
#[derive(Debug, Clone, Default)]
pub struct DictionarySpec {
    /// Strings with fixed codes: string `i` has code `i`.
    pub constants: Vec<String>,
    /// The dictionary of the same plan that it is, where what is read gives both its codes.
    pub same: Option<DictionaryId>,
}

/// What a table holds for each code of its dictionary.
#[derive(Debug, Clone, PartialEq)]
pub enum TableResult {
    /// The expression's value.
    Values(PhysType),
    /// The code of the expression's value, a string, in another dictionary.
    Codes(DictionaryId),
}

/// An expression over one string, evaluated once for each distinct value.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// The dictionary of its argument.
    pub dictionary: DictionaryId,
    /// The type that the expression's one column (index 0) has.
    pub argument: DataType,
    /// The expression.
    pub expr: Arc<dyn PhysicalExpr>,
    /// What the table holds.
    pub result: TableResult,
    /// Whether the expression may be null.
    pub nullable: bool,
}

/// What the host keeps for a program: dictionaries, and the tables over them. Tables come
/// after the tables that fill their dictionary.
#[derive(Debug, Clone, Default)]
pub struct HostTables {
    /// The dictionaries.
    pub dictionaries: Vec<DictionarySpec>,
    /// The tables; table `i` is table `i` of the program.
    pub tables: Vec<TableSpec>,
}

impl HostTables {
    /// The dictionaries that are another one, each with that.
    pub(crate) fn same(&self) -> impl Iterator<Item = (DictionaryId, DictionaryId)> {
        let dictionaries = self.dictionaries.iter().enumerate();
        dictionaries.filter_map(|(id, d)| Some((DictionaryId(id as u32), d.same?)))
    }
}

/// A chain of filters and projections as one program.
#[derive(Debug, Clone)]
pub struct PipelinePlan {
    /// What the device runs.
    pub kernel: FilterProject,
    /// What it reads.
    pub input: InputPlan,
    /// What the host keeps for it.
    pub tables: Arc<HostTables>,
    /// What it writes; the columns of `schema`.
    pub outputs: Vec<OutputColumn>,
    /// The schema of the result.
    pub schema: SchemaRef,
}
