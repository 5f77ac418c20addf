//! The metadata of arrays that are written.

use serde_json::{Value, json};

use super::options::{Codec, Shuffle, ZarrWrite};
use crate::{
    dtype::DType,
    element::Buf,
    error::{ArrayError, Result},
    shape::{ArrayShape, ChunkShape},
};

const WRITE: &str = "to_zarr";

fn argument<T>(argument: &'static str, expected: impl ToString, got: impl ToString) -> Result<T> {
    let (expected, got) = (expected.to_string(), got.to_string());
    Err(ArrayError::Argument { operation: WRITE, argument, expected, got })
}

/// A float as Zarr's JSON has it.
fn float(value: f64) -> Value {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        value.into()
    }
}

/// One element as Zarr's JSON has it.
fn element(one: &Buf) -> Value {
    match one {
        Buf::Bool(v) => v[0].into(),
        Buf::I8(v) => v[0].into(),
        Buf::I16(v) => v[0].into(),
        Buf::I32(v) => v[0].into(),
        Buf::I64(v) => v[0].into(),
        Buf::U8(v) => v[0].into(),
        Buf::U16(v) => v[0].into(),
        Buf::U32(v) => v[0].into(),
        Buf::U64(v) => v[0].into(),
        Buf::F32(v) => float(f64::from(v[0])),
        Buf::F64(v) => float(v[0]),
        Buf::C64(v) => json!([float(f64::from(v[0].re)), float(f64::from(v[0].im))]),
        Buf::C128(v) => json!([float(v[0].re), float(v[0].im)]),
    }
}

/// The type as NumPy writes it, little endian.
fn numpy_type(dtype: DType) -> String {
    let kind = match dtype {
        DType::Bool => 'b',
        d if d.is_complex() => 'c',
        d if d.is_float() => 'f',
        d if d.is_unsigned() => 'u',
        _ => 'i',
    };
    let order = if dtype.bytes() == 1 { '|' } else { '<' };
    format!("{order}{kind}{}", dtype.bytes())
}

/// The codecs of a chunk, of version 3.
fn codecs(options: &ZarrWrite, dtype: DType) -> Vec<Value> {
    let mut codecs = vec![match dtype.bytes() {
        1 => json!({"name": "bytes"}),
        _ => json!({"name": "bytes", "configuration": {"endian": "little"}}),
    }];
    let zstd =
        |level: i32| json!({"name": "zstd", "configuration": {"level": level, "checksum": false}});
    match options.codec {
        Codec::None => {}
        Codec::Default => codecs.push(zstd(0)),
        Codec::Zstd { level } => codecs.push(zstd(level)),
        Codec::Gzip { level } => {
            codecs.push(json!({"name": "gzip", "configuration": {"level": level}}));
        }
        Codec::Blosc { compressor, level, shuffle } => {
            let shuffle = match shuffle {
                Shuffle::None => "noshuffle",
                Shuffle::Bytes => "shuffle",
                Shuffle::Bits => "bitshuffle",
            };
            codecs.push(json!({"name": "blosc", "configuration": {
                "cname": compressor.name(), "clevel": level, "shuffle": shuffle,
                "typesize": dtype.bytes(), "blocksize": 0,
            }}));
        }
    }
    if options.checksum {
        codecs.push(json!({"name": "crc32c"}));
    }
    codecs
}

/// The compressor of a chunk, of version 2.
fn compressor(codec: Codec) -> Value {
    match codec {
        Codec::None => Value::Null,
        Codec::Default => json!({"id": "zstd", "level": 0, "checksum": false}),
        Codec::Zstd { level } => json!({"id": "zstd", "level": level, "checksum": false}),
        Codec::Gzip { level } => json!({"id": "gzip", "level": level}),
        Codec::Blosc { compressor, level, shuffle } => json!({
            "id": "blosc", "cname": compressor.name(), "clevel": level,
            "shuffle": match shuffle { Shuffle::None => 0, Shuffle::Bytes => 1, Shuffle::Bits => 2 },
            "blocksize": 0,
        }),
    }
}

/// Whether the options fit together and the array.
fn check(options: &ZarrWrite, chunk: &ChunkShape) -> Result<()> {
    match options.codec {
        Codec::Zstd { level } if !(-131_072..=22).contains(&level) => {
            return argument("zstd's level", "at most 22", level);
        }
        Codec::Gzip { level } if level > 9 => return argument("gzip's level", "in 0..=9", level),
        Codec::Blosc { level, .. } if level > 9 => {
            return argument("Blosc's level", "in 0..=9", level);
        }
        _ => {}
    }
    if let Some(separator) = options.separator.filter(|s| !matches!(s, '/' | '.')) {
        return argument("separator", "`/` or `.`", separator);
    }
    let rank = chunk.rank();
    if let Some(names) = options.dimensions.as_ref().filter(|n| n.len() != rank) {
        return argument("dimensions", format!("{rank} names"), format!("{names:?}"));
    }
    match (options.version, &options.shard) {
        (3, Some(shard)) => {
            let fits = shard.rank() == rank
                && shard.as_slice().iter().zip(chunk.as_slice()).all(|(s, c)| *s > 0 && s % c == 0);
            if !fits {
                return argument("shard", format!("a multiple of the chunk {chunk}"), shard);
            }
        }
        (3, None) => {}
        (2, Some(shard)) => return argument("shard", "absent for version 2", shard),
        (2, None) if options.checksum => return argument("checksum", "false for version 2", true),
        (2, None) => {}
        (version, _) => return argument("version", "2 or 3", version),
    }
    Ok(())
}

/// The files that describe an array: their names, and their text. The first one is what makes
/// an array of its chunks.
pub(crate) fn metadata(
    options: &ZarrWrite,
    shape: &ArrayShape,
    chunk: &ChunkShape,
    dtype: DType,
) -> Result<Vec<(&'static str, Value)>> {
    check(options, chunk)?;
    let fill = element(&options.fill.element(dtype)?);
    let (shape, chunk) = (shape.as_slice(), chunk.as_slice());
    let mut attributes = options.attributes.clone();
    if options.version == 2 {
        if let Some(names) = &options.dimensions {
            attributes.insert("_ARRAY_DIMENSIONS".into(), json!(names));
        }
        let array = json!({
            "zarr_format": 2, "shape": shape, "chunks": chunk, "dtype": numpy_type(dtype),
            "compressor": compressor(options.codec), "fill_value": fill, "order": "C",
            "filters": null, "dimension_separator": options.separator.unwrap_or('.'),
        });
        return Ok(vec![(".zarray", array), (".zattrs", Value::Object(attributes))]);
    }
    let mut codecs = codecs(options, dtype);
    let mut outer = chunk;
    if let Some(shard) = &options.shard {
        outer = shard.as_slice();
        codecs = vec![json!({"name": "sharding_indexed", "configuration": {
            "chunk_shape": chunk, "codecs": codecs, "index_location": "end",
            "index_codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"},
            ],
        }})];
    }
    let mut array = json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": dtype.name(),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": outer}},
        "chunk_key_encoding": {
            "name": "default",
            "configuration": {"separator": options.separator.unwrap_or('/')},
        },
        "fill_value": fill, "codecs": codecs, "attributes": attributes,
    });
    if let Some(names) = &options.dimensions {
        array["dimension_names"] = json!(names);
    }
    Ok(vec![("zarr.json", array)])
}
