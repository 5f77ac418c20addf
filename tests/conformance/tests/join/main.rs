//! Conformance of hash joins: one suite for every backend, against a map on the host.

use conformance::{
    HostColumn, Presented, Target,
    data::{self, Nulls, Random},
};
use proptest::{prelude::ProptestConfig as Config, proptest};
use windlass_kernels::{
    DeviceBatch, KernelError, PhysType,
    join::{JoinOptions, JoinTable, Marks},
};

mod run;

use run::{Case, check};

conformance::everywhere!(
    types,
    several_keys,
    sizes,
    skewed,
    pieces,
    cut_tiles,
    random_joins,
    refusals
);
// Instrumented kernels are slow, so this is a part of the suite.
conformance::everywhere!(emulated_checked: several_keys, pieces);
conformance::everywhere!(mod large: emulated, wgpu, real: large_build);

/// Values of a few different kinds, so that some match and some do not.
fn keys(ty: PhysType, rows: usize, distinct: usize, nulls: Nulls, seed: u64) -> HostColumn {
    let mut random = Random(seed);
    let values = data::column(ty, distinct, Nulls::None, 77).values;
    let null = |random: &mut Random| match nulls {
        Nulls::None => false,
        Nulls::OneIn(n) => random.below(n) == 0,
        Nulls::All => true,
    };
    let row = |_| {
        let value = values[random.below(distinct)];
        if null(&mut random) { None } else { value }
    };
    HostColumn { ty, values: (0..rows).map(row).collect() }
}

/// Every type alone, its extremes on both sides, in every pairing of storages.
fn types(target: Target) {
    let device = target.open();
    let ways = [
        (Presented::Packed(0), Presented::Packed(3)),
        (Presented::Wide, Presented::Packed(5)),
        (Presented::Packed(1), Presented::Wide),
        (Presented::Wide, Presented::Wide),
    ];
    for ty in PhysType::ALL {
        for (at, (build_how, probe_how)) in ways.into_iter().enumerate() {
            let nulls = [Nulls::OneIn(6), Nulls::None, Nulls::All, Nulls::OneIn(2)][at];
            let mut build = keys(ty, 250, 40, nulls, 1);
            let mut probe = keys(ty, 300, 60, Nulls::OneIn(7), 2);
            build.values.extend(data::extremes(ty).into_iter().map(Some));
            probe.values.extend(data::extremes(ty).into_iter().map(Some));
            for null_equals_null in [false, true] {
                check(
                    &device,
                    &Case {
                        build: vec![build.clone()],
                        probe: vec![probe.clone()],
                        build_how,
                        probe_how,
                        null_equals_null,
                        max_pairs: 1 << 20,
                    },
                );
            }
        }
    }
}

fn several_keys(target: Target) {
    use PhysType as T;
    let device = target.open();
    let lists: [&[T]; 6] = [
        &[T::I32, T::I16],
        &[T::Bool, T::U8],
        &[T::I64, T::U64],
        &[T::I64, T::I128, T::F32],
        &[T::F64, T::Bool, T::I8, T::U16, T::U32],
        &[T::U8; 34],
    ];
    for (at, list) in lists.into_iter().enumerate() {
        for null_equals_null in [false, true] {
            let side = |rows, nulls, seed: u64| -> Vec<HostColumn> {
                let distinct = if list.len() > 30 { 1 } else { 3 };
                let column =
                    |(k, ty): (usize, &T)| keys(*ty, rows, distinct, nulls, seed + k as u64);
                list.iter().enumerate().map(column).collect()
            };
            let case = Case {
                build: side(120, [Nulls::OneIn(20), Nulls::None][at % 2], 10),
                probe: side(400, Nulls::OneIn(40), 100),
                build_how: Presented::Packed(2),
                probe_how: [Presented::Wide, Presented::Packed(7)][at % 2],
                null_equals_null,
                max_pairs: 1 << 20,
            };
            check(&device, &case);
        }
    }
}

/// Batches around the sizes of warps, blocks and tiles, down to none at all.
fn sizes(target: Target) {
    let device = target.open();
    let list = [(0, 5), (5, 0), (0, 0), (1, 1), (31, 33), (32, 1025), (257, 65), (1025, 3000)];
    for (build, probe) in list {
        let distinct = (build / 2).max(2);
        check(
            &device,
            &Case {
                build: vec![keys(PhysType::I64, build, distinct, Nulls::OneIn(9), 5)],
                probe: vec![keys(PhysType::I64, probe, distinct + 3, Nulls::OneIn(9), 6)],
                build_how: Presented::Packed(0),
                probe_how: Presented::Packed(4),
                null_equals_null: false,
                max_pairs: 1 << 20,
            },
        );
    }
}

/// Half of the rows of either side have one key.
fn skewed(target: Target) {
    let device = target.open();
    let side = |rows: usize, seed: u64| {
        let mut c = keys(PhysType::I32, rows, 500, Nulls::OneIn(50), seed);
        c.values.iter_mut().step_by(2).for_each(|v| *v = Some(7));
        c
    };
    for (build, probe) in [(2000, 90), (90, 2000)] {
        let case = Case {
            build: vec![side(build, 1)],
            probe: vec![side(probe, 2)],
            build_how: Presented::Wide,
            probe_how: Presented::Packed(0),
            null_equals_null: false,
            max_pairs: 10_000,
        };
        check(&device, &case);
    }
}

/// Pieces that end within a row's pairs, within a tile, and after each pair.
fn pieces(target: Target) {
    let device = target.open();
    let mut build = keys(PhysType::U16, 700, 9, Nulls::OneIn(30), 3);
    build.values.iter_mut().take(300).for_each(|v| *v = Some(1));
    let mut probe = keys(PhysType::U16, 1100, 400, Nulls::OneIn(30), 4);
    probe.values[1030..1033].fill(Some(1));
    // The largest takes all at once, by the sums of whole tiles alone.
    for max_pairs in [7, 299, 300, 1024, (1 << 31) - 1] {
        // Pieces are many, so the batch is small for the smallest.
        probe.values.drain(..if max_pairs == 7 { 1000 } else { 0 });
        let mut case = Case {
            build: vec![build.clone()],
            probe: vec![probe.clone()],
            build_how: Presented::Packed(0),
            probe_how: Presented::Packed(0),
            null_equals_null: false,
            max_pairs,
        };
        if max_pairs == 7 {
            case.build[0].values.drain(..260);
            probe = keys(PhysType::U16, 1100, 400, Nulls::OneIn(30), 4);
            probe.values[1030..1033].fill(Some(1));
        }
        check(&device, &case);
    }
}

/// The rows of many pairs at each place of a tile in turn, where pieces must cut it.
fn cut_tiles(target: Target) {
    let device = target.open();
    let mut build = keys(PhysType::U16, 400, 9, Nulls::None, 3);
    build.values[..300].fill(Some(1));
    for at in [0, 300, 600, 900] {
        let mut probe = keys(PhysType::U16, 1100, 400, Nulls::OneIn(30), 4);
        probe.values[at..at + 100].fill(Some(1));
        let case = Case {
            build: vec![build.clone()],
            probe: vec![probe],
            build_how: Presented::Wide,
            probe_how: Presented::Wide,
            null_equals_null: false,
            max_pairs: 20_000,
        };
        check(&device, &case);
    }
}

fn random_joins(target: Target) {
    let device = target.open();
    let cases = if target == Target::Cpu { 128 } else { 6 };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    proptest!(config, |(seed: u64)| {
        let mut random = Random(seed);
        let count = 1 + random.below(3);
        let types: Vec<PhysType> =
            (0..count).map(|_| PhysType::ALL[random.below(12)]).collect();
        let mut side = |most: usize| -> Vec<HostColumn> {
            let (rows, distinct) = (random.below(most), 1 + random.below(60));
            let column = |ty: &PhysType| {
                let nulls = [Nulls::None, Nulls::OneIn(5)][random.below(2)];
                keys(*ty, rows, distinct, nulls, random.bits())
            };
            types.iter().map(column).collect()
        };
        let (build, probe) = (side(900), side(600));
        let how = [Presented::Packed(0), Presented::Packed(6), Presented::Wide];
        check(&device, &Case {
            build,
            probe,
            build_how: how[random.below(3)],
            probe_how: how[random.below(3)],
            null_equals_null: random.below(2) == 0,
            max_pairs: [1 << 20, 5_000][random.below(2)],
        });
    });
}

/// The partitioned build, on each kind of table: arrays of unique and of repeated codes, slots
/// of one word, of two, and of hashes.
#[test]
fn large_builds_on_cpu() {
    let device = Target::Cpu.open();
    let rows = 150_000u64;
    let mix = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let column = |ty, rows: u64, f: &dyn Fn(u64) -> u64| HostColumn {
        ty,
        values: (0..rows)
            .map(|i| (i % 97 != 5).then(|| conformance::host::truncate(ty, u128::from(f(i)))))
            .collect(),
    };
    let forms: [(PhysType, &dyn Fn(u64) -> u64); 5] = [
        (PhysType::I64, &|i| i.wrapping_mul(3).wrapping_sub(70_000)),
        (PhysType::I32, &|i| i / 3),
        (PhysType::I64, &|i| mix(i) >> 3),
        (PhysType::U64, &|i| mix(i / 2)),
        (PhysType::I128, &|i| mix(i / 5)),
    ];
    for (ty, f) in forms {
        for words in 1..=2 {
            let side = |rows: u64, shift: u64| -> Vec<HostColumn> {
                let mut all = vec![column(ty, rows, &|i| f(i + shift))];
                if words == 2 {
                    all.push(column(PhysType::U64, rows, &|i| mix(f(i + shift)) & 1023));
                }
                all
            };
            let case = Case {
                build: side(rows, 0),
                probe: side(60_000, 120_000),
                build_how: Presented::Packed(0),
                probe_how: Presented::Packed(3),
                null_equals_null: words == 2,
                max_pairs: 33_333,
            };
            check(&device, &case);
        }
    }
    // One key in half of the rows of many partitions.
    let hot = |i: u64| if i.is_multiple_of(2) { 42 } else { mix(i) };
    let case = Case {
        build: vec![column(PhysType::I64, rows, &hot)],
        probe: vec![column(PhysType::I64, 30, &hot)],
        build_how: Presented::Wide,
        probe_how: Presented::Wide,
        null_equals_null: false,
        max_pairs: 50_000,
    };
    check(&device, &case);
}

/// A table larger than a scan's tile, so that the scan has more than one level.
fn large_build(target: Target) {
    let case = Case {
        build: vec![keys(PhysType::I64, 30_000, 20_000, Nulls::OneIn(100), 8)],
        probe: vec![keys(PhysType::I64, 70_000, 30_000, Nulls::OneIn(100), 9)],
        build_how: Presented::Packed(0),
        probe_how: Presented::Packed(0),
        null_equals_null: false,
        max_pairs: 40_000,
    };
    check(&target.open(), &case);
}

/// One table, probed by several threads at once.
#[test]
fn threads_share_a_table() {
    for target in [Target::Cpu, Target::Emulated] {
        let device = target.open();
        let build = keys(PhysType::I64, 5000, 3000, Nulls::None, 1);
        let mut queue = device.queue().unwrap();
        let mut r = device.pool().reserve(0).unwrap();
        let column = build.upload(&*device, &mut *queue, Presented::Packed(0));
        let batch = DeviceBatch { rows: 5000, columns: vec![column] };
        let options = JoinOptions { marks: Marks::Keys, ..JoinOptions::default() };
        let table = JoinTable::build(&device, &mut *queue, &mut r, &batch, &[0], options).unwrap();
        queue.synchronize().unwrap();
        std::thread::scope(|s| {
            for t in 0..4 {
                let (table, device, batch) = (&table, &device, &batch);
                s.spawn(move || {
                    let mut queue = device.queue().unwrap();
                    let mut r = device.pool().reserve(0).unwrap();
                    let mut probe =
                        table.probe(&mut *queue, &mut r, batch, &[0], t % 2 == 0).unwrap();
                    let mut pairs = 0;
                    while let Some(piece) = probe.next(&mut *queue, &mut r).unwrap() {
                        pairs += piece.n;
                    }
                    assert!(pairs >= 5000);
                    queue.synchronize().unwrap();
                });
            }
        });
        let left = table.unmatched_build(&mut *queue, &mut r).unwrap();
        assert_eq!(left.n, 0, "{target:?}");
    }
}

fn refusals(target: Target) {
    let device = target.open();
    let mut queue = device.queue().unwrap();
    let mut r = device.pool().reserve(0).unwrap();
    let column = |ty, rows, queue: &mut dyn windlass_device::Queue| {
        keys(ty, rows, 5, Nulls::OneIn(4), 1).upload(&*device, queue, Presented::Packed(0))
    };
    let columns =
        vec![column(PhysType::I64, 50, &mut *queue), column(PhysType::I32, 50, &mut *queue)];
    let batch = DeviceBatch { rows: 50, columns };
    let options = JoinOptions::default();
    let mut build = |batch: &DeviceBatch, keys: &[usize], options| {
        let out = JoinTable::build(&device, &mut *queue, &mut r, batch, keys, options);
        out.map(|t| (t.rows(), t))
    };
    let invalid = |e: Result<(usize, JoinTable), KernelError>| {
        assert!(matches!(e, Err(KernelError::Invalid { .. })), "{e:?}");
    };
    invalid(build(&batch, &[], options));
    invalid(build(&batch, &[2], options));
    invalid(build(&batch, &[0], JoinOptions { max_pairs: 0, ..options }));
    invalid(build(&DeviceBatch { rows: 500, ..batch.clone() }, &[1], options));
    let (rows, table) = build(&batch, &[0], options).unwrap();
    assert_eq!((rows, table.key_types()), (50, &[PhysType::I64][..]));
    assert!(table.bytes() > 0);
    for keys in [&[1][..], &[0, 1], &[], &[7]] {
        assert!(table.probe(&mut *queue, &mut r, &batch, keys, false).is_err());
        assert!(table.exists(&mut *queue, &mut r, &batch, keys).is_err());
    }
    // Marks that were not asked for.
    let mut probe = table.probe(&mut *queue, &mut r, &batch, &[0], false).unwrap();
    let pairs = probe.next(&mut *queue, &mut r).unwrap().unwrap();
    assert!(table.mark_matched(&mut *queue, &mut r, &pairs).is_err());
    assert!(table.unmatched_build(&mut *queue, &mut r).is_err());
}
