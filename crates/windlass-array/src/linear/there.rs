//! Products of tiles on a device.

use std::sync::Arc;

use windlass_device::{Device, DeviceBuffer};
use windlass_kernels::{
    KernelError, PhysType,
    tile::{Lengths, Matrix, Strided, matmul, multiplies},
};

use super::{contract::Plan, tiling::joined_groups};
use crate::{
    device::{Failure, bind::On, evaluate::View, parts::MakesThere},
    shape::{ChunkIndex, strides},
};

/// The products of a segment, added to the sums so far.
pub(super) struct There {
    pub(super) plan: Arc<Plan>,
    pub(super) ty: PhysType,
}

/// A view as matrices: its axes in the order of three groups of labels, each of which is one.
struct Grouped {
    buffer: DeviceBuffer,
    lens: [usize; 3],
    layout: Strided,
}

impl Grouped {
    fn matrix(&self) -> Matrix<'_> {
        Matrix { values: &self.buffer, layout: self.layout.clone() }
    }
}

fn grouped(
    on: &mut On<'_>,
    view: &View,
    labels: &[usize],
    groups: [&[usize]; 3],
) -> Result<Grouped, Failure> {
    let place = |l: &usize| labels.iter().position(|x| x == l).expect("a label of the operand");
    let order: Vec<usize> = groups.concat().iter().map(place).collect();
    let lens: Vec<usize> = order.iter().map(|&i| view.lens[i]).collect();
    let merge = |own: &[isize]| joined_groups(groups, &lens, own);
    let own: Vec<isize> = order.iter().map(|&i| view.layout.strides[i]).collect();
    let (buffer, offset, all) = match merge(&own) {
        Some(all) => (view.buffer.clone(), view.layout.offset, all),
        None => {
            let all = merge(&strides(&lens)).expect("dense axes are one");
            (view.dense(on, &order)?, 0, all)
        }
    };
    let layout = Strided { offset, strides: all.iter().map(|a| a.1).collect() };
    Ok(Grouped { buffer, lens: all.map(|a| a.0), layout })
}

impl MakesThere for There {
    fn supported(&self, device: &dyn Device) -> Result<(), String> {
        let features = device.info().features;
        if !multiplies(self.ty) || self.ty == PhysType::F64 && !features.float64 {
            let error = KernelError::Unsupported {
                device: device.info().name.to_string(),
                reason: format!("products of matrices of {}", self.ty),
            };
            return Err(error.to_string());
        }
        Ok(())
    }

    fn make(
        &self,
        on: &mut On<'_>,
        parts: &[View],
        _: &ChunkIndex,
    ) -> Result<DeviceBuffer, Failure> {
        let plan = &*self.plan;
        let [a, b, before @ ..] = parts else {
            // A row whose segments are all added.
            let all: Vec<usize> = (0..parts[0].lens.len()).collect();
            return parts[0].dense(on, &all);
        };
        let a = grouped(on, a, &plan.labels.a, [&plan.batch, &plan.rows, &plan.summed])?;
        let b = grouped(on, b, &plan.labels.b, [&plan.batch, &plan.summed, &plan.columns])?;
        let ([batch, m, k], [_, _, n]) = (a.lens, b.lens);
        let (order, out) = (plan.order(), &plan.labels.out);
        // The sums so far have the rows of segments as their first axis.
        let place = |l: &usize| out.iter().position(|x| x == l).expect("a label of the result");
        let axes: Vec<usize> = [0].into_iter().chain(order.iter().map(|l| place(l) + 1)).collect();
        let plus = match before {
            [before, ..] => Some(before.dense(on, &axes)?),
            [] => None,
        };
        let lengths = Lengths { batch, m, n, k };
        let product = matmul(
            &**on.device,
            on.queue,
            on.reservation,
            self.ty,
            lengths,
            [&a.matrix(), &b.matrix()],
            plus.as_ref(),
        )?;
        // From the order of the product to that of the result.
        let len = |l: &usize| {
            let of = |labels: &[usize], lens: &[usize]| {
                labels.iter().position(|x| x == l).map(|i| lens[i])
            };
            of(&plan.labels.a, &parts[0].lens).or_else(|| of(&plan.labels.b, &parts[1].lens))
        };
        let lens: Vec<usize> = order.iter().map(|l| len(l).unwrap_or(1)).collect();
        let layout = Strided { offset: 0, strides: strides(&lens) };
        let view = View { buffer: product, ty: self.ty, lens, layout };
        let turned: Vec<usize> = out
            .iter()
            .map(|l| order.iter().position(|x| x == l).expect("a label of the product"))
            .collect();
        view.dense(on, &turned)
    }
}
