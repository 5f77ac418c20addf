//! Operations over columns and rows.

use conformance::Target;
use windlass_kernels::{
    DeviceBatch, DeviceColumn, PhysType, Storage, Validity,
    compact::{self, Tiles},
    gather, hash,
    partition::{self, MAX_PARTS, Partitions},
    reduce,
    scan::{self, Scan, ScanOp},
    sort,
    window::{self, Bound, End, Frame, FrameOp, Keys, Pick},
};

use crate::{
    Bad,
    args::{ROWS, TOO_MANY, by},
    refuse, refuse_on_cpu, refused,
};

/// Scans, ranks and compaction.
pub(crate) fn running_results(target: Target) {
    let mut bad = Bad::new(target);
    let op = ScanOp::Max;
    let by_starts = Scan { op, exclusive: false };
    let starts = bad.zeros(ROWS);
    for (what, c) in bad.bad_columns(PhysType::I32) {
        refuse!(bad, what, scan::inclusive(&c, ROWS, op));
        refuse!(bad, what, scan::exclusive(&c, ROWS, op));
        refuse!(bad, what, scan::segmented(&c, ROWS, &starts, by_starts));
    }
    let good = bad.column(PhysType::I32);
    for rows in [TOO_MANY, usize::MAX] {
        refuse!(bad, "too many rows", scan::inclusive(&good, rows, op));
        refuse!(bad, "too many rows", scan::row_number(&starts, rows));
        refuse!(bad, "too many rows", scan::rank(&starts, &starts, rows));
        refuse!(bad, "too many rows", scan::dense_rank(&starts, &starts, rows));
    }
    for ty in [PhysType::Bool, PhysType::I8, PhysType::I128] {
        let c = bad.column(ty);
        refuse!(bad, "a type that is not scanned", scan::inclusive(&c, ROWS, op));
    }
    for (what, short) in [("too few words", bad.zeros(ROWS - 1)), ("other", bad.elsewhere(ROWS))] {
        refuse!(bad, what, scan::segmented(&good, ROWS, &short, by_starts));
        refuse!(bad, what, scan::row_number(&short, ROWS));
        refuse!(bad, what, scan::rank(&short, &starts, ROWS));
        refuse!(bad, what, scan::rank(&starts, &short, ROWS));
        refuse!(bad, what, scan::dense_rank(&short, &starts, ROWS));
        refuse!(bad, what, scan::dense_rank(&starts, &short, ROWS));
    }

    let (data, other) = (bad.zeros(8), bad.elsewhere(8));
    refuse!(bad, "words past the end", scan::exclusive_scan(&data, 1, 8, None));
    refuse!(bad, "words past 32 bits", scan::exclusive_scan(&data, u32::MAX, u32::MAX, None));
    refuse!(bad, "a total past the end", scan::exclusive_scan(&data, 0, 8, Some(8)));
    refuse!(bad, "a total far past the end", scan::exclusive_scan(&data, 0, 8, Some(u32::MAX)));
    refuse!(bad, "a total among the words", scan::exclusive_scan(&data, 2, 4, Some(5)));
    refuse!(bad, "another device", scan::exclusive_scan(&other, 0, 8, None));
    gaps(&mut bad);
}

/// What is wrong, the offsets, and words that a GPU writes.
type Gaps = (&'static str, [u32; 3], &'static [(usize, u32)]);

fn gaps(bad: &mut Bad) {
    let from = bad.words(&(0..24).collect::<Vec<_>>());
    let (to, offsets, other) = (bad.zeros(24), bad.words(&[9, 0, 3, 4]), bad.elsewhere(24));
    let good = Tiles { tiles: 3, tile: 8, offsets: &offsets, first: 1, total: 9 };
    let short = bad.zeros(15);
    let cases = [
        ("values of no words", &from, good, 0, &to),
        ("values of 3 words", &from, good, 3, &to),
        ("values of 2^31 words", &from, good, 1 << 31, &to),
        ("a result that is too short", &from, good, 1, &bad.zeros(8)),
        ("a result on another device", &from, good, 1, &other),
        ("tiles that are too short", &short, good, 1, &to),
        ("tiles on another device", &other, good, 1, &to),
        ("more values than tiles hold", &from, Tiles { total: 25, ..good }, 1, &bad.zeros(99)),
        ("no tiles", &from, Tiles { tiles: 0, ..good }, 1, &to),
        ("tiles of no values", &from, Tiles { tile: 0, ..good }, 1, &to),
        ("2^32 tiles", &from, Tiles { tiles: u32::MAX, ..good }, 1, &to),
        ("tiles of 2^32 values", &from, Tiles { tile: u32::MAX, ..good }, 1, &to),
        ("offsets that are too short", &from, Tiles { first: 2, ..good }, 1, &to),
        ("offsets far past the end", &from, Tiles { first: u32::MAX, ..good }, 1, &to),
        ("offsets on another device", &from, Tiles { offsets: &other, ..good }, 1, &to),
    ];
    for (what, from, tiles, words, to) in cases {
        let result = compact::close_gaps(&*bad.device, &mut *bad.queue, from, tiles, words, to);
        refused("compact::close_gaps", what, result);
    }
    // Offsets that are no scan: a GPU copies what lies in both buffers.
    let cases: [Gaps; 4] = [
        ("offsets that fall", [0, 8, 2], &[(0, 0), (1, 1), (8, 22)]),
        ("more values than a tile has", [0, 0, 0], &[(0, 16), (7, 23), (8, u32::MAX)]),
        ("offsets past the result", [0, 3, 1 << 31], &[(0, 0), (2, 2), (3, 8), (8, 13)]),
        ("offsets from 1 on", [1, 3, 9], &[(0, u32::MAX), (1, 0), (3, 8), (8, 13)]),
    ];
    for (what, starts, want) in cases {
        let (offsets, to) = (bad.words(&starts), bad.words(&[u32::MAX; 9]));
        let tiles = Tiles { offsets: &offsets, first: 0, ..good };
        let result = compact::close_gaps(&*bad.device, &mut *bad.queue, &from, tiles, 1, &to);
        if bad.cpu {
            refused("compact::close_gaps", what, result);
            continue;
        }
        result.unwrap();
        let got = bad.read(&to);
        // Which of two tiles that are sent to one place is there is not defined.
        let sent = |v: u32| v == u32::MAX || from_tile(&starts, v, &got);
        assert!(got.iter().all(|v| sent(*v)), "{what}: {got:?}");
        for (at, value) in want {
            assert_eq!(got[*at], *value, "{what}: word {at} of {got:?}");
        }
    }
    // A last tile that has room for less values than the others.
    let few = bad.words(&(0..12).collect::<Vec<_>>());
    for (what, offset, total) in [
        ("more values than the tiles have room for", 8, 16),
        ("more values than the last tile has room for", 4, 12),
    ] {
        let (offsets, to) = (bad.words(&[0, offset]), bad.words(&[u32::MAX; 16]));
        let tiles = Tiles { tiles: 2, tile: 8, offsets: &offsets, first: 0, total };
        let result = compact::close_gaps(&*bad.device, &mut *bad.queue, &few, tiles, 1, &to);
        if bad.cpu || total == 16 {
            refused("compact::close_gaps", what, result);
        } else {
            result.unwrap();
            let got = [&[0, 1, 2, 3, 8, 9, 10, 11][..], &[u32::MAX; 8]].concat();
            assert_eq!(bad.read(&to), got, "{what}");
        }
    }
}

/// Whether a value lies where its tile was sent.
fn from_tile(starts: &[u32; 3], value: u32, got: &[u32]) -> bool {
    let (tile, inside) = (value as usize / 8, value % 8);
    got.get((starts[tile] + inside) as usize) == Some(&value)
}

/// Reductions.
pub(crate) fn single_values(target: Target) {
    let mut bad = Bad::new(target);
    let good = bad.column(PhysType::I32);
    for (what, c) in bad.bad_columns(PhysType::I32) {
        refuse!(bad, what, reduce::sum(&c, ROWS, None));
        refuse!(bad, what, reduce::count(&c, ROWS, None));
        refuse!(bad, what, reduce::min(&c, ROWS, None));
        refuse!(bad, what, reduce::max(&c, ROWS, None));
        refuse!(bad, what, reduce::arg_min(&c, ROWS, None));
        refuse!(bad, what, reduce::arg_max(&c, ROWS, None));
        refuse!(bad, what, reduce::moments(&c, ROWS, None));
        refuse!(bad, what, reduce::co_moments(&c, &good, ROWS, None));
        refuse!(bad, what, reduce::co_moments(&good, &c, ROWS, None));
    }
    for (what, c) in bad.bad_columns(PhysType::Bool) {
        refuse!(bad, what, reduce::any(&c, ROWS, None));
        refuse!(bad, what, reduce::all(&c, ROWS, None));
        refuse!(bad, what, reduce::count(&c, ROWS, None));
    }
    let bools = bad.column(PhysType::Bool);
    let few = ("too few selected rows", bad.zeros(ROWS - 1));
    for (what, selected) in [few, ("a selection on another device", bad.elsewhere(ROWS))] {
        let selected = Some(&selected);
        refuse!(bad, what, reduce::sum(&good, ROWS, selected));
        refuse!(bad, what, reduce::count(&good, ROWS, selected));
        refuse!(bad, what, reduce::any(&bools, ROWS, selected));
        refuse!(bad, what, reduce::all(&bools, ROWS, selected));
        refuse!(bad, what, reduce::min(&good, ROWS, selected));
        refuse!(bad, what, reduce::arg_max(&good, ROWS, selected));
        refuse!(bad, what, reduce::moments(&good, ROWS, selected));
        refuse!(bad, what, reduce::co_moments(&good, &good, ROWS, selected));
    }
    refuse!(bad, "booleans", reduce::sum(&bools, ROWS, None));
    refuse!(bad, "booleans", reduce::moments(&bools, ROWS, None));
    refuse!(bad, "booleans", reduce::co_moments(&good, &bools, ROWS, None));
    refuse!(bad, "integers", reduce::any(&good, ROWS, None));
    refuse!(bad, "integers", reduce::all(&good, ROWS, None));
    for rows in [TOO_MANY, usize::MAX] {
        refuse!(bad, "too many rows", reduce::sum(&good, rows, None));
        refuse!(bad, "too many rows", reduce::max(&good, rows, None));
        refuse!(bad, "too many rows", reduce::count(&good, rows, None));
    }
}

/// Gather, hashes and partitions.
pub(crate) fn moved_rows(target: Target) {
    let mut bad = Bad::new(target);
    let good = bad.batch(&[PhysType::I32, PhysType::Bool]);
    let rows = bad.zeros(ROWS);
    for ty in [PhysType::I32, PhysType::Bool, PhysType::I8, PhysType::I128] {
        for (what, batch) in bad.bad_batches(ty) {
            let columns = DeviceBatch { rows: ROWS, columns: vec![bad.column(ty)] };
            refuse!(bad, what, gather::gather(&batch, &rows, 1, false));
            refuse!(bad, what, gather::scatter(&batch, &rows, ROWS, true));
            refuse!(bad, what, gather::concat(&[columns.clone(), batch.clone()]));
            refuse!(bad, what, gather::concat(std::slice::from_ref(&batch)));
            refuse!(bad, what, gather::slice(&batch, 1, 1));
            refuse!(bad, what, gather::widen(&batch.columns[0], batch.rows));
            refuse!(bad, what, hash::hash_rows(&batch, &[0]));
            refuse!(bad, what, partition::by_hash(&batch, &[0], 4));
            refuse!(bad, what, partition::by_range(&batch, &[by(0)], &columns));
            refuse!(bad, what, partition::by_range(&columns, &[by(0)], &batch));
        }
    }
    for (what, few) in [("too few numbers", bad.zeros(3)), ("elsewhere", bad.elsewhere(ROWS))] {
        refuse!(bad, what, gather::gather(&good, &few, 4, true));
        refuse!(bad, what, gather::scatter(&good, &few, ROWS, false));
    }
    for n in [TOO_MANY, usize::MAX] {
        refuse!(bad, "too many rows", gather::gather(&good, &rows, n, true));
        refuse!(bad, "too many rows", gather::scatter(&good, &rows, n, true));
        refuse!(bad, "too many rows", gather::slice(&good, 1, n));
        refuse!(bad, "an offset past the end", gather::slice(&good, n, 1));
        refuse!(bad, "too many rows", gather::widen(&good.columns[0], n));
        refuse!(bad, "too many rows", partition::round_robin(n, 4));
        refuse!(bad, "too many parts", partition::round_robin(9, n));
        refuse!(bad, "too many parts", partition::by_hash(&good, &[0], n));
    }
    let empty = DeviceBatch { rows: 0, ..good.clone() };
    refuse!(bad, "rows of an empty batch", gather::gather(&empty, &rows, 1, false));
    refuse!(bad, "no batches", gather::concat(&[]));
    let turned = bad.batch(&[PhysType::Bool, PhysType::I32]);
    refuse!(bad, "columns of other types", gather::concat(&[good.clone(), turned.clone()]));
    let fewer = DeviceBatch { columns: vec![good.columns[0].clone()], ..good };
    refuse!(bad, "fewer columns", gather::concat(&[good.clone(), fewer.clone()]));
    let outside = bad.words(&[ROWS as u32; ROWS]);
    refuse_on_cpu!(bad, "rows that are not there", gather::gather(&good, &outside, 9, false));
    refuse_on_cpu!(bad, "rows that are not there", gather::gather(&good, &outside, 9, true));
    refuse_on_cpu!(bad, "places that are not there", gather::scatter(&good, &outside, 9, false));

    refuse!(bad, "no columns", hash::hash_rows(&good, &[]));
    refuse!(bad, "a column that is not there", hash::hash_rows(&good, &[0, 2]));
    refuse!(bad, "a column that is not there", hash::hash_rows(&good, &[usize::MAX]));
    refuse!(bad, "no columns", partition::by_hash(&good, &[], 4));
    refuse!(bad, "no parts", partition::by_hash(&good, &[0], 0));
    refuse!(bad, "no keys", partition::by_range(&good, &[], &fewer));
    refuse!(bad, "a column that is not there", partition::by_range(&good, &[by(2)], &fewer));
    refuse!(bad, "splitters of another type", partition::by_range(&good, &[by(1)], &fewer));
    refuse!(bad, "too few splitters", partition::by_range(&good, &[by(0), by(1)], &fewer));
    refuse!(bad, "no parts", partition::round_robin(9, 0));
    sizes(&mut bad);
}

fn sizes(bad: &mut Bad) {
    let (device, queue, reservation) = bad.on();
    let good = partition::round_robin(device, queue, reservation, 10, 4).unwrap();
    assert_eq!(good.sizes(&mut *bad.queue).unwrap(), [3, 3, 2, 2]);
    let (short, falls) = (bad.zeros(4), bad.words(&[0, 5, 3, 8, 10]));
    for (what, partitions) in [
        ("offsets that are too short", Partitions { offsets: short, ..good.clone() }),
        ("offsets that fall", Partitions { offsets: falls, ..good.clone() }),
        ("another number of rows", Partitions { rows: 11, ..good.clone() }),
        ("no parts", Partitions { parts: 0, ..good.clone() }),
        ("too many parts", Partitions { parts: MAX_PARTS + 1, ..good.clone() }),
        ("parts past counting", Partitions { parts: usize::MAX, ..good }),
    ] {
        refused("partition::Partitions::sizes", what, partitions.sizes(&mut *bad.queue));
    }
}

/// Sorts and windows.
pub(crate) fn columns_in_order(target: Target) {
    let mut bad = Bad::new(target);
    let good = bad.batch(&[PhysType::I32]);
    let keys = [by(0)];
    for ty in [PhysType::I32, PhysType::Bool, PhysType::I128] {
        for (what, batch) in bad.bad_batches(ty) {
            refuse!(bad, what, sort::sort_indices(&batch, &keys));
            refuse!(bad, what, sort::top_k(&batch, &keys, 3));
            refuse!(bad, what, sort::top_k_per_group(&batch, &keys, &[], 3));
            refuse!(bad, what, sort::top_k_per_group(&batch, &[], &keys, 3));
            refuse!(bad, what, sort::merge(&batch, &[batch.rows], &keys));
            refuse!(bad, what, sort::boundaries(&batch, &keys));
        }
    }
    for column in [1, usize::MAX] {
        let (what, keys) = ("a column that is not there", [by(0), by(column)]);
        refuse!(bad, what, sort::sort_indices(&good, &keys));
        refuse!(bad, what, sort::top_k(&good, &keys, 3));
        refuse!(bad, what, sort::top_k_per_group(&good, &keys, &[], 3));
        refuse!(bad, what, sort::merge(&good, &[ROWS], &keys));
        refuse!(bad, what, sort::boundaries(&good, &keys));
    }
    for runs in [&[ROWS - 1][..], &[ROWS, 1], &[], &[usize::MAX, ROWS + 1]] {
        refuse!(bad, "runs of other rows", sort::merge(&good, runs, &keys));
    }
    // SQL's LIMIT: where there are fewer than `k` rows all are taken, and no more are read.
    for k in [ROWS + 1, usize::MAX] {
        let (device, queue, reservation) = bad.on();
        let top = sort::top_k(device, queue, reservation, &good, &keys, k).unwrap();
        assert_eq!(top.1, ROWS, "k of {k}");
        let (device, queue, reservation) = bad.on();
        let top = sort::top_k_per_group(device, queue, reservation, &good, &keys, &keys, k);
        assert_eq!(top.unwrap().1, ROWS, "k of {k}");
    }
    windows(&mut bad);
}

fn windows(bad: &mut Bad) {
    let (starts, all) = (bad.zeros(ROWS), Frame::PARTITION);
    for (what, short) in [("too few words", bad.zeros(ROWS - 1)), ("other", bad.elsewhere(ROWS))] {
        refuse!(bad, what, window::frames((&short, &starts), ROWS, all));
        refuse!(bad, what, window::frames((&starts, &short), ROWS, all));
    }
    for rows in [TOO_MANY, usize::MAX] {
        refuse!(bad, "too many rows", window::frames((&starts, &starts), rows, all));
    }
    // Ends as far as 32 bits go stop at the partition's.
    let far = Frame { start: Bound::Before(u32::MAX), end: Bound::After(u32::MAX) };
    let (device, queue, reservation) = bad.on();
    let pair = (&starts, &starts);
    let frames = window::frames(device, queue, reservation, pair, ROWS, far).unwrap();
    let (low, high) = frames.bounds();
    let (low, high) = (low.clone(), high.clone());
    assert_eq!(bad.read(&low)[..ROWS], [0; ROWS]);
    assert_eq!(bad.read(&high)[..ROWS], [ROWS as u32; ROWS]);

    for (what, c) in bad.bad_columns(PhysType::I32) {
        refuse!(bad, what, window::aggregate(&c, &frames, FrameOp::Max));
        refuse!(bad, what, window::count(&c, &frames));
        refuse!(bad, what, window::pick_valid(&c, &frames, Pick::FromFirst(0)));
        let good = bad.column(PhysType::I32);
        let by = |column| Keys { column, descending: false, nulls_first: false };
        let ends = |column| [End::Bound(Bound::Partition), End::Value(column)];
        refuse!(bad, what, window::range_frames(pair, ROWS, by(&c), ends(&good)));
        refuse!(bad, what, window::range_frames(pair, ROWS, by(&good), ends(&c)));
        let other = bad.column(PhysType::U32);
        let what = "values of another type than the keys";
        refuse!(bad, what, window::range_frames(pair, ROWS, by(&good), ends(&other)));
    }
    let (bools, bytes) = (bad.column(PhysType::Bool), bad.column(PhysType::I8));
    refuse!(bad, "booleans", window::aggregate(&bools, &frames, FrameOp::Min));
    refuse!(bad, "a sum of bytes", window::aggregate(&bytes, &frames, FrameOp::Sum));
    refuse!(bad, "a spread of bytes", window::aggregate(&bytes, &frames, FrameOp::Spread));
    let mut elsewhere = Bad::new(if bad.cpu { Target::Emulated } else { Target::Cpu });
    let (device, queue, reservation) = elsewhere.on();
    let words = device.alloc(reservation, ROWS * 4).unwrap();
    queue.fill(&words, 0).unwrap();
    let other = window::frames(device, queue, reservation, (&words, &words), ROWS, far).unwrap();
    let good = bad.column(PhysType::I32);
    let nulls = DeviceColumn { validity: Validity::All, storage: Storage::Packed, ..good.clone() };
    let what = "frames of another device";
    refuse!(bad, what, window::pick(&other, Pick::FromFirst(0)));
    refuse!(bad, what, window::aggregate(&good, &other, FrameOp::Max));
    refuse!(bad, what, window::count(&nulls, &other));
    refuse!(bad, what, window::pick_valid(&good, &other, Pick::FromFirst(0)));
}
