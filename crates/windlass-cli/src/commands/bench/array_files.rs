//! The operations of `windlass bench arrays` that move whole arrays: through Zarr, and from row
//! chunks to column chunks.

use windlass::{
    Executor, ExecutorOptions,
    array::{
        Array, ArrayError, Axes, ChunkGrid, ChunkIndex, DType, Tile,
        io::{Codec, ZarrWrite},
    },
};

use super::arrays::Run;
use crate::error::{Error, Result};

/// Rows of a Zarr chunk, and columns of the array: about 6 MB of `f32`.
const CHUNK: [usize; 2] = [2000, 768];

/// What our executor may hold while it cuts an array of 4 GB (of the default size) anew. Dask's
/// threads have no limit.
const MEMORY: u64 = 1 << 30;

/// The names of the operations, as `benches/peers/arrays.py` has them.
const ZARR: &str = "zarr read, norm, write";
const ZSTD: &str = "zarr read, norm, write, zstd";
const RECHUNK: &str = "rechunk";

/// Zarr arrays that are read, and room for those that are written.
pub(super) struct Files {
    folder: tempfile::TempDir,
    executor: Executor,
    n: usize,
}

impl Files {
    /// For operations with `only` in their name: writes what they read.
    pub(super) fn new(n: usize, only: &str) -> Result<Self> {
        let broken =
            |e: &(dyn std::error::Error + 'static)| Error::caused("cannot prepare the bench", e);
        let folder = tempfile::tempdir().map_err(|e| broken(&e))?;
        let options = ExecutorOptions::default().memory(MEMORY);
        let executor = Executor::new(options).map_err(|e| broken(&e))?;
        let files = Self { folder, executor, n };
        for (name, codec) in [(ZARR, Codec::None), (ZSTD, Codec::Zstd { level: 1 })] {
            if name.contains(only) {
                files.write(name, codec).map_err(|e| broken(&e))?;
            }
        }
        Ok(files)
    }

    fn options(codec: Codec) -> ZarrWrite {
        ZarrWrite::default().chunk(CHUNK).codec(codec).overwrite(true)
    }

    /// Small integers, whose norms are the same in whatever order squares are summed.
    fn write(&self, name: &str, codec: Codec) -> Result<(), ArrayError> {
        let rows = Array::arange(0_i64, 40 * self.n as i64, 1_i64)?.expand_dims(1)?;
        let columns = Array::arange(0_i64, CHUNK[1] as i64, 1_i64)? * 104_729_i64;
        let x = (rows * 7919_i64 + columns) % 1_000_003_i64 % 8_i64;
        let place = self.folder.path().join(name);
        x.astype(DType::F32).to_zarr_on(place, &Self::options(codec), &self.executor)
    }

    /// Brings the rows of one array to length 1, and writes another.
    fn norm(&self, name: &str, codec: Codec) -> Result<f64, ArrayError> {
        let to = self.folder.path().join("result");
        let x = Array::from_zarr(self.folder.path().join(name))?;
        let norms = x.square()?.sum(Axes::of(1).keepdims())?.sqrt()?;
        (&x / &norms).to_zarr_on(&to, &Self::options(codec), &self.executor)?;
        let one = [(20 * self.n as i64).into(), 7_i64.into()];
        Ok(f64::from(Array::from_zarr(&to)?.index(&one)?.compute::<f32>()?[[]]))
    }

    /// Chunks of whole rows become chunks of whole columns, which lose their mean.
    fn rechunk(&self) -> Result<f64, ArrayError> {
        let (rows, columns) = (4 * self.n, 2 * self.n);
        let (height, width) = (self.n.div_ceil(20), self.n.div_ceil(40));
        let grid = ChunkGrid::regular(&[rows, columns].into(), &[height, columns].into())?;
        let x = Array::from_function(grid, DType::F64, move |chunk: &ChunkIndex| {
            let first = chunk[0] * height;
            let last = (first + height).min(rows);
            let values = (first..last).flat_map(|i| {
                let begin = (i * 7919 % 100_003) as f64;
                (0..columns).map(move |j| begin + j as f64)
            });
            Ok(Tile::new(values.collect(), [last - first, columns])?)
        });
        let centred = Array::map_blocks(&[&x.rechunk([rows, width])?], DType::F64, |tiles, _| {
            let (n, width) = (tiles[0].shape()[0], tiles[0].shape()[1]);
            let mut values = tiles[0].to_array::<f64>()?.into_raw_vec_and_offset().0;
            let mut sums = vec![0.0; width];
            for row in values.chunks_exact(width) {
                sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
            }
            for row in values.chunks_exact_mut(width) {
                row.iter_mut().zip(&sums).for_each(|(v, s)| *v -= s / n as f64);
            }
            Ok(Tile::new(values, [n, width])?)
        })?;
        Ok(centred.max(..)?.compute_on::<f64>(&self.executor)?[[]])
    }

    /// Our side of `benches/peers/arrays.py`.
    pub(super) fn operations(&self) -> Vec<(&'static str, Run<'_>)> {
        vec![
            (ZARR, Box::new(move || self.norm(ZARR, Codec::None))),
            (ZSTD, Box::new(move || self.norm(ZSTD, Codec::Zstd { level: 1 }))),
            (RECHUNK, Box::new(move || self.rechunk())),
        ]
    }
}
