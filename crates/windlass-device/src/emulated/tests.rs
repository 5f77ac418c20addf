//! Kernels that use every part of the dialect, and kernels that are wrong.

use std::{borrow::Cow, fs, path::PathBuf, sync::Arc};

use super::{EmulatorOptions, open};
use crate::{
    buffer::DeviceBuffer,
    device::{Device, Kernel},
    error::{DeviceError, Result},
    fault::FaultPlan,
    registry::DeviceOptions,
    source::{Access, KernelSource, Language},
};

/// Kept between runs, as a user's cache is.
fn cache() -> PathBuf {
    std::env::temp_dir().join("windlass-emulator-tests")
}

fn options(emulator: EmulatorOptions) -> DeviceOptions {
    DeviceOptions { kernel_cache: Some(cache()), emulator, ..DeviceOptions::default() }
}

fn device() -> Arc<dyn Device> {
    open(0, &options(EmulatorOptions::default())).unwrap()
}

/// One device for each way to run.
fn devices() -> Vec<Arc<dyn Device>> {
    let base = EmulatorOptions::default();
    [
        base.clone(),
        EmulatorOptions { seed: Some(7), ..base.clone() },
        EmulatorOptions { seed: Some(8), reverse_blocks: true, ..base.clone() },
        EmulatorOptions { reverse_blocks: true, ..base.clone() },
        EmulatorOptions { sanitize: true, ..base },
    ]
    .into_iter()
    .map(|e| open(0, &options(e)).unwrap())
    .collect()
}

const R: Access = Access::Read;
const W: Access = Access::ReadWrite;

/// A source whose entry is `k`.
fn source(
    name: &'static str,
    block: u32,
    buffers: &[Access],
    params: u32,
    text: &str,
) -> KernelSource {
    KernelSource {
        name: Cow::Borrowed(name),
        language: Language::Cuda,
        text: Cow::Owned(format!("#include \"windlass.cuh\"\n{text}")),
        headers: Vec::new(),
        entry: Cow::Borrowed("k"),
        block,
        buffers: buffers.to_vec(),
        params,
    }
}

fn put<T: bytemuck::NoUninit>(d: &dyn Device, values: &[T]) -> DeviceBuffer {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let b = d.alloc(&mut d.pool().reserve(bytes.len()).unwrap(), bytes.len()).unwrap();
    d.queue().unwrap().upload(&b, 0, bytes).unwrap();
    b
}

fn get<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(
    d: &dyn Device,
    b: &DeviceBuffer,
) -> Vec<T> {
    let mut out = vec![T::zeroed(); b.len() / size_of::<T>()];
    d.queue().unwrap().download(b, 0, bytemuck::cast_slice_mut(&mut out)).unwrap();
    out
}

fn launch(
    d: &dyn Device,
    source: &KernelSource,
    groups: u32,
    buffers: &[&DeviceBuffer],
    params: &[u32],
) -> Result<()> {
    let kernel: Arc<dyn Kernel> = d.compile(source)?;
    let mut q = d.queue()?;
    q.launch(&kernel, groups, buffers, params)?;
    q.synchronize()
}

const SCAN: &str = r#"
struct Params { u32 n; };
W_INLINE u64 warp_scan(u64 v) {
  W_UNROLL for (u32 d = 1; d < 32; d *= 2) {
    u64 o = W_SHFL_UP(v, d);
    if (W_LANE >= d) v += o;
  }
  return v;
}
extern "C" __global__ void __launch_bounds__(256)
k(const u32* __restrict__ in, u64* __restrict__ out, Params p) {
  W_SHARED(u64, part, 8);
  u32 i = blockIdx.x * blockDim.x + threadIdx.x;
  u64 s = warp_scan(i < p.n ? in[i] : 0);
  if (W_LANE == 31) part[W_WARP_ID] = s;
  W_SYNC();
  if (W_WARP_ID == 0) {
    u64 t = warp_scan(W_LANE < 8 ? part[W_LANE] : 0);
    if (W_LANE < 8) part[W_LANE] = t;
  }
  W_SYNC();
  if (W_WARP_ID > 0) s += part[W_WARP_ID - 1];
  if (i < p.n) out[i] = s;
}"#;

#[test]
fn a_block_scan_is_the_same_in_every_order() {
    let scan = source("test/scan", 256, &[R, W], 1, SCAN);
    for n in [1usize, 31, 32, 33, 256, 1000] {
        let data: Vec<u32> = (0..n as u32).map(|i| i.wrapping_mul(2_654_435_761) >> 8).collect();
        let mut expected = Vec::new();
        for part in data.chunks(256) {
            let mut sum = 0u64;
            expected.extend(part.iter().map(|x| {
                sum += u64::from(*x);
                sum
            }));
        }
        for d in devices() {
            let (input, out) = (put(&*d, &data), put(&*d, &vec![0u64; n]));
            launch(&*d, &scan, n.div_ceil(256) as u32, &[&input, &out], &[n as u32]).unwrap();
            assert_eq!(get::<u64>(&*d, &out), expected, "{n} rows");
        }
    }
}

#[test]
fn atomics_race_across_blocks_and_lose_nothing() {
    let text = r#"
extern "C" __global__ void k(u32* a, i32* b, u64* c, i64* d, f32* e, f64* f) {
  u32 i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(a, 1u);
  atomicAdd(b, -1);
  atomicAdd(c, u64(i));
  atomicAdd(d, -i64(i));
  atomicAdd(e, 1.0f);
  atomicAdd(f, 0.5);
  atomicMin(a + 1, i); atomicMax(a + 2, i);
  atomicMin(b + 1, -i32(i)); atomicMax(b + 2, i32(i));
  atomicMin(c + 1, u64(i)); atomicMax(c + 2, u64(i));
  atomicMin(d + 1, -i64(i)); atomicMax(d + 2, i64(i));
  atomicOr(a + 3, 1u << (i % 32)); atomicAnd(a + 4, ~(1u << (i % 32)));
  atomicXor(c + 3, u64(1) << (i % 64));
  // A lock: taken by compare-exchange, given back by exchange.
  while (atomicCAS(a + 5, 0u, 1u) != 0u) {}
  u64 n = W_LOAD(c + 4);
  W_STORE(c + 4, n + 1);
  W_FENCE();
  atomicExch(a + 5, 0u);
  // An increment by compare-exchange.
  u64 old = W_LOAD(c + 5);
  for (;;) {
    u64 seen = atomicCAS(c + 5, old, old + 1);
    if (seen == old) break;
    old = seen;
  }
}"#;
    let k = source("test/atomics", 128, &[W; 6], 0, text);
    let (groups, n) = (20u32, 2560u64);
    for d in devices() {
        let a = put(&*d, &[0u32, u32::MAX, 0, 0, u32::MAX, 0]);
        let b = put(&*d, &[0i32, i32::MAX, i32::MIN]);
        let c = put(&*d, &[0u64, u64::MAX, 0, 0, 0, 0]);
        let e = put(&*d, &[0i64, i64::MAX, i64::MIN]);
        let (f, g) = (put(&*d, &[0f32]), put(&*d, &[0f64]));
        launch(&*d, &k, groups, &[&a, &b, &c, &e, &f, &g], &[]).unwrap();
        let (sum, last) = (n * (n - 1) / 2, n - 1);
        assert_eq!(get::<u32>(&*d, &a), [n as u32, 0, last as u32, u32::MAX, 0, 0]);
        assert_eq!(get::<i32>(&*d, &b), [-(n as i32), -(last as i32), last as i32]);
        assert_eq!(get::<u64>(&*d, &c), [sum, 0, last, 0, n, n]);
        assert_eq!(get::<i64>(&*d, &e), [-(sum as i64), -(last as i64), last as i64]);
        assert_eq!(get::<f32>(&*d, &f), [n as f32]);
        assert_eq!(get::<f64>(&*d, &g), [n as f64 / 2.0]);
    }
}

#[test]
fn warp_operations_have_their_defined_results() {
    let text = r#"
struct Wide { u64 a; u32 b; };
extern "C" __global__ void k(u32* out) {
  u32 t = threadIdx.x, l = W_LANE;
  u32* o = out + t * 12;
  o[0] = W_BALLOT(l % 3 == 0);
  o[1] = W_ANY(l == 5);
  o[2] = W_ALL(l < 40);
  o[3] = W_ALL(l < 31);
  o[4] = W_SHFL(t, 35);
  o[5] = W_SHFL_UP(t, 2);
  o[6] = W_SHFL_DOWN(t, 3);
  o[7] = W_SHFL_XOR(t, 1);
  o[8] = W_MATCH_ANY(u64(l % 4));
  Wide w = {u64(t) << 40, t + 7};
  w = W_SHFL(w, 1);
  o[9] = u32(w.a >> 40) + w.b;
  W_SYNCWARP();
  // Lanes that have left take no part, and what is read from them is undefined.
  if (l >= 16) return;
  o[10] = W_BALLOT(1);
  o[11] = W_SHFL(t, l + 8);
}"#;
    let k = source("test/warp", 40, &[W], 0, text);
    for d in devices() {
        let out = put(&*d, &vec![0u32; 40 * 12]);
        launch(&*d, &k, 1, &[&out], &[]).unwrap();
        let out = get::<u32>(&*d, &out);
        let poison = u32::from_ne_bytes([0xDB; 4]);
        for t in 0..40u32 {
            let (w, l) = (t / 32 * 32, t % 32);
            let live = if w == 0 { u32::MAX } else { 0xFF };
            let at = |lane: u32| if live >> lane & 1 == 1 { w + lane } else { poison };
            let every = |step: u32, first: u32| -> u32 {
                (0..32).filter(|i| i % step == first).map(|i| 1 << i).sum()
            };
            let mut expected = vec![
                every(3, 0) & live,
                1,
                1,
                u32::from(w != 0),
                at(3),
                if l < 2 { t } else { t - 2 },
                if l + 3 > 31 { t } else { at(l + 3) },
                at(l ^ 1),
                every(4, l % 4) & live,
                2 * (w + 1) + 7,
            ];
            match (w, l) {
                (0, 16..) => expected.extend([0, 0]),
                (0, _) => expected.extend([0xFFFF, if l < 8 { t + 8 } else { poison }]),
                _ => expected.extend([0xFF, poison]),
            }
            assert_eq!(out[t as usize * 12..][..12], expected, "thread {t}");
        }
    }
}

#[test]
fn arithmetic_and_bits_equal_the_hosts() {
    let text = r#"
extern "C" __global__ void k(const f64* x, f64* y, u64* z) {
  u32 i = threadIdx.x;
  f64 v = x[i];
  y[i * 4] = sqrt(fabs(v)) + floor(v) * ceil(v) - trunc(v) + round(v);
  y[i * 4 + 1] = v * v + v;
  y[i * 4 + 2] = f64(sqrt(f32(3.0)) * f32(0.1));
  y[i * 4 + 3] = w_bits_f64(w_f64_bits(v) ^ (u64(1) << 63)) + f64(w_bits_f32(w_f32_bits(1.5f)));
  u64 b = w_f64_bits(v);
  z[i * 4] = W_POPC(b) + W_CLZ(b) * 100 + W_FFS(b) * 10000 + W_POPC(u32(b >> 32)) * 1000000;
  z[i * 4 + 1] = w_mulhi(b, b) ^ u64(w_mulhi(i64(b), i64(b)));
  z[i * 4 + 2] = W_BREV(b) ^ W_BREV(u32(b)) ^ W_CLZ(u32(b)) ^ W_FFS(u32(b >> 32));
  i128 p = i128(i64(b)) * i128(i64(b) >> 3);
  z[i * 4 + 3] = u64(p >> 50) ^ u64(p / 1000003) ^ u64(max(i64(b), i64(-5)));
}"#;
    let k = source("test/arithmetic", 8, &[R, W, W], 0, text);
    let x = [0.0, -0.0, 1.5, -2.5, 1e300, 3.7e-310, 0.1, -123456.789f64];
    for d in devices() {
        let (input, y, z) = (put(&*d, &x), put(&*d, &[0f64; 32]), put(&*d, &[0u64; 32]));
        launch(&*d, &k, 1, &[&input, &y, &z], &[]).unwrap();
        let (y, z) = (get::<f64>(&*d, &y), get::<u64>(&*d, &z));
        for (i, v) in x.into_iter().enumerate() {
            let b = v.to_bits();
            let (lo, hi) = (b as u32, (b >> 32) as u32);
            let ffs = |z: u32, none: bool| if none { 0u64 } else { u64::from(z) + 1 };
            let expected = [
                v.abs().sqrt() + v.floor() * v.ceil() - v.trunc() + v.round(),
                v * v + v,
                f64::from(3f32.sqrt() * 0.1),
                -v + 1.5,
            ];
            for (j, e) in expected.into_iter().enumerate() {
                assert_eq!(y[i * 4 + j].to_bits(), e.to_bits(), "{v}: figure {j}");
            }
            let bits = u64::from(b.count_ones())
                + u64::from(b.leading_zeros()) * 100
                + ffs(b.trailing_zeros(), b == 0) * 10000
                + u64::from(hi.count_ones()) * 1_000_000;
            let upper = ((u128::from(b) * u128::from(b)) >> 64) as u64
                ^ ((i128::from(b as i64) * i128::from(b as i64)) >> 64) as u64;
            let order = b.reverse_bits()
                ^ u64::from(lo.reverse_bits())
                ^ u64::from(lo.leading_zeros())
                ^ ffs(hi.trailing_zeros(), hi == 0);
            let p = i128::from(b as i64) * i128::from(b as i64 >> 3);
            let wide = (p >> 50) as u64 ^ (p / 1_000_003) as u64 ^ (b as i64).max(-5) as u64;
            assert_eq!(z[i * 4..][..4], [bits, upper, order, wide], "{v}");
        }
    }
}

/// The reason of the launch error that `text` must end in on `d`.
fn failure(d: &dyn Device, name: &'static str, block: u32, groups: u32, text: &str) -> String {
    let k = source(name, block, &[W, R], 1, text);
    let (a, b) = (put(d, &[0u32; 100]), put(d, &[0u32; 100]));
    match launch(d, &k, groups, &[&a, &b], &[100]) {
        Err(DeviceError::Launch { kernel, reason, .. }) => {
            assert_eq!(kernel, name);
            reason
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn divergence_is_an_error_that_names_the_threads() {
    let kernels = [
        (
            "test/left",
            "if (threadIdx.x >= 20) return; W_SYNC(); a[threadIdx.x] = p.n;",
            ["threads 0-19 wait at W_SYNC (test/left.cu:3)", "threads 20-63 have left the kernel"],
        ),
        (
            "test/mixed",
            "if (W_LANE == 3) W_SYNC(); else a[0] = W_BALLOT(1);",
            ["thread 3 waits at W_SYNC", "threads 4-34 wait at W_BALLOT"],
        ),
        (
            "test/places",
            "if (threadIdx.x < 32)\n W_SYNC();\n else W_SYNC();",
            ["thread 0 waits at W_SYNC (test/places.cu:4)", "(test/places.cu:5)"],
        ),
        (
            "test/shuffles",
            "a[W_LANE] = W_LANE < 9 ? W_SHFL_UP(1u, 1) : W_SHFL_DOWN(1u, 1);",
            ["thread 0 waits at W_SHFL_UP", "thread 9 at W_SHFL_DOWN"],
        ),
    ];
    for (name, body, expected) in kernels {
        let text = format!(
            "struct P {{ u32 n; }};\n\
             extern \"C\" __global__ void k(u32* a, const u32* b, P p) {{ {body} }}"
        );
        for d in devices() {
            let reason = failure(&*d, name, 64, 3, &text);
            assert!(reason.contains("divergence in block"), "{name}: {reason}");
        }
        let d = device();
        let reason = failure(&*d, name, 64, 3, &text);
        for part in expected {
            assert!(reason.contains(part), "{name}: {reason}");
        }
        // The device still works.
        a_kernel_runs(&*d);
    }
}

fn a_kernel_runs(d: &dyn Device) {
    let text = "extern \"C\" __global__ void k(u32* a) { a[threadIdx.x] = blockIdx.x + 4; }";
    let a = put(d, &[0u32; 3]);
    launch(d, &source("test/four", 3, &[W], 0, text), 1, &[&a], &[]).unwrap();
    assert_eq!(get::<u32>(d, &a), [4; 3]);
}

#[test]
fn a_block_that_waits_for_a_later_one_fails_alone_and_passes_in_parallel() {
    let text = r#"
struct P { u32 n; };
extern "C" __global__ void k(u32* a, const u32* b, P p) {
  if (blockIdx.x == 1) { while (W_LOAD(a) == 0) {} }
  else atomicExch(a, 1u);
}"#;
    let reverse = EmulatorOptions { reverse_blocks: true, ..EmulatorOptions::default() };
    let reason = failure(&*open(0, &options(reverse)).unwrap(), "test/wait", 1, 2, text);
    assert!(reason.contains("block 1") && reason.contains("no device promises"), "{reason}");
    let d = device();
    let (a, b) = (put(&*d, &[0u32]), put(&*d, &[0u32]));
    launch(&*d, &source("test/wait", 1, &[W, R], 1, text), 2, &[&a, &b], &[0]).unwrap();
}

#[test]
fn memory_that_was_never_written_is_poisoned() {
    let text = r#"
extern "C" __global__ void k(u32* a) {
  W_SHARED(u32, s, 64);
  a[blockIdx.x * 64 + threadIdx.x] = s[threadIdx.x];
  W_SYNC();
  s[threadIdx.x] = 1;
}"#;
    for d in devices() {
        let a = d.alloc(&mut d.pool().reserve(0).unwrap(), 64 * 4 * 4).unwrap();
        assert_eq!(get::<u32>(&*d, &a), [0xDBDB_DBDB; 256]);
        d.queue().unwrap().fill(&a, 0).unwrap();
        launch(&*d, &source("test/poison", 64, &[W], 0, text), 4, &[&a], &[]).unwrap();
        assert_eq!(get::<u32>(&*d, &a), [0xDBDB_DBDB; 256]);
    }
}

#[test]
fn writes_past_an_end_are_found_without_the_checked_mode() {
    let head = "struct P { u32 n; }; extern \"C\" __global__ void k(u32* a, const u32* b, P p) {";
    let d = device();
    let text = format!("{head} a[p.n + 5] = 1; }}");
    let reason = failure(&*d, "test/past", 1, 1, &text);
    assert!(reason.contains("past the end of buffer 0: 400 bytes, changed 20"), "{reason}");
    let text = format!("{head} W_SHARED(u32, s, 10); s[p.n - 90] = b[0]; a[0] = s[0]; }}");
    let reason = failure(&*d, "test/past_shared", 1, 1, &text);
    assert!(reason.contains("past the end of a shared array of 40 bytes"), "{reason}");
    let text = format!("{head} W_SHARED(u64, s, 6145); s[0] = 1; a[0] = u32(s[0]); }}");
    let reason = failure(&*d, "test/large_shared", 1, 1, &text);
    assert!(reason.contains("49160 bytes"), "{reason}");
    a_kernel_runs(&*d);
}

#[test]
fn the_checked_mode_names_the_access_and_the_undefined_operation() {
    let d = open(0, &options(EmulatorOptions { sanitize: true, ..EmulatorOptions::default() }))
        .unwrap();
    let head =
        "struct P { u32 n; };\nextern \"C\" __global__ void k(u32* a, const u32* b, P p) {\n";
    let cases = [
        ("test/read", "a[0] = b[p.n + threadIdx.x];", "reads 4 bytes at byte 400 of buffer"),
        ("test/write", "a[p.n] = 3;", "writes 4 bytes at byte 400 of buffer 0 (400 bytes)"),
        ("test/readonly", "((u32*)b)[7] = 3;", "at byte 28 of buffer 1, which it only reads"),
        ("test/atomic", "atomicAdd(a + p.n, 1u);", "4 bytes at byte 400 of buffer"),
        ("test/shift", "a[0] = 1u << p.n;", "shift past the type's width"),
        ("test/signed", "a[0] = u32(2147483600 + i32(p.n));", "signed addition overflows"),
        ("test/zero", "a[0] = 7 / (p.n - 100);", "division by zero"),
        ("test/cast", "a[0] = u32(f64(p.n) * 1e9);", "does not fit the integer"),
        ("test/index", "W_SHARED(u32, s, 8); s[p.n] = 1; a[0] = s[0];", "index outside an array"),
        ("test/align", "a[0] = u32(*(const u64*)(b + 1));", "misaligned"),
    ];
    for (name, body, expected) in cases {
        let reason = failure(&*d, name, 2, 1, &format!("{head}{body} }}"));
        assert!(reason.contains(expected), "{name}: {reason}");
        assert!(reason.contains("thread ") && reason.contains("block 0"), "{name}: {reason}");
    }
    let table = r#"
__constant__ u32 table[4] = {5, 6, 7, 8};
W_INLINE u32 pick(const u32* t, u32 i) { u32 local[4]; for (u32 j = 0; j < 4; ++j) local[j] = t[j]; return local[i]; }
extern "C" __global__ void k(u32* a) { a[threadIdx.x] = pick(table, threadIdx.x & 3); }"#;
    let a = put(&*d, &[0u32; 8]);
    launch(&*d, &source("test/table", 8, &[W], 0, table), 1, &[&a], &[]).unwrap();
    assert_eq!(get::<u32>(&*d, &a), [5, 6, 7, 8, 5, 6, 7, 8]);
}

fn compile_log(text: &str, buffers: &[Access], params: u32) -> String {
    match device().compile(&source("test/wrong", 32, buffers, params, text)) {
        Err(DeviceError::Compile { kernel, log, .. }) => {
            assert_eq!(kernel, "test/wrong");
            log
        }
        other => panic!("{:?}", other.map(|k| k.name().to_string())),
    }
}

#[test]
fn what_does_not_compile_gives_the_compilers_log() {
    let log = compile_log("extern \"C\" __global__ void k(u32* a) {\n a[0] = nothing; }", &[W], 0);
    assert!(log.contains("test/wrong.cu:3:") && log.contains("nothing"), "{log}");
    let text = "struct P { u32 n, m; }; extern \"C\" __global__ void k(u32* a, P p) {}";
    assert!(compile_log(text, &[W], 1).contains("32-bit words"));
    assert!(compile_log(text, &[W, W], 0).contains("declared buffers"));
    assert!(compile_log(text, &[], 2).contains("declared buffers"));
    device().compile(&source("test/right", 32, &[W], 2, text)).map(|_| ()).unwrap();
    let mut wgsl = source("test/wgsl", 32, &[W], 2, text);
    wgsl.language = Language::Wgsl;
    assert!(device().compile(&wgsl).is_err());
    assert!(device().compile(&source("test/big", 1025, &[W], 2, text)).is_err());
}

#[test]
fn sources_include_their_own_headers_and_are_compiled_once() {
    let folder = std::env::temp_dir().join(format!("windlass-emulator-{}", std::process::id()));
    let options =
        DeviceOptions { kernel_cache: Some(folder.clone()), ..options(EmulatorOptions::default()) };
    let d = open(0, &options).unwrap();
    let text =
        "#include \"hash/mix.cuh\"\nextern \"C\" __global__ void k(u32* a) { a[0] = mix(a[0]); }";
    let mut s = source("test/own", 1, &[W], 0, text);
    s.headers = vec![("hash/mix.cuh".into(), "W_INLINE u32 mix(u32 x) { return x * 3u; }".into())];
    let a = put(&*d, &[5u32]);
    launch(&*d, &s, 1, &[&a], &[]).unwrap();
    assert_eq!(get::<u32>(&*d, &a), [15]);
    assert!(Arc::ptr_eq(&d.compile(&s).unwrap(), &d.compile(&s).unwrap()));
    let files: Vec<_> = fs::read_dir(folder.join("emulated")).unwrap().flatten().collect();
    assert_eq!(files.len(), 1, "one library and no leftovers: {files:?}");
    s.headers[0].1 = "W_INLINE u32 mix(u32 x) { return x * 4u; }".into();
    launch(&*d, &s, 1, &[&a], &[]).unwrap();
    assert_eq!(get::<u32>(&*d, &a), [60]);
    s.headers[0].0 = "../mix.cuh".into();
    assert!(d.compile(&s).is_err());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn faults_and_the_cap_are_honoured() {
    let with = |plan: &str| {
        let faults = FaultPlan::parse(plan).unwrap();
        open(0, &DeviceOptions { faults, ..options(EmulatorOptions::default()) }).unwrap()
    };
    let alloc = |d: &dyn Device, n: usize| d.alloc(&mut d.pool().reserve(0)?, n);
    let d = with("alloc=2");
    assert!(alloc(&*d, 4).is_ok());
    assert!(matches!(alloc(&*d, 4), Err(DeviceError::OutOfMemory { requested: 4, .. })));
    assert!(alloc(&*d, 4).is_ok());
    let d = with("launch=1,transfer=2");
    let a = put(&*d, &[1u32; 3]);
    assert!(matches!(
        d.queue().unwrap().download(&a, 0, &mut [0; 4]),
        Err(DeviceError::Transfer { .. })
    ));
    let text = "extern \"C\" __global__ void k(u32* a) { a[0] = 9; }";
    let k = source("test/nine", 1, &[W], 0, text);
    assert!(matches!(launch(&*d, &k, 1, &[&a], &[]), Err(DeviceError::Launch { .. })));
    assert_eq!(get::<u32>(&*d, &a), [1; 3]);
    launch(&*d, &k, 1, &[&a], &[]).unwrap();
    let d = with("lost=3");
    let a = put(&*d, &[1u32; 3]);
    for _ in 0..2 {
        assert!(matches!(launch(&*d, &k, 1, &[&a], &[]), Err(DeviceError::Lost { .. })));
        assert!(matches!(d.queue().unwrap().synchronize(), Err(DeviceError::Lost { .. })));
    }
    let emulator = EmulatorOptions { memory_bytes: 1000, ..EmulatorOptions::default() };
    let d = open(0, &options(emulator)).unwrap();
    assert_eq!((d.info().memory_bytes, d.pool().stats().cap), (1000, 1000));
    let a = alloc(&*d, 600).unwrap();
    assert!(matches!(alloc(&*d, 600), Err(DeviceError::OutOfMemory { cap: 1000, .. })));
    drop(a);
    assert!(alloc(&*d, 600).is_ok());
}

#[test]
fn devices_are_apart_and_arguments_are_checked() {
    let o = options(EmulatorOptions::default());
    let (d0, d1) = (open(0, &o).unwrap(), open(1, &o).unwrap());
    let (a, b) = (put(&*d0, &[1u32; 4]), put(&*d1, &[2u32; 4]));
    assert_eq!((d0.pool().stats().in_use, d1.pool().stats().in_use), (16, 16));
    a_kernel_runs(&*d0);
    a_kernel_runs(&*d1);
    let mut q = d0.queue().unwrap();
    assert!(matches!(q.upload(&b, 0, &[0]), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.copy(&a, 0, &b, 0, 4), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.copy(&a, 0, &a, 0, 4), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.download(&a, 13, &mut [0; 4]), Err(DeviceError::InvalidArgument(_))));
    let c = put(&*d0, &[7u32; 4]);
    assert!(q.copy(&a, 4, &c, 8, 8).is_ok());
    assert!(q.copy(&a, 2, &c, 8, 4).is_err());
    assert_eq!(get::<u32>(&*d0, &c), [7, 7, 1, 1]);
    let text = "extern \"C\" __global__ void k(u32* a) { a[0] = 9; }";
    let k = d0.compile(&source("test/nine", 1, &[W], 0, text)).unwrap();
    assert!(matches!(q.launch(&k, 1, &[], &[]), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.launch(&k, 1, &[&a], &[1]), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.launch(&k, 1, &[&b], &[]), Err(DeviceError::InvalidArgument(_))));
    q.launch(&k, 0, &[&a], &[]).unwrap();
    assert_eq!(get::<u32>(&*d0, &a), [1; 4]);
    let empty = put::<u32>(&*d0, &[]);
    assert_eq!(empty.len(), 0);
    let text =
        "extern \"C\" __global__ void k(u32* a, u32* e) { a[0] = u32((u64)e % 256) + (e == 0); }";
    launch(&*d0, &source("test/align256", 1, &[W, W], 0, text), 1, &[&a, &empty], &[]).unwrap();
    assert_eq!(get::<u32>(&*d0, &a)[0], 0);
}

#[test]
fn every_name_of_the_dialect_compiles_and_runs() {
    let k = KernelSource {
        text: include_str!("../../tests/every_name.cuh").into(),
        headers: vec![("own.cuh".into(), "W_INLINE u32 three() { return 3u; }".into())],
        ..source("test/every_name", 64, &[W], 1, "")
    };
    // Without the checked mode, in which the conversions of large floats are refused.
    let base = EmulatorOptions::default();
    for emulator in [base.clone(), EmulatorOptions { seed: Some(1), ..base }] {
        let d = open(0, &options(emulator)).unwrap();
        let out = put(&*d, &[0xDBDB_DBDBu32; 64]);
        launch(&*d, &k, 1, &[&out], &[64]).unwrap();
        assert!(get::<u32>(&*d, &out).iter().all(|x| *x != 0xDBDB_DBDB));
    }
}
