//! Adapters: enumeration, order, and what they tell about themselves.

use std::{cmp::Reverse, sync::OnceLock};

use wgpu::{Backend as Api, Backends, DeviceType, Features as F};

use super::context::Context;
use crate::{
    cpu::host_memory_bytes,
    error::{DeviceError, Result},
    info::{Backend, DeviceClass, DeviceInfo, Features, Limits},
    registry::DeviceOptions,
    spec::DeviceName,
};

/// The cap of a discrete card whose memory the API does not tell (DX12): what the smallest
/// cards sold for compute in recent years have. A guess; `memory_cap` overrides it.
const UNKNOWN_DISCRETE_BYTES: u64 = 4 << 30;

/// The share of its own memory that a discrete card's pool may take: the rest is for the
/// driver, staging and the display. A guess.
const DISCRETE_SHARE: f64 = 0.9;

/// The share of the host's memory for an adapter that works in it. A guess.
const SHARED_SHARE: f64 = 0.5;

/// The features that kernels use where an adapter has them.
const WANTED: [F; 9] = [
    F::SHADER_INT64,
    F::SHADER_INT64_ATOMIC_MIN_MAX,
    F::SHADER_INT64_ATOMIC_ALL_OPS,
    F::SHADER_F64,
    F::SHADER_F16,
    F::SHADER_I16,
    F::SHADER_FLOAT32_ATOMIC,
    F::SUBGROUP,
    F::SUBGROUP_BARRIER,
];

/// The process's one instance: drivers do not like to be loaded and unloaded.
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
        desc.backends = Backends::VULKAN | Backends::METAL | Backends::DX12;
        // Validation layers only where WGPU_VALIDATION asks for them; wgpu checks by itself.
        desc.flags = wgpu::InstanceFlags::empty().with_env();
        wgpu::Instance::new(desc)
    })
}

/// The adapters in order: real before software, discrete before integrated, then by API,
/// bus and name. A card that DX12 shows beside Vulkan is listed once.
///
/// # Errors
/// `NotAvailable` with the reason when there is none.
pub(super) fn list() -> Result<Vec<wgpu::Adapter>> {
    let backends = Backends::VULKAN | Backends::METAL | Backends::DX12;
    let found = pollster::block_on(instance().enumerate_adapters(backends));
    let mut found: Vec<_> = found.into_iter().map(|a| (a.get_info(), a)).collect();
    let on_vulkan: Vec<(u32, u32)> = found
        .iter()
        .filter(|(i, _)| i.backend == Api::Vulkan)
        .map(|(i, _)| (i.vendor, i.device))
        .collect();
    found.retain(|(i, _)| i.backend != Api::Dx12 || !on_vulkan.contains(&(i.vendor, i.device)));
    if found.is_empty() {
        let device = DeviceName::new(Backend::Wgpu, 0).to_string();
        return Err(DeviceError::NotAvailable { device, reason: missing() });
    }
    found.sort_by_cached_key(|(i, _)| {
        let kind = match i.device_type {
            DeviceType::DiscreteGpu => 0,
            DeviceType::IntegratedGpu => 1,
            DeviceType::VirtualGpu => 2,
            DeviceType::Other => 3,
            DeviceType::Cpu => 4,
        };
        // Of the APIs, Vulkan has the most features (64-bit atomics on every card that can).
        (kind, Reverse(i.backend == Api::Vulkan), i.device_pci_bus_id.clone(), i.name.clone())
    });
    Ok(found.into_iter().map(|(_, a)| a).collect())
}

/// Why no adapter was found.
fn missing() -> String {
    #[cfg(target_os = "linux")]
    // SAFETY: loading the Vulkan loader runs its initialisers, which set up its own tables
    // only; the instance has done the same before.
    if unsafe { libloading::Library::new("libvulkan.so.1") }.is_err() {
        return "the Vulkan loader libvulkan.so.1 is not installed; install the GPU's Vulkan \
                driver, or for a software adapter the packages libvulkan1 and \
                mesa-vulkan-drivers"
            .to_string();
    }
    if cfg!(target_os = "linux") {
        "the Vulkan loader finds no adapter; install the GPU's Vulkan driver (its .json file \
         belongs under /usr/share/vulkan/icd.d or the path in VK_DRIVER_FILES), or \
         mesa-vulkan-drivers for a software adapter"
            .to_string()
    } else {
        "no adapter with Vulkan, Metal or DX12; install the GPU's driver".to_string()
    }
}

/// Opens adapter `index` with the adapter's own limits and the features that kernels use.
///
/// # Errors
/// `NotAvailable` with the reason.
pub(super) fn open(index: u32, options: &DeviceOptions) -> Result<(DeviceInfo, Context)> {
    let name = DeviceName::new(Backend::Wgpu, index);
    let unavailable =
        |reason: String| DeviceError::NotAvailable { device: name.to_string(), reason };
    let mut found = list()?;
    if index as usize >= found.len() {
        let last = found.len() - 1;
        return Err(unavailable(format!("the adapters of this host are wgpu:0 to wgpu:{last}")));
    }
    let adapter = found.swap_remove(index as usize);
    let (has, limits) = (adapter.features(), adapter.limits());
    let wanted = |f: &F| has.contains(*f) && !options.wgpu_baseline;
    let features = WANTED.into_iter().filter(wanted).fold(F::empty(), |a, b| a | b);
    let desc = wgpu::DeviceDescriptor {
        label: Some("windlass"),
        required_features: features,
        required_limits: limits.clone(),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&desc))
        .map_err(|e| unavailable(format!("the driver refused: {e}")))?;

    let about = adapter.get_info();
    let memory = memory_bytes(&adapter, &about);
    let info = DeviceInfo {
        name: name.clone(),
        backend: Backend::Wgpu,
        class: match about.device_type {
            DeviceType::Cpu => DeviceClass::Software,
            _ => DeviceClass::Real,
        },
        model: about.name.clone(),
        driver: format!("{:?} {} {}", about.backend, about.driver, about.driver_info)
            .trim_end()
            .to_string(),
        memory_bytes: memory,
        pci: about.device_pci_bus_id.clone(),
        peers: Vec::new(),
        units: 0,
        limits: kernel_limits(&limits, &about, features),
        features: Features {
            int64: features.contains(F::SHADER_INT64),
            int64_atomics: features.contains(F::SHADER_INT64_ATOMIC_ALL_OPS),
            float64: features.contains(F::SHADER_F64),
            int128: false,
        },
    };
    let cap = options.memory_cap.unwrap_or_else(|| default_cap(memory, about.device_type));
    let context = Context::new(name, device, queue, &info, cap, options.faults);
    Ok((info, context))
}

fn kernel_limits(limits: &wgpu::Limits, about: &wgpu::AdapterInfo, features: F) -> Limits {
    let bindable = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    Limits {
        // Bindings end at a multiple of 4.
        max_buffer_bytes: usize::try_from(bindable).unwrap_or(usize::MAX) / 4 * 4,
        max_buffers: limits
            .max_storage_buffers_per_shader_stage
            .min(limits.max_bindings_per_bind_group.saturating_sub(1)),
        max_block: limits
            .max_compute_invocations_per_workgroup
            .min(limits.max_compute_workgroup_size_x),
        shared_bytes: limits.max_compute_workgroup_storage_size,
        // Where the driver chooses among several sizes, the smallest is what holds always.
        warp: if features.contains(F::SUBGROUP) { about.subgroup_min_size.max(1) } else { 1 },
    }
}

/// The memory that the adapter's buffers live in; 0 when the API does not tell.
fn memory_bytes(adapter: &wgpu::Adapter, about: &wgpu::AdapterInfo) -> u64 {
    #[cfg(not(target_vendor = "apple"))]
    if about.backend == Api::Vulkan {
        // SAFETY: the handle is only read, while the adapter is alive.
        let hal = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() };
        if let Some(hal) = hal {
            let vulkan = hal.shared_instance().raw_instance();
            // SAFETY: the physical device belongs to this instance.
            let memory =
                unsafe { vulkan.get_physical_device_memory_properties(hal.raw_physical_device()) };
            // Bit 0 of a heap's flags is VK_MEMORY_HEAP_DEVICE_LOCAL_BIT.
            return memory.memory_heaps[..memory.memory_heap_count as usize]
                .iter()
                .filter(|heap| heap.flags.as_raw() & 1 != 0)
                .map(|heap| heap.size)
                .max()
                .unwrap_or(0);
        }
    }
    let _ = adapter;
    match about.device_type {
        DeviceType::IntegratedGpu | DeviceType::Cpu => host_memory_bytes(),
        _ => 0,
    }
}

fn default_cap(memory: u64, kind: DeviceType) -> usize {
    let bytes = match kind {
        DeviceType::IntegratedGpu | DeviceType::Cpu => {
            let host = host_memory_bytes();
            let shared = if memory == 0 { host } else { memory.min(host) };
            shared as f64 * SHARED_SHARE
        }
        _ if memory == 0 => UNKNOWN_DISCRETE_BYTES as f64,
        _ => memory as f64 * DISCRETE_SHARE,
    };
    bytes as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_leave_room() {
        assert_eq!(default_cap(10 << 30, DeviceType::DiscreteGpu), 9 << 30);
        assert_eq!(default_cap(0, DeviceType::DiscreteGpu) as u64, UNKNOWN_DISCRETE_BYTES);
        assert!(default_cap(0, DeviceType::Cpu) as u64 <= host_memory_bytes() / 2);
        assert!(default_cap(u64::MAX, DeviceType::Cpu) as u64 <= host_memory_bytes() / 2);
    }

    #[test]
    fn the_reason_for_no_adapter_names_what_to_install() {
        assert!(missing().contains("install"));
    }
}
