//! Benches of window functions' frames and of what is made of them.

use std::{hint::black_box, sync::Arc};

use arrow::datatypes::{Float64Type, Int64Type};
use windlass_device::DeviceBuffer;

use super::{
    Bench,
    case::{Case, differ},
    host::{On, array, nullable, random},
    scan::starts,
};
use crate::{
    column::DeviceColumn,
    error::Result,
    window::{
        Bound, End, Frame, FrameOp, Frames, Keys, Pick, aggregate, count, frames, pick, pick_valid,
        range_frames,
    },
};

/// Rows of a partition, on average.
const PARTITION: usize = 1000;

/// Rows of a sliding frame.
const WIDTH: usize = 100;

/// The row and the 99 before it.
const SLIDING: Frame = Frame { start: Bound::Before(WIDTH as u32 - 1), end: Bound::After(0) };

pub(super) fn benches() -> Vec<Bench> {
    const VALUES: &str = "over the 100 rows up to each, within partitions of about 1000; floor: 16 bytes a row read, 8 written";
    vec![
        Bench::new(
            "window/frames/100_rows",
            "the bounds of each row's frame of 100 rows; floor: 8 bytes a row read, 8 written",
            bounds,
        ),
        Bench::new("window/aggregate/sum_i64_100_rows", VALUES, |on, n| {
            values(on, n, FrameOp::Sum)
        }),
        Bench::new("window/aggregate/min_i64_100_rows", VALUES, |on, n| {
            values(on, n, FrameOp::Min)
        }),
        Bench::new(
            "window/count/100_rows",
            "values that are not null over those rows; floor: 8 bytes and a bit a row read, 4 written",
            counts,
        ),
        Bench::new(
            "window/pick/last_of_100_rows",
            "the number of a frame's last row; floor: 8 bytes a row read, 4 written",
            last,
        ),
        Bench::new(
            "window/pick_valid/last_of_100_rows",
            "the number of a frame's last row that is not null; floor: 8 bytes and a bit a row read, 4 written",
            last_valid,
        ),
        Bench::new(
            "window/range_frames/i64_distance",
            "the bounds of each row's frame of keys up to 1000 less, about 100 rows; floor: 20 bytes a row read, 8 written",
            distances,
        ),
        Bench::new(
            "window/aggregate/spread_f64_100_rows",
            "squared differences from the mean over the 100 rows up to each; floor: 16 bytes a row read, 8 written",
            spreads,
        ),
    ]
}

/// The frames of `n` rows in partitions, made once, with the rows where these start.
fn sliding(on: &mut On, n: usize) -> Result<(Frames, Arc<Vec<u32>>, DeviceBuffer)> {
    let starts = starts(n, PARTITION, 1);
    let words = on.words(starts.clone())?;
    let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
    let made = frames(&*on.device, queue, reservation, (&words, &words), n, SLIDING)?;
    Ok((made, Arc::new(starts), words))
}

/// The first row of each row's frame.
fn lows(starts: &[u32]) -> impl Iterator<Item = usize> + '_ {
    let mut partition = 0;
    starts.iter().enumerate().map(move |(row, start)| {
        if *start != 0 {
            partition = row;
        }
        partition.max((row + 1).saturating_sub(WIDTH))
    })
}

fn bounds(on: &mut On, n: usize) -> Result<Case> {
    let starts = starts(n, PARTITION, 1);
    let words = on.words(starts.clone())?;
    let theirs = starts.clone();
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        frames(&*on.device, queue, reservation, (&words, &words), n, SLIDING)
    };
    let check = move |on: &mut On, got: Frames| {
        let (low, high) = got.bounds();
        let want: Vec<u32> = lows(&starts).map(|low| low as u32).collect();
        let low = differ(&on.read::<u32>(low, n)?, &want);
        let want: Vec<u32> = (1..=n as u32).collect();
        Ok(low.or(differ(&on.read::<u32>(high, n)?, &want)))
    };
    let case = Case::new(n, [8 * n, 8 * n], run, check);
    Ok(case.beside_serial("std loop", move || {
        let pairs = lows(&theirs).enumerate().map(|(row, low)| (low as u32, row as u32 + 1));
        black_box(pairs.unzip::<u32, u32, Vec<u32>, Vec<u32>>());
    }))
}

/// Each row's value from those of its frame.
fn plain(op: FrameOp, starts: &[u32], values: &[i64]) -> Vec<i64> {
    let frame = |(row, low): (usize, usize)| {
        let frame = &values[low..=row];
        match op {
            FrameOp::Min => frame.iter().copied().min().unwrap_or(0),
            FrameOp::Max => frame.iter().copied().max().unwrap_or(0),
            _ => frame.iter().fold(0, |s: i64, v| s.wrapping_add(*v)),
        }
    };
    lows(starts).enumerate().map(frame).collect()
}

fn values(on: &mut On, n: usize, op: FrameOp) -> Result<Case> {
    let (frames, starts, _) = sliding(on, n)?;
    let values: Arc<Vec<i64>> = Arc::new(random(n, 2, |r| r.next() as i64));
    let column = on.column(&array::<Int64Type>(values.to_vec()))?;
    let theirs = (Arc::clone(&starts), Arc::clone(&values));
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        aggregate(&*on.device, queue, reservation, &column, &frames, op)
    };
    let check = move |on: &mut On, got: DeviceColumn| {
        Ok(differ(&on.values::<i64>(&got, n)?, &plain(op, &starts, &values)))
    };
    let case = Case::new(n, [16 * n, 8 * n], run, check);
    Ok(case.beside_serial("std loop over each frame", move || {
        black_box(plain(op, &theirs.0, &theirs.1));
    }))
}

fn counts(on: &mut On, n: usize) -> Result<Case> {
    let (frames, starts, _) = sliding(on, n)?;
    let values = nullable::<Int64Type>(vec![0; n], |i| i % 10 != 3);
    let column = on.column(&values)?;
    let run = move |on: &mut On| {
        count(&*on.device, &mut *on.queue, &mut on.reservation, &column, &frames)
    };
    let plain = move || {
        let mut before = vec![0u32];
        let mut so_far = 0;
        for row in 0..n {
            so_far += u32::from(row % 10 != 3);
            before.push(so_far);
        }
        let rows = lows(&starts).enumerate();
        rows.map(|(row, low)| before[row + 1] - before[low]).collect::<Vec<u32>>()
    };
    let theirs = plain.clone();
    let check =
        move |on: &mut On, got: DeviceColumn| Ok(differ(&on.values::<u32>(&got, n)?, &plain()));
    let case = Case::new(n, [8 * n + n.div_ceil(8), 4 * n], run, check);
    Ok(case.beside_serial("std loop over prefix counts", move || {
        black_box(theirs());
    }))
}

fn last(on: &mut On, n: usize) -> Result<Case> {
    let (frames, _, _) = sliding(on, n)?;
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        pick(&*on.device, queue, reservation, &frames, Pick::FromLast(0))
    };
    let check = move |on: &mut On, got: DeviceBuffer| {
        let want: Vec<u32> = (0..n as u32).collect();
        Ok(differ(&on.read::<u32>(&got, n)?, &want))
    };
    Ok(Case::new(n, [8 * n, 4 * n], run, check))
}

fn last_valid(on: &mut On, n: usize) -> Result<Case> {
    let (frames, starts, _) = sliding(on, n)?;
    let values = nullable::<Int64Type>(vec![0; n], |i| i % 10 != 3);
    let column = on.column(&values)?;
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        pick_valid(&*on.device, queue, reservation, &column, &frames, Pick::FromLast(0))
    };
    let plain = move || {
        let mut last = u32::MAX;
        let row = |(row, low): (usize, usize)| {
            last = if row % 10 != 3 { row as u32 } else { last };
            if last != u32::MAX && last as usize >= low { last } else { u32::MAX }
        };
        lows(&starts).enumerate().map(row).collect::<Vec<u32>>()
    };
    let theirs = plain.clone();
    let check =
        move |on: &mut On, got: DeviceBuffer| Ok(differ(&on.read::<u32>(&got, n)?, &plain()));
    let case = Case::new(n, [8 * n + n.div_ceil(8), 4 * n], run, check);
    Ok(case.beside_serial("std loop that remembers the last", move || {
        black_box(theirs());
    }))
}

fn distances(on: &mut On, n: usize) -> Result<Case> {
    const DISTANCE: i64 = 1000;
    let starts = starts(n, PARTITION, 1);
    let words = on.words(starts.clone())?;
    let mut last = 0;
    let keys: Vec<i64> = random(n, 3, |r| r.next() % 20)
        .into_iter()
        .map(|step| {
            last += step as i64;
            last
        })
        .collect();
    let values = keys.iter().map(|key| key - DISTANCE).collect();
    let (column, values) =
        (on.column(&array::<Int64Type>(keys.clone()))?, on.column(&array::<Int64Type>(values))?);
    let run = move |on: &mut On| {
        let keys = Keys { column: &column, descending: false, nulls_first: false };
        let ends = [End::Value(&values), End::Bound(Bound::After(0))];
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        range_frames(&*on.device, queue, reservation, (&words, &words), n, keys, ends)
    };
    let plain = move || {
        let mut low = 0;
        let row = |row: usize| {
            low = if starts[row] != 0 { row } else { low };
            while keys[low] < keys[row] - DISTANCE {
                low += 1;
            }
            low as u32
        };
        (0..n).map(row).collect::<Vec<u32>>()
    };
    let theirs = plain.clone();
    let check = move |on: &mut On, got: Frames| {
        let (low, high) = got.bounds();
        let low = differ(&on.read::<u32>(low, n)?, &plain());
        let want: Vec<u32> = (1..=n as u32).collect();
        Ok(low.or(differ(&on.read::<u32>(high, n)?, &want)))
    };
    let case = Case::new(n, [20 * n, 8 * n], run, check);
    Ok(case.beside_serial("std loop of two pointers", move || {
        black_box(theirs());
    }))
}

/// Whole numbers, whose spreads are nearly exact.
fn spreads(on: &mut On, n: usize) -> Result<Case> {
    let (frames, starts, _) = sliding(on, n)?;
    let values: Vec<f64> = random(n, 4, |r| (r.next() % 1000) as f64);
    let column = on.column(&array::<Float64Type>(values.clone()))?;
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        aggregate(&*on.device, queue, reservation, &column, &frames, FrameOp::Spread)
    };
    let plain = move || {
        let frame = |(row, low): (usize, usize)| {
            let frame = &values[low..=row];
            let mean = frame.iter().sum::<f64>() / frame.len() as f64;
            frame.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>()
        };
        lows(&starts).enumerate().map(frame).collect::<Vec<f64>>()
    };
    let theirs = plain.clone();
    let check = move |on: &mut On, got: DeviceColumn| {
        let (got, want) = (on.values::<f64>(&got, n)?, plain());
        // A frame's spread is below 2.5e7, of which f64 holds 1e-8; a NaN is near nothing.
        let near = |(got, want): (&f64, &f64)| (got - want).abs() < 1e-3;
        let wrong = got.iter().zip(&want).position(|pair| !near(pair));
        Ok(wrong.map(|i| format!("value {i} is {}, expected {}", got[i], want[i])))
    };
    let case = Case::new(n, [16 * n, 8 * n], run, check);
    Ok(case.beside_serial("std loop over each frame", move || {
        black_box(theirs());
    }))
}
