//! Operations of several arrays and scalars: their common type and shape, and the chunks of
//! the result.

use std::sync::Arc;

use super::Array;
use crate::{
    dtype::{DType, Kind},
    element::Buf,
    error::{ArrayError, Result},
    expr::{
        Node, Op,
        generate::Generator,
        ops::{BinaryOp, UnaryOp},
    },
    grid::{AxisGrid, ChunkGrid},
    scalar::Scalar,
    shape::ArrayShape,
};

/// What an operation takes: an array, or a scalar, which is weak.
#[derive(Debug, Clone)]
pub enum Operand {
    /// An array.
    Array(Array),
    /// A scalar.
    Scalar(Scalar),
}

impl From<&Array> for Operand {
    fn from(array: &Array) -> Self {
        Self::Array(array.clone())
    }
}

impl From<Array> for Operand {
    fn from(array: Array) -> Self {
        Self::Array(array)
    }
}

impl<T: Into<Scalar>> From<T> for Operand {
    fn from(scalar: T) -> Self {
        Self::Scalar(scalar.into())
    }
}

/// An array of rank 0.
fn constant(one: Buf) -> Array {
    let dtype = one.dtype();
    let grid = ChunkGrid::whole(&ArrayShape::default());
    Array::of(Op::Generate(Generator::Fill(one)), Vec::new(), dtype, grid)
}

/// The common type of some operands: that of the arrays, changed by scalars of a higher kind.
fn common_type(operands: &[&Operand]) -> DType {
    let arrays = operands.iter().filter_map(|o| match o {
        Operand::Array(a) => Some(a.dtype()),
        Operand::Scalar(_) => None,
    });
    let scalars = || {
        operands.iter().filter_map(|o| match o {
            Operand::Scalar(s) => Some(*s),
            Operand::Array(_) => None,
        })
    };
    match arrays.reduce(DType::promote) {
        Some(arrays) => scalars().fold(arrays, |d, s| d.with_scalar(s.kind())),
        None => scalars().map(Scalar::default_type).reduce(DType::promote).unwrap_or(DType::F64),
    }
}

/// An operand as an array of that type.
fn of_type(operand: &Operand, dtype: DType) -> Result<Array> {
    match operand {
        Operand::Array(a) => Ok(a.astype(dtype)),
        Operand::Scalar(s) => Ok(constant(s.element(dtype)?)),
    }
}

/// The chunks of what arrays broadcast to: along each axis those of the largest array that
/// is not repeated there.
fn common_grid(shape: &ArrayShape, arrays: &[&Array]) -> ChunkGrid {
    let mut by_size: Vec<&&Array> = arrays.iter().collect();
    by_size.sort_by_key(|a| std::cmp::Reverse(a.size()));
    let axis = |i: usize| {
        let own = by_size.iter().find_map(|a| {
            let at = (i + a.rank()).checked_sub(shape.rank())?;
            Some(&a.chunks().axes()[at]).filter(|g| g.len() == shape[i])
        });
        own.cloned().unwrap_or_else(|| AxisGrid::regular(shape[i], 1))
    };
    ChunkGrid::new((0..shape.rank()).map(axis).collect())
}

/// The node of an elementwise operation of arrays whose types fit it.
fn elementwise(op: Op, arrays: &[&Array], dtype: DType) -> Result<Array> {
    let name = op.name();
    let mut shape = ArrayShape::default();
    for a in arrays {
        shape = shape.broadcast(a.shape(), name)?;
    }
    let inputs = arrays.iter().map(|a| a.node()).collect();
    Ok(Array::of(op, inputs, dtype, common_grid(&shape, arrays)))
}

/// Whether integers of both are compared as no 64-bit type can hold them.
fn mixed_signs(a: &Operand, b: &Operand) -> Option<(Array, Array)> {
    match (a, b) {
        (Operand::Array(a), Operand::Array(b))
            if a.dtype().is_integer()
                && b.dtype().is_integer()
                && a.dtype().promote(b.dtype()) == DType::F64 =>
        {
            Some((a.clone(), b.clone()))
        }
        _ => None,
    }
}

impl Array {
    /// An operation of one operand.
    pub(super) fn unary(&self, op: UnaryOp) -> Result<Self> {
        if op == UnaryOp::Conj && self.dtype() == DType::Bool {
            // Of 8 bits, as NumPy's.
            return Ok(self.astype(DType::I8));
        }
        match op.signature(self.dtype())? {
            None => Ok(self.clone()),
            Some(signature) => {
                let operand = self.astype(signature.operand);
                elementwise(Op::Unary(op), &[&operand], signature.result)
            }
        }
    }

    /// An operation of two operands, of which at least one is an array.
    pub(super) fn binary(
        op: BinaryOp,
        a: impl Into<Operand>,
        b: impl Into<Operand>,
    ) -> Result<Self> {
        let (a, b) = (a.into(), b.into());
        if op.compares()
            && let Some((a, b)) = mixed_signs(&a, &b)
        {
            return Self::compare_mixed(op, &a, &b);
        }
        if let (BinaryOp::Power, Operand::Array(base), Operand::Scalar(Scalar::Int(exponent))) =
            (op, &a, &b)
            && base.dtype().kind() <= Kind::Integer
            && *exponent < 0
        {
            return Err(ArrayError::Argument {
                operation: "power",
                argument: "the exponent of integers",
                expected: "at least 0: convert the array to floats with `astype`".into(),
                got: exponent.to_string(),
            });
        }
        let floats = |o: &Operand, other: &Operand| match (o, other) {
            (Operand::Array(a), _) if !op.is_float_function() => a.into(),
            (Operand::Array(a), Operand::Scalar(s)) => {
                a.astype(a.dtype().with_scalar(s.kind()).float()).into()
            }
            (Operand::Array(a), _) => a.astype(a.dtype().float()).into(),
            (scalar, _) => scalar.clone(),
        };
        let (a, b) = (floats(&a, &b), floats(&b, &a));
        let signature = op.signature(common_type(&[&a, &b]))?;
        let arrays = (of_type(&a, signature.operand), of_type(&b, signature.operand));
        match arrays {
            (Err(ArrayError::Overflow { value, .. }), Ok(b)) if op.compares() => {
                Ok(beyond(&b, op, value > 0, true))
            }
            (Ok(a), Err(ArrayError::Overflow { value, .. })) if op.compares() => {
                Ok(beyond(&a, op, value > 0, false))
            }
            (a, b) => elementwise(Op::Binary(op), &[&a?, &b?], signature.result),
        }
    }

    /// A comparison of a signed integer with an unsigned one of 64 bits, exact: what is
    /// negative is less, and the rest is compared as unsigned.
    fn compare_mixed(op: BinaryOp, a: &Self, b: &Self) -> Result<Self> {
        let wide = |x: &Self| x.astype(DType::U64);
        let swapped = a.dtype().is_unsigned();
        let signed = if swapped { b } else { a };
        let negative = Self::binary(BinaryOp::Less, signed, 0)?;
        let rest = Self::binary(op, wide(a), wide(b))?;
        let of_negative = match op {
            BinaryOp::Equal => false,
            BinaryOp::NotEqual => true,
            _ => !swapped,
        };
        Self::select(&negative, of_negative, &rest)
    }

    /// The elements of `yes` where the condition is not zero, else those of `no`: NumPy's
    /// `where`. All three broadcast.
    ///
    /// # Errors
    /// If the shapes do not broadcast, or a scalar does not fit.
    pub fn select(
        condition: &Self,
        yes: impl Into<Operand>,
        no: impl Into<Operand>,
    ) -> Result<Self> {
        let (yes, no) = (yes.into(), no.into());
        let dtype = common_type(&[&yes, &no]);
        let (yes, no) = (of_type(&yes, dtype)?, of_type(&no, dtype)?);
        elementwise(Op::Select, &[&condition.astype(DType::Bool), &yes, &no], dtype)
    }

    /// The array repeated along new axes in front, and along axes of length 1.
    ///
    /// # Errors
    /// If it does not broadcast to that shape.
    pub fn broadcast_to(&self, shape: impl Into<ArrayShape>) -> Result<Self> {
        let shape = shape.into();
        if self.shape().broadcast(&shape, "broadcast_to")? != shape {
            return Err(ArrayError::Broadcast {
                operation: "broadcast_to",
                left: self.shape().clone(),
                right: shape,
            });
        }
        let map = crate::region::ViewMap::broadcast(self.shape().as_slice(), shape.as_slice());
        Ok(self.view(map, common_grid(&shape, &[self])))
    }
}

/// A comparison with an integer beyond an array's type: the same for all elements.
fn beyond(array: &Array, op: BinaryOp, above: bool, scalar_first: bool) -> Array {
    let value = match op {
        BinaryOp::Equal => false,
        BinaryOp::NotEqual => true,
        _ => above != scalar_first,
    };
    let fill = Op::Generate(Generator::Fill(Buf::Bool(vec![value])));
    let node: Arc<Node> = Node::new(fill, Vec::new(), DType::Bool, array.chunks().clone());
    Array::from_node(node)
}
