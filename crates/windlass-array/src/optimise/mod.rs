//! Expressions made simpler before they run: what was written twice becomes one, so that it
//! is computed once. Fusion, and views that reach the memory behind them, come with the
//! programs of `execute`, which also leave out what nothing asks for.

use std::{collections::HashMap, sync::Arc};

use crate::{
    dtype::DType,
    execute::lower::sorted,
    expr::{
        Node, Op,
        ops::{BinaryOp, UnaryOp},
    },
    grid::ChunkGrid,
    region::ViewMap,
};

/// What makes two operations the same, where their inputs are.
#[derive(PartialEq, Eq, Hash)]
enum Word {
    Unary(UnaryOp),
    Binary(BinaryOp),
    Select,
    View(ViewMap),
    Reshape,
    Concat(usize),
    Take(usize, Arc<[usize]>),
    /// The operation and its degrees of freedom as text.
    Reduce(String, Vec<usize>, bool),
    Scan(String, usize),
    Sort(usize, bool),
    Generate(String),
    /// No other node is known to be the same.
    Own(*const Node),
}

fn word(node: &Arc<Node>) -> Word {
    match &node.op {
        Op::Unary(op) => Word::Unary(*op),
        Op::Binary(op) => Word::Binary(*op),
        Op::Select => Word::Select,
        Op::View(map) => Word::View(map.clone()),
        Op::Reshape => Word::Reshape,
        Op::Concat { axis } => Word::Concat(*axis),
        Op::Take { axis, indices } => Word::Take(*axis, Arc::clone(indices)),
        Op::Reduce { op, axes, keepdims } => {
            Word::Reduce(format!("{op:?}"), axes.clone(), *keepdims)
        }
        Op::Scan { op, axis } => Word::Scan(format!("{op:?}"), *axis),
        Op::Sort { axis, places } => Word::Sort(*axis, *places),
        Op::Generate(generator) => Word::Generate(format!("{generator:?}")),
        // Memory is compared by where it is, functions not at all.
        Op::Tile(_)
        | Op::Tiles(_)
        | Op::Chunks(_)
        | Op::Source(_)
        | Op::Blocks(_)
        | Op::Parts(_)
        | Op::Regions(_) => Word::Own(Arc::as_ptr(node)),
    }
}

/// An operation of known inputs: nodes with the same key have the same elements in the same
/// chunks.
type Key = (Word, Vec<*const Node>, DType, ChunkGrid);

/// The same nodes, in which equal operations on equal inputs are one node.
pub(crate) fn unified(roots: &[Arc<Node>]) -> Vec<Arc<Node>> {
    let mut known: HashMap<Key, Arc<Node>> = HashMap::new();
    let mut one_of: HashMap<*const Node, Arc<Node>> = HashMap::new();
    for node in sorted(roots) {
        let inputs: Vec<Arc<Node>> =
            node.inputs.iter().map(|i| Arc::clone(&one_of[&Arc::as_ptr(i)])).collect();
        let places = inputs.iter().map(Arc::as_ptr).collect();
        let key = (word(node), places, node.dtype, node.grid.clone());
        let one = known.entry(key).or_insert_with(|| {
            let same = inputs.iter().zip(&node.inputs).all(|(a, b)| Arc::ptr_eq(a, b));
            if same { Arc::clone(node) } else { node.with_inputs(inputs) }
        });
        one_of.insert(Arc::as_ptr(node), Arc::clone(one));
    }
    roots.iter().map(|r| Arc::clone(&one_of[&Arc::as_ptr(r)])).collect()
}

#[cfg(test)]
mod tests {
    use crate::{Array, ChunkGrid, DType, Tile, compute_all};
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[test]
    fn what_is_written_twice_is_computed_once() {
        let called = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&called);
        let grid = ChunkGrid::regular(&[8].into(), &[8].into()).unwrap();
        let x = Array::from_function(grid, DType::F64, |_| Ok(Tile::new(vec![2.0; 8], [8])?));
        let slow = Array::map_blocks(&[&x], DType::F64, move |tiles, _| {
            seen.fetch_add(1, Ordering::Relaxed);
            Ok(tiles[0].clone())
        })
        .unwrap();
        let twice = || slow.exp().unwrap().cumsum(0).unwrap().sum(..).unwrap();
        let both = compute_all(&[&twice(), &(&twice() + &twice())]).unwrap();
        let value = |t: &Tile| t.to_array::<f64>().unwrap().sum();
        assert_eq!(2.0 * value(&both[0]), value(&both[1]));
        assert_eq!(called.load(Ordering::Relaxed), 1);
        let roots = [twice(), twice(), twice().exp().unwrap()].map(|a| a.node());
        let one = super::unified(&roots);
        assert!(Arc::ptr_eq(&one[0], &one[1]) && Arc::ptr_eq(&one[0], &one[2].inputs[0]));
    }
}
