//! Whether a device can run a plan: types, operations, buffers.

use windlass_device::{Backend, Device, Language};

use super::{
    FilterProject,
    shape::{Mode, Shape, declared},
};
use crate::{
    error::{KernelError, Result},
    ir::{BinaryOp, MathOp, Op, UnaryOp, ValueId},
    sources::language,
    types::PhysType,
};

/// [`FilterProject::supported`].
pub(super) fn check(plan: &FilterProject, device: &dyn Device) -> Result<()> {
    let info = device.info();
    if info.backend == Backend::Cpu {
        return plan.check();
    }
    let unsupported =
        |reason: String| KernelError::Unsupported { device: info.name.to_string(), reason };
    let (columns, tables) = (declared(plan.program.inputs()), declared(plan.program.tables()));
    let skip = vec![false; plan.outputs.len()];
    let shape = Shape::new(plan, Mode::Dense, &columns, &tables, &skip)?;
    let buffers = shape.buffers();
    if buffers > info.limits.max_buffers as usize {
        return Err(unsupported(format!(
            "the expressions read and write {buffers} buffers (nullable columns count twice), \
             and a kernel can bind {}",
            info.limits.max_buffers
        )));
    }
    if info.limits.max_block < super::shape::BLOCK {
        return Err(unsupported(format!(
            "kernels need blocks of {} threads, the limit is {}",
            super::shape::BLOCK,
            info.limits.max_block
        )));
    }
    let wgsl = language(device) == Some(Language::Wgsl);
    for id in shape.values() {
        let reason = match plan.program.ty(id) {
            PhysType::I128 if !wgsl && !info.features.int128 => {
                Some("decimals past 18 digits".to_string())
            }
            PhysType::F64 if !info.features.float64 => Some("64-bit floats".into()),
            PhysType::F64 if wgsl && !info.features.int64 => {
                Some("64-bit floats, which need 64-bit integers in the shader language".into())
            }
            PhysType::I64 | PhysType::U64 if !wgsl && !info.features.int64 => {
                Some("64-bit integers".into())
            }
            _ if wgsl => missing_in_wgsl(plan, id),
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(unsupported(reason));
        }
    }
    Ok(())
}

/// The operation of a value that WGSL lacks.
fn missing_in_wgsl(plan: &FilterProject, id: ValueId) -> Option<String> {
    if plan.program.ty(id) != PhysType::F64 {
        return None;
    }
    let name = match plan.program.value(id).op {
        Op::Unary(UnaryOp::Exp, ..) => "exp",
        Op::Unary(UnaryOp::Ln, ..) => "ln",
        Op::Unary(UnaryOp::Log2, ..) => "log2",
        Op::Unary(UnaryOp::Log10, ..) => "log10",
        Op::Unary(UnaryOp::Math(op), ..) if op != MathOp::Rint => op.name(),
        Op::Binary(BinaryOp::Pow, ..) => "power",
        Op::Binary(BinaryOp::Atan2, ..) => "atan2",
        Op::Binary(BinaryOp::Hypot, ..) => "hypot",
        _ => return None,
    };
    Some(format!("{name} of 64-bit floats does not exist in the shader language"))
}
