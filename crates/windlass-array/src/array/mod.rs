//! [`Array`]: what it is, and its methods by family.
//!
//! | module | holds |
//! |---|---|
//! | [`create`] | arrays of nothing, of memory, of functions, random ones |
//! | [`operand`] | operations of several arrays and scalars: types and shapes |
//! | [`ufunc`] | the elementwise functions by NumPy's names |
//! | [`floats`] | functions of single elements that are made of others |
//! | [`operators`] | `+`, `-` and the others |
//! | [`nan`] | reductions without NaN, and others that are made of reductions |
//! | [`numeric`], [`covariance`] | slopes, integrals, interpolation; covariances |
//! | [`phases`] | phases without jumps, powers in columns, vector products, other shapes |
//! | [`windows`], [`randomised`] | blocks and windows; random orders and choices |
//! | [`reduce`] | reductions and running sums |
//! | [`index`] | slices, positions and masks |
//! | [`fancy`], [`gather`], [`assign`] | positions that are arrays; other elements at positions |
//! | [`along`] | other elements at positions along an axis |
//! | [`masks`], [`pieces`] | elements where something holds; functions told by pieces |
//! | [`layout`] | the same elements in other places and shapes |
//! | [`join`], [`compose`] | arrays of arrays, and parts of them |
//! | [`blocks`], [`blockwise`] | users' functions of chunks |
//! | [`pad`], [`overlap`], [`around`] | padding; functions of chunks and what stands around them |
//! | [`filters`], [`ranks`], [`convolve`] | filters and convolutions of grids |
//! | [`sorted`], [`quantile`], [`digits`] | sorting; medians and quantiles |
//! | [`product`], [`chain`], [`diagonal`] | sums of products; diagonals and triangles |
//! | [`factors`], [`complete`], [`solve`], [`norms`] | factors of matrices, equations, norms |
//! | [`fourier`] | Fourier transforms |
//! | [`topk`], [`sets`], [`counts`] | greatest and different elements, sets, searching |
//! | [`statistics`], [`histograms`] | histograms, counts, norms |

mod along;
mod around;
mod assign;
mod blocks;
mod blockwise;
mod chain;
mod complete;
mod compose;
mod convolve;
mod counts;
mod covariance;
mod create;
mod diagonal;
mod digits;
mod factors;
mod fancy;
mod filters;
mod floats;
mod fourier;
mod gather;
mod histograms;
mod index;
mod join;
mod layout;
mod masks;
mod nan;
mod norms;
mod numeric;
mod operand;
mod operators;
mod overlap;
mod pad;
mod phases;
mod pieces;
mod product;
mod quantile;
mod randomised;
mod ranks;
mod reduce;
mod sets;
mod solve;
mod sorted;
mod statistics;
mod topk;
mod ufunc;
mod windows;

use std::{fmt, sync::Arc};

use ndarray::ArrayD;
use windlass_runtime::{delayed::RunGraph, execute::Executor};

pub use self::{
    blockwise::Reshaped,
    compose::Nested,
    convolve::Part,
    covariance::Covariance,
    fancy::Fancy,
    fourier::FftNorm,
    index::Index,
    norms::Norm,
    numeric::Spacing,
    operand::Operand,
    overlap::{Boundary, Overlap},
    pad::Pad,
    pieces::Piece,
    quantile::Quantile,
    reduce::Axes,
    sets::UniqueParts,
    solve::LeastSquares,
};
use crate::{
    dtype::DType,
    element::{Buf, Element},
    error::{ArrayError, Result},
    execute::{self, Persisted},
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
    pub(crate) fn from_node(node: Arc<Node>) -> Self {
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

    /// The devices whose memory holds tiles of it, where it was persisted there.
    pub fn devices(&self) -> Vec<String> {
        let Op::Tiles(tiles) = &self.node.op else { return Vec::new() };
        let held = tiles.tiles.iter().filter_map(|t| t.device());
        let mut names: Vec<String> = held.map(|t| t.device.info().name.to_string()).collect();
        names.sort();
        names.dedup();
        names
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

    /// Computes the elements, on the threads of [`Executor::global`]. The result is whole in
    /// memory; while it is made it counts for an executor's limit.
    ///
    /// # Errors
    /// If they are not of type `T`, a task failed, or the result alone is beyond the limit of
    /// the executor's memory.
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

    /// Where its parts would be computed by an executor, and why there: a line for each part
    /// that has tasks of its own. Executors with devices are made by
    /// [`Executor::with_devices`].
    ///
    /// # Errors
    /// If a device that the executor names does not open.
    pub fn explain_on(&self, on: &dyn RunGraph) -> Result<String> {
        execute::explain(&self.node, on)
    }

    /// Computes the elements and keeps them: the same array, of which nothing is computed
    /// again. They count for the executor's limit of memory, if it has one, as long as the
    /// array is there; what passes half of it is kept on disk.
    ///
    /// # Errors
    /// If a task failed.
    pub fn persist(&self) -> Result<Self> {
        self.persist_on(&**Executor::global())
    }

    /// As [`Array::persist`], on that executor. What its devices compute stays in their memory.
    ///
    /// # Errors
    /// As there.
    pub fn persist_on(&self, on: &dyn RunGraph) -> Result<Self> {
        if self.size() == 0 {
            return Ok(self.clone());
        }
        let (grid, kept) = match execute::persist(&self.node, on)? {
            Persisted::Memory(tiles) => {
                let op = Op::Tiles(Arc::new(tiles));
                return Ok(Self::of(op, Vec::new(), self.dtype(), self.node.grid.clone()));
            }
            Persisted::Kept(grid, kept) => (grid, kept),
        };
        let own = grid.clone();
        let found = Self::from_function(grid, self.dtype(), move |index| {
            let value = kept[own.position(index.as_slice())].value()?;
            let tile = value.downcast::<Tile>().ok_or("a kept tile is of another type")?;
            Ok(Tile::clone(&tile))
        });
        found.rechunk_to(self.node.grid.clone())
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
            "Array<{}, shape={}, dtype={}, chunks={}",
            self.node.op.name(),
            self.shape(),
            self.dtype(),
            self.chunks()
        )?;
        let devices = self.devices();
        if !devices.is_empty() {
            write!(f, ", devices={}", devices.join(","))?;
        }
        f.write_str(">")
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
