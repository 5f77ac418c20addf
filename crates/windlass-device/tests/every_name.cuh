// Uses every name of the dialect once; compiled by NVRTC and by the emulator.
#include "windlass.cuh"
#include "own.cuh"

struct Params {
  u32 n;
};

struct Wide {
  u64 a;
  u32 b;
};

__constant__ u32 table[4] = {1, 2, 3, 4};

template <class T> W_INLINE T twice(T v) { return v + v; }

extern "C" __global__ void __launch_bounds__(64) k(u32* out, Params p) {
  W_SHARED(u32, words, 64);
  W_SHARED(f64, sums, 4);
  W_SHARED(u64, keys, 8);
  W_SHARED(i64, wide, 8);
  W_SHARED(i32, small, 8);
  W_SHARED(f32, single, 1);
  u32 t = threadIdx.x;
  u32 i = blockIdx.x * blockDim.x + t;
  words[t] = 0;
  if (t < 8) keys[t] = 0, wide[t] = 0, small[t] = 0;
  if (t < 4) sums[t] = 0;
  if (t == 0) single[0] = 0;
  W_SYNC();

  u32 r = three() + table[t & 3u] + twice(gridDim.x);
  r += W_BALLOT(t & 1u) + W_MATCH_ANY(t & 3u) + W_MATCH_ANY(u64(t & 7u));
  r += W_ANY(t == 3) ? 1u : 0u;
  r += W_ALL(t < 64) ? 1u : 0u;
  r += W_SHFL(t, 3) + W_SHFL_UP(t, 1) + W_SHFL_DOWN(t, 1) + W_SHFL_XOR(t, 1);
  r += u32(W_SHFL(u64(t), 3) + u64(W_SHFL(i64(t), 3)) + u64(W_SHFL_XOR(f64(t), 3)));
  r += u32(W_SHFL(u128(t), 3)) + u32(W_SHFL(u8(t), 3)) + u32(W_SHFL(f32(t), 3));
  Wide w = {u64(t), t};
  r += u32(W_SHFL(w, 1).a);
  W_SYNCWARP();
  r += W_LANE + W_WARP_ID + W_WARP_SIZE;

  atomicAdd(&words[0], 1u);
  atomicAdd(&small[0], -1);
  atomicAdd(&keys[0], u64(2));
  atomicAdd(&wide[0], i64(-2));
  atomicAdd(&single[0], 1.0f);
  atomicAdd(&sums[0], 1.0);
  atomicMin(&words[1], t), atomicMin(&small[1], i32(t));
  atomicMin(&keys[1], u64(t)), atomicMin(&wide[1], i64(t));
  atomicMax(&words[2], t), atomicMax(&small[2], i32(t));
  atomicMax(&keys[2], u64(t)), atomicMax(&wide[2], i64(t));
  r += atomicCAS(&words[3], 0u, t) + u32(atomicCAS(&small[3], 0, i32(t)));
  r += u32(atomicCAS(&keys[3], u64(0), u64(t)) + u64(atomicCAS(&wide[3], i64(0), i64(t))));
  r += atomicExch(&words[4], t) + u32(atomicExch(&small[4], i32(t)));
  r += u32(atomicExch(&keys[4], u64(t)) + u64(atomicExch(&wide[4], i64(t))));
  atomicOr(&words[5], t), atomicOr(&small[5], 1), atomicOr(&keys[5], u64(t));
  atomicOr(&wide[5], i64(t));
  atomicAnd(&words[6], t), atomicAnd(&small[6], 1), atomicAnd(&keys[6], u64(t));
  atomicAnd(&wide[6], i64(t));
  atomicXor(&words[7], t), atomicXor(&small[7], 1), atomicXor(&keys[7], u64(t));
  atomicXor(&wide[7], i64(t));
  W_FENCE_BLOCK();
  W_FENCE();
  W_STORE(&words[8], t);
  W_STORE(&keys[7], 1u);
  r += W_LOAD(&words[8]) + u32(W_LOAD(&keys[7]));

  u64 b = (u64(r) << 32) | t;
  r += W_POPC(r) + W_POPC(b) + W_CLZ(r) + W_CLZ(b) + W_FFS(r) + W_FFS(b) + W_BREV(r);
  r += u32(W_BREV(b)) + w_mulhi(r, t) + u32(w_mulhi(b, b));
  r += u32(w_mulhi(i32(r), i32(t))) + u32(w_mulhi(i64(b), i64(t)));
  r += w_f32_bits(1.5f) + u32(w_bits_f32(t)) + u32(w_f64_bits(1.5)) + u32(w_bits_f64(t));

  f64 x = f64(t) + 1.5, y = x * x + 0.5;
  f32 s = f32(t) + 1.5f, q = s * s + 0.5f;
  y += sqrt(x) + cbrt(x) + exp(x) + exp2(x) + expm1(x) + log(x) + log2(x) + log10(x);
  y += log1p(x) + sin(x) + cos(x) + tan(x) + asin(1 / x) + acos(1 / x) + atan(x);
  y += sinh(x) + cosh(x) + tanh(x) + floor(x) + ceil(x) + round(x) + rint(x) + trunc(x);
  y += fabs(x) + pow(x, y) + fmod(x, y) + atan2(x, y) + fmin(x, y) + fmax(x, y);
  y += copysign(x, y) + fma(x, x, x) + min(x, y) + max(x, y) + abs(x);
  q += sqrt(s) + cbrt(s) + exp(s) + exp2(s) + expm1(s) + log(s) + log2(s) + log10(s);
  q += log1p(s) + sin(s) + cos(s) + tan(s) + asin(1 / s) + acos(1 / s) + atan(s);
  q += sinh(s) + cosh(s) + tanh(s) + floor(s) + ceil(s) + round(s) + rint(s) + trunc(s);
  q += fabs(s) + pow(s, q) + fmod(s, q) + atan2(s, q) + fmin(s, q) + fmax(s, q);
  q += copysign(s, q) + sqrtf(s) + powf(s, q) + fmaf(s, s, s) + min(s, q) + max(s, q);
  q += abs(s);
  r += min(r, t) + max(r, t) + u32(min(i32(r), 3)) + u32(max(i32(t), 3)) + u32(abs(i32(t)));
  r += u32(min(b, u64(3)) + max(b, u64(3)) + u64(min(i64(t), i64(3)) + max(i64(t), i64(3))));
  r += u32(abs(i64(t))) + (isnan(x) ? 1u : 0u) + (isnan(s) ? 1u : 0u);
  r += (isinf(x) ? 1u : 0u) + (isinf(s) ? 1u : 0u) + (isfinite(x) ? 1u : 0u);
  r += isfinite(s) ? 1u : 0u;
  i128 wider = i128(i64(b)) * i64(r) / 3;
  W_UNROLL for (u32 j = 0; j < 4; ++j) r += u32(u128(wider) >> (32 * j));
  i8 tiny = i8(t);
  i16 little = i16(t);
  u16 half = u16(t);
  if (y != x && q != s) r += u32(tiny) + u32(little) + half;
  W_SYNC();
  if (i < p.n) out[i] = r;
}
