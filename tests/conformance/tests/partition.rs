//! Partitions by hash, by range and into even pieces, on every backend, against a plain
//! grouping of row numbers on the host.

use std::{cmp::Ordering, sync::Arc};

use conformance::{
    HostColumn, Presented, Target,
    data::{self, Nulls, Random},
    host::extend,
};
use proptest::{prelude::ProptestConfig as Config, proptest};
use windlass_device::{Device, Queue, Reservation};
use windlass_kernels::{
    DeviceBatch, KernelError, PhysType,
    hash::hash_rows,
    partition::{MAX_PARTS, Partitions, by_hash, by_range, round_robin},
    sort::SortKey,
};

conformance::everywhere!(hashes, ranges_of_types, ranges_of_several_keys, pieces, refusals);
conformance::everywhere!(emulated_checked: hashes, ranges_of_several_keys);

struct Run {
    device: Arc<dyn Device>,
    queue: Box<dyn Queue>,
    reservation: Reservation,
}

impl Run {
    fn new(target: Target) -> Self {
        let device = target.open();
        let queue = device.queue().unwrap();
        let reservation = device.pool().reserve(0).unwrap();
        Self { device, queue, reservation }
    }

    fn batch(&mut self, columns: &[HostColumn], how: Presented) -> DeviceBatch {
        let upload = |c: &HostColumn| c.upload(&*self.device, &mut *self.queue, how);
        let rows = columns.first().map_or(0, HostColumn::rows);
        DeviceBatch { rows, columns: columns.iter().map(upload).collect() }
    }

    fn words(&mut self, buffer: &windlass_device::DeviceBuffer, n: usize) -> Vec<u32> {
        let mut words = vec![0u32; n];
        if n > 0 {
            self.queue.download(buffer, 0, bytemuck::cast_slice_mut(&mut words)).unwrap();
        }
        words
    }

    /// Compares with the partition of each row.
    fn check(&mut self, got: &Partitions, ids: &[usize], parts: usize, what: &str) {
        assert_eq!((got.parts, got.rows), (parts, ids.len()), "{what}");
        let mut want: Vec<u32> = (0..ids.len() as u32).collect();
        want.sort_by_key(|row| ids[*row as usize]);
        let mut sizes = vec![0usize; parts];
        ids.iter().for_each(|id| sizes[*id] += 1);
        assert_eq!(got.sizes(&mut *self.queue).unwrap(), sizes, "{what}");
        let offsets = self.words(&got.offsets, parts + 1);
        assert_eq!((offsets[0], offsets[parts] as usize), (0, ids.len()), "{what}");
        assert!(self.words(&got.indices, ids.len()) == want, "{what}");
    }
}

fn hashes(target: Target) {
    let mut run = Run::new(target);
    let sizes =
        [(0, 3), (1, 1), (33, 5), (257, 256), (2049, 7), (5000, 300), (4000, 5000), (70_000, 16)];
    for (rows, parts) in sizes {
        let columns = [
            data::column(PhysType::I64, rows, Nulls::OneIn(9), 1),
            data::column(PhysType::I8, rows, Nulls::OneIn(4), 2),
        ];
        let how = [Presented::Packed(3), Presented::Wide][rows % 2];
        let batch = run.batch(&columns, how);
        let (queue, r) = (&mut *run.queue, &mut run.reservation);
        let got = by_hash(&*run.device, queue, r, &batch, &[1, 0], parts).unwrap();
        let hashes = hash_rows(&*run.device, queue, r, &batch, &[1, 0]).unwrap();
        let hashes = run.words(&hashes, rows * 2);
        let ids: Vec<usize> = hashes.chunks(2).map(|h| h[0] as usize % parts).collect();
        run.check(&got, &ids, parts, &format!("{rows} rows into {parts}"));
    }
}

/// The order of two values of a type; floats by totalOrder.
fn compare(ty: PhysType, a: u128, b: u128) -> Ordering {
    match ty {
        PhysType::F32 => f32::from_bits(a as u32).total_cmp(&f32::from_bits(b as u32)),
        PhysType::F64 => f64::from_bits(a as u64).total_cmp(&f64::from_bits(b as u64)),
        t if t.is_signed() => (extend(t, a) as i128).cmp(&(extend(t, b) as i128)),
        t => extend(t, a).cmp(&extend(t, b)),
    }
}

type Row<'a> = Vec<(&'a HostColumn, Option<u128>)>;

fn compare_rows(keys: &[SortKey], a: &Row<'_>, b: &Row<'_>) -> Ordering {
    let each = keys.iter().zip(a.iter().zip(b)).map(|(key, ((c, a), (_, b)))| match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) if key.nulls_first => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) if key.nulls_first => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) if key.descending => compare(c.ty, *b, *a),
        (Some(a), Some(b)) => compare(c.ty, *a, *b),
    });
    each.fold(Ordering::Equal, Ordering::then)
}

fn row<'a>(columns: &[&'a HostColumn], i: usize) -> Row<'a> {
    columns.iter().map(|c| (*c, c.values[i])).collect()
}

/// Partitions the columns by splitters taken from a sample of like rows.
fn range(
    run: &mut Run,
    columns: &[HostColumn],
    keys: &[SortKey],
    splitters: &[HostColumn],
    (how, split_how): (Presented, Presented),
) {
    let by: Vec<&HostColumn> = keys.iter().map(|k| &columns[k.column]).collect();
    let candidates: Vec<&HostColumn> = splitters.iter().collect();
    let count = splitters[0].rows();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| compare_rows(keys, &row(&candidates, *a), &row(&candidates, *b)));
    let sorted: Vec<HostColumn> = splitters
        .iter()
        .map(|c| HostColumn { ty: c.ty, values: order.iter().map(|i| c.values[*i]).collect() })
        .collect();
    let split: Vec<&HostColumn> = sorted.iter().collect();
    let ids: Vec<usize> = (0..columns[0].rows())
        .map(|i| {
            let key = row(&by, i);
            (0..count)
                .filter(|s| compare_rows(keys, &row(&split, *s), &key) != Ordering::Greater)
                .count()
        })
        .collect();
    let batch = run.batch(columns, how);
    let bounds = run.batch(&sorted, split_how);
    let (queue, r) = (&mut *run.queue, &mut run.reservation);
    let got = by_range(&*run.device, queue, r, &batch, keys, &bounds).unwrap();
    run.check(&got, &ids, count + 1, &format!("{keys:?} of {:?}", by[0].ty));
}

fn ranges_of_types(target: Target) {
    let mut run = Run::new(target);
    for (at, ty) in PhysType::ALL.into_iter().enumerate() {
        for form in 0..4 {
            let key =
                SortKey { column: 0, descending: form % 2 == 1, nulls_first: (form + at) % 3 == 0 };
            let nulls = [Nulls::OneIn(5), Nulls::None][form / 2];
            let [column, _] = data::pairs(ty, nulls, 100);
            let splitters = data::column(ty, 9, [Nulls::None, Nulls::OneIn(4)][at % 2], 5);
            let ways =
                [(Presented::Packed(2), Presented::Wide), (Presented::Wide, Presented::Packed(5))];
            range(&mut run, &[column], &[key], &[splitters], ways[(at + form) % 2]);
        }
    }
}

fn ranges_of_several_keys(target: Target) {
    let mut run = Run::new(target);
    let few = |ty, rows, seed: u64| {
        let mut random = Random(seed);
        let list = data::column(ty, 6, Nulls::OneIn(3), 8).values;
        let values = (0..rows).map(|_| list[random.below(6)]).collect();
        HostColumn { ty, values }
    };
    for (rows, splitters) in [(0, 3), (1, 0), (300, 1), (2049, 40)] {
        let types = [PhysType::I16, PhysType::F64, PhysType::I128];
        let columns: Vec<_> = types.iter().map(|t| few(*t, rows, 1)).collect();
        let key = |column, descending, nulls_first| SortKey { column, descending, nulls_first };
        let keys = [key(2, false, true), key(0, true, false), key(1, true, true)];
        let bounds = [
            few(types[2], splitters, 30),
            few(types[0], splitters, 31),
            few(types[1], splitters, 32),
        ];
        range(&mut run, &columns, &keys, &bounds, (Presented::Packed(0), Presented::Wide));
    }
}

fn pieces(target: Target) {
    let mut run = Run::new(target);
    for (rows, parts) in [(0, 4), (1, 1), (7, 10), (1000, 3), (1025, 256)] {
        let (queue, r) = (&mut *run.queue, &mut run.reservation);
        let got = round_robin(&*run.device, queue, r, rows, parts).unwrap();
        let sizes = got.sizes(&mut *run.queue).unwrap();
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        let ids = sizes.iter().enumerate().flat_map(|(p, n)| std::iter::repeat_n(p, *n));
        let ids: Vec<usize> = ids.collect();
        run.check(&got, &ids, parts, &format!("{rows} rows into {parts}"));
    }
}

/// Many tasks and many partitions on the twin.
#[test]
fn many_rows_on_cpu() {
    let mut run = Run::new(Target::Cpu);
    let column = data::column(PhysType::U32, 400_000, Nulls::OneIn(100), 3);
    let batch = run.batch(std::slice::from_ref(&column), Presented::Packed(0));
    for parts in [2, 1000, MAX_PARTS] {
        let (queue, r) = (&mut *run.queue, &mut run.reservation);
        let got = by_hash(&*run.device, queue, r, &batch, &[0], parts).unwrap();
        let hashes = hash_rows(&*run.device, queue, r, &batch, &[0]).unwrap();
        let hashes = run.words(&hashes, batch.rows * 2);
        let ids: Vec<usize> = hashes.chunks(2).map(|h| h[0] as usize % parts).collect();
        run.check(&got, &ids, parts, &format!("{parts} partitions"));
    }
}

#[test]
fn random_ranges_on_cpu() {
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    proptest!(config, |(seed: u64)| {
        let mut run = Run::new(Target::Cpu);
        let mut random = Random(seed);
        let types: Vec<PhysType> =
            (0..1 + random.below(3)).map(|_| PhysType::ALL[random.below(12)]).collect();
        let (rows, splitters) = (random.below(700), random.below(30));
        let mut columns = |rows| -> Vec<HostColumn> {
            types
                .iter()
                .map(|t| data::column(*t, rows, [Nulls::None, Nulls::OneIn(6)][random.below(2)], random.bits()))
                .collect()
        };
        let (batch, bounds) = (columns(rows), columns(splitters));
        let keys: Vec<SortKey> = (0..types.len())
            .map(|column| SortKey {
                column,
                descending: random.below(2) == 0,
                nulls_first: random.below(2) == 0,
            })
            .collect();
        range(&mut run, &batch, &keys, &bounds, (Presented::Packed(1), Presented::Packed(0)));
    });
}

fn refusals(target: Target) {
    let mut run = Run::new(target);
    let columns = [
        data::column(PhysType::I64, 40, Nulls::OneIn(5), 1),
        data::column(PhysType::I32, 40, Nulls::None, 2),
    ];
    let batch = run.batch(&columns, Presented::Packed(0));
    let bounds = run.batch(&[data::column(PhysType::I64, 3, Nulls::None, 3)], Presented::Wide);
    let (device, queue) = (&*run.device, &mut *run.queue);
    let r = &mut run.reservation;
    let invalid = |got: Result<Partitions, KernelError>| {
        assert!(matches!(got, Err(KernelError::Invalid { .. })), "{got:?}");
    };
    for parts in [0, MAX_PARTS + 1] {
        invalid(by_hash(device, queue, r, &batch, &[0], parts));
        invalid(round_robin(device, queue, r, 10, parts));
    }
    invalid(by_hash(device, queue, r, &batch, &[2], 4));
    invalid(by_hash(device, queue, r, &batch, &[], 4));
    invalid(round_robin(device, queue, r, 1 << 31, 4));
    let key = |column| SortKey { column, descending: false, nulls_first: false };
    invalid(by_range(device, queue, r, &batch, &[], &bounds));
    invalid(by_range(device, queue, r, &batch, &[key(1)], &bounds));
    invalid(by_range(device, queue, r, &batch, &[key(5)], &bounds));
    invalid(by_range(device, queue, r, &batch, &[key(0), key(1)], &bounds));
    let long = DeviceBatch { rows: 1000, ..bounds };
    invalid(by_range(device, queue, r, &batch, &[key(0)], &long));
}
