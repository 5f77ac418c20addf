//! Users' functions of chunks with some elements of their neighbours.

use super::{Array, around::Around, pad::Pad};
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    expr::{BoxError, regions::OfChunks},
    region::{Region, Span},
    scalar::Scalar,
    shape::ChunkIndex,
    tile::Tile,
};

/// What stands beyond the ends of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Boundary {
    /// Nothing: chunks at the ends have fewer elements.
    None,
    /// The array turned around its edges: the first and last elements come twice. SciPy's and
    /// Dask's `reflect`.
    Reflect,
    /// The array turned around its first and last elements. SciPy's `mirror`.
    Mirror,
    /// The nearest element.
    Nearest,
    /// The array again. SciPy's `wrap`, Dask's `periodic`.
    Periodic,
    /// A value.
    Constant(Scalar),
}

impl Boundary {
    /// The padding that it is.
    pub(super) fn pad(self) -> Option<Pad> {
        match self {
            Self::None => None,
            Self::Reflect => Some(Pad::Symmetric),
            Self::Mirror => Some(Pad::Reflect),
            Self::Nearest => Some(Pad::Edge),
            Self::Periodic => Some(Pad::Wrap),
            Self::Constant(value) => Some(Pad::Constant(value)),
        }
    }
}

/// How many elements of its neighbours a chunk is given, and what stands beyond the ends of
/// the array.
#[derive(Debug, Clone)]
pub struct Overlap {
    depth: Vec<(usize, usize)>,
    boundary: Vec<Boundary>,
    trim: bool,
}

impl Overlap {
    /// So many elements before and behind along each axis, nothing beyond the ends, and what
    /// the function gives is trimmed.
    pub fn new(depth: impl Into<Vec<(usize, usize)>>) -> Self {
        let depth = depth.into();
        Self { boundary: vec![Boundary::None; depth.len()], depth, trim: true }
    }

    /// The same depth along all axes of an array.
    pub fn all(rank: usize, depth: usize) -> Self {
        Self::new(vec![(depth, depth); rank])
    }

    /// The same with a boundary along all axes.
    #[must_use]
    pub fn boundary(mut self, boundary: Boundary) -> Self {
        self.boundary.fill(boundary);
        self
    }

    /// The same with a boundary for each axis.
    #[must_use]
    pub fn boundaries(mut self, boundaries: impl Into<Vec<Boundary>>) -> Self {
        self.boundary = boundaries.into();
        self
    }

    /// The same for a function that gives the chunk without what it was given of the
    /// neighbours.
    #[must_use]
    pub fn untrimmed(mut self) -> Self {
        self.trim = false;
        self
    }
}

impl Array {
    /// The array with its boundaries around it.
    pub(super) fn bounded(
        &self,
        depth: &[(usize, usize)],
        boundaries: &[Boundary],
    ) -> Result<Self> {
        let mut padded = self.clone();
        for (axis, (&depth, boundary)) in depth.iter().zip(boundaries).enumerate() {
            if let Some(mode) = boundary.pad() {
                let mut widths = vec![(0, 0); self.rank()];
                widths[axis] = depth;
                padded = padded.pad_with(&widths, mode)?;
            }
        }
        Ok(padded)
    }

    /// An array whose chunks a function makes of the chunks of others and some elements
    /// around them: of that type, and in the chunks of the first array. All arrays have one
    /// shape. Depths may be larger than chunks. The function is called when a chunk is
    /// needed, by several threads, and may be called again for the same chunk. It gives a
    /// tile of the shape that it is given, of which the chunk is cut, or the chunk itself
    /// ([`Overlap::untrimmed`]).
    ///
    /// ```
    /// use windlass_array::{Array, Boundary, DType, Overlap, Tile};
    ///
    /// let x = Array::arange(0.0, 6.0, 1.0)?.rechunk([2])?;
    /// let overlap = Overlap::all(1, 1).boundary(Boundary::Periodic).untrimmed();
    /// let slope = Array::map_overlap(&[&x], DType::F64, overlap, |tiles, _| {
    ///     let v = tiles[0].to_array::<f64>()?.into_raw_vec_and_offset().0;
    ///     let differences: Vec<f64> = v.windows(3).map(|w| w[2] - w[0]).collect();
    ///     let n = differences.len();
    ///     Ok(Tile::new(differences, [n])?)
    /// })?;
    /// assert_eq!(slope.compute::<f64>()?.into_raw_vec_and_offset().0, [-4.0, 2.0, 2.0, 2.0, 2.0, -4.0]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// For no array, arrays of other shapes, not one depth and boundary for each axis, and a
    /// constant that does not fit the type.
    pub fn map_overlap<F>(
        arrays: &[&Self],
        dtype: DType,
        overlap: Overlap,
        function: F,
    ) -> Result<Self>
    where
        F: Fn(&[Tile], &ChunkIndex) -> Result<Tile, BoxError> + Send + Sync + 'static,
    {
        let wrong = |expected: String, got: String| ArrayError::Shape {
            operation: "map_overlap",
            expected,
            got,
        };
        let Some(first) = arrays.first() else {
            return Err(wrong("at least one array".into(), "none".into()));
        };
        if let Some(other) = arrays.iter().find(|a| a.shape() != first.shape()) {
            return Err(wrong(format!("shape {}", first.shape()), other.shape().to_string()));
        }
        let rank = first.rank();
        if overlap.depth.len() != rank || overlap.boundary.len() != rank {
            let got =
                format!("{} depths and {} boundaries", overlap.depth.len(), overlap.boundary.len());
            return Err(wrong(format!("a depth and a boundary for each of {rank} axes"), got));
        }
        let around = |a: &&Self| {
            let (depth, boundary) = (overlap.depth.clone(), overlap.boundary.clone());
            Around::new(a.shape(), depth, boundary, (a.dtype(), a.dtype()))
        };
        let around: Vec<Around> = arrays.iter().map(around).collect::<Result<_>>()?;
        let (grid, own) = (first.chunks().clone(), around.clone());
        let op = OfChunks {
            name: "map_overlap",
            reads: move |region: &Region| {
                let of = |(i, a): (usize, &Around)| {
                    a.reads(region).into_iter().map(move |r| (i, r)).collect::<Vec<_>>()
                };
                own.iter().enumerate().flat_map(of).collect()
            },
            make: {
                let grid = grid.clone();
                move |region: &Region, parts: &[Tile]| {
                    let n = parts.len() / around.len();
                    let tiles: Vec<Tile> = around
                        .iter()
                        .zip(parts.chunks(n))
                        .map(|(a, parts)| a.tile(region, parts))
                        .collect();
                    let at = grid.axes().iter().zip(&region.axes).map(|(g, s)| g.find(s.start));
                    let found = function(&tiles, &ChunkIndex::new(at.collect::<Vec<_>>()))?;
                    if !overlap.trim {
                        return Ok(found);
                    }
                    let lens = around[0].lens(region);
                    if found.shape().as_slice() != lens {
                        return Err(Box::new(ArrayError::Shape {
                            operation: "map_overlap",
                            expected: format!("a tile of shape {lens:?} to be trimmed"),
                            got: found.shape().to_string(),
                        }) as BoxError);
                    }
                    let spans = region.axes.iter().zip(around[0].before(region));
                    let inner = spans.map(|(s, b)| Span::new(b, 1, s.len)).collect();
                    Ok(found.part(&Region::new(inner)))
                }
            },
        };
        Ok(Self::regions(op, arrays, dtype, grid))
    }
}
