//! NumPy's files: a header, a dictionary as Python writes it, and the elements.
//!
//! The format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::{
    io::{self, Read},
    path::Path,
};

use windlass_runtime::delayed::RunGraph;

use super::{
    layout::{Layout, Order},
    read::opened,
    write::{FileWrite, FlatSink},
};
use crate::{
    array::Array,
    dtype::DType,
    error::Result,
    io::{Store, bytes::Endianness},
    shape::ArrayShape,
};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Elements begin at a multiple of this, as the format has it.
const ALIGN: usize = 64;
/// The longest header that is read (a stated guess: far beyond any of a known type).
const LONGEST: usize = 1 << 20;

/// The value of a key of the dictionary, up to the comma or the brace behind it.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let missing = || format!("its header has no `{key}`: {header}");
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let found = quoted.iter().find_map(|q| Some((header.find(q.as_str())?, q.len())));
    let (at, len) = found.ok_or_else(missing)?;
    let rest = header[at + len..].trim_start().strip_prefix(':').ok_or_else(missing)?.trim_start();
    let end = match rest.chars().next() {
        Some('(') => rest.find(')').map(|i| i + 1),
        Some('[') => rest.rfind(']').map(|i| i + 1),
        Some(q @ ('\'' | '"')) => rest[1..].find(q).map(|i| i + 2),
        _ => rest.find([',', '}']),
    };
    Ok(rest[..end.ok_or_else(missing)?].trim())
}

/// The type of NumPy's letters.
fn parse_type(text: &str) -> Result<(DType, Endianness), String> {
    let unknown = || format!("its type {text} is none that arrays have");
    let name = text.trim_matches(['\'', '"']);
    let (order, kind) = match name.chars().next() {
        Some(c @ ('<' | '>' | '|' | '=')) => (c, &name[1..]),
        _ => ('=', name),
    };
    let dtype = match kind {
        "b1" | "?" => DType::Bool,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "u2" => DType::U16,
        "u4" => DType::U32,
        "u8" => DType::U64,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "c8" => DType::C64,
        "c16" => DType::C128,
        _ => return Err(unknown()),
    };
    let endianness = match order {
        '<' => Endianness::Little,
        '>' => Endianness::Big,
        _ => Endianness::NATIVE,
    };
    Ok((dtype, endianness))
}

/// The layout that a header says.
fn parse(header: &str, offset: u64) -> Result<Layout, String> {
    let (dtype, endianness) = parse_type(value(header, "descr")?)?;
    let order = match value(header, "fortran_order")? {
        "True" => Order::Fortran,
        "False" => Order::C,
        other => return Err(format!("its `fortran_order` is {other}, and neither True nor False")),
    };
    let text = value(header, "shape")?;
    let inner = text.strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    let inner = inner.ok_or_else(|| format!("its shape {text} is no tuple"))?;
    let lens = inner.split(',').map(str::trim).filter(|t| !t.is_empty());
    let lens = lens.map(|t| t.trim_end_matches('L').parse::<usize>());
    let lens: Vec<usize> =
        lens.collect::<Result<_, _>>().map_err(|e| format!("its shape {text}: {e}"))?;
    Ok(Layout { dtype, shape: ArrayShape::new(lens), offset, order, endianness })
}

/// Reads a header of version 1, 2 or 3.
pub(super) fn read_header(from: &mut dyn Read) -> Result<Layout, String> {
    let text = |e: io::Error| match e.kind() {
        io::ErrorKind::UnexpectedEof => "it ends within its header".to_string(),
        _ => e.to_string(),
    };
    let mut begin = [0; 8];
    from.read_exact(&mut begin).map_err(text)?;
    if &begin[..6] != MAGIC {
        return Err("it does not begin as a file of NumPy".into());
    }
    let (len, before) = match begin[6] {
        1 => {
            let mut len = [0; 2];
            from.read_exact(&mut len).map_err(text)?;
            (usize::from(u16::from_le_bytes(len)), 10)
        }
        2 | 3 => {
            let mut len = [0; 4];
            from.read_exact(&mut len).map_err(text)?;
            (u32::from_le_bytes(len) as usize, 12)
        }
        version => return Err(format!("its version is {version}, and 1 to 3 are known")),
    };
    if len > LONGEST {
        return Err(format!("its header has {len} bytes, and at most {LONGEST} are read"));
    }
    let mut header = vec![0; len];
    from.read_exact(&mut header).map_err(text)?;
    parse(&String::from_utf8_lossy(&header), before + len as u64)
}

/// A header of version 1.
pub(super) fn header(layout: &Layout) -> Vec<u8> {
    let kind = match layout.dtype {
        DType::Bool => 'b',
        d if d.is_complex() => 'c',
        d if d.is_float() => 'f',
        d if d.is_unsigned() => 'u',
        _ => 'i',
    };
    let order = match (layout.dtype.bytes(), layout.endianness) {
        (1, _) => '|',
        (_, Endianness::Little) => '<',
        (_, Endianness::Big) => '>',
    };
    let fortran = if layout.order == Order::Fortran { "True" } else { "False" };
    let text = format!(
        "{{'descr': '{order}{kind}{}', 'fortran_order': {fortran}, 'shape': {}, }}",
        layout.dtype.bytes(),
        layout.shape
    );
    let len = (10 + text.len() + 1).next_multiple_of(ALIGN) - 10;
    let mut header = MAGIC.to_vec();
    header.extend([1, 0]);
    header.extend((len as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header.resize(10 + len - 1, b' ');
    header.push(b'\n');
    header
}

pub(in crate::io) fn npy_sink(
    target: &Path,
    array: &Array,
    options: &FileWrite,
) -> Result<FlatSink> {
    FlatSink::new("to_npy", target, array, options, header)
}

impl Array {
    /// The array of a file of NumPy, of version 1 to 3, in either order and with either byte
    /// first. What is needed is read when it is needed.
    ///
    /// ```
    /// use windlass_array::{Array, io::FileWrite};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let place = folder.path().join("x.npy");
    /// Array::arange(0, 12, 1)?.reshape([3, 4])?.to_npy(&place, &FileWrite::default())?;
    /// let x = Array::from_npy(&place)?;
    /// assert_eq!(x.sum(0)?.compute::<i64>()?[3], 3 + 7 + 11);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such file, its header is none, its type is none that arrays have, or it
    /// is shorter than its header says.
    pub fn from_npy(place: impl AsRef<Path>) -> Result<Self> {
        opened("from_npy", place.as_ref(), |file| read_header(file))
    }

    /// Computes the elements and writes them as a file of NumPy, in parts, in the order of the
    /// options: the file appears under its name when it is complete.
    ///
    /// # Errors
    /// If a file has that name and is not to be overwritten, or if a task or a write failed.
    pub fn to_npy(&self, place: impl AsRef<Path>, options: &FileWrite) -> Result<()> {
        Store::new().npy(self, place, options)?.run()
    }

    /// As [`Array::to_npy`], on that executor.
    ///
    /// # Errors
    /// As there.
    pub fn to_npy_on(
        &self,
        place: impl AsRef<Path>,
        options: &FileWrite,
        on: &dyn RunGraph,
    ) -> Result<()> {
        Store::new().npy(self, place, options)?.run_on(on)
    }
}
