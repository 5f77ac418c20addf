//! Results that the dialect defines.

use super::*;

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

#[test]
fn every_name_of_the_dialect_compiles_and_runs() {
    let k = KernelSource {
        text: include_str!("../../../tests/every_name.cuh").into(),
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
