//! Reductions: what is kept of the elements that were seen, how two such states become one,
//! and the result. States are merged in one fixed order, so results do not hang on the
//! number of threads.
//!
//! | module | holds |
//! |---|---|
//! | [`sums`] | sums and products |
//! | [`extremes`] | least and greatest elements, and where they are |
//! | [`moments`] | mean and squared deviations |

pub(crate) mod extremes;
mod moments;
mod sums;

use std::io::{self, Read, Write};

use windlass_runtime::graph::Spill;

use crate::{
    dtype::{DType, Kind},
    element::{Buf, C64},
    error::{ArrayError, Result},
    execute::block::{At, Sink},
    kernel::{Run, cast::cast},
    tile::{read_buf, write_buf},
};

/// What becomes of the elements along some axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ReduceOp {
    Sum,
    Prod,
    Mean,
    /// Squared deviations over the count less `ddof`.
    Var {
        ddof: f64,
    },
    Std {
        ddof: f64,
    },
    Min,
    Max,
    /// As `Min` of what is not NaN; NaN of nothing else.
    NanMin,
    NanMax,
    Argmin,
    Argmax,
    Any,
    All,
}

impl ReduceOp {
    /// NumPy's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Prod => "prod",
            Self::Mean => "mean",
            Self::Var { .. } => "var",
            Self::Std { .. } => "std",
            Self::Min => "min",
            Self::Max => "max",
            Self::NanMin => "nanmin",
            Self::NanMax => "nanmax",
            Self::Argmin => "argmin",
            Self::Argmax => "argmax",
            Self::Any => "any",
            Self::All => "all",
        }
    }

    /// The type of its result for elements of type `d`.
    pub(crate) fn result_type(self, d: DType) -> DType {
        // A mean of integers is of 64 bits, unlike other functions of small ones.
        let mean = if d.kind() <= Kind::Integer { DType::F64 } else { d };
        match self {
            Self::Sum | Self::Prod => d.sum_type(),
            Self::Mean => mean,
            Self::Var { .. } | Self::Std { .. } => mean.real(),
            Self::Min | Self::Max | Self::NanMin | Self::NanMax => d,
            Self::Argmin | Self::Argmax => DType::I64,
            Self::Any | Self::All => DType::Bool,
        }
    }

    /// The type that elements of type `d` are converted to first. Floats are summed in 64
    /// bits whatever they are.
    pub(crate) fn state_type(self, d: DType) -> DType {
        let wide = |d: DType| match d.kind() {
            Kind::Complex => DType::C128,
            Kind::Float => DType::F64,
            _ => d,
        };
        match self {
            Self::Sum | Self::Prod => wide(d.sum_type()),
            Self::Mean | Self::Var { .. } | Self::Std { .. } if d.is_complex() => DType::C128,
            Self::Mean | Self::Var { .. } | Self::Std { .. } => DType::F64,
            Self::Any | Self::All => DType::Bool,
            _ => d,
        }
    }

    /// The result of no elements, as a number; none where there is no such result.
    pub(crate) fn of_nothing(self) -> Option<f64> {
        match self {
            Self::Sum | Self::Any => Some(0.0),
            Self::Prod | Self::All => Some(1.0),
            Self::Mean | Self::Var { .. } | Self::Std { .. } => Some(f64::NAN),
            _ => None,
        }
    }

    /// Whether it needs to know where elements are.
    pub(crate) fn finds(self) -> bool {
        matches!(self, Self::Argmin | Self::Argmax)
    }

    /// An error for an empty axis, where the operation has no result for it.
    pub(crate) fn check_empty(self, shape: &crate::ArrayShape, axis: usize) -> Result<()> {
        match self.of_nothing() {
            Some(_) => Ok(()),
            None => Err(ArrayError::Empty { operation: self.name(), axis, shape: shape.clone() }),
        }
    }

    /// The state of having seen nothing, for `len` results of elements of type `d`.
    pub(crate) fn state(self, d: DType, len: usize) -> State {
        let parts = match self {
            Self::Sum | Self::Mean => vec![Buf::zeros(d, len)],
            Self::Prod => vec![sums::ones(d, len)],
            Self::Var { .. } | Self::Std { .. } => {
                vec![Buf::zeros(DType::F64, len), Buf::zeros(d, len), Buf::zeros(DType::F64, len)]
            }
            Self::Any => vec![Buf::Bool(vec![false; len])],
            Self::All => vec![Buf::Bool(vec![true; len])],
            Self::Argmin | Self::Argmax => {
                vec![Buf::zeros(d, len), Buf::I64(vec![extremes::NOWHERE; len])]
            }
            Self::Min | Self::Max | Self::NanMin | Self::NanMax => {
                vec![extremes::worst(self, d, len)]
            }
        };
        State { op: self, parts }
    }
}

/// What is kept of the elements that were seen, for each result.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) op: ReduceOp,
    /// Vectors of one element a result; which ones depends on the operation.
    pub(crate) parts: Vec<Buf>,
}

impl Sink for State {
    fn block(&mut self, values: Run<'_>, rows: usize, columns: usize, at: &[At]) {
        match self.op {
            ReduceOp::Sum | ReduceOp::Mean => {
                sums::sum(&mut self.parts[0], values, rows, columns, at[0]);
            }
            ReduceOp::Prod => sums::product(&mut self.parts[0], values, rows, columns, at[0]),
            ReduceOp::Var { .. } | ReduceOp::Std { .. } => {
                moments::moments(&mut self.parts, values, rows, columns, at[0]);
            }
            ReduceOp::Argmin | ReduceOp::Argmax => {
                extremes::find(self.op, &mut self.parts, values, rows, columns, at);
            }
            op => extremes::extreme(op, &mut self.parts[0], values, rows, columns, at[0]),
        }
    }
}

impl State {
    /// Takes in what another state has seen, which comes behind this one.
    pub(crate) fn merge(&mut self, other: &Self) {
        let n = self.parts[0].len();
        match self.op {
            ReduceOp::Var { .. } | ReduceOp::Std { .. } => {
                moments::merge(&mut self.parts, &other.parts);
            }
            ReduceOp::Argmin | ReduceOp::Argmax => {
                extremes::merge_found(self.op, &mut self.parts, &other.parts);
            }
            _ => {
                // One row of the other's elements, each for its own result.
                let at = [At { base: 0, row: 0, column: 1 }];
                self.block(Run::of(&other.parts[0]), 1, n, &at);
            }
        }
    }

    /// The results, of type `to`, each of `count` elements.
    pub(crate) fn finish(mut self, to: DType, count: usize) -> Buf {
        let found = match self.op {
            ReduceOp::Mean => sums::over(self.parts.swap_remove(0), count as f64),
            ReduceOp::Var { ddof } => moments::variance(&self.parts, ddof, false),
            ReduceOp::Std { ddof } => moments::variance(&self.parts, ddof, true),
            ReduceOp::Argmin | ReduceOp::Argmax => self.parts.swap_remove(1),
            _ => self.parts.swap_remove(0),
        };
        converted(found, to)
    }
}

/// The operations by their position, with a word for the degrees of freedom.
fn op_words(op: ReduceOp) -> (u8, f64) {
    match op {
        ReduceOp::Sum => (0, 0.0),
        ReduceOp::Prod => (1, 0.0),
        ReduceOp::Mean => (2, 0.0),
        ReduceOp::Var { ddof } => (3, ddof),
        ReduceOp::Std { ddof } => (4, ddof),
        ReduceOp::Min => (5, 0.0),
        ReduceOp::Max => (6, 0.0),
        ReduceOp::NanMin => (7, 0.0),
        ReduceOp::NanMax => (8, 0.0),
        ReduceOp::Argmin => (9, 0.0),
        ReduceOp::Argmax => (10, 0.0),
        ReduceOp::Any => (11, 0.0),
        ReduceOp::All => (12, 0.0),
    }
}

fn op_of((word, ddof): (u8, f64)) -> Option<ReduceOp> {
    use ReduceOp as R;
    let plain = [R::Sum, R::Prod, R::Mean, R::Var { ddof }, R::Std { ddof }, R::Min, R::Max];
    let rest = [R::NanMin, R::NanMax, R::Argmin, R::Argmax, R::Any, R::All];
    plain.into_iter().chain(rest).nth(word.into())
}

impl Spill for State {
    fn bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.as_bytes().len() as u64).sum()
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let (word, ddof) = op_words(self.op);
        to.write_all(&[word, self.parts.len() as u8])?;
        to.write_all(&ddof.to_le_bytes())?;
        self.parts.iter().try_for_each(|p| write_buf(to, p, 0, p.len()))
    }

    fn read(from: &mut dyn Read) -> io::Result<Self> {
        let (mut words, mut ddof) = ([0; 2], [0; 8]);
        from.read_exact(&mut words)?;
        from.read_exact(&mut ddof)?;
        let op = op_of((words[0], f64::from_le_bytes(ddof)));
        let op = op.ok_or_else(|| io::Error::other("no reduction"))?;
        let parts = (0..words[1]).map(|_| read_buf(from)).collect::<io::Result<_>>()?;
        Ok(Self { op, parts })
    }
}

/// Calls `run` for each row whose elements are one result's, and `each` for each row whose
/// elements are a result each: with where the row begins among the values, and the first
/// result's position.
fn rows_of(
    rows: usize,
    columns: usize,
    at: At,
    mut run: impl FnMut(usize, usize, usize),
    mut each: impl FnMut(usize, usize),
) {
    if at.column == 0 && at.row == 0 {
        return run(0, rows * columns, at.base as usize);
    }
    for r in 0..rows {
        let result = (at.base + r as isize * at.row) as usize;
        if at.column == 0 {
            run(r * columns, columns, result);
        } else {
            debug_assert_eq!(at.column, 1, "results are dense along the last axis that is kept");
            each(r * columns, result);
        }
    }
}

/// Running sums or products along an axis, in place: `carry` is what comes before, one
/// element a line, and becomes what comes behind. The elements are lines of `n` by `inner`.
pub(crate) fn scan(op: ReduceOp, values: &mut Buf, carry: &mut Buf, n: usize, inner: usize) {
    macro_rules! run {
        ($t:ty, $add:expr, $multiply:expr) => {{
            let (values, carry) = (values.typed_mut::<$t>(), carry.typed_mut::<$t>());
            if op == ReduceOp::Prod {
                lines(values, carry, n, inner, $multiply);
            } else {
                lines(values, carry, n, inner, $add);
            }
        }};
    }
    match values.dtype() {
        DType::I64 => run!(i64, i64::wrapping_add, i64::wrapping_mul),
        DType::U64 => run!(u64, u64::wrapping_add, u64::wrapping_mul),
        DType::F64 => run!(f64, |a, b| a + b, |a, b| a * b),
        DType::C128 => run!(C64, |a, b| a + b, |a, b| a * b),
        other => unreachable!("sums are not kept in {other}"),
    }
}

fn lines<T: Copy>(
    values: &mut [T],
    carry: &mut [T],
    n: usize,
    inner: usize,
    combine: impl Fn(T, T) -> T,
) {
    for (block, carry) in values.chunks_exact_mut(n * inner).zip(carry.chunks_exact_mut(inner)) {
        for line in block.chunks_exact_mut(inner) {
            for (value, carry) in line.iter_mut().zip(&mut *carry) {
                *value = combine(*carry, *value);
                *carry = *value;
            }
        }
    }
}

/// The elements of a buffer as another type.
pub(crate) fn converted(from: Buf, to: DType) -> Buf {
    if from.dtype() == to {
        return from;
    }
    let mut out = Buf::zeros(to, from.len());
    cast(from.dtype(), to, Run::of(&from), from.len(), &mut out);
    out
}
