//! Compilation of WGSL, cached by source.

use std::{any::Any, sync::Arc};

use super::context::Context;
use crate::{
    device::Kernel,
    error::{DeviceError, Result},
    source::{Access, KernelSource, Language},
};

/// Most parameter words, as `KernelSource::params` says.
const MAX_PARAMS: u32 = 64;

/// A compute pipeline and what a launch has to check.
pub(super) struct WgpuKernel {
    /// The [`Context::id`] that it belongs to.
    pub(super) context: u64,
    pub(super) name: String,
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) buffers: Vec<Access>,
    pub(super) params: u32,
}

impl Kernel for WgpuKernel {
    fn name(&self) -> &str {
        &self.name
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `Device::compile`.
pub(super) fn compile(context: &Context, source: &KernelSource) -> Result<Arc<WgpuKernel>> {
    if let Some(known) = context.kernels.lock().get(source) {
        return Ok(Arc::clone(known));
    }
    check(context, source)?;
    // The lock is free meanwhile: two threads may compile the same source, and one wins.
    let kernel = build(context, source)?;
    Ok(Arc::clone(context.kernels.lock().entry(source.clone()).or_insert(Arc::new(kernel))))
}

/// Refuses what the adapter cannot run at all.
fn check(context: &Context, source: &KernelSource) -> Result<()> {
    let limits = &context.limits;
    let reason = if source.language != Language::Wgsl {
        "its text is not WGSL".to_string()
    } else if source.buffers.len() > limits.max_buffers as usize {
        format!("it has {} buffers, the adapter {}", source.buffers.len(), limits.max_buffers)
    } else if source.block > limits.max_block {
        format!("its block is {} threads, the adapter's {}", source.block, limits.max_block)
    } else if source.params > MAX_PARAMS {
        format!("it has {} parameter words, the most is {MAX_PARAMS}", source.params)
    } else {
        return Ok(());
    };
    Err(DeviceError::Unsupported {
        device: context.name.clone(),
        reason: format!("kernel {}: {reason}", source.name),
    })
}

fn build(context: &Context, source: &KernelSource) -> Result<WgpuKernel> {
    let device = &context.device;
    let mut entries: Vec<_> = source.buffers.iter().map(|a| storage(*a)).collect();
    if source.params > 0 {
        entries.push(wgpu::BufferBindingType::Uniform);
    }
    let entries: Vec<_> = (0u32..)
        .zip(entries)
        .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        })
        .collect();
    let mut checks = wgpu::ShaderRuntimeChecks::checked();
    checks.force_loop_bounding = false;

    let built = context.guarded(|| {
        let desc = wgpu::ShaderModuleDescriptor {
            label: Some(&source.name),
            source: wgpu::ShaderSource::Wgsl(source.text.as_ref().into()),
        };
        // SAFETY: accesses are still checked against the bindings; only the counter that
        // ends endless loops is left out, and `KernelSource` asks for loops that end.
        let module = unsafe { device.create_shader_module_trusted(desc, checks) };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: None,
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&source.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(&source.entry),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        (pipeline, layout)
    });
    let name = source.name.to_string();
    let (pipeline, layout) = built.map_err(|f| {
        context.error(f, 0, |device, log| DeviceError::Compile {
            device,
            kernel: name.clone(),
            log,
        })
    })?;
    Ok(WgpuKernel {
        context: context.id,
        name,
        pipeline,
        layout,
        buffers: source.buffers.clone(),
        params: source.params,
    })
}

fn storage(access: Access) -> wgpu::BufferBindingType {
    wgpu::BufferBindingType::Storage { read_only: access == Access::Read }
}
