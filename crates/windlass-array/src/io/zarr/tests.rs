//! Tests of Zarr: round trips, what is read, what is damaged or cancelled.

use std::{fs, path::Path, time::Duration};

use windlass_runtime::{
    execute::{Executor, ExecutorOptions, JobResult},
    graph::Graph,
};

use super::*;
use crate::{
    ArrayError, ChunkGrid, DType, Index, Tile, compute_all,
    dtype::Kind,
    io::{Store, bytes::filled_by},
};

/// A small array of any type with different elements.
fn sample(dtype: DType, shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    let numbers = Array::arange(0, n as i64, 1).unwrap().reshape(shape).unwrap();
    match dtype.kind() {
        Kind::Bool => (numbers % 3).astype(dtype),
        Kind::Complex => {
            let i = Array::scalar(crate::C64::new(0.5, -2.0)).unwrap();
            (numbers * i).astype(dtype)
        }
        _ => (numbers * 3).astype(dtype),
    }
}

fn bytes(x: &Array) -> Vec<u8> {
    x.compute_tile().unwrap().to_own_memory().buf().as_bytes().to_vec()
}

fn same(a: &Array, b: &Array) {
    assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
    assert_eq!(bytes(a), bytes(b), "{a} and {b}");
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The error of an array that is computed.
fn problem(x: &Array) -> String {
    x.compute_tile().unwrap_err().to_string()
}

#[test]
fn every_type_comes_back() {
    let folder = temporary();
    for version in [2, 3] {
        for dtype in DType::ALL {
            for shape in [&[][..], &[7], &[5, 4], &[3, 2, 5]] {
                let x = sample(dtype, shape);
                let chunk: Vec<usize> = shape.iter().map(|n| n.div_ceil(2)).collect();
                let options = ZarrWrite::default().version(version).chunk(chunk).overwrite(true);
                let place = folder.path().join("x");
                x.to_zarr(&place, &options).unwrap();
                same(&Array::from_zarr(&place).unwrap(), &x);
            }
        }
    }
}

#[test]
fn every_codec_comes_back() {
    let folder = temporary();
    let place = folder.path().join("x");
    let x = sample(DType::F64, &[40, 30]);
    let blosc = |compressor, shuffle| Codec::Blosc { compressor, level: 5, shuffle };
    for codec in [
        Codec::None,
        Codec::Default,
        Codec::Zstd { level: 7 },
        Codec::Gzip { level: 4 },
        blosc(BloscCompressor::BloscLz, Shuffle::None),
        blosc(BloscCompressor::Lz4, Shuffle::Bytes),
        blosc(BloscCompressor::Lz4Hc, Shuffle::Bits),
        blosc(BloscCompressor::Zlib, Shuffle::Bytes),
        blosc(BloscCompressor::Zstd, Shuffle::Bytes),
    ] {
        let options = ZarrWrite::default().chunk([16, 7]).codec(codec).overwrite(true);
        for options in [
            options.clone(),
            options.clone().version(2),
            options.clone().version(2).separator('/'),
            options.clone().checksum(true),
            options.clone().shard([32, 14]),
            options.clone().shard([32, 14]).checksum(true).separator('.'),
        ] {
            x.to_zarr(&place, &options).unwrap();
            let back = Array::from_zarr(&place).unwrap();
            same(&back, &x);
            let part = [Index::from(3..40).step(5), Index::All.step(-4)];
            same(&back.index(&part).unwrap(), &x.index(&part).unwrap());
        }
    }
}

#[test]
fn empty_arrays_and_attributes_come_back() {
    let folder = temporary();
    let place = folder.path().join("all.zarr/group/x");
    let x = Array::zeros([0, 3], DType::I16);
    for version in [2, 3] {
        let options = ZarrWrite::default().version(version).attribute("unit", "m").overwrite(true);
        x.to_zarr(&place, &options.dimensions(["row", "column"])).unwrap();
        same(&Array::from_zarr(&place).unwrap(), &x);
        let attributes = zarr_attributes(&place, &ZarrRead::default()).unwrap();
        assert_eq!(attributes["unit"], "m");
    }
    assert!(folder.path().join("all.zarr/.zgroup").is_file());
    assert!(folder.path().join("all.zarr/group/.zgroup").is_file());
    assert!(!folder.path().join(".zgroup").exists());
}

#[test]
fn only_chunks_that_are_needed_are_read() {
    let folder = temporary();
    let place = folder.path().join("x");
    let x = sample(DType::I32, &[12, 12]);
    x.to_zarr(&place, &ZarrWrite::default().chunk([4, 4]).checksum(true)).unwrap();
    for damaged in ["c/0/0", "c/1/1", "c/2/2"] {
        fs::write(place.join(damaged), b"damaged").unwrap();
    }
    let back = Array::from_zarr(&place).unwrap();
    let part = [Index::from(4..12), Index::from(0..4)];
    same(&back.index(&part).unwrap(), &x.index(&part).unwrap());
    same(&back.index(&[(3).into(), (5).into()]).unwrap(), &x.index(&[3.into(), 5.into()]).unwrap());
    let corner = [Index::from(0..12).step(11), Index::All.step(-5)];
    let error = problem(&back.index(&corner).unwrap());
    assert!(error.contains("[0, 0]") && error.contains("crc32c"), "{error}");
    assert!(error.contains(place.to_str().unwrap()), "{error}");
}

#[test]
fn damaged_chunks_are_errors_and_missing_ones_are_filled() {
    let folder = temporary();
    let place = folder.path().join("x");
    let x = sample(DType::F32, &[64]);
    for codec in [
        Codec::None,
        Codec::Default,
        Codec::Gzip { level: 5 },
        Codec::Blosc { compressor: BloscCompressor::Lz4, level: 5, shuffle: Shuffle::Bytes },
    ] {
        let options = ZarrWrite::default().chunk([16]).codec(codec).overwrite(true).fill(7.5);
        for options in [options.clone(), options.clone().shard([32])] {
            x.to_zarr(&place, &options).unwrap();
            let back = Array::from_zarr(&place).unwrap();
            let chunk = place.join("c/1");
            let whole = fs::read(&chunk).unwrap();
            fs::write(&chunk, &whole[..whole.len() / 2]).unwrap();
            let error = problem(&back);
            assert!(error.contains("[1]") && error.contains("codecs: "), "{error}");
            fs::write(&chunk, []).unwrap();
            assert!(problem(&back).contains("[1]"));
            fs::remove_file(&chunk).unwrap();
            let back = Array::from_zarr(&place).unwrap();
            let n = if options.shard.is_some() { 32 } else { 16 };
            let filled = back.index(&[(n..2 * n).into()]).unwrap().compute::<f32>().unwrap();
            assert!(filled.iter().all(|v| *v == 7.5));
            let strict = ZarrRead::default().require_chunks(true);
            let strict = Array::from_zarr_with(&place, &strict).unwrap();
            let error = problem(&strict);
            assert!(error.contains("[1]") && error.contains("c/1"), "{error}");
            let first = [Index::from(0..16)];
            same(&strict.index(&first).unwrap(), &x.index(&first).unwrap());
        }
    }
}

#[test]
fn a_flipped_bit_is_found_by_its_sum() {
    let folder = temporary();
    let place = folder.path().join("x");
    let x = sample(DType::F32, &[64]);
    let options = ZarrWrite::default().chunk([16]).codec(Codec::None).checksum(true);
    x.to_zarr(&place, &options).unwrap();
    let mut chunk = fs::read(place.join("c/2")).unwrap();
    chunk[5] ^= 1;
    fs::write(place.join("c/2"), chunk).unwrap();
    let x = Array::from_zarr(&place).unwrap();
    for x in [x.clone(), x.index(&[(40..41).into()]).unwrap()] {
        let error = problem(&x);
        assert!(error.contains("[2]") && error.contains("crc32c"), "{error}");
    }
    x.to_zarr(&place, &options.shard([32]).overwrite(true)).unwrap_err();
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}

/// An array whose last chunk fails.
fn failing() -> Array {
    let grid = ChunkGrid::regular(&[40].into(), &[10].into()).unwrap();
    Array::from_function(grid, DType::F64, |chunk| {
        if chunk[0] == 3 {
            return Err("no such chunk".into());
        }
        Ok(Tile::new(vec![1.0; 10], [10])?)
    })
}

#[test]
fn a_failed_write_leaves_what_was_there() {
    let folder = temporary();
    let place = folder.path().join("x");
    let options = ZarrWrite::default().chunk([10]);
    let error = failing().to_zarr(&place, &options).unwrap_err().to_string();
    assert!(error.contains("no such chunk"), "{error}");
    assert_eq!(names(folder.path()), [""; 0]);

    let old = sample(DType::F64, &[30]);
    old.to_zarr(&place, &options).unwrap();
    let error = old.to_zarr(&place, &options).unwrap_err().to_string();
    assert!(error.contains("exists"), "{error}");
    failing().to_zarr(&place, &options.clone().overwrite(true)).unwrap_err();
    same(&Array::from_zarr(&place).unwrap(), &old);
    assert_eq!(names(folder.path()), ["x"]);

    // An array may be replaced by what is computed of it.
    let back = Array::from_zarr(&place).unwrap();
    (&back + 1.0).to_zarr(&place, &options.clone().overwrite(true)).unwrap();
    same(&Array::from_zarr(&place).unwrap(), &(&old + 1.0));
    assert_eq!(names(folder.path()), ["x"]);

    fs::write(folder.path().join("notes"), "of somebody").unwrap();
    let error = old.to_zarr(folder.path(), &options.overwrite(true)).unwrap_err().to_string();
    assert!(error.contains("no Zarr array"), "{error}");
}

#[test]
fn several_arrays_share_their_work() {
    let folder = temporary();
    let x = sample(DType::F64, &[40, 30]);
    let place = |name: &str| folder.path().join(name);
    x.to_zarr(place("x"), &ZarrWrite::default().chunk([8, 30])).unwrap();
    let x = Array::from_zarr(place("x")).unwrap();
    let norms = x.square().unwrap().sum(1).unwrap().sqrt().unwrap();
    Store::new()
        .zarr(&x.t(), place("t"), &ZarrWrite::default().chunk([7, 9]))
        .unwrap()
        .zarr(&norms, place("norms"), &ZarrWrite::default())
        .unwrap()
        .run()
        .unwrap();
    same(&Array::from_zarr(place("t")).unwrap().t(), &x);
    same(&Array::from_zarr(place("norms")).unwrap(), &norms);
}

#[test]
fn inner_chunks_that_a_shard_leaves_out_are_fill() {
    let folder = temporary();
    let place = folder.path().join("x");
    // One element of twenty is not fill, and shards reach past the array.
    let x = Array::arange(0, 20, 1).unwrap().equal(7).unwrap().reshape([5, 4]).unwrap();
    let options = ZarrWrite::default().chunk([3, 1]).shard([6, 2]);
    x.to_zarr(&place, &options).unwrap();
    same(&Array::from_zarr(&place).unwrap(), &x);
    // Where chunks are required they are missing, read in whole shards and in parts.
    let strict = ZarrRead::default().require_chunks(true);
    let back = Array::from_zarr_with(&place, &strict).unwrap();
    let element = |at: [i64; 2]| back.index(&at.map(Index::At)).unwrap();
    for missing in [back.clone(), back.index(&[(3..6).into()]).unwrap(), element([4, 3])] {
        let error = problem(&missing);
        assert!(error.contains("inner chunk [") && error.contains("required"), "{error}");
        assert!(error.contains(place.to_str().unwrap()), "{error}");
    }
    assert!(problem(&element([4, 2])).contains("inner chunk [1, 2]"));
    same(&element([1, 3]), &x.index(&[Index::At(1), Index::At(3)]).unwrap());
    // All are there: those past the array are none.
    let full = Array::ones([5, 4], DType::I16);
    full.to_zarr(&place, &options.overwrite(true)).unwrap();
    same(&Array::from_zarr_with(&place, &strict).unwrap(), &full);
}

#[test]
fn large_shards_are_read_in_parts() {
    let folder = temporary();
    let place = folder.path().join("x");
    // 48 MiB a shard.
    let x = Array::arange(0, 9 << 20, 1).unwrap();
    let options = ZarrWrite::default().chunk([1 << 18]).shard([6 << 20]).codec(Codec::None);
    x.to_zarr(&place, &options).unwrap();
    let back = Array::from_zarr(&place).unwrap();
    assert!(back.chunks().largest()[0] <= 4 << 20, "{back}");
    let total = back.sum(..).unwrap();
    let few = back.index(&[Index::from((6 << 20) - 2..(6 << 20) + 2)]).unwrap();
    let both = compute_all(&[&total, &few]).unwrap();
    let n = 9_i64 << 20;
    assert_eq!(both[0].to_array::<i64>().unwrap().sum(), n * (n - 1) / 2);
    assert_eq!(both[1].to_array::<i64>().unwrap()[3], (6 << 20) + 1);
}

#[test]
fn what_is_not_known_is_named() {
    let folder = temporary();
    let place = folder.path().join("x");
    let error = |place: &Path| Array::from_zarr(place).unwrap_err().to_string();
    assert!(error(&place).contains("no Zarr array"), "{}", error(&place));
    sample(DType::F32, &[4]).to_zarr(&place, &ZarrWrite::default()).unwrap();
    let text = fs::read_to_string(place.join("zarr.json")).unwrap();
    for (from, to) in [("\"zstd\"", "\"mystery\""), ("\"float32\"", "\"quaternion\"")] {
        fs::write(place.join("zarr.json"), text.replace(from, to)).unwrap();
        let error = error(&place);
        assert!(error.contains(to.trim_matches('"')), "{error}");
    }
    fs::write(place.join("zarr.json"), text.replace("\"float32\"", "\"float16\"")).unwrap();
    assert!(error(&place).contains("float16"));
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let folder = temporary();
    let x = sample(DType::U8, &[10]);
    let d = ZarrWrite::default;
    for (options, word) in [
        (d().chunk([3, 3]), "(3, 3)"),
        (d().chunk([0]), "0"),
        (d().chunk([3]).shard([7]), "shard"),
        (d().chunk([3]).shard([6]).version(2), "shard"),
        (d().version(4), "version"),
        (d().fill(-1), "uint8"),
        (d().separator('_'), "separator"),
        (d().dimensions(["a", "b"]), "dimensions"),
        (d().codec(Codec::Gzip { level: 11 }), "gzip"),
    ] {
        let error = x.to_zarr(folder.path().join("x"), &options).unwrap_err();
        assert!(!matches!(error, ArrayError::Run(_)));
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn big_endian_and_f_order_of_version_2_are_read() {
    let folder = temporary();
    let text = r#"{"zarr_format": 2, "shape": [2, 3], "chunks": [2, 2], "dtype": ">i4",
        "compressor": null, "fill_value": -1, "order": "F", "filters": null}"#;
    fs::write(folder.path().join(".zarray"), text).unwrap();
    let chunk: Vec<u8> = [1_i32, 4, 2, 5].iter().flat_map(|v| v.to_be_bytes()).collect();
    fs::write(folder.path().join("0.0"), chunk).unwrap();
    let x = Array::from_zarr(folder.path()).unwrap().compute::<i32>().unwrap();
    assert_eq!(x.as_slice().unwrap(), [1, 2, -1, 4, 5, -1]);
}

#[test]
fn bools_are_what_is_not_zero() {
    let read = |fill: &[u8]| {
        filled_by::<()>(DType::Bool, 3, |b| {
            b.copy_from_slice(fill);
            Ok(())
        })
    };
    assert_eq!(read(&[0, 1, 9]).unwrap(), crate::Buf::Bool(vec![false, true, true]));
}

/// Cancels what it runs.
struct Cancelling(Executor);

impl RunGraph for Cancelling {
    fn run_graph(&self, graph: Graph) -> JobResult {
        let job = self.0.submit(graph);
        job.wait_for(Duration::from_millis(20));
        job.cancel();
        job.wait()
    }
}

#[test]
fn a_cancelled_write_leaves_what_was_there() {
    let folder = temporary();
    let place = folder.path().join("x");
    let old = sample(DType::F64, &[40]);
    old.to_zarr(&place, &ZarrWrite::default()).unwrap();
    let grid = ChunkGrid::regular(&[40].into(), &[1].into()).unwrap();
    let slow = Array::from_function(grid, DType::F64, |_| {
        std::thread::sleep(Duration::from_millis(10));
        Ok(Tile::new(vec![1.0], [1])?)
    });
    let on = Cancelling(Executor::new(ExecutorOptions::default().threads(2)).unwrap());
    let options = ZarrWrite::default().chunk([1]).overwrite(true);
    let error = slow.to_zarr_on(&place, &options, &on).unwrap_err();
    assert!(error.to_string().contains("cancelled"), "{error}");
    same(&Array::from_zarr(&place).unwrap(), &old);
    // A task that ran may still be about to end.
    for _ in 0..500 {
        if names(folder.path()) == ["x"] {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{:?} are left", names(folder.path()));
}
