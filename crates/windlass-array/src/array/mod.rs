//! [`Array`]: what it is, and its methods by family.
//!
//! | module | holds |
//! |---|---|
//! | [`create`] | arrays of nothing, of memory, of functions, random ones |
//! | [`operand`] | operations of several arrays and scalars: types and shapes |
//! | [`ufunc`] | the elementwise functions by NumPy's names |
//! | [`operators`] | `+`, `-` and the others |
//! | [`reduce`] | reductions and running sums |
//! | [`index`] | slices, positions and masks |
//! | [`layout`] | the same elements in other places and shapes |
//! | [`join`] | arrays of arrays, and parts of them |
//! | [`blocks`] | users' functions of chunks |
//! | [`sorted`] | sorting, medians and quantiles, searching |
//! | [`statistics`] | histograms, counts, norms |
//! | [`product`], [`diagonal`] | sums of products; diagonals and triangles |
//! | [`factors`], [`solve`], [`norms`] | factors of matrices, equations, norms |
//! | [`fourier`] | Fourier transforms |

mod blocks;
mod create;
mod diagonal;
mod factors;
mod fourier;
mod index;
mod join;
mod layout;
mod norms;
mod operand;
mod operators;
mod product;
mod reduce;
mod solve;
mod sorted;
mod statistics;
mod ufunc;

use std::{fmt, sync::Arc};

use ndarray::ArrayD;
use windlass_runtime::{delayed::RunGraph, execute::Executor};

pub use self::{
    fourier::FftNorm, index::Index, norms::Norm, operand::Operand, reduce::Axes,
    solve::LeastSquares,
};
use crate::{
    dtype::DType,
    element::{Buf, Element},
    error::{ArrayError, Result},
    execute,
    expr::{Node, Op, generate::Generator, ops::UnaryOp},
    grid::ChunkGrid,
    region::ViewMap,
    shape::{ArrayShape, ChunkShape, GridShape},
    tile::Tile,
};

/// A lazy array: an element type, a shape, how it is cut into chunks, and how its elements
/// come about. Clones are cheap and stand for the same elements.
#[derive(Clone)]
pub struct Array {
    node: Arc<Node>,
}

impl Array {
    /// Of a node. An empty array is made of nothing, so that what runs has elements.
    fn from_node(node: Arc<Node>) -> Self {
        if node.shape.size() == 0 && !matches!(node.op, Op::Generate(_)) {
            let fill = Op::Generate(Generator::Fill(Buf::zeros(node.dtype, 1)));
            return Self { node: Node::new(fill, Vec::new(), node.dtype, node.grid.clone()) };
        }
        Self { node }
    }

    fn of(op: Op, inputs: Vec<Arc<Node>>, dtype: DType, grid: ChunkGrid) -> Self {
        Self::from_node(Node::new(op, inputs, dtype, grid))
    }

    /// The same elements in other places.
    fn view(&self, map: ViewMap, grid: ChunkGrid) -> Self {
        Self::of(Op::View(map), vec![Arc::clone(&self.node)], self.dtype(), grid)
    }

    pub(crate) fn node(&self) -> Arc<Node> {
        Arc::clone(&self.node)
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        self.node.dtype
    }

    /// Its shape.
    pub fn shape(&self) -> &ArrayShape {
        &self.node.shape
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.node.shape.rank()
    }

    /// Number of elements.
    pub fn size(&self) -> usize {
        self.node.shape.size()
    }

    /// Bytes of its elements.
    pub fn nbytes(&self) -> usize {
        self.size().saturating_mul(self.dtype().bytes())
    }

    /// How it is cut into chunks.
    pub fn chunks(&self) -> &ChunkGrid {
        &self.node.grid
    }

    /// Chunks along each axis.
    pub fn grid_shape(&self) -> GridShape {
        self.node.grid.grid_shape()
    }

    /// The same elements in chunks of that shape. No chunk is made whole for it: what needs
    /// a new chunk reads the parts of the old ones that it is made of.
    ///
    /// # Errors
    /// If the ranks differ, or a chunk has no elements.
    pub fn rechunk(&self, chunk: impl Into<ChunkShape>) -> Result<Self> {
        Ok(self.regrid(ChunkGrid::regular(self.shape(), &chunk.into())?))
    }

    /// As [`Array::rechunk`], in the chunks of a grid.
    ///
    /// # Errors
    /// If the grid is of another shape.
    pub fn rechunk_to(&self, grid: ChunkGrid) -> Result<Self> {
        if grid.shape() != *self.shape() {
            return Err(ArrayError::Shape {
                operation: "rechunk",
                expected: format!("chunks of shape {}", self.shape()),
                got: grid.shape().to_string(),
            });
        }
        Ok(self.regrid(grid))
    }

    pub(crate) fn regrid(&self, grid: ChunkGrid) -> Self {
        self.view(ViewMap::identity(self.rank()), grid)
    }

    /// The elements as another type. Floats become integers by cutting the fraction (those
    /// beyond the type its nearest value, NaN 0), integers of fewer bits keep the low ones,
    /// complex numbers lose the imaginary part, and everything but zero is true.
    #[must_use]
    pub fn astype(&self, dtype: DType) -> Self {
        if dtype == self.dtype() {
            return self.clone();
        }
        let op = Op::Unary(UnaryOp::Cast(dtype));
        Self::of(op, vec![self.node()], dtype, self.node.grid.clone())
    }

    /// Computes the elements, on the threads of [`Executor::global`]. The result itself is
    /// whole in memory, beside what an executor's limit counts.
    ///
    /// # Errors
    /// If they are not of type `T`, or a task failed.
    pub fn compute<T: Element>(&self) -> Result<ArrayD<T>> {
        self.compute_on(&**Executor::global())
    }

    /// As [`Array::compute`], on that executor.
    ///
    /// # Errors
    /// As there.
    pub fn compute_on<T: Element>(&self, on: &dyn RunGraph) -> Result<ArrayD<T>> {
        if self.dtype() != T::DTYPE {
            return Err(ArrayError::WrongType { have: self.dtype(), wanted: T::DTYPE });
        }
        self.compute_tile_on(on)?.into_array()
    }

    /// Computes the elements, of whatever type they are.
    ///
    /// # Errors
    /// If a task failed.
    pub fn compute_tile(&self) -> Result<Tile> {
        self.compute_tile_on(&**Executor::global())
    }

    /// As [`Array::compute_tile`], on that executor.
    ///
    /// # Errors
    /// As there.
    pub fn compute_tile_on(&self, on: &dyn RunGraph) -> Result<Tile> {
        Ok(execute::compute(std::slice::from_ref(&self.node), on)?.swap_remove(0))
    }

    /// Computes the elements and keeps them in memory: the same array, of which nothing is
    /// computed again.
    ///
    /// # Errors
    /// If a task failed.
    pub fn persist(&self) -> Result<Self> {
        self.persist_on(&**Executor::global())
    }

    /// As [`Array::persist`], on that executor.
    ///
    /// # Errors
    /// As there.
    pub fn persist_on(&self, on: &dyn RunGraph) -> Result<Self> {
        if self.size() == 0 {
            return Ok(self.clone());
        }
        let tiles = execute::persist(&self.node, on)?;
        let op = Op::Tiles(Arc::new(tiles));
        Ok(Self::of(op, Vec::new(), self.dtype(), self.node.grid.clone()))
    }
}

/// Computes several arrays at once: what they share is computed once.
///
/// # Errors
/// If a task failed.
pub fn compute_all(arrays: &[&Array]) -> Result<Vec<Tile>> {
    compute_all_on(arrays, &**Executor::global())
}

/// As [`compute_all`], on that executor.
///
/// # Errors
/// As there.
pub fn compute_all_on(arrays: &[&Array], on: &dyn RunGraph) -> Result<Vec<Tile>> {
    let nodes: Vec<Arc<Node>> = arrays.iter().map(|a| a.node()).collect();
    execute::compute(&nodes, on)
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Array<{}, shape={}, dtype={}, chunks={}>",
            self.node.op.name(),
            self.shape(),
            self.dtype(),
            self.chunks()
        )
    }
}

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod linear_tests;
#[cfg(test)]
mod tests;
