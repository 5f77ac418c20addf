//! Files of elements, written region by region.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use super::layout::{Layout, Order};
use crate::{
    array::Array,
    dtype::DType,
    element::{Buf, dispatch},
    error::Result,
    expr::BoxError,
    grid::ChunkGrid,
    io::{
        bytes::{Endianness, swap},
        place::{Pending, failed},
        sink::Sink,
    },
    kernel::copy,
    region::Region,
    shape::{each_index, strides},
    tile::Tile,
};

/// The array's own chunks are written where their rows have this many bytes; else rows are
/// made whole first (a stated guess: what a call of the system costs).
const ROW: usize = 64 << 10;

/// How a file of elements is written.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct FileWrite {
    pub(crate) overwrite: bool,
    pub(crate) compress: bool,
    pub(crate) order: Order,
    pub(crate) endianness: Endianness,
}

impl FileWrite {
    /// Whether a file of that name is replaced. It is there until the new one is complete.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Whether the arrays in `.npz` are compressed. Other files never are.
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Which axis is the fastest.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Which byte of a number comes first.
    pub fn endianness(mut self, endianness: Endianness) -> Self {
        self.endianness = endianness;
        self
    }
}

/// Writes bytes from there on.
#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
        bytes = &bytes[n..];
        at += n as u64;
    }
    Ok(())
}

/// A file in the making.
#[derive(Debug)]
pub(crate) struct FlatSink {
    file: File,
    pending: Pending,
    layout: Layout,
    grid: ChunkGrid,
}

impl FlatSink {
    /// Of an array; before its first element stands a header, which is made of the layout.
    pub(super) fn new(
        operation: &'static str,
        target: &Path,
        array: &Array,
        options: &FileWrite,
        header: impl FnOnce(&Layout) -> Vec<u8>,
    ) -> Result<Self> {
        let mut layout = layout(options, array.dtype(), array.shape(), 0);
        let (header, grid) = (header(&layout), array.chunks());
        layout.offset = header.len() as u64;
        let pending = Pending::new(operation, target, options.overwrite)?;
        let wrong = |e: io::Error| failed(operation, target, e);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let file = options.open(pending.path()).map_err(wrong)?;
        let Some(bytes) = layout.bytes() else {
            return Err(failed(operation, target, "its bytes are more than 64 bits count"));
        };
        file.set_len(layout.offset + bytes).map_err(wrong)?;
        write_at(&file, &header, 0).map_err(wrong)?;
        let size = layout.dtype.bytes();
        let own = grid.tasks(size, true);
        let fast = layout.axes().last().map_or(0, |&a| own.axes()[a].largest() * size);
        let whole = layout.axes().last().is_none_or(|&a| own.axes()[a].count() == 1);
        let grid = if whole || fast >= ROW { own } else { layout.grid().tasks(size, true) };
        Ok(Self { file, pending, layout, grid })
    }

    /// A tile's bytes as the file has them, all in one piece.
    fn bytes(&self, tile: &Tile) -> Vec<u8> {
        let axes = self.layout.axes();
        let lens: Vec<usize> = axes.iter().map(|&a| tile.shape()[a]).collect();
        let steps: Vec<isize> = axes.iter().map(|&a| tile.strides()[a]).collect();
        let mut buf = Buf::zeros(tile.dtype(), tile.shape().size());
        dispatch!(tile.dtype(), T => copy::copy::<T>(
            &lens,
            tile.buf().typed(),
            copy::Layout { offset: tile.offset(), strides: &steps },
            buf.typed_mut(),
            copy::Layout { offset: 0, strides: &strides(&lens) },
        ));
        let mut bytes = buf.as_bytes().to_vec();
        if self.layout.endianness != Endianness::NATIVE {
            swap(&mut bytes, tile.dtype());
        }
        bytes
    }

    fn write_bytes(&self, region: &Region, bytes: &[u8]) -> io::Result<()> {
        let (axes, size) = (self.layout.axes(), self.layout.dtype.bytes());
        let steps = self.layout.strides();
        // Axes from here on are whole, but for the first of them: they lie in one piece.
        let whole = |a: usize| region.axes[a].len == self.layout.shape[a];
        let inner = axes.iter().rposition(|&a| !whole(a)).unwrap_or(0);
        let run = axes[inner..].iter().map(|&a| region.axes[a].len).product::<usize>() * size;
        let outer: Vec<usize> = axes[..inner].iter().map(|&a| region.axes[a].len).collect();
        let first: u64 =
            region.axes.iter().zip(&steps).map(|(s, k)| s.start as u64 * *k as u64).sum();
        let mut runs = bytes.chunks_exact(run);
        let mut done = Ok(());
        each_index(&outer, |index| {
            let more: u64 =
                index.iter().zip(&axes).map(|(&i, &a)| i as u64 * steps[a] as u64).sum();
            let at = self.layout.offset + (first + more) * size as u64;
            if let (Ok(()), Some(run)) = (&done, runs.next()) {
                done = write_at(&self.file, run, at);
            }
        });
        done
    }
}

impl Sink for FlatSink {
    fn chunks(&self) -> &ChunkGrid {
        &self.grid
    }

    fn grid(&self) -> &ChunkGrid {
        &self.grid
    }

    /// A tile in the file's order, and its bytes.
    fn working_bytes(&self) -> u64 {
        let size: usize = self.grid.largest().as_slice().iter().product();
        2 * (size * self.layout.dtype.bytes()) as u64
    }

    fn write(&self, region: &Region, tile: &Tile) -> Result<(), BoxError> {
        let dense = tile.to_dense();
        let as_it_is = self.layout.order == Order::C
            && (self.layout.endianness == Endianness::NATIVE || tile.dtype().bytes() == 1);
        let size = self.layout.dtype.bytes();
        let written = if as_it_is {
            let own = dense.offset() * size..(dense.offset() + dense.shape().size()) * size;
            self.write_bytes(region, &dense.buf().as_bytes()[own])
        } else {
            self.write_bytes(region, &self.bytes(&dense))
        };
        written.map_err(|e| failed("write", self.pending.target(), e).into())
    }

    fn finish(&self) -> Result<(), BoxError> {
        let wrong = |e: io::Error| failed("write", self.pending.target(), e);
        Ok(self.pending.finish().map_err(wrong)?)
    }
}

/// The layout of a new file.
pub(super) fn layout(
    options: &FileWrite,
    dtype: DType,
    shape: &crate::ArrayShape,
    offset: u64,
) -> Layout {
    let FileWrite { order, endianness, .. } = *options;
    Layout { dtype, shape: shape.clone(), offset, order, endianness }
}
