//! Any region of a file of elements: few reads, of what is needed and little more.

use std::{fs::File, io, path::Path, sync::Arc};

use super::layout::{Layout, Order};
use crate::{
    array::Array,
    element::Buf,
    error::Result,
    expr::BoxError,
    grid::ChunkGrid,
    io::{
        bytes::{Endianness, bytes_mut, filled_by, swap},
        place::failed,
        source::{Place, Source},
    },
    region::{Region, Span},
    shape::{ChunkIndex, strides},
};

/// The most bytes that are read at once where they do not go straight to their place (a
/// stated guess: they stay in the last cache).
const PIECE: usize = 1 << 20;

/// Parts are read at once with what lies between them up to this many bytes in all, or while
/// they are an eighth of it (stated guesses: what a call of the system costs).
const SMALL: usize = 64 << 10;
const SPARSE: usize = 8;

/// Reads that many bytes from there on.
#[cfg(unix)]
pub(super) fn read_at(file: &File, to: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, to, at)
}

#[cfg(windows)]
pub(super) fn read_at(file: &File, mut to: &mut [u8], mut at: u64) -> io::Result<()> {
    while !to.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, to, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                to = &mut to[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}

/// The array of a file whose layout is read from it, or known.
///
/// # Errors
/// If there is no such file, it has no layout, or it is shorter.
pub(super) fn opened(
    operation: &'static str,
    place: &Path,
    layout: impl FnOnce(&mut File) -> Result<Layout, String>,
) -> Result<Array> {
    let mut file = File::open(place).map_err(|e| failed(operation, place, e))?;
    let layout = layout(&mut file).map_err(|e| failed(operation, place, e))?;
    let dtype = layout.dtype;
    Ok(Array::from_source(dtype, Arc::new(FlatFile::new(operation, place, file, layout)?)))
}

/// An array in an open file.
#[derive(Debug)]
pub(crate) struct FlatFile {
    file: File,
    place: String,
    layout: Layout,
    strides: Vec<isize>,
    grid: ChunkGrid,
}

impl FlatFile {
    /// Of a file that holds all elements.
    ///
    /// # Errors
    /// If it is shorter.
    pub(crate) fn new(
        operation: &'static str,
        place: &Path,
        file: File,
        layout: Layout,
    ) -> Result<Self> {
        let size = file.metadata().map_err(|e| failed(operation, place, e))?.len();
        let end = layout.bytes().map(|b| b + layout.offset);
        if end.is_none_or(|end| end > size) {
            let (dtype, shape, offset) = (layout.dtype, &layout.shape, layout.offset);
            let needed = end.map_or("more than 64 bits count".into(), |e| e.to_string());
            let problem = format!(
                "the file has {size} bytes, and {dtype} of shape {shape} from byte {offset} on \
                 ends at byte {needed}: it is cut off, or is another array"
            );
            return Err(failed(operation, place, problem));
        }
        let (strides, grid) = (layout.strides(), layout.grid());
        Ok(Self { file, place: place.display().to_string(), layout, strides, grid })
    }

    /// Elements from the first to the last of a region.
    fn span(&self, region: &Region) -> usize {
        let steps = region.axes.iter().zip(&self.strides);
        steps.map(|(s, k)| (s.len - 1) * *k as usize).sum::<usize>() + 1
    }

    /// The byte of a region's first element.
    fn at(&self, region: &Region) -> u64 {
        let steps = region.axes.iter().zip(&self.strides);
        let first: u64 = steps.map(|(s, k)| s.start as u64 * *k as u64).sum();
        self.layout.offset + first * self.layout.dtype.bytes() as u64
    }

    /// Reads a region in parts.
    fn read_region(&self, region: &Region, to: &mut Place<'_>) -> io::Result<()> {
        let (span, size) = (self.span(region), region.size());
        let bytes = self.layout.dtype.bytes();
        if span == size && self.read_straight(region, to)? {
            return Ok(());
        }
        let near = size.saturating_mul(SPARSE) >= span || span * bytes <= SMALL;
        if size == 1 || (near && span * bytes <= PIECE) {
            let mut buf =
                filled_by(self.layout.dtype, span, |to| read_at(&self.file, to, self.at(region)))?;
            self.to_native(&mut buf);
            to.put(&region.lens(), &buf, 0, &self.strides);
            return Ok(());
        }
        let axis = self.layout.axes().into_iter().find(|&a| region.axes[a].len > 1);
        let axis = axis.unwrap_or_default();
        let Span { start, len, .. } = region.axes[axis];
        let half = len / 2;
        self.read_region(&region.with(axis, Span::new(start, 1, half)), to)?;
        let mut begin = to.begin.to_vec();
        begin[axis] += half;
        let mut to = Place { buf: to.buf, lens: to.lens, begin: &begin };
        self.read_region(&region.with(axis, Span::new(start + half, 1, len - half)), &mut to)
    }

    /// Reads a region that lies in one piece straight to its place, if that is one piece too.
    fn read_straight(&self, region: &Region, to: &mut Place<'_>) -> io::Result<bool> {
        let lens = region.lens();
        let steps = strides(to.lens);
        let mut inner = 1;
        for (n, step) in lens.iter().zip(&steps).rev() {
            if *n > 1 && *step as usize != inner {
                return Ok(false);
            }
            inner *= n;
        }
        let in_order = self.layout.order == Order::C || lens.iter().filter(|n| **n > 1).count() < 2;
        let (offset, size) = (to.offset(), self.layout.dtype.bytes());
        let Some(bytes) = bytes_mut(to.buf).filter(|_| in_order) else { return Ok(false) };
        let part = &mut bytes[offset * size..(offset + inner) * size];
        read_at(&self.file, part, self.at(region))?;
        if self.layout.endianness != Endianness::NATIVE {
            swap(part, self.layout.dtype);
        }
        Ok(true)
    }

    fn to_native(&self, buf: &mut Buf) {
        if self.layout.endianness != Endianness::NATIVE
            && let Some(bytes) = bytes_mut(buf)
        {
            swap(bytes, self.layout.dtype);
        }
    }
}

impl Source for FlatFile {
    fn name(&self) -> &'static str {
        "file"
    }

    fn grid(&self) -> &ChunkGrid {
        &self.grid
    }

    fn working_bytes(&self) -> u64 {
        2 * PIECE as u64
    }

    fn read(&self, _: &ChunkIndex, region: &Region, to: &mut Place<'_>) -> Result<(), BoxError> {
        self.read_region(region, to).map_err(|e| {
            let spans = region.axes.iter().map(|s| format!("{}..{}", s.start, s.start + s.len));
            let spans = spans.collect::<Vec<_>>().join(", ");
            failed("read", &self.place, format!("elements [{spans}]: {e}")).into()
        })
    }
}
