//! The crate's one error type.

use windlass_runtime::schedule::RunError;

use crate::{dtype::DType, shape::ArrayShape};

/// What can go wrong with an array.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArrayError {
    /// Shapes that do not broadcast together.
    #[error(
        "{operation}: shapes {left} and {right} do not broadcast: axes are compared from the \
         last, and must be equal or 1"
    )]
    Broadcast {
        /// The operation.
        operation: &'static str,
        /// The shape so far.
        left: ArrayShape,
        /// The shape that does not fit it.
        right: ArrayShape,
    },
    /// An axis that the array does not have.
    #[error("{operation}: axis {axis} of an array of rank {rank}: give one in -{rank}..{rank}")]
    Axis {
        /// The operation.
        operation: &'static str,
        /// The axis that was given.
        axis: isize,
        /// The array's rank.
        rank: usize,
    },
    /// The same axis twice.
    #[error("{operation}: axis {axis} is named twice in {axes:?}")]
    RepeatedAxis {
        /// The operation.
        operation: &'static str,
        /// The axis, counted from the first.
        axis: usize,
        /// What was given.
        axes: Vec<isize>,
    },
    /// An index beyond an axis.
    #[error("{operation}: index {index} of axis {axis} with {len} elements")]
    Index {
        /// The operation.
        operation: &'static str,
        /// The index that was given.
        index: i64,
        /// The axis, counted from the first.
        axis: usize,
        /// The axis's length.
        len: usize,
    },
    /// More indices than axes.
    #[error("{got} indices for an array of rank {rank}: give at most one an axis")]
    TooManyIndices {
        /// The indices that select from an axis.
        got: usize,
        /// The array's rank.
        rank: usize,
    },
    /// A shape that does not fit.
    #[error("{operation}: expected {expected}, got {got}")]
    Shape {
        /// The operation.
        operation: &'static str,
        /// What fits.
        expected: String,
        /// What was given.
        got: String,
    },
    /// A type that the operation does not take.
    #[error("{operation} is not defined for {dtype}: {hint}")]
    Type {
        /// The operation.
        operation: &'static str,
        /// The type.
        dtype: String,
        /// What to do.
        hint: &'static str,
    },
    /// Another type than the one that the array has.
    #[error("the array holds {have} and {wanted} was asked for: convert it with `astype`")]
    WrongType {
        /// The array's type.
        have: DType,
        /// The type that was asked for.
        wanted: DType,
    },
    /// A scalar that the array's type cannot hold.
    #[error("the integer {value} does not fit {dtype}: convert the array with `astype` first")]
    Overflow {
        /// The scalar.
        value: i128,
        /// The type.
        dtype: DType,
    },
    /// A reduction that has no value for no elements.
    #[error("{operation} of no elements: axis {axis} of shape {shape} is empty")]
    Empty {
        /// The operation.
        operation: &'static str,
        /// An empty axis.
        axis: usize,
        /// The array's shape.
        shape: ArrayShape,
    },
    /// An argument out of its range.
    #[error("{operation}: {argument} must be {expected}, got {got}")]
    Argument {
        /// The operation.
        operation: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// What it may be.
        expected: String,
        /// What was given.
        got: String,
    },
    /// A matrix that has no such result: singular, not positive definite, not finite.
    #[error("{operation}{matrix}: {problem}")]
    Matrix {
        /// The operation.
        operation: &'static str,
        /// Which matrix of a stack, as " of matrix [0, 2]"; empty for an array of rank 2.
        matrix: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A user's function gave a tile that is not the one it should give.
    #[error("{operation}: chunk {chunk:?} should be {expected}, and its function gave {got}")]
    Chunk {
        /// The operation.
        operation: &'static str,
        /// The chunk's index, one number an axis.
        chunk: Vec<usize>,
        /// Shape and type of the chunk.
        expected: String,
        /// Shape and type of what came.
        got: String,
    },
    /// A device failed, and nothing else has what was on it.
    #[error("a device of the arrays failed: {reason}")]
    Device {
        /// The device and its driver's words.
        reason: String,
    },
    /// Something that is stored could not be read, or something could not be stored.
    #[error("{operation} {place}: {problem}")]
    Storage {
        /// The operation.
        operation: &'static str,
        /// The file, the folder or the URL.
        place: String,
        /// What is wrong, and of which chunk.
        problem: String,
    },
    /// A result that an executor's limit of memory has no room for.
    #[error(
        "{operation}: the result takes {needed} bytes and the executor's limit is {limit}: \
         reduce it, persist it, or raise the limit"
    )]
    Memory {
        /// The operation.
        operation: &'static str,
        /// Bytes of the result.
        needed: u64,
        /// The executor's limit.
        limit: u64,
    },
    /// The computation failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// A result with [`ArrayError`].
pub type Result<T, E = ArrayError> = std::result::Result<T, E>;
