//! Operations over tiles.

use conformance::Target;
use windlass_device::DeviceBuffer;
use windlass_kernels::{
    PhysType,
    tile::{self, FoldOp, Lengths, Lines, Matrix, Part, Run, RunningOp, Strided},
};

use crate::{Bad, args::TOO_MANY, refuse};

fn strided(offset: usize, strides: &[isize]) -> Strided {
    Strided { offset, strides: strides.to_vec() }
}

/// Copies of boxes, folds, running results and products.
pub(crate) fn tiles(target: Target) {
    let mut bad = Bad::new(target);
    places(&mut bad);
    folds(&mut bad);
    scans(&mut bad);
    products(&mut bad);
}

fn places(bad: &mut Bad) {
    let ty = PhysType::I64;
    // Four rows of five.
    let (good, other) = (bad.zeros(40), bad.elsewhere(40));
    let part = |from: &DeviceBuffer, source: Strided, target: Strided| {
        (from.clone(), vec![4usize, 5], source, target)
    };
    let dense = || strided(0, &[5, 1]);
    let boxes = [
        ("another device", part(&other, dense(), dense())),
        ("a source past the end", part(&good, strided(1, &[5, 1]), dense())),
        ("a source before the start", part(&good, strided(14, &[-5, 1]), dense())),
        ("a source far past the end", part(&good, strided(0, &[isize::MAX, 1]), dense())),
        ("a source far before the start", part(&good, strided(0, &[isize::MIN, 1]), dense())),
        (
            "a source whose first element is no number",
            part(&good, strided(1 << 63, &[5, 1]), dense()),
        ),
        ("a target past the end", part(&good, dense(), strided(0, &[6, 1]))),
        ("a target before the start", part(&good, dense(), strided(0, &[5, -1]))),
        ("a source of one axis", part(&good, strided(0, &[1]), dense())),
        ("a target of three axes", part(&good, dense(), strided(0, &[0, 5, 1]))),
        ("more axes than strides", (good.clone(), vec![4, 5, 1], dense(), dense())),
        (
            "more elements than there are numbers",
            (good.clone(), vec![1 << 40; 3], strided(0, &[0; 3]), strided(0, &[0; 3])),
        ),
        ("2^31 elements", (good.clone(), vec![TOO_MANY], strided(0, &[0]), strided(0, &[0]))),
    ];
    for (what, (from, lens, source, target)) in boxes {
        let parts = [Part { from: &from, lens, source, target }];
        refuse!(bad, what, tile::assemble(ty, 20, &parts));
        // Beside one that is fine.
        let fine = Part { from: &good, lens: vec![4, 5], source: dense(), target: dense() };
        let parts = [fine, parts[0].clone()];
        refuse!(bad, what, tile::assemble(ty, 20, &parts));
    }
    refuse!(bad, "2^31 elements", tile::assemble(ty, TOO_MANY, &[]));
    // Elements of 16 bytes, of which the buffer has half as many.
    let parts = [Part { from: &good, lens: vec![4, 5], source: dense(), target: dense() }];
    refuse!(bad, "wider elements", tile::assemble(PhysType::I128, 20, &parts));
}

fn folds(bad: &mut Bad) {
    let (good, other) = (bad.zeros(40), bad.elsewhere(40));
    let lines = Lines { outer: 2, n: 5, inner: 4 };
    let (ty, op) = (PhysType::I32, FoldOp::FindLeast);
    refuse!(bad, "another device", tile::fold(op, ty, &other, lines));
    for lines in [
        Lines { outer: 3, ..lines },
        Lines { n: 6, ..lines },
        Lines { inner: 5, ..lines },
        Lines { n: TOO_MANY, ..lines },
        Lines { n: usize::MAX, ..lines },
    ] {
        refuse!(bad, "elements past the end", tile::fold(op, ty, &good, lines));
    }
    refuse!(bad, "wider elements", tile::fold(op, PhysType::I64, &good, lines));
    for lines in [Lines { n: 0, ..lines }, Lines { outer: 0, n: 0, inner: 0 }] {
        refuse!(bad, "an empty axis", tile::fold(op, ty, &good, lines));
    }
    let lines = Lines { outer: 1, n: 2, inner: 1 };
    for ty in PhysType::ALL {
        for op in FoldOp::ALL.into_iter().filter(|op| !op.takes(ty)) {
            refuse!(bad, "a type that is not folded so", tile::fold(op, ty, &good, lines));
        }
    }
}

fn scans(bad: &mut Bad) {
    let (good, other) = (bad.zeros(80), bad.elsewhere(80));
    let lines = Lines { outer: 2, n: 5, inner: 4 };
    let (ty, op) = (PhysType::I64, RunningOp::Sum);
    let run = |lines, before| Run { op, lines, before };
    refuse!(bad, "another device", tile::scan(ty, &other, run(lines, None)));
    refuse!(bad, "what comes before elsewhere", tile::scan(ty, &good, run(lines, Some(&other))));
    let short = bad.zeros(15);
    refuse!(bad, "too few lines before", tile::scan(ty, &good, run(lines, Some(&short))));
    for lines in [
        Lines { outer: 3, ..lines },
        Lines { n: 6, ..lines },
        Lines { inner: 5, ..lines },
        Lines { outer: usize::MAX, ..lines },
    ] {
        refuse!(bad, "elements past the end", tile::scan(ty, &good, run(lines, None)));
    }
    refuse!(bad, "an empty axis", tile::scan(ty, &good, run(Lines { n: 0, ..lines }, None)));
    let lines = Lines { outer: 1, n: 2, inner: 1 };
    for ty in PhysType::ALL.into_iter().filter(|ty| !FoldOp::Sum.takes(*ty)) {
        refuse!(bad, "a type that is not added up", tile::scan(ty, &good, run(lines, None)));
    }
}

fn products(bad: &mut Bad) {
    let (good, other) = (bad.zeros(24), bad.elsewhere(24));
    let ty = PhysType::F32;
    let lengths = Lengths { batch: 2, m: 3, n: 2, k: 4 };
    let left = |values| Matrix { values, layout: strided(0, &[12, 4, 1]) };
    let right = |values| Matrix { values, layout: strided(0, &[8, 2, 1]) };
    let (a, b) = (left(&good), right(&good));
    let at =
        |values, offset, strides: &[isize]| Matrix { values, layout: strided(offset, strides) };
    for (what, wrong) in [
        ("another device", left(&other)),
        ("a matrix past the end", at(&good, 1, &[12, 4, 1])),
        ("a matrix far past the end", at(&good, 0, &[isize::MAX, 4, 1])),
        ("a matrix before the start", at(&good, 0, &[12, 4, -1])),
        ("two axes", at(&good, 0, &[4, 1])),
        ("four axes", at(&good, 0, &[0, 12, 4, 1])),
    ] {
        refuse!(bad, what, tile::matmul(ty, lengths, [&wrong, &b], None));
        // On the right the same matrices are as long or longer.
        refuse!(bad, what, tile::matmul(ty, Lengths { n: 4, m: 1, ..lengths }, [&a, &wrong], None));
    }
    let long = Lengths { k: 5, ..lengths };
    refuse!(bad, "longer rows", tile::matmul(ty, long, [&a, &b], None));
    for (batch, m, n, k) in [(1 << 31, 1, 1, 1), (1, 1 << 16, 1 << 16, 0), (1, 1 << 40, 1, 1 << 40)]
    {
        let lengths = Lengths { batch, m, n, k };
        let zero = strided(0, &[0, 0, 0]);
        let all = Matrix { values: &good, layout: zero };
        refuse!(bad, "too many elements", tile::matmul(ty, lengths, [&all, &all], None));
    }
    let short = bad.zeros(11);
    refuse!(bad, "too little to add to", tile::matmul(ty, lengths, [&a, &b], Some(&short)));
    refuse!(bad, "what is elsewhere", tile::matmul(ty, lengths, [&a, &b], Some(&other)));
    refuse!(bad, "wider elements", tile::matmul(PhysType::F64, lengths, [&a, &b], None));
    for ty in PhysType::ALL.into_iter().filter(|ty| !tile::multiplies(*ty)) {
        refuse!(bad, "a type that is not multiplied", tile::matmul(ty, lengths, [&a, &b], None));
    }
}
