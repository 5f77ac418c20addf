//! Tests of grids.

use super::*;

fn lengths(axis: &AxisGrid) -> Vec<usize> {
    (0..axis.count()).map(|i| axis.length(i)).collect()
}

#[test]
fn a_billion_chunks_are_a_few_numbers() {
    let grid = ChunkGrid::regular(&[1 << 40].into(), &[1 << 10].into()).unwrap();
    assert_eq!(grid.count(), 1 << 30);
    assert_eq!(grid.indices().nth(12345).unwrap(), ChunkIndex::from([12345]));
    assert_eq!(grid.axes()[0].bounds((1 << 30) - 1).1, 1 << 40);
}

#[test]
fn sliced_axes_keep_their_boundaries() {
    let axis = AxisGrid::regular(20, 6);
    assert_eq!(lengths(&axis), [6, 6, 6, 2]);
    assert_eq!(lengths(&axis.sliced(Span::new(4, 1, 10))), [2, 6, 2]);
    // From 13 down to 4.
    assert_eq!(lengths(&axis.sliced(Span::new(13, -1, 10))), [2, 6, 2]);
    assert_eq!(lengths(&axis.sliced(Span::new(19, -1, 20))), [2, 6, 6, 6]);
    let ends = AxisGrid::lengths(&[6, 6, 6, 2]);
    assert_eq!(lengths(&ends.sliced(Span::new(4, 1, 10))), [2, 6, 2]);
    assert_eq!(lengths(&ends.sliced(Span::new(15, -1, 10))), [4, 6]);
    assert_eq!(lengths(&ends.sliced(Span::new(1, 5, 4))), [1, 2, 1]);
    assert_eq!(lengths(&ends.sliced(Span::new(0, 3, 0))), [0]);
}

#[test]
fn tasks_take_small_chunks_together_and_large_ones_in_parts() {
    let ones = ChunkGrid::regular(&[1_000_000].into(), &[1].into()).unwrap();
    let tasks = ones.tasks(8, true);
    assert!((8..64).contains(&tasks.count()), "{}", tasks.count());
    let whole = ChunkGrid::whole(&[8000, 8000].into());
    let tasks = whole.tasks(8, true);
    assert!((15..20).contains(&tasks.count()), "{}", tasks.count());
    assert_eq!(tasks.shape(), [8000, 8000].into());
    assert_eq!(whole.tasks(8, false).count(), 1);
    assert_eq!(tasks.axes()[1].count(), 1, "rows stay whole");
    let odd = ChunkGrid::explicit(&[5000, 3].into(), &[vec![7; 714], vec![3]]);
    assert!(odd.is_err(), "4998 are not 5000");
}

#[test]
fn positions_and_indices_are_inverse() {
    let grid = ChunkGrid::explicit(&[5, 4].into(), &[vec![2, 3], vec![1, 2, 1]]).unwrap();
    assert_eq!(grid.count(), 6);
    for (n, index) in grid.indices().enumerate() {
        assert_eq!(grid.position(index.as_slice()), n);
    }
    assert_eq!(grid.chunk_shape(&[1, 1].into()), [3, 2].into());
    assert_eq!((grid.axes()[0].find(1), grid.axes()[0].find(2)), (0, 1));
    assert_eq!(grid.to_string(), "([2, 3], [1, 2, 1])");
}

#[test]
fn chosen_chunks_are_within_the_bytes() {
    let shape = ArrayShape::from([8000, 8000]);
    let grid = ChunkGrid::auto(&shape, 8);
    assert!(grid.largest().as_slice().iter().product::<usize>() * 8 <= CHUNK_BYTES);
    assert_eq!(grid.largest()[1], 8000);
    assert_eq!(ChunkGrid::auto(&[0, 3].into(), 8).shape(), [0, 3].into());
    assert_eq!(ChunkGrid::auto(&ArrayShape::default(), 8).count(), 1);
}
