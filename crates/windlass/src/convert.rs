//! From dataframes to arrays and back, through Arrow's record batches.

use std::{fmt, sync::Arc};

use windlass_array::{Array, ArrayError, Scalar};
use windlass_frame::{
    DataFrame, FrameError, Session,
    arrow::{array::RecordBatch, datatypes::Schema, error::ArrowError},
};

/// What can go wrong between the two.
#[derive(Debug)]
pub enum ConvertError {
    /// The frame failed.
    Frame(FrameError),
    /// The array failed, or cannot hold the columns.
    Array(ArrayError),
    /// The columns do not make a record batch.
    Arrow(ArrowError),
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(e) => e.fmt(f),
            Self::Array(e) => e.fmt(f),
            Self::Arrow(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for ConvertError {}

impl From<FrameError> for ConvertError {
    fn from(e: FrameError) -> Self {
        Self::Frame(e)
    }
}

impl From<ArrayError> for ConvertError {
    fn from(e: ArrayError) -> Self {
        Self::Array(e)
    }
}

impl From<ArrowError> for ConvertError {
    fn from(e: ArrowError) -> Self {
        Self::Arrow(e)
    }
}

/// Columns of a frame side by side: rows along axis 0, columns along axis 1, of the type that
/// all of theirs become together. The frame's rows are in memory. Null floats become NaN, other
/// nulls the value that is given.
///
/// # Errors
/// If the frame fails, a column is of no number or bool, or one that has no NaN holds nulls and
/// no value is given for them.
pub async fn array_of(
    frame: &DataFrame,
    columns: &[&str],
    fill: Option<Scalar>,
) -> Result<Array, ConvertError> {
    let batches = batches(&frame.select(columns)?).await?;
    Ok(Array::from_columns(&batches, columns, fill)?)
}

/// A column of a frame: of rank 1 for numbers and bools, of a higher rank for fixed-size lists
/// and tensors. Nulls are as in [`array_of`].
///
/// # Errors
/// As there.
pub async fn column_of(
    frame: &DataFrame,
    column: &str,
    fill: Option<Scalar>,
) -> Result<Array, ConvertError> {
    let batches = batches(&frame.select(&[column])?).await?;
    Ok(Array::from_batches(&batches, column, fill)?)
}

/// The batches of a frame; one without rows if there is none.
async fn batches(frame: &DataFrame) -> Result<Vec<RecordBatch>, ConvertError> {
    let mut batches = frame.collect().await?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(frame.schema()));
    }
    Ok(batches)
}

/// A frame of an array, which is computed: a column for each name where it has rank 2 and as many
/// columns, else one column, whose rows are the array's along axis 0.
///
/// # Errors
/// If a task fails, the names do not fit, or the array holds complex numbers.
pub fn frame_of(
    session: &Session,
    array: &Array,
    names: &[&str],
) -> Result<DataFrame, ConvertError> {
    let batch = match names {
        [name] if array.rank() != 2 || array.shape()[1] != 1 => {
            let (field, column) = array.to_arrow(name)?;
            RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column])?
        }
        _ => array.to_columns(names)?,
    };
    Ok(session.from_batches(vec![batch])?)
}
