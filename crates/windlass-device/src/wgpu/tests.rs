//! The backend on whatever adapter `wgpu:0` is; in CI that is lavapipe.

use std::{borrow::Cow, sync::Arc};

use super::WgpuDevice;
use crate::{
    buffer::DeviceBuffer,
    device::{Device, Queue},
    error::DeviceError,
    fault::FaultPlan,
    info::DeviceClass,
    registry::DeviceOptions,
    source::{Access, KernelSource, Language},
};

/// The device, or `None` where `WINDLASS_NO_WGPU=1` says that this host has none. Without
/// that word a missing adapter fails the test: it is never passed over in silence.
fn device_with(options: &DeviceOptions) -> Option<WgpuDevice> {
    if std::env::var("WINDLASS_NO_WGPU").is_ok_and(|v| v == "1") {
        eprintln!("skipped: WINDLASS_NO_WGPU=1, so no wgpu adapter is expected here");
        return None;
    }
    match WgpuDevice::open(0, options) {
        Ok(d) => Some(d),
        Err(e) => panic!("{e}. Set WINDLASS_NO_WGPU=1 to skip the wgpu tests on this host."),
    }
}

fn device() -> Option<WgpuDevice> {
    device_with(&DeviceOptions { memory_cap: Some(1 << 30), ..Default::default() })
}

fn faulty(plan: &str) -> Option<WgpuDevice> {
    let faults = FaultPlan::parse(plan).unwrap();
    device_with(&DeviceOptions { faults, ..Default::default() })
}

fn alloc(d: &WgpuDevice, bytes: usize) -> DeviceBuffer {
    let mut r = d.pool().reserve(bytes).unwrap();
    d.alloc(&mut r, bytes).unwrap()
}

fn download(q: &mut dyn Queue, b: &DeviceBuffer) -> Vec<u8> {
    let mut out = vec![0; b.len()];
    q.download(b, 0, &mut out).unwrap();
    out
}

fn source(text: &str, buffers: Vec<Access>, params: u32) -> KernelSource {
    KernelSource {
        name: Cow::Borrowed("test/kernel"),
        language: Language::Wgsl,
        text: Cow::Owned(text.to_string()),
        headers: vec![],
        entry: Cow::Borrowed("main"),
        block: 64,
        buffers,
        params,
    }
}

/// `out[i] = in[i] * a + b` for `n` words, 64 to a group.
const AXPB: &str = "
struct Params { n: u32, a: u32, b: u32 }
@group(0) @binding(0) var<storage, read> src: array<u32>;
@group(0) @binding(1) var<storage, read_write> dst: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_id) lid: vec3<u32>,
) {
    let i = (wid.x + wid.y * nwg.x) * 64u + lid.x;
    if i < p.n { dst[i] = src[i] * p.a + p.b; }
}";

fn axpb() -> KernelSource {
    source(AXPB, vec![Access::Read, Access::ReadWrite], 3)
}

#[test]
fn the_info_is_complete() {
    let Some(d) = device() else { return };
    let info = d.info();
    assert!(!info.model.is_empty() && !info.driver.is_empty());
    assert!(matches!(info.class, DeviceClass::Real | DeviceClass::Software));
    assert!(info.limits.max_buffer_bytes >= 128 << 20, "{:?}", info.limits);
    assert!(info.limits.max_buffers >= 8 && info.limits.max_block >= 256);
    assert!(super::count().unwrap() >= 1);
    assert!(matches!(super::open(999, &DeviceOptions::default()),
        Err(DeviceError::NotAvailable { reason, .. }) if reason.contains("wgpu:0")));
}

#[test]
fn bytes_go_in_and_come_out_at_any_offset() {
    let Some(d) = device() else { return };
    let mut q = d.queue().unwrap();
    for len in [0, 1, 3, 4, 5, 31, 64, 1001] {
        let b = alloc(&d, len);
        let mut want = vec![0xab; len];
        q.fill(&b, 0xabab_abab).unwrap();
        for (offset, n) in [(0, 1), (1, 1), (1, 2), (2, 5), (3, 9), (5, 26), (0, len)] {
            if offset + n > len {
                assert!(q.upload(&b, offset, &vec![0; n]).is_err());
                continue;
            }
            let bytes: Vec<u8> = (0..n).map(|i| (i * 7 + offset + 1) as u8).collect();
            q.upload(&b, offset, &bytes).unwrap();
            want[offset..offset + n].copy_from_slice(&bytes);
            assert_eq!(download(&mut *q, &b), want, "len {len}, offset {offset}, {n} bytes");
            let mut part = vec![0; n];
            q.download(&b, offset, &mut part).unwrap();
            assert_eq!(part, bytes);
        }
    }
}

#[test]
fn transfers_past_one_stage() {
    let Some(d) = device() else { return };
    let mut q = d.queue().unwrap();
    let bytes: Vec<u8> = (0..(70 << 20) + 3u32).map(|i| (i ^ (i >> 11)) as u8).collect();
    let (a, b) = (alloc(&d, bytes.len()), alloc(&d, bytes.len()));
    q.upload(&a, 0, &bytes).unwrap();
    q.copy(&a, 0, &b, 0, bytes.len()).unwrap();
    assert!(download(&mut *q, &b) == bytes);
}

#[test]
fn fills_and_copies() {
    let Some(d) = device() else { return };
    let mut q = d.queue().unwrap();
    let (a, b) = (alloc(&d, 4099), alloc(&d, 4099));
    q.fill(&a, 0x0403_0201).unwrap();
    q.fill(&b, 0).unwrap();
    q.copy(&a, 4, &b, 8, 16).unwrap();
    let want: Vec<u8> = (0..4099).map(|i| (i % 4 + 1) as u8).collect();
    assert_eq!(download(&mut *q, &a), want);
    let got = download(&mut *q, &b);
    assert_eq!(got[..8], [0; 8]);
    assert_eq!(got[8..24], want[..16]);
    assert!(got[24..].iter().all(|x| *x == 0));
    for (from, to, len) in [(1, 0, 4), (0, 2, 4), (0, 0, 5), (0, 4096, 4)] {
        let e = q.copy(&a, from, &b, to, len).unwrap_err();
        assert!(matches!(e, DeviceError::InvalidArgument(_)), "{e}");
    }
    assert!(matches!(q.copy(&a, 0, &a, 8, 8), Err(DeviceError::InvalidArgument(_))));
}

#[test]
fn a_kernel_runs_with_params_and_in_order() {
    let Some(d) = device() else { return };
    let mut q = d.queue().unwrap();
    let k = d.compile(&axpb()).unwrap();
    let again = d.compile(&axpb()).unwrap();
    assert!(Arc::ptr_eq(&k, &again), "an equal source is compiled once");
    let n = 1000u32;
    let (a, b) = (alloc(&d, 4000), alloc(&d, 4000));
    let words: Vec<u32> = (0..n).collect();
    q.upload(&a, 0, bytemuck::cast_slice(&words)).unwrap();
    // Each step reads what the one before wrote; more steps than one batch or one page of
    // parameters holds.
    let mut want = words;
    for step in 0..100u32 {
        let (from, to) = if step % 2 == 0 { (&a, &b) } else { (&b, &a) };
        q.launch(&k, n.div_ceil(64), &[from, to], &[n, 3, step]).unwrap();
        want = want.iter().map(|x| x.wrapping_mul(3).wrapping_add(step)).collect();
    }
    let mut got = vec![0u32; n as usize];
    q.download(&a, 0, bytemuck::cast_slice_mut(&mut got)).unwrap();
    assert_eq!(got, want);
    // An upload stands between the launches around it.
    q.launch(&k, n.div_ceil(64), &[&a, &b], &[n, 0, 5]).unwrap();
    q.upload(&b, 0, &[9, 0, 0, 0]).unwrap();
    q.launch(&k, n.div_ceil(64), &[&b, &a], &[n, 1, 1]).unwrap();
    q.download(&a, 0, bytemuck::cast_slice_mut(&mut got)).unwrap();
    assert_eq!(got[..3], [10, 6, 6]);
    q.launch(&k, 0, &[&b, &a], &[n, 1, 1]).unwrap();
    q.synchronize().unwrap();
}

#[test]
fn more_groups_than_one_dimension_holds() {
    let Some(d) = device() else { return };
    let mut q = d.queue().unwrap();
    let k = d.compile(&axpb()).unwrap();
    let groups = 70_001u32;
    let n = groups * 64 - 5;
    let (a, b) = (alloc(&d, n as usize * 4), alloc(&d, n as usize * 4));
    q.fill(&a, 7).unwrap();
    q.fill(&b, 0).unwrap();
    q.launch(&k, groups, &[&a, &b], &[n, 2, 1]).unwrap();
    let mut got = vec![0u32; n as usize];
    q.download(&b, 0, bytemuck::cast_slice_mut(&mut got)).unwrap();
    assert!(got.iter().all(|x| *x == 15));
}

#[test]
fn empty_buffers_can_be_bound() {
    let Some(d) = device() else { return };
    let mut q = d.queue().unwrap();
    let text = "
        @group(0) @binding(0) var<storage, read> a: array<vec4<u32>>;
        @group(0) @binding(1) var<storage, read_write> b: array<vec4<u32>>;
        @compute @workgroup_size(64)
        fn main(@builtin(local_invocation_id) lid: vec3<u32>) {
            if lid.x > 64u { b[0] = a[0]; }
        }";
    let k = d.compile(&source(text, vec![Access::Read, Access::ReadWrite], 0)).unwrap();
    let (a, b) = (alloc(&d, 0), alloc(&d, 0));
    q.launch(&k, 1, &[&a, &b], &[]).unwrap();
    q.synchronize().unwrap();
    assert_eq!(d.pool().stats().in_use, 0);
}

#[test]
fn wide_types_where_the_adapter_has_them() {
    let Some(d) = device() else { return };
    let f = d.info().features;
    if !(f.int64 && f.int64_atomics && f.float64) {
        eprintln!("skipped: {} has no 64-bit types", d.info().model);
        return;
    }
    let mut q = d.queue().unwrap();
    let text = "
        @group(0) @binding(0) var<storage, read_write> sum: array<atomic<u64>>;
        @group(0) @binding(1) var<storage, read_write> out: array<f64>;
        @compute @workgroup_size(64)
        fn main(@builtin(local_invocation_id) lid: vec3<u32>) {
            atomicAdd(&sum[0], u64(lid.x) << 32u);
            out[lid.x] = f64(lid.x) * 0.5lf;
        }";
    let k = d.compile(&source(text, vec![Access::ReadWrite; 2], 0)).unwrap();
    let (a, b) = (alloc(&d, 8), alloc(&d, 64 * 8));
    q.fill(&a, 0).unwrap();
    q.launch(&k, 1, &[&a, &b], &[]).unwrap();
    let (mut sum, mut out) = ([0u64; 1], [0f64; 64]);
    q.download(&a, 0, bytemuck::cast_slice_mut(&mut sum)).unwrap();
    q.download(&b, 0, bytemuck::cast_slice_mut(&mut out)).unwrap();
    assert_eq!(sum[0], 2016 << 32);
    assert_eq!(out[63], 31.5);
}

#[test]
fn a_wrong_kernel_gives_the_compiler_s_words() {
    let Some(d) = device() else { return };
    for (text, word) in [
        ("fn main() { let x: u32 = nonsense; }", "nonsense"),
        ("@compute @workgroup_size(64) fn other() {}", "main"),
        (
            "@group(0) @binding(5) var<storage, read_write> b: array<u32>;
          @compute @workgroup_size(64) fn main() { b[0] = 1u; }",
            "binding",
        ),
    ] {
        match d.compile(&source(text, vec![], 0)) {
            Err(DeviceError::Compile { kernel, log, .. }) => {
                assert_eq!(kernel, "test/kernel");
                assert!(log.contains(word), "{log}");
            }
            other => panic!("{:?}", other.map(|k| k.name().to_string())),
        }
    }
    let cuda = KernelSource { language: Language::Cuda, ..axpb() };
    assert!(matches!(d.compile(&cuda), Err(DeviceError::Unsupported { .. })));
    let wide = KernelSource { block: 1 << 20, ..axpb() };
    assert!(matches!(d.compile(&wide), Err(DeviceError::Unsupported { .. })));
    // The device goes on.
    assert!(d.compile(&axpb()).is_ok());
}

#[test]
fn a_wrong_launch_is_refused_and_the_queue_goes_on() {
    let Some(d) = device() else { return };
    let mut q = d.queue().unwrap();
    let k = d.compile(&axpb()).unwrap();
    let (a, b) = (alloc(&d, 4), alloc(&d, 4));
    q.fill(&a, 1).unwrap();
    for (buffers, params) in
        [(vec![&a], vec![1, 1, 1]), (vec![&a, &b], vec![1]), (vec![&a, &a], vec![1, 1, 1])]
    {
        let e = q.launch(&k, 1, &buffers, &params).unwrap_err();
        assert!(matches!(e, DeviceError::InvalidArgument(_)), "{e}");
    }
    let other = device().unwrap();
    let mut foreign = other.queue().unwrap();
    let e = foreign.launch(&k, 1, &[&a, &b], &[1, 1, 1]).unwrap_err();
    assert!(matches!(e, DeviceError::InvalidArgument(_)), "{e}");
    assert!(foreign.upload(&a, 0, &[1]).is_err());
    q.launch(&k, 1, &[&a, &b], &[1, 1, 1]).unwrap();
    assert_eq!(download(&mut *q, &b), [2, 0, 0, 0]);
}

#[test]
fn the_pool_and_the_adapter_refuse_too_much() {
    let options = DeviceOptions { memory_cap: Some(1000), ..Default::default() };
    let Some(d) = device_with(&options) else { return };
    let mut r = d.pool().reserve(10).unwrap();
    let a = d.alloc(&mut r, 900).unwrap();
    let e = d.alloc(&mut r, 101).unwrap_err();
    assert!(matches!(e, DeviceError::OutOfMemory { requested: 101, cap: 1000, .. }), "{e}");
    drop((a, r));
    assert_eq!(d.pool().stats().in_use, 0);
    d.pool().set_cap(usize::MAX);
    let too_long = d.info().limits.max_buffer_bytes + 1;
    let mut r = d.pool().reserve(0).unwrap();
    assert!(matches!(d.alloc(&mut r, too_long), Err(DeviceError::OutOfMemory { .. })));
    assert_eq!(d.pool().stats().in_use, 0);
}

#[test]
fn faults_are_injected() {
    let Some(d) = faulty("alloc=2,launch=1,transfer=2") else { return };
    let mut q = d.queue().unwrap();
    let a = alloc(&d, 4);
    let mut r = d.pool().reserve(8).unwrap();
    assert!(matches!(d.alloc(&mut r, 4), Err(DeviceError::OutOfMemory { .. })));
    let b = d.alloc(&mut r, 4).unwrap();
    q.upload(&a, 0, &[1]).unwrap();
    assert!(matches!(q.upload(&a, 0, &[1]), Err(DeviceError::Transfer { .. })));
    let k = d.compile(&axpb()).unwrap();
    let e = q.launch(&k, 1, &[&a, &b], &[1, 1, 1]).unwrap_err();
    assert!(matches!(e, DeviceError::Launch { .. }), "{e}");
    q.launch(&k, 1, &[&a, &b], &[1, 1, 1]).unwrap();
    let d = faulty("lost=2").unwrap();
    let a = alloc(&d, 4);
    let mut q = d.queue().unwrap();
    assert!(matches!(q.upload(&a, 0, &[1]), Err(DeviceError::Lost { .. })));
    assert!(matches!(d.alloc(&mut d.pool().reserve(4).unwrap(), 4), Err(DeviceError::Lost { .. })));
}

#[test]
fn a_lost_device_is_an_error_and_no_panic() {
    let Some(d) = device() else { return };
    let mut q = d.queue().unwrap();
    let k = d.compile(&axpb()).unwrap();
    let (a, b) = (alloc(&d, 4096), alloc(&d, 4096));
    q.fill(&a, 3).unwrap();
    q.launch(&k, 16, &[&a, &b], &[1024, 1, 1]).unwrap();
    d.context.device.destroy();
    let e = q.download(&b, 0, &mut [0; 64]).unwrap_err();
    assert!(matches!(e, DeviceError::Lost { .. }), "{e}");
    let lost =
        |r: Result<(), DeviceError>| assert!(matches!(r, Err(DeviceError::Lost { .. })), "{r:?}");
    lost(q.synchronize());
    lost(q.upload(&a, 0, &[1, 2, 3, 4]));
    lost(q.launch(&k, 1, &[&a, &b], &[1, 1, 1]));
    lost(q.fill(&a, 0));
    lost(d.alloc(&mut d.pool().reserve(4).unwrap(), 4).map(|_| ()));
    lost(d.queue().map(|_| ()));
}

#[test]
fn queues_of_several_threads_keep_their_order() {
    let Some(d) = device() else { return };
    let k = d.compile(&axpb()).unwrap();
    std::thread::scope(|scope| {
        for t in 0..4u32 {
            let (d, k) = (&d, &k);
            scope.spawn(move || {
                let mut q = d.queue().unwrap();
                let (a, b) = (alloc(d, 256), alloc(d, 256));
                for round in 0..20u32 {
                    q.fill(&a, t + 1).unwrap();
                    q.launch(k, 1, &[&a, &b], &[64, round, t]).unwrap();
                    let mut got = [0u32; 64];
                    q.download(&b, 0, bytemuck::cast_slice_mut(&mut got)).unwrap();
                    assert_eq!(got, [(t + 1) * round + t; 64]);
                }
            });
        }
    });
}
