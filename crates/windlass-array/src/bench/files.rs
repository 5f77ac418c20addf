//! Operations that move whole arrays: through Zarr, and from row chunks to column chunks.

use ndarray::Axis;
use windlass_device::{DeviceOptions, DeviceSpec};
use windlass_runtime::{
    Inventory,
    execute::{Executor, ExecutorOptions},
};

use super::{Run, device_error};
use crate::{
    Array, ArrayError, Axes, ChunkGrid, ChunkIndex, DType, Tile,
    io::{Codec, ZarrWrite},
};

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
#[derive(Debug)]
pub struct Files {
    folder: tempfile::TempDir,
    executor: Executor,
    n: usize,
}

impl Files {
    /// For operations with `only` in their name, on an executor with those devices: writes what
    /// they read, of `40 n` rows.
    ///
    /// # Errors
    /// If a device does not open, or there is no room on disk.
    pub fn new(n: usize, only: &str, devices: &DeviceSpec) -> Result<Self, ArrayError> {
        let folder = tempfile::tempdir().map_err(|e| device_error(&e))?;
        let options = ExecutorOptions::default().memory(MEMORY);
        let inventory = Inventory::new(devices.clone(), DeviceOptions::default());
        let executor = Executor::with_devices(options, inventory).map_err(|e| device_error(&e))?;
        let files = Self { folder, executor, n };
        for (name, codec) in [(ZARR, Codec::None), (ZSTD, Codec::Zstd { level: 1 })] {
            if name.contains(only) {
                files.write(name, codec)?;
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
            Ok(Tile::filled([last - first, columns], |values: &mut [f64]| {
                for (i, row) in (first..last).zip(values.chunks_exact_mut(columns)) {
                    let begin = (i * 7919 % 100_003) as f64;
                    row.iter_mut().enumerate().for_each(|(j, v)| *v = begin + j as f64);
                }
            }))
        });
        let centred = Array::map_blocks(&[&x.rechunk([rows, width])?], DType::F64, |tiles, _| {
            let block = tiles[0].view::<f64>()?;
            let means = block.sum_axis(Axis(0)) / block.len_of(Axis(0)) as f64;
            let lens = [block.len_of(Axis(0)), block.len_of(Axis(1))];
            Ok(Tile::filled(lens, |values: &mut [f64]| {
                for (to, from) in values.chunks_exact_mut(lens[1]).zip(block.rows()) {
                    for ((to, from), mean) in to.iter_mut().zip(from).zip(&means) {
                        *to = from - mean;
                    }
                }
            }))
        })?;
        Ok(centred.max(..)?.compute_on::<f64>(&self.executor)?[[]])
    }

    /// Zarr through a function of rows, and chunks of rows as chunks of columns.
    pub fn operations(&self) -> Vec<(&'static str, Run<'_>)> {
        vec![
            (ZARR, Box::new(move || self.norm(ZARR, Codec::None))),
            (ZSTD, Box::new(move || self.norm(ZSTD, Codec::Zstd { level: 1 }))),
            (RECHUNK, Box::new(move || self.rechunk())),
        ]
    }
}
