//! What an array is before it is computed: a graph of operations on whole arrays, without
//! cycles, shared where arrays share what they are made of.
//!
//! | module | holds |
//! |---|---|
//! | [`ops`] | the elementwise operations and their types |
//! | [`generate`] | elements that are a function of their position |

pub(crate) mod generate;
pub(crate) mod ops;

use std::{fmt, sync::Arc};

use crate::{
    dtype::DType,
    grid::ChunkGrid,
    io::source::Source,
    reduce::ReduceOp,
    region::ViewMap,
    shape::{ArrayShape, ChunkIndex},
    tile::{Tile, Tiles},
};

use generate::Generator;
use ops::{BinaryOp, UnaryOp};

/// The error of a user's function, whatever it is.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A user's function that gives a chunk.
pub(crate) type ChunkFn = Arc<dyn Fn(&ChunkIndex) -> Result<Tile, BoxError> + Send + Sync>;

/// A user's function that makes a chunk of chunks.
pub(crate) type BlockFn = Arc<dyn Fn(&[Tile], &ChunkIndex) -> Result<Tile, BoxError> + Send + Sync>;

/// An operation on whole arrays.
#[derive(Clone)]
pub(crate) enum Op {
    /// Elements in memory.
    Tile(Tile),
    /// Elements in memory, chunk by chunk.
    Tiles(Arc<Tiles>),
    /// Elements that are a function of their position.
    Generate(Generator),
    /// Chunks of a user's function.
    Chunks(ChunkFn),
    /// Elements that are stored somewhere, in chunks.
    Source(Arc<dyn Source>),
    /// Chunks that a user's function makes of the inputs' chunks.
    Blocks(BlockFn),
    /// One operand's elements, each by itself.
    Unary(UnaryOp),
    /// Two operands' elements, each pair by itself.
    Binary(BinaryOp),
    /// The elements of the second operand where the first is true, else of the third.
    Select,
    /// The input's elements in other places.
    View(ViewMap),
    /// The input's elements, in order, under another shape.
    Reshape,
    /// The inputs, one behind the other along an axis.
    Concat { axis: usize },
    /// Chosen positions along an axis.
    Take { axis: usize, indices: Arc<[usize]> },
    /// Axes made one element.
    Reduce { op: ReduceOp, axes: Vec<usize>, keepdims: bool },
    /// Each element with all that stand before it along an axis.
    Scan { op: ReduceOp, axis: usize },
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Op {
    /// What it is called in task names.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Tile(_) | Self::Tiles(_) => "memory",
            Self::Generate(_) => "generate",
            Self::Chunks(_) => "from_function",
            Self::Source(source) => source.name(),
            Self::Blocks(_) => "map_blocks",
            Self::Unary(op) => op.name(),
            Self::Binary(op) => op.name(),
            Self::Select => "where",
            Self::View(_) => "view",
            Self::Reshape => "reshape",
            Self::Concat { .. } => "concatenate",
            Self::Take { .. } => "take",
            Self::Reduce { op, .. } | Self::Scan { op, .. } => op.name(),
        }
    }
}

/// An operation, its inputs, and what is known of its result.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<Arc<Self>>,
    pub(crate) dtype: DType,
    pub(crate) shape: ArrayShape,
    pub(crate) grid: ChunkGrid,
}

impl Drop for Node {
    /// Without recursion: expressions may be as deep as a loop ran.
    fn drop(&mut self) {
        let mut left = std::mem::take(&mut self.inputs);
        while let Some(node) = left.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                left.append(&mut node.inputs);
            }
        }
    }
}

impl Node {
    /// A node with its shape from its grid.
    pub(crate) fn new(op: Op, inputs: Vec<Arc<Self>>, dtype: DType, grid: ChunkGrid) -> Arc<Self> {
        Arc::new(Self { op, inputs, dtype, shape: grid.shape(), grid })
    }

    /// The same operation on other inputs.
    pub(crate) fn with_inputs(&self, inputs: Vec<Arc<Self>>) -> Arc<Self> {
        Self::new(self.op.clone(), inputs, self.dtype, self.grid.clone())
    }

    /// Rough time for an element beside that of inputs that are kept; see
    /// [`UnaryOp::weight`].
    pub(crate) fn weight(&self) -> u32 {
        match &self.op {
            Op::Unary(op) => op.weight(),
            Op::Binary(op) => op.weight(),
            Op::Tile(_) | Op::Tiles(_) | Op::View(_) => 0,
            Op::Generate(g) => {
                if g.is_cheap() {
                    0
                } else {
                    16
                }
            }
            Op::Select | Op::Concat { .. } => 1,
            Op::Reshape | Op::Take { .. } => 4,
            Op::Chunks(_) | Op::Source(_) | Op::Blocks(_) | Op::Reduce { .. } | Op::Scan { .. } => {
                u32::MAX
            }
        }
    }

    /// Whether its elements are there, or follow from their positions alone.
    pub(crate) fn is_free(&self) -> bool {
        match &self.op {
            Op::Tile(_) | Op::Tiles(_) => true,
            Op::Generate(g) => g.is_cheap(),
            _ => false,
        }
    }

    /// Whether tasks of its own make it, by chunks that it alone decides.
    pub(crate) fn is_barrier(&self) -> bool {
        matches!(
            self.op,
            Op::Chunks(_) | Op::Source(_) | Op::Blocks(_) | Op::Reduce { .. } | Op::Scan { .. }
        )
    }
}
