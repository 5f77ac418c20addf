//! Arrow's columns of arrays.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeListArray, PrimitiveArray, RecordBatch, new_empty_array,
    types::{
        Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
};
use arrow_schema::{
    ArrowError, Field, Schema,
    extension::{EXTENSION_TYPE_METADATA_KEY, EXTENSION_TYPE_NAME_KEY},
};
use serde_json::json;

use super::read::{TENSOR, arrow_type};
use crate::{
    array::Array,
    compute_all,
    element::Buf,
    error::{ArrayError, Result},
    tile::Tile,
};

const WRITE: &str = "to_arrow";

fn failed(e: &ArrowError) -> ArrayError {
    ArrayError::Storage { operation: WRITE, place: "an Arrow array".into(), problem: e.to_string() }
}

fn shape_error(expected: &str, got: impl ToString) -> ArrayError {
    let (expected, got) = (expected.to_string(), got.to_string());
    ArrayError::Shape { operation: WRITE, expected, got }
}

/// A buffer's elements as a column, in the same memory; bools become bits.
fn column(buf: Buf) -> Result<ArrayRef> {
    macro_rules! of {
        ($t:ty, $values:expr) => {
            Arc::new(PrimitiveArray::<$t>::new($values.into(), None))
        };
    }
    Ok(match buf {
        Buf::Bool(v) => Arc::new(BooleanArray::from(v)),
        Buf::I8(v) => of!(Int8Type, v),
        Buf::I16(v) => of!(Int16Type, v),
        Buf::I32(v) => of!(Int32Type, v),
        Buf::I64(v) => of!(Int64Type, v),
        Buf::U8(v) => of!(UInt8Type, v),
        Buf::U16(v) => of!(UInt16Type, v),
        Buf::U32(v) => of!(UInt32Type, v),
        Buf::U64(v) => of!(UInt64Type, v),
        Buf::F32(v) => of!(Float32Type, v),
        Buf::F64(v) => of!(Float64Type, v),
        Buf::C64(_) | Buf::C128(_) => {
            return arrow_type(WRITE, buf.dtype()).map(|t| new_empty_array(&t));
        }
    })
}

/// A tile's elements, without a copy where nobody shares them.
fn elements(tile: Tile) -> Buf {
    let own = tile.to_own_memory();
    drop(tile);
    let buf = Arc::clone(own.buf());
    drop(own);
    Arc::try_unwrap(buf).unwrap_or_else(|shared| (*shared).clone())
}

impl Array {
    /// Computes the elements as an Arrow column and its field: of rank 1 a primitive one; of a
    /// higher rank one of fixed-size lists, a row each, with the extension
    /// `arrow.fixed_shape_tensor`. No value is null, NaN among them. All elements are in
    /// memory.
    ///
    /// ```
    /// use windlass_array::Array;
    ///
    /// let x = Array::arange(0, 24, 1)?.reshape([4, 2, 3])?;
    /// let (field, column) = x.to_arrow("x")?;
    /// assert_eq!(field.extension_type_name(), Some("arrow.fixed_shape_tensor"));
    /// let back = Array::from_arrow_field(column, &field, None)?;
    /// assert_eq!(back.shape(), x.shape());
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// For rank 0, for complex numbers, or if a task failed.
    pub fn to_arrow(&self, name: &str) -> Result<(Field, ArrayRef)> {
        let Some((_, inner)) = self.shape().as_slice().split_first() else {
            return Err(shape_error("rows along axis 0", self.shape()));
        };
        let list_size: usize = inner.iter().product();
        let dtype = arrow_type(WRITE, self.dtype())?;
        let values = column(elements(self.compute_tile()?))?;
        if inner.is_empty() {
            return Ok((Field::new(name, dtype, false), values));
        }
        let length = i32::try_from(list_size)
            .map_err(|_| shape_error("rows of at most 2^31 - 1 elements", self.shape()))?;
        let item = Arc::new(Field::new_list_field(dtype, false));
        let rows = self.shape()[0];
        let lists = FixedSizeListArray::try_new_with_length(item, length, values, None, rows);
        let lists = lists.map_err(|e| failed(&e))?;
        let tensor = [
            (EXTENSION_TYPE_NAME_KEY.to_string(), TENSOR.to_string()),
            (EXTENSION_TYPE_METADATA_KEY.to_string(), json!({ "shape": inner }).to_string()),
        ];
        let dtype = arrow_array::Array::data_type(&lists).clone();
        let field = Field::new(name, dtype, false).with_metadata(tensor.into());
        Ok((field, Arc::new(lists)))
    }

    /// Computes the columns of an array of rank 2 as a record batch, a column each, by these
    /// names.
    ///
    /// # Errors
    /// If there are not as many names as columns, or as [`Array::to_arrow`].
    pub fn to_columns(&self, names: &[&str]) -> Result<RecordBatch> {
        let fits = self.rank() == 2 && self.shape()[1] == names.len() && !names.is_empty();
        if !fits {
            let expected = format!("a column for each of {} names", names.len());
            return Err(shape_error(&expected, self.shape()));
        }
        let columns =
            (0..names.len() as i64).map(|i| self.index_axis(1, i)).collect::<Result<Vec<_>>>()?;
        let tiles = compute_all(&columns.iter().collect::<Vec<_>>())?;
        let columns = tiles.into_iter().map(|t| column(elements(t))).collect::<Result<Vec<_>>>()?;
        let fields: Vec<Field> = names
            .iter()
            .zip(&columns)
            .map(|(name, c)| Field::new(*name, c.data_type().clone(), false))
            .collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|e| failed(&e))
    }
}
