//! Keys over host columns, and Arrow's sort of them.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
        Int32Array, Int64Array, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
    },
    compute::{SortColumn, SortOptions, lexsort_to_indices, partition, take},
};
use conformance::{
    Bench, HostColumn, Presented, Target,
    data::{self, Nulls},
};
use proptest::prelude::*;
use windlass_device::DeviceBuffer;
use windlass_kernels::{
    DeviceBatch, PhysType,
    sort::{self, SortKey},
};

/// Host columns, and the keys over them.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) columns: Vec<HostColumn>,
    pub(crate) keys: Vec<SortKey>,
    pub(crate) how: Presented,
}

pub(crate) fn key(column: usize, descending: bool, nulls_first: bool) -> SortKey {
    SortKey { column, descending, nulls_first }
}

pub(crate) fn ints(ty: PhysType, values: impl IntoIterator<Item = i64>) -> HostColumn {
    let values = values.into_iter().map(|v| Some(v as i128 as u128)).collect();
    HostColumn { ty, values }
}

pub(crate) fn array(c: &HostColumn) -> ArrayRef {
    macro_rules! from {
        ($array:ty, $bits:ident => $value:expr) => {
            Arc::new(c.values.iter().map(|v| v.map(|$bits| $value)).collect::<$array>())
        };
    }
    match c.ty {
        PhysType::Bool => from!(BooleanArray, b => b & 1 == 1),
        PhysType::I8 => from!(Int8Array, b => b as i8),
        PhysType::I16 => from!(Int16Array, b => b as i16),
        PhysType::I32 => from!(Int32Array, b => b as i32),
        PhysType::I64 => from!(Int64Array, b => b as i64),
        PhysType::U8 => from!(UInt8Array, b => b as u8),
        PhysType::U16 => from!(UInt16Array, b => b as u16),
        PhysType::U32 => from!(UInt32Array, b => b as u32),
        PhysType::U64 => from!(UInt64Array, b => b as u64),
        PhysType::F32 => from!(Float32Array, b => f32::from_bits(b as u32)),
        PhysType::F64 => from!(Float64Array, b => f64::from_bits(b as u64)),
        PhysType::I128 => from!(Decimal128Array, b => b as i128),
    }
}

impl Case {
    pub(crate) fn rows(&self) -> usize {
        self.columns[0].rows()
    }

    pub(crate) fn batch(&self, bench: &mut Bench) -> DeviceBatch {
        let device = bench.device_arc();
        let columns = self.columns.iter().map(|c| c.upload(&*device, bench.queue(), self.how));
        DeviceBatch { rows: self.rows(), columns: columns.collect() }
    }

    /// The order by Arrow's sort.
    pub(crate) fn reference(&self) -> Vec<u32> {
        let mut columns: Vec<SortColumn> = self
            .keys
            .iter()
            .map(|k| SortColumn {
                values: array(&self.columns[k.column]),
                options: Some(SortOptions { descending: k.descending, nulls_first: k.nulls_first }),
            })
            .collect();
        let rows: UInt32Array = (0..self.rows() as u32).collect();
        columns.push(SortColumn { values: Arc::new(rows), options: None });
        lexsort_to_indices(&columns, None).unwrap().values().to_vec()
    }

    /// 1 where the rows of `order` differ in one of `columns` from the row before.
    pub(crate) fn bounds(&self, columns: &[usize], order: &[u32]) -> Vec<u32> {
        let mut flags = vec![0; order.len()];
        let indices = UInt32Array::from(order.to_vec());
        let sorted: Vec<ArrayRef> = columns
            .iter()
            .map(|c| take(&array(&self.columns[*c]), &indices, None).unwrap())
            .collect();
        match sorted.is_empty() || order.is_empty() {
            true => flags.iter_mut().take(1).for_each(|f| *f = 1),
            false => partition(&sorted).unwrap().ranges().iter().for_each(|r| flags[r.start] = 1),
        }
        flags
    }

    pub(crate) fn check(&self, bench: &mut Bench, what: &str) {
        let got = self.sorted(bench);
        let want = self.reference();
        if let Some(i) = (0..want.len()).find(|i| got[*i] != want[*i]) {
            let row = |r: u32| -> Vec<_> {
                let values = self.columns.iter().map(|c| c.values.get(r as usize));
                values.map(|v| v.map(|v| v.map(|v| format!("{v:#x}")))).collect()
            };
            panic!(
                "{what}, {:?}, keys {:?}, {} rows: place {i} has row {} {:?}, expected {} {:?}",
                self.how,
                self.keys,
                self.rows(),
                got[i],
                row(got[i]),
                want[i],
                row(want[i])
            );
        }
    }

    pub(crate) fn sorted(&self, bench: &mut Bench) -> Vec<u32> {
        let batch = self.batch(bench);
        let device = bench.device_arc();
        let mut r = device.pool().reserve(0).unwrap();
        let order =
            sort::sort_indices(&*device, bench.queue(), &mut r, &batch, &self.keys).unwrap();
        words(bench, &order, self.rows())
    }
}

pub(crate) fn words(bench: &mut Bench, buffer: &DeviceBuffer, n: usize) -> Vec<u32> {
    let mut out = vec![0u32; n];
    bench.queue().download(buffer, 0, bytemuck::cast_slice_mut(&mut out)).unwrap();
    out
}

/// Columns of any types, with few or many values, and keys over them in any order.
pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let column = (0..12usize, 0..3usize, any::<u64>(), any::<bool>());
    let keys = prop::collection::vec((0..4usize, any::<bool>(), any::<bool>()), 1..5);
    let columns = prop::collection::vec(column, 4);
    (0..700usize, columns, keys, 0..9u32).prop_map(|(rows, columns, keys, how)| {
        let columns = columns.into_iter().map(|(ty, nulls, seed, few)| {
            let nulls = [Nulls::None, Nulls::OneIn(3), Nulls::All][nulls];
            let mut c = data::column(PhysType::ALL[ty], rows, nulls, seed);
            if few {
                let values = c.values.clone();
                c.values.iter_mut().enumerate().for_each(|(i, v)| *v = values[i * 7 % 13 % rows]);
            }
            c
        });
        Case {
            columns: columns.collect(),
            keys: keys.into_iter().map(|(c, d, f)| key(c, d, f)).collect(),
            how: if how == 8 { Presented::Wide } else { Presented::Packed(how) },
        }
    })
}

/// Runs `test` on pseudo-random cases: many where they are cheap.
pub(crate) fn on_cases(target: Target, test: impl Fn(&Case, &mut Bench)) {
    let cases_of = if target == Target::Cpu { 200 } else { 12 };
    let mut bench = Bench::new(target);
    let config =
        ProptestConfig { cases: cases_of, failure_persistence: None, ..ProptestConfig::default() };
    let bench = std::cell::RefCell::new(&mut bench);
    proptest!(config, |(case in cases())| {
        test(&case, &mut bench.borrow_mut());
    });
}
