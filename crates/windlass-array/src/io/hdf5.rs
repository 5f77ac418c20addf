//! HDF5 files, read only, by the crate `hdf5-pure`: whole rows of a dataset at once.

use std::{path::Path, sync::Arc};

use hdf5_pure::{Dataset, Datatype, DatatypeByteOrder, File};

use super::{
    bytes::{Endianness, filled_by, swap},
    place::failed,
    source::{Place, Source},
};
use crate::{
    array::Array,
    dtype::DType,
    error::Result,
    expr::BoxError,
    grid::{AxisGrid, ChunkGrid},
    region::Region,
    shape::{ArrayShape, ChunkIndex, strides},
};

const OPEN: &str = "from_hdf5";

/// Rows of this many bytes are read at once where the file has no chunks (a stated guess).
const ROWS: usize = 4 << 20;

/// An open dataset.
struct Hdf5Source {
    dataset: Dataset,
    place: String,
    dtype: DType,
    endianness: Endianness,
    shape: ArrayShape,
    grid: ChunkGrid,
}

/// The type of elements, and which byte comes first. NumPy's bools are an enumeration, its
/// complex numbers pairs.
fn dtype_of(of: &Datatype) -> Option<(DType, Endianness)> {
    let order = |order: &DatatypeByteOrder| match order {
        DatatypeByteOrder::LittleEndian => Some(Endianness::Little),
        DatatypeByteOrder::BigEndian => Some(Endianness::Big),
        _ => None,
    };
    match of {
        Datatype::FixedPoint { .. } | Datatype::FloatingPoint { .. } => {
            let (name, byte_order) = match of {
                Datatype::FixedPoint { size, byte_order, layout }
                    if layout.bit_offset == 0 && u32::from(layout.bit_precision) == size * 8 =>
                {
                    let sign = if layout.signed { "int" } else { "uint" };
                    (format!("{sign}{}", size * 8), byte_order)
                }
                Datatype::FloatingPoint { size, byte_order, .. } => {
                    (format!("float{}", size * 8), byte_order)
                }
                _ => return None,
            };
            Some((DType::from_name(&name)?, order(byte_order)?))
        }
        Datatype::Enumeration { size: 1, members, .. } => {
            let names: Vec<&str> = members.iter().map(|m| m.name.as_str()).collect();
            (names == ["FALSE", "TRUE"]).then_some((DType::Bool, Endianness::Little))
        }
        Datatype::Compound { size, members } => {
            let [real, imaginary] = &members[..] else { return None };
            let (dtype, endianness) = dtype_of(&real.datatype)?;
            let pair = dtype_of(&imaginary.datatype) == Some((dtype, endianness))
                && dtype.is_float()
                && *size as usize == 2 * dtype.bytes();
            pair.then_some((dtype.complex(), endianness))
        }
        _ => None,
    }
}

impl Source for Hdf5Source {
    fn name(&self) -> &'static str {
        "hdf5"
    }

    fn grid(&self) -> &ChunkGrid {
        &self.grid
    }

    /// What is stored, its rows, and their elements.
    fn working_bytes(&self) -> u64 {
        let size: usize = self.grid.largest().as_slice().iter().product();
        3 * (size * self.dtype.bytes()) as u64
    }

    fn read(
        &self,
        chunk: &ChunkIndex,
        region: &Region,
        to: &mut Place<'_>,
    ) -> Result<(), BoxError> {
        let wrong = |e: &dyn std::fmt::Display| {
            failed("read hdf5", &self.place, format!("chunk {:?}: {e}", chunk.as_slice()))
        };
        let mut lens = self.shape.as_slice().to_vec();
        let bytes = match region.axes.first() {
            None => self.dataset.read_raw(),
            Some(rows) => {
                lens[0] = rows.len;
                self.dataset.read_raw_rows(rows.start as u64, rows.len as u64)
            }
        };
        let bytes = bytes.map_err(|e| wrong(&e))?;
        let size: usize = lens.iter().product();
        if bytes.len() != size * self.dtype.bytes() {
            let problem = format!("{} bytes, and {size} {} are needed", bytes.len(), self.dtype);
            return Err(wrong(&problem).into());
        }
        let buf = filled_by::<BoxError>(self.dtype, size, |to| {
            to.copy_from_slice(&bytes);
            if self.endianness != Endianness::NATIVE {
                swap(to, self.dtype);
            }
            Ok(())
        })?;
        let steps = strides(&lens);
        // Rows begin with the region's, other axes with the dataset's.
        let offset = region.axes.iter().zip(&steps).skip(1).map(|(s, k)| s.start * *k as usize);
        to.put(&region.lens(), &buf, offset.sum(), &steps);
        Ok(())
    }
}

impl Array {
    /// A dataset of an HDF5 file, by its path in it, as `group/x`: of integers and floats of 8
    /// to 64 bits in either byte order, of NumPy's bools and complex numbers; contiguous or in
    /// chunks, compressed by gzip or LZF or not; in the file formats up to HDF5 1.14. Rows of whole
    /// chunks are read when they are needed.
    ///
    /// # Errors
    /// If there is no such file or dataset, or it is of another type.
    pub fn from_hdf5(place: impl AsRef<Path>, dataset: &str) -> Result<Self> {
        let path = place.as_ref();
        let place = format!("{}:{dataset}", path.display());
        let wrong = |e: &dyn std::fmt::Display| failed(OPEN, &place, e);
        let file = File::open_streaming(path).map_err(|e| wrong(&e))?;
        let dataset = file.dataset(dataset).map_err(|e| wrong(&e))?;
        let datatype = dataset.datatype().map_err(|e| wrong(&e))?;
        let Some((dtype, endianness)) = dtype_of(&datatype) else {
            return Err(wrong(&format!("its type {datatype:?} is none that arrays have")));
        };
        let shape = dataset.shape().map_err(|e| wrong(&e))?;
        let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
        let row: usize = shape.iter().skip(1).product::<usize>().max(1) * dtype.bytes();
        let stored = dataset.chunk_shape().map_err(|e| wrong(&e))?;
        let rows = stored.and_then(|c| c.first().map(|&n| n as usize));
        let rows = rows.unwrap_or((ROWS / row).max(1));
        let axes = shape.iter().enumerate();
        let axes = axes.map(|(i, &n)| AxisGrid::regular(n, if i == 0 { rows } else { n }));
        let grid = ChunkGrid::new(axes.collect());
        let shape = ArrayShape::new(shape);
        Ok(Self::from_source(
            dtype,
            Arc::new(Hdf5Source { dataset, place: place.clone(), dtype, endianness, shape, grid }),
        ))
    }
}
