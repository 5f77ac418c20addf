//! Fused programs: what a chain of elementwise operations and views does to a block of
//! elements, as instructions over a few registers, and the leaves where it begins.

use std::{collections::HashMap, sync::Arc};

use super::{
    leaf::{Leaf, Source},
    lower::Plan,
};
use crate::{
    dtype::DType,
    element::Buf,
    expr::{
        Node, Op,
        generate::Generator,
        ops::{BinaryOp, UnaryOp},
    },
    grid::ChunkGrid,
    region::{Region, ViewMap},
};

/// Where an instruction finds elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A leaf, by its position.
    Leaf(usize),
    /// A constant, by its position.
    Constant(usize),
    /// A register, by its position. While a program is made: an instruction's result.
    Register(usize),
}

/// What an instruction does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    Unary(UnaryOp),
    Binary(BinaryOp),
    Select,
}

/// An operation on a block.
#[derive(Debug, Clone)]
pub(crate) struct Instruction {
    pub(crate) action: Action,
    /// The operands; of an action with fewer, the first ones.
    pub(crate) operands: [Operand; 3],
    pub(crate) arity: usize,
    /// The type of the (last) operand.
    pub(crate) operand_type: DType,
    /// Its register.
    pub(crate) to: usize,
    pub(crate) result_type: DType,
}

/// A fused program. Its output has the shape of the node that it was made of.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) leaves: Vec<Leaf>,
    /// One element each.
    pub(crate) constants: Vec<Buf>,
    pub(crate) instructions: Vec<Instruction>,
    /// The type of each register.
    pub(crate) registers: Vec<DType>,
    pub(crate) result: Operand,
    pub(crate) dtype: DType,
    pub(crate) rank: usize,
}

/// A node as it is seen through a view, by its address: nodes outlive the making of programs.
type Key = (*const Node, ViewMap);

struct Builder<'a> {
    plan: &'a Plan,
    program: Program,
    made: HashMap<Key, Operand>,
}

impl Program {
    /// The program of a node, whose inputs that have stages of their own are read from them.
    pub(crate) fn new(node: &Arc<Node>, plan: &Plan) -> Self {
        let rank = node.shape.rank();
        let program = Self {
            leaves: Vec::new(),
            constants: Vec::new(),
            instructions: Vec::new(),
            registers: Vec::new(),
            result: Operand::Constant(0),
            dtype: node.dtype,
            rank,
        };
        let mut builder = Builder { plan, program, made: HashMap::new() };
        let result = builder.make(node);
        builder.program.result = result;
        builder.program.allocate();
        builder.program
    }

    /// The program that gives a leaf as it is.
    pub(crate) fn of_leaf(leaf: Leaf, rank: usize) -> Self {
        Self {
            dtype: leaf.dtype,
            leaves: vec![leaf],
            constants: Vec::new(),
            instructions: Vec::new(),
            registers: Vec::new(),
            result: Operand::Leaf(0),
            rank,
        }
    }

    /// Bytes that the elements of a region take as [`Program::tile`] gives them, beside the
    /// tiles of other stages: none where they are a part of one.
    pub(crate) fn held_bytes(&self, region: &Region) -> usize {
        let size = region.size() * self.dtype.bytes();
        let ([leaf], Operand::Leaf(0)) = (&self.leaves[..], self.result) else {
            let parts = self.leaves.iter().map(|l| match l.source {
                Source::Tile(_) | Source::Generate(_) => 0,
                _ => region.size() * l.dtype.bytes(),
            });
            return size + parts.sum::<usize>();
        };
        let one_tile = |grid: &ChunkGrid| {
            let spans = leaf.map.apply(region).axes;
            grid.axes().iter().zip(spans).all(|(axis, span)| {
                let (low, high) = span.bounds();
                axis.find(low) == axis.find(high)
            })
        };
        match &leaf.source {
            Source::Tile(_) => 0,
            Source::Stage { grid, .. } if one_tile(grid) => 0,
            Source::Tiles(tiles) if one_tile(&tiles.grid) => 0,
            Source::Stage { .. } | Source::Tiles(_) | Source::Generate(_) => size,
            Source::Concat { .. } | Source::Take { .. } | Source::Reshape(_) => 2 * size,
        }
    }

    /// The same with its result converted.
    pub(crate) fn cast(mut self, to: DType) -> Self {
        if self.dtype != to {
            self.instructions.push(Instruction {
                action: Action::Unary(UnaryOp::Cast(to)),
                operands: [self.result; 3],
                arity: 1,
                operand_type: self.dtype,
                to: self.registers.len(),
                result_type: to,
            });
            self.result = Operand::Register(self.registers.len());
            self.registers.push(to);
            self.dtype = to;
        }
        self
    }

    /// Gives each result a register, which is used again when no instruction needs it any
    /// more: few registers stay in the first-level cache.
    fn allocate(&mut self) {
        let mut last_use = vec![usize::MAX; self.instructions.len()];
        for (at, i) in self.instructions.iter().enumerate() {
            for o in &i.operands[..i.arity] {
                if let Operand::Register(r) = o {
                    last_use[*r] = at;
                }
            }
        }
        if let Operand::Register(r) = self.result {
            last_use[r] = usize::MAX;
        }
        let mut place = vec![0; self.instructions.len()];
        let mut free: Vec<usize> = Vec::new();
        for at in 0..self.instructions.len() {
            let dtype = self.instructions[at].result_type;
            let registers = &mut self.registers;
            // Its own operands are still in use: an instruction never writes what it reads.
            let reused = free.iter().position(|&r| registers[r] == dtype);
            place[at] = match reused {
                Some(i) => free.swap_remove(i),
                None => {
                    registers.push(dtype);
                    registers.len() - 1
                }
            };
            let instruction = &mut self.instructions[at];
            instruction.to = place[at];
            for k in 0..instruction.arity {
                if let Operand::Register(r) = instruction.operands[k] {
                    let twice =
                        (0..k).any(|j| instruction.operands[j] == Operand::Register(place[r]));
                    if last_use[r] == at && !twice {
                        free.push(place[r]);
                    }
                    instruction.operands[k] = Operand::Register(place[r]);
                }
            }
        }
        if let Operand::Register(r) = self.result {
            self.result = Operand::Register(place[r]);
        }
    }
}

impl Builder<'_> {
    /// The operand of a node's elements as they are, made without recursion: expressions may
    /// be as deep as a loop ran.
    fn make(&mut self, root: &Arc<Node>) -> Operand {
        let all = ViewMap::identity(root.shape.rank());
        let mut open = vec![(root, all.clone())];
        while let Some((node, map)) = open.pop() {
            if self.made.contains_key(&(Arc::as_ptr(node), map.clone())) {
                continue;
            }
            if let Some(operand) = self.leaf(node, &map, Arc::ptr_eq(node, root)) {
                self.made.insert((Arc::as_ptr(node), map), operand);
                continue;
            }
            let inputs: Vec<_> = node.inputs.iter().map(|i| (i, seen(node, i, &map))).collect();
            let made: Option<Vec<Operand>> = inputs
                .iter()
                .map(|(i, m)| self.made.get(&(Arc::as_ptr(i), m.clone())).copied())
                .collect();
            let Some(operands) = made else {
                open.push((node, map));
                open.extend(inputs);
                continue;
            };
            let operand = self.instruction(node, &operands);
            self.made.insert((Arc::as_ptr(node), map), operand);
        }
        self.made[&(Arc::as_ptr(root), all)]
    }

    /// The operand of a node that is no elementwise operation, seen through a view.
    fn leaf(&mut self, node: &Arc<Node>, map: &ViewMap, root: bool) -> Option<Operand> {
        if let (Some(stage), false) = (self.plan.stage_of(node), root) {
            return Some(self.push(Leaf::stage(stage, node, map.clone())));
        }
        match &node.op {
            Op::Unary(_) | Op::Binary(_) | Op::Select | Op::View(_) => None,
            Op::Generate(Generator::Fill(one)) => Some(self.constant(one.clone())),
            Op::Tile(tile) if tile.shape().size() == 1 => {
                let one = crate::element::dispatch!(tile.dtype(), T => {
                    <T as crate::element::Element>::wrap(vec![
                        tile.buf().typed::<T>()[tile.offset()],
                    ])
                });
                Some(self.constant(one))
            }
            _ => Some(self.push(Leaf::of(node, map.clone(), self.plan))),
        }
    }

    fn push(&mut self, leaf: Leaf) -> Operand {
        self.program.leaves.push(leaf);
        Operand::Leaf(self.program.leaves.len() - 1)
    }

    fn constant(&mut self, one: Buf) -> Operand {
        self.program.constants.push(one);
        Operand::Constant(self.program.constants.len() - 1)
    }

    fn instruction(&mut self, node: &Node, operands: &[Operand]) -> Operand {
        let action = match &node.op {
            Op::Unary(op) => Action::Unary(*op),
            Op::Binary(op) => Action::Binary(*op),
            Op::Select => Action::Select,
            // A view moves no element of its own.
            _ => return operands[0],
        };
        let at = self.program.instructions.len();
        let mut all = [operands[0]; 3];
        all[..operands.len()].copy_from_slice(operands);
        self.program.instructions.push(Instruction {
            action,
            operands: all,
            arity: operands.len(),
            operand_type: node.inputs[operands.len() - 1].dtype,
            to: at,
            result_type: node.dtype,
        });
        Operand::Register(at)
    }
}

/// How an input of an elementwise operation or a view is seen, where its result is seen
/// through `map`.
pub(crate) fn seen(node: &Node, input: &Node, map: &ViewMap) -> ViewMap {
    match &node.op {
        Op::View(own) => map.then(own),
        _ if input.shape == node.shape => map.clone(),
        _ => map.then(&ViewMap::broadcast(input.shape.as_slice(), node.shape.as_slice())),
    }
}
