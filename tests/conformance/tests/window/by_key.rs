//! Frames by the distance of keys, rows that are not null, and spreads, against plain loops.

use std::cmp::Ordering;

use conformance::{
    Bench, HostColumn, Target,
    data::{self, Random},
};
use windlass_device::Backend;
use windlass_kernels::{
    PhysType, Storage,
    window::{self, Bound, End, Frame, FrameOp, Keys, Pick},
};

use super::{FRAMES, Sorted, WAYS, aggregate, can, download, frames, key};

/// The order of two keys; `None` is null.
fn order(
    ty: PhysType,
    (descending, nulls_first): (bool, bool),
    a: Option<u128>,
    b: Option<u128>,
) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => key(ty, b).cmp(&key(ty, a)),
        (Some(a), Some(b)) => key(ty, a).cmp(&key(ty, b)),
        (None, None) => Ordering::Equal,
        (None, Some(_)) if nulls_first => Ordering::Less,
        (Some(_), None) if !nulls_first => Ordering::Less,
        _ => Ordering::Greater,
    }
}

/// Which values the ends of a frame stand at.
#[derive(Debug, Clone, Copy)]
enum Side {
    Bound(Bound),
    Value,
}

const ENDS: [[Side; 2]; 7] = [
    [Side::Value, Side::Bound(Bound::Peers)],
    [Side::Value, Side::Bound(Bound::Partition)],
    [Side::Bound(Bound::Partition), Side::Value],
    [Side::Bound(Bound::Peers), Side::Value],
    [Side::Bound(Bound::After(0)), Side::Value],
    [Side::Value, Side::Bound(Bound::Before(2))],
    [Side::Value, Side::Value],
];

/// Keys of every type in every order, values of any order and values near the rows' own.
pub(super) fn distances(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    for (turn, ty) in PhysType::ALL.into_iter().enumerate() {
        // For one type more rows than threads that run at once.
        let most = if ty == PhysType::I64 { 2600 } else { 700 };
        for (way, rows) in [0, 1, 33, 257, most].into_iter().enumerate() {
            let (nulls, how) = WAYS[(way + turn) % 4];
            let options = ((way + turn).is_multiple_of(2), (way / 2 + turn).is_multiple_of(2));
            let sorted = Sorted::new(rows, [20, 200][way % 2], (way + turn) as u64);
            let partitions = sorted.frames(Frame::PARTITION);
            let mut keys = data::column(ty, rows, nulls, rows as u64 + turn as u64);
            // Values that are not in the order of the rows, or stand close to the rows' keys.
            let any = data::column(ty, rows, WAYS[way % 4].0, 99 + turn as u64).values;
            let mut at = 0;
            while at < rows {
                let end = partitions[at].1 as usize;
                keys.values[at..end].sort_by(|a, b| order(ty, options, *a, *b));
                at = end;
            }
            let near: Vec<_> = (0..rows).map(|row| keys.values[row.saturating_sub(5)]).collect();
            let column = keys.upload(&*device, bench.queue(), how);
            let words = sorted.upload(&mut bench);
            for values in [any, near] {
                let values = HostColumn { ty, values };
                let uploaded = values.upload(&*device, bench.queue(), WAYS[(way + 1) % 4].1);
                for ends in ENDS {
                    let side = |side| match side {
                        Side::Bound(bound) => End::Bound(bound),
                        Side::Value => End::Value(&uploaded),
                    };
                    let (descending, nulls_first) = options;
                    let by = Keys { column: &column, descending, nulls_first };
                    let mut r = device.pool().reserve(0).unwrap();
                    let queue = bench.queue();
                    let pair = (&words.0, &words.1);
                    let got = window::range_frames(
                        &*device,
                        queue,
                        &mut r,
                        pair,
                        rows,
                        by,
                        ends.map(side),
                    );
                    let got = got.unwrap();
                    let low = download(&mut bench, got.bounds().0, rows);
                    let high = download(&mut bench, got.bounds().1, rows);
                    let want = plain(&sorted, &keys, options, &values, ends);
                    let pairs = low.iter().zip(&high).map(|(l, h)| (i64::from(*l), i64::from(*h)));
                    for (row, (got, want)) in pairs.zip(&want).enumerate() {
                        assert_eq!(got, *want, "{ends:?} {ty} {options:?} {rows}: row {row}");
                    }
                }
            }
        }
    }
}

/// Frames row by row, by looking at all rows of the partition.
fn plain(
    sorted: &Sorted,
    keys: &HostColumn,
    options: (bool, bool),
    values: &HostColumn,
    [start, end]: [Side; 2],
) -> Vec<(i64, i64)> {
    let bound = |side| match side {
        Side::Bound(bound) => bound,
        Side::Value => Bound::Partition,
    };
    let frames = sorted.frames(Frame { start: bound(start), end: bound(end) });
    let partitions = sorted.frames(Frame::PARTITION);
    let row = |row: usize| {
        let (first, after) = partitions[row];
        let (mut low, mut high) = frames[row];
        let place = |order_of: &dyn Fn(Ordering) -> bool| {
            let before = |r: &i64| {
                let (key, value) = (keys.values[*r as usize], values.values[row]);
                order_of(order(keys.ty, options, key, value))
            };
            first + (first..after).filter(before).count() as i64
        };
        if let Side::Value = start {
            low = place(&Ordering::is_lt).min(high);
        }
        if let Side::Value = end {
            high = place(&Ordering::is_le).max(low);
        }
        (low, high)
    };
    (0..keys.rows()).map(row).collect()
}

pub(super) fn rows_that_are_not_null(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    for (way, rows) in [0, 1, 33, 64, 300, 4500].into_iter().enumerate() {
        let (nulls, how) = WAYS[way % 4];
        let c = data::column(PhysType::I16, rows, nulls, way as u64);
        let column = c.upload(&*device, bench.queue(), how);
        let sorted = Sorted::new(rows, 50, 7 + way as u64);
        let words = sorted.upload(&mut bench);
        for frame in FRAMES {
            let bounds = sorted.frames(frame);
            let on_device = frames(&mut bench, &words, rows, frame);
            for which in [
                Pick::FromFirst(0),
                Pick::FromFirst(2),
                Pick::FromFirst(u32::MAX),
                Pick::FromLast(0),
                Pick::FromLast(3),
            ] {
                let mut r = device.pool().reserve(0).unwrap();
                let queue = bench.queue();
                let picked =
                    window::pick_valid(&*device, queue, &mut r, &column, &on_device, which);
                let picked = download(&mut bench, &picked.unwrap(), rows);
                for (row, (picked, (low, high))) in picked.iter().zip(&bounds).enumerate() {
                    let mut valid = (*low..*high).filter(|r| c.values[*r as usize].is_some());
                    let want = match which {
                        Pick::FromFirst(k) => valid.nth(k as usize),
                        Pick::FromLast(k) => valid.rev().nth(k as usize),
                    };
                    let want = want.map_or(u32::MAX, |row| row as u32);
                    assert_eq!(*picked, want, "{which:?} {frame:?} of {rows} rows: row {row}");
                }
            }
        }
    }
}

/// Spreads, also far from zero, within the bound of algorithms that update means: the number of
/// values times the condition number times a unit in the last place (Chan, Golub and LeVeque,
/// 1983), four times.
pub(super) fn spreads(target: Target) {
    let mut bench = Bench::new(target);
    let (ty, op) = (PhysType::F64, FrameOp::Spread);
    if !can(&bench, ty, op) {
        return;
    }
    let device = bench.device_arc();
    for (way, rows) in [0, 1, 33, 257, 1500].into_iter().enumerate() {
        let mut random = Random(way as u64);
        let far = [0.0, 1e9][way % 2];
        let keep = [3, usize::MAX][way / 2 % 2];
        let value = |row: usize| {
            let value = far + random.below(1 << 20) as f64 / 64.0;
            (row % 7 != keep).then_some(u128::from(value.to_bits()))
        };
        let c = HostColumn { ty, values: (0..rows).map(value).collect() };
        let column = c.upload(&*device, bench.queue(), WAYS[way % 4].1);
        let sorted = Sorted::new(rows, 300, 11);
        let words = sorted.upload(&mut bench);
        for frame in FRAMES {
            let on_device = frames(&mut bench, &words, rows, frame);
            let got = aggregate(&mut bench, &column, &on_device, op).unwrap();
            let cpu = device.info().backend == Backend::Cpu;
            assert_eq!(got.storage, if cpu { Storage::Packed } else { Storage::Wide });
            let got = HostColumn::download(bench.queue(), &got, rows);
            for (row, (got, (low, high))) in got.values.iter().zip(sorted.frames(frame)).enumerate()
            {
                let values = c.values[low as usize..high as usize].iter().flatten();
                let values: Vec<f64> = values.map(|v| f64::from_bits(*v as u64)).collect();
                let Some(got) = got else {
                    assert!(values.is_empty(), "{frame:?} {row}");
                    continue;
                };
                let n = values.len() as f64;
                let mean = values.iter().sum::<f64>() / n;
                let want: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
                let all: f64 = values.iter().map(|v| v * v).sum();
                let bound = 4.0 * n * (all * want).sqrt() * f64::EPSILON;
                let off = f64::from_bits(*got as u64) - want;
                assert!(off.abs() <= bound, "{off} of {bound} in {frame:?}, row {row}");
            }
        }
    }
}
