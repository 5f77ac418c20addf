//! What a pass over a Zarr array four times the limit takes of the system's memory: rows are
//! read, brought to length 1 and written again. One process, whose peak is read when it is done.

mod process;

use process::{keep_nothing, peak};
use windlass_array::{
    Array, ArrayError, Axes, DType,
    io::{Codec, ZarrWrite},
};
use windlass_runtime::execute::{Executor, ExecutorOptions};

/// Bytes that the executor may use.
const LIMIT: usize = 128 << 20;
const COLUMNS: usize = 768;

#[test]
fn zarr_four_times_the_limit_is_read_and_written_within_it() -> Result<(), ArrayError> {
    keep_nothing();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let before = peak();
    let rows = 4 * LIMIT / 4 / COLUMNS;
    let executor = Executor::new(ExecutorOptions::default().threads(2).memory(LIMIT as u64));
    let executor = executor.expect("threads");
    let options = ZarrWrite::default().chunk([1000, COLUMNS]).overwrite(true);
    let (from, to) = (folder.path().join("x"), folder.path().join("unit"));
    for codec in [Codec::None, Codec::Zstd { level: 1 }] {
        let options = options.clone().codec(codec);
        let x = Array::arange(0, rows as i64, 1)?.expand_dims(1)? * 7919;
        let x = ((x + Array::arange(0, COLUMNS as i64, 1)?) % 1009 + 1).astype(DType::F32);
        x.to_zarr_on(&from, &options, &executor)?;

        let x = Array::from_zarr(&from)?;
        let norms = x.square()?.sum(Axes::of(1).keepdims())?.sqrt()?;
        (&x / &norms).to_zarr_on(&to, &options, &executor)?;

        let unit = Array::from_zarr(&to)?;
        let norms = unit.square()?.sum(1)?.sqrt()?.compute_on::<f32>(&executor)?;
        assert!(norms.iter().all(|n| (n - 1.0).abs() < 1e-5));
    }
    let counted = executor.counts()[0].1.peak_bytes;
    assert!(counted <= LIMIT as u64, "the executor counted {counted} bytes");
    if let (Some(before), Some(after)) = (before, peak()) {
        let took = after - before;
        // A fifth beyond the limit, for what is not counted.
        assert!(took <= LIMIT + LIMIT / 5, "{took} bytes, with a limit of {LIMIT}");
    }
    Ok(())
}
