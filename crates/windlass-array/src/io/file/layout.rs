//! Where each element of an array lies in a file.

use crate::{
    dtype::DType,
    grid::{AxisGrid, CHUNK_BYTES, ChunkGrid},
    io::bytes::Endianness,
    shape::{ArrayShape, strides},
};

/// Which axis is the fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The last, as in C.
    #[default]
    C,
    /// The first, as in Fortran.
    Fortran,
}

/// How an array's elements lie in a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub(crate) dtype: DType,
    pub(crate) shape: ArrayShape,
    /// The first element's byte.
    pub(crate) offset: u64,
    pub(crate) order: Order,
    pub(crate) endianness: Endianness,
}

impl Layout {
    /// The axes, the slowest first.
    pub(crate) fn axes(&self) -> Vec<usize> {
        let all = 0..self.shape.rank();
        match self.order {
            Order::C => all.collect(),
            Order::Fortran => all.rev().collect(),
        }
    }

    /// Elements between neighbours along each axis.
    pub(crate) fn strides(&self) -> Vec<isize> {
        let axes = self.axes();
        let lens: Vec<usize> = axes.iter().map(|&a| self.shape[a]).collect();
        let mut steps = vec![0; axes.len()];
        axes.iter().zip(strides(&lens)).for_each(|(&a, s)| steps[a] = s);
        steps
    }

    /// Bytes of all elements; none where they are beyond 64 bits.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let lens = self.shape.as_slice().iter();
        lens.map(|&n| n as u64)
            .try_fold(self.dtype.bytes() as u64, u64::checked_mul)
            .filter(|b| b.checked_add(self.offset).is_some())
    }

    /// Pieces of the file: whole along the fast axes as long as they fit.
    pub(crate) fn grid(&self) -> ChunkGrid {
        let mut room = (CHUNK_BYTES / 4 / self.dtype.bytes()).max(1);
        let mut axes = vec![AxisGrid::regular(1, 1); self.shape.rank()];
        for a in self.axes().into_iter().rev() {
            let n = self.shape[a];
            let piece = n.clamp(1, room);
            room = (room / piece).max(1);
            axes[a] = AxisGrid::regular(n, n.div_ceil(n.div_ceil(piece).max(1)));
        }
        ChunkGrid::new(axes)
    }
}
