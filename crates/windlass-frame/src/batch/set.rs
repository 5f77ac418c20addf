//! The dictionaries and lookup tables of one plan node.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch, RecordBatchOptions,
        UInt32Array, new_null_array,
    },
    buffer::NullBuffer,
    compute::{cast, concat},
    datatypes::{DataType, Decimal128Type, Field, Schema},
};
use parking_lot::Mutex;
use windlass_device::{Device, DeviceName, Queue, Reservation};
use windlass_kernels::{DeviceColumn, KernelError, PhysType, Result};

use super::{DictionaryLimits, SharedDictionary, upload::upload_array};
use crate::lower::{DictionaryId, HostTables, TableResult, TableSpec};

/// Rows of one evaluation of a table's expression: DataFusion's default batch size.
const EVALUATED_ROWS: usize = 8192;

/// The dictionaries and lookup tables of one plan node, shared by its partitions and
/// filled while batches arrive.
#[derive(Debug)]
pub struct DictionarySet {
    spec: Arc<HostTables>,
    limits: DictionaryLimits,
    dictionaries: Vec<Arc<SharedDictionary>>,
    tables: Vec<Mutex<Table>>,
}

/// A lookup table as far as it is evaluated, and its copies on devices, each with the
/// number of codes that it covers.
#[derive(Debug, Default)]
struct Table {
    values: Option<ArrayRef>,
    copies: Vec<(DeviceName, usize, DeviceColumn)>,
}

impl DictionarySet {
    /// Empty but for the constants.
    pub fn new(spec: Arc<HostTables>, limits: DictionaryLimits) -> Self {
        Self::sharing(spec, limits, [])
    }

    /// As [`DictionarySet::new`], with dictionaries of others in some places. Those have the
    /// constants of the place as their first strings.
    pub fn sharing(
        spec: Arc<HostTables>,
        limits: DictionaryLimits,
        shared: impl IntoIterator<Item = (DictionaryId, Arc<SharedDictionary>)>,
    ) -> Self {
        let dictionaries = spec.dictionaries.iter().map(|d| {
            let own = SharedDictionary::new(&d.constants, limits);
            Arc::new(own.expect("constants are within no limits"))
        });
        let mut dictionaries: Vec<_> = dictionaries.collect();
        for (id, dictionary) in shared {
            dictionaries[id.0 as usize] = dictionary;
        }
        for (id, same) in spec.same() {
            dictionaries[id.0 as usize] = Arc::clone(&dictionaries[same.0 as usize]);
        }
        let tables = spec.tables.iter().map(|_| Mutex::default()).collect();
        Self { spec, limits, dictionaries, tables }
    }

    /// The limits of every dictionary.
    pub fn limits(&self) -> DictionaryLimits {
        self.limits
    }

    /// Number of strings of a dictionary so far.
    pub fn len(&self, id: DictionaryId) -> usize {
        self.dictionaries[id.0 as usize].len()
    }

    /// Whether there is no dictionary at all.
    pub fn is_empty(&self) -> bool {
        self.dictionaries.is_empty()
    }

    /// The codes of a string array; the nulls are the array's.
    ///
    /// # Errors
    /// `Invalid` for an array that holds no strings; `Unsupported` past the limits.
    pub fn encode(&self, id: DictionaryId, array: &dyn Array) -> Result<UInt32Array> {
        self.dictionaries[id.0 as usize].encode(array)
    }

    /// A dictionary, for columns that outlive the set.
    pub fn shared(&self, id: DictionaryId) -> &Arc<SharedDictionary> {
        &self.dictionaries[id.0 as usize]
    }

    /// The strings of codes, as an array of the string type `ty`.
    ///
    /// # Errors
    /// `Invalid` for another type; `Unsupported` where the strings do not fit it.
    pub fn decode(
        &self,
        id: DictionaryId,
        codes: &[u32],
        nulls: Option<NullBuffer>,
        ty: &DataType,
    ) -> Result<ArrayRef> {
        self.dictionaries[id.0 as usize].decode(codes, nulls, ty)
    }

    /// The lookup tables for all codes given so far, on `device`, in the program's order.
    /// They are evaluated and uploaded once.
    ///
    /// # Errors
    /// `Unsupported` when an expression fails for a value of the dictionary or a
    /// dictionary passes its limits; the device's errors.
    pub fn tables(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
    ) -> Result<Vec<DeviceColumn>> {
        let name = &device.info().name;
        let mut columns = Vec::with_capacity(self.tables.len());
        for (spec, table) in self.spec.tables.iter().zip(&self.tables) {
            let mut table = table.lock();
            self.extend(spec, &mut table)?;
            let known = table.values.as_ref().map_or(0, |v| v.len());
            let copy = table.copies.iter().find(|(n, len, _)| n == name && *len == known);
            let column = match copy {
                Some((.., column)) => column.clone(),
                None => {
                    let values = match &table.values {
                        Some(v) => Arc::clone(v),
                        // No string yet: one row for a null code to point at.
                        None => new_null_array(&table_type(&spec.result), 1),
                    };
                    let column = upload_array(device, queue, reservation, &values)?;
                    // Other partitions read it on queues of their own.
                    queue.synchronize()?;
                    table.copies.retain(|(n, ..)| n != name);
                    table.copies.push((name.clone(), known, column.clone()));
                    column
                }
            };
            columns.push(column);
        }
        Ok(columns)
    }

    /// Evaluates a table's expression for the strings that came since.
    fn extend(&self, spec: &TableSpec, table: &mut Table) -> Result<()> {
        let done = table.values.as_ref().map_or(0, |v| v.len());
        let known = self.len(spec.dictionary);
        if done == known {
            return Ok(());
        }
        let field = Field::new("value", spec.argument.clone(), false);
        let schema = Arc::new(Schema::new(vec![field]));
        let step = match &spec.argument {
            DataType::Dictionary(key, _) => key_limit(key).min(EVALUATED_ROWS),
            _ => EVALUATED_ROWS,
        };
        let mut parts: Vec<ArrayRef> = table.values.iter().cloned().collect();
        for start in (done..known).step_by(step) {
            let rows = step.min(known - start);
            let argument = self.argument(spec, start, rows)?;
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            let batch =
                RecordBatch::try_new_with_options(Arc::clone(&schema), vec![argument], &options)
                    .map_err(failed)?;
            let result = spec.expr.evaluate(&batch).and_then(|v| v.into_array(rows));
            let result = result.map_err(|e| KernelError::Unsupported {
                device: "any device".into(),
                reason: format!("{} fails for a value of its column: {e}", spec.expr),
            })?;
            let values = self.table_values(spec, result)?;
            if !spec.nullable && values.null_count() > 0 {
                let what = format!("{} without nulls", spec.expr);
                return Err(failed(format!("a null of {what}")));
            }
            parts.push(values);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(|p| p.as_ref()).collect();
        table.values = Some(concat(&parts).map_err(failed)?);
        Ok(())
    }

    /// Strings `start..start + rows` as an array of the argument's type.
    fn argument(&self, spec: &TableSpec, start: usize, rows: usize) -> Result<ArrayRef> {
        let codes: Vec<u32> = (start as u32..(start + rows) as u32).collect();
        match &spec.argument {
            DataType::Dictionary(_, values) => {
                let plain = self.decode(spec.dictionary, &codes, None, values)?;
                cast(&plain, &spec.argument).map_err(failed)
            }
            ty => self.decode(spec.dictionary, &codes, None, ty),
        }
    }

    fn table_values(&self, spec: &TableSpec, array: ArrayRef) -> Result<ArrayRef> {
        let array = match &spec.result {
            TableResult::Codes(id) => Arc::new(self.encode(*id, &array)?) as ArrayRef,
            TableResult::Values(PhysType::I64) if is_decimal(array.data_type()) => {
                Arc::new(narrow(array.as_primitive::<Decimal128Type>())?)
            }
            TableResult::Values(_) => natural(array)?,
        };
        Ok(array)
    }
}

fn is_decimal(ty: &DataType) -> bool {
    matches!(ty, DataType::Decimal128(..))
}

/// Decimals of up to 18 digits as 64-bit integers.
fn narrow(array: &Decimal128Array) -> Result<Int64Array> {
    array
        .try_unary(|v| {
            i64::try_from(v).map_err(|e| arrow::error::ArrowError::CastError(e.to_string()))
        })
        .map_err(failed)
}

/// An array in the natural Arrow type of its physical type, so that tables compare equal
/// whatever the logical type is.
fn natural(array: ArrayRef) -> Result<ArrayRef> {
    let ty = crate::lower::types::stored_type(array.data_type()).map_err(failed)?;
    let data = array.to_data().into_builder().data_type(natural_type(ty));
    Ok(arrow::array::make_array(data.build().map_err(failed)?))
}

/// The Arrow type of a table's values.
fn table_type(result: &TableResult) -> DataType {
    match result {
        TableResult::Codes(_) => DataType::UInt32,
        TableResult::Values(ty) => natural_type(*ty),
    }
}

/// The natural Arrow type of a physical type.
pub(super) fn natural_type(ty: PhysType) -> DataType {
    match ty {
        PhysType::Bool => DataType::Boolean,
        PhysType::I8 => DataType::Int8,
        PhysType::I16 => DataType::Int16,
        PhysType::I32 => DataType::Int32,
        PhysType::I64 => DataType::Int64,
        PhysType::U8 => DataType::UInt8,
        PhysType::U16 => DataType::UInt16,
        PhysType::U32 => DataType::UInt32,
        PhysType::U64 => DataType::UInt64,
        PhysType::F32 => DataType::Float32,
        PhysType::F64 => DataType::Float64,
        PhysType::I128 => DataType::Decimal128(38, 0),
    }
}

/// Most values that a dictionary with keys of this type can hold.
fn key_limit(key: &DataType) -> usize {
    match key {
        DataType::Int8 => i8::MAX as usize,
        DataType::UInt8 => u8::MAX as usize,
        DataType::Int16 => i16::MAX as usize,
        _ => usize::MAX,
    }
}

fn failed(e: impl ToString) -> KernelError {
    KernelError::Invalid {
        operation: "lookup table",
        expected: "values that fit the plan".into(),
        got: e.to_string(),
    }
}
