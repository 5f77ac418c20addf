//! Elements at listed positions along an axis, picked on a device.

use windlass_device::DeviceBuffer;
use windlass_kernels::{
    PhysType, Storage,
    pipeline::FilterProject,
    tile::{Part, Strided, assemble},
};

use super::{
    Failure,
    bind::On,
    evaluate::{View, column, view},
    lower::{Step, Words, coordinates, place},
    ops::Builder,
};
use crate::{
    execute::{
        leaf::{Given, Leaf, Source},
        program::{Operand, Program},
    },
    grid::AxisGrid,
    kernel::copy::collapse,
    region::{Region, Span},
    shape::strides,
};

/// Pieces of the axis that are read, each by a launch or more; the host does what needs more of
/// them (a stated guess).
const MOST_PIECES: usize = 64;

/// What is read of an axis, one span after another, and where each wanted element lies in that.
struct Pieces {
    spans: Vec<Span>,
    places: Vec<u32>,
}

/// The elements of a region of a take, dense, if its input's lie on the device.
///
/// # Errors
/// Why it cannot be done there.
pub(super) fn taken(
    on: &mut On<'_>,
    leaf: &Leaf,
    part: &Region,
    given: &dyn Given,
) -> Result<Option<DeviceBuffer>, Failure> {
    let Source::Take { axis, indices, program } = &leaf.source else { return Ok(None) };
    let axis = *axis;
    let Some(along) = resident_axis(on, program, part, axis, indices, given) else {
        return Ok(None);
    };
    let span = part.axes[axis];
    let wanted: Vec<usize> = (0..span.len).map(|i| indices[span.at(i)]).collect();
    let Some(pieces) = pieces(&wanted, &along) else { return Ok(None) };
    let mut views = Vec::with_capacity(pieces.spans.len());
    for span in &pieces.spans {
        views.push(view(on, program, &part.with(axis, *span), given)?);
    }
    let all = joined(on, &views, axis)?;
    picked(on, &all, axis, &pieces.places).map(Some)
}

/// The chunks along the axis of the tiles that a program reads as they are, if those that are
/// wanted lie on the device.
fn resident_axis(
    on: &On<'_>,
    program: &Program,
    part: &Region,
    axis: usize,
    indices: &[usize],
    given: &dyn Given,
) -> Option<AxisGrid> {
    let ([leaf], Operand::Leaf(0)) = (&program.leaves[..], program.result) else { return None };
    if !leaf.map.is_identity(program.rank) {
        return None;
    }
    let grid = match &leaf.source {
        Source::Stage { grid, .. } => grid,
        Source::Tiles(tiles) => &tiles.grid,
        _ => return None,
    };
    let span = part.axes[axis];
    let mut chunks: Vec<usize> =
        (0..span.len).map(|i| grid.axes()[axis].find(indices[span.at(i)])).collect();
    chunks.sort_unstable();
    chunks.dedup();
    let there = chunks.into_iter().all(|chunk| {
        let one = Span::new(grid.axes()[axis].bounds(chunk).0, 1, 1);
        super::bind::resident(on, leaf, &part.with(axis, one), given).is_some()
    });
    there.then(|| grid.axes()[axis].clone())
}

/// The spans of the chunks that hold wanted positions, from the first to the last of them in
/// each; none where they are too many.
fn pieces(wanted: &[usize], along: &AxisGrid) -> Option<Pieces> {
    let mut order: Vec<(usize, usize)> = wanted.iter().copied().zip(0..).collect();
    order.sort_unstable();
    let mut spans: Vec<Span> = Vec::new();
    let mut places = vec![0; wanted.len()];
    // Elements before the open span, and where its chunk ends.
    let (mut before, mut end) = (0, 0);
    for (at, to) in order {
        match spans.last_mut() {
            Some(span) if at < end => span.len = at - span.start + 1,
            _ => {
                before += spans.last().map_or(0, |s| s.len);
                end = along.bounds(along.find(at)).1;
                spans.push(Span::new(at, 1, 1));
            }
        }
        let start = spans.last().map_or(0, |s| s.start);
        places[to] = u32::try_from(before + at - start).ok()?;
    }
    (spans.len() <= MOST_PIECES).then_some(Pieces { spans, places })
}

/// Views one behind the other along an axis: in one buffer where they are several.
fn joined(on: &mut On<'_>, views: &[View], axis: usize) -> Result<View, Failure> {
    if let [one] = views {
        return Ok(one.clone());
    }
    let mut lens = views[0].lens.clone();
    lens[axis] = views.iter().map(|v| v.lens[axis]).sum();
    let steps = strides(&lens);
    let mut at = 0;
    let mut parts = Vec::with_capacity(views.len());
    for view in views {
        parts.push(Part {
            from: &view.buffer,
            lens: view.lens.clone(),
            source: view.layout.clone(),
            target: Strided { offset: at * steps[axis] as usize, strides: steps.clone() },
        });
        at += view.lens[axis];
    }
    let (ty, n) = (views[0].ty, lens.iter().product());
    let buffer = assemble(&**on.device, on.queue, on.reservation, ty, n, &parts)?;
    Ok(View { buffer, ty, layout: Strided { offset: 0, strides: steps }, lens })
}

/// The elements at listed places along an axis, dense.
fn picked(
    on: &mut On<'_>,
    from: &View,
    axis: usize,
    places: &[u32],
) -> Result<DeviceBuffer, Failure> {
    // The listed axis stays by itself: the axes before it are made one, and those behind it.
    let side = |axes: std::ops::Range<usize>| {
        let mut lens = from.lens[axes.clone()].to_vec();
        let mut steps = [from.layout.strides[axes].to_vec()];
        collapse(&mut lens, &mut steps);
        let [steps] = steps;
        (lens, steps)
    };
    let (mut lens, mut steps) = side(0..axis);
    let at = lens.len();
    lens.push(places.len());
    steps.push(from.layout.strides[axis]);
    let (behind, own) = side(axis + 1..from.lens.len());
    lens.extend(behind);
    steps.extend(own);
    let mut words: Vec<u32> = lens.iter().skip(1).map(|&n| n as u32).collect();
    words.push(from.layout.offset as u32);
    words.extend(steps.iter().map(|&s| s as u32));
    let word = (PhysType::U32, Storage::Packed);
    let tables = vec![
        column(word, on.words(&words)?),
        column(word, on.words(places)?),
        column((from.ty, Storage::Wide), from.buffer.clone()),
    ];
    let plan = picking(from.ty, lens.len(), at).map_err(Failure::Here)?;
    on.output(&plan, lens.iter().product(), Vec::new(), &tables)
}

/// The kernel: along axis `at` of `rank` a position is looked up before the element is.
fn picking(ty: PhysType, rank: usize, at: usize) -> Result<FilterProject, String> {
    let mut b = Builder { program: windlass_kernels::ir::Program::new() };
    let words = b.program.table(PhysType::U32, false);
    let list = b.program.table(PhysType::U32, false);
    let elements = b.program.table(ty, false);
    let mut words = Words::new(words);
    let mut positions = coordinates(&mut b, &mut words, rank)?;
    positions[at] = b.program.lookup(list, positions[at]).map_err(|e| e.to_string())?;
    let place = place(&mut b, &mut words, &positions, &vec![Step::Any; rank])?;
    let found = b.program.lookup(elements, place).map_err(|e| e.to_string())?;
    Ok(FilterProject { program: b.program, filter: None, outputs: vec![found] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_those_of_the_chunks_that_are_wanted() {
        let along = AxisGrid::regular(30, 10);
        let found = pieces(&[25, 3, 3, 9, 21, 0], &along).unwrap();
        assert_eq!(found.spans, [Span::new(0, 1, 10), Span::new(21, 1, 5)]);
        assert_eq!(found.places, [14, 3, 3, 9, 10, 0]);
        let many: Vec<usize> = (0..100).map(|i| i * 3).collect();
        assert!(pieces(&many, &AxisGrid::regular(300, 2)).is_none());
    }
}
