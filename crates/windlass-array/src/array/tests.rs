//! Tests of arrays: each feature on small arrays in odd chunks, and what holds for all.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ndarray::{ArrayD, IxDyn};
use windlass_runtime::{
    delayed::Synchronous,
    execute::{Executor, ExecutorOptions},
};

use super::*;
use crate::{
    element::{C64, Element},
    shape::ChunkIndex,
};

fn count(shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    Array::arange(0, n as i64, 1).unwrap().reshape(shape).unwrap()
}

fn values<T: Element>(array: &Array) -> Vec<T> {
    array.compute::<T>().unwrap().into_iter().collect()
}

#[test]
fn arrays_are_created_and_computed() {
    assert_eq!(values::<f32>(&Array::zeros([2, 2], DType::F32)), [0.0; 4]);
    assert_eq!(values::<u8>(&Array::ones([3], DType::U8)), [1; 3]);
    assert_eq!(values::<i64>(&Array::arange(5, -2, -3).unwrap()), [5, 2, -1]);
    assert_eq!(values::<i64>(&Array::arange(0, 7, 3).unwrap()), [0, 3, 6]);
    assert_eq!(values::<f64>(&Array::arange(0.0, 1.0, 0.25).unwrap()), [0.0, 0.25, 0.5, 0.75]);
    assert_eq!(values::<f64>(&Array::linspace(1.0, 2.0, 5)), [1.0, 1.25, 1.5, 1.75, 2.0]);
    let eye = Array::eye(2, 3, 1, DType::I64);
    assert_eq!(values::<i64>(&eye), [0, 1, 0, 0, 0, 1]);
    assert_eq!(values::<f64>(&Array::zeros([0, 4], DType::F64)), [0.0; 0]);
    let own = ndarray::arr2(&[[1_i16, 2, 3], [4, 5, 6]]).reversed_axes();
    assert_eq!(Array::from_array(own.clone()).compute::<i16>().unwrap(), own.into_dyn());
    assert_eq!(Array::scalar(7).unwrap().compute::<i64>().unwrap(), ndarray::arr0(7).into_dyn());
}

#[test]
fn chunks_come_from_a_function_only_when_they_are_needed() {
    let called = Arc::new(AtomicUsize::new(0));
    let grid = ChunkGrid::regular(&[1 << 40].into(), &[1 << 18].into()).unwrap();
    let seen = Arc::clone(&called);
    let x = Array::from_function(grid, DType::I64, move |chunk: &ChunkIndex| {
        seen.fetch_add(1, Ordering::Relaxed);
        Ok(Tile::new(vec![chunk[0] as i64; 1 << 18], [1 << 18])?)
    });
    assert_eq!(x.grid_shape(), [1 << 22].into());
    let three = x.index(&[(((1_i64 << 20) - 1)..((1 << 20) + 2)).into()]).unwrap();
    assert_eq!(values::<i64>(&three), [3, 4, 4]);
    assert!(called.load(Ordering::Relaxed) <= 64, "{called:?}");
}

#[test]
fn a_function_that_gives_another_chunk_is_told() {
    let grid = ChunkGrid::regular(&[4, 4].into(), &[2, 4].into()).unwrap();
    let x = Array::from_function(grid, DType::F64, |_| Ok(Tile::new(vec![0_i32; 4], [4])?));
    let error = x.compute::<f64>().unwrap_err().to_string();
    for part in ["from_function", "float64 of shape (2, 4)", "int32 of shape (4,)"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn chains_are_computed_in_odd_chunks() {
    let x = count(&[7, 5]).rechunk([3, 2]).unwrap();
    let y = ((&x + 1) * &x - &x.t().t()).compute::<i64>().unwrap();
    assert_eq!(y.into_iter().collect::<Vec<_>>(), (0..35).map(|i| i * i).collect::<Vec<_>>());
    let row = count(&[5]);
    let sums = (&x + &row).sum(0).unwrap();
    assert_eq!(values::<i64>(&sums), [105, 119, 133, 147, 161]);
    assert_eq!((&x + 0.5).dtype(), DType::F64);
    assert_eq!((1_i64 - &x).dtype(), DType::I64);
}

#[test]
fn a_loop_may_build_a_deep_chain() {
    let mut x = Array::zeros([10], DType::I64);
    for _ in 0..50_000 {
        x = x + 1;
    }
    assert_eq!(values::<i64>(&x), [50_000; 10]);
}

#[test]
fn what_is_shared_is_computed_once() {
    let called = Arc::new(AtomicUsize::new(0));
    let grid = ChunkGrid::regular(&[600, 600].into(), &[100, 600].into()).unwrap();
    let seen = Arc::clone(&called);
    let x = Array::from_function(grid, DType::F64, move |chunk: &ChunkIndex| {
        seen.fetch_add(1, Ordering::Relaxed);
        Ok(Tile::new(vec![chunk[0] as f64; 60_000], [100, 600])?)
    });
    let mean = x.mean(..).unwrap();
    let both = compute_all(&[&(&x - &mean), &(&x + &x.t())]).unwrap();
    assert_eq!(called.load(Ordering::Relaxed), 6);
    assert_eq!(both[1].to_array::<f64>().unwrap()[[599, 0]], 5.0);
    assert_eq!(both[0].to_array::<f64>().unwrap()[[0, 0]], -2.5);
}

#[test]
fn results_are_the_same_on_any_number_of_threads() {
    let x = Array::random_normal([300, 700], (0.0, 1.0), 3).unwrap().rechunk([17, 90]).unwrap();
    let y = x.exp().unwrap().var(0, 1.0).unwrap().sum(..).unwrap();
    let alone = y.compute_on::<f64>(&Synchronous).unwrap();
    for threads in [1, 3] {
        let executor = Executor::new(ExecutorOptions::default().threads(threads)).unwrap();
        assert_eq!(y.compute_on::<f64>(&executor).unwrap(), alone);
    }
}

#[test]
fn persisted_arrays_are_not_computed_again() {
    let called = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&called);
    let x = Array::map_blocks(&[&count(&[50, 40])], DType::I64, move |tiles, _| {
        seen.fetch_add(1, Ordering::Relaxed);
        Ok(tiles[0].clone())
    });
    let kept = x.unwrap().persist().unwrap();
    let calls = called.load(Ordering::Relaxed);
    assert_eq!(values::<i64>(&kept.sum(..).unwrap()), [1999 * 1000]);
    assert_eq!(values::<i64>(&kept.index(&[Index::At(49), Index::At(-1)]).unwrap()), [1999]);
    assert_eq!(called.load(Ordering::Relaxed), calls);
}

#[test]
fn slices_steps_and_new_axes() {
    let x = count(&[4, 5]).rechunk([3, 2]).unwrap();
    let part = x.index(&[(1..).into(), Index::All.step(-2)]).unwrap();
    assert_eq!(part.shape(), &[3, 3].into());
    assert_eq!(values::<i64>(&part), [9, 7, 5, 14, 12, 10, 19, 17, 15]);
    let row = x.index(&[Index::NewAxis, Index::At(-1), Index::Ellipsis]).unwrap();
    assert_eq!((row.shape(), values(&row)), (&[1, 5].into(), vec![15_i64, 16, 17, 18, 19]));
    assert_eq!(x.index(&[(9..20).into()]).unwrap().shape(), &[0, 5].into());
    let error = x.index(&[Index::At(4)]).unwrap_err().to_string();
    assert!(error.contains("index 4") && error.contains("4 elements"), "{error}");
    assert!(x.index(&[Index::All; 3]).is_err());
}

#[test]
fn reductions_over_any_axes() {
    let x = count(&[3, 4, 5]).rechunk([2, 3, 2]).unwrap();
    assert_eq!(values::<i64>(&x.sum([0, 2]).unwrap()), [330, 405, 480, 555]);
    let kept = x.max(Axes::of([-1]).keepdims()).unwrap();
    assert_eq!(kept.shape(), &[3, 4, 1].into());
    assert_eq!(values::<i64>(&kept), (0..12).map(|i| i * 5 + 4).collect::<Vec<_>>());
    assert_eq!(values::<f64>(&x.mean(..).unwrap()), [29.5]);
    assert_eq!(values::<i64>(&x.argmax(Some(1), false).unwrap()), [3; 15]);
    assert_eq!(values::<i64>(&x.argmin(None, false).unwrap()), [0]);
    let nan = Array::from_slice(&[1.0, f64::NAN, 0.0]);
    assert!(values::<f64>(&nan.min(..).unwrap())[0].is_nan());
    assert_eq!(values::<f64>(&nan.nanmin(..).unwrap()), [0.0]);
    assert_eq!(values::<i64>(&nan.argmin(None, false).unwrap()), [1]);
    let empty = Array::zeros([0, 3], DType::F64);
    assert_eq!(values::<f64>(&empty.sum(0).unwrap()), [0.0; 3]);
    assert!(values::<f64>(&empty.mean(..).unwrap())[0].is_nan());
    let error = empty.max(0).unwrap_err().to_string();
    assert!(error.contains("max") && error.contains("(0, 3)"), "{error}");
}

#[test]
fn running_sums_go_over_chunks() {
    let x = Array::ones([3, 400_000], DType::I64).rechunk([2, 1000]).unwrap();
    let sums = x.cumsum(1).unwrap().compute::<i64>().unwrap();
    assert!((0..3).all(|r| (0..400_000).all(|c| sums[[r, c]] == c as i64 + 1)));
    let x = Array::from_slice(&[1.0, 2.0, 3.0]).rechunk([1]).unwrap();
    assert_eq!(values::<f64>(&x.cumprod(0).unwrap()), [1.0, 2.0, 6.0]);
}

#[test]
fn shapes_change_without_changing_elements() {
    let x = count(&[4, 6]).rechunk([3, 4]).unwrap();
    for shape in [vec![24], vec![2, 2, 3, 2], vec![8, 3], vec![4, 6, 1], vec![1, 24]] {
        let y = x.reshape(shape.clone()).unwrap().rechunk(vec![2; shape.len()]);
        assert_eq!(values::<i64>(&y.unwrap()), (0..24).collect::<Vec<_>>(), "{shape:?}");
    }
    assert_eq!(x.reshape_to(&[-1, 3]).unwrap().shape(), &[8, 3].into());
    assert!(x.reshape([5, 5]).unwrap_err().to_string().contains("24 elements"));
    let rolled = x.roll(-2, 1).unwrap().index(&[Index::At(0)]).unwrap();
    assert_eq!(values::<i64>(&rolled), [2, 3, 4, 5, 0, 1]);
    let tiled = count(&[2]).tile(&[2, 2]).unwrap();
    assert_eq!(values::<i64>(&tiled), [0, 1, 0, 1, 0, 1, 0, 1]);
    assert_eq!(values::<i64>(&count(&[2]).repeat(2, 0).unwrap()), [0, 0, 1, 1]);
    let padded = count(&[2]).pad(&[(1, 2)], -1).unwrap();
    assert_eq!(values::<i64>(&padded), [-1, 0, 1, -1, -1]);
    assert_eq!(
        values::<i64>(&x.take(&[5, 0, -1, 5], 1).unwrap().index(&[Index::At(1)]).unwrap()),
        [11, 6, 11, 11]
    );
    let mask = x.remainder(7).unwrap().equal(0).unwrap();
    assert_eq!(values::<i64>(&x.mask(&mask).unwrap()), [0, 7, 14, 21]);
    let moved = x.expand_dims(0).unwrap().moveaxis(&[0], &[-1]).unwrap();
    assert_eq!(moved.shape(), &[4, 6, 1].into());
    assert_eq!(moved.squeeze().shape(), &[4, 6].into());
    let parts = x.split(3, 1).unwrap();
    let again = Array::concatenate(&parts.iter().collect::<Vec<_>>(), 1).unwrap();
    assert_eq!(values::<i64>(&again), (0..24).collect::<Vec<_>>());
    assert_eq!(Array::stack(&[&x, &x], -1).unwrap().shape(), &[4, 6, 2].into());
}

#[test]
fn types_are_promoted_and_refused() {
    let (i, u) = (Array::from_slice(&[-1_i64, 5]), Array::from_slice(&[u64::MAX, 5]));
    assert_eq!(values::<bool>(&i.less(&u).unwrap()), [true, false]);
    assert_eq!(values::<bool>(&u.less_equal(&i).unwrap()), [false, true]);
    assert_eq!(values::<bool>(&i.equal(&u).unwrap()), [false, true]);
    let small = Array::from_slice(&[1_u8, 255]);
    assert_eq!(values::<bool>(&small.less(300).unwrap()), [true, true]);
    assert_eq!(values::<u8>(&(&small + 1)), [2, 0]);
    assert!(small.add(300).unwrap_err().to_string().contains("300"));
    let flags = Array::from_slice(&[true, false]);
    assert!(flags.negative().is_err() && flags.subtract(&flags).is_err());
    let z = Array::from_slice(&[C64::new(3.0, 4.0)]);
    assert_eq!(values::<f64>(&z.absolute().unwrap()), [5.0]);
    assert!(z.floor().is_err());
    let error = i.compute::<f64>().unwrap_err().to_string();
    assert!(error.contains("int64") && error.contains("float64"), "{error}");
}

#[test]
fn a_repr_says_what_there_is() {
    let x = Array::zeros([100, 3], DType::F32).rechunk([40, 3]).unwrap();
    let text = (&x + 1).to_string();
    assert_eq!(text, "Array<add, shape=(100, 3), dtype=float32, chunks=(40, 3)>");
    assert_eq!(x.nbytes(), 1200);
}

#[test]
fn memory_stays_within_the_executors_limit() {
    // Four times the limit, in chunks of a 64th of it.
    const LIMIT: usize = 64 << 20;
    let rows = 4 * LIMIT / 8 / 1024;
    let grid = ChunkGrid::regular(&[rows, 1024].into(), &[128, 1024].into()).unwrap();
    let x = Array::from_function(grid, DType::F64, |chunk: &ChunkIndex| {
        Ok(Tile::new(vec![chunk[0] as f64; 128 * 1024], [128, 1024])?)
    });
    let executor = Executor::new(ExecutorOptions::default().threads(2).memory(LIMIT as u64));
    let executor = executor.unwrap();
    let y = (&x.sqrt().unwrap() + 1.0).mean(0).unwrap();
    let got = y.compute_on::<f64>(&executor).unwrap();
    let chunks = rows / 128;
    let wanted = (0..chunks).map(|i| (i as f64).sqrt() + 1.0).sum::<f64>() / chunks as f64;
    assert!((got[0] - wanted).abs() < 1e-9 && (got[1023] - wanted).abs() < 1e-9);
    let peak = executor.counts()[0].1.peak_bytes;
    assert!(peak <= LIMIT as u64, "{peak}");
}

#[test]
fn random_numbers_do_not_hang_on_chunks() {
    let x = Array::random_uniform([50, 60], (-1.0, 1.0), 9).unwrap();
    let all: ArrayD<f64> = x.compute().unwrap();
    assert_eq!(x.rechunk([7, 13]).unwrap().persist().unwrap().compute::<f64>().unwrap(), all);
    let row = x.index(&[Index::At(31), Index::All.step(-1)]).unwrap().compute::<f64>().unwrap();
    assert!((0..60).all(|c| row[IxDyn(&[c])] == all[[31, 59 - c]]));
}

#[test]
fn tasks_that_need_little_of_many_tiles_are_given_that_alone() {
    // Tiles of 256 KiB at least: 16 of them, and columns of all.
    let grid = ChunkGrid::regular(&[4096, 128].into(), &[256, 128].into()).unwrap();
    let x = Array::from_function(grid, DType::I64, |chunk: &ChunkIndex| {
        let first = chunk[0] as i64 * 256 * 128;
        Ok(Tile::new((first..first + 256 * 128).collect(), [256, 128])?)
    });
    let columns = x.rechunk([4096, 8]).unwrap();
    let same = Array::map_blocks(&[&columns], DType::I64, |tiles, _| Ok(tiles[0].clone()));
    let got = (&same.unwrap() + &x.flip(&[0]).unwrap()).compute::<i64>().unwrap();
    assert!((0..4096).all(|r| (0..128).all(|c| got[[r, c]] == 4095 * 128 + 2 * c as i64)));
}
