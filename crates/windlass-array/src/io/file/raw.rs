//! Files of nothing but elements.

use std::path::Path;

use windlass_runtime::delayed::RunGraph;

use super::{
    layout::{Layout, Order},
    read::opened,
    write::{FileWrite, FlatSink, layout},
};
use crate::{
    array::Array,
    dtype::DType,
    error::Result,
    io::{Store, bytes::Endianness},
    shape::ArrayShape,
};

/// What a file of elements holds.
#[derive(Debug, Clone)]
#[must_use]
pub struct RawLayout {
    layout: Layout,
}

impl RawLayout {
    /// Elements of a type in a shape from the file's first byte on, the last axis the fastest,
    /// the lowest byte first.
    pub fn new(dtype: DType, shape: impl Into<ArrayShape>) -> Self {
        Self { layout: layout(&FileWrite::default(), dtype, &shape.into(), 0) }
    }

    /// The byte of the first element.
    pub fn offset(mut self, bytes: u64) -> Self {
        self.layout.offset = bytes;
        self
    }

    /// Which axis is the fastest.
    pub fn order(mut self, order: Order) -> Self {
        self.layout.order = order;
        self
    }

    /// Which byte of a number comes first.
    pub fn endianness(mut self, endianness: Endianness) -> Self {
        self.layout.endianness = endianness;
        self
    }
}

pub(in crate::io) fn raw_sink(
    target: &Path,
    array: &Array,
    options: &FileWrite,
) -> Result<FlatSink> {
    FlatSink::new("to_raw", target, array, options, |_| Vec::new())
}

impl Array {
    /// The elements of a file that holds nothing else, or has them from some byte on. What is
    /// needed is read when it is needed. Bools are bytes, all but 0 true.
    ///
    /// ```
    /// use windlass_array::{Array, DType, io::{Endianness, RawLayout}};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let place = folder.path().join("numbers");
    /// std::fs::write(&place, [0, 1, 0, 2, 0, 3])?;
    /// let layout = RawLayout::new(DType::I16, [3]).endianness(Endianness::Big);
    /// assert_eq!(Array::from_raw(&place, &layout)?.compute::<i16>()?[2], 3);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such file, or it is shorter.
    pub fn from_raw(place: impl AsRef<Path>, layout: &RawLayout) -> Result<Self> {
        opened("from_raw", place.as_ref(), |_| Ok(layout.layout.clone()))
    }

    /// Computes the elements and writes nothing but them, in parts, as the options say: the
    /// file appears under its name when it is complete.
    ///
    /// # Errors
    /// If a file has that name and is not to be overwritten, or if a task or a write failed.
    pub fn to_raw(&self, place: impl AsRef<Path>, options: &FileWrite) -> Result<()> {
        Store::new().raw(self, place, options)?.run()
    }

    /// As [`Array::to_raw`], on that executor.
    ///
    /// # Errors
    /// As there.
    pub fn to_raw_on(
        &self,
        place: impl AsRef<Path>,
        options: &FileWrite,
        on: &dyn RunGraph,
    ) -> Result<()> {
        Store::new().raw(self, place, options)?.run_on(on)
    }
}
