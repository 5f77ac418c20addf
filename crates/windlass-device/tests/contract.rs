//! What every GPU backend promises through the traits: one body for each promise, run on the
//! emulator and on wgpu's first adapter, and by `make test-gpu` on each real GPU.

use std::{borrow::Cow, sync::Arc, thread};

use windlass_device::{
    Backend, Device, DeviceBuffer, DeviceError, DeviceName, DeviceOptions, KernelSource, Language,
    open_device, source::Access,
};

/// More than two halves of pinned memory and no round number.
const LARGE: usize = (20 << 20) + 12;

type Body = fn(&dyn Device);

fn open(name: &str) -> Arc<dyn Device> {
    let name: DeviceName = name.parse().unwrap_or_else(|e| panic!("{e}"));
    open_device(&name, &DeviceOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// `dst[i] = src[i] * a + b` for `n` words, 64 threads a block.
fn axpb(d: &dyn Device) -> KernelSource {
    let (language, text) = match d.info().backend {
        Backend::Wgpu => (Language::Wgsl, include_str!("axpb.wgsl")),
        _ => (Language::Cuda, include_str!("axpb.cuh")),
    };
    KernelSource {
        name: Cow::Borrowed("contract/axpb"),
        language,
        text: Cow::Borrowed(text),
        headers: vec![],
        entry: Cow::Borrowed("axpb"),
        block: 64,
        buffers: vec![Access::Read, Access::ReadWrite],
        params: 3,
    }
}

fn alloc(d: &dyn Device, bytes: usize) -> DeviceBuffer {
    d.alloc(&mut d.pool().reserve(bytes).unwrap(), bytes).unwrap()
}

fn put(d: &dyn Device, words: &[u32]) -> DeviceBuffer {
    let b = alloc(d, words.len() * 4);
    let mut q = d.queue().unwrap();
    q.upload(&b, 0, bytemuck::cast_slice(words)).unwrap();
    q.synchronize().unwrap();
    b
}

fn words(d: &dyn Device, b: &DeviceBuffer) -> Vec<u32> {
    let mut out = vec![0u32; b.len() / 4];
    d.queue().unwrap().download(b, 0, bytemuck::cast_slice_mut(&mut out)).unwrap();
    out
}

fn bytes_of(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i / 251) as u8 ^ (i as u8).wrapping_mul(31) ^ seed).collect()
}

/// Bytes come back as they went, at any offset and of any length.
fn bytes_round_trip(d: &dyn Device) {
    let mut q = d.queue().unwrap();
    for (len, at) in [(0, 0), (1, 0), (3, 1), (4096, 5), (LARGE, 0), (LARGE - 9, 7)] {
        let b = alloc(d, LARGE);
        let data = bytes_of(len, 7);
        q.upload(&b, at, &data).unwrap();
        let mut back = vec![0u8; len];
        q.download(&b, at, &mut back).unwrap();
        assert!(back == data, "{len} bytes at {at}");
    }
    // Many small ones, each where the one before ended, and no wait between.
    let b = alloc(d, 256 * 1000);
    for i in 0..1000 {
        q.upload(&b, i * 256, &bytes_of(256, i as u8)).unwrap();
    }
    for i in [0, 1, 500, 999] {
        let mut back = vec![0u8; 256];
        q.download(&b, i * 256, &mut back).unwrap();
        assert!(back == bytes_of(256, i as u8), "piece {i}");
    }
}

/// A source may be reused as soon as an upload has returned.
fn a_source_may_change_after_the_upload(d: &dyn Device) {
    let mut q = d.queue().unwrap();
    let b = alloc(d, LARGE);
    let mut data = bytes_of(LARGE, 1);
    q.upload(&b, 0, &data).unwrap();
    data.fill(0);
    q.download(&b, 0, &mut data).unwrap();
    assert!(data == bytes_of(LARGE, 1));
}

/// Copies and fills, a length that is no whole word included.
fn copies_and_fills(d: &dyn Device) {
    let mut q = d.queue().unwrap();
    let (a, b) = (alloc(d, 4003), alloc(d, 4000));
    q.fill(&a, 0x0403_0201).unwrap();
    q.fill(&b, 9).unwrap();
    q.copy(&a, 4, &b, 400, 3000).unwrap();
    let mut out = vec![0u8; 4003];
    q.download(&a, 0, &mut out).unwrap();
    assert!(out.iter().enumerate().all(|(i, x)| *x == [1, 2, 3, 4][i % 4]));
    let out = words(d, &b);
    let copied = |i: usize| (100..850).contains(&i);
    assert!(out.iter().enumerate().all(|(i, x)| *x == if copied(i) { 0x0403_0201 } else { 9 }));
    for (s, t, n) in [(2, 0, 4), (0, 2, 4), (0, 0, 6), (4000, 0, 8), (0, 3996, 8)] {
        let refused = q.copy(&a, s, &b, t, n);
        assert!(matches!(refused, Err(DeviceError::InvalidArgument(_))), "{s} {t} {n}");
    }
}

/// Launches on one queue run in order; a buffer may be dropped right after its launch.
fn work_is_in_order_and_outlives_its_buffers(d: &dyn Device) {
    const N: usize = 100_003;
    let kernel = d.compile(&axpb(d)).unwrap();
    let groups = N.div_ceil(64) as u32;
    let mut q = d.queue().unwrap();
    let mut current = alloc(d, N * 4);
    let start: Vec<u32> = (0..N as u32).collect();
    q.upload(&current, 0, bytemuck::cast_slice(&start)).unwrap();
    for _ in 0..40 {
        let next = alloc(d, N * 4);
        q.launch(&kernel, groups, &[&current, &next], &[N as u32, 3, 1]).unwrap();
        // The old buffer's last handle goes here, with its launch perhaps still to run.
        current = next;
    }
    let mut out = vec![0u32; N];
    q.download(&current, 0, bytemuck::cast_slice_mut(&mut out)).unwrap();
    for (i, x) in out.into_iter().enumerate() {
        let expected = (0..40).fold(i as u32, |v, _| v.wrapping_mul(3).wrapping_add(1));
        assert_eq!(x, expected, "word {i}");
    }
    q.launch(&kernel, 0, &[&current, &current], &[0, 0, 0]).unwrap();
    q.synchronize().unwrap();
}

/// Queues of several threads do not disturb each other.
fn queues_work_side_by_side(d: &dyn Device) {
    thread::scope(|scope| {
        for seed in 0..4u32 {
            scope.spawn(move || {
                let kernel = d.compile(&axpb(d)).unwrap();
                let mut q = d.queue().unwrap();
                for n in [1u32, 63, 64, 65, 10_000] {
                    let data: Vec<u32> = (0..n).map(|i| i ^ seed).collect();
                    let (a, b) = (alloc(d, data.len() * 4), alloc(d, data.len() * 4));
                    q.upload(&a, 0, bytemuck::cast_slice(&data)).unwrap();
                    q.launch(&kernel, n.div_ceil(64), &[&a, &b], &[n, seed, 5]).unwrap();
                    let mut out = vec![0u32; data.len()];
                    q.download(&b, 0, bytemuck::cast_slice_mut(&mut out)).unwrap();
                    let expected = data.iter().map(|x| x.wrapping_mul(seed).wrapping_add(5));
                    assert!(out.into_iter().eq(expected), "{n} words of thread {seed}");
                }
            });
        }
    });
}

/// Many threads that read back at the same time each get their own bytes.
fn many_threads_read_back(d: &dyn Device) {
    const THREADS: u32 = 16;
    const READS: u32 = 2000;
    thread::scope(|scope| {
        for seed in 0..THREADS {
            scope.spawn(move || {
                let data: Vec<u32> = (0..64).map(|i| i * THREADS + seed).collect();
                let b = put(d, &data);
                let mut q = d.queue().unwrap();
                for i in 0..READS {
                    let mut out = vec![0u32; data.len()];
                    q.download(&b, 0, bytemuck::cast_slice_mut(&mut out))
                        .unwrap_or_else(|e| panic!("read {i} of thread {seed}: {e}"));
                    assert!(out == data, "read {i} of thread {seed}");
                }
            });
        }
    });
}

/// The pool counts what lives, and refuses what is past its cap.
fn memory_is_accounted(d: &dyn Device) {
    let before = d.pool().stats().in_use;
    let b = put(d, &[1; 1000]);
    assert_eq!(d.pool().stats().in_use, before + 4000);
    let clone = b.clone();
    drop(b);
    assert_eq!(words(d, &clone), [1; 1000]);
    drop(clone);
    assert_eq!(d.pool().stats().in_use, before);
    let cap = d.pool().stats().cap;
    assert!(matches!(d.pool().reserve(cap + 1), Err(DeviceError::OutOfMemory { .. })));
    d.pool().set_cap(before + 100);
    let refused = d.alloc(&mut d.pool().reserve(0).unwrap(), 101);
    assert!(matches!(refused, Err(DeviceError::OutOfMemory { requested: 101, .. })));
    d.pool().set_cap(cap);
}

/// What is wrong is refused with a reason, and the device goes on.
fn wrong_calls_are_refused(d: &dyn Device) {
    let mut wrong = axpb(d);
    wrong.text = format!("{}\nthis is no code;\n", wrong.text).into();
    match d.compile(&wrong) {
        Err(DeviceError::Compile { kernel, log, .. }) => {
            assert_eq!(kernel, "contract/axpb");
            assert!(!log.is_empty());
        }
        other => panic!("{:?}", other.map(|k| k.name().to_string())),
    }
    let kernel = d.compile(&axpb(d)).unwrap();
    assert!(Arc::ptr_eq(&kernel, &d.compile(&axpb(d)).unwrap()), "compiled once");
    let (a, b) = (put(d, &[1, 2, 3]), put(d, &[0; 3]));
    let cpu = open("cpu");
    let foreign = alloc(&*cpu, 12);
    let mut q = d.queue().unwrap();
    for (buffers, params) in [
        (vec![&a], vec![3, 1, 1]),
        (vec![&a, &b, &a], vec![3, 1, 1]),
        (vec![&a, &b], vec![3, 1]),
        (vec![&a, &foreign], vec![3, 1, 1]),
    ] {
        let refused = q.launch(&kernel, 1, &buffers, &params);
        assert!(matches!(refused, Err(DeviceError::InvalidArgument(_))), "{refused:?}");
    }
    assert!(matches!(q.upload(&a, 9, &[0; 4]), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.download(&a, 13, &mut []), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.upload(&foreign, 0, &[0; 4]), Err(DeviceError::InvalidArgument(_))));
    q.launch(&kernel, 1, &[&a, &b], &[3, 2, 1]).unwrap();
    q.synchronize().unwrap();
    assert_eq!(words(d, &b), [3, 5, 7]);
}

/// The properties that layers above rely on.
fn the_info_is_whole(d: &dyn Device) {
    let info = d.info();
    assert!(!info.model.is_empty() && !info.driver.is_empty());
    assert!(info.limits.max_block >= 256 && info.limits.max_buffers >= 8);
    assert!(info.limits.shared_bytes >= 16 << 10 && info.limits.warp >= 1);
    assert!(info.limits.max_buffer_bytes >= 64 << 20);
    assert!(d.pool().stats().cap > 0);
}

/// Every body as a test under its own name, with one more attribute.
macro_rules! bodies {
    ($device:expr, $attribute:tt: $($body:ident)*) => {
        $(
            #[test]
            #$attribute
            fn $body() {
                let body: super::Body = super::$body;
                body(&*$device);
            }
        )*
    };
    ($device:expr, $attribute:tt) => {
        bodies! {
            $device, $attribute:
            bytes_round_trip
            a_source_may_change_after_the_upload
            copies_and_fills
            work_is_in_order_and_outlives_its_buffers
            queues_work_side_by_side
            many_threads_read_back
            memory_is_accounted
            wrong_calls_are_refused
            the_info_is_whole
        }
    };
}

mod emulated {
    bodies! { super::open("cuda-emulated:0"), [cfg(test)] }
}

mod wgpu {
    bodies! { super::open("wgpu:0"), [cfg(test)] }
}

mod real {
    bodies! { super::named(), [ignore = "needs a real GPU, named by WINDLASS_TEST_DEVICE"] }
}

/// The device that `make test-gpu` names.
fn named() -> Arc<dyn Device> {
    open(&std::env::var("WINDLASS_TEST_DEVICE").unwrap_or_else(|_| {
        panic!("WINDLASS_TEST_DEVICE names no device; `make test-gpu` sets it")
    }))
}
