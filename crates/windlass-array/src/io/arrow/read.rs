//! Arrays of Arrow's columns.

use arrow_array::{
    Array as _, ArrayRef, BooleanArray, FixedSizeListArray, PrimitiveArray, RecordBatch,
    types::{
        ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field};

use crate::{
    array::Array,
    dtype::DType,
    element::{Buf, dispatch},
    error::{ArrayError, Result},
    grid::ChunkGrid,
    scalar::Scalar,
    shape::ArrayShape,
    tile::Tile,
};

const READ: &str = "from_arrow";

/// The extension of lists that are arrays of one shape:
/// <https://arrow.apache.org/docs/format/CanonicalExtensions.html#fixed-shape-tensor>.
pub(super) const TENSOR: &str = "arrow.fixed_shape_tensor";

fn wrong_type<T>(dtype: impl ToString, hint: &'static str) -> Result<T> {
    Err(ArrayError::Type { operation: READ, dtype: dtype.to_string(), hint })
}

/// The type of an Arrow type's elements, lists' innermost.
fn dtype_of(of: &DataType) -> Result<DType> {
    Ok(match of {
        DataType::Boolean => DType::Bool,
        DataType::Int8 => DType::I8,
        DataType::Int16 => DType::I16,
        DataType::Int32 => DType::I32,
        DataType::Int64 => DType::I64,
        DataType::UInt8 => DType::U8,
        DataType::UInt16 => DType::U16,
        DataType::UInt32 => DType::U32,
        DataType::UInt64 => DType::U64,
        DataType::Float32 => DType::F32,
        DataType::Float64 => DType::F64,
        DataType::FixedSizeList(field, _) => return dtype_of(field.data_type()),
        other => {
            return wrong_type(
                other,
                "bools, integers, floats of 32 and 64 bits and fixed-size lists of them become \
                 arrays: cast the column first",
            );
        }
    })
}

/// The values of a primitive column: its own memory where nobody else has it, else a copy.
fn primitive<T: ArrowPrimitiveType>(
    values: ArrayRef,
) -> Result<(Vec<T::Native>, Option<NullBuffer>)>
where
    T::Native: Copy,
{
    let Some(typed) = values.as_any().downcast_ref::<PrimitiveArray<T>>() else {
        return wrong_type(values.data_type(), "this is no primitive column");
    };
    let (_, buffer, nulls) = typed.clone().into_parts();
    drop(values);
    let n = buffer.len();
    let values = match buffer.into_inner().into_vec::<T::Native>() {
        Ok(values) if values.len() == n => values,
        Ok(values) => values[..n].to_vec(),
        Err(shared) => shared.typed_data::<T::Native>()[..n].to_vec(),
    };
    Ok((values, nulls))
}

/// The innermost values of a column, row by row, which of them are null, and the lengths of
/// the lists.
fn flat(values: ArrayRef, lens: &mut Vec<usize>) -> Result<(Buf, Option<Vec<bool>>)> {
    macro_rules! of {
        ($variant:ident, $t:ty) => {{
            let (values, nulls) = primitive::<$t>(values)?;
            (Buf::$variant(values), nulls)
        }};
    }
    let (buf, nulls) = match values.data_type() {
        DataType::Boolean => {
            let Some(bools) = values.as_any().downcast_ref::<BooleanArray>() else {
                return wrong_type("Boolean", "this is no column of bools");
            };
            (Buf::Bool(bools.values().iter().collect()), bools.nulls().cloned())
        }
        DataType::Int8 => of!(I8, Int8Type),
        DataType::Int16 => of!(I16, Int16Type),
        DataType::Int32 => of!(I32, Int32Type),
        DataType::Int64 => of!(I64, Int64Type),
        DataType::UInt8 => of!(U8, UInt8Type),
        DataType::UInt16 => of!(U16, UInt16Type),
        DataType::UInt32 => of!(U32, UInt32Type),
        DataType::UInt64 => of!(U64, UInt64Type),
        DataType::Float32 => of!(F32, Float32Type),
        DataType::Float64 => of!(F64, Float64Type),
        DataType::FixedSizeList(_, len) => {
            let len = *len as usize;
            lens.push(len);
            let Some(lists) = values.as_any().downcast_ref::<FixedSizeListArray>() else {
                return wrong_type("FixedSizeList", "this is no column of lists");
            };
            let (inner, nulls) = (lists.values().clone(), lists.nulls().cloned());
            drop(values);
            let depth = lens.len();
            let (buf, inner_nulls) = flat(inner, lens)?;
            let Some(nulls) = nulls.filter(|n| n.null_count() > 0) else {
                return Ok((buf, inner_nulls));
            };
            let each: usize = len * lens[depth..].iter().product::<usize>();
            let mut all = inner_nulls.unwrap_or_else(|| vec![false; buf.len()]);
            for (row, valid) in nulls.iter().enumerate() {
                if !valid {
                    all[row * each..(row + 1) * each].fill(true);
                }
            }
            return Ok((buf, Some(all)));
        }
        other => {
            dtype_of(other)?;
            return wrong_type(other, "this is no column of numbers");
        }
    };
    let nulls = nulls.filter(|n| n.null_count() > 0).map(|n| n.iter().map(|v| !v).collect());
    Ok((buf, nulls))
}

/// Puts a value where values are null: the one that is given, else NaN.
fn without_nulls(buf: &mut Buf, nulls: &[bool], fill: Option<Scalar>) -> Result<()> {
    let dtype = buf.dtype();
    let fill = match fill {
        Some(fill) => fill,
        None if dtype.is_float() => Scalar::Float(f64::NAN),
        None => {
            let count = nulls.iter().filter(|n| **n).count();
            return Err(ArrayError::Argument {
                operation: READ,
                argument: "each value",
                expected: format!("present, as {dtype} has no NaN: give a value for nulls"),
                got: format!("{count} nulls"),
            });
        }
    };
    let one = fill.element(dtype)?;
    dispatch!(dtype, T => {
        let value = one.typed::<T>()[0];
        let values = buf.typed_mut::<T>();
        values.iter_mut().zip(nulls).filter(|(_, null)| **null).for_each(|(v, _)| *v = value);
    });
    Ok(())
}

/// The shape of each row, and the order in which its axes are seen.
struct Rows {
    shape: Vec<usize>,
    order: Option<Vec<isize>>,
}

/// What the extension `arrow.fixed_shape_tensor` says, of lists of these lengths.
fn tensor(field: &Field, lens: &[usize]) -> Result<Option<Rows>> {
    if field.extension_type_name() != Some(TENSOR) {
        return Ok(None);
    }
    let text = field.extension_type_metadata().unwrap_or_default();
    let metadata: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let numbers = |value: &serde_json::Value| serde_json::from_value::<Vec<usize>>(value.clone());
    let shape = numbers(&metadata["shape"]).ok().filter(|shape| {
        let sizes = (shape.iter().product::<usize>(), lens.iter().product::<usize>());
        !lens.is_empty() && sizes.0 == sizes.1
    });
    let order = match &metadata["permutation"] {
        serde_json::Value::Null => Some(None),
        order => numbers(order).ok().map(|o| Some(o.into_iter().map(|i| i as isize).collect())),
    };
    match (shape, order) {
        (Some(shape), Some(order)) => Ok(Some(Rows { shape, order })),
        _ => Err(ArrayError::Argument {
            operation: READ,
            argument: "the metadata of arrow.fixed_shape_tensor",
            expected: format!("a shape of lists of {lens:?} elements, and an order of its axes"),
            got: text.to_string(),
        }),
    }
}

impl Array {
    /// The values of an Arrow array: of rank 1 for bools and numbers, of a higher rank for
    /// fixed-size lists. Null floats become NaN. The memory is Arrow's own where this is the
    /// only handle to it, else it is copied; bools, which are bits there, always are.
    ///
    /// # Errors
    /// For other types, and for nulls that are no floats.
    pub fn from_arrow(values: ArrayRef) -> Result<Self> {
        let field = Field::new("", values.data_type().clone(), true);
        Self::from_arrow_field(values, &field, None)
    }

    /// As [`Array::from_arrow`], with the column's field, whose extension
    /// `arrow.fixed_shape_tensor` gives the shape and the order of the axes of each row, and
    /// with a value for nulls of any type.
    ///
    /// # Errors
    /// As there, and if the value does not fit.
    pub fn from_arrow_field(values: ArrayRef, field: &Field, fill: Option<Scalar>) -> Result<Self> {
        let (rows, mut lens) = (values.len(), Vec::new());
        let (mut buf, nulls) = flat(values, &mut lens)?;
        if let Some(nulls) = nulls {
            without_nulls(&mut buf, &nulls, fill)?;
        }
        let tensor = tensor(field, &lens)?;
        let inner = tensor.as_ref().map_or(&lens, |t| &t.shape);
        let shape: Vec<usize> = std::iter::once(rows).chain(inner.iter().copied()).collect();
        let whole = Self::from_tile(Tile::dense(buf, ArrayShape::new(shape)));
        match tensor.and_then(|t| t.order) {
            None => Ok(whole),
            Some(order) => {
                let order: Vec<isize> =
                    std::iter::once(0).chain(order.iter().map(|o| o + 1)).collect();
                whole.permute(&order)
            }
        }
    }

    /// A column of record batches, a chunk for each batch.
    ///
    /// # Errors
    /// As [`Array::from_arrow_field`], and if there is no batch or no such column.
    pub fn from_batches(
        batches: &[RecordBatch],
        column: &str,
        fill: Option<Scalar>,
    ) -> Result<Self> {
        let missing = |got: String| ArrayError::Argument {
            operation: "from_batches",
            argument: "column",
            expected: "a column of the batches".into(),
            got,
        };
        let Some(first) = batches.first() else {
            return Err(missing(format!("{column:?} of no batches")));
        };
        let names = || first.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        let parts = batches.iter().map(|batch| {
            let Some((at, field)) = batch.schema_ref().column_with_name(column) else {
                return Err(missing(format!("{column:?}: there are {:?}", names())));
            };
            Self::from_arrow_field(batch.column(at).clone(), field, fill)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let whole = Self::concatenate(&parts.iter().collect::<Vec<_>>(), 0)?;
        let mut lens: Vec<Vec<usize>> = whole.shape().as_slice().iter().map(|n| vec![*n]).collect();
        let rows = parts.iter().map(|p| p.shape()[0]).filter(|n| *n > 0);
        lens[0] = rows.collect();
        if lens[0].is_empty() {
            lens[0].push(0);
        }
        whole.rechunk_to(ChunkGrid::explicit(whole.shape(), &lens)?)
    }

    /// Columns of record batches side by side: rows along axis 0, columns along axis 1, of the
    /// type that all of theirs become together.
    ///
    /// # Errors
    /// As [`Array::from_batches`], and if columns hold lists.
    pub fn from_columns(
        batches: &[RecordBatch],
        columns: &[&str],
        fill: Option<Scalar>,
    ) -> Result<Self> {
        let all = columns.iter().map(|c| Self::from_batches(batches, c, fill));
        let all = all.collect::<Result<Vec<_>>>()?;
        Self::stack(&all.iter().collect::<Vec<_>>(), 1)
    }
}

/// A type's name in Arrow.
///
/// # Errors
/// For complex numbers, which it lacks.
pub(super) fn arrow_type(operation: &'static str, dtype: DType) -> Result<DataType> {
    Ok(match dtype {
        DType::Bool => DataType::Boolean,
        DType::I8 => DataType::Int8,
        DType::I16 => DataType::Int16,
        DType::I32 => DataType::Int32,
        DType::I64 => DataType::Int64,
        DType::U8 => DataType::UInt8,
        DType::U16 => DataType::UInt16,
        DType::U32 => DataType::UInt32,
        DType::U64 => DataType::UInt64,
        DType::F32 => DataType::Float32,
        DType::F64 => DataType::Float64,
        DType::C64 | DType::C128 => {
            let hint = "Arrow has no complex numbers: take `real` and `imag`";
            return Err(ArrayError::Type { operation, dtype: dtype.to_string(), hint });
        }
    })
}
