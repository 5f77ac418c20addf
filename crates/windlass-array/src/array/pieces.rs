//! Functions that are told piece by piece.

use super::Array;
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    scalar::Scalar,
};

/// What a function of pieces is where a condition holds.
#[derive(Clone, Copy)]
pub enum Piece<'a> {
    /// A value.
    Constant(Scalar),
    /// A function of the array.
    Function(&'a dyn Fn(&Array) -> Result<Array>),
}

impl<T: Into<Scalar>> From<T> for Piece<'_> {
    fn from(value: T) -> Self {
        Self::Constant(value.into())
    }
}

impl std::fmt::Debug for Piece<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Constant(value) => f.debug_tuple("Constant").field(value).finish(),
            Self::Function(_) => f.write_str("Function"),
        }
    }
}

impl Array {
    /// A function of the array that is told by pieces: for each element what the last of the
    /// conditions that hold there names, else the default, or 0 without one. NumPy's
    /// `piecewise`. The result has the array's type, into which values are converted as by
    /// [`Array::astype`].
    ///
    /// Functions are given the whole array, and of what they give the elements are taken where
    /// their condition holds: unlike NumPy's they know nothing of the condition, which makes no
    /// difference to functions of single elements.
    ///
    /// ```
    /// use windlass_array::{Array, Piece};
    ///
    /// let x = Array::from_slice(&[-2.0, -0.5, 0.5, 3.0]);
    /// let (low, high) = (x.less(-1.0)?, x.greater(1.0)?);
    /// let y = x.piecewise(&[(&low, (-1.0).into()), (&high, 1.0.into())], Some(Piece::Function(&|x| x.square())))?;
    /// assert_eq!(y.compute::<f64>()?.into_raw_vec_and_offset().0, [-1.0, 0.25, 0.25, 1.0]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// For no condition, one of another shape than the array's, a constant that does not fit the
    /// array's type, and what functions give that does not broadcast to its shape; their own.
    pub fn piecewise(
        &self,
        pieces: &[(&Self, Piece<'_>)],
        default: Option<Piece<'_>>,
    ) -> Result<Self> {
        let name = "piecewise";
        if pieces.is_empty() {
            return Err(ArrayError::Argument {
                operation: name,
                argument: "pieces",
                expected: "at least one".into(),
                got: "none".into(),
            });
        }
        if let Some((wrong, _)) = pieces.iter().find(|p| p.0.shape() != self.shape()) {
            return Err(ArrayError::Shape {
                operation: name,
                expected: format!("conditions of shape {}", self.shape()),
                got: wrong.shape().to_string(),
            });
        }
        let dtype = self.dtype();
        let value = |piece: Piece<'_>| match piece {
            Piece::Constant(value) => {
                let one = Self::full_of(crate::ArrayShape::default(), value, dtype)?;
                one.broadcast_to(self.shape().clone())?.rechunk_to(self.chunks().clone())
            }
            Piece::Function(function) => {
                function(self)?.astype(dtype).broadcast_to(self.shape().clone())
            }
        };
        let first = value(default.unwrap_or(Piece::Constant(Scalar::Bool(false))))?;
        pieces.iter().try_fold(first, |rest, (condition, piece)| {
            Self::select(&condition.astype(DType::Bool), &value(*piece)?, &rest)
        })
    }
}
