//! Arrays of any element type from and to `.npy` files.

use std::{error::Error, fs::File, path::Path};

use ndarray::ArrayD;
use ndarray_npy::{ReadNpyExt, ReadableElement, WriteNpyExt};
use windlass_array::{Array, C32, C64, DType, Element, Tile};

fn typed<T: Element + ReadableElement>(path: &Path) -> Option<Array> {
    ArrayD::<T>::read_npy(File::open(path).ok()?).ok().map(Array::from_array)
}

/// The array of a file.
pub(crate) fn read(path: &Path) -> Result<Array, Box<dyn Error>> {
    typed::<bool>(path)
        .or_else(|| typed::<i8>(path))
        .or_else(|| typed::<i16>(path))
        .or_else(|| typed::<i32>(path))
        .or_else(|| typed::<i64>(path))
        .or_else(|| typed::<u8>(path))
        .or_else(|| typed::<u16>(path))
        .or_else(|| typed::<u32>(path))
        .or_else(|| typed::<u64>(path))
        .or_else(|| typed::<f32>(path))
        .or_else(|| typed::<f64>(path))
        .or_else(|| typed::<C32>(path))
        .or_else(|| typed::<C64>(path))
        .ok_or_else(|| format!("{}: no array of a known type", path.display()).into())
}

/// Writes a tile.
pub(crate) fn write(path: &Path, tile: &Tile) -> Result<(), Box<dyn Error>> {
    macro_rules! each {
        ($($dtype:ident $t:ty),+) => {
            match tile.dtype() {
                $(DType::$dtype => tile.to_array::<$t>()?.write_npy(File::create(path)?)?),+
            }
        };
    }
    each!(
        Bool bool, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64, F32 f32,
        F64 f64, C64 C32, C128 C64
    );
    Ok(())
}
