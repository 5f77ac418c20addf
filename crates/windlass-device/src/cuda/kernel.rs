//! Kernels of a GPU: compiled by NVRTC, kept on disk, loaded once.

use std::{any::Any, ffi::CString, fs, path::Path, sync::Arc};

use cudarc::driver::{
    result::{self, DriverError},
    sys,
};

use super::{
    driver::{self, Context},
    nvrtc::{self, Target},
};
use crate::{cache, device::Kernel, source::KernelSource};

/// A function of a loaded module. The module lives as long as the context.
pub(super) struct CudaKernel {
    name: String,
    pub(super) context: Arc<Context>,
    pub(super) function: sys::CUfunction,
    pub(super) block: u32,
    pub(super) buffers: usize,
    pub(super) params: usize,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for CudaKernel {}
// SAFETY: as above.
unsafe impl Sync for CudaKernel {}

impl Kernel for CudaKernel {
    fn name(&self) -> &str {
        &self.name
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The target for a device of architecture `arch`: machine code where NVRTC knows the
/// architecture, else text of the newest one that it knows, for the driver to translate.
fn target(arch: u32) -> Result<Target, String> {
    let known = nvrtc::architectures()?;
    if known.contains(&arch) {
        return Ok(Target::Cubin(arch));
    }
    known.iter().rev().find(|a| **a < arch).map(|a| Target::Ptx(*a)).ok_or_else(|| {
        let (major, minor) = nvrtc::version().unwrap_or_default();
        format!(
            "the device's architecture sm_{arch} is older than NVRTC {major}.{minor} compiles for"
        )
    })
}

/// Compiles a source for the context's device of architecture `arch`, or takes what was
/// compiled before from `folder`, and loads it. The context must be the thread's.
///
/// # Errors
/// The compiler's log, or why its result cannot be loaded.
pub(super) fn load(
    context: &Arc<Context>,
    source: &KernelSource,
    arch: u32,
    folder: &Path,
) -> Result<CudaKernel, String> {
    let target = target(arch)?;
    let (major, minor) = nvrtc::version()?;
    let mut parts = nvrtc::parts(source, &nvrtc::unit(source));
    parts.push(format!("{target:?} by NVRTC {major}.{minor}"));
    let extension = if matches!(target, Target::Cubin(_)) { "cubin" } else { "ptx" };
    let name = cache::name(parts.iter().map(|p| &**p));
    let file = folder.join("cuda").join(format!("{name}.{extension}"));
    let kept = fs::read(&file).ok().and_then(|image| module(image).ok());
    let module = match kept {
        Some(module) => module,
        None => {
            let image = nvrtc::compile(source, target)?;
            if let Err(e) = cache::store(&file, &image) {
                tracing::warn!("the kernel {} is not kept: {}: {e}", source.name, file.display());
            }
            module(image).map_err(|e| format!("the driver refuses it: {}", driver::words(e)))?
        }
    };
    let entry = CString::new(&*source.entry).map_err(|e| e.to_string())?;
    // SAFETY: the module was loaded into the current context, which it lives as long as.
    let function = unsafe { result::module::get_function(module, entry) }
        .map_err(|e| format!("entry {}: {}", source.entry, driver::words(e)))?;
    let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
    // SAFETY: the function was found above.
    let most = unsafe { result::function::get_function_attribute(function, attribute) }
        .map_err(driver::words)?;
    if source.block == 0 || i64::from(source.block) > i64::from(most) {
        let block = source.block;
        return Err(format!("a block of {block} threads; with its registers {most} are possible"));
    }
    Ok(CudaKernel {
        name: source.name.to_string(),
        context: Arc::clone(context),
        function,
        block: source.block,
        buffers: source.buffers.len(),
        params: source.params as usize,
    })
}

/// Loads a cubin or a PTX text into the current context.
fn module(mut image: Vec<u8>) -> Result<sys::CUmodule, DriverError> {
    // PTX is read up to a zero byte; a cubin carries its own length.
    image.push(0);
    // SAFETY: the image is whole: files appear whole, and the driver checks the format.
    unsafe { result::module::load_data(image.as_ptr().cast()) }
}
