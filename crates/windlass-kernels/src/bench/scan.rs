//! Benches of running results.

use std::{hint::black_box, sync::Arc};

use arrow::datatypes::Int64Type;

use super::{
    Bench,
    case::{Case, differ},
    host::{On, array, random},
};
use crate::{
    column::DeviceColumn,
    error::Result,
    scan::{
        Scan, ScanOp, dense_rank, exclusive, exclusive_scan, inclusive, rank, row_number, segmented,
    },
};

/// Rows of a partition, on average, of the benches with partitions.
const PARTITION: usize = 100;

pub(super) fn benches() -> Vec<Bench> {
    vec![
        Bench::new(
            "scan/inclusive/sum_i64",
            "running sum of i64; floor: 8 bytes a row read, 8 written",
            |on, n| prefix(on, n, ScanOp::Sum, false),
        ),
        Bench::new(
            "scan/exclusive/sum_i64",
            "sum of the i64 before each row; floor: 8 bytes a row read, 8 written",
            |on, n| prefix(on, n, ScanOp::Sum, true),
        ),
        Bench::new(
            "scan/inclusive/max_i64",
            "greatest i64 so far; floor: 8 bytes a row read, 8 written",
            |on, n| prefix(on, n, ScanOp::Max, false),
        ),
        Bench::new(
            "scan/segmented/sum_i64",
            "running sum that begins anew about every 100 rows; floor: 12 bytes a row read, 8 written",
            segments,
        ),
        Bench::new(
            "scan/exclusive_scan/words",
            "sums of 32-bit counts in place; floor: 4 bytes a row read, 4 written; on the host ours \
             brings them from the device's memory and back, the loop sums where they lie",
            words,
        ),
        Bench::new(
            "scan/row_number/100_rows",
            "row numbers in partitions of about 100 rows; floor: 4 bytes a row read, 4 written",
            |on, n| {
                ranks(
                    on,
                    n,
                    4,
                    |on, s, _, n| {
                        row_number(&*on.device, &mut *on.queue, &mut on.reservation, s, n)
                    },
                    |row, _, _| row,
                )
            },
        ),
        Bench::new(
            "scan/rank/100_rows",
            "ranks in partitions of about 100 rows; floor: 8 bytes a row read, 4 written",
            |on, n| {
                ranks(
                    on,
                    n,
                    8,
                    |on, s, p, n| rank(&*on.device, &mut *on.queue, &mut on.reservation, s, p, n),
                    |_, rank, _| rank,
                )
            },
        ),
        Bench::new(
            "scan/dense_rank/100_rows",
            "dense ranks in partitions of about 100 rows; floor: 8 bytes a row read, 4 written",
            |on, n| {
                ranks(
                    on,
                    n,
                    8,
                    |on, s, p, n| {
                        dense_rank(&*on.device, &mut *on.queue, &mut on.reservation, s, p, n)
                    },
                    |_, _, dense| dense,
                )
            },
        ),
    ]
}

/// What plain code makes of the values; the sum before the first row is 0.
fn running(values: &[i64], starts: Option<&[u32]>, op: ScanOp, exclusive: bool) -> Vec<i64> {
    let mut so_far = None;
    let row = |(i, v): (usize, &i64)| {
        if starts.is_some_and(|s| s[i] != 0) {
            so_far = None;
        }
        let before = so_far;
        so_far = Some(match (op, so_far) {
            (_, None) => *v,
            (ScanOp::Sum, Some(s)) => v.wrapping_add(s),
            (ScanOp::Min, Some(s)) => s.min(*v),
            (ScanOp::Max, Some(s)) => s.max(*v),
        });
        if exclusive { before } else { so_far }.unwrap_or(0)
    };
    values.iter().enumerate().map(row).collect()
}

fn prefix(on: &mut On, n: usize, op: ScanOp, before: bool) -> Result<Case> {
    let values: Arc<Vec<i64>> = Arc::new(random(n, 1, |r| r.next() as i64));
    let column = on.column(&array::<Int64Type>(values.to_vec()))?;
    let theirs = Arc::clone(&values);
    let run = move |on: &mut On| {
        let f = if before { exclusive } else { inclusive };
        f(&*on.device, &mut *on.queue, &mut on.reservation, &column, n, op)
    };
    let check = move |on: &mut On, out: DeviceColumn| {
        Ok(differ(&on.values::<i64>(&out, n)?, &running(&values, None, op, before)))
    };
    let case = Case::new(n, [8 * n, 8 * n], run, check);
    Ok(case.beside_serial("std loop", move || {
        black_box(running(&theirs, None, op, before));
    }))
}

/// 1 in the first row and about every `every` rows, else 0.
pub(super) fn starts(n: usize, every: usize, seed: u64) -> Vec<u32> {
    let mut starts = random(n, seed, |r| u32::from(r.below(every) == 0));
    starts.iter_mut().take(1).for_each(|s| *s = 1);
    starts
}

fn segments(on: &mut On, n: usize) -> Result<Case> {
    let values: Arc<Vec<i64>> = Arc::new(random(n, 1, |r| r.next() as i64));
    let starts = Arc::new(starts(n, PARTITION, 2));
    let column = on.column(&array::<Int64Type>(values.to_vec()))?;
    let words = on.words(starts.to_vec())?;
    let (theirs, their_starts) = (Arc::clone(&values), Arc::clone(&starts));
    let run = move |on: &mut On| {
        let scan = Scan { op: ScanOp::Sum, exclusive: false };
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        segmented(&*on.device, queue, reservation, &column, n, &words, scan)
    };
    let check = move |on: &mut On, out: DeviceColumn| {
        let want = running(&values, Some(&starts), ScanOp::Sum, false);
        Ok(differ(&on.values::<i64>(&out, n)?, &want))
    };
    let case = Case::new(n, [12 * n, 8 * n], run, check);
    Ok(case.beside_serial("std loop", move || {
        black_box(running(&theirs, Some(&their_starts), ScanOp::Sum, false));
    }))
}

/// The counts are scanned again and again in place: every run moves and adds as much.
fn words(on: &mut On, n: usize) -> Result<Case> {
    let counts: Vec<u32> = random(n, 1, |r| r.below(100) as u32);
    let want: Vec<u32> = counts
        .iter()
        .scan(0u32, |sum, c| Some(std::mem::replace(sum, sum.wrapping_add(*c))))
        .collect();
    let data = on.device.alloc(&mut on.reservation, n.max(1) * 4)?;
    on.queue.upload(&data, 0, bytemuck::cast_slice(&counts))?;
    let buffer = data.clone();
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        exclusive_scan(&*on.device, queue, reservation, &data, 0, n as u32, None)
    };
    let check = move |on: &mut On, ()| Ok(differ(&on.read::<u32>(&buffer, n)?, &want));
    let mut theirs = counts;
    let case = Case::new(n, [4 * n, 4 * n], run, check);
    Ok(case.beside_serial("std loop", move || {
        let mut sum = 0u32;
        for c in &mut theirs {
            sum = sum.wrapping_add(std::mem::replace(c, sum));
        }
        black_box(&theirs);
    }))
}

/// `want`: of a row's number, rank and dense rank, the one.
fn ranks(
    on: &mut On,
    n: usize,
    read: usize,
    run: impl Fn(
        &mut On,
        &windlass_device::DeviceBuffer,
        &windlass_device::DeviceBuffer,
        usize,
    ) -> Result<DeviceColumn>
    + 'static,
    want: impl Fn(u32, u32, u32) -> u32 + 'static,
) -> Result<Case> {
    let starts = starts(n, PARTITION, 1);
    // A third of the rows begin peers; so does every partition.
    let peers: Vec<u32> = starts.iter().zip(self::starts(n, 3, 2)).map(|(s, p)| *s | p).collect();
    let device_starts = on.words(starts.clone())?;
    let device_peers = on.words(peers.clone())?;
    let numbers = Arc::new((starts, peers));
    let theirs = Arc::clone(&numbers);
    let want = Arc::new(want);
    let their_want = Arc::clone(&want);
    let plain = |starts: &[u32], peers: &[u32], want: &dyn Fn(u32, u32, u32) -> u32| {
        let (mut row, mut rank, mut dense) = (0, 0, 0);
        let each = |(s, p): (&u32, &u32)| {
            if *s != 0 {
                (row, rank, dense) = (0, 0, 0);
            }
            row += 1;
            if *p != 0 {
                (rank, dense) = (row, dense + 1);
            }
            want(row, rank, dense)
        };
        starts.iter().zip(peers).map(each).collect::<Vec<u32>>()
    };
    let check = move |on: &mut On, out: DeviceColumn| {
        Ok(differ(&on.values::<u32>(&out, n)?, &plain(&numbers.0, &numbers.1, &*want)))
    };
    let run = move |on: &mut On| run(on, &device_starts, &device_peers, n);
    let case = Case::new(n, [read * n, 4 * n], run, check);
    Ok(case.beside_serial("std loop", move || {
        black_box(plain(&theirs.0, &theirs.1, &*their_want));
    }))
}
