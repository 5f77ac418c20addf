//! Good and bad columns, texts and buffers.

use std::sync::Arc;

use arrow::array::{Array, StringArray, StringViewArray};
use conformance::{
    HostColumn, Presented,
    data::{self, Nulls},
};
use windlass_device::{Device, DeviceBuffer};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, PhysType, Storage, Validity,
    sort::SortKey,
    string::{StringColumn, Texts},
};

use crate::Bad;

/// Rows of the columns.
pub(crate) const ROWS: usize = 40;

/// More rows than a batch may have.
pub(crate) const TOO_MANY: usize = 1 << 31;

/// The order by a column.
pub(crate) fn by(column: usize) -> SortKey {
    SortKey { column, descending: false, nulls_first: false }
}

/// Zero bytes on a device.
fn bytes_on(device: &Arc<dyn Device>, bytes: usize) -> DeviceBuffer {
    let mut r = device.pool().reserve(bytes).unwrap();
    let buffer = device.alloc(&mut r, bytes).unwrap();
    device.queue().unwrap().upload(&buffer, 0, &vec![0; bytes]).unwrap();
    buffer
}

impl Bad {
    /// Zero bytes.
    pub(crate) fn bytes(&self, bytes: usize) -> DeviceBuffer {
        bytes_on(&self.device, bytes)
    }

    /// Zero words.
    pub(crate) fn zeros(&self, words: usize) -> DeviceBuffer {
        self.bytes(words * 4)
    }

    /// Zero words on the other device.
    pub(crate) fn elsewhere(&self, words: usize) -> DeviceBuffer {
        bytes_on(&self.other, words * 4)
    }

    /// Words.
    pub(crate) fn words(&mut self, words: &[u32]) -> DeviceBuffer {
        let buffer = self.zeros(words.len());
        self.queue.upload(&buffer, 0, bytemuck::cast_slice(words)).unwrap();
        buffer
    }

    /// The words of a buffer.
    pub(crate) fn read(&mut self, buffer: &DeviceBuffer) -> Vec<u32> {
        let mut words = vec![0; buffer.len() / 4];
        self.queue.download(buffer, 0, bytemuck::cast_slice_mut(&mut words)).unwrap();
        words
    }

    fn host(ty: PhysType, nulls: Nulls) -> HostColumn {
        data::column(ty, ROWS, nulls, 1)
    }

    /// A column of [`ROWS`] rows, some of them null.
    pub(crate) fn column(&mut self, ty: PhysType) -> DeviceColumn {
        let column = Self::host(ty, Nulls::OneIn(3));
        column.upload(&*self.device, &mut *self.queue, Presented::Packed(0))
    }

    /// Columns that do not fit [`ROWS`] rows or this device, with what is wrong.
    pub(crate) fn bad_columns(&mut self, ty: PhysType) -> Vec<(&'static str, DeviceColumn)> {
        let nullable = self.column(ty);
        let good = DeviceColumn { validity: Validity::All, ..nullable.clone() };
        let packed = ty.packed_bytes().map_or(ROWS.div_ceil(8), |b| b * ROWS);
        let wide = ty.wide_bytes() * ROWS;
        let short = |storage, bytes: usize| DeviceColumn {
            storage,
            values: self.bytes(bytes - 1),
            ..good.clone()
        };
        let bits = |bits, bit_offset| Validity::Bits { bits, bit_offset };
        let validity = |validity| DeviceColumn { validity, ..good.clone() };
        let mut out = vec![
            ("packed values that are too short", short(Storage::Packed, packed)),
            ("wide values that are too short", short(Storage::Wide, wide)),
            ("a bitmap that is too short", validity(bits(self.bytes(ROWS / 8 - 1), 0))),
            ("a bitmap whose offset makes it too short", validity(bits(self.bytes(ROWS / 8), 1))),
            ("a bitmap from bit 8 on", validity(bits(self.bytes(ROWS), 8))),
            ("validity words that are too short", validity(Validity::Words(self.zeros(ROWS - 1)))),
            ("an empty validity", validity(Validity::Words(self.zeros(0)))),
            (
                "values on another device",
                DeviceColumn { values: self.elsewhere(ROWS * 4), ..good.clone() },
            ),
            ("a bitmap on another device", validity(bits(self.elsewhere(ROWS), 0))),
            ("validity words on another device", validity(Validity::Words(self.elsewhere(ROWS)))),
        ];
        if ty == PhysType::Bool {
            let values = self.bytes(ROWS);
            out.push(("values from bit 8 on", DeviceColumn { values, bit_offset: 8, ..good }));
        }
        out
    }

    /// Batches of one column that do not fit, with what is wrong.
    pub(crate) fn bad_batches(&mut self, ty: PhysType) -> Vec<(&'static str, DeviceBatch)> {
        let batch = |(what, c)| (what, DeviceBatch { rows: ROWS, columns: vec![c] });
        let mut out: Vec<_> = self.bad_columns(ty).into_iter().map(batch).collect();
        let columns = vec![self.column(ty)];
        out.push(("2^31 rows", DeviceBatch { rows: TOO_MANY, columns: columns.clone() }));
        out.push(("a row more than its buffers", DeviceBatch { rows: ROWS * 8 + 1, columns }));
        out
    }

    /// A batch of a column of each type.
    pub(crate) fn batch(&mut self, types: &[PhysType]) -> DeviceBatch {
        let columns = types.iter().map(|ty| self.column(*ty)).collect();
        DeviceBatch { rows: ROWS, columns }
    }

    /// A column of texts without nulls.
    pub(crate) fn texts(&mut self, views: bool) -> StringColumn {
        let texts = (0..ROWS).map(|i| format!("the text é {i:02}"));
        let array: Box<dyn Array> = match views {
            true => Box::new(StringViewArray::from_iter_values(texts)),
            false => Box::new(StringArray::from_iter_values(texts)),
        };
        let (device, queue, reservation) = self.on();
        StringColumn::from_arrow(device, queue, reservation, &*array).unwrap()
    }

    /// Columns of texts that do not fit their rows or this device, with what is wrong.
    pub(crate) fn bad_texts(&mut self) -> Vec<(&'static str, StringColumn)> {
        let (good, view) = (self.texts(false), self.texts(true));
        let (Texts::Offsets { offsets, bytes }, Texts::Views { views, data }) =
            (&good.texts, &view.texts)
        else {
            panic!("the forms that were asked for")
        };
        let of = |offsets, bytes| StringColumn {
            texts: Texts::Offsets { offsets, bytes },
            ..good.clone()
        };
        let of_views = |views, data: Vec<_>| StringColumn {
            texts: Texts::Views { views, data },
            ..view.clone()
        };
        let valid = |validity| StringColumn { validity, ..good.clone() };
        let bits = |bits, bit_offset| Validity::Bits { bits, bit_offset };
        let mut out = vec![
            ("offsets that are too short", of(self.zeros(ROWS), bytes.clone())),
            ("no offsets", of(self.zeros(0), bytes.clone())),
            ("views that are too short", of_views(self.zeros(ROWS * 4 - 1), data.clone())),
            ("offsets on another device", of(self.elsewhere(ROWS + 1), bytes.clone())),
            ("bytes on another device", of(offsets.clone(), self.elsewhere(ROWS * 99))),
            ("views on another device", of_views(self.elsewhere(ROWS * 4), data.clone())),
            ("data on another device", of_views(views.clone(), vec![self.elsewhere(ROWS * 99)])),
            ("a bitmap that is too short", valid(bits(self.bytes(ROWS / 8 - 1), 0))),
            ("a bitmap whose offset makes it too short", valid(bits(self.bytes(ROWS / 8), 1))),
            ("a bitmap from bit 8 on", valid(bits(self.bytes(ROWS), 8))),
            ("validity words that are too short", valid(Validity::Words(self.zeros(ROWS - 1)))),
            ("validity words elsewhere", valid(Validity::Words(self.elsewhere(ROWS)))),
            ("2^31 rows", StringColumn { rows: TOO_MANY, ..good.clone() }),
            ("2^31 rows of views", StringColumn { rows: TOO_MANY, ..view.clone() }),
        ];
        if !self.cpu {
            let two = vec![data[0].clone(), data[0].clone()];
            out.push(("two data buffers", of_views(views.clone(), two)));
        }
        out
    }

    /// Columns whose buffers are long enough, and whose offsets or views are not in them.
    pub(crate) fn false_texts(&mut self) -> Vec<(&'static str, StringColumn)> {
        let (good, view) = (self.texts(false), self.texts(true));
        let (Texts::Offsets { bytes, .. }, Texts::Views { data, .. }) = (&good.texts, &view.texts)
        else {
            panic!("the forms that were asked for")
        };
        let (bytes, data) = (bytes.clone(), data.clone());
        let end = bytes.len() as u32;
        let rows = ROWS as u32;
        let mut of = |offsets: Vec<u32>| {
            let texts = Texts::Offsets { offsets: self.words(&offsets), bytes: bytes.clone() };
            StringColumn { texts, ..good.clone() }
        };
        let falls = of((0..=rows).rev().collect());
        let past = of((0..=rows).map(|i| end - rows / 2 + i).collect());
        let far = of((0..=rows).map(|i| i * (u32::MAX / rows)).collect());
        let mut of_views = |[len, buffer, first]: [u32; 3]| {
            let mut words = vec![0; ROWS * 4];
            words[4..8].copy_from_slice(&[len, 0, buffer, first]);
            let texts = Texts::Views { views: self.words(&words), data: data.clone() };
            StringColumn { texts, ..view.clone() }
        };
        let last = data[0].len() as u32;
        vec![
            ("offsets that fall", falls),
            ("offsets past the bytes", past),
            ("offsets far past the bytes", far),
            ("a view that ends past its data", of_views([20, 0, last - 19])),
            ("a view that begins past its data", of_views([20, 0, u32::MAX - 5])),
            ("a view of 4 GiB", of_views([u32::MAX, 0, 0])),
            ("a view of data that there is not", {
                let mut c = of_views([20, 0, 0]);
                if let Texts::Views { data, .. } = &mut c.texts {
                    data.clear();
                }
                c
            }),
        ]
    }
}
