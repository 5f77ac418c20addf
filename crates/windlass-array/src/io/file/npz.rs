//! Several arrays in a zip archive, each a file of NumPy's.

use std::{
    fs::File,
    io::{self, Seek},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::{layout::Layout, npy::read_header, read::FlatFile, write::FileWrite};
use crate::{
    array::Array,
    error::{ArrayError, Result},
    expr::BoxError,
    grid::ChunkGrid,
    io::{
        Store,
        place::{Pending, failed},
        source::{Place, Source},
    },
    region::Region,
    shape::ChunkIndex,
};

const OPEN: &str = "from_npz";
const SAVE: &str = "save_npz";

fn open(place: &Path) -> Result<ZipArchive<File>> {
    let file = File::open(place).map_err(|e| failed(OPEN, place, e))?;
    ZipArchive::new(file).map_err(|e| failed(OPEN, place, e))
}

/// The names of the arrays of an `.npz` file, in its order.
///
/// # Errors
/// If there is no such file, or it is no zip archive.
pub fn npz_names(place: impl AsRef<Path>) -> Result<Vec<String>> {
    let place = place.as_ref();
    let archive = open(place)?;
    let names = (0..archive.len()).filter_map(|i| archive.name_for_index(i));
    let name = names.map(|name| {
        let name = name.map_err(|e| failed(OPEN, place, e))?;
        Ok(name.strip_suffix(".npy").unwrap_or(&name).to_string())
    });
    name.collect()
}

/// A compressed array, which is unpacked to a file without a name when it is first needed.
struct Packed {
    place: PathBuf,
    entry: String,
    layout: Layout,
    grid: ChunkGrid,
    unpacked: OnceLock<Result<FlatFile>>,
}

impl Packed {
    /// Unpacks it; its sum is checked.
    fn unpack(&self) -> Result<FlatFile> {
        let wrong = |e: io::Error| failed("read", &self.place, format!("{}: {e}", self.entry));
        let mut archive = open(&self.place)?;
        let mut packed = archive.by_name(&self.entry).map_err(io::Error::from).map_err(wrong)?;
        let mut file = tempfile::tempfile().map_err(wrong)?;
        io::copy(&mut packed, &mut file).map_err(wrong)?;
        file.rewind().map_err(wrong)?;
        FlatFile::new("read", &self.place, file, self.layout.clone())
    }
}

impl Source for Packed {
    fn name(&self) -> &'static str {
        "npz"
    }

    fn grid(&self) -> &ChunkGrid {
        &self.grid
    }

    fn working_bytes(&self) -> u64 {
        4 << 20
    }

    fn read(
        &self,
        chunk: &ChunkIndex,
        region: &Region,
        to: &mut Place<'_>,
    ) -> Result<(), BoxError> {
        match self.unpacked.get_or_init(|| self.unpack()) {
            Ok(file) => file.read(chunk, region, to),
            Err(e) => Err(e.clone().into()),
        }
    }
}

impl Array {
    /// An array of an `.npz` file, by its name. One that is stored as it is is read where it
    /// lies, when it is needed; a compressed one is unpacked to a temporary file first.
    ///
    /// # Errors
    /// As [`Array::from_npy`], or if there is no array of that name.
    pub fn from_npz(place: impl AsRef<Path>, name: &str) -> Result<Self> {
        let place = place.as_ref();
        let wrong = |e: &dyn std::fmt::Display| failed(OPEN, place, format!("{name}: {e}"));
        let mut archive = open(place)?;
        let entry = [format!("{name}.npy"), name.to_string()];
        let Some(entry) = entry.into_iter().find(|e| archive.index_for_name(e).is_some()) else {
            let names = npz_names(place)?.join(", ");
            return Err(wrong(&format!("there is no array of that name: it has {names}")));
        };
        let (mut layout, stored, size, begin) = {
            let mut file = archive.by_name(&entry).map_err(|e| wrong(&e))?;
            let layout = read_header(&mut file).map_err(|e| wrong(&e))?;
            let stored = file.compression() == CompressionMethod::Stored;
            (layout, stored, file.size(), file.data_start())
        };
        if layout.bytes().is_none_or(|b| b + layout.offset > size) {
            let (dtype, shape) = (layout.dtype, &layout.shape);
            return Err(wrong(&format!("it has {size} bytes, too few for {dtype} of {shape}")));
        }
        let dtype = layout.dtype;
        if let (true, Some(begin)) = (stored, begin) {
            layout.offset += begin;
            let file = File::open(place).map_err(|e| failed(OPEN, place, e))?;
            let file = FlatFile::new(OPEN, place, file, layout)?;
            return Ok(Self::from_source(dtype, Arc::new(file)));
        }
        let grid = layout.grid();
        let (place, unpacked) = (place.to_path_buf(), OnceLock::new());
        let packed = Packed { place, entry, layout, grid, unpacked };
        Ok(Self::from_source(dtype, Arc::new(packed)))
    }
}

/// Computes several arrays at once and writes them as one `.npz` file, each by its name. They
/// are put in temporary files first, beside it, as a zip archive is written from its beginning
/// to its end.
///
/// ```
/// use windlass_array::{Array, io::{FileWrite, npz_names, save_npz}};
///
/// let folder = tempfile::tempdir()?;
/// let place = folder.path().join("both.npz");
/// let x = Array::arange(0, 10, 1)?;
/// save_npz(&place, &[("x", &x), ("squares", &x.square()?)], &FileWrite::default())?;
/// assert_eq!(npz_names(&place)?, ["x", "squares"]);
/// assert_eq!(Array::from_npz(&place, "squares")?.compute::<i64>()?[9], 81);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If a file has that name and is not to be overwritten, if a name comes twice, or if a task
/// or a write failed.
pub fn save_npz(
    place: impl AsRef<Path>,
    arrays: &[(&str, &Array)],
    options: &FileWrite,
) -> Result<()> {
    let place = place.as_ref();
    for (i, (name, _)) in arrays.iter().enumerate() {
        if name.is_empty() || arrays[..i].iter().any(|a| a.0 == *name) {
            return Err(ArrayError::Argument {
                operation: SAVE,
                argument: "each name",
                expected: "not empty, and another one".into(),
                got: format!("{name:?}"),
            });
        }
    }
    let pending = Pending::new(SAVE, place, options.overwrite)?;
    let wrong = |e: io::Error| failed(SAVE, place, e);
    let beside = place.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::tempdir_in(beside).map_err(wrong)?;
    let file = |i: usize| folder.path().join(format!("{i}.npy"));
    let mut store = Store::new();
    for (i, (_, array)) in arrays.iter().enumerate() {
        store = store.npy(array, file(i), options)?;
    }
    store.run()?;
    let method =
        if options.compress { CompressionMethod::Deflated } else { CompressionMethod::Stored };
    let entry = SimpleFileOptions::default().compression_method(method).large_file(true);
    let mut archive = ZipWriter::new(File::create(pending.path()).map_err(wrong)?);
    for (i, (name, _)) in arrays.iter().enumerate() {
        let begun = archive.start_file(format!("{name}.npy"), entry);
        begun.map_err(io::Error::from).map_err(wrong)?;
        let mut npy = File::open(file(i)).map_err(wrong)?;
        io::copy(&mut npy, &mut archive).map_err(wrong)?;
        std::fs::remove_file(file(i)).map_err(wrong)?;
    }
    archive.finish().map_err(io::Error::from).map_err(wrong)?;
    pending.finish().map_err(wrong)
}
