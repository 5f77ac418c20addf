//! Cases that read and write files: `read` of a file, and `write` of an array, which is read
//! again. The format is one of `zarr`, `npy`, `npz`, `raw` and `hdf5`.

use std::error::Error;

use serde_json::Value;
use windlass_array::{
    Array, DType, Operand,
    io::{
        BloscCompressor, Codec, Endianness, FileWrite, Order, RawLayout, Shuffle, ZarrRead,
        ZarrWrite, save_npz,
    },
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The name under which arrays lie in archives and files of several.
const NAME: &str = "x";

fn text<'a>(with: &'a Value, name: &str) -> Result<&'a str> {
    with[name].as_str().ok_or_else(|| format!("a case needs `{name}`: {with}").into())
}

fn counts(value: &Value) -> Option<Vec<usize>> {
    value.as_array()?.iter().map(|v| v.as_u64().map(|n| n as usize)).collect()
}

fn order(with: &Value) -> Order {
    if with["order"] == "F" { Order::Fortran } else { Order::C }
}

fn endianness(with: &Value) -> Endianness {
    if with["endianness"] == "big" { Endianness::Big } else { Endianness::Little }
}

fn read(with: &Value) -> Result<Array> {
    let path = text(with, "path")?;
    Ok(match text(with, "format")? {
        "zarr" => {
            let options = ZarrRead::default().require_chunks(with["strict"] == true);
            Array::from_zarr_with(path, &options)?
        }
        "npy" => Array::from_npy(path)?,
        "npz" => Array::from_npz(path, NAME)?,
        "hdf5" => Array::from_hdf5(path, NAME)?,
        "raw" => {
            let dtype = DType::from_name(text(with, "dtype")?).ok_or("a known type")?;
            let shape = counts(&with["shape"]).ok_or("a shape")?;
            let layout = RawLayout::new(dtype, shape).order(order(with));
            let layout = layout.offset(with["offset"].as_u64().unwrap_or(0));
            Array::from_raw(path, &layout.endianness(endianness(with)))?
        }
        other => return Err(format!("no format: {other}").into()),
    })
}

fn codec(name: &str) -> Result<Codec> {
    let blosc = |compressor, shuffle| Codec::Blosc { compressor, level: 5, shuffle };
    Ok(match name {
        "none" => Codec::None,
        "default" => Codec::Default,
        "zstd" => Codec::Zstd { level: 3 },
        "gzip" => Codec::Gzip { level: 5 },
        "blosclz" => blosc(BloscCompressor::BloscLz, Shuffle::None),
        "lz4" => blosc(BloscCompressor::Lz4, Shuffle::Bytes),
        "lz4hc" => blosc(BloscCompressor::Lz4Hc, Shuffle::Bits),
        "zlib" => blosc(BloscCompressor::Zlib, Shuffle::Bytes),
        "blosc-zstd" => blosc(BloscCompressor::Zstd, Shuffle::Bytes),
        other => return Err(format!("no codec: {other}").into()),
    })
}

fn zarr_options(with: &Value) -> Result<ZarrWrite> {
    let mut options = ZarrWrite::default()
        .version(with["version"].as_u64().unwrap_or(3) as u8)
        .codec(codec(with["codec"].as_str().unwrap_or("default"))?)
        .checksum(with["checksum"] == true)
        .skip_fill(with["skip_fill"] == true)
        .attribute("made", "here");
    if let Some(chunk) = counts(&with["chunk"]) {
        options = options.chunk(chunk);
    }
    if let Some(shard) = counts(&with["shard"]) {
        options = options.shard(shard);
    }
    if let Some(separator) = with["separator"].as_str().and_then(|s| s.chars().next()) {
        options = options.separator(separator);
    }
    Ok(options)
}

fn write(x: &Array, with: &Value) -> Result<Array> {
    let path = text(with, "path")?;
    let file = FileWrite::default()
        .order(order(with))
        .endianness(endianness(with))
        .compress(with["compress"] == true);
    match text(with, "format")? {
        "zarr" => x.to_zarr(path, &zarr_options(with)?)?,
        "npy" => x.to_npy(path, &file)?,
        "raw" => x.to_raw(path, &file)?,
        "npz" => save_npz(path, &[("other", &(x + x)), (NAME, x)], &file)?,
        other => return Err(format!("{other} is not written").into()),
    }
    read(with)
}

/// The array of a case of storage, if it is one.
pub(crate) fn call(name: &str, of: &[Operand], with: &Value) -> Option<Result<Array>> {
    match (name, of) {
        ("read", []) => Some(read(with)),
        ("write", [Operand::Array(x)]) => Some(write(x, with)),
        _ => None,
    }
}
